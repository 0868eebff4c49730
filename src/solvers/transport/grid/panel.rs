//! The arithmetic of a panel of lines: exponentials, products, logarithms, and the plain way where those do not fit.
//!
//! Notation of [`super::axis`].

// A lane is an index into several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::f64::consts::LOG2_E;
use std::ops::Range;

use super::axis::{AxisKernel, Input, MAX_LANES, NONE, Output, Packed, TILE, tile};
use super::isa::{Isa, Vector, Wide};
use super::real::{Real, fma64, integer_bits};
use crate::math::elementary::exp2;

/// In a plain log-sum-exp, terms below 2^−70 of the largest count as zero, so that whole blocks can be passed over.
const DIRECT_DEPTH: f64 = -70.0;

/// A cache line, for alignment.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Buffers of a thread, aligned to cache lines.
#[derive(Default)]
pub(super) struct Scratch {
    x: Vec<Line>,
    staged: Vec<Line>,
    sums: Vec<Line>,
    result: Vec<Line>,
    tops: Vec<Line>,
    absolute: Vec<Line>,
}

fn room<T: bytemuck::Pod>(buffer: &mut Vec<Line>, len: usize) -> &mut [T] {
    let lines = (len * size_of::<T>()).div_ceil(64);
    if buffer.len() < lines {
        buffer.resize(lines, bytemuck::Zeroable::zeroed());
    }
    &mut bytemuck::cast_slice_mut(buffer)[..len]
}

/// Lines brought together before they are cut into panels: on grids of powers of two, the values of a line are so
/// far apart that they displace one another from the caches. This many bytes, or one panel.
const STAGE: usize = 32 * 1024;

/// `lines` of `input` side by side into `rows` (m × width), zero mass beyond them. Logarithms, or values if the input
/// is scaled.
#[inline(always)]
fn stage<I: Isa>(input: Input, m: usize, lines: Range<usize>, width: usize, rows: &mut [f64]) {
    let stride = input.len() / m;
    for (j, row) in rows.chunks_exact_mut(width).enumerate() {
        let span = j * stride + lines.start..j * stride + lines.end;
        let (row, rest) = row.split_at_mut(lines.len());
        match input {
            Input::Logarithms(z) => {
                row.copy_from_slice(&z[span]);
                rest.fill(f64::NEG_INFINITY);
            }
            Input::Scaled { values, .. } => {
                row.copy_from_slice(&values[span]);
                rest.fill(0.0);
            }
            Input::Mass { log2_weights, potential } => {
                for ((z, c), p) in row.iter_mut().zip(&log2_weights[span.clone()]).zip(&potential[span]) {
                    *z = fma64::<I>(*p, LOG2_E, *c);
                }
                rest.fill(f64::NEG_INFINITY);
            }
        }
    }
}

/// Lanes of staged lines: rows `stride` apart, from lane `first`.
#[derive(Clone, Copy)]
struct Panel<'a> {
    rows: &'a [f64],
    stride: usize,
    first: usize,
    /// The rows are values in units of 2^this, not logarithms.
    scaled: Option<i32>,
}

impl Panel<'_> {
    /// Row j, of `lanes` values.
    #[inline(always)]
    fn row(&self, j: usize, lanes: usize) -> &[f64] {
        &self.rows[j * self.stride + self.first..][..lanes]
    }

    /// The largest value of each lane among `inputs`.
    #[inline(always)]
    fn largest<I: Isa>(&self, inputs: Range<usize>, lanes: usize) -> [f64; MAX_LANES] {
        let mut largest = [0.0; MAX_LANES];
        for l in (0..lanes).step_by(I::F64::WIDTH) {
            // SAFETY: a row has `lanes` values, a multiple of the vector's width.
            unsafe {
                let mut max = I::F64::splat(f64::NEG_INFINITY);
                for j in inputs.clone() {
                    max = I::F64::load(self.row(j, lanes).as_ptr().add(l)).max(max);
                }
                max.store(largest.as_mut_ptr().add(l));
            }
        }
        largest
    }

    /// All logarithms, m × lanes.
    fn logarithms<I: Isa>(&self, m: usize, lanes: usize) -> Vec<f64> {
        let log2 = |&v: &f64| match self.scaled {
            None => v,
            Some(_) if v <= 0.0 => f64::NEG_INFINITY,
            Some(exponent) => {
                let (e, f) = Real::log2::<I>(v);
                (e + exponent) as f64 + f
            }
        };
        (0..m).flat_map(|j| self.row(j, lanes).iter().map(log2)).collect()
    }
}

/// Block exponents of a panel: M_J = top_J + base, per lane, the largest top_J being 0 (NONE in an empty lane).
struct Exponents<'a, F> {
    /// blocks × lanes
    tops: &'a mut [F],
    base: [f64; MAX_LANES],
}

impl<F: Real> Exponents<'_, F> {
    /// From M_J in `absolute` (blocks × lanes, NONE where empty).
    #[inline(always)]
    fn set(&mut self, absolute: &[f64]) {
        let lanes = F::LANES;
        self.base = [NONE; MAX_LANES];
        for row in absolute.chunks_exact(lanes) {
            for l in 0..lanes {
                self.base[l] = if row[l] > self.base[l] { row[l] } else { self.base[l] };
            }
        }
        for (tops, row) in self.tops.chunks_exact_mut(lanes).zip(absolute.chunks_exact(lanes)) {
            for l in 0..lanes {
                tops[l] = F::from_f64(row[l] - self.base[l]);
            }
        }
    }
}

/// The pass of [`AxisKernel::pass`] in F; outputs that do not fit into f32 are NaN, in f64 there are none. Whether
/// all are good.
///
/// # Safety
/// The processor has the instruction set I.
#[inline(always)]
pub(super) unsafe fn panels<F: Real, I: Isa>(
    k: &AxisKernel,
    p: &Packed<F>,
    (input, output): (Input, Output),
    lines: Range<usize>,
    out: &mut [f64],
    scratch: &mut Scratch,
) -> bool {
    let mut good = true;
    let (n, m, lanes) = (k.outputs(), k.inputs(), F::LANES);
    let blocks = m.div_ceil(p.block);
    let most = (STAGE / (m * lanes * size_of::<f64>())).max(1) * lanes;
    let staged = room::<f64>(&mut scratch.staged, m * most);
    let x = room::<F>(&mut scratch.x, m * lanes);
    let sums = room::<F>(&mut scratch.sums, TILE * lanes);
    let (result, again) = room::<f64>(&mut scratch.result, 2 * TILE * lanes).split_at_mut(TILE * lanes);
    let absolute = room::<f64>(&mut scratch.absolute, blocks * lanes);
    let mut exponents = Exponents { tops: room::<F>(&mut scratch.tops, blocks * lanes), base: [0.0; MAX_LANES] };
    let scaled = if let Input::Scaled { exponent, .. } = input { Some(exponent) } else { None };
    for first in lines.clone().step_by(lanes) {
        let live = lanes.min(lines.end - first);
        let offset = (first - lines.start) % most;
        let stride = most.min((lines.end - (first - offset)).next_multiple_of(lanes));
        if offset == 0 {
            stage::<I>(input, m, first..lines.end.min(first + most), stride, &mut staged[..m * stride]);
        }
        let panel = Panel { rows: &staged[..m * stride], stride, first: offset, scaled };
        // SAFETY: of the caller; slices have the lengths that the functions state.
        match scaled {
            Some(exponent) => unsafe { scaled_inputs::<F, I>(panel, exponent, p.block, x, absolute) },
            None => exponentials::<F, I>(panel, p.block, x, absolute),
        }
        exponents.set(absolute);
        // z of all inputs, for rows that need the plain way.
        let mut whole = Vec::new();
        let out = &mut out[(first - lines.start) * n..][..live * n];
        for t in 0..n.div_ceil(TILE) {
            let rows = tile(n, t);
            let factors = &p.factors[rows.start * m..rows.end * m];
            let ceilings = &p.ceilings[t * blocks..][..blocks];
            // Blocks below 2^−depth are passed over; where that was too bold, none are.
            let tile = Tile { factors, ceilings, rows: rows.len(), terms: m, block: p.block };
            let values = rows.len() * lanes;
            let mut bad = unsafe { tile.pass::<I>(x, &exponents, p.depth, output, sums, &mut result[..values]) };
            if bad && p.depth < F::DEPTH {
                bad = unsafe { tile.pass::<I>(x, &exponents, F::DEPTH, output, sums, &mut again[..values]) };
                for (y, again) in result[..values].iter_mut().zip(again.iter()) {
                    *y = if y.is_nan() { *again } else { *y };
                }
            }
            if bad {
                good = false;
                if F::LAST {
                    if whole.is_empty() {
                        whole = panel.logarithms::<I>(m, lanes);
                    }
                    for (r, i) in rows.clone().enumerate() {
                        let result = &mut result[r * lanes..][..lanes];
                        direct::<F, I>(&whole, p.block, k.log2_row(i), ceilings, absolute, output, result);
                    }
                }
            }
            unsafe { store::<I>(rows.len(), lanes, live, result, &mut out[rows.start..], n) };
        }
    }
    good || F::LAST
}

/// M_J into `tops` (blocks × lanes, NONE where empty) and 2^(z_j − M_J + BIAS) into `x` (m × lanes).
#[inline(always)]
fn exponentials<F: Real, I: Isa>(panel: Panel, width: usize, x: &mut [F], tops: &mut [f64]) {
    let lanes = F::LANES;
    for (block, (tops, x)) in tops.chunks_exact_mut(lanes).zip(x.chunks_mut(width * lanes)).enumerate() {
        let inputs = block * width..block * width + x.len() / lanes;
        let mut largest = panel.largest::<I>(inputs.clone(), lanes);
        for (top, a) in tops.iter_mut().zip(&mut largest[..lanes]) {
            // −∞ becomes NONE: z − NONE is then −∞ too, whose exponential is zero.
            *a = if *a > NONE { a.ceil() } else { NONE };
            *top = *a;
        }
        for (x, j) in x.chunks_exact_mut(lanes).zip(inputs) {
            let z = panel.row(j, lanes);
            for l in 0..lanes {
                x[l] = F::power::<I>(z[l] - largest[l]);
            }
        }
    }
}

/// The same from values in units of 2^exponent: powers of two move, mantissas stay.
///
/// # Safety
/// `x` is m × lanes and `tops` blocks × lanes long.
#[inline(always)]
unsafe fn scaled_inputs<F: Real, I: Isa>(panel: Panel, exponent: i32, width: usize, x: &mut [F], tops: &mut [f64]) {
    let (lanes, w) = (F::LANES, I::F64::WIDTH);
    for (block, (tops, x)) in tops.chunks_exact_mut(lanes).zip(x.chunks_mut(width * lanes)).enumerate() {
        let inputs = block * width..block * width + x.len() / lanes;
        let largest = panel.largest::<I>(inputs.clone(), lanes);
        let (mut least, mut shift) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
        for l in 0..lanes {
            // 2^e is the first power above the largest value.
            let e = (largest[l].to_bits() >> 52) as i64 - 1022;
            tops[l] = if largest[l] > 0.0 { (e as i32 + exponent) as f64 } else { NONE };
            least[l] = f64::from_bits(((e - F::DEPTH as i64 + 1023).max(1) as u64) << 52);
            shift[l] = f64::from_bits(((F::BIAS as i64 - e) << 52) as u64);
        }
        for l in (0..lanes).step_by(w) {
            // SAFETY: rows and x have `lanes` values for each input.
            unsafe {
                let (least, shift) = (I::F64::load(least.as_ptr().add(l)), I::F64::load(shift.as_ptr().add(l)));
                let zero = I::F64::splat(0.0);
                for (x, j) in x.chunks_exact_mut(lanes).zip(inputs.clone()) {
                    let v = I::F64::load(panel.row(j, lanes).as_ptr().add(l));
                    F::store_f64::<I>(v.add_bits(shift).where_ge(v, least, zero), x.as_mut_ptr().add(l));
                }
            }
        }
    }
}

/// `result` (rows × lanes) to `out`, whose lines are `n` apart.
#[inline(always)]
unsafe fn store<I: Isa>(rows: usize, lanes: usize, live: usize, result: &[f64], out: &mut [f64], n: usize) {
    let w = I::F64::WIDTH;
    assert!(result.len() >= rows * lanes && out.len() >= (live - 1) * n + rows);
    let square = if rows >= w { live / w * w } else { 0 };
    for l in (0..square).step_by(w) {
        let mut r = 0;
        while r < rows {
            // The last square overlaps the one before.
            r = r.min(rows - w);
            // SAFETY: within the lengths asserted above.
            unsafe { I::F64::transpose(result.as_ptr().add(r * lanes + l), lanes, out.as_mut_ptr().add(l * n + r), n) };
            r += w;
        }
    }
    for l in square..live {
        for (r, y) in out[l * n..][..rows].iter_mut().enumerate() {
            *y = result[r * lanes + l];
        }
    }
}

/// A tile of outputs: its kernel factors and their block exponents.
struct Tile<'a, F> {
    factors: &'a [F],
    ceilings: &'a [F],
    rows: usize,
    terms: usize,
    block: usize,
}

impl<F: Real> Tile<'_, F> {
    /// Outputs from inputs; bad ones, if there are any, are NaN.
    #[inline(always)]
    unsafe fn pass<I: Isa>(
        &self,
        x: &[F],
        exponents: &Exponents<F>,
        depth: i32,
        output: Output,
        sums: &mut [F],
        result: &mut [f64],
    ) -> bool {
        // At most 3·terms·2^−depth of the largest possible term is lost: inputs and factors below 2^−DEPTH, blocks
        // below 2^−depth.
        let least = self.terms as f64 * exp2((F::GUARD + 3 - depth + 3 * F::BIAS) as f64);
        // SAFETY: of the caller.
        unsafe {
            let best = products::<F, I>(self, x, exponents, depth, sums);
            match output {
                Output::Logarithms => logarithms::<F, I>(self.rows, least, &best, sums, result),
                Output::Scaled { exponent } => {
                    scaled_outputs::<F, I>(self.rows, least, exponent, &best, sums, result);
                }
            }
            any_nan::<I>(result)
        }
    }
}

/// Sums of a tile, 2^(3·BIAS) too large and relative to the returned M*.
#[inline(always)]
unsafe fn products<F: Real, I: Isa>(
    &Tile { factors, ceilings, rows, block: width, .. }: &Tile<F>,
    x: &[F],
    exponents: &Exponents<F>,
    depth: i32,
    sums: &mut [F],
) -> [f64; MAX_LANES] {
    let (lanes, w) = (F::LANES, F::V::<I>::WIDTH);
    let tops = &exponents.tops[..ceilings.len() * lanes];
    let mut best = [F::ZERO; MAX_LANES];
    let mut scales = [F::ZERO; MAX_LANES];
    sums[..rows * lanes].fill(F::ZERO);
    // SAFETY: `tops` is blocks × lanes long.
    unsafe {
        for l in (0..lanes).step_by(w) {
            let mut max = F::V::<I>::splat(F::from_f64(f64::NEG_INFINITY));
            for (block, &c) in ceilings.iter().enumerate() {
                max = F::V::<I>::load(tops.as_ptr().add(block * lanes + l)).add(F::V::<I>::splat(c)).max(max);
            }
            max.store(best.as_mut_ptr().add(l));
        }
        for ((block, x), &c) in x.chunks(width * lanes).enumerate().zip(ceilings) {
            let mut needed = F::V::<I>::splat(F::ZERO);
            for l in (0..lanes).step_by(w) {
                let top = F::V::<I>::load(tops.as_ptr().add(block * lanes + l));
                let s = top
                    .add(F::V::<I>::splat(c))
                    .sub(F::V::<I>::load(best.as_ptr().add(l)))
                    .power_of_two(F::V::<I>::splat(F::from_f64(-depth as f64)));
                s.store(scales.as_mut_ptr().add(l));
                needed = needed.max(s);
            }
            // A scale of zero adds an exact zero: passing over it changes no bits.
            if needed.any_positive() {
                product::<F, I>(&factors[block * width * rows..], rows, x, &scales, sums);
            }
        }
    }
    let mut absolute = [0.0; MAX_LANES];
    for l in 0..lanes {
        absolute[l] = best[l].to_f64() + exponents.base[l];
    }
    absolute
}

/// Whether there is a NaN; `values` is a multiple of two vectors long and has no +∞.
#[inline(always)]
unsafe fn any_nan<I: Isa>(values: &[f64]) -> bool {
    let w = I::F64::WIDTH;
    let mut sums = [0.0; 8];
    // SAFETY: of the length stated.
    unsafe {
        let (mut a, mut b) = (I::F64::splat(0.0), I::F64::splat(0.0));
        for pair in values.chunks_exact(2 * w) {
            a = I::F64::load(pair.as_ptr()).add(a);
            b = I::F64::load(pair.as_ptr().add(w)).add(b);
        }
        a.add(b).store(sums.as_mut_ptr());
    }
    sums[..w].iter().any(|x| x.is_nan())
}

/// sums_rl += scale_l Σ_j factors_jr x_jl, in register tiles two vectors wide.
#[inline(always)]
unsafe fn product<F: Real, I: Isa>(factors: &[F], rows: usize, x: &[F], scales: &[F], sums: &mut [F]) {
    let lanes = F::LANES;
    let width = 2 * F::V::<I>::WIDTH;
    assert!(factors.len() >= rows * x.len() / lanes && scales.len() >= lanes && sums.len() >= rows * lanes);
    let parts = rows.div_ceil(I::TILE_ROWS);
    for part in 0..parts {
        let (r0, r1) = (rows * part / parts, rows * (part + 1) / parts);
        for l in (0..lanes).step_by(width) {
            // SAFETY: within the lengths asserted above.
            unsafe {
                let (f, x, s) = (factors.as_ptr().add(r0), x.as_ptr().add(l)..x.as_ptr().add(x.len()), &scales[l..]);
                let sums = sums.as_mut_ptr().add(r0 * lanes + l);
                macro_rules! by_rows {
                    ($($r:literal)*) => { match r1 - r0 { $($r => register_tile::<F, I, $r>(f, rows, x, s, sums),)* _ => unreachable!() } };
                }
                if I::TILE_ROWS > 6 {
                    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13);
                } else {
                    by_rows!(1 2 3 4 5 6);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn register_tile<F: Real, I: Isa, const R: usize>(
    mut f: *const F,
    rows: usize,
    x: Range<*const F>,
    scales: &[F],
    sums: *mut F,
) {
    let (w, lanes) = (F::V::<I>::WIDTH, F::LANES);
    unsafe {
        let mut acc = [[F::V::<I>::splat(F::ZERO); 2]; R];
        let mut p = x.start;
        while p < x.end {
            let (x0, x1) = (F::V::<I>::load(p), F::V::<I>::load(p.add(w)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let c = F::V::<I>::splat(*f.add(r));
                acc[0] = c.mul_add(x0, acc[0]);
                acc[1] = c.mul_add(x1, acc[1]);
            }
            p = p.wrapping_add(lanes);
            f = f.wrapping_add(rows);
        }
        let (s0, s1) = (F::V::<I>::load(scales.as_ptr()), F::V::<I>::load(scales.as_ptr().add(w)));
        for (r, acc) in acc.iter().enumerate() {
            let y = sums.add(r * lanes);
            acc[0].mul_add(s0, F::V::<I>::load(y)).store(y);
            acc[1].mul_add(s1, F::V::<I>::load(y.add(w))).store(y.add(w));
        }
    }
}

/// `result` = log2 of the sums, NaN where they are below `least`. A line of zeros is good: −∞.
#[inline(always)]
fn logarithms<F: Real, I: Isa>(rows: usize, least: f64, best: &[f64; MAX_LANES], sums: &[F], result: &mut [f64]) {
    let lanes = F::LANES;
    let least = F::from_f64(least);
    let (mut shift, mut otherwise) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
    for l in 0..lanes {
        shift[l] = best[l] - (3 * F::BIAS) as f64;
        otherwise[l] = if best[l] < NONE / 2.0 { f64::NEG_INFINITY } else { f64::NAN };
    }
    for (sums, result) in sums.chunks_exact(lanes).zip(result.chunks_exact_mut(lanes)).take(rows) {
        for l in 0..lanes {
            let (e, f) = sums[l].log2::<I>();
            let z = (e as f64 + shift[l]) + f;
            result[l] = if sums[l] >= least { z } else { otherwise[l] };
        }
    }
}

/// The same in units of 2^exponent instead of logarithms.
#[inline(always)]
fn scaled_outputs<F: Real, I: Isa>(
    rows: usize,
    least: f64,
    exponent: i32,
    best: &[f64; MAX_LANES],
    sums: &[F],
    result: &mut [f64],
) {
    let (lanes, w) = (F::LANES, I::F64::WIDTH);
    let (mut shift, mut otherwise) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
    for l in 0..lanes {
        shift[l] = f64::from_bits(integer_bits(best[l] - (3 * F::BIAS + exponent) as f64) << 52);
        otherwise[l] = if best[l] < NONE / 2.0 { 0.0 } else { f64::NAN };
    }
    assert!(sums.len() >= rows * lanes && result.len() >= rows * lanes);
    for l in (0..lanes).step_by(w) {
        // SAFETY: within the lengths asserted above.
        unsafe {
            let (shift, otherwise) = (I::F64::load(shift.as_ptr().add(l)), I::F64::load(otherwise.as_ptr().add(l)));
            let least = I::F64::splat(least);
            for q in (l..rows * lanes).step_by(lanes) {
                let sum = F::load_f64::<I>(sums.as_ptr().add(q));
                sum.add_bits(shift).where_ge(sum, least, otherwise).store(result.as_mut_ptr().add(q));
            }
        }
    }
}

/// A plain log-sum-exp in f64 where `result` is NaN, lane by lane.
#[inline(always)]
fn direct<F: Real, I: Isa>(
    whole: &[f64],
    width: usize,
    log2: &[f64],
    ceilings: &[F],
    tops: &[f64],
    output: Output,
    result: &mut [f64],
) {
    let lanes = F::LANES;
    if !result.iter().any(|x| x.is_nan()) {
        return;
    }
    // No term of a block exceeds 2^bound.
    let bound = |block: usize, l: usize| tops[block * lanes + l] + ceilings[block].to_f64();
    let inputs = |block: usize| block * width..log2.len().min((block + 1) * width);
    let mut largest = [f64::NEG_INFINITY; MAX_LANES];
    for block in 0..ceilings.len() {
        if (0..lanes).any(|l| tops[block * lanes + l] > NONE && bound(block, l) > largest[l]) {
            for j in inputs(block) {
                for (a, z) in largest[..lanes].iter_mut().zip(whole[j * lanes..][..lanes].iter()) {
                    let t = z + log2[j];
                    *a = if t > *a { t } else { *a };
                }
            }
        }
    }
    let mut sums = [0.0; MAX_LANES];
    for block in 0..ceilings.len() {
        if (0..lanes).any(|l| tops[block * lanes + l] > NONE && bound(block, l) - largest[l] >= DIRECT_DEPTH) {
            for j in inputs(block) {
                for l in 0..lanes {
                    let t = whole[j * lanes + l] + log2[j] - largest[l];
                    sums[l] += if t >= DIRECT_DEPTH { f64::power::<I>(t) } else { 0.0 };
                }
            }
        }
    }
    for l in 0..lanes {
        let (e, f) = Real::log2::<I>(sums[l]);
        let z = largest[l] + ((e - f64::BIAS) as f64 + f);
        let z = if largest[l] == f64::NEG_INFINITY { f64::NEG_INFINITY } else { z };
        let y = match output {
            Output::Logarithms => z,
            Output::Scaled { exponent } => f64::power::<I>(z - (exponent + f64::BIAS) as f64),
        };
        result[l] = if result[l].is_nan() { y } else { result[l] };
    }
}
