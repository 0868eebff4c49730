//! Particle marginal Metropolis–Hastings [AndrieuDoucetHolenstein2010] as a [`Solver`]: one step is one proposal of the
//! parameters, whose likelihood is a filter's unbiased estimate. Exact for any number of particles.
//!
//! A random walk on the logarithms of positive parameters and on the others as they are; during the warm-up its covariance
//! follows the chain, its scale the share accepted; then both stay.

use std::path::Path;

use super::setup::ChainPosed;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::adaptive::AdaptiveWalk;
use crate::particles::chains::{Mixing, mixing};
use crate::particles::estimate::evidence;
use crate::particles::{Draws, Filter, Options};
use crate::solvers::{ErrorBar, Number, Outcome, Solver, Status};
use crate::state::{Name, Walk};
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
}

const fn plain(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

impl Chain {
    /// Starts from the first draw of the prior that the data allow. Collective.
    ///
    /// # Errors
    /// None of a hundred draws allows the data.
    pub fn new(input: &Input, posed: ChainPosed, level: Level, team: &dyn Team) -> Result<Chain> {
        let method = &posed.method;
        let options = Options {
            particles: method.particles,
            islands: method.islands,
            scheme: method.resampling,
            threshold: method.ess_threshold,
            seed: input.run.seed,
            level,
            ancestors: false,
            eves: false,
            sort: posed.sort,
        };
        let parameters = posed.family.parameters();
        let deviation = |p: &crate::particles::Parameter| {
            Name::kept(&format!("sd_{}", p.name), "1", "posterior standard deviation", &[])
        };
        let deviations = parameters.iter().map(deviation).collect();
        let names =
            parameters.iter().map(|p| Name::kept(&p.name, "1", &format!("parameter {}", p.name), &[])).collect();
        let mut chain = Chain {
            posed,
            options,
            names,
            deviations,
            iteration: 0,
            theta: Vec::new(),
            log_prior: f64::NEG_INFINITY,
            log_evidence: f64::NEG_INFINITY,
            accepted: 0,
            walk: AdaptiveWalk::new(&parameters),
            trace: Vec::new(),
        };
        for attempt in 0..100 {
            let at = Draws::new(level, input.run.seed, Stream::ParticlesParameter, attempt);
            let theta = chain.posed.family.draw_prior(&at);
            let log_evidence = chain.likelihood(&theta, u64::from(attempt), team)?;
            if log_evidence > f64::NEG_INFINITY {
                chain.log_prior = chain.prior(&theta);
                chain.log_evidence = log_evidence;
                chain.walk.start(&theta);
                chain.theta = theta;
                return Ok(chain);
            }
        }
        let message = "none of 100 draws of the prior explains the data: a prior nearer to them, or more particles";
        Err(Error::Numerical { step: 0, message: message.into() })
    }

    /// log prior density in the walk's coordinates.
    fn prior(&self, theta: &[f64]) -> f64 {
        self.posed.family.log_prior(theta) + self.walk.log_jacobian(theta)
    }

    /// log Ẑ of the data at θ, by a filter of its own random numbers; −∞ where no particle explains the data.
    fn likelihood(&self, theta: &[f64], number: u64, team: &dyn Team) -> Result<f64> {
        if self.posed.family.log_prior(theta) == f64::NEG_INFINITY {
            return Ok(f64::NEG_INFINITY);
        }
        let Ok(flow) = self.posed.family.at(theta) else { return Ok(f64::NEG_INFINITY) };
        // A seed of this proposal: Philox of the run's.
        let at = Draws::new(self.options.level, self.options.seed, Stream::ParticlesReference, 0);
        let options = Options { seed: at.bits(0, number) as u64, ..self.options.clone() };
        let mut filter = Filter::new(flow.as_ref(), options, team);
        for _ in 0..flow.horizon() {
            match filter.step(flow.as_ref(), team) {
                Ok(()) => {}
                Err(_) if filter.is_extinct() => return Ok(f64::NEG_INFINITY),
                Err(e) => return Err(e),
            }
        }
        let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
        Ok(evidence(&logs).log)
    }

    fn warming(&self) -> bool {
        self.iteration < self.posed.method.warm_up
    }

    /// A parameter after the warm-up.
    fn summary(&self, c: usize) -> Option<Mixing> {
        let draws: Vec<f64> = self.trace.iter().skip(c).step_by(self.names.len()).copied().collect();
        mixing(&[draws]).filter(|_| self.trace.len() >= 100 * self.names.len())
    }
}

impl Solver for Chain {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        // Draws of proposals follow those of the prior's attempts.
        let number = 1000 + self.iteration;
        let at = Draws::new(self.options.level, self.options.seed, Stream::ParticlesParameter, 1000).at(self.iteration);
        let theta = self.walk.propose(&self.theta, &at).ok_or_else(|| Error::Numerical {
            step: self.iteration,
            message: "the covariance of the chain is singular: a longer warm-up, or fewer parameters".into(),
        })?;
        let log_evidence = self.likelihood(&theta, number, team)?;
        let mut accepted = false;
        if log_evidence > f64::NEG_INFINITY {
            let log_prior = self.prior(&theta);
            let mut u = [0.0];
            at.stream(Stream::ParticlesAccept).uniforms(0, &mut u);
            if ln(u[0]) < log_prior + log_evidence - self.log_prior - self.log_evidence {
                (self.theta, self.log_prior, self.log_evidence) = (theta, log_prior, log_evidence);
                accepted = true;
            }
        }
        if self.warming() {
            self.walk.adapt(self.iteration, accepted, &self.theta);
        } else {
            self.accepted += u64::from(accepted);
            self.trace.extend(&self.theta);
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
        walk.replicated(&list("trace", "parameters after each proposal, row by row", &["trace_entry"]), &mut self.trace)
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
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
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        // One list a parameter, as readers of chains expect.
        let d = self.names.len();
        for (c, name) in self.names.iter().enumerate() {
            let mut x: Vec<f64> = self.trace.iter().skip(c).step_by(d).copied().collect();
            walk.replicated(&Name { axes: &["draw"], ..*name }, &mut x)?;
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
            let number = Number {
                name: name.name,
                unit: "1",
                meaning: "posterior mean",
                value: found.mean,
                error: ErrorBar::StdErr(found.error()),
            };
            report.push(number);
            let spread = self.deviations[c];
            report.push(Number {
                name: spread.name,
                unit: "1",
                meaning: spread.meaning,
                value: found.sd,
                error: ErrorBar::None,
            });
        }
        let found: Vec<Mixing> = (0..self.names.len()).filter_map(|c| self.summary(c)).collect();
        if !found.is_empty() {
            let number = |name, meaning, value| Number { name, unit: "1", meaning, value, error: ErrorBar::None };
            let least = found.iter().map(|f| f.effective).fold(f64::INFINITY, f64::min);
            report.push(number("effective_draws", "independent draws the worst parameter is worth", least));
            let worst = found.iter().map(|f| f.r_hat).fold(0.0, f64::max);
            report.push(number("r_hat", "split R̂ of the worst parameter: near 1 where the halves agree", worst));
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

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
