//! The loop on ranks as threads, with a solver that does next to nothing.

use super::*;
use crate::io::read::Reader;
use crate::team::threads;

fn input(method: &str, house: &str) -> Input {
    let text = format!("solver = \"toy\"\n{house}\n[problem]\nsize = 37\n[method]\n{method}\n");
    Input::parse(Path::new("toy.toml"), &text, &[]).unwrap()
}

fn options(directory: &Path) -> Options {
    Options {
        output: directory.to_path_buf(),
        resume: false,
        force: false,
        walltime: None,
        progress: Mode::None,
        style: Style::default(),
        advice: None,
    }
}

fn run_on(ranks: usize, input: &Input, options: &Options) -> Result<Ending> {
    let mut ends = threads::run(ranks, |team| run(input, options, team));
    assert!(ends.windows(2).all(|w| w[0].is_ok() == w[1].is_ok()), "{ends:?}");
    ends.remove(0)
}

fn values(directory: &Path, dataset: &str) -> Vec<f64> {
    Reader::open(&directory.join("output.h5")).unwrap().array(dataset).unwrap().values
}

fn limit() -> Result<Ending> {
    Ok(Ending::Limit("the limit of steps".into()))
}

#[test]
fn a_reached_aim_leaves_output_checkpoint_report_log_and_extras() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    // The distance starts at 36 and halves: 36 / 2^26 < 1e-6.
    assert_eq!(run_on(2, &input("", ""), &options(&out)), Ok(Ending::Converged));
    for file in ["output.h5", "checkpoint.h5", "report.json", "run.log", "toy.txt"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!((report["status"].as_str(), report["steps"].as_u64()), (Some("converged"), Some(26)));
    assert_eq!(report["work"]["amount"].as_f64(), Some(26.0 * 37.0));
    assert_eq!(values(&out, "series/step").len(), 26);
    assert_eq!(values(&out, "results/total"), [report["numbers"][0]["value"].as_f64().unwrap()]);
    let reader = Reader::open(&out.join("output.h5")).unwrap();
    assert_eq!(reader.attribute("/", "status").as_deref(), Some("converged"));
}

#[test]
fn stopped_and_resumed_on_other_ranks_gives_the_same_bits_and_series() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    assert_eq!(run_on(1, &input("", "[run]\nmax_steps = 20"), &options(&whole)), limit());
    let mut go_on = options(&parts);
    assert_eq!(run_on(3, &input("", "[run]\nmax_steps = 7"), &go_on), limit());
    go_on.resume = true;
    assert_eq!(run_on(2, &input("", "[run]\nmax_steps = 20"), &go_on), limit());
    for dataset in ["state/x", "state/distance", "state/steps", "series/step", "series/distance", "results/total"] {
        assert_eq!(values(&whole, dataset), values(&parts, dataset), "{dataset}");
    }
    assert_eq!(values(&parts, "series/step"), (1..=20).map(f64::from).collect::<Vec<_>>());
    // Resumed at its limit, a run makes no step and writes the same.
    assert_eq!(run_on(2, &input("", "[run]\nmax_steps = 20"), &go_on), limit());
    assert_eq!(values(&whole, "state/x"), values(&parts, "state/x"));
}

#[test]
fn a_converged_run_resumed_makes_no_step_but_goes_on_to_a_smaller_tolerance() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    let mut go_on = options(&out);
    assert_eq!(run_on(2, &input("", ""), &go_on), Ok(Ending::Converged));
    let (steps, x) = (values(&out, "state/steps"), values(&out, "state/x"));
    go_on.resume = true;
    assert_eq!(run_on(1, &input("", ""), &go_on), Ok(Ending::Converged));
    assert_eq!((values(&out, "state/steps"), values(&out, "state/x")), (steps.clone(), x));
    assert_eq!(run_on(1, &input("tolerance = 1e-7", ""), &go_on), Ok(Ending::Converged));
    // The largest distance, 36/2^k, falls below 1e-6 at k = 26 and below 1e-7 at k = 29.
    assert_eq!((steps[0], values(&out, "state/steps")[0]), (26.0, 29.0));
}

#[test]
fn series_are_recorded_every_k_steps_and_at_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    assert_eq!(run_on(1, &input("", "[run]\nmax_steps = 11\n[output]\nevery = 4"), &options(&out)), limit());
    assert_eq!(values(&out, "series/step"), [4.0, 8.0, 11.0]);
}

#[test]
fn a_failing_step_ends_with_code_1_and_the_checkpoint_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    let failing = input("fail_at = 9", "[checkpoint]\nevery = 4");
    let error = run_on(3, &failing, &options(&out)).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("step 9: the toy was told to fail"), "{error}");
    assert!(!out.join("output.h5").exists());
    let mut go_on = options(&out);
    go_on.resume = true;
    assert_eq!(run_on(2, &input("", "[run]\nmax_steps = 12"), &go_on), limit());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["resumed_from"].as_u64(), Some(8));
}

#[test]
fn stalling_is_a_result_with_code_3() {
    let dir = tempfile::tempdir().unwrap();
    let ending = run_on(2, &input("floor = 1e-3", ""), &options(&dir.path().join("a.out"))).unwrap();
    assert!(matches!(&ending, Ending::Stalled(why) if why.contains("distance")), "{ending:?}");
    assert_eq!(ending.exit_code(), 3);
}

#[test]
fn an_interrupted_step_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    assert_eq!(run_on(2, &input("interrupt_at = 5", "[run]\nmax_steps = 9"), &options(&a)), limit());
    assert_eq!(run_on(2, &input("", "[run]\nmax_steps = 9"), &options(&b)), limit());
    assert_eq!(values(&a, "state/x"), values(&b, "state/x"));
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    // Bad data: found by build.
    let text = "solver = \"toy\"\n[problem]\nsize = 1000001\n";
    let bad = Input::parse(Path::new("toy.toml"), text, &[]).unwrap();
    let error = run_on(3, &bad, &options(&out)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("toy.toml:3: problem.size = 1000001: must be at most a million"), "{error}");
    // Nothing to resume.
    let mut go_on = options(&out);
    go_on.resume = true;
    let error = run_on(2, &input("", ""), &go_on).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("no checkpoint"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_finished_output_needs_force_and_a_checkpoint_belongs_to_its_problem() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    assert_eq!(run_on(1, &input("", "[run]\nmax_steps = 2"), &options(&out)), limit());
    let error = run_on(2, &input("", ""), &options(&out)).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("--force"), "{error}");
    let mut again = options(&out);
    again.resume = true;
    let other = Input::parse(Path::new("b.toml"), "solver = \"toy\"\n[problem]\nsize = 38\n", &[]).unwrap();
    let error = run_on(2, &other, &again).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("another [problem]"), "{error}");
    again.resume = false;
    again.force = true;
    assert_eq!(run_on(2, &other, &again), Ok(Ending::Converged));
    assert_eq!(values(&out, "state/x").len(), 38);
}
