//! Derivatives of the right-hand sides: against differences of N, and against the adjoints that are known.

use super::invariants::{ALL, largest, small};
use super::run::{CIRCLE, Run, input, padded, sum};
use crate::math::real::Real;
use crate::solvers::spectral::equations::written::WrittenInput;
use crate::solvers::spectral::fields::Fields;
use std::sync::Arc;

/// Written equations: axes, mean of the state, input. Polynomials of every degree to 7, functions, complex ones, several
/// rounds of transforms, a constraint.
const WRITTEN: &[(usize, f64, &str)] = &[
    (1, 0.3, "fields = ['u']\nrhs = { u = 'lap(u) + u - u^5' }"),
    (1, 0.3, "fields = ['u']\nrhs = { u = 'lap(u) + u^4 - 0.1*u^7 + dx(u^6)' }"),
    (
        2,
        0.3,
        "fields = ['u']\nrhs = { u = 'lap(u) + sin(u)*exp(-u^2) + tanh(dx(u))*cosh(u) - tan(0.2*u)/(2 + cos(u))' }",
    ),
    (
        1,
        3.0,
        "fields = ['u']\nrhs = { u = 'lap(u) - abs(u)*u + sqrt(u)*log(u) + u^1.7 + u^(1 + 0.1*u) + sech(u) + sinh(u)' }",
    ),
    (1, 0.3, "fields = ['p']\ncomplex = true\nrhs = { p = 'i*lap(p) + i*abs(p)^2*p + exp(p)*conj(p) - re(p)*im(p)' }"),
    (1, 3.0, "fields = ['p']\ncomplex = true\nrhs = { p = 'i*lap(p) + log(p)*abs(p) + sqrt(p) + p^0.3 + sin(p)/p' }"),
    (1, 0.3, "fields = ['u', 'v']\nrhs = { u = 'lap(u) + u*inv_lap(u*v)', v = 'lap(v) - v*mean(u^2)*dx(u*v)' }"),
    (
        2,
        0.3,
        "fields = ['b']\nvectors = { u = ['ux', 'uy'] }\nconstraint = 'div(u) = 0'\n\
         rhs = { u = '-dot(u, grad(u)) + 0.1*lap(u) + [0, b]', b = '-dot(u, grad(b)) + lap(b) + 0.1*sin(b)' }",
    ),
];

/// Every equation with a random state and three directions.
fn cases<T: Real>() -> Vec<(String, Run<T>, [Fields<T>; 4])> {
    let fields = |run: &mut Run<T>, amplitude: f64, mean: f64| {
        [mean, 0.3, 0.2, -0.1].map(|mean| {
            run.randomise(amplitude, mean, 5 + (100.0 * mean) as u64);
            run.state.clone()
        })
    };
    let built_in = ALL.iter().map(|(dimension, text)| {
        let mut run = Run::new(&input(text), &small(*dimension, text));
        let drawn = fields(&mut run, 1.0, 0.3);
        (text.to_string(), run, drawn)
    });
    let written = WRITTEN.iter().map(|(dimension, mean, text)| {
        let written: WrittenInput = toml::from_str(text).unwrap();
        let domain = padded(&[5, 4][..*dimension], &[CIRCLE, 5.0][..*dimension], 3, written.complex);
        let equation = written.compile::<T>(&domain).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut run = Run::of(Arc::new(equation), &domain);
        let drawn = fields(&mut run, 0.3, *mean);
        (text.to_string(), run, drawn)
    });
    built_in.chain(written).collect()
}

#[test]
fn what_the_tangent_leaves_is_of_second_order_for_every_equation() {
    for (text, mut run, [state, direction, ..]) in cases::<f64>() {
        let start = run.rate(0.3, &state);
        let tangent = run.tangents(0.3, &state, &[&direction]).remove(0);
        let mut left = |step: f64| {
            let moved = run.rate(0.3, &sum(&state, step, &direction));
            largest(&sum(&sum(&moved, -1.0, &start), -step, &tangent))
        };
        let (far, near) = (left(2e-3), left(1e-3));
        if text.contains("advection_diffusion") {
            assert!(far < 1e-15, "{text}: N is nothing there, {far:e}");
            continue;
        }
        assert!(largest(&tangent) > 1e-3, "{text}");
        let order = (far / near).log2();
        assert!((order - 2.0).abs() < 0.02, "{text}: order {order}, {far:e}");
    }
}

/// N'(u)(a + 3b) = N'(u)a + 3 N'(u)b within `tolerance` of its size.
fn linear<T: Real>(tolerance: f64) {
    for (text, mut run, [state, a, b, _]) in cases::<T>() {
        let both = sum(&a, 3.0, &b);
        let found = run.tangents(0.3, &state, &[&a, &b, &both]);
        let left = sum(&sum(&found[2], -1.0, &found[0]), -3.0, &found[1]);
        let size = |f: &Fields<T>| f.arrays.iter().flatten().map(|z| z.norm().to_f64()).fold(0.0, f64::max);
        assert!(size(&left) <= tolerance * size(&found[2]), "{text}: {:e} of {:e}", size(&left), size(&found[2]));
    }
}

#[test]
fn tangents_are_linear_to_rounding() {
    linear::<f64>(1e-12);
    linear::<f32>(1e-4);
}

/// A built-in equation with three random fields of this mean.
fn drawn(dimension: usize, text: &str, mean: f64) -> (Run<f64>, [Fields<f64>; 3]) {
    let mut run = Run::new(&input(text), &small(dimension, text));
    let fields = [5, 6, 7].map(|seed| {
        run.randomise(1.0, mean, seed);
        run.state.clone()
    });
    (run, fields)
}

#[test]
fn products_of_tangents_with_the_state_are_what_conservation_asks_for() {
    // Where (u, N(u)) = 0 for all u, its derivative is (N'(u)δ, u) + (δ, N(u)) = 0: N'(u)ᵀu = −N(u).
    let conserved: &[(usize, &str)] = &[
        (1, "kind = 'burgers'\nviscosity = 0.1"),
        (1, "kind = 'kdv'"),
        (1, "kind = 'kuramoto_sivashinsky'\ndrag = 0.1"),
        (1, "kind = 'nonlinear_schroedinger'"),
        (2, "kind = 'nonlinear_schroedinger'\nfocusing = -2.0"),
        (2, "kind = 'vorticity_2d'\nviscosity = 0.1\ndrag = 0.2"),
        (3, "kind = 'navier_stokes_3d'\nviscosity = 0.1"),
    ];
    for (dimension, text) in conserved {
        let (mut run, [state, direction, _]) = drawn(*dimension, text, 0.3);
        let rate = run.rate(0.0, &state);
        let tangent = run.tangents(0.0, &state, &[&direction]).remove(0);
        let (left, right) = (run.inner(&tangent, &state), run.inner(&direction, &rate));
        assert!((left + right).abs() < 1e-13 * right.abs().max(1.0), "{text}: {left} and {right}");
        assert!(right.abs() > 1e-5, "{text}: {right}");
    }
}

#[test]
fn tangents_of_gradient_flows_are_symmetric() {
    // N is the gradient of a sum over points, so (N'(u)a, b) = (a, N'(u)b).
    let gradients: &[(usize, &str)] = &[
        (1, "kind = 'allen_cahn'\ninterface_width = 0.3"),
        (2, "kind = 'allen_cahn'\ninterface_width = 0.3\nthreshold = 0.2"),
        (2, "kind = 'fisher_kpp'"),
        (2, "kind = 'swift_hohenberg'\ngrowth = 0.3\nquadratic = 1.0"),
    ];
    for (dimension, text) in gradients {
        let (mut run, [state, a, b]) = drawn(*dimension, text, 0.3);
        let found = run.tangents(0.0, &state, &[&a, &b]);
        let (left, right) = (run.inner(&found[0], &b), run.inner(&a, &found[1]));
        assert!((left - right).abs() < 1e-13 * right.abs().max(1.0), "{text}: {left} and {right}");
        assert!(right.abs() > 1e-3, "{text}: {right}");
    }
}

#[test]
fn exponents_of_a_quintic_at_rest_are_its_linear_rates() {
    // u' = −u/2 − u⁵/10 near 0: N'(u)δ is −u⁴δ/2, which is nothing beside δ, whatever the size of δ.
    let written: WrittenInput = toml::from_str("fields = ['u']\nrhs = { u = '-0.5*u - 0.1*u^5 + lap(u)' }").unwrap();
    let domain = padded(&[5], &[CIRCLE], 5, false);
    let mut run = Run::<f64>::of(Arc::new(written.compile(&domain).unwrap()), &domain);
    run.randomise(1e-3, 0.0, 5);
    let state = run.state.clone();
    run.randomise(1.0, 0.3, 6);
    let direction = run.state.clone();
    let tangent = run.tangents(0.0, &state, &[&direction]).remove(0);
    assert!(largest(&tangent) < 1e-10, "{:e}", largest(&tangent));
}
