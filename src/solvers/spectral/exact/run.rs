//! A small solver for the truths: the reference transform, integrating-factor RK4.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::Arc;

use num_complex::Complex;

use crate::error::Result;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Axis, Basis, Domain};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation};
use crate::solvers::spectral::equations::{EquationInput, Initial};
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::initial::{Random, Spectrum, constrain, from_profile, random};
use crate::solvers::spectral::nonlinear::Evaluation;
use crate::solvers::spectral::steppers::Nonlinear;
use crate::solvers::spectral::tangent::{Tangent, inner_products};
use crate::solvers::spectral::transform::{Reference, Scales, Transform};
use crate::team::{Solo, Team};

/// A periodic box from 0 with K modes kept, on as many points as products of degree `degree` need at least.
pub fn padded(highest: &[usize], lengths: &[f64], degree: usize, complex: bool) -> Domain {
    boxed(highest, &highest.iter().map(|k| (degree + 1) * k + 1).collect::<Vec<_>>(), lengths, complex)
}

/// A periodic box from 0 with `points` points, of whose modes two thirds are kept.
pub fn truncated(points: &[usize], lengths: &[f64], complex: bool) -> Domain {
    boxed(&points.iter().map(|m| m.div_ceil(3) - 1).collect::<Vec<_>>(), points, lengths, complex)
}

fn boxed(highest: &[usize], points: &[usize], lengths: &[f64], complex: bool) -> Domain {
    let last = highest.len() - 1;
    let axes = (0..highest.len()).map(|a| Axis {
        name: ["x", "y", "z"][a],
        basis: if a == last && !complex { Basis::HalfFourier } else { Basis::Fourier },
        low: 0.0,
        length: lengths[a],
        points: points[a],
        highest: highest[a],
        sawtooth: false,
    });
    Domain::new(axes.collect(), complex)
}

/// The `equation = { … }` of an input.
pub fn input(text: &str) -> EquationInput {
    toml::from_str(text).unwrap()
}

/// An equation on one rank, with its state and time.
pub struct Run<T: Real> {
    pub equation: Arc<dyn Equation<T>>,
    pub transform: Reference<T>,
    pub state: Fields<T>,
    pub time: f64,
    evaluation: Evaluation<T>,
    team: Solo,
    /// L per field and mode; for blocks per mode F × F.
    linear: Vec<Vec<Complex<f64>>>,
}

impl<T: Real> Run<T> {
    pub fn new(input: &EquationInput, domain: &Domain) -> Run<T> {
        Run::of(input.build::<T>(domain).unwrap(), domain)
    }

    /// The same for an equation that is built already.
    pub fn of(equation: Arc<dyn Equation<T>>, domain: &Domain) -> Run<T> {
        let (team, mut transform) = (Solo, Reference::new(domain));
        let evaluation = Evaluation::new(equation.clone(), &mut transform, &team);
        let (f, modes) = (equation.fields().len(), transform.modes());
        let entries = if equation.coupling() == Coupling::Block { f * f } else { f };
        let mut linear = vec![Vec::new(); entries];
        let mut here = vec![Complex::new(0.0, 0.0); entries];
        for (tile, _) in Scales::wavenumbers(domain, modes).tiles(1) {
            tile.for_each(|_, k| {
                equation.linear(k, &mut here);
                linear.iter_mut().zip(&here).for_each(|(l, z)| l.push(*z));
            });
        }
        let state = Fields::zeros(f, modes.len());
        Run { equation, transform, state, time: 0.0, evaluation, team, linear }
    }

    /// Starts from a named initial condition of the input's equation.
    pub fn named(input: &EquationInput, domain: &Domain, name: &str, parameters: &[(&str, f64)]) -> (Run<T>, Initial) {
        let mut run = Run::new(input, domain);
        let parameters: BTreeMap<String, f64> = parameters.iter().map(|(w, x)| (w.to_string(), *x)).collect();
        let initial = input.initial(Some(name), &parameters, domain).unwrap();
        run.fill(&initial, 0.0);
        (run, initial)
    }

    /// Sets the state to the profile's at `time`.
    pub fn fill(&mut self, initial: &Initial, time: f64) {
        let Run { equation, transform, state, team, .. } = self;
        from_profile(&initial.profile, time, equation.as_ref(), transform, team as &dyn Team, state);
    }

    /// N of a state.
    pub fn rate(&mut self, time: f64, state: &Fields<T>) -> Fields<T> {
        let mut out = Fields::zeros(state.len(), state.modes());
        self.try_rate(time, state, &mut out).unwrap();
        out
    }

    /// The same, with its error.
    pub fn try_rate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()> {
        self.evaluation.bind(&mut self.transform, &self.team, None).evaluate(time, state, out)
    }

    /// N'(state) of each direction.
    pub fn tangents(&mut self, time: f64, state: &Fields<T>, directions: &[&Fields<T>]) -> Vec<Fields<T>> {
        let mut list = state.clone();
        directions.iter().for_each(|d| list.arrays.extend(d.arrays.iter().cloned()));
        let mut out = list.clone();
        let mut tangent = Tangent::new(&self.evaluation, directions.len());
        tangent.bind(&self.evaluation, &mut self.transform, &self.team, None).evaluate(time, &list, &mut out).unwrap();
        let mut copies = out.arrays.chunks(state.len()).map(|arrays| Fields { arrays: arrays.to_vec() });
        copies.next();
        copies.collect()
    }

    /// Inner product over all modes of both signs.
    pub fn inner(&self, a: &Fields<T>, b: &Fields<T>) -> f64 {
        let (domain, scales) =
            (self.transform.domain(), Scales::wavenumbers(self.transform.domain(), self.transform.modes()));
        inner_products(domain, &scales, &self.team)(&a.arrays, &[&b.arrays])[0]
    }

    /// Sets the state to random fields over all kept modes, with this mean where the equation allows one.
    pub fn randomise(&mut self, amplitude: f64, mean: f64, seed: u64) {
        let spectrum = Spectrum::PowerLaw { exponent: 0.0, lowest: 0.1, highest: 100.0 };
        let fields = self.state.len();
        let (chosen, means) = (vec![true; fields], vec![mean; fields]);
        let recipe = Random { spectrum, amplitude, chosen: &chosen, means: &means, seed };
        random(&recipe, self.equation.as_ref(), &self.transform, &mut self.state);
        constrain(self.equation.as_ref(), &self.transform, &mut self.state);
    }

    /// `steps` steps to `end`.
    pub fn advance(&mut self, end: f64, steps: usize) {
        let dt = (end - self.time) / steps as f64;
        let half: Vec<Vec<Complex<T>>> =
            self.linear.iter().map(|l| l.iter().map(|z| T::complex((z * (0.5 * dt)).exp())).collect()).collect();
        let start = self.time;
        for s in 0..steps {
            let t = start + s as f64 * dt;
            if self.equation.coupling() == Coupling::Block {
                self.runge_kutta(t, dt)
            } else {
                self.factor_step(t, dt, &half)
            }
        }
        self.time = end;
    }

    /// Integrating factor, then classical RK4.
    fn factor_step(&mut self, t: f64, dt: f64, half: &[Vec<Complex<T>>]) {
        let decay = |fields: &Fields<T>| {
            let mut out = fields.clone();
            for (out, e) in out.arrays.iter_mut().zip(half) {
                out.iter_mut().zip(e).for_each(|(z, e)| *z *= *e);
            }
            out
        };
        let u = self.state.clone();
        let k1 = self.rate(t, &u);
        let k2 = self.rate(t + 0.5 * dt, &decay(&sum(&u, 0.5 * dt, &k1)));
        let eu = decay(&u);
        let k3 = self.rate(t + 0.5 * dt, &sum(&eu, 0.5 * dt, &k2));
        let k4 = self.rate(t + dt, &decay(&sum(&eu, dt, &k3)));
        let middle = sum(&sum(&decay(&sum(&u, dt / 6.0, &k1)), dt / 3.0, &k2), dt / 3.0, &k3);
        self.state = sum(&decay(&middle), dt / 6.0, &k4);
    }

    /// Classical RK4 on the whole right-hand side.
    fn runge_kutta(&mut self, t: f64, dt: f64) {
        let u = self.state.clone();
        let k1 = self.whole(t, &u);
        let k2 = self.whole(t + 0.5 * dt, &sum(&u, 0.5 * dt, &k1));
        let k3 = self.whole(t + 0.5 * dt, &sum(&u, 0.5 * dt, &k2));
        let k4 = self.whole(t + dt, &sum(&u, dt, &k3));
        let all = sum(&sum(&sum(&u, dt / 6.0, &k1), dt / 3.0, &k2), dt / 3.0, &k3);
        self.state = sum(&all, dt / 6.0, &k4);
    }

    /// L u + N.
    pub fn whole(&mut self, t: f64, u: &Fields<T>) -> Fields<T> {
        let mut out = self.rate(t, u);
        let fields = u.len();
        let block = self.equation.coupling() == Coupling::Block;
        for row in 0..fields {
            for column in 0..fields {
                if !block && row != column {
                    continue;
                }
                let entries = &self.linear[if block { row * fields + column } else { row }];
                for ((out, u), l) in out.arrays[row].iter_mut().zip(&u.arrays[column]).zip(entries) {
                    *out += *u * T::complex(*l);
                }
            }
        }
        out
    }

    /// Largest |state − profile at the run's time| over the fields and modes, relative to the largest of the profile.
    pub fn error(&mut self, initial: &Initial) -> f64 {
        let mine = self.state.clone();
        self.fill(initial, self.time);
        let truth = std::mem::replace(&mut self.state, mine);
        let size = |a: &Fields<T>| a.arrays.iter().flatten().map(|z| z.norm().to_f64()).fold(0.0, f64::max);
        size(&sum(&self.state, -1.0, &truth)) / size(&truth)
    }

    /// The equation's quadratic series at the present state, by name; and the rate of change of each field's square
    /// mean in the order of the fields.
    pub fn series(&mut self) -> BTreeMap<&'static str, f64> {
        let (state, time) = (self.state.clone(), self.time);
        let rate = self.rate(time, &state);
        let names = self.equation.quadratics();
        let mut totals = vec![0.0; names.len()];
        self.each_mode(|i, k, weight, equation| {
            let at = |f: &Fields<T>| -> Vec<Complex<f64>> { f.arrays.iter().map(|a| wide(a[i])).collect() };
            let mut here = vec![0.0; names.len()];
            equation.densities(k, &at(&state), &at(&rate), &mut here);
            totals.iter_mut().zip(&here).for_each(|(t, x)| *t += weight * x);
        });
        let pointwise = self.evaluation.pointwise(&mut self.transform, &self.team, &state);
        let grid = self.equation.pointwise().into_iter().map(|q| q.name).zip(pointwise);
        names.iter().map(|q| q.name).zip(totals).chain(grid).collect()
    }

    /// Calls `act(i, k, weight, equation)` for every stored mode; the weight counts the conjugate that is not stored.
    pub fn each_mode(&self, mut act: impl FnMut(usize, [f64; 3], f64, &dyn Equation<T>)) {
        let (domain, modes) = (self.transform.domain(), self.transform.modes());
        for (tile, at) in Scales::wavenumbers(domain, modes).tiles(2048) {
            tile.for_each(|i, k| {
                let weight = if domain.complex || k[2] == 0.0 { 1.0 } else { 2.0 };
                act(at.start + i, k, weight, self.equation.as_ref());
            });
        }
    }

    /// Grid values of the fields.
    pub fn values(&mut self) -> Vec<Vec<T>> {
        let n = self.transform.points().len() * self.transform.domain().reals();
        let mut grids = vec![vec![T::zero(); n]; self.state.len()];
        let mut views: Vec<&mut [T]> = grids.iter_mut().map(Vec::as_mut_slice).collect();
        self.transform.backward(&self.team, &self.state.views(), &mut views);
        grids
    }

    pub fn degree(&self) -> usize {
        match self.equation.degree() {
            Degree::Polynomial(d) => d as usize,
            Degree::Other => 3,
        }
    }
}

fn wide<T: Real>(z: Complex<T>) -> Complex<f64> {
    Complex::new(z.re.to_f64(), z.im.to_f64())
}

/// a + factor · b.
pub fn sum<T: Real>(a: &Fields<T>, factor: f64, b: &Fields<T>) -> Fields<T> {
    let mut out = a.clone();
    for (out, b) in out.arrays.iter_mut().zip(&b.arrays) {
        out.iter_mut().zip(b).for_each(|(a, b)| *a += *b * T::of(factor));
    }
    out
}

/// log₂ of the error at `steps` over that at twice as many.
pub fn order(mut error: impl FnMut(usize) -> f64, steps: usize) -> f64 {
    (error(steps) / error(2 * steps)).log2()
}

/// 2π.
pub const CIRCLE: f64 = TAU;
