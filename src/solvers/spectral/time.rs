//! How large the steps are: the typed `[method]` of spectral runs, and the control of the step size.
//!
//! Pure functions and a small state that a checkpoint can hold: no ranks, no fields. The driver asks [`Control::next`]
//! for a step, takes it, and says what it saw ([`Control::observe`], [`Control::judge`]).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::domain::Domain;
use super::steppers::{Kind, Scheme, schemes};
use crate::math::elementary::{exp, ln};

/// `[method]` of spectral runs in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MethodInput {
    /// Time-stepping scheme. Default: etdrk4 on periodic axes (if_rk4 with step_control = "error"), ars443 with walls.
    pub scheme: Option<SchemeName>,
    /// Size of a step; the first one where it is controlled (with "cfl" it may be left out).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub time_step: Option<f64>,
    /// Who chooses the size of the steps.
    pub step_control: StepControl,
    /// Fraction of the stability limit ("cfl", default 0.7) or of the step that would just meet the tolerance ("error",
    /// default 0.9) that is used.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub safety: Option<f64>,
    /// With "error": the error that one step may make, relative to the norm of each field.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// No step is larger.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_step: Option<f64>,
    /// A run that needs smaller steps fails. Default: a millionth of the first step.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub min_step: Option<f64>,
    /// A step is at most this many times the one before.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub max_change: f64,
    /// A step is at least this fraction of the one before.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub min_change: f64,
    /// The size is left as it is while it is at most this fraction below what it could be: factors are made anew when it
    /// changes.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub threshold: f64,
    /// Whether a few steps (the 1st, 4th, 16th, …, and the last) are taken a second time with smaller ones, for an
    /// estimate of the error in time.
    pub time_error: bool,
}

impl Default for MethodInput {
    fn default() -> Self {
        MethodInput {
            scheme: None,
            time_step: None,
            step_control: StepControl::Fixed,
            safety: None,
            tolerance: 1e-6,
            max_step: None,
            min_step: None,
            max_change: 1.5,
            min_change: 0.3,
            threshold: 0.2,
            time_error: true,
        }
    }
}

/// The schemes, as an input names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemeName {
    /// Exponential time differencing, order 4: the linear part is exact.
    Etdrk4,
    /// Integrating factor with the classical Runge–Kutta scheme, order 4, and an embedded error estimate.
    IfRk4,
    /// IMEX Runge–Kutta, order 2, two solves a step.
    Ars222,
    /// IMEX Runge–Kutta, order 3, four solves a step.
    Ars443,
    /// Semi-implicit backward differences, order 2, one evaluation a step.
    Sbdf2,
    /// Semi-implicit backward differences, order 3, one evaluation a step.
    Sbdf3,
    /// Crank–Nicolson with Adams–Bashforth, order 2, one evaluation a step.
    Cnab2,
    /// Spalart–Moser–Rogers: order 3 for the explicit part, 2 for the implicit, three solves a step.
    SmrRk3,
}

impl SchemeName {
    /// Its line in the registry.
    pub fn scheme(self) -> &'static Scheme {
        let word = match self {
            SchemeName::Etdrk4 => "etdrk4",
            SchemeName::IfRk4 => "if_rk4",
            SchemeName::Ars222 => "ars222",
            SchemeName::Ars443 => "ars443",
            SchemeName::Sbdf2 => "sbdf2",
            SchemeName::Sbdf3 => "sbdf3",
            SchemeName::Cnab2 => "cnab2",
            SchemeName::SmrRk3 => "smr_rk3",
        };
        schemes().iter().find(|s| s.word == word).expect("every name has a line in the registry")
    }
}

/// Who chooses the size of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepControl {
    /// time_step, but for the last steps before an output, which are shortened to meet it.
    #[default]
    Fixed,
    /// The stability limit of the explicit part at the present speeds.
    Cfl,
    /// The embedded error estimate of if_rk4.
    Error,
}

/// Why a key cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub key: &'static str,
    pub value: String,
    pub message: String,
}

fn refuse<T>(key: &'static str, value: impl std::fmt::Display, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { key, value: value.to_string(), message: message.into() })
}

impl MethodInput {
    /// The scheme, checked against the rest of the keys. `walls`: an axis is not periodic. `waves`: N carries anything
    /// along at a speed of its own, without which "cfl" has nothing to go by.
    pub fn check(&self, walls: bool, waves: bool) -> Result<&'static Scheme, Refusal> {
        let scheme = match self.scheme {
            Some(name) => name.scheme(),
            None if self.step_control == StepControl::Error => SchemeName::IfRk4.scheme(),
            None => if walls { SchemeName::Ars443 } else { SchemeName::Etdrk4 }.scheme(),
        };
        let word = scheme.word;
        if walls && scheme.kind == Kind::Exponential {
            return refuse(
                "scheme",
                word,
                "with walls the linear part is banded, not diagonal, and its exponential is not at hand; \
                 use ars443, ars222, smr_rk3, sbdf2, sbdf3 or cnab2",
            );
        }
        match self.step_control {
            StepControl::Fixed if self.time_step.is_none() => {
                return refuse("time_step", "", "is needed with step_control = \"fixed\"");
            }
            StepControl::Cfl if scheme.cfl == 0.0 => {
                return refuse(
                    "step_control",
                    "cfl",
                    format!(
                        "{word} has no stability limit to keep to: its explicit part amplifies undamped waves at any step; \
                         use step_control = \"fixed\", or if_rk4, etdrk4, ars443, smr_rk3 or sbdf3"
                    ),
                );
            }
            StepControl::Cfl if !waves => {
                return refuse(
                    "step_control",
                    "cfl",
                    "nothing is carried along in this equation, so no speed limits the step",
                );
            }
            StepControl::Error if scheme.embedded.is_none() => {
                return refuse(
                    "step_control",
                    "error",
                    format!("needs scheme = \"if_rk4\"; {word} has no embedded scheme"),
                );
            }
            StepControl::Error if self.time_step.is_none() => {
                return refuse("time_step", "", "is needed with step_control = \"error\" (the size of the first step)");
            }
            _ => {}
        }
        let positive = [
            ("time_step", self.time_step),
            ("safety", self.safety),
            ("tolerance", Some(self.tolerance)),
            ("max_step", self.max_step),
            ("min_step", self.min_step),
            ("min_change", Some(self.min_change)),
        ];
        for (key, value) in positive {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return refuse(key, value, "must be more than 0");
            }
        }
        if let Some(safety) = self.safety.filter(|s| *s > 1.0) {
            return refuse("safety", safety, "must be at most 1");
        }
        if self.min_change > 1.0 {
            return refuse("min_change", self.min_change, "must be at most 1");
        }
        if !(self.max_change.is_finite() && self.max_change > 1.0) {
            return refuse("max_change", self.max_change, "must be more than 1");
        }
        if scheme.word == "sbdf3" && self.max_change > 1.5 {
            return refuse("max_change", self.max_change, "sbdf3 is not stable when steps grow by more than 1.53 each");
        }
        if !(0.0..1.0).contains(&self.threshold) {
            return refuse("threshold", self.threshold, "must be at least 0 and less than 1");
        }
        if let (Some(low), Some(high)) = (self.min_step, self.max_step)
            && low > high
        {
            return refuse("min_step", low, format!("must be at most max_step = {high}"));
        }
        if let (Some(first), Some(high)) = (self.time_step, self.max_step)
            && first > high
        {
            return refuse("time_step", first, format!("must be at most max_step = {high}"));
        }
        if let (Some(first), Some(low)) = (self.time_step, self.min_step)
            && first < low
        {
            return refuse("time_step", first, format!("must be at least min_step = {low}"));
        }
        Ok(scheme)
    }
}

/// Σ_i |u_i|_max k_max,i in radians per unit of time: what the CFL constant is divided by. Speeds along internal axes,
/// as `Equation::speeds` gives them. On a Chebyshev axis the same, π times the wavenumber that its points resolve in the
/// middle; near walls, where they lie closer, speeds vanish.
pub fn frequency(fastest: [f64; 3], domain: &Domain) -> f64 {
    domain.axes.iter().zip(fastest).map(|(a, u)| u * std::f64::consts::TAU / a.length * a.highest as f64).sum()
}

/// What rounding may leave in a field, in units of `epsilon` and of the largest field; at most [`SINGLE`].
const ROUNDING_OF_FIELDS: f64 = 1e3;
/// The smallest tolerance that single precision holds.
pub const SINGLE: f64 = 32.0 * f32::EPSILON as f64;

/// max over fields of ‖error‖ / (tolerance ‖field‖ + what is rounding): at most 1 when the step is good enough. Pairs of
/// norms. A field that is but rounding of another one does not have to be right.
pub fn error_ratio(norms: &[(f64, f64)], tolerance: f64, epsilon: f64) -> f64 {
    let rounding = (ROUNDING_OF_FIELDS * epsilon).min(SINGLE) * norms.iter().map(|n| n.1).fold(0.0, f64::max);
    let ratio = |(error, norm): &(f64, f64)| if *error == 0.0 { 0.0 } else { error / (tolerance * norm + rounding) };
    // f64::max would lose a NaN.
    norms.iter().map(ratio).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// A step to take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Next {
    pub step: f64,
    /// The time after it: exactly the stop, where it ends there.
    pub time: f64,
    pub lands: bool,
}

/// What becomes of a step whose error was estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// Take the step back and try the next one.
    Reject,
}

/// Steps before a stop that share what is left evenly, so that none is shorter than ¾ of the regular one.
const SPREAD: f64 = 4.0;
/// Relative differences of times that are rounding.
const ROUNDING: f64 = 1e-9;
/// Exponents of the controller, times the order of the estimate plus one (Gustafsson; Hairer & Wanner II.4, IV.2).
const PROPORTIONAL: f64 = 0.7;
const INTEGRAL: f64 = 0.4;

/// The state of step-size control.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    kind: StepControl,
    /// safety · C for "cfl", safety for "error".
    aim: f64,
    tolerance: f64,
    limits: (f64, f64),
    change: (f64, f64),
    threshold: f64,
    /// Order of the error estimate plus one.
    order: f64,
    /// Schemes with memory: steps grow by max_change at most, also after a short one.
    memory: bool,
    /// What the input says of a fixed step; otherwise the regular step is the state's.
    given: Option<f64>,
    /// The regular step.
    step: f64,
    /// The last step taken; 0: none.
    last: f64,
    /// Sizes and number of the even steps still to go to `stop`; 0: none.
    even: f64,
    left: f64,
    stop: f64,
    /// Error of the last accepted step, in units of the one aimed at.
    error: f64,
    /// 1: the last step was rejected.
    rejected: f64,
}

impl Control {
    /// `frequency` of the initial state (see [`frequency`]); used by "cfl" without time_step.
    pub fn new(input: &MethodInput, scheme: &Scheme, frequency: f64) -> Result<Control, Refusal> {
        let safety = input.safety.unwrap_or(if input.step_control == StepControl::Cfl { 0.7 } else { 0.9 });
        let cfl = input.step_control == StepControl::Cfl;
        let aim = if cfl { safety * scheme.cfl } else { safety };
        let high = input.max_step.unwrap_or(f64::INFINITY);
        let possible = (aim / frequency * (1.0 - 0.5 * input.threshold)).min(high);
        let mut step = input.time_step.unwrap_or(possible);
        if cfl {
            step = step.min(possible);
        }
        if !(step.is_finite() && step > 0.0) {
            return refuse(
                "time_step",
                "",
                "is needed: the initial state is at rest or the equation has no speeds, so none says how large the first step \
                 may be",
            );
        }
        if let Some(low) = input.min_step.filter(|low| cfl && step < *low) {
            return refuse("min_step", low, format!("the first step that the CFL limit allows is {step:.3e}"));
        }
        Ok(Control {
            kind: input.step_control,
            aim,
            tolerance: input.tolerance,
            limits: (input.min_step.unwrap_or(1e-6 * step), high),
            change: (input.min_change, input.max_change),
            threshold: input.threshold,
            order: f64::from(scheme.embedded.unwrap_or(scheme.order) + 1),
            memory: scheme.steps > 1,
            given: (input.step_control == StepControl::Fixed).then_some(step),
            step,
            last: 0.0,
            even: 0.0,
            left: 0.0,
            stop: 0.0,
            error: 1.0,
            rejected: 0.0,
        })
    }

    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// Begins with a regular step of `step`.
    pub fn begin(&mut self, step: f64) {
        self.step = step;
    }

    /// After a checkpoint was read, which may have been written with other steps: those of this input hold.
    pub fn restored(&mut self) {
        let step = self.given.unwrap_or(self.step.min(self.limits.1));
        if step != self.step {
            self.step = step;
            self.left = 0.0;
        }
    }

    /// The regular step: what is taken where no stop is near.
    pub fn regular(&self) -> f64 {
        self.step
    }

    /// The next step from `time`, on the way to `stop` (an output or the end).
    pub fn next(&mut self, time: f64, stop: f64) -> Next {
        if self.left == 0.0 || self.stop != stop {
            let grown = if self.memory && self.last > 0.0 { self.change.1 * self.last } else { f64::INFINITY };
            let step = self.step.min(grown);
            let remaining = stop - time;
            // Times are sums of steps, and rounding adds up with their number.
            let rounding = (f64::EPSILON * (time / step).powi(2)).clamp(ROUNDING, 1e-3);
            let steps = libm::ceil(remaining / step - rounding).max(1.0);
            if steps > SPREAD {
                return Next { step, time: time + step, lands: false };
            }
            let even = remaining / steps;
            self.even = if (even - step).abs() <= rounding * step { step } else { even };
            self.left = steps;
            self.stop = stop;
        }
        let lands = self.left == 1.0;
        Next { step: self.even, time: if lands { stop } else { time + self.even }, lands }
    }

    /// The step was taken.
    pub fn taken(&mut self, next: &Next) {
        self.last = next.step;
        self.left = (self.left - 1.0).max(0.0);
    }

    /// A new regular step; a plan made for the old one is dropped.
    fn set(&mut self, step: f64) -> Result<(), String> {
        let step = step.min(self.limits.1);
        if !(step >= self.limits.0) {
            return Err(format!("the step would have to be {step:.3e}, less than min_step = {:.3e}", self.limits.0));
        }
        if step != self.step {
            self.step = step;
            self.left = 0.0;
        }
        Ok(())
    }

    /// With "cfl": the step changes when it leaves [1 − threshold, 1] of the limit at this frequency.
    pub fn observe(&mut self, frequency: f64) -> Result<(), String> {
        if self.kind != StepControl::Cfl || frequency == 0.0 {
            return Ok(());
        }
        let target = self.aim / frequency;
        if target.is_nan() {
            return Err("the speeds are not numbers".to_string());
        }
        let enough = target.min(self.limits.1);
        if (enough * (1.0 - self.threshold)..=target).contains(&self.step) {
            return Ok(());
        }
        // The middle of the band: the next change is as far away upwards as downwards.
        let wanted = (target * (1.0 - 0.5 * self.threshold)).min(self.step * self.change.1);
        self.set(wanted.max(self.step * self.change.0))
    }

    /// With "error": what becomes of the step just taken (not yet [`Control::taken`]), by its [`error_ratio`].
    pub fn judge(&mut self, next: &Next, ratio: f64) -> Result<Verdict, String> {
        if self.kind != StepControl::Error {
            return Ok(Verdict::Accept);
        }
        let power = |x: f64, a: f64| exp(a * ln(x));
        if !(ratio <= 1.0) {
            let factor = if ratio.is_finite() { self.aim * power(ratio, -1.0 / self.order) } else { 0.0 };
            self.rejected = 1.0;
            self.left = 0.0;
            self.set(next.step * factor.clamp(self.change.0, 0.95))?;
            return Ok(Verdict::Reject);
        }
        // Against what the aim leaves of the tolerance, so that the steps settle at aim times the largest.
        let here = (ratio / power(self.aim, self.order)).max(1e-10);
        let factor = power(here, -PROPORTIONAL / self.order) * power(self.error, INTEGRAL / self.order);
        let most = if self.rejected == 1.0 { 1.0 } else { self.change.1 };
        let factor = factor.clamp(self.change.0, most);
        self.error = here;
        self.rejected = 0.0;
        // A step shortened for a stop says little about the regular one, unless it asks for less.
        let wanted = factor * next.step;
        let shortened = next.step < self.step * (1.0 - ROUNDING);
        if wanted < self.step && !shortened || wanted > self.step * (1.0 + self.threshold) {
            self.set(wanted)?;
        }
        Ok(Verdict::Accept)
    }

    /// What a checkpoint holds.
    pub fn numbers(&mut self) -> Vec<(&'static str, &mut f64)> {
        vec![
            ("step", &mut self.step),
            ("last_step", &mut self.last),
            ("even_step", &mut self.even),
            ("even_steps_left", &mut self.left),
            ("even_until", &mut self.stop),
            ("error_ratio", &mut self.error),
            ("rejected", &mut self.rejected),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::domain::{Axis, Basis};

    fn fixed(step: f64, scheme: SchemeName) -> Control {
        let input = MethodInput { scheme: Some(scheme), time_step: Some(step), ..Default::default() };
        Control::new(&input, input.check(false, true).unwrap(), 0.0).unwrap()
    }

    /// Steps to each stop in turn.
    fn walk(control: &mut Control, stops: &[f64]) -> Vec<f64> {
        let (mut time, mut steps) = (0.0, Vec::new());
        for &stop in stops {
            loop {
                let next = control.next(time, stop);
                control.taken(&next);
                steps.push(next.step);
                assert!(next.time > time && next.time <= stop, "{next:?}");
                time = next.time;
                if next.lands {
                    assert_eq!(time, stop);
                    break;
                }
                assert!(time < stop);
            }
        }
        steps
    }

    #[test]
    fn every_word_of_the_registry_is_a_word_of_the_input_and_the_other_way() {
        for scheme in schemes() {
            let name: SchemeName = serde_json::from_value(serde_json::json!(scheme.word)).unwrap();
            assert_eq!(name.scheme(), scheme);
        }
        assert!(serde_json::from_value::<SchemeName>(serde_json::json!("rk4")).is_err());
        assert!(serde_json::from_value::<MethodInput>(serde_json::json!({"time_stepp": 1})).is_err());
    }

    #[test]
    fn a_step_that_divides_the_time_is_never_changed() {
        let steps = walk(&mut fixed(0.1, SchemeName::Etdrk4), &[1.0, 2.0, 10.0]);
        assert_eq!(steps.len(), 100);
        assert!(steps.iter().all(|s| *s == 0.1));
    }

    #[test]
    fn outputs_are_met_exactly_by_steps_no_shorter_than_three_quarters() {
        for scheme in [SchemeName::Etdrk4, SchemeName::Sbdf3] {
            let steps = walk(&mut fixed(0.1, scheme), &[0.77, 1.52, 3.0]);
            assert!(steps.iter().all(|s| (0.075..=0.1).contains(s)), "{steps:?}");
            // 0.77 needs 8 steps, 0.75 needs 8, 1.48 needs 15.
            assert_eq!(steps.len(), 31);
            assert!((steps.iter().sum::<f64>() - 3.0).abs() < 1e-13);
        }
    }

    #[test]
    fn after_two_stops_close_together_a_multistep_scheme_grows_slowly() {
        let steps = walk(&mut fixed(0.1, SchemeName::Sbdf2), &[0.5, 0.501, 3.0]);
        for pair in steps.windows(2) {
            assert!(pair[1] <= 1.5 * pair[0] * (1.0 + 1e-12), "{pair:?}");
        }
        let steps = walk(&mut fixed(0.1, SchemeName::IfRk4), &[0.5, 0.501, 3.0]);
        assert!((steps[5] - 0.001).abs() < 1e-12 && steps[6] == 0.1, "{steps:?}");
    }

    #[test]
    fn a_cfl_step_is_left_alone_within_its_band_and_lands_in_the_middle() {
        let input = MethodInput {
            scheme: Some(SchemeName::IfRk4),
            step_control: StepControl::Cfl,
            safety: Some(0.5),
            ..Default::default()
        };
        let scheme = input.check(false, true).unwrap();
        let mut control = Control::new(&input, scheme, 2.0).unwrap();
        // 0.9 · 0.5 · 2.828 / 2.
        assert!((control.regular() - 0.9 * 0.707).abs() < 1e-12);
        let first = control.regular();
        for frequency in [2.0, 2.2, 1.8, 2.21, 1.79] {
            control.observe(frequency).unwrap();
            assert_eq!(control.regular(), first, "{frequency}");
        }
        control.observe(2.5).unwrap();
        assert!((control.regular() - 0.9 * 0.5 * 2.828 / 2.5).abs() < 1e-12);
        let before = control.regular();
        control.observe(0.1).unwrap();
        assert!((control.regular() - 1.5 * before).abs() < 1e-12);
        let before = control.regular();
        control.observe(1e3).unwrap();
        assert!((control.regular() - 0.3 * before).abs() < 1e-12);
        let mut last = Ok(());
        for _ in 0..40 {
            last = control.observe(1e30);
        }
        assert!(last.unwrap_err().contains("min_step"));
        assert!(control.observe(f64::NAN).is_err());
    }

    #[test]
    fn the_frequency_adds_the_axes() {
        let axis = |length, highest| Axis {
            name: "x",
            basis: Basis::Fourier,
            low: 0.0,
            length,
            points: 32,
            highest,
            sawtooth: false,
        };
        let domain = Domain::new(vec![axis(std::f64::consts::TAU, 10), axis(std::f64::consts::PI, 10)], true);
        assert!((frequency([9.0, 3.0, 2.0], &domain) - (3.0 * 10.0 + 2.0 * 20.0)).abs() < 1e-12);
    }

    #[test]
    fn a_hundred_thousand_equal_steps_meet_their_outputs_without_a_step_more() {
        let input = MethodInput { time_step: Some(0.001), ..Default::default() };
        let mut control = Control::new(&input, input.check(false, true).unwrap(), 0.0).unwrap();
        let (mut time, mut steps) = (0.0, 0);
        for output in 1..=10 {
            while time < 10.0 * f64::from(output) {
                let next = control.next(time, 10.0 * f64::from(output));
                assert_eq!(next.step, 0.001);
                control.taken(&next);
                (time, steps) = (next.time, steps + 1);
            }
        }
        assert_eq!(steps, 100_000);
    }

    #[test]
    fn error_control_settles_where_the_error_meets_the_tolerance() {
        // An estimate that is 5 h⁴ against a tolerance of 1e-6: h = (2e-7)^{1/4} = 0.02115 would just meet it.
        let input = MethodInput {
            step_control: StepControl::Error,
            time_step: Some(0.5),
            tolerance: 1e-6,
            ..Default::default()
        };
        let mut control = Control::new(&input, input.check(false, true).unwrap(), 0.0).unwrap();
        let (mut time, mut rejections, mut steps) = (0.0, 0, 0);
        while time < 3.0 {
            let next = control.next(time, 3.0);
            match control
                .judge(&next, error_ratio(&[(5.0 * next.step.powi(4), 1.0)], control.tolerance(), 0.0))
                .unwrap()
            {
                Verdict::Accept => {
                    control.taken(&next);
                    time = next.time;
                    steps += 1;
                }
                Verdict::Reject => rejections += 1,
            }
        }
        let settled = control.regular() / 0.02115;
        assert!(settled > 0.74 && settled < 0.91, "{settled}");
        assert!(rejections <= 5 && steps < 200, "{rejections} of {steps}");
    }

    #[test]
    fn errors_that_are_not_numbers_are_rejected_until_the_smallest_step() {
        assert!(error_ratio(&[(1.0, 1.0), (f64::NAN, 1.0), (0.0, 0.0)], 1.0, 0.0).is_nan());
        assert_eq!(error_ratio(&[(0.0, 0.0), (2.0, 4.0)], 0.5, 0.0), 1.0);
        // A field of the size of rounding, all of it wrong, beside one of norm 2; and one of 1e-7.
        assert!(error_ratio(&[(1e-17, 1e-17), (1e-9, 2.0)], 1e-6, f64::EPSILON) < 1e-3);
        assert!(error_ratio(&[(1e-7, 1e-7), (1e-9, 2.0)], 1e-6, f64::EPSILON) > 1e5);
        // In single precision a tolerance of 1e-5 is not drowned by what rounding may leave.
        assert!(error_ratio(&[(2e-5, 1.0)], 1e-5, f64::from(f32::EPSILON)) > 1.0);
        let input = MethodInput { step_control: StepControl::Error, time_step: Some(0.5), ..Default::default() };
        let mut control = Control::new(&input, input.check(false, true).unwrap(), 0.0).unwrap();
        let mut tries = 0;
        let message = loop {
            let next = control.next(0.0, 10.0);
            match control.judge(&next, f64::NAN) {
                Ok(verdict) => assert_eq!(verdict, Verdict::Reject),
                Err(message) => break message,
            }
            tries += 1;
        };
        // 0.3^11 < 10⁻⁶ < 0.3^12 · …: a dozen tries.
        assert!((10..14).contains(&tries), "{tries}");
        assert!(message.contains("min_step"));
    }

    #[test]
    fn combinations_that_cannot_work_say_why() {
        let refused = |input: MethodInput, walls, waves| input.check(walls, waves).unwrap_err();
        let base = MethodInput { time_step: Some(0.1), ..Default::default() };
        let cfl = MethodInput { step_control: StepControl::Cfl, ..base.clone() };
        let with = |scheme, input: &MethodInput| MethodInput { scheme: Some(scheme), ..input.clone() };
        assert!(refused(with(SchemeName::Cnab2, &cfl), false, true).message.contains("cnab2 has no stability limit"));
        assert_eq!(refused(cfl.clone(), false, false).key, "step_control");
        assert_eq!(refused(with(SchemeName::Etdrk4, &base), true, true).key, "scheme");
        let error = MethodInput { step_control: StepControl::Error, ..base.clone() };
        assert!(refused(with(SchemeName::Etdrk4, &error), false, true).message.contains("if_rk4"));
        assert_eq!(error.check(false, true).unwrap().word, "if_rk4");
        assert_eq!(refused(MethodInput::default(), false, true).key, "time_step");
        assert_eq!(refused(MethodInput { time_step: Some(-1.0), ..base.clone() }, false, true).key, "time_step");
        assert_eq!(refused(MethodInput { max_step: Some(0.01), ..base.clone() }, false, true).key, "time_step");
        assert_eq!(refused(MethodInput { threshold: 1.0, ..base.clone() }, false, true).key, "threshold");
        assert_eq!(base.check(false, true).unwrap().word, "etdrk4");
        assert_eq!(base.check(true, true).unwrap().word, "ars443");
        let rest = MethodInput { time_step: None, ..cfl };
        assert_eq!(Control::new(&rest, rest.check(false, true).unwrap(), 0.0).unwrap_err().key, "time_step");
    }
}
