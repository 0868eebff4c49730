//! What a parallel loop costs beside its tasks: `crew::each` and rayon, in turn, as one of the loops of a step with some
//! serial work between them. `cargo bench --bench loops [-- THREADS]` (default: 2); medians.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use spanwise::crew;

/// Loops of each kind.
const LOOPS: usize = 2000;

fn work(microseconds: u64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(microseconds) {
        std::hint::spin_loop();
    }
}

/// Median microseconds of a loop.
fn median(before: u64, each: impl Fn()) -> f64 {
    let mut seconds: Vec<f64> = (0..LOOPS)
        .map(|_| {
            work(before);
            let start = Instant::now();
            each();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[LOOPS / 2] * 1e6
}

fn main() {
    let threads = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2);
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global().expect("the only pool");
    crew::lead();
    println!("Microseconds of a loop on {threads} threads beyond its tasks over the threads, medians of {LOOPS}.\n");
    println!("| loop | serial work before, µs | rayon | `crew::each` |");
    println!("|---|---:|---:|---:|");
    for (n, task) in [(16, 5), (64, 10)] {
        let ideal = (n as u64 * task) as f64 / threads as f64;
        for before in [0, 20, 100, 300] {
            let rayon = median(before, || (0..n).into_par_iter().with_max_len(1).for_each(|_| work(task)));
            // Threads that are awake would serve rayon's loops, too.
            std::thread::sleep(Duration::from_millis(5));
            let crew = median(before, || crew::each(n, |_| work(task)));
            std::thread::sleep(Duration::from_millis(5));
            println!("| {n} tasks of {task} µs | {before} | {:.1} | {:.1} |", rayon - ideal, crew - ideal);
        }
    }
}
