//! The passes against sums over all pairs, at awkward shapes, sharp ε and zero weights.

use super::*;
use crate::solvers::transport::passes::{Passes, Precision};

/// Uniform numbers in [0, 1), by address.
fn uniform(seed: u64, n: usize) -> Vec<f64> {
    let draw = |i: u64| {
        let mut x = (seed << 32 ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..3 {
            x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n as u64).map(draw).collect()
}

fn coordinates(seed: u64, n: usize) -> Vec<f64> {
    let mut x = uniform(seed, n);
    x.sort_by(f64::total_cmp);
    x
}

const SHAPES: [(&[usize], &[usize]); 5] =
    [(&[37], &[53]), (&[5, 7], &[6, 4]), (&[3, 4, 5], &[4, 2, 6]), (&[1, 70], &[40, 1]), (&[33, 20], &[20, 33])];
const LEVELS: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

fn passes(source: &[usize], target: &[usize], exponent: f64, epsilon: f64, level: Level) -> GridPasses<Threads> {
    let grid = |seed, shape: &[usize]| -> Vec<Vec<f64>> {
        shape.iter().enumerate().map(|(k, &n)| coordinates(seed + k as u64, n)).collect()
    };
    let (x, y) = (grid(1, source), grid(5, target));
    let cost = GridCost::power(&x, &y, exponent);
    let weights = |seed, n| -> Vec<f64> {
        let w: Vec<f64> = uniform(seed, n).into_iter().map(|w| if w < 0.2 { 0.0 } else { w }).collect();
        let sum: f64 = w.iter().sum();
        w.into_iter().map(|w| w / sum).collect()
    };
    let (a, b) = (weights(11, cost.n()), weights(12, cost.m()));
    GridPasses::new(cost, a, b, epsilon, LaplaceKernel::new(&y, 0.3), level, Threads)
}

/// −log Σ_j w_j exp(h_j − C_ij/ε) over all pairs; `c(i, j)`.
fn soft(n: usize, w: &[f64], h: &[f64], epsilon: f64, c: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..n)
        .map(|i| {
            let z: Vec<f64> = (0..w.len())
                .map(|j| if w[j] > 0.0 { w[j].ln() + h[j] - c(i, j) / epsilon } else { f64::MIN })
                .collect();
            let max = z.iter().copied().fold(f64::MIN, f64::max);
            -(max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln())
        })
        .collect()
}

fn largest_difference(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a })
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |a, x| a.max(x.abs()))
}

#[test]
fn soft_transforms_equal_sums_over_all_pairs_from_blurred_to_a_millionth() {
    for (source, target) in SHAPES {
        for level in LEVELS {
            for epsilon in [10.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6] {
                let mut p = passes(source, target, 2.0, epsilon, level);
                let (n, m) = (p.n(), p.m());
                // Potentials as rough as the cost allows.
                let phi: Vec<f64> = uniform(3, m).iter().map(|u| 0.3 * u / epsilon).collect();
                let mut psi = vec![0.0; n];
                p.soft_rows(&phi, &mut psi).unwrap();
                let (b, cost) = (p.b().to_vec(), p.cost().clone());
                let expected = soft(n, &b, &phi, epsilon, |i, j| cost.entry(i, j));
                // A few roundings of exponents of this size, in both ways of computing.
                let tolerance = 2e-14 + 2e-15 / epsilon;
                let error = largest_difference(&psi, &expected);
                assert!(error < tolerance, "{source:?} {level:?} ε {epsilon}: {error}");
                let mut x = vec![0.0; m];
                p.soft_cols(&psi, &mut x).unwrap();
                let expected = soft(m, &p.a().to_vec(), &psi, epsilon, |j, i| cost.entry(i, j));
                let error = largest_difference(&x, &expected);
                assert!(error < tolerance, "{source:?} {level:?} ε {epsilon}, columns: {error}");
            }
        }
    }
}

#[test]
fn single_precision_is_good_to_1e_6_at_any_epsilon() {
    for (source, target) in SHAPES {
        for level in LEVELS {
            for epsilon in [10.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6] {
                let mut p = passes(source, target, 2.0, epsilon, level);
                let phi: Vec<f64> = uniform(3, p.m()).iter().map(|u| 0.3 * u / epsilon).collect();
                let (mut double, mut single) = (vec![0.0; p.n()], vec![0.0; p.n()]);
                p.soft_rows(&phi, &mut double).unwrap();
                p.set_precision(Precision::F32);
                p.soft_rows(&phi, &mut single).unwrap();
                let error = largest_difference(&double, &single);
                assert!(error < 1e-6, "{source:?} {level:?} ε {epsilon}: {error}");
            }
        }
    }
}

#[test]
fn single_precision_differs_from_double_where_it_is_used() {
    let mut p = passes(&[33, 20], &[20, 33], 2.0, 0.1, Level::detect());
    let (phi, mut double, mut single) = (vec![0.0; p.m()], vec![0.0; p.n()], vec![0.0; p.n()]);
    p.soft_rows(&phi, &mut double).unwrap();
    p.set_precision(Precision::F32);
    p.soft_rows(&phi, &mut single).unwrap();
    assert!(largest_difference(&double, &single) > 1e-10);
}

#[test]
fn both_halves_at_once_are_two_passes_with_a_rule_between() {
    for precision in [Precision::F64, Precision::F32] {
        let mut p = passes(&[5, 7], &[6, 4], 2.0, 0.05, Level::detect());
        p.set_precision(precision);
        let phi = uniform(8, p.m());
        let (mut psi, mut x) = (vec![0.0; p.n()], vec![0.0; p.m()]);
        p.row_then_col(&phi, &|i, t| 0.9 * t + i as f64, &mut psi, &mut x).unwrap();
        let (mut t, mut y) = (vec![0.0; p.n()], vec![0.0; p.m()]);
        p.soft_rows(&phi, &mut t).unwrap();
        let damped: Vec<f64> = t.iter().enumerate().map(|(i, t)| 0.9 * t + i as f64).collect();
        p.soft_cols(&damped, &mut y).unwrap();
        assert_eq!(psi, damped);
        assert_eq!(x, y);
    }
}

#[test]
fn the_plan_applied_to_signed_values_equals_sums_over_all_pairs() {
    for (source, target) in SHAPES {
        for (epsilon, exponent) in [(0.1, 2.0), (0.01, 1.5), (0.02, 1.0)] {
            let mut p = passes(source, target, exponent, epsilon, Level::detect());
            let (n, m, width) = (p.n(), p.m(), 3);
            let (mut phi, mut psi) = (uniform(3, m), vec![0.0; n]);
            for _ in 0..3 {
                p.soft_rows(&phi, &mut psi).unwrap();
                p.soft_cols(&psi, &mut phi).unwrap();
            }
            let cost = p.cost().clone();
            let (a, b) = (p.a().to_vec(), p.b().to_vec());
            let plan = |i: usize, j: usize| a[i] * b[j] * (psi[i] + phi[j] - cost.entry(i, j) / epsilon).exp();
            let v: Vec<f64> = uniform(4, m * width).iter().map(|u| u - 0.5).collect();
            let mut out = vec![0.0; n * width];
            p.plan_rows(&psi, &phi, &v, width, &mut out).unwrap();
            let expected: Vec<f64> =
                (0..n * width).map(|q| (0..m).map(|j| plan(q / width, j) * v[j * width + q % width]).sum()).collect();
            assert!(largest_difference(&out, &expected) < p.rounding() * largest(&a), "{source:?} rows");
            let u: Vec<f64> = uniform(5, n * width).iter().map(|u| u - 0.5).collect();
            let mut out = vec![0.0; m * width];
            p.plan_cols(&psi, &phi, &u, width, &mut out).unwrap();
            let expected: Vec<f64> =
                (0..m * width).map(|q| (0..n).map(|i| plan(i, q / width) * u[i * width + q % width]).sum()).collect();
            assert!(largest_difference(&out, &expected) < p.rounding() * largest(&b), "{source:?} columns");
            let mut out = vec![0.0; n];
            p.plan_cost_rows(&psi, &phi, &v[..m], &mut out).unwrap();
            let expected: Vec<f64> =
                (0..n).map(|i| (0..m).map(|j| plan(i, j) * v[j] * cost.entry(i, j)).sum()).collect();
            assert!(largest_difference(&out, &expected) < p.rounding() * largest(&a), "{source:?} cost");
        }
    }
}

#[test]
fn row_sums_of_a_plan_are_good_to_the_stated_rounding() {
    for epsilon in [1.0, 1e-2, 1e-4] {
        let mut p = passes(&[33, 20], &[20, 33], 2.0, epsilon, Level::detect());
        let (mut phi, mut psi) = (vec![0.0; p.m()], vec![0.0; p.n()]);
        p.soft_rows(&phi, &mut psi).unwrap();
        p.soft_cols(&psi, &mut phi).unwrap();
        let (mut sums, b) = (vec![0.0; p.m()], p.b().to_vec());
        p.plan_cols(&psi, &phi, &vec![1.0; p.n()], 1, &mut sums).unwrap();
        for (s, b) in sums.iter().zip(&b) {
            assert!((s - b).abs() <= 2.0 * p.rounding() * b, "ε {epsilon}: {s} for {b}");
        }
        assert!(p.rounding() < 1e-13 + 2e-15 / epsilon);
    }
}

#[test]
fn costs_of_either_sign_and_any_matrix_per_axis_are_taken() {
    let axis = |seed, n, m| AxisCost::new(n, m, uniform(seed, n * m).iter().map(|u| u - 0.7).collect());
    let cost = GridCost::new(vec![axis(1, 4, 3), axis(2, 5, 6)]);
    let (a, b) = (vec![0.05; 20], vec![1.0 / 18.0; 18]);
    let laplace = LaplaceKernel::new(&[coordinates(1, 3), coordinates(2, 6)], 1.0);
    let mut p = GridPasses::new(cost.clone(), a, b, 0.1, laplace, Level::detect(), Serial);
    let (phi, mut psi, mut out) = (uniform(3, 18), vec![0.0; 20], vec![0.0; 20]);
    p.soft_rows(&phi, &mut psi).unwrap();
    p.plan_cost_rows(&psi, &phi, &[1.0; 18], &mut out).unwrap();
    for i in 0..20 {
        let row = |j: usize| 0.05 / 18.0 * (psi[i] + phi[j] - cost.entry(i, j) / 0.1).exp() * cost.entry(i, j);
        let expected: f64 = (0..18).map(row).sum();
        assert!((out[i] - expected).abs() < 1e-15, "{} for {expected}", out[i]);
    }
    let all: Vec<f64> = (0..20).flat_map(|i| (0..18).map(move |j| (i, j))).map(|(i, j)| cost.entry(i, j)).collect();
    let (low, high) = p.cost_range();
    assert!((low - all.iter().copied().fold(f64::MAX, f64::min)).abs() < 1e-15);
    assert!((high - all.iter().copied().fold(f64::MIN, f64::max)).abs() < 1e-15);
}

#[test]
fn min_plus_transforms_equal_minima_over_all_pairs() {
    for (source, target) in SHAPES {
        for level in LEVELS {
            let mut p = passes(source, target, 2.0, 1.0, level);
            let (n, m, cost) = (p.n(), p.m(), p.cost().clone());
            let (g, mut f) = (uniform(6, m), vec![0.0; n]);
            p.min_rows(&g, &mut f).unwrap();
            let minimum = |i: usize| (0..m).map(|j| cost.entry(i, j) - g[j]).fold(f64::MAX, f64::min);
            let expected: Vec<f64> = (0..n).map(minimum).collect();
            assert!(largest_difference(&f, &expected) < 1e-15, "{source:?} {level:?} rows");
            let mut h = vec![0.0; m];
            p.min_cols(&f, &mut h).unwrap();
            let minimum = |j: usize| (0..n).map(|i| cost.entry(i, j) - f[i]).fold(f64::MAX, f64::min);
            let expected: Vec<f64> = (0..m).map(minimum).collect();
            assert!(largest_difference(&h, &expected) < 1e-15, "{source:?} {level:?} columns");
        }
    }
}

#[test]
fn bilinear_cost_and_reproducing_kernel_equal_double_sums() {
    for (source, target) in SHAPES {
        let mut p = passes(source, target, 2.0, 1.0, Level::detect());
        let (n, m, cost) = (p.n(), p.m(), p.cost().clone());
        let (u, v) = (uniform(1, n), uniform(2, m));
        let expected: f64 = (0..n * m).map(|q| u[q / m] * cost.entry(q / m, q % m) * v[q % m]).sum();
        let value = p.bilinear_cost(&u, &v).unwrap();
        assert!((value / expected - 1.0).abs() < 1e-13, "{value} for {expected}");

        let y: Vec<Vec<f64>> = target.iter().enumerate().map(|(k, &n)| coordinates(5 + k as u64, n)).collect();
        let point = |mut j: usize| {
            let mut x = vec![0.0; y.len()];
            for k in (0..y.len()).rev() {
                x[k] = y[k][j % target[k]];
                j /= target[k];
            }
            x
        };
        let k =
            |i: usize, j: usize| (-point(i).iter().zip(point(j)).map(|(x, y)| (x - y).abs()).sum::<f64>() / 0.3).exp();
        let w: Vec<f64> = uniform(3, m).iter().map(|u| u - 0.5).collect();
        let mut out = vec![0.0; m];
        p.reproducing_kernel(&w, &mut out).unwrap();
        let expected: Vec<f64> = (0..m).map(|i| (0..m).map(|j| k(i, j) * w[j]).sum()).collect();
        assert!(largest_difference(&out, &expected) < 1e-14 * m as f64, "{target:?}");
    }
}

#[test]
fn same_bits_for_any_lines_per_call_and_both_fused_levels() {
    let (n, m, lines) = (50, 70, 101);
    let x = coordinates(1, n);
    let cost = AxisCost::power(&x, &coordinates(2, m), 2.0);
    // Rough enough that some lines do not fit into f32 and some not into products at all.
    let input: Vec<f64> = uniform(7, m * lines).iter().enumerate().map(|(q, u)| u * (q % lines * 40) as f64).collect();
    for epsilon in [0.1, 1e-3, 1e-5] {
        let kernel: AxisKernel = cost.kernel(epsilon);
        for precision in [Precision::F64, Precision::F32] {
            for level in LEVELS {
                let mut whole = vec![0.0; lines * n];
                kernel.pass(level, precision, (Input::Logarithms(&input), Output::Logarithms), 0..lines, &mut whole);
                assert!(whole.iter().all(|x| x.is_finite()));
                for step in [1, 7, 16, 45] {
                    for first in (0..lines).step_by(step) {
                        let range = first..lines.min(first + step);
                        let mut part = vec![0.0; range.len() * n];
                        kernel.pass(
                            level,
                            precision,
                            (Input::Logarithms(&input), Output::Logarithms),
                            range.clone(),
                            &mut part,
                        );
                        assert_eq!(part, whole[range.start * n..range.end * n], "{level:?} {precision:?} {range:?}");
                    }
                }
                if level == Level::Avx2 && Level::detect() == Level::Avx512 {
                    let mut wide = vec![0.0; lines * n];
                    kernel.pass(
                        Level::Avx512,
                        precision,
                        (Input::Logarithms(&input), Output::Logarithms),
                        0..lines,
                        &mut wide,
                    );
                    assert_eq!(wide, whole);
                }
            }
        }
    }
    let (mut whole, mut part) = (vec![0.0; lines * n], vec![0.0; 9 * n]);
    tropical::min_plus(&cost, Level::detect(), &input, 0..lines, &mut whole);
    tropical::min_plus(&cost, Level::detect(), &input, 40..49, &mut part);
    assert_eq!(part, whole[40 * n..49 * n]);
}

#[test]
fn same_bits_for_one_thread_and_many() {
    let p = |lines: bool| {
        let y = [coordinates(1, 40), coordinates(2, 90)];
        let cost = GridCost::power(&y, &y, 2.0);
        let (n, phi) = (cost.n(), uniform(3, cost.m()));
        let laplace = LaplaceKernel::new(&y, 1.0);
        let (a, b) = (vec![1.0 / n as f64; n], vec![1.0 / n as f64; n]);
        let mut out = vec![0.0; n];
        if lines {
            GridPasses::new(cost, a, b, 0.01, laplace, Level::detect(), Threads).soft_rows(&phi, &mut out).unwrap();
        } else {
            GridPasses::new(cost, a, b, 0.01, laplace, Level::detect(), Serial).soft_rows(&phi, &mut out).unwrap();
        }
        out
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(p(false), pool.install(|| p(true)));
}

#[test]
fn a_line_without_mass_is_minus_infinity_and_hurts_no_other() {
    let cost = AxisCost::power(&coordinates(1, 20), &coordinates(2, 30), 2.0);
    let lines = 18;
    let mut input = uniform(3, 30 * lines);
    for j in 0..30 {
        input[j * lines + 4] = f64::NEG_INFINITY;
    }
    for precision in [Precision::F64, Precision::F32] {
        let (mut with, mut without) = (vec![0.0; 20 * lines], vec![0.0; 20]);
        cost.kernel(0.01).pass(
            Level::detect(),
            precision,
            (Input::Logarithms(&input), Output::Logarithms),
            0..lines,
            &mut with,
        );
        assert!(with[80..100].iter().all(|&x| x == f64::NEG_INFINITY));
        cost.kernel(0.01).pass(
            Level::detect(),
            precision,
            (Input::Logarithms(&input), Output::Logarithms),
            5..6,
            &mut without,
        );
        assert_eq!(with[100..120], without);
    }
}
