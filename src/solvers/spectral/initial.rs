//! Initial fields: named ones of an equation, and random ones of a given spectrum.

use std::collections::BTreeMap;
use std::path::PathBuf;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::domain::{Domain, Tile, in_band};
use super::equation::Equation;
use super::equations::{Profile, Refusal};
use super::fields::Fields;
use super::transform::{Scales, Transform};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::math::rng::{Stream, uniform_pair};
use crate::solvers::WARNING;
use crate::team::Team;

/// The fields at time 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum InitialInput {
    /// An initial condition that the equation knows by name; `spanwise list` shows them.
    Named {
        /// Its name. Default: the first that the equation lists.
        #[serde(default)]
        name: Option<String>,
        /// Its parameters, by name. Default: as listed.
        #[serde(default)]
        parameters: BTreeMap<String, f64>,
    },
    /// Random phases under a given spectrum; the same field at any resolution and on any number of ranks. Vector fields
    /// of incompressible flow are without divergence.
    Random {
        /// The spectrum E(κ) over wavenumbers κ, up to a factor.
        spectrum: Spectrum,
        /// √∫E dκ: the root mean square of the fields taken together (in a large box). Default 1.
        #[serde(default = "one")]
        #[schemars(extend("minimum" = 0))]
        amplitude: f64,
        /// The fields that are random; the others are zero but for their mean. Default: all.
        #[serde(default)]
        fields: Vec<String>,
        /// Mean of fields, by name. Default 0.
        #[serde(default)]
        means: BTreeMap<String, f64>,
    },
    /// Expressions of the coordinates x, y, z.
    Expressions {
        /// An expression per field, by name; fields without one are zero.
        fields: BTreeMap<String, String>,
        /// Numbers that the expressions may name.
        #[serde(default)]
        parameters: BTreeMap<String, f64>,
    },
    /// The final state of an earlier run, at any resolution (spectral interpolation).
    File {
        /// Its output.h5, relative to the input file.
        file: PathBuf,
        /// Which member, where that run was an ensemble.
        #[serde(default)]
        member: Option<usize>,
    },
    /// Values at the grid points, from a file; fields without a dataset are zero.
    Grid(GridFile),
}

/// Values at the grid points in an HDF5 file, whoever wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridFile {
    /// The file, relative to the input file.
    pub file: PathBuf,
    /// A dataset per field, by name: of the shape problem.points, row x first; of a complex field with a last axis of two,
    /// real and imaginary part.
    pub fields: BTreeMap<String, String>,
}

fn one() -> f64 {
    1.0
}

fn four() -> f64 {
    4.0
}

/// E(κ): what the modes of wavenumber κ contribute to the mean square, per unit of κ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Spectrum {
    /// κ^(−exponent) between two wavenumbers, nothing outside.
    PowerLaw {
        /// 0: the same at all wavenumbers. No default.
        exponent: f64,
        /// Lowest wavenumber > 0, in radians per length.
        #[schemars(extend("exclusiveMinimum" = 0))]
        lowest: f64,
        /// Highest wavenumber, in radians per length.
        #[schemars(extend("exclusiveMinimum" = 0))]
        highest: f64,
    },
    /// (κ/peak)^exponent e^(−(exponent/2)(κ/peak)²), largest at the peak.
    ExponentialPeak {
        /// Wavenumber of the peak, in radians per length.
        #[schemars(extend("exclusiveMinimum" = 0))]
        peak: f64,
        /// Power at low wavenumbers, > 0. Default 4.
        #[serde(default = "four")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        exponent: f64,
    },
    /// Von Kármán's: κ⁴ at low, κ^(−5/3) at high wavenumbers [VonKarman1948].
    VonKarman {
        /// Wavenumber of the peak, in radians per length.
        #[schemars(extend("exclusiveMinimum" = 0))]
        peak: f64,
    },
}

/// The wavenumbers of a box, along the axes on which fields vary.
#[derive(Debug, Clone, Copy)]
struct Lattice {
    dimension: usize,
    /// Volume per wavenumber.
    cell: f64,
}

impl Lattice {
    fn of(domain: &Domain) -> Lattice {
        let cell = domain.varying().map(|a| std::f64::consts::TAU / a.length).product();
        Lattice { dimension: domain.varying().count(), cell }
    }
}

impl Spectrum {
    /// Refuses wavenumbers and powers that make no sense.
    pub fn check(&self) -> Result<(), Refusal> {
        let positive = |key: &'static str, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err((key, format!("{key} = {value} must be positive")))
            }
        };
        match *self {
            Spectrum::PowerLaw { exponent, lowest, highest } => {
                positive("lowest", lowest)?;
                positive("highest", highest)?;
                if highest <= lowest {
                    return Err(("highest", format!("highest = {highest} must be above lowest = {lowest}")));
                }
                if !exponent.is_finite() {
                    return Err(("exponent", format!("exponent = {exponent} is not finite")));
                }
                Ok(())
            }
            Spectrum::ExponentialPeak { peak, exponent } => {
                positive("peak", peak).and_then(|()| positive("exponent", exponent))
            }
            Spectrum::VonKarman { peak } => positive("peak", peak),
        }
    }

    /// E(κ) with ∫E dκ = 1.
    pub fn density(&self, kappa: f64) -> f64 {
        match *self {
            Spectrum::PowerLaw { exponent, lowest, highest } => {
                if !in_band([lowest, highest], kappa) {
                    return 0.0;
                }
                let power = 1.0 - exponent;
                let total = if power.abs() < 1e-12 {
                    libm::log(highest / lowest)
                } else {
                    (libm::pow(highest, power) - libm::pow(lowest, power)) / power
                };
                libm::pow(kappa, -exponent) / total
            }
            Spectrum::ExponentialPeak { peak, exponent: s } => {
                let x = kappa / peak;
                let half = 0.5 * (s + 1.0);
                let power = libm::pow(2.0 / s, half);
                let total = 0.5 * power * libm::tgamma(half) * peak;
                let value = libm::pow(x, s) * exp(-0.5 * s * x * x) / total;
                if power.is_normal() && total.is_finite() && value.is_finite() {
                    return value;
                }
                // The parts of high powers overflow where the whole does not.
                let total = libm::log(0.5 * peak) + half * libm::log(2.0 / s) + libm::lgamma(half);
                exp(s * libm::log(x) - 0.5 * s * x * x - total)
            }
            Spectrum::VonKarman { peak } => {
                // x⁴ (1 + x²)^(−17/6) is largest at x = √(12/5); its integral is B(5/2, 1/3)/2.
                let scale = libm::sqrt(2.4) / peak;
                let x = kappa * scale;
                let total = 0.5 * libm::tgamma(2.5) * libm::tgamma(1.0 / 3.0) / libm::tgamma(17.0 / 6.0) / scale;
                x * x * x * x * libm::pow(1.0 + x * x, -17.0 / 6.0) / total
            }
        }
    }

    /// |û|² of the mode `k` (radians per length) of a domain with such wavenumbers.
    fn mode(&self, lattice: Lattice, k: [f64; 3]) -> f64 {
        let kappa = libm::sqrt(k[0] * k[0] + k[1] * k[1] + k[2] * k[2]);
        if kappa == 0.0 {
            return 0.0;
        }
        let sphere = match lattice.dimension {
            1 => 2.0,
            2 => std::f64::consts::TAU * kappa,
            _ => 2.0 * std::f64::consts::TAU * kappa * kappa,
        };
        self.density(kappa) * lattice.cell / sphere
    }

    /// Whether a kept mode of a domain has a part in it; else what is wrong.
    ///
    /// Per line of modes along the last axis only those next to one wavenumber count: E is positive on an interval, and
    /// the peak or the low end is in it.
    pub fn fits(&self, domain: &Domain) -> Result<(), String> {
        let within = match *self {
            Spectrum::PowerLaw { lowest, .. } => lowest,
            Spectrum::ExponentialPeak { peak, .. } | Spectrum::VonKarman { peak } => peak,
        };
        let lattice = Lattice::of(domain);
        let unit = |a: usize| std::f64::consts::TAU / domain.axes[a].length;
        let highest: [usize; 3] = std::array::from_fn(|a| domain.axes[a].highest);
        for i in 0..=highest[0] {
            for j in 0..=highest[1] {
                let (k0, k1) = (unit(0) * i as f64, unit(1) * j as f64);
                let at = libm::sqrt((within * within - k0 * k0 - k1 * k1).max(0.0)) / unit(2);
                // Saturates at the ends; one more to each side for rounding.
                let at = (at as usize).min(highest[2]);
                for l in at.saturating_sub(1)..=(at + 2).min(highest[2]) {
                    if self.mode(lattice, [k0, k1, unit(2) * l as f64]) > 0.0 {
                        return Ok(());
                    }
                }
            }
        }
        let kept = domain.varying().map(|a| (a.wavenumber(1), a.wavenumber(a.highest)));
        let (lowest, corner) = kept.fold((f64::INFINITY, 0.0f64), |(l, c), (k, top)| (l.min(k), libm::hypot(c, top)));
        Err(match lowest.is_finite() {
            true => format!("has no part on the kept modes, whose wavenumbers are from {lowest} to {corner}"),
            false => "has no part on the kept modes: of axes of one point that is the mean alone".into(),
        })
    }
}

/// Random fields of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Random<'a> {
    pub spectrum: Spectrum,
    pub amplitude: f64,
    /// Which fields are random, in the order of the equation.
    pub chosen: &'a [bool],
    /// Mean of each field.
    pub means: &'a [f64],
    pub seed: u64,
}

/// Fills `state` from values at points, projected onto the equation's constraints; collective.
pub fn from_profile<T: Real>(
    profile: &Profile,
    time: f64,
    equation: &dyn Equation<T>,
    transform: &mut dyn Transform<T>,
    team: &dyn Team,
    state: &mut Fields<T>,
) {
    let reals = transform.domain().reals();
    let fields = state.len();
    let sample = |tile: &Tile, _: &[&[T]], out: &mut [&mut [T]]| {
        let mut values = vec![0.0; fields * reals];
        tile.for_each(|i, x| {
            profile(time, x, &mut values);
            for (out, values) in out.iter_mut().zip(values.chunks(reals)) {
                for (out, &value) in out[i * reals..].iter_mut().zip(values) {
                    *out = T::of(value);
                }
            }
        });
    };
    transform.through(team, &[], &sample, &mut state.views_mut());
    constrain(equation, &*transform, state);
}

/// Share of a mean square from which a change of it is told.
pub const TOLD: f64 = 1e-6;

/// What the user is told where constraints changed such a share of the mean square of fields of a first state.
pub fn told(changed: f64, fields: &str) -> Option<String> {
    const MUCH: f64 = 0.5;
    let warning = if changed > MUCH { WARNING } else { "" };
    let words = "the first state does not keep the constraints: putting that right changed";
    (changed > TOLD).then(|| format!("{warning}{words} {changed:.2e} of the mean square of {fields}"))
}

/// Projects `state` onto the equation's constraints.
pub fn constrain<T: Real>(equation: &dyn Equation<T>, transform: &dyn Transform<T>, state: &mut Fields<T>) {
    let scales = Scales::wavenumbers(transform.domain(), transform.modes());
    for (tile, at) in scales.tiles(2048) {
        let mut parts: Vec<&mut [Complex<T>]> = state.arrays.iter_mut().map(|a| &mut a[at.clone()]).collect();
        equation.constrain(&tile, &mut parts);
    }
}

/// Fills `state` with random fields; every rank makes its own modes.
///
/// The phase of a mode is addressed by its wavenumber and field. The fields of a mode are projected onto the
/// equation's constraints and then scaled so that their squares add up to what the spectrum says.
pub fn random<T: Real>(
    random: &Random,
    equation: &dyn Equation<T>,
    transform: &dyn Transform<T>,
    state: &mut Fields<T>,
) {
    let domain = transform.domain();
    let lattice = Lattice::of(domain);
    let scales = Scales::wavenumbers(domain, transform.modes());
    for (tile, at) in scales.tiles(2048) {
        let mut parts: Vec<&mut [Complex<T>]> = state.arrays.iter_mut().map(|a| &mut a[at.clone()]).collect();
        let columns = tile.columns.len();
        let numbers = |i: usize| -> [i64; 3] {
            let index = [tile.start[0], tile.start[1] + i / columns, tile.start[2] + i % columns];
            std::array::from_fn(|a| domain.axes[a].number(index[a]))
        };
        for (f, part) in parts.iter_mut().enumerate() {
            for (i, z) in part.iter_mut().enumerate() {
                let stream = Stream::SpectralInitial;
                let phase = match random.chosen[f] {
                    true => phase(random.seed, stream, f, numbers(i), !domain.complex),
                    false => 0.0.into(),
                };
                *z = T::complex(phase);
            }
        }
        equation.constrain(&tile, &mut parts);
        tile.for_each(|i, k| {
            let total: f64 = parts.iter().map(|p| p[i].norm_sqr().to_f64()).sum();
            let wanted = random.amplitude * random.amplitude * random.spectrum.mode(lattice, k);
            let factor = if total > 0.0 { libm::sqrt(wanted / total) } else { 0.0 };
            for (part, mean) in parts.iter_mut().zip(random.means) {
                part[i] = if k == [0.0; 3] { T::complex(Complex::new(*mean, 0.0)) } else { part[i] * T::of(factor) };
            }
        });
    }
}

/// `count` random directions of the state for its tangents, direction after direction, the mean included: the largest on
/// low wavenumbers, and the same at any resolution and on any number of ranks.
pub fn directions<T: Real>(
    seed: u64,
    count: usize,
    equation: &dyn Equation<T>,
    transform: &dyn Transform<T>,
) -> Vec<Vec<Complex<T>>> {
    let (domain, fields) = (transform.domain(), equation.fields().len());
    let scales = Scales::wavenumbers(domain, transform.modes());
    let lowest = domain.varying().map(|a| std::f64::consts::TAU / a.length).fold(f64::INFINITY, f64::min);
    let mut all = Vec::with_capacity(count * fields);
    for direction in 0..count {
        let mut own = Fields::zeros(fields, transform.modes().len());
        for (tile, at) in scales.tiles(2048) {
            let mut parts: Vec<&mut [Complex<T>]> = own.arrays.iter_mut().map(|a| &mut a[at.clone()]).collect();
            let columns = tile.columns.len();
            tile.for_each(|i, k| {
                let index = [tile.start[0], tile.start[1] + i / columns, tile.start[2] + i % columns];
                let numbers: [i64; 3] = std::array::from_fn(|a| domain.axes[a].number(index[a]));
                let size = 1.0 / (1.0 + (k[0] * k[0] + k[1] * k[1] + k[2] * k[2]) / (lowest * lowest));
                for (f, part) in parts.iter_mut().enumerate() {
                    let item = direction * fields + f;
                    let z = phase(seed, Stream::SpectralTangent, item, numbers, !domain.complex) * size;
                    let mean = numbers == [0; 3] && !domain.complex;
                    part[i] = T::complex(if mean { Complex::new(z.re, 0.0) } else { z });
                }
            });
            equation.constrain(&tile, &mut parts);
        }
        all.append(&mut own.arrays);
    }
    all
}

/// e^{iθ} of a mode of a field, θ uniform; that of −k is its conjugate where the field is real.
fn phase(seed: u64, stream: Stream, field: usize, numbers: [i64; 3], real: bool) -> Complex<f64> {
    let flip = real && numbers.iter().rev().find(|n| **n != 0).is_some_and(|n| *n < 0);
    let sign = if flip { -1 } else { 1 };
    let numbers = numbers.map(|n| sign * n);
    let item = numbers.iter().fold(0u64, |item, n| item << 21 | (*n as u64 & 0x1f_ffff));
    // What does not fit 21 bits numbers the draw. Of a real field the last number is never negative.
    let rest = |a: usize| (numbers[a] + if real && a == 2 { 0 } else { 1 << 20 }) >> 21;
    let draw = (0..3).fold(0u32, |draw, a| draw << 6 | (rest(a) as u32 & 63));
    let [u, _] = uniform_pair(seed, stream, field as u32, item, draw);
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * u);
    Complex::new(cos, if flip { -sin } else { sin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_of_the_longest_lines_has_a_phase_of_its_own() {
        let of = |numbers: [i64; 3], real: bool| phase(3, Stream::SpectralInitial, 1, numbers, real);
        // Numbers that agree in their lowest 21 bits.
        for real in [true, false] {
            let mut seen = Vec::new();
            for k in [5, (1 << 20) - 1, 1 << 20, 77 - (1 << 20)] {
                for high in -4..4 {
                    let n = k + (high << 21);
                    if n > 0 || !real {
                        seen.extend([[0, 0, n], [0, n, 3], [n, 2, 1]].map(|numbers| of(numbers, real).re));
                    }
                }
            }
            let all = seen.len();
            seen.sort_by(f64::total_cmp);
            seen.dedup();
            assert_eq!(seen.len(), all, "real: {real}");
        }
        // Of a real field −k is the conjugate of k.
        let (there, back) = (of([3, -(1 << 22), 1 << 22], true), of([-3, 1 << 22, -(1 << 22)], true));
        assert_eq!(there, back.conj());
    }

    #[test]
    fn numbers_of_21_bits_keep_their_phases() {
        let narrow = |numbers: [i64; 3]| {
            let item = numbers.iter().fold(0u64, |item, n| item << 21 | (*n as u64 & 0x1f_ffff));
            let [u, _] = uniform_pair(3, Stream::SpectralInitial, 1, item, 0);
            libm::cos(std::f64::consts::TAU * u)
        };
        let most = 1 << 20;
        for numbers in [[0, 0, 1], [-most, most - 1, 7], [4, -5, most - 1]] {
            for real in [true, false] {
                assert_eq!(phase(3, Stream::SpectralInitial, 1, numbers, real).re, narrow(numbers), "{numbers:?}");
            }
        }
        let (long, negative) = ([1, -1, 2 * most - 1], [1, -1, -most]);
        assert_eq!(phase(3, Stream::SpectralInitial, 1, long, true).re, narrow(long));
        assert_eq!(phase(3, Stream::SpectralInitial, 1, negative, false).re, narrow(negative));
    }
}
