//! Sums in a fixed order: blocks of [`BLOCK`] terms in eight lanes, the blocks added as a binary tree.

/// Terms per block.
const BLOCK: usize = 256;

/// A computed sum differs from the exact sum of its (rounded) terms by at most this times Σ |term|: 32 additions in a
/// lane, 3 to join the lanes, at most 64 in the tree.
pub const SUM_ROUNDING: f64 = 100.0 * f64::EPSILON / 2.0;

/// Σ_{i<n} term(i); the order of the additions depends on n alone.
pub fn sum(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let [total] = sums(n, |i| [term(i)]);
    total
}

/// K sums in one sweep, each with the bits of [`sum`].
pub fn sums<const K: usize>(n: usize, term: impl Fn(usize) -> [f64; K]) -> [f64; K] {
    // Binary counter: slot s holds the sums of 2^s blocks.
    let mut slots = [[0.0f64; K]; 64];
    let mut blocks = 0u64;
    let mut start = 0;
    while start < n {
        let end = (start + BLOCK).min(n);
        let mut carry = block(start, end, &term);
        let mut s = 0;
        while blocks >> s & 1 == 1 {
            add(&mut carry, &slots[s]);
            s += 1;
        }
        slots[s] = carry;
        blocks += 1;
        start = end;
    }
    let mut total = [0.0; K];
    for (s, slot) in slots.iter().enumerate() {
        if blocks >> s & 1 == 1 {
            add(&mut total, slot);
        }
    }
    total
}

fn add<const K: usize>(to: &mut [f64; K], x: &[f64; K]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
}

/// Σ_i x_i.
pub fn total(x: &[f64]) -> f64 {
    sum(x.len(), |i| x[i])
}

/// Σ_i x_i y_i.
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    debug_assert_eq!(x.len(), y.len());
    sum(x.len(), |i| x[i] * y[i])
}

/// max_i |x_i|, 0 when empty.
pub fn max_abs(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn block<const K: usize>(start: usize, end: usize, term: &impl Fn(usize) -> [f64; K]) -> [f64; K] {
    let mut lanes = [[0.0f64; 8]; K];
    let mut i = start;
    while i + 8 <= end {
        for l in 0..8 {
            let terms = term(i + l);
            lanes.iter_mut().zip(terms).for_each(|(lane, term)| lane[l] += term);
        }
        i += 8;
    }
    for (l, i) in (i..end).enumerate() {
        let terms = term(i);
        lanes.iter_mut().zip(terms).for_each(|(lane, term)| lane[l] += term);
    }
    lanes.map(|[a, b, c, d, e, f, g, h]| ((a + b) + (c + d)) + ((e + f) + (g + h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_integers_are_exact_at_awkward_lengths() {
        for n in [0, 1, 7, 8, 9, 255, 256, 257, 1000, 4096, 70_001] {
            assert_eq!(sum(n, |i| i as f64), (n * n.saturating_sub(1) / 2) as f64, "n = {n}");
        }
    }

    #[test]
    fn several_sums_at_once_have_the_bits_of_each() {
        let x = |i: usize| ((i * 7919 % 1009) as f64).sqrt();
        let [one, two] = sums(1003, |i| [x(i), 1.0 / (1.0 + x(i))]);
        assert_eq!(one, sum(1003, x));
        assert_eq!(two, sum(1003, |i| 1.0 / (1.0 + x(i))));
    }

    #[test]
    fn a_million_tenths_stay_within_the_stated_rounding() {
        let n = 1_000_000;
        // 0.1 as a double is 0.1 + 5.551115123125783e-18.
        let exact = 100_000.0 + n as f64 * 5.551115123125783e-18;
        assert!((sum(n, |_| 0.1) - exact).abs() <= SUM_ROUNDING * exact);
    }
}
