//! From the text of a real expression to a formula.

use super::graph::{Function, Graph, Id, Op};
use super::mistake::{Mistake, did_you_mean};
use super::syntax::{Kind, Node, parse};

/// Functions of one argument, by name: word, what it is, what it gives.
pub const FUNCTIONS: &[(&str, Function, &str)] = &[
    ("sin", Function::Sin, "sine"),
    ("cos", Function::Cos, "cosine"),
    ("tan", Function::Tan, "tangent"),
    ("exp", Function::Exp, "exponential"),
    ("log", Function::Log, "natural logarithm"),
    ("sqrt", Function::Sqrt, "square root"),
    ("sinh", Function::Sinh, "hyperbolic sine"),
    ("cosh", Function::Cosh, "hyperbolic cosine"),
    ("tanh", Function::Tanh, "hyperbolic tangent"),
    ("sech", Function::Sech, "1/cosh"),
    ("abs", Function::Abs, "absolute value"),
    ("log1p", Function::LogOnePlus, "log(1 + x)"),
    ("expm1", Function::ExpMinusOne, "exp(x) − 1"),
    ("lgamma", Function::LogGamma, "logarithm of the gamma function"),
    ("logistic", Function::Logistic, "1/(1 + exp(−x))"),
    ("step", Function::Step, "1 above 0, else 0"),
    ("floor", Function::Floor, "largest integer below"),
];

/// Functions of two arguments.
pub const PAIRS: &[(&str, &str)] = &[
    ("min", "the smaller"),
    ("max", "the larger"),
    ("atan2", "angle of the point (x, y), from atan2(y, x)"),
    ("pow", "power, as x^y"),
];

/// Names of an expression and the formulas they stand for. Later entries hide earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    names: Vec<(String, Id)>,
}

impl Scope {
    pub fn define(&mut self, name: &str, id: Id) {
        self.names.push((name.into(), id));
    }

    fn find(&self, name: &str) -> Option<Id> {
        self.names.iter().rev().find(|(n, _)| n == name).map(|(_, id)| *id)
    }

    fn known(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(n, _)| n.as_str())
    }
}

/// Whether a word means something in every expression, so that nothing else may be called so.
pub fn is_reserved(word: &str) -> bool {
    word == "pi" || FUNCTIONS.iter().any(|f| f.0 == word) || PAIRS.iter().any(|f| f.0 == word)
}

/// Whether a word can be a name of an expression: letters, digits and _, no digit first.
pub fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Reads a whole expression into `graph`.
///
/// # Errors
/// What is wrong, and at which character.
pub fn read(text: &str, graph: &mut Graph, scope: &Scope) -> Result<Id, Mistake> {
    lower(text, &parse(text)?, graph, scope)
}

fn lower(text: &str, node: &Node, graph: &mut Graph, scope: &Scope) -> Result<Id, Mistake> {
    let go = |node: &Node, graph: &mut Graph| lower(text, node, graph, scope);
    Ok(match &node.kind {
        Kind::Number(x) => graph.constant(*x),
        Kind::Name(word) => match scope.find(word) {
            Some(id) => id,
            None if word == "pi" => graph.constant(std::f64::consts::PI),
            None => return Err(unknown(text, node, word, scope)),
        },
        Kind::Sum(terms) => {
            let mut sum: Option<Id> = None;
            for (minus, term) in terms {
                let term = go(term, graph)?;
                sum = Some(match (sum, minus) {
                    (None, false) => term,
                    (None, true) => graph.neg(term),
                    (Some(sum), false) => graph.add(sum, term),
                    (Some(sum), true) => graph.sub(sum, term),
                });
            }
            sum.unwrap_or_else(|| graph.constant(0.0))
        }
        Kind::Product(factors) => {
            let mut product = graph.constant(1.0);
            for (divided, factor) in factors {
                let factor = go(factor, graph)?;
                product = if *divided { divide(graph, product, factor) } else { graph.mul(product, factor) };
            }
            product
        }
        Kind::Negative(inner) => {
            let inner = go(inner, graph)?;
            graph.neg(inner)
        }
        Kind::Power(base, exponent) => {
            let (base, exponent) = (go(base, graph)?, go(exponent, graph)?);
            graph.pow(base, exponent)
        }
        Kind::List(_) => return Err(Mistake::new(text, node.span.clone(), "a number is wanted here, not a vector")),
        Kind::Call(word, arguments) => {
            let wanted = match (FUNCTIONS.iter().find(|f| f.0 == word), PAIRS.iter().any(|f| f.0 == word)) {
                (Some(_), _) => 1,
                (None, true) => 2,
                (None, false) => {
                    let names = FUNCTIONS.iter().map(|f| f.0).chain(PAIRS.iter().map(|f| f.0));
                    let message = match scope.find(word) {
                        Some(_) => format!("\"{word}\" is not a function; a product needs its *"),
                        None => format!("there is no function \"{word}\" here{}", did_you_mean(word, names)),
                    };
                    return Err(Mistake::new(text, node.span.start..node.span.start + word.len(), message));
                }
            };
            if arguments.len() != wanted {
                let count = if wanted == 1 { "one argument" } else { "two arguments" };
                let message = format!("{word} takes {count}; here are {}", arguments.len());
                return Err(Mistake::new(text, node.span.clone(), message));
            }
            let a = go(&arguments[0], graph)?;
            if let Some(&(_, function, _)) = FUNCTIONS.iter().find(|f| f.0 == word) {
                return Ok(if function == Function::Log { logarithm(graph, a) } else { graph.call(function, a) });
            }
            let b = go(&arguments[1], graph)?;
            match word.as_str() {
                "min" => graph.min(a, b),
                "max" => graph.max(a, b),
                "atan2" => graph.angle(a, b),
                _ => graph.pow(a, b),
            }
        }
    })
}

fn unknown(text: &str, node: &Node, word: &str, scope: &Scope) -> Mistake {
    let is_function = FUNCTIONS.iter().any(|f| f.0 == word) || PAIRS.iter().any(|f| f.0 == word);
    let message = if is_function {
        format!("\"{word}\" is a function; write {word}(…)")
    } else {
        let hint = did_you_mean(word, scope.known());
        let known: Vec<&str> = scope.known().chain(["pi"]).collect();
        format!("unknown name \"{word}\"{hint}; known here: {}", known.join(", "))
    };
    Mistake::new(text, node.span.clone(), message)
}

/// ln a; of an exponential, its argument.
pub fn logarithm(graph: &mut Graph, a: Id) -> Id {
    match graph.op(a) {
        Op::Call(Function::Exp, x) => x,
        _ => graph.call(Function::Log, a),
    }
}

/// a/b; by an exponential, times the exponential of minus its argument; by a number, times its inverse where that is
/// exact.
pub fn divide(graph: &mut Graph, a: Id, b: Id) -> Id {
    if let Op::Call(Function::Exp, x) = graph.op(b) {
        let minus = graph.neg(x);
        let inverse = graph.call(Function::Exp, minus);
        return graph.mul(a, inverse);
    }
    match graph.number(b) {
        // Powers of two.
        Some(x) if x.to_bits() << 12 == 0 && x.is_normal() && (1.0 / x).is_normal() => {
            let inverse = graph.constant(1.0 / x);
            graph.mul(a, inverse)
        }
        _ => graph.div(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        let mut graph = Graph::default();
        let mut scope = Scope::default();
        let x = graph.leaf(0);
        scope.define("x", x);
        let root = read(text, &mut graph, &scope).unwrap();
        graph.value(root, [0.0; 3], 0.0, &|_| 0.75)
    }

    #[test]
    fn functions_give_their_values_at_0_75() {
        let x = 0.75f64;
        let cases = [
            ("x/2 + x/3", x / 2.0 + x / 3.0),
            ("log(exp(x))", x),
            ("1/exp(x)", (-x).exp()),
            ("log1p(x) + expm1(x)", x.ln_1p() + x.exp_m1()),
            ("logistic(x)", 1.0 / (1.0 + (-x).exp())),
            ("lgamma(x + 4)", (3.75f64 * 2.75 * 1.75).ln() - 0.0844011210204855),
            ("min(x, 1) - max(x, 1)", -0.25),
            ("atan2(x, 1 - x)", 3f64.atan()),
            ("pow(x, 0.3) + x^-2", x.powf(0.3) + 1.0 / (x * x)),
            ("step(x) + step(-x) + floor(x + 3)", 4.0),
            ("-x^2*pi", -x * x * std::f64::consts::PI),
        ];
        for (text, exact) in cases {
            assert!((value(text) - exact).abs() < 2e-14, "{text} = {}, not {exact}", value(text));
        }
    }

    #[test]
    fn mistakes_point_at_their_character() {
        let mut graph = Graph::default();
        let mut scope = Scope::default();
        let x = graph.leaf(0);
        scope.define("level", x);
        let cases = [
            ("level + leval", 9, "unknown name \"leval\"; did you mean \"level\"?; known here: level, pi"),
            ("expp(level)", 1, "there is no function \"expp\" here; did you mean \"exp\"?"),
            ("exp(level, 2)", 1, "exp takes one argument; here are 2"),
            ("max(level)", 1, "max takes two arguments; here are 1"),
            ("level(2)", 1, "is not a function"),
            ("exp + 1", 1, "write exp(…)"),
            ("2 * (level", 5, "never closed"),
            ("[level, 1]", 1, "not a vector"),
        ];
        for (text, column, message) in cases {
            let mistake = read(text, &mut graph, &scope).unwrap_err();
            assert!(mistake.message.contains(message), "{text}: {}", mistake.message);
            assert_eq!(mistake.place(), (1, column), "{text}: {mistake}");
        }
    }
}
