//! The filters of particles of parameters: steps, and moves by particle marginal Metropolis–Hastings, each on the rank and
//! thread that has the particle.

use super::{Particle, Purpose, Squared};
use crate::crew;
use crate::error::{Error, Result};
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::particles::adaptive::AdaptiveWalk;
use crate::particles::{FeynmanKac, Filter};
use crate::team::{Solo, Team};

/// Particles of parameters that a thread moves in one task, with one spare filter.
const GRAIN: usize = 8;

/// A filter with its model, at the time of the run.
pub(super) struct Running {
    pub flow: Box<dyn FeynmanKac>,
    pub filter: Filter,
}

impl Running {
    /// At `theta`, with `seeds`, after `steps` steps, in the memory of the filter in `spare` if there is one; none where
    /// the data are impossible, and the filter is back in `spare`. The filter's errors are passed on.
    fn made(
        squared: &Squared,
        theta: &[f64],
        seeds: &[(usize, u64)],
        steps: usize,
        spare: &mut Option<Filter>,
    ) -> Result<Option<Running>> {
        if squared.posed.family.log_prior(theta) == f64::NEG_INFINITY {
            return Ok(None);
        }
        let Ok(flow) = squared.posed.family.at(theta) else { return Ok(None) };
        let mut filter = spare.take().unwrap_or_else(|| Filter::new(flow.as_ref(), squared.options.clone(), &Solo));
        filter.restart();
        let mut made = Running { flow, filter };
        for _ in 0..steps {
            if !made.step(seeds)? {
                *spare = Some(made.filter);
                return Ok(None);
            }
        }
        Ok(Some(made))
    }

    /// A copy of `other` with a model of its own, in the memory of `spare`.
    pub fn copied(other: &Running, flow: Box<dyn FeynmanKac>, spare: Option<Filter>) -> Running {
        let filter = match spare {
            Some(mut filter) => {
                filter.copy_from(&other.filter);
                filter
            }
            None => other.filter.clone(),
        };
        Running { flow, filter }
    }

    /// The seed of the next step becomes the filter's.
    pub fn seed(&mut self, seeds: &[(usize, u64)]) {
        let step = self.filter.step;
        let (_, seed) = seeds.iter().rev().find(|s| s.0 <= step).expect("a seed of the first step");
        self.filter.options.seed = *seed;
    }

    /// Whether any particle explains the next observation.
    fn step(&mut self, seeds: &[(usize, u64)]) -> Result<bool> {
        self.seed(seeds);
        match self.filter.step(self.flow.as_ref(), &Solo) {
            Ok(()) => Ok(true),
            Err(_) if self.filter.is_extinct() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn log_likelihood(&self) -> f64 {
        self.filter.islands[0].log_evidence
    }
}

/// What moves made of a particle: parameters, log-likelihood, proposals accepted, and the seed of the last of them.
type Moved = (Vec<f64>, f64, f64, u64);

impl Squared {
    /// The filter of a particle at the time of the run, made again where it is not here; none where the data are impossible.
    pub(super) fn held<'a>(
        &self,
        particle: &Particle,
        held: &'a mut Option<Running>,
    ) -> Result<Option<&'a mut Running>> {
        if particle.log_likelihood == f64::NEG_INFINITY {
            return Ok(None);
        }
        if held.as_ref().is_none_or(|r| r.filter.step != self.time) {
            let mut spare = held.take().map(|r| r.filter);
            *held = Running::made(self, &particle.theta, &particle.seeds, self.time, &mut spare)?;
        }
        Ok(held.as_mut())
    }

    /// The filters of this rank make the next step; log-likelihoods of all particles. Collective.
    pub(super) fn advance(&mut self, team: &dyn Team) -> Result<Vec<f64>> {
        let first = team.split(self.particles.len()).mine().start;
        let mut filters = std::mem::take(&mut self.filters);
        let one = |i: usize, held: &mut Option<Running>| -> Result<f64> {
            let particle = &self.particles[first + i];
            let Some(running) = self.held(particle, held)? else { return Ok(f64::NEG_INFINITY) };
            Ok(if running.step(&particle.seeds)? { running.log_likelihood() } else { f64::NEG_INFINITY })
        };
        let done: Result<Vec<f64>> = crew::map(filters.iter_mut(), one).into_iter().collect();
        self.filters = filters;
        let mine = team.agree(done)?;
        Ok(team.gather(&mine))
    }

    /// Particle marginal Metropolis–Hastings of particle `j`, whose filter becomes that of the last proposal accepted;
    /// filters that are not kept are left in `spare` for the next.
    fn moved(
        &self,
        j: usize,
        walk: &AdaptiveWalk,
        held: &mut Option<Running>,
        spare: &mut Option<Filter>,
    ) -> Result<Moved> {
        let particle = &self.particles[j];
        let family = self.posed.family.as_ref();
        let mut made: Moved = (particle.theta.clone(), particle.log_likelihood, 0.0, 0);
        let posterior =
            |theta: &[f64], likelihood: f64| family.log_prior(theta) + walk.log_jacobian(theta) + likelihood;
        for m in 0..self.posed.method.parameter_moves {
            let at = self.draws(Purpose::Proposal(m), self.time, j);
            let theta = walk.propose(&made.0, &at).ok_or_else(|| Error::Numerical {
                step: self.time as u64,
                message:
                    "the particles of parameters coincide in some direction: more of them (method.parameter_particles)"
                        .into(),
            })?;
            let seed = self.number(Purpose::Filter(m), self.time, j);
            let Some(running) = Running::made(self, &theta, &[(0, seed)], self.time, spare)? else { continue };
            let likelihood = running.log_likelihood();
            let mut u = [0.0];
            at.stream(Stream::ParticlesAccept).uniforms(0, &mut u);
            if ln(u[0]) < posterior(&theta, likelihood) - posterior(&made.0, made.1) {
                *spare = held.replace(running).map(|r| r.filter);
                made = (theta, likelihood, made.2 + 1.0, seed);
            } else {
                *spare = Some(running.filter);
            }
        }
        Ok(made)
    }

    /// Moves the particles of the islands that are due. Collective.
    pub(super) fn moves(&mut self, due: &[bool], walk: &AdaptiveWalk, team: &dyn Team) -> Result<()> {
        let first = team.split(self.particles.len()).mine().start;
        let mut filters = std::mem::take(&mut self.filters);
        let one = |spare: &mut Option<Filter>, i: usize, held: &mut Option<Running>| -> Result<Option<Moved>> {
            let j = first + i;
            if due[j / self.each()] { self.moved(j, walk, held, spare).map(Some) } else { Ok(None) }
        };
        let done: Result<Vec<Option<Moved>>> =
            crew::map_in(filters.iter_mut(), GRAIN, || None, one).into_iter().collect();
        self.filters = filters;
        let done = team.agree(done)?;
        let mut packed = Vec::new();
        for (i, (theta, likelihood, accepted, seed)) in done.into_iter().enumerate().filter_map(|(i, m)| Some((i, m?)))
        {
            packed.extend([f64::from_bits((first + i) as u64), likelihood, accepted, f64::from_bits(seed)]);
            packed.extend(theta);
        }
        for one in team.gather(&packed).chunks_exact(4 + self.names.len()) {
            let particle = &mut self.particles[one[0].to_bits() as usize];
            self.accepted += one[2];
            if one[2] > 0.0 {
                particle.log_likelihood = one[1];
                particle.seeds = vec![(0, one[3].to_bits())];
                particle.theta.copy_from_slice(&one[4..]);
            }
        }
        let many = due.iter().filter(|d| **d).count() * self.each();
        let made = many as f64 * self.posed.method.parameter_moves as f64;
        self.proposed += made;
        self.work += made * (self.time * self.options.particles) as f64;
        Ok(())
    }
}
