//! What the replicates say together: evidence and marginals with errors from their spread.

use super::ensemble::Replicate;
use crate::error::Result;
use crate::math::elementary::{exp, ln};
use crate::state::{Name, Walk};

/// Largest standard deviation of the replicates' Ẑ/Z for which an error is claimed: above, their distribution is so
/// skew that Student's interval covers too little.
pub const LARGEST_SPREAD: f64 = 0.35;

/// Least effective share of the paths for which an error is claimed after a training that was cut short.
pub const LEAST_SHARE: f64 = 0.5;

/// Sums over the replicates so far; the evidences are scaled by e^{−scale}.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Per replicate.
    pub log_evidence: Vec<f64>,
    pub ess: Vec<f64>,
    pub acceptance: Vec<f64>,
    pub resamplings: Vec<f64>,
    pub durations: Vec<f64>,
    evaluations: f64,
    scale: f64,
    /// The start's mean per coordinate, about which replicates tell their moments.
    start: Vec<f64>,
    /// The mean of the first replicate with weight, about the start: moments about it neither cancel nor put errors of the
    /// mean into the deviation, wherever the origin is.
    reference: Vec<f64>,
    /// Σ z m, Σ z² m, Σ z² m² of the marginal means m of x and of x² about the reference.
    sums: [Vec<f64>; 6],
}

/// A marginal mean or deviation with its standard error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marginals {
    pub mean: Vec<f64>,
    pub mean_error: Vec<f64>,
    pub deviation: Vec<f64>,
    pub deviation_error: Vec<f64>,
}

impl Tally {
    /// Of paths with `values` numbers, times × coordinates, that start about `start`.
    pub fn new(values: usize, start: &[f64]) -> Tally {
        Tally {
            scale: f64::NEG_INFINITY,
            start: start.to_vec(),
            reference: vec![0.0; values],
            sums: std::array::from_fn(|_| vec![0.0; values]),
            ..Tally::default()
        }
    }

    pub fn replicates(&self) -> usize {
        self.log_evidence.len()
    }

    pub fn add(&mut self, r: &Replicate) {
        self.log_evidence.push(r.log_evidence);
        self.ess.push(r.ess);
        self.acceptance.push(r.acceptance);
        self.resamplings.push(r.resamplings);
        self.durations.push(r.duration);
        self.evaluations += r.evaluations;
        if r.log_evidence == f64::NEG_INFINITY || r.means.is_empty() {
            return;
        }
        if self.scale == f64::NEG_INFINITY {
            self.reference.clone_from(&r.means);
        }
        if r.log_evidence > self.scale {
            let by = if self.scale == f64::NEG_INFINITY { 0.0 } else { exp(self.scale - r.log_evidence) };
            for (k, sum) in self.sums.iter_mut().enumerate() {
                let factor = if k % 3 == 0 { by } else { by * by };
                sum.iter_mut().for_each(|s| *s *= factor);
            }
            self.scale = r.log_evidence;
        }
        let z = exp(r.log_evidence - self.scale);
        for (v, (&mean, &square)) in r.means.iter().zip(&r.squares).enumerate() {
            let m = mean - self.reference[v];
            // E(x − c)² = Var x + (Ex − c)².
            let q = (square - mean * mean).max(0.0) + m * m;
            for (k, m) in [m, q].into_iter().enumerate() {
                self.sums[3 * k][v] += z * m;
                self.sums[3 * k + 1][v] += z * z * m;
                self.sums[3 * k + 2][v] += z * z * m * m;
            }
        }
    }

    pub fn evaluations(&self) -> f64 {
        self.evaluations
    }

    /// Σ z and Σ z² of the scaled evidences.
    fn weights(&self) -> (f64, f64) {
        let z = |l: &f64| if *l == f64::NEG_INFINITY { 0.0 } else { exp(l - self.scale) };
        (self.log_evidence.iter().map(z).sum(), self.log_evidence.iter().map(|l| z(l) * z(l)).sum())
    }

    /// log of the mean evidence.
    pub fn log_mean(&self) -> f64 {
        let (sum, _) = self.weights();
        if sum > 0.0 { self.scale + ln(sum / self.replicates() as f64) } else { f64::NEG_INFINITY }
    }

    /// Standard deviation of the replicates' Ẑ over their mean.
    pub fn spread(&self) -> f64 {
        let (sum, squares) = self.weights();
        let n = self.replicates() as f64;
        if n < 2.0 || sum == 0.0 {
            return f64::NAN;
        }
        let mean = sum / n;
        ((squares / n - mean * mean).max(0.0) * n / (n - 1.0)).sqrt() / mean
    }

    /// Standard error of [`Self::log_mean`]; `None` where the replicates are too few or spread too far for one.
    pub fn error(&self) -> Option<f64> {
        let spread = self.spread();
        (spread <= LARGEST_SPREAD).then(|| spread / (self.replicates() as f64).sqrt())
    }

    /// Standard error of [`Self::log_mean`] by the weights of `paths` independent ones a replicate. Where few paths carry
    /// the weight, replicates that all missed the heavy ones agree with each other, and their spread says too little.
    pub fn error_of_weights(&self, paths: usize) -> f64 {
        let (sum, _) = self.weights();
        let one = |(l, ess): (&f64, &f64)| {
            let z = if *l == f64::NEG_INFINITY { 0.0 } else { exp(l - self.scale) };
            if z > 0.0 { z * z * (1.0 / ess - 1.0 / paths as f64) } else { 0.0 }
        };
        self.log_evidence.iter().zip(&self.ess).map(one).sum::<f64>().max(0.0).sqrt() / sum
    }

    /// Effective share of a replicate's `paths`, on average.
    pub fn share(&self, paths: usize) -> f64 {
        self.ess.iter().sum::<f64>() / (self.replicates().max(1) * paths) as f64
    }

    /// Mean of the replicates' durations and its standard error.
    pub fn duration(&self) -> (f64, f64) {
        let n = self.durations.len() as f64;
        let mean = self.durations.iter().sum::<f64>() / n;
        let square: f64 = self.durations.iter().map(|d| (d - mean) * (d - mean)).sum();
        (mean, (square / (n - 1.0) / n).sqrt())
    }

    /// Marginal means and deviations, ratio estimates over the replicates; errors from the spread of the replicates, NaN
    /// where it is too large for one: a replicate that holds all the evidence agrees with itself.
    pub fn marginals(&self) -> Marginals {
        let (sum, squares) = self.weights();
        let n = self.replicates() as f64;
        let claimed = self.spread() <= LARGEST_SPREAD;
        let values = self.sums[0].len();
        let mut marginals = Marginals::default();
        for v in 0..values {
            let ratio = |k: usize| -> (f64, f64) {
                let m = self.sums[3 * k][v] / sum;
                let square = self.sums[3 * k + 2][v] - 2.0 * m * self.sums[3 * k + 1][v] + m * m * squares;
                let error = if claimed { (square.max(0.0) * n / (n - 1.0)).sqrt() / sum } else { f64::NAN };
                (m, error)
            };
            let ((m, e), (q, eq)) = (ratio(0), ratio(1));
            let deviation = (q - m * m).max(0.0).sqrt();
            marginals.mean.push(self.start[v % self.start.len()] + self.reference[v] + m);
            marginals.mean_error.push(e);
            marginals.deviation.push(deviation);
            // d√(q − m²), the two errors added as if they were opposed: not too small.
            let error = match deviation > 0.0 {
                true => 0.5 * (eq + 2.0 * m.abs() * e) / deviation,
                false => 0.0 * e,
            };
            marginals.deviation_error.push(error);
        }
        marginals
    }

    /// `timed`: paths have durations.
    pub fn state(&mut self, timed: bool, walk: &mut dyn Walk) -> Result<()> {
        if timed {
            walk.series(&DURATIONS, &mut self.durations)?;
        }
        walk.series(&LOG_EVIDENCES, &mut self.log_evidence)?;
        walk.series(&ESS, &mut self.ess)?;
        walk.series(&ACCEPTANCES, &mut self.acceptance)?;
        walk.series(&RESAMPLINGS, &mut self.resamplings)?;
        let mut numbers = vec![self.evaluations, self.scale];
        walk.scalar(&NUMBERS, (&mut numbers).into())?;
        [self.evaluations, self.scale] = [numbers[0], numbers[1]];
        walk.replicated(&REFERENCE, &mut self.reference)?;
        for (name, sums) in SUMS.iter().zip(&mut self.sums) {
            walk.replicated(name, sums)?;
        }
        Ok(())
    }
}

const fn per_replicate(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &["replicate"] }
}

const LOG_EVIDENCES: Name = per_replicate("replicate_log_evidence", "log-evidence of each replicate");
const ESS: Name = per_replicate("replicate_ess", "effective sample size of each replicate's final weights");
const ACCEPTANCES: Name = per_replicate("replicate_acceptance", "accepted share of the last level's moves");
const RESAMPLINGS: Name = per_replicate("replicate_resamplings", "resamplings in each replicate");
const DURATIONS: Name = per_replicate("replicate_duration", "mean duration of each replicate's paths");
const NUMBERS: Name = Name {
    name: "tally",
    units: "1",
    meaning: "drift evaluations of the replicates, scale of the sums",
    axes: &["tally_number"],
};

const fn sums(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &["time_and_coordinate"] }
}

const REFERENCE: Name = sums("reference", "mean of the first replicate with weight, about the start's mean");
const SUMS: [Name; 6] = [
    sums("sum_mean", "sum over replicates of Z times the mean of x about the reference"),
    sums("sum_weighted_mean", "sum over replicates of Z² times the mean of x about the reference"),
    sums("sum_weighted_mean_square", "sum over replicates of Z² times the square of the mean of x about the reference"),
    sums("sum_square", "sum over replicates of Z times the mean of x² about the reference"),
    sums("sum_weighted_square", "sum over replicates of Z² times the mean of x² about the reference"),
    sums(
        "sum_weighted_square_square",
        "sum over replicates of Z² times the square of the mean of x² about the reference",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn replicate(z: f64, mean: f64) -> Replicate {
        Replicate {
            log_evidence: z.ln(),
            ess: 1.0,
            means: vec![mean],
            squares: vec![mean * mean + 1.0],
            evaluations: 10.0,
            acceptance: f64::NAN,
            resamplings: 0.0,
            duration: z,
        }
    }

    #[test]
    fn evidences_1_and_3_have_the_mean_2_the_spread_root_2_over_2_and_weigh_means_1_to_3() {
        let mut tally = Tally::new(1, &[0.0]);
        for (z, m) in [(1.0, 0.0), (3.0, 4.0)] {
            tally.add(&replicate(z, m));
        }
        assert!((tally.log_mean() - 2f64.ln()).abs() < 1e-14);
        assert!((tally.spread() - 0.5f64.sqrt()).abs() < 1e-14);
        assert_eq!(tally.error(), None);
        // 1 and 3: mean 2, deviation √2, over √2.
        assert!(tally.duration().0 == 2.0 && (tally.duration().1 - 1.0).abs() < 1e-14);
        let m = tally.marginals();
        assert!((m.mean[0] - 3.0).abs() < 1e-14);
        assert!((m.deviation[0] - (13.0f64 - 9.0).sqrt()).abs() < 1e-12);
        // Of 5 paths one is effective: √(1² + 3²) √(1 − 1/5) / 4.
        assert!((tally.error_of_weights(5) - 8f64.sqrt() / 4.0).abs() < 1e-14);
    }

    #[test]
    fn evidences_4_and_5_weigh_the_means_0_and_9_to_5_with_the_error_40_ninths() {
        let mut tally = Tally::new(1, &[0.0]);
        tally.add(&replicate(4.0, 0.0));
        tally.add(&replicate(5.0, 9.0));
        let m = tally.marginals();
        assert!((m.mean[0] - 5.0).abs() < 1e-13);
        // Σ z²(m − 5)² = 400 + 400; doubled for two replicates; over (Σz)² = 81.
        assert!((m.mean_error[0] - 40.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn moments_are_about_the_first_mean_with_weight_wherever_the_start_is() {
        let mut tally = Tally::new(1, &[1e8]);
        let none = Replicate { log_evidence: f64::NEG_INFINITY, means: vec![], squares: vec![], ..replicate(1.0, 0.0) };
        tally.add(&none);
        [(1.0, 2.0), (1.5, 7.0), (1.25, 4.0)].iter().for_each(|(z, m)| tally.add(&replicate(*z, *m)));
        assert_eq!(tally.reference, [2.0]);
        let m = tally.marginals();
        // (1·2 + 1.5·7 + 1.25·4)/3.75 = 14/3; (1·5 + 1.5·50 + 1.25·17)/3.75 − (14/3)² = 5.2222.
        assert!((m.mean[0] - 1e8 - 14.0 / 3.0).abs() < 1e-7);
        assert!((m.deviation[0] - (27.0f64 - 196.0 / 9.0).sqrt()).abs() < 1e-12, "{m:?}");
    }

    #[test]
    fn where_one_of_16_replicates_holds_the_evidence_marginals_have_no_errors() {
        let mut tally = Tally::new(1, &[0.0]);
        for r in 0..16 {
            tally.add(&replicate(if r == 5 { 1.0 } else { 1e-20 }, r as f64));
        }
        let m = tally.marginals();
        assert!((m.mean[0] - 5.0).abs() < 1e-12);
        assert!(m.mean_error[0].is_nan() && m.deviation_error[0].is_nan(), "{m:?}");
    }
}
