//! The figure of a finished run, from output.h5 alone: filtered means with their bands against the data, effective sample
//! size and evidence.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::read::Reader;
use crate::plot::{Axis, Curves, Figure, Line, Panel, Style, colours, number};

/// Draws `figure` (.png or .svg) from the output.h5 at `output`.
pub fn plot(output: &Path, figure: &Path) -> Result<()> {
    draw(&Reader::open(output)?, output)?.save(figure)
}

fn draw(reader: &Reader, output: &Path) -> Result<Figure> {
    if reader.has("series/power") {
        return sampler(reader);
    }
    if reader.has("results/update_rate") {
        return trajectories(reader);
    }
    if !reader.has("series/time") && reader.has("series/warming_up") {
        return chain(reader);
    }
    let series = |name: &str| -> Result<Vec<f64>> { Ok(reader.array(&format!("series/{name}"))?.values) };
    let time = series("time")?;
    let states = states_of(reader, "series", "mean_");
    if states.is_empty() || time.is_empty() {
        return Err(Error::file(output, "holds no filtered means to draw"));
    }
    // Of parameters, whose data are of another kind (SMC²).
    let squared = reader.has("results/parameter_log_weights");
    let mut above = Vec::new();
    for name in states.iter().take(3) {
        let (mean, sd) = (series(&format!("mean_{name}"))?, series(&format!("sd_{name}"))?);
        let mut lines = Vec::from(band(&time, &mean, &sd));
        if states.len() == 1 && !squared && reader.has("inputs/observations") {
            let seen = reader.array("inputs/observations")?;
            let m = seen.shape.get(1).copied().unwrap_or(1).max(1);
            let y: Vec<f64> = seen.values.iter().step_by(m).copied().collect();
            let at = reader.array("inputs/time")?.values;
            lines.push(line("observed", &at, y, colours::ORANGE, Style::Dots));
        }
        if states.len() == 1 && reader.has("results/exact_mean") {
            let exact = reader.array("results/exact_mean")?.values;
            let at = reader.array("inputs/time")?.values;
            lines.push(line("exact mean", &at, exact, colours::VERMILION, Style::Solid));
        }
        let label = if squared { "posterior mean" } else { "filtered mean" };
        lines.push(line(label, &time, mean, colours::BLUE, Style::Solid));
        if reader.has(&format!("results/smoothed_mean_{name}")) {
            let smoothed = reader.array(&format!("results/smoothed_mean_{name}"))?.values;
            let at = reader.array("results/time")?.values;
            lines.push(line("smoothed mean", &at, smoothed, colours::PURPLE, Style::Solid));
        }
        let title = if squared { format!("{name}, given the data so far") } else { format!("{name}, filtered") };
        let curves = Curves { title, x: Axis::new("time"), y: Axis::new(name.clone()), lines };
        above.push((1.0, Panel::Curves(curves)));
    }
    for name in states_of(reader, "series", "predicted_mean_").iter().take(3) {
        above.push((1.0, predicted(reader, &time, name)?));
    }
    for name in states_of(reader, "results", "posterior_predictive_").iter().take(2) {
        above.push((1.0, forecast(reader, name)?));
    }
    let ess = Curves {
        title: "Effective sample size".into(),
        x: Axis::new("time"),
        y: Axis { label: "share of the particles".into(), log: false, range: Some((0.0, 1.0)) },
        lines: vec![line("", &time, series("ess")?, colours::BLUE, Style::Solid)],
    };
    let evidence = Curves {
        title: "Evidence".into(),
        x: Axis::new("time"),
        y: Axis::new("log-evidence so far"),
        lines: vec![line("", &time, series("log_evidence")?, colours::PURPLE, Style::Solid)],
    };
    let mut below = vec![(1.0, Panel::Curves(ess)), (1.0, Panel::Curves(evidence))];
    let errors = [
        ("evidence_spread", "Spread of the islands' evidence"),
        ("evidence_error_alone", "Error of the evidence, from the run alone"),
    ];
    for (name, title) in errors {
        // One island has no spread, and few runs ask for the other.
        let Ok(error) = series(name) else { continue };
        if error.iter().any(|e| e.is_finite()) {
            below.push((
                1.0,
                Panel::Curves(Curves {
                    title: title.into(),
                    x: Axis::new("time"),
                    y: Axis::new("standard deviation over mean"),
                    lines: vec![line("", &time, error, colours::VERMILION, Style::Solid)],
                }),
            ));
        }
    }
    let last = series("log_evidence")?.last().copied().unwrap_or(f64::NAN);
    let exact = if reader.has("results/exact_log_evidence") {
        format!(" (exact {})", number(reader.number("results/exact_log_evidence")?, 7))
    } else {
        String::new()
    };
    Ok(Figure {
        title: if squared { "SMC²" } else { "Particle filter" }.into(),
        subtitle: format!(
            "{} times, log-evidence {}{exact}",
            time.iter().filter(|t| t.is_finite()).count(),
            number(last, 7)
        ),
        size: (1500, 900),
        rows: vec![(1.25, above), (1.0, below)],
    })
}

/// A component of the observations: each time given those before, and after the last one, against what was seen.
fn predicted(reader: &Reader, time: &[f64], name: &str) -> Result<Panel> {
    let series = |of: &str| -> Result<Vec<f64>> { Ok(reader.array(&format!("series/predicted_{of}_{name}"))?.values) };
    let (mean, sd) = (series("mean")?, series("sd")?);
    let mut lines = Vec::from(band(time, &mean, &sd));
    let seen = reader.array("inputs/observations")?;
    let at = reader.array("inputs/time")?.values;
    let names = states_of(reader, "series", "predicted_mean_");
    let (m, c) = (names.len(), names.iter().position(|n| n == name).unwrap_or(0));
    let y: Vec<f64> = seen.values.iter().skip(c).step_by(m).copied().collect();
    // Where the data end.
    if let Some(last) = y.iter().rposition(|y| y.is_finite()).filter(|last| last + 1 < y.len()) {
        let edges = mean.iter().zip(&sd).flat_map(|(m, s)| [m - 2.0 * s, m + 2.0 * s]).chain(y.iter().copied());
        let edges: Vec<f64> = edges.filter(|e| e.is_finite()).collect();
        let ends = [
            edges.iter().copied().fold(f64::INFINITY, f64::min),
            edges.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ];
        lines.push(line("end of the data", &[at[last]; 2], ends.to_vec(), colours::LIGHT, Style::Solid));
    }
    lines.push(line("observed", &at, y, colours::ORANGE, Style::Dots));
    lines.push(line("predicted mean", time, mean, colours::PURPLE, Style::Solid));
    let title = format!("{name}, before it is seen");
    Ok(Panel::Curves(Curves { title, x: Axis::new("time"), y: Axis::new(name.to_string()), lines }))
}

/// The chain's parameters and, where predicted, the observations after the data (pmmh).
fn chain(reader: &Reader) -> Result<Figure> {
    let mut above = Vec::new();
    for name in
        reader.datasets("results").into_iter().filter(|n| !n.starts_with("posterior_predictive_") && n != "forecast")
    {
        let x = reader.array(&format!("results/{name}"))?.values;
        let at: Vec<f64> = (1..=x.len()).map(|k| k as f64).collect();
        let lines = vec![line("", &at, x, colours::BLUE, Style::Solid)];
        let curves = Curves { title: name.clone(), x: Axis::new("draw"), y: Axis::new(name), lines };
        above.push((1.0, Panel::Curves(curves)));
    }
    above.truncate(4);
    let mut rows = vec![(1.0, above)];
    let names = states_of(reader, "results", "posterior_predictive_");
    let mut below = Vec::new();
    for name in names.iter().take(3) {
        below.push((1.0, forecast(reader, name)?));
    }
    if !below.is_empty() {
        rows.push((1.0, below));
    }
    let subtitle = "parameters after the warm-up".into();
    let size = (1500, 100 + 400 * rows.len() as u32);
    Ok(Figure { title: "Particle marginal Metropolis–Hastings".into(), subtitle, size, rows })
}

/// Draws of a component at the times after the data.
fn forecast(reader: &Reader, name: &str) -> Result<Panel> {
    let time = reader.array("results/forecast")?.values;
    let drawn = reader.array(&format!("results/posterior_predictive_{name}"))?.values;
    Ok(Panel::Curves(drawn_band(&time, &drawn, &format!("{name}, after the data"), name)))
}

/// Means and deviations of draws (draw × time), with some of the draws.
fn drawn_band(time: &[f64], drawn: &[f64], title: &str, name: &str) -> Curves {
    let n = (drawn.len() / time.len()).max(1);
    let of = |t: usize| -> (f64, f64) {
        let (mean, variance) = super::smoothing::spread(drawn.iter().skip(t).step_by(time.len()).copied());
        (mean, variance.sqrt())
    };
    let (mean, sd): (Vec<f64>, Vec<f64>) = (0..time.len()).map(of).unzip();
    let mut lines = Vec::new();
    for (k, path) in drawn.chunks(time.len()).step_by((n / 40).max(1)).enumerate() {
        lines.push(line(if k == 0 { "drawn" } else { "" }, time, path.to_vec(), colours::LIGHT, Style::Solid));
    }
    lines.extend(band(time, &mean, &sd));
    lines.push(line("predicted mean", time, mean, colours::PURPLE, Style::Solid));
    Curves { title: title.into(), x: Axis::new("time"), y: Axis::new(name.to_string()), lines }
}

/// Smoothed means with their bands and some drawn trajectories, and how often the draws changed (particle Gibbs).
fn trajectories(reader: &Reader) -> Result<Figure> {
    let result = |name: &str| -> Result<Vec<f64>> { Ok(reader.array(&format!("results/{name}"))?.values) };
    let time = result("time")?;
    let states = states_of(reader, "results", "smoothed_mean_");
    let mut above = Vec::new();
    for name in states.iter().take(3) {
        let (mean, sd) = (result(&format!("smoothed_mean_{name}"))?, result(&format!("smoothed_sd_{name}"))?);
        let mut lines = Vec::new();
        if reader.has(&format!("results/trajectories_{name}")) {
            let drawn = result(&format!("trajectories_{name}"))?;
            let every = (drawn.len() / time.len() / 40).max(1);
            for (k, path) in drawn.chunks(time.len()).step_by(every).enumerate() {
                let label = if k == 0 { "drawn" } else { "" };
                lines.push(line(label, &time, path.to_vec(), colours::LIGHT, Style::Solid));
            }
        }
        lines.extend(band(&time, &mean, &sd));
        lines.push(line("smoothed mean", &time, mean, colours::BLUE, Style::Solid));
        let curves =
            Curves { title: format!("{name}, smoothed"), x: Axis::new("time"), y: Axis::new(name.clone()), lines };
        above.push((1.0, Panel::Curves(curves)));
    }
    for name in states_of(reader, "results", "posterior_predictive_").iter().take(2) {
        let (at, drawn) = (result("predicted_time")?, result(&format!("posterior_predictive_{name}"))?);
        let curves = drawn_band(&at, &drawn, &format!("{name}, replicated and after the data"), name);
        above.push((1.0, Panel::Curves(curves)));
    }
    let share = |title: &str, x: &str, at: &[f64], values: Vec<f64>| {
        let y = Axis { label: "share of the draws".into(), log: false, range: Some((0.0, 1.0)) };
        let lines = vec![line("", at, values, colours::VERMILION, Style::Solid)];
        (1.0, Panel::Curves(Curves { title: title.into(), x: Axis::new(x), y, lines }))
    };
    let updated = reader.array("series/updated")?.values;
    let iteration: Vec<f64> = (1..=updated.len()).map(|k| k as f64).collect();
    let below = vec![
        share("States that the draws changed", "time", &time, result("update_rate")?),
        share("States that an iteration changed", "iteration", &iteration, updated),
    ];
    let subtitle = format!("{} times, {} iterations", time.len(), iteration.len());
    let mut rows = vec![(1.25, above), (1.0, below)];
    // Parameters that vary: those of the first chain.
    let fixed = ["step", "warming_up", "updated"];
    let mut traces = Vec::new();
    for name in reader.datasets("series").into_iter().filter(|n| !fixed.contains(&n.as_str())).take(3) {
        let values = reader.array(&format!("series/{name}"))?.values;
        let lines = vec![line("", &iteration, values, colours::BLUE, Style::Solid)];
        let title = format!("{name}, first chain");
        traces.push((1.0, Panel::Curves(Curves { title, x: Axis::new("iteration"), y: Axis::new(name), lines })));
    }
    if !traces.is_empty() {
        rows.push((1.0, traces));
    }
    Ok(Figure { title: "Particle Gibbs".into(), subtitle, size: (1500, 300 + 300 * rows.len() as u32), rows })
}

/// Powers, acceptance, evidence, and the first coordinates with their spread as the power grows; the last run alone.
fn sampler(reader: &Reader) -> Result<Figure> {
    let series = |name: &str| -> Result<Vec<f64>> { Ok(reader.array(&format!("series/{name}"))?.values) };
    let exploring = series("exploring")?;
    let first = exploring.iter().rposition(|e| *e == 1.0).map_or(0, |k| k + 1);
    let last = |name: &str| -> Result<Vec<f64>> { Ok(series(name)?.get(first..).unwrap_or_default().to_vec()) };
    let power = last("power")?;
    let rung: Vec<f64> = (1..=power.len()).map(|k| k as f64).collect();
    let curves = |title: &str, y: &str, lines: Vec<Line>| {
        let (x, y) = (Axis::new("rung"), Axis::new(y));
        (1.0, Panel::Curves(Curves { title: title.into(), x, y, lines }))
    };
    let powers = Curves {
        title: "Powers of the likelihood".into(),
        x: Axis::new("rung"),
        y: Axis::log("power"),
        lines: vec![line("", &rung, power, colours::BLUE, Style::Solid)],
    };
    let above = vec![
        (1.0, Panel::Curves(powers)),
        curves("Moves", "share accepted", vec![line("", &rung, last("acceptance")?, colours::GREEN, Style::Solid)]),
        curves(
            "Evidence",
            "log-evidence so far",
            vec![line("", &rung, last("log_evidence")?, colours::PURPLE, Style::Solid)],
        ),
    ];
    let names = states_of(reader, "series", "mean_");
    let mut below = Vec::new();
    for name in names.iter().take(3) {
        let (mean, sd) = (last(&format!("mean_{name}"))?, last(&format!("sd_{name}"))?);
        let mut lines = Vec::from(band(&rung, &mean, &sd));
        lines.push(line("mean", &rung, mean, colours::BLUE, Style::Solid));
        below.push(curves(name, name, lines));
    }
    if reader.has("results/calibration_bin") {
        below.truncate(2);
        below.push((1.0, calibration(reader)?));
    }
    let found = last("log_evidence")?.last().copied().unwrap_or(f64::NAN);
    Ok(Figure {
        title: "Tempering sampler".into(),
        subtitle: format!("{} rungs, log-evidence {}", rung.len(), number(found, 7)),
        size: (1500, 900),
        rows: vec![(1.0, above), (1.0, below)],
    })
}

/// The share of outcomes that were 1 against the probability predicted, by bins of it.
fn calibration(reader: &Reader) -> Result<Panel> {
    let mut lines = vec![line("as predicted", &[0.0, 1.0], vec![0.0, 1.0], colours::LIGHT, Style::Solid)];
    for (prefix, label, colour) in [("", "the data", colours::BLUE), ("new_", "new cases", colours::VERMILION)] {
        if !reader.has(&format!("results/{prefix}calibration_predicted")) {
            continue;
        }
        let of = |name: &str| -> Result<Vec<f64>> {
            Ok(reader.array(&format!("results/{prefix}calibration_{name}"))?.values)
        };
        let full: Vec<(f64, f64)> =
            of("predicted")?.into_iter().zip(of("observed")?).filter(|b| b.0.is_finite()).collect();
        let (predicted, observed): (Vec<f64>, Vec<f64>) = full.into_iter().unzip();
        lines.push(line(label, &predicted, observed, colour, Style::Dots));
    }
    let axis = |label: &str| Axis { label: label.into(), log: false, range: Some((0.0, 1.0)) };
    let (x, y) = (axis("predicted probability"), axis("share of ones"));
    Ok(Panel::Curves(Curves { title: "Calibration of the outcomes".into(), x, y, lines }))
}

/// Names of the states that have a dataset `prefix`NAME.
fn states_of(reader: &Reader, group: &str, prefix: &str) -> Vec<String> {
    let name = |n: String| n.strip_prefix(prefix).filter(|n| !n.starts_with("error_")).map(str::to_string);
    reader.datasets(group).into_iter().filter_map(name).collect()
}

/// Two deviations above and below a mean.
fn band(x: &[f64], mean: &[f64], sd: &[f64]) -> [Line; 2] {
    [("mean ± 2 sd", 2.0), ("", -2.0)].map(|(label, times)| {
        let edge = mean.iter().zip(sd).map(|(m, s)| m + times * s).collect();
        line(label, x, edge, colours::GREEN, Style::Dashed)
    })
}

fn line(label: &str, x: &[f64], y: Vec<f64>, colour: colours::Rgb, style: Style) -> Line {
    Line { label: label.into(), x: x.to_vec(), y, colour, style }
}
