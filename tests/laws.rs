//! The house keeps its arrows: a test that reads what each file names.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// (path from src/, program text without comments) of every file.
fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<(String, String)> = sources(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            let text = fs::read_to_string(&path).unwrap();
            // What tests name is their own business.
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect();
    assert!(files.len() > 60, "only {} files found", files.len());
    files
}

/// Files that are not among `allowed` (paths or folders) and hold one of `words`.
fn offenders(words: &[&str], allowed: &[&str]) -> Vec<String> {
    all()
        .into_iter()
        .filter(|(name, _)| !allowed.iter().any(|a| name == a || name.starts_with(&format!("{a}/"))))
        .filter_map(|(name, text)| words.iter().find(|w| text.contains(**w)).map(|w| format!("{name} names {w}")))
        .collect()
}

#[test]
fn only_team_mpi_names_the_mpi_crate() {
    let none: Vec<String> = Vec::new();
    assert_eq!(offenders(&["use mpi::", "use ::mpi", "mpi::ffi", "ffi::MPI_"], &["team/mpi.rs"]), none);
}

#[test]
fn only_io_names_hdf5() {
    assert_eq!(offenders(&["hdf5::", "hdf5_sys::", "use hdf5"], &["io", "build_info.rs"]), Vec::<String>::new());
}

/// Files of tests of the smc room.
const SMC_TESTS: [&str; 6] = [
    "solvers/smc/models/tests.rs",
    "solvers/smc/models/tests",
    "solvers/smc/models/written/tests.rs",
    "solvers/smc/chains_tests.rs",
    "solvers/smc/prediction_tests.rs",
    "solvers/smc/prediction/outcomes_tests.rs",
];

#[test]
fn mathematics_names_no_ranks_files_or_observers() {
    let door = [
        "backend",
        "check",
        "distributed",
        "geometry",
        "measures",
        "plot",
        "results",
        "setup",
        "solver",
        "solver/derive",
        "sweep/blocks",
        "sweep/board",
        "sweep/mod",
        "sweep/shares",
        "mod",
    ];
    let mut door: Vec<String> = door.iter().map(|f| format!("solvers/transport/{f}.rs")).collect();
    // Of the spectral room: the door, whatever meets ranks, and files of tests.
    let spectral = [
        "mod",
        "setup",
        "start",
        "check",
        "problem",
        "evolution",
        "ensemble",
        "growth",
        "bounded",
        "initial",
        "nonlinear",
        "plot",
        "plot/",
        "transform/",
        "exact",
        "exact/",
        "results/output",
        "results/ranks",
        "results/remap",
        "results/stack",
        "results/xdmf",
        "results/tests",
        "walls/solver",
        "walls/once",
        "walls/walked",
        "walls/upright",
        "walls/diagnostics",
        "walls/advection",
        "walls/ranks",
        "walls/tests",
        "steppers/tests",
        "steppers/pde_tests",
        "steppers/small",
        "tangent",
        "reality",
        "sampled",
        "equations/written/tests",
    ];
    door.extend(spectral.map(|f| format!("solvers/spectral/{f}")));
    door.extend(SMC_TESTS.map(String::from));
    let smc = [
        "mod",
        "setup",
        "solver",
        "sampling",
        "smoothing",
        "prediction",
        "alone",
        "gibbs",
        "pmmh",
        "smc_squared",
        "walk",
        "names",
        "check",
        "plot",
    ];
    door.extend(smc.map(|f| format!("solvers/smc/{f}")));
    let paths = ["mod", "setup", "solver", "check", "ranks", "plot", "exact", "committor/run", "committor/plot"];
    door.extend(paths.map(|f| format!("solvers/paths/{f}")));
    let words = ["crate::team", "crate::io", "crate::observe", "crate::input", "std::time", "std::fs"];
    let found: Vec<String> = offenders(&words, &[])
        .into_iter()
        .filter(|o| o.starts_with("math/") || o.starts_with("solvers/"))
        .filter(|o| !o.starts_with("solvers/mod.rs"))
        .filter(|o| !door.iter().any(|d| o.starts_with(d.as_str())))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

/// The particle engine stands beside `team`: rooms name it, it names none.
#[test]
fn the_particle_engine_names_no_room_file_input_or_observer() {
    let words = ["crate::solvers", "crate::io", "crate::observe", "crate::input", "std::time", "std::fs"];
    let found: Vec<String> = offenders(&words, &[])
        .into_iter()
        .filter(|o| o.starts_with("particles/") && !o.starts_with("particles/tests"))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_loop_and_the_observers_know_no_solver_by_name() {
    let rooms = ["transport", "spectral", "smc", "paths"].map(|room| [format!("solvers::{room}"), format!("{room}::")]);
    let words: Vec<&str> = rooms.iter().flatten().map(String::as_str).collect();
    let found: Vec<String> =
        offenders(&words, &["solvers", "particles/tests.rs", "particles/tests"]).into_iter().collect();
    assert_eq!(found, Vec::<String>::new());
}

/// The C library's elementary functions have other bits on other machines; `crate::math::elementary` and the kernels'
/// own have the same everywhere.
#[test]
fn solvers_and_mathematics_call_no_elementary_function_of_the_c_library() {
    let functions = [
        "exp", "exp_m1", "ln", "ln_1p", "log", "log10", "powf", "cbrt", "hypot", "sin", "cos", "tan", "sin_cos",
        "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    ];
    // These are also methods of the kernels' vectors.
    let vectors = ["exp2", "log2"];
    // As a method of a number, or by its path.
    let calls = |name: &&str| vec![format!(".{name}("), format!("f64::{name}"), format!("f32::{name}")];
    let found = |names: &[&str], allowed: &[&str]| -> Vec<String> {
        let words: Vec<String> = names.iter().flat_map(calls).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let theirs = |o: &String| ["solvers/", "math/", "particles/"].iter().any(|f| o.starts_with(f));
        offenders(&words, allowed).into_iter().filter(theirs).collect()
    };
    // Exact answers and slow twins are there for tests; a figure is for the eye.
    let room = "solvers/transport";
    let tests = ["exact.rs", "exact", "plot.rs", "kernels/tests.rs", "grid/tests.rs"].map(|f| format!("{room}/{f}"));
    let mut allowed: Vec<&str> = tests.iter().map(String::as_str).collect();
    allowed.extend(["solvers/spectral/exact.rs", "solvers/spectral/exact", "solvers/spectral/plot.rs"]);
    allowed.extend(["solvers/spectral/plot", "solvers/spectral/steppers/tests.rs", "solvers/spectral/walls/tests.rs"]);
    allowed.extend(["solvers/spectral/transform/tests.rs", "solvers/spectral/equations/written/tests.rs"]);
    allowed.extend(["solvers/spectral/equations/written/tests", "solvers/spectral/results/tests.rs"]);
    allowed.extend(SMC_TESTS);
    allowed.extend([
        "solvers/spectral/steppers/pde_tests.rs",
        "solvers/spectral/steppers/small.rs",
        "particles/tests.rs",
        "particles/tests",
    ]);
    allowed.extend([
        "solvers/paths/exact",
        "solvers/paths/plot.rs",
        "solvers/paths/priors/tests.rs",
        "solvers/paths/committor/tests.rs",
    ]);
    allowed.extend(["solvers/spectral/steppers/pde_tests.rs", "solvers/spectral/steppers/small.rs"]);
    assert_eq!(found(&functions, &allowed), Vec::<String>::new());
    let kernels = format!("{room}/kernels");
    allowed.extend([kernels.as_str(), "math/simd"]);
    assert_eq!(found(&vectors, &allowed), Vec::<String>::new());
}
