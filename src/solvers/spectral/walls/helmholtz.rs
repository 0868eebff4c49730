//! Second-order problems between walls, many wavenumbers at once.
//!
//!     a u − b u_ξξ = f  in rows of C^(2),   with one condition for the even and one for the odd coefficients
//!
//! Olver and Townsend's almost banded system, solved by its Schur complement: without the columns of T_0 and T_1 the
//! rows are tridiagonal in each parity and diagonally dominant by 2 b (r + 2), so that they are eliminated without
//! pivoting; T_0 and T_1 are put right with one stored solution of the homogeneous equation per parity (the *lift*).
//! Wavenumbers lie side by side in lanes, and no lane sees its neighbour: the bits do not depend on how they are cut.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use num_complex::Complex;
use rayon::prelude::*;

use super::ultraspherical::{second_derivative, to_second};
use crate::crew::each;

/// Wavenumbers worked on together.
pub const LANES: usize = 16;
/// One real number for each wavenumber of a group.
pub type Lanes = [f64; LANES];
/// One complex number for each: real parts, imaginary parts.
pub type Pair = [Lanes; 2];

/// Work space for groups of wavenumbers: as many as threads work at once, made when first needed and kept.
#[derive(Default)]
pub struct Room(Mutex<Vec<Vec<Pair>>>);

impl Room {
    /// Calls `act` with room for `n` pairs, whatever is left in it.
    pub fn with(&self, n: usize, act: impl FnOnce(&mut [Pair])) {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut room = taken.unwrap_or_default();
        if room.len() < n {
            room.resize(n, [[0.0; LANES]; 2]);
        }
        act(&mut room[..n]);
        free().push(room);
    }
}

/// One condition on the coefficients of each parity: Σ_{j of the parity} c_j u_j = 0.
pub enum Condition<'a> {
    /// u(±1) = 0: c = 1.
    Values,
    /// Any c, per group of wavenumbers and coefficient: `[group · (degree + 1) + j]`.
    Rows(&'a [Lanes]),
}

/// The factored problems of all wavenumbers of a rank.
pub struct Factors {
    degree: usize,
    b: f64,
    /// a, per group.
    a: Vec<Lanes>,
    /// Lower factor and reciprocal diagonal, `[group · (degree − 1) + row]`.
    eliminated: Vec<[Lanes; 2]>,
    /// −h / (c·h) for the homogeneous solution h of each parity, `[group · (degree + 1) + j]`.
    lift: Vec<Lanes>,
}

impl Factors {
    /// Eliminates for each value of `a` (one per wavenumber), b ≥ 0, a + b > 0.
    pub fn new(degree: usize, a: &[f64], b: f64, condition: Condition) -> Factors {
        let groups = a.len().div_ceil(LANES);
        let mut lanes = vec![[1.0; LANES]; groups];
        for (i, a) in a.iter().enumerate() {
            lanes[i / LANES][i % LANES] = *a;
        }
        let (rows, all) = (degree - 1, degree + 1);
        let mut eliminated = vec![[[0.0; LANES]; 2]; groups * rows];
        eliminated.par_chunks_mut(rows).zip(&lanes).for_each(|(part, a)| eliminate(part, a, b));
        let mut factors = Factors { degree, b, a: lanes, eliminated, lift: vec![[0.0; LANES]; groups * all] };
        let mut lift = std::mem::take(&mut factors.lift);
        lift.par_chunks_mut(all).enumerate().for_each_init(
            || vec![[[0.0; LANES]; 2]; all],
            |x, (group, lift)| factors.make_lift(group, &condition, x, lift),
        );
        factors.lift = lift;
        factors
    }

    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The homogeneous solution that starts with T_0 (even) and T_1 (odd), scaled by −1/(c·h).
    fn make_lift(&self, group: usize, condition: &Condition, x: &mut [Pair], lift: &mut [Lanes]) {
        x.iter_mut().for_each(|x| *x = [[0.0; LANES]; 2]);
        // The columns of T_0 and T_1: row 0 and row 1 of the conversion, to the right-hand side.
        for p in 0..2 {
            let first = to_second(p)[0];
            x[p][0] = std::array::from_fn(|l| -self.a[group][l] * first);
        }
        self.sweep(group, x);
        for p in 0..2 {
            x[p][0] = [1.0; LANES];
            let mut total = [0.0; LANES];
            for j in (p..=self.degree).step_by(2) {
                for l in 0..LANES {
                    total[l] += x[j][0][l] * coefficient(condition, group, self.degree, j, l);
                }
            }
            for j in (p..=self.degree).step_by(2) {
                lift[j] = std::array::from_fn(|l| -x[j][0][l] / total[l]);
            }
        }
    }

    /// Forward and backward substitution: rows 0 ≤ r ≤ degree − 2 of the right-hand side in, T_2 … out; T_0 = T_1 = 0.
    #[inline(always)]
    fn sweep(&self, group: usize, x: &mut [Pair]) {
        let rows = self.degree - 1;
        let factors = &self.eliminated[group * rows..(group + 1) * rows];
        let a = &self.a[group];
        for r in 2..rows {
            let (before, here) = x.split_at_mut(r);
            let (from, to, lower) = (&before[r - 2], &mut here[0], &factors[r][0]);
            for part in 0..2 {
                for l in 0..LANES {
                    to[part][l] -= lower[l] * from[part][l];
                }
            }
        }
        for r in (0..rows).rev() {
            let upper = to_second(r)[2];
            let inverse = &factors[r][1];
            let next = if r + 4 <= self.degree { x[r + 4] } else { [[0.0; LANES]; 2] };
            let mut value = x[r];
            for part in 0..2 {
                for l in 0..LANES {
                    value[part][l] = (value[part][l] - a[l] * upper * next[part][l]) * inverse[l];
                }
            }
            x[r + 2] = value;
        }
        x[0] = [[0.0; LANES]; 2];
        x[1] = [[0.0; LANES]; 2];
    }

    /// Solves for the wavenumbers of `group`: on entry `x` holds rows 0 ≤ r ≤ degree − 2 of the right-hand side, on
    /// return coefficients 0 ≤ j ≤ degree of T. The condition must be the one the factors were made with.
    pub fn solve(&self, group: usize, condition: &Condition, x: &mut [Pair]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2. No fused operations: the bits are those of the portable body.
            return unsafe { self.solve_avx2(group, condition, x) };
        }
        self.solve_anywhere(group, condition, x);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn solve_avx2(&self, group: usize, condition: &Condition, x: &mut [Pair]) {
        self.solve_anywhere(group, condition, x);
    }

    #[inline(always)]
    fn solve_anywhere(&self, group: usize, condition: &Condition, x: &mut [Pair]) {
        self.sweep(group, x);
        let all = self.degree + 1;
        let mut sums = [[[0.0; LANES]; 2]; 2];
        match condition {
            Condition::Values => {
                for (j, x) in x[..all].iter().enumerate() {
                    for part in 0..2 {
                        for l in 0..LANES {
                            sums[j % 2][part][l] += x[part][l];
                        }
                    }
                }
            }
            Condition::Rows(rows) => {
                for ((j, x), c) in x[..all].iter().enumerate().zip(&rows[group * all..]) {
                    for part in 0..2 {
                        for l in 0..LANES {
                            sums[j % 2][part][l] += c[l] * x[part][l];
                        }
                    }
                }
            }
        }
        for ((j, x), lift) in x[..all].iter_mut().enumerate().zip(&self.lift[group * all..]) {
            for part in 0..2 {
                for l in 0..LANES {
                    x[part][l] += sums[j % 2][part][l] * lift[l];
                }
            }
        }
    }

    /// Factors of u'(1) of each parity as a functional of f, with the conditions u(±1) = 0 and f = −g: the rows c such
    /// that u_ξ(1) = Σ_{j of the parity} c_j g_j, for g of degree `degree` − 2 in T.
    pub fn slope_rows(&self) -> Vec<Lanes> {
        let (rows, all, short) = (self.degree - 1, self.degree + 1, self.degree - 1);
        let mut out = vec![[0.0; LANES]; self.a.len() * short];
        out.par_chunks_mut(short).enumerate().for_each(|(group, out)| {
            let factors = &self.eliminated[group * rows..(group + 1) * rows];
            let lift = &self.lift[group * all..(group + 1) * all];
            let a = &self.a[group];
            // On T_2 …, before the lift: j² plus the slope that the lift adds per unit.
            let mut y = vec![[0.0; LANES]; rows];
            for p in 0..2 {
                let mut slope = [0.0; LANES];
                for j in (p..all).step_by(2) {
                    (0..LANES).for_each(|l| slope[l] += lift[j][l] * (j * j) as f64);
                }
                for r in (p..rows).step_by(2) {
                    y[r] = slope.map(|s| s + ((r + 2) * (r + 2)) as f64);
                }
            }
            // The transposed elimination.
            for r in 0..rows {
                for l in 0..LANES {
                    let above = if r >= 2 { a[l] * to_second(r - 2)[2] * y[r - 2][l] } else { 0.0 };
                    y[r][l] = (y[r][l] - above) * factors[r][1][l];
                }
            }
            for r in (0..rows.saturating_sub(2)).rev() {
                for l in 0..LANES {
                    let below = factors[r + 2][0][l] * y[r + 2][l];
                    y[r][l] -= below;
                }
            }
            for (j, out) in out.iter_mut().enumerate() {
                for back in 0..3 {
                    if j >= 2 * back && j - 2 * back < rows {
                        let entry = to_second(j - 2 * back)[back];
                        (0..LANES).for_each(|l| out[l] -= entry * y[j - 2 * back][l]);
                    }
                }
            }
        });
        out
    }

    /// Bytes of the factors.
    pub fn bytes(&self) -> u64 {
        (8 * LANES * (2 * self.eliminated.len() + self.lift.len() + self.a.len())) as u64
    }

    pub fn second_order(&self) -> f64 {
        self.b
    }
}

fn coefficient(condition: &Condition, group: usize, degree: usize, j: usize, lane: usize) -> f64 {
    match condition {
        Condition::Values => 1.0,
        Condition::Rows(rows) => rows[group * (degree + 1) + j][lane],
    }
}

/// LU of the tridiagonal rows of one group.
fn eliminate(part: &mut [[Lanes; 2]], a: &Lanes, b: f64) {
    for r in 0..part.len() {
        let [first, second, _] = to_second(r);
        for l in 0..LANES {
            let mut diagonal = a[l] * second - b * second_derivative(r);
            let mut lower = 0.0;
            if r >= 2 {
                lower = a[l] * first * part[r - 2][1][l];
                diagonal -= lower * a[l] * to_second(r - 2)[2];
            }
            part[r][0][l] = lower;
            part[r][1][l] = 1.0 / diagonal;
        }
    }
}

/// Takes rows of the wavenumbers of a group out of an array of `columns` wavenumbers a row; lanes beyond are zero.
#[inline]
pub fn load(array: &[Complex<f64>], columns: usize, at: Range<usize>, x: &mut [Pair]) {
    for (j, x) in x.iter_mut().enumerate() {
        let row = &array[j * columns + at.start..j * columns + at.end];
        for (l, z) in row.iter().enumerate() {
            x[0][l] = z.re;
            x[1][l] = z.im;
        }
        for l in row.len()..LANES {
            x[0][l] = 0.0;
            x[1][l] = 0.0;
        }
    }
}

/// An array of coefficients that threads write group by group: no two write the same wavenumber.
#[derive(Clone, Copy)]
pub struct Target {
    first: *mut Complex<f64>,
    len: usize,
    columns: usize,
}

// SAFETY: `store` writes only the wavenumbers of its range; callers hand each range to one thread.
unsafe impl Send for Target {}
unsafe impl Sync for Target {}

impl Target {
    pub fn new(array: &mut [Complex<f64>], columns: usize) -> Target {
        Target { first: array.as_mut_ptr(), len: array.len(), columns }
    }

    /// Writes rows 0 … of the wavenumbers `at`; the rows that `x` does not have become zero.
    ///
    /// # Safety
    /// The array given to [`Target::new`] is still exclusively borrowed, and no other thread uses these wavenumbers.
    #[inline]
    pub unsafe fn store(&self, at: Range<usize>, x: &[Pair]) {
        let rows = self.len / self.columns;
        for j in 0..rows {
            // SAFETY: j < rows and at.end ≤ columns, so the row lies inside the array; the caller keeps others away.
            let row = unsafe { std::slice::from_raw_parts_mut(self.first.add(j * self.columns + at.start), at.len()) };
            match x.get(j) {
                Some(x) => row.iter_mut().enumerate().for_each(|(l, z)| *z = Complex::new(x[0][l], x[1][l])),
                None => row.fill(Complex::new(0.0, 0.0)),
            }
        }
    }

    /// Reads rows as [`load`] does.
    ///
    /// # Safety
    /// As for [`Target::store`].
    #[inline]
    pub unsafe fn load(&self, at: Range<usize>, x: &mut [Pair]) {
        // SAFETY: the caller keeps others away from these wavenumbers; only they are read.
        let row =
            |j: usize| unsafe { std::slice::from_raw_parts(self.first.add(j * self.columns + at.start), at.len()) };
        for (j, x) in x.iter_mut().enumerate() {
            *x = [[0.0; LANES]; 2];
            for (l, z) in row(j).iter().enumerate() {
                x[0][l] = z.re;
                x[1][l] = z.im;
            }
        }
    }
}

/// The wavenumbers of each group.
pub fn groups(columns: usize) -> impl IndexedParallelIterator<Item = (usize, Range<usize>)> {
    (0..columns.div_ceil(LANES)).into_par_iter().map(move |g| (g, group(g, columns)))
}

fn group(number: usize, columns: usize) -> Range<usize> {
    number * LANES..columns.min((number + 1) * LANES)
}

/// Calls `act(group, wavenumbers)` for every group, over threads.
pub fn over_groups(columns: usize, act: impl Fn(usize, Range<usize>) + Sync) {
    each(columns.div_ceil(LANES), |g| act(g, group(g, columns)));
}

/// d/dξ in T: coefficients of the derivative times `scale`; `out` has as many rows as `x`.
#[inline]
pub fn differentiate(x: &[Pair], scale: f64, out: &mut [Pair]) {
    let n = x.len();
    out[n - 1] = [[0.0; LANES]; 2];
    for j in (0..n - 1).rev() {
        let after = if j + 2 < n { out[j + 2] } else { [[0.0; LANES]; 2] };
        let factor = scale * 2.0 * (j + 1) as f64;
        for part in 0..2 {
            for l in 0..LANES {
                out[j][part][l] = after[part][l] + factor * x[j + 1][part][l];
            }
        }
    }
    out[0].iter_mut().flatten().for_each(|v| *v *= 0.5);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (a − b d²/dξ²) u in rows of C^(2).
    fn rows(u: &[f64], a: f64, b: f64) -> Vec<f64> {
        let at = |j: usize| u.get(j).copied().unwrap_or(0.0);
        (0..u.len() - 2)
            .map(|r| {
                let s = to_second(r);
                a * (s[0] * at(r) + s[1] * at(r + 2) + s[2] * at(r + 4)) - b * second_derivative(r) * at(r + 2)
            })
            .collect()
    }

    #[test]
    fn solves_come_back_to_rounding_for_mass_and_diffusion_dominated_problems() {
        let degree = 64;
        // cos 3ξ − cos 3 + sin 5ξ − ξ sin 5 would do; any coefficients that vanish at both walls do.
        let mut u: Vec<f64> = (0..=degree).map(|j| (1.3 * j as f64).sin() / (1.0 + (j * j) as f64)).collect();
        for p in 0..2 {
            let sum: f64 = u.iter().skip(p + 2).step_by(2).sum();
            u[p] = -sum;
        }
        let a: Vec<f64> = (0..37).map(|i| 1.0 + 30.0 * (i * i) as f64).collect();
        for b in [1e-9, 1e-4, 1.0, 1e4] {
            let factors = Factors::new(degree, &a, b, Condition::Values);
            for (i, &a) in a.iter().enumerate() {
                let mut x = vec![[[0.0; LANES]; 2]; degree + 1];
                for (x, f) in x.iter_mut().zip(rows(&u, a, b)) {
                    x[0][i % LANES] = f;
                    x[1][i % LANES] = -2.0 * f;
                }
                factors.solve(i / LANES, &Condition::Values, &mut x);
                let error = u
                    .iter()
                    .zip(&x)
                    .map(|(u, x)| (x[0][i % LANES] - u).abs().max((x[1][i % LANES] + 2.0 * u).abs()))
                    .fold(0.0, f64::max);
                assert!(error < 2e-13, "a = {a}, b = {b}: {error:e}");
            }
        }
    }

    #[test]
    fn slope_rows_are_the_slopes_of_solutions_of_unit_right_hand_sides() {
        let degree = 20;
        let squares = [1.0, 25.0, 400.0];
        let factors = Factors::new(degree, &squares, 4.0, Condition::Values);
        let slopes = factors.slope_rows();
        for j in 0..=degree - 2 {
            // u'' 4 − k² u = T_j.
            let mut unit = vec![0.0; degree + 1];
            unit[j] = 1.0;
            let mut x = vec![[[0.0; LANES]; 2]; degree + 1];
            for (x, f) in x.iter_mut().zip(rows(&unit, -1.0, 0.0)) {
                x[0] = [f; LANES];
            }
            factors.solve(0, &Condition::Values, &mut x);
            for l in 0..squares.len() {
                let slope: f64 = x.iter().enumerate().map(|(j, x)| (j * j) as f64 * x[0][l]).sum();
                assert!((slope - slopes[j][l]).abs() < 1e-13, "{j} {l}: {slope} {}", slopes[j][l]);
            }
        }
    }
}
