//! Linear operators with constant coefficients: polynomials in i k and 1/Δ, and the mean.

use std::collections::BTreeMap;

use num_complex::Complex;

use super::graph::{Function, Graph};
use super::pair::Pair;

/// ∂₀^p₀ ∂₁^p₁ ∂₂^p₂ Δ^−inverse, or the mean over the box. Δ^−1 maps the mean to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Monomial {
    /// Powers of the derivatives along the internal axes.
    pub powers: [u32; 3],
    pub inverse: u32,
    pub mean: bool,
    /// Dimension of the box, where there is an inverse; else 0.
    pub dimension: usize,
}

impl Monomial {
    /// How fast it grows with |k|.
    pub fn order(&self) -> i64 {
        self.powers.iter().map(|&p| i64::from(p)).sum::<i64>() - 2 * i64::from(self.inverse)
    }

    /// i^(sum of powers), without the wavenumbers.
    fn phase(&self) -> Complex<f64> {
        match self.powers.iter().sum::<u32>() % 4 {
            0 => Complex::new(1.0, 0.0),
            1 => Complex::new(0.0, 1.0),
            2 => Complex::new(-1.0, 0.0),
            _ => Complex::new(0.0, -1.0),
        }
    }

    /// Its Fourier symbol at wavenumber k.
    pub fn value(&self, k: [f64; 3]) -> Complex<f64> {
        let square: f64 = k.iter().map(|k| k * k).sum();
        if square == 0.0 && self.inverse > 0 || square != 0.0 && self.mean {
            return Complex::new(0.0, 0.0);
        }
        let mut value = 1.0;
        for (k, &power) in k.iter().zip(&self.powers) {
            (0..power).for_each(|_| value *= k);
        }
        (0..self.inverse).for_each(|_| value /= -square);
        self.phase() * value
    }
}

/// A linear combination of [`Monomial`]s.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Symbol {
    pub terms: BTreeMap<Monomial, Complex<f64>>,
}

impl Symbol {
    pub fn zero() -> Symbol {
        Symbol::default()
    }

    pub fn number(c: Complex<f64>) -> Symbol {
        Symbol::of(Monomial::default(), c)
    }

    pub fn one() -> Symbol {
        Symbol::number(Complex::new(1.0, 0.0))
    }

    fn of(monomial: Monomial, c: Complex<f64>) -> Symbol {
        let mut symbol = Symbol::zero();
        symbol.insert(monomial, c);
        symbol
    }

    pub fn derivative(axis: usize) -> Symbol {
        let mut monomial = Monomial::default();
        monomial.powers[axis] = 1;
        Symbol::of(monomial, Complex::new(1.0, 0.0))
    }

    pub fn laplacian(dimension: usize) -> Symbol {
        let mut symbol = Symbol::zero();
        for axis in 3 - dimension..3 {
            let mut monomial = Monomial::default();
            monomial.powers[axis] = 2;
            symbol.insert(monomial, Complex::new(1.0, 0.0));
        }
        symbol
    }

    pub fn inverse_laplacian(dimension: usize) -> Symbol {
        Symbol::of(Monomial { inverse: 1, dimension, ..Monomial::default() }, Complex::new(1.0, 0.0))
    }

    pub fn mean() -> Symbol {
        Symbol::of(Monomial { mean: true, ..Monomial::default() }, Complex::new(1.0, 0.0))
    }

    pub fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    /// The coefficient of the identity.
    pub fn identity(&self) -> Complex<f64> {
        self.coefficient(&Monomial::default())
    }

    pub fn coefficient(&self, monomial: &Monomial) -> Complex<f64> {
        self.terms.get(monomial).copied().unwrap_or_default()
    }

    pub fn insert(&mut self, monomial: Monomial, c: Complex<f64>) {
        let sum = self.coefficient(&monomial) + c;
        if sum == Complex::new(0.0, 0.0) {
            self.terms.remove(&monomial);
        } else {
            self.terms.insert(monomial, sum);
        }
    }

    pub fn add(&mut self, other: &Symbol) {
        other.terms.iter().for_each(|(m, c)| self.insert(*m, *c));
    }

    pub fn scaled(&self, c: Complex<f64>) -> Symbol {
        let mut symbol = Symbol::zero();
        self.terms.iter().for_each(|(m, d)| symbol.insert(*m, c * d));
        symbol
    }

    /// The operator that maps the conjugate of a field to that of its image: derivatives are real.
    pub fn conjugated(&self) -> Symbol {
        Symbol { terms: self.terms.iter().map(|(m, c)| (*m, c.conj())).collect() }
    }

    /// The product, in the form in which ∂₂² Δ^−1 is written 1 − mean − ∂₀² Δ^−1 − ∂₁² Δ^−1, so that equal operators
    /// have equal terms.
    pub fn times(&self, other: &Symbol) -> Symbol {
        let mut product = Symbol::zero();
        for (a, c) in &self.terms {
            for (b, d) in &other.terms {
                let both = Monomial {
                    powers: std::array::from_fn(|i| a.powers[i] + b.powers[i]),
                    inverse: a.inverse + b.inverse,
                    mean: a.mean || b.mean,
                    dimension: a.dimension.max(b.dimension),
                };
                product.insert_reduced(both, c * d);
            }
        }
        product
    }

    fn insert_reduced(&mut self, m: Monomial, c: Complex<f64>) {
        if m.mean {
            if m.inverse == 0 && m.powers == [0; 3] {
                self.insert(Monomial { dimension: 0, ..m }, c);
            }
            return;
        }
        if m.inverse == 0 || m.powers[2] < 2 {
            self.insert(m, c);
            return;
        }
        let mut rest = m;
        rest.powers[2] -= 2;
        // Δ Δ^−n = Δ^−(n−1), but for the last one 1 − mean.
        let mut lower = Monomial { inverse: m.inverse - 1, ..rest };
        if lower.inverse == 0 {
            lower.dimension = 0;
        }
        self.insert_reduced(lower, c);
        if lower.inverse == 0 {
            self.insert_reduced(Monomial { mean: true, ..lower }, -c);
        }
        for axis in 3 - m.dimension..2 {
            let mut other = rest;
            other.powers[axis] += 2;
            self.insert_reduced(other, -c);
        }
    }

    pub fn value(&self, k: [f64; 3]) -> Complex<f64> {
        self.terms.iter().map(|(m, c)| m.value(k) * c).sum()
    }

    /// True when its values at all wavenumbers are real.
    pub fn is_real(&self) -> bool {
        self.terms.iter().all(|(m, c)| (c * m.phase()).im == 0.0)
    }

    /// As a formula of the wavenumbers (the coordinates of `graph`).
    pub fn formula(&self, graph: &mut Graph) -> Pair {
        let mut sum = graph.pair(Complex::new(0.0, 0.0));
        for (m, c) in &self.terms {
            let mut value = graph.constant(1.0);
            for axis in 0..3 {
                let k = graph.coordinate(axis);
                let power = graph.constant(m.powers[axis].into());
                let power = graph.pow(k, power);
                value = graph.mul(value, power);
            }
            if m.inverse > 0 || m.mean {
                let mut square = graph.constant(0.0);
                for axis in 0..3 {
                    let k = graph.coordinate(axis);
                    let k = graph.mul(k, k);
                    square = graph.add(square, k);
                }
                if m.mean {
                    let mean = graph.call(Function::IsZero, square);
                    value = graph.mul(value, mean);
                } else {
                    let reciprocal = graph.call(Function::Reciprocal, square);
                    let minus = graph.neg(reciprocal);
                    let power = graph.constant(m.inverse.into());
                    let power = graph.pow(minus, power);
                    value = graph.mul(value, power);
                }
            }
            let phase = c * m.phase();
            let (re, im) = (graph.constant(phase.re), graph.constant(phase.im));
            let term = Pair { re: graph.mul(re, value), im: graph.mul(im, value) };
            sum = graph.pair_add(sum, term);
        }
        sum
    }
}

/// Expresses the columns of a matrix (given by rows) by as few of them as possible: the pivots, first come first
/// served, and for each pivot its weight in every column.
pub fn column_basis(mut rows: Vec<Vec<Complex<f64>>>, columns: usize) -> (Vec<usize>, Vec<Vec<Complex<f64>>>) {
    /// What rounding may leave of a zero, relative to the largest entry of a row.
    const ZERO: f64 = 1e-12;
    for row in &mut rows {
        let largest = row.iter().map(|z| z.norm()).fold(0.0, f64::max);
        if largest > 0.0 {
            row.iter_mut().for_each(|z| *z /= largest);
        }
    }
    let mut pivots = Vec::new();
    for column in 0..columns {
        let done = pivots.len();
        let best = (done..rows.len())
            .max_by(|&a, &b| rows[a][column].norm().total_cmp(&rows[b][column].norm()).then(b.cmp(&a)));
        let Some(best) = best.filter(|&r| rows[r][column].norm() > ZERO) else {
            continue;
        };
        rows.swap(done, best);
        let pivot = rows[done][column];
        rows[done].iter_mut().for_each(|z| *z /= pivot);
        let chosen = rows[done].clone();
        for (r, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if r != done && factor.norm() > 0.0 {
                row.iter_mut().zip(&chosen).for_each(|(z, c)| *z -= factor * c);
            }
        }
        pivots.push(column);
    }
    rows.truncate(pivots.len());
    let clean = |x: f64| if (x - x.round()).abs() < ZERO { x.round() + 0.0 } else { x };
    for z in rows.iter_mut().flatten() {
        *z = Complex::new(clean(z.re), clean(z.im));
    }
    (pivots, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_laplacian_but_for_the_mean() {
        for dimension in 1..=3 {
            let product = Symbol::laplacian(dimension).times(&Symbol::inverse_laplacian(dimension));
            let mut expected = Symbol::one();
            expected.add(&Symbol::mean().scaled(Complex::new(-1.0, 0.0)));
            assert_eq!(product, expected, "{dimension}");
        }
    }

    #[test]
    fn products_of_symbols_are_products_of_their_values() {
        let (x, y, z) = (Symbol::derivative(0), Symbol::derivative(1), Symbol::derivative(2));
        let inverse = Symbol::inverse_laplacian(3);
        let product = x.times(&y).times(&z).times(&z).times(&z).times(&inverse).times(&inverse);
        for k in [[1.0, 2.0, 3.0], [0.0, 1.0, -2.0], [0.0; 3], [0.5, -0.25, 1.0]] {
            let [a, b, c] = k.map(|k| Complex::new(0.0, k));
            let square: f64 = k.iter().map(|k| k * k).sum();
            let exact = if square == 0.0 { Complex::new(0.0, 0.0) } else { a * b * c * c * c / (square * square) };
            assert!((product.value(k) - exact).norm() < 1e-15, "{k:?}");
            let mut graph = Graph::default();
            let formula = product.formula(&mut graph);
            let part = |id| graph.value(id, k, 0.0, &|_| 0.0);
            assert!((Complex::new(part(formula.re), part(formula.im)) - exact).norm() < 1e-15, "{k:?}");
        }
    }

    #[test]
    fn a_dependent_column_is_written_by_its_pivots() {
        let c = |x: f64| Complex::new(x, 0.0);
        // Third column = first − 2 second.
        let rows = vec![vec![c(1.0), c(0.0), c(1.0)], vec![c(1.0), c(3.0), c(-5.0)], vec![c(0.0), c(1.0), c(-2.0)]];
        let (pivots, weights) = column_basis(rows, 3);
        assert_eq!(pivots, [0, 1]);
        assert_eq!((weights[0][2], weights[1][2]), (c(1.0), c(-2.0)));
    }
}
