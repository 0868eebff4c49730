//! The error in time of a run, from the errors of a few of its steps.
//!
//! At the first step, the 4th, 16th, 64th, … and the last, the error that the step made is measured by taking it a second
//! time with smaller steps (`steppers::retake`): over the length of the step a rate, error per unit of time. Between two
//! measured steps the rate is taken to rise or fall exponentially, so that it contributes its logarithmic mean times the
//! time between them.
//!
//! What becomes of an error after it was made is not known. Two sums are kept: A of the errors, right at the end if they
//! stay as large as they were made, and B of the errors over the norm of the state that they were made in, right if they
//! decay and grow as the state does. Errors in a state that decays go with it: the estimate is B where that is less than
//! A over the norm at the end. In a state that grows it is at least what steps like the last one would have made of
//! relative errors in all of the time, up to B: early errors are not counted as having grown where they were of another
//! kind, as those of a rough start are, which decay. Chaos and phases of waves make the truth larger; errors that decay
//! faster than the state (high wavenumbers, on the way to a steady state) make it smaller.

use smallvec::SmallVec;

use crate::error::Result;
use crate::solvers::spectral::steppers::{Scheme, retake_evaluations};
use crate::solvers::{ErrorBar, Number};
use crate::state::{Name, Walk};

/// Whether step `step` (from 1 on) is measured: the powers of four.
pub fn due(step: u64) -> bool {
    step.is_power_of_two() && step.trailing_zeros().is_multiple_of(2)
}

/// Rates fall by at most this factor between two measured steps: one that vanishes says nothing of those before it.
const STEEPEST: f64 = 1e4;

/// A regular step over one that is measured, at most.
const SHORTEST: f64 = 4.0;

/// Mean of a quantity that goes from `a` to `b` exponentially: (b − a)/ln(b/a).
fn logarithmic_mean(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    let low = low.max(high / STEEPEST);
    let ratio = high / low;
    if !(ratio > 1.0 + 1e-9) { high } else { (high - low) / libm::log(ratio) }
}

/// What is kept of the measured steps; a checkpoint holds it. Two entries per norm: of errors, then of relative ones.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeError {
    /// Errors accumulated up to `until`.
    pub sum: Vec<f64>,
    /// Error per unit of time of the last measured step.
    pub rate: Vec<f64>,
    /// End of the last measured step.
    pub until: f64,
    /// How many steps were measured.
    pub measured: f64,
}

impl TimeError {
    pub fn new(norms: usize) -> TimeError {
        TimeError { sum: vec![0.0; 2 * norms], rate: vec![0.0; 2 * norms], until: 0.0, measured: 0.0 }
    }

    /// The step of `size` that ended at `time` had errors, and left a state, of these norms. Steps of the `regular` size
    /// before it had other errors where it was shortened to land on an output: an error per unit of time grows as the step
    /// to the `order` of the scheme. One that is much shorter, whose error may be rounding, says nothing.
    pub fn add_step(&mut self, time: f64, (errors, norms): (&[f64], &[f64]), size: f64, regular: f64, order: u32) {
        // No step was longer than all of them.
        let longer = regular.min(time) / size;
        if longer <= SHORTEST || self.measured == 0.0 {
            let factor = longer.min(SHORTEST).powi(order as i32) / size;
            // Where nothing moves nothing is wrong, and more than all of a state cannot be.
            let relative = |(&error, norm): (&f64, &f64)| if error == 0.0 { 0.0 } else { (error / norm).min(1.0) };
            let all = errors.iter().copied().chain(errors.iter().zip(norms).map(relative)).map(|error| factor * error);
            self.add(time, &all.collect::<SmallVec<[f64; 4]>>());
        }
    }

    /// The step that ended at `time` had errors of `rate` per unit of time.
    pub fn add(&mut self, time: f64, rate: &[f64]) {
        let span = time - self.until;
        for ((sum, last), &rate) in self.sum.iter_mut().zip(&mut self.rate).zip(rate) {
            *sum += span * if self.measured == 0.0 { rate } else { logarithmic_mean(*last, rate) };
            *last = rate;
        }
        self.until = time;
        self.measured += 1.0;
    }

    /// The accumulated errors at `time`; steps after the last measured one are taken to be like it. None: no step was
    /// measured.
    pub fn at(&self, time: f64) -> Option<Vec<f64>> {
        let ahead = (time - self.until).max(0.0);
        (self.measured > 0.0).then(|| self.sum.iter().zip(&self.rate).map(|(s, r)| s + r * ahead).collect())
    }
}

const SUM: Name = Name {
    name: "time_error_sum",
    units: "1",
    meaning: "errors of steps, accumulated in time: of each norm, then relative to it",
    axes: &["norm"],
};
const RATE: Name = Name {
    name: "time_error_rate",
    units: "1",
    meaning: "error per unit of time of the last step that was measured: of each norm, then relative to it",
    axes: &["norm"],
};
const UNTIL: Name = Name { name: "time_error_until", units: "1", meaning: "time at the end of that step", axes: &[] };
const MEASURED: Name = Name { name: "time_error_steps", units: "1", meaning: "steps that were measured", axes: &[] };

impl TimeError {
    /// Walks it, as part of the state.
    ///
    /// # Errors
    /// Those of the walk.
    pub fn walk(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&SUM, &mut self.sum)?;
        walk.replicated(&RATE, &mut self.rate)?;
        walk.scalar(&UNTIL, (&mut self.until).into())?;
        walk.scalar(&MEASURED, (&mut self.measured).into())
    }

    /// The headline number at `time`: the largest relative error, of `norms` of the present state (0 where nothing moves);
    /// none where no step was measured.
    pub fn number(&self, time: f64, norms: &[f64]) -> Option<Number> {
        let sums = self.at(time)?;
        let (absolute, relative) = sums.split_at(norms.len());
        let alike = self.rate[norms.len()..].iter().map(|rate| rate * time);
        let all = absolute.iter().zip(norms).zip(relative.iter().zip(alike)).filter(|((_, norm), _)| **norm > 0.0);
        let one = |((a, norm), (b, alike)): ((&f64, &f64), (&f64, f64))| (a / norm).max(alike).min(*b);
        let value = all.map(one).max_by(f64::total_cmp).unwrap_or(0.0);
        let meaning =
            "estimate of the relative time error: errors of steps added up, taken to decay and grow as the state";
        Some(Number { name: "time_error", unit: "1", meaning, value, error: ErrorBar::None })
    }

    /// What the log says of it.
    pub fn note(scheme: &Scheme) -> String {
        let (cost, of) = (retake_evaluations(scheme), scheme.evaluations());
        format!(
            "time error: steps 1, 4, 16, … and the last are taken a second time with smaller ones ({cost} evaluations \
             each, beside {of} of a step)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_that_fall_or_rise_exponentially_add_up_to_their_integral() {
        // ∫₀^T e^{−a t} dt from rates at any times; the first entry rises with a = −0.3, the second falls with 2.
        let mut error = TimeError::new(1);
        let rate = |t: f64| [(0.3 * t).exp(), (-2.0 * t).exp()];
        error.add(0.0, &rate(0.0));
        for t in [0.01, 0.04, 0.5, 2.0] {
            error.add(t, &rate(t));
        }
        let truth = [((0.6f64).exp() - 1.0) / 0.3, (1.0 - (-4.0f64).exp()) / 2.0];
        for (found, truth) in error.at(2.0).unwrap().iter().zip(truth) {
            assert!((found / truth - 1.0).abs() < 1e-12, "{found} {truth}");
        }
        let later = error.at(3.0).unwrap();
        assert!((later[1] - truth[1] - (-4.0f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn a_step_shortened_to_land_on_an_output_counts_as_a_regular_one_of_order_2() {
        // Steps of 0.1 with errors 0.3 · size³ each: 0.003 a unit of time. The last is 0.04 long, or 0.01 and left out.
        for last in [0.1, 0.04, 0.01] {
            let mut error = TimeError::new(1);
            let made = |size: f64| [0.3 * size.powi(3)];
            error.add_step(0.1, (&made(0.1), &[1.0]), 0.1, 0.1, 2);
            error.add_step(0.9 + last, (&made(last), &[1.0]), last, 0.1, 2);
            let found = error.at(0.9 + last).unwrap()[0];
            assert!((found / (0.003 * (0.9 + last)) - 1.0).abs() < 1e-12, "{last}: {found}");
        }
        // A run of one step alone has its error.
        let mut error = TimeError::new(1);
        error.add_step(0.01, (&[7.0], &[14.0]), 0.01, 0.1, 2);
        assert_eq!(error.at(0.01), Some(vec![7.0, 0.5]));
    }

    #[test]
    fn errors_decay_and_grow_as_the_state_does() {
        // A state e^{−a t} whose steps of 0.1 have a relative error of 10⁻⁵ each: after a time of 8 they are 8 · 10⁻⁴ of it.
        // A rough start, whose errors are a hundred times as large, does not count for more where the state grows.
        let of = |a: f64, rough: f64| {
            let mut error = TimeError::new(1);
            let norm = |t: f64| libm::exp(-a * t);
            for t in [0.1, 0.4, 1.6, 6.4, 8.0] {
                let relative = if t < 1.6 { rough } else { 1e-5 };
                error.add_step(t, (&[relative * norm(t)], &[norm(t)]), 0.1, 0.1, 2);
            }
            error.number(8.0, &[norm(8.0)]).unwrap().value
        };
        for (a, rough) in [(1.0, 1e-5), (-1.0, 1e-5), (-1.0, 1e-3)] {
            assert!((of(a, rough) / 8e-4 - 1.0).abs() < 1e-12, "{a} {rough}: {}", of(a, rough));
        }
        assert!(of(0.0, 1e-3) > 7e-3);
        // At rest nothing is wrong; beside nothing all is.
        for (made, expected) in [(0.0, 0.0), (1e-3, 1.0)] {
            let mut error = TimeError::new(1);
            error.add_step(0.1, (&[made], &[0.0]), 0.1, 0.1, 2);
            assert_eq!(error.number(0.1, &[1e-9]).unwrap().value, expected);
            assert_eq!(error.number(0.1, &[0.0]).unwrap().value, 0.0);
        }
    }

    #[test]
    fn the_measured_steps_are_the_powers_of_four() {
        assert_eq!((0..=300).filter(|s| due(*s)).collect::<Vec<_>>(), [1, 4, 16, 64, 256]);
        assert_eq!(TimeError::new(1).at(1.0), None);
        assert_eq!(logarithmic_mean(0.0, 0.0), 0.0);
        assert!(logarithmic_mean(1.0, 0.0) < 0.11);
    }
}
