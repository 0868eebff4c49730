//! Who holds which particles: islands of equal size one after the other, the whole cut into contiguous parts of ranks.
//!
//! A *piece* is what one rank holds of one island; it is stored in tiles of its own. Arithmetic only.

use std::ops::Range;

use super::model::TILE;
use crate::team::{Partition, Team};

/// Bits of a slot within its island: the address of a particle is island · 2^40 + slot.
pub const SLOT_BITS: u32 = 40;

/// What one rank holds of one island.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub rank: usize,
    pub island: usize,
    /// First slot within the island.
    pub first: usize,
    pub len: usize,
    /// Its first tile in the storage of its rank.
    pub tile: usize,
}

impl Piece {
    pub fn slots(&self) -> Range<usize> {
        self.first..self.first + self.len
    }

    pub fn tiles(&self) -> Range<usize> {
        self.tile..self.tile + self.len.div_ceil(TILE)
    }
}

/// A tile of this rank's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub island: usize,
    /// Slot of its first particle within the island.
    pub first: usize,
    pub len: usize,
}

impl Place {
    /// Address of the first particle.
    pub fn address(&self) -> u64 {
        (self.island as u64) << SLOT_BITS | self.first as u64
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub islands: usize,
    /// Particles of an island.
    pub each: usize,
    /// Places of a tile in storage: [`TILE`], or a smaller power of two where islands are smaller, whose pieces are one tile.
    pub lanes: usize,
    /// Slots that stay together on a rank.
    pub grain: usize,
    pub rank: usize,
    pub ranks: usize,
    /// The pieces of all ranks, in order of rank and island.
    pub all: Vec<Piece>,
    /// Those of this rank, within `all`.
    pub mine: Range<usize>,
    /// The tiles of this rank.
    pub places: Vec<Place>,
}

impl Layout {
    pub fn new(islands: usize, each: usize, team: &dyn Team) -> Layout {
        Layout::of(islands, each, team.rank(), team.size())
    }

    pub fn of(islands: usize, each: usize, rank: usize, ranks: usize) -> Layout {
        Layout::in_grains(islands, each, 1, rank, ranks)
    }

    /// Ranks part only between multiples of `grain` slots, which divides `each`.
    pub fn in_grains(islands: usize, each: usize, grain: usize, rank: usize, ranks: usize) -> Layout {
        assert!(
            islands > 0 && each > 0 && each.is_multiple_of(grain),
            "{islands} islands of {each} in grains of {grain}"
        );
        let part = Partition::new(islands * each / grain, rank, ranks);
        let mut all = Vec::new();
        let mut mine = 0..0;
        for (r, range) in part.ranges().map(|range| range.start * grain..range.end * grain).enumerate() {
            let start = all.len();
            let (mut at, mut tile) = (range.start, 0);
            while at < range.end {
                let island = at / each;
                let end = range.end.min((island + 1) * each);
                let piece = Piece { rank: r, island, first: at - island * each, len: end - at, tile };
                tile = piece.tiles().end;
                all.push(piece);
                at = end;
            }
            if r == rank {
                mine = start..all.len();
            }
        }
        let places = all[mine.clone()]
            .iter()
            .flat_map(|p| {
                p.tiles().enumerate().map(|(k, _)| Place {
                    island: p.island,
                    first: p.first + k * TILE,
                    len: (p.len - k * TILE).min(TILE),
                })
            })
            .collect();
        Layout { islands, each, lanes: each.next_power_of_two().min(TILE), grain, rank, ranks, all, mine, places }
    }

    /// Places in storage of this rank's tiles, empty ones included.
    pub fn stored(&self) -> usize {
        self.places.len() * self.lanes
    }

    /// Where lane `i` of tile `t` is in storage.
    #[inline(always)]
    pub fn at(&self, t: usize, i: usize) -> usize {
        t * self.lanes + i
    }

    /// Where the particles of tile `t` are in storage.
    pub fn part(&self, t: usize) -> Range<usize> {
        self.at(t, 0)..self.at(t, self.places[t].len)
    }

    /// The pieces of this rank.
    pub fn pieces(&self) -> &[Piece] {
        &self.all[self.mine.clone()]
    }

    /// Particles of this rank.
    pub fn len(&self) -> usize {
        self.pieces().iter().map(|p| p.len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.mine.is_empty()
    }

    /// The rows of a global array (island after island) that this rank holds.
    pub fn rows(&self) -> Range<usize> {
        let grains = Partition::new(self.islands * self.each / self.grain, self.rank, self.ranks).mine();
        grains.start * self.grain..grains.end * self.grain
    }

    /// Everyone's record of each of their pieces, in the order of `all`: one collective call.
    pub fn gather<T: bytemuck::Pod>(&self, mine: &[T], team: &dyn Team) -> Vec<T> {
        assert_eq!(mine.len(), self.mine.len());
        if self.ranks == 1 {
            return mine.to_vec();
        }
        let mut counts = vec![0; self.ranks];
        for piece in &self.all {
            counts[piece.rank] += size_of::<T>();
        }
        let mut all = vec![T::zeroed(); self.all.len()];
        team.gather_bytes_into(bytemuck::cast_slice(mine), &counts, bytemuck::cast_slice_mut(&mut all));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_slot_once_for_1_to_8_ranks() {
        for (islands, each, grain) in
            [(1, 5000, 1), (16, 100, 1), (3, 1025, 1), (5, 1, 1), (2, 3, 1), (1, 13 * 64, 64), (3, 20, 4)]
        {
            for ranks in 1..=8 {
                let mut slots = Vec::new();
                for rank in 0..ranks {
                    let layout = Layout::in_grains(islands, each, grain, rank, ranks);
                    assert!(layout.rows().start.is_multiple_of(grain) && layout.rows().end.is_multiple_of(grain));
                    for place in &layout.places {
                        slots.extend((0..place.len).map(|i| place.island * each + place.first + i));
                    }
                    assert_eq!(layout.len(), layout.rows().len());
                    assert!(layout.pieces().iter().all(|p| p.rank == rank));
                    let tiles: usize = layout.pieces().iter().map(|p| p.tiles().len()).sum();
                    assert_eq!(tiles, layout.places.len());
                    // Tiles lie one after the other in storage.
                    let parts = (0..tiles).map(|t| layout.part(t));
                    let end = parts.fold(0, |end, part| {
                        assert!(end <= part.start && part.len() <= layout.lanes, "{islands} × {each}: {part:?}");
                        part.end
                    });
                    assert!(end <= layout.stored());
                }
                assert_eq!(slots, (0..islands * each).collect::<Vec<_>>());
            }
        }
    }
}
