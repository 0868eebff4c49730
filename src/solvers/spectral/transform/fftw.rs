//! Lines through FFTW instead of rustfft (feature `fftw`, the system's library).
//!
//! Plans are estimated, not measured, and for unaligned arrays: so the bits of a transform depend neither on timings nor
//! on where an array lies.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use fftw_sys as ffi;
use num_complex::Complex;
use rustfft::{Direction, Fft, FftDirection, Length};

use crate::math::real::Real;

/// FFTW's planner is not safe to call from several threads; execution is.
static PLANNER: Mutex<()> = Mutex::new(());

/// FFTW_ESTIMATE | FFTW_UNALIGNED.
const FLAGS: u32 = (1 << 6) | (1 << 1);

/// A transform of one line of `n` numbers, in place.
struct Plan<T> {
    plan: *mut c_void,
    n: usize,
    direction: FftDirection,
    precision: PhantomData<T>,
}

// SAFETY: a plan is only read when it is executed on arrays that are given.
unsafe impl<T> Send for Plan<T> {}
unsafe impl<T> Sync for Plan<T> {}

/// FFTW's plan for lines of `n` numbers, unnormalised in both directions like rustfft's.
///
/// # Panics
/// If FFTW has no plan: more than 2³¹ − 1 numbers, or no memory.
pub fn plan<T: Real>(n: usize, direction: FftDirection) -> Arc<dyn Fft<T>> {
    let length = c_int::try_from(n).expect("a line that FFTW can count");
    let sign = if direction == FftDirection::Forward { -1 } else { 1 };
    let mut line = vec![Complex::new(T::zero(), T::zero()); n];
    let at: *mut c_void = line.as_mut_ptr().cast();
    let lock = PLANNER.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: an estimated plan does not touch the array, which has n numbers of the plan's precision.
    let plan: *mut c_void = unsafe {
        if size_of::<T>() == 8 {
            ffi::fftw_plan_dft_1d(length, at.cast(), at.cast(), sign, FLAGS).cast()
        } else {
            ffi::fftwf_plan_dft_1d(length, at.cast(), at.cast(), sign, FLAGS).cast()
        }
    };
    drop(lock);
    assert!(!plan.is_null(), "FFTW has no plan for lines of {n}");
    Arc::new(Plan { plan, n, direction, precision: PhantomData })
}

impl<T> Drop for Plan<T> {
    fn drop(&mut self) {
        let _lock = PLANNER.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by the planner, destroyed once.
        unsafe {
            if size_of::<T>() == 8 {
                ffi::fftw_destroy_plan(self.plan.cast());
            } else {
                ffi::fftwf_destroy_plan(self.plan.cast());
            }
        }
    }
}

impl<T> Length for Plan<T> {
    fn len(&self) -> usize {
        self.n
    }
}

impl<T> Direction for Plan<T> {
    fn fft_direction(&self) -> FftDirection {
        self.direction
    }
}

impl<T: Real> Fft<T> for Plan<T> {
    fn process_with_scratch(&self, buffer: &mut [Complex<T>], _scratch: &mut [Complex<T>]) {
        assert!(buffer.len().is_multiple_of(self.n), "lines of {} numbers", self.n);
        for line in buffer.chunks_exact_mut(self.n) {
            let at: *mut c_void = line.as_mut_ptr().cast();
            // SAFETY: n numbers of the plan's precision, in place as it was planned, of any alignment.
            unsafe {
                if size_of::<T>() == 8 {
                    ffi::fftw_execute_dft(self.plan.cast(), at.cast(), at.cast());
                } else {
                    ffi::fftwf_execute_dft(self.plan.cast(), at.cast(), at.cast());
                }
            }
        }
    }

    fn process_outofplace_with_scratch(
        &self,
        input: &mut [Complex<T>],
        output: &mut [Complex<T>],
        scratch: &mut [Complex<T>],
    ) {
        self.process_immutable_with_scratch(input, output, scratch);
    }

    fn process_immutable_with_scratch(
        &self,
        input: &[Complex<T>],
        output: &mut [Complex<T>],
        scratch: &mut [Complex<T>],
    ) {
        output.copy_from_slice(input);
        self.process_with_scratch(output, scratch);
    }

    fn get_inplace_scratch_len(&self) -> usize {
        0
    }

    fn get_outofplace_scratch_len(&self) -> usize {
        0
    }

    fn get_immutable_scratch_len(&self) -> usize {
        0
    }
}

unsafe extern "C" {
    /// The library's name and version, a text that ends with a zero.
    static fftw_version: c_char;
}

/// "fftw-3.3.10-…", as the library calls itself.
pub fn version() -> String {
    // SAFETY: a constant text of the library.
    unsafe { CStr::from_ptr(&raw const fftw_version) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fft::rustfft_plan;
    use super::super::vector::Level;
    use super::*;

    #[test]
    fn both_backends_agree_to_1e_13_in_both_directions_and_precisions() {
        fn compare<T: Real>(n: usize, bound: f64) {
            for direction in [FftDirection::Forward, FftDirection::Inverse] {
                let value = |i: usize, w: f64| T::of((w * (i * i + 1) as f64).sin());
                let line: Vec<Complex<T>> = (0..n).map(|i| Complex::new(value(i, 0.37), value(i, 0.71))).collect();
                let (mut ours, mut theirs) = (line.clone(), line);
                rustfft_plan::<T>(n, direction, Level::detect()).process(&mut ours);
                plan::<T>(n, direction).process(&mut theirs);
                let norm = |z: Complex<T>| z.re.to_f64().powi(2) + z.im.to_f64().powi(2);
                let size: f64 = ours.iter().map(|z| norm(*z)).sum();
                let off: f64 = ours.iter().zip(&theirs).map(|(a, b)| norm(*a - *b)).sum();
                assert!((off / size).sqrt() < bound, "n = {n}, {direction:?}: {:e}", (off / size).sqrt());
            }
        }
        for n in (1..=130).chain([256, 509, 1000, 4096, 10_007, 65_536]) {
            compare::<f64>(n, 1e-13);
            compare::<f32>(n, 1e-5);
        }
    }

    #[test]
    fn where_a_line_lies_changes_no_bits() {
        let n = 96;
        let plan = plan::<f64>(n, FftDirection::Forward);
        let line: Vec<Complex<f64>> = (0..n).map(|i| Complex::new((0.3 * i as f64).sin(), 0.1)).collect();
        let at = |shift: usize| {
            let mut room = vec![Complex::new(0.0, 0.0); n + shift];
            room[shift..].copy_from_slice(&line);
            plan.process(&mut room[shift..]);
            room.split_off(shift)
        };
        assert!((1..4).all(|shift| at(shift) == at(0)));
    }
}
