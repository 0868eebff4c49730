//! What a file holds and how it was made, as text: `spanwise info FILE.h5`.

use std::fmt::Write;
use std::path::Path;

use hdf5::filters::Filter;

use super::h5;
use super::read::Reader;
use crate::error::Result;

/// Attributes, then every dataset with type, shape, units, storage and meaning.
pub fn describe(path: &Path) -> Result<String> {
    let reader = Reader::open(path)?;
    let mut out = String::new();
    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
    line(&mut out, format!("{} ({})", path.display(), human(bytes)));
    let (texts, short): (Vec<_>, Vec<_>) = reader.attributes("/").into_iter().partition(|(_, v)| v.contains('\n'));
    for (name, value) in short {
        line(&mut out, format!("  {name:<18}{value}"));
    }
    let root = (!reader.datasets("/").is_empty()).then(String::new);
    for group in root.into_iter().chain(reader.groups()) {
        line(&mut out, format!("\n/{group}"));
        for (name, value) in reader.attributes(&group) {
            line(&mut out, format!("  {name:<18}{value}"));
        }
        let rows: Vec<[String; 5]> =
            reader.datasets(&format!("/{group}")).iter().map(|d| row(&reader, &group, d)).collect();
        let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for r in &rows {
            let cells: Vec<String> = (0..4).map(|c| format!("{:<w$}", r[c], w = widths[c])).collect();
            line(&mut out, format!("  {}  {}", cells.join("  "), r[4]));
        }
    }
    for (name, value) in texts {
        line(&mut out, format!("\n{name}:"));
        value.lines().for_each(|l| line(&mut out, format!("  {l}")));
    }
    Ok(out)
}

fn line(out: &mut String, text: String) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}", text.trim_end());
}

/// name, type and shape, units, storage, meaning
fn row(reader: &Reader, group: &str, name: &str) -> [String; 5] {
    let Ok(dataset) = reader.file.dataset(&format!("/{group}/{name}")) else {
        return [name.into(), "unreadable".into(), String::new(), String::new(), String::new()];
    };
    let kind = dataset.dtype().and_then(|t| t.to_descriptor()).map_or("?".into(), |t| t.to_string());
    let shape: Vec<String> = dataset.shape().iter().map(|n| n.to_string()).collect();
    let mut storage = Vec::new();
    if let Some(chunk) = dataset.chunk() {
        storage.push(format!("chunks of {}", chunk.iter().map(|n| n.to_string()).collect::<Vec<_>>().join("×")));
    }
    storage.extend(dataset.filters().iter().map(|f| match f {
        Filter::Deflate(level) => format!("deflate {level}"),
        Filter::Shuffle => "shuffle".into(),
        Filter::Fletcher32 => "fletcher32".into(),
        other => format!("{other:?}"),
    }));
    let attribute = |name| h5::attribute_text(&dataset, name).unwrap_or_default();
    let unit = match attribute("units") {
        one if one == "1" => String::new(),
        unit => unit,
    };
    let shape = if shape.is_empty() { kind } else { format!("{kind} {}", shape.join("×")) };
    [name.into(), shape, unit, storage.join(", "), attribute("long_name")]
}

fn human(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e3 => format!("{b} B"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.2} GB", b / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Header, Storage, save};
    use crate::state::{Hyperslab, Name};

    #[test]
    fn a_file_is_described_with_shapes_units_and_storage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output.h5");
        let field = Name { name: "field", units: "m s-1", meaning: "velocity", axes: &["i"] };
        let level = Name { name: "level", units: "1", meaning: "a level", axes: &[] };
        let mut f = vec![1.0f64; 20_000];
        let header = Header { solver: "toy".into(), input: "a = 1\nb = 2\n".into(), ..Default::default() };
        save(&path, &header, Storage::output(4), &crate::team::Solo, &mut |s| {
            let state = s.section("state");
            state.block(&field, &[20_000], &Hyperslab::rows(0..20_000, &[]), (&mut f).into())?;
            state.scalar(&level, (&mut 1.5f64).into())
        })
        .unwrap();
        let text = describe(&path).unwrap();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
        has("  solver            toy");
        has("  format_version    1");
        has("/state");
        has("  field  float64 20000  m s-1  chunks of 20000, shuffle, deflate 4  velocity");
        has("  level  float64                                                    a level");
        has("input:");
        has("  b = 2");
        assert!(!text.contains("This is a netCDF"), "{text}");
    }
}
