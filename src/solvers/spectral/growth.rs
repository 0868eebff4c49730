//! Lyapunov exponents of a run: the directions that go with the state, when they are made orthonormal, what is recorded.

use num_complex::Complex;

use super::domain::Domain;
use super::equation::Equation;
use super::fields::Fields;
use super::initial;
use super::nonlinear::{Evaluation, over_tiles};
use super::problem::TangentInput;
use super::tangent::{Arrays, Lyapunov, Tangent, inner_products, orthonormalise};
use super::transform::{Scales, Transform};
use crate::error::Result;
use crate::math::real::Real;
use crate::solvers::{ErrorBar, Number};
use crate::state::{Name, Walk};
use crate::team::Team;

/// Below this length a direction says nothing that the ones before it do not.
const DEPENDENT: f64 = 1e-6;

/// The directions of a run and the exponents so far.
pub struct Growth<T: Real> {
    pub tangent: Tangent<T>,
    /// Coefficients, direction after direction; empty while they travel with the state.
    pub directions: Vec<Vec<Complex<T>>>,
    count: usize,
    lyapunov: Lyapunov,
    every: f64,
    transient: f64,
    /// Time since the last orthonormalisation.
    span: f64,
    exponents: Vec<Name>,
    numbers: Vec<Name>,
}

const SPAN: Name =
    Name { name: "tangent_span", units: "1", meaning: "time since the last orthonormalisation", axes: &[] };

impl<T: Real> Growth<T> {
    /// Random directions, orthonormal; collective. None: the state has fewer directions than are asked for.
    pub fn new(
        asked: &TangentInput,
        seed: u64,
        evaluation: &Evaluation<T>,
        transform: &dyn Transform<T>,
        team: &dyn Team,
    ) -> Option<Growth<T>> {
        let equation = evaluation.equation.as_ref();
        let count = asked.vectors;
        let mut directions = initial::directions(seed, count, equation, transform);
        let mut inner = inner_products(transform.domain(), &evaluation.scales, team);
        // The first pass makes lengths 1, so that the second shows what is left of each.
        orthonormalise(&mut directions, &mut [], count, &mut inner);
        let lengths = orthonormalise(&mut directions, &mut [], count, &mut inner);
        if !lengths.iter().all(|l| (l - 1.0).abs() < DEPENDENT) {
            return None;
        }
        let mut lyapunov = Lyapunov::new(count);
        let numbers = lyapunov.numbers().map(|(name, _)| {
            let axis = format!("{name}_item");
            Name::kept(&format!("tangent_{name}"), "1", "of the growth of directions, by batch", &[&axis])
        });
        let exponent = |j: usize| {
            let meaning = "Lyapunov exponent so far; 0 before growth is counted";
            Name::kept(&format!("lyapunov_{}", j + 1), "1/time", meaning, &[])
        };
        Some(Growth {
            tangent: Tangent::new(evaluation, count),
            directions,
            count,
            lyapunov,
            every: asked.every,
            transient: asked.transient,
            span: 0.0,
            exponents: (0..count).map(exponent).collect(),
            numbers: numbers.to_vec(),
        })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The state and its directions as one list.
    pub fn join(&mut self, state: &mut Fields<T>) {
        state.arrays.append(&mut self.directions);
    }

    /// Takes the directions off again.
    pub fn part(&mut self, state: &mut Fields<T>, fields: usize) {
        self.directions.extend(state.arrays.drain(fields..));
    }

    /// Whether directions are made orthonormal after a step of `step`.
    pub fn is_due(&self, step: f64) -> bool {
        self.span + step >= self.every * (1.0 - 1e-9)
    }

    /// After a step of `step` to `time`: constraints, and orthonormal directions where they are due, with what the scheme
    /// keeps `along` with them; collective.
    pub fn stepped(
        &mut self,
        along: &mut [Arrays<T>],
        time: f64,
        step: f64,
        equation: &dyn Equation<T>,
        domain: &Domain,
        scales: &Scales,
        team: &dyn Team,
    ) {
        for own in self.directions.chunks_mut(equation.fields().len()) {
            over_tiles(scales, own, |tile, _, parts| equation.constrain(tile, parts));
        }
        let due = self.is_due(step);
        self.span += step;
        if !due {
            return;
        }
        let mut inner = inner_products(domain, scales, team);
        // What grew before the transient was over does not count, nor does a span that began in it.
        if time - self.span < self.transient - 1e-9 * self.every {
            orthonormalise(&mut self.directions, along, self.count, &mut inner);
        } else {
            self.lyapunov.orthonormalise(&mut self.directions, along, self.span, &mut inner);
        }
        self.span = 0.0;
    }

    /// Walks all but the directions.
    ///
    /// # Errors
    /// Those of the walk.
    pub fn walk(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&SPAN, (&mut self.span).into())?;
        for (name, (_, values)) in self.numbers.iter().zip(self.lyapunov.numbers()) {
            let mut list = values.to_vec();
            walk.replicated(name, &mut list)?;
            values.copy_from_slice(&list);
        }
        Ok(())
    }

    /// The exponents so far.
    pub fn record(&self) -> impl Iterator<Item = (Name, f64)> {
        self.exponents.iter().copied().zip(self.lyapunov.means())
    }

    pub fn report(&self) -> Vec<Number> {
        let bar = |error: Option<f64>| error.map_or(ErrorBar::None, ErrorBar::StdErr);
        let number = |name: &Name, meaning, value, error| Number {
            name: name.name,
            unit: name.units,
            meaning,
            value,
            error: bar(error),
        };
        let exponents = self.exponents.iter().zip(self.lyapunov.exponents());
        let mut report: Vec<Number> =
            exponents.map(|(name, (value, error))| number(name, "Lyapunov exponent", value, error)).collect();
        const DIMENSION: Name = Name { name: "kaplan_yorke_dimension", units: "1", meaning: "", axes: &[] };
        if self.lyapunov.time() > 0.0
            && let Some((value, error)) = self.lyapunov.dimension()
        {
            report.push(number(&DIMENSION, "Kaplan–Yorke dimension of the attractor", value, error));
        }
        const TIME: Name = Name { name: "lyapunov_time", units: "1", meaning: "", axes: &[] };
        report.push(number(&TIME, "time over which growth was counted", self.lyapunov.time(), None));
        report
    }
}
