//! A stored Gibbs kernel: where nothing under- or overflows, an iteration is two multiply-adds per stored entry, read
//! once from memory. Entries are f64 or f32; the arithmetic is f64.

use std::ops::Range;

use super::cloud::Aligned;
use super::lanes::Lanes;
use super::level::{Isa, Level, Op, Portable};
use super::tiles::tree_sums;
use super::{COLUMN_PADDING, COLUMN_TILE, Rows};
use crate::solvers::transport::passes::Precision;

/// K_ij = exp(h_j + shift_i − C_ij/ε) of some rows, row-major. Entries below the smallest normal number of the
/// storage are 0, since subnormal ones would be slow.
pub struct StoredKernel {
    rows: usize,
    cols: usize,
    /// Entries from one row to the next: cols, padded with zeros.
    stride: usize,
    largest: f64,
    entries: Entries,
    level: Level,
}

enum Entries {
    F64(Aligned<f64>),
    F32(Aligned<f32>),
}

/// Rows handled together.
const BLOCK: usize = super::ROW_BLOCK;

impl StoredKernel {
    /// Bytes a kernel of this size takes.
    pub fn bytes_for(rows: usize, cols: usize, storage: Precision) -> usize {
        let size = if storage == Precision::F64 { 8 } else { 4 };
        rows.next_multiple_of(BLOCK) * cols.next_multiple_of(COLUMN_PADDING) * size
    }

    /// The kernel of `range` of `rows` (evaluated at the precision of `rows`), with potentials absorbed in `h` (one per
    /// column) and `shift` (one per row of the range).
    pub fn build(
        rows: &dyn Rows,
        range: Range<usize>,
        h: &[f64],
        shift: &[f64],
        storage: Precision,
        level: Level,
    ) -> StoredKernel {
        assert!(level.is_available() && shift.len() == range.len() && h.len() == rows.cols());
        let cols = rows.cols();
        let stride = cols.next_multiple_of(COLUMN_PADDING);
        // Padding rows repeat nothing: they stay 0.
        let len = range.len().next_multiple_of(BLOCK) * stride;
        let mut entries = match storage {
            Precision::F64 => Entries::F64(Aligned::zeros(len)),
            Precision::F32 => Entries::F32(Aligned::zeros(len)),
        };
        let mut largest = 0.0;
        // Enough rows at once that scaling h does not count.
        const AT_ONCE: usize = 32;
        let mut part = vec![0.0; AT_ONCE * cols];
        for start in range.clone().step_by(AT_ONCE) {
            let some = start..(start + AT_ONCE).min(range.end);
            let part = &mut part[..some.len() * cols];
            let first = start - range.start;
            rows.exponentials(some.clone(), h, &shift[first..first + some.len()], part);
            largest = part.iter().fold(largest, |a, &b| if b > a { b } else { a });
            for (k, row) in part.chunks_exact(cols).enumerate() {
                let at = (first + k) * stride;
                match &mut entries {
                    Entries::F64(all) => all.as_mut_slice()[at..at + cols].copy_from_slice(row),
                    Entries::F32(all) => {
                        for (e, &x) in all.as_mut_slice()[at..at + cols].iter_mut().zip(row) {
                            *e = if x < f32::MIN_POSITIVE as f64 { 0.0 } else { x as f32 };
                        }
                    }
                }
            }
        }
        StoredKernel { rows: range.len(), cols, stride, largest, entries, level }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The largest entry when built; the kernel is of use only while it is below f32::MAX (f32) or finite (f64).
    pub fn largest(&self) -> f64 {
        self.largest
    }

    pub fn bytes(&self) -> usize {
        match &self.entries {
            Entries::F64(all) => all.bytes(),
            Entries::F32(all) => all.bytes(),
        }
    }

    /// K_ij as stored; `i` counts from the first row of the kernel.
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        assert!(i < self.rows && j < self.cols);
        match &self.entries {
            Entries::F64(all) => all.as_slice()[i * self.stride + j],
            Entries::F32(all) => all.as_slice()[i * self.stride + j] as f64,
        }
    }

    /// For each row i of `rows`: S_i = Σ_j K_ij v_j, then columns_j += close(i, S_i) · K_ij, rows in order, so that
    /// the scaled column sums are columns_j · v_j. `close` gets the index within `rows`; v and `columns` are
    /// [`column_sums`](super::column_sums), v zero behind the columns. Bits as in [`Rows::sweep`]: they do not depend
    /// on how rows are cut into calls.
    pub fn sweep(
        &self,
        rows: Range<usize>,
        v: &Aligned<f64>,
        close: &mut dyn FnMut(usize, f64) -> f64,
        columns: &mut Aligned<f64>,
    ) {
        let (v, columns) = (v.as_slice(), columns.as_mut_slice());
        assert!(rows.end <= self.rows && v.len() == self.stride && columns.len() == self.stride);
        match self.level {
            Level::Portable => self.sweep_at::<Portable>(rows, v, close, columns),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => self.sweep_at::<super::level::Avx2>(rows, v, close, columns),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => self.sweep_at::<super::level::Avx512>(rows, v, close, columns),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("not available here"),
        }
    }

    fn sweep_at<I: Isa>(
        &self,
        rows: Range<usize>,
        v: &[f64],
        close: &mut dyn FnMut(usize, f64) -> f64,
        columns: &mut [f64],
    ) {
        match &self.entries {
            Entries::F64(all) => self.sweep_blocks::<I::F64>(rows, all.as_slice(), v, close, columns),
            Entries::F32(all) => self.sweep_blocks::<I::F32>(rows, all.as_slice(), v, close, columns),
        }
    }

    fn sweep_blocks<V: Lanes>(
        &self,
        rows: Range<usize>,
        entries: &[V::Elem],
        v: &[f64],
        close: &mut dyn FnMut(usize, f64) -> f64,
        columns: &mut [f64],
    ) {
        for start in rows.clone().step_by(BLOCK) {
            let live = BLOCK.min(rows.end - start);
            // Rows past the range repeat the last one with weight 0: their entries are finite.
            let block: [&[V::Elem]; BLOCK] = std::array::from_fn(|r| {
                let i = start + r.min(live - 1);
                &entries[i * self.stride..(i + 1) * self.stride]
            });
            let mut sums = [0.0; BLOCK];
            for tile in (0..self.stride).step_by(COLUMN_TILE) {
                let tile = tile..(tile + COLUMN_TILE).min(self.stride);
                let part = V::Isa::enter(RowSums::<V> { block: block.map(|b| &b[tile.clone()]), v: &v[tile] });
                for r in 0..BLOCK {
                    sums[r] += part[r];
                }
            }
            let mut weights = [0.0; BLOCK];
            for r in 0..live {
                weights[r] = close(start + r - rows.start, sums[r]);
            }
            V::Isa::enter(AddColumns::<V> { block, weights, columns, next: BLOCK * self.stride });
        }
    }
}

/// Σ_j K_rj v_j over a tile (a multiple of 16 columns).
struct RowSums<'a, V: Lanes> {
    block: [&'a [V::Elem]; BLOCK],
    v: &'a [f64],
}

impl<V: Lanes> Op for RowSums<'_, V> {
    type Out = [f64; BLOCK];

    #[inline(always)]
    fn run(self) -> [f64; BLOCK] {
        let mut sums = [V::Wide::splat(0.0); BLOCK];
        for j in (0..self.v.len()).step_by(V::N) {
            for r in 0..BLOCK {
                // SAFETY: rows and v have the same length, a multiple of 16.
                unsafe {
                    let k = V::load(self.block[r].as_ptr().add(j));
                    for w in 0..V::N / 8 {
                        let v = V::Wide::load(self.v.as_ptr().add(j + 8 * w));
                        sums[r] = k.wide(w).mul_add(v, sums[r]);
                    }
                }
            }
        }
        tree_sums(sums)
    }
}

/// columns_j += Σ_r w_r K_rj, row after row.
struct AddColumns<'a, V: Lanes> {
    block: [&'a [V::Elem]; BLOCK],
    weights: [f64; BLOCK],
    columns: &'a mut [f64],
    /// Elements from a row to the one four below, which comes next: asked for while this block is still in cache.
    next: usize,
}

impl<V: Lanes> Op for AddColumns<'_, V> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let mut weights = [V::Wide::splat(0.0); BLOCK];
        for r in 0..BLOCK {
            weights[r] = V::Wide::splat(self.weights[r]);
        }
        for j in (0..self.columns.len()).step_by(V::N) {
            // SAFETY: rows and columns have the same length, a multiple of 16.
            unsafe {
                let mut k = [V::load(self.block[0].as_ptr().add(j)); BLOCK];
                for r in 1..BLOCK {
                    k[r] = V::load(self.block[r].as_ptr().add(j));
                }
                for r in 0..BLOCK {
                    V::prefetch(self.block[r].as_ptr().wrapping_add(self.next + j));
                }
                for w in 0..V::N / 8 {
                    let p = self.columns.as_mut_ptr().add(j + 8 * w);
                    let mut c = V::Wide::load(p);
                    for r in 0..BLOCK {
                        c = weights[r].mul_add(k[r].wide(w), c);
                    }
                    c.store(p);
                }
            }
        }
    }
}
