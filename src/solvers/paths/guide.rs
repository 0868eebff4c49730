//! Guided transitions: the chain's kernel N(m, S) twisted by a function ψ_j of the next state, exactly where log ψ is
//! quadratic, and shifted by a correction of the drift.
//!
//! With g = 1/(1 + S a) per coordinate, the twisted kernel of log ψ = −½ a x² + c x + d is N(g (m + S c), S g), and
//!
//!     log p(ψ)(m) = ½ log g − ½ g a m² + g c m + ½ g S c² + d                      [Guarniero2017; Heng2020]
//!
//! which does not cancel as S → 0 ([`coupled`](super::coupled) has the same for twists that couple coordinates). A path's log-weight is Σ_j w_j with
//!
//!     w_j = (r_{j−1} − log ψ_{j−1})(x_{j−1}) + log p(ψ_j)(x_{j−1}) + shift,   and (r_n − log ψ_n)(x_n) at the end,
//!
//! r = −J, r_{−1} = ψ_{−1} = 0. With the optimal ψ every w_j with j ≥ 1 vanishes. A shift Δ of the mean (control u: Δ = uh; a twist
//! with a part that is not quadratic: Δ = S∇) costs log N(x; m, S) − log N(x; m + Δ, S) = −Δ·(x − m − Δ)/S − ½ Δ²/S.

use std::sync::Arc;

use super::chain::{Chain, LANES, Quadratic};
use super::coupled::CoupledTwist;
use crate::math::elementary::ln;

/// A correction of the drift, as learned: linear bases here; a network would be another.
pub trait Control: Send + Sync {
    /// u += correction of the drift in transition `j` (from time j − 1), for the rows `x` of a block.
    fn add(&self, j: usize, x: &[f64], u: &mut [f64]);
}

/// The part of a twist that is not quadratic.
pub trait Bump: Send + Sync {
    /// value += part of log ψ_j(x) per path; gradient += its gradient where asked.
    fn add(&self, j: usize, x: &[f64], value: &mut [f64], gradient: Option<&mut [f64]>);
}

#[derive(Clone, Default)]
pub struct Guide {
    /// log ψ_j per time and coordinate, without any other part.
    pub twist: Option<Arc<Vec<Vec<Quadratic>>>>,
    /// In its place: one that couples the coordinates. It goes with no bump and no control.
    pub coupled: Option<Arc<CoupledTwist>>,
    pub bump: Option<Arc<dyn Bump>>,
    pub control: Option<Arc<dyn Control>>,
}

/// Largest shift of a transition by a bump, in deviations of its noise.
const MOST_PUSH: f64 = 3.0;

/// Work space of one thread.
#[derive(Debug, Default, Clone)]
pub struct Scratch {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    shift: Vec<f64>,
    pub value: Vec<f64>,
    pub rows: [Vec<f64>; 3],
}

impl Scratch {
    pub fn new(chain: &Chain) -> Scratch {
        let rows = || vec![0.0; chain.rows()];
        Scratch {
            mean: rows(),
            deviation: rows(),
            shift: rows(),
            value: vec![0.0; LANES],
            rows: [rows(), rows(), rows()],
        }
    }
}

/// The backward recursion of the twist that is exact for a linear drift (Brownian motion's where the chain's is not
/// linear) and the quadratic costs of the chain.
pub fn linear_twist(chain: &Chain) -> Vec<Vec<Quadratic>> {
    let mut twist = vec![vec![Quadratic::default(); chain.dimension]; chain.steps + 1];
    for i in 0..chain.dimension {
        let mut psi = chain.quadratics[chain.steps][i];
        twist[chain.steps][i] = psi;
        for j in (1..=chain.steps).rev() {
            let t = chain.time(j - 1);
            let (slope, offset) = chain.prior.linear(t, i).unwrap_or((0.0, 0.0));
            let (f, o) = (1.0 + chain.time_step * slope, chain.time_step * offset);
            // Noise that depends on the state is taken at the mean of the start.
            let s = chain.deviation(j, i).unwrap_or_else(|| {
                let mut spread = vec![0.0; chain.dimension];
                chain.prior.spreads(t, chain.time_step, &chain.start.mean, &mut spread);
                chain.noise * chain.time_step.sqrt() * spread[i]
            });
            psi = pushed(psi, s * s, f, o).plus(chain.quadratics[j - 1][i]);
            twist[j - 1][i] = psi;
        }
    }
    twist
}

/// log p(ψ)(f x + o) as a function of x.
fn pushed(psi: Quadratic, variance: f64, f: f64, o: f64) -> Quadratic {
    let g = 1.0 / (1.0 + variance * psi.a);
    Quadratic {
        a: f * f * psi.a * g,
        c: f * g * (psi.c - psi.a * o),
        d: psi.d + 0.5 * ln(g) + 0.5 * g * variance * psi.c * psi.c + g * (psi.c - 0.5 * psi.a * o) * o,
    }
}

impl Guide {
    pub fn twisted(twist: Vec<Vec<Quadratic>>) -> Guide {
        Guide { twist: Some(Arc::new(twist)), ..Guide::default() }
    }

    /// The twist that is exact for linear drifts: one that couples the coordinates where the drift does.
    pub fn linear(chain: &Chain) -> Guide {
        let alone = (0..chain.dimension).all(|i| chain.prior.linear(0.0, i).is_some());
        match if alone { None } else { CoupledTwist::linear(chain) } {
            Some(coupled) => Guide { coupled: Some(Arc::new(coupled)), ..Guide::default() },
            None => Guide::twisted(linear_twist(chain)),
        }
    }

    fn has_shift(&self) -> bool {
        self.bump.is_some() || self.control.is_some()
    }

    /// Whether a look ahead is part of the weights before the end.
    pub fn is_twisted(&self) -> bool {
        self.twist.is_some() || self.coupled.is_some() || self.bump.is_some()
    }

    /// value += (r_j − log ψ_j)(x): what a twist promised and the chain did not yet give.
    pub fn settle(&self, chain: &Chain, j: usize, x: &[f64], value: &mut [f64]) {
        if let Some(coupled) = &self.coupled {
            coupled.settle(j, x, value);
            return chain.log_others(j, x, value);
        }
        match &self.twist {
            Some(twist) => {
                for (i, x) in x.chunks_exact(LANES).enumerate() {
                    let (r, psi) = (chain.quadratics[j][i], twist[j][i]);
                    // The difference as one quadratic: equal parts cancel exactly.
                    let rest = Quadratic { a: r.a - psi.a, c: r.c - psi.c, d: r.d - psi.d };
                    if rest != Quadratic::default() {
                        value.iter_mut().zip(x).for_each(|(value, x)| *value += rest.at(*x));
                    }
                }
                chain.log_others(j, x, value);
            }
            None => chain.log_potential(j, x, value),
        }
        if let Some(bump) = &self.bump {
            let mut promised = [0.0; LANES];
            bump.add(j, x, &mut promised, None);
            value.iter_mut().zip(&promised).for_each(|(value, p)| *value -= p);
        }
    }

    /// One transition of a block: x ~ guided kernel from `before` (anything where j = 0) with the noise `xi`;
    /// weight += log p(ψ_j) and the cost of the shift, without [`Self::settle`].
    pub fn advance(
        &self,
        chain: &Chain,
        j: usize,
        before: &[f64],
        xi: &[f64],
        x: &mut [f64],
        weight: &mut [f64],
        scratch: &mut Scratch,
    ) {
        if let Some(coupled) = &self.coupled {
            chain.mean(j, before, &mut scratch.mean);
            return coupled.advance(j, &scratch.mean, xi, x, weight);
        }
        let plain = self.twist.is_none() && !self.has_shift();
        if plain && j > 0 {
            let scale = chain.noise * chain.time_step.sqrt();
            x.copy_from_slice(before);
            chain.prior.advance(chain.time(j - 1), chain.time_step, scale, xi, x);
            return;
        }
        chain.mean(j, before, &mut scratch.mean);
        let constant = j == 0 || chain.constant_noise();
        if !constant {
            chain.deviations(j, before, &mut scratch.deviation);
        }
        let mut shifted = false;
        if let (Some(control), true) = (&self.control, j > 0) {
            scratch.shift.fill(0.0);
            control.add(j, before, &mut scratch.shift);
            scratch.shift.iter_mut().for_each(|u| *u *= chain.time_step);
            shifted = true;
        }
        if let Some(bump) = &self.bump {
            if !shifted {
                scratch.shift.fill(0.0);
            }
            // The slope at the mean of the kernel that the quadratic part has twisted.
            let [slope, at, _] = &mut scratch.rows;
            for i in 0..chain.dimension {
                let psi = self.twist.as_ref().map_or(Quadratic::default(), |t| t[j][i]);
                for l in i * LANES..(i + 1) * LANES {
                    let s = chain.deviation(j, i).unwrap_or(scratch.deviation[l]);
                    at[l] = (scratch.mean[l] + s * s * psi.c) / (1.0 + s * s * psi.a);
                }
            }
            slope.fill(0.0);
            scratch.value.fill(0.0);
            bump.add(j, at, &mut scratch.value, Some(slope));
            for i in 0..chain.dimension {
                let s = chain.deviation(j, i);
                for l in i * LANES..(i + 1) * LANES {
                    let s = s.unwrap_or(scratch.deviation[l]);
                    // A fit is wild where it has seen no path: what it pushes is bounded, and weighed all the same.
                    scratch.shift[l] += (s * s * slope[l]).clamp(-MOST_PUSH * s, MOST_PUSH * s);
                }
            }
            shifted = true;
        }
        for i in 0..chain.dimension {
            let row = i * LANES..(i + 1) * LANES;
            let psi = self.twist.as_ref().map_or(Quadratic::default(), |t| t[j][i]);
            let (mean, xi, x) = (&scratch.mean[row.clone()], &xi[row.clone()], &mut x[row.clone()]);
            let shift = &scratch.shift[row.clone()];
            if let Some(s) = chain.deviation(j, i) {
                let variance = s * s;
                let g = 1.0 / (1.0 + variance * psi.a);
                let (deviation, pull) = (s * g.sqrt(), variance * psi.c);
                let constant = 0.5 * ln(g) + 0.5 * g * variance * psi.c * psi.c + psi.d;
                let (a, c) = (-0.5 * g * psi.a, g * psi.c);
                if shifted && s > 0.0 {
                    let inverse = 1.0 / variance;
                    for l in 0..LANES {
                        let m = mean[l] + shift[l];
                        x[l] = g * (m + pull) + deviation * xi[l];
                        let cost = -shift[l] * (x[l] - m + 0.5 * shift[l]) * inverse;
                        weight[l] += (a * m + c) * m + constant + cost;
                    }
                } else {
                    for l in 0..LANES {
                        let m = mean[l];
                        x[l] = g * (m + pull) + deviation * xi[l];
                        weight[l] += (a * m + c) * m + constant;
                    }
                }
            } else {
                for l in 0..LANES {
                    let s = scratch.deviation[i * LANES + l];
                    let variance = s * s;
                    let g = 1.0 / (1.0 + variance * psi.a);
                    let m = if shifted { mean[l] + shift[l] } else { mean[l] };
                    x[l] = g * (m + variance * psi.c) + s * g.sqrt() * xi[l];
                    let constant = 0.5 * ln(g) + 0.5 * g * variance * psi.c * psi.c + psi.d;
                    weight[l] += g * (psi.c - 0.5 * psi.a * m) * m + constant;
                    if shifted && variance > 0.0 {
                        weight[l] -= shift[l] * (x[l] - m + 0.5 * shift[l]) / variance;
                    }
                }
            }
        }
        // ψ_j(x) itself; `settle` takes it back at the next time.
        if let Some(bump) = &self.bump {
            bump.add(j, x, weight, None);
        }
    }

    /// Paths of a block from its noise, and their log-weights: weight = log dTarget/dProposal + log Z.
    pub fn simulate(&self, chain: &Chain, xi: &[f64], x: &mut [f64], weight: &mut [f64], scratch: &mut Scratch) {
        let rows = chain.rows();
        weight.fill(0.0);
        for j in 0..=chain.steps {
            let (done, rest) = x.split_at_mut(j * rows);
            let before = if j == 0 { &[] } else { &done[(j - 1) * rows..] };
            let now = &mut rest[..rows];
            self.advance(chain, j, before, &xi[j * rows..(j + 1) * rows], now, weight, scratch);
            self.settle(chain, j, now, weight);
        }
    }

    /// What given paths are under a guide without shift, with noise that does not depend on the state: xi = the noise that makes
    /// them in [`Self::simulate`] (0 where a transition has none), gain = Λ, their log-weight there, and
    /// slope = ∇_x(−½|ξ|² + sΛ), the gradient of (1−s) log q + s (log p − J): q the guided chain, p the chain.
    #[allow(clippy::too_many_arguments)]
    pub fn density(
        &self,
        chain: &Chain,
        s: f64,
        x: &[f64],
        xi: &mut [f64],
        gain: &mut [f64],
        slope: &mut [f64],
        scratch: &mut Scratch,
    ) {
        assert!(
            !self.has_shift() && self.coupled.is_none() && chain.constant_noise(),
            "the density of a guide without shift"
        );
        let rows = chain.rows();
        gain.fill(0.0);
        for j in 0..=chain.steps {
            let (done, rest) = x.split_at(j * rows);
            let (before, now) = (if j == 0 { &[] } else { &done[(j - 1) * rows..] }, &rest[..rows]);
            let (earlier, own) = slope.split_at_mut(j * rows);
            let own = &mut own[..rows];
            let [costs, by_mean, pulled] = &mut scratch.rows;
            costs.fill(0.0);
            chain.log_potential_gradient(j, now, costs);
            chain.mean(j, before, &mut scratch.mean);
            for i in 0..chain.dimension {
                let psi = self.twist.as_ref().map_or(Quadratic::default(), |t| t[j][i]);
                let deviation = chain.deviation(j, i).expect("noise that does not depend on the state");
                let variance = deviation * deviation;
                let g = 1.0 / (1.0 + variance * psi.a);
                let pull = variance * psi.c;
                let constant = 0.5 * ln(g) + 0.5 * g * variance * psi.c * psi.c + psi.d;
                let (a, c) = (-0.5 * g * psi.a, g * psi.c);
                let inverse = if deviation > 0.0 { 1.0 / variance } else { 0.0 };
                let to_noise = if deviation > 0.0 { 1.0 / (deviation * g.sqrt()) } else { 0.0 };
                for l in i * LANES..(i + 1) * LANES {
                    let m = scratch.mean[l];
                    let (guided, plain) = (now[l] - g * (m + pull), now[l] - m);
                    xi[j * rows + l] = guided * to_noise;
                    gain[l % LANES] += (a * m + c) * m + constant;
                    own[l] = s * costs[l] - ((1.0 - s) * guided / g + s * plain) * inverse;
                    by_mean[l] = ((1.0 - s) * guided + s * plain) * inverse;
                }
            }
            self.settle(chain, j, now, gain);
            if j > 0 {
                chain.prior.pull(chain.time(j - 1), before, by_mean, pulled);
                let earlier = &mut earlier[(j - 1) * rows..];
                for l in 0..rows {
                    earlier[l] += by_mean[l] + chain.time_step * pulled[l];
                }
            }
        }
    }

    /// gradient = ∇_ξ of the log-weight of [`Self::simulate`] at its paths `x`, for a guide without shift and noise that
    /// does not depend on the state: the adjoint recursion over the transitions.
    pub fn gradient(&self, chain: &Chain, x: &[f64], gradient: &mut [f64], scratch: &mut Scratch) {
        assert!(
            !self.has_shift() && self.coupled.is_none() && chain.constant_noise(),
            "the gradient of a guide without shift"
        );
        let rows = chain.rows();
        // λ = d log-weight / d x_j.
        let mut lambda = vec![0.0; rows];
        for j in (0..=chain.steps).rev() {
            let now = &x[j * rows..(j + 1) * rows];
            chain.log_potential_gradient(j, now, &mut lambda);
            if let Some(twist) = &self.twist {
                for (i, psi) in twist[j].iter().enumerate() {
                    for l in i * LANES..(i + 1) * LANES {
                        lambda[l] -= psi.slope(now[l]);
                    }
                }
            }
            let before = if j == 0 { &[] } else { &x[(j - 1) * rows..j * rows] };
            chain.mean(j, before, &mut scratch.mean);
            for i in 0..chain.dimension {
                let psi = self.twist.as_ref().map_or(Quadratic::default(), |t| t[j][i]);
                let s = chain.deviation(j, i).unwrap_or(0.0);
                let g = 1.0 / (1.0 + s * s * psi.a);
                for l in i * LANES..(i + 1) * LANES {
                    gradient[j * rows + l] = s * g.sqrt() * lambda[l];
                    scratch.rows[0][l] = g * (lambda[l] + psi.c - psi.a * scratch.mean[l]);
                }
            }
            if j > 0 {
                let [mean, pulled, _] = &mut scratch.rows;
                chain.prior.pull(chain.time(j - 1), before, mean, pulled);
                for l in 0..rows {
                    lambda[l] = mean[l] + chain.time_step * pulled[l];
                }
            }
        }
    }
}
