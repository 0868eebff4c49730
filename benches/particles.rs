//! The particle engine: its kernels by particle, a filter's step by model, level and number of particles, and what of it is
//! resampling. One thread unless RAYON_NUM_THREADS says otherwise. Medians of repetitions.
//!
//! `cargo bench --bench particles [-- kernels|filters|share|precision|traffic]`; benches/peers/filters.py runs `filters` beside
//! other packages, and `evidence lg|sv FILE N SEEDS`: log-evidences of the data in a file, one number a line. `share`: what resampling and migration take of a step. `precision`: f32 beside f64. `traffic`: what one resampling sends.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use spanwise::math::draws::Draws;
use spanwise::math::resampling::{Comb, Sums, quantise};
use spanwise::math::rng::Stream;
use spanwise::math::simd::Level;
use spanwise::particles::{FeynmanKac, Filter, Options, Precision};
use spanwise::solvers::smc::data::Observations;
use spanwise::solvers::smc::models::{
    Built, BuiltIn, Proposal, StateSpace, linear_gaussian, lorenz_96, stochastic_volatility,
};
use spanwise::team::{Solo, threads};

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

/// Median nanoseconds an item.
fn nanoseconds(items: usize, mut work: impl FnMut()) -> f64 {
    let runs = (0..15).map(|_| {
        let start = Instant::now();
        (0..200).for_each(|_| work());
        start.elapsed().as_secs_f64() / 200.0 / items as f64 * 1e9
    });
    median(runs.collect())
}

fn kernels(level: Level) {
    let n = 1024;
    let mut x = vec![0.0; n];
    let at = Draws::new(level, 1, Stream::ParticlesMutate, 0).at(4096);
    let normals = nanoseconds(n, || at.normals(0, black_box(&mut x)));
    let uniforms = nanoseconds(n, || at.uniforms(0, black_box(&mut x)));
    at.normals(0, &mut x);
    let mut prefix = vec![0u64; n];
    let mut sums = Sums::default();
    let weights = nanoseconds(n, || sums = quantise(level, black_box(&x), 4.5, 52, &mut prefix));
    let comb = Comb { n: n as u64, total: sums.total, offset: sums.total / 3 };
    let mut counts = vec![0u64; n];
    let offspring = nanoseconds(n, || comb.offspring(level, 0, black_box(&prefix), black_box(&mut counts)));
    println!(
        "{:9} normals {normals:.2} ns, uniforms {uniforms:.2} ns, integer weights {weights:.2} ns, offspring {offspring:.2} ns",
        level.name()
    );
}

fn built(input: &impl BuiltIn) -> Box<dyn StateSpace> {
    match input.build(&|_, _, _| unreachable!("no files")) {
        Ok(Built::StateSpace(model)) => model,
        _ => unreachable!("a state-space model"),
    }
}

/// Data near those of the models: what they are does not matter for speed.
fn data(components: usize, times: usize) -> Arc<Observations> {
    let mut values = vec![0.0; components * times];
    Draws::new(Level::Portable, 7, Stream::ParticlesData, 0).normals(0, &mut values);
    Arc::new(Observations { components, times: (0..times).map(|k| k as f64).collect(), values })
}

/// One island, systematic resampling below `threshold`.
fn options(particles: usize, threshold: f64, seed: u64, level: Level) -> Options {
    Options { threshold, ..Options::new(particles, 1, seed, level) }
}

fn filter(name: &str, flow: &dyn FeynmanKac, level: Level, particles: usize, threshold: f64) {
    let times = flow.horizon();
    let team = Solo;
    let mut rates = Vec::new();
    let mut last = 0.0;
    for seed in 0..5 {
        let options = options(particles, threshold, seed, level);
        let mut filter = Filter::new(flow, options, &team);
        let start = Instant::now();
        for _ in 0..times {
            filter.step(flow, &team).expect("a step");
        }
        rates.push(particles as f64 * times as f64 / start.elapsed().as_secs_f64());
        last = filter.islands[0].log_evidence;
    }
    let rate = median(rates);
    let when = if threshold >= 1.0 { "resampled at every step" } else { "resampled below half" };
    println!(
        "{:9} {name} N = {particles:8}, T = {times}, {when}: {:.1} M particle-steps/s (log Z {last:.3})",
        level.name(),
        rate / 1e6
    );
}

/// Filters of so many seeds, resampled at every step: median seconds and the log-evidences.
fn evidence(flow: &dyn FeynmanKac, particles: usize, seeds: u64) {
    let (mut seconds, mut found) = (Vec::new(), Vec::new());
    for seed in 1..=seeds {
        let start = Instant::now();
        let mut filter = Filter::new(flow, options(particles, 1.0, seed, Level::detect()), &Solo);
        (0..flow.horizon()).for_each(|_| filter.step(flow, &Solo).expect("a step"));
        seconds.push(start.elapsed().as_secs_f64());
        found.push(format!("{:.6}", filter.islands[0].log_evidence));
    }
    println!("seconds {:.4}", median(seconds));
    println!("log Z {}", found.join(" "));
}

/// Median seconds of a step after the first, of filters with either options that step in turn.
fn paired(flow: &dyn FeynmanKac, options: impl Fn(u64) -> [Options; 2]) -> [f64; 2] {
    let mut seconds = [Vec::new(), Vec::new()];
    for seed in 0..5 {
        let mut filters = options(seed).map(|options| Filter::new(flow, options, &Solo));
        for step in 0..flow.horizon() {
            for (filter, seconds) in filters.iter_mut().zip(&mut seconds) {
                let start = Instant::now();
                filter.step(flow, &Solo).expect("a step");
                // The first step draws the initial law.
                if step > 0 {
                    seconds.push(start.elapsed().as_secs_f64());
                }
            }
        }
    }
    seconds.map(median)
}

/// What a step that resamples takes more than one that does not, over the step.
fn share(name: &str, flow: &dyn FeynmanKac, level: Level, particles: usize) {
    let [without, with] = paired(flow, |seed| [0.0, 1.0].map(|threshold| options(particles, threshold, seed, level)));
    println!(
        "{:9} {name} N = {particles}: {:.2} ns a particle and step, of which resampling and migration {:.0} %",
        level.name(),
        with * 1e9 / particles as f64,
        100.0 * (1.0 - without / with)
    );
}

/// A step in single precision beside one in double, both with a resampling.
fn precision(name: &str, flow: &dyn FeynmanKac, level: Level, particles: usize) {
    let [double, single] = paired(flow, |seed| {
        [Precision::F64, Precision::F32].map(|precision| Options { precision, ..options(particles, 1.0, seed, level) })
    });
    let each = |seconds: f64| seconds * 1e9 / particles as f64;
    println!(
        "{:9} {name} N = {particles}: {:.2} ns a particle and step in f64, {:.2} in f32",
        level.name(),
        each(double),
        each(single)
    );
}

/// Traffic of a resampling on ranks of one process, means over the steps after the first.
fn traffic(name: &str, flow: &dyn FeynmanKac, particles: usize) {
    println!("\n{name}, N = {particles}, a resampling at every step; 2 + dimension words a distinct ancestor\n");
    println!("| ranks | copied, of N | crossing ranks, of N | sent, kB | bound, kB | messages | bound |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    let words = 2 + flow.dimension() as u64;
    for ranks in [1, 2, 4, 8, 16] {
        let found = threads::run(ranks, |team| {
            let options = options(particles, 1.0, 1, Level::detect());
            let mut filter = Filter::new(flow, options, team);
            let mut total = [0u64; 4];
            for _ in 0..flow.horizon() {
                filter.step(flow, team).expect("a step");
                let t = filter.traffic;
                let sent: Vec<u64> = team.gather(&[t.bytes, t.messages]);
                let all = |k| sent.iter().skip(k).step_by(2).sum::<u64>();
                total.iter_mut().zip([t.copies, t.crossing, all(0), all(1)]).for_each(|(total, x)| *total += x);
            }
            total
        });
        let mean = |k: usize| found[0][k] as f64 / (flow.horizon() - 1) as f64;
        println!(
            "| {ranks} | {:.3} | {:.4} | {:.1} | {:.1} | {:.1} | {} |",
            mean(0) / particles as f64,
            mean(1) / particles as f64,
            mean(2) / 1e3,
            mean(1) * 8.0 * words as f64 / 1e3,
            mean(3),
            2 * ranks - 1
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |w: &str| words.is_empty() || words.iter().any(|x| x == w);
    let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let levels: Vec<Level> = Level::ALL.into_iter().rev().filter(|l| l.is_available()).collect();
    if wanted("kernels") {
        levels.iter().for_each(|l| kernels(*l));
    }
    let lg = built(&linear_gaussian::Input {
        coefficient: 0.9,
        state_sd: 1.0,
        gain: 1.0,
        observation_sd: 1.0,
        initial_mean: 0.0,
        initial_sd: None,
    });
    let sv = built(&stochastic_volatility::Input { mean: -1.0, persistence: 0.95, volatility: 0.25 });
    let ring = built(&toml::from_str::<lorenz_96::Input>("observation_sd = 20.0").expect("the defaults"));
    let flow = |model: &dyn StateSpace, components, times| {
        model.flow(&data(components, times), Proposal::Bootstrap).expect("a flow")
    };
    if let [word, model, file, particles, seeds] = &words[..]
        && word == "evidence"
    {
        let text = std::fs::read_to_string(file).expect("a file of numbers");
        let values: Vec<f64> = text.lines().map(|line| line.parse().expect("a number")).collect();
        let times = (0..values.len()).map(|k| k as f64).collect();
        let data = Arc::new(Observations { components: 1, times, values });
        let model = if model == "lg" { &lg } else { &sv };
        let flow = model.flow(&data, Proposal::Bootstrap).expect("a flow");
        evidence(flow.as_ref(), particles.parse().expect("particles"), seeds.parse().expect("seeds"));
        return;
    }
    if wanted("filters") {
        for level in levels.iter().filter(|l| **l != Level::Portable) {
            for (name, model) in [("linear Gaussian", &lg), ("stochastic volatility", &sv)] {
                for (particles, times) in [(100_000, 300), (1_000_000, 30)] {
                    let flow = flow(model.as_ref(), 1, times);
                    filter(name, flow.as_ref(), *level, particles, 1.0);
                    if particles == 100_000 {
                        filter(name, flow.as_ref(), *level, particles, 0.5);
                    }
                }
            }
        }
    }
    if wanted("share") {
        share("stochastic volatility, d = 1,", flow(sv.as_ref(), 1, 30).as_ref(), levels[0], 100_000);
        share("stochastic volatility, d = 1,", flow(sv.as_ref(), 1, 30).as_ref(), levels[0], 1_000_000);
        share("Lorenz 96, d = 40,", flow(ring.as_ref(), 40, 10).as_ref(), levels[0], 20_000);
    }
    if wanted("precision") {
        for particles in [100_000, 1_000_000] {
            precision("stochastic volatility, d = 1,", flow(sv.as_ref(), 1, 30).as_ref(), levels[0], particles);
        }
        precision("Lorenz 96, d = 40,", flow(ring.as_ref(), 40, 10).as_ref(), levels[0], 20_000);
    }
    if wanted("traffic") {
        traffic("stochastic volatility", flow(sv.as_ref(), 1, 30).as_ref(), 1_000_000);
        traffic("Lorenz 96, d = 40", flow(ring.as_ref(), 40, 5).as_ref(), 65_536);
    }
}
