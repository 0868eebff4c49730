//! How far apart two cores are: how long a flag takes to the other one and back, and how fast one reads what the other
//! has just written. On cores that share the last cache the first is below 0.2 µs, on others above (of what was seen).
//!
//!     taskset -c 0,1 target/release/deps/cores-…

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Round trips of the flag.
const TRIPS: usize = 300_000;
/// Times that the block is read.
const READS: usize = 300;
/// Numbers of the block: a mebibyte, which a second-level cache holds.
const BLOCK: usize = 1 << 17;

/// On cache lines of its own.
#[repr(align(128))]
struct Flag(AtomicUsize);

impl Flag {
    fn wait(&self, value: usize) {
        while self.0.load(Ordering::Acquire) != value {
            std::hint::spin_loop();
        }
    }

    fn set(&self, value: usize) {
        self.0.store(value, Ordering::Release);
    }
}

/// Nanoseconds of a round trip.
fn round_trip() -> f64 {
    let flag = Flag(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..=TRIPS).for_each(|_| {
                flag.wait(1);
                flag.set(0);
            });
        });
        let trip = || {
            flag.set(1);
            flag.wait(0);
        };
        // The first waits for the other thread to start.
        trip();
        let start = Instant::now();
        (0..TRIPS).for_each(|_| trip());
        start.elapsed().as_secs_f64() / TRIPS as f64 * 1e9
    })
}

/// GB/s of reading a block that the other core wrote.
fn reading() -> f64 {
    let turn = Flag(AtomicUsize::new(0));
    let block: Vec<AtomicU64> = (0..BLOCK).map(|_| AtomicU64::new(0)).collect();
    let seconds: f64 = std::thread::scope(|scope| {
        scope.spawn(|| {
            for read in 0..READS {
                block.iter().for_each(|x| x.store(read as u64, Ordering::Relaxed));
                turn.set(2 * read + 1);
                turn.wait(2 * read + 2);
            }
        });
        let read = |read: usize| {
            turn.wait(2 * read + 1);
            let start = Instant::now();
            // One number of each line.
            let sum: u64 = block.iter().step_by(8).map(|x| x.load(Ordering::Relaxed)).sum();
            let seconds = start.elapsed().as_secs_f64();
            assert_eq!(sum, (BLOCK / 8 * read) as u64);
            turn.set(2 * read + 2);
            seconds
        };
        (0..READS).map(read).sum()
    });
    (READS * BLOCK * size_of::<u64>()) as f64 / seconds / 1e9
}

fn main() {
    println!("flag to the other core and back {:.0} ns, what it wrote is read at {:.0} GB/s", round_trip(), reading());
}
