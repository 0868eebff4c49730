//! Srinivasan's sampling (SSP) as a tournament on the binary tree over slots [GerberChopinWhiteley2019]: the fractions of
//! n w, as integers below the total, meet in pairs; one of each pair becomes whole (0 or 1), the other goes on.
//!
//! Each fight draws at the address of its node, so the outcome does not depend on who holds which slots.

use super::layout::{Layout, SLOT_BITS};
use super::model::{Draws, TILE};
use super::scheme::Weighed;
use crate::math::resampling::{below, from_words, to_words};
use crate::math::rng::Stream;
use crate::math::sum::complete_subtrees;
use crate::team::Team;

/// Who is left of a complete subtree: nobody, or a slot with a fraction of the total.
#[derive(Debug, Clone, Copy)]
struct Left {
    height: u32,
    /// Of the subtree among those of its height.
    index: u64,
    one: Option<(u64, u128)>,
}

struct Arena<'a> {
    at: &'a Draws,
    island: u64,
    total: u128,
}

impl Arena<'_> {
    /// The fight at the parent of two siblings; `decide(slot)` for who becomes 1.
    fn join(&self, a: Left, b: Left, decide: &mut impl FnMut(u64)) -> Left {
        let (height, index) = (a.height + 1, a.index / 2);
        let one = match (a.one, b.one) {
            (Some(a), Some(b)) => self.fight(a, b, u64::from(height) << SLOT_BITS | index, decide),
            (one, None) | (None, one) => one,
        };
        Left { height, index, one }
    }

    fn fight(&self, a: (u64, u128), b: (u64, u128), node: u64, decide: &mut impl FnMut(u64)) -> Option<(u64, u128)> {
        let sum = a.1 + b.1;
        let first_draw = (self.island as u32) << 8;
        if sum < self.total {
            // One takes both fractions, the other is 0.
            let u = below(self.at, first_draw, node, sum);
            return Some(if u < a.1 { (a.0, sum) } else { (b.0, sum) });
        }
        // One becomes 1, the other keeps what is over.
        let (x, y) = (self.total - a.1, self.total - b.1);
        let u = below(self.at, first_draw, node, x + y);
        let (raised, goes_on) = if u < y { (a.0, b.0) } else { (b.0, a.0) };
        decide(raised);
        (sum > self.total).then_some((goes_on, sum - self.total))
    }

    /// Pushes a subtree; siblings on top of the stack fight.
    fn push(&self, stack: &mut Vec<Left>, mut new: Left, decide: &mut impl FnMut(u64)) {
        while let Some(top) = stack.last().copied() {
            if top.height != new.height || top.index + 1 != new.index || top.index % 2 == 1 {
                break;
            }
            stack.pop();
            new = self.join(top, new, decide);
        }
        stack.push(new);
    }
}

/// What travels of a [`Left`].
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Packed {
    island: u64,
    height: u64,
    index: u64,
    slot: u64,
    fraction: [u64; 2],
}

const NOBODY: u64 = u64::MAX;

/// For each lane of this rank's tiles, whether its fraction became 1. Collective.
pub(super) fn raised(layout: &Layout, masses: &[u64], weighed: &Weighed, due: &[bool], team: &dyn Team) -> Vec<bool> {
    let n = layout.each as u128;
    let at = weighed.at.stream(Stream::ParticlesTournament);
    let mut raised = vec![false; masses.len()];
    let mut mine = Vec::new();
    for piece in layout.pieces().iter().filter(|p| due[p.island]) {
        let arena = Arena { at: &at, island: piece.island as u64, total: weighed.totals[piece.island] };
        let place = |slot: u64| layout.at(piece.tile, slot as usize - piece.first);
        let fraction = |slot: usize| {
            let at = place(slot as u64);
            let before = if (slot - piece.first).is_multiple_of(TILE) { 0 } else { masses[at - 1] };
            n * u128::from(masses[at] - before) % arena.total
        };
        for (start, height) in complete_subtrees(piece.slots()) {
            let mut stack = Vec::new();
            for slot in start..start + (1 << height) {
                let fraction = fraction(slot);
                let one = (fraction > 0).then_some((slot as u64, fraction));
                arena.push(&mut stack, Left { height: 0, index: slot as u64, one }, &mut |s| raised[place(s)] = true);
            }
            let Left { height, index, one } = stack[0];
            let (slot, f) = one.unwrap_or((NOBODY, 0));
            let fraction = to_words(f);
            mine.push(Packed { island: piece.island as u64, height: u64::from(height), index, slot, fraction });
        }
    }
    // Every rank replays what is left: O(log n) of each.
    let all = team.gather(&mine);
    for (island, _) in due.iter().enumerate().filter(|(_, due)| **due) {
        let arena = Arena { at: &at, island: island as u64, total: weighed.totals[island] };
        let piece = layout.pieces().iter().find(|p| p.island == island);
        let mut decide = |slot: u64| {
            if let Some(p) = piece.filter(|p| p.slots().contains(&(slot as usize))) {
                raised[layout.at(p.tile, slot as usize - p.first)] = true;
            }
        };
        let mut stack = Vec::new();
        for p in all.iter().filter(|p| p.island == island as u64) {
            let fraction = from_words(&p.fraction);
            let one = (p.slot != NOBODY).then_some((p.slot, fraction));
            arena.push(&mut stack, Left { height: p.height as u32, index: p.index, one }, &mut decide);
        }
        // The ragged end: from the right.
        let mut last = stack.pop().and_then(|l| l.one);
        for (k, left) in stack.iter().rev().enumerate() {
            last = match (left.one, last) {
                (Some(a), Some(b)) => arena.fight(a, b, 63 << SLOT_BITS | k as u64, &mut decide),
                (one, None) | (None, one) => one,
            };
        }
        debug_assert!(last.is_none(), "fractions sum to an integer");
    }
    raised
}
