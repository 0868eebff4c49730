//! A team that counts what a rank sends.

use std::cell::Cell;

use spanwise::team::{Incoming, Outgoing, Pending, Team, Transfer};

/// What a rank sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages to another rank, of transfers.
    pub messages: u64,
    pub bytes: u64,
    /// Calls in which all ranks meet, and what this rank gave to each.
    pub meetings: u64,
    pub met_bytes: u64,
}

/// Counts the calls of another team. `around` is called before (true) and after (false) each of them.
pub struct Counted<'t> {
    team: &'t dyn Team,
    sent: Cell<Sent>,
    around: fn(bool),
}

impl<'t> Counted<'t> {
    pub fn new(team: &'t dyn Team, around: fn(bool)) -> Self {
        Counted { team, sent: Cell::default(), around }
    }

    pub fn sent(&self) -> Sent {
        self.sent.get()
    }

    fn call<R>(&self, of: Sent, call: impl FnOnce() -> R) -> R {
        let mut sent = self.sent.get();
        sent.messages += of.messages;
        sent.bytes += of.bytes;
        sent.meetings += of.meetings;
        sent.met_bytes += of.met_bytes;
        self.sent.set(sent);
        (self.around)(true);
        let result = call();
        (self.around)(false);
        result
    }

    fn meeting<R>(&self, bytes: usize, call: impl FnOnce() -> R) -> R {
        self.call(Sent { meetings: 1, met_bytes: bytes as u64, ..Sent::default() }, call)
    }
}

/// A transfer under way, whose progress and end are calls too.
struct Under<'t> {
    transfer: Option<Box<dyn Transfer + 't>>,
    around: fn(bool),
}

impl Transfer for Under<'_> {
    fn progress(&mut self) {
        (self.around)(true);
        self.transfer.as_mut().expect("under way").progress();
        (self.around)(false);
    }

    fn wait(mut self: Box<Self>) {
        (self.around)(true);
        self.transfer.take().expect("under way").wait();
        (self.around)(false);
    }
}

impl Team for Counted<'_> {
    fn rank(&self) -> usize {
        self.team.rank()
    }

    fn size(&self) -> usize {
        self.team.size()
    }

    fn gather_bytes_into(&self, mine: &[u8], counts: &[usize], all: &mut [u8]) {
        self.meeting(mine.len(), || self.team.gather_bytes_into(mine, counts, all));
    }

    fn exchange_bytes_into(&self, send: &[&[u8]], receive: &mut [&mut [u8]]) {
        self.meeting(send.iter().map(|s| s.len()).sum(), || self.team.exchange_bytes_into(send, receive));
    }

    fn start_exchange_bytes<'a>(&'a self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 'a> {
        self.meeting(send.iter().map(Vec::len).sum(), || self.team.start_exchange_bytes(send))
    }

    unsafe fn start_transfer_bytes<'a>(&'a self, send: &[Outgoing], receive: &[Incoming]) -> Box<dyn Transfer + 'a> {
        let of = Sent {
            messages: send.iter().filter(|m| m.bytes > 0).count() as u64,
            bytes: send.iter().map(|m| m.bytes as u64).sum(),
            ..Sent::default()
        };
        let around = self.around;
        self.call(of, || {
            // SAFETY: the caller's.
            let transfer = Some(unsafe { self.team.start_transfer_bytes(send, receive) });
            Box::new(Under { transfer, around })
        })
    }

    fn start_broadcast_bytes<'a>(&'a self, root: usize, bytes: Vec<u8>) -> Box<dyn Pending + 'a> {
        self.meeting(bytes.len(), || self.team.start_broadcast_bytes(root, bytes))
    }
}
