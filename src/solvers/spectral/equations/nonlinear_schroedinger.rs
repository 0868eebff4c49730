//! The nonlinear Schrödinger (Gross–Pitaevskii) equation, i ψ_t = −½ Δψ − g |ψ|² ψ + V ψ: one transform each way.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, middle, nearest_image, square, times_i, unit, varying};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, held, parameter, positive};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};

/// Nonlinear Schrödinger: i ψ_t = −½ Δψ − g |ψ|² ψ + V(x) ψ, ψ complex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Focusing strength g; negative: defocusing (repulsive bosons). Default 1.
    #[serde(default = "one")]
    pub focusing: f64,
    /// Potential V(x). Default: none.
    #[serde(default)]
    pub potential: Potential,
}

fn one() -> f64 {
    1.0
}

/// The potential of the Gross–Pitaevskii equation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Potential {
    /// V = 0.
    #[default]
    None,
    /// V = ½ Σ ω_a² (x_a − centre of the box)²; ψ must vanish at the faces of the box.
    Harmonic {
        /// Trap frequencies ω_a > 0, one per axis.
        frequencies: Vec<f64>,
    },
    /// V = depth · Σ sin²(π waves x_a/length_a).
    Lattice {
        /// Height of the walls between sites.
        depth: f64,
        /// Sites per axis.
        waves: u32,
    },
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "nonlinear_schroedinger",
        summary: "nonlinear Schrödinger / Gross–Pitaevskii: i ψ_t = −½ Δψ − g |ψ|² ψ + V ψ",
        dimensions: &[1, 2, 3],
        complex: true,
        initials: &[
            Named {
                word: "gaussian",
                summary: "a Gaussian of unit norm ∫|ψ|² = 1, displaced from the centre of the box along x",
                parameters: &[
                    parameter("width", 1.0, "standard deviation of ψ: |ψ|² ∝ e^(−r²/width²)"),
                    parameter("displacement", 0.0, "from the centre, along x"),
                    parameter("velocity", 0.0, "along x"),
                ],
            },
            Named {
                word: "soliton",
                summary: "1-D, exact on the line: (a/√g) sech(a(x − vt − x₀)) e^(i(v(x − x₀) + (a² − v²)t/2)); error e^(−a length/2) in a box",
                parameters: &[
                    parameter("amplitude", 1.0, "a > 0, the inverse width"),
                    parameter("velocity", 0.0, "v"),
                    parameter("position", 0.5, "x₀ as a fraction of the length"),
                ],
            },
            Named {
                word: "plane_wave",
                summary: "exact: A e^(i(kx − ωt)), ω = k²/2 − g A²; unstable to modulation where g > 0",
                parameters: &[
                    parameter("amplitude", 1.0, "A"),
                    parameter("waves", 0.0, "whole waves along x"),
                    parameter("perturbation", 0.0, "relative amplitude of a modulation of one wave along x"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        if !self.focusing.is_finite() {
            return Err(("focusing", format!("focusing = {} is not finite", self.focusing)));
        }
        let well = match &self.potential {
            Potential::None => Well::Flat,
            Potential::Harmonic { frequencies } => {
                if frequencies.len() != domain.dimension {
                    let (n, d) = (frequencies.len(), domain.dimension);
                    return Err(("potential.frequencies", format!("{n} trap frequencies for {d} axes")));
                }
                let mut well = [(0.0, 0.0); 3];
                for (a, &frequency) in frequencies.iter().enumerate() {
                    let axis = &domain.own()[a];
                    let omega = positive("frequencies", frequency)
                        .map_err(|(_, message)| ("potential.frequencies", message))?;
                    well[3 - domain.dimension + a] = (0.5 * omega * omega, axis.low + middle(domain, a));
                }
                Well::Harmonic(well)
            }
            Potential::Lattice { depth, waves } => {
                let mut k = [(0.0, 0.0); 3];
                for (a, axis) in domain.own().iter().enumerate() {
                    k[3 - domain.dimension + a] = (0.5 * f64::from(*waves) * unit(domain, a), axis.low);
                }
                Well::Lattice(*depth, k)
            }
        };
        let (first, fields) = (3 - domain.dimension, [FieldName::new("psi", "wave function")]);
        Ok(Arc::new(Schroedinger { focusing: self.focusing, well, first, fields }))
    }

    fn fits(&self, domain: &Domain) -> Result<(), Refusal> {
        match self.potential {
            Potential::None | Potential::Harmonic { .. } => Ok(()),
            Potential::Lattice { waves, .. } => {
                (0..domain.dimension).try_for_each(|a| held("potential.waves", f64::from(waves), domain, a))
            }
        }
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (x_of, length, g) = (along(domain, 0), domain.own()[0].length, self.focusing);
        let free = self.potential == Potential::None;
        Ok(match word {
            "soliton" => {
                if domain.dimension != 1 || g <= 0.0 {
                    return Err(("name", "a soliton wants one axis and focusing > 0".into()));
                }
                let (a, v) = (values.get("amplitude"), values.get("velocity"));
                let start = values.get("position") * length;
                if a <= 0.0 {
                    return Err(("parameters", format!("amplitude = {a} must be positive")));
                }
                Initial::new(free, move |t, x, psi| {
                    let crest = start + v * t;
                    let from_crest = nearest_image(x_of(x) - crest, length);
                    let size = a / g.sqrt() / libm::cosh(a * from_crest);
                    let (sin, cos) = libm::sincos(v * (from_crest + crest - start) + 0.5 * (a * a - v * v) * t);
                    (psi[0], psi[1]) = (size * cos, size * sin);
                })
            }
            "plane_wave" => {
                let (amplitude, q) = (values.get("amplitude"), unit(domain, 0));
                let (waves, perturbation) = (values.waves("waves", domain, 0..1)?, values.get("perturbation"));
                if perturbation != 0.0 {
                    held("parameters", waves.abs() + 1.0, domain, 0)?;
                }
                let k = q * waves;
                Initial::new(free && perturbation == 0.0, move |t, x, psi| {
                    let x = x_of(x);
                    let (sin, cos) = libm::sincos(k * x - (0.5 * k * k - g * amplitude * amplitude) * t);
                    let size = amplitude * (1.0 + perturbation * libm::cos(q * x));
                    (psi[0], psi[1]) = (size * cos, size * sin);
                })
            }
            _ => {
                let (width, velocity) = (values.get("width"), values.get("velocity"));
                if width <= 0.0 {
                    return Err(("parameters", format!("width = {width} must be positive")));
                }
                let mut centre = [0.0; 3];
                for (a, axis) in domain.own().iter().enumerate() {
                    centre[3 - domain.dimension + a] = axis.low + middle(domain, a);
                }
                let (first, d) = (3 - domain.dimension, varying(domain).count());
                if domain.own()[0].highest > 0 {
                    centre[first] += values.get("displacement");
                }
                let norm = libm::pow(std::f64::consts::PI * width * width, -0.25 * d as f64);
                Initial::new(false, move |_, x, psi| {
                    let rr: f64 = (first..3).map(|a| (x[a] - centre[a]) * (x[a] - centre[a])).sum();
                    let size = norm * exp(-0.5 * rr / (width * width));
                    let (sin, cos) = libm::sincos(velocity * (x[first] - centre[first]));
                    (psi[0], psi[1]) = (size * cos, size * sin);
                })
            }
        })
    }
}

/// The potential on the internal axes.
enum Well {
    Flat,
    /// Σ factor · (x − centre)².
    Harmonic([(f64, f64); 3]),
    /// depth · Σ sin²(k (x − low)).
    Lattice(f64, [(f64, f64); 3]),
}

impl Well {
    fn along(&self, a: usize, x: f64) -> f64 {
        match self {
            Well::Flat => 0.0,
            Well::Harmonic(axes) => axes[a].0 * (x - axes[a].1) * (x - axes[a].1),
            Well::Lattice(depth, axes) => {
                let sin = libm::sin(axes[a].0 * (x - axes[a].1));
                depth * sin * sin
            }
        }
    }
}

struct Schroedinger {
    focusing: f64,
    well: Well,
    /// Internal axis of the user's x.
    first: usize,
    fields: [FieldName; 1],
}

impl<T: Real> Equation<T> for Schroedinger {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::Diagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries[0] = Complex::new(0.0, -0.5 * square(k));
    }

    fn degree(&self) -> Degree {
        if matches!(self.well, Well::Flat) { Degree::Polynomial(3) } else { Degree::Other }
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 1, forward: 1 }]
    }

    fn derives(&self, _round: usize) -> bool {
        false
    }

    fn multiply(&self, _round: usize, _time: f64, tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let g = T::of(self.focusing);
        let (psi, _) = values[0].as_chunks::<2>();
        let (out, _) = products[0].as_chunks_mut::<2>();
        if matches!(self.well, Well::Flat) {
            for (out, &[re, im]) in out.iter_mut().zip(psi) {
                let factor = g * (re * re + im * im);
                *out = [-factor * im, factor * re];
            }
            return;
        }
        // The potential is a sum over axes: that of the columns is made once per tile, a piece at a time.
        const PIECE: usize = 256;
        let n = tile.columns.len();
        for first in (0..n).step_by(PIECE) {
            let piece = &tile.columns[first..n.min(first + PIECE)];
            let mut across = [T::zero(); PIECE];
            across.iter_mut().zip(piece).for_each(|(v, &x)| *v = T::of(self.well.along(2, x)));
            for (r, &row) in tile.rows.iter().enumerate() {
                let level = T::of(self.well.along(0, tile.plane) + self.well.along(1, row));
                let at = r * n + first..r * n + first + piece.len();
                for ((out, &[re, im]), &across) in out[at.clone()].iter_mut().zip(&psi[at]).zip(&across) {
                    let factor = g * (re * re + im * im) - (level + across);
                    *out = [-factor * im, factor * re];
                }
            }
        }
    }

    fn reads_state(&self) -> bool {
        false
    }

    fn assemble(
        &self,
        _time: f64,
        _tile: &Tile,
        _state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        out[0].copy_from_slice(products[0]);
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        let mut list = vec![
            Quadratic { name: "mass", units: "1", meaning: "mean of |ψ|²" },
            Quadratic { name: "momentum_x", units: "1/length", meaning: "mean of Im ψ* ∂ψ/∂x" },
            Quadratic { name: "kinetic", units: "1/length²", meaning: "mean of |∇ψ|²/2" },
            Quadratic {
                name: "chemical_potential",
                units: "1/length²",
                meaning: "mean of |∇ψ|²/2 − g|ψ|⁴ + V|ψ|²: the chemical potential times the mean of |ψ|²",
            },
        ];
        if matches!(self.well, Well::Flat) {
            list.push(Quadratic { name: "energy", units: "1/length²", meaning: "mean of |∇ψ|²/2 − g|ψ|⁴/2" });
        }
        list
    }

    fn measures_n_alone(&self) -> bool {
        true
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], rate: &[Complex<f64>], out: &mut [f64]) {
        // N = i (g|ψ|² − V) ψ, and its product with ψ* has the mean i ⟨g|ψ|⁴ − V|ψ|²⟩: exact where N is not aliased.
        let (square_psi, kinetic) = (state[0].norm_sqr(), 0.5 * square(k) * state[0].norm_sqr());
        let interaction = (state[0].conj() * rate[0]).im;
        out[0] = square_psi;
        out[1] = k[self.first] * square_psi;
        out[2] = kinetic;
        out[3] = kinetic - interaction;
        if let Some(energy) = out.get_mut(4) {
            *energy = kinetic - 0.5 * interaction;
        }
    }

    fn pointwise(&self) -> Vec<Quadratic> {
        match self.well {
            Well::Flat => Vec::new(),
            _ => {
                let meaning = "mean of |∇ψ|²/2 − g|ψ|⁴/2 + V|ψ|²";
                vec![Quadratic { name: "energy", units: "1/length²", meaning }]
            }
        }
    }

    fn pointwise_arrays(&self) -> usize {
        if matches!(self.well, Well::Flat) { 0 } else { 1 + 3 - self.first }
    }

    fn derive_pointwise(&self, tile: &Tile, state: &[&[Complex<T>]], out: &mut [&mut [Complex<T>]]) {
        out[0].copy_from_slice(state[0]);
        for (slope, a) in out[1..].iter_mut().zip(self.first..3) {
            tile.for_each(|i, k| slope[i] = times_i(T::of(k[a]), state[0][i]));
        }
    }

    fn pointwise_densities(&self, tile: &Tile, values: &[&[T]], out: &mut [&mut [f64]]) {
        let square = |values: &[T], i: usize| {
            let [re, im] = [values[2 * i].to_f64(), values[2 * i + 1].to_f64()];
            re * re + im * im
        };
        tile.for_each(|i, x| {
            let potential: f64 = (self.first..3).map(|a| self.well.along(a, x[a])).sum();
            let (density, slopes) = (square(values[0], i), values[1..].iter().map(|v| square(v, i)).sum::<f64>());
            out[0][i] = 0.5 * slopes - 0.5 * self.focusing * density * density + potential * density;
        });
    }
}
