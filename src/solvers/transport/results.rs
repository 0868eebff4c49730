//! Derived results that need the points: the barycentric map, the gradient in the points, the largest plan entries.

use rayon::prelude::*;

use super::distributed::PassData;
use super::geometry::{Scale, Side};
use super::passes::{Passes, Precision};
use crate::error::Result;
use crate::math::elementary::{exp, ln};
use crate::team::Team;

/// T(x_i) = Σ_j P_ij y_j / Σ_j P_ij, n×d, whole on every rank.
pub fn barycentric_map(pair: &mut PassData, team: &dyn Team, psi: &[f64], phi: &[f64]) -> Result<Vec<f64>> {
    let (n, m, d) = (pair.geometry.n(), pair.geometry.m(), pair.geometry.dimension());
    let mut map = vec![0.0; n * d];
    // Three coordinates and the mass at a time: O(n + m) memory in every layout.
    for first in (0..d).step_by(3) {
        let count = (d - first).min(3);
        let width = count + 1;
        let mut v = vec![1.0; m * width];
        for k in 0..count {
            let coordinate = target_coordinate(pair, team, first + k);
            v.iter_mut().skip(k).step_by(width).zip(coordinate).for_each(|(v, y)| *v = y);
        }
        let mut sums = vec![0.0; n * width];
        pair.with(team).plan_rows(psi, phi, &v, width, &mut sums)?;
        for (point, sums) in map.chunks_mut(d).zip(sums.chunks(width)) {
            (0..count).for_each(|k| point[first + k] = sums[k] / sums[count]);
        }
    }
    Ok(map)
}

fn target_coordinate(pair: &PassData, team: &dyn Team, k: usize) -> Vec<f64> {
    let d = pair.geometry.dimension();
    let (_, points) = pair.geometry.target_points();
    let held: Vec<f64> = points.iter().skip(k).step_by(d).copied().collect();
    // Only replicated points can be swept.
    if pair.geometry.sweeps() { held } else { team.gather(&held) }
}

/// The `count` largest entries of the plan, in decreasing order of mass (ties by row, then column), as
/// (rows, columns, mass); the same on every rank. One pass over the cost in plain arithmetic.
pub fn largest_entries(
    pair: &mut PassData,
    team: &dyn Team,
    psi: &[f64],
    phi: &[f64],
    count: usize,
) -> (Vec<u64>, Vec<u64>, Vec<f64>) {
    let epsilon = pair.scale.epsilon;
    let log_mass = |potential: &[f64], weight: &[f64]| -> Vec<f64> {
        potential.iter().zip(weight).map(|(p, w)| p + ln(*w)).collect()
    };
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
    (all.iter().map(|e| e.1).collect(), all.iter().map(|e| e.2).collect(), all.iter().map(|e| exp(e.0)).collect())
}

type Entry = (f64, u64, u64);

/// Decreasing mass, then increasing row and column: a total order, so that the result does not depend on who found it.
fn order(a: &Entry, b: &Entry) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
}

fn merged(mut a: Vec<Entry>, b: Vec<Entry>, count: usize) -> Vec<Entry> {
    a.extend(b);
    a.sort_by(order);
    a.truncate(count);
    a
}

/// Keeps the largest entries offered: a buffer of twice the count, cut down when full.
struct Largest {
    count: usize,
    held: Vec<Entry>,
    /// Nothing below this can be among the largest.
    threshold: f64,
}

impl Largest {
    fn new(count: usize) -> Self {
        Largest { count, held: Vec::new(), threshold: f64::NEG_INFINITY }
    }

    fn offer(&mut self, entry: Entry) {
        if entry.0 < self.threshold || self.count == 0 {
            return;
        }
        self.held.push(entry);
        if self.held.len() >= 2 * self.count + 1024 {
            self.held.select_nth_unstable_by(self.count - 1, order);
            self.held.truncate(self.count);
            self.threshold = self.held.iter().map(|e| e.0).fold(f64::INFINITY, f64::min);
        }
    }

    fn sorted(mut self) -> Vec<Entry> {
        self.held.sort_by(order);
        self.held.truncate(self.count);
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_100_000_offers_are_those_of_a_full_sort() {
        let entries: Vec<Entry> =
            (0..100_000u64).map(|k| ((k.wrapping_mul(2_654_435_761) % 9973) as f64, k / 300, k % 300)).collect();
        let mut sorted = entries.clone();
        sorted.sort_by(order);
        sorted.truncate(700);
        let mut largest = Largest::new(700);
        entries.iter().for_each(|&e| largest.offer(e));
        assert_eq!(largest.sorted(), sorted);
    }
}
