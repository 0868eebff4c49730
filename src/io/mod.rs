//! The only room that knows HDF5, and the one that reads the files of inputs.
//!
//! - [`save`]: a walk becomes `output.h5`, atomically; [`Header`] says who wrote it, [`Sections`] names its groups.
//! - [`checkpoint`]: the same with checksums; the newest good one is found and loaded on any number of ranks.
//! - [`Segments`]: records in time, in files of their own until the end of the run.
//! - [`Lock`]: one run per output directory.
//! - [`ArrayFile`], [`images`]: arrays and pictures of inputs.
//! - [`describe`], [`read`]: what a file holds, for `info` and `plot`.

pub mod arrays;
pub mod checkpoint;
pub mod describe;
mod h5;
pub mod images;
mod layout;
mod lock;
mod npy;
mod output;
pub mod read;
mod segments;

pub use arrays::ArrayFile;
pub use checkpoint::{Checkpoint, load};
pub use describe::describe;
pub use h5::start;
pub use images::{Image, write_atomically};
pub use layout::{Fill, Header, Sections, Storage, file_bytes};
pub use lock::{Intent, Lock};
pub use output::{save, save_joined};
pub use segments::Segments;

/// Version of the HDF5 library this binary runs with, as "1.10.8".
pub fn hdf5_version() -> String {
    let (major, minor, release) = hdf5::library_version();
    format!("{major}.{minor}.{release}")
}
