//! Exact sums over ranks.

use crate::math::exact::Exact;
use crate::team::{Partition, Team};

/// Sums up to this many go to every rank; more are shared out.
const FEW: usize = 16;

/// The sum over all ranks of each of `parts` (as many on every rank), rounded once; on every rank, with the same bits
/// however the terms were shared out. Collective.
pub fn total(team: &dyn Team, parts: &[Exact]) -> Vec<f64> {
    let words: Vec<u64> = parts.iter().flat_map(Exact::words).collect();
    if team.size() == 1 {
        return parts.iter().map(Exact::value).collect();
    }
    if parts.len() <= FEW {
        let all: Vec<u64> = team.gather(&words);
        return added(&all, parts.len());
    }
    let part = team.split(parts.len());
    let cut = |items: std::ops::Range<usize>| words[items.start * Exact::WORDS..items.end * Exact::WORDS].to_vec();
    let send: Vec<Vec<u64>> =
        (0..team.size()).map(|q| cut(Partition::new(parts.len(), q, team.size()).mine())).collect();
    let received = team.exchange(&send);
    let mine = added(&received.concat(), part.mine().len());
    let mut all = vec![0.0; parts.len()];
    team.gather_into(part, &mine, &mut all);
    all
}

/// Sums of `count` each, one after the other, added up.
fn added(words: &[u64], count: usize) -> Vec<f64> {
    if count == 0 {
        return Vec::new();
    }
    let mut sums = vec![Exact::default(); count];
    for (i, words) in words.chunks_exact(Exact::WORDS).enumerate() {
        sums[i % count].merge(&Exact::from_words(words));
    }
    sums.iter().map(Exact::value).collect()
}
