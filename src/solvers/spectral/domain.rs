//! The box and its modes: which wavenumbers are kept, on how many points products are taken.
//!
//! A domain has one to three axes, in C order: the last one is contiguous. Inside, there are always three: a domain of
//! d axes has 3 − d leading axes of one point, so that the user's axis `a` is axis `3 − d + a` here. Where the user's
//! first axis lies between walls (Chebyshev), it is always axis 0 and the axes of one point follow it: (z), (z, ·, x)
//! and (z, y, x).

use std::f64::consts::TAU;

/// What functions of one axis are expanded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// e^{ikx} of a real field: only k ≥ 0 is kept. The last axis of real fields, no other.
    HalfFourier,
    /// e^{ikx}, both signs of k.
    Fourier,
    /// Chebyshev polynomials: u = Σ_j û_j T_j(2 (x − low)/length − 1) on the Gauss points; the first axis only.
    Chebyshev,
}

/// One axis of the box.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// "x", "y" or "z"; the name of the dimension in files.
    pub name: &'static str,
    pub basis: Basis,
    /// Coordinates run over [low, low + length).
    pub low: f64,
    pub length: f64,
    /// Points M on which products are taken.
    pub points: usize,
    /// Fourier: the highest kept |k| (in units of 2π/length); Chebyshev: the highest kept degree.
    pub highest: usize,
    /// Fourier with an even number of points and `highest` = points/2: the mode of the saw-tooth (Nyquist) is kept too.
    /// Only bare transforms want that; equations keep |k| ≤ (points − 1)/2, so that the mode never arises.
    pub sawtooth: bool,
}

impl Axis {
    /// An axis with one point, of a domain with fewer than three.
    pub fn trivial() -> Axis {
        Axis { name: "", basis: Basis::Fourier, low: 0.0, length: TAU, points: 1, highest: 0, sawtooth: false }
    }

    /// Number of coefficients kept.
    pub fn modes(&self) -> usize {
        match self.basis {
            Basis::HalfFourier | Basis::Chebyshev => self.highest + 1,
            Basis::Fourier if self.sawtooth => 2 * self.highest,
            Basis::Fourier => 2 * self.highest + 1,
        }
    }

    /// The integer wavenumber of coefficient `i`, in FFT order: 0, 1, …, K, −K, …, −1; the degree for Chebyshev.
    pub fn number(&self, i: usize) -> i64 {
        if self.basis != Basis::Fourier || i <= self.highest { i as i64 } else { i as i64 - self.modes() as i64 }
    }

    /// The coefficient of integer wavenumber `k`, if it is kept.
    pub fn index(&self, k: i64) -> Option<usize> {
        let highest = self.highest as i64;
        match self.basis {
            Basis::HalfFourier | Basis::Chebyshev => (0..=highest).contains(&k).then_some(k as usize),
            Basis::Fourier if (0..=highest).contains(&k) => Some(k as usize),
            Basis::Fourier => {
                let i = k + self.modes() as i64;
                (k < 0 && i > highest).then_some(i as usize)
            }
        }
    }

    /// 2π·number/length, in radians per unit of length.
    pub fn wavenumber(&self, i: usize) -> f64 {
        TAU / self.length * self.number(i) as f64
    }

    /// Coordinate of point `i`: equispaced, or a Chebyshev–Gauss point, ascending.
    pub fn coordinate(&self, i: usize) -> f64 {
        match self.basis {
            Basis::Chebyshev => {
                let angle = std::f64::consts::PI * (i as f64 + 0.5) / self.points as f64;
                self.low + 0.5 * self.length * (1.0 - libm::cos(angle))
            }
            _ => self.low + self.length * i as f64 / self.points as f64,
        }
    }
}

/// The box: three axes, the leading ones trivial in fewer dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    pub axes: [Axis; 3],
    /// Axes of the user.
    pub dimension: usize,
    /// Complex fields (no axis is halved).
    pub complex: bool,
}

impl Domain {
    /// From the user's axes, one to three.
    pub fn new(axes: Vec<Axis>, complex: bool) -> Domain {
        let dimension = axes.len();
        let walls = usize::from(axes.first().is_some_and(|a| a.basis == Basis::Chebyshev));
        let mut all = axes;
        all.splice(walls..walls, vec![Axis::trivial(); 3 - dimension]);
        Domain { axes: all.try_into().expect("one to three axes"), dimension, complex }
    }

    /// The user's axes.
    pub fn own(&self) -> Vec<&Axis> {
        let leading = if self.has_walls() { 1 } else { 0 };
        let trivial = leading..leading + 3 - self.dimension;
        self.axes.iter().enumerate().filter(|(a, _)| !trivial.contains(a)).map(|(_, axis)| axis).collect()
    }

    /// Those of them along which fields vary: axes of one point keep nothing but the mean.
    pub fn varying(&self) -> impl Iterator<Item = &Axis> {
        self.own().into_iter().filter(|a| a.highest > 0)
    }

    /// Whether axis 0 lies between walls.
    pub fn has_walls(&self) -> bool {
        self.axes[0].basis == Basis::Chebyshev
    }

    pub fn modes(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.axes[a].modes())
    }

    pub fn points(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.axes[a].points)
    }

    /// Reals per grid point of one field: 1, or 2 (real and imaginary part, interleaved) for complex fields.
    pub fn reals(&self) -> usize {
        if self.complex { 2 } else { 1 }
    }

    /// Volume of the box.
    pub fn volume(&self) -> f64 {
        self.own().iter().map(|a| a.length).product()
    }

    /// The same box with `points` points and no padding on each axis, for output.
    pub fn on_points(&self, points: [usize; 3]) -> Domain {
        let mut domain = self.clone();
        for (axis, n) in domain.axes.iter_mut().zip(points) {
            axis.points = n;
        }
        domain
    }
}

/// The part of a global three-dimensional array that a rank holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    pub start: [usize; 3],
    pub count: [usize; 3],
}

impl Block {
    pub fn len(&self) -> usize {
        self.count.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A piece of a rank's block that one thread works on: one index of axis 0, some of axis 1 (rows), all the rank's of
/// axis 2 (columns); in memory `rows.len() × columns.len()` contiguous values. In spectral space the three slices hold
/// wavenumbers, in physical space coordinates.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    /// Wavenumber or coordinate on axis 0.
    pub plane: f64,
    /// On axis 1.
    pub rows: &'a [f64],
    /// On axis 2.
    pub columns: &'a [f64],
    /// Global index of the first value.
    pub start: [usize; 3],
}

impl Tile<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `act(i, [q0, q1, q2])` for each value `i` of the tile with its wavenumbers or coordinates.
    pub fn for_each(&self, mut act: impl FnMut(usize, [f64; 3])) {
        for (r, &row) in self.rows.iter().enumerate() {
            for (c, &column) in self.columns.iter().enumerate() {
                act(r * self.columns.len() + c, [self.plane, row, column]);
            }
        }
    }
}

/// Whether a wavenumber lies in a band, ends included: 2π/length is off by some rounding, which no end of a band tells.
pub fn in_band([lowest, highest]: [f64; 2], k: f64) -> bool {
    const SLACK: f64 = 4.0 * f64::EPSILON;
    lowest * (1.0 - SLACK) <= k && k <= highest * (1.0 + SLACK)
}

/// The smallest product of 2, 3 and 5 that is at least `n`.
pub fn next_smooth(n: usize) -> usize {
    (n..)
        .find(|&m| {
            [2, 3, 5].iter().fold(m, |m, p| {
                let mut m = m;
                while m % p == 0 {
                    m /= p
                }
                m
            }) == 1
        })
        .unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wavenumbers_are_in_fft_order_and_found_again() {
        let axis = Axis { points: 8, highest: 3, ..Axis::trivial() };
        let numbers: Vec<i64> = (0..axis.modes()).map(|i| axis.number(i)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, -3, -2, -1]);
        for (i, k) in numbers.iter().enumerate() {
            assert_eq!(axis.index(*k), Some(i));
        }
        assert_eq!((axis.index(4), axis.index(-4)), (None, None));
        let full = Axis { highest: 4, sawtooth: true, ..axis };
        let numbers: Vec<i64> = (0..full.modes()).map(|i| full.number(i)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, -3, -2, -1]);
    }

    #[test]
    fn a_wall_axis_is_axis_0_in_any_dimension() {
        let wall = Axis { name: "z", basis: Basis::Chebyshev, points: 9, highest: 5, length: 2.0, ..Axis::trivial() };
        let x = Axis { name: "x", basis: Basis::HalfFourier, points: 8, highest: 3, ..Axis::trivial() };
        let domain = Domain::new(vec![wall.clone(), x.clone()], false);
        assert_eq!(domain.points(), [9, 1, 8]);
        assert_eq!(domain.own().iter().map(|a| a.name).collect::<Vec<_>>(), ["z", "x"]);
        assert_eq!(Domain::new(vec![x], false).points(), [1, 1, 8]);
        assert_eq!(Domain::new(vec![wall], false).points(), [9, 1, 1]);
    }

    #[test]
    fn a_band_holds_the_wavenumbers_at_its_ends_whatever_their_rounding() {
        for n in 1..2000 {
            let axis = Axis { length: TAU / f64::from(n), highest: 1, points: 4, ..Axis::trivial() };
            let (k, n) = (axis.wavenumber(1), f64::from(n));
            assert!(in_band([n, n + 1.0], k) && in_band([0.5 * n, n], k), "{n}: {k}");
            assert!(!in_band([n * (1.0 + 1e-14), 2.0 * n], k) && !in_band([0.0, n * (1.0 - 1e-14)], k), "{n}: {k}");
        }
    }

    #[test]
    fn the_next_smooth_number_after_97_is_100() {
        assert_eq!([97, 1, 7, 64, 241].map(next_smooth), [100, 1, 8, 64, 243]);
    }
}
