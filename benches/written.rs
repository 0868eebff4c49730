//! Whole steps of built-in equations and of the same ones written in the input, in turn.
//!
//!     cargo bench --bench written -- [--rounds 9] [--seconds 0.2] [NAME …]
//!
//! Median over the rounds of the time per step of each, and of their ratio; one thread.

#[path = "../tests/common/pairs.rs"]
mod pairs;

use std::path::Path;
use std::time::Instant;

use pairs::PAIRS;
use spanwise::input::Input;
use spanwise::solvers::{self, Solver};
use spanwise::team::Solo;

fn built(text: &str) -> Box<dyn Solver> {
    let input = Input::parse(Path::new("bench.toml"), text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let entry = solvers::find("spectral").expect("a registered solver");
    (entry.build)(&input, &Solo).unwrap_or_else(|e| panic!("{e}"))
}

/// Seconds per step of `count` steps.
fn timed(solver: &mut dyn Solver, from: &mut u64, count: u64) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        *from += 1;
        solver.step(*from, &Solo).expect("a step");
    }
    start.elapsed().as_secs_f64() / count as f64
}

fn median(list: &mut [f64]) -> f64 {
    list.sort_by(f64::total_cmp);
    list[list.len() / 2]
}

fn main() {
    let (mut rounds, mut seconds, mut names) = (9, 0.2, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().and_then(|n| n.parse().ok()).expect("a number of rounds"),
            "--seconds" => seconds = words.next().and_then(|n| n.parse().ok()).expect("seconds"),
            // What cargo passes on.
            "--bench" => {}
            name => names.push(name.to_lowercase()),
        }
    }
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    println!("| equation | points | built in [ms per step] | written | ratio |\n|---|---|---:|---:|---:|");
    for pair in PAIRS.iter().filter(|p| names.is_empty() || names.iter().any(|n| p.what.to_lowercase().contains(n))) {
        let points = match pair.what {
            what if what.contains("three") => vec![64; 3],
            what if what.contains("two") => vec![256; 2],
            _ => vec![1024],
        };
        let mut both = [false, true].map(|written| (built(&pair.input(written, &points)), 0u64));
        let once = both.each_mut().map(|(solver, step)| timed(solver.as_mut(), step, 3));
        let count = (seconds / once[0]).ceil().max(1.0) as u64;
        let (mut times, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
        for round in 0..rounds {
            // The one that begins changes.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for i in order {
                let (solver, step) = &mut both[i];
                times[i].push(timed(solver.as_mut(), step, count));
            }
            ratios.push(times[1][round] / times[0][round]);
        }
        let [built_in, written] = times.each_mut().map(|t| 1e3 * median(t));
        let ratio = median(&mut ratios);
        println!("| {} | {points:?} | {built_in:.4} | {written:.4} | {ratio:.2} |", pair.what);
    }
}
