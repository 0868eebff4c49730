//! The [`Collectives`] of a [`Team`].

use std::ops::Range;

use super::chain::LANES;
use super::collectives::{Blocks, Collectives};
use crate::math::draws::Draws;
use crate::math::sum::complete_subtrees;
use crate::particles::layout::Layout;
use crate::particles::{Carried, Pool, Scheme, Values};
use crate::team::{Partition, Team};

pub struct Ranks<'t>(pub &'t dyn Team);

/// The vector of a complete subtree of blocks, halves on threads of their own.
fn subtree(start: usize, height: u32, length: usize, term: &(dyn Fn(usize, &mut [f64]) + Sync)) -> Vec<f64> {
    if height == 0 {
        let mut sum = vec![0.0; length];
        term(start, &mut sum);
        return sum;
    }
    let half = 1 << (height - 1);
    let (mut left, right) =
        rayon::join(|| subtree(start, height - 1, length, term), || subtree(start + half, height - 1, length, term));
    left.iter_mut().zip(right).for_each(|(l, r)| *l += r);
    left
}

/// Puts the roots of complete subtrees together, as [`crate::math::sum::Tree`] does.
struct Forest {
    items: usize,
    waiting: Vec<Option<Vec<f64>>>,
}

impl Forest {
    fn push(&mut self, mut height: u32, mut root: Vec<f64>) {
        self.items += 1 << height;
        self.waiting.resize(self.waiting.len().max(height as usize + 1), None);
        while let Some(mut left) = self.waiting[height as usize].take() {
            left.iter_mut().zip(&root).for_each(|(l, r)| *l += r);
            root = left;
            height += 1;
            self.waiting.resize(self.waiting.len().max(height as usize + 1), None);
        }
        self.waiting[height as usize] = Some(root);
    }

    fn root(self, length: usize) -> Vec<f64> {
        let mut waiting = self.waiting.into_iter().flatten();
        let Some(mut sum) = waiting.next() else { return vec![0.0; length] };
        for mut left in waiting {
            left.iter_mut().zip(&sum).for_each(|(l, r)| *l += r);
            sum = left;
        }
        sum
    }
}

impl Ranks<'_> {
    /// The paths' integer weights, in the engine of particles.
    fn pool(&self, total: usize, log_weights: &[f64], (at, number): (Draws, u64)) -> Pool {
        let layout = Layout::in_grains(1, total * LANES, LANES, self.0.rank(), self.0.size());
        Pool::new(layout, log_weights, at, number, self.0)
    }

    /// Sends each drawn path to the owners of its rows, once per owner, and gives what came here to `place(row, values)`.
    fn deliver(
        &self,
        population: &Blocks,
        drawn: &[Range<usize>],
        owners: &[Range<usize>],
        mut place: impl FnMut(usize, &[f64]),
    ) {
        let (ranks, used) = (self.0.size(), population.values);
        let mut headers = vec![Vec::<u64>::new(); ranks];
        let mut values = vec![Vec::<f64>::new(); ranks];
        let mut to = 0;
        for (path, slots) in drawn.iter().enumerate() {
            let mut from = slots.start;
            while from < slots.end {
                while owners[to].end <= from {
                    to += 1;
                }
                let end = slots.end.min(owners[to].end);
                headers[to].extend([from as u64, (end - from) as u64]);
                values[to].extend((0..used).map(|v| population.data[population.place(path, v)]));
                from = end;
            }
        }
        let headers = self.0.exchange(&headers);
        let counts: Vec<usize> = headers.iter().map(|h| h.len() / 2 * used).collect();
        let values = self.0.exchange_counted(&values, &counts);
        for (headers, values) in headers.iter().zip(&values) {
            for (header, values) in headers.chunks_exact(2).zip(values.chunks_exact(used.max(1))) {
                for slot in header[0]..header[0] + header[1] {
                    place(slot as usize, values);
                }
            }
        }
    }

    fn part(&self, n: usize) -> Partition {
        self.0.split(n)
    }
}

impl Collectives for Ranks<'_> {
    fn mine(&self, total: usize) -> Range<usize> {
        self.part(total).mine()
    }

    fn sum(&self, total: usize, length: usize, term: &(dyn Fn(usize, &mut [f64]) + Sync)) -> Vec<f64> {
        let part = self.part(total);
        let mine: Vec<f64> =
            complete_subtrees(part.mine()).flat_map(|(start, height)| subtree(start, height, length, term)).collect();
        let mut all = &self.0.gather(&mine)[..];
        let mut forest = Forest { items: 0, waiting: Vec::new() };
        for (_, height) in part.ranges().flat_map(complete_subtrees) {
            let (root, rest) = all.split_at(length);
            forest.push(height, root.to_vec());
            all = rest;
        }
        forest.root(length)
    }

    fn max(&self, mine: f64) -> f64 {
        self.0.max(mine)
    }

    fn gather(&self, mine: &[f64]) -> Vec<f64> {
        self.0.gather(mine)
    }

    fn any(&self, mine: bool) -> bool {
        self.0.any(mine)
    }

    fn resample(
        &self,
        total: usize,
        log_weights: &[f64],
        decision: (Draws, u64),
        used: usize,
        population: &mut Blocks,
    ) {
        let values = population.values;
        let data = Values::F64(&mut population.data);
        let mut carried = Carried { data, lanes: LANES, values, used, eves: None, ancestors: None };
        self.pool(total, log_weights, decision).resample(Scheme::Systematic, &mut carried, self.0);
    }

    fn draw(
        &self,
        total: usize,
        log_weights: &[f64],
        decision: (Draws, u64),
        population: &Blocks,
        slots: Range<usize>,
        rows: usize,
        out: &mut [f64],
    ) {
        let drawn: Vec<Range<usize>> = self
            .pool(total, log_weights, decision)
            .draws(slots.len())
            .into_iter()
            .map(|r| r.start + slots.start..r.end + slots.start)
            .collect();
        let owners: Vec<Range<usize>> = self.part(rows).ranges().collect();
        let first = owners[self.0.rank()].start;
        let width = population.values;
        self.deliver(population, &drawn, &owners, |row, values| {
            out[(row - first) * width..(row - first + 1) * width].copy_from_slice(values);
        });
    }

    fn rows(&self, rows: usize) -> Range<usize> {
        self.part(rows).mine()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::Stream;
    use crate::math::simd::Level;
    use crate::team::{Solo, threads};

    fn at() -> Draws {
        Draws::new(Level::detect(), 5, Stream::PathsResample, 7)
    }

    #[test]
    fn sums_over_blocks_and_resampled_paths_have_the_same_bits_on_1_to_5_ranks() {
        let total = 13;
        let one = |team: &dyn Team| -> (Vec<u64>, Vec<u64>) {
            let ranks = Ranks(team);
            let mine = ranks.mine(total);
            let term = |b: usize, out: &mut [f64]| {
                out[0] += 1.0 / (3.0 + b as f64);
                out[1] += (b as f64).sqrt() * 1e-7;
            };
            let sum = ranks.sum(total, 2, &term);
            let mut population = Blocks::zeros(mine.len(), 3);
            let mut weights = Vec::new();
            for path in 0..mine.len() * LANES {
                let global = mine.start * LANES + path;
                for v in 0..3 {
                    let at = population.place(path, v);
                    population.data[at] = (3 * global + v) as f64;
                }
                weights.push(-((global * 7919 % 1009) as f64) / 300.0);
            }
            ranks.resample(total, &weights, (at(), 3), 3, &mut population);
            let all = team.gather(&population.data);
            (sum.iter().map(|x| x.to_bits()).collect(), all.iter().map(|x| x.to_bits()).collect())
        };
        let alone = one(&Solo);
        for ranks in 2..=5 {
            for other in threads::run(ranks, |team| one(team)) {
                assert_eq!(other, alone, "{ranks} ranks");
            }
        }
    }

    #[test]
    fn offspring_of_a_path_differ_from_n_times_its_weight_by_less_than_1() {
        let team = Solo;
        let ranks = Ranks(&team);
        let paths = 2 * LANES;
        let weights: Vec<f64> = (0..paths).map(|i| if i == 5 { 0.0 } else { -1.0 - (i % 7) as f64 }).collect();
        let sum: f64 = weights.iter().map(|w| w.exp()).sum();
        let mut population = Blocks::zeros(2, 1);
        population.data.iter_mut().enumerate().for_each(|(i, x)| *x = i as f64);
        ranks.resample(2, &weights, (at(), 0), 1, &mut population);
        let mut copies = vec![0.0; paths];
        population.data.iter().for_each(|i| copies[*i as usize] += 1.0);
        let drawn = ranks.pool(2, &weights, (at(), 1)).draws(50);
        let mut next = 0;
        for (i, w) in weights.iter().enumerate() {
            let share = w.exp() / sum;
            assert!((copies[i] - paths as f64 * share).abs() < 1.0, "{i}: {} copies, share {share}", copies[i]);
            assert!((drawn[i].len() as f64 - 50.0 * share).abs() < 1.0, "{i}: {:?}, share {share}", drawn[i]);
            // Survivors keep their slots.
            assert!(copies[i] == 0.0 || population.data[i] == i as f64);
            assert_eq!(drawn[i].start, next);
            next = drawn[i].end;
        }
        assert_eq!(next, 50);
    }
}
