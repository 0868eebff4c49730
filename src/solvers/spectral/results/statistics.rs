//! Means and variances that run along with a simulation.

use super::super::domain::Block;
use crate::math::exact::Exact;
use crate::math::real::Real;

/// Weighted running mean and variance of a list of values, by West's update [West1979].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Running {
    /// Sum of the weights.
    pub weight: f64,
    pub mean: Vec<f64>,
    /// Σ weight·(value − mean)².
    pub scatter: Vec<f64>,
}

impl Running {
    pub fn new(n: usize) -> Running {
        Running { weight: 0.0, mean: vec![0.0; n], scatter: vec![0.0; n] }
    }

    /// Adds a sample that counts `weight` > 0.
    pub fn add(&mut self, weight: f64, values: impl Iterator<Item = f64>) {
        self.add_spread(weight, values.map(|value| (value, 0.0)));
    }

    /// Adds a sample whose values are means over places, each with the variance over them.
    pub fn add_spread(&mut self, weight: f64, values: impl Iterator<Item = (f64, f64)>) {
        self.weight += weight;
        let share = weight / self.weight;
        for ((mean, scatter), (value, variance)) in self.mean.iter_mut().zip(&mut self.scatter).zip(values) {
            let off = value - *mean;
            *mean += share * off;
            *scatter += weight * (variance + off * (value - *mean));
        }
    }

    /// Variances: mean squares of the distance to the mean.
    pub fn variance(&self) -> Vec<f64> {
        let share = if self.weight > 0.0 { 1.0 / self.weight } else { 0.0 };
        self.scatter.iter().map(|s| s * share).collect()
    }
}

/// This rank's part of sums over all axes but `axis` (internal) of grid values: for each of its `points[axis]` indices the
/// sum of u − c, then for each the sum of (u − c)², with c of `centres`. `values` as long as the block.
pub fn profile<T: Real>(
    values: &[T],
    block: Block,
    points: [usize; 3],
    axis: usize,
    weights: Option<&(usize, Vec<f64>)>,
    centres: &[f64],
) -> Vec<Exact> {
    let n = points[axis];
    let mut sums = vec![Exact::default(); 2 * n];
    for (i, &value) in values.iter().enumerate() {
        let [_, rows, columns] = block.count;
        let local = [i / (rows * columns), i / columns % rows, i % columns];
        let place = block.start[axis] + local[axis];
        let value = value.to_f64() - centres[place];
        let weight = weights.map_or(1.0, |(along, weights)| weights[block.start[*along] + local[*along]]);
        sums[place].add(weight * value);
        sums[n + place].add(weight * value * value);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_moments_are_those_of_the_whole_weighted_sample() {
        let samples: Vec<(f64, f64)> =
            (1..200).map(|i| (1.0 + f64::from(i % 5), 1e3 + (f64::from(i) * 0.7).sin())).collect();
        let mut running = Running::new(1);
        samples.iter().for_each(|&(w, x)| running.add(w, std::iter::once(x)));
        let weight: f64 = samples.iter().map(|s| s.0).sum();
        let mean = samples.iter().map(|(w, x)| w * x).sum::<f64>() / weight;
        let variance = samples.iter().map(|(w, x)| w * (x - mean).powi(2)).sum::<f64>() / weight;
        assert!((running.mean[0] - mean).abs() < 1e-11, "{} {mean}", running.mean[0]);
        assert!((running.variance()[0] - variance).abs() < 1e-11, "{:?} {variance}", running.variance());
    }

    #[test]
    fn a_profile_is_the_same_for_any_cut_of_the_grid() {
        let points = [3, 4, 5];
        let whole = Block { start: [0; 3], count: points };
        let value = |i: usize, j: usize, k: usize| (i + 10 * j * j + 100 * k) as f64;
        let grid = |b: Block| -> Vec<f64> {
            let axis = |a: usize| b.start[a]..b.start[a] + b.count[a];
            axis(0).flat_map(|i| axis(1).flat_map(move |j| axis(2).map(move |k| value(i, j, k)))).collect()
        };
        let centres = [0.0, 1.0, 2.0, 3.0];
        let one = profile(&grid(whole), whole, points, 1, None, &centres);
        // Over i = 0..3 and k = 0..5: 15 (10 j² − c) + 5·(0 + 1 + 2) + 3·100·(0 + … + 4).
        assert_eq!(one[2].value(), 15.0 * 38.0 + 15.0 + 3000.0);
        let parts = [Block { start: [0, 0, 0], count: [3, 4, 2] }, Block { start: [0, 0, 2], count: [3, 4, 3] }];
        let mut sum = profile(&grid(parts[0]), parts[0], points, 1, None, &centres);
        sum.iter_mut()
            .zip(profile(&grid(parts[1]), parts[1], points, 1, None, &centres))
            .for_each(|(a, b)| a.merge(&b));
        assert!(sum.iter().zip(&one).all(|(a, b)| a.value().to_bits() == b.value().to_bits()));
    }
}
