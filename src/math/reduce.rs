//! Sums in a fixed order: blocks of [`BLOCK`] terms in eight lanes, the blocks added as a binary tree. Long ones are
//! shared out over the threads, with the same bits.

use crate::crew::each_chunk;

/// Terms per block.
const BLOCK: usize = 256;
/// Terms that one thread takes at a time: a complete subtree of blocks.
const TASK: usize = BLOCK << TASK_HEIGHT;
const TASK_HEIGHT: u32 = 2;
/// Fewer terms than this are not worth waking a thread for.
const WORTH_SHARING: usize = 8 * TASK;

/// A computed sum differs from the exact sum of its (rounded) terms by at most this times Σ |term|: 32 additions in a
/// lane, 3 to join the lanes, at most 64 in the tree.
pub const SUM_ROUNDING: f64 = 100.0 * f64::EPSILON / 2.0;

/// Σ_{i<n} term(i); the order of the additions depends on n alone.
pub fn sum(n: usize, term: impl Fn(usize) -> f64 + Sync) -> f64 {
    let [total] = sums(n, |i| [term(i)]);
    total
}

/// K sums in one sweep, each with the bits of [`sum`].
pub fn sums<const K: usize>(n: usize, term: impl Fn(usize) -> [f64; K] + Sync) -> [f64; K] {
    sums_and_largest(n, |i| (term(i), 0.0)).0
}

/// [`sums`] of the first parts, and the largest of 0 and the second parts, on all threads.
pub fn sums_and_largest<const K: usize>(n: usize, term: impl Fn(usize) -> ([f64; K], f64) + Sync) -> ([f64; K], f64) {
    let mut tree = Tree::new();
    let shared = if n < WORTH_SHARING { 0 } else { n / TASK };
    let mut tasks = vec![([0.0; K], 0.0); shared];
    each_chunk(&mut tasks, 1, |t, out| out[0] = task(t * TASK, &term));
    tasks.into_iter().for_each(|task| tree.push(TASK_HEIGHT, task));
    for from in (shared * TASK..n).step_by(BLOCK) {
        tree.push(0, block(from, (from + BLOCK).min(n), &term));
    }
    tree.root()
}

/// The complete subtree of the terms from `start`.
fn task<const K: usize>(start: usize, term: &impl Fn(usize) -> ([f64; K], f64)) -> ([f64; K], f64) {
    let mut tree = Tree::new();
    for from in (start..start + TASK).step_by(BLOCK) {
        tree.push(0, block(from, from + BLOCK, term));
    }
    tree.root()
}

/// Sums of complete subtrees as a binary counter: slot s waits with the sum of 2^s blocks where bit s of `blocks` is set.
struct Tree<const K: usize> {
    slots: [[f64; K]; 64],
    blocks: u64,
    largest: f64,
}

impl<const K: usize> Tree<K> {
    fn new() -> Self {
        Tree { slots: [[0.0; K]; 64], blocks: 0, largest: 0.0 }
    }

    /// The next 2^height blocks.
    fn push(&mut self, height: u32, (mut carry, largest): ([f64; K], f64)) {
        let mut s = height as usize;
        while self.blocks >> s & 1 == 1 {
            add(&mut carry, &self.slots[s]);
            s += 1;
        }
        self.slots[s] = carry;
        self.blocks += 1 << height;
        self.largest = self.largest.max(largest);
    }

    fn root(&self) -> ([f64; K], f64) {
        let mut total = [0.0; K];
        for (s, slot) in self.slots.iter().enumerate() {
            if self.blocks >> s & 1 == 1 {
                add(&mut total, slot);
            }
        }
        (total, self.largest)
    }
}

/// out_i = value(i), on all threads.
pub fn fill(out: &mut [f64], value: impl Fn(usize) -> f64 + Sync) {
    if out.len() < WORTH_SHARING {
        return out.iter_mut().enumerate().for_each(|(i, out)| *out = value(i));
    }
    each_chunk(out, TASK, |t, out| {
        out.iter_mut().enumerate().for_each(|(i, out)| *out = value(t * TASK + i));
    });
}

/// out_i ← value(i, out_i), on all threads.
pub fn update(out: &mut [f64], value: impl Fn(usize, f64) -> f64 + Sync) {
    if out.len() < WORTH_SHARING {
        return out.iter_mut().enumerate().for_each(|(i, out)| *out = value(i, *out));
    }
    each_chunk(out, TASK, |t, out| {
        out.iter_mut().enumerate().for_each(|(i, out)| *out = value(t * TASK + i, *out));
    });
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

fn block<const K: usize>(start: usize, end: usize, term: &impl Fn(usize) -> ([f64; K], f64)) -> ([f64; K], f64) {
    let mut lanes = [[0.0f64; 8]; K];
    let mut largest = 0.0f64;
    let mut i = start;
    while i + 8 <= end {
        for l in 0..8 {
            let (terms, size) = term(i + l);
            lanes.iter_mut().zip(terms).for_each(|(lane, term)| lane[l] += term);
            largest = largest.max(size);
        }
        i += 8;
    }
    for (l, i) in (i..end).enumerate() {
        let (terms, size) = term(i);
        lanes.iter_mut().zip(terms).for_each(|(lane, term)| lane[l] += term);
        largest = largest.max(size);
    }
    (lanes.map(|[a, b, c, d, e, f, g, h]| ((a + b) + (c + d)) + ((e + f) + (g + h))), largest)
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
    fn long_sums_have_the_same_bits_on_any_number_of_threads() {
        let term = |i: usize| ([((i * 7919 % 10_007) as f64).sqrt()], (i % 977) as f64);
        for n in [WORTH_SHARING - 1, WORTH_SHARING, 100_003] {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| sums_and_largest(n, term))
            };
            let mut tree = Tree::new();
            for from in (0..n).step_by(BLOCK) {
                tree.push(0, block(from, (from + BLOCK).min(n), &term));
            }
            assert_eq!(tree.root().1, 976.0);
            assert!([1, 2, 5].into_iter().all(|threads| with(threads) == tree.root()), "n = {n}");
        }
    }

    #[test]
    fn a_million_tenths_stay_within_the_stated_rounding() {
        let n = 1_000_000;
        // 0.1 as a double is 0.1 + 5.551115123125783e-18.
        let exact = 100_000.0 + n as f64 * 5.551115123125783e-18;
        assert!((sum(n, |_| 0.1) - exact).abs() <= SUM_ROUNDING * exact);
    }
}
