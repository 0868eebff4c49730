//! Malformed inputs of the paths room are refused on 1 and on 3 ranks with exit code 2, one message that names the place,
//! and nothing written; a chain that runs away ends with exit code 1.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::malformed::{Case, refused_alike};
use program::{rank_counts, spanwise};

const GOOD: [&str; 11] = [
    "solver = \"paths\"",                                               // 1
    "[run]",                                                            // 2
    "max_steps = 2",                                                    // 3
    "[problem]",                                                        // 4
    "prior = { kind = \"double_well\", height = 5.0 }",                 // 5
    "start = [-1.0]",                                                   // 6
    "time_step = 0.01",                                                 // 7
    "steps = 20",                                                       // 8
    "observations = [{ step = 20, value = [1.0], deviation = [0.1] }]", // 9
    "[method]",                                                         // 10
    "name = \"importance\"",                                            // 11
];

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case(5, "prior = { kind = \"duoble_well\" }", &["problem.prior.kind = \"duoble_well\"", "did you mean \"double_well\"?"]),
    Case(5, "prior = { kind = \"double_well\", height = -5.0 }", &["problem.prior.height = -5.0", "> 0"]),
    Case(5, "prior = { kind = \"muller_brown\" }", &["problem.prior.kind", "two coordinates; the start has 1"]),
    Case(5, "prior = { kind = \"brownian_bridge\", to = [1.0, 2.0] }", &["problem.prior.to", "has 2 coordinates; the start has 1"]),
    Case(6, "start = []", &["problem.start", "1 to 64"]),
    Case(6, "start = [-1.0]\nstart_deviation = [0.1, 0.2]", &["problem.start_deviation", "has 2 coordinates"]),
    Case(6, "start = [-1.0]\nstart_deviation = [-0.1]", &["problem.start_deviation", "negative"]),
    Case(6, "start = [-1.0]\nnoise = 0.0", &["problem.noise = 0.0", "> 0"]),
    Case(7, "time_step = 0.0", &["problem.time_step = 0.0", "> 0"]),
    Case(8, "steps = 0", &["problem.steps = 0", "from 1"]),
    Case(9, "observations = [{ step = 21, value = [1.0], deviation = [0.1] }]", &["problem.observations[0].step = 21", "at most steps = 20"]),
    Case(9, "observations = [{ step = 20, value = [1.0, 2.0], deviation = [0.1] }]", &["problem.observations[0].value", "2 values for 1"]),
    Case(9, "observations = [{ step = 20, value = [1.0], deviation = [-0.1] }]", &["problem.observations[0].deviation", "not above 0"]),
    Case(9, "observations = [{ step = 20, value = [1.0], deviation = [0.1], coordinates = [1] }]", &["problem.observations[0].coordinates", "1 is not below 1"]),
    Case(9, "observations = [{ step = 20, value = [1.0], deviation = [1e-170] }]", &["problem.observations[0].deviation", "1e-170 is so small"]),
    Case(9, "observations = [{ step = 20, value = [1.0, 2.0], deviation = [0.1], coordinates = [0, 0] }]", &["problem.observations[0].coordinates", "0 is there twice"]),
    Case(9, "balls = [{ step = 20, centre = [1.0], radius = 0.0 }]", &["problem.balls[0].radius = 0.0", "> 0"]),
    Case(9, "balls = [{ step = 20, centre = [1.0, 0.0], radius = 0.1 }]", &["problem.balls[0].centre", "has 2 coordinates"]),
    Case(9, "running = { functional_of = { kind = \"brownian\" } }", &["problem.running.functional_of.kind", "has no functional"]),
    Case(9, "running = { functional_of = { kind = \"double_well\" }, from = 9, to = 3 }", &["problem.running.from = 9", "after the last step"]),
    Case(11, "name = \"importanse\"", &["method.name = \"importanse\"", "did you mean \"importance\"?"]),
    Case(11, "name = \"importance\"\npaths = 0", &["method.paths = 0", "≥ 1"]),
    Case(11, "name = \"importance\"\nreplicates = 1", &["method.replicates = 1", "from 2"]),
    Case(11, "name = \"importance\"\ntwist = \"quadratic\"", &["method.twist = \"quadratic\"", "one of \"none\", \"linear\""]),
    Case(11, "name = \"twisted_smc\"\nresample_below = 1.5", &["method.resample_below = 1.5"]),
    Case(11, "name = \"twisted_smc\"\ntwist = { kind = \"learned\", low = [1.0], high = [-1.0] }", &["method.twist.high", "must be above low"]),
    Case(11, "name = \"twisted_smc\"\ntwist = { kind = \"learned\", low = [1.0, 0.0], high = [2.0] }", &["method.twist.low", "2 coordinates"]),
    Case(11, "name = \"controlled_annealing\"", &["method.low", "is missing"]),
    Case(11, "name = \"controlled_annealing\"\nlow = [1.0]\nhigh = [0.0]", &["method.high", "must be above low"]),
    Case(11, "name = \"annealed_dynamics\"\nstep_size = 1.5", &["method.step_size = 1.5", "at most 1"]),
    Case(11, "name = \"annealed_dynamics\"\nrotations = 10", &["method.rotations = 10", "not used by method.mover = \"pcn\"", "\"hmc\""]),
    Case(11, "name = \"annealed_dynamics\"\nmover = \"spde\"\nrotations = 3", &["method.rotations = 3", "not used by method.mover = \"spde\""]),
    Case(11, "name = \"annealed_dynamics\"\nmover = \"shooting\"\nstep_size = 0.3", &["method.step_size = 0.3", "not used by method.mover = \"shooting\"", "\"pcnl\""]),
    Case(11, "name = \"annealed_dynamics\"\nlevels = 4\ness = 0.9", &["method.ess = 0.9", "method.levels"]),
    Case(5, "prior = { kind = \"written\", components = [\"x\"], drift = { x = \"-4*y\" } }", &["problem.prior.drift", "x: unknown name \"y\"", "(at character 4)"]),
    Case(5, "prior = { kind = \"written\", components = [\"x\"], potential = \"abs(x)\" }", &["problem.prior.potential", "has no derivative by x"]),
    Case(5, "prior = { kind = \"written\", components = [\"x\"] }", &["problem.prior.drift", "give drift, or potential"]),
    Case(5, "prior = { kind = \"written\", components = [\"x\", \"y\"], drift = { x = 0, y = 0 } }", &["problem.prior.components", "names 2 coordinates; the start has 1"]),
    Case(5, "prior = { kind = \"written\", components = [\"x\"], drift = { x = 0 }, noise = { z = 1 } }", &["problem.prior.noise", "\"z\" is not a component"]),
    Case(7, "", &["problem.time_step", "is missing"]),
    Case(11, "name = \"committor\"\na = { kind = \"box\", low = [-2], high = [-1] }\nb = { kind = \"box\", low = [1], high = [2] }\nlow = [-2]\nhigh = [2]", &["problem.observations", "leave it out"]),
    Case(11, "name = \"shooting\"\nmoves = 0", &["method.moves = 0", "from 1 to"]),
    Case(11, "name = \"flexible_shooting\"\na = { kind = \"box\", low = [-2], high = [-0.8] }\nb = { kind = \"box\", low = [0.8], high = [2] }", &["method.name = \"flexible_shooting\"", "leave out observations"]),
    Case(11, "name = \"flexible_shooting\"\na = { kind = \"box\", low = [-2], high = [-0.8] }\nb = { kind = \"box\", low = [-1], high = [2] }", &["method.b", "must lie apart from a"]),
    Case(11, "name = \"flexible_shooting\"\na = { kind = \"box\", low = [-2], high = [-0.8] }", &["method.b", "is missing"]),
    Case(11, "name = \"twisted_smc\"\ntwist = { kind = \"grid\", low = [-2.0], high = [2.0], points = [10] }", &["method.twist.points", "at least 33"]),
    Case(11, "name = \"density_particles\"\npartikles = 128", &["method.partikles", "did you mean \"particles\"?"]),
    Case(11, "name = \"density_curve\"\ncomponents = 17", &["method.components = 17", "from 1 to 16"]),
    Case(11, "name = \"shooting\"\nreplicates = 1", &["method.replicates = 1", "from 2"]),
    Case(11, "name = \"annealed_dynamics\"\nmover = \"mala\"", &["method.mover = \"mala\"", "one of \"pcn\""]),
];

#[test]
fn malformed_inputs_of_paths_are_refused_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    // Of three lines where an expression is shown with its place.
    let good = refused_alike(dir.path(), &GOOD, CASES, 3, |file, _| file.to_string());
    assert!([0, 3].contains(&good), "the input that the cases spoil is good: {good}");
}

#[test]
fn a_chain_that_leaves_the_numbers_ends_with_exit_code_1_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = GOOD;
    lines[6] = "time_step = 5.0";
    fs::write(dir.path().join("case.toml"), lines.join("\n") + "\n").unwrap();
    let ended = spanwise(1, &["run", "case.toml", "--progress", "none"], dir.path());
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("of path ") && ended.stderr.contains("reduce problem.time_step"), "{ended:?}");
    assert_eq!(ended.messages().len(), 1, "{ended:?}");
}

#[test]
fn paths_that_all_miss_a_ball_end_with_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = GOOD;
    // 20 deviations of the walk away.
    lines[8] = "balls = [{ step = 20, centre = [30.0], radius = 1.0 }]";
    fs::write(dir.path().join("case.toml"), lines.join("\n") + "\n").unwrap();
    let sets = ["--set", "method.paths=64", "--set", "method.replicates=2", "--set", "run.max_steps=9"];
    let ended = spanwise(1, &[&["run", "case.toml", "--progress", "none"], &sets[..]].concat(), dir.path());
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("no path meets the cost"), "{ended:?}");
}

#[test]
fn a_committor_from_a_start_outside_the_box_of_the_grid_is_refused_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"paths\"\n[problem]\nprior = { kind = \"double_well\" }\nstart = [3.0]\n\
                [method]\nname = \"committor\"\nlow = [-2]\nhigh = [2]\n\
                a = { kind = \"box\", low = [-2], high = [-1] }\nb = { kind = \"box\", low = [1], high = [2] }\n";
    fs::write(dir.path().join("case.toml"), text).unwrap();
    let run = |sets: &[&str]| spanwise(1, &[&["check", "case.toml"], sets].concat(), dir.path());
    let ended = run(&[]);
    assert_eq!(ended.code(), 2, "{ended:?}");
    assert!(ended.stderr.contains("problem.start") && ended.stderr.contains("not between -2 and 2"), "{ended:?}");
    assert_eq!(run(&["--set", "problem.start=[2.0]"]).code(), 0);
}

#[test]
fn a_committor_whose_rates_are_not_numbers_ends_with_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    // The mass lies between the sets, 162 000 kT below them.
    let text = "solver = \"paths\"\n[problem]\nnoise = 0.1\nstart = [0.0, 0.0]\n\
                prior = { kind = \"written\", components = [\"x\", \"y\"], potential = \"1000*x^2 + y^2\" }\n\
                [method]\nname = \"committor\"\nlow = [-2, -2]\nhigh = [2, 2]\ncells = [40, 40]\n\
                a = { kind = \"box\", low = [-2, -2], high = [-0.9, 2] }\n\
                b = { kind = \"box\", low = [0.9, -2], high = [2, 2] }\n";
    fs::write(dir.path().join("case.toml"), text).unwrap();
    let ended = spanwise(1, &["run", "case.toml", "--progress", "none"], dir.path());
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("no flux passes"), "{ended:?}");
}

/// The numbers of a finished run's report: name → (value, standard error).
fn numbers(out: &Path) -> BTreeMap<String, (f64, Option<f64>)> {
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    let number = |n: &serde_json::Value| {
        (
            n["name"].as_str().unwrap().to_string(),
            (n["value"].as_f64().unwrap_or(f64::NAN), n["error"]["value"].as_f64()),
        )
    };
    report["numbers"].as_array().unwrap().iter().map(number).collect()
}

#[test]
fn the_inputs_of_path_coordinates_flexible_length_and_grids_give_their_numbers_alike_on_1_and_3_ranks() {
    // log Z = −0.73879092 by the recursion; the mean duration, 22.274949 steps of 0.01, by the recursion of
    // src/solvers/paths/exact/shooting.rs.
    for (input, paths, name, known) in [
        ("tilted_bridge_spde", 256, "log_evidence", -0.73879092),
        ("double_well_flexible_shooting", 64, "mean_duration", 0.22274949),
        ("muller_brown_ball", 512, "log_evidence", -10.2831),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("inputs/paths/{input}.toml"));
        let paths = format!("method.paths={paths}");
        let run = |ranks: usize| {
            let out = format!("out{ranks}");
            // Ranks that share a core are slow.
            let mut arguments = vec!["run", file.to_str().unwrap(), "--output", &out, "--progress", "none"];
            arguments.extend(["--set", &paths, "--set", "method.replicates=8"]);
            let ended = spanwise(ranks, &arguments, dir.path());
            assert_eq!(ended.code(), 0, "{ended:?}");
            numbers(&dir.path().join(out))
        };
        let one = run(1);
        for &ranks in &rank_counts()[1..] {
            assert_eq!(format!("{one:?}"), format!("{:?}", run(ranks)), "{input} on {ranks} ranks");
        }
        let (value, error) = one[name];
        let error = error.expect("a standard error");
        assert!((value - known).abs() < 4.0 * error, "{input}: {value} ± {error}, {known}");
    }
}

#[test]
fn what_does_not_fit_a_method_without_evidence_or_time_is_refused_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let committor = "name = \"committor\"\na = { kind = \"box\", low = [-2], high = [-0.9] }\n\
                     b = { kind = \"box\", low = [0.9], high = [2] }\nlow = [-2]\nhigh = [2]";
    let bridge = "name = \"schrodinger_bridge\"\nsource = { kind = \"points\", points = [[0.0]] }\n\
                  target = { kind = \"points\", points = [[0.0]] }";
    let negative = "name = \"schrodinger_bridge\"\nsource = { kind = \"points\", points = [[0.0]] }\n\
                    target = { kind = \"gaussian\", mean = [0.0], deviation = [-0.5] }";
    let beyond = "name = \"schrodinger_bridge\"\nsource = { kind = \"points\", points = [[0.0]] }\n\
                  target = { kind = \"gaussian\", mean = [1e20], deviation = [0.3] }";
    let wide = "name = \"schrodinger_bridge\"\nsource = { kind = \"points\", points = [[0.0]] }\n\
                target = { kind = \"points\", points = [[-1e6], [1e6]] }";
    let well = "prior = { kind = \"written\", components = [\"x\"], potential = \"5*(x^2 - 1)^2\", noise = { x = \"1 + 5*t*(1 - t)\" } }";
    for (problem, method, words) in [
        ("prior = { kind = \"double_well\" }\nknown_log_evidence = -1.0", committor, "problem.known_log_evidence"),
        ("prior = { kind = \"brownian\" }\nknown_log_evidence = -1.0", bridge, "problem.known_log_evidence"),
        ("prior = { kind = \"brownian\" }\nstart_deviation = [0.5]", bridge, "leave problem.start_deviation out"),
        ("prior = { kind = \"brownian\" }", negative, "-0.5 is negative"),
        ("prior = { kind = \"brownian\" }", beyond, "1e20 leaves no digit"),
        ("prior = { kind = \"brownian\" }", wide, "fewer than six digits"),
        // The same noise at times 0 and 1, and another one between.
        (well, committor, "constant noise"),
    ] {
        let text = format!(
            "solver = \"paths\"\n[problem]\n{problem}\nstart = [-0.5]\ntime_step = 0.05\nsteps = 20\n[method]\n{method}\n"
        );
        fs::write(dir.path().join("case.toml"), text).unwrap();
        for verb in ["run", "check"] {
            let ended = spanwise(1, &[verb, "case.toml"], dir.path());
            assert!(ended.code() == 2 && ended.stderr.contains(words), "{verb} {words}: {ended:?}");
        }
    }
}
