//! Langevin dynamics of the path itself, in a time τ of the moves: an SPDE whose linear part is taken implicitly.
//!
//! At level s the paths have the density π ∝ q^{1−s} (p e^{−J})^s, q the guided chain's and p the chain's own, both exact
//! for Euler–Maruyama. With A the precision of the linear part (the chain with its linear drift, Brownian motion's where
//! the drift is not linear, and the observations: tridiagonal in time), m its mean and C = A⁻¹,
//!
//!     log π(x) = −½ (x−m)ᵀA(x−m) − Ψ(x),      dx = −(x − m + C∇Ψ(x)) dτ + √2 C^{1/2} dW(τ)
//!
//! and a semi-implicit step (θ = ½) of length δ, with y = x − m and w ~ N(0, C), is
//!
//!     y' = ((2−δ) y − 2δ C∇Ψ(x) + √(8δ) w)/(2+δ),      α = 1 ∧ e^{ρ(x,x') − ρ(x',x)}
//!     ρ(x,x') = Ψ(x) + ½⟨y'−y, ∇Ψ(x)⟩ + (δ/4)⟨y+y', ∇Ψ(x)⟩ + (δ/4)|C^{1/2}∇Ψ(x)|²       [BeskosRobertsStuartVoss2008]
//!
//! C is never formed: with A = LLᵀ, L bidiagonal, one forward and one backward substitution make a step. Where all is
//! linear Ψ is constant and every move is accepted. C∇Ψ is cut to the length √(8/δ) in the norm of A, as in pcnl.

use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::guide::{Guide, Scratch};

/// Whether paths have a density in all the values that move.
pub fn check(chain: &Chain) -> Result<(), String> {
    for j in 1..=chain.steps {
        for i in 0..chain.dimension {
            if chain.deviation(j, i) == Some(0.0) && linear(chain, j, i).0.abs() > 1e-9 {
                return Err(format!("spde moves paths: step {j} has no noise in coordinate {i}; use pcn, pcnl or hmc"));
            }
        }
    }
    Ok(())
}

/// (f, o) of the linear part x_{j−1} ↦ f x_{j−1} + o of transition `j`.
fn linear(chain: &Chain, j: usize, i: usize) -> (f64, f64) {
    let (slope, offset) = chain.prior.linear(chain.time(j - 1), i).unwrap_or((0.0, 0.0));
    (1.0 + chain.time_step * slope, chain.time_step * offset)
}

/// The Gaussian of the linear part at a level, [time][coordinate].
pub struct Base {
    mean: Vec<f64>,
    /// A: its diagonal, and between a time and the next.
    diagonal: Vec<f64>,
    off: Vec<f64>,
    /// L: its diagonal, and between a time and the next.
    l: Vec<f64>,
    below: Vec<f64>,
    /// Values that do not move (a fixed start, the end of a bridge).
    held: Vec<bool>,
}

impl Base {
    /// `conditioned`: the guide has the observations at every level; else the share s of them counts.
    pub fn new(chain: &Chain, conditioned: bool, s: f64) -> Base {
        let (n, d) = (chain.steps + 1, chain.dimension);
        let observed = if conditioned { 1.0 } else { s };
        let zeros = || vec![0.0; n * d];
        let mut base = Base {
            mean: zeros(),
            diagonal: zeros(),
            off: zeros(),
            l: zeros(),
            below: zeros(),
            held: vec![false; n * d],
        };
        for i in 0..d {
            let at = |j: usize| j * d + i;
            let variance = |j: usize| chain.deviation(j, i).map_or(0.0, |s| s * s);
            let map = |j: usize| if j == 0 { (0.0, chain.start.mean[i]) } else { linear(chain, j, i) };
            // A and A m, the mean of held values being known.
            let mut right = vec![0.0; n];
            for j in 0..n {
                let (v, (f, o)) = (variance(j), map(j));
                if v == 0.0 {
                    (base.held[at(j)], base.diagonal[at(j)], right[j]) = (true, 1.0, o);
                    continue;
                }
                let q = chain.quadratics[j][i];
                base.diagonal[at(j)] += 1.0 / v + observed * q.a;
                right[j] += o / v + observed * q.c;
                if j > 0 && base.held[at(j - 1)] {
                    right[j] += f * right[j - 1] / v;
                } else if j > 0 {
                    base.diagonal[at(j - 1)] += f * f / v;
                    base.off[at(j - 1)] = -f / v;
                    right[j - 1] -= f * o / v;
                }
            }
            for j in 0..n {
                let before = if j > 0 { base.below[at(j - 1)] } else { 0.0 };
                let l = (base.diagonal[at(j)] - before * before).sqrt();
                (base.l[at(j)], base.below[at(j)]) = (l, base.off[at(j)] / l);
            }
            for j in 0..n {
                let before = if j > 0 { base.below[at(j - 1)] * base.mean[at(j - 1)] } else { 0.0 };
                base.mean[at(j)] = (right[j] - before) / base.l[at(j)];
            }
            for j in (0..n).rev() {
                let after = if j + 1 < n { base.below[at(j)] * base.mean[at(j + 1)] } else { 0.0 };
                base.mean[at(j)] = (base.mean[at(j)] - after) / base.l[at(j)];
            }
        }
        base
    }
}

/// log π of a level.
pub struct Target<'a> {
    pub chain: &'a Chain,
    pub guide: &'a Guide,
    pub s: f64,
}

/// A path per lane, and what a move from it needs.
struct State {
    /// y = x − m.
    y: Vec<f64>,
    /// ∇Ψ, then L⁻¹∇Ψ.
    slope: Vec<f64>,
    half: Vec<f64>,
    /// Ψ, and |C^{1/2}∇Ψ|².
    psi: [f64; LANES],
    square: [f64; LANES],
}

impl State {
    fn new(length: usize) -> State {
        let zeros = || vec![0.0; length];
        State { y: zeros(), slope: zeros(), half: zeros(), psi: [0.0; LANES], square: [0.0; LANES] }
    }

    /// Ψ, ∇Ψ and L⁻¹∇Ψ at the paths `x`; xi and gain: their noise and log-weight.
    fn weigh(&mut self, t: &Target, base: &Base, x: &[f64], xi: &mut [f64], gain: &mut [f64], scratch: &mut Scratch) {
        let rows = t.chain.dimension;
        t.guide.density(t.chain, t.s, x, xi, gain, &mut self.slope, scratch);
        for (psi, gain) in self.psi.iter_mut().zip(gain.iter()) {
            *psi = -t.s * gain;
        }
        self.square.fill(0.0);
        for (k, (y, x)) in self.y.chunks_exact_mut(LANES).zip(x.chunks_exact(LANES)).enumerate() {
            let mean = base.mean[k];
            y.iter_mut().zip(x).for_each(|(y, x)| *y = if base.held[k] { 0.0 } else { x - mean });
        }
        for k in 0..base.mean.len() {
            let row = k * LANES..(k + 1) * LANES;
            let (before, after) = (k.checked_sub(rows), Some(k + rows).filter(|a| *a < base.mean.len()));
            for (l, at) in row.enumerate() {
                let near = |k: Option<usize>| k.map_or(0.0, |k| self.y[k * LANES + l]);
                let linear = base.diagonal[k] * self.y[at]
                    + before.map_or(0.0, |b| base.off[b]) * near(before)
                    + base.off[k] * near(after);
                let slope = if base.held[k] { 0.0 } else { -self.slope[at] - linear };
                self.slope[at] = slope;
                let below = before.map_or(0.0, |b| base.below[b] * self.half[b * LANES + l]);
                let half = (slope - below) / base.l[k];
                self.half[at] = half;
                self.square[l] += half * half;
                self.psi[l] += 0.5 * (xi[at] * xi[at] - self.y[at] * linear);
            }
        }
    }

    /// What the gradient is multiplied with so that the gradient's part of a move is at most twice the noise's.
    fn cuts(&self, size: f64) -> [f64; LANES] {
        let most = (8.0 / size).sqrt();
        self.square.map(|q| if q.sqrt() > most { most / q.sqrt() } else { 1.0 })
    }

    /// ρ(this, other).
    fn rho(&self, other: &State, size: f64) -> [f64; LANES] {
        let cut = self.cuts(size);
        let mut rho = self.psi;
        for (k, (u, v)) in self.y.iter().zip(&other.y).enumerate() {
            rho[k % LANES] += cut[k % LANES] * self.slope[k] * (0.5 * (v - u) + 0.25 * size * (u + v));
        }
        for l in 0..LANES {
            rho[l] += 0.25 * size * cut[l] * cut[l] * self.square[l];
        }
        rho
    }
}

/// The walkers of a block in path coordinates.
pub struct Langevin<'a> {
    base: &'a Base,
    now: State,
    trial: State,
    /// Whether `now` is that of the walkers.
    known: bool,
    x: Vec<f64>,
}

impl<'a> Langevin<'a> {
    pub fn new(chain: &Chain, base: &'a Base) -> Self {
        let state = || State::new(chain.block());
        Langevin { base, now: state(), trial: state(), known: false, x: vec![0.0; chain.block()] }
    }

    /// A move of all walkers (ξ, Λ) with the white noise `w`: their trial (ξ', Λ'); returns log α.
    pub fn propose(
        &mut self,
        target: &Target,
        size: f64,
        walkers: (&[f64], &[f64]),
        w: &[f64],
        trial: (&mut [f64], &mut [f64]),
        scratch: &mut Scratch,
    ) -> [f64; LANES] {
        let (base, rows) = (self.base, target.chain.dimension);
        let (xi, gain) = trial;
        if !self.known {
            target.guide.simulate(target.chain, walkers.0, &mut self.x, gain, scratch);
            self.now.weigh(target, base, &self.x, xi, gain, scratch);
            self.known = true;
        }
        // Lᵀ v = −2δ L⁻¹∇Ψ + √(8δ) w, then y' = ((2−δ) y + v)/(2+δ); v in place of y'.
        let (cut, noise) = (self.now.cuts(size), (8.0 * size).sqrt());
        let next = &mut self.trial.y;
        for k in (0..base.mean.len()).rev() {
            for l in 0..LANES {
                let at = k * LANES + l;
                let after = at + rows * LANES;
                let above = if after < next.len() { base.below[k] * next[after] } else { 0.0 };
                let right = if base.held[k] { 0.0 } else { noise * w[at] - 2.0 * size * cut[l] * self.now.half[at] };
                next[at] = (right - above) / base.l[k];
            }
        }
        for (k, mean) in base.mean.iter().enumerate() {
            for at in k * LANES..(k + 1) * LANES {
                let y = ((2.0 - size) * self.now.y[at] + next[at]) / (2.0 + size);
                self.x[at] = mean + y;
            }
        }
        self.trial.weigh(target, base, &self.x, xi, gain, scratch);
        let (there, back) = (self.now.rho(&self.trial, size), self.trial.rho(&self.now, size));
        std::array::from_fn(|l| if walkers.1[l] == f64::NEG_INFINITY { f64::INFINITY } else { there[l] - back[l] })
    }

    /// The walker of a lane takes its trial.
    pub fn accept(&mut self, l: usize) {
        for k in (l..self.x.len()).step_by(LANES) {
            self.now.y[k] = self.trial.y[k];
            self.now.slope[k] = self.trial.slope[k];
            self.now.half[k] = self.trial.half[k];
        }
        (self.now.psi[l], self.now.square[l]) = (self.trial.psi[l], self.trial.square[l]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::paths::exact::chain;
    use crate::solvers::paths::guide::linear_twist;

    #[test]
    fn the_gradient_in_path_coordinates_is_its_differences_to_1e_5() {
        let chain = chain(
            r#"{"prior": {"kind": "muller_brown"}, "noise": 5.0, "start": [-0.5, 1.4], "start_deviation": [0.1, 0.0],
                "time_step": 0.001, "steps": 4, "observations": [{"step": 4, "value": [-0.4, 1.2], "deviation": [0.1]},
                {"step": 2, "value": [-0.45], "deviation": [0.2], "coordinates": [0]}]}"#,
        );
        for guide in [Guide::default(), Guide::twisted(linear_twist(&chain))] {
            let s = 0.3;
            let mut scratch = Scratch::new(&chain);
            let xi: Vec<f64> = (0..chain.block()).map(|k| ((k * 7919 % 101) as f64 - 50.0) / 40.0).collect();
            let (mut x, mut gain, mut other) = (vec![0.0; chain.block()], [0.0; LANES], vec![0.0; chain.block()]);
            guide.simulate(&chain, &xi, &mut x, &mut gain, &mut scratch);
            let mut slope = x.clone();
            let mut again = [0.0; LANES];
            guide.density(&chain, s, &x, &mut other, &mut again, &mut slope, &mut scratch);
            // The noise and the log-weight of a path are those it was made with (the fixed start has none).
            for k in (0..chain.block()).filter(|k| k / LANES != 1) {
                assert!((other[k] - xi[k]).abs() < 1e-9, "{k}: {} {}", other[k], xi[k]);
            }
            assert!((0..LANES).all(|l| (gain[l] - again[l]).abs() < 1e-8 * (1.0 + gain[l].abs())));
            let mut unused = slope.clone();
            for k in (0..chain.block()).filter(|k| k / LANES != 1).step_by(37) {
                let mut at = |d: f64| {
                    let mut moved = x.clone();
                    moved[k] += d;
                    guide.density(&chain, s, &moved, &mut other, &mut again, &mut unused, &mut scratch);
                    let l = k % LANES;
                    let norm: f64 = other.iter().skip(l).step_by(LANES).map(|z| z * z).sum();
                    s * again[l] - 0.5 * norm
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                let off = (difference - slope[k]).abs();
                assert!(off < 1e-5 * (1.0 + slope[k].abs()), "{k}: {difference} {}", slope[k]);
            }
        }
    }
}
