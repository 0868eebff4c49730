//! Spans of time as users write them: "55m", "1h30m", "90s", 3300.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time: plain seconds, or a text such as "55m", "1h30m", "90s", "2d".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Time {
    /// Seconds.
    Seconds(#[schemars(extend("exclusiveMinimum" = 0))] f64),
    /// A text such as "55m", "1h30m", "90s", "2d".
    Text(String),
}

/// Steps between two events, or the time between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cadence {
    /// Steps.
    Steps(#[schemars(range(min = 1))] u64),
    /// A time such as "10m", "1h30m", "90s".
    Time(String),
}

impl Time {
    pub fn seconds(&self) -> Result<f64, String> {
        match self {
            Time::Seconds(s) => in_range(*s),
            Time::Text(text) => parse_seconds(text),
        }
    }
}

/// A longer time cannot be meant: a hundred years, in seconds. Clocks count nanoseconds in 64 bits.
const LONGEST: f64 = 100.0 * 365.25 * 86400.0;

fn in_range(seconds: f64) -> Result<f64, String> {
    match seconds {
        s if s > LONGEST => Err("must be at most a hundred years".to_string()),
        s if s > 0.0 => Ok(s),
        _ => Err("must be more than zero".to_string()),
    }
}

/// Seconds of "1h30m", "90s", "0.5h", "3300"; more than zero, at most a hundred years.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    let bad = || "must be a time such as \"90s\", \"55m\", \"1h30m\", \"2d\", or seconds".to_string();
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "" if rest.is_empty() && total == 0.0 => 1.0,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(bad()),
        };
        total += number * unit;
        rest = rest[letters..].trim_start();
    }
    in_range(total)
}

/// The other way, for people: 5025 s is "1h23m45s"; below a minute with one decimal.
pub fn format_seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_string();
    }
    if seconds < 59.95 {
        return if seconds < 9.995 { format!("{seconds:.2}s") } else { format!("{seconds:.1}s") };
    }
    let s = seconds.round() as u64;
    let (d, h, m, s) = (s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    match (d, h) {
        (0, 0) => format!("{m}m{s:02}s"),
        (0, _) => format!("{h}h{m:02}m{s:02}s"),
        _ => format!("{d}d{h:02}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_written() {
        for (text, seconds) in
            [("55m", 3300.0), ("1h30m", 5400.0), ("90s", 90.0), ("3300", 3300.0), ("0.5h", 1800.0), ("1d 2h", 93600.0)]
        {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
        for text in ["", "m", "5x", "-3s", "1h30", "0s", "1..2s", "nan", "infs"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
        // Seconds beyond what a clock can count, written either way.
        let long = "must be at most a hundred years";
        for time in [Time::Text("99999999999999999999h".into()), Time::Text("101d99999h999999d".into())] {
            assert_eq!(time.seconds().unwrap_err(), long);
        }
        assert_eq!(Time::Seconds(1e30).seconds().unwrap_err(), long);
        assert_eq!(Time::Text("36525d".into()).seconds(), Ok(LONGEST));
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(format_seconds(0.1234), "0.12s");
        assert_eq!(format_seconds(59.0), "59.0s");
        assert_eq!(format_seconds(5025.0), "1h23m45s");
        assert_eq!(format_seconds(60.0), "1m00s");
        assert_eq!(format_seconds(90061.0), "1d01h01m");
    }
}
