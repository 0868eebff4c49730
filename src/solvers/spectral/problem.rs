//! What is asked: the typed `[problem]` of the spectral room. `[method]` is in [`super::time`].

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded::BoundedInput;
use super::domain::{Axis, Basis, Domain, next_smooth};
use super::equation::{Degree, Equation};
use super::equations;
use super::equations::written::WrittenInput;
use super::expression::constant;
use super::initial::{GridFile, InitialInput};
use super::results::keys::OutputKeys;
use crate::math::real::Real;

/// `[problem]` of the spectral room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemInput {
    /// Grid points per axis (x, y, z), one to three numbers; with walls the first axis is the one between them.
    #[schemars(length(min = 1, max = 3), inner(range(min = 1)))]
    pub points: Vec<usize>,
    /// Length of the box per axis, numbers or texts such as "2*pi"; one for all axes, or one each.
    #[serde(default = "one_turn")]
    #[schemars(length(min = 1, max = 3))]
    pub lengths: Vec<Quantity>,
    /// Lowest coordinate per axis; one for all axes, or one each.
    #[serde(default = "zero")]
    #[schemars(length(min = 1, max = 3))]
    pub origin: Vec<Quantity>,
    /// The equation, with its parameters.
    pub equation: EquationInput,
    /// The state at time 0; absent: the equation's own.
    #[serde(default)]
    pub initial: Option<InitialInput>,
    /// A force that does not depend on time, added to the right-hand side, by its values at the grid points. On periodic
    /// axes only.
    #[serde(default)]
    pub forcing: Option<GridFile>,
    /// Time at which the run ends.
    #[serde(default)]
    pub end_time: Option<Quantity>,
    /// How products are kept free of aliasing errors.
    #[serde(default)]
    pub dealiasing: Dealiasing,
    /// Degree of the products that dealiasing allows for; absent: the equation's own (3 where it has none).
    #[serde(default)]
    #[schemars(range(min = 1, max = 8))]
    pub product_degree: Option<u32>,
    /// Precision of the grid.
    #[serde(default)]
    pub precision: Precision,
    /// Ranks along the two axes that are cut, their product at most the number of ranks (the others have no part); absent:
    /// chosen by a cost model.
    #[serde(default)]
    pub process_grid: Option<[usize; 2]>,
    /// Ranks that all run on one node write into each other's memory instead of sending messages.
    #[serde(default = "yes")]
    pub share_memory: bool,
    /// Several runs of a one-dimensional problem at once.
    #[serde(default)]
    pub ensemble: Option<EnsembleInput>,
    /// What is written besides the final state.
    #[serde(default)]
    pub output: OutputKeys,
    /// Lyapunov exponents: directions carried along by the linearised equation. On periodic axes only.
    #[serde(default)]
    pub tangent: Option<TangentInput>,
}

/// Lyapunov exponents by repeated orthonormalisation of directions that the linearised equation carries along.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TangentInput {
    /// Number of directions: as many exponents, the largest ones. Each costs what the state costs.
    #[schemars(range(min = 1, max = 64))]
    pub vectors: usize,
    /// Time between orthonormalisations.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub every: f64,
    /// Time before growth is counted: until the state is on its attractor and the directions have found theirs.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub transient: f64,
}

impl TangentInput {
    /// # Errors
    /// The key and what is wrong with it; `end` is the time at which the run ends.
    pub fn check(&self, end: f64) -> Result<(), Finding> {
        let refuse = |key: &str, message: String| Err((format!("problem.tangent.{key}"), message));
        if !(1..=64).contains(&self.vectors) {
            return refuse("vectors", "must be 1 to 64".into());
        }
        if !(self.every > 0.0 && self.every.is_finite()) {
            return refuse("every", "must be > 0".into());
        }
        if !(self.transient >= 0.0 && self.transient + self.every <= end) {
            let message =
                format!("must be at least 0 and leave time before end_time = {end} for every = {}", self.every);
            return refuse("transient", message);
        }
        Ok(())
    }
}

/// Several runs of a one-dimensional problem at once, shared out over the ranks and threads; all take the same steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsembleInput {
    /// Number of members. Each has random numbers of its own; member 0 has those of the run without an ensemble.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub members: usize,
    /// Keys below [problem.equation] and [problem.initial] that differ between members, with a value for each:
    /// `"equation.viscosity" = [0.1, 0.2]`.
    #[serde(default)]
    pub vary: BTreeMap<String, Vec<Quantity>>,
}

/// The problem: a built-in equation by its name, one written in the input, or one between walls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EquationInput {
    BuiltIn(equations::EquationInput),
    Written(WrittenKind),
    Bounded(BoundedInput),
}

/// An equation written in the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WrittenKind {
    /// Fields, parameters and right-hand sides as expressions.
    Written(WrittenInput),
}

/// An equation on periodic axes.
#[derive(Debug, Clone, Copy)]
pub enum Periodic<'a> {
    BuiltIn(&'a equations::EquationInput),
    Written(&'a WrittenInput),
}

impl Periodic<'_> {
    /// Whether its fields are complex.
    pub fn complex(&self) -> bool {
        match self {
            Periodic::BuiltIn(built_in) => built_in.about().complex,
            Periodic::Written(written) => written.complex,
        }
    }

    /// The equation in `domain`.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Finding> {
        match self {
            Periodic::BuiltIn(built_in) => built_in.build(domain).map_err(|(key, message)| match key {
                "points" | "lengths" => (format!("problem.{key}"), message),
                _ => (format!("problem.equation.{key}"), message),
            }),
            Periodic::Written(written) => match written.compile::<T>(domain) {
                Ok(equation) => Ok(Arc::new(equation)),
                Err(refusal) => Err((format!("problem.equation.{}", refusal.key), refusal.message)),
            },
        }
    }

    /// A named initial condition of a built-in equation; the default one without a name.
    ///
    /// # Errors
    /// The key below `problem.initial` and what is wrong with it.
    pub fn initial(
        &self,
        name: Option<&str>,
        parameters: &BTreeMap<String, f64>,
        domain: &Domain,
    ) -> Result<equations::Initial, Finding> {
        match self {
            Periodic::BuiltIn(built_in) => {
                built_in.initial(name, parameters, domain).map_err(|(key, message)| (key.to_string(), message))
            }
            Periodic::Written(_) => {
                let message = "a written equation has no named initial conditions: give problem.initial of kind \
                               \"expressions\", \"random\", \"grid\" or \"file\"";
                Err(("kind".to_string(), message.to_string()))
            }
        }
    }
}

/// A number, or a constant expression such as "32*pi".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Quantity {
    Number(f64),
    Text(String),
}

impl Quantity {
    /// Its value, finite.
    ///
    /// # Errors
    /// What is wrong with the expression, pointing at the character.
    pub fn value(&self) -> Result<f64, String> {
        let value = match self {
            Quantity::Number(x) => *x,
            Quantity::Text(text) => constant(text).map_err(|e| e.to_string())?,
        };
        if value.is_finite() { Ok(value) } else { Err(format!("is {value}, not a finite number")) }
    }
}

fn yes() -> bool {
    true
}

pub fn one_turn() -> Vec<Quantity> {
    vec![Quantity::Text("2*pi".into())]
}

pub fn zero() -> Vec<Quantity> {
    vec![Quantity::Number(0.0)]
}

/// How products are kept free of aliasing errors. With K the highest kept mode, M points and products of d factors,
/// M ≥ (d + 1) K + 1 leaves the kept modes exact [Orszag1971].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dealiasing {
    /// Fewer modes than the grid resolves: the 2/3 rule for quadratic products.
    #[default]
    Truncation,
    /// All modes of the grid; products on a finer grid (3/2 rule), which is never stored whole.
    Padding,
    /// All modes of the grid; products on the grid itself, aliased.
    None,
}

/// f64 or f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F64,
    F32,
}

/// A key of `[problem]` and what is wrong with it.
pub type Finding = (String, String);

/// One value per axis from a list of one or of `n`.
fn per_axis(list: &[Quantity], n: usize, key: &str) -> Result<Vec<f64>, Finding> {
    let values = list.iter().enumerate().map(|(i, q)| q.value().map_err(|e| (format!("problem.{key}.{i}"), e)));
    let values: Vec<f64> = values.collect::<Result<_, _>>()?;
    match values.len() {
        1 => Ok(vec![values[0]; n]),
        m if m == n => Ok(values),
        m => Err((format!("problem.{key}"), format!("has {m} values; problem.points has {n} axes"))),
    }
}

/// Names of the axes of a box.
const NAMES: [&str; 3] = ["x", "y", "z"];

/// The most points of an axis: counts stay far from 2⁶³ and a typing error is caught.
pub const MOST_POINTS: usize = 1 << 24;

/// The farthest origin, in lengths of the axis: coordinates keep ten digits of the length.
const FARTHEST: f64 = 1e6;

/// No run keeps more snapshots at regular times.
const MOST_SNAPSHOTS: f64 = 1e9;

impl ProblemInput {
    /// Points per internal axis.
    pub fn grid(&self) -> [usize; 3] {
        let mut grid = [1; 3];
        grid[3 - self.points.len()..].copy_from_slice(&self.points);
        grid
    }

    /// The time at which the run ends.
    ///
    /// # Errors
    /// The key and what is wrong with it; times of output that the run never reaches are, and statistics from its end on.
    pub fn end(&self) -> Result<f64, Finding> {
        let at = |message: &str| ("problem.end_time".to_string(), message.to_string());
        let end = self.end_time.as_ref().ok_or_else(|| at("is missing: the time at which the run ends"))?;
        let end = end.value().map_err(|e| at(&e))?;
        if end <= 0.0 {
            return Err(at("must be > 0"));
        }
        // Where the end is an expression, a time that means the end may differ from it in the last digits.
        let reached = 0.0..=end * (1.0 + 1e-12);
        if let Some(statistics) = &self.output.statistics
            && statistics.start >= end
        {
            let message = format!("nothing is sampled: the run ends at problem.end_time = {end}");
            return Err(("problem.output.statistics.start".into(), message));
        }
        if self.output.every.is_some_and(|every| end / every > MOST_SNAPSHOTS) {
            let message = format!("would keep more than {MOST_SNAPSHOTS:e} snapshots until problem.end_time = {end}");
            return Err(("problem.output.every".into(), message));
        }
        match self.output.times.iter().position(|t| !reached.contains(t)) {
            Some(i) => {
                let message = format!("is never reached: times of output lie between 0 and problem.end_time = {end}");
                Err((format!("problem.output.times.{i}"), message))
            }
            None => Ok(end),
        }
    }

    /// What is kept of the fields, on the points of the problem where no others are asked for.
    pub fn output_keys(&self) -> OutputKeys {
        let points = if self.output.points.is_empty() { &self.points } else { &self.output.points };
        OutputKeys { points: points.clone(), ..self.output.clone() }
    }

    /// Length per axis.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn box_lengths(&self) -> Result<Vec<f64>, Finding> {
        let lengths = per_axis(&self.lengths, self.points.len(), "lengths")?;
        match lengths.iter().position(|l| *l <= 0.0) {
            Some(a) => Err((format!("problem.lengths.{}", a.min(self.lengths.len() - 1)), "must be > 0".into())),
            None => Ok(lengths),
        }
    }

    /// Lowest coordinate per axis.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn box_origin(&self) -> Result<Vec<f64>, Finding> {
        let (origin, lengths) = (per_axis(&self.origin, self.points.len(), "origin")?, self.box_lengths()?);
        match (0..origin.len()).find(|a| origin[*a].abs() > FARTHEST * lengths[*a]) {
            Some(a) => {
                let key = format!("problem.origin.{}", a.min(self.origin.len() - 1));
                let message = format!(
                    "must be at most {FARTHEST:e} times the length, {}: farther away the points of the grid lose their digits",
                    lengths[a]
                );
                Err((key, message))
            }
            None => Ok(origin),
        }
    }

    /// The periodic box with all modes that the points resolve, without padding: what equations are built for.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn periodic_box(&self, complex: bool) -> Result<Domain, Finding> {
        let n = self.points.len();
        let (lengths, origin) = (self.box_lengths()?, self.box_origin()?);
        let mut axes = Vec::new();
        for a in 0..n {
            let points = self.points[a];
            if points > MOST_POINTS {
                return Err((format!("problem.points.{a}"), format!("must be at most {MOST_POINTS}")));
            }
            let basis = if a + 1 == n && !complex { Basis::HalfFourier } else { Basis::Fourier };
            let highest = points.saturating_sub(1) / 2;
            if points > 1 && highest == 0 {
                return Err(too_few(
                    a,
                    points,
                    "3 is the smallest number, with products of d fields and truncation d + 2",
                ));
            }
            let (name, low, length) = (NAMES[a], origin[a], lengths[a]);
            axes.push(Axis { name, basis, low, length, points, highest, sawtooth: false });
        }
        Ok(Domain::new(axes, complex))
    }

    /// Whether a layer between walls has points enough: `least` from wall to wall, and waves along the walls.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn fills_layer(&self, least: usize) -> Result<(), Finding> {
        for (a, &points) in self.points.iter().enumerate() {
            let refuse = |message: String| Err((format!("problem.points.{a}"), message));
            match points {
                _ if points > MOST_POINTS => return refuse(format!("must be at most {MOST_POINTS}")),
                _ if a == 0 && points < least => return refuse(format!("must be at least {least} from wall to wall")),
                2 if a > 0 => return Err(too_few(a, points, "3 is the smallest number here")),
                _ => {}
            }
        }
        Ok(())
    }

    /// A written equation with the degree of products that dealiasing allows for: on it depends whether products may be taken
    /// in another form than the written one.
    pub fn aliased(&self, written: &WrittenInput) -> WrittenInput {
        let as_written = written.as_written || self.dealiasing == Dealiasing::None;
        WrittenInput { degree: self.product_degree.or(written.degree), as_written, ..written.clone() }
    }

    /// The same box with the modes and points that dealiasing asks for, and a warning where it cannot be exact.
    ///
    /// # Errors
    /// An axis on which no mode but the mean is kept, and how many points it takes; a force that the kept modes do not hold.
    pub fn dealiased(&self, full: &Domain, degree: Degree, linear: bool) -> Result<(Domain, Option<String>), Finding> {
        let mut domain = full.clone();
        let (degree, warning) = match (degree, self.product_degree) {
            (_, Some(asked)) => (asked as usize, None),
            _ if linear => return Ok((domain, None)),
            (Degree::Polynomial(d), None) => (d as usize, None),
            (Degree::Other, None) => {
                let text = "the right-hand side is no polynomial of the fields (powers up to 64 count as such): dealiasing \
                            allows for products of 3 factors (problem.product_degree), higher ones leave aliasing errors";
                (3, Some(text.to_string()))
            }
        };
        let first = 3 - domain.dimension;
        for (a, axis) in domain.axes.iter_mut().enumerate().filter(|(_, a)| a.points > 1) {
            match self.dealiasing {
                Dealiasing::Truncation if axis.points < degree + 2 => {
                    return Err(too_few(
                        a - first,
                        axis.points,
                        &format!("{} is the smallest number here", degree + 2),
                    ));
                }
                Dealiasing::Truncation => axis.highest = axis.highest.min((axis.points - 1) / (degree + 1)),
                Dealiasing::Padding => axis.points = next_smooth((degree + 1) * axis.highest + 1).max(axis.points),
                Dealiasing::None => {}
            }
        }
        if let EquationInput::BuiltIn(built_in) = &self.equation {
            built_in.fits(&domain).map_err(|(key, message)| (format!("problem.equation.{key}"), message))?;
        }
        Ok((domain, warning))
    }
}

/// Points that resolve no wave; an axis of one point says that nothing varies along it.
fn too_few(axis: usize, points: usize, least: &str) -> Finding {
    let message = format!(
        "keeps no mode but the mean with {points} points: {least}, or 1 where nothing is to vary along the axis"
    );
    (format!("problem.points.{axis}"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_that_keeps_no_wave_is_refused_and_one_without_variation_is_not() {
        let problem = |points: &str, dealiasing: &str| -> ProblemInput {
            let equation = "equation = { kind = \"kdv\" }";
            toml::from_str(&format!("points = {points}\ndealiasing = \"{dealiasing}\"\n{equation}")).unwrap()
        };
        let kept = |points: &str, dealiasing: &str, degree: u32, linear: bool| {
            let problem = problem(points, dealiasing);
            let full = problem.periodic_box(false)?;
            let (domain, _) = problem.dealiased(&full, Degree::Polynomial(degree), linear)?;
            Ok::<Vec<usize>, Finding>(domain.own().iter().map(|a| a.highest).collect())
        };
        let refused =
            |points: &str, dealiasing: &str, degree: u32| kept(points, dealiasing, degree, false).unwrap_err();
        for dealiasing in ["truncation", "padding", "none"] {
            let (key, message) = refused("[16, 2]", dealiasing, 1);
            assert!(key == "problem.points.1" && message.contains("with 2 points: 3 is"), "{message}");
        }
        let (key, message) = refused("[4]", "truncation", 3);
        assert!(key == "problem.points.0" && message.contains("with 4 points: 5 is"), "{message}");
        assert_eq!(kept("[5]", "truncation", 3, false), Ok(vec![1]));
        assert_eq!(kept("[4]", "truncation", 3, true), Ok(vec![1]));
        assert_eq!(kept("[3]", "padding", 3, false), Ok(vec![1]));
        assert_eq!(kept("[16, 1]", "truncation", 2, false), Ok(vec![5, 0]));
    }

    #[test]
    fn a_force_is_refused_where_its_waves_or_its_band_are_not_among_the_kept_modes() {
        let refused = |rest: &str, equation: &str| {
            let problem: ProblemInput = toml::from_str(&format!("{rest}\nequation = {{ {equation} }}")).unwrap();
            let full = problem.periodic_box(equation.contains("schroedinger")).unwrap();
            problem.dealiased(&full, Degree::Polynomial(2), false).err()
        };
        // Of 24 points 7 waves are kept by truncation and 11 otherwise, of 12 points 3.
        let flow = |forcing: &str| format!("kind = 'navier_stokes_3d', viscosity = 0.1, forcing = {{ {forcing} }}");
        let cube = "points = [24, 24, 24]";
        for forcing in ["kind = 'kolmogorov'", "kind = 'abc'"] {
            assert_eq!(refused(cube, &flow(&format!("{forcing}, waves = 7"))), None);
            let (key, message) = refused(cube, &flow(&format!("{forcing}, waves = 8"))).unwrap();
            assert!(key == "problem.equation.forcing.waves" && message.contains("7 are kept"), "{message}");
        }
        for dealiasing in ["padding", "none"] {
            let problem = format!("{cube}\ndealiasing = '{dealiasing}'");
            assert_eq!(refused(&problem, &flow("kind = 'kolmogorov', waves = 11")), None);
            assert!(refused(&problem, &flow("kind = 'kolmogorov', waves = 12")).is_some());
        }
        let lattice = |waves: usize| {
            format!("kind = 'nonlinear_schroedinger', potential = {{ kind = 'lattice', depth = 1.0, waves = {waves} }}")
        };
        assert_eq!(refused("points = [24, 12]", &lattice(3)), None);
        let (key, message) = refused("points = [24, 12]", &lattice(4)).unwrap();
        assert!(key == "problem.equation.potential.waves" && message.contains("along y"), "{message}");

        for band in ["kind = 'frozen'", "kind = 'linear', rate = 0.1", "kind = 'power', power = 0.1"] {
            let of = |k: f64| flow(&format!("{band}, wavenumber = {k}"));
            assert_eq!(refused(cube, &of(1.0)), None);
            let (key, message) = refused(cube, &of(0.9)).unwrap();
            assert!(key == "problem.equation.forcing.wavenumber" && message.contains("0.9 is below"), "{message}");
            // An axis of one point has no waves, however long.
            let flat = "points = [24, 24, 1]\nlengths = ['2*pi', '2*pi', '20*pi']";
            assert!(refused(flat, &of(0.5)).is_some());
        }
    }

    #[test]
    fn an_origin_so_far_away_that_the_points_run_together_is_refused() {
        let origin = |text: &str| -> Result<Vec<f64>, Finding> {
            let problem =
                format!("points = [8, 8]\nlengths = [1.0, 2.0]\norigin = {text}\nequation = {{ kind = \"kdv\" }}");
            toml::from_str::<ProblemInput>(&problem).unwrap().box_origin()
        };
        assert_eq!(origin("[-1e6]"), Ok(vec![-1e6, -1e6]));
        assert_eq!(origin("[1e6, 2e6]"), Ok(vec![1e6, 2e6]));
        for (text, key) in [("[1e17]", "problem.origin.0"), ("[0.0, -3e6]", "problem.origin.1")] {
            let (found, message) = origin(text).unwrap_err();
            assert!(found == key && message.contains("1e6 times the length"), "{found}: {message}");
        }
    }
}
