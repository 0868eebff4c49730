//! The figure of a finished run, from output.h5 alone: paths (over the potential in two coordinates), marginals with a
//! band, the evidence along the replicates, effective sample sizes, numbers.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::read::Reader;
use crate::plot::{Axis, Curves, Field, Figure, Line, Palette, Panel, Style, Table, colours, number};

/// Paths drawn, at most.
const BUNDLE: usize = 60;

/// Draws `figure` (.png or .svg) from the output.h5 at `output`.
pub fn plot(output: &Path, figure: &Path) -> Result<()> {
    let reader = Reader::open(output)?;
    let drawn = if reader.has("state/committor") {
        super::committor::plot::draw(&reader, output)
    } else {
        draw(&reader, output)
    };
    drawn?.save(figure)
}

fn draw(reader: &Reader, output: &Path) -> Result<Figure> {
    let paths = reader.array("state/paths")?;
    let [count, times, dimension] = paths.shape[..] else {
        return Err(Error::file(output, "state/paths: not [path, time, coordinate]"));
    };
    let time = reader.array("inputs/time")?.values;
    let chosen = bundle(reader, count)?;
    let coordinate =
        |p: usize, c: usize| (0..times).map(|k| paths.values[(p * times + k) * dimension + c]).collect::<Vec<f64>>();
    let mut above = Vec::new();
    if dimension == 2 {
        let curves: Vec<(Vec<f64>, Vec<f64>)> = chosen.iter().map(|&p| (coordinate(p, 0), coordinate(p, 1))).collect();
        above.push((1.15, plane(reader, &curves)?));
    }
    for c in 0..dimension.min(if dimension == 2 { 2 } else { 3 }) {
        above.push((1.0, bundle_in_time(reader, &time, &chosen, c, dimension, &coordinate)?));
    }
    let mut below = Vec::new();
    below.extend(marginal_errors(reader, &time, dimension)?.map(|panel| (0.9, panel)));
    below.push((0.9, table(reader)?));
    if has_evidence(reader)? {
        below.splice(0..0, [(1.0, evidence(reader)?), (1.0, bars(reader)?)]);
    }
    let title = format!("Paths: {} times, {dimension} coordinate{}", times, if dimension == 1 { "" } else { "s" });
    let replicates = reader.array("state/replicate_log_evidence")?.values.len();
    let subtitle = format!("{replicates} replicates; {count} posterior paths kept, {} drawn", chosen.len());
    Ok(Figure { title, subtitle, size: (1500, 960), rows: vec![(1.2, above), (1.0, below)] })
}

/// Paths to draw: replicates in proportion to their share in the evidence.
fn bundle(reader: &Reader, count: usize) -> Result<Vec<usize>> {
    let shares = if reader.has("results/replicate_share") {
        reader.array("results/replicate_share")?.values
    } else {
        Vec::new()
    };
    let replicates = shares.len();
    if replicates == 0 || count == 0 {
        return Ok(Vec::new());
    }
    // Rows of replicates that were never reached are left out: their share is not there.
    let planned = reader.array("state/paths")?.shape[0];
    let done = reader.array("state/replicate_ess")?.values.len();
    let kept = per_replicate(reader, planned, done);
    let mut chosen = Vec::new();
    for (r, share) in shares.iter().enumerate() {
        let wanted = ((share * BUNDLE as f64).round() as usize).min(kept);
        chosen.extend((0..wanted).map(|k| r * kept + k * kept / wanted.max(1)));
    }
    Ok(chosen)
}

/// Paths kept from each replicate.
fn per_replicate(reader: &Reader, rows: usize, done: usize) -> usize {
    let planned = reader.array("inputs/replicates").ok().and_then(|a| a.values.first().copied());
    rows / planned.map_or(done, |p| p as usize).max(1)
}

/// The bundle over the potential.
fn plane(reader: &Reader, paths: &[(Vec<f64>, Vec<f64>)]) -> Result<Panel> {
    let title = "paths over the potential".to_string();
    if reader.has("results/landscape") {
        let (x, y) = (reader.array("results/landscape_x")?.values, reader.array("results/landscape_y")?.values);
        let values = reader.array("results/landscape")?.values;
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        // Up to what most of the picture has and nearly all of the paths cross: walls beyond would take all colours.
        let (cols, rows) = (x.len(), y.len());
        let place = |v: f64, a: &[f64], n: usize| ((v - a[0]) / (a[a.len() - 1] - a[0]) * (n - 1) as f64).round();
        let points = paths.iter().flat_map(|(px, py)| px.iter().zip(py));
        let cells = points.map(|(px, py)| place(*py, &y, rows) as usize * cols + place(*px, &x, cols) as usize);
        let mut crossed: Vec<f64> = cells.filter_map(|at| values.get(at).copied()).filter(|v| v.is_finite()).collect();
        crossed.sort_by(f64::total_cmp);
        let quantile = |sorted: &[f64], percent: usize| sorted.get(sorted.len() * percent / 100).copied();
        let most = quantile(&crossed, 99).unwrap_or(f64::NEG_INFINITY);
        let (low, high) = (sorted[0], sorted[sorted.len() * 7 / 10].max(most));
        let range = |a: &[f64]| Some((a[0], a[a.len() - 1]));
        let levels = 14;
        // Bands of equal height read as contours; paths are marked in the picture's own cells.
        let mut banded: Vec<f64> = values
            .iter()
            .map(|v| {
                let z = ((v.min(high) - low) / (high - low) * levels as f64).floor().min(levels as f64 - 1.0);
                low + (z + 0.5) / levels as f64 * (high - low)
            })
            .collect();
        let fine = 4;
        let mut big = vec![0.0; cols * rows * fine * fine];
        for r in 0..rows * fine {
            for c in 0..cols * fine {
                big[r * cols * fine + c] = banded[(r / fine) * cols + c / fine];
            }
        }
        banded.clear();
        for (px, py) in paths {
            for k in 1..px.len() {
                let (x0, y0) = (place(px[k - 1], &x, cols * fine), place(py[k - 1], &y, rows * fine));
                let (x1, y1) = (place(px[k], &x, cols * fine), place(py[k], &y, rows * fine));
                let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1.0);
                for s in 0..=steps as usize {
                    let f = s as f64 / steps;
                    let (c, r) = ((x0 + f * (x1 - x0)).round(), (y0 + f * (y1 - y0)).round());
                    if c >= 0.0 && r >= 0.0 && (c as usize) < cols * fine && (r as usize) < rows * fine {
                        big[r as usize * cols * fine + c as usize] = high;
                    }
                }
            }
        }
        return Ok(Panel::Field(Field {
            title,
            x: Axis { label: "x".into(), log: false, range: range(&x) },
            y: Axis { label: "y".into(), log: false, range: range(&y) },
            rows: rows * fine,
            cols: cols * fine,
            values: big,
            bar: "potential".into(),
            palette: Palette::Sequential,
            range: Some((low, high)),
            equal: true,
        }));
    }
    let lines = paths
        .iter()
        .map(|(x, y)| Line {
            label: String::new(),
            x: x.clone(),
            y: y.clone(),
            colour: colours::SKY,
            style: Style::Solid,
        })
        .collect();
    Ok(Panel::Curves(Curves { title: "paths".into(), x: Axis::new("x"), y: Axis::new("y"), lines }))
}

fn column(name: &str, c: usize, dimension: usize) -> String {
    if dimension == 1 { format!("results/{name}") } else { format!("results/{name}_{c}") }
}

fn optional(reader: &Reader, path: &str) -> Result<Option<Vec<f64>>> {
    if reader.has(path) { Ok(Some(reader.array(path)?.values)) } else { Ok(None) }
}

/// Paths of one coordinate in time, the posterior mean with a band of one deviation, and what was observed.
fn bundle_in_time(
    reader: &Reader,
    time: &[f64],
    chosen: &[usize],
    c: usize,
    dimension: usize,
    coordinate: &dyn Fn(usize, usize) -> Vec<f64>,
) -> Result<Panel> {
    let thin = |p: usize| Line {
        label: String::new(),
        x: time.to_vec(),
        y: coordinate(p, c),
        colour: [196, 208, 220],
        style: Style::Solid,
    };
    let mut lines: Vec<Line> = chosen.iter().map(|&p| thin(p)).collect();
    if let (Some(mean), Some(deviation)) =
        (optional(reader, &column("mean", c, dimension))?, optional(reader, &column("deviation", c, dimension))?)
    {
        let curve = |label: &str, sign: f64, style| Line {
            label: label.into(),
            x: time.to_vec(),
            y: mean.iter().zip(&deviation).map(|(m, d)| m + sign * d).collect(),
            colour: colours::BLUE,
            style,
        };
        lines.push(curve("mean ± deviation", 1.0, Style::Dashed));
        lines.push(curve("", -1.0, Style::Dashed));
        lines.push(curve("mean", 0.0, Style::Solid));
    }
    let observed = reader.array("inputs/observed")?.values;
    let seen: Vec<&[f64]> = observed.chunks_exact(4).filter(|o| o[1] as usize == c).collect();
    if !seen.is_empty() {
        lines.push(Line {
            label: "observed".into(),
            x: seen.iter().map(|o| o[0]).collect(),
            y: seen.iter().map(|o| o[2]).collect(),
            colour: colours::VERMILION,
            style: Style::Dots,
        });
    }
    let name = if dimension == 1 { "x".to_string() } else { format!("coordinate {c}") };
    Ok(Panel::Curves(Curves { title: format!("posterior of {name}"), x: Axis::new("time"), y: Axis::new(name), lines }))
}

/// Transition path sampling has no evidence: the log-evidence of every replicate is 0.
fn has_evidence(reader: &Reader) -> Result<bool> {
    Ok(reader.array("state/replicate_log_evidence")?.values.iter().any(|v| *v != 0.0))
}

/// The estimate of the log-evidence as replicates come in.
fn evidence(reader: &Reader) -> Result<Panel> {
    let each = reader.array("state/replicate_log_evidence")?.values;
    let x: Vec<f64> = (1..=each.len()).map(|r| r as f64).collect();
    let mut lines = vec![Line {
        label: "replicates".into(),
        x: x.clone(),
        y: each.clone(),
        colour: colours::SKY,
        style: Style::Dots,
    }];
    let running: Vec<f64> = (1..=each.len()).map(|n| log_mean(&each[..n])).collect();
    lines.push(Line { label: "log of the mean".into(), x, y: running, colour: colours::BLUE, style: Style::Solid });
    Ok(Panel::Curves(Curves { title: "log-evidence".into(), x: Axis::new("replicate"), y: Axis::new("log Z"), lines }))
}

fn log_mean(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + (values.iter().map(|v| (v - largest).exp()).sum::<f64>() / values.len() as f64).ln()
}

/// Effective sample sizes.
fn bars(reader: &Reader) -> Result<Panel> {
    let ess = reader.array("state/replicate_ess")?.values;
    let x: Vec<f64> = (1..=ess.len()).map(|r| r as f64).collect();
    let lines = vec![Line { label: String::new(), x, y: ess, colour: colours::GREEN, style: Style::Area }];
    Ok(Panel::Curves(Curves {
        title: "effective sample size".into(),
        x: Axis::new("replicate"),
        y: Axis::new("paths"),
        lines,
    }))
}

/// Standard errors of the marginal means; one replicate has none.
fn marginal_errors(reader: &Reader, time: &[f64], dimension: usize) -> Result<Option<Panel>> {
    let palette = [colours::BLUE, colours::VERMILION, colours::GREEN];
    let mut lines = Vec::new();
    for c in 0..dimension.min(3) {
        if let Some(y) = optional(reader, &column("mean_error", c, dimension))? {
            let label = if dimension == 1 { String::new() } else { format!("coordinate {c}") };
            lines.push(Line { label, x: time.to_vec(), y, colour: palette[c], style: Style::Solid });
        }
    }
    if !lines.iter().any(|l| l.y.iter().any(|v| v.is_finite())) {
        return Ok(None);
    }
    Ok(Some(Panel::Curves(Curves {
        title: "standard error of the mean".into(),
        x: Axis::new("time"),
        y: Axis::new("error"),
        lines,
    })))
}

/// A dash where there is no value.
fn or_dash(v: f64) -> String {
    if v.is_finite() { number(v, 5) } else { "—".into() }
}

fn table(reader: &Reader) -> Result<Panel> {
    let each = reader.array("state/replicate_log_evidence")?.values;
    let n = each.len() as f64;
    let mean = log_mean(&each);
    let spread = (each.iter().map(|v| ((v - mean).exp() - 1.0).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let ess = reader.array("state/replicate_ess")?.values;
    let weighted = vec![
        ("log-evidence".to_string(), number(mean, 5)),
        ("standard error".into(), if spread <= 0.35 { number(spread / n.sqrt(), 5) } else { "none claimed".into() }),
        ("spread of a replicate".into(), or_dash(spread)),
        ("effective paths, mean".into(), number(ess.iter().sum::<f64>() / n, 5)),
    ];
    let mut rows = if has_evidence(reader)? { weighted } else { Vec::new() };
    let tally = reader.array("state/tally")?.values;
    if let Some(durations) = optional(reader, "state/replicate_duration")?.filter(|d| !d.is_empty()) {
        rows.push(("mean duration".into(), number(durations.iter().sum::<f64>() / durations.len() as f64, 5)));
    }
    rows.push(("drift evaluations".into(), number(tally[0], 5)));
    let acceptance = reader.array("state/replicate_acceptance")?.values;
    if let Some(last) = acceptance.last().filter(|a| a.is_finite()) {
        rows.push(("acceptance".into(), number(*last, 5)));
    }
    Ok(Panel::Table(Table { title: "numbers".into(), rows, note: String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_one_replicate_is_a_dash() {
        assert_eq!((or_dash(f64::NAN), or_dash(0.25)), ("—".to_string(), "0.25".to_string()));
    }
}
