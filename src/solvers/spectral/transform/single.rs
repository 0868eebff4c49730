//! One line, whole on one rank: the transform of one-dimensional domains. There are no other lines to share vectors
//! with, so it goes through a library (rustfft or FFTW), whose vectors lie along the line.

use std::sync::Arc;

use num_complex::Complex;
use rustfft::{Fft, FftDirection};

use super::Pointwise;
use super::fft::{library_plan, root};
use super::vector::Level;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Axis, Tile};

/// Plans and work space of one line.
pub struct Single<T: Real> {
    /// Real points; complex ones count twice.
    reals: usize,
    /// Length of the complex transform: half the points of real lines of even length.
    length: usize,
    kind: Kind,
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
            place: (0..axis.modes()).map(|i| axis.number(i).rem_euclid(n as i64) as usize).collect(),
            roots: (0..=n / 2).map(|k| T::complex(root(k, n))).collect(),
            scale: T::of(scale),
            plans,
            line: vec![zero; length + 1],
            scratch: vec![zero; scratch],
            coordinates: (0..n).map(|i| axis.coordinate(i)).collect(),
            values: Vec::new(),
            products: Vec::new(),
        }
    }

    /// Coefficients to grid values.
    pub fn backward(&mut self, modes: &[Complex<T>], values: &mut [T]) {
        let (h, zero) = (self.length, Complex::new(T::zero(), T::zero()));
        let line = &mut self.line[..];
        match self.kind {
            Kind::Even => {
                line[..modes.len()].copy_from_slice(modes);
                line[modes.len()..].fill(zero);
                // What is real of a real line.
                (line[0].im, line[h].im) = (T::zero(), T::zero());
                // Modes k and h − k together make elements k and h − k of the half transform.
                for k in 0..=h / 2 {
                    let (x, y) = (line[k], line[h - k]);
                    line[k] = joined(x, y, self.roots[k]);
                    line[h - k] = joined(y, x, self.roots[h - k]);
                }
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
        let line = &mut line[..h];
        self.plans[0].process_with_scratch(line, &mut self.scratch);
        match self.kind {
            Kind::Odd => values.iter_mut().zip(line).for_each(|(v, z)| *v = z.re),
            _ => values.copy_from_slice(bytemuck::cast_slice(line)),
        }
    }

    /// Grid values to coefficients.
    pub fn forward(&mut self, values: &[T], modes: &mut [Complex<T>]) {
        let (h, scale) = (self.length, self.scale);
        let line = &mut self.line[..h];
        match self.kind {
            Kind::Odd => line.iter_mut().zip(values).for_each(|(z, v)| *z = Complex::new(*v, T::zero())),
            _ => bytemuck::cast_slice_mut(line).copy_from_slice(values),
        }
        self.plans[1].process_with_scratch(line, &mut self.scratch);
        match self.kind {
            Kind::Even => {
                for (k, (mode, w)) in modes.iter_mut().zip(&self.roots).enumerate() {
                    let (x, y) = (line[if k == h { 0 } else { k }], line[if k == 0 { 0 } else { h - k }].conj());
                    let (sum, d) = (x + y, x - y);
                    *mode = (sum + *w * Complex::new(d.im, -d.re)) * scale;
                }
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
pub fn joined<T: Real>(x: Complex<T>, y: Complex<T>, w: Complex<T>) -> Complex<T> {
    let (sum, d) = (x + y.conj(), x - y.conj());
    let turned = w.conj() * d;
    Complex::new(sum.re - turned.im, sum.im + turned.re)
}
