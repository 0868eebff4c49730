use super::*;

fn every() -> Vec<(&'static str, Box<dyn Prior>)> {
    let kinds = [
        ("brownian", PriorInput::Brownian {}),
        ("ornstein_uhlenbeck", PriorInput::OrnsteinUhlenbeck { rate: 0.7, centre: 0.2 }),
        ("double_well", PriorInput::DoubleWell { height: 5.0 }),
        ("brownian_bridge", PriorInput::BrownianBridge { to: vec![1.0, -1.0] }),
        ("muller_brown", PriorInput::MullerBrown {}),
        ("coupled_double_well", PriorInput::CoupledDoubleWell {}),
        ("triple_well", PriorInput::TripleWell {}),
    ];
    kinds.into_iter().map(|(n, k)| (n, k.build(2, 1.0, Level::detect()).unwrap())).collect()
}

/// Points (x, y) as rows.
fn points() -> Vec<f64> {
    let n = 16;
    let x = (0..n).map(|i| -1.2 + 0.13 * i as f64);
    let y = (0..n).map(|i| 1.4 - 0.09 * i as f64);
    x.chain(y).collect()
}

#[test]
fn drifts_are_minus_the_gradients_of_their_potentials_to_1e_6() {
    let x = points();
    let n = x.len() / 2;
    let mut seen = 0;
    for (name, prior) in every() {
        let mut b = vec![0.0; x.len()];
        prior.drift(0.3, &x, &mut b);
        for i in 0..n {
            let at = |dx: f64, dy: f64| prior.potential(&[x[i] + dx, x[n + i] + dy]);
            if at(0.0, 0.0).is_none() {
                continue;
            }
            seen += 1;
            let h = 1e-5;
            let slope = |up: Option<f64>, down: Option<f64>| (up.unwrap() - down.unwrap()) / (2.0 * h);
            let g = [slope(at(h, 0.0), at(-h, 0.0)), slope(at(0.0, h), at(0.0, -h))];
            for (b, g) in [b[i], b[n + i]].into_iter().zip(g) {
                assert!((b + g).abs() < 1e-6 * (1.0 + g.abs()), "{name} at point {i}: {b} and {g}");
            }
        }
    }
    assert!(seen >= 5 * n);
}

#[test]
fn pulled_vectors_are_differences_of_the_drift_to_1e_5() {
    let x = points();
    let n = x.len() / 2;
    for (name, prior) in every() {
        let v: Vec<f64> = (0..2 * n).map(|i| if i % 3 == 0 { 0.7 } else { -0.4 }).collect();
        let mut pulled = vec![0.0; 2 * n];
        prior.pull(0.3, &x, &v, &mut pulled);
        for c in 0..2 {
            // Column c of the Jacobian from differences, against v.
            let h = 1e-5;
            let moved = |sign: f64| {
                let mut y = x.clone();
                y[c * n..(c + 1) * n].iter_mut().for_each(|y| *y += sign * h);
                let mut b = vec![0.0; 2 * n];
                prior.drift(0.3, &y, &mut b);
                b
            };
            let (up, down) = (moved(1.0), moved(-1.0));
            for i in 0..n {
                let d = |r: usize| (up[r * n + i] - down[r * n + i]) / (2.0 * h) * v[r * n + i];
                let expected = d(0) + d(1);
                let found = pulled[c * n + i];
                assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{name}: {found}, {expected}");
            }
        }
    }
}

#[test]
fn the_functional_of_the_double_well_is_a_quarter_of_slope_squared_minus_half_the_bend_for_variance_2() {
    let prior = PriorInput::DoubleWell { height: 5.0 }.build(1, 1.0, Level::detect()).unwrap();
    let x: Vec<f64> = (0..16).map(|i| -1.5 + 0.2 * i as f64).collect();
    let (mut value, mut slope) = (vec![0.0; 16], vec![0.0; 16]);
    assert!(prior.functional(2.0, 1.0, &x, &mut value, Some(&mut slope)));
    for i in 0..16 {
        let phi = |x: f64| 0.25 * (20.0 * x * (x * x - 1.0)).powi(2) - 0.5 * 20.0 * (3.0 * x * x - 1.0);
        assert!((value[i] - phi(x[i])).abs() < 1e-9);
        let d = (phi(x[i] + 1e-6) - phi(x[i] - 1e-6)) / 2e-6;
        assert!((slope[i] - d).abs() < 1e-4 * (1.0 + d.abs()), "{} {d}", slope[i]);
    }
    let none = PriorInput::MullerBrown {}.build(2, 1.0, Level::detect()).unwrap();
    assert!(!none.functional(2.0, 1.0, &points(), &mut value, None));
}

#[test]
fn muller_brown_has_its_published_minima_and_saddles() {
    let prior = PriorInput::MullerBrown {}.build(2, 1.0, Level::detect()).unwrap();
    let known = [
        (-0.5582236346, 1.4417258418, -146.6995172100),
        (-0.0500108230, 0.4666941049, -80.7678181297),
        (0.6234994049, 0.0280377585, -108.1667241169),
        (-0.8220015587, 0.6243128028, -40.6648435087),
        (0.2124865820, 0.2929883251, -72.2489401123),
    ];
    for (x, y, v) in known {
        assert!((prior.potential(&[x, y]).unwrap() - v).abs() < 1e-9);
        let mut b = [0.0; 2];
        prior.drift(0.0, &[x, y], &mut b);
        assert!(b.iter().all(|b| b.abs() < 1e-5), "{b:?}");
    }
}

#[test]
fn every_level_agrees_with_the_portable_one_to_1e_12() {
    for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
        for kind in [PriorInput::MullerBrown {}, PriorInput::TripleWell {}, PriorInput::CoupledDoubleWell {}] {
            let (x, mut a) = (points(), vec![0.0; 32]);
            let mut b = a.clone();
            kind.build(2, 1.0, level).unwrap().drift(0.0, &x, &mut a);
            kind.build(2, 1.0, Level::Portable).unwrap().drift(0.0, &x, &mut b);
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()) * 100.0, "{level:?}: {a} {b}");
            }
        }
    }
}
