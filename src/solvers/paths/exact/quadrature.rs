//! log Z and marginals of a chain on a line (or of two coordinates) by the trapezoidal rule on a grid: forward and
//! backward recursions of the Gaussian kernel, spectrally accurate where the grid resolves the kernel.

use crate::solvers::paths::chain::{Chain, LANES};

/// exp(−J_j) and the chain's mean at the points of a grid, in blocks as the room works.
fn potentials(chain: &Chain, j: usize, points: &[Vec<f64>]) -> Vec<f64> {
    let n = points[0].len();
    let mut out = vec![0.0; n];
    for at in (0..n).step_by(LANES) {
        let m = LANES.min(n - at);
        let mut x = vec![0.0; chain.rows()];
        for (i, row) in x.chunks_exact_mut(LANES).enumerate() {
            row[..m].copy_from_slice(&points[i][at..at + m]);
        }
        let mut value = [0.0; LANES];
        chain.log_potential(j, &x, &mut value);
        out[at..at + m].copy_from_slice(&value[..m]);
    }
    out.into_iter().map(f64::exp).collect()
}

fn means(chain: &Chain, j: usize, points: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = points[0].len();
    let mut out = vec![vec![0.0; n]; chain.dimension];
    for at in (0..n).step_by(LANES) {
        let m = LANES.min(n - at);
        let (mut x, mut mean) = (vec![0.0; chain.rows()], vec![0.0; chain.rows()]);
        for (i, row) in x.chunks_exact_mut(LANES).enumerate() {
            row[..m].copy_from_slice(&points[i][at..at + m]);
        }
        chain.mean(j, &x, &mut mean);
        for (i, row) in mean.chunks_exact(LANES).enumerate() {
            out[i][at..at + m].copy_from_slice(&row[..m]);
        }
    }
    out
}

/// (log Z, mean and deviation per time) of a chain in one coordinate on a grid of `n` points from `low` to `high`.
pub fn line(chain: &Chain, low: f64, high: f64, n: usize) -> (f64, Vec<(f64, f64)>) {
    assert_eq!(chain.dimension, 1);
    let dx = (high - low) / (n - 1) as f64;
    let x: Vec<f64> = (0..n).map(|i| low + dx * i as f64).collect();
    let points = [x.clone()];
    let density = |z: f64, s: f64| (-0.5 * z * z / (s * s)).exp() / (s * std::f64::consts::TAU.sqrt());
    // Backward: h_j(x) = E[exp(−Σ_{i≥j} J_i) | x_j = x]; kept for the marginals.
    let mut h = vec![potentials(chain, chain.steps, &points)];
    let window = |m: f64, s: f64| {
        let at = |z: f64| (((z - low) / dx).max(0.0) as usize).min(n - 1);
        at(m - 9.0 * s)..(at(m + 9.0 * s) + 1).min(n)
    };
    for j in (1..=chain.steps).rev() {
        let (g, m) = (potentials(chain, j - 1, &points), means(chain, j, &points));
        let next = h.last().unwrap();
        let s = chain.deviation(j, 0).unwrap();
        let value = |i: usize| -> f64 {
            let m = m[0][i];
            if s == 0.0 {
                // Only the last step of a bridge, which ends where its mean is.
                return g[i] * potentials(chain, j, &[vec![m]])[0];
            }
            g[i] * dx * window(m, s).map(|k| density(x[k] - m, s) * next[k]).sum::<f64>()
        };
        let now: Vec<f64> = (0..n).map(value).collect();
        h.push(now);
    }
    h.reverse();
    let (m0, s0) = (chain.start.mean[0], chain.start.deviation[0]);
    let at_start = |f: &dyn Fn(f64) -> f64| f(m0);
    // Forward: density of the chain with the costs before, times h.
    let mut forward: Vec<f64>;
    let z;
    let mut marginals = Vec::new();
    let moments = |w: &[f64]| {
        let sum: f64 = w.iter().sum();
        let m = w.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() / sum;
        let q = w.iter().zip(&x).map(|(w, x)| w * (x - m) * (x - m)).sum::<f64>() / sum;
        (m, q.sqrt())
    };
    if s0 > 0.0 {
        forward = x.iter().map(|x| density(x - m0, s0)).collect();
        z = dx * forward.iter().zip(&h[0]).map(|(f, h)| f * h).sum::<f64>();
        marginals.push(moments(&forward.iter().zip(&h[0]).map(|(f, h)| f * h).collect::<Vec<_>>()));
        let g = potentials(chain, 0, &points);
        forward.iter_mut().zip(g).for_each(|(f, g)| *f *= g);
    } else {
        // One step from the point by quadrature.
        let point = [vec![m0]];
        let g = at_start(&|_| potentials(chain, 0, &point)[0]);
        let m = means(chain, 1, &point)[0][0];
        let s = chain.deviation(1, 0).unwrap();
        forward = x.iter().map(|x| g * density(x - m, s)).collect();
        z = dx * forward.iter().zip(&h[1]).map(|(f, h)| f * h).sum::<f64>();
        marginals.push((m0, 0.0));
    }
    let first = if s0 > 0.0 { 1 } else { 2 };
    if s0 == 0.0 {
        marginals.push(moments(&forward.iter().zip(&h[1]).map(|(f, h)| f * h).collect::<Vec<_>>()));
        let g = potentials(chain, 1, &points);
        forward.iter_mut().zip(g).for_each(|(f, g)| *f *= g);
    }
    for j in first..=chain.steps {
        let s = chain.deviation(j, 0).unwrap();
        if s == 0.0 {
            break;
        }
        let m = means(chain, j, &points);
        let mut next = vec![0.0; n];
        for i in 0..n {
            if forward[i] > 1e-300 {
                for k in window(m[0][i], s) {
                    next[k] += dx * forward[i] * density(x[k] - m[0][i], s);
                }
            }
        }
        marginals.push(moments(&next.iter().zip(&h[j]).map(|(f, h)| f * h).collect::<Vec<_>>()));
        let g = potentials(chain, j, &points);
        forward = next.iter().zip(g).map(|(f, g)| f * g).collect();
    }
    (z.ln(), marginals)
}
