//! Semi-implicit backward differences of order K = 2, 3 with variable steps (Ascher, Ruuth & Wetton 1995): the
//! derivative of the interpolant through K + 1 states at the new time, N extrapolated from the last K.
//!
//!     a₀ M u⁺ − L u⁺ = −Σ_{j≥1} a_j M u_{1−j} + Σ_{j≥1} c_j N(u_{1−j})
//!
//! The first K − 1 steps are taken by an IMEX Runge–Kutta scheme of order K.

use super::super::fields::Fields;
use super::ars::Ars;
use super::sweep::{Factor, Sweep, Vector, combine};
use super::{LinearPart, Nonlinear, Stepper, prepare};
use crate::error::Result;
use crate::math::real::Real;

/// Weights a of the derivative at 0 of the interpolant through values at 0 and at `back` (negative times), times the
/// unit of `back`: a₀ belongs to 0, a_j to back[j−1]. From Lagrange's polynomials.
pub(super) fn derivative<const K: usize>(back: [f64; K]) -> (f64, [f64; K]) {
    let own = back.iter().map(|t| -1.0 / t).sum();
    let others = std::array::from_fn(|j| {
        let rest: f64 = (0..K).filter(|&i| i != j).map(|i| -back[i] / (back[j] - back[i])).product();
        rest / back[j]
    });
    (own, others)
}

/// Weights of the extrapolation to 0 from values at `back`.
pub(super) fn extrapolation<const K: usize>(back: [f64; K]) -> [f64; K] {
    std::array::from_fn(|j| (0..K).filter(|&i| i != j).map(|i| -back[i] / (back[j] - back[i])).product())
}

/// Names of the arrays of a restart: M u and N(u) of earlier steps.
const STATES: [&str; 2] = ["earlier_state_1", "earlier_state_2"];
const RATES: [&str; 2] = ["earlier_rate_1", "earlier_rate_2"];
const STEPS: [&str; 2] = ["earlier_step_1", "earlier_step_2"];

/// Work space: 2K arrays of the size of the state, and at the start those of the first scheme.
pub struct Sbdf<T: Real, const K: usize> {
    /// M u of this step (scratch) and of the K − 1 before.
    states: [Fields<T>; K],
    /// N(u) of this step (scratch) and of the K − 1 before.
    rates: [Fields<T>; K],
    /// Sizes of the last steps, newest first.
    steps: [f64; 2],
    /// How many earlier steps are held.
    held: f64,
    start: Option<Ars<T>>,
}

impl<T: Real, const K: usize> Sbdf<T, K> {
    pub fn new(fields: usize, modes: usize) -> Self {
        assert!(K == 2 || K == 3);
        let zeros = |_| Fields::zeros(fields, modes);
        Sbdf {
            states: std::array::from_fn(zeros),
            rates: std::array::from_fn(zeros),
            steps: [0.0; 2],
            held: 0.0,
            start: None,
        }
    }

    /// Newest becomes earlier; the oldest place is free for the next step.
    fn shift(&mut self, step: f64) {
        self.states.rotate_right(1);
        self.rates.rotate_right(1);
        self.steps = [step, self.steps[0]];
        self.held = (self.held + 1.0).min((K - 1) as f64);
    }
}

/// old ← Σ_j weight_j read_j + last weight · old: the right-hand side, in the place of the oldest state.
struct Right<T, const R: usize> {
    weights: [T; R],
    old: T,
}

impl<T: Real, const R: usize> Sweep<T, 0, R, 1> for Right<T, R> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], read: [V; R], [old]: [V; 1]) -> [V; 1] {
        [(0..R).fold(old * self.old, |sum, j| sum + read[j] * self.weights[j])]
    }
}

impl<T: Real, const K: usize> Stepper<T> for Sbdf<T, K> {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()> {
        nonlinear.evaluate(time, state, &mut self.rates[0])?;
        linear.implicit().mass(state, &mut self.states[0]);
        if (self.held as usize) < K - 1 {
            let new = || if K == 2 { Ars::two } else { Ars::four }(state.len(), state.modes());
            self.start.get_or_insert_with(new).step(nonlinear, linear, time, step, state)?;
            self.shift(step);
            return Ok(());
        }
        self.start = None;
        let implicit = linear.implicit();
        let mut back = [-1.0; K];
        for j in 1..K {
            back[j] = back[j - 1] - self.steps[j - 1] / step;
        }
        let (own, others) = derivative(back);
        let ahead = extrapolation(back);
        prepare(implicit, &[step / own]);
        let (a, c) = (others.map(|a| T::of(-a / own)), ahead.map(|c| T::of(c * step / own)));
        let (oldest, newer) = self.states.split_last_mut().expect("K states");
        match (newer, &self.rates[..]) {
            ([s0], [n0, n1]) => {
                let sweep = Right { weights: [a[0], c[0], c[1]], old: a[1] };
                combine(&sweep, [s0, n0, n1], [oldest]);
            }
            ([s0, s1], [n0, n1, n2]) => {
                let sweep = Right { weights: [a[0], a[1], c[0], c[1], c[2]], old: a[2] };
                combine(&sweep, [s0, s1, n0, n1, n2], [oldest]);
            }
            _ => unreachable!("K is 2 or 3"),
        }
        implicit.solve(0, oldest);
        std::mem::swap(state, oldest);
        self.shift(step);
        Ok(())
    }

    /// Without walls M is 1: what is added to a state is added to M u.
    fn disturb(&mut self, add: &mut dyn FnMut(&mut Fields<T>)) {
        self.states[1..].iter_mut().take(self.held as usize).for_each(add);
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>) {
        let states = STATES.into_iter().zip(&mut self.states[1..]);
        let rates = RATES.into_iter().zip(&mut self.rates[1..]);
        let steps = STEPS.into_iter().zip(&mut self.steps[..K - 1]);
        (states.chain(rates).collect(), steps.chain([("earlier_steps", &mut self.held)]).collect())
    }
}
