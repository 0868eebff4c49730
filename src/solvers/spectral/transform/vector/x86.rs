//! Vectors of 512 and 256 bits.

use std::arch::x86_64::*;
use std::mem::{transmute, transmute_copy};

use super::{Call, PhantomData, Real, Vector};
use crate::math::simd::align_frame;

/// A 512-bit vector of f64 or f32.
#[derive(Clone, Copy)]
pub struct V512<T>(__m512d, PhantomData<T>);

/// A 256-bit vector of f64 or f32.
#[derive(Clone, Copy)]
pub struct V256<T>(__m256d, PhantomData<T>);

/// An operation of both precisions; which one is known when it is compiled.
macro_rules! by_precision {
    ($double:ident, $single:ident, $($x:expr),*) => {
        if size_of::<T>() == 8 { $double($($x.0),*) } else { transmute($single($(transmute($x.0)),*)) }
    };
}

macro_rules! arithmetic {
    ($name:ident: $add:ident $adds:ident $sub:ident $subs:ident $mul:ident $muls:ident $fma:ident $fmas:ident
     $nma:ident $nmas:ident $fms:ident $fmss:ident $load:ident $store:ident $set:ident $sets:ident) => {
        #[inline(always)]
        unsafe fn load(from: *const T) -> Self {
            $name(unsafe { $load(from.cast()) }, PhantomData)
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut T) {
            unsafe { $store(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn splat(x: T) -> Self {
            unsafe {
                let v = if size_of::<T>() == 8 {
                    $set(transmute_copy::<T, f64>(&x))
                } else {
                    transmute($sets(transmute_copy::<T, f32>(&x)))
                };
                $name(v, PhantomData)
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            $name(unsafe { by_precision!($add, $adds, self, other) }, PhantomData)
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            $name(unsafe { by_precision!($sub, $subs, self, other) }, PhantomData)
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            $name(unsafe { by_precision!($mul, $muls, self, other) }, PhantomData)
        }

        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            $name(unsafe { by_precision!($fma, $fmas, self, b, c) }, PhantomData)
        }

        #[inline(always)]
        unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self {
            $name(unsafe { by_precision!($nma, $nmas, self, b, c) }, PhantomData)
        }

        #[inline(always)]
        unsafe fn mul_sub(self, b: Self, c: Self) -> Self {
            $name(unsafe { by_precision!($fms, $fmss, self, b, c) }, PhantomData)
        }
    };
}

impl<T: Real> V512<T> {
    /// Real and imaginary parts of numbers in two vectors, in order.
    #[inline(always)]
    unsafe fn parted(a: __m512d, b: __m512d) -> (Self, Self) {
        unsafe {
            let (re, im) = if size_of::<T>() == 8 {
                let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
                let odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
                (_mm512_permutex2var_pd(a, even, b), _mm512_permutex2var_pd(a, odd, b))
            } else {
                let (a, b) = (_mm512_castpd_ps(a), _mm512_castpd_ps(b));
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
                let (re, im) = (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b));
                (_mm512_castps_pd(re), _mm512_castps_pd(im))
            };
            (V512(re, PhantomData), V512(im, PhantomData))
        }
    }

    /// The reverse.
    #[inline(always)]
    unsafe fn joined(re: Self, im: Self) -> (__m512d, __m512d) {
        unsafe {
            let (low, high) = if size_of::<T>() == 8 {
                let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
                let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
                (_mm512_permutex2var_pd(re.0, low, im.0), _mm512_permutex2var_pd(re.0, high, im.0))
            } else {
                let (re, im) = (_mm512_castpd_ps(re.0), _mm512_castpd_ps(im.0));
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                let (low, high) = (_mm512_permutex2var_ps(re, low, im), _mm512_permutex2var_ps(re, high, im));
                (_mm512_castps_pd(low), _mm512_castps_pd(high))
            };
            (low, high)
        }
    }
}

impl<T: Real> Vector<T> for V512<T> {
    const LANES: usize = 64 / size_of::<T>();

    arithmetic!(V512: _mm512_add_pd _mm512_add_ps _mm512_sub_pd _mm512_sub_ps _mm512_mul_pd _mm512_mul_ps
        _mm512_fmadd_pd _mm512_fmadd_ps _mm512_fnmadd_pd _mm512_fnmadd_ps _mm512_fmsub_pd _mm512_fmsub_ps
        _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_set1_ps);

    #[inline(always)]
    unsafe fn call(work: impl Call<T, Self>) {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,avx512f,avx512dq,avx512vl")]
        unsafe fn go<T: Real, V: Vector<T>>(work: impl Call<T, V>) {
            align_frame();
            unsafe { work.call() }
        }
        unsafe { go(work) }
    }

    #[inline(always)]
    unsafe fn load_pairs(from: *const T) -> (Self, Self) {
        unsafe { V512::parted(Self::load(from).0, Self::load(from.add(Self::LANES)).0) }
    }

    #[inline(always)]
    unsafe fn stream_pairs(re: Self, im: Self, to: *mut T) {
        unsafe {
            let (low, high) = V512::joined(re, im);
            _mm512_stream_pd(to.cast(), low);
            _mm512_stream_pd(to.add(Self::LANES).cast(), high);
        }
    }

    #[inline(always)]
    unsafe fn load_some_pairs(from: *const T, count: usize) -> (Self, Self) {
        // Complex numbers of single precision are moved as numbers of double.
        let words = count * size_of::<T>() / 4;
        unsafe {
            let a = _mm512_maskz_loadu_pd(((1u32 << words.min(8)) - 1) as u8, from.cast());
            let b = _mm512_maskz_loadu_pd(((1u32 << words.saturating_sub(8)) - 1) as u8, from.add(Self::LANES).cast());
            V512::parted(a, b)
        }
    }

    #[inline(always)]
    unsafe fn store_some_pairs(re: Self, im: Self, to: *mut T, count: usize) {
        let words = count * size_of::<T>() / 4;
        unsafe {
            let (low, high) = V512::joined(re, im);
            _mm512_mask_storeu_pd(to.cast(), ((1u32 << words.min(8)) - 1) as u8, low);
            let rest = ((1u32 << words.saturating_sub(8)) - 1) as u8;
            _mm512_mask_storeu_pd(to.add(Self::LANES).cast(), rest, high);
        }
    }

    #[inline(always)]
    unsafe fn store_pairs(re: Self, im: Self, to: *mut T) {
        unsafe {
            let (low, high) = V512::joined(re, im);
            _mm512_storeu_pd(to.cast(), low);
            _mm512_storeu_pd(to.add(Self::LANES).cast(), high);
        }
    }

    #[inline(always)]
    unsafe fn transposed(block: [Self; 16]) -> [Self; 16] {
        let mut block = block;
        unsafe {
            if size_of::<T>() == 8 {
                let mut r = [block[0].0; 8];
                for i in 0..8 {
                    r[i] = block[i].0;
                }
                let r = transpose8(r);
                for i in 0..8 {
                    block[i].0 = r[i];
                }
            } else {
                // Pairs of numbers are transposed as 8-byte items first, then within the pairs.
                let (mut even, mut odd) = ([block[0].0; 8], [block[0].0; 8]);
                for i in 0..8 {
                    (even[i], odd[i]) = (block[2 * i].0, block[2 * i + 1].0);
                }
                let (even, odd) = (transpose8(even), transpose8(odd));
                for i in 0..8 {
                    // even[i]: numbers 2i, 2i + 1 of lines 0, 2, 4 …; odd[i]: of lines 1, 3, 5 ….
                    let (a, b) = (_mm512_castpd_ps(even[i]), _mm512_castpd_ps(odd[i]));
                    let first = _mm512_moveldup_ps(a);
                    block[2 * i].0 = _mm512_castps_pd(_mm512_mask_moveldup_ps(first, 0xaaaa, b));
                    block[2 * i + 1].0 = _mm512_castps_pd(_mm512_mask_movehdup_ps(b, 0x5555, a));
                }
            }
        }
        block
    }

    #[inline(always)]
    unsafe fn load_block(lines: &[*const T; 16], at: usize) -> [Self; 16] {
        unsafe {
            let mut block = [Self::splat(T::zero()); 16];
            if size_of::<T>() == 8 {
                // Halves are put together as they are read, which takes none of the shuffles.
                let mut r = [block[0].0; 8];
                for i in 0..8 {
                    let (line, at) = (i % 4, at + i / 4 * 4);
                    let low = _mm256_loadu_pd(lines[line].add(at).cast());
                    let high = _mm256_loadu_pd(lines[line + 4].add(at).cast());
                    r[i] = _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(low), high);
                }
                let r = transpose_quarters(r);
                for i in 0..8 {
                    block[i].0 = r[i];
                }
                block
            } else {
                for i in 0..16 {
                    block[i] = Self::load(lines[i].add(at));
                }
                Self::transposed(block)
            }
        }
    }
}

/// The transpose of 8 × 8 items of 8 bytes.
#[inline(always)]
unsafe fn transpose8(r: [__m512d; 8]) -> [__m512d; 8] {
    unsafe {
        let u = transpose_quarters(r);
        let mut r = u;
        for i in 0..4 {
            r[i] = _mm512_shuffle_f64x2::<0b01_00_01_00>(u[i], u[i + 4]);
            r[i + 4] = _mm512_shuffle_f64x2::<0b11_10_11_10>(u[i], u[i + 4]);
        }
        r
    }
}

/// The transposes of the four 4 × 4 quarters of 8 × 8 items of 8 bytes.
#[inline(always)]
unsafe fn transpose_quarters(r: [__m512d; 8]) -> [__m512d; 8] {
    unsafe {
        let mut t = r;
        for i in 0..4 {
            t[2 * i] = _mm512_unpacklo_pd(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_pd(r[2 * i], r[2 * i + 1]);
        }
        let mut u = t;
        let (low, high) = (_mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15));
        for half in 0..2 {
            for i in 0..2 {
                let (a, b) = (t[4 * half + i], t[4 * half + i + 2]);
                u[4 * half + i] = _mm512_permutex2var_pd(a, low, b);
                u[4 * half + i + 2] = _mm512_permutex2var_pd(a, high, b);
            }
        }
        u
    }
}

impl<T: Real> Vector<T> for V256<T> {
    const LANES: usize = 32 / size_of::<T>();

    arithmetic!(V256: _mm256_add_pd _mm256_add_ps _mm256_sub_pd _mm256_sub_ps _mm256_mul_pd _mm256_mul_ps
        _mm256_fmadd_pd _mm256_fmadd_ps _mm256_fnmadd_pd _mm256_fnmadd_ps _mm256_fmsub_pd _mm256_fmsub_ps
        _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_set1_ps);

    #[inline(always)]
    unsafe fn call(work: impl Call<T, Self>) {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn go<T: Real, V: Vector<T>>(work: impl Call<T, V>) {
            align_frame();
            unsafe { work.call() }
        }
        unsafe { go(work) }
    }

    // The unpacking instructions work within halves of 128 bits: the lanes are in another order than in memory.
    #[inline(always)]
    unsafe fn load_pairs(from: *const T) -> (Self, Self) {
        unsafe {
            let (a, b) = (Self::load(from).0, Self::load(from.add(Self::LANES)).0);
            let (re, im) = if size_of::<T>() == 8 {
                (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b))
            } else {
                let (a, b) = (_mm256_castpd_ps(a), _mm256_castpd_ps(b));
                let (re, im) = (_mm256_shuffle_ps::<0b10_00_10_00>(a, b), _mm256_shuffle_ps::<0b11_01_11_01>(a, b));
                (_mm256_castps_pd(re), _mm256_castps_pd(im))
            };
            (V256(re, PhantomData), V256(im, PhantomData))
        }
    }

    #[inline(always)]
    unsafe fn transposed(block: [Self; 16]) -> [Self; 16] {
        let mut block = block;
        unsafe {
            if size_of::<T>() == 8 {
                let r = transpose4_pd([block[0].0, block[1].0, block[2].0, block[3].0]);
                for i in 0..4 {
                    block[i].0 = r[i];
                }
            } else {
                let mut r = [_mm256_setzero_ps(); 8];
                for i in 0..8 {
                    r[i] = _mm256_castpd_ps(block[i].0);
                }
                let r = transpose8_ps(r);
                for i in 0..8 {
                    block[i].0 = _mm256_castps_pd(r[i]);
                }
            }
        }
        block
    }

    #[inline(always)]
    unsafe fn store_pairs(re: Self, im: Self, to: *mut T) {
        unsafe {
            let (low, high) = if size_of::<T>() == 8 {
                (_mm256_unpacklo_pd(re.0, im.0), _mm256_unpackhi_pd(re.0, im.0))
            } else {
                let (re, im) = (_mm256_castpd_ps(re.0), _mm256_castpd_ps(im.0));
                let (low, high) = (_mm256_unpacklo_ps(re, im), _mm256_unpackhi_ps(re, im));
                (_mm256_castps_pd(low), _mm256_castps_pd(high))
            };
            _mm256_storeu_pd(to.cast(), low);
            _mm256_storeu_pd(to.add(Self::LANES).cast(), high);
        }
    }
}

/// The transpose of 4 × 4 numbers of double precision.
#[inline(always)]
unsafe fn transpose4_pd([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    unsafe {
        let (p, q) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (r, s) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(p, r),
            _mm256_permute2f128_pd::<0x20>(q, s),
            _mm256_permute2f128_pd::<0x31>(p, r),
            _mm256_permute2f128_pd::<0x31>(q, s),
        ]
    }
}

/// The transpose of 8 × 8 numbers of single precision.
#[inline(always)]
unsafe fn transpose8_ps(r: [__m256; 8]) -> [__m256; 8] {
    unsafe {
        // Pairs of numbers of two lines, as one of double precision each.
        let low = |i: usize| _mm256_castps_pd(_mm256_unpacklo_ps(r[i], r[i + 1]));
        let high = |i: usize| _mm256_castps_pd(_mm256_unpackhi_ps(r[i], r[i + 1]));
        let join = |p: __m256d, q: __m256d| [_mm256_unpacklo_pd(p, q), _mm256_unpackhi_pd(p, q)];
        // Numbers 0 … 3 of lines 0 … 3 in the first halves, 4 … 7 in the second; then the same of lines 4 … 7.
        let [[a0, a1], [a2, a3]] = [join(low(0), low(2)), join(high(0), high(2))];
        let [[b0, b1], [b2, b3]] = [join(low(4), low(6)), join(high(4), high(6))];
        let first = |a, b| _mm256_castpd_ps(_mm256_permute2f128_pd::<0x20>(a, b));
        let second = |a, b| _mm256_castpd_ps(_mm256_permute2f128_pd::<0x31>(a, b));
        [
            first(a0, b0),
            first(a1, b1),
            first(a2, b2),
            first(a3, b3),
            second(a0, b0),
            second(a1, b1),
            second(a2, b2),
            second(a3, b3),
        ]
    }
}
