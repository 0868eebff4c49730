//! Exact sums over ranks, and files that the first rank writes.

use std::ops::Range;

use num_complex::Complex;

use super::super::domain::{Block, Domain};
use super::super::transform::Scales;
use super::spectra::{Decay, Shells, by_axis, by_shell, decay, of_line};
use crate::error::Result;
use crate::math::exact::Exact;
use crate::math::real::Real;
use crate::team::{Partition, Team};

/// Sums up to this many go to every rank; more are shared out.
const FEW: usize = 16;

/// The block of every rank. Collective.
pub fn blocks(team: &dyn Team, mine: Block) -> Vec<Block> {
    let words = team.gather(&[mine.start, mine.count].concat().into_iter().map(|n| n as u64).collect::<Vec<_>>());
    let three = |words: &[u64]| std::array::from_fn(|a| words[a] as usize);
    words.chunks_exact(6).map(|words| Block { start: three(words), count: three(&words[3..]) }).collect()
}

/// What rank 0 writes beside the output: the names of the files, nothing on other ranks. Collective.
///
/// # Errors
/// That of `write`, on every rank.
pub fn from_first(team: &dyn Team, write: impl FnOnce() -> Result<Vec<String>>) -> Result<Vec<String>> {
    let written = if team.rank() == 0 { write() } else { Ok(Vec::new()) };
    team.agree(written)
}

/// The sum over all ranks of each of `parts` (as many on every rank), rounded once; on every rank, with the same bits
/// however the terms were shared out. Collective.
pub fn total(team: &dyn Team, parts: &[Exact]) -> Vec<f64> {
    if team.size() == 1 {
        return parts.iter().map(Exact::value).collect();
    }
    if parts.len() <= FEW {
        let words: Vec<u64> = parts.iter().flat_map(Exact::words).collect();
        return added(&[team.gather(&words)], parts.len());
    }
    let cut = |items: Range<usize>| parts[items].iter().flat_map(Exact::words).collect();
    shared_out(team, parts.len(), cut, |received: &[Vec<u64>], count| added(received, count))
}

/// `count` sums over all ranks: each rank adds up a part of them, of which `cut` gives its own terms.
fn shared_out<W: bytemuck::Pod>(
    team: &dyn Team,
    count: usize,
    cut: impl Fn(Range<usize>) -> Vec<W>,
    add: impl Fn(&[Vec<W>], usize) -> Vec<f64>,
) -> Vec<f64> {
    let send: Vec<Vec<W>> = (0..team.size()).map(|q| cut(Partition::new(count, q, team.size()).mine())).collect();
    let part = team.split(count);
    let mine = add(&team.exchange(&send), part.mine().len());
    let mut all = vec![0.0; count];
    team.gather_into(part, &mine, &mut all);
    all
}

/// The isotropic spectrum ([`by_shell`]) of some arrays together. Collective.
pub fn isotropic<T: Real>(
    team: &dyn Team,
    domain: &Domain,
    scales: &Scales,
    shells: &Shells,
    arrays: &[&[Complex<T>]],
) -> Vec<f64> {
    match domain.dimension {
        1 => line(team, domain, scales, arrays),
        _ => total(team, &by_shell(domain, scales, shells, arrays)),
    }
}

/// The spectrum along one internal axis ([`by_axis`]) of some arrays together. Collective.
pub fn along<T: Real>(
    team: &dyn Team,
    domain: &Domain,
    scales: &Scales,
    axis: usize,
    arrays: &[&[Complex<T>]],
) -> Vec<f64> {
    match domain.dimension {
        1 => line(team, domain, scales, arrays),
        _ => total(team, &by_axis(domain, scales, axis, arrays)),
    }
}

/// The spectrum of a one-dimensional domain, whose numbers may be millions: in plain sums, not in exact ones.
fn line<T: Real>(team: &dyn Team, domain: &Domain, scales: &Scales, arrays: &[&[Complex<T>]]) -> Vec<f64> {
    let energies = of_line(domain, scales, arrays);
    if team.size() == 1 {
        return energies;
    }
    let cut = |numbers: Range<usize>| energies[numbers].to_vec();
    shared_out(team, energies.len(), cut, |received: &[Vec<f64>], count| {
        (0..count).map(|i| received.iter().map(|part| part[i]).sum()).collect()
    })
}

/// How well the kept modes resolve some arrays together: the [`Decay`] along each of the user's axes, first to last; none
/// where there is nothing but a mean. Collective.
pub fn resolution<T: Real>(
    team: &dyn Team,
    domain: &Domain,
    scales: &Scales,
    arrays: &[&[Complex<T>]],
) -> Vec<Option<Decay>> {
    let epsilon = Real::to_f64(T::epsilon());
    (3 - domain.dimension..3).map(|axis| decay(&along(team, domain, scales, axis, arrays), epsilon)).collect()
}

/// Sums of `count` each, one after the other, added up.
fn added(words: &[Vec<u64>], count: usize) -> Vec<f64> {
    if count == 0 {
        return Vec::new();
    }
    let mut sums = vec![Exact::default(); count];
    for (i, words) in words.iter().flat_map(|w| w.chunks_exact(Exact::WORDS)).enumerate() {
        sums[i % count].merge(&Exact::from_words(words));
    }
    sums.iter().map(Exact::value).collect()
}
