//! Entropic transport between two small sets of points of equal weight, cost |x − y|²·scale: Sinkhorn's iteration in
//! logarithms, and a pairing (permutation) made of the plan.

use rayon::prelude::*;

use crate::enter;
use crate::error::Result;
use crate::math::elementary::{exp, ln};
use crate::math::simd::Level;
use crate::math::simd::scalar::{Scalar, total};

/// log of the plan: f_i + g_j − |x_i − y_j|² scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Potentials {
    pub f: Vec<f64>,
    pub g: Vec<f64>,
    /// Error of the column marginals (in total variation, doubled).
    pub error: f64,
}

/// What Sinkhorn's iteration stops at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Until {
    pub tolerance: f64,
    pub iterations: u64,
}

/// Sinkhorn's iteration between x and y, [point][coordinate] of `d` coordinates; `stop` is asked every 16 iterations.
///
/// # Errors
/// That of `stop`.
#[allow(clippy::too_many_arguments)]
pub fn sinkhorn(
    level: Level,
    x: &[f64],
    y: &[f64],
    d: usize,
    scale: f64,
    until: Until,
    stop: &(dyn Fn() -> Result<()> + '_),
) -> Result<Potentials> {
    let (n, m) = (x.len() / d, y.len() / d);
    let (a, b) = (-ln(n as f64), -ln(m as f64));
    let (mut f, mut g, mut error) = (vec![a; n], vec![b; m], f64::INFINITY);
    let update = |of: &[f64], with: &[f64], h: &[f64], mass: f64| -> Vec<f64> {
        of.par_chunks_exact(d)
            .map_init(|| vec![0.0; h.len()], |work, x| mass - soft(level, x, with, h, scale, work))
            .collect()
    };
    for iteration in 0..until.iterations {
        if iteration % 16 == 0 {
            stop()?;
        }
        f = update(x, y, &g, a);
        let next = update(y, x, &f, b);
        // Mass of column j before the update: e^{g_j − next_j} b.
        error = g.iter().zip(&next).map(|(g, n)| (exp(g - n) - 1.0).abs() * exp(b)).sum();
        g = next;
        if error < until.tolerance {
            break;
        }
    }
    Ok(Potentials { f, g, error })
}

/// log Σ_j exp(a_j − |x − y_j|² scale) over the points y.
fn soft(level: Level, x: &[f64], y: &[f64], a: &[f64], scale: f64, work: &mut [f64]) -> f64 {
    for ((w, y), a) in work.iter_mut().zip(y.chunks_exact(x.len())).zip(a) {
        *w = a - squared(x, y) * scale;
    }
    let largest = work.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = enter!(level, S => {
        for w in work.iter_mut() {
            *w = S::exp(*w - largest);
        }
        total(work)
    });
    largest + ln(sum)
}

fn squared(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// A pairing i → j of as many points x as y with a small Σ|x_i − y_j|²: the entropic plan's heaviest free entry for each
/// i in turn, or i → i where that is cheaper; then exchanges of two partners until none helps.
pub fn pairing(x: &[f64], y: &[f64], d: usize, scale: f64, g: &[f64]) -> Vec<usize> {
    let n = x.len() / d;
    let cost = |i: usize, j: usize| squared(&x[i * d..(i + 1) * d], &y[j * d..(j + 1) * d]);
    let mut free: Vec<usize> = (0..n).collect();
    let mut pairs: Vec<usize> = (0..n)
        .map(|i| {
            let weight = |j: usize| g[j] - cost(i, j) * scale;
            let best = (0..free.len()).max_by(|a, b| weight(free[*a]).total_cmp(&weight(free[*b])));
            free.swap_remove(best.expect("as many points on both sides"))
        })
        .collect();
    let total = |pairs: &[usize]| pairs.iter().enumerate().map(|(i, j)| cost(i, *j)).sum::<f64>();
    let same: Vec<usize> = (0..n).collect();
    if total(&same) <= total(&pairs) {
        pairs = same;
    }
    // An exchange must help beyond rounding, so that this ends.
    let mut changed = true;
    while changed {
        changed = false;
        for a in 0..n {
            for b in a + 1..n {
                let (now, then) = (cost(a, pairs[a]) + cost(b, pairs[b]), cost(a, pairs[b]) + cost(b, pairs[a]));
                if then < now * (1.0 - 1e-9) {
                    pairs.swap(a, b);
                    changed = true;
                }
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_moved_and_shuffled_in_the_plane_are_paired_with_themselves() {
        let n = 37;
        let x: Vec<f64> = (0..2 * n).map(|k| (k * 7919 % 1009) as f64 / 100.0).collect();
        let shuffled = |i: usize| (i * 11 + 5) % n;
        let mut y = vec![0.0; 2 * n];
        for i in 0..n {
            y[2 * shuffled(i)] = x[2 * i] + 3.0;
            y[2 * shuffled(i) + 1] = x[2 * i + 1] - 1.0;
        }
        let until = Until { tolerance: 1e-6, iterations: 4000 };
        let plan = sinkhorn(Level::detect(), &x, &y, 2, 0.1, until, &|| Ok(())).unwrap();
        assert!(plan.error < 1e-6, "{}", plan.error);
        let pairs = pairing(&x, &y, 2, 0.1, &plan.g);
        for (i, j) in pairs.iter().enumerate() {
            assert_eq!(*j, shuffled(i));
        }
    }
}
