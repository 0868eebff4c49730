//! Where the time goes: a [`Team`] that counts the seconds and bytes of its calls, and a clock for phases.

use std::cell::Cell;
use std::time::Instant;

use crate::team::{Group, Incoming, Outgoing, Pending, SharedMemory, Team, Transfer, machine};

/// A team whose calls are timed. Waiting for slower ranks is part of a call.
pub struct Metered<'t> {
    team: &'t dyn Team,
    seconds: Cell<f64>,
    bytes: Cell<u64>,
    calls: Cell<u64>,
    messages: Cell<u64>,
}

impl<'t> Metered<'t> {
    pub fn new(team: &'t dyn Team) -> Self {
        Metered { team, seconds: Cell::new(0.0), bytes: Cell::new(0), calls: Cell::new(0), messages: Cell::new(0) }
    }

    /// Seconds inside calls so far.
    pub fn seconds(&self) -> f64 {
        self.seconds.get()
    }

    /// Bytes handed to calls by this rank, and the number of calls.
    pub fn sent(&self) -> (u64, u64) {
        (self.bytes.get(), self.calls.get())
    }

    /// Messages of transfers between pairs of ranks that this rank sent.
    pub fn messages(&self) -> u64 {
        self.messages.get()
    }

    fn timed<R>(&self, bytes: usize, call: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = call();
        self.seconds.set(self.seconds.get() + start.elapsed().as_secs_f64());
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.calls.set(self.calls.get() + 1);
        result
    }
}

struct MeteredPending<'m> {
    pending: Box<dyn Pending + 'm>,
    seconds: &'m Cell<f64>,
}

impl Pending for MeteredPending<'_> {
    fn progress(&mut self) {
        self.pending.progress();
    }

    fn wait(self: Box<Self>) -> Vec<Vec<u8>> {
        let start = Instant::now();
        let received = self.pending.wait();
        self.seconds.set(self.seconds.get() + start.elapsed().as_secs_f64());
        received
    }
}

struct MeteredTransfer<'m> {
    transfer: Box<dyn Transfer + 'm>,
    seconds: &'m Cell<f64>,
}

impl Transfer for MeteredTransfer<'_> {
    fn progress(&mut self) {
        self.transfer.progress();
    }

    fn wait(self: Box<Self>) {
        let start = Instant::now();
        self.transfer.wait();
        self.seconds.set(self.seconds.get() + start.elapsed().as_secs_f64());
    }
}

impl Team for Metered<'_> {
    fn rank(&self) -> usize {
        self.team.rank()
    }

    fn size(&self) -> usize {
        self.team.size()
    }

    fn gather_bytes_into(&self, mine: &[u8], counts: &[usize], all: &mut [u8]) {
        self.timed(mine.len(), || self.team.gather_bytes_into(mine, counts, all));
    }

    fn exchange_bytes_into(&self, send: &[&[u8]], receive: &mut [&mut [u8]]) {
        let bytes = send.iter().map(|s| s.len()).sum();
        self.timed(bytes, || self.team.exchange_bytes_into(send, receive));
    }

    fn start_exchange_bytes<'a>(&'a self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 'a> {
        let bytes = send.iter().map(Vec::len).sum();
        let pending = self.timed(bytes, || self.team.start_exchange_bytes(send));
        Box::new(MeteredPending { pending, seconds: &self.seconds })
    }

    unsafe fn start_transfer_bytes<'a>(&'a self, send: &[Outgoing], receive: &[Incoming]) -> Box<dyn Transfer + 'a> {
        self.messages.set(self.messages.get() + send.iter().filter(|m| m.bytes > 0).count() as u64);
        let bytes = send.iter().map(|m| m.bytes).sum();
        // SAFETY: the caller's.
        let transfer = self.timed(bytes, || unsafe { self.team.start_transfer_bytes(send, receive) });
        Box::new(MeteredTransfer { transfer, seconds: &self.seconds })
    }

    fn start_broadcast_bytes<'a>(&'a self, root: usize, bytes: Vec<u8>) -> Box<dyn Pending + 'a> {
        let length = if self.rank() == root { bytes.len() } else { 0 };
        let pending = self.timed(length, || self.team.start_broadcast_bytes(root, bytes));
        Box::new(MeteredPending { pending, seconds: &self.seconds })
    }

    fn share_memory(&self, bytes: usize) -> Option<SharedMemory> {
        self.timed(0, || self.team.share_memory(bytes))
    }

    fn meet(&self, memory: &mut SharedMemory, group: Group, ranks: &[usize]) {
        self.timed(0, || self.team.meet(memory, group, ranks));
    }

    #[cfg(feature = "mpi")]
    fn communicator(&self) -> Option<crate::team::RawComm> {
        self.team.communicator()
    }
}

/// Seconds of the phases of a run on this rank.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    pub build: f64,
    /// Inside steps and the end, without communication.
    pub compute: f64,
    pub communication: f64,
    pub io: f64,
    pub total: f64,
}

/// Timings over the ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TeamTimings {
    /// Means over the ranks.
    pub mean: Timings,
    /// Mean time that a rank computes less than the busiest one: it spends it waiting, inside communication.
    pub idle: f64,
    /// Largest peak of resident memory of a rank, bytes.
    pub peak_memory: u64,
    /// Bytes and calls of the busiest rank.
    pub bytes_sent: u64,
    pub calls: u64,
}

/// Collective.
pub fn over_ranks(team: &dyn Team, mine: Timings, sent: (u64, u64)) -> TeamTimings {
    let row = [
        mine.build,
        mine.compute,
        mine.communication,
        mine.io,
        mine.total,
        machine::peak_memory_bytes().unwrap_or(0) as f64,
        sent.0 as f64,
        sent.1 as f64,
    ];
    let all = team.gather::<f64>(&row);
    let n = team.size() as f64;
    let column = |k: usize| all.iter().skip(k).step_by(row.len()).copied();
    let mean = |k: usize| column(k).sum::<f64>() / n;
    let max = |k: usize| column(k).fold(0.0, f64::max);
    TeamTimings {
        mean: Timings { build: mean(0), compute: mean(1), communication: mean(2), io: mean(3), total: mean(4) },
        idle: max(1) - mean(1),
        peak_memory: max(5) as u64,
        bytes_sent: max(6) as u64,
        calls: max(7) as u64,
    }
}
