//! n independent uniform points, in order, any interval of them at the cost of that interval: counts are split in halves
//! down a binary tree of the unit interval, each split drawn at the address of its node. No one ever holds all points.

use super::draws::Draws;

/// Points on [0, 2^64), the unit interval in 64 bits.
#[derive(Debug, Clone, Copy)]
pub struct Scatter {
    pub n: u64,
    pub at: Draws,
    /// Tells scatters of one step apart, below 4096.
    pub item: u32,
}

/// Nodes with so few points draw their places.
const LEAF: u64 = 16;
const DRAWS: u32 = 256;
/// Counts up to this are sums of so many random bits.
const BITS: u64 = 4096;

impl Scatter {
    /// Calls `give` with the points in [low, high), in ascending order.
    pub fn points(&self, low: u128, high: u128, give: &mut impl FnMut(u64)) {
        self.visit(0, 0, self.n, low, high, give);
    }

    /// The node of `level` and `index` holds `count` points.
    fn visit(&self, level: u32, index: u64, count: u64, low: u128, high: u128, give: &mut impl FnMut(u64)) {
        let width = 1u128 << (64 - level);
        let start = u128::from(index) * width;
        if count == 0 || start >= high || start + width <= low {
            return;
        }
        let node = 1u64 << level | index;
        if count <= LEAF || level == 62 {
            let mut places: Vec<u64> =
                (0..count).map(|k| start as u64 + ((self.bits(node, k as u32) >> 64) as u64 >> level)).collect();
            places.sort_unstable();
            places.into_iter().filter(|&p| (low..high).contains(&u128::from(p))).for_each(give);
            return;
        }
        let left = half(count, |k| self.bits(node, k));
        self.visit(level + 1, 2 * index, left, low, high, give);
        self.visit(level + 1, 2 * index + 1, count - left, low, high, give);
    }

    fn bits(&self, node: u64, draw: u32) -> u128 {
        self.at.bits(self.item * DRAWS + draw % DRAWS, node)
    }
}

/// A binomial number of n trials of probability ½ from addressed blocks of 128 bits.
fn half(n: u64, bits: impl Fn(u32) -> u128) -> u64 {
    if n <= BITS {
        let whole = (n / 128) as u32;
        let ones: u32 = (0..whole).map(|k| bits(k).count_ones()).sum();
        let rest = (n % 128) as u32;
        let last = if rest > 0 { (bits(whole) & (u128::MAX >> (128 - rest))).count_ones() } else { 0 };
        return u64::from(ones + last);
    }
    // An odd trial by itself, the rest by inversion from the mode outwards, which is symmetric.
    let block = bits(0);
    let odd = if n % 2 == 1 { (block & 1) as u64 } else { 0 };
    let m = n / 2;
    let x = m as f64;
    let r = 1.0 / x;
    let mut p = (1.0 - r / 8.0 + r * r / 128.0 + 5.0 * r * r * r / 1024.0 - 21.0 * r * r * r * r / 32768.0)
        / (std::f64::consts::PI * x).sqrt();
    let mut u = ((block >> 76) as f64 + 0.5) * f64::EPSILON - p;
    let mut j = 0u64;
    while u >= 0.0 && j < m {
        j += 1;
        p *= (x - j as f64 + 1.0) / (x + j as f64);
        u -= 2.0 * p;
    }
    odd + if block & 2 == 0 { m + j } else { m - j }
}

/// ⌊2^64 (a + b/w)/r⌋ with b < w < 2^96 and a < r < 2^41: the place of a share of the unit interval.
pub fn place(a: u64, b: u128, w: u128, r: u64) -> u128 {
    let (high, rest) = ((b << 32) / w, (b << 32) % w);
    let fraction = high << 32 | (rest << 32) / w;
    ((u128::from(a) << 64) + fraction) / u128::from(r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::Stream;
    use crate::math::simd::Level;

    fn scatter(n: u64, seed: u64) -> Scatter {
        Scatter { n, at: Draws::new(Level::Portable, seed, Stream::ParticlesResample, 0), item: 3 }
    }

    #[test]
    fn any_cut_of_the_interval_gives_the_same_points_n_in_all_and_in_order() {
        for n in [1, 16, 17, 1000, 30_000] {
            let mut all = Vec::new();
            scatter(n, 1).points(0, 1 << 64, &mut |p| all.push(p));
            assert_eq!(all.len() as u64, n);
            assert!(all.is_sorted());
            let mut parts = Vec::new();
            for k in 0..13u128 {
                scatter(n, 1).points((k << 64) / 13, ((k + 1) << 64) / 13, &mut |p| parts.push(p));
            }
            assert_eq!(parts, all);
        }
    }

    #[test]
    fn counts_in_an_interval_have_the_mean_and_variance_of_the_binomial_law() {
        for (n, share) in [(50u64, 0.3), (20_000, 0.5), (20_000, 0.0078125)] {
            let runs = 2000;
            let high = (share * 2f64.powi(64)) as u128;
            let counts: Vec<f64> = (0..runs)
                .map(|seed| {
                    let mut c = 0.0;
                    scatter(n, seed).points(0, high, &mut |_| c += 1.0);
                    c
                })
                .collect();
            let (mean, variance) = (n as f64 * share, n as f64 * share * (1.0 - share));
            let m = counts.iter().sum::<f64>() / runs as f64;
            let v = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / runs as f64;
            assert!((m - mean).abs() < 4.0 * (variance / runs as f64).sqrt(), "{n} {share}: mean {m} against {mean}");
            assert!(
                (v / variance - 1.0).abs() < 4.0 * (2.2 / runs as f64).sqrt(),
                "{n} {share}: {v} against {variance}"
            );
        }
    }

    #[test]
    fn a_place_is_the_share_in_64_bits() {
        let w = (1u128 << 90) + 12_345;
        assert_eq!(place(0, 0, w, 1), 0);
        let z = place(3, w / 2, w, 7);
        assert!((z as f64 / 2f64.powi(64) - 0.5).abs() < 1e-15);
        assert_eq!(place(0, w - 1, w, 1), u128::from(u64::MAX));
    }
}
