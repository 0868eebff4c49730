//! What the terminal can do, and the few marks that are put on text for it.

use std::io::IsTerminal;

use crate::team::launch;

/// Whether text is marked with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    pub colour: bool,
}

impl Style {
    fn mark(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub fn bold(self, text: &str) -> String {
        self.mark("1", text)
    }

    pub fn heading(self, text: &str) -> String {
        self.mark("1;34", text)
    }

    pub fn good(self, text: &str) -> String {
        self.mark("32", text)
    }

    pub fn warn(self, text: &str) -> String {
        self.mark("33", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.mark("1;31", text)
    }

    pub fn faint(self, text: &str) -> String {
        self.mark("2", text)
    }
}

/// Whether a launcher of ranks started this process.
pub fn under_launcher() -> bool {
    launch::under_launcher(&launch::environment)
}

/// Under a launcher stdout looks like a terminal even when it is piped, and stderr never does: both are not asked.
pub fn colour_on_stdout() -> bool {
    !under_launcher() && no_color_unset() && std::io::stdout().is_terminal()
}

pub fn colour_on_stderr() -> bool {
    !under_launcher() && no_color_unset() && std::io::stderr().is_terminal()
}

fn no_color_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// Breaks a text at blanks into lines of at most `width` columns, the first starting at column `indent` and the
/// others indented by it.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let room = width.saturating_sub(indent).max(24);
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let n = word.chars().count();
        if used > 0 && used + 1 + n > room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out += word;
        used += n;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_keep_within_the_width() {
        let text = "one two three four five six seven eight nine ten eleven twelve";
        let wrapped = wrap(text, 40, 10);
        for line in wrapped.lines().skip(1) {
            assert!(line.starts_with("          ") && line.chars().count() <= 40, "{line}");
        }
        assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>().join(" "), text);
    }
}
