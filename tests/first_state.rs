//! A run that begins where another ended, between walls and not: the same state at the same resolution, the same
//! integrals at another, the same bits on any number of ranks; files of another box are refused. Values on the grid from a
//! file do what the expressions do that they were made from.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hdf5::types::{CompoundField, CompoundType, FloatSize, TypeDescriptor};
use program::spanwise;
use spanwise::input::Input;
use spanwise::solvers;
use spanwise::team::{Team, threads};

/// What a solver made from this input records of its first state.
fn first(path: &Path, text: &str, team: &dyn Team) -> Vec<(String, f64)> {
    let input = Input::parse(path, text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let entry = solvers::find("spectral").expect("a registered solver");
    let mut solver = (entry.build)(&input, team).unwrap_or_else(|e| panic!("{e}\n{text}"));
    solver.measure(team).unwrap();
    solver.record().into_iter().map(|(name, value)| (name.name.to_string(), value)).collect()
}

/// Runs `problem` to its end, then compares the first state of a run that reads it on `points` and `finer` points with
/// the numbers of the report.
fn compare(problem: &str, method: &str, points: &str, finer: &str, names: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let text = |points: &str, initial: &str| {
        format!("solver = \"spectral\"\n[problem]\npoints = {points}\n{problem}\n{initial}\n[method]\n{method}\n")
    };
    fs::write(dir.path().join("earlier.toml"), text(points, "")).unwrap();
    let ran = spanwise(1, &["run", "earlier.toml", "--quiet"], dir.path());
    assert_eq!(ran.code(), 0, "{ran:?}");
    let report = fs::read_to_string(dir.path().join("earlier.out/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let numbers: BTreeMap<String, f64> = report["numbers"]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .filter_map(|n| Some((n["name"].as_str()?.to_string(), n["value"].as_f64()?)))
        .collect();
    let later = dir.path().join("later.toml");
    let initial = "initial = { kind = \"file\", file = \"earlier.out/output.h5\" }";
    for on in [points, finer] {
        let text = text(on, initial);
        let one = threads::run(1, |team| first(&later, &text, team)).remove(0);
        for name in names {
            let found = one.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}: {one:?}")).1;
            let expected = numbers[*name];
            assert!((found - expected).abs() < 1e-11 * expected.abs(), "{on}: {name} {found} after {expected}");
        }
        for other in threads::run(3, |team| first(&later, &text, team)) {
            let bits = |list: &[(String, f64)]| list.iter().map(|(_, v)| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&other), bits(&one), "on 3 ranks");
        }
    }
}

#[test]
fn a_flow_between_walls_begins_where_another_ended() {
    let names = ["kinetic_energy", "dissipation", "nusselt_lower", "nusselt_upper", "theta_variance"];
    let two = "lengths = [1.0, 2.0]\nend_time = 0.03\n\
               equation = { kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 0.7, disturbance = 0.2 }";
    compare(two, "time_step = 0.001", "[33, 32]", "[41, 48]", &names);
    let three = "lengths = [2.0, 3.0, 5.0]\nend_time = 0.1\n\
                 equation = { kind = \"channel\", viscosity = 0.05, drive = { kind = \"flux\", bulk_velocity = 1.0 } }";
    compare(
        three,
        "time_step = 0.01",
        "[21, 12, 16]",
        "[27, 16, 18]",
        &["kinetic_energy", "dissipation", "bulk_velocity"],
    );
}

#[test]
fn a_periodic_flow_begins_where_another_ended() {
    // The earlier run takes the equation's own first state.
    let problem = "end_time = 0.2\nequation = { kind = \"vorticity_2d\", viscosity = 0.02 }";
    compare(problem, "time_step = 0.02", "[32, 32]", "[40, 48]", &["energy", "enstrophy", "dissipation"]);
}

/// What is said where `text` is run beside the output of `earlier`.

#[test]
fn a_first_state_that_does_not_keep_the_constraints_is_noted_with_what_that_changes() {
    let text = |problem: &str, velocity: &str, scheme: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\n{problem}\nend_time = 0.01\n\
             initial = {{ kind = \"expressions\", fields = {{ {velocity} }} }}\n\
             [method]\nscheme = \"{scheme}\"\ntime_step = 0.01\n"
        )
    };
    let periodic = "points = [8, 8, 8]\nequation = { kind = \"navier_stokes_3d\", viscosity = 0.1 }";
    let walls = "points = [12, 8]\nlengths = [1.0, \"2*pi\"]\n\
                 equation = { kind = \"channel\", viscosity = 0.1, drive = { kind = \"gradient\", force = 0.1 } }";
    let layer = "points = [12, 8]\nlengths = [1.0, \"2*pi\"]\n\
                 equation = { kind = \"rayleigh_benard\", rayleigh = 1000.0, prandtl = 1.0 }";
    for (problem, scheme, velocity, told) in [
        // Of u = sin x + sin y, sin x is a gradient: half of the mean square.
        (
            periodic,
            "etdrk4",
            "velocity_x = \"sin(x) + sin(y)\"",
            Some("changed 5.00e-1 of the mean square of velocity_x"),
        ),
        (periodic, "etdrk4", "velocity_x = \"sin(y)\", velocity_z = \"cos(x)\"", None),
        // Without w, u cannot change along x: the mean square of 1 is half of all.
        (
            walls,
            "ars443",
            "u = \"z*(1 - z)*(1 + sqrt(2)*cos(x))\"",
            Some("changed 5.00e-1 of the mean square of the velocity"),
        ),
        (walls, "ars443", "u = \"z*(1 - z)\"", None),
        (layer, "ars443", "theta = \"1\"", Some("of the mean square of theta")),
        (layer, "ars443", "theta = \"z*(1 - z)\", u = \"z*(1 - z)\"", None),
    ] {
        let text = text(problem, velocity, scheme);
        for ranks in [1, 3] {
            let notes = threads::run(ranks, |team| {
                let input = Input::parse(Path::new("a.toml"), &text, &[]).unwrap();
                (solvers::find("spectral").unwrap().build)(&input, team).unwrap().notes().join("\n")
            });
            for notes in notes {
                assert_eq!(notes.contains("mean square"), told.is_some(), "{velocity}: {notes}");
                assert!(notes.contains(told.unwrap_or_default()), "{velocity}: {notes}");
            }
        }
    }
}

#[test]
fn a_member_of_an_ensemble_is_taken_up_as_the_run_that_it_was_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = |viscosity: &str, more: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [48]\nend_time = 0.1\n\
             equation = {{ kind = \"burgers\", viscosity = {viscosity} }}\n{more}\n[method]\ntime_step = 0.02\n"
        )
    };
    let vary = "ensemble = { members = 3, vary = { \"equation.viscosity\" = [0.05, 0.1, 0.3] } }";
    for (name, text) in [("together", text("9.0", vary)), ("alone", text("0.3", ""))] {
        fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
        let ran = spanwise(1, &["run", &format!("{name}.toml"), "--quiet"], dir.path());
        assert_eq!(ran.code(), 0, "{ran:?}");
    }
    let later = dir.path().join("later.toml");
    let from = |file: &str, more: &str| {
        text("0.3", &format!("initial = {{ kind = \"file\", file = \"{file}.out/output.h5\"{more} }}"))
    };
    let of = |text: &str, ranks| threads::run(ranks, |team| first(&later, text, team)).remove(0);
    assert_eq!(of(&from("together", ", member = 2"), 1), of(&from("alone", ""), 1));
    // Each member of a new ensemble takes up its own.
    let all = from("together", "") + "\n[problem.ensemble]\nmembers = 3\nvary = { \"initial.member\" = [0, 1, 2] }\n";
    let energy = |records: &[(String, f64)]| records.iter().find(|r| r.0 == "energy").expect("Burgers records it").1;
    let each = (0..3).map(|m| energy(&of(&from("together", &format!(", member = {m}")), 1)));
    let mean = each.sum::<f64>() / 3.0;
    assert!((energy(&of(&all, 2)) - mean).abs() < 1e-15, "{mean}");
    let refusals = [
        ("together", "", "problem.initial.member: is missing; the file holds members 0 to 2"),
        ("together", ", member = 3", "problem.initial.member = 3: is 3; the file holds members 0 to 2"),
        ("alone", ", member = 0", "problem.initial.member = 0: is given, but the file does not hold an ensemble"),
    ];
    for (file, more, words) in refusals {
        fs::write(&later, from(file, more)).unwrap();
        for &ranks in program::rank_counts() {
            let ended = spanwise(ranks, &["run", "later.toml", "--force"], dir.path());
            assert!(ended.code() == 2 && ended.stderr.contains(words), "{ranks} ranks: {words}: {ended:?}");
        }
    }
}

fn refused(dir: &Path, earlier: &str, text: &str) -> String {
    fs::write(dir.join("earlier.toml"), earlier).unwrap();
    let ran = spanwise(1, &["run", "earlier.toml", "--quiet", "--force"], dir);
    assert_eq!(ran.code(), 0, "{ran:?}");
    fs::write(dir.join("later.toml"), text).unwrap();
    let mut said = String::new();
    for &ranks in program::rank_counts() {
        let ran = spanwise(ranks, &["run", "later.toml", "--quiet"], dir);
        assert_eq!(ran.code(), 2, "{ran:?}\n{text}");
        said = format!("{ran:?}");
    }
    assert!(!dir.join("later.out").exists());
    said
}

#[test]
fn a_state_of_another_box_is_refused_on_1_and_3_ranks() {
    let written = |points: &str, rest: &str, complex: bool, initial: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = {points}\nend_time = 0.02\n{rest}\n\
             equation = {{ kind = \"written\", fields = [\"theta\"], rhs = {{ theta = \"lap(theta)\" }}, complex = {complex} }}\n\
             initial = {initial}\n[method]\ntime_step = 0.01\n"
        )
    };
    let wave = |x: &str| format!("{{ kind = \"expressions\", fields = {{ theta = \"cos({x})\" }} }}");
    let file = "{ kind = \"file\", file = \"earlier.out/output.h5\" }";
    let convection = |lengths: &str, initial: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [16, 16]\nend_time = 0.002\nlengths = {lengths}\n\
             equation = {{ kind = \"rayleigh_benard\", rayleigh = 1e3, prandtl = 1.0, disturbance = 0.1 }}\n{initial}\n\
             [method]\ntime_step = 0.001\n"
        )
    };
    let channel = |lengths: &str, origin: &str, initial: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [16, 16]\nend_time = 0.002\nlengths = {lengths}\norigin = {origin}\n\
             equation = {{ kind = \"channel\", viscosity = 0.1, drive = {{ kind = \"gradient\", force = 0.1 }} }}\n{initial}\n\
             [method]\ntime_step = 0.001\n"
        )
    };
    let from_file = format!("initial = {file}");
    let flow = channel("[2.0, 3.0]", "[-1.0, 0.0]", "");
    let real = written("[16]", "", false, &wave("x"));
    let complex = written("[16]", "", true, &wave("x"));
    let layer = convection("[1.0, 2.0]", "");
    let cases = [
        (&complex, written("[16]", "", false, file), "fields are complex; here they are real"),
        (&real, written("[16]", "", true, file), "fields are real; here they are complex"),
        (
            &real,
            written("[16]", "lengths = [\"4*pi\"]", false, file),
            "along x the length is 6.283185; here it is 12.566371",
        ),
        (
            &layer,
            written("[16, 16]", "lengths = [1.0, 2.0]", false, file),
            "it lies between walls; here it is periodic",
        ),
        (&real, written("[16]", "origin = [0.5]", false, file), "along x the origin is 0.000000; here it is 0.500000"),
        (
            &flow,
            channel("[4.0, 3.0]", "[-2.0, 0.0]", &from_file),
            "along z the length is 2.000000; here it is 4.000000",
        ),
        (&layer, convection("[1.0, 7.0]", &from_file), "along x the length is 2.000000; here it is 7.000000"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (earlier, later, message) in cases {
        let said = refused(dir.path(), earlier, &later);
        assert!(said.contains(message) && said.contains("problem.initial.file"), "{said}\n{later}");
    }
}

/// Writes a dataset of f(x, y, z) at the points of a box from 0 of these lengths.
fn write_values(path: &Path, points: [usize; 3], lengths: [f64; 3], f: impl Fn([f64; 3]) -> f64) {
    let file = hdf5::File::create(path).unwrap();
    let at = |i: usize, a: usize| lengths[a] * i as f64 / points[a] as f64;
    let values = ndarray::Array3::from_shape_fn(points, |(i, j, k)| f([at(i, 0), at(j, 1), at(k, 2)]));
    file.create_group("given").unwrap().new_dataset_builder().with_data(&values).create("values").unwrap();
}

#[test]
fn values_on_the_grid_and_forces_from_files_are_those_of_their_expressions() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = [std::f64::consts::TAU, 5.0, 7.0];
    let [p, q] = [std::f64::consts::TAU / 5.0, std::f64::consts::TAU / 7.0];
    write_values(&dir.path().join("u.h5"), [9, 12, 10], lengths, |[x, y, z]| {
        (2.0 * x).sin() * (p * y).cos() + 0.3 * (q * z).cos()
    });
    write_values(&dir.path().join("f.h5"), [9, 12, 10], lengths, |[x, y, _]| x.cos() * (p * y).sin());
    for dealiasing in ["truncation", "padding"] {
        let text = |rhs: &str, rest: &str| {
            format!(
                "solver = \"spectral\"\n[problem]\npoints = [9, 12, 10]\nlengths = [\"2*pi\", 5.0, 7.0]\nend_time = 1.0\n\
                 dealiasing = \"{dealiasing}\"\n\
                 equation = {{ kind = \"written\", fields = [\"u\"], rhs = {{ u = \"0.1*lap(u) - u*dx(u){rhs}\" }} }}\n{rest}\n\
                 [method]\ntime_step = 0.01\n"
            )
        };
        let given = text(
            "",
            "initial = { kind = \"grid\", file = \"u.h5\", fields = { u = \"given/values\" } }\n\
                              forcing = { file = \"f.h5\", fields = { u = \"given/values\" } }",
        );
        let said = text(
            " + cos(x)*sin(2*pi/5*y)",
            "initial = { kind = \"expressions\", fields = { u = \"sin(2*x)*cos(2*pi/5*y) + 0.3*cos(2*pi/7*z)\" } }",
        );
        let path = dir.path().join("in_memory.toml");
        let after = |text: &str, team: &dyn Team| -> Vec<f64> {
            let input = Input::parse(&path, text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let entry = solvers::find("spectral").expect("a registered solver");
            let mut solver = (entry.build)(&input, team).unwrap_or_else(|e| panic!("{e}\n{text}"));
            (1..=5).for_each(|step| drop(solver.step(step, team).unwrap()));
            solver.measure(team).unwrap();
            solver.record().into_iter().filter(|(name, _)| name.name == "mean_square_u").map(|(_, v)| v).collect()
        };
        let expected = threads::run(1, |team| after(&said, team)).remove(0);
        let one = threads::run(1, |team| after(&given, team)).remove(0);
        assert!(expected.len() == 1 && expected[0] > 0.1, "{expected:?}");
        assert!((one[0] / expected[0] - 1.0).abs() < 1e-14, "{dealiasing}: {one:?} {expected:?}");
        for other in threads::run(3, |team| after(&given, team)) {
            assert_eq!(other[0].to_bits(), one[0].to_bits(), "{dealiasing}: on 3 ranks");
        }
    }
}

#[test]
fn series_of_what_the_fields_make_leave_out_a_force_from_a_file_and_frozen_modes_refuse_one() {
    // Gray–Scott at rest, u = 0.6 and v = 0.3: the mean of u v² is 0.054, whatever force acts on v.
    let dir = tempfile::tempdir().unwrap();
    write_values(&dir.path().join("f.h5"), [8, 8, 8], [1.0; 3], |[x, ..]| {
        0.2 + 0.5 * (std::f64::consts::TAU * x).cos()
    });
    let text = |equation: &str, initial: &str, field: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [8, 8, 8]\nend_time = 1.0\nequation = {equation}\n\
             initial = {{ kind = \"expressions\", fields = {{ {initial} }} }}\n\
             forcing = {{ file = \"f.h5\", fields = {{ {field} = \"given/values\" }} }}\n[method]\ntime_step = 0.01\n"
        )
    };
    let path = dir.path().join("in_memory.toml");
    let reaction = text("{ kind = \"gray_scott\", feed = 0.04, kill = 0.05 }", "u = \"0.6\", v = \"0.3\"", "v");
    let series = threads::run(1, |team| first(&path, &reaction, team)).remove(0);
    let found = series.iter().find(|(name, _)| name == "reaction").unwrap().1;
    assert!((found - 0.6 * 0.09).abs() < 1e-12, "{found}");
    let frozen = "{ kind = \"navier_stokes_3d\", viscosity = 0.1, forcing = { kind = \"frozen\", wavenumber = 1.5 } }";
    fs::write(dir.path().join("a.toml"), text(frozen, "velocity_x = \"sin(y)\"", "velocity_x")).unwrap();
    let ended = spanwise(1, &["run", "a.toml"], dir.path());
    assert!(ended.code() == 2 && ended.stderr.contains("problem.forcing"), "{ended:?}");
}

/// What an HDF5 file lacks is said in words, with what it has.
#[test]
fn files_without_what_is_asked_for_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    write_values(&dir.path().join("u.h5"), [4, 4, 4], [1.0; 3], |[x, ..]| x);
    let other = hdf5::File::create(dir.path().join("other.h5")).unwrap();
    // As h5py writes complex numbers.
    let part =
        |index: usize, name: &str| CompoundField::new(name, TypeDescriptor::Float(FloatSize::U8), 8 * index, index);
    let pair = TypeDescriptor::Compound(CompoundType { fields: vec![part(0, "r"), part(1, "i")], size: 16 });
    other.new_dataset_builder().empty_as(&pair).shape(16).create("pairs").unwrap();
    other.close().unwrap();
    let text = |initial: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [16]\nend_time = 0.02\ninitial = {initial}\n\
             equation = {{ kind = \"burgers\", viscosity = 0.1 }}\n[method]\ntime_step = 0.01\n[run]\nmax_steps = 1\n"
        )
    };
    fs::write(dir.path().join("a.toml"), text("{ kind = \"named\", name = \"sine\" }")).unwrap();
    assert_eq!(spanwise(1, &["run", "a.toml", "--quiet"], dir.path()).code(), 3);
    let grid = |file: &str, dataset: &str| {
        format!("{{ kind = \"grid\", file = \"{file}\", fields = {{ u = \"{dataset}\" }} }}")
    };
    let state = |file: &str| format!("{{ kind = \"file\", file = \"{file}\" }}");
    for (initial, message) in [
        (grid("other.h5", "pairs"), "other.h5: dataset pairs holds complex numbers"),
        (grid("u.h5", "given/value"), "u.h5: there is no dataset given/value; there are values"),
        (grid("u.h5", "given"), "u.h5: given is a group of datasets"),
        (state("u.h5"), "u.h5: there is no dataset state/u"),
        (state("a.out/checkpoint.h5"), "state/u has no names of axes; the output.h5 of a finished run has"),
    ] {
        fs::write(dir.path().join("b.toml"), text(&initial)).unwrap();
        let ended = spanwise(1, &["run", "b.toml", "--force"], dir.path());
        assert!(ended.code() == 2 && ended.stderr.contains(message), "{message}: {ended:?}");
    }
}
