//! What `spanwise check` says: sizes, memory and messages, from headers and keys alone.

use super::geometry::Ring;
use super::kernels::{COLUMN_TILE, LARGEST_DIFFERENCE_DIMENSION, Level, PointCloud, PointCost, Scratch};
use super::measures::{self, Outline};
use super::methods::accelerated;
use super::passes::Precision;
use super::problem::{CostInput, Layout, MethodInput, MethodName, PrecisionInput, ProblemInput, Quantity};
use super::setup;
use super::sweep;
use crate::error::Result;
use crate::input::Input;
use crate::solvers::Estimate;
use crate::team::machine;

/// Bytes of the history that an accelerated method keeps: differences in f32, the last point in f64.
fn history_bytes(method: &MethodInput, m: u64) -> u64 {
    let window = match method.name {
        MethodName::Anderson => method.memory,
        MethodName::Accelerated | MethodName::Newton => accelerated::window(m as usize),
        _ => return 0,
    };
    8 * m * window as u64 + 16 * m
}

/// Vectors of length n + m that live during the steps: two evaluations of a method, shifts, and a pass under way.
const STEP_VECTORS: f64 = 7.5;
/// Vectors of length n + m that certificates, results and output add at the end, counted from measured peaks.
const END_VECTORS: f64 = 14.5;

pub fn check(input: &Input, ranks: usize, threads: usize) -> Result<Estimate> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    let source = measures::outline(input, "problem.source", &problem.source)?;
    let target = measures::outline(input, "problem.target", &problem.target)?;
    setup::check_pair(input, &problem, &source, &target)?;

    let size = Size { n: source.n as u64, m: target.n as u64, d: source.dimension as u64, ranks: ranks as u64 };
    let memory_per_rank = machine::node_memory() / ranks as u64;
    let layout = setup::choose_layout(method.layout, 8 * (size.n + size.m) * size.d, memory_per_rank);
    let grid = setup::separable(&problem, source.shape.is_some() && target.shape.is_some());
    let copies = if problem.quantity == Quantity::Divergence { 3 } else { 1 };

    let mut estimate =
        Estimate { problem: describe(&problem, &method, &source, &target, grid, layout), ..Estimate::default() };
    let mut item = |what: &str, bytes: u64| {
        if bytes > 0 {
            estimate.memory.push((what.to_string(), bytes));
        }
    };
    let matrix = matches!(problem.cost, CostInput::Matrix { .. });
    let (own_n, own_m) = (size.n.div_ceil(size.ranks), size.m.div_ceil(size.ranks));
    let sweeps = !grid && (matrix || layout != Layout::Ring) && size.m <= sweep::most_columns(Precision::F64) as u64;
    if grid {
        item(
            "grid axes and their kernels",
            16 * source
                .shape
                .iter()
                .flatten()
                .zip(target.shape.iter().flatten())
                .map(|(a, b)| (a * b) as u64)
                .sum::<u64>(),
        );
    } else if matrix {
        item("cost matrix: own rows and own columns", 8 * (own_n * size.m + own_m * size.n));
    } else {
        let (points, scaled) = match layout {
            Layout::Ring => {
                let block = |len: u64| Ring::owned_points(len as usize, 0, ranks).len() as u64;
                let (x, y) = (block(size.n), block(size.m));
                (8 * size.d * (x + y), 3 * 8 * size.d * x.max(y) + 8 * size.d * (x + y))
            }
            _ => {
                let original = if ranks > 1 { own_n + own_m } else { 0 };
                (8 * size.d * (size.n + size.m + original), scaled_bytes(&size))
            }
        };
        item(if layout == Layout::Ring { "points: own" } else { "points: all, replicated" }, points);
        item(
            if layout == Layout::Ring { "points: blocks under way and scaled copies" } else { "points: scaled copy" },
            copies * scaled,
        );
    }
    let vectors = |count: f64| (count * 8.0 * (size.n + size.m) as f64) as u64;
    item("weights", vectors(1.0));
    item("potentials and buffers of the steps", copies * vectors(STEP_VECTORS));
    item("history of the method", history_bytes(&method, size.m));
    item("certificates, results and output at the end", copies * vectors(END_VECTORS));
    if sweeps {
        item("block partials of the one-sweep iteration", sweep::partial_bytes(source.n, target.n, threads, ranks));
        let precision = if method.precision == PrecisionInput::F64 { Precision::F64 } else { Precision::F32 };
        let stored = sweep::stored_bytes(source.n, target.n, precision);
        if stored <= method.stored_kernel_mib << 20 {
            item("stored kernel: own rows", copies * stored.div_ceil(size.ranks));
        }
    }

    // Potentials are gathered: everyone's rows to everyone.
    estimate.bytes_per_step =
        if ranks == 1 { 0 } else { copies * 8 * (size.n + size.m) * (size.ranks - 1) / size.ranks };
    estimate.messages_per_step = if ranks == 1 { 0 } else { copies * 6 * (size.ranks - 1) };
    if sweeps && ranks > 1 {
        estimate.bytes_per_step += copies * sweep::exchanged_bytes(source.n, target.n, ranks);
    } else if layout == Layout::Ring && ranks > 1 {
        estimate.bytes_per_step += copies * 8 * size.d * (size.n + size.m) * (size.ranks - 1) / size.ranks;
    }
    if !grid {
        let entries = size.n as f64 * size.m as f64 * if sweeps { 1.0 } else { 2.0 } / (ranks * threads) as f64;
        estimate.seconds_per_step = Some(copies as f64 * entries * seconds_per_entry(&problem, source.dimension));
    }
    let state = copies * vectors(5.0) + history_bytes(&method, size.m) + (1 << 16);
    estimate.output_bytes = state + vectors(2.0) + 8 * size.d * (size.n + size.m);
    estimate.checkpoint_bytes = state;
    Ok(estimate)
}

struct Size {
    n: u64,
    m: u64,
    d: u64,
    ranks: u64,
}

/// Scaled points in f64, which certificates use whatever the precision of the steps.
fn scaled_bytes(size: &Size) -> u64 {
    let norms = u64::from(size.d as usize > LARGEST_DIFFERENCE_DIMENSION);
    8 * (size.d + norms) * (size.n + size.m)
}

fn describe(
    problem: &ProblemInput,
    method: &MethodInput,
    source: &Outline,
    target: &Outline,
    grid: bool,
    layout: Layout,
) -> Vec<(String, String)> {
    let word = |value: &dyn erased::Word| value.word();
    let penalties = match (problem.source_penalty, problem.target_penalty) {
        (None, None) => "balanced".to_string(),
        (s, t) => {
            let side = |p: Option<f64>| p.map_or("constrained".to_string(), |p| format!("penalty {p}"));
            format!("source {}, target {}", side(s), side(t))
        }
    };
    vec![
        ("source".into(), source.words.clone()),
        ("target".into(), target.words.clone()),
        ("cost".into(), word(&problem.cost)),
        ("epsilon".into(), format!("{} ({})", problem.epsilon, word(&problem.epsilon_relative_to))),
        ("quantity".into(), word(&problem.quantity)),
        ("marginals".into(), penalties),
        ("method".into(), format!("{}, {}", word(&method.name), word(&method.precision))),
        (
            "layout".into(),
            if grid {
                "separable grid: lines shared out, potentials on every rank".into()
            } else if matches!(problem.cost, CostInput::Matrix { .. }) {
                "matrix: own rows and columns".into()
            } else if layout == Layout::Ring {
                "ring: points stay with their owners, blocks travel".into()
            } else {
                "replicated points, the owner computes".into()
            },
        ),
    ]
}

/// Words of typed keys, as an input would write them.
mod erased {
    pub trait Word {
        fn word(&self) -> String;
    }

    impl<T: serde::Serialize> Word for T {
        fn word(&self) -> String {
            match serde_json::to_value(self) {
                Ok(serde_json::Value::String(s)) => s,
                Ok(serde_json::Value::Object(map)) => {
                    let kind = map.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_string();
                    let rest: Vec<String> = map
                        .iter()
                        .filter(|(k, v)| *k != "kind" && !v.is_null())
                        .map(|(k, v)| format!(", {k} {}", v.to_string().trim_matches('"')))
                        .collect();
                    kind + &rest.concat()
                }
                Ok(other) => other.to_string(),
                Err(error) => error.to_string(),
            }
        }
    }
}

/// Rate of one core of this machine on this cost, measured for a moment on 64 rows against one tile.
fn seconds_per_entry(problem: &ProblemInput, dimension: usize) -> f64 {
    let cost = match problem.cost {
        CostInput::SquaredEuclidean { period: None } | CostInput::Matrix { .. } => PointCost::Squared,
        CostInput::SquaredEuclidean { period: Some(period) } => PointCost::SquaredTorus(period),
        CostInput::Euclidean {} => PointCost::Euclidean,
        CostInput::EuclideanPower { power } => PointCost::Power(power),
        CostInput::Cosine {} => PointCost::Cosine,
    };
    let (n, m, d) = (64, COLUMN_TILE, dimension.max(1));
    let point = |k: usize| (k as f64 * 0.618).fract() + 0.01;
    let x: Vec<f64> = (0..n * d).map(point).collect();
    let y: Vec<f64> = (0..m * d).map(point).collect();
    let rows = PointCloud::new(cost, x.into(), y.into(), d).rows(0.1, Precision::F64, Level::detect());
    let (h, shift) = (vec![0.0; m], vec![0.0; n]);
    let (mut columns, mut scratch) = (vec![0.0; m], Scratch::default());
    let mut once = || {
        let start = std::time::Instant::now();
        rows.sweep(0..n, &h, &shift, &mut |_, s| 1.0 / s, &mut columns, &mut scratch);
        start.elapsed().as_secs_f64() / (n * m) as f64
    };
    once();
    (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
}
