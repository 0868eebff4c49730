//! Costs between points of ℝ^d, on the fly.

use std::sync::Arc;

use super::Rows;
use super::cloud::Cloud;
use super::cost::{Cost, Difference, Euclidean, Metric, Power, Product, Squared, Torus};
use super::engine::Engine;
use super::exp;
use super::lanes::{Element, Lanes};
use super::level::{Isa, Level};
use crate::math::elementary::pow;
use crate::solvers::transport::passes::Precision;

/// In f32 the product form |x|² + |y|² − 2x·y takes over above this dimension: below, the difference form is nearly as
/// fast and far more accurate. In f64 it takes over above 4.
pub const LARGEST_DIFFERENCE_DIMENSION: usize = 16;

/// The cost c(x, y) of two points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointCost {
    /// |x − y|².
    Squared,
    /// |x − y|² with every axis of this period.
    SquaredTorus(f64),
    /// |x − y|.
    Euclidean,
    /// |x − y|^p, p > 0.
    Power(f64),
    /// 1 − x·y/(|x||y|), evaluated as ½|x/|x| − y/|y||². A point at 0 stays there: cost ½ to every other.
    Cosine,
}

impl PointCost {
    /// Roundings of a cost in d dimensions in the f64 kernels, to first order, in units of 2^−53 times the bound of all
    /// costs.
    ///
    /// 2d + 9: scaled coordinates (2 roundings each, in squares and products), the squares' sums, the products, the
    /// scale; the box bounds (|x| + |y|)² about its middle. Norms take less. Powers, R^p·2^A: |x − y|² has d + 2, as
    /// coordinates are subtracted as given; A one of its own and nine of the logarithm, times ln 2 and |A| 2^A, which is
    /// at most p + 0.54 times the largest 2^A; the exponential nine, the products and R^p·log2(e)/ε eight.
    pub fn roundings(self, d: usize) -> f64 {
        match self {
            PointCost::Power(p) => 0.5 * p * (d + 2) as f64 + 7.0 * (p + 0.54) + 17.0,
            _ => (2 * d + 9) as f64,
        }
    }
}

/// Two clouds and their cost in plain arithmetic.
#[derive(Clone)]
pub struct Pair {
    cost: PointCost,
    from: Arc<[f64]>,
    to: Arc<[f64]>,
    d: usize,
}

impl Pair {
    fn transposed(&self) -> Pair {
        Pair { from: self.to.clone(), to: self.from.clone(), ..self.clone() }
    }

    /// c(x_i, y_j) of the points as given.
    pub fn cost(&self, i: usize, j: usize) -> f64 {
        let x = &self.from[i * self.d..(i + 1) * self.d];
        let y = &self.to[j * self.d..(j + 1) * self.d];
        let squares = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(&x, &y)| f(x, y).powi(2)).sum::<f64>();
        match self.cost {
            PointCost::Squared => squares(&|x, y| x - y),
            PointCost::SquaredTorus(period) => squares(&|x, y| (x - y) - period * ((x - y) / period).round()),
            PointCost::Euclidean => squares(&|x, y| x - y).sqrt(),
            PointCost::Power(p) => pow(squares(&|x, y| x - y), 0.5 * p),
            PointCost::Cosine => {
                let (a, b) = (inverse_norm(x), inverse_norm(y));
                0.5 * squares(&|x, y| x * a - y * b)
            }
        }
    }
}

/// 1/|x|, 0 for x = 0.
fn inverse_norm(x: &[f64]) -> f64 {
    let square: f64 = x.iter().map(|x| x * x).sum();
    if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
}

/// A cost between two clouds, from which row kernels are made at any ε, precision and level. Each call makes one
/// scaled copy of either cloud, shared by the two orientations: d numbers a point (d + 1 in the product form).
pub struct PointCloud {
    pair: Pair,
    n: usize,
    m: usize,
    origin: Vec<f64>,
    extent: f64,
}

impl PointCloud {
    /// Points x (n×d) and y (m×d), row-major; x gives the rows. The origin is the middle of their common box.
    pub fn new(cost: PointCost, x: Arc<[f64]>, y: Arc<[f64]>, d: usize) -> PointCloud {
        let (low, high) = bounding_box(&x, &y, d);
        PointCloud::within(cost, x, y, d, &low, &high)
    }

    /// The same with a box [low, high] that holds all points: where x and y are blocks of larger clouds (the ring
    /// layout), all blocks must be given the one box for sums over blocks to have the same bits as over the whole.
    pub fn within(cost: PointCost, x: Arc<[f64]>, y: Arc<[f64]>, d: usize, low: &[f64], high: &[f64]) -> PointCloud {
        assert!(d > 0 && x.len().is_multiple_of(d) && y.len().is_multiple_of(d) && low.len() == d && high.len() == d);
        let (n, m) = (x.len() / d, y.len() / d);
        let middle = |(l, h): (&f64, &f64)| if l <= h { l + 0.5 * (h - l) } else { 0.0 };
        let origin = if cost == PointCost::Cosine { vec![0.0; d] } else { low.iter().zip(high).map(middle).collect() };
        let extent = low.iter().zip(high).map(|(l, h)| (h - l).max(0.0).powi(2)).sum::<f64>().sqrt();
        PointCloud { pair: Pair { cost, from: x, to: y, d }, n, m, origin, extent }
    }

    pub fn n(&self) -> usize {
        self.n
    }

    pub fn m(&self) -> usize {
        self.m
    }

    pub fn dimension(&self) -> usize {
        self.pair.d
    }

    /// Safe upper bound of the cost, from the box: what [`super::rounding::row_sum_error`] wants.
    pub fn cost_bound(&self) -> f64 {
        match self.pair.cost {
            PointCost::Squared | PointCost::SquaredTorus(_) => self.extent * self.extent,
            PointCost::Euclidean => self.extent,
            PointCost::Power(p) => pow(self.extent, p),
            PointCost::Cosine => 2.0,
        }
    }

    /// c(x_i, y_j) in plain f64.
    pub fn cost(&self, i: usize, j: usize) -> f64 {
        self.pair.cost(i, j)
    }

    /// Rows x against columns y.
    pub fn rows(&self, epsilon: f64, precision: Precision, level: Level) -> Box<dyn Rows> {
        self.both(epsilon, precision, level).0
    }

    /// Rows y against columns x: the transposed orientation.
    pub fn cols(&self, epsilon: f64, precision: Precision, level: Level) -> Box<dyn Rows> {
        self.both(epsilon, precision, level).1
    }

    /// Both orientations, on the same scaled points.
    pub fn both(&self, epsilon: f64, precision: Precision, level: Level) -> (Box<dyn Rows>, Box<dyn Rows>) {
        assert!(epsilon > 0.0 && level.is_available(), "epsilon {epsilon} at level {level:?}");
        match level {
            Level::Portable => self.at_isa::<super::level::Portable>(epsilon, precision),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => self.at_isa::<super::level::Avx2>(epsilon, precision),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => self.at_isa::<super::level::Avx512>(epsilon, precision),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("not available here"),
        }
    }

    /// Bytes of the scaled copies that one call of `both` makes.
    pub fn scaled_bytes(&self, precision: Precision) -> usize {
        let (size, lanes) = match precision {
            Precision::F64 => (8, 8),
            Precision::F32 => (4, 16),
        };
        let numbers = self.pair.d + usize::from(self.product_form(lanes));
        let shared = Arc::ptr_eq(&self.pair.from, &self.pair.to);
        let padded = |k: usize| k.next_multiple_of(2 * lanes);
        (padded(self.n) + if shared { 0 } else { padded(self.m) }) * numbers * size
    }

    /// Whether vectors of 8 (f64) or 16 (f32) lanes use the product form.
    fn product_form(&self, lanes: usize) -> bool {
        let above = if lanes == 8 { 4 } else { LARGEST_DIFFERENCE_DIMENSION };
        matches!(self.pair.cost, PointCost::Squared | PointCost::Cosine) && self.pair.d > above
    }

    fn at_isa<I: Isa>(&self, epsilon: f64, precision: Precision) -> (Box<dyn Rows>, Box<dyn Rows>) {
        match precision {
            Precision::F64 => self.at::<I::F64>(epsilon),
            Precision::F32 => self.at::<I::F32>(epsilon),
        }
    }

    fn at<V: Lanes>(&self, epsilon: f64) -> (Box<dyn Rows>, Box<dyn Rows>) {
        let per_cost = std::f64::consts::LOG2_E / epsilon;
        let number = V::Elem::from_f64;
        match self.pair.cost {
            PointCost::Squared => self.squared::<V>(epsilon, per_cost.sqrt()),
            PointCost::Cosine => self.squared::<V>(epsilon, (0.5 * per_cost).sqrt()),
            PointCost::SquaredTorus(period) => {
                let scale = per_cost.sqrt();
                let metric = Torus { minus_period: number(-period * scale), inverse: number(1.0 / (period * scale)) };
                self.difference::<V, _, 0>(epsilon, scale, metric)
            }
            PointCost::Euclidean => match self.pair.d {
                2 => self.difference::<V, _, 2>(epsilon, per_cost, Euclidean),
                3 => self.difference::<V, _, 3>(epsilon, per_cost, Euclidean),
                _ => self.difference::<V, _, 0>(epsilon, per_cost, Euclidean),
            },
            PointCost::Power(p) => {
                let binary = if self.extent > 0.0 { exp::log2(self.extent).ceil().clamp(-1000.0, 1000.0) } else { 0.0 };
                let smallest = if V::N == 8 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE as f64 };
                let metric = Power {
                    half: number(0.5 * p),
                    largest: number(per_cost * pow(exp::exp2(binary), p)),
                    smallest: number(smallest),
                    ramp: number(1.0 / smallest),
                };
                let scale = exp::exp2(-binary);
                match self.pair.d {
                    2 => self.difference::<V, _, 2>(epsilon, scale, metric),
                    3 => self.difference::<V, _, 3>(epsilon, scale, metric),
                    _ => self.difference::<V, _, 0>(epsilon, scale, metric),
                }
            }
        }
    }

    fn squared<V: Lanes>(&self, epsilon: f64, scale: f64) -> (Box<dyn Rows>, Box<dyn Rows>) {
        if self.product_form(V::N) {
            let (x, y) = self.clouds::<V::Elem>(scale, true);
            let there = Product { from: x.clone(), to: y.clone(), pair: self.pair.clone() };
            let back = Product { from: y, to: x, pair: self.pair.transposed() };
            return (self.engine::<V, _>(there, epsilon, false), self.engine::<V, _>(back, epsilon, true));
        }
        match self.pair.d {
            1 => self.difference::<V, _, 1>(epsilon, scale, Squared),
            2 => self.difference::<V, _, 2>(epsilon, scale, Squared),
            3 => self.difference::<V, _, 3>(epsilon, scale, Squared),
            4 => self.difference::<V, _, 4>(epsilon, scale, Squared),
            _ => self.difference::<V, _, 0>(epsilon, scale, Squared),
        }
    }

    fn difference<V: Lanes, M: Metric<V>, const D: usize>(
        &self,
        epsilon: f64,
        scale: f64,
        metric: M,
    ) -> (Box<dyn Rows>, Box<dyn Rows>) {
        let (x, y) = self.clouds::<V::Elem>(scale, false);
        let there = Difference::<_, M, D> { from: x.clone(), to: y.clone(), metric, pair: self.pair.clone() };
        let back = Difference::<_, M, D> { from: y, to: x, metric, pair: self.pair.transposed() };
        (self.engine::<V, _>(there, epsilon, false), self.engine::<V, _>(back, epsilon, true))
    }

    fn engine<V: Lanes, C: Cost<V>>(&self, cost: C, epsilon: f64, transposed: bool) -> Box<dyn Rows> {
        let (rows, cols) = if transposed { (self.m, self.n) } else { (self.n, self.m) };
        Box::new(Engine::<V>::new(cost, rows, cols, epsilon, self.cost_bound()))
    }

    fn clouds<E: Element>(&self, scale: f64, norms: bool) -> (Arc<Cloud<E>>, Arc<Cloud<E>>) {
        let x = Arc::new(self.scaled(&self.pair.from, scale, norms));
        let same = Arc::ptr_eq(&self.pair.from, &self.pair.to);
        let y = if same { x.clone() } else { Arc::new(self.scaled(&self.pair.to, scale, norms)) };
        (x, y)
    }

    fn scaled<E: Element>(&self, points: &[f64], scale: f64, norms: bool) -> Cloud<E> {
        let cosine = self.pair.cost == PointCost::Cosine;
        // Differences of coordinates as given have one rounding, relative to themselves; about an origin each coordinate
        // has its own, which |x − y|^p with p < 1 raises without bound where points lie near each other. In f32
        // coordinates far from 0 would lose more.
        let as_given = matches!(self.pair.cost, PointCost::Power(_)) && size_of::<E>() == 8;
        let zero = vec![0.0; self.pair.d];
        let origin = if as_given { &zero } else { &self.origin };
        Cloud::new(points.len() / self.pair.d, self.pair.d, norms, |i, scaled| {
            let x = &points[i * self.pair.d..(i + 1) * self.pair.d];
            let scale = if cosine { scale * inverse_norm(x) } else { scale };
            for ((s, x), o) in scaled.iter_mut().zip(x).zip(origin) {
                *s = (x - o) * scale;
            }
        })
    }
}

/// Componentwise smallest and largest coordinates of both clouds: (low, high), of length d.
pub fn bounding_box(x: &[f64], y: &[f64], d: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut low, mut high) = (vec![f64::INFINITY; d], vec![f64::NEG_INFINITY; d]);
    for point in x.chunks_exact(d).chain(y.chunks_exact(d)) {
        for (k, &c) in point.iter().enumerate() {
            low[k] = low[k].min(c);
            high[k] = high[k].max(c);
        }
    }
    (low, high)
}
