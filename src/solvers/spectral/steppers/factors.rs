//! Functions of L per mode, as sweeps use them: made in f64 once per step size, stored in the precision of the state.

use num_complex::Complex;

use super::super::linear::Linear;
use super::sweep::over_chunks;
use crate::math::real::Real;

/// Fields of a block at most.
pub const BLOCK: usize = 8;

/// An n × n block, row by row, in the first n² places.
pub type Block = [Complex<f64>; BLOCK * BLOCK];

/// Several functions of L.
#[derive(Debug, Clone)]
pub struct Factors<T> {
    /// Which copy each field uses: fields with equal L share one.
    pub(super) of: Vec<usize>,
    pub(super) tables: Tables<T>,
}

/// `[function][copy][mode]`; blocks `[function][mode · width² + row · width + column]`, padded with zeros.
#[derive(Debug, Clone)]
pub(super) enum Tables<T> {
    Real(Vec<Vec<Vec<T>>>),
    Complex(Vec<Vec<Vec<Complex<T>>>>),
    Block { fields: usize, width: usize, tables: Vec<Vec<Complex<T>>> },
}

/// The copies that differ, and which one each field uses.
fn distinct<X: PartialEq>(entries: &[Vec<X>]) -> (Vec<usize>, Vec<&[X]>) {
    let (mut of, mut copies): (Vec<usize>, Vec<&[X]>) = (Vec::new(), Vec::new());
    for entry in entries {
        let place = copies.iter().position(|c| c == entry).unwrap_or(copies.len());
        if place == copies.len() {
            copies.push(entry);
        }
        of.push(place);
    }
    (of, copies)
}

/// Writes through a pointer from several tasks, each to its own places.
struct Places<X>(*mut X);

// SAFETY: `fill` writes each place from one task.
unsafe impl<X> Sync for Places<X> {}

/// table[j][i·size ..] = make(i)[j], over threads.
fn fill<X: Copy, const N: usize>(tables: [&mut [X]; N], size: usize, make: impl Fn(usize, &mut [&mut [X]; N]) + Sync) {
    let modes = tables.first().map_or(0, |t| t.len() / size);
    assert!(tables.iter().all(|t| t.len() == modes * size));
    let places = tables.map(|t| Places(t.as_mut_ptr()));
    over_chunks(modes, |at| {
        for i in at {
            // SAFETY: i < modes, chunks are disjoint, and `tables` is borrowed for writing.
            let mut out: [&mut [X]; N] =
                std::array::from_fn(|j| unsafe { std::slice::from_raw_parts_mut(places[j].0.add(i * size), size) });
            make(i, &mut out);
        }
    });
}

/// The j-th copy of each of N tables.
fn copies<X, const N: usize>(tables: &mut [Vec<Vec<X>>], copy: usize) -> [&mut [X]; N] {
    let mut each = tables.iter_mut();
    std::array::from_fn(|_| each.next().expect("N tables")[copy].as_mut_slice())
}

impl<T: Real> Factors<T> {
    /// None yet, with room for `functions` functions of `linear`.
    pub fn new(linear: &Linear, functions: usize) -> Self {
        let zero = Complex::new(T::zero(), T::zero());
        match linear {
            Linear::RealDiagonal(entries) => {
                let (of, copies) = distinct(entries);
                let table: Vec<Vec<T>> = copies.iter().map(|c| vec![T::zero(); c.len()]).collect();
                Factors { of, tables: Tables::Real(vec![table; functions]) }
            }
            Linear::Diagonal(entries) => {
                let (of, copies) = distinct(entries);
                let table: Vec<Vec<Complex<T>>> = copies.iter().map(|c| vec![zero; c.len()]).collect();
                Factors { of, tables: Tables::Complex(vec![table; functions]) }
            }
            Linear::Block { fields, entries } => {
                assert!(*fields <= BLOCK, "at most {BLOCK} fields meet in the linear part, not {fields}");
                let width = [2, 3, 4, BLOCK].into_iter().find(|w| fields <= w).unwrap_or(BLOCK);
                let modes = entries.len() / (fields * fields);
                let table = vec![zero; modes * width * width];
                let tables = Tables::Block { fields: *fields, width, tables: vec![table; functions] };
                Factors { of: (0..*fields).collect(), tables }
            }
        }
    }

    /// Makes the N tables anew, of functions of a real number, of a complex one, or of an n × n block (row by row), for
    /// which N blocks of n² are written.
    pub fn make<const N: usize>(
        &mut self,
        linear: &Linear,
        real: impl Fn(f64) -> [f64; N] + Sync,
        complex: impl Fn(Complex<f64>) -> [Complex<f64>; N] + Sync,
        block: impl Fn(&[Complex<f64>], usize, &mut [Block; N]) + Sync,
    ) {
        match (&mut self.tables, linear) {
            (Tables::Real(tables), Linear::RealDiagonal(entries)) => {
                for (copy, l) in distinct(entries).1.into_iter().enumerate() {
                    fill(copies(tables, copy), 1, |i, out: &mut [&mut [T]; N]| {
                        let values = real(l[i]);
                        (0..N).for_each(|j| out[j][0] = T::of(values[j]));
                    });
                }
            }
            (Tables::Complex(tables), Linear::Diagonal(entries)) => {
                for (copy, l) in distinct(entries).1.into_iter().enumerate() {
                    fill(copies(tables, copy), 1, |i, out: &mut [&mut [Complex<T>]; N]| {
                        let values = complex(l[i]);
                        (0..N).for_each(|j| out[j][0] = T::complex(values[j]));
                    });
                }
            }
            (Tables::Block { fields, width, tables }, Linear::Block { entries, .. }) => {
                let (n, width) = (*fields, *width);
                let mut each = tables[..].iter_mut();
                let tables: [&mut [Complex<T>]; N] =
                    std::array::from_fn(|_| each.next().expect("N tables").as_mut_slice());
                fill(tables, width * width, |i, out| {
                    let mut values = [[Complex::new(0.0, 0.0); BLOCK * BLOCK]; N];
                    block(&entries[i * n * n..(i + 1) * n * n], n, &mut values);
                    for (out, values) in out.iter_mut().zip(&values) {
                        for (row, value) in values[..n * n].chunks(n).enumerate() {
                            for (column, z) in value.iter().enumerate() {
                                out[row * width + column] = T::complex(*z);
                            }
                        }
                    }
                });
            }
            _ => unreachable!("the linear part changed its kind"),
        }
    }
}
