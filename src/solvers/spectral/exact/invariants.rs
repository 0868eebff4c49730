//! What does not change, or changes by a law: growth rates, budgets, symmetries, exact dealiasing.

use std::collections::BTreeMap;

use super::run::{CIRCLE, Run, input, order, padded, sum, truncated};
use crate::solvers::spectral::domain::{Axis, Basis, Domain};
use crate::solvers::spectral::fields::Fields;

/// One input per equation and dimension that every general test goes through; and its number of axes.
pub const ALL: &[(usize, &str)] = &[
    (1, "kind = 'advection_diffusion'\nvelocity = [1.0]\ndiffusivity = 0.1"),
    (3, "kind = 'advection_diffusion'\nvelocity = [1.0, 2.0, -1.0]\ndiffusivity = 0.1"),
    (1, "kind = 'burgers'\nviscosity = 0.1"),
    (1, "kind = 'kdv'\nviscosity = 0.1"),
    (1, "kind = 'nonlinear_schroedinger'"),
    (2, "kind = 'nonlinear_schroedinger'\nfocusing = -2.0"),
    (1, "kind = 'allen_cahn'\ninterface_width = 0.3"),
    (2, "kind = 'allen_cahn'\ninterface_width = 0.3\nthreshold = 0.2"),
    (3, "kind = 'allen_cahn'\ninterface_width = 0.3"),
    (2, "kind = 'cahn_hilliard'\ninterface_width = 0.3\nmobility = 2.0"),
    (1, "kind = 'fisher_kpp'\ndiffusivity = 0.2\ngrowth = 3.0"),
    (2, "kind = 'fisher_kpp'"),
    (1, "kind = 'gray_scott'\nfeed = 0.037\nkill = 0.06"),
    (2, "kind = 'gray_scott'\nfeed = 0.037\nkill = 0.06"),
    (1, "kind = 'kuramoto_sivashinsky'\ndrag = 0.1"),
    (2, "kind = 'kuramoto_sivashinsky'"),
    (1, "kind = 'swift_hohenberg'\ngrowth = 0.3"),
    (2, "kind = 'swift_hohenberg'\ngrowth = 0.3\nquadratic = 1.0"),
    (2, "kind = 'vorticity_2d'\nviscosity = 0.1\ndrag = 0.2"),
    (
        2,
        "kind = 'vorticity_2d'\nviscosity = 0.1\nhyperviscosity = { coefficient = 1e-4, order = 2 }\nforcing = { kind = 'kolmogorov' }",
    ),
    (3, "kind = 'navier_stokes_3d'\nviscosity = 0.1\nforcing = { kind = 'abc' }"),
    (3, "kind = 'navier_stokes_3d'\nviscosity = 0.1\nforcing = { kind = 'kolmogorov' }"),
    (3, "kind = 'navier_stokes_3d'\nviscosity = 0.1\ndrag = 0.1\nforcing = { kind = 'frozen', wavenumber = 2.1 }"),
    (3, "kind = 'navier_stokes_3d'\nviscosity = 0.1\nforcing = { kind = 'linear', rate = 0.4, wavenumber = 2.0 }"),
    (3, "kind = 'navier_stokes_3d'\nviscosity = 0.1\nforcing = { kind = 'power', power = 0.3, wavenumber = 2.1 }"),
    (2, "kind = 'shallow_water'\ncoriolis = 0.7\ndrag = 0.1"),
    (2, "kind = 'boussinesq'\nviscosity = 0.1\ndiffusivity = 0.2\nstratification = 3.0"),
    (3, "kind = 'boussinesq'\nviscosity = 0.1\ndiffusivity = 0.2\nstratification = 3.0"),
];

const SIDES: [f64; 3] = [CIRCLE, 5.0, 7.0];

/// A box of unlike sides (a cube for the ABC flow), K = 5, 4, 6 along x, y, z, on exactly as many points as the equation's degree needs.
pub fn small(dimension: usize, text: &str) -> Domain {
    let complex = input(text).about().complex;
    let (highest, sides) = (&[5, 4, 6][..dimension], if text.contains("abc") { [CIRCLE; 3] } else { SIDES });
    let probe = padded(highest, &sides[..dimension], 1, complex);
    padded(highest, &sides[..dimension], Run::<f64>::new(&input(text), &probe).degree(), complex)
}

pub fn largest(fields: &Fields<f64>) -> f64 {
    fields.arrays.iter().flatten().map(|z| z.norm()).fold(0.0, f64::max)
}

fn difference(a: &Fields<f64>, b: &Fields<f64>) -> f64 {
    largest(&sum(a, -1.0, b))
}

/// d/dt of the series along the equation's own right-hand side: a five-point stencil, exact for polynomials of degree 4
/// in the state.
fn rates(run: &mut Run<f64>) -> BTreeMap<&'static str, f64> {
    let start = run.state.clone();
    let direction = run.whole(0.0, &start);
    let h = 0.5 * largest(&start) / largest(&direction);
    let mut at = |factor: f64| {
        run.state = sum(&start, factor * h, &direction);
        run.series()
    };
    let [a, b, c, d] = [-2.0, -1.0, 1.0, 2.0].map(&mut at);
    run.state = start;
    a.keys().map(|&n| (n, (a[n] - 8.0 * b[n] + 8.0 * c[n] - d[n]) / (12.0 * h))).collect()
}

#[test]
fn each_mode_grows_at_the_rate_of_the_linear_theory() {
    // To first order in an amplitude of 1e-9. KS: k² − k⁴; Swift–Hohenberg: r − (1 − k²)².
    let cases: [(&str, fn(f64) -> f64); 2] = [
        ("kind = 'kuramoto_sivashinsky'", |k| k * k - k.powi(4)),
        ("kind = 'swift_hohenberg'\ngrowth = 0.2", |k| 0.2 - (1.0 - k * k) * (1.0 - k * k)),
    ];
    for (text, theory) in cases {
        for (dimension, mode) in [(1, 1.0), (1, 3.0), (1, 5.0), (2, 2.0)] {
            let domain = padded(&vec![8; dimension], &vec![22.0; dimension], 3, false);
            let word = if text.contains("swift") { "waves" } else { "mode" };
            let (mut run, _) = Run::<f64>::named(&input(text), &domain, "mode", &[(word, mode), ("amplitude", 1e-9)]);
            let before = run.values()[0][0];
            run.advance(2.0, 20);
            let rate = (run.values()[0][0] / before).ln() / 2.0;
            let expected = theory(CIRCLE / 22.0 * mode);
            assert!((rate - expected).abs() < 1e-8, "{text}, {dimension}-D, mode {mode}: {rate} against {expected}");
        }
    }
}

#[test]
fn energy_and_other_budgets_close_to_rounding() {
    // (equation, left side, right side as series with signs)
    type Budget = (&'static str, usize, &'static str, &'static [(f64, &'static str)]);
    let vorticity = "kind = 'vorticity_2d'\nviscosity = 0.1\ndrag = 0.3\nhyperviscosity = { coefficient = 1e-3, order = 2 }\n\
                     forcing = { kind = 'kolmogorov', waves = 2 }";
    let frozen = "kind = 'navier_stokes_3d'\nviscosity = 0.1\nforcing = { kind = 'frozen', wavenumber = 2.1 }";
    let linear = "kind = 'navier_stokes_3d'\nviscosity = 0.1\ndrag = 0.1\nforcing = { kind = 'linear', rate = 0.4 }";
    let kolmogorov = "kind = 'navier_stokes_3d'\nviscosity = 0.1\nforcing = { kind = 'kolmogorov' }";
    let power = "kind = 'navier_stokes_3d'\nviscosity = 0.1\ndrag = 0.1\n\
                 forcing = { kind = 'power', power = 0.3, wavenumber = 2.1 }";
    // No polynomials of the fields on the grid: conserved all the same, because N is the gradient of the sum over points.
    let trap =
        "kind = 'nonlinear_schroedinger'\nfocusing = -2.0\npotential = { kind = 'harmonic', frequencies = [1.3] }";
    let lattice = "kind = 'nonlinear_schroedinger'\npotential = { kind = 'lattice', depth = 3.0, waves = 2 }";
    let buoyant = "kind = 'boussinesq'\nviscosity = 0.1\ndiffusivity = 0.2\nstratification = 3.0";
    let budgets: &[Budget] = &[
        (
            "kind = 'advection_diffusion'\nvelocity = [1.0, 2.0]\ndiffusivity = 0.1",
            2,
            "square",
            &[(-1.0, "dissipation")],
        ),
        ("kind = 'burgers'\nviscosity = 0.1", 1, "energy", &[(-1.0, "dissipation")]),
        ("kind = 'burgers'\nviscosity = 0.1", 1, "momentum", &[]),
        ("kind = 'kdv'\nviscosity = 0.1", 1, "momentum", &[(-1.0, "dissipation")]),
        ("kind = 'kdv'", 1, "mass", &[]),
        ("kind = 'kdv'", 1, "momentum", &[]),
        ("kind = 'kdv'\nsteepening = 1.5\ndispersion = 0.4", 1, "hamiltonian", &[]),
        ("kind = 'kuramoto_sivashinsky'\ndrag = 0.1", 1, "energy", &[(1.0, "production"), (-1.0, "dissipation")]),
        ("kind = 'nonlinear_schroedinger'", 1, "mass", &[]),
        ("kind = 'nonlinear_schroedinger'", 1, "momentum_x", &[]),
        ("kind = 'nonlinear_schroedinger'\nfocusing = -2.0", 2, "energy", &[]),
        (trap, 1, "energy", &[]),
        (lattice, 2, "energy", &[]),
        ("kind = 'allen_cahn'\ninterface_width = 0.3", 2, "free_energy", &[(-1.0, "dissipation")]),
        ("kind = 'swift_hohenberg'\ngrowth = 0.3", 2, "free_energy", &[(-1.0, "dissipation")]),
        ("kind = 'cahn_hilliard'\ninterface_width = 0.3", 2, "mass", &[]),
        ("kind = 'fisher_kpp'\ngrowth = 2.0", 2, "mass", &[(1.0, "production")]),
        (vorticity, 2, "energy", &[(1.0, "injection"), (-1.0, "dissipation")]),
        (vorticity, 2, "enstrophy", &[(1.0, "enstrophy_injection"), (-1.0, "enstrophy_dissipation")]),
        (frozen, 3, "energy", &[(1.0, "injection"), (-1.0, "dissipation")]),
        (linear, 3, "energy", &[(1.0, "injection"), (-1.0, "dissipation")]),
        (kolmogorov, 3, "energy", &[(1.0, "injection"), (-1.0, "dissipation")]),
        (power, 3, "energy", &[(1.0, "injection"), (-1.0, "dissipation")]),
        ("kind = 'navier_stokes_3d'\nviscosity = 0.0", 3, "energy", &[]),
        ("kind = 'navier_stokes_3d'\nviscosity = 0.0", 3, "helicity", &[]),
        ("kind = 'vorticity_2d'\nviscosity = 0.0", 2, "energy", &[]),
        ("kind = 'vorticity_2d'\nviscosity = 0.0", 2, "enstrophy", &[]),
        ("kind = 'shallow_water'\ncoriolis = 0.7\ndrag = 0.1", 2, "elevation", &[]),
        (buoyant, 2, "kinetic", &[(1.0, "buoyancy_flux"), (-1.0, "dissipation")]),
        (buoyant, 2, "buoyancy_square", &[(-3.0, "buoyancy_flux"), (-1.0, "buoyancy_dissipation")]),
        (buoyant, 3, "kinetic", &[(1.0, "buoyancy_flux"), (-1.0, "dissipation")]),
        // With a mean flow and a mean buoyancy, which one budget counts and the other does not.
        (buoyant, 3, "buoyancy_square", &[(1.0, "buoyancy_production"), (-1.0, "buoyancy_dissipation")]),
        ("kind = 'gray_scott'\nfeed = 0.037\nkill = 0.06", 2, "mean_u+mean_v", &[(1.0, "supply")]),
    ];
    let mut failures = Vec::new();
    for (text, dimension, left, right) in budgets {
        let mut run = Run::<f64>::new(&input(text), &small(*dimension, text));
        run.randomise(7.0, 0.3, 5);
        let (rates, series) = (rates(&mut run), run.series());
        let left_value: f64 = left.split('+').map(|name| rates[name]).sum();
        let right_value: f64 = right.iter().map(|(sign, name)| sign * series[name]).sum();
        // What rounding can do: the right-hand side times the state.
        let state = run.state.clone();
        // In a potential the gradient of the energy is as large as the right-hand side, which it is but for a factor i.
        let (rate, size) = (largest(&run.whole(0.0, &state)), largest(&state));
        let products = rate * if text.contains("potential") { rate } else { size } * state.modes() as f64;
        let scale = products.max(left_value.abs()) + 1.0;
        let error = (left_value - right_value).abs() / scale;
        println!("{error:8.1e} of {scale:8.1e}: {left} of {}", text.lines().next().unwrap());
        if error.is_nan() || error > 1e-14 {
            failures.push(format!("{text}: d{left}/dt = {left_value:e}, budget {right_value:e}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_drive_of_constant_power_does_that_work_whatever_the_flow_and_resolution() {
    let text =
        "kind = 'navier_stokes_3d'\nviscosity = 0.05\nforcing = { kind = 'power', power = 0.3, wavenumber = 2.1 }";
    let mut run = Run::<f64>::new(&input(text), &small(3, text));
    run.randomise(7.0, 0.3, 5);
    for end in [0.0, 0.05, 0.1, 0.3] {
        if end > 0.0 {
            run.advance(end, 20);
        }
        let injection = run.series()["injection"];
        assert!((injection - 0.3).abs() < 1e-13, "t = {end}: {injection}");
    }
    // Nothing moves: no force along it can work.
    let mut rest = Run::<f64>::new(&input(text), &small(3, text));
    let (state, mut out) = (rest.state.clone(), rest.state.clone());
    let error = rest.try_rate(0.0, &state, &mut out).unwrap_err();
    assert!(error.to_string().contains("constant power"), "{error}");
}

#[test]
fn resolved_shallow_water_keeps_its_energy_and_potential_enstrophy() {
    // Cubic and rational in the fields: the second is kept only as far as the modes resolve it.
    let text = "kind = 'shallow_water'\ngravity = 2.0\ndepth = 1.5\ncoriolis = 0.7";
    let domain = padded(&[24, 24], &[CIRCLE, 5.0], 2, false);
    let (mut run, _) = Run::<f64>::named(&input(text), &domain, "bump", &[("height", 0.1), ("width", 0.15)]);
    let before = run.series();
    run.advance(0.5, 400);
    let (after, rates) = (run.series(), rates(&mut run));
    for name in ["energy", "potential_enstrophy", "elevation"] {
        let (rate, drift) = (rates[name], after[name] - before[name]);
        println!("{name}: {:.6}, rate {rate:.1e}, drift {drift:.1e}", after[name]);
        // The stencil of `rates` is exact for polynomials only.
        let rational = name == "potential_enstrophy";
        assert!(drift.abs() < 1e-10 && (rational || rate.abs() < 1e-10), "{name}: rate {rate:e}, drift {drift:e}");
    }
    // The parts do change: what is kept is the whole, which is more than its quadratic parts.
    let quadratic = after["kinetic"] + after["potential"];
    assert!(rates["kinetic"].abs() > 1e-3 && (quadratic - after["energy"]).abs() > 1e-5, "{quadratic}");
}

#[test]
fn the_energy_of_a_trapped_gas_in_its_ground_state_is_that_of_the_oscillator() {
    // ψ = (ω/π)^{1/4} e^{−ωx²/2} without interaction: ∫|∇ψ|²/2 + V|ψ|² = ω/2; the mean is over a length of 20.
    let omega = 1.2;
    let text = format!(
        "kind = 'nonlinear_schroedinger'\nfocusing = 0.0\npotential = {{ kind = 'harmonic', frequencies = [{omega}] }}"
    );
    let domain = padded(&[64], &[20.0], 3, true);
    let width = 1.0 / f64::sqrt(omega);
    let (mut run, _) = Run::<f64>::named(&input(&text), &domain, "gaussian", &[("width", width)]);
    let energy = 20.0 * run.series()["energy"];
    assert!((energy - 0.5 * omega).abs() < 1e-12, "{energy}");
}

#[test]
fn a_soliton_has_the_hamiltonian_of_its_closed_form() {
    // u = (c/2) sech²(√c x/2): ∫u_x²/2 = c^{5/2}/15, ∫u³ = 4 c^{5/2}/15, so that H = c^{5/2} (1/15 − 4/15) = −c^{5/2}/5.
    let c: f64 = 4.0;
    let domain = padded(&[120], &[40.0], 2, false);
    let (mut run, _) = Run::<f64>::named(&input("kind = 'kdv'"), &domain, "soliton", &[("speed", c)]);
    let hamiltonian = 40.0 * run.series()["hamiltonian"];
    assert!((hamiltonian + c.powf(2.5) / 5.0).abs() < 1e-10, "{hamiltonian}");
}

#[test]
fn mean_flow_and_buoyancy_exchange_nothing() {
    // In 3-D the random state has means of velocity and buoyancy: N² w drives the mean of b, which does no work.
    let text = "kind = 'boussinesq'\nviscosity = 0.1\ndiffusivity = 0.2\nstratification = 0.0";
    let mut run = Run::<f64>::new(&input(text), &small(3, text));
    run.randomise(7.0, 0.3, 5);
    let (rates, series) = (rates(&mut run), run.series());
    let error = (rates["buoyancy_square"] + series["buoyancy_dissipation"]).abs();
    assert!(error < 1e-12 * series["buoyancy_dissipation"], "{error}");
}

#[test]
fn the_free_energy_of_cahn_hilliard_falls_as_fast_as_it_dissipates() {
    let text = "kind = 'cahn_hilliard'\ninterface_width = 0.4\nmobility = 2.0";
    let mut run = Run::<f64>::new(&input(text), &small(2, text));
    run.randomise(7.0, 0.3, 5);
    // On 4K + 1 points the mean of a quartic is exact.
    fn free_energy(run: &mut Run<f64>) -> f64 {
        let grid = run.values().remove(0);
        let bulk = grid.iter().map(|u| 0.25 * (u * u - 1.0) * (u * u - 1.0)).sum::<f64>() / grid.len() as f64;
        bulk + run.series()["gradient_energy"]
    }
    let start = run.state.clone();
    let direction = run.whole(0.0, &start);
    let h = 0.5 * largest(&start) / largest(&direction);
    let [a, b, c, d] = [-2.0, -1.0, 1.0, 2.0].map(|factor| {
        run.state = sum(&start, factor * h, &direction);
        free_energy(&mut run)
    });
    run.state = start;
    let (rate, dissipation) = ((a - 8.0 * b + 8.0 * c - d) / (12.0 * h), run.series()["dissipation"]);
    assert!((rate / dissipation + 1.0).abs() < 1e-11, "{rate} against −{dissipation}");

    // And along a run it never rises, while the mass stays.
    let (mut run, _) = Run::<f64>::named(&input(text), &small(2, text), "cosines", &[("mean", 0.2), ("waves", 1.0)]);
    let (mass, mut energy) = (run.series()["mass"], free_energy(&mut run));
    for step in 1..=40 {
        run.advance(0.05 * step as f64, 50);
        let now = free_energy(&mut run);
        assert!(now <= energy, "the free energy rose from {energy} to {now} before t = {}", run.time);
        energy = now;
        assert!((run.series()["mass"] - mass).abs() < 1e-15);
    }
}

#[test]
fn dealiasing_is_exact_the_same_n_on_twice_the_points_and_not_on_one_point_less() {
    for (dimension, text) in ALL {
        let domain = small(*dimension, text);
        let rate_on = |points: &dyn Fn(&Axis) -> usize| {
            let mut domain = domain.clone();
            let own = 3 - domain.dimension;
            domain.axes[own..].iter_mut().for_each(|axis| axis.points = points(axis));
            let mut run = Run::<f64>::new(&input(text), &domain);
            run.randomise(7.0, 0.3, 5);
            let state = run.state.clone();
            run.rate(0.0, &state)
        };
        let (here, finer) = (rate_on(&|axis| axis.points), rate_on(&|axis| 2 * axis.points + 3));
        let error = difference(&here, &finer) / largest(&finer).max(1.0);
        assert!(error < 1e-13, "{text}: N changes by {error:e} on a finer grid");
        let coarser = rate_on(&|axis| axis.points - 1);
        let linear = text.contains("advection");
        let aliased = difference(&coarser, &finer) / largest(&finer).max(1.0);
        assert!(linear || aliased > 1e-6, "{text}: one point less changes N by only {aliased:e}");
    }
}

#[test]
fn two_modes_of_burgers_make_exact_zeros_elsewhere() {
    // 2/3 truncation of 32 points keeps K = 10; modes 9 and 10 make modes 18, 19, 20, which are dropped, and mode 1.
    let domain = truncated(&[32], &[CIRCLE], false);
    assert_eq!(domain.own()[0].highest, 10);
    let mut run = Run::<f64>::new(&input("kind = 'burgers'\nviscosity = 0.0"), &domain);
    for k in [9, 10] {
        run.state.arrays[0][k].re = 0.5;
    }
    let state = run.state.clone();
    let rate = run.rate(0.0, &state);
    for (k, z) in rate.arrays[0].iter().enumerate() {
        // ½ (u²)_x: cos 9x cos 10x has ½ cos x, whose coefficient is ¼.
        let expected = if k == 1 { -0.25 } else { 0.0 };
        assert!(z.re.abs() < 1e-15 && (z.im - expected).abs() < 1e-15, "mode {k}: {z}");
    }
}

#[test]
fn the_divergence_of_a_flow_stays_below_1e_13() {
    let text = "kind = 'navier_stokes_3d'\nviscosity = 0.02";
    let mut run = Run::<f64>::new(&input(text), &small(3, text));
    run.randomise(7.0, 0.3, 5);
    run.advance(0.5, 50);
    let (mut divergence, mut gradient) = (0.0f64, 0.0f64);
    let state = run.state.clone();
    run.each_mode(|i, k, _, _| {
        let u = |f: usize| state.arrays[f][i] * k[f];
        divergence = divergence.max((u(0) + u(1) + u(2)).norm());
        gradient = gradient.max(u(0).norm());
    });
    assert!(gradient > 0.1 && divergence < 1e-13, "divergence {divergence:e}, gradient {gradient}");
}

#[test]
fn without_viscosity_energy_drifts_with_the_fourth_power_of_the_step_or_better() {
    for (dimension, text) in
        [(2, "kind = 'vorticity_2d'\nviscosity = 0.0"), (3, "kind = 'navier_stokes_3d'\nviscosity = 0.0")]
    {
        let drift = |steps: usize| {
            let mut run = Run::<f64>::new(&input(text), &small(dimension, text));
            run.randomise(7.0, 0.3, 5);
            let before = run.series()["energy"];
            run.advance(0.2, steps);
            (run.series()["energy"] / before - 1.0).abs()
        };
        let (order, finest) = (order(drift, 40), drift(80));
        println!("{text}: order {order:.2}, drift {finest:.1e} at 80 steps");
        assert!(order > 3.8 && finest < 1e-6, "{text}: order {order}, drift {finest:e}");
    }
}

#[test]
fn a_moving_observer_sees_the_same_burgers_and_kuramoto_sivashinsky() {
    // u(x, t) + c at x + c t solves the equation too: in coefficients a phase e^(−ikct), and c at k = 0.
    for text in ["kind = 'burgers'\nviscosity = 0.2", "kind = 'kuramoto_sivashinsky'"] {
        let (c, end, length) = (0.7, 1.0, 22.0);
        let domain = padded(&[20], &[length], 2, false);
        let mut still = Run::<f64>::new(&input(text), &domain);
        let mut moving = Run::<f64>::new(&input(text), &domain);
        for k in 1..6 {
            still.state.arrays[0][k].re = 0.5 / k as f64;
        }
        moving.state = still.state.clone();
        moving.state.arrays[0][0].re = c;
        still.advance(end, 1000);
        moving.advance(end, 1000);
        let mut expected = still.state.clone();
        for (k, z) in expected.arrays[0].iter_mut().enumerate() {
            *z *= num_complex::Complex::cis(-CIRCLE / length * k as f64 * c * end);
        }
        expected.arrays[0][0].re += c;
        let error = difference(&expected, &moving.state);
        assert!(error < 1e-10, "{text}: {error:e}");
    }
}

#[test]
fn a_small_poincare_wave_moves_at_its_frequency() {
    // σ² = f² + gHk²; the error is second order in the height of 1e-7, relative to it.
    let text = "kind = 'shallow_water'\ngravity = 2.0\ndepth = 1.5\ncoriolis = 1.3";
    let domain = padded(&[4, 4], &[CIRCLE, 5.0], 2, false);
    let parameters = [("height", 1e-7), ("waves_x", 2.0), ("waves_y", -1.0)];
    let (mut run, initial) = Run::<f64>::named(&input(text), &domain, "poincare_wave", &parameters);
    run.advance(3.0, 2000);
    let error = run.error(&initial);
    assert!(error < 1e-6, "{error:e}");
}

#[test]
fn uniform_gray_scott_is_its_ordinary_differential_equation() {
    let (feed, kill) = (0.037, 0.06);
    let text = format!("kind = 'gray_scott'\nfeed = {feed}\nkill = {kill}");
    let domain = padded(&[3, 3], &[2.5, 2.5], 3, false);
    let (mut run, _) = Run::<f64>::named(&input(&text), &domain, "uniform", &[("u", 0.4), ("v", 0.5)]);
    run.advance(5.0, 200);
    // Classical RK4 with a step ten times smaller.
    let rate = |[u, v]: [f64; 2]| [-u * v * v + feed * (1.0 - u), u * v * v - (feed + kill) * v];
    let step = |y: [f64; 2], h: f64, k: [f64; 2]| [y[0] + h * k[0], y[1] + h * k[1]];
    let (mut y, h) = ([0.4, 0.5], 5.0 / 2000.0);
    for _ in 0..2000 {
        let k1 = rate(y);
        let k2 = rate(step(y, 0.5 * h, k1));
        let k3 = rate(step(y, 0.5 * h, k2));
        let k4 = rate(step(y, h, k3));
        y = std::array::from_fn(|i| y[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]));
    }
    let series = run.series();
    assert!((series["mean_u"] - y[0]).abs() < 1e-9 && (series["mean_v"] - y[1]).abs() < 1e-9, "{series:?} {y:?}");
}

#[test]
fn the_centre_of_a_trapped_gas_swings_at_the_frequency_of_the_trap() {
    // Kohn's theorem: x(t) = displacement · cos ωt whatever the interaction.
    let (omega, displacement) = (1.2, 1.0);
    for focusing in [-3.0, 0.0, 0.5] {
        let text = format!(
            "kind = 'nonlinear_schroedinger'\nfocusing = {focusing}\n\
             potential = {{ kind = 'harmonic', frequencies = [{omega}] }}"
        );
        let domain = padded(&[64], &[24.0], 3, true);
        let parameters = [("width", 0.9), ("displacement", displacement)];
        let (mut run, _) = Run::<f64>::named(&input(&text), &domain, "gaussian", &parameters);
        for quarter in 1..=4 {
            run.advance(0.5 * quarter as f64, 500);
            let grid = run.values().remove(0);
            let density = |i: usize| grid[2 * i] * grid[2 * i] + grid[2 * i + 1] * grid[2 * i + 1];
            let n = grid.len() / 2;
            let x = |i: usize| 24.0 * i as f64 / n as f64 - 12.0;
            let mass: f64 = (0..n).map(density).sum();
            let centre = (0..n).map(|i| x(i) * density(i)).sum::<f64>() / mass;
            let expected = displacement * (omega * run.time).cos();
            assert!((centre - expected).abs() < 1e-7, "focusing {focusing}, t = {}: {centre} {expected}", run.time);
        }
    }
}

#[test]
fn single_precision_follows_double_precision() {
    for (dimension, text) in ALL {
        let domain = small(*dimension, text);
        let (mut double, mut single) = (Run::<f64>::new(&input(text), &domain), Run::<f32>::new(&input(text), &domain));
        double.randomise(7.0, 0.3, 5);
        for (a, b) in single.state.arrays.iter_mut().zip(&double.state.arrays) {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = num_complex::Complex::new(b.re as f32, b.im as f32));
        }
        let (state, narrow) = (double.state.clone(), single.state.clone());
        let (wide, narrow) = (double.rate(0.0, &state), single.rate(0.0, &narrow));
        let scale = largest(&wide).max(1.0);
        for (a, b) in wide.arrays.iter().flatten().zip(narrow.arrays.iter().flatten()) {
            let error = (a.re - f64::from(b.re)).abs().max((a.im - f64::from(b.im)).abs()) / scale;
            assert!(error < 1e-5, "{text}: {error:e}");
        }
    }
}

#[test]
fn every_named_initial_condition_is_finite_and_real_where_it_must_be() {
    for (dimension, text) in ALL {
        let (equation, domain) = (input(text), small(*dimension, text));
        for named in equation.about().initials {
            let Ok(initial) = equation.initial(Some(named.word), &BTreeMap::new(), &domain) else {
                // Those that want one axis, more modes, a forcing or a stratification say so.
                continue;
            };
            let mut run = Run::<f64>::new(&equation, &domain);
            run.fill(&initial, 0.0);
            assert!(largest(&run.state).is_finite(), "{text}: {}", named.word);
            let half = domain.own().last().unwrap().basis == Basis::HalfFourier;
            assert_eq!(half, !equation.about().complex);
        }
        let unknown = equation.initial(Some("no_such"), &BTreeMap::new(), &domain).err().unwrap();
        assert!(unknown.1.contains(equation.about().initials[0].word), "{unknown:?}");
    }
}
