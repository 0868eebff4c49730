//! Quantities of a flow between walls: energy, dissipation, Nusselt numbers, wall shear, all integrated exactly.

use num_complex::Complex;
use rayon::prelude::*;

use super::geometry::Geometry;
use super::helmholtz::{LANES, Lanes, Pair, differentiate, groups, load};
use super::ultraspherical::{at_wall, mean_of_product};
use crate::math::sum::tree_sum;
use crate::solvers::spectral::domain::{Block, Domain};
use crate::solvers::spectral::fields::Fields;
use crate::team::Team;

/// Means over the box, and the worst divergence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Means {
    /// ⟨|u|²⟩/2.
    pub energy: f64,
    /// ⟨|∇u|²⟩.
    pub gradient: f64,
    /// ⟨wθ⟩.
    pub flux: f64,
    /// ⟨θ²⟩.
    pub variance: f64,
    /// Largest coefficient of div u over the largest coefficient of its terms.
    pub divergence: f64,
}

const SUMS: usize = 4;

/// Exact means over the box of quadratic quantities of the velocities [w, u, (v)] and of θ; collective. Every column is
/// summed by its owner, and columns in the order of a global tree.
pub fn means(geometry: &Geometry, velocity: &Fields<f64>, theta: Option<&[Complex<f64>]>, team: &dyn Team) -> Means {
    let columns = geometry.columns();
    let n = geometry.degree;
    let quadrature = Quadrature::new(n);
    let mut sums = vec![[0.0; SUMS]; columns];
    let worst: Vec<[f64; 2]> = sums
        .par_chunks_mut(LANES)
        .zip(groups(columns))
        .map_init(
            || vec![vec![[[0.0; LANES]; 2]; n + 1]; 6],
            |space, (out, (_, at))| {
                let [w, u, v, slope, other, terms] = space.as_mut_slice() else { unreachable!() };
                let squares = geometry.lanes(&at, |q| geometry.squares[q]);
                let weights = geometry.lanes(&at, |q| geometry.weights[q]);
                load(&velocity.arrays[0], columns, at.clone(), w);
                load(&velocity.arrays[1], columns, at.clone(), u);
                match velocity.arrays.get(2) {
                    Some(array) => load(array, columns, at.clone(), v),
                    None => v.iter_mut().for_each(|v| *v = [[0.0; LANES]; 2]),
                }
                let mut total = [[0.0; LANES]; SUMS];
                let mut add = |to: usize, x: &Lanes, factor: &dyn Fn(usize) -> f64| {
                    (0..LANES).for_each(|l| total[to][l] += weights[l] * factor(l) * x[l]);
                };
                for (component, x) in [&*w, &*u, &*v].into_iter().enumerate() {
                    let square = quadrature.product(x, x);
                    add(0, &square, &|_| 0.5);
                    differentiate(x, geometry.scale, slope);
                    add(1, &square, &|l| squares[l]);
                    add(1, &quadrature.product(slope, slope), &|_| 1.0);
                    if component == 0 {
                        other.copy_from_slice(slope);
                    }
                }
                // div u = i kx u + i ky v + w'.
                let mut divergence: [f64; 2] = [0.0; 2];
                let kx = geometry.lanes(&at, |q| geometry.kx[q]);
                let ky = geometry.lanes(&at, |q| geometry.ky[q]);
                for j in 0..=n {
                    for l in 0..LANES {
                        let along = Complex::new(-kx[l] * u[j][1][l], kx[l] * u[j][0][l]);
                        let across = Complex::new(-ky[l] * v[j][1][l], ky[l] * v[j][0][l]);
                        let up = Complex::new(other[j][0][l], other[j][1][l]);
                        divergence[0] = divergence[0].max((along + across + up).norm());
                        divergence[1] = divergence[1].max(along.norm()).max(across.norm()).max(up.norm());
                    }
                }
                if let Some(theta) = theta {
                    load(theta, columns, at.clone(), terms);
                    add(2, &quadrature.product(w, terms), &|_| 1.0);
                    add(3, &quadrature.product(terms, terms), &|_| 1.0);
                }
                for (l, out) in out.iter_mut().enumerate() {
                    *out = std::array::from_fn(|s| total[s][l]);
                }
                divergence
            },
        )
        .collect();
    let [energy, gradient, flux, variance] = over_columns(geometry, &sums, team);
    let largest = |part: usize| team.max(worst.iter().map(|w| w[part]).fold(0.0, f64::max));
    let (error, size) = (largest(0), largest(1));
    Means { energy, gradient, flux, variance, divergence: if size > 0.0 { error / size } else { 0.0 } }
}

/// Sums over the columns of all ranks in the order of their global indices.
fn over_columns(geometry: &Geometry, mine: &[[f64; SUMS]], team: &dyn Team) -> [f64; SUMS] {
    let [_, rows, columns] = geometry.domain.modes();
    let block = geometry.block;
    let place = [block.start[1], block.count[1], block.start[2], block.count[2]].map(|x| x as u64);
    let places = team.gather(&[place]);
    let values = team.gather(mine);
    let mut all = vec![[0.0; SUMS]; rows * columns];
    let mut next = values.iter();
    for [row, height, column, width] in places.iter().map(|p| p.map(|x| x as usize)) {
        for r in row..row + height {
            for (c, value) in (column..column + width).zip(&mut next) {
                all[r * columns + c] = *value;
            }
        }
    }
    std::array::from_fn(|s| tree_sum(all.len(), |i| all[i][s]))
}

/// Mean over z of products of two Chebyshev series.
struct Quadrature {
    /// mean(T_i T_j) for i, j of one parity: `[i][j / 2]`.
    table: Vec<Vec<f64>>,
}

impl Quadrature {
    fn new(n: usize) -> Quadrature {
        let table = (0..=n).map(|i| (i % 2..=n).step_by(2).map(|j| mean_of_product(i, j)).collect()).collect();
        Quadrature { table }
    }

    /// Re ∫ x y* / length, per lane.
    fn product(&self, x: &[Pair], y: &[Pair]) -> Lanes {
        let mut total = [0.0; LANES];
        for (i, row) in self.table.iter().enumerate() {
            let mut inner = [[0.0; LANES]; 2];
            for (half, &weight) in row.iter().enumerate() {
                let y = &y[i % 2 + 2 * half];
                for part in 0..2 {
                    (0..LANES).for_each(|l| inner[part][l] += weight * y[part][l]);
                }
            }
            for part in 0..2 {
                (0..LANES).for_each(|l| total[l] += x[i][part][l] * inner[part][l]);
            }
        }
        total
    }
}

/// Coefficients of the mean over planes of one field, on every rank; collective.
pub fn mean_column(geometry: &Geometry, field: &[Complex<f64>], team: &dyn Team) -> Vec<Complex<f64>> {
    let columns = geometry.columns();
    let mine: Vec<Complex<f64>> = match geometry.mean {
        Some(q) => (0..=geometry.degree).map(|j| field[j * columns + q]).collect(),
        None => Vec::new(),
    };
    team.gather(&mine)
}

/// d/dz at the lower and the upper wall of a column.
pub fn wall_slopes(geometry: &Geometry, column: &[Complex<f64>]) -> [Complex<f64>; 2] {
    [false, true].map(|upper| {
        let sum: Complex<f64> = column.iter().enumerate().map(|(j, c)| c * at_wall(1, upper, j)).sum();
        sum * geometry.scale
    })
}

/// Mean over z of a column.
pub fn column_mean(column: &[Complex<f64>]) -> Complex<f64> {
    column.iter().enumerate().map(|(j, c)| c * super::ultraspherical::mean(j)).sum()
}

/// What the last eighth of the degrees and of the wavenumbers holds: the largest coefficient there over the largest of
/// all, for the components of one field on the modes `block` of `domain`; collective. About the relative error of
/// truncation where coefficients decay.
pub fn last_eighth(domain: &Domain, block: Block, components: &[&[Complex<f64>]], team: &dyn Team) -> f64 {
    let beyond: [Vec<bool>; 3] = std::array::from_fn(|a| {
        let axis = &domain.axes[a];
        let last = |i: usize| axis.highest > 0 && 8 * axis.number(i).unsigned_abs() as usize > 7 * axis.highest;
        (block.start[a]..block.start[a] + block.count[a]).map(last).collect()
    });
    let (mut tail, mut all) = (0.0f64, 0.0f64);
    for component in components {
        let mut values = component.iter();
        for &first in &beyond[0] {
            for &second in &beyond[1] {
                for (&third, c) in beyond[2].iter().zip(&mut values) {
                    all = all.max(c.norm());
                    if first || second || third {
                        tail = tail.max(c.norm());
                    }
                }
            }
        }
    }
    let (tail, all) = (team.max(tail), team.max(all));
    if all > 0.0 { tail / all } else { 0.0 }
}
