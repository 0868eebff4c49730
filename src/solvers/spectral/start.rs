//! The first state: from a file of an earlier run, at any resolution.

use std::ops::Range;

use num_complex::Complex;

use super::domain::{Axis, Block, Domain};
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
    theirs.highest = if axis.basis == super::domain::Basis::Fourier { (modes - 1) / 2 } else { modes - 1 };
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
/// The file, where the dataset is missing or has another number of axes.
pub fn coefficients<T: Real>(reader: &Reader, name: &str, domain: &Domain, block: Block) -> Result<Vec<Complex<T>>> {
    let path = format!("state/{name}");
    let shape = reader.shape(&path)?;
    let (d, own) = (domain.dimension, own_axes(domain));
    if shape.len() != d + 1 || shape[d] != 2 || shape.contains(&0) {
        let message = format!("{path} has shape {shape:?}; {d} axes of coefficients and 2 parts are needed");
        return Err(Error::Usage(message));
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
                let mut start: Vec<usize> = own.iter().map(|&a| part[a].there).collect();
                let mut count: Vec<usize> = own.iter().map(|&a| part[a].here.len()).collect();
                start.push(0);
                count.push(2);
                let values = reader.slab(&path, &start, &count)?.values;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::domain::Basis;

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
