//! Large arrays, with a hint to the system about them.

use num_complex::Complex;

use crate::math::real::Real;

/// An array of zeros that asks for large pages.
pub fn zeros<T: Real>(n: usize) -> Vec<Complex<T>> {
    let zeros = vec![Complex::new(T::zero(), T::zero()); n];
    prefer_large_pages(&zeros);
    zeros
}

/// Asks for pages of 2 MiB under an array that was just allocated: passes along the first axis touch a page per row,
/// more than the processor remembers of small ones. A hint: nothing depends on it.
pub fn prefer_large_pages<T>(array: &[T]) {
    #[cfg(target_os = "linux")]
    {
        const LARGE: usize = 2 << 20;
        let (start, end) = (array.as_ptr() as usize, array.as_ptr() as usize + size_of_val(array));
        let (first, last) = (start.next_multiple_of(LARGE), end / LARGE * LARGE);
        if first < last {
            // SAFETY: advice on pages that lie within the array changes no contents.
            unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = array;
}
