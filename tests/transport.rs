//! Transport as its users meet it: a status that agrees with the report, and inputs beyond double precision.

mod program;

use std::fs;
use std::path::Path;

use program::malformed::complaint;
use program::{listing, npy, rank_counts, spanwise};

/// Two uniform clouds of the unit cube.
fn clouds(n: usize, m: usize, dimension: usize, rest: &str) -> String {
    format!(
        "solver = \"transport\"\n[problem]\nsource = {{ kind = \"uniform_samples\", points = {n}, dimension = \
         {dimension} }}\ntarget = {{ kind = \"uniform_samples\", points = {m}, dimension = {dimension} }}\n{rest}\n"
    )
}

fn report(directory: &Path, name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(directory.join(format!("{name}.out/report.json"))).unwrap()).unwrap()
}

fn number(report: &serde_json::Value, name: &str) -> f64 {
    let numbers = report["numbers"].as_array().unwrap();
    let number = numbers.iter().find(|n| n["name"] == name).unwrap_or_else(|| panic!("{name} in {report}"));
    number["value"].as_f64().unwrap_or(f64::NAN)
}

#[test]
fn a_run_is_converged_if_and_only_if_its_reported_error_meets_the_tolerance() {
    // At the floor of f32, where the steps' error has relaxed rows in it, and at that of f64.
    let single = "epsilon = 0.05\n[method]\nname = \"overrelaxed\"\nprecision = \"f32\"\ntolerance = 1e-6";
    let double = "epsilon = 1e-11\n[method]\nprecision = \"f64\"";
    let divergence = "epsilon = 0.05\nquantity = \"divergence\"\n[method]\nprecision = \"f32\"\ntolerance = 1e-6";
    let (single, double, divergence) =
        (clouds(9, 6, 3, single), clouds(12, 12, 2, double), clouds(9, 6, 3, divergence));
    let dir = tempfile::tempdir().unwrap();
    let mut statuses = [0, 0];
    for (text, seeds) in [(single, [0, 1, 4, 5]), (double, [0, 1, 2, 3]), (divergence, [0, 1, 2, 3])] {
        fs::write(dir.path().join("a.toml"), text).unwrap();
        for seed in seeds {
            let seed = format!("run.seed={seed}");
            let ended = spanwise(1, &["run", "a.toml", "--force", "--quiet", "--set", &seed], dir.path());
            let report = report(dir.path(), "a");
            let (error, met) = (number(&report, "marginal_error"), number(&report, "marginal_error") <= 1e-6);
            let expected = if met { (0, "converged") } else { (3, "stalled") };
            assert_eq!((ended.code(), report["status"].as_str().unwrap()), expected, "{seed} {error:e}: {ended:?}");
            if !met {
                let said = format!("{error:.2e}");
                assert!(report["reason"].as_str().unwrap().contains(&said), "{said} in {}", report["reason"]);
            }
            statuses[usize::from(met)] += 1;
        }
    }
    assert!(statuses[0] + statuses[1] == 12 && statuses[1] >= 4, "{statuses:?}");
}

#[test]
fn epsilon_relative_to_the_spread_of_far_clouds_does_not_cancel() {
    let dir = tempfile::tempdir().unwrap();
    let x: Vec<f64> = (0..60).map(|k| f64::from(k * k % 61) / 61.0).collect();
    let y: Vec<f64> = (0..40).map(|k| 1e6 + f64::from(k * k % 41) / 41.0).collect();
    fs::write(dir.path().join("x.npy"), npy(&[30, 2], &x)).unwrap();
    fs::write(dir.path().join("y.npy"), npy(&[20, 2], &y)).unwrap();
    let text = "solver = \"transport\"\n[run]\nmax_steps = 1\n[problem]\nsource = { kind = \"points\", file = \"x.npy\" \
                }\ntarget = { kind = \"points\", file = \"y.npy\" }\nepsilon = 1.0\nepsilon_relative_to = \
                \"standard_deviation\"\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let cost = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
    let costs: Vec<f64> = x.chunks(2).flat_map(|x| y.chunks(2).map(move |y| cost(x, y))).collect();
    let mean = |c: &[f64]| c.iter().sum::<f64>() / c.len() as f64;
    let about = mean(&costs);
    let exact = mean(&costs.iter().map(|c| (c - about) * (c - about)).collect::<Vec<_>>()).sqrt();
    for ranks in rank_counts() {
        let ended = spanwise(*ranks, &["run", "a.toml", "--force", "--quiet"], dir.path());
        assert!([0, 3].contains(&ended.code()), "{ended:?}");
        let epsilon = number(&report(dir.path(), "a"), "epsilon");
        assert!((epsilon / exact - 1.0).abs() < 1e-9, "{epsilon} against {exact}");
    }
}

#[test]
fn magnitudes_beyond_double_precision_and_two_spaces_of_colour_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let points: Vec<f64> = (0..10).map(|k| 0.1 * f64::from(k)).collect();
    let put = |name: &str, shape: &[usize], values: &[f64]| {
        fs::write(dir.path().join(name), npy(shape, values)).unwrap();
    };
    put("x.npy", &[5, 2], &points);
    put("one.npy", &[1, 2], &[0.53816435, 0.34327087]);
    put("far.npy", &[1, 2], &[0.36906724, 0.37449677]);
    put("tiny.npy", &[5, 2], &points.iter().map(|x| x * 1e-160).collect::<Vec<_>>());
    put("huge.npy", &[5, 2], &points.iter().map(|x| x * 1e160).collect::<Vec<_>>());
    put("faint.npy", &[2, 2], &[1e-170, 0.0, 0.0, 2e-170]);
    put("heavy.npy", &[5], &[1e200; 5]);
    let measures = |source: &str, target: &str, weights: &str| {
        let side = |file: &str| format!("{{ kind = \"points\", file = \"{file}.npy\"{weights} }}");
        format!("source = {}\ntarget = {}\n", side(source), side(target))
    };
    image::RgbImage::from_fn(4, 4, |i, j| image::Rgb([60 * i as u8, 60 * j as u8, 90]))
        .save(dir.path().join("a.png"))
        .unwrap();
    let palette =
        |space: &str| format!("{{ kind = \"image_colours\", file = \"a.png\", levels = 2, space = \"{space}\" }}");
    let heavy = measures("x", "x", ", weights = \"heavy.npy\"");
    let relative = |unit: &str| format!("epsilon = 0.05\nepsilon_relative_to = \"{unit}\"");
    let cases = [
        (format!("{heavy}epsilon = 0.05"), ["problem.source", "the weights sum to", "normalise = true"]),
        (
            format!("{heavy}epsilon = 0.05\nsource_penalty = 1.0\ntarget_penalty = 1.0"),
            ["problem.source", "the weights sum to", "double precision"],
        ),
        (measures("x", "x", "") + "epsilon = 1e308", ["problem.epsilon", "ε is 1e308", "give a smaller one"]),
        (
            measures("x", "x", "") + "epsilon = 1e6\ntarget_penalty = 1e308",
            ["problem.target_penalty", "the penalty is 1e308", "give a smaller one"],
        ),
        (measures("x", "x", "") + "epsilon = 1e-310", ["problem.epsilon", "double precision", "larger epsilon"]),
        (measures("x", "x", "") + "epsilon = 1e-17", ["problem.epsilon", "double precision", "larger epsilon"]),
        (measures("tiny", "tiny", "") + &relative("mean"), ["problem.epsilon", "double precision", "scale the points"]),
        (measures("huge", "huge", "") + "epsilon = 0.05", ["problem.cost", "costs reach", "rescale the points"]),
        (
            measures("faint", "x", "") + "epsilon = 0.1\ncost = { kind = \"cosine\" }",
            ["problem.source", "point 0", "1e-140"],
        ),
        (
            format!("source = {}\ntarget = {}\nepsilon = 0.1", palette("rgb"), palette("cielab")),
            ["problem.target.space", "cielab", "in one space"],
        ),
        (
            measures("one", "far", "") + &relative("standard_deviation"),
            ["problem.epsilon", "the cost is constant", "absolute epsilon"],
        ),
    ];
    for (k, (problem, fragments)) in cases.iter().enumerate() {
        let file = format!("case{k}.toml");
        fs::write(dir.path().join(&file), format!("solver = \"transport\"\n[problem]\n{problem}\n")).unwrap();
        let before = listing(dir.path());
        for ranks in rank_counts() {
            let ended = spanwise(*ranks, &["run", &file, "--progress", "none"], dir.path());
            assert_eq!(complaint(&ended, 1, fragments), None, "{problem} on {ranks} ranks");
        }
        assert_eq!(before, listing(dir.path()), "something was written");
    }
}

/// Lower end, value and upper end of a number of the report.
fn interval(report: &serde_json::Value, name: &str) -> [f64; 3] {
    let numbers = report["numbers"].as_array().unwrap();
    let number = numbers.iter().find(|n| n["name"] == name).unwrap_or_else(|| panic!("{name} in {report}"));
    [&number["error"]["lower"], &number["value"], &number["error"]["upper"]].map(|v| v.as_f64().unwrap_or(f64::NAN))
}

#[test]
fn wherever_a_run_is_cut_short_its_values_and_the_truth_lie_in_its_intervals() {
    // Masses 1 and 3: on the way through ε the divergence was of the wrong ε, and said -inf with an interval above 10.
    let grid = |at: f64, more: &str| {
        format!(
            "{{ kind = \"gaussian_grid\", mean = [{at}], standard_deviation = [1.0], points = 41, interval = [-4.0, 8.0]{more} }}"
        )
    };
    let (source, target) = (grid(0.0, ""), grid(4.0, ", mass = 3.0"));
    let text = |quantity: &str, penalties: &str| {
        format!(
            "solver = \"transport\"\n[problem]\nsource = {source}\ntarget = {target}\nepsilon = 0.01\n\
             quantity = \"{quantity}\"\n{penalties}\n[method]\n"
        )
    };
    let penalties = "source_penalty = 1.0\ntarget_penalty = 1.0";
    let dir = tempfile::tempdir().unwrap();
    let balanced = text("transport", "normalise = true");
    for (text, name, at_end) in [
        (text("divergence", penalties), "divergence", Some(3.29352)),
        (text("transport", penalties), "regularised_cost", None),
        (balanced, "regularised_cost", None),
    ] {
        fs::write(dir.path().join("a.toml"), &text).unwrap();
        let run = |set: &[&str]| {
            let mut arguments = vec!["run", "a.toml", "--force", "--quiet"];
            set.iter().for_each(|set| arguments.extend(["--set", set]));
            let ended = spanwise(1, &arguments, dir.path());
            (ended.code(), interval(&report(dir.path(), "a"), name))
        };
        let (code, [low, truth, high]) = run(&["method.tolerance=1e-10"]);
        assert!(code == 0 && low <= truth && truth <= high && high - low < 1e-6 * truth.abs(), "{low} {truth} {high}");
        // Of a dense Sinkhorn in the logarithmic domain.
        assert!(at_end.is_none_or(|known| (truth - known).abs() < 1e-5), "{truth}");
        for scaling in ["on", "off"] {
            for steps in [1, 2, 3, 5, 10, 20] {
                let scaling = format!("method.epsilon_scaling.enabled=\"{scaling}\"");
                let (_, [lower, value, upper]) = run(&[&format!("run.max_steps={steps}"), &scaling]);
                let room = high - low;
                assert!(
                    lower - room <= truth && truth <= upper + room,
                    "{name} {steps} {scaling}: {truth} {lower} {upper}"
                );
                assert!(lower <= value && value <= upper, "{name} {steps} {scaling}: {value} in {lower} {upper}");
            }
        }
    }
}

#[test]
fn a_plan_smaller_than_any_number_is_that_of_a_problem_solved() {
    // Costs of 10⁴ against ρ = ε = 1: nothing moves, and the cost is ρ Σa + ρ Σb + ε Σa Σb = 3.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x.csv"), "0\n1\n").unwrap();
    fs::write(dir.path().join("y.csv"), "100\n101.5\n").unwrap();
    let text = "solver = \"transport\"\n[problem]\nsource = { kind = \"points\", file = \"x.csv\" }\n\
                target = { kind = \"points\", file = \"y.csv\" }\nepsilon = 1.0\nsource_penalty = 1.0\n\
                target_penalty = 1.0\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let ended = spanwise(1, &["run", "a.toml", "--quiet"], dir.path());
    let report = report(dir.path(), "a");
    assert_eq!(ended.code(), 0, "{ended:?}");
    let [lower, value, upper] = interval(&report, "regularised_cost");
    assert!((value - 3.0).abs() < 1e-9 && lower <= 3.0 && 3.0 <= upper, "{lower} {value} {upper}");
}

#[test]
fn a_run_goes_on_with_its_own_data_and_method_only() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put("x.csv", "0,0\n1,0\n0,1\n1,1\n");
    put("y.csv", "0,0.2\n1,0.1\n0.3,1\n1,1.5\n");
    let text = "solver = \"transport\"\n[run]\nmax_steps = 3\n[problem]\nepsilon = 0.1\n\
                source = { kind = \"points\", file = \"x.csv\" }\ntarget = { kind = \"points\", file = \"y.csv\" }\n";
    put("a.toml", text);
    let resume = |ranks: usize, set: &str| {
        let steps = "run.max_steps=100";
        let arguments = ["run", "a.toml", "--resume", "--progress", "none", "--set", steps, "--set", set];
        spanwise(ranks, &arguments, dir.path())
    };
    let unchanged = "problem.epsilon=0.1";
    assert_eq!(spanwise(1, &["run", "a.toml", "--quiet"], dir.path()).code(), 3);
    for (changed, message) in
        [("0,0.2\n1,0.1\n", "a file has changed"), ("5,0\n7,0.1\n8,9\n1,1\n", "a file has changed")]
    {
        put("y.csv", changed);
        for &ranks in rank_counts() {
            assert_eq!(complaint(&resume(ranks, unchanged), 1, &["--resume", message]), None, "{changed} on {ranks}");
        }
    }
    put("y.csv", "0,0.2\n1,0.1\n0.3,1\n1,1.5\n");
    let other = resume(1, "method.name=\"sinkhorn\"");
    assert_eq!(complaint(&other, 1, &["--resume", "another [method] (name differs)"]), None);
    let ended = resume(1, "method.tolerance=1e-8");
    assert_eq!(ended.code(), 0, "{ended:?}");
}

#[test]
fn a_run_goes_on_with_its_own_cost_matrix_only() {
    // All changes but the last, one of 10⁻¹⁵, leave the mean square as it is.
    let dir = tempfile::tempdir().unwrap();
    let cost = |i: usize, j: usize| ((3 * i + i * i * j + 2 * j * j) % 13) as f64 / 13.0;
    let put = |entry: &dyn Fn(usize, usize) -> f64| {
        let entries: Vec<f64> = (0..25).map(|k| entry(k / 5, k % 5)).collect();
        fs::write(dir.path().join("c.npy"), npy(&[5, 5], &entries)).unwrap();
    };
    put(&cost);
    let text = "solver = \"transport\"\n[run]\nmax_steps = 1\n[problem]\nepsilon = 0.1\n\
                source = { kind = \"atoms\", points = 5 }\ntarget = { kind = \"atoms\", points = 5 }\n\
                cost = { kind = \"matrix\", file = \"c.npy\" }\n[method]\nname = \"sinkhorn\"\ntolerance = 1e-15\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    assert_eq!(spanwise(1, &["run", "a.toml", "--quiet"], dir.path()).code(), 3);
    let arguments = ["run", "a.toml", "--resume", "--progress", "none", "--set", "run.max_steps=2"];
    let transposed = |i: usize, j: usize| cost(j, i);
    let negated = |i: usize, j: usize| -cost(i, j);
    let reversed = |i: usize, j: usize| cost(4 - i, j);
    let nudged = |i: usize, j: usize| cost(i, j) + if (i, j) == (4, 4) { 1e-15 } else { 0.0 };
    let changed: [&dyn Fn(usize, usize) -> f64; 4] = [&transposed, &negated, &reversed, &nudged];
    for (k, entry) in changed.into_iter().enumerate() {
        put(entry);
        for &ranks in rank_counts() {
            let ended = spanwise(ranks, &arguments, dir.path());
            assert_eq!(complaint(&ended, 1, &["--resume", "a file has changed"]), None, "change {k} on {ranks}");
        }
    }
    put(&cost);
    for &ranks in rank_counts().iter().rev() {
        let ended = spanwise(ranks, &arguments, dir.path());
        assert!([0, 3].contains(&ended.code()), "its own on {ranks}: {ended:?}");
    }
}

#[test]
fn a_single_weight_may_be_an_array_without_axes() {
    // Points at distance 0.5: the only plan costs 0.25.
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, shape: &[usize], value: f64| {
        fs::write(dir.path().join(name), npy(shape, &[value])).unwrap();
    };
    put("x.npy", &[1], 0.0);
    put("y.npy", &[1], 0.5);
    put("w.npy", &[], 1.0);
    let side = |file: &str| format!("{{ kind = \"points\", file = \"{file}\", weights = \"w.npy\" }}");
    let text = format!(
        "solver = \"transport\"\n[problem]\nsource = {}\ntarget = {}\nepsilon = 0.1\n",
        side("x.npy"),
        side("y.npy")
    );
    fs::write(dir.path().join("a.toml"), text).unwrap();
    for &ranks in rank_counts() {
        let ended = spanwise(ranks, &["run", "a.toml", "--force", "--quiet"], dir.path());
        assert_eq!(ended.code(), 0, "{ended:?}");
        let [lower, value, upper] = interval(&report(dir.path(), "a"), "regularised_cost");
        assert!(lower <= 0.25 && 0.25 <= upper && (value - 0.25).abs() < 1e-12, "{lower} {value} {upper}");
    }
}

#[test]
fn an_overflow_of_f32_leaves_nothing_in_the_certificate() {
    // Of points in the unit square a period of 10^50, which f32 does not hold, changes no cost.
    let dir = tempfile::tempdir().unwrap();
    let text = clouds(20, 20, 2, "epsilon = 0.1\ncost = { kind = \"squared_euclidean\", period = 1e50 }");
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let [mixed, double] = ["mixed", "f64"].map(|precision| {
        let precision = format!("method.precision=\"{precision}\"");
        let ended = spanwise(1, &["run", "a.toml", "--force", "--quiet", "--set", &precision], dir.path());
        assert_eq!(ended.code(), 0, "{ended:?}");
        interval(&report(dir.path(), "a"), "regularised_cost")
    });
    for [lower, _, upper] in [mixed, double] {
        // 0.1856484 to the tolerance of 1e-6 on the marginals, in f64.
        assert!(upper - lower < 1e-6 && lower < 0.1856485 && upper > 0.1856484, "{mixed:?} {double:?}");
    }
    assert!(mixed[0] <= double[2] && double[0] <= mixed[2], "{mixed:?} {double:?}");
}

#[test]
fn points_many_periods_apart_have_the_cost_of_those_within_one() {
    // (3000.3 − 0.1 − 3000)² of the numbers as f64 holds them, in rational arithmetic.
    let truth = 0.040000000000072755_f64;
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, shape: &[usize], values: &[f64]| {
        fs::write(dir.path().join(name), npy(shape, values)).unwrap();
    };
    put("near.npy", &[1, 1], &[0.1]);
    put("far.npy", &[1, 1], &[3000.3]);
    let point = |file: &str| format!("{{ kind = \"points\", file = \"{file}.npy\" }}");
    let grid = |shift: f64| format!("{{ kind = \"torus\", points = 1, dimension = 1, shift = {shift:?} }}");
    let pairs = [(point("near"), point("far")), (point("far"), point("near")), (grid(0.1), grid(3000.3))];
    for ((source, target), layout) in pairs.iter().flat_map(|pair| [(pair, "replicated"), (pair, "ring")]) {
        let text = format!(
            "solver = \"transport\"\n[problem]\nsource = {source}\ntarget = {target}\nepsilon = 0.05\n\
             cost = {{ kind = \"squared_euclidean\", period = 1.0 }}\n[method]\nlayout = \"{layout}\"\n"
        );
        fs::write(dir.path().join("a.toml"), text).unwrap();
        for &ranks in rank_counts() {
            let ended = spanwise(ranks, &["run", "a.toml", "--force", "--quiet"], dir.path());
            assert_eq!(ended.code(), 0, "{ended:?}");
            for name in ["regularised_cost", "unregularised_cost"] {
                let [lower, _, upper] = interval(&report(dir.path(), "a"), name);
                let inside = lower <= truth && truth <= upper && upper - lower < 1e-12;
                assert!(inside, "{source} {target} {layout}, {ranks} ranks: {name} in {lower:?} {upper:?}");
            }
        }
    }
}
