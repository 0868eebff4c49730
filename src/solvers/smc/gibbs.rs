//! Particle Gibbs [AndrieuDoucetHolenstein2010] as a [`Solver`]: one step draws a new trajectory of every chain from
//! conditional sequential Monte Carlo about its last one. Each island of the engine is a chain.

use std::path::Path;

use super::setup::FilterPosed;
use super::smoothing::{SmoothedNames, together};
use crate::error::Result;
use crate::input::Input;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::conditional::{self, Reference};
use crate::particles::estimate::Estimated;
use crate::particles::lineage::Moments;
use crate::particles::{Draws, Options, Scheme};
use crate::solvers::{ErrorBar, Number, Outcome, Solver, Status};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::Team;

pub struct Gibbs {
    posed: FilterPosed,
    options: Options,
    rank: usize,
    iteration: u64,
    /// Chain × time × coordinate; empty before the first draw.
    trajectories: Vec<f64>,
    /// Sums over the draws after the warm-up of x and of its square: chain × time × coordinate.
    sums: Vec<f64>,
    squares: Vec<f64>,
    /// Of each time: states of a chain that a draw changed, after the warm-up.
    changed: Vec<f64>,
    /// Share of states that the last draw changed.
    updated: f64,
    /// Every thin-th trajectories of all chains, one after the other.
    kept: Vec<f64>,
    smoothed: SmoothedNames,
    names: Vec<Name>,
    found: Vec<Vec<[Estimated; 2]>>,
}

const fn plain(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

impl Gibbs {
    pub fn new(input: &Input, posed: FilterPosed, level: Level, team: &dyn Team) -> Gibbs {
        let method = &posed.method;
        let options = Options {
            particles: method.particles,
            islands: method.islands,
            scheme: Scheme::Multinomial,
            threshold: method.ess_threshold,
            seed: input.run.seed,
            level,
            ancestors: true,
            eves: false,
        };
        let coordinates = posed.model.coordinates();
        let one = |c: &String| {
            Name::kept(
                &format!("trajectories_{c}"),
                "1",
                &format!("drawn trajectories of {c}"),
                &["chain", "draw", "time"],
            )
        };
        let names = coordinates.iter().map(one).collect();
        let (times, d) = (posed.flow.horizon(), posed.flow.dimension());
        let zeros = vec![0.0; method.islands * times * d];
        Gibbs {
            smoothed: SmoothedNames::new(&coordinates),
            posed,
            options,
            rank: team.rank(),
            iteration: 0,
            trajectories: Vec::new(),
            sums: zeros.clone(),
            squares: zeros,
            changed: vec![0.0; times],
            updated: f64::NAN,
            kept: Vec::new(),
            names,
            found: Vec::new(),
        }
    }

    /// Draws after the warm-up.
    fn draws(&self) -> u64 {
        self.iteration.saturating_sub(self.posed.method.warm_up)
    }

    fn note(&mut self, new: &[f64]) {
        let (times, d) = (self.posed.flow.horizon(), self.posed.flow.dimension());
        let warm = self.iteration >= self.posed.method.warm_up;
        let mut count = 0.0;
        for (k, (new, old)) in new.chunks(d).zip(self.trajectories.chunks(d)).enumerate() {
            let one = f64::from(u8::from(new != old));
            count += one;
            self.changed[k % times] += if warm { one } else { 0.0 };
        }
        self.updated = count / (self.options.islands * times) as f64;
        if !warm {
            return;
        }
        for (x, (sum, square)) in new.iter().zip(self.sums.iter_mut().zip(&mut self.squares)) {
            *sum += x;
            *square += x * x;
        }
        if (self.draws() + 1).is_multiple_of(self.posed.method.thin) {
            self.kept.extend(new);
        }
    }

    /// Means and variances of each time over the draws, by chain, and over all chains.
    fn moments(&self) -> Vec<Vec<[Estimated; 2]>> {
        let (times, d, chains) = (self.posed.flow.horizon(), self.posed.flow.dimension(), self.options.islands);
        let n = self.draws() as f64;
        let of = |t: usize| {
            let at = |list: &[f64], c: usize| -> Vec<f64> {
                (0..chains).map(|r| list[(r * times + t) * d + c] / n).collect()
            };
            let means: Vec<Vec<f64>> = (0..d).map(|c| at(&self.sums, c)).collect();
            let variance = |c: usize| -> Vec<f64> {
                at(&self.squares, c).iter().zip(&means[c]).map(|(s, m)| (s - m * m).max(0.0)).collect()
            };
            let variances = (0..d).map(variance).collect();
            together(&Moments { means, variances }, &vec![1.0 / chains as f64; chains])
        };
        (0..times).map(of).collect()
    }
}

impl Solver for Gibbs {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        let flow = self.posed.flow.as_ref();
        let (times, dimension) = (flow.horizon(), flow.dimension());
        let sampling = self.posed.method.ancestor_sampling;
        // A seed of this iteration; its chains are told apart by their addresses.
        let at = Draws::new(self.options.level, self.options.seed, Stream::ParticlesReference, 1);
        let options = |number: u64| Options { seed: at.bits(0, number) as u64, ..self.options.clone() };
        if self.trajectories.is_empty() {
            self.trajectories = conditional::trajectories(flow, &options(0), None, false, team)?.states;
        }
        let options = options(1 + self.iteration);
        let reference = Reference { states: self.trajectories.clone(), times, dimension };
        let new = conditional::trajectories(flow, &options, Some(reference), sampling, team)?.states;
        self.note(&new);
        self.trajectories = new;
        self.iteration += 1;
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        self.iteration >= self.posed.method.iterations + self.posed.method.warm_up
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&plain("iteration", "trajectories drawn by each chain"), (&mut self.iteration).into())?;
        walk.scalar(&plain("updated", "share of states that the last draw changed"), (&mut self.updated).into())?;
        let list = |name, meaning| Name { axes: &["entry"], ..plain(name, meaning) };
        walk.replicated(&list("trajectories", "chain × time × coordinate"), &mut self.trajectories)?;
        let list = |name, meaning| Name { axes: &["moment"], ..plain(name, meaning) };
        walk.replicated(&list("sums", "of the states after the warm-up: chain × time × coordinate"), &mut self.sums)?;
        walk.replicated(&list("squares", "of their squares"), &mut self.squares)?;
        let list = |name, meaning, axes| Name { axes, ..plain(name, meaning) };
        walk.replicated(&list("changed", "states changed after the warm-up, by time", &["time"]), &mut self.changed)?;
        let name = list("kept", "thinned trajectories: draw × chain × time × coordinate", &["kept_entry"]);
        walk.replicated(&name, &mut self.kept)
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let warming = f64::from(u8::from(self.iteration <= self.posed.method.warm_up));
        vec![
            (plain("warming_up", "1 during the warm-up"), warming),
            (plain("updated", "share of states that the last draw changed"), self.updated),
        ]
    }

    fn finish(&mut self, _team: &dyn Team) -> Result<()> {
        if self.draws() > 0 {
            self.found = self.moments();
        }
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let time = Name { axes: &["time"], ..plain("time", "time of the observation") };
        walk.replicated(&time, &mut self.posed.data.times.clone())?;
        self.smoothed.walk(&self.found, walk)?;
        let trials = self.draws() as f64 * self.options.islands as f64;
        let mut rate: Vec<f64> = self.changed.iter().map(|c| c / trials).collect();
        let name =
            Name { axes: &["time"], ..plain("update_rate", "share of draws that changed the state of this time") };
        walk.replicated(&name, &mut rate)?;
        let (times, d, chains) = (self.changed.len(), self.names.len(), self.options.islands);
        let draws = self.kept.len() / (chains * times * d);
        if draws == 0 {
            return Ok(());
        }
        for (c, name) in self.names.iter().enumerate() {
            // Every rank has them; rank 0 writes.
            let rows = if self.rank == 0 { 0..chains } else { 0..0 };
            let mut values = Vec::with_capacity(rows.len() * draws * times);
            for r in rows.clone() {
                for k in 0..draws {
                    values.extend((0..times).map(|t| self.kept[((k * chains + r) * times + t) * d + c]));
                }
            }
            walk.given(name, &[chains, draws, times], &Hyperslab::rows(rows, &[draws, times]), &values)?;
        }
        Ok(())
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.options.level.name().to_string())]
    }

    fn report(&self) -> Vec<Number> {
        let trials = (self.draws() as f64 * self.options.islands as f64).max(1.0);
        let least = self.changed.iter().copied().fold(f64::INFINITY, f64::min) / trials;
        let meaning = "smallest share over times of draws that changed the state; near 0: more particles";
        vec![
            Number { name: "smallest_update", unit: "1", meaning, value: least, error: ErrorBar::None },
            Number {
                name: "draws",
                unit: "1",
                meaning: "trajectories of each chain after the warm-up",
                value: self.draws() as f64,
                error: ErrorBar::None,
            },
        ]
    }

    fn work(&self) -> (f64, &'static str) {
        let particles = (self.options.islands * self.options.particles * self.changed.len()) as f64;
        (particles * self.iteration as f64, "particle-steps")
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
