//! What a particle method needs to know of a model: Feynman–Kac flows, targets of samplers, families of flows.
//!
//! All functions work on tiles: up to [`TILE`] particles whose coordinates lie in slices, one slice per coordinate.
//! The engine calls them for tile after tile, from any thread. A value must depend on its particle, its slot and the
//! step alone, never on its place in the tile: then the bits depend neither on tiles nor on threads or ranks.

use crate::error::Result;
pub use crate::math::draws::Draws;
use crate::math::simd::Level;

/// Most particles of a tile; the coordinates of a tile stay in the nearest caches.
pub const TILE: usize = 1024;

/// The particles of a tile: coordinate d of all of them is one slice.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    level: Level,
    data: &'a [f64],
    stride: usize,
    len: usize,
}

impl<'a> View<'a> {
    /// Coordinate d is `data[d·stride .. d·stride + len]`.
    pub fn new(level: Level, data: &'a [f64], stride: usize, len: usize) -> View<'a> {
        assert!(len <= stride, "{len} particles with {stride} places a coordinate");
        View { level, data, stride, len }
    }

    /// The kernel level to [`enter!`](crate::enter) loops at.
    pub fn level(&self) -> Level {
        self.level
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Coordinate `d` of every particle.
    #[inline]
    pub fn coordinate(&self, d: usize) -> &'a [f64] {
        &self.data[d * self.stride..d * self.stride + self.len]
    }
}

/// A tile to be written.
#[derive(Debug)]
pub struct Tile<'a> {
    level: Level,
    data: &'a mut [f64],
    stride: usize,
    len: usize,
}

impl<'a> Tile<'a> {
    pub fn new(level: Level, data: &'a mut [f64], stride: usize, len: usize) -> Tile<'a> {
        assert!(len <= stride, "{len} particles with {stride} places a coordinate");
        Tile { level, data, stride, len }
    }

    /// The kernel level to [`enter!`](crate::enter) loops at.
    pub fn level(&self) -> Level {
        self.level
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn view(&self) -> View<'_> {
        View { level: self.level, data: self.data, stride: self.stride, len: self.len }
    }

    #[inline]
    pub fn coordinate(&self, d: usize) -> &[f64] {
        &self.data[d * self.stride..d * self.stride + self.len]
    }

    #[inline]
    pub fn coordinate_mut(&mut self, d: usize) -> &mut [f64] {
        &mut self.data[d * self.stride..d * self.stride + self.len]
    }

    /// The slices of coordinates 0, 1, …, all at once.
    pub fn coordinates_mut(&mut self) -> impl Iterator<Item = &mut [f64]> {
        let len = self.len;
        self.data.chunks_mut(self.stride).map(move |c| &mut c[..len])
    }

    /// The slices of `N` different coordinates.
    ///
    /// # Panics
    /// Where two are the same.
    pub fn some_mut<const N: usize>(&mut self, which: [usize; N]) -> [&mut [f64]; N] {
        let ranges = which.map(|d| d * self.stride..d * self.stride + self.len);
        self.data.get_disjoint_mut(ranges).expect("different coordinates of the tile")
    }

    /// A tile borrowed from this one.
    pub fn again(&mut self) -> Tile<'_> {
        Tile { level: self.level, data: self.data, stride: self.stride, len: self.len }
    }
}

/// A Feynman–Kac flow: a law of paths x_0 … x_T of a proposal, and log-weights that turn it into the law that is meant.
///
/// The target of paths is ∏_k p(x_k | x_{k−1}) G_k(x_{k−1}, x_k), with p a transition density and G a potential. The engine
/// draws x_k from a proposal q and weighs with
/// log w_k = log p/q + log G_k + log ψ_k(x_k) − log ψ_{k−1}(x_{k−1}), ψ the twist (1 where a model has none, and at the end).
///
/// Every function *adds* to the log-weights it is given. −∞ is a weight of zero; NaN ends the run with the step and the
/// particle.
pub trait FeynmanKac: Send + Sync {
    /// Coordinates of a particle.
    fn dimension(&self) -> usize;

    /// Number of times: steps are 0 … horizon − 1, step 0 being the initial draw.
    fn horizon(&self) -> usize;

    /// x ~ q_0; log_weight += log p_0(x)/q_0(x). Draws of `at`: its stream and step are this call's own.
    fn initial(&self, at: &Draws, x: &mut Tile<'_>, log_weight: &mut [f64]);

    /// x ~ q_k(· | previous); log_weight += log p_k(x | previous)/q_k(x | previous). `step` ≥ 1.
    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, log_weight: &mut [f64]);

    /// log_weight += log G_k(previous, x). At step 0 `previous` is empty.
    fn log_potential(&self, step: usize, previous: View<'_>, x: View<'_>, log_weight: &mut [f64]);

    /// Whether there is a twist.
    fn is_twisted(&self) -> bool {
        false
    }

    /// value += log ψ_k(x). Not called at the last step, where ψ = 1.
    fn log_twist(&self, _step: usize, _x: View<'_>, _value: &mut [f64]) {}

    /// Whether [`log_transition`](Self::log_transition) is there: needed by backward simulation and ancestor sampling.
    fn has_transition(&self) -> bool {
        false
    }

    /// value[i] += log p_k(x | previous_i) (+ whatever of log G_k depends on `previous`), for ONE state x of `dimension`
    /// coordinates and every particle `previous_i`; up to a constant that is the same for all i.
    fn log_transition(&self, _step: usize, _previous: View<'_>, _x: &[f64], _value: &mut [f64]) {}

    /// value += log p_k(x | previous) with its constant, at step 0 log p_0(x) with `previous` empty, for given pairs: what
    /// parameters change given a path (particle Gibbs). Answers whether the model can say.
    fn log_density(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _value: &mut [f64]) -> bool {
        false
    }

    /// log_weight += log p_k(x | previous)/q_k(x | previous) for given pairs, `previous` empty at step 0: the weight that
    /// `initial` and `mutate` would give a path that was not drawn here (conditional SMC). Answers whether the model can
    /// say: true, with nothing to add, where p = q.
    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        false
    }

    /// Draws observations y ~ p(y | x) of `step` for the posterior predictive; `false` where the model has none.
    fn observe(&self, _step: usize, _at: &Draws, _x: View<'_>, _y: &mut Tile<'_>) -> bool {
        false
    }
}

/// Prior and likelihood of a sampler (tempering, MCMC moves). Every density function adds to what it is given.
pub trait Target: Send + Sync {
    fn dimension(&self) -> usize;

    /// x ~ prior.
    fn draw_prior(&self, at: &Draws, x: &mut Tile<'_>);

    /// value += log prior density, normalised (the evidence needs its constant).
    fn log_prior(&self, x: View<'_>, value: &mut [f64]);

    /// value += log likelihood.
    fn log_likelihood(&self, x: View<'_>, value: &mut [f64]);

    /// Whether [`gradients`](Self::gradients) is there: needed by MALA and HMC.
    fn has_gradients(&self) -> bool {
        false
    }

    /// prior += ∇ log prior, likelihood += ∇ log likelihood, coordinate by coordinate.
    fn gradients(&self, _x: View<'_>, _prior: &mut Tile<'_>, _likelihood: &mut Tile<'_>) {}

    /// Mean and covariance (row-major) of a Gaussian prior: needed by pCN.
    fn gaussian_prior(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        None
    }
}

/// A parameter of a family: its name and whether it must be positive (then chains walk on its logarithm).
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub positive: bool,
}

/// Flows that depend on parameters θ with a prior: for particle marginal Metropolis–Hastings, particle Gibbs and SMC².
pub trait Family: Send + Sync {
    fn parameters(&self) -> Vec<Parameter>;

    /// One draw of θ from the prior; `at` addresses it by its first slot.
    fn draw_prior(&self, at: &Draws) -> Vec<f64>;

    /// Log density of the prior at θ; −∞ where θ is not allowed.
    fn log_prior(&self, theta: &[f64]) -> f64;

    /// The flow at θ.
    ///
    /// # Errors
    /// Where θ makes no model (a negative variance), in words for the user.
    fn at(&self, theta: &[f64]) -> Result<Box<dyn FeynmanKac>>;
}
