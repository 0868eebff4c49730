//! The figure of a finished run: source, target, result, and the convergence with its certificates.
//!
//! Reads output.h5, and the certified numbers from report.json beside it. What a file does not hold is not drawn.

use std::path::Path;

use super::colour;
use super::problem::ColourSpace;
use crate::error::Result;
use crate::io::read::Reader;
use crate::plot::{
    Axis, Cloud, Curves, Figure, Group, Heat, Line, Panel, Picture, Raster, Style, Table, colours, number,
};

/// Points drawn of a large cloud, and displacements drawn as lines.
const MOST_POINTS: usize = 6000;
const MOST_SEGMENTS: usize = 400;

/// An array of a file: empty when it is not there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn width(&self) -> usize {
        if self.shape.len() == 2 { self.shape[1] } else { 1 }
    }

    fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    fn raster(&self) -> Option<Raster> {
        match self.shape[..] {
            [rows, cols, 3] if rows * cols > 0 => {
                Some(Raster::new(rows, cols, self.values.iter().map(|v| *v as u8).collect()))
            }
            _ => None,
        }
    }
}

/// One side of the problem.
#[derive(Debug, Clone, Default)]
struct Side {
    points: Array,
    weights: Array,
    /// Cells per axis of a grid; empty for a cloud.
    shape: Vec<usize>,
    potential: Array,
    image: Option<Raster>,
}

/// What a figure is made of.
#[derive(Debug, Clone, Default)]
struct Run {
    source: Side,
    target: Side,
    map: Array,
    transferred: Option<Raster>,
    /// Row, column and mass of the largest plan entries.
    plan: [Vec<f64>; 3],
    step: Vec<f64>,
    marginal_error: Vec<f64>,
    epsilon: Vec<f64>,
    input: toml::Table,
    report: serde_json::Value,
}

impl Run {
    /// Whether both sides are grids on a line.
    fn on_lines(&self) -> bool {
        [&self.source, &self.target].iter().all(|side| side.shape.len() == 1)
    }

    /// Whether both sides have points in one space.
    fn are_clouds(&self) -> bool {
        let [source, target] = [&self.source.points, &self.target.points];
        !source.is_empty() && !target.is_empty() && source.width() == target.width()
    }
}

/// Draws `figure` (.png or .svg) from the output.h5 at `output`.
pub fn plot(output: &Path, figure: &Path) -> Result<()> {
    draw(&load(output)?).save(figure)
}

fn load(output: &Path) -> Result<Run> {
    let reader = Reader::open(output)?;
    let array = |path: &str| -> Result<Array> {
        if !reader.has(path) {
            return Ok(Array::default());
        }
        let a = reader.array(path)?;
        Ok(Array { shape: a.shape, values: a.values })
    };
    let side = |name: &str| -> Result<Side> {
        Ok(Side {
            points: array(&format!("inputs/{name}_points"))?,
            weights: array(&format!("inputs/{name}_weights"))?,
            shape: array(&format!("inputs/{name}_shape"))?.values.iter().map(|v| *v as usize).collect(),
            potential: array(&format!("state/{name}_potential"))?,
            image: array(&format!("results/{name}_image"))?.raster(),
        })
    };
    let input = reader.attribute("/", "input").unwrap_or_default();
    let report = std::fs::read_to_string(output.with_file_name("report.json")).unwrap_or_default();
    Ok(Run {
        source: side("source")?,
        target: side("target")?,
        map: array("results/barycentric_map")?,
        transferred: array("results/transferred_image")?.raster(),
        plan: [
            array("results/plan_row")?.values,
            array("results/plan_column")?.values,
            array("results/plan_mass")?.values,
        ],
        step: array("series/step")?.values,
        marginal_error: array("series/marginal_error")?.values,
        epsilon: array("series/epsilon")?.values,
        input: input.parse().unwrap_or_default(),
        report: serde_json::from_str(&report).unwrap_or_default(),
    })
}

fn draw(run: &Run) -> Figure {
    let (title, above) = if run.transferred.is_some() {
        ("Colour transfer by entropic optimal transport", photographs(run))
    } else if run.on_lines() {
        ("Entropic optimal transport on a line", line_grids(run))
    } else if run.source.shape.len() > 1 && run.target.shape.len() > 1 {
        ("Entropic optimal transport between grids", plane_grids(run))
    } else if run.are_clouds() && run.source.points.width() == 1 {
        ("Entropic optimal transport between points on a line", line_clouds(run))
    } else if run.are_clouds() {
        ("Entropic optimal transport between clouds of points", clouds(run))
    } else {
        ("Entropic optimal transport", atoms(run))
    };
    let mut below = Vec::new();
    let share = if run.transferred.is_some() { 0.82 } else { 1.05 };
    if run.transferred.is_some() {
        below.extend(palettes(run));
    } else {
        below.extend(potentials(run));
    }
    below.push((1.15, convergence(run)));
    below.push((1.25, certificates(run)));
    // Without anything to draw above, the page is half as tall.
    let height = if above.is_empty() { 520 } else { 960 };
    let rows = [(share, above), (1.0, below)].into_iter().filter(|(_, panels)| !panels.is_empty()).collect();
    Figure { title: title.into(), subtitle: subtitle(run), size: (1500, height), rows }
}

/// A key of the input, such as ["problem", "epsilon"].
fn key<'r>(run: &'r Run, path: &[&str]) -> Option<&'r toml::Value> {
    let (last, tables) = path.split_last()?;
    let table = tables.iter().try_fold(&run.input, |t, k| t.get(*k)?.as_table())?;
    table.get(*last)
}

fn subtitle(run: &Run) -> String {
    let mut words = Vec::new();
    if let Some(epsilon) = run.epsilon.last() {
        words.push(format!("ε = {}", short(*epsilon)));
    }
    words.push(format!("n = {}, m = {}", run.source.weights.rows(), run.target.weights.rows()));
    let kind = key(run, &["problem", "cost", "kind"]).and_then(|v| v.as_str()).unwrap_or("squared_euclidean");
    words.push(format!("cost: {}", kind.replace('_', " ")));
    for (name, symbol) in [("source_penalty", "ρ₁"), ("target_penalty", "ρ₂")] {
        if let Some(v) = key(run, &["problem", name]) {
            words.push(format!("{symbol} = {v}"));
        }
    }
    let method = key(run, &["method", "name"]).and_then(|v| v.as_str()).unwrap_or("accelerated");
    words.push(format!("method: {}", method.replace('_', " ")));
    words.join("  ·  ")
}

fn photographs(run: &Run) -> Vec<(f64, Panel)> {
    let file = |side: &str| key(run, &["problem", side, "file"]).and_then(|v| v.as_str()).unwrap_or(side).to_string();
    let pictures = [
        (format!("Source: {}", file("source")), &run.source.image),
        (format!("Target: {}", file("target")), &run.target.image),
        ("The source in the target's colours".to_string(), &run.transferred),
    ];
    let panel = |(title, raster): (String, &Option<Raster>)| {
        raster.clone().map(|raster| (1.0, Panel::Picture(Picture { title, raster })))
    };
    pictures.into_iter().filter_map(panel).collect()
}

/// The two clouds of colours, each point in its own colour, as large as it is frequent.
fn palettes(run: &Run) -> Vec<(f64, Panel)> {
    let lab = key(run, &["problem", "source", "space"]).and_then(|v| v.as_str()) == Some("cielab");
    let space = if lab { ColourSpace::Cielab } else { ColourSpace::Rgb };
    let (axes, unit) = if lab { (["a*", "b*"], 100.0) } else { (["red", "blue"], 1.0) };
    let columns = if lab { [1, 2] } else { [0, 2] };
    let sides = [("Source palette", &run.source), ("Target palette", &run.target)];
    // The same window for both, so that they can be compared.
    let range = |c: usize| {
        let all = sides.iter().flat_map(|(_, s)| s.points.values.iter().skip(c).step_by(3));
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        Some((unit * (low - 0.03), unit * (high + 0.03)))
    };
    let axis = |k: usize| Axis { label: axes[k].into(), log: false, range: range(columns[k]) };
    sides
        .iter()
        .filter(|(_, side)| side.points.width() == 3)
        .map(|(title, side)| {
            let largest = side.weights.values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            let mut group = Group::default();
            for (i, p) in side.points.values.chunks_exact(3).enumerate() {
                group.x.push(unit * p[columns[0]]);
                group.y.push(unit * p[columns[1]]);
                let srgb = colour::srgb([p[0], p[1], p[2]], space);
                group.colours.push(srgb.map(|v| (255.0 * v).round().clamp(0.0, 255.0) as u8));
                let weight = side.weights.values.get(i).copied().unwrap_or(largest);
                group.radii.push(1.2 + 7.0 * (weight / largest).sqrt());
            }
            let cloud = Cloud { title: (*title).into(), x: axis(0), y: axis(1), groups: vec![group], segments: vec![] };
            (0.8, Panel::Cloud(cloud))
        })
        .collect()
}

/// Cell coordinates of a grid on a line: its points, or cell centres of [0, 1].
fn abscissae(side: &Side) -> Vec<f64> {
    let n = side.weights.rows();
    if side.points.values.len() == n {
        return side.points.values.clone();
    }
    (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect()
}

fn line_grids(run: &Run) -> Vec<(f64, Panel)> {
    let (x, y) = (abscissae(&run.source), abscissae(&run.target));
    let density = |side: &Side, at: &[f64]| -> Vec<f64> {
        let cell = if at.len() > 1 { (at[at.len() - 1] - at[0]) / (at.len() - 1) as f64 } else { 1.0 };
        side.weights.values.iter().map(|w| w / cell).collect()
    };
    let line = |label: &str, x: &[f64], y: Vec<f64>, colour, style| Line {
        label: label.into(),
        x: x.to_vec(),
        y,
        colour,
        style,
    };
    let measures = Curves {
        title: "Measures".into(),
        x: Axis::new("x"),
        y: Axis::new("density"),
        lines: vec![
            line("source", &x, density(&run.source, &x), colours::BLUE, Style::Area),
            line("target", &y, density(&run.target, &y), colours::ORANGE, Style::Area),
        ],
    };
    let mut panels = vec![(1.0, Panel::Curves(measures))];
    if run.map.values.len() == x.len() {
        panels.push((1.0, map_of_line(x, run.map.values.clone(), Style::Solid)));
    }
    panels
}

fn map_of_line(x: Vec<f64>, y: Vec<f64>, style: Style) -> Panel {
    let (low, high) = x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let ends = vec![low, high];
    let lines = vec![
        Line { label: "T".into(), x, y, colour: colours::GREEN, style },
        Line { label: "identity".into(), x: ends.clone(), y: ends, colour: colours::GREY, style: Style::Dashed },
    ];
    let title = "Barycentric map T(x) = E[y | x]".into();
    Panel::Curves(Curves { title, x: Axis::new("x"), y: Axis::new("T(x)"), lines })
}

/// Every so many of `values` that at most `MOST_POINTS` are left.
fn thinned(values: Vec<f64>) -> Vec<f64> {
    let stride = values.len().div_ceil(MOST_POINTS).max(1);
    values.into_iter().step_by(stride).collect()
}

/// Points of one coordinate, in any order: the mass up to x, and the map.
fn line_clouds(run: &Run) -> Vec<(f64, Panel)> {
    let line = |label: &str, side: &Side, colour| {
        let (x, y) = mass_up_to(side);
        Line { label: label.into(), x: thinned(x), y: thinned(y), colour, style: Style::Solid }
    };
    let lines = vec![line("source", &run.source, colours::BLUE), line("target", &run.target, colours::ORANGE)];
    let (x, y) = (Axis::new("x"), Axis::new("mass up to x"));
    let mut panels = vec![(1.0, Panel::Curves(Curves { title: "Source and target".into(), x, y, lines }))];
    let from = &run.source.points.values;
    if run.map.values.len() == from.len() {
        panels.push((1.0, map_of_line(thinned(from.clone()), thinned(run.map.values.clone()), Style::Dots)));
    }
    panels
}

/// The points in order, and the mass up to each; in equal parts where no weights are given.
fn mass_up_to(side: &Side) -> (Vec<f64>, Vec<f64>) {
    let points = &side.points.values;
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|i, j| points[*i].total_cmp(&points[*j]));
    let mut mass = 0.0;
    let each = order.iter().map(|i| {
        mass += side.weights.values.get(*i).copied().unwrap_or(1.0 / points.len() as f64);
        (points[*i], mass)
    });
    each.unzip()
}

/// A grid as rows × columns: the third axis, where there is one, is summed (or averaged).
fn flattened(shape: &[usize], values: &[f64], average: bool) -> (usize, usize, Vec<f64>) {
    let (rows, cols) = (shape[0], shape[1]);
    let depth: usize = shape[2..].iter().product::<usize>().max(1);
    let share = if average { 1.0 / depth as f64 } else { 1.0 };
    (rows, cols, values.chunks(depth).map(|c| share * c.iter().sum::<f64>()).collect())
}

fn heat(title: &str, shape: &[usize], values: &[f64], bar: &str, average: bool) -> Option<(f64, Panel)> {
    if shape.len() < 2 || values.len() != shape.iter().product::<usize>() {
        return None;
    }
    let (rows, cols, values) = flattened(shape, values, average);
    Some((1.0, Panel::Heat(Heat { title: title.into(), rows, cols, values, bar: bar.into() })))
}

fn plane_grids(run: &Run) -> Vec<(f64, Panel)> {
    let (s, t) = (&run.source, &run.target);
    let mut panels: Vec<(f64, Panel)> = Vec::new();
    panels.extend(heat("Source", &s.shape, &s.weights.values, "mass per cell", false));
    panels.extend(heat("Target", &t.shape, &t.weights.values, "mass per cell", false));
    if let Some(mut moved) = moved_mass(run) {
        // A map to a grid piles up in a few cells; shown on the target's scale, so that the two can be compared.
        let largest = t.weights.values.iter().copied().fold(0.0, f64::max);
        moved.iter_mut().for_each(|v| *v = v.min(largest));
        let bar = "mass per cell, up to the target's largest";
        panels.extend(heat("Source moved by the barycentric map", &t.shape, &moved, bar, false));
    }
    panels
}

/// The source's mass put where the barycentric map sends it, shared linearly among the nearest cells of the target's
/// grid, whose range is that of the target's points (cell centres).
fn moved_mass(run: &Run) -> Option<Vec<f64>> {
    let (shape, points) = (&run.target.shape, &run.target.points);
    let d = shape.len();
    let total: usize = shape.iter().product();
    if run.map.values.len() != d * run.source.weights.rows() || run.map.is_empty() {
        return None;
    }
    let ends: Vec<(f64, f64)> = (0..d)
        .map(|k| {
            if points.values.len() == d * total {
                (points.values[k], points.values[d * (total - 1) + k])
            } else {
                (0.5 / shape[k] as f64, 1.0 - 0.5 / shape[k] as f64)
            }
        })
        .collect();
    let mut mass = vec![0.0; total];
    for (w, at) in run.source.weights.values.iter().zip(run.map.values.chunks_exact(d)) {
        for corner in 0..1usize << d {
            let (mut index, mut share) = (0, *w);
            for k in 0..d {
                let last = shape[k].max(1) - 1;
                let position = (at[k] - ends[k].0) / (ends[k].1 - ends[k].0).max(f64::MIN_POSITIVE) * last as f64;
                let position = position.clamp(0.0, last as f64);
                let low = (position as usize).min(last.saturating_sub(1));
                let above = position - low as f64;
                let up = corner >> k & 1;
                share *= if up == 1 { above } else { 1.0 - above };
                index = index * shape[k] + (low + up).min(last);
            }
            mass[index] += share;
        }
    }
    Some(mass)
}

/// Two coordinates of points in ℝ^d: themselves (d = 2), a view from above and the side (d = 3), or the two principal
/// components of `all` (d > 3).
fn projection(all: &[f64], d: usize) -> ([Vec<f64>; 2], [String; 2]) {
    match d {
        2 => ([vec![1.0, 0.0], vec![0.0, 1.0]], ["x₁".into(), "x₂".into()]),
        3 => {
            let (azimuth, elevation) = (35f64.to_radians(), 25f64.to_radians());
            let (s, c) = azimuth.sin_cos();
            let (se, ce) = elevation.sin_cos();
            let names = ["view from 35° azimuth, 25° elevation".to_string(), String::new()];
            ([vec![-s, c, 0.0], vec![-se * c, -se * s, ce]], names)
        }
        _ => {
            let first = principal(all, d, None);
            let second = principal(all, d, Some(&first));
            ([first, second], ["first principal component".into(), "second".into()])
        }
    }
}

/// The direction of largest variance, orthogonal to `other`, by power iteration.
fn principal(all: &[f64], d: usize, other: Option<&[f64]>) -> Vec<f64> {
    let n = (all.len() / d).max(1) as f64;
    let mean: Vec<f64> = (0..d).map(|k| all.iter().skip(k).step_by(d).sum::<f64>() / n).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    // A start that no symmetry of the data is likely to make orthogonal to the answer.
    let mut v: Vec<f64> = (0..d).map(|k| 1.0 + (k as f64 * 0.7).sin()).collect();
    for _ in 0..60 {
        let mut next = vec![0.0; d];
        for p in all.chunks_exact(d) {
            let centred: Vec<f64> = p.iter().zip(&mean).map(|(x, m)| x - m).collect();
            let along = dot(&centred, &v);
            next.iter_mut().zip(&centred).for_each(|(s, c)| *s += along * c);
        }
        if let Some(o) = other {
            let along = dot(&next, o);
            next.iter_mut().zip(o).for_each(|(s, c)| *s -= along * c);
        }
        let length = dot(&next, &next).sqrt().max(f64::MIN_POSITIVE);
        v = next.iter().map(|x| x / length).collect();
    }
    v
}

fn clouds(run: &Run) -> Vec<(f64, Panel)> {
    let d = run.source.points.width();
    let all: Vec<f64> = run.source.points.values.iter().chain(&run.target.points.values).copied().collect();
    let (axes, names) = projection(&all, d);
    let view = |points: &[f64]| -> (Vec<f64>, Vec<f64>) {
        let stride = (points.len() / d).div_ceil(MOST_POINTS).max(1);
        let place = |p: &[f64], k: usize| p.iter().zip(&axes[k]).map(|(a, b)| a * b).sum::<f64>();
        points.chunks_exact(d).step_by(stride).map(|p| (place(p, 0), place(p, 1))).unzip()
    };
    let (source, target) = (view(&run.source.points.values), view(&run.target.points.values));
    let span = |v: [&Vec<f64>; 2]| {
        let all = v.into_iter().flatten();
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
        Some((low - 0.05 * (high - low), high + 0.05 * (high - low)))
    };
    let axis = |k: usize, range| Axis { label: names[k].clone(), log: false, range };
    let (x, y) = (axis(0, span([&source.0, &target.0])), axis(1, span([&source.1, &target.1])));
    // A source point keeps its colour when it moves.
    let (low, high) = source.1.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let tint: Vec<colours::Rgb> = source.1.iter().map(|v| colours::map((v - low) / (high - low).max(1e-300))).collect();
    let radius = if source.0.len() > 1500 { 1.8 } else { 2.6 };
    let group = |label: &str, (x, y): &(Vec<f64>, Vec<f64>), colours: Vec<colours::Rgb>| Group {
        label: label.into(),
        x: x.clone(),
        y: y.clone(),
        colours,
        radii: vec![radius],
    };
    let cloud = |title: &str, groups, segments| {
        let (x, y) = (x.clone(), y.clone());
        (1.0, Panel::Cloud(Cloud { title: title.into(), x, y, groups, segments }))
    };
    let faint = group("target", &target, vec![[205, 208, 212]]);
    let mut panels = vec![cloud(
        "Source and target",
        vec![group("source", &source, vec![colours::BLUE]), group("target", &target, vec![colours::ORANGE])],
        vec![],
    )];
    if run.map.values.len() == run.source.points.values.len() {
        let moved = view(&run.map.values);
        let stride = source.0.len().div_ceil(MOST_SEGMENTS).max(1);
        let segments = (0..source.0.len().min(moved.0.len()))
            .step_by(stride)
            .map(|i| ([source.0[i], source.1[i]], [moved.0[i], moved.1[i]]))
            .collect();
        panels.push(cloud("Where the source goes", vec![faint.clone(), group("", &source, tint.clone())], segments));
        panels.push(cloud("Source moved by the barycentric map", vec![faint, group("", &moved, tint)], vec![]));
    }
    panels
}

/// The largest plan entries as a matrix.
fn atoms(run: &Run) -> Vec<(f64, Panel)> {
    let (n, m) = (run.source.weights.rows(), run.target.weights.rows());
    let [rows, columns, mass] = &run.plan;
    if mass.is_empty() || n * m == 0 || n * m > 1 << 20 {
        return Vec::new();
    }
    let mut values = vec![0.0; n * m];
    for ((i, j), p) in rows.iter().zip(columns).zip(mass) {
        if (*i as usize) < n && (*j as usize) < m {
            values[*i as usize * m + *j as usize] = *p;
        }
    }
    heat("Plan: source (rows) to target (columns)", &[n, m], &values, "mass", false).into_iter().collect()
}

fn potentials(run: &Run) -> Option<(f64, Panel)> {
    let (f, g) = (&run.source.potential, &run.target.potential);
    if f.is_empty() {
        return None;
    }
    if run.source.shape.len() > 1 {
        return heat("Potential of the source", &run.source.shape, &f.values, "f, units of the cost", true);
    }
    // On a line against x; of a cloud the distribution, since the order of its points means nothing; else by index.
    let on_line = run.on_lines();
    let cloud = !on_line && run.are_clouds();
    let style = if on_line || cloud { Style::Solid } else { Style::Dots };
    let line = |label: &str, side: &Side, colour| {
        let mut y = side.potential.values.clone();
        let n = y.len();
        let x = match (on_line, cloud) {
            (true, _) => abscissae(side),
            (_, true) => (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect(),
            _ => (0..n).map(|i| i as f64).collect(),
        };
        if cloud {
            y.sort_by(f64::total_cmp);
        }
        Line { label: label.into(), x: thinned(x), y: thinned(y), colour, style }
    };
    let mut lines = vec![line("f (source)", &run.source, colours::BLUE)];
    if !g.is_empty() {
        lines.push(line("g (target)", &run.target, colours::ORANGE));
    }
    let (title, x) = match (on_line, cloud) {
        (true, _) => ("Potentials", "x"),
        (_, true) => ("Potentials, sorted", "share of the points"),
        _ => ("Potentials", "index of the atom"),
    };
    let (x, y) = (Axis::new(x), Axis::new("units of the cost"));
    Some((1.15, Panel::Curves(Curves { title: title.into(), x, y, lines })))
}

fn convergence(run: &Run) -> Panel {
    let steps: Vec<f64> = if run.step.len() == run.marginal_error.len() {
        run.step.clone()
    } else {
        (0..run.marginal_error.len()).map(|k| k as f64).collect()
    };
    let line = |label: &str, y: &[f64], colour, style| Line {
        label: label.into(),
        x: steps.clone(),
        y: y.to_vec(),
        colour,
        style,
    };
    let mut lines = vec![line("‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁", &run.marginal_error, colours::BLUE, Style::Solid)];
    if run.epsilon.len() == steps.len() && run.epsilon.windows(2).any(|w| w[0] != w[1]) {
        lines.push(line("ε of the level", &run.epsilon, colours::GREY, Style::Solid));
    }
    if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
        let tolerance = key(run, &["method", "tolerance"]).and_then(|v| v.as_float()).unwrap_or(1e-6);
        let (x, y) = (vec![*first, *last], vec![tolerance; 2]);
        let label = "tolerance".to_string();
        lines.push(Line { label, x, y, colour: colours::VERMILION, style: Style::Dashed });
    }
    let (x, y) = (Axis::new("step"), Axis::log("marginal error"));
    Panel::Curves(Curves { title: "Convergence".into(), x, y, lines })
}

fn certificates(run: &Run) -> Panel {
    let mut rows = Vec::new();
    let mut note = String::new();
    for number in run.report["numbers"].as_array().into_iter().flatten() {
        let (Some(name), Some(value)) = (number["name"].as_str(), number["value"].as_f64()) else { continue };
        // The subtitle and the status say these.
        if ["epsilon", "iterations"].contains(&name) {
            continue;
        }
        let error = &number["error"];
        let text = match (error["lower"].as_f64(), error["upper"].as_f64()) {
            (Some(lower), Some(upper)) => {
                note = "± and brackets: certified in f64, rounding included.".into();
                interval(lower, upper)
            }
            _ => short(value),
        };
        rows.push((name.replace('_', " "), text));
    }
    if let Some(status) = run.report["status"].as_str() {
        let steps = run.report["steps"].as_u64().unwrap_or(0);
        let of_steps = if steps == 1 { "1 step".to_string() } else { format!("{steps} steps") };
        rows.push(("status".into(), format!("{status} after {of_steps}")));
    }
    if rows.is_empty() {
        note = "No report.json beside the output.".into();
    }
    Panel::Table(Table { title: "Results".into(), rows, note })
}

/// An interval, as value ± half-width to two digits of the latter when that is short, else as its two ends.
fn interval(lower: f64, upper: f64) -> String {
    let (middle, half) = (0.5 * (lower + upper), 0.5 * (upper - lower));
    if half > 1e-3 * middle.abs() || half.is_nan() {
        return format!("[{}, {}]", short(lower), short(upper));
    }
    if middle.abs() < 1e-4 && middle != 0.0 {
        let leading = |v: f64| v.log10().floor();
        let digits = 1.0 + leading(middle.abs()) - leading(half.max(1e-15 * middle.abs()));
        return format!("{middle:.*e} ± {half:.1e}", digits.clamp(1.0, 15.0) as usize);
    }
    // One digit beyond the leading one of the half-width; at most 15 decimals hold in f64.
    let decimals = (1.0 - half.max(1e-15).log10().floor()).clamp(0.0, 15.0) as usize;
    format!("{middle:.decimals$} ± {half:.1e}")
}

fn short(v: f64) -> String {
    number(v, 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], values: Vec<f64>) -> Array {
        Array { shape: shape.to_vec(), values }
    }

    #[test]
    fn moved_mass_keeps_the_total_and_falls_on_the_cell_it_is_sent_to() {
        let mut run = Run::default();
        run.source.weights = array(&[2], vec![0.25, 0.75]);
        run.target.shape = vec![4, 4];
        // Cell centres of [0, 1]² are at 1/8, 3/8, 5/8, 7/8: one exact hit, one halfway between two cells of row 0.
        run.map = array(&[2, 2], vec![0.625, 0.375, 0.125, 0.25]);
        let mass = moved_mass(&run).unwrap();
        assert!((mass.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        assert_eq!((mass[2 * 4 + 1], mass[0], mass[1]), (0.25, 0.375, 0.375));
    }

    #[test]
    fn principal_axes_of_a_stretched_cloud_are_its_long_axes() {
        let points: Vec<f64> =
            (0..500).flat_map(|i| [0.1, 5.0, 2.0, 0.2].map(|s| s * ((i * i) as f64 * (0.3 + s)).sin())).collect();
        let (axes, _) = projection(&points, 4);
        assert!(axes[0][1].abs() > 0.99 && axes[1][2].abs() > 0.99, "{axes:?}");
    }

    #[test]
    fn a_narrow_interval_shows_the_digits_that_are_certain() {
        assert_eq!(interval(0.123456780, 0.123456790), "0.1234567850 ± 5.0e-9");
        assert_eq!(interval(0.1, 0.2), "[0.1, 0.2]");
        assert_eq!(interval(2.4998e-24, 2.5002e-24), "2.50000e-24 ± 2.0e-28");
    }

    #[test]
    fn points_on_a_line_are_drawn_in_order_with_their_map() {
        let mut run = Run::default();
        (run.source.points, run.source.weights) =
            (array(&[3, 1], vec![2.0, 0.0, 1.0]), array(&[3], vec![0.5, 0.25, 0.25]));
        (run.target.points, run.target.weights) = (array(&[2, 1], vec![0.0, 1.0]), array(&[2], vec![0.5; 2]));
        run.map = array(&[3, 1], vec![1.0, 0.0, 0.5]);
        assert_eq!(mass_up_to(&run.source), (vec![0.0, 1.0, 2.0], vec![0.25, 0.5, 1.0]));
        assert_eq!(draw(&run).rows[0].1.len(), 2);
    }

    #[test]
    fn a_row_with_nothing_to_draw_is_left_out() {
        let mut run = Run::default();
        run.source.weights = array(&[3], vec![1.0 / 3.0; 3]);
        assert_eq!(draw(&run).rows.len(), 1);
    }

    #[test]
    fn sides_of_different_kinds_are_not_drawn_as_one() {
        let mut run = Run::default();
        (run.source.weights, run.source.points) =
            (array(&[4], vec![0.25; 4]), array(&[4, 1], vec![0.0, 1.0, 2.0, 3.0]));
        (run.target.weights, run.target.points) =
            (array(&[3], vec![1.0 / 3.0; 3]), array(&[3, 1], vec![2.0, 0.0, 1.0]));
        run.source.shape = vec![4];
        assert!(!run.on_lines() && run.are_clouds());
        run.target.shape = vec![3];
        assert!(run.on_lines());
        run.source.points = array(&[4, 3], vec![0.0; 12]);
        assert!(!run.are_clouds());
    }

    #[test]
    fn a_file_with_nothing_but_weights_still_gives_a_figure() {
        let mut run = Run::default();
        run.source.weights = array(&[3], vec![1.0 / 3.0; 3]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.png");
        draw(&run).save(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 1000);
    }
}
