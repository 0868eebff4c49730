//! The grammar of expressions.
//!
//!     sum      = product { ("+" | "-") product }
//!     product  = signed { ("*" | "/") signed }
//!     signed   = { "+" | "-" } power
//!     power    = atom [ ("^" | "**") signed ]            right-associative; −u^2 is −(u^2)
//!     atom     = number | name [ "(" list ")" ] | "(" sum ")" | "[" list "]"
//!     list     = sum { "," sum }

use std::collections::BTreeSet;
use std::ops::Range;

use winnow::LocatingSlice;
use winnow::ascii::multispace0;
use winnow::combinator::{opt, repeat};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{Location, Stream};
use winnow::token::{one_of, take_while};

use super::mistake::Mistake;

/// A piece of an expression, with the bytes it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Number(f64),
    Name(String),
    /// A function or operator with its arguments.
    Call(String, Vec<Node>),
    /// Components of a vector.
    List(Vec<Node>),
    /// Terms; true: subtracted.
    Sum(Vec<(bool, Node)>),
    /// Factors; true: divided by.
    Product(Vec<(bool, Node)>),
    Negative(Box<Node>),
    Power(Box<Node>, Box<Node>),
}

/// Adds the names in an expression that can be read, those of functions too.
pub fn names(text: &str, found: &mut BTreeSet<String>) {
    fn visit(node: Node, found: &mut BTreeSet<String>) {
        let parts = match node.kind {
            Kind::Number(_) => Vec::new(),
            Kind::Name(name) => {
                found.insert(name);
                Vec::new()
            }
            Kind::Call(name, parts) => {
                found.insert(name);
                parts
            }
            Kind::List(parts) => parts,
            Kind::Sum(parts) | Kind::Product(parts) => parts.into_iter().map(|(_, part)| part).collect(),
            Kind::Negative(part) => vec![*part],
            Kind::Power(base, exponent) => vec![*base, *exponent],
        };
        parts.into_iter().for_each(|part| visit(part, found));
    }
    if let Ok(node) = parse(text) {
        visit(node, found);
    }
}

/// Deepest nesting of brackets and powers; the reader recurses.
const DEEPEST: usize = 100;

/// Reads a whole expression.
pub fn parse(text: &str) -> Result<Node, Mistake> {
    deep_enough(text)?;
    let mut input = LocatingSlice::new(text);
    let result = (|| {
        space(&mut input)?;
        let node = sum(&mut input)?;
        if input.is_empty() {
            return Ok(node);
        }
        let next = input.chars().next().unwrap_or(' ');
        Err(fault(
            &input,
            match next {
                ')' => "this bracket was never opened".into(),
                ']' => "this bracket was never opened".into(),
                ',' => "a comma stands between arguments only".into(),
                '=' => "expressions have no \"=\"".into(),
                _ => format!("expected an operator (+ - * / ^) or the end, found {next:?}"),
            },
        ))
    })();
    result.map_err(|e: ErrMode<Fault>| {
        let fault = e.into_inner().unwrap_or(Fault { at: 0, message: String::new() });
        let width = text[fault.at..].chars().next().map_or(1, char::len_utf8);
        Mistake::new(text, fault.at..fault.at + width, fault.message)
    })
}

/// Refuses what would recurse too deeply: brackets, and powers of powers.
fn deep_enough(text: &str) -> Result<(), Mistake> {
    let (mut brackets, mut powers, mut last) = (0usize, 0usize, ' ');
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '^' => powers += 1,
            // A sign after a power or a sign belongs to the exponent; any other ends the power.
            '+' | '-' if !"^*+-".contains(last) => powers = 0,
            '*' if last == '*' => powers += 1,
            '/' | ',' => powers = 0,
            _ => {}
        }
        if brackets > DEEPEST || powers > 2 * DEEPEST {
            let message = format!("brackets or powers are nested more than {DEEPEST} deep");
            return Err(Mistake::new(text, at..at + c.len_utf8(), message));
        }
        last = c;
    }
    Ok(())
}

type Input<'a> = LocatingSlice<&'a str>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

/// Where reading failed; of two alternatives the one that got further speaks.
#[derive(Debug, Clone)]
struct Fault {
    at: usize,
    message: String,
}

impl ParserError<Input<'_>> for Fault {
    type Inner = Fault;

    fn from_input(input: &Input<'_>) -> Fault {
        Fault { at: input.current_token_start(), message: expected(input) }
    }

    fn or(self, other: Fault) -> Fault {
        if self.at > other.at { self } else { other }
    }

    fn into_inner(self) -> Result<Fault, Fault> {
        Ok(self)
    }
}

fn expected(input: &Input) -> String {
    match input.chars().next() {
        None => "the expression ends here; expected a number, a name or \"(\"".into(),
        Some(c) => format!("expected a number, a name or \"(\", found {c:?}"),
    }
}

fn fault(input: &Input, message: String) -> ErrMode<Fault> {
    ErrMode::Cut(Fault { at: input.current_token_start(), message })
}

fn space(input: &mut Input) -> Parsed<()> {
    multispace0.void().parse_next(input)
}

/// One of `characters`, with the space after it.
fn sign(characters: &'static [char]) -> impl FnMut(&mut Input) -> Parsed<char> {
    move |input| {
        let c = one_of(characters).parse_next(input)?;
        space(input)?;
        Ok(c)
    }
}

fn chain(
    input: &mut Input,
    signs: &'static [char],
    inverse: char,
    operand: fn(&mut Input) -> Parsed<Node>,
    make: fn(Vec<(bool, Node)>) -> Kind,
) -> Parsed<Node> {
    let first = operand(input)?;
    let mut items = vec![(false, first)];
    while let Some(c) = opt(sign(signs)).parse_next(input)? {
        items.push((c == inverse, operand(input)?));
    }
    Ok(match items.len() {
        1 => items.remove(0).1,
        n => Node { span: items[0].1.span.start..items[n - 1].1.span.end, kind: make(items) },
    })
}

fn sum(input: &mut Input) -> Parsed<Node> {
    chain(input, &['+', '-'], '-', product, Kind::Sum)
}

fn product(input: &mut Input) -> Parsed<Node> {
    chain(input, &['*', '/'], '/', signed, Kind::Product)
}

fn signed(input: &mut Input) -> Parsed<Node> {
    let start = input.current_token_start();
    let signs: Vec<char> = repeat(0.., sign(&['+', '-'])).parse_next(input)?;
    let node = power(input)?;
    if signs.iter().filter(|c| **c == '-').count() % 2 == 0 {
        return Ok(node);
    }
    let span = start..node.span.end;
    Ok(match node.kind {
        Kind::Number(x) => Node { kind: Kind::Number(-x), span },
        _ => Node { kind: Kind::Negative(Box::new(node)), span },
    })
}

fn power(input: &mut Input) -> Parsed<Node> {
    let base = atom(input)?;
    let up = |input: &mut Input| -> Parsed<bool> {
        let here = input.checkpoint();
        if opt('^').parse_next(input)?.is_some() || opt("**").parse_next(input)?.is_some() {
            space(input)?;
            return Ok(true);
        }
        input.reset(&here);
        Ok(false)
    };
    if !up(input)? {
        return Ok(base);
    }
    let exponent = signed(input)?;
    let span = base.span.start..exponent.span.end;
    Ok(Node { kind: Kind::Power(Box::new(base), Box::new(exponent)), span })
}

fn list(input: &mut Input, open: usize, close: char) -> Parsed<Vec<Node>> {
    let mut items = vec![sum(input)?];
    loop {
        let end: Option<char> = opt(one_of([',', close])).parse_next(input)?;
        match end {
            Some(',') => {
                space(input)?;
                items.push(sum(input)?);
            }
            Some(_) => return Ok(items),
            None if input.is_empty() => {
                return Err(ErrMode::Cut(Fault {
                    at: open,
                    message: format!("this bracket is never closed by {close:?}"),
                }));
            }
            None => {
                let c = input.chars().next().unwrap_or(' ');
                return Err(fault(input, format!("expected an operator, \",\" or {close:?}, found {c:?}")));
            }
        }
    }
}

fn atom(input: &mut Input) -> Parsed<Node> {
    let start = input.current_token_start();
    let kind = match input.chars().next() {
        Some(c) if c.is_ascii_digit() || c == '.' => Kind::Number(number(input)?),
        Some(c) if c.is_alphabetic() || c == '_' => {
            let name: &str = take_while(1.., |c: char| c.is_alphanumeric() || c == '_').parse_next(input)?;
            let after = input.checkpoint();
            space(input)?;
            let open = input.current_token_start();
            if opt('(').parse_next(input)?.is_some() {
                space(input)?;
                Kind::Call(name.into(), list(input, open, ')')?)
            } else {
                input.reset(&after);
                Kind::Name(name.into())
            }
        }
        Some('(') => {
            '('.parse_next(input)?;
            space(input)?;
            let mut items = list(input, start, ')')?;
            if items.len() > 1 {
                let span = items[1].span.clone();
                return Err(ErrMode::Cut(Fault {
                    at: span.start,
                    message: "a vector is written with [ ], not ( )".into(),
                }));
            }
            let end = input.current_token_start();
            space(input)?;
            let mut node = items.remove(0);
            node.span = start..end;
            return Ok(node);
        }
        Some('[') => {
            '['.parse_next(input)?;
            space(input)?;
            Kind::List(list(input, start, ']')?)
        }
        _ => return Err(fault(input, expected(input))),
    };
    let span = start..input.current_token_start();
    space(input)?;
    Ok(Node { kind, span })
}

fn number(input: &mut Input) -> Parsed<f64> {
    let start = input.current_token_start();
    let digits =
        |input: &mut Input| -> Parsed<()> { take_while(0.., |c: char| c.is_ascii_digit()).void().parse_next(input) };
    let here = input.checkpoint();
    digits(input)?;
    if opt('.').parse_next(input)?.is_some() {
        digits(input)?;
    }
    let mantissa = input.checkpoint();
    if opt(one_of(['e', 'E'])).parse_next(input)?.is_some() {
        opt(one_of(['+', '-'])).parse_next(input)?;
        let before = input.current_token_start();
        digits(input)?;
        if input.current_token_start() == before {
            // 2exp(x) is an error at the name, not a broken exponent.
            input.reset(&mantissa);
        }
    }
    let length = input.current_token_start() - start;
    input.reset(&here);
    let text: &str = winnow::token::take(length).parse_next(input)?;
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(ErrMode::Cut(Fault { at: start, message: format!("{text} is too large a number") })),
        Err(_) => Err(ErrMode::Cut(Fault { at: start, message: format!("{text:?} is not a number") })),
    }
}
