//! Diffusions written in the input: the drift, or a potential whose slope it is, and the noise per component.
//!
//!     prior = { kind = "written", components = ["x"], parameters = { a = 5 }, potential = "a*(x^2 - 1)^2" }
//!
//! Formulas become loops over the rows of a block; what gradients need is their symbolic derivative.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Prior;
use crate::math::expression::graph::{Graph, Id, Op};
use crate::math::expression::real::{is_name, is_reserved};
use crate::math::expression::slices::Output;
use crate::math::expression::{Expression, Program, Scope, Source, did_you_mean, read};
use crate::math::simd::Level;

/// A diffusion written in the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Names of the coordinates, in order.
    #[schemars(length(min = 1, max = 64))]
    pub components: Vec<String>,
    /// Constants.
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    /// b of each component: an expression of components, parameters and the time t.
    #[serde(default)]
    pub drift: Option<BTreeMap<String, Expression>>,
    /// In place of `drift`: V with b = −∇V, an expression of components and parameters.
    #[serde(default)]
    pub potential: Option<Expression>,
    /// Factor of the noise `problem.noise` of each component, an expression of components, parameters and t; 1 where
    /// absent. Negative factors mirror the noise, which changes nothing.
    #[serde(default)]
    pub noise: BTreeMap<String, Expression>,
}

type Refusal = (&'static str, String);

/// Leaves: components, then a vector of one number per component, then the numbers of a call: the time, and the step or
/// a scale.
#[derive(Debug, Clone, Copy)]
struct Leaves(usize);

const TIME: usize = 0;
const STEP: usize = 1;
const SCALE: usize = 2;

impl Leaves {
    fn number(self, i: usize) -> u32 {
        (2 * self.0 + i) as u32
    }

    fn source(self, leaf: u32) -> Source {
        match leaf as usize {
            l if l < 2 * self.0 => Source::Slice(l),
            l => Source::Number(l - 2 * self.0),
        }
    }
}

/// Compiled programs over rows.
pub struct Written {
    dimension: usize,
    level: Level,
    drift: Program,
    mean: Program,
    advance: Program,
    /// (∂b/∂x)ᵀ v, where all derivatives are known.
    pull: Option<Program>,
    spreads: Program,
    /// The factor of the noise where it is the same for all components and depends on the time alone.
    spread: Option<Program>,
    keeps_spread: bool,
    potential: Option<Program>,
    /// Per component: b = a x + c with a and c depending on the time alone.
    linear: Vec<Option<Program>>,
    /// b = Bx + c with B and c depending on the time alone: B in rows, then c.
    affine: Option<Program>,
}

impl Input {
    /// # Errors
    /// (key below `prior`, message that points at the character).
    pub fn build(&self, dimension: usize, level: Level) -> Result<Written, Refusal> {
        let n = self.components.len();
        if n != dimension {
            return Err(("components", format!("names {n} coordinates; the start has {dimension}")));
        }
        self.check_names()?;
        let leaves = Leaves(n);
        let mut graph = Graph::default();
        let mut scope = Scope::default();
        for (name, value) in &self.parameters {
            let id = graph.constant(*value);
            scope.define(name, id);
        }
        for (i, name) in self.components.iter().enumerate() {
            let id = graph.leaf(i as u32);
            scope.define(name, id);
        }
        let still = scope.clone();
        let time = graph.leaf(leaves.number(TIME));
        scope.define("t", time);

        let mut potential = None;
        let drift: Vec<Id> = match (&self.drift, &self.potential) {
            (Some(_), Some(_)) => return Err(("potential", "is given, and drift too: leave one of them out".into())),
            (None, None) => return Err(("drift", "is missing: give drift, or potential".into())),
            (Some(table), None) => self.each("drift", table, None, &mut graph, &scope)?,
            (None, Some(text)) => {
                let v = read(&text.text(), &mut graph, &still).map_err(|m| ("potential", m.to_string()))?;
                potential = Some(v);
                let slope = |(i, name): (usize, &String)| {
                    let slope = graph.derivative(v, Op::Leaf(i as u32)).ok_or_else(|| {
                        let message = format!("has no derivative by {name} that is known: give drift instead");
                        ("potential", message)
                    })?;
                    Ok(graph.neg(slope))
                };
                self.components.iter().enumerate().map(slope).collect::<Result<_, Refusal>>()?
            }
        };
        let one = graph.constant(1.0);
        let noise = self.each("noise", &self.noise, Some(one), &mut graph, &scope)?;
        if let Some(i) = (0..n).find(|&i| graph.number(noise[i]).is_some_and(|x| !x.is_finite())) {
            return Err(("noise", format!("{} is not finite", self.components[i])));
        }

        let step = graph.leaf(leaves.number(STEP));
        let scale = graph.leaf(leaves.number(SCALE));
        let (mut mean, mut advance) = (Vec::new(), Vec::new());
        for i in 0..n {
            let x = graph.leaf(i as u32);
            let moved = graph.mul(step, drift[i]);
            let m = graph.add(x, moved);
            let xi = graph.leaf((n + i) as u32);
            let amplitude = graph.mul(scale, noise[i]);
            let kick = graph.mul(amplitude, xi);
            mean.push(m);
            advance.push(graph.add(m, kick));
        }
        let pull = pulled(&mut graph, &drift, n);
        let linear = (0..n).map(|i| line(&mut graph, drift[i], i, n, leaves)).collect();
        let affine = plane(&mut graph, &drift, n, leaves);
        // Noise of the time alone, the same for all components.
        let common = noise.iter().all(|id| *id == noise[0]) && !depends_on_state(&graph, noise[0], n);
        let keeps_spread = !depends_on(&graph, &noise, |leaf| leaf == leaves.number(TIME));
        let program = |ids: &[Id]| compiled(&graph, ids, leaves);
        Ok(Written {
            dimension,
            level,
            drift: program(&drift),
            mean: program(&mean),
            advance: program(&advance),
            pull: pull.map(|ids| program(&ids)),
            spreads: program(&noise),
            spread: common.then(|| program(&noise[..1])),
            keeps_spread,
            potential: potential.map(|id| program(&[id])),
            linear,
            affine,
        })
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let mut seen = vec!["t"];
        let names = self.components.iter().map(|n| ("components", n));
        for (key, name) in names.chain(self.parameters.keys().map(|n| ("parameters", n))) {
            if !is_name(name) {
                return Err((key, format!("\"{name}\" is not a name: letters, digits and _, no digit first")));
            }
            if is_reserved(name) || seen.contains(&name.as_str()) {
                return Err((key, format!("\"{name}\" already means something in expressions")));
            }
            seen.push(name);
        }
        match self.parameters.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Err(("parameters", format!("{name} = {value} is not a finite number"))),
            None => Ok(()),
        }
    }

    /// One formula per component; `otherwise` where there is none.
    fn each(
        &self,
        key: &'static str,
        table: &BTreeMap<String, Expression>,
        otherwise: Option<Id>,
        graph: &mut Graph,
        scope: &Scope,
    ) -> Result<Vec<Id>, Refusal> {
        if let Some(other) = table.keys().find(|k| !self.components.contains(k)) {
            let hint = did_you_mean(other, self.components.iter().map(String::as_str));
            return Err((key, format!("\"{other}\" is not a component{hint}")));
        }
        let formula = |name: &String| match (table.get(name), otherwise) {
            (Some(text), _) => read(&text.text(), graph, scope).map_err(|m| (key, format!("{name}: {m}"))),
            (None, Some(id)) => Ok(id),
            (None, None) => Err((key, format!("the component \"{name}\" has no expression"))),
        };
        self.components.iter().map(formula).collect()
    }
}

fn compiled(graph: &Graph, ids: &[Id], leaves: Leaves) -> Program {
    let outputs: Vec<Output> = ids.iter().map(|id| Output::Set(*id)).collect();
    Program::new(graph, &outputs, |l| leaves.source(l))
}

fn depends_on(graph: &Graph, ids: &[Id], leaf: impl Fn(u32) -> bool) -> bool {
    graph.reachable(ids).into_iter().any(|id| matches!(graph.op(id), Op::Leaf(l) if leaf(l)))
}

fn depends_on_state(graph: &Graph, id: Id, n: usize) -> bool {
    depends_on(graph, &[id], |leaf| (leaf as usize) < n)
}

/// Σ_j v_j ∂b_j/∂x_i for each i, where all derivatives are known.
fn pulled(graph: &mut Graph, drift: &[Id], n: usize) -> Option<Vec<Id>> {
    (0..n)
        .map(|i| {
            let mut sum = graph.constant(0.0);
            for (j, b) in drift.iter().enumerate() {
                let slope = graph.derivative(*b, Op::Leaf(i as u32))?;
                let v = graph.leaf((n + j) as u32);
                let term = graph.mul(slope, v);
                sum = graph.add(sum, term);
            }
            Some(sum)
        })
        .collect()
}

/// Slope and offset of a drift that is a line in its own component.
fn line(graph: &mut Graph, b: Id, i: usize, n: usize, leaves: Leaves) -> Option<Program> {
    let slope = graph.derivative(b, Op::Leaf(i as u32))?;
    if depends_on_state(graph, slope, n) {
        return None;
    }
    let old = graph.clone();
    let without = |l: u32, g: &mut Graph| if l == i as u32 { g.constant(0.0) } else { g.leaf(l) };
    let offset = old.rebuild(&[b], graph, without)[0];
    (!depends_on_state(graph, offset, n)).then(|| compiled(graph, &[slope, offset], leaves))
}

/// Slopes and offsets of a drift that is linear in all components together.
fn plane(graph: &mut Graph, drift: &[Id], n: usize, leaves: Leaves) -> Option<Program> {
    let mut ids = Vec::with_capacity(n * n + n);
    for b in drift {
        for i in 0..n {
            let slope = graph.derivative(*b, Op::Leaf(i as u32))?;
            if depends_on_state(graph, slope, n) {
                return None;
            }
            ids.push(slope);
        }
    }
    let old = graph.clone();
    let without = |l: u32, g: &mut Graph| if (l as usize) < n { g.constant(0.0) } else { g.leaf(l) };
    ids.extend(old.rebuild(drift, graph, without));
    Some(compiled(graph, &ids, leaves))
}

impl Written {
    /// Runs a program over the rows of `x` and, where it has one, of a second vector.
    fn run(&self, program: &Program, numbers: [f64; 3], x: &[f64], second: &[f64], out: &mut [f64]) {
        let width = x.len() / self.dimension;
        let empty: &[f64] = &[];
        // Few enough components stay off the heap.
        let mut inputs: SmallVec<[&[f64]; 16]> = x.chunks_exact(width).collect();
        inputs
            .extend((0..self.dimension).map(|i| if second.is_empty() { empty } else { &second[i * width..][..width] }));
        let mut outputs: SmallVec<[&mut [f64]; 8]> = out.chunks_exact_mut(width).collect();
        program.run(self.level, &numbers, &inputs, &mut outputs);
    }

    /// A program of the time alone.
    fn at_time<const N: usize>(&self, program: &Program, t: f64) -> [f64; N] {
        let mut out = [0.0; N];
        self.fill_at_time(program, t, &mut out);
        out
    }

    fn fill_at_time(&self, program: &Program, t: f64, out: &mut [f64]) {
        let inputs: SmallVec<[&[f64]; 16]> = SmallVec::from_elem(&[0.0][..], 2 * self.dimension);
        let mut outputs: SmallVec<[&mut [f64]; 2]> = out.chunks_exact_mut(1).collect();
        program.run(self.level, &[t, 0.0, 0.0], &inputs, &mut outputs);
    }
}

impl Prior for Written {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn drift(&self, t: f64, x: &[f64], out: &mut [f64]) {
        self.run(&self.drift, [t, 0.0, 0.0], x, &[], out);
    }

    fn mean(&self, t: f64, h: f64, x: &[f64], out: &mut [f64]) {
        self.run(&self.mean, [t, h, 0.0], x, &[], out);
    }

    fn advance(&self, t: f64, h: f64, scale: f64, xi: &[f64], x: &mut [f64]) {
        let before: SmallVec<[f64; 512]> = SmallVec::from_slice(x);
        self.run(&self.advance, [t, h, scale], &before, xi, x);
    }

    fn pull(&self, t: f64, x: &[f64], v: &[f64], out: &mut [f64]) {
        match &self.pull {
            Some(pull) => self.run(pull, [t, 0.0, 0.0], x, v, out),
            None => out.fill(f64::NAN),
        }
    }

    fn has_pull(&self) -> bool {
        self.pull.is_some()
    }

    fn spread(&self, t: f64, _h: f64) -> Option<f64> {
        self.spread.as_ref().map(|s| self.at_time::<1>(s, t)[0].abs())
    }

    fn keeps_spread(&self) -> bool {
        self.keeps_spread
    }

    fn spreads(&self, t: f64, _h: f64, x: &[f64], out: &mut [f64]) {
        self.run(&self.spreads, [t, 0.0, 0.0], x, &[], out);
        out.iter_mut().for_each(|s| *s = s.abs());
    }

    fn linear(&self, t: f64, coordinate: usize) -> Option<(f64, f64)> {
        self.linear[coordinate].as_ref().map(|l| self.at_time::<2>(l, t).into())
    }

    fn affine(&self, t: f64) -> Option<(Vec<f64>, Vec<f64>)> {
        let mut slopes = vec![0.0; self.dimension * (self.dimension + 1)];
        self.fill_at_time(self.affine.as_ref()?, t, &mut slopes);
        let offsets = slopes.split_off(self.dimension * self.dimension);
        Some((slopes, offsets))
    }

    fn potential(&self, x: &[f64]) -> Option<f64> {
        let potential = self.potential.as_ref()?;
        let mut out = [0.0];
        self.run(potential, [0.0; 3], x, &[], &mut out);
        Some(out[0])
    }

    fn functional(&self, _: f64, _: f64, _: &[f64], _: &mut [f64], _: Option<&mut [f64]>) -> bool {
        false
    }
}
