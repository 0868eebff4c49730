//! Where the rows of the passes lie in the arrays of a [`Distributed`](super::Distributed) transform, and which parts
//! of those arrays are messages.

use std::ops::Range;

use super::layout::Layout;
use super::lines::Run;
use crate::solvers::spectral::domain::Domain;

/// Where a row begins: in which array, at `base` plus the plane times `step`.
#[derive(Clone, Copy)]
pub struct Place {
    pub array: usize,
    pub base: usize,
    pub step: usize,
}

/// Ranks, and what of an array is theirs.
pub type Parts = Vec<(usize, Range<usize>)>;

/// The tables of rows and runs of one rank; in planes of pitch `pitch` when fused.
///
/// Rows that go to other ranks lie where `together` says: in the array of the rank of the group that has them, or in
/// array 0, what is sent, with those that stay here in array 1.
pub fn tables(
    domain: &Domain,
    layout: &Layout,
    pitch: Option<usize>,
    together: bool,
) -> ([Vec<Place>; 2], [Vec<Place>; 2], Vec<Run>) {
    let Some([r1, r2]) = layout.at else { return Default::default() };
    let (m, n) = (domain.modes(), domain.points());
    let (a1, a2) = (layout.modes1.of(r1), layout.modes2.of(r2));
    let (b0, b1) = (layout.points0.of(r1), layout.points1.of(r2));
    let column = a1.len() * a2.len();
    let spectral = (0..m[0]).map(|i| Place { array: 0, base: i * column, step: 0 }).collect();
    let wide = (layout.points0.ranges().enumerate())
        .flat_map(|(q, planes)| {
            // In the region of this rank in the `mid` of that one.
            let region = planes.len() * a2.len() * a1.start;
            planes.clone().map(move |x| match (together, q == r1) {
                (false, false) => Place { array: 0, base: x * column, step: 0 },
                (false, true) => Place { array: 1, base: region + (x - planes.start) * column, step: 0 },
                (true, _) => Place { array: q, base: region + (x - planes.start) * column, step: 0 },
            })
        })
        .collect();
    let region = |q: Range<usize>| {
        let (start, step) = (b0.len() * a2.len() * q.start, q.len() * a2.len());
        (0..q.len()).map(move |i| Place { array: 0, base: start + i * (step / q.len().max(1)), step })
    };
    let mid = layout.modes1.ranges().flat_map(region).collect();
    let (tall, runs) = match pitch {
        Some(pitch) => (
            (0..n[1]).map(|y| Place { array: 0, base: y * pitch, step: 0 }).collect(),
            vec![Run { base: 0, pitch, modes: m[2] }],
        ),
        None => {
            let rows = layout.points1.ranges().enumerate().flat_map(|(q, part)| {
                let region = b0.len() * part.len() * a2.start;
                let (array, start) = match (together, q == r2) {
                    (false, false) => (0, b0.len() * a2.len() * part.start),
                    (false, true) => (1, region),
                    (true, _) => (q, region),
                };
                let (width, step) = (a2.len(), part.len() * a2.len());
                (0..part.len()).map(move |i| Place { array, base: start + i * width, step })
            });
            let runs = layout.modes2.ranges().filter(|part| !part.is_empty()).map(|part| Run {
                base: b0.len() * b1.len() * part.start,
                pitch: part.len(),
                modes: part.len(),
            });
            (rows.collect(), runs.collect())
        }
    };
    ([spectral, wide], [mid, tall], runs)
}

/// The parts of `wide`, `mid`, `tall` and `flat` that belong to other ranks, by rank.
pub fn parts(layout: &Layout) -> [Parts; 4] {
    let Some([r1, r2]) = layout.at else { return Default::default() };
    let (a1, a2) = (layout.modes1.of(r1).len(), layout.modes2.of(r2).len());
    let (b0, b1) = (layout.points0.of(r1).len(), layout.points1.of(r2).len());
    let column = |ranges: &mut dyn Iterator<Item = Range<usize>>, width: usize| -> Parts {
        let parts = ranges.enumerate().filter(|(q, _)| *q != r1);
        parts.map(|(q, part)| (layout.rank([q, r2]), part.start * width..part.end * width)).collect()
    };
    let row = |ranges: &mut dyn Iterator<Item = Range<usize>>, width: usize| -> Parts {
        let parts = ranges.enumerate().filter(|(q, _)| *q != r2);
        parts.map(|(q, part)| (layout.rank([r1, q]), part.start * width..part.end * width)).collect()
    };
    [
        column(&mut layout.points0.ranges(), a1 * a2),
        column(&mut layout.modes1.ranges(), b0 * a2),
        row(&mut layout.points1.ranges(), b0 * a2),
        row(&mut layout.modes2.ranges(), b0 * b1),
    ]
}
