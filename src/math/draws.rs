//! Many random numbers by address at once: normals and uniforms of consecutive slots, as vectors of the kernel level.
//!
//! One Philox block gives two numbers, of two slots 8 apart: slot s takes the first or second of block
//! 8⌊s/16⌋ + (s mod 8) as ⌊s/8⌋ is even or odd. So a number depends on (seed, stream, step, slot, draw) alone, not on how
//! slots are cut into calls.

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
        let (key, step, tag) = self.address(draw);
        crate::enter!(self.level, S => fill(self.first, out, |block| normal_pair::<S>(key, step, tag, block)))
    }

    /// out[i] = uniform number in (0, 1) of slot first + i, 52 bits.
    pub fn uniforms(&self, draw: u32, out: &mut [f64]) {
        let (key, step, tag) = self.address(draw);
        crate::enter!(self.level, S => {
            let _ = S::mul_add;
            fill(self.first, out, |block| uniform_pair(key, step, tag, block))
        })
    }

    /// The 128 random bits of block `block` (not a slot) of a draw: for decisions all particles share.
    pub fn bits(&self, draw: u32, block: u64) -> u128 {
        let (key, step, tag) = self.address(draw);
        let (a, b) = block_words(key, step, tag, block);
        u128::from(a) << 64 | u128::from(b)
    }

    fn address(&self, draw: u32) -> ([u32; 2], u32, u32) {
        debug_assert!(draw < LARGEST_DRAW);
        ([self.seed as u32, (self.seed >> 32) as u32], self.step, (self.stream as u32) << 20 | draw)
    }
}

/// Slots that share eight blocks.
const GROUP: usize = 16;

/// Fills `out` from slot `first` on with pairs of numbers by block.
#[inline(always)]
fn fill(first: u64, out: &mut [f64], pair: impl Fn(u64) -> (f64, f64)) {
    let group = |block: u64, into: &mut [f64; GROUP]| {
        let (low, high) = into.split_at_mut(8);
        for l in 0..8 {
            (low[l], high[l]) = pair(block + l as u64);
        }
    };
    let skip = (first % GROUP as u64) as usize;
    let mut block = first / GROUP as u64 * 8;
    let mut rest = out;
    if skip > 0 {
        let mut whole = [0.0; GROUP];
        group(block, &mut whole);
        let n = rest.len().min(GROUP - skip);
        let (head, tail) = rest.split_at_mut(n);
        head.copy_from_slice(&whole[skip..skip + n]);
        rest = tail;
        block += 8;
    }
    let mut chunks = rest.chunks_exact_mut(GROUP);
    for chunk in &mut chunks {
        group(block, chunk.try_into().expect("a whole group"));
        block += 8;
    }
    let tail = chunks.into_remainder();
    if !tail.is_empty() {
        let mut whole = [0.0; GROUP];
        group(block, &mut whole);
        tail.copy_from_slice(&whole[..tail.len()]);
    }
}

/// 52 bits to the middle of their interval: (k + ½)·2⁻⁵², exact, never 0 or 1.
#[inline(always)]
fn open_unit(word: u64) -> f64 {
    const ONE: u64 = 0x3FF0_0000_0000_0000;
    (f64::from_bits(word >> 12 | ONE) - 1.0) + 0.5 * f64::EPSILON
}

#[inline(always)]
fn uniform_pair(key: [u32; 2], step: u32, tag: u32, block: u64) -> (f64, f64) {
    let (a, b) = block_words(key, step, tag, block);
    (open_unit(a), open_unit(b))
}

/// Box–Muller.
#[inline(always)]
fn normal_pair<S: Scalar>(key: [u32; 2], step: u32, tag: u32, block: u64) -> (f64, f64) {
    let (u, v) = uniform_pair(key, step, tag, block);
    let r = (-2.0 * S::ln(u)).sqrt();
    let (sin, cos) = S::sin_cos_turns(v);
    (r * cos, r * sin)
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
