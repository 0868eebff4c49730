//! Those who look and never touch: progress, log, series, snapshots, checkpoints, limits, output, report.

pub mod limits;
pub mod log;
pub mod numbers;
pub mod progress;
pub mod report;
pub mod series;
pub mod snapshots;
pub mod terminal;
pub mod timings;
