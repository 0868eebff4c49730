//! Student's t distribution: what calibrated intervals from few replicates need.

/// Distribution function of Student's law of `degrees` of freedom, by its finite series in the angle
/// θ = arctan(t/√ν) [AbramowitzStegun 26.7.3-4].
fn distribution(t: f64, degrees: usize) -> f64 {
    let nu = degrees as f64;
    let theta = super::elementary::atan2(t, nu.sqrt());
    let (sin, cos) = (super::elementary::sin(theta), super::elementary::cos(theta));
    let two_sided = if degrees == 1 {
        2.0 * theta / std::f64::consts::PI
    } else if degrees % 2 == 1 {
        let (mut term, mut sum) = (cos, cos);
        for k in (3..=degrees - 2).step_by(2) {
            term *= cos * cos * (k as f64 - 1.0) / k as f64;
            sum += term;
        }
        2.0 / std::f64::consts::PI * (theta + sin * sum)
    } else {
        let (mut term, mut sum) = (1.0, 1.0);
        for k in (2..=degrees - 2).step_by(2) {
            term *= cos * cos * (k as f64 - 1.0) / k as f64;
            sum += term;
        }
        sin * sum
    };
    0.5 + 0.5 * two_sided
}

/// The t below which Student's law of `degrees` ≥ 1 of freedom has probability `p` in (½, 1), by bisection.
pub fn quantile(p: f64, degrees: usize) -> f64 {
    assert!(degrees > 0 && p > 0.5 && p < 1.0);
    let (mut low, mut high) = (0.0, 1.0);
    while distribution(high, degrees) < p {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if distribution(middle, degrees) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_printed_tables() {
        // Two-sided 95 %: 1, 2, 3, 15, 30 degrees.
        for (degrees, t) in [(1, 12.7062), (2, 4.30265), (3, 3.18245), (15, 2.13145), (30, 2.04227)] {
            assert!((quantile(0.975, degrees) - t).abs() < 5e-5 * t, "{degrees}: {}", quantile(0.975, degrees));
        }
        assert!((quantile(0.95, 10) - 1.81246).abs() < 1e-4);
    }
}
