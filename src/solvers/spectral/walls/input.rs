//! What is asked between walls and of steady and stability problems: the keys below `problem.equation`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::advection::Physics;
use super::stability::Wall;
use super::steady::Operator;

/// The key that is at fault (below `problem.equation`, or a key of `problem`), and what is wrong with it.
pub type Refusal = (String, String);

fn refuse<T>(key: &str, message: impl Into<String>) -> Result<T, Refusal> {
    Err((key.to_string(), message.into()))
}

fn positive(key: &str, value: f64) -> Result<(), Refusal> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { refuse(key, format!("is {value}; it must be more than 0")) }
}

/// `kind = "rayleigh_benard"`: a fluid layer heated from below between rigid walls (no slip, given temperatures).
///
/// Axes: z (between the walls, length 1), then the periodic ones: [z, x] or [z, y, x]. The unknown theta is the
/// deviation of the temperature from the conducting state; temperatures are in units of the difference between the
/// walls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RayleighBenardInput {
    /// Rayleigh number g α ΔT H³/(ν κ).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rayleigh: f64,
    /// Prandtl number ν/κ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub prandtl: f64,
    /// Units of time.
    #[serde(default)]
    pub units: Units,
    /// Size of the disturbance of theta at time 0, where no initial state is given.
    #[serde(default = "small")]
    #[schemars(extend("minimum" = 0))]
    pub disturbance: f64,
}

/// Units of time of convection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// H²/κ: heat diffuses over the height in time 1.
    #[default]
    Diffusive,
    /// √(H/(g α ΔT)): a parcel falls through the height in about time 1.
    FreeFall,
}

fn small() -> f64 {
    1e-2
}

impl RayleighBenardInput {
    /// ν, κ, buoyancy and background gradient in the units asked for.
    ///
    /// # Errors
    /// The key at fault; `lengths` are those of the box.
    pub fn physics(&self, lengths: &[f64]) -> Result<Physics, Refusal> {
        positive("rayleigh", self.rayleigh)?;
        positive("prandtl", self.prandtl)?;
        if !(self.disturbance.is_finite() && self.disturbance >= 0.0) {
            return refuse("disturbance", format!("is {}; it must be at least 0", self.disturbance));
        }
        if lengths[0] != 1.0 {
            let message =
                format!("the first one is the height of the layer, the unit of length: 1, not {}", lengths[0]);
            return refuse("lengths", message);
        }
        let (viscosity, diffusivity, buoyancy) = match self.units {
            Units::Diffusive => (self.prandtl, 1.0, self.rayleigh * self.prandtl),
            Units::FreeFall => {
                ((self.prandtl / self.rayleigh).sqrt(), 1.0 / (self.rayleigh * self.prandtl).sqrt(), 1.0)
            }
        };
        let gradient = 1.0 / lengths[0];
        Ok(Physics { viscosity, diffusivity: Some(diffusivity), buoyancy, gradient, force: 0.0, flux: None })
    }
}

/// `kind = "channel"`: flow along x between two walls at rest. Axes: z (between the walls), then [z, x] or [z, y, x].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelInput {
    /// Kinematic viscosity ν, in the units of the box and of time.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub viscosity: f64,
    /// What drives the flow.
    pub drive: Drive,
    /// Size of the disturbance of the laminar flow at time 0, over its bulk velocity, where no initial state is given.
    #[serde(default = "small")]
    #[schemars(extend("minimum" = 0))]
    pub disturbance: f64,
}

/// What drives a channel flow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Drive {
    /// A constant mean pressure gradient: −(dp/dx)/ρ, a force per mass along x.
    Gradient {
        /// −(dp/dx)/ρ.
        force: f64,
    },
    /// The flux held constant; the pressure gradient follows.
    Flux {
        /// Mean of u over the channel.
        bulk_velocity: f64,
    },
}

impl ChannelInput {
    /// ν and the drive; and the bulk velocity of the laminar flow between walls a distance `height` apart.
    ///
    /// # Errors
    /// The key at fault.
    pub fn physics(&self, height: f64) -> Result<(Physics, f64), Refusal> {
        positive("viscosity", self.viscosity)?;
        if !(self.disturbance.is_finite() && self.disturbance >= 0.0) {
            return refuse("disturbance", format!("is {}; it must be at least 0", self.disturbance));
        }
        let (force, flux) = match self.drive {
            Drive::Gradient { force } => (force, None),
            Drive::Flux { bulk_velocity } => (0.0, Some(bulk_velocity)),
        };
        if ![force, flux.unwrap_or(0.0)].iter().all(|x| x.is_finite()) {
            return refuse("drive", "must be a finite number");
        }
        // U = G (h² − z²)/(2ν) with h half the height: its mean is G h²/(3ν).
        let laminar = flux.unwrap_or(force * height * height / (12.0 * self.viscosity));
        if !(laminar * laminar).is_finite() {
            return refuse(
                "drive",
                format!("is too large for this viscosity: the laminar flow would be {laminar:e} fast"),
            );
        }
        let physics =
            Physics { viscosity: self.viscosity, diffusivity: None, buoyancy: 0.0, gradient: 0.0, force, flux };
        Ok((physics, laminar))
    }
}

/// `kind = "poisson"` (∇²u = f), `"helmholtz"` (∇²u − λu = f) or `"biharmonic"` (∇⁴u = f) on a periodic box, or between
/// walls where `lower` and `upper` are given: then the first axis is z.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SteadyInput {
    /// f, an expression of the coordinates.
    pub right_hand_side: String,
    /// λ of "helmholtz": positive damps, negative oscillates. The other equations take none.
    #[serde(default)]
    pub lambda: Option<f64>,
    /// Conditions at the lower wall: one, or two for "biharmonic".
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub lower: Vec<ConditionInput>,
    /// Conditions at the upper wall.
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub upper: Vec<ConditionInput>,
}

/// A derivative of u along z, given at a wall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionInput {
    /// Its order: 0 the value (Dirichlet), 1 the slope ∂u/∂z (Neumann; upwards at both walls), 2 and 3 for "biharmonic".
    #[serde(default)]
    #[schemars(range(max = 3))]
    pub derivative: usize,
    /// What it is there: an expression of the coordinates along the wall.
    #[serde(default = "nothing")]
    pub value: String,
}

fn nothing() -> String {
    "0".into()
}

impl SteadyInput {
    /// The operator of `kind`, with the conditions checked; whether there are walls.
    ///
    /// # Errors
    /// The key at fault.
    pub fn operator(&self, kind: &str) -> Result<(Operator, bool), Refusal> {
        let operator = match (kind, self.lambda) {
            ("helmholtz", Some(lambda)) if lambda.is_finite() => Operator::Helmholtz(lambda),
            ("helmholtz", _) => return refuse("lambda", "is needed, a finite number"),
            (_, Some(_)) => return refuse("lambda", format!("is for \"helmholtz\"; \"{kind}\" takes none")),
            ("poisson", None) => Operator::Poisson,
            _ => Operator::Biharmonic,
        };
        let walls = !(self.lower.is_empty() && self.upper.is_empty());
        if walls {
            for (key, list) in [("lower", &self.lower), ("upper", &self.upper)] {
                if list.len() != operator.conditions() {
                    let message =
                        format!("{kind} takes {} at each wall; here are {}", operator.conditions(), list.len());
                    return refuse(key, message);
                }
                let highest = 2 * operator.conditions() - 1;
                if let Some(c) = list.iter().find(|c| c.derivative > highest) {
                    return refuse(key, format!("derivative = {} is more than {kind} takes: {highest}", c.derivative));
                }
                if list.len() == 2 && list[0].derivative == list[1].derivative {
                    return refuse(key, format!("derivative = {} is given twice", list[0].derivative));
                }
            }
        }
        Ok((operator, walls))
    }
}

/// `kind = "orr_sommerfeld"`: growth of waves e^{iα(x − ct)} on a parallel flow between walls at z = ±1, on as many
/// Chebyshev coefficients as `points` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrrSommerfeldInput {
    /// The base flow: "poiseuille" (1 − z²), "couette" (z), or the coefficients [c0, c1, …] of Σ c_i z^i.
    #[serde(default)]
    pub profile: ProfileInput,
    /// Reynolds number with half the height and the unit of velocity.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub reynolds: f64,
    /// Wavenumber α along x, in units of half the height.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub wavenumber: f64,
    /// Also find the smallest Reynolds number with a neutral wave, from the values given.
    #[serde(default)]
    pub critical: bool,
}

/// A parallel flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProfileInput {
    Named(NamedProfile),
    Polynomial(Vec<f64>),
}

/// A parallel flow with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedProfile {
    /// 1 − z².
    Poiseuille,
    /// z.
    Couette,
}

impl Default for ProfileInput {
    fn default() -> Self {
        ProfileInput::Named(NamedProfile::Poiseuille)
    }
}

impl ProfileInput {
    /// Coefficients of powers of z.
    pub fn coefficients(&self) -> Vec<f64> {
        match self {
            ProfileInput::Named(NamedProfile::Poiseuille) => vec![1.0, 0.0, -1.0],
            ProfileInput::Named(NamedProfile::Couette) => vec![0.0, 1.0],
            ProfileInput::Polynomial(list) => list.clone(),
        }
    }
}

impl OrrSommerfeldInput {
    /// # Errors
    /// The key at fault.
    pub fn check(&self) -> Result<(), Refusal> {
        positive("reynolds", self.reynolds)?;
        positive("wavenumber", self.wavenumber)?;
        let profile = self.profile.coefficients();
        if profile.is_empty() || profile.len() > 16 || !profile.iter().all(|c| c.is_finite()) {
            return refuse("profile", "needs 1 to 16 finite coefficients");
        }
        Ok(())
    }
}

/// `kind = "rayleigh_benard_onset"`: the Rayleigh number at which convection sets in between horizontal walls of given
/// temperature, and its wavenumber in units of the height, on as many Chebyshev coefficients as `points` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnsetInput {
    /// The lower wall.
    #[serde(default = "rigid")]
    pub lower: Wall,
    /// The upper wall.
    #[serde(default = "rigid")]
    pub upper: Wall,
    /// Horizontal wavenumber; absent: the one at which convection sets in first.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub wavenumber: Option<f64>,
}

fn rigid() -> Wall {
    Wall::Rigid
}

impl OnsetInput {
    /// # Errors
    /// The key at fault.
    pub fn check(&self) -> Result<(), Refusal> {
        self.wavenumber.map_or(Ok(()), |k| positive("wavenumber", k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_at_walls_are_counted_and_named() {
        let text =
            "right_hand_side = \"0\"\nlower = [{ value = \"x\" }, { derivative = 1 }]\nupper = [{ derivative = 2 }]";
        let input: SteadyInput = toml::from_str(text).unwrap();
        assert_eq!(input.operator("biharmonic").unwrap_err().0, "upper");
        assert_eq!(input.operator("poisson").unwrap_err().0, "lower");
        assert_eq!(input.operator("helmholtz").unwrap_err().0, "lambda");
        let periodic: SteadyInput = toml::from_str("right_hand_side = \"cos(x)\"").unwrap();
        assert_eq!(periodic.operator("poisson").unwrap(), (Operator::Poisson, false));
    }

    #[test]
    fn both_units_of_convection_have_the_same_rayleigh_and_prandtl_numbers() {
        for units in [Units::Diffusive, Units::FreeFall] {
            let input = RayleighBenardInput { rayleigh: 5e5, prandtl: 0.7, units, disturbance: 0.01 };
            let p = input.physics(&[1.0, 2.0]).unwrap();
            let kappa = p.diffusivity.unwrap();
            assert!((p.buoyancy / (p.viscosity * kappa) / 5e5 - 1.0).abs() < 1e-14);
            assert!((p.viscosity / kappa / 0.7 - 1.0).abs() < 1e-14);
            assert_eq!(input.physics(&[2.0, 2.0]).unwrap_err().0, "lengths");
        }
    }

    /// `[problem.equation]` of an input of this room, without its kind.
    fn equation<T: serde::de::DeserializeOwned>(file: &str) -> (String, T) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/spectral").join(file);
        let input: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let mut equation = input["problem"]["equation"].as_table().unwrap().clone();
        let kind = equation.remove("kind").unwrap().as_str().unwrap().to_string();
        (kind, toml::Value::Table(equation).try_into().unwrap())
    }

    #[test]
    fn the_inputs_of_this_room_hold_keys_that_are_known_and_values_that_are_allowed() {
        for (file, walls) in [("poisson.toml", true), ("helmholtz.toml", false), ("biharmonic.toml", true)] {
            let (kind, input): (_, SteadyInput) = equation(file);
            assert_eq!(input.operator(&kind).unwrap().1, walls, "{file}");
        }
        for file in ["rayleigh_benard_2d.toml", "rayleigh_benard_3d.toml"] {
            equation::<RayleighBenardInput>(file).1.physics(&[1.0, 2.0]).unwrap();
        }
        for (file, bulk) in [("channel.toml", 2.0 / 3.0), ("channel_wave.toml", 2.0 / 3.0)] {
            let (_, laminar) = equation::<ChannelInput>(file).1.physics(2.0).unwrap();
            assert!((laminar - bulk).abs() < 1e-12, "{file}: {laminar}");
        }
        equation::<OrrSommerfeldInput>("orr_sommerfeld.toml").1.check().unwrap();
        equation::<OnsetInput>("rayleigh_benard_onset.toml").1.check().unwrap();
    }
}
