//! What `spanwise check` says of a run of paths: counts alone.

use super::chain::LANES;
use super::committor;
use super::methods::MethodInput;
use super::setup;
use crate::error::Result;
use crate::input::Input;
use crate::math::simd::Level;
use crate::solvers::{Estimate, program};

pub fn check(input: &Input, ranks: usize, threads: usize) -> Result<Estimate> {
    if let MethodInput::Committor(method) = input.method()? {
        return committor::run::check(input, &method, ranks);
    }
    let asked = setup::read(input, Level::detect())?;
    let (chain, size) = (&asked.chain, asked.size);
    let blocks = size.paths / LANES;
    let mine = blocks.div_ceil(ranks);
    let values = (chain.steps + 1) * chain.dimension;
    let kept = size.replicates * asked.problem.output.paths_per_replicate.min(size.paths);
    let per_path = values + 1 + asked.method.values_per_path(chain);
    let held = 8 * (mine * LANES) as u64;
    let memory = vec![
        program(ranks),
        ("paths, noise and weights of a replicate".into(), held * per_path as u64),
        ("a second copy while resampling".into(), held * values as u64),
        ("kept paths".into(), 8 * (kept.div_ceil(ranks) * values) as u64),
        ("tables and clouds of the method".into(), 8 * asked.method.values_held() as u64),
        ("work space of the threads".into(), 8 * (threads * 12 * chain.block()) as u64),
    ];
    let mut problem = vec![
        ("coordinates".to_string(), chain.dimension.to_string()),
        ("times".into(), format!("{} of {}", chain.steps + 1, chain.time_step)),
        ("paths of a replicate".into(), size.paths.to_string()),
        ("replicates".into(), size.replicates.to_string()),
    ];
    problem.extend(asked.notes.iter().map(|n| ("note".to_string(), n.clone())));
    // Sums of marginals: the roots of a rank's trees of blocks; resampling: at worst every history moves.
    let roots = 2 * (usize::BITS - mine.leading_zeros()) as u64;
    let (bytes, messages) = match ranks {
        1 => (0, 0),
        _ => (8 * 2 * values as u64 * roots * (ranks as u64 - 1) + held * values as u64, 12 * (ranks as u64 - 1)),
    };
    let state = 8 * (kept * values + 7 * values + 8 * size.replicates) as u64 + (1 << 16);
    Ok(Estimate {
        problem,
        size_key: "method.paths".into(),
        memory,
        bytes_per_step: bytes,
        messages_per_step: messages,
        output_bytes: state + 8 * 5 * values as u64,
        checkpoint_bytes: state,
        ..Estimate::default()
    })
}
