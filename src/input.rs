//! `input.toml` as a value; `[problem]` and `[method]` stay closed envelopes for the rooms.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunInput {
    /// Seed of the addressed random numbers.
    pub seed: u64,
    /// Stop after this many steps (exit code 3 when the aim was not reached).
    pub max_steps: u64,
    /// Stop cleanly after this much wall time, e.g. "55m", "2h", "90s".
    pub walltime: Option<String>,
    /// Threads per rank; 0 = cores of the node ÷ ranks on the node, or RAYON_NUM_THREADS.
    pub threads: usize,
    /// Kernel level: the lowest common one of all ranks, or a given one.
    pub kernels: KernelLevel,
}

impl Default for RunInput {
    fn default() -> Self {
        RunInput { seed: 0, max_steps: 100_000, walltime: None, threads: 0, kernels: KernelLevel::Auto }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KernelLevel {
    Auto,
    Avx512,
    Avx2,
    Portable,
}

/// An input file, read and checked as far as the house knows it.
#[derive(Debug, Clone)]
pub struct Input {
    pub path: PathBuf,
    pub text: String,
    pub solver: String,
    pub run: RunInput,
}

impl Input {
    /// `[problem]` as the room's own type.
    pub fn problem<T: DeserializeOwned>(&self) -> Result<T> {
        unimplemented_by_skeleton()
    }

    /// `[method]` as the room's own type.
    pub fn method<T: DeserializeOwned>(&self) -> Result<T> {
        unimplemented_by_skeleton()
    }

    /// A path of the input, relative to the input file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// An error at a key such as `problem.source.file`, with its line and value as written.
    pub fn invalid(&self, key: &str, message: impl Into<String>) -> Error {
        Error::Input {
            file: self.path.clone(),
            line: None,
            key: key.into(),
            value: String::new(),
            message: message.into(),
        }
    }
}

fn unimplemented_by_skeleton<T>() -> Result<T> {
    Err(Error::Usage("skeleton".into()))
}
