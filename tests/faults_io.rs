//! Files of results and checkpoints: the same on any number of ranks, as threads and under mpirun, and whole or not
//! at all when the disk is full, a file is damaged or a rank is killed.
//!
//! This binary has its own `main`: started by mpirun with `--program NAME DIR` it is one rank of a small job.

#[path = "faults_io/jobs.rs"]
mod jobs;
#[path = "faults_io/toy.rs"]
mod toy;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jobs::{Ended, at_once, job, launches, our_words, run_as_rank};
use spanwise::io::{self, Storage, read::Reader};
use spanwise::team;
use toy::*;

fn datasets_do_not_depend_on_the_number_of_ranks_or_how_they_talk() {
    for compression in [0, 4] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("solo.h5");
        save(&path, &team::Solo, compression, 0.0).unwrap();
        let expected = dump(&path);
        assert!(expected.contains_key("@input=solver = \"toy\"\n# ε = 1\n"), "{:?}", expected.keys());
        assert_eq!(expected["state/field"].0, FIELD_SHAPE);
        assert_eq!(expected["state/field"].1[53 * 36 + 52], (1960.0f64 * 0.37).sin().to_bits());
        assert_eq!(expected["state/columns"].1[11 + 10], 110f64.to_bits());
        assert_eq!(expected["state/few"].1[2], (-2f64).to_bits());
        assert_eq!(expected["series/error"].1[2], 1e-300f64.to_bits());
        for ranks in [2, 3, 4, 7] {
            let path = dir.path().join(format!("threads{ranks}.h5"));
            team::threads::run(ranks, |team| save(&path, team, compression, 0.0)).into_iter().for_each(|r| r.unwrap());
            assert_eq!(dump(&path), expected, "{ranks} threads");
        }
        for ranks in if cfg!(feature = "mpi") { 1..5 } else { 0..1 } {
            let ended = job(ranks, if compression > 0 { "save_compressed" } else { "save" }, dir.path());
            assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ranks} ranks");
            assert_eq!(dump(&dir.path().join("output.h5")), expected, "{ranks} ranks under mpirun");
            assert_eq!(
                Reader::open(&dir.path().join("output.h5")).unwrap().attribute("provenance", "ranks").unwrap(),
                ranks.max(1).to_string()
            );
        }
        assert!(temporaries(dir.path()).is_empty());
    }
}

fn records_of_segments_are_joined_alike_on_any_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("output.h5");
    save_fields(dir.path(), &team::Solo).unwrap();
    let expected = dump(&path);
    assert_eq!(expected["fields/wave"].0, [8, 13, 17]);
    assert_eq!(expected["fields/wave"].1[(7 * 13 + 12) * 17 + 16], 71_216f64.to_bits());
    assert_eq!(expected["fields/step"].1[7], 21f64.to_bits());
    assert_eq!(expected["state/large"].0, [LARGE_LEN]);
    assert!(!dir.path().join("fields.1.h5").exists(), "segments are removed when their records are in output.h5");
    for ranks in [2, 3, 7] {
        team::threads::run(ranks, |team| save_fields(dir.path(), team)).into_iter().for_each(|r| r.unwrap());
        assert_eq!(dump(&path), expected, "{ranks} threads");
    }
    for ranks in if cfg!(feature = "mpi") { 1..5 } else { 0..1 } {
        let ended = job(ranks, "fields", dir.path());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ranks} ranks");
        assert_eq!(dump(&path), expected, "{ranks} ranks under mpirun");
    }
    if let Ok(python) = std::env::var("SPANWISE_PYTHON") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/check_fields.py");
        let output = std::process::Command::new(&python).arg(script).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn a_file_takes_no_more_than_was_predicted_and_keeps_no_slack() {
    let team = team::Solo;
    for (compression, most) in [(0, 1.05), (9, 0.2)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output.h5");
        save(&path, &team, compression, 0.0).unwrap();
        let mut toy = Toy::new(&team, 0.0);
        let predicted =
            io::file_bytes(&header(&team), Storage::output(compression), &mut |s| toy.walk(s)).unwrap() as f64;
        let raw = (LARGE_LEN * 8) as f64;
        let size = fs::metadata(&path).unwrap().len() as f64;
        assert!(size <= predicted && size < most * raw, "{size} bytes, {predicted} predicted, {raw} raw");
    }
}

fn a_checkpoint_loads_on_any_number_of_ranks() {
    for &writers in launches() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(job(writers, "checkpoint", dir.path()).code, Some(0));
        for readers in [1, 2, 5] {
            for (offset, warnings) in
                team::threads::run(readers, |team| load_checkpoint(dir.path(), team)).into_iter().map(|r| r.unwrap())
            {
                assert_eq!((offset, warnings.len()), (2.0, 0));
            }
        }
        if cfg!(feature = "mpi") {
            let ended = job(4 - writers, "load", dir.path());
            assert_eq!(ended.out.trim(), "offset 2, 0 warnings: []", "{}", ended.err);
        }
        // The one before is kept, under its own name; a third would go.
        let names: Vec<_> =
            ["checkpoint.h5", "checkpoint.1.h5", "checkpoint.2.h5"].map(|n| dir.path().join(n).exists()).into();
        assert_eq!(names, [true, true, false]);
    }
}

fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 4] = [
        ("cut in half", |p| {
            fs::File::options().write(true).open(p).unwrap().set_len(fs::metadata(p).unwrap().len() / 2).unwrap()
        }),
        ("a bit flipped", |p| {
            let mut bytes = fs::read(p).unwrap();
            let at = bytes.len() * 3 / 4;
            bytes[at] ^= 4;
            fs::write(p, bytes).unwrap();
        }),
        ("not HDF5", |p| fs::write(p, "these are not the bytes").unwrap()),
        ("empty", |p| fs::write(p, "").unwrap()),
    ];
    for (what, spoil) in damage {
        at_once(if what == "a bit flipped" { launches() } else { &launches()[launches().len() - 1..] }, |ranks| {
            let dir = tempfile::tempdir().unwrap();
            save_checkpoint(dir.path(), &team::Solo, 1.0).unwrap();
            save_checkpoint(dir.path(), &team::Solo, 2.0).unwrap();
            spoil(&dir.path().join("checkpoint.h5"));
            let ended = job(ranks, "load", dir.path());
            assert!(ended.out.starts_with("offset 1, 1 warnings"), "{what}, {ranks} ranks: {}{}", ended.out, ended.err);
            assert!(ended.out.contains("checkpoint.h5"), "{what}: {}", ended.out);
            // Both bad: an error, one message, code 1.
            spoil(&dir.path().join("checkpoint.1.h5"));
            let ended = job(ranks, "load", dir.path());
            let words = our_words(&ended.err);
            assert_eq!((ended.code, words.len()), (Some(1), 1), "{what}, {ranks} ranks: {}", ended.err);
            assert!(words[0].contains("no usable checkpoint"), "{what}: {words:?}");
        });
    }
}

fn no_flipped_bit_reaches_a_loaded_state() {
    let dir = tempfile::tempdir().unwrap();
    let team = team::Solo;
    save_checkpoint(dir.path(), &team, 1.0).unwrap();
    save_checkpoint(dir.path(), &team, 2.0).unwrap();
    let path = dir.path().join("checkpoint.h5");
    let good = fs::read(&path).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    // Metadata densely (it is at the ends and around), data sparsely.
    let spots = (0..good.len()).filter(|i| if *i < 40_000 { i % 97 == 0 } else { i % 40_009 == 0 });
    for (k, at) in spots.enumerate() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (k % 8);
        fs::write(&path, bytes).unwrap();
        // `load_checkpoint` compares every bit of what it loads.
        match load_checkpoint(dir.path(), &team) {
            Ok((2.0, _)) => harmless += 1,
            Ok((1.0, warnings)) => {
                assert_eq!(warnings.len(), 1);
                refused += 1;
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
    assert!(refused > 100, "{refused} refused, {harmless} without effect");
}

/// A job over good files of an earlier one.
struct Attempt {
    dir: tempfile::TempDir,
    before: Vec<u8>,
    ended: Ended,
    took: Duration,
    what: String,
}

impl Attempt {
    fn new(ranks: usize, which: &str) -> Attempt {
        let dir = tempfile::tempdir().unwrap();
        save(&dir.path().join("output.h5"), &team::Solo, 0, 0.0).unwrap();
        save_checkpoint(dir.path(), &team::Solo, 1.0).unwrap();
        let before = fs::read(dir.path().join("output.h5")).unwrap();
        let start = Instant::now();
        let ended = job(ranks, which, dir.path());
        let what = format!("{which} on {ranks} ranks: {:?} {}", ended.code, ended.err);
        Attempt { dir, before, ended, took: start.elapsed(), what }
    }

    /// It ended with exit code 1 in less than so many seconds and left the files as they were.
    fn failed_without_harm(&self, seconds: u64) {
        let (dir, what) = (self.dir.path(), &self.what);
        assert_eq!(self.ended.code, Some(1), "{what}");
        assert!(self.took < Duration::from_secs(seconds), "{what}");
        assert_eq!(fs::read(dir.join("output.h5")).unwrap(), self.before, "{what}");
        assert_eq!(load_checkpoint(dir, &team::Solo).unwrap().0, 1.0, "{what}");
        assert!(temporaries(dir).is_empty(), "{what}");
    }
}

fn a_full_disk_ends_the_job_in_words_and_leaves_the_old_file() {
    at_once(launches(), |ranks| {
        for which in ["full", "full_compressed", "full_on_root", "full_on_last", "full_checkpoint"] {
            let attempt = Attempt::new(ranks, which);
            let Attempt { dir, ended, what, .. } = &attempt;
            // Who writes for whom is MPI-IO's choice (or rank 0 writes for all): a limit on a rank that writes nothing
            // hurts nobody, and then the new file must be whole.
            if which == "full_on_last" && ranks > 1 && ended.code == Some(0) {
                let expected = dir.path().join("expected.h5");
                save(&expected, &team::Solo, 0, 3.0).unwrap();
                assert_eq!(dump(&dir.path().join("output.h5")), dump(&expected), "{what}");
                continue;
            }
            attempt.failed_without_harm(10);
            let words = our_words(&ended.err);
            assert_eq!(words.len(), 1, "{what}");
            let file = if which == "full_checkpoint" { "checkpoint.h5" } else { "output.h5" };
            // A rank that fails alone, past the reservation, has only MPI-IO's word for it.
            let cause = words[0].contains("File too large")
                || which == "full_on_last" && words[0].contains("writing state/large: H5Dwrite()");
            assert!(words[0].contains(file) && cause, "{what}");
        }
    });
}

/// A write or a flush that fails on some ranks leaves the others in a collective call of MPI-IO: the job must end, not
/// wait.
fn a_disk_that_fills_up_after_the_reservation_ends_the_job_with_one_message() {
    at_once(launches(), |ranks| {
        for which in ["full_late", "full_late_on_last", "full_late_checkpoint", "full_at_flush"] {
            let attempt = Attempt::new(ranks, which);
            let Attempt { dir, ended, what, .. } = &attempt;
            // As above: who writes is MPI-IO's choice.
            if which == "full_late_on_last" && ranks > 1 && ended.code == Some(0) {
                continue;
            }
            // Open MPI's file operations do not tell of a write that was cut short; the checksum does, and the one before
            // is taken.
            if which == "full_late_checkpoint" && ranks > 1 && ended.code == Some(0) {
                let (offset, warnings) = load_checkpoint(dir.path(), &team::Solo).unwrap();
                assert_eq!((offset, warnings.len()), (1.0, 1), "{what}");
                continue;
            }
            attempt.failed_without_harm(15);
            let file = if which.contains("on_last") || which == "full_late" { "output.h5" } else { "checkpoint.h5" };
            let file = dir.path().join(file).display().to_string();
            assert_eq!(ended.err.lines().filter(|l| l.contains(&file)).count(), 1, "{what}");
        }
    });
}

fn a_kill_while_writing_leaves_the_old_file() {
    at_once(launches(), |ranks| {
        let dir = tempfile::tempdir().unwrap();
        let team = team::Solo;
        let path = dir.path().join("output.h5");
        save(&path, &team, 0, 0.0).unwrap();
        let before = fs::read(&path).unwrap();
        let ended = job(ranks, "killed", dir.path());
        assert_ne!(ended.code, Some(0), "{ranks} ranks");
        assert_eq!(fs::read(&path).unwrap(), before);
        // What it left behind is in nobody's way.
        save(&path, &team, 0, 5.0).unwrap();
        assert!(temporaries(dir.path()).is_empty());
    });
}

/// Only where the readers' virtual environment is: `make test` sets `SPANWISE_PYTHON`.
fn python_readers_open_what_was_written() {
    let Ok(python) = std::env::var("SPANWISE_PYTHON") else {
        println!("    not run: SPANWISE_PYTHON names no interpreter");
        return;
    };
    for &ranks in launches() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(job(ranks, "save_compressed", dir.path()).code, Some(0));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/check_raw.py");
        let output =
            std::process::Command::new(&python).arg(script).arg(dir.path().join("output.h5")).output().unwrap();
        assert!(output.status.success(), "{ranks} ranks: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The same array by NumPy and h5py in several types, byte orders and layouts.
fn arrays_written_by_python_are_read() {
    let Ok(python) = std::env::var("SPANWISE_PYTHON") else {
        println!("    not run: SPANWISE_PYTHON names no interpreter");
        return;
    };
    let script = "
import sys, h5py, numpy as np
a = np.arange(60.0).reshape(5, 4, 3)
for i, b in enumerate([a, np.asfortranarray(a), a.astype('>f4'), a.astype('u1'), np.asfortranarray(a.astype('>i8'))]):
    np.save(f'{sys.argv[1]}/{i}.npy', b)
    np.savez(f'{sys.argv[1]}/{i}.plain.npz', b=b)
    np.savez_compressed(f'{sys.argv[1]}/{i}.deflated.npz', b=b)
    with h5py.File(f'{sys.argv[1]}/{i}.h5', 'w') as f:
        f.create_dataset('deep/b', data=b, compression='gzip', shuffle=True)
";
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(&python).args(["-c", script]).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<f64> = (12..48).map(f64::from).collect();
    for i in 0..5 {
        for end in ["npy", "plain.npz", "deflated.npz", "h5"] {
            let array = io::ArrayFile::open(&dir.path().join(format!("{i}.{end}")), None).unwrap();
            assert_eq!(array.shape(), [5, 4, 3]);
            assert_eq!(array.read_rows(1..4).unwrap(), expected, "{i}.{end}");
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, which, dir] = &arguments[..]
        && flag == "--program"
    {
        run_as_rank(which, Path::new(dir));
    }
    let tests: [(&str, fn()); 11] = [
        (
            "datasets_do_not_depend_on_the_number_of_ranks_or_how_they_talk",
            datasets_do_not_depend_on_the_number_of_ranks_or_how_they_talk,
        ),
        (
            "records_of_segments_are_joined_alike_on_any_number_of_ranks",
            records_of_segments_are_joined_alike_on_any_number_of_ranks,
        ),
        (
            "a_file_takes_no_more_than_was_predicted_and_keeps_no_slack",
            a_file_takes_no_more_than_was_predicted_and_keeps_no_slack,
        ),
        ("a_checkpoint_loads_on_any_number_of_ranks", a_checkpoint_loads_on_any_number_of_ranks),
        ("a_damaged_checkpoint_falls_back_to_the_one_before", a_damaged_checkpoint_falls_back_to_the_one_before),
        ("no_flipped_bit_reaches_a_loaded_state", no_flipped_bit_reaches_a_loaded_state),
        (
            "a_full_disk_ends_the_job_in_words_and_leaves_the_old_file",
            a_full_disk_ends_the_job_in_words_and_leaves_the_old_file,
        ),
        (
            "a_disk_that_fills_up_after_the_reservation_ends_the_job_with_one_message",
            a_disk_that_fills_up_after_the_reservation_ends_the_job_with_one_message,
        ),
        ("a_kill_while_writing_leaves_the_old_file", a_kill_while_writing_leaves_the_old_file),
        ("python_readers_open_what_was_written", python_readers_open_what_was_written),
        ("arrays_written_by_python_are_read", arrays_written_by_python_are_read),
    ];
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    for (name, test) in tests.iter().filter(|(name, _)| wanted(name)) {
        let start = Instant::now();
        test();
        println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
    }
}
