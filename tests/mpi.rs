//! The real binary under `mpirun -n 1, 2, 3, 4`: equal datasets, bit for bit. Fails, never skips, without mpirun.

#![cfg(feature = "mpi")]

mod program;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use program::{Ended, finish, mpirun};
use spanwise::io::read::Reader;

const LIMIT: Duration = Duration::from_secs(120);

/// An input shipped with the suite, to be run in `directory` with the output there.
fn run(ranks: usize, input: &str, output: &Path, more: &[&str]) -> Ended {
    let input = format!("{}/inputs/{input}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut arguments = vec!["run", &input, "--output", output.to_str().unwrap(), "--quiet"];
    arguments.extend(more);
    finish(mpirun(ranks, &arguments, output.parent().unwrap()), 1, LIMIT)
}

/// Every dataset of output.h5 but those of `/provenance`, as shape and bits.
fn datasets(output: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u64>)> {
    let reader = Reader::open(&output.join("output.h5")).unwrap_or_else(|e| panic!("{e}"));
    let mut found = BTreeMap::new();
    for group in reader.groups().into_iter().filter(|g| g != "provenance") {
        for name in reader.datasets(&group) {
            let array = reader.array(&format!("/{group}/{name}")).unwrap_or_else(|e| panic!("{e}"));
            found.insert(format!("/{group}/{name}"), (array.shape, array.values.iter().map(|v| v.to_bits()).collect()));
        }
    }
    assert!(found.len() > 10, "only {} datasets in {}", found.len(), output.display());
    found
}

#[test]
fn datasets_are_equal_under_mpirun_on_1_to_4_ranks() {
    for input in [
        "transport/color_transfer",
        "transport/images_grid",
        "transport/divergence_mixtures",
        "transport/unbalanced_gaussians",
        "transport/matrix_capitals",
        // LAPACK shares its work out by the cores that a rank may use.
        "spectral/rayleigh_benard_onset",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut first = None;
        for ranks in 1..=4 {
            let output = directory.path().join(format!("{ranks}.out"));
            let ended = run(ranks, input, &output, &[]);
            assert_eq!(ended.code(), 0, "{input} on {ranks} ranks: {}", ended.stderr);
            let found = datasets(&output);
            match &first {
                None => first = Some(found),
                Some(one) => assert_same(one, &found, &format!("{input} on {ranks} ranks")),
            }
        }
    }
}

fn assert_same(
    one: &BTreeMap<String, (Vec<usize>, Vec<u64>)>,
    two: &BTreeMap<String, (Vec<usize>, Vec<u64>)>,
    what: &str,
) {
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>(), "{what}");
    for (name, values) in one {
        assert!(&two[name] == values, "{what}: {name} differs");
    }
}

#[test]
fn a_checkpoint_of_three_ranks_goes_on_with_two_to_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
    assert_eq!(run(1, "transport/sphere_to_knot", &whole, &[]).code(), 0);
    let stopped = run(3, "transport/sphere_to_knot", &parts, &["--set", "run.max_steps=9"]);
    assert_eq!(stopped.code(), 3, "{}", stopped.stderr);
    let resumed = run(2, "transport/sphere_to_knot", &parts, &["--resume"]);
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr);
    assert_same(&datasets(&whole), &datasets(&parts), "stopped at step 9 on 3 ranks, resumed on 2");
}

/// A problem that runs until it is stopped, with a checkpoint every 20 steps.
const ENDLESS: [&str; 10] = [
    "--set",
    "method.tolerance=1e-300",
    "--set",
    "method.precision=\"f64\"",
    "--set",
    "checkpoint.every=20",
    "--set",
    "problem.epsilon=1e-5",
    "--set",
    "method.name=\"sinkhorn\"",
];

#[test]
fn kill_9_of_a_rank_ends_the_job_and_the_checkpoint_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("killed");
    let input = format!("{}/inputs/transport/assignment_small_epsilon.toml", env!("CARGO_MANIFEST_DIR"));
    let mut arguments = vec!["run", &input, "--output", output.to_str().unwrap(), "--quiet"];
    arguments.extend(ENDLESS);
    let running = program::start(mpirun(2, &arguments, directory.path()), 1);
    let begun = std::time::Instant::now();
    while !output.join("checkpoint.1.h5").exists() {
        assert!(begun.elapsed() < LIMIT, "no second checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ranks = children_named_spanwise(running.child.id());
    assert_eq!(ranks.len(), 2, "mpirun has two ranks");
    // SAFETY: a signal to a process of this test.
    assert_eq!(unsafe { libc::kill(ranks[1], libc::SIGKILL) }, 0);
    let ended = running.wait(Duration::from_secs(20));
    assert_ne!(ended.code(), 0);
    let mut resume = ENDLESS.to_vec();
    resume.extend(["--resume", "--set", "run.max_steps=2000", "--walltime", "2s"]);
    let resumed = run(3, "transport/assignment_small_epsilon", &output, &resume);
    assert_eq!(resumed.code(), 3, "{}", resumed.stderr);
    let steps = Reader::open(&output.join("output.h5")).unwrap().array("/series/step").unwrap().values;
    assert!(steps.windows(2).all(|w| w[1] == w[0] + 1.0), "every step is recorded once");
}

/// Processes called spanwise whose parent is `parent`.
fn children_named_spanwise(parent: u32) -> Vec<i32> {
    let mut found: Vec<i32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after = stat.rsplit(')').next().unwrap_or("").split_whitespace().nth(1).map(str::to_string);
            stat.contains("(spanwise)") && after == Some(parent.to_string())
        })
        .collect();
    found.sort_unstable();
    found
}
