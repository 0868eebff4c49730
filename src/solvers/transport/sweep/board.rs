//! Where the workers of a sweep take blocks from each other, and leave what they made of them.
//!
//! A worker is a thread of one rank. The workers that meet on a board are those of one rank or, where all ranks run on
//! one node and hold all rows, those of all ranks, on memory that the ranks share. Everything on it is an atomic word;
//! ranks [meet](Team::meet) between what is written in one phase of a sweep and read in another:
//!
//! 1. workers take blocks and post subtrees, rows and how long they took; ranks meet;
//! 2. ranks read those, put up the blocks of the next sweep and post their columns; ranks meet;
//! 3. ranks read rows and columns. Rows of the next sweep may be posted meanwhile: they have two places in turn.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::blocks::{Blocks, Forest, joined};
use super::shares::Shares;
use crate::crew::{Left, each, packed, unpacked};
use crate::solvers::transport::kernels::{Aligned, column_sums};
use crate::team::{Group, Partition, SharedMemory, Team};

/// Words of a cache line: what different workers write often is kept that far apart.
const LINE: usize = 8;
/// On a worker's line: the blocks that are still to be taken, how many it made, and how many subtrees it posted.
const LEFT: usize = 0;
const MADE: usize = 1;
const POSTED: usize = 2;
/// On the line of a rank: whether it was asked to stop, and its seconds.
const STOP: usize = 0;
const SECONDS: usize = 1;
/// Subtrees that a worker has room for beside those of its own share: what it takes from others makes some more.
const MORE_SUBTREES: usize = 12;
/// Subtrees that one of several workers of a rank posts as a rule.
const AS_A_RULE: usize = 6;

/// Complete subtrees that `len` consecutive blocks make at most.
fn most_subtrees(len: usize) -> usize {
    2 * (len.ilog2() as usize + 1)
}

/// What a board has room for, the same on all ranks.
#[derive(Debug, Clone, Copy)]
struct Room {
    blocks: Blocks,
    n: usize,
    m: usize,
    /// Of each rank.
    workers: usize,
    /// Subtrees of each worker.
    subtrees: usize,
}

impl Room {
    fn new(n: usize, m: usize, threads: usize) -> Room {
        let blocks = Blocks::of_rows(n);
        let subtrees = most_subtrees(blocks.count) + MORE_SUBTREES;
        Room { blocks, n, m, workers: threads.min(blocks.count), subtrees }
    }

    fn nodes(&self) -> usize {
        LINE * (1 + self.workers)
    }

    fn sums(&self) -> usize {
        (self.nodes() + self.workers * self.subtrees).next_multiple_of(LINE)
    }

    fn results(&self) -> usize {
        self.sums() + self.workers * self.subtrees * self.m
    }

    /// Words of the part of `rank` where ranks share a board; rank 0 has room for the results of all.
    fn shared_words(&self, rank: usize) -> usize {
        self.results() + if rank == 0 { 2 * self.n + self.m } else { 0 }
    }

    /// Words of the board of one rank alone.
    fn words(&self) -> usize {
        self.results() + self.n
    }
}

/// Bytes of a rank's board. Memory that is not shared is taken from the system when it is first written to, so there the
/// subtrees count that workers post as a rule.
pub fn bytes(n: usize, m: usize, threads: usize, ranks: usize) -> u64 {
    let room = Room::new(n, m, threads);
    let posted = if room.workers == 1 { 1 } else { AS_A_RULE * room.workers };
    let words = if ranks == 1 { room.sums() + posted * m + n } else { room.shared_words(0) };
    8 * words as u64
}

/// See the top of this file.
pub struct Board {
    room: Room,
    memory: SharedMemory,
    /// All ranks that meet on it; only this one where it is not shared.
    ranks: Vec<usize>,
    rank: usize,
    shares: Shares,
    /// Whether ranks may make blocks that an even cut gives to others.
    pub free: bool,
    sweeps: usize,
    /// By worker, vectors to be used again.
    spare: Vec<Mutex<Vec<Aligned<f64>>>>,
}

impl Board {
    /// A board for `n` rows and `m` columns with the first blocks put up. Collective.
    pub fn new(n: usize, m: usize, free: bool, team: &dyn Team) -> Board {
        let threads = team.max(rayon::current_num_threads() as f64) as usize;
        let room = Room::new(n, m, threads);
        let shared = if free && team.size() > 1 { team.share_memory(8 * room.shared_words(team.rank())) } else { None };
        let ranks = if shared.is_some() { (0..team.size()).collect() } else { vec![0] };
        let rank = if shared.is_some() { team.rank() } else { 0 };
        let memory = shared.unwrap_or_else(|| SharedMemory::alone(8 * room.words()));
        let shares = Shares::even(room.blocks.count, team.size());
        let spare = (0..room.workers).map(|_| Mutex::default()).collect();
        let mut board = Board { room, memory, ranks, rank, shares, free, sweeps: 0, spare };
        board.put_up(team);
        board.meet(team);
        board
    }

    /// The blocks that are given to a rank of the team.
    pub fn share(&self, rank: usize) -> Range<usize> {
        self.shares.of(rank)
    }

    /// Whether ranks find each other's results on it.
    pub fn is_shared(&self) -> bool {
        self.ranks.len() > 1
    }

    pub fn view(&self) -> View<'_> {
        let parts = self.ranks.iter().map(|&rank| self.memory.words(rank)).collect();
        View { room: self.room, parts, turn: if self.is_shared() { self.sweeps % 2 } else { 0 } }
    }

    /// Has this rank's workers make blocks until none is left: `leaf` adds the sums of a block to zeros.
    pub fn work(&self, leaf: impl Fn(usize, &mut Aligned<f64>) + Sync) {
        let (view, spare) = (self.view(), &self.spare);
        let (workers, first) = (self.room.workers, self.rank * self.room.workers);
        let work = |worker: usize| {
            let spare = &mut *spare[worker].lock().expect("no worker panics with it");
            view.work(first + worker, spare, &leaf);
        };
        each(workers, work);
    }

    /// Returns when all ranks of the board are there.
    pub fn meet(&mut self, team: &dyn Team) {
        if self.is_shared() {
            team.meet(&mut self.memory, Group::All, &self.ranks);
        }
    }

    /// Phase 1, where ranks meet on the board: this rank's seconds and whether it was asked to stop.
    pub fn post_time(&self, seconds: f64, stop: bool) {
        let line = self.memory.words(self.rank);
        line[STOP].store(stop.into(), Ordering::Relaxed);
        line[SECONDS].store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// Phase 2: takes the cut of the next sweep from the seconds and numbers of blocks of the ranks of this board.
    pub fn learn(&mut self) {
        let view = self.view();
        let workers = |rank: usize| rank * self.room.workers..(rank + 1) * self.room.workers;
        let made = |rank: usize| workers(rank).map(|w| view.line(w)[MADE].load(Ordering::Relaxed)).sum::<u64>();
        let (seconds, made): (Vec<f64>, Vec<u64>) =
            self.ranks.iter().map(|&rank| (load(&view.parts[rank][SECONDS]), made(rank))).unzip();
        self.shares.learn(&seconds, &made);
    }

    /// The same where ranks send each other their seconds.
    pub fn learn_from(&mut self, seconds: &[f64]) {
        if !self.free {
            return;
        }
        let made: Vec<u64> = (0..seconds.len()).map(|rank| self.shares.of(rank).len() as u64).collect();
        self.shares.learn(seconds, &made);
    }

    /// Phase 2: puts up this rank's blocks for the next sweep.
    pub fn put_up(&mut self, team: &dyn Team) {
        let mine = self.shares.of(team.rank());
        let view = self.view();
        for w in 0..self.room.workers {
            let share = Partition::new(mine.len(), w, self.room.workers).mine();
            let left = mine.start + share.start..mine.start + share.end;
            view.left(self.rank * self.room.workers + w).put(left);
        }
    }

    /// Whether a rank of this board was asked to stop in this sweep.
    pub fn stopped(&self) -> bool {
        self.view().parts.iter().any(|part| part[STOP].load(Ordering::Relaxed) != 0)
    }

    /// Begins the next sweep.
    pub fn turn(&mut self) {
        self.sweeps += 1;
    }
}

/// What all workers see of a board.
pub struct View<'b> {
    room: Room,
    parts: Vec<&'b [AtomicU64]>,
    turn: usize,
}

impl View<'_> {
    pub fn blocks(&self) -> Blocks {
        self.room.blocks
    }

    /// Where rows are posted.
    pub fn rows(&self) -> &[AtomicU64] {
        let start = self.room.results() + self.turn * self.room.n;
        &self.parts[0][start..start + self.room.n]
    }

    /// Where columns are posted, if it is shared.
    pub fn columns(&self) -> &[AtomicU64] {
        let start = self.room.results() + 2 * self.room.n;
        &self.parts[0][start..start + self.room.m]
    }

    fn line(&self, worker: usize) -> &[AtomicU64] {
        let start = LINE * (1 + worker % self.room.workers);
        &self.parts[worker / self.room.workers][start..start + LINE]
    }

    /// The blocks that a worker has left.
    fn left(&self, worker: usize) -> &Left {
        Left::at(&self.line(worker)[LEFT])
    }

    /// The node of subtree `at` of a worker, and its sums.
    fn subtree(&self, worker: usize, at: usize) -> (&AtomicU64, &[AtomicU64]) {
        let part = &self.parts[worker / self.room.workers];
        let number = worker % self.room.workers * self.room.subtrees + at;
        let sums = self.room.sums() + number * self.room.m;
        (&part[self.room.nodes() + number], &part[sums..sums + self.room.m])
    }

    /// See [`Board::work`].
    fn work(&self, me: usize, spare: &mut Vec<Aligned<f64>>, leaf: &impl Fn(usize, &mut Aligned<f64>)) {
        let (mut made, mut posted) = (0, 0);
        loop {
            let mut forest = Forest::new();
            while let Some(k) = self.left(me).take_first() {
                let mut sums = spare.pop().unwrap_or_else(|| column_sums(self.room.m));
                sums.as_mut_slice().fill(0.0);
                leaf(k, &mut sums);
                made += 1;
                forest.push(k..k + 1, sums, spare);
                let whole = forest.take_whole();
                self.post(me, &mut posted, whole, spare);
            }
            self.post(me, &mut posted, forest.end(), spare);
            if !self.take_from_another(me, self.room.subtrees - posted) {
                break;
            }
        }
        self.line(me)[MADE].store(made, Ordering::Relaxed);
        self.line(me)[POSTED].store(posted as u64, Ordering::Relaxed);
    }

    fn post(
        &self,
        me: usize,
        posted: &mut usize,
        trees: impl IntoIterator<Item = (Range<usize>, Aligned<f64>)>,
        spare: &mut Vec<Aligned<f64>>,
    ) {
        for (node, sums) in trees {
            let (word, place) = self.subtree(me, *posted);
            word.store(packed(&node), Ordering::Relaxed);
            place.iter().zip(sums.as_slice()).for_each(|(place, sum)| store(place, *sum));
            spare.push(sums);
            *posted += 1;
        }
    }

    /// Takes over the second half of what the worker with most blocks has left, if that makes no more subtrees than
    /// there is room for.
    fn take_from_another(&self, me: usize, room: usize) -> bool {
        loop {
            // Of equals the next one after this worker, so that not all go for the same.
            let all = self.parts.len() * self.room.workers;
            let others = (1..all).map(|k| (me + k) % all);
            let Some(most) = others.rev().max_by_key(|&worker| self.left(worker).get().len()) else { return false };
            let theirs = self.left(most).get();
            if theirs.is_empty() {
                return false;
            }
            let middle = theirs.start + theirs.len() / 2;
            if most_subtrees(theirs.end - middle) > room {
                return false;
            }
            // No range comes back within a sweep: each block is taken once.
            if self.left(most).replace(&theirs, &(theirs.start..middle)) {
                self.left(me).put(middle..theirs.end);
                return true;
            }
        }
    }

    /// Phase 2: the subtrees that workers posted, left to right.
    pub fn posted(&self) -> Posted<'_> {
        let mut found = Vec::new();
        for worker in 0..self.parts.len() * self.room.workers {
            let count = self.line(worker)[POSTED].load(Ordering::Relaxed) as usize;
            found.extend((0..count).map(|at| {
                let (node, sums) = self.subtree(worker, at);
                (unpacked(node.load(Ordering::Relaxed)), sums)
            }));
        }
        found.sort_by_key(|(node, _)| node.start);
        Posted(found)
    }
}

/// Subtrees and their sums.
pub struct Posted<'b>(Vec<(Range<usize>, &'b [AtomicU64])>);

impl Posted<'_> {
    /// The sums of some columns over the complete subtrees that the posted ones make up.
    pub fn joined(&self, columns: Range<usize>) -> Vec<(Range<usize>, Vec<f64>)> {
        joined(self.0.iter().map(|(node, sums)| (node.clone(), sums[columns.clone()].iter().map(load))))
    }
}

pub fn load(word: &AtomicU64) -> f64 {
    f64::from_bits(word.load(Ordering::Relaxed))
}

pub fn store(word: &AtomicU64, value: f64) {
    word.store(value.to_bits(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team::threads;

    const ROWS: usize = 64 * 64;
    const COLUMNS: usize = 5;

    fn value(k: usize, j: usize, sweep: usize) -> f64 {
        ((1 + sweep + k * COLUMNS + j) as f64).sin()
    }

    /// The root of the tree over all blocks, by definition.
    fn root(node: Range<usize>, j: usize, sweep: usize) -> f64 {
        if node.len() == 1 {
            return value(node.start, j, sweep);
        }
        let middle = (node.start + node.end) / 2;
        root(node.start..middle, j, sweep) + root(middle..node.end, j, sweep)
    }

    /// Seven sweeps in which rank 0 sleeps in each block; the number of blocks that each rank made in the first.
    fn sweeps(size: usize, asleep: std::time::Duration) -> Vec<u64> {
        let blocks = Blocks::of_rows(ROWS);
        let made = threads::run(size, |team| {
            // Ranks whose threads are those of one pool would wait for the sleeper.
            let own_pool = || rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
            let _pool = (!asleep.is_zero()).then(own_pool);
            let mut board = Board::new(ROWS, COLUMNS, true, team);
            assert_eq!(board.is_shared(), size > 1);
            let sleepy = team.rank() == 0;
            let mut made = Vec::new();
            for sweep in 0..7 {
                let view = board.view();
                let count = AtomicU64::new(0);
                let start = std::time::Instant::now();
                board.work(|k, sums| {
                    count.fetch_add(1, Ordering::Relaxed);
                    blocks.rows(k..k + 1).for_each(|i| store(&view.rows()[i], (i * (sweep + 1)) as f64));
                    sums.as_mut_slice()[..COLUMNS]
                        .iter_mut()
                        .enumerate()
                        .for_each(|(j, sum)| *sum += value(k, j, sweep));
                    if sleepy {
                        std::thread::sleep(asleep);
                    }
                });
                made.push(count.into_inner());
                board.post_time(start.elapsed().as_secs_f64(), false);
                board.meet(team);
                board.learn();
                board.put_up(team);
                let view = board.view();
                let found = view.posted().joined(0..COLUMNS);
                let truth: Vec<f64> = (0..COLUMNS).map(|j| root(0..blocks.count, j, sweep)).collect();
                assert_eq!(found, [(0..blocks.count, truth)], "{size} ranks, sweep {sweep}");
                board.meet(team);
                let rows: Vec<f64> = board.view().rows().iter().map(load).collect();
                assert_eq!(rows, (0..ROWS).map(|i| (i * (sweep + 1)) as f64).collect::<Vec<_>>());
                board.turn();
            }
            made
        });
        for sweep in 0..7 {
            assert_eq!(made.iter().map(|by_sweep| by_sweep[sweep]).sum::<u64>(), blocks.count as u64);
        }
        made.iter().map(|by_sweep| by_sweep[0]).collect()
    }

    #[test]
    fn ranks_1_to_7_make_every_block_once_and_leave_the_sums_of_the_tree() {
        for size in 1..8 {
            sweeps(size, std::time::Duration::ZERO);
        }
    }

    #[test]
    fn others_make_the_blocks_of_a_rank_that_sleeps_through_each_of_its_own() {
        let first = sweeps(3, std::time::Duration::from_millis(3));
        // An even share is 21 of 64 blocks.
        assert!(first[0] < 15, "{first:?}");
    }
}
