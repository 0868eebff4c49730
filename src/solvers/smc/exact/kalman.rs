//! Kalman filter and smoother: the exact evidence and the exact moments of linear Gaussian state-space models.
//!
//!     x_0 ~ N(m_0, P_0),   x_k = A_k x_{k−1} + b_k + N(0, Q_k),   y_k = H x_k + d + N(0, R),   k = 0 … T−1
//!
//! Observed entries that are NaN are missing. Times may be irregular: A_k, b_k, Q_k belong to the step.
//! Joseph's form of the update [BarShalom2001], the smoother of Rauch, Tung and Striebel [RauchTungStriebel1965].

use crate::math::dense;

/// One transition.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// A, states × states.
    pub matrix: Vec<f64>,
    /// b, states.
    pub shift: Vec<f64>,
    /// Q, states × states.
    pub covariance: Vec<f64>,
}

/// A linear Gaussian state-space model; `transitions[k − 1]` leads to time k, and the last one repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearGaussian {
    pub states: usize,
    pub outputs: usize,
    pub initial_mean: Vec<f64>,
    pub initial_covariance: Vec<f64>,
    pub transitions: Vec<Transition>,
    /// H, outputs × states.
    pub observation: Vec<f64>,
    /// d, outputs.
    pub offset: Vec<f64>,
    /// R, outputs × outputs.
    pub noise: Vec<f64>,
}

/// A mean and a covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
}

/// What the filter knows at each time.
#[derive(Debug, Clone)]
pub struct Filtered {
    pub log_evidence: f64,
    /// ln p(y_k | y_{0..k−1}); 0 where all is missing.
    pub increments: Vec<f64>,
    /// x_k given y_{0..k−1}.
    pub predicted: Vec<Moments>,
    /// x_k given y_{0..k}.
    pub filtered: Vec<Moments>,
}

impl LinearGaussian {
    pub fn transition(&self, k: usize) -> &Transition {
        &self.transitions[(k - 1).min(self.transitions.len() - 1)]
    }

    /// Runs the filter over `y`, one row of `outputs` numbers per time. Err: the time at which an innovation has no
    /// positive definite covariance.
    pub fn filter(&self, y: &[f64]) -> Result<Filtered, usize> {
        let n = self.states;
        let steps = y.len() / self.outputs;
        let mut found = Filtered {
            log_evidence: 0.0,
            increments: Vec::with_capacity(steps),
            predicted: Vec::with_capacity(steps),
            filtered: Vec::with_capacity(steps),
        };
        for (k, row) in y.chunks_exact(self.outputs).enumerate() {
            let predicted = match found.filtered.last() {
                None => Moments { mean: self.initial_mean.clone(), covariance: self.initial_covariance.clone() },
                Some(last) => {
                    let step = self.transition(k);
                    let mut mean = dense::apply(&step.matrix, &last.mean);
                    mean.iter_mut().zip(&step.shift).for_each(|(m, b)| *m += b);
                    let mut covariance = dense::congruence(&step.matrix, &last.covariance, n, n);
                    covariance.iter_mut().zip(&step.covariance).for_each(|(p, q)| *p += q);
                    Moments { mean, covariance }
                }
            };
            let (updated, increment) = self.update(&predicted, row).ok_or(k)?;
            found.log_evidence += increment;
            found.increments.push(increment);
            found.predicted.push(predicted);
            found.filtered.push(updated);
        }
        Ok(found)
    }

    /// The moments given one more row of observations, and its log-density.
    fn update(&self, predicted: &Moments, row: &[f64]) -> Option<(Moments, f64)> {
        let n = self.states;
        let seen: Vec<usize> = (0..self.outputs).filter(|&i| !row[i].is_nan()).collect();
        let m = seen.len();
        if m == 0 {
            return Some((predicted.clone(), 0.0));
        }
        let h: Vec<f64> = seen.iter().flat_map(|&i| self.observation[i * n..(i + 1) * n].to_vec()).collect();
        let r: Vec<f64> =
            seen.iter().flat_map(|&i| seen.iter().map(move |&j| self.noise[i * self.outputs + j])).collect();
        let expected = dense::apply(&h, &predicted.mean);
        let residual: Vec<f64> = seen.iter().zip(&expected).map(|(&i, e)| row[i] - e - self.offset[i]).collect();
        let mut s = dense::congruence(&h, &predicted.covariance, m, n);
        s.iter_mut().zip(&r).for_each(|(s, r)| *s += r);
        let factor = dense::cholesky(&s, m).ok()?;
        let increment = dense::log_normal(&residual, &vec![0.0; m], &factor);
        // K = P Hᵀ S⁻¹.
        let cross = dense::product(&predicted.covariance, &dense::transpose(&h, m, n), n, n, m);
        let gain = dense::product(&cross, &dense::inverse(&factor, m), n, m, m);
        let mut mean = predicted.mean.clone();
        mean.iter_mut().zip(dense::apply(&gain, &residual)).for_each(|(x, k)| *x += k);
        // P⁺ = (I − KH) P (I − KH)ᵀ + K R Kᵀ.
        let mut left = dense::product(&gain, &h, n, m, n);
        left.iter_mut().for_each(|x| *x = -*x);
        (0..n).for_each(|i| left[i * n + i] += 1.0);
        let mut covariance = dense::congruence(&left, &predicted.covariance, n, n);
        let noise = dense::congruence(&gain, &r, n, m);
        covariance.iter_mut().zip(noise).for_each(|(p, q)| *p += q);
        Some((Moments { mean, covariance }, increment))
    }

    /// x_k given all observations. Err: the time at which a predicted covariance is singular.
    pub fn smooth(&self, found: &Filtered) -> Result<Vec<Moments>, usize> {
        let n = self.states;
        let mut smoothed = found.filtered.clone();
        for k in (0..smoothed.len().saturating_sub(1)).rev() {
            let (filtered, predicted) = (&found.filtered[k], &found.predicted[k + 1]);
            let factor = dense::cholesky(&predicted.covariance, n).map_err(|_| k)?;
            // G = P_k Aᵀ (P_{k+1|k})⁻¹.
            let a = &self.transition(k + 1).matrix;
            let cross = dense::product(&filtered.covariance, &dense::transpose(a, n, n), n, n, n);
            let gain = dense::product(&cross, &dense::inverse(&factor, n), n, n, n);
            let next = &smoothed[k + 1];
            let change: Vec<f64> = next.mean.iter().zip(&predicted.mean).map(|(s, p)| s - p).collect();
            let mut mean = filtered.mean.clone();
            mean.iter_mut().zip(dense::apply(&gain, &change)).for_each(|(x, g)| *x += g);
            let change: Vec<f64> = next.covariance.iter().zip(&predicted.covariance).map(|(s, p)| s - p).collect();
            let mut covariance = filtered.covariance.clone();
            covariance.iter_mut().zip(dense::congruence(&gain, &change, n, n)).for_each(|(p, g)| *p += g);
            smoothed[k] = Moments { mean, covariance };
        }
        Ok(smoothed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::smc::exact::walk_of_ten;

    #[test]
    fn ten_observed_steps_of_an_autoregression_have_the_evidence_minus_13_441513208280() {
        let (model, y) = walk_of_ten();
        let found = model.filter(&y).unwrap();
        assert!((found.log_evidence + 13.441_513_208_280).abs() < 1e-11, "{}", found.log_evidence);
        let last = found.filtered.last().unwrap();
        assert!((last.mean[0] - 0.477_425_665_741).abs() < 1e-11, "{}", last.mean[0]);
        assert!((last.covariance[0] - 0.231_030_094_587).abs() < 1e-11);
    }

    #[test]
    fn smoothed_means_and_variances_of_the_ten_steps_are_those_of_the_dense_gaussian() {
        let (model, y) = walk_of_ten();
        let smoothed = model.smooth(&model.filter(&y).unwrap()).unwrap();
        // Solved independently as one Gaussian of ten dimensions.
        let means = [
            0.1676603309,
            0.1224441237,
            0.4314478875,
            0.309558378,
            -0.0869197244,
            -0.4769484792,
            -0.3490048244,
            0.0874165407,
            0.4609863779,
            0.4774256657,
        ];
        let variances = [
            0.2188931121,
            0.181652952,
            0.173228644,
            0.1713285646,
            0.1709248995,
            0.1709495076,
            0.1714675048,
            0.1738495669,
            0.1843988862,
            0.2310300946,
        ];
        for (k, found) in smoothed.iter().enumerate() {
            assert!((found.mean[0] - means[k]).abs() < 1e-10, "{k}: {}", found.mean[0]);
            assert!((found.covariance[0] - variances[k]).abs() < 1e-10, "{k}: {}", found.covariance[0]);
        }
    }

    /// Two states, two outputs with correlated noise, irregular times, entries missing.
    fn tracked() -> (LinearGaussian, Vec<f64>) {
        let transitions = [0.5, 2.0, 0.1, 1.0]
            .map(|dt| {
                let (matrix, covariance) =
                    dense::linear_transition(&[0.0, 1.0, -0.4, -0.3], &[0.1, 0.02, 0.02, 0.6], 2, dt);
                Transition { matrix, shift: vec![0.1 * dt, -0.05], covariance }
            })
            .to_vec();
        let model = LinearGaussian {
            states: 2,
            outputs: 2,
            initial_mean: vec![0.3, -0.2],
            initial_covariance: vec![1.0, 0.3, 0.3, 0.8],
            transitions,
            observation: vec![1.0, 0.0, 0.5, 1.0],
            offset: vec![0.0, 0.25],
            noise: vec![0.3, 0.1, 0.1, 0.5],
        };
        let nan = f64::NAN;
        (model, vec![0.7, nan, nan, nan, 1.2, -0.4, nan, 0.9, -0.6, 0.1])
    }

    /// All states and observed entries as one Gaussian, conditioned by a dense solve: (evidence, means, variances).
    fn dense_answer(model: &LinearGaussian, y: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
        let (n, o) = (model.states, model.outputs);
        let steps = y.len() / o;
        let all = n * steps;
        let (mut mean, mut covariance) = (vec![0.0; all], vec![0.0; all * all]);
        mean[..n].copy_from_slice(&model.initial_mean);
        for i in 0..n {
            for j in 0..n {
                covariance[i * all + j] = model.initial_covariance[i * n + j];
            }
        }
        for k in 1..steps {
            let step = model.transition(k);
            for i in 0..n {
                mean[k * n + i] =
                    step.shift[i] + (0..n).map(|l| step.matrix[i * n + l] * mean[(k - 1) * n + l]).sum::<f64>();
                for j in 0..k * n {
                    let c = (0..n).map(|l| step.matrix[i * n + l] * covariance[((k - 1) * n + l) * all + j]).sum();
                    covariance[(k * n + i) * all + j] = c;
                    covariance[j * all + k * n + i] = c;
                }
            }
            let old: Vec<f64> =
                (0..n * n).map(|p| covariance[((k - 1) * n + p / n) * all + (k - 1) * n + p % n]).collect();
            let new = dense::congruence(&step.matrix, &old, n, n);
            for i in 0..n {
                for j in 0..n {
                    covariance[(k * n + i) * all + k * n + j] = new[i * n + j] + step.covariance[i * n + j];
                }
            }
        }
        let seen: Vec<usize> = (0..y.len()).filter(|&i| !y[i].is_nan()).collect();
        let m = seen.len();
        let mut h = vec![0.0; m * all];
        let mut r = vec![0.0; m * m];
        let mut residual = vec![0.0; m];
        for (a, &i) in seen.iter().enumerate() {
            for l in 0..n {
                h[a * all + i / o * n + l] = model.observation[i % o * n + l];
            }
            for (b, &j) in seen.iter().enumerate() {
                r[a * m + b] = if i / o == j / o { model.noise[i % o * o + j % o] } else { 0.0 };
            }
            residual[a] = y[i] - model.offset[i % o];
        }
        residual.iter_mut().zip(dense::apply(&h, &mean)).for_each(|(x, e)| *x -= e);
        let mut s = dense::congruence(&h, &covariance, m, all);
        s.iter_mut().zip(r).for_each(|(s, r)| *s += r);
        let factor = dense::cholesky(&s, m).unwrap();
        let evidence = dense::log_normal(&residual, &vec![0.0; m], &factor);
        let cross = dense::product(&covariance, &dense::transpose(&h, m, all), all, all, m);
        let gain = dense::product(&cross, &dense::inverse(&factor, m), all, m, m);
        let shift = dense::apply(&gain, &residual);
        let taken = dense::product(&gain, &dense::transpose(&cross, all, m), all, m, all);
        let means = mean.iter().zip(shift).map(|(m, s)| m + s).collect();
        let variances = (0..all).map(|i| covariance[i * all + i] - taken[i * all + i]).collect();
        (evidence, means, variances)
    }

    #[test]
    fn missing_entries_and_irregular_times_agree_with_one_dense_gaussian_to_1e_12() {
        let (model, y) = tracked();
        let found = model.filter(&y).unwrap();
        let smoothed = model.smooth(&found).unwrap();
        let (evidence, means, variances) = dense_answer(&model, &y);
        assert!((found.log_evidence - evidence).abs() < 1e-12, "{} {evidence}", found.log_evidence);
        for (k, s) in smoothed.iter().enumerate() {
            for i in 0..2 {
                assert!((s.mean[i] - means[2 * k + i]).abs() < 1e-12, "{k}");
                assert!((s.covariance[3 * i] - variances[2 * k + i]).abs() < 1e-12, "{k}");
            }
        }
    }
}
