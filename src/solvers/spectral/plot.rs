//! The figure of a finished run, from output.h5 alone: fields (a space–time diagram in one dimension, planes in two and
//! three), spectra, series.

mod ensemble;
mod series;

use std::path::Path;

use super::equations;
use super::problem::EquationInput;
use super::time::MethodInput;
use crate::error::{Error, Result};
use crate::io::read::Reader;
use crate::plot::{Axis, Curves, Field, Figure, Line, Palette, Panel, Style, colours, number};

/// Values along an axis of a picture, at most; more are thinned out.
const MOST: usize = 2048;
/// Rows of a picture of uneven ones, at least: more than it is pixels high.
const ROWS: usize = 600;
const COLOURS: [colours::Rgb; 5] =
    [colours::BLUE, colours::VERMILION, colours::GREEN, colours::PURPLE, colours::ORANGE];

/// A kept field: its name, its datasets, what it is, and its axes after time with their lengths.
#[derive(Debug, Clone)]
struct Kept {
    name: String,
    group: &'static str,
    /// One, or real and imaginary part of what is drawn as its modulus.
    parts: Vec<String>,
    units: String,
    meaning: String,
    axes: Vec<String>,
    shape: Vec<usize>,
}

/// Draws `figure` (.png or .svg) from the output.h5 at `output`.
pub fn plot(output: &Path, figure: &Path) -> Result<()> {
    draw(&Reader::open(output)?, output)?.save(figure)
}

fn draw(reader: &Reader, output: &Path) -> Result<Figure> {
    if reader.has("fields/member") {
        return ensemble::draw(reader, output);
    }
    let (fields, times) = kept(reader)?;
    let above = match fields.first().map(|f| f.axes.len()) {
        Some(1) => lines(reader, &fields, &times)?,
        Some(_) => planes(reader, &fields, &times)?,
        None => Vec::new(),
    };
    let mut below: Vec<(f64, Panel)> = Vec::new();
    if let Some(t) = times.last().filter(|_| fields.iter().all(|f| f.group == "fields")) {
        let last = |path: &str, shells| Ok(reader.slab(path, &[times.len() - 1, 0], &[1, shells])?.values);
        let title = if timeless(reader) { "Spectrum".into() } else { format!("Spectrum at t = {}", number(*t, 4)) };
        below.extend(spectrum(reader, title, last)?.map(|p| (1.0, p)));
    }
    let sizes = series::sizes(reader, &fields, times.len())?;
    below.extend(series::series(reader, 4 - below.len().min(1), &sizes)?.into_iter().map(|p| (1.0, p)));
    // Three squares side by side are not as high as wide.
    let (share, high) = if above.len() > 2 { (1.0, 850) } else { (1.35, 960) };
    let rows: Vec<(f64, Vec<(f64, Panel)>)> =
        [(share, above), (1.0, below)].into_iter().filter(|(_, panels)| !panels.is_empty()).collect();
    if rows.is_empty() {
        return Err(Error::file(output, "holds neither fields nor series to draw"));
    }
    let height = if rows.len() == 2 { high } else { 620 };
    let (title, subtitle) = words(reader, &fields, &times);
    Ok(fitted(Figure { title, subtitle, size: (1500, height), rows }))
}

/// Takes away the height that flat fields leave free in the upper of two rows.
fn fitted(mut figure: Figure) -> Figure {
    // Pixels of what is not panels: title, subtitle and margins; about the plot of a field its title, axis and gap, and to
    // its sides axis, colour bar and gap.
    const AROUND: f64 = 95.0;
    const ABOVE_AND_BELOW: f64 = 100.0;
    const BESIDE: f64 = 188.0;
    let (width, height) = (f64::from(figure.size.0), f64::from(figure.size.1));
    let Some((first, others)) = figure.rows.split_first_mut() else { return figure };
    let ((share, above), below) = (first, others.first_mut());
    let each = (width - 36.0) / above.len() as f64 - BESIDE;
    // A panel that fills what it is given needs all of it.
    let needed = |panel: &Panel| match panel {
        Panel::Field(field) => field.extent(each, f64::INFINITY, 1.0).1,
        _ => f64::INFINITY,
    };
    let tallest = above.iter().map(|(_, panel)| needed(panel)).fold(0.0, f64::max);
    let other = below.as_ref().map_or(0.0, |(other, _)| *other);
    let given = (height - AROUND) * *share / (*share + other);
    let needed = (tallest + ABOVE_AND_BELOW).max(240.0);
    if needed < given {
        // The lower row, if there is one, keeps its height.
        let kept = height - AROUND - given;
        *share = needed;
        if let Some((other, _)) = below {
            *other = kept;
        }
        figure.size.1 = (AROUND + needed + kept).round() as u32;
    }
    figure
}

/// Steady and stability problems record no times: the one of their fields says nothing.
fn timeless(reader: &Reader) -> bool {
    !reader.has("series/time") && reader.shape("fields/time").map_or(true, |shape| shape.iter().product::<usize>() < 2)
}

/// The fields and their times; the last state where the run ended before its first snapshot and kept it.
fn kept(reader: &Reader) -> Result<(Vec<Kept>, Vec<f64>)> {
    let array = |path| if reader.has(path) { Ok(reader.array(path)?.values) } else { Ok(Vec::new()) };
    let times = array("fields/time")?;
    if !times.is_empty() {
        return Ok((fields(reader, "fields")?, times));
    }
    let last: Vec<f64> = array("series/time")?.last().copied().into_iter().collect();
    let fields = if last.is_empty() { Vec::new() } else { fields(reader, "results")? };
    Ok(if fields.is_empty() { (fields, Vec::new()) } else { (fields, last) })
}

/// The fields on the most axes, velocities and scalars alike, in the order of the file. Among the results they have no
/// times, and statistics beside them.
fn fields(reader: &Reader, group: &'static str) -> Result<Vec<Kept>> {
    let timed = usize::from(group == "fields");
    let mut all = Vec::new();
    for name in reader.datasets(group) {
        let path = format!("{group}/{name}");
        let axes = reader.axes(&path)?;
        let spatial = axes.iter().skip(timed).all(|a| ["x", "y", "z"].contains(&a.as_str()));
        let statistics = ["_mean", "_variance"].iter().any(|ending| name.ends_with(ending));
        let state = timed == 0 && !statistics && !axes.is_empty() && axes != [name.as_str()];
        let snapshot = timed == 1 && axes.len() > 1 && axes[0] == "time";
        if !spatial || !(state || snapshot) {
            continue;
        }
        let attribute = |key| reader.attribute(&path, key).unwrap_or_default();
        let (units, meaning) = (attribute("units"), attribute("long_name"));
        let (axes, shape) = (axes[timed..].to_vec(), reader.shape(&path)?[timed..].to_vec());
        all.push(Kept { parts: vec![name.clone()], name, group, units, meaning, axes, shape });
    }
    let most = all.iter().map(|f| f.axes.len()).max().unwrap_or(0);
    all.retain(|f| f.axes.len() == most);
    // Unknowns come before what is made of them: pictures show the first few.
    all.sort_by_key(|f| !reader.has(&format!("state/{}", f.name)));
    Ok(with_moduli(all))
}

/// Before all others the moduli of complex fields.
fn with_moduli(fields: Vec<Kept>) -> Vec<Kept> {
    let modulus = |real: &Kept| {
        let name = real.name.strip_suffix("_real")?;
        let imaginary = fields.iter().find(|f| f.name.strip_suffix("_imag") == Some(name) && f.shape == real.shape)?;
        let (name, parts) = (format!("|{name}|"), vec![real.name.clone(), imaginary.name.clone()]);
        Some(Kept { meaning: name.clone(), name, parts, ..real.clone() })
    };
    let moduli: Vec<Kept> = fields.iter().filter_map(modulus).collect();
    moduli.into_iter().chain(fields).collect()
}

impl Kept {
    /// Its values in a part of the file, as [`Reader::slab`] has them; the first axis is time.
    fn slab(&self, reader: &Reader, start: &[usize], count: &[usize]) -> Result<Vec<f64>> {
        let from = usize::from(self.group != "fields");
        let read = |name: &String| {
            let path = format!("{}/{name}", self.group);
            Ok(reader.slab(&path, &start[from..], &count[from..])?.values)
        };
        let mut values = read(&self.parts[0])?;
        if let [_, imaginary] = &self.parts[..] {
            values.iter_mut().zip(read(imaginary)?).for_each(|(re, im)| *re = re.hypot(im));
        }
        Ok(values)
    }
}

fn with_units(name: &str, units: &str) -> String {
    if units.is_empty() || units == "1" { name.to_string() } else { format!("{name} [{units}]") }
}

/// Coordinates of an axis of a field; indices where the file has none.
fn coordinate(reader: &Reader, field: &Kept, axis: usize) -> Result<Vec<f64>> {
    let (path, n) = (format!("{}/{}", field.group, field.axes[axis]), field.shape[axis]);
    let known = if reader.has(&path) { reader.array(&path)?.values } else { Vec::new() };
    Ok(if known.len() == n { known } else { (0..n).map(|i| i as f64).collect() })
}

/// The range of a picture whose pixels are centred on coordinates: half a step more on either side.
fn edges(x: &[f64]) -> (f64, f64) {
    match x {
        [] => (0.0, 1.0),
        [only] => (only - 0.5, only + 0.5),
        [first, second, ..] => {
            let (last, before) = (x[x.len() - 1], x[x.len() - 2]);
            (first - 0.5 * (second - first), last + 0.5 * (last - before))
        }
    }
}

fn ranged(label: String, x: &[f64]) -> Axis {
    Axis { label, log: false, range: Some(edges(x)) }
}

fn range_of(values: &[f64]) -> Option<(f64, f64)> {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    finite.map(|v| (v, v)).reduce(|(low, high), (v, _)| (low.min(v), high.max(v)))
}

/// Whether values of both signs matter.
fn signed(values: &[f64]) -> bool {
    range_of(values).is_some_and(|(low, high)| low < 0.0 && high > 0.0 && (-low).min(high) > 0.15 * (-low).max(high))
}

/// Diverging if asked. A few extremes do not wash out the rest: the range holds 99.7 % of the values where the largest
/// is half as large again.
fn palette(values: &[f64], diverging: bool) -> (Palette, Option<(f64, f64)>) {
    if !diverging {
        return (Palette::Sequential, range_of(values));
    }
    let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    let Some(&largest) = sizes.last() else { return (Palette::Diverging, None) };
    let usual = sizes[(sizes.len() - 1) * 997 / 1000];
    let reach = if largest > 1.5 * usual && usual > 0.0 { usual } else { largest };
    (Palette::Diverging, Some((-reach, reach)))
}

/// What a field is a component of, by its name: velocities, vectors along axes, complex numbers. Itself otherwise.
fn whole(name: &str) -> &str {
    if ["u", "v", "w"].contains(&name) {
        return "velocity";
    }
    ["_x", "_y", "_z", "_real", "_imag", "x", "y", "z"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}

/// Indices 0..n, thinned to at most [`MOST`].
fn thinned(n: usize) -> Vec<usize> {
    let stride = n.div_ceil(MOST).max(1);
    (0..n).step_by(stride).collect()
}

/// [`thinned`], and the last.
fn thinned_to_the_last(n: usize) -> Vec<usize> {
    let mut kept = thinned(n);
    if kept.last().is_some_and(|last| last + 1 < n) {
        kept.push(n - 1);
    }
    kept
}

/// Where `target` lies among rising coordinates: the index below, and which part of the way to the next one.
fn between(at: &[f64], target: f64) -> (usize, f64) {
    let below = at.partition_point(|a| *a <= target).clamp(1, at.len() - 1) - 1;
    let gap = at[below + 1] - at[below];
    (below, if gap > 0.0 { ((target - at[below]) / gap).clamp(0.0, 1.0) } else { 1.0 })
}

/// A matrix whose rows lie at `at` on `rows` rows of equal height, from the first of these places to the last.
fn even_rows(values: &[f64], cols: usize, at: &[f64], rows: usize) -> Vec<f64> {
    let (first, last) = (at[0], at[at.len() - 1]);
    let row = |r: usize| &values[r * cols..(r + 1) * cols];
    let mut out = Vec::with_capacity(rows * cols);
    for i in 0..rows {
        let (below, w) = between(at, first + (last - first) * (i as f64 + 0.5) / rows as f64);
        let mix = |(a, b): (&f64, &f64)| if w == 0.0 { *a } else { (1.0 - w) * a + w * b };
        out.extend(row(below).iter().zip(row(below + 1)).map(mix));
    }
    out
}

fn equispaced(at: &[f64]) -> bool {
    let step = (at[at.len() - 1] - at[0]) / (at.len() - 1).max(1) as f64;
    at.windows(2).all(|w| (w[1] - w[0] - step).abs() <= 1e-6 * step.abs())
}

/// The values of a field on one axis at all times, time upwards.
fn space_time(reader: &Reader, field: &Kept, times: &[f64], all: &[f64], title: &str) -> Result<Panel> {
    let (n, axis) = (field.shape[0], &field.axes[0]);
    let x = coordinate(reader, field, 0)?;
    let time_units = reader.attribute("fields/time", "units").unwrap_or_default();
    let (records, cols) = (thinned_to_the_last(times.len()), thinned(n));
    let values: Vec<f64> =
        records.iter().flat_map(|&t| cols.iter().map(move |&i| (t, i))).map(|(t, i)| all[t * n + i]).collect();
    let at: Vec<f64> = records.iter().map(|&t| times[t]).collect();
    let (palette, range) = palette(&values, signed(&values));
    let rows = at.len().max(ROWS);
    let time = Axis { label: with_units("time t", &time_units), log: false, range: Some((at[0], at[at.len() - 1])) };
    Ok(Panel::Field(Field {
        title: title.to_string(),
        x: ranged(axis.clone(), &x),
        y: time,
        rows,
        cols: cols.len(),
        values: even_rows(&values, cols.len(), &at, rows),
        bar: with_units(&field.name, &field.units),
        palette,
        range,
        equal: false,
    }))
}

/// An entry of a legend that says how many of `all` curves have no colour left.
fn and_more(all: usize) -> Option<Line> {
    let left = all.checked_sub(COLOURS.len()).filter(|left| *left > 0)?;
    let label = format!("… and {left} more");
    Some(Line { label, x: Vec::new(), y: Vec::new(), colour: [255; 3], style: Style::Solid })
}

/// One dimension: space and time, and the last state.
fn lines(reader: &Reader, fields: &[Kept], times: &[f64]) -> Result<Vec<(f64, Panel)>> {
    let first = &fields[0];
    let (n, axis) = (first.shape[0], &first.axes[0]);
    let x = coordinate(reader, first, 0)?;
    let mut panels = Vec::new();
    if times.len() > 2 {
        let all = first.slab(reader, &[0, 0], &[times.len(), n])?;
        panels.push((1.7, space_time(reader, first, times, &all, &format!("{}({axis}, t)", first.name))?));
    }
    let last = times.len() - 1;
    let alike = || fields.iter().filter(|f| f.shape == first.shape && f.axes == first.axes);
    let mut curves = Vec::new();
    for (field, colour) in alike().zip(COLOURS) {
        let y = field.slab(reader, &[last, 0], &[1, n])?;
        // A modulus often is its real part.
        let style = if field.parts.len() > 1 { Style::Dashed } else { Style::Solid };
        curves.push(Line { label: field.name.clone(), x: x.clone(), y, colour, style });
    }
    curves.sort_by_key(|line| line.style == Style::Dashed);
    let label = if curves.len() == 1 { with_units(&first.name, &first.units) } else { "fields".into() };
    if curves.len() == 1 {
        curves[0].label.clear();
        curves[0].style = Style::Solid;
    }
    curves.extend(and_more(alike().count()));
    let title = if timeless(reader) { String::new() } else { format!("at t = {}", number(times[last], 4)) };
    panels
        .push((1.0, Panel::Curves(Curves { title, x: ranged(axis.clone(), &x), y: Axis::new(label), lines: curves })));
    Ok(panels)
}

/// Which axes of a field a plane shows, to the right and up, and the one that is cut: z, between walls y, but an axis of
/// one point if there is one. Between walls the first axis is z and points up, and the last one to the right; otherwise x
/// to the right and y up.
fn sides(field: &Kept) -> (usize, usize, Option<usize>) {
    let walls = field.axes[0] == "z";
    let cut = (field.axes.len() == 3).then(|| match field.shape.iter().position(|n| *n == 1) {
        Some(flat) => flat,
        None => 2 - usize::from(walls),
    });
    let left: Vec<usize> = (0..field.axes.len()).filter(|a| Some(*a) != cut).collect();
    if walls { (left[1], left[0], cut) } else { (left[0], left[1], cut) }
}

/// Values of a plane in C order of the axes that are left, at index `at` of the axis that is cut.
fn cut(reader: &Reader, field: &Kept, t: usize, axis: Option<usize>, at: usize) -> Result<Vec<f64>> {
    let (mut start, mut count) = (vec![t], vec![1]);
    start.extend(field.shape.iter().map(|_| 0));
    count.extend_from_slice(&field.shape);
    if let Some(axis) = axis {
        (start[axis + 1], count[axis + 1]) = (at, 1);
    }
    field.slab(reader, &start, &count)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max)
}

/// Below this share of what a field is elsewhere a plane shows rounding, not the field.
const ROUNDING: f64 = 1e-6;
/// The plane in the middle is shown if it has this share of the largest variance of a plane.
const ENOUGH: f64 = 0.25;

/// The mean square of what is left of finite values without their mean.
fn variance(values: &[f64]) -> f64 {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let n = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / n;
    finite().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
}

/// A plane of a field at a time, and its largest value: in three dimensions the one in the middle, or a quarter or an
/// eighth of the way where the field varies little in the middle, as by symmetry.
fn chosen(reader: &Reader, field: &Kept, t: usize) -> Result<(Vec<f64>, usize, f64)> {
    let (_, _, axis) = sides(field);
    let Some(axis) = axis else {
        let values = cut(reader, field, t, None, 0)?;
        let size = largest(&values);
        return Ok((values, 0, size));
    };
    let n = field.shape[axis];
    let mut places = vec![n / 2, n / 4, n / 8];
    places.dedup();
    let mut planes = Vec::new();
    for at in places {
        let values = cut(reader, field, t, Some(axis), at)?;
        let (size, varied) = (largest(&values), variance(&values));
        planes.push(((values, at, size), varied));
    }
    let most = planes.iter().map(|p| p.1).fold(0.0, f64::max);
    // Where planes are much alike fields are shown in the same one.
    let best = planes.iter().position(|p| p.1 >= ENOUGH * most).unwrap_or(0);
    Ok(planes.swap_remove(best).0)
}

/// A picture of a plane. `size`: the largest value of what is shown beside it; what is rounding beside that is drawn as
/// nothing. `diverging`: zero is white.
fn plane(
    reader: &Reader,
    field: &Kept,
    time: f64,
    plane: &(Vec<f64>, usize, f64),
    (size, diverging): (f64, bool),
) -> Result<Panel> {
    let (across, up, axis) = sides(field);
    let mut at = Vec::new();
    if let Some(axis) = axis {
        let z = coordinate(reader, field, axis)?;
        at.push(format!("{} = {}", field.axes[axis], number(z[plane.1], 4)));
    }
    if !timeless(reader) {
        at.push(format!("t = {}", number(time, 4)));
    }
    let at = if at.is_empty() { String::new() } else { format!("   ({})", at.join(", ")) };
    let (nx, ny) = (field.shape[across], field.shape[up]);
    let (columns, rows) = (thinned(nx), thinned_to_the_last(ny));
    let (x, y) = (coordinate(reader, field, across)?, coordinate(reader, field, up)?);
    let picked = |all: &[f64], at: &[usize]| -> Vec<f64> { at.iter().map(|&i| all[i]).collect() };
    let (x, y) = (picked(&x, &columns), picked(&y, &rows));
    let value = |i: usize, j: usize| plane.0[if across < up { i * ny + j } else { j * nx + i }];
    let values: Vec<f64> = rows.iter().flat_map(|&j| columns.iter().map(move |&i| value(i, j))).collect();
    let (mut palette, mut range) = palette(&values, diverging);
    let (values, rows, height) = if equispaced(&y) {
        (values, y.len(), edges(&y))
    } else {
        let rows = y.len().max(ROWS);
        (even_rows(&values, x.len(), &y, rows), rows, (y[0], y[y.len() - 1]))
    };
    if plane.2 < ROUNDING * size {
        (palette, range) = (Palette::Diverging, Some((-ROUNDING * size, ROUNDING * size)));
    }
    Ok(Panel::Field(Field {
        title: format!("{}{at}", field.name),
        x: ranged(field.axes[across].clone(), &x),
        y: Axis { label: field.axes[up].clone(), log: false, range: Some(height) },
        rows,
        cols: x.len(),
        values,
        bar: with_units(if field.meaning.chars().count() <= 36 { &field.meaning } else { &field.name }, &field.units),
        palette,
        range,
        equal: true,
    }))
}

/// Two and three dimensions: up to three fields at the end, or one field at three times.
fn planes(reader: &Reader, fields: &[Kept], times: &[f64]) -> Result<Vec<(f64, Panel)>> {
    let last = times.len() - 1;
    let shown: Vec<(&Kept, usize)> = match fields {
        [only] => {
            let mut at = vec![0, last / 2, last];
            at.dedup();
            at.into_iter().map(|t| (only, t)).collect()
        }
        several => several.iter().take(3).map(|f| (f, last)).collect(),
    };
    let planes: Vec<_> = shown.iter().map(|(f, t)| chosen(reader, f, *t)).collect::<Result<_>>()?;
    let size = |field: &Kept| {
        let alike = shown.iter().zip(&planes).filter(|((other, _), _)| other.units == field.units);
        alike.map(|(_, plane)| plane.2).fold(0.0, f64::max)
    };
    // Components of one vector are told apart by their values, not by their colours.
    let both: Vec<bool> = planes.iter().map(|p| signed(&p.0)).collect();
    let diverging = |field: &Kept| {
        let one = |other: &Kept| whole(&other.name) == whole(&field.name) && other.units == field.units;
        shown.iter().zip(&both).any(|((other, _), both)| *both && one(other))
    };
    let panels = shown.iter().zip(&planes);
    panels.map(|((f, t), p)| Ok((1.0, plane(reader, f, times[*t], p, (size(f), diverging(f)))?))).collect()
}

/// Spectra, on logarithmic axes; none when there are none. `read`: the spectrum at a path, with as many shells.
fn spectrum(reader: &Reader, title: String, read: impl Fn(&str, usize) -> Result<Vec<f64>>) -> Result<Option<Panel>> {
    if !reader.has("fields/wavenumber") {
        return Ok(None);
    }
    let k = reader.array("fields/wavenumber")?.values;
    let mut shown = Vec::new();
    let names: Vec<String> = reader.datasets("fields").into_iter().filter(|n| n.ends_with("_spectrum")).collect();
    for (name, colour) in names.iter().zip(COLOURS) {
        let path = format!("fields/{name}");
        let units = reader.attribute(&path, "units").unwrap_or_default();
        shown.push((name.trim_end_matches("_spectrum").to_string(), colour, units, read(&path, k.len())?));
    }
    // Shells that are empty by symmetry, or hold nothing but rounding of what is beside them, would hide the others.
    let floor = |units: &str| {
        let alike = shown.iter().filter(|(_, _, of, _)| of == units).flat_map(|(.., values)| values.iter().copied());
        1e-30 * alike.fold(0.0, f64::max)
    };
    let mut lines = Vec::new();
    for (label, colour, units, values) in &shown {
        let floor = floor(units);
        let points = k.iter().copied().zip(values.iter().copied()).skip(1);
        let (x, y) = points.filter(|(_, v)| *v > floor && *v > 0.0).unzip();
        lines.push(Line { label: label.clone(), x, y, colour: *colour, style: Style::Solid });
    }
    lines.retain(|l: &Line| !l.x.is_empty());
    if lines.is_empty() {
        return Ok(None);
    }
    if let [only] = &mut lines[..] {
        only.label.clear();
    }
    lines.extend(and_more(names.len()));
    let y = Axis::log("mean square per shell");
    Ok(Some(Panel::Curves(Curves { title, x: Axis::log("wavenumber k"), y, lines })))
}

/// The name of an equation or problem of this room by the word of the input.
fn known(word: &str) -> Option<&'static str> {
    const BOUNDED: [(&str, &str); 4] = [
        ("rayleigh_benard", "Rayleigh–Bénard convection"),
        ("rayleigh_benard_onset", "Onset of Rayleigh–Bénard convection"),
        ("orr_sommerfeld", "Orr–Sommerfeld"),
        ("channel", "Channel flow"),
    ];
    let bounded = BOUNDED.iter().find(|(w, _)| *w == word).map(|(_, name)| *name);
    // Summaries read "name: equation".
    let built_in = || Some(equations::ALL.iter().find(|about| about.word == word)?.summary.split_once(':')?.0);
    bounded.or_else(built_in)
}

/// The scheme of a run in time with this input, which names none.
fn default_scheme(input: &toml::Table) -> Option<String> {
    let equation: EquationInput = input.get("problem")?.get("equation")?.clone().try_into().ok()?;
    let walls = matches!(equation, EquationInput::Bounded(_));
    let method = input.get("method").cloned().unwrap_or_else(|| toml::Table::new().into());
    let method: MethodInput = method.try_into().ok()?;
    Some(method.check(walls, true).ok()?.word.to_string())
}

/// Title and subtitle: the equation as the input names it, grid, times.
fn words(reader: &Reader, fields: &[Kept], times: &[f64]) -> (String, String) {
    let input: toml::Table = reader.attribute("/", "input").unwrap_or_default().parse().unwrap_or_default();
    let text = |path: &[&str]| {
        let (last, tables) = path.split_last()?;
        let table = tables.iter().try_fold(&input, |t, k| t.get(*k)?.as_table())?;
        table.get(*last)?.as_str().map(str::to_string)
    };
    let name = [
        &["comment", "title"][..],
        &["problem", "equation", "kind"],
        &["problem", "equation", "name"],
        &["problem", "equation"],
    ]
    .iter()
    .find_map(|p| text(p))
    .unwrap_or_else(|| "spectral".into());
    let name = known(&name).map_or_else(|| name.replace('_', " "), str::to_string);
    let mut title = name.chars();
    let title = title.next().map_or(String::new(), |c| c.to_uppercase().chain(title).collect());
    let mut parts = Vec::new();
    if let Some(first) = fields.first() {
        let shape: Vec<String> = first.shape.iter().map(|n| n.to_string()).collect();
        parts.push(format!("{} points kept", shape.join(" × ")));
    }
    match times {
        [] => (),
        _ if timeless(reader) => (),
        [time] => parts.push(format!("t = {}", number(*time, 4))),
        [first, .., last] => {
            parts.push(format!("{} snapshots, t = {} to {}", times.len(), number(*first, 4), number(*last, 4)));
        }
    }
    if !timeless(reader) {
        let scheme = text(&["method", "scheme"]).or_else(|| default_scheme(&input));
        parts.extend(scheme.map(|scheme| format!("scheme: {scheme}")));
    }
    if let Some(status) = reader.attribute("/", "status").filter(|s| s != "converged") {
        parts.push(format!("status: {status}"));
    }
    (title, parts.join("  ·  "))
}

#[cfg(test)]
mod tests;
