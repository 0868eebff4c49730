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

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use super::super::passes::Precision;
#[cfg(target_arch = "x86_64")]
use super::isa::{Avx2, Avx512};
use super::isa::{Level, Portable};
use super::panel::{Scratch, panels};
use super::real::Real;
use crate::math::elementary;

/// Inputs that share a block exponent: the most that keeps sums within range (see [`Packed::new`]).
const BLOCKS: [usize; 4] = [64, 32, 16, 8];
/// Most outputs in a tile; two vectors of accumulators each fill the AVX-512 registers.
pub(super) const TILE: usize = 13;
pub(super) const MAX_LANES: usize = 32;
/// The exponent of zero: a whole number below all others, and exact with anything added that occurs.
pub(super) const NONE: f64 = -1e15;

/// What a pass reads.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// The binary logarithms z.
    Logarithms(&'a [f64]),
    /// 2^z = value · 2^exponent; values are zero or in [2^−1021, 2^1000].
    Scaled { values: &'a [f64], exponent: i32 },
    /// log2 (weight · e^potential), from log2 of the weights (−∞ for zero) and finite potentials.
    Mass { log2_weights: &'a [f64], potential: &'a [f64] },
}

impl Input<'_> {
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Input::Logarithms(z) | Input::Scaled { values: z, .. } => z.len(),
            Input::Mass { log2_weights, potential } => {
                assert_eq!(log2_weights.len(), potential.len());
                potential.len()
            }
        }
    }
}

/// What a pass writes: binary logarithms, or values in units of 2^exponent, which saves the logarithm here and the
/// exponential in the next pass. The caller knows that all but zeros are in [2^−1021, 2^1000] of these units.
#[derive(Clone, Copy, PartialEq)]
pub enum Output {
    Logarithms,
    Scaled { exponent: i32 },
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lines done again together in f64.
const REPEAT: usize = f64::LANES;

/// Panels are cut from multiples of this many lines without waste in either precision.
pub const LINES_PER_PANEL: usize = MAX_LANES;

/// Matrix products packed for panels: tile by tile, block by block, inputs outside, outputs of the tile inside.
pub(super) struct Packed<F> {
    pub block: usize,
    /// Blocks below 2^−depth of the largest are passed over at first.
    pub depth: i32,
    pub factors: Vec<F>,
    /// κ, tiles × blocks.
    pub ceilings: Vec<F>,
}

/// exp(−C/ε) of one axis, `outputs` × `inputs`, known by its binary logarithm.
pub struct AxisKernel {
    outputs: usize,
    inputs: usize,
    log2: Vec<f64>,
    /// (smallest, largest) finite entry of log2.
    extent: (f64, f64),
    f64: OnceLock<Packed<f64>>,
    f32: OnceLock<Option<Packed<f32>>>,
}

/// Tile t of `outputs`: all within one of the same size.
pub(super) fn tile(outputs: usize, t: usize) -> Range<usize> {
    let tiles = outputs.div_ceil(TILE);
    outputs * t / tiles..outputs * (t + 1) / tiles
}

/// (smallest, largest) finite value; (0, 0) if there is none.
pub(super) fn extent(values: &[f64]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let pad = [f64::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut last = pad;
    last[..rest.len()].copy_from_slice(rest);
    for chunk in whole.iter().chain([&last]) {
        for l in 0..LANES {
            let x = chunk[l];
            let least = if x == f64::NEG_INFINITY { f64::INFINITY } else { x };
            low[l] = if least < low[l] { least } else { low[l] };
            high[l] = if x > high[l] { x } else { high[l] };
        }
    }
    let low = low.into_iter().fold(f64::INFINITY, f64::min);
    let high = high.into_iter().fold(f64::NEG_INFINITY, f64::max);
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

/// (smallest, largest) entry of log2 by tile of outputs and input, −∞ aside: (∞, −∞) where there is nothing else.
fn extents_by_tile(outputs: usize, inputs: usize, log2: &[f64]) -> Vec<(f64, f64)> {
    let tiles = outputs.div_ceil(TILE);
    let mut extents = vec![(f64::INFINITY, f64::NEG_INFINITY); tiles * inputs];
    for (t, extents) in extents.chunks_exact_mut(inputs.max(1)).enumerate() {
        for i in tile(outputs, t) {
            for ((low, high), &x) in extents.iter_mut().zip(&log2[i * inputs..][..inputs]) {
                let least = if x == f64::NEG_INFINITY { f64::INFINITY } else { x };
                *low = if least < *low { least } else { *low };
                *high = if x > *high { x } else { *high };
            }
        }
    }
    extents
}

/// What blocks of inputs a [`Packed`] might be cut into.
struct Cut {
    block: usize,
    depth: f64,
    /// Largest log2, by tile × block.
    largest: Vec<f64>,
}

impl Cut {
    fn new(inputs: usize, extents: &[(f64, f64)], block: usize, guard: f64) -> Self {
        let (mut largest, mut variations) = (Vec::new(), Vec::new());
        for columns in extents.chunks_exact(inputs.max(1)).flat_map(|tile| tile.chunks(block)) {
            let low = columns.iter().fold(f64::INFINITY, |low, e| low.min(e.0));
            let high = columns.iter().fold(f64::NEG_INFINITY, |high, e| high.max(e.1));
            largest.push(high);
            variations.push((high - low).max(0.0));
        }
        // What seven in ten of them do not exceed.
        let usual = (variations.len() - 1) * 7 / 10;
        let (_, usual, _) = variations.select_nth_unstable_by(usual, f64::total_cmp);
        Cut { block, depth: guard + 3.0 + elementary::log2(inputs as f64) + *usual, largest }
    }

    /// Relative time of a pass, for a plan without displacement; a block costs as much as five more inputs.
    fn cost(&self, inputs: usize) -> f64 {
        let kept = |row: &[f64]| {
            let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max).max(NONE).ceil();
            row.iter().filter(|c| c.max(NONE).ceil() >= best - self.depth.ceil()).count()
        };
        let kept: usize = self.largest.chunks_exact(inputs.div_ceil(self.block)).map(kept).sum();
        kept as f64 * (self.block.min(inputs) + 5) as f64
    }
}

impl<F: Real> Packed<F> {
    /// A sum falls short of its bound 2^(M_J + κ_IJ) by no more than L varies over tile × block, so it is good where
    /// that fits into DEPTH − GUARD. Only the blocks where a plan has its mass matter; we ask it of seven in ten, for
    /// squared distances those up to 2/5 of the axis. Beyond, a pass takes longer but is as accurate. None where even
    /// the smallest blocks vary too much.
    ///
    /// For the same reason blocks count only down to a depth of GUARD and that variation: smaller ones leave out more.
    fn new(outputs: usize, inputs: usize, log2: &[f64]) -> Option<Self> {
        // Exponents are added in F.
        if extent(log2).0 < -F::LARGEST_EXPONENT {
            return None;
        }
        let extents = extents_by_tile(outputs, inputs, log2);
        BLOCKS
            .into_iter()
            .map(|block| Cut::new(inputs, &extents, block, F::GUARD as f64))
            .filter(|cut| cut.depth <= F::DEPTH as f64)
            .min_by(|a, b| a.cost(inputs).total_cmp(&b.cost(inputs)))
            .map(|cut| Self::cut(outputs, inputs, log2, cut))
    }

    /// In the smallest blocks, where [`Packed::new`] has nothing to say.
    fn finest(outputs: usize, inputs: usize, log2: &[f64]) -> Self {
        let extents = extents_by_tile(outputs, inputs, log2);
        let cut = Cut::new(inputs, &extents, BLOCKS[BLOCKS.len() - 1], F::GUARD as f64);
        Self::cut(outputs, inputs, log2, Cut { depth: F::DEPTH as f64, ..cut })
    }

    fn cut(outputs: usize, inputs: usize, log2: &[f64], cut: Cut) -> Self {
        let mut factors = Vec::with_capacity(outputs * inputs);
        let mut ceilings = Vec::with_capacity(cut.largest.len());
        let mut largest = cut.largest.iter();
        for t in 0..outputs.div_ceil(TILE) {
            let rows = tile(outputs, t);
            for j0 in (0..inputs).step_by(cut.block) {
                let top = largest.next().expect("one for each tile and block").max(NONE).ceil();
                ceilings.push(F::from_f64(top));
                for j in j0..inputs.min(j0 + cut.block) {
                    for i in rows.clone() {
                        factors.push(F::power::<Portable>(log2[i * inputs + j] - top));
                    }
                }
            }
        }
        Packed { block: cut.block, depth: cut.depth.ceil() as i32, factors, ceilings }
    }
}

impl AxisKernel {
    /// From log2 of the kernel, `outputs` × `inputs` in C order, each finite or −∞ and below 2^40 in size.
    pub fn new(outputs: usize, inputs: usize, log2: Vec<f64>) -> Self {
        assert_eq!(log2.len(), outputs * inputs);
        let extent = extent(&log2);
        AxisKernel { outputs, inputs, log2, extent, f64: OnceLock::new(), f32: OnceLock::new() }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Bounds of the finite z that a pass makes from inputs within `bounds`.
    pub fn bounds(&self, (low, high): (f64, f64)) -> (f64, f64) {
        (low + self.extent.0, high + self.extent.1 + elementary::log2(self.inputs as f64))
    }

    /// Row i of L.
    pub(super) fn log2_row(&self, i: usize) -> &[f64] {
        &self.log2[i * self.inputs..][..self.inputs]
    }

    /// `input` is inputs × R in C order: R lines along the first axis. `out` gets the lines `lines` ⊂ 0..R, one after
    /// the other, each of `outputs` values: the axis has become the last one.
    pub fn pass(
        &self,
        level: Level,
        precision: Precision,
        (input, output): (Input, Output),
        lines: Range<usize>,
        out: &mut [f64],
    ) {
        assert_eq!(input.len() % self.inputs, 0);
        assert!(lines.end <= input.len() / self.inputs);
        assert_eq!(out.len(), lines.len() * self.outputs);
        if precision == Precision::F32
            && let Some(packed) = self.f32.get_or_init(|| Packed::new(self.outputs, self.inputs, &self.log2)).as_ref()
        {
            if self.dispatch(packed, level, (input, output), lines.clone(), out) {
                return;
            }
            // Outputs that did not fit into f32 are NaN.
            let mut again = Vec::new();
            for (first, out) in lines.step_by(REPEAT).zip(out.chunks_mut(REPEAT * self.outputs)) {
                if out.iter().any(|x| x.is_nan()) {
                    again.resize(out.len(), 0.0);
                    self.pass_f64(level, (input, output), first..first + out.len() / self.outputs, &mut again);
                    for (y, x) in out.iter_mut().zip(&again) {
                        *y = if y.is_nan() { *x } else { *y };
                    }
                }
            }
        } else {
            self.pass_f64(level, (input, output), lines, out);
        }
    }

    fn pass_f64(&self, level: Level, formats: (Input, Output), lines: Range<usize>, out: &mut [f64]) {
        let packed = self.f64.get_or_init(|| {
            Packed::new(self.outputs, self.inputs, &self.log2)
                .unwrap_or_else(|| Packed::finest(self.outputs, self.inputs, &self.log2))
        });
        self.dispatch(packed, level, formats, lines, out);
    }

    /// Whether all outputs are good; in f64 they always are.
    fn dispatch<F: Real>(
        &self,
        packed: &Packed<F>,
        level: Level,
        formats: (Input, Output),
        lines: Range<usize>,
        out: &mut [f64],
    ) -> bool {
        // SAFETY: a level above what the processor has is never taken.
        SCRATCH.with_borrow_mut(|scratch| match level.min(Level::detect()) {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { panels_avx512(self, packed, formats, lines, out, scratch) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { panels_avx2(self, packed, formats, lines, out, scratch) },
            _ => unsafe { panels::<F, Portable>(self, packed, formats, lines, out, scratch) },
        })
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
unsafe fn panels_avx512<F: Real>(
    k: &AxisKernel,
    p: &Packed<F>,
    formats: (Input, Output),
    lines: Range<usize>,
    out: &mut [f64],
    scratch: &mut Scratch,
) -> bool {
    unsafe { panels::<F, Avx512>(k, p, formats, lines, out, scratch) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn panels_avx2<F: Real>(
    k: &AxisKernel,
    p: &Packed<F>,
    formats: (Input, Output),
    lines: Range<usize>,
    out: &mut [f64],
    scratch: &mut Scratch,
) -> bool {
    unsafe { panels::<F, Avx2>(k, p, formats, lines, out, scratch) }
}
