//! The inner loops: four rows against one tile of columns.
//!
//! Buffers of exponentials or costs hold vector v of row r at (4v + r)·N: one stream for the four rows.

use std::marker::PhantomData;

use super::cost::{Cost, ROW_BLOCK};
use super::lanes::{Element, Lanes, max_lane, tree_sum};
use super::level::{Isa, Op};

// Loops instead of `map` and closures below: a closure that is not inlined loses the instructions of its level.

#[inline(always)]
fn splat_all<V: Lanes>(x: [V::Elem; ROW_BLOCK]) -> [V; ROW_BLOCK] {
    let mut v = [V::splat(x[0]); ROW_BLOCK];
    for r in 1..ROW_BLOCK {
        v[r] = V::splat(x[r]);
    }
    v
}

#[inline(always)]
fn minus<V: Lanes>(mut a: [V; ROW_BLOCK], b: [V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
    for r in 0..ROW_BLOCK {
        a[r] = a[r].sub(b[r]);
    }
    a
}

#[inline(always)]
pub fn tree_sums<V: Lanes>(v: [V; ROW_BLOCK]) -> [f64; ROW_BLOCK] {
    let mut sums = [0.0; ROW_BLOCK];
    for r in 0..ROW_BLOCK {
        sums[r] = tree_sum(v[r]);
    }
    sums
}

/// Where a block of four rows meets a tile.
#[derive(Clone, Copy)]
pub struct Place<E> {
    /// The four rows.
    pub index: [usize; ROW_BLOCK],
    /// First column of the tile.
    pub start: usize,
    /// Columns of the tile.
    pub cols: usize,
    /// No exponent falls below the clamp, which is then left out: the bits are the same.
    pub unclamped: bool,
    /// Scaled h of the tile: `cols` values, then −∞ up to a multiple of two vectors.
    pub h: *const E,
}

/// What a pass needs of a cost at some element and level. Dynamic, so that passes are compiled once per element and
/// level and not once per cost: a call does thousands of entries.
pub trait Tiles<E>: Send + Sync {
    /// Σ_j 2^(h_j + shift_r − q_rj) of four rows; stored into `buffer` unless it is null. With `flush` the former content
    /// of `buffer` is added to the columns on the way.
    fn exponentials(
        &self,
        at: Place<E>,
        shift: [E; ROW_BLOCK],
        buffer: *mut E,
        flush: Option<Flush<E>>,
    ) -> [f64; ROW_BLOCK];
    /// What `exponentials` wants of scaled h: to be called once for a tile's h, which `maximum` must not see.
    fn fold(&self, start: usize, h: &mut [E]);
    /// max_j (h_j − q_rj) of four rows.
    fn maximum(&self, at: Place<E>) -> [f64; ROW_BLOCK];
    /// q of four rows into `buffer`.
    fn costs(&self, at: Place<E>, buffer: *mut E);
    /// C_ij, plainly, in units of the cost.
    fn plain(&self, i: usize, j: usize) -> f64;
}

/// A cost at the vectors of a level.
pub struct On<V, C>(pub C, pub PhantomData<V>);

impl<V: Lanes, C: Cost<V>> Tiles<V::Elem> for On<V, C> {
    fn exponentials(
        &self,
        at: Place<V::Elem>,
        shift: [V::Elem; ROW_BLOCK],
        buffer: *mut V::Elem,
        flush: Option<Flush<V::Elem>>,
    ) -> [f64; ROW_BLOCK] {
        let cost = &self.0;
        let shift = cost.fold_rows(at.index, shift);
        let to = flush.unwrap_or(Flush::none(V::Elem::default()));
        match (buffer.is_null(), flush.is_some(), at.unclamped) {
            (_, true, false) => {
                V::Isa::enter(Exponentials::<V, C, true, true, true> { cost, at, shift, buffer, flush: to })
            }
            (_, true, true) => {
                V::Isa::enter(Exponentials::<V, C, true, true, false> { cost, at, shift, buffer, flush: to })
            }
            (true, _, false) => {
                V::Isa::enter(Exponentials::<V, C, false, false, true> { cost, at, shift, buffer, flush: to })
            }
            (true, _, true) => {
                V::Isa::enter(Exponentials::<V, C, false, false, false> { cost, at, shift, buffer, flush: to })
            }
            (false, false, _) => {
                V::Isa::enter(Exponentials::<V, C, true, false, true> { cost, at, shift, buffer, flush: to })
            }
        }
    }

    fn fold(&self, start: usize, h: &mut [V::Elem]) {
        self.0.fold_columns(start, h);
    }

    fn maximum(&self, at: Place<V::Elem>) -> [f64; ROW_BLOCK] {
        V::Isa::enter(Maximum::<V, C> { cost: &self.0, at })
    }

    fn costs(&self, at: Place<V::Elem>, buffer: *mut V::Elem) {
        V::Isa::enter(Costs::<V, C> { cost: &self.0, at, buffer });
    }

    fn plain(&self, i: usize, j: usize) -> f64 {
        self.0.plain(i, j)
    }
}

/// Weights of the four rows before, whose exponentials stand in the buffer, and where their columns go.
#[derive(Clone, Copy)]
pub struct Flush<E> {
    pub weights: [E; ROW_BLOCK],
    /// Power of two by which f32 weights were divided; 1 in f64.
    pub scale: f64,
    pub columns: *mut f64,
}

impl<E: Element> Flush<E> {
    pub const fn none(zero: E) -> Flush<E> {
        Flush { weights: [zero; ROW_BLOCK], scale: 1.0, columns: std::ptr::null_mut() }
    }

    /// In f32 the weights of a block are divided by a common power of two, so that they keep their digits.
    pub fn new(weights: [f64; ROW_BLOCK], columns: *mut f64) -> Flush<E> {
        let largest = weights.into_iter().fold(0.0, f64::max);
        let mut scale = 1.0;
        if size_of::<E>() == 4 && (f64::MIN_POSITIVE..f64::INFINITY).contains(&largest) {
            scale = f64::from_bits(largest.to_bits() & (0x7ff << 52));
        }
        Flush { weights: weights.map(|w| E::from_f64(w / scale)), scale, columns }
    }

    /// columns_j += Σ_r w_r e_rj of one vector: row after row in f64; in f32 the four rows first, then in f64.
    ///
    /// # Safety
    /// `columns` has N places at offset `at`.
    #[inline(always)]
    unsafe fn vector<V: Lanes<Elem = E>>(&self, e: [V; ROW_BLOCK], at: usize) {
        let columns = self.columns.wrapping_add(at);
        if V::N == 8 {
            let mut c = unsafe { V::Wide::load(columns) };
            for r in 0..ROW_BLOCK {
                c = V::splat(self.weights[r]).wide(0).mul_add(e[r].wide(0), c);
            }
            unsafe { c.store(columns) };
        } else {
            let mut sum = e[0].mul(V::splat(self.weights[0]));
            for r in 1..ROW_BLOCK {
                sum = V::splat(self.weights[r]).mul_add(e[r], sum);
            }
            for k in 0..V::N / 8 {
                let p = columns.wrapping_add(8 * k);
                let c = V::Wide::splat(self.scale).mul_add(sum.wide(k), unsafe { V::Wide::load(p) });
                unsafe { c.store(p) };
            }
        }
    }

    /// The same for the first `n` lanes only.
    ///
    /// # Safety
    /// `columns` has n ≤ N places at offset `at`.
    #[inline(always)]
    unsafe fn partial<V: Lanes<Elem = E>>(&self, e: [V; ROW_BLOCK], at: usize, n: usize) {
        let mut last = [0.0f64; 16];
        let columns = self.columns.wrapping_add(at);
        // SAFETY: n places of `columns`, 16 of `last`.
        unsafe {
            std::ptr::copy_nonoverlapping(columns, last.as_mut_ptr(), n);
            Flush { columns: last.as_mut_ptr(), ..*self }.vector(e, 0);
            std::ptr::copy_nonoverlapping(last.as_ptr(), columns, n);
        }
    }
}

/// Σ_j 2^(h_j + shift_r − q_rj) of the tile for four rows, with `STORE` into `buffer`; with `FLUSH` the former content
/// of `buffer` is added to the columns on the way, so that everything is read and written once per four rows.
struct Exponentials<'a, V: Lanes, C, const STORE: bool, const FLUSH: bool, const CLAMP: bool> {
    cost: &'a C,
    at: Place<V::Elem>,
    shift: [V::Elem; ROW_BLOCK],
    buffer: *mut V::Elem,
    /// Columns of the tile start at `flush.columns`.
    flush: Flush<V::Elem>,
}

impl<V: Lanes, C: Cost<V>, const STORE: bool, const FLUSH: bool, const CLAMP: bool>
    Exponentials<'_, V, C, STORE, FLUSH, CLAMP>
{
    /// h_j + shift_r of vector v.
    #[inline(always)]
    unsafe fn start(&self, v: usize, shift: &[V; ROW_BLOCK]) -> [V; ROW_BLOCK] {
        let h = unsafe { V::load(self.at.h.add(v * V::N)) };
        let mut hs = *shift;
        for r in 0..ROW_BLOCK {
            hs[r] = h.add(hs[r]);
        }
        hs
    }

    /// Exponents z of vector v, of which the first `n` lanes are columns (n = N: all, known at compile time).
    ///
    /// # Safety
    /// Pointers as in the struct's description.
    #[inline(always)]
    unsafe fn step(&self, z: [V; ROW_BLOCK], v: usize, n: usize, sums: &mut [V; ROW_BLOCK]) {
        let place = self.buffer.wrapping_add(ROW_BLOCK * V::N * v);
        let mut before = z;
        let mut e = V::exp2_rows::<CLAMP>(z);
        for r in 0..ROW_BLOCK {
            if n < V::N {
                e[r] = e[r].first(n);
            }
            if FLUSH {
                before[r] = unsafe { V::load(place.add(r * V::N)) };
            }
            if STORE {
                unsafe { e[r].store(place.add(r * V::N)) };
            }
            sums[r] = sums[r].add(e[r]);
        }
        if FLUSH && n == V::N {
            unsafe { self.flush.vector(before, v * V::N) };
        } else if FLUSH {
            unsafe { self.flush.partial(before, v * V::N, n) };
        }
    }
}

impl<V: Lanes, C: Cost<V>, const STORE: bool, const FLUSH: bool, const CLAMP: bool> Op
    for Exponentials<'_, V, C, STORE, FLUSH, CLAMP>
{
    type Out = [f64; ROW_BLOCK];

    #[inline(always)]
    fn run(self) -> [f64; ROW_BLOCK] {
        let cost = self.cost;
        let Place { index, start, cols, .. } = self.at;
        let first = start / V::N;
        let rows = cost.rows(index);
        let shift = splat_all(self.shift);
        let mut sums = [V::splat(V::Elem::default()); ROW_BLOCK];
        let whole = cols / V::N;
        let mut v = 0;
        // SAFETY: the tile's columns, its buffer and its part of the columns are as long as described.
        unsafe {
            if C::PAIRS {
                while v + 2 <= whole {
                    let [a, b] = cost.pair(&rows, first + v);
                    self.step(minus(self.start(v, &shift), a), v, V::N, &mut sums);
                    self.step(minus(self.start(v + 1, &shift), b), v + 1, V::N, &mut sums);
                    v += 2;
                }
            }
            while v < whole {
                let hs = self.start(v, &shift);
                let z =
                    if C::FOLDED { cost.folded(&rows, first + v, hs) } else { cost.exponents(&rows, first + v, hs) };
                self.step(z, v, V::N, &mut sums);
                v += 1;
            }
            let rest = cols - whole * V::N;
            if rest > 0 {
                let hs = self.start(v, &shift);
                let z =
                    if C::FOLDED { cost.folded(&rows, first + v, hs) } else { cost.exponents(&rows, first + v, hs) };
                self.step(z, v, rest, &mut sums);
            }
        }
        tree_sums(sums)
    }
}

/// The last rows of a sweep: buffer to columns.
pub struct FlushRows<V: Lanes> {
    pub buffer: *const V::Elem,
    pub cols: usize,
    pub flush: Flush<V::Elem>,
}

impl<V: Lanes> FlushRows<V> {
    #[inline(always)]
    fn load(&self, v: usize) -> [V; ROW_BLOCK] {
        let mut e = [V::splat(V::Elem::default()); ROW_BLOCK];
        for r in 0..ROW_BLOCK {
            // SAFETY: the buffer has all vectors of the columns.
            e[r] = unsafe { V::load(self.buffer.add((ROW_BLOCK * v + r) * V::N)) };
        }
        e
    }
}

impl<V: Lanes> Op for FlushRows<V> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let whole = self.cols / V::N;
        for v in 0..whole {
            // SAFETY: `columns` has `cols` places.
            unsafe { self.flush.vector(self.load(v), v * V::N) };
        }
        let rest = self.cols - whole * V::N;
        if rest > 0 {
            // SAFETY: as above.
            unsafe { self.flush.partial(self.load(whole), whole * V::N, rest) };
        }
    }
}

/// max_j (h_j − q_rj) of the tile.
struct Maximum<'a, V: Lanes, C> {
    cost: &'a C,
    at: Place<V::Elem>,
}

impl<V: Lanes, C: Cost<V>> Op for Maximum<'_, V, C> {
    type Out = [f64; ROW_BLOCK];

    #[inline(always)]
    fn run(self) -> [f64; ROW_BLOCK] {
        let cost = self.cost;
        let Place { index, start, cols, h, .. } = self.at;
        let first = start / V::N;
        let rows = cost.rows(index);
        let mut most = [V::splat(V::Elem::NEG_INFINITY); ROW_BLOCK];
        let vectors = cols.div_ceil(V::N);
        let mut v = 0;
        // SAFETY: h is padded with −∞, so that places past the last column do not count.
        unsafe {
            if C::PAIRS {
                while v + 2 <= vectors {
                    let [a, b] = cost.pair(&rows, first + v);
                    raise(&mut most, minus([V::load(h.add(v * V::N)); ROW_BLOCK], a));
                    raise(&mut most, minus([V::load(h.add((v + 1) * V::N)); ROW_BLOCK], b));
                    v += 2;
                }
            }
            while v < vectors {
                let h = V::load(h.add(v * V::N));
                raise(&mut most, cost.exponents(&rows, first + v, [h; ROW_BLOCK]));
                v += 1;
            }
        }
        let mut max = [0.0; ROW_BLOCK];
        for r in 0..ROW_BLOCK {
            max[r] = max_lane(most[r]);
        }
        max
    }
}

/// most_r ← max(most_r, z_r).
#[inline(always)]
fn raise<V: Lanes>(most: &mut [V; ROW_BLOCK], z: [V; ROW_BLOCK]) {
    for r in 0..ROW_BLOCK {
        most[r] = z[r].max(most[r]);
    }
}

/// q of the tile into `buffer`.
struct Costs<'a, V: Lanes, C> {
    cost: &'a C,
    at: Place<V::Elem>,
    buffer: *mut V::Elem,
}

impl<V: Lanes, C: Cost<V>> Op for Costs<'_, V, C> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.cost.rows(self.at.index);
        let first = self.at.start / V::N;
        for v in 0..self.at.cols.div_ceil(V::N) {
            // SAFETY: the buffer has all vectors of the tile.
            unsafe {
                let q = self.cost.vector(&rows, first + v);
                for r in 0..ROW_BLOCK {
                    q[r].store(self.buffer.add((ROW_BLOCK * v + r) * V::N));
                }
            }
        }
    }
}

/// Σ_j e_rj v_j (or Σ_j e_rj q_rj v_j), in f64 lanes whatever the buffer holds.
pub struct Dot<V: Lanes> {
    pub buffer: *const V::Elem,
    pub costs: Option<*const V::Elem>,
    /// `cols` values, then 0 up to a multiple of 16.
    pub v: *const f64,
    pub cols: usize,
}

impl<V: Lanes> Op for Dot<V> {
    type Out = [f64; ROW_BLOCK];

    #[inline(always)]
    fn run(self) -> [f64; ROW_BLOCK] {
        let mut sums = [V::Wide::splat(0.0); ROW_BLOCK];
        for v in 0..self.cols.div_ceil(V::N) {
            for r in 0..ROW_BLOCK {
                let at = (ROW_BLOCK * v + r) * V::N;
                // SAFETY: buffers have all vectors of the tile, and v as many values.
                unsafe {
                    let e = V::load(self.buffer.add(at));
                    for k in 0..V::N / 8 {
                        let mut x = V::Wide::load(self.v.add(v * V::N + 8 * k));
                        if let Some(costs) = self.costs {
                            x = x.mul(V::load(costs.add(at)).wide(k));
                        }
                        sums[r] = e.wide(k).mul_add(x, sums[r]);
                    }
                }
            }
        }
        tree_sums(sums)
    }
}

/// (min, max, Σ q, Σ (q − about)²) of each of four rows of a buffer of costs.
pub struct Moments<V: Lanes> {
    pub buffer: *const V::Elem,
    pub cols: usize,
    pub about: f64,
}

impl<V: Lanes> Op for Moments<V> {
    type Out = [[f64; 4]; ROW_BLOCK];

    #[inline(always)]
    fn run(self) -> [[f64; 4]; ROW_BLOCK] {
        std::array::from_fn(|r| {
            let (mut low, mut high) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8]);
            let (mut sum, mut squares) = ([0.0; 8], [0.0; 8]);
            for j in 0..self.cols.div_ceil(8) {
                let at = (ROW_BLOCK * (8 * j / V::N) + r) * V::N + 8 * j % V::N;
                for k in 0..(self.cols - 8 * j).min(8) {
                    // SAFETY: the buffer has all vectors of the tile.
                    let q = unsafe { *self.buffer.add(at + k) }.to_f64();
                    low[k] = if q < low[k] { q } else { low[k] };
                    high[k] = if q > high[k] { q } else { high[k] };
                    sum[k] += q;
                    squares[k] += (q - self.about) * (q - self.about);
                }
            }
            let fold = |x: [f64; 8], f: fn(f64, f64) -> f64| x[1..].iter().fold(x[0], |a, &b| f(a, b));
            [fold(low, f64::min), fold(high, f64::max), fold(sum, |a, b| a + b), fold(squares, |a, b| a + b)]
        })
    }
}

/// Scales a tile of h: out_j = (h_j − c)·factor, then −∞ up to `out.len()`. Returns c, the middle of the finite values
/// (what is left is small where it matters, which f32 needs), and the least h.
pub struct Scale<'a, E> {
    pub h: &'a [f64],
    pub factor: f64,
    pub out: &'a mut [E],
}

impl<E: Element> Op for Scale<'_, E> {
    type Out = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        let (mut low, mut high) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8]);
        let eights = self.h.chunks_exact(8);
        let mut rest = [f64::NEG_INFINITY; 8];
        rest[..eights.remainder().len()].copy_from_slice(eights.remainder());
        for eight in eights.chain(std::iter::once(&rest[..])) {
            for k in 0..8 {
                let x = eight[k];
                high[k] = if x > high[k] { x } else { high[k] };
                let x = if x == f64::NEG_INFINITY { f64::INFINITY } else { x };
                low[k] = if x < low[k] { x } else { low[k] };
            }
        }
        let low = low.into_iter().fold(f64::INFINITY, |a, b| if b < a { b } else { a });
        let high = high.into_iter().fold(f64::NEG_INFINITY, |a, b| if b > a { b } else { a });
        let centre =
            if low <= high && low > f64::NEG_INFINITY && high < f64::INFINITY { 0.5 * low + 0.5 * high } else { 0.0 };
        let (values, padding) = self.out.split_at_mut(self.h.len());
        for (o, &h) in values.iter_mut().zip(self.h) {
            *o = E::from_f64((h - centre) * self.factor);
        }
        padding.fill(E::NEG_INFINITY);
        let finite = !self.h.contains(&f64::NEG_INFINITY);
        (centre, if finite { low } else { f64::NEG_INFINITY })
    }
}
