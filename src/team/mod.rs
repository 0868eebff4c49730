//! The only room that knows ranks.

mod partition;
pub use partition::Partition;

use bytemuck::Pod;

use crate::error::Result;

/// A group of ranks working together. All calls but `rank` and `size` are collective.
pub trait Team {
    fn rank(&self) -> usize;
    fn size(&self) -> usize;
    /// Everyone's bytes, concatenated in rank order, on every rank.
    fn gather_bytes(&self, mine: &[u8]) -> Vec<u8>;
    /// `send[q]` goes to rank q; returns what each rank sent here, by rank.
    fn exchange_bytes(&self, send: &[Vec<u8>]) -> Vec<Vec<u8>>;
    /// Starts an exchange that completes in [`Pending::wait`], so that work can overlap it.
    fn start_exchange_bytes<'t>(&'t self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 't>;
    /// Starts sending `root`'s bytes to all; `bytes` is read on `root` only. `wait` returns one vector.
    fn start_broadcast_bytes<'t>(&'t self, root: usize, bytes: Vec<u8>) -> Box<dyn Pending + 't>;
}

/// A message under way.
pub trait Pending {
    fn wait(self: Box<Self>) -> Vec<Vec<u8>>;
}
