//! Posterior predictive: the law of every observation given those before it, and of times after the last one.
//!
//! A filter meets the times after the data as times without an observation: its series go on there, and the law of the next
//! observation becomes the forecast. Chains of parameters draw observations along their paths instead, SMC² does both.

pub mod outcomes;
#[cfg(test)]
mod outcomes_tests;

use std::sync::Arc;

use super::data::Observations;
use super::models::{Proposal, StateSpace};
use super::problem::{MethodInput, Name as Method, PredictInput, ProblemInput};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::particles::estimate::{Estimated, over_islands};
use crate::particles::lineage::Moments;
use crate::particles::predictive::draws_observations;
use crate::particles::{Family, FeynmanKac, Filter};
use crate::solvers::{ErrorBar, Number};
use crate::state::{Name, Walk};
use crate::team::Team;

use super::smoothing::together;

/// The model at the times of the data and after, without data.
pub struct Free {
    pub flow: Box<dyn FeynmanKac>,
    /// Over the parameters that vary, where some do.
    pub family: Option<Box<dyn Family>>,
    /// Names of the components of an observation.
    pub components: Vec<String>,
    /// Times of the data and those after.
    pub times: Vec<f64>,
    /// How many are of the data.
    pub seen: usize,
}

impl Free {
    /// # Errors
    /// What cannot be predicted: by method, by model, by an interval that is not positive.
    pub fn new(
        input: &Input,
        asked: &PredictInput,
        problem: &ProblemInput,
        method: &MethodInput,
        model: &dyn StateSpace,
        data: &Observations,
    ) -> Result<Free> {
        let refuse = |key: &str, message: String| -> Error { input.invalid(key, message) };
        let of_cases =
            [("file", asked.file.is_some()), ("dataset", asked.dataset.is_some()), ("draws", asked.draws > 0)];
        if let Some((key, _)) = of_cases.iter().find(|(_, given)| *given) {
            let message = format!(
                "is for \"logistic_regression\", not for \"{}\", whose observations have times: allowed are steps and interval",
                problem.model.about().word
            );
            return Err(refuse(&format!("problem.predict.{key}"), message));
        }
        if method.name == Method::Pmmh && asked.steps == 0 {
            let message =
                "must be 1 at least: \"pmmh\" keeps no path of the data's times, and predicts those after them alone";
            return Err(refuse("problem.predict.steps", message.into()));
        }
        if asked.interval.is_some_and(|dt| !(dt > 0.0 && dt.is_finite())) {
            return Err(refuse("problem.predict.interval", "must be positive and finite".into()));
        }
        let (seen, components) = (data.len(), model.components());
        let interval = asked.interval.unwrap_or(if seen > 1 { data.interval(seen - 1) } else { 1.0 });
        let last = data.times[seen - 1];
        let mut times = data.times.clone();
        times.extend((1..=asked.steps).map(|k| last + k as f64 * interval));
        let values = vec![f64::NAN; times.len() * components.len()];
        let blank = Arc::new(Observations { components: components.len(), times: times.clone(), values });
        let flow = model
            .flow(&blank, Proposal::Bootstrap)
            .map_err(|(key, message)| refuse(&format!("problem.{key}"), message))?;
        if !draws_observations(flow.as_ref(), components.len()) {
            let message = format!("the model {} does not draw observations", problem.model.about().word);
            return Err(refuse("problem.predict", message));
        }
        let family = model.family(&blank, &method.parameters);
        Ok(Free { flow, family, components, times, seen })
    }

    /// The data, and nothing seen at the times after them.
    pub fn after(&self, data: &Observations) -> Observations {
        let mut values = data.values.clone();
        values.resize(self.times.len() * data.components, f64::NAN);
        Observations { components: data.components, times: self.times.clone(), values }
    }

    /// Names of predictive draws, by component.
    pub fn names(&self, axes: &[&str]) -> Vec<Name> {
        let one = |c: &String| {
            Name::kept(&format!("posterior_predictive_{c}"), "1", &format!("drawn observations of {c}"), axes)
        };
        self.components.iter().map(one).collect()
    }
}

/// What islands say of an observation before it is seen.
pub struct Said {
    /// Of each component.
    pub moments: Moments,
    /// The weight of less than what was seen, half where equal, NaN where missing: [component][island].
    pub pit: Vec<Vec<f64>>,
}

impl Said {
    /// By the islands of `next`, whose particles are drawn observations. Collective.
    pub fn of(next: &Filter, seen: &[f64], team: &dyn Team) -> Said {
        let (means, variances) = next.moments(team);
        let pit = |(c, y): (usize, &f64)| {
            let below = |t: usize, i: usize| match next.population.at(t, c, i).partial_cmp(y) {
                Some(std::cmp::Ordering::Less) => 1.0,
                Some(std::cmp::Ordering::Equal) => 0.5,
                _ => 0.0,
            };
            if y.is_nan() { vec![f64::NAN; next.islands.len()] } else { next.means(team, below) }
        };
        Said { moments: Moments { means, variances }, pit: seen.iter().enumerate().map(pit).collect() }
    }
}

/// What was said of the observation of the last step before it was seen.
pub struct Ahead {
    names: Vec<Name>,
    /// In the order of names; NaN before the first step.
    numbers: Vec<f64>,
    /// Of a component.
    width: usize,
}

impl Ahead {
    /// Quantiles of `levels` are recorded.
    pub fn new(free: &Free, levels: &[f64]) -> Ahead {
        let mut names = Vec::new();
        for c in &free.components {
            let mut add = |prefix: &str, of: &str| names.push(Name::kept(&format!("{prefix}_{c}"), "1", of, &[]));
            let of = format!("of {c} given the observations before");
            add("predicted_mean", &format!("mean {of}"));
            add("predicted_mean_error", &format!("standard error (between islands) of the mean {of}"));
            add("predicted_sd", &format!("standard deviation {of}"));
            add("predicted_sd_error", &format!("standard error (between islands) of the standard deviation {of}"));
            add("pit", &format!("probability of less than what was seen {of} (half where equal); NaN where missing"));
            for l in levels {
                add(&format!("predicted_quantile_{l}"), &format!("quantile of level {l} {of}"));
            }
        }
        Ahead { numbers: vec![f64::NAN; names.len()], names, width: 5 + levels.len() }
    }

    /// Takes note of what `filter`, whose weights do not look ahead and whose islands count by `weights`, says of the next
    /// observation; `seen` are its components. Collective.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn look(
        &mut self,
        free: &Free,
        filter: &Filter,
        weights: &[f64],
        (levels, seen): (&[f64], &[f64]),
        team: &dyn Team,
    ) -> Result<()> {
        let next = filter.observed_next(free.flow.as_ref(), free.components.len(), team)?;
        self.note(&Said::of(&next, seen, team), weights);
        if levels.is_empty() {
            return Ok(());
        }
        for (c, numbers) in self.numbers.chunks_exact_mut(self.width).enumerate() {
            numbers[5..].copy_from_slice(&next.quantiles(c, levels, weights, team));
        }
        Ok(())
    }

    /// Takes note of what islands of these weights said.
    pub fn note(&mut self, said: &Said, weights: &[f64]) {
        let found = together(&said.moments, weights);
        for ((numbers, [mean, sd]), pit) in self.numbers.chunks_exact_mut(self.width).zip(&found).zip(&said.pit) {
            let pit = over_islands(pit, weights).value;
            numbers[..5].copy_from_slice(&[mean.value, mean.standard_error, sd.value, sd.standard_error, pit]);
        }
    }

    pub fn record(&self) -> impl Iterator<Item = (Name, f64)> {
        self.names.iter().copied().zip(self.numbers.iter().copied())
    }

    /// # Errors
    /// Those of the file.
    pub fn walk(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let name = Name {
            name: "predicted",
            units: "1",
            meaning: "numbers of the last observation given those before, component after component",
            axes: &["predicted_number"],
        };
        walk.scalar(&name, (&mut self.numbers).into())
    }

    /// Of the last time: means and standard deviations of the first components.
    pub fn report(&self) -> Vec<Number> {
        let mut report = Vec::new();
        for (names, numbers) in self.names.chunks(self.width).zip(self.numbers.chunks(self.width)).take(8) {
            for k in [0, 2] {
                let error = Estimated { value: numbers[k], standard_error: numbers[k + 1] };
                let Name { name, meaning, .. } = names[k];
                let bar = ErrorBar::of(error.standard_error);
                report.push(Number { name, unit: "1", meaning, value: error.value, error: bar });
            }
        }
        report
    }
}
