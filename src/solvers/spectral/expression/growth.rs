//! Whether the linear part is well posed: its growth rates must not rise without bound with the wavenumber.
//!
//! Fields that do not couple back to each other are judged apart. For one alone the orders of its operator decide, in
//! each direction the highest one that is not imaginary there. Where several couple, the largest real part of the
//! eigenvalues is followed over magnitudes of k, at each of them in the direction in which it is largest, as far as it
//! stands out of rounding.

use std::f64::consts::{LN_2, PI};

use num_complex::Complex;

use super::super::linear::eigenvalues;
use super::directions::{Directions, tangents};
use super::symbol::Symbol;
use crate::math::elementary;

/// The growth of one field as |k| → ∞: rate · |k|^order in the direction in which it is fastest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    pub order: i64,
    pub rate: f64,
    pub direction: [f64; 3],
}

/// Fields (rows of the matrix) whose growth rates rise without bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Unbounded {
    pub fields: Vec<usize>,
    /// Where it is one field that grows by itself.
    pub alone: Option<Growth>,
}

/// A linear relation Σ g_f u_f = 0 that is kept by projection.
pub type Relation = Vec<(usize, Symbol)>;

/// The fields of a matrix of operators that grow without bound, first those that do so by themselves. `unit` is the
/// smallest wavenumber of the box.
pub fn unbounded(matrix: &[Vec<Symbol>], relations: &[Relation], dimension: usize, unit: f64) -> Option<Unbounded> {
    let directions = Directions::new(dimension);
    let groups = groups(matrix, relations);
    let alone = |g: &&Vec<usize>| g.len() == 1;
    let worst = groups
        .iter()
        .filter(alone)
        .filter_map(|g| growth(&matrix[g[0]][g[0]], &directions).map(|growth| (g[0], growth)))
        .max_by(|(_, a), (_, b)| a.order.cmp(&b.order).then(a.rate.total_cmp(&b.rate)));
    if let Some((field, growth)) = worst {
        return Some(Unbounded { fields: vec![field], alone: Some(growth) });
    }
    let found = groups.iter().filter(|g| !alone(g)).find(|group| {
        let coupled = Coupled::new(matrix, relations, group);
        rises_without_bound(&coupled.largest_rates(&directions, unit))
    })?;
    Some(Unbounded { fields: found.clone(), alone: None })
}

/// Fields that couple to each other both ways, directly or through others.
fn groups(matrix: &[Vec<Symbol>], relations: &[Relation]) -> Vec<Vec<usize>> {
    let fields = matrix.len();
    let mut reach: Vec<Vec<bool>> =
        matrix.iter().enumerate().map(|(f, row)| (0..fields).map(|g| f == g || !row[g].is_zero()).collect()).collect();
    for relation in relations.iter().filter(|r| !commutes(matrix, r)) {
        for &(f, _) in relation {
            relation.iter().for_each(|&(g, _)| reach[f][g] = true);
        }
    }
    for via in 0..fields {
        for f in 0..fields {
            if reach[f][via] {
                for g in 0..fields {
                    reach[f][g] |= reach[via][g];
                }
            }
        }
    }
    let both = |f: usize, g: usize| reach[f][g] && reach[g][f];
    let first = (0..fields).filter(|&f| (0..f).all(|g| !both(f, g)));
    first.map(|f| (f..fields).filter(|&g| both(f, g)).collect()).collect()
}

/// True where all fields of a relation have the same operator and no other: it commutes with the projection.
fn commutes(matrix: &[Vec<Symbol>], relation: &Relation) -> bool {
    relation.iter().all(|&(f, _)| {
        let own = |g: usize| {
            if g == f { matrix[f][f] == matrix[relation[0].0][relation[0].0] } else { matrix[f][g].is_zero() }
        };
        (0..matrix.len()).all(own)
    })
}

/// Real part of the terms of one order at a direction, and the sum of their sizes.
fn at_order(symbol: &Symbol, order: i64, direction: [f64; 3]) -> (f64, f64) {
    let parts = symbol.terms.iter().filter(|(m, _)| !m.mean && m.order() == order);
    parts.map(|(m, c)| m.value(direction) * c).fold((0.0, 0.0), |(rate, size), v| (rate + v.re, size + v.norm()))
}

impl Growth {
    /// How much an operator adds to it.
    pub fn share(&self, symbol: &Symbol) -> f64 {
        at_order(symbol, self.order, self.direction).0
    }
}

/// The fastest growing part of an operator as |k| → ∞, where positive in some direction and no higher order damps it.
fn growth(symbol: &Symbol, directions: &Directions) -> Option<Growth> {
    /// What rounding may leave of a sum that vanishes, relative to its terms.
    const ZERO: f64 = 1e-12;
    let mut orders: Vec<i64> = symbol.terms.keys().filter(|m| !m.mean).map(|m| m.order()).filter(|&o| o > 0).collect();
    orders.sort_unstable();
    orders.dedup();
    // Also where an order is largest: it may be positive in a narrow cone, or vanish there and leave it to the next.
    let mut places = directions.places.clone();
    for &order in &orders {
        let rate = |d: [f64; 3]| at_order(symbol, order, d).0;
        let values: Vec<f64> = directions.places.iter().map(|&d| rate(d)).collect();
        for peak in directions.peaks(&values) {
            places.push(directions.climb(directions.places[peak], values[peak], directions.spacing, FINE, &rate).0);
        }
    }
    let mut worst: Option<Growth> = None;
    for direction in places {
        let parts = orders.iter().rev().map(|&order| (order, at_order(symbol, order, direction)));
        let decisive = parts.into_iter().find(|(_, (rate, size))| rate.abs() > ZERO * size);
        if let Some((order, (rate, _))) = decisive
            && rate > 0.0
            && worst.is_none_or(|w| (order, rate) > (w.order, w.rate))
        {
            worst = Some(Growth { order, rate, direction });
        }
    }
    worst
}

/// Angles to which directions are found: of growth, and of meetings of eigenvalues.
const FINE: f64 = 1e-9;
const COARSE: f64 = 1e-6;

/// Fields that couple to each other.
struct Coupled {
    fields: usize,
    /// What all fields have on the diagonal: it shifts the eigenvalues, and costs no digits if it is added to them.
    common: Symbol,
    /// The rest, row by row.
    entries: Vec<Symbol>,
    relations: Vec<Relation>,
}

/// The eigenvalues at one wavenumber.
#[derive(Debug, Clone, Copy)]
struct Spectrum {
    /// Largest real part.
    rate: f64,
    /// Least distance of two that differ, relative to the matrix; infinite where there are none.
    gap: f64,
}

/// The largest growth rate at a magnitude of k, and what it may be wrong by.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    rate: f64,
    error: f64,
}

impl Coupled {
    fn new(matrix: &[Vec<Symbol>], relations: &[Relation], group: &[usize]) -> Coupled {
        let local = |f: usize| group.iter().position(|&g| g == f);
        let relations: Vec<Relation> = relations
            .iter()
            .filter(|r| !commutes(matrix, r))
            .filter_map(|r| r.iter().map(|(f, s)| Some((local(*f)?, s.clone()))).collect())
            .collect();
        let mut common = Symbol::zero();
        // A projection takes the shift away from what it removes.
        if relations.is_empty() {
            let first = &matrix[group[0]][group[0]];
            let shared = first.terms.iter().filter(|(m, c)| group.iter().all(|&f| matrix[f][f].coefficient(m) == **c));
            shared.for_each(|(m, c)| common.insert(*m, *c));
        }
        let minus = common.scaled(Complex::new(-1.0, 0.0));
        let entry = |f: usize, g: usize| {
            let mut entry = matrix[f][g].clone();
            if f == g {
                entry.add(&minus);
            }
            entry
        };
        let entries =
            group.iter().flat_map(|&f| group.iter().map(move |&g| (f, g))).map(|(f, g)| entry(f, g)).collect();
        Coupled { fields: group.len(), common, entries, relations }
    }

    /// P L P at a wavenumber with P = 1 − g* gᵀ/|g|² for each relation, balanced, and the size of the terms that it is
    /// a sum of, which rounding goes by.
    fn at(&self, k: [f64; 3]) -> (Vec<Complex<f64>>, f64) {
        let n = self.fields;
        let mut entries: Vec<Complex<f64>> = self.entries.iter().map(|s| s.value(k)).collect();
        let terms = |s: &Symbol| s.terms.iter().map(|(m, c)| (m.value(k) * c).norm()).sum();
        let mut sizes: Vec<f64> = self.entries.iter().map(terms).collect();
        for relation in &self.relations {
            let g: Vec<(usize, Complex<f64>)> = relation.iter().map(|(f, s)| (*f, s.value(k))).collect();
            let square: f64 = g.iter().map(|(_, g)| g.norm_sqr()).sum();
            if square == 0.0 {
                continue;
            }
            for column in 0..n {
                let sum: Complex<f64> = g.iter().map(|&(f, g)| g * entries[f * n + column]).sum();
                g.iter().for_each(|&(f, g)| entries[f * n + column] -= g.conj() * sum / square);
            }
            for row in 0..n {
                let sum: Complex<f64> = g.iter().map(|&(f, g)| entries[row * n + f] * g.conj()).sum();
                g.iter().for_each(|&(f, g)| entries[row * n + f] -= sum * g / square);
            }
            for other in 0..n {
                let sum: f64 = g.iter().map(|&(f, _)| sizes[f * n + other]).sum();
                g.iter().for_each(|&(f, _)| sizes[f * n + other] = sum);
            }
            for other in 0..n {
                let sum: f64 = g.iter().map(|&(f, _)| sizes[other * n + f]).sum();
                g.iter().for_each(|&(f, _)| sizes[other * n + f] = sum);
            }
        }
        balance(n, &mut sizes, &mut entries);
        (entries, sizes.iter().map(|s| s * s).sum::<f64>().sqrt())
    }

    fn spectrum(&self, k: [f64; 3]) -> Option<Spectrum> {
        let (entries, size) = self.at(k);
        let mut found = spectrum(self.fields, entries, size)?;
        found.rate += self.common.value(k).re;
        Some(found)
    }

    /// The largest growth rate of all directions at magnitudes of k from the smallest on.
    fn largest_rates(&self, directions: &Directions, unit: f64) -> Vec<Rate> {
        /// Magnitudes up to 2³⁰ times the smallest: beyond the points that an axis can have.
        const MAGNITUDES: i32 = 7;
        (0..MAGNITUDES).map(|n| self.largest_rate(directions, unit * RATIO.powi(n))).collect()
    }

    fn largest_rate(&self, directions: &Directions, k: f64) -> Rate {
        let unknown = Rate { rate: 0.0, error: f64::INFINITY };
        let look = |d: [f64; 3]| self.spectrum(d.map(|d| d * k));
        let rate = |d: [f64; 3]| look(d).map_or(f64::NEG_INFINITY, |s| s.rate);
        let closeness = |d: [f64; 3]| look(d).map_or(f64::NEG_INFINITY, |s| -s.gap);
        let spectra: Vec<Option<Spectrum>> = directions.places.iter().map(|&d| look(d)).collect();
        let Some(spectra) = spectra.into_iter().collect::<Option<Vec<Spectrum>>>() else { return unknown };
        let mut best = (directions.places[0], f64::NEG_INFINITY);
        let keep = |best: &mut ([f64; 3], f64), found: ([f64; 3], f64)| {
            if found.1 > best.1 {
                *best = found;
            }
        };
        let rates: Vec<f64> = spectra.iter().map(|s| s.rate).collect();
        for peak in directions.peaks(&rates) {
            keep(&mut best, directions.climb(directions.places[peak], rates[peak], directions.spacing, FINE, &rate));
        }
        // Growth in a narrow cone begins where two eigenvalues meet: look on all sides of such places.
        let gaps: Vec<f64> = spectra.iter().map(|s| -s.gap).collect();
        for peak in directions.peaks(&gaps).into_iter().filter(|&p| gaps[p].is_finite()) {
            let (meeting, _) =
                directions.climb(directions.places[peak], gaps[peak], directions.spacing, COARSE, &closeness);
            for tangent in tangents(meeting, directions.dimension) {
                let mut width = directions.spacing;
                for _ in 0..16 {
                    let aside = directions.beside(meeting, tangent, width);
                    let here = rate(aside);
                    if here > best.1 {
                        keep(&mut best, directions.climb(aside, here, width / 2.0, FINE, &rate));
                    }
                    width /= 2.0;
                }
            }
        }
        let at = best.0.map(|d| d * k);
        let Some(error) = self.error(at) else { return unknown };
        Rate { rate: best.1, error }
    }

    /// What rounding may do to the growth rate at a wavenumber: what a larger change of the matrix does, times a factor.
    /// So eigenvalues without a full set of eigenvectors, which rounding moves by a root of itself, are not believed.
    fn error(&self, k: [f64; 3]) -> Option<f64> {
        const CHANGE: f64 = 1e-13;
        const FACTOR: f64 = 30.0;
        /// The golden ratio: parts of a turn that do not come back.
        const TURN: f64 = 0.618_033_988_749_894_9;
        let (entries, size) = self.at(k);
        let exact = spectrum(self.fields, entries.clone(), size)?.rate;
        let mut moved: f64 = 0.0;
        for pass in 0..3 {
            let change = |(n, z): (usize, &Complex<f64>)| {
                let angle = 2.0 * PI * (TURN * (1 + n + pass * entries.len()) as f64).fract();
                z + CHANGE * size * Complex::new(elementary::cos(angle), elementary::sin(angle))
            };
            let changed = spectrum(self.fields, entries.iter().enumerate().map(change).collect(), size)?;
            moved = moved.max((changed.rate - exact).abs());
        }
        let shift: f64 = self.common.terms.iter().map(|(m, c)| (m.value(k) * c).re.abs()).sum();
        Some(FACTOR * moved + CHANGE * size + 1e-15 * shift)
    }
}

/// Scales fields by powers of 2 until each row of `sizes` is about as large as its column: eigenvalues stay, rounding
/// shrinks.
fn balance(n: usize, sizes: &mut [f64], entries: &mut [Complex<f64>]) {
    for _ in 0..20 {
        let mut changed = false;
        for f in 0..n {
            let others = || (0..n).filter(|&g| g != f);
            let row: f64 = others().map(|g| sizes[f * n + g]).sum();
            let column: f64 = others().map(|g| sizes[g * n + f]).sum();
            if !(row > 0.0 && column > 0.0 && row.is_finite() && column.is_finite()) {
                continue;
            }
            // The power of 2 next to √(row/column).
            let scale = elementary::exp2((elementary::ln(row / column) / (2.0 * LN_2)).round());
            if column * scale + row / scale < 0.95 * (column + row) {
                changed = true;
                for g in others() {
                    sizes[f * n + g] /= scale;
                    sizes[g * n + f] *= scale;
                    entries[f * n + g] /= scale;
                    entries[g * n + f] *= scale;
                }
            }
        }
        if !changed {
            return;
        }
    }
}

/// The eigenvalues of a matrix of terms of a size; None: they cannot be computed.
fn spectrum(n: usize, entries: Vec<Complex<f64>>, size: f64) -> Option<Spectrum> {
    /// Eigenvalues closer than this, relative to the matrix, are one.
    const SAME: f64 = 1e-9;
    if !size.is_finite() {
        return None;
    }
    let values = eigenvalues(n, entries)?;
    let rate = values.iter().map(|v| v.re).fold(f64::NEG_INFINITY, f64::max);
    let mut gap = f64::INFINITY;
    for (i, a) in values.iter().enumerate() {
        for b in values.iter().skip(i + 1) {
            let apart = (a - b).norm() / size;
            if apart > SAME {
                gap = gap.min(apart);
            }
        }
    }
    Some(Spectrum { rate, gap })
}

/// Each magnitude of k over the one before.
const RATIO: f64 = 32.0;

/// Whether growth rates at rising magnitudes of k still rise where they are last known.
fn rises_without_bound(rates: &[Rate]) -> bool {
    /// |k|^0.1 and faster counts as rising: the eigenvalues of eight fields may go like |k|^{1/8}.
    const STEEP: f64 = 1.4;
    let known = |r: &Rate| r.rate > r.error;
    let Some(last) = rates.iter().rposition(known) else { return false };
    let rises = |n: usize| rates[n].rate >= STEEP * rates[n - 1].rate.max(0.0);
    // What comes after it is lost in rounding, but may also be seen to be less than the trend.
    let refuted = rates[last + 1..].iter().any(|r| r.rate + r.error < STEEP * rates[last].rate);
    last >= 2 && rises(last) && rises(last - 1) && !refuted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(x: f64) -> Symbol {
        Symbol::number(Complex::new(x, 0.0))
    }

    fn power(of: &Symbol, n: u32, c: f64) -> Symbol {
        (0..n).fold(number(c), |s, _| s.times(of))
    }

    fn sum(parts: &[Symbol]) -> Symbol {
        let mut sum = Symbol::zero();
        parts.iter().for_each(|p| sum.add(p));
        sum
    }

    fn bad(matrix: &[Vec<Symbol>], dimension: usize) -> bool {
        unbounded(matrix, &[], dimension, 1.0).is_some()
    }

    fn fastest(symbol: &Symbol, dimension: usize) -> Option<(i64, f64)> {
        unbounded(&[vec![symbol.clone()]], &[], dimension, 1.0).map(|u| u.alone.unwrap()).map(|g| (g.order, g.rate))
    }

    #[test]
    fn the_highest_real_order_decides() {
        let lap = Symbol::laplacian(2);
        let of = |n: u32, c: f64| power(&lap, n, c);
        assert_eq!(fastest(&of(1, 0.1), 2), None);
        assert!(matches!(fastest(&of(1, -0.1), 2), Some((2, r)) if (r - 0.1).abs() < 1e-12));
        // −Δ − Δ²: k² − k⁴ is bounded; a third derivative is imaginary and decides nothing.
        assert_eq!(fastest(&sum(&[of(1, -1.0), of(2, -1.0)]), 2), None);
        let third = power(&Symbol::derivative(2), 3, 1.0);
        assert_eq!(fastest(&third, 2), None);
        assert!(fastest(&sum(&[third, of(1, -1.0)]), 2).is_some());
        // ∂x² − ∂y² grows along y only.
        let (x, y) = (power(&Symbol::derivative(1), 2, 1.0), power(&Symbol::derivative(2), 2, -1.0));
        assert!(matches!(fastest(&sum(&[x, y]), 2), Some((2, r)) if (r - 1.0).abs() < 1e-12));
    }

    #[test]
    fn growth_in_a_narrow_cone_is_found_and_its_absence_believed() {
        for (dimension, third) in [(2, 0.0), (3, 0.17)] {
            let [x, y, z] = [2, 1, 0].map(Symbol::derivative);
            // (∂x − 0.3 ∂y − 0.17 ∂z)² damps all but one plane; a little anti-diffusion grows there.
            let across = sum(&[x, y.scaled(Complex::new(-0.3, 0.0)), z.scaled(Complex::new(-third, 0.0))]);
            let damping = across.times(&across);
            assert_eq!(fastest(&damping, dimension), None);
            let spread = power(&Symbol::laplacian(dimension), 1, -0.001);
            let (order, rate) = fastest(&sum(&[damping.clone(), spread.clone()]), dimension).unwrap();
            assert!(order == 2 && (rate - 0.001).abs() < 1e-9, "{rate}");
            let fourth = damping.times(&damping).scaled(Complex::new(-1.0, 0.0));
            assert_eq!(fastest(&fourth, dimension), None);
            let (order, rate) = fastest(&sum(&[fourth, spread]), dimension).unwrap();
            assert!(order == 2 && (rate - 0.001).abs() < 1e-6, "{rate}");
        }
    }

    #[test]
    fn waves_are_bounded_and_elliptic_pairs_are_not() {
        let [x, y] = [2, 1].map(Symbol::derivative);
        let turn = |s: &Symbol, c: f64| s.scaled(Complex::new(c, 0.0));
        let second = |sign: f64, dimension: usize| {
            vec![vec![Symbol::zero(), number(1.0)], vec![power(&Symbol::laplacian(dimension), 1, sign), Symbol::zero()]]
        };
        for dimension in 1..=3 {
            assert!(!bad(&second(1.0, dimension), dimension));
            assert!(bad(&second(-1.0, dimension), dimension));
        }
        // λ² = −(k_x − 0.3 k_y)(k_x − 0.31 k_y): waves but for a narrow cone.
        let factor = |c: f64| sum(&[x.clone(), turn(&y, -c)]);
        let pair = |c: f64| vec![vec![Symbol::zero(), factor(0.3)], vec![factor(c), Symbol::zero()]];
        assert!(bad(&pair(0.31), 2) && !bad(&pair(0.3), 2));
        // λ = ±√(ik): faster than any bound, though slowly.
        assert!(bad(&[vec![Symbol::zero(), x.clone()], vec![number(1.0), Symbol::zero()]], 1));
        // λ = 0 twice, with one eigenvector: rounding makes it ±√ε k.
        let [plus, minus] = [turn(&x, 1.0), turn(&x, -1.0)];
        assert!(!bad(&[vec![plus.clone(), plus.clone()], vec![minus.clone(), minus.clone()]], 1));
    }

    #[test]
    fn coupling_behind_dispersion_or_damping_is_seen() {
        let x = Symbol::derivative(2);
        let (third, one, minus) = (power(&x, 3, 1.0), x.clone(), x.scaled(Complex::new(-1.0, 0.0)));
        let none = Symbol::zero;
        let pair = |a: &Symbol, b: &Symbol| vec![vec![a.clone(), one.clone()], vec![minus.clone(), b.clone()]];
        // −ik³ ± k; with different dispersion the coupling does nothing.
        assert!(bad(&pair(&third, &third), 1));
        assert!(!bad(&pair(&third, &third.scaled(Complex::new(2.0, 0.0))), 1));
        // The same with a third field behind it that disperses otherwise, so that nothing can be taken out exactly.
        let mut three = pair(&third, &third);
        three.iter_mut().for_each(|row| row.push(number(1.0)));
        three.push(vec![number(1.0), number(1.0), none()]);
        assert!(bad(&three, 1));
        // Diffusion of both bounds it, and of one too: λ² + ν k² λ − k² = 0 goes to λ = 1/ν.
        let heat = power(&x, 2, 0.1);
        assert!(!bad(&pair(&heat, &heat), 1) && !bad(&pair(&heat, &none()), 1));
        // Growth that a damping of higher order takes back at far wavenumbers, and growth that is bounded.
        let back = sum(&[power(&x, 2, -1.0), power(&x, 4, -1e-8)]);
        assert!(!bad(&[vec![back.clone(), number(1.0)], vec![number(1.0), back]], 1));
        assert!(!bad(&[vec![none(), number(5.0)], vec![number(5.0), none()]], 1));
    }
}
