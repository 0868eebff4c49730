//! Arrays between the passes where ranks reach each other's: those of one rank alone, or of ranks that share memory. A
//! pass then writes rows where the next pass of their rank reads them, and an exchange is but a meeting.

use num_complex::Complex;

use super::layout::{Layout, buffer_lengths};
use super::memory::zeros;
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::team::{Group, SharedMemory, Team};

pub struct Together<T> {
    /// None on one rank.
    memory: Option<SharedMemory>,
    /// Arrays of a rank alone.
    own: Vec<Vec<Complex<T>>>,
    /// Place on the process grid.
    at: [usize; 2],
    /// Ranks of the process grid, of this one's column and of its row.
    ranks: [Vec<usize>; 3],
    /// Between axes 0 and 1: [field][rank of the column].
    mids: Vec<Vec<*mut Complex<T>>>,
    /// After axis 1: [field][rank of the row].
    flats: Vec<Vec<*mut Complex<T>>>,
}

// SAFETY: addresses of arrays that live as long as this does.
unsafe impl<T: Send> Send for Together<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Together<T> {}

impl<T: Real> Together<T> {
    /// None where ranks must send messages: they do not share a node, or were asked to (`share`). Collective.
    pub fn new(layout: &Layout, team: &dyn Team, share: bool) -> Option<Self> {
        let [p1, p2] = layout.grid;
        let memory = if p1 * p2 > 1 && share { team.share_memory(0) } else { None };
        if p1 * p2 > 1 && memory.is_none() {
            return None;
        }
        let [r1, r2] = layout.at.unwrap_or_default();
        let ranks = [
            (0..p1 * p2).collect(),
            (0..p1).map(|q| layout.rank([q, r2])).collect(),
            (0..p2).map(|q| layout.rank([r1, q])).collect(),
        ];
        Some(Together { memory, own: Vec::new(), at: [r1, r2], ranks, mids: Vec::new(), flats: Vec::new() })
    }

    /// Makes room for so many fields at once; contents are lost. Collective.
    ///
    /// # Panics
    /// If ranks that shared memory when this was made cannot have as much of it.
    pub fn reserve(&mut self, domain: &Domain, layout: &Layout, team: &dyn Team, fields: usize) {
        if fields <= self.mids.len() {
            return;
        }
        let lengths = |rank| {
            let [mid, _, flat, _] = buffer_lengths(domain, layout.grid, rank);
            // Whole cache lines.
            [mid, flat].map(|n| n.next_multiple_of(64 / size_of::<Complex<T>>()))
        };
        if self.memory.is_none() {
            self.own = (0..fields).flat_map(|_| lengths(0)).map(zeros).collect();
            self.mids = self.own.iter_mut().step_by(2).map(|mid| vec![mid.as_mut_ptr()]).collect();
            self.flats = self.own.iter_mut().skip(1).step_by(2).map(|flat| vec![flat.as_mut_ptr()]).collect();
            return;
        }
        let of_field = |rank| lengths(rank)[0] + lengths(rank)[1];
        let mine = if layout.at.is_some() { of_field(team.rank()) } else { 0 };
        let memory = team.share_memory(fields * mine * size_of::<Complex<T>>());
        let memory = memory.expect("memory that the ranks of a node share, as there was at the start");
        let array = |rank: usize, field: usize, skipped: usize| {
            memory.part(rank).cast::<Complex<T>>().wrapping_add(field * of_field(rank) + skipped)
        };
        let [_, column, row] = &self.ranks;
        self.mids = (0..fields).map(|f| column.iter().map(|&rank| array(rank, f, 0)).collect()).collect();
        self.flats = (0..fields).map(|f| row.iter().map(|&rank| array(rank, f, lengths(rank)[0])).collect()).collect();
        self.memory = Some(memory);
    }

    /// Returns when all ranks of the group have come here.
    pub fn meet(&mut self, team: &dyn Team, group: Group) {
        let ranks = &self.ranks[group as usize];
        if let Some(memory) = self.memory.as_mut().filter(|_| ranks.len() > 1 && ranks.contains(&team.rank())) {
            team.meet(memory, group, ranks);
        }
    }

    /// The arrays of a field between axes 0 and 1, by rank of the column.
    pub fn mids(&self, field: usize) -> &[*mut Complex<T>] {
        &self.mids[field]
    }

    /// This rank's.
    pub fn mid(&self, field: usize) -> &*mut Complex<T> {
        &self.mids[field][self.at[0]]
    }

    /// The arrays of a field after axis 1, by rank of the row.
    pub fn flats(&self, field: usize) -> &[*mut Complex<T>] {
        &self.flats[field]
    }

    /// This rank's.
    pub fn flat(&self, field: usize) -> &*mut Complex<T> {
        &self.flats[field][self.at[1]]
    }
}
