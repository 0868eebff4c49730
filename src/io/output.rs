//! Saving: a walk becomes a file, whole or not at all.
//!
//! 1. Every rank walks once to measure. Rank 0 creates `FILE.tmp` with everything but the blocks, then reserves the
//!    bytes that the blocks will need. The ranks agree before anything more is written: parallel HDF5 does not
//!    survive a full disk (its collective metadata writes hang).
//! 2. Every rank walks again to write the blocks: collectively through MPI-IO, or gathered piece by piece to rank 0
//!    where there is no MPI-IO. Where rank 0 writes, all agree on how it went. Where all write, a failure may be known
//!    to one rank only, and others wait for it in a call that it has left: that rank ends the job ([`or_end`]).
//! 3. Rank 0 reopens the file, checks it, forces it to disk and renames it over the old one.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::h5::{self, Kind, Outcome, text};
use super::layout::{self, Fill, Header, Item, Measure, Sections, Storage};
use super::segments::{Joined, Segments};
use crate::error::{Error, Result};
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::{Partition, Team};

/// What one collective transfer moves at most, per rank.
#[cfg(feature = "parallel-hdf5")]
const COLLECTIVE_PIECE: usize = 512 << 20;
/// What rank 0 receives at most in one round of gathering, from all ranks together.
const GATHER_PIECE: usize = 64 << 20;
/// What a rank reads at most of the segment files before it writes it.
const JOIN_PIECE: usize = 32 << 20;

/// Writes `path` through a temporary name in the same directory; collective. `fill` is run twice: to measure and to
/// write, and must walk the same things both times.
///
/// # Errors
/// [`Error::File`], the same on every rank; the old file is untouched and the temporary one is gone.
pub fn save(path: &Path, header: &Header, storage: Storage, team: &dyn Team, fill: Fill) -> Result<()> {
    save_joined(path, header, storage, team, fill, None)
}

/// [`save`] with the records of segment files as `/fields`.
pub fn save_joined(
    path: &Path,
    header: &Header,
    storage: Storage,
    team: &dyn Team,
    fill: Fill,
    segments: Option<&Segments>,
) -> Result<()> {
    h5::start();
    let temporary = beside(path, ".tmp");
    let written = write_temporary(path, &temporary, header, storage, team, &mut *fill, segments)
        .and_then(|()| on_root(team, path, || publish(&temporary, path)));
    if written.is_err() && team.rank() == 0 {
        // Nothing to add when it cannot be removed: the error that brought us here says more.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// `path` with `suffix` appended to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

/// Writes and checks the file under its temporary name; collective.
pub(super) fn write_temporary(
    path: &Path,
    temporary: &Path,
    header: &Header,
    storage: Storage,
    team: &dyn Team,
    fill: Fill,
    segments: Option<&Segments>,
) -> Result<()> {
    let mut items = team.agree(Measure::of(&mut *fill))?;
    let walked = items.len();
    let joined = segments.map(|s| s.joined().map_err(|e| Error::file(path, e)));
    let joined = team.agree(joined.transpose())?;
    items.extend(joined.iter().flat_map(|j| j.items.iter().cloned()));
    on_root(team, path, || {
        layout::create(temporary, &items, header, &storage)?;
        reserve(temporary, layout::predicted_bytes(&items, header, &storage))
    })?;
    let mut save = Save {
        items: &items[..walked],
        next: 0,
        group: String::new(),
        path: path.to_path_buf(),
        file: File::open(temporary, path, team)?,
        team,
    };
    let filled = fill(&mut save).and_then(|()| save.complete());
    let filled = team.agree(filled).and_then(|()| joined.iter().try_for_each(|j| save.join(j, &storage)));
    let Save { file, .. } = save;
    match filled {
        Ok(()) => file.close(path, team)?,
        Err(error) => {
            file.abandon();
            return Err(error);
        }
    }
    on_root(team, path, || examine(temporary, &items))
}

/// Runs `act` on rank 0; everyone learns how it ended.
pub(super) fn on_root(team: &dyn Team, path: &Path, act: impl FnOnce() -> Outcome<()>) -> Result<()> {
    let mine = if team.rank() == 0 { act().map_err(|e| Error::file(path, e)) } else { Ok(()) };
    team.agree(mine)
}

/// Makes sure that `bytes` fit: reserves them where the file system can, else asks it and the process's limit.
/// HDF5 cuts the file to what it used when it closes it.
fn reserve(path: &Path, bytes: u64) -> Outcome<()> {
    use std::os::fd::AsRawFd;
    let file = fs::OpenOptions::new().write(true).open(path).map_err(|e| e.to_string())?;
    let describe = |e: std::io::Error| format!("cannot reserve {:.1} MB: {e}", bytes as f64 / 1e6);
    // Not posix_fallocate: glibc emulates it by writing to every block where the file system cannot.
    #[cfg(target_os = "linux")]
    {
        // SAFETY: an open descriptor and plain numbers.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t) } == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) {
            return Err(describe(error));
        }
    }
    // SAFETY: both calls fill a plain struct that is passed to them.
    let (free, limit) = unsafe {
        let mut fs: libc::statvfs = std::mem::zeroed();
        let free = match libc::fstatvfs(file.as_raw_fd(), &mut fs) {
            0 => fs.f_bavail as u64 * fs.f_frsize as u64,
            _ => return Err(describe(std::io::Error::last_os_error())),
        };
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit);
        (free, limit.rlim_cur as u64)
    };
    let have = free.min(limit);
    if have < bytes {
        return Err(format!("needs {:.1} MB, {:.1} MB are free", bytes as f64 / 1e6, have as f64 / 1e6));
    }
    Ok(())
}

/// Opens what was written and compares it with what was meant.
fn examine(temporary: &Path, items: &[Item]) -> Outcome<()> {
    let file = h5::open(temporary)?;
    for item in items {
        let dataset = file.dataset(&item.path()).map_err(|e| format!("{}: {}", item.path(), text(e)))?;
        let size: usize = dataset.shape().iter().product();
        // SAFETY: a live dataset.
        let stored = hdf5::sync::sync(|| unsafe { hdf5_sys::h5d::H5Dget_storage_size(dataset.id()) });
        if size != item.len() || (size > 0 && stored == 0) {
            return Err(format!("{}: {size} of {} values written", item.path(), item.len()));
        }
    }
    Ok(())
}

/// Forces `temporary` to disk, then gives it its name.
pub(super) fn publish(temporary: &Path, path: &Path) -> Outcome<()> {
    let synced = fs::File::open(temporary).and_then(|f| f.sync_all());
    let renamed = synced.and_then(|()| fs::rename(temporary, path));
    renamed.and_then(|()| sync_directory(path)).map_err(|e| e.to_string())
}

/// A rename is on disk when its directory is.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    fs::File::open(directory)?.sync_all()
}

/// The file while its blocks are written.
enum File {
    /// Open on rank 0 only; the others send.
    Gathered(Option<hdf5::File>),
    #[cfg(feature = "parallel-hdf5")]
    Collective(hdf5::File, h5::parallel::Collective),
}

impl File {
    fn open(temporary: &Path, path: &Path, team: &dyn Team) -> Result<Self> {
        #[cfg(feature = "parallel-hdf5")]
        if let Some(comm) = team.communicator()
            && team.size() > 1
        {
            let file = or_end(h5::parallel::open(temporary, comm), path, team.rank());
            return Ok(File::Collective(file, h5::parallel::Collective::new()));
        }
        let mut file = None;
        on_root(team, path, || {
            file = Some(h5::reopen(temporary)?);
            Ok(())
        })?;
        Ok(File::Gathered(file))
    }

    /// Collective; from here on no rank has anything left to write.
    fn close(self, path: &Path, team: &dyn Team) -> Result<()> {
        let closed = match self {
            File::Gathered(None) => Ok(()),
            File::Gathered(Some(file)) => flush_and_close(file),
            #[cfg(feature = "parallel-hdf5")]
            File::Collective(file, _) => {
                or_end(flush_and_close(file), path, team.rank());
                Ok(())
            }
        };
        team.agree(closed.map_err(|e| Error::file(path, e)))
    }

    /// After a failure: closing a file of MPI-IO would wait for a flush that some rank cannot do.
    fn abandon(self) {
        match self {
            File::Gathered(file) => drop(file),
            #[cfg(feature = "parallel-hdf5")]
            File::Collective(file, _) => std::mem::forget(file),
        }
    }
}

/// Flushing reports what closing would swallow. A file that cannot be flushed is left open: closing would try again.
fn flush_and_close(file: hdf5::File) -> Outcome<()> {
    if let Err(e) = file.flush() {
        std::mem::forget(file);
        return Err(text(e));
    }
    file.close().map_err(text)
}

/// How long a rank that failed beside another lets that one speak: launchers take some seconds to end a job.
#[cfg(feature = "parallel-hdf5")]
const SILENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What an operation of all ranks on the open file gave; where it failed here, the end of the job on every rank.
///
/// A full disk may fail it on this rank alone. The others then wait inside HDF5 or MPI-IO for this one's part (a flush
/// waits in MPI_File_sync), and would never come to a call of the team's. The file bears its temporary name still, so
/// that whatever it was to replace stays good.
#[cfg(feature = "parallel-hdf5")]
fn or_end<T>(outcome: Outcome<T>, path: &Path, rank: usize) -> T {
    let message = match outcome {
        Ok(value) => return value,
        Err(message) => message,
    };
    // Several ranks may fail, and one is to speak: the one that removes the temporary file.
    let removed = fs::remove_file(beside(path, ".tmp"));
    if removed.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        std::thread::sleep(SILENCE);
    }
    crate::team::end_at_once(&format!("rank {rank}: {}", Error::file(path, message)))
}

/// The second pass: writes the blocks.
struct Save<'a> {
    items: &'a [Item],
    next: usize,
    group: String,
    path: PathBuf,
    file: File,
    team: &'a dyn Team,
}

impl Sections for Save<'_> {
    fn section(&mut self, group: &str) -> &mut dyn Walk {
        self.group = group.into();
        self
    }
}

impl<'a> Save<'a> {
    /// The item that the first pass saw here.
    fn expect(&mut self, name: &Name) -> Result<&'a Item> {
        let item = self.items.get(self.next);
        self.next += 1;
        item.filter(|i| i.group == self.group && i.name == *name).ok_or_else(|| {
            Error::file(&self.path, format!("{}/{} was not there when the walk was measured", self.group, name.name))
        })
    }

    /// This rank's block of an item, with everyone's.
    fn put(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, kind: Kind, bytes: &[u8]) -> Result<()> {
        let item = self.expect(name)?;
        let fits = check_block(item.kind, &item.shape, kind, global, mine, bytes.len());
        let fits = fits.map_err(|e| Error::file(&self.path, format!("{}: {e}", item.path())));
        self.team.agree(fits)?;
        let slabs = all_slabs(mine, self.team);
        let covered: usize = slabs.iter().map(Hyperslab::len).sum();
        if covered != item.len() {
            let message = format!("{}: the ranks hold {covered} of {} values", item.path(), item.len());
            return Err(Error::file(&self.path, message));
        }
        self.write(item, mine, bytes, &slabs)
    }

    fn complete(&self) -> Result<()> {
        match self.items.get(self.next) {
            None => Ok(()),
            Some(item) => Err(Error::file(&self.path, format!("{} was measured, not written", item.path()))),
        }
    }

    /// Copies the records of segment files, in pieces of whole chunks in time, each rank a share of every piece.
    fn join(&self, joined: &Joined, storage: &Storage) -> Result<()> {
        let mut bytes = Vec::new();
        for item in joined.items.iter().filter(|i| i.value.is_none()) {
            let record = item.shape[1..].iter().product::<usize>() * item.kind.size();
            let whole = storage.chunked(item).map_or(1, |c| c[0]);
            let rows = (JOIN_PIECE * self.team.size() / record.max(1) / whole).max(1) * whole;
            for first in (0..item.shape[0]).step_by(rows) {
                let records = first..(first + rows).min(item.shape[0]);
                let slabs = shares(item, &records, self.team.size());
                let mine = &slabs[self.team.rank()];
                bytes.resize(mine.len() * item.kind.size(), 0);
                let read = joined.read(item, mine, &mut bytes).map_err(|e| Error::file(&self.path, e));
                self.team.agree(read)?;
                self.write(item, mine, &bytes, &slabs)?;
            }
        }
        Ok(())
    }

    fn write(&self, item: &Item, slab: &Hyperslab, bytes: &[u8], slabs: &[Hyperslab]) -> Result<()> {
        match &self.file {
            File::Gathered(file) => self.write_gathered(file.as_ref(), item, slab, bytes, slabs),
            #[cfg(feature = "parallel-hdf5")]
            File::Collective(file, transfer) => self.write_collective(file, transfer, item, slab, bytes, slabs),
        }
    }

    #[cfg(feature = "parallel-hdf5")]
    fn write_collective(
        &self,
        file: &hdf5::File,
        transfer: &h5::parallel::Collective,
        item: &Item,
        slab: &Hyperslab,
        bytes: &[u8],
        slabs: &[Hyperslab],
    ) -> Result<()> {
        let describe = |e: String| format!("writing {}: {e}", item.path());
        let (size, rank) = (item.kind.size(), self.team.rank());
        let dataset = or_end(file.dataset(&item.path()).map_err(|e| describe(text(e))), &self.path, rank);
        let rounds = slabs.iter().map(|s| pieces(s, size, COLLECTIVE_PIECE)).max().unwrap_or(0);
        for round in 0..rounds {
            let (part, range) = piece(slab, size, COLLECTIVE_PIECE, round);
            let wrote = h5::write(&dataset, item.kind, &part.start, &part.count, &bytes[range], transfer.0);
            or_end(wrote.map_err(describe), &self.path, rank);
        }
        Ok(())
    }

    fn write_gathered(
        &self,
        file: Option<&hdf5::File>,
        item: &Item,
        slab: &Hyperslab,
        bytes: &[u8],
        slabs: &[Hyperslab],
    ) -> Result<()> {
        let (team, size) = (self.team, item.kind.size());
        let limit = (GATHER_PIECE / team.size()).max(1 << 16);
        let mut outcome = Ok(None);
        if let Some(file) = file {
            outcome = file.dataset(&item.path()).map(Some).map_err(text);
        }
        for round in 0..slabs.iter().map(|s| pieces(s, size, limit)).max().unwrap_or(0) {
            let mut send = vec![Vec::new(); team.size()];
            if team.rank() > 0 {
                send[0] = bytes[piece(slab, size, limit, round).1].to_vec();
            }
            let received = team.exchange_bytes(&send);
            // A failure is kept, and the rounds go on: the others are sending.
            if let Ok(Some(dataset)) = &outcome {
                let wrote = slabs.iter().enumerate().try_for_each(|(rank, slab)| {
                    let (part, range) = piece(slab, size, limit, round);
                    let data = if rank == 0 { &bytes[range] } else { &received[rank] };
                    if part.is_empty() {
                        return Ok(());
                    }
                    h5::write(dataset, item.kind, &part.start, &part.count, data, h5::INDEPENDENT)
                });
                if let Err(error) = wrote {
                    outcome = Err(error);
                }
            }
        }
        let outcome = outcome.map(drop).map_err(|e| Error::file(&self.path, format!("writing {}: {e}", item.path())));
        team.agree(outcome)
    }
}

impl Walk for Save<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let (kind, bytes) = h5::bytes_of(data);
        self.put(name, global, mine, kind, bytes)
    }

    fn given(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, values: &[f64]) -> Result<()> {
        self.put(name, global, mine, Kind::F64, bytemuck::cast_slice(values))
    }

    fn scalar(&mut self, name: &Name, _x: Data<'_>) -> Result<()> {
        self.expect(name).map(drop)
    }

    fn series(&mut self, name: &Name, _values: &mut Vec<f64>) -> Result<()> {
        self.expect(name).map(drop)
    }

    /// Each rank writes its part of what all hold.
    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        let mine = self.team.split(values.len()).mine();
        let global = [values.len()];
        self.block(name, &global, &Hyperslab::rows(mine.clone(), &[]), Data::F64(&mut values[mine]))
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        let mine = self.team.split(values.len()).mine();
        let global = [values.len()];
        self.block(name, &global, &Hyperslab::rows(mine.clone(), &[]), Data::F32(&mut values[mine]))
    }
}

/// Whether a block is what the dataset expects and lies inside it.
pub(super) fn check_block(
    kind: Kind,
    shape: &[usize],
    given: Kind,
    global: &[usize],
    mine: &Hyperslab,
    bytes: usize,
) -> Outcome<()> {
    if given != kind || global != shape {
        return Err(format!("has {kind:?} values of shape {shape:?}, expected {given:?} of shape {global:?}"));
    }
    let inside = mine.start.len() == shape.len()
        && mine.count.len() == shape.len()
        && (0..shape.len()).all(|a| mine.start[a] + mine.count[a] <= shape[a]);
    if !inside || mine.len() * kind.size() != bytes {
        return Err(format!("block at {:?} of size {:?} does not fit shape {shape:?}", mine.start, mine.count));
    }
    Ok(())
}

/// Everyone's hyperslab, by rank.
fn all_slabs(mine: &Hyperslab, team: &dyn Team) -> Vec<Hyperslab> {
    let axes = mine.start.len();
    let numbers: Vec<u64> = mine.start.iter().chain(&mine.count).map(|&x| x as u64).collect();
    let all: Vec<u64> = bytemuck::pod_collect_to_vec(&team.gather_bytes(bytemuck::cast_slice(&numbers)));
    let usizes = |x: &[u64]| x.iter().map(|&x| x as usize).collect();
    if axes == 0 {
        return vec![mine.clone(); team.size()];
    }
    all.chunks(2 * axes).map(|c| Hyperslab { start: usizes(&c[..axes]), count: usizes(&c[axes..]) }).collect()
}

/// Each rank's share of some records: some of them, or where there are fewer than ranks, a part of each.
fn shares(item: &Item, records: &Range<usize>, size: usize) -> Vec<Hyperslab> {
    let axis = usize::from(records.len() < size);
    let mut whole = Hyperslab { start: vec![0; item.shape.len()], count: item.shape.clone() };
    (whole.start[0], whole.count[0]) = (records.start, records.len());
    (0..size)
        .map(|rank| {
            let mine = Partition::new(whole.count[axis], rank, size).mine();
            let mut share = whole.clone();
            share.start[axis] += mine.start;
            share.count[axis] = mine.len();
            share
        })
        .collect()
}

/// Rows of the first axis that fit `limit` bytes, at least one.
fn rows_per_piece(slab: &Hyperslab, size: usize, limit: usize) -> usize {
    let row: usize = slab.count.iter().skip(1).product::<usize>() * size;
    (limit / row.max(1)).max(1)
}

fn pieces(slab: &Hyperslab, size: usize, limit: usize) -> usize {
    if slab.is_empty() { 0 } else { slab.count[0].div_ceil(rows_per_piece(slab, size, limit)) }
}

/// Piece `round` of a slab, and where its bytes lie in the slab's; empty beyond the last.
fn piece(slab: &Hyperslab, size: usize, limit: usize, round: usize) -> (Hyperslab, std::ops::Range<usize>) {
    let mut part = slab.clone();
    if slab.is_empty() || round >= pieces(slab, size, limit) {
        part.count.fill(0);
        return (part, 0..0);
    }
    let rows = rows_per_piece(slab, size, limit);
    let row = slab.len() / slab.count[0] * size;
    let first = round * rows;
    let last = (first + rows).min(slab.count[0]);
    part.start[0] += first;
    part.count[0] = last - first;
    (part, first * row..last * row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::read::Reader;
    use crate::team::{Solo, threads};

    const F: Name = Name { name: "f", units: "1", meaning: "a block", axes: &["i"] };

    #[test]
    fn pieces_cover_a_slab_in_order() {
        let slab = Hyperslab { start: vec![5, 2], count: vec![10, 3] };
        // 24 bytes a row, 50 bytes a piece: two rows at a time.
        assert_eq!(pieces(&slab, 8, 50), 5);
        let mut next = (5, 0);
        for round in 0..5 {
            let (part, range) = piece(&slab, 8, 50, round);
            assert_eq!((part.start[0], range.start), next);
            assert_eq!((part.start[1], part.count[1], range.len()), (2, 3, part.len() * 8));
            next = (part.start[0] + part.count[0], range.end);
        }
        assert_eq!(next, (15, 240));
        assert!(piece(&slab, 8, 50, 5).0.is_empty());
        assert_eq!(pieces(&slab, 8, 1), 10, "a row is never cut");
        assert_eq!(pieces(&Hyperslab::rows(3..3, &[7]), 8, 50), 0);
    }

    /// 72 MB over 3 ranks is gathered in more than one round.
    #[test]
    fn a_block_larger_than_a_piece_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.h5");
        let n = 9_000_001;
        threads::run(3, |team| {
            let mine = team.split(n).mine();
            let mut f: Vec<f64> = mine.clone().map(|i| i as f64).collect();
            let slab = Hyperslab::rows(mine, &[]);
            save(&path, &Header::default(), Storage::output(0), team, &mut |s| {
                s.section("state").block(&F, &[n], &slab, (&mut f).into())
            })
        })
        .into_iter()
        .for_each(|r| r.unwrap());
        let array = Reader::open(&path).unwrap().array("state/f").unwrap();
        assert_eq!(array.shape, [n]);
        assert!(array.values.iter().enumerate().all(|(i, &x)| x == i as f64));
    }

    #[test]
    fn blocks_that_do_not_cover_their_array_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output.h5");
        for (rows, expected) in [(0..3, "hold 3 of 4"), (2..5, "does not fit shape [4]")] {
            let slab = Hyperslab::rows(rows, &[]);
            let mut f = [0.0; 3];
            let error = save(&path, &Header::default(), Storage::output(0), &Solo, &mut |s| {
                s.section("state").block(&F, &[4], &slab, (&mut f[..]).into())
            });
            assert!(error.as_ref().unwrap_err().to_string().contains(expected), "{error:?}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        }
    }

    /// Every rank learns of a failure that only rank 0 can see.
    #[test]
    fn a_directory_that_is_missing_is_an_error_on_every_rank() {
        let errors = threads::run(3, |team| {
            let path = Path::new("/nonexistent/output.h5");
            save(path, &Header::default(), Storage::output(0), team, &mut |_| Ok(())).unwrap_err()
        });
        for error in errors {
            assert_eq!(error.exit_code(), 1);
            assert!(error.to_string().contains("No such file or directory"), "{error}");
        }
    }
}
