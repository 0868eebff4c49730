//! `cargo bench --bench kernels [-- FILTER]`: the row kernels on one core, against the bare exponential.
//!
//! All lines are measured in turn, round after round, so that a change of clock or load meets them alike; medians of
//! the rounds. `ratio` is to the bare exponential of the same precision in the same round (median of the ratios);
//! then the fastest round of each and their ratio, which says more on a busy machine. One
//! entry is one cell of the n×m cost in one full iteration (row and column update), unless the line says otherwise.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use spanwise::solvers::transport::kernels::{
    Level, MaxSum, PointCloud, PointCost, Rows, Scratch, StoredKernel, column_sums, exp, matrix,
};
use spanwise::solvers::transport::passes::Precision::{self, F32, F64};

const ROUNDS: usize = 11;

struct Line {
    name: String,
    precision: Precision,
    /// Entries of one call.
    entries: f64,
    run: Box<dyn FnMut()>,
    nanoseconds: Vec<f64>,
}

/// n×d numbers in [0, 1), equidistributed.
fn points(n: usize, d: usize, offset: f64) -> Arc<[f64]> {
    (0..n * d).map(|k| ((k as f64 + 1.0) * 0.618_033_988_749_894_9 + offset * (1 + k % d) as f64).fract()).collect()
}

fn sweep(rows: Box<dyn Rows>, h: Vec<f64>, shift: Vec<f64>) -> Box<dyn FnMut()> {
    let (mut columns, mut scratch) = (column_sums(rows.cols()), Scratch::default());
    Box::new(move || {
        let h = rows.scale(&h);
        rows.sweep(0..shift.len(), &h, &shift, &mut |_, s| 1.0 / s, &mut columns, &mut scratch);
        black_box(columns.as_slice());
    })
}

fn main() {
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|f| name.contains(f.as_str()));
    let level = Level::detect();
    let mut lines: Vec<Line> = Vec::new();
    let mut add = |name: String, precision: Precision, entries: usize, run: Box<dyn FnMut()>| {
        if wanted(&name) || name.starts_with("bare") {
            lines.push(Line { name, precision, entries: entries as f64, run, nanoseconds: Vec::new() });
        }
    };

    let x: Vec<f64> = (0..2048).map(|k| -(k as f64) / 100.0).collect();
    let mut out = vec![0.0; 2048];
    add("bare exp2, in cache".into(), F64, 200 * 2048, {
        Box::new(move || {
            for _ in 0..200 {
                exp::exp2_slice(level, black_box(&x), &mut out);
                black_box(&out);
            }
        })
    });
    let x: Vec<f32> = (0..2048).map(|k| -(k as f32) / 100.0).collect();
    let mut out = vec![0f32; 2048];
    add("bare exp2, in cache".into(), F32, 200 * 2048, {
        Box::new(move || {
            for _ in 0..200 {
                exp::exp2_slice_f32(level, black_box(&x), &mut out);
                black_box(&out);
            }
        })
    });

    let epsilon = 0.05;
    for m in [4096, 20_000] {
        // Enough rows that filling the caches does not count.
        let n = 2048;
        let clouds = PointCloud::new(PointCost::Squared, points(n, 3, 0.0), points(m, 3, 0.3), 3);
        // The column update of n rows: n columns against m rows, as rows of the other orientation.
        let (h, shift) = (vec![0.0; m], vec![1.0; n]);
        for precision in [F64, F32] {
            let (rows, cols) = clouds.both(epsilon, precision, level);
            let name = format!("one sweep, d=3, m={m}");
            add(name, precision, n * m, sweep(clouds.rows(epsilon, precision, level), h.clone(), shift.clone()));
            let (h, shift) = (h.clone(), shift.clone());
            let (mut r, mut c) = (vec![0.0; n], vec![0.0; m]);
            add(format!("two passes, d=3, m={m}"), precision, n * m, {
                Box::new(move || {
                    rows.shifted_sum(0..n, &h, &shift, &mut r);
                    cols.shifted_sum(0..m, &shift, &h, &mut c);
                    black_box((&r, &c));
                })
            });
        }
        for precision in [F64, F32] {
            let rows = clouds.rows(epsilon, precision, level);
            let (h0, mut r) = (h.clone(), vec![MaxSum::EMPTY; n]);
            add(format!("max and sum (row pass only), m={m}"), precision, n * m, {
                Box::new(move || {
                    rows.max_sum(0..n, &h0, &mut r);
                    black_box(&r);
                })
            });
        }
        let rows = clouds.rows(epsilon, F64, level);
        let (h0, mut r) = (h.clone(), vec![0.0; n]);
        add(format!("min-plus (row pass only), m={m}"), F64, n * m, {
            Box::new(move || {
                rows.min_plus(0..n, &h0, &mut r);
                black_box(&r);
            })
        });
    }
    for (d, name) in [(2, "one sweep, d=2, m=4096"), (64, "one sweep, product form, d=64, m=4096")] {
        let clouds = PointCloud::new(PointCost::Squared, points(256, d, 0.0), points(4096, d, 0.3), d);
        for precision in [F64, F32] {
            let rows = clouds.rows(epsilon, precision, level);
            add(name.into(), precision, 256 * 4096, sweep(rows, vec![0.0; 4096], vec![1.0; 256]));
        }
    }
    for (cost, name) in [(PointCost::Euclidean, "|x−y|"), (PointCost::Power(1.5), "|x−y|^1.5")] {
        let clouds = PointCloud::new(cost, points(256, 3, 0.0), points(4096, 3, 0.3), 3);
        for precision in [F64, F32] {
            let rows = clouds.rows(epsilon, precision, level);
            let name = format!("one sweep, {name}, d=3, m=4096");
            add(name, precision, 256 * 4096, sweep(rows, vec![0.0; 4096], vec![1.0; 256]));
        }
    }
    let c: Arc<[f64]> = points(2048, 4096, 0.0);
    let rows = matrix(c, 2048, 4096, epsilon, F64, level);
    add("one sweep, dense matrix (64 MiB)".into(), F64, 2048 * 4096, sweep(rows, vec![0.0; 4096], vec![1.0; 2048]));

    // The stored kernel: larger than the caches, read once per iteration.
    let (n, m) = (4096, 4096);
    let clouds = PointCloud::new(PointCost::Squared, points(n, 3, 0.0), points(m, 3, 0.3), 3);
    for storage in [F64, F32] {
        let rows = clouds.rows(epsilon, F64, level);
        let kernel = StoredKernel::build(&*rows, 0..n, &vec![0.0; m], &vec![1.0; n], storage, level);
        let (mut v, mut columns) = (column_sums(m), column_sums(m));
        v.as_mut_slice()[..m].fill(1.0);
        let name = format!("stored kernel, {} MiB", kernel.bytes() >> 20);
        add(name, storage, n * m, {
            Box::new(move || {
                kernel.sweep(0..n, &v, &mut |_, s| 1.0 / s, &mut columns);
                black_box(columns.as_slice());
            })
        });
    }
    // Sum of a large array, 16 accumulators: the read bandwidth of one core.
    let large: Vec<f64> = vec![1.0; 16 << 20];
    let count = large.len();
    add("read 128 MiB (8 bytes an entry)".into(), F64, count, {
        Box::new(move || {
            let mut sums = [0u64; 32];
            for chunk in large.chunks_exact(32) {
                for (s, x) in sums.iter_mut().zip(chunk) {
                    *s ^= x.to_bits();
                }
            }
            black_box(sums);
        })
    });

    for line in &mut lines {
        (line.run)();
    }
    for _ in 0..ROUNDS {
        for line in &mut lines {
            let start = Instant::now();
            (line.run)();
            line.nanoseconds.push(start.elapsed().as_secs_f64() * 1e9 / line.entries);
        }
    }
    let median = |mut x: Vec<f64>| {
        x.sort_by(f64::total_cmp);
        x[x.len() / 2]
    };
    println!("level {}, one core, median of {ROUNDS} interleaved rounds, ε = {epsilon}", level.name());
    println!("{:<44} {:>4} {:>10} {:>7} {:>10} {:>7}", "kernel", "", "ns/entry", "ratio", "fastest", "ratio");
    let bare: Vec<Vec<f64>> = lines[..2].iter().map(|l| l.nanoseconds.clone()).collect();
    for line in &lines {
        let bare = &bare[usize::from(line.precision == F32)];
        let ratio = median(line.nanoseconds.iter().zip(bare).map(|(t, b)| t / b).collect());
        let (time, precision) = (median(line.nanoseconds.clone()), if line.precision == F64 { "f64" } else { "f32" });
        let bandwidth = if line.name.starts_with("stored") || line.name.starts_with("read") {
            format!("  {:.1} GB/s", if line.precision == F64 { 8.0 } else { 4.0 } / time)
        } else {
            String::new()
        };
        let least = |x: &[f64]| x.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = least(&line.nanoseconds);
        let of_fastest = fastest / least(bare);
        println!(
            "{:<44} {precision:>4} {time:>10.3} {ratio:>7.2} {fastest:>10.3} {of_fastest:>7.2}{bandwidth}",
            line.name
        );
    }
}
