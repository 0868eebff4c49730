//! Which blocks of rows each rank sweeps. Cores of shared or unlike machines are not equally fast, and who sweeps a
//! block changes no bit: the cut follows the time that blocks took. Where ranks share a board, they also take blocks
//! from each other; a good cut then leaves little to take, and few subtrees.

use std::ops::Range;

use crate::team::Partition;

/// Pieces that an even share is cut into at least, where there are blocks enough: fewer balance worse, more leave each
/// rank with more subtrees to send.
const PIECES: usize = 32;
/// A new cut must promise this much of the time of a sweep.
const GAIN: f64 = 0.03;
/// Weight of the last sweep in what is known of a rank.
const FRESH: f64 = 0.5;

#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// First block of each rank, and the number of blocks.
    cuts: Vec<usize>,
    /// Seconds that a block takes each rank.
    pace: Vec<f64>,
}

impl Shares {
    pub fn even(blocks: usize, ranks: usize) -> Shares {
        let starts = Partition::new(blocks, 0, ranks).ranges().map(|share| share.start);
        Shares { cuts: starts.chain([blocks]).collect(), pace: Vec::new() }
    }

    pub fn blocks(&self) -> usize {
        self.cuts[self.ranks()]
    }

    pub fn ranks(&self) -> usize {
        self.cuts.len() - 1
    }

    /// The blocks of a rank.
    pub fn of(&self, rank: usize) -> Range<usize> {
        self.cuts[rank]..self.cuts[rank + 1]
    }

    /// Takes the seconds that each rank spent on how many blocks, its own or taken from others, and cuts anew where that
    /// is worth it.
    pub fn learn(&mut self, seconds: &[f64], made: &[u64]) {
        let ranks = self.ranks();
        let now: Vec<f64> = seconds.iter().zip(made).map(|(seconds, made)| seconds / *made as f64).collect();
        let sound = now.iter().all(|pace| *pace > 0.0 && pace.is_finite());
        if ranks == 1 || self.blocks() < 2 * ranks || !sound {
            return;
        }
        if self.pace.is_empty() {
            self.pace = now;
        } else {
            self.pace.iter_mut().zip(now).for_each(|(pace, now)| *pace += FRESH * (now - *pace));
        }
        let expected = |cuts: &[usize]| {
            cuts.windows(2).zip(&self.pace).map(|(cut, pace)| (cut[1] - cut[0]) as f64 * pace).fold(0.0, f64::max)
        };
        let ideal = self.blocks() as f64 / self.pace.iter().map(|pace| 1.0 / pace).sum::<f64>();
        let present = expected(&self.cuts);
        if ideal < (1.0 - GAIN) * present {
            let cuts = self.best();
            if expected(&cuts) < (1.0 - GAIN) * present {
                self.cuts = cuts;
            }
        }
    }

    /// The cut whose slowest rank is fastest: piece after piece goes to who would be done with it first.
    fn best(&self) -> Vec<usize> {
        let (blocks, ranks) = (self.blocks(), self.ranks());
        let piece = 1 << (blocks / (PIECES * ranks)).max(1).ilog2();
        let mut held = vec![piece; ranks];
        for _ in ranks..blocks / piece {
            let done = |r: usize| (held[r] + piece) as f64 * self.pace[r];
            let first = (0..ranks).min_by(|&p, &q| done(p).total_cmp(&done(q))).expect("at least one rank");
            held[first] += piece;
        }
        let ends = held.into_iter().scan(0, |end, len| {
            *end += len;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a sweep of these shares would tell: its seconds by rank.
    fn learn(shares: &mut Shares, seconds: &[f64]) {
        let made: Vec<u64> = (0..seconds.len()).map(|rank| shares.of(rank).len() as u64).collect();
        shares.learn(seconds, &made);
    }

    #[test]
    fn a_rank_half_as_fast_gets_half_as_many_blocks() {
        let mut shares = Shares::even(512, 4);
        learn(&mut shares, &[1.0, 2.0, 1.0, 1.0]);
        let lengths: Vec<usize> = (0..4).map(|r| shares.of(r).len()).collect();
        // 512 in the ratio 2 : 1 : 2 : 2 is 146.3 : 73.1 : 146.3 : 146.3, in pieces of 4.
        assert_eq!(lengths.iter().sum::<usize>(), 512);
        assert!(lengths.iter().zip([146.3, 73.1, 146.3, 146.3]).all(|(&l, ideal)| (l as f64 - ideal).abs() <= 4.0));
        assert_eq!((shares.of(0).start, shares.of(3).end), (0, 512));
    }

    #[test]
    fn shares_within_three_per_cent_of_the_best_stay_as_they_are() {
        let mut shares = Shares::even(512, 4);
        learn(&mut shares, &[1.0, 1.02, 0.99, 1.01]);
        assert_eq!(shares.cuts, Shares::even(512, 4).cuts);
        // Fewer blocks than two a rank are never cut anew, nor is anything after a clock that stood still.
        for (mut shares, seconds) in [(Shares::even(4, 3), [1.0, 9.0, 1.0]), (Shares::even(64, 3), [1.0, 0.0, 9.0])] {
            let before = shares.cuts.clone();
            learn(&mut shares, &seconds);
            assert_eq!(shares.cuts, before);
        }
    }

    #[test]
    fn every_rank_keeps_a_block_however_slow_it_was_and_gets_its_share_back() {
        let mut shares = Shares::even(64, 3);
        learn(&mut shares, &[1.0, 1e6, 1.0]);
        assert_eq!(shares.of(1).len(), 1);
        for _ in 0..60 {
            let seconds: Vec<f64> = (0..3).map(|r| 0.01 * shares.of(r).len() as f64).collect();
            learn(&mut shares, &seconds);
        }
        assert!((0..3).all(|r| (20..=23).contains(&shares.of(r).len())), "{:?}", shares.cuts);
    }
}
