//! Curves of particles.

use super::quadrature::line;
use super::tests::{double_well, ornstein_uhlenbeck, two_wells};
use super::*;

#[test]
fn clouds_have_the_functional_the_evidence_and_the_marginals_of_the_observed_ornstein_uhlenbeck_process() {
    let chain = ornstein_uhlenbeck(50);
    let (truth, marginals) = line(&chain, -12.0, 12.0, 2401);
    let text = r#"{"name": "density_particles", "paths": 2048, "replicates": 16}"#;
    let run = run(&chain, text, 3);
    println!("F = {}, −log Z = {}, training {:?}", -run.other.unwrap(), -truth, run.training);
    agrees("clouds", &run, truth);
    let m = run.tally.marginals();
    for k in [0, 15, 25, 35, 45, 50] {
        let off =
            [(m.mean[k] - marginals[k].0) / m.mean_error[k], (m.deviation[k] - marginals[k].1) / m.deviation_error[k]];
        assert!(off.iter().all(|o| o.abs() < 4.0), "time {k}: off by {off:?} standard errors");
    }
}

#[test]
fn clouds_guide_paths_to_the_evidence_of_the_double_well() {
    let text = r#"{"name": "density_particles", "paths": 2048, "replicates": 16}"#;
    let run = run(&double_well(99, 0.01), text, 4);
    println!("F = {}, training {:?}", -run.other.unwrap(), run.training);
    agrees("clouds, double well", &run, -4.52938474);
}

#[test]
fn clouds_in_the_plane_guide_paths_to_the_evidence_of_two_wells() {
    // They move by a quarter of their width a step: paths that lag behind them miss the observations.
    let text = r#"{"name": "density_particles", "paths": 2048, "replicates": 8}"#;
    let run = run(&two_wells(0.001), text, 3);
    println!("F = {}, training {:?}", -run.other.unwrap(), run.training);
    agrees("clouds, two wells", &run, -40.68196044);
}

#[test]
fn clouds_and_twists_have_the_same_bits_on_1_2_and_3_ranks_and_on_1_and_3_threads() {
    let plane = two_wells(0.001);
    let well = double_well(99, 0.01);
    let size = r#""paths": 192, "replicates": 2"#;
    let clouds = format!(r#"{{"name": "density_particles", {size}, "particles": 64, "sweeps": 30}}"#);
    let twisted =
        |twist: &str| format!(r#"{{"name": "twisted_smc", {size}, "resample_below": 0.9, "twist": {twist}}}"#);
    let quadratic = twisted(r#"{"kind": "quadratic", "training_paths": 192}"#);
    let grid = twisted(r#"{"kind": "grid", "low": [-2.0], "high": [2.0], "points": [61]}"#);
    for (name, chain, text) in [
        ("clouds", &well, &clouds),
        ("clouds in the plane", &plane, &clouds),
        ("quadratic twist", &plane, &quadratic),
        ("grid", &well, &grid),
    ] {
        let bits = |team: &dyn Team| -> Vec<u64> {
            let run = run_on(team, chain, text, 11);
            let m = run.tally.marginals();
            run.tally
                .log_evidence
                .iter()
                .chain(&run.tally.ess)
                .chain(&m.mean)
                .chain(&run.other)
                .map(|x| x.to_bits())
                .collect()
        };
        let pool = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let alone = pool(1).install(|| bits(&Solo));
        assert!(alone.iter().any(|b| f64::from_bits(*b).is_finite()));
        assert!(pool(3).install(|| bits(&Solo)) == alone, "{name}: 3 threads");
        for ranks in 2..=3 {
            for other in crate::team::threads::run(ranks, |team| bits(team)) {
                assert!(other == alone, "{name}: {ranks} ranks");
            }
        }
    }
}
