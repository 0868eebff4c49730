//! Probabilities of outcomes against quadrature over a posterior of two coefficients, on any number of ranks.

use std::path::Path;

use super::outcomes::{Cohort, Scores};
use crate::input::Input;
use crate::math::simd::Level;
use crate::solvers::Solver;
use crate::solvers::smc::sampling::Sampling;
use crate::solvers::smc::setup::{Posed, pose};
use crate::team::{Solo, Team, threads};

/// Outcome and feature.
const DATA: [(f64, f64); 14] = [
    (0.0, 0.5),
    (0.0, 0.75),
    (0.0, 1.0),
    (0.0, 1.25),
    (1.0, 1.5),
    (0.0, 1.75),
    (1.0, 2.0),
    (0.0, 2.25),
    (1.0, 2.5),
    (0.0, 2.75),
    (1.0, 3.0),
    (1.0, 3.5),
    (1.0, 4.0),
    (1.0, 5.5),
];

/// The second outcome is unknown.
const NEW: [(f64, f64); 4] = [(1.0, 0.0), (f64::NAN, 2.6), (0.0, 3.2), (1.0, 6.0)];

fn table(rows: &[(f64, f64)]) -> String {
    rows.iter().map(|(y, x)| format!("{y},{x}\n")).collect()
}

/// An input in `folder` beside its tables, with `predict` and `method`.
fn input(folder: &Path, predict: &str, method: &str) -> Input {
    std::fs::write(folder.join("data.csv"), table(&DATA)).unwrap();
    std::fs::write(folder.join("new.csv"), table(&NEW)).unwrap();
    let text = format!(
        "solver = \"smc\"\n[run]\nseed = 11\n[problem]\npredict = {predict}\n\
         model = {{ kind = \"logistic_regression\", file = \"data.csv\", prior_sd = 2.0 }}\n[method]\n{method}\n"
    );
    Input::parse(&folder.join("case.toml"), &text, &[]).unwrap()
}

/// The cohorts of the input at the end of its run, and its report.
fn ended(input: &Input, team: &dyn Team) -> (Vec<Cohort>, Vec<(&'static str, f64)>) {
    let Posed::Sampler(posed) = pose(input).unwrap() else { panic!("a sampler") };
    let mut sampling = Sampling::new(input, posed, Level::detect(), team).unwrap();
    while !sampling.reached() {
        sampling.step(0, team).unwrap();
    }
    sampling.finish(team).unwrap();
    let report = sampling.report().iter().map(|n| (n.name, n.value)).collect();
    (sampling.posed.cohorts, report)
}

/// P(y = 1) of every case of `rows`, with mean log probability of what was seen and mean (P − y)²: the trapezoidal rule over both
/// coefficients, of deviation 2 each before the data, with the feature in the mean and deviation of the data.
fn exact(rows: &[(f64, f64)]) -> (Vec<f64>, f64, f64) {
    let n = DATA.len() as f64;
    let mean = DATA.iter().map(|d| d.1).sum::<f64>() / n;
    let sd = (DATA.iter().map(|d| (d.1 - mean).powi(2)).sum::<f64>() / n).sqrt();
    let one = |a: f64, b: f64, x: f64| 1.0 / (1.0 + (-a - b * (x - mean) / sd).exp());
    let (mut total, mut sums) = (0.0, vec![0.0; rows.len()]);
    for i in -200..=200 {
        for j in -200..=200 {
            let (a, b) = (0.06 * f64::from(i), 0.06 * f64::from(j));
            let likelihood: f64 = DATA.iter().map(|(y, x)| (1.0 - y - one(a, b, *x)).abs()).product();
            let weight = likelihood * (-(a * a + b * b) / 8.0).exp();
            total += weight;
            sums.iter_mut().zip(rows).for_each(|(s, (_, x))| *s += weight * one(a, b, *x));
        }
    }
    let found: Vec<f64> = sums.iter().map(|s| s / total).collect();
    let known: Vec<(f64, f64)> = found.iter().zip(rows).map(|(p, r)| (*p, r.0)).filter(|(_, y)| !y.is_nan()).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| known.iter().map(of).sum::<f64>() / known.len() as f64;
    (found, mean(|(p, y)| (1.0 - y - p).abs().ln()), mean(|(p, y)| (p - y).powi(2)))
}

#[test]
fn outcomes_have_the_probabilities_and_scores_of_quadrature_within_four_standard_errors() {
    let folder = tempfile::tempdir().unwrap();
    for method in [
        "name = \"tempering\"\nparticles = 2000",
        "name = \"tempering\"\nparticles = 2000\nwaste_free = 20\nkernel = \"mala\"",
        "name = \"tempering\"\nparticles = 2000\nfreeze = false\nkernel = \"pcn\"",
    ] {
        let input = input(folder.path(), "{ file = \"new.csv\", draws = 400 }", method);
        let (cohorts, report) = ended(&input, &Solo);
        assert_eq!(cohorts.len(), 2);
        for (cohort, rows) in cohorts.iter().zip([&DATA[..], &NEW[..]]) {
            let (truth, log_score, brier_score) = exact(rows);
            assert_eq!(cohort.probabilities.len(), rows.len());
            for (k, (found, p)) in cohort.probabilities.iter().zip(&truth).enumerate() {
                let (value, error) = (found.value, found.standard_error);
                assert!((value - p).abs() < 4.0 * error && error < 0.005, "{method}, {k}: {value} ± {error}, {p}");
                // 16 · 400 draws, of particles that are nearly independent.
                let ones: f64 = cohort.drawn.iter().skip(k).step_by(rows.len()).sum::<f64>() / 6400.0;
                let bound = 5.0 * (p * (1.0 - p) / 6400.0).sqrt();
                assert!((ones - p).abs() < bound, "{method}, {k}: {ones} drawn, {p}");
            }
            let Scores { log, brier, calibration } = cohort.scores.unwrap();
            let near = |found: crate::particles::estimate::Estimated, truth: f64, most: f64| {
                (found.value - truth).abs() < 4.0 * found.standard_error && found.standard_error < most
            };
            assert!(near(log, log_score, 0.005), "{method}: {log:?}, {log_score}");
            assert!(near(brier, brier_score, 0.005), "{method}: {brier:?}, {brier_score}");
            let mut bins = [(0.0, 0.0, 0.0); 10];
            for (found, (y, _)) in cohort.probabilities.iter().zip(rows).filter(|(_, row)| !row.0.is_nan()) {
                let bin = &mut bins[(10.0 * found.value) as usize];
                *bin = (bin.0 + found.value, bin.1 + y, bin.2 + 1.0);
            }
            let known: f64 = bins.iter().map(|b| b.2).sum();
            let distance = bins.iter().map(|(p, ones, _)| (ones - p).abs()).sum::<f64>() / known;
            assert!((calibration - distance).abs() < 1e-12, "{method}: {calibration} {distance}");
        }
        let value = |name: &str| report.iter().find(|r| r.0 == name).unwrap().1;
        assert_eq!(value("brier_score"), cohorts[0].scores.unwrap().brier.value);
        assert_eq!(value("new_log_score"), cohorts[1].scores.unwrap().log.value);
    }
}

#[test]
fn outcomes_have_the_same_bits_on_1_to_5_ranks() {
    let folder = tempfile::tempdir().unwrap();
    for method in ["particles = 1030\nislands = 3\nmost_moves = 4", "particles = 1200\nislands = 2\nwaste_free = 8"] {
        let input =
            input(folder.path(), "{ file = \"new.csv\", draws = 7 }", &format!("name = \"tempering\"\n{method}"));
        let bits = |team: &dyn Team| {
            let (cohorts, report) = ended(&input, team);
            let of = |cohort: &Cohort| {
                let found = cohort.probabilities.iter().flat_map(|e| [e.value.to_bits(), e.standard_error.to_bits()]);
                (found.collect::<Vec<u64>>(), cohort.mine.clone(), cohort.drawn.clone())
            };
            let report: Vec<u64> = report.iter().map(|r| r.1.to_bits()).collect();
            (report, cohorts.iter().map(of).collect::<Vec<_>>())
        };
        let (report, alone) = bits(&Solo);
        for ranks in [2, 3, 5] {
            for (again, cohorts) in threads::run(ranks, bits) {
                assert_eq!(again, report, "{ranks} ranks");
                for ((found, mine, drawn), (all, whole, every)) in cohorts.iter().zip(&alone) {
                    assert_eq!(found, all, "{ranks} ranks");
                    let rows = every.chunks(whole.len()).flat_map(|row| &row[mine.clone()]);
                    assert!(drawn.iter().eq(rows), "{ranks} ranks");
                }
            }
        }
    }
}

#[test]
fn new_cases_may_leave_out_the_column_of_the_label_and_are_then_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let method = "name = \"tempering\"\nparticles = 200\nislands = 2";
    let with = ended(&input(folder.path(), "{ file = \"new.csv\" }", method), &Solo).0;
    let asked = input(folder.path(), "{ file = \"bare.csv\" }", method);
    let bare: String = NEW.iter().map(|(_, x)| format!("{x}\n")).collect();
    std::fs::write(folder.path().join("bare.csv"), bare).unwrap();
    let (without, report) = ended(&asked, &Solo);
    for (a, b) in with[1].probabilities.iter().zip(&without[1].probabilities) {
        assert!((a.value - b.value).abs() < 1e-15, "{a:?} {b:?}");
    }
    assert!(without[1].scores.is_none() && report.iter().all(|r| !r.0.starts_with("new_")), "{report:?}");
}

#[test]
fn what_cannot_be_predicted_of_cases_is_refused_with_key_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let method = "name = \"tempering\"\nparticles = 200";
    let refused = |predict: &str| pose(&input(folder.path(), predict, method)).err().unwrap().to_string();
    for (predict, words) in [
        ("{ steps = 2 }", ["problem.predict.steps", "= 2", "allowed are file, dataset and draws"]),
        ("{ interval = 1.5 }", ["problem.predict.interval", "1.5", "logistic_regression"]),
        ("{ file = \"absent.csv\" }", ["problem.predict.file", "absent.csv", "no such file"]),
        ("{ file = \"wide.csv\" }", ["problem.predict.file", "has 3 columns", "the data have 2"]),
        ("{ file = \"two.csv\" }", ["problem.predict.file", "row 1", "the label 2 must be 0 or 1"]),
        ("{ dataset = \"x\" }", ["problem.predict.dataset", "\"x\"", "not given"]),
        ("{ draws = 201 }", ["problem.predict.draws", "= 201", "method.particles = 200"]),
    ] {
        std::fs::write(folder.path().join("wide.csv"), "0,1,2\n1,2,3\n").unwrap();
        std::fs::write(folder.path().join("two.csv"), "0,1\n2,3\n").unwrap();
        let message = refused(predict);
        for word in words {
            assert!(message.contains(word), "{predict}: {message:?} does not say {word:?}");
        }
    }
}
