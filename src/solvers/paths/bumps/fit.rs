//! The backward fit of the learned part: least squares on what the twist should be, time after time.

use std::sync::Mutex;

use super::{Features, gauss_hermite};
use crate::enter;
use crate::error::Result;
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::math::simd::scalar::{Scalar, dot};
use crate::solvers::paths::chain::{Chain, LANES, Other, Quadratic};
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::Scratch;
use crate::solvers::paths::linear::solve;

/// Ridge of the fits, relative to the mean diagonal.
const RIDGE: f64 = 1e-5;
/// Targets below this are cut: log of a probability that no node sees.
const LOWEST: f64 = -40.0;

/// What a backward fit made.
pub struct Fit {
    /// [times][`Features::held`].
    pub coefficients: Vec<f64>,
    /// Root mean square of the residuals over that of the targets' spread.
    pub residual: f64,
    pub evaluations: f64,
}

/// Fits the bump backwards in time on `drawn` paths and on copies that are broadened by the features' width; collective.
pub fn fit(
    context: &Context,
    features: &Features,
    quadratic: &[Vec<Quadratic>],
    drawn: &Sampled,
    nodes: usize,
    round: u32,
) -> Result<Fit> {
    let chain = context.chain;
    let (d, rows, p) = (chain.dimension, chain.rows(), features.count());
    let (nodes, weights) = gauss_hermite(nodes);
    let (first, random) = (context.mine().start, context.random);
    let held = features.held();
    let mut coefficients = vec![0.0; (chain.steps + 1) * held];
    let (mut left, mut spread) = (0.0, 0.0);
    let length = p * p + p + 2;
    for j in (0..chain.steps).rev() {
        if j % 8 == 0 {
            context.check()?;
        }
        let next = coefficients[(j + 1) * held..(j + 2) * held].to_vec();
        // The least and the largest target of this rank.
        let seen = Mutex::new([f64::INFINITY, f64::NEG_INFINITY]);
        let sums = context.ranks.sum(context.blocks, length, &|block, out| {
            let mut noise = vec![0.0; rows];
            random.rows(Stream::PathsTune, round, j * d, block, &mut noise);
            let paths = &drawn.paths.block(block - first)[j * rows..(j + 1) * rows];
            let broadened: Vec<f64> = (0..rows).map(|l| paths[l] + features.widths()[l / LANES] * noise[l]).collect();
            let mut phi = vec![0.0; p * LANES];
            for x in [paths, &broadened] {
                let mut target = [0.0; LANES];
                targets(chain, features, quadratic, j, &next, (&nodes, &weights), x, &mut target);
                let ends = target.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], t| [a.min(*t), b.max(*t)]);
                let mut seen = seen.lock().expect("no block panics with it");
                *seen = [seen[0].min(ends[0]), seen[1].max(ends[1])];
                drop(seen);
                features.evaluate(x, &mut phi);
                accumulate(chain.level, p, &phi, &target, out);
            }
        });
        let (g, rest) = sums.split_at(p * p);
        let (r, rest) = rest.split_at(p);
        let theta = solve(g, r, RIDGE);
        // Residual sum of squares = t·t − 2 θ·r + θ G θ, and the spread of the targets.
        let explained: f64 = theta.iter().zip(r).map(|(t, r)| t * r).sum();
        let count = 2.0 * context.paths() as f64;
        left += (rest[1] - explained).max(0.0);
        spread += (rest[1] - rest[0] * rest[0] / count).max(0.0);
        let [least, largest] = seen.into_inner().expect("as above");
        let (least, largest) = (-context.ranks.max(-least), context.ranks.max(largest));
        let at = &mut coefficients[j * held..(j + 1) * held];
        at[..p].copy_from_slice(&theta);
        at[p..].copy_from_slice(&[least, largest]);
    }
    let evaluations = 2.0 * context.paths() as f64 * chain.steps as f64;
    Ok(Fit { coefficients, residual: (left / spread.max(f64::MIN_POSITIVE)).sqrt(), evaluations })
}

/// Rows and columns of a tile of Φ Φᵀ that stays in registers.
const TILE: (usize, usize) = (6, 8);

/// out += (lower triangle of Φ Φᵀ, Φ t, Σt, Σt²) of a block.
pub fn accumulate(level: Level, p: usize, phi: &[f64], target: &[f64; LANES], out: &mut [f64]) {
    // Path after path, each with its features in a padded row: columns of a tile are vectors.
    let width = (p + TILE.0).next_multiple_of(TILE.1);
    let mut turned = vec![0.0; LANES * width];
    for (a, phi) in phi.chunks_exact(LANES).enumerate().take(p) {
        phi.iter().enumerate().for_each(|(l, f)| turned[l * width + a] = *f);
    }
    enter!(level, S => {
        for a in (0..p).step_by(TILE.0) {
            for b in (0..p.min(a + TILE.0)).step_by(TILE.1) {
                let mut sums = [[0.0; TILE.1]; TILE.0];
                for row in turned.chunks_exact(width) {
                    let (left, right) = (&row[a..a + TILE.0], &row[b..b + TILE.1]);
                    for i in 0..TILE.0 {
                        for m in 0..TILE.1 {
                            sums[i][m] = S::mul_add(left[i], right[m], sums[i][m]);
                        }
                    }
                }
                for (i, sums) in sums.iter().enumerate().take(p - a) {
                    for (m, sum) in sums.iter().enumerate().take((a + i + 1).saturating_sub(b)) {
                        out[(a + i) * p + b + m] += sum;
                    }
                }
            }
            for i in a..p.min(a + TILE.0) {
                out[p * p + i] += dot::<S>(&phi[i * LANES..(i + 1) * LANES], target);
            }
        }
    });
    out[p * p + p] += target.iter().sum::<f64>();
    out[p * p + p + 1] += target.iter().map(|t| t * t).sum::<f64>();
}

/// What the bump at time j should be at the points x of a block.
#[allow(clippy::too_many_arguments)]
fn targets(
    chain: &Chain,
    features: &Features,
    quadratic: &[Vec<Quadratic>],
    j: usize,
    next: &[f64],
    (nodes, weights): (&[f64], &[f64]),
    x: &[f64],
    target: &mut [f64; LANES],
) {
    let d = chain.dimension;
    let mut scratch = Scratch::new(chain);
    let [mean, at, _] = &mut scratch.rows;
    chain.mean(j + 1, x, mean);
    // The quadratic part: r_j − log ψ_j and log p(ψ_{j+1}) as in `guide`; the mean of the twisted kernel.
    let mut deviation = vec![0.0; d];
    for i in 0..d {
        let (r, psi, ahead) = (chain.quadratics[j][i], quadratic[j][i], quadratic[j + 1][i]);
        let rest = Quadratic { a: r.a - psi.a, c: r.c - psi.c, d: r.d - psi.d };
        let s = chain.deviation(j + 1, i).unwrap_or(0.0);
        let g = 1.0 / (1.0 + s * s * ahead.a);
        deviation[i] = s * g.sqrt();
        let constant = 0.5 * ln(g) + 0.5 * g * s * s * ahead.c * ahead.c + ahead.d;
        for l in 0..LANES {
            let m = mean[i * LANES + l];
            target[l] += rest.at(x[i * LANES + l]) + g * (ahead.c - 0.5 * ahead.a * m) * m + constant;
            mean[i * LANES + l] = g * (m + s * s * ahead.c);
        }
    }
    // What the present costs besides; balls are left to the weights.
    for other in &chain.others[j] {
        if let Other::Functional { of, variance, factor } = other {
            of.functional(*variance, -factor, x, target, None);
        }
    }
    // log E[e^{bump}] over the nodes, largest first.
    let last = j + 1 == chain.steps;
    let count = nodes.len().pow(d as u32);
    let mut values = vec![0.0; count * LANES];
    if !last {
        let mut places = vec![0.0; d * nodes.len() * LANES];
        for (k, place) in places.chunks_exact_mut(LANES).enumerate() {
            let (i, node) = (k / nodes.len(), k % nodes.len());
            for (l, place) in place.iter_mut().enumerate() {
                *place = mean[i * LANES + l] + deviation[i] * nodes[node];
            }
        }
        features.combine_nodes(next, &places, nodes.len(), &mut values);
    }
    let balls = || chain.others[j + 1].iter().filter(|o| matches!(o, Other::Ball { .. }));
    for (k, value) in values.chunks_exact_mut(LANES).enumerate() {
        let mut rest = k;
        let mut weight = 1.0;
        for i in 0..d {
            let node = rest % nodes.len();
            rest /= nodes.len();
            weight *= weights[node];
            for l in i * LANES..(i + 1) * LANES {
                at[l] = mean[l] + deviation[i] * nodes[node];
            }
        }
        let weight = ln(weight);
        value.iter_mut().for_each(|v| *v += weight);
        if last {
            // ψ_n is e^{r_n} itself.
            for i in 0..d {
                let (r, psi) = (chain.quadratics[j + 1][i], quadratic[j + 1][i]);
                let rest = Quadratic { a: r.a - psi.a, c: r.c - psi.c, d: r.d - psi.d };
                if rest != Quadratic::default() {
                    value.iter_mut().zip(&at[i * LANES..]).for_each(|(v, x)| *v += rest.at(*x));
                }
            }
            chain.log_others(j + 1, at, value);
        } else {
            balls().for_each(|other| ball(other, at, value));
        }
    }
    for l in 0..LANES {
        let column = || (0..count).map(|k| values[k * LANES + l]);
        let largest = column().fold(f64::NEG_INFINITY, f64::max);
        let log = if largest > f64::NEG_INFINITY {
            largest + ln(column().map(|v| exp(v - largest)).sum::<f64>())
        } else {
            LOWEST
        };
        target[l] = (target[l] + log).clamp(LOWEST, -LOWEST);
    }
}

fn ball(other: &Other, x: &[f64], value: &mut [f64]) {
    if let Other::Ball { centre, radius } = other {
        for (l, value) in value.iter_mut().enumerate() {
            let square: f64 = centre.iter().enumerate().map(|(i, c)| (x[i * LANES + l] - c).powi(2)).sum();
            if square > radius * radius {
                *value = f64::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_of_the_normal_equations_are_the_sums_over_paths_to_1e_12() {
        for p in [1, 5, 8, 26, 50] {
            let phi: Vec<f64> = (0..p * LANES).map(|k| (k * 7919 % 1009) as f64 / 1009.0 - 0.4).collect();
            let target: [f64; LANES] = std::array::from_fn(|l| (l as f64).sin());
            let mut out = vec![0.0; p * p + p + 2];
            accumulate(Level::detect(), p, &phi, &target, &mut out);
            let row = |a: usize| &phi[a * LANES..(a + 1) * LANES];
            for a in 0..p {
                for b in 0..p {
                    let sum: f64 = row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum();
                    let truth = if b <= a { sum } else { 0.0 };
                    assert!((out[a * p + b] - truth).abs() < 1e-12, "{p}: {a} {b}");
                }
                let sum: f64 = row(a).iter().zip(&target).map(|(x, t)| x * t).sum();
                assert!((out[p * p + a] - sum).abs() < 1e-12);
            }
        }
    }
}
