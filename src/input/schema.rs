//! The JSON schema (draft 2020-12) of a whole input, assembled from the typed structs of the house and of a solver.

use serde_json::{Map, Value as Json, json};

use super::HouseInput;
use crate::solvers::Entry;

/// The schema of an input of one solver. `[problem]` and `[method]` come from the solver's own structs.
pub fn of_solver(entry: &Entry) -> Json {
    let mut house = clean(schemars::schema_for!(HouseInput).to_value());
    let mut defs = take_defs(&mut house, "");
    let mut problem = clean((entry.problem_schema)().to_value());
    defs.extend(take_defs(&mut problem, "problem_"));
    let mut method = clean((entry.method_schema)().to_value());
    defs.extend(take_defs(&mut method, "method_"));

    let mut required = vec![json!("solver")];
    for (name, section) in [("problem", &problem), ("method", &method)] {
        if section.get("required").is_some() {
            required.push(json!(name));
        }
    }
    let mut properties = Map::new();
    let house = house["properties"].as_object().cloned().unwrap_or_default();
    for (key, mut value) in house.into_iter().chain([("problem".into(), problem), ("method".into(), method)]) {
        if key == "solver" {
            value = json!({ "description": "Which solver reads [problem] and [method].", "type": "string", "const": entry.name });
        }
        properties.insert(key, value);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Spanwise input: {}", entry.name),
        "description": entry.summary,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": required,
        "$defs": defs,
    })
}

/// The schema of an input of any of the solvers.
pub fn of_any(entries: &[Entry]) -> Json {
    if let [only] = entries {
        return of_solver(only);
    }
    let mut defs = Map::new();
    let mut branches = Vec::new();
    for entry in entries {
        let mut schema = of_solver(entry);
        defs.extend(take_defs(&mut schema, &format!("{}_", entry.name)));
        branches.push(schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Spanwise input",
        "oneOf": branches,
        "$defs": defs,
    })
}

/// Follows `$ref` within `root`.
pub fn resolve<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let mut schema = schema;
    while let Some(name) = schema.get("$ref").and_then(Json::as_str) {
        match root.pointer(name.trim_start_matches('#')) {
            Some(target) => schema = target,
            None => return schema,
        }
    }
    schema
}

/// The alternatives of a `oneOf` or `anyOf`.
pub fn branches(schema: &Json) -> Option<&Vec<Json>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()
}

/// The words an enumeration allows, with their meanings; none when the schema is no enumeration of words.
pub fn words<'a>(root: &'a Json, schema: &'a Json) -> Option<Vec<(&'a str, &'a str)>> {
    let schema = resolve(root, schema);
    if let Some(list) = schema.get("enum").and_then(Json::as_array) {
        return list.iter().map(|w| w.as_str().map(|w| (w, ""))).collect();
    }
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![(word, schema.get("description").and_then(Json::as_str).unwrap_or(""))]);
    }
    let mut all = Vec::new();
    for branch in branches(schema)? {
        all.extend(words(root, branch)?);
    }
    Some(all)
}

/// The tag of a union of tables (`kind`): its key, and the branch of every word.
pub fn tagged<'a>(root: &'a Json, schema: &'a Json) -> Option<(&'a str, Vec<(&'a str, &'a Json)>)> {
    let branches = branches(schema)?;
    let tag_of = |branch: &'a Json| -> Option<(&'a str, &'a str)> {
        let properties = resolve(root, branch).get("properties")?.as_object()?;
        properties.iter().find_map(|(key, value)| Some((key.as_str(), value.get("const")?.as_str()?)))
    };
    let (key, _) = tag_of(branches.first()?)?;
    let mut list = Vec::new();
    for branch in branches {
        let (k, word) = tag_of(branch)?;
        if k != key {
            return None;
        }
        list.push((word, resolve(root, branch)));
    }
    Some((key, list))
}

/// What a value may be, in words: "a number > 0", "an integer from 2 to 256", "one of \"rgb\", \"cielab\"".
pub fn describe(root: &Json, schema: &Json) -> String {
    let bounds = bounds(schema);
    let schema = resolve(root, schema);
    if let Some(words) = words(root, schema) {
        let list: Vec<String> = words.iter().map(|(w, _)| format!("{w:?}")).collect();
        return if list.len() == 1 { list[0].clone() } else { format!("one of {}", list.join(", ")) };
    }
    if let Some((key, list)) = tagged(root, schema) {
        let words: Vec<String> = list.iter().map(|(w, _)| format!("{w:?}")).collect();
        return format!("a table with {key} = one of {}", words.join(", "));
    }
    if let Some(branches) = branches(schema) {
        return branches.iter().map(|b| describe(root, b)).collect::<Vec<_>>().join(", or ");
    }
    match schema.get("type").and_then(Json::as_str) {
        Some("number") => format!("a number{bounds}"),
        Some("integer") => format!("an integer{bounds}"),
        Some("boolean") => "true or false".to_string(),
        Some("string") => "a text in quotes".to_string(),
        Some("array") => {
            let item = schema.get("items").map_or("values".to_string(), |items| plural(root, items));
            match (length(schema, "minItems"), length(schema, "maxItems")) {
                (Some(a), Some(b)) if a == b => format!("a list of {a} {item}"),
                (Some(a), Some(b)) => format!("a list of {a} to {b} {item}"),
                (Some(a), None) => format!("a list of at least {a} {item}"),
                _ => format!("a list of {item}"),
            }
        }
        Some("object") => "a table".to_string(),
        _ => "any value".to_string(),
    }
}

/// An integer constraint such as `minItems`.
pub fn length(schema: &Json, key: &str) -> Option<u64> {
    schema.get(key).and_then(Json::as_u64)
}

fn plural(root: &Json, items: &Json) -> String {
    let one = describe(root, items);
    let bounds = bounds(items);
    let items = resolve(root, items);
    if words(root, items).is_some() || tagged(root, items).is_some() {
        return one;
    }
    if let Some(branches) = branches(items) {
        return branches.iter().map(|b| plural(root, b)).collect::<Vec<_>>().join(" or ");
    }
    match items.get("type").and_then(Json::as_str) {
        Some("number") => format!("numbers{bounds}"),
        Some("integer") => format!("integers{bounds}"),
        Some("string") => "texts in quotes".to_string(),
        Some("array") => one.replacen("a list", "lists", 1),
        Some("object") => one.replacen("a table", "tables", 1),
        _ => one,
    }
}

/// " > 0", " from 2 to 256", " between 0 and 2 (exclusive)" or nothing.
fn bounds(schema: &Json) -> String {
    let get = |key: &str| schema.get(key).and_then(Json::as_f64);
    match (get("exclusiveMinimum"), get("exclusiveMaximum"), get("minimum"), get("maximum")) {
        (Some(a), Some(b), _, _) => format!(" > {a} and < {b}"),
        (Some(a), None, _, Some(b)) => format!(" > {a} and ≤ {b}"),
        (Some(a), None, _, None) => format!(" > {a}"),
        (None, Some(b), Some(a), _) => format!(" ≥ {a} and < {b}"),
        (None, Some(b), None, _) => format!(" < {b}"),
        (None, None, Some(a), Some(b)) => format!(" from {a} to {b}"),
        (None, None, Some(a), None) => format!(" ≥ {a}"),
        (None, None, None, Some(b)) => format!(" ≤ {b}"),
        (None, None, None, None) => String::new(),
    }
}

/// Removes what TOML cannot say (null) and what no editor needs (`format`, the inner `$schema`).
fn clean(mut schema: Json) -> Json {
    clean_in_place(&mut schema);
    let defs = schema.get("$defs").cloned().unwrap_or_default();
    join_tagged(&mut schema, &defs);
    if let Some(map) = schema.as_object_mut() {
        map.remove("$schema");
        map.remove("title");
    }
    schema
}

fn clean_in_place(schema: &mut Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(clean_in_place),
        Json::Object(map) => {
            if let Some(Json::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if let Some(Json::Array(list)) = map.get_mut("enum") {
                list.retain(|w| !w.is_null());
            }
            if map.get("default") == Some(&Json::Null) {
                map.remove("default");
            }
            if let Some(default) = map.get_mut("default") {
                remove_nulls(default);
            }
            if map.get("format").is_some_and(Json::is_string) {
                map.remove("format");
            }
            // Option<T> of a named type is anyOf [T, null].
            if let Some(Json::Array(branches)) = map.get_mut("anyOf") {
                branches.retain(|b| b.get("type").and_then(Json::as_str) != Some("null"));
                if let [Json::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(clean_in_place);
        }
        _ => {}
    }
}

/// A variant that wraps a struct has its tag beside a reference to the struct: becomes one closed table.
fn join_tagged(schema: &mut Json, defs: &Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(|s| join_tagged(s, defs)),
        Json::Object(map) => {
            if map.contains_key("properties")
                && let Some(name) = map.get("$ref").and_then(Json::as_str)
                && let Some(Json::Object(inner)) = defs.get(name.trim_start_matches("#/$defs/"))
            {
                let inner = inner.clone();
                map.remove("$ref");
                for (key, value) in inner {
                    match (map.get_mut(&key), value) {
                        (Some(Json::Object(mine)), Json::Object(theirs)) => mine.extend(theirs),
                        (Some(Json::Array(mine)), Json::Array(theirs)) => mine.extend(theirs),
                        (Some(_), _) => {}
                        (None, value) => {
                            map.insert(key, value);
                        }
                    }
                }
            }
            // An untagged choice between tagged unions is one tagged union.
            if let Some(Json::Array(choice)) = map.get("anyOf") {
                let union = |branch: &Json| {
                    let name = branch.get("$ref")?.as_str()?.trim_start_matches("#/$defs/");
                    defs.get(name)?.get("oneOf")?.as_array().cloned()
                };
                if let Some(unions) = choice.iter().map(union).collect::<Option<Vec<_>>>() {
                    map.remove("anyOf");
                    map.insert("oneOf".into(), Json::Array(unions.concat()));
                }
            }
            map.values_mut().for_each(|s| join_tagged(s, defs));
        }
        _ => {}
    }
}

fn remove_nulls(value: &mut Json) {
    if let Json::Object(map) = value {
        map.retain(|_, v| !v.is_null());
        map.values_mut().for_each(remove_nulls);
    }
}

/// Takes `$defs` out of a schema, with `prefix` before every name, here and in the references.
fn take_defs(schema: &mut Json, prefix: &str) -> Map<String, Json> {
    rename_refs(schema, prefix);
    let Some(Json::Object(defs)) = schema.as_object_mut().and_then(|map| map.remove("$defs")) else {
        return Map::new();
    };
    defs.into_iter().map(|(name, def)| (format!("{prefix}{name}"), def)).collect()
}

fn rename_refs(schema: &mut Json, prefix: &str) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(|s| rename_refs(s, prefix)),
        Json::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value.as_str().and_then(|s| s.strip_prefix("#/$defs/")) {
                    Some(name) if key == "$ref" => *value = json!(format!("#/$defs/{prefix}{name}")),
                    _ => rename_refs(value, prefix),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::transport::problem::{MethodInput, ProblemInput};

    #[test]
    fn options_lose_their_null_and_enumerations_list_their_words() {
        let method = clean(schemars::schema_for!(MethodInput).to_value());
        assert!(!method.to_string().contains("null"), "{method}");
        let properties = &method["properties"];
        assert_eq!(describe(&method, &properties["relaxation"]), "a number > 0 and < 2");
        assert_eq!(describe(&method, &properties["memory"]), "an integer from 1 to 50");
        assert!(describe(&method, &properties["name"]).starts_with("one of \"sinkhorn\", \"overrelaxed\""));
        let names = words(&method, &properties["name"]).unwrap();
        assert_eq!(names[0], ("sinkhorn", "Alternating soft c-transforms."));
    }

    #[test]
    fn tagged_unions_are_found_by_their_kind() {
        let problem = clean(schemars::schema_for!(ProblemInput).to_value());
        let (key, list) = tagged(&problem, resolve(&problem, &problem["properties"]["source"])).unwrap();
        assert_eq!(key, "kind");
        assert!(list.iter().any(|(word, _)| *word == "image_grid"));
        let (_, image) = list.iter().find(|(word, _)| *word == "image_grid").unwrap();
        assert_eq!(describe(&problem, &image["properties"]["size"]), "a list of 2 integers ≥ 0");
    }

    #[test]
    fn a_variant_that_wraps_a_struct_is_one_closed_table() {
        /// A square.
        #[derive(schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code)]
        struct Square {
            /// Its side.
            side: f64,
        }
        #[derive(schemars::JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        #[expect(dead_code)]
        enum Shape {
            Square(Square),
        }
        let schema = clean(schemars::schema_for!(Shape).to_value());
        let (key, list) = tagged(&schema, &schema).unwrap();
        assert_eq!((key, list[0].0), ("kind", "square"));
        assert_eq!(describe(&schema, &list[0].1["properties"]["side"]), "a number");
        assert_eq!(list[0].1["additionalProperties"], json!(false), "{schema}");
    }

    #[test]
    fn every_reference_resolves_after_renaming() {
        let mut problem = clean(schemars::schema_for!(ProblemInput).to_value());
        let defs = take_defs(&mut problem, "problem_");
        let root = json!({ "properties": { "problem": problem }, "$defs": defs });
        let source = &root["properties"]["problem"]["properties"]["source"];
        assert_eq!(source["$ref"], "#/$defs/problem_MeasureInput");
        assert!(tagged(&root, resolve(&root, source)).is_some());
    }
}
