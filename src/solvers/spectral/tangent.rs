//! Tangent-linear mode: a state together with directions δ that its derivative carries along, and Lyapunov exponents.
//!
//! State and directions are one longer list of fields, copy after copy: (u, δ₁, …, δ_m). A step is a composition of maps
//! that are linear in each mode and of evaluations of N; the same step of the list, with N replaced by
//! (N(u), N'(u)δ₁, …, N'(u)δ_m), is therefore the step and its exact derivative, whatever the scheme.
//!
//! N'(u)δ goes the way of N: `derive` and `assemble` are affine in state and products, so their derivative is their
//! value at δ less that at zero; `multiply` has [`Equation::multiply_tangent`]. All copies share one trip to the grid.

use std::ops::Range;
use std::sync::Mutex;

use num_complex::Complex;
use smallvec::{SmallVec, smallvec};

use super::domain::{Domain, Tile};
use super::equation::{Degree, Equation};
use super::expression::with_parts;
use super::fields::Fields;
use super::nonlinear::{Evaluation, Speeds, Views, over_tiles, parts};
use super::results::{means, ranks};
use super::steppers::Nonlinear;
use super::transform::{Scales, Transform};
use crate::error::Result;
use crate::math::elementary::ln;
use crate::math::real::Real;
use crate::team::Team;

/// The derivative of products that are polynomials of the arrays, by central differences: two points for degree ≤ 2, four
/// else, which are exact up to degree 4.
pub fn by_differences<T: Real, E: Equation<T> + ?Sized>(
    equation: &E,
    round: usize,
    time: f64,
    tile: &Tile,
    (values, rates): (&[&[T]], &[&[T]]),
    work: &mut Vec<T>,
    out: &mut [&mut [T]],
) {
    let terms: &[(f64, f64)] = match equation.degree() {
        Degree::Polynomial(degree) if degree <= 2 => &[(1.0, 0.5), (-1.0, -0.5)],
        _ => &[(2.0, -1.0 / 12.0), (1.0, 2.0 / 3.0), (-1.0, -2.0 / 3.0), (-2.0, 1.0 / 12.0)],
    };
    out.iter_mut().for_each(|o| o.fill(T::zero()));
    let Some(n) = values.first().map(|v| v.len()).filter(|n| *n > 0) else { return };
    work.resize((values.len() + out.len()) * n, T::zero());
    with_parts(work, n, |parts| {
        let (moved, products) = parts.split_at_mut(values.len());
        for &(distance, weight) in terms {
            let (distance, weight) = (T::of(distance), T::of(weight));
            for ((m, v), r) in moved.iter_mut().zip(values).zip(rates) {
                m.iter_mut().zip(v.iter().zip(*r)).for_each(|(m, (v, r))| *m = *v + distance * *r);
            }
            let inputs: Views<&[T]> = moved.iter().map(|m| &**m).collect();
            equation.multiply(round, time, tile, &inputs, products);
            for (o, p) in out.iter_mut().zip(&*products) {
                o.iter_mut().zip(&**p).for_each(|(o, p)| *o += weight * *p);
            }
        }
    });
}

/// Work space for N and N'(u)δ of several directions δ, beside that of an [`Evaluation`].
pub struct Tangent<T: Real> {
    directions: usize,
    /// Arrays that go to the grid, copy after copy, and a last copy made from nothing.
    derived: Fields<T>,
    /// Products of all rounds, copy after copy.
    products: Fields<T>,
    /// What `assemble` makes of nothing.
    constant: Fields<T>,
    /// A coefficient array of zeros.
    nothing: Vec<Complex<T>>,
    /// Work space of threads that do not use it now.
    pool: Mutex<Vec<Vec<T>>>,
}

impl<T: Real> Tangent<T> {
    pub fn new(base: &Evaluation<T>, directions: usize) -> Self {
        let modes = base.scales.block().len();
        let rounds = base.equation.rounds();
        let backward = rounds.iter().map(|r| r.backward).max().unwrap_or(0);
        let forward: usize = rounds.iter().map(|r| r.forward).sum();
        Tangent {
            directions,
            derived: Fields::zeros((directions + 2) * backward, modes),
            products: Fields::zeros((directions + 1) * forward, modes),
            constant: Fields::zeros(base.equation.fields().len(), modes),
            nothing: vec![Complex::new(T::zero(), T::zero()); modes],
            pool: Mutex::new(Vec::new()),
        }
    }

    /// Ready to evaluate with this transform and team; `fastest` becomes the speeds met on the way.
    pub fn bind<'a>(
        &'a mut self,
        base: &'a Evaluation<T>,
        transform: &'a mut dyn Transform<T>,
        team: &'a dyn Team,
        fastest: Option<&'a mut [f64; 3]>,
    ) -> BoundTangent<'a, T> {
        BoundTangent { tangent: self, base, transform, team, fastest }
    }
}

/// A [`Tangent`] with its equation, transform and ranks.
pub struct BoundTangent<'a, T: Real> {
    tangent: &'a mut Tangent<T>,
    base: &'a Evaluation<T>,
    transform: &'a mut dyn Transform<T>,
    team: &'a dyn Team,
    fastest: Option<&'a mut [f64; 3]>,
}

/// Takes `constant` off each array.
fn less<T: Real>(out: &mut [&mut [Complex<T>]], constant: &[Vec<Complex<T>>], at: &Range<usize>) {
    for (o, c) in out.iter_mut().zip(constant) {
        o.iter_mut().zip(&c[at.clone()]).for_each(|(o, c)| *o -= *c);
    }
}

/// The parts of arrays that belong to a tile.
fn cut<'a, T>(arrays: &'a [Vec<Complex<T>>], at: &Range<usize>) -> Views<&'a [Complex<T>]> {
    arrays.iter().map(|a| &a[at.clone()]).collect()
}

impl<T: Real> Nonlinear<T> for BoundTangent<'_, T> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()> {
        let base = self.base;
        let Tangent { directions, derived, products, constant, nothing, pool } = &mut *self.tangent;
        let (equation, scales) = (base.equation.as_ref(), &base.scales);
        let (fields, copies) = (equation.fields().len(), *directions + 1);
        let rounds = equation.rounds();
        let (total, mut done) = (rounds.iter().map(|r| r.forward).sum::<usize>(), 0);
        let empty: Views<&[Complex<T>]> = smallvec![nothing.as_slice(); fields.max(total)];
        let speeds = (self.fastest.is_some() && equation.carries()).then(|| Speeds::of(equation));
        for (r, round) in rounds.iter().enumerate() {
            let (b, f) = (round.backward, round.forward);
            // The arrays made from nothing first: they are taken off those of the directions.
            let (arrays, rest) = derived.arrays.split_at_mut(copies * b);
            over_tiles(scales, &mut rest[..b], |tile, at, out| {
                let zeros = parts(&empty, &at);
                equation.derive(r, time, tile, &zeros[..fields], &zeros[..done], out);
            });
            for (c, own) in arrays.chunks_mut(b.max(1)).enumerate() {
                over_tiles(scales, own, |tile, at, out| {
                    let state = cut(&state.arrays[c * fields..(c + 1) * fields], &at);
                    let earlier = cut(&products.arrays[c * total..c * total + done], &at);
                    equation.derive(r, time, tile, &state, &earlier, out);
                    if c > 0 {
                        less(out, &rest[..b], &at);
                    }
                });
            }
            let inputs: Views<&[Complex<T>]> = arrays.iter().map(Vec::as_slice).collect();
            let mut outputs: Views<&mut [Complex<T>]> = SmallVec::new();
            for own in products.arrays.chunks_mut(total.max(1)) {
                outputs.extend(own[done..done + f].iter_mut().map(Vec::as_mut_slice));
            }
            let multiply = |tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]| {
                if let Some(speeds) = &speeds {
                    speeds.meet(equation, r, time, tile, &values[..b]);
                }
                let (own, tangents) = products.split_at_mut(f);
                equation.multiply(r, time, tile, &values[..b], own);
                let mut work = pool.lock().expect("no thread panicked").pop().unwrap_or_default();
                for (c, out) in tangents.chunks_mut(f.max(1)).enumerate() {
                    let rates = &values[(c + 1) * b..(c + 2) * b];
                    equation.multiply_tangent(r, time, tile, (&values[..b], rates), &mut work, out);
                }
                pool.lock().expect("no thread panicked").push(work);
            };
            self.transform.through(self.team, &inputs, &multiply, &mut outputs);
            done += f;
        }
        if let (Some(speeds), Some(fastest)) = (speeds, self.fastest.take()) {
            *fastest = speeds.fastest(equation, self.team);
        }
        over_tiles(scales, &mut constant.arrays, |tile, at, out| {
            let zeros = parts(&empty, &at);
            equation.assemble(time, tile, &zeros[..fields], &zeros[..total], out);
        });
        for (c, own) in out.arrays.chunks_mut(fields).enumerate() {
            over_tiles(scales, own, |tile, at, out| {
                let state = cut(&state.arrays[c * fields..(c + 1) * fields], &at);
                let products = cut(&products.arrays[c * total..(c + 1) * total], &at);
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
        if let Some(band) = &base.band {
            // The derivative of g(u) u, g = power/(u, u): g δ − 2 g (u, δ)/(u, u) u.
            let u = &state.arrays[..fields];
            let (gain, square) = band.gain(u, self.team)?;
            for (c, out) in out.arrays.chunks_mut(fields).enumerate() {
                let own = &state.arrays[c * fields..(c + 1) * fields];
                band.add(gain, own, out);
                if c > 0 {
                    band.add(-2.0 * gain * band.inner(u, own, self.team) / square, u, out);
                }
            }
        }
        Ok(())
    }
}

/// Inner products of one direction with several (each of as many arrays as the equation has fields), over all modes of
/// both signs and all ranks.
pub type Inner<'a, T> = dyn FnMut(&[Vec<Complex<T>>], &[&[Vec<Complex<T>>]]) -> Vec<f64> + 'a;

/// [`Inner`] with the same bits however the modes are shared out; collective.
pub fn inner_products<'a, T: Real>(
    domain: &'a Domain,
    scales: &'a Scales,
    team: &'a dyn Team,
) -> impl FnMut(&[Vec<Complex<T>>], &[&[Vec<Complex<T>>]]) -> Vec<f64> + 'a {
    let weights: Vec<f64> = means::columns(scales).map(|i| means::weight(domain, i)).collect();
    move |one, others| {
        let sums = means::sum_over_tiles(scales, others.len(), |tile, at, sums| {
            let mut terms = vec![0.0; tile.len()];
            for (other, sum) in others.iter().zip(sums) {
                for (a, b) in one.iter().zip(other.iter()) {
                    let pairs = a[at.clone()].iter().zip(&b[at.clone()]);
                    for ((term, (a, b)), w) in terms.iter_mut().zip(pairs).zip(weights.iter().cycle()) {
                        let (a, b) = (means::wide(*a), means::wide(*b));
                        *term = w * (a.re * b.re + a.im * b.im);
                    }
                    sum.add_all(&terms);
                }
            }
        });
        ranks::total(team, &sums)
    }
}

/// Batches that are kept at most: when so many are full, pairs are joined.
const BATCHES: usize = 64;

/// Lyapunov exponents by repeated QR [Benettin1980]: means of ln R_jj per time, with their standard errors from the means
/// of 32 to 63 batches, which grow with the run, so that they come to be longer than any correlation.
#[derive(Debug, Clone, PartialEq)]
pub struct Lyapunov {
    directions: usize,
    /// Decompositions that make a batch.
    size: f64,
    /// Decompositions in the batch that is not full.
    taken: f64,
    /// Full batches.
    full: f64,
    /// Time of each batch, the one that is not full after the full ones.
    spans: Vec<f64>,
    /// Σ ln R_jj of each batch, batch by batch.
    sums: Vec<f64>,
}

impl Lyapunov {
    pub fn new(directions: usize) -> Lyapunov {
        let sums = vec![0.0; BATCHES * directions];
        Lyapunov { directions, size: 1.0, taken: 0.0, full: 0.0, spans: vec![0.0; BATCHES], sums }
    }

    /// Makes the directions orthonormal, and counts their growth over the `span` of time since the last call.
    pub fn orthonormalise<T: Real>(
        &mut self,
        directions: &mut [Vec<Complex<T>>],
        along: &mut [Arrays<T>],
        span: f64,
        inner: &mut Inner<T>,
    ) {
        let growth = orthonormalise(directions, along, self.directions, inner);
        self.count(&growth.into_iter().map(ln).collect::<Vec<_>>(), span);
    }

    /// Logarithms of the growth over a span.
    fn count(&mut self, growth: &[f64], span: f64) {
        let b = self.full as usize;
        let own = &mut self.sums[b * self.directions..(b + 1) * self.directions];
        own.iter_mut().zip(growth).for_each(|(sum, g)| *sum += g);
        self.spans[b] += span;
        self.taken += 1.0;
        if self.taken < self.size {
            return;
        }
        (self.taken, self.full) = (0.0, self.full + 1.0);
        if self.full as usize == BATCHES {
            let m = self.directions;
            for b in 0..BATCHES / 2 {
                self.spans[b] = self.spans[2 * b] + self.spans[2 * b + 1];
                (0..m).for_each(|j| self.sums[b * m + j] = self.sums[2 * b * m + j] + self.sums[(2 * b + 1) * m + j]);
            }
            self.spans[BATCHES / 2..].fill(0.0);
            self.sums[BATCHES / 2 * m..].fill(0.0);
            (self.size, self.full) = (2.0 * self.size, (BATCHES / 2) as f64);
        }
    }

    /// Time over which growth was counted.
    pub fn time(&self) -> f64 {
        self.spans.iter().sum()
    }

    /// The exponents so far; zeros where nothing was counted.
    pub fn means(&self) -> Vec<f64> {
        let time = self.time();
        let sum = |j: usize| self.sums.iter().skip(j).step_by(self.directions).sum::<f64>();
        (0..self.directions).map(|j| if time > 0.0 { sum(j) / time } else { 0.0 }).collect()
    }

    /// Standard error of Σ_j weight_j λ_j, from the full batches; none of fewer than eight.
    pub fn standard_error(&self, weights: &[f64]) -> Option<f64> {
        let n = self.full as usize;
        if n < 8 {
            return None;
        }
        let values: Vec<f64> = self.sums[..n * self.directions]
            .chunks_exact(self.directions)
            .zip(&self.spans)
            .map(|(sums, span)| sums.iter().zip(weights).map(|(s, w)| w * s / span).sum())
            .collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let square: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Some(libm::sqrt(square / (n * (n - 1)) as f64))
    }

    /// Exponents with their standard errors.
    pub fn exponents(&self) -> Vec<(f64, Option<f64>)> {
        let unit = |j: usize| (0..self.directions).map(|i| f64::from(u8::from(i == j))).collect::<Vec<_>>();
        self.means().into_iter().enumerate().map(|(j, mean)| (mean, self.standard_error(&unit(j)))).collect()
    }

    /// The Kaplan–Yorke dimension with its standard error to first order; none where the exponents do not reach down to
    /// where their sum is negative.
    pub fn dimension(&self) -> Option<(f64, Option<f64>)> {
        let means = self.means();
        let dimension = kaplan_yorke(&means)?;
        // D = j + S/|λ_{j+1}|, S the sum of the first j: ∂D/∂λ_i = 1/|λ_{j+1}|, ∂D/∂λ_{j+1} = S/λ_{j+1}².
        let (mut sum, mut j) = (0.0, 0);
        while j + 1 < means.len() && sum + means[j] >= 0.0 {
            sum += means[j];
            j += 1;
        }
        let next = means[j].abs();
        let slope = |i: usize| {
            if i < j {
                1.0 / next
            } else if i == j {
                sum / (next * next)
            } else {
                0.0
            }
        };
        Some((dimension, self.standard_error(&(0..self.directions).map(slope).collect::<Vec<_>>())))
    }

    /// What a restart needs, by name: lists of fixed length.
    pub fn numbers(&mut self) -> [(&'static str, &mut [f64]); 5] {
        [
            ("batch_size", std::slice::from_mut(&mut self.size)),
            ("batch_taken", std::slice::from_mut(&mut self.taken)),
            ("batches", std::slice::from_mut(&mut self.full)),
            ("batch_spans", &mut self.spans),
            ("batch_sums", &mut self.sums),
        ]
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

/// Coefficients, direction after direction.
pub type Arrays<'a, T> = &'a mut [Vec<Complex<T>>];

/// Makes the directions orthonormal and returns their lengths after what is not new was taken off (R_jj): modified
/// Gram–Schmidt, with the products of a direction with all later ones made at once. What a scheme keeps `along` with them
/// of earlier steps, states and rates alike, is linear in them: it goes through the same.
pub fn orthonormalise<T: Real>(
    arrays: Arrays<T>,
    along: &mut [Arrays<T>],
    directions: usize,
    inner: &mut Inner<T>,
) -> Vec<f64> {
    let fields = arrays.len() / directions.max(1);
    let mut lengths = Vec::with_capacity(directions);
    for j in 0..directions {
        let (own, later) = arrays[j * fields..].split_at_mut(fields);
        let length = libm::sqrt(inner(own, &[&*own])[0]);
        let scale = |own: Arrays<T>| own.iter_mut().flatten().for_each(|o| *o *= T::of(1.0 / length));
        scale(own);
        along.iter_mut().for_each(|kept| scale(&mut kept[j * fields..(j + 1) * fields]));
        lengths.push(length);
        let others: Vec<&[Vec<Complex<T>>]> = later.chunks(fields).collect();
        if others.is_empty() {
            continue;
        }
        let parts = inner(own, &others);
        take_off(own, later, &parts);
        for kept in along.iter_mut() {
            let (own, later) = kept[j * fields..].split_at_mut(fields);
            take_off(own, later, &parts);
        }
    }
    lengths
}

/// Takes so much of a direction off each of the others.
fn take_off<T: Real>(own: &[Vec<Complex<T>>], others: Arrays<T>, parts: &[f64]) {
    for (other, part) in others.chunks_mut(own.len()).zip(parts) {
        let part = T::of(*part);
        for (o, q) in other.iter_mut().zip(own) {
            o.iter_mut().zip(q).for_each(|(o, q)| *o -= *q * part);
        }
    }
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
                let mut tangent = Tangent::new(&evaluation, 1);
                let mut bound = tangent.bind(&evaluation, &mut transform, &Solo, None);
                steps(scheme, &linear, &mut bound, &mut both, n, step);
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
    fn standard_errors_of_exponents_hold_the_truth_as_often_as_they_say() {
        // ln R of an autoregressive process, x' = 0.9 x + 0.1 + w with uniform w: mean 1 per span of 1, correlations
        // over some ten spans. Of 200 runs, 95.4 % lie within two standard errors of batches much longer than that
        // (t distribution of 31 degrees of freedom and more: 94.5 %); 4 standard errors of 200 trials are 6.5 %.
        let (mut inside, runs) = (0, 200);
        for run in 0..runs {
            let mut lyapunov = Lyapunov::new(1);
            let mut x = 1.0;
            for step in 0..5000 {
                let [w, _] = crate::math::rng::uniform_pair(3, crate::math::rng::Stream::SpectralInitial, run, step, 0);
                x = 0.9 * x + 0.1 + (w - 0.5);
                lyapunov.count(&[x], 1.0);
            }
            let (mean, error) = lyapunov.exponents()[0];
            assert!((lyapunov.time() - 5000.0).abs() < 1e-9);
            inside += usize::from((mean - 1.0).abs() < 2.0 * error.unwrap());
        }
        let share = inside as f64 / f64::from(runs);
        println!("{share}");
        assert!((share - 0.945).abs() < 0.065, "{share}");
    }

    #[test]
    fn the_kaplan_yorke_dimension_of_a_known_spectrum() {
        // The Lorenz attractor: 0.9056, 0, −14.5723: 2.0621.
        assert!((kaplan_yorke(&[0.9056, 0.0, -14.5723]).unwrap() - 2.0621).abs() < 1e-4);
        assert_eq!(kaplan_yorke(&[0.1, 0.0]), None);
    }
}
