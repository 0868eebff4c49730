//! Tangent-linear mode: a state together with directions δ that its derivative carries along, and Lyapunov exponents.
//!
//! State and directions are one longer list of fields, copy after copy: (u, δ₁, …, δ_m). A step is a composition of maps
//! that are linear in each mode and of evaluations of N; the same step of the list, with N replaced by
//! (N(u), N'(u)δ₁, …, N'(u)δ_m), is therefore the step and its exact derivative, whatever the scheme.
//!
//! N'(u)δ goes the way of N: `derive` and `assemble` are affine in state and products, so their derivative is their
//! value at δ less that at zero; `multiply` has [`Equation::multiply_tangent`]. All copies share one trip to the grid.

use num_complex::Complex;

use super::domain::Tile;
use super::equation::{Degree, Equation};
use super::fields::Fields;
use super::nonlinear::{Evaluation, over_tiles};
use super::steppers::Nonlinear;
use super::transform::Transform;
use crate::error::Result;
use crate::math::elementary::ln;
use crate::math::real::Real;
use crate::team::Team;

/// The derivative of `multiply` by central differences: two points for degree ≤ 2, four else (steps 1 and 2 are exact
/// up to degree 4; functions that are no polynomials take 2⁻¹⁰ and 2⁻⁹).
pub fn by_differences<T: Real, E: Equation<T> + ?Sized>(
    equation: &E,
    round: usize,
    time: f64,
    tile: &Tile,
    values: &[&[T]],
    tangents: &[&[T]],
    out: &mut [&mut [T]],
) {
    let (step, terms): (f64, &[(f64, f64)]) = match equation.degree() {
        Degree::Polynomial(degree) if degree <= 2 => (1.0, &[(1.0, 0.5), (-1.0, -0.5)]),
        degree => {
            let step = if matches!(degree, Degree::Polynomial(_)) { 1.0 } else { 1.0 / 1024.0 };
            (step, &[(2.0, -1.0 / 12.0), (1.0, 2.0 / 3.0), (-1.0, -2.0 / 3.0), (-2.0, 1.0 / 12.0)])
        }
    };
    let mut moved: Vec<Vec<T>> = values.iter().map(|v| v.to_vec()).collect();
    let mut products: Vec<Vec<T>> = out.iter().map(|o| vec![T::zero(); o.len()]).collect();
    out.iter_mut().for_each(|o| o.fill(T::zero()));
    for (distance, weight) in terms {
        let (distance, weight) = (T::of(distance * step), T::of(weight / step));
        for ((m, v), t) in moved.iter_mut().zip(values).zip(tangents) {
            m.iter_mut().zip(v.iter().zip(*t)).for_each(|(m, (v, t))| *m = *v + distance * *t);
        }
        let inputs: Vec<&[T]> = moved.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [T]> = products.iter_mut().map(Vec::as_mut_slice).collect();
        equation.multiply(round, time, tile, &inputs, &mut outputs);
        for (o, p) in out.iter_mut().zip(&products) {
            o.iter_mut().zip(p).for_each(|(o, p)| *o += weight * *p);
        }
    }
}

/// An [`Evaluation`] of N and of N'(u)δ for several directions δ, with its work space.
pub struct Tangent<T: Real> {
    base: Evaluation<T>,
    directions: usize,
    /// Arrays that go to the grid, copy after copy, and a last copy made from nothing.
    derived: Fields<T>,
    /// Products of all rounds, copy after copy.
    products: Fields<T>,
    /// What `assemble` makes of nothing.
    constant: Fields<T>,
    /// A coefficient array of zeros.
    nothing: Vec<Complex<T>>,
}

impl<T: Real> Tangent<T> {
    pub fn new(base: Evaluation<T>, directions: usize) -> Self {
        let modes = base.scales.block().len();
        let rounds = base.equation.rounds();
        let backward = rounds.iter().map(|r| r.backward).max().unwrap_or(0);
        let forward: usize = rounds.iter().map(|r| r.forward).sum();
        let fields = base.equation.fields().len();
        Tangent {
            base,
            directions,
            derived: Fields::zeros((directions + 2) * backward, modes),
            products: Fields::zeros((directions + 1) * forward, modes),
            constant: Fields::zeros(fields, modes),
            nothing: vec![Complex::new(T::zero(), T::zero()); modes],
        }
    }

    /// Fields of the state and of the directions together: what a stepper is made for.
    pub fn fields(&self) -> usize {
        (self.directions + 1) * self.base.equation.fields().len()
    }

    /// Ready to evaluate with this transform and team.
    pub fn bind<'a>(&'a mut self, transform: &'a mut dyn Transform<T>, team: &'a dyn Team) -> BoundTangent<'a, T> {
        BoundTangent { tangent: self, transform, team }
    }
}

/// A [`Tangent`] with its transform and ranks.
pub struct BoundTangent<'a, T: Real> {
    tangent: &'a mut Tangent<T>,
    transform: &'a mut dyn Transform<T>,
    team: &'a dyn Team,
}

/// Takes `constant` off each array.
fn less<T: Real>(out: &mut [&mut [Complex<T>]], constant: &[Vec<Complex<T>>], at: &std::ops::Range<usize>) {
    for (o, c) in out.iter_mut().zip(constant) {
        o.iter_mut().zip(&c[at.clone()]).for_each(|(o, c)| *o -= *c);
    }
}

impl<T: Real> Nonlinear<T> for BoundTangent<'_, T> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()> {
        let Tangent { base, directions, derived, products, constant, nothing } = &mut *self.tangent;
        let (equation, scales) = (base.equation.as_ref(), &base.scales);
        let (fields, copies) = (equation.fields().len(), *directions + 1);
        let rounds = equation.rounds();
        let (total, mut done) = (rounds.iter().map(|r| r.forward).sum::<usize>(), 0);
        for (r, round) in rounds.iter().enumerate() {
            let (b, f) = (round.backward, round.forward);
            let empty = vec![nothing.as_slice(); fields.max(total)];
            // The arrays made from nothing first: they are taken off those of the directions.
            let (arrays, rest) = derived.arrays.split_at_mut(copies * b);
            over_tiles(scales, &mut rest[..b], |tile, at, out| {
                let zeros: Vec<&[Complex<T>]> = empty.iter().map(|s| &s[at.clone()]).collect();
                equation.derive(r, time, tile, &zeros[..fields], &zeros[..done], out);
            });
            for (c, own) in arrays.chunks_mut(b.max(1)).enumerate().take(if b == 0 { 0 } else { copies }) {
                over_tiles(scales, own, |tile, at, out| {
                    let of =
                        |arrays: &'_ [Vec<Complex<T>>]| -> Vec<&'_ [Complex<T>]> { Vec::with_capacity(arrays.len()) };
                    let (mut state_of, mut earlier) = (of(&[]), of(&[]));
                    state_of.extend(state.arrays[c * fields..(c + 1) * fields].iter().map(|s| &s[at.clone()]));
                    earlier.extend(products.arrays[c * total..c * total + done].iter().map(|s| &s[at.clone()]));
                    equation.derive(r, time, tile, &state_of, &earlier, out);
                    if c > 0 {
                        less(out, &rest[..b], &at);
                    }
                });
            }
            let inputs: Vec<&[Complex<T>]> = arrays.iter().map(Vec::as_slice).collect();
            let mut outputs: Vec<&mut [Complex<T>]> = Vec::with_capacity(copies * f);
            for own in products.arrays.chunks_mut(total.max(1)) {
                outputs.extend(own[done..done + f].iter_mut().map(Vec::as_mut_slice));
            }
            let multiply = |tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]| {
                let (own, tangents) = products.split_at_mut(f);
                equation.multiply(r, time, tile, &values[..b], own);
                for c in 1..copies {
                    let out = &mut tangents[(c - 1) * f..c * f];
                    equation.multiply_tangent(r, time, tile, &values[..b], &values[c * b..(c + 1) * b], out);
                }
            };
            self.transform.through(self.team, &inputs, &multiply, &mut outputs);
            done += f;
        }
        let empty = vec![nothing.as_slice(); fields.max(total)];
        over_tiles(scales, &mut constant.arrays, |tile, at, out| {
            let zeros: Vec<&[Complex<T>]> = empty.iter().map(|s| &s[at.clone()]).collect();
            equation.assemble(time, tile, &zeros[..fields], &zeros[..total], out);
        });
        for (c, own) in out.arrays.chunks_mut(fields).enumerate() {
            over_tiles(scales, own, |tile, at, out| {
                let state: Vec<_> = state.arrays[c * fields..(c + 1) * fields].iter().map(|s| &s[at.clone()]).collect();
                let products: Vec<_> =
                    products.arrays[c * total..(c + 1) * total].iter().map(|s| &s[at.clone()]).collect();
                equation.assemble(time, tile, &state, &products, out);
                if c > 0 {
                    less(out, &constant.arrays, &at);
                } else if let Some(forcing) = &base.forcing {
                    for (o, f) in out.iter_mut().zip(&forcing.arrays) {
                        o.iter_mut().zip(&f[at.clone()]).for_each(|(o, f)| *o += *f);
                    }
                }
            });
        }
        Ok(())
    }
}

/// The inner product of two states or directions (as many arrays as the equation has fields), over all modes of both
/// signs and all ranks.
pub type Inner<'a, T> = dyn FnMut(&[Vec<Complex<T>>], &[Vec<Complex<T>>]) -> f64 + 'a;

/// Lyapunov exponents by repeated QR (Benettin et al. 1980): means of ln R_jj per time, with their standard errors from
/// the means of batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Lyapunov {
    /// Decompositions of one batch.
    batch: usize,
    /// Decompositions and time in the present batch.
    taken: usize,
    span: f64,
    /// Σ ln R_jj of the present batch.
    present: Vec<f64>,
    /// Batches, and sums over them of the mean and of its square.
    batches: usize,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Lyapunov {
    /// `batch` decompositions should span several correlation times.
    pub fn new(directions: usize, batch: usize) -> Lyapunov {
        let zeros = vec![0.0; directions];
        Lyapunov {
            batch,
            taken: 0,
            span: 0.0,
            present: zeros.clone(),
            batches: 0,
            means: zeros.clone(),
            squares: zeros,
        }
    }

    /// Makes the directions in `state` (copies 1 to m) orthonormal by modified Gram–Schmidt and counts their growth over
    /// the `span` of time since the last call.
    pub fn orthonormalise<T: Real>(&mut self, state: &mut Fields<T>, span: f64, inner: &mut Inner<T>) {
        let growth = orthonormalise(state, self.present.len(), inner);
        self.present.iter_mut().zip(growth).for_each(|(p, g)| *p += ln(g));
        self.taken += 1;
        self.span += span;
        if self.taken == self.batch {
            for (j, sum) in self.present.iter_mut().enumerate() {
                let mean = std::mem::take(sum) / self.span;
                self.means[j] += mean;
                self.squares[j] += mean * mean;
            }
            self.batches += 1;
            (self.taken, self.span) = (0, 0.0);
        }
    }

    /// Exponents and their standard errors, from the batches completed (two at least).
    pub fn exponents(&self) -> Vec<(f64, f64)> {
        let n = self.batches as f64;
        let pair = |(sum, square): (&f64, &f64)| {
            let mean = sum / n;
            (mean, ((square / n - mean * mean).max(0.0) / (n - 1.0)).sqrt())
        };
        self.means.iter().zip(&self.squares).map(pair).collect()
    }
}

/// The dimension of Kaplan and Yorke: j + (λ₁ + … + λ_j)/|λ_{j+1}| for the last j at which the sum is not negative.
/// None: the exponents given do not reach far enough down.
pub fn kaplan_yorke(exponents: &[f64]) -> Option<f64> {
    let mut sum = 0.0;
    for (j, l) in exponents.iter().enumerate() {
        if sum + l < 0.0 {
            return Some(j as f64 + sum / l.abs());
        }
        sum += l;
    }
    None
}

/// Makes the last copies of `state` orthonormal and returns their lengths after what is not new was taken off (R_jj).
pub fn orthonormalise<T: Real>(state: &mut Fields<T>, directions: usize, inner: &mut Inner<T>) -> Vec<f64> {
    let fields = state.len() / (directions + 1);
    let mut lengths = Vec::with_capacity(directions);
    for j in 1..=directions {
        let (before, rest) = state.arrays.split_at_mut(j * fields);
        let own = &mut rest[..fields];
        for other in before[fields..].chunks(fields) {
            let part = T::of(inner(other, own));
            for (o, q) in own.iter_mut().zip(other) {
                o.iter_mut().zip(q).for_each(|(o, q)| *o -= *q * part);
            }
        }
        let length = inner(own, own).sqrt();
        let scale = T::of(1.0 / length);
        own.iter_mut().flatten().for_each(|o| *o *= scale);
        lengths.push(length);
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::super::linear::Fourier;
    use super::super::steppers::small::{Setting, Small, inner};
    use super::super::steppers::{Kind, LinearPart, Scheme, Stepper, schemes, stepper};
    use super::*;
    use crate::team::Solo;

    fn equations() -> Vec<(Small, f64)> {
        vec![
            (Small::Kdv, 20.0),
            (Small::Burgers(0.2), 6.0),
            (Small::KuramotoSivashinsky, 22.0),
            (Small::Schroedinger, 15.0),
            (Small::Sine, 6.0),
            (Small::Waves, 7.0),
        ]
    }

    fn setting(kind: Small, length: f64) -> Setting<f64> {
        Setting::new(kind, 0.0, length, 64, if kind == Small::Schroedinger { 15 } else { 21 })
    }

    /// A smooth state, or a direction.
    fn smooth(setting: &mut Setting<f64>, length: f64, phase: f64) -> Fields<f64> {
        let k = std::f64::consts::TAU / length;
        setting.state(|f, x| {
            let p = phase + f as f64;
            Complex::new((k * x + p).sin() + 0.4 * (2.0 * k * x - p).cos(), 0.5 * (3.0 * k * x + 2.0 * p).sin())
        })
    }

    fn steps<N: Nonlinear<f64>>(
        scheme: &Scheme,
        linear: &super::super::linear::Linear,
        nonlinear: &mut N,
        state: &mut Fields<f64>,
        n: usize,
        step: f64,
    ) {
        let mut fourier = Fourier::new(linear.clone());
        let mut part = match scheme.kind {
            Kind::Exponential => LinearPart::Exponential(linear),
            Kind::Imex => LinearPart::Implicit(&mut fourier),
        };
        let mut stepper: Box<dyn Stepper<f64>> = stepper(scheme.word, state.len(), state.modes()).unwrap();
        (0..n).for_each(|i| stepper.step(nonlinear, &mut part, i as f64 * step, step, state).unwrap());
    }

    #[test]
    fn the_remainder_of_the_tangent_is_of_second_order_for_every_scheme_and_equation() {
        for (kind, length) in equations() {
            for scheme in schemes() {
                let (n, step) = (5, 2e-3);
                let mut s = setting(kind, length);
                let (start, direction) = (smooth(&mut s, length, 0.3), smooth(&mut s, length, 1.1));
                let Setting { mut transform, mut evaluation, linear, domain, .. } = s;
                let mut moved = |epsilon: f64| {
                    let mut state = start.clone();
                    let pairs = state.arrays.iter_mut().flatten().zip(direction.arrays.iter().flatten());
                    pairs.for_each(|(s, d)| *s += *d * epsilon);
                    steps(scheme, &linear, &mut evaluation.bind(&mut transform, &Solo, None), &mut state, n, step);
                    state
                };
                let (base, far, near) = (moved(0.0), moved(0.2), moved(0.1));
                let mut both = start.clone();
                both.arrays.extend(direction.arrays.clone());
                let mut tangent = Tangent::new(evaluation, 1);
                steps(scheme, &linear, &mut tangent.bind(&mut transform, &Solo), &mut both, n, step);
                // The state in the list has the bits of the state alone.
                let fields = base.len();
                assert_eq!(both.arrays[..fields], base.arrays, "{kind:?} {}", scheme.word);
                let remainder = |state: &Fields<f64>, epsilon: f64| {
                    let mut r = state.clone();
                    let linear = base.arrays.iter().flatten().zip(both.arrays[fields..].iter().flatten());
                    r.arrays.iter_mut().flatten().zip(linear).for_each(|(r, (b, d))| *r -= *b + *d * epsilon);
                    inner(&domain, &r.arrays, &r.arrays).sqrt()
                };
                let order = (remainder(&far, 0.2) / remainder(&near, 0.1)).log2();
                assert!((order - 2.0).abs() < 0.06, "{kind:?} {}: order {order}", scheme.word);
            }
        }
    }

    #[test]
    fn tangents_of_polynomials_are_linear_to_rounding_and_of_others_to_the_promised_digits() {
        // N'(u)(a + 3b) = N'(u)a + 3 N'(u)b: also with what `assemble` adds to nothing.
        for (kind, length) in equations() {
            let mut s = setting(kind, length);
            let parts = [0.3, 1.1, 2.0].map(|phase| smooth(&mut s, length, phase));
            let fields = s.fields;
            let Setting { mut transform, evaluation, .. } = s;
            let mut list = parts[0].clone();
            list.arrays.extend(parts[1].arrays.clone());
            list.arrays.extend(parts[2].arrays.clone());
            let mut sum = parts[1].clone();
            let pairs = sum.arrays.iter_mut().flatten().zip(parts[2].arrays.iter().flatten());
            pairs.for_each(|(a, b)| *a += *b * 3.0);
            list.arrays.extend(sum.arrays);
            let mut tangent = Tangent::new(evaluation, 3);
            assert_eq!(tangent.fields(), list.len());
            let mut out = list.clone();
            tangent.bind(&mut transform, &Solo).evaluate(0.0, &list, &mut out).unwrap();
            let copy = |c: usize| out.arrays[c * fields..(c + 1) * fields].iter().flatten();
            let tolerance = if kind == Small::Sine { 2e-11 } else { 1e-13 };
            for ((a, b), sum) in copy(1).zip(copy(2)).zip(copy(3)) {
                assert!((a + b * 3.0 - sum).norm() < tolerance * 10.0, "{kind:?}: {a} {b} {sum}");
            }
        }
    }

    /// Exponents of Kuramoto–Sivashinsky at L = 22 with ETDRK4 at Δt = 0.1, after a transient of 200.
    fn kuramoto_sivashinsky(directions: usize, end: f64) -> Vec<(f64, f64)> {
        let mut s = Setting::<f64>::new(Small::KuramotoSivashinsky, 0.0, 22.0, 64, 21);
        let k = std::f64::consts::TAU / 22.0;
        let mut list = s.state(|_, x| Complex::new((k * x).cos() + 0.1 * (2.0 * k * x).sin(), 0.0));
        for j in 0..directions {
            let phase = |x: f64| ((j / 2) as f64 + if j % 2 == 0 { 1.0 } else { 0.0 }) * k * x;
            let wave =
                s.state(|_, x| Complex::new(if j % 2 == 0 { phase(x).sin() } else { phase(x).cos() } + 0.01, 0.0));
            list.arrays.extend(wave.arrays);
        }
        let Setting { mut transform, evaluation, linear, domain, .. } = s;
        let mut tangent = Tangent::new(evaluation, directions);
        let mut stepper = stepper::<f64>("etdrk4", list.len(), list.modes()).unwrap();
        let mut lyapunov = Lyapunov::new(directions, 50);
        let mut product = |a: &[Vec<Complex<f64>>], b: &[Vec<Complex<f64>>]| inner(&domain, a, b);
        let (step, between) = (0.1, 10);
        let rounds = (end / step) as usize / between;
        let transient = (200.0 / step) as usize / between;
        for round in 0..transient + rounds {
            for i in 0..between {
                let time = (round * between + i) as f64 * step;
                let mut part = LinearPart::Exponential(&linear);
                stepper.step(&mut tangent.bind(&mut transform, &Solo), &mut part, time, step, &mut list).unwrap();
            }
            if round < transient {
                orthonormalise(&mut list, directions, &mut product);
            } else {
                lyapunov.orthonormalise(&mut list, step * between as f64, &mut product);
            }
        }
        lyapunov.exponents()
    }

    #[test]
    fn the_first_exponents_of_kuramoto_sivashinsky_are_near_their_values() {
        // 0.0455, then three zeros (§4.1).
        let found = kuramoto_sivashinsky(4, 1500.0);
        println!("{found:?}");
        assert!((found[0].0 - 0.0455).abs() < 4.0 * found[0].1 && found[0].1 < 0.012, "{found:?}");
        for (value, error) in &found[1..] {
            assert!(value.abs() < 0.01 && *error < 0.01, "{found:?}");
        }
    }

    #[test]
    #[ignore = "a minute: the numbers of the documentation"]
    fn the_spectrum_of_kuramoto_sivashinsky_over_a_long_time() {
        let found = kuramoto_sivashinsky(11, 2e4);
        println!("{found:?}");
        assert!((found[0].0 - 0.0455).abs() < 0.004, "{found:?}");
        for (value, _) in &found[1..4] {
            assert!(value.abs() < 0.005, "{found:?}");
        }
        let values: Vec<f64> = found.iter().map(|f| f.0).collect();
        let dimension = kaplan_yorke(&values).unwrap();
        println!("Kaplan–Yorke dimension {dimension:.3}");
        assert!((dimension - 5.24).abs() < 0.05, "{dimension}");
        for (value, expected) in values[4..].iter().zip([-0.0025, -0.185, -0.256, -0.288, -0.310, -1.965, -1.968]) {
            assert!((value - expected).abs() < 0.01, "{values:?}");
        }
    }

    #[test]
    fn the_kaplan_yorke_dimension_of_a_known_spectrum() {
        // The Lorenz attractor: 0.9056, 0, −14.5723: 2.0621.
        assert!((kaplan_yorke(&[0.9056, 0.0, -14.5723]).unwrap() - 2.0621).abs() < 1e-4);
        assert_eq!(kaplan_yorke(&[0.1, 0.0]), None);
    }
}
