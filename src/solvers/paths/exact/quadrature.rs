//! log Z and marginals of a chain on a line (or of two coordinates) by the trapezoidal rule on a grid: forward and
//! backward recursions of the Gaussian kernel, spectrally accurate where the grid resolves the kernel.

use crate::solvers::paths::chain::{Chain, LANES, Other};

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

/// log Z of a chain in two coordinates from a fixed start, by the density of the chain carried forwards on a grid of
/// `spacing` from `low` to `high`; a ball may end it.
pub fn plane(chain: &Chain, low: [f64; 2], high: [f64; 2], spacing: f64) -> f64 {
    assert_eq!(chain.dimension, 2);
    let size = [0, 1].map(|i| ((high[i] - low[i]) / spacing).round() as usize + 1);
    let at = |i: usize, k: usize| low[i] + spacing * k as f64;
    let count = size[0] * size[1];
    let points: Vec<Vec<f64>> =
        vec![(0..count).map(|k| at(0, k % size[0])).collect(), (0..count).map(|k| at(1, k / size[0])).collect()];
    // The points within nine deviations of a mean, and the kernel's density there.
    let kernel = |i: usize, m: f64, s: f64| -> (usize, Vec<f64>) {
        let place = |x: f64| ((x - low[i]) / spacing).clamp(0.0, (size[i] - 1) as f64);
        let (from, to) = (place(m - 9.0 * s).ceil() as usize, place(m + 9.0 * s) as usize);
        let density = |k: usize| (-0.5 * ((at(i, k) - m) / s).powi(2)).exp() / (s * std::f64::consts::TAU.sqrt());
        (from, (from..=to).map(density).collect())
    };
    let spread = |into: &mut [f64], mass: f64, m: [f64; 2], s: [f64; 2]| {
        let (x, y) = (kernel(0, m[0], s[0]), kernel(1, m[1], s[1]));
        for (row, wy) in y.1.iter().enumerate() {
            let from = (y.0 + row) * size[0] + x.0;
            for (into, wx) in into[from..].iter_mut().zip(&x.1) {
                *into += mass * wy * wx;
            }
        }
    };
    let deviation = |j: usize| [0, 1].map(|i| chain.deviation(j, i).unwrap());
    let start: Vec<Vec<f64>> = chain.start.mean.iter().map(|x| vec![*x]).collect();
    let first = means(chain, 1, &start);
    let mut density = vec![0.0; count];
    spread(&mut density, potentials(chain, 0, &start)[0], [first[0][0], first[1][0]], deviation(1));
    let last = chain.steps;
    let balls = chain.others[last].iter().find_map(|o| match o {
        Other::Ball { centre, radius } => Some((centre.clone(), *radius)),
        Other::Functional { .. } => None,
    });
    for j in 2..=last {
        let g = potentials(chain, j - 1, &points);
        let (m, s) = (means(chain, j, &points), deviation(j));
        if let (Some((centre, radius)), true) = (&balls, j == last) {
            // The last step by quadrature of the disc: its edge is sharp.
            let mut z = 0.0;
            for k in 0..count {
                let reach = radius + 9.0 * s[0];
                let apart = [m[0][k] - centre[0], m[1][k] - centre[1]];
                if density[k] > 0.0 && apart[0].hypot(apart[1]) < reach {
                    let mut inside = 0.0;
                    let (rings, rays) = (32, 32);
                    for ring in 0..rings {
                        let r = radius * ((ring as f64 + 0.5) / rings as f64).sqrt();
                        for ray in 0..rays {
                            let angle = std::f64::consts::TAU * ray as f64 / rays as f64;
                            let to = [r * angle.cos() - apart[0], r * angle.sin() - apart[1]];
                            inside += (-0.5 * ((to[0] / s[0]).powi(2) + (to[1] / s[1]).powi(2))).exp();
                        }
                    }
                    // π r²/(rings · rays) per point, over 2π s².
                    z += spacing * spacing * density[k] * g[k] * inside * radius * radius
                        / (2.0 * (rings * rays) as f64 * s[0] * s[1]);
                }
            }
            return z.ln();
        }
        let mut next = vec![0.0; count];
        for k in (0..count).filter(|k| density[*k] > 1e-200) {
            spread(&mut next, spacing * spacing * density[k] * g[k], [m[0][k], m[1][k]], s);
        }
        density = next;
    }
    let g = potentials(chain, last, &points);
    (spacing * spacing * density.iter().zip(&g).map(|(p, g)| p * g).sum::<f64>()).ln()
}
