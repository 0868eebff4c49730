//! Linear combinations of arrays in spectral space, with operators as weights, at one tile.

use std::sync::Mutex;

use num_complex::Complex;

use super::graph::{Graph, Id};
use super::plan::{Combination, Constraint, Input};
use super::program::{Output, Program, Source};
use crate::math::real::Real;
use crate::solvers::spectral::domain::Tile;

/// Modes of a piece.
const PIECE: usize = 256;

/// The real or the imaginary part of a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weight<T> {
    Zero,
    Number(T),
    /// A function of the wavenumber: its place among the outputs of the program.
    Array(usize),
}

struct Term<T> {
    input: Input,
    re: Weight<T>,
    im: Weight<T>,
}

/// Compiled [`Combination`]s.
pub struct Combine<T> {
    /// Weights that vary with the wavenumber.
    program: Program<T>,
    arrays: usize,
    outputs: Vec<Vec<Term<T>>>,
    pool: Mutex<Vec<Vec<T>>>,
}

impl<T: Real> Combine<T> {
    pub fn new(combinations: &[Combination]) -> Combine<T> {
        let mut graph = Graph::default();
        let mut arrays: Vec<Id> = Vec::new();
        let mut outputs = Vec::new();
        for combination in combinations {
            let mut terms = Vec::new();
            for (input, symbol) in combination {
                let formula = symbol.formula(&mut graph);
                let mut weight = |id: Id| match graph.number(id) {
                    Some(0.0) => Weight::Zero,
                    Some(x) => Weight::Number(T::of(x)),
                    None => Weight::Array(arrays.iter().position(|&a| a == id).unwrap_or_else(|| {
                        arrays.push(id);
                        arrays.len() - 1
                    })),
                };
                terms.push(Term { input: *input, re: weight(formula.re), im: weight(formula.im) });
            }
            outputs.push(terms);
        }
        let list: Vec<Output> = arrays.iter().map(|&id| Output::Real(id)).collect();
        let program = Program::new(&graph, &list, |_| Source { array: 0, part: None });
        Combine { program, arrays: arrays.len(), outputs, pool: Mutex::new(Vec::new()) }
    }

    /// Fills `out` from fields and products at a tile of wavenumbers.
    pub fn run(
        &self,
        tile: &Tile,
        fields: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        let n = tile.len();
        let mut weights = self.pool.lock().ok().and_then(|mut p| p.pop()).unwrap_or_default();
        weights.resize(self.arrays * n, T::zero());
        if self.arrays > 0 && n > 0 {
            with_parts(&mut weights, n, |parts| self.program.run(tile, 0.0, &[], parts));
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { self.pieces_avx2(n, &weights, fields, products, out) };
        } else {
            self.pieces(n, &weights, fields, products, out);
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.pieces(n, &weights, fields, products, out);
        if let Ok(mut pool) = self.pool.lock() {
            pool.push(weights);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn pieces_avx2(
        &self,
        n: usize,
        weights: &[T],
        fields: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        self.pieces(n, weights, fields, products, out);
    }

    #[inline(always)]
    fn pieces(
        &self,
        n: usize,
        weights: &[T],
        fields: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        for first in (0..n).step_by(PIECE) {
            let at = first..n.min(first + PIECE);
            for (terms, out) in self.outputs.iter().zip(out.iter_mut()) {
                let d = &mut out[at.clone()];
                if terms.is_empty() {
                    d.fill(Complex::new(T::zero(), T::zero()));
                }
                for (i, term) in terms.iter().enumerate() {
                    let z = match term.input {
                        Input::Field(f) => &fields[f][at.clone()],
                        Input::Product(p) => &products[p][at.clone()],
                    };
                    let array = |w: usize| &weights[w * n + at.start..w * n + at.end];
                    if i == 0 {
                        weigh(d, z, term.re, term.im, array, |d, x| *d = x);
                    } else {
                        weigh(d, z, term.re, term.im, array, |d, x| *d += x);
                    }
                }
            }
        }
    }
}

/// Cuts work space into parts of `n` values; up to sixteen without allocating.
pub fn with_parts<T>(work: &mut [T], n: usize, act: impl FnOnce(&mut [&mut [T]])) {
    let count = work.len() / n;
    let mut few: [&mut [T]; 16] = std::array::from_fn(|_| &mut [][..]);
    if count <= few.len() {
        few.iter_mut().zip(work.chunks_exact_mut(n)).for_each(|(part, chunk)| *part = chunk);
        act(&mut few[..count]);
    } else {
        act(&mut work.chunks_exact_mut(n).collect::<Vec<_>>());
    }
}

#[inline(always)]
fn weigh<'a, T: Real>(
    d: &mut [Complex<T>],
    z: &[Complex<T>],
    re: Weight<T>,
    im: Weight<T>,
    array: impl Fn(usize) -> &'a [T],
    put: impl Fn(&mut Complex<T>, Complex<T>),
) {
    let turned = |z: Complex<T>, w: T| Complex::new(-(z.im * w), z.re * w);
    match (re, im) {
        (Weight::Zero, Weight::Zero) => d.iter_mut().for_each(|d| put(d, Complex::new(T::zero(), T::zero()))),
        (Weight::Number(w), Weight::Zero) if w == T::one() => d.iter_mut().zip(z).for_each(|(d, &z)| put(d, z)),
        (Weight::Number(w), Weight::Zero) => d.iter_mut().zip(z).for_each(|(d, z)| put(d, z * w)),
        (Weight::Zero, Weight::Number(w)) => d.iter_mut().zip(z).for_each(|(d, &z)| put(d, turned(z, w))),
        (Weight::Array(w), Weight::Zero) => {
            d.iter_mut().zip(z).zip(array(w)).for_each(|((d, z), &w)| put(d, z * w));
        }
        (Weight::Zero, Weight::Array(w)) => {
            d.iter_mut().zip(z).zip(array(w)).for_each(|((d, &z), &w)| put(d, turned(z, w)));
        }
        (re, im) => {
            let value = |w: Weight<T>, i: usize| match w {
                Weight::Zero => T::zero(),
                Weight::Number(x) => x,
                Weight::Array(a) => array(a)[i],
            };
            for (i, (d, z)) in d.iter_mut().zip(z).enumerate() {
                put(d, z * Complex::new(value(re, i), value(im, i)));
            }
        }
    }
}

/// Projects arrays orthogonally onto a constraint at a tile of wavenumbers.
pub fn project<T: Real>(constraint: &Constraint, tile: &Tile, arrays: &mut [&mut [Complex<T>]]) {
    let Some(axes) = &constraint.axes else {
        return project_any(constraint, tile, arrays);
    };
    let width = tile.columns.len();
    // A piece of the pressure at a time.
    let mut pressure = [Complex::new(T::zero(), T::zero()); PIECE];
    for (r, &row) in tile.rows.iter().enumerate() {
        let flat = tile.plane * tile.plane + row * row;
        for first in (0..width).step_by(PIECE) {
            let columns = &tile.columns[first..width.min(first + PIECE)];
            let at = r * width + first..r * width + first + columns.len();
            let p = &mut pressure[..columns.len()];
            p.fill(Complex::new(T::zero(), T::zero()));
            for (&(f, _), &axis) in constraint.parts.iter().zip(axes) {
                let u = &arrays[f][at.clone()];
                match axis {
                    2 => p.iter_mut().zip(u).zip(columns).for_each(|((p, u), &k)| *p += u * T::of(k)),
                    axis => {
                        let k = T::of(if axis == 0 { tile.plane } else { row });
                        p.iter_mut().zip(u).for_each(|(p, u)| *p += u * k);
                    }
                }
            }
            for (p, &k) in p.iter_mut().zip(columns) {
                let square = flat + k * k;
                *p = *p * T::of(if square == 0.0 { 0.0 } else { 1.0 / square });
            }
            for (&(f, _), &axis) in constraint.parts.iter().zip(axes) {
                let u = &mut arrays[f][at.clone()];
                match axis {
                    2 => u.iter_mut().zip(&*p).zip(columns).for_each(|((u, p), &k)| *u -= p * T::of(k)),
                    axis => {
                        let k = T::of(if axis == 0 { tile.plane } else { row });
                        u.iter_mut().zip(&*p).for_each(|(u, p)| *u -= p * k);
                    }
                }
            }
        }
    }
}

/// u − g* (g·u)/|g|² with the symbols evaluated mode by mode.
fn project_any<T: Real>(constraint: &Constraint, tile: &Tile, arrays: &mut [&mut [Complex<T>]]) {
    tile.for_each(|i, k| {
        let g: Vec<Complex<f64>> = constraint.parts.iter().map(|(_, s)| s.value(k)).collect();
        let square: f64 = g.iter().map(|g| g.norm_sqr()).sum();
        if square > 0.0 {
            let wide = |z: Complex<T>| Complex::new(z.re.to_f64(), z.im.to_f64());
            let sum: Complex<f64> = constraint.parts.iter().zip(&g).map(|((f, _), g)| g * wide(arrays[*f][i])).sum();
            for ((f, _), g) in constraint.parts.iter().zip(&g) {
                arrays[*f][i] = T::complex(wide(arrays[*f][i]) - g.conj() * sum / square);
            }
        }
    });
}
