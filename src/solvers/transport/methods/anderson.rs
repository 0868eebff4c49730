//! Anderson acceleration of the Sinkhorn map, guarded by the dual, with the window the input asks for.
//!
//! With the last points y^i, x^i = S(y^i) and residuals r^i = x^i − y^i, the proposal is x − Σ γ_i Δx^i where γ
//! minimises ‖r − Σ γ_i Δr^i‖ in L²(b) [Anderson1965], [WalkerNi2011]. Near the solution S is affine and self-adjoint
//! in that inner product, so this is a Krylov method. The guard is that of [`super::accelerated`].

use super::accelerated::Accelerated;
use super::{Memory, Method};
use crate::error::Result;
use crate::math::reduce::sum;
use crate::solvers::transport::dual::{Dual, Point, whole};
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

pub fn build(input: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Accelerated::new(n, m, input.memory))
}

pub fn memory(input: &MethodInput, n: usize, m: usize) -> Memory {
    Accelerated::memory(n, m, input.memory)
}

/// The last steps of a fixed-point iteration, as differences of consecutive points, and the Gram matrix of them.
///
/// Differences are kept in f32: they shrink as the iteration converges, so their rounding does too.
pub(super) struct History {
    memory: usize,
    m: usize,
    /// memory×m: x^{i+1} − x^i and r^{i+1} − r^i with x = S(y), r = √b (x − y), in slots reused in turn.
    dx: Vec<f32>,
    dr: Vec<f32>,
    /// x and r of the last point pushed.
    x: Vec<f64>,
    r: Vec<f64>,
    /// memory×memory: inner products of dr.
    gram: Vec<f64>,
    /// Points pushed since cleared; differences are one less.
    count: u64,
    /// Differences that count: the last `used` ones.
    used: u64,
    gamma: Vec<f64>,
    factor: Vec<f64>,
    slots: Vec<usize>,
}

/// Ridge of the normal equations, relative to each diagonal entry: differences more parallel than this are dependent.
const RIDGE: f64 = 1e-10;
const MIX_BLOCK: usize = 1024;

impl History {
    pub fn new(memory: usize, m: usize) -> Self {
        History {
            memory,
            m,
            dx: vec![0.0; memory * m],
            dr: vec![0.0; memory * m],
            x: vec![0.0; m],
            r: vec![0.0; m],
            gram: vec![0.0; memory * memory],
            count: 0,
            used: 0,
            gamma: vec![0.0; memory],
            factor: vec![0.0; memory * memory],
            slots: vec![0; memory],
        }
    }

    /// What it holds: dx and dr, x and r, three small matrices.
    pub fn bytes(memory: usize, m: usize) -> u64 {
        8 * (memory * m + 2 * m + 2 * memory * memory) as u64
    }

    pub fn clear(&mut self) {
        self.count = 0;
        self.used = 0;
    }

    /// Forgets the differences; the next push makes one with the last point.
    pub fn restart(&mut self) {
        self.used = 0;
    }

    /// Remembers the point y = φ with its step x = S(φ).
    pub fn push(&mut self, point: &Point, dual: &Dual, b: &[f64]) {
        let damping = dual.target.damping();
        self.remember(&point.phi, b, |j| point.successor(damping, j));
    }

    fn remember(&mut self, y: &[f64], b: &[f64], step: impl Fn(usize) -> f64) {
        let m = self.m;
        let residual = |j: usize, x: f64| b[j].sqrt() * (x - y[j]);
        if self.count > 0 {
            let slot = (self.count as usize - 1) % self.memory;
            let (dx, dr) = (&mut self.dx[slot * m..(slot + 1) * m], &mut self.dr[slot * m..(slot + 1) * m]);
            for j in 0..m {
                let x = step(j);
                let r = residual(j, x);
                dx[j] = (x - self.x[j]) as f32;
                dr[j] = (r - self.r[j]) as f32;
                self.x[j] = x;
                self.r[j] = r;
            }
            self.used = (self.used + 1).min(self.memory as u64);
        } else {
            for j in 0..m {
                self.x[j] = step(j);
                self.r[j] = residual(j, self.x[j]);
            }
        }
        self.count += 1;
        self.list();
        if self.used > 0 {
            let slot = self.slots[0];
            let newest = &self.dr[slot * m..(slot + 1) * m];
            for &k in &self.slots[..self.used as usize] {
                let other = &self.dr[k * m..(k + 1) * m];
                let product = sum(m, |j| f64::from(newest[j]) * f64::from(other[j]));
                self.gram[slot * self.memory + k] = product;
                self.gram[k * self.memory + slot] = product;
            }
        }
    }

    /// slots[..used]: newest first.
    fn list(&mut self) {
        for i in 0..self.used as usize {
            self.slots[i] = (self.count as usize - 2 - i) % self.memory;
        }
    }

    /// z = x − Σ γ_i dx^i where γ minimises ‖r − Σ γ_i dr^i‖ in L²(b).
    pub fn mix(&mut self, z: &mut [f64]) {
        let m = self.m;
        self.list();
        for i in 0..self.used as usize {
            let dr = &self.dr[self.slots[i] * m..(self.slots[i] + 1) * m];
            let r = &self.r[..m];
            self.gamma[i] = sum(m, |j| r[j] * f64::from(dr[j]));
        }
        z.copy_from_slice(&self.x);
        if !self.solve() {
            return;
        }
        // In blocks that stay in cache while all differences pass over them.
        for (start, z) in (0..m).step_by(MIX_BLOCK).zip(z.chunks_mut(MIX_BLOCK)) {
            for (gamma, slot) in self.gamma.iter().zip(&self.slots[..self.used as usize]) {
                let dx = &self.dx[slot * m + start..slot * m + start + z.len()];
                for (z, dx) in z.iter_mut().zip(dx) {
                    *z -= gamma * f64::from(*dx);
                }
            }
        }
    }

    /// G γ = right-hand side (in `gamma`), with unit diagonal and a ridge, by Cholesky; false when that fails.
    fn solve(&mut self) -> bool {
        let k = self.used as usize;
        let (l, gamma) = (&mut self.factor, &mut self.gamma);
        let gram = |i: usize, j: usize| self.gram[self.slots[i] * self.memory + self.slots[j]];
        for i in 0..k {
            if !(gram(i, i) > 0.0 && gram(i, i).is_finite()) {
                return false;
            }
            gamma[i] /= gram(i, i).sqrt();
            for j in 0..=i {
                let mut s = gram(i, j) / (gram(i, i).sqrt() * gram(j, j).sqrt());
                if i == j {
                    s += RIDGE;
                }
                for q in 0..j {
                    s -= l[i * k + q] * l[j * k + q];
                }
                if i == j {
                    if s <= 0.0 {
                        return false;
                    }
                    l[i * k + i] = s.sqrt();
                } else {
                    l[i * k + j] = s / l[j * k + j];
                }
            }
        }
        for i in 0..k {
            let s: f64 = (0..i).map(|q| l[i * k + q] * gamma[q]).sum();
            gamma[i] = (gamma[i] - s) / l[i * k + i];
        }
        for i in (0..k).rev() {
            let s: f64 = (i + 1..k).map(|q| l[q * k + i] * gamma[q]).sum();
            gamma[i] = (gamma[i] - s) / l[i * k + i];
        }
        for (i, gamma) in gamma[..k].iter_mut().enumerate() {
            *gamma /= gram(i, i).sqrt();
        }
        gamma[..k].iter().all(|g| g.is_finite())
    }

    /// Whether it is of the window asked for; that of another one is forgotten.
    pub fn state(&mut self, walk: &mut dyn Walk) -> Result<bool> {
        walk.replicated_f32(&HISTORY_X, &mut self.dx)?;
        walk.replicated_f32(&HISTORY_R, &mut self.dr)?;
        whole(walk, &LAST_X, &mut self.x)?;
        whole(walk, &LAST_R, &mut self.r)?;
        whole(walk, &GRAM, &mut self.gram)?;
        let mut counts = [self.count, self.used];
        walk.scalar(&COUNT, counts.as_mut_slice().into())?;
        [self.count, self.used] = counts;
        let (differences, products) = (self.memory * self.m, self.memory * self.memory);
        let found = [self.dx.len(), self.dr.len(), self.x.len(), self.r.len(), self.gram.len()];
        let fits = found == [differences, differences, self.m, self.m, products];
        if !fits {
            *self = History::new(self.memory, self.m);
        }
        Ok(fits)
    }
}

const HISTORY_X: Name = Name {
    name: "method_history_steps",
    units: "1",
    meaning: "differences of Sinkhorn steps of consecutive points",
    axes: &["history_step"],
};
const HISTORY_R: Name = Name {
    name: "method_history_residuals",
    units: "1",
    meaning: "differences of residuals sqrt(b) (step minus point) of consecutive points",
    axes: &["history_residual"],
};
const LAST_X: Name = Name {
    name: "method_history_last_step",
    units: "1",
    meaning: "Sinkhorn step of the last point",
    axes: &["kept_target"],
};
const LAST_R: Name = Name {
    name: "method_history_last_residual",
    units: "1",
    meaning: "residual sqrt(b) (step minus point) of the last point",
    axes: &["kept_target"],
};
const GRAM: Name = Name {
    name: "method_history_gram",
    units: "1",
    meaning: "inner products of the residual differences",
    axes: &["history_product"],
};
const COUNT: Name = Name {
    name: "method_history_count",
    units: "1",
    meaning: "points remembered so far, differences in use",
    axes: &["quantity"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_differences_solve_an_affine_map_of_three_unknowns() {
        // S(y)_j = y_j + h_j (1 − y_j), fixed point 1; exact after as many differences as there are unknowns.
        let h = [0.9, 0.5, 0.1];
        let b = [0.2, 0.3, 0.5];
        let mut history = History::new(5, 3);
        let mut y = vec![0.0; 3];
        for _ in 0..4 {
            let x: Vec<f64> = (0..3).map(|j| y[j] + h[j] * (1.0 - y[j])).collect();
            history.remember(&y, &b, |j| x[j]);
            history.mix(&mut y);
        }
        for y in y {
            assert!((y - 1.0).abs() < 1e-6, "{y}");
        }
    }
}
