//! State-space models written in the input: initial law, transition and observations as expressions.
//!
//!     states      = ["x"]
//!     parameters  = { mu = -1.0, phi = 0.95, sigma = 0.25 }
//!     noises      = { n = { distribution = "normal" } }
//!     initial     = { x = "mu + sigma/sqrt(1 - phi^2)*n" }
//!     transition  = { x = "mu + phi*(x - mu) + sigma*n" }
//!     observation = { y = { distribution = "normal", mean = 0.0, sd = "exp(x/2)" } }
//!
//! In `transition` the states are those of the time before, noises are drawn anew, `t` is the new time and `dt` the time
//! since the last. Where every state has a normal noise of its own, on which it depends linearly, the transition density
//! is derived (backward simulation needs it).

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{About, Built, BuiltIn, Proposal, ReadFile, Refusal, StateSpace, distinct};
use crate::math::expression::graph::{Graph, Id, Op};
use crate::math::expression::real::{is_name, is_reserved};
use crate::math::expression::slices::Output;
use crate::math::expression::{Expression, Program, Scope, Source, did_you_mean, read};
use crate::particles::{Family, FeynmanKac};
use crate::solvers::smc::data::Observations;

mod family;
mod flow;
pub mod noise;
pub mod observation;
#[cfg(test)]
mod tests;

use family::{Condition, Conditions, Parametric, Prior};
use flow::Flow;
use noise::Noise;
use observation::{Domain, Observed};

/// A state-space model written in the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Names of the coordinates of the state.
    pub states: Vec<String>,
    /// Constants: numbers, or expressions of numbers and each other.
    #[serde(default)]
    pub parameters: BTreeMap<String, Expression>,
    /// Priors of parameters that a method may vary (particle MCMC, SMC²); filters use the numbers in `parameters`.
    #[serde(default)]
    pub priors: BTreeMap<String, Prior>,
    /// Noises by name, each with its distribution; drawn anew for every particle and step.
    #[serde(default)]
    pub noises: BTreeMap<String, Noise>,
    /// Intermediate definitions: name = expression of states, parameters, t, dt and each other.
    #[serde(default)]
    pub define: BTreeMap<String, Expression>,
    /// Each state at the first time: an expression of parameters and noises.
    pub initial: BTreeMap<String, Expression>,
    /// Each state from the states before, parameters, noises, definitions, t (the new time) and dt (since the last).
    pub transition: BTreeMap<String, Expression>,
    /// Each component of the observations with its distribution given the state.
    pub observation: BTreeMap<String, Observed>,
    /// The order of the components in the data; needed where there are several.
    #[serde(default)]
    pub observed: Vec<String>,
}

/// Numbers of a call: the time, the interval before it, the parameters that vary, then what the program needs besides.
const TIME: usize = 0;
const INTERVAL: usize = 1;
const VARYING: usize = 2;

/// Leaves: states, then noises, then numbers of the call.
#[derive(Debug, Clone, Copy)]
struct Leaves {
    states: usize,
    noises: usize,
    varying: usize,
}

impl Leaves {
    fn noise(self, j: usize) -> u32 {
        (self.states + j) as u32
    }

    fn number(self, i: usize) -> u32 {
        (self.states + self.noises + i) as u32
    }

    fn varying(self, k: usize) -> u32 {
        self.number(VARYING + k)
    }

    /// What the program needs besides.
    fn besides(self, i: usize) -> u32 {
        self.number(VARYING + self.varying + i)
    }

    /// Whether a formula depends on the parameters that vary and on nothing else.
    fn only_varying(self, graph: &Graph, id: Id) -> bool {
        let (first, last) = (self.varying(0), self.besides(0));
        graph.number(id).is_none()
            && graph.reachable(&[id]).into_iter().all(|id| match graph.op(id) {
                Op::Leaf(l) => (first..last).contains(&l),
                _ => true,
            })
    }

    /// Slices are states, then noises.
    fn source(self, leaf: u32) -> Source {
        match leaf as usize {
            l if l < self.states + self.noises => Source::Slice(l),
            l => Source::Number(l - self.states - self.noises),
        }
    }
}

/// Formulas and the noises they need.
#[derive(Debug)]
struct Part {
    program: Program,
    /// Indices of noises.
    noises: Vec<usize>,
}

/// One component of the observations.
#[derive(Debug)]
struct Component {
    name: String,
    distribution: Observed,
    /// The largest value it can have, where the parameters are numbers: that of the trials.
    most: f64,
    /// Adds ln p(y | x); y is the number besides.
    density: Program,
    /// Sets the parameters of the distribution.
    parameters: Program,
}

/// The model, compiled.
#[derive(Debug)]
pub struct Compiled {
    states: Vec<String>,
    noises: Vec<Noise>,
    initial: Part,
    transition: Part,
    components: Vec<Component>,
    /// Adds the log-densities of all components at once; the numbers besides are y.
    together: Program,
    /// Adds ln p(x' | x); the numbers besides are x'.
    density: Option<Program>,
    /// Adds ln p(x) at the first time, x likewise.
    initial_density: Option<Program>,
    conditions: Conditions,
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "written",
        summary: "a state-space model whose transition and observations are expressions of the input",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        Ok(Built::StateSpace(Box::new(Shared(Arc::new(self.compile()?), Arc::new(self.clone())))))
    }
}

struct Shared(Arc<Compiled>, Arc<Input>);

impl StateSpace for Shared {
    fn coordinates(&self) -> Vec<String> {
        self.0.states.clone()
    }

    fn components(&self) -> Vec<String> {
        self.0.components.iter().map(|c| c.name.clone()).collect()
    }

    fn flow(&self, data: &Arc<Observations>, _proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        for (k, time) in data.times.iter().enumerate() {
            for (c, y) in self.0.components.iter().zip(data.at(k)) {
                let support = c.distribution.support();
                if !y.is_nan() && !support.holds(*y) {
                    let message = format!(
                        "{} = {y} at time {time} (row {k}) is impossible: it must be {}",
                        c.name,
                        support.words()
                    );
                    return Err(("observations", message));
                }
                if *y > c.most {
                    let message = format!(
                        "{} = {y} at time {time} (row {k}) is impossible: it is above the number of trials, {}",
                        c.name, c.most
                    );
                    return Err(("observations", message));
                }
            }
        }
        Ok(Box::new(Flow { model: self.0.clone(), data: data.clone(), theta: SmallVec::new() }))
    }

    fn family(&self, data: &Arc<Observations>, parameters: &[String]) -> Option<Box<dyn Family>> {
        // None named: all that have a prior.
        let names: Vec<String> = match parameters {
            [] => self.1.priors.keys().cloned().collect(),
            names => names.to_vec(),
        };
        let known = !names.is_empty() && names.iter().all(|name| self.1.priors.contains_key(name));
        if !known {
            return None;
        }
        let model = self.1.compile_over(&names).expect("expressions that were compiled before");
        let (input, data) = (self.1.clone(), data.clone());
        Some(Box::new(Parametric { input, model: Arc::new(model), data, names }))
    }
}

impl Input {
    /// Reads and compiles every expression.
    ///
    /// # Errors
    /// The key at fault and what is wrong there, with the character where an expression is.
    pub fn compile(&self) -> Result<Compiled, Refusal> {
        self.compile_over(&[])
    }

    /// The same with the parameters called `varying` as numbers of each call.
    fn compile_over(&self, varying: &[String]) -> Result<Compiled, Refusal> {
        self.check_names()?;
        let leaves = Leaves { states: self.states.len(), noises: self.noises.len(), varying: varying.len() };
        let noises: Vec<Noise> = self.noises.values().copied().collect();
        for (name, noise) in &self.noises {
            if let Some(mistake) = noise.mistake() {
                return Err(("noises", format!("{name}: {mistake}")));
            }
        }

        for (name, prior) in &self.priors {
            if !self.parameters.contains_key(name) {
                let hint = did_you_mean(name, self.parameters.keys().map(String::as_str));
                return Err(("priors", format!("\"{name}\" is not a parameter{hint}")));
            }
            if let Some(mistake) = prior.mistake() {
                return Err(("priors", format!("{name}: {mistake}")));
            }
        }

        let mut graph = Graph::default();
        let mut constants = Scope::default();
        let mut conditions = self.parameters_into(varying, leaves, &mut graph, &mut constants)?;
        let mut noisy = constants.clone();
        for (j, name) in self.noises.keys().enumerate() {
            let id = graph.leaf(leaves.noise(j));
            noisy.define(name, id);
        }
        let initial = self.each_state("initial", &self.initial, &mut graph, &noisy)?;
        // Present states, t, dt and what is defined by them.
        let mut scope = constants;
        for (i, name) in self.states.iter().enumerate() {
            let id = graph.leaf(i as u32);
            scope.define(name, id);
        }
        for (name, number) in [("t", TIME), ("dt", INTERVAL)] {
            let id = graph.leaf(leaves.number(number));
            scope.define(name, id);
        }
        self.definitions(&mut graph, &mut scope)?;
        let mut with_noise = scope.clone();
        for (j, name) in self.noises.keys().enumerate() {
            let id = graph.leaf(leaves.noise(j));
            with_noise.define(name, id);
        }
        let transition = self.each_state("transition", &self.transition, &mut graph, &with_noise)?;

        let order = self.order()?;
        let mut components = Vec::new();
        let mut together = Vec::new();
        for (i, name) in order.iter().enumerate() {
            let distribution = &self.observation[name];
            let mut ids = Vec::new();
            let mut most = f64::INFINITY;
            for (key, expression, domain) in distribution.parameters() {
                let id = expression_in(&format!("{name}.{key}"), expression, &mut graph, &scope)
                    .map_err(|m| ("observation", m))?;
                if let Some(value) = graph.number(id) {
                    if !domain.holds(value) {
                        return Err(("observation", format!("{name}.{key} = {value} must be {}", domain.words())));
                    }
                    if domain == Domain::Trials {
                        most = value;
                    }
                }
                if leaves.only_varying(&graph, id) {
                    conditions.push(Condition { id, name: format!("{name}.{key}"), domain });
                }
                ids.push(id);
            }
            let alone = graph.leaf(leaves.besides(0));
            let density = distribution.log_density(&mut graph, alone, &ids);
            let numbered = graph.leaf(leaves.besides(i));
            together.push(distribution.log_density(&mut graph, numbered, &ids));
            let set: Vec<Output> = ids.iter().map(|id| Output::Set(*id)).collect();
            components.push(Component {
                name: name.clone(),
                distribution: distribution.clone(),
                most,
                density: Program::new(&graph, &[Output::Add(density)], |l| leaves.source(l)),
                parameters: Program::new(&graph, &set, |l| leaves.source(l)),
            });
        }
        let mut all = graph.constant(0.0);
        for id in together {
            all = graph.add(all, id);
        }
        let density = self.normal_density(&mut graph, &transition, leaves);
        let initial_density = self.normal_density(&mut graph, &initial, leaves);
        let part = |ids: &[Id]| {
            let outputs: Vec<Output> = ids.iter().map(|id| Output::Set(*id)).collect();
            Part {
                program: Program::new(&graph, &outputs, |l| leaves.source(l)),
                noises: noises_of(&graph, ids, leaves),
            }
        };
        Ok(Compiled {
            states: self.states.clone(),
            noises,
            initial: part(&initial),
            transition: part(&transition),
            components,
            together: Program::new(&graph, &[Output::Add(all)], |l| leaves.source(l)),
            density: density.map(|id| Program::new(&graph, &[Output::Add(id)], |l| leaves.source(l))),
            initial_density: initial_density.map(|id| Program::new(&graph, &[Output::Add(id)], |l| leaves.source(l))),
            conditions: Conditions::new(&graph, conditions, leaves),
        })
    }

    fn check_names(&self) -> Result<(), Refusal> {
        if self.states.is_empty() {
            return Err(("states", "at least one state is needed".into()));
        }
        if self.observation.is_empty() {
            return Err(("observation", "at least one component is needed".into()));
        }
        distinct("observation", &self.observation.keys().cloned().collect::<Vec<_>>())?;
        let mut seen: Vec<(&str, &'static str)> = vec![("t", "the time"), ("dt", "the interval")];
        let lists: [(&'static str, &'static str, Vec<&String>); 4] = [
            ("states", "a state", self.states.iter().collect()),
            ("parameters", "a parameter", self.parameters.keys().collect()),
            ("noises", "a noise", self.noises.keys().collect()),
            ("define", "a definition", self.define.keys().collect()),
        ];
        for (key, what, names) in lists {
            for name in names {
                if !is_name(name) {
                    let message = format!("\"{name}\" is not a name: letters, digits and _, no digit first");
                    return Err((key, message));
                }
                if is_reserved(name) {
                    return Err((key, format!("\"{name}\" already means something in expressions")));
                }
                if let Some((_, other)) = seen.iter().find(|s| s.0 == name) {
                    return Err((key, format!("\"{name}\" is {other} already")));
                }
                seen.push((name, what));
            }
        }
        Ok(())
    }

    /// Reads the parameters into `scope`, as numbers or, where they vary, as leaves; they may name each other. What follows
    /// from those that vary must be finite.
    fn parameters_into(
        &self,
        varying: &[String],
        leaves: Leaves,
        graph: &mut Graph,
        scope: &mut Scope,
    ) -> Result<Vec<Condition>, Refusal> {
        let mut others = self.parameters.clone();
        for (k, name) in varying.iter().enumerate() {
            let id = graph.leaf(leaves.varying(k));
            scope.define(name, id);
            others.remove(name);
        }
        let mut conditions = Vec::new();
        for (name, id) in resolve("parameters", &others, graph, scope)? {
            match graph.number(id) {
                Some(value) if value.is_finite() => {}
                None if leaves.only_varying(graph, id) => {
                    conditions.push(Condition { id, name, domain: Domain::Finite })
                }
                _ => {
                    let text = self.parameters[&name].text();
                    return Err(("parameters", format!("{name} = {text} is not a finite number")));
                }
            }
        }
        Ok(conditions)
    }

    fn definitions(&self, graph: &mut Graph, scope: &mut Scope) -> Result<(), Refusal> {
        resolve("define", &self.define, graph, scope).map(|_| ())
    }

    /// The formula of each state, in the order of states.
    fn each_state(
        &self,
        key: &'static str,
        table: &BTreeMap<String, Expression>,
        graph: &mut Graph,
        scope: &Scope,
    ) -> Result<Vec<Id>, Refusal> {
        if let Some(other) = table.keys().find(|k| !self.states.contains(k)) {
            let hint = did_you_mean(other, self.states.iter().map(String::as_str));
            return Err((key, format!("\"{other}\" is not a state{hint}")));
        }
        let mut found = Vec::new();
        for name in &self.states {
            let Some(expression) = table.get(name) else {
                return Err((key, format!("the state \"{name}\" has no expression")));
            };
            found.push(expression_in(name, expression, graph, scope).map_err(|m| (key, m))?);
        }
        Ok(found)
    }

    /// Names of the components, in the order of the data.
    fn order(&self) -> Result<Vec<String>, Refusal> {
        let names: Vec<&str> = self.observation.keys().map(String::as_str).collect();
        if self.observed.is_empty() {
            return match names.len() {
                1 => Ok(vec![names[0].to_string()]),
                _ => Err(("observed", format!("is needed: the order of {} in the data", names.join(", ")))),
            };
        }
        for (i, name) in self.observed.iter().enumerate() {
            if !self.observation.contains_key(name) {
                let hint = did_you_mean(name, names.iter().copied());
                return Err(("observed", format!("\"{name}\" has no observation{hint}")));
            }
            if self.observed[..i].contains(name) {
                return Err(("observed", format!("\"{name}\" stands twice")));
            }
        }
        match names.iter().find(|n| !self.observed.iter().any(|o| o == *n)) {
            Some(missing) => Err(("observed", format!("\"{missing}\" is missing"))),
            None => Ok(self.observed.clone()),
        }
    }

    /// ln p(x' | x), or that of the first states, where each has a normal noise of its own, on which it depends linearly.
    fn normal_density(&self, graph: &mut Graph, states: &[Id], leaves: Leaves) -> Option<Id> {
        let kinds: Vec<&Noise> = self.noises.values().collect();
        let mut taken = Vec::new();
        let mut total = graph.constant(0.0);
        for (i, &root) in states.iter().enumerate() {
            let [noise] = noises_of(graph, &[root], leaves)[..] else { return None };
            if *kinds[noise] != Noise::Normal || taken.contains(&noise) {
                return None;
            }
            taken.push(noise);
            let leaf = leaves.noise(noise);
            let slope = graph.derivative(root, Op::Leaf(leaf))?;
            if !noises_of(graph, &[slope], leaves).is_empty() {
                return None;
            }
            // The mean: the formula without its noise.
            let old = graph.clone();
            let without = |l: u32, g: &mut Graph| if l == leaf { g.constant(0.0) } else { g.leaf(l) };
            let mean = old.rebuild(&[root], graph, without)[0];
            let next = graph.leaf(leaves.besides(i));
            let sd = graph.call(crate::math::expression::graph::Function::Abs, slope);
            let term = observation::normal(graph, next, mean, sd);
            total = graph.add(total, term);
        }
        Some(total)
    }
}

/// Reads an expression; the message names what it is for.
fn expression_in(name: &str, expression: &Expression, graph: &mut Graph, scope: &Scope) -> Result<Id, String> {
    read(&expression.text(), graph, scope).map_err(|mistake| format!("{name}: {mistake}"))
}

/// Reads expressions that may use each other, in whatever order they stand, into `scope`.
fn resolve(
    key: &'static str,
    table: &BTreeMap<String, Expression>,
    graph: &mut Graph,
    scope: &mut Scope,
) -> Result<Vec<(String, Id)>, Refusal> {
    let mut found = Vec::new();
    let mut waiting: Vec<(&String, &Expression)> = table.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut failed = Vec::new();
        let mut first = None;
        for (name, expression) in waiting {
            match expression_in(name, expression, graph, scope) {
                Ok(id) => {
                    scope.define(name, id);
                    found.push((name.clone(), id));
                }
                Err(message) => {
                    first.get_or_insert(message);
                    failed.push((name, expression));
                }
            }
        }
        if failed.len() == before {
            return Err((key, first.unwrap_or_default()));
        }
        waiting = failed;
    }
    Ok(found)
}

/// Indices of the noises that formulas depend on.
fn noises_of(graph: &Graph, roots: &[Id], leaves: Leaves) -> Vec<usize> {
    let mut found: Vec<usize> = graph
        .reachable(roots)
        .into_iter()
        .filter_map(|id| match graph.op(id) {
            Op::Leaf(l) => (l as usize).checked_sub(leaves.states).filter(|j| *j < leaves.noises),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
