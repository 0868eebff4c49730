//! The tables of a written equation, read and checked: names, parameters, right-hand sides, constraints.

use std::collections::{BTreeMap, BTreeSet};

use num_complex::Complex;

use super::form::{Atom, Form};
use super::function::constant_with;
use super::graph::{Graph, Id};
use super::lower::{Located, Lowering, OPERATORS, Value};
use super::mistake::{Mistake, did_you_mean};
use super::pair::{FUNCTIONS, Pair};
use super::pinpoint::{Look, pinpoint};
use super::plan::{Constraint, Options, Plan};
use super::posedness::check_growth;
use super::syntax::{Kind, Node, parse};
use crate::solvers::spectral::domain::Domain;

/// What is wrong with a written equation: the key (within its table), the value, the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub key: String,
    pub value: String,
    pub message: String,
}

impl Refusal {
    pub fn new(key: impl Into<String>, value: impl Into<String>, message: impl Into<String>) -> Refusal {
        Refusal { key: key.into(), value: value.into(), message: message.into() }
    }

    pub fn of(key: &str, mistake: Mistake) -> Refusal {
        Refusal::new(key, mistake.text.clone(), mistake.to_string())
    }

    fn located(key: &str, (definition, mistake): Located) -> Refusal {
        match definition {
            Some(name) => Refusal::of(&format!("define.{name}"), mistake),
            None => Refusal::of(key, mistake),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {:?}: {}", self.key, self.value, self.message)
    }
}

/// The tables, as they stand in the input.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    pub fields: &'a [String],
    pub vectors: &'a BTreeMap<String, Vec<String>>,
    pub parameters: &'a [(String, f64)],
    pub define: &'a BTreeMap<String, String>,
    pub rhs: &'a BTreeMap<String, String>,
    pub constraints: &'a [String],
    pub diagonal: bool,
    pub as_written: bool,
}

/// An equation that was read.
pub struct Read {
    /// The unknowns: scalars as listed, then components of vectors.
    pub fields: Vec<String>,
    pub plan: Plan,
    /// Definitions that are linear in the fields: name, operator on each field.
    pub derived: Vec<(String, Vec<(usize, super::symbol::Symbol)>)>,
}

/// The numbers that parameters are; they may name each other.
pub fn parameters(texts: &BTreeMap<String, String>) -> Result<Vec<(String, f64)>, Refusal> {
    let mut known: Vec<(String, f64)> = Vec::new();
    let mut waiting: Vec<(&String, &String)> = texts.iter().collect();
    loop {
        let mut failed = Vec::new();
        let before = waiting.len();
        for (name, text) in waiting {
            match constant_with(text, &known) {
                Ok(value) => known.push((name.clone(), value)),
                Err(mistake) => failed.push((name, text, mistake)),
            }
        }
        if failed.is_empty() {
            known.sort_by(|a, b| a.0.cmp(&b.0));
            return Ok(known);
        }
        if failed.len() == before {
            // Of parameters that wait for others, those that wait for none that waits are wrong themselves.
            let named = |text: &String| {
                let node = parse(text).ok()?;
                failed.iter().find_map(|(other, ..)| Some((*other, find_name(&node, other)?.span.clone())))
            };
            if let Some((name, _, mistake)) = failed.iter().find(|(_, text, _)| named(text).is_none()) {
                return Err(Refusal::of(&format!("parameters.{name}"), mistake.clone()));
            }
            let (first, text, _) = &failed[0];
            let mut circle = vec![*first];
            let text_of = |name: &String| failed.iter().find(|(other, ..)| *other == name).map(|(_, text, _)| *text);
            while let Some((next, _)) = circle.last().and_then(|&name| text_of(name)).and_then(named) {
                let seen = circle.contains(&next);
                circle.push(next);
                if seen {
                    break;
                }
            }
            let names: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
            let message = format!("parameters go in a circle: {}", names.join(" -> "));
            let span = named(text).map_or(0..text.len(), |(_, span)| span);
            return Err(Refusal::of(&format!("parameters.{first}"), Mistake::new(text, span, message)));
        }
        waiting = failed.into_iter().map(|(n, t, _)| (n, t)).collect();
    }
}

/// Names of values in checkpoints beside those of fields.
const OF_STATE: &[&str] =
    &["time", "step", "steps", "time_step", "cfl", "kx", "ky", "kz", "member", "seed", "norm", "part"];
/// What other such names begin with.
const OF_STATE_BEGIN: &[&str] =
    &["control_", "statistics_", "time_error_", "scheme_", "tangent_", "direction_", "earlier_"];

/// Refuses names of fields that checkpoints could not tell apart.
fn check_state_names(tables: &Tables) -> Result<(), Refusal> {
    let fields = tables.fields.iter().map(|n| ("fields".to_string(), n));
    let parts = tables.vectors.iter().flat_map(|(v, parts)| parts.iter().map(move |p| (format!("vectors.{v}"), p)));
    for (key, name) in fields.chain(parts) {
        if OF_STATE.contains(&name.as_str()) || OF_STATE_BEGIN.iter().any(|begin| name.starts_with(begin)) {
            let message = format!("a field cannot be called \"{name}\": files use that name themselves");
            return Err(Refusal::new(key, name, message));
        }
    }
    Ok(())
}

/// Refuses names that expressions could not tell apart.
fn check_names(tables: &Tables, domain: &Domain) -> Result<(), Refusal> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for word in ["pi", "i", "t", "x", "y", "z"] {
        taken.insert(word, "already known to expressions");
    }
    for (word, _) in FUNCTIONS.iter().chain(OPERATORS) {
        taken.insert(word, "a function or operator");
    }
    let fields = tables.fields.iter().map(|n| ("fields".to_string(), n, "a field"));
    let vectors = tables.vectors.iter().flat_map(|(v, parts)| {
        let own = std::iter::once((format!("vectors.{v}"), v, "a vector"));
        // A vector of one component may share its name.
        let parts = parts.iter().filter(move |p| parts.len() > 1 || *p != v);
        own.chain(parts.map(move |p| (format!("vectors.{v}"), p, "a component of a vector")))
    });
    let parameters = tables.parameters.iter().map(|(n, _)| (format!("parameters.{n}"), n, "a parameter"));
    let define = tables.define.keys().map(|n| (format!("define.{n}"), n, "a definition"));
    for (key, name, what) in fields.chain(vectors).chain(parameters).chain(define) {
        let mut letters = name.chars();
        let good = letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && letters.all(|c| c.is_alphanumeric() || c == '_');
        if !good {
            let message = format!("{name:?} is not a name: letters, digits and _, not beginning with a digit");
            return Err(Refusal::new(key, name, message));
        }
        if let Some(other) = taken.insert(name, what) {
            return Err(Refusal::new(key, name, format!("{what} cannot be called \"{name}\": it is {other}")));
        }
    }
    if tables.fields.is_empty() && tables.vectors.is_empty() {
        return Err(Refusal::new("fields", "[]", "an equation has at least one field or vector"));
    }
    for (name, parts) in tables.vectors {
        if parts.is_empty() || parts.len() > 3.max(domain.dimension) {
            let message = format!("a vector has 1 to 3 components; {name} has {}", parts.len());
            return Err(Refusal::new(format!("vectors.{name}"), format!("{parts:?}"), message));
        }
    }
    Ok(())
}

/// Reads the tables for a domain.
pub fn read(tables: &Tables, domain: &Domain) -> Result<Read, Refusal> {
    check_names(tables, domain)?;
    check_state_names(tables)?;
    let fields: Vec<String> = tables.fields.iter().chain(tables.vectors.values().flatten()).cloned().collect();
    let place = |name: &str| fields.iter().position(|f| f == name);
    let field = |name: &String| Form::of(Atom::Field(place(name).unwrap_or_default()));
    let mut names: BTreeMap<String, Value> = BTreeMap::new();
    for name in &fields {
        names.insert(name.clone(), Value::Scalar(field(name)));
    }
    for (name, parts) in tables.vectors {
        names.insert(name.clone(), Value::Vector(parts.iter().map(field).collect()));
    }
    for (name, value) in tables.parameters {
        names.insert(name.clone(), Value::Scalar(Form::number(Complex::new(*value, 0.0))));
    }
    let axes: Vec<(&'static str, usize)> = (3 - domain.dimension..3).map(|a| (domain.axes[a].name, a)).collect();
    let mut lowering = Lowering::new(domain.complex, axes, names, tables.define);

    // Every definition is read, used or not, so that mistakes in it are told.
    let mut derived = Vec::new();
    for name in tables.define.keys() {
        let value = lowering.definition(name).map_err(|e| Refusal::located(&format!("define.{name}"), e))?;
        derived.extend(linear_parts(name, &value, domain));
    }

    let mut rhs: Vec<Option<Form>> = vec![None; fields.len()];
    let mut whose: Vec<String> = vec![String::new(); fields.len()];
    for (name, text) in tables.rhs {
        let key = format!("rhs.{name}");
        let unknowns: Vec<usize> = match tables.vectors.get(name) {
            Some(parts) => parts.iter().filter_map(|p| place(p)).collect(),
            None => place(name).into_iter().collect(),
        };
        if unknowns.is_empty() {
            let known: Vec<&str> = fields.iter().chain(tables.vectors.keys()).map(String::as_str).collect();
            let hint = did_you_mean(name, known.iter().copied());
            let message = format!("there is no field \"{name}\"{hint}; fields are {}", known.join(", "));
            return Err(Refusal::new(key, text, message));
        }
        let value = lowering.text(text).map_err(|e| Refusal::located(&key, e))?;
        let forms = match value {
            Value::Scalar(form) if !tables.vectors.contains_key(name) => vec![form],
            Value::Vector(forms) if tables.vectors.contains_key(name) && forms.len() == unknowns.len() => forms,
            other => {
                let wanted = match tables.vectors.get(name) {
                    Some(parts) => format!("a vector of {} components", parts.len()),
                    None => "a scalar".into(),
                };
                let message = format!("{name} is {wanted}; its right-hand side is {}", other.rank());
                let span = parse(text).map_or(0..text.len(), |node| node.span);
                return Err(Refusal::of(&key, Mistake::new(text, span, message)));
            }
        };
        for (f, form) in unknowns.into_iter().zip(forms) {
            if rhs[f].is_some() {
                return Err(Refusal::new(key, text, format!("{} has two right-hand sides", fields[f])));
            }
            if !is_finite(&lowering, &form) {
                return Err(not_finite(&mut lowering, &key, text));
            }
            check_periodic(&lowering, &form, domain, tables, &key, text)?;
            rhs[f] = Some(form);
            whose[f] = name.clone();
        }
    }
    if let Some(f) = rhs.iter().position(Option::is_none) {
        return Err(Refusal::new("rhs", "", format!("there is no right-hand side for {}", fields[f])));
    }
    let rhs: Vec<Form> = rhs.into_iter().flatten().collect();

    let mut constraints: Vec<Constraint> = Vec::new();
    for text in tables.constraints {
        let constraint = read_constraint(&mut lowering, text, domain)?;
        if constraints.iter().any(|c| constraint.parts.iter().any(|p| c.holds(p.0))) {
            return Err(Refusal::new("constraint", text, "each field may stand in one constraint only"));
        }
        constraints.push(constraint);
    }
    let options = Options { diagonal: tables.diagonal, as_written: tables.as_written, dimension: domain.dimension };
    check_growth(&mut lowering, &rhs, &constraints, tables, &whose, domain)?;
    let plan = Plan::new(lowering.products, &rhs, constraints, options);
    Ok(Read { fields, plan, derived })
}

/// A definition that is linear in the fields, component by component.
fn linear_parts(name: &str, value: &Value, domain: &Domain) -> Vec<(String, Vec<(usize, super::symbol::Symbol)>)> {
    let parts: Vec<(String, &Form)> = match value {
        Value::Scalar(form) => vec![(name.to_string(), form)],
        Value::Vector(forms) => {
            let own = domain.own();
            let suffix =
                |i: usize| if forms.len() == own.len() { own[i].name.to_string() } else { (i + 1).to_string() };
            forms.iter().enumerate().map(|(i, form)| (format!("{name}_{}", suffix(i)), form)).collect()
        }
        Value::Tensor(_) => Vec::new(),
    };
    let linear = |form: &Form| {
        let fields = form.terms.iter().map(|(atom, symbol)| match atom {
            Atom::Field(f) => Some((*f, symbol.clone())),
            _ => None,
        });
        fields.collect::<Option<Vec<_>>>().filter(|l| !l.is_empty())
    };
    parts.into_iter().filter_map(|(name, form)| Some((name, linear(form)?))).collect()
}

fn read_constraint(lowering: &mut Lowering, text: &str, domain: &Domain) -> Result<Constraint, Refusal> {
    const KEY: &str = "constraint";
    let Some((left, right)) = text.split_once('=') else {
        let message = "a constraint is an equation such as \"div(u) = 0\"";
        return Err(Refusal::of(KEY, Mistake::new(text, text.len()..text.len(), message)));
    };
    // The right side behind as many blanks, so that places in it are places in the whole.
    let sides = [left.to_string(), " ".repeat(left.len() + 1) + right];
    let in_whole = |(definition, mistake): Located| match definition {
        Some(_) => Refusal::located(KEY, (definition, mistake)),
        None => Refusal::of(KEY, Mistake { text: text.into(), ..mistake }),
    };
    let mut form = Form::default();
    for (side, sign) in sides.iter().zip([1.0, -1.0]) {
        let node = parse(side).map_err(|m| in_whole((None, m)))?;
        match lowering.node(side, &node).map_err(in_whole)? {
            Value::Scalar(value) => form.add(&value.scaled(Complex::new(sign, 0.0))),
            other => {
                let message = format!("both sides must be scalars; this is {}", other.rank());
                return Err(in_whole((None, Mistake::new(side, node.span, message))));
            }
        }
    }
    let message = "must be linear in the fields with constant coefficients, and without a constant term";
    let constraint = Constraint::new(&form, domain.dimension);
    if let Some(constraint) = constraint
        && is_finite(lowering, &form)
    {
        return Ok(constraint);
    }
    type Wrong = fn(&Lowering, &Value) -> bool;
    let unlike: Wrong = |_, v| v.forms().iter().any(|f| f.terms.keys().any(|a| !matches!(a, Atom::Field(_))));
    let infinite: Wrong = |l, v| v.forms().iter().any(|f| !is_finite(l, f));
    let faults = [(infinite, Look::Everything, NOT_FINITE), (unlike, Look::Terms, message)];
    for (wrong, into, message) in faults {
        for side in &sides {
            if let Some(found) = pinpoint(lowering, side, into, &wrong, message) {
                return Err(in_whole(found));
            }
        }
    }
    // Both sides are equal whatever the fields are.
    Err(Refusal::of(KEY, Mistake::new(text, 0..text.len(), message)))
}

const NOT_FINITE: &str = "this is not finite";

/// False where a number in it overflows or is not defined.
fn is_finite(lowering: &Lowering, form: &Form) -> bool {
    let graph = &lowering.products.graph;
    form.terms.iter().all(|(atom, symbol)| {
        symbol.terms.values().all(|c| c.is_finite())
            && match *atom {
                Atom::Product(p) => {
                    graph.reachable(&[p.re, p.im]).into_iter().filter_map(|id| graph.number(id)).all(f64::is_finite)
                }
                _ => true,
            }
    })
}

/// The refusal of a text with a number that is not finite.
fn not_finite(lowering: &mut Lowering, key: &str, text: &str) -> Refusal {
    let wrong = |l: &Lowering, value: &Value| value.forms().iter().any(|f| !is_finite(l, f));
    match pinpoint(lowering, text, Look::Everything, &wrong, NOT_FINITE) {
        Some(found) => Refusal::located(key, found),
        None => Refusal::of(key, Mistake::new(text, 0..text.len(), "a number in it is not finite")),
    }
}

/// Refuses coordinates that enter otherwise than through functions with the period of the box.
fn check_periodic(
    lowering: &Lowering,
    form: &Form,
    domain: &Domain,
    tables: &Tables,
    key: &str,
    text: &str,
) -> Result<(), Refusal> {
    let graph = &lowering.products.graph;
    let mut pairs: BTreeSet<Pair> = BTreeSet::new();
    let mut open: Vec<&Form> = vec![form];
    while let Some(form) = open.pop() {
        for atom in form.terms.keys() {
            if let Atom::Product(pair) = *atom
                && pairs.insert(pair)
            {
                open.extend(lowering.products.arrays_of(pair).into_iter().map(|a| &lowering.products.arrays[a]));
            }
        }
    }
    for pair in pairs {
        let given = |id: Id| !graph.depends(id).leaves && graph.depends(id).coordinates != 0;
        let all = graph.reachable(&[pair.re, pair.im]);
        let mut outermost: Vec<Id> = [pair.re, pair.im].into_iter().filter(|&id| given(id)).collect();
        for &id in all.iter().filter(|&&id| graph.depends(id).leaves) {
            outermost.extend(graph.op(id).operands().filter(|&o| given(o)));
        }
        for id in outermost {
            let Some((axis, low, high)) = unequal_ends(graph, id, domain) else { continue };
            let axis = &domain.axes[axis];
            let message = format!(
                "the coordinate {0} must enter through functions of period {1}: at {0} = {2} the value is {low}, at \
                 {0} = {3} it is {high}",
                axis.name,
                axis.length,
                axis.low,
                axis.low + axis.length
            );
            let texts = std::iter::once((key.to_string(), text));
            let texts = texts.chain(tables.define.iter().map(|(n, t)| (format!("define.{n}"), t.as_str())));
            for (key, text) in texts {
                if let Ok(node) = parse(text)
                    && let Some(found) = find_name(&node, axis.name)
                {
                    return Err(Refusal::of(&key, Mistake::new(text, found.span.clone(), message)));
                }
            }
            return Err(Refusal::new(key, text, message));
        }
    }
    Ok(())
}

/// An axis along which a function of the coordinates differs at the ends, with its values there.
fn unequal_ends(graph: &Graph, id: Id, domain: &Domain) -> Option<(usize, f64, f64)> {
    /// Places along an axis, as parts of its length; no function has a symmetry there.
    const PLACES: [f64; 5] = [0.1234567, 0.3141592, 0.5772157, 0.7182818, 0.9159656];
    let at = |parts: [f64; 3]| std::array::from_fn(|a| domain.axes[a].low + parts[a] * domain.axes[a].length);
    for axis in (3 - domain.dimension..3).filter(|a| graph.depends(id).coordinates & (1 << a) != 0) {
        for (n, place) in PLACES.into_iter().enumerate() {
            let mut parts = [place, PLACES[(n + 1) % 5], PLACES[(n + 2) % 5]];
            let mut value = |part: f64| {
                parts[axis] = part;
                graph.value(id, at(parts), 0.37, &|_| 0.0)
            };
            let size = PLACES.into_iter().map(|p| value(p).abs()).fold(0.0, f64::max);
            let (low, high) = (value(0.0), value(1.0));
            // NaN is unequal too.
            if !((low - high).abs() <= 1e-9 * size.max(low.abs()).max(1e-300)) {
                return Some((axis, low, high));
            }
        }
    }
    None
}

fn find_name<'a>(node: &'a Node, word: &str) -> Option<&'a Node> {
    let list: Vec<&Node> = match &node.kind {
        Kind::Name(name) => return (name == word).then_some(node),
        Kind::Number(_) => Vec::new(),
        Kind::Call(_, list) | Kind::List(list) => list.iter().collect(),
        Kind::Sum(list) | Kind::Product(list) => list.iter().map(|(_, n)| n).collect(),
        Kind::Negative(inner) => vec![inner],
        Kind::Power(a, b) => vec![a, b],
    };
    list.into_iter().find_map(|n| find_name(n, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_wait_for_each_other_are_told_from_misspelt_ones() {
        let refused = |texts: &[(&str, &str)]| {
            let texts = texts.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
            parameters(&texts).map(|_| ()).map_err(|refusal| format!("{refusal:?}"))
        };
        assert_eq!(refused(&[("a", "2*b"), ("b", "c + 1"), ("c", "3")]), Ok(()));
        let circle = refused(&[("a", "2*b"), ("b", "c + 1"), ("c", "a")]).unwrap_err();
        assert!(circle.contains("parameters go in a circle: a -> b -> c -> a"), "{circle}");
        // What waits for a misspelt one is not to blame.
        let misspelt = refused(&[("a", "2*b"), ("b", "d + 1"), ("c", "3")]).unwrap_err();
        assert!(misspelt.contains("unknown name \\\"d\\\"") && misspelt.contains("parameters.b"), "{misspelt}");
    }
}
