//! Importance sampling on paths: the chain, or the chain guided by the quadratic twist of its linear part.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Method, Population};
use crate::error::Result;
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::collectives::Blocks;
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::{Guide, Scratch};
use crate::state::Walk;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
    /// What guides the paths.
    #[serde(default)]
    pub twist: Twist,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Twist {
    /// Nothing: the chain itself.
    #[default]
    None,
    /// The twist that is exact for the linear part of the drift and the observations.
    Linear,
}

pub struct Importance {
    guide: Guide,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<Importance, Finding> {
        let guide = match self.twist {
            Twist::None => Guide::default(),
            Twist::Linear => Guide::linear(chain),
        };
        Ok(Importance { guide })
    }
}

/// A replicate of guided paths without resampling.
pub fn sample(context: &Context, guide: &Guide, stream: Stream, step: u32) -> Result<Sampled> {
    context.check()?;
    let (chain, random) = (context.chain, context.random);
    let mine = context.mine().len();
    let mut paths = Blocks::zeros(mine, chain.block() / LANES);
    let mut log_weights = vec![0.0; mine * LANES];
    context.for_blocks(&mut paths, &mut log_weights, |block, x, weights| {
        let mut xi = vec![0.0; chain.block()];
        random.rows(stream, step, 0, block, &mut xi);
        guide.simulate(chain, &xi, x, weights, &mut Scratch::new(chain));
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

impl Method for Importance {
    fn train(&mut self, _context: &Context, _round: u64) -> Result<bool> {
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        sample(context, &self.guide, Stream::PathsNoise, replicate)
    }

    fn draws_independently(&self) -> bool {
        true
    }

    fn state(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }
}
