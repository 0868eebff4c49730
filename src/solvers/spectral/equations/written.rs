//! Equations written in the input. Periodic axes only.
//!
//! ```toml
//! fields = ["b"]                          # scalar unknowns
//! vectors = { u = ["ux", "uy"] }          # vector unknowns with the names of their components
//! parameters = { nu = 0.01, L = "2*pi" }  # numbers, or expressions of numbers
//! define = { omega = "curl(u)" }          # shorthands; those linear in the fields can be written out
//! rhs.u = "-dot(u, grad(u)) + nu*lap(u) + [0, b]"
//! rhs.b = "-dot(u, grad(b)) + nu*lap(b)"
//! constraint = "div(u) = 0"               # kept by projection: the pressure gradient is left out of rhs.u
//! ```
//!
//! Terms that are linear with constant coefficients form L, which the time stepper treats implicitly or exponentially;
//! all others are computed on the grid, with as few transforms as the equation allows. To save transforms aⁿ ∂a may be
//! computed as ∂(aⁿ⁺¹)/(n+1), and u·∇c as ∇·(u c) where ∇·u = 0 is a constraint: without aliasing errors these are the
//! same functions; `as_written = true` keeps every term as it stands.

use std::collections::BTreeMap;
use std::sync::Mutex;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::kernel::raise;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Kick, Quadratic, Round};
use crate::solvers::spectral::expression::{
    Combine, Constraint, Graph, Output, Pair, Plan, Program, RandomForcing, Read, Refusal, Source, Symbol, Tables,
    parameters, project, read, with_parts,
};

/// A number, or an expression of numbers and pi such as "2*pi/3".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Number {
    Value(f64),
    Text(String),
}

impl Number {
    fn text(&self) -> String {
        match self {
            // The shortest text that reads back as the same number.
            Number::Value(x) => format!("{x:?}"),
            Number::Text(text) => text.clone(),
        }
    }
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// An equation ∂u/∂t = rhs for each field, written in the input.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WrittenInput {
    /// Scalar unknowns.
    pub fields: Vec<String>,
    /// Vector unknowns: name = names of the components, e.g. { u = ["ux", "uy", "uz"] }.
    pub vectors: BTreeMap<String, Vec<String>>,
    /// Constants: numbers, or expressions of numbers and each other.
    pub parameters: BTreeMap<String, Number>,
    /// Intermediate definitions: name = expression; they may use each other.
    pub define: BTreeMap<String, String>,
    /// Right-hand side of the time derivative of each field or vector. Operators: dx dy dz lap inv_lap mean grad div
    /// curl dot cross outer; functions: sin cos tan exp log sqrt sinh cosh tanh sech abs, conj re im; vectors as [a, b].
    pub rhs: BTreeMap<String, String>,
    /// Linear equations kept by projection, e.g. "div(u) = 0".
    pub constraint: Option<OneOrMore>,
    /// The fields are complex, and expressions know i.
    pub complex: bool,
    /// Products of this many fields are kept free of aliasing errors; default: what the right-hand side has. Needed
    /// where it is no polynomial.
    #[schemars(range(min = 1, max = 16))]
    pub degree: Option<u32>,
    /// Keep linear couplings between fields out of the implicit part.
    pub diagonal: bool,
    /// Compute every product in the form in which it is written.
    pub as_written: bool,
    /// Random forcings, drawn anew for each step, each for itself.
    pub random: Vec<RandomInput>,
}

/// A random forcing of a band of wavenumbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomInput {
    /// Field or vector it acts on.
    pub field: String,
    /// Root of the mean square over the box of each component, before projection.
    pub amplitude: f64,
    /// Lowest and highest |k| that are forced, in radians per unit of length.
    pub band: [f64; 2],
    /// White in time (what a step receives grows as the root of its length; false: as its length).
    #[serde(default = "yes")]
    pub white: bool,
}

fn yes() -> bool {
    true
}

impl WrittenInput {
    /// The value of each parameter.
    pub fn parameters(&self) -> Result<Vec<(String, f64)>, Refusal> {
        parameters(&self.parameters.iter().map(|(n, p)| (n.clone(), p.text())).collect())
    }

    fn constraints(&self) -> &[String] {
        match &self.constraint {
            None => &[],
            Some(OneOrMore::One(text)) => std::slice::from_ref(text),
            Some(OneOrMore::More(texts)) => texts,
        }
    }

    /// All expressions.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let written = self.rhs.values().chain(self.define.values()).chain(self.constraints());
        written.cloned().chain(self.parameters.values().map(Number::text))
    }

    fn read(&self, domain: &Domain) -> Result<Read, Refusal> {
        let tables = Tables {
            fields: &self.fields,
            vectors: &self.vectors,
            parameters: &self.parameters()?,
            define: &self.define,
            rhs: &self.rhs,
            constraints: self.constraints(),
            diagonal: self.diagonal,
            // Below the degree of its products an equation has aliasing errors, and forms differ.
            as_written: self.as_written,
        };
        let found = read(&tables, domain)?;
        if !self.as_written && self.degree.is_some_and(|d| found.plan.degree.is_none_or(|own| d < own)) {
            return read(&Tables { as_written: true, ..tables }, domain);
        }
        Ok(found)
    }

    /// The equation on a domain: of its axes the names, places and lengths count, not the numbers of points.
    pub fn compile<T: Real>(&self, domain: &Domain) -> Result<Written<T>, Refusal> {
        let mut random = Vec::new();
        let read = self.read(&Domain { complex: self.complex, ..domain.clone() })?;
        for (n, input) in self.random.iter().enumerate() {
            let key = |name: &str| format!("random.{n}.{name}");
            let names = self.vectors.get(&input.field).cloned().unwrap_or_else(|| vec![input.field.clone()]);
            let places: Vec<usize> = names.iter().filter_map(|n| read.fields.iter().position(|f| f == n)).collect();
            if places.len() != names.len() {
                let all: Vec<&str> = read.fields.iter().chain(self.vectors.keys()).map(String::as_str).collect();
                let message = format!("there is no such field or vector; they are {}", all.join(", "));
                return Err(Refusal::new(key("field"), &input.field, message));
            }
            let [low, high] = input.band;
            if !(0.0 <= low && low <= high && high.is_finite()) {
                let message = "must be two wavenumbers, 0 <= lowest <= highest";
                return Err(Refusal::new(key("band"), format!("{:?}", input.band), message));
            }
            if !(input.amplitude.is_finite() && input.amplitude >= 0.0) {
                return Err(Refusal::new(key("amplitude"), input.amplitude.to_string(), "must be a number >= 0"));
            }
            let (amplitude, band, white) = (input.amplitude, input.band, input.white);
            let forcing = RandomForcing { number: n as u32, fields: places, amplitude, band, white };
            if forcing.modes(domain) == 0 {
                let message = "no wavenumber that is kept lies between: they are multiples of 2π/length on each axis, the \
                               mean is not forced";
                return Err(Refusal::new(key("band"), format!("{:?}", input.band), message));
            }
            random.push(forcing);
        }
        let mut squares: Vec<(String, Vec<usize>)> = Vec::new();
        for name in self.fields.iter().chain(self.vectors.keys()) {
            let parts = self.vectors.get(name).cloned().unwrap_or_else(|| vec![name.clone()]);
            let places = parts.iter().filter_map(|n| read.fields.iter().position(|f| f == n)).collect();
            squares.push((name.clone(), places));
        }
        Ok(Written::new(read, self.degree, random, squares))
    }
}

/// One per random forcing, without a heap for a few.
type Counts = SmallVec<[usize; 8]>;

/// A written equation, compiled.
pub struct Written<T> {
    names: Vec<FieldName>,
    plan: Plan,
    coupling: Coupling,
    degree: Degree,
    rounds: Vec<Round>,
    /// Per round: whether its arrays are made.
    derives: Vec<bool>,
    derive: Vec<Combine<T>>,
    multiply: Vec<Program<T>>,
    /// Derivatives of the products, from the arrays on the grid and their rates after them.
    tangent: Vec<Program<T>>,
    assemble: Combine<T>,
    forcing: Option<Program<T>>,
    /// Per round: what is measured for the speeds, and its place among all that is.
    speeds: Vec<(Program<T>, Vec<usize>)>,
    /// Work space for speeds.
    pool: Mutex<Vec<Vec<T>>>,
    derived: Vec<(FieldName, Vec<(usize, Symbol)>)>,
    random: Vec<RandomForcing>,
    /// The series of each scalar and vector, with its components.
    squares: Vec<(Quadratic, Vec<usize>)>,
    /// Forced modes of each random forcing, counted once.
    forced: Mutex<Vec<(Domain, Counts)>>,
}

impl<T: Real> Written<T> {
    fn new(
        read: Read,
        degree: Option<u32>,
        random: Vec<RandomForcing>,
        squares: Vec<(String, Vec<usize>)>,
    ) -> Written<T> {
        let Read { fields, plan, derived } = read;
        let complex = plan.products.complex;
        let output = |p: Pair| if complex { Output::Pair(p.re, p.im) } else { Output::Real(p.re) };
        let source = |leaf: u32| Source { array: leaf as usize / 2, part: complex.then_some(leaf as usize % 2) };
        let (mut multiply, mut tangent) = (Vec::new(), Vec::new());
        for round in &plan.rounds {
            let mut graph = Graph::default();
            let roots: Vec<u32> = round.products.iter().flatten().flat_map(|(p, _)| [p.re, p.im]).collect();
            let new = plan.products.graph.rebuild(&roots, &mut graph, |leaf, graph| {
                on_grid(&round.made[&(leaf as usize / 2)], leaf % 2 == 1, complex, graph)
            });
            let mut made = new.as_chunks::<2>().0.iter();
            let mut sums = Vec::new();
            for sum in &round.products {
                let mut total = graph.pair(Complex::new(0.0, 0.0));
                for (weight, &[re, im]) in sum.iter().map(|(_, w)| *w).zip(&mut made) {
                    let weight = graph.pair(weight);
                    let term = graph.pair_mul(weight, Pair { re, im });
                    total = graph.pair_add(total, term);
                }
                sums.push(total);
            }
            multiply.push(Program::new(&graph, &sums.iter().map(|&p| output(p)).collect::<Vec<_>>(), source));
            let roots: Vec<u32> = sums.iter().flat_map(|p| [p.re, p.im]).collect();
            let after = 2 * round.arrays.len() as u32;
            let rates = graph.tangents(&roots, |leaf, graph| graph.leaf(leaf + after));
            let rates = rates.expect("the functions of equations have derivatives");
            let pairs = rates.as_chunks::<2>().0.iter().map(|&[re, im]| output(Pair { re, im }));
            tangent.push(Program::new(&graph, &pairs.collect::<Vec<_>>(), source));
        }
        let graph = &plan.products.graph;
        let steady = plan.forcing.iter().any(|p| graph.complex_number(*p) != Some(Complex::new(0.0, 0.0)));
        let forcing = steady.then(|| {
            let outputs: Vec<Output> = plan.forcing.iter().map(|&p| output(p)).collect();
            Program::new(graph, &outputs, source)
        });
        let no_arrays = Vec::new();
        let speeds = plan.rounds.iter().enumerate().map(|(r, round)| {
            let here = |(_, (at, _)): &(usize, &(usize, u32))| *at == r;
            let (places, roots): (Vec<usize>, Vec<u32>) =
                plan.speeds.measured.iter().enumerate().filter(here).map(|(place, (_, root))| (place, *root)).unzip();
            let mut speed_graph = Graph::default();
            let formulas = graph.rebuild(&roots, &mut speed_graph, |leaf, graph| {
                let made = round.made.get(&(leaf as usize / 2)).unwrap_or(&no_arrays);
                on_grid(made, leaf % 2 == 1, complex, graph)
            });
            let outputs: Vec<Output> = formulas.into_iter().map(Output::Real).collect();
            (Program::new(&speed_graph, &outputs, source), places)
        });
        let speeds = speeds.collect();
        let coupling = match plan.block {
            true => Coupling::Block,
            false if (0..fields.len()).all(|f| plan.linear[f][f].is_real()) => Coupling::RealDiagonal,
            false => Coupling::Diagonal,
        };
        let name = |n: &str, meaning: &str| FieldName::new(n, meaning);
        Written {
            names: fields.iter().map(|n| name(n, "unknown of the written equation")).collect(),
            coupling,
            degree: match (degree, plan.degree) {
                (Some(d), _) | (None, Some(d)) => Degree::Polynomial(d),
                (None, None) => Degree::Other,
            },
            rounds: plan.rounds.iter().map(|r| Round { backward: r.arrays.len(), forward: r.products.len() }).collect(),
            derives: plan.rounds.iter().map(|r| !r.takes_fields()).collect(),
            derive: plan.rounds.iter().map(|r| Combine::new(&r.arrays)).collect(),
            multiply,
            tangent,
            assemble: Combine::new(&plan.assemble),
            forcing,
            speeds,
            pool: Mutex::new(Vec::new()),
            derived: derived.into_iter().map(|(n, parts)| (name(&n, "defined in the input"), parts)).collect(),
            random,
            forced: Mutex::new(Vec::new()),
            squares: squares
                .into_iter()
                .map(|(name, places)| {
                    // Names of series live as long as the program; a run has one equation.
                    let name: &'static str = format!("mean_square_{name}").leak();
                    (Quadratic { name, units: "1", meaning: "mean of |.|² over the box" }, places)
                })
                .collect(),
            plan,
        }
    }

    /// Degree of the products themselves, whatever the input asks for; None: they are no polynomials.
    pub fn own_degree(&self) -> Option<u32> {
        self.plan.degree
    }

    pub fn constraints(&self) -> &[Constraint] {
        &self.plan.constraints
    }
}

/// An array of the plan, made from those that were taken to the grid.
fn on_grid(made: &[(usize, Complex<f64>)], imaginary: bool, complex: bool, graph: &mut Graph) -> u32 {
    let mut sum = graph.pair(Complex::new(0.0, 0.0));
    for &(array, weight) in made {
        let re = graph.leaf(2 * array as u32);
        let im = if complex { graph.leaf(2 * array as u32 + 1) } else { graph.constant(0.0) };
        let weight = graph.pair(weight);
        let term = graph.pair_mul(weight, Pair { re, im });
        sum = graph.pair_add(sum, term);
    }
    if imaginary { sum.im } else { sum.re }
}

impl<T: Real> Equation<T> for Written<T> {
    fn fields(&self) -> &[FieldName] {
        &self.names
    }

    fn coupling(&self) -> Coupling {
        self.coupling
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        self.plan.linear_at(k, entries);
    }

    fn degree(&self) -> Degree {
        self.degree
    }

    fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    fn derives(&self, round: usize) -> bool {
        self.derives[round]
    }

    fn derive(
        &self,
        round: usize,
        _time: f64,
        tile: &Tile,
        state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        self.derive[round].run(tile, state, products, out);
    }

    fn multiply(&self, round: usize, time: f64, tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        self.multiply[round].run(tile, time, values, products);
    }

    fn multiply_tangent(
        &self,
        round: usize,
        time: f64,
        tile: &Tile,
        (values, rates): (&[&[T]], &[&[T]]),
        _work: &mut Vec<T>,
        out: &mut [&mut [T]],
    ) {
        self.tangent[round].run_joined(tile, time, [values, rates], out);
    }

    fn reads_state(&self) -> bool {
        self.plan.assembles_fields()
    }

    fn assemble(
        &self,
        _time: f64,
        tile: &Tile,
        state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        self.assemble.run(tile, state, products, out);
        self.constrain(tile, out);
    }

    fn forcing(&self, tile: &Tile, out: &mut [&mut [T]]) -> bool {
        let Some(program) = &self.forcing else { return false };
        program.run(tile, 0.0, &[], out);
        true
    }

    fn carries(&self) -> bool {
        self.plan.speeds.any
    }

    fn measured_speeds(&self) -> usize {
        self.plan.speeds.measured.len()
    }

    fn speeds_at(&self, round: usize, time: f64, tile: &Tile, values: &[&[T]], largest: &mut [f64]) {
        let n = tile.len();
        let (program, places) = &self.speeds[round];
        if places.is_empty() || n == 0 {
            return;
        }
        let mut work = self.pool.lock().ok().and_then(|mut p| p.pop()).unwrap_or_default();
        work.resize(places.len() * n, T::zero());
        with_parts(&mut work, n, |parts| program.run(tile, time, values, parts));
        for (part, &place) in work.chunks_exact(n).zip(places) {
            raise(&mut largest[place], part, 1.0);
        }
        if let Ok(mut pool) = self.pool.lock() {
            pool.push(work);
        }
    }

    fn fastest(&self, largest: &[f64]) -> [f64; 3] {
        self.plan.speeds.fastest(largest)
    }

    fn is_stirred(&self) -> bool {
        !self.random.is_empty()
    }

    fn stir(&self, kick: Kick, domain: &Domain, tile: &Tile, out: &mut [&mut [Complex<T>]]) {
        let counts = {
            let mut forced = self.forced.lock().unwrap_or_else(|e| e.into_inner());
            match forced.iter().find(|f| f.0 == *domain) {
                Some((_, counts)) => counts.clone(),
                None => {
                    let counts: Counts = self.random.iter().map(|r| r.modes(domain)).collect();
                    forced.push((domain.clone(), counts.clone()));
                    counts
                }
            }
        };
        for (forcing, modes) in self.random.iter().zip(counts) {
            forcing.add(kick, modes, domain, tile, out);
        }
        self.constrain(tile, out);
    }

    fn constrain(&self, tile: &Tile, state: &mut [&mut [Complex<T>]]) {
        self.plan.constraints.iter().for_each(|c| project(c, tile, state));
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        self.squares.iter().map(|s| s.0).collect()
    }

    fn densities(&self, _k: [f64; 3], state: &[Complex<f64>], _rate: &[Complex<f64>], out: &mut [f64]) {
        for (out, (_, places)) in out.iter_mut().zip(&self.squares) {
            *out = places.iter().map(|&f| state[f].norm_sqr()).sum();
        }
    }

    fn derived(&self) -> Vec<FieldName> {
        self.derived.iter().map(|d| d.0.clone()).collect()
    }

    fn derive_field(&self, index: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        self.derived[index].1.iter().map(|(f, symbol)| symbol.value(k) * state[*f]).sum()
    }
}

#[cfg(test)]
mod tests;
