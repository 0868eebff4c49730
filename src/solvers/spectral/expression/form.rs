//! Sums of linear operators applied to fields and products: what every expression of the fields is brought to.

use std::collections::{BTreeMap, HashMap};

use num_complex::Complex;

use super::graph::{Graph, Id, Op};
use super::pair::Pair;
use super::symbol::{Monomial, Symbol};

/// What operators are applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// The function 1.
    One,
    Field(usize),
    /// Something made point by point on the grid.
    Product(Pair),
}

/// Σ (operator)(atom).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Form {
    pub terms: BTreeMap<Atom, Symbol>,
}

impl Form {
    pub fn of(atom: Atom) -> Form {
        let mut form = Form::default();
        form.insert(atom, &Symbol::one());
        form
    }

    pub fn number(c: Complex<f64>) -> Form {
        Form::of(Atom::One).scaled(c)
    }

    pub fn insert(&mut self, atom: Atom, symbol: &Symbol) {
        let entry = self.terms.entry(atom).or_default();
        entry.add(symbol);
        if atom == Atom::One {
            // Derivatives of a constant vanish, its mean is itself, its inverse Laplacian is 0.
            let c = entry.identity() + entry.coefficient(&Monomial { mean: true, ..Monomial::default() });
            *entry = Symbol::zero();
            entry.insert(Monomial::default(), c);
        }
        if entry.is_zero() {
            self.terms.remove(&atom);
        }
    }

    pub fn add(&mut self, other: &Form) {
        other.terms.iter().for_each(|(a, s)| self.insert(*a, s));
    }

    pub fn scaled(&self, c: Complex<f64>) -> Form {
        let mut form = Form::default();
        self.terms.iter().for_each(|(a, s)| form.insert(*a, &s.scaled(c)));
        form
    }

    /// The operator `symbol` applied to it.
    pub fn applied(&self, symbol: &Symbol) -> Form {
        let mut form = Form::default();
        self.terms.iter().for_each(|(a, s)| form.insert(*a, &s.times(symbol)));
        form
    }

    /// Its value, when it is a number.
    pub fn constant(&self) -> Option<Complex<f64>> {
        match self.terms.len() {
            0 => Some(Complex::new(0.0, 0.0)),
            1 => self.terms.get(&Atom::One).map(Symbol::identity),
            _ => None,
        }
    }

    /// The number in it, and the rest.
    fn split(&self) -> (Complex<f64>, Form) {
        let mut rest = self.clone();
        let number = rest.terms.remove(&Atom::One).map_or(Complex::new(0.0, 0.0), |s| s.identity());
        (number, rest)
    }

    /// The coefficient of its first term, and what is left when it is divided by it.
    pub fn normalised(&self) -> (Complex<f64>, Form) {
        let first = self.terms.values().find_map(|s| s.terms.values().next().copied());
        let factor = first.unwrap_or(Complex::new(1.0, 0.0));
        // Division, so that the first coefficient becomes exactly 1.
        let over = |z: Complex<f64>| {
            if factor.im == 0.0 { Complex::new(z.re / factor.re, z.im / factor.re) } else { z / factor }
        };
        let mut form = self.clone();
        form.terms.values_mut().flat_map(|s| s.terms.values_mut()).for_each(|z| *z = over(*z));
        (factor, form)
    }

    pub fn monomials(&self) -> usize {
        self.terms.values().map(|s| s.terms.len()).sum()
    }
}

/// Where forms are multiplied: the formulas on the grid and the arrays they are made from.
#[derive(Debug, Clone)]
pub struct Products {
    /// Leaf 2n is array n on the grid, or its real part; leaf 2n + 1 the imaginary part.
    pub graph: Graph,
    /// The arrays, by their forms.
    pub arrays: Vec<Form>,
    pub complex: bool,
}

impl Products {
    pub fn new(complex: bool) -> Products {
        Products { graph: Graph::default(), arrays: Vec::new(), complex }
    }

    /// The values of a form on the grid.
    pub fn on_grid(&mut self, form: &Form) -> Pair {
        let (number, rest) = form.split();
        let mut sum = self.graph.pair(number);
        let mut array = Form::default();
        for (atom, symbol) in &rest.terms {
            let Atom::Product(pair) = *atom else {
                array.insert(*atom, symbol);
                continue;
            };
            // What is on the grid already need not come back to it.
            let here = symbol.identity();
            if here != Complex::new(0.0, 0.0) {
                let factor = self.graph.pair(here);
                let term = self.graph.pair_mul(factor, pair);
                sum = self.graph.pair_add(sum, term);
            }
            let mut there = symbol.clone();
            there.insert(Monomial::default(), -here);
            if !there.is_zero() {
                array.insert(*atom, &there);
            }
        }
        if array.terms.is_empty() {
            return sum;
        }
        let (factor, array) = array.normalised();
        let n = self.arrays.iter().position(|a| *a == array).unwrap_or_else(|| {
            self.arrays.push(array);
            self.arrays.len() - 1
        });
        let re = self.graph.leaf(2 * n as u32);
        let im = if self.complex { self.graph.leaf(2 * n as u32 + 1) } else { self.graph.constant(0.0) };
        let factor = self.graph.pair(factor);
        let term = self.graph.pair_mul(factor, Pair { re, im });
        self.graph.pair_add(sum, term)
    }

    /// Something made on the grid, as a form.
    pub fn from_grid(&mut self, pair: Pair) -> Form {
        if let Some(z) = self.graph.complex_number(pair) {
            return Form::number(z);
        }
        let negative = |g: &Graph, id: Id| matches!(g.op(id), Op::Neg(_)) || g.number(id) == Some(0.0);
        if negative(&self.graph, pair.re) && negative(&self.graph, pair.im) {
            let pair = self.graph.pair_neg(pair);
            return Form::of(Atom::Product(pair)).scaled(Complex::new(-1.0, 0.0));
        }
        Form::of(Atom::Product(pair))
    }

    /// The product. Numbers are multiplied out, so that what is linear with constant coefficients stays visible.
    pub fn multiply(&mut self, a: &Form, b: &Form) -> Form {
        let ((c, a), (d, b)) = (a.split(), b.split());
        let mut product = Form::number(c * d);
        product.add(&b.scaled(c));
        product.add(&a.scaled(d));
        if !a.terms.is_empty() && !b.terms.is_empty() {
            let ((c, a), (d, b)) = (a.normalised(), b.normalised());
            let (a, b) = (self.on_grid(&a), self.on_grid(&b));
            let pair = self.graph.pair_mul(a, b);
            product.add(&self.from_grid(pair).scaled(c * d));
        }
        product
    }

    pub fn divide(&mut self, a: &Form, b: &Form) -> Form {
        if let Some(z) = b.constant() {
            if z == Complex::new(0.0, 0.0) {
                // 0/0 is no number either.
                return Form::number(Complex::new(f64::NAN, 0.0));
            }
            return a.scaled(z.inv());
        }
        let (factor, a) = a.normalised();
        let (a, b) = (self.on_grid(&a), self.on_grid(b));
        let pair = self.graph.pair_div(a, b);
        self.from_grid(pair).scaled(factor)
    }

    pub fn power(&mut self, a: &Form, b: &Form) -> Form {
        /// Powers of a sum with a number up to this one are multiplied out.
        const EXPANDED: f64 = 8.0;
        if let (Some(n), (number, rest)) = (b.constant(), a.split())
            && n.im == 0.0
            && n.re.fract() == 0.0
            && n.re > 0.0
            && n.re <= 64.0
        {
            if number == Complex::new(0.0, 0.0) {
                if n.re == 1.0 {
                    return rest;
                }
                let (factor, rest) = rest.normalised();
                let pair = self.on_grid(&rest);
                let exponent = self.graph.pair(n);
                let power = self.graph.pair_pow(pair, exponent);
                return self.from_grid(power).scaled(factor.powu(n.re as u32));
            }
            if n.re <= EXPANDED {
                let mut power = a.clone();
                for _ in 1..n.re as u32 {
                    power = self.multiply(&power, a);
                }
                return power;
            }
        }
        let (a, b) = (self.on_grid(a), self.on_grid(b));
        let pair = self.graph.pair_pow(a, b);
        self.from_grid(pair)
    }

    /// A function of [`super::pair::FUNCTIONS`].
    pub fn call(&mut self, name: &str, a: &Form) -> Option<Form> {
        let a = self.on_grid(a);
        let pair = self.graph.pair_call(name, a)?;
        Some(self.from_grid(pair))
    }

    /// The arrays that a product is made from.
    pub fn arrays_of(&self, pair: Pair) -> Vec<usize> {
        let mut arrays: Vec<usize> = self
            .graph
            .reachable(&[pair.re, pair.im])
            .into_iter()
            .filter_map(|id| match self.graph.op(id) {
                Op::Leaf(l) => Some(l as usize / 2),
                _ => None,
            })
            .collect();
        arrays.sort_unstable();
        arrays.dedup();
        arrays
    }

    /// Rounds of transforms before a product can be made: 0 when it is made from fields alone.
    pub fn depth(&self, pair: Pair, known: &mut HashMap<Pair, usize>) -> usize {
        if let Some(&depth) = known.get(&pair) {
            return depth;
        }
        let mut depth = 0;
        for array in self.arrays_of(pair) {
            for atom in self.arrays[array].terms.keys() {
                if let Atom::Product(inner) = *atom {
                    depth = depth.max(1 + self.depth(inner, known));
                }
            }
        }
        known.insert(pair, depth);
        depth
    }

    /// Of how many fields a product is a product, at most; None: of no such number.
    pub fn degree(&self, pair: Pair) -> Option<u32> {
        let mut degrees: HashMap<Id, Option<u32>> = HashMap::new();
        for id in self.graph.reachable(&[pair.re, pair.im]) {
            let depends = self.graph.depends(id);
            let of = |id: Id| degrees[&id];
            let degree = match self.graph.op(id) {
                Op::Leaf(_) => Some(1),
                // A given function of the coordinates counts as one field, however it is made.
                _ if !depends.leaves => Some(u32::from(depends.coordinates != 0)),
                Op::Add(a, b) | Op::Sub(a, b) => of(a).zip(of(b)).map(|(a, b)| a.max(b)),
                Op::Mul(a, b) => of(a).zip(of(b)).map(|(a, b)| a + b),
                Op::Neg(a) => of(a),
                Op::Div(a, b) if self.graph.depends(b) == Default::default() => of(a),
                _ => None,
            };
            degrees.insert(id, degree);
        }
        degrees[&pair.re].zip(degrees[&pair.im]).map(|(a, b)| a.max(b))
    }
}
