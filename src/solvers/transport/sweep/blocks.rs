//! Rows in blocks, and the binary tree over the blocks in which their column sums are added.

use std::ops::Range;

use crate::solvers::transport::kernels::ROW_BLOCK;
use crate::team::Partition;

/// At the end of a sweep a core waits for about one block, so many cores want many; each costs setting a vector of
/// columns to zero and adding it to another.
const ROWS_OF_A_BLOCK: usize = 64;
const MOST_BLOCKS: usize = 1024;

/// Blocks of 32 to 64 of `n` rows each, at most 1024: a power of two, so that their tree is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    n: usize,
    pub count: usize,
}

impl Blocks {
    pub fn of_rows(n: usize) -> Blocks {
        Blocks { n, count: (n / ROWS_OF_A_BLOCK).next_power_of_two().clamp(1, MOST_BLOCKS) }
    }

    /// The rows of some blocks.
    pub fn rows(&self, some: Range<usize>) -> Range<usize> {
        self.start(some.start)..self.start(some.end)
    }

    /// First row of block `k`; n for k = count. In whole groups of [`ROW_BLOCK`]: a lone row costs as much as a group.
    fn start(&self, k: usize) -> usize {
        let groups = Partition::new(self.n.div_ceil(ROW_BLOCK), 0, self.count);
        (ROW_BLOCK * groups.of(k).start).min(self.n)
    }

    /// The complete subtrees that make up `owned`, left to right.
    pub fn subtrees(&self, owned: &Range<usize>) -> Vec<Range<usize>> {
        let mut out = Vec::new();
        let mut at = owned.start;
        while at < owned.end {
            let fits = (owned.end - at).ilog2();
            let aligned = if at == 0 { self.count.ilog2() } else { at.trailing_zeros() };
            let end = at + (1 << fits.min(aligned));
            out.push(at..end);
            at = end;
        }
        out
    }
}

/// Sums of complete subtrees from left to right; two halves of one are added as soon as both are there.
pub struct Forest<V> {
    trees: Vec<(Range<usize>, V)>,
}

impl<V: AsMut<[f64]> + AsRef<[f64]>> Forest<V> {
    pub fn new() -> Self {
        Forest { trees: Vec::new() }
    }

    /// The next subtree; what was added to another is left in `spare`, to be used again.
    pub fn push(&mut self, mut node: Range<usize>, mut sums: V, spare: &mut Vec<V>) {
        while let Some((left, mut halves)) = self.trees.pop_if(|(left, _)| are_halves(left, &node)) {
            halves.as_mut().iter_mut().zip(sums.as_ref()).for_each(|(l, r)| *l += r);
            node = left.start..node.end;
            spare.push(std::mem::replace(&mut sums, halves));
        }
        self.trees.push((node, sums));
    }

    /// Takes the trees that nothing to come is added to.
    pub fn take_whole(&mut self) -> impl Iterator<Item = (Range<usize>, V)> + '_ {
        // Left halves wait for the right ones; before them stand at most right halves whose left ones are elsewhere.
        let whole = self.trees.iter().take_while(|(node, _)| node.start / node.len() % 2 == 1).count();
        self.trees.drain(..whole)
    }

    /// All trees, the last one pushed.
    pub fn end(self) -> Vec<(Range<usize>, V)> {
        self.trees
    }
}

/// The sums of the complete subtrees that some trees, given left to right, make up.
pub fn joined<S: Iterator<Item = f64>>(
    trees: impl Iterator<Item = (Range<usize>, S)>,
) -> Vec<(Range<usize>, Vec<f64>)> {
    let (mut forest, mut spare) = (Forest::new(), Vec::new());
    for (node, sums) in trees {
        let mut held: Vec<f64> = spare.pop().unwrap_or_default();
        held.clear();
        held.extend(sums);
        forest.push(node, held, &mut spare);
    }
    forest.end()
}

fn are_halves(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.end == right.start && left.len() == right.len() && left.start % (2 * left.len()) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cut_1_to_3000_rows_into_groups_of_whole_rows() {
        for n in 1..3000 {
            let blocks = Blocks::of_rows(n);
            let mut end = 0;
            for k in 0..blocks.count {
                let rows = blocks.rows(k..k + 1);
                assert_eq!(rows.start, end);
                assert!(
                    rows.start.is_multiple_of(ROW_BLOCK) && rows.len() <= 2 * ROWS_OF_A_BLOCK,
                    "{n} rows, block {k}"
                );
                end = rows.end;
            }
            assert_eq!(end, n);
        }
    }

    #[test]
    fn subtrees_of_any_cut_of_64_blocks_join_to_the_same_bits() {
        let blocks = Blocks::of_rows(64 * 64);
        assert_eq!(blocks.count, 64);
        let leaf = |k: usize| vec![1.0 / (k as f64 + 3.0), (k as f64).sin()];
        let join = |trees: Vec<(Range<usize>, Vec<f64>)>| {
            let mut forest = Forest::new();
            trees.into_iter().for_each(|(node, sums)| forest.push(node, sums, &mut Vec::new()));
            forest.end()
        };
        let run = |owned: Range<usize>| join(owned.map(|k| (k..k + 1, leaf(k))).collect());
        let truth = run(0..64);
        assert_eq!(truth.len(), 1);
        for cut in 0..=64 {
            for second in cut..=64 {
                let cuts = [0..cut, cut..second, second..64];
                for owned in &cuts {
                    let nodes: Vec<_> = run(owned.clone()).into_iter().map(|(node, _)| node).collect();
                    assert_eq!(nodes, blocks.subtrees(owned));
                }
                assert_eq!(join(cuts.into_iter().flat_map(run).collect()), truth, "cut at {cut} and {second}");
            }
        }
    }
}
