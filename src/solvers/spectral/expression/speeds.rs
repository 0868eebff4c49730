//! Speeds at which N carries the fields along: the first-order part of its linearisation.
//!
//! Along each axis that is a matrix A over the fields, at every point of the grid. Its largest eigenvalue is at most
//! max |A_ff| + Σ √|A_fg A_gf|, in any units of the fields. With one round of transforms all entries are known at once
//! on the grid and that is a formula there. With more, an entry is a sum of chains of derivatives, each of which is
//! known in the round of its own product; then their largest values are measured, and the bound is taken of those.

use std::collections::{BTreeMap, HashMap};

use num_complex::Complex;

use super::form::{Atom, Products};
use super::graph::{Function, Id, Op};
use super::pair::Pair;
use super::plan::{Input, Plan};
use super::symbol::{Monomial, Symbol};

/// A number times the largest values of some of the measured formulas.
#[derive(Debug, Clone)]
struct Chain {
    factor: f64,
    measured: Vec<usize>,
}

/// A bound of a number: the sum of its chains.
type Sum = Vec<Chain>;

#[derive(Debug, Clone)]
enum Known {
    /// The formulas are the speeds themselves, along these internal axes.
    Speeds(Vec<usize>),
    /// By internal axis: bounds of the entries of A.
    Matrix([Vec<Vec<Sum>>; 3]),
}

#[derive(Debug, Clone)]
pub struct Speeds {
    /// Round and formula over the leaves; what counts is the largest value over the box.
    pub measured: Vec<(usize, Id)>,
    known: Known,
    /// Whether anything is carried along.
    pub any: bool,
}

impl Default for Speeds {
    fn default() -> Self {
        Speeds::new(Vec::new(), Known::Speeds(Vec::new()))
    }
}

fn derivative_along(axis: usize) -> Monomial {
    let mut derivative = Monomial::default();
    derivative.powers[axis] = 1;
    derivative
}

impl Speeds {
    /// Of a plan whose rounds are known. `outer`: for each product, the operator it stands under in each right-hand
    /// side.
    pub fn find(plan: &mut Plan, outer: &BTreeMap<Pair, Vec<Symbol>>) -> Speeds {
        if plan.rounds.len() == 1 { Speeds::of_one_round(plan, outer) } else { Speeds::of_chains(plan, outer) }
    }

    fn new(measured: Vec<(usize, Id)>, known: Known) -> Speeds {
        let mut speeds = Speeds { measured, known, any: false };
        speeds.any = speeds.fastest(&vec![1.0; speeds.measured.len()]) != [0.0; 3];
        speeds
    }

    /// Along the internal axes, from the largest value of each formula.
    pub fn fastest(&self, largest: &[f64]) -> [f64; 3] {
        match &self.known {
            Known::Speeds(axes) => {
                let mut fastest = [0.0f64; 3];
                axes.iter().zip(largest).for_each(|(&axis, v)| fastest[axis] = greater(fastest[axis], *v));
                fastest
            }
            Known::Matrix(by_axis) => by_axis.each_ref().map(|matrix| {
                let chain = |c: &Chain| c.measured.iter().fold(c.factor, |product, &k| product * largest[k]);
                let entry = |f: usize, g: usize| matrix[f][g].iter().map(chain).sum::<f64>();
                let fields = matrix.len();
                let own = (0..fields).map(|f| entry(f, f)).fold(0.0, greater);
                let pairs = (0..fields).flat_map(|f| (f + 1..fields).map(move |g| (f, g)));
                own + pairs.map(|(f, g)| (entry(f, g) * entry(g, f)).sqrt()).sum::<f64>()
            }),
        }
    }

    fn of_one_round(plan: &mut Plan, outer: &BTreeMap<Pair, Vec<Symbol>>) -> Speeds {
        let fields = plan.linear.len();
        let mut measured = Vec::new();
        let mut axes = Vec::new();
        for axis in 0..3 {
            let derivative = derivative_along(axis);
            let explicit = explicit(plan, &derivative);
            let along: Vec<usize> = plan.constraints.iter().filter_map(|c| c.along(axis)).collect();
            let products = &mut plan.products;
            let graph = &mut products.graph;
            let zero = graph.constant(0.0);
            let mut jacobian: Vec<Vec<Pair>> =
                explicit.iter().map(|row| row.iter().map(|c| graph.pair(*c)).collect()).collect();
            for (&pair, symbols) in outer {
                for (array, form) in products.arrays.iter().enumerate() {
                    let leaf = Op::Leaf(2 * array as u32);
                    let (Some(re), Some(im)) = (graph.derivative(pair.re, leaf), graph.derivative(pair.im, leaf))
                    else {
                        continue;
                    };
                    for (f, symbol) in symbols.iter().enumerate() {
                        for (atom, inner) in &form.terms {
                            let Atom::Field(g) = *atom else { continue };
                            let c = symbol.identity() * inner.coefficient(&derivative)
                                + symbol.coefficient(&derivative) * inner.identity();
                            if c == Complex::new(0.0, 0.0) || along.contains(&f) || along.contains(&g) {
                                continue;
                            }
                            let c = graph.pair(c);
                            let entry = graph.pair_mul(c, Pair { re, im });
                            jacobian[f][g] = graph.pair_add(jacobian[f][g], entry);
                        }
                    }
                }
            }
            let mut size = |entry: Pair| graph.pair_call("abs", entry).map_or(zero, |p| p.re);
            let sizes: Vec<Vec<Id>> = jacobian.iter().map(|row| row.iter().map(|&e| size(e)).collect()).collect();
            let mut coupling = zero;
            for f in 0..fields {
                for g in f + 1..fields {
                    let product = graph.mul(sizes[f][g], sizes[g][f]);
                    let root = graph.call(Function::Sqrt, product);
                    coupling = graph.add(coupling, root);
                }
            }
            let first = measured.len();
            for (f, row) in sizes.iter().enumerate() {
                let speed = graph.add(row[f], coupling);
                if graph.number(speed) != Some(0.0) && !measured[first..].contains(&(0, speed)) {
                    measured.push((0, speed));
                    axes.push(axis);
                }
            }
        }
        Speeds::new(measured, Known::Speeds(axes))
    }

    fn of_chains(plan: &mut Plan, outer: &BTreeMap<Pair, Vec<Symbol>>) -> Speeds {
        let fields = plan.linear.len();
        let mut chains = Chains { fields, measured: Vec::new(), depths: HashMap::new() };
        let matrices = [0, 1, 2].map(|axis| {
            let derivative = derivative_along(axis);
            let along: Vec<usize> = plan.constraints.iter().filter_map(|c| c.along(axis)).collect();
            let mut matrix = vec![vec![Sum::new(); fields]; fields];
            for (row, explicit) in matrix.iter_mut().zip(explicit(plan, &derivative)) {
                for (sum, c) in row.iter_mut().zip(explicit) {
                    push(sum, c.norm(), &Chain { factor: 1.0, measured: Vec::new() });
                }
            }
            for (&pair, symbols) in outer {
                let [itself, sloped] = chains.of(&mut plan.products, pair, &derivative);
                for (f, symbol) in symbols.iter().enumerate().filter(|(f, _)| !along.contains(f)) {
                    for g in (0..fields).filter(|g| !along.contains(g)) {
                        let (one, slope) = (symbol.identity().norm(), symbol.coefficient(&derivative).norm());
                        sloped[g].iter().for_each(|chain| push(&mut matrix[f][g], one, chain));
                        itself[g].iter().for_each(|chain| push(&mut matrix[f][g], slope, chain));
                    }
                }
            }
            matrix
        });
        Speeds::new(chains.measured, Known::Matrix(matrices))
    }
}

/// f64::max would lose a NaN.
fn greater(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

fn push(sum: &mut Sum, factor: f64, chain: &Chain) {
    if factor != 0.0 {
        sum.push(Chain { factor: factor * chain.factor, measured: chain.measured.clone() });
    }
}

/// Coefficients of `derivative` in the linear terms that are not treated as such.
fn explicit(plan: &Plan, derivative: &Monomial) -> Vec<Vec<Complex<f64>>> {
    let fields = plan.linear.len();
    let mut coefficients = vec![vec![Complex::new(0.0, 0.0); fields]; fields];
    for (row, combination) in coefficients.iter_mut().zip(&plan.assemble) {
        for (input, symbol) in combination {
            if let Input::Field(g) = input {
                row[*g] += symbol.coefficient(derivative);
            }
        }
    }
    coefficients
}

/// What products are linearised to.
struct Chains {
    fields: usize,
    measured: Vec<(usize, Id)>,
    depths: HashMap<Pair, usize>,
}

impl Chains {
    /// How a product follows each field: [the field itself, its derivative].
    fn of(&mut self, products: &mut Products, pair: Pair, derivative: &Monomial) -> [Vec<Sum>; 2] {
        let mut found = [vec![Sum::new(); self.fields], vec![Sum::new(); self.fields]];
        let round = products.depth(pair, &mut self.depths);
        for array in products.arrays_of(pair) {
            let leaf = Op::Leaf(2 * array as u32);
            let graph = &mut products.graph;
            let (Some(re), Some(im)) = (graph.derivative(pair.re, leaf), graph.derivative(pair.im, leaf)) else {
                continue;
            };
            let Some(size) = graph.pair_call("abs", Pair { re, im }) else { continue };
            let slope = match graph.number(size.re) {
                Some(number) => Chain { factor: number, measured: Vec::new() },
                None => Chain { factor: 1.0, measured: vec![self.measure(round, size.re)] },
            };
            for (atom, inner) in products.arrays[array].clone().terms {
                let (one, sloped) = (inner.identity().norm(), inner.coefficient(derivative).norm());
                match atom {
                    Atom::One => {}
                    Atom::Field(g) => {
                        push(&mut found[0][g], one, &slope);
                        push(&mut found[1][g], sloped, &slope);
                    }
                    Atom::Product(earlier) => {
                        let of_earlier = self.of(products, earlier, derivative);
                        for g in 0..self.fields {
                            let after = |chain: &Chain| Chain {
                                factor: slope.factor * chain.factor,
                                measured: [&slope.measured[..], &chain.measured].concat(),
                            };
                            for chain in &of_earlier[0][g] {
                                push(&mut found[0][g], one, &after(chain));
                                push(&mut found[1][g], sloped, &after(chain));
                            }
                            of_earlier[1][g].iter().for_each(|chain| push(&mut found[1][g], one, &after(chain)));
                        }
                    }
                }
            }
        }
        found
    }

    fn measure(&mut self, round: usize, formula: Id) -> usize {
        self.measured.iter().position(|m| *m == (round, formula)).unwrap_or_else(|| {
            self.measured.push((round, formula));
            self.measured.len() - 1
        })
    }
}
