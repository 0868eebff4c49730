//! Vectors of lanes for the line transforms: one line per lane, so that no lane ever meets its neighbours.
//!
//! Both fused levels give the same bits, whatever their width: every operation is done lane by lane.

use std::marker::PhantomData;

use crate::math::real::Real;

/// Which instructions run, in increasing order; ranks agree on the lowest common one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Any processor; products and sums are rounded apart.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors (AVX-512 F, DQ and VL).
    Avx512,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// The best level of this processor.
    pub fn detect() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                let wide = has!("avx512f") && has!("avx512dq") && has!("avx512vl");
                return if wide { Level::Avx512 } else { Level::Avx2 };
            }
        }
        Level::Portable
    }

    /// Lines that one group of lanes of `T` carries.
    pub fn lanes<T: Real>(self) -> usize {
        match self {
            Level::Portable => Plain::<T>::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::V256::<T>::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::V512::<T>::LANES,
            #[cfg(not(target_arch = "x86_64"))]
            _ => Plain::<T>::LANES,
        }
    }
}

/// `LANES` numbers of type `T`.
///
/// # Safety
/// Pointers must be valid for what is read and written; methods may be called only inside [`enter`].
pub trait Vector<T: Real>: Copy {
    const LANES: usize;
    unsafe fn load(from: *const T) -> Self;
    unsafe fn store(self, to: *mut T);
    unsafe fn splat(x: T) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// self · b + c.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// c − self · b.
    unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self;
    /// self · b − c.
    unsafe fn mul_sub(self, b: Self, c: Self) -> Self;
    /// Real and imaginary parts of `LANES` complex numbers in memory; the order of the lanes is that of `store_pairs`.
    unsafe fn load_pairs(from: *const T) -> (Self, Self);
    unsafe fn store_pairs(re: Self, im: Self, to: *mut T);

    /// As `store_pairs`, past the caches, to whole cache lines; [`settle`] must follow before others read them.
    #[inline(always)]
    unsafe fn stream_pairs(re: Self, im: Self, to: *mut T) {
        unsafe { Self::store_pairs(re, im, to) }
    }

    /// The first `count` of them; the others are zero.
    #[inline(always)]
    unsafe fn load_some_pairs(from: *const T, count: usize) -> (Self, Self) {
        let mut part = [T::zero(); 32];
        unsafe {
            std::ptr::copy_nonoverlapping(from, part.as_mut_ptr(), 2 * count);
            Self::load_pairs(part.as_ptr())
        }
    }

    /// The first `count` of them.
    #[inline(always)]
    unsafe fn store_some_pairs(re: Self, im: Self, to: *mut T, count: usize) {
        let mut part = [T::zero(); 32];
        unsafe {
            Self::store_pairs(re, im, part.as_mut_ptr());
            std::ptr::copy_nonoverlapping(part.as_ptr(), to, 2 * count);
        }
    }

    /// Runs `work` as a function of its own, compiled with the instructions of this vector: once, however many call it.
    unsafe fn call(work: impl Call<T, Self>);

    /// The first `LANES` vectors transposed: of numbers of `LANES` lines, one line per vector, the i-th becomes the i-th
    /// number of each line, and the reverse.
    #[inline(always)]
    unsafe fn transposed(block: [Self; 16]) -> [Self; 16] {
        let mut from = [T::zero(); 256];
        let mut to = [T::zero(); 256];
        let mut result = block;
        unsafe {
            for i in 0..Self::LANES {
                block[i].store(from[i * Self::LANES..].as_mut_ptr());
            }
            for i in 0..Self::LANES {
                for j in 0..Self::LANES {
                    to[i * Self::LANES + j] = from[j * Self::LANES + i];
                }
            }
            for i in 0..Self::LANES {
                result[i] = Self::load(to[i * Self::LANES..].as_ptr());
            }
        }
        result
    }

    /// `LANES` numbers at `at` of each of `LANES` lines: the i-th vector holds the i-th number of each line.
    #[inline(always)]
    unsafe fn load_block(lines: &[*const T; 16], at: usize) -> [Self; 16] {
        unsafe {
            let mut block = [Self::splat(T::zero()); 16];
            for i in 0..Self::LANES {
                block[i] = Self::load(lines[i].add(at));
            }
            Self::transposed(block)
        }
    }

    /// The reverse, for the first `count` lines.
    #[inline(always)]
    unsafe fn store_block(block: [Self; 16], lines: &[*mut T; 16], at: usize, count: usize) {
        unsafe {
            let block = Self::transposed(block);
            // Whole blocks apart, so that all of this is in registers.
            for i in 0..Self::LANES {
                if count == Self::LANES {
                    block[i].store(lines[i].add(at));
                } else if i < count {
                    block[i].store(lines[i].add(at));
                }
            }
        }
    }
}

/// Work for [`Vector::call`].
pub trait Call<T: Real, V: Vector<T>> {
    /// Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// The maker of the work answers for its pointers.
    unsafe fn call(self);
}

/// A piece of work compiled once per level.
pub trait Job<T: Real> {
    /// Must be `#[inline(always)]`, so that it is compiled with the instructions of the level that enters it.
    ///
    /// # Safety
    /// The maker of the job answers for its pointers.
    unsafe fn run<V: Vector<T>>(self);
}

/// Runs `job` at `level`.
///
/// # Safety
/// The processor must have the level, and the job's pointers must be valid.
pub unsafe fn enter<T: Real, J: Job<T>>(level: Level, job: J) {
    match level {
        Level::Portable => unsafe { job.run::<Plain<T>>() },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            #[target_feature(enable = "avx2,fma")]
            unsafe fn go<T: Real, J: Job<T>>(job: J) {
                crate::math::simd::align_frame();
                unsafe { job.run::<x86::V256<T>>() }
            }
            unsafe { go(job) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            #[target_feature(enable = "avx2,fma,avx512f,avx512dq,avx512vl")]
            unsafe fn go<T: Real, J: Job<T>>(job: J) {
                crate::math::simd::align_frame();
                unsafe { job.run::<x86::V512<T>>() }
            }
            unsafe { go(job) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        _ => unsafe { job.run::<Plain<T>>() },
    }
}

/// Asks for the cache line of an address, which need not be valid. It goes to the second-level cache: more requests may
/// be under way there than in the first (on Zen 4, 17 instead of 13 GB/s of rows far apart).
#[inline(always)]
pub fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads nothing the program could see and faults nowhere.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Copies past the caches; [`settle`] must follow before others read it. Lines that end within a row are made whole by
/// the next row, if it follows in memory.
///
/// # Safety
/// As `copy_nonoverlapping`. Only addresses and numbers of bytes that are multiples of 8 go past the caches.
#[inline(always)]
pub unsafe fn stream_copy(from: *const u8, to: *mut u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::*;
        if (to as usize | bytes) % 8 > 0 {
            return std::ptr::copy_nonoverlapping(from, to, bytes);
        }
        let head = to.align_offset(16).min(bytes);
        let whole = head + (bytes - head) / 16 * 16;
        let single = |at: usize| _mm_stream_si64(to.add(at).cast(), from.add(at).cast::<i64>().read_unaligned());
        (0..head).step_by(8).for_each(single);
        for at in (head..whole).step_by(16) {
            _mm_stream_si128(to.add(at).cast(), _mm_loadu_si128(from.add(at).cast()));
        }
        (whole..bytes).step_by(8).for_each(single);
    }
    #[cfg(not(target_arch = "x86_64"))]
    unsafe {
        std::ptr::copy_nonoverlapping(from, to, bytes)
    }
}

/// Makes what was streamed visible before anything that is written later.
#[inline(always)]
pub fn settle() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has it.
    unsafe {
        std::arch::x86_64::_mm_sfence()
    };
}

/// Four lanes of plain Rust.
#[derive(Clone, Copy)]
pub struct Plain<T>([T; 4]);

impl<T: Real> Vector<T> for Plain<T> {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        Plain(unsafe { from.cast::<[T; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        unsafe { to.cast::<[T; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn splat(x: T) -> Self {
        Plain([x; 4])
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| c.0[i] - self.0[i] * b.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_sub(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] * b.0[i] - c.0[i]))
    }

    #[inline(never)]
    unsafe fn call(work: impl Call<T, Self>) {
        unsafe { work.call() }
    }

    #[inline(always)]
    unsafe fn load_pairs(from: *const T) -> (Self, Self) {
        let pairs = unsafe { from.cast::<[[T; 2]; 4]>().read_unaligned() };
        (Plain(pairs.map(|p| p[0])), Plain(pairs.map(|p| p[1])))
    }

    #[inline(always)]
    unsafe fn store_pairs(re: Self, im: Self, to: *mut T) {
        let pairs: [[T; 2]; 4] = std::array::from_fn(|i| [re.0[i], im.0[i]]);
        unsafe { to.cast::<[[T; 2]; 4]>().write_unaligned(pairs) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    struct Check<T>(PhantomData<T>);

    impl<T: Real> Job<T> for Check<T> {
        #[inline(always)]
        unsafe fn run<V: Vector<T>>(self) {
            let n = V::LANES;
            let numbers: Vec<T> = (0..n * (n + 2)).map(|i| T::of(i as f64)).collect();
            let mut out = numbers.clone();
            unsafe {
                let (re, im) = V::load_pairs(numbers.as_ptr());
                let sum = re.mul_add(re, im);
                V::store_pairs(sum, re.sub(im), out.as_mut_ptr());
            }
            for i in 0..n {
                let re = (2 * i) as f64;
                assert_eq!((out[2 * i].to_f64(), out[2 * i + 1].to_f64()), (re * re + re + 1.0, -1.0));
            }
            let mut lines = [numbers.as_ptr(); 16];
            for (i, line) in lines.iter_mut().enumerate().take(n) {
                *line = numbers[i * (n + 1)..].as_ptr();
            }
            let block = unsafe { V::load_block(&lines, 1) };
            for i in 0..n {
                unsafe { block[i].store(out[i * n..].as_mut_ptr()) };
            }
            for i in 0..n {
                for j in 0..n {
                    assert_eq!(out[i * n + j].to_f64(), (j * (n + 1) + i + 1) as f64);
                }
            }
            let mut back = numbers.clone();
            let mut to = [back.as_mut_ptr(); 16];
            (0..n).for_each(|i| to[i] = back[i * (n + 1)..].as_mut_ptr());
            for count in 1..=n {
                back.fill(T::of(-1.0));
                unsafe { V::store_block(block, &to, 1, count) };
                for (i, x) in back.iter().enumerate() {
                    let written = i % (n + 1) > 0 && i / (n + 1) < count;
                    assert_eq!(*x, if written { numbers[i] } else { T::of(-1.0) }, "{i}, {count} lines");
                }
            }
            for count in 1..n {
                unsafe {
                    let (re, im) = V::load_some_pairs(numbers.as_ptr(), count);
                    out.fill(T::of(-1.0));
                    V::store_pairs(re, im, out.as_mut_ptr());
                    assert_eq!(out[..2 * count], numbers[..2 * count]);
                    assert!(out[2 * count..2 * n].iter().all(|x| *x == T::zero()));
                    out.fill(T::of(-1.0));
                    V::store_some_pairs(re, im, out.as_mut_ptr(), count);
                    assert_eq!(out[..2 * count], numbers[..2 * count]);
                    assert!(out[2 * count..].iter().all(|x| *x == T::of(-1.0)));
                }
            }
        }
    }

    #[test]
    fn pairs_part_and_meet_again_and_blocks_transpose_at_every_level() {
        for level in Level::ALL.into_iter().filter(|l| *l <= Level::detect()) {
            unsafe {
                enter(level, Check::<f64>(PhantomData));
                enter(level, Check::<f32>(PhantomData));
            }
        }
    }
}
