//! MCMC moves of a whole population at a power λ of the likelihood: random walk, MALA, HMC, pCN.
//!
//! Every kernel leaves π_λ ∝ prior · likelihood^λ invariant. Proposals are scaled by the Cholesky factor of the population's
//! covariance (random walk, MALA, HMC: as inverse mass) or of the prior's (pCN).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::model::{TILE, Target, Tile};
use super::population::for_tiles;
use super::tempering::{Move, evaluate};
use crate::error::{Error, Result};
use crate::math::rng::Stream;
use crate::math::simd::scalar::Scalar;
use crate::math::{dense, elementary};
use crate::team::Team;

/// How particles are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// x' = x + s L ξ with L Lᵀ the population's covariance.
    #[default]
    RandomWalk,
    /// A Langevin step, x' = x + ½ s² Σ ∇ log π + s L ξ.
    Mala,
    /// Ten leapfrog steps of size s with the covariance as inverse mass.
    Hmc,
    /// x' = m + √(1 − s²) (x − m) + s L ξ with mean m and covariance L Lᵀ of a Gaussian prior.
    Pcn,
}

const LEAPS: usize = 10;

impl Kernel {
    pub fn first_scale(self, d: usize) -> f64 {
        let d = d as f64;
        match self {
            Kernel::RandomWalk => 2.38 / d.sqrt(),
            Kernel::Mala => 1.65 / elementary::cbrt(d).sqrt(),
            Kernel::Hmc => 0.5 / elementary::pow(d, 0.25),
            Kernel::Pcn => 0.5,
        }
    }

    /// The share of proposals that is best accepted.
    pub fn acceptance(self) -> f64 {
        match self {
            Kernel::RandomWalk => 0.25,
            Kernel::Mala => 0.57,
            Kernel::Hmc => 0.8,
            Kernel::Pcn => 0.3,
        }
    }
}

/// What a kernel was tuned to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    pub scale: f64,
    /// Where pCN contracts to.
    pub mean: Vec<f64>,
    /// Lower triangular, row-major d × d.
    pub factor: Vec<f64>,
}

impl Tuning {
    /// A longer or shorter step, as the share of accepted proposals was above or below what suits the kernel.
    pub fn adapt(&mut self, kernel: Kernel, share: f64) {
        let longest = if kernel == Kernel::Pcn { 1.0 } else { f64::INFINITY };
        self.scale = (self.scale * elementary::exp(share - kernel.acceptance())).min(longest);
    }

    /// From the weighted population, all islands together. Collective.
    ///
    /// # Errors
    /// A covariance that is not positive: particles that coincide in some direction.
    pub fn of(
        filter: &Filter,
        d: usize,
        kernel: Kernel,
        scale: f64,
        target: &dyn Target,
        team: &dyn Team,
    ) -> Result<Tuning> {
        let (mean, covariance) = match (kernel, target.gaussian_prior()) {
            (Kernel::Pcn, Some(prior)) => prior,
            (Kernel::Pcn, None) => {
                return Err(Error::Usage("pCN needs a Gaussian prior, which the target does not have".into()));
            }
            _ => covariance(filter, d, team),
        };
        let factor = dense::cholesky(&covariance, d).map_err(|_| Error::Numerical {
            step: filter.step as u64,
            message:
                "the covariance of the particles is singular: they coincide in some direction. Use more particles, or \
                      keep more of the effective sample size at each power"
                    .into(),
        })?;
        Ok(Tuning { scale, mean, factor })
    }
}

/// Weighted mean and covariance over all islands, in trees over slots.
fn covariance(filter: &Filter, d: usize, team: &dyn Team) -> (Vec<f64>, Vec<f64>) {
    // Islands are pooled by their evidence, as their estimates are.
    let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
    let weights = super::estimate::island_weights(&logs);
    let pooled = |v: Vec<f64>| v.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>();
    let mean: Vec<f64> = (0..d).map(|c| pooled(filter.means(team, |t, i| filter.population.at(t, c, i)))).collect();
    let mut covariance = vec![0.0; d * d];
    for a in 0..d {
        for b in 0..=a {
            let product = |t: usize, i: usize| {
                (filter.population.at(t, a, i) - mean[a]) * (filter.population.at(t, b, i) - mean[b])
            };
            let value = pooled(filter.means(team, product));
            covariance[a * d + b] = value;
            covariance[b * d + a] = value;
        }
    }
    (mean, covariance)
}

/// y += s L z, coordinate by coordinate, for columns of TILE numbers.
fn add_lower(level: crate::math::simd::Level, l: &[f64], d: usize, s: f64, z: &[f64], y: &mut [f64]) {
    for i in 0..d {
        for j in 0..=i {
            let c = s * l[i * d + j];
            let (out, from) = (&mut y[i * TILE..(i + 1) * TILE], &z[j * TILE..(j + 1) * TILE]);
            crate::enter!(level, S => for k in 0..TILE { out[k] = S::mul_add(c, from[k], out[k]) });
        }
    }
}

/// y += s Lᵀ z.
fn add_upper(level: crate::math::simd::Level, l: &[f64], d: usize, s: f64, z: &[f64], y: &mut [f64]) {
    for i in 0..d {
        for j in 0..=i {
            let c = s * l[i * d + j];
            let (out, from) = (&mut y[j * TILE..(j + 1) * TILE], &z[i * TILE..(i + 1) * TILE]);
            crate::enter!(level, S => for k in 0..TILE { out[k] = S::mul_add(c, from[k], out[k]) });
        }
    }
}

/// Proposes a move to every particle; how many were accepted, over all ranks. Collective.
pub(super) fn sweep(
    filter: &mut Filter,
    target: &dyn Target,
    kernel: Kernel,
    tuning: &Tuning,
    lambda: f64,
    at: &Move,
    team: &dyn Team,
) -> Result<u64> {
    let d = target.dimension();
    let step = filter.step as u64;
    let done = for_tiles(&filter.layout, &mut filter.population, |_, place, x, _, scratch| {
        let draws = at.draws.at(place.address());
        let mut uniform = [0.0; TILE];
        let uniform = &mut uniform[..place.len];
        draws.stream(Stream::ParticlesAccept).uniforms(at.first, uniform);
        one_tile(target, kernel, tuning, lambda, &draws, at.first, d, x, uniform, scratch)
    });
    if team.any(done.iter().any(Option::is_none)) {
        let message = "a log density of a proposed state is NaN".to_string();
        return Err(Error::Numerical { step, message });
    }
    let mine: u64 = done.iter().flatten().sum();
    Ok(if team.size() == 1 { mine } else { team.gather(&[mine]).iter().sum() })
}

#[allow(clippy::too_many_arguments)]
fn one_tile(
    target: &dyn Target,
    kernel: Kernel,
    tuning: &Tuning,
    lambda: f64,
    draws: &super::model::Draws,
    first: u32,
    d: usize,
    x: &mut Tile<'_>,
    uniform: &[f64],
    scratch: &mut Vec<f64>,
) -> Option<u64> {
    let (n, level, s) = (x.len(), x.level(), tuning.scale);
    let block = (d + 2) * TILE;
    scratch.clear();
    scratch.resize(6 * block, 0.0);
    let (y, rest) = scratch.split_at_mut(block);
    let (z, rest) = rest.split_at_mut(block);
    let (g, rest) = rest.split_at_mut(block);
    let (v, rest) = rest.split_at_mut(block);
    let (h, _) = rest.split_at_mut(block);
    for c in 0..d + 2 {
        y[c * TILE..c * TILE + n].copy_from_slice(x.coordinate(c));
    }
    for c in 0..d {
        draws.normals(first + c as u32, &mut z[c * TILE..c * TILE + n]);
    }
    // log q(x | y) − log q(y | x), or the change of kinetic energy.
    let mut correction = [0.0; TILE];
    let gradient = |y: &mut [f64], g: &mut [f64], h: &mut [f64]| {
        g.fill(0.0);
        h.fill(0.0);
        let at = super::model::View::new(level, y, TILE, n);
        target.gradients(at, &mut Tile::new(level, g, TILE, n), &mut Tile::new(level, h, TILE, n));
        for (g, h) in g.iter_mut().zip(h.iter()) {
            *g += lambda * h;
        }
    };
    let l = &tuning.factor;
    match kernel {
        Kernel::RandomWalk => add_lower(level, l, d, s, z, y),
        Kernel::Pcn => {
            let keep = (1.0 - s * s).sqrt();
            for c in 0..d {
                let m = tuning.mean[c];
                y[c * TILE..c * TILE + n].iter_mut().for_each(|y| *y = m + keep * (*y - m));
            }
            add_lower(level, l, d, s, z, y);
        }
        Kernel::Mala => {
            // In whitened coordinates u = L⁻¹ x the step is u' = u + ½ s² Lᵀ∇ + s ξ.
            gradient(y, g, h);
            v.fill(0.0);
            add_upper(level, l, d, 0.5 * s, g, v);
            // η = ½ s Lᵀ∇(x) + ξ is the step over s; y = x + s L η.
            for c in 0..d {
                for k in c * TILE..c * TILE + n {
                    correction[k - c * TILE] += 0.5 * z[k] * z[k];
                    z[k] += v[k];
                }
            }
            add_lower(level, l, d, s, z, y);
            gradient(y, g, h);
            v.fill(0.0);
            add_upper(level, l, d, 0.5 * s, g, v);
            // Back: −η = ½ s Lᵀ∇(y) + ξ'.
            for c in 0..d {
                for k in c * TILE..c * TILE + n {
                    let back = z[k] + v[k];
                    correction[k - c * TILE] -= 0.5 * back * back;
                }
            }
        }
        Kernel::Hmc => {
            // Momenta in whitened coordinates: dx/dt = L p, dp/dt = Lᵀ∇.
            let kinetic = |z: &[f64], sign: f64, correction: &mut [f64]| {
                for c in 0..d {
                    for k in 0..n {
                        correction[k] += sign * 0.5 * z[c * TILE + k] * z[c * TILE + k];
                    }
                }
            };
            kinetic(z, 1.0, &mut correction);
            gradient(y, g, h);
            add_upper(level, l, d, 0.5 * s, g, z);
            for leap in 0..LEAPS {
                add_lower(level, l, d, s, z, y);
                gradient(y, g, h);
                add_upper(level, l, d, if leap + 1 == LEAPS { 0.5 * s } else { s }, g, z);
            }
            kinetic(z, -1.0, &mut correction);
        }
    }
    // Leapfrog steps that diverge lead nowhere: such a proposal is refused, and evaluated at the present state instead.
    let mut nowhere = [false; TILE];
    for c in 0..d {
        (0..n).for_each(|k| nowhere[k] |= !y[c * TILE + k].is_finite());
    }
    for k in (0..n).filter(|k| nowhere[*k]) {
        (0..d).for_each(|c| y[c * TILE + k] = x.coordinate(c)[k]);
        correction[k] = f64::NEG_INFINITY;
    }
    let mut proposed = Tile::new(level, y, TILE, n);
    evaluate(target, &mut proposed, d);
    let mut log_ratio = [0.0; TILE];
    for k in 0..n {
        let likelihood = proposed.coordinate(d + 1)[k] - x.coordinate(d + 1)[k];
        let prior = if kernel == Kernel::Pcn { 0.0 } else { proposed.coordinate(d)[k] - x.coordinate(d)[k] };
        // A state outside the support is refused, whatever its likelihood.
        let outside = proposed.coordinate(d)[k] == f64::NEG_INFINITY;
        let nan = proposed.coordinate(d)[k].is_nan() || (!outside && proposed.coordinate(d + 1)[k].is_nan());
        log_ratio[k] = if outside { f64::NEG_INFINITY } else { prior + lambda * likelihood + correction[k] };
        if nan {
            return None;
        }
    }
    let mut log_uniform = [0.0; TILE];
    crate::enter!(level, S => for k in 0..n { log_uniform[k] = S::ln(uniform[k]) });
    let mut accepted = 0;
    for c in 0..d + 2 {
        let (to, from) = (x.coordinate_mut(c), proposed.coordinate(c));
        for k in 0..n {
            // NaN (infinite minus infinite) is a refusal too.
            to[k] = if log_uniform[k] < log_ratio[k] { from[k] } else { to[k] };
        }
    }
    for k in 0..n {
        accepted += u64::from(log_uniform[k] < log_ratio[k]);
    }
    Some(accepted)
}
