//! The smallest piece of an expression that is at fault.

use super::lower::{Located, Lowering, Value};
use super::mistake::Mistake;
use super::syntax::{Kind, Node, parse};

/// Into which pieces of an expression to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Terms of sums and components of vectors.
    Terms,
    /// Also factors, arguments, bases and exponents.
    Everything,
}

/// The smallest piece of `text`, or of a definition that it uses, whose value is `wrong`, with `message`. None: no value
/// in it is.
pub fn pinpoint(
    lowering: &mut Lowering,
    text: &str,
    into: Look,
    wrong: &dyn Fn(&Lowering, &Value) -> bool,
    message: &str,
) -> Option<Located> {
    let node = parse(text).ok()?;
    Search { into, wrong, message }.within(lowering, None, text, &node)
}

struct Search<'s> {
    into: Look,
    wrong: &'s dyn Fn(&Lowering, &Value) -> bool,
    message: &'s str,
}

impl Search<'_> {
    fn within(&self, lowering: &mut Lowering, definition: Option<&str>, text: &str, node: &Node) -> Option<Located> {
        let value = lowering.node(text, node).ok()?;
        if !(self.wrong)(lowering, &value) {
            return None;
        }
        for piece in self.pieces(node) {
            if let Some(found) = self.within(lowering, definition, text, &piece) {
                return Some(found);
            }
        }
        let define = lowering.define;
        if let Kind::Name(word) = &node.kind
            && !lowering.names.contains_key(word)
            && let Some(defined) = define.get(word)
            && let Ok(inner) = parse(defined)
            && let Some(found) = self.within(lowering, Some(word), defined, &inner)
        {
            return Some(found);
        }
        Some((definition.map(String::from), Mistake::new(text, node.span.clone(), self.message)))
    }

    fn pieces(&self, node: &Node) -> Vec<Node> {
        match &node.kind {
            Kind::Sum(terms) => terms.iter().map(|(_, n)| n.clone()).collect(),
            Kind::List(items) => items.clone(),
            Kind::Negative(inner) => vec![inner.as_ref().clone()],
            _ if self.into == Look::Terms => Vec::new(),
            Kind::Call(_, arguments) => arguments.clone(),
            Kind::Power(base, exponent) => vec![base.as_ref().clone(), exponent.as_ref().clone()],
            Kind::Product(factors) => {
                let start = node.span.start;
                // After the factors their products from the left: what stands behind a division by 0 is no part of it.
                let products = (2..factors.len()).map(|n| Node {
                    span: start..factors[n - 1].1.span.end,
                    kind: Kind::Product(factors[..n].to_vec()),
                });
                factors.iter().map(|(_, n)| n.clone()).chain(products).collect()
            }
            Kind::Number(_) | Kind::Name(_) => Vec::new(),
        }
    }
}
