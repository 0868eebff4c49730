//! Cases with features and an outcome of 0 or 1, as a logistic regression sees them: P(y = 1) = 1/(1 + e^{−xᵀβ}).

use std::ops::Range;
use std::sync::Arc;

use super::{Refusal, Table};
use crate::math::simd::scalar::Scalar;
use crate::particles::View;

/// How the rows of a table become cases: columns and scales of the data, which hold for further cases too.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// Of the table of the data.
    pub(super) width: usize,
    pub(super) label: usize,
    pub(super) features: Vec<usize>,
    /// What is subtracted from each feature, and what it is then divided by.
    pub(super) scales: Vec<(f64, f64)>,
    pub(super) intercept: bool,
}

/// Cases, with outcomes where they are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    /// Coefficients.
    pub width: usize,
    /// s x, case after case, s = −1 where the outcome was 0, else 1: 1/(1 + e^{−s xᵀβ}) is the probability of what was seen,
    /// and of 1 where nothing was.
    pub rows: Arc<Vec<f64>>,
    /// 0 or 1; NaN where unknown.
    pub labels: Vec<f64>,
}

/// What a sampler's particles can be asked about: the cases they were fitted to, and how to read others.
pub struct Outcomes {
    pub columns: Columns,
    pub cases: Cases,
}

impl Columns {
    pub fn coefficients(&self) -> usize {
        self.features.len() + usize::from(self.intercept)
    }

    /// The cases of a table with the columns of the data, or with these but the label.
    ///
    /// # Errors
    /// Other columns, a label that is neither 0 nor 1 nor NaN, a feature that is no number.
    pub fn cases(&self, table: &Table) -> Result<Cases, Refusal> {
        let labelled = table.columns == self.width;
        if !labelled && table.columns + 1 != self.width {
            let message = format!(
                "has {} columns; the data have {}, and new cases the same, or {} without the label",
                table.columns,
                self.width,
                self.width - 1
            );
            return Err(("file", message));
        }
        // Without the label's column those after it move up.
        let place = |c: usize| if !labelled && c > self.label { c - 1 } else { c };
        let mut rows = Vec::with_capacity(table.rows * self.coefficients());
        let mut labels = Vec::with_capacity(table.rows);
        for (r, row) in table.values.chunks_exact(table.columns.max(1)).enumerate() {
            let label = if labelled { row[self.label] } else { f64::NAN };
            if !(label == 0.0 || label == 1.0 || label.is_nan()) {
                return Err(("label", format!("row {r}: the label {label} must be 0 or 1")));
            }
            let sign = if label == 0.0 { -1.0 } else { 1.0 };
            if self.intercept {
                rows.push(sign);
            }
            for (&c, (shift, scale)) in self.features.iter().zip(&self.scales) {
                let x = row[place(c)];
                if !x.is_finite() {
                    return Err(("file", format!("row {r}, column {}: {x} must be finite", place(c))));
                }
                rows.push(sign * ((x - shift) / scale));
            }
            labels.push(label);
        }
        Ok(Cases { width: self.coefficients(), rows: Arc::new(rows), labels })
    }
}

impl Cases {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// value[i] = probability of what was seen of case `r` (of 1 where nothing was) under the coefficients of particle i.
    pub fn probability(&self, r: usize, x: View<'_>, value: &mut [f64]) {
        let row = &self.rows[r * self.width..(r + 1) * self.width];
        for block in blocks(x) {
            let value = &mut value[block.clone()];
            crate::enter!(x.level(), S => {
                let mut eta = [0.0f64; BLOCK];
                linear_form::<S>(row, x, &block, &mut eta);
                for k in 0..BLOCK {
                    eta[k] = 1.0 / (1.0 + S::exp(-eta[k]));
                }
                value.copy_from_slice(&eta[..block.len()]);
            });
        }
    }
}

/// Particles that go through the data together: their coefficients stay in the nearest cache.
pub(super) const BLOCK: usize = 128;

/// The blocks of the particles of `x`.
pub(super) fn blocks(x: View<'_>) -> impl Iterator<Item = Range<usize>> {
    let n = x.len();
    (0..n).step_by(BLOCK).map(move |first| first..n.min(first + BLOCK))
}

/// eta ← row · β of the particles of a block; 0 beyond them.
#[inline(always)]
pub(super) fn linear_form<S: Scalar>(row: &[f64], x: View<'_>, block: &Range<usize>, eta: &mut [f64; BLOCK]) {
    eta.fill(0.0);
    for (d, a) in row.iter().enumerate() {
        let beta = &x.coordinate(d)[block.clone()];
        for (e, b) in eta.iter_mut().zip(beta) {
            *e = S::mul_add(*a, *b, *e);
        }
    }
}
