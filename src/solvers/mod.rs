//! What every solver is, and the registry of them.

pub mod paths;
pub mod smc;
pub mod spectral;
pub mod transport;

use std::path::Path;

use crate::error::Result;
use crate::input::Input;
use crate::state::{Name, Walk};
use crate::team::Team;

/// What a step says to the loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    Running,
    Finished(Outcome),
}

/// How a solver ended by itself. Limits (steps, walltime, signals) are the loop's to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What was asked (tolerance, end time) was reached.
    Reached,
    /// No further progress is possible at this precision; the message says what was achieved.
    Stalled(String),
}

/// The error bar of a headline number (law 7).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErrorBar {
    /// Certified: the truth lies in [lower, upper].
    Interval(f64, f64),
    StdErr(f64),
    None,
}

impl ErrorBar {
    /// A standard error; none where it is NaN, as that of one island is.
    pub fn of(standard_error: f64) -> ErrorBar {
        if standard_error.is_nan() { ErrorBar::None } else { ErrorBar::StdErr(standard_error) }
    }
}

/// A headline number.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    pub name: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
    pub value: f64,
    pub error: ErrorBar,
}

/// The first line of what `check` says of memory: what is held before any problem is built, on one rank, on one of two and
/// on one of more; measured.
pub fn program(ranks: usize) -> (String, u64) {
    let bytes = match ranks {
        1 => 40_500_000,
        2 => 42_500_000,
        _ => 45_000_000,
    };
    ("program, MPI and HDF5".to_string(), bytes)
}

/// The line of memory that is other ranks', and counts on them too.
pub const SEEN: &str = "buffers of other ranks, seen in shared memory";

/// What a solver knows of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// Steps of another stage say nothing of how long those of this one take.
    pub stage: u64,
    pub left: Left,
}

/// Steps to the solver's own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Steps(u64),
    /// At most what the limit of steps allows: a tolerance ends the run.
    Limit,
    /// What steps there were says nothing of those to come.
    Unknown,
}

impl Outlook {
    /// Of a run of one stage with a known end.
    pub fn left(steps: u64) -> Outlook {
        Outlook { stage: 0, left: Left::Steps(steps) }
    }

    /// Of a run to a time: steps as long as the last one. Before the first, nothing is known.
    pub fn until(end: f64, time: f64, step: f64) -> Outlook {
        match step > 0.0 {
            true => Outlook::left(((end - time) / step - 1e-6).ceil().max(0.0) as u64),
            false => Outlook { stage: 0, left: Left::Unknown },
        }
    }
}

/// What begins a note of a solver that is a warning.
pub const WARNING: &str = "warning: ";

/// The text of a note that is a warning.
pub fn warning(note: &str) -> Option<&str> {
    note.strip_prefix(WARNING)
}

pub trait Solver {
    /// One step of the method; collective. An `Err(Interrupted)` leaves the state untouched.
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status>;
    /// Whether the state, as made or as restored, has reached what was asked: then no step is made.
    fn reached(&self) -> bool {
        false
    }
    /// Everything a restart needs, and what a reader wants as the final state. Collective.
    fn state(&mut self, walk: &mut dyn Walk) -> Result<()>;
    /// After [`Solver::state`] was read from a checkpoint, which a run with other limits may have written.
    ///
    /// # Errors
    /// A state that this run cannot go on from, alike on every rank.
    fn restored(&mut self) -> Result<()> {
        Ok(())
    }
    /// What a reader needs to understand the rest (points, weights, …): `/inputs` of output.h5. Collective.
    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()>;
    /// Makes what `record` and `report` say of the present state; before each recorded step, collective.
    fn measure(&mut self, _team: &dyn Team) -> Result<()> {
        Ok(())
    }
    /// The values recorded at this step: `/series`, the progress line. Equal on every rank.
    fn record(&self) -> Vec<(Name, f64)>;
    /// Whether the present state is one to keep in `/fields`: its time, equal on every rank; asked before the first step
    /// and after each one. It must follow from the walked state alone, so that a resumed run answers as the first did.
    fn snapshot_due(&self) -> Option<f64> {
        None
    }
    /// Walks what `/fields` keeps of the present state: a block becomes a record (time, …), a scalar (or short list,
    /// equal on every rank) likewise; a `replicated` list is a coordinate, kept once. The same names, shapes and blocks
    /// every time. Collective; large snapshots are walked twice.
    fn snapshot(&mut self, _walk: &mut dyn Walk, _team: &dyn Team) -> Result<()> {
        Ok(())
    }
    /// After the last step (also at a limit): certificates and derived results. Collective.
    fn finish(&mut self, team: &dyn Team) -> Result<()>;
    /// What the results say of the aim, where `finish` looks at it once more; it goes before what the steps said. Equal on
    /// every rank.
    fn verdict(&self) -> Option<Outcome> {
        None
    }
    /// Derived results, valid after `finish`: `/results` of output.h5. Collective.
    fn results(&mut self, walk: &mut dyn Walk) -> Result<()>;
    /// Lines for the log: what was decided or changed on the user's behalf. Those that begin with [`WARNING`] are shown
    /// on the terminal too.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// What equal runs may differ in, such as the kernel level that the ranks agreed on: `/provenance`.
    fn provenance(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Headline numbers, determined by the walked state and results.
    fn report(&self) -> Vec<Number>;
    /// Work done so far in the solver's own unit, for the achieved rate: (amount, unit), e.g. (1e9, "entries").
    fn work(&self) -> (f64, &'static str);
    /// What is known of the steps to come, for the time left.
    fn outlook(&self) -> Outlook {
        Outlook { stage: 0, left: Left::Limit }
    }
    /// Other files a user expects (an image, an XDMF), written into `dir` by rank 0 through temporary names.
    fn extras(&mut self, dir: &Path, team: &dyn Team) -> Result<Vec<String>>;
}

/// What `spanwise check` prints; nothing is computed but counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Estimate {
    /// What was understood: (name, value) lines.
    pub problem: Vec<(String, String)>,
    /// The key of the input on which the size of the problem depends most.
    pub size_key: String,
    /// Itemised memory per rank in bytes: (what, bytes); the largest rank.
    pub memory: Vec<(String, u64)>,
    /// Bytes sent per step and rank, and messages per step and rank.
    pub bytes_per_step: u64,
    pub messages_per_step: u64,
    /// The same besides for each record of /series.
    pub bytes_per_record: u64,
    pub messages_per_record: u64,
    /// Seconds per step and rank, from the kernel rate of this machine measured now; none when unknown.
    pub seconds_per_step: Option<f64>,
    /// Predicted size of the datasets of output.h5, uncompressed, and of one checkpoint.
    pub output_bytes: u64,
    pub checkpoint_bytes: u64,
}

impl Estimate {
    /// Bytes of the largest rank.
    pub fn total(&self) -> u64 {
        self.memory.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Of those, what is not memory of another rank.
    pub fn own(&self) -> u64 {
        let own = self.memory.iter().filter(|(what, _)| what != SEEN);
        own.fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// In words, that this is more than a node of so many bytes has, if it is.
    pub fn lacks_memory(&self, node: u64) -> Option<String> {
        let (what, most) = self.memory.iter().max_by_key(|(_, bytes)| *bytes)?;
        let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
        (self.total() > node).then(|| {
            format!(
                "a rank needs {}, most of it for \"{what}\" ({}), and its node has {}: make the problem smaller or use \
                 more ranks on more nodes",
                gigabytes(self.total()),
                gigabytes(*most),
                gigabytes(node)
            )
        })
    }
}

/// A row of the registry.
pub struct Entry {
    pub name: &'static str,
    pub summary: &'static str,
    /// Parse, read and distribute the data, ready for the first step. Collective.
    pub build: fn(&Input, &dyn Team) -> Result<Box<dyn Solver>>,
    /// Parse and read headers only, for `ranks` ranks with `threads` threads each.
    pub check: fn(&Input, ranks: usize, threads: usize) -> Result<Estimate>,
    /// JSON schemas of `[problem]` and `[method]`, from the typed structs.
    pub problem_schema: fn() -> schemars::Schema,
    pub method_schema: fn() -> schemars::Schema,
    /// Keys of `[problem]` that may change when a run goes on.
    pub free: &'static [&'static str],
    /// Keys of `[method]` that may; none: all but `name`, as far as the state allows.
    pub free_in_method: Option<&'static [&'static str]>,
    /// (name, one line) of every method, for `spanwise list`.
    pub methods: fn() -> Vec<(&'static str, &'static str)>,
    /// (name, one line) of every first state that goes by a name, for `spanwise list`.
    pub initials: fn() -> Vec<(String, String)>,
    /// The figure a user expects first, drawn from output.h5 into `figure` (.png or .svg).
    pub plot: fn(output: &Path, figure: &Path) -> Result<()>,
}

/// One line per solver.
pub fn registry() -> &'static [Entry] {
    static ENTRIES: &[Entry] = &[transport::ENTRY, spectral::ENTRY, smc::ENTRY, paths::ENTRY];
    ENTRIES
}

pub fn find(name: &str) -> Option<&'static Entry> {
    // The loop's own tests need a solver that does next to nothing.
    #[cfg(test)]
    if name == "toy" {
        static TOY: Entry = crate::run::toy::ENTRY;
        return Some(&TOY);
    }
    registry().iter().find(|e| e.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From t = 0.7 to 1 in steps of 0.1 (rounded: 0.3 / 0.1 is a little less than 3) there are three; from 0.75 too, the last shorter.
    #[test]
    fn steps_to_a_time_are_counted() {
        assert_eq!(Outlook::until(1.0, 0.7, 0.1).left, Left::Steps(3));
        assert_eq!(Outlook::until(1.0, 0.75, 0.1).left, Left::Steps(3));
        assert_eq!(Outlook::until(1.0, 1.0, 0.1).left, Left::Steps(0));
        assert_eq!(Outlook::until(1.0, 0.0, 0.0).left, Left::Unknown);
    }
}
