//! Levels of the kernels: which vector instructions run, chosen once at run time.

use serde::{Deserialize, Serialize};

use super::lanes::{PortableF32, PortableF64};

/// Kernel level, in increasing order. Bits agree between machines at one level; ranks agree on the lowest common one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Plain Rust, no fused multiply-add: the same bits on every IEEE machine.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors (AVX-512 F, DQ, BW and VL).
    Avx512,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// The best level of this processor.
    pub fn detect() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            let fma = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
            let avx512 = std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512dq")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vl");
            if fma && avx512 {
                return Level::Avx512;
            }
            if fma {
                return Level::Avx2;
            }
        }
        Level::Portable
    }

    pub fn is_available(self) -> bool {
        self <= Level::detect()
    }

    /// The lowest of the ranks' levels; `None` for no ranks.
    pub fn common(levels: impl IntoIterator<Item = Level>) -> Option<Level> {
        levels.into_iter().min()
    }

    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    /// Ranks exchange levels as numbers.
    pub fn from_index(index: usize) -> Option<Level> {
        Level::ALL.get(index).copied()
    }
}

/// A piece of work compiled once per level.
pub trait Op {
    type Out;
    /// Must be `#[inline(always)]`, so that it is compiled with the instructions of the level that enters it.
    fn run(self) -> Self::Out;
}

/// The instruction set behind a vector type.
pub trait Isa: Send + Sync + 'static {
    const LEVEL: Level;
    type F64: super::lanes::Lanes<Elem = f64, Isa = Self, Wide = Self::F64>;
    type F32: super::lanes::Lanes<Elem = f32, Isa = Self, Wide = Self::F64>;
    /// Runs `op` compiled for this instruction set. Objects of an instruction set are made only where it is available.
    fn enter<O: Op>(op: O) -> O::Out;
}

pub struct Portable;

impl Isa for Portable {
    const LEVEL: Level = Level::Portable;
    type F64 = PortableF64;
    type F32 = PortableF32;
    fn enter<O: Op>(op: O) -> O::Out {
        op.run()
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Isa, Level, Op};
    use crate::math::simd::{align_frame, avx2, avx512};

    pub struct Avx2;

    impl Isa for Avx2 {
        const LEVEL: Level = Level::Avx2;
        type F64 = avx2::F64;
        type F32 = avx2::F32;
        fn enter<O: Op>(op: O) -> O::Out {
            #[target_feature(enable = "avx2,fma")]
            fn go<O: Op>(op: O) -> O::Out {
                op.run()
            }
            // SAFETY: the factories make objects of this level only where `Level::is_available`.
            unsafe { go(op) }
        }
    }

    pub struct Avx512;

    impl Isa for Avx512 {
        const LEVEL: Level = Level::Avx512;
        type F64 = avx512::F64;
        type F32 = avx512::F32;
        fn enter<O: Op>(op: O) -> O::Out {
            #[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
            fn go<O: Op>(op: O) -> O::Out {
                align_frame();
                op.run()
            }
            // SAFETY: as above.
            unsafe { go(op) }
        }
    }
}
