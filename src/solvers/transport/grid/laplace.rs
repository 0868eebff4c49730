//! The product Laplace kernel on a grid, k(y, y') = exp(−Σ_k |y_k − y'_k|/σ), in O(points) per axis.

use super::real::binary_power;

/// Coordinates along each axis enter as the decay from each point to the next.
#[derive(Debug, Clone)]
pub struct LaplaceKernel {
    decays: Vec<Vec<f64>>,
}

impl LaplaceKernel {
    /// From ascending coordinates per axis and the bandwidth σ > 0.
    pub fn new(coordinates: &[Vec<f64>], bandwidth: f64) -> Self {
        let decay = |pair: &[f64]| {
            assert!(pair[1] >= pair[0], "coordinates must ascend");
            binary_power(-(pair[1] - pair[0]) * std::f64::consts::LOG2_E / bandwidth)
        };
        LaplaceKernel { decays: coordinates.iter().map(|y| y.windows(2).map(decay).collect()).collect() }
    }

    /// out = K w, both in C order of the grid.
    pub fn apply(&self, w: &[f64], out: &mut [f64]) {
        out.copy_from_slice(w);
        let mut inner = out.len();
        let mut later = vec![0.0; 0];
        for decays in &self.decays {
            let n = decays.len() + 1;
            let slab = inner;
            inner /= n;
            for block in out.chunks_exact_mut(slab) {
                // Σ_{j≤i} e^{−|i−j|} w_j forward in place, Σ_{j>i} backward beside it: positive factors ≤ 1 only.
                later.clear();
                later.resize(slab, 0.0);
                for j in (0..n - 1).rev() {
                    for r in 0..inner {
                        later[j * inner + r] = decays[j] * (later[(j + 1) * inner + r] + block[(j + 1) * inner + r]);
                    }
                }
                for j in 1..n {
                    for r in 0..inner {
                        block[j * inner + r] += decays[j - 1] * block[(j - 1) * inner + r];
                    }
                }
                for (y, l) in block.iter_mut().zip(&later) {
                    *y += l;
                }
            }
        }
    }
}
