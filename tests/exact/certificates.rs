//! LB ≤ truth ≤ UB, whatever the potentials.

use spanwise::solvers::transport::certificate::{Certificate, certify};
use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::exact::discrete;
use spanwise::solvers::transport::passes::{Passes, Precision};
use spanwise::solvers::transport::problem::{MethodInput, MethodName, PrecisionInput, Switch};
use spanwise::solvers::transport::solve::{Solve, StepOutcome};

use super::common::*;

/// A problem of any variant: sizes 1 to 9, costs of either sign, ε/C from 1e−6 to 1e2, weights over 12 decades,
/// penalties from 1e−3 to 1e3. Every fourth has points on a line, where the unregularised value is known.
fn random_problem(seed: u64) -> (Problem, Penalties, Option<f64>) {
    let mut random = Uniform(seed.wrapping_mul(0x5851_F42D_4C95_7F2D));
    let (n, m) = (1 + random.below(9), 1 + random.below(9));
    let epsilon = 10f64.powf(-6.0 + 8.0 * random.next());
    let mut weights = |n: usize, kind: usize| match kind {
        0 => uniform(n),
        1 => normalised((0..n).map(|_| 0.01 + random.next()).collect()),
        _ => normalised((0..n).map(|_| 10f64.powf(-12.0 * random.next())).collect()),
    };
    let (a, b) = (weights(n, seed as usize % 3), weights(m, seed as usize / 3 % 3));
    let penalty = |random: &mut Uniform| Some(10f64.powf(-3.0 + 6.0 * random.next()));
    let penalties = match seed % 5 {
        0 | 1 => Penalties::default(),
        2 => Penalties { source: penalty(&mut random), target: penalty(&mut random) },
        3 => Penalties { source: penalty(&mut random), target: None },
        _ => Penalties { source: None, target: penalty(&mut random) },
    };
    if seed.is_multiple_of(4) {
        let (x, y) = (random.vector(n), random.vector(m));
        let value = discrete::sorted(&x, &a, &y, &b, |x, y| (x - y) * (x - y));
        let known = penalties.balanced().then_some(value);
        return (Problem::points(&x, &y, 1, a, b, epsilon), penalties, known);
    }
    let low = if seed.is_multiple_of(7) { -0.5 } else { 0.0 };
    let cost: Vec<f64> = random.vector(n * m).iter().map(|u| low + u).collect();
    let mut scale = |w: Vec<f64>| -> Vec<f64> {
        let mass = 10f64.powf(2.0 * random.next() - 1.0);
        w.iter().map(|w| w * mass).collect()
    };
    let (a, b) = if penalties.balanced() {
        (a, b)
    } else if penalties.source.is_some() && penalties.target.is_some() {
        (scale(a), scale(b))
    } else {
        (a, b)
    };
    let known = (n == 1 && m == 1).then(|| match (penalties.source, penalties.target) {
        (Some(r1), Some(r2)) => {
            // min_p p C + ρ₁ KL(p|a) + ρ₂ KL(p|b).
            let (a, b) = (a[0], b[0]);
            let p = ((r1 * a.ln() + r2 * b.ln() - cost[0]) / (r1 + r2)).exp();
            p * cost[0] + r1 * (p * (p / a).ln() - p + a) + r2 * (p * (p / b).ln() - p + b)
        }
        _ => a[0] * cost[0],
    });
    let known =
        if n == 1 && m == 1 && (penalties.source.is_some() != penalties.target.is_some()) { None } else { known };
    (Problem::matrix(cost, a, b, epsilon), penalties, known)
}

/// Certificates at potentials of every quality: random ones of every size, and along a solve.
pub fn certificates(
    make: &dyn Fn() -> Box<dyn Passes>,
    penalties: Penalties,
    seed: u64,
) -> (Vec<Certificate>, Option<f64>) {
    let mut random = Uniform(seed);
    let mut passes = make();
    let (low, high) = passes.cost_range();
    let scale = low.abs().max(high.abs()) / passes.epsilon();
    let mut all = Vec::new();
    for size in [0.0, 1.0, 0.3 * scale, scale, 30.0 * scale] {
        let phi: Vec<f64> = random.vector(passes.m()).iter().map(|u| size * (u - 0.5)).collect();
        all.push(certify(passes.as_mut(), penalties, &phi).unwrap());
    }
    let mut truth = None;
    for (tolerance, most) in [(1e-2, 40), (1e-6, 400), (1e-13, 3000)] {
        let input = method(MethodName::Accelerated, tolerance);
        let (outcome, finished) = run(make().as_mut(), penalties, &input, most);
        if outcome == StepOutcome::Converged && tolerance == 1e-13 {
            truth = Some(finished.certificate.dual);
        }
        all.push(finished.certificate);
    }
    (all, truth)
}

#[test]
fn bounds_hold_on_200_random_problems_of_all_variants() {
    let (mut converged, mut known_values) = (0, 0);
    for seed in 0..200 {
        let (problem, penalties, known) = random_problem(seed);
        for (name, make) in makers() {
            let (all, truth) = certificates(&|| make(&problem), penalties, seed);
            let mass = problem.a.iter().sum::<f64>().max(problem.b.iter().sum::<f64>());
            let size =
                mass * (1.0 + problem.epsilon) + penalties.source.unwrap_or(0.0) + penalties.target.unwrap_or(0.0);
            // Of the truth itself, summed in f64.
            let slack = 1e-15 * size;
            let context =
                |c: &Certificate| format!("{name} seed {seed} {penalties:?} ε = {:e}: {c:?}", problem.epsilon);
            for c in &all {
                for bounds in [c.regularised, c.unregularised] {
                    assert!(bounds.lower <= bounds.upper, "{}", context(c));
                    assert!(bounds.lower.is_finite() && !bounds.upper.is_nan(), "{}", context(c));
                }
                if let Some(truth) = truth {
                    let bounds = c.regularised;
                    assert!(
                        bounds.lower <= truth + slack && truth - slack <= bounds.upper,
                        "{truth} not in {}",
                        context(c)
                    );
                }
                if let Some(known) = known {
                    let bounds = c.unregularised;
                    assert!(
                        bounds.lower <= known + slack && known - slack <= bounds.upper,
                        "{known} not in {}",
                        context(c)
                    );
                }
                // All intervals of one quantity share the truth, so any two of them meet.
                for other in &all {
                    assert!(c.regularised.lower <= other.regularised.upper, "{} against {other:?}", context(c));
                    assert!(c.unregularised.lower <= other.unregularised.upper, "{} against {other:?}", context(c));
                }
            }
            converged += usize::from(truth.is_some());
            known_values += usize::from(known.is_some());
        }
    }
    let kinds = makers().len();
    assert!(converged > 120 * kinds && known_values > 15 * kinds, "{converged} converged, {known_values} known");
}

#[test]
fn bounds_are_tight_at_convergence() {
    for penalties in [
        Penalties::default(),
        Penalties { source: Some(0.5), target: Some(2.0) },
        Penalties { source: None, target: Some(0.5) },
        Penalties { source: Some(0.5), target: None },
    ] {
        for (name, mut passes) in settings(0.05) {
            let c = solved(passes.as_mut(), penalties, 1e-11).certificate;
            let gap = c.regularised.upper - c.regularised.lower;
            assert!(gap < 1e-9, "{name} {penalties:?}: {gap:e}");
            assert!(c.source_error.l1 + c.target_error.l1 < 2e-11, "{name} {penalties:?}");
        }
    }
}

/// A method may try potentials that it then rejects.
#[test]
fn passes_at_potentials_of_a_million_do_not_widen_a_later_certificate() {
    for (name, mut passes) in settings(0.05) {
        let phi = vec![0.0; passes.m()];
        let before = certify(passes.as_mut(), Penalties::default(), &phi).unwrap();
        let wild: Vec<f64> = (0..passes.m()).map(|j| 1e6 * j as f64).collect();
        let mut out = vec![0.0; passes.n()];
        passes.soft_rows(&wild, &mut out).unwrap();
        passes.forget_shifts();
        let after = certify(passes.as_mut(), Penalties::default(), &phi).unwrap();
        let [before, after] = [before, after].map(|c| c.regularised.upper - c.regularised.lower);
        // The shifts that the first certificate began with differ by rounding.
        assert!((after / before - 1.0).abs() < 1e-6, "{name}: {before:e} then {after:e}");
    }
}

#[test]
fn no_bound_is_above_the_largest_cost_however_wild_the_potentials() {
    for (name, mut passes) in settings(0.001) {
        let phi: Vec<f64> = (0..passes.m()).map(|j| 1e15 * j as f64).collect();
        let c = certify(passes.as_mut(), Penalties::default(), &phi).unwrap();
        let (_, high) = passes.cost_range();
        let most = high * (1.0 + 1e-12);
        assert!(c.regularised.upper <= most && c.unregularised.upper <= most, "{name}: {c:?} for {high}");
        assert!(c.unregularised.contains(c.unregularised_primal), "{name}: {c:?}");
    }
}

#[test]
fn a_penalised_upper_bound_is_never_worse_than_moving_nothing() {
    let penalties = Penalties { source: Some(0.3), target: Some(0.1) };
    for (name, mut passes) in settings(0.05) {
        let mut random = Uniform(2);
        for size in [0.1, 3.0, 30.0, 100.0] {
            let phi: Vec<f64> = random.vector(passes.m()).iter().map(|u| size * (u - 0.3)).collect();
            let c = certify(passes.as_mut(), penalties, &phi).unwrap();
            // P = 0 costs ρ₁ + ρ₂ + ε, and 0.4 without regularisation.
            assert!(c.regularised.upper < 0.45 && c.unregularised.upper < 0.4, "{name} {size}: {c:?}");
        }
    }
}

#[test]
fn a_tenfold_smaller_error_gives_a_smaller_gap() {
    for (name, make) in makers() {
        let mut last = f64::INFINITY;
        for tolerance in [1e-1, 1e-3, 1e-5, 1e-7] {
            let mut passes = make(&clouds(0.05));
            let (_, finished) =
                run(passes.as_mut(), Penalties::default(), &method(MethodName::Sinkhorn, tolerance), 10_000);
            let gap = finished.certificate.regularised.upper - finished.certificate.regularised.lower;
            // Of the order of the error times the cost (3), and ε log of it.
            assert!(gap < 0.5 * last && gap < 6.0 * tolerance, "{name}: gap {gap:e} at {tolerance:e}");
            last = gap;
        }
    }
}

#[test]
fn potentials_of_an_f32_solve_are_certified_in_f64() {
    for (name, make) in makers() {
        let mut passes = make(&clouds(0.01));
        let truth = solved(passes.as_mut(), Penalties::default(), 1e-12).certificate.dual;
        let mut passes = make(&clouds(0.01));
        let mut input = method(MethodName::Accelerated, 1e-12);
        input.precision = PrecisionInput::F32;
        let (outcome, finished) = run(passes.as_mut(), Penalties::default(), &input, 5000);
        assert!(matches!(outcome, StepOutcome::Stalled(_)), "{name}: {outcome:?}");
        assert!(finished.certificate.regularised.contains(truth), "{name}");
        assert!(finished.error.l1 < 1e-4 && finished.error.l1 > 1e-12, "{name}: {:e}", finished.error.l1);
        assert_eq!(passes.precision(), Precision::F64);
    }
}

#[test]
fn tiny_epsilon_ends_with_an_honest_status_and_finite_bounds() {
    for name in [MethodName::Sinkhorn, MethodName::Overrelaxed, MethodName::Accelerated, MethodName::Newton] {
        for (kind, make) in makers() {
            let mut passes = make(&clouds(1e-6 * 3.0));
            let mut input = method(name, 1e-6);
            input.epsilon_scaling.enabled = Switch::On;
            let (outcome, finished) = run(passes.as_mut(), Penalties::default(), &input, 400);
            if outcome == StepOutcome::Converged {
                assert!(finished.error.l1 <= 1e-6);
            }
            let c = finished.certificate;
            assert!(finished.error.l1.is_finite() || outcome != StepOutcome::Converged);
            assert!(c.regularised.lower.is_finite() && c.regularised.upper.is_finite(), "{kind} {name:?}: {c:?}");
            assert!(finished.psi.iter().chain(&finished.phi).all(|x| x.is_finite()), "{kind} {name:?}");
        }
    }
}

/// Points in the plane at an ε of 1e-13 and less: exponents up to 1e13, whose rounding in f32 alone is e^±1000000.
fn sharp(epsilon: f64) -> Problem {
    let mut random = Uniform(12);
    let (x, y) = (random.vector(24), random.vector(24));
    Problem::points(&x, &y, 2, uniform(12), uniform(12), epsilon)
}

#[test]
fn an_epsilon_beyond_f32_ends_in_numbers_in_every_precision() {
    for (epsilon, precision) in [
        (1e-13, PrecisionInput::Mixed),
        (1e-15, PrecisionInput::Mixed),
        (1e-13, PrecisionInput::F32),
        (1e-13, PrecisionInput::F64),
    ] {
        for (kind, make) in makers() {
            let mut passes = make(&sharp(epsilon));
            let input = MethodInput { precision, ..method(MethodName::Accelerated, 1e-6) };
            let (outcome, finished) = run(passes.as_mut(), Penalties::default(), &input, 5000);
            let context = format!("{kind} {precision:?} {epsilon:e}: {outcome:?} {:?}", finished.certificate);
            assert_ne!(outcome, StepOutcome::Running, "{context}");
            let c = &finished.certificate;
            let numbers =
                [c.regularised.lower, c.regularised.upper, c.unregularised.lower, c.unregularised.upper, c.dual];
            assert!(numbers.iter().all(|x| x.is_finite()) && finished.error.l1.is_finite(), "{context}");
            assert!(finished.psi.iter().chain(&finished.phi).all(|x| x.is_finite()), "{context}");
        }
    }
}

#[test]
fn the_verdict_is_that_of_the_error_or_the_gap_that_is_reported() {
    let mut passes = clouds(0.05).naive();
    let mut input = method(MethodName::Sinkhorn, 1e-6);
    let mut solve = Solve::new(&input, Penalties::default(), &mut passes, None).unwrap();
    while solve.step(&mut passes).unwrap() == StepOutcome::Running {}
    let mut finished = solve.finish(&mut passes).unwrap();
    assert_eq!(solve.verdict(&finished), StepOutcome::Converged);
    finished.error.l1 = 1.5e-6;
    let StepOutcome::Stalled(achieved) = solve.verdict(&finished) else { panic!("1.5e-6 is more than 1e-6") };
    assert!(achieved.contains("marginal error 1.50e-6") && achieved.contains("tolerance 1.00e-6"), "{achieved}");
    finished.error.l1 = f64::INFINITY;
    assert!(matches!(solve.verdict(&finished), StepOutcome::Stalled(_)));
    // The gap alone may be what was asked for.
    input.gap_tolerance = Some(1e-3);
    let solve = Solve::new(&input, Penalties::default(), &mut passes, None).unwrap();
    assert!(finished.certificate.regularised.relative_gap() < 1e-3);
    assert_eq!(solve.verdict(&finished), StepOutcome::Converged);
    finished.certificate.regularised.upper *= 2.0;
    assert!(matches!(solve.verdict(&finished), StepOutcome::Stalled(_)));
}
