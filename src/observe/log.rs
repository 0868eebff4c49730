//! `run.log`: plain lines with the time in UTC, written by rank 0.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// A log, or nothing on the ranks that keep none.
#[derive(Debug, Default)]
pub struct Log {
    file: Option<File>,
}

impl Log {
    /// A new file, or the end of the old one when a run goes on.
    pub fn open(path: &Path, append: bool) -> Result<Log> {
        let file = File::options().create(true).write(true).append(append).truncate(!append).open(path);
        Ok(Log { file: Some(file.map_err(|e| Error::file(path, e))?) })
    }

    /// A log that a full disk cuts short is no reason to lose a run.
    pub fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            let now = utc(SystemTime::now());
            let lines: String = text.lines().map(|line| format!("{now} {line}\n")).collect();
            let _ = file.write_all(lines.as_bytes());
        }
    }
}

/// "2024-02-29T12:34:56Z".
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) as i64;
    let (days, s) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

/// Year, month, day of a day after 1970-01-01 in the Gregorian calendar: years start in March, so that the leap day
/// is the last of its year, and 400 years have 146097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // 0: March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year_of_era + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_follow_the_calendar() {
        let at = |s| utc(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_210_096), "2024-02-29T12:34:56Z");
        assert_eq!(at(4_102_444_800), "2100-01-01T00:00:00Z");
    }
}
