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
/// points of a tile, `coefficients` are those of the series. Both are compared at points between those of the grid, where
/// waves that the grid takes for others show; between walls, where z = −cos θ, in the mean of two angles about θ, which
/// multiplies the polynomial of degree j by cos jδ. Collective.
pub fn missed<T: Real>(
    sample: &(dyn Fn(&Tile, &mut [&mut [T]]) + Sync),
    transform: &mut dyn Transform<T>,
    team: &dyn Team,
    coefficients: &[&[Complex<T>]],
) -> Vec<f64> {
    /// Of the way to the next point.
    const BETWEEN: f64 = 0.381_966;
    let (domain, count) = (transform.domain().clone(), coefficients.len());
    let walls = domain.has_walls();
    let angle = std::f64::consts::PI / domain.axes[0].points as f64;
    let by = domain.axes.each_ref().map(|axis| match axis.basis {
        Basis::Chebyshev => 0.0,
        _ if axis.points == 1 => 0.0,
        _ => BETWEEN * axis.length / axis.points as f64,
    });
    let mut moved: Vec<Vec<Complex<T>>> = coefficients.iter().map(|array| array.to_vec()).collect();
    for (tile, at) in Scales::wavenumbers(&domain, transform.modes()).tiles(2048) {
        let height = if walls { cos(BETWEEN * angle * tile.start[0] as f64) } else { 1.0 };
        tile.for_each(|i, k| {
            let phase = k[0] * by[0] + k[1] * by[1] + k[2] * by[2];
            let turn = Complex::new(T::of(height * cos(phase)), T::of(height * sin(phase)));
            moved.iter_mut().for_each(|array| array[at.start + i] *= turn);
        });
    }
    let sums = Mutex::new(vec![Exact::default(); 2 * count]);
    let compare = |tile: &Tile, values: &[&[T]], _: &mut [&mut [T]]| {
        let shifted = |x: &[f64], by: f64| x.iter().map(|x| x + by).collect::<Vec<f64>>();
        let (rows, columns) = (shifted(tile.rows, by[1]), shifted(tile.columns, by[2]));
        let axis = &domain.axes[0];
        let side = |by: f64| axis.low + 0.5 * axis.length * (1.0 - cos(angle * (tile.start[0] as f64 + 0.5 + by)));
        let planes = if walls { vec![side(-BETWEEN), side(BETWEEN)] } else { vec![tile.plane + by[0]] };
        let width = tile.len() * domain.reals();
        let mut own = vec![T::zero(); count * width];
        let mut one = own.clone();
        for plane in &planes {
            let between = Tile { plane: *plane, rows: &rows, columns: &columns, start: tile.start };
            sample(&between, &mut one.chunks_mut(width.max(1)).collect::<Vec<_>>());
            let share = T::of(1.0 / planes.len() as f64);
            own.iter_mut().zip(&one).for_each(|(own, one)| *own += share * *one);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::transform::Reference;
    use crate::solvers::spectral::walls::geometry::domain;
    use crate::team::Solo;

    /// Degrees 0 to 15 of the 24 points of the padded grid are kept: T₁₅ is, T₁₆ is not, nor T₄₇, which those points take
    /// for −T₁; a layer of thickness 1/50 is neither.
    #[test]
    fn between_walls_polynomials_that_are_kept_miss_nothing_and_others_all() {
        let polynomial = |j: f64| move |z: f64| libm::cos(j * libm::acos((2.0 * z - 1.0).clamp(-1.0, 1.0)));
        let share = |of: &(dyn Fn(f64) -> f64 + Sync)| {
            let domain = domain(&[16, 8], &[1.0, 2.0], &[0.0, 0.0]);
            assert_eq!((domain.axes[0].points, domain.axes[0].highest), (24, 15));
            let mut transform = Reference::new(&domain);
            let sample = |tile: &Tile, out: &mut [&mut [f64]]| {
                tile.for_each(|i, [z, _, x]| out[0][i] = of(z) * cos(std::f64::consts::PI * x));
            };
            let mut series = vec![Complex::new(0.0, 0.0); transform.modes().len()];
            transform.through(&Solo, &[], &|tile, _, out| sample(tile, out), &mut [&mut series]);
            missed(&sample, &mut transform, &Solo, &[&series])[0]
        };
        for j in [0.0, 1.0, 15.0] {
            assert!(share(&polynomial(j)) < 1e-24, "{j}");
        }
        assert!((share(&polynomial(16.0)) - 1.0).abs() < 1e-12);
        assert!(share(&polynomial(47.0)) > 0.5);
        assert!(share(&|z| libm::exp(-2500.0 * (z - 0.5) * (z - 0.5))) > 0.01);
        assert!(share(&|z| z * (1.0 - z) * libm::exp(z)) < 1e-20);
    }
}
