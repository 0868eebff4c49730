//! Systematic resampling of particles in the order of a coordinate, whatever slots and ranks they are on
//! [GerberChopinWhiteley2019]: neighbours on the comb are then neighbours in space, and for one real state the mean of a
//! smooth function after resampling differs from the weighted one by O(1/N) instead of O(N^−1/2).
//!
//! Ranks sort what they hold and share the order out by splitters. Any splitters give the same counts: prefix sums of whole
//! weights along the order do not depend on how it is cut.

use super::estimate::ordered;
use super::layout::{Layout, SLOT_BITS};
use super::population::Population;
use super::scheme::Weighed;
use crate::math::resampling::{Comb, from_words, to_words};
use crate::team::Team;

/// A particle in the order: its island, value and slot as one number, and its integer weight.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Item {
    /// Island, and the value as an ordered integer.
    place: [u64; 2],
    slot: u64,
    mass: u64,
}

impl Item {
    fn key(&self) -> ([u64; 2], u64) {
        (self.place, self.slot)
    }
}

/// Weight of an island that a rank holds in the order.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Share {
    rank: u64,
    island: u64,
    mass: [u64; 2],
}

/// Offspring of every lane of this rank ([`Layout::at`]) of the islands that are due. Collective.
pub(super) fn offspring(
    layout: &Layout,
    population: &Population,
    weighed: &Weighed,
    due: &[bool],
    coordinate: usize,
    team: &dyn Team,
) -> Vec<u64> {
    let mut mine = Vec::new();
    for (t, place) in layout.places.iter().enumerate().filter(|(_, p)| due[p.island]) {
        let mut before = 0;
        for i in 0..place.len {
            let reach = population.masses[layout.at(t, i)];
            let value = ordered(population.at(t, coordinate, i));
            let slot = (place.first + i) as u64;
            mine.push(Item { place: [place.island as u64, value], slot, mass: reach - before });
            before = reach;
        }
    }
    mine.sort_unstable_by_key(Item::key);
    let mine = shared_out(mine, team);
    // Weight of the first island here that ranks before this one hold.
    let mut shares: Vec<Share> = Vec::new();
    for same in mine.chunk_by(|a, b| a.place[0] == b.place[0]) {
        let mass: u128 = same.iter().map(|i| u128::from(i.mass)).sum();
        shares.push(Share { rank: team.rank() as u64, island: same[0].place[0], mass: to_words(mass) });
    }
    let all = if team.size() == 1 { shares } else { team.gather(&shares) };
    let before = |island: u64| -> u128 {
        let earlier = all.iter().filter(|s| s.island == island && (s.rank as usize) < team.rank());
        earlier.map(|s| from_words(&s.mass)).sum()
    };
    let owner = team.split(layout.islands * layout.each);
    let mut send: Vec<Vec<u64>> = vec![Vec::new(); team.size()];
    for (k, same) in mine.chunk_by(|a, b| a.place[0] == b.place[0]).enumerate() {
        let island = same[0].place[0] as usize;
        let comb = Comb { n: layout.each as u64, total: weighed.totals[island], offset: weighed.offsets[island] };
        // Only the first island here may have begun on another rank.
        let mut reach = if k == 0 { before(same[0].place[0]) } else { 0 };
        let mut from = comb.below(reach);
        for item in same {
            reach += u128::from(item.mass);
            let to = comb.below(reach);
            if to > from {
                let index = island * layout.each + item.slot as usize;
                send[owner.owner(index)].extend([(island as u64) << SLOT_BITS | item.slot, to - from]);
            }
            from = to;
        }
    }
    let received = if team.size() == 1 { send } else { team.exchange(&send) };
    let mut counts = vec![0; layout.stored()];
    for one in received.iter().flat_map(|r| r.chunks_exact(2)) {
        let (island, slot) = ((one[0] >> SLOT_BITS) as usize, (one[0] & ((1 << SLOT_BITS) - 1)) as usize);
        // Pieces of a rank are of islands in a row.
        let piece = &layout.pieces()[island - layout.pieces()[0].island];
        counts[layout.at(piece.tile, slot - piece.first)] = one[1];
    }
    counts
}

/// Most samples of a rank: every rank holds those of all, 32 bytes each, 20 MB on 10⁴ ranks.
const LARGEST_SAMPLE: usize = 64;

/// What this rank gets of the order of all items, in order, from sorted parts. Collective.
fn shared_out(mine: Vec<Item>, team: &dyn Team) -> Vec<Item> {
    let ranks = team.size();
    if ranks == 1 {
        return mine;
    }
    // Samples at regular places of every rank; every so many of them all part the order about evenly: with P a rank no rank gets
    // more than twice its share. Fewer on many ranks, whose particles are alike.
    let each = ranks.min(LARGEST_SAMPLE);
    let samples: Vec<Item> =
        (0..each).filter_map(|k| mine.get(mine.len() * (2 * k + 1) / (2 * each)).copied()).collect();
    let mut samples = team.gather(&samples);
    samples.sort_unstable_by_key(Item::key);
    let mut send: Vec<Vec<Item>> = Vec::new();
    let mut rest = &mine[..];
    for k in 1..ranks {
        let end = match samples.get(samples.len() * k / ranks) {
            Some(splitter) => rest.partition_point(|i| i.key() < splitter.key()),
            None => rest.len(),
        };
        send.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    send.push(rest.to_vec());
    let mut got: Vec<Item> = team.exchange(&send).into_iter().flatten().collect();
    got.sort_unstable_by_key(Item::key);
    got
}
