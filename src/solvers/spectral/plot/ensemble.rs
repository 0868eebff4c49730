//! The figure of an ensemble: member 0 in space and time, the last state and its spread over the members, series of
//! means with their spreads.

use super::series::scaled;
use super::*;

/// Members whose own curves are drawn behind the mean.
const DRAWN: usize = 5;
const GREY: colours::Rgb = [176, 176, 176];

/// The figure of an output whose fields have the axis `member`.
pub(super) fn draw(reader: &Reader, output: &Path) -> Result<Figure> {
    let times = reader.array("fields/time")?.values;
    let members = reader.array("fields/member")?.values.len();
    let fields = fields(reader)?;
    let last = times.len() - 1;
    let mut above = Vec::new();
    if let Some(first) = fields.first() {
        if times.len() > 2 {
            let n = first.shape[0];
            let all = first.slab(reader, &[0, 0, 0], &[times.len(), 1, n])?;
            let title = format!("{}({}, t) of member 0", first.name, first.axes[0]);
            above.push((1.7, space_time(reader, first, &times, &all, &title)?));
        }
        above.push((1.0, last_state(reader, first, &times, members)?));
    }
    let mean = |path: &str, shells| {
        let all = reader.slab(path, &[last, 0, 0], &[1, members, shells])?.values;
        Ok(moments(&all, shells).0)
    };
    let title = format!("Mean spectrum at t = {}", number(times[last], 4));
    let mut below: Vec<(f64, Panel)> = spectrum(reader, title, mean)?.into_iter().map(|p| (1.0, p)).collect();
    let size = |field: &Kept| {
        let last = field.slab(reader, &[last, 0, 0], &[1, members, field.shape[0]])?;
        Ok((field.name.clone(), largest(&last)))
    };
    let sizes: Vec<(String, f64)> = fields.iter().map(size).collect::<Result<_>>()?;
    below.extend(series(reader, 4 - below.len(), &sizes)?.into_iter().map(|p| (1.0, p)));
    let rows: Vec<_> = [(1.35, above), (1.0, below)].into_iter().filter(|(_, panels)| !panels.is_empty()).collect();
    if rows.is_empty() {
        return Err(Error::file(output, "holds neither fields nor series of its members to draw"));
    }
    let height = if rows.len() == 2 { 960 } else { 620 };
    let (title, subtitle) = words(reader, &fields, &times);
    Ok(Figure { title, subtitle: format!("{members} members  ·  {subtitle}"), size: (1500, height), rows })
}

/// Fields on time, member and one axis of space.
fn fields(reader: &Reader) -> Result<Vec<Kept>> {
    let mut all = Vec::new();
    for name in reader.datasets("fields") {
        let path = format!("fields/{name}");
        let axes = reader.axes(&path)?;
        if axes.len() != 3 || axes[..2] != ["time", "member"] || axes[2] != "x" {
            continue;
        }
        let attribute = |key| reader.attribute(&path, key).unwrap_or_default();
        let (units, meaning) = (attribute("units"), attribute("long_name"));
        let (axes, shape) = (axes[2..].to_vec(), reader.shape(&path)?[2..].to_vec());
        all.push(Kept { parts: vec![name.clone()], name, group: "fields", units, meaning, axes, shape });
    }
    Ok(with_moduli(all))
}

/// Mean and standard deviation over the rows of a matrix, per column.
fn moments(values: &[f64], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = values.len() / columns.max(1);
    let column = |i: usize| values.iter().skip(i).step_by(columns).copied();
    let mean: Vec<f64> = (0..columns).map(|i| column(i).sum::<f64>() / rows as f64).collect();
    let square = |i: usize| column(i).map(|v| (v - mean[i]) * (v - mean[i])).sum::<f64>();
    let spread = (0..columns).map(|i| (square(i) / (rows.max(2) - 1) as f64).sqrt()).collect();
    (mean, spread)
}

/// Mean, and one spread above and below.
fn band(x: &[f64], mean: &[f64], spread: &[f64], colour: colours::Rgb, labelled: bool) -> Vec<Line> {
    let edge = |sign: f64, label: &str| Line {
        label: if labelled { label.into() } else { String::new() },
        x: x.to_vec(),
        y: mean.iter().zip(spread).map(|(m, s)| m + sign * s).collect(),
        colour,
        style: if sign == 0.0 { Style::Solid } else { Style::Dashed },
    };
    vec![edge(-1.0, ""), edge(1.0, "± spread"), edge(0.0, "mean")]
}

/// Some members at the last time, their mean and spread.
fn last_state(reader: &Reader, field: &Kept, times: &[f64], members: usize) -> Result<Panel> {
    let (n, last) = (field.shape[0], times.len() - 1);
    let x = coordinate(reader, field, 0)?;
    let all = field.slab(reader, &[last, 0, 0], &[1, members, n])?;
    let named = if members > DRAWN { format!("{DRAWN} of {members} members") } else { "members".into() };
    let member = |m: usize| Line {
        label: if m == 0 { named.clone() } else { String::new() },
        x: x.clone(),
        y: all[m * n..(m + 1) * n].to_vec(),
        colour: GREY,
        style: Style::Solid,
    };
    let mut lines: Vec<Line> = (0..members.min(DRAWN)).map(member).collect();
    let (mean, spread) = moments(&all, n);
    lines.extend(band(&x, &mean, &spread, colours::BLUE, true));
    let title = format!("at t = {}", number(times[last], 4));
    let y = Axis::new(with_units(&field.name, &field.units));
    Ok(Panel::Curves(Curves { title, x: ranged(field.axes[0].clone(), &x), y, lines }))
}

/// Series of means over the members, with their spreads.
fn series(reader: &Reader, most: usize, sizes: &[(String, f64)]) -> Result<Vec<Panel>> {
    if !reader.has("series/time") {
        return Ok(Vec::new());
    }
    let names = reader.datasets("series");
    let x = reader.array("series/time")?.values;
    let units = reader.attribute("series/time", "units").unwrap_or_default();
    let mut panels = Vec::new();
    let with_spread = names.iter().filter(|n| names.contains(&format!("{n}_spread")));
    for (name, colour) in with_spread.take(most).zip(COLOURS) {
        let mean = reader.array(&format!("series/{name}"))?.values;
        let spread = reader.array(&format!("series/{name}_spread"))?.values;
        if mean.len() != x.len() || spread.len() != x.len() || x.len() < 2 {
            continue;
        }
        let words = name.replace('_', " ");
        let units_of = reader.attribute(&format!("series/{name}"), "units").unwrap_or_default();
        let (x_axis, y) = (Axis::new(with_units("time t", &units)), Axis::new(with_units(&words, &units_of)));
        // A spread beside which the mean is nothing is drawn.
        let far: Vec<f64> = mean.iter().zip(&spread).map(|(m, s)| m.abs() + s.abs()).collect();
        let y = scaled(y, reader, &format!("series/{name}"), &far, sizes);
        let lines = band(&x, &mean, &spread, colour, panels.is_empty());
        panels.push(Panel::Curves(Curves { title: format!("{words}: mean ± spread"), x: x_axis, y, lines }));
    }
    Ok(panels)
}
