//! Malformed inputs of the spectral room are refused on 1 and on 3 ranks with exit code 2, one message that names the
//! place, no panic, no hang, and nothing written.

mod program;

use std::fs;

use program::malformed::{Case, check_refuses, refused_alike};
use program::spanwise;

const GOOD: [&str; 10] = [
    "solver = \"spectral\"",                                                              // 1
    "[run]",                                                                              // 2
    "max_steps = 2",                                                                      // 3
    "[problem]",                                                                          // 4
    "points = [16, 12]",                                                                  // 5
    "end_time = 1.0",                                                                     // 6
    "equation = { kind = \"vorticity_2d\", viscosity = 0.01 }",                           // 7
    "initial = { kind = \"expressions\", fields = { vorticity = \"sin(x)*cos(2*y)\" } }", // 8
    "[method]",                                                                           // 9
    "time_step = 0.01",                                                                   // 10
];

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case(5, "points = []", &["problem.points", "1 to 3"]),
    Case(5, "points = [16, 12, 8, 4]", &["problem.points", "1 to 3"]),
    Case(5, "points = [0, 12]", &["problem.points[0] = 0", "≥ 1"]),
    Case(5, "points = [16, 2]", &["problem.points[1] = 2", "3 is the smallest number", "or 1"]),
    Case(5, "points = [3, 16]", &["problem.points[0] = 3", "4 is the smallest number", "or 1"]),
    Case(5, "points = [16]", &["problem.points = [16]", "vorticity_2d is for 2 axes"]),
    Case(5, "points = [16, 99999999999]", &["problem.points", "at most"]),
    Case(5, "points = [16, 12]\nlengths = [1.0, -2.0]", &["problem.lengths", "must be > 0"]),
    Case(5, "points = [16, 12]\nlengths = [\"2*pie\"]", &["problem.lengths", "unknown name \"pie\"", "did you mean \"pi\"?"]),
    Case(5, "points = [16, 12]\nlengths = [1.0, 1.0, 1.0]", &["problem.lengths", "3 values", "2 axes"]),
    Case(5, "points = [16, 12]\norigin = [0.0, 1e17]", &["problem.origin[1] = 1e17", "times the length"]),
    Case(5, "points = [16, 12]\ndealiasing = \"two_thirds\"", &["problem.dealiasing", "one of \"truncation\", \"padding\", \"none\""]),
    Case(5, "points = [16, 12]\nprecision = \"f16\"", &["problem.precision", "f64", "f32"]),
    Case(5, "points = [16, 12]\nprocess_grid = [5, 7]", &["problem.process_grid"]),
    Case(5, "points = [16, 12]\nensemble = { members = 3 }", &["problem.ensemble", "problems of one axis"]),
    Case(5, "points = [16, 12]\nensemble = { members = 0 }", &["problem.ensemble.members = 0", "1"]),
    Case(6, "", &["problem.end_time", "is missing"]),
    Case(6, "end_time = -1.0", &["problem.end_time = -1.0", "must be > 0"]),
    Case(7, "equation = { kind = \"vorticity2d\", viscosity = 0.01 }", &["problem.equation.kind = \"vorticity2d\"", "did you mean \"vorticity_2d\"?"]),
    Case(7, "equation = { kind = \"vorticity_2d\", viscosty = 0.01 }", &["problem.equation.viscosty", "did you mean \"viscosity\"?"]),
    Case(7, "equation = { kind = \"vorticity_2d\", viscosity = -0.01 }", &["problem.equation.viscosity"]),
    Case(7, "equation = { kind = \"vorticity_2d\", viscosity = 0.01, forcing = { kind = \"kolmogorov\", waves = 4 } }", &["problem.equation.forcing.waves = 4", "4 waves along y", "3 are kept"]),
    Case(7, "equation = { kind = \"vorticity_2d\", viscosity = 0.01, forcing = { kind = \"kolmogorov\" } }", &["problem.equation.forcing.waves", "4 waves along y", "3 are kept"]),
    Case(7, "equation = { kind = \"vorticity_2d\", viscosity = 0.01, forcing = { kind = \"kolmogorov\", waves = 6 } }\ndealiasing = \"none\"", &["problem.equation.forcing.waves = 6", "5 are kept"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"-u*dx(u) + \" } }", &["problem.equation.rhs.u", "character"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"-u*dx(w)\" } }", &["problem.equation.rhs.u", "unknown name \"w\"", "^"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"-lap(u)\" } }", &["problem.equation.rhs.u", "-lap(u)"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"x*u\" } }", &["problem.equation.rhs.u", "x"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\", \"v\"], rhs = { u = \"lap(u)\" } }", &["problem.equation", "v"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"grad(u)\" } }", &["problem.equation.rhs.u"]),
    Case(7, "equation = { kind = \"written\", fields = [\"kx\"], rhs = { kx = \"lap(kx)\" } }", &["problem.equation.fields", "cannot be called", "kx"]),
    Case(7, "equation = { kind = \"written\", fields = [\"vorticity\"], rhs = { vorticity = \"lap(vorticity)\" }, define = { time = \"2*vorticity\" } }\noutput = { fields = [\"all\"] }", &["problem.output.fields", "time", "written twice"]),
    Case(7, "equation = { kind = \"written\", fields = [\"vorticity\", \"mean_square_vorticity\"], vectors = { vorticity_probe_1 = [\"a\"] }, rhs = { vorticity = \"lap(vorticity)\", mean_square_vorticity = \"vorticity\", vorticity_probe_1 = \"[a]\" } }\noutput = { probes = [[1.0, 1.0]] }", &["problem.equation", "mean_square_vorticity_probe_1", "written twice"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"lap(u)\" }, random = [{ field = \"u\", amplitude = 0.1, band = [2.1, 2.2] }] }", &["problem.equation.random[0].band", "2.1", "no wavenumber"]),
    Case(7, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"lap(u)\" }, random = [{ field = \"v\", amplitude = 0.1, band = [1, 2] }] }", &["problem.equation.random[0].field", "they are u"]),
    Case(7, "equation = { kind = \"written\", fields = [\"vorticity\"], rhs = { vorticity = \"lap(vorticity) + 1/sin(x)\" } }", &["problem.equation", "not finite at the first state"]),
    Case(8, "initial = { kind = \"expressions\", fields = { vorticty = \"sin(x)\" } }", &["problem.initial.fields.vorticty", "did you mean \"vorticity\"?"]),
    Case(8, "initial = { kind = \"expressions\", fields = { vorticity = \"sin(x\" } }", &["problem.initial.fields.vorticity", "character"]),
    Case(8, "initial = { kind = \"expressions\", fields = { vorticity = \"1/0*x\" } }", &["problem.initial"]),
    Case(8, "initial = { kind = \"named\", name = \"soliton\" }", &["problem.initial.name", "taylor_green"]),
    Case(8, "initial = { kind = \"named\", name = \"taylor_green\", parameters = { waves = 4 } }", &["problem.initial.parameters", "4 waves along y", "3 are kept"]),
    Case(8, "initial = { kind = \"named\", name = \"taylor_green\", parameters = { waves = 1.5 } }", &["problem.initial.parameters", "waves = 1.5", "whole"]),
    Case(8, "initial = { kind = \"named\", name = \"taylor_green\", parameters = { waves = 0 } }", &["problem.initial.parameters", "waves = 0", "1 or more"]),
    Case(8, "initial = { kind = \"file\", file = \"absent.h5\" }", &["problem.initial.file", "absent.h5"]),
    Case(8, "initial = { kind = \"random\", spectrum = { kind = \"von_karman\", peak = -1.0 } }", &["problem.initial.spectrum.peak"]),
    Case(8, "initial = { kind = \"random\", spectrum = { kind = \"power_law\", exponent = 0.0, lowest = 2.3, highest = 2.4 } }", &["problem.initial.spectrum", "the kept modes", "from 1 to 5.83"]),
    Case(8, "initial = { kind = \"random\", spectrum = { kind = \"power_law\", exponent = 0.0, lowest = 7.0, highest = 9.0 } }", &["problem.initial.spectrum", "the kept modes", "from 1 to 5.83"]),
    Case(8, "initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 1e-3 } }", &["problem.initial.spectrum", "the kept modes"]),
    Case(8, "output = { every = 0.0 }", &["problem.output.every = 0.0", "> 0"]),
    Case(8, "output = { every = 1e-12 }", &["problem.output.every = 1e-12", "more than 1e9 snapshots"]),
    Case(8, "output = { fields = [\"pressure\"] }", &["problem.output.fields"]),
    Case(8, "output = { probes = [[1.0]] }", &["problem.output.probes"]),
    Case(8, "output = { probes = [[inf, 0.0]] }", &["problem.output.probes", "finite"]),
    Case(8, "output = { times = [0.5, 7.0] }", &["problem.output.times[1] = 7.0", "never reached", "problem.end_time = 1"]),
    Case(8, "output = { statistics = { start = 1.0 } }", &["problem.output.statistics.start = 1.0", "nothing is sampled", "problem.end_time = 1"]),
    Case(8, "output = { times = [-0.5] }", &["problem.output.times[0] = -0.5", "never reached"]),
    Case(8, "tangent = { vectors = 0, every = 0.1 }", &["problem.tangent.vectors = 0"]),
    Case(8, "tangent = { vectors = 2, every = 0.0 }", &["problem.tangent.every = 0.0", "> 0"]),
    Case(8, "tangent = { vectors = 2, every = 0.1, transient = 1.0 }", &["problem.tangent.transient", "end_time"]),
    Case(5, "points = [4, 1]\ntangent = { vectors = 9, every = 0.1 }", &["problem.tangent.vectors", "directions"]),
    Case(10, "time_step = 0.0", &["method.time_step = 0.0", "> 0"]),
    Case(10, "scheme = \"etdrk4\"", &["method.time_step", "is needed"]),
    Case(10, "time_step = 0.01\nscheme = \"rk4\"", &["method.scheme = \"rk4\"", "\"etdrk4\""]),
    Case(10, "step_control = \"cfl\"\nscheme = \"if_rk4\"\nmin_step = 100.0", &["method.min_step = 100", "the CFL limit"]),
    Case(10, "step_control = \"cfl\"\nscheme = \"cnab2\"", &["method.step_control", "no stability limit"]),
    Case(10, "time_step = 0.01\nstep_control = \"error\"\nscheme = \"etdrk4\"", &["method.step_control", "if_rk4"]),
];

/// What is known of values and files alone.
const ONLY_RUN: &[&str] = &["not finite", "no solution", "the CFL limit", "directions"];

#[test]
fn malformed_inputs_are_refused_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    // Of three lines where an expression is shown with its place.
    let good = refused_alike(dir.path(), &GOOD, CASES, 3, |file, _| file.to_string());
    assert!([0, 3].contains(&good), "the input that the cases spoil is good: {good}");
    check_refuses(dir.path(), CASES, 3, ONLY_RUN);
}

const LINE: [&str; 8] = [
    "solver = \"spectral\"", // 1
    "[run]",                 // 2
    "max_steps = 2",         // 3
    "[problem]",             // 4
    "points = [32]\nend_time = 1.0\nensemble = { members = 3 }\ninitial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 2.0 } }", // 5
    "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"0.1*lap(u) - u*dx(u)\" } }", // 6
    "[method]",                                                                                    // 7
    "step_control = \"cfl\"\nscheme = \"if_rk4\"\nmax_step = 0.1",                                 // 8
];

#[rustfmt::skip]
const LINE_CASES: &[Case] = &[
    Case(6, "equation = { kind = \"written\", fields = [\"u\", \"u_spread\"], rhs = { u = \"-u*dx(u)\", u_spread = \"lap(u_spread)\" } }", &["problem.equation", "mean_square_u_spread", "written twice"]),
    Case(6, "equation = { kind = \"written\", fields = [\"u\", \"mean_square_u\"], rhs = { u = \"-u*dx(u)\", mean_square_u = \"u^2\" } }", &["problem.equation", "\"mean_square_u\" would be written twice"]),
    Case(6, "equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"-dx(u) + 0.05*lap(u) + 0.01*u^2\" } }", &["method.step_control", "nothing is carried along"]),
    Case(6, "equation = { kind = \"fisher_kpp\", diffusivity = 1.0 }", &["method.step_control", "nothing is carried along"]),
];

#[test]
fn names_that_clash_in_ensembles_and_cfl_without_speeds_are_refused_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let good = refused_alike(dir.path(), &LINE, LINE_CASES, 3, |file, _| file.to_string());
    assert_eq!(good, 3, "the input that the cases spoil is good");
    check_refuses(dir.path(), LINE_CASES, 3, ONLY_RUN);
}

#[test]
fn an_ensemble_that_keeps_spectra_and_no_fields_is_drawn() {
    let text = "solver = \"spectral\"\n[problem]\npoints = [16]\nend_time = 0.2\n\
                equation = { kind = \"burgers\", viscosity = 0.1 }\nensemble = { members = 3 }\n\
                initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 2.0 } }\n\
                output = { whole = false, spectra = true, every = 0.1 }\n[method]\ntime_step = 0.05\n";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("case.toml"), text).unwrap();
    assert_eq!(spanwise(1, &["run", "case.toml", "--quiet"], dir.path()).code(), 0);
    let drawn = spanwise(1, &["plot", "case.out", "-o", "case.svg"], dir.path());
    assert_eq!(drawn.code(), 0, "{drawn:?}");
    let svg = fs::read_to_string(dir.path().join("case.svg")).unwrap();
    assert!(svg.contains("Mean spectrum at t = 0.2") && svg.contains("energy: mean ± spread"), "{svg}");
}

const DRIVEN: [&str; 10] = [
    "solver = \"spectral\"", // 1
    "[run]",                 // 2
    "max_steps = 2",         // 3
    "[problem]",             // 4
    "points = [8, 8, 8]",    // 5
    "end_time = 1.0",        // 6
    "equation = { kind = \"navier_stokes_3d\", viscosity = 0.1, forcing = { kind = \"power\", power = 0.1, wavenumber = 1.8 } }", // 7
    "initial = { kind = \"named\", name = \"taylor_green\" }", // 8
    "[method]",                                                // 9
    "time_step = 0.01",                                        // 10
];

/// The Taylor–Green flow has wavenumbers √3 alone.
#[rustfmt::skip]
const DRIVEN_CASES: &[Case] = &[
    Case(7, "equation = { kind = \"navier_stokes_3d\", viscosity = 0.1, forcing = { kind = \"power\", power = 0.1, wavenumber = 1.5 } }", &["problem.equation.forcing.wavenumber = 1.5", "at rest"]),
    Case(8, "initial = { kind = \"expressions\", fields = { velocity_x = \"0\" } }", &["problem.equation.forcing.wavenumber = 1.8", "at rest"]),
    Case(8, "initial = { kind = \"expressions\", fields = { velocity_x = \"sin(2*y)\" } }", &["problem.equation.forcing.wavenumber = 1.8", "at rest"]),
];

#[test]
fn a_drive_of_constant_power_is_refused_where_nothing_moves_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let good = refused_alike(dir.path(), &DRIVEN, DRIVEN_CASES, 3, |file, _| file.to_string());
    assert_eq!(good, 3, "the input that the cases spoil is good");
}

const WALLS: [&str; 10] = [
    "solver = \"spectral\"", // 1
    "[run]",                 // 2
    "max_steps = 2",         // 3
    "[problem]",             // 4
    "points = [12, 10]",     // 5
    "end_time = 1.0",        // 6
    "equation = { kind = \"channel\", viscosity = 0.1, drive = { kind = \"gradient\", force = 0.1 } }", // 7
    "lengths = [1.0, \"2*pi\"]", // 8
    "[method]",              // 9
    "time_step = 0.01",      // 10
];

#[rustfmt::skip]
const WALL_CASES: &[Case] = &[
    Case(8, "output = { probes = [[0.5, 0.3], [7.5, 0.3]] }", &["problem.output.probes", "probe 2", "z = 7.5", "the walls, 0 to 6.28"]),
    Case(8, "output = { probes = [[-0.01, 0.3]] }", &["problem.output.probes", "z = -0.01", "outside"]),
    Case(8, "output = { slices = [{ axis = \"z\", at = 7.5 }] }", &["problem.output.slices", "z = 7.5", "outside"]),
    Case(8, "output = { times = [7.0] }", &["problem.output.times[0] = 7.0", "never reached", "problem.end_time = 1"]),
    Case(8, "dealiasing = \"padding\"", &["problem.dealiasing", "always padded"]),
    Case(8, "dealiasing = \"truncation\"", &["problem.dealiasing", "always padded"]),
    Case(8, "process_grid = [5, 7]", &["problem.process_grid = [5, 7]: must be two positive numbers"]),
    Case(8, "output = { fields = [\"p\"] }", &["problem.output.fields", "\"p\" is not a field", "w, u"]),
    Case(8, "output = { slices = [{ axis = \"y\", at = 0.5 }] }", &["problem.output.slices", "\"y\" is not an axis"]),
    Case(8, "output = { statistics = { profile = \"y\" } }", &["problem.output.statistics.profile", "\"y\" is not an axis"]),
    Case(8, "output = { whole = false, every = 0.1 }", &["problem.output.whole", "leaves nothing for the snapshots"]),
    Case(8, "initial = { kind = \"expressions\", fields = { qq = \"1\" } }", &["problem.initial.fields.qq", "the flow has w, u"]),
    Case(8, "initial = { kind = \"expressions\", fields = { u = \"foo(x)\" } }", &["problem.initial.fields.u", "foo"]),
    Case(8, "initial = { kind = \"named\", name = \"laminar\" }", &["problem.initial.kind", "between walls"]),
    Case(7, "equation = { kind = \"channel\", viscosity = 1e-300, drive = { kind = \"gradient\", force = 0.1 } }", &["problem.equation.drive", "too large for this viscosity"]),
    Case(8, "product_degree = 3", &["problem.product_degree", "always padded"]),
    Case(8, "initial = { kind = \"expressions\", fields = { u = \"log(x-1)\" } }", &["problem.initial", "the first state is not finite everywhere"]),
];

const STEADY: [&str; 9] = [
    "solver = \"spectral\"",                                           // 1
    "[run]",                                                           // 2
    "max_steps = 1",                                                   // 3
    "[problem]",                                                       // 4
    "points = [12, 10]",                                               // 5
    "equation = { kind = \"poisson\", right_hand_side = \"cos(y)\" }", // 6
    "lengths = [1.0, \"2*pi\"]",                                       // 7
    "[method]",                                                        // 8
    "time_error = true",                                               // 9
];

/// Steady problems without a solution are refused before their only step.
#[rustfmt::skip]
const STEADY_CASES: &[Case] = &[
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"1 + cos(y)\" }", &["problem.equation.right_hand_side = \"1 + cos(y)\"", "no solution", "mean"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"cos(y)\" }\noutput = { every = 0.1 }", &["problem.output", "runs in time"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"1/y\" }", &["problem.equation.right_hand_side", "not finite everywhere"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"0\", lower = [{ value = \"log(x-1)\" }], upper = [{ value = \"0\" }] }", &["problem.equation.lower", "not finite everywhere"]),
    Case(6, "equation = { kind = \"biharmonic\", right_hand_side = \"1 + cos(y)\" }", &["problem.equation.right_hand_side", "no solution", "mean"]),
    Case(6, "equation = { kind = \"helmholtz\", lambda = -4, right_hand_side = \"cos(2*y)\" }", &["problem.equation.right_hand_side = \"cos(2*y)\"", "no solution", "k² = 4"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"2\", lower = [{ derivative = 1 }], upper = [{ derivative = 1, value = \"1\" }] }", &["problem.equation.right_hand_side = \"2\"", "no solution", "balance"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"cos(y - t)\" }", &["problem.equation.right_hand_side", "a steady problem has no time"]),
    Case(7, "lengths = [1.0, \"2*pi\"]\nend_time = 1.0", &["problem.end_time", "runs in time"]),
    Case(7, "lengths = [1.0, \"2*pi\"]\ninitial = { kind = \"expressions\", fields = { u = \"x\" } }", &["problem.initial", "runs in time"]),
    Case(7, "lengths = [1.0, \"2*pi\"]\ndealiasing = \"none\"", &["problem.dealiasing", "equations with products"]),
    Case(9, "time_step = 0.1", &["method", "runs in time"]),
];

/// Of ∇²u between walls.
#[rustfmt::skip]
const WALLED_CASES: &[Case] = &[
    Case(5, "points = [2, 10]", &["problem.points[0]", "at least 3 from wall to wall"]),
    Case(5, "points = [12, 2]", &["problem.points[1]", "keeps no mode but the mean with 2 points"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"foo(z)\", lower = [{}], upper = [{}] }", &["problem.equation.right_hand_side", "foo"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"1+\", lower = [{}], upper = [{}] }", &["problem.equation.right_hand_side", "1+"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"1\", lower = [{ value = \"y\" }], upper = [{}] }", &["problem.equation.lower[0].value", "y"]),
    Case(6, "equation = { kind = \"poisson\", right_hand_side = \"1\", lower = [{ value = \"t\" }], upper = [{}] }", &["problem.equation.lower[0].value", "no time"]),
    Case(5, "points = [12, 20000000]", &["problem.points[1]", "at most 16777216"]),
];

const STABILITY: [&str; 6] = [
    "solver = \"spectral\"",                           // 1
    "[run]",                                           // 2
    "max_steps = 1",                                   // 3
    "[problem]",                                       // 4
    "points = [32]",                                   // 5
    "equation = { kind = \"rayleigh_benard_onset\" }", // 6
];

/// The walls of a stability problem are where its units put them.
#[rustfmt::skip]
const STABILITY_CASES: &[Case] = &[
    Case(6, "equation = { kind = \"rayleigh_benard_onset\" }\nlengths = [2.0]", &["problem.lengths", "where its units put them"]),
    Case(6, "equation = { kind = \"rayleigh_benard_onset\" }\norigin = [1.0]", &["problem.origin", "where its units put them"]),
    Case(6, "equation = { kind = \"rayleigh_benard_onset\" }\nprocess_grid = [1, 1]", &["problem.process_grid", "where its units put them"]),
    Case(6, "equation = { kind = \"rayleigh_benard_onset\" }\nshare_memory = true", &["problem.share_memory", "where its units put them"]),
    Case(6, "equation = { kind = \"rayleigh_benard_onset\" }\nshare_memory = false", &["problem.share_memory", "where its units put them"]),
];

#[test]
fn what_has_no_place_or_no_solution_between_walls_is_refused_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let good = refused_alike(dir.path(), &WALLS, WALL_CASES, 3, |file, _| file.to_string());
    assert_eq!(good, 3, "the input that the cases spoil is good");
    check_refuses(dir.path(), WALL_CASES, 3, ONLY_RUN);
    let dir = tempfile::tempdir().unwrap();
    let good = refused_alike(dir.path(), &STEADY, STEADY_CASES, 3, |file, _| file.to_string());
    assert_eq!(good, 0, "the input that the cases spoil is good");
    check_refuses(dir.path(), STEADY_CASES, 3, ONLY_RUN);
    let dir = tempfile::tempdir().unwrap();
    let mut walled = STEADY;
    walled[5] = "equation = { kind = \"poisson\", right_hand_side = \"1\", lower = [{}], upper = [{}] }";
    let good = refused_alike(dir.path(), &walled, WALLED_CASES, 3, |file, _| file.to_string());
    assert_eq!(good, 0, "the input that the cases spoil is good");
    check_refuses(dir.path(), WALLED_CASES, 3, ONLY_RUN);
    let dir = tempfile::tempdir().unwrap();
    let good = refused_alike(dir.path(), &STABILITY, STABILITY_CASES, 3, |file, _| file.to_string());
    assert_eq!(good, 0, "the input that the cases spoil is good");
}

/// Numbers that no rank can make sense of, in a layer heated from below.
#[rustfmt::skip]
const LAYER_CASES: &[Case] = &[
    Case(5, "points = [4, 10]", &["problem.points", "at least 6 points"]),
    Case(7, "equation = { kind = \"rayleigh_benard\", rayleigh = -1.0, prandtl = 1.0 }", &["problem.equation.rayleigh", "-1"]),
    Case(7, "equation = { kind = \"helmholtz\", right_hand_side = \"1\" }", &["problem.equation.lambda", "is needed"]),
    Case(7, "equation = { kind = \"orr_sommerfeld\", profile = \"poiseuille\", reynolds = 1e4, wavenumber = 1.0 }", &["problem.points", "has 2 axes"]),
    Case(8, "lengths = [2.0, \"2*pi\"]", &["problem.lengths", "height of the layer", "not 2"]),
    Case(8, "lengths = [1.0, 2.0]\norigin = [1e17, 0.0]", &["problem.origin[0] = 1e17", "times the length"]),
    Case(8, "precision = \"f32\"", &["problem.precision", "f64"]),
];

#[test]
fn check_refuses_numbers_between_walls_as_run_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = WALLS;
    layer[6] = "equation = { kind = \"rayleigh_benard\", rayleigh = 2000.0, prandtl = 1.0 }";
    assert_eq!(refused_alike(dir.path(), &layer, LAYER_CASES, 3, |file, _| file.to_string()), 3);
    assert_eq!(spanwise(1, &["check", "good.toml"], dir.path()).code(), 0);
    check_refuses(dir.path(), LAYER_CASES, 3, ONLY_RUN);
}

#[test]
fn a_right_hand_side_that_is_no_polynomial_is_warned_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"spectral\"\n[run]\nmax_steps = 1\n[problem]\npoints = [32]\nend_time = 1.0\n\
                initial = { kind = \"expressions\", fields = { u = \"cos(x)\" } }\n[problem.equation]\n\
                kind = \"written\"\nfields = [\"u\"]\nrhs.u = \"sin(u) + lap(u)\"\n[method]\ntime_step = 0.01\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let warnings = |ended: &program::Ended| ended.messages().iter().filter(|m| m.contains("warning")).count();
    for &ranks in program::rank_counts() {
        let ended = spanwise(ranks, &["run", "a.toml", "--force"], dir.path());
        assert_eq!((ended.code(), warnings(&ended)), (3, 1), "{ended:?}");
        assert!(ended.stderr.contains("no polynomial") && ended.stderr.contains("problem.product_degree"), "{ended:?}");
    }
    assert!(fs::read_to_string(dir.path().join("a.out/run.log")).unwrap().contains("warning: the right-hand side"));
    assert_eq!(warnings(&spanwise(1, &["run", "a.toml", "--force", "--quiet"], dir.path())), 0);
    let told = spanwise(1, &["run", "a.toml", "--force", "--set", "problem.product_degree=5"], dir.path());
    assert_eq!(warnings(&told), 0, "{told:?}");
    assert!(spanwise(1, &["check", "a.toml"], dir.path()).stdout.contains("warning"));
}

/// On 32 points at most 10 waves of Burgers' equation are kept: of sin x + cos 12x half of the mean square is lost, and
/// cos 40x, which the grid takes for cos 8x, comes on top of that.
#[test]
fn what_a_run_cannot_hold_is_warned_of_before_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let base = "solver = \"spectral\"\n[run]\nmax_steps = 1\n[problem]\npoints = [32]\nend_time = 100\n";
    let burgers = "equation = { kind = \"burgers\", viscosity = 0.1 }\n";
    let first = |u: &str| {
        let initial = format!("initial = {{ kind = \"expressions\", fields = {{ u = \"{u}\" }} }}\n");
        format!("{base}{burgers}{initial}[method]\ntime_step = 0.01\n")
    };
    let random = format!(
        "{base}{burgers}initial = {{ kind = \"random\", spectrum = {{ kind = \"von_karman\", peak = 1e9 }} }}\n\
         [method]\ntime_step = 0.01\n"
    );
    let wave = "equation = { kind = \"advection_diffusion\", velocity = [1.0] }\n\
                initial = { kind = \"named\", name = \"wave\", parameters = { waves_x = 5 } }\n";
    let steps = |scheme: &str| format!("{base}{wave}[method]\nscheme = \"{scheme}\"\ntime_step = 0.2\n");
    for (text, words) in [
        (first("sin(x)"), ""),
        (first("sin(x) + cos(12*x)"), "the first state of u is off by 5.0e-1 of its mean square"),
        (first("cos(40*x)"), "the first state of u is off by"),
        (random, "the kept modes hold"),
        (steps("sbdf2"), ""),
        (steps("sbdf3"), "amplifies undamped waves of L"),
    ] {
        fs::write(dir.path().join("case.toml"), text).unwrap();
        for &ranks in program::rank_counts() {
            let ended = spanwise(ranks, &["run", "case.toml", "--force"], dir.path());
            let warned = ended.messages().iter().filter(|m| m.contains("warning")).count();
            assert_eq!((ended.code(), warned), (3, usize::from(!words.is_empty())), "{words}: {ended:?}");
            assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        }
        let without = spanwise(1, &["run", "case.toml", "--force", "--progress", "none"], dir.path());
        assert!(without.stderr.contains(words), "{words}: {without:?}");
        let report = fs::read_to_string(dir.path().join("case.out/report.json")).unwrap();
        assert_eq!(report.contains("\"warnings\": []"), words.is_empty(), "{report}");
    }
    // Steady: 9 waves on 10 points.
    let steady = |equation: &str| {
        let equation = format!("equation = {{ kind = \"poisson\", {equation} }}");
        format!("solver = \"spectral\"\n[problem]\npoints = [12, 10]\nlengths = [1.0, \"2*pi\"]\n{equation}\n")
    };
    for (text, words) in [
        (steady("right_hand_side = \"cos(y)\""), ""),
        (steady("right_hand_side = \"cos(9*y)\""), "the right-hand side is off by"),
        (
            steady("right_hand_side = \"0\", lower = [{ value = \"cos(9*x)\" }], upper = [{}]"),
            "a condition at the lower wall is off by",
        ),
        (
            steady("right_hand_side = \"exp(-2500*(z-0.5)^2)\", lower = [{}], upper = [{}]"),
            "the right-hand side is off by",
        ),
    ] {
        fs::write(dir.path().join("case.toml"), text).unwrap();
        let ended = spanwise(1, &["run", "case.toml", "--force"], dir.path());
        let warned = ended.messages().iter().filter(|m| m.contains("warning")).count();
        assert_eq!((ended.code(), warned), (0, usize::from(!words.is_empty())), "{words}: {ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        assert!(dir.path().join("case.out/output.xdmf").exists(), "{ended:?}");
    }
    let long = first("sin(x)").replace("max_steps = 1\n", "").replace("0.01", "0.0001");
    fs::write(dir.path().join("case.toml"), long).unwrap();
    let told = spanwise(1, &["check", "case.toml"], dir.path());
    assert!(told.code() == 0 && told.stdout.contains("run.max_steps = 100000 ends the run before"), "{told:?}");
    // What has no effect is told, of members too.
    let convection =
        "equation = { kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 1 }\npoints = [17, 16]\nlengths = [1, 2]\n";
    for (problem, words) in [
        (
            format!("points = [32]\n{burgers}ensemble = {{ members = 3 }}\n"),
            &["all members are equal", "tolerance has", "method.max_change has no effect on fixed steps of etdrk4"][..],
        ),
        (convection.to_string(), &["method.tolerance has no effect with step_control = \"fixed\""]),
        (
            "points = [32]\ndealiasing = \"none\"\nproduct_degree = 2\n\
             initial = { kind = \"expressions\", fields = { u = \"a*sin(x)\" }, parameters = { a = 1, b = 2 } }\n\
             equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"c*lap(u)\" }, define = { e = \"d*u\" }, \
             parameters = { c = \"1/f\", d = 1, f = 2, g = 3 }, \
             random = [{ field = \"u\", amplitude = 0.1, band = [1, 2] }] }\n"
                .to_string(),
            &[
                "no expression uses problem.initial.parameters.b\n",
                "no expression uses problem.equation.parameters.g\n",
                "problem.product_degree has no effect with dealiasing = \"none\"",
            ],
        ),
    ] {
        let text = format!("solver = \"spectral\"\n[run]\nmax_steps = 1\n[problem]\nend_time = 1\n{problem}");
        fs::write(
            dir.path().join("case.toml"),
            text + "[method]\ntime_step = 0.01\ntolerance = 1e-3\nmax_change = 1.4\n",
        )
        .unwrap();
        let (ran, checked) = (
            spanwise(1, &["run", "case.toml", "--force"], dir.path()),
            spanwise(1, &["check", "case.toml"], dir.path()),
        );
        assert_eq!((ran.code(), checked.code()), (3, 0), "{ran:?} {checked:?}");
        let log = fs::read_to_string(dir.path().join("case.out/run.log")).unwrap();
        for words in words {
            assert!(log.contains(words) && checked.stdout.contains(words), "{words}: {log} {checked:?}");
        }
    }
    // Velocities of one unit of time are others in another, and are said to be.
    let follow = |units: &str, initial: &str| {
        let equation = format!("equation = {{ kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 1{units} }}\n");
        let problem = format!("points = [17, 16]\nlengths = [1, 2]\nend_time = 1\n{equation}{initial}");
        format!("solver = \"spectral\"\n[run]\nmax_steps = 1\n[problem]\n{problem}[method]\ntime_step = 1e-3\n")
    };
    fs::write(dir.path().join("first.toml"), follow("", "")).unwrap();
    assert_eq!(spanwise(1, &["run", "first.toml"], dir.path()).code(), 3);
    for (units, warned) in [("", false), (", units = \"free_fall\"", true)] {
        fs::write(
            dir.path().join("case.toml"),
            follow(units, "initial = { kind = \"file\", file = \"first.out/output.h5\" }\n"),
        )
        .unwrap();
        for command in [&["run", "case.toml", "--force"][..], &["check", "case.toml"]] {
            let told = spanwise(1, command, dir.path());
            let all = format!("{}{}", told.stdout, told.stderr);
            assert_eq!(all.contains("velocities in other units of time"), warned, "{told:?}");
        }
    }
}

#[test]
fn a_run_that_diverges_ends_with_one_message_and_keeps_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"spectral\"\n[run]\nmax_steps = 500\n[checkpoint]\nevery = 2\n[problem]\npoints = [64]\n\
                end_time = 1000\nequation = { kind = \"burgers\", viscosity = 1e-3 }\n\
                initial = { kind = \"expressions\", fields = { u = \"10*sin(x)\" } }\n[method]\ntime_step = 0.05\n";
    fs::write(dir.path().join("case.toml"), text).unwrap();
    let ended = spanwise(1, &["run", "case.toml", "--progress", "none"], dir.path());
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("diverged at step") && ended.stderr.contains("time_step"), "{ended:?}");
    assert_eq!(ended.messages().len(), 1, "{ended:?}");
    let resumed = spanwise(1, &["run", "case.toml", "--resume", "--set", "run.max_steps=2"], dir.path());
    assert_eq!(resumed.code(), 3, "the checkpoint is good: {resumed:?}");
}

#[test]
fn a_run_goes_on_to_a_later_end_and_not_with_another_equation() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"spectral\"\n[problem]\npoints = [32]\nend_time = 0.5\n\
                equation = { kind = \"burgers\", viscosity = 0.1 }\n\
                initial = { kind = \"expressions\", fields = { u = \"sin(x)\" } }\n[method]\ntime_step = 0.01\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let run = |more: &[&str]| spanwise(1, &[&["run", "a.toml", "--quiet"][..], more].concat(), dir.path());
    assert_eq!(run(&["--set", "run.max_steps=20"]).code(), 3);
    let other = run(&["--resume", "--set", "problem.equation.viscosity=0.2"]);
    assert!(other.code() == 2 && other.stderr.contains("another [problem] (equation differs)"), "{other:?}");
    assert_eq!(run(&["--resume", "--set", "problem.end_time=0.8", "--set", "problem.process_grid=[1,1]"]).code(), 0);
    let report = fs::read_to_string(dir.path().join("a.out/report.json")).unwrap();
    assert!(report.contains("\"steps\": 80"), "{report}");
    // Steps of another size, from there on.
    let finer = ["--resume", "--set", "problem.end_time=1.0", "--set", "method.time_step=0.005"];
    assert_eq!(run(&finer).code(), 0);
    let report = fs::read_to_string(dir.path().join("a.out/report.json")).unwrap();
    assert!(report.contains("\"steps\": 120"), "{report}");
    let past = run(&["--resume", "--set", "problem.end_time=0.5"]);
    assert!(past.code() == 2 && past.stderr.contains("past problem.end_time = 0.5"), "{past:?}");
}
