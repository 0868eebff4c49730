//! The functions of ETDRK4: φ₁, φ₂, φ₃ of numbers by contour means, of blocks by scaling and squaring.
//!
//!     φ_0(z) = e^z,   φ_k(z) = (φ_{k−1}(z) − 1/(k−1)!) / z
//!
//! For numbers the mean over a circle around z (Kassam & Trefethen 2005), complex unless L is real: the real part of
//! the mean, taken for a complex L, would be wrong at first order. For blocks the first block row of the exponential of
//! the augmented matrix [[A, I, 0, 0], [0, 0, I, 0], [0, 0, 0, I], [0, 0, 0, 0]], which is (e^A, φ₁, φ₂, φ₃): a circle
//! around the eigenvalues would fail for blocks that are not normal. Its Taylor polynomial and its squaring need that
//! row only, so the arithmetic is with blocks of F × F (Skaflestad & Wright 2009).

use std::f64::consts::PI;

use num_complex::Complex;

use super::factors::{BLOCK, Block};
use crate::math::elementary;

type Z = Complex<f64>;

/// Nodes of the contour.
const NODES: usize = 32;
/// Degree of the Taylor polynomial of φ₃ at norm ½: the first term left out is 2⁻¹³/16! < 10⁻¹⁷.
const DEGREE: usize = 12;

/// e^z with the same bits on every machine.
pub fn exponential(z: Z) -> Z {
    let r = elementary::exp(z.re);
    Complex::new(r * libm::cos(z.im), r * libm::sin(z.im))
}

/// The nodes of a circle around 0 and e^{node/2}.
struct Circle {
    nodes: [(Z, Z); NODES],
}

impl Circle {
    fn new(radius: f64) -> Circle {
        let node = |j: usize| exponential(Complex::new(0.0, 2.0 * PI * (j as f64 + 0.5) / NODES as f64)) * radius;
        Circle { nodes: std::array::from_fn(|j| (node(j), exponential(node(j) * 0.5))) }
    }
}

/// The circles of [`etdrk4`].
pub struct Contour {
    wide: Circle,
    narrow: Circle,
}

/// e^{z/2}, e^z, and Q, f₁, 2 f₂, f₃ divided by the step: the factors of ETDRK4.
pub type Etdrk4<X> = [X; 6];

impl Contour {
    pub fn new() -> Contour {
        Contour { wide: Circle::new(2.0), narrow: Circle::new(1.0) }
    }

    /// No node comes closer than ½ to 0, where the functions would cancel: radius 2 for |z| < 3/2, else 1.
    fn circle(&self, z: Z) -> &Circle {
        if z.norm_sqr() < 2.25 { &self.wide } else { &self.narrow }
    }

    /// Sums of Q, f₁, 2 f₂, f₃ over the first `nodes` nodes around z; `half` is e^{z/2}.
    fn sums(&self, z: Z, half: Z, nodes: usize) -> [Z; 4] {
        let mut sums = [Complex::new(0.0, 0.0); 4];
        for (node, root) in &self.circle(z).nodes[..nodes] {
            let s = z + node;
            let (root, over) = (half * root, 1.0 / s);
            let (e, cube) = (root * root, over * over * over);
            sums[0] += (root - 1.0) * over;
            sums[1] += (-4.0 - s + e * (4.0 - 3.0 * s + s * s)) * cube;
            sums[2] += (2.0 + s + e * (s - 2.0)) * 2.0 * cube;
            sums[3] += (-4.0 - 3.0 * s - s * s + e * (4.0 - s)) * cube;
        }
        sums
    }

    /// The factors at a complex z = L Δt.
    pub fn complex(&self, z: Z) -> Etdrk4<Z> {
        let half = exponential(z * 0.5);
        let [q, a, b, c] = self.sums(z, half, NODES).map(|s| s / NODES as f64);
        [half, half * half, q, a, b, c]
    }

    /// The factors at a real z: the nodes come in conjugate pairs, the first half of them has one of each.
    pub fn real(&self, z: f64) -> Etdrk4<f64> {
        let half = elementary::exp(0.5 * z);
        let [q, a, b, c] =
            self.sums(Complex::new(z, 0.0), Complex::new(half, 0.0), NODES / 2).map(|s| s.re / (NODES / 2) as f64);
        [half, half * half, q, a, b, c]
    }
}

const NONE: Block = [Complex::new(0.0, 0.0); BLOCK * BLOCK];

/// out = a b.
fn product(a: &Block, b: &Block, n: usize, out: &mut Block) {
    for i in 0..n {
        let row = &mut out[i * n..(i + 1) * n];
        row.fill(Complex::new(0.0, 0.0));
        for k in 0..n {
            let x = a[i * n + k];
            row.iter_mut().zip(&b[k * n..(k + 1) * n]).for_each(|(o, y)| *o += x * y);
        }
    }
}

/// a b + s I.
fn product_plus(a: &Block, b: &Block, n: usize, s: f64) -> Block {
    let mut out = NONE;
    product(a, b, n, &mut out);
    (0..n).for_each(|i| out[i * n + i] += s);
    out
}

/// φ_0(2A), …, φ_3(2A) from those of A: φ_k(2A) = 2^{−k} [φ_0 φ_k + Σ_{j=1..k} φ_j / (k−j)!].
fn double(phi: &[Block; 4], n: usize) -> [Block; 4] {
    let mut out = [NONE; 4];
    let factorial = [1.0, 1.0, 2.0];
    for k in 0..4 {
        product(&phi[0], &phi[k], n, &mut out[k]);
        let scale = 0.5f64.powi(k as i32);
        for i in 0..n * n {
            let sum: Z = (1..=k).map(|j| phi[j][i] / factorial[k - j]).sum();
            out[k][i] = (out[k][i] + sum) * scale;
        }
    }
    out
}

/// φ_0, …, φ_3 of an n × n block times `scale`.
pub fn phi(entries: &[Z], scale: f64, n: usize) -> [Block; 4] {
    let mut a = NONE;
    (0..n * n).for_each(|i| a[i] = entries[i] * scale);
    let norm = (0..n).map(|i| a[i * n..(i + 1) * n].iter().map(|z| z.norm()).sum::<f64>()).fold(0.0, f64::max);
    let squarings = if norm > 0.5 { libm::ceil(libm::log2(norm / 0.5)) as i32 } else { 0 };
    let small = 0.5f64.powi(squarings);
    a.iter_mut().for_each(|z| *z *= small);
    // φ₃ = Σ A^j / (j+3)! by Horner's rule, then φ_{k−1} = A φ_k + I/(k−1)!.
    let mut coefficients = [0.0; DEGREE + 1];
    let mut factorial = 6.0;
    for (j, c) in coefficients.iter_mut().enumerate() {
        if j > 0 {
            factorial *= (j + 3) as f64;
        }
        *c = 1.0 / factorial;
    }
    let mut third = NONE;
    (0..n).for_each(|i| third[i * n + i] = Complex::new(coefficients[DEGREE], 0.0));
    for c in coefficients[..DEGREE].iter().rev() {
        third = product_plus(&third, &a, n, *c);
    }
    let second = product_plus(&third, &a, n, 0.5);
    let first = product_plus(&second, &a, n, 1.0);
    let zeroth = product_plus(&first, &a, n, 1.0);
    let mut all = [zeroth, first, second, third];
    for _ in 0..squarings {
        all = double(&all, n);
    }
    all
}

/// The factors of ETDRK4 of a block L with step `step` (multiplied by it where [`Etdrk4`] divides).
pub fn etdrk4_block(entries: &[Z], n: usize, step: f64, out: &mut Etdrk4<Block>) {
    let half = phi(entries, 0.5 * step, n);
    let whole = double(&half, n);
    for i in 0..n * n {
        let [_, one, two, three] = whole.map(|w| w[i]);
        out[0][i] = half[0][i];
        out[1][i] = whole[0][i];
        out[2][i] = half[1][i] * (0.5 * step);
        out[3][i] = (one - two * 3.0 + three * 4.0) * step;
        out[4][i] = (two - three * 2.0) * (2.0 * step);
        out[5][i] = (three * 4.0 - two) * step;
    }
}

/// (I − γ L)^{−1} of a block, by elimination with partial pivoting.
pub fn resolvent(entries: &[Z], n: usize, gamma: f64, out: &mut Block) {
    let mut a = NONE;
    out.fill(Complex::new(0.0, 0.0));
    for i in 0..n {
        (0..n).for_each(|j| a[i * n + j] = -entries[i * n + j] * gamma);
        a[i * n + i] += 1.0;
        out[i * n + i] = Complex::new(1.0, 0.0);
    }
    for c in 0..n {
        let size = |r: usize| a[r * n + c].norm_sqr();
        let pivot = (c..n).fold(c, |best, r| if size(r) > size(best) { r } else { best });
        for j in 0..n {
            a.swap(c * n + j, pivot * n + j);
            out.swap(c * n + j, pivot * n + j);
        }
        let over = 1.0 / a[c * n + c];
        for j in 0..n {
            a[c * n + j] *= over;
            out[c * n + j] *= over;
        }
        for r in (0..n).filter(|&r| r != c) {
            let x = a[r * n + c];
            for j in 0..n {
                let (p, q) = (a[c * n + j], out[c * n + j]);
                a[r * n + j] -= x * p;
                out[r * n + j] -= x * q;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// φ_k by its series, for |z| ≤ 3: terms fall below 10⁻²⁰ well before the 60th.
    fn series(k: i32, z: Z) -> Z {
        let mut term = Complex::new(1.0, 0.0);
        (1..=k).for_each(|j| term /= f64::from(j));
        let mut sum = term;
        for j in 1..60 {
            term *= z / f64::from(j + k);
            sum += term;
        }
        sum
    }

    /// The factors from φ₁, φ₂, φ₃ by recurrence where that loses no digits, else by series.
    fn truth(z: Z) -> Etdrk4<Z> {
        let [one, two, three] = [1, 2, 3].map(|k| series(k, z));
        let half = exponential(z * 0.5);
        [
            half,
            exponential(z),
            series(1, z * 0.5) * 0.5,
            one - two * 3.0 + three * 4.0,
            (two - three * 2.0) * 2.0,
            three * 4.0 - two,
        ]
    }

    #[test]
    fn contour_means_agree_with_the_series_to_rounding() {
        let contour = Contour::new();
        for radius in [0.0, 1e-8, 0.1, 0.49, 0.98, 1.0, 1.02, 1.49, 1.51, 2.0, 3.0] {
            for angle in 0..64 {
                let z = exponential(Complex::new(0.0, f64::from(angle) * PI / 32.0)) * radius;
                for (a, b) in contour.complex(z).iter().zip(truth(z)) {
                    assert!((a - b).norm() < 4e-15 * (1.0 + b.norm()), "{z}: {a} {b}");
                }
            }
            for x in [-radius, radius] {
                let truth = truth(Complex::new(x, 0.0));
                for (a, b) in contour.real(x).iter().zip(truth) {
                    assert!((a - b.re).abs() < 4e-15 * (1.0 + b.re.abs()), "{x}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn far_on_the_negative_axis_the_factors_are_their_asymptotes() {
        // Without e^z: Q → −1/z, f₁ → (−4 − z)/z³, 2f₂ → 2(2 + z)/z³, f₃ → (−4 − 3z − z²)/z³.
        let contour = Contour::new();
        for z in [-1e3, -1e6, -1e12] {
            let [_, _, q, f1, f2, f3] = contour.real(z);
            let cube = z * z * z;
            let expected = [-1.0 / z, (-4.0 - z) / cube, 2.0 * (2.0 + z) / cube, (-4.0 - 3.0 * z - z * z) / cube];
            for (a, b) in [q, f1, f2, f3].iter().zip(expected) {
                // The mean over the circle adds terms of relative size 1/z³² at most, and rounding.
                assert!((a - b).abs() < 1e-13 * b.abs(), "{z}: {a:e} {b:e}");
            }
        }
    }

    #[test]
    fn a_diagonal_block_has_the_functions_of_its_entries() {
        let contour = Contour::new();
        for entries in [[-2.5, 0.0], [-40.0, -1e-3], [-300.0, 0.4]] {
            let block = [Complex::new(entries[0], 3.0), 0.0.into(), 0.0.into(), Complex::new(entries[1], 0.0)];
            let mut out = [NONE; 6];
            etdrk4_block(&block, 2, 0.5, &mut out);
            for (i, place) in [(0, 0), (1, 3)] {
                let expected = contour.complex(block[place] * 0.5);
                for (j, (a, b)) in out.iter().map(|o| o[place]).zip(expected).enumerate() {
                    let b = if j < 2 { b } else { b * 0.5 };
                    assert!((a - b).norm() < 3e-14 * b.norm() + 1e-15, "{i} {j}: {a:e} {b:e}");
                }
            }
        }
    }

    #[test]
    fn a_defective_block_has_the_derivatives_of_the_functions_beside_the_diagonal() {
        // f([[z, 1], [0, z]]) = [[f(z), f'(z)], [0, f(z)]]; the definition
        // z φ_k = φ_{k−1} − 1/(k−1)! differentiated is φ_k' = (φ_{k−1}' − φ_k)/z.
        for z in [Complex::new(-2.0, 1.0), Complex::new(2.5, 0.0), Complex::new(0.0, -3.0)] {
            let all = phi(&[z, 1.0.into(), 0.0.into(), z], 1.0, 2);
            let mut derivative = exponential(z);
            for k in 0..4 {
                let value = series(k, z);
                if k > 0 {
                    derivative = (derivative - value) / z;
                }
                let found = all[k as usize];
                assert!((found[0] - value).norm() < 1e-14 * (1.0 + value.norm()), "{k} {z}");
                assert!((found[3] - value).norm() < 1e-14 * (1.0 + value.norm()), "{k} {z}");
                assert!((found[1] - derivative).norm() < 1e-14 * (1.0 + derivative.norm()), "{k} {z}: {}", found[1]);
                assert_eq!(found[2], Complex::new(0.0, 0.0));
            }
        }
    }

    #[test]
    fn the_functions_of_a_full_block_satisfy_their_recurrence() {
        // A φ_k = φ_{k−1} − I/(k−1)!, for a block of three fields, far from normal, of norm 60.
        let a: Vec<Z> =
            (0..9).map(|i| Complex::new([-9.0, 50.0, 3.0, 0.0, -8.0, -40.0, 0.5, 0.0, -7.0][i], i as f64)).collect();
        let all = phi(&a, 1.0, 3);
        let mut left = NONE;
        left[..9].copy_from_slice(&a);
        for k in 1..4 {
            let factorial = [1.0, 1.0, 2.0][k - 1];
            let mut product_ = NONE;
            product(&left, &all[k], 3, &mut product_);
            for i in 0..9 {
                let identity = if i % 4 == 0 { 1.0 / factorial } else { 0.0 };
                let right = all[k - 1][i] - identity;
                let scale = all[k].iter().map(|z| z.norm()).fold(0.0, f64::max) * 60.0;
                assert!((product_[i] - right).norm() < 1e-13 * scale, "{k} {i}: {} {right}", product_[i]);
            }
        }
    }

    #[test]
    fn the_resolvent_solves_also_when_the_first_pivot_is_zero() {
        // I − γL with γ = 1 and L = [[1, −2], [3, 0]]: [[0, 2], [−3, 1]], inverse [[1/6, −1/3], [1/2, 0]].
        let l = [1.0, -2.0, 3.0, 0.0].map(|x| Complex::new(x, 0.0));
        let mut out = NONE;
        resolvent(&l, 2, 1.0, &mut out);
        for (a, b) in out.iter().zip([1.0 / 6.0, -1.0 / 3.0, 0.5, 0.0]) {
            assert!((a - b).norm() < 1e-15, "{a} {b}");
        }
    }
}
