//! `input.toml` as a value; `[problem]` and `[method]` stay closed envelopes for the rooms.

mod document;
pub mod schema;
mod time;
mod validate;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::solvers;
use document::{Node, Place};
pub use time::{Cadence, Time, format_seconds, parse_seconds};
pub use validate::did_you_mean;
use validate::{Finding, validate};

/// What the house itself reads. `[problem]` and `[method]` belong to the solver.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HouseInput {
    solver: String,
    /// Any keys: what the input shows, where it is from.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    comment: toml::Table,
    /// Seed, limits, threads.
    run: RunInput,
    /// What output.h5 holds besides the final state.
    output: OutputInput,
    /// When checkpoints are written.
    checkpoint: CheckpointInput,
}

/// `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunInput {
    /// Seed of the addressed random numbers.
    pub seed: u64,
    /// Stop after this many steps (exit code 3 when the aim was not reached).
    #[schemars(range(min = 1))]
    pub max_steps: u64,
    /// Stop cleanly after this much wall time since the start of the program, e.g. "55m", "2h", "90s", or seconds.
    pub walltime: Option<Time>,
    /// Threads per rank; 0 = cores of the node ÷ ranks on the node, or RAYON_NUM_THREADS.
    #[schemars(range(max = 4096))]
    pub threads: usize,
    /// Kernel level: the lowest common one of all ranks, or a given one.
    pub kernels: KernelLevel,
}

impl Default for RunInput {
    fn default() -> Self {
        RunInput { seed: 0, max_steps: 100_000, walltime: None, threads: 0, kernels: KernelLevel::Auto }
    }
}

/// Instructions of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KernelLevel {
    /// The best one that every rank's processor has.
    Auto,
    /// AVX-512.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// Any processor.
    Portable,
}

/// `[output]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputInput {
    /// Record the series (one value per name) every so many steps; the last step is always recorded.
    #[schemars(range(min = 1))]
    pub every: u64,
    /// Level of deflate of large datasets; 0: stored as they are.
    #[schemars(range(max = 9))]
    pub compression: u8,
}

impl Default for OutputInput {
    fn default() -> Self {
        OutputInput { every: 1, compression: 4 }
    }
}

/// `[checkpoint]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointInput {
    /// A checkpoint every so many steps, or after this much time, e.g. "10m".
    pub every: Cadence,
    /// How many checkpoints are kept; with 2 a bad newest one falls back to the one before.
    #[schemars(range(min = 1, max = 100))]
    pub keep: usize,
}

impl Default for CheckpointInput {
    fn default() -> Self {
        CheckpointInput { every: Cadence::Time("10m".into()), keep: 2 }
    }
}

/// An input file, checked key by key against the schema of its solver.
#[derive(Debug, Clone)]
pub struct Input {
    pub path: PathBuf,
    /// The TOML as run: the file, or what it becomes after `--set`.
    pub text: String,
    pub solver: String,
    pub run: RunInput,
    pub output: OutputInput,
    pub checkpoint: CheckpointInput,
    document: Node,
}

/// Bytes of an input file; anything larger is not an input (data belong in files it names).
const LARGEST_INPUT: u64 = 16 << 20;

impl Input {
    /// Reads and checks a file, with `--set section.key=value` applied.
    pub fn read(path: &Path, sets: &[String]) -> Result<Input> {
        Input::parse(path, &read_text(path)?, sets)
    }

    /// Checks a text as if it were the file `path`.
    pub fn parse(path: &Path, text: &str, sets: &[String]) -> Result<Input> {
        let whole = |line, message: String| Error::Input {
            file: path.to_path_buf(),
            line,
            key: String::new(),
            value: String::new(),
            message,
        };
        let mut document = Node::parse(text).map_err(|e| whole(e.line, e.message))?;
        for set in sets {
            document.set(set).map_err(Error::Usage)?;
        }
        if text.trim().is_empty() && sets.is_empty() {
            return Err(whole(None, "is empty; an input has at least solver = \"…\" and [problem]".into()));
        }
        let entry = solver_entry(&document).map_err(|f| place_finding(path, f))?;
        let schema = schema::of_solver(entry);
        validate(&schema, &schema, &document, "").map_err(|f| place_finding(path, f))?;

        let mut input = Input {
            path: path.to_path_buf(),
            text: text.to_string(),
            solver: entry.name.to_string(),
            run: RunInput::default(),
            output: OutputInput::default(),
            checkpoint: CheckpointInput::default(),
            document,
        };
        if !sets.is_empty() {
            let toml = toml::to_string_pretty(&input.document.to_toml()).map_err(|e| whole(None, e.to_string()))?;
            let list: String = sets.iter().map(|s| format!("# as run with --set {}\n", s.replace('\n', " "))).collect();
            input.text = format!("{list}{toml}");
        }
        input.run = input.section("run")?;
        input.output = input.section("output")?;
        input.checkpoint = input.section("checkpoint")?;
        if let Some(Err(message)) = input.run.walltime.as_ref().map(Time::seconds) {
            return Err(input.invalid("run.walltime", message));
        }
        if let Cadence::Time(text) = &input.checkpoint.every {
            parse_seconds(text).map_err(|message| input.invalid("checkpoint.every", message))?;
        }
        Ok(input)
    }

    /// `[problem]` as the room's own type.
    pub fn problem<T: DeserializeOwned>(&self) -> Result<T> {
        self.section("problem")
    }

    /// `[method]` as the room's own type.
    pub fn method<T: DeserializeOwned>(&self) -> Result<T> {
        self.section("method")
    }

    fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = match self.document.get(name) {
            Some(node) => node.to_toml(),
            None => toml::Value::Table(toml::Table::new()),
        };
        // The schema has accepted it; what serde still refuses (a number too large for its type) has no line.
        value.try_into().map_err(|e: toml::de::Error| self.invalid(name, e.message().replace('\n', " ")))
    }

    /// Whether the input says anything at a key such as `method.tolerance`, be it the default.
    pub fn given(&self, key: &str) -> bool {
        self.document.find(key).is_some()
    }

    /// A path of the input, relative to the input file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// An error at a key such as `problem.source.file` (list elements: `problem.source.mean.0`), with its line and
    /// value as written. For an absent key the line is that of the nearest table that is there.
    pub fn invalid(&self, key: &str, message: impl Into<String>) -> Error {
        let message = message.into();
        let shown = with_brackets(key);
        if let Some((place, node)) = self.document.find(key) {
            let finding = Finding { key: shown, place: place.clone(), written: node.written.clone(), message };
            return place_finding(&self.path, finding);
        }
        let mut table = key;
        while let Some((parent, _)) = table.rsplit_once('.') {
            table = parent;
            if let Some((place, _)) = self.document.find(table) {
                let finding = Finding { key: shown, place: place.clone(), written: String::new(), message };
                return place_finding(&self.path, finding);
            }
        }
        Error::Input { file: self.path.clone(), line: None, key: shown, value: String::new(), message }
    }
}

/// A dotted key as messages show it: list elements in brackets.
fn with_brackets(key: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut shown = String::new();
    for part in key.split('.') {
        match is_number(part) {
            true => shown.push_str(&format!("[{part}]")),
            false if shown.is_empty() => shown.push_str(part),
            false => shown.push_str(&format!(".{part}")),
        }
    }
    shown
}

/// The registry entry that `solver` names.
fn solver_entry(document: &Node) -> std::result::Result<&'static solvers::Entry, Finding> {
    let names = || solvers::registry().iter().map(|e| e.name);
    let list = names().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
    let finding = |place: &Place, written: &str, message| Finding {
        key: "solver".to_string(),
        place: place.clone(),
        written: written.to_string(),
        message,
    };
    let Some((place, node)) = document.find("solver") else {
        // "sovler" is better answered by the name of the key than by its absence.
        if let document::Value::Table(entries) = &document.value {
            let near = |e: &&document::Entry| !did_you_mean(&e.key, ["solver"].into_iter()).is_empty();
            if let Some(e) = entries.iter().find(near) {
                let message = "unknown key; did you mean \"solver\"?".to_string();
                return Err(Finding { key: e.key.clone(), ..finding(&e.place, "", message) });
            }
        }
        return Err(finding(&document.place, "", format!("is missing; one of {list}")));
    };
    let document::Value::Leaf(toml::Value::String(name)) = &node.value else {
        return Err(finding(place, &node.written, format!("must be one of {list}")));
    };
    solvers::find(name)
        .ok_or_else(|| finding(place, &node.written, format!("must be one of {list}{}", did_you_mean(name, names()))))
}

fn place_finding(path: &Path, finding: Finding) -> Error {
    let Finding { key, place, written, message } = finding;
    let (line, message) = match place {
        Place::Line(line) => (Some(line), message),
        Place::Set(set) => (None, format!("{message} (from --set {set})")),
    };
    Error::Input { file: path.to_path_buf(), line, key, value: written, message }
}

/// The text of an input file; every way a path can disappoint is an input error (exit code 2).
pub fn read_text(path: &Path) -> Result<String> {
    let bad = |message: String| Error::Input {
        file: path.to_path_buf(),
        line: None,
        key: String::new(),
        value: String::new(),
        message,
    };
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => bad("no such file".into()),
        _ => bad(format!("cannot be read: {e}")),
    })?;
    if meta.is_dir() {
        return Err(bad("is a directory; an input is a .toml file".into()));
    }
    if !meta.is_file() {
        return Err(bad("is a pipe or a device; an input is a .toml file".into()));
    }
    if meta.len() > LARGEST_INPUT {
        return Err(bad(format!("has {} bytes; an input has at most {LARGEST_INPUT}", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Err(bad("is an HDF5 file; an input is a .toml file (try spanwise info)".into()));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        Error::Input {
            file: path.to_path_buf(),
            line: Some(line),
            key: String::new(),
            value: String::new(),
            message: "is not UTF-8 text".into(),
        }
    })
}
