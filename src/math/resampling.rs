//! Resampling in integers: weights become integers, so that sums, offspring and effective sample sizes are exact and do
//! not depend on the order of anything.
//!
//! q = round(2^b e^{log w − max}). With Q the total and U uniform on [0, Q), particle i of n has
//! O_i = A(C_i) − A(C_{i−1}) offspring, A(c) = #{k : kQ + U < n c}, C the inclusive prefix sums: systematic resampling,
//! Σ O = n without any repair and |O_i − n q_i/Q| < 1.

use super::draws::Draws;
use super::simd::Level;
use super::simd::scalar::Scalar;

/// A number of 128 bits as the two words that travel, the low one first.
pub fn to_words(x: u128) -> [u64; 2] {
    [x as u64, (x >> 64) as u64]
}

/// The inverse of [`to_words`].
///
/// # Panics
/// Where there are not two words.
pub fn from_words(words: &[u64]) -> u128 {
    u128::from(words[0]) | u128::from(words[1]) << 64
}

/// Largest number of particles whose offspring are exact in 128 bits.
pub const LARGEST: u64 = 1 << 40;

/// b: bits of the largest weight among `n` particles, so that n·Q stays below 2^126.
pub fn bits(n: u64) -> u32 {
    assert!(n <= LARGEST, "{n} particles, at most 2^40");
    let log = n.next_power_of_two().trailing_zeros();
    (126 - 2 * log).min(52)
}

/// Exact sums of integer weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Σ q.
    pub total: u128,
    /// Σ p with p the top 40 bits of q.
    pub top: u128,
    /// Σ p².
    pub squares: u128,
}

impl Sums {
    pub fn add(&mut self, other: &Sums) {
        self.total += other.total;
        self.top += other.top;
        self.squares += other.squares;
    }

    /// Effective sample size (Σp)²/Σp².
    pub fn effective(&self) -> f64 {
        if self.squares == 0 {
            return if self.total > 0 { 1.0 } else { 0.0 };
        }
        let top = self.top as f64;
        top / (self.squares as f64) * top
    }
}

/// prefix[i] = Σ_{j ≤ i} q_j of at most 1024 particles with q_j = round(2^b e^{log_weight_j − max}); their exact sums.
pub fn quantise(level: Level, log_weight: &[f64], max: f64, bits: u32, prefix: &mut [u64]) -> Sums {
    assert!(log_weight.len() == prefix.len() && prefix.len() <= 1024);
    let scale = f64::from_bits(u64::from(1023 + bits) << 52);
    let shift = bits.saturating_sub(40);
    let (mut top, mut high, mut cross, mut low) = (0u64, 0u64, 0u64, 0u64);
    crate::enter!(level, S => {
        const MAGIC: f64 = 4_503_599_627_370_496.0;
        for (q, w) in prefix.iter_mut().zip(log_weight) {
            // In [0, 2^52]: adding 2^52 leaves the rounded integer in the mantissa (2^52 itself carries into the exponent).
            let x = S::exp(*w - max) * scale;
            *q = (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits());
        }
        for q in prefix.iter() {
            let p = *q >> shift;
            // p ≤ 2^40 in two halves of 20 bits: each sum of 1024 products fits 64 bits.
            let (h, l) = (p >> 20 & 0xFFFF_FFFF, p & 0xF_FFFF);
            top += p;
            high += h * h;
            cross += h * l;
            low += l * l;
        }
    });
    let mut sum = 0u64;
    for q in prefix.iter_mut() {
        sum += *q;
        *q = sum;
    }
    Sums {
        total: u128::from(sum),
        top: u128::from(top),
        squares: (u128::from(high) << 40) + (u128::from(cross) << 21) + u128::from(low),
    }
}

/// A number uniform on [0, bound) from addressed bits, by rejection; `item` tells islands (or fights) apart.
pub fn below(at: &Draws, first_draw: u32, item: u64, bound: u128) -> u128 {
    assert!(bound > 0);
    let mask = u128::MAX >> (bound - 1).leading_zeros().min(127);
    let mut draw = first_draw;
    loop {
        let x = at.bits(draw, item) & mask;
        if x < bound {
            return x;
        }
        draw += 1;
    }
}

/// The comb of systematic resampling: points kQ + U, k = 0 … n − 1, on an axis where particle i owns n q_i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comb {
    pub n: u64,
    /// Q.
    pub total: u128,
    /// U in [0, Q).
    pub offset: u128,
}

impl Comb {
    /// A(c): points below n c, plainly.
    pub fn below(&self, c: u128) -> u64 {
        let reach = u128::from(self.n) * c;
        if reach <= self.offset { 0 } else { ((reach - self.offset - 1) / self.total) as u64 + 1 }
    }

    /// counts[i] = offspring of particle i, the first of which starts at `base`; `prefix` inclusive from there.
    ///
    /// An estimate in f64, corrected in integers wherever it is near an integer; equal to [`below`](Self::below).
    pub fn offspring(&self, level: Level, base: u128, prefix: &[u64], counts: &mut [u64]) {
        let len = prefix.len();
        assert!(counts.len() == len && len <= 1024);
        // n·base − U = first·Q + rest with 0 ≤ rest < Q.
        let reach = u128::from(self.n) * base;
        let (first, rest) = if reach >= self.offset {
            let y = reach - self.offset;
            ((y / self.total) as i64, y % self.total)
        } else {
            (-1, self.total - (self.offset - reach))
        };
        let fraction = rest as f64 / self.total as f64;
        let slope = self.n as f64 / self.total as f64;
        // Points passed, counted from `first`: ceil(rest/Q) so far. Block by block, which stay in the nearest cache.
        const BLOCK: usize = 128;
        let mut points = [0.0f64; BLOCK + 1];
        points[0] = if rest > 0 { 1.0 } else { 0.0 };
        crate::enter!(level, S => for (prefix, counts) in prefix.chunks(BLOCK).zip(counts.chunks_mut(BLOCK)) {
            let n = prefix.len();
            let mut near = 0u64;
            for (point, p) in points[1..=n].iter_mut().zip(prefix) {
                let x = S::mul_add(S::from_u64(*p), slope, fraction);
                let ceil = S::ceil(x);
                let below = ceil - x;
                // The estimate is off by less than 2^-50 (x + 1).
                let tolerance = S::mul_add(x, 2e-15, 2e-15);
                near |= u64::from(below <= tolerance) | u64::from(below >= 1.0 - tolerance);
                *point = ceil;
            }
            if near != 0 {
                for (point, p) in points[1..=n].iter_mut().zip(prefix) {
                    let x = *p as f64 * slope + fraction;
                    if (x - x.round()).abs() <= 4e-15 * (x + 1.0) {
                        *point = (self.below(base + u128::from(*p)) as i64 - first) as f64;
                    }
                }
            }
            let (before, after) = (&points[..n], &points[1..=n]);
            for i in 0..n {
                counts[i] = to_u64(after[i] - before[i]);
            }
            points[0] = points[n];
        });
    }
}

/// An integer-valued 0 ≤ x < 2^52.
#[inline(always)]
fn to_u64(x: f64) -> u64 {
    const MAGIC: f64 = 4_503_599_627_370_496.0;
    (x + MAGIC).to_bits() & 0xF_FFFF_FFFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::Stream;

    fn levels() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|l| l.is_available())
    }

    /// Offspring of all particles, tile by tile of `tile`, by the fast and by the plain form.
    fn both(
        level: Level,
        log_weights: &[f64],
        n: u64,
        seed: u64,
        tile: usize,
    ) -> (Vec<u64>, Vec<u64>, Vec<u128>, u128) {
        let max = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let b = bits(n);
        let mut prefix = vec![0; log_weights.len()];
        let mut sums = Sums::default();
        let mut bases = Vec::new();
        for (w, p) in log_weights.chunks(tile).zip(prefix.chunks_mut(tile)) {
            bases.push(sums.total);
            sums.add(&quantise(level, w, max, b, p));
        }
        let at = Draws::new(level, seed, Stream::ParticlesResample, 3);
        let comb = Comb { n, total: sums.total, offset: below(&at, 0, 0, sums.total) };
        let mut fast = vec![0; prefix.len()];
        let (mut plain, mut q) = (Vec::new(), Vec::new());
        let mut before = 0;
        for ((base, p), o) in bases.iter().zip(prefix.chunks(tile)).zip(fast.chunks_mut(tile)) {
            comb.offspring(level, *base, p, o);
            let mut last = 0;
            for p in p {
                let a = comb.below(base + u128::from(*p));
                plain.push(a - before);
                q.push(u128::from(p - last));
                (before, last) = (a, *p);
            }
        }
        (fast, plain, q, sums.total)
    }

    fn adversarial(n: usize) -> Vec<(&'static str, Vec<f64>)> {
        let noise: Vec<f64> =
            (0..n as u64).map(|i| crate::math::rng::normal_pair(5, Stream::ParticlesMutate, 0, i, 0)[0]).collect();
        let mut hot = vec![f64::NEG_INFINITY; n];
        hot[n / 3] = -700.0;
        let mut tails = vec![-690.0; n];
        tails[n - 1] = 0.0;
        vec![
            ("equal", vec![-3.25; n]),
            ("one hot", hot),
            ("tails of 1e-300", tails),
            ("lognormal", noise.clone()),
            ("wide", noise.iter().map(|x| 12.0 * x).collect()),
            ("halves", (0..n).map(|i| if i % 2 == 0 { 0.0 } else { -std::f64::consts::LN_2 }).collect()),
        ]
    }

    #[test]
    fn fast_offspring_equal_those_of_128_bit_integers_sum_to_n_and_stay_within_one_of_n_w() {
        for level in levels() {
            for (n, tile) in [(1usize, 1024), (7, 1024), (1000, 64), (4096, 1024), (10_007, 1000)] {
                for (name, w) in adversarial(n) {
                    for seed in 0..20 {
                        let (fast, plain, q, total) = both(level, &w, n as u64, seed, tile);
                        assert_eq!(fast, plain, "{level:?} {name} n = {n}");
                        assert_eq!(fast.iter().sum::<u64>(), n as u64, "{name} n = {n}");
                        for (o, q) in fast.iter().zip(q) {
                            let exact = n as u128 * q;
                            let count = u128::from(*o) * total;
                            assert!(
                                count.abs_diff(exact) < total,
                                "{name}: {o} offspring of n w = {}",
                                exact as f64 / total as f64
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn offspring_near_integers_are_corrected_at_2_to_the_40_particles() {
        // 1000 particles stand for equal shares of 2^40: every prefix lies on a tooth of the comb, or one unit beside.
        let n = 1u64 << 40;
        for level in levels() {
            for step in [1u64 << 30, (1 << 30) + 1, (1 << 30) - 1] {
                let prefix: Vec<u64> = (1..=1000).map(|i| i * step).collect();
                for offset in [0u128, 1, 2, 12_345_678_901] {
                    let comb = Comb { n, total: u128::from(step) * u128::from(n), offset };
                    let mut counts = vec![0; 1000];
                    let base = u128::from(step) * 999_999_937;
                    comb.offspring(level, base, &prefix, &mut counts);
                    let mut before = comb.below(base);
                    for (p, o) in prefix.iter().zip(&counts) {
                        let a = comb.below(base + u128::from(*p));
                        assert_eq!(*o, a - before);
                        before = a;
                    }
                }
            }
        }
        assert_eq!((bits(1), bits(1 << 37), bits(LARGEST)), (52, 52, 46));
    }

    #[test]
    fn quantised_weights_and_their_sums_are_exact_and_the_same_at_every_cut() {
        let w: Vec<f64> = (0..1000).map(|i| -((i % 97) as f64) * 0.31).collect();
        for level in levels() {
            let mut prefix = vec![0; 1000];
            let sums = quantise(level, &w, 0.0, 52, &mut prefix);
            let mut parts = Sums::default();
            let mut other = vec![0; 1000];
            for (w, p) in w.chunks(37).zip(other.chunks_mut(37)) {
                parts.add(&quantise(level, w, 0.0, 52, p));
            }
            assert_eq!(sums, parts);
            let (mut last, mut total, mut top, mut squares) = (0, 0u128, 0u128, 0u128);
            for (w, p) in w.iter().zip(&prefix) {
                let q = p - last;
                last = *p;
                assert!((q as f64 / (w.exp() * 2f64.powi(52)) - 1.0).abs() < 1e-3 + 2f64.powi(-52) / w.exp());
                total += u128::from(q);
                top += u128::from(q >> 12);
                squares += u128::from(q >> 12) * u128::from(q >> 12);
            }
            assert_eq!(sums, Sums { total, top, squares });
            let weights: Vec<f64> = w.iter().map(|w| w.exp()).collect();
            let ess = weights.iter().sum::<f64>().powi(2) / weights.iter().map(|w| w * w).sum::<f64>();
            assert!((sums.effective() / ess - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_number_below_a_bound_has_the_mean_of_the_uniform_law() {
        let at = Draws::new(Level::Portable, 1, Stream::ParticlesResample, 0);
        for bound in [1u128, 3, (1 << 100) + 12_345] {
            let m = 4000;
            let mean = (0..m).map(|i| below(&at, 0, i, bound) as f64 / bound as f64).sum::<f64>() / m as f64;
            let expected = 0.5 - 0.5 / bound as f64;
            assert!((mean - expected).abs() < 4.0 * (1.0 / 12.0 / m as f64).sqrt() + 1e-15, "{bound}: {mean}");
        }
    }
}
