//! Checkpoints: `checkpoint.h5` is the newest, `checkpoint.1.h5` the one before, and so on.
//!
//! Every stored value carries a checksum. A checkpoint is verified whole before any of it is handed over, the ranks
//! sharing the reading; a bad one falls back to the one before. Reading is serial and independent on every rank: a
//! damaged chunk then fails one rank's read, which `agree` turns into everyone's error, where a collective read would
//! leave the others waiting.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::h5::{self, Kind, Outcome, text};
use super::layout::{Fill, Header, Sections, Storage};
use super::output::{beside, check_block, on_root, publish, write_temporary};
use crate::error::{Error, Result};
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::{Partition, Team};

/// What one read of a verification moves at most.
const VERIFY_PIECE: usize = 64 << 20;

/// A verified checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    pub path: PathBuf,
    /// Newer checkpoints that could not be used, and why; equal on every rank.
    pub warnings: Vec<String>,
    header: BTreeMap<String, String>,
}

/// Writes the newest checkpoint of `directory` and drops those older than the `keep` newest; collective.
///
/// # Errors
/// As [`super::save`]; the checkpoints that were there stay.
pub fn save(directory: &Path, keep: usize, header: &Header, team: &dyn Team, fill: Fill) -> Result<PathBuf> {
    h5::start();
    let path = name(directory, 0);
    let temporary = beside(&path, ".tmp");
    let written = write_temporary(&path, &temporary, header, Storage::checkpoint(), team, fill, None).and_then(|()| {
        on_root(team, &path, || rotate(directory, keep.max(1)).and_then(|()| publish(&temporary, &path)))
    });
    if written.is_err() && team.rank() == 0 {
        // Nothing to add when it cannot be removed: the error that brought us here says more.
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| path)
}

fn name(directory: &Path, age: usize) -> PathBuf {
    directory.join(if age == 0 { "checkpoint.h5".into() } else { format!("checkpoint.{age}.h5") })
}

/// Makes room for a new `checkpoint.h5`. Stopped half-way it leaves a gap in the ages, which loading steps over.
fn rotate(directory: &Path, keep: usize) -> Outcome<()> {
    let rename = || -> std::io::Result<()> {
        for age in ages(directory).into_iter().rev() {
            if age + 1 >= keep {
                fs::remove_file(name(directory, age))?;
            } else {
                fs::rename(name(directory, age), name(directory, age + 1))?;
            }
        }
        Ok(())
    };
    rename().map_err(|e| format!("making room for a new checkpoint: {e}"))
}

/// The ages of the checkpoints in a directory, newest first. One that cannot be listed has none.
fn ages(directory: &Path) -> Vec<usize> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let age = |file: &str| match file.strip_prefix("checkpoint.")?.strip_suffix("h5")? {
        "" => Some(0),
        age => age.strip_suffix('.')?.parse().ok(),
    };
    let mut ages: Vec<usize> =
        entries.filter_map(|e| age(e.ok()?.file_name().to_str()?)).filter(|&a| name(directory, a).exists()).collect();
    ages.sort_unstable();
    ages
}

/// Whether `directory` holds a checkpoint, good or bad.
pub fn present(directory: &Path) -> bool {
    !ages(directory).is_empty()
}

/// Removes all checkpoints of `directory`; one rank only.
pub fn remove_all(directory: &Path) -> Result<()> {
    ages(directory).into_iter().try_for_each(|age| {
        let path = name(directory, age);
        fs::remove_file(&path).map_err(|e| Error::file(path, e))
    })
}

impl Checkpoint {
    /// The newest checkpoint of `directory` that is whole, or none if there is no checkpoint at all; collective.
    ///
    /// # Errors
    /// [`Error::File`] when there are checkpoints and none is whole.
    pub fn newest(directory: &Path, team: &dyn Team) -> Result<Option<Self>> {
        // What rank 0 sees decides: on a shared file system the others may see a rename later.
        let mine: Vec<u64> =
            if team.rank() == 0 { ages(directory).iter().map(|&a| a as u64).collect() } else { vec![] };
        let ages: Vec<u64> = bytemuck::pod_collect_to_vec(&team.gather_bytes(bytemuck::cast_slice(&mine)));
        let mut warnings = Vec::new();
        for &age in &ages {
            let path = name(directory, age as usize);
            let verified = verify(&path, team.rank(), team.size()).map_err(|e| Error::file(&path, e));
            match team.agree(verified) {
                Ok(header) => return Ok(Some(Checkpoint { path, warnings, header })),
                Err(error) => warnings.push(format!("unusable checkpoint {}", error.to_string().trim())),
            }
        }
        if warnings.is_empty() {
            return Ok(None);
        }
        Err(Error::file(directory, format!("no usable checkpoint: {}", warnings.join("; "))))
    }

    /// What the header said: `solver`, `input`, `seed`, `status`, `created`, `provenance/ranks`, …
    pub fn header(&self, key: &str) -> Option<&str> {
        self.header.get(key).map(String::as_str)
    }

    /// Walks `fill` over the checkpoint; collective. The number of ranks need not be that which wrote it.
    ///
    /// # Errors
    /// [`Error::File`] when a walked value is missing or has another type or shape.
    pub fn load(&self, team: &dyn Team, fill: Fill) -> Result<()> {
        load(&self.path, team, fill)
    }
}

/// Walks `fill` over any file of ours, each rank reading its own blocks; collective.
pub fn load(path: &Path, team: &dyn Team, fill: Fill) -> Result<()> {
    let file = team.agree(h5::open(path).map_err(|e| Error::file(path, e)))?;
    let mut load = Load { file, path: path.to_path_buf(), group: String::new(), team };
    team.agree(fill(&mut load))
}

/// Reads every stored value once, this rank a share of each dataset, and the header; checksums do the rest.
fn verify(path: &Path, rank: usize, size: usize) -> Outcome<BTreeMap<String, String>> {
    let file = h5::open(path)?;
    let mut header = Vec::new();
    for group in file.groups().map_err(text)? {
        for dataset in group.datasets().map_err(text)? {
            verify_dataset(&dataset, rank, size).map_err(|e| format!("{}: {e}", dataset.name()))?;
        }
    }
    let dataset = file.dataset("header").map_err(|_| "not a checkpoint of spanwise (no header)".to_string())?;
    header.resize(dataset.size(), 0);
    h5::read(&dataset, Kind::U8, &[0], &[header.len()], &mut header)?;
    let header: BTreeMap<String, String> = serde_json::from_slice(&header).map_err(|e| format!("header: {e}"))?;
    match header.get("format").map(String::as_str) {
        Some("spanwise") => Ok(header),
        _ => Err("not a checkpoint of spanwise".into()),
    }
}

fn verify_dataset(dataset: &hdf5::Dataset, rank: usize, size: usize) -> Outcome<()> {
    let kind = Kind::of(dataset)?;
    let shape = dataset.shape();
    if shape.is_empty() || shape.contains(&0) {
        return Ok(());
    }
    let row = shape[1..].iter().product::<usize>() * kind.size();
    let step = (VERIFY_PIECE / row).max(1);
    let mine = Partition::new(shape[0], rank, size).mine();
    let mut buffer = Vec::new();
    for first in mine.clone().step_by(step) {
        let rows = Hyperslab::rows(first..(first + step).min(mine.end), &shape[1..]);
        buffer.resize(rows.len() * kind.size(), 0);
        h5::read(dataset, kind, &rows.start, &rows.count, &mut buffer)?;
    }
    Ok(())
}

/// The walk that loads.
struct Load<'a> {
    file: hdf5::File,
    path: PathBuf,
    group: String,
    team: &'a dyn Team,
}

impl Load<'_> {
    fn dataset(&self, name: &Name) -> Outcome<(hdf5::Dataset, Kind)> {
        let path = format!("{}/{}", self.group, name.name);
        let dataset = self.file.dataset(&path).map_err(|_| format!("has no dataset {path}"))?;
        let kind = Kind::of(&dataset).map_err(|e| format!("{path}: {e}"))?;
        Ok((dataset, kind))
    }

    fn agree(&self, name: &Name, mine: Outcome<()>) -> Result<()> {
        let describe = |e| Error::file(&self.path, format!("{}/{}: {e}", self.group, name.name));
        self.team.agree(mine.map_err(describe))
    }
}

impl Load<'_> {
    /// A list of any length, whole on every rank.
    fn list<T: bytemuck::Pod>(&mut self, name: &Name, kind: Kind, values: &mut Vec<T>) -> Result<()> {
        let read = self.dataset(name).and_then(|(dataset, stored)| {
            let shape = dataset.shape();
            if stored != kind || shape.len() != 1 {
                return Err(format!("has {stored:?} values of shape {shape:?}, expected a list of {kind:?}"));
            }
            values.clear();
            values.resize(shape[0], T::zeroed());
            let bytes = bytemuck::cast_slice_mut(values);
            if shape[0] == 0 { Ok(()) } else { h5::read(&dataset, kind, &[0], &shape, bytes) }
        });
        self.agree(name, read)
    }
}

impl Sections for Load<'_> {
    fn section(&mut self, group: &str) -> &mut dyn Walk {
        self.group = group.into();
        self
    }
}

impl Walk for Load<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let (kind, bytes) = h5::bytes_of(data);
        let read = self.dataset(name).and_then(|(dataset, stored)| {
            check_block(stored, &dataset.shape(), kind, global, mine, bytes.len())?;
            if mine.is_empty() { Ok(()) } else { h5::read(&dataset, kind, &mine.start, &mine.count, bytes) }
        });
        self.agree(name, read)
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let (kind, bytes) = h5::bytes_of(x);
        let read = self.dataset(name).and_then(|(dataset, stored)| {
            let (have, want) = (dataset.size(), bytes.len() / kind.size());
            if stored != kind || have != want {
                return Err(format!("has {have} {stored:?} values, expected {want} {kind:?}"));
            }
            let shape = dataset.shape();
            if want == 0 { Ok(()) } else { h5::read(&dataset, kind, &vec![0; shape.len()], &shape, bytes) }
        });
        self.agree(name, read)
    }

    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.list(name, Kind::F64, values)
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.list(name, Kind::F64, values)
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.list(name, Kind::F32, values)
    }
}
