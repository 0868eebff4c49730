//! Many random numbers by address at once: normals and uniforms of consecutive slots, as vectors of the kernel level.
//!
//! One Philox block gives two numbers, of two slots 8 apart: slot s takes the first or second of block
//! 8⌊s/16⌋ + (s mod 8) as ⌊s/8⌋ is even or odd. So a number depends on (seed, stream, step, slot, draw) alone, not on how
//! slots are cut into calls.

use std::marker::PhantomData;

use super::rng::{Stream, block_words};
use super::simd::Level;
use super::simd::scalar::Scalar;

/// Where draws lie: every number is a pure function of this, the slot and the number of the draw.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    pub level: Level,
    pub seed: u64,
    pub stream: Stream,
    pub step: u32,
    /// The slot of the first number of a slice.
    pub first: u64,
}

/// Numbers of draws of one slot at one step.
pub const LARGEST_DRAW: u32 = 1 << 20;

impl Draws {
    pub fn new(level: Level, seed: u64, stream: Stream, step: u32) -> Draws {
        Draws { level, seed, stream, step, first: 0 }
    }

    /// The same address from slot `first` on.
    pub fn at(self, first: u64) -> Draws {
        Draws { first, ..self }
    }

    /// The same slots in another stream.
    pub fn stream(self, stream: Stream) -> Draws {
        Draws { stream, ..self }
    }

    /// out[i] = standard normal number of slot first + i. `draw` < [`LARGEST_DRAW`] numbers the draws of a slot.
    pub fn normals(&self, draw: u32, out: &mut [f64]) {
        let (first, at) = (self.first, self.address(draw));
        crate::enter!(self.level, S => fill::<Normal<S>>(first, &at, out))
    }

    /// out[i] = uniform number in (0, 1) of slot first + i, 52 bits.
    pub fn uniforms(&self, draw: u32, out: &mut [f64]) {
        let (first, at) = (self.first, self.address(draw));
        crate::enter!(self.level, S => fill::<Uniform<S>>(first, &at, out))
    }

    /// The 128 random bits of block `block` (not a slot) of a draw: for decisions all particles share.
    pub fn bits(&self, draw: u32, block: u64) -> u128 {
        let at = self.address(draw);
        let (a, b) = block_words(at.key, at.step, at.tag, block);
        u128::from(a) << 64 | u128::from(b)
    }

    fn address(&self, draw: u32) -> Address {
        debug_assert!(draw < LARGEST_DRAW);
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        Address { key, step: self.step, tag: (self.stream as u32) << 20 | draw }
    }
}

/// The key and what of the counter all blocks of a draw share.
struct Address {
    key: [u32; 2],
    step: u32,
    tag: u32,
}

/// The two numbers of a block. Functions, not closures: they must inline into the loops of a level.
trait Pair {
    fn pair(at: &Address, block: u64) -> (f64, f64);
}

/// Slots that share eight blocks.
const GROUP: usize = 16;

/// Fills `out` from slot `first` on with pairs of numbers by block.
#[inline(always)]
fn fill<P: Pair>(first: u64, at: &Address, out: &mut [f64]) {
    let mut skip = (first % GROUP as u64) as usize;
    let mut block = first / GROUP as u64 * 8;
    let mut done = 0;
    while done < out.len() {
        let mut whole = [0.0; GROUP];
        for l in 0..8 {
            let (a, b) = P::pair(at, block + l as u64);
            whole[l] = a;
            whole[8 + l] = b;
        }
        let rest = &mut out[done..];
        if skip == 0 && rest.len() >= GROUP {
            rest[..GROUP].copy_from_slice(&whole);
            done += GROUP;
        } else {
            let n = rest.len().min(GROUP - skip);
            rest[..n].copy_from_slice(&whole[skip..skip + n]);
            done += n;
            skip = 0;
        }
        block += 8;
    }
}

/// 52 bits to the middle of their interval: (k + ½)·2⁻⁵², exact, never 0 or 1.
#[inline(always)]
fn open_unit(word: u64) -> f64 {
    const ONE: u64 = 0x3FF0_0000_0000_0000;
    (f64::from_bits(word >> 12 | ONE) - 1.0) + 0.5 * f64::EPSILON
}

struct Uniform<S>(PhantomData<S>);

impl<S: Scalar> Pair for Uniform<S> {
    #[inline(always)]
    fn pair(at: &Address, block: u64) -> (f64, f64) {
        let (a, b) = block_words(at.key, at.step, at.tag, block);
        (open_unit(a), open_unit(b))
    }
}

struct Normal<S>(PhantomData<S>);

impl<S: Scalar> Pair for Normal<S> {
    /// Box–Muller.
    #[inline(always)]
    fn pair(at: &Address, block: u64) -> (f64, f64) {
        let (u, v) = Uniform::<S>::pair(at, block);
        let r = (-2.0 * S::ln_positive(u)).sqrt();
        let (sin, cos) = S::sin_cos_turns(v);
        (r * cos, r * sin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|l| l.is_available())
    }

    #[test]
    fn any_cut_into_slices_gives_the_same_bits() {
        for level in levels() {
            let at = Draws::new(level, 9, Stream::ParticlesMutate, 4);
            let mut whole = vec![0.0; 300];
            at.at(1 << 40).normals(2, &mut whole);
            for (start, len) in [(0, 1), (5, 3), (7, 9), (8, 8), (15, 2), (16, 16), (31, 200), (299, 1), (3, 13)] {
                let mut part = vec![0.0; len];
                at.at((1 << 40) + start as u64).normals(2, &mut part);
                assert_eq!(part, whole[start..start + len], "{level:?} {start} {len}");
            }
        }
    }

    #[test]
    fn vector_levels_with_fused_arithmetic_give_the_same_bits() {
        let at = |level| {
            let mut x = vec![0.0; 5000];
            Draws::new(level, 3, Stream::ParticlesMutate, 1).normals(0, &mut x);
            x
        };
        if Level::Avx512.is_available() {
            assert_eq!(at(Level::Avx512), at(Level::Avx2));
        }
        let close = at(Level::Portable).iter().zip(at(Level::detect())).all(|(a, b)| (a - b).abs() < 1e-14);
        assert!(close);
    }

    #[test]
    fn moments_of_normals_and_uniforms_agree_to_four_standard_errors() {
        for level in levels() {
            let n = 200_000;
            let mut x = vec![0.0; n];
            let at = Draws::new(level, 11, Stream::ParticlesMutate, 0);
            at.normals(0, &mut x);
            let count = n as f64;
            let moment = |k: i32| x.iter().map(|v| v.powi(k)).sum::<f64>() / count;
            assert!(moment(1).abs() < 4.0 / count.sqrt());
            assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / count).sqrt());
            assert!(moment(3).abs() < 4.0 * (15.0 / count).sqrt());
            assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / count).sqrt());
            // Neighbours, and slots that share a block, are not correlated.
            for lag in [1, 8, 16] {
                let c = (0..n - lag).map(|i| x[i] * x[i + lag]).sum::<f64>() / count;
                assert!(c.abs() < 4.0 / count.sqrt(), "lag {lag}: {c}");
            }
            at.uniforms(1, &mut x);
            assert!(x.iter().all(|u| *u > 0.0 && *u < 1.0));
            let mean = x.iter().sum::<f64>() / count;
            assert!((mean - 0.5).abs() < 4.0 * (1.0 / 12.0 / count).sqrt());
        }
    }
}
