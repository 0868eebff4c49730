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

struct Page<'a> {
    root: &'a Json,
    style: Style,
    out: String,
    /// `$ref`s of tables already shown.
    shown: Vec<String>,
}

impl Page<'_> {
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

    /// A table of keys; tables inside it follow, each kind once.
    fn table(&mut self, paths: &[String], schema: &Json, meaning: &str) {
        let heading = paths.iter().map(|p| format!("[{p}]")).collect::<Vec<_>>().join(" and ");
        let space = if meaning.is_empty() { "" } else { "  " };
        self.out += &format!("\n{}{space}{meaning}\n", self.style.heading(&heading));
        let schema = resolve(self.root, schema);
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
            return;
        };
        let rows: Vec<Row> = properties.iter().map(|(key, value)| self.row(schema, key, value)).collect();
        self.rows(&rows, 2);
        for (key, value) in properties {
            let target = value.get("$ref").and_then(Json::as_str).unwrap_or("").to_string();
            let inner = resolve(self.root, value);
            let is_union = tagged(self.root, inner).is_some();
            if !(is_union || inner.get("properties").is_some()) || self.shown.contains(&target) {
                continue;
            }
            // source and target, say, are the same kind of table: one heading for both.
            let same = |v: &Json| !target.is_empty() && v.get("$ref").and_then(Json::as_str) == Some(&target);
            let keys = properties.iter().filter(|(k, v)| *k == key || same(v)).map(|(k, _)| k);
            let paths: Vec<String> = keys.map(|k| format!("{}.{k}", paths[0])).collect();
            self.shown.push(target.clone());
            let meaning = inner.get("description").and_then(Json::as_str).unwrap_or("");
            if is_union { self.union(&paths, inner, meaning) } else { self.table(&paths, value, meaning) }
        }
    }

    /// A union of tables told apart by `kind`.
    fn union(&mut self, paths: &[String], schema: &Json, meaning: &str) {
        let Some((tag, list)) = tagged(self.root, schema) else { return };
        let heading = paths.iter().map(|p| format!("[{p}]")).collect::<Vec<_>>().join(" and ");
        self.out += &format!("\n{}  {meaning}\n", self.style.heading(&heading));
        for (word, branch) in list {
            let meaning = branch.get("description").and_then(Json::as_str).unwrap_or("");
            let head = format!("{tag} = {word:?}");
            let indent = head.chars().count() + 4;
            self.out += &format!("  {}  {}\n", self.style.bold(&head), wrap(meaning, WIDTH, indent));
            let Some(properties) = branch.get("properties").and_then(Json::as_object) else { continue };
            let rows: Vec<Row> =
                properties.iter().filter(|(k, _)| *k != tag).map(|(k, v)| self.row(branch, k, v)).collect();
            self.rows(&rows, 6);
        }
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
