//! IMEX Runge–Kutta schemes of Ascher, Ruuth & Spiteri (1997), stiffly accurate in both parts:
//!
//!     (M − Δt H_ii L) X_i = M X_0 + Δt Σ_{j<i} (A_ij N(X_j) + H_ij L X_j),   u⁺ = X_s
//!
//! Each stage hands its N(X_j) and L X_j on to the right-hand sides of all later ones, so s + 2 arrays suffice.

use super::super::fields::Fields;
use super::sweep::{Factor, Sweep, Vector, combine};
use super::{LinearPart, Nonlinear, Stepper, prepare};
use crate::error::Result;
use crate::math::real::Real;

/// Rows and columns 0 … s; the explicit part is used below the diagonal.
pub(super) struct Tableau {
    pub explicit: [[f64; 5]; 5],
    pub implicit: [[f64; 5]; 5],
    pub stages: usize,
}

impl Tableau {
    /// Times of the stages in units of the step: row sums of the explicit part.
    pub fn abscissa(&self, i: usize) -> f64 {
        self.explicit[i].iter().sum()
    }
}

/// ARS(2,2,2): γ = 1 − 1/√2, δ = 1 − 1/(2γ); also known as RK222.
pub(super) fn ars222() -> Tableau {
    let gamma = 1.0 - std::f64::consts::FRAC_1_SQRT_2;
    let delta = 1.0 - 0.5 / gamma;
    let mut t = Tableau { explicit: [[0.0; 5]; 5], implicit: [[0.0; 5]; 5], stages: 2 };
    t.explicit[1][0] = gamma;
    t.explicit[2][..2].copy_from_slice(&[delta, 1.0 - delta]);
    t.implicit[1][1] = gamma;
    t.implicit[2][1..3].copy_from_slice(&[1.0 - gamma, gamma]);
    t
}

/// ARS(4,4,3); also known as RK443.
pub(super) fn ars443() -> Tableau {
    let mut t = Tableau { explicit: [[0.0; 5]; 5], implicit: [[0.0; 5]; 5], stages: 4 };
    t.explicit[1][0] = 0.5;
    t.explicit[2][..2].copy_from_slice(&[11.0 / 18.0, 1.0 / 18.0]);
    t.explicit[3][..3].copy_from_slice(&[5.0 / 6.0, -5.0 / 6.0, 0.5]);
    t.explicit[4][..4].copy_from_slice(&[0.25, 1.75, 0.75, -1.75]);
    t.implicit[1][1] = 0.5;
    t.implicit[2][1..3].copy_from_slice(&[1.0 / 6.0, 0.5]);
    t.implicit[3][1..4].copy_from_slice(&[-0.5, 0.5, 0.5]);
    t.implicit[4][1..5].copy_from_slice(&[1.5, -1.5, 0.5, 0.5]);
    t
}

pub struct Ars<T: Real> {
    tableau: Tableau,
    /// Right-hand sides of the stages, then the stages.
    stages: Vec<Fields<T>>,
    rate: Fields<T>,
    /// M X_0, then L X_j.
    image: Fields<T>,
}

impl<T: Real> Ars<T> {
    fn new(tableau: Tableau, fields: usize, modes: usize) -> Self {
        let zeros = || Fields::zeros(fields, modes);
        Ars { stages: (0..tableau.stages).map(|_| zeros()).collect(), tableau, rate: zeros(), image: zeros() }
    }

    /// ARS(2,2,2), order 2.
    pub fn two(fields: usize, modes: usize) -> Self {
        Self::new(ars222(), fields, modes)
    }

    /// ARS(4,4,3), order 3.
    pub fn four(fields: usize, modes: usize) -> Self {
        Self::new(ars443(), fields, modes)
    }

    /// Adds what stage `from` brings to the `W` last right-hand sides; stage 0 starts them from M X_0.
    fn spread<const W: usize>(&mut self, from: usize, step: f64) {
        let first = self.tableau.stages - W;
        let weights = |table: &[[f64; 5]; 5]| std::array::from_fn(|i| T::of(step * table[first + i + 1][from]));
        let (n, l) = (weights(&self.tableau.explicit), weights(&self.tableau.implicit));
        let mut each = self.stages[first..].iter_mut();
        let outputs = std::array::from_fn(|_| each.next().expect("W stages are left"));
        if from == 0 {
            combine(&Start::<T, W>(n), [&self.image, &self.rate], outputs);
        } else {
            combine(&Spread::<T, W>(n, l), [&self.image, &self.rate], outputs);
        }
    }
}

/// Right-hand sides M X_0 + w N(X_0).
struct Start<T, const W: usize>([T; W]);

impl<T: Real, const W: usize> Sweep<T, 0, 2, W> for Start<T, W> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [image, rate]: [V; 2], _: [V; W]) -> [V; W] {
        self.0.map(|w| image + rate * w)
    }
}

/// Adds w N(X_j) + v L X_j.
struct Spread<T, const W: usize>([T; W], [T; W]);

impl<T: Real, const W: usize> Sweep<T, 0, 2, W> for Spread<T, W> {
    #[inline(always)]
    fn at<F: Factor<V>, V: Vector<T>>(&self, _: [F; 0], [image, rate]: [V; 2], old: [V; W]) -> [V; W] {
        std::array::from_fn(|i| old[i] + (rate * self.0[i] + image * self.1[i]))
    }
}

impl<T: Real> Stepper<T> for Ars<T> {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()> {
        let implicit = linear.implicit();
        // All diagonal entries of H are equal.
        prepare(implicit, &[step * self.tableau.implicit[1][1]]);
        nonlinear.evaluate(time, state, &mut self.rate)?;
        implicit.mass(state, &mut self.image);
        for j in 0..self.tableau.stages {
            match self.tableau.stages - j {
                4 => self.spread::<4>(j, step),
                3 => self.spread::<3>(j, step),
                2 => self.spread::<2>(j, step),
                _ => self.spread::<1>(j, step),
            }
            implicit.solve(0, &mut self.stages[j]);
            if j + 1 < self.tableau.stages {
                let at = time + self.tableau.abscissa(j + 1) * step;
                nonlinear.evaluate(at, &self.stages[j], &mut self.rate)?;
                implicit.apply(&self.stages[j], &mut self.image);
            }
        }
        let last = self.tableau.stages - 1;
        std::mem::swap(state, &mut self.stages[last]);
        Ok(())
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>) {
        (Vec::new(), Vec::new())
    }
}
