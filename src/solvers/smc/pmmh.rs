//! Particle marginal Metropolis–Hastings [AndrieuDoucetHolenstein2010] as a [`Solver`]: one step is one proposal of the
//! parameters, whose likelihood is a filter's unbiased estimate. Exact for any number of particles.
//!
//! A random walk on the logarithms of positive parameters and on the others as they are; during the warm-up its covariance
//! follows the chain, its scale the share accepted; then both stay.

use std::path::Path;

use super::setup::ChainPosed;
use super::walk::walk_data;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::adaptive::AdaptiveWalk;
use crate::particles::chains::{FEWEST_EFFECTIVE, LARGEST_R_HAT, Mixing, mixing, worst};
use crate::particles::estimate::evidence;
use crate::particles::{Draws, Filter, Options, predictive};
use crate::solvers::{ErrorBar, Number, Outcome, Outlook, Solver, Status};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::Team;

pub struct Chain {
    posed: ChainPosed,
    options: Options,
    names: Vec<Name>,
    deviations: Vec<Name>,
    iteration: u64,
    theta: Vec<f64>,
    /// log prior with the Jacobian of the walk's coordinates, and log Ẑ.
    log_prior: f64,
    log_evidence: f64,
    accepted: u64,
    walk: AdaptiveWalk,
    /// Parameters after each proposal that followed the warm-up, one after the other.
    pub(super) trace: Vec<f64>,
    /// Where predicted: a state of the last time given the data and the present parameters.
    last: Vec<f64>,
    /// Observations drawn after the data: draw × time × component.
    pub(super) predicted: Vec<f64>,
    predictive: Vec<Name>,
    forecast_sds: Vec<Name>,
    notes: Vec<String>,
    rank: usize,
}

/// What a filter says of parameters.
struct Found {
    log_evidence: f64,
    /// A state of the last time, where predicted.
    last: Vec<f64>,
}

/// Draws of the prior that the chain may start from, and how many are tried where the data allow none of them. They and the
/// second estimates have numbers below those of proposals.
const STARTS: u32 = 20;
const MOST_STARTS: u32 = 100;

/// The number of the first proposal.
const FIRST_PROPOSAL: u32 = 1000;

const IMPOSSIBLE: Found = Found { log_evidence: f64::NEG_INFINITY, last: Vec::new() };

const fn plain(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

impl Chain {
    /// Starts from the one of [`STARTS`] draws of the prior whose likelihood is estimated largest: from a poor one, where
    /// estimates scatter most, a chain hardly leaves. Where the data allow none of them, from the first that they do.
    /// Collective.
    ///
    /// # Errors
    /// None of a hundred draws allows the data.
    pub fn new(input: &Input, posed: ChainPosed, level: Level, team: &dyn Team) -> Result<Chain> {
        let method = &posed.method;
        let options = Options {
            scheme: method.resampling,
            threshold: method.ess_threshold,
            precision: method.precision,
            sort: posed.sort,
            ..Options::new(method.particles, method.islands, input.run.seed, level)
        };
        let parameters = posed.family.parameters();
        let deviation = |p: &crate::particles::Parameter| {
            Name::kept(&format!("sd_{}", p.name), "1", "posterior standard deviation", &[])
        };
        let deviations = parameters.iter().map(deviation).collect();
        let names =
            parameters.iter().map(|p| Name::kept(&p.name, "1", &format!("parameter {}", p.name), &[])).collect();
        let predictive = posed.free.as_ref().map_or(Vec::new(), |free| free.names(&["draw", "forecast"]));
        let mut chain = Chain {
            last: Vec::new(),
            predicted: Vec::new(),
            forecast_sds: predictive
                .iter()
                .map(|n: &Name| Name::kept(&format!("sd_{}", n.name), "1", "its standard deviation", &[]))
                .collect(),
            predictive,
            rank: team.rank(),
            walk: AdaptiveWalk::over(posed.family.as_ref()),
            posed,
            options,
            names,
            deviations,
            iteration: 0,
            theta: Vec::new(),
            log_prior: f64::NEG_INFINITY,
            log_evidence: f64::NEG_INFINITY,
            accepted: 0,
            trace: Vec::new(),
            notes: Vec::new(),
        };
        let mut best: Option<(u32, Vec<f64>, Found)> = None;
        for attempt in 0..MOST_STARTS {
            if attempt >= STARTS && best.is_some() {
                break;
            }
            let at = Draws::new(level, input.run.seed, Stream::ParticlesParameter, attempt);
            let theta = chain.posed.family.draw_prior(&at);
            let found = chain.likelihood(&theta, u64::from(attempt), team)?;
            let most = best.as_ref().map_or(f64::NEG_INFINITY, |(.., best)| best.log_evidence);
            if found.log_evidence > most {
                best = Some((attempt, theta, found));
            }
        }
        let Some((attempt, theta, chosen)) = best else {
            let message = "none of 100 draws of the prior explains the data: a prior nearer to them, or more particles";
            return Err(Error::Numerical { step: 0, message: message.into() });
        };
        // The largest of several estimates is too large, and the chain would stay at it: another one takes its place.
        let again = chain.likelihood(&theta, u64::from(MOST_STARTS + attempt), team)?;
        let found = if again.log_evidence > f64::NEG_INFINITY { again } else { chosen };
        chain.last = found.last;
        chain.log_prior = chain.prior(&theta);
        chain.log_evidence = found.log_evidence;
        chain.walk.start(&theta);
        chain.theta = theta;
        Ok(chain)
    }

    /// log prior density in the walk's coordinates.
    fn prior(&self, theta: &[f64]) -> f64 {
        self.posed.family.log_prior(theta) + self.walk.log_jacobian(theta)
    }

    /// log Ẑ of the data at θ, by a filter of its own random numbers; −∞ where no particle explains the data.
    fn likelihood(&self, theta: &[f64], number: u64, team: &dyn Team) -> Result<Found> {
        if self.posed.family.log_prior(theta) == f64::NEG_INFINITY {
            return Ok(IMPOSSIBLE);
        }
        let Ok(flow) = self.posed.family.at(theta) else { return Ok(IMPOSSIBLE) };
        // A seed of this proposal: Philox of the run's.
        let at = Draws::new(self.options.level, self.options.seed, Stream::ParticlesReference, 0);
        let options = Options { seed: at.bits(0, number) as u64, ..self.options.clone() };
        let mut filter = Filter::new(flow.as_ref(), options, team);
        for _ in 0..flow.horizon() {
            match filter.step(flow.as_ref(), team) {
                Ok(()) => {}
                Err(_) if filter.is_extinct() => return Ok(IMPOSSIBLE),
                Err(e) => return Err(e),
            }
        }
        let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
        let last = if self.posed.free.is_some() { filter.one(team) } else { Vec::new() };
        Ok(Found { log_evidence: evidence(&logs).log, last })
    }

    /// Observations after the data under the present parameters, from the state of the last time that came with them: with it
    /// they are a draw of parameters and path given the data [AndrieuDoucetHolenstein2010].
    fn predict(&mut self) -> Result<()> {
        let Some(free) = &self.posed.free else { return Ok(()) };
        let flow = free.family.as_ref().expect("the family of the chain").at(&self.theta)?;
        let m = free.components.len();
        let address = (self.options.level, self.options.seed, self.iteration);
        let drawn = predictive::along(flow.as_ref(), m, address, free.seen - 1, &self.last);
        self.predicted.extend(&drawn[m..]);
        Ok(())
    }

    /// Draws of component `c` at the last predicted time.
    fn forecast(&self, c: usize) -> Vec<f64> {
        let Some(free) = &self.posed.free else { return Vec::new() };
        let m = free.components.len();
        let width = (free.times.len() - free.seen) * m;
        self.predicted.iter().skip(width - m + c).step_by(width).copied().collect()
    }

    fn warming(&self) -> bool {
        self.iteration < self.posed.method.warm_up
    }

    /// A parameter after the warm-up.
    fn summary(&self, c: usize) -> Option<Mixing> {
        let draws: Vec<f64> = self.trace.iter().skip(c).step_by(self.names.len()).copied().collect();
        mixing(&[draws])
    }

    /// Of all parameters; none of too few draws.
    fn summaries(&self) -> Vec<Mixing> {
        (0..self.names.len()).filter_map(|c| self.summary(c)).collect()
    }
}

/// The mean of a parameter over chains.
pub(super) fn posterior_mean(name: &Name, found: &Mixing) -> Number {
    let meaning = match (found.has_moved(), found.is_trusted()) {
        (false, _) => "posterior mean; no error: it never moved",
        (true, false) => "posterior mean; no error: too few draws are effective, or R̂ is too large",
        (true, true) => "posterior mean",
    };
    Number { name: name.name, unit: "1", meaning, value: found.mean, error: ErrorBar::of(found.error()) }
}

/// Why means of parameters have no error, where one has none.
pub(super) fn doubt(found: &[Mixing]) -> Option<String> {
    if found.iter().all(Mixing::is_trusted) {
        return None;
    }
    let (effective, r_hat) = worst(found);
    Some(if effective.is_nan() {
        "no error of posterior means: no chain moved after the warm-up; use more particles, a longer warm-up, or priors \
         nearer to the data"
            .into()
    } else {
        format!(
            "no error of posterior means where fewer than {FEWEST_EFFECTIVE} draws are effective or R̂ is above \
             {LARGEST_R_HAT}: of the worst parameter {effective:.1} and {r_hat:.3}; use more iterations or particles"
        )
    })
}

impl Solver for Chain {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        // Draws of proposals follow those of the prior's attempts.
        let number = u64::from(FIRST_PROPOSAL) + self.iteration;
        let at = Draws::new(self.options.level, self.options.seed, Stream::ParticlesParameter, FIRST_PROPOSAL)
            .at(self.iteration);
        let theta = self.walk.propose(&self.theta, &at).ok_or_else(|| Error::Numerical {
            step: self.iteration,
            message: "the covariance of the chain is singular: a longer warm-up, or fewer parameters".into(),
        })?;
        let Found { log_evidence, last } = self.likelihood(&theta, number, team)?;
        let mut accepted = false;
        if log_evidence > f64::NEG_INFINITY {
            let log_prior = self.prior(&theta);
            let mut u = [0.0];
            at.stream(Stream::ParticlesAccept).uniforms(0, &mut u);
            if ln(u[0]) < log_prior + log_evidence - self.log_prior - self.log_evidence {
                (self.theta, self.log_prior, self.log_evidence) = (theta, log_prior, log_evidence);
                self.last = last;
                accepted = true;
            }
        }
        if self.warming() {
            self.walk.adapt(self.iteration, accepted, &self.theta);
        } else {
            self.accepted += u64::from(accepted);
            self.trace.extend(&self.theta);
            self.predict()?;
        }
        self.iteration += 1;
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        self.iteration >= self.posed.method.iterations + self.posed.method.warm_up
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&plain("iteration", "proposals made"), (&mut self.iteration).into())?;
        walk.scalar(&plain("accepted", "proposals accepted after the warm-up"), (&mut self.accepted).into())?;
        let mut numbers = [self.log_prior, self.log_evidence, self.walk.scale];
        let name = Name { axes: &["number"], ..plain("chain", "log prior, log-evidence, scale of the walk") };
        walk.scalar(&name, numbers.as_mut_slice().into())?;
        [self.log_prior, self.log_evidence, self.walk.scale] = numbers;
        let list = |name, meaning, axes| Name { axes, ..plain(name, meaning) };
        walk.scalar(&list("theta", "parameters", &["parameter"]), (&mut self.theta).into())?;
        walk.scalar(
            &list("walk_mean", "mean of the walk's coordinates", &["parameter"]),
            (&mut self.walk.mean).into(),
        )?;
        let name = list("walk_covariance", "their covariance, row by row", &["covariance_entry"]);
        walk.scalar(&name, (&mut self.walk.covariance).into())?;
        walk.replicated(
            &list("trace", "parameters after each proposal, row by row", &["trace_entry"]),
            &mut self.trace,
        )?;
        if self.posed.free.is_none() {
            return Ok(());
        }
        walk.scalar(&list("last_state", "a state of the last time", &["coordinate"]), (&mut self.last).into())?;
        let name =
            list("predicted", "observations drawn after the data: draw × time × component", &["predicted_entry"]);
        walk.replicated(&name, &mut self.predicted)
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk_data(&self.posed.data, self.rank, walk)
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let mut record = vec![
            (
                plain("warming_up", "1 during the warm-up"),
                f64::from(u8::from(self.iteration <= self.posed.method.warm_up)),
            ),
            (plain("log_evidence", "estimated log-likelihood of the present parameters"), self.log_evidence),
        ];
        record.extend(self.names.iter().copied().zip(self.theta.iter().copied()));
        record
    }

    fn finish(&mut self, _team: &dyn Team) -> Result<()> {
        self.notes = doubt(&self.summaries()).into_iter().collect();
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        // One list a parameter, as readers of chains expect.
        let d = self.names.len();
        for (c, name) in self.names.iter().enumerate() {
            let mut x: Vec<f64> = self.trace.iter().skip(c).step_by(d).copied().collect();
            walk.replicated(&Name { axes: &["draw"], ..*name }, &mut x)?;
        }
        let Some(free) = &self.posed.free else { return Ok(()) };
        let mut after = free.times[free.seen..].to_vec();
        let (h, m, draws) =
            (after.len(), free.components.len(), self.predicted.len() / (after.len() * free.components.len()));
        walk.replicated(&Name { axes: &["forecast"], ..plain("forecast", "times after the data") }, &mut after)?;
        // Every rank has the chain; rank 0 writes.
        let rows = if self.rank == 0 { 0..draws } else { 0..0 };
        for (c, name) in self.predictive.iter().enumerate() {
            let values: Vec<f64> = rows
                .clone()
                .flat_map(|k| (0..h).map(move |t| (k * h + t) * m + c))
                .map(|i| self.predicted[i])
                .collect();
            walk.given(name, &[draws, h], &Hyperslab::rows(rows.clone(), &[h]), &values)?;
        }
        Ok(())
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.options.level.name().to_string())]
    }

    fn report(&self) -> Vec<Number> {
        let mut report = Vec::new();
        for (c, name) in self.names.iter().enumerate() {
            let Some(found) = self.summary(c) else { continue };
            report.push(posterior_mean(name, &found));
            let spread = self.deviations[c];
            report.push(Number {
                name: spread.name,
                unit: "1",
                meaning: spread.meaning,
                value: found.sd,
                error: ErrorBar::None,
            });
        }
        let found = self.summaries();
        if !found.is_empty() {
            let number = |name, meaning, value| Number { name, unit: "1", meaning, value, error: ErrorBar::None };
            let (least, most) = worst(&found);
            report.push(number("effective_draws", "independent draws the worst parameter is worth", least));
            report.push(number("r_hat", "split R̂ of the worst parameter: near 1 where the halves agree", most));
        }
        // Draws of observations scatter by themselves: what they follow from must be known.
        let sound = found.iter().all(Mixing::is_trusted);
        for (c, name) in self.predictive.iter().enumerate().take(8) {
            let Some(found) = mixing(&[self.forecast(c)]) else { continue };
            let number = |name, meaning, value, error| Number { name, unit: "1", meaning, value, error };
            let (meaning, error) = match sound && found.is_trusted() {
                true => ("mean of the observation at the last predicted time", ErrorBar::StdErr(found.error())),
                false => (
                    "mean of the observation at the last predicted time; no error: too few draws are effective",
                    ErrorBar::None,
                ),
            };
            report.push(number(name.name, meaning, found.mean, error));
            let spread = self.forecast_sds[c];
            report.push(number(spread.name, spread.meaning, found.sd, ErrorBar::None));
        }
        let made = (self.trace.len() / self.names.len().max(1)).max(1) as f64;
        let value = self.accepted as f64 / made;
        let meaning = "share of proposals accepted after the warm-up";
        report.push(Number { name: "acceptance", unit: "1", meaning, value, error: ErrorBar::None });
        report
    }

    fn work(&self) -> (f64, &'static str) {
        let particles = (self.options.islands * self.options.particles * self.posed.times) as f64;
        (particles * self.iteration as f64, "particle-steps")
    }

    fn outlook(&self) -> Outlook {
        Outlook::left((self.posed.method.iterations + self.posed.method.warm_up).saturating_sub(self.iteration))
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
