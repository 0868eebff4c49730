//! Series against time: sums, means, exponents, steps.

use super::{COLOURS, Kept, chosen, cut, largest, with_units};
use crate::error::Result;
use crate::io::read::Reader;
use crate::plot::{Axis, Curves, Line, Panel, Style};

/// The largest values, at the first and the last time, of those fields whose means are series, by name.
pub(super) fn sizes(reader: &Reader, fields: &[Kept], times: usize) -> Result<Vec<(String, f64)>> {
    let series = reader.datasets("series");
    let means: Vec<String> = series.iter().filter_map(|name| mean_of(reader, &format!("series/{name}"))).collect();
    let size = |field: &Kept| {
        let at = |t: usize| match field.axes.len() {
            1 => Ok(largest(&cut(reader, field, t, None, 0)?)),
            _ => Ok(chosen(reader, field, t)?.2),
        };
        Ok((field.name.clone(), at(0)?.max(at(times - 1)?)))
    };
    fields.iter().filter(|field| means.contains(&field.name)).map(size).collect()
}

/// The field whose mean a series is.
fn mean_of(reader: &Reader, path: &str) -> Option<String> {
    let meaning = reader.attribute(path, "long_name")?;
    // Of ensembles: "mean of u: mean over the members".
    Some(meaning.split(':').next()?.strip_prefix("mean of ")?.to_string())
}

/// The most telling series, each in a panel of its own; exponents share one. What is zero throughout says nothing.
pub(super) fn series(reader: &Reader, most: usize, sizes: &[(String, f64)]) -> Result<Vec<Panel>> {
    const FIRST: [&str; 10] = [
        "lyapunov",
        "energy",
        "kinetic",
        "enstrophy",
        "dissipation",
        "nusselt",
        "mass",
        "momentum",
        "cfl",
        "time_step",
    ];
    let rank = |name: &str| FIRST.iter().position(|f| name.contains(f)).unwrap_or(FIRST.len());
    let mut names = reader.datasets("series");
    names.retain(|n| n != "step" && n != "time");
    names.sort_by_key(|n| rank(n));
    let along = if reader.has("series/time") { "time" } else { "step" };
    let x =
        if reader.has(&format!("series/{along}")) { reader.array(&format!("series/{along}"))?.values } else { vec![] };
    let units = reader.attribute(&format!("series/{along}"), "units").unwrap_or_default();
    let x_axis = Axis::new(with_units(if along == "time" { "time t" } else { "step" }, &units));
    let mut panels = Vec::new();
    let (exponents, names): (Vec<String>, Vec<String>) = names.into_iter().partition(|n| n.starts_with("lyapunov_"));
    let mut lines = Vec::new();
    for (j, name) in exponents.iter().enumerate() {
        let y = reader.array(&format!("series/{name}"))?.values;
        // Before growth is counted there is nothing.
        let from = first_nonzero(&y);
        let style = if j < COLOURS.len() { Style::Solid } else { Style::Dashed };
        let label = if exponents.len() <= 2 * COLOURS.len() { name.replace("lyapunov_", "λ") } else { String::new() };
        let (x, y) = (x[from.min(x.len())..].to_vec(), y[from..].to_vec());
        lines.push(Line { label, x, y, colour: COLOURS[j % COLOURS.len()], style });
    }
    if lines.iter().any(|l| l.x.len() > 1) {
        let title = "Lyapunov exponents so far".to_string();
        // The first few decompositions say nothing yet, and would set the scale.
        let later = |l: &Line| l.y[l.y.len() / 8..].to_vec();
        let values: Vec<f64> = lines.iter().flat_map(later).filter(|v| v.is_finite()).collect();
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let room = 0.15 * (high - low).max(1e-6);
        let label = "exponent [1/time]".into();
        let y_axis = Axis { label, log: false, range: Some((low - room, high + room)) };
        panels.push(Panel::Curves(Curves { title, x: x_axis.clone(), y: y_axis, lines }));
    }
    let mut colours = COLOURS.iter().cycle();
    for name in &names {
        if panels.len() == most.min(COLOURS.len()) {
            break;
        }
        let path = format!("series/{name}");
        let y = reader.array(&path)?.values;
        if y.len() != x.len() || y.iter().all(|v| *v == 0.0) {
            continue;
        }
        // What is said of steps begins with the first one, and a fixed step says nothing.
        let from = if ["cfl", "time_step"].contains(&name.as_str()) { first_nonzero(&y) } else { 0 };
        let (x, y) = (&x[from..], &y[from..]);
        if y.len() < 2 || (name == "time_step" && y.iter().all(|v| *v == y[0])) {
            continue;
        }
        let (low, high) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let label = with_units(&spoken(name), &reader.attribute(&path, "units").unwrap_or_default());
        let y_axis = if low > 0.0 && high > 1e3 * low { Axis::log(label) } else { Axis::new(label) };
        let y_axis = scaled(y_axis, reader, &path, y, sizes);
        let colour = *colours.next().expect("they go round");
        let line = Line { label: String::new(), x: x.to_vec(), y: y.to_vec(), colour, style: Style::Solid };
        let title = spoken(name);
        panels.push(Panel::Curves(Curves { title, x: x_axis.clone(), y: y_axis, lines: vec![line] }));
    }
    Ok(panels)
}

/// The axis of a series, which may be the mean of a field. `sizes`: of the fields.
pub(super) fn scaled(axis: Axis, reader: &Reader, path: &str, values: &[f64], sizes: &[(String, f64)]) -> Axis {
    let of = mean_of(reader, path);
    let size = sizes.iter().find(|(name, _)| Some(name) == of.as_ref()).map_or(0.0, |(_, size)| *size);
    match flat(values, size) {
        Some(range) => Axis { log: false, range: Some(range), ..axis },
        None => axis,
    }
}

/// The range of means that are nothing but rounding of a field of this size: as far to either side of zero.
pub(super) fn flat(values: &[f64], size: f64) -> Option<(f64, f64)> {
    (largest(values) < 1e-13 * size).then_some((-size, size))
}

/// The name of a series in words.
pub(super) fn spoken(name: &str) -> String {
    const NUMBERS: [(&str, &str); 5] = [
        ("nusselt", "Nusselt number"),
        ("reynolds", "Reynolds number"),
        ("cfl", "CFL number"),
        ("k_max_eta", "k_max η"),
        ("theta", "temperature θ"),
    ];
    match NUMBERS.iter().find_map(|(word, said)| Some((said, name.strip_prefix(word)?))) {
        Some((said, "")) => said.to_string(),
        Some((said, rest)) if rest.starts_with('_') => format!("{said}, {}", rest[1..].replace('_', " ")),
        _ => name.replace('_', " "),
    }
}

fn first_nonzero(values: &[f64]) -> usize {
    values.iter().position(|v| *v != 0.0).unwrap_or(values.len())
}
