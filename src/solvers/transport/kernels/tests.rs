//! Fast kernels against slow, obvious twins; bits over cuts.

#![allow(clippy::single_range_in_vec_init)]

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::solvers::transport::passes::Precision::{self, F32, F64};

const COSTS: [PointCost; 6] = [
    PointCost::Squared,
    PointCost::SquaredTorus(0.7),
    PointCost::Euclidean,
    PointCost::Power(1.5),
    PointCost::Power(0.5),
    PointCost::Cosine,
];

/// Uniform numbers in [0, 1) by splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn vector(&mut self, n: usize, low: f64, high: f64) -> Vec<f64> {
        (0..n).map(|_| low + (high - low) * self.next()).collect()
    }
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// The cost as in the books.
fn book_cost(cost: PointCost, x: &[f64], y: &[f64]) -> f64 {
    let square: f64 = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum();
    match cost {
        PointCost::Squared => square,
        PointCost::SquaredTorus(period) => x
            .iter()
            .zip(y)
            .map(|(x, y)| {
                let t = (x - y).rem_euclid(period);
                t.min(period - t).powi(2)
            })
            .sum(),
        PointCost::Euclidean => square.sqrt(),
        PointCost::Power(p) => square.sqrt().powf(p),
        PointCost::Cosine => {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            1.0 - dot(x, y) / (dot(x, x) * dot(y, y)).sqrt()
        }
    }
}

/// A problem with its cost matrix written out.
struct Case {
    cost: PointCost,
    c: Vec<f64>,
    n: usize,
    m: usize,
    d: usize,
    epsilon: f64,
    h: Vec<f64>,
    shift: Vec<f64>,
    cloud: PointCloud,
}

impl Case {
    /// Points in [−0.3, 0.7)^d; h and shift of the size of the potentials, so that exponents are O(1) at the top.
    fn new(cost: PointCost, n: usize, m: usize, d: usize, epsilon: f64, seed: u64) -> Case {
        let mut random = Random(seed);
        let x = random.vector(n * d, -0.3, 0.7);
        let y = random.vector(m * d, -0.3, 0.7);
        let c: Vec<f64> = (0..n * m)
            .map(|k| book_cost(cost, &x[k / m * d..(k / m + 1) * d], &y[k % m * d..(k % m + 1) * d]))
            .collect();
        let h = random.vector(m, -1.0, 1.0);
        let shift = (0..n)
            .map(|i| {
                let best = (0..m).map(|j| h[j] - c[i * m + j] / epsilon).fold(f64::NEG_INFINITY, f64::max);
                1.0 - best
            })
            .collect();
        let cloud = PointCloud::new(cost, x.into(), y.into(), d);
        Case { cost, c, n, m, d, epsilon, h, shift, cloud }
    }

    fn z(&self, i: usize, j: usize) -> f64 {
        self.h[j] + self.shift[i] - self.c[i * self.m + j] / self.epsilon
    }

    /// Allowed relative error of a sum of exponentials.
    fn tolerance(&self, precision: Precision) -> f64 {
        let top = |v: &[f64]| v.iter().filter(|x| x.is_finite()).fold(0.0f64, |a, b| a.max(b.abs()));
        let cost = self.cloud.cost_bound() / self.epsilon;
        match precision {
            // Twice: the twin rounds too.
            F64 => {
                let roundings = self.cost.roundings(self.d);
                2.0 * rounding::row_sum_error(self.m, self.d, top(&self.h), top(&self.shift), cost, roundings)
            }
            F32 => {
                1e-6 + 1.2e-7 * (2.0 + top(&self.h) + top(&self.shift) + (self.d as f64 + 8.0) * cost)
                    + self.cost_error(F32) / self.epsilon
            }
        }
    }

    /// What costs are off by the rounding of coordinates, where they are not subtracted as given.
    fn cost_error(&self, precision: Precision) -> f64 {
        if precision == F32 { 1.2e-7 * self.steepness() } else { 0.0 }
    }

    /// Change of C, largest for a power p < 1 at the least distance r of two points, by a relative change of coordinates:
    /// p·r^(p−1) times the extent of the box. Other costs change by no more than their bound.
    fn steepness(&self) -> f64 {
        let PointCost::Power(p) = self.cost else { return 0.0 };
        if p >= 1.0 {
            return 0.0;
        }
        let distance = |c: f64| c.powf(1.0 / p);
        let nearest = distance(self.c.iter().copied().fold(f64::INFINITY, f64::min));
        p * nearest.powf(p - 1.0) * distance(self.cloud.cost_bound())
    }
}

fn close_to(found: f64, wanted: f64, relative: f64, what: &str) {
    let error = (found - wanted).abs();
    // 1e-30: products of clamped f32 terms (2^-120) are subnormal.
    assert!(error <= relative * wanted.abs() + 1e-30, "{what}: {found:e} for {wanted:e}, {:e}", error / wanted.abs());
}

/// Every kernel of `rows` against loops over `case`.
fn check_all(case: &Case, rows: &dyn Rows, precision: Precision) {
    let (n, m, tolerance) = (case.n, case.m, case.tolerance(precision));
    assert!(rows.rows() == n && rows.cols() == m);
    let lowest = if precision == F64 { -1000f64 } else { -120.0 }.exp2();
    let e = |i: usize, j: usize| case.z(i, j).exp().max(lowest);
    let width = 3;
    let v: Vec<f64> = (0..m * width).map(|k| 0.5 + (k % 7) as f64).collect();
    // On a line all cosines may be 0, and their rounding is relative to their bound.
    let least = if case.cost == PointCost::Cosine { case.cloud.cost_bound() } else { 0.0 };
    let costliest = case.c.iter().fold(least, |a, b| a.max(b.abs()));

    let mut sums = vec![0.25; n];
    rows.shifted_sum(0..n, &case.h, &case.shift, &mut sums);
    let mut maxima = vec![MaxSum::EMPTY; n];
    rows.max_sum(0..n, &case.h, &mut maxima);
    let mut weighted = vec![0.0; n * width];
    rows.weighted_sum(0..n, &case.h, &case.shift, &v, width, &mut weighted);
    let mut costs = vec![0.0; n];
    rows.weighted_cost(0..n, &case.h, &case.shift, &v[..m], &mut costs);
    let mut moved = vec![0.0; n];
    rows.cost_sum(0..n, &v[..m], &mut moved);
    let mut all = vec![0.0; n * m];
    rows.exponentials(0..n, &case.h, &case.shift, &mut all);
    let g: Vec<f64> = case.h.iter().map(|h| h * case.epsilon).collect();
    let mut least = vec![f64::INFINITY; n];
    rows.min_plus(0..n, &g, &mut least);
    let mut columns = column_sums(m);
    let mut seen = vec![f64::NAN; n];
    let weight = |i: usize| 1.0 / (1.0 + i as f64);
    let mut close = |i: usize, s: f64| {
        seen[i] = s;
        weight(i) / s
    };
    rows.sweep(0..n, &rows.scale(&case.h), &case.shift, &mut close, &mut columns, &mut Scratch::default());

    let mut by_column = vec![0.0; m];
    for i in 0..n {
        let s: f64 = (0..m).map(|j| e(i, j)).sum();
        close_to(sums[i] - 0.25, s, 1.01 * tolerance + 1e-15, "shifted_sum");
        let mut from_zero = [0.0];
        rows.shifted_sum(i..i + 1, &case.h, &case.shift[i..i + 1], &mut from_zero);
        assert_eq!(from_zero[0].to_bits(), seen[i].to_bits(), "the sweep's S_{i} is that of shifted_sum");
        let c = &case.c[i * m..(i + 1) * m];
        let (sum, size) = (0..m).fold((0.0, 0.0), |(s, t), j| (s + c[j] * v[j], t + costliest * v[j]));
        let off = case.cost_error(precision) * v[..m].iter().sum::<f64>();
        assert!((moved[i] - sum).abs() <= tolerance * size + off, "cost_sum: {} for {sum}", moved[i]);
        let log = s.ln() - case.shift[i];
        assert!((maxima[i].log() - log).abs() <= 2.0 * tolerance, "max_sum: {} for {log}", maxima[i].log());
        for k in 0..width {
            let wanted = (0..m).map(|j| e(i, j) * v[j * width + k]).sum();
            close_to(weighted[i * width + k], wanted, tolerance, "weighted_sum");
        }
        let c = |j: usize| case.c[i * m + j];
        let wanted: f64 = (0..m).map(|j| e(i, j) * v[j] * c(j)).sum();
        let mass: f64 = (0..m).map(|j| e(i, j) * v[j]).sum();
        let allowed = tolerance * (wanted.abs() + mass * costliest) + case.cost_error(precision) * mass;
        assert!((costs[i] - wanted).abs() <= allowed, "weighted_cost {wanted}");
        let wanted = (0..m).map(|j| c(j) - g[j]).fold(f64::INFINITY, f64::min);
        assert!((least[i] - wanted).abs() <= tolerance * case.epsilon, "min_plus: {} for {wanted}", least[i]);
        for j in 0..m {
            close_to(all[i * m + j], e(i, j), tolerance, "exponentials");
            by_column[j] += weight(i) / s * e(i, j);
            assert!((rows.cost(i, j) - c(j)).abs() <= 1e-14 * (1.0 + c(j).abs()));
        }
    }
    for j in 0..m {
        close_to(columns.as_slice()[j], by_column[j], 2.0 * tolerance, "sweep");
    }
    let about = case.c[0];
    let moments = rows.cost_moments(0..n, about);
    let unit = tolerance * case.epsilon;
    let extreme = |f: fn(f64, f64) -> f64| case.c.iter().copied().reduce(f).unwrap();
    assert!((moments[0] - extreme(f64::min)).abs() <= unit && (moments[1] - extreme(f64::max)).abs() <= unit);
    assert!((moments[2] - case.c.iter().sum::<f64>()).abs() <= unit * (n * m) as f64);
    let squares: f64 = case.c.iter().map(|c| (c - about) * (c - about)).sum();
    assert!((moments[3] - squares).abs() <= 4.0 * costliest * unit * (n * m) as f64);
}

#[test]
fn every_cost_dimension_level_and_precision_agrees_with_its_slow_twin() {
    for (k, cost) in COSTS.into_iter().enumerate() {
        for d in [1, 2, 3, 4, 5, 17] {
            let case = Case::new(cost, 7, 37, d, 0.1, (10 * k + d) as u64);
            for level in levels() {
                for precision in [F64, F32] {
                    check_all(&case, &*case.cloud.rows(0.1, precision, level), precision);
                }
            }
        }
    }
}

#[test]
fn a_matrix_gives_the_sums_of_its_points_in_both_orientations() {
    let case = Case::new(PointCost::Squared, 9, 45, 3, 0.05, 3);
    let transposed: Vec<f64> = (0..9 * 45).map(|k| case.c[k % 9 * 45 + k / 9]).collect();
    for level in levels() {
        for precision in [F64, F32] {
            let rows = matrix(case.c.clone().into(), 9, 45, 0.05, precision, level);
            check_all(&case, &*rows, precision);
            let back = matrix(transposed.clone().into(), 45, 9, 0.05, precision, level);
            let cols = case.cloud.cols(0.05, precision, level);
            let (mut a, mut b) = (vec![0.0; 45], vec![0.0; 45]);
            back.shifted_sum(0..45, &case.shift, &case.h, &mut a);
            cols.shifted_sum(0..45, &case.shift, &case.h, &mut b);
            for (a, b) in a.iter().zip(&b) {
                close_to(*a, *b, 2.0 * case.tolerance(precision), "transposed");
            }
        }
    }
}

/// Bits of every accumulator after the rows are done range by range.
fn bits(rows: &dyn Rows, case: &Case, cuts: &[Range<usize>]) -> Vec<u64> {
    let (n, m) = (case.n, case.m);
    let mut sums = vec![0.0; n];
    let mut maxima = vec![MaxSum::EMPTY; n];
    let mut weighted = vec![0.0; 2 * n];
    let mut costs = vec![0.0; n];
    let mut least = vec![f64::INFINITY; n];
    let mut moved = vec![0.0; n];
    let (scaled, mut columns) = (rows.scale(&case.h), column_sums(m));
    let v: Vec<f64> = (0..2 * m).map(|j| (j as f64).sin()).collect();
    let mut scratch = Scratch::default();
    for r in cuts.iter().cloned() {
        let shift = &case.shift[r.clone()];
        rows.shifted_sum(r.clone(), &case.h, shift, &mut sums[r.clone()]);
        rows.max_sum(r.clone(), &case.h, &mut maxima[r.clone()]);
        rows.weighted_sum(r.clone(), &case.h, shift, &v, 2, &mut weighted[2 * r.start..2 * r.end]);
        rows.weighted_cost(r.clone(), &case.h, shift, &v[..m], &mut costs[r.clone()]);
        rows.min_plus(r.clone(), &case.h, &mut least[r.clone()]);
        rows.cost_sum(r.clone(), &v[..m], &mut moved[r.clone()]);
        rows.sweep(r.clone(), &scaled, shift, &mut |_, s| 1.0 / s, &mut columns, &mut scratch);
    }
    let maxima = maxima.iter().flat_map(|x| [x.max, x.sum]);
    let all = sums.into_iter().chain(maxima).chain(weighted).chain(costs).chain(least).chain(moved);
    let all = all.chain(columns.as_slice()[..m].iter().copied());
    all.map(f64::to_bits).collect()
}

#[test]
fn cutting_the_rows_changes_no_bit() {
    for (cost, d) in [(PointCost::Squared, 3), (PointCost::Squared, 40), (PointCost::Power(1.5), 2)] {
        let case = Case::new(cost, 23, 101, d, 0.05, 11);
        for level in levels() {
            let rows = case.cloud.rows(0.05, F64, level);
            let whole = bits(&*rows, &case, &[0..23]);
            assert_eq!(whole, bits(&*rows, &case, &[0..1, 1..6, 6..7, 7..22, 22..23]));
            // The columns of an f32 sweep add four rows before they go to f64.
            let rows = case.cloud.rows(0.05, F32, level);
            let whole = bits(&*rows, &case, &[0..23]);
            assert_eq!(whole, bits(&*rows, &case, &[0..4, 4..16, 16..23]));
        }
    }
}

#[test]
fn blocks_of_columns_cut_at_tiles_continue_the_sums_with_the_same_bits() {
    let (n, d) = (5, 3);
    for m in [2049, 4100] {
        let case = Case::new(PointCost::Squared, n, m, d, 0.02, m as u64);
        let (low, high) = (vec![-0.3; d], vec![0.7; d]);
        let mut random = Random(m as u64);
        let x: Arc<[f64]> = random.vector(n * d, -0.3, 0.7).into();
        let y = random.vector(m * d, -0.3, 0.7);
        let v: Vec<f64> = (0..m).map(|j| (j as f64).cos()).collect();
        let within = |y: &[f64]| PointCloud::within(PointCost::Squared, x.clone(), y.into(), d, &low, &high);
        for level in levels() {
            for precision in [F64, F32] {
                let run = |blocks: &[Range<usize>]| {
                    let (mut sums, mut costs) = (vec![0.0; n], vec![0.0; n]);
                    let (mut weighted, mut least) = (vec![0.0; n], vec![f64::INFINITY; n]);
                    let mut moved = vec![0.0; n];
                    let mut maxima = vec![MaxSum::EMPTY; n];
                    for b in blocks.iter().cloned() {
                        let rows = within(&y[b.start * d..b.end * d]).rows(0.02, precision, level);
                        let (h, v) = (&case.h[b.clone()], &v[b]);
                        rows.shifted_sum(0..n, h, &case.shift, &mut sums);
                        rows.max_sum(0..n, h, &mut maxima);
                        rows.weighted_sum(0..n, h, &case.shift, v, 1, &mut weighted);
                        rows.weighted_cost(0..n, h, &case.shift, v, &mut costs);
                        rows.min_plus(0..n, h, &mut least);
                        rows.cost_sum(0..n, v, &mut moved);
                    }
                    let maxima = maxima.iter().flat_map(|x| [x.max, x.sum]);
                    let all = sums.iter().copied().chain(maxima).chain(weighted).chain(costs).chain(least).chain(moved);
                    all.map(f64::to_bits).collect::<Vec<_>>()
                };
                let tiles: Vec<_> = (0..m).step_by(COLUMN_TILE).map(|s| s..(s + COLUMN_TILE).min(m)).collect();
                assert_eq!(run(&[0..m]), run(&tiles), "m = {m}, {level:?}, {precision:?}");
            }
        }
        for level in levels() {
            check_all(&case, &*case.cloud.rows(0.02, F64, level), F64);
        }
    }
}

#[test]
fn minus_infinity_in_h_leaves_the_other_columns_and_no_nan() {
    let mut case = Case::new(PointCost::Squared, 6, 40, 3, 0.1, 5);
    for j in (0..40).step_by(3) {
        case.h[j] = f64::NEG_INFINITY;
    }
    let nothing = vec![f64::NEG_INFINITY; 40];
    for level in levels() {
        for precision in [F64, F32] {
            let rows = case.cloud.rows(0.1, precision, level);
            let mut sums = vec![0.0; 6];
            rows.shifted_sum(0..6, &case.h, &case.shift, &mut sums);
            let mut maxima = vec![MaxSum::EMPTY; 6];
            rows.max_sum(0..6, &case.h, &mut maxima);
            for i in 0..6 {
                let s: f64 = (0..40).map(|j| case.z(i, j).exp()).sum();
                close_to(sums[i], s, case.tolerance(precision), "with −∞");
                let log = s.ln() - case.shift[i];
                assert!((maxima[i].log() - log).abs() <= 2.0 * case.tolerance(precision));
            }
            let mut sums = vec![0.0; 6];
            rows.shifted_sum(0..6, &nothing, &case.shift, &mut sums);
            assert!(sums.iter().all(|&s| (0.0..1e-30).contains(&s)), "{sums:?}");
            let mut maxima = vec![MaxSum::EMPTY; 6];
            rows.max_sum(0..6, &nothing, &mut maxima);
            assert!(maxima.iter().all(|&x| x == MaxSum::EMPTY));
            let mut least = vec![f64::INFINITY; 6];
            rows.min_plus(0..6, &nothing, &mut least);
            assert!(least.iter().all(|&x| x == f64::INFINITY));
        }
    }
}

#[test]
fn overflow_is_plus_infinity_and_the_maximum_form_stays_finite() {
    let case = Case::new(PointCost::Squared, 5, 33, 2, 1.0, 7);
    for level in levels() {
        for (precision, far) in [(F64, 720.0), (F32, 100.0), (F64, 5000.0), (F32, 5000.0)] {
            let rows = case.cloud.rows(1.0, precision, level);
            let shift: Vec<f64> = case.shift.iter().map(|s| s + far).collect();
            let mut sums = vec![0.0; 5];
            rows.shifted_sum(0..5, &case.h, &shift, &mut sums);
            assert!(sums.iter().all(|&s| s == f64::INFINITY), "{level:?} {precision:?} {far}: {sums:?}");
            let h: Vec<f64> = case.h.iter().map(|h| h + far).collect();
            let mut maxima = vec![MaxSum::EMPTY; 5];
            rows.max_sum(0..5, &h, &mut maxima);
            for i in 0..5 {
                let s: f64 = (0..33).map(|j| case.z(i, j).exp()).sum();
                let wanted = s.ln() - case.shift[i] + far;
                assert!((maxima[i].log() - wanted).abs() <= 2.0 * case.tolerance(precision) + 1e-15 * far);
            }
        }
    }
}

#[test]
fn levels_agree_to_rounding() {
    for (cost, d) in [(PointCost::Squared, 3), (PointCost::Squared, 20), (PointCost::Power(1.3), 3)] {
        let case = Case::new(cost, 8, 300, d, 0.03, 13);
        for precision in [F64, F32] {
            let run = |level| {
                let mut sums = vec![0.0; 8];
                case.cloud.rows(0.03, precision, level).shifted_sum(0..8, &case.h, &case.shift, &mut sums);
                sums
            };
            let portable = run(Level::Portable);
            for level in levels() {
                for (a, b) in run(level).iter().zip(&portable) {
                    close_to(*a, *b, 2.0 * case.tolerance(precision), "levels");
                }
            }
        }
    }
}

#[test]
fn both_orientations_see_one_cost_and_share_the_scaled_points() {
    let case = Case::new(PointCost::Squared, 6, 50, 3, 0.1, 17);
    let (rows, cols) = case.cloud.both(0.1, F64, Level::detect());
    assert!(rows.rows() == 6 && rows.cols() == 50 && cols.rows() == 50 && cols.cols() == 6);
    let e = |i: usize, j: usize| case.z(i, j).exp();
    let mut sums = vec![0.0; 50];
    cols.shifted_sum(0..50, &case.shift, &case.h, &mut sums);
    for j in 0..50 {
        close_to(sums[j], (0..6).map(|i| e(i, j)).sum(), case.tolerance(F64), "column");
        assert_eq!(rows.cost(2, j), cols.cost(j, 2));
    }
    // Padded to 16 points in f64 and 32 in f32.
    assert_eq!(case.cloud.scaled_bytes(F64), (16 + 64) * 3 * 8);
    assert_eq!(case.cloud.scaled_bytes(F32), (32 + 64) * 3 * 4);
}

/// √r of distances r = 1e-9 to 1e-11 in a box of 1: rounding coordinates about its middle would change r by 1e-7 of itself,
/// and sums by a thousand times the bound.
#[test]
fn a_root_of_small_distances_keeps_the_digits_that_the_bound_promises() {
    let (n, epsilon) = (40, 1e-6);
    let mut random = Random(3);
    let x = random.vector(n, -0.3, 0.7);
    let y: Vec<f64> = x.iter().map(|x| x + 1e-9 * (0.01 + random.next())).collect();
    let cloud = PointCloud::new(PointCost::Power(0.5), x.clone().into(), y.clone().into(), 1);
    let (h, shift) = (vec![0.0; n], vec![30.0; n]);
    for level in levels() {
        let mut sums = vec![0.0; n];
        cloud.rows(epsilon, F64, level).shifted_sum(0..n, &h, &shift, &mut sums);
        for i in 0..n {
            let wanted: f64 = (0..n).map(|j| (30.0 - (x[i] - y[j]).abs().sqrt() / epsilon).exp()).sum();
            let bound = rounding::row_sum_error(n, 1, 0.0, 30.0, 1.0 / epsilon, PointCost::Power(0.5).roundings(1));
            assert!(bound < 4e-9);
            close_to(sums[i], wanted, bound, "sum of roots");
        }
    }
}

/// The exponent of R^p·2^A holds neither the unit of length nor ε. With both in it errors reached 13 to 30 roundings in f64,
/// more than the half of the bounds asked here.
#[test]
fn powers_have_the_roundings_they_promise_in_any_unit_and_are_zero_at_distance_zero() {
    let (n, origin) = (400, 0.37);
    for (power, unit) in [0.05, 0.5, 1.5, 3.0].into_iter().flat_map(|p| [1e-12, 1.0, 1e12].map(|unit| (p, unit))) {
        let mut random = Random(29);
        let mut x: Vec<f64> = random.vector(n, 0.0, unit);
        x[7] = origin * unit;
        let cost = PointCost::Power(power);
        let cloud = PointCloud::new(cost, x.clone().into(), vec![origin * unit].into(), 1);
        for (level, precision) in levels().flat_map(|level| [F64, F32].map(|precision| (level, precision))) {
            let mut costs = vec![0.0; n];
            cloud.rows(1e-4 * cloud.cost_bound(), precision, level).cost_sum(0..n, &[1.0], &mut costs);
            // In f32 coordinates are rounded too: near ones are left out, and the whole bound is allowed.
            let (round, nearest) =
                if precision == F64 { (f64::EPSILON / 4.0, 0.0) } else { (f64::from(f32::EPSILON) / 2.0, 1e-3) };
            for (x, found) in x.iter().zip(&costs) {
                let distance = (x - origin * unit).abs();
                let error = (found - distance.powf(power)).abs() / cloud.cost_bound();
                assert!(
                    distance < nearest * unit || error <= cost.roundings(1) * round,
                    "{power} {unit:e} {level:?}: {error:e}"
                );
            }
            assert!(costs[7] == 0.0, "{power}: {}", costs[7]);
        }
    }
}

#[test]
fn a_stored_kernel_sweeps_as_the_kernel_on_the_fly() {
    for m in [37, 2070] {
        let case = Case::new(PointCost::Squared, 11, m, 3, 0.1, 19);
        let mut random = Random(23);
        let mut v = column_sums(m);
        v.as_mut_slice()[..m].copy_from_slice(&random.vector(m, 0.2, 2.0));
        for level in levels() {
            let rows = case.cloud.rows(0.1, F64, level);
            for (storage, tolerance) in [(F64, 1e-15), (F32, 1e-7)] {
                let kernel = StoredKernel::build(&*rows, 1..11, &case.h, &case.shift[1..], storage, level);
                assert!(kernel.bytes() <= StoredKernel::bytes_for(10, m, storage) && kernel.largest() > 0.1);
                let mut seen = vec![f64::NAN; 10];
                let mut columns = column_sums(m);
                columns.as_mut_slice().fill(0.5);
                let mut close = |i: usize, s: f64| {
                    seen[i] = s;
                    1.0 / s
                };
                kernel.sweep(0..10, &v, &mut close, &mut columns);
                let mut wanted = vec![0.5; m];
                for i in 0..10 {
                    let e = |j: usize| case.z(i + 1, j).exp();
                    let s: f64 = (0..m).map(|j| e(j) * v.as_slice()[j]).sum();
                    close_to(seen[i], s, tolerance + case.tolerance(F64), "stored S");
                    for j in 0..m {
                        close_to(kernel.entry(i, j), e(j), tolerance + case.tolerance(F64), "entry");
                        wanted[j] += e(j) / s;
                    }
                }
                for j in 0..m {
                    close_to(
                        columns.as_slice()[j],
                        wanted[j],
                        2.0 * (tolerance + case.tolerance(F64)),
                        "stored columns",
                    );
                }
                let mut again = column_sums(m);
                again.as_mut_slice().fill(0.5);
                for r in [0..3, 3..4, 4..10] {
                    let start = r.start;
                    kernel.sweep(r, &v, &mut |i, _| 1.0 / seen[start + i], &mut again);
                }
                assert_eq!(again.as_slice(), columns.as_slice(), "bits over cuts");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_sizes_and_epsilons_agree_with_the_slow_twin(
        n in 1usize..70, m in 1usize..70, d in 1usize..5, cost in 0usize..6, log_epsilon in -6.0f64..6.0, seed: u64,
    ) {
        let epsilon = 10f64.powf(log_epsilon);
        let case = Case::new(COSTS[cost], n, m, d, epsilon, seed);
        for precision in [F64, F32] {
            // At ε/C = 1e-6 nothing of f32 is left: only that no NaN comes out.
            let rows = case.cloud.rows(epsilon, precision, Level::detect());
            if case.tolerance(precision) < 0.1 {
                check_all(&case, &*rows, precision);
            } else {
                let mut sums = vec![0.0; n];
                rows.shifted_sum(0..n, &case.h, &case.shift, &mut sums);
                prop_assert!(sums.iter().all(|s| *s > 0.0));
            }
        }
    }
}
