//! A tempering sampler as a [`Solver`]: one step is one power of the likelihood.
//!
//! Frozen schedules come from a first run of one island with random numbers of its own; then all islands run under them.

use std::path::Path;

use super::prediction::outcomes::{self, Cohort};
use super::setup::SamplerPosed;
use super::walk::walk_filter;
use crate::error::Result;
use crate::input::Input;
use crate::math::simd::Level;
use crate::particles::Options;
use crate::particles::estimate::{Estimated, evidence, island_weights, over_islands};
use crate::particles::moves::Tuning;
use crate::particles::tempering::{Plan, Rung, Sampler};
use crate::solvers::{ErrorBar, Left, Number, Outcome, Outlook, Solver, Status};
use crate::state::{Name, Walk};
use crate::team::Team;

pub struct Sampling {
    pub(super) posed: SamplerPosed,
    sampler: Sampler,
    /// The first run, which chooses the schedule.
    exploring: bool,
    options: Options,
    names: Names,
    notes: Vec<String>,
    means: Vec<Estimated>,
    deviations: Vec<Estimated>,
    work: f64,
}

struct Names {
    particles: Vec<Name>,
    means: Vec<Name>,
    deviations: Vec<Name>,
}

/// Random numbers of the first run are none of the second's.
const EXPLORING: u64 = 0x9E37_79B9_7F4A_7C15;

const fn plain(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

impl Sampling {
    /// # Errors
    /// A log density of the prior's draws that is NaN.
    pub fn new(input: &Input, posed: SamplerPosed, level: Level, team: &dyn Team) -> Result<Sampling> {
        let method = &posed.method;
        let options = Options {
            scheme: method.resampling,
            threshold: 1.0,
            ..Options::new(method.particles, method.islands, input.run.seed, level)
        };
        let plan = Plan {
            kernel: method.kernel,
            moves: (method.least_moves, method.most_moves),
            correlation: method.correlation,
            keep: method.keep,
            chain: method.waste_free,
        };
        let exploring = method.freeze;
        let first = if exploring { exploring_options(&options) } else { options.clone() };
        let sampler = Sampler::new(posed.sampler.target.as_ref(), plan, first, None, team)?;
        let coordinates = &posed.sampler.coordinates;
        let one = |prefix: &str, of: &str, axes: &[&str]| -> Vec<Name> {
            coordinates
                .iter()
                .map(|c| Name::kept(&format!("{prefix}_{c}"), "1", &format!("{of} of {c}"), axes))
                .collect()
        };
        let mut particles = one("particles", "every particle's value", &["particle"]);
        particles.push(Name { axes: &["particle"], ..plain("log_prior", "log prior density of every particle") });
        particles.push(Name { axes: &["particle"], ..plain("log_likelihood", "log likelihood of every particle") });
        let names =
            Names { particles, means: one("mean", "mean", &[]), deviations: one("sd", "standard deviation", &[]) };
        let notes = vec![if exploring {
            "a first run of one island chooses powers and moves; all islands then run under its schedule".to_string()
        } else {
            "powers and moves adapt to the particles they move (method.freeze = false): the evidence is consistent, not \
             unbiased, and no interval is claimed"
                .to_string()
        }];
        let (means, deviations) = (Vec::new(), Vec::new());
        Ok(Sampling { posed, sampler, exploring, options, names, notes, means, deviations, work: 0.0 })
    }

    fn evidences(&self) -> Vec<f64> {
        self.sampler.filter.islands.iter().map(|i| i.log_evidence).collect()
    }

    /// What the particles say of the cases asked for, once they are those of the posterior. Collective.
    fn predict(&mut self, team: &dyn Team) {
        let Some(first) = self.posed.cohorts.first() else { return };
        if !self.reached() {
            self.notes.push("nothing predicted: the run ended before the power 1".into());
            return;
        }
        if self.posed.cohorts.len() == 1 && first.scores.is_none() {
            let message = "scores are of the cases that the posterior was fitted to, and flatter it: problem.predict.file scores new ones";
            self.notes.push(message.into());
        }
        let weights = island_weights(&self.evidences());
        for cohort in &mut self.posed.cohorts {
            cohort.look(&self.sampler.filter, &weights, team);
        }
    }

    /// Whether the particles are those of the posterior, and moves made them forget where they began: else no error is
    /// claimed.
    fn claims(&self) -> bool {
        self.reached() && self.sampler.unmixed().is_none()
    }

    fn last(&self) -> Option<&Rung> {
        self.sampler.level.checked_sub(1).and_then(|k| self.sampler.rungs.get(k))
    }
}

fn exploring_options(options: &Options) -> Options {
    Options { islands: 1, seed: options.seed ^ EXPLORING, ..options.clone() }
}

/// Rungs as lists of equal length, and back.
fn walk_rungs(rungs: &mut Vec<Rung>, d: usize, walk: &mut dyn Walk) -> Result<()> {
    let name = |name, meaning| Name { axes: &["rung"], ..plain(name, meaning) };
    let mut numbers: Vec<f64> = rungs
        .iter()
        .flat_map(|r| {
            let head = [r.lambda, r.moves as f64, r.acceptance, r.correlation, r.tuning.scale];
            head.into_iter().chain(r.tuning.mean.iter().copied()).chain(r.tuning.factor.iter().copied())
        })
        .collect();
    walk.replicated(
        &name("schedule", "power, moves, acceptance, correlation, scale, mean, factor of each rung"),
        &mut numbers,
    )?;
    *rungs = numbers
        .chunks_exact(5 + d + d * d)
        .map(|r| Rung {
            lambda: r[0],
            moves: r[1] as usize,
            acceptance: r[2],
            correlation: r[3],
            tuning: Tuning { scale: r[4], mean: r[5..5 + d].to_vec(), factor: r[5 + d..].to_vec() },
        })
        .collect();
    Ok(())
}

impl Solver for Sampling {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        let target = self.posed.sampler.target.as_ref();
        if self.exploring && self.sampler.done() {
            // The schedule is chosen: all islands start from the prior.
            let rungs = std::mem::take(&mut self.sampler.rungs);
            self.sampler = Sampler::new(target, self.sampler.plan, self.options.clone(), Some(rungs), team)?;
            self.exploring = false;
        }
        self.sampler.step(target, team)?;
        let particles = self.sampler.filter.layout.islands * self.sampler.filter.layout.each;
        self.work += particles as f64 * self.last().map_or(0.0, |r| r.moves as f64);
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        !self.exploring && self.sampler.done()
    }

    fn measure(&mut self, team: &dyn Team) -> Result<()> {
        let filter = &self.sampler.filter;
        if self.sampler.level == 0 {
            return Ok(());
        }
        let weights = island_weights(&self.evidences());
        let d = self.posed.sampler.target.dimension();
        (self.means, self.deviations) = (Vec::new(), Vec::new());
        for c in 0..d {
            let mean = filter.means(team, |t, i| filter.population.at(t, c, i));
            let centre = over_islands(&mean, &weights);
            let second = filter.means(team, |t, i| {
                let x = filter.population.at(t, c, i) - centre.value;
                x * x
            });
            let variance = over_islands(&second, &weights);
            let sd = variance.value.sqrt();
            self.deviations.push(Estimated { value: sd, standard_error: variance.standard_error / (2.0 * sd) });
            self.means.push(centre);
        }
        Ok(())
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut phase = u64::from(self.exploring);
        walk.scalar(&plain("exploring", "1 in the first run, which chooses the schedule"), (&mut phase).into())?;
        if (phase == 1) != self.exploring {
            self.exploring = phase == 1;
            let options = if self.exploring { exploring_options(&self.options) } else { self.options.clone() };
            self.sampler.relayout(options, !self.exploring && self.posed.method.freeze);
        }
        let d = self.posed.sampler.target.dimension();
        walk_rungs(&mut self.sampler.rungs, d, walk)?;
        let mut numbers = [self.sampler.lambda, self.sampler.level as f64, self.sampler.scale, self.work];
        let name =
            Name { axes: &["number"], ..plain("sampler", "power, rungs climbed, scale of the next moves, work") };
        walk.scalar(&name, numbers.as_mut_slice().into())?;
        (self.sampler.lambda, self.sampler.level) = (numbers[0], numbers[1] as usize);
        (self.sampler.scale, self.work) = (numbers[2], numbers[3]);
        walk_filter(&mut self.sampler.filter, &self.names.particles, walk)
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let found = evidence(&self.evidences());
        let mut record = vec![
            (plain("power", "power of the likelihood"), self.sampler.lambda),
            (plain("exploring", "1 in the first run, which chooses the schedule"), f64::from(u8::from(self.exploring))),
            (plain("log_evidence", "log of the mean over islands of the evidence so far"), found.log),
            (plain("evidence_spread", "standard deviation of the islands' evidence over its mean"), found.spread),
        ];
        // The same names at every step: before the first one nothing has a value.
        let of = |value: fn(&Rung) -> f64| self.last().map_or(f64::NAN, value);
        record.push((plain("moves", "sweeps of moves at this power"), of(|r| r.moves as f64)));
        record.push((plain("acceptance", "share of proposals accepted"), of(|r| r.acceptance)));
        record.push((plain("scale", "scale of the proposals"), of(|r| r.tuning.scale)));
        let value = |list: &[Estimated], d: usize| list.get(d).map_or(f64::NAN, |e| e.value);
        record.extend(self.names.means.iter().enumerate().map(|(d, name)| (*name, value(&self.means, d))));
        record.extend(self.names.deviations.iter().enumerate().map(|(d, name)| (*name, value(&self.deviations, d))));
        record
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.measure(team)?;
        self.predict(team);
        if !self.reached() {
            let run = if self.exploring { "the first run, which chooses the schedule, " } else { "the run " };
            self.notes.push(format!(
                "{run}ended at the power {:.4} of the likelihood: its numbers are of the prior times that power, not of \
                 the posterior",
                self.sampler.lambda
            ));
        }
        if let (true, Some(left)) = (self.reached(), self.sampler.unmixed()) {
            let (most, asked) = (self.posed.method.most_moves, self.posed.method.correlation);
            self.notes.push(format!(
                "no errors: moves ended at method.most_moves = {most} with a correlation of {left:.2} left between particles \
                 and where they began, above method.correlation = {asked}: islands may all miss the same regions; \
                 raise method.most_moves"
            ));
        }
        let found = evidence(&self.evidences());
        if self.reached() && self.posed.method.freeze && found.interval.is_none() && found.spread.is_finite() {
            self.notes.push(format!(
                "no interval for the evidence: {}; use more particles or islands, or keep more of the effective sample size",
                found.refusal()
            ));
        }
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        if let Some(mut exact) = self.posed.sampler.log_evidence {
            walk.scalar(&plain("exact_log_evidence", "log-evidence, exact"), (&mut exact).into())?;
        }
        if !self.reached() || self.posed.cohorts.is_empty() {
            return Ok(());
        }
        let middle = |k: usize| (k as f64 + 0.5) / outcomes::BINS as f64;
        let name = Name {
            axes: &["calibration_bin"],
            ..plain("calibration_bin", "middle of each bin of predicted probability")
        };
        walk.replicated(&name, &mut (0..outcomes::BINS).map(middle).collect())?;
        self.posed.cohorts.iter().try_for_each(|cohort| cohort.walk(walk))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.options.level.name().to_string())]
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, meaning, value, error| Number { name, unit: "1", meaning, value, error };
        let found = evidence(&self.evidences());
        let claimed = found.interval.filter(|_| self.posed.method.freeze && self.claims());
        let interval = claimed.map_or(ErrorBar::None, |(low, high)| ErrorBar::Interval(low, high));
        let meaning = match (self.reached(), claimed) {
            (false, _) => "log-evidence at the power reached, not that of the posterior",
            (true, Some(_)) => "log-evidence; 95 % interval from the islands",
            (true, None) => "log-evidence; no interval",
        };
        let mut report = vec![number("log_evidence", meaning, found.log, interval)];
        if !self.reached() {
            report.push(number(
                "power",
                "power of the likelihood that was reached",
                self.sampler.lambda,
                ErrorBar::None,
            ));
        } else if let Some(exact) = self.posed.sampler.log_evidence {
            report.push(number("exact_log_evidence", "the same, exact", exact, ErrorBar::None));
        }
        report.push(number("rungs", "powers of the likelihood", self.sampler.level as f64, ErrorBar::None));
        if let Some(rung) = self.last() {
            report.push(number(
                "acceptance",
                "share of proposals accepted at the last power",
                rung.acceptance,
                ErrorBar::None,
            ));
        }
        let moment = |name: &Name, e: &Estimated| {
            let meaning = if self.reached() { name.meaning } else { "at the power reached, not of the posterior" };
            let error = if self.claims() { ErrorBar::of(e.standard_error) } else { ErrorBar::None };
            number(name.name, meaning, e.value, error)
        };
        for (d, mean) in self.means.iter().enumerate().take(16) {
            report.push(moment(&self.names.means[d], mean));
            report.push(moment(&self.names.deviations[d], &self.deviations[d]));
        }
        report.extend(self.posed.cohorts.iter().flat_map(Cohort::report));
        report
    }

    fn work(&self) -> (f64, &'static str) {
        (self.work, "particle-moves")
    }

    /// Temperatures are chosen on the way.
    fn outlook(&self) -> Outlook {
        Outlook { stage: 0, left: Left::Unknown }
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
