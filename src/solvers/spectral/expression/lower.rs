//! From the syntax of expressions of fields to forms, with ranks checked: scalars, vectors, and the gradient of a
//! vector or the outer product of two.

use std::collections::BTreeMap;
use std::ops::Range;

use num_complex::Complex;

use super::form::{Form, Products};
use super::mistake::{Mistake, did_you_mean};
use super::pair::FUNCTIONS;
use super::symbol::Symbol;
use super::syntax::{Kind, Node, parse};

/// The operators of the input, by name: word and what it gives.
pub const OPERATORS: &[(&str, &str)] = &[
    ("dx", "derivative along x"),
    ("dy", "derivative along y"),
    ("dz", "derivative along z"),
    ("lap", "Laplacian"),
    ("inv_lap", "inverse Laplacian; the mean is mapped to 0"),
    ("mean", "mean over the box"),
    ("grad", "gradient; of a vector: the tensor of entries d_a u_b"),
    ("div", "divergence of a vector; of a tensor: over its first index"),
    ("curl", "curl; in two dimensions of a vector a scalar, of a scalar a vector"),
    ("dot", "scalar product; dot(u, grad(v)) is the derivative of v along u"),
    ("cross", "vector product; in two dimensions a scalar, or that of a scalar times the normal with a vector"),
    ("outer", "tensor of entries u_a v_b"),
];

/// An expression of fields.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar(Form),
    Vector(Vec<Form>),
    Tensor(Vec<Vec<Form>>),
}

impl Value {
    /// Its components.
    pub fn forms(&self) -> Vec<&Form> {
        match self {
            Value::Scalar(a) => vec![a],
            Value::Vector(v) => v.iter().collect(),
            Value::Tensor(t) => t.iter().flatten().collect(),
        }
    }

    pub fn rank(&self) -> String {
        match self {
            Value::Scalar(_) => "a scalar".into(),
            Value::Vector(v) => format!("a vector of {} components", v.len()),
            Value::Tensor(t) => format!("a tensor of {} rows", t.len()),
        }
    }

    fn map(&self, f: &mut impl FnMut(&Form) -> Form) -> Value {
        match self {
            Value::Scalar(a) => Value::Scalar(f(a)),
            Value::Vector(v) => Value::Vector(v.iter().map(&mut *f).collect()),
            Value::Tensor(t) => Value::Tensor(t.iter().map(|v| v.iter().map(&mut *f).collect()).collect()),
        }
    }

    /// Componentwise; None: they have different shapes.
    fn zip(&self, other: &Value, f: &mut impl FnMut(&Form, &Form) -> Form) -> Option<Value> {
        let mut lists = |a: &[Form], b: &[Form]| -> Option<Vec<Form>> {
            (a.len() == b.len()).then(|| a.iter().zip(b).map(|(a, b)| f(a, b)).collect())
        };
        Some(match (self, other) {
            (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(lists(&[a.clone()], &[b.clone()])?.remove(0)),
            (Value::Vector(a), Value::Vector(b)) => Value::Vector(lists(a, b)?),
            (Value::Tensor(a), Value::Tensor(b)) if a.len() == b.len() => {
                Value::Tensor(a.iter().zip(b).map(|(a, b)| lists(a, b)).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

/// Names and where products are made.
pub struct Lowering<'a> {
    pub products: Products,
    /// Names of the user's axes, with their internal axis.
    pub axes: Vec<(&'static str, usize)>,
    /// What names stand for: fields, vectors, parameters.
    pub names: BTreeMap<String, Value>,
    /// Texts of the intermediate definitions.
    pub define: &'a BTreeMap<String, String>,
    /// Definitions that were read, and those being read now.
    defined: BTreeMap<String, Value>,
    open: Vec<String>,
}

/// A mistake, and the definition it is in (None: in the text that was given).
pub type Located = (Option<String>, Mistake);

type Lowered = Result<Value, Located>;

impl<'a> Lowering<'a> {
    pub fn new(
        complex: bool,
        axes: Vec<(&'static str, usize)>,
        names: BTreeMap<String, Value>,
        define: &'a BTreeMap<String, String>,
    ) -> Lowering<'a> {
        let products = Products::new(complex);
        Lowering { products, axes, names, define, defined: BTreeMap::new(), open: Vec::new() }
    }

    pub fn text(&mut self, text: &str) -> Lowered {
        let node = parse(text).map_err(|m| (self.open.last().cloned(), m))?;
        self.node(text, &node)
    }

    /// What a definition stands for.
    pub fn definition(&mut self, name: &str) -> Lowered {
        if let Some(value) = self.defined.get(name) {
            return Ok(value.clone());
        }
        let text = &self.define[name];
        self.open.push(name.into());
        let value = self.text(text)?;
        self.open.pop();
        self.defined.insert(name.into(), value.clone());
        Ok(value)
    }

    fn mistake<T>(&self, text: &str, span: &Range<usize>, message: impl Into<String>) -> Result<T, Located> {
        Err((self.open.last().cloned(), Mistake::new(text, span.clone(), message)))
    }

    fn name(&mut self, text: &str, node: &Node, word: &str) -> Lowered {
        if let Some(value) = self.names.get(word) {
            return Ok(value.clone());
        }
        if self.define.contains_key(word) {
            if let Some(at) = self.open.iter().position(|o| o == word) {
                let mut circle = self.open[at..].join(" -> ");
                circle.push_str(&format!(" -> {word}"));
                return self.mistake(text, &node.span, format!("definitions go in a circle: {circle}"));
            }
            /// The reader recurses.
            const DEEPEST: usize = 100;
            if self.open.len() >= DEEPEST {
                let message = format!("definitions use each other more than {DEEPEST} deep");
                return self.mistake(text, &node.span, message);
            }
            return self.definition(word);
        }
        let graph = &mut self.products.graph;
        let pair = match word {
            "pi" => graph.pair(Complex::new(std::f64::consts::PI, 0.0)),
            "i" if self.products.complex => graph.pair(Complex::new(0.0, 1.0)),
            "i" => return self.mistake(text, &node.span, "i needs complex fields (complex = true)"),
            "t" => {
                let time = graph.time();
                graph.real(time)
            }
            _ => match self.axes.iter().find(|a| a.0 == word) {
                Some(&(_, axis)) => {
                    let coordinate = graph.coordinate(axis);
                    graph.real(coordinate)
                }
                None => return self.unknown(text, node, word),
            },
        };
        Ok(Value::Scalar(self.products.from_grid(pair)))
    }

    fn unknown(&self, text: &str, node: &Node, word: &str) -> Lowered {
        if FUNCTIONS.iter().chain(OPERATORS).any(|(f, _)| *f == word) {
            return self.mistake(text, &node.span, format!("\"{word}\" is applied to something: write {word}(…)"));
        }
        if ["x", "y", "z"].contains(&word) {
            return self.mistake(text, &node.span, format!("there is no axis {word}"));
        }
        let mut known: Vec<&str> = self.names.keys().map(String::as_str).collect();
        known.extend(self.define.keys().map(String::as_str));
        known.extend(self.axes.iter().map(|a| a.0));
        known.extend(["t", "pi"]);
        let hint = did_you_mean(word, known.iter().copied());
        self.mistake(text, &node.span, format!("unknown name \"{word}\"{hint}; known here: {}", known.join(", ")))
    }

    pub fn node(&mut self, text: &str, node: &Node) -> Lowered {
        match &node.kind {
            Kind::Number(x) => Ok(Value::Scalar(Form::number(Complex::new(*x, 0.0)))),
            Kind::Name(word) => self.name(text, node, word),
            Kind::List(items) => {
                let components = items.iter().map(|n| self.scalar(text, n, "a component of a vector"));
                Ok(Value::Vector(components.collect::<Result<_, _>>()?))
            }
            Kind::Negative(inner) => Ok(self.node(text, inner)?.map(&mut |a| a.scaled(Complex::new(-1.0, 0.0)))),
            Kind::Sum(terms) => {
                let mut sum = None;
                for (minus, term) in terms {
                    let sign = Complex::new(if *minus { -1.0 } else { 1.0 }, 0.0);
                    let value = self.node(text, term)?.map(&mut |a| a.scaled(sign));
                    sum = Some(match sum {
                        None => value,
                        Some(sum) => match value.zip(&sum, &mut plus) {
                            Some(both) => both,
                            None => {
                                let message = format!("{} cannot be added to {}", value.rank(), sum.rank());
                                return self.mistake(text, &term.span, message);
                            }
                        },
                    });
                }
                Ok(sum.unwrap_or(Value::Scalar(Form::default())))
            }
            Kind::Product(factors) => {
                let mut product = Value::Scalar(Form::number(Complex::new(1.0, 0.0)));
                for (divided, factor) in factors {
                    let value = self.node(text, factor)?;
                    let products = &mut self.products;
                    product = match (&product, &value) {
                        (a, Value::Scalar(b)) if *divided => a.map(&mut |a| products.divide(a, b)),
                        (_, b) if *divided => {
                            return self.mistake(text, &factor.span, format!("cannot divide by {}", b.rank()));
                        }
                        (a, Value::Scalar(b)) => a.map(&mut |a| products.multiply(a, b)),
                        (Value::Scalar(a), b) => b.map(&mut |b| products.multiply(a, b)),
                        (a, b) => {
                            let message = format!("{} times {}: use dot, cross or outer", a.rank(), b.rank());
                            return self.mistake(text, &factor.span, message);
                        }
                    };
                }
                Ok(product)
            }
            Kind::Power(base, exponent) => {
                let base = self.scalar(text, base, "what is raised to a power")?;
                let exponent = self.scalar(text, exponent, "an exponent")?;
                Ok(Value::Scalar(self.products.power(&base, &exponent)))
            }
            Kind::Call(word, arguments) => self.call(text, node, word, arguments),
        }
    }

    fn scalar(&mut self, text: &str, node: &Node, what: &str) -> Result<Form, Located> {
        match self.node(text, node)? {
            Value::Scalar(form) => Ok(form),
            other => self.mistake(text, &node.span, format!("{what} must be a scalar; this is {}", other.rank())),
        }
    }

    fn call(&mut self, text: &str, node: &Node, word: &str, arguments: &[Node]) -> Lowered {
        let span = node.span.start..node.span.start + word.len();
        let two = ["dot", "cross", "outer"].contains(&word);
        let function = FUNCTIONS.iter().any(|(f, _)| *f == word);
        if !function && !OPERATORS.iter().any(|(f, _)| *f == word) {
            if self.names.contains_key(word) || self.define.contains_key(word) {
                return self.mistake(text, &span, format!("\"{word}\" is not a function; is a * missing?"));
            }
            let hint = did_you_mean(word, FUNCTIONS.iter().chain(OPERATORS).map(|(f, _)| *f));
            return self.mistake(text, &span, format!("there is no function or operator \"{word}\"{hint}"));
        }
        let wanted = if two { 2 } else { 1 };
        if arguments.len() != wanted {
            let message =
                format!("{word} takes {wanted} argument{}; here are {}", ["", "s"][wanted - 1], arguments.len());
            return self.mistake(text, &node.span, message);
        }
        if function {
            let complex = ["conj", "re", "im"].contains(&word);
            if complex && !self.products.complex {
                return self.mistake(text, &span, format!("{word} needs complex fields (complex = true)"));
            }
            let argument = self.scalar(text, &arguments[0], &format!("the argument of {word}"))?;
            let form = self.products.call(word, &argument).unwrap_or_default();
            return Ok(Value::Scalar(form));
        }
        let first = self.node(text, &arguments[0])?;
        let dimension = self.axes.len();
        let wrong = |this: &Self, value: &Value, node: &Node, wants: &str| {
            this.mistake(text, &node.span, format!("{word} takes {wants}; this is {}", value.rank()))
        };
        let d: Vec<Symbol> = self.axes.iter().map(|a| Symbol::derivative(a.1)).collect();
        let linear = |value: &Value, symbol: &Symbol| value.map(&mut |a| a.applied(symbol));
        if two {
            let second = self.node(text, &arguments[1])?;
            return self.two(text, word, (&arguments[0], first), (&arguments[1], second));
        }
        Ok(match word {
            "dx" | "dy" | "dz" => {
                let Some(axis) = self.axes.iter().find(|a| a.0 == &word[1..]) else {
                    return self.mistake(text, &span, format!("there is no axis {}", &word[1..]));
                };
                linear(&first, &Symbol::derivative(axis.1))
            }
            "lap" => linear(&first, &Symbol::laplacian(dimension)),
            "inv_lap" => linear(&first, &Symbol::inverse_laplacian(dimension)),
            "mean" => linear(&first, &Symbol::mean()),
            "grad" => match &first {
                Value::Scalar(a) => Value::Vector(d.iter().map(|d| a.applied(d)).collect()),
                Value::Vector(v) => Value::Tensor(d.iter().map(|d| v.iter().map(|a| a.applied(d)).collect()).collect()),
                other => return wrong(self, other, &arguments[0], "a scalar or a vector"),
            },
            "div" => match &first {
                Value::Vector(v) if v.len() == dimension => {
                    let parts = v.iter().zip(&d).map(|(a, d)| a.applied(d));
                    Value::Scalar(parts.fold(Form::default(), |s, a| plus(&s, &a)))
                }
                Value::Tensor(t) if t.len() == dimension => {
                    let mut sum = vec![Form::default(); t[0].len()];
                    for (row, d) in t.iter().zip(&d) {
                        sum.iter_mut().zip(row).for_each(|(s, a)| s.add(&a.applied(d)));
                    }
                    Value::Vector(sum)
                }
                other => {
                    return wrong(self, other, &arguments[0], &format!("a vector or tensor of {dimension} components"));
                }
            },
            // curl
            _ => match (&first, dimension) {
                (Value::Vector(v), 3) if v.len() == 3 => Value::Vector(
                    (0..3)
                        .map(|a| {
                            let (b, c) = ((a + 1) % 3, (a + 2) % 3);
                            minus(&v[c].applied(&d[b]), &v[b].applied(&d[c]))
                        })
                        .collect(),
                ),
                (Value::Vector(v), 2) if v.len() == 2 => {
                    Value::Scalar(minus(&v[1].applied(&d[0]), &v[0].applied(&d[1])))
                }
                (Value::Scalar(a), 2) => {
                    Value::Vector(vec![a.applied(&d[1]), minus(&Form::default(), &a.applied(&d[0]))])
                }
                (other, 2) => return wrong(self, other, &arguments[0], "a scalar or a vector of 2 components"),
                (other, 3) => return wrong(self, other, &arguments[0], "a vector of 3 components"),
                _ => return self.mistake(text, &span, "there is no curl in one dimension"),
            },
        })
    }

    fn two(&mut self, text: &str, word: &str, (an, a): (&Node, Value), (bn, b): (&Node, Value)) -> Lowered {
        let both = an.span.start..bn.span.end;
        let products = &mut self.products;
        let mut dot = |a: &[Form], b: &[&Form]| {
            let parts = a.iter().zip(b).map(|(a, b)| products.multiply(a, b));
            parts.fold(Form::default(), |s, p| plus(&s, &p))
        };
        Ok(match (word, &a, &b) {
            ("dot", Value::Vector(a), Value::Vector(b)) if a.len() == b.len() => {
                Value::Scalar(dot(a, &b.iter().collect::<Vec<_>>()))
            }
            // (u·T)_b = Σ_a u_a T_ab.
            ("dot", Value::Vector(a), Value::Tensor(t)) if a.len() == t.len() => {
                let columns = 0..t[0].len();
                Value::Vector(columns.map(|c| dot(a, &t.iter().map(|r| &r[c]).collect::<Vec<_>>())).collect())
            }
            // (T·u)_a = Σ_b T_ab u_b.
            ("dot", Value::Tensor(t), Value::Vector(b)) if t[0].len() == b.len() => {
                Value::Vector(t.iter().map(|row| dot(b, &row.iter().collect::<Vec<_>>())).collect())
            }
            ("outer", Value::Vector(a), Value::Vector(b)) => {
                Value::Tensor(a.iter().map(|a| b.iter().map(|b| products.multiply(a, b)).collect()).collect())
            }
            ("cross", Value::Vector(a), Value::Vector(b)) if a.len() == 3 && b.len() == 3 => {
                let component = |i: usize| {
                    let (j, k) = ((i + 1) % 3, (i + 2) % 3);
                    minus(&products.multiply(&a[j], &b[k]), &products.multiply(&a[k], &b[j]))
                };
                Value::Vector((0..3).map(component).collect())
            }
            ("cross", Value::Vector(a), Value::Vector(b)) if a.len() == 2 && b.len() == 2 => {
                Value::Scalar(minus(&products.multiply(&a[0], &b[1]), &products.multiply(&a[1], &b[0])))
            }
            // s ẑ × u and u × s ẑ.
            ("cross", Value::Scalar(s), Value::Vector(b)) if b.len() == 2 => {
                let left = products.multiply(s, &b[1]).scaled(Complex::new(-1.0, 0.0));
                Value::Vector(vec![left, products.multiply(s, &b[0])])
            }
            ("cross", Value::Vector(a), Value::Scalar(s)) if a.len() == 2 => {
                let right = products.multiply(s, &a[0]).scaled(Complex::new(-1.0, 0.0));
                Value::Vector(vec![products.multiply(s, &a[1]), right])
            }
            _ => {
                let hint =
                    if word == "dot" { "two vectors of equal length, or one and a gradient" } else { "two vectors" };
                let message = format!("{word} takes {hint}; here are {} and {}", a.rank(), b.rank());
                return self.mistake(text, &both, message);
            }
        })
    }
}

fn plus(a: &Form, b: &Form) -> Form {
    let mut sum = a.clone();
    sum.add(b);
    sum
}

fn minus(a: &Form, b: &Form) -> Form {
    plus(a, &b.scaled(Complex::new(-1.0, 0.0)))
}
