//! Figures, drawn with `plotters`: a [`Figure`] is plain data (rows of panels), and [`Figure::save`] draws it.
//!
//! The rooms say what to show; sizes, fonts and colours are decided here, once. The font is embedded, so that a figure
//! looks the same on every machine; PNG files are drawn three times too large and averaged, which smooths every edge.

mod axes;
pub mod colours;
mod panels;
mod raster;

use std::cell::RefCell;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
pub use axes::number;
use colours::Rgb;
pub use raster::Raster;

/// A page of panels under one title.
#[derive(Debug, Clone, Default)]
pub struct Figure {
    pub title: String,
    pub subtitle: String,
    /// Width and height in pixels (PNG) or user units (SVG).
    pub size: (u32, u32),
    /// Each row: its share of the height, and its panels with their shares of the width.
    pub rows: Vec<(f64, Vec<(f64, Panel)>)>,
}

/// What a panel shows.
#[derive(Debug, Clone)]
pub enum Panel {
    Curves(Curves),
    Cloud(Cloud),
    Heat(Heat),
    Field(Field),
    Picture(Picture),
    Table(Table),
}

/// An axis: its label with units, whether it is logarithmic, and its range (from the data when absent).
#[derive(Debug, Clone, Default)]
pub struct Axis {
    pub label: String,
    pub log: bool,
    pub range: Option<(f64, f64)>,
}

impl Axis {
    pub fn new(label: impl Into<String>) -> Self {
        Axis { label: label.into(), ..Axis::default() }
    }

    pub fn log(label: impl Into<String>) -> Self {
        Axis { label: label.into(), log: true, range: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Solid,
    Dashed,
    Dots,
    /// The curve with the area below it, down to zero.
    Area,
}

/// One curve; points that are not finite (or not positive on a log axis) are left out. No label: not in the legend.
#[derive(Debug, Clone)]
pub struct Line {
    pub label: String,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub colour: Rgb,
    pub style: Style,
}

#[derive(Debug, Clone, Default)]
pub struct Curves {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// Points of one kind. `colours` and `radii` (in pixels) hold one value for all, or one for each.
#[derive(Debug, Clone, Default)]
pub struct Group {
    pub label: String,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub colours: Vec<Rgb>,
    pub radii: Vec<f64>,
}

/// A scatter plot with the same scale on both axes.
#[derive(Debug, Clone, Default)]
pub struct Cloud {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub groups: Vec<Group>,
    /// Thin grey lines under the points, from (x, y) to (x, y).
    pub segments: Vec<([f64; 2], [f64; 2])>,
}

/// A matrix as colours, row 0 on top, with a colour bar.
#[derive(Debug, Clone, Default)]
pub struct Heat {
    pub title: String,
    pub rows: usize,
    pub cols: usize,
    pub values: Vec<f64>,
    /// Label of the colour bar, with units.
    pub bar: String,
}

/// How values become colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Palette {
    /// From the smallest to the largest value.
    #[default]
    Sequential,
    /// White is zero; as far to either side.
    Diverging,
}

/// A function of two coordinates as colours, with axes and a colour bar.
#[derive(Debug, Clone, Default)]
pub struct Field {
    pub title: String,
    /// Both need a range: the picture fills it.
    pub x: Axis,
    pub y: Axis,
    /// `rows` × `cols` values, the first row at the bottom.
    pub rows: usize,
    pub cols: usize,
    pub values: Vec<f64>,
    /// Label of the colour bar, with units.
    pub bar: String,
    pub palette: Palette,
    /// Values shown at the ends of the bar; others are shown as these. From the data when absent.
    pub range: Option<(f64, f64)>,
    /// The same length per unit on both axes, as far as the picture is not too thin to be read.
    pub equal: bool,
}

impl Field {
    /// A picture has at least this share of its length as its width.
    const THINNEST: f64 = 1.0 / 6.0;
    /// And this many pixels, for a few ticks.
    const SHORTEST: f64 = 90.0;

    /// Width and height of the picture where it may be so wide and high. `scale`: of every length.
    pub(crate) fn extent(&self, wide: f64, high: f64, scale: f64) -> (f64, f64) {
        if !self.equal {
            return (wide, high);
        }
        let length = |axis: &Axis| axis.range.map_or(1.0, |(low, high)| high - low);
        let (x, y) = (length(&self.x), length(&self.y));
        let unit = (wide / x).min(high / y);
        let (w, h) = (unit * x, unit * y);
        let least = |other: f64| (Self::THINNEST * other).max(Self::SHORTEST * scale);
        (w.max(least(h)).min(wide), h.max(least(w)).min(high))
    }
}

#[derive(Debug, Clone)]
pub struct Picture {
    pub title: String,
    pub raster: Raster,
}

/// Names and values in two columns, with a note below.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub title: String,
    pub rows: Vec<(String, String)>,
    pub note: String,
}

const FONT: &str = "DejaVu Sans";
/// PNG files are drawn at this multiple of their size.
const SUPERSAMPLING: u32 = 3;

pub(crate) type Area<DB> = DrawingArea<DB, Shift>;
pub(crate) type Drawn = std::result::Result<(), String>;

pub(crate) fn words<E: Display>(e: E) -> String {
    e.to_string()
}

/// How to draw on this backend: the scale of every length, and where an SVG collects its images.
pub(crate) struct Pen {
    scale: f64,
    images: Option<RefCell<Vec<(i32, i32, u32, u32, bool, Raster)>>>,
}

impl Pen {
    fn px(&self, length: f64) -> i32 {
        (length * self.scale).round() as i32
    }

    fn text(&self, size: f64, colour: Rgb) -> TextStyle<'static> {
        (FONT, size * self.scale).into_font().color(&colours::plain(colour))
    }

    fn stroke(&self, width: f64, colour: Rgb) -> ShapeStyle {
        colours::plain(colour).stroke_width(self.px(width).max(1) as u32)
    }
}

impl Figure {
    /// Draws the figure; the ending of `path` (.png or .svg) says how. The file appears whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        register_font()?;
        let fail = |message: String| Error::file(path, message);
        let partial = partial_name(path);
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("png") => {
                let (w, h) = (self.size.0 * SUPERSAMPLING, self.size.1 * SUPERSAMPLING);
                let mut pixels = vec![255u8; 3 * w as usize * h as usize];
                {
                    let root = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
                    let pen = Pen { scale: SUPERSAMPLING as f64, images: None };
                    self.draw(&root, &pen).map_err(fail)?;
                    root.present().map_err(words).map_err(fail)?;
                }
                let large = Raster::new(h as usize, w as usize, pixels);
                let small = large.resized(self.size.1 as usize, self.size.0 as usize, true);
                std::fs::write(&partial, small.png().map_err(fail)?).map_err(|e| Error::file(&partial, e))?;
            }
            Some("svg") => {
                let mut text = String::new();
                let pen = Pen { scale: 1.0, images: Some(RefCell::default()) };
                {
                    let root = SVGBackend::with_string(&mut text, self.size).into_drawing_area();
                    self.draw(&root, &pen).map_err(fail)?;
                    root.present().map_err(words).map_err(fail)?;
                }
                let images = pen.images.unwrap_or_default().into_inner();
                std::fs::write(&partial, raster::embed(&text, &images).map_err(fail)?)
                    .map_err(|e| Error::file(&partial, e))?;
            }
            _ => return Err(Error::Usage(format!("{}: a figure ends in .png or .svg", path.display()))),
        }
        std::fs::rename(&partial, path).map_err(|e| Error::file(path, e))
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, pen: &Pen) -> Drawn {
        root.fill(&WHITE).map_err(words)?;
        let (width, height) = root.dim_in_pixel();
        let margin = pen.px(18.0);
        let mut top = margin;
        let left = |size, colour| pen.text(size, colour).pos(Pos::new(HPos::Left, VPos::Top));
        root.draw_text(&self.title, &left(23.0, colours::INK), (margin, top)).map_err(words)?;
        top += pen.px(33.0);
        if !self.subtitle.is_empty() {
            root.draw_text(&self.subtitle, &left(14.5, colours::GREY), (margin, top)).map_err(words)?;
            top += pen.px(26.0);
        }
        let shares: f64 = self.rows.iter().map(|r| r.0).sum();
        let free = (height as i32 - top - margin) as f64;
        let gap = pen.px(14.0);
        for (share, panels) in &self.rows {
            let row_height = free * share / shares;
            let widths: f64 = panels.iter().map(|p| p.0).sum();
            let mut x = margin as f64;
            for (w, panel) in panels {
                let panel_width = (width as f64 - 2.0 * margin as f64) * w / widths;
                let size = ((panel_width as i32 - gap).max(1), (row_height as i32 - gap).max(1));
                let area = root.clone().shrink((x as i32 + gap / 2, top), (size.0 as u32, size.1 as u32));
                panels::draw(panel, &area, pen)?;
                x += panel_width;
            }
            top += row_height as i32;
        }
        Ok(())
    }
}

/// `figure.png` is first written as `.figure.png.partial` beside it.
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

fn register_font() -> Result<()> {
    static ONCE: Once = Once::new();
    static BYTES: &[u8] = include_bytes!("font/DejaVuSans.ttf");
    let mut result = Ok(());
    ONCE.call_once(|| {
        result = plotters::style::register_font(FONT, FontStyle::Normal, BYTES)
            .map_err(|_| Error::file("DejaVuSans.ttf", "the embedded font cannot be read"));
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Figure {
        let x: Vec<f64> = (0..50).map(|i| i as f64).collect();
        let y: Vec<f64> = x.iter().map(|x| (-x).exp()).collect();
        let line = Line { label: "error".into(), x, y, colour: colours::BLUE, style: Style::Solid };
        let raster = Raster::new(2, 3, vec![200; 18]);
        Figure {
            title: "Title".into(),
            subtitle: String::new(),
            size: (600, 400),
            rows: vec![(
                1.0,
                vec![
                    (1.0, Panel::Curves(Curves { y: Axis::log("error"), lines: vec![line], ..Curves::default() })),
                    (1.0, Panel::Picture(Picture { title: "picture".into(), raster })),
                ],
            )],
        }
    }

    #[test]
    fn a_png_has_the_size_that_was_asked_and_some_ink() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.png");
        example().save(&path).unwrap();
        let image = image::open(&path).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (600, 400));
        let dark = image.pixels().filter(|p| p.0.iter().all(|c| *c < 140)).count();
        // One line of text alone has about 300 of them.
        assert!(dark > 600, "{dark} dark pixels: text or axes are missing");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a partial file is left");
    }

    #[test]
    fn an_svg_holds_its_text_and_its_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.svg");
        example().save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("Title") && text.contains("data:image/png;base64,iVBOR"), "{text}");
        assert!(text.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_box_of_40_by_a_half_is_drawn_a_sixth_as_high_as_wide() {
        let axis = |length: f64| Axis { label: String::new(), log: false, range: Some((0.0, length)) };
        let field = |x: f64, y: f64| Field { x: axis(x), y: axis(y), equal: true, ..Field::default() };
        let (w, h) = field(40.0, 0.5).extent(1200.0, 400.0, 1.0);
        assert!(w == 1200.0 && (h - 200.0).abs() < 1e-9, "{w} × {h}");
        // Three side by side, and layers 0.1 wide: 90 pixels.
        assert_eq!(field(40.0, 0.5).extent(300.0, 290.0, 1.0), (300.0, 90.0));
        assert_eq!(field(0.1, 1.0).extent(300.0, 290.0, 1.0), (90.0, 290.0));
        assert_eq!(field(2.0, 1.0).extent(300.0, 290.0, 1.0), (300.0, 150.0));
        assert_eq!(field(2.0, 1.0).extent(50.0, 40.0, 1.0), (50.0, 40.0));
    }

    #[test]
    fn another_ending_is_refused_with_its_name() {
        let error = example().save(Path::new("figure.pdf")).unwrap_err();
        assert!(error.to_string().contains("figure.pdf"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
