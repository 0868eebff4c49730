//! The cost of a pair of grids, axis by axis.

use std::ops::Range;

use super::axis::AxisKernel;
use super::real::binary_log;
use crate::math::elementary::pow;

/// C^(k), `outputs` × `inputs` in C order, for a pass from inputs to outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisCost {
    outputs: usize,
    inputs: usize,
    cost: Vec<f64>,
}

impl AxisCost {
    /// From finite costs, `outputs` × `inputs` in C order.
    pub fn new(outputs: usize, inputs: usize, cost: Vec<f64>) -> Self {
        assert!(outputs > 0 && inputs > 0 && cost.len() == outputs * inputs);
        assert!(cost.iter().all(|c| c.is_finite()));
        AxisCost { outputs, inputs, cost }
    }

    /// |x_i − y_j|^exponent, exponent > 0.
    pub fn power(x: &[f64], y: &[f64], exponent: f64) -> Self {
        let cost = |x: f64, y: f64| {
            let d = (x - y).abs();
            match exponent {
                1.0 => d,
                2.0 => d * d,
                _ => pow(d, exponent),
            }
        };
        let costs = x.iter().flat_map(|&x| y.iter().map(move |&y| cost(x, y))).collect();
        AxisCost::new(x.len(), y.len(), costs)
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// C order, `outputs` × `inputs`.
    pub fn cost(&self) -> &[f64] {
        &self.cost
    }

    pub fn transposed(&self) -> Self {
        let cost =
            (0..self.inputs * self.outputs).map(|q| self.cost[q % self.outputs * self.inputs + q / self.outputs]);
        AxisCost { outputs: self.inputs, inputs: self.outputs, cost: cost.collect() }
    }

    /// (smallest, largest)
    pub fn range(&self) -> (f64, f64) {
        self.cost.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &c| (a.min(c), b.max(c)))
    }

    /// exp(−C/ε)
    pub fn kernel(&self, epsilon: f64) -> AxisKernel {
        let log2 = self.cost.iter().map(|c| -c * std::f64::consts::LOG2_E / epsilon).collect();
        AxisKernel::new(self.outputs, self.inputs, log2)
    }

    /// (C − min C) exp(−C/ε), entry by entry: positive, as logarithms need.
    pub fn weighted_kernel(&self, epsilon: f64) -> AxisKernel {
        let (least, _) = self.range();
        let log2 = |c: &f64| binary_log(c - least) - c * std::f64::consts::LOG2_E / epsilon;
        AxisKernel::new(self.outputs, self.inputs, self.cost.iter().map(log2).collect())
    }
}

/// C_ij = Σ_k C^(k)_{i_k j_k} between a source grid (n_1 … n_d) and a target grid (m_1 … m_d).
#[derive(Debug, Clone, PartialEq)]
pub struct GridCost {
    axes: Vec<AxisCost>,
}

impl GridCost {
    /// One cost matrix n_k × m_k per axis.
    pub fn new(axes: Vec<AxisCost>) -> Self {
        assert!(!axes.is_empty());
        GridCost { axes }
    }

    /// Σ_k |x_k − y_k|^exponent from the coordinates along each axis; exponent 2 is the squared Euclidean distance.
    pub fn power(source: &[Vec<f64>], target: &[Vec<f64>], exponent: f64) -> Self {
        assert_eq!(source.len(), target.len());
        GridCost::new(source.iter().zip(target).map(|(x, y)| AxisCost::power(x, y, exponent)).collect())
    }

    pub fn axes(&self) -> &[AxisCost] {
        &self.axes
    }

    pub fn source_shape(&self) -> Vec<usize> {
        self.axes.iter().map(|c| c.outputs).collect()
    }

    pub fn target_shape(&self) -> Vec<usize> {
        self.axes.iter().map(|c| c.inputs).collect()
    }

    /// Points of the source grid.
    pub fn n(&self) -> usize {
        self.axes.iter().map(|c| c.outputs).product()
    }

    /// Points of the target grid.
    pub fn m(&self) -> usize {
        self.axes.iter().map(|c| c.inputs).product()
    }

    /// (smallest, largest) C_ij up to rounding: every combination of axis indices occurs.
    pub fn range(&self) -> (f64, f64) {
        self.axes.iter().map(AxisCost::range).fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// Mean and variance of C_ij over all pairs: sums over the axes, which are independent.
    pub fn statistics(&self) -> (f64, f64) {
        let of_axis = |c: &AxisCost| {
            let count = c.cost.len() as f64;
            let mean = c.cost.iter().sum::<f64>() / count;
            (mean, c.cost.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / count)
        };
        self.axes.iter().map(of_axis).fold((0.0, 0.0), |(m, v), (mean, variance)| (m + mean, v + variance))
    }

    /// C_ij
    pub fn entry(&self, mut i: usize, mut j: usize) -> f64 {
        let mut sum = 0.0;
        for c in self.axes.iter().rev() {
            sum += c.cost[i % c.outputs * c.inputs + j % c.inputs];
            (i, j) = (i / c.outputs, j / c.inputs);
        }
        sum
    }

    /// Multiply-adds of one pass from target to source: for rates.
    pub fn work(&self) -> f64 {
        let shape = (self.source_shape(), self.target_shape());
        let points = |range: Range<usize>, shape: &[usize]| shape[range].iter().map(|&n| n as f64).product::<f64>();
        let d = self.axes.len();
        (0..d).map(|k| points(0..k + 1, &shape.0) * points(k..d, &shape.1)).sum()
    }
}
