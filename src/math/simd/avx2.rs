//! Lanes of the AVX2 level: two 256-bit registers each, with fused multiply-add.

use std::arch::x86_64::*;

use super::exp;
use super::lanes::Lanes;
use super::level::Avx2;

#[derive(Clone, Copy)]
pub struct F64(__m256d, __m256d);

#[derive(Clone, Copy)]
pub struct F32(__m256, __m256);

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
/// 1.5 · 2^mantissa: adding it rounds to an integer, which then stands in the low bits.
const MAGIC_F64: f64 = 6755399441055744.0;
const MAGIC_F32: f32 = 12582912.0;

// SAFETY of every block below: these run only inside `Isa::enter` of the AVX2 level.

impl Lanes for F64 {
    type Elem = f64;
    type Isa = Avx2;
    type Wide = F64;
    const N: usize = 8;
    const MANY_REGISTERS: bool = false;
    const LOWEST: f64 = -1000.0;

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        unsafe { F64(_mm256_loadu_pd(p), _mm256_loadu_pd(p.add(4))) }
    }
    #[inline(always)]
    unsafe fn load_f64(p: *const f64) -> Self {
        unsafe { Self::load(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        unsafe {
            _mm256_storeu_pd(p, self.0);
            _mm256_storeu_pd(p.add(4), self.1)
        }
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        let v = unsafe { _mm256_set1_pd(x) };
        F64(v, v)
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        unsafe { F64(_mm256_add_pd(self.0, b.0), _mm256_add_pd(self.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        unsafe { F64(_mm256_sub_pd(self.0, b.0), _mm256_sub_pd(self.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        unsafe { F64(_mm256_mul_pd(self.0, b.0), _mm256_mul_pd(self.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        unsafe { F64(_mm256_div_pd(self.0, b.0), _mm256_div_pd(self.1, b.1)) }
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe { F64(_mm256_fmadd_pd(self.0, b.0, c.0), _mm256_fmadd_pd(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        unsafe { F64(_mm256_fnmadd_pd(self.0, b.0, c.0), _mm256_fnmadd_pd(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe { F64(_mm256_max_pd(self.0, b.0), _mm256_max_pd(self.1, b.1)) }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        unsafe { F64(_mm256_min_pd(self.0, b.0), _mm256_min_pd(self.1, b.1)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F64(_mm256_sqrt_pd(self.0), _mm256_sqrt_pd(self.1)) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        unsafe { F64(_mm256_round_pd::<NEAREST>(self.0), _mm256_round_pd::<NEAREST>(self.1)) }
    }
    #[inline(always)]
    fn first(self, n: usize) -> Self {
        unsafe {
            let n = _mm256_set1_pd(n as f64);
            let low = _mm256_cmp_pd::<_CMP_LT_OQ>(_mm256_setr_pd(0.0, 1.0, 2.0, 3.0), n);
            let high = _mm256_cmp_pd::<_CMP_LT_OQ>(_mm256_setr_pd(4.0, 5.0, 6.0, 7.0), n);
            F64(_mm256_and_pd(self.0, low), _mm256_and_pd(self.1, high))
        }
    }
    #[inline(always)]
    fn exp2(self) -> Self {
        unsafe {
            let z = self.max(Self::splat(Self::LOWEST));
            let top = _mm256_set1_pd(1024.0);
            let z = F64(_mm256_min_pd(z.0, top), _mm256_min_pd(z.1, top));
            let t = z.sub(Self::splat(0.5)).add(Self::splat(MAGIC_F64));
            let [p] = exp::exp2_fraction_f64([z.sub(t.sub(Self::splat(MAGIC_F64)))]);
            // 2^(k−1), as 2^k may be out of range; twice p makes up for it.
            let half = _mm256_set1_epi64x(1022 << 52);
            let power =
                |t| _mm256_castsi256_pd(_mm256_add_epi64(_mm256_slli_epi64::<52>(_mm256_castpd_si256(t)), half));
            p.add(p).mul(F64(power(t.0), power(t.1)))
        }
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        unsafe {
            let root = _mm256_castpd_si256(_mm256_set1_pd(std::f64::consts::FRAC_1_SQRT_2));
            let one = _mm256_set1_epi64x(1023 << 52);
            let base = _mm256_set1_pd(4503599627370496.0);
            // Biased exponent: no arithmetic shift of 64 bits in AVX2.
            let part = |x| {
                let bits = _mm256_castpd_si256(x);
                let biased = _mm256_srli_epi64::<52>(_mm256_add_epi64(_mm256_sub_epi64(bits, root), one));
                let e = _mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_castpd_si256(base)));
                let e = _mm256_sub_pd(_mm256_sub_pd(e, base), _mm256_set1_pd(1023.0));
                let m = _mm256_sub_epi64(bits, _mm256_sub_epi64(_mm256_slli_epi64::<52>(biased), one));
                (_mm256_castsi256_pd(m), e)
            };
            let (low, high) = (part(self.0), part(self.1));
            (F64(low.0, high.0), F64(low.1, high.1))
        }
    }
    #[inline(always)]
    fn wide(self, _: usize) -> F64 {
        self
    }
}

impl Lanes for F32 {
    type Elem = f32;
    type Isa = Avx2;
    type Wide = F64;
    const N: usize = 16;
    const MANY_REGISTERS: bool = false;
    const LOWEST: f64 = -120.0;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { F32(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_f64(p: *const f64) -> Self {
        unsafe {
            let four = |k| _mm256_cvtpd_ps(_mm256_loadu_pd(p.add(k)));
            F32(_mm256_set_m128(four(4), four(0)), _mm256_set_m128(four(12), four(8)))
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe {
            _mm256_storeu_ps(p, self.0);
            _mm256_storeu_ps(p.add(8), self.1)
        }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        let v = unsafe { _mm256_set1_ps(x) };
        F32(v, v)
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        unsafe { F32(_mm256_add_ps(self.0, b.0), _mm256_add_ps(self.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        unsafe { F32(_mm256_sub_ps(self.0, b.0), _mm256_sub_ps(self.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        unsafe { F32(_mm256_mul_ps(self.0, b.0), _mm256_mul_ps(self.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        unsafe { F32(_mm256_div_ps(self.0, b.0), _mm256_div_ps(self.1, b.1)) }
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe { F32(_mm256_fmadd_ps(self.0, b.0, c.0), _mm256_fmadd_ps(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        unsafe { F32(_mm256_fnmadd_ps(self.0, b.0, c.0), _mm256_fnmadd_ps(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe { F32(_mm256_max_ps(self.0, b.0), _mm256_max_ps(self.1, b.1)) }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        unsafe { F32(_mm256_min_ps(self.0, b.0), _mm256_min_ps(self.1, b.1)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F32(_mm256_sqrt_ps(self.0), _mm256_sqrt_ps(self.1)) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        unsafe { F32(_mm256_round_ps::<NEAREST>(self.0), _mm256_round_ps::<NEAREST>(self.1)) }
    }
    #[inline(always)]
    fn first(self, n: usize) -> Self {
        unsafe {
            let n = _mm256_set1_ps(n as f32);
            let lane = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
            let low = _mm256_cmp_ps::<_CMP_LT_OQ>(lane, n);
            let high = _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_add_ps(lane, _mm256_set1_ps(8.0)), n);
            F32(_mm256_and_ps(self.0, low), _mm256_and_ps(self.1, high))
        }
    }
    #[inline(always)]
    fn exp2(self) -> Self {
        unsafe {
            let z = self.max(Self::splat(Self::LOWEST as f32));
            let top = _mm256_set1_ps(128.0);
            let z = F32(_mm256_min_ps(z.0, top), _mm256_min_ps(z.1, top));
            let t = z.sub(Self::splat(0.5)).add(Self::splat(MAGIC_F32));
            let [p] = exp::exp2_fraction_f32([z.sub(t.sub(Self::splat(MAGIC_F32)))]);
            let half = _mm256_set1_epi32(126 << 23);
            let power =
                |t| _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(t)), half));
            p.add(p).mul(F32(power(t.0), power(t.1)))
        }
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        unsafe {
            let root = _mm256_castps_si256(_mm256_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
            let part = |x| {
                let bits = _mm256_castps_si256(x);
                let k = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, root));
                let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(k));
                (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(k))
            };
            let (low, high) = (part(self.0), part(self.1));
            (F32(low.0, high.0), F32(low.1, high.1))
        }
    }
    #[inline(always)]
    fn wide(self, k: usize) -> F64 {
        unsafe {
            let eight = if k == 0 { self.0 } else { self.1 };
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(eight));
            F64(low, _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(eight)))
        }
    }
}
