//! Progress on stderr: a bar on a terminal, a line every few seconds anywhere else.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::numbers::{plain_digits, with_prefix};
use crate::input::format_seconds;
use crate::state::Name;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Bar,
    Lines,
    None,
}

/// What is known after a step.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub step: u64,
    pub record: &'a [(Name, f64)],
    /// Work done by this process, in the solver's unit, and the seconds it took.
    pub work: (f64, &'static str),
    pub seconds: f64,
    /// Upper bound of the time left, from the limits of steps and wall time.
    pub at_most: Option<f64>,
}

pub struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    last: Instant,
    shown: bool,
}

/// Seconds between two lines; the first comes sooner.
const LINE_EVERY: f64 = 5.0;
const FIRST_LINE: f64 = 1.0;

impl Progress {
    pub fn new(mode: Mode, max_steps: u64) -> Self {
        let bar = (mode == Mode::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(Some(max_steps), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{spinner} step {pos}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Progress { bar, lines: mode == Mode::Lines, last: Instant::now(), shown: false }
    }

    pub fn look(&mut self, look: &Look) {
        if let Some(bar) = &self.bar {
            bar.set_position(look.step);
            if self.last.elapsed() >= Duration::from_millis(100) || !self.shown {
                bar.set_message(words(look));
                self.last = Instant::now();
                self.shown = true;
            }
        } else if self.lines {
            let wait = if self.shown { LINE_EVERY } else { FIRST_LINE };
            if self.last.elapsed().as_secs_f64() >= wait {
                eprintln!("step {}  {}", look.step, words(look));
                self.last = Instant::now();
                self.shown = true;
            }
        }
    }

    /// A line that stays, above the bar if there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None if self.lines => eprintln!("{line}"),
            None => {}
        }
    }

    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
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
    fn a_line_holds_values_rate_and_time_left() {
        const ERROR: Name = Name { name: "marginal_error", units: "1", meaning: "", axes: &[] };
        let look =
            Look { step: 7, record: &[(ERROR, 1.25e-4)], work: (2e9, "entries"), seconds: 2.0, at_most: Some(250.0) };
        assert_eq!(words(&look), "marginal_error 0.000125  1.00 Gentries/s  2.00s, at most 4m10s left");
    }
}
