//! The passes of a problem behind one door: points, matrices and separable grids, shared out over the ranks.

use std::ops::Range;

use super::distributed::{self, PassData};
use super::grid::axis::LINES_PER_PANEL;
use super::grid::{GridPasses, Lines, Threads};
use super::passes::Passes;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::team::{Partition, Team};

/// What makes the passes of one problem.
pub enum Backend {
    Points(Box<PassData>),
    Grid(Box<Grid>),
}

/// A pair of grids. The passes are away only while [`Backend::run`] lends them a team.
pub struct Grid {
    pub passes: Option<GridPasses<Threads>>,
}

/// Of the passes before a step.
pub enum Snapshot {
    Points(distributed::Snapshot),
    Grid { entries: f64 },
}

impl Backend {
    /// Lends the passes, with all ranks of `team` at work.
    pub fn run<R>(&mut self, team: &dyn Team, act: impl FnOnce(&mut dyn Passes) -> R) -> R {
        match self {
            Backend::Points(data) => act(&mut data.with(team)),
            Backend::Grid(grid) => {
                let passes = grid.passes.take().expect("the passes are back after every run");
                let mut passes = passes.with_lines(TeamLines { team });
                let result = act(&mut passes);
                grid.passes = Some(passes.with_lines(Threads));
                result
            }
        }
    }

    /// What a step may change of the passes.
    pub fn snapshot(&mut self) -> Snapshot {
        match self {
            Backend::Points(data) => Snapshot::Points(data.snapshot()),
            Backend::Grid(_) => Snapshot::Grid { entries: self.entries() },
        }
    }

    /// The step since the snapshot is done.
    pub fn keep(&mut self) {
        if let Backend::Points(data) = self {
            data.keep();
        }
    }

    /// Back to the snapshot: an abandoned step leaves no trace.
    pub fn restore(&mut self, before: Snapshot) {
        match (self, before) {
            (Backend::Points(data), Snapshot::Points(before)) => data.restore(before),
            (Backend::Grid(grid), Snapshot::Grid { entries }) => {
                grid.passes.as_mut().expect("not in use").set_entries(entries);
            }
            _ => unreachable!("a snapshot goes back where it came from"),
        }
    }

    /// Exponentials or kernel entries evaluated so far.
    pub fn entries(&self) -> f64 {
        match self {
            Backend::Points(data) => data.entries(),
            Backend::Grid(grid) => grid.passes.as_ref().map_or(0.0, Passes::entries),
        }
    }
}

/// Lines of a grid shared out in whole panels over ranks, then over threads.
struct TeamLines<'t> {
    team: &'t dyn Team,
}

impl Lines for TeamLines<'_> {
    fn run(
        &self,
        lines: usize,
        width: usize,
        compute: &(dyn Fn(Range<usize>, &mut [f64]) + Sync),
        out: &mut [f64],
    ) -> Result<()> {
        let panels = Partition::new(lines.div_ceil(LINES_PER_PANEL), self.team.rank(), self.team.size()).mine();
        let own = (panels.start * LINES_PER_PANEL).min(lines)..(panels.end * LINES_PER_PANEL).min(lines);
        let mine = &mut out[own.start * width..own.end * width];
        if !own.is_empty() && !interrupt::requested() {
            Threads::compute(own, width, compute, mine);
        }
        if self.team.size() > 1 {
            let all = self.team.gather(mine);
            out.copy_from_slice(&all);
        }
        if self.team.any(interrupt::requested()) { Err(Error::Interrupted) } else { Ok(()) }
    }
}
