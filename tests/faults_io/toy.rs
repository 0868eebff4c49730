//! Something with every kind of value, written and read back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use spanwise::error::Result;
use spanwise::io::{self, Checkpoint, Header, Sections, Segments, Storage, checkpoint, read::Reader};
use spanwise::state::{Hyperslab, Name};
use spanwise::team::{Partition, Team};

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
pub struct Toy {
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

pub const FIELD_SHAPE: [usize; 2] = [37, 53];
const COLUMNS_SHAPE: [usize; 2] = [4, 11];
pub const LARGE_LEN: usize = 300_007;
const FEW_LEN: usize = 3;
const GREYS_LEN: usize = 101;

impl Toy {
    pub fn new(team: &dyn Team, offset: f64) -> Self {
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

    pub fn walk(&mut self, out: &mut dyn Sections) -> Result<()> {
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

pub fn header(team: &dyn Team) -> Header {
    Header {
        solver: "toy".into(),
        input: "solver = \"toy\"\n# ε = 1\n".into(),
        seed: 7,
        status: "converged".into(),
        provenance: vec![("ranks".into(), team.size().to_string()), ("threads".into(), "1".into())],
    }
}

pub fn save(path: &Path, team: &dyn Team, compression: u8, offset: f64) -> Result<()> {
    let mut toy = Toy::new(team, offset);
    io::save(path, &header(team), Storage::output(compression), team, &mut |s| toy.walk(s))
}

pub fn save_checkpoint(dir: &Path, team: &dyn Team, offset: f64) -> Result<()> {
    let mut toy = Toy::new(team, offset);
    checkpoint::save(dir, 2, &header(team), team, &mut |s| toy.walk(s)).map(drop)
}

/// Loads the newest good checkpoint and compares it with the toy of some offset; returns the offset and warnings.
pub fn load_checkpoint(dir: &Path, team: &dyn Team) -> Result<(f64, Vec<String>)> {
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
pub fn dump(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u64>)> {
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

pub fn temporaries(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|n| n.ends_with(".tmp")).collect()
}

/// Eight records of a 13 × 17 grid cut in both axes, in segments of five and three, joined.
pub fn save_fields(dir: &Path, team: &dyn Team) -> Result<()> {
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
