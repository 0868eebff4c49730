//! The moves of a block of walkers, all but those in path coordinates in terms of the noise.

use super::langevin::{Base, Langevin, Target};
use super::{Address, AnnealedDynamics, Mover};
use crate::math::draws::Draws;
use crate::math::elementary::{cos, ln, sin};
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::ensemble::Random;
use crate::solvers::paths::guide::{Guide, Scratch};

/// The work space of the moves of one block.
pub(super) struct Local<'a> {
    chain: &'a Chain,
    guide: &'a Guide,
    propose: Draws,
    accept: Draws,
    at: Address,
    mover: Mover,
    rotations: usize,
    s: f64,
    size: f64,
    scratch: Scratch,
    x: Vec<f64>,
    w: Vec<f64>,
    trial: Vec<f64>,
    trial_gain: Vec<f64>,
    /// ∇Λ at ξ, when it is known, and at the trial.
    slope: Vec<f64>,
    known: bool,
    trial_slope: Vec<f64>,
    /// Of moves in path coordinates.
    path: Option<Langevin<'a>>,
}

impl<'a> Local<'a> {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        chain: &'a Chain,
        random: Random,
        at: Address,
        block: usize,
        s: f64,
        size: f64,
        method: &'a AnnealedDynamics,
        base: Option<&'a Base>,
    ) -> Self {
        let slot = (block * LANES) as u64;
        let buffer = || vec![0.0; chain.block()];
        Local {
            chain,
            guide: &method.guide,
            propose: random.draws(at.moves(Stream::PathsPropose), 0).at(slot),
            accept: random.draws(at.moves(Stream::PathsAccept), 0).at(slot),
            at,
            mover: method.input.mover,
            rotations: method.input.rotations,
            s,
            size,
            scratch: Scratch::new(chain),
            x: buffer(),
            w: buffer(),
            trial: buffer(),
            trial_gain: vec![0.0; LANES],
            slope: buffer(),
            known: false,
            trial_slope: buffer(),
            path: base.map(|base| Langevin::new(chain, base)),
        }
    }

    /// One move of every walker of the block; returns how many were accepted.
    pub fn step(&mut self, serial: usize, xi: &mut [f64], gain: &mut [f64]) -> f64 {
        let propose = Draws { step: self.at.step(serial), ..self.propose };
        let accept = Draws { step: self.at.step(serial), ..self.accept };
        for (draw, row) in self.w.chunks_exact_mut(LANES).enumerate() {
            propose.normals(draw as u32, row);
        }
        let mut log_ratio = [0.0; LANES];
        match self.mover {
            Mover::Pcn => {
                let (a, b) = ((1.0 - self.size * self.size).max(0.0).sqrt(), self.size);
                for ((t, xi), w) in self.trial.iter_mut().zip(xi.iter()).zip(&self.w) {
                    *t = a * xi + b * w;
                }
                self.evaluate();
                self.gains(gain, &mut log_ratio);
            }
            Mover::Shooting => {
                let mut frame = [0.0; LANES];
                accept.uniforms(1, &mut frame);
                let rows = self.chain.rows();
                self.trial.copy_from_slice(xi);
                for (l, u) in frame.iter().enumerate() {
                    // The noise from this time on is new: of all (also of the start), …, of the last step.
                    let from = (u * (self.chain.steps + 1) as f64) as usize;
                    for j in from..=self.chain.steps {
                        for i in 0..self.chain.dimension {
                            let k = j * rows + i * LANES + l;
                            self.trial[k] = self.w[k];
                        }
                    }
                }
                self.evaluate();
                self.gains(gain, &mut log_ratio);
            }
            Mover::Pcnl => {
                self.know(xi);
                let (d, s) = (self.size, self.s);
                let cut = cuts(s, d, &self.slope);
                let (a, b, c) = ((2.0 - d) / (2.0 + d), 2.0 * d * s / (2.0 + d), (8.0 * d).sqrt() / (2.0 + d));
                for k in 0..xi.len() {
                    self.trial[k] = a * xi[k] + b * cut[k % LANES] * self.slope[k] + c * self.w[k];
                }
                self.evaluate();
                self.slope_of_trial();
                let cut_of_trial = cuts(s, d, &self.trial_slope);
                let rho = |from: &[f64], to: &[f64], slope: &[f64], cut: &[f64; LANES], gain: &[f64]| {
                    let mut rho = [0.0; LANES];
                    for (r, gain) in rho.iter_mut().zip(gain) {
                        *r = -s * gain;
                    }
                    for k in 0..from.len() {
                        let (u, v, g) = (from[k], to[k], -s * cut[k % LANES] * slope[k]);
                        rho[k % LANES] += 0.5 * (v - u) * g + 0.25 * d * ((u + v) * g + g * g);
                    }
                    rho
                };
                let there = rho(xi, &self.trial, &self.slope, &cut, gain);
                let back = rho(&self.trial, xi, &self.trial_slope, &cut_of_trial, &self.trial_gain);
                for l in 0..LANES {
                    log_ratio[l] = there[l] - back[l];
                }
            }
            Mover::Spde => {
                let langevin = self.path.as_mut().expect("a base of the level");
                let target = Target { chain: self.chain, guide: self.guide, s: self.s };
                let walkers = (&*xi, &*gain);
                let trial = (&mut self.trial[..], &mut self.trial_gain[..]);
                log_ratio = langevin.propose(&target, self.size, walkers, &self.w, trial, &mut self.scratch);
            }
            Mover::Hmc => {
                self.know(xi);
                self.trajectory(xi, gain, &mut log_ratio);
            }
        }
        let mut u = [0.0; LANES];
        accept.uniforms(0, &mut u);
        let mut accepted = 0.0;
        for l in 0..LANES {
            // A trial that is no number (a chain that ran away) is turned down.
            if ln(u[l]) < log_ratio[l] && self.trial_gain[l].is_finite() {
                accepted += 1.0;
                gain[l] = self.trial_gain[l];
                for k in (l..xi.len()).step_by(LANES) {
                    xi[k] = self.trial[k];
                }
                if let Some(langevin) = &mut self.path {
                    langevin.accept(l);
                }
                if self.known {
                    for k in (l..xi.len()).step_by(LANES) {
                        self.slope[k] = self.trial_slope[k];
                    }
                }
            }
        }
        accepted
    }

    /// Λ of the trial, and its path.
    fn evaluate(&mut self) {
        self.guide.simulate(self.chain, &self.trial, &mut self.x, &mut self.trial_gain, &mut self.scratch);
    }

    fn gains(&self, gain: &[f64], log_ratio: &mut [f64; LANES]) {
        for l in 0..LANES {
            log_ratio[l] =
                if gain[l] == f64::NEG_INFINITY { f64::INFINITY } else { self.s * (self.trial_gain[l] - gain[l]) };
        }
    }

    /// ∇Λ at ξ.
    fn know(&mut self, xi: &[f64]) {
        if !self.known {
            let mut gain = [0.0; LANES];
            self.guide.simulate(self.chain, xi, &mut self.x, &mut gain, &mut self.scratch);
            self.guide.gradient(self.chain, &self.x, &mut self.slope, &mut self.scratch);
            self.known = true;
        }
    }

    /// ∇Λ at the trial whose path is in `x`.
    fn slope_of_trial(&mut self) {
        self.guide.gradient(self.chain, &self.x, &mut self.trial_slope, &mut self.scratch);
    }

    fn trajectory(&mut self, xi: &[f64], gain: &[f64], log_ratio: &mut [f64; LANES]) {
        let (s, angle) = (self.s, self.size);
        let energy = |xi: &[f64], v: &[f64], gain: &[f64]| {
            let mut h = [0.0; LANES];
            for (h, gain) in h.iter_mut().zip(gain) {
                *h = -s * gain;
            }
            for k in 0..xi.len() {
                h[k % LANES] += 0.5 * (xi[k] * xi[k] + v[k] * v[k]);
            }
            h
        };
        // `w` is the velocity.
        let before = energy(xi, &self.w, gain);
        self.trial.copy_from_slice(xi);
        self.trial_slope.copy_from_slice(&self.slope);
        let (c, sn) = (cos(angle), sin(angle));
        for _ in 0..self.rotations {
            for k in 0..self.trial.len() {
                let v = self.w[k] + 0.5 * angle * s * self.trial_slope[k];
                let x = self.trial[k];
                self.trial[k] = c * x + sn * v;
                self.w[k] = c * v - sn * x;
            }
            self.evaluate();
            self.slope_of_trial();
            for k in 0..self.trial.len() {
                self.w[k] += 0.5 * angle * s * self.trial_slope[k];
            }
        }
        let after = energy(&self.trial, &self.w, &self.trial_gain);
        for l in 0..LANES {
            log_ratio[l] = before[l] - after[l];
        }
    }
}

/// Per path what a gradient s∇Λ is multiplied with so that its length is at most √(8/δ): the gradient's part of a move is
/// then at most twice the noise's in that direction.
fn cuts(s: f64, d: f64, slope: &[f64]) -> [f64; LANES] {
    let mut square = [0.0; LANES];
    for row in slope.chunks_exact(LANES) {
        square.iter_mut().zip(row).for_each(|(q, g)| *q += g * g);
    }
    let most = (8.0 / d).sqrt();
    square.map(|q| {
        let length = s * q.sqrt();
        if length > most { most / length } else { 1.0 }
    })
}
