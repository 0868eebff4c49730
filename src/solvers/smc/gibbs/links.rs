//! Chains whose parameters vary: each moves them by Metropolis–Hastings on the density of its path and the data together, then
//! draws a path under them. Chains are shared out over ranks and threads.

use super::Gibbs;
use crate::crew;
use crate::error::{Error, Result};
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::particles::adaptive::AdaptiveWalk;
use crate::particles::conditional::{self, Reference, log_complete};
use crate::particles::{Draws, Family, Options};
use crate::team::{Solo, Team};

/// The parameters of a chain and their walk.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub theta: Vec<f64>,
    pub walk: AdaptiveWalk,
    /// Proposals accepted after the warm-up.
    pub accepted: f64,
}

impl Link {
    pub fn pack(&self, to: &mut Vec<f64>) {
        for list in [&self.theta, &self.walk.mean, &self.walk.covariance] {
            to.extend(list);
        }
        to.extend([self.walk.scale, self.accepted]);
    }

    pub fn unpack(&mut self, from: &[f64]) {
        let mut rest = from;
        for list in [&mut self.theta, &mut self.walk.mean, &mut self.walk.covariance] {
            let (head, tail) = rest.split_at(list.len());
            list.copy_from_slice(head);
            rest = tail;
        }
        (self.walk.scale, self.accepted) = (rest[0], rest[1]);
    }

    pub fn width(&self) -> usize {
        2 + self.theta.len() * (2 + self.theta.len())
    }
}

impl Gibbs {
    /// The next trajectories of all chains at their own parameters, which move first. Collective.
    pub(super) fn next_links(&mut self, family: &dyn Family, team: &dyn Team) -> Result<Vec<f64>> {
        let part = team.split(self.links.len()).mine();
        let (first, width) = (part.start, self.posed.flow.horizon() * self.posed.flow.dimension());
        let mut mine: Vec<(Link, Vec<f64>)> = self.links[part.clone()]
            .iter()
            .zip(part)
            .map(|(link, c)| (link.clone(), self.trajectories.get(c * width..(c + 1) * width).unwrap_or(&[]).to_vec()))
            .collect();
        let one = |i: usize, (link, path): &mut (Link, Vec<f64>)| {
            if path.is_empty() {
                self.start(family, first + i, link, path)?;
            }
            self.iterate(family, first + i, link, path)
        };
        let done: Result<Vec<()>> = crew::map(mine.iter_mut(), one).into_iter().collect();
        team.agree(done)?;
        let mut packed = Vec::new();
        for (link, path) in &mine {
            link.pack(&mut packed);
            packed.extend(path);
        }
        let mut trajectories = Vec::new();
        let all = team.gather(&packed);
        let each = self.links[0].width() + width;
        for (link, from) in self.links.iter_mut().zip(all.chunks_exact(each)) {
            let (head, path) = from.split_at(link.width());
            link.unpack(head);
            trajectories.extend(path);
        }
        Ok(trajectories)
    }

    /// A seed of chain `c` alone for its iteration `number`.
    fn seed(&self, c: usize, number: u64) -> u64 {
        Draws::new(self.options.level, self.options.seed, Stream::ParticlesReference, 2 + c as u32).bits(0, number)
            as u64
    }

    /// One trajectory of a chain at θ, by conditional SMC along `path` or, where that is empty, by a plain filter.
    fn drawn(&self, family: &dyn Family, theta: &[f64], path: &[f64], seed: u64) -> Result<Vec<f64>> {
        let flow = family.at(theta)?;
        let (times, dimension) = (flow.horizon(), flow.dimension());
        let options = Options { islands: 1, seed, ..self.options.clone() };
        let reference = (!path.is_empty()).then(|| Reference { states: path.to_vec(), times, dimension });
        let sampling = self.posed.method.ancestor_sampling;
        Ok(conditional::trajectories(flow.as_ref(), &options, reference, sampling, &Solo)?.states)
    }

    /// Parameters from the prior and a path of a plain filter under them: the first of a hundred that explains the data.
    fn start(&self, family: &dyn Family, c: usize, link: &mut Link, path: &mut Vec<f64>) -> Result<()> {
        for attempt in 0..100u64 {
            // Addresses of attempts are those of no iteration.
            let seed = self.seed(c, 1 << 40 | attempt);
            link.theta = family.draw_prior(&Draws::new(self.options.level, seed, Stream::ParticlesParameter, 0));
            if let Ok(found) = self.drawn(family, &link.theta, &[], seed) {
                *path = found;
                link.walk.start(&link.theta);
                return Ok(());
            }
        }
        let message = "none of 100 draws of the prior explains the data: a prior nearer to them, or more particles";
        Err(Error::Numerical { step: 0, message: message.into() })
    }

    /// log of prior, path and data together in the walk's coordinates; −∞ where θ is not allowed.
    fn log_posterior(&self, family: &dyn Family, walk: &AdaptiveWalk, theta: &[f64], path: &[f64]) -> f64 {
        let prior = family.log_prior(theta);
        if prior == f64::NEG_INFINITY {
            return prior;
        }
        let Ok(flow) = family.at(theta) else { return f64::NEG_INFINITY };
        let complete = log_complete(flow.as_ref(), path, self.options.level).unwrap_or(f64::NEG_INFINITY);
        prior + walk.log_jacobian(theta) + complete
    }

    /// Moves the parameters of chain `c` given its path, then draws a path given them.
    fn iterate(&self, family: &dyn Family, c: usize, link: &mut Link, path: &mut Vec<f64>) -> Result<()> {
        let (k, method) = (self.iteration, &self.posed.method);
        let seed = self.seed(c, k);
        let mut present = self.log_posterior(family, &link.walk, &link.theta, path);
        if present.is_nan() {
            // Nothing would ever be accepted.
            let message = "the density of the path is no number (a noise of deviation 0), and parameters cannot move given it: use \
                           \"pmmh\"";
            return Err(Error::Numerical { step: k, message: message.into() });
        }
        for m in 0..method.parameter_moves {
            let at = Draws::new(self.options.level, seed, Stream::ParticlesParameter, m as u32);
            let theta = link.walk.propose(&link.theta, &at).ok_or_else(|| Error::Numerical {
                step: k,
                message: format!("the covariance of chain {c} is singular: a longer warm-up, or fewer parameters"),
            })?;
            let proposed = self.log_posterior(family, &link.walk, &theta, path);
            let mut u = [0.0];
            at.stream(Stream::ParticlesAccept).uniforms(0, &mut u);
            let accepted = ln(u[0]) < proposed - present;
            if accepted {
                (link.theta, present) = (theta, proposed);
            }
            if k < method.warm_up {
                link.walk.adapt(k * method.parameter_moves + m, accepted, &link.theta);
            } else {
                link.accepted += f64::from(u8::from(accepted));
            }
        }
        *path = self.drawn(family, &link.theta, path, seed)?;
        Ok(())
    }
}
