//! Derived results that need the points or single costs: the gradients in the points, the largest plan entries.

use std::ops::Range;

use rayon::prelude::*;

use super::distributed::{PassData, TeamPasses};
use super::geometry::{Geometry, Scale, Side};
use super::kernels::PointCost;
use super::largest::{Largest, merged, order};
use super::passes::{Passes, Precision};
use crate::error::{Error, Result};
use crate::math::elementary::{exp, ln, pow};
use crate::team::Team;

/// The points of a side that this rank holds.
fn points(geometry: &dyn Geometry, side: Side) -> (Range<usize>, &[f64]) {
    if side == Side::Source { geometry.source_points() } else { geometry.target_points() }
}

/// Some coordinates of all points of a side, one row per point.
fn coordinates(geometry: &dyn Geometry, side: Side, team: &dyn Team, which: Range<usize>) -> Vec<f64> {
    let (_, held) = points(geometry, side);
    let mine: Vec<f64> = held.chunks(geometry.dimension()).flat_map(|y| &y[which.clone()]).copied().collect();
    // Only replicated points can be swept.
    if geometry.sweeps() { mine } else { team.gather(&mine) }
}

/// out[i·d + k] = Σ_j P_ij ∂c(x_i, y_j)/∂x_ik for the points x of `side` and y of the other one, by moments of the plan
/// for the squared distance, else entry by entry in plain arithmetic. Every cost of points is symmetric, so that both
/// sides are treated alike.
pub fn point_gradient(
    passes: &mut TeamPasses<'_>,
    side: Side,
    psi: &[f64],
    phi: &[f64],
    out: &mut [f64],
) -> Result<()> {
    let (data, team) = (&mut *passes.data, passes.team);
    let d = data.geometry.dimension();
    let Some(cost) = data.geometry.point_cost() else {
        return Err(Error::Usage("a cost given as a matrix has no gradient in points".into()));
    };
    let (n, m, other) = match side {
        Side::Source => (data.geometry.n(), data.geometry.m(), Side::Target),
        _ => (data.geometry.m(), data.geometry.n(), Side::Source),
    };
    let owned = data.geometry.owned(side, team);
    let mut mine = vec![0.0; owned.len() * d];
    if cost == PointCost::Squared {
        let plan = |data: &mut PassData, v: &[f64], width: usize| {
            let mut sums = vec![0.0; n * width];
            let mut passes = data.with(team);
            match side {
                Side::Source => passes.plan_rows(psi, phi, v, width, &mut sums)?,
                _ => passes.plan_cols(psi, phi, v, width, &mut sums)?,
            }
            Ok::<_, Error>(sums)
        };
        // Σ_j P_ij y_j, three coordinates at a time, with the mass beside them.
        let mut map = vec![0.0; n * d];
        for first in (0..d).step_by(3) {
            let width = (d - first).min(3);
            let y = coordinates(data.geometry.as_ref(), other, team, first..first + width);
            let part = plan(data, &y, width)?;
            for (row, part) in map.chunks_mut(d).zip(part.chunks(width)) {
                row[first..first + width].copy_from_slice(part);
            }
        }
        let mass = plan(data, &vec![1.0; m], 1)?;
        let (held, x) = points(data.geometry.as_ref(), side);
        for (out, i) in mine.chunks_mut(d).zip(owned) {
            let x = &x[(i - held.start) * d..(i - held.start + 1) * d];
            (0..d).for_each(|k| out[k] = 2.0 * (mass[i] * x[k] - map[i * d + k]));
        }
    } else {
        let y = coordinates(data.geometry.as_ref(), other, team, 0..d);
        let (rows, columns) = (log_mass(psi, &data.a), log_mass(phi, &data.b));
        let (s, h) = if side == Side::Source { (rows, columns) } else { (columns, rows) };
        let (held, x) = points(data.geometry.as_ref(), side);
        let epsilon = data.scale.epsilon;
        mine.par_chunks_mut(d).zip(owned.into_par_iter()).for_each(|(out, i)| {
            let x = &x[(i - held.start) * d..(i - held.start + 1) * d];
            let mut slope = vec![0.0; d];
            for j in 0..m {
                let c = cost_and_slope(cost, x, &y[j * d..(j + 1) * d], &mut slope);
                let p = exp(s[i] + h[j] - c / epsilon);
                out.iter_mut().zip(&slope).for_each(|(out, slope)| *out += p * slope);
            }
        });
    }
    out.copy_from_slice(&team.gather(&mine));
    Ok(())
}

/// c(x, y) and ∂c/∂x; the slope is 0 where there is none.
fn cost_and_slope(cost: PointCost, x: &[f64], y: &[f64], slope: &mut [f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    if cost == PointCost::Cosine {
        let (nx, ny) = (dot(x, x).sqrt(), dot(y, y).sqrt());
        let cosine = dot(x, y) / (nx * ny);
        for ((slope, x), y) in slope.iter_mut().zip(x).zip(y) {
            *slope = (cosine * x / nx - y / ny) / nx;
        }
        return 1.0 - cosine;
    }
    for ((slope, x), y) in slope.iter_mut().zip(x).zip(y) {
        *slope = match cost {
            PointCost::SquaredTorus(period) => (x - y) - period * ((x - y) / period).round(),
            _ => x - y,
        };
    }
    let square = dot(slope, slope);
    // c = s^{p/2} with s = |x − y|²; ∂c = p s^{p/2 − 1} (x − y).
    let (value, factor) = match cost {
        PointCost::Squared | PointCost::SquaredTorus(_) => (square, 2.0),
        _ if square == 0.0 => (0.0, 0.0),
        PointCost::Euclidean => (square.sqrt(), 1.0 / square.sqrt()),
        PointCost::Power(p) => {
            let value = pow(square, 0.5 * p);
            (value, p * value / square)
        }
        PointCost::Cosine => unreachable!("treated above"),
    };
    slope.iter_mut().for_each(|s| *s *= factor);
    value
}

fn log_mass(potential: &[f64], weight: &[f64]) -> Vec<f64> {
    potential.iter().zip(weight).map(|(p, w)| p + ln(*w)).collect()
}

/// The `count` largest entries of the plan, in decreasing order of mass (ties by row, then column), as
/// (row, column, mass); the same on every rank. One pass over the cost in plain arithmetic.
pub fn largest_entries(
    pair: &mut PassData,
    team: &dyn Team,
    psi: &[f64],
    phi: &[f64],
    count: usize,
) -> Vec<(u64, u64, f64)> {
    let epsilon = pair.scale.epsilon;
    let (s, h) = (log_mass(psi, &pair.a), log_mass(phi, &pair.b));
    let owned = pair.geometry.owned(Side::Source, team);
    let mut best: Vec<(f64, u64, u64)> = Vec::new();
    let scale = Scale { epsilon, precision: Precision::F64 };
    pair.geometry.blocks(Side::Source, scale, team, &mut |block| {
        let found = owned
            .clone()
            .into_par_iter()
            .fold(
                || Largest::new(count),
                |mut largest, i| {
                    for j in block.columns.clone() {
                        let cost = block.rows.cost(i - block.base, j - block.columns.start);
                        largest.offer((s[i] + h[j] - cost / epsilon, i as u64, j as u64));
                    }
                    largest
                },
            )
            .map(Largest::sorted)
            .reduce(Vec::new, |a, b| merged(a, b, count));
        best = merged(std::mem::take(&mut best), found, count);
    });
    let flat: Vec<[u64; 3]> = best.iter().map(|&(z, i, j)| [z.to_bits(), i, j]).collect();
    let mut all: Vec<(f64, u64, u64)> =
        team.gather(&flat).into_iter().map(|[z, i, j]| (f64::from_bits(z), i, j)).collect();
    all.sort_by(order);
    all.truncate(count);
    all.into_iter().map(|(z, i, j)| (i, j, exp(z))).collect()
}
