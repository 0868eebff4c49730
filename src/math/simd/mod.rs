//! Loops compiled once per kernel level.
//!
//! Two ways to write one. Explicit vectors: [`lanes`] (8 virtual lanes of f64 at every level), with its levels in
//! [`level`] and its exponentials in [`exp`]. Plain loops over slices inside [`enter!`](crate::enter), which compiles them
//! for each level and leaves the vectors to the compiler; they call the scalar functions of [`scalar`], which inline.

// Rows and lanes are counted, over several arrays at once.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod compress;
pub mod exp;
pub mod lanes;
pub mod level;
pub mod scalar;

pub use level::Level;

/// Makes the compiler align the stack frame of the function that this is inlined into, so that vectors kept there do not
/// straddle cache lines (on an Intel Xeon, family 6, model 207, a store and a load of one that does take 0.9 ns for 0.5). The
/// compiler does not do so on its own for registers that it runs out of, but for a variable on a cache line; one that is
/// only read would become a constant elsewhere.
#[inline(always)]
pub fn align_frame() {
    #[repr(align(64))]
    struct Line(#[allow(dead_code)] [u8; 64]);
    let mut line = std::mem::MaybeUninit::<Line>::uninit();
    std::hint::black_box(line.as_mut_ptr());
}
