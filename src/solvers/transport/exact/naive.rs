//! The slow twin of the fast passes: a dense cost, scalar libm, plain log-sum-exp. Everything is tested against it.

use crate::error::{Error, Result};
use crate::math::reduce::sum;
use crate::solvers::transport::passes::{Passes, Precision};
use crate::state::{Name, Walk};

/// Passes over a stored cost matrix, one loop per definition.
#[derive(Debug, Clone)]
pub struct NaivePasses {
    /// n×m, C order.
    pub cost: Vec<f64>,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    /// Positive definite kernel on the target, m×m; the identity when absent.
    pub kernel: Option<Vec<f64>>,
    /// x (n×d), y (m×d) and d, when the cost is |x − y|².
    pub points: Option<(Vec<f64>, Vec<f64>, usize)>,
    epsilon: f64,
    precision: Precision,
    entries: f64,
    /// `row_then_col` calls so far, for counting evaluations.
    pub evaluations: u64,
    /// Passes that still succeed before `Err(Interrupted)`; none: all.
    pub budget: Option<u64>,
}

impl NaivePasses {
    pub fn new(cost: Vec<f64>, a: Vec<f64>, b: Vec<f64>, epsilon: f64) -> Self {
        assert_eq!(cost.len(), a.len() * b.len());
        let precision = Precision::F64;
        NaivePasses {
            cost,
            a,
            b,
            kernel: None,
            points: None,
            epsilon,
            precision,
            entries: 0.0,
            evaluations: 0,
            budget: None,
        }
    }

    /// |x − y|² between n points `x` and m points `y` of dimension d.
    pub fn squared_euclidean(x: &[f64], y: &[f64], d: usize, a: Vec<f64>, b: Vec<f64>, epsilon: f64) -> Self {
        let square = |u: &[f64], v: &[f64]| u.iter().zip(v).map(|(s, t)| (s - t) * (s - t)).sum::<f64>();
        let cost = x.chunks(d).flat_map(|u| y.chunks(d).map(move |v| square(u, v))).collect();
        let mut passes = NaivePasses::new(cost, a, b, epsilon);
        passes.points = Some((x.to_vec(), y.to_vec(), d));
        passes
    }

    fn spend(&mut self) -> Result<()> {
        if let Some(left) = &mut self.budget {
            if *left == 0 {
                return Err(Error::Interrupted);
            }
            *left -= 1;
        }
        self.entries += (self.a.len() * self.b.len()) as f64;
        Ok(())
    }

    /// −log Σ_k w_k exp(h_k − C_k/ε).
    fn soft(&self, w: &[f64], h: &[f64], c: impl Fn(usize) -> f64 + Sync) -> f64 {
        if self.precision == Precision::F32 {
            // Exponents formed in f64 and rounded to f32 relative to the largest, as a good f32 kernel does.
            let unit = self.epsilon as f32;
            let z = |k: usize| h[k] as f32 - c(k) as f32 / unit;
            let top = (0..w.len()).fold(f32::NEG_INFINITY, |m, k| m.max(z(k)));
            let sum: f32 = (0..w.len()).map(|k| w[k] as f32 * (z(k) - top).exp()).sum();
            return -f64::from(top) - f64::from(sum).ln();
        }
        let z = |k: usize| h[k] - c(k) / self.epsilon;
        let top = (0..w.len()).fold(f64::NEG_INFINITY, |m, k| m.max(z(k)));
        -top - sum(w.len(), |k| w[k] * (z(k) - top).exp()).ln()
    }

    fn plan(&self, psi: &[f64], phi: &[f64], i: usize, j: usize) -> f64 {
        self.a[i] * self.b[j] * (psi[i] + phi[j] - self.cost[i * self.b.len() + j] / self.epsilon).exp()
    }
}

impl Passes for NaivePasses {
    fn n(&self) -> usize {
        self.a.len()
    }

    fn m(&self) -> usize {
        self.b.len()
    }

    fn a(&self) -> &[f64] {
        &self.a
    }

    fn b(&self) -> &[f64] {
        &self.b
    }

    fn epsilon(&self) -> f64 {
        self.epsilon
    }

    fn set_epsilon(&mut self, epsilon: f64) {
        self.epsilon = epsilon;
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    fn cost_range(&self) -> (f64, f64) {
        self.cost.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), c| (l.min(*c), h.max(*c)))
    }

    fn soft_rows(&mut self, phi: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.soft(&self.b, phi, |j| self.cost[i * m + j]);
        }
        Ok(())
    }

    fn soft_cols(&mut self, psi: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        for (j, out) in out.iter_mut().enumerate() {
            *out = self.soft(&self.a, psi, |i| self.cost[i * m + j]);
        }
        Ok(())
    }

    fn row_then_col(
        &mut self,
        phi: &[f64],
        rule: &(dyn Fn(usize, f64) -> f64 + Sync),
        psi: &mut [f64],
        x: &mut [f64],
    ) -> Result<()> {
        self.evaluations += 1;
        self.soft_rows(phi, psi)?;
        for (i, psi) in psi.iter_mut().enumerate() {
            *psi = rule(i, *psi);
        }
        self.soft_cols(psi, x)
    }

    fn plan_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        self.spend()?;
        for (i, out) in out.chunks_mut(width).enumerate() {
            out.fill(0.0);
            for j in 0..self.b.len() {
                let p = self.plan(psi, phi, i, j);
                for (k, out) in out.iter_mut().enumerate() {
                    *out += p * v[j * width + k];
                }
            }
        }
        Ok(())
    }

    fn plan_cols(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        self.spend()?;
        for (j, out) in out.chunks_mut(width).enumerate() {
            out.fill(0.0);
            for i in 0..self.a.len() {
                let p = self.plan(psi, phi, i, j);
                for (k, out) in out.iter_mut().enumerate() {
                    *out += p * v[i * width + k];
                }
            }
        }
        Ok(())
    }

    fn conditional_rows(&mut self, t: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        for (i, out) in out.chunks_mut(width).enumerate() {
            out.fill(0.0);
            for j in 0..m {
                let q = self.b[j] * (t[i] + phi[j] - self.cost[i * m + j] / self.epsilon).exp();
                for (k, out) in out.iter_mut().enumerate() {
                    *out += q * v[j * width + k];
                }
            }
        }
        Ok(())
    }

    fn plan_cost_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        for (i, out) in out.iter_mut().enumerate() {
            *out = sum(m, |j| self.plan(psi, phi, i, j) * v[j] * self.cost[i * m + j]);
        }
        Ok(())
    }

    fn bilinear_cost(&mut self, u: &[f64], v: &[f64]) -> Result<f64> {
        self.spend()?;
        let m = self.b.len();
        Ok(sum(u.len(), |i| u[i] * sum(m, |j| self.cost[i * m + j] * v[j])))
    }

    fn min_rows(&mut self, g: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        for (i, out) in out.iter_mut().enumerate() {
            *out = (0..m).fold(f64::INFINITY, |low, j| low.min(self.cost[i * m + j] - g[j]));
        }
        Ok(())
    }

    fn min_cols(&mut self, f: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        for (j, out) in out.iter_mut().enumerate() {
            *out = (0..f.len()).fold(f64::INFINITY, |low, i| low.min(self.cost[i * m + j] - f[i]));
        }
        Ok(())
    }

    fn reproducing_kernel(&mut self, w: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let m = self.b.len();
        match &self.kernel {
            None => out.copy_from_slice(w),
            Some(kernel) => {
                for (out, row) in out.iter_mut().zip(kernel.chunks(m)) {
                    *out = sum(m, |j| row[j] * w[j]);
                }
            }
        }
        Ok(())
    }

    fn dimension(&self) -> Option<usize> {
        self.points.as_ref().map(|(_, _, d)| *d)
    }

    fn gradient_rows(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let (x, y, d) = self.points.as_ref().expect("called only when the cost has points");
        out.fill(0.0);
        for i in 0..self.a.len() {
            for j in 0..self.b.len() {
                let p = self.plan(psi, phi, i, j);
                for k in 0..*d {
                    out[i * d + k] += 2.0 * p * (x[i * d + k] - y[j * d + k]);
                }
            }
        }
        Ok(())
    }

    fn gradient_cols(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()> {
        self.spend()?;
        let (x, y, d) = self.points.as_ref().expect("called only when the cost has points");
        out.fill(0.0);
        for i in 0..self.a.len() {
            for j in 0..self.b.len() {
                let p = self.plan(psi, phi, i, j);
                for k in 0..*d {
                    out[j * d + k] += 2.0 * p * (y[j * d + k] - x[i * d + k]);
                }
            }
        }
        Ok(())
    }

    fn largest_entries(&mut self, psi: &[f64], phi: &[f64], count: usize) -> Result<Vec<(u64, u64, f64)>> {
        self.spend()?;
        let (n, m) = (self.a.len(), self.b.len());
        let mut entries: Vec<_> =
            (0..n * m).map(|k| ((k / m) as u64, (k % m) as u64, self.plan(psi, phi, k / m, k % m))).collect();
        entries.sort_by(|s, t| t.2.total_cmp(&s.2).then((s.0, s.1).cmp(&(t.0, t.1))));
        entries.truncate(count);
        Ok(entries)
    }

    fn rounding(&self) -> f64 {
        // Sums of at most max(n, m) terms, one exponential each; the argument's own rounding is the caller's to add.
        (self.n().max(self.m()) as f64 + 16.0) * f64::EPSILON
    }

    fn entries(&self) -> f64 {
        self.entries
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut single = u64::from(self.precision == Precision::F32);
        walk.scalar(&SINGLE, (&mut single).into())?;
        self.precision = if single == 1 { Precision::F32 } else { Precision::F64 };
        Ok(())
    }
}

const SINGLE: Name =
    Name { name: "passes_single_precision", units: "1", meaning: "1 while the passes run in f32", axes: &[] };
