//! Observations: times × components, NaN where missing.

/// What was observed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observations {
    pub components: usize,
    /// One per time, increasing.
    pub times: Vec<f64>,
    /// Row k: the components at times[k]; NaN where missing.
    pub values: Vec<f64>,
}

impl Observations {
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The components at time `k`.
    pub fn at(&self, k: usize) -> &[f64] {
        &self.values[k * self.components..(k + 1) * self.components]
    }

    /// times[k] − times[k − 1], for k ≥ 1.
    pub fn interval(&self, k: usize) -> f64 {
        self.times[k] - self.times[k - 1]
    }
}
