//! Numbers that others have computed or measured, by runs as a user makes them.
//!
//! The long ones: `cargo test --release --test published -- --ignored`.

// Takes long, and is the same without MPI.
#![cfg(feature = "mpi")]

mod common;

use std::collections::BTreeMap;

use spanwise::solvers::Status;
use spanwise::team::Solo;

/// Runs an input to its end and calls `seen` with the series at the start and after every `every`th step.
fn follow(text: &str, every: u64, mut seen: impl FnMut(&BTreeMap<&str, f64>)) {
    let mut solver = common::build(text, &Solo);
    let mut step = 0;
    let mut running = true;
    loop {
        if step % every == 0 || !running {
            solver.measure(&Solo).unwrap();
            let record = solver.record();
            seen(&record.iter().map(|(name, value)| (name.name, *value)).collect());
        }
        if !running {
            return;
        }
        running = solver.step(step, &Solo).unwrap() == Status::Running;
        step += 1;
    }
}

/// Time, energy and dissipation of the Taylor–Green vortex after every step.
fn taylor_green(points: usize, viscosity: f64, step: f64) -> Vec<[f64; 3]> {
    let text = format!(
        "solver = \"spectral\"\n[problem]\npoints = [{points}, {points}, {points}]\nend_time = 10.0\n\
         equation = {{ kind = \"navier_stokes_3d\", viscosity = {viscosity} }}\n\
         initial = {{ kind = \"named\", name = \"taylor_green\" }}\n\
         [method]\nscheme = \"if_rk4\"\ntime_step = {step}\ntime_error = false\n"
    );
    let mut rows = Vec::new();
    follow(&text, 1, |series| rows.push([rows.len() as f64 * step, series["energy"], series["dissipation"]]));
    rows
}

/// The largest dissipation and its time, from the parabola through the three highest samples.
fn peak(rows: &[[f64; 3]]) -> (f64, f64) {
    let i = (1..rows.len() - 1).max_by(|a, b| rows[*a][2].total_cmp(&rows[*b][2])).unwrap();
    let (a, b, c) = (rows[i - 1][2], rows[i][2], rows[i + 1][2]);
    let shift = 0.5 * (a - c) / (a - 2.0 * b + c);
    (b - 0.25 * (a - c) * shift, rows[i][0] + shift * (rows[i][0] - rows[i - 1][0]))
}

#[test]
fn taylor_green_at_re_100_has_the_known_peak_and_energies() {
    // Rotational form, 2/3 rule, IF-RK4 with Δt = 0.05, in another code: points, peak, its time, E(5), E(10).
    for (points, value, time, five, ten, digit) in
        [(32, 0.012945, 4.860, 0.073998, 0.026357, 1e-6), (64, 0.0129754, 4.887, 0.0739629, 0.0261997, 1e-7)]
    {
        let rows = taylor_green(points, 0.01, 0.05);
        assert_eq!(rows.len(), 201);
        assert!((rows[0][1] - 0.125).abs() < 1e-14 && (rows[0][2] - 0.0075).abs() < 1e-14);
        let (found, at) = peak(&rows);
        println!("{points}³: peak {found:.8} at {at:.4}; E(5) {:.8}, E(10) {:.8}", rows[100][1], rows[200][1]);
        let half = 0.501 * digit;
        assert!((found - value).abs() < half, "{points}³: peak {found}");
        assert!((at - time).abs() < 0.501e-3, "{points}³: at {at}");
        assert!((rows[100][1] - five).abs() < half, "{points}³: E(5) = {}", rows[100][1]);
        assert!((rows[200][1] - ten).abs() < half, "{points}³: E(10) = {}", rows[200][1]);
    }
}

#[test]
#[ignore = "minutes"]
fn taylor_green_at_re_1600_on_64_cubed_shows_the_trend_of_the_benchmark() {
    // On 512³ the largest −dE/dt is 1.28575e-2 at 8.97 [VanRees2011]; here far from resolved (k_max η = 0.24).
    let (value, time) = peak(&taylor_green(64, 6.25e-4, 0.02));
    println!("peak {value:.6e} at {time:.4}");
    assert!((value - 1.33957e-2).abs() < 1e-7 && (time - 9.187).abs() < 2e-3, "{value:e} at {time}");
    assert!((value / 1.28575e-2 - 1.0).abs() < 0.08 && (time - 8.97).abs() < 0.3, "{value:e} at {time}");
}

/// Kuramoto–Sivashinsky in a box of 22, ETDRK4 with Δt = 0.1.
fn kuramoto_sivashinsky(end: f64, rest: &str) -> String {
    format!(
        "solver = \"spectral\"\n[problem]\npoints = [64]\nlengths = [22.0]\nend_time = {end}\n\
         equation = {{ kind = \"kuramoto_sivashinsky\" }}\n\
         initial = {{ kind = \"random\", spectrum = {{ kind = \"exponential_peak\", peak = 0.7 }}, amplitude = 0.5 }}\n\
         {rest}\n[method]\nscheme = \"etdrk4\"\ntime_step = 0.1\ntime_error = false\n"
    )
}

/// Its first exponents, over `end` after a transient of 200.
fn exponents(vectors: usize, end: f64) -> Vec<f64> {
    let tangent = format!("tangent = {{ vectors = {vectors}, every = 1.0, transient = 200.0 }}");
    let mut last = Vec::new();
    follow(&kuramoto_sivashinsky(200.0 + end, &tangent), u64::MAX, |series| {
        last = (1..=vectors).map(|j| series[format!("lyapunov_{j}").as_str()]).collect();
    });
    println!("{last:?}");
    last
}

#[test]
fn the_first_exponents_of_kuramoto_sivashinsky_are_0_0455_and_three_zeros() {
    // 0.0455 ± 0.004, between what others have found in this box; shifts in time and space, and the mean, neither grow
    // nor decay.
    let found = exponents(4, 2e4);
    assert!((found[0] - 0.0455).abs() < 0.004, "{found:?}");
    for value in &found[1..] {
        assert!(value.abs() < 0.005, "{found:?}");
    }
}

#[test]
fn exponents_at_a_fixed_point_are_its_rates_with_every_scheme() {
    // Fisher's equation about u = 1: −1 − k², that is −1 and twice −2; schemes of several steps and those that keep their
    // first stage for the next step carry earlier directions along.
    let rates = [-1.0, -2.0, -2.0];
    let single = "time_step = 0.01\ntime_error = false";
    for (scheme, rest, within) in [
        ("etdrk4", single, 1e-6),
        ("ars443", single, 1e-5),
        ("cnab2", single, 1e-3),
        ("sbdf2", single, 1e-3),
        ("sbdf3", single, 5e-5),
        ("if_rk4", "step_control = \"error\"\ntolerance = 1e-9\ntime_step = 0.01", 1e-5),
    ] {
        let text = format!(
            "solver = \"spectral\"\n[problem]\npoints = [16]\nequation = {{ kind = \"fisher_kpp\", diffusivity = 1.0, \
             growth = 1.0 }}\ninitial = {{ kind = \"expressions\", fields = {{ u = \"1\" }} }}\nend_time = 30.0\n\
             tangent = {{ vectors = 3, every = 1.0, transient = 10.0 }}\n[method]\nscheme = \"{scheme}\"\n{rest}\n"
        );
        let mut last = Vec::new();
        follow(&text, u64::MAX, |series| last = (1..=3).map(|j| series[format!("lyapunov_{j}").as_str()]).collect());
        for (found, rate) in last.iter().zip(rates) {
            assert!((found - rate).abs() < within, "{scheme}: {last:?}");
        }
    }
}

#[test]
fn exponents_of_an_equation_without_products_are_its_rates() {
    // u' = 0.1 u_xx + cos t: 0 of the mean, −0.1 of each wave of wavenumber 1, whatever drives u.
    let text = "solver = \"spectral\"\n[problem]\npoints = [16]\nend_time = 200.0\n\
                equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"0.1*lap(u) + cos(t)\" } }\n\
                initial = { kind = \"expressions\", fields = { u = \"sin(x)\" } }\n\
                tangent = { vectors = 3, every = 1.0, transient = 100.0 }\n[method]\ntime_step = 0.05\n";
    let mut last = Vec::new();
    follow(text, u64::MAX, |series| last = (1..=3).map(|j| series[format!("lyapunov_{j}").as_str()]).collect());
    for (found, rate) in last.iter().zip([0.0, -0.1, -0.1]) {
        assert!((found - rate).abs() < 1e-6, "{last:?}");
    }
}

#[test]
#[ignore = "a minute: the spectrum of the documentation"]
fn eleven_exponents_of_kuramoto_sivashinsky_give_a_dimension_of_5_24() {
    let found = exponents(11, 2e4);
    for (value, expected) in found[4..].iter().zip([-0.0025, -0.185, -0.256, -0.288, -0.310, -1.965, -1.968]) {
        assert!((value - expected).abs() < 0.01, "{found:?}");
    }
    let dimension = spanwise::solvers::spectral::tangent::kaplan_yorke(&found).unwrap();
    assert!((dimension - 5.24).abs() < 0.05, "{dimension}");
}

#[test]
fn mean_squares_of_kuramoto_sivashinsky_are_1_40_and_0_91() {
    // ⟨u²⟩, and ⟨u_x²⟩ = ⟨u_xx²⟩ in the long run: what comes in goes out.
    let mut sums = [0.0; 3];
    let mut count = 0.0;
    follow(&kuramoto_sivashinsky(1e4, ""), 10, |series| {
        let all = [2.0 * series["energy"], series["production"], series["dissipation"]];
        sums.iter_mut().zip(all).for_each(|(sum, x)| *sum += x);
        count += 1.0;
    });
    let [square, slope, curvature] = sums.map(|sum| sum / count);
    println!("⟨u²⟩ {square:.4}, ⟨u_x²⟩ {slope:.4}, ⟨u_xx²⟩ {curvature:.4}");
    assert!((square - 1.40).abs() < 0.02, "{square}");
    assert!((slope - 0.910).abs() < 0.01, "{slope}");
    assert!((slope - curvature).abs() < 1e-3, "{slope} {curvature}");
}

#[test]
#[ignore = "a minute"]
fn rolls_of_rayleigh_benard_convection_carry_the_known_heat() {
    // Ra, Pr, k, Δt and Nu, computed by another code.
    for (rayleigh, prandtl, k, step, nusselt) in
        [(2e4, 0.71, "3.117", 2e-4, 3.235415), (1e4, 1.0, "3.117", 5e-4, 2.646402), (1e4, 0.71, "pi", 5e-4, 2.655131)]
    {
        let text = format!(
            "solver = \"spectral\"\n[problem]\npoints = [40, 48]\nlengths = [1.0, \"2*pi/({k})\"]\nend_time = 2.0\n\
             equation = {{ kind = \"rayleigh_benard\", rayleigh = {rayleigh}, prandtl = {prandtl} }}\n\
             initial = {{ kind = \"expressions\", fields = {{ theta = \"0.2*sin(pi*z)*cos({k}*x)\" }} }}\n\
             [method]\nscheme = \"ars443\"\ntime_step = {step}\ntime_error = false\n"
        );
        let mut last = [0.0; 2];
        follow(&text, u64::MAX, |series| last = [series["nusselt_lower"], series["nusselt_upper"]]);
        println!("Ra {rayleigh}, Pr {prandtl}, k {k}: {last:?}");
        assert!(last.iter().all(|nu| (nu - nusselt).abs() < 2e-6), "Ra {rayleigh}, Pr {prandtl}, k {k}: {last:?}");
    }
}

#[test]
#[ignore = "a minute"]
fn domains_of_cahn_hilliard_grow_with_the_third_root_of_time() {
    // Lifshitz, Slyozov and Wagner: the size of domains, so the inverse of the energy of their walls, grows as t^(1/3).
    let text = "solver = \"spectral\"\n[problem]\npoints = [384, 384]\nlengths = [256.0]\nend_time = 3000.0\n\
                equation = { kind = \"cahn_hilliard\", interface_width = 1.0 }\n\
                initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 0.7 }, amplitude = 0.1 }\n\
                [method]\nscheme = \"etdrk4\"\ntime_step = 0.05\ntime_error = false\n";
    let mut walls = Vec::new();
    follow(text, 6000, |series| walls.push(series["gradient_energy"]));
    let exponent = (walls[1] / walls[10]).log10();
    println!("from t = 300 to 3000: t^{exponent:.3}");
    assert!((exponent - 1.0 / 3.0).abs() < 0.03, "{exponent}");
}

#[test]
fn real_fields_stay_real_however_long_their_modes_grow() {
    // Rounding of 1e-17 between û(k) and the conjugate of û(−k) would grow as L alone says: by e^(t/4) to 1e26. Both runs ended
    // as diverged, at t = 334 and 4.
    let flame = "points = [32, 32]\nlengths = [30.0]\nend_time = 400.0\nequation = { kind = \"kuramoto_sivashinsky\" }\n\
                 initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 0.7 }, amplitude = 0.1 }\n\
                 [method]\nscheme = \"SCHEME\"\ntime_step = STEP\ntime_error = false\n";
    let rolls = "points = [12, 6, 6]\nlengths = [1.0, 2.0, 2.0]\nend_time = 8.0\n\
                 equation = { kind = \"rayleigh_benard\", rayleigh = 5000.0, prandtl = 1.0, disturbance = 0.1 }\n\
                 [method]\nscheme = \"ars443\"\ntime_step = 0.004\ntime_error = false\n";
    let etdrk4 = flame.replace("SCHEME", "etdrk4").replace("STEP", "0.1");
    let sbdf3 = flame.replace("SCHEME", "sbdf3").replace("STEP", "0.02");
    for (problem, name, low, high) in
        [(&etdrk4[..], "energy", 1.0, 6.0), (&sbdf3, "energy", 1.0, 6.0), (rolls, "nusselt_lower", 2.0, 2.3)]
    {
        let mut last = 0.0;
        follow(&format!("solver = \"spectral\"\n[problem]\n{problem}"), u64::MAX, |series| last = series[name]);
        println!("{name}: {last}");
        assert!((low..high).contains(&last), "{name}: {last}");
    }
}
