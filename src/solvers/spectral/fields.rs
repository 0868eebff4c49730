//! Spectral coefficients of several fields: a rank's block, one contiguous array per field.

use num_complex::Complex;
use rayon::prelude::*;

use super::transform::zeros;
use crate::math::real::Real;

/// Coefficients that a thread looks at together.
const CHUNK: usize = 1 << 14;

/// Coefficients of `F` fields on the same modes, C order, field by field.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields<T> {
    pub arrays: Vec<Vec<Complex<T>>>,
}

impl<T: Real> Fields<T> {
    pub fn zeros(fields: usize, modes: usize) -> Self {
        Fields { arrays: (0..fields).map(|_| zeros(modes)).collect() }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }

    /// Coefficients of one field on this rank.
    pub fn modes(&self) -> usize {
        self.arrays.first().map_or(0, Vec::len)
    }

    pub fn views(&self) -> Vec<&[Complex<T>]> {
        self.arrays.iter().map(Vec::as_slice).collect()
    }

    pub fn views_mut(&mut self) -> Vec<&mut [Complex<T>]> {
        self.arrays.iter_mut().map(Vec::as_mut_slice).collect()
    }

    /// Whether the square of every coefficient is a number.
    pub fn finite(&self) -> bool {
        finite(&self.arrays)
    }

    pub fn copy_from(&mut self, other: &Fields<T>) {
        for (mine, theirs) in self.arrays.iter_mut().zip(&other.arrays) {
            mine.copy_from_slice(theirs);
        }
    }
}

/// Whether the square of every coefficient is a number: means of larger ones are none.
pub fn finite<T: Real>(arrays: &[Vec<Complex<T>>]) -> bool {
    let finite = |part: &[Complex<T>]| part.iter().all(|z| z.norm_sqr().is_finite());
    if rayon::current_num_threads() == 1 {
        return arrays.iter().all(|a| finite(a));
    }
    arrays.iter().all(|a| a.par_chunks(CHUNK).all(finite))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coefficient_of_1e160_counts_as_diverged_its_square_being_infinite() {
        let mut fields = Fields::<f64>::zeros(2, 3);
        fields.arrays[1][2].im = 1e150;
        assert!(fields.finite());
        fields.arrays[1][2].im = 1e160;
        assert!(!fields.finite());
    }
}
