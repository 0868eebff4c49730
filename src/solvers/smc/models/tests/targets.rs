//! Targets of samplers: evidences, moments and gradients.

use super::*;

const LOBES: &str = r#"
kind = "gaussian_mixture"
prior_sd = 2.0
components = [
    { weight = 1.0, mean = [2.0, -1.0], covariance = [[0.5, 0.2], [0.2, 0.4]] },
    { weight = 3.0, mean = [-1.5, 1.0], sd = 0.6 },
]
"#;

const BANANA: &str = r#"
kind = "shape"
shape = { kind = "banana", sd = 1.5, bend = 0.4 }
"#;

const FUNNEL: &str = r#"
kind = "shape"
shape = { kind = "funnel", sd = 0.8 }
"#;

const CANCER: &str = r#"
kind = "logistic_regression"
file = "breast_cancer.csv"
"#;

/// ln prior + ln likelihood at points of the plane.
fn joint(target: &dyn Target, points: &[[f64; 2]]) -> Vec<f64> {
    let mut out = Vec::new();
    for chunk in points.chunks(1000) {
        let n = chunk.len();
        let x: Vec<f64> = (0..2).flat_map(|d| chunk.iter().map(move |p| p[d])).collect();
        let mut value = vec![0.0; n];
        let view = View::new(Level::detect(), &x, n, n);
        target.log_prior(view, &mut value);
        target.log_likelihood(view, &mut value);
        out.extend(value);
    }
    out
}

#[test]
fn evidences_of_targets_in_the_plane_are_their_integrals_to_1e_8() {
    for text in [LOBES, BANANA, FUNNEL] {
        let sampler = sampler(text);
        // The trapezoidal rule; x_0 within 10, x_1 within 60.
        let (h, w) = (0.04, 0.1);
        let points: Vec<[f64; 2]> =
            (-250..=250).flat_map(|i| (-600..=600).map(move |j| [h * f64::from(i), w * f64::from(j)])).collect();
        let density: Vec<f64> = joint(&*sampler.target, &points).iter().map(|l| l.exp()).collect();
        let z = density.iter().sum::<f64>() * h * w;
        let exact = sampler.log_evidence.unwrap();
        assert!((z.ln() - exact).abs() < 1e-8, "{text}: {} {exact}", z.ln());
        let (means, variances) = sampler.moments.unwrap();
        for d in 0..2 {
            let mean = density.iter().zip(&points).map(|(f, p)| f * p[d]).sum::<f64>() * h * w / z;
            let square = density.iter().zip(&points).map(|(f, p)| f * p[d] * p[d]).sum::<f64>() * h * w / z;
            assert!((mean - means[d]).abs() < 1e-7, "{text}: mean {mean} {}", means[d]);
            assert!((square - mean * mean - variances[d]).abs() < 1e-6, "{text}: {} {}", square, variances[d]);
        }
    }
}

/// prior, likelihood and their gradients at `n` draws of the prior shrunk by `shrink`, in tiles of `tile`.
fn target_values(target: &dyn Target, n: usize, tile: usize, shrink: f64) -> (Vec<f64>, Vec<f64>) {
    let d = target.dimension();
    let level = Level::detect();
    let (mut points, mut values) = (vec![0.0; d * n], vec![0.0; (2 + 2 * d) * n]);
    for first in (0..n).step_by(tile) {
        let size = tile.min(n - first);
        let mut x = vec![0.0; d * size];
        let at = draws(2, Stream::ParticlesInitial, 0).at(first as u64);
        target.draw_prior(&at, &mut Tile::new(level, &mut x, size, size));
        x.iter_mut().for_each(|x| *x *= shrink);
        let view = View::new(level, &x, size, size);
        let (mut a, mut b) = (vec![0.0; size], vec![0.0; size]);
        target.log_prior(view, &mut a);
        target.log_likelihood(view, &mut b);
        let (mut g, mut h) = (vec![0.0; d * size], vec![0.0; d * size]);
        let (mut prior, mut likelihood) = (Tile::new(level, &mut g, size, size), Tile::new(level, &mut h, size, size));
        target.gradients(view, &mut prior, &mut likelihood);
        for (i, v) in x.chunks(size).enumerate() {
            points[i * n + first..i * n + first + size].copy_from_slice(v);
        }
        for (i, v) in [&a[..], &b[..]].into_iter().chain(g.chunks(size)).chain(h.chunks(size)).enumerate() {
            values[i * n + first..i * n + first + size].copy_from_slice(v);
        }
    }
    (points, values)
}

#[test]
fn gradients_are_the_differences_of_the_densities_and_no_bit_depends_on_tiles() {
    for text in [LOBES, BANANA, FUNNEL, CANCER] {
        let target = sampler(text).target;
        let (d, n) = (target.dimension(), 150);
        let (points, values) = target_values(&*target, n, n, 0.3);
        for tile in [1, 17, 128] {
            assert_eq!(target_values(&*target, n, tile, 0.3), (points.clone(), values.clone()), "{text}: {tile}");
        }
        let level = Level::detect();
        for i in 0..d {
            let moved = |by: f64| {
                let mut x = points.clone();
                x[i * n..(i + 1) * n].iter_mut().for_each(|x| *x += by);
                let (mut a, mut b) = (vec![0.0; n], vec![0.0; n]);
                target.log_prior(View::new(level, &x, n, n), &mut a);
                target.log_likelihood(View::new(level, &x, n, n), &mut b);
                (a, b)
            };
            let h = 1e-5;
            let ((a, b), (c, e)) = (moved(h), moved(-h));
            for k in 0..n {
                let (prior, likelihood) = (values[(2 + i) * n + k], values[(2 + d + i) * n + k]);
                let (first, second) = ((a[k] - c[k]) / (2.0 * h), (b[k] - e[k]) / (2.0 * h));
                assert!((first - prior).abs() < 1e-6 * (1.0 + prior.abs()), "{text} {i}: {first} {prior}");
                let scale = 1.0 + likelihood.abs() + b[k].abs() * 1e-3;
                assert!((second - likelihood).abs() < 1e-6 * scale, "{text} {i}: {second} {likelihood}");
            }
        }
    }
}

#[test]
fn the_evidence_of_the_cancer_data_is_that_of_an_independent_importance_sampler() {
    let input: logistic_regression::Input = toml::from_str("file = \"breast_cancer.csv\"").unwrap();
    let (target, _) = input.target(&|_, _, _| Ok(cancer())).map_err(|e| e.1).unwrap();
    // The density of the sampler is that of its slow twin.
    let point: Vec<f64> = (0..11).map(|i| 0.4 * f64::from(i) - 1.5).collect();
    let mut value = [0.0];
    let view = View::new(Level::detect(), &point, 1, 1);
    target.log_prior(view, &mut value);
    target.log_likelihood(view, &mut value);
    let twin = crate::solvers::smc::exact::laplace::Smooth::log_density(&target, &point);
    assert!((value[0] - twin).abs() < 1e-9, "{} {twin}", value[0]);
    let found = crate::solvers::smc::exact::laplace::estimate(&target, &[0.0; 11], 40_000, 5).unwrap();
    let off = (found.log_evidence - CANCER_EVIDENCE).abs();
    assert!(off < 4.0 * found.standard_error.hypot(CANCER_ERROR), "{} ± {}", found.log_evidence, found.standard_error);
    assert!((found.laplace - CANCER_LAPLACE).abs() < 1e-5, "{}", found.laplace);
}

const CANCER_EVIDENCE: f64 = -98.81628;
const CANCER_ERROR: f64 = 0.00093;
const CANCER_LAPLACE: f64 = -99.024_153_28;

#[test]
fn leapfrog_steps_that_diverge_in_the_tails_of_a_banana_are_refused_and_the_run_goes_on() {
    let text = "solver = \"smc\"\n[problem]\nmodel = { kind = \"shape\", shape = { kind = \"banana\", sd = 2.0, bend = 0.5 } }\n\
                [method]\nname = \"tempering\"\nkernel = \"hmc\"\nparticles = 1000\nislands = 2\n";
    let input = crate::input::Input::parse(std::path::Path::new("banana.toml"), text, &[]).unwrap();
    let mut solver = crate::solvers::smc::setup::build(&input, &crate::team::Solo).unwrap();
    while !solver.reached() {
        solver.step(0, &crate::team::Solo).unwrap();
    }
    solver.finish(&crate::team::Solo).unwrap();
    let found = &solver.report()[0];
    assert!(found.name == "log_evidence" && found.value.is_finite(), "{found:?}");
}

#[test]
fn a_run_that_ends_before_the_power_1_claims_nothing_of_the_posterior() {
    let text = "solver = \"smc\"\n[problem]\nmodel = { kind = \"shape\", shape = { kind = \"funnel\", sd = 1.0 }, dimension = 5 }\n\
                [method]\nname = \"tempering\"\nparticles = 500\nislands = 4\nfreeze = false\n";
    let input = crate::input::Input::parse(std::path::Path::new("funnel.toml"), text, &[]).unwrap();
    let mut solver = crate::solvers::smc::setup::build(&input, &crate::team::Solo).unwrap();
    solver.step(0, &crate::team::Solo).unwrap();
    assert!(!solver.reached());
    solver.finish(&crate::team::Solo).unwrap();
    let report = solver.report();
    let power = report.iter().find(|n| n.name == "power").unwrap().value;
    assert!(power > 0.0 && power < 1.0 && report.iter().all(|n| n.name != "exact_log_evidence"), "{report:?}");
    let about =
        report.iter().filter(|n| n.name.starts_with("mean_") || n.name.starts_with("sd_") || n.name == "log_evidence");
    for number in about {
        assert!(number.meaning.contains("not ") && number.error == crate::solvers::ErrorBar::None, "{number:?}");
    }
    assert!(solver.notes().iter().any(|n| n.contains("not of the posterior")), "{:?}", solver.notes());
}
