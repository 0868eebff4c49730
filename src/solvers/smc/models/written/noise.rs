//! Named noises of written models: independent for every particle, step and name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::observation::{cauchy, laplace, student};
use crate::math::elementary::ln;
use crate::particles::{Draws, TILE};

/// The distribution of a noise, in standard form: expressions shift and scale it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "distribution", rename_all = "snake_case", deny_unknown_fields)]
pub enum Noise {
    /// Mean 0, standard deviation 1.
    Normal,
    /// Uniform on (0, 1).
    Uniform,
    /// Student's t; its variance is degrees/(degrees − 2).
    StudentT {
        /// Degrees of freedom, > 0.
        degrees: f64,
    },
    /// Density e^(−|x|)/2.
    Laplace,
    /// Density e^(−x).
    Exponential,
    /// Density 1/(π(1 + x²)).
    Cauchy,
    /// 1 with the probability, else 0: jumps, switches.
    Bernoulli {
        /// From 0 to 1.
        probability: f64,
    },
}

impl Noise {
    /// What is wrong with it.
    pub fn mistake(&self) -> Option<String> {
        match self {
            Noise::StudentT { degrees } if !(*degrees > 0.0 && degrees.is_finite()) => {
                Some(format!("degrees = {degrees} must be positive"))
            }
            Noise::Bernoulli { probability } if !(0.0..=1.0).contains(probability) => {
                Some(format!("probability = {probability} must lie in [0, 1]"))
            }
            _ => None,
        }
    }

    /// One number for each particle, from draws 4·`number` on.
    pub fn draw(&self, at: &Draws, number: u32, out: &mut [f64]) {
        let first = 4 * number;
        match self {
            Noise::Normal => at.normals(first, out),
            _ => at.uniforms(first, out),
        }
        match *self {
            Noise::Normal | Noise::Uniform => {}
            Noise::StudentT { degrees } => {
                let mut v = [0.0; TILE];
                at.uniforms(first + 1, &mut v[..out.len()]);
                out.iter_mut().zip(&v).for_each(|(x, v)| *x = student(degrees, *x, *v));
            }
            Noise::Laplace => out.iter_mut().for_each(|x| *x = laplace(*x)),
            Noise::Exponential => out.iter_mut().for_each(|x| *x = -ln(*x)),
            Noise::Cauchy => out.iter_mut().for_each(|x| *x = cauchy(*x)),
            Noise::Bernoulli { probability } => {
                out.iter_mut().for_each(|x| *x = f64::from(u8::from(*x < probability)));
            }
        }
    }
}
