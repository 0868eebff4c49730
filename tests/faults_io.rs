//! Files of results and checkpoints: the same on any number of ranks, as threads and under mpirun, and whole or not
//! at all when the disk is full, a file is damaged or a rank is killed.
//!
//! This binary has its own `main`: started by mpirun with `--program NAME DIR` it is one rank of a small job.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use spanwise::error::Result;
use spanwise::io::{self, Checkpoint, Header, Sections, Segments, Storage, checkpoint, read::Reader};
use spanwise::state::{Hyperslab, Name};
use spanwise::team::{self, Partition, Team};

const fn name(name: &'static str, units: &'static str, axes: &'static [&'static str]) -> Name {
    Name { name, units, meaning: "a value of the toy", axes }
}
const FIELD: Name = name("field", "m s-1", &["x", "y"]);
const COLUMNS: Name = name("columns", "1", &["row", "column"]);
const LARGE: Name = name("large", "K", &["i"]);
const FEW: Name = name("few", "1", &["item"]);
const NONE: Name = name("none", "1", &["nothing"]);
const GREYS: Name = name("greys", "1", &["pixel"]);
const LEVEL: Name = name("level", "J", &[]);
const MOMENTS: Name = name("moments", "1", &["moment"]);
const COUNT: Name = name("count", "1", &[]);
const X: Name = name("x", "m", &["x"]);
const STEP: Name = name("step", "1", &["step"]);
const ERROR: Name = name("error", "1", &["step"]);

/// Something with every kind of value, cut among ranks in rows and in columns; more ranks than items in places.
struct Toy {
    rank: usize,
    size: usize,
    field: Vec<f64>,
    columns: Vec<f32>,
    large: Vec<f64>,
    few: Vec<i64>,
    greys: Vec<u8>,
    level: f64,
    moments: [f64; 3],
    count: u64,
    x: Vec<f64>,
    steps: Vec<f64>,
    errors: Vec<f64>,
}

const FIELD_SHAPE: [usize; 2] = [37, 53];
const COLUMNS_SHAPE: [usize; 2] = [4, 11];
const LARGE_LEN: usize = 300_007;
const FEW_LEN: usize = 3;
const GREYS_LEN: usize = 101;

impl Toy {
    fn new(team: &dyn Team, offset: f64) -> Self {
        let (rank, size) = (team.rank(), team.size());
        let mine = |n| Partition::new(n, rank, size).mine();
        let [rows, cols] = FIELD_SHAPE;
        let wave = |i: usize| offset + (i as f64 * 0.37).sin();
        Toy {
            rank,
            size,
            field: mine(rows).flat_map(|i| (0..cols).map(move |j| wave(i * cols + j))).collect(),
            columns: (0..COLUMNS_SHAPE[0])
                .flat_map(|i| mine(COLUMNS_SHAPE[1]).map(move |j| (100 * i + j) as f32 + offset as f32))
                .collect(),
            large: mine(LARGE_LEN).map(|i| (i / 64) as f64 + offset).collect(),
            few: mine(FEW_LEN).map(|i| -(i as i64) - offset as i64).collect(),
            greys: mine(GREYS_LEN).map(|i| i as u8).collect(),
            level: 0.1 + offset,
            moments: [1.0, f64::MIN_POSITIVE / 4.0, -0.0],
            count: u64::MAX - 1,
            x: mine(rows).map(|i| i as f64 / 7.0).collect(),
            steps: vec![0.0, 1.0, 5.0],
            errors: vec![1.0, 0.5, 1e-300],
        }
    }

    fn blank(team: &dyn Team) -> Self {
        let mut toy = Toy::new(team, 0.0);
        toy.field.fill(f64::NAN);
        toy.columns.fill(f32::NAN);
        toy.large.fill(f64::NAN);
        toy.few.fill(0);
        toy.greys.fill(255);
        toy.x.fill(f64::NAN);
        (toy.level, toy.moments, toy.count) = (f64::NAN, [9.0; 3], 0);
        (toy.steps, toy.errors) = (vec![], vec![4.0; 9]);
        toy
    }

    fn walk(&mut self, out: &mut dyn Sections) -> Result<()> {
        let mine = |n: usize| Partition::new(n, self.rank, self.size).mine();
        let cut = mine(COLUMNS_SHAPE[1]);
        let in_columns = Hyperslab { start: vec![0, cut.start], count: vec![COLUMNS_SHAPE[0], cut.len()] };
        let state = out.section("state");
        state.block(&FIELD, &FIELD_SHAPE, &Hyperslab::rows(mine(FIELD_SHAPE[0]), &[53]), (&mut self.field).into())?;
        state.block(&COLUMNS, &COLUMNS_SHAPE, &in_columns, (&mut self.columns).into())?;
        state.block(&LARGE, &[LARGE_LEN], &Hyperslab::rows(mine(LARGE_LEN), &[]), (&mut self.large).into())?;
        state.block(&FEW, &[FEW_LEN], &Hyperslab::rows(mine(FEW_LEN), &[]), (&mut self.few).into())?;
        state.block(&NONE, &[0], &Hyperslab::rows(0..0, &[]), (&mut [] as &mut [f64]).into())?;
        state.block(&GREYS, &[GREYS_LEN], &Hyperslab::rows(mine(GREYS_LEN), &[]), (&mut self.greys).into())?;
        state.scalar(&LEVEL, (&mut self.level).into())?;
        state.scalar(&MOMENTS, (&mut self.moments[..]).into())?;
        state.scalar(&COUNT, (&mut self.count).into())?;
        state.block(&X, &[FIELD_SHAPE[0]], &Hyperslab::rows(mine(FIELD_SHAPE[0]), &[]), (&mut self.x).into())?;
        let series = out.section("series");
        series.series(&STEP, &mut self.steps)?;
        series.series(&ERROR, &mut self.errors)
    }

    /// Every value's bits.
    fn bits(&self) -> Vec<u64> {
        let mut bits: Vec<u64> = [&self.field, &self.large, &self.x, &self.steps, &self.errors]
            .iter()
            .flat_map(|v| v.iter().map(|x| x.to_bits()))
            .collect();
        bits.extend(self.columns.iter().map(|x| u64::from(x.to_bits())));
        bits.extend(self.few.iter().map(|&x| x as u64));
        bits.extend(self.greys.iter().map(|&x| u64::from(x)));
        bits.extend(self.moments.iter().map(|x| x.to_bits()));
        bits.extend([self.level.to_bits(), self.count]);
        bits
    }
}

fn header(team: &dyn Team) -> Header {
    Header {
        solver: "toy".into(),
        input: "solver = \"toy\"\n# ε = 1\n".into(),
        seed: 7,
        status: "converged".into(),
        provenance: vec![("ranks".into(), team.size().to_string()), ("threads".into(), "1".into())],
    }
}

fn save(path: &Path, team: &dyn Team, compression: u8, offset: f64) -> Result<()> {
    let mut toy = Toy::new(team, offset);
    io::save(path, &header(team), Storage::output(compression), team, &mut |s| toy.walk(s))
}

fn save_checkpoint(dir: &Path, team: &dyn Team, offset: f64) -> Result<()> {
    let mut toy = Toy::new(team, offset);
    checkpoint::save(dir, 2, &header(team), team, &mut |s| toy.walk(s)).map(drop)
}

/// Loads the newest good checkpoint and compares it with the toy of some offset; returns the offset and warnings.
fn load_checkpoint(dir: &Path, team: &dyn Team) -> Result<(f64, Vec<String>)> {
    let checkpoint = Checkpoint::newest(dir, team)?.expect("a checkpoint is there");
    assert_eq!(checkpoint.header("solver"), Some("toy"));
    assert_eq!(checkpoint.header("seed"), Some("7"));
    let mut toy = Toy::blank(team);
    checkpoint.load(team, &mut |s| toy.walk(s))?;
    let offset = (toy.level - 0.1).round();
    assert_eq!(toy.bits(), Toy::new(team, offset).bits());
    Ok((offset, checkpoint.warnings))
}

/// Shapes and bits of all datasets, attributes of the root that do not depend on the time.
fn dump(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u64>)> {
    let reader = Reader::open(path).unwrap();
    let mut all = BTreeMap::new();
    for group in reader.groups() {
        for dataset in reader.datasets(&group) {
            let array = reader.array(&format!("{group}/{dataset}")).unwrap();
            all.insert(format!("{group}/{dataset}"), (array.shape, array.values.iter().map(|x| x.to_bits()).collect()));
        }
    }
    for (key, value) in reader.attributes("/") {
        if key != "created" {
            all.insert(format!("@{key}={value}"), Default::default());
        }
    }
    all
}

fn temporaries(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|n| n.ends_with(".tmp")).collect()
}

/// Eight records of a 13 × 17 grid cut in both axes, in segments of five and three, joined.
fn save_fields(dir: &Path, team: &dyn Team) -> Result<()> {
    const TIME: Name = name("time", "s", &["time"]);
    const STEP: Name = name("step", "1", &["time"]);
    const WAVE: Name = name("wave", "m", &["time", "x", "y"]);
    const MEAN: Name = name("mean", "m", &["time"]);
    const POSITION: Name = name("x", "m", &["x"]);
    let (rows, columns) = (team.size().div_ceil(2), team.size().min(2));
    // An odd number of ranks leaves one place of the 2-D grid of ranks: its first rank holds both halves of its rows.
    let alone = team.rank() + 1 == team.size() && team.size() % 2 == 1;
    let i = Partition::new(13, team.rank() / columns, rows).mine();
    let j = if alone { 0..17 } else { Partition::new(17, team.rank() % columns, columns).mine() };
    let mut segments = Segments::start(dir, team)?;
    for records in [0..5usize, 5..8] {
        let n = records.len();
        let slab = Hyperslab { start: vec![0, i.start, j.start], count: vec![n, i.len(), j.len()] };
        let mut wave = Vec::new();
        for t in records.clone() {
            for i in i.clone() {
                wave.extend(j.clone().map(|j| (10_000 * t + 100 * i + j) as f64));
            }
        }
        let mut times: Vec<f64> = records.clone().map(|t| 0.25 * t as f64).collect();
        let mut steps: Vec<f64> = records.clone().map(|t| 3.0 * t as f64).collect();
        let mine = if team.rank() == 0 { 0..n } else { n..n };
        let mut means: Vec<f64> = records.clone().map(|t| 10_000.0 * t as f64 + 608.0).collect();
        let stamps = steps.clone();
        segments.save(&header(team), &stamps, team, &mut |s| {
            let walk = s.section("fields");
            walk.scalar(&TIME, times[..].as_mut().into())?;
            walk.scalar(&STEP, steps[..].as_mut().into())?;
            walk.scalar(&POSITION, (0..13).map(|i| i as f64 / 13.0).collect::<Vec<f64>>()[..].as_mut().into())?;
            walk.block(&WAVE, &[n, 13, 17], &slab, (&mut wave).into())?;
            walk.block(&MEAN, &[n], &Hyperslab::rows(mine.clone(), &[]), (&mut means[mine.clone()]).into())
        })?;
    }
    let mut toy = Toy::new(team, 0.0);
    let storage = Storage { compression: 4, checksums: false };
    io::save_joined(&dir.join("output.h5"), &header(team), storage, team, &mut |s| toy.walk(s), Some(&segments))?;
    segments.published(team)
}

// ---- what each rank does ----

fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
}

/// One rank of a job; the exit code is the suite's.
fn program(which: &str, dir: &Path, team: &dyn Team) -> Result<()> {
    let output = dir.join("output.h5");
    match which {
        "save" => save(&output, team, 0, 0.0),
        "save_compressed" => save(&output, team, 4, 0.0),
        "fields" => save_fields(dir, team),
        "checkpoint" => save_checkpoint(dir, team, 1.0).and_then(|()| save_checkpoint(dir, team, 2.0)),
        "load" => {
            let (offset, warnings) = load_checkpoint(dir, team)?;
            if team.rank() == 0 {
                println!("offset {offset}, {} warnings: {warnings:?}", warnings.len());
            }
            Ok(())
        }
        // The disk is full: for all, or (as a quota or a failing mount may look) for one rank only.
        "full" | "full_compressed" | "full_on_root" | "full_on_last" | "full_checkpoint" => {
            let hit = match which {
                "full_on_root" => team.rank() == 0,
                "full_on_last" => team.rank() + 1 == team.size(),
                _ => true,
            };
            if hit {
                limit_file_size(1 << 20);
            }
            match which {
                "full_checkpoint" => save_checkpoint(dir, team, 3.0),
                "full_compressed" => save(&output, team, 9, 3.0),
                _ => save(&output, team, 0, 3.0),
            }
        }
        // The disk fills up after the reservation: before the blocks are written, or when what HDF5 keeps in memory is
        // all that is left to write.
        "full_late" | "full_late_on_last" | "full_late_checkpoint" | "full_at_flush" => {
            let mut toy = Toy::new(team, 3.0);
            let mut pass = 0;
            let hit = which != "full_late_on_last" || team.rank() + 1 == team.size();
            let mut fill = |s: &mut dyn Sections| {
                pass += 1;
                if pass == 2 && hit && which != "full_at_flush" {
                    limit_file_size(1 << 16);
                }
                toy.walk(s)?;
                if pass == 2 && which == "full_at_flush" {
                    limit_file_size(1 << 12);
                }
                Ok(())
            };
            match which {
                "full_late_checkpoint" | "full_at_flush" => {
                    checkpoint::save(dir, 2, &header(team), team, &mut fill).map(drop)
                }
                _ => io::save(&output, &header(team), Storage::output(0), team, &mut fill),
            }
        }
        // The last rank dies between the blocks of the second pass.
        "killed" => {
            let mut toy = Toy::new(team, 3.0);
            let mut pass = 0;
            io::save(&output, &header(team), Storage::output(0), team, &mut |s| {
                toy.walk(s)?;
                pass += 1;
                if pass == 2 && team.rank() + 1 == team.size() {
                    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                }
                Ok(())
            })
        }
        other => panic!("no program {other}"),
    }
}

fn run_as_rank(which: &str, dir: &Path) -> ! {
    let team = team::start().unwrap();
    let outcome = program(which, dir, &*team);
    let code = outcome.as_ref().map_or_else(|e| e.exit_code(), |()| 0);
    if let (Err(error), 0) = (&outcome, team.rank()) {
        eprintln!("{error}");
    }
    if code == 1 {
        team::end_after_failure(team);
    }
    drop(team);
    std::process::exit(code.into())
}

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs a program on `ranks` MPI ranks, or in one process without MPI for 0; fails after 30 s.
fn job(ranks: usize, which: &str, dir: &Path) -> Ended {
    let me = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(if ranks > 0 { Path::new("mpirun") } else { &me });
    if ranks > 0 {
        command.args(["-n", &ranks.to_string()]).arg(&me);
        for (key, value) in [
            ("ALLOW_RUN_AS_ROOT", "1"),
            ("ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("MCA_rmaps_base_oversubscribe", "1"),
            ("MCA_hwloc_base_binding_policy", "none"),
            ("MCA_mpi_yield_when_idle", "1"),
            ("MCA_pml", "ob1"),
            ("MCA_btl", "self,vader"),
        ] {
            command.env(format!("OMPI_{key}"), value);
        }
    }
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    command.args(["--program", which]).arg(dir);
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut child = command.spawn().expect("mpirun can be started");
    let start = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("{which} on {ranks} ranks hangs; stderr: {}", fs::read_to_string(&err).unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ended { code, out: fs::read_to_string(out).unwrap(), err: fs::read_to_string(err).unwrap() }
}

/// Rank counts under mpirun; 0 is the plain process.
fn launches() -> &'static [usize] {
    if cfg!(feature = "mpi") { &[0, 1, 2, 3] } else { &[0] }
}

/// Runs `test` for each launch at the same time: a job that fails spends its time in mpirun's patience.
fn at_once(launches: &[usize], test: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for &ranks in launches {
            let test = &test;
            scope.spawn(move || test(ranks));
        }
    });
}

/// mpirun adds its own words when a rank fails: between two lines of dashes, before ours or after, and how often it
/// left them out. Open MPI's MPI-IO adds a line before.
fn our_words(err: &str) -> Vec<&str> {
    let mut theirs = false;
    let ours = |line: &&str| {
        let dashes = line.starts_with("-----");
        theirs ^= dashes;
        !theirs && !dashes && !line.trim().is_empty() && !line.starts_with("mca_fbtl") && !line.starts_with('[')
    };
    err.lines().filter(ours).collect()
}

// ---- the tests ----

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

fn a_full_disk_ends_the_job_in_words_and_leaves_the_old_file() {
    at_once(launches(), |ranks| {
        for which in ["full", "full_compressed", "full_on_root", "full_on_last", "full_checkpoint"] {
            let dir = tempfile::tempdir().unwrap();
            let team = team::Solo;
            save(&dir.path().join("output.h5"), &team, 0, 0.0).unwrap();
            save_checkpoint(dir.path(), &team, 1.0).unwrap();
            let before = fs::read(dir.path().join("output.h5")).unwrap();
            let start = Instant::now();
            let ended = job(ranks, which, dir.path());
            let what = format!("{which} on {ranks} ranks: {:?} {}", ended.code, ended.err);
            // Who writes for whom is MPI-IO's choice (or rank 0 writes for all): a limit on a rank that writes nothing
            // hurts nobody, and then the new file must be whole.
            if which == "full_on_last" && ranks > 1 && ended.code == Some(0) {
                let expected = dir.path().join("expected.h5");
                save(&expected, &team, 0, 3.0).unwrap();
                assert_eq!(dump(&dir.path().join("output.h5")), dump(&expected), "{what}");
                continue;
            }
            assert_eq!(ended.code, Some(1), "{what}");
            assert!(start.elapsed() < Duration::from_secs(10), "{what}");
            let words = our_words(&ended.err);
            assert_eq!(words.len(), 1, "{what}");
            let file = if which == "full_checkpoint" { "checkpoint.h5" } else { "output.h5" };
            // A rank that fails alone, past the reservation, has only MPI-IO's word for it.
            let cause = words[0].contains("File too large")
                || which == "full_on_last" && words[0].contains("writing state/large: H5Dwrite()");
            assert!(words[0].contains(file) && cause, "{what}");
            assert_eq!(fs::read(dir.path().join("output.h5")).unwrap(), before, "{what}");
            assert_eq!(load_checkpoint(dir.path(), &team).unwrap().0, 1.0, "{what}");
            assert!(temporaries(dir.path()).is_empty(), "{what}");
        }
    });
}

/// A write or a flush that fails on some ranks leaves the others in a collective call of MPI-IO: the job must end, not
/// wait.
fn a_disk_that_fills_up_after_the_reservation_ends_the_job_with_one_message() {
    at_once(launches(), |ranks| {
        for which in ["full_late", "full_late_on_last", "full_late_checkpoint", "full_at_flush"] {
            let dir = tempfile::tempdir().unwrap();
            let team = team::Solo;
            save(&dir.path().join("output.h5"), &team, 0, 0.0).unwrap();
            save_checkpoint(dir.path(), &team, 1.0).unwrap();
            let before = fs::read(dir.path().join("output.h5")).unwrap();
            let start = Instant::now();
            let ended = job(ranks, which, dir.path());
            let what = format!("{which} on {ranks} ranks: {:?} {}", ended.code, ended.err);
            // As above: who writes is MPI-IO's choice.
            if which == "full_late_on_last" && ranks > 1 && ended.code == Some(0) {
                continue;
            }
            // Open MPI's file operations do not tell of a write that was cut short; the checksum does, and the one before
            // is taken.
            if which == "full_late_checkpoint" && ranks > 1 && ended.code == Some(0) {
                let (offset, warnings) = load_checkpoint(dir.path(), &team).unwrap();
                assert_eq!((offset, warnings.len()), (1.0, 1), "{what}");
                continue;
            }
            assert_eq!(ended.code, Some(1), "{what}");
            assert!(start.elapsed() < Duration::from_secs(15), "{what}");
            let file = if which.contains("on_last") || which == "full_late" { "output.h5" } else { "checkpoint.h5" };
            let file = dir.path().join(file).display().to_string();
            assert_eq!(ended.err.lines().filter(|l| l.contains(&file)).count(), 1, "{what}");
            assert_eq!(fs::read(dir.path().join("output.h5")).unwrap(), before, "{what}");
            assert_eq!(load_checkpoint(dir.path(), &team).unwrap().0, 1.0, "{what}");
            assert!(temporaries(dir.path()).is_empty(), "{what}");
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
