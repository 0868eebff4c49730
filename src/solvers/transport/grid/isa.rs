//! Instruction sets: the vectors the panels of a grid pass are computed in.
//!
//! Every lane of a vector belongs to one grid line, and all arithmetic is lane by lane, so the bits of a line depend
//! on the instruction set only through fused (AVX2, AVX-512) or unfused (portable) multiply-adds.

use super::real::{BIAS_F32, BIAS_F64, DEPTH_F32, DEPTH_F64};

pub use crate::solvers::transport::kernels::Level;

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
    unsafe fn sub(self, b: Self) -> Self;
    /// 2^(x + BIAS) of its arithmetic for whole x ≤ 0, zero for x < −DEPTH.
    unsafe fn power_of_two(self) -> Self;
    unsafe fn any_positive(self) -> bool;
    /// `b` where self is NaN.
    unsafe fn min(self, b: Self) -> Self;
    /// `b` where self is NaN.
    unsafe fn max(self, b: Self) -> Self;
}

/// What only vectors of f64 need.
///
/// # Safety
/// As [`Vector`].
pub(super) unsafe trait Wide: Vector<E = f64> {
    /// WIDTH × WIDTH values; rows of `from` are `stride` apart, rows of `to` (its columns) `to_stride`.
    unsafe fn transpose(from: *const f64, stride: usize, to: *mut f64, to_stride: usize);
    /// Bit patterns added as integers: a shift of the exponent when `b` has zeros below it.
    unsafe fn add_bits(self, b: Self) -> Self;
    /// self where x ≥ least, else `otherwise`.
    unsafe fn where_ge(self, x: Self, least: Self, otherwise: Self) -> Self;
    unsafe fn load_f32(p: *const f32) -> Self;
    unsafe fn store_f32(self, p: *mut f32);
}

pub(super) trait Isa {
    /// Multiply-adds round once.
    const FUSED: bool;
    /// Rows of a register tile two vectors wide: as many accumulators as registers allow.
    const TILE_ROWS: usize;
    type F64: Wide;
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
    ($t:ty, $w:literal, $bits:ty, $mantissa:literal, $zero:literal, $bias:ident, $depth:ident) => {
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
            unsafe fn sub(self, b: Self) -> Self {
                std::array::from_fn(|i| self[i] - b[i])
            }
            #[inline(always)]
            unsafe fn power_of_two(self) -> Self {
                self.map(|x| {
                    let bits = ((x.max(-($depth as $t) - 1.0) as i32 + $zero + $bias) as $bits) << $mantissa;
                    if x >= -($depth as $t) { <$t>::from_bits(bits) } else { 0.0 }
                })
            }
            #[inline(always)]
            unsafe fn any_positive(self) -> bool {
                self.iter().any(|&x| x > 0.0)
            }
            #[inline(always)]
            unsafe fn min(self, b: Self) -> Self {
                std::array::from_fn(|i| if self[i] < b[i] { self[i] } else { b[i] })
            }
            #[inline(always)]
            unsafe fn max(self, b: Self) -> Self {
                std::array::from_fn(|i| if self[i] > b[i] { self[i] } else { b[i] })
            }
        }
    };
}
portable!(f64, 4, u64, 52, 1023, BIAS_F64, DEPTH_F64);
portable!(f32, 8, u32, 23, 127, BIAS_F32, DEPTH_F32);

unsafe impl Wide for [f64; 4] {
    #[inline(always)]
    unsafe fn transpose(from: *const f64, stride: usize, to: *mut f64, to_stride: usize) {
        for i in 0..4 {
            for j in 0..4 {
                unsafe { *to.add(j * to_stride + i) = *from.add(i * stride + j) };
            }
        }
    }
    #[inline(always)]
    unsafe fn add_bits(self, b: Self) -> Self {
        std::array::from_fn(|i| f64::from_bits(self[i].to_bits().wrapping_add(b[i].to_bits())))
    }
    #[inline(always)]
    unsafe fn where_ge(self, x: Self, least: Self, otherwise: Self) -> Self {
        std::array::from_fn(|i| if x[i] >= least[i] { self[i] } else { otherwise[i] })
    }
    #[inline(always)]
    unsafe fn load_f32(p: *const f32) -> Self {
        unsafe { p.cast::<[f32; 4]>().read() }.map(f64::from)
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32) {
        unsafe { p.cast::<[f32; 4]>().write(self.map(|x| x as f32)) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BIAS_F32, BIAS_F64, DEPTH_F32, DEPTH_F64, Isa, Vector, Wide};

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
        ($v:ty, $t:ty, $w:literal, $set:ident, $load:ident, $store:ident, $fma:ident, $add:ident, $sub:ident, $min:ident, $max:ident, $power:ident, $positive:ident) => {
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
                unsafe fn sub(self, b: Self) -> Self {
                    unsafe { $sub(self, b) }
                }
                #[inline(always)]
                unsafe fn power_of_two(self) -> Self {
                    unsafe { $power(self) }
                }
                #[inline(always)]
                unsafe fn any_positive(self) -> bool {
                    unsafe { $positive(self) }
                }
                #[inline(always)]
                unsafe fn min(self, b: Self) -> Self {
                    unsafe { $min(self, b) }
                }
                #[inline(always)]
                unsafe fn max(self, b: Self) -> Self {
                    unsafe { $max(self, b) }
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
        _mm256_sub_pd,
        _mm256_min_pd,
        _mm256_max_pd,
        power_256_f64,
        positive_256_f64
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
        _mm256_sub_ps,
        _mm256_min_ps,
        _mm256_max_ps,
        power_256_f32,
        positive_256_f32
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
        _mm512_sub_pd,
        _mm512_min_pd,
        _mm512_max_pd,
        power_512_f64,
        positive_512_f64
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
        _mm512_sub_ps,
        _mm512_min_ps,
        _mm512_max_ps,
        power_512_f32,
        positive_512_f32
    );

    #[inline(always)]
    unsafe fn power_256_f64(x: __m256d) -> __m256d {
        // Adding 1.5·2^52 leaves the whole number in the low bits.
        const EXPONENT: f64 = 6_755_399_441_055_744.0 + (1023 + BIAS_F64) as f64;
        unsafe {
            let bits = _mm256_castpd_si256(_mm256_add_pd(x, _mm256_set1_pd(EXPONENT)));
            let power = _mm256_castsi256_pd(_mm256_slli_epi64::<52>(bits));
            _mm256_and_pd(power, _mm256_cmp_pd::<_CMP_GE_OQ>(x, _mm256_set1_pd(-DEPTH_F64 as f64)))
        }
    }

    #[inline(always)]
    unsafe fn power_256_f32(x: __m256) -> __m256 {
        unsafe {
            let whole = _mm256_cvtps_epi32(_mm256_max_ps(x, _mm256_set1_ps(-DEPTH_F32 as f32 - 1.0)));
            let bits = _mm256_slli_epi32::<23>(_mm256_add_epi32(whole, _mm256_set1_epi32(127 + BIAS_F32)));
            _mm256_and_ps(_mm256_castsi256_ps(bits), _mm256_cmp_ps::<_CMP_GE_OQ>(x, _mm256_set1_ps(-DEPTH_F32 as f32)))
        }
    }

    #[inline(always)]
    unsafe fn power_512_f64(x: __m512d) -> __m512d {
        unsafe {
            let kept = _mm512_cmp_pd_mask::<_CMP_GE_OQ>(x, _mm512_set1_pd(-DEPTH_F64 as f64));
            _mm512_maskz_scalef_pd(kept, _mm512_set1_pd(1.0), _mm512_add_pd(x, _mm512_set1_pd(BIAS_F64 as f64)))
        }
    }

    #[inline(always)]
    unsafe fn power_512_f32(x: __m512) -> __m512 {
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, _mm512_set1_ps(-DEPTH_F32 as f32));
            _mm512_maskz_scalef_ps(kept, _mm512_set1_ps(1.0), _mm512_add_ps(x, _mm512_set1_ps(BIAS_F32 as f32)))
        }
    }

    #[inline(always)]
    unsafe fn positive_256_f64(x: __m256d) -> bool {
        unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(x, _mm256_setzero_pd())) != 0 }
    }

    #[inline(always)]
    unsafe fn positive_256_f32(x: __m256) -> bool {
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, _mm256_setzero_ps())) != 0 }
    }

    #[inline(always)]
    unsafe fn positive_512_f64(x: __m512d) -> bool {
        unsafe { _mm512_cmp_pd_mask::<_CMP_GT_OQ>(x, _mm512_setzero_pd()) != 0 }
    }

    #[inline(always)]
    unsafe fn positive_512_f32(x: __m512) -> bool {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps()) != 0 }
    }

    unsafe impl Wide for __m256d {
        #[inline(always)]
        unsafe fn transpose(from: *const f64, stride: usize, to: *mut f64, to_stride: usize) {
            unsafe {
                let row = |i: usize| _mm256_loadu_pd(from.add(i * stride));
                let (a, b, c, d) = (row(0), row(1), row(2), row(3));
                // Columns 0 and 2, then 1 and 3, of two rows.
                let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
                _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(ab, cd));
                _mm256_storeu_pd(to.add(2 * to_stride), _mm256_permute2f128_pd::<0x31>(ab, cd));
                let (ab, cd) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
                _mm256_storeu_pd(to.add(to_stride), _mm256_permute2f128_pd::<0x20>(ab, cd));
                _mm256_storeu_pd(to.add(3 * to_stride), _mm256_permute2f128_pd::<0x31>(ab, cd));
            }
        }

        #[inline(always)]
        unsafe fn add_bits(self, b: Self) -> Self {
            unsafe { _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(self), _mm256_castpd_si256(b))) }
        }

        #[inline(always)]
        unsafe fn where_ge(self, x: Self, least: Self, otherwise: Self) -> Self {
            unsafe { _mm256_blendv_pd(otherwise, self, _mm256_cmp_pd::<_CMP_GE_OQ>(x, least)) }
        }

        #[inline(always)]
        unsafe fn load_f32(p: *const f32) -> Self {
            unsafe { _mm256_cvtps_pd(_mm_loadu_ps(p)) }
        }

        #[inline(always)]
        unsafe fn store_f32(self, p: *mut f32) {
            unsafe { _mm_storeu_ps(p, _mm256_cvtpd_ps(self)) }
        }
    }

    unsafe impl Wide for __m512d {
        #[inline(always)]
        unsafe fn transpose(from: *const f64, stride: usize, to: *mut f64, to_stride: usize) {
            unsafe {
                let row = |i: usize| _mm512_loadu_pd(from.add(i * stride));
                let pairs = [(row(0), row(1)), (row(2), row(3)), (row(4), row(5)), (row(6), row(7))];
                // Even columns of two rows, then odd ones; of these, 0x88 takes the first of each pair, 0xdd the second.
                let even = pairs.map(|(a, b)| _mm512_unpacklo_pd(a, b));
                let odd = pairs.map(|(a, b)| _mm512_unpackhi_pd(a, b));
                for (first, [a, b, c, d]) in [(0, even), (1, odd)] {
                    let (ab, cd) = (_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0x88>(c, d));
                    _mm512_storeu_pd(to.add(first * to_stride), _mm512_shuffle_f64x2::<0x88>(ab, cd));
                    _mm512_storeu_pd(to.add((first + 4) * to_stride), _mm512_shuffle_f64x2::<0xdd>(ab, cd));
                    let (ab, cd) = (_mm512_shuffle_f64x2::<0xdd>(a, b), _mm512_shuffle_f64x2::<0xdd>(c, d));
                    _mm512_storeu_pd(to.add((first + 2) * to_stride), _mm512_shuffle_f64x2::<0x88>(ab, cd));
                    _mm512_storeu_pd(to.add((first + 6) * to_stride), _mm512_shuffle_f64x2::<0xdd>(ab, cd));
                }
            }
        }

        #[inline(always)]
        unsafe fn add_bits(self, b: Self) -> Self {
            unsafe { _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(self), _mm512_castpd_si512(b))) }
        }

        #[inline(always)]
        unsafe fn where_ge(self, x: Self, least: Self, otherwise: Self) -> Self {
            unsafe { _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_GE_OQ>(x, least), otherwise, self) }
        }

        #[inline(always)]
        unsafe fn load_f32(p: *const f32) -> Self {
            unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(p)) }
        }

        #[inline(always)]
        unsafe fn store_f32(self, p: *mut f32) {
            unsafe { _mm256_storeu_ps(p, _mm512_cvtpd_ps(self)) }
        }
    }
}
