//! The figure of a finished run, from output.h5 alone.

use std::path::Path;

use crate::error::{Error, Result};

pub fn plot(output: &Path, _figure: &Path) -> Result<()> {
    Err(Error::file(output, "unfinished"))
}
