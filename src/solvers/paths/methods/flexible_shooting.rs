//! Transition path sampling with paths of flexible length [Bolhuis2002]: from the last frame in A to the first in B.
//!
//! The law is that of the chain's own transitions: x_0 in A, x_1 … x_{L−1} in neither set, x_L in B,
//!
//!     Q(x) ∝ ρ(x_0) Π_{k<L} p(x_k → x_{k+1}),      ρ = e^{−2V/σ²},   L at most `problem.steps`
//!
//! A move takes one of the n = L − 1 frames between the ends, s, keeps the path on one side of it and draws the other side
//! anew until it meets A or B: forwards with p, or backwards with the time turned, y_k ~ p(y_{k+1} → ·). A forward shot
//! must end in B, a backward one in A; then
//!
//!     forward    α = 1 ∧ n_old/n_new
//!     backward   α = 1 ∧ n_old/n_new · R(y)/R(x),   R(x) = ρ(x_0) Π_{k<s} p(x_k → x_{k+1}) / p(x_{k+1} → x_k)
//!
//! n_old/n_new as a path of n frames is met by a given frame with probability 1/n; R as the Euler–Maruyama chain is not
//! reversible with respect to ρ. A rejected move repeats the old path. Walkers begin with a straight line from
//! `problem.start` to the middle of B; durations are means over the second half of the moves.
//!
//! Paths are written on the grid of the problem; after their end they stay where they ended.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shooting::{portions, serial};
use super::{Finding, Method, Unsettled, WalkerPopulation};
use crate::error::Result;
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES, Quadratic};
use crate::solvers::paths::collectives::Blocks;
use crate::solvers::paths::committor::Set;
use crate::solvers::paths::ensemble::{Context, Random, Sampled};
use crate::state::Walk;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: WalkerPopulation,
    /// Moves of each walker; the first half is not counted.
    #[serde(default = "many")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub moves: usize,
    /// The set that paths leave; `problem.start` lies in it.
    pub a: Set,
    /// The set that paths reach.
    pub b: Set,
}

fn many() -> usize {
    400
}

/// Pieces of the straight line that walkers begin with, at most.
const PIECES: usize = 500;

pub struct FlexibleShooting {
    sets: Sets,
    moves: usize,
    /// Frames of the first path: [frame][coordinate].
    first: Vec<f64>,
    /// h |∂b|: the largest one on the first path.
    coarseness: f64,
}

/// Above this coarseness the ratios of backward shots spread so far that walkers stay where they are for longer than any
/// run: with h |∂b| = 0.4 a mean duration was right to 0.4 %, with 0.8 off by 10 % after 400 moves, by 6 % after 12800.
const COARSE: f64 = 0.5;

#[derive(Clone)]
struct Sets {
    a: Set,
    b: Set,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    A,
    B,
}

impl Sets {
    fn meets(&self, x: &[f64]) -> Option<End> {
        match (self.a.holds(x), self.b.holds(x)) {
            (true, _) => Some(End::A),
            (_, true) => Some(End::B),
            _ => None,
        }
    }
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<FlexibleShooting, Finding> {
        let d = chain.dimension;
        Set::check_pair(&self.a, &self.b, d)?;
        let wrong = |message: &str| Err(("name".to_string(), message.to_string()));
        if chain.prior.potential(&chain.start.mean).is_none() {
            return wrong(
                "paths of flexible length need a drift with a potential: their starts have its Boltzmann law",
            );
        }
        if !chain.steady_noise() {
            return wrong("paths of flexible length need noise that depends on neither state nor time");
        }
        let free = chain.quadratics.iter().flatten().all(|q| *q == Quadratic::default());
        if !free || chain.others.iter().any(|o| !o.is_empty()) {
            return wrong("the sets a and b end the paths: leave out observations, balls and running costs");
        }
        if chain.start.deviation.iter().any(|s| *s > 0.0) {
            return wrong("starts have the Boltzmann law in a: leave problem.start_deviation out");
        }
        if !self.a.holds(&chain.start.mean) {
            return Err(("a".into(), "must hold problem.start, where the first path begins".into()));
        }
        let sets = Sets { a: self.a.clone(), b: self.b.clone() };
        // From the last frame in a to the first in b of a straight line.
        let pieces = chain.steps.min(PIECES);
        let frame = |k: usize| -> Vec<f64> {
            let share = k as f64 / pieces as f64;
            let middle = |i: usize| 0.5 * (self.b.extent(i).0 + self.b.extent(i).1);
            (0..d).map(|i| chain.start.mean[i] + share * (middle(i) - chain.start.mean[i])).collect()
        };
        let to = (0..=pieces).find(|k| sets.meets(&frame(*k)) == Some(End::B)).unwrap_or(pieces);
        let from = (0..to).rev().find(|k| sets.meets(&frame(*k)) == Some(End::A)).unwrap_or(0);
        if to - from < 2 {
            return Err((
                "b".into(),
                format!("no frame lies between a and b on a line of {pieces}: raise problem.steps"),
            ));
        }
        let first: Vec<f64> = (from..=to).flat_map(frame).collect();
        let coarseness = first.chunks_exact(d).map(|x| coarseness(chain, x)).fold(0.0, f64::max);
        Ok(FlexibleShooting { sets, moves: self.moves, first, coarseness })
    }
}

/// The largest |h ∂b/∂x_i| at x, by central differences of x + h b.
fn coarseness(chain: &Chain, x: &[f64]) -> f64 {
    let mean = |i: usize, by: f64| {
        let mut rows: Vec<f64> = x.iter().flat_map(|x| [*x; LANES]).collect();
        rows[i * LANES..(i + 1) * LANES].iter_mut().for_each(|x| *x += by);
        let mut out = vec![0.0; rows.len()];
        chain.mean(1, &rows, &mut out);
        out
    };
    let along = |i: usize| {
        let by = 1e-5 * (1.0 + x[i].abs());
        let (above, below) = (mean(i, by), mean(i, -by));
        let slope = |k: usize| (above[k * LANES] - below[k * LANES]) / (2.0 * by) - if k == i { 1.0 } else { 0.0 };
        (0..x.len()).map(|k| slope(k).powi(2)).sum::<f64>().sqrt()
    };
    (0..x.len()).map(along).fold(0.0, f64::max)
}

/// What the moves of a block add up to.
#[derive(Clone, Copy, Default)]
struct Sums {
    accepted: f64,
    /// Σ L over the moves that count.
    lengths: f64,
    evaluations: f64,
}

/// One block of walkers.
struct Walkers<'a> {
    chain: &'a Chain,
    sets: &'a Sets,
    random: Random,
    block: usize,
    /// L of each path.
    length: [usize; LANES],
    /// Frames of the shot after s, [frame][coordinate][LANES]; and of one path.
    drawn: Vec<f64>,
    column: Vec<f64>,
    /// 1/(2S), S the variance of a step.
    half: f64,
}

impl Walkers<'_> {
    fn new<'a>(chain: &'a Chain, sets: &'a Sets, random: Random, block: usize, x: &[f64]) -> Walkers<'a> {
        let deviation = chain.deviation(1, 0).expect("noise that does not depend on the state");
        let mut walkers = Walkers {
            chain,
            sets,
            random,
            block,
            length: [0; LANES],
            drawn: vec![0.0; chain.block()],
            column: vec![0.0; (chain.steps + 1) * chain.dimension],
            half: 0.5 / (deviation * deviation),
        };
        for l in 0..LANES {
            let ended = |j: &usize| walkers.meets(&x[j * chain.rows()..], l).is_some();
            let length = (1..=chain.steps).find(ended).expect("a path ends in a or b");
            walkers.length[l] = length;
        }
        walkers
    }

    /// The set that lane `l` of the rows is in.
    fn meets(&self, rows: &[f64], l: usize) -> Option<End> {
        let mut x = [0.0; 64];
        let d = self.chain.dimension;
        (0..d).for_each(|i| x[i] = rows[i * LANES + l]);
        self.sets.meets(&x[..d])
    }

    /// One move of all walkers of the block, the `serial`-th of the replicate.
    fn step(&mut self, serial: u32, x: &mut [f64], sums: &mut Sums) {
        let (chain, rows) = (self.chain, self.chain.rows());
        let uniforms = |draw: u32| {
            let mut u = [0.0; LANES];
            self.random.uniforms(Stream::PathsAccept, serial, draw, self.block, &mut u);
            u
        };
        let (accept, frame, direction) = (uniforms(0), uniforms(1), uniforms(2));
        let backward = direction.map(|u| u < 0.5);
        // One of the frames 1 … L − 1.
        let frame: [usize; LANES] = std::array::from_fn(|l| {
            let n = self.length[l] - 1;
            1 + ((frame[l] * n as f64) as usize).min(n - 1)
        });
        // Frames that a shot may have: the path's others are kept.
        let room: [usize; LANES] =
            std::array::from_fn(|l| chain.steps - if backward[l] { self.length[l] - frame[l] } else { frame[l] });
        let mut now = vec![0.0; rows];
        for (k, x_now) in now.iter_mut().enumerate() {
            *x_now = x[frame[k % LANES] * rows + k];
        }
        let (mut mean, mut next, mut noise, mut after) = (now.clone(), now.clone(), now.clone(), now.clone());
        chain.mean(1, &now, &mut mean);
        let scale = (0.5 / self.half).sqrt();
        let mut ended: [Option<(usize, End)>; LANES] = [None; LANES];
        let mut log_ratio = [0.0; LANES];
        let mut active: [bool; LANES] = room.map(|r| r > 0);
        let mut k = 0;
        while active.contains(&true) {
            k += 1;
            self.random.rows(Stream::PathsPropose, serial, k * chain.dimension, self.block, &mut noise);
            for (next, (mean, noise)) in next.iter_mut().zip(mean.iter().zip(&noise)) {
                *next = mean + scale * noise;
            }
            chain.mean(1, &next, &mut after);
            for i in 0..rows {
                // log p(next → now) − log p(now → next).
                if active[i % LANES] && backward[i % LANES] {
                    let (forth, home) = (next[i] - mean[i], now[i] - after[i]);
                    log_ratio[i % LANES] += self.half * (forth * forth - home * home);
                }
            }
            self.drawn[(k - 1) * rows..k * rows].copy_from_slice(&next);
            for l in 0..LANES {
                if !active[l] {
                    continue;
                }
                sums.evaluations += 1.0;
                ended[l] = self.meets(&next, l).map(|end| (k, end));
                active[l] = ended[l].is_none() && k < room[l];
            }
            std::mem::swap(&mut now, &mut next);
            std::mem::swap(&mut mean, &mut after);
        }
        let wanted = backward.map(|back| if back { End::A } else { End::B });
        let new: [Option<usize>; LANES] =
            std::array::from_fn(|l| ended[l].filter(|(_, end)| *end == wanted[l]).map(|(k, _)| k));
        let turned =
            self.turned(x, &std::array::from_fn(|l| if backward[l] && new[l].is_some() { frame[l] } else { 0 }));
        for l in 0..LANES {
            let Some(k) = new[l] else { continue };
            let old = self.length[l];
            let length = k + if backward[l] { old - frame[l] } else { frame[l] };
            let mut ratio = ln((old - 1) as f64 / (length - 1) as f64);
            if backward[l] {
                sums.evaluations += frame[l] as f64;
                ratio +=
                    log_ratio[l] - turned[l] + self.log_start(&self.drawn[(k - 1) * rows..], l) - self.log_start(x, l);
            }
            if ln(accept[l]) < ratio {
                sums.accepted += 1.0;
                self.take(x, l, backward[l], frame[l], k);
            }
        }
    }

    /// Lane `l` takes its shot of `k` frames from `frame` on.
    fn take(&mut self, x: &mut [f64], l: usize, backward: bool, frame: usize, k: usize) {
        let (d, rows, old) = (self.chain.dimension, self.chain.rows(), self.length[l]);
        let length = k + if backward { old - frame } else { frame };
        for j in 0..=length {
            let (from, j_from) = match backward {
                true if j < k => (&self.drawn[..], k - 1 - j),
                true => (&x[..], frame + j - k),
                false if j <= frame => (&x[..], j),
                false => (&self.drawn[..], j - frame - 1),
            };
            for i in 0..d {
                self.column[j * d + i] = from[j_from * rows + i * LANES + l];
            }
        }
        for j in 0..=self.chain.steps {
            for i in 0..d {
                x[j * rows + i * LANES + l] = self.column[j.min(length) * d + i];
            }
        }
        self.length[l] = length;
    }

    /// log ρ of a frame.
    fn log_start(&self, rows: &[f64], l: usize) -> f64 {
        let d = self.chain.dimension;
        let mut x = [0.0; 64];
        (0..d).for_each(|i| x[i] = rows[i * LANES + l]);
        // 2/σ² = 4 h/(2S).
        -4.0 * self.half * self.chain.time_step * self.chain.prior.potential(&x[..d]).expect("a potential")
    }

    /// Σ_{k<s} log p(x_k → x_{k+1}) − log p(x_{k+1} → x_k) of each lane up to its frame s.
    fn turned(&self, x: &[f64], frame: &[usize; LANES]) -> [f64; LANES] {
        let (chain, rows) = (self.chain, self.chain.rows());
        let (mut log, mut there, mut back) = ([0.0; LANES], vec![0.0; rows], vec![0.0; rows]);
        let highest = frame.iter().copied().max().unwrap_or(0);
        if highest > 0 {
            chain.mean(1, &x[..rows], &mut there);
        }
        for j in 0..highest {
            let (now, next) = x[j * rows..(j + 2) * rows].split_at(rows);
            chain.mean(1, next, &mut back);
            for i in (0..rows).filter(|i| j < frame[i % LANES]) {
                let (forth, home) = (next[i] - there[i], now[i] - back[i]);
                log[i % LANES] += self.half * (home * home - forth * forth);
            }
            std::mem::swap(&mut there, &mut back);
        }
        log
    }
}

impl Method for FlexibleShooting {
    fn train(&mut self, _context: &Context, _round: u64) -> Result<bool> {
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let (chain, random) = (context.chain, context.random);
        let (d, mine, start) = (chain.dimension, context.mine().len(), context.mine().start);
        let mut paths = Blocks::zeros(mine, chain.block() / LANES);
        let mut log_weights = vec![0.0; mine * LANES];
        let last = self.first.len() / d - 1;
        context.for_blocks(&mut paths, &mut log_weights, |_, x, _| {
            for (k, row) in x.chunks_exact_mut(LANES).enumerate() {
                row.fill(self.first[(k / d).min(last) * d + k % d]);
            }
        });
        let mut sums = vec![Sums::default(); mine];
        for portion in portions(self.moves) {
            context.check()?;
            paths.data.par_chunks_mut(chain.block()).zip(&mut sums).enumerate().for_each(|(b, (x, sums))| {
                let mut walkers = Walkers::new(chain, &self.sets, random, start + b, x);
                for number in portion.clone() {
                    walkers.step(serial(replicate, number), x, sums);
                    if number >= self.moves / 2 {
                        sums.lengths += walkers.length.iter().sum::<usize>() as f64;
                    }
                }
            });
        }
        let all = context.ranks.sum(context.blocks, 3, &|b, out| {
            let s = sums[b - start];
            out.iter_mut().zip([s.accepted, s.lengths, s.evaluations]).for_each(|(out, s)| *out += s);
        });
        let walkers = context.paths() as f64;
        let counted = (self.moves - self.moves / 2) as f64;
        Ok(Sampled {
            paths,
            log_weights,
            log_evidence: 0.0,
            evaluations: all[2],
            acceptance: all[0] / (walkers * self.moves as f64),
            resamplings: 0.0,
            duration: chain.time_step * all[1] / (walkers * counted),
        })
    }

    fn state(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn unsettled(&self) -> Option<Unsettled> {
        (self.coarseness > COARSE).then(|| Unsettled {
            name: "coarseness",
            value: self.coarseness,
            meaning: "time step times the largest slope of the drift on the way from a to b",
            note: format!(
                "no errors: a step times the slope of the drift is {:.2}, above {COARSE}; the chain is then so far from \
                 reversible that walkers forget their first paths in no number of moves; take smaller steps",
                self.coarseness
            ),
        })
    }

    fn has_evidence(&self) -> bool {
        false
    }

    fn moves(&self) -> bool {
        true
    }

    fn has_durations(&self) -> bool {
        true
    }
}
