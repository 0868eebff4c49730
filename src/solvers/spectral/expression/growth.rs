//! Whether the linear part is well posed: its growth rates must not rise without bound with the wavenumber.

use ndarray::Array2;
use ndarray_linalg::EigVals;
use num_complex::Complex;

use super::symbol::Symbol;

/// Directions in which |k| is taken to infinity: all with entries −1, 0, 1 and some between.
fn directions(dimension: usize) -> Vec<[f64; 3]> {
    let steps = [0.0, 1.0, -1.0, 0.5, -0.5];
    let mut list = Vec::new();
    for a in steps {
        for b in steps {
            for c in steps {
                let all = [a, b, c];
                if (0..3 - dimension).all(|i| all[i] == 0.0) && all != [0.0; 3] {
                    list.push(all);
                }
            }
        }
    }
    list
}

/// The fastest growing part of an operator as |k| → ∞: order and coefficient of |k|^order in Re λ, where positive in
/// some direction and no higher order damps it.
pub fn growth(symbol: &Symbol, dimension: usize) -> Option<(i64, f64)> {
    let mut worst: Option<(i64, f64)> = None;
    for direction in directions(dimension) {
        let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        let unit = direction.map(|d| d / length);
        let mut orders: Vec<i64> =
            symbol.terms.keys().filter(|m| !m.mean).map(|m| m.order()).filter(|&o| o > 0).collect();
        orders.sort_unstable();
        orders.dedup();
        for &order in orders.iter().rev() {
            let parts = || symbol.terms.iter().filter(|(m, _)| !m.mean && m.order() == order);
            let values: Vec<Complex<f64>> = parts().map(|(m, c)| m.value(unit) * c).collect();
            let (rate, size) = (values.iter().map(|v| v.re).sum::<f64>(), values.iter().map(|v| v.norm()).sum::<f64>());
            if rate.abs() <= 1e-12 * size {
                continue;
            }
            if rate > 0.0 && worst.is_none_or(|w| (order, rate) > w) {
                worst = Some((order, rate));
            }
            break;
        }
    }
    worst
}

/// Whether the growth rates of a block L(k) rise without bound; `block` fills L row by row.
pub fn block_grows(fields: usize, dimension: usize, block: impl Fn([f64; 3], &mut [Complex<f64>])) -> bool {
    /// Wavenumbers that stand for infinity.
    const FAR: [f64; 2] = [1e6, 8e6];
    let rate = |k: [f64; 3]| {
        let mut entries = vec![Complex::new(0.0, 0.0); fields * fields];
        block(k, &mut entries);
        let matrix = Array2::from_shape_vec((fields, fields), entries).expect("F × F entries");
        let values = matrix.eigvals().map(|v| v.to_vec()).unwrap_or_default();
        let largest = values.iter().map(|v| v.norm()).fold(0.0, f64::max);
        let growth = values.iter().map(|v| v.re).fold(f64::NEG_INFINITY, f64::max);
        (growth, largest)
    };
    directions(dimension).into_iter().any(|d| {
        let [(near, _), (far, size)] = FAR.map(|k| rate(d.map(|d| d * k)));
        // Rounding leaves the eigenvalues uncertain by a small part of the largest.
        far > 1e-11 * size && far > 2.0 * near.max(0.0) && far > 1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lap(power: u32, c: f64) -> Symbol {
        let mut symbol = Symbol::one();
        (0..power).for_each(|_| symbol = symbol.times(&Symbol::laplacian(2)));
        symbol.scaled(Complex::new(c, 0.0))
    }

    #[test]
    fn the_highest_real_order_decides() {
        let sum = |a: Symbol, b: Symbol| {
            let mut sum = a;
            sum.add(&b);
            sum
        };
        assert_eq!(growth(&lap(1, 0.1), 2), None);
        assert!(matches!(growth(&lap(1, -0.1), 2), Some((2, r)) if (r - 0.1).abs() < 1e-15));
        // −Δ − Δ²: k² − k⁴ is bounded; a third derivative is imaginary and decides nothing.
        assert_eq!(growth(&sum(lap(1, -1.0), lap(2, -1.0)), 2), None);
        let third = Symbol::derivative(2).times(&Symbol::derivative(2)).times(&Symbol::derivative(2));
        assert_eq!(growth(&third, 2), None);
        assert!(growth(&sum(third, lap(1, -1.0)), 2).is_some());
        // ∂x² − ∂y² grows along y only.
        let x = Symbol::derivative(1).times(&Symbol::derivative(1));
        let y = Symbol::derivative(2).times(&Symbol::derivative(2)).scaled(Complex::new(-1.0, 0.0));
        assert!(matches!(growth(&sum(x, y), 2), Some((2, r)) if (r - 1.0).abs() < 1e-12));
    }

    #[test]
    fn a_wave_block_is_bounded_and_an_elliptic_one_is_not() {
        let block = |sign: f64| {
            move |k: [f64; 3], l: &mut [Complex<f64>]| {
                let square: f64 = k.iter().map(|k| k * k).sum();
                let entries = [0.0, 1.0, sign * square, 0.0];
                l.iter_mut().zip(entries).for_each(|(l, e)| *l = Complex::new(e, 0.0));
            }
        };
        assert!(!block_grows(2, 3, block(-1.0)));
        assert!(block_grows(2, 3, block(1.0)));
    }
}
