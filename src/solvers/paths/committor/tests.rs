//! Committors against closed forms and published numbers.

use super::*;
use crate::math::simd::Level;
use crate::solvers::paths::priors::PriorInput;

fn strip(low: &[f64], high: &[f64]) -> Set {
    Set::Box { low: low.to_vec(), high: high.to_vec() }
}

fn never() -> bool {
    false
}

/// V = 5(x² − 1)².
fn well(x: f64) -> f64 {
    5.0 * (x * x - 1.0) * (x * x - 1.0)
}

/// D / (∫ e^{−V/D} ∫_{−1}^1 e^{V/D}) · 2: both halves of the symmetric well hold one half of the mass.
fn rate_of_the_well(d: f64) -> f64 {
    let simpson = |low: f64, high: f64, sign: f64| {
        let n = 4000;
        let h = (high - low) / n as f64;
        let f = |k: usize| (sign * well(low + h * k as f64) / d).exp();
        (0..n).step_by(2).map(|k| (f(k) + 4.0 * f(k + 1) + f(k + 2)) * h / 3.0).sum::<f64>()
    };
    let mass = simpson(-3.0, 3.0, -1.0);
    // ∫ e^{−V} = 0.834058804107 at D = 1.
    assert!(d != 1.0 || (mass - 0.834058804107).abs() < 1e-10);
    2.0 * d / (mass * simpson(-1.0, 1.0, 1.0))
}

#[test]
fn the_committor_of_the_double_well_has_its_closed_form_to_1e_9_and_the_rate_to_1e_10() {
    let input = Input {
        a: strip(&[-3.0], &[-1.0]),
        b: strip(&[1.0], &[3.0]),
        low: vec![-3.0],
        high: vec![3.0],
        cells: Some(vec![480]),
        known_rate: None,
    };
    input.check(1).unwrap();
    let solved = input.solve(&|x| well(x[0]), 1.0, 1, &never).unwrap();
    for (x, q) in [(0.25, 0.8512049858), (0.5, 0.9744821654), (0.8, 0.9970701676)] {
        let at = |x: f64| solved.q[((x + 3.0) * 80.0).round() as usize];
        assert!((at(x) - q).abs() < 1e-9 && (at(-x) - 1.0 + q).abs() < 1e-9, "{x}: {}", at(x));
    }
    assert!((solved.rate / rate_of_the_well(1.0) - 1.0).abs() < 1e-10, "{}", solved.rate);
    // Between the points of a coarse grid.
    let coarse = Input { cells: Some(vec![64]), ..input.clone() };
    let v = |x: &[f64]| well(x[0]);
    let q = coarse.solve(&v, 1.0, 1, &never).unwrap().q;
    for (x, truth) in [(0.25, 0.8512049858), (0.5, 0.9744821654), (-0.8, 1.0 - 0.9970701676)] {
        let found = coarse.at(&q, &[x], &v, 1.0);
        assert!((found - truth).abs() < 1e-8, "{x}: {found}");
    }
    assert!((solved.rate / solved.back - 1.0).abs() < 1e-12);
    // Sets the other way round: the committor turns over.
    let turned = Input { a: input.b.clone(), b: input.a.clone(), ..input.clone() };
    let other = turned.solve(&|x| well(x[0]), 1.0, 1, &never).unwrap();
    assert!(solved.q.iter().zip(&other.q).all(|(q, p)| (q + p - 1.0).abs() < 1e-12));
}

#[test]
fn a_double_well_times_a_harmonic_direction_has_the_rate_of_one_coordinate_with_the_second_order() {
    let d = 1.3;
    let truth = rate_of_the_well(d);
    let error = |cells: usize| {
        let input = Input {
            a: strip(&[-3.0, -9.0], &[-1.0, 9.0]),
            b: strip(&[1.0, -9.0], &[3.0, 9.0]),
            low: vec![-2.0, -3.0],
            high: vec![2.0, 3.0],
            cells: Some(vec![cells, cells / 2]),
            known_rate: None,
        };
        input.check(2).unwrap();
        let solved = input.solve(&|x| well(x[0]) + 2.0 * x[1] * x[1], d, 1, &never).unwrap();
        // No slope across.
        let row = cells + 1;
        let apart = (0..row).map(|k| (solved.q[k] - solved.q[row * (cells / 4) + k]).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-9, "{apart}");
        (solved.rate / truth - 1.0).abs()
    };
    let errors = [32, 64, 128].map(error);
    println!("errors {errors:?}");
    assert!(errors[2] < 2e-3);
    for pair in errors.windows(2) {
        assert!((3.6..4.4).contains(&(pair[0] / pair[1])), "{errors:?}");
    }
}

#[test]
fn below_a_barrier_of_62_kt_the_plane_has_the_rate_of_one_coordinate_with_the_second_order() {
    // Noise 0.4: rate 3.216e-27 by quadrature; squares of the solver's errors in the wells would leave 1e-25.
    let d = 0.08;
    let line = Input {
        a: strip(&[-2.0], &[-0.9]),
        b: strip(&[0.9], &[2.0]),
        low: vec![-2.0],
        high: vec![2.0],
        cells: Some(vec![400]),
        known_rate: None,
    };
    let truth = line.solve(&|x| well(x[0]), d, 1, &never).unwrap().rate;
    assert!((truth / 3.216e-27 - 1.0).abs() < 1e-3, "{truth:e}");
    let error = |cells: usize| {
        let input = Input {
            a: strip(&[-2.0, -2.0], &[-0.9, 2.0]),
            b: strip(&[0.9, -2.0], &[2.0, 2.0]),
            low: vec![-2.0, -2.0],
            high: vec![2.0, 2.0],
            cells: Some(vec![cells, cells / 2]),
            known_rate: None,
        };
        let solved = input.solve(&|x| well(x[0]) + 3.0 * x[1] * x[1], d, 1, &never).unwrap();
        assert!((solved.rate / solved.back - 1.0).abs() < 1e-6, "{} {}", solved.rate, solved.back);
        solved.rate / truth - 1.0
    };
    // The fitted fluxes of one coordinate, summed by hand, are off by 0.03332 and 0.00823.
    let errors = [100, 200].map(error);
    println!("errors {errors:?}");
    assert!((errors[0] - 0.0333).abs() < 1e-3 && (errors[1] - 0.0082).abs() < 1e-3, "{errors:?}");
}

#[test]
fn from_a_well_that_holds_1e_14_of_the_mass_the_rate_back_is_known_in_one_and_two_coordinates() {
    // V = 5(x² − 1)² + 4x, kT = 0.245: rates by quadrature on 160 000 points.
    let (d, rate, back) = (0.245, 4.58484e-17, 4.09420e-3);
    let v = |x: f64| well(x) + 4.0 * x;
    let line = Input {
        a: strip(&[-2.0], &[-0.9]),
        b: strip(&[0.7], &[2.0]),
        low: vec![-2.0],
        high: vec![2.0],
        cells: Some(vec![400]),
        known_rate: None,
    };
    let plane = Input {
        a: strip(&[-2.0, -2.0], &[-0.9, 2.0]),
        b: strip(&[0.7, -2.0], &[2.0, 2.0]),
        low: vec![-2.0, -2.0],
        high: vec![2.0, 2.0],
        cells: Some(vec![200, 60]),
        known_rate: None,
    };
    let one = line.solve(&|x| v(x[0]), d, 1, &never).unwrap();
    let two = plane.solve(&|x| v(x[0]) + 3.0 * x[1] * x[1], d, 1, &never).unwrap();
    for (solved, most) in [(one, 1e-5), (two, 4e-3)] {
        let off = [solved.rate / rate - 1.0, solved.back / back - 1.0];
        assert!(off.iter().all(|o| o.abs() < most), "{off:?}");
    }
}

#[test]
fn over_potentials_of_more_than_600_kt_no_flux_passes() {
    let input = Input {
        a: strip(&[-2.0, -2.0], &[-0.9, 2.0]),
        b: strip(&[0.9, -2.0], &[2.0, 2.0]),
        low: vec![-2.0, -2.0],
        high: vec![2.0, 2.0],
        cells: Some(vec![40, 40]),
        known_rate: None,
    };
    let solved = input.solve(&|x| 1000.0 * x[0] * x[0] + x[1] * x[1], 0.005, 1, &never).unwrap();
    assert_eq!(solved.flux, 0.0);
}

#[test]
fn between_round_sets_the_error_falls_with_the_square_of_the_spacing() {
    // No potential, concentric circles do not fit a box: two discs in a box, against a finer grid.
    let input = |cells: usize| Input {
        a: Set::Ball { centre: vec![-0.5, 0.1], radius: 0.31 },
        b: Set::Ball { centre: vec![0.6, -0.05], radius: 0.27 },
        low: vec![-1.0, -1.0],
        high: vec![1.0, 1.0],
        cells: Some(vec![cells, cells]),
        known_rate: None,
    };
    let rate = |cells: usize| input(cells).solve(&|x| x[0] * x[1], 0.7, 1, &never).unwrap().rate;
    let fine = rate(384);
    let errors = [32, 64, 128].map(|c| (rate(c) / fine - 1.0).abs());
    println!("errors {errors:?}");
    // A cut that is first order only would leave 1/4 of the first error on the third grid.
    assert!(errors[2] < errors[0] / 8.0 && errors[2] < 2e-3, "{errors:?}");
}

#[test]
fn what_flows_through_a_gap_between_two_points_of_the_grid_counts() {
    // Sets from border to border, 0.01 apart about the middle of a cell: D/(0.01 · 2) per time without a potential, as in
    // one coordinate, along either coordinate and either way.
    let (d, edges) = (0.7, (0.010625, 0.020625));
    let line = Input {
        a: strip(&[-1.0], &[edges.0]),
        b: strip(&[edges.1], &[1.0]),
        low: vec![-1.0],
        high: vec![1.0],
        cells: Some(vec![400]),
        known_rate: None,
    };
    line.check(1).unwrap();
    let one = line.solve(&|_| 0.0, d, 1, &never).unwrap();
    assert!((one.flux / (50.0 * d) - 1.0).abs() < 1e-9, "{}", one.flux);
    let across = [strip(&[-1.0, -1.0], &[edges.0, 1.0]), strip(&[edges.1, -1.0], &[1.0, 1.0])];
    let along = [strip(&[-1.0, -1.0], &[1.0, edges.0]), strip(&[-1.0, edges.1], &[1.0, 1.0])];
    for [a, b] in [across, along] {
        for (a, b, rate, back) in [(&a, &b, one.rate, one.back), (&b, &a, one.back, one.rate)] {
            let plane = Input {
                a: a.clone(),
                b: b.clone(),
                low: vec![-1.0, -1.0],
                high: vec![1.0, 1.0],
                cells: Some(vec![64, 64]),
                known_rate: None,
            };
            plane.check(2).unwrap();
            // With the gap in the middle of a cell the points of each set hold half of the gap.
            let two = plane.solve(&|_| 0.0, d, 1, &never).unwrap();
            for (found, truth) in [(two.flux, one.flux), (two.rate, rate), (two.back, back)] {
                assert!((found / truth - 1.0).abs() < 1e-9, "{a:?}: {found} {truth}");
            }
        }
    }
}

#[test]
fn boxes_with_a_narrow_gap_have_the_rate_of_a_grid_that_resolves_it() {
    // 20.7314 and 20.7126 on 400² and 800² cells, by the same fluxes in SciPy; 1.16 without what passes the gap.
    let input = Input {
        a: strip(&[-0.8, -0.5], &[-0.021, 0.5]),
        b: strip(&[-0.011, -0.3], &[0.7, 0.6]),
        low: vec![-1.0, -1.0],
        high: vec![1.0, 1.0],
        cells: Some(vec![64, 64]),
        known_rate: None,
    };
    input.check(2).unwrap();
    let rate = input.solve(&|_| 0.0, 0.5, 1, &never).unwrap().rate;
    assert!((rate - 20.713).abs() < 0.05, "{rate}");
}

#[test]
fn balls_that_miss_the_box_though_their_extents_meet_it_are_refused() {
    let with = |centre: [f64; 2], radius: f64| {
        let input = Input {
            a: strip(&[0.2, 0.2], &[1.0, 1.0]),
            b: Set::Ball { centre: centre.to_vec(), radius },
            low: vec![-1.0, -1.0],
            high: vec![1.0, 1.0],
            cells: Some(vec![64, 64]),
            known_rate: None,
        };
        input.check(2)
    };
    // The corner is 0.35 √2 = 0.495 away.
    let (key, message) = with([-1.35, -1.35], 0.4).unwrap_err();
    assert!(key == "b" && message.contains("must meet the box"), "{key}: {message}");
    with([-1.35, -1.35], 0.5).unwrap();
    // A cap of 0.001 between the points −0.0625 and 0 of the border, on the coarser grid.
    assert!(with([-1.199, -0.03], 0.2).is_err());
    with([-1.199, 0.0], 0.2).unwrap();
}

#[test]
fn the_committor_of_muller_and_brown_has_the_published_values_and_rates() {
    let prior = PriorInput::MullerBrown {}.build(2, 1.0, Level::detect()).unwrap();
    let v = |x: &[f64]| prior.potential(x).unwrap();
    // A, B: discs of radius 0.1 about the two deepest minima; values of grids with 601² and 801² points.
    let (s1, s2, mi) = ([-0.8220015587, 0.6243128028], [0.2124865820, 0.2929883251], [-0.0500108230, 0.4666941049]);
    for (kt, rate, values) in [(10.0, 5.0425e-3, [0.3252, 0.9784, 0.9481]), (12.5, 3.8554e-2, [0.2999, 0.9600, 0.9089])]
    {
        let input = Input {
            a: Set::Ball { centre: vec![-0.5582236346, 1.4417258418], radius: 0.1 },
            b: Set::Ball { centre: vec![0.6234994049, 0.0280377585], radius: 0.1 },
            low: vec![-1.6, -0.5],
            high: vec![1.2, 2.1],
            cells: Some(vec![224, 208]),
            known_rate: None,
        };
        let solved = input.solve(&v, kt, 1, &never).unwrap();
        println!("kT {kt}: rate {} ({rate}), {} iterations", solved.rate, solved.iterations);
        assert!((solved.rate / rate - 1.0).abs() < 5e-3, "{} {rate}", solved.rate);
        // Also where the potential is so high that e^{-V/kT} is 0 beside the valleys.
        let outside = solved.q.iter().map(|q| (0.5 - q).abs() - 0.5).fold(f64::NEG_INFINITY, f64::max);
        assert!(outside < 1e-6 && solved.q.iter().all(|q| q.is_finite()), "{outside} beyond [0, 1]");
        for (x, truth) in [s1, s2, mi].iter().zip(values) {
            let q = input.at(&solved.q, x, &v, kt);
            println!("  q({x:?}) = {q}, {truth}");
            assert!((q - truth).abs() < 2e-3, "{q} {truth}");
        }
    }
}
