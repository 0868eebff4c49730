//! `Walk`: the one list that names the state. Output, checkpoint, restart and the rank tests all walk it.

use crate::error::Result;

/// How a reader of the HDF5 file sees a value: its dataset name, units, one-line meaning and named axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub name: &'static str,
    /// UDUNITS-style; "1" for a pure number.
    pub units: &'static str,
    pub meaning: &'static str,
    /// One name per axis; `[]` for a scalar.
    pub axes: &'static [&'static str],
}

impl Name {
    /// From texts known only at run time, such as the fields of a written equation. They are kept for the life of the
    /// process: make names once, when a solver is built, not at every step.
    pub fn kept(name: &str, units: &str, meaning: &str, axes: &[&str]) -> Name {
        let keep = |text: &str| -> &'static str { Box::leak(text.to_string().into_boxed_str()) };
        let axes: Vec<&'static str> = axes.iter().map(|a| keep(a)).collect();
        Name { name: keep(name), units: keep(units), meaning: keep(meaning), axes: Box::leak(axes.into_boxed_slice()) }
    }

    /// The same value recorded at several times: `time` is its first axis.
    pub fn in_time(&self) -> Name {
        let axes: Vec<&'static str> = std::iter::once("time").chain(self.axes.iter().copied()).collect();
        Name { axes: Box::leak(axes.into_boxed_slice()), ..*self }
    }
}

/// The part of a global N-dimensional array that this rank holds: `start` and `count` per axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hyperslab {
    pub start: Vec<usize>,
    pub count: Vec<usize>,
}

impl Hyperslab {
    /// Rows `rows` of an array whose other axes are whole.
    pub fn rows(rows: std::ops::Range<usize>, rest: &[usize]) -> Self {
        let mut start = vec![rows.start];
        let mut count = vec![rows.len()];
        start.extend(std::iter::repeat_n(0, rest.len()));
        count.extend_from_slice(rest);
        Hyperslab { start, count }
    }

    pub fn len(&self) -> usize {
        self.count.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A mutable view, so that the same walk saves and loads.
#[derive(Debug)]
pub enum Data<'a> {
    F64(&'a mut [f64]),
    F32(&'a mut [f32]),
    I64(&'a mut [i64]),
    U64(&'a mut [u64]),
    U8(&'a mut [u8]),
}

macro_rules! data_from {
    ($($t:ty => $v:ident),*) => {$(
        impl<'a> From<&'a mut [$t]> for Data<'a> {
            fn from(x: &'a mut [$t]) -> Self { Data::$v(x) }
        }
        impl<'a> From<&'a mut Vec<$t>> for Data<'a> {
            fn from(x: &'a mut Vec<$t>) -> Self { Data::$v(x) }
        }
        impl<'a> From<&'a mut $t> for Data<'a> {
            fn from(x: &'a mut $t) -> Self { Data::$v(std::slice::from_mut(x)) }
        }
    )*};
}
data_from!(f64 => F64, f32 => F32, i64 => I64, u64 => U64, u8 => U8);

/// Visits every named value of a state, in a fixed order, on every rank together.
pub trait Walk {
    /// The block `mine` of a global array of shape `global`; `data` holds `mine.len()` values, C order.
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()>;
    /// A block that is only ever saved, such as what a run was given.
    fn given(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, values: &[f64]) -> Result<()> {
        self.block(name, global, mine, (&mut values.to_vec()).into())
    }
    /// One value (or a short fixed-length list), equal on every rank.
    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()>;
    /// A list that grows with the run, one value per recorded step, equal on every rank; loading sets its length.
    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()>;
    /// A list that every rank holds whole, such as the potentials of transport; loading sets its length.
    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()>;
    /// The same in single precision, for long histories.
    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()>;
}
