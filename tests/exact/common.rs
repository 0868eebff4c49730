//! Problems as data, the makers of passes, and a run to the end.

use std::collections::HashMap;

use spanwise::error::Result;
use spanwise::math::reduce::total;
use spanwise::solvers::transport::distributed::PassData;
use spanwise::solvers::transport::dual::Penalties;
use spanwise::solvers::transport::exact::naive::NaivePasses;
use spanwise::solvers::transport::generated::grid_point;
use spanwise::solvers::transport::geometry::{CostOfPoints, Geometry, Matrix, Replicated, Scale};
use spanwise::solvers::transport::grid::{GridCost, GridPasses, LaplaceKernel, Threads};
use spanwise::solvers::transport::kernels::{Level, PointCost, bounding_box};
use spanwise::solvers::transport::passes::{Passes, Precision};
use spanwise::solvers::transport::problem::{MethodInput, MethodName, PrecisionInput};
use spanwise::solvers::transport::solve::{Finished, Solve, StepOutcome};
use spanwise::state::{Data, Hyperslab, Name, Walk};
use spanwise::team::Solo;

#[derive(Clone)]
pub enum Cost {
    /// n×m.
    Matrix(Vec<f64>),
    /// |x − y|², n×d and m×d points.
    Points(Vec<f64>, Vec<f64>, usize),
}

#[derive(Clone)]
pub struct Problem {
    pub cost: Cost,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub epsilon: f64,
}

/// Two grids and |x − y|²: coordinates along each axis, ascending. `problem` has the same points one by one.
#[derive(Clone)]
pub struct Grids {
    pub axes: [Vec<Vec<f64>>; 2],
    pub problem: Problem,
}

impl Grids {
    /// Of these shapes, with random coordinates in [0, 1) and random weights.
    pub fn random(random: &mut Uniform, source: &[usize], target: &[usize], epsilon: f64) -> Self {
        let mut axis = |n: usize| {
            let mut x = random.vector(n);
            x.sort_by(f64::total_cmp);
            x
        };
        let axes = [source, target].map(|shape| shape.iter().map(|n| axis(*n)).collect::<Vec<_>>());
        let [x, y] = axes.each_ref().map(|axes| {
            let (n, d) = (axes.iter().map(Vec::len).product::<usize>(), axes.len());
            let mut points = vec![0.0; n * d];
            points.chunks_mut(d).enumerate().for_each(|(i, point)| grid_point(axes, i, point));
            points
        });
        let d = source.len();
        let mut weights = |n: usize| normalised((0..n).map(|_| 0.01 + random.next()).collect());
        let (a, b) = (weights(x.len() / d), weights(y.len() / d));
        Grids { axes, problem: Problem::points(&x, &y, d, a, b, epsilon) }
    }

    pub fn separable(&self) -> Box<dyn Passes> {
        let ([x, y], p) = (&self.axes, &self.problem);
        let (cost, laplace) = (GridCost::power(x, y, 2.0), LaplaceKernel::new(y, 0.1));
        Box::new(GridPasses::new(cost, p.a.clone(), p.b.clone(), p.epsilon, laplace, Level::detect(), Threads))
    }

    /// The separable passes, and those of all makers over the points.
    pub fn passes(&self) -> Vec<(&'static str, Box<dyn Passes>)> {
        let points = makers().into_iter().map(|(name, make)| (name, make(&self.problem)));
        std::iter::once(("separable", self.separable())).chain(points).collect()
    }
}

/// Random grids of 4×6 and 5×7 points in the unit square.
pub fn grids(epsilon: f64) -> Grids {
    Grids::random(&mut Uniform(13), &[4, 6], &[5, 7], epsilon)
}

/// The random clouds by all makers, and the random grids by the separable passes.
pub fn settings(epsilon: f64) -> Vec<(&'static str, Box<dyn Passes>)> {
    let clouds = clouds(epsilon);
    let points = makers().into_iter().map(|(name, make)| (name, make(&clouds)));
    points.chain(std::iter::once(("separable", grids(epsilon).separable()))).collect()
}

/// A kind of passes: its name and how to make one. Further kinds are further rows of [`makers`].
pub type Maker = fn(&Problem) -> Box<dyn Passes>;

pub fn makers() -> Vec<(&'static str, Maker)> {
    vec![("naive", |p| Box::new(p.naive())), ("on the fly", |p| p.fast(0)), ("stored kernel", |p| p.fast(1 << 30))]
}

impl Problem {
    pub fn points(x: &[f64], y: &[f64], d: usize, a: Vec<f64>, b: Vec<f64>, epsilon: f64) -> Self {
        Problem { cost: Cost::Points(x.to_vec(), y.to_vec(), d), a, b, epsilon }
    }

    pub fn matrix(cost: Vec<f64>, a: Vec<f64>, b: Vec<f64>, epsilon: f64) -> Self {
        Problem { cost: Cost::Matrix(cost), a, b, epsilon }
    }

    pub fn naive(&self) -> NaivePasses {
        match &self.cost {
            Cost::Matrix(c) => NaivePasses::new(c.clone(), self.a.clone(), self.b.clone(), self.epsilon),
            Cost::Points(x, y, d) => {
                NaivePasses::squared_euclidean(x, y, *d, self.a.clone(), self.b.clone(), self.epsilon)
            }
        }
    }

    /// The passes of a run on one rank. They live as long as the test: a test has few.
    pub fn fast(&self, stored_limit: u64) -> Box<dyn Passes> {
        let (n, m, level) = (self.a.len(), self.b.len(), Level::detect());
        let geometry: Box<dyn Geometry> = match &self.cost {
            Cost::Matrix(c) => {
                let transposed = (0..m).flat_map(|j| (0..n).map(move |i| c[i * m + j])).collect();
                Box::new(Matrix::new(n, m, c.clone(), transposed, level))
            }
            Cost::Points(x, y, d) => {
                let (low, high) = bounding_box(x, y, *d);
                let cost = CostOfPoints { cost: PointCost::Squared, dimension: *d, level, low, high };
                Box::new(Replicated::new(cost, x.as_slice().into(), y.as_slice().into()))
            }
        };
        let range = self.naive().cost_range();
        let scale = Scale { epsilon: self.epsilon, precision: Precision::F64 };
        let (a, b) = (self.a.as_slice().into(), self.b.as_slice().into());
        let data = PassData::new(geometry, a, b, range, scale, 0.1, stored_limit, 0);
        Box::new(Box::leak(Box::new(data)).with(&Solo))
    }

    /// (b, a, Cᵀ) for points; (a, a) and (b, b).
    pub fn diagonal(&self) -> (Problem, Problem) {
        let Cost::Points(x, y, d) = &self.cost else { panic!("a matrix has no self-costs") };
        (
            Problem::points(x, x, *d, self.a.clone(), self.a.clone(), self.epsilon),
            Problem::points(y, y, *d, self.b.clone(), self.b.clone(), self.epsilon),
        )
    }
}

/// Uniform numbers in [0, 1) (SplitMix64).
pub struct Uniform(pub u64);

impl Uniform {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() * n as f64) as usize
    }
}

pub fn normalised(mut w: Vec<f64>) -> Vec<f64> {
    let sum = total(&w);
    w.iter_mut().for_each(|w| *w /= sum);
    w
}

pub fn uniform(n: usize) -> Vec<f64> {
    vec![1.0 / n as f64; n]
}

/// Random clouds of 23 and 31 points in the unit cube with random weights.
pub fn clouds(epsilon: f64) -> Problem {
    let mut random = Uniform(11);
    let (x, y) = (random.vector(23 * 3), random.vector(31 * 3));
    let (a, b) = (normalised(random.vector(23)), normalised(random.vector(31)));
    Problem::points(&x, &y, 3, a, b, epsilon)
}

pub fn method(name: MethodName, tolerance: f64) -> MethodInput {
    MethodInput { name, tolerance, precision: PrecisionInput::F64, ..MethodInput::default() }
}

pub fn run(passes: &mut dyn Passes, penalties: Penalties, input: &MethodInput, most: usize) -> (StepOutcome, Finished) {
    let mut solve = Solve::new(input, penalties, passes, None).unwrap();
    let mut outcome = StepOutcome::Running;
    for _ in 0..most {
        outcome = solve.step(passes).unwrap();
        if outcome != StepOutcome::Running {
            break;
        }
    }
    (outcome, solve.finish(passes).unwrap())
}

pub fn solved(passes: &mut dyn Passes, penalties: Penalties, tolerance: f64) -> Finished {
    let (outcome, finished) = run(passes, penalties, &method(MethodName::Accelerated, tolerance), 20_000);
    assert_eq!(outcome, StepOutcome::Converged, "error {:e}", finished.error.l1);
    finished
}

/// A state in memory: saves on the first walk, loads on later ones.
#[derive(Default)]
pub struct Memory {
    items: Vec<(&'static str, Vec<u64>)>,
    at: usize,
    loading: bool,
}

impl Memory {
    pub fn rewind(&mut self) {
        self.at = 0;
        self.loading = true;
    }

    /// Every name of a state leads to one dataset.
    pub fn assert_names_are_unique(&self) {
        let mut seen = HashMap::new();
        for (name, _) in &self.items {
            assert!(seen.insert(*name, ()).is_none(), "two values are called {name}");
        }
    }

    pub fn bits(&self) -> &[(&'static str, Vec<u64>)] {
        &self.items
    }

    fn visit(&mut self, name: &Name, data: Data<'_>) -> Result<()> {
        if !self.loading {
            let bits = match data {
                Data::F64(x) => x.iter().map(|x| x.to_bits()).collect(),
                Data::F32(x) => x.iter().map(|x| u64::from(x.to_bits())).collect(),
                Data::U64(x) => x.to_vec(),
                other => panic!("{other:?} in {}: no state of transport holds these", name.name),
            };
            self.items.push((name.name, bits));
            return Ok(());
        }
        let (saved, bits) = &self.items[self.at];
        assert_eq!(*saved, name.name);
        self.at += 1;
        match data {
            Data::F64(x) => x.iter_mut().zip(bits).for_each(|(x, b)| *x = f64::from_bits(*b)),
            Data::F32(x) => x.iter_mut().zip(bits).for_each(|(x, b)| *x = f32::from_bits(*b as u32)),
            Data::U64(x) => x.copy_from_slice(bits),
            other => panic!("{other:?} in {}: no state of transport holds these", name.name),
        }
        Ok(())
    }
}

impl Walk for Memory {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        assert_eq!(mine.count, global, "{} is whole", name.name);
        self.visit(name, data)
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        self.visit(name, x)
    }

    fn series(&mut self, name: &Name, _: &mut Vec<f64>) -> Result<()> {
        panic!("the methods hold no series, but here is {}", name.name)
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        if self.loading {
            values.resize(self.items[self.at].1.len(), 0.0);
        }
        self.visit(name, Data::F64(values))
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        if self.loading {
            values.resize(self.items[self.at].1.len(), 0.0);
        }
        self.visit(name, Data::F32(values))
    }
}
