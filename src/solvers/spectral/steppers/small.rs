//! Equations in one dimension, small enough to read at a glance: for the tests of steppers and tangents.

use std::sync::Arc;

use num_complex::Complex;

use super::super::domain::{Axis, Basis, Domain, Tile};
use super::super::equation::{Coupling, Degree, Equation, FieldName, Round};
use super::super::fields::Fields;
use super::super::linear::Linear;
use super::super::nonlinear::Evaluation;
use super::super::transform::{Reference, Scales, Transform};
use crate::math::real::Real;
use crate::math::sum::tree_sum;
use crate::team::Solo;

type Z = Complex<f64>;

/// What stands on the right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Small {
    /// u_t = −6 u u_x − u_xxx.
    Kdv,
    /// u_t = −u u_x + ν u_xx.
    Burgers(f64),
    /// u_t = −u u_x − u_xx − u_xxxx.
    KuramotoSivashinsky,
    /// ψ_t = i/2 ψ_xx + i |ψ|²ψ.
    Schroedinger,
    /// u_t = u_xx + sin(u) + 0.3, the constant made in `assemble`.
    Sine,
    /// u_t = v_x + 0.1 u_xx − u u_x, v_t = u_x + 0.1 v_xx − (u v)_x: a block.
    Waves,
}

pub struct SmallEquation {
    kind: Small,
    names: Vec<FieldName>,
    rounds: [Round; 1],
}

impl SmallEquation {
    pub fn new(kind: Small) -> Self {
        let fields = if kind == Small::Waves { 2 } else { 1 };
        let names = (0..fields).map(|f| FieldName::new(["u", "v"][f], "")).collect();
        SmallEquation { kind, names, rounds: [Round { backward: fields, forward: fields }] }
    }
}

impl<T: Real> Equation<T> for SmallEquation {
    fn fields(&self) -> &[FieldName] {
        &self.names
    }

    fn coupling(&self) -> Coupling {
        match self.kind {
            Small::Kdv | Small::Schroedinger => Coupling::Diagonal,
            Small::Waves => Coupling::Block,
            _ => Coupling::RealDiagonal,
        }
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Z]) {
        let k = k[2];
        entries[0] = match self.kind {
            Small::Kdv => Complex::new(0.0, k * k * k),
            Small::Burgers(nu) => Complex::new(-nu * k * k, 0.0),
            Small::KuramotoSivashinsky => Complex::new(k * k - k * k * k * k, 0.0),
            Small::Schroedinger => Complex::new(0.0, -0.5 * k * k),
            Small::Sine => Complex::new(-k * k, 0.0),
            Small::Waves => {
                entries[1] = Complex::new(0.0, k);
                entries[2] = entries[1];
                entries[3] = Complex::new(-0.1 * k * k, 0.0);
                entries[3]
            }
        };
    }

    fn degree(&self) -> Degree {
        match self.kind {
            Small::Schroedinger => Degree::Polynomial(3),
            Small::Sine => Degree::Other,
            _ => Degree::Polynomial(2),
        }
    }

    fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    fn derive(
        &self,
        _: usize,
        _: f64,
        _: &Tile,
        state: &[&[Complex<T>]],
        _: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        out.iter_mut().zip(state).for_each(|(o, s)| o.copy_from_slice(s));
    }

    fn multiply(&self, _: usize, _: f64, _: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let u = values[0];
        for i in 0..u.len() {
            match self.kind {
                Small::Schroedinger => {
                    let pair = i & !1;
                    products[0][i] = u[i] * (u[pair] * u[pair] + u[pair + 1] * u[pair + 1]);
                }
                Small::Sine => products[0][i] = u[i].sin(),
                Small::Waves => {
                    products[0][i] = u[i] * u[i] * T::of(0.5);
                    products[1][i] = u[i] * values[1][i];
                }
                _ => products[0][i] = u[i] * u[i] * T::of(0.5),
            }
        }
    }

    fn assemble(
        &self,
        _: f64,
        tile: &Tile,
        _: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        let factor = |k: f64| match self.kind {
            Small::Kdv => Complex::new(0.0, -6.0 * k),
            Small::Schroedinger => Complex::new(0.0, 1.0),
            Small::Sine => Complex::new(1.0, 0.0),
            _ => Complex::new(0.0, -k),
        };
        for (o, p) in out.iter_mut().zip(products) {
            tile.for_each(|i, k| {
                o[i] = p[i] * T::complex(factor(k[2]));
                if self.kind == Small::Sine && k[2] == 0.0 {
                    o[i] += T::of(0.3);
                }
            });
        }
    }
}

/// An equation on a grid, ready to step.
pub struct Setting<T: Real> {
    pub transform: Reference<T>,
    pub evaluation: Evaluation<T>,
    pub linear: Linear,
    pub domain: Domain,
    pub fields: usize,
}

impl<T: Real> Setting<T> {
    /// Coordinates start at `low`; wavenumbers up to `highest` are kept, products taken on `points` points.
    pub fn new(kind: Small, low: f64, length: f64, points: usize, highest: usize) -> Self {
        let complex = kind == Small::Schroedinger;
        let basis = if complex { Basis::Fourier } else { Basis::HalfFourier };
        let axis = Axis { name: "x", basis, low, length, points, highest, sawtooth: false };
        let domain = Domain::new(vec![axis], complex);
        let equation = Arc::new(SmallEquation::new(kind));
        let mut transform = Reference::new(&domain);
        let linear = Linear::of::<T>(equation.as_ref(), &Scales::wavenumbers(&domain, transform.modes()));
        let fields = equation.names.len();
        let evaluation = Evaluation::new(equation, &mut transform, &Solo);
        Setting { transform, evaluation, linear, domain, fields }
    }

    /// Coefficients of fields given by their values.
    pub fn state(&mut self, value: impl Fn(usize, f64) -> Z) -> Fields<T> {
        let mut state = Fields::zeros(self.fields, self.transform.modes().len());
        let axis = self.domain.axes[2].clone();
        for (f, array) in state.arrays.iter_mut().enumerate() {
            let points = (0..axis.points).map(|i| value(f, axis.coordinate(i)));
            let grid: Vec<T> = match self.domain.complex {
                true => points.flat_map(|z| [T::of(z.re), T::of(z.im)]).collect(),
                false => points.map(|z| T::of(z.re)).collect(),
            };
            self.transform.forward(&Solo, &[&grid], &mut [array]);
        }
        state
    }
}

/// Σ over modes of both signs of Re conj(a) b, a mean over the box.
pub fn inner<T: Real>(domain: &Domain, a: &[Vec<Complex<T>>], b: &[Vec<Complex<T>>]) -> f64 {
    let real = |z: &Complex<T>| Complex::new(z.re.to_f64(), z.im.to_f64());
    let field = |(a, b): (&Vec<Complex<T>>, &Vec<Complex<T>>)| {
        tree_sum(a.len(), |i| {
            let weight = if domain.complex || i == 0 { 1.0 } else { 2.0 };
            weight * (real(&a[i]).conj() * real(&b[i])).re
        })
    };
    a.iter().zip(b).map(field).sum()
}
