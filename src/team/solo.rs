//! One rank, no MPI.

use super::{Incoming, Outgoing, Pending, Team, Transfer};

/// A team of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solo;

impl Solo {
    /// For `main`: also lets a panic on any thread end the program with exit code 1.
    pub fn start() -> Self {
        super::end_on_panic("the only rank".into(), super::end_now);
        Solo
    }
}

impl Team for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather_bytes_into(&self, mine: &[u8], _counts: &[usize], all: &mut [u8]) {
        all.copy_from_slice(mine);
    }

    fn exchange_bytes_into(&self, send: &[&[u8]], receive: &mut [&mut [u8]]) {
        receive[0].copy_from_slice(send[0]);
    }

    fn start_exchange_bytes<'t>(&'t self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 't> {
        assert_eq!(send.len(), 1, "one message for each rank");
        Box::new(Done(send))
    }

    unsafe fn start_transfer_bytes<'t>(&'t self, send: &[Outgoing], receive: &[Incoming]) -> Box<dyn Transfer + 't> {
        assert!(send.is_empty() && receive.is_empty(), "there is nobody else");
        Box::new(Nothing)
    }

    fn start_broadcast_bytes<'t>(&'t self, _root: usize, bytes: Vec<u8>) -> Box<dyn Pending + 't> {
        Box::new(Done(vec![bytes]))
    }
}

struct Nothing;

impl Transfer for Nothing {
    fn wait(self: Box<Self>) {}
}

struct Done(Vec<Vec<u8>>);

impl Pending for Done {
    fn wait(self: Box<Self>) -> Vec<Vec<u8>> {
        self.0
    }
}
