//! The thin layer over HDF5: opening, hyperslabs of plain bytes, string attributes, dimension scales.
//!
//! The crate's own `write_slice` uses an independent transfer, which cannot write compressed chunks in parallel,
//! so hyperslabs are read and written here, under the crate's global lock.

use std::ffi::{CString, c_void};
use std::path::Path;
use std::str::FromStr;

use hdf5::plist::file_access::FileAccessBuilder;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor, VarLenUnicode};
use hdf5::{Dataset, Location};
use hdf5_sys::h5d::{H5Dread, H5Dwrite};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5s::{H5S_seloper_t, H5Sclose, H5Screate_simple, H5Sselect_hyperslab, H5Sselect_none};

use crate::state::Data;

/// The default transfer: independent.
pub(super) const INDEPENDENT: hid_t = 0;

/// What this room says when HDF5 or the file system fails; the caller adds the path.
pub(super) type Outcome<T> = std::result::Result<T, String>;

/// Call before anything else of this room; more than once is harmless.
///
/// HDF5 must not run at exit: after a failed write it would wait for ranks that are gone. A file that grows past
/// RLIMIT_FSIZE must be an error code, not a signal.
pub fn start() {
    // The crate calls H5dont_atexit and silences HDF5's own printing the first time its lock is taken.
    hdf5::sync::sync(|| {});
    // SAFETY: ignoring a signal has no memory effects.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// The types that a state may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F64,
    F32,
    I64,
    U64,
    U8,
}

impl Kind {
    pub fn size(self) -> usize {
        match self {
            Kind::F64 | Kind::I64 | Kind::U64 => 8,
            Kind::F32 => 4,
            Kind::U8 => 1,
        }
    }

    pub fn descriptor(self) -> TypeDescriptor {
        match self {
            Kind::F64 => TypeDescriptor::Float(FloatSize::U8),
            Kind::F32 => TypeDescriptor::Float(FloatSize::U4),
            Kind::I64 => TypeDescriptor::Integer(IntSize::U8),
            Kind::U64 => TypeDescriptor::Unsigned(IntSize::U8),
            Kind::U8 => TypeDescriptor::Unsigned(IntSize::U1),
        }
    }

    pub fn of(dataset: &Dataset) -> Outcome<Self> {
        let descriptor = dataset.dtype().and_then(|t| t.to_descriptor()).map_err(text)?;
        [Kind::F64, Kind::F32, Kind::I64, Kind::U64, Kind::U8]
            .into_iter()
            .find(|k| k.descriptor() == descriptor)
            .ok_or_else(|| format!("values of type {descriptor}"))
    }

    fn memory_type(self) -> hid_t {
        use hdf5::globals::*;
        match self {
            Kind::F64 => *H5T_NATIVE_DOUBLE,
            Kind::F32 => *H5T_NATIVE_FLOAT,
            Kind::I64 => *H5T_NATIVE_INT64,
            Kind::U64 => *H5T_NATIVE_UINT64,
            Kind::U8 => *H5T_NATIVE_UINT8,
        }
    }
}

/// A walked value as its type and bytes.
pub(super) fn bytes_of(data: Data<'_>) -> (Kind, &mut [u8]) {
    match data {
        Data::F64(x) => (Kind::F64, bytemuck::cast_slice_mut(x)),
        Data::F32(x) => (Kind::F32, bytemuck::cast_slice_mut(x)),
        Data::I64(x) => (Kind::I64, bytemuck::cast_slice_mut(x)),
        Data::U64(x) => (Kind::U64, bytemuck::cast_slice_mut(x)),
        Data::U8(x) => (Kind::U8, x),
    }
}

/// An HDF5 error in one line. The bottom of its stack has the cause ("errno = 28, 'No space left on device'"),
/// the top the purpose ("unable to write raw data").
pub(super) fn text(error: hdf5::Error) -> String {
    let Some(stack) = error.stack() else { return error.to_string() };
    // HDF5 breaks the line after the time at which a write failed.
    let frames: Vec<String> = stack.iter().map(|f| f.description().replace('\n', "")).collect();
    match (frames.first(), frames.last()) {
        (Some(a), Some(b)) if a != b => format!("{a}: {b}"),
        (Some(a), _) => a.clone(),
        _ => error.to_string(),
    }
}

fn check(code: i32) -> Outcome<()> {
    if code >= 0 {
        return Ok(());
    }
    Err(hdf5::Error::query().map_or_else(text, text))
}

/// HDF5's own locks are left out: a run locks its directory, files get their name when they are whole, and several
/// parallel file systems refuse these locks. Where the library is too old, HDF5_USE_FILE_LOCKING=FALSE does it.
fn unlocked(access: &mut FileAccessBuilder) -> &mut FileAccessBuilder {
    #[cfg(hdf5_file_locking)]
    access.file_locking(false);
    access
}

/// Opens with the serial driver, read-only: any number of ranks may, each for itself.
pub(super) fn open(path: &Path) -> Outcome<hdf5::File> {
    start();
    hdf5::File::with_options().with_fapl(unlocked).open(path).map_err(|e| match text(e) {
        words if words.contains("file signature not found") => "is not an HDF5 file".into(),
        words => words,
    })
}

pub(super) fn create(path: &Path) -> Outcome<hdf5::File> {
    hdf5::File::with_options()
        .with_fapl(|p| unlocked(p).libver_v110())
        .with_fcpl(|p| p.obj_track_times(false))
        .create(path)
        .map_err(text)
}

/// Opens an existing file for writing on this rank alone.
pub(super) fn reopen(path: &Path) -> Outcome<hdf5::File> {
    // Pieces of a gathered array need not end where chunks do; a chunk waits in the cache for its other half.
    hdf5::File::with_options()
        .with_fapl(|p| unlocked(p).libver_v110().chunk_cache(4001, 64 << 20, 1.0))
        .open_rw(path)
        .map_err(text)
}

/// Reads or writes `count` values from `start` on. An empty count takes part without touching anything.
///
/// # Safety
/// `transfer_data` gets dataset, memory type, memory space, file space and must move exactly `count` values.
unsafe fn select(
    dataset: &Dataset,
    start: &[usize],
    count: &[usize],
    kind: Kind,
    transfer_data: impl FnOnce(hid_t, hid_t, hid_t, hid_t) -> i32,
) -> Outcome<()> {
    let start: Vec<u64> = start.iter().map(|&x| x as u64).collect();
    let count: Vec<u64> = count.iter().map(|&x| x as u64).collect();
    let space = dataset.space().map_err(text)?;
    hdf5::sync::sync(|| unsafe {
        if start.is_empty() {
            // A scalar dataspace: one value, everything selected.
            return check(transfer_data(dataset.id(), kind.memory_type(), 0, 0));
        }
        let memory = H5Screate_simple(count.len() as i32, count.as_ptr(), std::ptr::null());
        let selected = if count.contains(&0) {
            H5Sselect_none(space.id()).min(H5Sselect_none(memory))
        } else {
            let set = H5S_seloper_t::H5S_SELECT_SET;
            H5Sselect_hyperslab(space.id(), set, start.as_ptr(), std::ptr::null(), count.as_ptr(), std::ptr::null())
        };
        // A failed selection still takes part in the transfer when others may be waiting in it.
        if selected < 0 {
            H5Sselect_none(space.id());
            H5Sselect_none(memory);
        }
        let code = transfer_data(dataset.id(), kind.memory_type(), memory, space.id());
        let outcome = check(selected.min(code));
        H5Sclose(memory);
        outcome
    })
}

/// Writes the block at `start` of size `count`; collective when `transfer` says so.
pub(super) fn write(
    dataset: &Dataset,
    kind: Kind,
    start: &[usize],
    count: &[usize],
    bytes: &[u8],
    transfer: hid_t,
) -> Outcome<()> {
    assert_eq!(bytes.len(), count.iter().product::<usize>() * kind.size());
    // SAFETY: `bytes` holds `count` values of `kind`, as asserted.
    unsafe { select(dataset, start, count, kind, |d, t, m, f| H5Dwrite(d, t, m, f, transfer, bytes.as_ptr().cast())) }
}

/// Reads the block at `start` of size `count`, converting to `kind` if the file has another type.
pub(super) fn read(dataset: &Dataset, kind: Kind, start: &[usize], count: &[usize], bytes: &mut [u8]) -> Outcome<()> {
    assert_eq!(bytes.len(), count.iter().product::<usize>() * kind.size());
    // SAFETY: `bytes` has room for `count` values of `kind`, as asserted.
    unsafe {
        select(dataset, start, count, kind, |d, t, m, f| H5Dread(d, t, m, f, INDEPENDENT, bytes.as_mut_ptr().cast()))
    }
}

/// A variable-length UTF-8 attribute (a fixed-length one reaches h5py as bytes).
pub(super) fn put_string(at: &Location, name: &str, value: &str) -> Outcome<()> {
    let value = VarLenUnicode::from_str(&value.replace('\0', "")).map_err(|e| e.to_string())?;
    at.new_attr::<VarLenUnicode>().create(name).and_then(|a| a.write_scalar(&value)).map_err(text)
}

/// Any attribute as text: strings as they are, numbers in decimal, arrays bracketed; none if absent or other.
pub(super) fn attribute_text(at: &Location, name: &str) -> Option<String> {
    let attribute = at.attr(name).ok()?;
    let descriptor = attribute.dtype().ok()?.to_descriptor().ok()?;
    let list = |items: Vec<String>| match (attribute.ndim(), items.len()) {
        (0, 1) => items.into_iter().next(),
        _ => Some(format!("[{}]", items.join(", "))),
    };
    match descriptor {
        TypeDescriptor::VarLenUnicode => {
            list(attribute.read_raw::<VarLenUnicode>().ok()?.iter().map(|s| s.to_string()).collect())
        }
        TypeDescriptor::VarLenAscii => {
            let all = attribute.read_raw::<hdf5::types::VarLenAscii>().ok()?;
            list(all.iter().map(|s| s.to_string()).collect())
        }
        TypeDescriptor::Integer(_) => list(
            attribute
                .as_reader()
                .conversion(hdf5::Conversion::Soft)
                .read_raw::<i64>()
                .ok()?
                .iter()
                .map(|x| x.to_string())
                .collect(),
        ),
        TypeDescriptor::Unsigned(_) => list(
            attribute
                .as_reader()
                .conversion(hdf5::Conversion::Soft)
                .read_raw::<u64>()
                .ok()?
                .iter()
                .map(|x| x.to_string())
                .collect(),
        ),
        TypeDescriptor::Float(_) => list(
            attribute
                .as_reader()
                .conversion(hdf5::Conversion::Soft)
                .read_raw::<f64>()
                .ok()?
                .iter()
                .map(|x| x.to_string())
                .collect(),
        ),
        _ => None,
    }
}

// The high-level library is linked by feature `hl` of the sys crate, which has no declarations for it.
unsafe extern "C" {
    fn H5DSset_scale(dataset: hid_t, name: *const std::ffi::c_char) -> i32;
    fn H5DSattach_scale(dataset: hid_t, scale: hid_t, axis: u32) -> i32;
    fn H5DSiterate_scales(dataset: hid_t, axis: u32, from: *mut i32, visit: Visit, into: *mut c_void) -> i32;
}
type Visit = unsafe extern "C" fn(hid_t, u32, hid_t, *mut c_void) -> i32;

/// Keeps the name of the first scale and ends the iteration.
unsafe extern "C" fn first_scale(_: hid_t, _: u32, scale: hid_t, into: *mut c_void) -> i32 {
    let mut name = [0u8; 512];
    // SAFETY: a live scale, a buffer as long as said whose last byte stays zero, and the `String` given below.
    unsafe {
        hdf5_sys::h5i::H5Iget_name(scale, name.as_mut_ptr().cast(), name.len() - 1);
        let end = name.iter().position(|&b| b == 0).unwrap_or(0);
        let path = String::from_utf8_lossy(&name[..end]);
        *into.cast::<String>() = path.rsplit('/').next().unwrap_or_default().to_string();
    }
    1
}

/// The name of each axis: that of its dimension scale; empty where it has none. A dimension scale is its own axis.
pub(super) fn axis_labels(dataset: &Dataset) -> Vec<String> {
    let own = dataset.name().rsplit('/').next().unwrap_or_default().to_string();
    let is_scale = dataset.attr("CLASS").is_ok();
    (0..dataset.ndim())
        .map(|axis| {
            let mut label = String::new();
            if is_scale {
                return own.clone();
            }
            hdf5::sync::sync(|| unsafe {
                let into = (&raw mut label).cast();
                // A negative code: no scale is attached, and the label stays empty.
                H5DSiterate_scales(dataset.id(), axis as u32, std::ptr::null_mut(), first_scale, into)
            });
            label
        })
        .collect()
}

/// Turns a 1-D dataset into a dimension scale called `name`.
pub(super) fn make_scale(dataset: &Dataset, name: &str) -> Outcome<()> {
    let name = CString::new(name).map_err(|e| e.to_string())?;
    // SAFETY: a live dataset and a terminated string.
    hdf5::sync::sync(|| check(unsafe { H5DSset_scale(dataset.id(), name.as_ptr()) }))
}

/// Says that axis `axis` of `dataset` runs along `scale`.
pub(super) fn attach_scale(dataset: &Dataset, scale: &Dataset, axis: usize) -> Outcome<()> {
    // SAFETY: two live datasets.
    hdf5::sync::sync(|| check(unsafe { H5DSattach_scale(dataset.id(), scale.id(), axis as u32) }))
}

/// The collective side: files opened by every rank together.
#[cfg(feature = "parallel-hdf5")]
pub(super) mod parallel {
    use super::*;
    use crate::team::RawComm;
    use hdf5_sys::h5p::{H5FD_mpio_xfer_t, H5Pclose, H5Pcreate, H5Pset_dxpl_mpio};

    pub fn open(path: &Path, comm: RawComm) -> Outcome<hdf5::File> {
        hdf5::File::with_options()
            .with_fapl(|p| p.mpio(comm, None).all_coll_metadata_ops(true).coll_metadata_write(true).libver_v110())
            .open_rw(path)
            .map_err(text)
    }

    /// A transfer list that asks for collective transfers.
    pub struct Collective(pub hid_t);

    impl Collective {
        pub fn new() -> Self {
            Collective(hdf5::sync::sync(|| unsafe {
                let id = H5Pcreate(*hdf5::globals::H5P_DATASET_XFER);
                H5Pset_dxpl_mpio(id, H5FD_mpio_xfer_t::H5FD_MPIO_COLLECTIVE);
                id
            }))
        }
    }

    impl Drop for Collective {
        fn drop(&mut self) {
            hdf5::sync::sync(|| unsafe { H5Pclose(self.0) });
        }
    }
}
