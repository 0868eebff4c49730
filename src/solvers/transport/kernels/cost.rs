//! Costs against vectors of columns, in base-2 units: q_ij = C_ij · log2(e)/ε.

use std::sync::Arc;

use super::cloud::Cloud;
use super::lanes::{Element, Lanes};
use super::points::Pair;

/// Rows handled together. A row's bits do not depend on its neighbours.
pub const ROW_BLOCK: usize = 4;

/// Scaled costs of four rows against one vector of columns.
pub trait Cost<V: Lanes>: Send + Sync + 'static {
    /// Whether `pair` gains over two calls of `vector`.
    const PAIRS: bool = false;
    /// Four rows, ready for the loop over columns.
    type Rows: Copy;
    fn rows(&self, index: [usize; ROW_BLOCK]) -> Self::Rows;
    /// q of the four rows against columns N·v … N·v + N − 1. Columns past the last one give any finite number.
    ///
    /// # Safety
    /// N·v is below the number of columns rounded up to a multiple of 2N.
    unsafe fn vector(&self, rows: &Self::Rows, v: usize) -> [V; ROW_BLOCK];
    /// hs − q of the four rows.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn exponents(&self, rows: &Self::Rows, v: usize, hs: [V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
        let mut z = unsafe { self.vector(rows, v) };
        for r in 0..ROW_BLOCK {
            z[r] = hs[r].sub(z[r]);
        }
        z
    }
    /// Whether `folded` is to be used for exponentials, h and shift having gone through `fold_columns`, `fold_rows`.
    const FOLDED: bool = false;
    /// h_j ← h_j − |y_j|² for the columns from `start` on.
    fn fold_columns(&self, _start: usize, _h: &mut [V::Elem]) {}
    /// shift_r ← shift_r − |x_r|².
    fn fold_rows(&self, _index: [usize; ROW_BLOCK], shift: [V::Elem; ROW_BLOCK]) -> [V::Elem; ROW_BLOCK] {
        shift
    }
    /// The exponents from folded h + shift: hs + 2 x·y.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn folded(&self, rows: &Self::Rows, v: usize, hs: [V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
        unsafe { self.exponents(rows, v, hs) }
    }
    /// `vector` for v and v + 1.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn pair(&self, rows: &Self::Rows, v: usize) -> [[V; ROW_BLOCK]; 2] {
        unsafe { [self.vector(rows, v), self.vector(rows, v + 1)] }
    }
    /// C_ij, plainly, in units of the cost.
    fn plain(&self, i: usize, j: usize) -> f64;
}

/// What becomes of the difference vector x − y.
pub trait Metric<V: Lanes>: Send + Sync + Copy + 'static {
    /// Whether q is the sum of squares itself.
    const SQUARES: bool;
    /// Whether it may be expanded: |x|² + |y|² − 2 x·y.
    const EXPANDS: bool = false;
    /// One component of the difference.
    fn wrap(self, difference: V) -> V;
    /// q from the sum of squares.
    fn finish(self, squares: V) -> V;
}

/// |x − y|², points scaled by √(log2(e)/ε).
#[derive(Clone, Copy)]
pub struct Squared;

impl<V: Lanes> Metric<V> for Squared {
    const SQUARES: bool = true;
    const EXPANDS: bool = true;

    #[inline(always)]
    fn wrap(self, difference: V) -> V {
        difference
    }
    #[inline(always)]
    fn finish(self, squares: V) -> V {
        squares
    }
}

/// |x − y|² on the torus: every difference brought into [−period/2, period/2].
#[derive(Clone, Copy)]
pub struct Torus<E> {
    pub minus_period: E,
    pub inverse: E,
}

impl<V: Lanes> Metric<V> for Torus<V::Elem>
where
    V::Elem: 'static,
{
    const SQUARES: bool = true;

    #[inline(always)]
    fn wrap(self, difference: V) -> V {
        let turns = difference.mul(V::splat(self.inverse)).round();
        turns.mul_add(V::splat(self.minus_period), difference)
    }
    #[inline(always)]
    fn finish(self, squares: V) -> V {
        squares
    }
}

/// |x − y|, points scaled by log2(e)/ε.
#[derive(Clone, Copy)]
pub struct Euclidean;

impl<V: Lanes> Metric<V> for Euclidean {
    const SQUARES: bool = false;

    #[inline(always)]
    fn wrap(self, difference: V) -> V {
        difference
    }
    #[inline(always)]
    fn finish(self, squares: V) -> V {
        squares.sqrt()
    }
}

/// |x − y|^p = R^p · 2^A, A = p/2 · log2|x/R − y/R|² ≤ 0, of points divided by a power of two R above their extent: the
/// rounding of A counts by |A| 2^A, whatever the units and ε.
#[derive(Clone, Copy)]
pub struct Power<E> {
    /// p/2.
    pub half: E,
    /// R^p·log2(e)/ε.
    pub largest: E,
    /// Smallest normal number, and its inverse.
    pub smallest: E,
    pub ramp: E,
}

impl<V: Lanes> Metric<V> for Power<V::Elem>
where
    V::Elem: 'static,
{
    const SQUARES: bool = false;

    #[inline(always)]
    fn wrap(self, difference: V) -> V {
        difference
    }
    #[inline(always)]
    fn finish(self, squares: V) -> V {
        // The logarithm wants normal numbers, and the ramp is 0 at distance 0, at least 1 at normal ones.
        let power = squares.max(V::splat(self.smallest)).log2().mul(V::splat(self.half)).exp2();
        power.min(squares.mul(V::splat(self.ramp))).mul(V::splat(self.largest))
    }
}

/// The difference form Σ_k (x_k − y_k)²; D = 0 stands for a dimension known at run time.
pub struct Difference<E, M, const D: usize> {
    pub from: Arc<Cloud<E>>,
    pub to: Arc<Cloud<E>>,
    pub metric: M,
    pub pair: Pair,
}

/// Coordinates of four rows: kept in registers for D > 0, else where they stand in the cloud.
#[derive(Clone, Copy)]
pub struct PointRows<V: Lanes, const D: usize> {
    coordinates: [[V; D]; ROW_BLOCK],
    pointers: [*const V::Elem; ROW_BLOCK],
    /// First block of columns.
    columns: *const V::Elem,
}

impl<V: Lanes, M: Metric<V>, const D: usize> Cost<V> for Difference<V::Elem, M, D> {
    type Rows = PointRows<V, D>;

    #[inline(always)]
    fn rows(&self, index: [usize; ROW_BLOCK]) -> PointRows<V, D> {
        let zero = V::splat(V::Elem::default());
        let mut coordinates = [[zero; D]; ROW_BLOCK];
        for r in 0..ROW_BLOCK {
            for k in 0..D {
                coordinates[r][k] = V::splat(self.from.coordinate(index[r], k));
            }
        }
        PointRows { coordinates, pointers: index.map(|i| self.from.row(i)), columns: self.to.block(0) }
    }

    #[inline(always)]
    unsafe fn vector(&self, rows: &PointRows<V, D>, v: usize) -> [V; ROW_BLOCK] {
        let mut squares = [V::splat(V::Elem::default()); ROW_BLOCK];
        if D > 0 {
            let y = rows.columns.wrapping_add(v * D * V::N);
            for k in 0..D {
                let y = unsafe { V::load(y.add(k * V::N)) };
                for r in 0..ROW_BLOCK {
                    let t = self.metric.wrap(rows.coordinates[r][k].sub(y));
                    squares[r] = if k == 0 { t.mul(t) } else { t.mul_add(t, squares[r]) };
                }
            }
        } else {
            let y = self.to.block(v);
            for k in 0..self.to.dimension() {
                let y = unsafe { V::load(y.add(k * V::N)) };
                for r in 0..ROW_BLOCK {
                    let x = V::splat(unsafe { *rows.pointers[r].add(k * V::N) });
                    let t = self.metric.wrap(x.sub(y));
                    squares[r] = t.mul_add(t, squares[r]);
                }
            }
        }
        for s in &mut squares {
            *s = self.metric.finish(*s);
        }
        squares
    }

    #[inline(always)]
    unsafe fn exponents(&self, rows: &PointRows<V, D>, v: usize, mut hs: [V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
        if D > 0 && M::SQUARES {
            // Squares straight off hs: where an exponential counts, hs is about q, so nothing is lost.
            let y = rows.columns.wrapping_add(v * D * V::N);
            for k in 0..D {
                let y = unsafe { V::load(y.add(k * V::N)) };
                for r in 0..ROW_BLOCK {
                    let t = self.metric.wrap(rows.coordinates[r][k].sub(y));
                    hs[r] = t.neg_mul_add(t, hs[r]);
                }
            }
            return hs;
        }
        let q = unsafe { self.vector(rows, v) };
        for r in 0..ROW_BLOCK {
            hs[r] = hs[r].sub(q[r]);
        }
        hs
    }

    // In f64 expanding costs no accuracy to speak of: |x|² and |y|² (from the middle of the box) are rounded like
    // potentials of that size. In f32 it would cost a factor of 50.
    const FOLDED: bool = V::N == 8 && D > 0 && M::EXPANDS;

    fn fold_columns(&self, start: usize, h: &mut [V::Elem]) {
        if <Self as Cost<V>>::FOLDED {
            for (v, h) in h.chunks_mut(V::N).enumerate() {
                for (h, square) in h.iter_mut().zip(self.to.squares::<D>(start / V::N + v)) {
                    *h = V::Elem::from_f64(h.to_f64() - square);
                }
            }
        }
    }

    fn fold_rows(&self, index: [usize; ROW_BLOCK], mut shift: [V::Elem; ROW_BLOCK]) -> [V::Elem; ROW_BLOCK] {
        if <Self as Cost<V>>::FOLDED {
            for r in 0..ROW_BLOCK {
                shift[r] = V::Elem::from_f64(shift[r].to_f64() - self.from.square(index[r]));
            }
        }
        shift
    }

    #[inline(always)]
    unsafe fn folded(&self, rows: &PointRows<V, D>, v: usize, mut hs: [V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
        let y = rows.columns.wrapping_add(v * D * V::N);
        for k in 0..D {
            let y = unsafe { V::load(y.add(k * V::N)) };
            // Doubling y for four rows is cheaper than keeping 2x beside x.
            let y = y.add(y);
            for r in 0..ROW_BLOCK {
                hs[r] = rows.coordinates[r][k].mul_add(y, hs[r]);
            }
        }
        hs
    }

    fn plain(&self, i: usize, j: usize) -> f64 {
        self.pair.cost(i, j)
    }
}

/// The product form |x|² + |y|² − 2 x·y for high dimension: one multiply-add per coordinate. Every entry is summed
/// over k in order, so its bits do not depend on the blocking.
pub struct Product<E> {
    pub from: Arc<Cloud<E>>,
    pub to: Arc<Cloud<E>>,
    pub pair: Pair,
}

#[derive(Clone, Copy)]
pub struct ProductRows<V: Lanes> {
    norms: [V; ROW_BLOCK],
    pointers: [*const V::Elem; ROW_BLOCK],
}

impl<E: Element> Product<E> {
    #[inline(always)]
    fn finish<V: Lanes<Elem = E>>(&self, rows: &ProductRows<V>, v: usize, mut dot: [V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
        let y = unsafe { V::load(self.to.norms(v)) };
        let minus_two = V::splat(E::from_f64(-2.0));
        let zero = V::splat(E::default());
        // Rounding must not make a cost negative.
        for r in 0..ROW_BLOCK {
            dot[r] = dot[r].mul_add(minus_two, rows.norms[r].add(y)).max(zero);
        }
        dot
    }

    #[inline(always)]
    unsafe fn dots<V: Lanes<Elem = E>, const W: usize>(&self, rows: &ProductRows<V>, v: usize) -> [[V; ROW_BLOCK]; W] {
        let mut dots = [[V::splat(E::default()); ROW_BLOCK]; W];
        let d = self.to.dimension();
        let first = self.to.block(v);
        for k in 0..d {
            let mut y = [dots[0][0]; W];
            for w in 0..W {
                y[w] = unsafe { V::load(first.add((w * d + k) * V::N)) };
            }
            for r in 0..ROW_BLOCK {
                let x = V::splat(unsafe { *rows.pointers[r].add(k * V::N) });
                for w in 0..W {
                    dots[w][r] = x.mul_add(y[w], dots[w][r]);
                }
            }
        }
        dots
    }
}

impl<V: Lanes> Cost<V> for Product<V::Elem> {
    type Rows = ProductRows<V>;
    const PAIRS: bool = V::MANY_REGISTERS;

    #[inline(always)]
    fn rows(&self, index: [usize; ROW_BLOCK]) -> ProductRows<V> {
        let mut norms = [V::splat(V::Elem::default()); ROW_BLOCK];
        for r in 0..ROW_BLOCK {
            norms[r] = V::splat(self.from.norm(index[r]));
        }
        ProductRows { norms, pointers: index.map(|i| self.from.row(i)) }
    }

    #[inline(always)]
    unsafe fn vector(&self, rows: &ProductRows<V>, v: usize) -> [V; ROW_BLOCK] {
        let [dot] = unsafe { self.dots::<V, 1>(rows, v) };
        self.finish(rows, v, dot)
    }

    #[inline(always)]
    unsafe fn pair(&self, rows: &ProductRows<V>, v: usize) -> [[V; ROW_BLOCK]; 2] {
        // Eight independent sums hide the latency of the multiply-add.
        let [a, b] = unsafe { self.dots::<V, 2>(rows, v) };
        [self.finish(rows, v, a), self.finish(rows, v + 1, b)]
    }

    fn plain(&self, i: usize, j: usize) -> f64 {
        self.pair.cost(i, j)
    }
}

/// A stored cost matrix, row-major.
pub struct Dense<E> {
    pub matrix: Arc<[f64]>,
    pub cols: usize,
    /// log2(e)/ε.
    pub scale: E,
}

impl<V: Lanes> Cost<V> for Dense<V::Elem> {
    type Rows = [*const f64; ROW_BLOCK];

    #[inline(always)]
    fn rows(&self, index: [usize; ROW_BLOCK]) -> Self::Rows {
        index.map(|i| self.matrix[i * self.cols..(i + 1) * self.cols].as_ptr())
    }

    #[inline(always)]
    unsafe fn vector(&self, rows: &Self::Rows, v: usize) -> [V; ROW_BLOCK] {
        let (start, scale) = (v * V::N, V::splat(self.scale));
        let mut q = [scale; ROW_BLOCK];
        for r in 0..ROW_BLOCK {
            let row = rows[r].wrapping_add(start);
            let c = if start + V::N <= self.cols {
                unsafe { V::load_f64(row) }
            } else {
                let mut last = [0.0f64; 16];
                for (k, x) in last.iter_mut().enumerate().take(self.cols.saturating_sub(start)) {
                    *x = unsafe { *row.add(k) };
                }
                unsafe { V::load_f64(last.as_ptr()) }
            };
            q[r] = c.mul(scale);
        }
        q
    }

    fn plain(&self, i: usize, j: usize) -> f64 {
        self.matrix[i * self.cols + j]
    }
}
