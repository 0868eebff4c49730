//! What an equation is, for axes that are all periodic: built-in and written ones alike.
//!
//!     ∂û/∂t = L(k) û + N(û, t) + f̂
//!
//! L is the linear part with constant coefficients, per wavenumber; f a forcing that does not depend on time; N is
//! evaluated pseudo-spectrally in one or more rounds, each of which makes arrays from the state in spectral space
//! ([`Equation::derive`]), takes them to the grid, multiplies there ([`Equation::multiply`]), and takes the products
//! back. [`Equation::assemble`] adds up the right-hand side from the products of all rounds.
//!
//! Every function works on one [`Tile`] at a time, possibly on several threads, and must give each value the same bits
//! whatever the tile is. Slices are as long as the tile; on the grid of complex fields they hold (re, im) pairs and are
//! twice as long. Wavenumbers of a tile: the user's axis `a` of `d` is internal axis `3 − d + a`, so in one dimension
//! k_x is `columns`; in two, k_x is `rows` and k_y `columns`; in three `plane`, `rows`, `columns`.

use num_complex::Complex;

use super::domain::{Domain, Tile};
use crate::math::real::Real;

/// What a random forcing adds at one end of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kick {
    /// Of the run.
    pub seed: u64,
    pub step: u64,
    /// After the step, not before it: another draw where the noise is white in time.
    pub after: bool,
    /// The time whose forcing it brings: half the step, or all of it where nothing is added at the other end.
    pub span: f64,
}

/// One unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName {
    /// Its name in files and expressions.
    pub name: String,
    pub units: String,
    pub meaning: String,
}

impl FieldName {
    pub fn new(name: &str, meaning: &str) -> FieldName {
        FieldName { name: name.into(), units: "1".into(), meaning: meaning.into() }
    }

    pub fn in_units(self, units: &str) -> FieldName {
        FieldName { units: units.into(), ..self }
    }
}

/// How the fields meet in the linear part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coupling {
    /// L has one entry per field; all entries are real.
    RealDiagonal,
    /// L has one entry per field.
    Diagonal,
    /// L is a full F × F block per wavenumber, F ≤ 8.
    Block,
}

/// What pruned padding must hold to be free of aliasing errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degree {
    /// Products of at most this many fields: with K the highest kept mode, M ≥ (degree + 1) K + 1 points.
    Polynomial(u32),
    /// A function with no such bound; the user chooses.
    Other,
}

/// Transforms of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Arrays taken to the grid.
    pub backward: usize,
    /// Products taken back.
    pub forward: usize,
}

pub trait Equation<T: Real>: Send + Sync {
    /// The unknowns, in the order of every list below.
    fn fields(&self) -> &[FieldName];

    fn coupling(&self) -> Coupling;
    /// L at wavenumber `k` (internal axes): F entries, or F × F row by row for [`Coupling::Block`].
    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]);

    fn degree(&self) -> Degree;
    /// Rounds of transforms of one evaluation of N; none for a linear equation.
    fn rounds(&self) -> &[Round];
    /// Whether the arrays of round `round` that go to the grid are made by [`Equation::derive`]; if not, they are the first
    /// unknowns as they stand, which are not copied.
    fn derives(&self, _round: usize) -> bool {
        true
    }
    /// The arrays of round `round` that go to the grid, from the state and the products of the earlier rounds. As it is here:
    /// the first unknowns.
    fn derive(
        &self,
        _round: usize,
        _time: f64,
        _tile: &Tile,
        state: &[&[Complex<T>]],
        _products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        out.iter_mut().zip(state).for_each(|(out, state)| out.copy_from_slice(state));
    }
    /// Arrays that `derive` makes in one round, at most, or [`Equation::derive_pointwise`].
    fn derived_arrays(&self) -> usize {
        let made = self.rounds().iter().enumerate().filter(|(r, _)| self.derives(*r)).map(|(_, round)| round.backward);
        made.max().unwrap_or(0).max(self.pointwise_arrays())
    }
    /// The products of round `round`, from its arrays on the grid.
    fn multiply(&self, round: usize, time: f64, tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]);
    /// The derivative of [`Equation::multiply`] at `values` where they change at `rates`. As it is here: by differences,
    /// exact but for rounding where products are polynomials of at most degree 4 in the arrays; `work` is kept.
    fn multiply_tangent(
        &self,
        round: usize,
        time: f64,
        tile: &Tile,
        (values, rates): (&[&[T]], &[&[T]]),
        work: &mut Vec<T>,
        out: &mut [&mut [T]],
    ) {
        super::tangent::by_differences(self, round, time, tile, (values, rates), work, out);
    }
    /// Whether [`Equation::assemble`] reads the state; if not, it gets none.
    fn reads_state(&self) -> bool {
        true
    }
    /// N, from the state and the products of all rounds (in order).
    fn assemble(
        &self,
        time: f64,
        tile: &Tile,
        state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    );

    /// A forcing of the fields that does not depend on time, at the grid points of a tile; false: there is none.
    fn forcing(&self, _tile: &Tile, _out: &mut [&mut [T]]) -> bool {
        false
    }

    /// Whether N carries anything along at a speed that could limit the time step.
    fn carries(&self) -> bool {
        false
    }
    /// Raises `fastest[a]` (internal axes) to the largest speed, in length per time, at which N carries anything along
    /// axis `a`, from the arrays of round 0 on the grid. What it leaves at zero sets no limit to the time step.
    fn speeds(&self, _values: &[&[T]], _fastest: &mut [f64; 3]) {}
    /// Of how many numbers [`Equation::fastest`] wants the largest.
    fn measured_speeds(&self) -> usize {
        3
    }
    /// Raises them by the arrays of a round on the grid. For speeds that depend on the place or on time, or are made in
    /// later rounds.
    fn speeds_at(&self, round: usize, _time: f64, _tile: &Tile, values: &[&[T]], largest: &mut [f64]) {
        if let (0, Ok(fastest)) = (round, largest.try_into()) {
            self.speeds(values, fastest);
        }
    }
    /// The speeds along the internal axes, from the largest of those numbers over the box.
    fn fastest(&self, largest: &[f64]) -> [f64; 3] {
        [largest[0], largest[1], largest[2]]
    }

    /// Whether some modes keep their first values whatever the right-hand side says.
    fn keeps_modes(&self) -> bool {
        false
    }

    /// Whether there is a random forcing: then [`Equation::stir`] goes with every step.
    fn is_stirred(&self) -> bool {
        false
    }
    /// Adds a kick of the random forcing at one tile, projected onto the constraints.
    fn stir(&self, _kick: Kick, _domain: &Domain, _tile: &Tile, _out: &mut [&mut [Complex<T>]]) {}

    /// Projects a state onto the constraints (such as div u = 0) and fixes gauges, at one tile.
    fn constrain(&self, _tile: &Tile, _state: &mut [&mut [Complex<T>]]) {}

    /// Series of quadratic quantities, each the sum over all modes (of both signs) of a density: names.
    fn quadratics(&self) -> Vec<Quadratic> {
        Vec::new()
    }
    /// Whether the densities take a product of the fields off N, so that they are of N without what is added to it.
    fn measures_n_alone(&self) -> bool {
        false
    }
    /// Their densities at one mode: `state[f]` is the coefficient of field f (normalised so that Σ|û|² is the mean of
    /// |u|² over the box), `rate[f]` that of N + f (the whole right-hand side without L), or of N alone:
    /// see [`Equation::measures_n_alone`].
    fn densities(&self, _k: [f64; 3], _state: &[Complex<f64>], _rate: &[Complex<f64>], _out: &mut [f64]) {}

    /// The length η of the smallest eddies of a turbulent flow, from the values of [`Equation::quadratics`], for k_max η.
    /// None, whatever the values: the equation has none.
    fn smallest_eddies(&self, _quadratics: &[f64]) -> Option<f64> {
        None
    }

    /// Series that are no sums over modes: means over the grid of densities made of the fields' values.
    fn pointwise(&self) -> Vec<Quadratic> {
        Vec::new()
    }
    /// How many arrays their densities take from the grid.
    fn pointwise_arrays(&self) -> usize {
        0
    }
    /// These arrays in spectral space.
    fn derive_pointwise(&self, _tile: &Tile, _state: &[&[Complex<T>]], _out: &mut [&mut [Complex<T>]]) {}
    /// The densities, one slice of a value per point each, from the arrays on the grid.
    fn pointwise_densities(&self, _tile: &Tile, _values: &[&[T]], _out: &mut [&mut [f64]]) {}

    /// A force along the state itself that does work at a constant rate; part of N.
    fn drive(&self) -> Option<Drive> {
        None
    }

    /// Fields of interest that are linear in the state (vorticity of a velocity, velocity of a vorticity).
    fn derived(&self) -> Vec<FieldName> {
        Vec::new()
    }
    /// Their coefficients at one mode.
    fn derive_field(&self, _index: usize, _k: [f64; 3], _state: &[Complex<f64>]) -> Complex<f64> {
        Complex::new(0.0, 0.0)
    }
}

/// The force g û on the modes with 0 < k² ≤ `limit`, all fields alike, with g = power/Σ|û|² over these modes (of both
/// signs): Re Σ û* g û, the work on Σ|û|²/2, is the power whatever the state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drive {
    pub power: f64,
    pub limit: f64,
}

/// A series made of the state at one time: mean over the box of a quadratic quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quadratic {
    pub name: &'static str,
    pub units: &'static str,
    pub meaning: &'static str,
}
