//! Measures as the input names them: read or made, each rank its own points; weights and grid axes whole.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::colour::Palette;
use super::generated;
use super::problem::{ColourSpace, MeasureInput};
use crate::error::Result;
use crate::input::Input;
use crate::io::arrays::ArrayFile;
use crate::io::images::{self, Image};
use crate::team::{Partition, Team};

/// More points than this cannot be meant: their weights alone would not fit into memory.
const MOST_POINTS: usize = 1 << 40;

/// A discrete measure, distributed by rows.
#[derive(Debug, Clone)]
pub struct Measure {
    pub n: usize,
    /// Dimension of the points; 0 for abstract atoms.
    pub dimension: usize,
    /// The points held by this rank …
    pub rows: Range<usize>,
    /// … row-major.
    pub points: Arc<[f64]>,
    /// All weights, as given or made; not yet normalised.
    pub weights: Arc<[f64]>,
    /// Whether the weights were given by the user (and so must not be rescaled unasked).
    pub given_weights: bool,
    /// Coordinates along each axis, for measures on a grid (last axis fastest).
    pub axes: Option<Vec<Vec<f64>>>,
    /// The photograph behind a colour cloud.
    pub photo: Option<Photo>,
}

#[derive(Debug, Clone)]
pub struct Photo {
    pub image: Image,
    pub space: ColourSpace,
    pub levels: usize,
}

/// What can be known from headers alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    pub n: usize,
    pub dimension: usize,
    pub shape: Option<Vec<usize>>,
    pub words: String,
}

/// The finaliser of SplitMix64 [Steele2014].
fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A number that tells the values of a list, from its place `first` on, from others: a sum over places, so that parts
/// add up (mod 2^64) to that of the whole in any order.
pub fn sum_of_places(list: u64, first: usize, values: impl Iterator<Item = f64>) -> u64 {
    let one = |(k, x): (usize, f64)| mixed(x.to_bits() ^ mixed(((first + k) as u64) ^ (list << 60)));
    values.enumerate().map(one).fold(0, u64::wrapping_add)
}

/// The list of the entries of a cost matrix; those of points and weights come before it.
pub const COSTS: u64 = 5;

/// A number that tells the data of a problem from others, the same on any number of ranks; collective. `costs`: the
/// sum of places of this rank's entries of a cost that belongs to no points.
pub fn fingerprint(sides: [&Measure; 2], costs: u64, team: &dyn Team) -> u64 {
    let (mut mine, mut all) = (costs, mixed(0));
    for (measure, list) in sides.into_iter().zip([1, 3]) {
        let first = measure.rows.start * measure.dimension;
        mine = mine.wrapping_add(sum_of_places(list, first, measure.points.iter().copied()));
        all = all.wrapping_add(sum_of_places(list + 1, 0, measure.weights.iter().copied()));
    }
    team.gather(&[mine]).into_iter().fold(all, u64::wrapping_add)
}

/// `which` is 0 for the source and 1 for the target, so that equal inputs draw different samples.
pub fn load(input: &Input, key: &str, which: u32, measure: &MeasureInput, team: &dyn Team) -> Result<Measure> {
    let loaded = load_mine(input, key, which, measure, team);
    team.agree(loaded)
}

fn load_mine(input: &Input, key: &str, which: u32, measure: &MeasureInput, team: &dyn Team) -> Result<Measure> {
    let seed = input.run.seed;
    let outline = outline(input, key, measure)?;
    let partition = |n| Partition::new(n, team.rank(), team.size());
    let rows = partition(outline.n).mine();
    let make = |n: usize, d: usize, point: &dyn Fn(usize, &mut [f64])| {
        let rows = partition(n).mine();
        let mut points = vec![0.0; rows.len() * d];
        rows.clone().zip(points.chunks_mut(d)).for_each(|(i, p)| point(i, p));
        points
    };
    let uniform = |n: usize| vec![1.0 / n as f64; n];
    let on_grid = |axes: Vec<Vec<f64>>, weights: Vec<f64>, given: bool| {
        let (n, d) = (weights.len(), axes.len());
        let points = make(n, d, &|i, p| generated::grid_point(&axes, i, p));
        Measure {
            n,
            dimension: d,
            rows: partition(n).mine(),
            points: points.into(),
            weights: weights.into(),
            given_weights: given,
            axes: Some(axes),
            photo: None,
        }
    };
    let cloud = |points: Vec<f64>, weights: Vec<f64>, given: bool| Measure {
        n: outline.n,
        dimension: outline.dimension,
        rows: rows.clone(),
        points: points.into(),
        weights: weights.into(),
        given_weights: given,
        axes: None,
        photo: None,
    };
    let measure = match measure {
        MeasureInput::Points { file, dataset, .. } => {
            let array = open(input, &format!("{key}.file"), file, dataset.as_deref())?;
            let points =
                array.read_rows(rows.clone()).map_err(|message| input.invalid(&format!("{key}.file"), message))?;
            if let Some(k) = points.iter().position(|x| !x.is_finite()) {
                let (row, column) = (rows.start + k / outline.dimension, k % outline.dimension);
                let message = format!("point {row}, coordinate {column} is {}: points must be finite", points[k]);
                return Err(input.invalid(&format!("{key}.file"), message));
            }
            match read_weights(input, key, measure, outline.n)? {
                Some(w) => cloud(points, w, true),
                None => cloud(points, uniform(outline.n), false),
            }
        }
        MeasureInput::Atoms { .. } => match read_weights(input, key, measure, outline.n)? {
            Some(w) => cloud(Vec::new(), w, true),
            None => cloud(Vec::new(), uniform(outline.n), false),
        },
        MeasureInput::ImageGrid { file, invert, floor, size } => {
            let mut image = read_image(input, &format!("{key}.file"), file)?;
            if let Some([r, c]) = size {
                image = image.resized(*r, *c);
            }
            let mut weights = image.luma();
            if *invert {
                weights.iter_mut().for_each(|w| *w = 1.0 - *w);
            }
            let mean = weights.iter().sum::<f64>() / weights.len() as f64;
            weights.iter_mut().for_each(|w| *w += floor * mean);
            let longest = image.rows.max(image.cols) as f64;
            let axis = |k: usize| generated::cell_centres(k, 0.0, k as f64 / longest);
            on_grid(vec![axis(image.rows), axis(image.cols)], weights, false)
        }
        MeasureInput::Density { file, dataset } => {
            let file_key = format!("{key}.file");
            let array = open(input, &file_key, file, dataset.as_deref())?;
            let weights = array.read_rows(0..array.shape()[0]).map_err(|m| input.invalid(&file_key, m))?;
            let shape = outline.shape.clone().expect("a density has a shape");
            on_grid(shape.iter().map(|&k| generated::cell_centres(k, 0.0, 1.0)).collect(), weights, true)
        }
        MeasureInput::ImageColours { file, space, levels } => {
            let image = read_image(input, &format!("{key}.file"), file)?;
            let palette = Palette::of(&image.bytes(), *space, *levels);
            let n = palette.len();
            let rows = partition(n).mine();
            let points = palette.points[rows.start * 3..rows.end * 3].into();
            let weights = palette.counts.iter().map(|&c| c as f64).collect();
            let photo = Some(Photo { image, space: *space, levels: *levels });
            Measure { n, dimension: 3, rows, points, weights, given_weights: false, axes: None, photo }
        }
        MeasureInput::GaussianGrid { mean, standard_deviation, points, interval, mass } => {
            let axis = generated::cell_centres(*points, interval[0], interval[1]);
            let axes = vec![axis.clone(); mean.len()];
            let factors: Vec<Vec<f64>> = mean
                .iter()
                .zip(standard_deviation)
                .map(|(mu, sd)| generated::gaussian_weights(&axis, *mu, *sd))
                .collect();
            // Weights sum to 1 unless all of them underflow.
            if let Some(k) = factors.iter().position(|f| f.iter().any(|w| w.is_nan())) {
                let message = "no cell of the grid has any mass: the mean is too many standard deviations from all";
                return Err(input.invalid(&format!("{key}.mean.{k}"), message));
            }
            let mut weights = vec![*mass];
            for factor in &factors {
                weights = weights.iter().flat_map(|w| factor.iter().map(move |f| w * f)).collect();
            }
            on_grid(axes, weights, true)
        }
        MeasureInput::GaussianSamples { means, standard_deviations, proportions, .. } => {
            let equal = vec![1.0; means.len()];
            let mut total = 0.0;
            let cumulative: Vec<f64> = proportions
                .as_ref()
                .unwrap_or(&equal)
                .iter()
                .map(|p| {
                    total += p;
                    total
                })
                .collect();
            let points = make(outline.n, outline.dimension, &|i, p| {
                generated::mixture_sample(seed, which, i, means, standard_deviations, &cumulative, p);
            });
            cloud(points, uniform(outline.n), false)
        }
        MeasureInput::UniformSamples { .. } => {
            let points = make(outline.n, outline.dimension, &|i, p| generated::uniform_sample(seed, which, i, p));
            cloud(points, uniform(outline.n), false)
        }
        MeasureInput::Torus { points, dimension, shift } => {
            let axis: Vec<f64> = (0..*points).map(|i| i as f64 / *points as f64 + shift).collect();
            on_grid(vec![axis; *dimension], uniform(outline.n), false)
        }
        MeasureInput::Shape { shape, points: n, centre, radius } => {
            let points = make(*n, 3, &|i, p| {
                let unit = generated::shape_point(*shape, i, *n);
                (0..3).for_each(|k| p[k] = centre[k] + radius * unit[k]);
            });
            cloud(points, uniform(*n), false)
        }
    };
    check_weights(input, key, &measure.weights)?;
    Ok(measure)
}

impl MeasureInput {
    /// The key that says how many points there are, of the measure at `key`.
    pub fn size_key(&self, key: &str) -> String {
        match self {
            MeasureInput::Points { .. } | MeasureInput::Density { .. } | MeasureInput::ImageColours { .. } => {
                format!("{key}.file")
            }
            MeasureInput::ImageGrid { .. } => format!("{key}.size"),
            _ => format!("{key}.points"),
        }
    }
}

/// Sizes from headers and keys, with every error that needs no data.
pub fn outline(input: &Input, key: &str, measure: &MeasureInput) -> Result<Outline> {
    let outline = |n: usize, dimension: usize, shape: Option<Vec<usize>>, words: String| {
        if n == 0 {
            return Err(input.invalid(key, "the measure is empty: at least one point is needed"));
        }
        if n > MOST_POINTS {
            return Err(input.invalid(key, format!("{n} points: at most {MOST_POINTS} are allowed")));
        }
        Ok(Outline { n, dimension, shape, words })
    };
    let grid_size = |points: usize, dimension: usize| {
        if !(1..=3).contains(&dimension) {
            return Err(input.invalid(key, format!("a grid has 1, 2 or 3 axes, not {dimension}")));
        }
        points
            .checked_pow(dimension as u32)
            .filter(|&n| n <= MOST_POINTS)
            .ok_or_else(|| input.invalid(&format!("{key}.points"), format!("{points}^{dimension} points are too many")))
    };
    match measure {
        MeasureInput::Points { file, dataset, .. } => {
            let file_key = format!("{key}.file");
            let array = open(input, &file_key, file, dataset.as_deref())?;
            let (n, d) = match *array.shape() {
                [n] => (n, 1),
                [n, d] => (n, d),
                ref other => {
                    let message = format!("the array has shape {other:?}: points are n or n×d");
                    return Err(input.invalid(&file_key, message));
                }
            };
            if d == 0 {
                return Err(input.invalid(&file_key, "the points have no coordinates"));
            }
            open_weights(input, key, measure, n)?;
            outline(n, d, None, format!("{n} points in {d} dimensions from {}", file.display()))
        }
        MeasureInput::Atoms { points, .. } => {
            open_weights(input, key, measure, *points)?;
            outline(*points, 0, None, format!("{points} abstract atoms"))
        }
        MeasureInput::ImageGrid { file, size, .. } => {
            let file_key = format!("{key}.file");
            let (mut r, mut c) = images::size(&input.resolve(file)).map_err(|m| input.invalid(&file_key, m))?;
            if let Some([rows, cols]) = size {
                (r, c) = (*rows, *cols);
                if r == 0 || c == 0 || r.saturating_mul(c) > 1 << 28 {
                    return Err(
                        input.invalid(&format!("{key}.size"), "rows and columns must be positive, at most 2^28 pixels")
                    );
                }
            }
            outline(r * c, 2, Some(vec![r, c]), format!("{r}×{c} image {} as a grid measure", file.display()))
        }
        MeasureInput::Density { file, dataset } => {
            let file_key = format!("{key}.file");
            let array = open(input, &file_key, file, dataset.as_deref())?;
            let shape = array.shape().to_vec();
            if !(1..=3).contains(&shape.len()) {
                return Err(
                    input.invalid(&file_key, format!("the array has {} axes: a density has 1 to 3", shape.len()))
                );
            }
            outline(shape.iter().product(), shape.len(), Some(shape.clone()), format!("density on a {shape:?} grid"))
        }
        MeasureInput::ImageColours { file, space, levels } => {
            let image = read_image(input, &format!("{key}.file"), file)?;
            let n = Palette::of(&image.bytes(), *space, *levels).len();
            outline(n, 3, None, format!("{n} colours of {} ({levels} levels)", file.display()))
        }
        MeasureInput::GaussianGrid { mean, standard_deviation, points, interval, .. } => {
            if mean.len() != standard_deviation.len() {
                let message = format!("{} means but {} standard deviations", mean.len(), standard_deviation.len());
                return Err(input.invalid(&format!("{key}.standard_deviation"), message));
            }
            positive(input, &format!("{key}.standard_deviation"), standard_deviation)?;
            if interval[0] >= interval[1] {
                return Err(input.invalid(&format!("{key}.interval"), "the interval needs low < high"));
            }
            let (n, d) = (grid_size(*points, mean.len())?, mean.len());
            outline(n, d, Some(vec![*points; d]), format!("Gaussian on a {points}^{d} grid"))
        }
        MeasureInput::GaussianSamples { points, means, standard_deviations, proportions } => {
            let d = means.first().map_or(0, Vec::len);
            if d == 0 || means.iter().any(|m| m.len() != d) {
                return Err(
                    input.invalid(&format!("{key}.means"), "every component needs a mean of the same dimension")
                );
            }
            if standard_deviations.len() != means.len() {
                let message = format!("{} for {} components", standard_deviations.len(), means.len());
                return Err(input.invalid(&format!("{key}.standard_deviations"), message));
            }
            positive(input, &format!("{key}.standard_deviations"), standard_deviations)?;
            if let Some(p) = proportions {
                if p.len() != means.len() {
                    let message = format!("{} for {} components", p.len(), means.len());
                    return Err(input.invalid(&format!("{key}.proportions"), message));
                }
                positive(input, &format!("{key}.proportions"), p)?;
            }
            let words = format!("{points} samples of {} Gaussian(s) in {d} dimensions", means.len());
            outline(*points, d, None, words)
        }
        MeasureInput::UniformSamples { points, dimension } => {
            if *dimension == 0 || *dimension > 100_000 {
                return Err(input.invalid(&format!("{key}.dimension"), "must be from 1 to 100000"));
            }
            outline(
                *points,
                *dimension,
                None,
                format!("{points} uniform samples of the unit cube in {dimension} dimensions"),
            )
        }
        MeasureInput::Torus { points, dimension, .. } => {
            let n = grid_size(*points, *dimension)?;
            outline(n, *dimension, Some(vec![*points; *dimension]), format!("uniform {points}^{dimension} torus grid"))
        }
        MeasureInput::Shape { shape, points, .. } => {
            outline(*points, 3, None, format!("{points} points on a {}", shape.word()))
        }
    }
}

fn positive(input: &Input, key: &str, values: &[f64]) -> Result<()> {
    match values.iter().find(|&&x| !(x > 0.0 && x.is_finite())) {
        Some(x) => Err(input.invalid(key, format!("{x} found: every value must be positive and finite"))),
        None => Ok(()),
    }
}

pub fn open(input: &Input, key: &str, file: &Path, dataset: Option<&str>) -> Result<ArrayFile> {
    ArrayFile::open(&input.resolve(file), dataset).map_err(|message| input.invalid(key, message))
}

fn read_image(input: &Input, key: &str, file: &Path) -> Result<Image> {
    Image::read(&input.resolve(file)).map_err(|message| input.invalid(key, message))
}

/// The weights named by the input; none named: none.
fn read_weights(input: &Input, key: &str, measure: &MeasureInput, n: usize) -> Result<Option<Vec<f64>>> {
    let Some((key, array)) = open_weights(input, key, measure, n)? else { return Ok(None) };
    array.read().map(Some).map_err(|message| input.invalid(&key, message))
}

/// The n weights that a measure names, with the key that does.
fn open_weights(input: &Input, key: &str, measure: &MeasureInput, n: usize) -> Result<Option<(String, ArrayFile)>> {
    let (points_file, file, dataset) = match measure {
        MeasureInput::Points { file, weights, weights_dataset, .. } => (Some(file), weights, weights_dataset),
        MeasureInput::Atoms { weights, weights_dataset, .. } => (None, weights, weights_dataset),
        _ => return Ok(None),
    };
    let (file, dataset) = (file.as_ref(), dataset.as_deref());
    let key = if file.is_some() { format!("{key}.weights") } else { format!("{key}.weights_dataset") };
    let file = match (file, dataset, points_file) {
        (Some(file), ..) => file,
        (None, Some(_), Some(points_file)) => points_file,
        (None, Some(_), None) => return Err(input.invalid(&key, "a dataset needs `weights`, the file that holds it")),
        (None, None, _) => return Ok(None),
    };
    let array = open(input, &key, file, dataset)?;
    let count: usize = array.shape().iter().product();
    if count != n {
        return Err(input.invalid(&key, format!("{count} weights for {n} points")));
    }
    Ok(Some((key, array)))
}

fn check_weights(input: &Input, key: &str, weights: &[f64]) -> Result<()> {
    if let Some(i) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
        let message = format!("weight {i} is {}: weights must be finite and not negative", weights[i]);
        return Err(input.invalid(key, message));
    }
    let total: f64 = weights.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return Err(input.invalid(key, format!("the weights sum to {total}: some mass is needed")));
    }
    Ok(())
}
