//! Every method against the others, against stopping and against interruption.

use spanwise::error::Error;
use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::methods::registry;
use spanwise::solvers::transport::passes::Passes;
use spanwise::solvers::transport::problem::{MethodInput, MethodName, PrecisionInput, Switch};
use spanwise::solvers::transport::solve::{Solve, StepOutcome};

use super::common::*;

fn variants() -> [Penalties; 4] {
    [
        Penalties::default(),
        Penalties { source: Some(0.3), target: Some(0.6) },
        Penalties { source: None, target: Some(0.3) },
        Penalties { source: Some(0.3), target: None },
    ]
}

/// The theoretical methods need thousands of steps: a large ε and a modest tolerance for them.
fn slow(name: MethodName) -> bool {
    matches!(name, MethodName::SemidualSigned | MethodName::SemidualRkhs | MethodName::SemidualRkhsAccelerated)
}

#[test]
fn every_method_reaches_the_same_certified_interval() {
    for penalties in variants() {
        for (kind, make) in makers() {
            let truth = solved(make(&clouds(0.2)).as_mut(), penalties, 1e-13).certificate.dual;
            for entry in registry().iter().filter(|e| e.unbalanced || penalties.balanced()) {
                let tolerance = if slow(entry.name) { 1e-2 } else { 1e-10 };
                let mut passes = make(&clouds(0.2));
                let (outcome, finished) = run(passes.as_mut(), penalties, &method(entry.name, tolerance), 5000);
                let context = format!("{kind} {} {penalties:?}", entry.word);
                assert_eq!(outcome, StepOutcome::Converged, "{context}: {:e}", finished.error.l1);
                let bounds = finished.certificate.regularised;
                assert!(bounds.contains(truth), "{context}: {truth} not in {bounds:?}");
                assert!(bounds.upper - bounds.lower < 4.0 * tolerance, "{context}: {bounds:?}");
            }
        }
    }
}

#[test]
fn balanced_only_methods_refuse_penalties_and_name_those_that_do_not() {
    for entry in registry().iter().filter(|e| !e.unbalanced) {
        let mut passes = clouds(0.2).naive();
        let penalties = Penalties { source: Some(1.0), target: None };
        let Err(Error::Usage(message)) = Solve::new(&method(entry.name, 1e-6), penalties, &mut passes, None) else {
            panic!("{} must refuse", entry.word);
        };
        assert!(message.contains("balanced problems only") && message.contains("accelerated"), "{message}");
    }
}

#[test]
fn every_method_name_has_one_row_whose_word_is_how_it_is_written() {
    for entry in registry() {
        let written = serde_json::to_value(entry.name).unwrap();
        assert_eq!(written, entry.word);
        assert_eq!(registry().iter().filter(|e| e.name == entry.name).count(), 1);
    }
    assert_eq!(registry().len(), 8);
}

fn evaluations(problem: &Problem, input: &MethodInput) -> u64 {
    let mut passes = problem.naive();
    let (outcome, _) = run(&mut passes, Penalties::default(), input, 100_000);
    assert_eq!(outcome, StepOutcome::Converged);
    passes.evaluations - 1 // `finish` makes one.
}

#[test]
fn acceleration_needs_a_quarter_of_the_evaluations_at_small_epsilon() {
    let problem = clouds(0.003);
    let sinkhorn = evaluations(&problem, &method(MethodName::Sinkhorn, 1e-6));
    for name in [MethodName::Accelerated, MethodName::Anderson, MethodName::Overrelaxed, MethodName::Newton] {
        let count = evaluations(&problem, &method(name, 1e-6));
        assert!(4 * count < sinkhorn, "{name:?}: {count} against {sinkhorn}");
    }
}

#[test]
fn mixed_precision_does_most_of_its_steps_in_f32() {
    for name in [MethodName::Sinkhorn, MethodName::Overrelaxed, MethodName::Accelerated, MethodName::Newton] {
        for (kind, make) in makers() {
            let problem = clouds(0.02);
            let double = evaluations(&problem, &method(name, 1e-6));
            let mut input = method(name, 1e-6);
            input.precision = PrecisionInput::Mixed;
            let mut passes = make(&problem);
            let mut solve = Solve::new(&input, Penalties::default(), passes.as_mut(), None).unwrap();
            let (mut single, mut all) = (0, 0);
            loop {
                single += u64::from(passes.precision() == spanwise::solvers::transport::passes::Precision::F32);
                all += 1;
                if solve.step(passes.as_mut()).unwrap() == StepOutcome::Converged {
                    break;
                }
            }
            assert!(2 * single > all, "{kind} {name:?}: {single} of {all} in f32");
            if name != MethodName::Newton {
                assert!(all < 2 * double, "{kind} {name:?}: {all} steps against {double} in f64");
            }
        }
    }
}

/// Inputs that pass through every phase: levels of ε in f32, f32 at the last ε, f64.
fn through_all_phases(name: MethodName) -> MethodInput {
    let mut input = method(name, if slow(name) { 3e-3 } else { 1e-9 });
    input.precision = PrecisionInput::Mixed;
    input.epsilon_scaling.enabled = Switch::On;
    input.gap_tolerance = Some(1e-12);
    input.check_every = 7;
    input
}

fn save(solve: &mut Solve, passes: &mut dyn Passes) -> Memory {
    let mut memory = Memory::default();
    solve.state(passes, &mut memory).unwrap();
    memory
}

#[test]
fn resuming_after_any_step_gives_the_same_bits() {
    for (_, make) in makers() {
        for penalties in [variants()[0], variants()[1]] {
            for entry in registry().iter().filter(|e| e.unbalanced || penalties.balanced()) {
                let input = through_all_phases(entry.name);
                let problem = clouds(0.05);
                let mut passes = make(&problem);
                let mut solve = Solve::new(&input, penalties, passes.as_mut(), None).unwrap();
                let mut saved = vec![save(&mut solve, passes.as_mut())];
                saved[0].assert_names_are_unique();
                for _ in 0..60 {
                    let outcome = solve.step(passes.as_mut()).unwrap();
                    saved.push(save(&mut solve, passes.as_mut()));
                    if outcome != StepOutcome::Running {
                        break;
                    }
                }
                let end = saved.len() - 1;
                for stop in 0..end {
                    let mut passes = make(&problem);
                    let mut resumed = Solve::new(&input, penalties, passes.as_mut(), None).unwrap();
                    saved[stop].rewind();
                    resumed.state(passes.as_mut(), &mut saved[stop]).unwrap();
                    resumed.step(passes.as_mut()).unwrap();
                    let now = save(&mut resumed, passes.as_mut());
                    assert!(now.bits() == saved[stop + 1].bits(), "{} {penalties:?} after step {stop}", entry.word);
                }
            }
        }
    }
}

#[test]
fn an_interrupted_step_leaves_the_state_untouched() {
    for entry in registry() {
        let input = through_all_phases(entry.name);
        let problem = clouds(0.05);
        let mut passes = problem.naive();
        let mut solve = Solve::new(&input, Penalties::default(), &mut passes, None).unwrap();
        let mut plain_passes = problem.naive();
        let mut plain = Solve::new(&input, Penalties::default(), &mut plain_passes, None).unwrap();
        for step in 0..50 {
            for budget in 0..2 {
                let before = save(&mut solve, &mut passes);
                passes.budget = Some(budget);
                match solve.step(&mut passes) {
                    Err(Error::Interrupted) => {
                        let after = save(&mut solve, &mut passes);
                        assert!(before.bits() == after.bits(), "{} step {step} budget {budget}", entry.word);
                    }
                    other => panic!("{} step {step}: a step takes two passes, got {other:?}", entry.word),
                }
            }
            passes.budget = None;
            let outcome = solve.step(&mut passes).unwrap();
            assert_eq!(outcome, plain.step(&mut plain_passes).unwrap());
            let (now, twin) = (save(&mut solve, &mut passes), save(&mut plain, &mut plain_passes));
            assert!(now.bits() == twin.bits(), "{} step {step}", entry.word);
            if outcome != StepOutcome::Running {
                break;
            }
        }
    }
}

#[test]
fn a_warm_start_from_the_answer_converges_at_once() {
    for (kind, make) in makers() {
        let problem = clouds(0.003);
        let mut passes = make(&problem);
        let solution = solved(passes.as_mut(), Penalties::default(), 1e-9);
        let g: Vec<f64> = solution.phi.iter().map(|phi| 0.003 * phi).collect();
        let mut solve =
            Solve::new(&method(MethodName::Accelerated, 1e-8), Penalties::default(), passes.as_mut(), Some(&g))
                .unwrap();
        assert_eq!(solve.step(passes.as_mut()).unwrap(), StepOutcome::Converged, "{kind}");
    }
}

#[test]
fn the_gap_tolerance_stops_a_run_before_its_marginal_tolerance() {
    for (kind, make) in makers() {
        let mut input = method(MethodName::Sinkhorn, 1e-12);
        input.gap_tolerance = Some(1e-3);
        input.check_every = 3;
        let mut passes = make(&clouds(0.05));
        let (outcome, finished) = run(passes.as_mut(), Penalties::default(), &input, 10_000);
        assert_eq!(outcome, StepOutcome::Converged, "{kind}");
        assert!(finished.error.l1 > 1e-12 && finished.certificate.regularised.relative_gap() <= 1e-3, "{kind}");
    }
}
