//! Distributions of observations: keys of the input, log-densities as formulas, data they can have given, draws.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::math::dense::LOG_2_PI;
use crate::math::elementary::{self, exp, ln, ln_gamma, tan};
use crate::math::expression::Expression;
use crate::math::expression::graph::{Function, Graph, Id, Op};
use crate::math::expression::real::{divide, logarithm};
use crate::particles::{Draws, TILE};

/// The distribution of one component of the observations, given the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "distribution", rename_all = "snake_case", deny_unknown_fields)]
pub enum Observed {
    /// Normal.
    Normal {
        mean: Expression,
        /// Standard deviation.
        sd: Expression,
    },
    /// Student's t, shifted and scaled.
    StudentT { location: Expression, scale: Expression, degrees: Expression },
    /// Laplace: density e^(−|y − location|/scale)/(2 scale).
    Laplace { location: Expression, scale: Expression },
    /// The logarithm of y is normal.
    Lognormal { log_mean: Expression, log_sd: Expression },
    /// Density rate·e^(−rate·y).
    Exponential { rate: Expression },
    /// Mean shape/rate.
    Gamma { shape: Expression, rate: Expression },
    /// Counts of mean `rate`.
    Poisson { rate: Expression },
    /// Counts of variance mean + mean²/dispersion.
    NegativeBinomial { mean: Expression, dispersion: Expression },
    /// Successes of `trials` trials.
    Binomial { trials: Expression, probability: Expression },
    /// 1 with the probability, else 0.
    Bernoulli { probability: Expression },
}

/// What values an observation can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    Real,
    Positive,
    NotNegative,
    Counts,
    ZeroOrOne,
}

impl Support {
    pub fn holds(self, y: f64) -> bool {
        match self {
            Support::Real => y.is_finite(),
            Support::Positive => y > 0.0 && y.is_finite(),
            Support::NotNegative => y >= 0.0 && y.is_finite(),
            Support::Counts => y >= 0.0 && y.fract() == 0.0 && y.is_finite(),
            Support::ZeroOrOne => y == 0.0 || y == 1.0,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Support::Real => "finite",
            Support::Positive => "> 0",
            Support::NotNegative => "≥ 0",
            Support::Counts => "a whole number ≥ 0",
            Support::ZeroOrOne => "0 or 1",
        }
    }
}

/// What a parameter of a distribution must be. A number, or a formula of parameters that vary, is refused outside; a formula of
/// the state makes the density NaN there, which the filter reports with the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    Finite,
    Positive,
    Probability,
    Trials,
}

impl Domain {
    pub fn holds(self, x: f64) -> bool {
        match self {
            Domain::Finite => x.is_finite(),
            Domain::Positive => x > 0.0 && x.is_finite(),
            Domain::Probability => (0.0..=1.0).contains(&x),
            Domain::Trials => x >= 1.0 && x.fract() == 0.0 && x.is_finite(),
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Domain::Finite => "finite",
            Domain::Positive => "positive",
            Domain::Probability => "between 0 and 1",
            Domain::Trials => "a whole number ≥ 1",
        }
    }
}

impl Observed {
    /// Its parameters: key, expression, and what they must be.
    pub fn parameters(&self) -> Vec<(&'static str, &Expression, Domain)> {
        use Domain::{Finite, Positive, Probability, Trials};
        match self {
            Observed::Normal { mean, sd } => vec![("mean", mean, Finite), ("sd", sd, Positive)],
            Observed::StudentT { location, scale, degrees } => {
                vec![("location", location, Finite), ("scale", scale, Positive), ("degrees", degrees, Positive)]
            }
            Observed::Laplace { location, scale } => vec![("location", location, Finite), ("scale", scale, Positive)],
            Observed::Lognormal { log_mean, log_sd } => {
                vec![("log_mean", log_mean, Finite), ("log_sd", log_sd, Positive)]
            }
            Observed::Exponential { rate } | Observed::Poisson { rate } => vec![("rate", rate, Positive)],
            Observed::Gamma { shape, rate } => vec![("shape", shape, Positive), ("rate", rate, Positive)],
            Observed::NegativeBinomial { mean, dispersion } => {
                vec![("mean", mean, Positive), ("dispersion", dispersion, Positive)]
            }
            Observed::Binomial { trials, probability } => {
                vec![("trials", trials, Trials), ("probability", probability, Probability)]
            }
            Observed::Bernoulli { probability } => vec![("probability", probability, Probability)],
        }
    }

    pub fn support(&self) -> Support {
        match self {
            Observed::Normal { .. } | Observed::StudentT { .. } | Observed::Laplace { .. } => Support::Real,
            Observed::Lognormal { .. } | Observed::Gamma { .. } => Support::Positive,
            Observed::Exponential { .. } => Support::NotNegative,
            Observed::Poisson { .. } | Observed::NegativeBinomial { .. } | Observed::Binomial { .. } => Support::Counts,
            Observed::Bernoulli { .. } => Support::ZeroOrOne,
        }
    }

    /// ln p(y | parameters), with `p` the parameters in the order of [`Observed::parameters`].
    pub fn log_density(&self, g: &mut Graph, y: Id, p: &[Id]) -> Id {
        match self {
            Observed::Normal { .. } => normal(g, y, p[0], p[1]),
            Observed::Lognormal { .. } => {
                let log_y = g.call(Function::Log, y);
                let density = normal(g, log_y, p[0], p[1]);
                g.sub(density, log_y)
            }
            Observed::StudentT { .. } => {
                let z = standardised(g, y, p[0], p[1]);
                let (square, half, one) = (g.mul(z, z), g.constant(0.5), g.constant(1.0));
                let half_degrees = g.mul(half, p[2]);
                let more = g.add(half_degrees, half);
                let ratio = divide(g, square, p[2]);
                let inner = g.add(one, ratio);
                let tail = g.call(Function::Log, inner);
                let tail = g.mul(more, tail);
                // ln Γ((ν + 1)/2) − ln Γ(ν/2) − ½ ln(νπ) − ln scale.
                let (up, down) = (g.call(Function::LogGamma, more), g.call(Function::LogGamma, half_degrees));
                let pi = g.constant(std::f64::consts::PI);
                let area = g.mul(pi, p[2]);
                let area = logarithm(g, area);
                let area = g.mul(half, area);
                let log_scale = logarithm(g, p[1]);
                let constant = g.sub(up, down);
                let constant = g.sub(constant, area);
                let constant = g.sub(constant, log_scale);
                g.sub(constant, tail)
            }
            Observed::Laplace { .. } => {
                let z = standardised(g, y, p[0], p[1]);
                let distance = g.call(Function::Abs, z);
                let (log_scale, log_2) = (logarithm(g, p[1]), g.constant(std::f64::consts::LN_2));
                let constant = g.add(log_scale, log_2);
                let minus = g.neg(constant);
                g.sub(minus, distance)
            }
            Observed::Exponential { .. } => {
                let (log_rate, product) = (logarithm(g, p[0]), g.mul(p[0], y));
                g.sub(log_rate, product)
            }
            Observed::Gamma { .. } => {
                let (log_rate, log_y, one) = (logarithm(g, p[1]), g.call(Function::Log, y), g.constant(1.0));
                let (a, less) = (g.mul(p[0], log_rate), g.sub(p[0], one));
                let gamma = g.call(Function::LogGamma, p[0]);
                let (b, c) = (g.mul(less, log_y), g.mul(p[1], y));
                let sum = g.sub(a, gamma);
                let sum = g.add(sum, b);
                let sum = g.sub(sum, c);
                // ln Γ is a number for negative shapes too.
                let allowed = not_negative(g, p[0]);
                nan_unless(g, allowed, sum)
            }
            Observed::Poisson { .. } => {
                let log_rate = safe_logarithm(g, p[0], y);
                let (factorial, product) = (log_factorial(g, y), g.mul(y, log_rate));
                let sum = g.sub(product, p[0]);
                let sum = g.sub(sum, factorial);
                let allowed = not_negative(g, p[0]);
                nan_unless(g, allowed, sum)
            }
            Observed::NegativeBinomial { .. } => {
                // ln Γ(y+r)/(Γ(r) y!) + r ln(r/(r+m)) + y ln(m/(r+m)).
                let (m, r) = (p[0], p[1]);
                let (total, count) = (g.add(r, m), g.add(y, r));
                let log_total = logarithm(g, total);
                let (log_r, log_m) = (logarithm(g, r), safe_logarithm(g, m, y));
                let (up, down) = (g.call(Function::LogGamma, count), g.call(Function::LogGamma, r));
                let factorial = log_factorial(g, y);
                let (a, b, c) = (g.mul(r, log_r), g.mul(y, log_m), g.mul(count, log_total));
                let sum = g.sub(up, down);
                let sum = g.sub(sum, factorial);
                let sum = g.add(sum, a);
                let sum = g.add(sum, b);
                let sum = g.sub(sum, c);
                let allowed = not_negative(g, m);
                nan_unless(g, allowed, sum)
            }
            Observed::Binomial { .. } => {
                let none = g.constant(0.0);
                let left = g.sub(p[0], y);
                let failures = g.max(left, none);
                let total = log_factorial(g, p[0]);
                let (first, second) = (log_factorial(g, y), log_factorial(g, failures));
                let (yes, no, probable) = odds(g, p[1], y, failures);
                let (a, b) = (g.mul(y, yes), g.mul(failures, no));
                let sum = g.sub(total, first);
                let sum = g.sub(sum, second);
                let sum = g.add(sum, a);
                let sum = g.add(sum, b);
                // Numbers of trials that are not constant may lie below y, which is impossible then, or be no whole number.
                let enough = not_negative(g, left);
                let enough = g.call(Function::Log, enough);
                let sum = g.add(sum, enough);
                let floor = g.call(Function::Floor, p[0]);
                let part = g.sub(p[0], floor);
                let (whole, some) = (g.call(Function::IsZero, part), not_negative(g, p[0]));
                let allowed = g.mul(whole, some);
                let allowed = g.mul(allowed, probable);
                nan_unless(g, allowed, sum)
            }
            Observed::Bernoulli { .. } => {
                let one = g.constant(1.0);
                let failures = g.sub(one, y);
                let (yes, no, allowed) = odds(g, p[0], y, failures);
                let (a, b) = (g.mul(y, yes), g.mul(failures, no));
                let sum = g.add(a, b);
                nan_unless(g, allowed, sum)
            }
        }
    }

    /// Draws y for particles with parameters `p` (slices of `out.len()`), from draws 4·`number` on of each particle.
    pub fn draw(&self, at: &Draws, number: u32, p: &[&[f64]], out: &mut [f64]) {
        let n = out.len();
        let first = 4 * number;
        let mut u = [0.0; TILE];
        let u = &mut u[..n];
        match self {
            Observed::Normal { .. } | Observed::Lognormal { .. } => {
                at.normals(first, out);
                (0..n).for_each(|i| out[i] = p[0][i] + p[1][i] * out[i]);
                if matches!(self, Observed::Lognormal { .. }) {
                    out.iter_mut().for_each(|y| *y = exp(*y));
                }
            }
            Observed::StudentT { .. } => {
                at.uniforms(first, u);
                at.uniforms(first + 1, out);
                for i in 0..n {
                    out[i] = p[0][i] + p[1][i] * student(p[2][i], u[i], out[i]);
                }
            }
            Observed::Laplace { .. } => {
                at.uniforms(first, u);
                (0..n).for_each(|i| out[i] = p[0][i] + p[1][i] * laplace(u[i]));
            }
            Observed::Exponential { .. } => {
                at.uniforms(first, u);
                (0..n).for_each(|i| out[i] = -ln(u[i]) / p[0][i]);
            }
            Observed::Gamma { .. } => {
                gamma(at, first + 4, p[0], out);
                (0..n).for_each(|i| out[i] /= p[1][i]);
            }
            Observed::Poisson { .. } => {
                at.uniforms(first, u);
                (0..n).for_each(|i| out[i] = poisson(p[0][i], u[i]));
            }
            Observed::NegativeBinomial { .. } => {
                // Poisson of a gamma rate.
                gamma(at, first + 4, p[1], out);
                at.uniforms(first, u);
                (0..n).for_each(|i| out[i] = poisson(out[i] * p[0][i] / p[1][i], u[i]));
            }
            Observed::Binomial { .. } => {
                at.uniforms(first, u);
                (0..n).for_each(|i| out[i] = binomial(p[0][i], p[1][i], u[i]));
            }
            Observed::Bernoulli { .. } => {
                at.uniforms(first, u);
                (0..n).for_each(|i| out[i] = f64::from(u8::from(u[i] < p[0][i])));
            }
        }
    }
}

/// (y − location)/scale.
fn standardised(g: &mut Graph, y: Id, location: Id, scale: Id) -> Id {
    let distance = g.sub(y, location);
    divide(g, distance, scale)
}

/// ln N(y; mean, sd²).
pub fn normal(g: &mut Graph, y: Id, mean: Id, sd: Id) -> Id {
    let z = standardised(g, y, mean, sd);
    let (square, half) = (g.mul(z, z), g.constant(0.5));
    let (fall, log_sd, area) = (g.mul(half, square), logarithm(g, sd), g.constant(-0.5 * LOG_2_PI));
    let constant = g.sub(area, log_sd);
    g.sub(constant, fall)
}

/// 1 where x ≥ 0, else (and where x is NaN) 0.
fn not_negative(g: &mut Graph, x: Id) -> Id {
    let (above, at) = (g.call(Function::Step, x), g.call(Function::IsZero, x));
    g.add(above, at)
}

/// The density where `allowed` is 1, NaN where it is 0.
fn nan_unless(g: &mut Graph, allowed: Id, density: Id) -> Id {
    let one = g.constant(1.0);
    let less = g.sub(allowed, one);
    let nothing = g.call(Function::Sqrt, less);
    g.add(density, nothing)
}

/// ln x, to be multiplied by `count`, for x that may be 0: a number where the count is 0, so that the product is 0.
fn safe_logarithm(g: &mut Graph, x: Id, count: Id) -> Id {
    if let Op::Call(Function::Exp, inner) = g.op(x) {
        return inner;
    }
    let (least, none) = (g.constant(f64::MIN_POSITIVE), g.call(Function::IsZero, count));
    let least = g.mul(least, none);
    let x = g.max(x, least);
    g.call(Function::Log, x)
}

fn log_factorial(g: &mut Graph, y: Id) -> Id {
    let one = g.constant(1.0);
    let more = g.add(y, one);
    g.call(Function::LogGamma, more)
}

/// ln p and ln(1 − p), to be multiplied by the numbers of successes and failures, and 1 where p is a probability, else 0; of a
/// logistic function without cancellation.
fn odds(g: &mut Graph, p: Id, successes: Id, failures: Id) -> (Id, Id, Id) {
    let one = g.constant(1.0);
    let rest = match g.op(p) {
        Op::Call(Function::Logistic, x) => {
            let minus = g.neg(x);
            g.call(Function::Logistic, minus)
        }
        _ => g.sub(one, p),
    };
    let (low, high) = (not_negative(g, p), not_negative(g, rest));
    let allowed = g.mul(low, high);
    (safe_logarithm(g, p, successes), safe_logarithm(g, rest, failures), allowed)
}

/// A Student number of ν degrees from two uniform ones, for any ν > 0 [Bailey1994].
pub fn student(degrees: f64, u: f64, v: f64) -> f64 {
    let radius = degrees * (elementary::pow(u, -2.0 / degrees) - 1.0);
    radius.max(0.0).sqrt() * elementary::cos(std::f64::consts::TAU * v)
}

pub fn laplace(u: f64) -> f64 {
    if u < 0.5 { ln(2.0 * u) } else { -ln(2.0 * (1.0 - u)) }
}

pub fn cauchy(u: f64) -> f64 {
    tan(std::f64::consts::PI * (u - 0.5))
}

/// Variance of counts from which their quantiles are those of the normal law with a correction for skewness: they are
/// off by less than 10⁻² counts there, and a search would take a thousand steps.
const MANY: f64 = 1e6;

/// The count at quantile u of a law with this `mode` and its `mass`, searched outwards: `up(k)` is the mass of k + 1 over that
/// of k, `down(k)` that of k − 1.
fn quantile(mode: f64, mass: f64, up: impl Fn(f64) -> f64, down: impl Fn(f64) -> f64, u: f64) -> f64 {
    // Values are visited mode, mode + 1, mode − 1, …: a fixed order of all, so a uniform number picks each with its mass.
    let (mut above, mut below) = ((mode, mass), (mode, mass));
    let mut sum = mass;
    if u < sum {
        return mode;
    }
    while above.1.max(below.1) > 1e-18 {
        above = (above.0 + 1.0, above.1 * up(above.0));
        sum += above.1;
        if u < sum {
            return above.0;
        }
        below = (below.0 - 1.0, below.1 * down(below.0));
        sum += below.1;
        if u < sum {
            return below.0;
        }
    }
    mode
}

/// The count at quantile u of a law of many: mean, variance and third central moment over the variance.
fn quantile_of_many(mean: f64, variance: f64, third: f64, u: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    while high - low > 1e-14 {
        let middle = 0.5 * (low + high);
        let below = 0.5 * libm::erfc(-middle * std::f64::consts::FRAC_1_SQRT_2);
        *(if below < u { &mut low } else { &mut high }) = middle;
    }
    // The expansion of Cornish and Fisher; the next term is of the size 1/√variance.
    (mean + variance.sqrt() * low + (low * low - 1.0) * third / 6.0).round()
}

pub fn poisson(rate: f64, u: f64) -> f64 {
    if rate.is_nan() || rate <= 0.0 {
        return 0.0;
    }
    if rate > MANY {
        return quantile_of_many(rate, rate, 1.0, u);
    }
    let mode = rate.floor();
    let mass = exp(mode * ln(rate) - rate - ln_gamma(mode + 1.0));
    quantile(mode, mass, |k| rate / (k + 1.0), |k| k / rate, u)
}

pub fn binomial(trials: f64, p: f64, u: f64) -> f64 {
    if p.is_nan() || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return trials;
    }
    let q = 1.0 - p;
    if trials * p * q > MANY {
        return quantile_of_many(trials * p, trials * p * q, q - p, u).clamp(0.0, trials);
    }
    let mode = ((trials + 1.0) * p).floor().min(trials);
    let ways = ln_gamma(trials + 1.0) - ln_gamma(mode + 1.0) - ln_gamma(trials - mode + 1.0);
    let mass = exp(ways + mode * ln(p) + (trials - mode) * ln(q));
    let up = |k: f64| (trials - k) / (k + 1.0) * (p / q);
    let down = |k: f64| k / (trials - k + 1.0) * (q / p);
    quantile(mode, mass, up, down, u)
}

/// Gamma numbers of the given shapes and rate 1 by rejection [MarsagliaTsang2000]; tries use draws `first`, `first` + 1, ….
fn gamma(at: &Draws, first: u32, shapes: &[f64], out: &mut [f64]) {
    let n = out.len();
    let (mut z, mut u) = ([0.0; TILE], [0.0; TILE]);
    out.fill(f64::NAN);
    for attempt in 0..200 {
        if !out.iter().any(|y| y.is_nan()) {
            break;
        }
        at.normals(first + 2 * attempt, &mut z[..n]);
        at.uniforms(first + 2 * attempt + 1, &mut u[..n]);
        for i in 0..n {
            // Below 1 the shape is raised by one and the draw lowered by U^(1/shape) at the end.
            let d = shapes[i].max(0.0) + if shapes[i] < 1.0 { 1.0 } else { 0.0 } - 1.0 / 3.0;
            let v = 1.0 + z[i] / (9.0 * d).sqrt();
            let v = v * v * v;
            if out[i].is_nan() && v > 0.0 && ln(u[i]) < 0.5 * z[i] * z[i] + d - d * v + d * ln(v) {
                out[i] = d * v;
            }
        }
    }
    at.uniforms(first + 1000, &mut u[..n]);
    for i in 0..n {
        if shapes[i] < 1.0 {
            out[i] *= elementary::pow(u[i], 1.0 / shapes[i]);
        }
    }
}
