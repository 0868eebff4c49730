//! `spanwise info`: what a file holds and how it was made; how this program was built.

use std::path::{Path, PathBuf};

use super::args::InfoArguments;
use crate::build_info;
use crate::error::{Error, Result};
use crate::io;
use crate::io::read::Reader;
use crate::team::mpi_library_version;

pub fn text(arguments: &InfoArguments) -> Result<String> {
    match &arguments.file {
        None => Ok(build()),
        Some(path) => {
            let file = hdf5_file(path, &["output.h5", "checkpoint.h5"])?;
            reader(&file)?;
            io::describe(&file)
        }
    }
}

/// The file itself, or the first of `names` in a directory.
pub fn hdf5_file(path: &Path, names: &[&str]) -> Result<PathBuf> {
    let shown = path.display();
    if path.is_dir() {
        let found = names.iter().map(|n| path.join(n)).find(|p| p.is_file());
        return found.ok_or_else(|| Error::Usage(format!("{shown}: has no {}", names.join(" or "))));
    }
    if !path.exists() {
        return Err(Error::Usage(format!("{shown}: no such file")));
    }
    Ok(path.to_path_buf())
}

/// A file that cannot be opened is what the user named: exit code 2.
pub fn reader(path: &Path) -> Result<Reader> {
    Reader::open(path).map_err(|e| Error::Usage(e.to_string()))
}

fn build() -> String {
    let features = build_info::features();
    let features = if features.is_empty() { "none".to_string() } else { features.join(", ") };
    let mpi = mpi_library_version().unwrap_or_else(|| "none".to_string());
    let mpi = mpi.lines().next().unwrap_or("").trim_end_matches('\0').trim_end().to_string();
    let rows = [
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("commit", build_info::COMMIT.to_string()),
        ("features", features),
        ("mpi", mpi),
        ("hdf5", io::hdf5_version()),
        ("target", format!("{}, {}", std::env::consts::ARCH, std::env::consts::OS)),
        ("kernels", format!("{} (the best that this processor has)", build_info::processor_level())),
        ("cores", std::thread::available_parallelism().map_or("?".to_string(), |n| n.to_string())),
    ];
    rows.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}
