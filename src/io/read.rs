//! Reading a finished file on one rank: for figures, for `info`, for tests.

use std::path::{Path, PathBuf};

use hdf5::types::TypeDescriptor;
use hdf5::{Dataset, Group};

use super::arrays::regular_file;
use super::h5::{self, Kind, text};
use crate::error::{Error, Result};

/// A whole dataset as f64, whatever numbers it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Empty for a scalar.
    pub shape: Vec<usize>,
    /// In C order.
    pub values: Vec<f64>,
}

/// An HDF5 file open for reading.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    pub(super) file: hdf5::File,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self> {
        let file = regular_file(path).and_then(|_| h5::open(path)).map_err(|e| Error::file(path, e))?;
        Ok(Reader { path: path.to_path_buf(), file })
    }

    fn dataset(&self, path: &str) -> Result<Dataset> {
        self.file.dataset(path).map_err(|_| {
            if self.file.group(path).is_ok() {
                return Error::file(&self.path, format!("{path} is a group of datasets; a dataset is needed"));
            }
            let there = self.datasets(path.rsplit_once('/').map_or("/", |(group, _)| group));
            let others = match there.len() {
                0 => String::new(),
                n => format!("; there are {}{}", there[..n.min(8)].join(", "), if n > 8 { ", …" } else { "" }),
            };
            Error::file(&self.path, format!("there is no dataset {path}{others}"))
        })
    }

    /// A dataset whose values can be converted to f64.
    fn numbers(&self, path: &str) -> Result<Dataset> {
        use TypeDescriptor::{Boolean, Compound, Enum, Float, Integer, Unsigned};
        let dataset = self.dataset(path)?;
        let wrong = match dataset.dtype().and_then(|t| t.to_descriptor()) {
            Ok(Integer(_) | Unsigned(_) | Float(_) | Boolean | Enum(_)) => return Ok(dataset),
            Ok(Compound(pair)) if pair.fields.len() == 2 => {
                "holds complex numbers; needed are real numbers (a last axis of two for real and imaginary part)"
            }
            _ => "does not hold numbers",
        };
        Err(Error::file(&self.path, format!("dataset {path} {wrong}")))
    }

    /// The dataset at a path such as `results/map`, converted to f64.
    pub fn array(&self, path: &str) -> Result<Array> {
        let fail = |e: String| Error::file(&self.path, format!("{path}: {e}"));
        let dataset = self.numbers(path)?;
        let shape = dataset.shape();
        let mut values = vec![0.0; shape.iter().product()];
        if !values.is_empty() {
            let bytes = bytemuck::cast_slice_mut(&mut values);
            h5::read(&dataset, Kind::F64, &vec![0; shape.len()], &shape, bytes).map_err(fail)?;
        }
        Ok(Array { shape, values })
    }

    /// The block of `count` values from `start` on, per axis, converted to f64.
    pub fn slab(&self, path: &str, start: &[usize], count: &[usize]) -> Result<Array> {
        let fail = |e: String| Error::file(&self.path, format!("{path}: {e}"));
        let dataset = self.numbers(path)?;
        let shape = dataset.shape();
        if start.len() != shape.len() || (0..shape.len()).any(|a| start[a] + count[a] > shape[a]) {
            return Err(fail(format!("no block {start:?} + {count:?} in shape {shape:?}")));
        }
        let mut values = vec![0.0; count.iter().product()];
        if !values.is_empty() {
            h5::read(&dataset, Kind::F64, start, count, bytemuck::cast_slice_mut(&mut values)).map_err(fail)?;
        }
        Ok(Array { shape: count.to_vec(), values })
    }

    /// Shape of a dataset; empty for a scalar.
    pub fn shape(&self, path: &str) -> Result<Vec<usize>> {
        Ok(self.dataset(path)?.shape())
    }

    /// Bytes of one value of a dataset.
    pub fn value_bytes(&self, path: &str) -> Result<usize> {
        let dataset = self.dataset(path)?;
        dataset.dtype().map(|t| t.size()).map_err(|e| Error::file(&self.path, format!("{path}: {}", text(e))))
    }

    /// The name of each axis of a dataset: that of its dimension scale.
    pub fn axes(&self, path: &str) -> Result<Vec<String>> {
        Ok(h5::axis_labels(&self.dataset(path)?))
    }

    /// A single number, such as a scalar of `results`.
    pub fn number(&self, path: &str) -> Result<f64> {
        let array = self.array(path)?;
        match array.values[..] {
            [x] => Ok(x),
            _ => Err(Error::file(&self.path, format!("{path}: {} values, expected one", array.values.len()))),
        }
    }

    pub fn has(&self, path: &str) -> bool {
        self.file.dataset(path).is_ok()
    }

    /// An attribute as text; `/` is the root.
    pub fn attribute(&self, of: &str, name: &str) -> Option<String> {
        if let Ok(group) = self.file.group(of) {
            return h5::attribute_text(&group, name);
        }
        h5::attribute_text(&*self.file.dataset(of).ok()?, name)
    }

    /// All attributes of a group or the root that are text or numbers, by name.
    pub fn attributes(&self, of: &str) -> Vec<(String, String)> {
        let Ok(group) = self.file.group(of) else { return Vec::new() };
        let mut names = group.attr_names().unwrap_or_default();
        names.sort();
        names.into_iter().filter_map(|n| h5::attribute_text(&group, &n).map(|v| (n, v))).collect()
    }

    /// Names of the datasets of a group, sorted; placeholders of bare dimensions are not among them.
    pub fn datasets(&self, group: &str) -> Vec<String> {
        let Ok(group) = self.file.group(group) else { return Vec::new() };
        let all = datasets_of(&group).into_iter();
        let mut names: Vec<String> = all.filter(|(_, d)| !is_placeholder(d)).map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// Names of the groups of the root, sorted.
    pub fn groups(&self) -> Vec<String> {
        let mut names: Vec<String> = groups_of(&self.file).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }
}

/// The datasets of a group, by the names of their links. A link that leads nowhere (to a file that is not there, say) is
/// passed over, and a group that cannot be listed has none.
pub(super) fn datasets_of(group: &Group) -> Vec<(String, Dataset)> {
    let names = group.member_names().unwrap_or_default();
    names.into_iter().filter_map(|name| group.dataset(&name).ok().map(|dataset| (name, dataset))).collect()
}

/// The groups of a group, likewise.
pub(super) fn groups_of(group: &Group) -> Vec<(String, Group)> {
    let names = group.member_names().unwrap_or_default();
    names.into_iter().filter_map(|name| group.group(&name).ok().map(|inner| (name, inner))).collect()
}

/// A dimension scale that stands for a bare dimension: ours always describe themselves, netCDF's placeholders do not.
pub(super) fn is_placeholder(dataset: &Dataset) -> bool {
    dataset.attr("CLASS").is_ok() && dataset.attr("long_name").is_err()
}
