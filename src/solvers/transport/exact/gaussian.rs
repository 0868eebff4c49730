//! Gaussians under c(x, y) = |x − y|²: closed forms of entropic transport, balanced and unbalanced.
//!
//! Balanced, with Σ_a^{1/2} Σ_b^{1/2} = U diag(σ) Vᵀ and s_i = (√(ε² + 16σ_i²) − ε)/(4σ_i): the plan's cross-covariance
//! is K = Σ_a^{1/2} U diag(s) Vᵀ Σ_b^{1/2} and the value |m_a − m_b|² + tr Σ_a + tr Σ_b + Σ_i (−2σ_i s_i − (ε/2) log(1 −
//! s_i²)) [Janati2020], [Mallasto2022]. Quadratic potentials stay quadratic under soft c-transforms, so every Sinkhorn
//! iterate is known too, and the unbalanced problem is solved by iterating three coefficients [Janati2020].

use ndarray::{Array1, Array2};
use ndarray_linalg::{Cholesky, Determinant, Eigh, Inverse, SVD, UPLO};

/// mass · N(mean, covariance) in ℝ^d.
#[derive(Debug, Clone)]
pub struct Gaussian {
    pub mean: Array1<f64>,
    pub covariance: Array2<f64>,
    pub mass: f64,
}

/// x ↦ xᵀ A x + v·x + c.
#[derive(Debug, Clone)]
pub struct Quadratic {
    pub matrix: Array2<f64>,
    pub vector: Array1<f64>,
    pub constant: f64,
}

impl Quadratic {
    pub fn zero(d: usize) -> Self {
        Quadratic { matrix: Array2::zeros((d, d)), vector: Array1::zeros(d), constant: 0.0 }
    }

    pub fn at(&self, x: &[f64]) -> f64 {
        let x = Array1::from(x.to_vec());
        x.dot(&self.matrix.dot(&x)) + self.vector.dot(&x) + self.constant
    }

    pub fn scale(&self, s: f64) -> Self {
        Quadratic { matrix: &self.matrix * s, vector: &self.vector * s, constant: self.constant * s }
    }
}

impl Gaussian {
    pub fn new(mean: &[f64], covariance: Array2<f64>, mass: f64) -> Self {
        assert_eq!(covariance.shape(), [mean.len(), mean.len()]);
        Gaussian { mean: Array1::from(mean.to_vec()), covariance, mass }
    }

    /// ∫ e^{q} dα; needs Σ⁻¹ − 2A positive definite.
    pub fn log_integral(&self, q: &Quadratic) -> f64 {
        let precision = inverse(&self.covariance);
        let lambda = &precision - &(&q.matrix * 2.0);
        let eta = precision.dot(&self.mean) + &q.vector;
        self.mass.ln() - 0.5 * log_determinant(&self.covariance.dot(&lambda))
            + 0.5 * eta.dot(&inverse(&lambda).dot(&eta))
            - 0.5 * self.mean.dot(&precision.dot(&self.mean))
            + q.constant
    }

    /// ∫ q dα.
    pub fn integral(&self, q: &Quadratic) -> f64 {
        self.mass * (q.at(self.mean.as_slice().expect("contiguous")) + (q.matrix.dot(&self.covariance)).diag().sum())
    }

    /// T(g)(x) = −ε log ∫ e^{(g(y) − |x−y|²)/ε} dβ(y), β = self.
    pub fn soft_transform(&self, g: &Quadratic, epsilon: f64) -> Quadratic {
        let identity = Array2::eye(self.mean.len());
        let precision = inverse(&self.covariance);
        let lambda = &precision + &((&identity - &g.matrix) * (2.0 / epsilon));
        let inverse_lambda = inverse(&lambda);
        let eta = precision.dot(&self.mean) + &g.vector / epsilon;
        Quadratic {
            matrix: &identity - &(&inverse_lambda * (2.0 / epsilon)),
            vector: inverse_lambda.dot(&eta) * -2.0,
            constant: -epsilon * self.mass.ln() + 0.5 * epsilon * log_determinant(&self.covariance.dot(&lambda))
                - 0.5 * epsilon * eta.dot(&inverse_lambda.dot(&eta))
                + 0.5 * epsilon * self.mean.dot(&precision.dot(&self.mean))
                - g.constant,
        }
    }
}

/// Balanced entropic transport of two Gaussians of mass 1.
#[derive(Debug, Clone)]
pub struct Balanced {
    /// OT_ε.
    pub value: f64,
    /// K = Cov(X, Y) under the plan.
    pub cross_covariance: Array2<f64>,
    /// Optimal f and g (g's constant makes f + g right; the gauge is f's constant = 0 at x = m_a).
    pub f: Quadratic,
    pub g: Quadratic,
    /// Linear rate of Sinkhorn per sweep when the means differ: max s_i².
    pub rate: f64,
}

/// s_i = (√(ε² + 16σ²) − ε)/(4σ), stable for small σ.
fn correlation(sigma: f64, epsilon: f64) -> f64 {
    4.0 * sigma / ((epsilon * epsilon + 16.0 * sigma * sigma).sqrt() + epsilon)
}

pub fn balanced(alpha: &Gaussian, beta: &Gaussian, epsilon: f64) -> Balanced {
    assert!(alpha.mass == 1.0 && beta.mass == 1.0);
    let (root_a, root_b) = (square_root(&alpha.covariance), square_root(&beta.covariance));
    let (u, sigma, vt) = root_a.dot(&root_b).svd(true, true).expect("the product of two roots has an SVD");
    let (u, vt) = (u.expect("asked for"), vt.expect("asked for"));
    let s = sigma.mapv(|sigma| correlation(sigma, epsilon));
    let cross_covariance = root_a.dot(&u).dot(&Array2::from_diag(&s)).dot(&vt).dot(&root_b);
    let delta = &alpha.mean - &beta.mean;
    let entropies: f64 = s.iter().map(|s| (1.0 - s * s).ln()).sum();
    let value = delta.dot(&delta) + alpha.covariance.diag().sum() + beta.covariance.diag().sum()
        - 2.0 * sigma.dot(&s)
        - 0.5 * epsilon * entropies;

    // f = x̃ᵀFx̃ + 2x̃·δ, g = ỹᵀGỹ − 2ỹ·δ + |δ|² − (ε/2) Σ log(1 − s²), about the means.
    let k = &cross_covariance;
    let identity = Array2::eye(delta.len());
    let (pa, pb) = (inverse(&alpha.covariance), inverse(&beta.covariance));
    let schur_a = inverse(&(&alpha.covariance - &k.dot(&pb).dot(&k.t())));
    let schur_b = inverse(&(&beta.covariance - &k.t().dot(&pa).dot(k)));
    let f = &identity - &((&schur_a - &pa) * (0.5 * epsilon));
    let g = &identity - &((&schur_b - &pb) * (0.5 * epsilon));
    let about = |matrix: Array2<f64>, slope: Array1<f64>, constant: f64, mean: &Array1<f64>| Quadratic {
        vector: &slope - &(matrix.dot(mean) * 2.0),
        constant: mean.dot(&matrix.dot(mean)) - slope.dot(mean) + constant,
        matrix,
    };
    Balanced {
        value,
        f: about(f, &delta * 2.0, 0.0, &alpha.mean),
        g: about(g, &delta * -2.0, delta.dot(&delta) - 0.5 * epsilon * entropies, &beta.mean),
        rate: s.iter().fold(0.0f64, |m, s| m.max(s * s)),
        cross_covariance,
    }
}

/// S_ε of two Gaussians of mass 1: |δ|² + Σψ(σ_i(Σ_a, Σ_b)) − ½Σψ(λ_i(Σ_a)) − ½Σψ(λ_i(Σ_b)).
pub fn divergence(alpha: &Gaussian, beta: &Gaussian, epsilon: f64) -> f64 {
    let psi = |r: f64| {
        let tau = correlation(r, epsilon);
        -2.0 * r * tau - 0.5 * epsilon * (1.0 - tau * tau).ln()
    };
    let product = square_root(&alpha.covariance).dot(&square_root(&beta.covariance));
    let (_, mixed, _) = product.svd(false, false).expect("the product of two roots has an SVD");
    let own = |c: &Array2<f64>| -> f64 {
        c.eigh(UPLO::Lower).expect("a covariance is symmetric").0.iter().map(|l| psi(*l)).sum()
    };
    let delta = &alpha.mean - &beta.mean;
    delta.dot(&delta) + mixed.iter().map(|s| psi(*s)).sum::<f64>()
        - 0.5 * own(&alpha.covariance)
        - 0.5 * own(&beta.covariance)
}

/// Sinkhorn's first iterates from g = 0: (f_1, g_1), (f_2, g_2), …, exactly.
pub fn iterates(alpha: &Gaussian, beta: &Gaussian, epsilon: f64, count: usize) -> Vec<(Quadratic, Quadratic)> {
    let mut g = Quadratic::zero(beta.mean.len());
    (0..count)
        .map(|_| {
            let f = beta.soft_transform(&g, epsilon);
            g = alpha.soft_transform(&f, epsilon);
            (f, g.clone())
        })
        .collect()
}

/// Unbalanced (or semi-unbalanced) entropic transport of Gaussian measures.
#[derive(Debug, Clone)]
pub struct Unbalanced {
    pub value: f64,
    /// ΣP.
    pub mass: f64,
    pub f: Quadratic,
    pub g: Quadratic,
}

/// Penalties ρ₁, ρ₂ (none: constraint), by iterating f ← λ₁T(g), g ← λ₂T(f) on coefficients until they stand still.
pub fn unbalanced(alpha: &Gaussian, beta: &Gaussian, epsilon: f64, rho: [Option<f64>; 2]) -> Unbalanced {
    let damping = rho.map(|rho| rho.map_or(1.0, |rho| rho / (rho + epsilon)));
    let d = alpha.mean.len();
    let (mut f, mut g) = (Quadratic::zero(d), Quadratic::zero(d));
    for _ in 0..100_000 {
        let next_f = beta.soft_transform(&g, epsilon).scale(damping[0]);
        let next_g = alpha.soft_transform(&next_f, epsilon).scale(damping[1]);
        let moved = distance(&f, &next_f) + distance(&g, &next_g);
        (f, g) = (next_f, next_g);
        if moved < 1e-15 * (1.0 + f.constant.abs() + g.constant.abs()) {
            break;
        }
    }
    // At the optimum the marginals are α e^{−f/ρ₁} and β e^{−g/ρ₂}.
    let marginal = |measure: &Gaussian, u: &Quadratic, rho: Option<f64>| {
        rho.map_or(measure.mass, |rho| measure.log_integral(&u.scale(-1.0 / rho)).exp())
    };
    let side = |measure: &Gaussian, u: &Quadratic, rho: Option<f64>| {
        rho.map_or_else(|| measure.integral(u), |rho| rho * (measure.mass - marginal(measure, u, Some(rho))))
    };
    let mass = marginal(beta, &g, rho[1]);
    let value = side(alpha, &f, rho[0]) + side(beta, &g, rho[1]) - epsilon * (mass - alpha.mass * beta.mass);
    Unbalanced { value, mass, f, g }
}

fn distance(a: &Quadratic, b: &Quadratic) -> f64 {
    (&a.matrix - &b.matrix).iter().chain((&a.vector - &b.vector).iter()).map(|x| x.abs()).sum::<f64>()
        + (a.constant - b.constant).abs()
}

fn inverse(a: &Array2<f64>) -> Array2<f64> {
    a.inv().expect("a covariance, or a sum of one and a semi-definite matrix, is invertible")
}

fn log_determinant(a: &Array2<f64>) -> f64 {
    a.sln_det().expect("square").1
}

fn square_root(a: &Array2<f64>) -> Array2<f64> {
    // A covariance that is not positive definite is the caller's mistake: say so here.
    a.cholesky(UPLO::Lower).expect("covariances are positive definite");
    let (values, vectors) = a.eigh(UPLO::Lower).expect("a covariance is symmetric");
    vectors.dot(&Array2::from_diag(&values.mapv(f64::sqrt))).dot(&vectors.t())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn pair() -> (Gaussian, Gaussian) {
        (
            Gaussian::new(&[0.3, -0.2], array![[0.5, 0.1], [0.1, 0.3]], 1.0),
            Gaussian::new(&[-0.4, 0.5], array![[0.2, -0.05], [-0.05, 0.6]], 1.0),
        )
    }

    #[test]
    fn closed_potentials_are_a_fixed_point_with_the_closed_value() {
        let (alpha, beta) = pair();
        let exact = balanced(&alpha, &beta, 0.3);
        let f = beta.soft_transform(&exact.g, 0.3);
        let g = alpha.soft_transform(&exact.f, 0.3);
        assert!(distance(&f, &exact.f) < 1e-12 && distance(&g, &exact.g) < 1e-12);
        let value = alpha.integral(&exact.f) + beta.integral(&exact.g);
        assert!((value - exact.value).abs() < 1e-12, "{value} {}", exact.value);
    }

    #[test]
    fn iterates_converge_at_the_closed_rate() {
        let (alpha, beta) = pair();
        let exact = balanced(&alpha, &beta, 0.3);
        let errors: Vec<f64> = iterates(&alpha, &beta, 0.3, 40)
            .iter()
            .map(|(f, _)| (&f.vector - &exact.f.vector).iter().map(|x| x.abs()).sum())
            .collect();
        let rate = errors[39] / errors[38];
        assert!((rate - exact.rate).abs() < 1e-3, "rate {rate}, closed form {}", exact.rate);
    }

    #[test]
    fn large_penalties_give_the_balanced_value() {
        let (alpha, beta) = pair();
        let exact = balanced(&alpha, &beta, 0.3);
        let soft = unbalanced(&alpha, &beta, 0.3, [Some(1e7), None]);
        assert!((soft.value - exact.value).abs() < 1e-5, "{} {}", soft.value, exact.value);
        let divergence_at_itself = divergence(&alpha, &alpha, 0.3);
        assert!(divergence_at_itself.abs() < 1e-14);
    }

    #[test]
    fn the_value_at_the_optimum_is_the_masses_minus_the_plans_mass() {
        // Methods page §2.13, here with ρ₁ ≠ ρ₂ and masses ≠ 1.
        let (mut alpha, mut beta) = pair();
        (alpha.mass, beta.mass) = (1.3, 0.6);
        let (epsilon, r1, r2) = (0.3, 0.7, 2.0);
        let u = unbalanced(&alpha, &beta, epsilon, [Some(r1), Some(r2)]);
        let value = r1 * 1.3 + r2 * 0.6 + epsilon * 1.3 * 0.6 - (r1 + r2 + epsilon) * u.mass;
        assert!((value - u.value).abs() < 1e-12, "{value} {}", u.value);
    }
}
