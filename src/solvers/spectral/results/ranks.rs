//! Exact sums over ranks.

use num_complex::Complex;

use super::super::domain::Domain;
use super::super::transform::Scales;
use super::spectra::{Decay, by_axis, decay};
use crate::math::exact::Exact;
use crate::math::real::Real;
use crate::team::{Partition, Team};

/// Sums up to this many go to every rank; more are shared out.
const FEW: usize = 16;

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
    let part = team.split(parts.len());
    let cut = |items: std::ops::Range<usize>| parts[items].iter().flat_map(Exact::words).collect();
    let send: Vec<Vec<u64>> =
        (0..team.size()).map(|q| cut(Partition::new(parts.len(), q, team.size()).mine())).collect();
    let received = team.exchange(&send);
    let mine = added(&received, part.mine().len());
    let mut all = vec![0.0; parts.len()];
    team.gather_into(part, &mine, &mut all);
    all
}

/// How well the kept modes resolve some arrays together: the [`Decay`] along each of the user's axes, first to last; none
/// where there is nothing but a mean. Collective.
pub fn resolution<T: Real>(
    team: &dyn Team,
    domain: &Domain,
    scales: &Scales,
    arrays: &[&[Complex<T>]],
) -> Vec<Option<Decay>> {
    let epsilon = if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let along = |axis| decay(&total(team, &by_axis(domain, scales, axis, arrays)), epsilon);
    (3 - domain.dimension..3).map(along).collect()
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
