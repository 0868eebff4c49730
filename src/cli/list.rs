//! `spanwise list [SOLVER]`: solvers, methods, and every key of an input, straight from the typed structs.

use serde_json::Value as Json;

use crate::error::Result;
use crate::input::schema::{describe, of_solver, resolve, tagged, words};
use crate::observe::terminal::{Style, wrap};
use crate::solvers;

const WIDTH: usize = 118;

pub fn text(name: Option<&str>, style: Style) -> Result<String> {
    match name {
        None => Ok(all(style)),
        Some(name) => {
            let entry = super::solver(name)?;
            let schema = of_solver(entry);
            let mut page = Page { root: &schema, style, out: String::new(), shown: Vec::new() };
            page.out += &format!("{}  {}\n", style.bold(entry.name), entry.summary);
            let methods = (entry.methods)().into_iter().map(|(name, line)| (name.to_string(), line.to_string()));
            page.listed("Methods", &methods.collect::<Vec<_>>());
            page.listed("First states by name, of each equation", &(entry.initials)());
            page.sections();
            Ok(page.out)
        }
    }
}

fn all(style: Style) -> String {
    let entries = solvers::registry();
    let width = entries.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for e in entries {
        out += &format!("{}  {}\n", style.bold(&format!("{:width$}", e.name)), e.summary);
    }
    out += "\nspanwise list NAME shows the methods of a solver and every key of its input.\n";
    out
}

/// One line of a table of keys.
struct Row {
    key: String,
    allowed: String,
    default: String,
    meaning: String,
    words: Vec<(String, String)>,
}

/// A key of a table with its schema, and in a union the word that tells the table from the others.
type Key<'a> = (&'a str, &'a str, &'a Json);

fn properties(schema: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let map = schema.get("properties").and_then(Json::as_object);
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// What a schema refers to.
fn reference(schema: &Json) -> Option<&str> {
    schema.get("$ref").and_then(Json::as_str)
}

struct Page<'a> {
    root: &'a Json,
    style: Style,
    out: String,
    /// `$ref`s of tables already shown.
    shown: Vec<String>,
}

impl<'a> Page<'a> {
    fn listed(&mut self, heading: &str, rows: &[(String, String)]) {
        if rows.is_empty() {
            return;
        }
        self.out += &format!("\n{}\n", self.style.heading(heading));
        let width = rows.iter().map(|(n, _)| n.len()).max().unwrap_or(0);
        for (name, line) in rows {
            let line = wrap(line, WIDTH, width + 4);
            self.out += &format!("  {}  {line}\n", self.style.bold(&format!("{name:width$}")));
        }
    }

    fn sections(&mut self) {
        let Some(sections) = self.root["properties"].as_object() else { return };
        for (name, schema) in sections {
            let meaning = schema.get("description").and_then(Json::as_str).unwrap_or("");
            let meaning = if meaning.starts_with('`') { "" } else { meaning };
            match name.as_str() {
                "solver" => self.out += &format!("\n{} = {}\n", self.style.bold("solver"), schema["const"]),
                _ => self.table(std::slice::from_ref(name), schema, meaning),
            }
        }
    }

    fn heading(&mut self, paths: &[String], meaning: &str) {
        let heading = paths.iter().map(|p| format!("[{p}]")).collect::<Vec<_>>().join(" and ");
        let meaning = wrap(meaning, WIDTH, heading.chars().count() + 2);
        let space = if meaning.is_empty() { "" } else { "  " };
        self.out += &format!("\n{}{space}{meaning}\n", self.style.heading(&heading));
    }

    /// A table of keys, or a union of tables told apart by a tag; the tables inside follow.
    fn table(&mut self, paths: &[String], schema: &'a Json, meaning: &str) {
        self.heading(paths, meaning);
        let schema = resolve(self.root, schema);
        let (mut tag, mut keys) = ("", Vec::new());
        if let Some((word_of, list)) = tagged(self.root, schema) {
            tag = word_of;
            for (word, branch) in list {
                let meaning = branch.get("description").and_then(Json::as_str).unwrap_or("");
                let head = format!("{tag} = {word:?}");
                let indent = head.chars().count() + 4;
                self.out += &format!("  {}  {}\n", self.style.bold(&head), wrap(meaning, WIDTH, indent));
                let own = properties(branch).filter(|(key, _)| *key != tag);
                let own: Vec<Key> = own.map(|(key, value)| (word, key, value)).collect();
                self.keys(branch, &own, 6);
                keys.extend(own);
            }
        } else {
            keys.extend(properties(schema).map(|(key, value)| ("", key, value)));
            self.keys(schema, &keys, 2);
        }
        self.inner(paths[0].trim_matches(['[', ']']), tag, &keys);
    }

    fn keys(&mut self, table: &Json, keys: &[Key], indent: usize) {
        let rows: Vec<Row> = keys.iter().map(|(_, key, value)| self.row(table, key, value)).collect();
        self.rows(&rows, indent);
    }

    /// The tables that `keys` of the table at `path` hold, each kind once.
    fn inner(&mut self, path: &str, tag: &str, keys: &[Key<'a>]) {
        for (_, key, value) in keys {
            let Some((schema, _)) = self.held(key, value) else { continue };
            let target = reference(schema);
            if self.shown.iter().any(|shown| Some(shown.as_str()) == target) {
                continue;
            }
            // source and target, say, are the same kind of table: one heading for both.
            let (mut paths, mut words) = (Vec::new(), Vec::new());
            for (word, other, at) in keys {
                let Some((found, name)) = self.held(other, at) else { continue };
                if !(std::ptr::eq(*at, *value) || target.is_some() && reference(found) == target) {
                    continue;
                }
                let full = match name.strip_prefix('[') {
                    Some(of_list) => format!("[{path}.{of_list}"),
                    None => format!("{path}.{name}"),
                };
                if !paths.contains(&full) {
                    paths.push(full);
                }
                let word = format!("{word:?}");
                if !tag.is_empty() && !words.contains(&word) {
                    words.push(word);
                }
            }
            self.shown.extend(target.map(str::to_string));
            let meaning = resolve(self.root, schema).get("description").and_then(Json::as_str).unwrap_or("");
            let meaning = match words.as_slice() {
                [] => meaning.to_string(),
                _ => format!("Where {tag} = {}: {meaning}", words.join(" or ")),
            };
            self.table(&paths, schema, &meaning);
        }
    }

    /// The table that a key holds, or of which it holds a list or several by name, and what to call it: `key`, `[key]`,
    /// `key.NAME`.
    fn held(&self, key: &str, value: &'a Json) -> Option<(&'a Json, String)> {
        let schema = resolve(self.root, value);
        let ways = [
            (Some(value), key.to_string()),
            (schema.get("items"), format!("[{key}]")),
            (schema.get("additionalProperties"), format!("{key}.NAME")),
        ];
        ways.into_iter().find_map(|(schema, name)| {
            let inner = resolve(self.root, schema?);
            let is_table = tagged(self.root, inner).is_some() || inner.get("properties").is_some();
            is_table.then_some((schema?, name))
        })
    }

    fn row(&self, table: &Json, key: &str, value: &Json) -> Row {
        let inner = resolve(self.root, value);
        let description = value.get("description").or_else(|| inner.get("description"));
        let list = words(self.root, value);
        let items = inner.get("items").and_then(|items| words(self.root, items));
        let is_table = tagged(self.root, inner).is_some() || inner.get("properties").is_some();
        let allowed = match (&list, &items, is_table) {
            (Some(_), _, _) => "word".to_string(),
            (_, Some(_), _) => "list of words".to_string(),
            (_, _, true) => "table".to_string(),
            _ => describe(self.root, value).replace("a text in quotes", "text").replace("true or false", "true/false"),
        };
        let allowed = allowed.trim_start_matches("a ").trim_start_matches("an ").replace("an integer", "integer");
        let required = table.get("required").and_then(Json::as_array).is_some_and(|r| r.iter().any(|k| k == key));
        let default = match value.get("default") {
            _ if required => "required".to_string(),
            Some(Json::Object(map)) => map.get("kind").map_or("–".to_string(), Json::to_string),
            Some(default) => default.to_string(),
            None => "–".to_string(),
        };
        let own = |(w, m): (&str, &str)| (format!("{w:?}"), m.to_string());
        Row {
            key: key.to_string(),
            allowed,
            default,
            meaning: description.and_then(Json::as_str).unwrap_or("").to_string(),
            words: list.or(items).unwrap_or_default().into_iter().map(own).collect(),
        }
    }

    fn rows(&mut self, rows: &[Row], indent: usize) {
        let width = |f: fn(&Row) -> &str| rows.iter().map(|r| f(r).chars().count()).max().unwrap_or(0);
        let (key, allowed, default) = (width(|r| &r.key), width(|r| &r.allowed).min(30), width(|r| &r.default));
        for r in rows {
            let name = self.style.bold(&format!("{:key$}", r.key));
            let first = format!("{:indent$}{name}  {:allowed$}  {:default$}  ", "", r.allowed, r.default);
            let column = indent + key + 2 + r.allowed.chars().count().max(allowed) + 2 + default + 2;
            self.out += &first;
            self.out += wrap(&r.meaning, WIDTH, column).trim_end();
            self.out.push('\n');
            let column = indent + 4;
            if r.words.iter().all(|(_, m)| m.is_empty()) {
                if !r.words.is_empty() {
                    let list = r.words.iter().map(|(w, _)| w.as_str()).collect::<Vec<_>>().join(", ");
                    self.out += &format!("{:column$}{}\n", "", wrap(&list, WIDTH, column));
                }
                continue;
            }
            let word = r.words.iter().map(|(w, _)| w.chars().count()).max().unwrap_or(0);
            for (w, meaning) in &r.words {
                let meaning = wrap(meaning, WIDTH, column + word + 2);
                self.out += &format!("{:column$}{w:word$}  {meaning}\n", "");
            }
        }
    }
}
