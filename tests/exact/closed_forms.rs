//! Gaussians, torus, 2×2, tensorisation, scaling, limits.

use ndarray::array;
use spanwise::math::reduce::dot;
use spanwise::solvers::transport::divergence::{Divergence, Three};
use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::exact::discrete;
use spanwise::solvers::transport::exact::gaussian::{self, Gaussian};
use spanwise::solvers::transport::problem::MethodName;
use spanwise::solvers::transport::solve::StepOutcome;

use super::common::*;

const POINTS: usize = 801;

/// Midpoints of [−8, 8] and the weights of a 1-D Gaussian there, with the mass it has.
fn quadrature(g: &Gaussian) -> (Vec<f64>, Vec<f64>) {
    let h = 16.0 / (POINTS - 1) as f64;
    let x: Vec<f64> = (0..POINTS).map(|i| -8.0 + h * i as f64).collect();
    let (m, v) = (g.mean[0], g.covariance[[0, 0]]);
    let w = normalised(x.iter().map(|x| (-(x - m) * (x - m) / (2.0 * v)).exp()).collect());
    // Weights that underflow are dropped by the door; here the tails of these Gaussians stay above 1e−70.
    (x, w.iter().map(|w| w * g.mass).collect())
}

fn grid(alpha: &Gaussian, beta: &Gaussian, epsilon: f64) -> (Vec<f64>, Problem) {
    let (x, a) = quadrature(alpha);
    let (_, b) = quadrature(beta);
    (x.clone(), Problem::points(&x, &x, 1, a, b, epsilon))
}

fn gaussians() -> (Gaussian, Gaussian) {
    (Gaussian::new(&[-0.4], array![[0.5]], 1.0), Gaussian::new(&[0.3], array![[0.8]], 1.0))
}

#[test]
fn gaussian_value_to_1e_11_and_potentials_to_1e_7_on_an_801_point_grid() {
    let (alpha, beta) = gaussians();
    let exact = gaussian::balanced(&alpha, &beta, 0.5);
    for (name, make) in makers() {
        let (x, problem) = grid(&alpha, &beta, 0.5);
        let mut passes = make(&problem);
        let solution = solved(passes.as_mut(), Penalties::default(), 1e-13);
        let dual = solution.certificate.dual;
        assert!((dual - exact.value).abs() < 1e-11, "{name}: {dual} against {}", exact.value);
        let bounds = solution.certificate.regularised;
        assert!(bounds.contains(exact.value) && bounds.upper - bounds.lower < 1e-7, "{name}: {bounds:?}");
        // In the gauge of the closed form: f = 0 at the grid point nearest m_a is not exact, so compare differences.
        let middle = POINTS / 2;
        for (i, x) in x.iter().enumerate().filter(|(_, x)| x.abs() < 3.0) {
            let f = 0.5 * (solution.psi[i] - solution.psi[middle]);
            let g = 0.5 * (solution.phi[i] - solution.phi[middle]);
            assert!((f - (exact.f.at(&[*x]) - exact.f.at(&[0.0]))).abs() < 1e-7, "{name}: f at {x}");
            assert!((g - (exact.g.at(&[*x]) - exact.g.at(&[0.0]))).abs() < 1e-7, "{name}: g at {x}");
        }
    }
}

#[test]
fn sinkhorn_iterates_on_gaussians_are_the_closed_quadratics() {
    let (alpha, beta) = gaussians();
    let epsilon = 0.5;
    for (name, make) in makers() {
        let (x, problem) = grid(&alpha, &beta, epsilon);
        let mut passes = make(&problem);
        let (mut phi, mut psi) = (vec![0.0; POINTS], vec![0.0; POINTS]);
        for (k, (f, g)) in gaussian::iterates(&alpha, &beta, epsilon, 5).iter().enumerate() {
            passes.soft_rows(&phi, &mut psi).unwrap();
            passes.soft_cols(&psi, &mut phi).unwrap();
            for (i, x) in x.iter().enumerate().filter(|(_, x)| x.abs() < 3.0) {
                let (ef, eg) = (epsilon * psi[i] - f.at(&[*x]), epsilon * phi[i] - g.at(&[*x]));
                assert!(ef.abs() < 1e-10 && eg.abs() < 1e-10, "{name}: iterate {k} at {x}: {ef:e} {eg:e}");
            }
        }
    }
}

#[test]
fn unbalanced_gaussians_have_the_closed_value_mass_and_potentials() {
    let (mut alpha, mut beta) = gaussians();
    (alpha.mass, beta.mass) = (1.4, 0.7);
    for rho in [[Some(1.0), Some(1.0)], [Some(0.6), Some(3.0)], [None, Some(1.0)], [Some(0.8), None]] {
        let exact = gaussian::unbalanced(&alpha, &beta, 0.4, rho);
        let penalties = Penalties { source: rho[0], target: rho[1] };
        for (name, make) in makers() {
            let (x, problem) = grid(&alpha, &beta, 0.4);
            let mut passes = make(&problem);
            let solution = solved(passes.as_mut(), penalties, 1e-12);
            let certificate = &solution.certificate;
            assert!(
                (certificate.dual - exact.value).abs() < 1e-10,
                "{name} {rho:?}: {}",
                certificate.dual - exact.value
            );
            assert!((certificate.mass - exact.mass).abs() < 1e-10, "{name} {rho:?}: mass {}", certificate.mass);
            assert!(certificate.regularised.contains(exact.value), "{name} {rho:?}");
            // The largest cost is 256: rounding alone is allowed 4e−11 of it.
            assert!(certificate.regularised.upper - certificate.regularised.lower < 1e-7, "{certificate:?}");
            for (i, x) in x.iter().enumerate().filter(|(_, x)| x.abs() < 2.0) {
                let f = 0.4 * (solution.psi[i] - solution.psi[POINTS / 2]);
                assert!((f - exact.f.at(&[*x]) + exact.f.at(&[0.0])).abs() < 1e-7, "{name} {rho:?}: f at {x}");
            }
        }
    }
}

#[test]
fn divergence_of_gaussians_is_the_closed_form_to_1e_10() {
    let (alpha, beta) = gaussians();
    let exact = gaussian::divergence(&alpha, &beta, 0.5);
    for (name, make) in makers() {
        let (_, problem) = grid(&alpha, &beta, 0.5);
        let (own_a, own_b) = problem.diagonal();
        let (mut ab, mut aa, mut bb) = (make(&problem), make(&own_a), make(&own_b));
        let mut three = Three { ab: ab.as_mut(), aa: aa.as_mut(), bb: bb.as_mut() };
        let input = method(MethodName::Accelerated, 1e-12);
        let mut divergence = Divergence::new(&input, Penalties::default(), &mut three, None).unwrap();
        while divergence.step(&mut three).unwrap() == StepOutcome::Running {}
        let result = divergence.finish(&mut three, true).unwrap();
        assert!((result.value - exact).abs() < 1e-10, "{name}: {} against {exact}", result.value);
        assert!(result.regularised.contains(exact) && result.regularised.contains(result.value));
        assert!(result.regularised.upper - result.regularised.lower < 1e-7, "{:?}", result.regularised);
    }
}

#[test]
fn torus_is_solved_by_one_evaluation_and_certified_to_rounding() {
    for epsilon in [1.0, 0.05, 1e-3] {
        let n = 37;
        let h: Vec<f64> = (0..n).map(|k| (k.min(n - k) as f64 / n as f64).powi(2)).collect();
        let cost = (0..n * n).map(|k| h[(k / n + n - k % n) % n]).collect();
        let exact = discrete::circulant(&h, epsilon);
        let problem = Problem::matrix(cost, uniform(n), uniform(n), epsilon);
        for (name, make) in makers() {
            let mut passes = make(&problem);
            let (outcome, solution) =
                run(passes.as_mut(), Penalties::default(), &method(MethodName::Sinkhorn, 1e-12), 50);
            assert_eq!(outcome, StepOutcome::Converged);
            let interval = solution.certificate.regularised;
            assert!(interval.contains(exact), "{name}: {exact} in {interval:?}");
            assert!(interval.upper - interval.lower < 1e-11 * (1.0 + epsilon), "{interval:?}");
        }
    }
}

#[test]
fn two_by_two_has_its_closed_plan() {
    for epsilon in [2.0, 0.3, 0.01] {
        let (entry, value) = discrete::two_by_two(epsilon);
        for (name, make) in makers() {
            let mut passes = make(&Problem::matrix(vec![0.0, 1.0, 1.0, 0.0], uniform(2), uniform(2), epsilon));
            let s = solved(passes.as_mut(), Penalties::default(), 1e-14);
            let p = 0.25 * (s.psi[0] + s.phi[0]).exp();
            assert!((p - entry).abs() < 1e-15, "{name}: {p} {entry}");
            assert!(s.certificate.regularised.contains(value), "{name}: {value} {:?}", s.certificate.regularised);
        }
    }
}

#[test]
fn values_of_product_measures_add() {
    let mut random = Uniform(3);
    let (x, y, u, v) = (random.vector(7), random.vector(6), random.vector(5), random.vector(4));
    let weights: Vec<Vec<f64>> = [7, 6, 5, 4].map(|n| normalised(random.vector(n))).into();
    let epsilon = 0.05;
    let product =
        |x: &[f64], u: &[f64]| -> Vec<f64> { x.iter().flat_map(|x| u.iter().flat_map(move |u| [*x, *u])).collect() };
    let outer = |a: &[f64], c: &[f64]| -> Vec<f64> { a.iter().flat_map(|a| c.iter().map(move |c| a * c)).collect() };
    for (name, make) in makers() {
        let value = |p: &Problem| solved(make(p).as_mut(), Penalties::default(), 1e-13).certificate.dual;
        let one = value(&Problem::points(&x, &y, 1, weights[0].clone(), weights[1].clone(), epsilon));
        let two = value(&Problem::points(&u, &v, 1, weights[2].clone(), weights[3].clone(), epsilon));
        let (a, b) = (outer(&weights[0], &weights[2]), outer(&weights[1], &weights[3]));
        let both = value(&Problem::points(&product(&x, &u), &product(&y, &v), 2, a, b, epsilon));
        assert!((both - one - two).abs() < 1e-12, "{name}: {both} against {one} + {two}");
    }
}

#[test]
fn scaling_translation_and_exchange_of_the_measures_do_what_they_must() {
    let p = clouds(0.05);
    let Cost::Points(x, y, d) = p.cost.clone() else { unreachable!() };
    for (name, make) in makers() {
        let value = |p: &Problem| solved(make(p).as_mut(), Penalties::default(), 1e-13).certificate.dual;
        let plain = value(&p);
        // OT_ε(sx, sy) = s² OT_{ε/s²}(x, y)
        let scale = |x: &[f64], s: f64| -> Vec<f64> { x.iter().map(|x| s * x).collect() };
        let scaled = Problem::points(&scale(&x, 3.0), &scale(&y, 3.0), d, p.a.clone(), p.b.clone(), 9.0 * 0.05);
        assert!((value(&scaled) - 9.0 * plain).abs() < 1e-11, "{name}");
        // A translation τ adds |m_a + τ − m_b|² − |m_a − m_b|².
        let tau = [0.3, -0.1, 0.7];
        let moved: Vec<f64> = x.iter().enumerate().map(|(k, x)| x + tau[k % d]).collect();
        let mean =
            |x: &[f64], w: &[f64], k: usize| -> f64 { w.iter().enumerate().map(|(i, w)| w * x[i * d + k]).sum() };
        let added: f64 = (0..d)
            .map(|k| {
                let gap = mean(&x, &p.a, k) - mean(&y, &p.b, k);
                (gap + tau[k]).powi(2) - gap.powi(2)
            })
            .sum();
        let translated = value(&Problem::points(&moved, &y, d, p.a.clone(), p.b.clone(), 0.05));
        assert!((translated - plain - added).abs() < 1e-12, "{name}: {translated} {plain} {added}");
        let exchanged = value(&Problem::points(&y, &x, d, p.b.clone(), p.a.clone(), 0.05));
        assert!((exchanged - plain).abs() < 1e-12, "{name}: {exchanged} {plain}");
    }
}

#[test]
fn small_epsilon_finds_the_assignment_and_the_sorted_matching() {
    let mut random = Uniform(5);
    let n = 24;
    let (x, y) = (random.vector(n * 2), random.vector(n * 2));
    let problem = Problem::points(&x, &y, 2, uniform(n), uniform(n), 2e-4);
    let line = Problem::points(&x[..n], &y[..n], 1, uniform(n), uniform(n), 1e-5);
    let naive = problem.naive();
    let columns = discrete::assignment(&naive.cost, n);
    let value: f64 = columns.iter().enumerate().map(|(i, j)| naive.cost[i * n + j] / n as f64).sum();
    let sorted = discrete::sorted(&x[..n], &uniform(n), &y[..n], &uniform(n), |x, y| (x - y) * (x - y));
    for (name, make) in makers() {
        let mut passes = make(&problem);
        let s = solved(passes.as_mut(), Penalties::default(), 1e-6);
        let mut entries = passes.largest_entries(&s.psi, &s.phi, n).unwrap();
        entries.sort_unstable_by_key(|e| e.0);
        let found: Vec<usize> = entries.iter().map(|e| e.1 as usize).collect();
        assert_eq!(found, columns, "{name}");
        let bounds = s.certificate.unregularised;
        assert!(bounds.contains(value) && bounds.upper - bounds.lower < 1e-3, "{name}: {value} in {bounds:?}");
        let bounds = solved(make(&line).as_mut(), Penalties::default(), 1e-6).certificate.unregularised;
        assert!(bounds.contains(sorted) && bounds.upper - bounds.lower < 1e-4, "{name}: {sorted} in {bounds:?}");
    }
}

#[test]
fn large_epsilon_gives_the_product_plan_and_mean_costs_as_potentials() {
    let p = clouds(1e5);
    for (name, make) in makers() {
        let mut passes = make(&p);
        let s = solved(passes.as_mut(), Penalties::default(), 1e-13);
        let cost = p.naive().cost;
        let means: Vec<f64> = (0..p.a.len()).map(|i| dot(&cost[i * p.b.len()..(i + 1) * p.b.len()], &p.b)).collect();
        for i in 0..p.a.len() {
            let f = p.epsilon * (s.psi[i] - s.psi[0]);
            assert!((f - (means[i] - means[0])).abs() < 1e-4, "{name}: f_{i} = {f}");
        }
        let value = dot(&means, &p.a);
        assert!((s.certificate.dual - value).abs() < 1e-4, "{name}: {} {value}", s.certificate.dual);
    }
}
