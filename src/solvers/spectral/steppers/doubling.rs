//! The time error of a scheme at a state, by taking a few steps twice.

use super::super::fields::Fields;
use super::sweep::{Factor, Sweep, Vector, combine};
use super::{LinearPart, Nonlinear, Scheme, stepper};
use crate::error::Result;
use crate::math::real::Real;

/// Takes another state off.
struct Less;

impl<T: Real> Sweep<T, 0, 1, 1> for Less {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [other]: [V; 1], [own]: [V; 1]) -> [V; 1] {
        [own - other]
    }
}

/// Estimate of the error that steps of size `step` make per unit of time from `state` on: ‖fine − coarse‖ /
/// ((2^p − 1) span), where `fine` took steps of `step` over a short span and `coarse` half as many of twice the size,
/// both from the beginning (two and one; 16 and 8 for multistep schemes, so that their start counts for little). The
/// state is left alone; factors of an implicit part are made anew, so this is for a few moments of a run. Errors of later
/// times grow or decay with the flow and are not this one's to know.
pub fn step_doubling<T: Real>(
    scheme: &Scheme,
    nonlinear: &mut dyn Nonlinear<T>,
    linear: &mut LinearPart<T>,
    time: f64,
    step: f64,
    state: &Fields<T>,
    norm: &mut dyn FnMut(&Fields<T>) -> f64,
) -> Result<f64> {
    let count = if scheme.steps == 1 { 2 } else { 16 };
    let mut after = |count: usize, step: f64| -> Result<Fields<T>> {
        let mut own = stepper::<T>(scheme.word, state.len(), state.modes()).expect("a scheme of the registry");
        let mut reached = state.clone();
        for i in 0..count {
            own.step(nonlinear, linear, time + i as f64 * step, step, &mut reached)?;
        }
        Ok(reached)
    };
    let fine = after(count, step)?;
    let mut coarse = after(count / 2, 2.0 * step)?;
    combine(&Less, [&fine], [&mut coarse]);
    let span = count as f64 * step;
    Ok(norm(&coarse) / (f64::from((1u32 << scheme.order) - 1) * span))
}
