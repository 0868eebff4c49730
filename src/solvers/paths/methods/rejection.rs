//! Rejection sampling: a path of the chain is kept with probability e^{−J}/M (reactive paths: J = 0 or ∞).
//!
//! M, the largest value of e^{−J}, is 1 where each coordinate is observed once at a time, and Π 1/(s√2π) where observations
//! count with their normalised density. The evidence is M times the share that is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::importance;
use super::{Finding, Method, Population};
use crate::error::Result;
use crate::math::elementary::exp;
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES, Other, Quadratic};
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::Guide;
use crate::state::Walk;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
}

pub struct Rejection {
    /// ln M.
    peak: f64,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<Rejection, Finding> {
        let functional = |o: &Other| matches!(o, Other::Functional { .. });
        if chain.others.iter().flatten().any(functional) {
            let message =
                "rejection needs the least cost of a path, which is not known of a running functional".to_string();
            return Err(("name".into(), message));
        }
        // Balls add nothing: their cost is 0 or ∞.
        Ok(Rejection { peak: chain.quadratics.iter().flatten().map(Quadratic::peak).sum() })
    }
}

impl Method for Rejection {
    fn train(&mut self, _context: &Context, _round: u64) -> Result<bool> {
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let mut sampled = importance::sample(context, &Guide::default(), Stream::PathsNoise, replicate)?;
        let first = context.mine().start;
        for (b, weights) in sampled.log_weights.chunks_exact_mut(LANES).enumerate() {
            let mut u = [0.0; LANES];
            context.random.uniforms(Stream::PathsAccept, replicate, 0, first + b, &mut u);
            for (w, u) in weights.iter_mut().zip(u) {
                if !w.is_nan() {
                    *w = if u < exp(*w - self.peak) { 0.0 } else { f64::NEG_INFINITY };
                }
            }
        }
        sampled.log_evidence = self.peak;
        Ok(sampled)
    }

    fn state(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }
}
