//! The figure of a committor: q with contours of the potential and the sets, in two coordinates also where reactive
//! trajectories are.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::read::Reader;
use crate::plot::{Axis, Curves, Field, Figure, Line, Palette, Panel, Style, Table, colours, number};

pub fn draw(reader: &Reader, output: &Path) -> Result<Figure> {
    let (x, q) = (reader.array("inputs/grid_x")?.values, reader.array("state/committor")?.values);
    if q.is_empty() {
        return Err(Error::file(output, "state/committor: only the coarse grid was solved; resume the run"));
    }
    let v = reader.array("results/potential")?.values;
    let sets = reader.array("inputs/sets")?.values;
    let numbers = reader.array("state/numbers")?.values;
    let coarse = reader.array("state/coarse_numbers")?.values;
    let table = Panel::Table(Table {
        title: "numbers".into(),
        rows: vec![
            ("rate A → B".into(), number(numbers[0], 6)),
            ("rate B → A".into(), number(numbers[1], 6)),
            ("reactive flux".into(), number(numbers[2], 6)),
            ("change from half the cells".into(), number((numbers[0] / coarse[0] - 1.0).abs(), 2)),
            ("committor at the start".into(), number(numbers[3], 6)),
        ],
        note: String::new(),
    });
    if !reader.has("inputs/grid_y") {
        return Ok(line(&x, &q, &v, table));
    }
    let y = reader.array("inputs/grid_y")?.values;
    let grid = Plane { x: &x, y: &y, v: &v, sets: &sets };
    let lowest = v.iter().copied().fold(f64::INFINITY, f64::min);
    // Potentials in units of what the figure resolves: the scale at which q(1 − q) has weight is that of the barrier.
    let edge: Vec<f64> = q.iter().zip(&v).filter(|(q, _)| (0.05..0.95).contains(*q)).map(|(_, v)| *v).collect();
    let top = edge.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = top + (top - lowest).max(1e-12);
    let levels: Vec<f64> = (1..12).map(|k| lowest + (highest - lowest) * k as f64 / 12.0).collect();
    let first = grid.field("committor, contours of the potential", "probability of B before A", &q, &levels);
    let low = grid.field("potential", "potential", &v.iter().map(|v| v.min(highest)).collect::<Vec<_>>(), &[]);
    // As high as a field is: 405 pixels wide beside its axis and bar, with equal units, below titles and above the labels.
    let across = |a: &[f64]| a[a.len() - 1] - a[0];
    let height = (405.0 * across(&y) / across(&x)).clamp(160.0, 700.0) as u32 + 170;
    Ok(Figure {
        title: "Committor from A to B".into(),
        subtitle: format!("{} × {} points", x.len(), y.len()),
        size: (1500, height),
        rows: vec![(1.0, vec![(1.2, first), (1.2, low), (0.7, table)])],
    })
}

/// Committor and potential along a line.
fn line(x: &[f64], q: &[f64], v: &[f64], table: Panel) -> Figure {
    let curve = |title: &str, label: &str, y: &[f64], colour| {
        let line = Line { label: String::new(), x: x.to_vec(), y: y.to_vec(), colour, style: Style::Solid };
        Panel::Curves(Curves { title: title.into(), x: Axis::new("x"), y: Axis::new(label), lines: vec![line] })
    };
    Figure {
        title: "Committor from A to B".into(),
        subtitle: format!("{} points", x.len()),
        size: (1500, 520),
        rows: vec![(
            1.0,
            vec![
                (1.0, curve("committor", "probability of B before A", q, colours::BLUE)),
                (1.0, curve("potential", "V", v, colours::VERMILION)),
                (0.7, table),
            ],
        )],
    }
}

struct Plane<'a> {
    x: &'a [f64],
    y: &'a [f64],
    v: &'a [f64],
    sets: &'a [f64],
}

/// Picture cells per cell of the grid: contours are one of them wide.
const FINE: usize = 4;

impl Plane<'_> {
    /// `values` as colours; in light grey the contours of the potential at `levels` and the borders of the sets.
    fn field(&self, title: &str, bar: &str, values: &[f64], levels: &[f64]) -> Panel {
        let (cols, rows) = (self.x.len(), self.y.len());
        let (wide, high) = (FINE * (cols - 1) + 1, FINE * (rows - 1) + 1);
        let fine = |list: &[f64], r: usize, c: usize| {
            let (k, m) = ((c / FINE).min(cols - 2), (r / FINE).min(rows - 2));
            let (s, t) = ((c - k * FINE) as f64 / FINE as f64, (r - m * FINE) as f64 / FINE as f64);
            let row = |m: usize| (1.0 - s) * list[m * cols + k] + s * list[m * cols + k + 1];
            (1.0 - t) * row(m) + t * row(m + 1)
        };
        let band = |r: usize, c: usize| {
            let v = fine(self.v, r, c);
            levels.iter().take_while(|l| **l < v).count()
        };
        let place = |list: &[f64], k: usize, n: usize| list[0] + (list[list.len() - 1] - list[0]) * k as f64 / n as f64;
        let within = |r: usize, c: usize| {
            let at = [place(self.x, c, wide - 1), place(self.y, r, high - 1)];
            self.sets.chunks_exact(5).any(|s| {
                let middle = [0.5 * (s[1] + s[2]), 0.5 * (s[3] + s[4])];
                let half = [0.5 * (s[2] - s[1]), 0.5 * (s[4] - s[3])];
                let z = [0, 1].map(|i| (at[i] - middle[i]) / half[i]);
                if s[0] == 1.0 { z[0] * z[0] + z[1] * z[1] <= 1.0 } else { z[0].abs() <= 1.0 && z[1].abs() <= 1.0 }
            })
        };
        let mut picture = vec![0.0; wide * high];
        for r in 0..high {
            for c in 0..wide {
                let (up, right) = ((r + 1).min(high - 1), (c + 1).min(wide - 1));
                let contour = band(r, c) != band(up, c) || band(r, c) != band(r, right);
                let border = within(r, c) != within(up, c) || within(r, c) != within(r, right);
                picture[r * wide + c] = if contour || border { f64::NAN } else { fine(values, r, c) };
            }
        }
        let range = |a: &[f64]| Some((a[0], a[a.len() - 1]));
        Panel::Field(Field {
            title: title.into(),
            x: Axis { label: "x".into(), log: false, range: range(self.x) },
            y: Axis { label: "y".into(), log: false, range: range(self.y) },
            rows: high,
            cols: wide,
            values: picture,
            bar: bar.into(),
            palette: Palette::Sequential,
            range: None,
            equal: true,
        })
    }
}
