//! Stopping does not matter: stop at any step, go on with another number of ranks, and end with the same bits in state,
//! results and report.

mod common;

use std::sync::Mutex;

use common::{Load, Save, Stored};
use spanwise::team::threads;

type End = (Stored, Stored, Vec<(String, u64)>, u64);

fn whole(text: &str, limit: u64) -> End {
    let (state, results) = (Mutex::new(Stored::new()), Mutex::new(Stored::new()));
    let (report, steps) = threads::run(1, |team| {
        let mut solver = common::build(text, team);
        let (steps, _) = common::advance(solver.as_mut(), team, 0, limit);
        (common::leave(solver.as_mut(), team, &state, &results), steps)
    })
    .remove(0);
    (state.into_inner().unwrap(), results.into_inner().unwrap(), report, steps)
}

fn interrupted(text: &str, stop: u64, limit: u64) -> End {
    resumed(text, stop, text, limit)
}

/// The end of a run of `text` that goes on from where one of `before` was after at most `stop` steps.
fn resumed(before: &str, stop: u64, text: &str, limit: u64) -> End {
    let saved = Mutex::new(Stored::new());
    threads::run(3, |team| {
        let mut solver = common::build(before, team);
        common::advance(solver.as_mut(), team, 0, stop);
        solver.state(&mut Save(&saved)).unwrap();
    });
    let saved = saved.into_inner().unwrap();
    let (state, results) = (Mutex::new(Stored::new()), Mutex::new(Stored::new()));
    let (report, steps) = threads::run(2, |team| {
        let mut solver = common::build(text, team);
        solver.state(&mut Load(&saved)).unwrap();
        let (steps, _) = common::advance(solver.as_mut(), team, stop, limit);
        (common::leave(solver.as_mut(), team, &state, &results), steps)
    })
    .remove(0);
    (state.into_inner().unwrap(), results.into_inner().unwrap(), report, steps)
}

#[test]
fn a_run_stopped_in_any_phase_ends_as_if_it_had_not_been() {
    for (name, text) in common::problems() {
        let limit = 40;
        let truth = whole(&text, limit);
        for stop in [1, 2, 3, 5, 8, 13, 21].into_iter().filter(|&stop| stop < truth.3) {
            let end = interrupted(&text, stop, limit);
            for (key, value) in &truth.0 {
                assert_eq!(end.0.get(key), Some(value), "{name}: state {key} after a stop at step {stop}");
            }
            assert_eq!(end, truth, "{name}: stopped at step {stop}");
        }
    }
}

/// Two clouds at ε, and a method.
fn clouds(epsilon: f64, quantity: &str, method: &str) -> String {
    format!(
        "solver = \"transport\"\n[problem]\nsource = {{ kind = \"uniform_samples\", points = 50, dimension = 2 }}\n\
         target = {{ kind = \"uniform_samples\", points = 40, dimension = 2 }}\nepsilon = {epsilon}\n\
         quantity = \"{quantity}\"\n[method]\n{method}\n"
    )
}

fn number((.., report, _): &End, name: &str) -> f64 {
    f64::from_bits(report.iter().find(|(n, _)| n == name).expect("a number of the report").1)
}

#[test]
fn a_run_goes_on_to_a_tighter_tolerance() {
    for quantity in ["transport", "divergence"] {
        // The error of f32 is judged in f64 once, after which it may be a little larger.
        for (precision, first, then, error) in
            [("f64", 1e-3, 1e-9, 1e-9), ("mixed", 1e-3, 1e-9, 1e-9), ("f32", 1e-2, 1e-4, 2e-4)]
        {
            let text = |tolerance: f64| {
                clouds(0.05, quantity, &format!("precision = \"{precision}\"\ntolerance = {tolerance:e}"))
            };
            let found = number(&resumed(&text(first), 1000, &text(then), 3000), "marginal_error");
            assert!(found <= error, "{quantity} in {precision}: {found:e}");
        }
    }
}

#[test]
fn a_run_stalled_at_the_floor_of_f32_goes_on_in_f64() {
    for quantity in ["transport", "divergence"] {
        for precision in ["f64", "mixed"] {
            // Costs of up to 2 over ε: f32 moves exponents by 10³·2⁻²⁴ = 6e-5.
            let text =
                |precision: &str| clouds(0.002, quantity, &format!("precision = \"{precision}\"\ntolerance = 1e-10"));
            let single = whole(&text("f32"), 2000);
            assert!(single.3 < 2000 && number(&single, "marginal_error") > 1e-10, "{quantity}: f32 has no such floor");
            let found = number(&resumed(&text("f32"), 2000, &text(precision), 9000), "marginal_error");
            assert!(found <= 1e-10, "{quantity} in {precision}: {found:e}");
        }
    }
}

#[test]
fn a_run_goes_on_with_another_window_of_steps_to_the_same_value() {
    let text =
        |memory: usize| clouds(0.05, "transport", &format!("name = \"anderson\"\nmemory = {memory}\ntolerance = 1e-9"));
    let truth = number(&whole(&text(8), 1000), "regularised_cost");
    for memory in [1, 4, 20] {
        for stop in [1, 2, 12] {
            let end = resumed(&text(8), stop, &text(memory), 3000);
            let (value, error) = (number(&end, "regularised_cost"), number(&end, "marginal_error"));
            // A dual value is off by the square of the error.
            assert!((value - truth).abs() < 1e-12 && error <= 1e-9, "{memory} after {stop}: {value} {truth} {error:e}");
        }
    }
}
