//! One axis of a separable Gibbs kernel, applied to lines of a grid in the log domain.
//!
//!     out_i = log2 Σ_j 2^(L_ij + z_j)        L = −C/(ε ln 2), for every line z along the axis
//!
//! Sixteen (f64) or thirty-two (f32) lines make a panel, one line per SIMD lane. The panel's inputs are cut into
//! blocks, its outputs into tiles. With, per lane, M_J ≥ max z over block J and κ_IJ ≥ max L over
//! tile I × block J, both integers,
//!
//!     out_i = M* + log2 Σ_J 2^(M_J + κ_IJ − M*) Σ_{j∈J} 2^(L_ij − κ_IJ) 2^(z_j − M_J)
//!
//! so one exponential per input and one logarithm per output suffice; the inner sums are a matrix product with the
//! stored factors 2^(L_ij − κ_IJ). Powers of two are exact. Nothing overflows, and what underflows is bounded: where
//! the sum does not exceed that bound by 2^GUARD, its line is done again, from f32 in f64 and from there as a plain
//! log-sum-exp. So the pass is right for any ε, and as fast as a matrix product where ε is not tiny. [Schmitzer2019] absorbs potentials into the
//! kernel for the same end; here they change from block to block and nothing is kept between passes.
//!
//! An output depends on its own line only, in an order fixed by the indices along the axis: same bits for any set of
//! lines per call.

use std::ops::Range;
use std::sync::OnceLock;

use super::super::passes::Precision;
#[cfg(target_arch = "x86_64")]
use super::isa::{Avx2, Avx512};
use super::isa::{Isa, Level, Portable, Vector};
use super::real::Real;

/// Inputs that share a block exponent: the most that keeps sums within range (see [`Packed::new`]).
const BLOCKS: [usize; 4] = [64, 32, 16, 8];
/// Most outputs in a tile; two vectors of accumulators each fill the AVX-512 registers.
const TILE: usize = 13;
const MAX_LANES: usize = 32;
/// The exponent of zero; small enough to survive additions, large enough not to wrap.
const NONE: i32 = -(1 << 29);
/// In a plain log-sum-exp, terms below 2^−70 of the largest count as zero, so that whole blocks can be passed over.
const DIRECT_DEPTH: f64 = -70.0;

/// Lines done again together in f64.
const REPEAT: usize = f64::LANES;

/// Panels are cut from multiples of this many lines without waste in either precision.
pub const LINES_PER_PANEL: usize = MAX_LANES;

/// Matrix products packed for panels: tile by tile, block by block, inputs outside, outputs of the tile inside.
struct Packed<F> {
    block: usize,
    factors: Vec<F>,
    /// κ, tiles × blocks.
    ceilings: Vec<i32>,
}

/// exp(−C/ε) of one axis, `outputs` × `inputs`, known by its binary logarithm.
pub struct AxisKernel {
    outputs: usize,
    inputs: usize,
    log2: Vec<f64>,
    f64: OnceLock<Packed<f64>>,
    f32: OnceLock<Option<Packed<f32>>>,
}

/// Tile t of `outputs`: all within one of the same size.
fn tile(outputs: usize, t: usize) -> Range<usize> {
    let tiles = outputs.div_ceil(TILE);
    outputs * t / tiles..outputs * (t + 1) / tiles
}

/// max − min of log2 over a tile × block, −∞ aside: what seven in ten of them do not exceed.
fn usual_variation(outputs: usize, inputs: usize, log2: &[f64], block: usize) -> f64 {
    let mut variations = Vec::new();
    for t in 0..outputs.div_ceil(TILE) {
        for j0 in (0..inputs).step_by(block) {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for i in tile(outputs, t) {
                for &x in log2[i * inputs..][j0..inputs.min(j0 + block)].iter().filter(|x| x.is_finite()) {
                    (low, high) = (low.min(x), high.max(x));
                }
            }
            variations.push((high - low).max(0.0));
        }
    }
    variations.sort_by(f64::total_cmp);
    variations[(variations.len() - 1) * 7 / 10]
}

fn ceiling(x: f64) -> i32 {
    if x == f64::NEG_INFINITY { NONE } else { x.ceil() as i32 }
}

impl<F: Real> Packed<F> {
    /// A sum falls short of its bound 2^(M_J + κ_IJ) by no more than L varies over tile × block, so it is good where
    /// that fits into DEPTH − GUARD. Only the blocks where a plan has its mass matter; we ask it of seven in ten, for
    /// squared distances those up to 2/5 of the axis. Beyond, a pass takes longer but is as accurate. None where even
    /// the smallest blocks vary too much.
    fn new(outputs: usize, inputs: usize, log2: &[f64]) -> Option<Self> {
        let most = (F::DEPTH - F::GUARD - 3) as f64 - (inputs as f64).log2();
        let block = BLOCKS.into_iter().find(|&block| usual_variation(outputs, inputs, log2, block) <= most)?;
        Some(Self::with_block(outputs, inputs, log2, block))
    }

    fn with_block(outputs: usize, inputs: usize, log2: &[f64], block: usize) -> Self {
        let mut factors = Vec::with_capacity(outputs * inputs);
        let mut ceilings = Vec::new();
        for t in 0..outputs.div_ceil(TILE) {
            let rows = tile(outputs, t);
            for j0 in (0..inputs).step_by(block) {
                let columns = j0..inputs.min(j0 + block);
                let largest = rows
                    .clone()
                    .flat_map(|i| columns.clone().map(move |j| log2[i * inputs + j]))
                    .fold(f64::NEG_INFINITY, f64::max);
                let top = ceiling(largest);
                ceilings.push(top);
                for j in columns {
                    for i in rows.clone() {
                        factors.push(F::power::<Portable>(log2[i * inputs + j] - top as f64));
                    }
                }
            }
        }
        Packed { block, factors, ceilings }
    }
}

impl AxisKernel {
    /// From log2 of the kernel, `outputs` × `inputs` in C order, each finite or −∞ and below 2^28 in size.
    pub fn new(outputs: usize, inputs: usize, log2: Vec<f64>) -> Self {
        assert_eq!(log2.len(), outputs * inputs);
        AxisKernel { outputs, inputs, log2, f64: OnceLock::new(), f32: OnceLock::new() }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `input` is inputs × R in C order: R lines along the first axis. `out` gets the lines `lines` ⊂ 0..R, one after
    /// the other, each of `outputs` values: the axis has become the last one. Binary logarithms both.
    pub fn log_pass(&self, level: Level, precision: Precision, input: &[f64], lines: Range<usize>, out: &mut [f64]) {
        assert_eq!(input.len() % self.inputs, 0);
        assert!(lines.end <= input.len() / self.inputs);
        assert_eq!(out.len(), lines.len() * self.outputs);
        if precision == Precision::F32
            && let Some(packed) = self.f32.get_or_init(|| Packed::new(self.outputs, self.inputs, &self.log2)).as_ref()
        {
            if self.dispatch(packed, level, input, lines.clone(), out) {
                return;
            }
            // Outputs that did not fit into f32 are NaN.
            let mut again = Vec::new();
            for (first, out) in lines.step_by(REPEAT).zip(out.chunks_mut(REPEAT * self.outputs)) {
                if out.iter().any(|x| x.is_nan()) {
                    again.resize(out.len(), 0.0);
                    self.log_pass_f64(level, input, first..first + out.len() / self.outputs, &mut again);
                    for (y, x) in out.iter_mut().zip(&again) {
                        *y = if y.is_nan() { *x } else { *y };
                    }
                }
            }
        } else {
            self.log_pass_f64(level, input, lines, out);
        }
    }

    fn log_pass_f64(&self, level: Level, input: &[f64], lines: Range<usize>, out: &mut [f64]) {
        let packed = self.f64.get_or_init(|| {
            Packed::new(self.outputs, self.inputs, &self.log2)
                .unwrap_or_else(|| Packed::with_block(self.outputs, self.inputs, &self.log2, BLOCKS[3]))
        });
        self.dispatch(packed, level, input, lines, out);
    }

    /// Whether all outputs are good; in f64 they always are.
    fn dispatch<F: Real>(
        &self,
        packed: &Packed<F>,
        level: Level,
        z: &[f64],
        lines: Range<usize>,
        out: &mut [f64],
    ) -> bool {
        // SAFETY: a level above what the processor has is never taken.
        match level.min(Level::detect()) {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { panels_avx512(self, packed, z, lines, out) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { panels_avx2(self, packed, z, lines, out) },
            _ => unsafe { panels::<F, Portable>(self, packed, z, lines, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
unsafe fn panels_avx512<F: Real>(
    k: &AxisKernel,
    p: &Packed<F>,
    z: &[f64],
    lines: Range<usize>,
    out: &mut [f64],
) -> bool {
    unsafe { panels::<F, Avx512>(k, p, z, lines, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn panels_avx2<F: Real>(k: &AxisKernel, p: &Packed<F>, z: &[f64], lines: Range<usize>, out: &mut [f64]) -> bool {
    unsafe { panels::<F, Avx2>(k, p, z, lines, out) }
}

/// A cache line, for alignment.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Room for `len` values, aligned to cache lines.
struct Aligned(Vec<Line>);

impl Aligned {
    fn new<T>(len: usize) -> Self {
        Aligned(vec![bytemuck::Zeroable::zeroed(); (len * size_of::<T>()).div_ceil(64)])
    }

    fn get<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// Lanes of a panel: `stride` values from one input to the next.
#[derive(Clone, Copy)]
struct Panel<'a> {
    z: &'a [f64],
    stride: usize,
}

impl Panel<'_> {
    #[inline(always)]
    fn row(&self, j: usize, lanes: usize) -> &[f64] {
        &self.z[j * self.stride..][..lanes]
    }
}

/// # Safety
/// The processor has the instruction set I.
#[inline(always)]
unsafe fn panels<F: Real, I: Isa>(
    k: &AxisKernel,
    p: &Packed<F>,
    z: &[f64],
    lines: Range<usize>,
    out: &mut [f64],
) -> bool {
    let mut good = true;
    let (n, m, lanes) = (k.outputs, k.inputs, F::LANES);
    let stride = z.len() / m;
    let blocks = m.div_ceil(p.block);
    let (mut x, mut sums) = (Aligned::new::<F>(m * lanes), Aligned::new::<F>(TILE * lanes));
    let mut result = Aligned::new::<f64>(TILE * lanes);
    let mut padded;
    let (x, sums, result) = (x.get::<F>(), sums.get::<F>(), result.get::<f64>());
    let mut tops = vec![0i32; blocks * lanes];
    let mut first = lines.start;
    while first < lines.end {
        let live = lanes.min(lines.end - first);
        let panel = if live == lanes {
            Panel { z: &z[first..], stride }
        } else {
            padded = Aligned::new::<f64>(m * lanes);
            let rows = padded.get::<f64>();
            rows.fill(f64::NEG_INFINITY);
            for j in 0..m {
                rows[j * lanes..][..live].copy_from_slice(&z[j * stride + first..][..live]);
            }
            Panel { z: rows, stride: lanes }
        };
        exponentials::<F, I>(panel, m, p.block, x, &mut tops);
        let out = &mut out[(first - lines.start) * n..][..live * n];
        for t in 0..n.div_ceil(TILE) {
            let rows = tile(n, t);
            let factors = &p.factors[rows.start * m..rows.end * m];
            let ceilings = &p.ceilings[t * blocks..][..blocks];
            let best = unsafe { products::<F, I>(factors, rows.len(), p.block, ceilings, x, &tops, sums) };
            if !logarithms::<F, I>(rows.len(), m, &best, sums, result) {
                if F::LAST {
                    for (r, i) in rows.clone().enumerate() {
                        let log2 = &k.log2[i * m..][..m];
                        let result = &mut result[r * lanes..][..lanes];
                        direct::<F, I>(panel, p.block, log2, ceilings, &tops, result);
                    }
                } else {
                    good = false;
                }
            }
            for l in 0..live {
                for (r, y) in out[l * n + rows.start..][..rows.len()].iter_mut().enumerate() {
                    *y = result[r * lanes + l];
                }
            }
        }
        first += live;
    }
    good
}

/// M_J into `tops` (blocks × lanes) and 2^(z_j − M_J + BIAS) into `x`.
#[inline(always)]
fn exponentials<F: Real, I: Isa>(panel: Panel, m: usize, width: usize, x: &mut [F], tops: &mut [i32]) {
    let lanes = F::LANES;
    for (block, tops) in tops.chunks_exact_mut(lanes).enumerate() {
        let inputs = block * width..m.min((block + 1) * width);
        let mut largest = [f64::NEG_INFINITY; MAX_LANES];
        for j in inputs.clone() {
            for (a, &b) in largest[..lanes].iter_mut().zip(panel.row(j, lanes)) {
                *a = if b > *a { b } else { *a };
            }
        }
        for (top, a) in largest[..lanes].iter_mut().enumerate() {
            // −∞ becomes NONE: z − NONE is then −∞ too, whose exponential is zero.
            *a = if *a > NONE as f64 { a.ceil() } else { NONE as f64 };
            tops[top] = *a as i32;
        }
        for j in inputs {
            for ((x, &z), a) in x[j * lanes..][..lanes].iter_mut().zip(panel.row(j, lanes)).zip(&largest) {
                *x = F::power::<I>(z - a);
            }
        }
    }
}

/// Sums of a tile, 2^(3·BIAS) too large and relative to the returned M*.
#[inline(always)]
unsafe fn products<F: Real, I: Isa>(
    factors: &[F],
    rows: usize,
    width: usize,
    ceilings: &[i32],
    x: &[F],
    tops: &[i32],
    sums: &mut [F],
) -> [i32; MAX_LANES] {
    let lanes = F::LANES;
    let mut best = [i32::MIN; MAX_LANES];
    for (tops, ceiling) in tops.chunks_exact(lanes).zip(ceilings) {
        for (b, top) in best[..lanes].iter_mut().zip(tops) {
            *b = (*b).max(top + ceiling);
        }
    }
    sums[..rows * lanes].fill(F::ZERO);
    let mut scales = [F::ZERO; MAX_LANES];
    for (block, x) in x.chunks(width * lanes).enumerate() {
        let mut needed = false;
        for l in 0..lanes {
            let s = F::power_of_two(tops[block * lanes + l] + ceilings[block] - best[l]);
            scales[l] = s;
            needed |= s.positive();
        }
        // A scale of zero adds an exact zero: passing over it changes no bits.
        if needed {
            unsafe { product::<F, I>(&factors[block * width * rows..], rows, x, &scales, sums) };
        }
    }
    best
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

/// `result` = log2 of the sums, NaN where they are bad; whether none is. A line of zeros is good: −∞.
#[inline(always)]
fn logarithms<F: Real, I: Isa>(
    rows: usize,
    terms: usize,
    best: &[i32; MAX_LANES],
    sums: &[F],
    result: &mut [f64],
) -> bool {
    let lanes = F::LANES;
    // At most 3·terms·2^−DEPTH of the largest possible term is lost (inputs, factors, block scales).
    let least = terms as f64 * ((F::GUARD + 3 - F::DEPTH + 3 * F::BIAS) as f64).exp2();
    let mut bad = 0u32;
    for (sums, result) in sums.chunks_exact(lanes).zip(result.chunks_exact_mut(lanes)).take(rows) {
        for l in 0..lanes {
            let (e, f) = sums[l].log2::<I>();
            let z = (e + best[l] - 3 * F::BIAS) as f64 + f;
            let empty = best[l] < NONE / 2;
            let good = sums[l].to_f64() >= least;
            result[l] = if good {
                z
            } else if empty {
                f64::NEG_INFINITY
            } else {
                f64::NAN
            };
            bad |= (!(good | empty)) as u32;
        }
    }
    bad == 0
}

/// A plain log-sum-exp in f64 where `result` is NaN, lane by lane.
#[inline(always)]
fn direct<F: Real, I: Isa>(
    panel: Panel,
    width: usize,
    log2: &[f64],
    ceilings: &[i32],
    tops: &[i32],
    result: &mut [f64],
) {
    let lanes = F::LANES;
    if !result.iter().any(|x| x.is_nan()) {
        return;
    }
    // No term of a block exceeds 2^bound.
    let bound = |block: usize, l: usize| (tops[block * lanes + l] + ceilings[block]) as f64;
    let inputs = |block: usize| block * width..log2.len().min((block + 1) * width);
    let mut largest = [f64::NEG_INFINITY; MAX_LANES];
    for block in 0..ceilings.len() {
        if (0..lanes).any(|l| tops[block * lanes + l] > NONE && bound(block, l) > largest[l]) {
            for j in inputs(block) {
                for (a, z) in largest[..lanes].iter_mut().zip(panel.row(j, lanes)) {
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
                    let t = panel.row(j, lanes)[l] + log2[j] - largest[l];
                    sums[l] += if t >= DIRECT_DEPTH { f64::power::<I>(t) } else { 0.0 };
                }
            }
        }
    }
    for l in 0..lanes {
        let (e, f) = Real::log2::<I>(sums[l]);
        let z = largest[l] + ((e - f64::BIAS) as f64 + f);
        let z = if largest[l] == f64::NEG_INFINITY { f64::NEG_INFINITY } else { z };
        result[l] = if result[l].is_nan() { z } else { result[l] };
    }
}
