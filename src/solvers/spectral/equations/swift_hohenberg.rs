//! The Swift–Hohenberg equation u_t = r u − (q² + Δ)² u + g u² − u³.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, square, unit};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, held, parameter, positive};
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::equation::{Equation, FieldName, Quadratic};

/// Swift–Hohenberg: u_t = r u − (q² + Δ)² u + g u² − u³.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Distance r from the onset of the pattern. No default.
    pub growth: f64,
    /// Factor g of u²; not zero: hexagons instead of stripes near the onset. Default 0.
    #[serde(default)]
    pub quadratic: f64,
    /// Wavenumber q > 0 of the pattern, in radians per length. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub wavenumber: f64,
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "swift_hohenberg",
        summary: "Swift–Hohenberg: u_t = r u − (q² + Δ)² u + g u² − u³",
        dimensions: &[1, 2, 3],
        complex: false,
        initials: &[Named {
            word: "mode",
            summary: "amplitude · cos(2π waves x/length): a growth rate r − (q² − k²)², while small",
            parameters: &[
                parameter("amplitude", 0.1, "largest value"),
                parameter("waves", 0.0, "whole waves along x; 0: as near to q as the box allows"),
            ],
        }],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        positive("wavenumber", self.wavenumber)?;
        for (key, value) in [("growth", self.growth), ("quadratic", self.quadratic)] {
            if !value.is_finite() {
                return Err((key, format!("{key} = {value} is not finite")));
            }
        }
        Ok(Arc::new(Single(SwiftHohenberg { input: self.clone(), field: [FieldName::new("u", "order parameter")] })))
    }

    fn initial(&self, _word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (amplitude, q, x_of) = (values.get("amplitude"), unit(domain, 0), along(domain, 0));
        let waves = match values.waves("waves", domain, 0..1)? {
            0.0 => (self.wavenumber / q).round().max(1.0),
            waves => waves,
        };
        held("parameters", waves, domain, 0)?;
        Ok(Initial::new(false, move |_, x, u| u[0] = amplitude * libm::cos(waves * q * x_of(x))))
    }
}

struct SwiftHohenberg {
    input: Input,
    field: [FieldName; 1],
}

impl Scalar for SwiftHohenberg {
    const REAL: bool = true;
    const DEGREE: u32 = 3;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        let detuning = self.input.wavenumber * self.input.wavenumber - square(k);
        Complex::new(self.input.growth - detuning * detuning, 0.0)
    }

    fn polynomial<T: Real>(&self, u: T) -> T {
        u * u * (T::of(self.input.quadratic) - u)
    }

    fn operator(&self) -> Operator {
        Operator::Identity
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        let mut list = vec![
            Quadratic { name: "mean", units: "1", meaning: "mean of u" },
            Quadratic { name: "square", units: "1", meaning: "mean of u²" },
            Quadratic {
                name: "dissipation",
                units: "1/time",
                meaning: "mean of u_t² without problem.forcing: minus the rate of the free energy",
            },
        ];
        if self.input.quadratic == 0.0 {
            let meaning = "mean of ((q² + Δ)u)²/2 − r u²/2 + u⁴/4";
            list.push(Quadratic { name: "free_energy", units: "1", meaning });
        }
        list
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, rate: Complex<f64>, out: &mut [f64]) {
        let linear = self.linear(k);
        out[0] = mean(k, u);
        out[1] = u.norm_sqr();
        out[2] = (rate + linear * u).norm_sqr();
        if let Some(energy) = out.get_mut(3) {
            // N = −u³, so that −⟨u N⟩ = ⟨u⁴⟩: exact where N is not aliased.
            *energy = -0.5 * linear.re * u.norm_sqr() - 0.25 * (u.conj() * rate).re;
        }
    }
}
