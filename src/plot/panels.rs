//! The panels themselves.

use plotters::coord::Shift;
use plotters::element::{DashedPathElement, PathElement};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axes::Scale;
use super::colours::{self, GREY, INK, LIGHT, Rgb};
use super::raster::Raster;
use super::{Area, Cloud, Curves, Drawn, Field, Heat, Palette, Panel, Pen, Picture, Style, Table, words};

/// Height of a panel's title line.
const TITLE: f64 = 28.0;

pub(super) fn draw<DB: DrawingBackend>(panel: &Panel, area: &Area<DB>, pen: &Pen) -> Drawn {
    match panel {
        Panel::Curves(p) => curves(p, &titled(&p.title, area, pen)?, pen),
        Panel::Cloud(p) => cloud(p, &titled(&p.title, area, pen)?, pen),
        Panel::Field(p) => field(p, &titled(&p.title, area, pen)?, pen),
        Panel::Heat(p) => heat(p, &titled(&p.title, area, pen)?, pen),
        Panel::Picture(p) => picture(p, &titled(&p.title, area, pen)?, pen),
        Panel::Table(p) => table(p, &titled(&p.title, area, pen)?, pen),
    }
}

/// Writes the title and returns what is left below it.
fn titled<DB: DrawingBackend>(title: &str, area: &Area<DB>, pen: &Pen) -> Result<DrawingArea<DB, Shift>, String> {
    let (w, h) = area.dim_in_pixel();
    if title.is_empty() {
        return Ok(area.clone());
    }
    let style = pen.text(16.0, INK).pos(Pos::new(HPos::Left, VPos::Top));
    area.draw_text(title, &style, (pen.px(4.0), 0)).map_err(words)?;
    let top = pen.px(TITLE).min(h as i32 - 1);
    Ok(area.clone().shrink((0, top), (w, h - top as u32)))
}

type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<Scale, Scale>>;

/// How many pixels a text is wide.
fn measured<DB: DrawingBackend>(text: &str, style: &TextStyle, area: &Area<DB>, pen: &Pen) -> f64 {
    let guess = 7.0 * pen.scale * text.chars().count() as f64;
    area.estimate_text_size(text, style).map_or(guess, |(w, _)| f64::from(w))
}

/// Height of a line of numbers beside ticks, with what is free above and below.
const LINE: f64 = 18.0;

/// Frame, grid, ticks and labels.
fn chart<'a, DB: DrawingBackend>(
    area: &'a Area<DB>,
    x: &Scale,
    y: &Scale,
    labels: [&str; 2],
    pen: &Pen,
) -> Result<Chart<'a, DB>, String> {
    let (w, h) = area.dim_in_pixel();
    let numbers = pen.text(12.5, GREY);
    let y = y.clone().with_room(f64::from(h) - 48.0 * pen.scale, |_| LINE * pen.scale);
    // Numbers, tick mark and name stand side by side.
    let widest = y.ticks.iter().map(|t| measured(&y.label(*t), &numbers, area, pen)).fold(0.0, f64::max);
    let left = (70.0 * pen.scale).max(widest + 28.0 * pen.scale).min(0.5 * f64::from(w));
    let length = f64::from(w) - left - 16.0 * pen.scale;
    let x = x.clone().with_room(length, |label| measured(label, &numbers, area, pen) + 10.0 * pen.scale);
    let mut chart = ChartBuilder::on(area)
        .margin_top(pen.px(4.0))
        .margin_right(pen.px(16.0))
        .x_label_area_size(pen.px(44.0))
        .y_label_area_size(left.round() as i32)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(words)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(pen.stroke(0.8, LIGHT))
        .axis_style(pen.stroke(1.0, GREY))
        .set_all_tick_mark_size(pen.px(4.0))
        .label_style(numbers)
        .axis_desc_style(pen.text(13.5, INK))
        .x_labels(x.ticks.len())
        .y_labels(y.ticks.len())
        .x_desc(x.name(labels[0]))
        .y_desc(y.name(labels[1]))
        .draw()
        .map_err(words)?;
    Ok(chart)
}

fn legend<'a, DB: DrawingBackend + 'a>(chart: &mut Chart<'a, DB>, corner: SeriesLabelPosition, pen: &Pen) -> Drawn {
    chart
        .configure_series_labels()
        .position(corner)
        .label_font(pen.text(12.5, INK))
        .background_style(WHITE.mix(0.85))
        .border_style(pen.stroke(0.8, LIGHT))
        .margin(pen.px(6.0) as u32)
        .legend_area_size(pen.px(26.0) as u32)
        .draw()
        .map_err(words)
}

/// The corner where a legend hides least of the points, given as fractions of the width and (from below) the height.
fn emptiest_corner(points: impl Iterator<Item = (f64, f64)>) -> SeriesLabelPosition {
    use SeriesLabelPosition::{LowerLeft, LowerRight, UpperLeft, UpperRight};
    const WIDTH: f64 = 0.4;
    const HEIGHT: f64 = 0.3;
    let mut hidden = [0; 4];
    for (x, y) in points {
        let (left, right) = (x < WIDTH, x > 1.0 - WIDTH);
        let (lower, upper) = (y < HEIGHT, y > 1.0 - HEIGHT);
        for (count, inside) in hidden.iter_mut().zip([upper && right, upper && left, lower && right, lower && left]) {
            *count += usize::from(inside);
        }
    }
    // The first of equals.
    let best = (0..4).min_by_key(|&corner| hidden[corner]).expect("four corners");
    [UpperRight, UpperLeft, LowerRight, LowerLeft][best].clone()
}

/// Points of a line close enough together that none of it is missed; those that are given where it is dotted.
fn along(points: &[(f64, f64)], joined: bool) -> Vec<(f64, f64)> {
    const APART: f64 = 0.02;
    let mut all = points.to_vec();
    for ends in points.windows(2).filter(|_| joined) {
        let step = (ends[1].0 - ends[0].0, ends[1].1 - ends[0].1);
        let pieces = (step.0.hypot(step.1) / APART).min(100.0) as usize;
        all.extend((1..pieces).map(|k| {
            let part = k as f64 / pieces as f64;
            (ends[0].0 + part * step.0, ends[0].1 + part * step.1)
        }));
    }
    all
}

/// Pieces of a line that turn by less than a right angle at every pixel `at`: a thick line ends in a long spike where it
/// turns back.
fn runs(points: &[(f64, f64)], at: &[(i32, i32)]) -> Vec<Vec<(f64, f64)>> {
    let mut runs = Vec::new();
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut before: Option<((i32, i32), Option<(i32, i32)>)> = None;
    for (point, here) in points.iter().zip(at) {
        let Some((last, heading)) = before else {
            run.push(*point);
            before = Some((*here, None));
            continue;
        };
        let step = (here.0 - last.0, here.1 - last.1);
        if step == (0, 0) {
            continue;
        }
        if heading.is_some_and(|h| h.0 * step.0 + h.1 * step.1 <= 0) {
            let corner = run[run.len() - 1];
            runs.push(std::mem::replace(&mut run, vec![corner]));
        }
        run.push(*point);
        before = Some((*here, Some(step)));
    }
    runs.push(run);
    runs
}

/// A curve that is one point has no length: it is drawn as a dot.
fn visible(style: Style, points: &[(f64, f64)]) -> Style {
    if points.windows(2).all(|w| w[0] == w[1]) { Style::Dots } else { style }
}

fn curves<DB: DrawingBackend>(p: &Curves, area: &Area<DB>, pen: &Pen) -> Drawn {
    let x = Scale::new(&p.x, p.lines.iter().flat_map(|l| l.x.iter().copied()));
    let floor = p.lines.iter().any(|l| l.style == Style::Area).then_some(0.0);
    let y = Scale::new(&p.y, p.lines.iter().flat_map(|l| l.y.iter().copied()).chain(floor));
    let mut chart = chart(area, &x, &y, [&p.x.label, &p.y.label], pen)?;
    let (dash, gap) = (pen.px(8.0) as u32, pen.px(5.0) as u32);
    let mut drawn_at = Vec::new();
    for line in &p.lines {
        let points: Vec<(f64, f64)> =
            line.x.iter().zip(&line.y).filter_map(|(a, b)| Some((x.place(*a)?, y.place(*b)?))).collect();
        let fractions: Vec<(f64, f64)> = points.iter().map(|p| (x.fraction(p.0), y.fraction(p.1))).collect();
        let style = visible(line.style, &points);
        drawn_at.extend(along(&fractions, style != Style::Dots));
        let colour = colours::plain(line.colour);
        let stroke = pen.stroke(2.0, line.colour);
        let drawn = match style {
            Style::Solid => {
                let at: Vec<(i32, i32)> = points.iter().map(|p| chart.backend_coord(p)).collect();
                let runs = runs(&points, &at);
                chart.draw_series(runs.into_iter().map(|run| PathElement::new(run, stroke)))
            }
            Style::Dashed => chart.draw_series(DashedLineSeries::new(points, dash, gap, stroke)),
            Style::Dots => chart.draw_series(points.into_iter().map(|c| Circle::new(c, pen.px(2.5), colour.filled()))),
            Style::Area => chart.draw_series(
                AreaSeries::new(points, y.place(0.0).unwrap_or(y.low), colour.mix(0.3)).border_style(stroke),
            ),
        }
        .map_err(words)?;
        if !line.label.is_empty() {
            let (length, dot) = (pen.px(20.0), pen.px(2.5));
            let drawn = drawn.label(&line.label);
            match style {
                Style::Dashed => drawn.legend(move |(a, b)| {
                    DashedPathElement::new([(a, b), (a + length, b)].into_iter(), dash, gap, stroke)
                }),
                Style::Dots => drawn.legend(move |(a, b)| Circle::new((a + length / 2, b), dot, colour.filled())),
                _ => drawn.legend(move |(a, b)| PathElement::new([(a, b), (a + length, b)], stroke)),
            };
        }
    }
    if p.lines.iter().any(|l| !l.label.is_empty()) {
        legend(&mut chart, emptiest_corner(drawn_at.into_iter()), pen)?;
    }
    Ok(())
}

/// Widens the shorter axis so that a unit is as long on both.
fn equal_units(x: &mut Scale, y: &mut Scale, width: f64, height: f64) {
    let unit = ((x.high - x.low) / width).max((y.high - y.low) / height);
    for (scale, length) in [(x, width), (y, height)] {
        let more = (unit * length - (scale.high - scale.low)) / 2.0;
        scale.low -= more;
        scale.high += more;
        scale.set_ticks(6);
    }
}

fn cloud<DB: DrawingBackend>(p: &Cloud, area: &Area<DB>, pen: &Pen) -> Drawn {
    let mut x = Scale::new(&p.x, p.groups.iter().flat_map(|g| g.x.iter().copied()));
    let mut y = Scale::new(&p.y, p.groups.iter().flat_map(|g| g.y.iter().copied()));
    let (w, h) = area.dim_in_pixel();
    equal_units(&mut x, &mut y, (w as f64 - 86.0 * pen.scale).max(1.0), (h as f64 - 48.0 * pen.scale).max(1.0));
    let mut chart = chart(area, &x, &y, [&p.x.label, &p.y.label], pen)?;
    let thin = colours::plain(GREY).mix(0.35).stroke_width(pen.px(0.6).max(1) as u32);
    chart
        .draw_series(p.segments.iter().map(|(a, b)| PathElement::new([(a[0], a[1]), (b[0], b[1])], thin)))
        .map_err(words)?;
    for group in &p.groups {
        let colour = |i: usize| group.colours.get(i).or(group.colours.first()).copied().unwrap_or(colours::BLUE);
        let radius = |i: usize| group.radii.get(i).or(group.radii.first()).copied().unwrap_or(2.0);
        let opacity = if group.colours.len() > 1 { 1.0 } else { 0.75 };
        let finite = |i: &usize| group.x[*i].is_finite() && group.y[*i].is_finite();
        let drawn = chart
            .draw_series((0..group.x.len().min(group.y.len())).filter(finite).map(|i| {
                let style = colours::plain(colour(i)).mix(opacity).filled();
                Circle::new((group.x[i], group.y[i]), pen.px(radius(i)).max(1), style)
            }))
            .map_err(words)?;
        if !group.label.is_empty() {
            let (dot, shift, style) = (pen.px(4.0), pen.px(10.0), colours::plain(colour(0)).filled());
            drawn.label(&group.label).legend(move |(a, b)| Circle::new((a + shift, b), dot, style));
        }
    }
    if p.groups.iter().any(|g| !g.label.is_empty()) {
        let points = p.groups.iter().flat_map(|g| g.x.iter().zip(&g.y));
        legend(&mut chart, emptiest_corner(points.map(|(a, b)| (x.fraction(*a), y.fraction(*b)))), pen)?;
    }
    Ok(())
}

/// The largest rectangle of the image's proportions inside (width, height), centred: (x, y, width, height).
fn fit(rows: usize, cols: usize, width: u32, height: u32) -> (i32, i32, u32, u32) {
    let scale = (width as f64 / cols.max(1) as f64).min(height as f64 / rows.max(1) as f64);
    let (w, h) = ((cols as f64 * scale).max(1.0) as u32, (rows as f64 * scale).max(1.0) as u32);
    (((width - w.min(width)) / 2) as i32, ((height - h.min(height)) / 2) as i32, w, h)
}

/// Places a raster at (x, y) of `area` in w × h pixels.
fn place<DB: DrawingBackend>(
    raster: &Raster,
    (x, y, w, h): (i32, i32, u32, u32),
    smooth: bool,
    area: &Area<DB>,
    pen: &Pen,
) -> Drawn {
    if let Some(images) = &pen.images {
        let (left, top) = area.get_base_pixel();
        images.borrow_mut().push((left + x, top + y, w, h, smooth, raster.clone()));
    } else {
        let pixels = raster.resized(h as usize, w as usize, smooth).rgb;
        let element =
            BitMapElement::<(i32, i32), plotters::backend::RGBPixel>::with_owned_buffer((x, y), (w, h), pixels);
        area.draw(&element.ok_or("an image has the wrong size")?).map_err(words)?;
    }
    let frame = Rectangle::new([(x, y), (x + w as i32, y + h as i32)], pen.stroke(0.8, GREY));
    area.draw(&frame).map_err(words)
}

fn picture<DB: DrawingBackend>(p: &Picture, area: &Area<DB>, pen: &Pen) -> Drawn {
    let (w, h) = area.dim_in_pixel();
    let mut at = fit(p.raster.rows, p.raster.cols, w - 1, h - 1);
    at.1 = 0;
    place(&p.raster, at, true, area, pen)
}

/// The smallest and the largest finite value.
fn extent(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
}

/// The ends of a colour bar: values that are equal up to rounding are one colour, in its middle.
fn told_apart((low, high): (f64, f64)) -> (f64, f64) {
    let reach = low.abs().max(high.abs());
    if high - low > 1e-12 * reach || !reach.is_finite() {
        return (low, high);
    }
    let half = if reach == 0.0 { 0.5 } else { 0.5 * reach };
    (low - half, low + half)
}

fn heat<DB: DrawingBackend>(p: &Heat, area: &Area<DB>, pen: &Pen) -> Drawn {
    let (low, high) = told_apart(extent(&p.values));
    let rgb: Vec<u8> = p.values.iter().flat_map(|v| colours::map((v - low) / (high - low))).collect();
    let (w, h) = area.dim_in_pixel();
    let bar = pen.px(92.0) as u32;
    let (mut x, _, iw, ih) = fit(p.rows, p.cols, w.saturating_sub(bar).max(1), h - 1);
    x /= 2;
    place(&Raster::new(p.rows, p.cols, rgb), (x, 0, iw, ih), false, area, pen)?;

    bar_beside(&p.bar, (low, high), colours::map, (x + iw as i32, 0, ih), area, pen)
}

/// The colour bar of a map whose right edge, top and height are given: as tall, its label turned beside the numbers.
fn bar_beside<DB: DrawingBackend>(
    label: &str,
    (low, high): (f64, f64),
    map: fn(f64) -> Rgb,
    (right, top, height): (i32, i32, u32),
    area: &Area<DB>,
    pen: &Pen,
) -> Drawn {
    let w = area.dim_in_pixel().0;
    let left = right + pen.px(12.0);
    let width = pen.px(13.0);
    let strip: Vec<u8> = (0..256).rev().flat_map(|i| map(i as f64 / 255.0)).collect();
    place(&Raster::new(256, 1, strip), (left, top, width as u32, height), true, area, pen)?;
    if !low.is_finite() {
        return Ok(());
    }
    let axis = super::Axis { range: Some((low, high)), ..Default::default() };
    let scale = Scale::new(&axis, std::iter::empty()).with_room(f64::from(height), |_| LINE * pen.scale);
    let style = pen.text(12.0, GREY).pos(Pos::new(HPos::Left, VPos::Center));
    for tick in &scale.ticks {
        let y = top + ((1.0 - (tick - low) / (high - low)) * height as f64) as i32;
        let (a, b) = (left + width, left + width + pen.px(4.0));
        area.draw(&PathElement::new([(a, y), (b, y)], pen.stroke(0.8, GREY))).map_err(words)?;
        area.draw_text(&scale.label(*tick), &style, (b + pen.px(3.0), y)).map_err(words)?;
    }
    let turned = pen.text(12.5, INK).transform(FontTransform::Rotate90).pos(Pos::new(HPos::Center, VPos::Top));
    // Beyond the longest number.
    let longest = scale.ticks.iter().map(|t| scale.label(*t).chars().count()).max().unwrap_or(0);
    let beyond = pen.px((34.0 + 7.0 * longest as f64).min(72.0));
    let name = scale.name(label);
    // A name longer than the bar does not reach into the title.
    let half = (0.5 * measured(&name, &pen.text(12.5, INK), area, pen)).ceil() as i32;
    let at = ((left + beyond + pen.px(12.0)).min(w as i32 - 1), (top + height as i32 / 2).max(half));
    area.draw_text(&name, &turned, at).map_err(words)
}

fn field<DB: DrawingBackend>(p: &Field, area: &Area<DB>, pen: &Pen) -> Drawn {
    let (w, h) = area.dim_in_pixel();
    let (x, y) = (Scale::new(&p.x, std::iter::empty()), Scale::new(&p.y, std::iter::empty()));
    // What the axes and the bar take: see `chart` and `bar_beside`.
    let (beside, below, bar) = (86.0 * pen.scale, 48.0 * pen.scale, 88.0 * pen.scale);
    let (pw, ph) = p.extent((w as f64 - beside - bar).max(1.0), (h as f64 - below).max(1.0), pen.scale);
    let free = ((w as f64 - beside - bar - pw) / 2.0) as i32;
    let inner = area.clone().shrink((free, 0), ((pw + beside) as u32, (ph + below) as u32));
    let chart = chart(&inner, &x, &y, [&p.x.label, &p.y.label], pen)?;
    let (across, down) = chart.plotting_area().get_pixel_range();
    let base = area.get_base_pixel();
    let at = (across.start - base.0, down.start - base.1);
    let size = ((across.end - across.start).max(1) as u32, (down.end - down.start).max(1) as u32);

    let (low, high) = told_apart(p.range.unwrap_or_else(|| {
        let (low, high) = extent(&p.values);
        let reach = low.abs().max(high.abs());
        if p.palette == Palette::Diverging { (-reach, reach) } else { (low, high) }
    }));
    let map = if p.palette == Palette::Diverging { colours::diverging } else { colours::map };
    let rows = p.values.chunks_exact(p.cols.max(1)).rev();
    let rgb: Vec<u8> = rows.flatten().flat_map(|v| map((v - low) / (high - low))).collect();
    place(&Raster::new(p.rows, p.cols, rgb), (at.0, at.1, size.0, size.1), true, area, pen)?;
    bar_beside(&p.bar, (low, high), map, (at.0 + size.0 as i32, at.1, size.1), area, pen)
}

fn table<DB: DrawingBackend>(p: &Table, area: &Area<DB>, pen: &Pen) -> Drawn {
    let (w, h) = area.dim_in_pixel();
    let left = pen.px(4.0);
    let right = w as i32 - pen.px(8.0);
    let line = pen.px(27.0);
    let at = |colour: Rgb, h: HPos| pen.text(13.5, colour).pos(Pos::new(h, VPos::Center));
    let mut y = pen.px(4.0);
    for (name, value) in &p.rows {
        if y + line > h as i32 {
            break;
        }
        area.draw_text(name, &at(GREY, HPos::Left), (left, y + line / 2)).map_err(words)?;
        area.draw_text(value, &at(INK, HPos::Right), (right, y + line / 2)).map_err(words)?;
        y += line;
        area.draw(&PathElement::new([(left, y), (right, y)], pen.stroke(0.8, LIGHT))).map_err(words)?;
    }
    let style = pen.text(12.0, GREY).pos(Pos::new(HPos::Left, VPos::Top));
    for (k, note) in p.note.lines().enumerate() {
        area.draw_text(note, &style, (left, y + pen.px(10.0 + 18.0 * k as f64))).map_err(words)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_one_point_is_a_dot() {
        assert_eq!(visible(Style::Solid, &[(1.0, 2.0)]), Style::Dots);
        assert_eq!(visible(Style::Dashed, &[(1.0, 2.0); 2]), Style::Dots);
        assert_eq!(visible(Style::Area, &[(1.0, 2.0), (2.0, 2.0)]), Style::Area);
    }

    #[test]
    fn the_bar_of_a_constant_holds_the_constant_in_its_middle() {
        assert_eq!(told_apart(extent(&[2.0, f64::NAN, 2.0])), (1.0, 3.0));
        let (low, high) = told_apart((2.4e-4, 2.4e-4 + 1e-18));
        assert!((low - 1.2e-4).abs() < 1e-15 && (high - 3.6e-4).abs() < 1e-15, "{low} {high}");
        assert_eq!(told_apart((0.0, 0.0)), (-0.5, 0.5));
        assert_eq!(told_apart((1.0, 2.0)), (1.0, 2.0));
    }

    #[test]
    fn a_legend_goes_where_it_hides_least_and_to_the_upper_right_where_nothing_is() {
        let corner = |points: &[(f64, f64)], joined| emptiest_corner(along(points, joined).into_iter());
        assert!(matches!(corner(&[], true), SeriesLabelPosition::UpperRight));
        assert!(matches!(corner(&[(0.9, 0.9)], true), SeriesLabelPosition::UpperLeft));
        // A straight line from the lower left to the upper right has only its two ends as points.
        assert!(matches!(corner(&[(0.0, 0.0), (1.0, 1.0)], true), SeriesLabelPosition::UpperLeft));
        // Along the top from the left to the middle of the right corner, joined or as two dots.
        let top = [(-0.1, 0.9), (0.7, 0.9)];
        assert!(matches!(corner(&top, true), SeriesLabelPosition::LowerRight));
        assert!(matches!(corner(&top, false), SeriesLabelPosition::LowerRight));
    }
}
