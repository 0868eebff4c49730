//! What flows between walls keep besides their fields: statistics, probes and slices, against flows that are known.

mod common;

use std::f64::consts::{PI, TAU};
use std::sync::Mutex;

use common::{Save, Stored};
use spanwise::solvers::{Solver, Status};
use spanwise::team::threads;

/// What a run leaves, as bits: results, the last snapshot, and the records of all steps.
#[derive(Debug, PartialEq)]
struct Left {
    results: Stored,
    snapshot: Stored,
    records: Vec<Vec<(String, u64)>>,
}

impl Left {
    /// Shape and values of a result, or of the last snapshot.
    fn values(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let found = self.results.get(name).or_else(|| self.snapshot.get(name));
        let (shape, bits) = found.unwrap_or_else(|| panic!("{name} was not left"));
        (shape.clone(), bits.iter().map(|b| f64::from_bits(*b)).collect())
    }

    /// A series, with the record before the first step.
    fn series(&self, name: &str) -> Vec<f64> {
        let one = |record: &Vec<(String, u64)>| {
            let found = record.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} was not recorded"));
            f64::from_bits(found.1)
        };
        self.records.iter().map(one).collect()
    }
}

fn record(solver: &dyn Solver) -> Vec<(String, u64)> {
    solver.record().into_iter().map(|(name, value)| (name.name.to_string(), value.to_bits())).collect()
}

/// Runs an input to its end.
fn run(problem: &str, method: &str, ranks: usize) -> Left {
    let text = format!("solver = \"spectral\"\n[problem]\n{problem}\n[method]\n{method}\n");
    let (state, results, snapshot) = (Mutex::default(), Mutex::default(), Mutex::default());
    let mut records = threads::run(ranks, |team| {
        let mut solver = common::build(&text, team);
        let mut records = vec![record(solver.as_ref())];
        for step in 1.. {
            let status = solver.step(step, team).expect("a step");
            solver.measure(team).expect("measured");
            records.push(record(solver.as_ref()));
            if status != Status::Running {
                break;
            }
        }
        assert!(solver.snapshot_due().is_some(), "the end is a snapshot");
        solver.snapshot(&mut Save(&snapshot), team).expect("a snapshot");
        common::leave(solver.as_mut(), team, &state, &results);
        records
    });
    assert!(records.windows(2).all(|pair| pair[0] == pair[1]), "ranks record different numbers");
    let (results, snapshot) = (results.into_inner().unwrap(), snapshot.into_inner().unwrap());
    Left { results, snapshot, records: records.remove(0) }
}

/// The same on 1, 2 and 3 ranks.
fn run_alike(problem: &str, method: &str) -> Left {
    let one = run(problem, method, 1);
    for ranks in [2, 3] {
        assert_eq!(run(problem, method, ranks), one, "{ranks} ranks\n{problem}");
    }
    one
}

/// u = 1 − z² along x between z = ±1, steady under the force 2ν.
fn channel(points: &str, lengths: &str, origin: &str, output: &str) -> String {
    format!(
        "points = {points}\nlengths = {lengths}\norigin = {origin}\nend_time = 0.2\n\
         equation = {{ kind = \"channel\", viscosity = 0.05, drive = {{ kind = \"gradient\", force = 0.1 }} }}\n\
         initial = {{ kind = \"expressions\", fields = {{ u = \"1 - z^2\" }} }}\noutput = {output}"
    )
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-11, "{what}: {found} instead of {expected}");
}

#[test]
fn means_of_a_laminar_channel_are_its_profile_and_its_probes_lie_on_it() {
    let flat = ("[17, 8]", "[2.0, \"2*pi\"]", "[-1.0, 0.0]", "[[0.3, 1.1], [-1.0, 0.0], [1.0, 9.0]]");
    let deep =
        ("[12, 6, 8]", "[2.0, 3.0, 6.0]", "[-1.0, 0.0, 0.0]", "[[0.3, 0.2, 1.1], [-1.0, 0.0, 0.0], [1.0, 2.0, 5.0]]");
    for (points, lengths, origin, probes) in [flat, deep] {
        for profile in ["", ", profile = \"z\""] {
            let output = format!(
                "{{ statistics = {{ start = 0.05, every = 1{profile} }}, probes = {probes}, \
                 slices = [{{ axis = \"z\", at = 0.35 }}] }}"
            );
            let left = run_alike(&channel(points, lengths, origin, &output), "time_step = 0.02");
            let z = left.values("z").1;
            let (shape, means) = left.values("u_mean");
            let variances = left.values("u_variance").1;
            assert_eq!((shape[0], shape.len() == 1), (z.len(), !profile.is_empty()), "{points}");
            let each = means.len() / z.len();
            for (i, (mean, variance)) in means.iter().zip(&variances).enumerate() {
                let z = z[i / each];
                assert_close(*mean, 1.0 - z * z, &format!("{points}: mean at z = {z}"));
                assert!(variance.abs() < 1e-11, "{points}: variance {variance} at z = {z}");
            }
            // Samples from t = 0.06 on, the first of which stands for the time since 0.05.
            assert_close(left.values("statistics_weight").1[0], 0.15, "time that the samples cover");
            for (name, z) in [("u_probe_1", 0.3), ("u_probe_2", -1.0), ("u_probe_3", 1.0)] {
                let series = left.series(name);
                assert_eq!(series.len(), 11, "the first state and ten steps");
                series.iter().for_each(|u| assert_close(*u, 1.0 - z * z, name));
            }
            let near = z.iter().copied().min_by(|a, b| (a - 0.35).abs().total_cmp(&(b - 0.35).abs())).unwrap();
            left.values("u_slice_1").1.iter().for_each(|u| assert_close(*u, 1.0 - near * near, "slice"));
        }
    }
}

/// Numbers of the report of a run to its end.
fn reported(problem: &str, method: &str, names: &[&str]) -> Vec<f64> {
    let text = format!("solver = \"spectral\"\n[problem]\n{problem}\n[method]\n{method}\n");
    let report = threads::run(1, |team| {
        let mut solver = common::build(&text, team);
        common::advance(solver.as_mut(), team, 0, 1000);
        common::leave(solver.as_mut(), team, &Mutex::default(), &Mutex::default())
    });
    let value = |name: &&str| report[0].iter().find(|(n, _)| n == name).expect("a number of the report").1;
    names.iter().map(|name| f64::from_bits(value(name))).collect()
}

/// ν dU/dz = 0.05 · 2 at the lower wall.
#[test]
fn a_channel_has_the_same_friction_velocity_in_both_directions() {
    let forward = channel("[17, 8]", "[2.0, 4.0]", "[-1.0, 0.0]", "{}");
    let backward = forward.replace("force = 0.1", "force = -0.1").replace("1 - z^2", "z^2 - 1");
    for (problem, sign) in [(forward, 1.0), (backward, -1.0)] {
        let found = reported(&problem, "time_step = 0.05", &["wall_shear_lower", "friction_velocity", "force"]);
        assert_close(found[0], sign * 0.1, "wall shear");
        assert_close(found[1], 0.1f64.sqrt(), "friction velocity");
        assert_close(found[2], sign * 0.1, "force");
    }
}

/// Rolls along y have no vorticity along z but rounding, whose coefficients do not decay.
#[test]
fn the_space_error_of_rolls_in_three_dimensions_is_that_of_two() {
    let problem = |points: &str, lengths: &str| {
        format!(
            "points = {points}\nlengths = {lengths}\nend_time = 0.05\n\
             equation = {{ kind = \"rayleigh_benard\", rayleigh = 3000.0, prandtl = 0.7 }}\n\
             initial = {{ kind = \"expressions\", fields = {{ theta = \"0.01*z*(1 - z)*sin(pi*x + 1)\" }} }}"
        )
    };
    let of = |points: &str, lengths: &str| reported(&problem(points, lengths), "time_step = 0.01", &["last_eighth"])[0];
    let (two, three) = (of("[24, 16]", "[1.0, 2.0]"), of("[24, 8, 16]", "[1.0, 3.0, 2.0]"));
    assert!(two < 1e-6 && (three / two - 1.0).abs() < 1e-3, "{two:e} and {three:e}");
}

#[test]
fn convection_keeps_statistics_and_probes_at_and_between_the_grid_points() {
    let problem = |output: &str| {
        format!(
            "points = [24, 12]\nlengths = [1.0, \"2*pi/3.117\"]\nend_time = 4e-4\n\
             equation = {{ kind = \"rayleigh_benard\", rayleigh = 2000, prandtl = 0.71 }}\n\
             initial = {{ kind = \"expressions\", fields = {{ theta = \"0.2*sin(pi*z)*cos(3.117*x)\" }} }}\n\
             output = {output}"
        )
    };
    let method = "scheme = \"ars443\"\ntime_step = 1e-4";
    let output = "{ statistics = { every = 1 }, probes = [[0.37, 0.4], [0.5, 0.0], [1.0, 0.7]] }";
    let left = run_alike(&problem(output), method);
    let (shape, means) = left.values("theta_mean");
    assert_eq!(shape, [24, 12]);
    // The first state, to the truncation of sin πz.
    let first = |z: f64, x: f64| 0.2 * (PI * z).sin() * (3.117 * x).cos();
    for (name, z, x) in [("theta_probe_1", 0.37, 0.4), ("theta_probe_2", 0.5, 0.0), ("theta_probe_3", 1.0, 0.7)] {
        assert_close(left.series(name)[0], first(z, x), name);
    }
    // The mean over t = 0 to 4e-4 is that of a state that hardly moves, but moves.
    let (z, x) = (left.values("z").1, left.values("x").1);
    assert!((x[1] - TAU / 3.117 / 12.0).abs() < 1e-12, "{x:?}");
    let state = left.values("theta").1;
    for (i, (mean, last)) in means.iter().zip(&state).enumerate() {
        let first = first(z[i / 12], x[i % 12]);
        assert!((mean - last).abs() < 2e-3 && (mean - first).abs() < 2e-3, "{i}: {first} {mean} {last}");
    }
    assert!(means.iter().zip(&state).any(|(mean, last)| mean != last), "a mean over time is no state");
    // The profile: the mean over x of what is kept at every point.
    let profile = run_alike(&problem("{ statistics = { every = 1, profile = \"z\" } }"), method);
    for (z, mean) in profile.values("theta_mean").1.iter().enumerate() {
        assert_close(*mean, means[12 * z..12 * (z + 1)].iter().sum::<f64>() / 12.0, "profile of theta");
    }
}

#[test]
fn a_mean_flow_decays_by_viscosity_along_y_as_along_x() {
    // u or v = sin πz: ⟨u²⟩/2 = e^{−2π²t}/4 where ν = 1, on which theta = 0 has no say.
    let energy = |field: &str, scheme: &str| {
        let problem = format!(
            "points = [12, 8, 8]\nlengths = [1.0, \"2*pi\", \"2*pi\"]\nend_time = 0.02\n\
             equation = {{ kind = \"rayleigh_benard\", rayleigh = 100.0, prandtl = 1.0 }}\n\
             initial = {{ kind = \"expressions\", fields = {{ {field} = \"sin(pi*z)\" }} }}"
        );
        *run_alike(&problem, &format!("scheme = \"{scheme}\"\ntime_step = 0.001"))
            .series("kinetic_energy")
            .last()
            .unwrap()
    };
    let truth = 0.25 * (-2.0 * PI * PI * 0.02f64).exp();
    for (scheme, within) in [("ars443", 1e-6), ("sbdf3", 1e-4)] {
        let [along_x, along_y] = ["u", "v"].map(|field| energy(field, scheme));
        assert!((along_x / truth - 1.0).abs() < within, "{scheme}: {along_x} instead of {truth}");
        assert!((along_y / along_x - 1.0).abs() < 1e-12, "{scheme}: {along_y} instead of {along_x}");
    }
}

#[test]
fn the_first_step_by_the_cfl_limit_is_that_of_the_first_state() {
    // SMR-RK3 is stable up to Σ|u|k Δt = 1.732, of which 0.7 are taken; u = 1 − z² moves at once.
    let problem = channel("[17, 24]", "[2.0, 4.0]", "[-1.0, 0.0]", "{}");
    for given in ["", "time_step = 0.2"] {
        let left = run(&problem, &format!("scheme = \"smr_rk3\"\nstep_control = \"cfl\"\n{given}"), 1);
        let (cfl, steps) = (left.series("cfl"), left.series("time_step"));
        assert!(cfl[1..].iter().all(|c| (0.3..1.22).contains(c)), "{given}: {cfl:?}");
        assert!(steps[1] < 0.2, "{given}: {steps:?}");
    }
}

#[test]
fn a_profile_along_the_walls_is_a_mean_in_space_between_them() {
    // Of 1 − z² the mean from −1 to 1 is 2/3, of its square 8/15; a mean over the points, which lie closer near the
    // walls, would be 1/2. Of 17 points Fejér's rule is exact for polynomials of degree 16.
    let keys = "{ statistics = { every = 1, profile = \"x\" } }";
    let left =
        run_alike(&channel("[17, 12]", "[2.0, 4.0]", "[-1.0, 0.0]", keys), "time_step = 0.05\nscheme = \"sbdf2\"");
    for (mean, variance) in left.values("u_mean").1.iter().zip(left.values("u_variance").1) {
        assert_close(*mean, 2.0 / 3.0, "mean");
        assert_close(variance, 8.0 / 15.0 - 4.0 / 9.0, "variance");
    }
}
