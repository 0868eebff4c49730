//! Spectra, and what they tell about the error of a truncated series.

use num_complex::Complex;

use super::super::domain::{Basis, Domain};
use super::super::transform::Scales;
use super::means::{columns, square, sum_over_tiles, weight};
use crate::math::exact::Exact;
use crate::math::real::Real;

/// The shells of an isotropic spectrum: shell n holds the modes with (n − ½) Δk ≤ |k| < (n + ½) Δk.
#[derive(Debug, Clone, PartialEq)]
pub struct Shells {
    /// Δk: the smallest wavenumber of the longest axis along which fields vary, in radians per length.
    pub width: f64,
    pub count: usize,
}

impl Shells {
    /// All shells that hold kept modes; Fourier axes only.
    pub fn new(domain: &Domain) -> Shells {
        let longest = domain.varying().map(|a| a.length).fold(0.0, f64::max);
        let longest = if longest > 0.0 { longest } else { domain.own()[0].length };
        let width = std::f64::consts::TAU / longest;
        let corner: f64 = domain.own().iter().map(|a| a.wavenumber(a.highest).powi(2)).sum();
        let mut shells = Shells { width, count: 1 };
        shells.count += shells.number(corner.sqrt());
        shells
    }

    /// The shell of a length of wavenumbers, which is off by some rounding: an edge belongs to what is above it.
    fn number(&self, k: f64) -> usize {
        const SLACK: f64 = 8.0 * f64::EPSILON;
        ((k / self.width + 0.5) * (1.0 + SLACK)) as usize
    }

    fn of(&self, k: [f64; 3]) -> usize {
        self.number((k[0] * k[0] + k[1] * k[1] + k[2] * k[2]).sqrt()).min(self.count - 1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Wavenumbers of the middles, n Δk.
    pub fn wavenumbers(&self) -> Vec<f64> {
        (0..self.count).map(|n| n as f64 * self.width).collect()
    }
}

/// This rank's part of the isotropic spectrum of some arrays together: per shell the sum of w |û|² over its modes, so
/// that all shells add up to the mean of Σ|u|². Half of it is the energy of a velocity; divided by Δk it is a density.
pub fn by_shell<T: Real>(domain: &Domain, scales: &Scales, shells: &Shells, arrays: &[&[Complex<T>]]) -> Vec<Exact> {
    let weights: Vec<f64> = columns(scales).map(|i| weight(domain, i)).collect();
    sum_over_tiles(scales, shells.count, |tile, at, sums| {
        tile.for_each(|i, k| {
            let sum: f64 = arrays.iter().map(|a| square(a[at.start + i])).sum();
            sums[shells.of(k)].add(weights[i % weights.len()] * sum);
        });
    })
}

/// This rank's part of the spectrum along one internal axis: per |number| κ = 0..=K the sum of w |û|² over all modes with
/// that number (Chebyshev: of |coefficient|² by degree, whose sum is not the mean square).
pub fn by_axis<T: Real>(domain: &Domain, scales: &Scales, axis: usize, arrays: &[&[Complex<T>]]) -> Vec<Exact> {
    let weights: Vec<f64> = columns(scales).map(|i| weight(domain, i)).collect();
    let own = &domain.axes[axis];
    sum_over_tiles(scales, own.highest + 1, |tile, at, sums| {
        let n = tile.columns.len();
        for i in 0..tile.len() {
            let index = match axis {
                0 => tile.start[0],
                1 => tile.start[1] + i / n,
                _ => tile.start[2] + i % n,
            };
            let sum: f64 = arrays.iter().map(|a| square(a[at.start + i])).sum();
            sums[own.number(index).unsigned_abs() as usize].add(weights[i % n] * sum);
        }
    })
}

/// This rank's part of the spectrum of a one-dimensional domain, per |number| κ = 0..=K: in one dimension the shells are
/// those of the axis. No more than two modes meet in a number, whose sum does not depend on their order.
pub fn of_line<T: Real>(domain: &Domain, scales: &Scales, arrays: &[&[Complex<T>]]) -> Vec<f64> {
    let axis = &domain.axes[2];
    let mut energies = vec![0.0; axis.highest + 1];
    for (i, index) in columns(scales).enumerate() {
        let sum: f64 = arrays.iter().map(|a| square(a[i])).sum();
        energies[axis.number(index).unsigned_abs() as usize] += weight(domain, index) * sum;
    }
    energies
}

/// What a spectrum along one axis says about the modes that are not kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    /// √(energy in the last eighth of the kept modes / energy of all).
    pub tail: f64,
    /// e-foldings of the amplitude per mode, fitted to the upper half of the modes above the rounding plateau.
    pub rate: f64,
    /// Relative RMS of the modes beyond the last by continuing the fit; where rounding is reached, its level; where the
    /// spectrum does not decay, 1.
    pub error: f64,
}

/// Estimates from the energies of modes 0..=K along an axis. None where nothing but the mean is kept or present.
///
/// The amplitude is taken to fall as A e^{−rate κ}: a least-squares line through ln of the envelope (the largest energy
/// from a mode on, so that modes empty by symmetry do not count as decay) over modes K/2..=K. Modes below 4 times the
/// rounding level ε² Σ energy / K are left out of the fit.
pub fn decay(energies: &[f64], epsilon: f64) -> Option<Decay> {
    let top = energies.len().checked_sub(1).filter(|&k| k >= 2)?;
    let total: f64 = energies.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let last = (top / 8).max(1);
    let tail = (energies[top + 1 - last..].iter().sum::<f64>() / total).sqrt();
    let mut envelope = energies.to_vec();
    for k in (0..top).rev() {
        envelope[k] = envelope[k].max(envelope[k + 1]);
    }
    let plateau = 4.0 * epsilon * epsilon * total / top as f64;
    // Where rounding begins; the fit takes the half below it.
    let end = (0..=top).rev().find(|&k| envelope[k] > plateau).unwrap_or(0);
    let points: Vec<(f64, f64)> =
        (end / 2..=end).filter(|&k| envelope[k] > plateau).map(|k| (k as f64, 0.5 * libm::log(envelope[k]))).collect();
    let rate = -slope(&points).unwrap_or(0.0);
    let error = if end < top {
        // Rounding stands above whatever is left out.
        (envelope[top] / total).sqrt().max(epsilon)
    } else if rate <= 1e-3 / top as f64 {
        1.0
    } else {
        // Σ_{κ>K} e^{−2 rate (κ − K)} of the energy of the last mode, as the line gives it.
        let (mean_k, mean_y) = middle(&points);
        let at_top = 2.0 * (mean_y - rate * (top as f64 - mean_k));
        let ratio = libm::exp(-2.0 * rate);
        let beyond = libm::exp(at_top) * ratio / (1.0 - ratio);
        (beyond / total).sqrt().min(1.0).max(epsilon)
    };
    // Beyond the last mode there is no more than if all modes were as large as those that the fit begins with: rounding a
    // little above the plateau is no spectrum without decay.
    let most = (envelope[end / 2] * energies.len() as f64 / total).sqrt().max(epsilon);
    Some(Decay { tail, rate, error: error.min(most) })
}

fn middle(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n)
}

/// Least-squares slope; none for fewer than two points.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let (x, y) = middle(points);
    let across: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    Some(across / square)
}

/// k_max η: the highest kept wavenumber (the lowest of the periodic axes' along which fields vary) times the length η of the
/// smallest eddies; at least 1 to 1.5 where they are resolved, with η = (ν³/ε)^{1/4} [Pope2000, §9.1.2]. NaN without such an
/// axis.
pub fn k_max_eta(domain: &Domain, eta: f64) -> f64 {
    let fourier = domain.varying().filter(|a| a.basis != Basis::Chebyshev);
    fourier.map(|a| a.wavenumber(a.highest)).reduce(f64::min).map_or(f64::NAN, |k| k * eta)
}

/// Kolmogorov's length (ν³/ε)^{1/4}; `dissipation` ε by viscosity ν, per mass.
pub fn kolmogorov_length(viscosity: f64, dissipation: f64) -> f64 {
    (viscosity * viscosity * viscosity / dissipation).sqrt().sqrt()
}

/// Its counterpart in two dimensions, (ν³/χ)^{1/6} with χ the dissipation of enstrophy by viscosity [BoffettaEcke2012].
pub fn enstrophy_length(viscosity: f64, dissipation: f64) -> f64 {
    libm::cbrt((viscosity * viscosity * viscosity / dissipation).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a box of 0.3 × 0.2, whose j-th wavenumber along the short axis is 1.5 j Δk: for odd j on an edge.
    #[test]
    fn a_wavenumber_on_the_edge_of_two_shells_is_in_the_upper_one() {
        for length in [0.3, 0.7, 1.1, 6.0, 3.0 * std::f64::consts::PI] {
            let shells = Shells { width: std::f64::consts::TAU / length, count: 100 };
            for j in (1..60).step_by(2) {
                let k = std::f64::consts::TAU / (length / 1.5) * f64::from(j);
                assert_eq!(shells.of([k, 0.0, 0.0]), (3 * j as usize + 1) / 2, "{length}, {j}");
            }
        }
    }

    #[test]
    fn rounding_above_its_plateau_is_no_space_error_and_a_flat_spectrum_is_all_of_one() {
        // One mode, and rounding of 10⁻¹⁵ of its amplitude in all others.
        let mut energies = vec![1e-30; 33];
        energies[3] = 1.0;
        let decayed = decay(&energies, f64::EPSILON).unwrap();
        assert!(decayed.error < 1e-14, "{decayed:?}");
        assert!(decay(&[1.0; 33], f64::EPSILON).unwrap().error > 0.98);
    }

    /// û_κ = e^{−0.3 κ}, K = 40: beyond are Σ_{κ>40} e^{−0.6κ}/Σ_{κ≥0} e^{−0.6κ} = e^{−0.6·41}, an RMS of 4.55e-6.
    #[test]
    fn the_error_of_an_exponential_spectrum_is_that_of_its_missing_modes() {
        let energies: Vec<f64> = (0..=40).map(|k| (-0.6 * k as f64).exp()).collect();
        let d = decay(&energies, f64::EPSILON).unwrap();
        assert!((d.rate - 0.3).abs() < 1e-12, "{d:?}");
        let truth = (-0.3f64 * 41.0).exp();
        assert!((d.error / truth - 1.0).abs() < 1e-6, "{d:?}, missing {truth:e}");
        // Modes 36..=40 of 0..=40: √(e^{−0.6·36}(1 − e^{−3})/(1 − e^{−24.6})).
        let tail = ((-0.6f64 * 36.0).exp() * (1.0 - (-3.0f64).exp())).sqrt();
        assert!((d.tail / tail - 1.0).abs() < 1e-9, "{d:?}, {tail:e}");
    }

    #[test]
    fn modes_empty_by_symmetry_do_not_change_the_rate_much() {
        let energies: Vec<f64> = (0..=60).map(|k| if k % 3 == 0 { (-0.4 * k as f64).exp() } else { 0.0 }).collect();
        let d = decay(&energies, f64::EPSILON).unwrap();
        assert!((d.rate - 0.2).abs() < 0.01, "{d:?}");
    }

    #[test]
    fn a_spectrum_that_reaches_rounding_has_the_error_of_rounding() {
        let energies: Vec<f64> = (0..=100).map(|k| (-2.0 * k as f64).exp().max(1e-34)).collect();
        let d = decay(&energies, f64::EPSILON).unwrap();
        assert!((d.rate - 1.0).abs() < 1e-6 && d.error < 1e-15, "{d:?}");
    }

    #[test]
    fn a_flat_spectrum_is_not_resolved() {
        assert_eq!(decay(&[1.0; 33], f64::EPSILON).unwrap().error, 1.0);
        assert_eq!(decay(&[0.0; 33], f64::EPSILON), None);
        assert_eq!(decay(&[1.0, 0.5], f64::EPSILON), None);
    }
}
