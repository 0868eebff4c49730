//! The slow twin: one rank, full arrays, one axis after the other. What the fast transforms are tested against.

use num_complex::Complex;
use rustfft::{FftDirection, FftPlanner};

use super::{Pointwise, Scales, Transform};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Basis, Block, Domain};
use crate::team::Team;

/// Whole on one rank; Fourier axes only.
pub struct Reference<T: Real> {
    domain: Domain,
    planner: FftPlanner<T>,
}

impl<T: Real> Reference<T> {
    /// # Panics
    /// With a Chebyshev axis.
    pub fn new(domain: &Domain) -> Self {
        assert!(domain.axes.iter().all(|a| a.basis != Basis::Chebyshev), "the reference knows Fourier axes only");
        Reference { domain: domain.clone(), planner: FftPlanner::new() }
    }

    /// Transforms every line of the full grid `data` along every axis.
    fn full(&mut self, data: &mut [Complex<T>], direction: FftDirection) {
        let n = self.domain.points();
        for axis in 0..3 {
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
            let place = |sign: i64| (0..3).fold(0, |at, a| at * n[a] + wrap(sign * k[a], n[a]));
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
            let scale = T::of(1.0 / total as f64);
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
