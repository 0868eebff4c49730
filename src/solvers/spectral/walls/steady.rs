//! Steady linear problems: ∇²u = f, ∇²u − λu = f, ∇⁴u = f, on periodic boxes and between walls.
//!
//! Periodic: a division per wavenumber. Between walls: the ultraspherical rows of each wavenumber, tridiagonal in each
//! parity, eliminated with partial pivoting (λ < 0 makes them indefinite); the boundary conditions, any two (four for
//! ∇⁴) of values and derivatives, determine the homogeneous solutions that are added.

use ndarray::Array2;
use ndarray_linalg::SVD;
use num_complex::Complex;
use rayon::prelude::*;

use super::geometry::Geometry;
use super::helmholtz::{LANES, Target, groups};
use super::input::Refusal;
use super::ultraspherical::{ROUNDING, at_wall, mean_of_product, second_derivative, solve_small, to_second};
use crate::solvers::spectral::domain::{Block, Domain};

type C = Complex<f64>;
const ZERO: C = Complex::new(0.0, 0.0);

/// The left-hand side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operator {
    /// ∇²u.
    Poisson,
    /// ∇²u − λu.
    Helmholtz(f64),
    /// ∇⁴u.
    Biharmonic,
}

impl Operator {
    /// λ; 0 where there is none.
    fn lambda(&self) -> f64 {
        if let Operator::Helmholtz(lambda) = self { *lambda } else { 0.0 }
    }

    /// Whether k² + λ is 0 to rounding of its parts.
    fn vanishes(&self, square: f64) -> bool {
        (square + self.lambda()).abs() <= 1e-12 * square.max(self.lambda().abs())
    }

    /// Conditions that each wall takes.
    pub fn conditions(&self) -> usize {
        if *self == Operator::Biharmonic { 2 } else { 1 }
    }
}

/// ∂^p u/∂z^p at a wall, as coefficients of its wavenumbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub derivative: usize,
    pub upper: bool,
    pub data: Vec<C>,
}

/// The key of f.
const RIGHT: &str = "right_hand_side";

/// What a right-hand side may hold where the operator has none, relative to its largest coefficient.
const COMPATIBLE: f64 = 1e-10;

/// The largest of the numbers that the parts of the box have; every part asks at once.
pub type OverAll<'a> = dyn Fn(f64) -> f64 + 'a;

/// The largest coefficient of all parts.
fn largest(u: &[C], over_all: &OverAll) -> f64 {
    over_all(u.iter().map(|z| z.norm()).fold(0.0, f64::max))
}

/// Solves in place on a periodic box: right-hand side in, solution out. A mode that the operator annihilates is set to
/// zero (the solution has no mean). Every part of the box at once.
///
/// # Errors
/// When the right-hand side holds such modes: the key and, in words with numbers, what is wrong; the same for every part.
pub fn solve_periodic(
    domain: &Domain,
    block: Block,
    operator: Operator,
    u: &mut [C],
    over_all: &OverAll,
) -> Result<(), Refusal> {
    let largest = largest(u, over_all);
    // Of the modes that the operator annihilates.
    let mut held = 0.0f64;
    let mut at = 0;
    for i in 0..block.count[0] {
        for j in 0..block.count[1] {
            for k in 0..block.count[2] {
                let index = [i, j, k];
                let waves: [f64; 3] = std::array::from_fn(|a| domain.axes[a].wavenumber(block.start[a] + index[a]));
                let square: f64 = waves.iter().map(|k| k * k).sum();
                let symbol = match operator {
                    Operator::Poisson => -square,
                    Operator::Helmholtz(lambda) => -square - lambda,
                    Operator::Biharmonic => square * square,
                };
                if operator.vanishes(square) {
                    held = held.max(u[at].norm());
                    u[at] = ZERO;
                } else {
                    u[at] /= symbol;
                }
                at += 1;
            }
        }
    }
    let held = over_all(held);
    if held <= COMPATIBLE * largest {
        return Ok(());
    }
    let what = match operator {
        Operator::Helmholtz(lambda) if lambda != 0.0 => {
            format!("waves with k² = {}, which ∇² − λ takes to zero", -lambda)
        }
        Operator::Biharmonic => "a mean, which ∇⁴ takes to zero".to_string(),
        _ => "a mean, which ∇² takes to zero".to_string(),
    };
    Err((RIGHT.into(), format!("there is no solution: it holds {what}: {held:.3e} of {largest:.3e}")))
}

/// Solves in place between walls: coefficients of f in, of u out. Every part of the box at once.
///
/// # Errors
/// When the conditions and f have no solution (such as slopes at both walls that do not balance the mean of f): the key
/// and what is wrong, for the parts that find it. Where there is one up to a function that keeps the conditions of f = 0
/// (a constant, a mode that λ is an eigenvalue of), it has no part along that: for the constant, its mean is zero.
pub fn solve_walls(
    geometry: &Geometry,
    operator: Operator,
    conditions: &[Condition],
    u: &mut [C],
    over_all: &OverAll,
) -> Result<(), Refusal> {
    let columns = geometry.columns();
    let n = geometry.degree;
    // What each condition is about, over all columns: its data, and what f alone makes of that derivative. What is rounding
    // beside it is nothing.
    let (f, order) = (largest(u, over_all), 2 * operator.conditions() as i32);
    let of_f = |derivative: usize| f * geometry.scale.powi(derivative as i32 - order);
    let sizes: Vec<f64> = conditions.iter().map(|c| largest(&c.data, over_all).max(of_f(c.derivative))).collect();
    let target = Target::new(u, columns);
    groups(columns)
        .map(|(_, at)| {
            let mut x = vec![[[0.0; LANES]; 2]; n + 1];
            // SAFETY: each group of columns is given to one thread.
            unsafe { target.load(at.clone(), &mut x) };
            for (l, q) in at.clone().enumerate() {
                let f: Vec<C> = x.iter().map(|x| C::new(x[0][l], x[1][l])).collect();
                let solution = solve_column(geometry, operator, conditions, &sizes, q, &f)?;
                for (x, u) in x.iter_mut().zip(&solution) {
                    (x[0][l], x[1][l]) = (u.re, u.im);
                }
            }
            unsafe { target.store(at, &x) };
            Ok(())
        })
        .collect::<Vec<Result<(), Refusal>>>()
        .into_iter()
        .collect()
}

fn solve_column(
    geometry: &Geometry,
    operator: Operator,
    conditions: &[Condition],
    sizes: &[f64],
    q: usize,
    f: &[C],
) -> Result<Vec<C>, Refusal> {
    let n = geometry.degree;
    let square = geometry.squares[q];
    let a = square + operator.lambda();
    let rows = Rows { a, b: geometry.scale * geometry.scale };
    let minus = |x: &[C]| -> Vec<C> { x.iter().map(|z| -z).collect() };
    // A particular solution, then homogeneous ones.
    let mut parts = Vec::new();
    if operator == Operator::Biharmonic {
        // ∇²u = φ with φ two degrees below.
        let mut middle = vec![rows.particular(n - 2, &minus(&f[..n - 1]))];
        middle.extend(rows.homogeneous(n - 2));
        for phi in &middle {
            parts.push(rows.particular(n, &minus(phi)));
        }
    } else {
        parts.push(rows.particular(n, &minus(f)));
    }
    parts.extend(rows.homogeneous(n));

    let row = |p: usize, upper: bool, u: &[C]| -> C {
        let slope = geometry.scale.powi(p as i32);
        u.iter().enumerate().map(|(j, u)| u * (slope * at_wall(p, upper, j))).sum()
    };
    let (particular, rest) = parts.split_first().expect("there is a particular solution");
    let mut matrix: Vec<Vec<f64>> = Vec::new();
    let mut right = Vec::new();
    let mut size = 0.0f64;
    for (condition, of_all) in conditions.iter().zip(sizes) {
        let entries: Vec<f64> = rest.iter().map(|u| row(condition.derivative, condition.upper, u).re).collect();
        let scale = entries.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
        matrix.push(entries.iter().map(|x| x / scale).collect());
        right.push((condition.data[q] - row(condition.derivative, condition.upper, particular)) / scale);
        size = size.max(of_all / scale);
    }
    let sum = |factors: &[C]| -> Vec<C> {
        let mut out = vec![ZERO; n + 1];
        for (u, factor) in rest.iter().zip(factors) {
            out.iter_mut().zip(u).for_each(|(out, u)| *out += u * factor);
        }
        out
    };
    let plus = |a: &[C], b: &[C], factor: C| -> Vec<C> { a.iter().zip(b).map(|(a, b)| a + b * factor).collect() };
    let one = C::new(1.0, 0.0);
    // Where ∇² − λ is definite, slopes determine the solution however small k² + λ is: the pivots do not cancel. Elsewhere
    // a small one says that a function keeps the conditions of f = 0.
    let definite = operator != Operator::Biharmonic && a > 0.0 && !operator.vanishes(square);
    let least = if definite { 0.0 } else { ROUNDING };
    if let Some(factors) = solve_small(matrix.clone(), right.clone(), least) {
        return Ok(plus(particular, &sum(&factors), one));
    }
    // One function keeps the conditions of f = 0: the conditions must balance, and the solution has no part along it.
    let Deficient { factors, off, null } = deficient(&matrix, &right).ok_or_else(|| {
        ("upper".to_string(), format!("the conditions do not determine the waves with k² = {square}"))
    })?;
    if off > 1e-9 * size {
        let message =
            format!("there is no solution: it and the conditions at the walls do not balance at k² = {square}");
        return Err((RIGHT.to_string(), message));
    }
    let (solution, free) = (plus(particular, &sum(&factors), one), sum(&null));
    Ok(plus(&solution, &free, -inner(&solution, &free) / inner(&free, &free)))
}

/// Mean over the height of u v.
fn inner(u: &[C], v: &[C]) -> C {
    let with_v = |i: usize| -> C { v.iter().enumerate().map(|(j, v)| v * mean_of_product(i, j)).sum() };
    u.iter().enumerate().map(|(i, u)| u * with_v(i)).sum()
}

/// Of equations whose matrix lacks one rank.
struct Deficient {
    /// Unknowns that come nearest to solving them.
    factors: Vec<C>,
    /// By how much these do not.
    off: f64,
    /// What may be added to them.
    null: Vec<C>,
}

/// None where the matrix lacks more than one rank.
fn deficient(matrix: &[Vec<f64>], right: &[C]) -> Option<Deficient> {
    let n = right.len();
    let whole = Array2::from_shape_fn((n, n), |(i, j)| matrix[i][j]);
    let (u, sizes, v) = whole.svd(true, true).ok()?;
    let (u, v) = (u?, v?);
    if sizes[n - 2] <= 1e-12 * sizes[0] {
        return None;
    }
    let along = |k: usize| -> C { (0..n).map(|i| right[i] * u[[i, k]]).sum() };
    let factor = |j: usize| -> C { (0..n - 1).map(|k| along(k) * (v[[k, j]] / sizes[k])).sum() };
    Some(Deficient {
        factors: (0..n).map(factor).collect(),
        off: along(n - 1).norm(),
        null: (0..n).map(|j| C::new(v[[n - 1, j]], 0.0)).collect(),
    })
}

/// (a − b d²/dξ²) in rows of C^(2).
struct Rows {
    a: f64,
    b: f64,
}

impl Rows {
    /// The solution for f (coefficients of T) without T_0 and T_1.
    fn particular(&self, degree: usize, f: &[C]) -> Vec<C> {
        let at = |j: usize| if j <= degree { f.get(j).copied().unwrap_or(ZERO) } else { ZERO };
        self.eliminate(degree, |r| {
            let s = to_second(r);
            at(r) * s[0] + at(r + 2) * s[1] + at(r + 4) * s[2]
        })
    }

    /// The solutions for f = 0 that start with T_0 and with T_1.
    fn homogeneous(&self, degree: usize) -> [Vec<C>; 2] {
        [0, 1].map(|p| {
            let mut u = self.eliminate(degree, |r| C::new(if r == p { -self.a * to_second(p)[0] } else { 0.0 }, 0.0));
            u[p] = C::new(1.0, 0.0);
            u
        })
    }

    /// Tridiagonal elimination with partial pivoting in each parity.
    fn eliminate(&self, degree: usize, right: impl Fn(usize) -> C) -> Vec<C> {
        let mut out = vec![ZERO; degree + 1];
        for p in 0..2 {
            let rows: Vec<usize> = (p..degree - 1).step_by(2).collect();
            let m = rows.len();
            if m == 0 {
                continue;
            }
            let lower: Vec<f64> = rows.iter().map(|&r| self.a * to_second(r)[0]).collect();
            let mut diagonal: Vec<f64> =
                rows.iter().map(|&r| self.a * to_second(r)[1] - self.b * second_derivative(r)).collect();
            let mut upper: Vec<f64> = rows.iter().map(|&r| self.a * to_second(r)[2]).collect();
            upper[m - 1] = 0.0;
            let mut second = vec![0.0; m];
            let mut x: Vec<C> = rows.iter().map(|&r| right(r)).collect();
            for i in 0..m - 1 {
                let mut below = [lower[i + 1], diagonal[i + 1], upper[i + 1]];
                if below[0].abs() > diagonal[i].abs() {
                    let mine = [diagonal[i], upper[i], second[i]];
                    [diagonal[i], upper[i], second[i]] = below;
                    below = mine;
                    x.swap(i, i + 1);
                }
                let factor = below[0] / diagonal[i];
                diagonal[i + 1] = below[1] - factor * upper[i];
                upper[i + 1] = below[2] - factor * second[i];
                let above = x[i];
                x[i + 1] -= above * factor;
            }
            for i in (0..m).rev() {
                let mut sum = x[i];
                if i + 1 < m {
                    sum -= x[i + 1] * upper[i];
                }
                if i + 2 < m {
                    sum -= x[i + 2] * second[i];
                }
                x[i] = sum / diagonal[i];
                out[rows[i] + 2] = x[i];
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::domain::{Axis, Basis};
    use crate::solvers::spectral::transform::{Reference, Scales, Transform};
    use crate::solvers::spectral::walls::geometry::domain;
    use crate::solvers::spectral::walls::ultraspherical::mean;
    use crate::team::{Solo, Team, threads};

    fn project(transform: &mut Reference<f64>, f: impl Fn([f64; 3]) -> f64) -> Vec<C> {
        let scales = Scales::coordinates(transform.domain(), transform.points());
        let mut values = vec![0.0; transform.points().len()];
        for (tile, at) in scales.tiles(4096) {
            let part = &mut values[at];
            tile.for_each(|i, x| part[i] = f(x));
        }
        let mut out = vec![ZERO; transform.modes().len()];
        transform.forward(&Solo, &[&values], &mut [&mut out]);
        out
    }

    fn largest(a: &[C], b: &[C]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max)
    }

    #[test]
    fn manufactured_solutions_between_walls_come_back_with_any_conditions() {
        // u = e^z sin 2z · cos x · cos 2y + z³ + e^{z/2} cos y.
        let domain = domain(&[32, 10, 10], &[2.0, std::f64::consts::TAU, std::f64::consts::TAU], &[-0.5, 0.0, 0.0]);
        let mut transform = Reference::new(&domain);
        let geometry = Geometry::new(&domain, Transform::<f64>::modes(&transform));
        // Derivatives 0 to 4 along z of e^z sin 2z: Im (1 + 2i)^p e^{(1 + 2i) z}.
        let wave = |p: usize, z: f64| (C::new(1.0, 2.0).powu(p as u32) * (C::new(1.0, 2.0) * z).exp()).im;
        let cube = |p: usize, z: f64| [z * z * z, 3.0 * z * z, 6.0 * z, 6.0, 0.0][p];
        let half = |p: usize, z: f64| 0.5f64.powi(p as i32) * (0.5 * z).exp();
        let u = move |p: usize, [z, y, x]: [f64; 3]| {
            wave(p, z) * x.cos() * (2.0 * y).cos() + cube(p, z) + half(p, z) * y.cos()
        };
        // ∇² and ∇⁴: k² = 5, 0 and 1.
        let laplace = move |x: [f64; 3]| {
            u(2, x) - 5.0 * wave(0, x[0]) * x[2].cos() * (2.0 * x[1]).cos() - half(0, x[0]) * x[1].cos()
        };
        let biharmonic = move |x: [f64; 3]| {
            u(4, x)
                + (25.0 * wave(0, x[0]) - 10.0 * wave(2, x[0])) * x[2].cos() * (2.0 * x[1]).cos()
                + (half(0, x[0]) - 2.0 * half(2, x[0])) * x[1].cos()
        };
        let exact = project(&mut transform, |x| u(0, x));
        let condition = |transform: &mut Reference<f64>, p: usize, upper: bool| {
            let wall = if upper { 1.5 } else { -0.5 };
            let all = project(transform, |[_, y, x]| u(p, [wall, y, x]));
            Condition { derivative: p, upper, data: all[..geometry.columns()].to_vec() }
        };
        type Case<'a> = (Operator, &'a [(usize, bool)], &'a dyn Fn([f64; 3]) -> f64);
        let helmholtz = |lambda: f64| move |x: [f64; 3]| laplace(x) - lambda * u(0, x);
        let (positive, negative) = (helmholtz(7.0), helmholtz(-30.0));
        let cases: [Case; 7] = [
            (Operator::Poisson, &[(0, false), (0, true)], &laplace),
            (Operator::Poisson, &[(1, false), (0, true)], &laplace),
            (Operator::Helmholtz(7.0), &[(1, false), (1, true)], &positive),
            (Operator::Helmholtz(-30.0), &[(0, false), (1, true)], &negative),
            (Operator::Biharmonic, &[(0, false), (1, false), (0, true), (1, true)], &biharmonic),
            (Operator::Biharmonic, &[(0, false), (2, false), (0, true), (2, true)], &biharmonic),
            (Operator::Biharmonic, &[(0, false), (1, false), (1, true), (2, true)], &biharmonic),
        ];
        for (operator, walls, f) in cases {
            let conditions: Vec<Condition> =
                walls.iter().map(|&(p, upper)| condition(&mut transform, p, upper)).collect();
            let mut solution = project(&mut transform, f);
            solve_walls(&geometry, operator, &conditions, &mut solution, &|x| x).unwrap();
            let error = largest(&solution, &exact);
            println!("{operator:?} {walls:?}: {error:e}");
            assert!(error < 2e-12, "{operator:?} {walls:?}: {error:e}");
        }
        // Slopes at both walls: solvable up to a constant, if they balance.
        let mut solution = project(&mut transform, laplace);
        let slopes: Vec<Condition> = [false, true].map(|upper| condition(&mut transform, 1, upper)).to_vec();
        solve_walls(&geometry, Operator::Poisson, &slopes, &mut solution, &|x| x).unwrap();
        let columns = geometry.columns();
        let shift = solution[0] - exact[0];
        (0..1).for_each(|q| solution[q] -= shift);
        assert!(largest(&solution, &exact) < 2e-12);
        let average: C =
            (0..=geometry.degree).map(|j| (solution[j * columns] + if j == 0 { shift } else { ZERO }) * mean(j)).sum();
        assert!(average.norm() < 1e-12, "no mean: {average}");
        let mut wrong = project(&mut transform, |x| laplace(x) + 1.0);
        let (key, message) = solve_walls(&geometry, Operator::Poisson, &slopes, &mut wrong, &|x| x).unwrap_err();
        assert!(key == "right_hand_side" && message.contains("do not balance"), "{key}: {message}");
    }

    #[test]
    fn manufactured_solutions_on_periodic_boxes_come_back_to_rounding() {
        let axis = |basis, length| Axis { basis, length, points: 16, highest: 7, ..Axis::trivial() };
        let domain = Domain::new(vec![axis(Basis::Fourier, 2.0), axis(Basis::HalfFourier, 3.0)], false);
        let mut transform = Reference::new(&domain);
        let (a, b) = (std::f64::consts::TAU, std::f64::consts::TAU / 3.0);
        let u = move |[_, y, x]: [f64; 3]| (0.5 * a * y).sin() * (2.0 * b * x).cos();
        let square = 0.25 * a * a + 4.0 * b * b;
        let exact = project(&mut transform, u);
        for (operator, symbol) in [
            (Operator::Poisson, -square),
            (Operator::Helmholtz(3.0), -square - 3.0),
            (Operator::Biharmonic, square * square),
        ] {
            let mut solution = project(&mut transform, |x| symbol * u(x));
            solve_periodic(&domain, transform.modes(), operator, &mut solution, &|x| x).unwrap();
            assert!(largest(&solution, &exact) < 1e-15, "{operator:?}");
        }
        // k² = 4e-15 is small in no other unit: only the mean is taken to zero.
        let long = Domain::new(vec![axis(Basis::Fourier, 1e8), axis(Basis::HalfFourier, 1e8)], false);
        let k = std::f64::consts::TAU / 1e8;
        for (operator, symbol) in [(Operator::Poisson, -k * k), (Operator::Biharmonic, k.powi(4))] {
            let mut transform = Reference::new(&long);
            let exact = project(&mut transform, |[_, _, x]| (k * x).cos());
            let mut solution = project(&mut transform, |[_, _, x]| symbol * (k * x).cos());
            solve_periodic(&long, transform.modes(), operator, &mut solution, &|x| x).unwrap();
            assert!(largest(&solution, &exact) < 1e-14, "{operator:?}");
        }
        let mut wrong = project(&mut transform, |x| 1.0 + u(x));
        assert!(solve_periodic(&domain, transform.modes(), Operator::Poisson, &mut wrong, &|x| x).is_err());
    }

    /// Geometric mean of the factors by which the error falls with every mode from 14 to 38 of them.
    fn per_mode(error: impl Fn(usize) -> f64) -> f64 {
        (error(14) / error(38)).powf(1.0 / 24.0)
    }

    #[test]
    fn every_mode_halves_the_error_of_solutions_with_the_poles_of_coefficients_2_to_the_minus_n() {
        // Between walls 1/(z − 5/4) = −4/3 − 8/3 Σ 2^−n T_n(z): its pole lies on the ellipse whose half-axes add up to 2.
        let u = |p: usize, z: f64| [-1.0, -1.0, -2.0, -6.0, -24.0][p] / (1.25 - z).powi(p as i32 + 1);
        let helmholtz = |z: f64| u(2, z) - 3.0 * u(0, z);
        type Case<'a> = (Operator, &'a [usize], &'a dyn Fn(f64) -> f64);
        let cases: [Case; 3] = [
            (Operator::Poisson, &[0], &|z| u(2, z)),
            (Operator::Helmholtz(3.0), &[0], &helmholtz),
            (Operator::Biharmonic, &[0, 1], &|z| u(4, z)),
        ];
        for (operator, derivatives, f) in cases {
            let rate = per_mode(|n| {
                let domain = domain(&[n, 4], &[2.0, 1.0], &[-1.0, 0.0]);
                let mut transform = Reference::new(&domain);
                let geometry = Geometry::new(&domain, Transform::<f64>::modes(&transform));
                let walls = derivatives.iter().flat_map(|&p| [(p, -1.0), (p, 1.0)]);
                let conditions: Vec<Condition> = walls
                    .map(|(derivative, wall)| {
                        let all = project(&mut transform, |_| u(derivative, wall));
                        Condition { derivative, upper: wall > 0.0, data: all[..geometry.columns()].to_vec() }
                    })
                    .collect();
                let mut solution = project(&mut transform, |[z, _, _]| f(z));
                solve_walls(&geometry, operator, &conditions, &mut solution, &|x| x).unwrap();
                let exact = |n: usize| if n == 0 { -4.0 / 3.0 } else { -8.0 / 3.0 * 0.5f64.powi(n as i32) };
                let means = solution.iter().step_by(geometry.columns()).enumerate();
                means.map(|(n, c)| (c - exact(n)).norm()).fold(0.0, f64::max)
            });
            println!("{operator:?}: {rate}");
            assert!((rate - 2.0).abs() < 0.2, "{operator:?}: {rate}");
        }
        // On a periodic line 3/4 / (5/4 − cos x) = Σ 2^−|k| e^{ikx}.
        let f = |x: f64| {
            let below = 1.25 - x.cos();
            0.75 * (2.0 * x.sin().powi(2) / below.powi(3) - x.cos() / below.powi(2) - 3.0 / below)
        };
        let rate = per_mode(|highest| {
            let axis = Axis { basis: Basis::HalfFourier, points: 2 * highest + 2, highest, ..Axis::trivial() };
            let domain = Domain::new(vec![Axis { length: std::f64::consts::TAU, ..axis }], false);
            let mut transform = Reference::new(&domain);
            let mut solution = project(&mut transform, |[_, _, x]| f(x));
            solve_periodic(&domain, transform.modes(), Operator::Helmholtz(3.0), &mut solution, &|x| x).unwrap();
            let error = |(k, c): (usize, &C)| (c - 0.5f64.powi(k as i32)).norm();
            solution.iter().enumerate().map(error).fold(0.0, f64::max)
        });
        println!("periodic: {rate}");
        assert!((rate - 2.0).abs() < 0.2, "periodic: {rate}");
    }

    /// u'' − λu = f with u = 0 at z = 0 and 1, λ = −(mπ)²: sin mπz is free, and f = sin kπz has u = f / (m² − k²)π².
    #[test]
    fn helmholtz_at_an_eigenvalue_is_solved_without_its_mode_or_has_no_solution() {
        use std::f64::consts::PI;
        let domain = domain(&[40, 4], &[1.0, 1.0], &[0.0, 0.0]);
        let mut transform = Reference::new(&domain);
        let geometry = Geometry::new(&domain, Transform::<f64>::modes(&transform));
        let data = vec![ZERO; geometry.columns()];
        let conditions = [false, true].map(|upper| Condition { derivative: 0, upper, data: data.clone() });
        for m in 1..5 {
            for k in 1..5 {
                let (free, wave) = (m as f64 * PI, k as f64 * PI);
                let mut u = project(&mut transform, |[z, _, _]| (wave * z).sin());
                let solved = solve_walls(&geometry, Operator::Helmholtz(-free * free), &conditions, &mut u, &|x| x);
                if k == m {
                    let (key, message) = solved.unwrap_err();
                    assert!(key == "right_hand_side" && message.contains("no solution"), "{m}: {key}: {message}");
                } else {
                    solved.unwrap();
                    let exact = project(&mut transform, |[z, _, _]| (wave * z).sin() / (free * free - wave * wave));
                    assert!(largest(&u, &exact) < 1e-13, "{m}, {k}: {:e}", largest(&u, &exact));
                }
            }
        }
    }

    /// Slopes of 0 at both walls and f that does not depend on z: u = −f/(k² + λ), however thin the layer is.
    #[test]
    fn slopes_determine_the_solution_where_k_squared_and_lambda_times_the_square_of_the_height_are_1e_minus_15() {
        let cases = [
            (Operator::Helmholtz(1e-9), [1e-3, 6.28], 0.0),
            (Operator::Helmholtz(1e-14), [1.0, 6.28], 0.0),
            (Operator::Poisson, [1.0, 1e8], 1.0),
            (Operator::Poisson, [1e-4, 1e4], 1.0),
        ];
        for (operator, lengths, waves) in cases {
            let domain = domain(&[24, 8], &lengths, &[0.0, 0.0]);
            let mut transform = Reference::new(&domain);
            let geometry = Geometry::new(&domain, Transform::<f64>::modes(&transform));
            let k = waves * std::f64::consts::TAU / lengths[1];
            let lambda = operator.lambda();
            let mut solution = project(&mut transform, |[_, _, x]| (k * x).cos());
            let exact: Vec<C> = solution.iter().map(|f| -f / (k * k + lambda)).collect();
            let columns = geometry.columns();
            let slope = |upper| Condition { derivative: 1, upper, data: vec![ZERO; columns] };
            solve_walls(&geometry, operator, &[slope(false), slope(true)], &mut solution, &|x| x).unwrap();
            let error = largest(&solution, &exact) * (k * k + lambda);
            assert!(error < 1e-12, "{operator:?} {lengths:?}: {error:e}");
        }
    }

    #[test]
    fn slopes_balance_to_rounding_of_all_that_is_given_not_of_the_mean_alone() {
        // f = cos x with slopes 0 and sin x at the walls, and a mean that is rounding.
        let domain = domain(&[24, 15], &[1.0, std::f64::consts::TAU], &[0.0, 0.0]);
        let mut transform = Reference::new(&domain);
        let geometry = Geometry::new(&domain, Transform::<f64>::modes(&transform));
        let mut solve = |mean: f64| {
            let mut f = project(&mut transform, |[_, _, x]| x.cos());
            f[0] += mean;
            let conditions = [false, true].map(|upper| {
                let data = project(&mut transform, |[_, _, x]| if upper { x.sin() } else { 0.0 });
                Condition { derivative: 1, upper, data: data[..geometry.columns()].to_vec() }
            });
            solve_walls(&geometry, Operator::Poisson, &conditions, &mut f, &|x| x)
        };
        for rounding in [0.0, 1e-17, -3e-16] {
            solve(rounding).unwrap();
        }
        assert_eq!(solve(1e-6).unwrap_err().0, "right_hand_side");
    }

    #[test]
    fn whether_a_periodic_problem_has_a_solution_does_not_depend_on_the_ranks() {
        // cos x and a mean, which a rank holds alone.
        let axis = Axis { basis: Basis::HalfFourier, points: 16, highest: 7, ..Axis::trivial() };
        let domain = Domain::new(vec![axis], false);
        let solve = |mean: f64, team: &dyn Team| {
            let mine = team.split(8).mine();
            let block = Block { start: [0, 0, mine.start], count: [1, 1, mine.len()] };
            let all = |k: usize| C::new([mean, 0.5].get(k).copied().unwrap_or(0.0), 0.0);
            let mut u: Vec<C> = mine.map(all).collect();
            solve_periodic(&domain, block, Operator::Poisson, &mut u, &|x| team.max(x))
        };
        for ranks in [1, 2, 8] {
            for (mean, possible) in [(1e-17, true), (1.0, false)] {
                let verdicts = threads::run(ranks, |team| solve(mean, team));
                assert!(verdicts.iter().all(|v| v == &verdicts[0] && v.is_ok() == possible), "{ranks}: {verdicts:?}");
            }
        }
    }
}
