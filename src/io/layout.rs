//! What a file will hold, and the part of writing it that one rank does alone: groups, datasets, attributes,
//! dimension scales and the values that every rank knows.
//!
//! Everything but the blocks is written here, by rank 0 with the serial driver, so that the collective part of a
//! parallel run writes raw data and next to no metadata. The file is then the same whatever the number of ranks.

use std::collections::BTreeMap;
use std::path::Path;

use hdf5::{Dataset, Group};

use super::h5::{self, Kind, Outcome, text};
use crate::error::{Error, Result};
use crate::state::{Data, Hyperslab, Name, Walk};

/// Names the groups of a file (`state`, `inputs`, `results`, `series`, …); each is walked like a state.
///
/// The same closure over `Sections` measures, saves and loads.
pub trait Sections {
    fn section(&mut self, group: &str) -> &mut dyn Walk;
}

/// A walk of sections, run once per purpose; collective.
pub type Fill<'a> = &'a mut dyn FnMut(&mut dyn Sections) -> Result<()>;

/// Who wrote a file, and from what: the root attributes and `/provenance`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    pub solver: String,
    /// The input file as run, as TOML.
    pub input: String,
    pub seed: u64,
    pub status: String,
    /// Ranks, threads, hosts, timings, kernel level, library versions …: what may differ between equal runs.
    pub provenance: Vec<(String, String)>,
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Deflate level of large blocks, 0 to 9; 0 stores them contiguous and plain.
    pub compression: u8,
    /// A checksum (fletcher32) on every stored value, instead of dimension scales: for checkpoints.
    pub checksums: bool,
}

impl Storage {
    pub fn output(compression: u8) -> Self {
        Storage { compression, checksums: false }
    }

    pub fn checkpoint() -> Self {
        Storage { compression: 0, checksums: true }
    }
}

/// One dataset to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub group: String,
    pub name: Name,
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// None for a block; the bytes of a scalar or series, which every rank knows.
    pub value: Option<Vec<u8>>,
    pub series: bool,
}

impl Item {
    pub fn path(&self) -> String {
        format!("{}/{}", self.group, self.name.name)
    }

    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn axis(&self, axis: usize) -> String {
        match self.name.axes.get(axis) {
            Some(label) => label.to_string(),
            None if self.series => "step".into(),
            None => format!("{}_axis{axis}", self.name.name),
        }
    }
}

/// Blocks smaller than this stay contiguous: a chunk index costs more than it saves.
const SMALL: usize = 64 << 10;
/// What a chunk aims at.
const CHUNK: usize = 1 << 20;

/// Chunk of an array: whole trailing axes up to about a mebibyte. Depends on the shape only.
pub(super) fn chunk(shape: &[usize], element: usize) -> Vec<usize> {
    let mut left = (CHUNK / element).max(1);
    let mut chunk: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&n| {
            // As many pieces as needed, of about equal length: an edge chunk takes the room of a whole one.
            let here = n.div_ceil(n.div_ceil(left).max(1)).max(1);
            left = (left / here).max(1);
            here
        })
        .collect();
    chunk.reverse();
    chunk
}

impl Storage {
    pub(super) fn chunked(&self, item: &Item) -> Option<Vec<usize>> {
        if item.len() == 0 {
            return None;
        }
        if self.checksums {
            let shape = if item.shape.is_empty() { &[1][..] } else { &item.shape };
            return Some(chunk(shape, item.kind.size()));
        }
        let large = item.len() * item.kind.size() >= SMALL && !item.shape.is_empty();
        (self.compression > 0 && large).then(|| chunk(&item.shape, item.kind.size()))
    }
}

/// The first pass over [`Sections`]: what will be written, and how large it is. Communicates nothing.
#[derive(Default)]
pub(super) struct Measure {
    pub items: Vec<Item>,
    group: String,
}

impl Measure {
    pub fn of(fill: Fill) -> Result<Vec<Item>> {
        let mut measure = Measure::default();
        fill(&mut measure)?;
        Ok(measure.items)
    }

    fn push(&mut self, name: &Name, kind: Kind, shape: Vec<usize>, value: Option<Vec<u8>>, series: bool) -> Result<()> {
        let group = self.group.clone();
        let item = Item { group, name: *name, kind, shape, value, series };
        if self.items.iter().any(|i| i.path() == item.path()) {
            return Err(Error::file(item.path(), "walked twice"));
        }
        self.items.push(item);
        Ok(())
    }
}

impl Sections for Measure {
    fn section(&mut self, group: &str) -> &mut dyn Walk {
        self.group = group.into();
        self
    }
}

impl Walk for Measure {
    fn block(&mut self, name: &Name, global: &[usize], _mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let (kind, _) = h5::bytes_of(data);
        if global.is_empty() {
            return Err(Error::file(format!("{}/{}", self.group, name.name), "a block needs at least one axis"));
        }
        self.push(name, kind, global.to_vec(), None, false)
    }

    fn given(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, _values: &[f64]) -> Result<()> {
        self.block(name, global, mine, Data::F64(&mut []))
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let (kind, bytes) = h5::bytes_of(x);
        let n = bytes.len() / kind.size();
        let shape = if n == 1 && name.axes.is_empty() { vec![] } else { vec![n] };
        self.push(name, kind, shape, Some(bytes.to_vec()), false)
    }

    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.push(name, Kind::F64, vec![values.len()], Some(bytemuck::cast_slice(values).to_vec()), true)
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.push(name, Kind::F64, vec![values.len()], None, false)
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.push(name, Kind::F32, vec![values.len()], None, false)
    }
}

/// An upper bound on the size of the file in bytes, metadata included.
pub(super) fn predicted_bytes(items: &[Item], header: &Header, storage: &Storage) -> u64 {
    let strings: usize = header.provenance.iter().map(|(k, v)| k.len() + v.len() + 128).sum();
    // Strings are stored in the attributes and, for checkpoints, once more with a checksum.
    let mut total = (1 << 16) + 2 * (2 * header.input.len() + header.status.len() + strings) as u64;
    for item in items {
        let raw = match storage.chunked(item) {
            None => (item.len() * item.kind.size()) as u64,
            Some(chunk) => {
                // Edge chunks take the room of whole ones; each has an index entry and perhaps a checksum. A chunk
                // that deflate cannot shrink is stored as it is.
                let shape = if item.shape.is_empty() { &[1][..] } else { &item.shape };
                let chunks: u64 = shape.iter().zip(&chunk).map(|(n, c)| n.div_ceil(*c) as u64).product();
                chunks * ((chunk.iter().product::<usize>() * item.kind.size()) as u64 + 128)
            }
        };
        total += raw + (8 << 10);
    }
    total + total / 50
}

/// The size of the file that `fill` would write, as an upper bound; collective only if `fill` is.
pub fn file_bytes(header: &Header, storage: Storage, fill: Fill) -> Result<u64> {
    Ok(predicted_bytes(&Measure::of(fill)?, header, &storage))
}

/// Creates the file with everything but its blocks. One rank only.
pub(super) fn create(path: &Path, items: &[Item], header: &Header, storage: &Storage) -> Outcome<()> {
    let file = h5::create(path)?;
    put_header(&file, header, storage)?;
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    let mut datasets = Vec::new();
    for item in items {
        // What a reader may use beside the axis's own coordinate: CF's attribute, which xarray obeys.
        let axis = item.axis(0);
        let along = |i: &Item, name: &str| i.name.name == name && i.shape.len() == 1 && i.axis(0) == axis;
        let beside = |name: &str| items.iter().any(|i| i.group == item.group && along(i, name));
        let auxiliary = match axis.as_str() {
            _ if storage.checksums || item.shape.is_empty() || along(item, "time") || along(item, "step") => None,
            "step" if beside("time") => Some("time"),
            "time" if beside("step") => Some("step"),
            _ => None,
        };
        if !groups.contains_key(item.group.as_str()) {
            let group = file.create_group_builder().obj_track_times(false).create(item.group.as_str()).map_err(text)?;
            groups.insert(&item.group, group);
        }
        let dataset = put_dataset(&groups[item.group.as_str()], item, storage)
            .map_err(|e| format!("creating {}: {e}", item.path()))?;
        if let Some(auxiliary) = auxiliary {
            h5::put_string(&dataset, "coordinates", auxiliary)?;
        }
        datasets.push(dataset);
    }
    if !storage.checksums {
        for (group, handle) in &groups {
            put_scales(handle, items.iter().zip(&datasets).filter(|(i, _)| i.group == *group).collect())
                .map_err(|e| format!("axes of {group}: {e}"))?;
        }
    }
    drop(datasets);
    drop(groups);
    file.close().map_err(text)
}

fn put_dataset(group: &Group, item: &Item, storage: &Storage) -> Outcome<Dataset> {
    let mut builder = group.new_dataset_builder().obj_track_times(false);
    let mut shape = item.shape.clone();
    if let Some(chunk) = storage.chunked(item) {
        if shape.is_empty() {
            shape = vec![1];
        }
        builder = builder.chunk(chunk);
        if storage.compression > 0 && hdf5::filters::deflate_available() {
            builder = builder.shuffle().deflate(storage.compression.min(9));
        }
        if storage.checksums {
            builder = builder.fletcher32();
        }
    }
    let dataset = builder.empty_as(item.kind.descriptor()).shape(shape.clone()).create(item.name.name).map_err(text)?;
    h5::put_string(&dataset, "units", item.name.units)?;
    h5::put_string(&dataset, "long_name", item.name.meaning)?;
    if let Some(value) = &item.value
        && !value.is_empty()
    {
        h5::write(&dataset, item.kind, &vec![0; shape.len()], &shape, value, h5::INDEPENDENT)?;
    }
    Ok(dataset)
}

/// The attributes of the root and of `/provenance`. A checkpoint repeats them under a checksum: variable-length
/// strings have none.
fn put_header(file: &hdf5::File, header: &Header, storage: &Storage) -> Outcome<()> {
    let strings = [
        ("format", "spanwise"),
        ("solver", &header.solver),
        ("spanwise_version", env!("CARGO_PKG_VERSION")),
        ("commit", option_env!("SPANWISE_COMMIT").unwrap_or("unknown")),
        ("input", &header.input),
        ("status", &header.status),
        ("created", &utc(std::time::SystemTime::now())),
    ];
    for (name, value) in strings {
        h5::put_string(file, name, value)?;
    }
    file.new_attr::<i64>().create("format_version").and_then(|a| a.write_scalar(&1)).map_err(text)?;
    file.new_attr::<u64>().create("seed").and_then(|a| a.write_scalar(&header.seed)).map_err(text)?;
    let provenance = file.create_group_builder().obj_track_times(false).create("provenance").map_err(text)?;
    for (name, value) in &header.provenance {
        h5::put_string(&provenance, name, value)?;
    }
    if storage.checksums {
        let mut all: BTreeMap<String, String> =
            strings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        all.insert("seed".into(), header.seed.to_string());
        all.extend(header.provenance.iter().map(|(name, value)| (format!("provenance/{name}"), value.clone())));
        let json = serde_json::to_vec(&all).map_err(|e| e.to_string())?;
        let dataset = file
            .new_dataset_builder()
            .obj_track_times(false)
            .chunk(json.len())
            .fletcher32()
            .empty_as(Kind::U8.descriptor())
            .shape(json.len())
            .create("header")
            .map_err(text)?;
        h5::write(&dataset, Kind::U8, &[0], &[json.len()], &json, h5::INDEPENDENT)?;
    }
    Ok(())
}

/// The label of each axis of each item of a group, such that one label has one length.
///
/// Two lengths under one label are a mistake of the caller; the second gets a name of its own rather than cost the
/// user the results of a run.
fn labels(items: &[&Item]) -> Vec<Vec<String>> {
    let mut lengths: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for item in items {
        let mut mine = Vec::new();
        for (axis, &n) in item.shape.iter().enumerate() {
            let wanted = item.axis(axis);
            // A dataset may bear an axis's name only as that axis's coordinate: 1-D, along itself.
            let taken = items.iter().any(|i| i.name.name == wanted && !is_coordinate(i, &wanted));
            let known = lengths.get(&wanted);
            debug_assert!(
                known.is_none_or(|&k| k == n),
                "axis {wanted} of {} has length {n}, elsewhere {known:?}",
                item.path()
            );
            let fits = !taken && known.is_none_or(|&k| k == n) && !mine.contains(&wanted);
            let label = if fits { wanted } else { format!("{}_{wanted}_{axis}", item.name.name) };
            lengths.insert(label.clone(), n);
            mine.push(label);
        }
        all.push(mine);
    }
    all
}

fn is_coordinate(item: &Item, label: &str) -> bool {
    item.name.name == label && item.shape.len() == 1 && item.axis(0) == label
}

/// Dimension scales of one group: a dataset along itself is its axis's coordinate; an axis without one gets the
/// placeholder that netCDF-4 writes, which readers show as a dimension without a variable.
fn put_scales(group: &Group, members: Vec<(&Item, &Dataset)>) -> Outcome<()> {
    let items: Vec<&Item> = members.iter().map(|(item, _)| *item).collect();
    let labels = labels(&items);
    let mut scales: BTreeMap<&str, Dataset> = BTreeMap::new();
    for ((item, dataset), axes) in members.iter().zip(&labels) {
        if is_coordinate(item, &item.axis(0)) && axes[0] == item.name.name {
            h5::make_scale(dataset, item.name.name)?;
            scales.insert(item.name.name, (*dataset).clone());
        }
    }
    for ((item, dataset), axes) in members.iter().zip(&labels) {
        for (axis, label) in axes.iter().enumerate() {
            if label == item.name.name {
                continue;
            }
            if !scales.contains_key(label.as_str()) {
                let scale = group
                    .new_dataset_builder()
                    .obj_track_times(false)
                    .empty_as(Kind::F32.descriptor())
                    .shape(item.shape[axis])
                    .create(label.as_str())
                    .map_err(text)?;
                let name = format!("This is a netCDF dimension but not a netCDF variable.{:10}", item.shape[axis]);
                h5::make_scale(&scale, &name)?;
                scales.insert(label, scale);
            }
            h5::attach_scale(dataset, &scales[label.as_str()], axis)?;
        }
    }
    Ok(())
}

/// ISO 8601, UTC, to the second. The civil date from days since 1970 by whole 400-year cycles counted from March.
pub(super) fn utc(time: std::time::SystemTime) -> String {
    let seconds = time.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, s) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn chunks_are_about_a_mebibyte_and_waste_little() {
        assert_eq!(chunk(&[10, 20], 8), [10, 20]);
        for shape in [vec![300_007], vec![1024, 1024, 1024], vec![1_000_003, 3], vec![3, 5_000_001], vec![131_073]] {
            let c = chunk(&shape, 8);
            let size = c.iter().product::<usize>() * 8;
            assert!(size <= CHUNK && size > CHUNK / 4, "{shape:?}: chunk {c:?} of {size} bytes");
            let stored: usize = shape.iter().zip(&c).map(|(n, c)| n.div_ceil(*c) * c).product();
            let len: usize = shape.iter().product();
            assert!(stored as f64 <= 1.02 * len as f64, "{shape:?}: {stored} stored for {len}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // date -u -d @SECONDS +%FT%TZ
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), date);
        }
    }

    fn item(name: &'static str, axes: &'static [&'static str], shape: &[usize]) -> Item {
        let name = Name { name, units: "1", meaning: "", axes };
        Item { group: "g".into(), name, kind: Kind::F64, shape: shape.to_vec(), value: None, series: false }
    }

    #[test]
    fn an_axis_label_has_one_length() {
        let items = [
            item("cost", &["i", "j"], &[3, 4]),
            item("i", &["i"], &[3]),
            item("kernel", &["i", "i"], &[3, 3]), // a matrix over one index
            item("j", &[], &[]),                  // a scalar that bears an axis's name
            item("bare", &[], &[5]),
        ];
        let expected: [&[&str]; 5] = [&["i", "cost_j_1"], &["i"], &["i", "kernel_i_1"], &[], &["bare_axis0"]];
        assert_eq!(labels(&items.iter().collect::<Vec<_>>()), expected);
    }

    #[test]
    #[cfg(not(debug_assertions))]
    fn a_second_length_under_one_label_gets_its_own() {
        let items = [item("f", &["i"], &[3]), item("g", &["i"], &[4])];
        assert_eq!(labels(&items.iter().collect::<Vec<_>>()), [["i"], ["g_i_0"]]);
    }

    #[test]
    fn walking_a_name_twice_is_an_error() {
        let name = Name { name: "f", units: "1", meaning: "", axes: &[] };
        let error = Measure::of(&mut |s| {
            let walk = s.section("state");
            walk.scalar(&name, (&mut 1.0f64).into())?;
            walk.scalar(&name, (&mut 2.0f64).into())
        });
        assert_eq!(error.unwrap_err().to_string(), "state/f: walked twice");
    }
}
