//! IF-RK4: the classical Runge–Kutta scheme for e^{−Lt} u.
//!
//!     k₁ = N(u);  k₂ = N(E₂(u + ½Δt k₁));  k₃ = N(E₂u + ½Δt k₂);  k₄ = N(Eu + Δt E₂k₃)
//!     u⁺ = Eu + Δt/6 (E k₁ + 2E₂(k₂ + k₃) + k₄)
//!
//! Embedded third order with the first stage of the next step (which is then not evaluated again):
//!
//!     û − u⁺ = Δt/10 (N(u⁺) − k₄)

use super::super::fields::Fields;
use super::factors::Factors;
use super::phi::{exponential, phi};
use super::stage::{At, Next, Stages};
use super::sweep::{Factor, Sweep, Vector, combine, run};
use super::{LinearPart, Nonlinear, Stepper};
use crate::error::Result;
use crate::math::elementary;
use crate::math::real::Real;

const HALF: usize = 0;
const WHOLE: usize = 1;

/// Work space: three arrays of the size of the state, two where N comes in parts, one where stages go on at once; five where
/// the error is estimated.
pub struct IfRk4<T: Real> {
    factors: Option<Factors<T>>,
    made_for: f64,
    /// N, where it does not come in parts or is compared.
    rate: Fields<T>,
    /// Also holds the error estimate between steps.
    stage: Fields<T>,
    /// The new state, then the old one.
    sum: Fields<T>,
    estimate: Option<Estimate<T>>,
}

/// What the embedded scheme needs.
struct Estimate<T: Real> {
    /// N(u).
    first: Fields<T>,
    /// 1: `first` holds it; 0: not yet.
    known: f64,
    /// N(u⁺).
    next: Fields<T>,
    /// A step was taken and may yet be taken back; when the next begins `next` becomes `first`.
    pending: bool,
}

impl<T: Real> Estimate<T> {
    /// The last step counts.
    fn settle(&mut self) {
        if std::mem::take(&mut self.pending) {
            std::mem::swap(&mut self.first, &mut self.next);
            self.known = 1.0;
        }
    }
}

impl<T: Real> IfRk4<T> {
    pub fn new(fields: usize, modes: usize) -> Self {
        let zeros = || Fields::zeros(fields, modes);
        IfRk4 { factors: None, made_for: f64::NAN, rate: zeros(), stage: zeros(), sum: zeros(), estimate: None }
    }
}

/// From u, k₁: the second stage; E(u + Δt/6 k₁). Holds Δt/2, Δt/6.
struct Second<T>(T, T);

impl<T: Real> Sweep<T, 2, 2, 2> for Second<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [half, whole]: [F; 2], [u, k]: [V; 2], _: [V; 2]) -> [V; 2] {
        [half * (u + k * self.0), whole * (u + k * self.1)]
    }
}

/// From u, k₂: the third stage; adds Δt/3 E₂k₂. Holds Δt/2, Δt/3.
struct Third<T>(T, T);

impl<T: Real> Sweep<T, 1, 2, 2> for Third<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [half]: [F; 1], [u, k]: [V; 2], [_, sum]: [V; 2]) -> [V; 2] {
        [half * u + k * self.0, sum + (half * k) * self.1]
    }
}

/// From u, k₃: the fourth stage; adds Δt/3 E₂k₃. Holds Δt, Δt/3.
struct Fourth<T>(T, T);

impl<T: Real> Sweep<T, 2, 2, 2> for Fourth<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [half, whole]: [F; 2], [u, k]: [V; 2], [_, sum]: [V; 2]) -> [V; 2] {
        let k = half * k;
        [whole * u + k * self.0, sum + k * self.1]
    }
}

/// Adds Δt/6 k₄.
struct Last<T>(T);

impl<T: Real> Sweep<T, 0, 1, 1> for Last<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [k]: [V; 1], [sum]: [V; 1]) -> [V; 1] {
        [sum + k * self.0]
    }
}

/// Δt/10 (N(u⁺) − k₄).
struct Difference<T>(T);

impl<T: Real> Sweep<T, 0, 2, 1> for Difference<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [next, k]: [V; 2], _: [V; 1]) -> [V; 1] {
        [(next - k) * self.0]
    }
}

impl<T: Real> Stepper<T> for IfRk4<T> {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()> {
        let linear = linear.exponential();
        let factors = self.factors.get_or_insert_with(|| Factors::new(linear, 2));
        if self.made_for != step {
            factors.make(
                linear,
                |l| {
                    let half = elementary::exp(0.5 * step * l);
                    [half, half * half]
                },
                |l| {
                    let half = exponential(l * (0.5 * step));
                    [half, half * half]
                },
                |l, n, out| *out = [phi(l, 0.5 * step, n)[0], phi(l, step, n)[0]],
            );
            self.made_for = step;
        }
        let Self { rate, stage, sum, estimate, .. } = self;
        let h = |part: f64| T::of(part * step);
        let mut stages = Stages { nonlinear, factors, rate };
        let middle = time + 0.5 * step;
        // With the estimate N is evaluated whole at the last stage.
        let kept = estimate.is_some();
        let next = |time| Some(Next { time, kept });
        let second = Second(h(0.5), h(1.0 / 6.0));
        match estimate {
            Some(estimate) => {
                estimate.settle();
                if estimate.known == 0.0 {
                    stages.nonlinear.evaluate(time, state, &mut estimate.first)?;
                    estimate.known = 1.0;
                }
                run(&second, factors, [HALF, WHOLE], [state, &estimate.first], [stage, sum]);
            }
            None => {
                stages.run((time, At::Input(0)), &second, [HALF, WHOLE], &[state], [stage, sum], next(middle))?;
            }
        }
        let third = Third(h(0.5), h(1.0 / 3.0));
        stages.run((middle, At::Output(0)), &third, [HALF], &[state], [stage, sum], next(middle))?;
        let fourth = Fourth(h(1.0), h(1.0 / 3.0));
        stages.run((middle, At::Output(0)), &fourth, [HALF, WHOLE], &[state], [stage, sum], next(time + step))?;
        let last = Last(h(1.0 / 6.0));
        match estimate {
            None => stages.run((time + step, At::Other(stage)), &last, [], &[], [sum], None)?,
            Some(estimate) => {
                nonlinear.evaluate(time + step, stage, rate)?;
                combine(&last, [rate], [sum]);
                nonlinear.evaluate(time + step, sum, &mut estimate.next)?;
                combine(&Difference(h(0.1)), [&estimate.next, rate], [stage]);
                estimate.pending = true;
            }
        }
        std::mem::swap(state, sum);
        Ok(())
    }

    fn disturb(&mut self, _add: &mut dyn FnMut(&mut Fields<T>)) {
        if let Some(estimate) = &mut self.estimate {
            estimate.settle();
            estimate.known = 0.0;
        }
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>) {
        match &mut self.estimate {
            None => (Vec::new(), Vec::new()),
            Some(estimate) => {
                estimate.settle();
                (vec![("first_stage", &mut estimate.first)], vec![("first_stage_known", &mut estimate.known)])
            }
        }
    }

    fn estimate(&mut self, on: bool) -> bool {
        let zeros = || Fields::zeros(self.rate.len(), self.rate.modes());
        self.estimate = on.then(|| Estimate { first: zeros(), known: 0.0, next: zeros(), pending: false });
        true
    }

    fn embedded_error(&self) -> Option<&Fields<T>> {
        self.estimate.as_ref().filter(|e| e.pending).map(|_| &self.stage)
    }

    fn reject(&mut self, state: &mut Fields<T>) {
        let estimate = self.estimate.as_mut().expect("the error is estimated");
        assert!(std::mem::take(&mut estimate.pending), "there is a step to take back");
        std::mem::swap(state, &mut self.sum);
    }
}
