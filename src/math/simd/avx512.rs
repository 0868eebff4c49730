//! Lanes of the AVX-512 level: one 512-bit register each.

use std::arch::x86_64::*;

use super::exp;
use super::lanes::Lanes;
use super::level::Avx512;

#[derive(Clone, Copy)]
pub struct F64(__m512d);

#[derive(Clone, Copy)]
pub struct F32(__m512);

/// Imm8 of vreduce: z − ⌊z⌋, no exceptions.
const FRACTION: i32 = 0x09;
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

// SAFETY of every block below: these run only inside `Isa::enter` of the AVX-512 level.

impl F64 {
    #[inline(always)]
    fn exp2_all<const CLAMP: bool, const R: usize>(mut z: [Self; R]) -> [Self; R] {
        let mut f = z;
        for r in 0..R {
            if CLAMP {
                z[r] = z[r].max(Self::splat(Self::LOWEST));
            }
            f[r] = F64(unsafe { _mm512_reduce_pd::<FRACTION>(z[r].0) });
        }
        let p = exp::exp2_fraction_f64(f);
        for r in 0..R {
            // scalef multiplies by 2^⌊z⌋ and gives +∞ on overflow.
            z[r] = F64(unsafe { _mm512_scalef_pd(p[r].0, z[r].0) });
        }
        z
    }
}

impl Lanes for F64 {
    type Elem = f64;
    type Isa = Avx512;
    type Wide = F64;
    const N: usize = 8;
    const MANY_REGISTERS: bool = true;
    const LOWEST: f64 = -1000.0;

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        F64(unsafe { _mm512_loadu_pd(p) })
    }
    #[inline(always)]
    unsafe fn load_f64(p: *const f64) -> Self {
        unsafe { Self::load(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        unsafe { _mm512_storeu_pd(p, self.0) }
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        F64(unsafe { _mm512_set1_pd(x) })
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        F64(unsafe { _mm512_add_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        F64(unsafe { _mm512_sub_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        F64(unsafe { _mm512_mul_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        F64(unsafe { _mm512_div_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        F64(unsafe { _mm512_fmadd_pd(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        F64(unsafe { _mm512_fnmadd_pd(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        F64(unsafe { _mm512_max_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        F64(unsafe { _mm512_min_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        F64(unsafe { _mm512_sqrt_pd(self.0) })
    }
    #[inline(always)]
    fn round(self) -> Self {
        F64(unsafe { _mm512_roundscale_pd::<NEAREST>(self.0) })
    }
    #[inline(always)]
    fn first(self, n: usize) -> Self {
        let mask = if n >= 8 { !0 } else { (1u8 << n) - 1 };
        F64(unsafe { _mm512_maskz_mov_pd(mask, self.0) })
    }
    #[inline(always)]
    fn exp2(self) -> Self {
        let [z] = Self::exp2_all::<true, 1>([self]);
        z
    }
    #[inline(always)]
    fn exp2_rows<const CLAMP: bool>(z: [Self; 4]) -> [Self; 4] {
        Self::exp2_all::<CLAMP, 4>(z)
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        unsafe {
            let bits = _mm512_castpd_si512(self.0);
            let root = _mm512_castpd_si512(_mm512_set1_pd(std::f64::consts::FRAC_1_SQRT_2));
            let k = _mm512_srai_epi64::<52>(_mm512_sub_epi64(bits, root));
            let m = _mm512_sub_epi64(bits, _mm512_slli_epi64::<52>(k));
            (F64(_mm512_castsi512_pd(m)), F64(_mm512_cvtepi64_pd(k)))
        }
    }
    #[inline(always)]
    fn wide(self, _: usize) -> F64 {
        self
    }
}

impl F32 {
    #[inline(always)]
    fn exp2_all<const CLAMP: bool, const R: usize>(mut z: [Self; R]) -> [Self; R] {
        let mut f = z;
        for r in 0..R {
            if CLAMP {
                z[r] = z[r].max(Self::splat(Self::LOWEST as f32));
            }
            f[r] = F32(unsafe { _mm512_reduce_ps::<FRACTION>(z[r].0) });
        }
        let p = exp::exp2_fraction_f32(f);
        for r in 0..R {
            // scalef multiplies by 2^⌊z⌋ and gives +∞ on overflow.
            z[r] = F32(unsafe { _mm512_scalef_ps(p[r].0, z[r].0) });
        }
        z
    }
}

impl Lanes for F32 {
    type Elem = f32;
    type Isa = Avx512;
    type Wide = F64;
    const N: usize = 16;
    const MANY_REGISTERS: bool = true;
    const LOWEST: f64 = -120.0;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        F32(unsafe { _mm512_loadu_ps(p) })
    }
    #[inline(always)]
    unsafe fn load_f64(p: *const f64) -> Self {
        unsafe {
            let low = _mm512_cvtpd_ps(_mm512_loadu_pd(p));
            let high = _mm512_cvtpd_ps(_mm512_loadu_pd(p.add(8)));
            F32(_mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high))
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm512_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        F32(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        F32(unsafe { _mm512_add_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        F32(unsafe { _mm512_sub_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        F32(unsafe { _mm512_mul_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        F32(unsafe { _mm512_div_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        F32(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        F32(unsafe { _mm512_fnmadd_ps(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        F32(unsafe { _mm512_max_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        F32(unsafe { _mm512_min_ps(self.0, b.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        F32(unsafe { _mm512_sqrt_ps(self.0) })
    }
    #[inline(always)]
    fn round(self) -> Self {
        F32(unsafe { _mm512_roundscale_ps::<NEAREST>(self.0) })
    }
    #[inline(always)]
    fn first(self, n: usize) -> Self {
        let mask = if n >= 16 { !0 } else { (1u16 << n) - 1 };
        F32(unsafe { _mm512_maskz_mov_ps(mask, self.0) })
    }
    #[inline(always)]
    fn exp2(self) -> Self {
        let [z] = Self::exp2_all::<true, 1>([self]);
        z
    }
    #[inline(always)]
    fn exp2_rows<const CLAMP: bool>(z: [Self; 4]) -> [Self; 4] {
        Self::exp2_all::<CLAMP, 4>(z)
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let root = _mm512_castps_si512(_mm512_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
            let k = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, root));
            let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(k));
            (F32(_mm512_castsi512_ps(m)), F32(_mm512_cvtepi32_ps(k)))
        }
    }
    #[inline(always)]
    fn wide(self, k: usize) -> F64 {
        unsafe {
            let half = if k == 0 { _mm512_castps512_ps256(self.0) } else { _mm512_extractf32x8_ps::<1>(self.0) };
            F64(_mm512_cvtps_pd(half))
        }
    }
}
