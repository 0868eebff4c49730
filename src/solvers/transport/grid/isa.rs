//! Instruction sets: the vectors the panels of a grid pass are computed in.
//!
//! Every lane of a vector belongs to one grid line, and all arithmetic is lane by lane, so the bits of a line depend
//! on the instruction set only through fused (AVX2, AVX-512) or unfused (portable) multiply-adds.

/// The instruction set of a pass. The ranks of a run agree on one, for equal bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Portable,
    Avx2,
    Avx512,
}

impl Level {
    /// The best that this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                return Level::Avx512;
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Portable
    }
}

/// A short vector of `E`.
///
/// # Safety
/// Pointers must be valid for `WIDTH` elements, and the processor must have the instruction set.
pub(super) unsafe trait Vector: Copy {
    type E: Copy;
    const WIDTH: usize;
    unsafe fn splat(x: Self::E) -> Self;
    unsafe fn load(p: *const Self::E) -> Self;
    unsafe fn store(self, p: *mut Self::E);
    /// self · b + c
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn min(self, b: Self) -> Self;
}

pub(super) trait Isa {
    /// Multiply-adds round once.
    const FUSED: bool;
    /// Rows of a register tile two vectors wide: as many accumulators as registers allow.
    const TILE_ROWS: usize;
    type F64: Vector<E = f64>;
    type F32: Vector<E = f32>;
}

pub(super) struct Portable;

impl Isa for Portable {
    const FUSED: bool = false;
    const TILE_ROWS: usize = 6;
    type F64 = [f64; 4];
    type F32 = [f32; 8];
}

macro_rules! portable {
    ($t:ty, $w:literal) => {
        unsafe impl Vector for [$t; $w] {
            type E = $t;
            const WIDTH: usize = $w;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                [x; $w]
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                unsafe { p.cast::<[$t; $w]>().read() }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                unsafe { p.cast::<[$t; $w]>().write(self) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                std::array::from_fn(|i| self[i] * b[i] + c[i])
            }
            #[inline(always)]
            unsafe fn add(self, b: Self) -> Self {
                std::array::from_fn(|i| self[i] + b[i])
            }
            #[inline(always)]
            unsafe fn min(self, b: Self) -> Self {
                std::array::from_fn(|i| if self[i] < b[i] { self[i] } else { b[i] })
            }
        }
    };
}
portable!(f64, 4);
portable!(f32, 8);

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Isa, Vector};

    pub struct Avx2;
    pub struct Avx512;

    impl Isa for Avx2 {
        const FUSED: bool = true;
        const TILE_ROWS: usize = 6;
        type F64 = __m256d;
        type F32 = __m256;
    }

    impl Isa for Avx512 {
        const FUSED: bool = true;
        const TILE_ROWS: usize = 13;
        type F64 = __m512d;
        type F32 = __m512;
    }

    macro_rules! vector {
        ($v:ty, $t:ty, $w:literal, $set:ident, $load:ident, $store:ident, $fma:ident, $add:ident, $min:ident) => {
            unsafe impl Vector for $v {
                type E = $t;
                const WIDTH: usize = $w;
                #[inline(always)]
                unsafe fn splat(x: $t) -> Self {
                    unsafe { $set(x) }
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p, self) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    unsafe { $fma(self, b, c) }
                }
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    unsafe { $add(self, b) }
                }
                #[inline(always)]
                unsafe fn min(self, b: Self) -> Self {
                    unsafe { $min(self, b) }
                }
            }
        };
    }
    vector!(
        __m256d,
        f64,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_add_pd,
        _mm256_min_pd
    );
    vector!(
        __m256,
        f32,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_min_ps
    );
    vector!(
        __m512d,
        f64,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_add_pd,
        _mm512_min_pd
    );
    vector!(
        __m512,
        f32,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_min_ps
    );
}
