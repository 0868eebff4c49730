//! What the rank and restart tests share: small problems of every kind, and a state kept in memory.

// Each test file is a program of its own and uses a part.
#![allow(dead_code)]

pub mod counted;
mod paths;
mod smc;
mod spectral;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use spanwise::error::Result;
use spanwise::input::Input;
use spanwise::solvers::{self, Number, Solver, Status};
use spanwise::state::{Data, Hyperslab, Name, Walk};
use spanwise::team::Team;

/// Named global arrays, as bit patterns: shape and values.
pub type Stored = BTreeMap<String, (Vec<usize>, Vec<u64>)>;

/// Saves a walked state; every rank writes its blocks into one shared map.
pub struct Save<'s>(pub &'s Mutex<Stored>);
/// Loads it again, on any number of ranks.
pub struct Load<'s>(pub &'s Stored);

fn bits(data: &Data<'_>) -> Vec<u64> {
    match data {
        Data::F64(x) => x.iter().map(|v| v.to_bits()).collect(),
        Data::F32(x) => x.iter().map(|v| u64::from(v.to_bits())).collect(),
        Data::I64(x) => x.iter().map(|v| *v as u64).collect(),
        Data::U64(x) => x.to_vec(),
        Data::U8(x) => x.iter().map(|v| u64::from(*v)).collect(),
    }
}

fn fill(data: Data<'_>, from: impl Iterator<Item = u64>) {
    match data {
        Data::F64(x) => x.iter_mut().zip(from).for_each(|(v, b)| *v = f64::from_bits(b)),
        Data::F32(x) => x.iter_mut().zip(from).for_each(|(v, b)| *v = f32::from_bits(b as u32)),
        Data::I64(x) => x.iter_mut().zip(from).for_each(|(v, b)| *v = b as i64),
        Data::U64(x) => x.iter_mut().zip(from).for_each(|(v, b)| *v = b),
        Data::U8(x) => x.iter_mut().zip(from).for_each(|(v, b)| *v = b as u8),
    }
}

/// Positions in the global array of the values of a block, in the block's order.
fn positions(global: &[usize], mine: &Hyperslab) -> Vec<usize> {
    let mut all = vec![0];
    for k in 0..global.len() {
        all = all
            .iter()
            .flat_map(|at| (mine.start[k]..mine.start[k] + mine.count[k]).map(move |i| at * global[k] + i))
            .collect();
    }
    all
}

impl Walk for Save<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let mut stored = self.0.lock().unwrap();
        let (_, values) = stored
            .entry(name.name.to_string())
            .or_insert_with(|| (global.to_vec(), vec![u64::MAX; global.iter().product()]));
        for (at, b) in positions(global, mine).into_iter().zip(bits(&data)) {
            assert_eq!(values[at], u64::MAX, "{}: two ranks hold value {at}", name.name);
            values[at] = b;
        }
        Ok(())
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let b = bits(&x);
        let held = self.0.lock().unwrap().insert(name.name.to_string(), (vec![b.len()], b.clone()));
        assert!(held.is_none_or(|(_, h)| h == b), "{} differs between ranks", name.name);
        Ok(())
    }

    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.scalar(name, Data::F64(values))
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.scalar(name, Data::F64(values))
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.scalar(name, Data::F32(values))
    }
}

impl Walk for Load<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let (shape, values) = &self.0[name.name];
        assert_eq!(shape, global, "{}", name.name);
        fill(data, positions(global, mine).into_iter().map(|at| values[at]));
        Ok(())
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        fill(x, self.0[name.name].1.iter().copied());
        Ok(())
    }

    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        *values = self.0[name.name].1.iter().map(|b| f64::from_bits(*b)).collect();
        Ok(())
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.series(name, values)
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        *values = self.0[name.name].1.iter().map(|b| f32::from_bits(*b as u32)).collect();
        Ok(())
    }
}

pub fn build(text: &str, team: &dyn Team) -> Box<dyn Solver> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/transport/in_memory.toml");
    let input = Input::parse(&path, text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let entry = solvers::find(&input.solver).expect("a registered solver");
    (entry.build)(&input, team).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Steps until the end or until `until` steps were made in all.
pub fn advance(solver: &mut dyn Solver, team: &dyn Team, from: u64, until: u64) -> (u64, bool) {
    let mut step = from;
    while step < until {
        let status = solver.step(step, team).expect("a step");
        step += 1;
        if let Status::Finished(_) = status {
            return (step, true);
        }
    }
    (step, false)
}

pub fn leave(
    solver: &mut dyn Solver,
    team: &dyn Team,
    state: &Mutex<Stored>,
    results: &Mutex<Stored>,
) -> Vec<(String, u64)> {
    solver.finish(team).expect("finish");
    solver.state(&mut Save(state)).expect("state");
    solver.results(&mut Save(results)).expect("results");
    solver.report().iter().flat_map(numbers).collect()
}

fn numbers(n: &Number) -> Vec<(String, u64)> {
    let mut out = vec![(n.name.to_string(), n.value.to_bits())];
    if let solvers::ErrorBar::Interval(low, high) = n.error {
        assert!(low <= high, "{}: [{low}, {high}]", n.name);
        out.extend([(format!("{} low", n.name), low.to_bits()), (format!("{} high", n.name), high.to_bits())]);
    }
    out
}

/// Small problems that reach every layout, pass and variant of the rooms; sizes awkward on purpose.
pub fn problems() -> Vec<(String, String)> {
    let cloud = |n: usize, d: usize| format!("{{ kind = \"uniform_samples\", points = {n}, dimension = {d} }}");
    let case = |name: &str, source: String, target: String, problem: &str, method: &str| {
        let text = format!(
            "solver = \"transport\"\n[problem]\nsource = {source}\ntarget = {target}\n{problem}\n[method]\n{method}\n"
        );
        (name.to_string(), text)
    };
    let mut all = vec![
        case("clouds", cloud(37, 2), cloud(53, 2), "epsilon = 0.05", "epsilon_scaling = { enabled = \"on\" }"),
        case("several blocks", cloud(1030, 3), cloud(700, 3), "epsilon = 0.02", "tolerance = 1e-4"),
        case("on the fly", cloud(1030, 3), cloud(700, 3), "epsilon = 0.05", "stored_kernel_mib = 0"),
        case("ring", cloud(5000, 1), cloud(2100, 1), "epsilon = 0.1\nresults = [\"gradients\"]", "layout = \"ring\""),
        case("f32", cloud(300, 3), cloud(257, 3), "epsilon = 0.05", "precision = \"f32\"\ntolerance = 1e-3"),
        case("f64", cloud(101, 3), cloud(67, 3), "epsilon = 0.05", "precision = \"f64\""),
        case("euclidean", cloud(101, 3), cloud(67, 3), "epsilon = 0.05\ncost = { kind = \"euclidean\" }\nresults = [\"gradients\"]", ""),
        case("power", cloud(41, 2), cloud(67, 2), "epsilon = 0.05\ncost = { kind = \"euclidean_power\", power = 1.5 }", ""),
        case("cosine", cloud(41, 5), cloud(37, 5), "epsilon = 0.05\ncost = { kind = \"cosine\" }", ""),
        case("high dimension", cloud(41, 64), cloud(37, 64), "epsilon = 0.5", ""),
        case("unbalanced", cloud(37, 2), cloud(53, 2), "epsilon = 0.05\nsource_penalty = 1.0\ntarget_penalty = 0.5", ""),
        case("semi-unbalanced", cloud(37, 2), cloud(53, 2), "epsilon = 0.05\ntarget_penalty = 0.5", ""),
        case("divergence", cloud(37, 2), cloud(53, 2), "epsilon = 0.05\nquantity = \"divergence\"\nresults = [\"gradients\"]", ""),
        case(
            "results",
            cloud(37, 2),
            cloud(53, 2),
            "epsilon = 0.05\nresults = [\"barycentric_map\", \"gradients\", \"plan_entries\"]\nplan_entries = 100",
            "",
        ),
        case(
            "grid",
            "{ kind = \"gaussian_grid\", mean = [0.3, 0.4], standard_deviation = [0.1, 0.2], points = 13, interval = [0, 1] }".into(),
            "{ kind = \"gaussian_grid\", mean = [0.6, 0.5], standard_deviation = [0.2, 0.1], points = 13, interval = [0, 1] }".into(),
            "epsilon = 0.02\nresults = [\"barycentric_map\", \"gradients\"]",
            "",
        ),
        case(
            "torus",
            "{ kind = \"torus\", points = 12, dimension = 1 }".into(),
            "{ kind = \"torus\", points = 12, dimension = 1, shift = 0.01 }".into(),
            "epsilon = 0.02\ncost = { kind = \"squared_euclidean\", period = 1.0 }",
            "",
        ),
    ];
    for method in [
        "sinkhorn",
        "overrelaxed",
        "accelerated",
        "anderson",
        "newton",
        "semidual_signed",
        "semidual_rkhs",
        "semidual_rkhs_accelerated",
    ] {
        all.push(case(
            method,
            cloud(37, 2),
            cloud(29, 2),
            "epsilon = 0.1",
            &format!("name = \"{method}\"\ntolerance = 1e-3"),
        ));
    }
    all.extend(spectral::problems());
    all.extend(smc::problems());
    all.extend(paths::problems());
    all
}
