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
fn no_input_of_the_suite_is_another_problem_when_a_key_is_set_from_outside() {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs");
    let rooms = std::fs::read_dir(&inputs).unwrap().map(|room| room.unwrap().path()).filter(|room| room.is_dir());
    let files = rooms.flat_map(|room| std::fs::read_dir(room).unwrap().map(|file| file.unwrap().path()));
    let mut seen = 0;
    for path in files.filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = |set: &[String]| -> toml::Table {
            Input::parse(&path, &text, set).unwrap_or_else(|e| panic!("{path:?}: {e}")).text.parse().unwrap()
        };
        let (plain, set) = (parsed(&[]), parsed(&["run.max_steps=7".to_string()]));
        for section in ["problem", "method"] {
            let of =
                |table: &toml::Table| table.get(section).and_then(toml::Value::as_table).cloned().unwrap_or_default();
            assert_eq!(different(&of(&plain), &of(&set)), Vec::<String>::new(), "{path:?}");
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    let one = table("a = { x = [1, nan], y = 2.0 }\nb = 1");
    assert_eq!(different(&one, &table("b = 1.0\na = { y = 2, x = [1.0, nan] }")), Vec::<String>::new());
    assert_eq!(different(&one, &table("a = { x = [1, nan], y = 2.5 }\nb = 1\nc = 0")), ["a", "c"]);
}

#[test]
fn series_are_recorded_every_k_steps_and_at_the_last_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    assert_eq!(run_on(1, &input("", "[run]\nmax_steps = 11\n[output]\nevery = 4"), &options(&out)), limit());
    assert_eq!(values(&out, "series/step"), [4.0, 8.0, 11.0]);
    // One that goes on has the series of a run that never stopped.
    let go_on = Options { resume: true, ..options(&out) };
    assert_eq!(run_on(2, &input("", "[run]\nmax_steps = 17\n[output]\nevery = 4"), &go_on), limit());
    assert_eq!(values(&out, "series/step"), [4.0, 8.0, 12.0, 16.0, 17.0]);
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
fn a_run_whose_results_are_interrupted_has_not_converged_and_makes_them_when_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.out");
    let ending = run_on(2, &input("interrupt_results = true", ""), &options(&out)).unwrap();
    assert!(matches!(&ending, Ending::Limit(why) if why.contains("while its results were made")), "{ending:?}");
    assert_eq!(ending.exit_code(), 3);
    let reader = Reader::open(&out.join("output.h5")).unwrap();
    assert_eq!((reader.attribute("/", "status").as_deref(), reader.has("results/total")), (Some("limit"), false));
    let go_on = Options { resume: true, ..options(&out) };
    assert_eq!(run_on(1, &input("", ""), &go_on), Ok(Ending::Converged));
    assert_eq!(values(&out, "state/steps"), [26.0]);
    assert_eq!(values(&out, "results/total").len(), 1);
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

const RECORDS: [&str; 7] = ["time", "step", "item", "x", "powers", "distance", "ends"];

fn segments(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| n.starts_with("fields.")).collect();
    names.sort();
    names
}

#[test]
fn records_in_time_have_the_same_bits_on_any_ranks_and_after_any_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let method = "snapshots = 3";
    assert_eq!(run_on(1, &input(method, "[run]\nmax_steps = 23"), &options(&whole)), limit());
    assert_eq!(values(&whole, "fields/step"), [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0]);
    assert_eq!(values(&whole, "fields/time"), [0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 10.5]);
    // x_i = i (1 − 2^−step), exactly.
    let x = values(&whole, "fields/x");
    assert_eq!((x.len(), x[2 * 37 + 36]), (8 * 37, 36.0 * (1.0 - 0.5f64.powi(6))));
    let reader = Reader::open(&whole.join("output.h5")).unwrap();
    assert_eq!(reader.axes("fields/powers").unwrap(), ["time", "item", "power"]);
    assert_eq!(reader.shape("fields/powers").unwrap(), [8, 37, 3]);
    assert_eq!(reader.axes("fields/ends").unwrap(), ["time", "end"]);
    assert_eq!(reader.attribute("fields/time", "units").as_deref(), Some("s"));
    assert_eq!(reader.attribute("series/distance", "coordinates").as_deref(), Some("time"));
    assert_eq!(reader.attribute("series/time", "coordinates"), None);
    assert_eq!(values(&whole, "series/time"), (0..=23).map(|i| 0.5 * i as f64).collect::<Vec<_>>());

    // Killed after step 13, checkpoints at 5 and 10: the records of step 12 are lost with it, and made again.
    let failing = input("snapshots = 3\nfail_at = 14", "[checkpoint]\nevery = 5");
    run_on(3, &failing, &options(&parts)).unwrap_err();
    assert_eq!(segments(&parts), ["fields.1.h5", "fields.2.h5"]);
    let mut go_on = options(&parts);
    go_on.resume = true;
    assert_eq!(run_on(2, &input(method, "[run]\nmax_steps = 18"), &go_on), limit());
    assert_eq!(segments(&parts), [] as [String; 0], "joined into output.h5");
    // An output that ended at a limit goes on, with its own records.
    assert_eq!(run_on(3, &input(method, "[run]\nmax_steps = 23"), &go_on), limit());
    for name in RECORDS {
        let name = format!("fields/{name}");
        assert_eq!(values(&whole, &name), values(&parts, &name), "{name}");
    }
    assert_eq!(values(&whole, "series/time"), values(&parts, "series/time"));
}

#[test]
fn records_later_than_the_checkpoint_and_those_of_other_runs_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (out, whole) = (dir.path().join("a"), dir.path().join("b"));
    let with = |method: &str| input(method, "[checkpoint]\nevery = 4\n[run]\nmax_steps = 11");
    // A finished output of one run, started over by another that fails after two checkpoints …
    assert_eq!(run_on(1, &with("snapshots = 1"), &options(&out)), limit());
    let mut again = options(&out);
    again.force = true;
    run_on(2, &with("snapshots = 2\nfail_at = 10"), &again).unwrap_err();
    assert_eq!(segments(&out), ["fields.1.h5", "fields.2.h5"]);
    // … whose newest checkpoint is then damaged: step 4 is what is left, and the records of steps 6 and 8 are made again.
    std::fs::write(out.join("checkpoint.h5"), "damaged").unwrap();
    again.force = false;
    again.resume = true;
    assert_eq!(run_on(3, &with("snapshots = 2"), &again), limit());
    assert_eq!(values(&out, "fields/step"), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    assert_eq!(run_on(1, &with("snapshots = 2"), &options(&whole)), limit());
    for name in RECORDS {
        let name = format!("fields/{name}");
        assert_eq!(values(&whole, &name), values(&out, &name), "{name}");
    }
}

/// 20 MB per record go to a file at once on one rank, and wait in memory on three.
#[test]
fn large_records_are_written_at_once_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"toy\"\n[run]\nmax_steps = 4\n[output]\ncompression = 1\n[problem]\nsize = 1000000\n\
                [method]\nsnapshots = 2\n";
    let large = Input::parse(Path::new("toy.toml"), text, &[]).unwrap();
    let outs = [1, 3].map(|ranks| {
        let out = dir.path().join(ranks.to_string());
        assert_eq!(run_on(ranks, &large, &options(&out)), limit());
        out
    });
    assert_eq!(values(&outs[0], "fields/step"), [0.0, 2.0, 4.0]);
    let x = values(&outs[0], "fields/x");
    assert!(x[2_000_000..].iter().enumerate().all(|(i, &x)| x == i as f64 * (1.0 - 0.5f64.powi(4))));
    for name in RECORDS {
        let name = format!("fields/{name}");
        assert!(values(&outs[0], &name) == values(&outs[1], &name), "{name}");
    }
}

#[test]
fn results_have_the_last_word_on_how_a_run_ended() {
    let (stalled, limit) = (|why: &str| Ending::Stalled(why.into()), || Ending::Limit("the limit of steps".into()));
    let missed = || Some(Outcome::Stalled("error 2e-6".into()));
    assert_eq!(confirmed(Ending::Converged, missed()), stalled("error 2e-6"));
    assert_eq!(confirmed(stalled("error 1e-6"), missed()), stalled("error 2e-6"));
    assert_eq!(confirmed(limit(), missed()), limit(), "more steps may do");
    for ending in [Ending::Converged, stalled("error 2e-6"), limit()] {
        assert_eq!(confirmed(ending.clone(), Some(Outcome::Reached)), Ending::Converged);
        assert_eq!(confirmed(ending.clone(), None), ending);
    }
}
