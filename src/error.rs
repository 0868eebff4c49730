//! One error type for the whole suite; every variant carries its numbers.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

pub type Result<T> = std::result::Result<T, Error>;

/// A line on stderr, in one write, so that lines of several ranks and the launcher's own do not come into it.
pub fn tell(line: impl fmt::Display) {
    // Where stderr is gone there is nobody left to tell.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// What can go wrong because of a user, a file or the mathematics.
///
/// [`Error::exit_code`] maps each variant onto the contract of the command line: 2 for anything found
/// before work began, 1 for a failure while running.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A key of the input file (or a file named by it) is not acceptable.
    Input { file: PathBuf, line: Option<usize>, key: String, value: String, message: String },
    /// The command line, the launcher or the output directory is not acceptable.
    Usage(String),
    /// A file could not be read or written while running.
    File { path: PathBuf, message: String },
    /// The mathematics left its domain, with the step at which it did.
    Numerical { step: u64, message: String },
    /// A signal or a limit asked a long step to stop; its state is untouched.
    Interrupted,
    /// Another rank failed; made by `Team::agree`.
    Remote { rank: usize, code: u8, message: String },
}

impl Error {
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Input { .. } | Error::Usage(_) => 2,
            Error::File { .. } | Error::Numerical { .. } => 1,
            Error::Interrupted => 3,
            Error::Remote { code, .. } => *code,
        }
    }

    pub fn file(path: impl Into<PathBuf>, message: impl fmt::Display) -> Self {
        Error::File { path: path.into(), message: message.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input { file, line, key, value, message } => {
                write!(f, "{}", file.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                match (key.is_empty(), value.is_empty()) {
                    (true, _) => write!(f, ": {message}"),
                    (false, true) => write!(f, ": {key}: {message}"),
                    (false, false) => write!(f, ": {key} = {value}: {message}"),
                }
            }
            Error::Usage(message) => write!(f, "{message}"),
            Error::File { path, message } => write!(f, "{}: {message}", path.display()),
            Error::Numerical { step, message } => write!(f, "step {step}: {message}"),
            Error::Interrupted => write!(f, "interrupted"),
            Error::Remote { rank, message, .. } => write!(f, "rank {rank}: {message}"),
        }
    }
}

impl std::error::Error for Error {}
