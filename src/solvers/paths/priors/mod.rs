//! The reference diffusions dX = b(X, t) dt + σ(X, t) dW, one file each; a new one is its file, its line in
//! [`PriorInput`] and its arm in [`PriorInput::build`].
//!
//! A file gives a [`Formula`] in scalar arithmetic; [`Compiled`] turns it into loops over rows of coordinates for every
//! kernel level. Rows: coordinate i of all paths is one slice, `x[i·width .. (i+1)·width]`.

mod brownian;
mod brownian_bridge;
mod coupled_double_well;
mod double_well;
mod geometric_brownian;
mod muller_brown;
mod ornstein_uhlenbeck;
mod triple_well;
mod written;

pub use muller_brown::MullerBrown;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::enter;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;

/// The drift of a reference diffusion at one point, and what follows from it.
///
/// A drift that acts on each coordinate alone has `COORDINATES` = 1 and uses the first of the two numbers; one of two
/// coordinates uses both.
pub trait Formula: Send + Sync + 'static {
    const COORDINATES: usize;
    /// Whether the noise depends on the state.
    const STATE_NOISE: bool = false;

    /// b(x, t).
    fn drift<S: Scalar>(&self, t: f64, x: [f64; 2]) -> [f64; 2];

    /// (∂b/∂x)ᵀ v.
    fn pull<S: Scalar>(&self, t: f64, x: [f64; 2], v: [f64; 2]) -> [f64; 2];

    /// Factor of the noise of the step from t to t + h, where it depends on the time alone.
    fn spread(&self, _t: f64, _h: f64) -> f64 {
        1.0
    }

    /// The same where it depends on the state (`STATE_NOISE`).
    fn state_spread<S: Scalar>(&self, _t: f64, _x: [f64; 2]) -> [f64; 2] {
        [1.0; 2]
    }

    /// b = a x + c per coordinate, where the drift is that.
    fn linear(&self, _t: f64, _coordinate: usize) -> Option<(f64, f64)> {
        None
    }

    /// The potential V with b = −∇V, where there is one: one coordinate's share.
    fn potential<S: Scalar>(&self, _x: [f64; 2]) -> Option<f64> {
        None
    }

    /// Φ = |b|²/(2σ²) + ½ div b and its gradient: Girsanov's density of a gradient drift against σW. `None`: not there.
    fn functional<S: Scalar>(&self, _variance: f64, _x: [f64; 2]) -> Option<(f64, [f64; 2])> {
        None
    }
}

/// A reference diffusion over rows of coordinates, all of the same width.
pub trait Prior: Send + Sync {
    fn dimension(&self) -> usize;
    /// out = b(x, t).
    fn drift(&self, t: f64, x: &[f64], out: &mut [f64]);
    /// out = x + h b(x, t).
    fn mean(&self, t: f64, h: f64, x: &[f64], out: &mut [f64]);
    /// One Euler–Maruyama step in place: x ← x + h b(x, t) + scale·spread·ξ, with scale = σ√h.
    fn advance(&self, t: f64, h: f64, scale: f64, xi: &[f64], x: &mut [f64]);
    /// out = (∂b/∂x)ᵀ v.
    fn pull(&self, t: f64, x: &[f64], v: &[f64], out: &mut [f64]);
    /// Whether `pull` knows the derivatives of the drift.
    fn has_pull(&self) -> bool {
        true
    }
    /// Factor of the noise of the step from t; `None` where it depends on the state.
    fn spread(&self, t: f64, h: f64) -> Option<f64>;
    /// Whether the factor is the same at all times.
    fn keeps_spread(&self) -> bool {
        self.spread(0.0, 1.0) == self.spread(1.0, 1.0)
    }
    /// The same for every path: out = factor.
    fn spreads(&self, t: f64, h: f64, x: &[f64], out: &mut [f64]);
    /// b = a x + c for a coordinate, where the drift is that.
    fn linear(&self, t: f64, coordinate: usize) -> Option<(f64, f64)>;
    /// b = Bx + c, B in rows, where the drift is that.
    fn affine(&self, t: f64) -> Option<(Vec<f64>, Vec<f64>)> {
        let d = self.dimension();
        let (mut slopes, mut offsets) = (vec![0.0; d * d], vec![0.0; d]);
        for i in 0..d {
            (slopes[i * d + i], offsets[i]) = self.linear(t, i)?;
        }
        Some((slopes, offsets))
    }
    /// V with b = −∇V at one point.
    fn potential(&self, x: &[f64]) -> Option<f64>;
    /// value += factor·Φ(x) per path, gradient += factor·∇Φ where asked; `false` where Φ is not there.
    fn functional(
        &self,
        variance: f64,
        factor: f64,
        x: &[f64],
        value: &mut [f64],
        gradient: Option<&mut [f64]>,
    ) -> bool;
}

/// A [`Formula`] as loops of a kernel level.
pub struct Compiled<F> {
    formula: F,
    dimension: usize,
    level: Level,
}

impl<F: Formula> Compiled<F> {
    pub fn new(formula: F, dimension: usize, level: Level) -> Self {
        assert!(F::COORDINATES == 1 || dimension == F::COORDINATES);
        Compiled { formula, dimension, level }
    }

    fn width(&self, x: &[f64]) -> usize {
        debug_assert_eq!(x.len() % self.dimension, 0);
        x.len() / self.dimension
    }
}

/// out = f(x) over rows of one coordinate each, or of two together.
#[inline(always)]
fn over_rows(together: usize, width: usize, x: &[f64], out: &mut [f64], f: impl Fn([f64; 2]) -> [f64; 2]) {
    if together == 1 {
        for (x, out) in x.iter().zip(out) {
            *out = f([*x, 0.0])[0];
        }
        return;
    }
    let (x0, x1) = x.split_at(width);
    let (out0, out1) = out.split_at_mut(width);
    for (((x0, x1), out0), out1) in x0.iter().zip(x1).zip(out0).zip(out1) {
        [*out0, *out1] = f([*x0, *x1]);
    }
}

/// out = f(x, y), in the same way.
#[inline(always)]
fn over_pairs(
    together: usize,
    width: usize,
    x: &[f64],
    y: &[f64],
    out: &mut [f64],
    f: impl Fn([f64; 2], [f64; 2]) -> [f64; 2],
) {
    if together == 1 {
        for ((x, y), out) in x.iter().zip(y).zip(out) {
            *out = f([*x, 0.0], [*y, 0.0])[0];
        }
        return;
    }
    let ((x0, x1), (y0, y1)) = (x.split_at(width), y.split_at(width));
    let (out0, out1) = out.split_at_mut(width);
    for (((((x0, x1), y0), y1), out0), out1) in x0.iter().zip(x1).zip(y0).zip(y1).zip(out0).zip(out1) {
        [*out0, *out1] = f([*x0, *x1], [*y0, *y1]);
    }
}

/// x = f(x, y) in place.
#[inline(always)]
fn update_pairs(together: usize, width: usize, y: &[f64], x: &mut [f64], f: impl Fn([f64; 2], [f64; 2]) -> [f64; 2]) {
    if together == 1 {
        for (y, x) in y.iter().zip(x) {
            *x = f([*x, 0.0], [*y, 0.0])[0];
        }
        return;
    }
    let (y0, y1) = y.split_at(width);
    let (x0, x1) = x.split_at_mut(width);
    for (((y0, y1), x0), x1) in y0.iter().zip(y1).zip(x0).zip(x1) {
        [*x0, *x1] = f([*x0, *x1], [*y0, *y1]);
    }
}

impl<F: Formula> Prior for Compiled<F> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn drift(&self, t: f64, x: &[f64], out: &mut [f64]) {
        let (f, width) = (&self.formula, self.width(x));
        enter!(self.level, S => over_rows(F::COORDINATES, width, x, out, #[inline(always)] |x| f.drift::<S>(t, x)))
    }

    fn mean(&self, t: f64, h: f64, x: &[f64], out: &mut [f64]) {
        let (f, width) = (&self.formula, self.width(x));
        enter!(self.level, S => over_rows(F::COORDINATES, width, x, out, #[inline(always)] |x| {
            let b = f.drift::<S>(t, x);
            [S::mul_add(h, b[0], x[0]), S::mul_add(h, b[1], x[1])]
        }))
    }

    fn advance(&self, t: f64, h: f64, scale: f64, xi: &[f64], x: &mut [f64]) {
        let (f, width) = (&self.formula, self.width(x));
        let s = scale * f.spread(t, h);
        enter!(self.level, S => update_pairs(F::COORDINATES, width, xi, x, #[inline(always)] |x, xi| {
            let b = f.drift::<S>(t, x);
            let s = if F::STATE_NOISE { f.state_spread::<S>(t, x).map(|v| s * v) } else { [s; 2] };
            [
                S::mul_add(s[0], xi[0], S::mul_add(h, b[0], x[0])),
                S::mul_add(s[1], xi[1], S::mul_add(h, b[1], x[1])),
            ]
        }))
    }

    fn pull(&self, t: f64, x: &[f64], v: &[f64], out: &mut [f64]) {
        let (f, width) = (&self.formula, self.width(x));
        enter!(self.level, S => over_pairs(F::COORDINATES, width, x, v, out, #[inline(always)] |x, v| f.pull::<S>(t, x, v)))
    }

    fn spread(&self, t: f64, h: f64) -> Option<f64> {
        (!F::STATE_NOISE).then(|| self.formula.spread(t, h))
    }

    fn spreads(&self, t: f64, h: f64, x: &[f64], out: &mut [f64]) {
        let (f, width) = (&self.formula, self.width(x));
        let s = f.spread(t, h);
        enter!(self.level, S => over_rows(F::COORDINATES, width, x, out, #[inline(always)] |x| {
            f.state_spread::<S>(t, x).map(|v| s * v)
        }))
    }

    fn linear(&self, t: f64, coordinate: usize) -> Option<(f64, f64)> {
        self.formula.linear(t, coordinate)
    }

    fn potential(&self, x: &[f64]) -> Option<f64> {
        use crate::math::simd::scalar::Plain;
        if F::COORDINATES == 2 {
            return self.formula.potential::<Plain>([x[0], x[1]]);
        }
        x.iter().map(|x| self.formula.potential::<Plain>([*x, 0.0])).sum()
    }

    fn functional(
        &self,
        variance: f64,
        factor: f64,
        x: &[f64],
        value: &mut [f64],
        gradient: Option<&mut [f64]>,
    ) -> bool {
        let (f, width) = (&self.formula, self.width(x));
        if f.functional::<crate::math::simd::scalar::Plain>(variance, [0.0; 2]).is_none() {
            return false;
        }
        let mut none = Vec::new();
        let wanted = gradient.is_some();
        let gradient = gradient.unwrap_or(&mut none);
        enter!(self.level, S => {
            let at = |x| f.functional::<S>(variance, x).unwrap_or((0.0, [0.0; 2]));
            if F::COORDINATES == 1 {
                for (c, x) in x.chunks_exact(width).enumerate() {
                    for (i, x) in x.iter().enumerate() {
                        let (phi, slope) = at([*x, 0.0]);
                        value[i] += factor * phi;
                        if wanted {
                            gradient[c * width + i] += factor * slope[0];
                        }
                    }
                }
            } else {
                for i in 0..width {
                    let (phi, slope) = at([x[i], x[width + i]]);
                    value[i] += factor * phi;
                    if wanted {
                        gradient[i] += factor * slope[0];
                        gradient[width + i] += factor * slope[1];
                    }
                }
            }
        });
        true
    }
}

/// The reference diffusion; its number of coordinates is that of the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PriorInput {
    /// No drift.
    Brownian {},
    /// b = −rate (x − centre), each coordinate alone.
    OrnsteinUhlenbeck {
        /// Rate of return.
        #[schemars(extend("exclusiveMinimum" = 0))]
        rate: f64,
        /// Where it returns to.
        #[serde(default)]
        centre: f64,
    },
    /// b = −V', V = height (x² − 1)², each coordinate alone.
    DoubleWell {
        /// Height of the barrier at 0.
        #[serde(default = "five")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        height: f64,
    },
    /// Brownian motion tied to `to` at the last time, each step drawn exactly.
    BrownianBridge {
        /// Where it ends, per coordinate.
        #[schemars(length(min = 1))]
        to: Vec<f64>,
    },
    /// b = rate x and noise σx: geometric Brownian motion, each coordinate alone.
    GeometricBrownian {
        /// Rate of growth.
        rate: f64,
    },
    /// Two coordinates: b = −∇V of the potential of Müller and Brown, three minima.
    MullerBrown {},
    /// Two coordinates, V = x⁴-like wells at (±√1.25, 0) with degenerate saddles at (0, ±1).
    CoupledDoubleWell {},
    /// Two coordinates: three wells, two deep and one shallow [Metzner2006].
    TripleWell {},
    /// Drift (or potential) and noise written as expressions.
    Written(written::Input),
}

fn five() -> f64 {
    5.0
}

impl PriorInput {
    /// In `dimension` coordinates, on a grid that ends at time `end`.
    ///
    /// # Errors
    /// (key below `prior`, message).
    pub fn build(&self, dimension: usize, end: f64, level: Level) -> Result<Box<dyn Prior>, (&'static str, String)> {
        let planar = |name: &str| match dimension {
            2 => Ok(()),
            d => Err(("kind", format!("{name} has two coordinates; the start has {d}"))),
        };
        Ok(match self {
            PriorInput::Brownian {} => Box::new(Compiled::new(brownian::Brownian, dimension, level)),
            PriorInput::OrnsteinUhlenbeck { rate, centre } => Box::new(Compiled::new(
                ornstein_uhlenbeck::OrnsteinUhlenbeck { rate: *rate, centre: *centre },
                dimension,
                level,
            )),
            PriorInput::DoubleWell { height } => {
                Box::new(Compiled::new(double_well::DoubleWell { height: *height }, dimension, level))
            }
            PriorInput::BrownianBridge { to } => {
                if to.len() != dimension {
                    return Err(("to", format!("has {} coordinates; the start has {dimension}", to.len())));
                }
                match to[..] {
                    [to] => Box::new(Compiled::new(brownian_bridge::BrownianBridge { to: [to, 0.0], end }, 1, level)),
                    [a, b] => Box::new(Compiled::new(brownian_bridge::Planar { to: [a, b], end }, 2, level)),
                    _ => return Err(("to", "has at most two coordinates".into())),
                }
            }
            PriorInput::GeometricBrownian { rate } => {
                Box::new(Compiled::new(geometric_brownian::GeometricBrownian { rate: *rate }, dimension, level))
            }
            PriorInput::MullerBrown {} => {
                planar("muller_brown")?;
                Box::new(Compiled::new(MullerBrown, 2, level))
            }
            PriorInput::CoupledDoubleWell {} => {
                planar("coupled_double_well")?;
                Box::new(Compiled::new(coupled_double_well::CoupledDoubleWell, 2, level))
            }
            PriorInput::TripleWell {} => {
                planar("triple_well")?;
                Box::new(Compiled::new(triple_well::TripleWell, 2, level))
            }
            PriorInput::Written(input) => Box::new(input.build(dimension, level)?),
        })
    }
}

#[cfg(test)]
mod tests;
