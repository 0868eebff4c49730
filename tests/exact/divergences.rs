//! The Sinkhorn divergence as a driver of three problems.

use spanwise::error::Error;
use spanwise::math::reduce::total;
use spanwise::solvers::transport::derived::{self, Gradients};
use spanwise::solvers::transport::divergence::{Divergence, FinishedDivergence, Three};
use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::exact::naive::NaivePasses;
use spanwise::solvers::transport::passes::Passes;
use spanwise::solvers::transport::problem::{MethodInput, MethodName, PrecisionInput, Switch};
use spanwise::solvers::transport::solve::StepOutcome;

use super::common::*;

fn trio(make: Maker, problem: &Problem) -> [Box<dyn Passes>; 3] {
    let (aa, bb) = problem.diagonal();
    [make(problem), make(&aa), make(&bb)]
}

fn three(passes: &mut [Box<dyn Passes>; 3]) -> Three<'_> {
    let [ab, aa, bb] = passes;
    Three { ab: ab.as_mut(), aa: aa.as_mut(), bb: bb.as_mut() }
}

fn finished(make: Maker, problem: &Problem, penalties: Penalties, input: &MethodInput) -> FinishedDivergence {
    let mut passes = trio(make, problem);
    let mut three = three(&mut passes);
    let mut divergence = Divergence::new(input, penalties, &mut three, None).unwrap();
    let mut outcome = StepOutcome::Running;
    for _ in 0..5000 {
        outcome = divergence.step(&mut three).unwrap();
        if outcome != StepOutcome::Running {
            break;
        }
    }
    assert_eq!(outcome, StepOutcome::Converged);
    divergence.finish(&mut three, true).unwrap()
}

#[test]
fn value_is_that_of_the_three_problems_solved_alone_masses_included() {
    let soft = Penalties { source: Some(0.4), target: Some(0.4) };
    for penalties in [Penalties::default(), soft] {
        let mut problem = clouds(0.05);
        if !penalties.balanced() {
            problem.a.iter_mut().for_each(|a| *a *= 1.7);
        }
        let (own_a, own_b) = problem.diagonal();
        for (name, make) in makers() {
            let alone = |p: &Problem| solved(make(p).as_mut(), penalties, 1e-12).certificate.dual;
            let gap = total(&problem.a) - total(&problem.b);
            let expected =
                alone(&problem) - 0.5 * alone(&own_a) - 0.5 * alone(&own_b) + 0.5 * problem.epsilon * gap * gap;
            let result = finished(make, &problem, penalties, &method(MethodName::Accelerated, 1e-11));
            assert!((result.value - expected).abs() < 1e-11, "{name} {penalties:?}: {} {expected}", result.value);
            assert!(result.regularised.contains(expected), "{name} {penalties:?}: {:?}", result.regularised);
            assert!(result.value > 0.0);
            let (lower, upper) = (result.unregularised.lower, result.unregularised.upper);
            assert!(0.0 <= lower && lower < upper, "{name}: {:?}", result.unregularised);
        }
    }
}

#[test]
fn a_measure_has_divergence_zero_from_itself_even_in_f32() {
    for (name, make) in makers() {
        let (own, _) = clouds(0.01).diagonal();
        for precision in [PrecisionInput::F64, PrecisionInput::Mixed] {
            let input = MethodInput { precision, ..method(MethodName::Accelerated, 1e-8) };
            let result = finished(make, &own, Penalties::default(), &input);
            // At most ½ε · error · oscillation of what is missing in the potentials.
            assert!(result.value.abs() < 1e-10, "{name} {precision:?}: {:e}", result.value);
            assert!(result.regularised.contains(0.0));
        }
    }
}

#[test]
fn unequal_penalties_are_refused() {
    let mut passes = trio(makers()[0].1, &clouds(0.1));
    let penalties = Penalties { source: Some(1.0), target: None };
    let refused = Divergence::new(&method(MethodName::Accelerated, 1e-6), penalties, &mut three(&mut passes), None);
    assert!(matches!(refused, Err(Error::Usage(message)) if message.contains("target_penalty")));
}

#[test]
fn a_divergence_resumes_with_the_same_bits_after_any_step() {
    let mut input = method(MethodName::Accelerated, 1e-9);
    input.precision = PrecisionInput::Mixed;
    input.epsilon_scaling.enabled = Switch::On;
    let problem = clouds(0.05);
    for (_, make) in makers() {
        let mut passes = trio(make, &problem);
        let mut all = three(&mut passes);
        let mut divergence = Divergence::new(&input, Penalties::default(), &mut all, None).unwrap();
        let mut saved = Vec::new();
        loop {
            let mut memory = Memory::default();
            divergence.state(&mut all, &mut memory).unwrap();
            saved.push(memory);
            if saved.len() > 200 || divergence.step(&mut all).unwrap() != StepOutcome::Running {
                break;
            }
        }
        assert!(saved.len() < 200);
        for stop in 0..saved.len() - 1 {
            let mut passes = trio(make, &problem);
            let mut all = three(&mut passes);
            let mut resumed = Divergence::new(&input, Penalties::default(), &mut all, None).unwrap();
            saved[stop].rewind();
            resumed.state(&mut all, &mut saved[stop]).unwrap();
            resumed.step(&mut all).unwrap();
            let mut now = Memory::default();
            resumed.state(&mut all, &mut now).unwrap();
            assert!(now.bits() == saved[stop + 1].bits(), "after step {stop}");
        }
    }
}

#[test]
fn an_interrupted_round_goes_on_to_the_same_bits() {
    let problem = clouds(0.05);
    let (own_a, own_b) = problem.diagonal();
    let input = method(MethodName::Sinkhorn, 1e-8);
    let mut plain = [problem.naive(), own_a.naive(), own_b.naive()];
    let mut broken = plain.clone();
    let run = |passes: &mut [NaivePasses; 3], interrupt: bool| {
        let [ab, aa, bb] = passes;
        let mut divergence = Divergence::new(&input, Penalties::default(), &mut Three { ab, aa, bb }, None).unwrap();
        loop {
            if interrupt {
                for victim in 0..3 {
                    let [ab, aa, bb] = passes;
                    [&mut *ab, &mut *aa, &mut *bb][victim].budget = Some(0);
                    // Once a problem has ended, it makes no passes that could be interrupted.
                    let outcome = divergence.step(&mut Three { ab, aa, bb });
                    passes[victim].budget = None;
                    match outcome {
                        Err(Error::Interrupted) => {}
                        Ok(StepOutcome::Running) => {}
                        Ok(_) => return bits(&divergence),
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            let [ab, aa, bb] = passes;
            if divergence.step(&mut Three { ab, aa, bb }).unwrap() != StepOutcome::Running {
                return bits(&divergence);
            }
        }
    };
    assert!(run(&mut plain, false) == run(&mut broken, true));
}

/// Of S_ε at converged potentials.
fn gradients(make: Maker, problem: &Problem, penalties: Penalties) -> Gradients {
    let result = finished(make, problem, penalties, &method(MethodName::Accelerated, 1e-12));
    let mut passes = trio(make, problem);
    let [ab, aa, bb] = &mut passes;
    let of = |passes: &mut Box<dyn Passes>, psi: &[f64], phi: &[f64]| {
        derived::gradients(passes.as_mut(), penalties, psi, phi).unwrap()
    };
    let (own_a, own_b) = (of(aa, &result.aa.psi, &result.aa.phi), of(bb, &result.bb.psi, &result.bb.phi));
    of(ab, &result.ab.psi, &result.ab.phi).of_divergence(&own_a, &own_b)
}

#[test]
fn gradients_of_the_divergence_are_the_differences_of_its_value() {
    let soft = Penalties { source: Some(0.4), target: Some(0.4) };
    for penalties in [Penalties::default(), soft] {
        let mut base = clouds(0.1);
        if !penalties.balanced() {
            base.a.iter_mut().for_each(|a| *a *= 1.7);
        }
        let Cost::Points(x, y, d) = base.cost.clone() else { unreachable!() };
        for (name, make) in makers() {
            let g = gradients(make, &base, penalties);
            let value = |p: &Problem| finished(make, p, penalties, &method(MethodName::Accelerated, 1e-12)).value;
            let h = 1e-5;
            let check = |what: &str, exact: f64, at: &dyn Fn(f64) -> Problem| {
                let slope = (value(&at(h)) - value(&at(-h))) / (2.0 * h);
                assert!((slope - exact).abs() < 1e-7, "{name} {penalties:?} {what}: {slope} {exact}");
            };
            let moved = |side: usize, k: usize, s: f64| {
                let (mut x, mut y) = (x.clone(), y.clone());
                (if side == 0 { &mut x } else { &mut y })[k] += s;
                Problem::points(&x, &y, d, base.a.clone(), base.b.clone(), base.epsilon)
            };
            let [of_x, of_y] = [g.source_points.as_ref().unwrap(), g.target_points.as_ref().unwrap()];
            check("x", of_x[7], &|s| moved(0, 7, s));
            check("y", of_y[40], &|s| moved(1, 40, s));
            let weighed = |side: usize, s: f64| {
                let mut p = base.clone();
                let w = if side == 0 { &mut p.a } else { &mut p.b };
                w[2] += s;
                if penalties.balanced() {
                    w[5] -= s;
                }
                p
            };
            let along = |of: &[f64]| of[2] - if penalties.balanced() { of[5] } else { 0.0 };
            check("a", along(&g.source_weights), &|s| weighed(0, s));
            check("b", along(&g.target_weights), &|s| weighed(1, s));
            check("epsilon", g.epsilon, &|s| Problem { epsilon: base.epsilon + s, ..base.clone() });
        }
    }
}

/// The potentials, as bits.
fn bits(divergence: &Divergence) -> Vec<u64> {
    divergence.potentials().iter().flat_map(|u| u.iter().map(|u| u.to_bits())).collect()
}
