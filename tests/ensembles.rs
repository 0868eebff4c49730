//! Ensembles of one-dimensional problems: every member is the run that it would be alone.

#[allow(dead_code)]
mod common;

use std::path::Path;
use std::sync::Mutex;

use common::{Save, Stored};
use spanwise::input::Input;
use spanwise::solvers;
use spanwise::team::{Team, threads};

/// State and series after `steps` steps, on one rank of `ranks` and all of them.
fn run(text: &str, ranks: usize, steps: u64) -> (Stored, Vec<(&'static str, f64)>) {
    let state = Mutex::new(Stored::new());
    let mut records = threads::run(ranks, |team| {
        let mut solver = common::build(text, team);
        common::advance(solver.as_mut(), team, 0, steps);
        solver.measure(team).unwrap();
        solver.state(&mut Save(&state)).unwrap();
        solver.record().into_iter().map(|(name, value)| (name.name, value)).collect::<Vec<_>>()
    });
    assert!(records.windows(2).all(|pair| pair[0] == pair[1]), "ranks record different numbers");
    (state.into_inner().unwrap(), records.pop().unwrap())
}

fn burgers(viscosity: f64, ensemble: &str) -> String {
    format!(
        "solver = \"spectral\"\n[problem]\npoints = [48]\nend_time = 10.0\n\
         equation = {{ kind = \"burgers\", viscosity = {viscosity} }}\n\
         initial = {{ kind = \"expressions\", fields = {{ u = \"sin(x)\" }} }}\n{ensemble}\n\
         [method]\ntime_step = 0.02\n"
    )
}

#[test]
fn each_member_of_four_viscosities_has_the_bits_of_its_run_alone() {
    let viscosities = [0.05, 0.1, 0.3, 1.0];
    let vary = format!("ensemble = {{ members = 4, vary = {{ \"equation.viscosity\" = {viscosities:?} }} }}");
    let (together, record) = run(&burgers(9.0, &vary), 3, 12);
    let (shape, values) = &together["u"];
    let row = values.len() / 4;
    assert_eq!(shape[0], 4);
    let mut energies = Vec::new();
    for (m, viscosity) in viscosities.into_iter().enumerate() {
        let (alone, record) = run(&burgers(viscosity, ""), 1, 12);
        assert_eq!(values[m * row..(m + 1) * row], alone["u"].1, "viscosity {viscosity}");
        energies.push(record.iter().find(|r| r.0 == "energy").expect("Burgers records its energy").1);
    }
    // Series are means and standard deviations over the members.
    let of = |name: &str| record.iter().find(|r| r.0 == name).unwrap_or_else(|| panic!("{name} in {record:?}")).1;
    let mean = energies.iter().sum::<f64>() / 4.0;
    let spread = (energies.iter().map(|e| (e - mean) * (e - mean)).sum::<f64>() / 3.0).sqrt();
    assert!((of("energy") - mean).abs() < 1e-15 * mean.abs() * 8.0, "{} {mean}", of("energy"));
    assert!((of("energy_spread") - spread).abs() < 1e-14 * spread, "{} {spread}", of("energy_spread"));
    assert!((of("time") - 0.24).abs() < 1e-14);
}

#[test]
fn member_0_of_a_random_ensemble_is_the_run_without_one_and_all_members_differ() {
    let text = |ensemble: &str| {
        format!(
            "solver = \"spectral\"\n[run]\nseed = 5\n[problem]\npoints = [64]\nlengths = [22]\nend_time = 10.0\n\
             equation = {{ kind = \"kuramoto_sivashinsky\" }}\n\
             initial = {{ kind = \"random\", spectrum = {{ kind = \"exponential_peak\", peak = 1.0 }} }}\n{ensemble}\n\
             [method]\ntime_step = 0.1\n"
        )
    };
    let (alone, _) = run(&text(""), 1, 10);
    let (together, _) = run(&text("ensemble = { members = 6 }"), 4, 10);
    let rows: Vec<&[u64]> = together["u"].1.chunks(alone["u"].1.len()).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0], alone["u"].1);
    for m in 1..6 {
        assert!((0..m).all(|other| rows[other] != rows[m]), "members {m} and one before it are the same");
    }
}

#[test]
fn what_no_ensemble_can_be_is_refused_with_its_key_on_any_number_of_ranks() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/spectral/burgers_cole_hopf.toml");
    let refusal = |text: &str, ranks: usize| -> String {
        let input = match Input::parse(&path, text, &[]) {
            Ok(input) => input,
            Err(e) => return e.to_string(),
        };
        let entry = solvers::find("spectral").unwrap();
        let checked = (entry.check)(&input, ranks, 1).map(|_| ()).unwrap_err().to_string();
        let mut said = threads::run(ranks, |team: &dyn Team| {
            let e = team.agree((entry.build)(&input, team).map(|_| ())).unwrap_err();
            assert_eq!(e.exit_code(), 2, "{e}");
            e.to_string()
        });
        let built = said.pop().unwrap();
        assert!(built.contains(checked.split(": ").last().unwrap()), "check says {checked}, run says {built}");
        built
    };
    let written = |vary: &str| {
        let (key, values) = vary.split_once(" = ").unwrap();
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [32]\nend_time = 1.0\n\
             equation = {{ kind = \"written\", fields = [\"u\"], parameters = {{ n = 1 }}, rhs = {{ u = \"lap(u) - n*u^2\" }} }}\n\
             initial = {{ kind = \"expressions\", fields = {{ u = \"cos(x)\" }} }}\n\
             ensemble = {{ members = 2, vary = {{ \"{key}\" = {values} }} }}\n[method]\ntime_step = 0.01\n"
        )
    };
    let two = burgers(0.1, "ensemble = { members = 3 }").replace("[48]", "[16, 16]").replace("burgers", "allen_cahn");
    for (text, words) in [
        (burgers(0.1, "ensemble = { members = 0 }"), "members"),
        (burgers(0.1, "ensemble = { members = 2, vary = { \"points\" = [1, 2] } }"), "cannot differ between members"),
        (
            burgers(0.1, "ensemble = { members = 2, vary = { \"equation.kind\" = [\"kdv\", \"burgers\"] } }"),
            "numbers alone can differ",
        ),
        (
            burgers(0.1, "ensemble = { members = 3, vary = { \"equation.viscosity\" = [1, 2] } }"),
            "2 values for 3 members",
        ),
        (
            burgers(0.1, "ensemble = { members = 2, vary = { \"equation.viscosity\" = [0.1, -1] } }"),
            "member 1: problem.equation.viscosity = -1",
        ),
        (burgers(0.1, "ensemble = { members = 2, vary = { \"equation.viscosty\" = [0.1, 1] } }"), "viscosty"),
        (written("equation.parameters.m = [0, 1]"), "no parameter m"),
        (written("equation.parameters.n = [0, 1]"), "11 to 16 modes"),
        (two.replace(", viscosity = 0.1", ", interface_width = 0.1"), "problems of one axis"),
    ] {
        for ranks in [1, 3] {
            let said = refusal(&text, ranks);
            assert!(said.contains(words), "{ranks} ranks: {said}\n{text}");
        }
    }
}
