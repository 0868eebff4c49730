//! The one-sweep iteration (methods page §2.0): one exponential per entry serves the row and the column update.
//!
//! Rows are cut into a number of blocks that depends on n alone. A block's partial column sums are made by one thread;
//! partials are added in one binary tree over the blocks (`blocks.rs`): the same bits on any number of ranks and
//! threads, whoever makes which block. Threads, and ranks of one node, take blocks from each other and leave sums where
//! the owners of the columns find them (`board.rs`); ranks of several nodes make the blocks that are theirs (`shares.rs`)
//! and send the roots of complete subtrees.

mod blocks;
mod board;
mod shares;
mod stored;

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use rayon::prelude::*;

use super::distributed::SAFE;
use super::geometry::{Geometry, Scale, Side};
use super::kernels::{Aligned, Rows, Scaled, Scratch, StoredKernel, column_sums};
use super::passes::Precision;
use crate::crew::each_chunk;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::math::elementary::{exp, ln};
use crate::math::reduce::fill;
use crate::team::{Partition, Team};
use blocks::{Blocks, joined};
pub use board::Board;
use board::{load, store};
pub use stored::{Stored, stored_bytes};

/// Rows in flight (4 of f64) must stay in a core's L2 of 1 to 2 MiB, or the second read of a row leaves cache.
const MOST_COLUMNS_F64: usize = 60_000;
const MOST_COLUMNS_F32: usize = 120_000;
/// Scalings of a stored kernel are kept within 2^±40, so that entries lost below 2^−126 (f32) or 2^−1022 are < 2^−40
/// of a sum of up to 2^20 columns.
const STORED_SAFE: Range<f64> = 9.094947017729282e-13..1.099511627776e12;
/// Columns that a thread sums over the posted subtrees at a time.
const COLUMNS_PER_TASK: usize = 512;

/// Columns up to which an iteration sweeps once.
pub fn most_columns(precision: Precision) -> usize {
    match precision {
        Precision::F64 => MOST_COLUMNS_F64,
        Precision::F32 => MOST_COLUMNS_F32,
    }
}

/// Whether an iteration sweeps once, by the size of the problem alone.
pub fn one_sweep(geometry: &dyn Geometry, precision: Precision) -> bool {
    geometry.sweeps() && geometry.m() <= most_columns(precision)
}

/// The rows of the blocks that a rank sweeps, where shares are even.
pub fn owned_rows(n: usize, rank: usize, size: usize) -> Range<usize> {
    let blocks = Blocks::of_rows(n);
    blocks.rows(Partition::new(blocks.count, rank, size).mine())
}

/// Bytes of block partials on one rank: a vector of columns per level of the tree and thread, and the board.
pub fn partial_bytes(n: usize, m: usize, threads: usize, ranks: usize) -> u64 {
    let count = Blocks::of_rows(n).count;
    let depth = count.ilog2() as usize + 2;
    8 * (threads.min(count) * depth * m) as u64 + board::bytes(n, m, threads, ranks)
}

/// Bytes of subtree roots that a rank of several nodes sends in one sweep while shares are even.
pub fn exchanged_bytes(n: usize, m: usize, ranks: usize) -> u64 {
    let blocks = Blocks::of_rows(n);
    let most = Partition::new(blocks.count, 0, ranks).ranges().map(|share| blocks.subtrees(&share).len()).max();
    8 * (most.unwrap_or(0) * m * (ranks - 1) / ranks) as u64
}

/// What an iteration works on.
pub struct Iteration<'p> {
    pub geometry: &'p mut dyn Geometry,
    pub scale: Scale,
    pub a: &'p [f64],
    pub b: &'p [f64],
    pub log_b: &'p [f64],
    pub stored_limit: u64,
    /// Source potential of the last pass: the shift of this one.
    pub last_psi: &'p [f64],
    pub phi: &'p [f64],
    pub rule: &'p (dyn Fn(usize, f64) -> f64 + Sync),
    pub team: &'p dyn Team,
    /// Kept from sweep to sweep.
    pub board: &'p mut Option<Board>,
}

impl Iteration<'_> {
    /// The terms of the columns at a target potential.
    fn column_terms(&self, phi: &[f64]) -> Vec<f64> {
        phi.iter().zip(self.log_b).map(|(p, log_b)| p + log_b).collect()
    }
}

/// One iteration in one sweep; false when a sum left the safe range, so that the caller must use two passes.
pub fn row_then_col(
    mut it: Iteration<'_>,
    stored: &mut Option<Stored>,
    psi: &mut [f64],
    x: &mut [f64],
) -> Result<bool> {
    let (n, m) = (it.geometry.n(), it.geometry.m());
    if stored_bytes(n, m, it.scale.precision) > it.stored_limit {
        return sweep(&mut it, None, psi, x);
    }
    if let Some(held) = stored {
        if sweep(&mut it, Some(held), psi, x)? {
            return Ok(true);
        }
    }
    // Absorb the potentials at hand and try once more. The old kernel's memory goes first; an interrupted try leaves
    // its potentials in place, from which it is made again.
    if let Some(held) = stored {
        held.pieces = Vec::new();
    }
    let mut fresh = Stored::at(it.last_psi.to_vec(), it.phi.to_vec());
    let done = sweep(&mut it, Some(&mut fresh), psi, x)?;
    *stored = done.then_some(fresh);
    Ok(done)
}

fn sweep(it: &mut Iteration<'_>, stored: Option<&mut Stored>, psi: &mut [f64], x: &mut [f64]) -> Result<bool> {
    let (n, m, team) = (it.geometry.n(), it.geometry.m(), it.team);
    // One rank keeps its board, whatever it sweeps.
    let free = team.size() == 1 || (stored.is_none() && it.geometry.holds_all_rows());
    if it.board.as_ref().is_none_or(|board| board.free != free) {
        // Its memory goes first.
        *it.board = None;
        *it.board = Some(Board::new(n, m, free, team));
    }
    let mut held = it.board.take();
    let board = held.as_mut().expect("just made");
    let mut seconds = 0.0;
    // What the column sums are multiplied by, where that is not 1.
    let mut scaling = None;
    let view = board.view();
    let (a, rule, blocks, rows) = (it.a, it.rule, view.blocks(), view.rows());
    match stored {
        None => {
            let closing = Closing { a, rule, shift: it.last_psi, blocks, rows };
            let h = it.column_terms(it.phi);
            it.geometry.blocks(Side::Source, it.scale, team, &mut |block| {
                let entries = Entries::OnTheFly { rows: block.rows, base: block.base, h: &block.rows.scale(&h) };
                let start = Instant::now();
                board.work(|k, columns| leaf(&entries, closing, k, columns));
                seconds = start.elapsed().as_secs_f64();
            });
        }
        Some(stored) => {
            let v = scaling.insert(column_sums(m));
            fill(&mut v.as_mut_slice()[..m], |j| exp(it.phi[j] - stored.phi[j]));
            if v.as_slice()[..m].iter().any(|v| !STORED_SAFE.contains(v)) {
                *it.board = held;
                return Ok(false);
            }
            let owned = board.share(team.rank());
            let first = owned.start;
            stored.build(it, blocks, owned);
            let closing = Closing { a, rule, shift: &stored.psi, blocks, rows };
            let entries = Entries::Stored { pieces: &stored.pieces, first, v };
            board.work(|k, columns| leaf(&entries, closing, k, columns));
        }
    }

    let stop = interrupt::requested();
    let columns = Partition::new(m, team.rank(), team.size());
    let mine = columns.mine();
    let mut close = |sums: &[f64]| {
        fill(&mut x[mine.clone()], |k| {
            let j = mine.start + k;
            let sum = scaling.as_ref().map_or(sums[k], |v| sums[k] * v.as_slice()[j]);
            let ratio = sum / it.b[j];
            if SAFE.contains(&ratio) { it.phi[j] - ln(ratio) } else { f64::NAN }
        });
    };
    if board.is_shared() {
        board.post_time(seconds, stop);
        board.meet(team);
        board.learn();
        board.put_up(team);
    }
    let whole = board.is_shared() || team.size() == 1;
    close(&if whole { sums_on_board(board, mine.clone()) } else { sums_from_messages(board, team, columns) });
    let stop = if board.is_shared() {
        board.view().columns()[mine.clone()].iter().zip(&x[mine]).for_each(|(word, x)| store(word, *x));
        board.meet(team);
        let view = board.view();
        fill(psi, |i| load(&view.rows()[i]));
        fill(x, |j| load(&view.columns()[j]));
        board.stopped()
    } else {
        let rows = |rank| blocks.rows(board.share(rank));
        let made = rows(team.rank());
        let view = board.view();
        fill(&mut psi[made.clone()], |i| load(&view.rows()[made.start + i]));
        let (stop, took) = share_results(team, stop, seconds, [(&rows, psi), (&|rank| columns.of(rank), x)]);
        board.learn_from(&took);
        board.put_up(team);
        stop
    };
    board.turn();
    *it.board = held;
    if stop {
        return Err(Error::Interrupted);
    }
    // NaN marks an unsafe row or column; everyone sees the same gathered vectors.
    Ok(!psi.iter().chain(x.iter()).any(|v| v.is_nan()))
}

/// The sums of this rank's columns over all blocks, from what workers posted.
fn sums_on_board(board: &Board, mine: Range<usize>) -> Vec<f64> {
    let view = board.view();
    let posted = view.posted();
    let mut sums = vec![0.0; mine.len()];
    each_chunk(&mut sums, COLUMNS_PER_TASK, |k, out| {
        let start = mine.start + k * COLUMNS_PER_TASK;
        let whole = posted.joined(start..start + out.len());
        out.copy_from_slice(&whole[0].1);
    });
    sums
}

/// The same, each rank sending the sums of its complete subtrees to the owners of the columns.
fn sums_from_messages(board: &Board, team: &dyn Team, columns: Partition) -> Vec<f64> {
    let width = columns.mine().len();
    let view = board.view();
    let (blocks, posted) = (view.blocks(), view.posted());
    let parts = |columns: Range<usize>| posted.joined(columns).into_iter().flat_map(|(_, sums)| sums).collect();
    let each: Vec<Range<usize>> = columns.ranges().collect();
    let send: Vec<Vec<f64>> = each.into_par_iter().map(parts).collect();
    let subtrees: Vec<_> = (0..team.size()).map(|rank| blocks.subtrees(&board.share(rank))).collect();
    let counts: Vec<usize> = subtrees.iter().map(|nodes| nodes.len() * width).collect();
    let received = team.exchange_counted(&send, &counts);
    if width == 0 {
        return Vec::new();
    }
    let arrived = subtrees
        .into_iter()
        .zip(&received)
        .flat_map(|(nodes, values)| nodes.into_iter().zip(values.chunks(width).map(|sums| sums.iter().copied())));
    joined(arrived).swap_remove(0).1
}

/// Fills in what other ranks made of each vector, in one message; whether any rank was asked to stop, and everyone's
/// `seconds`.
fn share_results(
    team: &dyn Team,
    stop: bool,
    seconds: f64,
    mut vectors: [(&dyn Fn(usize) -> Range<usize>, &mut [f64]); 2],
) -> (bool, Vec<f64>) {
    if team.size() == 1 {
        return (stop, vec![seconds]);
    }
    let mut mine = vec![f64::from(u8::from(stop)), seconds];
    vectors.iter().for_each(|(of, vector)| mine.extend_from_slice(&vector[of(team.rank())]));
    let counts: Vec<usize> =
        (0..team.size()).map(|rank| 2 + vectors.iter().map(|(of, _)| of(rank).len()).sum::<usize>()).collect();
    let all = team.gather_counted(&mine, &counts);
    let (mut rest, mut stop, mut took) = (&all[..], false, Vec::with_capacity(team.size()));
    for rank in 0..team.size() {
        stop |= rest[0] != 0.0;
        took.push(rest[1]);
        rest = &rest[2..];
        for (of, vector) in &mut vectors {
            let (head, tail) = rest.split_at(of(rank).len());
            vector[of(rank)].copy_from_slice(head);
            rest = tail;
        }
    }
    (stop, took)
}

/// The rows of a sweep: exponentials made on the fly, or read from a stored kernel.
enum Entries<'s> {
    OnTheFly { rows: &'s dyn Rows, base: usize, h: &'s Scaled },
    Stored { pieces: &'s [StoredKernel], first: usize, v: &'s Aligned<f64> },
}

/// What closes a row: its new potential and the weight of its entries in the column sums.
#[derive(Clone, Copy)]
struct Closing<'c> {
    a: &'c [f64],
    rule: &'c (dyn Fn(usize, f64) -> f64 + Sync),
    shift: &'c [f64],
    blocks: Blocks,
    /// Takes the new potentials of all rows.
    rows: &'c [AtomicU64],
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
}

/// Adds the sums of block `k` to `columns`.
fn leaf(entries: &Entries<'_>, closing: Closing<'_>, k: usize, columns: &mut Aligned<f64>) {
    if interrupt::requested() {
        return;
    }
    let rows = closing.blocks.rows(k..k + 1);
    let shift = &closing.shift[rows.clone()];
    let mut close = |i: usize, sum: f64| {
        let row = rows.start + i;
        if !SAFE.contains(&sum) {
            store(&closing.rows[row], f64::NAN);
            return 0.0;
        }
        let psi = (closing.rule)(row, shift[i] - ln(sum));
        store(&closing.rows[row], psi);
        closing.a[row] * exp(psi - shift[i])
    };
    match *entries {
        Entries::OnTheFly { rows: kernel, base, h } => SCRATCH.with_borrow_mut(|scratch| {
            kernel.sweep(rows.start - base..rows.end - base, h, shift, &mut close, columns, scratch);
        }),
        Entries::Stored { pieces, first, v } => {
            let piece = &pieces[k - first];
            piece.sweep(0..piece.rows(), v, &mut close, columns);
        }
    }
}
