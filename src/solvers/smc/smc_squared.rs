//! SMC² [ChopinJacobPapaspiliopoulos2013] as a [`Solver`]: particles of parameters, each with a filter of its own; one step
//! is one observation. A particle's weight grows by its filter's estimate of the likelihood of the observation; where the
//! effective sample size of an island falls, its particles are resampled and moved by particle marginal Metropolis–Hastings
//! on all data so far.
//!
//! Numbers of the parameters are the same on every rank; filters are shared out. A filter is its parameters and the seeds
//! that its steps were made with: a rank that needs one it does not hold, and a run that goes on, make its steps again, with
//! the same bits. So no filter travels, and none is in checkpoints.

mod filters;
mod forecast;
mod offspring;

use std::path::Path;

use filters::Running;
use forecast::Forecast;

use super::prediction::Ahead;
use super::setup::ChainPosed;
use super::walk::walk_data;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::math::draws::LARGEST_DRAW;
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::adaptive::AdaptiveWalk;
use crate::particles::estimate::{Estimated, LARGEST_SPREAD, evidence, island_weights, over_islands};
use crate::particles::{Draws, Options};
use crate::solvers::{ErrorBar, Number, Outcome, Outlook, Solver, Status};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::Team;

pub struct Squared {
    posed: ChainPosed,
    /// Of one filter; the seed is its own.
    options: Options,
    seed: u64,
    rank: usize,
    /// Observations seen.
    time: usize,
    /// Of every particle of parameters, island after island.
    particles: Vec<Particle>,
    /// log Ẑ of each island.
    evidences: Vec<f64>,
    /// Whether each island was resampled at the last step, and its effective sample size over its particles.
    resampled: Vec<f64>,
    ess: Vec<f64>,
    /// Proposals made and accepted so far, steps of particles of all filters.
    proposed: f64,
    accepted: f64,
    work: f64,
    /// Filters of this rank's particles; none where it must be made again.
    filters: Vec<Option<Running>>,
    names: Vec<Name>,
    means: Vec<Name>,
    deviations: Vec<Name>,
    found: Vec<[Estimated; 2]>,
    /// What was said of the last observation before it was seen, and of those after the data, where asked for.
    ahead: Option<Ahead>,
    pub(super) forecast: Option<Forecast>,
    notes: Vec<String>,
}

/// Parameters with what is known of their filter.
#[derive(Debug, Clone, PartialEq)]
struct Particle {
    theta: Vec<f64>,
    /// Since the island was last resampled.
    log_weight: f64,
    /// log Ẑ of the data so far; −∞ where no particle explains them.
    log_likelihood: f64,
    /// (step, seed): the filter's draws from this step on.
    seeds: Vec<(usize, u64)>,
}

/// What numbers are drawn for, at a time and for a particle.
#[derive(Clone, Copy)]
enum Purpose {
    Start,
    Copy,
    Proposal(u64),
    Filter(u64),
    /// Observations after the data.
    Forecast,
}

const fn plain(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

impl Squared {
    pub fn new(input: &Input, posed: ChainPosed, level: Level, team: &dyn Team) -> Squared {
        let method = &posed.method;
        let options = Options {
            scheme: method.resampling,
            threshold: method.ess_threshold,
            sort: posed.sort,
            ..Options::new(method.particles, 1, 0, level)
        };
        let parameters = posed.family.parameters();
        let named = |prefix: &str, of: &str, axes: &[&str]| -> Vec<Name> {
            let one = |p: &crate::particles::Parameter| {
                Name::kept(&format!("{prefix}{}", p.name), "1", &format!("{of} {}", p.name), axes)
            };
            parameters.iter().map(one).collect()
        };
        let (islands, all) = (method.islands, method.islands * method.parameter_particles);
        let mut made = Squared {
            options,
            seed: input.run.seed,
            rank: team.rank(),
            time: 0,
            particles: Vec::new(),
            evidences: vec![0.0; islands],
            resampled: vec![0.0; islands],
            ess: vec![1.0; islands],
            proposed: 0.0,
            accepted: 0.0,
            work: 0.0,
            filters: team.split(all).mine().map(|_| None).collect(),
            names: named("", "parameter", &["island", "particle"]),
            means: named("mean_", "posterior mean of", &[]),
            deviations: named("sd_", "posterior standard deviation of", &[]),
            found: Vec::new(),
            ahead: posed.free.as_ref().map(|free| Ahead::new(free, &[])),
            forecast: posed.free.as_ref().and_then(Forecast::new),
            notes: Vec::new(),
            posed,
        };
        let start = |j: usize| Particle {
            theta: made.posed.family.draw_prior(&made.draws(Purpose::Start, 0, j)),
            log_weight: 0.0,
            log_likelihood: 0.0,
            seeds: vec![(0, made.number(Purpose::Start, 0, j))],
        };
        made.particles = (0..all).map(start).collect();
        made
    }

    /// A seed of its own for every purpose, time and particle: Philox of the run's.
    fn number(&self, purpose: Purpose, time: usize, particle: usize) -> u64 {
        let kind = match purpose {
            Purpose::Start => 0,
            Purpose::Copy => 1,
            Purpose::Proposal(m) => 2 + 2 * m as u32,
            Purpose::Filter(m) => 3 + 2 * m as u32,
            Purpose::Forecast => LARGEST_DRAW - 1,
        };
        Draws::new(self.options.level, self.seed, Stream::ParticlesReference, time as u32).bits(kind, particle as u64)
            as u64
    }

    fn draws(&self, purpose: Purpose, time: usize, particle: usize) -> Draws {
        let seed = self.number(purpose, time, particle);
        Draws::new(self.options.level, seed, Stream::ParticlesParameter, 0)
    }

    fn each(&self) -> usize {
        self.posed.method.parameter_particles
    }

    /// Normalised weights of the particles of an island.
    fn weights(&self, island: usize) -> Vec<f64> {
        let logs: Vec<f64> = self.island(island).iter().map(|p| p.log_weight).collect();
        island_weights(&logs)
    }

    fn island(&self, island: usize) -> &[Particle] {
        &self.particles[island * self.each()..(island + 1) * self.each()]
    }

    /// Weights, evidence and effective sample sizes with the new log-likelihoods.
    fn weigh(&mut self, now: &[f64]) -> Result<()> {
        for island in 0..self.evidences.len() {
            let before = self.weights(island);
            let range = island * self.each()..(island + 1) * self.each();
            let gains: Vec<f64> = range
                .clone()
                .map(|j| match now[j] {
                    f64::NEG_INFINITY => f64::NEG_INFINITY,
                    x => x - self.particles[j].log_likelihood,
                })
                .collect();
            let most = gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mean: f64 =
                gains.iter().zip(&before).map(|(g, w)| if *w > 0.0 { w * exp(g - most) } else { 0.0 }).sum();
            if most == f64::NEG_INFINITY || mean == 0.0 {
                let message = format!(
                    "none of the {} parameters of island {island} explains this observation: more of them \
                     (method.parameter_particles), more particles, or priors nearer to the data",
                    self.each()
                );
                return Err(Error::Numerical { step: self.time as u64, message });
            }
            self.evidences[island] += most + ln(mean);
            for (j, gain) in range.zip(gains) {
                self.particles[j].log_weight += gain;
                self.particles[j].log_likelihood = now[j];
            }
            let squares: f64 = self.weights(island).iter().map(|w| w * w).sum();
            self.ess[island] = 1.0 / squares / self.each() as f64;
        }
        Ok(())
    }

    /// The walk that proposals are made by: the covariance of all particles, islands weighted by their evidence.
    fn walk(&self) -> AdaptiveWalk {
        let mut walk = AdaptiveWalk::new(&self.posed.family.parameters());
        let d = walk.dimension();
        let mut points: Vec<(f64, Vec<f64>)> = Vec::new();
        for (island, share) in island_weights(&self.evidences).into_iter().enumerate() {
            for (w, p) in self.weights(island).into_iter().zip(self.island(island)).filter(|(w, _)| *w > 0.0) {
                points.push((share * w, walk.coordinates(&p.theta)));
            }
        }
        for c in 0..d {
            walk.mean[c] = points.iter().map(|(w, x)| w * x[c]).sum();
        }
        for a in 0..d {
            for b in 0..d {
                let product = |(w, x): &(f64, Vec<f64>)| w * (x[a] - walk.mean[a]) * (x[b] - walk.mean[b]);
                walk.covariance[a * d + b] = points.iter().map(product).sum();
            }
        }
        walk
    }

    /// Mean and standard deviation of every parameter, with errors between islands.
    fn moments(&self) -> Vec<[Estimated; 2]> {
        let shares = island_weights(&self.evidences);
        let weights: Vec<Vec<f64>> = (0..shares.len()).map(|i| self.weights(i)).collect();
        let of = |f: &dyn Fn(&[f64]) -> f64| -> Estimated {
            let one = |(i, w): (usize, &Vec<f64>)| -> f64 {
                w.iter().zip(self.island(i)).filter(|(w, _)| **w > 0.0).map(|(w, p)| w * f(&p.theta)).sum()
            };
            over_islands(&weights.iter().enumerate().map(one).collect::<Vec<_>>(), &shares)
        };
        let one = |c: usize| {
            let mean = of(&|theta| theta[c]);
            let variance = of(&|theta| (theta[c] - mean.value) * (theta[c] - mean.value));
            let sd = variance.value.sqrt();
            [mean, Estimated { value: sd, standard_error: variance.standard_error / (2.0 * sd) }]
        };
        (0..self.names.len()).map(one).collect()
    }
}

impl Solver for Squared {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        self.look_ahead(team)?;
        let now = self.advance(team)?;
        self.weigh(&now)?;
        self.time += 1;
        self.work += (self.particles.len() * self.options.particles) as f64;
        let due: Vec<bool> = self.ess.iter().map(|e| *e < self.posed.method.ess_threshold).collect();
        self.resampled = due.iter().map(|d| f64::from(u8::from(*d))).collect();
        // After the last observation the weights say all.
        if due.contains(&true) && !self.reached() {
            let walk = self.walk();
            for island in (0..due.len()).filter(|i| due[*i]) {
                self.resample(island, team);
            }
            self.moves(&due, &walk, team)?;
        }
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        self.time == self.posed.times
    }

    fn measure(&mut self, _team: &dyn Team) -> Result<()> {
        self.found = self.moments();
        Ok(())
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let list = |name, meaning, axes| Name { axes, ..plain(name, meaning) };
        let (d, n) = (self.names.len(), self.particles.len());
        let mut numbers = [self.time as f64, self.proposed, self.accepted, self.work];
        let name = list("run", "observations seen, proposals made and accepted, particle-steps", &["number"]);
        walk.scalar(&name, numbers.as_mut_slice().into())?;
        self.time = numbers[0] as usize;
        (self.proposed, self.accepted, self.work) = (numbers[1], numbers[2], numbers[3]);
        let axes = &["island"];
        walk.scalar(&list("island_log_evidence", "log-evidence of each island", axes), (&mut self.evidences).into())?;
        walk.scalar(&list("island_ess", "effective sample size over the particles", axes), (&mut self.ess).into())?;
        walk.scalar(&list("island_resampled", "1 where resampled last", axes), (&mut self.resampled).into())?;
        let width = d + 2;
        let row = |p: &Particle| -> Vec<f64> { [&p.theta[..], &[p.log_weight, p.log_likelihood]].concat() };
        let mut rows: Vec<f64> = self.particles.iter().flat_map(row).collect();
        walk.replicated(
            &list("parameters", "parameters, log-weight, log-likelihood of each particle", &["parameter_entry"]),
            &mut rows,
        )?;
        // Seeds in halves, which f64 holds exactly.
        let halves = |(j, p): (usize, &Particle)| -> Vec<f64> {
            let one = |(step, seed): &(usize, u64)| [j as f64, *step as f64, (seed >> 32) as f64, *seed as u32 as f64];
            p.seeds.iter().flat_map(one).collect()
        };
        let mut seeds: Vec<f64> = self.particles.iter().enumerate().flat_map(halves).collect();
        let name = list("seeds", "particle, first step, seed in two halves of 32 bits", &["seed_entry"]);
        walk.replicated(&name, &mut seeds)?;
        assert_eq!(rows.len(), n * width, "parameters of every particle");
        for (p, row) in self.particles.iter_mut().zip(rows.chunks_exact(width)) {
            p.theta.copy_from_slice(&row[..d]);
            (p.log_weight, p.log_likelihood) = (row[d], row[d + 1]);
            p.seeds.clear();
        }
        for s in seeds.chunks_exact(4) {
            self.particles[s[0] as usize].seeds.push((s[1] as usize, (s[2] as u64) << 32 | s[3] as u64));
        }
        self.ahead.as_mut().map_or(Ok(()), |ahead| ahead.walk(walk))
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk_data(&self.posed.data, self.rank, walk)
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let found = evidence(&self.evidences);
        let r = self.evidences.len() as f64;
        let time = self.time.checked_sub(1).map_or(f64::NAN, |k| self.posed.data.times[k]);
        let mut record = vec![
            (plain("time", "time of the observation"), time),
            (
                plain("ess", "effective sample size of the parameters over their number, mean over islands"),
                self.ess.iter().sum::<f64>() / r,
            ),
            (plain("log_evidence", "log of the mean over islands of the evidence of the data so far"), found.log),
            (plain("evidence_spread", "standard deviation of the islands' evidence over its mean"), found.spread),
            (
                plain("resampled", "share of islands that were resampled and moved after this step"),
                self.resampled.iter().sum::<f64>() / r,
            ),
        ];
        for (c, (mean, sd)) in self.means.iter().zip(&self.deviations).enumerate() {
            let of = |k: usize| self.found.get(c).map_or(f64::NAN, |f| f[k].value);
            record.extend([(*mean, of(0)), (*sd, of(1))]);
        }
        record.extend(self.ahead.iter().flat_map(Ahead::record));
        record
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.found = self.moments();
        if !self.reached() {
            self.notes.push(format!("all numbers are of the first {} observations", self.time));
        }
        let found = evidence(&self.evidences);
        if self.time > 0 && found.spread > LARGEST_SPREAD {
            self.notes.push(format!(
                "no error of the evidence: {}; use more parameters (method.parameter_particles) or particles",
                found.refusal()
            ));
        }
        self.look_beyond(team)
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let (islands, n) = (self.evidences.len(), self.each());
        // Every rank has the parameters; rank 0 writes.
        let rows = if self.rank == 0 { 0..islands } else { 0..0 };
        let mut given = |name: &Name, value: &dyn Fn(&Particle) -> f64| {
            let values: Vec<f64> = rows.clone().flat_map(|i| self.island(i).iter().map(value)).collect();
            walk.given(name, &[islands, n], &Hyperslab::rows(rows.clone(), &[n]), &values)
        };
        for (c, name) in self.names.iter().enumerate() {
            given(name, &|p| p.theta[c])?;
        }
        let name = Name {
            axes: &["island", "particle"],
            ..plain("parameter_log_weights", "log-weight of each particle of parameters, not normalised")
        };
        given(&name, &|p| p.log_weight)?;
        self.forecast.as_ref().map_or(Ok(()), |forecast| forecast.walk(self, walk))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "proposals are tuned to the particles they move: the evidence is consistent, not unbiased, and its error is that \
             between islands"
                .into(),
        ];
        notes.extend(self.notes.iter().cloned());
        notes
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.options.level.name().to_string())]
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, meaning, value, error| Number { name, unit: "1", meaning, value, error };
        let bar = ErrorBar::of;
        let found = evidence(&self.evidences);
        // As for filters: above this spread the mean over islands is not near normal.
        let known = found.spread <= LARGEST_SPREAD;
        let error = if known { found.spread / (self.evidences.len() as f64).sqrt() } else { f64::NAN };
        let mut report = vec![
            number("log_evidence", "log-evidence of the data, parameters integrated out", found.log, bar(error)),
            number("evidence_spread", "spread of the islands' evidence over its mean", found.spread, ErrorBar::None),
        ];
        for (c, [mean, sd]) in self.found.iter().enumerate() {
            let (m, s) = (self.means[c], self.deviations[c]);
            report.push(number(m.name, m.meaning, mean.value, bar(mean.standard_error)));
            report.push(number(s.name, s.meaning, sd.value, bar(sd.standard_error)));
        }
        match &self.forecast {
            Some(forecast) => report.extend(forecast.report()),
            None => report.extend(self.ahead.iter().flat_map(Ahead::report)),
        }
        // Where no island was resampled, none was proposed.
        if self.proposed > 0.0 {
            let meaning = "share of proposals of the parameters accepted";
            report.push(number("acceptance", meaning, self.accepted / self.proposed, ErrorBar::None));
        }
        report
    }

    fn work(&self) -> (f64, &'static str) {
        (self.work, "particle-steps")
    }

    fn outlook(&self) -> Outlook {
        Outlook::left((self.posed.times - self.time) as u64)
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::setup::{Posed, pose};
    use super::*;

    #[test]
    fn no_error_of_the_evidence_is_claimed_where_islands_spread_by_more_than_0_35() {
        let text = r#"
solver = "smc"
[problem]
observations = { values = [0.3, -0.5] }
[problem.model]
kind = "written"
states = ["x"]
parameters = { a = 0.9 }
priors = { a = { distribution = "uniform", low = 0.0, high = 1.0 } }
noises = { n = { distribution = "normal" } }
initial = { x = "n" }
transition = { x = "a*x + n" }
observation = { y = { distribution = "normal", mean = "x", sd = 0.7 } }
[method]
name = "smc_squared"
particles = 4
parameter_particles = 4
islands = 2
"#;
        let input = Input::parse(Path::new("squared.toml"), text, &[]).unwrap();
        let Posed::Squared(posed) = pose(&input).unwrap() else { panic!("SMC²") };
        let mut solver = Squared::new(&input, posed, Level::Portable, &crate::team::Solo);
        solver.time = 2;
        let mut errors = |evidences: [f64; 2]| {
            solver.evidences = evidences.to_vec();
            solver.notes.clear();
            solver.finish(&crate::team::Solo).unwrap();
            (solver.report()[0].error, solver.notes().len())
        };
        // 1 and e^−0.1: their spread is 0.1/√2 to first order, its error 0.05.
        let (ErrorBar::StdErr(error), notes) = errors([0.0, -0.1]) else { panic!("an error") };
        assert!((error - 0.05).abs() < 1e-3 && notes == 1, "{error}");
        assert_eq!(errors([0.0, -9.0]), (ErrorBar::None, 2));
    }
}
