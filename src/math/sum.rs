//! Sums as a fixed binary tree over global indices 0..n, so that the bits do not depend on who adds what.
//!
//! Node (k, j) is the sum of the items j·2^k .. (j+1)·2^k. Node (0, j) is item j; node (k, j) is node (k−1, 2j) plus
//! node (k−1, 2j+1), or node (k−1, 2j) alone where the items end before the second half. The sum is the root.
//! A subtree whose 2^k items all exist is *complete*; any range of indices is tiled by O(log n) complete subtrees.
//!
//! The rounding error is at most ⌈log₂ n⌉·2⁻⁵³·Σ|x_i| to first order (pairwise summation, [Higham2002, chapter 4]).

use std::ops::Range;

use crate::crew;

/// Height of the subtrees that are reduced in one buffer.
const BLOCK_HEIGHT: u32 = 6;
/// Most terms that are asked for at once.
pub const BLOCK: usize = 1 << BLOCK_HEIGHT;
/// Height of the subtrees that are handed to threads: few enough items that threads end together on some ten thousand.
const TASK_HEIGHT: u32 = 11;

/// Σ term(i) over 0..n.
pub fn tree_sum(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut tree = Tree::new();
    for (start, height) in complete_subtrees(0..n) {
        tree.push(height, subtree_sum(start, height, &one_by_one(&term)));
    }
    tree.root()
}

/// [`tree_sum`] on the threads of the current rayon pool; the same bits.
pub fn tree_sum_parallel(n: usize, term: impl Fn(usize) -> f64 + Sync) -> f64 {
    let mut tree = Tree::new();
    for ((_, height), root) in complete_subtrees(0..n).zip(subtree_roots_parallel(0..n, term)) {
        tree.push(height, root);
    }
    tree.root()
}

/// ⌈log₂ n⌉: additions on the way from an item to the root.
pub fn tree_depth(n: usize) -> u32 {
    n.max(1).next_power_of_two().trailing_zeros()
}

/// The largest complete subtrees that tile `range`, in order, as (first index, height).
pub fn complete_subtrees(range: Range<usize>) -> impl Iterator<Item = (usize, u32)> {
    let Range { mut start, end } = range;
    std::iter::from_fn(move || {
        if start >= end {
            return None;
        }
        let fits = (end - start).ilog2();
        let height = fits.min(start.trailing_zeros());
        let subtree = (start, height);
        start += 1 << height;
        Some(subtree)
    })
}

/// The roots of [`complete_subtrees`] of `range`.
pub fn subtree_roots(range: Range<usize>, term: impl Fn(usize) -> f64) -> Vec<f64> {
    complete_subtrees(range).map(|(start, height)| subtree_sum(start, height, &one_by_one(&term))).collect()
}

/// [`subtree_roots`] on the threads of the rank; the same bits.
pub fn subtree_roots_parallel(range: Range<usize>, term: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    subtree_roots_filled(range, one_by_one(&term))
}

/// The same of up to [`BLOCK`] terms in a row: `fill(start, x)` sets x to terms start, start + 1, ….
pub fn subtree_roots_filled(range: Range<usize>, fill: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
    if rayon::current_num_threads() == 1 {
        return complete_subtrees(range).map(|(start, height)| subtree_sum(start, height, &fill)).collect();
    }
    let low = |height: u32| height.min(TASK_HEIGHT);
    let tasks = complete_subtrees(range.clone()).flat_map(|(start, height)| {
        (0..1usize << (height - low(height))).map(move |task| (start + (task << low(height)), low(height)))
    });
    let mut sums = crew::map(tasks, |_, (start, height)| subtree_sum(start, height, &fill)).into_iter();
    let root = |(_, height): (usize, u32)| {
        let mut tree = Tree::new();
        sums.by_ref().take(1 << (height - low(height))).for_each(|sum| tree.push(low(height), sum));
        tree.root()
    };
    complete_subtrees(range).map(root).collect()
}

/// Puts complete subtrees that tile 0..n together, given in order.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Items so far. Bit k is set while `waiting[k]` holds a subtree of height k that has no right sibling yet.
    items: usize,
    waiting: [f64; usize::BITS as usize],
}

impl Tree {
    #[expect(clippy::new_without_default, reason = "an empty tree is a starting point, not a default value")]
    pub fn new() -> Self {
        Tree { items: 0, waiting: [0.0; usize::BITS as usize] }
    }

    /// Adds the root of the next complete subtree.
    pub fn push(&mut self, mut height: u32, mut root: f64) {
        assert_eq!(self.items % (1 << height), 0, "a subtree of height {height} cannot start at {}", self.items);
        self.items += 1 << height;
        // What was waiting is a left sibling: equal height and, by the assertion, the even one of the pair.
        while self.items & (1 << height) == 0 {
            root += self.waiting[height as usize];
            height += 1;
        }
        self.waiting[height as usize] = root;
    }

    /// The sum of everything pushed; 0 when there is nothing.
    pub fn root(&self) -> f64 {
        let waiting = (0..usize::BITS).filter(|k| self.items & (1 << k) != 0).map(|k| self.waiting[k as usize]);
        // Ascending heights go from the right end of the items to the left; the left operand stays the left.
        waiting.reduce(|right, left| left + right).unwrap_or(0.0)
    }
}

/// The root of one complete subtree.
fn subtree_sum(start: usize, height: u32, fill: &impl Fn(usize, &mut [f64])) -> f64 {
    if height < BLOCK_HEIGHT {
        let mut x = [0.0; BLOCK];
        let x = &mut x[..1 << height];
        fill(start, x);
        return reduce(x);
    }
    let mut tree = Tree::new();
    for block in 0..1usize << (height - BLOCK_HEIGHT) {
        // The fixed length lets the compiler unroll and vectorise both calls.
        let mut x = [0.0; BLOCK];
        fill(start + block * BLOCK, &mut x);
        tree.push(BLOCK_HEIGHT, reduce(&mut x));
    }
    tree.root()
}

#[inline(always)]
fn one_by_one(term: &impl Fn(usize) -> f64) -> impl Fn(usize, &mut [f64]) {
    |start, x| x.iter_mut().enumerate().for_each(|(i, x)| *x = term(start + i))
}

/// The root over a power of two of items; overwrites them.
#[inline(always)]
fn reduce(x: &mut [f64]) -> f64 {
    let mut n = x.len();
    while n > 1 {
        n /= 2;
        for i in 0..n {
            x[i] = x[2 * i] + x[2 * i + 1];
        }
    }
    x[0]
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use num_rational::BigRational;
    use proptest::prelude::*;

    use super::*;

    /// The definition, node by node.
    fn node(x: &[f64], k: u32, j: usize) -> f64 {
        if k == 0 {
            return x[j];
        }
        let left = node(x, k - 1, 2 * j);
        if (2 * j + 1) << (k - 1) < x.len() { left + node(x, k - 1, 2 * j + 1) } else { left }
    }

    fn by_definition(x: &[f64]) -> f64 {
        if x.is_empty() { 0.0 } else { node(x, tree_depth(x.len()), 0) }
    }

    fn exact(x: &[f64]) -> BigRational {
        x.iter().fold(BigRational::from(BigInt::ZERO), |s, &x| s + BigRational::from_float(x).unwrap())
    }

    /// Mantissas and exponents that cancel and round a lot.
    fn awkward() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((-1.0..1.0f64, -60..60i32).prop_map(|(m, e)| m * 2f64.powi(e)), 0..700)
    }

    proptest! {
        #[test]
        fn tree_sum_is_its_definition_and_within_log2_n_roundings_of_the_exact_sum(x in awkward()) {
            let sum = tree_sum(x.len(), |i| x[i]);
            prop_assert_eq!(sum.to_bits(), by_definition(&x).to_bits());
            prop_assert_eq!(sum.to_bits(), tree_sum_parallel(x.len(), |i| x[i]).to_bits());
            // (1 + u)^depth − 1 ≤ 1.01 · depth · u for these depths.
            let bound = 1.01 * f64::from(tree_depth(x.len())) * 2f64.powi(-53);
            let magnitude = exact(&x.iter().map(|x| x.abs()).collect::<Vec<_>>());
            let error = BigRational::from_float(sum).unwrap() - exact(&x);
            let allowed = BigRational::from_float(bound).unwrap() * magnitude;
            prop_assert!(error.clone() <= allowed && -error <= allowed);
        }

        #[test]
        fn subtrees_of_any_cut_tile_the_range_and_are_at_most_two_per_height(a in 0..5000usize, b in 0..5000usize) {
            let (a, b) = (a.min(b), a.max(b));
            let mut next = a;
            let mut count = [0; 64];
            for (start, height) in complete_subtrees(a..b) {
                prop_assert_eq!(start, next);
                prop_assert_eq!(start % (1 << height), 0);
                count[height as usize] += 1;
                next += 1 << height;
            }
            prop_assert_eq!(next, b);
            prop_assert!(count.iter().all(|&c| c <= 2));
        }
    }

    #[test]
    fn threads_do_not_change_the_bits_of_a_long_sum() {
        let term = |i: usize| (i as f64 * 0.7).sin() * 1.1f64.powi((i % 200) as i32);
        for n in [1 << 17, 300_007] {
            let serial = tree_sum(n, term);
            assert_eq!(serial.to_bits(), tree_sum_parallel(n, term).to_bits());
            // And this sum can tell: the plain loop differs.
            assert_ne!(serial.to_bits(), (0..n).map(term).sum::<f64>().to_bits());
        }
    }

    #[test]
    fn empty_sum_is_zero_and_negative_zero_survives_alone() {
        assert_eq!(tree_sum(0, |_| 1.0).to_bits(), 0f64.to_bits());
        assert_eq!(tree_sum(1, |_| -0.0).to_bits(), (-0f64).to_bits());
    }
}
