//! The solver: training rounds, then replicates, one a step.

use std::path::Path;

use super::chain::{Chain, LANES, Other};
use super::ensemble::{Context, Random, conclude};
use super::methods::{Method, Size};
use super::ranks::Ranks;
use super::setup::Asked;
use super::tally::{LARGEST_SPREAD, LEAST_SHARE, Marginals, Tally};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::math::elementary::exp;
use crate::math::rng::Stream;
use crate::solvers::{ErrorBar, Left, Number, Outcome, Outlook, Solver, Status};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::Team;

pub struct Paths {
    chain: Chain,
    method: Box<dyn Method>,
    size: Size,
    seed: u64,
    known: Option<f64>,
    notes: Vec<String>,
    /// Rounds of training so far, and whether nothing is left to learn.
    rounds: u64,
    trained: u64,
    steps: u64,
    tally: Tally,
    /// Posterior paths kept from each replicate.
    kept: usize,
    /// Rows of this rank: [replicate × kept][time × coordinate]; NaN where no path of the replicate meets the cost.
    rows: std::ops::Range<usize>,
    paths: Vec<f64>,
    marginals: Marginals,
    potential: Option<Landscape>,
}

/// A potential on a grid, for the figure.
struct Landscape {
    x: Vec<f64>,
    y: Vec<f64>,
    values: Vec<f64>,
}

impl Paths {
    pub fn new(asked: Asked, seed: u64, team: &dyn Team) -> Paths {
        let Asked { problem, chain, method, size, notes } = asked;
        let kept = problem.output.paths_per_replicate.min(size.paths);
        let rows = team.split(size.replicates * kept).mine();
        let values = (chain.steps + 1) * chain.dimension;
        Paths {
            tally: Tally::new(values, &chain.start.mean),
            paths: vec![f64::NAN; rows.len() * values],
            rows,
            kept,
            chain,
            method,
            size,
            seed,
            known: problem.known_log_evidence,
            notes,
            rounds: 0,
            trained: 0,
            steps: 0,
            marginals: Marginals::default(),
            potential: None,
        }
    }

    fn done(&self) -> bool {
        self.tally.replicates() >= self.size.replicates
    }

    /// The standard error of the log-evidence, where one is claimed.
    fn error(&self) -> Option<f64> {
        let least = if self.method.unsettled().is_some() { LEAST_SHARE } else { self.method.least_share() };
        let paths = self.size.paths;
        let by_weights = if self.method.draws_independently() { self.tally.error_of_weights(paths) } else { 0.0 };
        self.tally.error().filter(|_| self.tally.share(paths) >= least).map(|e| e.max(by_weights))
    }

    /// Shares of the replicates in the evidence.
    fn shares(&self) -> Vec<f64> {
        let log_mean = self.tally.log_mean();
        let n = self.tally.replicates() as f64;
        self.tally
            .log_evidence
            .iter()
            .map(|l| if *l > f64::NEG_INFINITY { exp(l - log_mean) / n } else { 0.0 })
            .collect()
    }

    /// The potential over what the kept paths cover, in two coordinates.
    fn landscape(&self, team: &dyn Team) -> Option<Landscape> {
        if self.chain.dimension != 2 || self.chain.prior.potential(&[0.0, 0.0]).is_none() {
            return None;
        }
        let bound = |c: usize, sign: f64| {
            let mine = self.paths.iter().skip(c).step_by(2).fold(f64::NEG_INFINITY, |m, x| m.max(sign * x));
            sign * team.max(mine)
        };
        let axis = |c: usize| {
            let (low, high) = (bound(c, -1.0), bound(c, 1.0));
            let margin = 0.15 * (high - low) + 0.05;
            let n = 160;
            let at = |i: usize| low - margin + (high - low + 2.0 * margin) * i as f64 / (n - 1) as f64;
            (0..n).map(at).collect::<Vec<f64>>()
        };
        let (x, y) = (axis(0), axis(1));
        // No path was kept.
        if !x.iter().chain(&y).all(|x| x.is_finite()) {
            return None;
        }
        let v = |y: &f64, x: &f64| self.chain.prior.potential(&[*x, *y]).unwrap_or(f64::NAN);
        let values = y.iter().flat_map(|y| x.iter().map(move |x| v(y, x))).collect();
        Some(Landscape { x, y, values })
    }
}

const TRAINING_EVALUATIONS: &str = "drift evaluations of the training";

impl Solver for Paths {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let ranks = Ranks(team);
        let stop = || interrupt::requested();
        let context = Context {
            chain: &self.chain,
            ranks: &ranks,
            random: Random { level: self.chain.level, seed: self.seed },
            blocks: self.size.paths / LANES,
            step,
            stop: &stop,
        };
        if self.trained == 0 {
            let trained = self.method.train(&context, self.rounds)?;
            self.rounds += 1;
            self.trained = u64::from(trained);
            self.steps += 1;
            return Ok(Status::Running);
        }
        let replicate = self.tally.replicates();
        let sampled = self.method.sample(&context, replicate as u32)?;
        let concluded = conclude(&context, &sampled)?;
        if concluded.log_evidence > f64::NEG_INFINITY && self.kept > 0 {
            let decision = context.decision(Stream::PathsPick, replicate as u32, 0);
            let slots = replicate * self.kept..(replicate + 1) * self.kept;
            let rows = self.size.replicates * self.kept;
            use super::collectives::Collectives;
            ranks.draw(context.blocks, &sampled.log_weights, decision, &sampled.paths, slots, rows, &mut self.paths);
        }
        self.tally.add(&concluded);
        self.steps += 1;
        if self.done() && self.tally.log_mean() == f64::NEG_INFINITY {
            let balls = self.chain.others.iter().flatten().any(|o| matches!(o, Other::Ball { .. }));
            let or =
                if balls { ", or larger balls" } else { "; guides that a fit has led astray push paths out of range" };
            let message =
                "no path meets the cost: every weight is 0. Take more paths, or a method or twist that looks ahead";
            return Err(Error::Numerical { step, message: format!("{message}{or}") });
        }
        Ok(if self.done() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        self.done()
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&STEPS, (&mut self.steps).into())?;
        walk.scalar(&ROUNDS, (&mut self.rounds).into())?;
        walk.scalar(&TRAINED, (&mut self.trained).into())?;
        self.method.state(walk)?;
        self.tally.state(self.method.has_durations(), walk)?;
        let global = [self.size.replicates * self.kept, self.chain.steps + 1, self.chain.dimension];
        let mine = Hyperslab::rows(self.rows.clone(), &global[1..]);
        walk.block(&PATHS, &global, &mine, (&mut self.paths).into())
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut time: Vec<f64> = (0..=self.chain.steps).map(|j| self.chain.time(j)).collect();
        walk.replicated(&TIME, &mut time)?;
        let mut observed = Vec::new();
        for (j, q) in self.chain.quadratics.iter().enumerate() {
            for (i, q) in q.iter().enumerate().filter(|(_, q)| q.a > 0.0) {
                observed.extend([self.chain.time(j), i as f64, q.c / q.a, (1.0 / q.a).sqrt()]);
            }
        }
        walk.replicated(&OBSERVED, &mut observed)?;
        let mut replicates = self.size.replicates as u64;
        walk.scalar(&REPLICATES, (&mut replicates).into())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let (level, quality) = self.method.training();
        let last = |list: &[f64]| list.last().copied().unwrap_or(f64::NAN);
        let any = self.tally.replicates() > 0;
        // Without weights there is no evidence, and what is worth a look is how moves do, or the coupling's error.
        if !self.method.has_evidence() {
            return match self.method.moves() {
                true => vec![(ACCEPTANCE, last(&self.tally.acceptance))],
                false => vec![(QUALITY, quality)],
            };
        }
        let log_mean = if any { self.tally.log_mean() } else { f64::NAN };
        vec![
            (LOG_EVIDENCE, log_mean),
            (LOG_EVIDENCE_ERROR, self.error().unwrap_or(f64::NAN)),
            (ESS, last(&self.tally.ess)),
            (ACCEPTANCE, last(&self.tally.acceptance)),
            (LEVEL, level),
            (QUALITY, quality),
        ]
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.marginals =
            if self.tally.log_mean() > f64::NEG_INFINITY { self.tally.marginals() } else { Marginals::default() };
        self.potential = self.landscape(team);
        self.notes.extend(self.method.unsettled().map(|u| u.note));
        if self.tally.replicates() == 0 {
            self.notes.push("the run ended before its first replicate: of the paths nothing is known yet".into());
        }
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let m = &mut self.marginals;
        let shape = [self.chain.steps + 1, self.chain.dimension];
        for (name, values) in [
            (&MEAN, &mut m.mean),
            (&MEAN_ERROR, &mut m.mean_error),
            (&DEVIATION, &mut m.deviation),
            (&DEVIATION_ERROR, &mut m.deviation_error),
        ] {
            // Replicated values are written by the owner of the first time.
            let mut whole = std::mem::take(values);
            if whole.len() == shape[0] * shape[1] {
                for i in 0..shape[1] {
                    let mut column: Vec<f64> = whole.iter().skip(i).step_by(shape[1]).copied().collect();
                    walk.replicated(&column_name(name, i, shape[1]), &mut column)?;
                }
            }
            *values = std::mem::take(&mut whole);
        }
        let mut shares = self.shares();
        walk.replicated(&SHARES, &mut shares)?;
        if let Some(l) = &mut self.potential {
            walk.replicated(&LANDSCAPE_X, &mut l.x)?;
            walk.replicated(&LANDSCAPE_Y, &mut l.y)?;
            walk.replicated(&LANDSCAPE, &mut l.values)?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.chain.level.name().to_string())]
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, meaning, value, error| Number { name, unit: "1", meaning, value, error };
        if self.tally.replicates() == 0 {
            let training = self.method.training_evaluations();
            return vec![number("training_evaluations", TRAINING_EVALUATIONS, training, ErrorBar::None)];
        }
        if !self.method.has_evidence() {
            let evaluations = self.tally.evaluations();
            let (_, error) = self.method.training();
            let unsettled = self.method.unsettled();
            let bar = |error: f64| if unsettled.is_some() { ErrorBar::None } else { ErrorBar::StdErr(error) };
            let mut report = Vec::new();
            if self.method.has_durations() && self.tally.replicates() > 1 {
                let (mean, error) = self.tally.duration();
                let meaning = match unsettled {
                    None => "mean duration of the paths; standard error from the replicates",
                    Some(_) => "mean duration of the paths; no error",
                };
                report.push(number("mean_duration", meaning, mean, bar(error)));
            }
            report.extend(unsettled.iter().map(|u| number(u.name, u.meaning, u.value, ErrorBar::None)));
            if !error.is_nan() {
                let meaning = "error of the target marginal of the coupling";
                report.push(number("marginal_error", meaning, error, ErrorBar::None));
            }
            if let Some(last) = self.tally.acceptance.last().filter(|a| !a.is_nan()) {
                report.push(number("acceptance", "accepted share of the moves", *last, ErrorBar::None));
            }
            // The end of the paths, as the number that a reader checks first.
            let m = &self.marginals;
            if let (Some(mean), Some(error)) = (m.mean.last(), m.mean_error.last()) {
                let meaning = "mean of the last coordinate at the last time";
                report.push(number("mean_at_end", meaning, *mean, bar(*error)));
            }
            report.push(number("path_steps", "steps of paths that were drawn", evaluations, ErrorBar::None));
            return report;
        }
        let n = self.tally.replicates();
        let (error, unsettled) = (self.error(), self.method.unsettled());
        let meaning = match error {
            Some(_) => "log of the evidence Z = E[exp(-J)]; standard error from the replicates",
            None if self.tally.error().is_some() => {
                "log of the evidence Z = E[exp(-J)]; no error: so few paths are effective that regions may be missed"
            }
            None => "log of the evidence Z = E[exp(-J)]; the replicates spread too far for an error: take more paths",
        };
        let bar = error.map_or(ErrorBar::None, ErrorBar::StdErr);
        let mut report = vec![number("log_evidence", meaning, self.tally.log_mean(), bar)];
        if let Some(known) = self.known {
            let off = self.tally.log_mean() - known;
            report.push(number("off_known", "log-evidence minus the known one", off, bar));
            if let Some(e) = error.filter(|e| *e > 0.0) {
                report.push(number("off_known_in_errors", "the same in standard errors", off / e, ErrorBar::None));
            }
        }
        let spread = self.tally.spread();
        let limit = "standard deviation of a replicate's evidence over the mean";
        report.push(number("evidence_spread", limit, spread, ErrorBar::None));
        debug_assert!(error.is_none() || spread <= LARGEST_SPREAD);
        if let Some((value, meaning)) = self.method.other_log_evidence() {
            report.push(number("log_evidence_by_training", meaning, value, ErrorBar::None));
        }
        if let Some(u) = unsettled {
            report.push(number(u.name, u.meaning, u.value, ErrorBar::None));
        }
        let share = self.tally.share(self.size.paths);
        report.push(number("ess_share", "effective share of the paths, mean over replicates", share, ErrorBar::None));
        let resamplings = self.tally.resamplings.iter().sum::<f64>() / n.max(1) as f64;
        report.push(number("resamplings", "resamplings in a replicate, on average", resamplings, ErrorBar::None));
        if let Some(last) = self.tally.acceptance.last().filter(|a| !a.is_nan()) {
            report.push(number("acceptance", "accepted share of the last level's moves", *last, ErrorBar::None));
        }
        let evaluations = self.tally.evaluations();
        let training = self.method.training_evaluations();
        report.push(number("drift_evaluations", "of the replicates", evaluations, ErrorBar::None));
        report.push(number("training_evaluations", TRAINING_EVALUATIONS, training, ErrorBar::None));
        if n > 1 && spread > 0.0 {
            // Evidence errors fall with the square root of the number of paths.
            let needed = evaluations * (spread * spread / n as f64) / (0.1 * 0.1);
            let meaning = "drift evaluations that an error of 0.1 of the log-evidence takes, training included";
            report.push(number("evaluations_to_0.1", meaning, needed + training, ErrorBar::None));
        }
        report
    }

    fn work(&self) -> (f64, &'static str) {
        (self.tally.evaluations() + self.method.training_evaluations(), "drift evaluations")
    }

    /// Rounds of training come first, and their number is seldom known; replicates cost the same each.
    fn outlook(&self) -> Outlook {
        let left = match self.trained {
            1 => Left::Steps((self.size.replicates - self.tally.replicates()) as u64),
            _ => Left::Unknown,
        };
        Outlook { stage: self.trained, left }
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn column_name(name: &Name, coordinate: usize, of: usize) -> Name {
    if of == 1 {
        return *name;
    }
    Name::kept(
        &format!("{}_{coordinate}", name.name),
        name.units,
        &format!("{}, coordinate {coordinate}", name.meaning),
        name.axes,
    )
}

const fn scalar(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

const REPLICATES: Name = scalar("replicates", "replicates asked for");
const STEPS: Name = scalar("rounds_done", "rounds of training and replicates done");
const ROUNDS: Name = scalar("training_rounds", "rounds of training done");
const TRAINED: Name = scalar("trained", "1 once nothing is left to learn");
const LOG_EVIDENCE: Name = scalar("log_evidence", "log of the mean evidence of the replicates so far");
const LOG_EVIDENCE_ERROR: Name = scalar("log_evidence_error", "its standard error; NaN where none is claimed");
const ESS: Name = scalar("ess", "effective sample size of the last replicate's final weights");
const ACCEPTANCE: Name = scalar("acceptance", "accepted share of moves in the last replicate");
const LEVEL: Name = scalar("level", "level of the training, from 0 to 1");
const QUALITY: Name = scalar("training_residual", "share of the training's target that is not explained");
const PATHS: Name = Name {
    name: "paths",
    units: "1",
    meaning: "posterior paths, equally weighted within their replicate; NaN where no path of it has weight",
    axes: &["path", "time", "coordinate"],
};
const TIME: Name = Name { name: "time", units: "1", meaning: "times of the paths", axes: &["time"] };
const OBSERVED: Name = Name {
    name: "observed",
    units: "1",
    meaning: "observations: time, coordinate, value, deviation, one after the other",
    axes: &["observation_value"],
};
const SHARES: Name = Name {
    name: "replicate_share",
    units: "1",
    meaning: "share of each replicate in the evidence",
    axes: &["replicate"],
};
const fn marginal(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &["time"] }
}
const MEAN: Name = marginal("mean", "posterior mean");
const MEAN_ERROR: Name = marginal("mean_error", "standard error of the posterior mean");
const DEVIATION: Name = marginal("deviation", "posterior standard deviation");
const DEVIATION_ERROR: Name = marginal("deviation_error", "standard error of the posterior standard deviation");
const LANDSCAPE_X: Name = Name {
    name: "landscape_x",
    units: "1",
    meaning: "first coordinate of the potential's grid",
    axes: &["landscape_x"],
};
const LANDSCAPE_Y: Name = Name {
    name: "landscape_y",
    units: "1",
    meaning: "second coordinate of the potential's grid",
    axes: &["landscape_y"],
};
const LANDSCAPE: Name = Name {
    name: "landscape",
    units: "1",
    meaning: "potential of the reference, rows of the second coordinate",
    axes: &["landscape_point"],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::solvers::paths::setup::read;
    use crate::team::Solo;

    #[test]
    fn kept_paths_of_replicates_that_all_miss_a_ball_are_not_numbers_and_the_others_end_in_it() {
        // 1.1 % of the paths end in the ball: of 64 none or one or two.
        let text = "solver = \"paths\"\n[problem]\nprior = { kind = \"brownian\" }\nnoise = 1.0\nstart = [0.0]\n\
                    time_step = 0.1\nsteps = 10\nballs = [{ step = 10, centre = [2.5], radius = 0.3 }]\n\
                    [method]\nname = \"importance\"\npaths = 64\nreplicates = 16\n";
        let input = Input::parse(Path::new("a.toml"), text, &[]).unwrap();
        let mut paths = Paths::new(read(&input, crate::math::simd::Level::detect()).unwrap(), 0, &Solo);
        let mut step = 0;
        while !matches!(paths.step(step, &Solo).unwrap(), Status::Finished(_)) {
            step += 1;
        }
        let dead = |l: &f64| *l == f64::NEG_INFINITY;
        let none = paths.tally.log_evidence.iter().filter(|l| dead(l)).count();
        assert!(none > 0 && none < 16, "{none}");
        for (l, rows) in paths.tally.log_evidence.iter().zip(paths.paths.chunks(paths.kept * 11)) {
            for path in rows.chunks(11) {
                match dead(l) {
                    true => assert!(path.iter().all(|x| x.is_nan())),
                    false => assert!(path[0] == 0.0 && (path[10] - 2.5).abs() <= 0.3, "{path:?}"),
                }
            }
        }
    }

    #[test]
    fn before_its_first_replicate_a_run_claims_nothing_of_the_evidence() {
        let text = "solver = \"paths\"\n[problem]\nprior = { kind = \"brownian\" }\nnoise = 1.0\nstart = [0.0]\n\
                    time_step = 0.1\nsteps = 10\nobservations = [{ step = 10, value = [1.0], deviation = [0.1] }]\n\
                    [method]\nname = \"controlled_annealing\"\nlow = [-3.0]\nhigh = [3.0]\npaths = 64\nreplicates = 2\n";
        let input = Input::parse(Path::new("a.toml"), text, &[]).unwrap();
        let mut paths = Paths::new(read(&input, crate::math::simd::Level::detect()).unwrap(), 0, &Solo);
        paths.step(0, &Solo).unwrap();
        assert_eq!((paths.steps, paths.tally.replicates()), (1, 0));
        paths.finish(&Solo).unwrap();
        let names: Vec<&str> = paths.report().iter().map(|n| n.name).collect();
        assert_eq!(names, ["training_evaluations"]);
        assert!(paths.notes().iter().any(|n| n.contains("before its first replicate")), "{:?}", paths.notes());
    }
}
