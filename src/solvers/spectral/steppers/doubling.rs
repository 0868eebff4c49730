//! The error of a step, by taking it a second time with smaller steps.

use super::super::fields::Fields;
use super::sweep::{Factor, Sweep, Vector, combine};
use super::{LinearPart, Nonlinear, Scheme, Stepper, stepper};
use crate::error::Result;
use crate::math::real::Real;

/// What the second time is taken with, where a step's history does not allow the scheme itself.
const REFERENCE: &str = "ars443";
/// Steps of it.
const PIECES: u32 = 4;

/// Evaluations of N that [`retake`] costs.
pub fn retake_evaluations(scheme: &Scheme) -> u64 {
    if scheme.steps == 1 { 2 * scheme.evaluations() } else { 4 * u64::from(PIECES) }
}

/// Work space of [`retake`] in arrays of the size of the state, besides `again` itself, where it is not lent a stepper.
pub fn retake_arrays(scheme: &Scheme) -> usize {
    let own = super::schemes().iter().find(|s| s.word == if scheme.steps == 1 { scheme.word } else { REFERENCE });
    own.map_or(0, |s| s.arrays)
}

/// Takes `again`, the state at `time` from which a step of `step` was made, to the end of that step a second time: by
/// two half steps of a Runge–Kutta scheme, by four of ARS(4,4,3) where the step belongs to a multistep scheme, whose
/// history lies on the numerical solution and makes its step as good as its next ones. Returns the factor c of
///
///     error of the step ≈ c ‖step − again‖,
///
/// 2^p/(2^p − 1) for two halves of order p, 1 for the other. `lent` is a stepper of the scheme without history that may
/// be used; its coefficients are made anew, as are the factors of an implicit part: this is for a few steps of a run.
pub fn retake<T: Real>(
    scheme: &Scheme,
    lent: Option<&mut dyn Stepper<T>>,
    nonlinear: &mut dyn Nonlinear<T>,
    linear: &mut LinearPart<T>,
    time: f64,
    step: f64,
    again: &mut Fields<T>,
) -> Result<f64> {
    let new = |word| stepper::<T>(word, again.len(), again.modes()).expect("a scheme of the registry");
    let (pieces, factor, mut own) = if scheme.steps > 1 {
        (PIECES, 1.0, Some(new(REFERENCE)))
    } else {
        let doubled = f64::from(1u32 << scheme.order);
        (2, doubled / (doubled - 1.0), lent.is_none().then(|| new(scheme.word)))
    };
    let taker: &mut dyn Stepper<T> = match (&mut own, lent) {
        (Some(own), _) => own.as_mut(),
        (None, Some(lent)) => lent,
        (None, None) => unreachable!("one was made where none was lent"),
    };
    let piece = step / f64::from(pieces);
    for i in 0..pieces {
        taker.step(nonlinear, linear, time + f64::from(i) * piece, piece, again)?;
    }
    Ok(factor)
}

/// own ← own − other.
struct Less;

impl<T: Real> Sweep<T, 0, 1, 1> for Less {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [other]: [V; 1], [own]: [V; 1]) -> [V; 1] {
        [own - other]
    }
}

/// Takes `other` off `own`.
pub fn subtract<T: Real>(own: &mut Fields<T>, other: &Fields<T>) {
    combine(&Less, [other], [own]);
}
