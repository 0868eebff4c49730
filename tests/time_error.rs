//! The time error that a run prints against the error that it has: the distance to a run with steps so small that theirs
//! does not count. An estimate, not a bound: within a factor.

use std::path::Path;

use spanwise::error::Result;
use spanwise::input::Input;
use spanwise::solvers::{self, Solver, Status};
use spanwise::state::{Data, Hyperslab, Name, Walk};
use spanwise::team::Solo;

/// Blocks of a walk by name, in their order.
#[derive(Default)]
struct Blocks(Vec<(String, Vec<f64>)>);

impl Walk for Blocks {
    fn block(&mut self, name: &Name, _global: &[usize], _mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let Data::F64(values) = data else { panic!("double precision") };
        self.0.push((name.name.to_string(), values.to_vec()));
        Ok(())
    }

    fn scalar(&mut self, _name: &Name, _x: Data<'_>) -> Result<()> {
        Ok(())
    }

    fn series(&mut self, _name: &Name, _values: &mut Vec<f64>) -> Result<()> {
        Ok(())
    }

    fn replicated(&mut self, _name: &Name, _values: &mut Vec<f64>) -> Result<()> {
        Ok(())
    }

    fn replicated_f32(&mut self, _name: &Name, _values: &mut Vec<f32>) -> Result<()> {
        Ok(())
    }
}

/// The run of an input to its end: the solver, and its number of that name.
fn ended(problem: &str, method: &str) -> Box<dyn Solver> {
    let text = format!("solver = \"spectral\"\n[problem]\n{problem}\n[method]\n{method}\n");
    let input = Input::parse(Path::new("test.toml"), &text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let entry = solvers::find("spectral").expect("a registered solver");
    let mut solver = (entry.build)(&input, &Solo).unwrap_or_else(|e| panic!("{e}\n{text}"));
    for step in 1.. {
        if solver.step(step, &Solo).unwrap() != Status::Running {
            break;
        }
    }
    solver.finish(&Solo).unwrap();
    solver
}

fn number(solver: &dyn Solver, name: &str) -> f64 {
    solver.report().iter().find(|n| n.name == name).unwrap_or_else(|| panic!("no {name}")).value
}

/// The coefficients of the fields named, for a periodic problem; the values at the points, between walls.
fn fields(solver: &mut dyn Solver, names: &[&str], walls: bool) -> Vec<(String, Vec<f64>)> {
    let mut blocks = Blocks::default();
    if walls { solver.results(&mut blocks) } else { solver.state(&mut blocks) }.unwrap();
    blocks.0.retain(|(name, _)| names.contains(&name.as_str()));
    assert_eq!(blocks.0.len(), names.len());
    blocks.0
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt() / b.iter().map(|b| b * b).sum::<f64>().sqrt()
}

/// Cole–Hopf's wave, before much of it has decayed.
const BURGERS: &str = "points = [96]\nend_time = 0.5\nequation = { kind = \"burgers\", viscosity = 0.1 }\n\
                       initial = { kind = \"named\", name = \"cole_hopf\", parameters = { offset = 1.5 } }";
const SOLITON: &str = "points = [256]\nlengths = [40]\nend_time = 4.0\n\
                       equation = { kind = \"nonlinear_schroedinger\", focusing = 1.0 }\n\
                       initial = { kind = \"named\", name = \"soliton\", parameters = { amplitude = 1.0, velocity = 0.5 } }";
const WAVE: &str = "points = [32]\nend_time = 3.0\n\
                    equation = { kind = \"advection_diffusion\", velocity = [1.0], diffusivity = 0.02 }\n\
                    initial = { kind = \"expressions\", fields = { u = \"sin(x) + 0.5*cos(2*x)\" } }";

/// Estimated over true error of one run.
fn ratio(problem: &str, field: &str, method: &str, truth: &[f64]) -> (f64, f64) {
    let mut solver = ended(problem, method);
    let estimate = number(solver.as_ref(), "time_error");
    let found = fields(solver.as_mut(), &[field], false).remove(0).1;
    let error = distance(&found, truth);
    println!("{method:<60} error {error:9.2e}, estimate {estimate:9.2e}, ratio {:5.2}", estimate / error);
    (estimate / error, error)
}

/// A run whose own errors do not count.
const FINE: &str = "scheme = \"if_rk4\"\ntime_step = 5e-4";

#[test]
fn the_time_error_of_every_scheme_is_found_within_a_factor_of_four_and_where_waves_decay_of_six() {
    let schemes = ["etdrk4", "if_rk4", "ars222", "ars443", "sbdf2", "sbdf3", "cnab2", "smr_rk3"];
    for (problem, field, most) in [(BURGERS, "u", 6.0), (SOLITON, "psi", 4.0), (WAVE, "u", 4.0)] {
        let truth = fields(ended(problem, FINE).as_mut(), &[field], false).remove(0).1;
        for scheme in schemes {
            let four = ["etdrk4", "if_rk4"].contains(&scheme);
            if problem == WAVE && four {
                // The exponential is exact: what is left is rounding, and the estimate says so.
                let solver = ended(problem, &format!("scheme = \"{scheme}\"\ntime_step = 0.05"));
                let estimate = number(solver.as_ref(), "time_error");
                assert!(estimate < 1e-12, "{scheme}: {estimate:e}");
                continue;
            }
            let step = if four { 0.05 } else { 0.01 };
            let (ratio, error) = ratio(problem, field, &format!("scheme = \"{scheme}\"\ntime_step = {step}"), &truth);
            assert!(ratio > 0.25 && ratio < most, "{scheme} on {field}: ratio {ratio}");
            assert!(error > 1e-10 && error < 0.1, "{scheme}: {error:e} says little");
        }
    }
}

#[test]
fn the_time_error_of_controlled_steps_is_found_within_a_factor_of_eight() {
    let truth = fields(ended(BURGERS, FINE).as_mut(), &["u"], false).remove(0).1;
    for method in [
        "scheme = \"if_rk4\"\nstep_control = \"error\"\ntime_step = 0.05\ntolerance = 1e-5",
        "scheme = \"if_rk4\"\nstep_control = \"cfl\"\nsafety = 0.5\nmax_step = 0.1",
        "scheme = \"ars443\"\nstep_control = \"cfl\"\nsafety = 0.3\nmax_step = 0.1",
        "scheme = \"sbdf3\"\nstep_control = \"cfl\"\nsafety = 0.7\nmax_step = 0.05",
    ] {
        let (ratio, _) = ratio(BURGERS, "u", method, &truth);
        assert!(ratio > 0.25 && ratio < 8.0, "{method}: ratio {ratio}");
    }
}

#[test]
fn a_last_step_shortened_by_an_output_does_not_make_the_time_error_less_than_a_quarter_of_the_truth() {
    let truth = fields(ended(SOLITON, FINE).as_mut(), &["psi"], false).remove(0).1;
    // An output shortly before the end, and one that leaves a step of 0.4 to it.
    for time in [3.9991, 3.98] {
        let problem = format!("{SOLITON}\noutput = {{ times = [{time}] }}");
        for scheme in ["if_rk4", "ars443", "sbdf2", "cnab2"] {
            let (ratio, _) = ratio(&problem, "psi", &format!("scheme = \"{scheme}\"\ntime_step = 0.05"), &truth);
            assert!(ratio > 0.25 && ratio < 5.0, "{scheme}, output at {time}: ratio {ratio}");
        }
    }
}

#[test]
fn where_errors_decay_the_estimate_lies_above_the_truth_by_up_to_sixty() {
    // The same wave four times as long, and convection on its way to a steady state: errors of the early steps are gone
    // at the end, those of high wavenumbers first.
    let problem = BURGERS.replace("end_time = 0.5", "end_time = 2.0");
    let truth = fields(ended(&problem, FINE).as_mut(), &["u"], false).remove(0).1;
    for (scheme, step) in [("etdrk4", 0.05), ("ars222", 0.01), ("sbdf3", 0.01)] {
        let (ratio, _) = ratio(&problem, "u", &format!("scheme = \"{scheme}\"\ntime_step = {step}"), &truth);
        assert!(ratio > 1.0 && ratio < 60.0, "{scheme}: ratio {ratio}");
    }
    let problem = "points = [17, 16]\nlengths = [1.0, 2.0]\nend_time = 0.05\n\
                   equation = { kind = \"rayleigh_benard\", rayleigh = 2e4, prandtl = 0.7, disturbance = 0.3 }";
    let names = ["w", "u", "theta"];
    let truth = fields(ended(problem, "scheme = \"ars443\"\ntime_step = 2e-5").as_mut(), &names, true);
    for (scheme, step) in [("ars443", 5e-4), ("ars222", 2e-4), ("sbdf2", 2e-4), ("cnab2", 2e-4), ("smr_rk3", 2e-4)] {
        let mut solver = ended(problem, &format!("scheme = \"{scheme}\"\ntime_step = {step}"));
        let estimate = number(solver.as_ref(), "time_error");
        let found = fields(solver.as_mut(), &names, true);
        // Velocity together, theta by itself; the larger of the two, as the report has it.
        let join = |all: &[(String, Vec<f64>)], names: &[&str]| -> Vec<f64> {
            let chosen = all.iter().filter(|(name, _)| names.contains(&name.as_str()));
            chosen.flat_map(|(_, values)| values.iter().copied()).collect()
        };
        let error = [&["w", "u"][..], &["theta"]].map(|n| distance(&join(&found, n), &join(&truth, n)));
        let error = error[0].max(error[1]);
        println!("{scheme}: error {error:.2e}, estimate {estimate:.2e}, ratio {:.2}", estimate / error);
        assert!(estimate / error > 1.0 && estimate / error < 60.0, "{scheme}: {estimate:e} for {error:e}");
    }
}

/// A state that grows as e^t takes its errors with it: at t = 20 errors that stayed as they were made would be 1/20 of the
/// truth. One that decays as e^{−t} loses them likewise.
#[test]
fn errors_that_grow_and_decay_with_the_state_are_found_within_a_factor_of_two() {
    for (rate, scheme) in [(1.0f64, "ars222"), (1.0, "sbdf2"), (1.0, "ars443"), (-1.0, "ars222"), (-1.0, "cnab2")] {
        let problem = format!(
            "points = [8]\nend_time = 20.0\ninitial = {{ kind = \"expressions\", fields = {{ u = \"cos(x)\" }} }}\n\
             equation = {{ kind = \"written\", fields = [\"u\"], rhs = {{ u = \"{rate}*u\" }} }}"
        );
        let mut solver = ended(&problem, &format!("scheme = \"{scheme}\"\ntime_step = 0.1"));
        let estimate = number(solver.as_ref(), "time_error");
        let largest = fields(solver.as_mut(), &["u"], false)[0].1.iter().fold(0.0f64, |most, c| most.max(c.abs()));
        // The coefficient of cos x is half of its amplitude.
        let error = (2.0 * largest / (20.0 * rate).exp() - 1.0).abs();
        println!("{scheme}, rate {rate}: error {error:.2e}, estimate {estimate:.2e}");
        assert!((0.5..2.0).contains(&(estimate / error)), "{scheme}, rate {rate}: {estimate:e} for {error:e}");
    }
}

#[test]
fn a_run_that_is_told_so_measures_no_time_error() {
    let solver = ended(WAVE, "scheme = \"sbdf2\"\ntime_step = 0.1\ntime_error = false");
    assert!(solver.report().iter().all(|n| n.name != "time_error"));
}
