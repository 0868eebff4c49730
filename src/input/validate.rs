//! One validator for every section: walks the TOML beside the JSON schema and says the first thing that is wrong.

use serde_json::Value as Json;

use super::document::{Entry, Node, Place, Value};
use super::schema::{branches, describe, length, resolve, tagged, words};

/// What is wrong with a value, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Dotted key, "" for the whole file.
    pub key: String,
    pub place: Place,
    /// The value as written; empty when there is none to show.
    pub written: String,
    pub message: String,
}

/// Checks a node against a schema; `root` holds the `$defs`. Unknown keys come first, since a misspelt key also
/// leaves the right one missing.
pub fn validate(root: &Json, schema: &Json, node: &Node, key: &str) -> Result<(), Finding> {
    let check = Check { root };
    check.value(schema, node, &node.place, key)
}

struct Check<'a> {
    root: &'a Json,
}

impl Check<'_> {
    fn value(&self, outer: &Json, node: &Node, place: &Place, key: &str) -> Result<(), Finding> {
        let schema = resolve(self.root, outer);
        let wrong = |message: String| Err(finding(key, place, &node.written, message));
        if let Some(words) = words(self.root, schema) {
            return self.word(&words, outer, node, place, key);
        }
        if let Some((tag, list)) = tagged(self.root, schema) {
            return self.tagged(tag, &list, outer, node, place, key);
        }
        if let Some(branches) = branches(schema) {
            let fits = branches.iter().find(|b| fits_type(self.root, b, node));
            return match fits {
                Some(branch) => self.value(branch, node, place, key),
                None => wrong(format!("must be {}, not {}", describe(self.root, outer), type_name(node))),
            };
        }
        if !fits_type(self.root, schema, node) {
            let hint = match (schema.get("type").and_then(Json::as_str), &node.value) {
                (Some("integer"), Value::Leaf(toml::Value::Float(x))) if x.fract() == 0.0 && x.abs() < 1e15 => {
                    format!(" (write {x:.0})")
                }
                (Some("string"), Value::Leaf(_)) => format!(" (write \"{}\")", node.written),
                _ => String::new(),
            };
            return wrong(format!("must be {}, not {}{hint}", describe(self.root, outer), type_name(node)));
        }
        match &node.value {
            Value::Leaf(leaf) => self.bounds(schema, outer, leaf, node, place, key),
            Value::Array(items) => self.array(schema, items, node, place, key),
            Value::Table(entries) => self.table(schema, entries, place, key),
        }
    }

    fn bounds(
        &self,
        schema: &Json,
        outer: &Json,
        leaf: &toml::Value,
        node: &Node,
        place: &Place,
        key: &str,
    ) -> Result<(), Finding> {
        let allowed = || format!("must be {}", describe(self.root, outer));
        let x = match leaf {
            toml::Value::Integer(i) => *i as f64,
            toml::Value::Float(x) if x.is_finite() => *x,
            toml::Value::Float(_) => {
                return Err(finding(key, place, &node.written, format!("{} and finite", allowed())));
            }
            _ => return Ok(()),
        };
        // Siblings of a `$ref` hold bounds too.
        for s in [schema, outer] {
            let limit = |name: &str| s.get(name).and_then(Json::as_f64);
            let ok = limit("minimum").is_none_or(|a| x >= a)
                && limit("exclusiveMinimum").is_none_or(|a| x > a)
                && limit("maximum").is_none_or(|b| x <= b)
                && limit("exclusiveMaximum").is_none_or(|b| x < b);
            if !ok {
                return Err(finding(key, place, &node.written, allowed()));
            }
        }
        Ok(())
    }

    fn word(&self, words: &[(&str, &str)], outer: &Json, node: &Node, place: &Place, key: &str) -> Result<(), Finding> {
        let Value::Leaf(toml::Value::String(text)) = &node.value else {
            let message = format!("must be {}, not {}", describe(self.root, outer), type_name(node));
            return Err(finding(key, place, &node.written, message));
        };
        if words.iter().any(|(w, _)| w == text) {
            return Ok(());
        }
        let hint = did_you_mean(text, words.iter().map(|(w, _)| *w));
        Err(finding(key, place, &node.written, format!("must be {}{hint}", describe(self.root, outer))))
    }

    fn tagged(
        &self,
        tag: &str,
        list: &[(&str, &Json)],
        outer: &Json,
        node: &Node,
        place: &Place,
        key: &str,
    ) -> Result<(), Finding> {
        let allowed = list.iter().map(|(w, _)| format!("{w:?}")).collect::<Vec<_>>().join(", ");
        let Value::Table(entries) = &node.value else {
            let message = format!("must be {}, not {}", describe(self.root, outer), type_name(node));
            return Err(finding(key, place, &node.written, message));
        };
        let tag_key = join(key, tag);
        let Some(entry) = entries.iter().find(|e| e.key == tag) else {
            return Err(finding(&tag_key, place, "", format!("is missing; one of {allowed}")));
        };
        let Value::Leaf(toml::Value::String(word)) = &entry.node.value else {
            let message = format!("must be one of {allowed}, not {}", type_name(&entry.node));
            return Err(finding(&tag_key, &entry.place, &entry.node.written, message));
        };
        let Some((_, branch)) = list.iter().find(|(w, _)| w == word) else {
            let hint = did_you_mean(word, list.iter().map(|(w, _)| *w));
            return Err(finding(
                &tag_key,
                &entry.place,
                &entry.node.written,
                format!("must be one of {allowed}{hint}"),
            ));
        };
        self.table(branch, entries, place, key)
    }

    fn array(&self, schema: &Json, items: &[Node], node: &Node, place: &Place, key: &str) -> Result<(), Finding> {
        let n = items.len() as u64;
        if length(schema, "minItems").is_some_and(|a| n < a) || length(schema, "maxItems").is_some_and(|b| n > b) {
            let message = format!("must be {}; this one has {n}", describe(self.root, schema));
            return Err(finding(key, place, &node.written, message));
        }
        let prefix = schema.get("prefixItems").and_then(Json::as_array);
        // Data may be missing: nan.
        let gaps = schema.get("x-nan") == Some(&Json::Bool(true));
        for (i, item) in items.iter().enumerate() {
            if gaps && matches!(&item.value, Value::Leaf(toml::Value::Float(x)) if x.is_nan()) {
                continue;
            }
            let of_item = prefix.and_then(|list| list.get(i)).or_else(|| schema.get("items"));
            if let Some(of_item) = of_item {
                self.value(of_item, item, &item.place, &format!("{key}[{i}]"))?;
            }
        }
        Ok(())
    }

    fn table(&self, schema: &Json, entries: &[Entry], place: &Place, key: &str) -> Result<(), Finding> {
        let properties = schema.get("properties").and_then(Json::as_object);
        let known: Vec<&str> = properties.map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default();
        let closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        if let Some(entry) = entries.iter().find(|e| closed && !known.contains(&e.key.as_str())) {
            return Err(unknown(entry, &known, key));
        }
        let others = schema.get("additionalProperties").filter(|s| s.is_object());
        for entry in entries {
            if let Some(of_value) = properties.and_then(|p| p.get(&entry.key)).or(others) {
                self.value(of_value, &entry.node, &entry.place, &join(key, &entry.key))?;
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|e| e.key == name) {
                let of_value = properties.and_then(|p| p.get(name)).unwrap_or(&Json::Null);
                let meaning = of_value.get("description").and_then(Json::as_str).unwrap_or("");
                let is_table = resolve(self.root, of_value).get("type").and_then(Json::as_str) == Some("object");
                let what = match key.is_empty() && is_table {
                    true => format!("section [{name}] is missing"),
                    false => format!("is missing; {}", describe(self.root, of_value)),
                };
                let meaning = if meaning.is_empty() { String::new() } else { format!(" ({})", plain(meaning)) };
                return Err(finding(&join(key, name), place, "", format!("{what}{meaning}")));
            }
        }
        Ok(())
    }
}

fn unknown(entry: &Entry, known: &[&str], table: &str) -> Finding {
    let key = join(table, &entry.key);
    let section = table.is_empty() && matches!(entry.node.value, Value::Table(_));
    let hint = did_you_mean(&entry.key, known.iter().copied());
    let what = if section { "unknown section" } else { "unknown key" };
    let message = match (known.is_empty(), table.is_empty()) {
        (true, _) => format!("{what}; [{table}] takes no keys here"),
        (false, true) => format!("{what}{hint}; an input has {}", known.join(", ")),
        (false, false) => format!("{what}{hint}; [{table}] takes {}", known.join(", ")),
    };
    finding(&key, &entry.place, "", message)
}

/// "; did you mean \"x\"?" for the nearest word, when one is near.
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let word = word.to_lowercase();
    let near = known
        .map(|k| (strsim::damerau_levenshtein(&word, k), strsim::jaro_winkler(&word, k), k))
        .filter(|(edits, likeness, k)| *edits <= 1 + k.len() / 4 || *likeness > 0.88)
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    near.map_or(String::new(), |(_, _, k)| format!("; did you mean {k:?}?"))
}

fn finding(key: &str, place: &Place, written: &str, message: String) -> Finding {
    Finding { key: key.to_string(), place: place.clone(), written: written.to_string(), message }
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_string() } else { format!("{table}.{key}") }
}

/// A description without its last full stop, to stand in brackets.
fn plain(text: &str) -> &str {
    text.trim_end_matches('.')
}

fn fits_type(root: &Json, schema: &Json, node: &Node) -> bool {
    let schema = resolve(root, schema);
    if branches(schema).is_some() {
        return branches(schema).into_iter().flatten().any(|b| fits_type(root, b, node));
    }
    let Some(name) = schema.get("type").and_then(Json::as_str) else { return true };
    match &node.value {
        Value::Leaf(toml::Value::Integer(_)) => name == "integer" || name == "number",
        Value::Leaf(toml::Value::Float(_)) => name == "number",
        Value::Leaf(toml::Value::Boolean(_)) => name == "boolean",
        Value::Leaf(toml::Value::String(_)) => name == "string",
        Value::Leaf(_) => false,
        Value::Array(_) => name == "array",
        Value::Table(_) => name == "object",
    }
}

fn type_name(node: &Node) -> &'static str {
    match &node.value {
        Value::Leaf(toml::Value::Integer(_)) => "an integer",
        Value::Leaf(toml::Value::Float(_)) => "a number with a point or exponent",
        Value::Leaf(toml::Value::Boolean(_)) => "true or false",
        Value::Leaf(toml::Value::String(_)) => "a text",
        Value::Leaf(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Json {
        json!({
            "type": "object", "additionalProperties": false, "required": ["size"],
            "properties": {
                "size": { "type": "integer", "minimum": 1, "description": "How many." },
                "rate": { "$ref": "#/$defs/Rate", "exclusiveMaximum": 2 },
                "word": { "oneOf": [{ "const": "north", "type": "string" }, { "const": "south", "type": "string" }] },
                "pair": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 },
                "every": { "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string" }] },
                "shape": { "oneOf": [
                    { "type": "object", "properties": { "kind": { "const": "disc" }, "radius": { "type": "number" } },
                      "required": ["kind", "radius"], "additionalProperties": false },
                    { "type": "object", "properties": { "kind": { "const": "line" } },
                      "required": ["kind"], "additionalProperties": false } ] },
            },
            "$defs": { "Rate": { "type": "number", "exclusiveMinimum": 0 } },
        })
    }

    fn first(text: &str) -> Option<(String, String)> {
        let node = Node::parse(text).unwrap();
        validate(&schema(), &schema(), &node, "").err().map(|f| (f.key, f.message))
    }

    #[test]
    fn good_inputs_pass() {
        for text in [
            "size = 1",
            "size = 3\nrate = 1\nword = \"north\"\npair = [1, 2.5]\nevery = \"10m\"",
            "size = 3\nevery = 5\nshape = {kind = \"disc\", radius = 1}",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn each_mistake_is_named_with_what_is_allowed() {
        for (text, key, message) in [
            ("sise = 1", "sise", "did you mean \"size\"?"),
            ("rate = 1", "size", "is missing; an integer ≥ 1 (How many)"),
            ("size = 0", "size", "must be an integer ≥ 1"),
            ("size = 1e3", "size", "(write 1000)"),
            ("size = true", "size", "must be an integer ≥ 1, not true or false"),
            ("size = 1\nrate = 2.0", "rate", "must be a number < 2"),
            ("size = 1\nrate = 0.0", "rate", "must be a number"),
            ("size = 1\nrate = nan", "rate", "finite"),
            ("size = 1\nrate = inf", "rate", "finite"),
            ("size = 1\nword = \"nroth\"", "word", "one of \"north\", \"south\"; did you mean \"north\"?"),
            ("size = 1\nword = north_is_not_bare", "", ""),
            ("size = 1\npair = [1]", "pair", "a list of 2 numbers; this one has 1"),
            ("size = 1\npair = [1, \"x\"]", "pair[1]", "must be a number, not a text"),
            ("size = 1\nevery = 0", "every", "≥ 1"),
            ("size = 1\nevery = 1.5", "every", "an integer ≥ 1, or a text"),
            ("size = 1\nshape = 3", "shape", "a table with kind = one of \"disc\", \"line\""),
            ("size = 1\nshape = {radius = 1}", "shape.kind", "is missing; one of \"disc\", \"line\""),
            ("size = 1\nshape = {kind = \"dics\"}", "shape.kind", "did you mean \"disc\"?"),
            ("size = 1\nshape = {kind = \"line\", radius = 1}", "shape.radius", "unknown key"),
            ("size = 1\nshape = {kind = \"disc\"}", "shape.radius", "is missing; a number"),
        ] {
            if message.is_empty() {
                assert!(Node::parse(text).is_err());
                continue;
            }
            let (k, m) = first(text).expect(text);
            assert_eq!(k, key, "{text}: {m}");
            assert!(m.contains(message), "{text}: {m}");
        }
    }
}
