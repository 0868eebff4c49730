//! Fields from files: the final state of an earlier run, at any resolution; values at the grid points.

use std::ops::Range;

use num_complex::Complex;

use super::domain::{Axis, Basis, Block, Domain};
use super::walls::walked::own_axes;
use crate::error::{Error, Result};
use crate::io::read::Reader;
use crate::math::real::Real;

/// Where a run of consecutive coefficients of this rank lies along one axis: here, and in the file.
struct Run {
    here: Range<usize>,
    there: usize,
}

/// The coefficients `start..start + count` of `axis` that a file with `modes` coefficients on that axis holds too, as
/// runs that are consecutive in both.
fn runs(axis: &Axis, start: usize, count: usize, modes: usize) -> Vec<Run> {
    let mut theirs = axis.clone();
    theirs.sawtooth = false;
    theirs.highest = if axis.basis == Basis::Fourier { (modes - 1) / 2 } else { modes - 1 };
    let mut runs: Vec<Run> = Vec::new();
    for i in 0..count {
        let Some(there) = theirs.index(axis.number(start + i)) else { continue };
        match runs.last_mut() {
            Some(run) if run.here.end == i && run.there + run.here.len() == there => run.here.end += 1,
            _ => runs.push(Run { here: i..i + 1, there }),
        }
    }
    runs
}

/// The coefficients of one field in `block`, from `/state/<name>` of an earlier output; modes that it does not hold are
/// zero, modes that are not kept here are dropped (spectral interpolation). Each rank reads its own.
///
/// # Errors
/// The key below `problem.initial` and what is wrong: `file` where the dataset is missing or belongs to another box (other
/// axes, lengths, or complex fields for real), `member` where the earlier run has none or others.
pub fn coefficients<T: Real>(
    reader: &Reader,
    name: &str,
    member: Option<usize>,
    domain: &Domain,
    block: Block,
) -> std::result::Result<Vec<Complex<T>>, (&'static str, String)> {
    let path = format!("state/{name}");
    let of_file = |e: Error| ("file", e.to_string());
    let mut shape = reader.shape(&path).map_err(of_file)?;
    let mut labels = reader.axes(&path).map_err(of_file)?;
    if labels.first().is_some_and(|label| label == "member") {
        let members = shape.remove(0);
        labels.remove(0);
        if member.is_none_or(|m| m >= members) {
            let given = member.map_or("is missing".to_string(), |m| format!("is {m}"));
            return Err((
                "member",
                format!("{given}; the file holds members 0 to {} of an ensemble", members.saturating_sub(1)),
            ));
        }
    } else if member.is_some() {
        return Err(("member", "is given, but the file does not hold an ensemble".into()));
    }
    read(reader, &path, member, &shape, &labels, domain, block).map_err(of_file)
}

/// [`coefficients`] of a member or of the only run: `shape` and `labels` are without the axis of members.
fn read<T: Real>(
    reader: &Reader,
    path: &str,
    member: Option<usize>,
    shape: &[usize],
    labels: &[String],
    domain: &Domain,
    block: Block,
) -> Result<Vec<Complex<T>>> {
    let (d, own) = (domain.dimension, own_axes(domain));
    if shape.len() != d + 1 || shape[d] != 2 || shape.contains(&0) {
        let message = format!("{path} has shape {shape:?}; {d} axes of coefficients and 2 parts are needed");
        return Err(Error::Usage(message));
    }
    if labels.iter().take(d).any(String::is_empty) {
        return Err(Error::Usage(format!("{path} has no names of axes; the output.h5 of a finished run has")));
    }
    for (label, &a) in labels.iter().zip(&own) {
        same_axis(reader, label, &domain.axes[a])?;
    }
    let along: Vec<Vec<Run>> = (0..3)
        .map(|a| {
            let modes = own.iter().position(|&o| o == a).map_or(1, |at| shape[at]);
            runs(&domain.axes[a], block.start[a], block.count[a], modes)
        })
        .collect();
    let zero = Complex::new(T::zero(), T::zero());
    let mut out = vec![zero; block.len()];
    for x in &along[0] {
        for y in &along[1] {
            for z in &along[2] {
                let part = [x, y, z];
                let start: Vec<usize> =
                    member.into_iter().chain(own.iter().map(|&a| part[a].there)).chain([0]).collect();
                let of_axes = own.iter().map(|&a| part[a].here.len());
                let count: Vec<usize> = member.map(|_| 1).into_iter().chain(of_axes).chain([2]).collect();
                let values = reader.slab(path, &start, &count)?.values;
                let mut values = values.chunks_exact(2);
                for i in x.here.clone() {
                    for j in y.here.clone() {
                        let row = (i * block.count[1] + j) * block.count[2];
                        for k in z.here.clone() {
                            let pair = values.next().expect("two parts for each coefficient");
                            out[row + k] = Complex::new(T::of(pair[0]), T::of(pair[1]));
                        }
                    }
                }
            }
        }
    }
    Ok(out)
}

/// Refuses coefficients along an axis of a file that stand for other functions than those of `axis`.
fn same_axis(reader: &Reader, label: &str, axis: &Axis) -> Result<()> {
    let differs = |theirs: String, ours: String| {
        Err(Error::Usage(format!("is of another box: along {} {theirs}; here {ours}", axis.name)))
    };
    let (bounded, periodic) = ("it lies between walls".to_string(), "it is periodic".to_string());
    let points = format!("fields/{}", axis.name);
    let points = if reader.has(&points) { reader.array(&points)?.values } else { Vec::new() };
    match (label.starts_with("degree_"), axis.basis == Basis::Chebyshev) {
        (true, false) => return differs(bounded, periodic),
        (false, true) => return differs(periodic, bounded),
        (true, true) => {
            // Of the walls a file tells where it holds values between them: the n Chebyshev points are symmetric about the
            // middle, and the first and the last lie cos(π/2n) of the height apart.
            if let [first, .., last] = points[..] {
                let (middle, here) = (0.5 * (first + last), axis.low + 0.5 * axis.length);
                if (middle - here).abs() > 1e-6 * axis.length {
                    return differs(format!("the middle is at {middle:.6}"), format!("at {here:.6}"));
                }
                let height = (last - first).abs() / libm::cos(0.5 * std::f64::consts::PI / points.len() as f64);
                if (height / axis.length - 1.0).abs() > 1e-6 {
                    return differs(format!("the length is {height:.6}"), format!("it is {:.6}", axis.length));
                }
            }
            return Ok(());
        }
        (false, false) => {}
    }
    let wavenumbers = reader.array(&format!("state/{label}"))?.values;
    let Some(lowest) = wavenumbers.iter().copied().filter(|k| *k > 0.0).reduce(f64::min) else { return Ok(()) };
    let half = !wavenumbers.iter().any(|k| *k < 0.0);
    match (half, axis.basis == Basis::HalfFourier) {
        (true, false) => return differs("the fields are real".into(), "they are complex".into()),
        (false, true) => return differs("the fields are complex".into(), "they are real".into()),
        _ => {}
    }
    let length = std::f64::consts::TAU / lowest;
    if (length / axis.length - 1.0).abs() > 1e-6 {
        return differs(format!("the length is {length:.6}"), format!("it is {:.6}", axis.length));
    }
    match points.first() {
        Some(low) if (low - axis.low).abs() > 1e-6 * axis.length => {
            differs(format!("the origin is {low:.6}"), format!("it is {:.6}", axis.low))
        }
        _ => Ok(()),
    }
}

/// Values at the points `block`, from a dataset of the shape of the whole grid (of complex fields with a last axis of two,
/// real and imaginary part). Each rank reads its own.
///
/// # Errors
/// The file, where the dataset is missing, has another shape or a value that is not finite.
pub fn values<T: Real>(reader: &Reader, path: &str, domain: &Domain, block: Block) -> Result<Vec<T>> {
    let (shape, own, points) = (reader.shape(path)?, own_axes(domain), domain.points());
    let pair = domain.complex.then_some(2);
    let expected: Vec<usize> = own.iter().map(|&a| points[a]).chain(pair).collect();
    if shape != expected {
        let of = if domain.complex { "the points and two parts" } else { "the points" };
        return Err(Error::Usage(format!("{path} has shape {shape:?}; {of} are {expected:?}")));
    }
    if block.is_empty() {
        return Ok(Vec::new());
    }
    let start: Vec<usize> = own.iter().map(|&a| block.start[a]).chain(pair.map(|_| 0)).collect();
    let count: Vec<usize> = own.iter().map(|&a| block.count[a]).chain(pair).collect();
    let values = reader.slab(path, &start, &count)?.values;
    match values.iter().find(|v| !v.is_finite()) {
        Some(bad) => Err(Error::Usage(format!("{path} holds {bad}: values must be finite"))),
        None => Ok(values.into_iter().map(T::of).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_modes_are_found_in_a_file_of_five_as_two_runs() {
        let axis = Axis { points: 8, highest: 3, basis: Basis::Fourier, ..Axis::trivial() };
        // Numbers 0 1 2 3 −3 −2 −1 here; 0 1 2 −2 −1 there.
        let found: Vec<_> = runs(&axis, 0, 7, 5).into_iter().map(|r| (r.here, r.there)).collect();
        assert_eq!(found, [(0..3, 0), (5..7, 3)]);
        let found: Vec<_> = runs(&axis, 2, 4, 11).into_iter().map(|r| (r.here, r.there)).collect();
        assert_eq!(found, [(0..2, 2), (2..4, 8)]);
    }
}
