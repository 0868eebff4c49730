//! `Rows` for any cost, element and level: tiles of columns outside, blocks of four rows inside, so that a tile of
//! points stays in cache for all rows. Only the sweep turns this round, as it needs whole rows.

use std::f64::consts::LOG2_E;
use std::marker::PhantomData;
use std::ops::Range;

use smallvec::SmallVec;

use super::cloud::Aligned;
use super::cost::{Cost, ROW_BLOCK};
use super::lanes::{Element, Lanes};
use super::level::Isa;
use super::tiles::{Dot, Flush, FlushRows, Moments, On, Place, Scale, Tiles};
use super::{COLUMN_PADDING, COLUMN_TILE, MaxSum, Rows, Scaled, ScaledTile, Scratch};

pub struct Engine<V: Lanes> {
    tiles: Box<dyn Tiles<V::Elem>>,
    rows: usize,
    cols: usize,
    epsilon: f64,
    /// Upper bound of C/ε.
    largest: f64,
}

/// Up to four neighbouring rows; places of the block outside the range repeat a row inside it and do not count.
struct Block {
    base: usize,
    live: Range<usize>,
}

impl Block {
    /// Blocks cut at multiples of four, whatever the range.
    fn of(rows: Range<usize>) -> impl Iterator<Item = Block> {
        (rows.start / ROW_BLOCK..rows.end.div_ceil(ROW_BLOCK)).map(move |b| {
            let base = b * ROW_BLOCK;
            Block { base, live: base.max(rows.start)..(base + ROW_BLOCK).min(rows.end) }
        })
    }

    fn index(&self) -> [usize; ROW_BLOCK] {
        std::array::from_fn(|r| (self.base + r).clamp(self.live.start, self.live.end - 1))
    }
}

/// One tile of columns: scaled h and its centre.
struct Columns<E: 'static> {
    range: Range<usize>,
    centre: f64,
    /// Least h of the tile.
    low: f64,
    h: *const E,
}

impl<V: Lanes> Engine<V> {
    /// `bound`: no cost is above it; +∞ when not known.
    pub fn new<C: Cost<V>>(cost: C, rows: usize, cols: usize, epsilon: f64, bound: f64) -> Engine<V> {
        Engine { tiles: Box::new(On::<V, C>(cost, PhantomData)), rows, cols, epsilon, largest: bound / epsilon }
    }

    fn place(&self, block: &Block, columns: &Columns<V::Elem>) -> Place<V::Elem> {
        let range = &columns.range;
        Place { index: block.index(), start: range.start, cols: range.len(), unclamped: false, h: columns.h }
    }

    /// The place for exponentials with these shifts (one per row of `rows`): no clamp where none can be needed.
    fn place_with(&self, block: &Block, of: &Columns<V::Elem>, rows: &Range<usize>, shift: &[f64]) -> Place<V::Elem> {
        let least = block.index().into_iter().map(|i| shift[i - rows.start]).fold(f64::INFINITY, f64::min);
        // One for rounding, and NaN compares false.
        let unclamped = (least + of.low - self.largest) * LOG2_E > V::LOWEST + 1.0;
        Place { unclamped, ..self.place(block, of) }
    }

    /// Calls `f` for every tile of columns with h scaled by log2(e)·`per`, and folded for exponentials or not.
    fn for_tiles(&self, h: &[f64], per: f64, fold: bool, mut f: impl FnMut(&Columns<V::Elem>)) {
        assert_eq!(h.len(), self.cols);
        let mut scaled = Aligned::zeros(COLUMN_TILE.min(self.cols.next_multiple_of(2 * V::N)));
        for start in (0..self.cols).step_by(COLUMN_TILE) {
            let range = start..(start + COLUMN_TILE).min(self.cols);
            let out = &mut scaled.as_mut_slice()[..range.len().next_multiple_of(2 * V::N)];
            let (centre, low) = V::Isa::enter(Scale { h: &h[range.clone()], factor: LOG2_E * per, out });
            if fold {
                self.tiles.fold(start, &mut scaled.as_mut_slice()[..range.len()]);
            }
            f(&Columns { range, centre, low, h: scaled.as_slice().as_ptr() });
        }
    }

    /// Rows' shifts in base 2 against a tile whose h lost `centre`.
    fn shifts(&self, block: &Block, rows: &Range<usize>, shift: &[f64], centre: f64) -> [V::Elem; ROW_BLOCK] {
        block.index().map(|i| V::Elem::from_f64((shift[i - rows.start] + centre) * LOG2_E))
    }

    fn check(&self, rows: &Range<usize>, per_row: usize) {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        assert_eq!(per_row, rows.len());
    }

    /// For weighted sums: `f(row, tile's dot products)`; v has one column here.
    fn dot(
        &self,
        buffer: &Aligned<V::Elem>,
        costs: Option<&Aligned<V::Elem>>,
        v: &[f64],
        cols: usize,
    ) -> [f64; ROW_BLOCK] {
        let buffer = buffer.as_slice().as_ptr();
        V::Isa::enter(Dot::<V> { buffer, costs: costs.map(|c| c.as_slice().as_ptr()), v: v.as_ptr(), cols })
    }

    fn buffer(&self) -> Aligned<V::Elem> {
        Aligned::zeros(ROW_BLOCK * COLUMN_TILE.min(self.cols.next_multiple_of(2 * V::N)))
    }
}

impl<V: Lanes> Rows for Engine<V> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn max_sum(&self, rows: Range<usize>, h: &[f64], acc: &mut [MaxSum]) {
        self.check(&rows, acc.len());
        let mut folded = Aligned::zeros(COLUMN_TILE.min(self.cols.next_multiple_of(2 * V::N)));
        self.for_tiles(h, 1.0, false, |columns| {
            let len = columns.range.len().next_multiple_of(2 * V::N);
            // SAFETY: h has the tile's columns with their padding.
            folded.as_mut_slice()[..len].copy_from_slice(unsafe { std::slice::from_raw_parts(columns.h, len) });
            self.tiles.fold(columns.range.start, &mut folded.as_mut_slice()[..columns.range.len()]);
            for block in Block::of(rows.clone()) {
                let max = self.tiles.maximum(self.place(&block, columns));
                // A row of −∞ alone has no maximum to subtract, and is left out.
                let shift = max.map(|m| V::Elem::from_f64(if m == f64::NEG_INFINITY { 0.0 } else { -m }));
                let at = Place { h: folded.as_slice().as_ptr(), ..self.place(&block, columns) };
                let sums = self.tiles.exponentials(at, shift, std::ptr::null_mut(), None);
                for i in block.live.clone() {
                    let (max, sum) = (max[i - block.base], sums[i - block.base]);
                    if max > f64::NEG_INFINITY {
                        acc[i - rows.start].merge(MaxSum { max: max / LOG2_E + columns.centre, sum });
                    }
                }
            }
        });
    }

    fn shifted_sum(&self, rows: Range<usize>, h: &[f64], shift: &[f64], sums: &mut [f64]) {
        self.check(&rows, shift.len());
        self.check(&rows, sums.len());
        self.for_tiles(h, 1.0, true, |columns| {
            for block in Block::of(rows.clone()) {
                let at = self.place_with(&block, columns, &rows, shift);
                let shift = self.shifts(&block, &rows, shift, columns.centre);
                let tile = self.tiles.exponentials(at, shift, std::ptr::null_mut(), None);
                for i in block.live.clone() {
                    sums[i - rows.start] += tile[i - block.base];
                }
            }
        });
    }

    fn exponentials(&self, rows: Range<usize>, h: &[f64], shift: &[f64], out: &mut [f64]) {
        self.check(&rows, shift.len());
        assert_eq!(out.len(), rows.len() * self.cols);
        let mut buffer = self.buffer();
        self.for_tiles(h, 1.0, true, |columns| {
            for block in Block::of(rows.clone()) {
                let shift = self.shifts(&block, &rows, shift, columns.centre);
                let to = buffer.as_mut_slice().as_mut_ptr();
                self.tiles.exponentials(self.place(&block, columns), shift, to, None);
                for i in block.live.clone() {
                    let row = &mut out[(i - rows.start) * self.cols..][columns.range.clone()];
                    for (v, part) in row.chunks_mut(V::N).enumerate() {
                        let from = &buffer.as_slice()[(ROW_BLOCK * v + i - block.base) * V::N..];
                        for (o, e) in part.iter_mut().zip(from) {
                            *o = e.to_f64();
                        }
                    }
                }
            }
        });
    }

    fn weighted_sum(&self, rows: Range<usize>, h: &[f64], shift: &[f64], v: &[f64], width: usize, out: &mut [f64]) {
        self.check(&rows, shift.len());
        assert!(v.len() == self.cols * width && out.len() == rows.len() * width);
        let mut buffer = self.buffer();
        let stride = COLUMN_TILE.min(self.cols.next_multiple_of(2 * V::N));
        let mut by_column = vec![0.0; stride * width];
        self.for_tiles(h, 1.0, true, |columns| {
            for k in 0..width {
                let part = &mut by_column[k * stride..(k + 1) * stride];
                part.fill(0.0);
                for (p, j) in part.iter_mut().zip(columns.range.clone()) {
                    *p = v[j * width + k];
                }
            }
            for block in Block::of(rows.clone()) {
                let shift = self.shifts(&block, &rows, shift, columns.centre);
                let to = buffer.as_mut_slice().as_mut_ptr();
                self.tiles.exponentials(self.place(&block, columns), shift, to, None);
                for k in 0..width {
                    let dots = self.dot(&buffer, None, &by_column[k * stride..], columns.range.len());
                    for i in block.live.clone() {
                        out[(i - rows.start) * width + k] += dots[i - block.base];
                    }
                }
            }
        });
    }

    fn weighted_cost(&self, rows: Range<usize>, h: &[f64], shift: &[f64], v: &[f64], out: &mut [f64]) {
        self.check(&rows, shift.len());
        self.check(&rows, out.len());
        assert_eq!(v.len(), self.cols);
        let (mut buffer, mut costs) = (self.buffer(), self.buffer());
        let mut weights = vec![0.0; COLUMN_TILE.min(self.cols.next_multiple_of(2 * V::N))];
        self.for_tiles(h, 1.0, true, |columns| {
            weights.fill(0.0);
            weights[..columns.range.len()].copy_from_slice(&v[columns.range.clone()]);
            for block in Block::of(rows.clone()) {
                let shift = self.shifts(&block, &rows, shift, columns.centre);
                let to = buffer.as_mut_slice().as_mut_ptr();
                self.tiles.exponentials(self.place(&block, columns), shift, to, None);
                self.tiles.costs(self.place(&block, columns), costs.as_mut_slice().as_mut_ptr());
                let dots = self.dot(&buffer, Some(&costs), &weights, columns.range.len());
                for i in block.live.clone() {
                    out[i - rows.start] += dots[i - block.base] * (self.epsilon / LOG2_E);
                }
            }
        });
    }

    fn min_plus(&self, rows: Range<usize>, g: &[f64], out: &mut [f64]) {
        self.check(&rows, out.len());
        // min_j (C_ij − g_j) = −ε max_j (g_j/ε − C_ij/ε).
        self.for_tiles(g, 1.0 / self.epsilon, false, |columns| {
            for block in Block::of(rows.clone()) {
                let max = self.tiles.maximum(self.place(&block, columns));
                for i in block.live.clone() {
                    let least = -(max[i - block.base] * (self.epsilon / LOG2_E) + columns.centre);
                    let o = &mut out[i - rows.start];
                    *o = if least < *o { least } else { *o };
                }
            }
        });
    }

    fn scale(&self, h: &[f64]) -> Scaled {
        assert_eq!(h.len(), self.cols);
        let padded = self.cols.next_multiple_of(COLUMN_PADDING);
        let mut scaled = Aligned::<f64>::zeros((padded * size_of::<V::Elem>()).div_ceil(8));
        let elements: &mut [V::Elem] = bytemuck::cast_slice_mut(scaled.as_mut_slice());
        let tiles = (0..self.cols)
            .step_by(COLUMN_TILE)
            .map(|start| {
                let range = start..(start + COLUMN_TILE).min(self.cols);
                let out = &mut elements[start..start + range.len().next_multiple_of(2 * V::N)];
                let (centre, low) = V::Isa::enter(Scale { h: &h[range.clone()], factor: LOG2_E, out });
                self.tiles.fold(start, &mut elements[range]);
                ScaledTile { centre, low }
            })
            .collect();
        Scaled { h: scaled, tiles }
    }

    fn sweep(
        &self,
        rows: Range<usize>,
        h: &Scaled,
        shift: &[f64],
        close: &mut dyn FnMut(usize, f64) -> f64,
        columns: &mut Aligned<f64>,
        scratch: &mut Scratch,
    ) {
        self.check(&rows, shift.len());
        let padded = self.cols.next_multiple_of(COLUMN_PADDING);
        assert_eq!((h.tiles.len(), columns.as_slice().len()), (self.cols.div_ceil(COLUMN_TILE), padded));
        if rows.is_empty() || self.cols == 0 {
            for k in 0..rows.len() {
                close(k, 0.0);
            }
            return;
        }
        let scaled: &[V::Elem] = bytemuck::cast_slice(h.h.as_slice());
        let tile = |(k, tile): (usize, &ScaledTile)| {
            let range = k * COLUMN_TILE..((k + 1) * COLUMN_TILE).min(self.cols);
            let h = scaled[range.start..].as_ptr();
            Columns { range, centre: tile.centre, low: tile.low, h }
        };
        let tiles: SmallVec<[Columns<V::Elem>; 32]> = h.tiles.iter().enumerate().map(tile).collect();
        let buffer = scratch.elements::<V::Elem>(ROW_BLOCK * padded).as_mut_ptr();
        let into = columns.as_mut_slice().as_mut_ptr();
        let mut before: Option<[f64; ROW_BLOCK]> = None;
        for block in Block::of(rows.clone()) {
            let mut sums = [0.0; ROW_BLOCK];
            for of in &tiles {
                let start = of.range.start;
                let at = self.place_with(&block, of, &rows, shift);
                let shift = self.shifts(&block, &rows, shift, of.centre);
                let flush = before.map(|weights| Flush::new(weights, into.wrapping_add(start)));
                let buffer = buffer.wrapping_add(ROW_BLOCK * start);
                let part = self.tiles.exponentials(at, shift, buffer, flush);
                for (sum, part) in sums.iter_mut().zip(part) {
                    *sum += part;
                }
            }
            let mut weights = [0.0; ROW_BLOCK];
            for i in block.live.clone() {
                weights[i - block.base] = close(i - rows.start, sums[i - block.base]);
            }
            before = Some(weights);
        }
        if let Some(weights) = before {
            V::Isa::enter(FlushRows::<V> { buffer, cols: self.cols, flush: Flush::new(weights, into) });
        }
    }

    fn cost_moments(&self, rows: Range<usize>, about: f64) -> [f64; 4] {
        assert!(rows.end <= self.rows);
        let mut buffer = self.buffer();
        let mut moments = [f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0];
        let unit = self.epsilon / LOG2_E;
        let about = about / unit;
        for i in rows {
            // Row by row, so that the sums do not depend on how rows are cut into blocks.
            let block = Block { base: i, live: i..i + 1 };
            for start in (0..self.cols).step_by(COLUMN_TILE) {
                let range = start..(start + COLUMN_TILE).min(self.cols);
                let cols = range.len();
                let at = self.place(&block, &Columns { range, centre: 0.0, low: 0.0, h: std::ptr::null() });
                self.tiles.costs(at, buffer.as_mut_slice().as_mut_ptr());
                let [q, ..] = V::Isa::enter(Moments::<V> { buffer: buffer.as_slice().as_ptr(), cols, about });
                moments[0] = moments[0].min(q[0] * unit);
                moments[1] = moments[1].max(q[1] * unit);
                moments[2] += q[2] * unit;
                moments[3] += q[3] * unit * unit;
            }
        }
        moments
    }

    fn cost_sum(&self, rows: Range<usize>, v: &[f64], out: &mut [f64]) {
        self.check(&rows, out.len());
        assert_eq!(v.len(), self.cols);
        let mut costs = self.buffer();
        let mut weights = vec![0.0; COLUMN_TILE.min(self.cols.next_multiple_of(2 * V::N))];
        for start in (0..self.cols).step_by(COLUMN_TILE) {
            let range = start..(start + COLUMN_TILE).min(self.cols);
            weights.fill(0.0);
            weights[..range.len()].copy_from_slice(&v[range.clone()]);
            let tile = Columns { range, centre: 0.0, low: 0.0, h: std::ptr::null() };
            for block in Block::of(rows.clone()) {
                self.tiles.costs(self.place(&block, &tile), costs.as_mut_slice().as_mut_ptr());
                let dots = self.dot(&costs, None, &weights, tile.range.len());
                for i in block.live.clone() {
                    out[i - rows.start] += dots[i - block.base] * (self.epsilon / LOG2_E);
                }
            }
        }
    }

    fn cost(&self, i: usize, j: usize) -> f64 {
        self.tiles.plain(i, j)
    }
}
