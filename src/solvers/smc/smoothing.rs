//! Smoothing as a filter runs: what is kept of the particles' past, and the moments of every time at the end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::particles::estimate::{Estimated, island_weights, over_islands};
use crate::particles::history::History;
use crate::particles::lineage::Moments;
use crate::particles::{FeynmanKac, Filter};
use crate::state::{Name, Walk};
use crate::team::Team;

/// How the states of earlier times are estimated from all data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SmoothingInput {
    /// By ancestors: every particle of the end counts for its whole line. Early times rest on few ancestors.
    Genealogy {},
    /// Backward simulation: trajectories drawn backwards by the transition density, which the model must have.
    Backward {
        /// Trajectories of each island.
        #[serde(default = "hundred")]
        #[schemars(range(min = 2, max = 1_000_000))]
        trajectories: usize,
    },
    /// By ancestors over `lag` times only: each state given the data up to `lag` times later. Biased, with little variance.
    FixedLag {
        /// Times after which a state is settled.
        #[schemars(range(min = 1, max = 100_000))]
        lag: usize,
    },
}

fn hundred() -> usize {
    100
}

impl SmoothingInput {
    /// States that are kept on a rank with `particles` of its own, at most, for `times`; those of a genealogy are about
    /// `times` and some islands' N ln N [JacobMurrayRubenthaler2015], at first all.
    pub fn kept(self, particles: u64, times: u64) -> u64 {
        let ln = crate::math::elementary::ln(particles.max(2) as f64) as u64 + 1;
        particles
            * match self {
                SmoothingInput::Genealogy {} => ln.min(times),
                SmoothingInput::Backward { .. } => times,
                SmoothingInput::FixedLag { lag } => (lag as u64 + 1).min(times),
            }
    }
}

/// The past of a filter's particles, and what was found.
pub struct Smoother {
    kind: SmoothingInput,
    history: History,
    /// [time][coordinate]: mean and standard deviation.
    found: Vec<Vec<[Estimated; 2]>>,
}

impl Smoother {
    /// For a filter that keeps ancestors, before its first step.
    pub fn new(kind: SmoothingInput, filter: &Filter) -> Smoother {
        Smoother { kind, history: History::new(filter), found: Vec::new() }
    }

    /// Steps taken note of.
    pub fn steps(&self) -> usize {
        self.history.steps()
    }

    /// Takes note of the particles after a step. Collective.
    pub fn push(&mut self, filter: &Filter, team: &dyn Team) {
        self.history.push(filter);
        match self.kind {
            SmoothingInput::Genealogy {} => self.history.prune(filter, team),
            SmoothingInput::Backward { .. } => {}
            SmoothingInput::FixedLag { lag } if self.steps() > lag => {
                let moments = self.history.descents(filter, lag, lag, team);
                self.found.extend(moments.iter().map(|m| joined(m, filter)));
                self.history.forget(lag);
            }
            SmoothingInput::FixedLag { .. } => {}
        }
    }

    /// The moments of all times that are not settled yet. Collective.
    ///
    /// # Errors
    /// Backward simulation that finds no way back.
    pub fn finish(&mut self, flow: &dyn FeynmanKac, filter: &Filter, team: &dyn Team) -> Result<()> {
        let left = self.steps() - self.found.len();
        if left == 0 {
            return Ok(());
        }
        let moments = match self.kind {
            SmoothingInput::Backward { trajectories } => self.simulated(flow, filter, trajectories, team)?,
            _ => self.history.descents(filter, 0, left - 1, team).into_iter().rev().collect(),
        };
        self.found.extend(moments.iter().map(|m| joined(m, filter)));
        Ok(())
    }

    fn simulated(&self, flow: &dyn FeynmanKac, filter: &Filter, n: usize, team: &dyn Team) -> Result<Vec<Moments>> {
        let (times, d) = (self.steps(), filter.population.dimension);
        let none = Moments { means: vec![Vec::new(); d], variances: vec![Vec::new(); d] };
        let mut found = vec![none; times];
        for island in 0..filter.layout.islands {
            let paths = self.history.backward(flow, filter, island, n, team)?;
            for (t, moments) in found.iter_mut().enumerate() {
                for c in 0..d {
                    let (mean, variance) = spread((0..n).map(|k| paths.at(k, t, c)));
                    moments.means[c].push(mean);
                    moments.variances[c].push(variance);
                }
            }
        }
        Ok(found)
    }

    /// Means and standard deviations with their errors, once `finish` has found them.
    pub fn found(&self) -> &[Vec<[Estimated; 2]>] {
        &self.found
    }
}

/// Mean and variance (over n) of equally likely numbers.
pub fn spread(x: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = x.clone().count() as f64;
    let mean = x.clone().sum::<f64>() / n;
    (mean, x.map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

/// Over islands, each weighted by its evidence.
fn joined(moments: &Moments, filter: &Filter) -> Vec<[Estimated; 2]> {
    let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
    together(moments, &island_weights(&logs))
}

/// Mean and standard deviation of every coordinate with errors between islands of the given weights.
pub fn together(moments: &Moments, weights: &[f64]) -> Vec<[Estimated; 2]> {
    let one = |(means, variances): (&Vec<f64>, &Vec<f64>)| {
        let mean = over_islands(means, weights);
        let about = |(m, v): (&f64, &f64)| v + (m - mean.value) * (m - mean.value);
        let second: Vec<f64> = means.iter().zip(variances).map(about).collect();
        let variance = over_islands(&second, weights);
        let sd = variance.value.sqrt();
        [mean, Estimated { value: sd, standard_error: variance.standard_error / (2.0 * sd) }]
    };
    moments.means.iter().zip(&moments.variances).map(one).collect()
}

/// Names of the results of smoothing, by coordinate: mean, its error, standard deviation, its error.
pub struct SmoothedNames(Vec<[Name; 4]>);

impl SmoothedNames {
    pub fn new(coordinates: &[String]) -> SmoothedNames {
        let one = |c: &String| {
            [
                ("mean", "smoothing mean"),
                ("mean_error", "standard error of the smoothing mean"),
                ("sd", "smoothing standard deviation"),
                ("sd_error", "standard error of the smoothing standard deviation"),
            ]
            .map(|(name, of)| Name::kept(&format!("smoothed_{name}_{c}"), "1", &format!("{of} of {c}"), &["time"]))
        };
        SmoothedNames(coordinates.iter().map(one).collect())
    }

    /// Writes what was found, a list over times each. Collective.
    ///
    /// # Errors
    /// Those of the file.
    pub fn walk(&self, found: &[Vec<[Estimated; 2]>], walk: &mut dyn Walk) -> Result<()> {
        for (c, names) in self.0.iter().enumerate() {
            for (k, name) in names.iter().enumerate() {
                let number = |e: &Estimated| if k % 2 == 0 { e.value } else { e.standard_error };
                let mut list: Vec<f64> = found.iter().map(|f| number(&f[c][k / 2])).collect();
                walk.replicated(name, &mut list)?;
            }
        }
        Ok(())
    }
}
