//! Every shipped input parses, checks and makes a step; every malformed one is refused on 1 and on 3 ranks with exit
//! code 2, one message that names the place, no panic, no hang, and nothing written.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use program::malformed::{Case, complaint, refused_alike};
use program::{command, finish, listing, npy, rank_counts, spanwise};

/// All files below `inputs/` that end in `.toml`.
fn shipped() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "toml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs"), &mut found);
    found.sort();
    found
}

#[test]
fn every_shipped_input_checks_and_makes_a_step() {
    let inputs = shipped();
    assert!(inputs.len() >= 6, "{inputs:?}");
    let dir = tempfile::tempdir().unwrap();
    for input in &inputs {
        let file = input.to_str().unwrap();
        let text = fs::read_to_string(input).unwrap();
        assert!(text.contains("[comment]"), "{file}: says where it is from");
        let checked = spanwise(1, &["check", file, "--ranks", "4"], dir.path());
        assert_eq!(checked.code(), 0, "{checked:?}");
        for heading in ["memory of the largest rank", "each step, each rank", "output.h5"] {
            assert!(checked.stdout.contains(heading), "{}", checked.stdout);
        }
        let arguments = ["run", file, "--set", "run.max_steps=1", "--force", "--quiet"];
        let ran = finish(command(1, &arguments, dir.path()), 1, Duration::from_secs(60));
        assert!([0, 3].contains(&ran.code()), "{ran:?}");
        let out = dir.path().join(input.file_stem().unwrap()).with_extension("out");
        assert!(out.join("output.h5").is_file() && out.join("checkpoint.h5").is_file(), "{file}");
    }
}

const GOOD: [&str; 10] = [
    "solver = \"transport\"",                           // 1
    "[run]",                                            // 2
    "max_steps = 3",                                    // 3
    "[problem]",                                        // 4
    "epsilon = 0.1",                                    // 5
    "source = { kind = \"points\", file = \"x.npy\" }", // 6
    "target = { kind = \"points\", file = \"y.npy\" }", // 7
    "cost = { kind = \"squared_euclidean\" }",          // 8
    "[method]",                                         // 9
    "tolerance = 1e-3",                                 // 10
];

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Keys and sections.
    Case(1, "sovler = \"transport\"", &["sovler", "did you mean \"solver\"?"]),
    Case(1, "solver = \"transprot\"", &["solver = \"transprot\"", "did you mean \"transport\"?"]),
    Case(1, "solver = 3", &["solver = 3", "must be one of \"transport\""]),
    Case(2, "[rum]", &["rum", "unknown section", "did you mean \"run\"?"]),
    Case(3, "max_step = 3", &["run.max_step", "unknown key", "did you mean \"max_steps\"?"]),
    Case(5, "epsilom = 0.1", &["problem.epsilom", "unknown key", "did you mean \"epsilon\"?"]),
    Case(10, "tolerence = 1e-3", &["method.tolerence", "unknown key", "did you mean \"tolerance\"?"]),
    Case(10, "epsilon_scaling = { factr = 0.5 }", &["method.epsilon_scaling.factr", "did you mean \"factor\"?"]),
    Case(6, "source = { kind = \"points\", flie = \"x.npy\" }", &["problem.source.flie", "did you mean \"file\"?"]),
    Case(6, "source = { kind = \"points\" }", &["problem.source.file", "is missing"]),
    Case(6, "source = { file = \"x.npy\" }", &["problem.source.kind", "is missing; one of \"points\""]),
    Case(6, "source = { kind = \"pionts\", file = \"x.npy\" }", &["problem.source.kind = \"pionts\"", "did you mean \"points\"?"]),
    Case(6, "source = { kind = \"torus\", points = 4, dimension = 1, file = \"x.npy\" }", &["problem.source.file", "unknown key"]),
    Case(2, "[output]\nevery = 0\n[run]", &["output.every = 0", "must be an integer ≥ 1"]),
    Case(2, "[output]\ncompression = 10\n[run]", &["output.compression = 10", "from 0 to 9"]),
    Case(2, "[output]\nevry = 1\n[run]", &["output.evry", "did you mean \"every\"?"]),
    Case(2, "[checkpoint]\nkeep = 0\n[run]", &["checkpoint.keep = 0", "from 1 to 100"]),
    Case(2, "[checkpoint]\nevery = \"soon\"\n[run]", &["checkpoint.every = \"soon\"", "must be a time such as"]),
    Case(2, "[checkpoint]\nevery = 1.5\n[run]", &["checkpoint.every = 1.5", "an integer ≥ 1, or a text"]),
    // Types and ranges.
    Case(5, "epsilon = -0.1", &["problem.epsilon = -0.1", "must be a number > 0"]),
    Case(5, "epsilon = 0", &["problem.epsilon = 0", "must be a number > 0"]),
    Case(5, "epsilon = nan", &["problem.epsilon = nan", "finite"]),
    Case(5, "epsilon = inf", &["problem.epsilon = inf", "finite"]),
    Case(5, "epsilon = \"small\"", &["problem.epsilon = \"small\"", "must be a number > 0, not a text"]),
    Case(5, "epsilon = [0.1]", &["problem.epsilon = [0.1]", "not a list"]),
    Case(5, "epsilon = 2024-02-29", &["problem.epsilon = 2024-02-29", "not a date"]),
    Case(5, "epsilon = 1e999", &["1e999", "range of f64"]),
    Case(6, "source = \"x.npy\"", &["problem.source = \"x.npy\"", "must be a table with kind"]),
    Case(6, "source = { kind = \"points\", file = 3 }", &["problem.source.file = 3", "must be a text in quotes"]),
    Case(8, "cost = { kind = \"euclidean_power\", power = 0.0 }", &["problem.cost.power = 0.0", "must be a number > 0"]),
    Case(8, "cost = { kind = \"euclidean_power\" }", &["problem.cost.power", "is missing; a number > 0"]),
    Case(8, "cost = { kind = \"manhattan\" }", &["problem.cost.kind = \"manhattan\"", "must be one of \"squared_euclidean\""]),
    Case(8, "cost = { kind = \"squared_euclidean\", period = -1.0 }", &["problem.cost.period = -1.0", "> 0"]),
    Case(8, "quantity = \"distance\"", &["problem.quantity = \"distance\"", "one of \"transport\", \"divergence\""]),
    Case(8, "source_penalty = 0.0", &["problem.source_penalty = 0.0", "> 0"]),
    Case(8, "normalise = \"yes\"", &["problem.normalise = \"yes\"", "true or false"]),
    Case(8, "results = [\"gradient\"]", &["problem.results[0] = \"gradient\"", "did you mean \"gradients\"?"]),
    Case(8, "results = \"gradients\"", &["problem.results = \"gradients\"", "must be a list"]),
    Case(8, "plan_entries = -1", &["problem.plan_entries = -1", "≥ 0"]),
    Case(8, "plan_entries = 99999999999999999999", &["99999999999999999999", "64 bits"]),
    Case(10, "tolerance = 0.0", &["method.tolerance = 0.0", "> 0"]),
    Case(10, "tolerance = nan", &["method.tolerance = nan", "finite"]),
    Case(10, "name = \"sinkhron\"", &["method.name = \"sinkhron\"", "did you mean \"sinkhorn\"?"]),
    Case(10, "precision = \"double\"", &["method.precision = \"double\"", "one of \"f64\", \"f32\", \"mixed\""]),
    Case(10, "memory = 51", &["method.memory = 51", "from 1 to 50"]),
    Case(10, "memory = 8.0", &["method.memory = 8.0", "must be an integer", "(write 8)"]),
    Case(10, "relaxation = 2.0", &["method.relaxation = 2.0", "> 0 and < 2"]),
    Case(10, "check_every = 0", &["method.check_every = 0", "≥ 1"]),
    Case(10, "epsilon_scaling = { factor = 1.0 }", &["method.epsilon_scaling.factor = 1.0", "< 1"]),
    Case(3, "max_steps = 0", &["run.max_steps = 0", "≥ 1"]),
    Case(3, "threads = -2", &["run.threads = -2", "from 0 to 4096"]),
    Case(3, "threads = 100000", &["run.threads = 100000", "from 0 to 4096"]),
    Case(3, "seed = -1", &["run.seed = -1", "≥ 0"]),
    Case(3, "kernels = \"sse\"", &["run.kernels = \"sse\"", "one of \"auto\""]),
    Case(3, "walltime = \"1 fortnight\"", &["run.walltime = \"1 fortnight\"", "must be a time such as"]),
    Case(3, "walltime = \"0s\"", &["run.walltime = \"0s\"", "more than zero"]),
    Case(3, "walltime = \"99999999999999999999h\"", &["run.walltime = \"99999999999999999999h\"", "at most a hundred years"]),
    Case(3, "walltime = 1e30", &["run.walltime = 1e30", "at most a hundred years"]),
    // Syntax.
    Case(5, "epsilon = = 0.1", &["column 11"]),
    Case(5, "epsilon 0.1", &["column"]),
    Case(6, "epsilon = 0.2", &["duplicate key"]),
    Case(5, "epsilon = \"0.1", &["column"]),
    // Files of data.
    Case(6, "source = { kind = \"points\", file = \"absent.npy\" }", &["problem.source.file = \"absent.npy\"", "no such file"]),
    Case(6, "source = { kind = \"points\", file = \"folder\" }", &["problem.source.file", "directory"]),
    Case(6, "source = { kind = \"points\", file = \"text.h5\" }", &["problem.source.file", "HDF5"]),
    Case(6, "source = { kind = \"points\", file = \"cut.h5\" }", &["problem.source.file", "truncated or damaged"]),
    Case(6, "source = { kind = \"points\", file = \"cut.npy\" }", &["problem.source.file"]),
    Case(6, "source = { kind = \"points\", file = \"text.npz\" }", &["problem.source.file"]),
    Case(6, "source = { kind = \"points\", file = \"empty.npy\" }", &["problem.source", "empty"]),
    Case(6, "source = { kind = \"points\", file = \"nothing.csv\" }", &["problem.source.file", "empty"]),
    Case(6, "source = { kind = \"points\", file = \"nan.npy\" }", &["problem.source.file", "finite"]),
    Case(6, "source = { kind = \"points\", file = \"words.csv\" }", &["problem.source.file", "line 2, column 2", "is not a number"]),
    Case(6, "source = { kind = \"points\", file = \"ragged.csv\" }", &["problem.source.file", "line 2"]),
    Case(6, "source = { kind = \"points\", file = \"x.bmp\" }", &["problem.source.file", "unknown format"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", dataset = \"points\" }", &["problem.source.file"]),
    Case(6, "source = { kind = \"points\", file = \"two.h5\" }", &["problem.source.file", "dataset"]),
    Case(6, "source = { kind = \"points\", file = \"two.h5\", dataset = \"ponts\" }", &["problem.source.file", "did you mean \"points\"?"]),
    Case(6, "source = { kind = \"points\", file = \"huge.npy\" }", &["problem.source.file"]),
    Case(7, "target = { kind = \"points\", file = \"three.npy\" }", &["problem.target", "dimension 2", "3"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", weights = \"nan_weights.npy\" }", &["problem.source", "weight 2 is NaN"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", weights = \"negative.npy\" }", &["problem.source", "weight 2 is -0.2"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", weights = \"zero.npy\" }", &["problem.source", "weights sum to 0"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", weights = \"short.npy\" }", &["problem.source.weights", "4 weights for 5 points"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", weights = \"heavy.npy\" }\nnormalise = false", &["problem", "normalise"]),
    Case(6, "source = { kind = \"points\", file = \"x.npy\", weights = \"faint.npy\" }", &["problem.target", "the source weights sum to 5", "e-200 and"]),
    Case(6, "source = { kind = \"points\", file = \"pipe.npy\" }", &["problem.source.file", "is a pipe"]),
    Case(10, "warm_start = \"absent.h5\"", &["method.warm_start = \"absent.h5\": no such file"]),
    Case(10, "warm_start = \"text.h5\"", &["method.warm_start", "is not an HDF5 file"]),
    // Images.
    Case(6, "source = { kind = \"image_grid\", file = \"pipe.npy\" }", &["problem.source.file", "is a pipe"]),
    Case(6, "source = { kind = \"image_colours\", file = \"absent.png\" }", &["problem.source.file", "no such file"]),
    Case(6, "source = { kind = \"image_colours\", file = \"text.png\" }", &["problem.source.file", "not a PNG or JPEG"]),
    Case(6, "source = { kind = \"image_grid\", file = \"cut.png\" }", &["problem.source.file", "unreadable image"]),
    Case(6, "source = { kind = \"image_colours\", file = \"cut.png\", levels = 1 }", &["problem.source.levels = 1", "from 2 to 256"]),
    Case(6, "source = { kind = \"image_grid\", file = \"good.png\", size = [0, 4] }", &["problem.source.size"]),
    Case(6, "source = { kind = \"image_grid\", file = \"good.png\", size = [4] }", &["problem.source.size = [4]", "a list of 2 integers"]),
    // Generated measures and matrices.
    Case(6, "source = { kind = \"uniform_samples\", points = 100000000000, dimension = 2 }", &["problem.source.points = 100000000000", "a rank needs", "GB", "and its node has"]),
    Case(6, "source = { kind = \"gaussian_grid\", mean = [1e9, 0.0], standard_deviation = [1e-9, 1.0], points = 5, interval = [-1.0, 1.0] }", &["problem.source.mean[0] = 1e9", "no cell of the grid has any mass"]),
    Case(6, "source = { kind = \"uniform_samples\", points = 0, dimension = 2 }", &["problem.source"]),
    Case(6, "source = { kind = \"uniform_samples\", points = 9000000000000000000, dimension = 2 }", &["problem.source"]),
    Case(6, "source = { kind = \"torus\", points = 100, dimension = 9 }", &["problem.source"]),
    Case(6, "source = { kind = \"torus\", points = 4000000, dimension = 3 }", &["problem.source.points"]),
    Case(6, "source = { kind = \"gaussian_grid\", mean = [0.0, 0.0], standard_deviation = [1.0], points = 5, interval = [-1.0, 1.0] }", &["problem.source.standard_deviation"]),
    Case(6, "source = { kind = \"gaussian_grid\", mean = [0.0, 0.0], standard_deviation = [1.0, -1.0], points = 5, interval = [-1.0, 1.0] }", &["problem.source.standard_deviation", "positive"]),
    Case(6, "source = { kind = \"gaussian_grid\", mean = [0.0, 0.0], standard_deviation = [1.0, 1.0], points = 5, interval = [1.0, -1.0] }", &["problem.source.interval"]),
    Case(6, "source = { kind = \"gaussian_samples\", points = 5, means = [[0.0, 0.0], [1.0]], standard_deviations = [1.0, 1.0] }", &["problem.source.means"]),
    Case(8, "cost = { kind = \"matrix\", file = \"x.npy\" }", &["problem.cost.file"]),
    Case(8, "cost = { kind = \"matrix\", file = \"nan_matrix.npy\" }", &["problem.cost.file", "finite"]),
    // Numbers beyond what can be computed with.
    Case(5, "epsilon = 1e-320", &["problem.epsilon = 1e-320", "larger epsilon"]),
    Case(6, "source = { kind = \"points\", file = \"vast.npy\" }", &["problem.cost", "costs reach"]),
    Case(8, "cost = { kind = \"matrix\", file = \"vast_matrix.npy\" }", &["problem.cost.file", "costs reach 1e308"]),
    Case(8, "cost = { kind = \"euclidean_power\", power = 1e6 }", &["problem.cost.power = 1e6", "costs reach inf"]),
    Case(10, "epsilon_scaling = { enabled = \"on\", factor = 0.9999999999999999 }", &["method.epsilon_scaling", "levels from"]),
];

/// A pipe that nobody writes to.
fn pipe(path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a zero-terminated name.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

/// The files that the cases name.
fn write_data(directory: &Path) {
    let put = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
    let points: Vec<f64> = (0..10).map(|k| 0.1 * f64::from(k)).collect();
    put("x.npy", &npy(&[5, 2], &points));
    put("y.npy", &npy(&[4, 2], &points[..8]));
    put("x.bmp", b"BM00\n");
    put("three.npy", &npy(&[3, 3], &points[..9]));
    put("cut.npy", &npy(&[5, 2], &points[..7]));
    put("huge.npy", &npy(&[1 << 40, 1 << 40], &points));
    put("empty.npy", &npy(&[0, 2], &[]));
    put("nothing.csv", b"");
    put("words.csv", b"0.0,1.0\n1.0,north\n");
    put("ragged.csv", b"0.0,1.0\n1.0\n");
    put("text.h5", b"this is not HDF5\n");
    put("text.npz", b"this is no archive\n");
    put("text.png", b"this is no picture\n");
    fs::create_dir(directory.join("folder")).unwrap();
    let with = |value: f64| {
        let mut bad = points.clone();
        bad[3] = value;
        bad
    };
    put("nan.npy", &npy(&[5, 2], &with(f64::NAN)));
    put("nan_matrix.npy", &npy(&[5, 4], &[with(f64::INFINITY), points.clone()].concat()));
    put("nan_weights.npy", &npy(&[5], &[0.2, 0.2, f64::NAN, 0.2, 0.2]));
    put("negative.npy", &npy(&[5], &[0.2, 0.2, -0.2, 0.4, 0.4]));
    put("zero.npy", &npy(&[5], &[0.0; 5]));
    put("short.npy", &npy(&[4], &[0.25; 4]));
    put("faint.npy", &npy(&[5], &[1e-200; 5]));
    put("vast.npy", &npy(&[5, 2], &[1e200; 10]));
    put("vast_matrix.npy", &npy(&[5, 4], &[1e308; 20]));
    pipe(&directory.join("pipe.npy"));
    put("heavy.npy", &npy(&[5], &[0.2, 0.2, 0.2, 0.2, 0.200_01]));

    let h5 = directory.join("two.h5");
    let file = hdf5::File::create(&h5).unwrap();
    for name in ["points", "others"] {
        file.new_dataset::<f64>().shape((5, 2)).create(name).unwrap().write_raw(&points).unwrap();
    }
    file.close().unwrap();
    let whole = fs::read(&h5).unwrap();
    put("cut.h5", &whole[..whole.len() / 2]);
    let picture = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([(x * 16) as u8, (y * 16) as u8, 99]));
    picture.save(directory.join("good.png")).unwrap();
    let whole = fs::read(directory.join("good.png")).unwrap();
    put("cut.png", &whole[..whole.len() / 2]);
}

#[test]
fn malformed_inputs_are_refused_alike_on_1_and_3_ranks() {
    const { assert!(CASES.len() >= 60) };
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    let good = refused_alike(dir.path(), &GOOD, CASES, 1, |file, Case(line, text, _)| {
        // In a text of several lines the mistake is in the last but one where a section precedes it.
        let line = line + usize::from(text.starts_with("[output]") || text.starts_with("[checkpoint]"));
        match text {
            text if text.contains("normalise = false") => format!("{file}:"),
            // What is wrong with these shows beside the other measure, and in the costs.
            text if text.contains("faint.npy") => format!("{file}:7: "),
            text if text.contains("vast.npy") => format!("{file}:8: "),
            _ => format!("{file}:{line}: "),
        }
    });
    assert!([0, 3].contains(&good), "the input that the cases spoil is good: {good}");
}

#[test]
fn files_that_are_no_input_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    put("empty.toml", b"");
    put("blank.toml", b"# only a comment\n");
    put("latin.toml", b"solver = \"transport\"\n[comment]\nwho = \"M\xfcller\"\n");
    put("hdf5.toml", b"\x89HDF\r\n\x1a\n\x00\x00");
    put("no_problem.toml", b"solver = \"transport\"\n");
    fs::create_dir(dir.path().join("folder.toml")).unwrap();
    pipe(&dir.path().join("pipe.toml"));
    let before = listing(dir.path());
    for (arguments, fragments) in [
        (vec!["run", "absent.toml"], vec!["absent.toml: no such file"]),
        (vec!["run", "folder.toml"], vec!["folder.toml: is a directory"]),
        (vec!["run", "pipe.toml"], vec!["pipe.toml: is a pipe"]),
        (vec!["run", "empty.toml"], vec!["empty.toml: is empty"]),
        (vec!["run", "blank.toml"], vec!["blank.toml:1: solver: is missing; one of \"transport\""]),
        (vec!["run", "latin.toml"], vec!["latin.toml:3: is not UTF-8"]),
        (vec!["run", "hdf5.toml"], vec!["hdf5.toml: is an HDF5 file"]),
        (vec!["run", "no_problem.toml"], vec!["no_problem.toml:1: problem: section [problem] is missing"]),
    ] {
        for ranks in rank_counts() {
            let ended = spanwise(*ranks, &arguments, dir.path());
            assert_eq!(complaint(&ended, 1, &fragments), None, "{arguments:?} on {ranks} ranks");
        }
    }
    assert_eq!(before, listing(dir.path()), "something was written");
}

#[test]
fn check_refuses_by_keys_and_headers_what_run_refuses() {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    let cases = [
        (5, "epsilon = 0.1\nsource_penalty = 1.0\nquantity = \"divergence\"", ["problem.quantity", "neither"]),
        (9, "source_penalty = 1.0\n[method]\nname = \"semidual_rkhs\"", ["method.name", "balanced problems only"]),
        (
            6,
            "source = { kind = \"points\", file = \"x.npy\", weights = \"short.npy\" }",
            ["problem.source.weights", "4 weights"],
        ),
        (
            6,
            "source = { kind = \"points\", file = \"x.npy\", weights = \"absent.npy\" }",
            ["problem.source.weights", "no such file"],
        ),
        (10, "warm_start = \"absent.h5\"", ["method.warm_start", "no such file"]),
        (10, "warm_start = \"two.h5\"", ["method.warm_start", "there is no dataset"]),
    ];
    for (line, text, fragments) in cases {
        let mut lines = GOOD;
        lines[line - 1] = text;
        fs::write(dir.path().join("a.toml"), lines.join("\n")).unwrap();
        for command in ["check", "run"] {
            assert_eq!(
                complaint(&spanwise(1, &[command, "a.toml"], dir.path()), 1, &fragments),
                None,
                "{command} {text}"
            );
        }
    }
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    fs::write(dir.path().join("good.toml"), GOOD.join("\n")).unwrap();
    fs::write(dir.path().join("plain"), "a file\n").unwrap();
    let before = listing(dir.path());
    for (options, fragments) in [
        (vec!["--set", "method.tolerance=-1"], vec!["method.tolerance = -1", "(from --set method.tolerance=-1)"]),
        (vec!["--set", "method.name=newtn"], vec!["method.name", "did you mean \"newton\"?", "--set"]),
        (vec!["--set", "mehtod.name=newton"], vec!["mehtod", "did you mean \"method\"?"]),
        (vec!["--set", "nonsense"], vec!["--set nonsense: needs key=value"]),
        (vec!["--set", "problem.epsilon.x=1"], vec!["problem.epsilon is a value"]),
        (vec!["--walltime", "soon"], vec!["--walltime soon: must be a time"]),
        (vec!["--resume", "--force"], vec!["--resume", "--force"]),
        (vec!["--resume"], vec!["there is no checkpoint in good.out"]),
        (vec!["--output", "plain"], vec!["output directory plain", "file"]),
    ] {
        for ranks in rank_counts() {
            let arguments = [vec!["run", "good.toml"], options.clone()].concat();
            let ended = spanwise(*ranks, &arguments, dir.path());
            assert_eq!(complaint(&ended, 1, &fragments), None, "{options:?} on {ranks} ranks");
        }
    }
    assert_eq!(before, listing(dir.path()), "something was written");
}

#[test]
fn a_directory_in_use_is_refused() {
    use std::os::fd::AsRawFd;
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    fs::write(dir.path().join("good.toml"), GOOD.join("\n")).unwrap();
    fs::create_dir(dir.path().join("good.out")).unwrap();
    let lock = fs::File::create(dir.path().join("good.out/.lock")).unwrap();
    // SAFETY: an open descriptor.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
    let before = listing(dir.path());
    for ranks in rank_counts() {
        let ended = spanwise(*ranks, &["run", "good.toml", "--force"], dir.path());
        assert_eq!(complaint(&ended, 1, &["output directory good.out is in use"]), None, "{ranks} ranks");
    }
    assert_eq!(before, listing(dir.path()), "something was written");
}

#[test]
fn processes_that_do_not_meet_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    fs::write(dir.path().join("good.toml"), GOOD.join("\n")).unwrap();
    let before = listing(dir.path());
    for (size, rank, launcher) in [("PMI_SIZE", "PMI_RANK", "MPICH"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun")]
    {
        // Every process is alone with rank 0 of its own world; the launcher's rank 0 speaks, the others do not.
        for (mine, messages) in [("0", 1), ("2", 0)] {
            let mut alone = command(1, &["run", "good.toml"], dir.path());
            alone.env(size, "3").env(rank, mine);
            let ended = finish(alone, 1, Duration::from_secs(20));
            assert_eq!((ended.code(), ended.messages().len()), (2, messages), "{ended:?}");
            if messages == 1 {
                let fragments = [launcher, "started 3 processes", "each runs alone"];
                assert_eq!(complaint(&ended, 1, &fragments), None);
            }
        }
    }
    assert_eq!(before, listing(dir.path()), "something was written");
}

#[test]
fn a_barycentric_map_onto_atoms_without_points_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    fs::write(dir.path().join("cost.npy"), npy(&[5, 4], &(0..20).map(f64::from).collect::<Vec<f64>>())).unwrap();
    for source in ["{ kind = \"atoms\", points = 5 }", "{ kind = \"points\", file = \"x.npy\" }"] {
        let text = format!(
            "solver = \"transport\"\n[problem]\nepsilon = 0.1\nsource = {source}\n\
             target = {{ kind = \"atoms\", points = 4 }}\ncost = {{ kind = \"matrix\", file = \"cost.npy\" }}\n\
             results = [\"barycentric_map\"]\n"
        );
        fs::write(dir.path().join("map.toml"), text).unwrap();
        let before = listing(dir.path());
        let says = ["map.toml:7: ", "problem.results = [\"barycentric_map\"]", "target", "allowed", "\"gradients\""];
        for (ranks, command) in rank_counts().iter().map(|ranks| (*ranks, "run")).chain([(1, "check")]) {
            let ended = spanwise(ranks, &[command, "map.toml"], dir.path());
            assert_eq!(complaint(&ended, 1, &says), None, "{source}, {command} on {ranks} ranks");
        }
        assert_eq!(listing(dir.path()), before, "something was written");
    }
}
