//! Models against their truths, through a plain particle filter on one rank that owes nothing to the engine.

use std::sync::Arc;

use super::*;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::{Draws, Tile, View};

mod flows;
mod targets;

/// What a filter found.
pub(super) struct Found {
    pub log_evidence: f64,
    /// Filtering means, times × coordinates.
    pub means: Vec<f64>,
}

fn draws(seed: u64, stream: Stream, step: usize) -> Draws {
    Draws::new(Level::detect(), seed, stream, step as u32)
}

/// A particle filter with `n` ≤ TILE particles in one tile, systematic resampling at every step.
pub(super) fn filter(flow: &dyn FeynmanKac, n: usize, seed: u64) -> Found {
    let d = flow.dimension();
    let level = Level::detect();
    let (mut x, mut old) = (vec![0.0; d * n], vec![0.0; d * n]);
    let mut found = Found { log_evidence: 0.0, means: Vec::new() };
    let mut twist = vec![0.0; n];
    for k in 0..flow.horizon() {
        let mut w = vec![0.0; n];
        let empty = View::new(level, &[], 0, 0);
        if k == 0 {
            flow.initial(&draws(seed, Stream::ParticlesInitial, 0), &mut Tile::new(level, &mut x, n, n), &mut w);
            flow.log_potential(0, empty, View::new(level, &x, n, n), &mut w);
        } else {
            let previous = View::new(level, &old, n, n);
            let mut tile = Tile::new(level, &mut x, n, n);
            flow.mutate(k, &draws(seed, Stream::ParticlesMutate, k), previous, &mut tile, &mut w);
            flow.log_potential(k, previous, View::new(level, &x, n, n), &mut w);
        }
        // What is filtered does not know the twist.
        let plain: Vec<f64> = w.iter().zip(&twist).map(|(w, t)| w - t).collect();
        w.copy_from_slice(&plain);
        let mut psi = vec![0.0; n];
        if flow.is_twisted() && k + 1 < flow.horizon() {
            flow.log_twist(k, View::new(level, &x, n, n), &mut psi);
        }
        // Means under the target of the filter: weights without the new twist, on resampled particles.
        let top = plain.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let p: Vec<f64> = plain.iter().map(|w| (w - top).exp()).collect();
        let total: f64 = p.iter().sum();
        for c in 0..d {
            found.means.push(p.iter().zip(&x[c * n..]).map(|(p, x)| p * x).sum::<f64>() / total);
        }
        w.iter_mut().zip(&psi).for_each(|(w, p)| *w += p);
        let top = w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let p: Vec<f64> = w.iter().map(|w| (w - top).exp()).collect();
        let total: f64 = p.iter().sum();
        found.log_evidence += top + (total / n as f64).ln();
        let mut u = [0.0];
        draws(seed, Stream::ParticlesResample, k).uniforms(0, &mut u);
        let (mut i, mut cumulated) = (0, p[0] / total * n as f64);
        for j in 0..n {
            while j as f64 + u[0] >= cumulated && i + 1 < n {
                i += 1;
                cumulated += p[i] / total * n as f64;
            }
            (0..d).for_each(|c| old[c * n + j] = x[c * n + i]);
            twist[j] = psi[i];
        }
    }
    found
}

pub(super) fn model(toml: &str) -> Box<dyn StateSpace> {
    match built(toml) {
        Ok(Built::StateSpace(model)) => model,
        Ok(Built::Sampler(_)) => panic!("{toml} is a sampler"),
        Err((key, message)) => panic!("{key}: {message}"),
    }
}

pub(super) fn sampler(toml: &str) -> Sampler {
    match built(toml) {
        Ok(Built::Sampler(sampler)) => sampler,
        Ok(Built::StateSpace(_)) => panic!("{toml} is a state-space model"),
        Err((key, message)) => panic!("{key}: {message}"),
    }
}

fn cancer() -> Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inputs/smc/breast_cancer.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<f64>> =
        text.lines().skip(2).map(|l| l.split(',').map(|c| c.parse().unwrap()).collect()).collect();
    Table { rows: rows.len(), columns: rows[0].len(), values: rows.concat() }
}

pub(super) fn built(toml: &str) -> Result<Built, Refusal> {
    let input: ModelInput = toml::from_str(toml).unwrap();
    input.build(&|_, _, _| Ok(cancer()))
}

fn empty(components: usize, times: &[f64]) -> Arc<Observations> {
    Arc::new(Observations { components, times: times.to_vec(), values: vec![f64::NAN; components * times.len()] })
}

/// Observations drawn from the model, a share of them then struck out.
pub(super) fn simulated(model: &dyn StateSpace, times: &[f64], seed: u64, missing: bool) -> Arc<Observations> {
    let o = model.components().len();
    let mut data = (*empty(o, times)).clone();
    let flow = model.flow(&empty(o, times), Proposal::Bootstrap).map_err(|e| e.1).unwrap();
    let d = flow.dimension();
    let level = Level::detect();
    let (mut x, mut old, mut y) = (vec![0.0; d], vec![0.0; d], vec![0.0; o]);
    for k in 0..times.len() {
        let mut w = [0.0];
        let mut tile = Tile::new(level, &mut x, 1, 1);
        if k == 0 {
            flow.initial(&draws(seed, Stream::ParticlesInitial, 0), &mut tile, &mut w);
        } else {
            let previous = View::new(level, &old, 1, 1);
            flow.mutate(k, &draws(seed, Stream::ParticlesMutate, k), previous, &mut tile, &mut w);
        }
        assert_eq!(w, [0.0], "a bootstrap flow does not weigh its draws");
        let seen = View::new(level, &x, 1, 1);
        assert!(flow.observe(k, &draws(seed, Stream::ParticlesData, k), seen, &mut Tile::new(level, &mut y, 1, 1)));
        data.values[k * o..(k + 1) * o].copy_from_slice(&y);
        old.copy_from_slice(&x);
    }
    if missing {
        for (i, v) in data.values.iter_mut().enumerate() {
            if i % 5 == 3 || i % 7 == 6 {
                *v = f64::NAN;
            }
        }
    }
    Arc::new(data)
}

const WRITTEN_VOLATILITY: &str = r#"
kind = "written"
states = ["x"]
parameters = { mu = -1.0, phi = 0.95, sigma = 0.25 }
noises = { n = { distribution = "normal" } }
initial = { x = "mu + sigma/sqrt(1 - phi^2)*n" }
transition = { x = "mu + phi*(x - mu) + sigma*n" }
observation = { y = { distribution = "normal", mean = 0.0, sd = "exp(x/2)" } }
"#;

const WRITTEN_WALK: &str = r#"
kind = "written"
states = ["x"]
parameters = { a = 0.9, q = 0.5, r = "0.7" }
noises = { n = { distribution = "normal" } }
initial = { x = "n" }
transition = { x = "a*x + q*n" }
observation = { y = { distribution = "normal", mean = "x", sd = "r" } }
"#;

const WALK: &str = r#"
kind = "linear_gaussian"
coefficient = 0.9
state_sd = 0.5
observation_sd = 0.7
initial_sd = 1.0
"#;

const VOLATILITY: &str = r#"kind = "stochastic_volatility""#;

const PAIR: &str = r#"
kind = "multivariate_stochastic_volatility"
mean = [-1.0, 0.2]
persistence = [0.95, 0.8]
volatility = [0.25, 0.4]
"#;

const CORRELATED: &str = r#"
kind = "multivariate_stochastic_volatility"
mean = [-1.0, 0.2]
persistence = [0.95, 0.8]
volatility = [0.25, 0.4]
state_correlation = [[1.0, 0.5], [0.5, 1.0]]
return_correlation = [[1.0, -0.6], [-0.6, 1.0]]
"#;

const SYSTEM: &str = r#"
kind = "linear_system"
transition = [[0.8, 0.2, 0.0], [-0.1, 0.9, 0.1], [0.0, 0.3, 0.5]]
shift = [0.1, 0.0, -0.2]
noise_covariance = [[0.3, 0.1, 0.0], [0.1, 0.4, 0.0], [0.0, 0.0, 0.2]]
observation = [[1.0, 0.0, 0.5], [0.0, 1.0, -1.0]]
offset = [0.3, 0.0]
observation_covariance = [[0.5, 0.2], [0.2, 0.6]]
initial_mean = [0.5, 0.0, 0.0]
initial_covariance = [[1.0, 0.2, 0.0], [0.2, 1.0, 0.0], [0.0, 0.0, 0.5]]
"#;

const TRACK: &str = r#"
kind = "constant_velocity"
acceleration = 0.2
observation_sd = 2.0
"#;

const OSCILLATOR: &str = r#"
kind = "linear_system"
continuous = true
transition = [[0.0, 1.0], [-1.0, -0.2]]
noise_covariance = [[0.0, 0.0], [0.0, 0.5]]
observation = [[1.0, 0.0]]
observation_covariance = [[0.3]]
initial_covariance = [[1.0, 0.0], [0.0, 1.0]]
"#;

const BEARINGS: &str = r#"
kind = "bearings_only"
sensors = [[0.0, 0.0], [1.0, 0.0]]
initial_position = [0.3, 0.8]
initial_velocity = [0.01, -0.02]
position_sd = 0.1
observation_sd = 0.05
acceleration = 1e-4
"#;

const RING: &str = r#"
kind = "lorenz_96"
dimension = 6
stride = 2
initial_sd = 1.0
"#;

const PREDATORS: &str = r#"kind = "lotka_volterra""#;
const EPIDEMIC: &str = r#"kind = "epidemic""#;

const ALL_STATE_SPACE: [&str; 13] = [
    WALK,
    VOLATILITY,
    PAIR,
    CORRELATED,
    SYSTEM,
    TRACK,
    OSCILLATOR,
    BEARINGS,
    RING,
    PREDATORS,
    EPIDEMIC,
    WRITTEN_VOLATILITY,
    WRITTEN_WALK,
];

/// Irregular, but for the first step.
const TIMES: [f64; 12] = [0.0, 1.0, 1.5, 2.0, 2.25, 3.0, 4.0, 4.5, 5.5, 6.0, 6.5, 7.0];

/// ln of the mean of Ẑ/Z, its standard error, and the standard deviation of Ẑ/Z, over `runs`.
fn ratio(flow: &dyn FeynmanKac, exact: f64, n: usize, runs: u64) -> (f64, f64, f64) {
    let z: Vec<f64> = (0..runs).map(|r| (filter(flow, n, 100 + r).log_evidence - exact).exp()).collect();
    let mean = z.iter().sum::<f64>() / runs as f64;
    let variance = z.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>() / (runs - 1) as f64;
    (mean, (variance / runs as f64).sqrt(), variance.sqrt())
}
