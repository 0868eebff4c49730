//! Quadratic twists that couple coordinates, log ψ(x) = −½ xᵀAx + cᵀx + d with a full symmetric A, and their exact fusion
//! with a kernel N(m, S), S diagonal and the same for all paths [Guarniero2017; Heng2020]:
//!
//!     P = (I + SA)⁻¹,   twisted kernel N(P(m + Sc), PS),   log p(ψ)(m) = −½ log|I + SA| − ½ mᵀAPm + (Pᵀc)ᵀm + ½ cᵀPSc + d
//!
//! P comes from an elimination with pivots, not as I − ΣA, which cancels where an observation is narrower than a step.
//! Draws are P(m + Sc) + D L⁻ᵀ ξ with D = √S and I + DAD = LLᵀ.

pub mod fit;

use super::chain::{Chain, LANES, Quadratic};
use super::linear::inverse;
use crate::math::dense::{apply, cholesky, log_determinant, product, symmetrise, transpose};

/// A quadratic form: `a` in rows, symmetric.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub a: Vec<f64>,
    pub c: Vec<f64>,
    pub d: f64,
}

impl Form {
    pub fn zero(d: usize) -> Form {
        Form { a: vec![0.0; d * d], c: vec![0.0; d], d: 0.0 }
    }

    /// The form plus `sign` times one that is a sum over coordinates.
    fn plus(mut self, alone: &[Quadratic], sign: f64) -> Form {
        let d = self.c.len();
        for (i, q) in alone.iter().enumerate() {
            self.a[i * d + i] += sign * q.a;
            self.c[i] += sign * q.c;
            self.d += sign * q.d;
        }
        self
    }

    /// value += the form at the rows of a block.
    pub fn add(&self, x: &[f64], value: &mut [f64]) {
        let d = self.c.len();
        for l in 0..LANES {
            let mut sum = self.d;
            for i in 0..d {
                let row: f64 = (0..d).map(|k| self.a[i * d + k] * x[k * LANES + l]).sum();
                sum += (self.c[i] - 0.5 * row) * x[i * LANES + l];
            }
            value[l] += sum;
        }
    }

    /// log p(ψ)(Fx + o) as a form in x, for this form log p(ψ).
    fn pulled(&self, f: &[f64], o: &[f64]) -> Form {
        let d = o.len();
        let times_o = apply(&self.a, o);
        let af = product(&self.a, f, d, d, d);
        let a = product(&transpose(f, d, d), &af, d, d, d);
        let c = (0..d).map(|i| (0..d).map(|k| f[k * d + i] * (self.c[k] - times_o[k])).sum()).collect();
        let constant: f64 = (0..d).map(|i| (self.c[i] - 0.5 * times_o[i]) * o[i]).sum();
        Form { a: symmetric(a, d), c, d: self.d + constant }
    }
}

/// (A + Aᵀ)/2.
fn symmetric(mut a: Vec<f64>, d: usize) -> Vec<f64> {
    symmetrise(&mut a, d);
    a
}

/// A transition's kernel, twisted.
#[derive(Debug, Clone)]
struct Fused {
    keep: Vec<f64>,
    pull: Vec<f64>,
    spread: Vec<f64>,
    ahead: Form,
}

impl Fused {
    /// `None` where I + SA is not positive: ψ grows faster than the kernel falls.
    fn new(psi: &Form, deviation: &[f64]) -> Option<Fused> {
        let d = deviation.len();
        let scaled: Vec<f64> = (0..d * d)
            .map(|k| deviation[k / d] * psi.a[k] * deviation[k % d] + if k / d == k % d { 1.0 } else { 0.0 })
            .collect();
        let l = cholesky(&scaled, d).ok()?;
        let log_size = log_determinant(&l, d);
        let sa: Vec<f64> = (0..d * d)
            .map(|k| deviation[k / d] * deviation[k / d] * psi.a[k] + if k / d == k % d { 1.0 } else { 0.0 })
            .collect();
        let keep = inverse(&sa, d)?;
        let sc: Vec<f64> = (0..d).map(|i| deviation[i] * deviation[i] * psi.c[i]).collect();
        let pull = apply(&keep, &sc);
        // Columns of L⁻ᵀ: Lᵀ z = e_k.
        let mut spread = vec![0.0; d * d];
        for k in 0..d {
            for i in (0..=k).rev() {
                let rest: f64 = (i + 1..=k).map(|m| l[m * d + i] * spread[m * d + k]).sum();
                spread[i * d + k] = (if i == k { 1.0 } else { 0.0 } - rest) / l[i * d + i];
            }
        }
        for (k, s) in spread.iter_mut().enumerate() {
            *s *= deviation[k / d];
        }
        let a = symmetric(product(&psi.a, &keep, d, d, d), d);
        let c = (0..d).map(|i| (0..d).map(|k| keep[k * d + i] * psi.c[k]).sum()).collect();
        let half: f64 = psi.c.iter().zip(&pull).map(|(c, p)| 0.5 * c * p).sum();
        Some(Fused { keep, pull, spread, ahead: Form { a, c, d: psi.d - 0.5 * log_size + half } })
    }
}

/// log ψ_j at all times, with what transitions need of it.
#[derive(Debug, Clone)]
pub struct CoupledTwist {
    fused: Vec<Fused>,
    /// r_j − log ψ_j, where that is not zero.
    rest: Vec<Option<Form>>,
}

/// The deviations of transition `j`, for noise that does not depend on the state.
fn deviations(chain: &Chain, j: usize) -> Option<Vec<f64>> {
    (0..chain.dimension).map(|i| chain.deviation(j, i)).collect()
}

impl CoupledTwist {
    /// The backward recursion that is exact for a drift that is linear in all coordinates together; `None` for others, and
    /// where the noise depends on the state.
    pub fn linear(chain: &Chain) -> Option<CoupledTwist> {
        let d = chain.dimension;
        let mut psi = vec![Form::zero(d).plus(&chain.quadratics[chain.steps], 1.0)];
        for j in (1..=chain.steps).rev() {
            let (slopes, offsets) = chain.prior.affine(chain.time(j - 1))?;
            let h = chain.time_step;
            let f: Vec<f64> = (0..d * d).map(|k| h * slopes[k] + if k / d == k % d { 1.0 } else { 0.0 }).collect();
            let o: Vec<f64> = offsets.iter().map(|c| h * c).collect();
            let ahead = Fused::new(&psi[psi.len() - 1], &deviations(chain, j)?)?.ahead;
            psi.push(ahead.pulled(&f, &o).plus(&chain.quadratics[j - 1], 1.0));
        }
        psi.reverse();
        CoupledTwist::new(chain, &psi)
    }

    /// From log ψ_j at all times.
    pub fn new(chain: &Chain, psi: &[Form]) -> Option<CoupledTwist> {
        let fused: Option<Vec<Fused>> =
            psi.iter().enumerate().map(|(j, psi)| Fused::new(psi, &deviations(chain, j)?)).collect();
        let rest = psi.iter().zip(&chain.quadratics).map(|(psi, r)| {
            // As one form: equal parts cancel exactly.
            let minus =
                Form { a: psi.a.iter().map(|a| -a).collect(), c: psi.c.iter().map(|c| -c).collect(), d: -psi.d };
            let rest = minus.plus(r, 1.0);
            (rest != Form::zero(chain.dimension)).then_some(rest)
        });
        Some(CoupledTwist { rest: rest.collect(), fused: fused? })
    }

    /// value += the quadratic part of (r_j − log ψ_j)(x).
    pub fn settle(&self, j: usize, x: &[f64], value: &mut [f64]) {
        if let Some(rest) = &self.rest[j] {
            rest.add(x, value);
        }
    }

    /// x ~ the twisted kernel of mean `mean`, with the noise `xi`; weight += log p(ψ_j).
    pub fn advance(&self, j: usize, mean: &[f64], xi: &[f64], x: &mut [f64], weight: &mut [f64]) {
        let Fused { keep, pull, spread, ahead } = &self.fused[j];
        let d = pull.len();
        for i in 0..d {
            let row = &mut x[i * LANES..(i + 1) * LANES];
            row.fill(pull[i]);
            for k in 0..d {
                let (p, s) = (keep[i * d + k], spread[i * d + k]);
                let (mean, xi) = (&mean[k * LANES..(k + 1) * LANES], &xi[k * LANES..(k + 1) * LANES]);
                for l in 0..LANES {
                    row[l] += p * mean[l] + s * xi[l];
                }
            }
        }
        ahead.add(mean, weight);
    }
}
