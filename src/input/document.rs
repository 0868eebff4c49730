//! A TOML text as a tree that remembers where every value was written, so that an error can point at it.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Line of the file, from 1.
    Line(usize),
    /// The text of a `--set`.
    Set(String),
}

/// A value, how it was written (one line, shortened), and where.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    pub written: String,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Leaf(toml::Value),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

/// A syntax error: line, column (from 1; none for an empty span) and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub line: Option<usize>,
    pub message: String,
}

impl Node {
    /// Parses a whole file.
    pub fn parse(text: &str) -> Result<Node, SyntaxError> {
        let reader = Reader { text, set: None };
        let table = DeTable::parse(text).map_err(|e| reader.syntax_error(&e))?;
        let value = reader.table(table.get_ref())?;
        Ok(Node { place: Place::Line(1), written: String::new(), value })
    }

    /// Parses the right side of `--set key=value`: a TOML value, or a bare word taken as a string.
    fn parse_set(set: &str, text: &str) -> Node {
        let place = Place::Set(set.to_string());
        let reader = Reader { text, set: Some(&place) };
        match DeValue::parse(text).ok().map(|v| reader.value(v.get_ref(), v.span())) {
            Some(Ok(node)) => node,
            _ => {
                Node { place, written: format!("{text:?}"), value: Value::Leaf(toml::Value::String(text.to_string())) }
            }
        }
    }

    /// Applies `--set section.key=value`; the error is a sentence.
    pub fn set(&mut self, set: &str) -> Result<(), String> {
        let example = "e.g. --set method.tolerance=1e-8";
        let (path, text) = set.split_once('=').ok_or(format!("--set {set}: needs key=value, {example}"))?;
        let keys: Vec<&str> = path.trim().split('.').map(str::trim).collect();
        if keys.iter().any(|k| k.is_empty()) {
            return Err(format!("--set {set}: needs a dotted key before \"=\", {example}"));
        }
        let value = Node::parse_set(set, text.trim());
        let mut node = self;
        for (depth, key) in keys.iter().enumerate() {
            let Value::Table(entries) = &mut node.value else {
                return Err(format!("--set {set}: {} is a value, not a table", keys[..depth].join(".")));
            };
            let place = Place::Set(set.to_string());
            let at = entries.iter().position(|e| e.key == *key).unwrap_or_else(|| {
                let empty = Node { place: place.clone(), written: String::new(), value: Value::Table(vec![]) };
                entries.push(Entry { key: key.to_string(), place: place.clone(), node: empty });
                entries.len() - 1
            });
            if depth + 1 == keys.len() {
                entries[at] = Entry { key: key.to_string(), place, node: value };
                return Ok(());
            }
            node = &mut entries[at].node;
        }
        Ok(())
    }

    /// The entry of a dotted key; list elements by number, as in `problem.source.mean.0`.
    pub fn find(&self, path: &str) -> Option<(&Place, &Node)> {
        let mut found = (&self.place, self);
        for key in path.split('.') {
            found = match &found.1.value {
                Value::Table(entries) => entries.iter().find(|e| e.key == key).map(|e| (&e.place, &e.node))?,
                Value::Array(items) => items.get(key.parse::<usize>().ok()?).map(|n| (&n.place, n))?,
                Value::Leaf(_) => return None,
            };
        }
        Some(found)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.node),
            _ => None,
        }
    }

    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Leaf(v) => v.clone(),
            Value::Array(items) => toml::Value::Array(items.iter().map(Node::to_toml).collect()),
            Value::Table(entries) => {
                toml::Value::Table(entries.iter().map(|e| (e.key.clone(), e.node.to_toml())).collect())
            }
        }
    }
}

/// Turns the parser's spans into lines; `set` replaces the line when the text is that of a `--set`.
struct Reader<'a> {
    text: &'a str,
    set: Option<&'a Place>,
}

impl Reader<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        self.set.cloned().unwrap_or_else(|| Place::Line(line_and_column(self.text, span.start).0))
    }

    fn syntax_error(&self, error: &toml::de::Error) -> SyntaxError {
        let message = error.message().replace('\n', " ");
        match error.span() {
            Some(span) => {
                let (line, column) = line_and_column(self.text, span.start);
                let source = self.text.lines().nth(line - 1).unwrap_or("").trim();
                let shown = if source.is_empty() { String::new() } else { format!(" in `{}`", shorten(source)) };
                SyntaxError { line: Some(line), message: format!("column {column}: {message}{shown}") }
            }
            None => SyntaxError { line: None, message },
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Value, SyntaxError> {
        let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let node = self.value(value.get_ref(), value.span())?;
            Ok(Entry { key: name.to_string(), place: self.place(&key.span()), node })
        };
        Ok(Value::Table(table.iter().map(entry).collect::<Result<_, _>>()?))
    }

    fn value(&self, value: &DeValue<'_>, span: Range<usize>) -> Result<Node, SyntaxError> {
        let written = shorten(self.text.get(span.clone()).unwrap_or(""));
        let bad = |what: &str| SyntaxError {
            line: Some(line_and_column(self.text, span.start).0),
            message: format!("{written} is not {what}"),
        };
        let leaf = match value {
            DeValue::String(s) => toml::Value::String(s.to_string()),
            DeValue::Integer(i) => toml::Value::Integer(
                i64::from_str_radix(i.as_str(), i.radix()).map_err(|_| bad("an integer of 64 bits with sign"))?,
            ),
            DeValue::Float(x) => {
                let parsed: f64 = x.as_str().parse().map_err(|_| bad("a number"))?;
                if parsed.is_infinite() && !x.as_str().contains("inf") {
                    return Err(bad("within the range of f64, 1.8e308"));
                }
                toml::Value::Float(parsed)
            }
            DeValue::Boolean(b) => toml::Value::Boolean(*b),
            DeValue::Datetime(d) => toml::Value::Datetime(*d),
            DeValue::Array(items) => {
                let items = items.iter().map(|v| self.value(v.get_ref(), v.span())).collect::<Result<_, _>>()?;
                return Ok(Node { place: self.place(&span), written, value: Value::Array(items) });
            }
            DeValue::Table(table) => {
                let written = if written.starts_with('{') { written } else { String::new() };
                return Ok(Node { place: self.place(&span), written, value: self.table(table)? });
            }
        };
        Ok(Node { place: self.place(&span), written, value: Value::Leaf(leaf) })
    }
}

/// Line and column, both from 1, of a byte of the text.
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line, column)
}

/// The first line of what was written, at most 60 characters.
fn shorten(written: &str) -> String {
    let first = written.trim().lines().next().unwrap_or("");
    let short: String = first.chars().take(60).collect();
    if short.len() < written.trim().len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "solver = \"x\"\n\n[problem]\nepsilon = 0.1\nmean = [1.0,\n  2.0]\n[problem.cost]\nkind = \"a\"\n";

    #[test]
    fn every_value_knows_its_line() {
        let doc = Node::parse(TEXT).unwrap();
        let line = |path| doc.find(path).map(|(place, _)| place.clone());
        assert_eq!(line("solver"), Some(Place::Line(1)));
        assert_eq!(line("problem.epsilon"), Some(Place::Line(4)));
        assert_eq!(line("problem.mean.1"), Some(Place::Line(6)));
        assert_eq!(line("problem.cost.kind"), Some(Place::Line(8)));
        assert_eq!(line("problem.absent"), None);
        assert_eq!(doc.find("problem.epsilon").unwrap().1.written, "0.1");
    }

    #[test]
    fn set_replaces_inserts_and_takes_bare_words() {
        let mut doc = Node::parse(TEXT).unwrap();
        doc.set("problem.epsilon=1e-3").unwrap();
        doc.set("method.name = newton").unwrap();
        doc.set("problem.cost={kind=\"b\"}").unwrap();
        let t = doc.to_toml();
        assert_eq!(t["problem"]["epsilon"].as_float(), Some(1e-3));
        assert_eq!(t["method"]["name"].as_str(), Some("newton"));
        assert_eq!(t["problem"]["cost"]["kind"].as_str(), Some("b"));
        assert!(matches!(doc.find("method.name").unwrap().0, Place::Set(s) if s == "method.name = newton"));
        assert!(doc.set("problem.epsilon.x=1").unwrap_err().contains("problem.epsilon is a value"));
        assert!(doc.set("nonsense").unwrap_err().contains("needs key=value"));
        assert!(doc.set("a..b=1").is_err());
    }

    #[test]
    fn syntax_errors_name_line_and_column() {
        let e = Node::parse("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(e.line, Some(2));
        assert!(e.message.starts_with("column 5"), "{}", e.message);
        assert_eq!(Node::parse("a = 1\na = 2\n").unwrap_err().line, Some(2));
        assert!(Node::parse("n = 99999999999999999999\n").unwrap_err().message.contains("64 bits"));
        assert!(Node::parse("x = 1e999\n").unwrap_err().message.contains("range of f64"));
    }
}
