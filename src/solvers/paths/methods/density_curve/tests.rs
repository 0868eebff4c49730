//! The functionals against their differences and against each other.

use super::gaussian::Gaussian;
use super::mixture::Mixture;
use super::shape::{Shape, begin};
use crate::math::elementary::ln;
use crate::solvers::paths::chain::{Chain, Start};
use crate::solvers::paths::exact::chain;

/// Two coordinates, one of them drawn at the start; each observed, one twice.
fn problem() -> Chain {
    chain(
        r#"{"prior": {"kind": "muller_brown"}, "noise": 5.0, "start": [-0.5, 1.4], "start_deviation": [0.1, 0.0],
            "time_step": 0.001, "steps": 6, "observations": [{"step": 6, "value": [-0.4, 1.2], "deviation": [0.1]},
            {"step": 3, "value": [-0.45], "deviation": [0.2], "coordinates": [0]},
            {"step": 0, "value": [-0.45, 1.3], "deviation": [0.2]}]}"#,
    )
}

fn parameters(chain: &Chain, components: usize) -> Vec<f64> {
    let mut parameters = begin(chain, Shape::new(chain, components));
    for (k, p) in parameters.iter_mut().enumerate() {
        *p += 0.05 * ((k * 7919 % 101) as f64 / 50.0 - 1.0);
    }
    parameters
}

/// The gradient is that of central differences.
fn slopes_agree(p: &[f64], mut functional: impl FnMut(&[f64], &mut [f64]) -> f64) {
    let (mut gradient, mut unused) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    functional(p, &mut gradient);
    for k in 0..p.len() {
        let mut at = |by: f64| {
            let mut p = p.to_vec();
            p[k] += by;
            functional(&p, &mut unused)
        };
        let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!((slope - gradient[k]).abs() < 1e-5 * (1.0 + slope.abs()), "{k}: {slope} {}", gradient[k]);
    }
}

#[test]
fn gradients_of_the_functional_of_1_2_and_5_components_are_its_differences_to_1e_5() {
    let chain = problem();
    let mut one = Gaussian::new(&chain, 5);
    slopes_agree(&parameters(&chain, 1), |p, g| one.evaluate(p, g));
    for components in [1, 2, 5] {
        let mut several = Mixture::new(&chain, Shape::new(&chain, components), 5);
        slopes_agree(&parameters(&chain, components), |p, g| several.evaluate(p, g));
    }
}

#[test]
fn mixtures_of_one_and_of_three_that_coincide_have_the_functional_of_the_gaussian_at_rest_to_1e_12() {
    // Where a curve moves, the two differ by how they interpolate in time.
    let chain = problem();
    let shape = Shape::new(&chain, 1);
    let mut p = parameters(&chain, 1);
    for j in 0..shape.times {
        for (i, (m, s)) in [(-0.47, 0.12), (1.4, 0.15)].into_iter().enumerate() {
            (p[shape.mean(0, j, i)], p[shape.log_deviation(0, j, i)]) = (m, ln(s));
        }
    }
    let mut unused = vec![0.0; p.len()];
    // The coordinate that is held at the start moves from there.
    let drawn = |chain: Chain| Chain { start: Start { deviation: vec![0.1, 0.2], ..chain.start.clone() }, ..chain };
    let chain = drawn(chain);
    let f = Gaussian::new(&chain, 7).evaluate(&p, &mut unused);
    let mixed = Mixture::new(&chain, shape, 7).evaluate(&p, &mut unused);
    assert!((mixed / f - 1.0).abs() < 1e-12, "{mixed} {f}");

    let p = parameters(&chain, 1);
    let mut gradient = vec![0.0; p.len()];
    let f = Mixture::new(&chain, shape, 7).evaluate(&p, &mut gradient);
    let mut three = [p.clone(), p.clone(), p.clone()].concat();
    three.extend([0.3, -0.4, 0.1]);
    let mut by_three = vec![0.0; three.len()];
    let mixed = Mixture::new(&chain, Shape::new(&chain, 3), 7).evaluate(&three, &mut by_three);
    assert!((mixed / f - 1.0).abs() < 1e-12, "{mixed} {f}");
    let size = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    for (k, g) in gradient.iter().enumerate() {
        let sum: f64 = (0..3).map(|c| by_three[c * p.len() + k]).sum();
        assert!((g - sum).abs() < 1e-11 * size, "{k}: {g} {sum}");
    }
    // Which of three that coincide is heavier is all the same.
    assert!(by_three[3 * p.len()..].iter().all(|g| g.abs() < 1e-11 * size));
}
