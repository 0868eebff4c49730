//! What is asked: `[problem]` and `[method]` of the room.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::models::{ModelInput, Proposal};
use super::smoothing::SmoothingInput;
use crate::particles::moves::Kernel;
use crate::particles::{Precision, Scheme};

/// `[problem]` of the smc room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemInput {
    /// The model, with its parameters.
    pub model: ModelInput,
    /// What was observed; for state-space models.
    #[serde(default)]
    pub observations: Option<ObservationsInput>,
    /// Times of the observations, increasing; absent: 0, 1, 2, …
    #[serde(default)]
    pub times: Option<Vec<f64>>,
    /// Filters: levels in (0, 1) of filtering quantiles to record, of the particles of all islands together.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub quantiles: Vec<f64>,
    /// The law of observations that were not used, and with logistic_regression of outcomes; absent: none.
    #[serde(default)]
    pub predict: Option<PredictInput>,
}

/// Posterior predictive: of each observation given those before it (filters, smc_squared), of times after the last one, and of
/// the outcomes of cases (tempering of logistic_regression).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PredictInput {
    /// Times after the last observation.
    #[schemars(range(max = 1_000_000))]
    pub steps: usize,
    /// Time between them; absent: that between the last two observations, or 1.
    pub interval: Option<f64>,
    /// logistic_regression: a CSV, NumPy or HDF5 file of new cases, with the columns of the data; labels may be nan, or the label's
    /// column left out.
    pub file: Option<PathBuf>,
    /// Dataset of an HDF5 file or member of an archive.
    pub dataset: Option<String>,
    /// logistic_regression: outcomes of every case drawn for each island.
    #[schemars(range(max = 1_000_000))]
    pub draws: usize,
}

/// Observations: one of `values`, `file` and `simulate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ObservationsInput {
    /// Numbers, time after time (all components of a time in a row); nan where missing.
    #[schemars(extend("x-nan" = true))]
    pub values: Option<Vec<f64>>,
    /// A CSV, NumPy or HDF5 file, one row per time.
    pub file: Option<PathBuf>,
    /// Dataset of an HDF5 file or member of an archive.
    pub dataset: Option<String>,
    /// Columns of the file to take as the components; absent: all, in order.
    pub columns: Option<Vec<usize>>,
    /// Simulate so many times from the model itself.
    #[schemars(range(min = 1))]
    pub simulate: Option<usize>,
    /// Seed of the simulation; absent: run.seed.
    pub seed: Option<u64>,
}

/// The method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Particles move by the transition of the model.
    #[default]
    Bootstrap,
    /// Particles move by a law that knows the present observation.
    Guided,
    /// Guided, with weights that look one observation ahead.
    Auxiliary,
    /// From the prior to the posterior through powers of the likelihood.
    Tempering,
    /// A chain of the model's parameters, with a filter's estimate for their likelihood.
    Pmmh,
    /// Particles of the model's parameters, each with a filter of its own.
    SmcSquared,
    /// Chains of whole trajectories, each drawn about the last one, and of the model's parameters.
    ParticleGibbs,
}

impl Name {
    pub const ALL: [(&'static str, &'static str); 7] = [
        ("bootstrap", "particles move by the transition of the model"),
        ("guided", "particles move by a law that knows the present observation"),
        ("auxiliary", "guided, with weights that look one observation ahead; of linear Gaussian models"),
        ("tempering", "from the prior to the posterior through powers of the likelihood, with MCMC moves at each"),
        ("pmmh", "particle marginal Metropolis–Hastings: a chain of the model's parameters"),
        ("smc_squared", "particles of the model's parameters, each with a filter: posterior and evidence as data come"),
        (
            "particle_gibbs",
            "chains of whole trajectories given all data, and of the parameters that have priors, by conditional SMC",
        ),
    ];

    pub fn word(self) -> &'static str {
        Name::ALL[self as usize].0
    }

    /// The proposal of a filter; none for a sampler.
    pub fn proposal(self) -> Option<Proposal> {
        match self {
            Name::Bootstrap => Some(Proposal::Bootstrap),
            Name::Guided => Some(Proposal::Guided),
            Name::Auxiliary => Some(Proposal::Auxiliary),
            Name::Tempering | Name::Pmmh | Name::SmcSquared | Name::ParticleGibbs => None,
        }
    }
}

const FILTERS: &[Name] = &[Name::Bootstrap, Name::Guided, Name::Auxiliary];
const TEMPERING: &[Name] = &[Name::Tempering];
const CHAINS: &[Name] = &[Name::Pmmh, Name::ParticleGibbs];
const OF_PARAMETERS: &[Name] = &[Name::Pmmh, Name::SmcSquared, Name::ParticleGibbs];

/// The keys of [`MethodInput`] that are not of all methods, with the methods that use them.
pub const USES: [(&str, &[Name]); 22] = [
    ("resampling", &[Name::Bootstrap, Name::Guided, Name::Auxiliary, Name::Tempering, Name::Pmmh, Name::SmcSquared]),
    ("sort", &[Name::Bootstrap, Name::Guided, Name::Auxiliary, Name::Pmmh, Name::SmcSquared]),
    (
        "ess_threshold",
        &[Name::Bootstrap, Name::Guided, Name::Auxiliary, Name::Pmmh, Name::SmcSquared, Name::ParticleGibbs],
    ),
    ("precision", &[Name::Bootstrap, Name::Guided, Name::Auxiliary, Name::Pmmh]),
    ("smoothing", FILTERS),
    ("lee_whiteley", FILTERS),
    ("chan_lai", FILTERS),
    ("kernel", TEMPERING),
    ("keep", TEMPERING),
    ("least_moves", TEMPERING),
    ("most_moves", TEMPERING),
    ("correlation", TEMPERING),
    ("waste_free", TEMPERING),
    ("freeze", TEMPERING),
    ("iterations", CHAINS),
    ("warm_up", CHAINS),
    ("parameter_particles", &[Name::SmcSquared]),
    ("parameters", OF_PARAMETERS),
    ("proposal", OF_PARAMETERS),
    ("ancestor_sampling", &[Name::ParticleGibbs]),
    ("parameter_moves", &[Name::SmcSquared, Name::ParticleGibbs]),
    ("thin", &[Name::ParticleGibbs]),
];

/// `[method]` of the smc room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MethodInput {
    pub name: Name,
    /// Particles of an island; smc_squared: of each filter.
    #[schemars(range(min = 2, max = 1_099_511_627_776_u64))]
    pub particles: usize,
    /// Independent filters side by side, from which errors are estimated; particle_gibbs: chains.
    #[schemars(range(min = 1, max = 4095))]
    pub islands: usize,
    /// How offspring are drawn; particle_gibbs: always multinomial.
    pub resampling: Scheme,
    /// Filters, pmmh and smc_squared: systematic resampling takes the particles of an island in the order of this coordinate; absent: of their
    /// slots.
    pub sort: Option<String>,
    /// All but tempering: resample when the effective sample size falls below this fraction of the particles; 1: at every step
    /// (smc_squared: but where the observation is missing, and the last).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ess_threshold: f64,
    /// Filters and pmmh: in what states are kept; "f32" halves their memory and messages. Models compute in f64 either way.
    pub precision: Precision,
    /// Filters: the states of all times given all data, at the end of the run; absent: filtering alone.
    pub smoothing: Option<SmoothingInput>,
    /// Filters: the variance of the evidence from each island alone [LeeWhiteley2018]; needs resampling = "multinomial" at every
    /// step (ess_threshold = 1), and 50 first particles with descendants for a number.
    pub lee_whiteley: bool,
    /// Filters: standard errors of the means from each island alone [ChanLai2013]; needs 100 first particles with descendants
    /// for a number, and is a heuristic unless resampling is "multinomial".
    pub chan_lai: bool,
    /// Tempering: how particles are moved.
    pub kernel: Kernel,
    /// Tempering: the next power of the likelihood keeps this share of the effective sample size.
    #[schemars(range(min = 0.05, max = 0.99))]
    pub keep: f64,
    /// Tempering: fewest and most sweeps of moves at a power.
    #[schemars(range(min = 1, max = 10000))]
    pub least_moves: usize,
    #[schemars(range(min = 1, max = 10000))]
    pub most_moves: usize,
    /// Tempering: moves go on until no coordinate's correlation with where it began is above this.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub correlation: f64,
    /// Tempering: keep all states of chains of so many (waste-free), each begun by one of particles / waste_free draws; 1: the
    /// last state of each particle's moves alone. Takes the place of least_moves, most_moves and correlation.
    #[schemars(range(min = 1, max = 100_000))]
    pub waste_free: usize,
    /// Tempering: a first run of one island chooses powers and moves, then all islands run under its schedule: the evidence
    /// is unbiased and its interval true. Without it the schedule adapts to the same particles, and no interval is claimed.
    pub freeze: bool,
    /// pmmh, particle_gibbs: proposals or draws after the warm-up.
    #[schemars(range(min = 1))]
    pub iterations: u64,
    /// pmmh: proposals during which the walk adapts; particle_gibbs: draws that are not counted, during which it does.
    pub warm_up: u64,
    /// smc_squared: particles of parameters of an island, each with a filter.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub parameter_particles: usize,
    /// pmmh, smc_squared, particle_gibbs: parameters that vary; absent: all that have a prior.
    pub parameters: Vec<String>,
    /// pmmh, smc_squared, particle_gibbs: how particles of the filters move.
    pub proposal: Proposal,
    /// particle_gibbs: draw the past of a trajectory anew at every resampling; needs a transition density.
    pub ancestor_sampling: bool,
    /// particle_gibbs: Metropolis–Hastings proposals of the parameters before each trajectory; smc_squared: at each resampling.
    #[schemars(range(min = 1, max = 10_000))]
    pub parameter_moves: u64,
    /// particle_gibbs: every thin-th trajectory after the warm-up is kept and written; at most iterations.
    #[schemars(range(min = 1))]
    pub thin: u64,
}

impl Default for MethodInput {
    fn default() -> Self {
        MethodInput {
            name: Name::Bootstrap,
            particles: 10_000,
            islands: 16,
            resampling: Scheme::Systematic,
            sort: None,
            precision: Precision::F64,
            ess_threshold: 0.5,
            smoothing: None,
            lee_whiteley: false,
            chan_lai: false,
            kernel: Kernel::RandomWalk,
            keep: 0.5,
            least_moves: 2,
            most_moves: 50,
            correlation: 0.1,
            waste_free: 1,
            freeze: true,
            iterations: 2000,
            warm_up: 500,
            parameter_particles: 200,
            parameters: Vec::new(),
            proposal: Proposal::Bootstrap,
            ancestor_sampling: true,
            parameter_moves: 5,
            thin: 10,
        }
    }
}
