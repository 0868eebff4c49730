//! Whether the kept modes hold the functions that coefficients were made from.

use std::sync::Mutex;

use num_complex::Complex;

use super::domain::{Basis, Tile};
use super::initial::TOLD;
use super::results::ranks;
use super::transform::{Scales, Transform};
use crate::math::elementary::{cos, sin};
use crate::math::exact::Exact;
use crate::math::real::Real;
use crate::solvers::WARNING;
use crate::team::Team;

/// The share of the mean square of each function that its series misses: `sample` fills one array per function at the
/// points of a tile, `coefficients` are those of the series. Both are compared at points between those of the grid along
/// periodic axes, where waves that the grid takes for others show. Collective.
pub fn missed<T: Real>(
    sample: &(dyn Fn(&Tile, &mut [&mut [T]]) + Sync),
    transform: &mut dyn Transform<T>,
    team: &dyn Team,
    coefficients: &[&[Complex<T>]],
) -> Vec<f64> {
    /// Of the way to the next point.
    const BETWEEN: f64 = 0.381_966;
    let (domain, count) = (transform.domain().clone(), coefficients.len());
    let by = domain.axes.each_ref().map(|axis| match axis.basis {
        Basis::Chebyshev => 0.0,
        _ if axis.points == 1 => 0.0,
        _ => BETWEEN * axis.length / axis.points as f64,
    });
    let mut moved: Vec<Vec<Complex<T>>> = coefficients.iter().map(|array| array.to_vec()).collect();
    for (tile, at) in Scales::wavenumbers(&domain, transform.modes()).tiles(2048) {
        tile.for_each(|i, k| {
            let angle = k[0] * by[0] + k[1] * by[1] + k[2] * by[2];
            let turn = Complex::new(T::of(cos(angle)), T::of(sin(angle)));
            moved.iter_mut().for_each(|array| array[at.start + i] *= turn);
        });
    }
    let sums = Mutex::new(vec![Exact::default(); 2 * count]);
    let compare = |tile: &Tile, values: &[&[T]], _: &mut [&mut [T]]| {
        let shifted = |x: &[f64], by: f64| x.iter().map(|x| x + by).collect::<Vec<f64>>();
        let (rows, columns) = (shifted(tile.rows, by[1]), shifted(tile.columns, by[2]));
        let between = Tile { plane: tile.plane + by[0], rows: &rows, columns: &columns, start: tile.start };
        let width = tile.len() * domain.reals();
        let mut own = vec![T::zero(); count * width];
        sample(&between, &mut own.chunks_mut(width.max(1)).collect::<Vec<_>>());
        let mut here = vec![Exact::default(); 2 * count];
        for ((sums, own), values) in here.chunks_mut(2).zip(own.chunks(width.max(1))).zip(values) {
            for (own, value) in own.iter().zip(*values).map(|(own, value)| (Real::to_f64(*own), Real::to_f64(*value))) {
                sums[0].add((own - value) * (own - value));
                sums[1].add(own * own);
            }
        }
        let mut all = sums.lock().expect("no thread panicked");
        all.iter_mut().zip(&here).for_each(|(all, here)| all.merge(here));
    };
    let inputs: Vec<&[Complex<T>]> = moved.iter().map(Vec::as_slice).collect();
    transform.through(team, &inputs, &compare, &mut []);
    let sums = ranks::total(team, &sums.into_inner().expect("no thread panicked"));
    sums.chunks(2).map(|s| if s[1] > 0.0 { s[0] / s[1] } else { 0.0 }).collect()
}

/// What the user is told of a function of which such a share is missed.
pub fn told_of_missed(what: &str, share: f64) -> Option<String> {
    const MUCH: f64 = 0.01;
    let warning = if share > MUCH { WARNING } else { "" };
    let words = "of its mean square: it has shorter waves than the kept modes hold, or is not periodic";
    (share > TOLD).then(|| format!("{warning}{what} is off by {share:.1e} {words}"))
}
