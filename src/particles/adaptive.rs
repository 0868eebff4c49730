//! The random walk of chains of parameters: on the logarithms of positive ones, with a covariance and a scale that follow
//! the chain during its warm-up [HaarioSaksmanTamminen1999].
//!
//! A chain at a likelihood that was estimated far too large accepts nothing, however short its steps: they would shrink to
//! nothing, and the chain would never leave. So the scale has a floor, the covariance another, and one proposal in ten is as
//! wide as at first, whatever was learned [RobertsRosenthal2009].

use super::model::{Draws, Family, Parameter};
use crate::math::dense;
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::math::simd::Level;

/// The share of proposals that a walk in a few dimensions accepts at best.
const ACCEPTANCE: f64 = 0.25;

/// The smallest scale over the first one, e⁻⁴: narrower posteriors are the covariance's to learn.
const SMALLEST_SCALE: f64 = 0.018_315_638_888_734_18;

/// What the covariance tends to where the chain does not move, over the first guess.
const SMALLEST_COVARIANCE: f64 = 1e-6;

/// The share of proposals by the first guess.
const WIDE: f64 = 0.1;

/// Draws of the prior that tell its spread.
const PRIOR_DRAWS: u64 = 64;

#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveWalk {
    positive: Vec<bool>,
    pub scale: f64,
    /// Of the walk's coordinates: mean, and covariance row by row.
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
    /// First guess of the deviations; none where the covariance is given.
    guess: Vec<f64>,
}

impl AdaptiveWalk {
    /// A walk whose covariance is given.
    pub fn new(parameters: &[Parameter]) -> AdaptiveWalk {
        let d = parameters.len();
        AdaptiveWalk {
            positive: parameters.iter().map(|p| p.positive).collect(),
            scale: first_scale(d),
            mean: vec![0.0; d],
            covariance: vec![0.0; d * d],
            guess: Vec::new(),
        }
    }

    /// A walk that learns: its first guess is a third of the prior's spread.
    pub fn over(family: &dyn Family) -> AdaptiveWalk {
        let mut walk = AdaptiveWalk::new(&family.parameters());
        // The same draws in every run, so that one that goes on has the same guess.
        let at = |k: u64| Draws::new(Level::Portable, 0, Stream::ParticlesParameter, 0).at(k);
        let drawn: Vec<Vec<f64>> = (0..PRIOR_DRAWS).map(|k| walk.coordinates(&family.draw_prior(&at(k)))).collect();
        walk.guess = (0..walk.dimension()).map(|c| spread(drawn.iter().map(|x| x[c]).collect()) / 3.0).collect();
        walk
    }

    pub fn dimension(&self) -> usize {
        self.positive.len()
    }

    /// Starts at θ with the first guess of the spread, until the chain knows better.
    pub fn start(&mut self, theta: &[f64]) {
        let d = self.dimension();
        self.mean = self.coordinates(theta);
        for (c, guess) in self.guess.iter().enumerate() {
            self.covariance[c * d + c] = guess * guess;
        }
    }

    /// Coordinates of the walk.
    pub fn coordinates(&self, theta: &[f64]) -> Vec<f64> {
        theta.iter().zip(&self.positive).map(|(t, p)| if *p { ln(*t) } else { *t }).collect()
    }

    /// What a log density of θ gains in the walk's coordinates.
    pub fn log_jacobian(&self, theta: &[f64]) -> f64 {
        theta.iter().zip(&self.positive).filter(|(_, p)| **p).map(|(t, _)| ln(*t)).sum()
    }

    /// A proposal from θ with the draws of `at`; none where the covariance is singular.
    pub fn propose(&self, theta: &[f64], at: &Draws) -> Option<Vec<f64>> {
        let d = self.dimension();
        let mut proposed = self.coordinates(theta);
        let mut u = [1.0];
        if !self.guess.is_empty() {
            at.uniforms(d as u32, &mut u);
        }
        if u[0] < WIDE {
            for (j, (x, guess)) in proposed.iter_mut().zip(&self.guess).enumerate() {
                let mut z = [0.0];
                at.normals(j as u32, &mut z);
                *x += first_scale(d) * guess * z[0];
            }
            return Some(self.parameters(&proposed));
        }
        let factor = dense::cholesky(&self.covariance, d).ok()?;
        for j in 0..d {
            let mut z = [0.0];
            at.normals(j as u32, &mut z);
            for i in j..d {
                proposed[i] += self.scale * factor[i * d + j] * z[0];
            }
        }
        Some(self.parameters(&proposed))
    }

    /// Parameters of coordinates.
    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.positive).map(|(x, p)| if *p { exp(*x) } else { *x }).collect()
    }

    /// Learns from proposal `k` of the warm-up, after which the chain is at θ.
    pub fn adapt(&mut self, k: u64, accepted: bool, theta: &[f64]) {
        let (d, k) = (self.dimension(), k as f64);
        let rate = 1.0 / (k + 10.0).sqrt();
        let scale = self.scale * exp(rate * (f64::from(u8::from(accepted)) - ACCEPTANCE));
        self.scale = scale.max(SMALLEST_SCALE * first_scale(d));
        let x = self.coordinates(theta);
        let gain = 2.0 / (k + 40.0);
        let e: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        for a in 0..d {
            for b in 0..d {
                let c = &mut self.covariance[a * d + b];
                *c += gain * (e[a] * e[b] - *c);
            }
            let guess = self.guess.get(a).copied().unwrap_or(0.0);
            self.covariance[a * d + a] += gain * SMALLEST_COVARIANCE * guess * guess;
            self.mean[a] += gain * e[a];
        }
    }
}

/// The best one of a walk in `d` dimensions whose covariance is that of a normal target.
fn first_scale(d: usize) -> f64 {
    2.38 / (d.max(1) as f64).sqrt()
}

/// Deviation by the quartiles, which far draws do not move; 0.3 where it says nothing.
fn spread(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    let found = (x[x.len() * 3 / 4] - x[x.len() / 4]) / 1.349;
    if found > 0.0 && found.is_finite() { found } else { 0.3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Result};
    use crate::particles::FeynmanKac;

    /// A normal parameter of deviation 2 and a positive one whose logarithm has the deviation 0.5.
    struct Two;

    impl Family for Two {
        fn parameters(&self) -> Vec<Parameter> {
            let one = |name: &str, positive| Parameter { name: name.into(), positive };
            vec![one("m", false), one("s", true)]
        }

        fn draw_prior(&self, at: &Draws) -> Vec<f64> {
            let mut z = [[0.0]; 2];
            z.iter_mut().enumerate().for_each(|(c, z)| at.normals(c as u32, z));
            vec![2.0 * z[0][0], exp(0.5 * z[1][0])]
        }

        fn log_prior(&self, _theta: &[f64]) -> f64 {
            0.0
        }

        fn at(&self, _theta: &[f64]) -> Result<Box<dyn FeynmanKac>> {
            Err(Error::Usage("no flow".into()))
        }
    }

    fn at(k: u64) -> Draws {
        Draws::new(Level::Portable, 7, Stream::ParticlesParameter, 1000).at(k)
    }

    #[test]
    fn the_first_guess_is_a_third_of_the_priors_spread() {
        let mut walk = AdaptiveWalk::over(&Two);
        walk.start(&[0.0, 1.0]);
        // Quartiles of 64 draws know a deviation within some 15 %.
        let of = |c: usize| walk.covariance[3 * c].sqrt();
        assert!((of(0) / (2.0 / 3.0) - 1.0).abs() < 0.5 && (of(1) / (0.5 / 3.0) - 1.0).abs() < 0.5, "{walk:?}");
        assert_eq!(AdaptiveWalk::over(&Two).guess, walk.guess);
    }

    #[test]
    fn a_walk_that_accepts_nothing_keeps_steps_to_leave_by() {
        let mut walk = AdaptiveWalk::over(&Two);
        let theta = [1.0, 0.3];
        walk.start(&theta);
        let first = walk.clone();
        for k in 0..20_000 {
            walk.adapt(k, false, &theta);
        }
        assert_eq!(walk.scale, SMALLEST_SCALE * first.scale);
        for c in [0, 3] {
            let share = walk.covariance[c] / first.covariance[c];
            assert!((0.9 * SMALLEST_COVARIANCE..1e-4).contains(&share), "{share}");
        }
        // Steps over a tenth of the guess: those of the first guess alone.
        let (x, many) = (walk.coordinates(&theta), 4000);
        let long = |k: &u64| {
            let y = walk.coordinates(&walk.propose(&theta, &at(*k)).unwrap());
            (y[0] - x[0]).abs() > 0.1 * walk.guess[0]
        };
        let share = (0..many).filter(long).count() as f64 / many as f64;
        // 0.1 · P(|z| > 0.1/1.683) = 0.095, four standard errors 0.019.
        assert!((share - 0.095).abs() < 0.019, "{share}");
    }

    #[test]
    fn a_walk_whose_covariance_is_given_takes_no_wide_steps() {
        let mut walk = AdaptiveWalk::new(&Two.parameters());
        walk.covariance = vec![1e-12, 0.0, 0.0, 1e-12];
        for k in 0..200 {
            let y = walk.propose(&[1.0, 1.0], &at(k)).unwrap();
            assert!((y[0] - 1.0).abs() < 1e-4 && (y[1] - 1.0).abs() < 1e-4, "{y:?}");
        }
    }
}
