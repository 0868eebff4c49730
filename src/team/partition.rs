//! Contiguous ownership of 0..n by ranks: index arithmetic only.

use std::ops::Range;

/// `n` items over `size` ranks, in order; the first `n % size` ranks hold one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    pub n: usize,
    pub rank: usize,
    pub size: usize,
}

impl Partition {
    pub fn new(n: usize, rank: usize, size: usize) -> Self {
        assert!(rank < size, "rank {rank} of {size}");
        Partition { n, rank, size }
    }

    /// What rank `rank` holds.
    pub fn of(&self, rank: usize) -> Range<usize> {
        let start = |r: usize| r * (self.n / self.size) + r.min(self.n % self.size);
        start(rank)..start(rank + 1)
    }

    pub fn mine(&self) -> Range<usize> {
        self.of(self.rank)
    }

    /// The rank that holds item `i`.
    pub fn owner(&self, i: usize) -> usize {
        assert!(i < self.n, "item {i} of {}", self.n);
        let (each, longer) = (self.n / self.size, self.n % self.size);
        // The first `longer` ranks hold each + 1 items.
        let cut = longer * (each + 1);
        if i < cut { i / (each + 1) } else { longer + (i - cut) / each }
    }

    /// What every rank holds, by rank.
    pub fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.size).map(move |rank| self.of(rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_0_to_40_has_one_owner_on_1_to_9_ranks() {
        for n in 0..40 {
            for size in 1..10 {
                let part = Partition::new(n, 0, size);
                let owned: Vec<(usize, usize)> =
                    part.ranges().enumerate().flat_map(|(rank, items)| items.map(move |i| (rank, i))).collect();
                assert_eq!(owned, (0..n).map(|i| (part.owner(i), i)).collect::<Vec<_>>());
                let lengths = || part.ranges().map(|r| r.len());
                assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
            }
        }
    }
}
