//! Memory that ranks of one node share: each has a part of its own, and reaches those of the others as if they were its.
//!
//! Between processes the parts are anonymous files of the system (`memfd_create`), which the others open by way of
//! `/proc`: no directory needs room for them, and nothing stays behind when a rank dies. Where that cannot be done on
//! every rank there is none, and ranks send messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Team;

/// Bytes before a part where ranks say how far they are: a cache line for each [`Group`].
const HEADER: usize = 4096;
const LINE: usize = 64;
/// A large page, as most processors have them.
#[cfg(all(feature = "mpi", target_os = "linux"))]
const LARGE: usize = 2 << 20;
/// Looks at another rank's word before this one lets other programs have the core.
const LOOKS: u32 = 100;

/// Which ranks meet; groups are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    All,
    Column,
    Row,
}

/// Parts of all ranks, by rank.
pub struct SharedMemory {
    rank: usize,
    parts: Vec<Part>,
    met: [u64; 3],
}

enum Part {
    /// Of processes: bytes from `start` on, and the addresses and bytes that were reserved for them.
    #[cfg_attr(not(all(feature = "mpi", target_os = "linux")), allow(dead_code))]
    Mapped { start: *mut u8, bytes: usize, reserved: (*mut u8, usize) },
    /// Of threads.
    Held(Arc<Lines>),
}

/// Memory on whole cache lines.
struct Lines(*mut u8, std::alloc::Layout);

// SAFETY: an address and its length; who shares it synchronises by `meet`.
unsafe impl Send for Lines {}
// SAFETY: as above.
unsafe impl Sync for Lines {}

impl Lines {
    fn zeroed(bytes: usize) -> Lines {
        let layout = std::alloc::Layout::from_size_align(bytes, LINE).expect("a size that fits");
        // SAFETY: the size is at least that of the header.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!start.is_null(), "no memory for {bytes} bytes");
        Lines(start, layout)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // SAFETY: made by `zeroed` with this layout.
        unsafe { std::alloc::dealloc(self.0, self.1) };
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Part::Mapped { reserved: (start, bytes), .. } = *self {
            // SAFETY: made by `map` with this length.
            unsafe { libc::munmap(start.cast(), bytes) };
        }
    }
}

impl SharedMemory {
    /// Memory of one rank for itself: what its threads may all write.
    pub fn alone(bytes: usize) -> SharedMemory {
        SharedMemory { rank: 0, parts: vec![Part::Held(Arc::new(Lines::zeroed(HEADER + bytes)))], met: [0; 3] }
    }

    /// Where the part of `rank` begins, on a cache line; valid for as many bytes as that rank asked for. What a rank
    /// wrote there others may read once both have [met](Team::meet).
    pub fn part(&self, rank: usize) -> *mut u8 {
        self.start(rank).wrapping_add(HEADER)
    }

    /// The same memory as words, for those who reach it in no other way.
    pub fn words(&self, rank: usize) -> &[AtomicU64] {
        let bytes = match &self.parts[rank] {
            Part::Mapped { bytes, .. } => *bytes,
            Part::Held(lines) => lines.1.size(),
        };
        // SAFETY: zeroed when made, on a cache line, and as long as this object.
        unsafe { std::slice::from_raw_parts(self.part(rank).cast(), (bytes - HEADER) / size_of::<u64>()) }
    }

    fn start(&self, rank: usize) -> *mut u8 {
        match &self.parts[rank] {
            Part::Mapped { start, .. } => *start,
            Part::Held(lines) => lines.0,
        }
    }

    fn word(&self, rank: usize, group: Group) -> &AtomicU64 {
        // SAFETY: within the header, on a cache line, zeroed when made; only touched as an atomic.
        unsafe { AtomicU64::from_ptr(self.start(rank).add(LINE * group as usize).cast()) }
    }

    /// Returns when all `ranks` have come; calls `waiting` now and then with the rank that is waited for and whether it
    /// has come by now.
    pub(super) fn meet(&mut self, group: Group, ranks: &[usize], waiting: impl Fn(usize, &dyn Fn() -> bool)) {
        let met = &mut self.met[group as usize];
        *met += 1;
        let now = *met;
        self.word(self.rank, group).store(now, Ordering::Release);
        for &rank in ranks {
            let has_come = || self.word(rank, group).load(Ordering::Acquire) >= now;
            let mut looks = 0;
            while !has_come() {
                looks += 1;
                if looks < LOOKS {
                    std::hint::spin_loop();
                } else {
                    waiting(rank, &has_come);
                    std::thread::yield_now();
                }
            }
        }
    }
}

/// Between ranks that are threads.
pub(super) fn of_threads(team: &dyn Team, bytes: usize) -> SharedMemory {
    let mine = Arc::new(Lines::zeroed(HEADER + bytes));
    // One for each other rank to hold.
    (1..team.size()).for_each(|_| std::mem::forget(Arc::clone(&mine)));
    let addresses = team.gather::<u64>(&[Arc::as_ptr(&mine) as u64]);
    let held = |(rank, address): (usize, &u64)| {
        // SAFETY: `Arc::as_ptr` of a living `Arc` that counts this holder, in the same process.
        let others = || unsafe { Arc::from_raw(*address as usize as *const Lines) };
        Part::Held(if rank == team.rank() { Arc::clone(&mine) } else { others() })
    };
    SharedMemory { rank: team.rank(), parts: addresses.iter().enumerate().map(held).collect(), met: [0; 3] }
}

/// Between ranks that are processes; none unless all are on one node and can open each other's files.
#[cfg(feature = "mpi")]
pub(super) fn of_processes(team: &dyn Team, bytes: usize) -> Option<SharedMemory> {
    let file = file_of(HEADER + bytes);
    let words = [u64::from(file.is_some()), machine_hash(), u64::from(std::process::id()), bytes as u64];
    let file_number = file.as_ref().map_or(0, number);
    let all = team.gather::<u64>(&[words[0], words[1], words[2], words[3], file_number]);
    let ranks: Vec<&[u64]> = all.chunks(5).collect();
    let together = ranks.iter().all(|r| r[0] == 1 && r[1] == words[1]);
    let open = |r: &&[u64]| map(&format!("/proc/{}/fd/{}", r[2], r[4]), HEADER + r[3] as usize);
    let parts: Option<Vec<Part>> = if together { ranks.iter().map(open).collect() } else { None };
    // Files stay open until everyone has them, which this tells too.
    let everyone = team.min(if parts.is_some() { 1.0 } else { 0.0 }) == 1.0;
    drop(file);
    parts.filter(|_| everyone).map(|parts| {
        let memory = SharedMemory { rank: team.rank(), parts, met: [0; 3] };
        // Pages belong where they are first written: near their rank.
        // SAFETY: this rank's part, which nobody else uses before this call has ended everywhere.
        unsafe { memory.part(team.rank()).write_bytes(0, bytes) };
        join_pages(memory.start(team.rank()), HEADER + bytes);
        team.barrier();
        memory
    })
}

#[cfg(all(feature = "mpi", target_os = "linux"))]
fn file_of(bytes: usize) -> Option<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: a name that ends with zero.
    let number = unsafe { libc::memfd_create(c"spanwise".as_ptr(), libc::MFD_CLOEXEC) };
    if number < 0 {
        return None;
    }
    // SAFETY: a descriptor that was just made and is nobody else's.
    let file = unsafe { std::fs::File::from_raw_fd(number) };
    file.set_len(bytes as u64).ok()?;
    Some(file)
}

#[cfg(all(feature = "mpi", target_os = "linux"))]
fn number(file: &std::fs::File) -> u64 {
    use std::os::fd::AsRawFd;
    file.as_raw_fd() as u64
}

#[cfg(all(feature = "mpi", target_os = "linux"))]
fn map(path: &str, bytes: usize) -> Option<Part> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).ok()?;
    let (protection, at) = (libc::PROT_READ | libc::PROT_WRITE, number(&file) as i32);
    // Addresses, without memory, among which a large page begins that leaves room for the file.
    let (alone, room) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, bytes + LARGE);
    // SAFETY: a new mapping.
    let reserved = unsafe { libc::mmap(std::ptr::null_mut(), room, libc::PROT_NONE, alone, -1, 0) };
    if reserved == libc::MAP_FAILED {
        return None;
    }
    let start = reserved.wrapping_add(reserved.align_offset(LARGE));
    // SAFETY: the file, of that length, in place of addresses that were just reserved.
    let mapped = unsafe { libc::mmap(start, bytes, protection, libc::MAP_SHARED | libc::MAP_FIXED, at, 0) };
    let part = Part::Mapped { start: start.cast(), bytes, reserved: (reserved.cast(), room) };
    (mapped != libc::MAP_FAILED).then_some(part)
}

/// Has the pages of a mapping joined to large ones, as far as it fills such: passes along the first axis of a grid touch
/// a page per row, more than the processor remembers of small ones. A hint, which systems before Linux 6.1 do not know;
/// whether they are joined.
#[cfg(all(feature = "mpi", target_os = "linux"))]
fn join_pages(start: *mut u8, bytes: usize) -> bool {
    let whole = bytes / LARGE * LARGE;
    // SAFETY: pages of a mapping; their contents stay.
    whole > 0 && unsafe { libc::madvise(start.cast(), whole, libc::MADV_COLLAPSE) } == 0
}

/// Bytes of the large pages to which this system joins those of memory that processes share, if it does: tried on one.
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub fn joined_page() -> Option<u64> {
    let file = file_of(LARGE)?;
    let part = map(&format!("/proc/self/fd/{}", number(&file)), LARGE)?;
    let memory = SharedMemory { rank: 0, parts: vec![part], met: [0; 3] };
    let start = memory.start(0);
    // SAFETY: all of a mapping that nobody else knows of.
    unsafe { start.write_bytes(0, LARGE) };
    join_pages(start, LARGE).then_some(LARGE as u64)
}

#[cfg(not(all(feature = "mpi", target_os = "linux")))]
pub fn joined_page() -> Option<u64> {
    None
}

/// The same on two ranks if and only if they can name each other's processes: one boot of one system, one name space.
#[cfg(all(feature = "mpi", target_os = "linux"))]
fn machine_hash() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hash = DefaultHasher::new();
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().hash(&mut hash);
    std::fs::read_link("/proc/self/ns/pid").ok().hash(&mut hash);
    hash.finish()
}

#[cfg(all(feature = "mpi", not(target_os = "linux")))]
mod elsewhere {
    pub fn file_of(_: usize) -> Option<std::fs::File> {
        None
    }

    pub fn number(_: &std::fs::File) -> u64 {
        0
    }

    pub fn map(_: &str, _: usize) -> Option<super::Part> {
        None
    }

    pub fn join_pages(_: *mut u8, _: usize) -> bool {
        false
    }

    pub fn machine_hash() -> u64 {
        0
    }
}
#[cfg(all(feature = "mpi", not(target_os = "linux")))]
use elsewhere::{file_of, join_pages, machine_hash, map, number};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team::threads;

    #[test]
    fn ranks_read_what_others_wrote_before_they_met_a_thousand_times() {
        for size in [2, 3, 7] {
            threads::run(size, |team| {
                let mut memory = team.share_memory(8 * size).expect("threads share memory");
                let all: Vec<usize> = (0..size).collect();
                for turn in 0..1000u64 {
                    for rank in 0..size {
                        // SAFETY: each rank has its own word of every part; readers and writers meet between.
                        unsafe {
                            memory.part(rank).cast::<u64>().add(team.rank()).write(turn * 10 + team.rank() as u64)
                        };
                    }
                    team.meet(&mut memory, Group::All, &all);
                    for from in 0..size {
                        // SAFETY: as above.
                        let word = unsafe { memory.part(team.rank()).cast::<u64>().add(from).read() };
                        assert_eq!(word, turn * 10 + from as u64);
                    }
                    team.meet(&mut memory, Group::Row, &all);
                }
            });
        }
    }

    #[test]
    fn a_rank_that_has_left_is_not_waited_for() {
        let caught = std::panic::catch_unwind(|| {
            threads::run(2, |team| {
                let mut memory = team.share_memory(0).unwrap();
                if team.rank() == 0 {
                    team.meet(&mut memory, Group::All, &[0, 1]);
                }
            });
        });
        let words = *caught.unwrap_err().downcast::<String>().unwrap();
        assert!(words.contains("rank 0 waits to meet rank 1"), "{words}");
    }
}
