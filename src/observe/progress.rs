//! Progress on stderr: a bar on a terminal, a line every few seconds anywhere else.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::numbers::{plain_digits, with_prefix};
use crate::error::tell;
use crate::input::format_seconds;
use crate::state::Name;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Bar,
    Lines,
    /// Warnings alone.
    None,
    /// Nothing.
    Quiet,
}

/// What is known after a step.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub step: u64,
    pub record: &'a [(Name, f64)],
    /// Work done by this process, in the solver's unit, and the seconds it took.
    pub work: (f64, &'static str),
    pub seconds: f64,
    /// The last step, where the solver knows it.
    pub last: Option<u64>,
    /// Upper bound of the time left, from the last step that is expected and the limit of wall time.
    pub at_most: Option<f64>,
}

pub struct Progress {
    /// A spinner, until the last step is known.
    bar: Option<ProgressBar>,
    barred: bool,
    lines: bool,
    quiet: bool,
    last: Instant,
    shown: bool,
}

/// Seconds between two lines; the first comes sooner.
const LINE_EVERY: f64 = 5.0;
const FIRST_LINE: f64 = 1.0;

impl Progress {
    pub fn new(mode: Mode) -> Self {
        let bar = (mode == Mode::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style("{spinner} step {pos}  {msg}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let (lines, quiet) = (mode == Mode::Lines, mode == Mode::Quiet);
        Progress { bar, barred: false, lines, quiet, last: Instant::now(), shown: false }
    }

    pub fn look(&mut self, look: &Look) {
        if let Some(bar) = &self.bar {
            if let Some(last) = look.last {
                bar.set_length(last);
                if !self.barred {
                    bar.set_style(style("{bar:20} step {pos} of {len}  {msg}"));
                    self.barred = true;
                }
            }
            bar.set_position(look.step);
            if self.last.elapsed() >= Duration::from_millis(100) || !self.shown {
                bar.set_message(words(look));
                self.last = Instant::now();
                self.shown = true;
            }
        } else if self.lines {
            let wait = if self.shown { LINE_EVERY } else { FIRST_LINE };
            if self.last.elapsed().as_secs_f64() >= wait {
                tell(format_args!("step {}  {}", look.step, words(look)));
                self.last = Instant::now();
                self.shown = true;
            }
        }
    }

    /// A line that stays, above the bar if there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None if self.quiet => {}
            None => tell(line),
        }
    }

    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// How long steps take: the mean since the present stage of the run began, which is the last step of the stage before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    stage: u64,
    step: u64,
    seconds: f64,
}

impl Pace {
    /// A process that begins at a step.
    pub fn from(stage: u64, step: u64) -> Pace {
        Pace { stage, step, seconds: 0.0 }
    }

    /// Seconds from `step`, reached after `seconds`, to the step `last`; `None` where that or the pace is unknown.
    pub fn seconds_left(&mut self, stage: u64, step: u64, seconds: f64, last: Option<u64>) -> Option<f64> {
        if stage != self.stage {
            *self = Pace { stage, step, seconds };
        }
        let (done, left) = (step.saturating_sub(self.step), last?.saturating_sub(step));
        match (done, left) {
            (_, 0) => Some(0.0),
            (0, _) => None,
            _ => Some((seconds - self.seconds) / done as f64 * left as f64),
        }
    }
}

/// "marginal_error 1.2e-4  1.30 Gentries/s  12.3s, at most 4m10s left".
pub fn words(look: &Look) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (name, value) in look.record.iter().take(4) {
        let unit = if name.units == "1" { String::new() } else { format!(" {}", name.units) };
        parts.push(format!("{} {}{unit}", name.name, plain_digits(*value, 4)));
    }
    if look.seconds > 0.0 && look.work.0 > 0.0 {
        parts.push(with_prefix(look.work.0 / look.seconds, &format!("{}/s", look.work.1)));
    }
    let left = look.at_most.map(|s| format!(", at most {} left", format_seconds(s))).unwrap_or_default();
    parts.push(format!("{}{left}", format_seconds(look.seconds)));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_stages_steps_to_the_last_one() {
        // Three rounds of training of 10 s, then replicates of 2 s, eight in all.
        let mut pace = Pace::default();
        assert_eq!(pace.seconds_left(0, 1, 10.0, None), None);
        assert_eq!(pace.seconds_left(0, 2, 20.0, None), None);
        assert_eq!(pace.seconds_left(1, 3, 30.0, Some(11)), None);
        assert_eq!(pace.seconds_left(1, 5, 34.0, Some(11)), Some(12.0));
        assert_eq!(pace.seconds_left(1, 11, 46.0, Some(11)), Some(0.0));
        // Resumed after five steps; and a run whose limit of steps is all that is known.
        assert_eq!(Pace::from(1, 5).seconds_left(1, 7, 4.0, Some(11)), Some(8.0));
        assert_eq!(Pace::default().seconds_left(0, 10, 5.0, Some(100)), Some(45.0));
    }

    #[test]
    fn a_line_holds_values_rate_and_time_left() {
        const ERROR: Name = Name { name: "marginal_error", units: "1", meaning: "", axes: &[] };
        let look = Look {
            step: 7,
            record: &[(ERROR, 1.25e-4)],
            work: (2e9, "entries"),
            seconds: 2.0,
            last: None,
            at_most: Some(250.0),
        };
        assert_eq!(words(&look), "marginal_error 0.000125  1.00 Gentries/s  2.00s, at most 4m10s left");
    }
}
