//! Rejection sampling: a path of the chain is kept with probability e^{−J} (reactive paths: J = 0 or ∞).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::importance;
use super::{Finding, Method, Population};
use crate::error::{Error, Result};
use crate::math::elementary::exp;
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES, Other};
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::Guide;
use crate::state::Walk;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
}

pub struct Rejection;

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<Rejection, Finding> {
        let functional = |o: &Other| matches!(o, Other::Functional { .. });
        if chain.others.iter().flatten().any(functional) {
            let message = "rejection needs a cost that is nowhere negative; a running functional may be".to_string();
            return Err(("name".into(), message));
        }
        Ok(Rejection)
    }
}

impl Method for Rejection {
    fn train(&mut self, _context: &Context, _round: u64) -> Result<bool> {
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let mut sampled = importance::sample(context, &Guide::default(), Stream::PathsNoise, replicate)?;
        let first = context.mine().start;
        let mut largest = f64::NEG_INFINITY;
        for (b, weights) in sampled.log_weights.chunks_exact_mut(LANES).enumerate() {
            let mut u = [0.0; LANES];
            context.random.uniforms(Stream::PathsAccept, replicate, 0, first + b, &mut u);
            for (w, u) in weights.iter_mut().zip(u) {
                largest = largest.max(*w);
                if !w.is_nan() {
                    *w = if u < exp(*w) { 0.0 } else { f64::NEG_INFINITY };
                }
            }
        }
        // Normalised observations may have a density above 1.
        let largest = context.ranks.max(largest);
        if largest > 1e-12 {
            let message = format!("a path has the likelihood e^{largest:.3}, above 1: rejection cannot use it");
            return Err(Error::Numerical { step: context.step, message });
        }
        Ok(sampled)
    }

    fn state(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }
}
