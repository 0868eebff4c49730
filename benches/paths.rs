//! Drift evaluations per second and core of the paths room: drifts alone, and Euler–Maruyama steps with their noise.
//! `cargo bench --bench paths`; run it alone on the machine.

use std::time::Instant;

use spanwise::math::draws::Draws;
use spanwise::math::rng::Stream;
use spanwise::math::simd::Level;
use spanwise::solvers::paths::priors::PriorInput;

/// Paths of a block, and blocks that fit the nearest caches together.
const LANES: usize = 64;
const STEPS: usize = 400_000;

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    println!("{:<22} {:<9} {:>14} {:>22}", "drift", "level", "drifts, M/s", "steps with noise, M/s");
    let priors = [
        ("double_well", PriorInput::DoubleWell { height: 5.0 }, 1),
        ("muller_brown", PriorInput::MullerBrown {}, 2),
        ("triple_well", PriorInput::TripleWell {}, 2),
        ("coupled_double_well", PriorInput::CoupledDoubleWell {}, 2),
    ];
    for (name, input, dimension) in priors {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            let prior = input.build(dimension, 1.0, level).expect("a prior of these coordinates");
            let x: Vec<f64> =
                (0..dimension * LANES).map(|i| -0.5 + 0.9 * (i / LANES) as f64 + 1e-3 * i as f64).collect();
            let mut b = vec![0.0; x.len()];
            let steps = if level == Level::Portable { STEPS / 8 } else { STEPS };
            let rate = |work: &mut dyn FnMut(usize)| {
                let once = |work: &mut dyn FnMut(usize)| {
                    let start = Instant::now();
                    (0..steps).for_each(|j| work(j));
                    (steps * LANES) as f64 / start.elapsed().as_secs_f64() / 1e6
                };
                median((0..5).map(|_| once(work)).collect())
            };
            let drifts = rate(&mut |_| prior.drift(0.0, std::hint::black_box(&x), &mut b));
            let mut paths = x.clone();
            let mut xi = vec![0.0; x.len()];
            let stepped = rate(&mut |j| {
                let draws = Draws::new(level, 1, Stream::PathsNoise, j as u32);
                for (d, row) in xi.chunks_exact_mut(LANES).enumerate() {
                    draws.normals(d as u32, row);
                }
                prior.advance(0.0, 1e-5, 1e-3, &xi, &mut paths);
                if j % 1000 == 0 {
                    paths.copy_from_slice(&x);
                }
            });
            println!("{name:<22} {:<9} {drifts:>14.1} {stepped:>22.1}", level.name());
        }
    }
}
