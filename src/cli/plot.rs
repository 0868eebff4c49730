//! `spanwise plot FILE.h5|DIR`: the figure that the solver of a file draws.

use std::path::{Path, PathBuf};

use super::args::PlotArguments;
use super::info::{hdf5_file, reader};
use crate::error::{Error, Result};
use crate::solvers;

/// Draws, and says what was drawn.
pub fn plot(arguments: &PlotArguments) -> Result<String> {
    let file = hdf5_file(&arguments.file, &["output.h5"])?;
    let figure = arguments.output.clone().unwrap_or_else(|| file.with_extension("png"));
    check_figure(&figure)?;
    let name = reader(&file)?.attribute("/", "solver").unwrap_or_default();
    let entry = solvers::find(&name).ok_or_else(|| {
        Error::Usage(format!("{}: was not written by a solver of this build (solver = {name:?})", file.display()))
    })?;
    (entry.plot)(&file, &figure)?;
    Ok(format!("{}\n", figure.display()))
}

fn check_figure(figure: &Path) -> Result<()> {
    let extension = figure.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase();
    if !["png", "svg"].contains(&extension.as_str()) {
        return Err(Error::Usage(format!("--output {}: must end in .png or .svg", figure.display())));
    }
    let directory: PathBuf = match figure.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if !directory.is_dir() {
        return Err(Error::Usage(format!("--output {}: there is no such directory", figure.display())));
    }
    Ok(())
}
