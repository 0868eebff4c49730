//! Means over the box of quadratic quantities: sums over all modes of densities that the equation gives.

use num_complex::Complex;

use super::super::domain::{Basis, Domain, Tile};
use super::super::equation::Equation;
use super::super::fields::Fields;
use super::super::transform::Scales;
use crate::crew::map;
use crate::math::exact::Exact;
use crate::math::real::Real;

/// Modes of a tile.
pub(super) const TILE: usize = 2048;
/// Terms that are listed at once.
const PIECE: usize = 256;

/// How often the mode of global index `last` on the last axis counts in a sum over modes of both signs (Parseval): twice
/// where the other sign is not kept, once on k = 0, on the saw-tooth, and for complex fields.
pub fn weight(domain: &Domain, last: usize) -> f64 {
    let axis = &domain.axes[2];
    let alone = axis.basis != Basis::HalfFourier || last == 0 || (axis.sawtooth && 2 * last == axis.points);
    if alone { 1.0 } else { 2.0 }
}

/// Sums of `count` quantities over tiles, on the threads of the pool: `act(tile, range, sums)` adds a tile's. Exact, so
/// the order does not matter.
pub fn sum_over_tiles(
    scales: &Scales,
    count: usize,
    act: impl Fn(&Tile, std::ops::Range<usize>, &mut [Exact]) + Sync,
) -> Vec<Exact> {
    // As in `crew::map_in`; a tile is long beside a call.
    let act: &(dyn Fn(&Tile, std::ops::Range<usize>, &mut [Exact]) + Sync) = &act;
    let none = || vec![Exact::default(); count];
    let add = |mut sums: Vec<Exact>, t| {
        let (tile, at) = scales.nth_tile(t, TILE);
        act(&tile, at, &mut sums);
        sums
    };
    let tiles = scales.tile_count(TILE);
    if rayon::current_num_threads() == 1 || tiles == 1 {
        return (0..tiles).fold(none(), add);
    }
    // A few pieces a thread: every piece has sums of its own.
    let pieces = tiles.min(4 * rayon::current_num_threads());
    let sums = map(0..pieces, |_, p| (tiles * p / pieces..tiles * (p + 1) / pieces).fold(none(), add));
    sums.into_iter().fold(none(), |mut all, sums| {
        all.iter_mut().zip(&sums).for_each(|(all, sum)| all.merge(sum));
        all
    })
}

/// This rank's part of the equation's quadratics ([`Equation::quadratics`]); [`super::ranks::total`] makes numbers of
/// them. `rate` is N + f, the right-hand side without L. Wavenumbers in `scales`; cost: about 8 ns per mode and
/// quantity on one core (AVX-512 machine of 2026), whatever the grid.
pub fn quadratics<T: Real>(
    equation: &dyn Equation<T>,
    domain: &Domain,
    scales: &Scales,
    state: &Fields<T>,
    rate: &Fields<T>,
) -> Vec<Exact> {
    let (fields, count) = (state.len(), equation.quadratics().len());
    if count == 0 {
        return Vec::new();
    }
    let weights: Vec<f64> = columns(scales).map(|i| weight(domain, i)).collect();
    sum_over_tiles(scales, count, |tile, at, sums| {
        let mut here = vec![Complex::new(0.0, 0.0); 2 * fields];
        let mut densities = vec![0.0; count];
        let mut terms = vec![0.0; count * tile.len()];
        let n = tile.len();
        tile.for_each(|i, k| {
            for f in 0..fields {
                here[f] = wide(state.arrays[f][at.start + i]);
                here[fields + f] = wide(rate.arrays[f][at.start + i]);
            }
            densities.fill(0.0);
            equation.densities(k, &here[..fields], &here[fields..], &mut densities);
            let w = weights[i % weights.len()];
            densities.iter().enumerate().for_each(|(q, d)| terms[q * n + i] = w * d);
        });
        sums.iter_mut().zip(terms.chunks_exact(n)).for_each(|(sum, terms)| sum.add_all(terms));
    })
}

/// This rank's part of Σ w |û|² of each array: the mean over the box of |u|².
pub fn mean_squares<T: Real>(domain: &Domain, scales: &Scales, arrays: &[&[Complex<T>]]) -> Vec<Exact> {
    let columns = columns(scales);
    sum_over_tiles(scales, arrays.len(), |_, at, sums| {
        // Sums are exact, so terms may come in pieces of any length.
        let mut terms = [0.0; PIECE];
        for (array, sum) in arrays.iter().zip(sums) {
            for row in array[at.clone()].chunks_exact(columns.len()) {
                for (values, first) in row.chunks(PIECE).zip((columns.start..).step_by(PIECE)) {
                    for (i, (term, z)) in terms.iter_mut().zip(values).enumerate() {
                        *term = weight(domain, first + i) * square(*z);
                    }
                    sum.add_all(&terms[..values.len()]);
                }
            }
        }
    })
}

/// Global indices of a block along its last axis.
pub fn columns(scales: &Scales) -> std::ops::Range<usize> {
    let block = scales.block();
    block.start[2]..block.start[2] + block.count[2]
}

pub fn wide<T: Real>(z: Complex<T>) -> Complex<f64> {
    Complex::new(z.re.to_f64(), z.im.to_f64())
}

/// |z|².
pub(super) fn square<T: Real>(z: Complex<T>) -> f64 {
    let z = wide(z);
    z.re * z.re + z.im * z.im
}
