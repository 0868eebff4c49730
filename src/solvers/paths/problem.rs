//! What is asked: the typed `[problem]` of paths, and the chain it describes.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chain::{Chain, Other, Quadratic, Start};
use super::priors::PriorInput;
use crate::math::elementary::ln;
use crate::math::simd::Level;

/// `[problem]` of paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemInput {
    /// The reference diffusion.
    pub prior: PriorInput,
    /// σ of the noise σ dW.
    #[serde(default = "root_two")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub noise: f64,
    /// Where paths start, one number per coordinate.
    #[schemars(length(min = 1, max = 64))]
    pub start: Vec<f64>,
    /// Standard deviation of the start per coordinate; absent: all paths start at one point.
    #[serde(default)]
    pub start_deviation: Option<Vec<f64>>,
    /// Step h of the Euler–Maruyama chain; only a committor needs none.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub time_step: Option<f64>,
    /// Steps n of the chain: paths have n + 1 times; only a committor needs none.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub steps: Option<usize>,
    /// Gaussian observations (and soft end conditions): cost |x − value|²/(2 deviation²).
    #[serde(default)]
    pub observations: Vec<ObservationInput>,
    /// Balls that paths must be in: cost 0 inside, infinite outside.
    #[serde(default)]
    pub balls: Vec<BallInput>,
    /// A running cost h·scale·Φ(x) at each time of a range.
    #[serde(default)]
    pub running: Option<RunningInput>,
    /// Observations count with their normalised density, so that the evidence is that of a Bayesian model.
    #[serde(default)]
    pub normalised: bool,
    /// The evidence as known from elsewhere: the report says how far away the estimate is.
    #[serde(default)]
    pub known_log_evidence: Option<f64>,
    /// What is written.
    #[serde(default)]
    pub output: OutputInput,
}

fn root_two() -> f64 {
    std::f64::consts::SQRT_2
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObservationInput {
    /// The step after which the path is observed, from 0 to `steps`.
    pub step: usize,
    /// Observed values, one per coordinate observed.
    #[schemars(length(min = 1))]
    pub value: Vec<f64>,
    /// Standard deviation of the error, one for all or one per value.
    #[schemars(length(min = 1))]
    pub deviation: Vec<f64>,
    /// Coordinates that are observed, from 0; absent: all (a mask hides the others).
    #[serde(default)]
    pub coordinates: Option<Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BallInput {
    /// The step at which the path must be inside.
    pub step: usize,
    /// Centre, one number per coordinate.
    pub centre: Vec<f64>,
    /// Radius.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub radius: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunningInput {
    /// The diffusion whose Girsanov functional Φ = |b|²/(2σ²) + ½ div b is the running cost.
    pub functional_of: PriorInput,
    /// Factor of the cost.
    #[serde(default = "one")]
    pub scale: f64,
    /// First step that pays.
    #[serde(default)]
    pub from: usize,
    /// Last step that pays; absent: the last.
    #[serde(default)]
    pub to: Option<usize>,
}

fn one() -> f64 {
    1.0
}

/// `[problem.output]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputInput {
    /// Posterior paths kept from each replicate, of equal weight in it.
    #[schemars(range(max = 1_000_000))]
    pub paths_per_replicate: usize,
}

impl Default for OutputInput {
    fn default() -> Self {
        OutputInput { paths_per_replicate: 16 }
    }
}

/// What is wrong: (key, message).
pub type Finding = (String, String);

/// Digits that quadratic costs may lose without a word.
const LOST: f64 = 1e-6;

impl ProblemInput {
    /// What a reader of the results should know. Costs are forms −½ax² + cx + d about 0: far from it their terms cancel.
    pub fn notes(&self, chain: &Chain) -> Vec<String> {
        let largest = chain.quadratics.iter().flatten().map(|q| q.d.abs()).fold(0.0, f64::max);
        let lost = largest * f64::EPSILON;
        let note = format!(
            "observations lie so many deviations from 0 that their costs are off by up to {lost:.0e}: move the origin to \
             where paths are"
        );
        if lost > LOST { vec![note] } else { Vec::new() }
    }

    /// # Errors
    /// The key at fault and what is wrong with it.
    pub fn chain(&self, level: Level) -> Result<Chain, Finding> {
        let d = self.start.len();
        let at = |key: &str, message: String| (format!("problem.{key}"), message);
        let coordinates = |key: String, list: &[f64]| match list.len() == d {
            true => Ok(()),
            false => Err((format!("problem.{key}"), format!("has {} coordinates; the start has {d}", list.len()))),
        };
        let deviation = match &self.start_deviation {
            Some(deviation) => {
                coordinates("start_deviation".into(), deviation)?;
                if let Some(s) = deviation.iter().find(|s| **s < 0.0) {
                    return Err(at("start_deviation", format!("{s} is negative")));
                }
                deviation.clone()
            }
            None => vec![0.0; d],
        };
        let time_step = self.time_step.ok_or_else(|| at("time_step", "is missing".into()))?;
        let steps = self.steps.ok_or_else(|| at("steps", "is missing".into()))?;
        let end = steps as f64 * time_step;
        let prior = |key: &str, input: &PriorInput| {
            input.build(d, end, level).map_err(|(k, message)| (format!("problem.{key}.{k}"), message))
        };
        if (steps + 1) * d >= crate::math::draws::LARGEST_DRAW as usize {
            let most = crate::math::draws::LARGEST_DRAW;
            return Err(at("steps", format!("times × coordinates must be below {most}")));
        }
        let reference: Arc<dyn super::priors::Prior> = Arc::from(prior("prior", &self.prior)?);

        let times = steps + 1;
        let mut quadratics = vec![vec![Quadratic::default(); d]; times];
        let mut others = vec![Vec::new(); times];
        let within = |key: String, step: usize| match step <= steps {
            true => Ok(()),
            false => Err((format!("problem.{key}"), format!("must be at most steps = {}", steps))),
        };
        for (k, o) in self.observations.iter().enumerate() {
            within(format!("observations.{k}.step"), o.step)?;
            let which: Vec<usize> = o.coordinates.clone().unwrap_or_else(|| (0..d).collect());
            if let Some(i) = which.iter().find(|i| **i >= d) {
                return Err(at(&format!("observations.{k}.coordinates"), format!("{i} is not below {d}")));
            }
            if let Some(i) = (1..which.len()).find(|&i| which[..i].contains(&which[i])) {
                return Err(at(&format!("observations.{k}.coordinates"), format!("{} is there twice", which[i])));
            }
            if o.value.len() != which.len() {
                let message = format!("has {} values for {} coordinates", o.value.len(), which.len());
                return Err(at(&format!("observations.{k}.value"), message));
            }
            if o.deviation.len() != 1 && o.deviation.len() != which.len() {
                let message = format!("has {} values; one for all, or {}", o.deviation.len(), which.len());
                return Err(at(&format!("observations.{k}.deviation"), message));
            }
            if let Some(s) = o.deviation.iter().find(|s| !(**s > 0.0)) {
                return Err(at(&format!("observations.{k}.deviation"), format!("{s} is not above 0")));
            }
            for (n, (&i, &y)) in which.iter().zip(&o.value).enumerate() {
                let s = o.deviation[if o.deviation.len() == 1 { 0 } else { n }];
                let a = 1.0 / (s * s);
                let constant = if self.normalised { -0.5 * ln(std::f64::consts::TAU * s * s) } else { 0.0 };
                let q = Quadratic { a, c: y * a, d: -0.5 * y * y * a + constant };
                if !(q.a.is_finite() && q.c.is_finite() && q.d.is_finite()) {
                    let message = format!("{s:e} is so small that the cost of {y} is beyond the range of numbers");
                    return Err(at(&format!("observations.{k}.deviation"), message));
                }
                quadratics[o.step][i] = quadratics[o.step][i].plus(q);
            }
        }
        for (k, ball) in self.balls.iter().enumerate() {
            within(format!("balls.{k}.step"), ball.step)?;
            coordinates(format!("balls.{k}.centre"), &ball.centre)?;
            others[ball.step].push(Other::Ball { centre: ball.centre.clone(), radius: ball.radius });
        }
        if let Some(running) = &self.running {
            let of: Arc<dyn super::priors::Prior> = Arc::from(prior("running.functional_of", &running.functional_of)?);
            let (mut value, zero) = (vec![0.0; 8], vec![0.0; 8 * d]);
            let variance = self.noise * self.noise;
            if !of.functional(variance, 1.0, &zero, &mut value, None) {
                let message = "has no functional; ornstein_uhlenbeck and double_well have";
                return Err(at("running.functional_of.kind", message.into()));
            }
            let to = running.to.unwrap_or(steps);
            within("running.to".into(), to)?;
            if running.from > to {
                return Err(at("running.from", format!("is after the last step that pays, {to}")));
            }
            let factor = running.scale * time_step;
            others[running.from..=to].iter_mut().for_each(|o| {
                o.push(Other::Functional { of: of.clone(), variance, factor });
            });
        }
        let start = Start { mean: self.start.clone(), deviation };
        Ok(Chain {
            prior: reference,
            dimension: d,
            steps,
            time_step,
            noise: self.noise,
            start,
            quadratics,
            others,
            level,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_a_million_away_with_deviations_of_a_thousandth_leave_a_note_and_those_at_3_none() {
        let notes = |value: f64, deviation: f64| {
            let text = format!(
                r#"{{"prior": {{"kind": "brownian"}}, "start": [0.0], "time_step": 0.1, "steps": 10,
                    "observations": [{{"step": 10, "value": [{value}], "deviation": [{deviation}]}}]}}"#
            );
            let problem: ProblemInput = serde_json::from_str(&text).unwrap();
            let chain = problem.chain(Level::detect()).unwrap();
            problem.notes(&chain)
        };
        assert!(notes(3.0, 0.05).is_empty());
        // ½ · 10¹⁸ · 2⁻⁵² = 111.
        let found = notes(1e6, 1e-3);
        assert!(found.len() == 1 && found[0].contains("off by up to 1e2"), "{found:?}");
    }
}
