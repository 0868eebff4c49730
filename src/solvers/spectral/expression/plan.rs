//! What is computed where: the linear part, the rounds of transforms with the fewest arrays, the right-hand side.
//!
//! The arrays that go to the grid are linear in fields and earlier products, with operators as coefficients; as many
//! go as are linearly independent, and the others are made from them on the grid. Likewise the products that come
//! back: the right-hand side is linear in them, and only as many independent combinations come back as it sees (after
//! the projection, where there is one: so the trace of uu need not be transformed).

use std::collections::{BTreeMap, HashMap};

use num_complex::Complex;

use super::form::{Atom, Form, Products};
use super::graph::Op;
use super::pair::Pair;
use super::speeds::Speeds;
use super::symbol::{Monomial, Symbol, column_basis};

/// What an array in spectral space is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    Field(usize),
    /// A product of an earlier round, counted over all rounds.
    Product(usize),
}

pub type Combination = Vec<(Input, Symbol)>;

/// One round of transforms.
#[derive(Debug, Clone, Default)]
pub struct RoundPlan {
    /// The arrays that go to the grid.
    pub arrays: Vec<Combination>,
    /// How the arrays of [`Products`] are made from those on the grid: array, weight.
    pub made: HashMap<usize, Vec<(usize, Complex<f64>)>>,
    /// What comes back: sums of products with weights.
    pub products: Vec<Vec<(Pair, Complex<f64>)>>,
}

impl RoundPlan {
    /// Whether its arrays are the first fields as they stand.
    pub fn takes_fields(&self) -> bool {
        let one = Symbol::one();
        self.arrays.iter().enumerate().all(|(place, combination)| {
            matches!(&combination[..], [(Input::Field(field), symbol)] if *field == place && *symbol == one)
        })
    }
}

/// ∇·u = 0, or another linear relation Σ g_f u_f = 0, kept by an orthogonal projection.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    pub parts: Vec<(usize, Symbol)>,
    /// For a divergence: the internal axis that belongs to each part.
    pub axes: Option<Vec<usize>>,
}

impl Constraint {
    /// From a form of the fields that is to vanish; None: it is not linear in the fields with constant coefficients.
    pub fn new(form: &Form, dimension: usize) -> Option<Constraint> {
        let mut parts = Vec::new();
        for (atom, symbol) in &form.terms {
            let Atom::Field(f) = *atom else { return None };
            parts.push((f, symbol.clone()));
        }
        let axis = |s: &Symbol| {
            let (m, c) = s.terms.iter().next()?;
            let one = s.terms.len() == 1 && m.order() == 1 && m.inverse == 0 && *c == Complex::new(1.0, 0.0);
            one.then(|| m.powers.iter().position(|&p| p == 1)).flatten()
        };
        let axes: Option<Vec<usize>> = parts.iter().map(|(_, s)| axis(s)).collect();
        let axes = axes.filter(|axes| {
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            sorted.iter().copied().eq(3 - dimension..3)
        });
        (!parts.is_empty()).then_some(Constraint { parts, axes })
    }

    pub fn holds(&self, field: usize) -> bool {
        self.parts.iter().any(|p| p.0 == field)
    }

    /// The component along an internal axis of a divergence-free vector.
    pub fn along(&self, axis: usize) -> Option<usize> {
        let at = self.axes.as_ref()?.iter().position(|&a| a == axis)?;
        Some(self.parts[at].0)
    }
}

/// An equation, ready to be compiled.
#[derive(Debug, Clone)]
pub struct Plan {
    pub products: Products,
    /// The linear part, field by field.
    pub linear: Vec<Vec<Symbol>>,
    /// L has entries off the diagonal.
    pub block: bool,
    /// The linear part must be projected onto the constraints on both sides.
    pub projected: bool,
    pub rounds: Vec<RoundPlan>,
    /// The right-hand side but for the linear part and the steady forcing.
    pub assemble: Vec<Combination>,
    /// The steady forcing on the grid.
    pub forcing: Vec<Pair>,
    /// Fields in the longest product; None: not a polynomial.
    pub degree: Option<u32>,
    pub constraints: Vec<Constraint>,
    pub speeds: Speeds,
}

/// How an equation may be rearranged.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Keep couplings between fields out of the linear part.
    pub diagonal: bool,
    /// Do not write a ∂a as ½ ∂(a²).
    pub as_written: bool,
    pub dimension: usize,
}

/// Largest block of the linear part.
const BLOCK: usize = 8;

impl Plan {
    pub fn new(products: Products, rhs: &[Form], constraints: Vec<Constraint>, options: Options) -> Plan {
        let written = Plan::arranged(products.clone(), rhs, constraints.clone(), options, false);
        if options.as_written {
            return written;
        }
        let conservative = Plan::arranged(products, rhs, constraints, options, true);
        if conservative.transforms() < written.transforms() { conservative } else { written }
    }

    /// Whether N has terms in the fields themselves, besides products.
    pub fn assembles_fields(&self) -> bool {
        self.assemble.iter().flatten().any(|(input, _)| matches!(input, Input::Field(_)))
    }

    /// The linear part at wavenumber k: one entry per field, or the block row by row.
    pub fn linear_at(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        let fields = self.linear.len();
        if !self.block {
            for (f, entry) in entries.iter_mut().enumerate() {
                *entry = self.linear[f][f].value(k);
            }
            return;
        }
        for (f, row) in self.linear.iter().enumerate() {
            for (g, symbol) in row.iter().enumerate() {
                entries[f * fields + g] = if symbol.is_zero() { Complex::new(0.0, 0.0) } else { symbol.value(k) };
            }
        }
        if !self.projected {
            return;
        }
        // P L P with P = 1 − g* gᵀ/|g|².
        for constraint in &self.constraints {
            let g: Vec<(usize, Complex<f64>)> = constraint.parts.iter().map(|(f, s)| (*f, s.value(k))).collect();
            let square: f64 = g.iter().map(|(_, g)| g.norm_sqr()).sum();
            if square == 0.0 {
                continue;
            }
            for column in 0..fields {
                let sum: Complex<f64> = g.iter().map(|&(f, g)| g * entries[f * fields + column]).sum();
                g.iter().for_each(|&(f, g)| entries[f * fields + column] -= g.conj() * sum / square);
            }
            for row in 0..fields {
                let sum: Complex<f64> = g.iter().map(|&(f, g)| entries[row * fields + f] * g.conj()).sum();
                g.iter().for_each(|&(f, g)| entries[row * fields + f] -= sum * g / square);
            }
        }
    }

    /// Transforms of one evaluation.
    pub fn transforms(&self) -> usize {
        self.rounds.iter().map(|r| r.arrays.len() + r.products.len()).sum()
    }

    fn arranged(
        mut products: Products,
        rhs: &[Form],
        constraints: Vec<Constraint>,
        options: Options,
        conservative: bool,
    ) -> Plan {
        let fields = rhs.len();
        let mut rhs = rhs.to_vec();
        if conservative {
            for form in &mut rhs {
                conserve_advection(&mut products, form, &constraints);
                conserve_powers(&mut products, form);
            }
        }
        let mut plan = Plan {
            linear: vec![vec![Symbol::zero(); fields]; fields],
            block: false,
            projected: false,
            rounds: Vec::new(),
            assemble: vec![Vec::new(); fields],
            forcing: Vec::new(),
            degree: Some(1),
            constraints,
            speeds: Speeds::default(),
            products,
        };
        // For each product, the operator it stands under in each right-hand side.
        let mut outer: BTreeMap<Pair, Vec<Symbol>> = BTreeMap::new();
        for (f, form) in rhs.iter().enumerate() {
            let mut steady = plan.products.graph.pair(Complex::new(0.0, 0.0));
            for (atom, symbol) in &form.terms {
                match *atom {
                    Atom::One => {
                        let number = plan.products.graph.pair(symbol.identity());
                        steady = plan.products.graph.pair_add(steady, number);
                    }
                    Atom::Field(g) => plan.linear[f][g].add(symbol),
                    Atom::Product(pair) => match plan.steady(pair, symbol) {
                        Some(values) => steady = plan.products.graph.pair_add(steady, values),
                        None => outer.entry(pair).or_insert_with(|| vec![Symbol::zero(); fields])[f].add(symbol),
                    },
                }
            }
            plan.forcing.push(steady);
        }
        plan.split(options.diagonal);
        plan.schedule(&outer);
        plan.speeds = Speeds::find(&mut plan, &outer);
        plan
    }

    /// A product that depends on neither time nor fields, with the operator applied to it on the grid.
    fn steady(&mut self, pair: Pair, symbol: &Symbol) -> Option<Pair> {
        let graph = &mut self.products.graph;
        let varies = |d: super::graph::Depends| d.time || d.leaves;
        if varies(graph.depends(pair.re)) || varies(graph.depends(pair.im)) {
            return None;
        }
        let mut sum = graph.pair(Complex::new(0.0, 0.0));
        for (m, c) in &symbol.terms {
            if m.inverse > 0 || m.mean {
                return None;
            }
            let mut value = pair;
            for axis in 0..3 {
                for _ in 0..m.powers[axis] {
                    let by = Op::Coordinate(axis as u8);
                    value = Pair { re: graph.derivative(value.re, by)?, im: graph.derivative(value.im, by)? };
                }
            }
            let factor = graph.pair(*c);
            let term = graph.pair_mul(factor, value);
            sum = graph.pair_add(sum, term);
        }
        Some(sum)
    }

    /// Decides what of the linear terms is treated as such; the rest joins the right-hand side.
    fn split(&mut self, diagonal: bool) {
        let fields = self.linear.len();
        let coupled = (0..fields).any(|f| (0..fields).any(|g| f != g && !self.linear[f][g].is_zero()));
        // Where all components of a constrained vector have the same linear part and no other, it commutes with the
        // projection.
        let commutes = self.constraints.iter().all(|c| {
            let first = &self.linear[c.parts[0].0][c.parts[0].0];
            c.parts.iter().all(|&(f, _)| {
                (0..fields).all(|g| if g == f { self.linear[f][f] == *first } else { self.linear[f][g].is_zero() })
            })
        });
        if !coupled && commutes {
            return;
        }
        if fields <= BLOCK && !diagonal {
            self.block = true;
            self.projected = !commutes;
            return;
        }
        for f in 0..fields {
            let constrained = self.constraints.iter().find(|c| c.holds(f));
            let alike = constrained.is_none_or(|c| {
                c.parts.iter().all(|&(g, _)| self.linear[g][g] == self.linear[c.parts[0].0][c.parts[0].0])
            });
            for g in 0..fields {
                if f == g && alike || self.linear[f][g].is_zero() {
                    continue;
                }
                self.assemble[f].push((Input::Field(g), std::mem::take(&mut self.linear[f][g])));
            }
        }
        // Diagonals of a vector are compared before they are moved; move those of unlike ones together.
        for c in &self.constraints {
            if c.parts.iter().any(|&(f, _)| self.assemble[f].iter().any(|(i, _)| *i == Input::Field(f))) {
                for &(f, _) in &c.parts {
                    let own = std::mem::take(&mut self.linear[f][f]);
                    if !own.is_zero() {
                        self.assemble[f].push((Input::Field(f), own));
                    }
                }
            }
        }
    }

    /// Rounds of transforms, from the last to the first.
    fn schedule(&mut self, outer: &BTreeMap<Pair, Vec<Symbol>>) {
        let mut depths = HashMap::new();
        let depth = |p: &Products, pair: Pair, depths: &mut HashMap<Pair, usize>| p.depth(pair, depths);
        let rounds = outer.keys().map(|&p| depth(&self.products, p, &mut depths) + 1).max().unwrap_or(0);
        // Per round: the products that are transformed on behalf of all, the weights, the arrays of the grid.
        let mut pivots: Vec<Vec<Pair>> = vec![Vec::new(); rounds];
        let mut arrays: Vec<Vec<usize>> = vec![Vec::new(); rounds];
        self.rounds = vec![RoundPlan::default(); rounds];
        for r in (0..rounds).rev() {
            let later: Vec<usize> = arrays[r + 1..].iter().flatten().copied().collect();
            let mut columns: Vec<Pair> = outer.keys().copied().collect();
            for &array in &later {
                columns.extend(self.products.arrays[array].terms.keys().filter_map(|a| match *a {
                    Atom::Product(p) => Some(p),
                    _ => None,
                }));
            }
            columns.retain(|&p| depth(&self.products, p, &mut depths) == r);
            columns.sort_unstable();
            columns.dedup();
            let mut matrix = Matrix::new(columns.len());
            for (j, &column) in columns.iter().enumerate() {
                if let Some(symbols) = outer.get(&column) {
                    for (f, symbol) in self.project(symbols).iter().enumerate() {
                        matrix.insert((0, f), symbol, j);
                    }
                }
                for &array in &later {
                    if let Some(symbol) = self.products.arrays[array].terms.get(&Atom::Product(column)) {
                        matrix.insert((1, array), symbol, j);
                    }
                }
            }
            let (chosen, weights) = matrix.basis();
            pivots[r] = chosen.iter().map(|&c| columns[c]).collect();
            self.rounds[r].products = weights
                .iter()
                .map(|w| columns.iter().copied().zip(w.iter().copied()).filter(|(_, w)| w.norm() > 0.0).collect())
                .collect();
            // The arrays that these products are made from, simple ones first.
            let mut needed: Vec<usize> =
                self.rounds[r].products.iter().flatten().flat_map(|(p, _)| self.products.arrays_of(*p)).collect();
            needed.sort_unstable_by_key(|&a| (self.products.arrays[a].monomials(), a));
            needed.dedup();
            let mut matrix = Matrix::new(needed.len());
            for (j, &array) in needed.iter().enumerate() {
                let form = self.reduced(&self.products.arrays[array]);
                for (n, (atom, symbol)) in form.terms.iter().enumerate() {
                    let row = match *atom {
                        Atom::Field(f) => (0, f),
                        Atom::One => (1, 0),
                        Atom::Product(p) => (2 + p.re as usize, p.im as usize),
                    };
                    debug_assert!(n < form.terms.len());
                    matrix.insert(row, symbol, j);
                }
            }
            let (chosen, weights) = matrix.basis();
            arrays[r] = chosen.iter().map(|&c| needed[c]).collect();
            for (j, &array) in needed.iter().enumerate() {
                let made = weights.iter().enumerate().map(|(i, w)| (i, w[j])).filter(|(_, w)| w.norm() > 0.0);
                self.rounds[r].made.insert(array, made.collect());
            }
        }
        // Products are counted over all rounds.
        let place: HashMap<Pair, usize> = pivots.iter().flatten().enumerate().map(|(i, p)| (*p, i)).collect();
        for r in 0..rounds {
            for &array in &arrays[r] {
                let mut combination = Combination::new();
                for (atom, symbol) in &self.products.arrays[array].terms {
                    match atom {
                        Atom::Field(f) => combination.push((Input::Field(*f), symbol.clone())),
                        Atom::Product(p) if place.contains_key(p) => {
                            combination.push((Input::Product(place[p]), symbol.clone()));
                        }
                        _ => {}
                    }
                }
                self.rounds[r].arrays.push(combination);
            }
            for pair in &pivots[r] {
                for (f, symbol) in outer.get(pair).into_iter().flatten().enumerate() {
                    if !symbol.is_zero() {
                        self.assemble[f].push((Input::Product(place[pair]), symbol.clone()));
                    }
                }
            }
        }
        let used: Vec<Pair> = self.rounds.iter().flat_map(|r| r.products.iter().flatten().map(|p| p.0)).collect();
        self.degree = used.iter().map(|&p| self.products.degree(p)).try_fold(1, |all, d| d.map(|d| all.max(d)));
    }

    /// Operators of the right-hand sides after the projection onto divergence-free vectors.
    fn project(&self, symbols: &[Symbol]) -> Vec<Symbol> {
        let mut projected = symbols.to_vec();
        for constraint in self.constraints.iter().filter(|c| c.axes.is_some()) {
            let mut divergence = Symbol::zero();
            constraint.parts.iter().for_each(|(f, d)| divergence.add(&d.times(&symbols[*f])));
            let pressure =
                divergence.times(&Symbol::inverse_laplacian(constraint.parts.len())).scaled(Complex::new(-1.0, 0.0));
            for (f, d) in &constraint.parts {
                projected[*f].add(&d.times(&pressure));
            }
        }
        projected
    }

    /// The same form for fields that keep the constraints: ∂_z u_z written by the others.
    fn reduced(&self, form: &Form) -> Form {
        let mut reduced = form.clone();
        for constraint in self.constraints.iter().filter(|c| c.axes.is_some()) {
            let (last, _) = constraint.parts[constraint.parts.len() - 1];
            let axis = constraint.axes.as_ref().map_or(2, |a| a[a.len() - 1]);
            let Some(symbol) = reduced.terms.get(&Atom::Field(last)).cloned() else { continue };
            for (m, c) in symbol.terms.iter().filter(|(m, _)| m.powers[axis] > 0) {
                let mut rest = *m;
                rest.powers[axis] -= 1;
                let mut own = Symbol::zero();
                own.insert(*m, -c);
                reduced.insert(Atom::Field(last), &own);
                let mut rest_symbol = Symbol::zero();
                rest_symbol.insert(rest, -c);
                for (f, d) in constraint.parts.iter().filter(|p| p.0 != last) {
                    reduced.insert(Atom::Field(*f), &d.times(&rest_symbol));
                }
            }
        }
        reduced
    }
}

/// Rows are named by who wants what derivative, columns are what is wanted.
struct Matrix {
    columns: usize,
    rows: BTreeMap<((usize, usize), Monomial), Vec<Complex<f64>>>,
}

impl Matrix {
    fn new(columns: usize) -> Matrix {
        Matrix { columns, rows: BTreeMap::new() }
    }

    fn insert(&mut self, who: (usize, usize), symbol: &Symbol, column: usize) {
        for (m, c) in &symbol.terms {
            let zeros = || vec![Complex::new(0.0, 0.0); self.columns];
            self.rows.entry((who, *m)).or_insert_with(zeros)[column] += c;
        }
    }

    fn basis(self) -> (Vec<usize>, Vec<Vec<Complex<f64>>>) {
        column_basis(self.rows.into_values().collect(), self.columns)
    }
}

/// A product of two arrays of the grid: their numbers.
fn factors(products: &Products, pair: Pair) -> Option<(usize, usize)> {
    let graph = &products.graph;
    let Op::Mul(a, b) = graph.op(pair.re) else { return None };
    match (graph.op(a), graph.op(b), graph.is_real(pair)) {
        (Op::Leaf(a), Op::Leaf(b), true) => Some((a as usize / 2, b as usize / 2)),
        _ => None,
    }
}

/// C, when `form` is ∂C/∂x along `axis`.
fn integral(form: &Form, axis: usize) -> Option<Form> {
    let mut integral = Form::default();
    for (atom, symbol) in &form.terms {
        for (m, c) in &symbol.terms {
            let mut less = *m;
            less.powers[axis] = m.powers[axis].checked_sub(1)?;
            let mut part = Symbol::zero();
            part.insert(less, *c);
            integral.insert(*atom, &part);
        }
    }
    Some(integral)
}

/// Writes aⁿ ∂a as ∂(aⁿ⁺¹)/(n+1), the same function when products are free of aliasing errors.
fn conserve_powers(products: &mut Products, form: &mut Form) {
    const HIGHEST: usize = 7;
    let terms: Vec<(Atom, Symbol)> = form.terms.iter().map(|(a, s)| (*a, s.clone())).collect();
    for (atom, symbol) in terms {
        let Atom::Product(pair) = atom else { continue };
        let arrays = products.arrays_of(pair);
        let &[one, two] = arrays.as_slice() else { continue };
        if !products.graph.is_real(pair) {
            continue;
        }
        for (a, b) in [(one, two), (two, one)] {
            let Some(slope) = products.graph.derivative(pair.re, Op::Leaf(2 * b as u32)) else { continue };
            let leaf = products.graph.leaf(2 * a as u32);
            let mut power = leaf;
            let mut n = 1;
            while power != slope && n < HIGHEST {
                n += 1;
                let exponent = products.graph.constant(n as f64);
                power = products.graph.pow(leaf, exponent);
            }
            let whole = products.graph.leaf(2 * b as u32);
            if power != slope || products.graph.mul(slope, whole) != pair.re {
                continue;
            }
            let (base, derivative) = (products.arrays[a].clone(), products.arrays[b].clone());
            let Some((axis, factor)) = (0..3).find_map(|axis| {
                let (factor, inner) = base.applied(&Symbol::derivative(axis)).normalised();
                (inner == derivative).then_some((axis, factor))
            }) else {
                continue;
            };
            let exponent = products.graph.constant((n + 1) as f64);
            let up = products.graph.pow(leaf, exponent);
            let up = products.graph.real(up);
            // base.applied(∂) = factor · derivative, so derivative = ∂(base)/factor.
            let scale = factor.inv() / (n + 1) as f64;
            let outer = symbol.times(&Symbol::derivative(axis)).scaled(scale);
            form.insert(atom, &symbol.scaled(Complex::new(-1.0, 0.0)));
            form.insert(Atom::Product(up), &outer);
            break;
        }
    }
}

/// Writes Σ u_a ∂_a C as Σ ∂_a (u_a C) for a divergence-free u.
fn conserve_advection(products: &mut Products, form: &mut Form, constraints: &[Constraint]) {
    for constraint in constraints {
        let Some(axes) = &constraint.axes else { continue };
        let velocity: Vec<Form> = constraint.parts.iter().map(|(f, _)| Form::of(Atom::Field(*f))).collect();
        // (C, operator in front) -> the axes that were met, with their product.
        let mut groups: Vec<(Form, Symbol, Vec<(usize, Pair)>)> = Vec::new();
        for (atom, symbol) in &form.terms {
            let Atom::Product(pair) = *atom else { continue };
            let Some((one, two)) = factors(products, pair) else { continue };
            for (a, b) in [(one, two), (two, one)] {
                let Some(at) = velocity.iter().position(|v| *v == products.arrays[a]) else { continue };
                let Some(carried) = integral(&products.arrays[b], axes[at]) else { continue };
                match groups.iter_mut().find(|g| g.0 == carried && g.1 == *symbol) {
                    Some(group) => group.2.push((at, pair)),
                    None => groups.push((carried, symbol.clone(), vec![(at, pair)])),
                }
                break;
            }
        }
        for (carried, symbol, mut met) in groups {
            met.sort_unstable();
            if !met.iter().map(|m| m.0).eq(0..axes.len()) {
                continue;
            }
            for (at, pair) in met {
                form.insert(Atom::Product(pair), &symbol.scaled(Complex::new(-1.0, 0.0)));
                let flux = products.multiply(&velocity[at], &carried);
                form.add(&flux.applied(&Symbol::derivative(axes[at]).times(&symbol)));
            }
        }
    }
}
