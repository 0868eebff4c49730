use spanwise::solvers::transport::grid::{Level, axis::AxisKernel};
use spanwise::solvers::transport::passes::Precision;
use std::time::Instant;
fn main() {
    for (n, r) in [(256usize, 256usize), (64, 4096)] {
        for eps in [0.05, 0.005, 0.0005] {
            let mut l = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..n {
                    let d = (i as f64 - j as f64) / n as f64;
                    l[i * n + j] = -d * d / eps / std::f64::consts::LN_2;
                }
            }
            let k = AxisKernel::new(n, n, l);
            // slope of a displacement 0.4 along both axes
            let z: Vec<f64> = (0..n * r)
                .map(|q| {
                    let j = (q / r) as f64 / n as f64;
                    0.8 * j / eps / std::f64::consts::LN_2
                })
                .collect();
            let mut out = vec![0.0; n * r];
            for level in [Level::Avx512] {
                for p in [Precision::F64, Precision::F32] {
                    let mut best = f64::INFINITY;
                    for _ in 0..7 {
                        let t = Instant::now();
                        for _ in 0..4 {
                            k.log_pass(level, p, &z, 0..r, &mut out);
                        }
                        best = best.min(t.elapsed().as_secs_f64() / 4.0);
                    }
                    println!(
                        "n {n} eps {eps} {level:?} {p:?}: {:.3} ms, {:.1} GF/s, {:.2} ns/point",
                        best * 1e3,
                        2.0 * (n * n * r) as f64 / best / 1e9,
                        best * 1e9 / (n * r) as f64
                    );
                }
            }
        }
    }
}
