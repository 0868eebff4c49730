//! CNAB2: the trapezoidal rule for L, Adams–Bashforth for N, variable steps (w = Δt / Δt before):
//!
//!     (M − ½Δt L) u⁺ = M u + Δt (½ L u + (1 + w/2) N(u) − w/2 N(u before))
//!
//! The first step is taken by ARS(2,2,2).

use super::super::fields::Fields;
use super::ars::Ars;
use super::sweep::{Factor, Sweep, Vector, combine};
use super::{LinearPart, Nonlinear, Stepper, prepare};
use crate::error::Result;
use crate::math::real::Real;

/// Work space: four arrays of the size of the state, and at the start those of the first scheme.
pub struct Cnab2<T: Real> {
    rate: Fields<T>,
    /// N of the step before.
    earlier: Fields<T>,
    image: Fields<T>,
    /// The right-hand side, then the new state.
    right: Fields<T>,
    /// Size of the step before; 0: there was none.
    step: f64,
    start: Option<Ars<T>>,
}

impl<T: Real> Cnab2<T> {
    pub fn new(fields: usize, modes: usize) -> Self {
        let zeros = || Fields::zeros(fields, modes);
        Cnab2 { rate: zeros(), earlier: zeros(), image: zeros(), right: zeros(), step: 0.0, start: None }
    }
}

/// Adds the terms of L u, N(u) and N(u before) to M u.
struct Right<T>(T, T, T);

impl<T: Real> Sweep<T, 0, 3, 1> for Right<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [image, rate, earlier]: [V; 3], [mass]: [V; 1]) -> [V; 1] {
        [mass + (image * self.0 + rate * self.1 + earlier * self.2)]
    }
}

impl<T: Real> Stepper<T> for Cnab2<T> {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()> {
        nonlinear.evaluate(time, state, &mut self.rate)?;
        if self.step == 0.0 {
            let new = || Ars::two(state.len(), state.modes());
            self.start.get_or_insert_with(new).step(nonlinear, linear, time, step, state)?;
        } else {
            self.start = None;
            let implicit = linear.implicit();
            prepare(implicit, &[0.5 * step]);
            let Self { rate, earlier, image, right, .. } = self;
            let w = step / self.step;
            implicit.apply(state, image);
            implicit.mass(state, right);
            let h = |part: f64| T::of(part * step);
            combine(&Right(h(0.5), h(1.0 + 0.5 * w), h(-0.5 * w)), [image, rate, earlier], [right]);
            implicit.solve(0, right);
            std::mem::swap(state, right);
        }
        std::mem::swap(&mut self.rate, &mut self.earlier);
        self.step = step;
        Ok(())
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>) {
        (vec![("earlier_rate_1", &mut self.earlier)], vec![("earlier_step_1", &mut self.step)])
    }
}
