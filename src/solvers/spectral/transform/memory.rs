//! Large arrays, with a hint to the system about them.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use num_complex::Complex;

use crate::math::real::Real;

/// An array of zeros on large pages, which are not touched before they are used: what is never used costs no memory, and
/// what is lies near the thread that used it first.
pub fn zeros<T: Real>(n: usize) -> Vec<Complex<T>> {
    if n == 0 {
        return Vec::new();
    }
    let layout = Layout::array::<Complex<T>>(n).expect("an array that can be addressed");
    // SAFETY: the layout is not empty; zero bytes are zeros; the vector is given what its own allocator made.
    let zeros = unsafe {
        let start = alloc_zeroed(layout);
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Vec::from_raw_parts(start.cast(), n, n)
    };
    prefer_large_pages(&zeros);
    zeros
}

/// Asks for pages of 2 MiB under an array that nobody has touched: passes along the first axis touch a page per row,
/// more than the processor remembers of small ones. A hint: nothing depends on it.
fn prefer_large_pages<T>(array: &[T]) {
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
