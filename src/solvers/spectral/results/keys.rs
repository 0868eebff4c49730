//! `[problem.output]` of spectral: what is kept of the fields, and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is kept of the fields, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputKeys {
    /// Fields kept in /fields: unknowns and derived fields by name, or ["all"]; the unknowns when empty.
    pub fields: Vec<String>,
    /// Time between snapshots, from the start; with neither `every` nor `times` only the last state is kept.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub every: Option<f64>,
    /// Further times of snapshots. The end is always one.
    pub times: Vec<f64>,
    /// Whether whole fields are kept; false keeps slices and spectra only.
    pub whole: bool,
    /// Points per axis of the kept fields; those of `problem.points` when empty. Fewer points keep fewer
    /// modes (a spectral truncation, not every other point), more interpolate.
    pub points: Vec<usize>,
    /// Planes (in two dimensions lines) of the kept fields.
    pub slices: Vec<SliceKeys>,
    /// Whether the spectrum of every kept field goes with each snapshot (periodic axes only).
    pub spectra: bool,
    /// Points whose values are recorded in /series, one coordinate per axis; the series is summed there, not
    /// interpolated between grid points.
    pub probes: Vec<Vec<f64>>,
    /// Means and variances in time.
    pub statistics: Option<StatisticsKeys>,
}

impl Default for OutputKeys {
    fn default() -> Self {
        OutputKeys {
            fields: Vec::new(),
            every: None,
            times: Vec::new(),
            whole: true,
            points: Vec::new(),
            slices: Vec::new(),
            spectra: true,
            probes: Vec::new(),
            statistics: None,
        }
    }
}

/// A plane of grid points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceKeys {
    /// The axis it is normal to: "x", "y" or "z".
    pub axis: String,
    /// Where on that axis: the nearest point of the kept grid is taken.
    pub at: f64,
}

/// Running statistics of the kept fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StatisticsKeys {
    /// Time from which on samples are taken.
    pub start: f64,
    /// Steps between samples; each counts as much as the time since the one before, the first as that since `start`.
    #[schemars(range(min = 1))]
    pub every: u64,
    /// Axis along which profiles are kept (means over the other axes and time), such as the one between walls; absent:
    /// mean and variance at every point.
    pub profile: Option<String>,
}

impl Default for StatisticsKeys {
    fn default() -> Self {
        StatisticsKeys { start: 0.0, every: 10, profile: None }
    }
}

/// When snapshots are due. The solver shortens its steps to end on [`next`](Times::next) exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    start: f64,
    end: f64,
    every: Option<f64>,
    /// Ascending.
    listed: Vec<f64>,
}

/// What part of the whole time is rounding.
const ROUNDING: f64 = 1e-12;

impl OutputKeys {
    /// How many snapshots a run until `end` keeps, to one.
    pub fn snapshots(&self, end: f64) -> u64 {
        let regular = self.every.map_or(0.0, |every| 1.0 + (end / every * (1.0 - ROUNDING)).floor());
        1 + regular as u64 + self.times.len() as u64
    }
}

impl Times {
    pub fn new(keys: &OutputKeys, start: f64, end: f64) -> Times {
        let mut listed = keys.times.clone();
        listed.sort_by(f64::total_cmp);
        Times { start, end, every: keys.every, listed }
    }

    /// The k-th regular time.
    fn regular(&self, every: f64, k: f64) -> f64 {
        self.start + k * every
    }

    /// Whether `b` is after `a` by more than rounding: 3 · 0.3 is no other time than 0.9.
    fn after(&self, a: f64, b: f64) -> bool {
        b - a > ROUNDING * (self.end - self.start)
    }

    /// Refuses a state that is past the end.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn restored(&self, time: f64) -> Result<()> {
        if !self.after(self.end, time) {
            return Ok(());
        }
        let end = self.end;
        Err(Error::Usage(format!("--resume: the checkpoint is at time {time}, past problem.end_time = {end}")))
    }

    /// The first time after `time` at which a snapshot is due; none after the end.
    pub fn next(&self, time: f64) -> Option<f64> {
        let regular = self.every.map(|every| {
            let mut k = ((time - self.start) / every).floor().max(0.0);
            while !self.after(time, self.regular(every, k)) {
                k += 1.0;
            }
            self.regular(every, k)
        });
        let listed = self.listed.iter().copied().find(|&t| self.after(time, t));
        let first = regular.into_iter().chain(listed).fold(self.end, f64::min);
        let next = if self.after(first, self.end) { first } else { self.end };
        self.after(time, next).then_some(next)
    }

    /// Whether a snapshot is due at this time: one of those `next` returns, or the start.
    pub fn due(&self, time: f64) -> bool {
        let same = |other: f64| !self.after(time, other) && !self.after(other, time);
        let regular = |every: f64| same(self.regular(every, ((time - self.start) / every).round()));
        same(self.end) || self.listed.iter().any(|&t| same(t)) || self.every.is_some_and(regular)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_that_is_next_is_due_and_no_other() {
        let keys = OutputKeys { every: Some(0.1), times: vec![0.55, 0.25], ..OutputKeys::default() };
        let times = Times::new(&keys, 0.0, 0.72);
        let mut all = vec![];
        let mut t = 0.0;
        while let Some(next) = times.next(t) {
            assert!(next > t && times.due(next) && !times.due(0.5 * (t + next)), "{t} {next}");
            all.push(next);
            t = next;
        }
        let expected = [0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.72];
        assert_eq!(all.len(), expected.len(), "{all:?}");
        assert!(all.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{all:?}");
        assert!(times.due(0.0));
        // 3 · 0.3 and 0.9, 7 · 0.1 and 0.7 differ in the last bit.
        let keys = OutputKeys { every: Some(0.3), times: vec![0.7], ..OutputKeys::default() };
        let times = Times::new(&keys, 0.0, 0.9);
        assert_eq!((times.next(0.3), times.next(0.6), times.next(0.7)), (Some(0.6), Some(0.7), Some(0.9)));
        assert_eq!((times.next(7.0 * 0.1), times.next(3.0 * 0.3), times.next(0.9)), (Some(0.9), None, None));
        assert_eq!(Times::new(&OutputKeys::default(), 0.0, 2.0).next(0.0), Some(2.0));
    }
}
