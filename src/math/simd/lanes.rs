//! Virtual vectors: 8 lanes of f64 or 16 of f32 at every level, so that a sum has the same shape everywhere.

use super::exp;
use super::level::{Isa, Portable};

/// f64 or f32.
pub trait Element: Copy + Send + Sync + Default + PartialOrd + bytemuck::Pod {
    const NEG_INFINITY: Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Element for f64 {
    const NEG_INFINITY: f64 = f64::NEG_INFINITY;
    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

impl Element for f32 {
    const NEG_INFINITY: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }
}

/// A vector of N lanes. All methods are `#[inline(always)]` and compile inside [`Isa::enter`].
///
/// # Safety
/// `load`, `load_f64` and `store` touch N elements from the pointer, of any alignment.
#[allow(clippy::missing_safety_doc)]
pub trait Lanes: Copy + Send + Sync + 'static {
    type Elem: Element;
    type Isa: Isa<F64 = Self::Wide>;
    /// The f64 vector of the same level.
    type Wide: Lanes<Elem = f64, Isa = Self::Isa, Wide = Self::Wide>;
    const N: usize;
    /// Whether eight accumulators and their operands fit the registers (32 of them).
    const MANY_REGISTERS: bool;

    unsafe fn load(p: *const Self::Elem) -> Self;
    unsafe fn load_f64(p: *const f64) -> Self;
    /// Asks for the line at p; any address will do.
    #[inline(always)]
    fn prefetch(p: *const Self::Elem) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast())
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }
    unsafe fn store(self, p: *mut Self::Elem);
    fn splat(x: Self::Elem) -> Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    /// self · b + c, rounded once except at the portable level.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// c − self · b, rounded in the same way.
    fn neg_mul_add(self, b: Self, c: Self) -> Self;
    /// b where self is NaN.
    fn max(self, b: Self) -> Self;
    /// b where self is NaN.
    fn min(self, b: Self) -> Self;
    fn sqrt(self) -> Self;
    /// Nearest integer, for |x| < 2⁵¹ (f64) or 2²² (f32); any integer-valued result serves beyond.
    fn round(self) -> Self;
    /// Lanes from n on set to zero.
    fn first(self, n: usize) -> Self;
    /// 2^max(x, lowest) with lowest = −1000 (f64) or −120 (f32): subnormal results would be 20 times slower.
    /// +∞ on overflow; the lowest for NaN.
    fn exp2(self) -> Self;
    /// Lowest exponent: results below would be subnormal.
    const LOWEST: f64;
    /// `exp2` of four vectors; without `CLAMP` all exponents must be above `LOWEST` (else the result is slow). Where registers allow, step by step for all four, so that their chains run side by side.
    #[inline(always)]
    fn exp2_rows<const CLAMP: bool>(mut z: [Self; 4]) -> [Self; 4] {
        for z in &mut z {
            *z = z.exp2();
        }
        z
    }
    /// (m, e) with x = m·2^e and m in [√½, √2), for normal x > 0.
    fn split(self) -> (Self, Self);
    /// The k-th eight lanes as f64; k < N/8.
    fn wide(self, k: usize) -> Self::Wide;

    /// log2 of normal x > 0.
    #[inline(always)]
    fn log2(self) -> Self {
        let (m, e) = self.split();
        exp::log2_mantissa(m).add(e)
    }
}

/// Sum of 8 or 16 lanes in f64, in one tree for all levels: halves are folded on each other.
#[inline(always)]
pub fn tree_sum<V: Lanes>(v: V) -> f64 {
    let mut lane = [0.0f64; 16];
    // SAFETY: N ≤ 16 and N/8 vectors of eight.
    unsafe {
        for k in 0..V::N / 8 {
            v.wide(k).store(lane.as_mut_ptr().add(8 * k));
        }
    }
    let mut width = V::N;
    while width > 1 {
        width /= 2;
        for k in 0..width {
            lane[k] += lane[k + width];
        }
    }
    lane[0]
}

/// Largest lane.
#[inline(always)]
pub fn max_lane<V: Lanes>(v: V) -> f64 {
    let mut lane = [f64::NEG_INFINITY; 16];
    // SAFETY: as in `tree_sum`.
    unsafe {
        for k in 0..V::N / 8 {
            v.wide(k).store(lane.as_mut_ptr().add(8 * k));
        }
    }
    lane.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

/// Vectors of plain arrays. Loops over constant lanes become whatever vectors the target has.
macro_rules! portable {
    ($name:ident, $float:ty, $bits:ty, $n:literal, $mantissa:literal, $bias:literal, $lowest:literal, $exp2:path) => {
        #[derive(Clone, Copy)]
        #[repr(align(64))]
        pub struct $name([$float; $n]);

        impl $name {
            #[inline(always)]
            fn zip(self, b: Self, f: impl Fn($float, $float) -> $float) -> Self {
                let mut r = self.0;
                for k in 0..$n {
                    r[k] = f(r[k], b.0[k]);
                }
                $name(r)
            }
            #[inline(always)]
            fn map(self, f: impl Fn($float) -> $float) -> Self {
                let mut r = self.0;
                for x in &mut r {
                    *x = f(*x);
                }
                $name(r)
            }
            /// 1.5 · 2^mantissa: adding it rounds to an integer, which then stands in the low bits.
            const MAGIC: $float = 1.5 * (1u64 << $mantissa) as $float;
        }

        impl Lanes for $name {
            type Elem = $float;
            type Isa = Portable;
            type Wide = PortableF64;
            const N: usize = $n;
            const MANY_REGISTERS: bool = false;
            const LOWEST: f64 = $lowest;

            #[inline(always)]
            unsafe fn load(p: *const $float) -> Self {
                $name(unsafe { p.cast::<[$float; $n]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn load_f64(p: *const f64) -> Self {
                let x = unsafe { p.cast::<[f64; $n]>().read_unaligned() };
                $name(std::array::from_fn(|k| x[k] as $float))
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $float) {
                unsafe { p.cast::<[$float; $n]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn splat(x: $float) -> Self {
                $name([x; $n])
            }
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                self.zip(b, |x, y| x + y)
            }
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                self.zip(b, |x, y| x - y)
            }
            #[inline(always)]
            fn mul(self, b: Self) -> Self {
                self.zip(b, |x, y| x * y)
            }
            #[inline(always)]
            fn div(self, b: Self) -> Self {
                self.zip(b, |x, y| x / y)
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                // `f64::mul_add` is a library call where the target has no such instruction.
                self.mul(b).add(c)
            }
            #[inline(always)]
            fn neg_mul_add(self, b: Self, c: Self) -> Self {
                c.sub(self.mul(b))
            }
            #[inline(always)]
            fn max(self, b: Self) -> Self {
                self.zip(b, |x, y| if x > y { x } else { y })
            }
            #[inline(always)]
            fn min(self, b: Self) -> Self {
                self.zip(b, |x, y| if x < y { x } else { y })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.map(|x| x.sqrt())
            }
            #[inline(always)]
            fn round(self) -> Self {
                self.map(|x| (x + Self::MAGIC) - Self::MAGIC)
            }
            #[inline(always)]
            fn first(self, n: usize) -> Self {
                let mut r = self.0;
                for k in 0..$n {
                    r[k] = if k < n { r[k] } else { 0.0 };
                }
                $name(r)
            }
            #[inline(always)]
            fn exp2(self) -> Self {
                let z = self
                    .max(Self::splat(Self::LOWEST as $float))
                    .map(|x| if x < $bias + 1.0 { x } else { $bias + 1.0 });
                let t = z.map(|x| (x - 0.5) + Self::MAGIC);
                let [p]: [Self; 1] = $exp2([z.zip(t, |x, t| x - (t - Self::MAGIC))]);
                // 2^(k−1), as 2^k may be out of range; twice p makes up for it.
                p.zip(t, |p, t| {
                    let half: $bits = ($bias as $bits - 1) << $mantissa;
                    (p + p) * <$float>::from_bits((t.to_bits() << $mantissa).wrapping_add(half))
                })
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                let root = (std::f64::consts::FRAC_1_SQRT_2 as $float).to_bits();
                let one: $bits = ($bias as $bits) << $mantissa;
                let exponent = |x: $float| x.to_bits().wrapping_sub(root).wrapping_add(one) >> $mantissa;
                let m = self.map(|x| {
                    <$float>::from_bits(x.to_bits().wrapping_sub(exponent(x).wrapping_sub($bias as $bits) << $mantissa))
                });
                let e = self.map(|x| {
                    let base = (1u64 << $mantissa) as $float;
                    (<$float>::from_bits(base.to_bits() | exponent(x)) - base) - $bias
                });
                (m, e)
            }
            #[inline(always)]
            fn wide(self, k: usize) -> PortableF64 {
                PortableF64(std::array::from_fn(|l| self.0[8 * k + l] as f64))
            }
        }
    };
}

portable!(PortableF64, f64, u64, 8, 52, 1023.0, -1000.0, exp::exp2_fraction_f64);
portable!(PortableF32, f32, u32, 16, 23, 127.0, -120.0, exp::exp2_fraction_f32);
