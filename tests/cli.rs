//! The command line as scripts and people see it: the real binary, alone and under mpirun.

mod program;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use program::{Ended, Running, SPANWISE, command, finish, mpirun, rank_counts, spanwise, start};

/// A problem of a few milliseconds.
const QUICK: &str = "\
solver = \"transport\"
[problem]
epsilon = 0.1
source = { kind = \"torus\", points = 40, dimension = 1 }
target = { kind = \"gaussian_grid\", mean = [0.4], standard_deviation = [0.2], points = 50, interval = [0.0, 1.0] }
[method]
name = \"sinkhorn\"
tolerance = 1e-9
";

/// A problem that takes minutes, and that a test interrupts: ε is 1e-5 of the largest cost.
const SLOW: &str = "\
solver = \"transport\"
[problem]
epsilon = 3e-5
source = { kind = \"uniform_samples\", points = 1500, dimension = 3 }
target = { kind = \"uniform_samples\", points = 1500, dimension = 3 }
[method]
name = \"sinkhorn\"
precision = \"f64\"
tolerance = 1e-300
epsilon_scaling = { enabled = \"off\" }
";

fn directory_with(name: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), text).unwrap();
    dir
}

fn alone(arguments: &[&str]) -> Ended {
    spanwise(1, arguments, &std::env::temp_dir())
}

fn report(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

#[test]
fn help_reads_like_a_manual() {
    let help = alone(&["--help"]);
    assert_eq!((help.code(), help.stderr.as_str()), (0, ""));
    for heading in ["Usage:", "Commands:", "EXAMPLES", "FILES", "EXIT CODES", "SIGNALS", "ENVIRONMENT"] {
        assert!(help.stdout.contains(heading), "{heading} in {}", help.stdout);
    }
    assert!(!help.stdout.contains('\x1b'), "no marks where there is no terminal");
    for line in spanwise::cli::args::MANUAL.lines().filter(|line| !line.contains('\x1b')) {
        assert!(help.stdout.lines().any(|l| l == line), "{line:?} is broken in {}", help.stdout);
    }
    for name in ["run", "check", "list", "info", "plot", "schema", "completions"] {
        let help = alone(&[name, "--help"]);
        assert!(help.code() == 0 && help.stdout.contains(&format!("Usage: spanwise {name}")), "{help:?}");
    }
    assert_eq!(alone(&["--version"]).stdout, format!("spanwise {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_and_list_under_mpirun_speak_once_and_start_no_mpi() {
    if !cfg!(feature = "mpi") {
        return;
    }
    for arguments in [["--help"].as_slice(), &["list", "transport"]] {
        let said = spanwise(3, arguments, &std::env::temp_dir());
        assert_eq!(said.code(), 0);
        assert_eq!(said.stdout.trim(), alone(arguments).stdout.trim());
    }
    // Open MPI gives up when it cannot find its components; what does not initialise MPI does not notice.
    let broken = |arguments: &[&str]| {
        let mut command = command(1, arguments, &std::env::temp_dir());
        command.env("OMPI_MCA_pml", "no_such_component");
        finish(command, 1, Duration::from_secs(20))
    };
    for arguments in [["list"].as_slice(), &["schema"], &["completions", "bash"], &["info", "--build"], &["--help"]] {
        assert_eq!(broken(arguments).code(), 0, "{arguments:?}");
    }
    let dir = directory_with("a.toml", QUICK);
    let mut check = command(1, &["check", "a.toml", "--ranks", "64"], dir.path());
    check.env("OMPI_MCA_pml", "no_such_component");
    assert_eq!(finish(check, 1, Duration::from_secs(20)).code(), 0, "check works on a login node");
    let mut run = command(1, &["run", "a.toml"], dir.path());
    run.env("OMPI_MCA_pml", "no_such_component");
    assert_ne!(finish(run, 1, Duration::from_secs(20)).code(), 0, "the trap is set");
}

#[test]
fn list_shows_every_key_of_the_schema() {
    assert!(alone(&["list"]).stdout.starts_with("transport"));
    let page = alone(&["list", "transport"]).stdout;
    /// A key begins a line, or is the heading of a section.
    fn visit(schema: &serde_json::Value, page: &str, keys: &mut usize) {
        match schema {
            serde_json::Value::Object(map) => {
                for key in map.get("properties").and_then(|p| p.as_object()).into_iter().flat_map(|p| p.keys()) {
                    let begins = |line: &str| {
                        let rest = line.trim_start().trim_start_matches('[').strip_prefix(key.as_str());
                        rest.is_some_and(|rest| rest.starts_with([' ', ']']))
                    };
                    assert!(page.lines().any(begins), "{key} in\n{page}");
                    *keys += 1;
                }
                map.values().for_each(|s| visit(s, page, keys));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|s| visit(s, page, keys)),
            _ => {}
        }
    }
    for solver in ["transport", "spectral", "smc", "paths"] {
        let page = alone(&["list", solver]).stdout;
        let schema = serde_json::from_str(&alone(&["schema", solver]).stdout).unwrap();
        let mut keys = 0;
        visit(&schema, &page, &mut keys);
        assert!(keys > 60, "{solver}: {keys} keys");
        assert!(page.lines().filter(|line| line.starts_with('[')).all(|line| line.chars().count() <= 120), "{page}");
    }
    // Tables of branches, of lists of tables and of tables by names, each with where it belongs.
    let spectral = alone(&["list", "spectral"]).stdout;
    for words in [
        "[problem.equation.hyperviscosity]  Where kind = \"vorticity_2d\" or",
        "coefficient",
        "kind = \"kolmogorov\"",
        "kind = \"lattice\"",
        "bulk_velocity ",
        "kind = \"von_karman\"",
        "[[problem.equation.random]]",
        "band ",
        "[[problem.equation.lower]] and [[problem.equation.upper]]",
        "derivative ",
        "[[problem.output.slices]]",
    ] {
        assert!(spectral.contains(words), "{words} in\n{spectral}");
    }
    let smc = alone(&["list", "smc"]).stdout;
    assert!(smc.contains("[problem.model.priors.NAME]") && smc.contains("distribution = \"lognormal\""), "{smc}");
    for words in ["[method]", "tolerance", "1e-6", "\"accelerated\"", "required", "kind = \"image_grid\""] {
        assert!(page.contains(words), "{words} in\n{page}");
    }
    // Both places that speak of the default method, and what transparent pixels weigh.
    let names: Vec<&str> = page.lines().filter(|line| line.contains("xtrapolation of the Sinkhorn map")).collect();
    assert!(names.len() == 2 && names.iter().all(|line| line.contains("Anderson")), "{names:?}");
    assert!(page.contains("Transparent pixels"), "{page}");
    let unknown = alone(&["list", "transprot"]);
    assert_eq!(unknown.code(), 2);
    assert!(unknown.messages()[0].contains("did you mean \"transport\"?"), "{unknown:?}");
}

#[test]
fn the_schema_is_whole_and_its_references_resolve() {
    for arguments in [
        ["schema"].as_slice(),
        &["schema", "transport"],
        &["schema", "spectral"],
        &["schema", "smc"],
        &["schema", "paths"],
    ] {
        let text = alone(arguments).stdout;
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        // One branch per solver, or the one solver.
        let branches = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        assert_eq!(branches.len(), if arguments.len() == 1 { 4 } else { 1 });
        for branch in &branches {
            for section in ["solver", "comment", "run", "output", "checkpoint", "problem", "method"] {
                assert!(branch["properties"][section].is_object(), "{arguments:?}: {section}");
            }
        }
        for (at, _) in text.match_indices("\"$ref\": \"#") {
            let pointer = text[at + 10..].split('"').next().unwrap().trim_start_matches('#');
            assert!(schema.pointer(pointer).is_some(), "{arguments:?}: {pointer}");
        }
        assert!(!text.contains("\"null\""), "TOML has no null");
    }
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = alone(&["completions", shell]).stdout;
        for name in ["run", "check", "list", "info", "plot", "schema", "--walltime", "--resume"] {
            assert!(text.contains(name.trim_start_matches("--")), "{name} for {shell}");
        }
    }
    assert_eq!(alone(&["completions", "cmd"]).code(), 2);
}

#[test]
fn wrong_usage_is_code_2_with_a_hint_from_one_rank() {
    for ranks in rank_counts() {
        let ended = spanwise(*ranks, &["run", "a.toml", "--frce"], &std::env::temp_dir());
        assert_eq!((ended.code(), ended.messages().len()), (2, 1), "{ended:?}");
        assert!(ended.stderr.contains("'--force'"), "{ended:?}");
    }
    for arguments in [["rum"].as_slice(), &[], &["run"], &["info"], &["check", "a.toml", "--ranks", "0"]] {
        assert_eq!(alone(arguments).code(), 2, "{arguments:?}");
    }
}

#[test]
fn a_typo_is_answered_with_its_line_and_the_right_word() {
    let dir = directory_with("a.toml", &QUICK.replace("epsilon", "epsilom"));
    for ranks in rank_counts() {
        for name in ["run", "check"] {
            let ended = spanwise(*ranks, &[name, "a.toml"], dir.path());
            assert_eq!((ended.code(), ended.messages().len()), (2, 1), "{ended:?}");
            let message = ended.messages()[0];
            assert!(message.starts_with("spanwise: a.toml:3: problem.epsilom: unknown key; did you mean \"epsilon\"?"));
        }
    }
    assert!(!dir.path().join("a.out").exists());
}

#[test]
fn a_run_ends_with_code_0_or_3_and_goes_on() {
    let dir = directory_with("a.toml", QUICK);
    let out = dir.path().join("a.out");
    let ranks = *rank_counts().last().unwrap();
    let short = spanwise(ranks, &["run", "a.toml", "--set", "run.max_steps=2"], dir.path());
    assert_eq!((short.code(), short.messages().len()), (3, 1), "{short:?}");
    assert!(short.messages()[0].contains("the limit of steps after 2 steps"), "{short:?}");
    assert_eq!((report(&out)["status"].as_str(), report(&out)["steps"].as_u64()), (Some("limit"), Some(2)));
    let log = fs::read_to_string(out.join("run.log")).unwrap();
    assert!(log.contains("max_steps = 2") && log.contains("checkpoint at step 2"), "{log}");

    let refused = spanwise(1, &["run", "a.toml"], dir.path());
    assert!(refused.code() == 2 && refused.messages()[0].contains("--force"), "{refused:?}");
    let whole = spanwise(1, &["run", "a.toml", "--resume"], dir.path());
    assert_eq!((whole.code(), whole.stderr.as_str()), (0, ""), "{whole:?}");
    assert!(whole.stdout.contains("converged after") && whole.stdout.contains("2 of them before"), "{whole:?}");
    let resumed = report(&out);
    let again = spanwise(1, &["run", "a.toml", "--resume", "--quiet"], dir.path());
    assert_eq!(again.code(), 0, "{again:?}");
    let (steps, numbers) = (&report(&out)["steps"], &report(&out)["numbers"]);
    assert_eq!((steps, numbers), (&resumed["steps"], &resumed["numbers"]), "there was nothing left to do");
    let fresh = spanwise(ranks, &["run", "a.toml", "--force", "--quiet"], dir.path());
    assert_eq!(fresh.code(), 0, "{fresh:?}");
    assert_eq!(report(&out)["numbers"], resumed["numbers"], "the same numbers without a stop");

    let info = spanwise(1, &["info", "a.out"], dir.path());
    assert!(info.code() == 0 && info.stdout.contains("solver = \"transport\""), "{info:?}");
    let svg = spanwise(1, &["plot", "a.out", "-o", "a.svg"], dir.path());
    assert_eq!((svg.code(), svg.stdout.trim()), (0, "a.svg"), "{svg:?}");
    assert!(fs::read_to_string(dir.path().join("a.svg")).unwrap().contains("<svg"));
    let ended = spanwise(1, &["info", "a.toml"], dir.path());
    assert!(ended.stderr.contains("a.toml: is not an HDF5 file"), "{ended:?}");
    for wrong in
        [["plot", "a.out", "-o", "a.gif"].as_slice(), &["plot", "a.toml"], &["info", "absent.h5"], &["info", "a.toml"]]
    {
        let ended = spanwise(1, wrong, dir.path());
        assert_eq!((ended.code(), ended.messages().len()), (2, 1), "{wrong:?}: {ended:?}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_code_1() {
    let dir = directory_with("a.toml", QUICK);
    fs::create_dir_all(dir.path().join("a.out/output.h5.tmp")).unwrap();
    for ranks in rank_counts() {
        let arguments = ["run", "a.toml", "--quiet", "--force"];
        let program =
            if *ranks == 1 { command(1, &arguments, dir.path()) } else { mpirun(*ranks, &arguments, dir.path()) };
        let ended = finish(program, 1, Duration::from_secs(20));
        assert_eq!((ended.code(), ended.messages().len()), (1, 1), "{ended:?}");
        assert!(ended.messages()[0].contains("output.h5"), "{ended:?}");
        assert!(!dir.path().join("a.out/output.h5").is_file() && dir.path().join("a.out/checkpoint.h5").exists());
    }
}

/// Starts the slow run and waits until it steps.
fn under_way(dir: &Path, program: std::process::Command) -> Running {
    let running = start(program, 1);
    let begun = Instant::now();
    while !fs::read_to_string(dir.join("a.out/run.log")).unwrap_or_default().contains("step 1 ") {
        assert!(begun.elapsed() < Duration::from_secs(20), "no step was made");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

#[test]
fn signals_end_with_a_checkpoint_and_code_3() {
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGXCPU, libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let dir = directory_with("a.toml", SLOW);
        let running = under_way(dir.path(), command(1, &["run", "a.toml"], dir.path()));
        running.signal(signal);
        let ended = running.wait(Duration::from_secs(20));
        assert_eq!((ended.code(), ended.messages().len()), (3, 1), "{ended:?}");
        assert!(ended.messages()[0].contains("stopped by signal SIG"), "{ended:?}");
        assert!(dir.path().join("a.out/checkpoint.h5").exists() && dir.path().join("a.out/output.h5").exists());
    }
}

#[test]
fn usr1_to_mpirun_reaches_all_ranks() {
    if !cfg!(feature = "mpi") {
        return;
    }
    let dir = directory_with("a.toml", SLOW);
    let running = under_way(dir.path(), mpirun(3, &["run", "a.toml"], dir.path()));
    running.signal(libc::SIGUSR1);
    let ended = running.wait(Duration::from_secs(20));
    assert_eq!((ended.code(), ended.messages().len()), (3, 1), "{ended:?}");
    let report = report(&dir.path().join("a.out"));
    assert_eq!((report["reason"].as_str(), report["ranks"].as_u64()), (Some("signal SIGUSR1"), Some(3)));
}

#[test]
fn walltime_counts_from_the_start_and_ends_with_code_3() {
    let dir = directory_with("a.toml", SLOW);
    let begun = Instant::now();
    let ended = spanwise(1, &["run", "a.toml", "--walltime", "2s"], dir.path());
    assert_eq!(ended.code(), 3, "{ended:?}");
    assert!(ended.messages()[0].contains("the limit of wall time"), "{ended:?}");
    let seconds = begun.elapsed().as_secs_f64();
    assert!((1.9..15.0).contains(&seconds), "{seconds} s");
}

/// What cannot be told is a failure; what was computed is in its files all the same.
#[test]
#[cfg(target_os = "linux")]
fn words_that_do_not_fit_on_the_disk_are_code_1() {
    let dir = directory_with("a.toml", QUICK);
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let to_full = |arguments: &[&str]| {
        let mut command = command(1, arguments, dir.path());
        let child = command.stdout(full()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let ended = child.wait_with_output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    for arguments in
        [&["schema"][..], &["list"], &["info", "--build"], &["check", "a.toml"], &["--help"], &["completions", "bash"]]
    {
        let (code, words) = to_full(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {words}");
        assert!(words.starts_with("spanwise: standard output: No space left"), "{arguments:?}: {words}");
    }
    assert_eq!(to_full(&["run", "a.toml", "--quiet"]).0, Some(0));
    let log = fs::read_to_string(dir.path().join("a.out/run.log")).unwrap();
    assert!(log.contains("warning: standard output: No space left"), "{log}");
}

#[test]
fn check_speaks_in_the_words_of_the_input() {
    let shapes = QUICK
        .replace(
            "{ kind = \"torus\", points = 40, dimension = 1 }",
            "{ kind = \"shape\", shape = \"sphere\", points = 40 }",
        )
        .lines()
        .map(|line| match line.starts_with("target") {
            true => "target = { kind = \"shape\", shape = \"trefoil_knot\", points = 50 }\n".to_string(),
            false => format!("{line}\n"),
        })
        .collect::<String>();
    let dir = directory_with("a.toml", &shapes);
    let checked = spanwise(1, &["check", "a.toml"], dir.path());
    assert_eq!(checked.code(), 0, "{checked:?}");
    for words in ["40 points on a sphere", "50 points on a trefoil_knot"] {
        assert!(checked.stdout.contains(words), "{}", checked.stdout);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut pipe = std::process::Command::new("sh");
    pipe.args(["-c", "\"$0\" list transport | head -n 1", SPANWISE]);
    let ended = finish(pipe, 1, Duration::from_secs(20));
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(ended.stdout.starts_with("transport"));
}

#[test]
fn a_run_with_missing_observations_goes_on_and_not_with_another_method() {
    let dir = tempfile::tempdir().unwrap();
    // NaN is not equal to itself, yet it is the same problem.
    let filter = "solver = \"smc\"\n[problem]\nmodel = { kind = \"linear_gaussian\" }\n\
                  observations = { values = [0.2, nan, 0.4, 0.1] }\n[method]\nname = \"bootstrap\"\nparticles = 200\n";
    let flow = "solver = \"spectral\"\n[problem]\npoints = [16]\nend_time = 0.1\n\
                equation = { kind = \"burgers\", viscosity = 0.1 }\ninitial = { kind = \"named\", name = \"sine\" }\n\
                [method]\nscheme = \"if_rk4\"\ntime_step = 0.01\n";
    for (text, set, message) in [
        (filter, "method.name=\"auxiliary\"", "another [method] (name differs)"),
        (filter, "method.particles=300", "another [method] (particles differs)"),
        (flow, "method.scheme=\"sbdf3\"", "another [method] (scheme differs), and holds no state for this one"),
    ] {
        fs::write(dir.path().join("a.toml"), text).unwrap();
        let run = |more: &[&str]| spanwise(1, &[&["run", "a.toml", "--quiet"], more].concat(), dir.path());
        assert_eq!(run(&["--force", "--set", "run.max_steps=2"]).code(), 3, "{text}");
        let other = run(&["--resume", "--set", set]);
        assert!(other.code() == 2 && other.stderr.contains(message), "{message}: {other:?}");
        assert_eq!(run(&["--resume"]).code(), 0, "{text}");
    }
}

#[test]
fn results_go_to_a_path_of_500_bytes_on_any_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"spectral\"\n[problem]\npoints = [16, 16]\nend_time = 0.02\n\
                equation = { kind = \"vorticity_2d\", viscosity = 0.1 }\n[method]\ntime_step = 0.01\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let out = [["d"; 120].concat().as_str(); 4].join("/");
    for &ranks in program::rank_counts() {
        let ended = spanwise(ranks, &["run", "a.toml", "--quiet", "--force", "--output", &out], dir.path());
        assert_eq!(ended.code(), 0, "{ranks} ranks: {ended:?}");
        assert!(dir.path().join(&out).join("output.h5").is_file());
    }
}

#[test]
fn more_threads_than_a_rank_may_have_are_code_2() {
    let dir = directory_with("a.toml", QUICK);
    for &ranks in rank_counts() {
        let mut run = command(ranks, &["run", "a.toml"], dir.path());
        run.env("RAYON_NUM_THREADS", "5000");
        let ended = finish(run, ranks, Duration::from_secs(60));
        assert_eq!((ended.code(), ended.messages().len()), (2, 1), "{ranks} ranks: {ended:?}");
        assert!(ended.stderr.contains("RAYON_NUM_THREADS = 5000: a rank has at most 4096 threads"), "{ended:?}");
    }
}

/// 4·10⁹ particles of 40 coordinates: 1.3 TB in all.
#[test]
fn what_no_node_can_hold_is_code_2_before_any_work() {
    let text = "solver = \"smc\"\n[problem]\nobservations = { simulate = 3 }\n\
                model = { kind = \"lorenz_96\", dimension = 40, noise = 1.0, observation_sd = 0.5, initial_sd = 0.5, \
                time_step = 0.025 }\n[method]\nparticles = 4000000000\n";
    let dir = directory_with("a.toml", text);
    let words = [
        "method.particles = 4000000000: a rank needs",
        "most of it for \"states, log-weights and integer weights\"",
        "and its node has",
    ];
    for &ranks in rank_counts() {
        let ended = spanwise(ranks, &["run", "a.toml"], dir.path());
        assert_eq!((ended.code(), ended.messages().len()), (2, 1), "{ranks} ranks: {ended:?}");
        assert!(words.iter().all(|w| ended.stderr.contains(w)), "{ended:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
    let checked = spanwise(1, &["check", "a.toml"], dir.path());
    assert!(checked.code() == 0 && words[1..].iter().all(|w| checked.stdout.contains(w)), "{checked:?}");
}

/// macOS makes no such names.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_hdf5_cannot_name_is_code_2_before_any_work() {
    use std::os::unix::ffi::OsStrExt;
    let dir = directory_with("a.toml", QUICK);
    for &ranks in rank_counts() {
        let mut run = command(ranks, &["run", "a.toml", "--output"], dir.path());
        run.arg(std::ffi::OsStr::from_bytes(b"a\xff.out"));
        let ended = finish(run, ranks, Duration::from_secs(60));
        assert_eq!((ended.code(), ended.messages().len()), (2, 1), "{ranks} ranks: {ended:?}");
        assert!(ended.stderr.contains(r#"output "a\xFF.out": names of HDF5 files must be UTF-8"#), "{ended:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
