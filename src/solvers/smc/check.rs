//! What `spanwise check` says of an smc run: counts alone, nothing is computed.

use super::problem::MethodInput;
use super::setup::{self, ChainPosed, FilterPosed, Posed, SamplerPosed};
use super::smoothing::SmoothingInput;
use crate::error::Result;
use crate::input::Input;
use crate::particles::layout::Layout;
use crate::particles::{Population, TILE};
use crate::solvers::Estimate;

/// Bytes that the program, MPI and HDF5 hold before any problem is built.
const BASE: u64 = 32 << 20;

pub fn check(input: &Input, ranks: usize, threads: usize) -> Result<Estimate> {
    match setup::pose(input)? {
        Posed::Filter(posed) => Ok(filter(posed, ranks, threads)),
        Posed::Sampler(posed) => Ok(sampler(posed, ranks, threads)),
        Posed::Chain(posed) => Ok(chain(posed, ranks)),
        Posed::Gibbs(posed) => Ok(gibbs(posed, ranks, threads)),
    }
}

/// As a filter's, whose steps a draw takes one after the other.
fn gibbs(posed: FilterPosed, ranks: usize, threads: usize) -> Estimate {
    let (times, d, method) = (posed.data.len() as u64, posed.flow.dimension() as u64, posed.method.clone());
    let mut estimate = filter(posed, ranks, threads);
    let chains = method.islands as u64;
    let largest = (method.particles as u64 * chains).div_ceil(ranks as u64);
    let kept = 8 * chains * times * d * (method.iterations / method.thin);
    let moments = 8 * 4 * chains * times * d;
    let past = SmoothingInput::Genealogy {}.kept(largest, times);
    estimate.memory.push(("the past of the particles".into(), 8 * (d + 3) * past));
    estimate.memory.push(("trajectories and their moments".into(), 2 * kept + moments));
    estimate.bytes_per_step *= times;
    estimate.messages_per_step *= times;
    estimate.output_bytes = 2 * kept + moments;
    estimate.checkpoint_bytes = kept + moments;
    estimate
}

fn chain(posed: ChainPosed, ranks: usize) -> Estimate {
    let ChainPosed { problem, method, family, dimension, times } = posed;
    let (particles, places) = stored(&method, ranks);
    let parameters: Vec<String> = family.parameters().into_iter().map(|p| p.name).collect();
    let trace = 8 * method.iterations * parameters.len() as u64;
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
            ("program, MPI and HDF5".to_string(), BASE),
            (
                "states, log-weights and integer weights".into(),
                Population::bytes(particles, dimension as u64, false, false),
            ),
            ("sums of tiles".into(), places * 160),
            ("the chain".into(), trace),
        ],
        bytes_per_step: bytes * times as u64,
        messages_per_step: messages * times as u64,
        seconds_per_step: None,
        output_bytes: 2 * trace,
        checkpoint_bytes: trace,
    }
}

/// Particles of the largest rank, in whole tiles, and their tiles.
fn stored(method: &MethodInput, ranks: usize) -> (u64, u64) {
    // Each piece of an island is stored in whole tiles.
    // Chains of waste-free samplers are each on one rank.
    let layout = |rank| Layout::in_grains(method.islands, method.particles, method.waste_free, rank, ranks);
    let places = (0..ranks.min(64)).map(|rank| layout(rank).places.len() as u64).max().unwrap_or(0);
    (places * TILE as u64, places)
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
    (all * (8 + 48 + 16 + 16) + (crossing / ranks as f64) as u64 * 8 * (2 + d), 4 + 4)
}

fn sampler(posed: SamplerPosed, ranks: usize, threads: usize) -> Estimate {
    let SamplerPosed { problem, method, sampler } = posed;
    let d = sampler.target.dimension() as u64;
    let (particles, places) = stored(&method, ranks);
    let largest = (method.particles as u64 * method.islands as u64).div_ceil(ranks as u64);
    let states = Population::bytes(particles, d + 2, false, false);
    let chains = MethodInput { particles: method.particles / method.waste_free, waste_free: 1, ..method.clone() };
    let moved = match method.waste_free {
        // The first run is one island of the same.
        1 => ("where particles began", 8 * particles * (d + 2)),
        _ => ("the present states of the chains", Population::bytes(stored(&chains, ranks).0, d + 2, false, false)),
    };
    let memory = vec![
        ("program, MPI and HDF5".to_string(), BASE),
        ("states, log-weights and integer weights".into(), states),
        (moved.0.into(), moved.1),
        ("sums of tiles".into(), places * 160),
        ("tiles of each thread".into(), threads as u64 * 48 * (d + 2) * TILE as u64),
        ("a coordinate on its way to a file".into(), 8 * largest),
    ];
    let state = 8 * method.particles as u64 * method.islands as u64 * (d + 3);
    let mut understood = format!("{} islands of {}", method.islands, method.particles);
    if method.waste_free > 1 {
        understood += &format!(", in chains of {} states that are all kept", method.waste_free);
    }
    // A rung: 13 rounds of 15 powers, moments of the population, one resampling.
    let rounds = 14 + d + d * (d + 1) / 2;
    Estimate {
        problem: vec![
            ("model".to_string(), problem.model.about().summary.to_string()),
            ("coordinates".into(), d.to_string()),
            ("particles".into(), understood),
        ],
        memory,
        bytes_per_step: if ranks > 1 { ranks as u64 * (13 * 15 * 48 + 8 * 64 * rounds) } else { 0 },
        messages_per_step: if ranks > 1 { rounds } else { 0 },
        seconds_per_step: None,
        output_bytes: state,
        checkpoint_bytes: state,
    }
}

fn filter(posed: FilterPosed, ranks: usize, threads: usize) -> Estimate {
    let FilterPosed { problem, method, model, data, flow } = posed;
    let (n, islands) = (method.particles as u64, method.islands as u64);
    let d = flow.dimension() as u64;
    let largest = (n * islands).div_ceil(ranks as u64);
    let (particles, places) = stored(&method, ranks);
    let understood = vec![
        ("model".to_string(), problem.model.about().summary.to_string()),
        ("state".into(), model.coordinates().join(", ")),
        ("times".into(), data.len().to_string()),
        ("missing".into(), data.values.iter().filter(|v| v.is_nan()).count().to_string()),
        ("particles".into(), format!("{islands} islands of {n}")),
    ];
    let smoothing = method.smoothing;
    let eves = method.lee_whiteley || method.chan_lai;
    let mut memory = vec![
        ("program, MPI and HDF5".to_string(), BASE),
        ("states, log-weights and integer weights".into(), Population::bytes(particles, d, smoothing.is_some(), eves)),
        ("sums of tiles".into(), places * 160),
        ("a tile of each thread".into(), threads as u64 * 8 * d * TILE as u64),
        // `state` writes one coordinate at a time.
        ("a coordinate on its way to a file".into(), 8 * largest),
    ];
    if flow.is_twisted() {
        memory.push((
            "the particles with weights that do not look ahead".into(),
            Population::bytes(particles, d, smoothing.is_some(), eves),
        ));
    }
    if eves {
        // (index, sum) of every particle, sorted by its first ancestor.
        memory.push(("sums by first ancestors".into(), 32 * largest));
    }
    if let Some(kind) = smoothing {
        memory.push(("the past of the particles".into(), 8 * (d + 3) * kind.kept(largest, data.len() as u64)));
    }
    let (bytes, messages) = sent(&method, d, ranks);
    let state = 8 * n * islands * (d + 1 + u64::from(eves));
    Estimate {
        problem: understood,
        memory,
        bytes_per_step: bytes,
        messages_per_step: messages,
        seconds_per_step: None,
        output_bytes: state + 8 * data.values.len() as u64 * 4,
        checkpoint_bytes: state,
    }
}
