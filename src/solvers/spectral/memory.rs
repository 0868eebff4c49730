//! What a spectral run holds in memory on its largest rank, in bytes: counts alone, for `spanwise check`.

use std::ops::Range;

use super::domain::{Basis, Domain};
use super::results::keys::OutputKeys;
use super::results::spectra::Shells;
use super::transform::ProcessGrid;
use super::transform::blocks::Blocks;
use super::transform::layout::{Layout, buffer_lengths, is_long};
use crate::math::exact::Exact;
use crate::solvers::SEEN;

/// Exact sums over the modes of each wavenumber of an axis or shell, at their largest: those of a rank, and of several
/// those that are sent, received and added up. In one dimension the plain spectrum, its envelope and the points of the
/// fit of its decay.
pub fn sums(domain: &Domain, spectra: bool, ranks: usize) -> u64 {
    let axes = domain.own().iter().map(|a| a.highest + 1).max().unwrap_or(0);
    if domain.dimension == 1 {
        return 48 * axes as u64;
    }
    let size = (axes.max(shells(domain, spectra)) * size_of::<Exact>()) as u64;
    if ranks == 1 { size } else { 3 * size + size / 2 }
}

fn shells(domain: &Domain, spectra: bool) -> usize {
    if spectra && !domain.has_walls() { Shells::new(domain).len() } else { 0 }
}

/// What writing takes at its largest, for `members` of an ensemble (1 without one): a block with its copy in chunks, the
/// members' own copy of it; and lists that every rank has whole, such as coordinates, on their way.
pub fn files(solver: &Place, kept: &Place, members: u64, keys: &OutputKeys) -> u64 {
    let copies = if members > 1 { 3 } else { 2 };
    let block = if keys.whole { kept.values() } else { solver.array() };
    let (points, modes) = kept.domain.own().iter().fold((0, 0), |(p, m), a| (p + a.points, m + a.modes()));
    let shells = shells(kept.domain, keys.spectra);
    // At the largest moment: what was collected of coordinates and two copies, two of each list of wavenumbers. Those of a
    // line that ranks share are over before it, but for one.
    let lists = match is_long(kept.domain) {
        true => 8 * (points + modes) + 32 * shells,
        false => 24 * points + 16 * (modes + shells),
    };
    // One rank collects what all write of an array.
    let all = if keys.whole { kept.all_values() } else { solver.all_modes() };
    let collected = if members == 1 && solver.grid != [1, 1] { all.min(COLLECTED) } else { 0 };
    (copies * members * block).max(collected) + lists as u64
}

/// Bytes of a piece that MPI collects on one rank at most (bytes_per_agg of Open MPI's io).
const COLLECTED: u64 = 32 << 20;

/// Arrays that one trip takes to the grid and back: the most of any round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    pub backward: u64,
    pub forward: u64,
}

/// A domain over ranks: on the largest one, with so many threads, in real numbers of `size` bytes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub domain: &'a Domain,
    pub grid: ProcessGrid,
    pub threads: u64,
    pub size: u64,
    /// Ranks write into each other's arrays.
    pub shared: bool,
}

impl Place<'_> {
    /// Coefficients here.
    pub fn modes(&self) -> u64 {
        Layout::new(self.domain, self.grid, 0).modes(self.domain).len() as u64
    }

    /// Bytes of the coefficients of one field.
    pub fn array(&self) -> u64 {
        2 * self.size * self.modes()
    }

    /// Bytes of the grid values of one field.
    pub fn values(&self) -> u64 {
        let points = Layout::new(self.domain, self.grid, 0).points(self.domain).len() as u64;
        self.size * points * self.domain.reals() as u64
    }

    /// The same of all ranks together.
    fn all_modes(&self) -> u64 {
        2 * self.size * self.domain.modes().iter().map(|&m| m as u64).product::<u64>()
    }

    fn all_values(&self) -> u64 {
        let points = self.domain.points().iter().map(|&n| n as u64).product::<u64>();
        self.size * points * self.domain.reals() as u64
    }

    /// The blocks in which so many arrays are used as they come from the grid and go there, where they are.
    pub fn at_once(&self, arrays: u64) -> Option<Blocks> {
        let alone = self.grid == [1, 1] || self.shared;
        if !alone || self.domain.points()[0] == 1 {
            return None;
        }
        let modes = Layout::new(self.domain, self.grid, 0).modes(self.domain).count;
        let bytes = 2 * self.size as usize;
        Blocks::new(modes, arrays as usize, bytes, 64 / self.size as usize, self.threads as usize)
    }

    /// Buffers and work space of the transform.
    pub fn transform(&self, trip: Trip) -> u64 {
        let (m, n) = (self.domain.modes(), self.domain.points().map(|n| n as u64));
        let complex = 2 * self.size;
        let reals = self.domain.reals() as u64;
        let both = trip.backward + trip.forward;
        let layout = Layout::new(self.domain, self.grid, 0);
        if let Some(shares) = &layout.shares {
            return self.size * shares.work_space(0) as u64 + both * self.values();
        }
        if self.domain.dimension == 1 {
            let even = self.domain.axes[2].basis == Basis::HalfFourier && n[2].is_multiple_of(2);
            let length = if even { n[2] / 2 } else { n[2] };
            // The line, its copy while it is transformed, factors of two plans; roots; coordinates, for it and for all;
            // places and wavenumbers.
            let line = complex * (4 * length + n[2] / 2) + 2 * (8 * n[2] + 8 * m[2] as u64);
            return line + both * reals * self.size * n[2];
        }
        let fields = trip.backward.max(trip.forward);
        let [mid, wide, flat, tall] = buffer_lengths(self.domain, self.grid, 0).map(|n| n as u64 * complex);
        let fused = self.grid[1] == 1 && n[0] > 1;
        let plane = if fused { fields * complex * n[1] * m[2] as u64 } else { 0 };
        let rows = both * 8 * reals * self.size * n[2];
        let block = self.at_once(fields).map_or(0, |blocks| fields * complex * blocks.numbers() as u64);
        let lanes = 3 * 2 * 64 * n.into_iter().max().unwrap_or(1);
        let messages = if self.shared { 0 } else { 2 * (wide + tall) };
        fields * (mid + flat) + messages + self.threads * (plane + rows.max(block) + lanes)
    }

    /// What is resident here of other ranks' arrays because this rank writes to it; it counts on those ranks too. Where the
    /// system joins pages of shared memory to large ones of `page` bytes, who writes to one has all of it.
    pub fn seen(&self, trip: Trip, page: Option<u64>) -> Option<(String, u64)> {
        if !self.shared || self.domain.dimension == 1 {
            return None;
        }
        let [mid, wide, flat, tall] = buffer_lengths(self.domain, self.grid, 0).map(|n| n as u64 * 2 * self.size);
        let fields = trip.backward.max(trip.forward);
        // Of each field the share of rank 0 in the array of one other rank.
        let of_others = |begin: u64, all: u64, ranks: usize| {
            let shares = (0..fields).map(|f| f * (mid + flat) + begin).map(|start| start..start + all / ranks as u64);
            let file = fields * (mid + flat);
            (ranks - 1) as u64 * page.map_or(fields * (all / ranks as u64), |page| pages(shares, page, file))
        };
        let bytes = of_others(0, wide, self.grid[0]) + of_others(mid, tall, self.grid[1]);
        Some((SEEN.into(), bytes))
    }
}

/// Bytes of the pages on which these parts of a file lie, which follow each other; what does not fill a large page at the
/// file's end has small ones.
fn pages(parts: impl Iterator<Item = Range<u64>>, page: u64, file: u64) -> u64 {
    let whole = file / page * page;
    let (mut bytes, mut end) = (0, 0);
    for part in parts.filter(|part| !part.is_empty()) {
        let large = (part.start / page * page).max(end)..part.end.next_multiple_of(page).min(whole);
        if large.start < large.end {
            bytes += large.end - large.start;
            end = large.end;
        }
        bytes += part.end.saturating_sub(part.start.max(whole));
    }
    bytes
}

/// Fields that are kept, of so many unknowns and derived ones.
pub fn named(keys: &OutputKeys, unknowns: u64, derived: usize) -> u64 {
    match keys.fields.len() as u64 {
        0 => unknowns,
        _ if keys.fields.iter().any(|f| f == "all") => unknowns + derived as u64,
        named => named,
    }
}

/// What kept fields take: values of one, its coefficients, its transform where the grid is another than the solver's;
/// and records that wait to be written.
pub fn kept(solver: &Place, kept: &Place, fields: u64, snapshots: u64, keys: &OutputKeys) -> u64 {
    let own =
        if kept.domain == solver.domain { 0 } else { kept.transform(Trip { backward: 1, forward: 0 }) + kept.array() };
    let record = if keys.whole { fields * kept.values() } else { 0 };
    // Larger ones go to their file at once.
    let waiting = if record == 0 || 2 * record > WAITING { 0 } else { (WAITING / record).min(snapshots) * record };
    // Coordinates; wavenumbers of the equation, the run and what is kept.
    let points: usize = kept.domain.own().iter().map(|a| a.points).sum();
    let modes: usize = solver.domain.own().iter().map(|a| a.modes()).sum();
    let on_grid = keys.whole || !keys.slices.is_empty() || keys.statistics.is_some();
    let values = if on_grid { kept.values() } else { 0 };
    values + solver.array() + own + waiting + 8 * points as u64 + 24 * modes as u64
}

/// Means and variances in time of so many fields at the points here, with the two lists that writing makes of one field.
/// Profiles are short.
pub fn statistics(kept: &Place, fields: u64, keys: &OutputKeys) -> Option<(String, u64)> {
    keys.statistics.as_ref().filter(|s| s.profile.is_none())?;
    Some(("means and variances in time".into(), 16 * (fields + 1) * kept.values() / kept.size))
}

/// Bytes of records that wait in memory at most.
const WAITING: u64 = 32 << 20;
