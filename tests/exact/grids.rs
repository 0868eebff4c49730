//! Grids by the separable passes, against the same points one by one.

use spanwise::solvers::transport::certificate::Interval;
use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::exact::discrete;

use super::certificates::certificates;
use super::common::*;

#[test]
fn a_grid_has_the_value_potentials_and_mass_of_its_points() {
    for (source, target) in [(None, None), (Some(0.3), Some(0.2)), (None, Some(0.2)), (Some(0.3), None)] {
        let penalties = Penalties { source, target };
        let grids = grids(0.05);
        let twin = solved(&mut grids.problem.naive(), penalties, 1e-13);
        for (name, mut passes) in grids.passes() {
            let s = solved(passes.as_mut(), penalties, 1e-13);
            let (value, mass) =
                (s.certificate.dual - twin.certificate.dual, s.certificate.mass - twin.certificate.mass);
            assert!(value.abs() < 1e-12 && mass.abs() < 1e-11, "{name} {penalties:?}: {value:e} {mass:e}");
            // f + g: what no constant changes.
            for (i, j) in [(0, 0), (5, 34), (23, 17)] {
                let sum = s.psi[i] + s.phi[j] - twin.psi[i] - twin.phi[j];
                assert!(sum.abs() < 1e-7, "{name} {penalties:?} at ({i}, {j}): {sum:e}");
            }
        }
    }
}

#[test]
fn bounds_hold_on_random_grids_of_all_variants() {
    const SHAPES: [(&[usize], &[usize]); 4] =
        [(&[7], &[4]), (&[2, 3], &[3, 2]), (&[1, 5], &[4, 1]), (&[2, 1, 3], &[1, 3, 2])];
    let mut known_values = 0;
    for seed in 0..12 {
        let mut random = Uniform(100 + seed);
        let (source, target) = SHAPES[seed as usize % 4];
        let epsilon = 10f64.powf(-2.0 + 3.0 * random.next());
        let mut grids = Grids::random(&mut random, source, target, epsilon);
        let (n, m) = (grids.problem.a.len(), grids.problem.b.len());
        let penalties = match seed % 3 {
            0 => Penalties::default(),
            1 => Penalties { source: Some(0.5), target: Some(2.0) },
            _ => Penalties { source: None, target: Some(0.1) },
        };
        // Equal weights on equally many points: the best assignment.
        let mut known = None;
        if penalties.balanced() && n == m {
            (grids.problem.a, grids.problem.b) = (uniform(n), uniform(n));
            let cost = grids.problem.naive().cost;
            let best = discrete::assignment(&cost, n);
            known = Some(best.iter().enumerate().map(|(i, j)| cost[i * n + j]).sum::<f64>() / n as f64);
            known_values += 1;
        }
        let makers: [(&str, &dyn Fn() -> Box<dyn spanwise::solvers::transport::passes::Passes>); 2] =
            [("separable", &|| grids.separable()), ("naive", &|| Box::new(grids.problem.naive()))];
        let made = makers.map(|(name, make)| (name, certificates(make, penalties, seed)));
        let meet = |a: Interval, b: Interval| a.lower <= b.upper && b.lower <= a.upper;
        for (name, (all, _)) in &made {
            for c in all {
                let context = || format!("{name} seed {seed} {penalties:?} ε = {epsilon:e}: {c:?}");
                assert!(c.regularised.lower.is_finite() && c.regularised.lower <= c.regularised.upper, "{}", context());
                if let Some(known) = known {
                    let bounds = c.unregularised;
                    assert!(bounds.lower <= known + 1e-14 && known - 1e-14 <= bounds.upper, "{known}: {}", context());
                }
                // One problem, whoever makes its passes: any two intervals share the truth.
                for (_, (others, truth)) in &made {
                    for other in others {
                        assert!(meet(c.regularised, other.regularised), "{} against {other:?}", context());
                        assert!(meet(c.unregularised, other.unregularised), "{} against {other:?}", context());
                    }
                    if let Some(truth) = truth {
                        let slack = 1e-12 * (1.0 + epsilon);
                        let Interval { lower, upper } = c.regularised;
                        assert!(lower <= truth + slack && truth - slack <= upper, "{truth}: {}", context());
                    }
                }
            }
        }
    }
    assert!(known_values > 0);
}
