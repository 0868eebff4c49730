//! One axis of a min-plus pass: out_i = min_j (C_ij + u_j) along every line u.
//!
//! Lines are lanes as in [`super::axis`]; the same bits for any set of lines per call.

use std::ops::Range;

use super::cost::AxisCost;
#[cfg(target_arch = "x86_64")]
use super::isa::{Avx2, Avx512};
use super::isa::{Isa, Level, Portable, Vector};

/// Lanes of a panel: two AVX-512 vectors.
const LANES: usize = 16;
/// Outputs of a register tile.
const TILE: usize = 6;

/// `input` is inputs × R in C order: R lines along the first axis; `out` gets the lines `lines` ⊂ 0..R one after the
/// other, each of `outputs` values. In units of the cost.
pub fn min_plus(c: &AxisCost, level: Level, input: &[f64], lines: Range<usize>, out: &mut [f64]) {
    assert_eq!(input.len() % c.inputs(), 0);
    assert!(lines.end <= input.len() / c.inputs());
    assert_eq!(out.len(), lines.len() * c.outputs());
    // SAFETY: a level above what the processor has is never taken.
    match level.min(Level::detect()) {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { panels_avx512(c, input, lines, out) },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { panels_avx2(c, input, lines, out) },
        _ => unsafe { panels::<Portable>(c, input, lines, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
unsafe fn panels_avx512(c: &AxisCost, input: &[f64], lines: Range<usize>, out: &mut [f64]) {
    unsafe { panels::<Avx512>(c, input, lines, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn panels_avx2(c: &AxisCost, input: &[f64], lines: Range<usize>, out: &mut [f64]) {
    unsafe { panels::<Avx2>(c, input, lines, out) }
}

/// # Safety
/// The processor has the instruction set I.
#[inline(always)]
unsafe fn panels<I: Isa>(c: &AxisCost, input: &[f64], lines: Range<usize>, out: &mut [f64]) {
    let (n, m) = (c.outputs(), c.inputs());
    let stride = input.len() / m;
    let mut u = vec![f64::INFINITY; m * LANES];
    let mut result = [0.0; TILE * LANES];
    let mut first = lines.start;
    while first < lines.end {
        let live = LANES.min(lines.end - first);
        for (j, u) in u.chunks_exact_mut(LANES).enumerate() {
            u[..live].copy_from_slice(&input[j * stride + first..][..live]);
        }
        let out = &mut out[(first - lines.start) * n..][..live * n];
        for i in (0..n).step_by(TILE) {
            let rows = TILE.min(n - i);
            let costs = &c.cost()[i * m..(i + rows) * m];
            for l in (0..LANES).step_by(2 * I::F64::WIDTH) {
                // SAFETY: `u` is m × LANES, `costs` rows × m and `result` TILE × LANES long.
                unsafe {
                    let (u, y) = (u.as_ptr().add(l), result.as_mut_ptr().add(l));
                    match rows {
                        1 => register_tile::<I, 1>(costs, m, u, y),
                        2 => register_tile::<I, 2>(costs, m, u, y),
                        3 => register_tile::<I, 3>(costs, m, u, y),
                        4 => register_tile::<I, 4>(costs, m, u, y),
                        5 => register_tile::<I, 5>(costs, m, u, y),
                        _ => register_tile::<I, 6>(costs, m, u, y),
                    }
                }
            }
            for l in 0..live {
                for r in 0..rows {
                    out[l * n + i + r] = result[r * LANES + l];
                }
            }
        }
        first += live;
    }
}

#[inline(always)]
unsafe fn register_tile<I: Isa, const R: usize>(costs: &[f64], m: usize, u: *const f64, result: *mut f64) {
    let w = I::F64::WIDTH;
    unsafe {
        let mut best = [[I::F64::splat(f64::INFINITY); 2]; R];
        for j in 0..m {
            let (u0, u1) = (I::F64::load(u.add(j * LANES)), I::F64::load(u.add(j * LANES + w)));
            for (r, best) in best.iter_mut().enumerate() {
                let c = I::F64::splat(*costs.get_unchecked(r * m + j));
                best[0] = c.add(u0).min(best[0]);
                best[1] = c.add(u1).min(best[1]);
            }
        }
        for (r, best) in best.iter().enumerate() {
            best[0].store(result.add(r * LANES));
            best[1].store(result.add(r * LANES + w));
        }
    }
}
