//! A twist tabulated on a grid of one or two coordinates: the recursion of the optimal twist itself,
//!
//!     ψ_n = e^{r_n},      ψ_j(x) = e^{r_j(x)} ∫ N(y; x + hb(x), S) ψ_{j+1}(y) dy,      r = −J  [Guarniero2017]
//!
//! backwards in time by the trapezoidal rule, which for a Gaussian kernel errs by 2 exp(−2π²S/δ²) on points δ apart: 1e-8 at
//! δ = √S. The quadratic part of r_j stays outside of the table (the guide fuses it exactly), as do balls at their own
//! time; the table is read by cubic interpolation of its logarithm. Any table makes an exact estimate: its errors are
//! weighed.

use rayon::prelude::*;

use super::chain::{Chain, LANES, Other};
use super::guide::Bump;
use crate::enter;
use crate::math::elementary::{exp, ln};
use crate::math::simd::Level;
use crate::math::simd::scalar::{Scalar, dot};

/// Reach of the kernel, in deviations.
const REACH: f64 = 6.5;
/// Values of a table at most: 512 MiB.
const MOST: usize = 1 << 26;
/// Points further apart than this many deviations miss the kernel.
const COARSEST: f64 = 1.25;
/// log ψ is not told apart below this depth under its largest value at a time.
const DEPTH: f64 = 300.0;
/// Sub-points per coordinate that share a cell out between the inside and the outside of a ball.
const SHARES: usize = 8;

/// The points of a coordinate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    low: f64,
    spacing: f64,
    points: usize,
}

impl Axis {
    fn at(&self, k: usize) -> f64 {
        self.low + self.spacing * k as f64
    }

    /// The first of the four points around `x`, and the weights and slopes of the cubic through them; constant beyond
    /// the ends.
    #[inline(always)]
    fn cubic(&self, x: f64) -> (usize, [f64; 4], [f64; 4]) {
        let last = (self.points - 1) as f64;
        let u = (x - self.low) / self.spacing;
        let inside = u > 0.0 && u < last;
        let u = u.clamp(0.0, last);
        let first = (u as usize).clamp(1, self.points - 3) - 1;
        let f = u - (first + 1) as f64;
        let (a, b, c) = (f + 1.0, f - 1.0, f - 2.0);
        let weights = [-f * b * c / 6.0, 0.5 * a * b * c, -0.5 * a * f * c, a * f * b / 6.0];
        let slope = if inside { 1.0 / self.spacing } else { 0.0 };
        let slopes = [
            -slope * (b * c + f * c + f * b) / 6.0,
            0.5 * slope * (b * c + a * c + a * b),
            -0.5 * slope * (f * c + a * c + a * f),
            slope * (f * b + a * b + a * f) / 6.0,
        ];
        (first, weights, slopes)
    }
}

/// log ψ_j, without its quadratic part and without the balls of its own time, at the points of a grid.
pub struct Table {
    axes: Vec<Axis>,
    /// [time][second coordinate][first coordinate].
    values: Vec<f64>,
    /// log ψ_0 at a start that is fixed: log Z up to the errors of the grid.
    pub log_evidence: Option<f64>,
}

/// What an input asks for: (key, message) where it does not fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    axes: Vec<Axis>,
    times: usize,
}

impl Grid {
    /// `points` per coordinate from `low` to `high`.
    ///
    /// # Errors
    /// (key, message).
    pub fn new(
        low: &[f64],
        high: &[f64],
        points: &[usize],
        chain: &Chain,
    ) -> std::result::Result<Grid, (&'static str, String)> {
        let d = chain.dimension;
        if d > 2 {
            return Err(("kind", format!("grids have one or two coordinates; the start has {d}")));
        }
        for (key, length) in [("low", low.len()), ("high", high.len()), ("points", points.len())] {
            if length != d {
                return Err((key, format!("has {length} coordinates; the start has {d}")));
            }
        }
        if let Some(i) = (0..d).find(|&i| !(low[i] < high[i])) {
            return Err(("high", format!("must be above low = {}, not {}", low[i], high[i])));
        }
        if let Some(n) = points.iter().find(|n| **n < 8) {
            return Err(("points", format!("{n} are too few: at least 8 per coordinate")));
        }
        let all = points.iter().try_fold(chain.steps + 1, |all, n| all.checked_mul(*n));
        if all.is_none_or(|all| all > MOST) {
            return Err(("points", format!("times the {} times make more than {MOST}", chain.steps + 1)));
        }
        if !chain.constant_noise() {
            return Err(("kind", "a grid needs noise that does not depend on the state".into()));
        }
        let mut axes = Vec::new();
        for i in 0..d {
            let spacing = (high[i] - low[i]) / (points[i] - 1) as f64;
            let noise = (1..=chain.steps).filter_map(|j| chain.deviation(j, i)).fold(f64::INFINITY, f64::min);
            let seen = chain.quadratics.iter().map(|q| q[i].a).fold(0.0, f64::max);
            let finest = if seen > 0.0 { noise.min(1.0 / seen.sqrt()) } else { noise };
            if !(finest > 0.0) {
                return Err(("kind", "a grid needs noise in every step".into()));
            }
            if !(spacing <= COARSEST * finest) {
                let needed = ((high[i] - low[i]) / (COARSEST * finest)).ceil() + 1.0;
                let message = format!(
                    "{} of coordinate {i} are {spacing:.4} apart, too far for a step's noise or an observation of deviation \
                     {finest:.4}: at least {needed}",
                    points[i]
                );
                return Err(("points", message));
            }
            axes.push(Axis { low: low[i], spacing, points: points[i] });
        }
        Ok(Grid { axes, times: chain.steps + 1 })
    }

    fn count(&self) -> usize {
        self.axes.iter().map(|a| a.points).product()
    }

    /// Values of the table.
    pub fn values(&self) -> usize {
        self.times * self.count()
    }

    /// Drift evaluations that it takes.
    pub fn evaluations(&self) -> f64 {
        ((self.times - 1) * self.count()) as f64
    }

    fn point(&self, k: usize) -> [f64; 2] {
        let n = self.axes[0].points;
        [self.axes[0].at(k % n), self.axes.get(1).map_or(0.0, |a| a.at(k / n))]
    }

    /// log of the parts of e^{r_j} that the table leaves out, at a point: quadratics, and the share of its cell within
    /// the balls.
    fn left_out(&self, chain: &Chain, j: usize, x: [f64; 2]) -> f64 {
        let mut log: f64 = chain.quadratics[j].iter().zip(x).map(|(q, x)| q.at(x)).sum();
        for other in &chain.others[j] {
            if let Other::Ball { centre, radius } = other {
                let d = self.axes.len();
                let all = SHARES.pow(d as u32);
                let inside = |k: &usize| {
                    let offset = |i: usize| {
                        let part = if i == 0 { k % SHARES } else { k / SHARES };
                        self.axes[i].spacing * ((part as f64 + 0.5) / SHARES as f64 - 0.5)
                    };
                    let square: f64 = (0..d).map(|i| (x[i] + offset(i) - centre[i]).powi(2)).sum();
                    square <= radius * radius
                };
                log += ln((0..all).filter(inside).count() as f64 / all as f64);
            }
        }
        log
    }

    /// The table of a chain.
    pub fn table(&self, chain: &Chain) -> Table {
        let (count, d, n) = (self.count(), self.axes.len(), self.axes[0].points);
        let mut values = vec![0.0; self.values()];
        // What the present costs besides: smooth functionals belong to the table.
        let smooth = |j: usize, x: &[f64], out: &mut [f64]| {
            for other in &chain.others[j] {
                if let Other::Functional { of, variance, factor } = other {
                    of.functional(*variance, -factor, x, out, None);
                }
            }
        };
        for j in (0..=chain.steps).rev() {
            let (now, later) = values[j * count..].split_at_mut(count);
            let last = j == chain.steps;
            // ψ_{j+1}, scaled by its largest value.
            let (mut ahead, mut largest) = (Vec::new(), 0.0);
            if !last {
                ahead = (0..count).map(|k| later[k] + self.left_out(chain, j + 1, self.point(k))).collect();
                largest = ahead.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                ahead.iter_mut().for_each(|v| *v = exp(*v - largest));
            }
            let deviation: Vec<f64> =
                (0..d).map(|i| chain.deviation((j + 1).min(chain.steps), i).unwrap_or(0.0)).collect();
            now.par_chunks_mut(LANES).enumerate().for_each(|(block, now)| {
                let (mut x, mut mean) = (vec![0.0; chain.rows()], vec![0.0; chain.rows()]);
                for l in 0..now.len() {
                    let point = self.point(block * LANES + l);
                    (0..d).for_each(|i| x[i * LANES + l] = point[i]);
                }
                let mut cost = [0.0; LANES];
                smooth(j, &x, &mut cost);
                if last {
                    now.copy_from_slice(&cost[..now.len()]);
                    return;
                }
                chain.mean(j + 1, &x, &mut mean);
                let mut weights = [Vec::new(), vec![1.0]];
                for (l, now) in now.iter_mut().enumerate() {
                    let mut first = [0; 2];
                    for i in 0..d {
                        first[i] = self.axes[i].kernel(chain.level, mean[i * LANES + l], deviation[i], &mut weights[i]);
                    }
                    let mut sum = 0.0;
                    enter!(chain.level, S => for (row, w) in weights[1].iter().enumerate() {
                        let from = (first[1] + row) * n + first[0];
                        sum += w * dot::<S>(&ahead[from..from + weights[0].len()], &weights[0]);
                    });
                    *now = if sum > 0.0 { largest + ln(sum) + cost[l] } else { f64::NEG_INFINITY };
                }
            });
            let top = now.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // A top of −∞ or NaN (an impossible cost) leaves no twist.
            let floor = if top.is_finite() { top - DEPTH } else { 0.0 };
            now.iter_mut().for_each(|v| *v = if *v > floor { *v } else { floor });
        }
        let mut table = Table { axes: self.axes.clone(), values, log_evidence: None };
        table.log_evidence = table.at_start(chain);
        table
    }
}

impl Axis {
    /// δ N(point; mean, s²) at the points within reach, into `weights`; the first of them.
    fn kernel(&self, level: Level, mean: f64, s: f64, weights: &mut Vec<f64>) -> usize {
        let last = self.points as f64 - 1.0;
        let bound = |x: f64| ((x - self.low) / self.spacing).clamp(0.0, last);
        let (first, to) = (bound(mean - REACH * s).ceil() as usize, bound(mean + REACH * s) as usize);
        weights.clear();
        let scale = self.spacing / (s * std::f64::consts::TAU.sqrt());
        weights.extend((first..=to).map(|k| {
            let z = (self.at(k) - mean) / s;
            -0.5 * z * z
        }));
        enter!(level, S => for w in weights.iter_mut() {
            *w = scale * S::exp(*w);
        });
        first.min(self.points - 1)
    }
}

impl Table {
    fn at_start(&self, chain: &Chain) -> Option<f64> {
        if chain.start.deviation.iter().any(|s| *s > 0.0) {
            return None;
        }
        let mut x = vec![0.0; chain.rows()];
        chain.mean(0, &[], &mut x);
        let mut value = [0.0; LANES];
        self.add(0, &x, &mut value, None);
        Some(value[0] + chain.quadratics[0].iter().zip(&chain.start.mean).map(|(q, x)| q.at(*x)).sum::<f64>())
    }
}

impl Bump for Table {
    fn add(&self, j: usize, x: &[f64], value: &mut [f64], mut gradient: Option<&mut [f64]>) {
        let count: usize = self.axes.iter().map(|a| a.points).product();
        let (table, n) = (&self.values[j * count..(j + 1) * count], self.axes[0].points);
        for l in 0..LANES {
            let (first, w, s) = self.axes[0].cubic(x[l]);
            let row = |r: usize, w: &[f64; 4]| {
                let line = &table[r * n + first..r * n + first + 4];
                (line[0] * w[0] + line[1] * w[1]) + (line[2] * w[2] + line[3] * w[3])
            };
            let Some(second) = self.axes.get(1) else {
                value[l] += row(0, &w);
                if let Some(gradient) = &mut gradient {
                    gradient[l] += row(0, &s);
                }
                continue;
            };
            let (from, v, t) = second.cubic(x[LANES + l]);
            let (mut sum, mut along, mut across) = (0.0, 0.0, 0.0);
            for k in 0..4 {
                let here = row(from + k, &w);
                sum += v[k] * here;
                across += t[k] * here;
                along += v[k] * row(from + k, &s);
            }
            value[l] += sum;
            if let Some(gradient) = &mut gradient {
                gradient[l] += along;
                gradient[LANES + l] += across;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::paths::exact::chain;

    #[test]
    fn a_table_interpolates_cubics_exactly_and_its_slopes_are_their_derivatives() {
        let axis = Axis { low: -1.0, spacing: 0.25, points: 12 };
        let f = |x: f64| ((0.7 * x - 1.1) * x + 0.3) * x - 2.0;
        for x in [-1.0, -0.9, -0.3, 0.0, 0.77, 1.7] {
            let (first, w, s) = axis.cubic(x);
            let sum = |w: &[f64; 4]| w.iter().enumerate().map(|(k, w)| w * f(axis.at(first + k))).sum::<f64>();
            assert!((sum(&w) - f(x)).abs() < 1e-13, "{x}");
            if x > -1.0 && x < 1.75 {
                assert!((sum(&s) - ((2.1 * x - 2.2) * x + 0.3)).abs() < 1e-12, "{x}: {}", sum(&s));
            }
        }
    }

    #[test]
    fn the_table_of_the_double_well_has_its_evidence_to_1e_6_at_the_start() {
        let chain = chain(
            r#"{"prior": {"kind": "double_well", "height": 5.0}, "start": [-1.0], "time_step": 0.01, "steps": 99,
                "observations": [{"step": 99, "value": [1.0], "deviation": [0.1]}]}"#,
        );
        let grid = Grid::new(&[-2.6], &[2.6], &[131], &chain).unwrap();
        let log_z = grid.table(&chain).log_evidence.unwrap();
        assert!((log_z - -4.52938474).abs() < 1e-6, "{log_z}");
    }
}
