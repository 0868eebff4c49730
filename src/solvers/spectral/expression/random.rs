//! Random forcing of a band of wavenumbers, by address: the same on any number of ranks and at any resolution.

use num_complex::Complex;
use smallvec::SmallVec;

use crate::math::real::Real;
use crate::math::rng::{Stream, normal_pair, word};
use crate::solvers::spectral::domain::{Domain, Tile, in_band};
use crate::solvers::spectral::equation::Kick;

/// A forcing that is drawn anew for each step.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomForcing {
    /// Which of the equation's random forcings it is: each draws numbers of its own.
    pub number: u32,
    /// The fields it acts on.
    pub fields: Vec<usize>,
    /// Root of the mean square over the box, of each field: of the forcing itself, or (white in time) of what it adds in
    /// a unit of time.
    pub amplitude: f64,
    /// Wavenumbers |k| that are forced, in radians per length; the mean never is.
    pub band: [f64; 2],
    /// White in time: a kick is a draw of variance in proportion to its span, so that what is added in a time does not
    /// depend on the steps; else it is the draw of its step times its span.
    pub white: bool,
}

impl RandomForcing {
    fn holds(&self, k: [f64; 3]) -> bool {
        let size = k.iter().map(|k| k * k).sum::<f64>().sqrt();
        size > 0.0 && in_band(self.band, size)
    }

    /// Kept modes of the band, of both signs.
    pub fn modes(&self, domain: &Domain) -> usize {
        let half = |axis: usize| !domain.complex && axis == 2;
        let modes = domain.modes();
        let k = |a: usize, i: usize| domain.axes[a].wavenumber(i);
        let below = |k: f64| in_band([0.0, self.band[1]], k.abs());
        let mut count = 0;
        for i in (0..modes[0]).filter(|&i| below(k(0, i))) {
            for j in (0..modes[1]).filter(|&j| below(k(1, j))) {
                for l in (0..modes[2]).filter(|&l| below(k(2, l))) {
                    if self.holds([k(0, i), k(1, j), k(2, l)]) {
                        count += if half(2) && l > 0 { 2 } else { 1 };
                    }
                }
            }
        }
        count
    }

    /// The seed of the draws for `field`: that of the run for the first forcing and the first 64 fields, whose number has
    /// six bits in the address of a draw.
    fn seed(&self, seed: u64, field: usize) -> u64 {
        match (self.number, field as u64 >> 6) {
            (0, 0) => seed,
            // No mode has such an item.
            (number, group) => word(seed, Stream::SpectralForcing, number, 1 << 63 | group),
        }
    }

    /// Adds a kick at a tile of wavenumbers; `modes` is [`Self::modes`].
    pub fn add<T: Real>(
        &self,
        Kick { seed, step, after, span }: Kick,
        modes: usize,
        domain: &Domain,
        tile: &Tile,
        out: &mut [&mut [Complex<T>]],
    ) {
        let occasion = 2 * step + u64::from(self.white && after);
        let scale = self.amplitude / (modes.max(1) as f64).sqrt() * if self.white { span.sqrt() } else { span };
        let width = tile.columns.len();
        let seeds: SmallVec<[(usize, u64); 8]> = self.fields.iter().map(|&f| (f, self.seed(seed, f))).collect();
        tile.for_each(|i, k| {
            if !self.holds(k) {
                return;
            }
            let at = [tile.start[0], tile.start[1] + i / width, tile.start[2] + i % width];
            let mut number: [i64; 3] = std::array::from_fn(|a| domain.axes[a].number(at[a]));
            // Of k and −k of a real field one is drawn, the other is its conjugate.
            let first = number.into_iter().rev().find(|&n| n != 0).unwrap_or(0);
            let mirrored = !domain.complex && first < 0;
            if mirrored {
                number = number.map(|n| -n);
            }
            let item = number.into_iter().fold(0u64, |item, n| item << 21 | (n + (1 << 20)) as u64);
            for &(field, seed) in &seeds {
                // Beyond 2³² occasions continue in the draws, of which there are 2²⁰: fields take the lowest six bits.
                let draw = (field as u32 & 63) | ((occasion >> 32) as u32 & 0x3fff) << 6;
                let [re, im] = normal_pair(seed, Stream::SpectralForcing, occasion as u32, item, draw);
                let im = if mirrored { -im } else { im };
                let value = Complex::new(re, im) * (scale * std::f64::consts::FRAC_1_SQRT_2);
                out[field][i] += T::complex(value);
            }
        });
    }
}
