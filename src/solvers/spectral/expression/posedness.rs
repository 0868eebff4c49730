//! The refusal of a linear part whose growth rates rise without bound, by the term.

use std::f64::consts::TAU;

use num_complex::Complex;

use super::form::Form;
use super::growth::{Relation, Unbounded, unbounded};
use super::linear::{Linear, Linears, matrix};
use super::lower::{Lowering, Value};
use super::mistake::Mistake;
use super::plan::Constraint;
use super::read::{Refusal, Tables};
use super::symbol::Symbol;
use super::syntax::{Kind, Node, parse};
use crate::solvers::spectral::domain::Domain;

/// Refuses a linear part whose growth rates rise without bound, naming the term. All of it counts, whether it is
/// treated as L or with the rest; `whose` names the right-hand side of each field.
pub fn check_growth(
    lowering: &mut Lowering,
    rhs: &[Form],
    constraints: &[Constraint],
    tables: &Tables,
    whose: &[String],
    domain: &Domain,
) -> Result<(), Refusal> {
    let mut linears = Linears::new(&lowering.products);
    let rows: Vec<Linear> = rhs.iter().map(|form| linears.of(form)).collect();
    let longest = domain.own().iter().map(|a| a.length).fold(0.0, f64::max);
    let judge = |rows: &[Linear]| {
        let matrix = matrix(rows);
        let relations = relations(constraints, rows.len(), matrix.len());
        unbounded(&matrix, &relations, domain.dimension, TAU / longest)
    };
    let Some(found) = judge(&rows) else { return Ok(()) };
    let mut worst: Option<(Score, String, Mistake)> = None;
    for term in terms(lowering, tables, whose, &found)? {
        let score = match &found.alone {
            Some(growth) => {
                // Row F + f is that of the conjugate of field f.
                let (field, turned) = (found.fields[0] % rows.len(), found.fields[0] >= rows.len());
                let own = term.parts.iter().filter(|(f, _)| *f == field).filter_map(|(f, part)| part.direct.get(f));
                let share = own.map(|s| growth.share(&if turned { s.conjugated() } else { s.clone() })).sum();
                Score { share, ..Score::default() }
            }
            None => {
                let mut rest = rows.clone();
                for (f, part) in &term.parts {
                    rest[*f].add(&part.scaled(Complex::new(-1.0, 0.0)));
                }
                term.score(&found, rows.len(), judge(&rest).is_none())
            }
        };
        if worst.as_ref().is_none_or(|(s, ..)| score > *s) {
            let mistake = Mistake::new(term.text, term.node.span.clone(), message(&found));
            worst = Some((score, term.key, mistake));
        }
    }
    Err(match worst {
        Some((_, key, mistake)) => Refusal::of(&key, mistake),
        None => Refusal::new("rhs", "", message(&found)),
    })
}

fn message(found: &Unbounded) -> String {
    match &found.alone {
        Some(growth) => {
            // Six digits: the rest is rounding.
            let rate = format!("{:.5e}", growth.rate).parse().unwrap_or(growth.rate);
            format!(
                "ill-posed: with this term waves of wavenumber k grow at the rate {rate} k^{}, which rises without bound \
                 (a sign may be wrong, or a damping term of higher order missing)",
                growth.order
            )
        }
        None => "ill-posed: with this term the growth rate of waves rises without bound with their wavenumber".into(),
    }
}

/// Constraints as relations between the rows of a matrix of `rows` rows; the conjugates keep those of the conjugates.
fn relations(constraints: &[Constraint], fields: usize, rows: usize) -> Vec<Relation> {
    let mut relations: Vec<Relation> = constraints.iter().map(|c| c.parts.clone()).collect();
    if rows > fields {
        let turned = |c: &Constraint| c.parts.iter().map(|(f, s)| (f + fields, s.conjugated())).collect();
        relations.extend(constraints.iter().map(turned));
    }
    relations
}

/// How much a term is to blame; what comes first decides.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
struct Score {
    /// What it adds to the growth of a field by itself.
    share: f64,
    /// Without it growth is bounded.
    cures: bool,
    /// It couples fields (or a field and its conjugate).
    couples: bool,
    order: i64,
}

/// A term of a right-hand side.
struct Term<'t> {
    key: String,
    text: &'t str,
    node: Node,
    /// What it adds to each field.
    parts: Vec<(usize, Linear)>,
}

impl Term<'_> {
    fn score(&self, found: &Unbounded, fields: usize, cures: bool) -> Score {
        let within = |g: &usize| found.fields.iter().any(|f| f % fields == *g);
        let mut score = Score { cures, ..Score::default() };
        for (f, part) in &self.parts {
            let direct = part.direct.iter().map(|(g, s)| (g, s, g != f));
            let conjugate = part.conjugate.iter().map(|(g, s)| (g, s, true));
            for (_, symbol, couples) in direct.chain(conjugate).filter(|(g, ..)| within(g)) {
                score.couples |= couples;
                score.order = score.order.max(highest(symbol));
            }
        }
        score
    }
}

fn highest(symbol: &Symbol) -> i64 {
    symbol.terms.keys().map(|m| m.order()).max().unwrap_or(0)
}

/// The terms of the right-hand sides of fields that grow.
fn terms<'t>(
    lowering: &mut Lowering,
    tables: &Tables<'t>,
    whose: &[String],
    found: &Unbounded,
) -> Result<Vec<Term<'t>>, Refusal> {
    let mut names: Vec<&String> = found.fields.iter().map(|f| &whose[f % whose.len()]).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|n| seen.insert(*n));
    let mut list = Vec::new();
    for name in names {
        let key = format!("rhs.{name}");
        let text = &tables.rhs[name];
        let node = parse(text).map_err(|m| Refusal::of(&key, m))?;
        let fields: Vec<usize> = (0..whose.len()).filter(|&f| whose[f] == *name).collect();
        let terms = match node.kind {
            Kind::Sum(terms) => terms,
            _ => vec![(false, node)],
        };
        for (minus, node) in terms {
            let forms = match lowering.node(text, &node) {
                Ok(Value::Scalar(form)) => vec![form],
                Ok(Value::Vector(forms)) => forms,
                _ => continue,
            };
            let sign = Complex::new(if minus { -1.0 } else { 1.0 }, 0.0);
            let mut linears = Linears::new(&lowering.products);
            let parts = fields.iter().zip(&forms).map(|(f, form)| (*f, linears.of(form).scaled(sign))).collect();
            list.push(Term { key: key.clone(), text, node, parts });
        }
    }
    Ok(list)
}
