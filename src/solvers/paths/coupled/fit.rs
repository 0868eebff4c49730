//! The backward fit of a coupled quadratic twist: least squares of a quadratic form, time after time, on
//!
//!     log E[ψ_{j+1}(X_{j+1}) | X_j = x] + what the present costs besides its observations,
//!
//! the expectation in closed form. Where the drift is linear the form fits exactly; elsewhere it is the best one on the
//! paths of a pass, and a further pass draws its paths with the twist of the one before.

use super::super::bumps::accumulate;
use super::super::chain::{Chain, LANES, Other};
use super::super::ensemble::Context;
use super::super::guide::Guide;
use super::super::linear::solve;
use super::super::methods::importance;
use super::{CoupledTwist, Form, Fused, deviations};
use crate::error::{Error, Result};
use crate::math::dense::cholesky;
use crate::math::rng::Stream;
use crate::state::{Name, Walk};
use std::sync::Arc;

/// Coordinates at most: a fit has 1 + d + d(d + 1)/2 features.
const MOST: usize = 16;
/// How far below 0 the curvature of −log ψ may be by rounding, in units of the kernel's.
const ROUNDING: f64 = 1e-9;

pub struct Fitting {
    passes: u64,
    done: u64,
    blocks: usize,
    /// log ψ_j: A in rows, c and d, one time after the other.
    forms: Vec<f64>,
    /// Root mean square of the last pass's residuals over that of its targets.
    pub residual: f64,
    pub evaluations: f64,
}

/// Means and deviations of a coordinate of the paths.
type Scale = (f64, f64);

impl Fitting {
    /// # Errors
    /// (key, message).
    pub fn new(chain: &Chain, passes: u64, paths: usize) -> std::result::Result<Fitting, (&'static str, String)> {
        let d = chain.dimension;
        if d > MOST {
            return Err((
                "kind",
                format!("quadratic twists are fitted in at most {MOST} coordinates; the start has {d}"),
            ));
        }
        if !chain.constant_noise() {
            return Err(("kind", "quadratic twists need noise that does not depend on the state".into()));
        }
        let forms = vec![0.0; (chain.steps + 1) * (d * d + d + 1)];
        Ok(Fitting { passes, done: 0, blocks: paths.div_ceil(LANES), forms, residual: f64::NAN, evaluations: 0.0 })
    }

    pub fn share_done(&self) -> f64 {
        self.done as f64 / self.passes as f64
    }

    /// The guide of what was fitted; `None` before the first pass.
    pub fn guide(&self, chain: &Chain) -> Option<Guide> {
        let d = chain.dimension;
        let form = |f: &[f64]| Form { a: f[..d * d].to_vec(), c: f[d * d..d * d + d].to_vec(), d: f[d * d + d] };
        let psi: Vec<Form> = self.forms.chunks_exact(d * d + d + 1).map(form).collect();
        let coupled = if self.done > 0 { CoupledTwist::new(chain, &psi) } else { None };
        coupled.map(|coupled| Guide { coupled: Some(Arc::new(coupled)), ..Guide::default() })
    }

    /// One pass, on paths of `guide`; `true` after the last. Collective.
    pub fn pass(&mut self, context: &Context, guide: &Guide, round: u32) -> Result<bool> {
        if self.done >= self.passes {
            return Ok(true);
        }
        let training = Context { blocks: self.blocks, ..*context };
        let (chain, d, rows) = (context.chain, context.chain.dimension, context.chain.rows());
        let drawn = importance::sample(&training, guide, Stream::PathsTrain, round)?;
        let first = training.mine().start;
        let paths = |block: usize, j: usize| &drawn.paths.block(block - first)[j * rows..(j + 1) * rows];
        let count = training.paths() as f64;
        let scales = |j: usize| -> Vec<Scale> {
            let sums = training.ranks.sum(training.blocks, d, &|b, out| {
                out.iter_mut().zip(paths(b, j).chunks_exact(LANES)).for_each(|(out, x)| *out += x.iter().sum::<f64>());
            });
            let means: Vec<f64> = sums.iter().map(|s| s / count).collect();
            let squares = training.ranks.sum(training.blocks, d, &|b, out| {
                for ((out, x), m) in out.iter_mut().zip(paths(b, j).chunks_exact(LANES)).zip(&means) {
                    *out += x.iter().map(|x| (x - m) * (x - m)).sum::<f64>();
                }
            });
            means.iter().zip(&squares).map(|(m, s)| (*m, if *s > 0.0 { (s / count).sqrt() } else { 1.0 })).collect()
        };
        let p = 1 + d + d * (d + 1) / 2;
        let mut psi = vec![Form::zero(d).plus(&chain.quadratics[chain.steps], 1.0)];
        let (mut left, mut spread) = (0.0, 0.0);
        for j in (0..chain.steps).rev() {
            if j % 8 == 0 {
                context.check()?;
            }
            let noise = deviations(chain, j + 1).expect("noise that does not depend on the state");
            let Some(Fused { ahead, .. }) = Fused::new(&psi[psi.len() - 1], &noise) else {
                let message =
                    format!("the quadratic twist at time {} left the numbers' range: reduce problem.time_step", j + 1);
                return Err(Error::Numerical { step: context.step, message });
            };
            let scale = scales(j);
            let sums = training.ranks.sum(training.blocks, p * p + p + 2, &|b, out| {
                let x = paths(b, j);
                let (mut mean, mut target) = (vec![0.0; rows], [0.0; LANES]);
                chain.mean(j + 1, x, &mut mean);
                ahead.add(&mean, &mut target);
                for other in &chain.others[j] {
                    // Balls are left to the weights.
                    if let Other::Functional { of, variance, factor } = other {
                        of.functional(*variance, -factor, x, &mut target, None);
                    }
                }
                accumulate(chain.level, p, &features(x, &scale), &target, out);
            });
            let (g, rest) = sums.split_at(p * p);
            let theta = solve(g, &rest[..p], 0.0);
            let explained: f64 = theta.iter().zip(rest).map(|(t, r)| t * r).sum();
            left += (rest[p + 1] - explained).max(0.0);
            spread += (rest[p + 1] - rest[p] * rest[p] / count).max(0.0);
            let form = unscaled(&theta, &scale).plus(&chain.quadratics[j], 1.0);
            let deviation = deviations(chain, j).expect("noise that does not depend on the state");
            psi.push(tamed(form, &deviation, &scale.iter().map(|s| s.0).collect::<Vec<_>>()));
        }
        psi.reverse();
        self.forms = psi.into_iter().flat_map(|f| f.a.into_iter().chain(f.c).chain([f.d])).collect();
        self.residual = (left / spread.max(f64::MIN_POSITIVE)).sqrt();
        self.evaluations += drawn.evaluations + count * chain.steps as f64;
        self.done += 1;
        Ok(self.done >= self.passes)
    }

    pub fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&FORMS, &mut self.forms)?;
        walk.scalar(&PASSES, (&mut self.done).into())?;
        let mut numbers = vec![self.residual, self.evaluations];
        walk.scalar(&NUMBERS, (&mut numbers).into())?;
        (self.residual, self.evaluations) = (numbers[0], numbers[1]);
        Ok(())
    }
}

/// 1, z_i and z_i z_k (k ≤ i) of the rows of a block: [feature][LANES], z in units of its scale.
fn features(x: &[f64], scale: &[Scale]) -> Vec<f64> {
    let d = scale.len();
    let z: Vec<f64> = (0..d * LANES).map(|k| (x[k] - scale[k / LANES].0) / scale[k / LANES].1).collect();
    let row = |i: usize| &z[i * LANES..(i + 1) * LANES];
    let mut phi = vec![1.0; LANES];
    phi.extend_from_slice(&z);
    for i in 0..d {
        for k in 0..=i {
            phi.extend(row(i).iter().zip(row(k)).map(|(a, b)| a * b));
        }
    }
    phi
}

/// The form in x of coefficients of [`features`].
fn unscaled(theta: &[f64], scale: &[Scale]) -> Form {
    let d = scale.len();
    let mut form = Form::zero(d);
    let mut squares = theta[1 + d..].iter();
    for i in 0..d {
        for k in 0..=i {
            let t = squares.next().expect("a coefficient per pair") / (scale[i].1 * scale[k].1);
            let a = if i == k { -2.0 * t } else { -t };
            (form.a[i * d + k], form.a[k * d + i]) = (a, a);
        }
    }
    form.d = theta[0];
    for i in 0..d {
        let (m, s) = scale[i];
        let curved: f64 = (0..d).map(|k| form.a[i * d + k] * scale[k].0).sum();
        form.c[i] = theta[1 + i] / s + curved;
        form.d -= (theta[1 + i] / s + 0.5 * curved) * m;
    }
    form
}

/// The form, with so much curvature about the paths' `centre` taken off that no twisted kernel is wider than the kernel: log ψ
/// is concave. (The form of a posterior with several modes is not, and twice as wide a kernel at each time runs away backwards
/// in time.) About another point it would change the slope where the paths are.
fn tamed(mut form: Form, deviation: &[f64], centre: &[f64]) -> Form {
    let d = deviation.len();
    let widest = deviation.iter().copied().fold(0.0, f64::max);
    let mut add = 1e-3 / (widest * widest).max(f64::MIN_POSITIVE);
    loop {
        let curved: Vec<f64> = (0..d * d)
            .map(|k| {
                let one = if k / d == k % d { ROUNDING } else { 0.0 };
                deviation[k / d] * form.a[k] * deviation[k % d] + one
            })
            .collect();
        if cholesky(&curved, d).is_ok() || !form.a.iter().all(|a| a.is_finite()) {
            return form;
        }
        for (i, m) in centre.iter().enumerate() {
            form.a[i * d + i] += add;
            form.c[i] += add * m;
            form.d -= 0.5 * add * m * m;
        }
        add *= 2.0;
    }
}

const FORMS: Name = Name {
    name: "twist_forms",
    units: "1",
    meaning: "quadratic twist: A in rows, c and d, one time after the other",
    axes: &["twist_value"],
};
/// Passes of a fit, of a quadratic twist or a learned one.
pub const PASSES: Name =
    Name { name: "twist_passes", units: "1", meaning: "passes of the fit of the twist", axes: &[] };
/// Its residual and what it cost.
pub const NUMBERS: Name = Name {
    name: "twist_numbers",
    units: "1",
    meaning: "residual and drift evaluations of the fit",
    axes: &["twist_number"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_of_scaled_features_are_the_same_form_in_x_to_1e_12() {
        let scale = [(0.4, 0.1), (-1.0, 2.0)];
        let theta = [0.3, -1.0, 0.5, -0.7, 0.2, -0.1];
        let x: Vec<f64> = (0..2 * LANES).map(|k| (k * 71 % 97) as f64 / 40.0 - 1.2).collect();
        let phi = features(&x, &scale);
        let mut value = [0.0; LANES];
        unscaled(&theta, &scale).add(&x, &mut value);
        for (l, value) in value.iter().enumerate() {
            let sum: f64 = theta.iter().enumerate().map(|(k, t)| t * phi[k * LANES + l]).sum();
            assert!((value - sum).abs() < 1e-12 * (1.0 + sum.abs()), "{value} {sum}");
        }
    }
}
