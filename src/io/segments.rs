//! Records in time on their way to `/fields` of output.h5.
//!
//! While a run goes on they are kept in segment files `fields.1.h5`, `fields.2.h5`, … of the output directory, each
//! whole when it has its name, with a group `/fields` laid out as in output.h5. At the end the records of all are joined
//! there and the segments removed; a run that goes on from such an output takes its records from it. Every file says
//! which run it belongs to (`run` in `/provenance`), so that those of another are never mixed in.

use std::cell::RefCell;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::h5::{self, Kind, Outcome, text};
use super::layout::{Fill, Header, Item, Storage};
use super::output;
use super::read::Reader;
use crate::error::Result;
use crate::state::{Hyperslab, Name};
use crate::team::Team;

/// The records of a run so far; the same on every rank.
#[derive(Debug)]
pub struct Segments {
    directory: PathBuf,
    sources: Vec<Source>,
    /// Number of the next segment file.
    next: u64,
    last_step: Option<f64>,
}

/// Records `from..to` of a file.
#[derive(Debug, Clone, PartialEq)]
struct Source {
    path: PathBuf,
    records: Range<usize>,
}

impl Segments {
    /// None, and nothing touched.
    pub fn none(directory: &Path) -> Self {
        Segments { directory: directory.into(), sources: Vec::new(), next: 1, last_step: None }
    }

    /// None yet; segments that an earlier run left are removed. Collective; the caller holds the directory's lock.
    pub fn start(directory: &Path, team: &dyn Team) -> Result<Self> {
        output::on_root(team, directory, || {
            numbers(directory).into_iter().try_for_each(|n| remove(&file(directory, n)))
        })?;
        Ok(Segments::none(directory))
    }

    /// The records of run `run` up to step `step`, from output.h5 and from segments; later ones are dropped, and
    /// segments that hold nothing else removed. Collective.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn resume(directory: &Path, run: &str, step: u64, team: &dyn Team) -> Result<Self> {
        let mut found = Vec::new();
        output::on_root(team, directory, || {
            found = find(directory, run, step as f64)?;
            Ok(())
        })?;
        // [number, from, to, step of the last record] of each source, from rank 0.
        let numbers: Vec<u64> = bytemuck::pod_collect_to_vec(&team.gather_bytes(bytemuck::cast_slice(&found)));
        let mut segments = Segments::none(directory);
        for source in numbers.chunks_exact(4) {
            let path = file(directory, source[0]);
            segments.sources.push(Source { path, records: source[1] as usize..source[2] as usize });
            segments.next = source[0] + 1;
            segments.last_step = Some(source[3] as f64);
        }
        Ok(segments)
    }

    /// Step of the newest record.
    pub fn last_step(&self) -> Option<f64> {
        self.last_step
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.sources.iter().map(|s| s.records.len()).sum()
    }

    /// Writes a new segment with the records of `steps` (one or more); `fill` walks section `fields`, with `time` and
    /// `step` along axis `time`. Collective.
    pub fn save(&mut self, header: &Header, steps: &[f64], team: &dyn Team, fill: Fill) -> Result<()> {
        let path = file(&self.directory, self.next);
        output::save(&path, header, Storage::output(0), team, fill)?;
        self.sources.push(Source { path, records: 0..steps.len() });
        self.next += 1;
        self.last_step = steps.last().copied();
        Ok(())
    }

    /// To be called when output.h5 holds all records: the segments are not needed any more. Collective.
    pub fn published(&mut self, team: &dyn Team) -> Result<()> {
        let records = self.records();
        let output = file(&self.directory, 0);
        output::on_root(team, &self.directory, || {
            self.sources.iter().filter(|s| s.path != output).try_for_each(|s| remove(&s.path))
        })?;
        self.sources = if records > 0 { vec![Source { path: output, records: 0..records }] } else { Vec::new() };
        Ok(())
    }

    /// What `/fields` will hold.
    pub(super) fn joined(&self) -> Outcome<Joined<'_>> {
        let mut joined = Joined { segments: self, items: Vec::new(), open: RefCell::default() };
        let Some(first) = self.sources.first() else { return Ok(joined) };
        let reader = Reader::open(&first.path).map_err(|e| e.to_string())?;
        let total = self.records();
        for dataset in reader.datasets("fields") {
            let path = format!("fields/{dataset}");
            let dataset = reader.file.dataset(&path).map_err(text)?;
            let (kind, labels, mut shape) = (Kind::of(&dataset)?, h5::axis_labels(&dataset), dataset.shape());
            let attribute = |name| h5::attribute_text(&dataset, name).unwrap_or_default();
            let name = path.trim_start_matches("fields/");
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let name = Name::kept(name, &attribute("units"), &attribute("long_name"), &labels);
            let in_time = labels.first() == Some(&"time");
            if in_time {
                shape[0] = total;
            }
            let mut item = Item { group: "fields".into(), name, kind, shape, value: None, series: false };
            if item.shape.len() < 2 || !in_time {
                let mut bytes = vec![0; item.len() * kind.size()];
                if in_time {
                    let all = Hyperslab { start: vec![0], count: item.shape.clone() };
                    joined.read(&item, &all, &mut bytes)?;
                } else {
                    h5::read(&dataset, kind, &vec![0; item.shape.len()], &item.shape, &mut bytes)?;
                }
                item.value = Some(bytes);
            }
            joined.items.push(item);
        }
        Ok(joined)
    }
}

/// The segments as one group of datasets.
pub(super) struct Joined<'a> {
    segments: &'a Segments,
    pub items: Vec<Item>,
    /// The file read last, by its place among the sources.
    open: RefCell<Option<(usize, hdf5::File)>>,
}

impl Joined<'_> {
    /// The block `slab` of an item whose first axis is time.
    pub fn read(&self, item: &Item, slab: &Hyperslab, bytes: &mut [u8]) -> Outcome<()> {
        if slab.is_empty() {
            return Ok(());
        }
        let record = bytes.len() / slab.count[0];
        let wanted = slab.start[0]..slab.start[0] + slab.count[0];
        let mut first = 0;
        for (i, source) in self.segments.sources.iter().enumerate() {
            let here = wanted.start.max(first)..wanted.end.min(first + source.records.len());
            if !here.is_empty() {
                let mut open = self.open.borrow_mut();
                if open.as_ref().is_none_or(|(at, _)| *at != i) {
                    *open = Some((i, h5::open(&source.path)?));
                }
                let (_, file) = open.as_ref().expect("just opened");
                let at = |e: String| format!("{}: {}: {e}", source.path.display(), item.path());
                let dataset = file.dataset(&item.path()).map_err(|e| at(text(e)))?;
                let (kind, shape) = (Kind::of(&dataset).map_err(at)?, dataset.shape());
                if kind != item.kind || shape.len() != item.shape.len() || shape[1..] != item.shape[1..] {
                    return Err(at(format!("{kind:?} of shape {shape:?} in a series of {:?}", &item.shape[1..])));
                }
                let (mut start, mut count) = (slab.start.clone(), slab.count.clone());
                (start[0], count[0]) = (here.start - first + source.records.start, here.len());
                let part = (here.start - wanted.start) * record..(here.end - wanted.start) * record;
                h5::read(&dataset, item.kind, &start, &count, &mut bytes[part]).map_err(at)?;
            }
            first += source.records.len();
        }
        Ok(())
    }
}

/// The file of number `n`: 0 is the joined one.
fn file(directory: &Path, n: u64) -> PathBuf {
    directory.join(if n == 0 { "output.h5".into() } else { format!("fields.{n}.h5") })
}

/// The numbers of the segment files of a directory, ascending.
fn numbers(directory: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("fields.")?.strip_suffix(".h5")?.parse().ok();
    let mut found: Vec<u64> =
        entries.filter_map(|e| number(e.ok()?.file_name().to_str()?)).filter(|&n| n > 0).collect();
    found.sort_unstable();
    found
}

fn remove(path: &Path) -> Outcome<()> {
    fs::remove_file(path).map_err(|e| format!("removing {}: {e}", path.display()))
}

/// [number, from, to, last step] of each file with records of `run` up to `step`, in order of time; one rank only.
fn find(directory: &Path, run: &str, step: f64) -> Outcome<Vec<u64>> {
    let mut found = Vec::new();
    let mut last = -1.0;
    let output = file(directory, 0);
    let all = numbers(directory);
    for n in output.exists().then_some(0).into_iter().chain(all) {
        let path = file(directory, n);
        let reader = match Reader::open(&path) {
            Ok(reader) => reader,
            Err(e) => return Err(format!("{e}; remove the file to go on without its records")),
        };
        let mine = reader.attribute("provenance", "run").is_some_and(|r| r == run) && reader.has("fields/step");
        let steps = if mine { reader.array("fields/step").map_err(|e| e.to_string())?.values } else { Vec::new() };
        let from = steps.partition_point(|&s| s <= last);
        let to = steps.partition_point(|&s| s <= step).max(from);
        if to > from {
            last = steps[to - 1];
            found.extend([n, from as u64, to as u64, last as u64]);
        } else if n > 0 {
            remove(&path)?;
        }
    }
    Ok(found)
}
