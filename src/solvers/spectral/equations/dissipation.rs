//! The linear losses that the flow equations share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Refusal, not_negative};

/// A loss −coefficient · k^(2·order), sharper than viscosity: it leaves more of the range of scales free of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hyperviscosity {
    /// In length^(2·order)/time, ≥ 0.
    #[schemars(extend("minimum" = 0))]
    pub coefficient: f64,
    /// Power of the Laplacian, 2 to 16.
    #[schemars(range(min = 2, max = 16))]
    pub order: u32,
}

/// Viscosity, hyperviscosity and drag as a rate per wavenumber.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    pub viscosity: f64,
    pub hyperviscosity: Option<Hyperviscosity>,
    pub drag: f64,
}

impl Losses {
    pub fn new(viscosity: f64, hyperviscosity: Option<Hyperviscosity>, drag: f64) -> Result<Losses, Refusal> {
        not_negative("viscosity", viscosity)?;
        not_negative("drag", drag)?;
        if let Some(Hyperviscosity { coefficient, order }) = hyperviscosity {
            not_negative("coefficient", coefficient)?;
            if !(2..=16).contains(&order) {
                return Err(("order", format!("order = {order} of the hyperviscosity must be 2 to 16")));
            }
        }
        Ok(Losses { viscosity, hyperviscosity, drag })
    }

    /// ν k² + coefficient (k²)^order + drag.
    pub fn rate(&self, kk: f64) -> f64 {
        let hyper = self.hyperviscosity.map_or(0.0, |h| h.coefficient * kk.powi(h.order as i32));
        self.viscosity * kk + hyper + self.drag
    }
}
