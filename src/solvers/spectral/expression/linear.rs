//! What of a right-hand side is linear in the fields with constant coefficients, conjugates of fields included: the
//! growth of waves depends on all of it, also on what is evaluated on the grid.

use std::collections::{BTreeMap, HashMap};

use num_complex::Complex;

use super::form::{Atom, Form, Products};
use super::graph::{Graph, Id, Op};
use super::pair::Pair;
use super::symbol::Symbol;

/// Σ A_g u_g + B_g ū_g with operators A (`direct`) and B (`conjugate`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Linear {
    pub direct: BTreeMap<usize, Symbol>,
    pub conjugate: BTreeMap<usize, Symbol>,
}

fn add_to(sum: &mut BTreeMap<usize, Symbol>, field: usize, symbol: &Symbol) {
    let entry = sum.entry(field).or_default();
    entry.add(symbol);
    if entry.is_zero() {
        sum.remove(&field);
    }
}

impl Linear {
    pub fn add(&mut self, other: &Linear) {
        other.direct.iter().for_each(|(g, s)| add_to(&mut self.direct, *g, s));
        other.conjugate.iter().for_each(|(g, s)| add_to(&mut self.conjugate, *g, s));
    }

    /// An operator applied to it.
    fn applied(&self, symbol: &Symbol) -> Linear {
        let apply = |parts: &BTreeMap<usize, Symbol>| parts.iter().map(|(g, s)| (*g, s.times(symbol))).collect();
        Linear { direct: apply(&self.direct), conjugate: apply(&self.conjugate) }
    }

    pub fn scaled(&self, c: Complex<f64>) -> Linear {
        self.applied(&Symbol::number(c))
    }

    fn conjugated(&self) -> Linear {
        let turn = |parts: &BTreeMap<usize, Symbol>| parts.iter().map(|(g, s)| (*g, s.conjugated())).collect();
        Linear { direct: turn(&self.conjugate), conjugate: turn(&self.direct) }
    }
}

/// Finds linear parts; what it has seen of the arrays on the grid is kept.
pub struct Linears<'p> {
    products: &'p Products,
    arrays: HashMap<usize, Option<Linear>>,
}

impl<'p> Linears<'p> {
    pub fn new(products: &'p Products) -> Linears<'p> {
        Linears { products, arrays: HashMap::new() }
    }

    /// The linear part of a form; its other terms are left out.
    pub fn of(&mut self, form: &Form) -> Linear {
        let mut sum = Linear::default();
        for (atom, symbol) in &form.terms {
            if let Some(part) = self.atom(*atom) {
                sum.add(&part.applied(symbol));
            }
        }
        sum
    }

    /// None: not linear.
    fn atom(&mut self, atom: Atom) -> Option<Linear> {
        match atom {
            Atom::One => Some(Linear::default()),
            Atom::Field(g) => Some(Linear { direct: BTreeMap::from([(g, Symbol::one())]), conjugate: BTreeMap::new() }),
            Atom::Product(pair) => self.pair(pair),
        }
    }

    fn pair(&mut self, pair: Pair) -> Option<Linear> {
        let mut sum = Linear::default();
        for (id, unit) in [(pair.re, Complex::new(1.0, 0.0)), (pair.im, Complex::new(0.0, 1.0))] {
            for (leaf, weight) in leaves(&self.products.graph, id)? {
                let array = self.array(leaf as usize / 2)?;
                let part = match (self.products.complex, leaf % 2) {
                    (false, _) => array,
                    // (w + w̄)/2 and (w − w̄)/(2i)
                    (true, 0) => {
                        let mut real = array.conjugated();
                        real.add(&array);
                        real.scaled(Complex::new(0.5, 0.0))
                    }
                    (true, _) => {
                        let mut imaginary = array.conjugated().scaled(Complex::new(-1.0, 0.0));
                        imaginary.add(&array);
                        imaginary.scaled(Complex::new(0.0, -0.5))
                    }
                };
                sum.add(&part.scaled(unit * weight));
            }
        }
        Some(sum)
    }

    fn array(&mut self, n: usize) -> Option<Linear> {
        if let Some(known) = self.arrays.get(&n) {
            return known.clone();
        }
        let products = self.products;
        let mut sum = Some(Linear::default());
        for (atom, symbol) in &products.arrays[n].terms {
            sum = sum.zip(self.atom(*atom)).map(|(mut sum, part)| {
                sum.add(&part.applied(symbol));
                sum
            });
        }
        self.arrays.insert(n, sum.clone());
        sum
    }
}

/// The weight of each leaf in a formula that is linear in them, whatever is added to it. None: it is not linear.
fn leaves(graph: &Graph, root: Id) -> Option<BTreeMap<u32, f64>> {
    let mut known: HashMap<Id, Option<BTreeMap<u32, f64>>> = HashMap::new();
    let sum = |a: &BTreeMap<u32, f64>, b: &BTreeMap<u32, f64>, sign: f64| {
        let mut sum = a.clone();
        b.iter().for_each(|(l, w)| *sum.entry(*l).or_default() += sign * w);
        sum
    };
    for id in graph.reachable(&[root]) {
        let of = |id: Id| known[&id].as_ref();
        let scaled = |id: Id, c: f64| of(id).map(|a| a.iter().map(|(l, w)| (*l, w * c)).collect());
        let made = match graph.op(id) {
            Op::Leaf(leaf) => Some(BTreeMap::from([(leaf, 1.0)])),
            _ if !graph.depends(id).leaves => Some(BTreeMap::new()),
            Op::Add(a, b) => of(a).zip(of(b)).map(|(a, b)| sum(a, b, 1.0)),
            Op::Sub(a, b) => of(a).zip(of(b)).map(|(a, b)| sum(a, b, -1.0)),
            Op::Neg(a) => scaled(a, -1.0),
            Op::Mul(a, b) => match (graph.number(a), graph.number(b)) {
                (Some(c), _) => scaled(b, c),
                (_, Some(c)) => scaled(a, c),
                _ => None,
            },
            Op::Div(a, b) => graph.number(b).and_then(|c| scaled(a, 1.0 / c)),
            _ => None,
        };
        known.insert(id, made);
    }
    known.remove(&root)?
}

/// The operators as a matrix on û(k), or on û(k) and the conjugate of û(−k) where there are conjugates: row by row.
pub fn matrix(rows: &[Linear]) -> Vec<Vec<Symbol>> {
    let fields = rows.len();
    let at = |parts: &BTreeMap<usize, Symbol>, g: usize| parts.get(&g).cloned().unwrap_or_default();
    let alone = rows.iter().all(|r| r.conjugate.is_empty());
    let mut matrix = Vec::new();
    for row in rows {
        let direct = (0..fields).map(|g| at(&row.direct, g));
        match alone {
            true => matrix.push(direct.collect()),
            false => matrix.push(direct.chain((0..fields).map(|g| at(&row.conjugate, g))).collect()),
        }
    }
    if !alone {
        for row in rows {
            let turned = row.conjugated();
            let parts = [&turned.direct, &turned.conjugate];
            matrix.push(parts.into_iter().flat_map(|p| (0..fields).map(|g| at(p, g))).collect());
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_conjugates_of_a_complex_field_are_found_through_the_grid() {
        let mut products = Products::new(true);
        let u = Form::of(Atom::Field(0));
        let lap = Symbol::laplacian(1);
        let i = Complex::new(0.0, 1.0);
        let (re, im) = (products.call("re", &u).unwrap(), products.call("im", &u).unwrap());
        // Re u + i Im u = u, Re u − i Im u = ū, and the conjugate of i∆ū is −i∆u.
        let mut whole = re.applied(&lap);
        whole.add(&im.applied(&lap).scaled(i));
        let mut turned = re.clone();
        turned.add(&im.scaled(-i));
        let conjugate = products.call("conj", &u).unwrap();
        let inner = conjugate.applied(&lap).scaled(i);
        let twice = products.call("conj", &inner).unwrap();
        let square = products.multiply(&conjugate, &u);
        let mut linear = Linears::new(&products);
        let direct = |s: Symbol| Linear { direct: BTreeMap::from([(0, s)]), conjugate: BTreeMap::new() };
        assert_eq!(linear.of(&whole), direct(lap.clone()));
        let bar = Linear { direct: BTreeMap::new(), conjugate: BTreeMap::from([(0, Symbol::one())]) };
        assert_eq!((linear.of(&turned), linear.of(&conjugate)), (bar.clone(), bar.clone()));
        assert_eq!(linear.of(&twice), direct(lap.scaled(-i)));
        assert_eq!(linear.of(&square), Linear::default());
        // û(k) sees B of the conjugate of û(−k), and that sees the conjugate of B.
        let rows = matrix(&[bar.scaled(i)]);
        assert_eq!(rows[0], [Symbol::zero(), Symbol::number(i)]);
        assert_eq!(rows[1], [Symbol::number(-i), Symbol::zero()]);
    }
}
