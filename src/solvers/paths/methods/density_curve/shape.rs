//! What a density curve is made of: where its parameters lie, where it begins, and the nodes of its expectations.

use crate::math::elementary::{exp, ln};
use crate::solvers::paths::bumps::gauss_hermite;
use crate::solvers::paths::chain::{Chain, LANES};

/// Places of the parameters: of each component the means [time][coordinate], then the logarithms of the deviations in the
/// same order; after them, of several components, the logarithms of their weights up to a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    pub times: usize,
    pub dimension: usize,
    pub components: usize,
}

impl Shape {
    pub fn new(chain: &Chain, components: usize) -> Shape {
        Shape { times: chain.steps + 1, dimension: chain.dimension, components }
    }

    /// Parameters of a component.
    fn part(&self) -> usize {
        2 * self.times * self.dimension
    }

    pub fn len(&self) -> usize {
        self.components * self.part() + if self.components > 1 { self.components } else { 0 }
    }

    /// The mean of component `c` at time `j` in coordinate `i`.
    pub fn mean(&self, c: usize, j: usize, i: usize) -> usize {
        c * self.part() + j * self.dimension + i
    }

    /// The logarithm of its deviation.
    pub fn log_deviation(&self, c: usize, j: usize, i: usize) -> usize {
        self.mean(c, j, i) + self.times * self.dimension
    }

    /// The logarithm of its weight, where there are several.
    pub fn log_weight(&self, c: usize) -> usize {
        self.components * self.part() + c
    }

    /// out = logarithms of the weights, which add up to 1.
    pub fn log_weights(&self, parameters: &[f64], out: &mut [f64]) {
        if self.components == 1 {
            out[0] = 0.0;
            return;
        }
        out.copy_from_slice(&parameters[self.log_weight(0)..]);
        let largest = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log = largest + ln(out.iter().map(|w| exp(w - largest)).sum::<f64>());
        out.iter_mut().for_each(|w| *w -= log);
    }
}

/// σ² of transition `j` per unit of time.
pub fn variance(chain: &Chain, j: usize) -> f64 {
    let spread =
        chain.prior.spread(chain.time(j - 1), chain.time_step).expect("noise that does not depend on the state");
    chain.noise * chain.noise * (spread * spread)
}

/// Whether a coordinate is held at time `j`: at the start, where it has no law.
pub fn is_held(chain: &Chain, j: usize, coordinate: usize) -> bool {
    j == 0 && chain.start.deviation[coordinate] == 0.0
}

/// Where a coordinate is known beforehand, and with what variance: the start, and its observations.
fn known(chain: &Chain, i: usize) -> Vec<(usize, f64, f64)> {
    let mut known = vec![(0, chain.start.mean[i], chain.start.deviation[i] * chain.start.deviation[i])];
    for (j, q) in chain.quadratics.iter().enumerate() {
        if q[i].a > 0.0 && j > 0 {
            known.push((j, q[i].c / q[i].a, 1.0 / q[i].a));
        }
    }
    known
}

/// Where one Gaussian begins: straight from the start through the observations, as wide as the start or a step: means
/// [time][coordinate], then logarithms of deviations.
pub fn straight(chain: &Chain) -> Vec<f64> {
    let (n, d) = (chain.steps + 1, chain.dimension);
    let mut parameters = vec![0.0; 2 * n * d];
    for i in 0..d {
        let known = known(chain, i);
        for j in 0..n {
            let after = known.iter().position(|k| k.0 >= j);
            parameters[j * d + i] = match after {
                Some(0) => known[0].1,
                Some(k) => {
                    let ((a, x, _), (b, y, _)) = (known[k - 1], known[k]);
                    x + (y - x) * (j - a) as f64 / (b - a) as f64
                }
                None => known[known.len() - 1].1,
            };
            let step = (variance(chain, j.max(1)) * chain.time_step).sqrt();
            // A wide start begins narrower: its slopes are gentle.
            parameters[n * d + j * d + i] = ln(chain.start.deviation[i].min(0.5).max(step));
        }
    }
    parameters
}

/// Deviation of Brownian motion between what is known of a coordinate, at time `j`: how far apart components begin.
fn width(chain: &Chain, known: &[(usize, f64, f64)], j: usize) -> f64 {
    let between = |a: usize, b: usize| chain.time_step * (a + 1..=b).map(|k| variance(chain, k)).sum::<f64>();
    match known.iter().position(|k| k.0 >= j) {
        Some(0) => known[0].2,
        Some(k) => {
            let ((a, _, u), (b, _, v)) = (known[k - 1], known[k]);
            let f = (j - a) as f64 / (b - a) as f64;
            (1.0 - f) * (1.0 - f) * u + f * f * v + f * between(j, b)
        }
        None => known[known.len() - 1].2 + between(known[known.len() - 1].0, j),
    }
    .sqrt()
}

/// The place of component `c` in coordinate `i`, in deviations from the straight line: pairs of mirror images, each along
/// other signs of the coordinates (Walsh's functions) or farther out; an odd one stays on the line. They must begin apart:
/// the slopes of components that coincide are the same, and never part them.
fn place(c: usize, shape: Shape, i: usize) -> f64 {
    let (pairs, d) = (shape.components / 2, shape.dimension);
    let pair = c / 2;
    if pair == pairs {
        return 0.0;
    }
    let radius = 2.0 * (pair / d + 1) as f64 / (pairs.div_ceil(d) + 1) as f64;
    let flips = c % 2 + ((pair % d) & i).count_ones() as usize;
    if flips % 2 == 0 { radius } else { -radius }
}

/// Where the components begin: around the straight line, with equal weights.
pub fn begin(chain: &Chain, shape: Shape) -> Vec<f64> {
    let line = straight(chain);
    let mut parameters = vec![0.0; shape.len()];
    for c in 0..shape.components {
        parameters[c * line.len()..(c + 1) * line.len()].copy_from_slice(&line);
        for i in 0..shape.dimension {
            let (known, place) = (known(chain, i), place(c, shape, i));
            if place != 0.0 {
                for j in 0..shape.times {
                    parameters[shape.mean(c, j, i)] += place * width(chain, &known, j);
                }
            }
        }
    }
    parameters
}

/// Up to [`LANES`] nodes in standard coordinates.
pub struct Block {
    pub count: usize,
    /// [coordinate][LANES], 0 beyond the nodes.
    pub z: Vec<f64>,
    /// 0 beyond the nodes.
    pub weights: [f64; LANES],
}

/// The product of Gauss–Hermite rules over the coordinates.
pub fn product_rule(d: usize, nodes: usize) -> Vec<Block> {
    let (x, w) = gauss_hermite(nodes);
    let total = nodes.pow(d as u32);
    let block = |from: usize| {
        let count = LANES.min(total - from);
        let (mut z, mut weights) = (vec![0.0; d * LANES], [0.0; LANES]);
        for l in 0..count {
            let (mut rest, mut weight) = (from + l, 1.0);
            for i in 0..d {
                z[i * LANES + l] = x[rest % nodes];
                weight *= w[rest % nodes];
                rest /= nodes;
            }
            weights[l] = weight;
        }
        Block { count, z, weights }
    };
    (0..total).step_by(LANES).map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_16_components_begin_apart_in_1_to_3_coordinates_and_their_places_add_up_to_0() {
        for dimension in 1..=3 {
            for components in 1..=16 {
                let shape = Shape { times: 1, dimension, components };
                let at = |c: usize| (0..dimension).map(|i| place(c, shape, i)).collect::<Vec<f64>>();
                for i in 0..dimension {
                    assert!((0..components).map(|c| at(c)[i]).sum::<f64>().abs() < 1e-12);
                }
                for a in 0..components {
                    for b in 0..a {
                        assert_ne!(at(a), at(b), "{dimension} coordinates, {components} components: {a} and {b}");
                    }
                }
            }
        }
    }
}
