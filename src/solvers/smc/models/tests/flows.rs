//! State-space models: evidences, means, convergence in time, twins, and that no bit depends on tiles.

use super::*;

#[test]
fn evidences_are_those_of_kalman_and_quadrature_to_4_standard_errors_for_every_proposal() {
    let mut failures = Vec::new();
    for text in [WALK, VOLATILITY, PAIR, SYSTEM, TRACK, OSCILLATOR] {
        let model = model(text);
        let data = simulated(&*model, &TIMES, 4, true);
        let exact = model.exact(&data).expect("has a truth");
        for proposal in model.proposals() {
            let flow = model.flow(&data, *proposal).map_err(|e| e.1).unwrap();
            let (mean, error, sd) = ratio(&*flow, exact.log_evidence, 1000, 100);
            if sd > 0.8 || (mean - 1.0).abs() > 4.0 * error {
                failures.push(format!("{text} {proposal:?}: {mean} ± {error}, deviation {sd}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn filtered_means_are_those_of_kalman_to_4_standard_errors() {
    for text in [SYSTEM, TRACK, OSCILLATOR] {
        let model = model(text);
        let data = simulated(&*model, &TIMES, 5, true);
        let exact = model.exact(&data).unwrap();
        let flow = model.flow(&data, Proposal::Guided).map_err(|e| e.1).unwrap();
        let runs = 60;
        let all: Vec<Vec<f64>> = (0..runs).map(|r| filter(&*flow, 500, 900 + r).means).collect();
        for (i, truth) in exact.means.iter().enumerate() {
            let mean = all.iter().map(|m| m[i]).sum::<f64>() / runs as f64;
            let variance = all.iter().map(|m| (m[i] - mean) * (m[i] - mean)).sum::<f64>() / (runs - 1) as f64;
            let error = (variance / runs as f64).sqrt();
            // Self-normalised means have a bias of order 1/N: 0.01 of the filter's deviation here.
            let bias = 0.02 * exact.variances[i].sqrt();
            assert!((mean - truth).abs() < 4.0 * error + bias, "{text} {i}: {mean} ± {error}, not {truth}");
        }
    }
}

#[test]
fn the_deviation_of_the_evidence_falls_as_the_root_of_the_number_of_particles() {
    let model = model(SYSTEM);
    let data = simulated(&*model, &TIMES, 3, false);
    let exact = model.exact(&data).unwrap().log_evidence;
    let flow = model.flow(&data, Proposal::Bootstrap).map_err(|e| e.1).unwrap();
    let (few, many) = (ratio(&*flow, exact, 60, 300).2, ratio(&*flow, exact, 960, 300).2);
    // √16, each deviation known to 1/√600 (more for the skewed one).
    assert!((few / many / 4.0).ln().abs() < 0.35, "{few} {many}");
}

#[test]
fn an_auxiliary_guided_filter_of_a_linear_model_weighs_every_particle_alike() {
    // The twist p(y_{k+1} | x_k) and the optimal proposal leave weights p(y_0) and ψ alone: the variance comes from ψ only,
    // and the guided weights do not depend on the draw.
    let model = model(TRACK);
    let data = simulated(&*model, &TIMES, 8, true);
    let flow = model.flow(&data, Proposal::Auxiliary).map_err(|e| e.1).unwrap();
    let level = Level::detect();
    let n = 300;
    let (mut x, mut next, mut w) = (vec![0.0; 4 * n], vec![0.0; 4 * n], vec![0.0; n]);
    flow.initial(&draws(1, Stream::ParticlesInitial, 0), &mut Tile::new(level, &mut x, n, n), &mut w);
    flow.log_potential(0, View::new(level, &[], 0, 0), View::new(level, &x, n, n), &mut w);
    assert!(w.iter().all(|v| (v - w[0]).abs() < 1e-12), "{:?}", &w[..4]);
    let (mut w, mut psi) = (vec![0.0; n], vec![0.0; n]);
    let previous = View::new(level, &x, n, n);
    flow.mutate(1, &draws(1, Stream::ParticlesMutate, 1), previous, &mut Tile::new(level, &mut next, n, n), &mut w);
    flow.log_potential(1, previous, View::new(level, &next, n, n), &mut w);
    flow.log_twist(0, previous, &mut psi);
    assert!(w.iter().zip(&psi).all(|(w, p)| (w - p).abs() < 1e-11), "{:?} {:?}", &w[..4], &psi[..4]);
}

/// Every function of a flow on `n` particles in tiles of `tile`.
fn everything(flow: &dyn FeynmanKac, n: usize, tile: usize) -> Vec<Vec<f64>> {
    let d = flow.dimension();
    let level = Level::detect();
    let mut out = vec![vec![0.0; n]; 2 * d + 5];
    for first in (0..n).step_by(tile) {
        let size = tile.min(n - first);
        let (mut x, mut next) = (vec![0.0; d * size], vec![0.0; d * size]);
        let mut w = vec![vec![0.0; size]; 5];
        let [a, b, c, e, f] = &mut w[..] else { unreachable!() };
        let at = draws(4, Stream::ParticlesInitial, 0).at(first as u64);
        flow.initial(&at, &mut Tile::new(level, &mut x, size, size), a);
        let view = View::new(level, &x, size, size);
        flow.log_potential(0, View::new(level, &[], 0, 0), view, b);
        let at = draws(4, Stream::ParticlesMutate, 2).at(first as u64);
        flow.mutate(2, &at, view, &mut Tile::new(level, &mut next, size, size), c);
        flow.log_potential(2, view, View::new(level, &next, size, size), e);
        if flow.has_transition() {
            let state: Vec<f64> = (0..d).map(|i| 0.3 + 0.1 * i as f64).collect();
            flow.log_transition(2, view, &state, f);
        }
        for (i, v) in x.chunks(size).chain(next.chunks(size)).chain(w.iter().map(|w| &w[..])).enumerate() {
            out[i][first..first + size].copy_from_slice(v);
        }
    }
    out
}

#[test]
fn no_bit_of_any_flow_depends_on_how_particles_are_cut_into_tiles() {
    for text in ALL_STATE_SPACE {
        let model = model(text);
        let data = simulated(&*model, &TIMES, 3, true);
        for proposal in model.proposals() {
            let flow = model.flow(&data, *proposal).map_err(|e| e.1).unwrap();
            let whole = everything(&*flow, 333, 333);
            for tile in [1, 7, 100] {
                assert_eq!(everything(&*flow, 333, tile), whole, "{text} {proposal:?} in tiles of {tile}");
            }
            assert!(whole.iter().flatten().all(|x| x.is_finite()), "{text}");
        }
    }
}

#[test]
fn guided_and_bootstrap_flows_of_lorenz_96_have_one_evidence() {
    let model = model(RING);
    let times: Vec<f64> = (0..5).map(|k| 0.1 * k as f64).collect();
    let data = simulated(&*model, &times, 3, false);
    let of = |p| model.flow(&data, p).map_err(|e| e.1).unwrap();
    let (guided, error, _) = ratio(&*of(Proposal::Guided), 0.0, 1000, 60);
    let (bootstrap, other, _) = ratio(&*of(Proposal::Bootstrap), 0.0, 1000, 60);
    let off = (guided - bootstrap).abs();
    assert!(off < 4.0 * error.hypot(other), "{guided} ± {error}, {bootstrap} ± {other}");
    assert!(error < other, "the guided proposal is better: {error} {other}");
}

#[test]
fn lorenz_96_converges_with_order_4_and_keeps_its_fixed_point() {
    // x_i = F is a fixed point; noise so small that it cannot be seen.
    let state = |step: f64, mean: f64, sd: f64| {
        let text = format!(
            "kind = \"lorenz_96\"\ndimension = 6\nnoise = 1e-30\ninitial_mean = {mean:?}\ninitial_sd = {sd:?}\ntime_step = {step:?}"
        );
        let model = model(&text);
        let flow = model.flow(&empty(6, &[0.0, 0.4]), Proposal::Bootstrap).map_err(|e| e.1).unwrap();
        everything_after_one(&*flow)
    };
    assert!(state(0.05, 8.0, 1e-30).iter().all(|x| (x - 8.0).abs() < 1e-12));
    let (coarse, fine, exact) = (state(0.05, 2.3, 3.0), state(0.025, 2.3, 3.0), state(0.002, 2.3, 3.0));
    let error = |x: &[f64]| x.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let order = (error(&coarse) / error(&fine)).log2();
    assert!((order - 4.0).abs() < 0.4, "order {order}");
}

/// The state of one particle after step 1.
fn everything_after_one(flow: &dyn FeynmanKac) -> Vec<f64> {
    let d = flow.dimension();
    let level = Level::detect();
    let (mut x, mut next, mut w) = (vec![0.0; d], vec![0.0; d], [0.0]);
    flow.initial(&draws(9, Stream::ParticlesInitial, 0), &mut Tile::new(level, &mut x, 1, 1), &mut w);
    let at = draws(9, Stream::ParticlesMutate, 1);
    flow.mutate(1, &at, View::new(level, &x, 1, 1), &mut Tile::new(level, &mut next, 1, 1), &mut w);
    next
}

#[test]
fn great_populations_of_predators_and_prey_keep_the_invariant_of_the_ode() {
    // a ln Y − b Y + c ln X − b X is constant along the ODE; with 1e14 of each the noise is below 1e-6.
    let text = "kind = \"lotka_volterra\"\npredation = 2.5e-15\ninitial_prey = 1e14\ninitial_predators = 1e14\ninitial_log_sd = 1e-12\ntime_step = 1e-3";
    let flow = model(text).flow(&empty(2, &[0.0, 3.0]), Proposal::Bootstrap).map_err(|e| e.1).unwrap();
    let x = everything_after_one(&*flow);
    let invariant = |x: f64, y: f64| 0.5 * y.ln() - 2.5e-15 * (x + y) + 0.3 * x.ln();
    let drift = invariant(x[0], x[1]) - invariant(1e14, 1e14);
    // Euler's error is of order h.
    assert!(drift.abs() < 1e-3 && (x[0] / 1e14 - 1.0).abs() > 0.1, "{x:?} {drift}");
}

#[test]
fn a_great_epidemic_ends_at_the_final_size_of_kermack_and_mckendrick() {
    // s = e^{−R₀(1 − s)} with R₀ = 2.5: s = 0.10735.
    let text =
        "kind = \"epidemic\"\npopulation = 1e12\ninitial_infected = 1e6\ninitial_log_sd = 1e-12\ntime_step = 0.01";
    let flow = model(text).flow(&empty(1, &[0.0, 300.0]), Proposal::Bootstrap).map_err(|e| e.1).unwrap();
    let x = everything_after_one(&*flow);
    let s = x[0] / 1e12;
    assert!((s - (-2.5 * (1.0 - s)).exp()).abs() < 1e-3 && (s - 0.10735).abs() < 1e-3, "{s}");
    assert!((x[0] + x[2] - (1e12 - 1e6)).abs() < 1.0, "infections are what left the susceptible: {x:?}");
}

#[test]
fn written_models_give_the_numbers_of_their_built_in_twins_to_1e_12() {
    for (built_in, written) in [(VOLATILITY, WRITTEN_VOLATILITY), (WALK, WRITTEN_WALK)] {
        let (built_in, written) = (model(built_in), model(written));
        let data = simulated(&*built_in, &TIMES, 3, true);
        assert!(
            data.values
                .iter()
                .zip(&simulated(&*written, &TIMES, 3, true).values)
                .all(|(a, b)| { a.is_nan() && b.is_nan() || (a - b).abs() < 1e-12 })
        );
        let of = |m: &dyn StateSpace| m.flow(&data, Proposal::Bootstrap).map_err(|e| e.1).unwrap();
        let (one, other) = (of(&*built_in), of(&*written));
        assert!(other.has_transition());
        let (a, b) = (everything(&*one, 500, 500), everything(&*other, 500, 500));
        // The last list is the transition density, known up to a constant.
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            let constant = if i + 1 == 7 { a[0] - b[0] } else { 0.0 };
            assert!(a.iter().zip(b).all(|(a, b)| (a - b - constant).abs() < 1e-12), "list {i}: {} {}", a[0], b[0]);
        }
        let (a, b) = (filter(&*one, 500, 7).log_evidence, filter(&*other, 500, 7).log_evidence);
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
}

/// The first column of a shipped table.
fn shipped(name: &str) -> Vec<f64> {
    let path = format!("{}/inputs/smc/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let number = |line: &str| line.split('#').next().unwrap().split(',').next().unwrap().trim().parse().ok();
    text.lines().filter_map(number).collect()
}

#[test]
fn the_euro_in_2008_to_2011_has_the_evidence_of_quadrature_and_of_the_package_particles() {
    let model = model("kind = \"stochastic_volatility\"\nmean = -0.8\npersistence = 0.98\nvolatility = 0.15");
    let values = shipped("eur_usd.csv");
    assert_eq!(values.len(), 1027);
    let data = Arc::new(Observations { components: 1, times: (0..1027).map(f64::from).collect(), values });
    let exact = model.exact(&data).unwrap().log_evidence;
    // The same sum in NumPy, with another spacing of the grid.
    assert!((exact - QUADRATURE).abs() < 1e-8, "{exact}");
    // Package particles 0.4, bootstrap, systematic, N = 10 000, 50 runs: mean of the log-evidence and its standard error.
    assert!((exact - PARTICLES).abs() < 4.0 * PARTICLES_ERROR + PARTICLES_BIAS, "{exact}");
    let flow = model.flow(&data, Proposal::Bootstrap).map_err(|e| e.1).unwrap();
    let (mean, error, sd) = ratio(&*flow, exact, 1000, 100);
    assert!((mean - 1.0).abs() < 4.0 * error && sd < 0.8, "{mean} ± {error}, {sd}");
}

const QUADRATURE: f64 = -1_147.820_030_385_926;
/// −1147.8362 with a deviation of 0.1139 over the runs.
const PARTICLES: f64 = -1147.8362;
const PARTICLES_ERROR: f64 = 0.0161;
/// The logarithm lowers the mean by half the variance.
const PARTICLES_BIAS: f64 = 0.0065;
