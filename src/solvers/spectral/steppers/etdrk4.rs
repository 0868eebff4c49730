//! ETDRK4 (Cox & Matthews 2002, factors after Kassam & Trefethen 2005):
//!
//!     a = E₂u + Q N(u);   b = E₂u + Q N(a);   c = E₂a + Q (2N(b) − N(u))
//!     u⁺ = E u + f₁ N(u) + 2f₂ (N(a) + N(b)) + f₃ N(c)
//!
//! with E = e^{LΔt}, E₂ = e^{LΔt/2}; stages at t, t + Δt/2 (twice), t + Δt.

use super::super::fields::Fields;
use super::factors::Factors;
use super::phi::{Contour, etdrk4_block};
use super::stage::{At, Next, Stages};
use super::sweep::{Factor, Sweep, Vector};
use super::{LinearPart, Nonlinear, Stepper};
use crate::error::Result;
use crate::math::real::Real;

// Places of the factors.
const HALF: usize = 0;
const WHOLE: usize = 1;
const Q: usize = 2;
const F1: usize = 3;
const F2: usize = 4;
const F3: usize = 5;

/// Work space: four arrays of the size of the state, three where N comes in parts, two where stages go on at once.
pub struct Etdrk4<T: Real> {
    contour: Contour,
    factors: Option<Factors<T>>,
    /// Step size of the factors.
    made_for: f64,
    /// E₂a − Q N(u).
    part: Fields<T>,
    /// N, where it does not come in parts.
    rate: Fields<T>,
    stage: Fields<T>,
    /// The new state, as far as it is known.
    sum: Fields<T>,
}

impl<T: Real> Etdrk4<T> {
    pub fn new(fields: usize, modes: usize) -> Self {
        let zeros = || Fields::zeros(fields, modes);
        Etdrk4 {
            contour: Contour::new(),
            factors: None,
            made_for: f64::NAN,
            part: zeros(),
            rate: zeros(),
            stage: zeros(),
            sum: zeros(),
        }
    }
}

/// From u, N(u): the stage a, E₂a − Q N(u), and u⁺ as far as it is known.
struct A;

impl<T: Real> Sweep<T, 4, 2, 3> for A {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [half, whole, q, f1]: [F; 4], [u, n]: [V; 2], _: [V; 3]) -> [V; 3] {
        let forced = q * n;
        let a = half * u + forced;
        [a, half * a - forced, whole * u + f1 * n]
    }
}

/// From u, N(a): the stage b; adds 2f₂ N(a).
struct B;

impl<T: Real> Sweep<T, 3, 2, 2> for B {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [half, q, f2]: [F; 3], [u, na]: [V; 2], [_, sum]: [V; 2]) -> [V; 2] {
        [half * u + q * na, sum + f2 * na]
    }
}

/// From E₂a − Q N(u) and N(b): the stage c; adds 2f₂ N(b).
struct C<T>(T);

impl<T: Real> Sweep<T, 2, 2, 2> for C<T> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [q, f2]: [F; 2], [part, nb]: [V; 2], [_, sum]: [V; 2]) -> [V; 2] {
        [part + (q * nb) * self.0, sum + f2 * nb]
    }
}

/// Adds f₃ N(c).
struct Last;

impl<T: Real> Sweep<T, 1, 1, 1> for Last {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, [f3]: [F; 1], [nc]: [V; 1], [sum]: [V; 1]) -> [V; 1] {
        [sum + f3 * nc]
    }
}

impl<T: Real> Stepper<T> for Etdrk4<T> {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()> {
        let linear = linear.exponential();
        let factors = self.factors.get_or_insert_with(|| Factors::new(linear, 6));
        if self.made_for != step {
            let contour = &self.contour;
            factors.make(
                linear,
                |l| {
                    let [half, whole, q, f1, f2, f3] = contour.real(l * step);
                    [half, whole, q * step, f1 * step, f2 * step, f3 * step]
                },
                |l| {
                    let [half, whole, q, f1, f2, f3] = contour.complex(l * step);
                    [half, whole, q * step, f1 * step, f2 * step, f3 * step]
                },
                |l, n, out| etdrk4_block(l, n, step, out),
            );
            self.made_for = step;
        }
        let Self { part, rate, stage, sum, .. } = self;
        let mut stages = Stages { nonlinear, factors, rate };
        let (middle, end) = (time + 0.5 * step, time + step);
        let next = |time| Some(Next { time, kept: false });
        stages.run((time, At::Input(0)), &A, [HALF, WHOLE, Q, F1], &[state], [stage, part, sum], next(middle))?;
        stages.run((middle, At::Output(0)), &B, [HALF, Q, F2], &[state], [stage, sum], next(middle))?;
        stages.run((middle, At::Output(0)), &C(T::of(2.0)), [Q, F2], &[part], [stage, sum], next(end))?;
        stages.run((end, At::Other(stage)), &Last, [F3], &[], [sum], None)?;
        std::mem::swap(state, sum);
        Ok(())
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>) {
        (Vec::new(), Vec::new())
    }
}
