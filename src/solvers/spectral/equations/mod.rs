//! The built-in periodic equations: one file each, one line of [`EquationInput`] and one of the modules.
//!
//! A file holds what the user may set (`Input`), the equation as tuned kernels, and its named initial conditions, which
//! are closed forms in time where there are any.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::domain::Domain;
use super::equation::Equation;
use crate::math::real::Real;

pub mod advection_diffusion;
pub mod allen_cahn;
pub mod boussinesq;
pub mod burgers;
pub mod cahn_hilliard;
pub mod dissipation;
pub mod fisher_kpp;
pub mod gray_scott;
pub mod kdv;
mod kernel;
pub mod kuramoto_sivashinsky;
pub mod navier_stokes_3d;
pub mod nonlinear_schroedinger;
mod scalar;
pub mod shallow_water;
pub mod swift_hohenberg;
pub mod vorticity_2d;
pub mod written;

/// The key that is at fault, and what is wrong with it.
pub type Refusal = (&'static str, String);

/// What a built-in equation says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct About {
    /// The word of the input: `kind`.
    pub word: &'static str,
    pub summary: &'static str,
    /// Numbers of axes it is written for.
    pub dimensions: &'static [usize],
    /// Its fields are complex.
    pub complex: bool,
    /// Its named initial conditions; the first is the default.
    pub initials: &'static [Named],
}

/// An initial condition with a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Named {
    pub word: &'static str,
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
}

/// A number of a named initial condition that the user may set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    pub word: &'static str,
    pub default: f64,
    pub meaning: &'static str,
}

const fn parameter(word: &'static str, default: f64, meaning: &'static str) -> Parameter {
    Parameter { word, default, meaning }
}

/// Every named initial condition, with what it is and takes.
pub fn initials() -> Vec<(String, String)> {
    let of = |about: &About| {
        let word = about.word;
        let line = |named: &Named| {
            let takes = |p: &Parameter| format!("; {} = {}: {}", p.word, p.default, p.meaning);
            let all: String = named.parameters.iter().map(takes).collect();
            (format!("{word}: {}", named.word), format!("{}{all}", named.summary))
        };
        about.initials.iter().map(line).collect::<Vec<_>>()
    };
    ALL.iter().flat_map(of).collect()
}

/// `profile(time, x, values)`: the fields at the point `x` (internal axes; see [`super::equation`]), in the order of
/// the equation; for complex fields (re, im) pairs.
pub type Profile = Arc<dyn Fn(f64, [f64; 3], &mut [f64]) + Send + Sync>;

/// Fields as a function of the point, and of time where the closed form is known.
#[derive(Clone)]
pub struct Initial {
    pub profile: Profile,
    /// The profile solves the equation at all times; otherwise it is meant at time 0 only.
    pub exact: bool,
}

impl Initial {
    fn new(exact: bool, profile: impl Fn(f64, [f64; 3], &mut [f64]) + Send + Sync + 'static) -> Initial {
        Initial { profile: Arc::new(profile), exact }
    }
}

/// What each equation's file implements for its `Input`.
pub trait BuiltIn {
    const ABOUT: About;
    /// The equation in a domain of an allowed number of axes; refuses values that make no sense.
    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal>;
    /// Refuses a force or potential that the kept modes of `domain` cannot hold.
    fn fits(&self, _domain: &Domain) -> Result<(), Refusal> {
        Ok(())
    }
    /// The named initial condition `word`, one of those of [`About`], with the value of each of its parameters.
    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal>;
}

/// The parameters of a named initial condition, all present.
pub struct Values(BTreeMap<&'static str, f64>);

impl Values {
    /// Defaults of `named`, then what the user set.
    fn new(named: &Named, given: &BTreeMap<String, f64>) -> Result<Values, Refusal> {
        let mut values: BTreeMap<&'static str, f64> = named.parameters.iter().map(|p| (p.word, p.default)).collect();
        for (word, value) in given {
            let Some((_, slot)) = values.iter_mut().find(|(known, _)| **known == word.as_str()) else {
                let known: Vec<&str> = named.parameters.iter().map(|p| p.word).collect();
                return Err((
                    "parameters",
                    format!("{:?} has no parameter {word:?}; it has: {}", named.word, known.join(", ")),
                ));
            };
            if !value.is_finite() {
                return Err(("parameters", format!("{word} = {value} is not finite")));
            }
            *slot = *value;
        }
        Ok(Values(values))
    }

    /// # Panics
    /// Without a parameter of this name: a slip in the equation's file.
    fn get(&self, word: &str) -> f64 {
        self.0[word]
    }

    /// A number of waves along each of the user's `axes`; refuses one that is not whole or that is not kept there.
    fn waves(&self, word: &str, domain: &Domain, mut axes: Range<usize>) -> Result<f64, Refusal> {
        let waves = self.get(word);
        if waves.fract() != 0.0 {
            return Err(("parameters", format!("{word} = {waves} is not a whole number")));
        }
        axes.try_for_each(|a| held("parameters", waves, domain, a))?;
        Ok(waves)
    }

    /// The same, of at least one wave.
    fn some_waves(&self, word: &str, domain: &Domain, axes: Range<usize>) -> Result<f64, Refusal> {
        match self.waves(word, domain, axes)? {
            waves if waves < 1.0 => Err(("parameters", format!("{word} = {waves} must be 1 or more"))),
            waves => Ok(waves),
        }
    }
}

/// Refuses `waves` of `key` that the modes kept on the user's axis `a` do not hold: on the grid they would be lost or taken
/// for fewer waves.
fn held(key: &'static str, waves: f64, domain: &Domain, a: usize) -> Result<(), Refusal> {
    let axis = domain.own()[a];
    if waves.abs() <= axis.highest as f64 {
        return Ok(());
    }
    let message = format!("{waves} waves along {} are too many for its points: {} are kept", axis.name, axis.highest);
    Err((key, message))
}

/// Refuses a band of wavenumbers up to `k` in which no mode is kept but the mean.
fn band(key: &'static str, k: f64, domain: &Domain) -> Result<(), Refusal> {
    let lowest = domain.varying().map(|a| std::f64::consts::TAU / a.length).fold(f64::INFINITY, f64::min);
    if lowest <= k {
        return Ok(());
    }
    Err((key, format!("{k} is below the smallest wavenumber of the box, {lowest}: no mode is driven or held")))
}

/// Refuses a `value` of `key` that is not positive.
fn positive(key: &'static str, value: f64) -> Result<f64, Refusal> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err((key, format!("{key} = {value} must be positive"))) }
}

/// Refuses a `value` of `key` that is negative.
fn not_negative(key: &'static str, value: f64) -> Result<f64, Refusal> {
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err((key, format!("{key} = {value} must not be negative")))
    }
}

macro_rules! equations {
    ($($(#[$doc:meta])* $word:literal $variant:ident($module:ident),)*) => {
        /// The equation to solve.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind")]
        pub enum EquationInput {
            $($(#[$doc])* #[serde(rename = $word)] $variant($module::Input),)*
        }

        /// What the built-in equations say of themselves.
        pub const ALL: &[About] = &[$(<$module::Input as BuiltIn>::ABOUT,)*];

        impl EquationInput {
            pub fn about(&self) -> About {
                match self { $(EquationInput::$variant(_) => <$module::Input as BuiltIn>::ABOUT,)* }
            }

            /// The equation in `domain`; refuses a wrong number of axes, and values that make no sense.
            pub fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
                let about = self.about();
                if !about.dimensions.contains(&domain.dimension) {
                    let allowed: Vec<String> = about.dimensions.iter().map(usize::to_string).collect();
                    return Err(("points", format!(
                        "{} is for {} axes; the domain has {}", about.word, allowed.join(" or "), domain.dimension
                    )));
                }
                match self { $(EquationInput::$variant(input) => input.build(domain),)* }
            }

            /// Refuses a force or potential that the kept modes of `domain` cannot hold.
            pub fn fits(&self, domain: &Domain) -> Result<(), Refusal> {
                match self { $(EquationInput::$variant(input) => input.fits(domain),)* }
            }

            /// The named initial condition, the default one when `name` is absent.
            pub fn initial(
                &self,
                name: Option<&str>,
                parameters: &BTreeMap<String, f64>,
                domain: &Domain,
            ) -> Result<Initial, Refusal> {
                let about = self.about();
                let name = name.unwrap_or(about.initials[0].word);
                let Some(named) = about.initials.iter().find(|n| n.word == name) else {
                    let known: Vec<&str> = about.initials.iter().map(|n| n.word).collect();
                    return Err(("name", format!(
                        "{} has no initial condition {name:?}; it has: {}", about.word, known.join(", ")
                    )));
                };
                let values = Values::new(named, parameters)?;
                match self { $(EquationInput::$variant(input) => input.initial(named.word, &values, domain),)* }
            }
        }
    };
}

equations! {
    /// Advection and diffusion with constant coefficients.
    "advection_diffusion" AdvectionDiffusion(advection_diffusion),
    /// Burgers' equation in one dimension.
    "burgers" Burgers(burgers),
    /// Korteweg–de Vries, with viscosity if wanted.
    "kdv" Kdv(kdv),
    /// Allen–Cahn, or Nagumo.
    "allen_cahn" AllenCahn(allen_cahn),
    /// Cahn–Hilliard: separation of a mixture.
    "cahn_hilliard" CahnHilliard(cahn_hilliard),
    /// Fisher–KPP: growth and spreading.
    "fisher_kpp" FisherKpp(fisher_kpp),
    /// Gray–Scott: two reactants.
    "gray_scott" GrayScott(gray_scott),
    /// Kuramoto–Sivashinsky in one or two dimensions.
    "kuramoto_sivashinsky" KuramotoSivashinsky(kuramoto_sivashinsky),
    /// Nonlinear Schrödinger, or Gross–Pitaevskii with a potential.
    "nonlinear_schroedinger" NonlinearSchroedinger(nonlinear_schroedinger),
    /// Swift–Hohenberg: stripes and hexagons.
    "swift_hohenberg" SwiftHohenberg(swift_hohenberg),
    /// Incompressible flow in two dimensions, as an equation for the vorticity.
    "vorticity_2d" Vorticity2d(vorticity_2d),
    /// Incompressible flow in three dimensions.
    "navier_stokes_3d" NavierStokes3d(navier_stokes_3d),
    /// Rotating shallow water.
    "shallow_water" ShallowWater(shallow_water),
    /// Buoyant incompressible flow in two or three dimensions.
    "boussinesq" Boussinesq(boussinesq),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::problem::{EquationInput as Any, ProblemInput};

    #[test]
    fn named_states_with_waves_that_are_not_kept_or_not_whole_are_refused() {
        // 24 points: 7 waves are kept of products of two factors, 5 of three, 11 where there are none.
        let cases: [(&str, &str, usize, &str, f64); 11] = [
            ("kind = 'advection_diffusion', velocity = [1.0]", "wave", 1, "waves_x", 11.0),
            ("kind = 'allen_cahn', interface_width = 0.1", "cosine", 2, "waves", 5.0),
            // It has waves + 1 as well.
            ("kind = 'cahn_hilliard', interface_width = 0.1", "cosines", 2, "waves", 4.0),
            ("kind = 'kuramoto_sivashinsky'", "mode", 1, "mode", 7.0),
            ("kind = 'swift_hohenberg', growth = 0.1", "mode", 3, "waves", 5.0),
            ("kind = 'nonlinear_schroedinger'", "plane_wave", 2, "waves", 5.0),
            ("kind = 'vorticity_2d', viscosity = 0.1", "taylor_green", 2, "waves", 7.0),
            ("kind = 'navier_stokes_3d', viscosity = 0.1", "abc", 3, "waves", 7.0),
            ("kind = 'shallow_water', gravity = 1.0, depth = 1.0", "poincare_wave", 2, "waves_y", 7.0),
            ("kind = 'shallow_water', gravity = 1.0, depth = 1.0", "geostrophic_jet", 2, "waves", 7.0),
            (
                "kind = 'boussinesq', viscosity = 0.1, diffusivity = 0.1, stratification = 1.0",
                "internal_wave",
                3,
                "waves_up",
                7.0,
            ),
        ];
        for (text, name, dimension, word, most) in cases {
            let points = vec![24; dimension];
            let problem: ProblemInput =
                toml::from_str(&format!("points = {points:?}\nequation = {{ {text} }}")).unwrap();
            let Any::BuiltIn(equation) = &problem.equation else { unreachable!("built in") };
            let full = problem.periodic_box(equation.about().complex).unwrap();
            let built = equation.build::<f64>(&full).unwrap();
            let (kept, _) = problem.dealiased(&full, built.degree(), built.rounds().is_empty()).unwrap();
            let asked =
                |waves: f64| equation.initial(Some(name), &BTreeMap::from([(word.to_string(), waves)]), &kept).err();
            assert_eq!(asked(most), None, "{text}: {name}");
            for waves in [most + 1.0, 20.0, 1.5] {
                let (key, message) = asked(waves).unwrap_or_else(|| panic!("{text}: {name} takes {waves} waves"));
                let what = if waves == 1.5 { "not a whole number" } else { "are too many" };
                assert!(key == "parameters" && message.contains(what), "{key}: {message}");
            }
        }
    }

    /// The largest value of a named state at the points, of v in Gray and Scott's equations.
    fn largest(text: &str, name: &str, points: &[usize]) -> Result<f64, Refusal> {
        let text = text.replace("VELOCITY", &format!("{:?}", vec![0.5; points.len()]));
        let problem: ProblemInput = toml::from_str(&format!("points = {points:?}\nequation = {{ {text} }}")).unwrap();
        let Any::BuiltIn(equation) = &problem.equation else { unreachable!("built in") };
        let full = problem.periodic_box(equation.about().complex).unwrap();
        let built = equation.build::<f64>(&full).unwrap();
        let (kept, _) = problem.dealiased(&full, built.degree(), built.rounds().is_empty()).unwrap();
        let profile = equation.initial(Some(name), &BTreeMap::new(), &kept)?.profile;
        let [n0, n1, n2] = kept.points();
        let mut values = vec![0.0; built.fields().len() * kept.reals()];
        let first = if text.contains("gray_scott") { 1 } else { 0 };
        let mut most = 0.0f64;
        for i in 0..n0 * n1 * n2 {
            let index = [i / (n1 * n2), i / n2 % n1, i % n2];
            profile(0.0, std::array::from_fn(|a| kept.axes[a].coordinate(index[a])), &mut values);
            most = values[first..].iter().fold(most, |most, value| most.max(value.abs()));
        }
        Ok(most)
    }

    #[test]
    fn named_states_are_as_large_with_an_axis_of_one_point_as_without() {
        let equations = [
            ("kind = 'advection_diffusion', velocity = VELOCITY", true),
            ("kind = 'allen_cahn', interface_width = 0.1", true),
            ("kind = 'allen_cahn', interface_width = 0.1, threshold = 0.2", true),
            ("kind = 'cahn_hilliard', interface_width = 0.1", true),
            ("kind = 'fisher_kpp'", true),
            ("kind = 'gray_scott', feed = 0.037, kill = 0.06", true),
            ("kind = 'kuramoto_sivashinsky'", true),
            ("kind = 'nonlinear_schroedinger'", true),
            ("kind = 'swift_hohenberg', growth = 0.1", true),
            ("kind = 'vorticity_2d', viscosity = 0.1", false),
            ("kind = 'shallow_water', gravity = 1.0, depth = 1.0", false),
            ("kind = 'boussinesq', viscosity = 0.1, diffusivity = 0.1", false),
        ];
        let local = ["gaussian", "bump", "patch", "fronts", "thermal", "vortex_pair"];
        let mut seen = std::collections::BTreeSet::new();
        for (text, line) in equations {
            let word = text.split('\'').nth(1).unwrap();
            let about = ALL.iter().find(|a| a.word == word).unwrap();
            for name in about.initials.iter().map(|n| n.word) {
                let Ok(full) = largest(text, name, &[32, 32]) else { continue };
                for points in [[1, 32], [32, 1]] {
                    let here = match largest(text, name, &points) {
                        Ok(here) => here,
                        Err(refusal) if local.contains(&name) => panic!("{text}: {name} on {points:?}: {refusal:?}"),
                        // Waves along the axis of one point.
                        Err(_) => continue,
                    };
                    // Layers along y have no place where nothing varies along it.
                    if name != "shear_layers" || points[1] > 1 {
                        assert!(here > 0.5 * full, "{text}: {name} on {points:?}: {here}, {full} on a square");
                    }
                    if line && local.contains(&name) && name != "fronts" {
                        let alone = largest(text, name, &[32]).unwrap();
                        assert!((here - alone).abs() < 1e-12 * alone, "{text}: {name} on {points:?}: {here}, {alone}");
                    }
                    seen.insert(name);
                }
            }
        }
        assert!(local.iter().all(|name| seen.contains(name)), "{seen:?}");
    }

    #[test]
    fn the_flows_that_the_manual_names_know_their_smallest_eddies() {
        let flows = [
            ("kind = 'navier_stokes_3d', viscosity = 0.1", 3, true),
            ("kind = 'navier_stokes_3d', viscosity = 0.0", 3, false),
            ("kind = 'vorticity_2d', viscosity = 0.1", 2, true),
            ("kind = 'vorticity_2d', viscosity = 0.1, hyperviscosity = { coefficient = 1e-9, order = 4 }", 2, false),
            ("kind = 'boussinesq', viscosity = 0.1, diffusivity = 0.1", 3, true),
            ("kind = 'boussinesq', viscosity = 0.1, diffusivity = 0.1", 2, false),
            ("kind = 'shallow_water', viscosity = 0.1", 2, false),
        ];
        for (text, dimension, known) in flows {
            let points = vec![8; dimension];
            let problem: ProblemInput =
                toml::from_str(&format!("points = {points:?}\nequation = {{ {text} }}")).unwrap();
            let Any::BuiltIn(equation) = &problem.equation else { unreachable!("built in") };
            let built = equation.build::<f64>(&problem.periodic_box(false).unwrap()).unwrap();
            let ones = vec![1.0; built.quadratics().len()];
            assert_eq!(built.smallest_eddies(&ones).is_some(), known, "{text}, {dimension} axes");
        }
    }
}
