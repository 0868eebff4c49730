//! What `spanwise check` says of an smc run: counts alone, nothing is computed.

use super::problem::MethodInput;
use super::setup::{self, ChainPosed, FilterPosed, Posed, SamplerPosed};
use super::smoothing::SmoothingInput;
use crate::error::Result;
use crate::input::Input;
use crate::particles::layout::Layout;
use crate::particles::{Population, Precision, TILE};
use crate::solvers::{Estimate, program};

/// What HDF5 keeps of a dataset of `bytes` that is being written: its cache of chunks.
fn chunks(bytes: u64) -> u64 {
    bytes.min(64 << 20)
}

pub fn check(input: &Input, ranks: usize, threads: usize) -> Result<Estimate> {
    let estimate = match setup::pose(input)? {
        Posed::Filter(posed) => filter(posed, ranks, threads),
        Posed::Sampler(posed) => sampler(posed, ranks, threads),
        Posed::Chain(posed) => chain(posed, ranks),
        Posed::Squared(posed) => squared(posed, ranks, threads),
        Posed::Gibbs(posed, family) => gibbs(posed, family.map_or(0, |f| f.parameters().len()), ranks, threads),
    };
    Ok(Estimate { size_key: "method.particles".into(), ..estimate })
}

/// As a filter's, whose steps a draw takes one after the other.
fn gibbs(mut posed: FilterPosed, parameters: usize, ranks: usize, threads: usize) -> Estimate {
    let (times, d, method) = (posed.data.len() as u64, posed.flow.dimension() as u64, posed.method.clone());
    let predicted = posed.free.take().map_or(0, |free| free.times.len() * free.components.len());
    let seen = 8 * (posed.data.times.len() + posed.data.values.len()) as u64;
    let mut estimate = filter(posed, ranks, threads);
    let chains = method.islands as u64;
    let mut largest = (method.particles as u64 * chains).div_ceil(ranks as u64);
    let (p, trace) = (parameters as u64, 8 * chains * method.iterations * parameters as u64);
    if parameters > 0 {
        // Each thread draws one chain at a time, whole.
        let (each, _) = stored_in_one(method.particles);
        largest = method.particles as u64 * threads as u64;
        estimate.memory.truncate(1);
        let of_threads = threads as u64 * Population::bytes(each, d, method.precision, true, false);
        estimate.memory.push(("states and weights of a chain of each thread".into(), of_threads));
        estimate.memory.push(("parameters of the chains".into(), 2 * trace));
        estimate.problem.push(("parameters".into(), p.to_string()));
        // One gather of all chains an iteration.
        estimate.bytes_per_step = if ranks > 1 { 8 * chains * d } else { 0 };
        estimate.messages_per_step = u64::from(ranks > 1);
    }
    let kept = 8 * chains * times * d * (method.iterations / method.thin);
    let kept = kept + 8 * chains * predicted as u64 * (method.iterations / method.thin);
    let moments = 8 * 4 * chains * times * d;
    let past = SmoothingInput::Genealogy {}.kept(largest, times);
    estimate.memory.push(("the past of the particles".into(), 8 * (d + 3) * past));
    estimate.memory.push(("trajectories and their moments".into(), 2 * kept + moments));
    estimate.bytes_per_step *= times;
    estimate.messages_per_step *= if parameters > 0 { 1 } else { times };
    estimate.output_bytes = 2 * kept + moments + 2 * trace + seen;
    estimate.checkpoint_bytes = kept + moments + trace;
    estimate
}

fn chain(posed: ChainPosed, ranks: usize) -> Estimate {
    let ChainPosed { problem, method, family, dimension, times, data, free, .. } = posed;
    let (particles, places) = stored(&method, ranks);
    let parameters: Vec<String> = family.parameters().into_iter().map(|p| p.name).collect();
    let predicted = free.map_or(0, |free| (free.times.len() - free.seen) * free.components.len());
    let trace = 8 * method.iterations * (parameters.len() + predicted) as u64;
    let (bytes, messages) = sent(&method, dimension as u64, ranks);
    Estimate {
        problem: vec![
            ("model".to_string(), problem.model.about().summary.to_string()),
            ("parameters".into(), parameters.join(", ")),
            (
                "particles".into(),
                format!("{} islands of {}, {times} times a proposal", method.islands, method.particles),
            ),
        ],
        memory: vec![
            program(ranks),
            (
                "states, log-weights and integer weights".into(),
                Population::bytes(particles, dimension as u64, method.precision, false, false),
            ),
            ("sums of tiles".into(), places * 160),
            ("the chain".into(), trace),
        ],
        bytes_per_step: bytes * times as u64,
        messages_per_step: messages * times as u64,
        output_bytes: 2 * trace + 8 * (data.times.len() + data.values.len()) as u64,
        checkpoint_bytes: trace,
        ..Estimate::default()
    }
}

/// Every rank holds the filters of its share of the parameters.
fn squared(posed: ChainPosed, ranks: usize, threads: usize) -> Estimate {
    let ChainPosed { problem, method, family, dimension, times, data, free, .. } = posed;
    let parameters: Vec<String> = family.parameters().into_iter().map(|p| p.name).collect();
    let (d, p, all) = (dimension as u64, parameters.len() as u64, (method.islands * method.parameter_particles) as u64);
    let (each, tiles) = stored_in_one(method.particles);
    // What a filter and its model are besides their particles, with the holes between small pieces (measured: 1120 to
    // 1210 bytes).
    let filter = Population::bytes(each, d, method.precision, false, false) + tiles * 160 + 1160;
    // Parameters, weight and likelihood, and the seeds: few of a particle.
    let numbers = 8 * all * (p + 2 + 8);
    let mut understood = vec![
        ("model".to_string(), problem.model.about().summary.to_string()),
        ("parameters".into(), parameters.join(", ")),
        (
            "particles".into(),
            format!(
                "{} islands of {} parameters, each with a filter of {} over {times} times",
                method.islands, method.parameter_particles, method.particles
            ),
        ),
    ];
    let mut memory = vec![
        program(ranks),
        ("filters".into(), (all.div_ceil(ranks as u64) + threads as u64) * filter),
        ("parameters, weights and seeds".into(), 2 * numbers),
    ];
    let (m, mut drawn) = (data.components as u64, 0);
    if let Some(free) = &free {
        let after = (free.times.len() - free.seen) as u64;
        understood.push(("predicted".into(), format!("each observation, and {after} times after")));
        drawn = 8 * all * after * m;
        // Draws, and mean, variance and probability of every filter; observations of a filter on each thread.
        let each = Population::bytes(each, m, Precision::F64, false, false);
        memory.push(("observations as predicted".into(), 4 * drawn + threads as u64 * each));
    }
    let told = if free.is_some() { 3 * m } else { 0 };
    Estimate {
        problem: understood,
        memory,
        // Likelihoods of all, what was predicted, and at a resampling what moved.
        bytes_per_step: if ranks > 1 { 8 * all * (5 + p + told) } else { 0 },
        messages_per_step: if ranks > 1 { 2 + u64::from(told > 0) } else { 0 },
        output_bytes: 2 * numbers + drawn + 8 * data.values.len() as u64 * 2,
        checkpoint_bytes: numbers,
        ..Estimate::default()
    }
}

/// Particles of a filter on one rank, as they are stored, and their tiles.
fn stored_in_one(particles: usize) -> (u64, u64) {
    let layout = Layout::of(1, particles, 0, 1);
    (layout.stored() as u64, layout.places.len() as u64)
}

/// Those of the largest rank.
fn stored(method: &MethodInput, ranks: usize) -> (u64, u64) {
    // Chains of waste-free samplers are each on one rank.
    let layout = |rank| Layout::in_grains(method.islands, method.particles, method.waste_free, rank, ranks);
    let largest = (0..ranks.min(64)).map(layout).max_by_key(Layout::stored).expect("a rank");
    (largest.stored() as u64, largest.places.len() as u64)
}

/// Bytes and messages of a rank in a step of a filter with a resampling: gathers of a record of each piece, and what
/// migrates, about 0.31 √(PN) particles of weights with a coefficient of variation of one, shared among the ranks.
fn sent(method: &MethodInput, d: u64, ranks: usize) -> (u64, u64) {
    if ranks == 1 {
        return (0, 0);
    }
    let (n, islands) = (method.particles as f64, method.islands as f64);
    let all = Layout::of(method.islands, method.particles, 0, ranks).all.len() as u64;
    let crossing = (0.31 * (n * ranks as f64 / islands).sqrt() * islands).min(n * islands);
    (
        all * (8 + 48 + 16 + 16)
            + (crossing / ranks as f64) as u64 * (16 + (method.precision.bytes() * d).next_multiple_of(8)),
        4 + 4,
    )
}

fn sampler(posed: SamplerPosed, ranks: usize, threads: usize) -> Estimate {
    let SamplerPosed { problem, method, sampler, cohorts } = posed;
    let d = sampler.target.dimension() as u64;
    let (particles, places) = stored(&method, ranks);
    let largest = (method.particles as u64 * method.islands as u64).div_ceil(ranks as u64);
    let states = Population::bytes(particles, d + 2, method.precision, false, false);
    let chains = MethodInput { particles: method.particles / method.waste_free, waste_free: 1, ..method.clone() };
    let moved = match method.waste_free {
        // The first run is one island of the same.
        1 => ("where particles began", 8 * particles * (d + 2)),
        _ => (
            "the present states of the chains",
            Population::bytes(stored(&chains, ranks).0, d + 2, method.precision, false, false),
        ),
    };
    let mut memory = vec![
        program(ranks),
        ("states, log-weights and integer weights".into(), states),
        (moved.0.into(), moved.1),
        ("sums of tiles".into(), places * 160),
        ("tiles of each thread".into(), threads as u64 * 48 * (d + 2) * TILE as u64),
        ("a coordinate on its way to a file".into(), 8 * largest + chunks(8 * largest)),
    ];
    let state = 8 * method.particles as u64 * method.islands as u64 * (d + 3);
    let mut understood = format!("{} islands of {}", method.islands, method.particles);
    if method.waste_free > 1 {
        understood += &format!(", in chains of {} states that are all kept", method.waste_free);
    }
    let mut understood = vec![
        ("model".to_string(), problem.model.about().summary.to_string()),
        ("coordinates".into(), d.to_string()),
        ("particles".into(), understood),
    ];
    let mut predicted = 0;
    for cohort in &cohorts {
        let (held, written) = cohort.bytes(method.islands);
        let one = written.div_ceil(ranks as u64) + 8 * particles;
        memory.push(("cases, and probabilities of one by every particle".into(), held + one));
        understood.push(("predicted cases".into(), cohort.cases.len().to_string()));
        predicted += written;
    }
    // A rung: 13 rounds of 15 powers, moments of the population, one resampling.
    let rounds = 14 + d + d * (d + 1) / 2;
    Estimate {
        problem: understood,
        memory,
        bytes_per_step: if ranks > 1 { ranks as u64 * (13 * 15 * 48 + 8 * 64 * rounds) } else { 0 },
        messages_per_step: if ranks > 1 { rounds } else { 0 },
        output_bytes: state + predicted,
        checkpoint_bytes: state,
        ..Estimate::default()
    }
}

fn filter(posed: FilterPosed, ranks: usize, threads: usize) -> Estimate {
    let FilterPosed { problem, method, model, data, flow, sort, free } = posed;
    let (n, islands) = (method.particles as u64, method.islands as u64);
    let d = flow.dimension() as u64;
    let largest = (n * islands).div_ceil(ranks as u64);
    let (particles, places) = stored(&method, ranks);
    let seen = free.as_ref().map_or(data.len(), |f| f.seen);
    let mut understood = vec![
        ("model".to_string(), problem.model.about().summary.to_string()),
        ("state".into(), model.coordinates().join(", ")),
        ("times".into(), seen.to_string()),
        ("missing".into(), data.values[..seen * data.components].iter().filter(|v| v.is_nan()).count().to_string()),
        ("particles".into(), format!("{islands} islands of {n}")),
    ];
    if let Some(free) = &free {
        understood.push(("predicted".into(), format!("each observation, and {} times after", free.times.len() - seen)));
    }
    let smoothing = method.smoothing;
    let eves = method.lee_whiteley || method.chan_lai;
    let mut memory = vec![
        program(ranks),
        (
            "states, log-weights and integer weights".into(),
            Population::bytes(particles, d, method.precision, smoothing.is_some(), eves),
        ),
        ("sums of tiles".into(), places * 160),
        ("a tile of each thread".into(), threads as u64 * 8 * d * TILE as u64),
        // `state` writes one coordinate at a time.
        ("a coordinate on its way to a file".into(), 8 * largest + chunks(8 * largest)),
    ];
    if flow.is_twisted() {
        memory.push(("weights that do not look ahead".into(), 16 * particles));
    }
    if free.is_some() {
        let m = data.components as u64;
        let drawn = Population::bytes(particles, m, Precision::F64, false, false);
        memory.push(("observations drawn for the particles".into(), drawn));
    }
    if sort.is_some() {
        // 32 bytes a particle: sorted, on their way, and sorted again.
        memory.push(("particles in the order of a coordinate".into(), 3 * 32 * largest));
    }
    if eves {
        // (index, place) of every particle, sorted by its first ancestor, and (index, sum) of those with descendants.
        memory.push(("sums by first ancestors".into(), (16 + 8 + 32) * largest));
    }
    if let Some(kind) = smoothing {
        memory.push(("the past of the particles".into(), 8 * (d + 3) * kind.kept(largest, data.len() as u64)));
    }
    let (mut bytes, messages) = sent(&method, d, ranks);
    if sort.is_some() && ranks > 1 {
        // Every particle goes to its place in the order, and its offspring come back.
        bytes += (32 + 16) * largest;
    }
    let state = 8 * n * islands * (d + 1 + u64::from(eves));
    Estimate {
        problem: understood,
        memory,
        bytes_per_step: bytes,
        messages_per_step: messages,
        output_bytes: state + 8 * data.values.len() as u64 * 4,
        checkpoint_bytes: state,
        ..Estimate::default()
    }
}
