//! What chains of draws say of their own errors: split R̂ and effective sample size [VehtariGelman2021].

/// Of one quantity over chains of equal length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixing {
    pub mean: f64,
    pub sd: f64,
    /// Split R̂: near 1 where the halves of all chains agree.
    pub r_hat: f64,
    /// Independent draws that would know the mean as well.
    pub effective: f64,
}

impl Mixing {
    /// Standard error of the mean.
    pub fn error(&self) -> f64 {
        self.sd / self.effective.sqrt()
    }
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
    if total <= 0.0 || within <= 0.0 {
        return Some(Mixing { mean, sd, r_hat: 1.0, effective: all.len() as f64 });
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
}
