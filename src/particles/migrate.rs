//! From offspring to particles: survivors stay in their slots, surplus copies fill the slots of the dead.
//!
//! Within an island, the surplus (slot i repeated O_i − 1 times, in order of slots) is matched to the dead slots (in
//! order). Each rank knows from everyone's counts which part of this match is its own; what crosses ranks is sent to the
//! rank of the dead slot, each distinct ancestor once with its multiplicity. No list of all particles exists anywhere.

use super::layout::{Layout, Piece};
use super::model::TILE;
use super::population::{Carried, LEAF, Values, block_place};
use crate::crew;
use crate::math::simd::{Level, compress};
use crate::team::Team;

/// Counts of one resampling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Copies made, over all ranks: the number of dead slots.
    pub copies: u64,
    /// Copies whose ancestor was on another rank, over all ranks.
    pub crossing: u64,
    /// Bytes this rank sent.
    pub bytes: u64,
    /// Messages this rank sent.
    pub messages: u64,
}

/// Dead slots and surplus copies of a tile, written over its masses: dead lanes from the front, surplus entries
/// (copies · `TILE` + lane) at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TileLists {
    pub dead: u32,
    pub entries: u32,
    pub surplus: u64,
}

const LANE_BITS: u32 = TILE.trailing_zeros();

/// Room of a thread for the counts of a tile and their lists.
pub(super) struct Room {
    pub counts: Box<[u64; TILE]>,
    dead: Box<[u64; compress::ROOM]>,
    surplus: Box<[u64; compress::ROOM]>,
}

impl Default for Room {
    fn default() -> Room {
        let list = || Box::new([0; compress::ROOM]);
        Room { counts: Box::new([0; TILE]), dead: list(), surplus: list() }
    }
}

impl Room {
    /// Sorts the `n` particles of a tile with the offspring in `counts` into its lists: dead lanes from the front, surplus
    /// entries in the order of lanes up to the end.
    pub(super) fn lists(&mut self, level: Level, n: usize, tile: &mut [u64]) -> TileLists {
        let found = compress::sort(level, LANE_BITS, &self.counts[..n], &mut self.dead, &mut self.surplus);
        tile[..found.dead].copy_from_slice(&self.dead[..found.dead]);
        let end = tile.len();
        tile[end - found.surplus..].copy_from_slice(&self.surplus[..found.surplus]);
        TileLists {
            dead: found.dead as u32,
            entries: found.surplus as u32,
            surplus: found.total + found.dead as u64 - n as u64,
        }
    }
}

/// Counts of a piece, gathered from all ranks.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Count {
    surplus: u64,
    dead: u64,
}

/// The match of one island: where each piece's surplus and dead begin.
struct Match {
    surplus: Vec<u64>,
    dead: Vec<u64>,
}

/// Where the masses of a piece are in storage.
fn stored(layout: &Layout, piece: &Piece) -> std::ops::Range<usize> {
    layout.at(piece.tiles().start, 0)..layout.at(piece.tiles().end, 0)
}

/// Surplus copies from a place in the match on: (tile, lane, copies) until `count` copies were given.
#[inline(always)]
fn surplus_from(
    masses: &[u64],
    lanes: usize,
    lists: &[TileLists],
    prefix: &[u64],
    from: u64,
    count: u64,
    mut give: impl FnMut(usize, usize, u64),
) {
    if count == 0 {
        return;
    }
    // The last tile whose surplus begins at or before `from` and is not passed.
    let mut t = prefix.partition_point(|&p| p <= from) - 1;
    let mut skip = from - prefix[t];
    let mut left = count;
    loop {
        let end = (t + 1) * lanes;
        for entry in &masses[end - lists[t].entries as usize..end] {
            let (copies, lane) = (entry >> LANE_BITS, *entry as usize & (TILE - 1));
            if copies <= skip {
                skip -= copies;
                continue;
            }
            let take = (copies - skip).min(left);
            skip = 0;
            give(t, lane, take);
            left -= take;
            if left == 0 {
                return;
            }
        }
        t += 1;
    }
}

/// Copies between slots of this rank from several threads: sources are alive, destinations dead, and each destination is
/// written once.
struct Shared<T>(*mut T);
// SAFETY: see above; the places written are disjoint from each other and from those read.
unsafe impl<T> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// # Safety
    /// `from` is written by nobody and `to` by this call alone while others copy.
    unsafe fn copy(&self, from: usize, to: usize) {
        unsafe { *self.0.add(to) = *self.0.add(from) }
    }
}

/// Fills the dead slots of the islands with `chosen` from the lists in the tiles' `masses`. Collective.
///
/// `lists[t]` for every tile of this rank. Ancestors (where kept) must hold each particle's own slot before.
pub(super) fn migrate(
    layout: &Layout,
    masses: &[u64],
    carried: &mut Carried,
    lists: &[TileLists],
    chosen: &[bool],
    team: &dyn Team,
) -> Traffic {
    let mut traffic = Traffic::default();
    let counts: Vec<Count> = layout
        .pieces()
        .iter()
        .map(|p| {
            let mine = &lists[p.tiles()];
            if !chosen[p.island] {
                return Count::default();
            }
            Count { surplus: mine.iter().map(|l| l.surplus).sum(), dead: mine.iter().map(|l| u64::from(l.dead)).sum() }
        })
        .collect();
    let counts = layout.gather(&counts, team);
    // Where each piece begins in the match of its island.
    let mut at = Match { surplus: vec![0; counts.len()], dead: vec![0; counts.len()] };
    for i in 1..counts.len() {
        if layout.all[i].island == layout.all[i - 1].island {
            at.surplus[i] = at.surplus[i - 1] + counts[i - 1].surplus;
            at.dead[i] = at.dead[i - 1] + counts[i - 1].dead;
        }
    }
    let range = |begin: &[u64], n: u64, i: usize| begin[i]..begin[i] + n;
    let common = |a: std::ops::Range<u64>, b: std::ops::Range<u64>| a.start.max(b.start)..a.end.min(b.end);
    let pieces: Vec<(usize, Piece)> = layout.mine.clone().map(|i| (i, layout.all[i])).collect();
    // Prefixes of surplus and dead over the tiles of each piece.
    let prefixes: Vec<(Vec<u64>, Vec<u64>)> = pieces
        .iter()
        .map(|(_, p)| {
            let scan = |value: &dyn Fn(&TileLists) -> u64| {
                let mut sum = 0;
                let mut all: Vec<u64> = vec![0];
                for l in &lists[p.tiles()] {
                    sum += value(l);
                    all.push(sum);
                }
                all
            };
            (scan(&|l| l.surplus), scan(&|l| u64::from(l.dead)))
        })
        .collect();

    // What crosses ranks is packed before anything is overwritten (sources are alive, so the order does not matter).
    let words = 2 + carried.words() + usize::from(carried.eves.is_some());
    let mut outgoing: Vec<(usize, Vec<f64>)> = Vec::new();
    let mut expected: Vec<(usize, usize, std::ops::Range<u64>)> = Vec::new();
    for (k, (i, piece)) in pieces.iter().enumerate() {
        let mine = range(&at.surplus, counts[*i].surplus, *i);
        let mine_dead = range(&at.dead, counts[*i].dead, *i);
        for (j, other) in layout.all.iter().enumerate() {
            if other.island != piece.island || other.rank == piece.rank {
                continue;
            }
            let part = common(mine.clone(), range(&at.dead, counts[j].dead, j));
            if !part.is_empty() {
                let mut message = Vec::new();
                let masses = &masses[stored(layout, piece)];
                surplus_from(
                    masses,
                    layout.lanes,
                    &lists[piece.tiles()],
                    &prefixes[k].0,
                    part.start - mine.start,
                    part.end - part.start,
                    |t, lane, copies| {
                        message.push(f64::from_bits(copies));
                        let at = layout.at(piece.tile + t, lane);
                        message.push(f64::from_bits((piece.first + layout.at(t, lane)) as u64));
                        if let Some(eves) = &carried.eves {
                            message.push(f64::from_bits(eves[at]));
                        }
                        carried.pack(at, &mut message);
                    },
                );
                traffic.bytes += 8 * message.len() as u64;
                traffic.messages += 1;
                outgoing.push((other.rank, message));
            }
            let part = common(mine_dead.clone(), range(&at.surplus, counts[j].surplus, j));
            if !part.is_empty() {
                expected.push((k, other.rank, part));
            }
        }
    }
    for (j, a) in layout.all.iter().enumerate() {
        traffic.copies += counts[j].dead;
        let local = common(range(&at.dead, counts[j].dead, j), range(&at.surplus, counts[j].surplus, j));
        let _ = a;
        traffic.crossing += counts[j].dead - local.end.saturating_sub(local.start);
    }
    let arrived = send(outgoing, &expected, team);

    for (k, (i, piece)) in pieces.iter().enumerate() {
        let mine = range(&at.surplus, counts[*i].surplus, *i);
        let mine_dead = range(&at.dead, counts[*i].dead, *i);
        let local = common(mine.clone(), mine_dead.clone());
        if !local.is_empty() {
            let part =
                Local { layout, piece, prefixes: &prefixes[k], local: &local, starts: (mine.start, mine_dead.start) };
            let Carried { data, lanes, values, used, eves, ancestors } = &mut *carried;
            let shape = (*lanes, *values, *used);
            let slots = [eves.as_deref_mut(), ancestors.as_deref_mut()];
            match data {
                Values::F64(data) => copy_local(masses, data, shape, slots, lists, &part),
                Values::F32(data) => copy_local(masses, data, shape, slots, lists, &part),
            }
        }
    }
    for ((k, _, part), message) in expected.iter().zip(&arrived) {
        let (i, piece) = &pieces[*k];
        place(layout, masses, carried, piece, lists, &prefixes[*k].1, part.start - at.dead[*i], message, words);
    }
    traffic
}

/// Sends messages between the pairs of ranks that have any; lengths first. Answers what was expected, in its order.
fn send(
    outgoing: Vec<(usize, Vec<f64>)>,
    expected: &[(usize, usize, std::ops::Range<u64>)],
    team: &dyn Team,
) -> Vec<Vec<f64>> {
    if team.size() == 1 {
        return Vec::new();
    }
    let part = |list: &mut dyn Iterator<Item = (usize, usize)>| {
        let mut at = 0;
        list.map(|(rank, len)| {
            at += len;
            (rank, at - len..at)
        })
        .collect::<Vec<_>>()
    };
    let lengths: Vec<u64> = outgoing.iter().map(|(_, m)| m.len() as u64).collect();
    let to = part(&mut outgoing.iter().map(|(rank, _)| (*rank, 1)));
    let from = part(&mut expected.iter().map(|(_, rank, _)| (*rank, 1)));
    let (_, coming) = team.start_transfer(lengths, &to, vec![0u64; expected.len()], &from).wait();
    let to = part(&mut outgoing.iter().map(|(rank, m)| (*rank, m.len())));
    let from = part(&mut expected.iter().zip(&coming).map(|((_, rank, _), n)| (*rank, *n as usize)));
    let all: Vec<f64> = outgoing.into_iter().flat_map(|(_, m)| m).collect();
    let room = vec![0.0; coming.iter().sum::<u64>() as usize];
    let (_, received) = team.start_transfer(all, &to, room, &from).wait();
    from.into_iter().map(|(_, range)| received[range].to_vec()).collect()
}

/// The part `local` of the match whose surplus and dead are both in `piece`.
struct Local<'a> {
    layout: &'a Layout,
    piece: &'a Piece,
    /// Of surplus and dead over the tiles of the piece.
    prefixes: &'a (Vec<u64>, Vec<u64>),
    local: &'a std::ops::Range<u64>,
    /// Where the piece's surplus and dead begin in the match.
    starts: (u64, u64),
}

/// Copies what is surplus in a piece to its own dead: values in blocks of `lanes` particles with `values` each, of which
/// `used` move, and `slots` beside them.
fn copy_local<T: Copy + Send + Sync>(
    masses: &[u64],
    data: &mut [T],
    (lanes, values, used): (usize, usize, usize),
    slots: [Option<&mut [u64]>; 2],
    lists: &[TileLists],
    &Local { layout, piece, prefixes, local, starts: (surplus_start, dead_start) }: &Local<'_>,
) {
    let states = Shared(data.as_mut_ptr());
    let slots = slots.map(|list| list.map(|list| Shared(list.as_mut_ptr())));
    let (base, each) = (layout.at(piece.tile, 0), layout.lanes);
    let masses = &masses[stored(layout, piece)];
    let lists = &lists[piece.tiles()];
    assert!(lists.len() < (u32::MAX as usize) / TILE, "a rank holds at most 2^32 particles of an island");
    let one = |sources: &mut Vec<u32>, t: usize| {
        // Dead slots of this tile within the match.
        let from = (dead_start + prefixes.1[t]).max(local.start);
        let to = (dead_start + prefixes.1[t + 1]).min(local.end);
        if from >= to {
            return;
        }
        let next = (from - dead_start - prefixes.1[t]) as usize;
        let dead = &masses[t * each + next..t * each + next + (to - from) as usize];
        // Where each dead lane's ancestor lies in the storage. Four places are written whatever the copies, as their
        // number is hard to predict.
        sources.resize(TILE + 4, 0);
        let mut at = 0;
        surplus_from(masses, each, lists, &prefixes.0, from - surplus_start, to - from, |s, lane, copies| {
            let source = (s * each + lane) as u32;
            sources[at..at + 4].fill(source);
            let copies = copies as usize;
            if copies > 4 {
                sources[at + 4..at + copies].fill(source);
            }
            at += copies;
        });
        let sources = &sources[..dead.len()];
        // SAFETY (of all copies): the source is alive, the destination dead and in this tile, which is this task's alone.
        for v in 0..used {
            for (&source, &lane) in sources.iter().zip(dead) {
                let from = block_place(lanes, values, base + source as usize) + v * lanes;
                let to = block_place(lanes, values, base + t * each + lane as usize) + v * lanes;
                unsafe { states.copy(from, to) };
            }
        }
        for list in slots.iter().flatten() {
            for (&source, &lane) in sources.iter().zip(dead) {
                unsafe { list.copy(base + source as usize, base + t * each + lane as usize) };
            }
        }
    };
    crew::map_in(0..lists.len(), LEAF, Vec::new, |sources, _, t| one(sources, t));
}

/// Puts particles that came from another rank into the dead slots of `piece` from the `first` one on.
#[allow(clippy::too_many_arguments)]
fn place(
    layout: &Layout,
    masses: &[u64],
    carried: &mut Carried,
    piece: &Piece,
    lists: &[TileLists],
    prefix: &[u64],
    first: u64,
    message: &[f64],
    words: usize,
) {
    let lists = &lists[piece.tiles()];
    let mut t = prefix.partition_point(|&p| p <= first) - 1;
    let mut next = (first - prefix[t]) as usize;
    for particle in message.chunks_exact(words) {
        let (copies, slot) = (particle[0].to_bits(), particle[1].to_bits());
        let values = &particle[words - carried.words()..];
        for _ in 0..copies {
            while next == lists[t].dead as usize {
                t += 1;
                next = 0;
            }
            let base = layout.at(piece.tile + t, 0);
            let at = base + masses[base + next] as usize;
            carried.unpack(at, values);
            if let Some(eves) = &mut carried.eves {
                eves[at] = particle[2].to_bits();
            }
            if let Some(ancestors) = &mut carried.ancestors {
                ancestors[at] = slot;
            }
            next += 1;
        }
    }
}
