//! The linear part, as implicit and exponential schemes use it.

use ndarray::Array2;
use ndarray_linalg::EigVals;
use num_complex::Complex;

use super::equation::{Coupling, Equation};
use super::fields::Fields;
use super::steppers::{Factor, Factors, Sweep, Vector, resolvent, run};
use super::transform::Scales;
use crate::math::elementary::ln;
use crate::math::real::Real;

/// L on the modes of this rank, in double precision.
#[derive(Debug, Clone, PartialEq)]
pub enum Linear {
    /// One real entry per field and mode: `[field][mode]`.
    RealDiagonal(Vec<Vec<f64>>),
    /// One entry per field and mode: `[field][mode]`.
    Diagonal(Vec<Vec<Complex<f64>>>),
    /// A block per mode, row by row: `[mode · F² + row · F + column]`.
    Block { fields: usize, entries: Vec<Complex<f64>> },
}

impl Linear {
    /// L of an equation on the modes that `scales` has the wavenumbers of.
    pub fn of<T: Real>(equation: &dyn Equation<T>, scales: &Scales) -> Linear {
        let (fields, modes) = (equation.fields().len(), scales.block().len());
        let zero = Complex::new(0.0, 0.0);
        let coupling = equation.coupling();
        let block = coupling == Coupling::Block;
        let each = if block { fields * fields } else { fields };
        let mut all = vec![zero; modes * each];
        for (tile, at) in scales.tiles(usize::MAX) {
            tile.for_each(|i, k| {
                let place = (at.start + i) * each;
                equation.linear(k, &mut all[place..place + each]);
            });
        }
        match coupling {
            Coupling::Block => Linear::Block { fields, entries: all },
            Coupling::Diagonal => {
                Linear::Diagonal((0..fields).map(|f| all.iter().skip(f).step_by(each).copied().collect()).collect())
            }
            Coupling::RealDiagonal => {
                assert!(all.iter().all(|z| z.im == 0.0), "the equation says that its linear part is real");
                Linear::RealDiagonal(
                    (0..fields).map(|f| all.iter().skip(f).step_by(each).map(|z| z.re).collect()).collect(),
                )
            }
        }
    }

    /// How much faster backward differences of third order let a mode grow in a step than L does, as a logarithm; from a
    /// few thousand modes of a diagonal, a few hundred of blocks.
    pub fn excess_of_bdf3(&self, step: f64) -> f64 {
        const MODES: usize = 4096;
        const BLOCKS: usize = 512;
        let excess = |l: Complex<f64>| ln(bdf3_growth(l * step)) - (l.re * step).max(0.0);
        let most = |modes: &mut dyn Iterator<Item = Complex<f64>>| {
            modes.filter(|l| l.im != 0.0).map(excess).fold(0.0, f64::max)
        };
        match self {
            Linear::RealDiagonal(_) => 0.0,
            Linear::Diagonal(entries) => {
                let some = |list: &Vec<Complex<f64>>| most(&mut list.iter().step_by(list.len() / MODES + 1).copied());
                entries.iter().map(some).fold(0.0, f64::max)
            }
            Linear::Block { fields, entries } => {
                let blocks = entries.chunks_exact(fields * fields);
                let every = blocks.len() / BLOCKS + 1;
                let values = |block: &[Complex<f64>]| eigenvalues(*fields, block.to_vec()).unwrap_or_default();
                most(&mut blocks.step_by(every).flat_map(values))
            }
        }
    }

    /// A rate, ≥ 0, that no mode here grows faster than by L alone, in 1/time: of the Hermitian part of L, of blocks by
    /// Gershgorin's discs.
    pub fn growth_rate(&self) -> f64 {
        let most = |rates: &mut dyn Iterator<Item = f64>| rates.fold(0.0, f64::max);
        match self {
            Linear::RealDiagonal(entries) => most(&mut entries.iter().flatten().copied()),
            Linear::Diagonal(entries) => most(&mut entries.iter().flatten().map(|l| l.re)),
            Linear::Block { fields, entries } => {
                let row = |block: &[Complex<f64>], i: usize| {
                    let beside = |j: usize| 0.5 * (block[i * fields + j] + block[j * fields + i].conj()).norm();
                    block[i * fields + i].re + (0..*fields).filter(|j| *j != i).map(beside).sum::<f64>()
                };
                let blocks = entries.chunks_exact(fields * fields);
                most(&mut blocks.flat_map(|block| (0..*fields).map(move |i| row(block, i))))
            }
        }
    }
}

/// The eigenvalues of an n × n matrix, row by row; None: they cannot be computed.
pub fn eigenvalues(n: usize, entries: Vec<Complex<f64>>) -> Option<Vec<Complex<f64>>> {
    Some(Array2::from_shape_vec((n, n), entries).ok()?.eigvals().ok()?.to_vec())
}

/// The largest |ζ| of (11/6 − z) ζ³ − 3 ζ² + 3/2 ζ − 1/3 = 0: what backward differences of third order make of y' = λy in
/// a step, z = λΔt. Durand and Kerner's iteration.
fn bdf3_growth(z: Complex<f64>) -> f64 {
    let first = Complex::new(11.0 / 6.0, 0.0) - z;
    let [b, c, d] = [-3.0, 1.5, -1.0 / 3.0].map(|a| Complex::new(a, 0.0) / first);
    let at = Complex::new(0.4, 0.9);
    let mut roots = [Complex::new(1.0, 0.0), at, at * at];
    for _ in 0..60 {
        for i in 0..3 {
            let x = roots[i];
            let others: Complex<f64> = (0..3).filter(|&j| j != i).map(|j| x - roots[j]).product();
            roots[i] -= (((x + b) * x + c) * x + d) / others;
        }
    }
    roots.iter().map(|r| r.norm()).fold(0.0, f64::max)
}

/// What a scheme that treats the linear part implicitly asks of it:
///
///     M ∂u/∂t = L u + N(u, t)
///
/// On periodic axes M is the identity and L a [`Linear`]; with walls M and L are banded per wavenumber and N is given
/// in the same equations (rows), boundary rows zero.
pub trait Implicit<T: Real> {
    /// Prepares solves with M − γ L for each given γ (in units of time); earlier ones are forgotten.
    fn prepare(&mut self, gammas: &[f64]);
    /// The γ of the last [`Implicit::prepare`]: several steppers may share this, each asks before it steps. Empty means
    /// that it is not known, and costs a `prepare` at every step.
    fn prepared(&self) -> &[f64] {
        &[]
    }
    /// out = M u.
    fn mass(&self, u: &Fields<T>, out: &mut Fields<T>);
    /// out = L u.
    fn apply(&self, u: &Fields<T>, out: &mut Fields<T>);
    /// Solves (M − γ L) u = b for the `which`-th γ; `u` holds b on entry.
    fn solve(&mut self, which: usize, u: &mut Fields<T>);
}

/// [`Implicit`] on periodic axes: M is the identity, L a [`Linear`]. Holds L and (I − γ L)^{−1} for each γ in the
/// precision of the state, both made in f64; blocks are inverted by elimination with partial pivoting.
pub struct Fourier<T: Real> {
    linear: Linear,
    image: Factors<T>,
    inverses: Vec<Factors<T>>,
    gammas: Vec<f64>,
}

impl<T: Real> Fourier<T> {
    pub fn new(linear: Linear) -> Self {
        let mut image = Factors::new(&linear, 1);
        image.make(&linear, |l| [l], |l| [l], |l, n, out| out[0][..n * n].copy_from_slice(l));
        Fourier { linear, image, inverses: Vec::new(), gammas: Vec::new() }
    }
}

/// A factor times an array.
struct Times;

impl<T: Real> Sweep<T, 1, 1, 1> for Times {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [l]: [F; 1], [u]: [V; 1], _: [V; 1]) -> [V; 1] {
        [l * u]
    }
}

/// A factor times an array, in place.
struct InPlace;

impl<T: Real> Sweep<T, 1, 0, 1> for InPlace {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [l]: [F; 1], _: [V; 0], [u]: [V; 1]) -> [V; 1] {
        [l * u]
    }
}

impl<T: Real> Implicit<T> for Fourier<T> {
    fn prepare(&mut self, gammas: &[f64]) {
        self.inverses.resize_with(gammas.len(), || Factors::new(&self.linear, 1));
        for (inverse, &gamma) in self.inverses.iter_mut().zip(gammas) {
            inverse.make(
                &self.linear,
                |l| [1.0 / (1.0 - gamma * l)],
                |l| [1.0 / (1.0 - l * gamma)],
                |l, n, out| resolvent(l, n, gamma, &mut out[0]),
            );
        }
        self.gammas.clear();
        self.gammas.extend_from_slice(gammas);
    }

    fn prepared(&self) -> &[f64] {
        &self.gammas
    }

    fn mass(&self, u: &Fields<T>, out: &mut Fields<T>) {
        out.copy_from(u);
    }

    fn apply(&self, u: &Fields<T>, out: &mut Fields<T>) {
        run(&Times, &self.image, [0], [u], [out]);
    }

    fn solve(&mut self, which: usize, u: &mut Fields<T>) {
        run(&InPlace, &self.inverses[which], [0], [], [u]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Advection of cos 5x until t = 100 ended with its mean square times 3.0e18 at steps of 0.2 and 1.618 at 0.025; with
    /// damping nothing grows.
    #[test]
    fn backward_differences_of_third_order_amplify_waves_as_runs_show() {
        let excess = |l: Complex<f64>, step: f64| Linear::Diagonal(vec![vec![l]]).excess_of_bdf3(step) * 100.0 / step;
        let wave = Complex::new(0.0, -5.0);
        assert!((excess(wave, 0.2) - 0.5 * 3.0e18f64.ln()).abs() < 0.1, "{}", excess(wave, 0.2));
        assert!((excess(wave, 0.025) - 0.5 * 1.618f64.ln()).abs() < 0.005, "{}", excess(wave, 0.025));
        assert_eq!(excess(Complex::new(-5.0, -5.0), 0.2), 0.0);
        // The same wave as a block of two fields that exchange 5.
        let entries = [0.0, 5.0, -5.0, 0.0].map(|x| Complex::new(x, 0.0)).to_vec();
        let block = Linear::Block { fields: 2, entries }.excess_of_bdf3(0.2) * 500.0;
        assert!((block - excess(wave, 0.2)).abs() < 1e-9, "{block}");
        assert!((bdf3_growth(Complex::new(0.0, 0.0)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn growth_is_1_4_for_k_squared_less_its_square_1_for_exchange_and_0_for_rotation_and_decay() {
        let flame = [0.0, 0.25, 0.5, 0.75, 1.0].map(|square: f64| square - square * square);
        assert_eq!(Linear::RealDiagonal(vec![flame.to_vec()]).growth_rate(), 0.25);
        let block = |upper: f64, lower: f64| {
            let entries = [0.0, upper, lower, 0.0].map(|x| Complex::new(x, 0.0)).to_vec();
            Linear::Block { fields: 2, entries }.growth_rate()
        };
        assert_eq!((block(1.0, 1.0), block(1.0, -1.0)), (1.0, 0.0));
        assert_eq!(Linear::Diagonal(vec![vec![Complex::new(-2.0, 5.0)]]).growth_rate(), 0.0);
    }
}
