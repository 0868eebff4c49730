//! What is sampled: the Euler–Maruyama chain of a reference diffusion, and the cost of its paths.
//!
//!     x_0 ~ N(m, diag s²) or a point,   x_j = x_{j−1} + h b(x_{j−1}, t_{j−1}) + σ√h ξ_j,   j = 1 … n
//!     target ∝ e^{−J(x)} · law of the chain,   J = Σ_j J_j(x_j),   Z = E[e^{−J}]
//!
//! Paths are worked on in blocks of [`LANES`]: the states of a block at one time are rows, coordinate i of its paths
//! being `x[i·LANES .. (i+1)·LANES]`.

use std::sync::Arc;

use super::priors::Prior;
use crate::math::simd::Level;

/// Paths of a block.
pub const LANES: usize = 64;

/// Where paths start: a mean and a deviation (0: fixed) per coordinate.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
}

/// log ψ(x) = −½ a x² + c x + d in one coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quadratic {
    pub a: f64,
    pub c: f64,
    pub d: f64,
}

impl Quadratic {
    #[inline(always)]
    pub fn at(&self, x: f64) -> f64 {
        (-0.5 * self.a * x + self.c) * x + self.d
    }

    #[inline(always)]
    pub fn slope(&self, x: f64) -> f64 {
        self.c - self.a * x
    }

    /// Its largest value; ψ is bounded (c = 0 where a = 0).
    pub fn peak(&self) -> f64 {
        if self.a > 0.0 { self.d + 0.5 * self.c * self.c / self.a } else { self.d }
    }

    pub fn plus(self, other: Quadratic) -> Quadratic {
        Quadratic { a: self.a + other.a, c: self.c + other.c, d: self.d + other.d }
    }
}

/// A cost at one time that is not quadratic.
#[derive(Clone)]
pub enum Other {
    /// 0 within the ball, +∞ outside.
    Ball { centre: Vec<f64>, radius: f64 },
    /// factor · Φ(x) of a diffusion with noise of variance σ² per unit of time (Girsanov's functional).
    Functional { of: Arc<dyn Prior>, variance: f64, factor: f64 },
}

pub struct Chain {
    pub prior: Arc<dyn Prior>,
    pub dimension: usize,
    /// Transitions n; there are n + 1 times.
    pub steps: usize,
    /// h.
    pub time_step: f64,
    /// σ.
    pub noise: f64,
    pub start: Start,
    /// Per time and coordinate: −J's quadratic part (observations).
    pub quadratics: Vec<Vec<Quadratic>>,
    /// Per time: what else J holds.
    pub others: Vec<Vec<Other>>,
    pub level: Level,
}

impl Chain {
    /// Values of a block at one time.
    pub fn rows(&self) -> usize {
        self.dimension * LANES
    }

    /// Values of a block's paths, or of its noise: times × rows.
    pub fn block(&self) -> usize {
        (self.steps + 1) * self.rows()
    }

    pub fn time(&self, step: usize) -> f64 {
        step as f64 * self.time_step
    }

    /// Whether the chain's noise does not depend on the state.
    pub fn constant_noise(&self) -> bool {
        self.prior.spread(0.0, self.time_step).is_some()
    }

    /// Whether it depends on neither state nor time: such a chain can be run backwards.
    pub fn steady_noise(&self) -> bool {
        let spread = self.prior.spread(0.0, self.time_step);
        spread.is_some() && (1..self.steps).all(|j| self.prior.spread(self.time(j), self.time_step) == spread)
    }

    /// The deviation of transition `j` per coordinate; `None` where it depends on the state.
    pub fn deviation(&self, j: usize, coordinate: usize) -> Option<f64> {
        if j == 0 {
            return Some(self.start.deviation[coordinate]);
        }
        let spread = self.prior.spread(self.time(j - 1), self.time_step)?;
        Some(self.noise * self.time_step.sqrt() * spread)
    }

    /// value += −J_j(x) per path of a block.
    pub fn log_potential(&self, j: usize, x: &[f64], value: &mut [f64]) {
        for (q, x) in self.quadratics[j].iter().zip(x.chunks_exact(LANES)) {
            if *q != Quadratic::default() {
                for (value, x) in value.iter_mut().zip(x) {
                    *value += q.at(*x);
                }
            }
        }
        self.log_others(j, x, value);
    }

    /// The part of [`Self::log_potential`] that is not quadratic.
    pub fn log_others(&self, j: usize, x: &[f64], value: &mut [f64]) {
        for other in &self.others[j] {
            match other {
                Other::Ball { centre, radius } => {
                    for (l, value) in value.iter_mut().enumerate() {
                        let apart = |(i, c): (usize, &f64)| (x[i * LANES + l] - c) * (x[i * LANES + l] - c);
                        let square: f64 = centre.iter().enumerate().map(apart).sum();
                        // NaN counts as outside.
                        if !(square <= radius * radius) {
                            *value = f64::NEG_INFINITY;
                        }
                    }
                }
                Other::Functional { of, variance, factor } => {
                    of.functional(*variance, -factor, x, value, None);
                }
            }
        }
    }

    /// gradient += −∇J_j(x); balls have none.
    pub fn log_potential_gradient(&self, j: usize, x: &[f64], gradient: &mut [f64]) {
        for (q, (x, g)) in self.quadratics[j].iter().zip(x.chunks_exact(LANES).zip(gradient.chunks_exact_mut(LANES))) {
            if *q != Quadratic::default() {
                for (g, x) in g.iter_mut().zip(x) {
                    *g += q.slope(*x);
                }
            }
        }
        for other in &self.others[j] {
            if let Other::Functional { of, variance, factor } = other {
                let mut value = [0.0; LANES];
                of.functional(*variance, -factor, x, &mut value, Some(gradient));
            }
        }
    }

    /// The mean of transition `j` given the block's states before: for j = 0 that of the start.
    pub fn mean(&self, j: usize, before: &[f64], out: &mut [f64]) {
        if j == 0 {
            for (out, mean) in out.chunks_exact_mut(LANES).zip(&self.start.mean) {
                out.fill(*mean);
            }
        } else {
            self.prior.mean(self.time(j - 1), self.time_step, before, out);
        }
    }

    /// The deviation of transition `j` for every path.
    pub fn deviations(&self, j: usize, before: &[f64], out: &mut [f64]) {
        for (i, row) in out.chunks_exact_mut(LANES).enumerate() {
            if let Some(s) = self.deviation(j, i) {
                row.fill(s);
            }
        }
        if j > 0 && !self.constant_noise() {
            self.prior.spreads(self.time(j - 1), self.time_step, before, out);
            let scale = self.noise * self.time_step.sqrt();
            out.iter_mut().for_each(|s| *s *= scale);
        }
    }

    /// Paths of a block from its noise, by the chain itself: x and ξ are [times][coordinates][LANES].
    pub fn simulate(&self, xi: &[f64], x: &mut [f64]) {
        let rows = self.rows();
        let scale = self.noise * self.time_step.sqrt();
        for (i, row) in x[..rows].chunks_exact_mut(LANES).enumerate() {
            let (m, s) = (self.start.mean[i], self.start.deviation[i]);
            for (x, xi) in row.iter_mut().zip(&xi[i * LANES..]) {
                *x = m + s * xi;
            }
        }
        for j in 1..=self.steps {
            let (before, now) = x[(j - 1) * rows..(j + 1) * rows].split_at_mut(rows);
            now.copy_from_slice(before);
            self.prior.advance(self.time(j - 1), self.time_step, scale, &xi[j * rows..(j + 1) * rows], now);
        }
    }

    /// value += −J(x) per path of a block.
    pub fn log_cost(&self, x: &[f64], value: &mut [f64]) {
        for (j, x) in x.chunks_exact(self.rows()).enumerate() {
            self.log_potential(j, x, value);
        }
    }
}
