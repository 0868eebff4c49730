//! The identities I1–I5 of the semi-dual, and derivatives.

use spanwise::math::reduce::{dot, sum};
use spanwise::solvers::transport::derived;
use spanwise::solvers::transport::dual::{Dual, Penalties, Point};
use spanwise::solvers::transport::grid::{GridCost, GridPasses, LaplaceKernel, Level, Threads};
use spanwise::solvers::transport::passes::Passes;

use super::common::*;

/// A 4×5 and a 5×4 grid with margins without mass, and their cost written out.
fn margins(a: &[f64], b: &[f64], epsilon: f64) -> (GridPasses<Threads>, Vec<f64>) {
    let axis = |n: usize| (0..n).map(|k| (k as f64 + 0.5) / n as f64).collect::<Vec<f64>>();
    let (x, y) = ([axis(4), axis(5)], [axis(5), axis(4)]);
    let cost = GridCost::power(&x, &y, 2.0);
    let dense = (0..400).map(|k| cost.entry(k / 20, k % 20)).collect();
    let laplace = LaplaceKernel::new(&y, 0.3);
    (GridPasses::new(cost, a.to_vec(), b.to_vec(), epsilon, laplace, Level::detect(), Threads), dense)
}

/// Weights of sum 1, none on the first row and the last column of a grid of 20 points.
fn margined(seed: u64, columns: usize) -> Vec<f64> {
    let w = Uniform(seed).vector(20).into_iter().enumerate();
    normalised(w.map(|(k, w)| if k < columns || k % columns == columns - 1 { 0.0 } else { 0.2 + w }).collect())
}

/// The semi-dual at φ and the whole plan.
fn evaluate(passes: &mut dyn Passes, phi: &[f64]) -> (Point, Vec<f64>) {
    let dual = Dual::new(Penalties::default(), passes.epsilon(), passes);
    let (n, m) = (passes.n(), passes.m());
    let mut point = Point::new(n, m);
    point.phi.copy_from_slice(phi);
    point.evaluate(&dual, passes).unwrap();
    let mut plan = vec![0.0; n * m];
    let mut unit = vec![0.0; m];
    let mut column = vec![0.0; n];
    for j in 0..m {
        unit[j] = 1.0;
        passes.plan_rows(&point.psi, phi, &unit, 1, &mut column).unwrap();
        unit[j] = 0.0;
        (0..n).for_each(|i| plan[i * m + j] = column[i]);
    }
    (point, plan)
}

fn relative_entropy(p: &[f64], q: &[f64]) -> f64 {
    sum(p.len(), |k| if p[k] > 0.0 { p[k] * (p[k] / q[k]).ln() } else { 0.0 } - p[k] + q[k])
}

fn oscillation(h: &[f64]) -> f64 {
    let (low, high) = h.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, u), x| (l.min(*x), u.max(*x)));
    high - low
}

#[test]
fn the_five_identities_of_the_semi_dual_hold_to_1e_12() {
    for (name, mut passes) in settings(0.1) {
        let passes = passes.as_mut();
        let solution = solved(passes, Penalties::default(), 1e-14);
        let (star, plan_star) = evaluate(passes, &solution.phi);
        let mut random = Uniform(9);
        let b = passes.b().to_vec();
        for size in [0.01, 0.5, 3.0] {
            let phi: Vec<f64> = random.vector(b.len()).iter().map(|u| size * (u - 0.5)).collect();
            let h: Vec<f64> = random.vector(b.len()).iter().map(|u| size * (u - 0.5)).collect();
            let moved: Vec<f64> = phi.iter().zip(&h).map(|(phi, h)| phi + h).collect();
            let (at, plan) = evaluate(passes, &phi);
            let (to, plan_to) = evaluate(passes, &moved);
            let reached: Vec<f64> = (0..b.len()).map(|j| at.marginal(&b, j)).collect();
            let gradient: Vec<f64> = b.iter().zip(&reached).map(|(b, p)| b - p).collect();

            let i1 = at.value + dot(&gradient, &h) - to.value;
            let divergence = relative_entropy(&plan, &plan_to);
            assert!((i1 - divergence).abs() < 1e-12, "{name} I1: {i1} {divergence}");
            let i2 = star.value - at.value;
            let gap = relative_entropy(&plan_star, &plan);
            assert!((i2 - gap).abs() < 1e-12, "{name} I2: {i2} {gap}");
            assert!(divergence <= oscillation(&h).powi(2) / 8.0, "{name} I3");
            let away: Vec<f64> = star.phi.iter().zip(&phi).map(|(s, p)| s - p).collect();
            let norm = sum(b.len(), |j| gradient[j].abs());
            assert!(dot(&gradient, &away) <= 0.5 * norm * oscillation(&away) + 1e-12, "{name} I4");
            assert!(i2 <= 0.5 * norm * oscillation(&away) + 1e-12, "{name} I4, gap");
            let (after, _) = evaluate(passes, &at.x);
            let gain = relative_entropy(&b, &reached);
            assert!((at.gain - gain).abs() < 1e-12, "{name}: gain {} {gain}", at.gain);
            assert!(after.value >= at.value + gain - 1e-12, "{name} I5");
        }
    }
}

#[test]
fn rise_equals_the_difference_of_values_also_with_penalties() {
    for (source, target) in [(None, None), (Some(0.3), Some(0.2)), (None, Some(0.2)), (Some(0.3), None)] {
        let penalties = Penalties { source, target };
        for (name, mut passes) in settings(0.1) {
            let dual = Dual::new(penalties, 0.1, passes.as_ref());
            let (n, m) = (passes.n(), passes.m());
            let mut random = Uniform(4);
            let mut points = [Point::new(n, m), Point::new(n, m)];
            for point in &mut points {
                point.phi = random.vector(m);
                point.evaluate(&dual, passes.as_mut()).unwrap();
            }
            let [from, to] = &points;
            let rise = from.rise(to, &dual, passes.a(), passes.b());
            assert!((rise - (to.value - from.value)).abs() < 1e-13, "{name} {penalties:?}: {rise}");
            // One Sinkhorn step gains at least `gain`.
            let mut next = Point::new(n, m);
            from.sinkhorn(&dual, &mut next.phi);
            next.evaluate(&dual, passes.as_mut()).unwrap();
            assert!(from.gain >= 0.0 && next.value >= from.value + from.gain - 1e-13, "{name} {penalties:?}");
        }
    }
}

#[test]
fn gradients_are_the_differences_of_the_value() {
    let base = clouds(0.1);
    let Cost::Points(x, y, d) = base.cost.clone() else { unreachable!() };
    for (source, target) in [(None, None), (Some(0.5), Some(0.8)), (None, Some(0.4))] {
        let penalties = Penalties { source, target };
        for (name, make) in makers() {
            let value = |p: &Problem| solved(make(p).as_mut(), penalties, 1e-13).certificate.dual;
            let mut passes = make(&base);
            let s = solved(passes.as_mut(), penalties, 1e-13);
            let gradients = derived::gradients(passes.as_mut(), penalties, &s.psi, &s.phi).unwrap();
            let h = 1e-5;
            let check = |what: &str, exact: f64, plus: Problem, minus: Problem| {
                let slope = (value(&plus) - value(&minus)) / (2.0 * h);
                assert!((slope - exact).abs() < 1e-7, "{name} {penalties:?} {what}: {slope} {exact}");
            };
            let points = gradients.source_points.as_ref().expect("|x − y|² has one");
            for k in [0, 7, 68] {
                let at = |s: f64| {
                    let mut x = x.clone();
                    x[k] += s;
                    Problem::points(&x, &y, d, base.a.clone(), base.b.clone(), base.epsilon)
                };
                check("x", points[k], at(h), at(-h));
            }
            let points = gradients.target_points.as_ref().expect("|x − y|² has one");
            for k in [1, 40, 92] {
                let at = |s: f64| {
                    let mut y = y.clone();
                    y[k] += s;
                    Problem::points(&x, &y, d, base.a.clone(), base.b.clone(), base.epsilon)
                };
                check("y", points[k], at(h), at(-h));
            }
            // Constraints: mass moves from one atom to another; penalties: mass appears.
            for (side, gradient) in [(0, &gradients.source_weights), (1, &gradients.target_weights)] {
                let constrained = if side == 0 { source.is_none() } else { target.is_none() };
                let balanced = source.is_none() && target.is_none();
                let at = |s: f64| {
                    let mut p = base.clone();
                    let w = if side == 0 { &mut p.a } else { &mut p.b };
                    w[2] += s;
                    if constrained {
                        w[5] -= s;
                    }
                    p
                };
                let exact = gradient[2] - if constrained { gradient[5] } else { 0.0 };
                assert!(constrained || !balanced);
                check("weights", exact, at(h), at(-h));
            }
            let at = |s: f64| Problem { epsilon: base.epsilon + s, ..base.clone() };
            check("epsilon", gradients.epsilon, at(h), at(-h));
        }
    }
}

#[test]
fn barycentric_images_are_conditional_means_and_move_the_mean() {
    let p = clouds(0.05);
    let Cost::Points(x, y, d) = p.cost.clone() else { unreachable!() };
    for (name, make) in makers() {
        let mut passes = make(&p);
        let s = solved(passes.as_mut(), Penalties::default(), 1e-13);
        let map = derived::barycentric_map(passes.as_mut(), &s.phi, std::slice::from_ref(&y)).unwrap();
        for k in 0..d {
            let moved = sum(p.a.len(), |i| p.a[i] * map[i * d + k]);
            let mean = sum(p.b.len(), |j| p.b[j] * y[j * d + k]);
            assert!((moved - mean).abs() < 1e-12, "{name}: {moved} {mean}");
        }
        // ∂OT/∂x_i = 2a_i (x_i − T(x_i)).
        let g = derived::gradients(passes.as_mut(), Penalties::default(), &s.psi, &s.phi).unwrap();
        let g = g.source_points.unwrap();
        for k in 0..x.len() {
            assert!((g[k] - 2.0 * p.a[k / d] * (x[k] - map[k])).abs() < 1e-14, "{name}: {k}");
        }
    }
}

#[test]
fn weights_that_are_zero_have_the_gradient_of_their_first_mass() {
    let (a, b, epsilon) = (margined(3, 5), margined(4, 4), 0.1);
    for (source, target) in [(None, None), (Some(0.5), Some(0.8)), (None, Some(0.4)), (Some(0.4), None)] {
        let penalties = Penalties { source, target };
        let value = |a: &[f64], b: &[f64]| solved(&mut margins(a, b, epsilon).0, penalties, 1e-12).certificate.dual;
        let (mut passes, _) = margins(&a, &b, epsilon);
        let s = solved(&mut passes, penalties, 1e-12);
        let gradients = derived::gradients(&mut passes, penalties, &s.psi, &s.phi).unwrap();
        assert!(gradients.source_points.is_none() && gradients.target_points.is_none());
        let none = value(&a, &b);
        for (side, gradient) in [(0, &gradients.source_weights), (1, &gradients.target_weights)] {
            let constrained = if side == 0 { source.is_none() } else { target.is_none() };
            // Points 1 and 19 are on the margin of both grids, 6 on none.
            for k in [1, 19] {
                let with = |h: f64| {
                    let (mut a, mut b) = (a.clone(), b.clone());
                    let w = if side == 0 { &mut a } else { &mut b };
                    assert!(w[k] == 0.0 && w[6] > 0.0);
                    w[k] += h;
                    if constrained {
                        w[6] -= h;
                    }
                    value(&a, &b)
                };
                let h = 3e-5;
                let slope = (4.0 * with(h) - with(2.0 * h) - 3.0 * none) / (2.0 * h);
                let exact = gradient[k] - if constrained { gradient[6] } else { 0.0 };
                assert!((slope - exact).abs() < 1e-6, "{penalties:?}, side {side}, {k}: {slope} {exact}");
            }
        }
    }
}

#[test]
fn barycentric_images_of_atoms_without_mass_are_conditional_means() {
    let (a, b, epsilon) = (margined(3, 5), margined(4, 4), 0.01);
    let (mut passes, cost) = margins(&a, &b, epsilon);
    let s = solved(&mut passes, Penalties::default(), 1e-10);
    let y: Vec<f64> = (0..20).flat_map(|j| [0.2 * (j / 4) as f64 - 0.4, 0.25 * (j % 4) as f64]).collect();
    let map = derived::barycentric_map(&mut passes, &s.phi, std::slice::from_ref(&y)).unwrap();
    for i in 0..20 {
        let z = |j: usize| s.phi[j] - cost[i * 20 + j] / epsilon;
        let top = (0..20).filter(|j| b[*j] > 0.0).fold(f64::NEG_INFINITY, |top, j| top.max(z(j)));
        let q = |j: usize| if b[j] > 0.0 { b[j] * (z(j) - top).exp() } else { 0.0 };
        for k in 0..2 {
            let mean = sum(20, |j| q(j) * y[2 * j + k]) / sum(20, q);
            assert!((map[2 * i + k] - mean).abs() < 1e-11, "{i}, {k}: {} {mean}", map[2 * i + k]);
        }
    }
}
