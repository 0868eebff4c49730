//! The Gray–Scott reaction, u_t = D_u Δu − u v² + F (1 − u), v_t = D_v Δv + u v² − (F + k) v: two transforms to the grid,
//! one back.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, square, varying};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, not_negative, parameter};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};

/// Gray–Scott: u_t = D_u Δu − u v² + F (1 − u), v_t = D_v Δv + u v² − (F + k) v [Pearson1993].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Feed rate F ≥ 0. No default.
    #[schemars(extend("minimum" = 0))]
    pub feed: f64,
    /// Kill rate k ≥ 0. No default.
    #[schemars(extend("minimum" = 0))]
    pub kill: f64,
    /// Diffusivity D_u ≥ 0 of the substrate, u. Default 2e-5, for a box of 2.5 [Pearson1993].
    #[serde(default = "diffusivity_u")]
    #[schemars(extend("minimum" = 0))]
    pub diffusivity_u: f64,
    /// Diffusivity D_v ≥ 0 of the autocatalyst, v. Default 1e-5.
    #[serde(default = "diffusivity_v")]
    #[schemars(extend("minimum" = 0))]
    pub diffusivity_v: f64,
}

fn diffusivity_u() -> f64 {
    2e-5
}

fn diffusivity_v() -> f64 {
    1e-5
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "gray_scott",
        summary: "Gray–Scott: u_t = D_u Δu − u v² + F (1 − u), v_t = D_v Δv + u v² − (F + k) v",
        dimensions: &[1, 2, 3],
        complex: false,
        initials: &[
            Named {
                word: "patch",
                summary: "u = 1, v = 0 but for a patch with u = ½, v = ¼ in the middle, smooth and slightly uneven",
                parameters: &[
                    parameter("size", 0.15, "of the patch, as a fraction of the length"),
                    parameter("unevenness", 0.05, "relative, breaks the symmetry"),
                ],
            },
            Named {
                word: "uniform",
                summary: "constant fields: the reaction alone",
                parameters: &[parameter("u", 0.5, "value of u"), parameter("v", 0.25, "value of v")],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        not_negative("feed", self.feed)?;
        not_negative("kill", self.kill)?;
        not_negative("diffusivity_u", self.diffusivity_u)?;
        not_negative("diffusivity_v", self.diffusivity_v)?;
        let fields = [("u", "concentration of the substrate"), ("v", "concentration of the autocatalyst")];
        let fields = fields.map(|(name, meaning)| FieldName::new(name, meaning));
        Ok(Arc::new(GrayScott { input: self.clone(), fields }))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        if word == "uniform" {
            let fields = [values.get("u"), values.get("v")];
            return Ok(Initial::new(false, move |_, _, out| out.copy_from_slice(&fields)));
        }
        let (half, unevenness) = (0.5 * values.get("size"), values.get("unevenness"));
        if half <= 0.0 {
            return Err(("parameters", format!("size = {} must be positive", values.get("size"))));
        }
        let axes: Vec<_> = varying(domain).map(|a| (along(domain, a), domain.own()[a].length)).collect();
        Ok(Initial::new(false, move |_, x, out| {
            let (mut patch, mut uneven) = (1.0, 0.0);
            for (a, (along, length)) in axes.iter().enumerate() {
                // Edges of a hundredth of the box.
                let distance = along(x) / length - 0.5;
                patch *= 0.5 * (libm::tanh(100.0 * (distance + half)) - libm::tanh(100.0 * (distance - half)));
                uneven += libm::sin((7.0 + 2.0 * a as f64) * 4.0 * distance + 1.0 + a as f64);
            }
            patch *= 1.0 + unevenness * uneven;
            out[0] = 1.0 - 0.5 * patch;
            out[1] = 0.25 * patch;
        }))
    }
}

struct GrayScott {
    input: Input,
    fields: [FieldName; 2],
}

impl<T: Real> Equation<T> for GrayScott {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        let Input { feed, kill, diffusivity_u, diffusivity_v } = self.input;
        entries[0] = Complex::new(-diffusivity_u * square(k) - feed, 0.0);
        entries[1] = Complex::new(-diffusivity_v * square(k) - (feed + kill), 0.0);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(3)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 2, forward: 1 }]
    }

    fn derives(&self, _round: usize) -> bool {
        false
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        for ((p, &u), &v) in products[0].iter_mut().zip(values[0]).zip(values[1]) {
            *p = u * v * v;
        }
    }

    fn reads_state(&self) -> bool {
        false
    }

    fn assemble(
        &self,
        _time: f64,
        tile: &Tile,
        _state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        out[0].iter_mut().zip(products[0]).for_each(|(out, &p)| *out = -p);
        out[1].copy_from_slice(products[0]);
        if tile.start == [0; 3] {
            out[0][0].re += T::of(self.input.feed);
        }
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "mean_u", units: "1", meaning: "mean of u" },
            Quadratic { name: "mean_v", units: "1", meaning: "mean of v" },
            Quadratic { name: "reaction", units: "1/time", meaning: "mean of u v²" },
            Quadratic {
                name: "supply",
                units: "1/time",
                meaning: "F(1 − u) − (F + k) v in the mean: the rate of u + v without problem.forcing",
            },
        ]
    }

    fn measures_n_alone(&self) -> bool {
        true
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], rate: &[Complex<f64>], out: &mut [f64]) {
        let (u, v) = (mean(k, state[0]), mean(k, state[1]));
        let fed = if k == [0.0; 3] { self.input.feed } else { 0.0 };
        out[0] = u;
        out[1] = v;
        out[2] = mean(k, rate[1]);
        out[3] = fed - self.input.feed * u - (self.input.feed + self.input.kill) * v;
    }
}
