//! The end of a run in words: `report.json` for programs, a table on stdout for people.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::numbers::{bytes, plain, show, with_prefix};
use super::terminal::{Style, wrap};
use super::timings::TeamTimings;
use crate::error::{Error, Result};
use crate::input::format_seconds;
use crate::solvers::{ErrorBar, Number};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// What was asked was reached.
    Converged,
    /// A limit of steps or wall time, or a signal; the words say which.
    Limit(String),
    /// No further progress at this precision.
    Stalled(String),
}

impl Ending {
    /// `status` of output.h5 and report.json.
    pub fn status(&self) -> &'static str {
        match self {
            Ending::Converged => "converged",
            Ending::Limit(_) => "limit",
            Ending::Stalled(_) => "stalled",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            Ending::Converged => "",
            Ending::Limit(words) | Ending::Stalled(words) => words,
        }
    }

    pub fn exit_code(&self) -> u8 {
        if *self == Ending::Converged { 0 } else { 3 }
    }
}

/// All that is said at the end.
#[derive(Debug, Clone)]
pub struct Report {
    pub solver: &'static str,
    pub input: String,
    pub ending: Ending,
    /// Steps since the first start, and where this process went on from.
    pub steps: u64,
    pub resumed_from: Option<u64>,
    pub numbers: Vec<Number>,
    pub warnings: Vec<String>,
    pub timings: TeamTimings,
    /// Work done by this process, its unit, and the seconds of its steps.
    pub work: f64,
    pub unit: &'static str,
    pub step_seconds: f64,
    /// Seconds of certificates and derived results, after the steps.
    pub finish_seconds: f64,
    pub ranks: usize,
    pub threads: usize,
    pub hosts: usize,
    pub files: Vec<String>,
}

impl Report {
    fn rate(&self) -> f64 {
        if self.step_seconds > 0.0 { self.work / self.step_seconds } else { 0.0 }
    }

    /// Values that are not finite are `null`.
    pub fn to_json(&self) -> Json {
        let t = &self.timings;
        let error = |e: ErrorBar| match e {
            ErrorBar::Interval(lower, upper) => json!({ "kind": "interval", "lower": lower, "upper": upper }),
            ErrorBar::StdErr(s) => json!({ "kind": "standard_error", "value": s }),
            ErrorBar::None => Json::Null,
        };
        let number = |n: &Number| json!({ "name": n.name, "value": n.value, "unit": n.unit, "meaning": n.meaning, "error": error(n.error) });
        json!({
            "format": "spanwise-report",
            "format_version": 1,
            "spanwise_version": env!("CARGO_PKG_VERSION"),
            "commit": crate::build_info::COMMIT,
            "solver": self.solver,
            "input": self.input,
            "status": self.ending.status(),
            "reason": self.ending.reason(),
            "exit_code": self.ending.exit_code(),
            "steps": self.steps,
            "resumed_from": self.resumed_from,
            "numbers": self.numbers.iter().map(number).collect::<Vec<_>>(),
            "warnings": self.warnings,
            "timings": {
                "total_seconds": t.mean.total,
                "build_seconds": t.mean.build,
                "step_seconds": self.step_seconds,
                "finish_seconds": self.finish_seconds,
                "compute_seconds": t.mean.compute,
                "communication_seconds": (t.mean.communication - t.idle).max(0.0),
                "idle_seconds": t.idle.min(t.mean.communication),
                "io_seconds": t.mean.io,
            },
            "memory": { "peak_bytes_of_largest_rank": t.peak_memory },
            "communication": { "bytes_of_busiest_rank": t.bytes_sent, "calls": t.calls },
            "work": { "amount": self.work, "unit": self.unit, "seconds": self.step_seconds, "per_second": self.rate() },
            "ranks": self.ranks,
            "threads_per_rank": self.threads,
            "hosts": self.hosts,
            "files": self.files,
        })
    }

    /// Writes `report.json` through a temporary name.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let (temporary, path) = (directory.join("report.json.tmp"), directory.join("report.json"));
        let text = format!("{:#}\n", self.to_json());
        let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path));
        written.map_err(|e| Error::file(path, e))
    }

    /// The table on stdout.
    pub fn table(&self, directory: &Path, style: Style) -> String {
        let status = match &self.ending {
            Ending::Converged => style.good("converged"),
            Ending::Limit(why) => style.warn(&format!("stopped by {why}")),
            Ending::Stalled(why) => style.warn(&format!("stalled: {why}")),
        };
        let of_steps = match (self.steps, self.resumed_from) {
            (n, Some(from)) => format!("{n} steps ({from} of them before --resume)"),
            (1, None) => "1 step".to_string(),
            (n, None) => format!("{n} steps"),
        };
        let mut out = format!("{}  {status} after {of_steps}\n", style.bold(self.solver));
        out += &rows(&self.numbers, style);
        let t = &self.timings;
        let ranks = if self.ranks == 1 { "1 rank".to_string() } else { format!("{} ranks", self.ranks) };
        let threads = if self.threads == 1 { "1 thread".to_string() } else { format!("{} threads", self.threads) };
        let rate = match self.rate() {
            r if r > 0.0 => format!(", {}", with_prefix(r, &format!("{}/s", self.unit))),
            _ => String::new(),
        };
        out += &style.faint(&format!(
            "{} on {ranks} × {threads}{rate}, at most {} per rank",
            format_seconds(t.mean.total),
            bytes(t.peak_memory)
        ));
        let shown = directory.display().to_string();
        let shown = shown.trim_end_matches('/');
        let files = self.files.iter().map(|f| format!("{shown}/{f}")).collect::<Vec<_>>().join("  ");
        out + "\n" + &wrap(&files, 118, 0) + "\n"
    }
}

/// Name, value, error, unit and meaning in columns.
fn rows(numbers: &[Number], style: Style) -> String {
    let shown: Vec<_> = numbers.iter().map(show).collect();
    let chars = |s: &str| s.chars().count();
    let name = numbers.iter().map(|n| chars(n.name)).max().unwrap_or(0);
    let value = shown.iter().map(|s| chars(&s.value)).max().unwrap_or(0);
    let error = shown.iter().map(|s| chars(&s.error)).max().unwrap_or(0);
    let unit = numbers.iter().map(|n| chars(unit_words(n.unit))).max().unwrap_or(0);
    let mut out = String::new();
    for (n, s) in numbers.iter().zip(&shown) {
        let mut line = format!("  {:name$}  {}", n.name, style.bold(&format!("{:<value$}", s.value)));
        if error > 0 {
            line += &format!("  {:error$}", s.error);
        }
        if unit > 0 {
            line += &format!("  {:unit$}", unit_words(n.unit));
        }
        out += &format!("{}\n", format!("{line}  {}", style.faint(n.meaning)).trim_end());
    }
    out
}

fn unit_words(unit: &str) -> &str {
    if unit == "1" { "" } else { unit }
}

/// The one line on stderr of a run that ends with code 3.
pub fn stopped_short(report: &Report, directory: &Path) -> String {
    let why = match &report.ending {
        Ending::Stalled(why) => format!("stalled: {why}"),
        ending => format!("stopped by {}", ending.reason()),
    };
    let steps = plain(report.steps as f64) + if report.steps == 1 { " step" } else { " steps" };
    format!("{why} after {steps}; the results so far are in {}; --resume goes on", directory.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let number = |name, value, error| Number { name, unit: "1", meaning: "a cost", value, error };
        Report {
            solver: "toy",
            input: "a.toml".into(),
            ending: Ending::Limit("the limit of steps".into()),
            steps: 12,
            resumed_from: None,
            numbers: vec![
                number("cost", 0.123456789, ErrorBar::Interval(0.1234567, 0.1234569)),
                number("mass", f64::NAN, ErrorBar::None),
            ],
            warnings: vec!["steps are long".into()],
            timings: TeamTimings::default(),
            work: 2e9,
            unit: "entries",
            step_seconds: 2.0,
            finish_seconds: 0.0,
            ranks: 2,
            threads: 1,
            hosts: 1,
            files: vec!["output.h5".into()],
        }
    }

    #[test]
    fn the_table_shows_certified_intervals_and_the_rate() {
        let table = report().table(Path::new("a.out"), Style::default());
        assert!(table.contains("cost  0.123456789  ∈ [0.12345670, 0.12345690]  a cost"), "{table}");
        assert!(table.contains("1.00 Gentries/s") && table.contains("a.out/output.h5"), "{table}");
        assert!(table.starts_with("toy  stopped by the limit of steps after 12 steps\n"), "{table}");
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn the_json_has_error_bars_and_null_for_nan() {
        let json = report().to_json();
        assert_eq!(json["numbers"][0]["error"]["lower"], 0.1234567);
        assert_eq!(json["numbers"][1]["value"], Json::Null);
        assert_eq!((json["status"].as_str(), json["exit_code"].as_u64()), (Some("limit"), Some(3)));
        assert_eq!(json["work"]["per_second"], 1e9);
    }
}
