//! How a rank's columns along axis 0 are cut into blocks that stay in the second-level cache.

use std::cmp::Reverse;
use std::ops::Range;

/// Bytes of a block at most: it leaves room for what is read and written beside it in 1 MiB.
const ROOM: usize = 768 << 10;
/// Columns of a block at least; with fewer, calls cost more than the cache saves.
const COLUMNS: usize = 24;
/// What a block costs besides its columns, in columns.
const CALLS: usize = 4;

/// Blocks of some rows of axis 1 with all columns of axis 2, or of one row with some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    modes: [usize; 3],
    /// Pieces that axis 1 is cut into, and axis 2.
    pieces: [usize; 2],
}

impl Blocks {
    /// Of the `modes` of a rank, for so many arrays of numbers of `bytes` that are transformed in groups of `lanes`
    /// columns; none if so few columns fit that they had better go through memory.
    pub fn new(modes: [usize; 3], arrays: usize, bytes: usize, lanes: usize, threads: usize) -> Option<Blocks> {
        let [planes, rows, columns] = modes;
        if arrays * planes * rows * columns == 0 {
            return Some(Blocks { modes, pieces: [1, 1] });
        }
        let most = ROOM / (arrays * planes * bytes);
        let of_rows = (1..=rows).map(|n| Blocks { modes, pieces: [n, 1] });
        let of_columns = (2..=columns / COLUMNS).map(|n| Blocks { modes, pieces: [rows, n] });
        // The time of the thread that has most of them, were all alike. Of equals the smaller blocks.
        let cost = |blocks: &Blocks| {
            let [of_rows, of_columns] = blocks.sizes();
            let blocks_of = |(n, rows): (usize, usize), (m, columns): (usize, usize)| {
                n * m * ((rows * columns).next_multiple_of(lanes) + CALLS)
            };
            let all: usize = of_rows.iter().flat_map(|r| of_columns.map(|c| blocks_of(*r, c))).sum();
            all * blocks.count().div_ceil(threads) / blocks.count()
        };
        let fitting = of_rows.chain(of_columns).filter(|blocks| blocks.width() <= most);
        fitting.min_by_key(|blocks| (cost(blocks), Reverse(blocks.count())))
    }

    pub fn count(&self) -> usize {
        self.pieces[0] * self.pieces[1]
    }

    /// Of axis 1 and axis 2: how many pieces have how many rows or columns, the longer ones first.
    fn sizes(&self) -> [[(usize, usize); 2]; 2] {
        std::array::from_fn(|a| {
            let (all, pieces) = (self.modes[a + 1], self.pieces[a]);
            [(all % pieces, all / pieces + 1), (pieces - all % pieces, all / pieces)]
        })
    }

    /// Columns of a block, at most.
    fn width(&self) -> usize {
        self.modes[1].div_ceil(self.pieces[0]) * self.modes[2].div_ceil(self.pieces[1])
    }

    /// Rows and columns of block `index` of [`Blocks::count`].
    pub fn nth(&self, index: usize) -> [Range<usize>; 2] {
        let place = [index / self.pieces[1], index % self.pieces[1]];
        std::array::from_fn(|a| {
            let cut = |i: usize| self.modes[a + 1] * i / self.pieces[a];
            cut(place[a])..cut(place[a] + 1)
        })
    }

    /// Numbers from plane to plane of a block in work space: whole cache lines, an odd number of them.
    pub fn pitch(&self) -> usize {
        let lines = self.width().div_ceil(4);
        4 * (lines | 1)
    }

    /// Numbers of a block of one array in work space.
    pub fn numbers(&self) -> usize {
        self.modes[0] * self.pitch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_arrays_of_85_by_85_by_43_go_in_43_blocks_on_one_thread_in_44_on_two_and_in_85_on_85() {
        // 85 · 5 · 16 bytes a column: 115 columns fit, so two rows; 43 columns take 48 lanes, 86 only 88.
        for (threads, count, rows) in [(1, 43, 2), (2, 44, 2), (85, 85, 1)] {
            let blocks = Blocks::new([85, 85, 43], 5, 16, 8, threads).unwrap();
            assert_eq!((blocks.pieces, blocks.width()), ([count, 1], rows * 43), "{threads} threads");
        }
    }

    #[test]
    fn two_threads_have_21_and_22_of_43_rows() {
        let blocks = Blocks::new([43, 43, 22], 5, 16, 8, 2).unwrap();
        assert_eq!((blocks.count(), blocks.nth(4)[0].end), (10, 21));
    }

    #[test]
    fn long_columns_take_parts_of_rows_and_too_long_ones_none() {
        // 341 · 5 · 16 bytes: 28 columns fit. Twice as long ones: 14.
        let blocks = Blocks::new([341, 341, 171], 5, 16, 8, 1).unwrap();
        assert_eq!((blocks.pieces, blocks.width()), ([341, 7], 25));
        assert_eq!(Blocks::new([683, 683, 342], 5, 16, 8, 1), None);
    }

    #[test]
    fn blocks_cover_every_column_once() {
        for (modes, threads) in [([5, 7, 9], 1), ([85, 85, 43], 2), ([300, 11, 171], 3), ([171, 1, 86], 4)] {
            let blocks = Blocks::new(modes, 4, 16, 8, threads).unwrap();
            let mut seen = vec![0; modes[1] * modes[2]];
            for [rows, columns] in (0..blocks.count()).map(|i| blocks.nth(i)) {
                assert!(rows.len() * columns.len() <= blocks.pitch());
                assert!(rows.len() == 1 || columns.len() == modes[2], "one piece of memory");
                rows.for_each(|r| columns.clone().for_each(|c| seen[r * modes[2] + c] += 1));
            }
            assert!(seen.iter().all(|&n| n == 1), "{modes:?}");
        }
    }
}
