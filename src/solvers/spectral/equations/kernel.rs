//! What the kernels share: small arithmetic and loops over the rows of a tile.

use std::ops::Range;

use num_complex::Complex;

use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};

/// i k z.
#[inline(always)]
pub fn times_i<T: Real>(k: T, z: Complex<T>) -> Complex<T> {
    Complex::new(-k * z.im, k * z.re)
}

/// 1/x, and 0 at 0: what the mean of a field takes where one divides by k².
#[inline(always)]
pub fn inverse<T: Real>(x: T) -> T {
    if x > T::zero() { T::one() / x } else { T::zero() }
}

/// |k|².
#[inline(always)]
pub fn square(k: [f64; 3]) -> f64 {
    k[0] * k[0] + k[1] * k[1] + k[2] * k[2]
}

/// Calls `act(range, row)` for each row of a tile: where its values are, and its wavenumber or coordinate.
#[inline(always)]
pub fn rows(tile: &Tile, mut act: impl FnMut(Range<usize>, f64)) {
    let n = tile.columns.len();
    for (r, &row) in tile.rows.iter().enumerate() {
        act(r * n..(r + 1) * n, row);
    }
}

/// Runs `work` with the widest vectors of this machine. Nothing is fused or reordered: the bits do not depend on it.
#[inline(always)]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if std::arch::is_x86_feature_detected!("avx512dq") && std::arch::is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has AVX-512 F (implied), DQ and VL.
            return unsafe { avx512(work) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { avx2(work) };
        }
    }
    work()
}

/// Raises `fastest` to the largest |value| times `scale`.
pub fn raise<T: Real>(fastest: &mut f64, values: &[T], scale: f64) {
    let mut lanes = [T::zero(); 16];
    let larger = |m: T, x: T| if x > m { x } else { m };
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (m, x) in lanes.iter_mut().zip(block) {
            *m = larger(*m, x.abs());
        }
    }
    let most = rest.iter().map(|x| x.abs()).chain(lanes).fold(T::zero(), larger);
    *fastest = fastest.max(most.to_f64() * scale);
}

/// Coordinate on the user's axis `a`, from its start: in [0, length) for points of the box.
pub fn along(domain: &Domain, a: usize) -> impl Fn([f64; 3]) -> f64 + Send + Sync + Copy + 'static {
    let (axis, low) = (3 - domain.dimension + a, domain.own()[a].low);
    move |x| x[axis] - low
}

/// The middle of the user's axis `a`, from its start; of an axis of one point that point.
pub fn middle(domain: &Domain, a: usize) -> f64 {
    let axis = domain.own()[a];
    if axis.highest > 0 { 0.5 * axis.length } else { 0.0 }
}

/// The user's axes along which fields vary, by number.
pub fn varying(domain: &Domain) -> impl Iterator<Item = usize> {
    (0..domain.dimension).filter(|&a| domain.own()[a].highest > 0)
}

/// 2π/length of the user's axis `a`.
pub fn unit(domain: &Domain, a: usize) -> f64 {
    std::f64::consts::TAU / domain.own()[a].length
}

/// The image of `x` in [−length/2, length/2).
pub fn nearest_image(x: f64, length: f64) -> f64 {
    x - length * (x / length + 0.5).floor()
}

/// The value at wavenumber 0, and 0 elsewhere: the density of a mean.
pub fn mean(k: [f64; 3], z: Complex<f64>) -> f64 {
    if k == [0.0; 3] { z.re } else { 0.0 }
}

/// A plateau of height 1 with falling edges `edge` at both ends, about x = 0, with its nearest images in a periodic box:
/// `edge` goes from 1 at −∞ to 0 at +∞ and is given the distance from the middle.
pub fn plateau(x: f64, length: f64, edge: impl Fn(f64) -> f64) -> f64 {
    [-length, 0.0, length].into_iter().map(|image| edge(x - image) + edge(image - x) - 1.0).sum()
}
