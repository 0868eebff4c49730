//! The methods, one file each, behind one trait; a new one is its file and its line in [`MethodInput`].
//!
//! A method may first *train* (levels of an annealing, fits of a twist); what it learns is then frozen, and each further
//! step is one *replicate*: an independent population whose evidence is unbiased given what was learned. The spread of
//! the replicates is the error bar.

mod annealed_dynamics;
mod controlled_annealing;
mod density_curve;
mod density_particles;
mod flexible_shooting;
pub mod importance;
mod rejection;
mod schrodinger_bridge;
mod shooting;
mod twisted_smc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chain::Chain;
use super::ensemble::{Context, Sampled};
use crate::error::Result;
use crate::state::Walk;

pub trait Method: Send {
    /// One round of training; `true` once nothing is left to learn. An error leaves the method as it was. Collective.
    fn train(&mut self, context: &Context, round: u64) -> Result<bool>;
    /// The paths of replicate `replicate`. Collective.
    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled>;
    /// What training has made: all that a restart needs.
    fn state(&mut self, walk: &mut dyn Walk) -> Result<()>;
    /// Drift evaluations of the training so far, over all ranks.
    fn training_evaluations(&self) -> f64 {
        0.0
    }
    /// (level from 0 to 1, quality) of the training so far, for the series; NaN where a method has no such number.
    fn training(&self) -> (f64, f64) {
        (f64::NAN, f64::NAN)
    }
    /// A second estimate of the log-evidence, without weights (thermodynamic integration, −F); and what it is.
    fn other_log_evidence(&self) -> Option<(f64, &'static str)> {
        None
    }
    /// Values held per path of a replicate, beyond its paths and log-weight.
    fn values_per_path(&self, _chain: &Chain) -> usize {
        0
    }
    /// Values that every rank holds beside its paths.
    fn values_held(&self) -> usize {
        0
    }
    /// Whether the weights say anything of an evidence.
    fn has_evidence(&self) -> bool {
        true
    }
    /// Whether walkers move, so that moves have an acceptance.
    fn moves(&self) -> bool {
        false
    }
    /// Whether replicates have a mean duration of their paths.
    fn has_durations(&self) -> bool {
        false
    }
    /// Whether the paths of a replicate are independent: then their weights say an error too.
    fn draws_independently(&self) -> bool {
        false
    }
    /// Least effective share of the paths for which an error is claimed: below it replicates may all miss the same region.
    fn least_share(&self) -> f64 {
        0.0
    }

    /// What a training that its limit cut short leaves undone.
    fn unsettled(&self) -> Option<Unsettled> {
        None
    }
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A training that ended before it was done, or moves that do not forget. Replicates may then all miss the same regions, so
/// that an error is claimed only where most of the paths are effective, and of moves none.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsettled {
    /// For the report: name, value and meaning.
    pub name: &'static str,
    pub value: f64,
    pub meaning: &'static str,
    /// For the log: what happened, and what helps.
    pub note: String,
}

/// Paths of a replicate, and replicates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    pub paths: usize,
    pub replicates: usize,
}

/// `[method]` of paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum MethodInput {
    /// Paths of the chain, weighted with e^{−J}; or of a chain guided by the twist of its linear part, weighted exactly.
    Importance(importance::Input),
    /// Paths of the chain, kept with probability e^{−J}/M, M the largest e^{−J}: independent draws of the posterior.
    Rejection(rejection::Input),
    /// A population along time, resampled where its weights degenerate, with or without a twist.
    TwistedSmc(twisted_smc::Input),
    /// A drift learned along levels of the cost by linear regression; exact by path weights.
    ControlledAnnealing(controlled_annealing::Input),
    /// Walkers in path space moved by pCN, pCNL, Hamiltonian dynamics, shooting or a Langevin SPDE along levels of the cost.
    AnnealedDynamics(annealed_dynamics::Input),
    /// Gaussian or mixture marginals optimised against the bound on the evidence, then importance sampling with their drift.
    DensityCurve(density_curve::Input),
    /// Clouds of particles optimised against the evidence's functional, then importance sampling with their drift.
    DensityParticles(density_particles::Input),
    /// Brownian motion tied to two sets of points, by entropic transport.
    SchrodingerBridge(schrodinger_bridge::Input),
    /// Transition path sampling: chains of paths by forward and backward shots.
    Shooting(shooting::Input),
    /// Transition path sampling with paths that end where they meet one of two sets.
    FlexibleShooting(flexible_shooting::Input),
    /// The committor between two sets and the rates between them, on a grid; no paths.
    Committor(super::committor::Input),
}

/// What is wrong with a method's keys: (key below `method`, message).
pub type Finding = (String, String);

impl MethodInput {
    pub fn size(&self) -> Size {
        match self {
            MethodInput::Importance(m) => (&m.size).into(),
            MethodInput::Rejection(m) => (&m.size).into(),
            MethodInput::TwistedSmc(m) => (&m.size).into(),
            MethodInput::ControlledAnnealing(m) => (&m.size).into(),
            MethodInput::AnnealedDynamics(m) => (&m.size).into(),
            MethodInput::DensityCurve(m) => (&m.size).into(),
            MethodInput::DensityParticles(m) => (&m.size).into(),
            MethodInput::SchrodingerBridge(m) => (&m.size).into(),
            MethodInput::Shooting(m) => (&m.size).into(),
            MethodInput::FlexibleShooting(m) => (&m.size).into(),
            MethodInput::Committor(_) => Size { paths: 0, replicates: 0 },
        }
    }

    /// Keys that other keys leave without use, and why.
    pub fn unused(&self) -> Vec<Finding> {
        match self {
            MethodInput::AnnealedDynamics(m) => m.unused(),
            _ => Vec::new(),
        }
    }

    /// The method for a chain.
    ///
    /// # Errors
    /// A key that does not fit the problem.
    pub fn build(&self, chain: &Chain) -> std::result::Result<Box<dyn Method>, Finding> {
        Ok(match self {
            MethodInput::Importance(m) => Box::new(m.build(chain)?),
            MethodInput::Rejection(m) => Box::new(m.build(chain)?),
            MethodInput::TwistedSmc(m) => Box::new(m.build(chain)?),
            MethodInput::ControlledAnnealing(m) => Box::new(m.build(chain)?),
            MethodInput::AnnealedDynamics(m) => Box::new(m.build(chain)?),
            MethodInput::DensityCurve(m) => Box::new(m.build(chain)?),
            MethodInput::DensityParticles(m) => Box::new(m.build(chain)?),
            MethodInput::SchrodingerBridge(m) => Box::new(m.build(chain)?),
            MethodInput::Shooting(m) => Box::new(m.build(chain)?),
            MethodInput::FlexibleShooting(m) => Box::new(m.build(chain)?),
            MethodInput::Committor(_) => return Err(("name".into(), "draws no paths".into())),
        })
    }
}

/// (name, one line) of every method.
pub fn list() -> Vec<(&'static str, &'static str)> {
    vec![
        ("importance", "paths of the chain, or of a guided one, with weights"),
        ("rejection", "paths of the chain, kept with probability exp(-J) over its largest value"),
        ("twisted_smc", "sequential Monte Carlo along time; twists: none, linear, quadratic, learned, grid"),
        ("controlled_annealing", "a drift learned along levels of the cost, exact by path weights"),
        ("annealed_dynamics", "walkers in path space (pcn, pcnl, hmc, shooting, spde) along levels of the cost"),
        ("density_curve", "Gaussian or mixture marginals optimised against the evidence bound, exact by weights"),
        ("density_particles", "clouds of particles optimised against the evidence's functional, exact by weights"),
        ("shooting", "transition path sampling: chains of paths by forward and backward shots"),
        ("flexible_shooting", "transition path sampling with paths that end where they meet one of two sets"),
        ("committor", "probability of reaching one set before another, and rates, on a grid of one or two coordinates"),
        ("schrodinger_bridge", "Brownian motion tied to two sets of points, by entropic transport"),
    ]
}

/// Keys of methods that draw paths, particles of a population.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Population {
    /// Paths of a replicate; rounded up to a multiple of 64.
    #[serde(default = "thousands")]
    #[schemars(range(min = 1))]
    pub paths: usize,
    /// Independent replicates, for the error bars.
    #[serde(default = "sixteen")]
    #[schemars(range(min = 2, max = 4096))]
    pub replicates: usize,
}

/// Keys of methods whose paths are walkers that move many times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalkerPopulation {
    /// Walkers (paths) of a replicate; rounded up to a multiple of 64.
    #[serde(default = "a_thousand")]
    #[schemars(range(min = 1))]
    pub paths: usize,
    /// Independent replicates, for the error bars.
    #[serde(default = "sixteen")]
    #[schemars(range(min = 2, max = 4096))]
    pub replicates: usize,
}

fn thousands() -> usize {
    4096
}

fn a_thousand() -> usize {
    1024
}

fn sixteen() -> usize {
    16
}

impl From<&Population> for Size {
    fn from(of: &Population) -> Size {
        Size { paths: of.paths, replicates: of.replicates }
    }
}

impl From<&WalkerPopulation> for Size {
    fn from(of: &WalkerPopulation) -> Size {
        Size { paths: of.paths, replicates: of.replicates }
    }
}
