//! Results derived from the potentials, as runs leave them: atoms without mass, spaces that differ, runs cut short.

mod common;
mod program;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use common::Stored;
use program::npy;
use spanwise::solvers::Solver;
use spanwise::team::threads;

/// What a run of `text` leaves after at most `steps` steps on so many ranks: state and results, numbers, notes.
struct Left {
    state: Stored,
    results: Stored,
    numbers: Vec<(String, u64)>,
    notes: Vec<String>,
}

impl Left {
    fn of(text: &str, ranks: usize, steps: u64) -> Left {
        let (state, results) = (Mutex::new(Stored::new()), Mutex::new(Stored::new()));
        let mut said = threads::run(ranks, |team| {
            let mut solver = common::build(text, team);
            common::advance(solver.as_mut(), team, 0, steps);
            (common::leave(solver.as_mut(), team, &state, &results), Solver::notes(solver.as_ref()))
        });
        let (numbers, notes) = said.pop().expect("there is a rank");
        Left { state: state.into_inner().unwrap(), results: results.into_inner().unwrap(), numbers, notes }
    }

    fn number(&self, name: &str) -> f64 {
        f64::from_bits(self.numbers.iter().find(|(n, _)| n == name).expect("a number of the report").1)
    }

    fn result(&self, name: &str) -> Vec<f64> {
        self.results[name].1.iter().map(|b| f64::from_bits(*b)).collect()
    }

    fn state(&self, name: &str) -> Vec<f64> {
        self.state[name].1.iter().map(|b| f64::from_bits(*b)).collect()
    }
}

/// Numbers in (0, 1) without pattern.
fn numbers(seed: usize, n: usize) -> Vec<f64> {
    (0..n).map(|k| ((k + 1) as f64 * 0.618_033_988_75 + seed as f64 * 0.324_717_957).fract()).collect()
}

fn put(directory: &Path, name: &str, shape: &[usize], values: &[f64]) -> String {
    let path = directory.join(name);
    fs::write(&path, npy(shape, values)).unwrap();
    path.to_str().unwrap().to_string()
}

/// Σ_j q_j v_j / Σ_j q_j with q_j = b_j exp((g_j − c(j))/ε), and −ε log Σ_j q_j.
fn seen(b: &[f64], g: &[f64], epsilon: f64, c: impl Fn(usize) -> f64, v: impl Fn(usize) -> f64) -> (f64, f64) {
    let z = |j: usize| (g[j] - c(j)) / epsilon;
    let top = (0..b.len()).map(z).fold(f64::NEG_INFINITY, f64::max);
    let q: Vec<f64> = (0..b.len()).map(|j| b[j] * (z(j) - top).exp()).collect();
    let sum: f64 = q.iter().sum();
    (q.iter().enumerate().map(|(j, q)| q * v(j)).sum::<f64>() / sum, -epsilon * (top + sum.ln()))
}

#[test]
fn points_without_mass_have_the_weight_gradient_of_their_first_mass_and_no_point_gradient() {
    let dir = tempfile::tempdir().unwrap();
    let (n, m) = (7, 6);
    let (px, py) = (numbers(1, 2 * n), numbers(2, 2 * m));
    let (x, y) = (put(dir.path(), "x.npy", &[n, 2], &px), put(dir.path(), "y.npy", &[m, 2], &py));
    let normalised = |mut w: Vec<f64>, zeros: &[usize]| {
        w.iter_mut().for_each(|w| *w += 0.5);
        zeros.iter().for_each(|k| w[*k] = 0.0);
        let sum: f64 = w.iter().sum();
        w.iter().map(|w| w / sum).collect::<Vec<f64>>()
    };
    let (a, b) = (normalised(numbers(3, n), &[0, 3]), normalised(numbers(4, m), &[5]));
    for (quantity, value) in [("transport", "regularised_cost"), ("divergence", "divergence")] {
        for penalties in ["", "source_penalty = 0.6\ntarget_penalty = 0.6\n"] {
            let run = |a: &[f64], b: &[f64], ranks: usize| {
                let (a, b) = (put(dir.path(), "a.npy", &[n], a), put(dir.path(), "b.npy", &[m], b));
                let text = format!(
                    "solver = \"transport\"\n[problem]\nepsilon = 0.2\nquantity = \"{quantity}\"\n{penalties}\
                     source = {{ kind = \"points\", file = \"{x}\", weights = \"{a}\" }}\n\
                     target = {{ kind = \"points\", file = \"{y}\", weights = \"{b}\" }}\n\
                     results = [\"gradients\", \"barycentric_map\"]\n[method]\ntolerance = 1e-13\nprecision = \"f64\"\n"
                );
                Left::of(&text, ranks, 2000)
            };
            let left = run(&a, &b, 1);
            let again = run(&a, &b, 3);
            assert!(left.results == again.results && left.state == again.state, "{quantity} {penalties}");
            for (name, values) in &left.results {
                assert!(values.1.iter().all(|v| f64::from_bits(*v).is_finite()), "{quantity} {penalties}{name}");
            }
            let (of_x, of_y) = (left.result("source_point_gradient"), left.result("target_point_gradient"));
            assert!([0, 1, 6, 7].iter().all(|k| of_x[*k] == 0.0) && of_x[2] != 0.0);
            assert!([10, 11].iter().all(|k| of_y[*k] == 0.0) && of_y[0] != 0.0);
            // The potential there is the best answer to the other one.
            let (f, g) = (left.state("source_potential"), left.state("target_potential"));
            let damping = if penalties.is_empty() { 1.0 } else { 0.6 / (0.6 + 0.2) };
            for i in [0, 3] {
                let square = |j: usize| (0..2).map(|k| (px[2 * i + k] - py[2 * j + k]).powi(2)).sum();
                let (_, answer) = seen(&b, &g, 0.2, square, |_| 0.0);
                assert!((f[i] - damping * answer).abs() < 1e-12, "{quantity} {penalties}{i}: {} {answer}", f[i]);
            }
            for (side, k) in [(0, 0), (0, 3), (1, 5)] {
                let with = |h: f64| {
                    let (mut a, mut b) = (a.clone(), b.clone());
                    let w = if side == 0 { &mut a } else { &mut b };
                    w[k] += h;
                    if penalties.is_empty() {
                        w[1] -= h;
                    }
                    run(&a, &b, 1).number(value)
                };
                let h = 3e-5;
                let slope = (4.0 * with(h) - with(2.0 * h) - 3.0 * left.number(value)) / (2.0 * h);
                let g = left.result(["source_weight_gradient", "target_weight_gradient"][side]);
                let exact = g[k] - if penalties.is_empty() { g[1] } else { 0.0 };
                assert!((slope - exact).abs() < 1e-6, "{quantity} {penalties}{side} {k}: {slope} {exact}");
            }
        }
    }
}

#[test]
fn a_map_into_another_space_has_the_dimension_of_the_target_and_gradients_say_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let (n, m, epsilon) = (5, 8, 0.1);
    let (y, c) = (numbers(6, 3 * m), numbers(7, n * m));
    let source = put(dir.path(), "x.npy", &[n, 2], &numbers(5, 2 * n));
    let (target, cost) = (put(dir.path(), "y.npy", &[m, 3], &y), put(dir.path(), "c.npy", &[n, m], &c));
    for source in
        [format!("{{ kind = \"points\", file = \"{source}\" }}"), format!("{{ kind = \"atoms\", points = {n} }}")]
    {
        let text = format!(
            "solver = \"transport\"\n[problem]\nepsilon = {epsilon}\nsource = {source}\n\
             target = {{ kind = \"points\", file = \"{target}\" }}\ncost = {{ kind = \"matrix\", file = \"{cost}\" }}\n\
             results = [\"barycentric_map\", \"gradients\", \"plan_entries\"]\n"
        );
        let left = Left::of(&text, 1, 500);
        assert!(left.results == Left::of(&text, 2, 500).results);
        assert_eq!(left.results["barycentric_map"].0, [n, 3]);
        let (map, g) = (left.result("barycentric_map"), left.state("target_potential"));
        for i in 0..n {
            for k in 0..3 {
                let (mean, _) = seen(&vec![1.0 / m as f64; m], &g, epsilon, |j| c[i * m + j], |j| y[3 * j + k]);
                assert!((map[3 * i + k] - mean).abs() < 1e-12, "{i}, {k}");
            }
        }
        assert!(!left.results.contains_key("source_point_gradient"));
        assert!(left.notes.iter().any(|note| note.contains("weights alone") && note.contains("matrix")));
    }
    let grid = "{ kind = \"torus\", points = 5, dimension = 2 }";
    let text = format!(
        "solver = \"transport\"\n[problem]\nepsilon = 0.1\nsource = {grid}\ntarget = {grid}\nresults = [\"gradients\"]\n"
    );
    let left = Left::of(&text, 1, 100);
    assert!(left.notes.iter().any(|note| note.contains("weights alone") && note.contains("grids")));
}

#[test]
fn pixels_without_mass_have_the_potential_that_answers_the_other_one_whatever_the_method() {
    let dir = tempfile::tempdir().unwrap();
    let (rows, columns, epsilon) = (4, 5, 0.05);
    let n = rows * columns;
    let weights = |seed: usize, empty: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let w = numbers(seed, n).into_iter().enumerate();
        w.map(|(k, w)| if empty(k) { 0.0 } else { 0.5 + w }).collect()
    };
    let (a, b) = (weights(8, &|k| k < columns), weights(9, &|k| k % columns == 0));
    let centre = |k: usize| [(k / columns) as f64 / rows as f64, (k % columns) as f64 / columns as f64];
    let cost = |i: usize, j: usize| {
        let ([x0, x1], [y0, y1]) = (centre(i), centre(j));
        (x0 - y0) * (x0 - y0) + (x1 - y1) * (x1 - y1)
    };
    let source = put(dir.path(), "a.npy", &[rows, columns], &a);
    let target = put(dir.path(), "b.npy", &[rows, columns], &b);
    let total: f64 = a.iter().sum();
    let a: Vec<f64> = a.iter().map(|w| w / total).collect();
    for method in ["semidual_signed", "semidual_rkhs", "accelerated"] {
        let text = format!(
            "solver = \"transport\"\n[problem]\nepsilon = {epsilon}\nnormalise = true\n\
             source = {{ kind = \"density\", file = \"{source}\" }}\ntarget = {{ kind = \"density\", file = \"{target}\" }}\n\
             [method]\nname = \"{method}\"\ntolerance = 1e-3\n"
        );
        let left = Left::of(&text, 1, 300);
        let (f, g) = (left.state("source_potential"), left.state("target_potential"));
        for j in (0..n).filter(|j| b[*j] == 0.0) {
            let (_, answer) = seen(&a, &f, epsilon, |i| cost(i, j), |_| 0.0);
            assert!((g[j] - answer).abs() < 1e-12, "{method}, {j}: {} {answer}", g[j]);
        }
    }
}

#[test]
fn a_run_cut_short_on_its_way_through_epsilon_has_results_for_the_epsilon_asked_for() {
    let text = "solver = \"transport\"\n[problem]\nepsilon = 0.01\nresults = [\"plan_entries\"]\nplan_entries = 20\n\
                source = { kind = \"uniform_samples\", points = 9, dimension = 1 }\n\
                target = { kind = \"uniform_samples\", points = 8, dimension = 1 }\n\
                [method]\nepsilon_scaling = { enabled = \"on\", start = 1.0 }\nprecision = \"f64\"\n";
    let left = Left::of(text, 1, 1);
    let points = Mutex::new(Stored::new());
    let team = spanwise::team::Solo;
    common::build(text, &team).inputs(&mut common::Save(&points)).unwrap();
    let points = points.into_inner().unwrap();
    let [x, y] = ["source_points", "target_points"]
        .map(|name| points[name].1.iter().map(|b| f64::from_bits(*b)).collect::<Vec<f64>>());
    let (f, g) = (left.state("source_potential"), left.state("target_potential"));
    let (rows, columns) = (&left.results["plan_row"].1, &left.results["plan_column"].1);
    let mass = left.result("plan_mass");
    assert_eq!(mass.len(), 20);
    for (k, p) in mass.iter().enumerate() {
        let (i, j) = (rows[k] as usize, columns[k] as usize);
        let z = (f[i] + g[j] - (x[i] - y[j]) * (x[i] - y[j])) / 0.01;
        let exact = z.exp() / 72.0;
        assert!((p - exact).abs() < 1e-12 * exact, "{k}: {p} {exact}");
    }
}

#[test]
fn points_moved_by_whole_periods_have_the_same_gradients_and_maps_where_they_are() {
    // Multiples of 2⁻¹⁰ and whole periods of 1: the moves are exact.
    let dir = tempfile::tempdir().unwrap();
    let dyadic = |seed: usize, n: usize| -> Vec<f64> {
        numbers(seed, n).iter().map(|x| (x * 1024.0).floor() / 1024.0).collect()
    };
    let moved = |x: &[f64], by: f64| x.iter().map(|x| x + by).collect::<Vec<f64>>();
    let (x, y) = (dyadic(1, 14), dyadic(2, 12));
    let run = |x: &[f64], y: &[f64], layout: &str| {
        let (x, y) = (put(dir.path(), "x.npy", &[7, 2], x), put(dir.path(), "y.npy", &[6, 2], y));
        let text = format!(
            "solver = \"transport\"\n[problem]\nepsilon = 0.2\n\
             source = {{ kind = \"points\", file = \"{x}\" }}\ntarget = {{ kind = \"points\", file = \"{y}\" }}\n\
             cost = {{ kind = \"squared_euclidean\", period = 1.0 }}\nresults = [\"gradients\", \"barycentric_map\"]\n\
             [method]\ntolerance = 1e-12\nprecision = \"f64\"\nlayout = \"{layout}\"\n"
        );
        Left::of(&text, 2, 2000)
    };
    let near = run(&x, &y, "replicated");
    for layout in ["replicated", "ring"] {
        let far = run(&moved(&x, -700.0), &moved(&y, 3000.0), layout);
        for (name, by) in [("source_point_gradient", 0.0), ("target_point_gradient", 0.0), ("barycentric_map", 3000.0)]
        {
            let (near, far) = (moved(&near.result(name), by), far.result(name));
            // A mean of coordinates near 3000 rounds by 3000·2⁻⁵³ = 3e-13 times a few.
            let most = near.iter().zip(&far).fold(0.0, |most: f64, (near, far)| most.max((near - far).abs()));
            assert!(most < 1e-10, "{layout}: {name} by {most:e}");
        }
        let (near, far) = (near.number("regularised_cost"), far.number("regularised_cost"));
        assert!((near - far).abs() < 1e-13, "{layout}: {near} {far}");
    }
}
