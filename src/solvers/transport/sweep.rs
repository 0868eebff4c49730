//! The one-sweep iteration (methods page §2.0): one exponential per entry serves the row and the column update.
//!
//! Rows are cut into a number of blocks that depends on n alone. A block's partial column sums are made by one thread;
//! partials are added in one binary tree over the blocks, each rank sending the roots of its complete subtrees to the
//! owners of the columns: the same bits on any number of ranks and threads, whoever makes which block. Where any rank
//! can make any block, the faster ranks make more ([`Shares`]).

use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use rayon::prelude::*;

use super::distributed::{SAFE, StateNames};
use super::geometry::{Geometry, Scale, Side};
use super::kernels::{Aligned, ROW_BLOCK, Rows, Scaled, Scratch, StoredKernel, column_sums};
use super::passes::Precision;
use super::shares::{MOST_SUBTREES, Shares};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::math::elementary::{exp, ln};
use crate::math::reduce::fill;
use crate::state::Walk;
use crate::team::{Partition, Team};

/// Rows in flight (4 of f64) must stay in a core's L2 of 1 to 2 MiB, or the second read of a row leaves cache.
const MOST_COLUMNS_F64: usize = 60_000;
const MOST_COLUMNS_F32: usize = 120_000;
/// Scalings of a stored kernel are kept within 2^±40, so that entries lost below 2^−126 (f32) or 2^−1022 are < 2^−40
/// of a sum of up to 2^20 columns.
const STORED_SAFE: Range<f64> = 9.094947017729282e-13..1.099511627776e12;

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

/// Number of row blocks: a power of two, 32 to 64 rows each, at most 1024. At the end of a sweep a core waits for about
/// one block, so many cores want many; each costs setting a vector of columns to zero and adding it to another.
fn block_count(n: usize) -> usize {
    (n / 64).next_power_of_two().clamp(1, 1024)
}

/// First row of block `k` of `blocks`; n for k = blocks. In whole groups of [`ROW_BLOCK`]: a lone
/// row costs as much as a group.
fn block_start(n: usize, blocks: usize, k: usize) -> usize {
    if k == blocks { n } else { ROW_BLOCK * Partition::new(n.div_ceil(ROW_BLOCK), k, blocks).mine().start }
}

/// The rows of the blocks that a rank sweeps, where shares are even.
pub fn owned_rows(n: usize, rank: usize, size: usize) -> Range<usize> {
    let blocks = block_count(n);
    rows_of(n, blocks, Partition::new(blocks, rank, size).mine())
}

/// The rows of some blocks.
fn rows_of(n: usize, blocks: usize, some: Range<usize>) -> Range<usize> {
    block_start(n, blocks, some.start)..block_start(n, blocks, some.end)
}

/// Complete subtrees that make up `owned` within the tree over `node`, left to right.
fn roots(owned: &Range<usize>, node: Range<usize>, out: &mut Vec<Range<usize>>) {
    if node.start >= owned.end || node.end <= owned.start {
        return;
    }
    if owned.start <= node.start && node.end <= owned.end {
        out.push(node);
        return;
    }
    let middle = (node.start + node.end) / 2;
    roots(owned, node.start..middle, out);
    roots(owned, middle..node.end, out);
}

/// Bytes of block partials on one rank: a vector of columns per level of the tree and thread, and the roots.
pub fn partial_bytes(n: usize, m: usize, threads: usize, ranks: usize) -> u64 {
    let blocks = block_count(n);
    let depth = blocks.ilog2() as usize + 1;
    let roots = if ranks == 1 { 1 } else { most_roots(blocks, ranks).max(MOST_SUBTREES.min(2 * blocks / ranks)) };
    8 * m as u64 * (threads.min(blocks) * depth + roots) as u64
}

/// Bytes of subtree roots that a rank sends in one sweep while shares are even.
pub fn exchanged_bytes(n: usize, m: usize, ranks: usize) -> u64 {
    8 * (most_roots(block_count(n), ranks) * m * (ranks - 1) / ranks) as u64
}

/// The most complete subtrees that one of `ranks` owns.
fn most_roots(blocks: usize, ranks: usize) -> usize {
    let count = |rank| {
        let mut nodes = Vec::new();
        roots(&Partition::new(blocks, rank, ranks).mine(), 0..blocks, &mut nodes);
        nodes.len()
    };
    (0..ranks).map(count).max().unwrap_or(0)
}

/// A Gibbs kernel exp(psi_i + phi_j − C_ij/ε) b_j stored at absorbed potentials, one piece per owned block.
pub struct Stored {
    psi: Vec<f64>,
    phi: Vec<f64>,
    pieces: Vec<StoredKernel>,
}

impl Stored {
    /// The absorbed potentials alone.
    pub fn without_kernel(&self) -> Stored {
        Stored { psi: self.psi.clone(), phi: self.phi.clone(), pieces: Vec::new() }
    }

    pub fn same_potentials(&self, other: &Stored) -> bool {
        self.psi == other.psi && self.phi == other.phi
    }

    /// The absorbed potentials; the kernel itself is rebuilt from them.
    pub fn state(stored: &mut Option<Stored>, names: &StateNames, walk: &mut dyn Walk) -> Result<()> {
        let mut held = stored.take().unwrap_or(Stored { psi: Vec::new(), phi: Vec::new(), pieces: Vec::new() });
        walk.replicated(&names.absorbed_psi, &mut held.psi)?;
        walk.replicated(&names.absorbed_phi, &mut held.phi)?;
        if !held.psi.is_empty() {
            *stored = Some(held);
        }
        Ok(())
    }
}

/// Bytes of a whole stored kernel.
pub fn stored_bytes(n: usize, m: usize, precision: Precision) -> u64 {
    let word = match precision {
        Precision::F64 => 8,
        Precision::F32 => 4,
    };
    n as u64 * m as u64 * word
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
    pub shares: &'p mut Option<Shares>,
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
    let mut fresh = Stored { psi: it.last_psi.to_vec(), phi: it.phi.to_vec(), pieces: Vec::new() };
    let done = sweep(&mut it, Some(&mut fresh), psi, x)?;
    *stored = done.then_some(fresh);
    Ok(done)
}

/// The rows of a sweep: exponentials made on the fly, or read from a stored kernel.
enum Entries<'s> {
    OnTheFly { rows: &'s dyn Rows, base: usize, h: &'s Scaled },
    Stored { pieces: &'s [StoredKernel], first: usize, v: &'s Aligned<f64> },
}

fn sweep(it: &mut Iteration<'_>, stored: Option<&mut Stored>, psi: &mut [f64], x: &mut [f64]) -> Result<bool> {
    let (n, m, team) = (it.geometry.n(), it.geometry.m(), it.team);
    let blocks = block_count(n);
    let mut shares = it
        .shares
        .take_if(|_| stored.is_none() && it.geometry.holds_all_rows())
        .unwrap_or_else(|| Shares::even(blocks, team.size()));
    let owned = shares.of(team.rank());
    let (a, rule, last_psi, phi, scale) = (it.a, it.rule, it.last_psi, it.phi, it.scale);

    let spare = Mutex::new(Vec::new());
    let my_psi = &mut psi[rows_of(n, blocks, owned.clone())];
    let mut seconds = 0.0;
    let mut partials = Vec::new();
    // What the column sums are multiplied by, where that is not 1.
    let mut scaling = None;
    let shift: &[f64];
    match stored {
        None => {
            shift = last_psi;
            let h: Vec<f64> = phi.iter().zip(it.log_b).map(|(p, log_b)| p + log_b).collect();
            it.geometry.blocks(Side::Source, scale, team, &mut |block| {
                let entries = Entries::OnTheFly { rows: block.rows, base: block.base, h: &block.rows.scale(&h) };
                let start = Instant::now();
                partials = tree(&entries, Closing { a, rule, shift, n, m, blocks, spare: &spare }, &owned, my_psi);
                seconds = start.elapsed().as_secs_f64();
            });
        }
        Some(stored) => {
            if stored.pieces.is_empty() {
                build(
                    it.geometry,
                    scale,
                    it.log_b,
                    &mut stored.psi,
                    &stored.phi,
                    n,
                    blocks,
                    &owned,
                    &mut stored.pieces,
                    team,
                );
            }
            shift = &stored.psi;
            let v = scaling.insert(column_sums(m));
            fill(&mut v.as_mut_slice()[..m], |j| exp(phi[j] - stored.phi[j]));
            if v.as_slice()[..m].iter().any(|v| !STORED_SAFE.contains(v)) {
                return Ok(false);
            }
            let entries = Entries::Stored { pieces: &stored.pieces, first: owned.start, v };
            partials = tree(&entries, Closing { a, rule, shift, n, m, blocks, spare: &spare }, &owned, my_psi);
        }
    }

    // Each owner of columns receives the subtree roots of all ranks and finishes the tree.
    let columns = Partition::new(m, team.rank(), team.size());
    let mine = columns.mine();
    let received;
    let sums = if team.size() == 1 {
        &partials.last().expect("one rank owns the whole tree").as_slice()[..m]
    } else {
        received = finish_tree(team, &shares, columns, &partials);
        &received[..]
    };
    fill(&mut x[mine.clone()], |k| {
        let j = mine.start + k;
        let sum = scaling.as_ref().map_or(sums[k], |v| sums[k] * v.as_slice()[j]);
        let ratio = sum / it.b[j];
        if SAFE.contains(&ratio) { phi[j] - ln(ratio) } else { f64::NAN }
    });
    let rows = |rank| rows_of(n, blocks, shares.of(rank));
    let (stop, took) = share_results(team, seconds, [(&rows, psi), (&|rank| columns.of(rank), x)]);
    if stop {
        return Err(Error::Interrupted);
    }
    if scaling.is_none() && it.geometry.holds_all_rows() {
        shares.learn(&took);
        *it.shares = Some(shares);
    }
    // NaN marks an unsafe row or column; everyone sees the same gathered vectors.
    Ok(!psi.iter().chain(x.iter()).any(|v| v.is_nan()))
}

/// The sums over this rank's columns, from the roots that each rank made of all columns.
fn finish_tree(team: &dyn Team, shares: &Shares, columns: Partition, mine: &[Aligned<f64>]) -> Vec<f64> {
    let width = columns.mine().len();
    let of_rank = |rank: usize| {
        let mut nodes = Vec::new();
        roots(&shares.of(rank), 0..shares.blocks(), &mut nodes);
        nodes
    };
    let part =
        |columns: Range<usize>| -> Vec<&[f64]> { mine.iter().map(|root| &root.as_slice()[columns.clone()]).collect() };
    let send: Vec<Vec<f64>> = columns.ranges().map(|columns| part(columns).concat()).collect();
    let counts: Vec<usize> = (0..team.size()).map(|rank| of_rank(rank).len() * width).collect();
    let received = team.exchange_counted(&send, &counts);
    if width == 0 {
        return Vec::new();
    }
    let mut held = received
        .iter()
        .enumerate()
        .flat_map(|(rank, values)| of_rank(rank).into_iter().zip(values.chunks(width).map(<[f64]>::to_vec)));
    merge(0..shares.blocks(), &mut held)
}

/// Fills in what other ranks made of each vector, in one message; whether any rank was asked to stop, and everyone's
/// `seconds`.
fn share_results(
    team: &dyn Team,
    seconds: f64,
    mut vectors: [(&dyn Fn(usize) -> Range<usize>, &mut [f64]); 2],
) -> (bool, Vec<f64>) {
    let stop = interrupt::requested();
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

/// Fills `pieces` with the kernel at (psi, phi), f64 exponentials rounded to the precision of the phase.
#[allow(clippy::too_many_arguments)]
fn build(
    geometry: &mut dyn Geometry,
    scale: Scale,
    log_b: &[f64],
    psi: &[f64],
    phi: &[f64],
    n: usize,
    blocks: usize,
    owned: &Range<usize>,
    pieces: &mut Vec<StoredKernel>,
    team: &dyn Team,
) {
    let h: Vec<f64> = phi.iter().zip(log_b).map(|(p, log_b)| p + log_b).collect();
    let level = geometry.level();
    let exact = Scale { precision: Precision::F64, ..scale };
    geometry.blocks(Side::Source, exact, team, &mut |block| {
        *pieces = owned
            .clone()
            .into_par_iter()
            .map(|k| {
                let rows = block_start(n, blocks, k)..block_start(n, blocks, k + 1);
                StoredKernel::build(block.rows, block.local(&rows), &h, &psi[rows], scale.precision, level)
            })
            .collect();
    });
}

/// What closes a row: its new potential and the weight of its entries in the column sums.
#[derive(Clone, Copy)]
struct Closing<'c> {
    a: &'c [f64],
    rule: &'c (dyn Fn(usize, f64) -> f64 + Sync),
    shift: &'c [f64],
    n: usize,
    m: usize,
    blocks: usize,
    /// Partials that were added to others, to be used again.
    spare: &'c Mutex<Vec<Aligned<f64>>>,
}

impl Closing<'_> {
    /// A partial of zeros.
    fn partial(&self) -> Aligned<f64> {
        let spare = self.spare.lock().expect("no thread panics with it").pop();
        match spare {
            Some(mut columns) => {
                columns.as_mut_slice().fill(0.0);
                columns
            }
            None => column_sums(self.m),
        }
    }
}

/// The complete subtree roots of the owned blocks, in order; `psi` takes the owned rows' new potentials.
fn tree(entries: &Entries<'_>, closing: Closing<'_>, owned: &Range<usize>, psi: &mut [f64]) -> Vec<Aligned<f64>> {
    let mut nodes = Vec::new();
    roots(owned, 0..closing.blocks, &mut nodes);
    let mut rest = psi;
    let mut out = Vec::new();
    for node in nodes {
        let rows =
            block_start(closing.n, closing.blocks, node.end) - block_start(closing.n, closing.blocks, node.start);
        let (head, tail) = rest.split_at_mut(rows);
        out.push(subtree(entries, closing, node, head));
        rest = tail;
    }
    out
}

/// Column sums of the blocks of `node`, left and right halves on any two threads.
fn subtree(entries: &Entries<'_>, closing: Closing<'_>, node: Range<usize>, psi: &mut [f64]) -> Aligned<f64> {
    if node.len() == 1 {
        return leaf(entries, closing, node.start, psi);
    }
    let middle = (node.start + node.end) / 2;
    let split = block_start(closing.n, closing.blocks, middle) - block_start(closing.n, closing.blocks, node.start);
    let (left_psi, right_psi) = psi.split_at_mut(split);
    let (mut left, right) = rayon::join(
        || subtree(entries, closing, node.start..middle, left_psi),
        || subtree(entries, closing, middle..node.end, right_psi),
    );
    add(left.as_mut_slice(), right.as_slice());
    closing.spare.lock().expect("no thread panics with it").push(right);
    left
}

fn add(left: &mut [f64], right: &[f64]) {
    left.iter_mut().zip(right).for_each(|(l, r)| *l += r);
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
}

fn leaf(entries: &Entries<'_>, closing: Closing<'_>, k: usize, psi: &mut [f64]) -> Aligned<f64> {
    let mut columns = closing.partial();
    if interrupt::requested() {
        return columns;
    }
    let rows = block_start(closing.n, closing.blocks, k)..block_start(closing.n, closing.blocks, k + 1);
    let shift = &closing.shift[rows.clone()];
    let mut close = |i: usize, sum: f64| {
        let row = rows.start + i;
        if !SAFE.contains(&sum) {
            psi[i] = f64::NAN;
            return 0.0;
        }
        psi[i] = (closing.rule)(row, shift[i] - ln(sum));
        closing.a[row] * exp(psi[i] - shift[i])
    };
    match *entries {
        Entries::OnTheFly { rows: kernel, base, h } => SCRATCH.with_borrow_mut(|scratch| {
            kernel.sweep(rows.start - base..rows.end - base, h, shift, &mut close, &mut columns, scratch);
        }),
        Entries::Stored { pieces, first, v } => {
            let piece = &pieces[k - first];
            piece.sweep(0..piece.rows(), v, &mut close, &mut columns);
        }
    }
    columns
}

/// Finishes the tree over `node` from complete subtrees that arrive left to right.
fn merge(node: Range<usize>, held: &mut dyn Iterator<Item = (Range<usize>, Vec<f64>)>) -> Vec<f64> {
    fn go(
        node: Range<usize>,
        next: &mut Option<(Range<usize>, Vec<f64>)>,
        held: &mut dyn Iterator<Item = (Range<usize>, Vec<f64>)>,
    ) -> Vec<f64> {
        if next.as_ref().is_some_and(|(range, _)| *range == node) {
            let found = next.take().expect("just seen").1;
            *next = held.next();
            return found;
        }
        let middle = (node.start + node.end) / 2;
        let mut left = go(node.start..middle, next, held);
        let right = go(middle..node.end, next, held);
        add(&mut left, &right);
        left
    }
    let mut next = held.next();
    go(node, &mut next, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_any_rank_count_merge_to_the_same_bits_as_one_rank() {
        let blocks = 64;
        let leaves: Vec<Vec<f64>> = (0..blocks).map(|k| vec![1.0 / (k as f64 + 3.0), (k as f64).sin()]).collect();
        fn whole(node: Range<usize>, leaves: &[Vec<f64>]) -> Vec<f64> {
            if node.len() == 1 {
                return leaves[node.start].clone();
            }
            let middle = (node.start + node.end) / 2;
            let mut left = whole(node.start..middle, leaves);
            add(&mut left, &whole(middle..node.end, leaves));
            left
        }
        let truth = whole(0..blocks, &leaves);
        for ranks in 1..=100 {
            let mut uneven = Shares::even(blocks, ranks);
            uneven.learn(&(0..ranks).map(|r| 1.0 + (r * r % 7) as f64).collect::<Vec<_>>());
            for shares in [Shares::even(blocks, ranks), uneven] {
                let mut held = Vec::new();
                for rank in 0..ranks {
                    let mut nodes = Vec::new();
                    roots(&shares.of(rank), 0..blocks, &mut nodes);
                    held.extend(nodes.into_iter().map(|node| (node.clone(), whole(node, &leaves))));
                }
                assert_eq!(merge(0..blocks, &mut held.into_iter()), truth, "{ranks} ranks");
            }
        }
    }
}
