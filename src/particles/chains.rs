//! What chains of draws say of their own errors: split R̂ and effective sample size [VehtariGelman2021].

/// Of one quantity over chains of equal length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixing {
    pub mean: f64,
    pub sd: f64,
    /// Split R̂: near 1 where the halves of all chains agree; NaN where no chain ever moved.
    pub r_hat: f64,
    /// Independent draws that would know the mean as well; NaN where no chain ever moved.
    pub effective: f64,
}

impl Mixing {
    /// Standard error of the mean; NaN where [`Mixing::is_trusted`] is false.
    pub fn error(&self) -> f64 {
        if self.is_trusted() { self.sd / self.effective.sqrt() } else { f64::NAN }
    }

    /// Whether the draws are enough, and the chains agree well enough, for a standard error.
    pub fn is_trusted(&self) -> bool {
        self.effective >= FEWEST_EFFECTIVE && self.r_hat <= LARGEST_R_HAT
    }

    /// Whether any chain moved.
    pub fn has_moved(&self) -> bool {
        !self.effective.is_nan()
    }
}

/// Fewest effective draws, and the largest split R̂, with which a standard error means something.
pub const FEWEST_EFFECTIVE: f64 = 20.0;
pub const LARGEST_R_HAT: f64 = 1.2;

/// The fewest effective draws and the largest R̂ of several quantities; NaN where one never moved.
pub fn worst(found: &[Mixing]) -> (f64, f64) {
    if found.iter().any(|f| !f.has_moved()) {
        return (f64::NAN, f64::NAN);
    }
    let least = found.iter().map(|f| f.effective).fold(f64::INFINITY, f64::min);
    (least, found.iter().map(|f| f.r_hat).fold(0.0, f64::max))
}

/// Fewest draws of a chain that say something.
pub const FEWEST: usize = 8;

/// From `chains` of equal length; none where they are shorter than [`FEWEST`].
pub fn mixing(chains: &[Vec<f64>]) -> Option<Mixing> {
    let half = chains.first()?.len() / 2;
    if half < FEWEST / 2 {
        return None;
    }
    // Each chain in two halves; the middle draw of an odd number is left out of them.
    let halves: Vec<&[f64]> = chains.iter().flat_map(|c| [&c[..half], &c[c.len() - half..]]).collect();
    let (n, m) = (half as f64, halves.len() as f64);
    let mean_of = |c: &[f64]| c.iter().sum::<f64>() / c.len() as f64;
    let means: Vec<f64> = halves.iter().map(|c| mean_of(c)).collect();
    let centre = mean_of(&means);
    // Autocovariances over n, the mean over half chains.
    let covariance = |lag: usize| -> f64 {
        let one = |(c, m): (&&[f64], &f64)| (lag..half).map(|t| (c[t] - m) * (c[t - lag] - m)).sum::<f64>() / n;
        halves.iter().zip(&means).map(one).sum::<f64>() / m
    };
    let within = covariance(0) * n / (n - 1.0);
    let between = means.iter().map(|x| (x - centre) * (x - centre)).sum::<f64>() / (m - 1.0);
    let total = covariance(0) + between;
    let all: Vec<f64> = chains.iter().flatten().copied().collect();
    let mean = mean_of(&all);
    let sd = (all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (all.len() as f64 - 1.0)).sqrt();
    // Of draws that are all equal the variance is 0 only up to the rounding of the mean.
    let stuck = chains.iter().all(|c| c.iter().all(|x| *x == c[0])) || within <= 1e-24 * mean * mean;
    if stuck {
        return Some(Mixing { mean, sd, r_hat: f64::NAN, effective: f64::NAN });
    }
    // Pairs of correlations are positive and fall [Geyer1992]; the first that is not ends the sum.
    let correlation = |lag: usize| 1.0 - (within - covariance(lag) * n / (n - 1.0)) / total;
    let mut time = -1.0;
    let mut least = f64::INFINITY;
    for lag in (0..half.saturating_sub(1)).step_by(2) {
        let pair = (if lag == 0 { 1.0 } else { correlation(lag) }) + correlation(lag + 1);
        if pair <= 0.0 {
            break;
        }
        least = least.min(pair);
        time += 2.0 * least;
    }
    let size = n * m;
    let effective = (size / time.max(1.0 / crate::math::elementary::ln(size))).min(size * 2.0);
    Some(Mixing { mean, sd, r_hat: (total / within).sqrt(), effective })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::{Stream, normal_pair};

    /// x' = φ x + √(1 − φ²) ξ.
    fn autoregression(chains: u64, n: usize, phi: f64, apart: f64) -> Vec<Vec<f64>> {
        let one = |c: u64| {
            let noise = |t: usize| normal_pair(3, Stream::ParticlesData, c as u32, t as u64, 0)[0];
            let mut x = noise(n);
            let next = |t: usize| {
                x = phi * x + (1.0 - phi * phi).sqrt() * noise(t);
                x + apart * c as f64
            };
            (0..n).map(next).collect()
        };
        (0..chains).map(one).collect()
    }

    #[test]
    fn an_autoregression_has_effective_draws_n_times_1_minus_phi_over_1_plus_phi_within_15_percent() {
        for phi in [0.0, 0.5, 0.9] {
            let found = mixing(&autoregression(4, 20_000, phi, 0.0)).unwrap();
            let expected = 80_000.0 * (1.0 - phi) / (1.0 + phi);
            assert!((found.effective / expected - 1.0).abs() < 0.15, "{phi}: {found:?} against {expected}");
            assert!(found.r_hat < 1.01 && (found.sd - 1.0).abs() < 0.05 && found.mean.abs() < 4.0 * found.error());
        }
    }

    #[test]
    fn chains_apart_by_their_deviation_have_r_hat_above_1_2_and_short_ones_say_nothing() {
        let found = mixing(&autoregression(4, 1000, 0.2, 1.0)).unwrap();
        assert!(found.r_hat > 1.2 && found.effective < 100.0, "{found:?}");
        assert_eq!(mixing(&autoregression(2, 7, 0.0, 0.0)), None);
        assert_eq!(mixing(&[]), None);
    }

    #[test]
    fn chains_that_never_moved_know_neither_r_hat_nor_effective_draws_nor_an_error() {
        // The mean of 0.1 is rounded, that of 0.5 is not; 4.0 and 5.0: each chain stuck elsewhere.
        for at in [vec![0.1], vec![0.5], vec![0.1; 3], vec![4.0, 5.0], vec![0.0, 1e9], vec![0.0]] {
            let chains: Vec<Vec<f64>> = at.iter().map(|x| vec![*x; 101]).collect();
            let found = mixing(&chains).unwrap();
            assert!(found.r_hat.is_nan() && found.effective.is_nan() && found.error().is_nan(), "{at:?}: {found:?}");
            assert!(!found.is_trusted() && !found.has_moved());
            let mean = at.iter().sum::<f64>() / at.len() as f64;
            assert!((found.mean - mean).abs() <= 1e-12 * mean.abs(), "{found:?}");
            let moves = mixing(&autoregression(1, 1000, 0.0, 0.0)).unwrap();
            assert!(worst(&[moves, found]).0.is_nan() && worst(&[moves, found]).1.is_nan());
            assert_eq!(worst(&[moves]), (moves.effective, moves.r_hat));
        }
        // Draws that differ by their rounding alone.
        let rounded: Vec<f64> = (0..100).map(|k| if k % 2 == 0 { 3.0 } else { 3.0 + 1e-15 }).collect();
        assert!(!mixing(&[rounded]).unwrap().has_moved());
    }

    #[test]
    fn an_error_is_claimed_of_20_effective_draws_at_least_and_an_r_hat_of_1_2_at_most() {
        let of = |effective: f64, r_hat: f64| Mixing { mean: 0.0, sd: 2.0, r_hat, effective };
        assert_eq!(of(25.0, 1.1).error(), 0.4);
        assert!(of(19.0, 1.1).error().is_nan() && of(25.0, 1.3).error().is_nan());
        // Chains that move, and one of two that does not.
        let moves = mixing(&autoregression(2, 2000, 0.5, 0.0)).unwrap();
        assert!(moves.is_trusted() && (moves.error() - moves.sd / moves.effective.sqrt()).abs() < 1e-15, "{moves:?}");
        let one = [autoregression(1, 2000, 0.0, 0.0).remove(0), vec![0.0; 2000]];
        assert!(mixing(&one).unwrap().has_moved());
    }
}
