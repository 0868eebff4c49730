//! The [`Crew`] of a [`Team`].

use std::ops::Range;

use super::chain::LANES;
use super::crew::{Blocks, Crew};
use crate::math::elementary::exp;
use crate::math::sum::complete_subtrees;
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

/// Integer weights of this rank's paths and their place among all: resampling decisions are exact integers, so that
/// they do not depend on who adds what.
struct Weights {
    integers: Vec<u64>,
    /// Sum of the weights of the ranks before, and of all.
    base: u128,
    all: u128,
}

impl Ranks<'_> {
    fn weights(&self, paths: usize, log_weights: &[f64]) -> Weights {
        let largest = self.max(log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        // The sums, and products of sums with the number of paths, stay below 2^127.
        let bits = 52.min(126 - 2 * (paths.max(2).next_power_of_two().trailing_zeros() as i32));
        let scale = (1u64 << bits) as f64;
        let integer = |w: &f64| if *w == f64::NEG_INFINITY { 0 } else { (exp(w - largest) * scale).round() as u64 };
        let integers: Vec<u64> = log_weights.iter().map(integer).collect();
        let mine: u128 = integers.iter().map(|q| u128::from(*q)).sum();
        let all = self.0.gather(&[mine as u64, (mine >> 64) as u64]);
        let sums: Vec<u128> = all.chunks_exact(2).map(|w| u128::from(w[0]) | u128::from(w[1]) << 64).collect();
        Weights { integers, base: sums[..self.0.rank()].iter().sum(), all: sums.iter().sum() }
    }

    /// For each path of this rank the slots 0..m that it fills, in order.
    fn offspring(&self, weights: &Weights, m: usize, bits: &dyn Fn(u64) -> u128) -> Vec<Range<usize>> {
        let (all, m) = (weights.all, m as u128);
        assert!(all > 0, "some path has weight");
        // Uniform on 0..all without bias: the largest multiple of `all` within the words' range is accepted.
        let limit = u128::MAX - u128::MAX % all;
        let u = (0..).map(bits).find(|w| *w < limit).expect("a word within the limit") % all;
        // Slot k is filled by the path whose interval of cumulative weights holds (u + k all)/m.
        let before = |c: u128| if m * c <= u { 0 } else { ((m * c - u - 1) / all + 1) as usize };
        let mut cumulative = weights.base;
        let mut from = before(cumulative);
        let range = |q: &u64| {
            cumulative += u128::from(*q);
            let to = before(cumulative);
            let range = from..to;
            from = to;
            range
        };
        weights.integers.iter().map(range).collect()
    }

    /// Sends the first `used` values of each path to the owners of its slots, once per owner, and gives what came here to
    /// `place(slot, values)`.
    fn deliver(
        &self,
        population: &Blocks,
        used: usize,
        offspring: &[Range<usize>],
        owners: &[Range<usize>],
        mut place: impl FnMut(usize, &[f64]),
    ) {
        let ranks = self.0.size();
        let mut headers = vec![Vec::<u64>::new(); ranks];
        let mut values = vec![Vec::<f64>::new(); ranks];
        let mut to = 0;
        for (path, slots) in offspring.iter().enumerate() {
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

impl Crew for Ranks<'_> {
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

    fn any(&self, mine: bool) -> bool {
        self.0.any(mine)
    }

    fn resample(
        &self,
        total: usize,
        log_weights: &[f64],
        bits: &dyn Fn(u64) -> u128,
        used: usize,
        population: &mut Blocks,
    ) {
        let paths = total * LANES;
        let weights = self.weights(paths, log_weights);
        let offspring = self.offspring(&weights, paths, bits);
        let owners: Vec<Range<usize>> = self.part(total).ranges().map(|b| b.start * LANES..b.end * LANES).collect();
        let first = owners[self.0.rank()].start;
        let mut next = Blocks { values: population.values, data: population.data.clone() };
        self.deliver(population, used, &offspring, &owners, |slot, values| {
            for (v, value) in values.iter().enumerate() {
                let at = next.place(slot - first, v);
                next.data[at] = *value;
            }
        });
        *population = next;
    }

    fn draw(
        &self,
        total: usize,
        log_weights: &[f64],
        bits: &dyn Fn(u64) -> u128,
        population: &Blocks,
        slots: Range<usize>,
        rows: usize,
        out: &mut [f64],
    ) {
        let weights = self.weights(total * LANES, log_weights);
        let offspring: Vec<Range<usize>> = self
            .offspring(&weights, slots.len(), bits)
            .into_iter()
            .map(|r| r.start + slots.start..r.end + slots.start)
            .collect();
        let owners: Vec<Range<usize>> = self.part(rows).ranges().collect();
        let first = owners[self.0.rank()].start;
        let width = population.values;
        self.deliver(population, width, &offspring, &owners, |row, values| {
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
    use crate::team::{Solo, threads};

    #[test]
    fn sums_over_blocks_and_resampled_paths_have_the_same_bits_on_1_to_5_ranks() {
        let total = 13;
        let one = |team: &dyn Team| -> (Vec<u64>, Vec<u64>) {
            let crew = Ranks(team);
            let mine = crew.mine(total);
            let term = |b: usize, out: &mut [f64]| {
                out[0] += 1.0 / (3.0 + b as f64);
                out[1] += (b as f64).sqrt() * 1e-7;
            };
            let sum = crew.sum(total, 2, &term);
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
            crew.resample(total, &weights, &|_| 0x1234_5678_9abc_def0_1357_9bdf_0246_8ace, 3, &mut population);
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
        let crew = Ranks(&team);
        let paths = 2 * LANES;
        let weights: Vec<f64> = (0..paths).map(|i| if i == 5 { 0.0 } else { -1.0 - (i % 7) as f64 }).collect();
        let sum: f64 = weights.iter().map(|w| w.exp()).sum();
        let integers = crew.weights(paths, &weights);
        let mut counted = 0;
        for (range, w) in crew.offspring(&integers, paths, &|_| u128::MAX / 3).iter().zip(&weights) {
            let expected = paths as f64 * w.exp() / sum;
            assert!((range.len() as f64 - expected).abs() < 1.0, "{range:?}, expected {expected}");
            counted += range.len();
        }
        assert_eq!(counted, paths);
    }
}
