//! The columns of a rank between walls: one for each pair of wavenumbers, the whole Chebyshev axis each.

use std::ops::Range;

use num_complex::Complex;

use super::helmholtz::{Condition, Factors, LANES, Lanes, Room, Target, differentiate, load, over_groups};
use super::ultraspherical::to_second;
use crate::solvers::spectral::domain::{Axis, Basis, Block, Domain, next_smooth};
use crate::solvers::spectral::fields::Fields;

/// The box between walls: axis 0 is z with the highest degree N = points − 1; the others keep |k| ≤ (points − 1)/2.
/// Products are taken on 3/2 as many points on every axis.
pub fn domain(points: &[usize], lengths: &[f64], origin: &[f64]) -> Domain {
    let names: &[&'static str] = match points.len() {
        1 => &["z"],
        2 => &["z", "x"],
        _ => &["z", "y", "x"],
    };
    let last = points.len() - 1;
    let axis = |a: usize| {
        let (basis, highest) = match a {
            0 => (Basis::Chebyshev, points[0] - 1),
            a if a == last => (Basis::HalfFourier, (points[a] - 1) / 2),
            _ => (Basis::Fourier, (points[a] - 1) / 2),
        };
        // T_i T_j holds degree i + j; on M Gauss points degree 2M − m looks like −m.
        let padded = if a == 0 { (3 * highest + 2).div_ceil(2) } else { 3 * highest + 1 };
        Axis {
            name: names[a],
            basis,
            low: origin[a],
            length: lengths[a],
            points: next_smooth(padded),
            highest,
            sawtooth: false,
        }
    };
    Domain::new((0..points.len()).map(axis).collect(), false)
}

/// Wavenumbers of the columns of a rank, and what depends on them alone.
pub struct Geometry {
    pub domain: Domain,
    pub block: Block,
    /// Highest degree N of velocities, vorticity and temperature; ∇²w has N − 2.
    pub degree: usize,
    /// dξ/dz.
    pub scale: f64,
    pub kx: Vec<f64>,
    pub ky: Vec<f64>,
    /// kx² + ky².
    pub squares: Vec<f64>,
    /// Modes that a column stands for: 2 where its conjugate is not kept, else 1.
    pub weights: Vec<f64>,
    /// The column of the mean over planes, on the rank that has it.
    pub mean: Option<usize>,
    /// From ∇²w to w with w = 0 at the walls.
    poisson: Factors,
    /// Conditions on ∇²w: no slip (w' = 0 at the walls) as an integral of ∇²w; in the column of the mean, which holds
    /// the mean flow instead, values.
    pub no_slip: Vec<Lanes>,
    /// Work space of the passes over columns.
    pub room: Room,
}

impl Geometry {
    pub fn new(domain: &Domain, block: Block) -> Geometry {
        let degree = domain.axes[0].highest;
        let scale = 2.0 / domain.axes[0].length;
        let [_, rows, columns] = block.count;
        let wavenumber = |axis: usize, i: usize| domain.axes[axis].wavenumber(block.start[axis] + i);
        let (mut kx, mut ky) = (Vec::new(), Vec::new());
        for r in 0..rows {
            for c in 0..columns {
                ky.push(wavenumber(1, r));
                kx.push(wavenumber(2, c));
            }
        }
        let squares: Vec<f64> = kx.iter().zip(&ky).map(|(x, y)| x * x + y * y).collect();
        let half = domain.axes[2].basis == Basis::HalfFourier;
        let weights = kx.iter().map(|&k| if half && k != 0.0 { 2.0 } else { 1.0 }).collect();
        let mean = squares.iter().position(|&k| k == 0.0);
        let poisson = Factors::new(degree, &squares, scale * scale, Condition::Values);
        let mut no_slip = poisson.slope_rows();
        if let Some(q) = mean {
            let group = q / LANES * (degree - 1);
            no_slip[group..group + degree - 1].iter_mut().for_each(|row| row[q % LANES] = 1.0);
        }
        Geometry {
            domain: domain.clone(),
            block,
            degree,
            scale,
            kx,
            ky,
            squares,
            weights,
            mean,
            poisson,
            no_slip,
            room: Room::default(),
        }
    }

    pub fn three_dimensional(&self) -> bool {
        self.domain.dimension == 3
    }

    pub fn columns(&self) -> usize {
        self.squares.len()
    }

    /// A value per lane of a group; zero beyond the last column.
    pub fn lanes(&self, at: &Range<usize>, value: impl Fn(usize) -> f64) -> Lanes {
        std::array::from_fn(|l| if at.start + l < at.end { value(at.start + l) } else { 0.0 })
    }

    /// Velocities from ∇²w (with the mean flow in its mean column, as U + iV) and the wall-normal vorticity:
    ///
    ///     ∇²w = φ,  u = i (kx w' + ky η)/k²,  v = i (ky w' − kx η)/k²
    ///
    /// so that the divergence vanishes to rounding. `out` is [w, u] in two dimensions, [w, u, v] in three.
    pub fn velocities(&self, phi: &[Complex<f64>], eta: Option<&[Complex<f64>]>, out: &mut [Vec<Complex<f64>>]) {
        let (n, columns) = (self.degree, self.columns());
        let targets: [Option<Target>; 3] = {
            let mut out = out.iter_mut();
            std::array::from_fn(|_| out.next().map(|array| Target::new(array, columns)))
        };
        over_groups(columns, |group, at| {
            self.room.with(4 * (n + 1), |buffer| {
                let (w, rest) = buffer.split_at_mut(n + 1);
                let (slope, rest) = rest.split_at_mut(n + 1);
                let (phi_here, other) = rest.split_at_mut(n + 1);
                load(phi, columns, at.clone(), phi_here);
                for r in 0..n - 1 {
                    let s = to_second(r);
                    for part in 0..2 {
                        for l in 0..LANES {
                            let mut sum = s[0] * phi_here[r][part][l];
                            sum += s[1] * phi_here[(r + 2).min(n)][part][l];
                            if r + 4 <= n {
                                sum += s[2] * phi_here[r + 4][part][l];
                            }
                            w[r][part][l] = -sum;
                        }
                    }
                }
                let mean = self.mean.filter(|q| at.contains(q)).map(|q| q - at.start);
                if let Some(l) = mean {
                    w.iter_mut().for_each(|w| (w[0][l], w[1][l]) = (0.0, 0.0));
                }
                self.poisson.solve(group, &Condition::Values, w);
                differentiate(w, self.scale, slope);
                // SAFETY (all stores): each group is given to one thread, and its ranges do not overlap another's.
                unsafe { targets[0].expect("w is always asked").store(at.clone(), w) };
                let kx = self.lanes(&at, |q| self.kx[q]);
                let ky = self.lanes(&at, |q| self.ky[q]);
                let inverse = self.lanes(&at, |q| if self.squares[q] > 0.0 { 1.0 / self.squares[q] } else { 0.0 });
                match eta {
                    Some(eta) => load(eta, columns, at.clone(), other),
                    None => other.iter_mut().for_each(|x| *x = [[0.0; LANES]; 2]),
                }
                // w is stored: its place takes v. One pass makes u in place of the slope.
                for j in 0..=n {
                    let (d, e) = (slope[j], other[j]);
                    for l in 0..LANES {
                        slope[j][0][l] = -(kx[l] * d[1][l] + ky[l] * e[1][l]) * inverse[l];
                        slope[j][1][l] = (kx[l] * d[0][l] + ky[l] * e[0][l]) * inverse[l];
                        w[j][0][l] = -(ky[l] * d[1][l] - kx[l] * e[1][l]) * inverse[l];
                        w[j][1][l] = (ky[l] * d[0][l] - kx[l] * e[0][l]) * inverse[l];
                    }
                    if let Some(l) = mean {
                        (slope[j][0][l], slope[j][1][l]) = (phi_here[j][0][l], 0.0);
                        (w[j][0][l], w[j][1][l]) = (phi_here[j][1][l], 0.0);
                    }
                }
                unsafe {
                    targets[1].expect("u is always asked").store(at.clone(), slope);
                    if let Some(v) = targets[2] {
                        v.store(at.clone(), w);
                    }
                }
            });
        });
    }

    /// φ = ∇²w from w in T (no conditions are put on it yet).
    pub fn laplacian(&self, w: &[Complex<f64>]) -> Vec<Complex<f64>> {
        let (n, columns) = (self.degree, self.columns());
        let mut out = vec![Complex::new(0.0, 0.0); w.len()];
        let target = Target::new(&mut out, columns);
        over_groups(columns, |_, at| {
            let mut x = vec![vec![[[0.0; LANES]; 2]; n + 1]; 3];
            load(w, columns, at.clone(), &mut x[0]);
            let squares = self.lanes(&at, |q| self.squares[q]);
            let [x, first, second] = x.as_mut_slice() else { unreachable!() };
            differentiate(x, self.scale, first);
            differentiate(first, self.scale, second);
            for (s, x) in second.iter_mut().zip(x) {
                for part in 0..2 {
                    (0..LANES).for_each(|l| s[part][l] -= squares[l] * x[part][l]);
                }
            }
            // SAFETY: one thread per group of columns.
            unsafe { target.store(at, &second[..n - 1]) };
        });
        out
    }
}

/// Zero arrays on the columns of a rank.
pub fn zeros(geometry: &Geometry, fields: usize) -> Fields<f64> {
    Fields::zeros(fields, geometry.columns() * (geometry.degree + 1))
}
