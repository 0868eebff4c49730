//! Every closed form, carried in time and compared with itself.

use super::run::{CIRCLE, Run, input, order, padded};
use crate::solvers::spectral::domain::Domain;

struct Case {
    what: &'static str,
    equation: &'static str,
    domain: fn() -> Domain,
    initial: (&'static str, &'static [(&'static str, f64)]),
    end: f64,
    steps: usize,
    /// Largest coefficient error over the largest coefficient.
    error: f64,
}

const CASES: &[Case] = &[
    Case {
        what: "Cole–Hopf, decaying by e^(−0.5)",
        equation: "kind = 'burgers'\nviscosity = 0.5",
        domain: || padded(&[40], &[CIRCLE], 2, false),
        initial: ("cole_hopf", &[("offset", 2.0)]),
        end: 1.0,
        steps: 200,
        error: 1e-11,
    },
    Case {
        what: "one soliton; e^(−√c L/2) = e^(−40)",
        equation: "kind = 'kdv'",
        domain: || padded(&[100], &[40.0], 2, false),
        initial: ("soliton", &[("speed", 4.0)]),
        end: 2.0,
        steps: 8000,
        error: 2e-9,
    },
    Case {
        what: "two solitons through each other, other factors",
        equation: "kind = 'kdv'\nsteepening = 1.0\ndispersion = 0.5",
        domain: || padded(&[240], &[60.0], 2, false),
        initial: ("two_solitons", &[("fast_position", 0.4), ("slow_position", 0.45)]),
        end: 2.0,
        steps: 8000,
        error: 1e-7,
    },
    Case {
        what: "a bright soliton moving by a fifth of the box; e^(−a L/2) = e^(−30)",
        equation: "kind = 'nonlinear_schroedinger'\nfocusing = 2.0",
        domain: || padded(&[180], &[40.0], 3, true),
        initial: ("soliton", &[("amplitude", 1.5), ("velocity", 2.0)]),
        end: 4.0,
        steps: 4000,
        error: 2e-9,
    },
    Case {
        what: "a plane wave of finite amplitude in three dimensions",
        equation: "kind = 'nonlinear_schroedinger'\nfocusing = -1.0",
        domain: || padded(&[2, 2, 2], &[CIRCLE; 3], 3, true),
        initial: ("plane_wave", &[("waves", 2.0), ("amplitude", 0.7)]),
        end: 2.0,
        steps: 200,
        error: 2e-10,
    },
    Case {
        what: "Taylor–Green vortices: the nonlinear term vanishes",
        equation: "kind = 'vorticity_2d'\nviscosity = 0.05\ndrag = 0.1",
        domain: || padded(&[10, 8], &[CIRCLE, 5.0], 2, false),
        initial: ("taylor_green", &[("waves", 2.0)]),
        end: 3.0,
        steps: 20,
        error: 1e-13,
    },
    Case {
        what: "Kolmogorov's laminar flow stays",
        equation: "kind = 'vorticity_2d'\nviscosity = 0.5\ndrag = 0.1\nforcing = { kind = 'kolmogorov', amplitude = 2.0, waves = 3 }",
        domain: || padded(&[6, 8], &[CIRCLE, CIRCLE], 2, false),
        initial: ("laminar", &[]),
        end: 1.0,
        steps: 100,
        error: 1e-8,
    },
    Case {
        what: "ABC flow, a Beltrami field, decays as e^(−νk²t)",
        equation: "kind = 'navier_stokes_3d'\nviscosity = 0.1",
        domain: || padded(&[5, 5, 5], &[CIRCLE; 3], 2, false),
        initial: ("abc", &[("a", 1.0), ("b", 0.7), ("c", 0.43), ("waves", 2.0)]),
        end: 1.0,
        steps: 20,
        error: 1e-12,
    },
    Case {
        what: "Taylor–Green vortices carried by a mean flow: Galilean invariance",
        equation: "kind = 'navier_stokes_3d'\nviscosity = 0.05",
        domain: || padded(&[4, 4, 4], &[CIRCLE; 3], 2, false),
        initial: ("taylor_green_2d", &[("mean_x", 1.0), ("mean_y", -0.5), ("mean_z", 0.3)]),
        end: 1.0,
        steps: 200,
        error: 1e-9,
    },
    Case {
        what: "a wave carried and damped: the exponential alone",
        equation: "kind = 'advection_diffusion'\nvelocity = [0.7, -1.3, 0.4]\ndiffusivity = 0.1",
        domain: || padded(&[3, 3, 3], &[CIRCLE, 5.0, 7.0], 1, false),
        initial: ("wave", &[("waves_x", 2.0), ("waves_y", -1.0), ("waves_z", 3.0)]),
        end: 4.0,
        steps: 1,
        error: 1e-13,
    },
    Case {
        what: "a Gaussian through the faces of the box and past its images",
        equation: "kind = 'advection_diffusion'\nvelocity = [1.0, 0.5]\ndiffusivity = 0.02",
        domain: || padded(&[40, 40], &[1.0, 1.0], 1, false),
        initial: ("gaussian", &[("width", 0.05)]),
        end: 3.3,
        steps: 1,
        error: 1e-12,
    },
    Case {
        what: "two Allen–Cahn fronts that stay; overlap e^(−28)",
        equation: "kind = 'allen_cahn'\ninterface_width = 1.0",
        domain: || padded(&[90], &[40.0], 3, false),
        initial: ("fronts", &[]),
        end: 4.0,
        steps: 800,
        error: 1e-9,
    },
    Case {
        what: "two Nagumo fronts that run; overlap e^(−35)",
        equation: "kind = 'allen_cahn'\ninterface_width = 1.0\nthreshold = 0.3",
        domain: || padded(&[150], &[100.0], 3, false),
        initial: ("fronts", &[]),
        end: 5.0,
        steps: 500,
        error: 1e-9,
    },
    Case {
        what: "two Fisher fronts that run; overlap e^(−41)",
        equation: "kind = 'fisher_kpp'\ndiffusivity = 1.0\ngrowth = 1.0",
        domain: || padded(&[150], &[200.0], 2, false),
        initial: ("fronts", &[("gap", 0.5)]),
        end: 3.0,
        steps: 400,
        error: 1e-9,
    },
    Case {
        what: "two Cahn–Hilliard fronts that stay; overlap e^(−28)",
        equation: "kind = 'cahn_hilliard'\ninterface_width = 1.0",
        domain: || padded(&[90], &[40.0], 3, false),
        initial: ("fronts", &[]),
        end: 0.1,
        steps: 1000,
        error: 1e-9,
    },
    Case {
        what: "a jet in geostrophic balance: steady at any speed",
        equation: "kind = 'shallow_water'\ngravity = 2.0\ndepth = 1.5\ncoriolis = 3.0",
        domain: || padded(&[4, 6], &[CIRCLE, CIRCLE], 2, false),
        initial: ("geostrophic_jet", &[("speed", 0.5), ("waves", 2.0)]),
        end: 5.0,
        steps: 200,
        error: 1e-13,
    },
    Case {
        what: "an internal wave of finite amplitude in two dimensions",
        equation: "kind = 'boussinesq'\nviscosity = 0.01\ndiffusivity = 0.01\nstratification = 4.0",
        domain: || padded(&[4, 6], &[CIRCLE, 4.0], 2, false),
        initial: ("internal_wave", &[("amplitude", 0.8), ("waves_x", 1.0), ("waves_up", 2.0)]),
        end: 3.0,
        steps: 400,
        error: 1e-9,
    },
    Case {
        what: "an internal wave of finite amplitude in three dimensions",
        equation: "kind = 'boussinesq'\nviscosity = 0.01\ndiffusivity = 0.01\nstratification = 4.0",
        domain: || padded(&[3, 3, 3], &[CIRCLE, 3.0, 4.0], 2, false),
        initial: ("internal_wave", &[("amplitude", 0.8), ("waves_x", -2.0), ("waves_up", 1.0)]),
        end: 3.0,
        steps: 400,
        error: 1e-9,
    },
];

#[test]
fn every_closed_form_is_followed_to_the_error_that_its_row_states() {
    let mut failures = Vec::new();
    for case in CASES {
        let (equation, domain) = (input(case.equation), (case.domain)());
        let (mut run, initial) = Run::<f64>::named(&equation, &domain, case.initial.0, case.initial.1);
        assert!(initial.exact, "{}: not marked as exact", case.what);
        run.advance(case.end, case.steps);
        let error = run.error(&initial);
        println!("{:9.2e} of {:7.0e}  {}", error, case.error, case.what);
        if error.is_nan() || error > case.error {
            failures.push(format!("{}: error {error:e} above {:e}", case.what, case.error));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_error_of_a_cole_hopf_wave_falls_with_the_fourth_power_of_the_step() {
    let (equation, domain) = (input("kind = 'burgers'\nviscosity = 0.1"), padded(&[40], &[CIRCLE], 2, false));
    let error = |steps: usize| {
        let (mut run, initial) = Run::<f64>::named(&equation, &domain, "cole_hopf", &[("offset", 1.5)]);
        run.advance(2.0, steps);
        run.error(&initial)
    };
    let order = order(error, 10);
    assert!((order - 4.0).abs() < 0.3, "order {order}");
}
