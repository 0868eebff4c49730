//! A cost given as a matrix.

use std::sync::Arc;

use super::Rows;
use super::cost::Dense;
use super::engine::Engine;
use super::lanes::Element;
use super::level::{Isa, Level, Portable};
use crate::solvers::transport::passes::Precision;

/// Rows of a dense cost matrix, row-major (rows×cols). The transposed orientation is another object, made of the
/// columns of C as rows.
pub fn matrix(
    c: Arc<[f64]>,
    rows: usize,
    cols: usize,
    epsilon: f64,
    precision: Precision,
    level: Level,
) -> Box<dyn Rows> {
    assert!(c.len() == rows * cols && epsilon > 0.0 && level.is_available());
    match level {
        Level::Portable => at::<Portable>(c, rows, cols, epsilon, precision),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => at::<super::level::Avx2>(c, rows, cols, epsilon, precision),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => at::<super::level::Avx512>(c, rows, cols, epsilon, precision),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("not available here"),
    }
}

fn at<I: Isa>(matrix: Arc<[f64]>, rows: usize, cols: usize, epsilon: f64, precision: Precision) -> Box<dyn Rows> {
    let scale = std::f64::consts::LOG2_E / epsilon;
    // Not worth a pass over the matrix.
    let bound = f64::INFINITY;
    match precision {
        Precision::F64 => Box::new(Engine::<I::F64>::new(Dense { matrix, cols, scale }, rows, cols, epsilon, bound)),
        Precision::F32 => {
            let scale = f32::from_f64(scale);
            Box::new(Engine::<I::F32>::new(Dense { matrix, cols, scale }, rows, cols, epsilon, bound))
        }
    }
}
