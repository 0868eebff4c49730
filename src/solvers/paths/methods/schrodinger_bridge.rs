//! Schrödinger bridges of Brownian motion between two sets of points: the law closest to σW among those with the given
//! ends. Static part: entropic transport with cost |x − y|² and ε = 2σ²T, by Sinkhorn's iteration in logarithms. Dynamic
//! part: with the target's potential γ the bridge is a Markov chain,
//!
//!     w_j(t, z) ∝ b_j exp(γ_j − |z − y_j|²/(2σ²(T − t))),   given j: the Brownian bridge from (t, z) to (T, y_j)
//!
//! so each step draws j and then makes an exact bridge step: no error of the time step, and paths end at the points.
//!
//! All is done about the line from the source's mean to the target's. With x′, y′ about their means and c from the one mean
//! to the other, |x − y|² = |x′ − y′|² − 2c·x′ + 2c·y′ + |c|²: but for terms of x or y alone, which the potentials take up,
//! the cost is that of the centred points, however far apart the sets lie. About the line the bridge is that of x′ and y′.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Method, Population};
use crate::enter;
use crate::error::{Error, Result};
use crate::math::rng::Stream;
use crate::math::simd::scalar::Scalar;
use crate::solvers::paths::chain::{Chain, LANES, Other, Quadratic};
use crate::solvers::paths::collectives::Blocks;
use crate::solvers::paths::ensemble::{Context, Random, Sampled};
use crate::solvers::paths::entropic::{Potentials, Until, sinkhorn};
use crate::state::{Name, Walk};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
    /// Where paths start.
    pub source: Ends,
    /// Where paths end.
    pub target: Ends,
    /// Stop Sinkhorn's iteration at this error of the marginals (in total variation, doubled).
    #[serde(default = "small")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Iterations at most.
    #[serde(default = "many")]
    #[schemars(range(min = 1))]
    pub max_iterations: u64,
}

fn small() -> f64 {
    1e-9
}

fn many() -> u64 {
    20_000
}

/// Exponents up to this one keep six digits behind the point.
const LARGEST: f64 = 4.5e9;
/// Normal numbers that reach further are rare.
const REACH: f64 = 6.0;

/// A set of points of equal weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ends {
    /// As given.
    Points {
        /// Coordinates of each point.
        #[schemars(length(min = 1))]
        points: Vec<Vec<f64>>,
    },
    /// Draws of a Gaussian with independent coordinates.
    Gaussian {
        /// Mean per coordinate.
        mean: Vec<f64>,
        /// Standard deviation per coordinate.
        deviation: Vec<f64>,
        /// Number of points.
        #[serde(default = "hundreds")]
        #[schemars(range(min = 1, max = 20_000))]
        samples: usize,
    },
}

fn hundreds() -> usize {
    500
}

impl Ends {
    fn check(&self, d: usize) -> std::result::Result<(), (&'static str, String)> {
        let wrong = |n: usize| format!("has {n} coordinates; the problem's start has {d}");
        match self {
            Ends::Points { points } => match points.iter().find(|p| p.len() != d) {
                Some(p) => Err(("points", wrong(p.len()))),
                None => Ok(()),
            },
            Ends::Gaussian { mean, .. } if mean.len() != d => Err(("mean", wrong(mean.len()))),
            Ends::Gaussian { deviation, .. } if deviation.len() != d => Err(("deviation", wrong(deviation.len()))),
            Ends::Gaussian { mean, deviation, .. } => {
                if let Some(s) = deviation.iter().find(|s| **s < 0.0) {
                    return Err(("deviation", format!("{s} is negative")));
                }
                match mean.iter().zip(deviation).find(|(m, s)| **s > 0.0 && *m + *s == **m) {
                    Some((m, s)) => Err(("mean", format!("{m:e} leaves no digit to a deviation of {s}"))),
                    None => Ok(()),
                }
            }
        }
    }

    fn mean(&self, d: usize) -> Vec<f64> {
        match self {
            Ends::Points { points } => middle(&points.concat(), d),
            Ends::Gaussian { mean, .. } => mean.clone(),
        }
    }

    /// How far points lie from their mean.
    fn reach(&self, d: usize) -> f64 {
        let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        match self {
            Ends::Points { points } => {
                centred(&points.concat(), &self.mean(d)).chunks_exact(d).map(length).fold(0.0, f64::max)
            }
            Ends::Gaussian { deviation, .. } => REACH * length(deviation),
        }
    }

    /// [point][coordinate].
    fn points(&self, random: Random, which: u32) -> Vec<f64> {
        match self {
            Ends::Points { points } => points.concat(),
            Ends::Gaussian { mean, deviation, samples } => {
                let d = mean.len();
                let mut out = vec![0.0; samples * d];
                let mut row = vec![0.0; *samples];
                for i in 0..d {
                    random.draws(Stream::PathsEnds, which).normals(i as u32, &mut row);
                    for (k, z) in row.iter().enumerate() {
                        out[k * d + i] = mean[i] + deviation[i] * z;
                    }
                }
                out
            }
        }
    }
}

/// Mean of points [point][coordinate].
fn middle(points: &[f64], d: usize) -> Vec<f64> {
    let n = (points.len() / d) as f64;
    (0..d).map(|i| points.iter().skip(i).step_by(d).sum::<f64>() / n).collect()
}

fn centred(points: &[f64], mean: &[f64]) -> Vec<f64> {
    points.chunks_exact(mean.len()).flat_map(|p| p.iter().zip(mean).map(|(x, m)| x - m)).collect()
}

pub struct SchrodingerBridge {
    input: Input,
    source: Vec<f64>,
    target: Vec<f64>,
    /// γ + ln b of the target's points, and that of the centred ones.
    potential: Vec<f64>,
    about_means: Vec<f64>,
    error: f64,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<SchrodingerBridge, Finding> {
        let still = |j: usize, i: usize| chain.prior.linear(chain.time(j), i) == Some((0.0, 0.0));
        let brownian = (0..chain.steps).all(|j| (0..chain.dimension).all(|i| still(j, i)));
        if !brownian || !chain.steady_noise() || noise(chain) == 0.0 {
            let message = "Schrödinger bridges here are those of Brownian motion: the prior brownian, or a written one without \
                           drift and with a constant factor of its noise";
            return Err(("name".into(), message.into()));
        }
        if chain.start.deviation.iter().any(|s| *s > 0.0) {
            return Err(("source".into(), "says where paths start: leave problem.start_deviation out".into()));
        }
        let free = chain.quadratics.iter().flatten().all(|q| *q == Quadratic::default());
        if !free || chain.others.iter().any(|o: &Vec<Other>| !o.is_empty()) {
            return Err(("name".into(), "a Schrödinger bridge has no observations, balls or running cost".into()));
        }
        for (key, ends) in [("source", &self.source), ("target", &self.target)] {
            ends.check(chain.dimension).map_err(|(k, message)| (format!("{key}.{k}"), message))?;
        }
        let d = chain.dimension;
        let apart = |i: usize| self.target.mean(d)[i] - self.source.mean(d)[i];
        if let Some(i) = (0..d).find(|i| !apart(*i).is_finite()) {
            return Err(("target".into(), format!("lies {} away from the source in coordinate {i}", apart(i))));
        }
        let (x, y) = (self.source.reach(d), self.target.reach(d));
        let exponent = (x + y) * (x + y) * scale(chain);
        if !(exponent <= LARGEST) {
            let (key, far) = if x > y { ("source", x) } else { ("target", y) };
            let message = format!(
                "has points {far:.2e} away from their mean: squared distances over 2σ²T of up to {exponent:.1e} leave \
                 fewer than six digits to the coupling (above {LARGEST:.1e}); raise problem.noise or bring the points \
                 together"
            );
            return Err((key.into(), message));
        }
        Ok(SchrodingerBridge {
            input: self.clone(),
            source: Vec::new(),
            target: Vec::new(),
            potential: Vec::new(),
            about_means: Vec::new(),
            error: f64::NAN,
        })
    }
}

/// σ with the prior's factor; 0 where that depends on the state.
fn noise(chain: &Chain) -> f64 {
    chain.noise * chain.prior.spread(0.0, chain.time_step).unwrap_or(0.0)
}

/// 1/(2σ²T), 1/ε.
fn scale(chain: &Chain) -> f64 {
    1.0 / (2.0 * noise(chain) * noise(chain) * chain.time(chain.steps))
}

impl Method for SchrodingerBridge {
    fn train(&mut self, context: &Context, _round: u64) -> Result<bool> {
        if !self.potential.is_empty() {
            return Ok(true);
        }
        let chain = context.chain;
        let d = chain.dimension;
        let (x, y) = (self.input.source.points(context.random, 0), self.input.target.points(context.random, 1));
        let scale = scale(chain);
        let (from, to) = (middle(&x, d), middle(&y, d));
        let (near, there) = (centred(&x, &from), centred(&y, &to));
        let until = Until { tolerance: self.input.tolerance, iterations: self.input.max_iterations };
        // f + ln a and g + ln b, in units of ε.
        let Potentials { g, error, .. } = sinkhorn(chain.level, &near, &there, d, scale, until, &|| context.check())?;
        if !(error < self.input.tolerance) {
            let message = format!("Sinkhorn's marginal error is {error:.2e} after method.max_iterations");
            return Err(Error::Numerical { step: context.step, message });
        }
        let along = |y: &[f64]| y.iter().zip(to.iter().zip(&from)).map(|(y, (b, a))| (b - a) * y).sum::<f64>();
        self.potential = g.iter().zip(there.chunks_exact(d)).map(|(g, y)| g + 2.0 * scale * along(y)).collect();
        (self.source, self.target, self.about_means, self.error) = (x, y, g, error);
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        context.check()?;
        let (chain, random) = (context.chain, context.random);
        let (d, rows, mine) = (chain.dimension, chain.rows(), context.mine().len());
        let (end, noise) = (chain.time(chain.steps), noise(chain));
        let mut paths = Blocks::zeros(mine, chain.block() / LANES);
        let mut log_weights = vec![0.0; mine * LANES];
        let (m, n) = (self.about_means.len(), self.source.len() / d);
        let (first, last) = (middle(&self.source, d), middle(&self.target, d));
        let (source, target) = (centred(&self.source, &first), centred(&self.target, &last));
        context.for_blocks(&mut paths, &mut log_weights, |block, x, _| {
            let (mut u, mut xi, mut w) = ([0.0; LANES], vec![0.0; rows], vec![0.0; m]);
            // The path less the line between the means.
            let mut z = vec![0.0; rows];
            random.uniforms(Stream::PathsShoot, replicate, 0, block, &mut u);
            for l in 0..LANES {
                let from = ((u[l] * n as f64) as usize).min(n - 1);
                for i in 0..d {
                    x[i * LANES + l] = self.source[from * d + i];
                    z[i * LANES + l] = source[from * d + i];
                }
            }
            for j in 1..=chain.steps {
                let now = &mut x[j * rows..(j + 1) * rows];
                let left = end - chain.time(j - 1);
                let share = if j == chain.steps { 1.0 } else { chain.time_step / left };
                let deviation = noise * (chain.time_step * (1.0 - share)).max(0.0).sqrt();
                random.uniforms(Stream::PathsShoot, replicate, j as u32, block, &mut u);
                random.rows(Stream::PathsNoise, replicate, j * d, block, &mut xi);
                let scale = 1.0 / (2.0 * noise * noise * left);
                for l in 0..LANES {
                    let off = |i: usize, y: f64| z[i * LANES + l] - y;
                    for (k, (w, g)) in w.iter_mut().zip(&self.about_means).enumerate() {
                        let y = &target[k * d..(k + 1) * d];
                        let square: f64 = y.iter().enumerate().map(|(i, y)| off(i, *y) * off(i, *y)).sum();
                        *w = g - square * scale;
                    }
                    let largest = w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    enter!(chain.level, S => for w in w.iter_mut() { *w = S::exp(*w - largest) });
                    let mut rest = u[l] * w.iter().sum::<f64>();
                    let mut chosen = m - 1;
                    for (k, w) in w.iter().enumerate() {
                        rest -= w;
                        if rest < 0.0 {
                            chosen = k;
                            break;
                        }
                    }
                    for i in 0..d {
                        let (y, at) = (target[chosen * d + i], i * LANES + l);
                        z[at] += share * (y - z[at]) + deviation * xi[at];
                        let line = first[i] + (last[i] - first[i]) * (chain.time(j) / end);
                        now[at] = if j == chain.steps { self.target[chosen * d + i] } else { line + z[at] };
                    }
                }
            }
        });
        let evaluations = context.paths() as f64 * chain.steps as f64;
        Ok(Sampled {
            paths,
            log_weights,
            log_evidence: 0.0,
            evaluations,
            acceptance: f64::NAN,
            resamplings: 0.0,
            duration: f64::NAN,
        })
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&SOURCE, &mut self.source)?;
        walk.replicated(&TARGET, &mut self.target)?;
        walk.replicated(&POTENTIAL, &mut self.potential)?;
        walk.replicated(&ABOUT_MEANS, &mut self.about_means)?;
        walk.scalar(&ERROR, (&mut self.error).into())
    }

    fn training(&self) -> (f64, f64) {
        (if self.potential.is_empty() { 0.0 } else { 1.0 }, self.error)
    }

    fn has_evidence(&self) -> bool {
        false
    }
}

const SOURCE: Name = Name {
    name: "source_points",
    units: "1",
    meaning: "points where paths start, coordinate after coordinate",
    axes: &["source_value"],
};
const TARGET: Name = Name {
    name: "target_points",
    units: "1",
    meaning: "points where paths end, coordinate after coordinate",
    axes: &["target_value"],
};
const POTENTIAL: Name = Name {
    name: "target_potential",
    units: "1",
    meaning: "potential of the target's points over epsilon, with the logarithm of their weight",
    axes: &["target_point"],
};
const ABOUT_MEANS: Name = Name {
    name: "centred_target_potential",
    units: "1",
    meaning: "the same between points about the mean of their set",
    axes: &["target_point"],
};
const ERROR: Name =
    Name { name: "marginal_error", units: "1", meaning: "error of the target marginal of the coupling", axes: &[] };
