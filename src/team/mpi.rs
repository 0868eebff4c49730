//! Ranks of MPI. The only file that names the `mpi` crate.
//!
//! Communication goes through the raw functions of MPI with bytes and 64-bit lengths; messages are cut in
//! [`Mpi::start_messages`] and [`Mpi::start_broadcast_bytes`]. MPI's own error handler stays: an error of MPI ends the
//! job. Only the thread that started MPI talks (`MPI_THREAD_FUNNELED`).

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use mpi::environment::{Threading, Universe};
use mpi::ffi;

use super::{Group, Incoming, Outgoing, Pending, SharedMemory, Team, Transfer, exchange_lengths, shared};
use crate::error::{Error, Result};

/// A communicator as C knows it: what parallel HDF5 takes.
pub type RawComm = ffi::MPI_Comm;

/// Longest message given to MPI, in bytes; MPI 3 counts with 32-bit signed integers.
const MESSAGE_CUT: usize = 1 << 30;
/// Overrides the longest message (rank 0's environment counts); for tests.
const MESSAGE_CUT_VARIABLE: &str = "SPANWISE_MESSAGE_CUT";
/// One tag does: messages between two ranks are matched in the order in which both started them.
const TAG: c_int = 1;

/// All ranks that the launcher started; one without a launcher. Dropping it finalises MPI.
pub struct Mpi {
    comm: RawComm,
    rank: usize,
    size: usize,
    cut: usize,
    _universe: Universe,
    /// Neither Send nor Sync, whatever a communicator is made of.
    _stay: PhantomData<*const ()>,
}

/// How Open MPI keeps file pointers that ranks share. Nothing here uses them, and two of its ways copy the path of any file
/// that is opened into a buffer of some 256 bytes, which ends the program where the path is longer.
const SHARED_POINTERS: &str = "OMPI_MCA_sharedfp";

impl Mpi {
    /// Initialises MPI and lets a panic on any thread of any rank end the job with exit code 1. Call it once, on the
    /// main thread.
    ///
    /// # Errors
    /// [`Error::Usage`] if MPI was initialised before or lacks `MPI_THREAD_FUNNELED`, or if
    /// `SPANWISE_MESSAGE_CUT` is not a number of bytes.
    pub fn start() -> Result<Self> {
        if std::env::var_os(SHARED_POINTERS).is_none() {
            // SAFETY: the process has one thread yet.
            unsafe { std::env::set_var(SHARED_POINTERS, "^lockedfile,sm") };
        }
        let (universe, provided) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| Error::Usage("MPI was initialised before".into()))?;
        let (mut rank, mut size) = (0, 0);
        // SAFETY: MPI is initialised; out-parameters are valid.
        let comm = unsafe {
            let world = ffi::RSMPI_COMM_WORLD;
            ffi::MPI_Comm_rank(world, &mut rank);
            ffi::MPI_Comm_size(world, &mut size);
            world
        };
        super::end_on_panic(format!("rank {rank} of {size}"), abort);
        let (rank, size) = (rank as usize, size as usize);
        let mut team = Mpi { comm, rank, size, cut: MESSAGE_CUT, _universe: universe, _stay: PhantomData };
        let cut = match provided < Threading::Funneled {
            true => Err(Error::Usage(format!("{}: no MPI_THREAD_FUNNELED", library_version()))),
            false => team.agreed_cut(),
        };
        team.cut = cut.inspect_err(|_| {
            // A launcher ends all ranks when the first one fails: let rank 0 speak before.
            if rank > 0 {
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
        })?;
        Ok(team)
    }

    /// Rank 0's: launchers do not pass every variable on to other hosts.
    fn agreed_cut(&self) -> Result<usize> {
        let words =
            (self as &dyn Team).broadcast(0, std::env::var(MESSAGE_CUT_VARIABLE).unwrap_or_default().as_bytes());
        let words = String::from_utf8_lossy(&words).into_owned();
        if words.is_empty() {
            return Ok(MESSAGE_CUT);
        }
        match words.parse() {
            Ok(cut) if (1..=i32::MAX as usize).contains(&cut) => Ok(cut),
            _ => Err(Error::Usage(format!(
                "{MESSAGE_CUT_VARIABLE}={words}: must be a number of bytes, 1 to {}",
                i32::MAX
            ))),
        }
    }

    /// Starts all sends and receives of an exchange, none longer than the cut. Both ends know the length of a message
    /// and so cut it alike.
    ///
    /// # Safety
    /// Until [`wait_all`] has returned, what `send` and `receive` point to must stay in place, what `send` points to
    /// must not change, and what `receive` points to must not be touched.
    unsafe fn start_messages(&self, send: &[&[u8]], receive: &mut [&mut [u8]]) -> Vec<ffi::MPI_Request> {
        assert_eq!((send.len(), receive.len()), (self.size, self.size), "one message for each rank");
        let mut requests = Vec::new();
        let mut request = || {
            // SAFETY: a constant of the library.
            requests.push(unsafe { ffi::RSMPI_REQUEST_NULL });
            requests.last_mut().unwrap() as *mut ffi::MPI_Request
        };
        receive[self.rank].copy_from_slice(send[self.rank]);
        // Each rank begins with its neighbour, so that not all send to rank 0 first.
        for turn in 1..self.size {
            let from = (self.rank + self.size - turn) % self.size;
            for piece in receive[from].chunks_mut(self.cut) {
                let (at, count) = (piece.as_mut_ptr().cast(), piece.len() as c_int);
                // SAFETY: the piece is valid for writes of its length; the caller keeps it.
                unsafe { ffi::MPI_Irecv(at, count, ffi::RSMPI_UINT8_T, from as c_int, TAG, self.comm, request()) };
            }
        }
        for turn in 1..self.size {
            let to = (self.rank + turn) % self.size;
            for piece in send[to].chunks(self.cut) {
                let (at, count) = (piece.as_ptr().cast(), piece.len() as c_int);
                // SAFETY: the piece is valid for reads of its length; the caller keeps it.
                unsafe { ffi::MPI_Isend(at, count, ffi::RSMPI_UINT8_T, to as c_int, TAG, self.comm, request()) };
            }
        }
        requests
    }
}

impl Team for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather_bytes_into(&self, mine: &[u8], counts: &[usize], all: &mut [u8]) {
        assert_eq!((counts.len(), counts[self.rank]), (self.size, mine.len()), "what every rank gives");
        assert_eq!(all.len(), counts.iter().sum::<usize>(), "room for all");
        if all.len() > self.cut {
            let send = vec![mine; self.size];
            let mut rest = all;
            let mut receive = Vec::with_capacity(self.size);
            for &count in counts {
                let (here, after) = rest.split_at_mut(count);
                receive.push(here);
                rest = after;
            }
            return self.exchange_bytes_into(&send, &mut receive);
        }
        if all.is_empty() {
            return;
        }
        // Rust's address of nothing is 1, which is Open MPI's MPI_IN_PLACE.
        let mine = if mine.is_empty() { &[0][..0] } else { mine };
        // Here all counts and displacements are at most the cut and fit.
        let counts: Vec<c_int> = counts.iter().map(|&n| n as c_int).collect();
        let starts: Vec<c_int> = counts.iter().scan(0, |next, &n| Some(std::mem::replace(next, *next + n))).collect();
        let (from, count, into): (*const c_void, _, *mut c_void) =
            (mine.as_ptr().cast(), mine.len() as c_int, all.as_mut_ptr().cast());
        // SAFETY: both buffers are valid for the lengths asserted above and do not overlap.
        unsafe {
            let byte = ffi::RSMPI_UINT8_T;
            ffi::MPI_Allgatherv(from, count, byte, into, counts.as_ptr(), starts.as_ptr(), byte, self.comm);
        }
    }

    fn exchange_bytes_into(&self, send: &[&[u8]], receive: &mut [&mut [u8]]) {
        // SAFETY: both are borrowed until this returns, after the wait.
        let mut requests = unsafe { self.start_messages(send, receive) };
        wait_all(&mut requests);
    }

    fn start_exchange_bytes<'t>(&'t self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 't> {
        let slices: Vec<&[u8]> = send.iter().map(Vec::as_slice).collect();
        let mut receive: Vec<Vec<u8>> = exchange_lengths(self, &slices).into_iter().map(|n| vec![0; n]).collect();
        let mut into: Vec<&mut [u8]> = receive.iter_mut().map(Vec::as_mut_slice).collect();
        // SAFETY: the vectors move into `UnderWay`, which leaves their contents in place, gives no access to them and
        // waits before it lets go of them.
        let requests = unsafe { self.start_messages(&slices, &mut into) };
        Box::new(UnderWay { requests, receive, _send: send, _stay: PhantomData })
    }

    unsafe fn start_transfer_bytes<'t>(&'t self, send: &[Outgoing], receive: &[Incoming]) -> Box<dyn Transfer + 't> {
        let mut requests = Vec::new();
        let mut request = || {
            // SAFETY: a constant of the library.
            requests.push(unsafe { ffi::RSMPI_REQUEST_NULL });
            requests.last_mut().unwrap() as *mut ffi::MPI_Request
        };
        let pieces =
            |bytes: usize| (0..bytes).step_by(self.cut).map(move |at| (at, (bytes - at).min(self.cut) as c_int));
        for message in receive {
            assert!(message.from != self.rank, "a message from oneself");
            for (at, count) in pieces(message.bytes) {
                // SAFETY: the caller keeps the place until the messages have come.
                unsafe {
                    let (to, from) = (message.to.add(at).cast(), message.from as c_int);
                    ffi::MPI_Irecv(to, count, ffi::RSMPI_UINT8_T, from, TAG, self.comm, request());
                }
            }
        }
        for message in send {
            for (at, count) in pieces(message.bytes) {
                // SAFETY: the caller keeps the bytes until the messages have gone.
                unsafe {
                    let (from, to) = (message.from.add(at).cast(), message.to as c_int);
                    ffi::MPI_Isend(from, count, ffi::RSMPI_UINT8_T, to, TAG, self.comm, request());
                }
            }
        }
        Box::new(Moving { requests, _stay: PhantomData })
    }

    fn start_broadcast_bytes<'t>(&'t self, root: usize, mut bytes: Vec<u8>) -> Box<dyn Pending + 't> {
        let mut length = bytes.len() as u64;
        let mut requests = Vec::new();
        // SAFETY: `length` lives across a blocking call; `bytes` moves into `UnderWay`, as in an exchange.
        unsafe {
            ffi::MPI_Bcast((&raw mut length).cast(), 1, ffi::RSMPI_UINT64_T, root as c_int, self.comm);
            bytes.resize(length as usize, 0);
            for piece in bytes.chunks_mut(self.cut) {
                let (at, count) = (piece.as_mut_ptr().cast(), piece.len() as c_int);
                let mut request = ffi::RSMPI_REQUEST_NULL;
                ffi::MPI_Ibcast(at, count, ffi::RSMPI_UINT8_T, root as c_int, self.comm, &mut request);
                requests.push(request);
            }
        }
        Box::new(UnderWay { requests, receive: vec![bytes], _send: Vec::new(), _stay: PhantomData })
    }

    fn share_memory(&self, bytes: usize) -> Option<SharedMemory> {
        shared::of_processes(self, bytes)
    }

    fn meet(&self, memory: &mut SharedMemory, group: Group, ranks: &[usize]) {
        // Who is waited for may itself wait for a message of this rank's: MPI moves it on in any of its calls.
        memory.meet(group, ranks, |_, _| {
            let mut found = 0;
            // SAFETY: asks whether there is a message, whatever the answer.
            unsafe {
                ffi::MPI_Iprobe(ffi::RSMPI_ANY_SOURCE, TAG, self.comm, &mut found, ffi::RSMPI_STATUS_IGNORE);
            }
        });
    }

    fn communicator(&self) -> Option<RawComm> {
        Some(self.comm)
    }
}

/// Messages that MPI reads from and writes to.
struct UnderWay<'t> {
    requests: Vec<ffi::MPI_Request>,
    receive: Vec<Vec<u8>>,
    _send: Vec<Vec<u8>>,
    /// MPI must not be finalised before.
    _stay: PhantomData<&'t Mpi>,
}

impl Pending for UnderWay<'_> {
    fn progress(&mut self) {
        test_all(&mut self.requests);
    }

    fn wait(mut self: Box<Self>) -> Vec<Vec<u8>> {
        wait_all(&mut self.requests);
        std::mem::take(&mut self.receive)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        wait_all(&mut self.requests);
    }
}

/// Messages between buffers of the caller's.
struct Moving<'t> {
    requests: Vec<ffi::MPI_Request>,
    /// MPI must not be finalised before.
    _stay: PhantomData<&'t Mpi>,
}

impl Transfer for Moving<'_> {
    fn progress(&mut self) {
        test_all(&mut self.requests);
    }

    fn wait(mut self: Box<Self>) {
        wait_all(&mut self.requests);
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        wait_all(&mut self.requests);
    }
}

/// Lets MPI move messages on.
fn test_all(requests: &mut [ffi::MPI_Request]) {
    let mut done = 0;
    // SAFETY: the requests are those that were started; completed ones become null and may be tested again.
    unsafe {
        ffi::MPI_Testall(requests.len() as c_int, requests.as_mut_ptr(), &mut done, ffi::RSMPI_STATUSES_IGNORE);
    }
}

/// Returns when all have completed; leaves none.
fn wait_all(requests: &mut Vec<ffi::MPI_Request>) {
    // SAFETY: the requests are those that were started.
    unsafe { ffi::MPI_Waitall(requests.len() as c_int, requests.as_mut_ptr(), ffi::RSMPI_STATUSES_IGNORE) };
    requests.clear();
}

/// Ends every rank with exit code 1. Without it a rank that ends alone leaves the others waiting for ever; a process that no
/// launcher started has none, and ends without the words of MPI_Abort.
pub(super) fn abort() -> ! {
    extern "C" fn end_before_other_handlers() {
        super::end_now()
    }
    let (mut begun, mut ended) = (0, 0);
    // SAFETY: both queries are allowed at any time, and MPI_Abort between initialisation and finalisation; the handler
    // runs no code of anybody else.
    unsafe {
        // MPI_Abort may end this process by `exit`, which calls the handler registered last first.
        libc::atexit(end_before_other_handlers);
        ffi::MPI_Initialized(&mut begun);
        ffi::MPI_Finalized(&mut ended);
        if begun != 0 && ended == 0 {
            let mut size = 1;
            ffi::MPI_Comm_size(ffi::RSMPI_COMM_WORLD, &mut size);
            if size > 1 || super::launch::under_launcher(&super::launch::environment) {
                ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, 1);
            }
        }
    }
    super::end_now()
}

/// The MPI library, in its own words; allowed before MPI is initialised.
pub(super) fn library_version() -> String {
    match mpi::environment::library_version() {
        Ok(version) => version.trim_end_matches(['\0', '\n', ' ']).to_string(),
        Err(_) => "an MPI library that does not tell its version".into(),
    }
}
