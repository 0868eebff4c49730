//! One stage of a scheme: N, and the sweep that uses it, at once where N comes part by part.
//!
//! The values of N are then in the cache, are never written to memory, and what the sweep makes of them goes on to the
//! grid from there.

use std::ops::Range;

use num_complex::Complex;
use smallvec::SmallVec;

use super::super::fields::Fields;
use super::Nonlinear;
use super::factors::Factors;
use super::sweep::{GROUP, Given, Part, Sweep, at_once, read, run, with_part, write};
use crate::error::Result;
use crate::math::real::Real;

/// Parts of the arrays of some fields.
type Slices<'a, T> = SmallVec<[&'a [Complex<T>]; GROUP]>;

/// The arrays of a stage as addresses: a sweep may write to those that N is evaluated at.
#[derive(Clone, Copy)]
struct Arrays<T> {
    starts: [*mut Complex<T>; GROUP],
    fields: usize,
    modes: usize,
}

impl<T> Arrays<T> {
    /// # Safety
    /// The arrays live, and nobody writes to the range while the slices do.
    unsafe fn part<'a>(&self, at: &Range<usize>) -> Slices<'a, T> {
        assert!(at.start <= at.end && at.end <= self.modes, "{at:?} of {}", self.modes);
        let part = |p: &*mut Complex<T>| unsafe { std::slice::from_raw_parts(p.add(at.start).cast_const(), at.len()) };
        self.starts[..self.fields].iter().map(part).collect()
    }
}

/// What an evaluation of N takes and gives when the sweep follows at once.
pub struct Stage<'a, T> {
    state: Arrays<T>,
    /// N is evaluated there right after, at this time.
    next: Option<(f64, Arrays<T>)>,
    /// Whether the next state is written to its arrays.
    keeps: bool,
    part: &'a Part<'a, T>,
}

// SAFETY: addresses of arrays that are borrowed for as long; see `take` for who touches what.
unsafe impl<T: Send> Send for Stage<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Stage<'_, T> {}

impl<T: Real> Stage<'_, T> {
    /// The arrays that N is evaluated at, as long as [`Stage::take`] was not called.
    ///
    /// # Safety
    /// The slices are not used when `take` has been called.
    pub unsafe fn state<'a>(&self) -> Slices<'a, T> {
        // SAFETY: the caller's promise.
        unsafe { self.state.part(&(0..self.state.modes)) }
    }

    /// When N is evaluated next, and where that state is, or would be.
    pub fn next(&self) -> Option<(f64, *const Complex<T>)> {
        self.next.as_ref().map(|(time, arrays)| (*time, arrays.starts[0].cast_const()))
    }

    /// Whether the next state stays when [`Stage::take`] has returned it.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Slices that [`Stage::take`] works in.
    pub fn work(&self) -> usize {
        if self.keeps { self.state.fields } else { 2 * self.state.fields }
    }

    /// On a range of modes: `make` makes N from the state, into the first slices of `work`, and the sweep follows. What the
    /// sweep needs so many modes ahead, where the next call will probably be, is asked for. Returns the next state there, if
    /// there is one.
    ///
    /// # Safety
    /// No two calls, at one time or later, have a mode in common.
    pub unsafe fn take<'s>(
        &self,
        at: &Range<usize>,
        ahead: usize,
        work: &'s mut [&mut [Complex<T>]],
        make: impl FnOnce(&[&[Complex<T>]], &mut [&mut [Complex<T>]]),
    ) -> Slices<'s, T> {
        assert!(work.len() == self.work() && work.iter().all(|w| w.len() == at.len()), "work space for {at:?}");
        let (rate, passing) = work.split_at_mut(self.state.fields);
        // SAFETY: of modes that no other call writes to; this one does when the slices are gone.
        make(&unsafe { self.state.part(at) }, rate);
        let last: Slices<T> = rate.iter().map(|r| &**r).collect();
        (self.part)(at.clone(), Some(Given { last: &last, first: passing, ahead }));
        match &self.next {
            None => Slices::new(),
            // SAFETY: the sweep has written it, and no other call does.
            Some((_, next)) if self.keeps => unsafe { next.part(at) },
            Some(_) => passing.iter().map(|p| &**p).collect(),
        }
    }
}

/// N is evaluated right after a sweep, at its first output.
#[derive(Clone, Copy)]
pub struct Next {
    pub time: f64,
    /// Whether that output is read for anything else.
    pub kept: bool,
}

/// Which arrays N is evaluated at.
pub enum At<'a, T> {
    /// An input of the sweep.
    Input(usize),
    /// What an output is before the sweep.
    Output(usize),
    Other(&'a Fields<T>),
}

/// The stages of one step.
pub struct Stages<'a, T: Real> {
    pub nonlinear: &'a mut dyn Nonlinear<T>,
    pub factors: &'a Factors<T>,
    /// Work space for N where it does not come part by part.
    pub rate: &'a mut Fields<T>,
}

impl<T: Real> Stages<'_, T> {
    /// N at a time and at some arrays, then the sweep, of which it is the last input. With `next`, the first output is only
    /// written where it must be.
    pub fn run<S: Sweep<T, C, R, W>, const C: usize, const R: usize, const W: usize>(
        &mut self,
        (time, at): (f64, At<T>),
        sweep: &S,
        which: [usize; C],
        inputs: &[&Fields<T>],
        mut outputs: [&mut Fields<T>; W],
        next: Option<Next>,
    ) -> Result<()> {
        assert_eq!(inputs.len() + 1, R, "inputs besides N");
        let (fields, modes) = (outputs[0].len(), outputs[0].modes());
        if fields > at_once(self.factors) || !self.nonlinear.comes_in_parts() {
            let state = match at {
                At::Input(i) => inputs[i],
                At::Output(i) => &*outputs[i],
                At::Other(state) => state,
            };
            self.nonlinear.evaluate(time, state, self.rate)?;
            let inputs = std::array::from_fn(|j| if j + 1 < R { inputs[j] } else { &*self.rate });
            run(sweep, self.factors, which, inputs, outputs);
            return Ok(());
        }
        let from = read::<T, R>(inputs, 0..fields, modes);
        let to = write(&mut outputs, 0..fields, modes);
        let arrays = |starts| Arrays { starts, fields, modes };
        let state = arrays(match at {
            At::Input(i) => from[i],
            At::Output(i) => to[i],
            At::Other(state) => read::<T, 1>(&[state], 0..fields, modes)[0],
        });
        let keeps = next.is_none_or(|next| next.kept) || !self.nonlinear.goes_on_at_once();
        let next = next.map(|next| (next.time, arrays(to[0])));
        with_part(sweep, self.factors, which, 0..fields, from, to, |part| {
            self.nonlinear.evaluate_in_parts(time, &Stage { state, next, keeps, part });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::equation::Equation;
    use super::super::super::equations::written::WrittenInput;
    use super::super::super::exact::run::{input, truncated};
    use super::super::super::linear::Linear;
    use super::super::super::nonlinear::Evaluation;
    use super::super::super::transform::{Distributed, Level, Scales, Settings, Transform};
    use super::super::{LinearPart, stepper};
    use super::*;
    use crate::team::Solo;

    /// N that comes whole.
    struct Whole<'a>(&'a mut dyn Nonlinear<f64>);

    impl Nonlinear<f64> for Whole<'_> {
        fn evaluate(&mut self, time: f64, state: &Fields<f64>, out: &mut Fields<f64>) -> Result<()> {
            self.0.evaluate(time, state, out)
        }
    }

    fn written(toml: &str) -> Arc<dyn Equation<f64>> {
        let written: WrittenInput = toml::from_str(toml).unwrap();
        Arc::new(written.compile(&truncated(&[12, 15, 10], &[1.0, 2.0, 3.0], false)).unwrap())
    }

    #[test]
    fn three_steps_with_n_in_parts_have_the_bits_of_three_steps_with_n_whole() {
        let domain = truncated(&[12, 15, 10], &[1.0, 2.0, 3.0], false);
        let forced = r#"
            kind = "navier_stokes_3d"
            viscosity = 0.1
            forcing = { kind = "kolmogorov" }
        "#;
        let equations: [(&str, Arc<dyn Equation<f64>>); 4] = [
            ("as they stand, with a forcing", input(forced).build(&domain).unwrap()),
            ("a block", input("kind = 'boussinesq'\nviscosity = 0.1\ndiffusivity = 0.2").build(&domain).unwrap()),
            ("made of the state and of time", written("fields = ['u']\nrhs = { u = '0.1*lap(u) + u*dx(u)*cos(t)' }")),
            ("in two rounds", written("fields = ['u']\nrhs = { u = '0.1*lap(u) + u*dx(u*dy(u*u))' }")),
        ];
        for (what, equation) in equations {
            let settings = Settings { process_grid: None, level: Level::detect(), ranks_per_node: 1, share: false };
            let mut transform = Distributed::new(&domain, &Solo, settings).unwrap();
            let mut evaluation = Evaluation::new(equation.clone(), &mut transform, &Solo);
            let scales = Scales::wavenumbers(&domain, transform.modes());
            let linear = Linear::of(equation.as_ref(), &scales);
            let mut start = Fields::zeros(equation.fields().len(), transform.modes().len());
            for (i, z) in start.arrays.iter_mut().flatten().enumerate() {
                *z = Complex::new((i * 7 % 13) as f64 - 6.0, (i * 5 % 11) as f64 - 5.0) * 1e-3;
            }
            for (scheme, estimate) in [("if_rk4", false), ("if_rk4", true), ("etdrk4", false)] {
                let mut run = |whole: bool| {
                    let mut stepper = stepper::<f64>(scheme, start.len(), start.modes()).unwrap();
                    stepper.estimate(estimate);
                    let mut bound = evaluation.bind(&mut transform, &Solo, None);
                    assert!(bound.comes_in_parts(), "{what}");
                    let mut state = start.clone();
                    for step in 0..3 {
                        let time = 0.01 * f64::from(step);
                        let mut whole_bound = Whole(&mut bound);
                        let nonlinear: &mut dyn Nonlinear<f64> = if whole { &mut whole_bound } else { whole_bound.0 };
                        stepper.step(nonlinear, &mut LinearPart::Exponential(&linear), time, 0.01, &mut state).unwrap();
                    }
                    state
                };
                let (parts, whole) = (run(false), run(true));
                assert!(parts.finite() && parts != start, "{what}, {scheme}");
                assert!(parts == whole, "{what}, {scheme}, error estimated: {estimate}");
            }
        }
    }
}
