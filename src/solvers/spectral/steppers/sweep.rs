//! One pass over the modes: what lies between two evaluations of N.
//!
//! A scheme writes a sweep once, over vectors and factors; it runs with real or complex factors per field, where a
//! vector is one coefficient, and with blocks, where it is the column of all coefficients of a mode. Every output is
//! made from the inputs of its own mode alone, so the bits depend neither on threads nor on ranks.

use std::ops::{Add, Mul, Range, Sub};

use num_complex::Complex;

use super::super::fields::Fields;
use super::super::transform::prefetch;
use super::factors::{Factors, Tables};
use crate::crew::each;
use crate::math::real::Real;

/// Modes of one task: the arrays of a sweep stay in the second-level cache.
const CHUNK: usize = 1024;
/// Below this many tasks a hand-over to other threads costs more than it brings.
const PARALLEL: usize = 8;
/// Arrays whose pointers are held at once: fields of one sweep, at most.
pub const GROUP: usize = 16;

/// One coefficient, or those of all fields of a block.
pub trait Vector<T>: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<T, Output = Self> {}

impl<T, V: Copy + Add<Output = V> + Sub<Output = V> + Mul<T, Output = V>> Vector<T> for V {}

/// A function of L at one mode.
pub trait Factor<V>: Copy + Mul<V, Output = V> {}

impl<V, F: Copy + Mul<V, Output = V>> Factor<V> for F {}

/// A pass over the modes with C factors, R arrays that are read and W that are written.
pub trait Sweep<T: Real, const C: usize, const R: usize, const W: usize>: Sync {
    /// New values of the written arrays; `old` are the present ones.
    fn at<F: Factor<V>, V: Vector<T>>(&self, factors: [F; C], read: [V; R], old: [V; W]) -> [V; W];
}

/// A real factor.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct RealFactor<T>(T);

impl<T: Real> Mul<Complex<T>> for RealFactor<T> {
    type Output = Complex<T>;
    #[inline(always)]
    fn mul(self, z: Complex<T>) -> Complex<T> {
        Complex::new(self.0 * z.re, self.0 * z.im)
    }
}

/// A complex factor.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct ComplexFactor<T>(Complex<T>);

impl<T: Real> Mul<Complex<T>> for ComplexFactor<T> {
    type Output = Complex<T>;
    #[inline(always)]
    fn mul(self, z: Complex<T>) -> Complex<T> {
        self.0 * z
    }
}

/// A block, row by row, P × P (padded with zeros).
#[derive(Clone, Copy)]
struct BlockFactor<'a, T, const P: usize>(&'a [Complex<T>]);

/// The coefficients of one mode of the fields of a block (padded with zeros).
#[derive(Clone, Copy)]
struct Column<T, const P: usize>([Complex<T>; P]);

impl<T: Real, const P: usize> Add for Column<T, P> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Column(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl<T: Real, const P: usize> Sub for Column<T, P> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Column(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
}

impl<T: Real, const P: usize> Mul<T> for Column<T, P> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, s: T) -> Self {
        Column(std::array::from_fn(|i| self.0[i] * s))
    }
}

impl<T: Real, const P: usize> Mul<Column<T, P>> for BlockFactor<'_, T, P> {
    type Output = Column<T, P>;
    #[inline(always)]
    fn mul(self, v: Column<T, P>) -> Column<T, P> {
        let rows = &self.0[..P * P];
        Column(std::array::from_fn(|i| (1..P).fold(rows[i * P] * v.0[0], |sum, j| sum + rows[i * P + j] * v.0[j])))
    }
}

/// A pointer that threads share; each touches its own modes only.
#[derive(Clone, Copy)]
struct Shared<P>(P);

// SAFETY: made by `pointers` and `factor_pointers` from slices that outlive the sweep; tasks have disjoint modes.
unsafe impl<P> Send for Shared<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for Shared<P> {}

/// Calls `act` with each range of modes, over threads where that pays.
pub fn over_chunks(modes: usize, act: impl Fn(Range<usize>) + Sync) {
    let tasks = modes.div_ceil(CHUNK);
    let task = |c: usize| act(c * CHUNK..modes.min((c + 1) * CHUNK));
    if tasks < PARALLEL {
        (0..tasks).for_each(task);
    } else {
        each(tasks, task);
    }
}

/// Read pointers of some arrays of each of the inputs, and write pointers of the outputs.
pub(super) type Pointers<T, const N: usize> = [[*mut Complex<T>; GROUP]; N];

/// What is missing has none.
pub(super) fn read<T: Real, const N: usize>(all: &[&Fields<T>], fields: Range<usize>, modes: usize) -> Pointers<T, N> {
    std::array::from_fn(|j| {
        let mut row = [std::ptr::null_mut(); GROUP];
        let arrays = all.get(j).map_or(&[][..], |one| &one.arrays[fields.clone()]);
        for (p, array) in row.iter_mut().zip(arrays) {
            assert_eq!(array.len(), modes);
            *p = array.as_ptr().cast_mut();
        }
        row
    })
}

pub(super) fn write<T: Real, const N: usize>(
    all: &mut [&mut Fields<T>; N],
    fields: Range<usize>,
    modes: usize,
) -> Pointers<T, N> {
    let mut rows = [[std::ptr::null_mut(); GROUP]; N];
    for (row, one) in rows.iter_mut().zip(all.iter_mut()) {
        for (p, array) in row.iter_mut().zip(&mut one.arrays[fields.clone()]) {
            assert_eq!(array.len(), modes);
            *p = array.as_mut_ptr();
        }
    }
    rows
}

/// Runs a sweep without factors.
pub fn combine<T: Real, S: Sweep<T, 0, R, W>, const R: usize, const W: usize>(
    sweep: &S,
    inputs: [&Fields<T>; R],
    mut outputs: [&mut Fields<T>; W],
) {
    let (fields, modes) = (outputs[0].len(), outputs[0].modes());
    for group in groups(fields, GROUP) {
        let (from, to) = (read(&inputs, group.clone(), modes), write(&mut outputs, group.clone(), modes));
        diagonal::<T, RealFactor<T>, S, 0, R, W>(sweep, |_| [], group, from, to, |part| whole(modes, part));
    }
}

/// Runs a sweep with the tables `which` of `factors`. Arrays beyond the fields of the linear part take the factors of
/// field f modulo their number (copies of the state, as tangents are).
pub fn run<T: Real, S: Sweep<T, C, R, W>, const C: usize, const R: usize, const W: usize>(
    sweep: &S,
    factors: &Factors<T>,
    which: [usize; C],
    inputs: [&Fields<T>; R],
    mut outputs: [&mut Fields<T>; W],
) {
    let (fields, modes) = (outputs[0].len(), outputs[0].modes());
    for group in groups(fields, at_once(factors)) {
        let (from, to) = (read(&inputs, group.clone(), modes), write(&mut outputs, group.clone(), modes));
        with_part(sweep, factors, which, group, from, to, |part| whole(modes, part));
    }
}

/// The ranges of at most `most` fields.
fn groups(fields: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..fields).step_by(most).map(move |first| first..fields.min(first + most))
}

/// Fields that one sweep takes together.
pub(super) fn at_once<T>(factors: &Factors<T>) -> usize {
    match factors.tables {
        Tables::Block { fields, .. } => fields,
        _ => GROUP,
    }
}

/// A sweep with all its arrays, on a range of modes. No two calls have a mode in common.
pub(super) type Part<'a, T> = dyn Fn(Range<usize>, Option<Given<T>>) + Sync + 'a;

/// What a [`Part`] gets where its sweep's last input is no array as the others, nor perhaps its first output.
pub(super) struct Given<'a, 's, T> {
    /// The values there of that input, one slice per field.
    pub last: &'a [&'a [Complex<T>]],
    /// Where the first output goes, one slice per field; none: to its arrays.
    pub first: &'a mut [&'s mut [Complex<T>]],
    /// How many modes on this thread probably goes on.
    pub ahead: usize,
}

/// All modes, over threads.
fn whole<T>(modes: usize, part: &Part<T>) {
    over_chunks(modes, |at| part(at, None));
}

/// Asks for the values that are needed when the thread goes on.
#[inline(always)]
fn fetch<X>(row: *const X, at: &Range<usize>, ahead: usize) {
    for i in at.clone().step_by((64 / size_of::<X>()).max(1)) {
        prefetch(row.wrapping_add(i + ahead).cast());
    }
}

pub(super) fn with_part<T: Real, S: Sweep<T, C, R, W>, const C: usize, const R: usize, const W: usize>(
    sweep: &S,
    factors: &Factors<T>,
    which: [usize; C],
    group: Range<usize>,
    from: Pointers<T, R>,
    to: Pointers<T, W>,
    act: impl FnOnce(&Part<T>),
) {
    let of = &factors.of;
    match &factors.tables {
        Tables::Real(tables) => {
            let pointers = |f: usize| which.map(|w| tables[w][of[f % of.len()]].as_ptr().cast::<RealFactor<T>>());
            diagonal(sweep, pointers, group, from, to, act)
        }
        Tables::Complex(tables) => {
            let pointers = |f: usize| which.map(|w| tables[w][of[f % of.len()]].as_ptr().cast::<ComplexFactor<T>>());
            diagonal(sweep, pointers, group, from, to, act)
        }
        Tables::Block { fields, width, tables } => {
            assert_eq!(group.len(), *fields);
            let tables = which.map(|w| tables[w].as_slice());
            match width {
                2 => blocks::<T, S, C, R, W, 2>(sweep, *fields, tables, from, to, act),
                3 => blocks::<T, S, C, R, W, 3>(sweep, *fields, tables, from, to, act),
                4 => blocks::<T, S, C, R, W, 4>(sweep, *fields, tables, from, to, act),
                _ => blocks::<T, S, C, R, W, 8>(sweep, *fields, tables, from, to, act),
            }
        }
    }
}

/// `pointers(field)` are the factors of a field, one per mode.
fn diagonal<T, F, S, const C: usize, const R: usize, const W: usize>(
    sweep: &S,
    pointers: impl Fn(usize) -> [*const F; C],
    group: Range<usize>,
    from: Pointers<T, R>,
    to: Pointers<T, W>,
    act: impl FnOnce(&Part<T>),
) where
    T: Real,
    F: Factor<Complex<T>>,
    S: Sweep<T, C, R, W>,
{
    let mut factors = [[std::ptr::null(); C]; GROUP];
    let count = group.len();
    for (f, field) in group.enumerate() {
        factors[f] = pointers(field);
    }
    let shared = Shared((factors, from, to));
    act(&|at, mut given| {
        let Shared((factors, from, to)) = &shared;
        // Field by field within a chunk: factors that fields share come from the cache.
        for f in 0..count {
            let mut from: [*const Complex<T>; R] = std::array::from_fn(|j| from[j][f].cast_const());
            let mut to: [*mut Complex<T>; W] = std::array::from_fn(|j| to[j][f]);
            if let (Some(given), Some((input, others))) = (&mut given, from.split_last_mut()) {
                let passing = given.first.get_mut(f);
                factors[f].iter().for_each(|row| fetch(*row, &at, given.ahead));
                others.iter().for_each(|row| fetch(*row, &at, given.ahead));
                to[usize::from(passing.is_some())..].iter().for_each(|row| fetch(*row, &at, given.ahead));
                // Where mode 0 would be: what is given begins with the range.
                *input = given.last[f].as_ptr().wrapping_sub(at.start);
                if let Some(passing) = passing {
                    to[0] = passing.as_mut_ptr().wrapping_sub(at.start);
                }
            }
            // SAFETY: `read` and `write` checked that every array has `modes` values, `Factors` has as many; who calls
            // gives slices as long as the range, which is one of no other call.
            unsafe { line(sweep, factors[f], from, to, at.clone()) };
        }
    })
}

/// # Safety
/// All pointers are valid for the range; those in `to` for writing, without others.
#[inline(always)]
unsafe fn lane<T, F, S, const C: usize, const R: usize, const W: usize>(
    sweep: &S,
    factors: [*const F; C],
    from: [*const Complex<T>; R],
    to: [*mut Complex<T>; W],
    at: Range<usize>,
) where
    T: Real,
    F: Factor<Complex<T>>,
    S: Sweep<T, C, R, W>,
{
    for i in at {
        // SAFETY: i lies in the range the caller vouches for.
        unsafe {
            let new = sweep.at(factors.map(|p| *p.add(i)), from.map(|p| *p.add(i)), to.map(|p| *p.add(i)));
            for j in 0..W {
                *to[j].add(i) = new[j];
            }
        }
    }
}

/// # Safety
/// As [`lane`].
unsafe fn line<T, F, S, const C: usize, const R: usize, const W: usize>(
    sweep: &S,
    factors: [*const F; C],
    from: [*const Complex<T>; R],
    to: [*mut Complex<T>; W],
    at: Range<usize>,
) where
    T: Real,
    F: Factor<Complex<T>>,
    S: Sweep<T, C, R, W>,
{
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2; the rest is the caller's promise.
        return unsafe { line_avx2(sweep, factors, from, to, at) };
    }
    // SAFETY: the caller's promise.
    unsafe { lane(sweep, factors, from, to, at) }
}

/// The same operations in wider registers: products and sums are not contracted, so the bits are the same.
///
/// # Safety
/// As [`lane`], on a processor with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn line_avx2<T, F, S, const C: usize, const R: usize, const W: usize>(
    sweep: &S,
    factors: [*const F; C],
    from: [*const Complex<T>; R],
    to: [*mut Complex<T>; W],
    at: Range<usize>,
) where
    T: Real,
    F: Factor<Complex<T>>,
    S: Sweep<T, C, R, W>,
{
    // SAFETY: the caller's promise.
    unsafe { lane(sweep, factors, from, to, at) }
}

/// `tables` hold P × P entries per mode.
fn blocks<T: Real, S: Sweep<T, C, R, W>, const C: usize, const R: usize, const W: usize, const P: usize>(
    sweep: &S,
    block: usize,
    tables: [&[Complex<T>]; C],
    from: Pointers<T, R>,
    to: Pointers<T, W>,
    act: impl FnOnce(&Part<T>),
) {
    assert!(block <= P);
    let shared = Shared((from, to));
    act(&|at, given| {
        let Shared((from, to)) = &shared;
        let zero = Complex::new(T::zero(), T::zero());
        let (mut from, mut to) = (*from, *to);
        if let (Some(given), Some(input)) = (given, from.last_mut()) {
            let last = given.last.iter().map(|last| last.as_ptr().cast_mut());
            input.iter_mut().zip(last).for_each(|(row, last)| *row = last.wrapping_sub(at.start));
            let first = given.first.iter_mut().map(|first| first.as_mut_ptr());
            to[0].iter_mut().zip(first).for_each(|(row, first)| *row = first.wrapping_sub(at.start));
        }
        for i in at {
            let factors = tables.map(|t| BlockFactor::<T, P>(&t[i * P * P..(i + 1) * P * P]));
            // SAFETY: as in `diagonal`.
            let column = |row: &[*mut Complex<T>; GROUP]| {
                Column::<T, P>(std::array::from_fn(|f| if f < block { unsafe { *row[f].add(i) } } else { zero }))
            };
            let new =
                sweep.at(factors, std::array::from_fn(|j| column(&from[j])), std::array::from_fn(|j| column(&to[j])));
            for (row, new) in to.iter().zip(&new) {
                for f in 0..block {
                    // SAFETY: as in `diagonal`.
                    unsafe { *row[f].add(i) = new.0[f] };
                }
            }
        }
    })
}
