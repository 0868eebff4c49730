//! A run that begins where another ended, between walls and not: the same state at the same resolution, the same
//! integrals at another, the same bits on any number of ranks.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::spanwise;
use spanwise::input::Input;
use spanwise::solvers;
use spanwise::team::{Team, threads};

/// What a solver made from this input records of its first state.
fn first(path: &Path, text: &str, team: &dyn Team) -> Vec<(String, f64)> {
    let input = Input::parse(path, text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let entry = solvers::find("spectral").expect("a registered solver");
    let mut solver = (entry.build)(&input, team).unwrap_or_else(|e| panic!("{e}\n{text}"));
    solver.measure(team).unwrap();
    solver.record().into_iter().map(|(name, value)| (name.name.to_string(), value)).collect()
}

/// Runs `problem` to its end, then compares the first state of a run that reads it on `points` and `finer` points with
/// the numbers of the report.
fn compare(problem: &str, method: &str, points: &str, finer: &str, names: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let text = |points: &str, initial: &str| {
        format!("solver = \"spectral\"\n[problem]\npoints = {points}\n{problem}\n{initial}\n[method]\n{method}\n")
    };
    fs::write(dir.path().join("earlier.toml"), text(points, "")).unwrap();
    let ran = spanwise(1, &["run", "earlier.toml", "--quiet"], dir.path());
    assert_eq!(ran.code(), 0, "{ran:?}");
    let report = fs::read_to_string(dir.path().join("earlier.out/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let numbers: BTreeMap<String, f64> = report["numbers"]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .filter_map(|n| Some((n["name"].as_str()?.to_string(), n["value"].as_f64()?)))
        .collect();
    let later = dir.path().join("later.toml");
    let initial = "initial = { kind = \"file\", file = \"earlier.out/output.h5\" }";
    for on in [points, finer] {
        let text = text(on, initial);
        let one = threads::run(1, |team| first(&later, &text, team)).remove(0);
        for name in names {
            let found = one.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}: {one:?}")).1;
            let expected = numbers[*name];
            assert!((found - expected).abs() < 1e-11 * expected.abs(), "{on}: {name} {found} after {expected}");
        }
        for other in threads::run(3, |team| first(&later, &text, team)) {
            let bits = |list: &[(String, f64)]| list.iter().map(|(_, v)| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&other), bits(&one), "on 3 ranks");
        }
    }
}

#[test]
fn a_flow_between_walls_begins_where_another_ended() {
    let names = ["kinetic_energy", "dissipation", "nusselt_lower", "nusselt_upper", "theta_variance"];
    let two = "lengths = [1.0, 2.0]\nend_time = 0.03\n\
               equation = { kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 0.7, disturbance = 0.2 }";
    compare(two, "time_step = 0.001", "[33, 32]", "[41, 48]", &names);
    let three = "lengths = [2.0, 3.0, 5.0]\nend_time = 0.1\n\
                 equation = { kind = \"channel\", viscosity = 0.05, drive = { kind = \"flux\", bulk_velocity = 1.0 } }";
    compare(
        three,
        "time_step = 0.01",
        "[21, 12, 16]",
        "[27, 16, 18]",
        &["kinetic_energy", "dissipation", "bulk_velocity"],
    );
}

#[test]
fn a_periodic_flow_begins_where_another_ended() {
    // The earlier run takes the equation's own first state.
    let problem = "end_time = 0.2\nequation = { kind = \"vorticity_2d\", viscosity = 0.02 }";
    compare(problem, "time_step = 0.02", "[32, 32]", "[40, 48]", &["energy", "enstrophy", "dissipation"]);
}
