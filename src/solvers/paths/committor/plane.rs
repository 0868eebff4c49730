//! Two coordinates: finite volumes with exponentially fitted fluxes [Scharfetter1969] on a grid whose points include the
//! box's border, which reflects.
//!
//! Between neighbours the flux of L q = D e^{V/D} ∇·(e^{−V/D} ∇q) is c (q_j − q_i), c = D·face/length / mean of e^{V/D}
//! with V linear between them. An edge that enters a set is cut at the set's border, where q is 0 or 1: the equations stay
//! symmetric, and the error falls with the square of the spacing for round sets too. An edge from one set into the other is
//! cut at both borders: q is known at its ends, and what flows there is added to the flux. Conjugate gradients, scaled by
//! the diagonal.

use super::{Set, Solved};
use crate::math::elementary::exp;

/// A grid of cells[0] × cells[1] cells; points run along the first coordinate first.
pub struct Grid<'a> {
    pub low: [f64; 2],
    pub high: [f64; 2],
    pub cells: [usize; 2],
    pub sets: [&'a Set; 2],
}

/// Residual of the linear equations, relative to that of q = 0.
const TOLERANCE: f64 = 1e-12;
/// Iterations at most; some thousand are usual.
const MOST: usize = 200_000;
/// Potentials above the lowest, over D, that count as higher still: e^{−600} is no flux.
const HIGHEST: f64 = 600.0;
/// Points with less flow than this share of the energy of q = 0 are not held by the residual's norm.
const WEAK: f64 = 1e-14;
/// Sweeps over such points at most, and the change that ends them.
const SWEEPS: usize = 500;
const STILL: f64 = 1e-10;
/// A cut edge keeps this share of its length.
const SHORTEST: f64 = 1e-3;
/// q and 1 − q below this count as 0 in the masses before A and B: the solver's errors times a deep well's mass would be
/// more than the mass of a shallow one.
const KNOWN: f64 = 1e-10;
/// The flux counts edges where q lies between this and one less it.
const FLAT: f64 = 0.1;
/// What flows through potentials that count as [`HIGHEST`] is no flux.
const LEAST: f64 = 1e-250;

/// The symmetric equations of the free points.
struct Equations {
    points: [usize; 2],
    diagonal: Vec<f64>,
    /// Conductance to the next point along each coordinate; 0 where there is none.
    next: [Vec<f64>; 2],
    right: Vec<f64>,
    /// (point, conductance, value) of cut edges.
    cut: Vec<(usize, f64, f64)>,
    /// Conductance of the edges from one set into the other.
    direct: f64,
    /// Volume times e^{−V/D}, and the value where the point lies in a set.
    mass: Vec<f64>,
    held: Vec<Option<f64>>,
}

impl Grid<'_> {
    fn spacing(&self, i: usize) -> f64 {
        (self.high[i] - self.low[i]) / self.cells[i] as f64
    }

    pub fn place(&self, x: usize, y: usize) -> [f64; 2] {
        let at = |i: usize, k: usize| self.low[i] + (self.high[i] - self.low[i]) * k as f64 / self.cells[i] as f64;
        [at(0, x), at(1, y)]
    }

    fn equations(&self, v: &dyn Fn(&[f64]) -> f64, d: f64) -> Equations {
        let points = self.cells.map(|c| c + 1);
        let n = points[0] * points[1];
        let place = |k: usize| self.place(k % points[0], k / points[0]);
        let mut level: Vec<f64> = (0..n).map(|k| v(&place(k)) / d).collect();
        let deepest = level.iter().copied().fold(f64::INFINITY, f64::min);
        // NaN counts as high.
        level.iter_mut().for_each(|u| *u = (*u - deepest).min(HIGHEST));
        let held: Vec<Option<f64>> =
            (0..n).map(|k| self.sets.iter().position(|s| s.holds(&place(k))).map(|s| s as f64)).collect();
        let border = |i: usize, k: usize| if k == 0 || k == self.cells[i] { 0.5 } else { 1.0 };
        let mut e = Equations {
            points,
            diagonal: vec![0.0; n],
            next: [vec![0.0; n], vec![0.0; n]],
            right: vec![0.0; n],
            cut: Vec::new(),
            direct: 0.0,
            mass: vec![0.0; n],
            held,
        };
        for k in 0..n {
            let (x, y) = (k % points[0], k / points[0]);
            let volume = border(0, x) * border(1, y) * self.spacing(0) * self.spacing(1);
            e.mass[k] = volume * exp(-level[k]);
            for (axis, along) in [(0, x), (1, y)] {
                if along == self.cells[axis] {
                    continue;
                }
                let other = k + if axis == 0 { 1 } else { points[0] };
                let across = if axis == 0 { y } else { x };
                let face = border(1 - axis, across) * self.spacing(1 - axis);
                let flow = |length: f64, u: f64, w: f64| d * face / length * fitted(u, w);
                match (e.held[k], e.held[other]) {
                    (None, None) => {
                        let c = flow(self.spacing(axis), level[k], level[other]);
                        e.next[axis][k] = c;
                        e.diagonal[k] += c;
                        e.diagonal[other] += c;
                    }
                    (Some(one), Some(two)) if one == two => {}
                    (Some(one), Some(two)) => {
                        let (from, to) = (place(k), place(other));
                        let at = |share: f64| {
                            let edge = [0, 1].map(|i| from[i] + share * (to[i] - from[i]));
                            (v(&edge) / d - deepest).min(HIGHEST)
                        };
                        let begin = 1.0 - self.sets[one as usize].entry(&to, &from);
                        let end = self.sets[two as usize].entry(&from, &to);
                        let open = (end - begin).clamp(SHORTEST, 1.0) * self.spacing(axis);
                        e.direct += flow(open, at(begin), at(end));
                    }
                    (one, two) => {
                        let (free, inner) = if one.is_none() { (k, other) } else { (other, k) };
                        let value = one.or(two).unwrap_or_default();
                        let (from, to) = (place(free), place(inner));
                        let share = self.sets[value as usize].entry(&from, &to).clamp(SHORTEST, 1.0);
                        let edge = [0, 1].map(|i| from[i] + share * (to[i] - from[i]));
                        let u = (v(&edge) / d - deepest).min(HIGHEST);
                        let c = flow(share * self.spacing(axis), level[free], u);
                        e.diagonal[free] += c;
                        e.right[free] += c * value;
                        e.cut.push((free, c, value));
                    }
                }
            }
        }
        e
    }

    /// The committor at the points, and the rates; `None` where `stop` asked for it, or without convergence.
    pub fn solve(&self, v: &dyn Fn(&[f64]) -> f64, d: f64, stop: &dyn Fn() -> bool) -> Option<Solved> {
        let e = self.equations(v, d);
        let (mut q, iterations) = e.solve(stop)?;
        e.settle(&mut q);
        let flux = e.flux(&q);
        q.iter_mut().zip(&e.held).for_each(|(q, h)| *q = h.unwrap_or(*q));
        let mass: f64 = e.mass.iter().sum();
        let flux = if flux < LEAST * mass { 0.0 } else { flux };
        let share = |of: fn(f64) -> f64| -> f64 {
            e.mass.iter().zip(&q).map(|(m, q)| m * if of(*q) < KNOWN { 0.0 } else { of(*q) }).sum()
        };
        let (rate, back) = (flux / share(|q| 1.0 - q), flux / share(|q| q));
        Some(Solved { q, flux: flux / mass, rate, back, iterations })
    }
}

/// Inverse of the mean of e^u between u and w, u linear in between.
fn fitted(u: f64, w: f64) -> f64 {
    let z = (u - w).abs();
    let slope = if z < 1e-5 { 1.0 + 0.5 * z } else { z / (1.0 - exp(-z)) };
    exp(-u.max(w)) * slope
}

impl Equations {
    /// out = A x.
    fn apply(&self, x: &[f64], out: &mut [f64]) {
        for ((o, d), x) in out.iter_mut().zip(&self.diagonal).zip(x) {
            *o = d * x;
        }
        for (next, stride) in self.next.iter().zip([1, self.points[0]]) {
            let last = x.len() - stride;
            for k in 0..last {
                out[k] -= next[k] * x[k + stride];
            }
            for k in 0..last {
                out[k + stride] -= next[k] * x[k];
            }
        }
    }

    /// Reactive trajectories per time: Σ c dq df is the same for all f with 0 on A and 1 on B. An f that is flat in the wells
    /// counts the edges of the barrier alone, those from set to set whole: f = q would add c times the squares of the solver's errors, where c is large.
    fn flux(&self, q: &[f64]) -> f64 {
        let f = |q: f64| ((q - FLAT) / (1.0 - 2.0 * FLAT)).clamp(0.0, 1.0);
        let mut flux = 0.0;
        for (next, stride) in self.next.iter().zip([1, self.points[0]]) {
            for (k, c) in next.iter().enumerate().filter(|(_, c)| **c > 0.0) {
                flux += c * (q[k + stride] - q[k]) * (f(q[k + stride]) - f(q[k]));
            }
        }
        flux + self.direct + self.cut.iter().map(|(k, c, s)| c * (q[*k] - s) * (f(q[*k]) - s)).sum::<f64>()
    }

    /// Where the potential is so high that the flow there does not count in the residual, the conjugate gradients may leave
    /// any number. There the flow is downhill: Gauss-Seidel from the lowest point up carries the values of the valleys.
    fn settle(&self, q: &mut [f64]) {
        let energy: f64 =
            self.right.iter().zip(&self.diagonal).filter(|(_, d)| **d > 0.0).map(|(r, d)| r * r / d).sum();
        let mut weak: Vec<usize> =
            (0..q.len()).filter(|k| self.held[*k].is_none() && self.diagonal[*k] < WEAK * energy).collect();
        weak.sort_by(|a, b| self.diagonal[*b].total_cmp(&self.diagonal[*a]).then(a.cmp(b)));
        weak.iter().for_each(|k| q[*k] = f64::NAN);
        for _ in 0..SWEEPS {
            let mut change = 0.0_f64;
            for k in &weak {
                let Some(new) = self.balance(*k, q) else { continue };
                let old = std::mem::replace(&mut q[*k], new);
                change = change.max(if old.is_nan() { 1.0 } else { (new - old).abs() });
            }
            if change < STILL {
                break;
            }
        }
    }

    /// The value at which nothing flows into point k from its neighbours of known value; `None` where it has none.
    fn balance(&self, k: usize, q: &[f64]) -> Option<f64> {
        let (x, y) = (k % self.points[0], k / self.points[0]);
        let mut weight = self.diagonal[k];
        let mut sum = self.right[k];
        for (axis, stride, along) in [(0, 1, x), (1, self.points[0], y)] {
            let below = (along > 0).then(|| k - stride);
            let above = (along + 1 < self.points[axis]).then_some(k + stride);
            for (edge, other) in [(below, below), (Some(k), above)] {
                let (Some(edge), Some(other)) = (edge, other) else { continue };
                let c = self.next[axis][edge];
                if q[other].is_nan() {
                    weight -= c;
                } else {
                    sum += c * q[other];
                }
            }
        }
        (weight > 1e-9 * self.diagonal[k]).then(|| (sum / weight).clamp(0.0, 1.0))
    }

    fn solve(&self, stop: &dyn Fn() -> bool) -> Option<(Vec<f64>, usize)> {
        let n = self.diagonal.len();
        let inverse: Vec<f64> = self.diagonal.iter().map(|d| if *d > 0.0 { 1.0 / d } else { 0.0 }).collect();
        let (mut x, mut r) = (vec![0.0; n], self.right.clone());
        let mut p: Vec<f64> = r.iter().zip(&inverse).map(|(r, i)| r * i).collect();
        let mut image = vec![0.0; n];
        let mut size: f64 = r.iter().zip(&p).map(|(r, z)| r * z).sum();
        let enough = TOLERANCE * TOLERANCE * size;
        for iteration in 0..MOST {
            if size <= enough {
                return Some((x, iteration));
            }
            if iteration % 64 == 0 && stop() {
                return None;
            }
            self.apply(&p, &mut image);
            let step = size / p.iter().zip(&image).map(|(p, a)| p * a).sum::<f64>();
            let mut next = 0.0;
            for k in 0..n {
                x[k] += step * p[k];
                r[k] -= step * image[k];
                next += r[k] * r[k] * inverse[k];
            }
            let turn = next / size;
            for k in 0..n {
                p[k] = r[k] * inverse[k] + turn * p[k];
            }
            size = next;
        }
        None
    }
}
