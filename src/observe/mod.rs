//! Those who look and never touch: progress, log, series, checkpoints, limits, output, report.

pub mod limits;
pub mod log;
pub mod numbers;
pub mod progress;
pub mod report;
pub mod series;
pub mod terminal;
pub mod timings;
