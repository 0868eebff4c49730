//! Sequential Monte Carlo along time, bootstrap or twisted [Guarniero2017; Heng2020].
//!
//! Twists: none; linear (exact for linear drifts and observations); learned: log ψ_j = the linear twist plus a bump, a
//! sum of Gaussian features fitted backwards in time by least squares on
//!
//!     r_j(x) + log E[ψ_{j+1}(X_{j+1}) | X_j = x],
//!
//! the expectation by Gauss–Hermite nodes of the kernel that the quadratic part has twisted already. A pass draws paths
//! with the present twist, weighs them, and fits on them and on broadened copies; quadratic: log ψ_j a full quadratic
//! form, fitted in the same way with exact expectations ([`coupled`](crate::solvers::paths::coupled)); grid: the same
//! recursion on all points of a grid ([`tabulated`](crate::solvers::paths::tabulated)).

use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Method, Population, importance};
use crate::error::Result;
use crate::math::rng::Stream;
use crate::solvers::paths::bumps::{Features, Fit, fit};
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::collectives::Blocks;
use crate::solvers::paths::coupled::fit::{Fitting, NUMBERS, PASSES};
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::{Bump, Guide, Scratch, linear_twist};
use crate::solvers::paths::tabulated::{Grid, Table};
use crate::state::{Name, Walk};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
    /// What looks ahead.
    #[serde(default)]
    pub twist: TwistInput,
    /// Resample where the effective sample size falls below this share of the particles; 0: never.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    pub resample_below: f64,
}

fn half() -> f64 {
    0.5
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TwistInput {
    /// Nothing: the bootstrap filter.
    None {},
    /// The twist that is exact for the linear part of the drift and the observations.
    Linear {},
    /// The linear twist plus Gaussian features fitted backwards in time.
    Learned {
        /// Lowest value of each coordinate that features cover.
        low: Vec<f64>,
        /// Highest value of each coordinate.
        high: Vec<f64>,
        /// Features per coordinate.
        #[serde(default = "many")]
        #[schemars(range(min = 2, max = 64))]
        features: usize,
        /// Passes of drawing and fitting.
        #[serde(default = "two")]
        #[schemars(range(min = 1, max = 20))]
        passes: u64,
        /// Nodes of the Gauss–Hermite rule per coordinate.
        #[serde(default = "nine")]
        #[schemars(range(min = 3, max = 15))]
        nodes: usize,
        /// Paths that a pass fits on; rounded up to a multiple of 64.
        #[serde(default = "some")]
        #[schemars(range(min = 64))]
        training_paths: usize,
    },
    /// A quadratic form that couples the coordinates, fitted backwards in time.
    Quadratic {
        /// Passes of drawing and fitting.
        #[serde(default = "two")]
        #[schemars(range(min = 1, max = 20))]
        passes: u64,
        /// Paths that a pass fits on; rounded up to a multiple of 64.
        #[serde(default = "some")]
        #[schemars(range(min = 64))]
        training_paths: usize,
    },
    /// The optimal twist on a grid of one or two coordinates.
    Grid {
        /// Lowest value of each coordinate.
        low: Vec<f64>,
        /// Highest value of each coordinate.
        high: Vec<f64>,
        /// Points per coordinate, at most 1.25 deviations of a step's noise apart.
        points: Vec<usize>,
    },
}

impl Default for TwistInput {
    fn default() -> Self {
        TwistInput::Linear {}
    }
}

fn many() -> usize {
    25
}

fn two() -> u64 {
    2
}

fn nine() -> usize {
    9
}

fn some() -> usize {
    2048
}

pub struct TwistedSmc {
    guide: Guide,
    resample_below: f64,
    learned: Option<Learned>,
    quadratic: Option<Fitting>,
    grid: Option<Gridded>,
}

struct Gridded {
    grid: Grid,
    /// The table follows from the chain alone: it is made where it is first needed, and is no state.
    table: OnceLock<Arc<Table>>,
    /// What the table says of the evidence; NaN before the training or where the start is drawn.
    log_evidence: f64,
}

impl Gridded {
    fn table(&self, chain: &Chain) -> Arc<Table> {
        self.table.get_or_init(|| Arc::new(self.grid.table(chain))).clone()
    }
}

struct Learned {
    features: Arc<Features>,
    /// [times][features]: coefficients of the bump.
    coefficients: Vec<f64>,
    passes: u64,
    done: u64,
    nodes: usize,
    blocks: usize,
    /// Root mean square of the last pass's residuals over that of its targets.
    residual: f64,
    evaluations: f64,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<TwistedSmc, Finding> {
        let below = |(key, message): (&str, String)| (format!("twist.{key}"), message);
        let guide = match self.twist {
            TwistInput::None {} => Guide::default(),
            TwistInput::Linear {} => Guide::linear(chain),
            // Observations are fused exactly, the table holds the rest.
            TwistInput::Grid { .. } => Guide::twisted(chain.quadratics.clone()),
            _ => Guide::twisted(linear_twist(chain)),
        };
        let quadratic = match self.twist {
            TwistInput::Quadratic { passes, training_paths } => {
                Some(Fitting::new(chain, passes, training_paths).map_err(below)?)
            }
            _ => None,
        };
        let grid = match &self.twist {
            TwistInput::Grid { low, high, points } => {
                let grid = Grid::new(low, high, points, chain).map_err(below)?;
                Some(Gridded { grid, table: OnceLock::new(), log_evidence: f64::NAN })
            }
            _ => None,
        };
        let learned = match &self.twist {
            TwistInput::Learned { low, high, features, passes, nodes, training_paths } => {
                let features = Features::new(low, high, *features, chain).map_err(below)?;
                if !chain.constant_noise() {
                    let message = "learned twists need noise that does not depend on the state".to_string();
                    return Err(("twist.kind".into(), message));
                }
                let coefficients = vec![0.0; (chain.steps + 1) * features.held()];
                Some(Learned {
                    features: Arc::new(features),
                    coefficients,
                    passes: *passes,
                    done: 0,
                    nodes: *nodes,
                    blocks: training_paths.div_ceil(LANES),
                    residual: f64::NAN,
                    evaluations: 0.0,
                })
            }
            _ => None,
        };
        Ok(TwistedSmc { guide, resample_below: self.resample_below, learned, quadratic, grid })
    }
}

/// The bump of fitted coefficients.
struct Fitted {
    features: Arc<Features>,
    coefficients: Vec<f64>,
}

impl Bump for Fitted {
    fn add(&self, j: usize, x: &[f64], value: &mut [f64], gradient: Option<&mut [f64]>) {
        let held = self.features.held();
        self.features.combine(&self.coefficients[j * held..(j + 1) * held], x, value, gradient);
    }
}

impl TwistedSmc {
    fn guide(&self, chain: &Chain) -> Guide {
        if let Some(guide) = self.quadratic.as_ref().and_then(|q| q.guide(chain)) {
            return guide;
        }
        let mut guide = self.guide.clone();
        if let Some(grid) = &self.grid {
            guide.bump = Some(grid.table(chain));
        }
        if let Some(learned) = self.learned.as_ref().filter(|l| l.done > 0) {
            let fitted = Fitted { features: learned.features.clone(), coefficients: learned.coefficients.clone() };
            guide.bump = Some(Arc::new(fitted));
        }
        guide
    }
}

/// A population along time: guided transitions, weights, resampling of whole histories.
pub fn filter(context: &Context, guide: &Guide, below: f64, stream: Stream, step: u32) -> Result<Sampled> {
    let (chain, random) = (context.chain, context.random);
    let (mine, rows) = (context.mine().len(), chain.rows());
    let mut paths = Blocks::zeros(mine, chain.block() / LANES);
    let mut log_weights = vec![0.0; mine * LANES];
    let (mut log_evidence, mut resamplings) = (0.0, 0.0);
    // Without a look ahead the weights are those of the present; with one, of what it promises.
    let at_once = !guide.is_twisted();
    for j in 0..=chain.steps {
        if j % 16 == 0 {
            context.check()?;
        }
        context.for_blocks(&mut paths, &mut log_weights, |block, x, weights| {
            let mut xi = vec![0.0; rows];
            random.rows(stream, step, j * chain.dimension, block, &mut xi);
            let mut scratch = Scratch::new(chain);
            let (done, rest) = x.split_at_mut(j * rows);
            let before = if j == 0 { &[] } else { &done[(j - 1) * rows..] };
            if j > 0 && !at_once {
                guide.settle(chain, j - 1, before, weights);
            }
            let now = &mut rest[..rows];
            guide.advance(chain, j, before, &xi, now, weights, &mut scratch);
            if at_once || j == chain.steps {
                guide.settle(chain, j, now, weights);
            }
        });
        if below == 0.0 || j == chain.steps {
            continue;
        }
        let weighed = context.weigh(&log_weights, "in a transition")?;
        if weighed.sum == 0.0 {
            // Every path has met an impossible cost: the replicate's evidence is 0.
            break;
        }
        if weighed.ess() < below * context.paths() as f64 {
            log_evidence += weighed.log_mean(context.paths());
            let decision = context.decision(Stream::PathsResample, step, j as u64);
            let used = (j + 1) * chain.dimension;
            context.ranks.resample(context.blocks, &log_weights, decision, used, &mut paths);
            log_weights.fill(0.0);
            resamplings += 1.0;
        }
    }
    let evaluations = context.paths() as f64 * chain.steps as f64;
    Ok(Sampled { paths, log_weights, log_evidence, evaluations, acceptance: f64::NAN, resamplings, duration: f64::NAN })
}

const COEFFICIENTS: Name = Name {
    name: "twist_coefficients",
    units: "1",
    meaning: "coefficients of the learned part of the twist, features after features of one time, and its bounds there",
    axes: &["twist_coefficient"],
};
const GRID_EVIDENCE: Name =
    Name { name: "grid_log_evidence", units: "1", meaning: "log-evidence of the recursion on the grid", axes: &[] };

impl Method for TwistedSmc {
    fn train(&mut self, context: &Context, round: u64) -> Result<bool> {
        let guide = self.guide(context.chain);
        if let Some(grid) = &mut self.grid {
            grid.log_evidence = grid.table(context.chain).log_evidence.unwrap_or(f64::NAN);
            return Ok(true);
        }
        if let Some(quadratic) = &mut self.quadratic {
            return quadratic.pass(context, &guide, round as u32);
        }
        let Some(learned) = &mut self.learned else { return Ok(true) };
        if learned.done >= learned.passes {
            return Ok(true);
        }
        let training = Context { blocks: learned.blocks, ..*context };
        let drawn = importance::sample(&training, &guide, Stream::PathsTrain, round as u32)?;
        let quadratic = self.guide.twist.as_ref().expect("learned twists start from the linear one");
        let made: Fit = fit(&training, &learned.features, quadratic, &drawn, learned.nodes, round as u32)?;
        learned.coefficients = made.coefficients;
        learned.residual = made.residual;
        learned.evaluations += drawn.evaluations + made.evaluations;
        learned.done += 1;
        Ok(learned.done >= learned.passes)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        filter(context, &self.guide(context.chain), self.resample_below, Stream::PathsNoise, replicate)
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        if let Some(learned) = &mut self.learned {
            walk.replicated(&COEFFICIENTS, &mut learned.coefficients)?;
            walk.scalar(&PASSES, (&mut learned.done).into())?;
            let mut numbers = vec![learned.residual, learned.evaluations];
            walk.scalar(&NUMBERS, (&mut numbers).into())?;
            (learned.residual, learned.evaluations) = (numbers[0], numbers[1]);
        }
        if let Some(grid) = &mut self.grid {
            walk.scalar(&GRID_EVIDENCE, (&mut grid.log_evidence).into())?;
        }
        self.quadratic.as_mut().map_or(Ok(()), |q| q.state(walk))
    }

    fn training_evaluations(&self) -> f64 {
        let grid = self.grid.as_ref().map_or(0.0, |g| g.grid.evaluations());
        let quadratic = self.quadratic.as_ref().map_or(0.0, |q| q.evaluations);
        self.learned.as_ref().map_or(grid + quadratic, |l| l.evaluations)
    }

    fn other_log_evidence(&self) -> Option<(f64, &'static str)> {
        let known = self.grid.as_ref()?.log_evidence;
        (!known.is_nan()).then_some((known, "of the recursion on the grid, with the errors of its points"))
    }

    fn values_held(&self) -> usize {
        self.grid.as_ref().map_or(0, |g| g.grid.values())
    }

    fn training(&self) -> (f64, f64) {
        if let Some(q) = &self.quadratic {
            return (q.share_done(), q.residual);
        }
        self.learned.as_ref().map_or((f64::NAN, f64::NAN), |l| (l.done as f64 / l.passes as f64, l.residual))
    }

    fn notes(&self) -> Vec<String> {
        let Some(learned) = &self.learned else { return Vec::new() };
        vec![format!("learned twist: {} features a time, {} nodes", learned.features.count(), learned.nodes)]
    }
}
