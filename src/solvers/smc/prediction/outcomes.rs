//! Posterior predictive of a sampler: what its particles say of cases with an outcome of 0 or 1, those of the data and new ones.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::input::Input;
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::particles::estimate::{Estimated, over_islands};
use crate::particles::{Draws, Filter, View};
use crate::solvers::smc::models::cases::Cases;
use crate::solvers::smc::models::{ReadFile, Sampler};
use crate::solvers::smc::problem::{PredictInput, ProblemInput};
use crate::solvers::{ErrorBar, Number};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::Team;

/// Cases to be predicted, with what was found of them.
pub struct Cohort {
    pub cases: Cases,
    /// Numbers its random draws.
    number: u32,
    names: Names,
    /// P(y = 1) of each case; empty until it was looked at.
    pub probabilities: Vec<Estimated>,
    /// Of the cases whose outcome is known: none where there are none.
    pub scores: Option<Scores>,
    bins: [Bin; BINS],
    /// Outcomes: island × draw × case of this rank.
    pub(super) drawn: Vec<f64>,
    draws: usize,
    islands: usize,
    /// Cases whose outcomes this rank draws.
    pub(super) mine: Range<usize>,
}

/// How good probabilities are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Mean of ln P(what was seen).
    pub log: Estimated,
    /// Mean of (P(y = 1) − y)² [Brier1950].
    pub brier: Estimated,
    /// Mean distance of the share of ones from the mean probability, over bins of the probability by their cases.
    pub calibration: f64,
}

/// Cases of known outcome whose probability lies in one of [`BINS`] equal parts of [0, 1].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bin {
    cases: f64,
    probabilities: f64,
    ones: f64,
}

/// Cases whose probabilities ranks add up in one call.
const TOGETHER: usize = 256;
/// Bins of the calibration.
pub const BINS: usize = 10;

struct Names {
    probability: Name,
    error: Name,
    label: Name,
    drawn: Name,
    /// Mean probability, share of ones and cases of the bins.
    bins: [Name; 3],
    /// log, Brier, calibration.
    scores: [Name; 3],
}

/// The cohorts that `problem.predict` asks for: the data, and new cases where a file is given.
///
/// # Errors
/// A target without outcomes, keys of times, a file that does not fit.
pub fn cohorts(
    input: &Input,
    asked: &PredictInput,
    problem: &ProblemInput,
    sampler: &mut Sampler,
    read: &ReadFile<'_>,
) -> Result<Vec<Cohort>> {
    let refuse = |key: &str, message: String| -> Error { input.invalid(key, message) };
    let word = problem.model.about().word;
    let Some(outcomes) = sampler.outcomes.take() else {
        let message = format!(
            "is for state-space models and \"logistic_regression\"; problem.model.kind = \"{word}\" has no data to predict"
        );
        return Err(refuse("problem.predict", message));
    };
    let times = [("steps", asked.steps > 0), ("interval", asked.interval.is_some())];
    if let Some((key, _)) = times.iter().find(|(_, given)| *given) {
        let message = format!("is for observations in time; \"{word}\" has cases: allowed are file, dataset and draws");
        return Err(refuse(&format!("problem.predict.{key}"), message));
    }
    let mut found = vec![Cohort::new(outcomes.cases, "", asked.draws)];
    let Some(file) = &asked.file else {
        return match asked.dataset {
            Some(_) => Err(refuse("problem.predict.dataset", "is of problem.predict.file, which is not given".into())),
            None => Ok(found),
        };
    };
    let table = read("file", &file.to_string_lossy(), asked.dataset.as_deref());
    let cases = table.and_then(|table| outcomes.columns.cases(&table));
    let cases = cases.map_err(|(_, message)| refuse("problem.predict.file", message))?;
    found.push(Cohort { number: 1, ..Cohort::new(cases, "new_", asked.draws) });
    Ok(found)
}

impl Names {
    fn new(prefix: &str) -> Names {
        let case = format!("{prefix}case");
        let kept =
            |name: &str, meaning: &str, axes: &[&str]| Name::kept(&format!("{prefix}{name}"), "1", meaning, axes);
        let of = if prefix.is_empty() { "cases of the data" } else { "new cases" };
        let one = |name: &str, meaning: &str| kept(name, meaning, &[&case]);
        let bin = |name: &str, meaning: &str| {
            kept(name, &format!("{meaning}, {of} by predicted probability"), &["calibration_bin"])
        };
        let score = |name: &str, meaning: &str| kept(name, &format!("{meaning}, {of}"), &[]);
        Names {
            probability: one("predicted_probability", "P(y = 1) of each case given the data"),
            error: one("predicted_probability_error", "standard error (between islands) of P(y = 1)"),
            label: one("label", "outcome of each case; NaN where unknown"),
            drawn: kept("posterior_predictive_y", "drawn outcomes of each case", &["island", "draw", &case]),
            bins: [
                bin("calibration_predicted", "mean predicted probability"),
                bin("calibration_observed", "share of outcomes that were 1"),
                bin("calibration_cases", "number of cases of known outcome"),
            ],
            scores: [
                score("log_score", "mean of ln P(what was seen)"),
                score("brier_score", "mean of (P(y = 1) − y)²"),
                score("calibration_error", "mean distance of the share of ones from P(y = 1) over ten bins of it"),
            ],
        }
    }
}

impl Cohort {
    fn new(cases: Cases, prefix: &str, draws: usize) -> Cohort {
        Cohort {
            cases,
            number: 0,
            names: Names::new(prefix),
            probabilities: Vec::new(),
            scores: None,
            bins: [Bin::default(); BINS],
            drawn: Vec::new(),
            draws,
            islands: 0,
            mine: 0..0,
        }
    }

    /// What the particles of `filter` say, whose islands count by `weights`. Collective.
    pub fn look(&mut self, filter: &Filter, weights: &[f64], team: &dyn Team) {
        let islands = filter.islands.len();
        let (mut log, mut brier) = (0.0, 0.0);
        // What an island adds to the scores to first order: errors of cases are not independent.
        let mut slopes = [vec![0.0; islands], vec![0.0; islands]];
        (self.probabilities, self.bins) = (Vec::with_capacity(self.cases.len()), [Bin::default(); BINS]);
        let cases = self.cases.len();
        let block = |first: usize| first..cases.min(first + TOGETHER);
        let seen = (0..cases)
            .step_by(TOGETHER)
            .flat_map(|first| filter.means_of(block(first), |r, x, value| self.cases.probability(r, x, value), team));
        for (label, seen) in self.cases.labels.iter().zip(seen) {
            let found = over_islands(&seen, weights);
            let one = if *label == 0.0 { 1.0 - found.value } else { found.value };
            self.probabilities.push(Estimated { value: one, ..found });
            if label.is_nan() {
                continue;
            }
            let bin = &mut self.bins[((one * BINS as f64) as usize).min(BINS - 1)];
            *bin = Bin { cases: bin.cases + 1.0, probabilities: bin.probabilities + one, ones: bin.ones + label };
            // Where all particles exclude what was seen, the logarithm stays a number.
            let (p, miss) = (found.value.max(f64::MIN_POSITIVE), 1.0 - found.value);
            log += ln(p);
            brier += miss * miss;
            for (i, seen) in seen.iter().enumerate() {
                slopes[0][i] += seen / p;
                slopes[1][i] -= 2.0 * miss * seen;
            }
        }
        let known = self.bins.iter().map(|b| b.cases).sum::<f64>();
        let [log_error, brier_error] = slopes.map(|of| over_islands(&of, weights).standard_error / known);
        let distance: f64 = self.bins.iter().map(|b| (b.ones - b.probabilities).abs()).sum();
        self.scores = (known > 0.0).then(|| Scores {
            log: Estimated { value: log / known, standard_error: log_error },
            brier: Estimated { value: brier / known, standard_error: brier_error },
            calibration: distance / known,
        });
        self.draw(filter, team);
    }

    /// Outcomes of every case for `draws` particles of each island, whose weights are equal; each rank draws some of the cases.
    /// Collective.
    fn draw(&mut self, filter: &Filter, team: &dyn Team) {
        self.islands = filter.islands.len();
        self.mine = team.split(self.cases.len()).mine();
        if self.draws == 0 {
            return;
        }
        let states = filter.spaced(self.draws, team);
        let (n, width) = (self.islands * self.draws, filter.population.dimension);
        let coordinates: Vec<f64> =
            (0..self.cases.width).flat_map(|c| states.iter().skip(c).step_by(width)).copied().collect();
        let view = View::new(filter.options.level, &coordinates, n, n);
        let (mut value, mut u, m) = (vec![0.0; n], vec![0.0; n], self.mine.len());
        self.drawn = vec![0.0; n * m];
        for (at, r) in self.mine.clone().enumerate() {
            self.cases.probability(r, view, &mut value);
            let address = Draws::new(filter.options.level, filter.options.seed, Stream::ParticlesPredictive, r as u32);
            address.uniforms(self.number, &mut u);
            let is_one = self.cases.labels[r] != 0.0;
            for (k, (u, p)) in u.iter().zip(&value).enumerate() {
                self.drawn[k * m + at] = f64::from(u8::from((u < p) == is_one));
            }
        }
    }

    /// Writes what was found. Collective.
    ///
    /// # Errors
    /// Those of the file.
    pub fn walk(&self, walk: &mut dyn Walk) -> Result<()> {
        let Names { probability, error, label, drawn, bins, .. } = &self.names;
        let list = |of: fn(&Estimated) -> f64| -> Vec<f64> { self.probabilities.iter().map(of).collect() };
        walk.replicated(probability, &mut list(|e| e.value))?;
        walk.replicated(error, &mut list(|e| e.standard_error))?;
        walk.replicated(label, &mut self.cases.labels.clone())?;
        if self.scores.is_some() {
            let of: [fn(&Bin) -> f64; 3] = [|b| b.probabilities / b.cases, |b| b.ones / b.cases, |b| b.cases];
            for (name, of) in bins.iter().zip(of) {
                walk.replicated(name, &mut self.bins.iter().map(of).collect())?;
            }
        }
        if self.draws == 0 {
            return Ok(());
        }
        let start = vec![0, 0, self.mine.start];
        let mine = Hyperslab { start, count: vec![self.islands, self.draws, self.mine.len()] };
        walk.given(drawn, &[self.islands, self.draws, self.cases.len()], &mine, &self.drawn)
    }

    pub fn report(&self) -> Vec<Number> {
        let Some(Scores { log, brier, calibration }) = self.scores else { return Vec::new() };
        let bar = |e: Estimated| ErrorBar::of(e.standard_error);
        let values = [(log.value, bar(log)), (brier.value, bar(brier)), (calibration, ErrorBar::None)];
        let one = |(name, (value, error)): (&Name, (f64, ErrorBar))| {
            let Name { name, meaning, .. } = *name;
            Number { name, unit: "1", meaning, value, error }
        };
        self.names.scores.iter().zip(values).map(one).collect()
    }

    /// Bytes of the cases on every rank, and of what is written of them in a run of so many islands.
    pub fn bytes(&self, islands: usize) -> (u64, u64) {
        let n = self.cases.len() as u64;
        (8 * n * (self.cases.width as u64 + 4), 8 * n * (3 + (islands * self.draws) as u64))
    }
}
