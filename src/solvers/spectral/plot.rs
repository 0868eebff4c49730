//! The figure of a finished run, from output.h5 alone: fields (a space–time diagram in one dimension, planes in two and
//! three), spectra, series.

mod ensemble;

use std::path::Path;

use super::equations;
use crate::error::{Error, Result};
use crate::io::read::Reader;
use crate::plot::{Axis, Curves, Field, Figure, Line, Palette, Panel, Style, colours, number};

/// Values along an axis of a picture, at most; more are thinned out.
const MOST: usize = 2048;
const COLOURS: [colours::Rgb; 5] =
    [colours::BLUE, colours::VERMILION, colours::GREEN, colours::PURPLE, colours::ORANGE];

/// A kept field: its name, its datasets, what it is, and its axes after time with their lengths.
#[derive(Debug, Clone)]
struct Kept {
    name: String,
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
    let times = if reader.has("fields/time") { reader.array("fields/time")?.values } else { Vec::new() };
    let fields = if times.is_empty() { Vec::new() } else { fields(reader)? };
    let above = match fields.first().map(|f| f.axes.len()) {
        Some(1) => lines(reader, &fields, &times)?,
        Some(_) => planes(reader, &fields, &times)?,
        None => Vec::new(),
    };
    let mut below: Vec<(f64, Panel)> = Vec::new();
    if let Some(t) = times.last() {
        let last = |path: &str, shells| Ok(reader.slab(path, &[times.len() - 1, 0], &[1, shells])?.values);
        below.extend(spectrum(reader, format!("Spectrum at t = {}", number(*t, 4)), last)?.map(|p| (1.0, p)));
    }
    below.extend(series(reader, 4 - below.len().min(1))?.into_iter().map(|p| (1.0, p)));
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
    let [(share, above), (other, _)] = &mut figure.rows[..] else { return figure };
    let each = (width - 36.0) / above.len() as f64 - BESIDE;
    // A panel that fills what it is given needs all of it.
    let shape = |panel: &Panel| match panel {
        Panel::Field(field) if field.equal => {
            let extent = |axis: &Axis| axis.range.map_or(1.0, |(low, high)| high - low);
            extent(&field.y) / extent(&field.x)
        }
        _ => f64::INFINITY,
    };
    let tallest = above.iter().map(|(_, panel)| shape(panel)).fold(0.0, f64::max);
    let given = (height - AROUND) * *share / (*share + *other);
    let needed = (tallest * each + ABOVE_AND_BELOW).max(240.0);
    if needed < given {
        // The lower row keeps its height.
        let below = height - AROUND - given;
        (*share, *other) = (needed, below);
        figure.size.1 = (AROUND + needed + below).round() as u32;
    }
    figure
}

/// The fields on the most axes, velocities and scalars alike, in the order of the file.
fn fields(reader: &Reader) -> Result<Vec<Kept>> {
    let mut all = Vec::new();
    for name in reader.datasets("fields") {
        let path = format!("fields/{name}");
        let axes = reader.axes(&path)?;
        let spatial = axes.iter().skip(1).all(|a| ["x", "y", "z"].contains(&a.as_str()));
        if axes.len() < 2 || axes[0] != "time" || !spatial {
            continue;
        }
        let attribute = |key| reader.attribute(&path, key).unwrap_or_default();
        let (units, meaning) = (attribute("units"), attribute("long_name"));
        let (axes, shape) = (axes[1..].to_vec(), reader.shape(&path)?[1..].to_vec());
        all.push(Kept { parts: vec![name.clone()], name, units, meaning, axes, shape });
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
    /// Its values in a part of the file, as [`Reader::slab`] has them.
    fn slab(&self, reader: &Reader, start: &[usize], count: &[usize]) -> Result<Vec<f64>> {
        let read = |name: &String| Ok(reader.slab(&format!("fields/{name}"), start, count)?.values);
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
fn coordinate(reader: &Reader, axis: &str, n: usize) -> Result<Vec<f64>> {
    let path = format!("fields/{axis}");
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

/// Diverging where values of both signs matter. A few extremes do not wash out the rest: the range holds 99.7 % of the
/// values where the largest is half as large again.
fn palette(values: &[f64]) -> (Palette, Option<(f64, f64)>) {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if sorted.is_empty() {
        return (Palette::Sequential, None);
    }
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    if low < 0.0 && high > 0.0 && (-low).min(high) > 0.15 * (-low).max(high) {
        sorted.iter_mut().for_each(|v| *v = v.abs());
        sorted.sort_by(f64::total_cmp);
        let (usual, largest) = (sorted[(sorted.len() - 1) * 997 / 1000], sorted[sorted.len() - 1]);
        let reach = if largest > 1.5 * usual && usual > 0.0 { usual } else { largest };
        return (Palette::Diverging, Some((-reach, reach)));
    }
    (Palette::Sequential, None)
}

/// Indices 0..n, thinned to at most [`MOST`].
fn thinned(n: usize) -> Vec<usize> {
    let stride = n.div_ceil(MOST).max(1);
    (0..n).step_by(stride).collect()
}

/// A matrix that may not be equispaced in its rows, on as many equispaced rows: the nearest row below, interpolated.
fn even_rows(values: &[f64], cols: usize, at: &[f64]) -> Vec<f64> {
    let n = at.len();
    if n < 3 || cols == 0 {
        return values.to_vec();
    }
    let step = (at[n - 1] - at[0]) / (n - 1) as f64;
    if at.windows(2).all(|w| (w[1] - w[0] - step).abs() < 1e-6 * step) {
        return values.to_vec();
    }
    let mut out = Vec::with_capacity(values.len());
    let mut below = 0;
    for i in 0..n {
        let target = at[0] + i as f64 * step;
        while below + 2 < n && at[below + 1] <= target {
            below += 1;
        }
        let w = ((target - at[below]) / (at[below + 1] - at[below])).clamp(0.0, 1.0);
        let row = |r: usize| &values[r * cols..(r + 1) * cols];
        out.extend(row(below).iter().zip(row(below + 1)).map(|(a, b)| (1.0 - w) * a + w * b));
    }
    out
}

/// The values of a field on one axis at all times, time upwards.
fn space_time(reader: &Reader, field: &Kept, times: &[f64], all: &[f64], title: &str) -> Result<Panel> {
    let (n, axis) = (field.shape[0], &field.axes[0]);
    let x = coordinate(reader, axis, n)?;
    let time_units = reader.attribute("fields/time", "units").unwrap_or_default();
    let (rows, cols) = (thinned(times.len()), thinned(n));
    let values: Vec<f64> =
        rows.iter().flat_map(|&t| cols.iter().map(move |&i| (t, i))).map(|(t, i)| all[t * n + i]).collect();
    let at: Vec<f64> = rows.iter().map(|&t| times[t]).collect();
    let values = even_rows(&values, cols.len(), &at);
    let (palette, range) = palette(&values);
    let even = |i: usize| at[0] + (at[at.len() - 1] - at[0]) * i as f64 / (at.len() - 1) as f64;
    Ok(Panel::Field(Field {
        title: title.to_string(),
        x: ranged(axis.clone(), &x),
        y: ranged(with_units("time t", &time_units), &(0..at.len()).map(even).collect::<Vec<_>>()),
        rows: rows.len(),
        cols: cols.len(),
        values,
        bar: with_units(&field.name, &field.units),
        palette,
        range,
        equal: false,
    }))
}

/// One dimension: space and time, and the last state.
fn lines(reader: &Reader, fields: &[Kept], times: &[f64]) -> Result<Vec<(f64, Panel)>> {
    let first = &fields[0];
    let (n, axis) = (first.shape[0], &first.axes[0]);
    let x = coordinate(reader, axis, n)?;
    let mut panels = Vec::new();
    if times.len() > 2 {
        let all = first.slab(reader, &[0, 0], &[times.len(), n])?;
        panels.push((1.7, space_time(reader, first, times, &all, &format!("{}({axis}, t)", first.name))?));
    }
    let last = times.len() - 1;
    let shown = fields.iter().filter(|f| f.shape == first.shape && f.axes == first.axes).take(COLOURS.len());
    let mut curves = Vec::new();
    for (field, colour) in shown.zip(COLOURS) {
        let y = field.slab(reader, &[last, 0], &[1, n])?;
        curves.push(Line { label: field.name.clone(), x: x.clone(), y, colour, style: Style::Solid });
    }
    let label = if curves.len() == 1 { with_units(&first.name, &first.units) } else { "fields".into() };
    if curves.len() == 1 {
        curves[0].label.clear();
    }
    let title = format!("at t = {}", number(times[last], 4));
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

/// A plane of a field at a time, and its largest value: in three dimensions the one in the middle, or a quarter or an
/// eighth of the way where the field vanishes in the middle by symmetry.
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
        let size = largest(&values);
        planes.push((values, at, size));
    }
    let most = planes.iter().map(|p| p.2).fold(0.0, f64::max);
    Ok(planes.into_iter().find(|p| p.2 >= ROUNDING * most).expect("one of them is the largest"))
}

/// A picture of a plane. `size`: the largest value of what is shown beside it; what is rounding beside that is drawn as
/// nothing.
fn plane(reader: &Reader, field: &Kept, time: f64, plane: &(Vec<f64>, usize, f64), size: f64) -> Result<Panel> {
    let (across, up, axis) = sides(field);
    let mut at = format!("t = {}", number(time, 4));
    if let Some(axis) = axis {
        let z = coordinate(reader, &field.axes[axis], field.shape[axis])?;
        at = format!("{} = {}, {at}", field.axes[axis], number(z[plane.1], 4));
    }
    let (nx, ny) = (field.shape[across], field.shape[up]);
    let (columns, rows) = (thinned(nx), thinned(ny));
    let (x, y) = (coordinate(reader, &field.axes[across], nx)?, coordinate(reader, &field.axes[up], ny)?);
    let picked = |all: &[f64], at: &[usize]| -> Vec<f64> { at.iter().map(|&i| all[i]).collect() };
    let (x, y) = (picked(&x, &columns), picked(&y, &rows));
    let value = |i: usize, j: usize| plane.0[if across < up { i * ny + j } else { j * nx + i }];
    let values: Vec<f64> = rows.iter().flat_map(|&j| columns.iter().map(move |&i| value(i, j))).collect();
    let values = even_rows(&values, x.len(), &y);
    let (mut palette, mut range) = palette(&values);
    if plane.2 < ROUNDING * size {
        (palette, range) = (Palette::Diverging, Some((-ROUNDING * size, ROUNDING * size)));
    }
    Ok(Panel::Field(Field {
        title: format!("{}   ({at})", field.name),
        x: ranged(field.axes[across].clone(), &x),
        y: Axis { label: field.axes[up].clone(), log: false, range: Some(edges_of_even(&y)) },
        rows: y.len(),
        cols: x.len(),
        values,
        bar: with_units(if field.meaning.chars().count() <= 36 { &field.meaning } else { &field.name }, &field.units),
        palette,
        range,
        equal: true,
    }))
}

/// [`edges`] after rows were made equispaced.
fn edges_of_even(y: &[f64]) -> (f64, f64) {
    let n = y.len();
    if n < 2 {
        return edges(y);
    }
    let half = 0.5 * (y[n - 1] - y[0]) / (n - 1) as f64;
    (y[0] - half, y[n - 1] + half)
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
    let panels = shown.iter().zip(&planes);
    panels.map(|((f, t), p)| Ok((1.0, plane(reader, f, times[*t], p, size(f))?))).collect()
}

/// Spectra, on logarithmic axes; none when there are none. `read`: the spectrum at a path, with as many shells.
fn spectrum(reader: &Reader, title: String, read: impl Fn(&str, usize) -> Result<Vec<f64>>) -> Result<Option<Panel>> {
    if !reader.has("fields/wavenumber") {
        return Ok(None);
    }
    let k = reader.array("fields/wavenumber")?.values;
    let mut shown = Vec::new();
    for (name, colour) in reader.datasets("fields").iter().filter(|n| n.ends_with("_spectrum")).zip(COLOURS) {
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
    let y = Axis::log("mean square per shell");
    Ok(Some(Panel::Curves(Curves { title, x: Axis::log("wavenumber k"), y, lines })))
}

/// The name of a series in words.
fn spoken(name: &str) -> String {
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

/// The most telling series, each in a panel of its own; exponents share one. What is zero throughout says nothing.
fn series(reader: &Reader, most: usize) -> Result<Vec<Panel>> {
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
        let colour = *colours.next().expect("they go round");
        let line = Line { label: String::new(), x: x.to_vec(), y: y.to_vec(), colour, style: Style::Solid };
        let title = spoken(name);
        panels.push(Panel::Curves(Curves { title, x: x_axis.clone(), y: y_axis, lines: vec![line] }));
    }
    Ok(panels)
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
        [time] => parts.push(format!("t = {}", number(*time, 4))),
        [first, .., last] => {
            parts.push(format!("{} snapshots, t = {} to {}", times.len(), number(*first, 4), number(*last, 4)));
        }
    }
    if let Some(scheme) = text(&["method", "scheme"]).or_else(|| text(&["method", "name"])) {
        parts.push(format!("scheme: {}", scheme.replace('_', " ")));
    }
    if let Some(status) = reader.attribute("/", "status").filter(|s| s != "converged") {
        parts.push(format!("status: {status}"));
    }
    (title, parts.join("  ·  "))
}

#[cfg(test)]
mod tests;
