//! Ranks as threads of one process, for tests of rank-parallel code in plain `cargo test`.
//!
//! What would hang under MPI fails here: when a rank panics, returns early or makes another call than the one that
//! waits for it, the waiting ranks panic too.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Group, Incoming, Outgoing, Pending, SharedMemory, Team, Transfer, exchange_lengths, shared};

/// Runs `program` on `size` ranks at once; returns what each returned, by rank.
///
/// # Panics
/// With the panic of the first rank that panicked, after all have ended.
pub fn run<R: Send>(size: usize, program: impl Fn(&dyn Team) -> R + Sync) -> Vec<R> {
    assert!(size > 0, "a team of nobody");
    let post =
        Post { office: Mutex::new(Office { left: vec![Left::No; size], ..Office::default() }), news: Condvar::new() };
    let results: Vec<thread::Result<R>> = thread::scope(|scope| {
        let ranks: Vec<_> = (0..size)
            .map(|rank| {
                let (post, program) = (&post, &program);
                scope.spawn(move || {
                    let rank = Rank { rank, size, post, calls: Cell::new(0) };
                    // Dropped on return and while unwinding: tells the others either way.
                    let _leaving = Leaving { post, rank: rank.rank };
                    program(&rank)
                })
            })
            .collect();
        ranks.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let first = post.open().first_panic;
    let mut values = Vec::with_capacity(size);
    let mut panics = Vec::new();
    for (rank, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => values.push(value),
            Err(panic) if first == Some(rank) => panics.insert(0, panic),
            Err(panic) => panics.push(panic),
        }
    }
    if !panics.is_empty() {
        resume_unwind(panics.swap_remove(0));
    }
    values
}

/// Where messages lie until they are fetched.
struct Post {
    office: Mutex<Office>,
    news: Condvar,
}

#[derive(Default)]
struct Office {
    messages: HashMap<Address, Message>,
    left: Vec<Left>,
    first_panic: Option<usize>,
}

/// The `call`-th collective call of rank `from`, for rank `to`.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Address {
    from: usize,
    to: usize,
    call: u64,
}

struct Message {
    kind: &'static str,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Left {
    No,
    Returned,
    Panicked,
}

impl Post {
    fn open(&self) -> MutexGuard<'_, Office> {
        // Nothing panics while it holds the lock, so what a poisoned lock guards is whole.
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, kind: &'static str, address: Address, bytes: Vec<u8>) {
        self.open().messages.insert(address, Message { kind, bytes });
        self.news.notify_all();
    }

    /// Panics if `waited_for` has left without coming.
    fn expect_present(&self, rank: usize, waited_for: usize, has_come: &dyn Fn() -> bool) {
        let left = self.open().left[waited_for];
        match left {
            _ if has_come() => (),
            Left::No => (),
            Left::Returned => panic!("rank {rank} waits to meet rank {waited_for}, which has returned"),
            Left::Panicked => resume_unwind(Box::new(format!("rank {rank} stops: rank {waited_for} panicked"))),
        }
    }

    fn receive(&self, kind: &'static str, address: Address) -> Vec<u8> {
        let Address { from, to, call } = address;
        let mut office = self.open();
        loop {
            if let Some(message) = office.messages.remove(&address) {
                drop(office);
                let other = message.kind;
                assert!(other == kind, "rank {to} is at {kind} (call {call}) where rank {from} is at {other}");
                return message.bytes;
            }
            match office.left[from] {
                Left::No => office = self.news.wait(office).unwrap_or_else(PoisonError::into_inner),
                Left::Returned => {
                    drop(office);
                    panic!("rank {to} waits at {kind} (call {call}) for rank {from}, which has returned");
                }
                Left::Panicked => {
                    drop(office);
                    // Unwinds without a message: the rank that panicked first has printed the one that matters.
                    resume_unwind(Box::new(format!("rank {to} stops: rank {from} panicked")));
                }
            }
        }
    }
}

struct Leaving<'p> {
    post: &'p Post,
    rank: usize,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut office = self.post.open();
        if thread::panicking() {
            office.left[self.rank] = Left::Panicked;
            office.first_panic.get_or_insert(self.rank);
        } else {
            office.left[self.rank] = Left::Returned;
        }
        self.post.news.notify_all();
    }
}

struct Rank<'p> {
    rank: usize,
    size: usize,
    post: &'p Post,
    /// Collective calls so far. They number the messages, so that a pending call and a later one do not mix.
    calls: Cell<u64>,
}

impl Rank<'_> {
    fn next_call(&self) -> u64 {
        self.calls.replace(self.calls.get() + 1)
    }

    fn send(&self, kind: &'static str, to: usize, call: u64, bytes: Vec<u8>) {
        self.post.send(kind, Address { from: self.rank, to, call }, bytes);
    }

    fn receive(&self, kind: &'static str, from: usize, call: u64) -> Vec<u8> {
        self.post.receive(kind, Address { from, to: self.rank, call })
    }
}

impl Team for Rank<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather_bytes_into(&self, mine: &[u8], counts: &[usize], all: &mut [u8]) {
        let call = self.next_call();
        for to in 0..self.size {
            self.send("gather", to, call, mine.to_vec());
        }
        let mut rest = all;
        for (from, &count) in counts.iter().enumerate() {
            let (here, after) = rest.split_at_mut(count);
            here.copy_from_slice(&self.receive("gather", from, call));
            rest = after;
        }
    }

    fn exchange_bytes_into(&self, send: &[&[u8]], receive: &mut [&mut [u8]]) {
        let call = self.next_call();
        for (to, bytes) in send.iter().enumerate() {
            self.send("exchange", to, call, bytes.to_vec());
        }
        for (from, here) in receive.iter_mut().enumerate() {
            here.copy_from_slice(&self.receive("exchange", from, call));
        }
    }

    fn start_exchange_bytes<'t>(&'t self, send: Vec<Vec<u8>>) -> Box<dyn Pending + 't> {
        // Not needed here, but MPI meets at this point too, and tests should see the same program.
        exchange_lengths(self, &send.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let call = self.next_call();
        for (to, bytes) in send.into_iter().enumerate() {
            self.send("start_exchange", to, call, bytes);
        }
        Box::new(Coming { rank: self, kind: "start_exchange", call, from: (0..self.size).collect() })
    }

    unsafe fn start_transfer_bytes<'t>(&'t self, send: &[Outgoing], receive: &[Incoming]) -> Box<dyn Transfer + 't> {
        let call = self.next_call();
        for message in send.iter().filter(|m| m.bytes > 0) {
            assert!(message.to != self.rank, "a message to oneself");
            // SAFETY: the caller's.
            let bytes = unsafe { std::slice::from_raw_parts(message.from, message.bytes) };
            self.send("start_transfer", message.to, call, bytes.to_vec());
        }
        Box::new(Arriving { rank: self, call, receive: receive.to_vec() })
    }

    fn start_broadcast_bytes<'t>(&'t self, root: usize, bytes: Vec<u8>) -> Box<dyn Pending + 't> {
        let call = self.next_call();
        if self.rank == root {
            for to in 0..self.size {
                self.send("start_broadcast", to, call, bytes.clone());
            }
        }
        Box::new(Coming { rank: self, kind: "start_broadcast", call, from: vec![root] })
    }

    fn share_memory(&self, bytes: usize) -> Option<SharedMemory> {
        Some(shared::of_threads(self, bytes))
    }

    fn meet(&self, memory: &mut SharedMemory, group: Group, ranks: &[usize]) {
        memory.meet(group, ranks, |waited_for, has_come| self.post.expect_present(self.rank, waited_for, has_come));
    }
}

struct Arriving<'t> {
    rank: &'t Rank<'t>,
    call: u64,
    receive: Vec<Incoming>,
}

impl Transfer for Arriving<'_> {
    fn wait(self: Box<Self>) {
        for message in self.receive.iter().filter(|m| m.bytes > 0) {
            let bytes = self.rank.receive("start_transfer", message.from, self.call);
            assert_eq!(bytes.len(), message.bytes, "bytes from rank {} at call {}", message.from, self.call);
            // SAFETY: whoever started the transfer keeps the place until now.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), message.to, bytes.len()) };
        }
    }
}

struct Coming<'t> {
    rank: &'t Rank<'t>,
    kind: &'static str,
    call: u64,
    from: Vec<usize>,
}

impl Pending for Coming<'_> {
    fn wait(self: Box<Self>) -> Vec<Vec<u8>> {
        self.from.iter().map(|&from| self.rank.receive(self.kind, from, self.call)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    /// The words of the panic that `run` ends with, and how long it took.
    fn panic_of(size: usize, program: impl Fn(&dyn Team) + Sync) -> (String, Duration) {
        let start = Instant::now();
        let payload = catch_unwind(AssertUnwindSafe(|| run(size, program))).unwrap_err();
        let words = payload.downcast::<String>().map(|s| *s);
        let words = words.unwrap_or_else(|payload| payload.downcast_ref::<&str>().unwrap().to_string());
        (words, start.elapsed())
    }

    #[test]
    fn a_panic_on_rank_2_of_4_ends_the_other_three_within_5_seconds() {
        let ended = AtomicUsize::new(0);
        struct Count<'a>(&'a AtomicUsize);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (words, took) = panic_of(4, |team| {
            let _count = Count(&ended);
            team.barrier();
            if team.rank() == 2 {
                panic!("the third one fails");
            }
            team.barrier();
            unreachable!("the barrier broke");
        });
        assert_eq!(words, "the third one fails");
        assert_eq!(ended.load(Ordering::SeqCst), 4);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn a_rank_that_returns_early_is_an_error_on_those_that_wait() {
        let (words, _) = panic_of(3, |team| {
            if team.rank() != 1 {
                team.barrier();
            }
        });
        assert!(words.contains("for rank 1, which has returned"), "{words}");
    }

    #[test]
    fn two_different_calls_do_not_meet() {
        let (words, _) = panic_of(2, |team| {
            if team.rank() == 0 {
                team.gather(&[1u64]);
            } else {
                team.exchange_counted(&[vec![0u64], vec![0]], &[1, 1]);
            }
        });
        assert!(words.contains("gather") && words.contains("exchange"), "{words}");
    }

    #[test]
    fn messages_under_way_do_not_mix_with_later_calls_nor_with_each_other() {
        run(4, |team| {
            let (rank, size) = (team.rank(), team.size());
            let to_each =
                |k: usize| (0..size).map(|to| vec![(k * 100 + rank * 10 + to) as u32; to + k]).collect::<Vec<_>>();
            let first = team.start_exchange(&to_each(1));
            let root = team.start_broadcast(3, &[rank as f64; 5]);
            let second = team.start_exchange(&to_each(2));
            assert_eq!(team.gather(&[rank as u8]), [0, 1, 2, 3]);
            assert_eq!(team.sum(team.split(100), |i| i as f64), 4950.0);
            // Waited for in another order than started.
            for (k, pending) in [(2, second), (1, first)] {
                for (from, got) in pending.wait().into_iter().enumerate() {
                    assert_eq!(got, vec![(k * 100 + from * 10 + rank) as u32; rank + k]);
                }
            }
            assert_eq!(root.wait(), [3.0; 5]);
        });
    }

    #[test]
    fn a_message_arrives_while_its_receiver_works() {
        // Rank 0 waits for the broadcast before rank 1, which sent it, has left its work.
        let order = Mutex::new(Vec::new());
        let (received, release) = std::sync::mpsc::channel();
        let release = Mutex::new(release);
        run(2, |team| {
            let message = team.start_broadcast(1, &[7u8]);
            if team.rank() == 1 {
                release.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap();
                order.lock().unwrap().push("work of rank 1 ends");
            }
            assert_eq!(message.wait(), [7]);
            if team.rank() == 0 {
                order.lock().unwrap().push("rank 0 has the message");
                received.send(()).unwrap();
            }
        });
        assert_eq!(order.into_inner().unwrap(), ["rank 0 has the message", "work of rank 1 ends"]);
    }

    #[test]
    fn a_message_that_nobody_waits_for_harms_nothing() {
        run(3, |team| {
            drop(team.start_broadcast(0, &[1u8; 10]));
            assert_eq!(team.max(team.rank() as f64), 2.0);
        });
    }
}
