//! The learned part of a twist: Gaussian features on a grid of centres and a constant, fitted backwards in time.

use super::chain::{Chain, LANES, Other, Quadratic};
use super::ensemble::{Context, Sampled};
use super::guide::Scratch;
use super::linear::solve;
use crate::enter;
use crate::error::Result;
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;

/// Products over the coordinates of exp(−½ ((x − centre)/width)²), centres on a grid, and a constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    low: Vec<f64>,
    width: Vec<f64>,
    each: usize,
    level: Level,
}

/// Features of all coordinates together, at most.
const MOST: usize = 1024;
/// Ridge of the fits, relative to the mean diagonal.
const RIDGE: f64 = 1e-7;
/// Targets below this are cut: log of a probability that no node sees.
const LOWEST: f64 = -40.0;

impl Features {
    /// `each` centres per coordinate from `low` to `high`, as wide as they are apart.
    ///
    /// # Errors
    /// (key, message).
    pub fn new(
        low: &[f64],
        high: &[f64],
        each: usize,
        chain: &Chain,
    ) -> std::result::Result<Features, (&'static str, String)> {
        let d = chain.dimension;
        for (key, list) in [("low", low), ("high", high)] {
            if list.len() != d {
                return Err((key, format!("has {} coordinates; the start has {d}", list.len())));
            }
        }
        if let Some(i) = (0..d).find(|&i| !(low[i] < high[i])) {
            return Err(("high", format!("must be above low = {}, not {}", low[i], high[i])));
        }
        if each.checked_pow(d as u32).is_none_or(|n| n > MOST) {
            let message = format!("{each} per coordinate make more than {MOST} in {d} coordinates");
            return Err(("features", message));
        }
        let width = low.iter().zip(high).map(|(a, b)| (b - a) / (each - 1) as f64).collect();
        Ok(Features { low: low.to_vec(), width, each, level: chain.level })
    }

    pub fn count(&self) -> usize {
        self.each.pow(self.low.len() as u32) + 1
    }

    /// Spacing of the centres per coordinate.
    pub fn widths(&self) -> &[f64] {
        &self.width
    }

    /// out[coordinate][centre][LANES]: factors, and slopes of their logarithms.
    fn factors(&self, x: &[f64], out: &mut [f64], slopes: &mut [f64]) {
        let each = self.each;
        enter!(self.level, S => {
            for (i, x) in x.chunks_exact(LANES).enumerate() {
                let inverse = 1.0 / self.width[i];
                for c in 0..each {
                    let centre = self.low[i] + c as f64 * self.width[i];
                    let at = (i * each + c) * LANES;
                    let (out, slopes) = (&mut out[at..at + LANES], &mut slopes[at..at + LANES]);
                    for l in 0..LANES {
                        let z = (x[l] - centre) * inverse;
                        out[l] = S::exp(-0.5 * z * z);
                        slopes[l] = -z * inverse;
                    }
                }
            }
        })
    }

    /// value += Σ_k coefficients_k φ_k(x); gradient += its gradient where asked.
    pub fn combine(&self, coefficients: &[f64], x: &[f64], value: &mut [f64], gradient: Option<&mut [f64]>) {
        let (d, each) = (self.low.len(), self.each);
        let mut factors = vec![0.0; 2 * d * each * LANES];
        let (factors, slopes) = factors.split_at_mut(d * each * LANES);
        self.factors(x, factors, slopes);
        let count = self.count() - 1;
        value.iter_mut().for_each(|v| *v += coefficients[count]);
        let mut none = Vec::new();
        let wanted = gradient.is_some();
        let gradient = gradient.unwrap_or(&mut none);
        enter!(self.level, S => {
            let mut part = [0.0; LANES];
            for k in 0..count {
                let a = coefficients[k];
                // The product over coordinates; the last coordinate runs fastest.
                part.fill(a);
                let mut rest = k;
                for i in (0..d).rev() {
                    let at = (i * each + rest % each) * LANES;
                    rest /= each;
                    let factor = &factors[at..at + LANES];
                    for l in 0..LANES {
                        part[l] *= factor[l];
                    }
                }
                for l in 0..LANES {
                    value[l] += part[l];
                }
                if wanted {
                    let mut rest = k;
                    for i in (0..d).rev() {
                        let at = (i * each + rest % each) * LANES;
                        rest /= each;
                        let slope = &slopes[at..at + LANES];
                        let gradient = &mut gradient[i * LANES..(i + 1) * LANES];
                        for l in 0..LANES {
                            gradient[l] = S::mul_add(part[l], slope[l], gradient[l]);
                        }
                    }
                }
            }
        })
    }

    /// out[feature][LANES].
    fn evaluate(&self, x: &[f64], out: &mut [f64]) {
        let (d, each) = (self.low.len(), self.each);
        let mut factors = vec![0.0; 2 * d * each * LANES];
        let (factors, slopes) = factors.split_at_mut(d * each * LANES);
        self.factors(x, factors, slopes);
        let count = self.count() - 1;
        out[count * LANES..].fill(1.0);
        for (k, part) in out[..count * LANES].chunks_exact_mut(LANES).enumerate() {
            part.fill(1.0);
            let mut rest = k;
            for i in (0..d).rev() {
                let at = (i * each + rest % each) * LANES;
                rest /= each;
                part.iter_mut().zip(&factors[at..at + LANES]).for_each(|(p, f)| *p *= f);
            }
        }
    }
}

/// Nodes and weights of the Gauss–Hermite rule for the standard normal law, by Newton's method on Hermite's recursion.
pub fn gauss_hermite(n: usize) -> (Vec<f64>, Vec<f64>) {
    // Probabilists' polynomials: He_{k+1} = x He_k − k He_{k−1}; weights n!/(n He_{n−1})².
    let value = |x: f64| -> (f64, f64) {
        let (mut before, mut now) = (0.0, 1.0);
        for k in 0..n {
            (before, now) = (now, x * now - k as f64 * before);
        }
        (now, before)
    };
    let factorial: f64 = (1..=n).map(|k| k as f64).product();
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    // Roots are simple and within ±2√n; each lies in an interval of a fine grid where the sign changes.
    let reach = 2.0 * (n as f64).sqrt() + 1.0;
    let cells = 400 * n;
    let at = |c: usize| -reach + 2.0 * reach * (c as f64 + 0.377) / cells as f64;
    for c in 0..cells {
        let (mut a, mut b) = (at(c), at(c + 1));
        let (fa, fb) = (value(a).0, value(b).0);
        if (fa < 0.0) == (fb < 0.0) {
            continue;
        }
        for _ in 0..80 {
            let middle = 0.5 * (a + b);
            if (value(middle).0 < 0.0) == (fa < 0.0) { a = middle } else { b = middle }
        }
        let x = 0.5 * (a + b);
        let slope = n as f64 * value(x).1;
        nodes.push(x);
        weights.push(factorial / (slope * slope));
    }
    (nodes, weights)
}

/// What a backward fit made.
pub struct Fit {
    /// [times][features].
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
    let mut coefficients = vec![0.0; (chain.steps + 1) * p];
    let (mut left, mut spread) = (0.0, 0.0);
    let length = p * p + p + 2;
    for j in (0..chain.steps).rev() {
        if j % 8 == 0 {
            context.check()?;
        }
        let next = coefficients[(j + 1) * p..(j + 2) * p].to_vec();
        let sums = context.crew.sum(context.blocks, length, &|block, out| {
            let mut noise = vec![0.0; rows];
            random.rows(Stream::PathsTune, round, j * d, block, &mut noise);
            let paths = &drawn.paths.block(block - first)[j * rows..(j + 1) * rows];
            let broadened: Vec<f64> = (0..rows).map(|l| paths[l] + features.widths()[l / LANES] * noise[l]).collect();
            let mut phi = vec![0.0; p * LANES];
            for x in [paths, &broadened] {
                let mut target = [0.0; LANES];
                targets(chain, features, quadratic, j, &next, (&nodes, &weights), x, &mut target);
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
        coefficients[j * p..(j + 1) * p].copy_from_slice(&theta);
    }
    let evaluations = 2.0 * context.paths() as f64 * chain.steps as f64;
    Ok(Fit { coefficients, residual: (left / spread.max(f64::MIN_POSITIVE)).sqrt(), evaluations })
}

/// out += (lower triangle of Φ Φᵀ, Φ t, Σt, Σt²) of a block.
fn accumulate(level: Level, p: usize, phi: &[f64], target: &[f64; LANES], out: &mut [f64]) {
    enter!(level, S => {
        for a in 0..p {
            let left = &phi[a * LANES..(a + 1) * LANES];
            for b in 0..=a {
                let right = &phi[b * LANES..(b + 1) * LANES];
                out[a * p + b] += dot::<S>(left, right);
            }
            out[p * p + a] += dot::<S>(left, target);
        }
    });
    out[p * p + p] += target.iter().sum::<f64>();
    out[p * p + p + 1] += target.iter().map(|t| t * t).sum::<f64>();
}

/// Σ a_l b_l in eight lanes that are folded on each other.
#[inline(always)]
pub fn dot<S: Scalar>(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for l in 0..8 {
            lanes[l] = S::mul_add(a[l], b[l], lanes[l]);
        }
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
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
        value.fill(ln(weight));
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
            features.combine(next, at, value, None);
            for other in chain.others[j + 1].iter().filter(|o| matches!(o, Other::Ball { .. })) {
                ball(other, at, value);
            }
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
    fn nine_hermite_nodes_integrate_x_to_the_16_as_2027025_and_sum_to_1() {
        let (nodes, weights) = gauss_hermite(9);
        assert_eq!(nodes.len(), 9);
        let moment = |k: i32| nodes.iter().zip(&weights).map(|(x, w)| w * x.powi(k)).sum::<f64>();
        assert!((moment(0) - 1.0).abs() < 1e-12);
        assert!(moment(3).abs() < 1e-10);
        // 15!! = 2027025.
        assert!((moment(16) / 2_027_025.0 - 1.0).abs() < 1e-10, "{}", moment(16));
    }
}
