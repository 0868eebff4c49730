//! What `check` promises of memory is what a run takes. Seen on lopsided problems, whose passes are short while the
//! vectors of one side are long: every item is a sum of lengths of the two sides.

// Takes long, and is the same without MPI.
#![cfg(feature = "mpi")]

#[allow(dead_code)]
mod program;

use std::path::Path;
use std::time::Duration;

fn input(n: usize, m: usize, problem: &str, method: &str) -> String {
    format!(
        "solver = \"transport\"\n[run]\nmax_steps = 3\n[problem]\n\
         source = {{ kind = \"uniform_samples\", points = {n}, dimension = 3 }}\n\
         target = {{ kind = \"uniform_samples\", points = {m}, dimension = 3 }}\n\
         epsilon = 0.1\n{problem}\n[method]\nstored_kernel_mib = 0\ntolerance = 1e-14\n\
         epsilon_scaling = {{ enabled = \"off\" }}\n{method}\n"
    )
}

/// Peak of a run in MB.
fn peak(directory: &Path, text: &str) -> f64 {
    std::fs::write(directory.join("a.toml"), text).unwrap();
    let mut command = program::command(1, &["run", "a.toml", "--output", "out", "--force", "--quiet"], directory);
    command.env("RAYON_NUM_THREADS", "2");
    let ended = program::finish(command, 1, Duration::from_secs(120));
    assert!([0, 3].contains(&ended.code()), "{ended:?}");
    let report = std::fs::read_to_string(directory.join("out/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    report["memory"]["peak_bytes_of_largest_rank"].as_f64().unwrap() / 1e6
}

/// Totals of `check` in MB: of all, and without the program itself.
fn promised(directory: &Path) -> [f64; 2] {
    let mut command = program::command(1, &["check", "a.toml"], directory);
    command.env("RAYON_NUM_THREADS", "2");
    let page = program::finish(command, 1, Duration::from_secs(60)).stdout;
    let megabytes = |name: &str| -> f64 {
        let line = page.lines().find_map(|l| l.trim().strip_prefix(name)).expect(name);
        line.trim().trim_end_matches(" MB").parse().unwrap()
    };
    let total = megabytes("total");
    [total, total - megabytes("program, MPI and HDF5")]
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_a_run_is_within_a_tenth_of_what_check_promises() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    // The program itself, with its libraries and threads.
    let base = peak(directory, &input(10, 10, "", ""));
    for (n, m, problem, method) in [
        (1000, 600_000, "", "name = \"sinkhorn\"\nprecision = \"f32\""),
        (600_000, 1000, "", "name = \"sinkhorn\"\nprecision = \"f32\""),
        (1000, 600_000, "", "name = \"sinkhorn\"\nprecision = \"f64\""),
        (600_000, 1000, "", "name = \"overrelaxed\""),
        (1000, 600_000, "source_penalty = 1.0\ntarget_penalty = 1.0", "name = \"sinkhorn\""),
        (600_000, 1000, "source_penalty = 1.0", "name = \"sinkhorn\""),
        // A history of two, which three steps fill.
        (1000, 600_000, "", "name = \"anderson\"\nmemory = 2\nprecision = \"f64\""),
    ] {
        let measured = peak(directory, &input(n, m, problem, method)) - base;
        let [_, promised] = promised(directory);
        let ratio = measured / promised;
        assert!((0.9..1.1).contains(&ratio), "{n} × {m}, {problem} {method}: {measured:.1} of {promised:.1} MB");
        println!("{n} × {m} {problem} {method:?}: measured {measured:.1} MB, promised {promised:.1} MB");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_ten_million_particles_is_within_a_tenth_of_what_check_promises_in_both_precisions() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let [double, single] = ["f64", "f32"].map(|precision| {
        let text = format!(
            "solver = \"smc\"\n[run]\nmax_steps = 3\n[problem]\nmodel = {{ kind = \"constant_velocity\", dimensions = 1 }}\n\
             observations = {{ simulate = 3 }}\n[method]\nparticles = 10000000\nislands = 1\ness_threshold = 1\n\
             precision = \"{precision}\"\n"
        );
        let measured = peak(directory, &text);
        let [promised, _] = promised(directory);
        let ratio = measured / promised;
        assert!((0.9..1.1).contains(&ratio), "{precision}: {measured:.1} of {promised:.1} MB");
        println!("{precision}: measured {measured:.1} MB, promised {promised:.1} MB");
        measured
    });
    // Two coordinates of four bytes less.
    assert!((double - single - 80.0).abs() < 20.0, "{double:.1} and {single:.1} MB");
}

/// 16 000 filters at once, each of 100 particles, which are stored in 128 places and not in a whole tile.
#[cfg(target_os = "linux")]
#[test]
fn the_models_of_smc_squared_take_what_check_promises() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/smc/smc_squared.toml")).unwrap();
    let of = |n: usize| {
        let changed = text.replace("parameter_particles = 200", &format!("parameter_particles = {n}"));
        assert!(changed != text, "the input has another number of parameters");
        changed
    };
    // The program itself, with its libraries and threads.
    let base = peak(directory.path(), &of(4));
    let measured = peak(directory.path(), &of(1000)) - base;
    let [_, promised] = promised(directory.path());
    println!("measured {measured:.1} MB, promised {promised:.1} MB");
    assert!((0.9..1.1).contains(&(measured / promised)), "{measured:.1} of {promised:.1} MB");
}
