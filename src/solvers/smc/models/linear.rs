//! Linear Gaussian flows of any dimension, discrete or sampled from a linear SDE at irregular times; what
//! `linear_system` and `constant_velocity` share.
//!
//! The guided proposal is the optimal one, p(x_k | x_{k−1}, y_k): with m = A x_{k−1} + b and S = H Q Hᵀ + R it is
//! N(m + K(y − d − Hm), (I − KH)Q), K = Q Hᵀ S⁻¹, and p/q · p(y | x) = N(y; Hm + d, S) for every draw x.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Exact, Proposal, Refusal, StateSpace};
use crate::math::dense;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;
use crate::solvers::smc::exact::kalman::{LinearGaussian, Transition};

/// How states follow each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Dynamics {
    /// x' = A x + b + N(0, Q), whatever the interval.
    Discrete(Transition),
    /// dx = F x dt + G dW: F and G Gᵀ.
    Continuous { drift: Vec<f64>, diffusion: Vec<f64> },
}

/// A linear Gaussian model: matrices row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    pub states: Vec<String>,
    pub outputs: Vec<String>,
    pub dynamics: Dynamics,
    pub initial_mean: Vec<f64>,
    pub initial_covariance: Vec<f64>,
    pub observation: Vec<f64>,
    pub offset: Vec<f64>,
    pub noise: Vec<f64>,
}

impl Linear {
    fn transition(&self, interval: f64) -> Transition {
        match &self.dynamics {
            Dynamics::Discrete(transition) => transition.clone(),
            Dynamics::Continuous { drift, diffusion } => {
                let n = self.states.len();
                let (matrix, covariance) = dense::linear_transition(drift, diffusion, n, interval);
                Transition { matrix, shift: vec![0.0; n], covariance }
            }
        }
    }

    /// The model at the times of `data`, for the exact filter.
    pub fn at_times(&self, data: &Observations) -> LinearGaussian {
        let last = data.len().max(2);
        let transitions = (1..last).map(|k| self.transition(if k < data.len() { data.interval(k) } else { 1.0 }));
        LinearGaussian {
            states: self.states.len(),
            outputs: self.outputs.len(),
            initial_mean: self.initial_mean.clone(),
            initial_covariance: self.initial_covariance.clone(),
            transitions: transitions.collect(),
            observation: self.observation.clone(),
            offset: self.offset.clone(),
            noise: self.noise.clone(),
        }
    }
}

impl StateSpace for Linear {
    fn coordinates(&self) -> Vec<String> {
        self.states.clone()
    }

    fn components(&self) -> Vec<String> {
        self.outputs.clone()
    }

    fn proposals(&self) -> &'static [Proposal] {
        &[Proposal::Bootstrap, Proposal::Guided, Proposal::Auxiliary]
    }

    fn flow(&self, data: &Arc<Observations>, proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        Ok(Box::new(Flow::new(self, data, proposal)?))
    }

    fn exact(&self, data: &Observations) -> Option<Exact> {
        let n = self.states.len();
        let found = self.at_times(data).filter(&data.values).ok()?;
        let variances = found.filtered.iter().flat_map(|m| (0..n).map(|i| m.covariance[i * n + i]));
        Some(Exact {
            log_evidence: found.log_evidence,
            means: found.filtered.iter().flat_map(|m| m.mean.clone()).collect(),
            variances: variances.collect(),
        })
    }
}

/// A step with the matrices it needs; steps of one interval and one pattern of missing entries share it.
struct Step {
    transition: Transition,
    /// L with L Lᵀ = Q.
    factor: Vec<f64>,
    seen: Seen,
    /// K, states × seen; L with L Lᵀ = (I − KH)Q; W and the constant of N(·; 0, S). Empty where nothing is seen.
    gain: Vec<f64>,
    guided: Vec<f64>,
    predictive: White,
}

/// The observed rows of H and d.
struct Seen {
    rows: Vec<usize>,
    matrix: Vec<f64>,
    /// Of p(y | x).
    white: White,
}

/// ln N(e; 0, C) = constant − ½|W e|².
#[derive(Default)]
pub(super) struct White {
    matrix: Vec<f64>,
    constant: f64,
}

impl White {
    pub fn new(covariance: &[f64], m: usize) -> Result<White, usize> {
        let l = dense::cholesky(covariance, m)?;
        let mut matrix = vec![0.0; m * m];
        for j in 0..m {
            let mut column = vec![0.0; m];
            column[j] = 1.0;
            dense::solve_lower(&l, &mut column);
            (0..m).for_each(|i| matrix[i * m + j] = column[i]);
        }
        let constant = -0.5 * (m as f64 * dense::LOG_2_PI + dense::log_determinant(&l, m));
        Ok(White { matrix, constant })
    }

    /// value += sign · ln N(e; 0, C).
    pub fn add(&self, level: Level, residuals: &[Vec<f64>], sign: f64, value: &mut [f64]) {
        let (n, m) = (value.len(), residuals.len());
        let mut z = [0.0; TILE];
        let z = &mut z[..n];
        value.iter_mut().for_each(|v| *v += sign * self.constant);
        for i in 0..m {
            z.fill(0.0);
            for j in 0..=i {
                axpy(level, self.matrix[i * m + j], &residuals[j], z);
            }
            crate::enter!(level, S => for k in 0..n { value[k] = S::mul_add(-0.5 * sign * z[k], z[k], value[k]) });
        }
    }
}

/// y += a x.
#[inline]
pub(super) fn axpy(level: Level, a: f64, x: &[f64], y: &mut [f64]) {
    let n = y.len();
    let x = &x[..n];
    crate::enter!(level, S => for k in 0..n { y[k] = S::mul_add(a, x[k], y[k]) });
}

struct Flow {
    model: Linear,
    data: Arc<Observations>,
    proposal: Proposal,
    initial_factor: Vec<f64>,
    noise_factor: Vec<f64>,
    /// Which of `steps` each time is; at time 0 the transition is not used.
    which: Vec<usize>,
    steps: Vec<Step>,
}

pub(super) fn negative(key: &'static str) -> impl Fn(usize) -> Refusal {
    move |row| (key, format!("{key} is not positive definite (row {row}): a variance is negative or zero"))
}

impl Flow {
    fn new(model: &Linear, data: &Arc<Observations>, proposal: Proposal) -> Result<Flow, Refusal> {
        let n = model.states.len();
        let o = model.outputs.len();
        let factor = |a: &[f64]| dense::cholesky_semidefinite(a, n);
        let initial_factor = factor(&model.initial_covariance).map_err(negative("initial_covariance"))?;
        let noise_factor = dense::cholesky(&model.noise, o).map_err(negative("observation_covariance"))?;
        let mut known: HashMap<(u64, Vec<bool>), usize> = HashMap::new();
        let (mut which, mut steps) = (Vec::new(), Vec::new());
        for k in 0..data.len() {
            let interval = if k == 0 { 0.0 } else { data.interval(k) };
            let key = (interval.to_bits(), data.at(k).iter().map(|y| y.is_nan()).collect::<Vec<bool>>());
            let index = match known.get(&key) {
                Some(&index) => index,
                None => {
                    let rows: Vec<usize> = (0..o).filter(|&i| !key.1[i]).collect();
                    // At time 0 the "transition" is the initial law.
                    let transition = match k {
                        0 => Transition {
                            matrix: vec![0.0; n * n],
                            shift: model.initial_mean.clone(),
                            covariance: model.initial_covariance.clone(),
                        },
                        _ => model.transition(interval),
                    };
                    steps.push(Step::new(model, transition, rows)?);
                    known.insert(key, steps.len() - 1);
                    steps.len() - 1
                }
            };
            // Only the first time has this interval of 0.
            if k == 0 {
                known.clear();
            }
            which.push(index);
        }
        Ok(Flow { model: model.clone(), data: data.clone(), proposal, initial_factor, noise_factor, which, steps })
    }

    /// y − d − H x of the seen components.
    fn residuals(&self, level: Level, step: usize, seen: &Seen, x: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.data.at(step);
        let n = x.len();
        let one = |(a, &row): (usize, &usize)| {
            let mut e = vec![y[row] - self.model.offset[row]; x[0].len()];
            for i in 0..n {
                let h = seen.matrix[a * n + i];
                if h != 0.0 {
                    axpy(level, -h, x[i], &mut e);
                }
            }
            e
        };
        seen.rows.iter().enumerate().map(one).collect()
    }

    /// x ← A previous + b (b where there is nothing before).
    fn predict(&self, step: &Step, level: Level, previous: Option<View<'_>>, out: &mut [&mut [f64]]) {
        let n = out.len();
        for i in 0..n {
            out[i].fill(step.transition.shift[i]);
            if let Some(previous) = previous {
                for j in 0..n {
                    let a = step.transition.matrix[i * n + j];
                    if a != 0.0 {
                        axpy(level, a, previous.coordinate(j), out[i]);
                    }
                }
            }
        }
    }

    fn draw(&self, k: usize, at: &Draws, previous: Option<View<'_>>, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        let step = &self.steps[self.which[k]];
        let level = at.level;
        let guided = self.proposal != Proposal::Bootstrap && !step.seen.rows.is_empty();
        let n = self.model.states.len();
        let mut noise = [0.0; TILE];
        let noise = &mut noise[..x.len()];
        {
            let mut out: Vec<&mut [f64]> = x.coordinates_mut().collect();
            self.predict(step, level, previous, &mut out);
            let mut factor = &step.factor;
            if guided {
                let view: Vec<&[f64]> = out.iter().map(|o| &**o).collect();
                let residuals = self.residuals(level, k, &step.seen, &view);
                step.predictive.add(level, &residuals, 1.0, log_weight);
                let m = residuals.len();
                for i in 0..n {
                    (0..m).for_each(|a| axpy(level, step.gain[i * m + a], &residuals[a], out[i]));
                }
                factor = &step.guided;
            }
            for j in 0..n {
                if (j..n).all(|i| factor[i * n + j] == 0.0) {
                    continue;
                }
                at.normals(j as u32, noise);
                (j..n).for_each(|i| axpy(level, factor[i * n + j], noise, out[i]));
            }
        }
        if guided {
            self.likelihood(k, x.view(), -1.0, log_weight);
        }
    }

    /// value += sign · ln p(y_k | x).
    fn likelihood(&self, k: usize, x: View<'_>, sign: f64, value: &mut [f64]) {
        let step = &self.steps[self.which[k]];
        if step.seen.rows.is_empty() {
            return;
        }
        let slices: Vec<&[f64]> = (0..self.model.states.len()).map(|i| x.coordinate(i)).collect();
        let residuals = self.residuals(x.level(), k, &step.seen, &slices);
        step.seen.white.add(x.level(), &residuals, sign, value);
    }

    /// value += ln p(y_k | x_{k−1}).
    fn predictive(&self, k: usize, previous: Option<View<'_>>, level: Level, length: usize, value: &mut [f64]) {
        let step = &self.steps[self.which[k]];
        if step.seen.rows.is_empty() {
            return;
        }
        let mut room = vec![vec![0.0; length]; self.model.states.len()];
        let mut out: Vec<&mut [f64]> = room.iter_mut().map(|r| &mut r[..]).collect();
        self.predict(step, level, previous, &mut out);
        let view: Vec<&[f64]> = room.iter().map(|r| &r[..]).collect();
        let residuals = self.residuals(level, k, &step.seen, &view);
        step.predictive.add(level, &residuals, 1.0, value);
    }
}

impl Step {
    fn new(model: &Linear, transition: Transition, rows: Vec<usize>) -> Result<Step, Refusal> {
        let (n, o, m) = (model.states.len(), model.outputs.len(), rows.len());
        let q = &transition.covariance;
        let factor = dense::cholesky_semidefinite(q, n).map_err(negative("noise_covariance"))?;
        let matrix: Vec<f64> = rows.iter().flat_map(|&r| model.observation[r * n..(r + 1) * n].to_vec()).collect();
        let noise: Vec<f64> = rows.iter().flat_map(|&r| rows.iter().map(move |&c| model.noise[r * o + c])).collect();
        let white = White::new(&noise, m).map_err(negative("observation_covariance"))?;
        let seen = Seen { rows, matrix, white };
        if m == 0 {
            let (gain, guided) = (Vec::new(), factor.clone());
            return Ok(Step { transition, factor, seen, gain, guided, predictive: White::default() });
        }
        let mut s = dense::congruence(&seen.matrix, q, m, n);
        s.iter_mut().zip(&noise).for_each(|(s, r)| *s += r);
        let l = dense::cholesky(&s, m).map_err(negative("observation_covariance"))?;
        let cross = dense::product(q, &dense::transpose(&seen.matrix, m, n), n, n, m);
        let gain = dense::product(&cross, &dense::inverse(&l, m), n, m, m);
        // (I − KH) Q (I − KH)ᵀ + K R Kᵀ.
        let mut left = dense::product(&gain, &seen.matrix, n, m, n);
        left.iter_mut().for_each(|x| *x = -*x);
        (0..n).for_each(|i| left[i * n + i] += 1.0);
        let mut covariance = dense::congruence(&left, q, n, n);
        let rest = dense::congruence(&gain, &noise, n, m);
        covariance.iter_mut().zip(rest).for_each(|(c, r)| *c += r);
        let guided = dense::cholesky_semidefinite(&covariance, n).map_err(negative("noise_covariance"))?;
        let predictive = White::new(&s, m).map_err(negative("observation_covariance"))?;
        Ok(Step { transition, factor, seen, gain, guided, predictive })
    }
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        self.model.states.len()
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        debug_assert_eq!(self.initial_factor.len(), self.model.initial_covariance.len());
        self.draw(0, at, None, x, log_weight);
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        self.draw(step, at, Some(previous), x, log_weight);
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        self.likelihood(step, x, 1.0, log_weight);
    }

    fn is_twisted(&self) -> bool {
        self.proposal == Proposal::Auxiliary
    }

    /// ln p(y_{k+1} | x_k): then the weights of a guided filter do not depend on the draw.
    fn log_twist(&self, step: usize, x: View<'_>, value: &mut [f64]) {
        if step + 1 < self.data.len() {
            self.predictive(step + 1, Some(x), x.level(), x.len(), value);
        }
    }

    fn has_transition(&self) -> bool {
        // A singular noise has no density.
        let n = self.model.states.len();
        self.which.iter().skip(1).all(|&w| (0..n).all(|i| self.steps[w].factor[i * n + i] > 0.0))
    }

    fn log_transition(&self, step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        let transition = &self.steps[self.which[step]];
        let n = self.model.states.len();
        let level = previous.level();
        // z = L⁻¹(x − b − A previous), row after row.
        let mut z: Vec<Vec<f64>> = Vec::with_capacity(n);
        for i in 0..n {
            let mut e = vec![x[i] - transition.transition.shift[i]; previous.len()];
            for j in 0..n {
                let a = transition.transition.matrix[i * n + j];
                if a != 0.0 {
                    axpy(level, -a, previous.coordinate(j), &mut e);
                }
            }
            for (j, z) in z.iter().enumerate() {
                axpy(level, -transition.factor[i * n + j], z, &mut e);
            }
            let scale = 1.0 / transition.factor[i * n + i];
            e.iter_mut().for_each(|e| *e *= scale);
            value.iter_mut().zip(&e).for_each(|(v, e)| *v -= 0.5 * e * e);
            z.push(e);
        }
    }

    fn log_ratio(&self, step: usize, previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) -> bool {
        if self.proposal != Proposal::Bootstrap {
            let before = (step > 0).then_some(previous);
            self.predictive(step, before, x.level(), x.len(), log_weight);
            self.likelihood(step, x, -1.0, log_weight);
        }
        true
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        let (n, o) = (self.model.states.len(), self.model.outputs.len());
        let level = at.level;
        let mut noise = [0.0; TILE];
        let noise = &mut noise[..x.len()];
        for i in 0..o {
            let out = y.coordinate_mut(i);
            out.fill(self.model.offset[i]);
            (0..n).for_each(|j| axpy(level, self.model.observation[i * n + j], x.coordinate(j), out));
        }
        for j in 0..o {
            at.normals(j as u32, noise);
            (j..o).for_each(|i| axpy(level, self.noise_factor[i * o + j], noise, y.coordinate_mut(i)));
        }
        true
    }
}
