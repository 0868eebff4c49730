//! What is asked: the typed `[problem]` and `[method]` of entropic optimal transport.
//!
//!     min ⟨P, C⟩ + ε KL(P | a bᵀ)   over plans P with marginals a, b (or penalised marginals)
//!
//! with KL(P|Q) = Σ P log(P/Q) − P + Q. Conventions of other codes are translated in docs/transport.md.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[problem]` of transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemInput {
    /// Where mass comes from.
    pub source: MeasureInput,
    /// Where mass goes to.
    pub target: MeasureInput,
    /// The cost c(x, y) of moving a unit of mass.
    #[serde(default)]
    pub cost: CostInput,
    /// Regularisation ε > 0, in units of the cost (see epsilon_relative_to).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
    /// Multiply epsilon by a statistic of the cost.
    #[serde(default)]
    pub epsilon_relative_to: EpsilonUnit,
    /// What is computed: the transport cost, or the debiased Sinkhorn divergence.
    #[serde(default)]
    pub quantity: Quantity,
    /// Penalty ρ₁ on KL(P1 | a); absent: the source marginal is a constraint.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub source_penalty: Option<f64>,
    /// Penalty ρ₂ on KL(Pᵀ1 | b); absent: the target marginal is a constraint.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub target_penalty: Option<f64>,
    /// Scale both weights to sum 1. Default: true for images, clouds and absent weights; false for given weights.
    #[serde(default)]
    pub normalise: Option<bool>,
    /// Derived results written to output.h5.
    #[serde(default)]
    pub results: Vec<DerivedResult>,
    /// How many of the largest plan entries to keep (with results = ["plan_entries"]).
    #[serde(default = "default_plan_entries")]
    pub plan_entries: usize,
}

fn default_plan_entries() -> usize {
    10_000
}

/// A discrete measure: points in ℝ^d with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MeasureInput {
    /// Points from a file: an n×d array in HDF5, .npy, .npz or CSV.
    Points {
        /// Path, relative to the input file.
        file: PathBuf,
        /// Dataset inside an HDF5 or .npz file.
        #[serde(default)]
        dataset: Option<String>,
        /// File of n weights; the points' own file when only weights_dataset is given; uniform when both are absent.
        #[serde(default)]
        weights: Option<PathBuf>,
        /// Dataset of the weights inside an HDF5 or .npz file.
        #[serde(default)]
        weights_dataset: Option<String>,
    },
    /// An image (PNG, JPEG) as a measure on its pixel grid: the weight is the luminance of the picture on white paper.
    ImageGrid {
        /// Path, relative to the input file. Transparent pixels show the paper: full weight, none with `invert`.
        file: PathBuf,
        /// Weight 1 − luminance instead: ink on paper; transparent pixels have none.
        #[serde(default)]
        invert: bool,
        /// Added to every weight before normalising, as a fraction of the mean weight.
        #[serde(default)]
        #[schemars(extend("minimum" = 0))]
        floor: f64,
        /// Resize to [rows, columns] first (Lanczos).
        #[serde(default)]
        size: Option<[usize; 2]>,
    },
    /// A density on a regular grid in [0,1]^d (cell centres), d = 1, 2 or 3: an array in HDF5, .npy or .npz.
    Density {
        /// Path, relative to the input file.
        file: PathBuf,
        /// Dataset inside an HDF5 or .npz file.
        #[serde(default)]
        dataset: Option<String>,
    },
    /// The colours of an image as a cloud in ℝ³: unique colours, weighted by how often they occur.
    ImageColours {
        /// Path, relative to the input file. Transparent pixels are laid over white.
        file: PathBuf,
        /// Colour space of the points.
        #[serde(default)]
        space: ColourSpace,
        /// Levels per channel kept before counting (2 to 256); 256 keeps every colour.
        #[serde(default = "default_levels")]
        #[schemars(range(min = 2, max = 256))]
        levels: usize,
    },
    /// A Gaussian on a regular quadrature grid of an interval, square or cube (exact answers are known).
    GaussianGrid {
        /// Mean, one number per axis.
        mean: Vec<f64>,
        /// Standard deviation per axis.
        standard_deviation: Vec<f64>,
        /// Grid points per axis.
        points: usize,
        /// The interval of every axis, [low, high].
        interval: [f64; 2],
        /// Total mass.
        #[serde(default = "one")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        mass: f64,
    },
    /// Samples of a Gaussian mixture, uniform weights, by addressed random numbers.
    GaussianSamples {
        /// Number of points.
        points: usize,
        /// One mean per component, each of d numbers.
        means: Vec<Vec<f64>>,
        /// Standard deviation of each component (isotropic).
        standard_deviations: Vec<f64>,
        /// Probability of each component; equal when absent.
        #[serde(default)]
        proportions: Option<Vec<f64>>,
    },
    /// Uniform samples of [0,1]^d.
    UniformSamples {
        /// Number of points.
        points: usize,
        /// Dimension d.
        dimension: usize,
    },
    /// The uniform measure on the N^d torus grid in [0,1)^d (exact answers with cost.period = 1).
    Torus {
        /// Grid points per axis.
        points: usize,
        /// Dimension d = 1, 2 or 3.
        dimension: usize,
        /// Translate the grid by this much along every axis.
        #[serde(default)]
        shift: f64,
    },
    /// Points spread evenly on a shape in ℝ³ (deterministic low-discrepancy).
    Shape {
        /// Which shape.
        shape: Shape,
        /// Number of points.
        points: usize,
        /// Centre.
        #[serde(default)]
        centre: [f64; 3],
        /// Outer radius.
        #[serde(default = "one")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        radius: f64,
    },
    /// Abstract atoms 0..n, for a cost given as a matrix.
    Atoms {
        /// Number of atoms.
        points: usize,
        /// File of the weights; uniform when absent.
        #[serde(default)]
        weights: Option<PathBuf>,
        /// Dataset of the weights inside an HDF5 or .npz file.
        #[serde(default)]
        weights_dataset: Option<String>,
    },
}

fn default_levels() -> usize {
    256
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColourSpace {
    /// sRGB values in [0,1].
    #[default]
    Rgb,
    /// CIE 1976 L*a*b* (D65), divided by 100.
    Cielab,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Sphere,
    Torus,
    TrefoilKnot,
    SwissRoll,
}

impl Shape {
    /// As an input writes it.
    pub fn word(self) -> &'static str {
        match self {
            Shape::Sphere => "sphere",
            Shape::Torus => "torus",
            Shape::TrefoilKnot => "trefoil_knot",
            Shape::SwissRoll => "swiss_roll",
        }
    }
}

/// The cost c(x, y).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CostInput {
    /// |x − y|².
    SquaredEuclidean {
        /// Period of every axis: distances on the torus.
        #[serde(default)]
        #[schemars(extend("exclusiveMinimum" = 0))]
        period: Option<f64>,
    },
    /// |x − y|.
    Euclidean {},
    /// |x − y|^p.
    EuclideanPower {
        /// Exponent p > 0.
        #[schemars(extend("exclusiveMinimum" = 0))]
        power: f64,
    },
    /// 1 − x·y / (|x||y|).
    Cosine {},
    /// A matrix from a file, n×m, in HDF5, .npy or .npz.
    Matrix {
        /// Path, relative to the input file.
        file: PathBuf,
        /// Dataset inside an HDF5 or .npz file.
        #[serde(default)]
        dataset: Option<String>,
    },
}

impl Default for CostInput {
    fn default() -> Self {
        CostInput::SquaredEuclidean { period: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EpsilonUnit {
    /// epsilon is in units of the cost.
    #[default]
    Absolute,
    /// epsilon × mean of all entries of the cost (unweighted, as OTT does), of clouds those between atoms with mass.
    Mean,
    /// epsilon × standard deviation of all entries of the cost, likewise.
    StandardDeviation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// OT_ε(a, b).
    #[default]
    Transport,
    /// S_ε(a, b) = OT_ε(a, b) − ½ OT_ε(a, a) − ½ OT_ε(b, b) (+ ε/2 (Σa − Σb)² when unbalanced).
    Divergence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DerivedResult {
    /// T(x_i) = Σ_j P_ij y_j / Σ_j P_ij.
    BarycentricMap,
    /// Gradients with respect to the points and weights of both sides: of OT_ε, or of S_ε for the divergence. Grids with
    /// a separable cost and a cost given as a matrix have none in the points.
    Gradients,
    /// The largest entries of the plan, as (row, column, mass).
    PlanEntries,
}

/// `[method]` of transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MethodInput {
    /// Which method (`spanwise list transport`).
    pub name: MethodName,
    /// Stop when ‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁ (relative to the mass) is below this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Stop also when (upper − lower)/|upper| of the certified interval of OT_ε is below this; absent: off. Of a divergence
    /// it is the interval of OT_ε(a, b), and the symmetric problems meet the tolerance besides.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gap_tolerance: Option<f64>,
    /// Steps between evaluations of the certified gap (with gap_tolerance).
    #[schemars(range(min = 1))]
    pub check_every: u64,
    /// Arithmetic of the exponentials; certificates are always f64.
    pub precision: PrecisionInput,
    /// Go through decreasing ε: from the largest cost, or as given.
    pub epsilon_scaling: EpsilonScaling,
    /// Potentials of an earlier output.h5 to start from.
    pub warm_start: Option<PathBuf>,
    /// Relaxation ω of `overrelaxed`, in (0, 2); absent: adapted from the observed rate.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 2))]
    pub relaxation: Option<f64>,
    /// History length of `anderson`.
    #[schemars(range(min = 1, max = 50))]
    pub memory: usize,
    /// Bandwidth of the Laplace kernel of the `semidual_rkhs` methods, in units of the points.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub bandwidth: Option<f64>,
    /// Store the Gibbs kernel when the whole of it takes at most this many MiB over all ranks and it can neither under-
    /// nor overflow (0: never). Over all ranks, so that the choice, and the bits, do not depend on their number.
    pub stored_kernel_mib: u64,
    /// How points are laid out over ranks.
    pub layout: Layout,
}

impl Default for MethodInput {
    fn default() -> Self {
        MethodInput {
            name: MethodName::Accelerated,
            tolerance: 1e-6,
            gap_tolerance: None,
            check_every: 10,
            precision: PrecisionInput::Mixed,
            epsilon_scaling: EpsilonScaling::default(),
            warm_start: None,
            relaxation: None,
            memory: 8,
            bandwidth: None,
            stored_kernel_mib: 512,
            layout: Layout::Auto,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MethodName {
    /// Alternating soft c-transforms.
    Sinkhorn,
    /// Sinkhorn with over-relaxed potentials, safeguarded.
    Overrelaxed,
    /// Safeguarded extrapolation of the Sinkhorn map: Anderson's, or Nesterov's momentum where memory is short.
    Accelerated,
    /// Anderson acceleration of the Sinkhorn map, safeguarded.
    Anderson,
    /// Damped Newton on the semi-dual, by conjugate gradients.
    Newton,
    /// Steepest ascent of the semi-dual in the sup norm.
    SemidualSigned,
    /// Gradient ascent of the semi-dual in a reproducing-kernel Hilbert space.
    SemidualRkhs,
    /// The same with Nesterov momentum and restart.
    SemidualRkhsAccelerated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionInput {
    /// f64 throughout.
    F64,
    /// f32 throughout; the achievable error is limited.
    F32,
    /// f32 until the error reaches its floor, then f64.
    #[default]
    Mixed,
}

/// ε-scaling: solve at ε₀ > … > ε, each to `level_tolerance`, carrying the potentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EpsilonScaling {
    /// Whether to scale; "auto" scales when the largest cost exceeds 300 ε and there is no warm start.
    pub enabled: Switch,
    /// ε_{l+1} = factor · ε_l, in (0, 1).
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub factor: f64,
    /// First ε; absent: a tenth of the largest cost.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub start: Option<f64>,
    /// Marginal error at which a level is left.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub level_tolerance: f64,
}

impl Default for EpsilonScaling {
    fn default() -> Self {
        EpsilonScaling { enabled: Switch::Auto, factor: 0.25, start: None, level_tolerance: 3e-2 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Replicated points while they take less than an eighth of the rank's memory; the ring otherwise.
    #[default]
    Auto,
    /// Every rank holds all points; the owner computes (L0).
    Replicated,
    /// Points stay with their owners and travel in blocks (L3).
    Ring,
}

impl Layout {
    pub fn word(self) -> &'static str {
        match self {
            Layout::Auto => "auto",
            Layout::Replicated => "replicated",
            Layout::Ring => "ring",
        }
    }
}
