//! The only room that knows ranks.
//!
//! A [`Team`] is a group of ranks; its three makers are [`Solo`], [`threads::run`] and (feature `mpi`) `Mpi`.
//! [`start`] picks the one the binary was built for. Solvers see `&dyn Team`: what moves bytes is the trait, what
//! they call are the typed methods of `dyn Team` in `typed.rs`. Every call but `rank` and `size` is collective: all
//! ranks make the same calls in the same order, from the thread that runs the program.

pub mod launch;
pub mod machine;
#[cfg(feature = "mpi")]
mod mpi;
mod partition;
mod shared;
mod solo;
pub mod threads;
mod typed;

#[cfg(feature = "mpi")]
pub use self::mpi::{Mpi, RawComm};
pub use partition::Partition;
pub use shared::{Group, SharedMemory, joined_page};
pub use solo::Solo;
pub use typed::{Broadcast, Exchange, Flight};

use crate::error::{Result, tell};

/// A group of ranks working together. All calls but `rank` and `size` are collective.
pub trait Team {
    fn rank(&self) -> usize;
    fn size(&self) -> usize;

    /// Everyone's bytes into `all`, in rank order, on every rank; rank q gives `counts[q]` of them.
    fn gather_bytes_into(&self, mine: &[u8], counts: &[usize], all: &mut [u8]);
    /// `send[q]` goes to rank q; `receive[q]` is as long as what rank q sends here, and filled with it.
    fn exchange_bytes_into(&self, send: &[&[u8]], receive: &mut [&mut [u8]]);
    /// Starts an exchange that completes in [`Pending::wait`], so that work can overlap it. The ranks agree on the
    /// lengths before this returns.
    fn start_exchange_bytes<'t>(&'t self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 't>;
    /// Starts messages between pairs of ranks, into place; [`Transfer::wait`] completes them. Empty messages are not
    /// sent. Both ends know each message and its length; none goes to its sender. For the safe form see
    /// `start_transfer` of `dyn Team`.
    ///
    /// # Safety
    /// Until the transfer was waited for or dropped, what `send` points to must stay and not change, and what
    /// `receive` points to must stay and not be touched. Leaking the transfer leaks both.
    unsafe fn start_transfer_bytes<'t>(&'t self, send: &[Outgoing], receive: &[Incoming]) -> Box<dyn Transfer + 't>;
    /// Starts sending `root`'s bytes to all; `bytes` is read on `root` only. `wait` returns one vector.
    fn start_broadcast_bytes<'t>(&'t self, root: usize, bytes: Vec<u8>) -> Box<dyn Pending + 't>;

    /// A part of `bytes` zeroed bytes for each rank (its own number of them) that all ranks may read and write; none
    /// unless all ranks are on one node.
    fn share_memory(&self, _bytes: usize) -> Option<SharedMemory> {
        None
    }

    /// Returns when all `ranks` of a group have called it: from there on each may read what the others wrote before.
    /// Collective over those ranks only.
    fn meet(&self, memory: &mut SharedMemory, group: Group, ranks: &[usize]) {
        memory.meet(group, ranks, |_, _| ());
    }

    /// What parallel HDF5 opens its files with; none unless the ranks are MPI's.
    #[cfg(feature = "mpi")]
    fn communicator(&self) -> Option<RawComm> {
        None
    }

    /// Everyone's bytes, concatenated in rank order, on every rank.
    fn gather_bytes(&self, mine: &[u8]) -> Vec<u8> {
        let mut lengths = vec![0u64; self.size()];
        let each = vec![size_of::<u64>(); self.size()];
        self.gather_bytes_into(&(mine.len() as u64).to_ne_bytes(), &each, bytemuck::cast_slice_mut(&mut lengths));
        let counts: Vec<usize> = lengths.into_iter().map(|n| n as usize).collect();
        let mut all = vec![0; counts.iter().sum()];
        self.gather_bytes_into(mine, &counts, &mut all);
        all
    }

    /// `send[q]` goes to rank q; returns what each rank sent here, by rank.
    fn exchange_bytes(&self, send: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let send: Vec<&[u8]> = send.iter().map(Vec::as_slice).collect();
        let mut receive: Vec<Vec<u8>> = exchange_lengths(self, &send).into_iter().map(|n| vec![0; n]).collect();
        let mut into: Vec<&mut [u8]> = receive.iter_mut().map(Vec::as_mut_slice).collect();
        self.exchange_bytes_into(&send, &mut into);
        receive
    }
}

/// How long what each rank sends here is, by rank.
fn exchange_lengths<E>(team: &(impl Team + ?Sized), send: &[&[E]]) -> Vec<usize> {
    assert_eq!(send.len(), team.size(), "one message for each rank");
    let lengths: Vec<[u8; 8]> = send.iter().map(|s| (s.len() as u64).to_ne_bytes()).collect();
    let lengths: Vec<&[u8]> = lengths.iter().map(<[u8; 8]>::as_slice).collect();
    let mut coming = vec![[0u8; 8]; team.size()];
    let mut into: Vec<&mut [u8]> = coming.iter_mut().map(<[u8; 8]>::as_mut_slice).collect();
    team.exchange_bytes_into(&lengths, &mut into);
    coming.into_iter().map(|n| u64::from_ne_bytes(n) as usize).collect()
}

/// A message to a rank: where its bytes are, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    pub to: usize,
    pub from: *const u8,
    pub bytes: usize,
}

/// A message from a rank: where its bytes go, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    pub from: usize,
    pub to: *mut u8,
    pub bytes: usize,
}

/// Messages between pairs of ranks under way. Dropping it waits too.
pub trait Transfer {
    /// As [`Pending::progress`].
    fn progress(&mut self) {}
    /// Returns when all of this rank's messages have come and gone.
    fn wait(self: Box<Self>);
}

/// A message under way. Dropping it waits too, and throws the message away.
pub trait Pending {
    /// Lets the message move on; cheap. Without calls into it MPI may move nothing until `wait`, so long work that
    /// overlaps a message calls this now and then.
    fn progress(&mut self) {}
    /// What each rank sent here, by rank; the one vector of a broadcast.
    fn wait(self: Box<Self>) -> Vec<Vec<u8>>;
}

/// The ranks this program was started with: MPI's, or one when built without MPI. To be called once, early in
/// `main`, and dropped last: with MPI, dropping it finalises MPI and nothing may follow.
///
/// From here on a panic on any rank ends the whole job with exit code 1 and one message on stderr.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) on every rank alike; [`launch::launcher_rank`] tells which is to speak.
pub fn start() -> Result<Box<dyn Team>> {
    #[cfg(feature = "mpi")]
    return Ok(Box::new(Mpi::start()?));
    #[cfg(not(feature = "mpi"))]
    return Ok(Box::new(Solo::start()));
}

/// Ends all ranks with exit code 1 after an error while running. MPI is not finalised: HDF5 would then close files that
/// a failed write left open, and wait in a collective call for ever. Collective, so that rank 0's words are out first.
pub fn end_after_failure(team: Box<dyn Team>) -> ! {
    team.barrier();
    #[cfg(feature = "mpi")]
    if team.communicator().is_some() {
        self::mpi::abort();
    }
    std::mem::forget(team);
    end_now()
}

/// Ends this process with exit code 1 and without exit handlers: HDF5's would write once more what could not be written, and
/// may crash at it.
fn end_now() -> ! {
    // SAFETY: nothing of this process runs after it.
    unsafe { libc::_exit(1) }
}

/// Ends all ranks with exit code 1, after these words on stderr. Not collective: for a failure of this rank's own that
/// leaves others waiting in a call which cannot end any more.
#[cfg(feature = "mpi")]
pub fn end_at_once(words: &str) -> ! {
    tell(format_args!("spanwise: {words}"));
    self::mpi::abort()
}

/// The MPI library this binary runs with, in its own words; none when built without MPI. Does not initialise MPI.
pub fn mpi_library_version() -> Option<String> {
    #[cfg(feature = "mpi")]
    return Some(self::mpi::library_version());
    #[cfg(not(feature = "mpi"))]
    return None;
}

/// Replaces the panic hook: the first panic of this process prints one message, then calls `end` on the thread that
/// panicked; `end` does not return.
fn end_on_panic(who: String, end: fn() -> !) {
    use std::sync::atomic::{AtomicBool, Ordering};
    static PANICKED: AtomicBool = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |panic| {
        if PANICKED.swap(true, Ordering::SeqCst) {
            // Another thread is ending the process: let it, and keep quiet.
            loop {
                std::thread::park();
            }
        }
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("a panic without words");
        let place = panic.location().map(|l| format!(" at {l}")).unwrap_or_default();
        tell(format_args!("spanwise: internal error on {who}{place}: {message}{backtrace}"));
        end();
    }));
}
