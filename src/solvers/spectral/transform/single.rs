//! One line, whole on one rank: the transform of one-dimensional domains. There are no other lines to share vectors
//! with, so it goes through a library (rustfft or FFTW), whose vectors lie along the line.

use std::sync::Arc;

use num_complex::Complex;
use rustfft::{Fft, FftDirection};

use super::Pointwise;
use super::fft::{library_plan, root};
use super::vector::{Job, Level, Vector, enter};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Axis, Tile};

/// Plans and work space of one line.
pub struct Single<T: Real> {
    /// Real points; complex ones count twice.
    reals: usize,
    /// Length of the complex transform: half the points of real lines of even length.
    length: usize,
    kind: Kind,
    level: Level,
    place: Vec<usize>,
    /// e^{−2πik/n}, k = 0 … n/2.
    roots: Vec<Complex<T>>,
    scale: T,
    plans: [Arc<dyn Fft<T>>; 2],
    line: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
    coordinates: Vec<f64>,
    values: Vec<T>,
    products: Vec<T>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Even,
    Odd,
    Complex,
}

impl<T: Real> Single<T> {
    pub fn new(axis: &Axis, complex: bool, level: Level) -> Self {
        let n = axis.points;
        let kind = match (complex, n % 2) {
            (true, _) => Kind::Complex,
            (false, 0) => Kind::Even,
            _ => Kind::Odd,
        };
        let length = if kind == Kind::Even { n / 2 } else { n };
        let plans = [FftDirection::Inverse, FftDirection::Forward].map(|d| library_plan(length, d, level));
        let scratch = plans.iter().map(|p| p.get_inplace_scratch_len()).max().unwrap_or(0);
        let zero = Complex::new(T::zero(), T::zero());
        let scale = if kind == Kind::Even { 0.5 } else { 1.0 } / n as f64;
        Single {
            reals: if complex { 2 * n } else { n },
            length,
            kind,
            level,
            place: (0..axis.modes()).map(|i| axis.number(i).rem_euclid(n as i64) as usize).collect(),
            roots: (0..=n / 2).map(|k| T::complex(root(k, n))).collect(),
            scale: T::of(scale),
            plans,
            line: vec![zero; length],
            scratch: vec![zero; scratch],
            coordinates: (0..n).map(|i| axis.coordinate(i)).collect(),
            values: Vec::new(),
            products: Vec::new(),
        }
    }

    /// Coefficients to grid values.
    pub fn backward(&mut self, modes: &[Complex<T>], values: &mut [T]) {
        let (h, zero) = (self.length, Complex::new(T::zero(), T::zero()));
        // Values of even and of complex lines are the complex line itself.
        let line = if self.kind == Kind::Odd { &mut self.line[..] } else { bytemuck::cast_slice_mut(values) };
        match self.kind {
            Kind::Even => {
                // What is real of a real line.
                let last = modes.get(h).map_or(T::zero(), |z| z.re);
                line[0] = Complex::new(modes[0].re + last, modes[0].re - last);
                let kept = modes.len().min(h);
                line[1..kept].copy_from_slice(&modes[1..kept]);
                line[kept..].fill(zero);
                if h % 2 == 0 {
                    line[h / 2] = joined(line[h / 2], line[h / 2], self.roots[h / 2]);
                }
                let (front, back) = line[1..].split_at_mut((h - 1) / 2);
                let back = &mut back[(h - 1) % 2..];
                // SAFETY: a level of this processor.
                unsafe { enter(self.level, Joining { front, back, roots: &self.roots[1..] }) };
            }
            Kind::Odd => {
                line.fill(zero);
                line[0] = Complex::new(modes[0].re, T::zero());
                for (k, z) in modes.iter().enumerate().skip(1) {
                    (line[k], line[h - k]) = (*z, z.conj());
                }
            }
            Kind::Complex => {
                line.fill(zero);
                for (z, &at) in modes.iter().zip(&self.place) {
                    line[at] = *z;
                }
            }
        }
        self.plans[0].process_with_scratch(line, &mut self.scratch);
        if self.kind == Kind::Odd {
            values.iter_mut().zip(&self.line).for_each(|(v, z)| *v = z.re);
        }
    }

    /// Grid values to coefficients.
    pub fn forward(&mut self, values: &[T], modes: &mut [Complex<T>]) {
        let (h, scale, line) = (self.length, self.scale, &mut self.line[..]);
        match self.kind {
            Kind::Odd => line.iter_mut().zip(values).for_each(|(z, v)| *z = Complex::new(*v, T::zero())),
            _ => line.copy_from_slice(bytemuck::cast_slice(values)),
        }
        self.plans[1].process_with_scratch(line, &mut self.scratch);
        match self.kind {
            Kind::Even => {
                let kept = modes.len().min(h);
                for k in [0, h] {
                    if let Some(mode) = modes.get_mut(k) {
                        *mode = parted(line[0], line[0], self.roots[k]) * scale;
                    }
                }
                let (front, back) = (&line[1..kept], &line[h + 1 - kept..]);
                let parting = Parting { front, back, roots: &self.roots[1..], modes: &mut modes[1..kept], scale };
                // SAFETY: a level of this processor.
                unsafe { enter(self.level, parting) };
            }
            _ => modes.iter_mut().zip(&self.place).for_each(|(mode, &at)| *mode = line[at] * scale),
        }
    }

    pub fn through(&mut self, inputs: &[&[Complex<T>]], pointwise: &Pointwise<T>, outputs: &mut [&mut [Complex<T>]]) {
        let n = self.reals;
        let (mut values, mut products) = (std::mem::take(&mut self.values), std::mem::take(&mut self.products));
        values.resize((inputs.len() * n).max(values.len()), T::zero());
        products.resize((outputs.len() * n).max(products.len()), T::zero());
        for (modes, values) in inputs.iter().zip(values.chunks_mut(n)) {
            self.backward(modes, values);
        }
        let tile = Tile { plane: 0.0, rows: &[0.0], columns: &self.coordinates, start: [0; 3] };
        super::passes::call(pointwise, &tile, values.chunks(n), inputs.len(), products.chunks_mut(n), outputs.len());
        for (modes, products) in outputs.iter_mut().zip(products.chunks(n)) {
            self.forward(products, modes);
        }
        (self.values, self.products) = (values, products);
    }
}

/// X_k + X̄_{h−k} + i e^{2πik/n} (X_k − X̄_{h−k}), w = e^{−2πik/n}.
#[inline(always)]
pub fn joined<T: Real>(x: Complex<T>, y: Complex<T>, w: Complex<T>) -> Complex<T> {
    let (sum, d) = (x + y.conj(), x - y.conj());
    let turned = w.conj() * d;
    Complex::new(sum.re - turned.im, sum.im + turned.re)
}

/// Z_k + Z̄_{h−k} − i e^{−2πik/n} (Z_k − Z̄_{h−k}), w = e^{−2πik/n}: the reverse.
#[inline(always)]
fn parted<T: Real>(x: Complex<T>, y: Complex<T>, w: Complex<T>) -> Complex<T> {
    let (sum, d) = (x + y.conj(), x - y.conj());
    sum + w * Complex::new(d.im, -d.re)
}

/// Modes k and h − k to elements k and h − k of the half transform, for k = 1, 2, …: `front` goes up, `back` down. A loop
/// of its own, so that vectors go along it; as products and sums are rounded apart, they change no bits.
struct Joining<'a, T> {
    front: &'a mut [Complex<T>],
    back: &'a mut [Complex<T>],
    roots: &'a [Complex<T>],
}

impl<T: Real> Job<T> for Joining<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let Joining { front, back, roots } = self;
        for ((front, back), w) in front.iter_mut().zip(back.iter_mut().rev()).zip(roots) {
            let (x, y) = (*front, *back);
            let (sum, d) = (x + y.conj(), x - y.conj());
            // Of h − k: the same numbers, some with the other sign.
            let turned = w.conj() * d;
            *front = Complex::new(sum.re - turned.im, sum.im + turned.re);
            *back = Complex::new(sum.re + turned.im, turned.re - sum.im);
        }
    }
}

/// Elements k (`front`) and h − k (`back`, downwards) of the half transform to modes k, for k = 1, 2, ….
struct Parting<'a, T> {
    front: &'a [Complex<T>],
    back: &'a [Complex<T>],
    roots: &'a [Complex<T>],
    modes: &'a mut [Complex<T>],
    scale: T,
}

impl<T: Real> Job<T> for Parting<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let Parting { front, back, roots, modes, scale } = self;
        for ((mode, w), (x, y)) in modes.iter_mut().zip(roots).zip(front.iter().zip(back.iter().rev())) {
            *mode = parted(*x, *y, *w) * scale;
        }
    }
}
