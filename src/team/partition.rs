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
}
