//! The command line: one file per subcommand, no mathematics.

pub mod args;
pub mod check;
pub mod completions;
pub mod info;
pub mod list;
pub mod plot;
pub mod run;
pub mod schema;

use crate::error::{Error, Result};
use crate::input::did_you_mean;
use crate::solvers::{self, Entry};

/// The registry entry of a name given on the command line.
fn solver(name: &str) -> Result<&'static Entry> {
    solvers::find(name).ok_or_else(|| {
        let names = || solvers::registry().iter().map(|e| e.name);
        let list = names().collect::<Vec<_>>().join(", ");
        Error::Usage(format!("unknown solver {name:?}{}; there is {list}", did_you_mean(name, names())))
    })
}
