//! Equal weights on equally many points: unregularised transport is the best of all assignments, here by trying each.

use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::problem::MethodName;
use spanwise::solvers::transport::solve::StepOutcome;

use super::certificates::certificates;
use super::common::*;

/// The least Σ_i C_{i σ(i)} over all permutations σ of the columns `left`, from row `row` on.
fn least(cost: &[f64], n: usize, row: usize, left: &mut Vec<usize>) -> f64 {
    if row == n {
        return 0.0;
    }
    let mut best = f64::INFINITY;
    for k in 0..left.len() {
        let column = left.swap_remove(k);
        best = best.min(cost[row * n + column] + least(cost, n, row + 1, left));
        left.push(column);
        let last = left.len() - 1;
        left.swap(k, last);
    }
    best
}

type PointCost = fn(&[f64], &[f64]) -> f64;

fn squares(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

fn cosine(x: &[f64], y: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    1.0 - dot(x, y) / (dot(x, x) * dot(y, y)).sqrt()
}

const COSTS: [(&str, PointCost); 4] = [
    ("|x − y|²", squares),
    ("|x − y|", |x, y| squares(x, y).sqrt()),
    ("|x − y|³", |x, y| squares(x, y).powi(3).sqrt()),
    ("cosine", cosine),
];

#[test]
fn the_best_assignment_lies_within_the_bounds_in_every_dimension_and_cost() {
    let mut tight = 0;
    for seed in 0..16 {
        let mut random = Uniform(1000 + seed);
        let (n, d) = (2 + random.below(5), 1 + seed as usize % 4);
        let (label, cost) = COSTS[seed as usize / 4];
        let (x, y) = (random.vector(n * d), random.vector(n * d));
        let entries: Vec<f64> = x.chunks(d).flat_map(|x| y.chunks(d).map(move |y| cost(x, y))).collect();
        let truth = least(&entries, n, 0, &mut (0..n).collect()) / n as f64;
        let epsilon = 1e-3;
        // The kernels of points make the squared distance themselves.
        let problem = match seed / 4 {
            0 => Problem::points(&x, &y, d, uniform(n), uniform(n), epsilon),
            _ => Problem::matrix(entries, uniform(n), uniform(n), epsilon),
        };
        for (name, make) in makers() {
            let (all, _) = certificates(&|| make(&problem), Penalties::default(), seed);
            for c in &all {
                let bounds = c.unregularised;
                let context = || format!("{name} seed {seed} {label} n = {n} d = {d}: {truth} in {bounds:?}");
                assert!(bounds.lower <= truth + 1e-14 && truth - 1e-14 <= bounds.upper, "{}", context());
            }
            let input = method(MethodName::Accelerated, 1e-9);
            let (outcome, finished) = run(make(&problem).as_mut(), Penalties::default(), &input, 2000);
            if outcome == StepOutcome::Converged {
                // OT_0 ≤ OT_ε ≤ OT_0 + ε log n.
                let bounds = finished.certificate.unregularised;
                assert!(bounds.upper - bounds.lower < 2.0 * epsilon * (n as f64).ln() + 1e-6, "{name} {bounds:?}");
                tight += 1;
            }
        }
    }
    assert!(tight >= 24, "{tight} of 48 converged");
}

#[test]
fn atoms_in_another_order_have_the_same_value_and_their_own_potentials() {
    let p = clouds(0.05);
    let Cost::Points(x, y, d) = p.cost.clone() else { unreachable!() };
    // 5 and 31, 7 and 23 have no common factor.
    let (rows, columns) = (|k: usize| (7 * k + 3) % 23, |k: usize| (5 * k + 11) % 31);
    let pick = |x: &[f64], d: usize, n: usize, of: &dyn Fn(usize) -> usize| -> Vec<f64> {
        (0..n).flat_map(|k| x[of(k) * d..(of(k) + 1) * d].to_vec()).collect()
    };
    let shuffled = Problem::points(
        &pick(&x, d, 23, &rows),
        &pick(&y, d, 31, &columns),
        d,
        pick(&p.a, 1, 23, &rows),
        pick(&p.b, 1, 31, &columns),
        p.epsilon,
    );
    for penalties in [Penalties::default(), Penalties { source: Some(0.3), target: Some(0.2) }] {
        for (name, make) in makers() {
            let plain = solved(make(&p).as_mut(), penalties, 1e-13);
            let other = solved(make(&shuffled).as_mut(), penalties, 1e-13);
            let value = other.certificate.dual - plain.certificate.dual;
            assert!(value.abs() < 1e-12, "{name} {penalties:?}: {value:e}");
            for i in 0..23 {
                for j in 0..31 {
                    let sum = other.psi[i] + other.phi[j] - plain.psi[rows(i)] - plain.phi[columns(j)];
                    assert!(sum.abs() < 1e-7, "{name} {penalties:?} at ({i}, {j}): {sum:e}");
                }
            }
        }
    }
}
