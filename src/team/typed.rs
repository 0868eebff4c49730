//! What solvers call: typed, collective methods made of the few that move bytes.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::{Incoming, Outgoing, Partition, Pending, Team, Transfer, exchange_lengths};
use crate::error::{Error, Result};
use crate::math::sum::{Tree, complete_subtrees, subtree_roots, subtree_roots_parallel};

/// Rows and columns packed together by `transpose`, so that reads and writes stay in cache.
const TRANSPOSE_TILE: usize = 32;

impl dyn Team + '_ {
    /// The part of 0..n that each rank holds.
    pub fn split(&self, n: usize) -> Partition {
        Partition::new(n, self.rank(), self.size())
    }

    /// Returns when every rank has called it.
    pub fn barrier(&self) {
        self.gather_bytes_into(&[0], &vec![1; self.size()], &mut vec![0; self.size()]);
    }

    /// Everyone's values, concatenated in rank order, on every rank.
    pub fn gather<T: Pod>(&self, mine: &[T]) -> Vec<T> {
        let counts = self.counts(mine.len());
        self.gather_counted(mine, &counts)
    }

    /// The whole of a distributed array on every rank: `mine` holds this rank's rows, `all` gets `part.n` of them.
    /// A row is `all.len() / part.n` values. Nothing but `all` is written and nothing is allocated per value.
    pub fn gather_into<T: Pod>(&self, part: Partition, mine: &[T], all: &mut [T]) {
        self.check(part);
        let width = all.len().checked_div(part.n).unwrap_or(0);
        assert_eq!(all.len(), part.n * width, "whole rows");
        assert_eq!(mine.len(), part.mine().len() * width, "the rows of this rank");
        let counts: Vec<usize> = part.ranges().map(|rows| rows.len() * width * size_of::<T>()).collect();
        self.gather_bytes_into(bytemuck::cast_slice(mine), &counts, bytemuck::cast_slice_mut(all));
    }

    /// As `gather_into` where this rank's rows lie in `all` already; fills in the others'.
    pub fn gather_in_place<T: Pod>(&self, part: Partition, all: &mut [T]) {
        if self.size() > 1 && part.n > 0 {
            let width = all.len() / part.n;
            let mine = all[part.mine().start * width..part.mine().end * width].to_vec();
            self.gather_into(part, &mine, all);
        }
    }

    /// `send[q]` goes to rank q; returns what each rank sent here, by rank.
    pub fn exchange<T: Pod>(&self, send: &[Vec<T>]) -> Vec<Vec<T>> {
        let slices: Vec<&[T]> = send.iter().map(Vec::as_slice).collect();
        self.exchange_counted(send, &exchange_lengths(self, &slices))
    }

    /// `exchange` where this rank knows that rank q sends it `counts[q]` values: one message fewer.
    pub fn exchange_counted<T: Pod>(&self, send: &[Vec<T>], counts: &[usize]) -> Vec<Vec<T>> {
        assert_eq!((send.len(), counts.len()), (self.size(), self.size()), "one message for each rank");
        let mut received: Vec<Vec<T>> = counts.iter().map(|&n| vec![T::zeroed(); n]).collect();
        let send: Vec<&[u8]> = send.iter().map(|s| bytemuck::cast_slice(s)).collect();
        let mut receive: Vec<&mut [u8]> = received.iter_mut().map(|r| bytemuck::cast_slice_mut(r)).collect();
        self.exchange_bytes_into(&send, &mut receive);
        received
    }

    /// `exchange` that work can overlap.
    pub fn start_exchange<T: Pod>(&self, send: &[Vec<T>]) -> Exchange<'_, T> {
        let send = send.iter().map(|s| bytemuck::cast_slice(s).to_vec()).collect();
        Exchange { pending: self.start_exchange_bytes(send), values: PhantomData }
    }

    /// Starts sending parts of `send` to other ranks and filling parts of `receive` from others: (rank, range), those of
    /// `receive` in ascending order. Both ends know the lengths; empty parts are not sent. Nothing is allocated per
    /// value; [`Flight::wait`] gives both vectors back. Collective, though a rank may have no part in it.
    pub fn start_transfer<'t, T: Pod>(
        &'t self,
        send: Vec<T>,
        to: &[(usize, std::ops::Range<usize>)],
        mut receive: Vec<T>,
        from: &[(usize, std::ops::Range<usize>)],
    ) -> Flight<'t, T> {
        let others =
            |parts: &[(usize, std::ops::Range<usize>)]| parts.iter().all(|p| p.0 < self.size() && p.0 != self.rank());
        assert!(others(to) && others(from), "messages go to other ranks");
        assert!(from.windows(2).all(|p| p[0].1.end <= p[1].1.start), "parts received do not overlap");
        let size = size_of::<T>();
        let outgoing: Vec<Outgoing> = to
            .iter()
            .filter(|(_, part)| !part.is_empty())
            .map(|(to, part)| Outgoing { to: *to, from: send[part.clone()].as_ptr().cast(), bytes: part.len() * size })
            .collect();
        let end = from.last().map_or(0, |p| p.1.end);
        assert!(end <= receive.len(), "room for {end} values in {}", receive.len());
        let base = receive.as_mut_ptr();
        let incoming: Vec<Incoming> = from
            .iter()
            .filter(|(_, part)| !part.is_empty())
            // SAFETY: within the vector, as asserted.
            .map(|(from, part)| Incoming {
                from: *from,
                to: unsafe { base.add(part.start) }.cast(),
                bytes: part.len() * size,
            })
            .collect();
        // SAFETY: the vectors move into the flight, which leaves their contents in place, gives no access to them and
        // waits before it lets go of them. Any bytes are values of T.
        let transfer = unsafe { self.start_transfer_bytes(&outgoing, &incoming) };
        Flight { transfer: Some(transfer), send, receive }
    }

    /// `root`'s values on every rank; `values` is read on `root` only.
    pub fn broadcast<T: Pod>(&self, root: usize, values: &[T]) -> Vec<T> {
        self.start_broadcast(root, values).wait()
    }

    /// `broadcast` that work can overlap.
    pub fn start_broadcast<T: Pod>(&self, root: usize, values: &[T]) -> Broadcast<'_, T> {
        assert!(root < self.size(), "rank {root} of {}", self.size());
        let bytes = if self.rank() == root { bytemuck::cast_slice(values).to_vec() } else { Vec::new() };
        Broadcast { pending: self.start_broadcast_bytes(root, bytes), values: PhantomData }
    }

    /// Σ term(i) over the global indices 0..part.n, on every rank; each calls `term` for its own. The same bits on
    /// any number of ranks, equal to [`tree_sum`](crate::math::sum::tree_sum).
    pub fn sum(&self, part: Partition, term: impl Fn(usize) -> f64) -> f64 {
        self.sum_of_roots(part, subtree_roots(part.mine(), term))
    }

    /// `sum` with the terms shared out among threads; the same bits.
    pub fn sum_parallel(&self, part: Partition, term: impl Fn(usize) -> f64 + Sync) -> f64 {
        self.sum_of_roots(part, subtree_roots_parallel(part.mine(), term))
    }

    /// Each rank sends the roots of the complete subtrees that tile its range, at most 2 log₂ n values.
    fn sum_of_roots(&self, part: Partition, mine: Vec<f64>) -> f64 {
        self.check(part);
        let counts: Vec<usize> = part.ranges().map(|items| complete_subtrees(items).count()).collect();
        let roots = self.gather_counted(&mine, &counts);
        let mut tree = Tree::new();
        for ((_, height), root) in part.ranges().flat_map(complete_subtrees).zip(roots) {
            tree.push(height, root);
        }
        tree.root()
    }

    /// The largest of everyone's values; NaN if any is NaN. −∞ where a rank has none.
    pub fn max(&self, mut mine: f64) -> f64 {
        self.max_each(std::slice::from_mut(&mut mine));
        mine
    }

    /// `max` of several values at once, in place.
    pub fn max_each(&self, values: &mut [f64]) {
        let quiet = |x: f64| if x.is_nan() { f64::NAN } else { x };
        if self.size() == 1 || values.is_empty() {
            return values.iter_mut().for_each(|x| *x = quiet(*x));
        }
        let count = values.len();
        let all = self.gather_counted(values, &vec![count; self.size()]);
        for (k, x) in values.iter_mut().enumerate() {
            let column = || all.iter().skip(k).step_by(count).copied();
            // total_cmp also orders −0 below +0, so the bits do not depend on whose value comes first.
            let largest = column().max_by(f64::total_cmp).expect("at least one rank");
            *x = if column().any(f64::is_nan) { f64::NAN } else { largest };
        }
    }

    /// The smallest of everyone's values; NaN if any is NaN. +∞ where a rank has none.
    pub fn min(&self, mine: f64) -> f64 {
        -self.max(-mine)
    }

    /// Whether it is so on any rank.
    pub fn any(&self, mine: bool) -> bool {
        if self.size() == 1 {
            return mine;
        }
        self.gather_counted(&[u8::from(mine)], &vec![1; self.size()]).contains(&1)
    }

    /// The rows `wanted` (global indices, in any order, repeats allowed) of a distributed array of `width` values per
    /// row, of which this rank holds `mine`.
    pub fn fetch<T: Pod>(&self, part: Partition, width: usize, mine: &[T], wanted: &[usize]) -> Vec<T> {
        self.check(part);
        assert_eq!(mine.len(), part.mine().len() * width, "the rows of this rank");
        let mut ask = vec![Vec::<u64>::new(); self.size()];
        for &row in wanted {
            ask[part.owner(row)].push(row as u64);
        }
        let asked = self.exchange(&ask);
        let first = part.mine().start;
        let row = |row: u64| &mine[(row as usize - first) * width..][..width];
        let answers: Vec<Vec<T>> =
            asked.iter().map(|rows| rows.iter().flat_map(|&r| row(r)).copied().collect()).collect();
        let counts: Vec<usize> = ask.iter().map(|rows| rows.len() * width).collect();
        let got = self.exchange_counted(&answers, &counts);
        // Each owner answered in the order it was asked.
        let mut next = vec![0; self.size()];
        let mut rows = Vec::with_capacity(wanted.len() * width);
        for &row in wanted {
            let owner = part.owner(row);
            rows.extend_from_slice(&got[owner][next[owner]..][..width]);
            next[owner] += width;
        }
        rows
    }

    /// The transpose of an n×m array (C order) distributed by rows: `mine` holds this rank's rows of `n`, the answer
    /// its rows of the m×n transpose.
    pub fn transpose<T: Pod>(&self, n: Partition, m: Partition, mine: &[T]) -> Vec<T> {
        self.check(n);
        self.check(m);
        let (rows, cols) = (n.mine().len(), m.mine().len());
        assert_eq!(mine.len(), rows * m.n, "the rows of this rank");
        if self.size() == 1 {
            return transposed_columns(mine, m.n, 0..m.n);
        }
        // To rank q goes the transpose of (my rows) × (its columns) …
        let send: Vec<Vec<T>> = m.ranges().map(|js| transposed_columns(mine, m.n, js)).collect();
        let counts: Vec<usize> = n.ranges().map(|is| is.len() * cols).collect();
        let received = self.exchange_counted(&send, &counts);
        // … so that what comes from it are pieces of whole rows here.
        let mut out = Vec::with_capacity(cols * n.n);
        for j in 0..cols {
            for (piece, is) in received.iter().zip(n.ranges()) {
                out.extend_from_slice(&piece[j * is.len()..][..is.len()]);
            }
        }
        out
    }

    /// All ranks succeed, or all fail with the same error.
    ///
    /// The error is that of the lowest rank that failed, as [`Error::Remote`] with its exit code; where every rank
    /// (or the only one) failed with the same words it is the rank's own. [`Error::Interrupted`] stays what it is
    /// and gives way to any other.
    pub fn agree<T>(&self, mine: Result<T>) -> Result<T> {
        const SUCCESS: u8 = 0;
        const INTERRUPTED: u8 = 1;
        const FAILURE: u8 = 2; // plus the exit code
        let verdict = match &mine {
            Ok(_) => SUCCESS,
            Err(Error::Interrupted) => INTERRUPTED,
            Err(e) => FAILURE + e.exit_code(),
        };
        let verdicts = self.gather_counted(&[verdict], &vec![1; self.size()]);
        if verdicts.iter().all(|&v| v == SUCCESS) {
            return mine;
        }
        let Some(rank) = verdicts.iter().position(|&v| v >= FAILURE) else { return Err(Error::Interrupted) };
        let words = mine.as_ref().err().map(Error::to_string).unwrap_or_default();
        let message = self.broadcast(rank, words.as_bytes());
        let same = verdict == verdicts[rank] && words.as_bytes() == message;
        let all_same = !self.any(!same);
        match mine {
            Err(own) if all_same => Err(own),
            _ => {
                let message = String::from_utf8_lossy(&message).into_owned();
                Err(Error::Remote { rank, code: verdicts[rank] - FAILURE, message })
            }
        }
    }

    /// Everyone's `n`, by rank.
    fn counts(&self, n: usize) -> Vec<usize> {
        self.gather_counted(&[n as u64], &vec![1; self.size()]).into_iter().map(|n| n as usize).collect()
    }

    /// `gather` where everyone knows that rank q gives `counts[q]` values.
    pub fn gather_counted<T: Pod>(&self, mine: &[T], counts: &[usize]) -> Vec<T> {
        let mut all = vec![T::zeroed(); counts.iter().sum()];
        let counts: Vec<usize> = counts.iter().map(|n| n * size_of::<T>()).collect();
        self.gather_bytes_into(bytemuck::cast_slice(mine), &counts, bytemuck::cast_slice_mut(&mut all));
        all
    }

    fn check(&self, part: Partition) {
        assert_eq!((part.rank, part.size), (self.rank(), self.size()), "a partition made by this team");
    }
}

/// The transpose of the columns `js` of `a`, whose rows are `width` long.
fn transposed_columns<T: Pod>(a: &[T], width: usize, js: std::ops::Range<usize>) -> Vec<T> {
    let rows = a.len().checked_div(width).unwrap_or(0);
    let mut out = vec![T::zeroed(); js.len() * rows];
    for i0 in (0..rows).step_by(TRANSPOSE_TILE) {
        for j0 in js.clone().step_by(TRANSPOSE_TILE) {
            for j in j0..(j0 + TRANSPOSE_TILE).min(js.end) {
                for i in i0..(i0 + TRANSPOSE_TILE).min(rows) {
                    out[(j - js.start) * rows + i] = a[i * width + j];
                }
            }
        }
    }
    out
}

/// An exchange under way.
#[must_use = "an exchange is over when it was waited for"]
pub struct Exchange<'t, T> {
    pending: Box<dyn Pending + 't>,
    values: PhantomData<T>,
}

impl<T: Pod> Exchange<'_, T> {
    /// See [`Pending::progress`].
    pub fn progress(&mut self) {
        self.pending.progress();
    }

    /// What each rank sent here, by rank.
    pub fn wait(self) -> Vec<Vec<T>> {
        self.pending.wait().iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect()
    }
}

/// Messages between vectors under way.
#[must_use = "a transfer is over when it was waited for"]
pub struct Flight<'t, T> {
    /// Dropped first: it waits.
    transfer: Option<Box<dyn Transfer + 't>>,
    send: Vec<T>,
    receive: Vec<T>,
}

impl<T: Pod> Flight<'_, T> {
    /// See [`Pending::progress`].
    pub fn progress(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            transfer.progress();
        }
    }

    /// The vector that was sent from, and the one that was filled.
    pub fn wait(mut self) -> (Vec<T>, Vec<T>) {
        if let Some(transfer) = self.transfer.take() {
            transfer.wait();
        }
        (std::mem::take(&mut self.send), std::mem::take(&mut self.receive))
    }
}

/// A broadcast under way.
#[must_use = "a broadcast is over when it was waited for"]
pub struct Broadcast<'t, T> {
    pending: Box<dyn Pending + 't>,
    values: PhantomData<T>,
}

impl<T: Pod> Broadcast<'_, T> {
    /// See [`Pending::progress`].
    pub fn progress(&mut self) {
        self.pending.progress();
    }

    /// The root's values.
    pub fn wait(self) -> Vec<T> {
        bytemuck::pod_collect_to_vec(&self.pending.wait()[0])
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::math::sum::tree_sum;
    use crate::team::{Solo, threads};

    const SIZES: std::ops::RangeInclusive<usize> = 1..=7;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sum_has_the_bits_of_tree_sum_on_1_to_7_ranks(
            x in prop::collection::vec((-1.0..1.0f64, -40..40i32).prop_map(|(m, e)| m * 2f64.powi(e)), 0..400)
        ) {
            let serial = tree_sum(x.len(), |i| x[i]).to_bits();
            for size in SIZES {
                for bits in threads::run(size, |team| team.sum(team.split(x.len()), |i| x[i]).to_bits()) {
                    prop_assert_eq!(bits, serial);
                }
            }
        }

        #[test]
        fn transpose_of_any_shape_on_1_to_7_ranks_is_the_transpose(n in 0..80usize, m in 0..80usize) {
            let a: Vec<u32> = (0..(n * m) as u32).collect();
            let expected: Vec<u32> = (0..m).flat_map(|j| (0..n).map(move |i| (i * m + j) as u32)).collect();
            for size in SIZES {
                let rows = threads::run(size, |team| {
                    let (n, m) = (team.split(n), team.split(m));
                    team.transpose(n, m, &a[n.mine().start * m.n..n.mine().end * m.n])
                });
                prop_assert_eq!(&rows.concat(), &expected);
            }
        }

        #[test]
        fn fetch_finds_any_rows_in_any_order(
            n in 1..50usize, wanted in prop::collection::vec(any::<prop::sample::Index>(), 0..60), width in 1..4usize
        ) {
            let a: Vec<i64> = (0..(n * width) as i64).map(|x| x * x).collect();
            for size in SIZES {
                threads::run(size, |team| {
                    let part = team.split(n);
                    // Every rank wants others: rotated by its number.
                    let wanted: Vec<usize> = wanted.iter().map(|w| (w.index(n) + team.rank()) % n).collect();
                    let rows = team.fetch(part, width, &a[part.mine().start * width..part.mine().end * width], &wanted);
                    let expected: Vec<i64> = wanted.iter().flat_map(|w| &a[w * width..][..width]).copied().collect();
                    assert_eq!(rows, expected);
                });
            }
        }
    }

    #[test]
    fn a_long_sum_has_the_same_bits_on_1_to_7_ranks_with_threads_or_without() {
        let term = |i: usize| (i as f64).sin().powi(3) * 1e3f64.powi((i % 7) as i32);
        for n in [1, 64, 4097, 200_003] {
            let serial = tree_sum(n, term).to_bits();
            for size in SIZES {
                for (a, b) in threads::run(size, |team| {
                    let part = team.split(n);
                    (team.sum(part, term).to_bits(), team.sum_parallel(part, term).to_bits())
                }) {
                    assert_eq!((a, b), (serial, serial), "n = {n} on {size} ranks");
                }
            }
        }
    }

    #[test]
    fn gathers_agree_for_uneven_parts_and_for_more_ranks_than_items() {
        for n in [0, 1, 3, 5, 101] {
            for size in SIZES {
                for width in [1, 3] {
                    let whole: Vec<f32> = (0..n * width).map(|x| x as f32 / 3.0).collect();
                    threads::run(size, |team| {
                        let part = team.split(n);
                        let own = part.mine().start * width..part.mine().end * width;
                        assert_eq!(team.gather(&whole[own.clone()]), whole);
                        let mut all = vec![f32::NAN; n * width];
                        team.gather_into(part, &whole[own.clone()], &mut all);
                        assert_eq!(all, whole);
                        let mut all = vec![f32::NAN; n * width];
                        all[own.clone()].copy_from_slice(&whole[own]);
                        team.gather_in_place(part, &mut all);
                        assert_eq!(all, whole);
                    });
                }
            }
        }
    }

    #[test]
    fn exchange_delivers_lists_of_any_length() {
        for size in SIZES {
            threads::run(size, |team| {
                let list = |from: usize, to: usize| vec![(from * 8 + to) as u16; (from * 5 + to * 3) % 4];
                let send: Vec<_> = (0..size).map(|to| list(team.rank(), to)).collect();
                let expected: Vec<_> = (0..size).map(|from| list(from, team.rank())).collect();
                assert_eq!(team.exchange(&send), expected);
                assert_eq!(team.start_exchange(&send).wait(), expected);
            });
        }
    }

    #[test]
    fn transfers_fill_parts_of_a_vector_in_any_order_and_leave_the_rest() {
        for size in SIZES {
            threads::run(size, |team| {
                let (rank, size) = (team.rank(), team.size());
                // To rank q go q + 1 values, none where rank + q is a multiple of 3.
                let length = |from: usize, to: usize| if (from + to) % 3 == 0 { 0 } else { to + 1 };
                let value = |k: usize, from: usize, to: usize, i: usize| (k * 1000 + from * 100 + to * 10 + i) as f32;
                let start = |k: usize| {
                    let (mut send, mut to, mut from, mut at) = (Vec::new(), Vec::new(), Vec::new(), 1);
                    for q in (0..size).filter(|q| *q != rank) {
                        let first = send.len();
                        send.extend((0..length(rank, q)).map(|i| value(k, rank, q, i)));
                        to.push((q, first..send.len()));
                        from.push((q, at..at + length(q, rank)));
                        at += length(q, rank);
                    }
                    (team.start_transfer(send, &to, vec![-1.0; at + 1], &from), from)
                };
                let ((first, from), (mut second, _)) = (start(1), start(2));
                assert!(team.any(rank == 0));
                second.progress();
                for (k, flight) in [(2, second), (1, first)] {
                    let (_, received) = flight.wait();
                    assert_eq!((received[0], *received.last().unwrap()), (-1.0, -1.0));
                    for (q, part) in &from {
                        let expected: Vec<f32> = (0..length(*q, rank)).map(|i| value(k, *q, rank, i)).collect();
                        assert_eq!(received[part.clone()], expected, "from rank {q} of {size}");
                    }
                }
            });
        }
    }

    #[test]
    fn extremes_do_not_hide_a_nan_nor_the_sign_of_zero() {
        threads::run(3, |team| {
            let of = |values: [f64; 3]| (team.min(values[team.rank()]), team.max(values[team.rank()]));
            assert_eq!(of([2.0, -1.0, 5.0]), (-1.0, 5.0));
            assert_eq!(of([f64::NEG_INFINITY, 1.0, f64::INFINITY]), (f64::NEG_INFINITY, f64::INFINITY));
            let (low, high) = of([1.0, f64::NAN, 2.0]);
            assert!(low.is_nan() && high.is_nan());
            let (low, high) = of([0.0, -0.0, 0.0]);
            assert_eq!((low.to_bits(), high.to_bits()), ((-0f64).to_bits(), 0f64.to_bits()));
            assert!(team.any(team.rank() == 2) && !team.any(false));
        });
    }

    fn numerical(step: u64) -> Error {
        Error::Numerical { step, message: "diverged".into() }
    }

    #[test]
    fn all_fail_with_the_lowest_failing_rank_and_its_exit_code() {
        let errors = threads::run(4, |team| {
            team.agree(match team.rank() {
                1 => Err(Error::Usage("bad".into())),
                3 => Err(numerical(3)),
                rank => Ok(rank),
            })
        });
        assert_eq!(errors, vec![Err(Error::Remote { rank: 1, code: 2, message: "bad".into() }); 4]);
        assert_eq!(errors[3].as_ref().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn success_stays_with_its_rank_and_a_second_agreement_changes_nothing() {
        threads::run(3, |team| {
            assert_eq!(team.agree(Ok(team.rank())), Ok(team.rank()));
            let once = team.agree(if team.rank() == 2 { Err(numerical(1)) } else { Ok(()) });
            assert_eq!(once, Err(Error::Remote { rank: 2, code: 1, message: "step 1: diverged".into() }));
            assert_eq!(team.agree(once.clone()), once);
        });
    }

    #[test]
    fn what_every_rank_says_needs_no_rank() {
        let own = || Error::Input {
            file: PathBuf::from("a.toml"),
            line: Some(3),
            key: "epsilon".into(),
            value: "-1".into(),
            message: "must be positive".into(),
        };
        for size in [1, 3] {
            assert_eq!(threads::run(size, |team| team.agree::<()>(Err(own()))), vec![Err(own()); size]);
        }
        assert_eq!((&Solo as &dyn Team).agree::<()>(Err(own())), Err(own()));
    }

    #[test]
    fn an_interruption_stays_one_unless_something_failed() {
        threads::run(3, |team| {
            let interrupted = if team.rank() == 1 { Err(Error::Interrupted) } else { Ok(()) };
            assert_eq!(team.agree(interrupted), Err(Error::Interrupted));
            let mixed = if team.rank() == 2 { Err(numerical(9)) } else { Err::<(), _>(Error::Interrupted) };
            assert!(matches!(team.agree(mixed), Err(Error::Remote { rank: 2, code: 1, .. })));
        });
    }
}
