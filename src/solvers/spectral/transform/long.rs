//! One long line over all ranks: the transform of one-dimensional domains of more than 2²² points, in four steps (D. H.
//! Bailey, J. Supercomputing 4 (1990) 23): with n = n1 n2, j = j1 n2 + j2 and k = k1 + n1 k2,
//!
//!     X_k = Σ_j2 w_n2^{j2 k2} [ w_n^{j2 k1} Σ_j1 w_n1^{j1 k1} x_j ],   w_m = e^{−2πi/m}
//!
//! Numbers go to the rank that owns column j2, lines of n1 are transformed, products go to the rank that owns row k1, lines
//! of n2 are transformed, and results go where they are asked for. The factors depend on n only and every line is
//! transformed by the same plan, so bits do not depend on the number of ranks.

use std::ops::Range;
use std::sync::Arc;

use num_complex::Complex;
use rustfft::{Fft, FftDirection};

use super::Pointwise;
use super::fft::{library_plan, root};
use super::single::joined;
use super::vector::Level;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Axis, Tile};
use crate::team::{Partition, Team};

/// Points up to which a line is whole on one rank.
pub const WHOLE: usize = 1 << 22;

/// Who holds what of a long line: index arithmetic only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    kind: Kind,
    /// Points, and length of the complex transform: half of them for real lines of even length.
    points: usize,
    length: usize,
    /// n1 and n2 of the four steps.
    factors: [usize; 2],
    highest: usize,
    modes: usize,
    ranks: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Even,
    Odd,
    Complex,
}

/// Positions of a line that one rank holds or wants.
type Segments = [Range<usize>; 2];

impl Shares {
    pub fn new(axis: &Axis, complex: bool, ranks: usize) -> Shares {
        let points = axis.points;
        let kind = match (complex, points % 2) {
            (true, _) => Kind::Complex,
            (false, 0) => Kind::Even,
            _ => Kind::Odd,
        };
        let length = if kind == Kind::Even { points / 2 } else { points };
        // The divisor nearest to the square root from below.
        let first = (1..=length.isqrt()).rev().find(|d| length % d == 0).unwrap_or(1);
        let (highest, modes) = (axis.highest, axis.modes());
        assert!(kind != Kind::Even || modes <= length, "the mode of the saw-tooth is not kept");
        Shares { kind, points, length, factors: [first, length / first], highest, modes, ranks }
    }

    /// Of `n` items, those of a rank; ranks beyond those that share the line have none.
    fn share(&self, n: usize, rank: usize) -> Range<usize> {
        if rank < self.ranks { Partition::new(n, rank, self.ranks).mine() } else { 0..0 }
    }

    /// Most ranks that have lines in every step.
    pub fn limit(axis: &Axis, complex: bool) -> usize {
        Shares::new(axis, complex, 1).factors[0]
    }

    /// Reals that a rank needs for tables and for what is on its way, beside coefficients and grid values.
    pub fn work_space(&self, rank: usize) -> usize {
        let columns = self.columns(rank).len() * self.factors[0];
        let rows = self.rows(rank).len() * self.factors[1];
        let tables = if self.kind == Kind::Even { 2 * columns + self.modes(rank).len() } else { columns };
        // The line before and after an exchange, what is sent and what is received.
        2 * (tables + 3 * columns.max(rows))
    }

    /// Grid points of a rank.
    pub fn points(&self, rank: usize) -> Range<usize> {
        let share = self.values(rank);
        let each = self.points / self.length;
        share.start * each..share.end * each
    }

    /// Coefficients of a rank.
    pub fn modes(&self, rank: usize) -> Range<usize> {
        self.share(self.modes, rank)
    }

    /// Elements of the complex line of grid values.
    fn values(&self, rank: usize) -> Range<usize> {
        self.share(self.length, rank)
    }

    fn columns(&self, rank: usize) -> Range<usize> {
        self.share(self.factors[1], rank)
    }

    fn rows(&self, rank: usize) -> Range<usize> {
        self.share(self.factors[0], rank)
    }

    fn grid(&self, rank: usize) -> Segments {
        [self.values(rank), 0..0]
    }

    /// Where the coefficients of a rank are in the complex line: those of k ≥ 0, those of k < 0.
    fn places(&self, rank: usize) -> Segments {
        let modes = self.modes(rank);
        let cut = (self.highest + 1).clamp(modes.start, modes.end);
        let back = self.length - self.modes;
        if self.kind == Kind::Complex { [modes.start..cut, cut + back..modes.end + back] } else { [modes, 0..0] }
    }

    /// Of real lines: the places of −k for the coefficients k > 0 of a rank.
    fn mirrored(&self, rank: usize) -> Segments {
        let modes = self.modes(rank);
        let first = modes.start.max(1).min(modes.end);
        if first == modes.end { [0..0, 0..0] } else { [self.length + 1 - modes.end..self.length + 1 - first, 0..0] }
    }

    /// Numbers of each message from rank `from` to rank `to` in a transform of one field.
    pub fn sent(&self, from: usize, to: usize, backward: bool) -> [usize; 4] {
        let [n1, n2] = self.factors;
        let gather = |segments: Segments| count(&segments, self.columns(to), n2);
        let scatter = |segments: Segments| count(&segments, self.rows(from), n1);
        let between = self.columns(from).len() * self.rows(to).len();
        if backward {
            let mirror = if self.kind == Kind::Complex { 0 } else { gather(self.mirrored(from)) };
            [gather(self.places(from)), mirror, between, scatter(self.grid(to))]
        } else {
            let mirror = if self.kind == Kind::Even { scatter(self.mirrored(to)) } else { 0 };
            [gather(self.grid(from)), between, scatter(self.places(to)), mirror]
        }
    }
}

/// Pieces of `range` in rows of `width` that lie in columns `lo`: the row, and the columns.
fn pieces(range: &Range<usize>, lo: Range<usize>, width: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let (start, end) = (range.start, range.end);
    let rows = if start < end { start / width..(end - 1) / width + 1 } else { 0..0 };
    rows.filter_map(move |row| {
        let first = lo.start.max(start.saturating_sub(row * width));
        let last = lo.end.min(end - row * width);
        (first < last).then_some((row, first..last))
    })
}

fn count(segments: &Segments, lo: Range<usize>, width: usize) -> usize {
    segments.iter().flat_map(|s| pieces(s, lo.clone(), width)).map(|(_, columns)| columns.len()).sum()
}

/// Plans and tables of one rank's part of a long line.
pub struct Long<T: Real> {
    shares: Shares,
    rank: usize,
    /// Lines of n1 and of n2, backward and forward.
    plans: [[Arc<dyn Fft<T>>; 2]; 2],
    /// w_n^{j2 k1} of own columns.
    twiddles: Vec<Complex<T>>,
    /// Even real lines: e^{−2πik/points} of own columns and of own coefficients.
    roots: [Vec<Complex<T>>; 2],
    scratch: Vec<Complex<T>>,
    scale: T,
    coordinates: Vec<f64>,
}

impl<T: Real> Long<T> {
    pub fn new(axis: &Axis, complex: bool, rank: usize, ranks: usize, level: Level) -> Self {
        let shares = Shares::new(axis, complex, ranks);
        let [n1, n2] = shares.factors;
        let plans = [n1, n2].map(|n| [FftDirection::Inverse, FftDirection::Forward].map(|d| library_plan(n, d, level)));
        let scratch = plans.iter().flatten().map(|p| p.get_inplace_scratch_len()).max().unwrap_or(0);
        let table = |n: usize, index: &dyn Fn(usize, usize) -> usize| -> Vec<Complex<T>> {
            shares
                .columns(rank)
                .flat_map(|b| (0..n1).map(move |a| (a, b)))
                .map(|(a, b)| T::complex(root(index(a, b), n)))
                .collect()
        };
        let twiddles = table(shares.length, &|k1, j2| k1 * j2);
        let roots = match shares.kind {
            Kind::Even => [
                table(shares.points, &|a, b| a * n2 + b),
                shares.modes(rank).map(|k| T::complex(root(k, shares.points))).collect(),
            ],
            _ => [Vec::new(), Vec::new()],
        };
        let scale = if shares.kind == Kind::Even { 0.5 } else { 1.0 } / shares.points as f64;
        Long {
            rank,
            plans,
            twiddles,
            roots,
            scratch: vec![zero(); scratch],
            scale: T::of(scale),
            coordinates: shares.points(rank).map(|i| axis.coordinate(i)).collect(),
            shares,
        }
    }

    /// Coefficients to grid values; collective.
    pub fn backward(&mut self, team: &dyn Team, modes: &[Complex<T>], values: &mut [T]) {
        let shares = self.shares.clone();
        let (start, length, kind) = (shares.modes(self.rank).start, shares.length, shares.kind);
        let back = length - shares.modes;
        let real = |k: usize| if k == 0 { Complex::new(modes[0].re, T::zero()) } else { modes[k - start] };
        let here = |p: usize| match kind {
            Kind::Complex => modes[if p <= shares.highest { p } else { p - back } - start],
            _ => real(p),
        };
        let mut columns = self.to_columns(team, &|rank| shares.places(rank), &here);
        if kind != Kind::Complex {
            let mirror = self.to_columns(team, &|rank| shares.mirrored(rank), &|p| modes[length - p - start]);
            for (i, (x, y)) in columns.iter_mut().zip(&mirror).enumerate() {
                *x = if kind == Kind::Even { joined(*x, *y, self.roots[0][i]) } else { *x + y.conj() };
            }
        }
        let rows = self.four_steps(team, 0, columns);
        let [line, _] = self.from_rows(team, &rows, &|rank| shares.grid(rank));
        match kind {
            Kind::Odd => values.iter_mut().zip(line).for_each(|(v, z)| *v = z.re),
            _ => values.copy_from_slice(bytemuck::cast_slice(&line)),
        }
    }

    /// Grid values to coefficients; collective.
    pub fn forward(&mut self, team: &dyn Team, values: &[T], modes: &mut [Complex<T>]) {
        let shares = self.shares.clone();
        let start = shares.values(self.rank).start;
        let number = |j: usize| match shares.kind {
            Kind::Odd => Complex::new(values[j - start], T::zero()),
            _ => Complex::new(values[2 * (j - start)], values[2 * (j - start) + 1]),
        };
        let columns = self.to_columns(team, &|rank| shares.grid(rank), &number);
        let rows = self.four_steps(team, 1, columns);
        let found = self.from_rows(team, &rows, &|rank| shares.places(rank));
        let found = found.iter().flatten();
        if shares.kind != Kind::Even {
            modes.iter_mut().zip(found).for_each(|(mode, z)| *mode = *z * self.scale);
            return;
        }
        let [mirror, _] = self.from_rows(team, &rows, &|rank| shares.mirrored(rank));
        // Z_h is Z_0 again.
        let own = shares.modes(self.rank);
        let (first, last) = (own.start, own.end);
        for ((k, x), (mode, w)) in (first..last).zip(found).zip(modes.iter_mut().zip(&self.roots[1])) {
            let y = if k == 0 { *x } else { mirror[last - 1 - k] }.conj();
            let (sum, d) = (*x + y, *x - y);
            *mode = (sum + *w * Complex::new(d.im, -d.re)) * self.scale;
        }
    }

    pub fn through(
        &mut self,
        team: &dyn Team,
        inputs: &[&[Complex<T>]],
        pointwise: &Pointwise<T>,
        outputs: &mut [&mut [Complex<T>]],
    ) {
        let reals = if self.shares.kind == Kind::Complex { 2 } else { 1 };
        let own = self.shares.points(self.rank);
        let n = own.len() * reals;
        let mut values = vec![vec![T::zero(); n]; inputs.len()];
        let mut products = vec![vec![T::zero(); n]; outputs.len()];
        for (modes, values) in inputs.iter().zip(&mut values) {
            self.backward(team, modes, values);
        }
        let tile = Tile { plane: 0.0, rows: &[0.0], columns: &self.coordinates, start: [0, 0, own.start] };
        let (ins, mut outs): (Vec<&[T]>, Vec<&mut [T]>) =
            (values.iter().map(Vec::as_slice).collect(), products.iter_mut().map(Vec::as_mut_slice).collect());
        if n > 0 {
            pointwise(&tile, &ins, &mut outs);
        }
        for (modes, products) in outputs.iter_mut().zip(&products) {
            self.forward(team, products, modes);
        }
    }

    /// Own columns, each of n1 numbers, of a line of which rank r holds `segments(r)`; zero where nobody holds anything.
    fn to_columns(
        &self,
        team: &dyn Team,
        segments: &dyn Fn(usize) -> Segments,
        value: &dyn Fn(usize) -> Complex<T>,
    ) -> Vec<Complex<T>> {
        let ([n1, n2], ranks) = (self.shares.factors, team.size());
        let mine = segments(self.rank);
        let send: Vec<Vec<Complex<T>>> = (0..ranks)
            .map(|q| {
                let pieces = mine.iter().flat_map(|s| pieces(s, self.shares.columns(q), n2));
                pieces.flat_map(|(row, columns)| columns.map(move |b| row * n2 + b)).map(value).collect()
            })
            .collect();
        let own = self.shares.columns(self.rank);
        let counts: Vec<usize> = (0..ranks).map(|q| count(&segments(q), own.clone(), n2)).collect();
        let received = exchange(team, send, counts);
        let mut columns = vec![zero(); own.len() * n1];
        for (q, numbers) in received.iter().enumerate() {
            let theirs = segments(q);
            let pieces = theirs.iter().flat_map(|s| pieces(s, own.clone(), n2));
            let places = pieces.flat_map(|(row, columns)| columns.map(move |b| (row, b)));
            for ((row, b), z) in places.zip(numbers) {
                columns[(b - own.start) * n1 + row] = *z;
            }
        }
        columns
    }

    /// The numbers at `segments` of this rank, from rows of n2 numbers.
    fn from_rows(
        &self,
        team: &dyn Team,
        rows: &[Complex<T>],
        segments: &dyn Fn(usize) -> Segments,
    ) -> [Vec<Complex<T>>; 2] {
        let ([n1, n2], ranks) = (self.shares.factors, team.size());
        let own = self.shares.rows(self.rank);
        let send: Vec<Vec<Complex<T>>> = (0..ranks)
            .map(|q| {
                let theirs = segments(q);
                let pieces = theirs.iter().flat_map(|s| pieces(s, own.clone(), n1));
                pieces
                    .flat_map(|(k2, k1)| k1.map(move |k1| (k1, k2)))
                    .map(|(k1, k2)| rows[(k1 - own.start) * n2 + k2])
                    .collect()
            })
            .collect();
        let mine = segments(self.rank);
        let counts: Vec<usize> = (0..ranks).map(|q| count(&mine, self.shares.rows(q), n1)).collect();
        let received = exchange(team, send, counts);
        let mut found = mine.clone().map(|s| vec![zero(); s.len()]);
        for (q, numbers) in received.iter().enumerate() {
            let mut numbers = numbers.iter();
            for (found, segment) in found.iter_mut().zip(&mine) {
                for (k2, k1) in pieces(segment, self.shares.rows(q), n1) {
                    let at = k2 * n1 + k1.start - segment.start;
                    found[at..at + k1.len()].iter_mut().zip(&mut numbers).for_each(|(f, z)| *f = *z);
                }
            }
        }
        found
    }

    /// Own rows of the transform of `columns`; direction 0 is backward, 1 forward.
    fn four_steps(&mut self, team: &dyn Team, direction: usize, mut columns: Vec<Complex<T>>) -> Vec<Complex<T>> {
        let ([n1, n2], ranks) = (self.shares.factors, team.size());
        if !columns.is_empty() {
            self.plans[0][direction].process_with_scratch(&mut columns, &mut self.scratch);
        }
        for (z, w) in columns.iter_mut().zip(&self.twiddles) {
            *z *= if direction == 0 { w.conj() } else { *w };
        }
        let (width, own) = (self.shares.columns(self.rank).len(), self.shares.rows(self.rank).len());
        let send: Vec<Vec<Complex<T>>> = (0..ranks)
            .map(|q| {
                self.shares.rows(q).flat_map(|k1| (0..width).map(move |b| b * n1 + k1)).map(|i| columns[i]).collect()
            })
            .collect();
        drop(columns);
        let counts: Vec<usize> = (0..ranks).map(|q| self.shares.columns(q).len() * own).collect();
        let received = exchange(team, send, counts);
        let mut rows = vec![zero(); own * n2];
        for (q, numbers) in received.iter().enumerate() {
            let theirs = self.shares.columns(q);
            if theirs.is_empty() {
                continue;
            }
            for (row, part) in rows.chunks_mut(n2).zip(numbers.chunks(theirs.len())) {
                row[theirs.clone()].copy_from_slice(part);
            }
        }
        if !rows.is_empty() {
            self.plans[1][direction].process_with_scratch(&mut rows, &mut self.scratch);
        }
        rows
    }
}

/// `send[q]` to rank q, and what each rank sent, `counts[q]` numbers; what stays here is no message.
fn exchange<T: Real>(team: &dyn Team, mut send: Vec<Vec<Complex<T>>>, mut counts: Vec<usize>) -> Vec<Vec<Complex<T>>> {
    let here = team.rank();
    let own = std::mem::take(&mut send[here]);
    counts[here] = 0;
    let parts = |lengths: &[usize]| -> Vec<(usize, Range<usize>)> {
        let mut end = 0;
        let ranges = lengths.iter().enumerate().map(|(q, length)| {
            end += length;
            (q, end - length..end)
        });
        ranges.filter(|(q, _)| *q != here).collect()
    };
    let to = parts(&send.iter().map(Vec::len).collect::<Vec<_>>());
    let from = parts(&counts);
    let room = vec![zero(); counts.iter().sum()];
    let (_, filled) = team.start_transfer(send.concat(), &to, room, &from).wait();
    let mut received = vec![Vec::new(); team.size()];
    from.into_iter().for_each(|(q, part)| received[q] = filled[part].to_vec());
    received[here] = own;
    received
}

fn zero<T: Real>() -> Complex<T> {
    Complex::new(T::zero(), T::zero())
}

#[cfg(test)]
mod tests {
    use super::super::layout::Traffic;
    use super::super::single::Single;
    use super::*;
    use crate::observe::timings::Metered;
    use crate::solvers::spectral::domain::Basis;
    use crate::team::threads;

    /// Backward and forward transforms of a line on `ranks` ranks, put together.
    fn on_ranks(axis: &Axis, complex: bool, ranks: usize, modes: &[Complex<f64>]) -> (Vec<f64>, Vec<Complex<f64>>) {
        let parts = threads::run(ranks, |team| {
            let mut long = Long::<f64>::new(axis, complex, team.rank(), ranks, Level::detect());
            let reals = if complex { 2 } else { 1 };
            let own = &modes[long.shares.modes(team.rank())];
            let model = |backward: bool| -> Traffic {
                let others = (0..ranks).filter(|q| *q != team.rank());
                others
                    .flat_map(|q| long.shares.sent(team.rank(), q, backward))
                    .fold(Traffic::default(), |t, n| t + Traffic { messages: u64::from(n > 0), bytes: 16 * n as u64 })
            };
            let expected = [model(true), model(false)];
            let metered = Metered::new(team);
            let team: &dyn Team = &metered;
            let sent = || Traffic { messages: metered.messages(), bytes: metered.sent().0 };
            let mut values = vec![0.0; long.shares.points(team.rank()).len() * reals];
            let mut back = vec![zero(); own.len()];
            long.backward(team, own, &mut values);
            assert_eq!(sent(), expected[0], "backward on {ranks} ranks");
            long.forward(team, &values, &mut back);
            assert_eq!(sent(), expected[0] + expected[1], "forward on {ranks} ranks");
            let mut through = vec![zero(); own.len()];
            let copy = |_: &Tile, v: &[&[f64]], o: &mut [&mut [f64]]| o[0].copy_from_slice(v[0]);
            long.through(team, &[own], &copy, &mut [&mut through]);
            assert!(through == back);
            (values, back)
        });
        let (values, back): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (values.concat(), back.concat())
    }

    #[test]
    fn four_steps_agree_with_one_transform_to_rounding_and_have_the_same_bits_on_1_to_5_ranks() {
        for (n, highest) in
            [(4096, 1365), (6000, 2999), (3750, 0), (945, 472), (1155, 300), (1009, 500), (2 * 1009, 700)]
        {
            for complex in [false, true] {
                let basis = if complex { Basis::Fourier } else { Basis::HalfFourier };
                let axis = Axis { basis, points: n, highest, ..Axis::trivial() };
                let value = |i: usize, w: f64| (w * (i * i + 1) as f64).sin();
                let mut modes: Vec<Complex<f64>> =
                    (0..axis.modes()).map(|i| Complex::new(value(i, 0.37), value(i, 0.71))).collect();
                if !complex {
                    modes[0].im = 0.0;
                }
                let mut direct = Single::<f64>::new(&axis, complex, Level::detect());
                let mut expected = vec![0.0; n * if complex { 2 } else { 1 }];
                direct.backward(&modes, &mut expected);
                let one = on_ranks(&axis, complex, 1, &modes);
                let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
                let off: Vec<f64> = one.0.iter().zip(&expected).map(|(a, b)| a - b).collect();
                assert!(norm(&off) < 1e-14 * norm(&expected), "{n}, {complex}: {:e}", norm(&off) / norm(&expected));
                let size: f64 = modes.iter().map(|z| z.norm_sqr()).sum();
                let off: f64 = one.1.iter().zip(&modes).map(|(a, b)| (a - b).norm_sqr()).sum();
                assert!(off.sqrt() < 1e-14 * size.sqrt(), "{n}, {complex}: back {:e}", (off / size).sqrt());
                for ranks in 2..=5 {
                    assert!(on_ranks(&axis, complex, ranks, &modes) == one, "{n}, {complex} on {ranks} ranks");
                }
            }
        }
    }
}
