//! From clouds to what guides paths: the entropic transports between them.

use std::sync::Arc;

use super::guide::{Clouds, Step, Transport};
use super::{DensityParticles, each, turned};
use crate::solvers::paths::chain::{Chain, Quadratic};
use crate::solvers::paths::ensemble::Context;
use crate::solvers::paths::entropic::{Until, sinkhorn};
use crate::solvers::paths::guide::Guide;

/// Sinkhorn's iterations between two clouds: any potentials make an exact guide.
const PLAN: Until = Until { tolerance: 1e-3, iterations: 400 };

impl DensityParticles {
    /// The chain's means from the cloud before cloud `k` (or from the point where all start), [coordinate][point], and the
    /// transition into it.
    fn means(&self, chain: &Chain, k: usize) -> (Vec<f64>, usize) {
        let (j, from) = (self.first + k, if k > 0 { &self.clouds[k - 1] } else { &chain.start.mean });
        let mut means = vec![0.0; from.len()];
        chain.prior.mean(chain.time(j - 1), chain.time_step, from, &mut means);
        (means, j)
    }

    /// The variance that transports into cloud `k` are made with.
    fn width(&self, chain: &Chain, k: usize) -> f64 {
        self.curve(chain).variance(self.first + k) + self.bandwidths[k] * self.bandwidths[k]
    }

    /// The potentials of the entropic transports into the clouds and of the earlier clouds' means into themselves. Collective.
    pub(super) fn plan(&mut self, context: &Context) {
        let (chain, d) = (context.chain, context.chain.dimension);
        self.potentials = each(context, self.clouds.len(), 2 * self.particles, |k| {
            let mut potentials = vec![0.0; 2 * self.particles];
            if self.first + k > 0 {
                let scale = 0.5 / self.width(chain, k);
                let (x, y) = (turned(&self.means(chain, k).0, d), turned(&self.clouds[k], d));
                let potential =
                    |y: &[f64]| sinkhorn(chain.level, &x, y, d, scale, PLAN, &|| Ok(())).expect("nothing stops it").g;
                let (across, within) = (potential(&y), potential(&x));
                potentials[..across.len()].copy_from_slice(&across);
                potentials[self.particles..][..within.len()].copy_from_slice(&within);
            }
            potentials
        });
    }

    pub(super) fn made_guide(&self, chain: &Chain) -> Guide {
        let d = chain.dimension;
        let step = |k: usize| {
            let ((means, j), width) = (self.means(chain, k), self.width(chain, k));
            let (across, within) = self.potentials[k].split_at(self.particles);
            let within = within[..means.len() / d].to_vec();
            Step {
                across: Transport { points: self.clouds[k].clone(), potentials: across.to_vec() },
                within: Transport { points: means, potentials: within },
                width,
                share: self.curve(chain).variance(j) / width,
            }
        };
        let steps = (1 - self.first..self.clouds.len()).map(step).collect();
        let mut twist: Vec<Vec<Quadratic>> = (0..=chain.steps)
            .map(|j| if self.fused[j] { chain.quadratics[j].clone() } else { vec![Quadratic::default(); d] })
            .collect();
        if self.first == 0 {
            // A drawn start: the Gaussian twist that gives it the first cloud's moments.
            for (c, x) in self.clouds[0].chunks_exact(self.particles).enumerate() {
                let n = x.len() as f64;
                let mean = x.iter().sum::<f64>() / n;
                let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
                let (m, v) = (chain.start.mean[c], chain.start.deviation[c].powi(2));
                twist[0][c] = Quadratic { a: 1.0 / variance - 1.0 / v, c: mean / variance - m / v, d: 0.0 };
            }
        }
        let clouds = Clouds::new(chain, steps, self.fused.clone());
        let clouds = Arc::new(clouds);
        Guide { twist: Some(Arc::new(twist)), bump: Some(clouds.clone()), control: Some(clouds), ..Guide::default() }
    }
}
