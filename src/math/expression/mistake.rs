//! What is wrong with an expression, and at which character.

use std::fmt;
use std::ops::Range;

/// An error in an expression, shown with a caret line under the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The whole expression.
    pub text: String,
    /// Bytes of the expression the message is about.
    pub span: Range<usize>,
    pub message: String,
}

impl Mistake {
    pub fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Mistake {
        Mistake { text: text.into(), span, message: message.into() }
    }

    /// Line and column (both from 1, columns in characters) at which the span starts.
    pub fn place(&self) -> (usize, usize) {
        let before = &self.text[..self.span.start.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place();
        let shown = self.text.split('\n').nth(line - 1).unwrap_or_default().replace('\t', " ");
        let end = self.span.end.min(self.text.len());
        let marked = &self.text[self.span.start.min(end)..end];
        let carets = marked.split('\n').next().unwrap_or_default().chars().count().max(1);
        let at = if self.text.contains('\n') {
            format!("line {line}, character {column}")
        } else {
            format!("character {column}")
        };
        write!(f, "{} (at {at})\n    {shown}\n    {}{}", self.message, " ".repeat(column - 1), "^".repeat(carets))
    }
}

impl std::error::Error for Mistake {}

/// "; did you mean X?" when one of `known` is close to `word`, else nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(String::new(), |(_, k)| format!("; did you mean \"{k}\"?"))
}
