//! Pairs of distributed transforms, real to complex and back, and the bandwidth of memory in the same run.
//!
//!     cargo bench --bench fft -- [--sizes 128,256] [--pairs 9] [--threads 1] [--grid 2x1] [--json]
//!     mpirun -n 2 target/release/deps/fft-… --threads 1
//!
//! Median over the pairs of the slowest rank's time, with full spectra (n/2 kept on every axis, as other libraries
//! store) and pruned to the quadratic rule (3K < n). Effective bandwidth: 48 n³ bytes per transform, a read and a write
//! of the spectrum for each axis.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use spanwise::solvers::spectral::domain::{Axis, Basis, Domain};
use spanwise::solvers::spectral::fields::Fields;
use spanwise::solvers::spectral::transform::{Distributed, Level, Settings, Transform};
use spanwise::team::{self, Team, machine};

struct Options {
    sizes: Vec<usize>,
    pairs: usize,
    threads: usize,
    grid: Option<[usize; 2]>,
    json: bool,
}

fn options() -> Options {
    let mut options = Options { sizes: vec![128, 256], pairs: 9, threads: 1, grid: None, json: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().expect("a value after the option");
        match word.as_str() {
            "--sizes" => options.sizes = number().split(',').map(|n| n.parse().expect("a size")).collect(),
            "--pairs" => options.pairs = number().parse().expect("a number of pairs"),
            "--threads" => options.threads = number().parse().expect("a number of threads"),
            "--grid" => {
                let sides: Vec<usize> = number().split('x').map(|p| p.parse().expect("p1xp2")).collect();
                options.grid = Some([sides[0], sides[1]]);
            }
            "--json" => options.json = true,
            // What cargo passes on.
            "--bench" => {}
            other => panic!("what is {other}?"),
        }
    }
    options
}

fn cube(n: usize, pruned: bool) -> Domain {
    let highest = if pruned { (n - 1) / 3 } else { n / 2 };
    let axis = |basis| Axis {
        basis,
        points: n,
        highest,
        sawtooth: basis == Basis::Fourier && 2 * highest == n,
        ..Axis::trivial()
    };
    Domain::new(vec![axis(Basis::Fourier), axis(Basis::Fourier), axis(Basis::HalfFourier)], false)
}

/// Median over pairs of (backward + forward) on the slowest rank, and the largest error of a round trip.
fn pairs(team: &dyn Team, domain: &Domain, options: &Options) -> (f64, f64, [usize; 2]) {
    let (level, ranks_per_node) = (Level::detect(), team.size());
    let settings = Settings { process_grid: options.grid, level, ranks_per_node, share: true };
    let mut transform = Distributed::<f64>::new(domain, team, settings).expect("a grid for these ranks");
    let n = transform.points().len();
    // On whole cache lines, as FFTW's allocator gives them.
    let mut room = vec![0.0f64; n + 7];
    let first = room.as_ptr().align_offset(64);
    let values = &mut room[first..first + n];
    for (i, value) in values.iter_mut().enumerate() {
        *value = (0.37 * (i % 1009) as f64).sin() + 0.1 * team.rank() as f64;
    }
    let mut modes = Fields::zeros(1, transform.modes().len()).arrays.remove(0);
    // Twice, so that what is compared lies in the kept modes.
    for _ in 0..2 {
        transform.forward(team, &[values], &mut [&mut modes]);
        transform.backward(team, &[&modes], &mut [values]);
    }
    let start = values.to_vec();
    let mut seconds: Vec<f64> = (0..options.pairs)
        .map(|_| {
            team.barrier();
            let clock = Instant::now();
            transform.forward(team, &[values], &mut [&mut modes]);
            transform.backward(team, &[&modes], &mut [values]);
            team.max(clock.elapsed().as_secs_f64())
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let off = start.iter().zip(&*values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    (seconds[seconds.len() / 2], team.max(off), transform.process_grid())
}

/// Bytes per second of a = b + s c over all ranks and threads, counted as 24 per element.
fn triad(team: &dyn Team) -> f64 {
    let n = (1 << 24) / team.size();
    let (mut a, b, c) = (vec![0.0f64; n], vec![1.0f64; n], vec![2.0f64; n]);
    let mut best = f64::INFINITY;
    for round in 0..5 {
        team.barrier();
        let clock = Instant::now();
        let s = black_box(round as f64);
        a.par_chunks_mut(1 << 16).zip(b.par_chunks(1 << 16).zip(c.par_chunks(1 << 16))).for_each(|(a, (b, c))| {
            a.iter_mut().zip(b.iter().zip(c)).for_each(|(a, (b, c))| *a = b + s * c);
        });
        black_box(&a);
        best = best.min(team.max(clock.elapsed().as_secs_f64()));
    }
    24.0 * (n * team.size()) as f64 / best
}

fn main() {
    let options = options();
    let team = team::start().expect("ranks");
    let plan = machine::threads_per_rank(options.threads, &*team);
    machine::start_threads(&plan).expect("threads");
    let first = team.rank() == 0;
    let stream = triad(&*team);
    if first && !options.json {
        println!(
            "{} ranks of {} threads, {:?}; triad {:.1} GB/s",
            team.size(),
            plan.threads,
            Level::detect(),
            stream * 1e-9
        );
    }
    for &n in &options.sizes {
        for pruned in [false, true] {
            let domain = cube(n, pruned);
            let (seconds, off, grid) = pairs(&*team, &domain, &options);
            if !first {
                continue;
            }
            let (kind, effective) = (if pruned { "pruned" } else { "full" }, 96.0 * (n * n * n) as f64 / seconds);
            if options.json {
                println!(
                    "{{\"peer\":\"spanwise\",\"n\":{n},\"kind\":\"{kind}\",\"ranks\":{},\"threads\":{},\
                     \"seconds\":{seconds:.6},\"error\":{off:.2e},\"triad\":{stream:.3e}}}",
                    team.size(),
                    plan.threads
                );
            } else {
                println!(
                    "{n:>5}³ {kind:<7} grid {:>2} × {:<2} {:>9.2} ms a pair, {:>5.1} GB/s effective, {:>4.2} of the \
                     triad, round trip {off:.1e}",
                    grid[0],
                    grid[1],
                    seconds * 1e3,
                    effective * 1e-9,
                    effective / stream
                );
            }
        }
    }
}
