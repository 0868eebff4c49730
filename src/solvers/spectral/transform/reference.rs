//! The slow twin: one rank, full arrays, one axis after the other. What the fast transforms are tested against.

use num_complex::Complex;
use rustfft::{FftDirection, FftPlanner};

use super::{Pointwise, Scales, Transform};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Basis, Block, Domain};
use crate::team::Team;

/// Whole on one rank.
pub struct Reference<T: Real> {
    domain: Domain,
    planner: FftPlanner<T>,
    /// With a Chebyshev axis 0 of M points: T_j at its points, and the M × M matrix back to coefficients.
    chebyshev: Option<[Vec<T>; 2]>,
}

impl<T: Real> Reference<T> {
    /// # Panics
    /// With a Chebyshev axis that is not the first.
    pub fn new(domain: &Domain) -> Self {
        assert!(domain.axes[1..].iter().all(|a| a.basis != Basis::Chebyshev), "only axis 0 may lie between walls");
        let chebyshev = domain.has_walls().then(|| {
            let n = domain.axes[0].points;
            // ξ ascends over the Gauss points: ξ_i = cos(π − angle_i).
            let value =
                |i: usize, j: usize| libm::cos(j as f64 * std::f64::consts::PI * (1.0 - (i as f64 + 0.5) / n as f64));
            let weight = |j: usize| if j == 0 { 1.0 } else { 2.0 } / n as f64;
            let backward = (0..n * n).map(|at| T::of(value(at / n, at % n))).collect();
            let forward = (0..n * n).map(|at| T::of(weight(at / n) * value(at % n, at / n))).collect();
            [backward, forward]
        });
        Reference { domain: domain.clone(), planner: FftPlanner::new(), chebyshev }
    }

    /// Transforms every line of the full grid `data` along every axis.
    fn full(&mut self, data: &mut [Complex<T>], direction: FftDirection) {
        let n = self.domain.points();
        if let Some([backward, forward]) = &self.chebyshev {
            let matrix = if direction == FftDirection::Inverse { backward } else { forward };
            let line = n[1] * n[2];
            let mut out = vec![Complex::new(T::zero(), T::zero()); data.len()];
            for (to, row) in out.chunks_exact_mut(line).zip(matrix.chunks_exact(n[0])) {
                for (from, &a) in data.chunks_exact(line).zip(row) {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from * a);
                }
            }
            data.copy_from_slice(&out);
        }
        for axis in usize::from(self.chebyshev.is_some())..3 {
            let plan = self.planner.plan_fft(n[axis], direction);
            let stride: usize = n[axis + 1..].iter().product();
            let mut line = vec![Complex::new(T::zero(), T::zero()); n[axis]];
            for first in (0..data.len()).filter(|i| (i / stride) % n[axis] == 0) {
                for (j, z) in line.iter_mut().enumerate() {
                    *z = data[first + j * stride];
                }
                plan.process(&mut line);
                for (j, z) in line.iter().enumerate() {
                    data[first + j * stride] = *z;
                }
            }
        }
    }

    /// Calls `act(mode, point, mirror)` with the place of each kept mode among the coefficients and in the full grid,
    /// and that of its conjugate when only half are kept.
    fn places(&self, mut act: impl FnMut(usize, usize, Option<usize>)) {
        let (m, n) = (self.domain.modes(), self.domain.points());
        let wrap = |k: i64, n: usize| k.rem_euclid(n as i64) as usize;
        for i in 0..m.iter().product() {
            let index = [i / (m[1] * m[2]), i / m[2] % m[1], i % m[2]];
            let k: [i64; 3] = std::array::from_fn(|a| self.domain.axes[a].number(index[a]));
            // Conjugation turns wavenumbers around, not degrees.
            let turned = |sign: i64, a: usize| if self.domain.axes[a].basis == Basis::Chebyshev { 1 } else { sign };
            let place = |sign: i64| (0..3).fold(0, |at, a| at * n[a] + wrap(turned(sign, a) * k[a], n[a]));
            let half = !self.domain.complex && k[2] != 0 && 2 * k[2] != n[2] as i64;
            act(i, place(1), half.then(|| place(-1)));
        }
    }
}

impl<T: Real> Transform<T> for Reference<T> {
    fn domain(&self) -> &Domain {
        &self.domain
    }

    fn modes(&self) -> Block {
        Block { start: [0; 3], count: self.domain.modes() }
    }

    fn points(&self) -> Block {
        Block { start: [0; 3], count: self.domain.points() }
    }

    fn backward(&mut self, _team: &dyn Team, coefficients: &[&[Complex<T>]], values: &mut [&mut [T]]) {
        let total: usize = self.domain.points().iter().product();
        for (c, v) in coefficients.iter().zip(values) {
            let mut full = vec![Complex::new(T::zero(), T::zero()); total];
            self.places(|mode, point, mirror| {
                full[point] = c[mode];
                if let Some(mirror) = mirror {
                    full[mirror] = c[mode].conj();
                }
            });
            self.full(&mut full, FftDirection::Inverse);
            if self.domain.complex {
                v.copy_from_slice(bytemuck::cast_slice(&full));
            } else {
                v.iter_mut().zip(&full).for_each(|(v, z)| *v = z.re);
            }
        }
    }

    fn forward(&mut self, _team: &dyn Team, values: &[&[T]], coefficients: &mut [&mut [Complex<T>]]) {
        let total: usize = self.domain.points().iter().product();
        for (v, c) in values.iter().zip(coefficients) {
            let mut full: Vec<Complex<T>> = if self.domain.complex {
                bytemuck::cast_slice(v).to_vec()
            } else {
                v.iter().map(|&x| Complex::new(x, T::zero())).collect()
            };
            self.full(&mut full, FftDirection::Forward);
            let walls = if self.chebyshev.is_some() { self.domain.axes[0].points } else { 1 };
            let scale = T::of(walls as f64 / total as f64);
            self.places(|mode, point, _| c[mode] = full[point] * scale);
        }
    }

    fn through(
        &mut self,
        team: &dyn Team,
        inputs: &[&[Complex<T>]],
        pointwise: &Pointwise<T>,
        outputs: &mut [&mut [Complex<T>]],
    ) {
        let (block, reals) = (self.points(), self.domain.reals());
        let grids = |n: usize| vec![vec![T::zero(); block.len() * reals]; n];
        let (mut values, mut products) = (grids(inputs.len()), grids(outputs.len()));
        self.backward(team, inputs, &mut values.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let scales = Scales::coordinates(&self.domain, block);
        for (tile, at) in scales.tiles(4096) {
            let at = at.start * reals..at.end * reals;
            let ins: Vec<&[T]> = values.iter().map(|v| &v[at.clone()]).collect();
            let mut outs: Vec<&mut [T]> = products.iter_mut().map(|p| &mut p[at.clone()]).collect();
            pointwise(&tile, &ins, &mut outs);
        }
        self.forward(team, &products.iter().map(Vec::as_slice).collect::<Vec<_>>(), outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::domain::Axis;
    use crate::team::Solo;

    #[test]
    fn a_chebyshev_axis_gives_t3_times_a_cosine_one_coefficient() {
        let wall = Axis { basis: Basis::Chebyshev, low: -0.5, length: 3.0, points: 9, highest: 5, ..Axis::trivial() };
        let x = Axis { basis: Basis::HalfFourier, points: 8, highest: 2, ..Axis::trivial() };
        let domain = Domain::new(vec![wall, x], false);
        let mut transform: Reference<f64> = Reference::new(&domain);
        let team = Solo;
        let scales = Scales::coordinates(&domain, transform.points());
        let mut values = vec![0.0; transform.points().len()];
        for (tile, at) in scales.tiles(4096) {
            let part = &mut values[at];
            tile.for_each(|i, [z, _, x]| {
                let xi = 2.0 * (z + 0.5) / 3.0 - 1.0;
                part[i] = (4.0 * xi * xi * xi - 3.0 * xi) * x.cos();
            });
        }
        let mut coefficients = vec![Complex::new(0.0, 0.0); transform.modes().len()];
        transform.forward(&team, &[&values], &mut [&mut coefficients]);
        for (i, c) in coefficients.iter().enumerate() {
            let exact = if i == 3 * 3 + 1 { 0.5 } else { 0.0 };
            assert!((c - exact).norm() < 1e-15, "{i}: {c}");
        }
        let mut back = vec![0.0; values.len()];
        transform.backward(&team, &[&coefficients], &mut [&mut back]);
        assert!(values.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-14));
    }
}
