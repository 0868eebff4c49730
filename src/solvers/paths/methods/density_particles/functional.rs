//! The functional of a curve of clouds, cloud by cloud, with its slopes.
//!
//! With |v − b + (σ²/2)∇log ρ|² multiplied out, the mixed terms are E v·∇log ρ, the rate of Ent(ρ) = ∫ρ log ρ, and
//! −E b·∇log ρ = E div b, so that
//!
//!     F = CE(ρ_0) + ½ (Ent ρ_0 + Ent ρ_n) + Σ_slabs E|y − x − hb|²/(2σ²h) + Σ_k ω_k h [(σ²/8) I(ρ_k) + ½ E div b] + Σ_k E J_k
//!
//! CE: cross-entropy with the start's law, ω: trapezoidal weights, (x, y) the coupled particles of two times, b in their
//! middle, I = Σ_c E(∂_c log ρ)² Fisher's information. ρ is the kernel estimate of bandwidth β: log ρ is taken at the
//! particles (its bias is of the order β⁴ for a Gaussian), the score at x ± √d β e_c, the points of a cubature of the smoothed
//! law: N(0, s²) then has I_c = 1/(s² + β²). F takes I_c/(1 − β²I_c) for it, which is 1/s² again: the smoothed information
//! pushes a cloud apart too weakly, so that clouds were narrower than the marginals and their paths missed the tails.

use crate::enter;
use crate::math::elementary::ln;
use crate::math::simd::Level;
use crate::math::simd::scalar::{Scalar, dot, total};
use crate::solvers::paths::chain::{Chain, LANES};

/// Step of the differences that give the slope of div b.
const DIFFERENCE: f64 = 1e-4;
/// Least share of 1/β² that is left beside a smoothed information: below, points are so far apart that it says nothing.
const LEAST_LEFT: f64 = 0.05;

/// What a cloud's functional is made of. Clouds are [coordinate][particle], their number a multiple of [`LANES`].
pub struct Curve<'a> {
    pub chain: &'a Chain,
    /// The time of the first cloud: 1 where paths start at one point.
    pub first: usize,
    /// Bandwidth per cloud.
    pub bandwidths: &'a [f64],
}

/// e_j = exp(−|x_j − y|²/(2β²)) of all particles; their sum.
#[inline(always)]
fn kernels<S: Scalar>(x: &[f64], y: &[f64], half: f64, e: &mut [f64]) -> f64 {
    let n = e.len();
    e.fill(0.0);
    for (x, y) in x.chunks_exact(n).zip(y) {
        for j in 0..n {
            e[j] = S::mul_add(x[j] - y, x[j] - y, e[j]);
        }
    }
    for e in e.iter_mut() {
        *e = S::exp(-half * *e);
    }
    total(e)
}

/// out_j += a (x_j − y).
#[inline(always)]
fn add_offsets<S: Scalar>(a: f64, x: &[f64], y: f64, out: &mut [f64]) {
    let x = &x[..out.len()];
    for j in 0..out.len() {
        out[j] = S::mul_add(a, x[j] - y, out[j]);
    }
}

/// part_j = factor · e_j (t − (x_j − y) q_j).
#[inline(always)]
fn parts_of_slope([factor, t, y]: [f64; 3], e: &[f64], x: &[f64], q: &[f64], part: &mut [f64]) {
    let n = part.len();
    let (e, x, q) = (&e[..n], &x[..n], &q[..n]);
    for j in 0..n {
        part[j] = factor * e[j] * (t - (x[j] - y) * q[j]);
    }
}

/// Mean of log ρ over the particles; slope += N times its gradient.
pub fn entropy(level: Level, x: &[f64], d: usize, beta: f64, mut slope: Option<&mut [f64]>) -> f64 {
    let n = x.len() / d;
    let inverse = 1.0 / (beta * beta);
    let mut e = vec![0.0; n];
    let mut y = vec![0.0; d];
    let mut log = 0.0;
    enter!(level, S => for i in 0..n {
        (0..d).for_each(|c| y[c] = x[c * n + i]);
        let sum = kernels::<S>(x, &y, 0.5 * inverse, &mut e);
        log += ln(sum);
        if let Some(slope) = slope.as_deref_mut() {
            for c in 0..d {
                let (x, slope) = (&x[c * n..(c + 1) * n], &mut slope[c * n..(c + 1) * n]);
                slope[i] += (dot::<S>(&e, x) / sum - y[c]) * inverse;
                let factor = inverse / sum;
                for j in 0..n {
                    slope[j] -= factor * e[j] * (x[j] - y[c]);
                }
            }
        }
    });
    log / n as f64 - ln(n as f64) - 0.5 * d as f64 * ln(std::f64::consts::TAU * beta * beta)
}

/// Fisher's information I_c of the smoothed law, per coordinate, into `information`; slope += N times the gradient of Σ_c κ_c I_c
/// where κ and slope are given.
pub fn fisher(level: Level, x: &[f64], beta: f64, information: &mut [f64], slope: Option<(&[f64], &mut [f64])>) {
    let d = information.len();
    let n = x.len() / d;
    let inverse = 1.0 / (beta * beta);
    let reach = (d as f64).sqrt() * beta;
    let (mut e, mut q, mut part) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let (mut y, mut s, mut t) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
    let mut slope = slope;
    information.fill(0.0);
    enter!(level, S => for i in 0..n {
        // Lists of one length that are known to be apart: the loops over them become vectors.
        let (e, q, part) = (&mut e[..n], &mut q[..n], &mut part[..n]);
        for k in 0..2 * d {
            (0..d).for_each(|c| y[c] = x[c * n + i]);
            y[k / 2] += if k % 2 == 0 { reach } else { -reach };
            let sum = kernels::<S>(x, &y, 0.5 * inverse, e);
            for c in 0..d {
                s[c] = (dot::<S>(e, &x[c * n..(c + 1) * n]) / sum - y[c]) * inverse;
                information[c] += s[c] * s[c];
            }
            let Some((kappa, slope)) = &mut slope else { continue };
            // ∂s/∂x_j = w_j/β² [1 − (δ_j − β²s) δ_jᵀ/β²], δ_j = x_j − y; and minus the sum of these for y.
            let mut square = 0.0;
            for c in 0..d {
                t[c] = kappa[c] * s[c];
                square += t[c] * s[c];
            }
            q.fill(-square);
            for c in 0..d {
                add_offsets::<S>(t[c] * inverse, &x[c * n..(c + 1) * n], y[c], q);
            }
            let factor = inverse / (sum * d as f64);
            for c in 0..d {
                let (x, slope) = (&x[c * n..(c + 1) * n], &mut slope[c * n..(c + 1) * n]);
                parts_of_slope([factor, t[c], y[c]], e, x, q, part);
                for j in 0..n {
                    slope[j] += part[j];
                }
                slope[i] -= total(part);
            }
        }
    });
    information.iter_mut().for_each(|i| *i /= (2 * d * n) as f64);
}

/// What the smoothed informations say of the law itself; slope += factor · N times its gradient.
pub fn sharpened(level: Level, x: &[f64], d: usize, beta: f64, factor: f64, slope: Option<&mut [f64]>) -> f64 {
    let mut information = vec![0.0; d];
    fisher(level, x, beta, &mut information, None);
    let left = |i: &f64| (1.0 - beta * beta * i).max(LEAST_LEFT);
    let value = information.iter().map(|i| i / left(i)).sum();
    if let Some(slope) = slope {
        let kappa: Vec<f64> = information.iter().map(|i| factor / (left(i) * left(i))).collect();
        fisher(level, x, beta, &mut information, Some((&kappa, slope)));
    }
    value
}

impl Curve<'_> {
    /// Variance of transition `j`'s noise.
    pub fn variance(&self, j: usize) -> f64 {
        let s = self.chain.deviation(j.max(1), 0).expect("noise that does not depend on the state");
        s * s
    }

    /// The Gaussian law that the first cloud's is held against: means and deviations.
    pub fn start(&self) -> (Vec<f64>, Vec<f64>) {
        let chain = self.chain;
        if self.first == 0 {
            return (chain.start.mean.clone(), chain.start.deviation.clone());
        }
        let mut mean = vec![0.0; chain.dimension];
        chain.prior.mean(0.0, chain.time_step, &chain.start.mean, &mut mean);
        (mean, vec![self.variance(1).sqrt(); chain.dimension])
    }

    /// What −J of the fixed start adds to F.
    pub fn constant(&self) -> f64 {
        if self.first == 0 {
            return 0.0;
        }
        let (mut x, mut value) = (vec![0.0; self.chain.rows()], [0.0; LANES]);
        self.chain.mean(0, &[], &mut x);
        self.chain.log_potential(0, &x, &mut value);
        -value[0]
    }

    /// Transport from the cloud `x` before transition `j` to `y` after it: E|y − x − hb|²/(2σ²h); slopes += N times its
    /// gradients.
    pub fn transport(&self, j: usize, x: &[f64], y: &[f64], by_x: Option<&mut [f64]>, by_y: Option<&mut [f64]>) -> f64 {
        let (chain, h, v) = (self.chain, self.chain.time_step, self.variance(j));
        let t = chain.time(j - 1) + 0.5 * h;
        let middle: Vec<f64> = x.iter().zip(y).map(|(x, y)| 0.5 * (x + y)).collect();
        let (mut rest, mut pulled) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        chain.prior.drift(t, &middle, &mut rest);
        for ((r, x), y) in rest.iter_mut().zip(x).zip(y) {
            *r = y - x - h * *r;
        }
        if by_x.is_some() || by_y.is_some() {
            chain.prior.pull(t, &middle, &rest, &mut pulled);
        }
        for (slope, sign) in [(by_x, -1.0), (by_y, 1.0)] {
            if let Some(slope) = slope {
                for ((s, r), p) in slope.iter_mut().zip(&rest).zip(&pulled) {
                    *s += (sign * r - 0.5 * h * p) / v;
                }
            }
        }
        let n = x.len() / chain.dimension;
        rest.iter().map(|r| r * r).sum::<f64>() / (2.0 * v * n as f64)
    }

    /// The divergence of the drift at the particles.
    fn divergence(&self, t: f64, x: &[f64]) -> Vec<f64> {
        let d = self.chain.dimension;
        let n = x.len() / d;
        let (mut along, mut pulled, mut sum) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; n]);
        for c in 0..d {
            along.fill(0.0);
            along[c * n..(c + 1) * n].fill(1.0);
            self.chain.prior.pull(t, x, &along, &mut pulled);
            sum.iter_mut().zip(&pulled[c * n..]).for_each(|(s, p)| *s += p);
        }
        sum
    }

    /// What cloud `k` of `of` adds to F without the transports; slope += N times its gradient.
    pub fn own(&self, k: usize, of: usize, x: &[f64], mut slope: Option<&mut [f64]>) -> f64 {
        let (chain, d, j) = (self.chain, self.chain.dimension, self.first + k);
        let (n, h, beta, level) = (x.len() / d, chain.time_step, self.bandwidths[k], chain.level);
        let mut value = 0.0;
        if k == 0 {
            let (mean, deviation) = self.start();
            for c in 0..d {
                let (m, a) = (mean[c], 1.0 / (deviation[c] * deviation[c]));
                let row = &x[c * n..(c + 1) * n];
                value += row.iter().map(|x| 0.5 * a * (x - m) * (x - m)).sum::<f64>() / n as f64;
                value += 0.5 * ln(std::f64::consts::TAU / a);
                if let Some(slope) = slope.as_deref_mut() {
                    slope[c * n..].iter_mut().zip(row).for_each(|(s, x)| *s += a * (x - m));
                }
            }
        }
        let ends = usize::from(k == 0) + usize::from(k + 1 == of);
        if ends > 0 {
            let mut own = vec![0.0; x.len()];
            let half = 0.5 * ends as f64;
            value += half * entropy(level, x, d, beta, slope.is_some().then_some(&mut own[..]));
            if let Some(slope) = slope.as_deref_mut() {
                slope.iter_mut().zip(&own).for_each(|(s, o)| *s += half * o);
            }
        }
        let weight = 1.0 - 0.5 * ends as f64;
        if weight > 0.0 {
            let factor = weight * self.variance(j) / 8.0;
            value += factor * sharpened(level, x, d, beta, factor, slope.as_deref_mut());
            let (t, half) = (chain.time(j), 0.5 * weight * h);
            value += half * self.divergence(t, x).iter().sum::<f64>() / n as f64;
            if let Some(slope) = slope.as_deref_mut() {
                for c in 0..d {
                    let moved = |by: f64| {
                        let mut x = x.to_vec();
                        x[c * n..(c + 1) * n].iter_mut().for_each(|x| *x += by);
                        self.divergence(t, &x)
                    };
                    let (up, down) = (moved(DIFFERENCE), moved(-DIFFERENCE));
                    for ((s, up), down) in slope[c * n..].iter_mut().zip(&up).zip(&down) {
                        *s += half * (up - down) / (2.0 * DIFFERENCE);
                    }
                }
            }
        }
        // E J_j, block by block.
        for from in (0..n).step_by(LANES) {
            let rows: Vec<f64> = (0..d).flat_map(|c| x[c * n + from..c * n + from + LANES].iter().copied()).collect();
            let (mut gain, mut pull) = ([0.0; LANES], vec![0.0; chain.rows()]);
            chain.log_potential(j, &rows, &mut gain);
            value -= gain.iter().sum::<f64>() / n as f64;
            if let Some(slope) = slope.as_deref_mut() {
                chain.log_potential_gradient(j, &rows, &mut pull);
                for (c, pull) in pull.chunks_exact(LANES).enumerate() {
                    slope[c * n + from..].iter_mut().zip(pull).for_each(|(s, p)| *s -= p);
                }
            }
        }
        value
    }

    /// F of all clouds.
    pub fn value(&self, clouds: &[Vec<f64>]) -> f64 {
        let own = |(k, x): (usize, &Vec<f64>)| self.own(k, clouds.len(), x, None);
        let slab = |k: usize| self.transport(self.first + k, &clouds[k - 1], &clouds[k], None, None);
        let slabs: f64 = (1..clouds.len()).map(slab).sum();
        self.constant() + clouds.iter().enumerate().map(own).sum::<f64>() + slabs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::paths::exact::chain;

    /// Some points that are nowhere special.
    fn points(values: usize, seed: usize) -> Vec<f64> {
        (0..values).map(|k| ((k + seed) * 7919 % 1009) as f64 / 504.5 - 1.0).collect()
    }

    #[test]
    fn slopes_of_entropy_information_and_all_of_f_are_their_differences_to_1e_6() {
        let chain = chain(
            r#"{"prior": {"kind": "muller_brown"}, "noise": 5.0, "start": [-0.5, 1.4], "time_step": 0.001, "steps": 3,
                "observations": [{"step": 3, "value": [-0.4, 1.2], "deviation": [0.1]}]}"#,
        );
        let bandwidths = [0.3, 0.25, 0.2];
        let curve = Curve { chain: &chain, first: 1, bandwidths: &bandwidths };
        let clouds: Vec<Vec<f64>> = (0..3)
            .map(|k| points(128, 17 * k).iter().enumerate().map(|(i, z)| [-0.5, 1.3][i / 64] + 0.3 * z).collect())
            .collect();
        for k in 0..3 {
            let mut slope = vec![0.0; 128];
            curve.own(k, 3, &clouds[k], Some(&mut slope));
            if k > 0 {
                curve.transport(1 + k, &clouds[k - 1], &clouds[k], None, Some(&mut slope));
            }
            if k < 2 {
                curve.transport(2 + k, &clouds[k], &clouds[k + 1], Some(&mut slope), None);
            }
            for i in (0..128).step_by(13) {
                let at = |by: f64| {
                    let mut clouds = clouds.clone();
                    clouds[k][i] += by;
                    curve.value(&clouds)
                };
                let slow = 64.0 * (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((slow - slope[i]).abs() < 1e-5 * (1.0 + slow.abs()), "cloud {k}, {i}: {slow} {}", slope[i]);
            }
        }
    }

    #[test]
    fn a_normal_cloud_has_the_information_of_its_smoothed_law_to_2_in_100_and_its_entropy() {
        // Quantiles of N(0, 0.8²) by bisection.
        let (n, s, beta) = (256, 0.8, 0.25);
        let quantile = |k: usize| {
            let (mut low, mut high) = (-6.0f64, 6.0f64);
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
                if below < (k as f64 + 0.5) / n as f64 { low = middle } else { high = middle }
            }
            s * low
        };
        let x: Vec<f64> = (0..n).map(quantile).collect();
        let mut information = [0.0];
        fisher(Level::detect(), &x, beta, &mut information, None);
        let truth = 1.0 / (s * s + beta * beta);
        assert!((information[0] / truth - 1.0).abs() < 0.02, "{information:?} {truth}");
        let information = sharpened(Level::detect(), &x, 1, beta, 1.0, None);
        assert!((information * s * s - 1.0).abs() < 0.02, "{information}");
        let v = s * s + beta * beta;
        let truth = -0.5 * ln(std::f64::consts::TAU * v) - 0.5 * s * s / v;
        let entropy = entropy(Level::detect(), &x, 1, beta, None);
        assert!((entropy - truth).abs() < 0.01, "{entropy} {truth}");
    }
}
