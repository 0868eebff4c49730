//! Spalart, Moser & Rogers (1991): three stages, each
//!
//!     (M − Δt β_i L) X_i = M X_{i−1} + Δt (α_i L X_{i−1} + γ_i N(X_{i−1}) + ζ_i N(X_{i−2}))
//!
//! Third order in N, second in L.

use super::super::fields::Fields;
use super::sweep::{Factor, Sweep, Vector, combine};
use super::{LinearPart, Nonlinear, Stepper, prepare};
use crate::error::Result;
use crate::math::real::Real;

pub(super) const ALPHA: [f64; 3] = [29.0 / 96.0, -3.0 / 40.0, 1.0 / 6.0];
pub(super) const BETA: [f64; 3] = [37.0 / 160.0, 5.0 / 24.0, 1.0 / 6.0];
pub(super) const GAMMA: [f64; 3] = [8.0 / 15.0, 5.0 / 12.0, 3.0 / 4.0];
pub(super) const ZETA: [f64; 3] = [0.0, -17.0 / 60.0, -5.0 / 12.0];

/// Work space: five arrays of the size of the state.
pub struct SmrRk3<T: Real> {
    /// The right-hand side of a stage, then the stage.
    stage: Fields<T>,
    /// The stage before.
    previous: Fields<T>,
    rate: Fields<T>,
    earlier_rate: Fields<T>,
    image: Fields<T>,
}

impl<T: Real> SmrRk3<T> {
    pub fn new(fields: usize, modes: usize) -> Self {
        let zeros = || Fields::zeros(fields, modes);
        SmrRk3 { stage: zeros(), previous: zeros(), rate: zeros(), earlier_rate: zeros(), image: zeros() }
    }
}

/// Adds Δt (α L X + γ N + ζ N before) to M X.
struct Right<T>(T, T, T);

impl<T: Real> Sweep<T, 0, 3, 1> for Right<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [image, rate, earlier]: [V; 3], [mass]: [V; 1]) -> [V; 1] {
        [mass + (image * self.0 + rate * self.1 + earlier * self.2)]
    }
}

/// The same where there is no N before.
struct First<T>(T, T);

impl<T: Real> Sweep<T, 0, 2, 1> for First<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [image, rate]: [V; 2], [mass]: [V; 1]) -> [V; 1] {
        [mass + (image * self.0 + rate * self.1)]
    }
}

impl<T: Real> Stepper<T> for SmrRk3<T> {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()> {
        let implicit = linear.implicit();
        prepare(implicit, &BETA.map(|b| b * step));
        let Self { stage, previous, rate, earlier_rate, image } = self;
        let h = |part: f64| T::of(part * step);
        let mut at = time;
        for i in 0..3 {
            let x: &Fields<T> = if i == 0 { state } else { previous };
            nonlinear.evaluate(at, x, rate)?;
            implicit.apply(x, image);
            implicit.mass(x, stage);
            if i == 0 {
                combine(&First(h(ALPHA[0]), h(GAMMA[0])), [image, rate], [stage]);
            } else {
                combine(&Right(h(ALPHA[i]), h(GAMMA[i]), h(ZETA[i])), [image, rate, earlier_rate], [stage]);
            }
            implicit.solve(i, stage);
            std::mem::swap(rate, earlier_rate);
            std::mem::swap(stage, previous);
            at += (GAMMA[i] + ZETA[i]) * step;
        }
        std::mem::swap(state, previous);
        Ok(())
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>) {
        (Vec::new(), Vec::new())
    }
}
