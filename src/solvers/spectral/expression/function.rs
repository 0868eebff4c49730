//! Expressions of the coordinates, time and parameters: initial conditions, forcings, numbers of the input.

use num_complex::Complex;

use super::graph::Graph;
use super::mistake::{Mistake, did_you_mean};
use super::pair::{FUNCTIONS, Pair};
use super::program::{Output, Program, Source};
use super::syntax::{Kind, Node, parse};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};

/// Names every expression knows.
pub const NUMBERS: &[&str] = &["pi", "i"];

/// Reads one scalar expression into `graph`; `name` resolves what is not a number of [`NUMBERS`].
pub(super) fn lower(
    text: &str,
    node: &Node,
    graph: &mut Graph,
    name: &mut dyn FnMut(&str, &mut Graph) -> Option<Pair>,
    known: &[&str],
) -> Result<Pair, Mistake> {
    let mut go = |node: &Node, graph: &mut Graph| lower(text, node, graph, name, known);
    Ok(match &node.kind {
        Kind::Number(x) => graph.pair(Complex::new(*x, 0.0)),
        Kind::Name(word) if word == "pi" => graph.pair(Complex::new(std::f64::consts::PI, 0.0)),
        Kind::Name(word) if word == "i" => graph.pair(Complex::new(0.0, 1.0)),
        Kind::Name(word) => match name(word, graph) {
            Some(pair) => pair,
            None => return Err(unknown(text, node, word, known)),
        },
        Kind::Sum(terms) => {
            let mut sum = graph.pair(Complex::new(0.0, 0.0));
            for (minus, term) in terms {
                let term = go(term, graph)?;
                let term = if *minus { graph.pair_neg(term) } else { term };
                sum = graph.pair_add(sum, term);
            }
            sum
        }
        Kind::Product(factors) => {
            let mut product = graph.pair(Complex::new(1.0, 0.0));
            for (divided, factor) in factors {
                let factor = go(factor, graph)?;
                product = if *divided { graph.pair_div(product, factor) } else { graph.pair_mul(product, factor) };
            }
            product
        }
        Kind::Negative(inner) => {
            let inner = go(inner, graph)?;
            graph.pair_neg(inner)
        }
        Kind::Power(base, exponent) => {
            let (base, exponent) = (go(base, graph)?, go(exponent, graph)?);
            graph.pair_pow(base, exponent)
        }
        Kind::List(_) => {
            return Err(Mistake::new(text, node.span.clone(), "a number is wanted here, not a vector"));
        }
        Kind::Call(word, arguments) => {
            let word_span = node.span.start..node.span.start + word.len();
            if !FUNCTIONS.iter().any(|(f, _)| f == word) {
                let hint = did_you_mean(word, FUNCTIONS.iter().map(|(f, _)| *f));
                return Err(Mistake::new(text, word_span, format!("there is no function \"{word}\" here{hint}")));
            }
            if arguments.len() != 1 {
                let message = format!("{word} takes one argument; here are {}", arguments.len());
                return Err(Mistake::new(text, node.span.clone(), message));
            }
            let argument = go(&arguments[0], graph)?;
            graph.pair_call(word, argument).unwrap_or(argument)
        }
    })
}

pub(super) fn unknown(text: &str, node: &Node, word: &str, known: &[&str]) -> Mistake {
    let hint = did_you_mean(word, known.iter().copied());
    let list = if known.is_empty() { String::new() } else { format!("; known here: {}", known.join(", ")) };
    let what = if FUNCTIONS.iter().any(|(f, _)| *f == word) {
        format!("\"{word}\" is a function; write {word}(…)")
    } else {
        format!("unknown name \"{word}\"{hint}{list}")
    };
    Mistake::new(text, node.span.clone(), what)
}

/// The number that a constant expression such as "2*pi/3" is.
pub fn constant(text: &str) -> Result<f64, Mistake> {
    constant_with(text, &[])
}

/// The number that an expression of `parameters` is.
pub fn constant_with(text: &str, parameters: &[(String, f64)]) -> Result<f64, Mistake> {
    let z = number(text, parameters, &["pi"])?;
    match (z.im == 0.0, z.re.is_finite()) {
        (true, true) => Ok(z.re),
        (true, false) => Err(Mistake::new(text, 0..text.len(), format!("the value is {}", z.re))),
        (false, _) => Err(Mistake::new(text, 0..text.len(), format!("must be real; this is {z}"))),
    }
}

/// The complex number that an expression of `parameters` is.
pub fn complex_constant(text: &str, parameters: &[(String, f64)]) -> Result<Complex<f64>, Mistake> {
    number(text, parameters, NUMBERS)
}

/// The same, `offered` as known beside the parameters where a name is not.
fn number(text: &str, parameters: &[(String, f64)], offered: &[&str]) -> Result<Complex<f64>, Mistake> {
    let mut graph = Graph::default();
    let known: Vec<&str> = parameters.iter().map(|p| p.0.as_str()).chain(offered.iter().copied()).collect();
    let mut name = |word: &str, graph: &mut Graph| {
        let value = parameters.iter().find(|p| p.0 == word)?.1;
        Some(graph.pair(Complex::new(value, 0.0)))
    };
    let pair = lower(text, &parse(text)?, &mut graph, &mut name, &known)?;
    Ok(graph.complex_number(pair).expect("made of numbers only"))
}

/// A compiled expression of coordinates and time.
pub struct Function<T> {
    program: Program<T>,
    /// Values are (re, im) pairs.
    complex: bool,
    varies: bool,
}

impl<T: Real> Function<T> {
    /// Compiles `text`, an expression of the coordinates of `domain` (x, y, z by the names of its axes), `t`, `pi` and
    /// `parameters`. With `domain.complex` values are complex and `i` is known.
    pub fn parse(text: &str, domain: &Domain, parameters: &[(String, f64)]) -> Result<Function<T>, Mistake> {
        let mut graph = Graph::default();
        let axes: Vec<(&str, usize)> = (0..3).map(|a| (domain.axes[a].name, a)).filter(|a| !a.0.is_empty()).collect();
        let mut known: Vec<&str> = axes.iter().map(|a| a.0).collect();
        known.extend(parameters.iter().map(|p| p.0.as_str()));
        known.extend(["t", "pi"]);
        if domain.complex {
            known.push("i");
        }
        let mut name = |word: &str, graph: &mut Graph| {
            if let Some(&(_, axis)) = axes.iter().find(|a| a.0 == word) {
                let coordinate = graph.coordinate(axis);
                return Some(graph.real(coordinate));
            }
            if word == "t" {
                let time = graph.time();
                return Some(graph.real(time));
            }
            let value = parameters.iter().find(|p| p.0 == word)?.1;
            Some(graph.pair(Complex::new(value, 0.0)))
        };
        let pair = lower(text, &parse(text)?, &mut graph, &mut name, &known)?;
        if !domain.complex && !graph.is_real(pair) {
            let message = "the value is complex; the fields are real (complex = false)";
            return Err(Mistake::new(text, 0..text.len(), message));
        }
        let output = if domain.complex { Output::Pair(pair.re, pair.im) } else { Output::Real(pair.re) };
        let varies = graph.depends(pair.re).time || graph.depends(pair.im).time;
        let program = Program::new(&graph, &[output], |_| Source { array: 0, part: None });
        Ok(Function { program, complex: domain.complex, varies })
    }

    /// True when the value depends on t.
    pub fn depends_on_time(&self) -> bool {
        self.varies
    }

    /// Fills `out` with the values at the points of a tile (coordinates), pairs when the domain is complex.
    pub fn evaluate(&self, tile: &Tile, time: f64, out: &mut [T]) {
        debug_assert_eq!(out.len(), tile.len() * if self.complex { 2 } else { 1 });
        self.program.run(tile, time, &[], &mut [out]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::domain::Block;
    use crate::solvers::spectral::domain::{Axis, Basis};
    use crate::solvers::spectral::transform::Scales;

    fn domain(points: &[usize], complex: bool) -> Domain {
        let names = ["x", "y", "z"];
        let axes = points.iter().zip(names).map(|(&points, name)| Axis {
            name,
            basis: Basis::Fourier,
            low: -1.0,
            length: 2.0,
            points,
            highest: (points - 1) / 2,
            sawtooth: false,
        });
        Domain::new(axes.collect(), complex)
    }

    /// All values on the grid, in tiles of `tile` values.
    fn values(text: &str, domain: &Domain, time: f64, tile: usize) -> Vec<f64> {
        let f = Function::<f64>::parse(text, domain, &[("a".into(), 0.75)]).unwrap();
        let scales = Scales::coordinates(domain, Block { start: [0; 3], count: domain.points() });
        let reals = domain.reals();
        let mut out = vec![0.0; domain.points().iter().product::<usize>() * reals];
        for (tile, at) in scales.tiles(tile) {
            f.evaluate(&tile, time, &mut out[at.start * reals..at.end * reals]);
        }
        out
    }

    #[test]
    fn constants_follow_the_rules_of_precedence() {
        let cases = [
            ("2*pi/3", 2.0 * std::f64::consts::PI / 3.0),
            ("-2^2", -4.0),
            ("2^-1", 0.5),
            ("2^3^2", 512.0),
            ("2 ** 3", 8.0),
            ("1 - 2 - 3", -4.0),
            ("12/2/3", 2.0),
            ("12/2*3", 18.0),
            ("-(1+2)*-3", 9.0),
            ("1.5e-3 + .5", 0.5015),
            ("abs(-3) + sqrt(16)", 7.0),
            ("--3", 3.0),
            ("(-2)^3", -8.0),
            ("exp(log(5))^2", 25.0),
        ];
        for (text, value) in cases {
            let found = constant(text).unwrap();
            assert!((found - value).abs() < 1e-13, "{text} = {found}, not {value}");
        }
        assert_eq!(complex_constant("i^2 + 3*i", &[]).unwrap(), Complex::new(-1.0, 3.0));
    }

    #[test]
    fn mistakes_point_at_their_character() {
        let domain = domain(&[4, 4], false);
        let cases: &[(&str, usize, &str)] = &[
            ("sin(x) + coss(y)", 10, "did you mean \"cos\""),
            ("sin(x) + yy", 10, "unknown name \"yy\""),
            ("sin(x", 4, "never closed"),
            ("sin x", 5, "expected an operator"),
            ("x + ", 5, "ends here"),
            ("x + * y", 5, "found '*'"),
            ("x)", 2, "never opened"),
            ("2x", 2, "expected an operator"),
            ("x = 3", 3, "no \"=\""),
            ("atan(x, y)", 1, "no function \"atan\""),
            ("sin(x, y)", 1, "one argument"),
            ("sin + 1", 1, "write sin(…)"),
            ("", 1, "ends here"),
            ("x # y", 3, "found '#'"),
            ("[x, y]", 1, "not a vector"),
            ("i*x", 1, "complex"),
            ("1.2.3", 4, "found '.'"),
        ];
        for (text, column, message) in cases {
            let Err(mistake) = Function::<f64>::parse(text, &domain, &[]) else { panic!("{text} was accepted") };
            assert!(mistake.message.contains(message), "{text}: {}", mistake.message);
            assert_eq!(mistake.place(), (1, *column), "{text}: {mistake}");
        }
        let shown = Function::<f64>::parse("1 +\n  foo*x", &domain, &[]).map(|_| ()).unwrap_err().to_string();
        assert!(shown.contains("(at line 2, character 3)\n      foo*x\n      ^^^"), "{shown}");
    }

    #[test]
    fn nesting_is_bounded_and_long_sums_are_not() {
        let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(constant(&deep).unwrap_err().message.contains("nested"));
        assert!(constant(&vec!["2"; 5000].join("^")).unwrap_err().message.contains("nested"));
        assert!(constant(&vec!["2"; 5000].join("**")).unwrap_err().message.contains("nested"));
        assert!(constant(&vec!["1"; 5000].join("^-")).unwrap_err().message.contains("nested"));
        assert_eq!(constant(&vec!["1^2"; 5000].join("+")).unwrap(), 5000.0);
        assert_eq!(constant(&format!("{}1", "-".repeat(5000))).unwrap(), 1.0);
    }

    #[test]
    fn values_on_the_grid_are_those_of_the_formula_in_any_tiling() {
        let domain = domain(&[3, 5, 700], false);
        let text = "a*sin(pi*x)*cos(y)^2 - exp(-z^2)*tanh(y) + t*sech(x*z) / (2 + y*z) + sqrt(1 + x^2 + y^2 + z^2) + 1";
        let all = values(text, &domain, 0.3, 1 << 20);
        assert_eq!(all, values(text, &domain, 0.3, 1));
        assert_eq!(all, values(text, &domain, 0.3, 1500));
        for (i, found) in all.iter().enumerate() {
            let at = [i / 3500, i / 700 % 5, i % 700];
            let [x, y, z] = std::array::from_fn(|a| domain.axes[a].coordinate(at[a]));
            let exact = 0.75 * (std::f64::consts::PI * x).sin() * y.cos().powi(2) - (-z * z).exp() * y.tanh()
                + 0.3 / (x * z).cosh() / (2.0 + y * z)
                + (1.0 + x * x + y * y + z * z).sqrt()
                + 1.0;
            assert!((found - exact).abs() < 1e-14, "{at:?}: {found} {exact}");
        }
    }

    #[test]
    fn complex_functions_are_those_of_num_complex() {
        let domain = domain(&[16], true);
        let cases: &[(&str, fn(Complex<f64>) -> Complex<f64>)] = &[
            ("sin(z0)", |z| z.sin()),
            ("cos(z0)", |z| z.cos()),
            ("tan(z0)", |z| z.tan()),
            ("exp(z0)", |z| z.exp()),
            ("log(z0)", |z| z.ln()),
            ("sqrt(z0)", |z| z.sqrt()),
            ("sinh(z0)", |z| z.sinh()),
            ("cosh(z0)", |z| z.cosh()),
            ("tanh(z0)", |z| z.tanh()),
            ("sech(z0)", |z| 1.0 / z.cosh()),
            ("abs(z0)", |z| z.norm().into()),
            ("abs(z0)^2", |z| z.norm_sqr().into()),
            ("conj(z0)", |z| z.conj()),
            ("re(z0) - im(z0)", |z| (z.re - z.im).into()),
            ("z0^3 / (1 + z0)", |z| z * z * z / (1.0 + z)),
            ("z0^(1/3)", |z| z.powf(1.0 / 3.0)),
            ("z0^-2", |z| 1.0 / (z * z)),
        ];
        for (text, exact) in cases {
            let found = values(&text.replace("z0", "(x + i*(0.3 - x^2))"), &domain, 0.0, 5);
            for (j, pair) in found.as_chunks::<2>().0.iter().enumerate() {
                let x = domain.axes[2].coordinate(j);
                let exact = exact(Complex::new(x, 0.3 - x * x));
                let error = (Complex::new(pair[0], pair[1]) - exact).norm();
                assert!(error < 1e-13 * (1.0 + exact.norm()), "{text} at {x}: {pair:?}, not {exact}");
            }
        }
    }

    #[test]
    fn single_precision_is_the_rounded_double() {
        let domain = domain(&[40], false);
        let single = Function::<f32>::parse("sin(3*x) + t", &domain, &[]).unwrap();
        let scales = Scales::coordinates(&domain, Block { start: [0; 3], count: domain.points() });
        let mut out = vec![0f32; 40];
        let (tile, _) = scales.tiles(40).next().unwrap();
        single.evaluate(&tile, 1e4, &mut out);
        let double = values("sin(3*x) + t", &domain, 1e4, 40);
        assert!(out.iter().zip(&double).all(|(s, d)| *s == *d as f32));
        assert!(single.depends_on_time());
    }
}
