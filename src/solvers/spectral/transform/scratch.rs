//! Work space of one thread: lanes of lines, planes in the second-level cache, lists of rows.

use num_complex::Complex;

use super::lines::Buffers;
use super::tables::Place;
use super::vector::{prefetch, settle, stream_copy};
use crate::math::real::Real;

/// Work space of one thread.
pub struct Scratch<T> {
    lanes: [Aligned<T>; 3],
    line: Vec<Complex<T>>,
    from: Vec<*const Complex<T>>,
    to: Vec<*mut Complex<T>>,
    /// Where rows go that were worked on in a plane.
    out: Vec<*mut Complex<T>>,
    /// Rows of so many columns that will be brought next and have not been asked for, so many of which are each time.
    expected: Vec<*const Complex<T>>,
    expected_columns: usize,
    expected_share: usize,
    pub planes: Vec<Aligned<T>>,
    pub values: Aligned<T>,
    pub products: Aligned<T>,
}

// SAFETY: the pointers are only used within one task.
unsafe impl<T: Send> Send for Scratch<T> {}

/// Numbers on whole cache lines.
pub struct Aligned<T>(Vec<T>);

impl<T: Real> Aligned<T> {
    pub fn new(n: usize) -> Self {
        Aligned(vec![T::zero(); n + 64 / size_of::<T>()])
    }

    /// Makes room; contents are lost.
    pub fn reserve(&mut self, n: usize) {
        if self.0.len() < n + 64 / size_of::<T>() {
            *self = Aligned::new(n);
        }
    }

    pub fn start(&mut self) -> *mut T {
        let at = self.0.as_ptr().align_offset(64);
        self.0[at..].as_mut_ptr()
    }
}

impl<T: Real> Scratch<T> {
    /// With so many numbers in each of the three buffers of lanes, and in a single line.
    pub fn new(lanes: usize, line: usize) -> Self {
        Scratch {
            lanes: std::array::from_fn(|_| Aligned::new(lanes)),
            line: vec![Complex::new(T::zero(), T::zero()); line],
            from: Vec::new(),
            to: Vec::new(),
            out: Vec::new(),
            expected: Vec::new(),
            expected_columns: 0,
            expected_share: 0,
            planes: Vec::new(),
            values: Aligned::new(0),
            products: Aligned::new(0),
        }
    }

    /// Lists the rows of a plane.
    pub fn list(
        &mut self,
        rows: &[Vec<Option<Place>>; 2],
        from: &[*mut Complex<T>],
        to: &[*mut Complex<T>],
        plane: usize,
    ) {
        // Only addresses are made here; what is behind them was made valid by the tables.
        let begin = |arrays: &[*mut Complex<T>], p: &Place| arrays[p.array].wrapping_add(p.base + plane * p.step);
        self.list_by(rows, |p| begin(from, p), |p| begin(to, p));
    }

    /// Lists rows that begin where `from` and `to` say.
    pub fn list_by(
        &mut self,
        [rows_from, rows_to]: &[Vec<Option<Place>>; 2],
        from: impl Fn(&Place) -> *mut Complex<T>,
        to: impl Fn(&Place) -> *mut Complex<T>,
    ) {
        self.from.clear();
        self.to.clear();
        self.from.extend(rows_from.iter().map(|p| p.as_ref().map_or(std::ptr::null(), |p| from(p).cast_const())));
        self.to.extend(rows_to.iter().map(|p| p.as_ref().map_or(std::ptr::null_mut(), &to)));
    }

    /// Copies the listed rows to a plane, in the order of memory, and lists those of the plane instead: rows of a plane
    /// follow each other, so that memory is read as one piece, at more than twice the rate of columns of rows.
    ///
    /// # Safety
    /// The rows are valid for `columns`, the plane for as many rows of `pitch`.
    pub unsafe fn bring(&mut self, plane: *mut Complex<T>, pitch: usize, columns: usize) {
        let mut row = plane;
        // The inverse transform takes the rows in opposite order.
        for from in self.from.iter_mut().rev().filter(|row| !row.is_null()) {
            unsafe {
                std::ptr::copy_nonoverlapping(*from, row, columns);
                *from = row;
                row = row.add(pitch);
            }
        }
    }

    /// The rows of a plane of some arrays will probably be brought next; memory is asked for them by [`ask`](Self::ask),
    /// which is called `times` times before: they come while the processor has other work.
    pub fn expect(
        &mut self,
        rows: &[Option<Place>],
        arrays: impl Iterator<Item = *mut Complex<T>>,
        plane: usize,
        columns: usize,
        times: usize,
    ) {
        let begin = |array: *mut Complex<T>, p: &Place| array.wrapping_add(p.base + plane * p.step).cast_const();
        self.expected.clear();
        for array in arrays {
            self.expected.extend(rows.iter().flatten().map(|p| begin(array, p)));
        }
        self.expected_columns = columns;
        self.expected_share = self.expected.len().div_ceil(times.max(1));
    }

    /// Asks memory for a share of the rows that are expected.
    pub fn ask(&mut self) {
        let kept = self.expected.len().saturating_sub(self.expected_share);
        for row in self.expected.drain(kept..) {
            for i in (0..self.expected_columns).step_by(64 / size_of::<Complex<T>>()) {
                prefetch(row.wrapping_add(i).cast());
            }
        }
    }

    /// Lists rows of the plane as those to write to, and keeps where they are to go by [`send`](Self::send).
    pub fn stay(&mut self, plane: *mut Complex<T>, pitch: usize) {
        self.out.clear();
        self.out.extend_from_slice(&self.to);
        let kept = self.to.iter_mut().filter(|row| !row.is_null());
        kept.enumerate().for_each(|(i, row)| *row = plane.wrapping_add(i * pitch));
    }

    /// Copies the rows of a plane to where they go.
    ///
    /// # Safety
    /// The rows are valid for `columns`.
    pub unsafe fn send(&mut self, columns: usize) {
        for (from, to) in self.to.iter().zip(&self.out).filter(|(row, _)| !row.is_null()) {
            unsafe { stream_copy(from.cast_const().cast(), to.cast(), columns * size_of::<Complex<T>>()) };
        }
        settle();
    }

    /// The listed rows to read and to write, and the buffers of lanes.
    pub fn rows_and_buffers(&mut self) -> (&[*const Complex<T>], &[*mut Complex<T>], Buffers<'_, T>) {
        let [a, b, c] = &mut self.lanes;
        let buffers = Buffers { a: a.start(), b: b.start(), c: c.start(), line: &mut self.line };
        (&self.from, &self.to, buffers)
    }

    pub fn buffers(&mut self) -> Buffers<'_, T> {
        self.rows_and_buffers().2
    }
}
