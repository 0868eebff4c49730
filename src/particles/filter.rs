//! The Feynman–Kac loop: move, weigh, decide, resample; islands side by side.

use super::conditional::Reference;
use super::estimate::{sums_from_words, sums_to_words};
use super::layout::Layout;
use super::migrate::{self, Traffic};
use super::model::{Draws, FeynmanKac, Tile, View};
use super::population::{Population, Precision, for_tiles, for_weights};
use super::scheme::{Scheme, Weighed};
use super::sorted;
use crate::error::{Error, Result};
use crate::math::elementary;
use crate::math::resampling::{self, Sums};
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::team::Team;

/// How particles are moved and resampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Particles of an island.
    pub particles: usize,
    /// Independent filters side by side.
    pub islands: usize,
    pub scheme: Scheme,
    /// Resample where the effective sample size is below this fraction of the particles; 1 or more: at every step.
    pub threshold: f64,
    pub seed: u64,
    pub level: Level,
    /// Keep each particle's ancestor of one step ago.
    pub ancestors: bool,
    /// Keep each particle's ancestor at the first step.
    pub eves: bool,
    /// In what states are kept.
    pub precision: Precision,
    /// Resample particles in the order of this coordinate (systematic resampling alone), not of their slots.
    pub sort: Option<usize>,
}

impl Options {
    /// Systematic resampling in the order of slots below half of the effective sample size, states in double precision, no
    /// ancestors kept.
    pub fn new(particles: usize, islands: usize, seed: u64, level: Level) -> Options {
        Options {
            particles,
            islands,
            scheme: Scheme::Systematic,
            threshold: 0.5,
            seed,
            level,
            ancestors: false,
            eves: false,
            precision: Precision::F64,
            sort: None,
        }
    }
}

/// One island after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Island {
    /// log Ẑ of all steps so far.
    pub log_evidence: f64,
    /// What it was when the weights were last set to one.
    pub settled: f64,
    /// Effective sample size of the present weights.
    pub ess: f64,
    /// Largest log-weight, and the exact sum of the integer weights below it.
    pub max: f64,
    pub sums: Sums,
    /// Whether this step began by resampling.
    pub resampled: bool,
    /// Whether the next one will.
    pub due: bool,
    /// All log-weights are zero, whatever is stored.
    pub fresh: bool,
}

impl Island {
    const START: Island = Island {
        log_evidence: 0.0,
        settled: 0.0,
        ess: 0.0,
        max: 0.0,
        sums: Sums { total: 0, top: 0, squares: 0 },
        resampled: false,
        due: false,
        fresh: true,
    };
}

/// The state of a run: populations of all islands, on this rank.
#[derive(Debug, Clone)]
pub struct Filter {
    pub options: Options,
    pub layout: Layout,
    pub population: Population,
    pub islands: Vec<Island>,
    /// The next step to make.
    pub step: usize,
    /// Of the last resampling.
    pub traffic: Traffic,
    /// What the last slot of each island follows, in conditional SMC.
    pub(super) reference: Option<Reference>,
    /// Exact sums of the integer weights by tile of this rank.
    tiles: Vec<Sums>,
    /// All weights of all islands were zero.
    extinct: bool,
}

/// A log-weight that is no number: where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fault {
    tile: usize,
    lane: usize,
    value: f64,
}

impl Filter {
    /// A run before its first step; every rank together.
    pub fn new(model: &dyn FeynmanKac, options: Options, team: &dyn Team) -> Filter {
        Filter::with_dimension(model.dimension(), options, team)
    }

    /// The same for particles of `dimension` coordinates.
    pub(super) fn with_dimension(dimension: usize, options: Options, team: &dyn Team) -> Filter {
        Filter::on(Layout::new(options.islands, options.particles, team), dimension, options)
    }

    pub(super) fn on(layout: Layout, dimension: usize, options: Options) -> Filter {
        let population =
            Population::new(dimension, options.level, options.precision, &layout, options.ancestors, options.eves);
        Filter {
            islands: vec![Island::START; options.islands],
            tiles: vec![Sums::default(); layout.places.len()],
            extinct: false,
            layout,
            population,
            options,
            step: 0,
            traffic: Traffic::default(),
            reference: None,
        }
    }

    /// Back before its first step, in the memory it has.
    pub fn restart(&mut self) {
        self.islands.fill(Island::START);
        (self.step, self.extinct) = (0, false);
        self.traffic = Traffic::default();
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub fn copy_from(&mut self, other: &Filter) {
        let Filter { options, layout, population, islands, step, traffic, reference, tiles, extinct } = other;
        self.options.clone_from(options);
        self.layout.clone_from(layout);
        self.population.copy_from(population);
        self.islands.clone_from(islands);
        (self.step, self.traffic, self.extinct) = (*step, *traffic, *extinct);
        self.reference.clone_from(reference);
        self.tiles.clone_from(tiles);
    }

    /// One step: resample the islands that are due, move, weigh. Collective.
    ///
    /// # Errors
    /// A log-weight that is NaN or +∞ (step, particle, value), or an island all of whose weights are zero.
    pub fn step(&mut self, model: &dyn FeynmanKac, team: &dyn Team) -> Result<()> {
        self.resample(team);
        self.weigh_next(model, team)
    }

    /// What `look` sees of the particles with the weights of the data so far, where those of the filter look ahead: the twist
    /// of the last step divided out. Takes the memory of a second list of weights. Collective.
    ///
    /// # Errors
    /// A twist that is no number; those of `look`.
    pub fn untwisted<R>(
        &mut self,
        model: &dyn FeynmanKac,
        team: &dyn Team,
        look: impl FnOnce(&Filter) -> Result<R>,
    ) -> Result<R> {
        let twisted = (self.population.log_weights.clone(), self.population.masses.clone());
        let (islands, tiles) = (self.islands.clone(), self.tiles.clone());
        let found = self.divide_out(model, team).and_then(|()| look(self));
        (self.population.log_weights, self.population.masses) = twisted;
        (self.islands, self.tiles) = (islands, tiles);
        found
    }

    /// Divides the twist of the last step out of the weights. Collective.
    fn divide_out(&mut self, model: &dyn FeynmanKac, team: &dyn Team) -> Result<()> {
        let (step, level) = (self.step - 1, self.options.level);
        let found = for_tiles(&self.layout, &mut self.population, |_, _, x, w, _| {
            w.iter_mut().for_each(|w| *w = -*w);
            model.log_twist(step, x.view(), w);
            w.iter_mut().for_each(|w| *w = -*w);
            largest(level, w)
        });
        let fault = self.found(&found);
        team.agree(fault.map_or(Ok(()), |f| Err(self.fault(&f))))?;
        self.weigh(team)
    }

    /// The step without its resampling. Collective.
    pub(super) fn weigh_next(&mut self, model: &dyn FeynmanKac, team: &dyn Team) -> Result<()> {
        let fault = self.advance(model);
        team.agree(fault.map_or(Ok(()), |f| Err(self.fault(&f))))?;
        self.step += 1;
        self.weigh(team)
    }

    /// The address of the draws of a step.
    pub fn draws(&self, stream: Stream, step: usize) -> Draws {
        Draws::new(self.options.level, self.options.seed, stream, step as u32)
    }

    /// Resamples the islands that are due. Collective.
    pub(super) fn resample(&mut self, team: &dyn Team) {
        let due: Vec<bool> = self.islands.iter().map(|i| i.due).collect();
        self.traffic = Traffic::default();
        for island in &mut self.islands {
            (island.resampled, island.due) = (island.due, false);
        }
        if let Some(ancestors) = &mut self.population.ancestors {
            for (t, place) in self.layout.places.iter().enumerate() {
                let own = &mut ancestors[self.layout.part(t)];
                own.iter_mut().enumerate().for_each(|(i, a)| *a = (place.first + i) as u64);
            }
        }
        if !due.contains(&true) {
            return;
        }
        let at = self.draws(Stream::ParticlesResample, self.step);
        let mut weighed = Weighed::new(&self.layout, &self.tiles, at, 0, team);
        let sort = self.options.sort;
        weighed.in_order = sort.map(|c| sorted::offspring(&self.layout, &self.population, &weighed, &due, c, team));
        let lists = self.options.scheme.lists(
            &self.layout,
            self.options.level,
            &mut self.population.masses,
            &weighed,
            &due,
            self.reference.is_some(),
            team,
        );
        let (masses, mut carried) = self.population.carried();
        self.traffic = migrate::migrate(&self.layout, masses, &mut carried, &lists, &due, team);
        for (island, due) in self.islands.iter_mut().zip(due) {
            if due {
                island.settled = island.log_evidence;
                island.fresh = true;
            }
        }
    }

    /// Moves and weighs every particle; the largest log-weight of each tile goes to `self.largest`.
    fn advance(&mut self, model: &dyn FeynmanKac) -> Option<Fault> {
        let step = self.step;
        let level = self.options.level;
        let last = step + 1 == model.horizon();
        let twisted = model.is_twisted();
        let stream = if step == 0 { Stream::ParticlesInitial } else { Stream::ParticlesMutate };
        let draws = self.draws(stream, step);
        let fresh: Vec<bool> = self.islands.iter().map(|i| i.fresh).collect();
        let dimension = self.population.dimension;
        let (reference, each) = (self.reference.as_ref(), self.layout.each);
        let found = for_tiles(&self.layout, &mut self.population, |_, place, x, w, previous| {
            let at = draws.at(place.address());
            let n = place.len;
            if fresh[place.island] {
                w.fill(0.0);
            }
            // The lane that follows a trajectory, if this tile has it.
            let followed = reference.filter(|_| place.first + n == each).map(|r| r.at(place.island, step));
            let follow = |carried: f64, before: View<'_>, x: &mut Tile<'_>, w: &mut [f64]| {
                let Some(state) = followed else { return };
                x.coordinates_mut().zip(state).for_each(|(x, s)| x[n - 1] = *s);
                w[n - 1] = carried;
                model.log_ratio(step, before, View::new(level, state, 1, 1), &mut w[n - 1..]);
            };
            if step == 0 {
                let carried = w[n - 1];
                model.initial(&at, x, w);
                let none = View::new(level, &[], n, 0);
                follow(carried, none, x, w);
                model.log_potential(0, none, x.view(), w);
            } else {
                previous.clear();
                for d in 0..dimension {
                    previous.extend_from_slice(x.coordinate(d));
                }
                let before = View::new(level, previous, n, n);
                if twisted {
                    // w ← w − log ψ(previous), with the one function that adds.
                    w.iter_mut().for_each(|w| *w = -*w);
                    model.log_twist(step - 1, before, w);
                    w.iter_mut().for_each(|w| *w = -*w);
                }
                let carried = w[n - 1];
                model.mutate(step, &at, before, x, w);
                follow(carried, View::new(level, &previous[n - 1..], n, 1), x, w);
                model.log_potential(step, before, x.view(), w);
            }
            if twisted && !last {
                model.log_twist(step, x.view(), w);
            }
            largest(level, w)
        });
        if step == 0
            && let Some(eves) = &mut self.population.eves
        {
            for (t, place) in self.layout.places.iter().enumerate() {
                let own = &mut eves[self.layout.part(t)];
                own.iter_mut().enumerate().for_each(|(i, e)| *e = (place.first + i) as u64);
            }
        }
        self.found(&found)
    }

    /// Takes note of the largest log-weight of each tile.
    pub(super) fn found(&mut self, largest: &[f64]) -> Option<Fault> {
        for island in &mut self.islands {
            island.fresh = false;
            island.max = f64::NEG_INFINITY;
        }
        let mut fault = None;
        for (t, (place, &max)) in self.layout.places.iter().zip(largest).enumerate() {
            if max.is_nan() || max == f64::INFINITY {
                let w = &self.population.log_weights[self.layout.part(t)];
                let lane = w.iter().position(|w| w.is_nan() || *w == f64::INFINITY).unwrap_or(0);
                fault = fault.or(Some(Fault { tile: t, lane, value: w[lane] }));
            }
            let island = &mut self.islands[place.island];
            island.max = island.max.max(max);
        }
        fault
    }

    pub(super) fn fault(&self, fault: &Fault) -> Error {
        let place = &self.layout.places[fault.tile];
        let x: Vec<String> = (0..self.population.dimension.min(8))
            .map(|d| format!("{:.6e}", self.population.at(fault.tile, d, fault.lane)))
            .collect();
        let more = if self.population.dimension > 8 { ", …" } else { "" };
        let message = format!(
            "the log-weight of particle {} of island {} is {}, at the state ({}{more}); the model must give a number or −∞",
            place.first + fault.lane,
            place.island,
            fault.value,
            x.join(", "),
        );
        Error::Numerical { step: self.step as u64, message }
    }

    /// Whether all weights of all islands are zero: what made the last step fail.
    pub fn is_extinct(&self) -> bool {
        self.extinct
    }

    /// The integer weights of this rank's particles, from their log-weights and the islands' largest.
    pub fn restore(&mut self) {
        let bits = resampling::bits(self.layout.each as u64);
        let max: Vec<f64> = self.islands.iter().map(|i| i.max).collect();
        let level = self.options.level;
        self.tiles = for_weights(&self.layout, &mut self.population, |place, w, masses| {
            resampling::quantise(level, w, max[place.island], bits, masses)
        });
        for island in &mut self.islands {
            island.fresh = self.step == 0;
        }
    }

    /// Integer weights, evidence and effective sample sizes of the present log-weights, whose largest on this rank are in
    /// `islands`. An island whose weights are all zero has no evidence, Ẑ = 0, and keeps it: its particles go on with
    /// weights of one, which count for nothing. Collective.
    pub(super) fn weigh(&mut self, team: &dyn Team) -> Result<()> {
        // The largest log-weight of every island, over ranks.
        let mine: Vec<f64> = self.layout.pieces().iter().map(|p| self.islands[p.island].max).collect();
        let all = self.layout.gather(&mine, team);
        self.islands.iter_mut().for_each(|i| i.max = f64::NEG_INFINITY);
        for (piece, max) in self.layout.all.iter().zip(&all) {
            let island = &mut self.islands[piece.island];
            island.max = island.max.max(*max);
        }
        let dead: Vec<bool> = self.islands.iter().map(|i| i.max == f64::NEG_INFINITY).collect();
        let lost = |(i, dead): (&Island, &bool)| *dead || i.settled == f64::NEG_INFINITY;
        self.extinct = self.islands.iter().zip(&dead).all(lost);
        if self.extinct {
            let whose = if self.islands.len() > 1 { " of every island" } else { "" };
            let message = format!(
                "all {} particles{whose} have weight zero: no particle explains the data of this step. Use more particles, \
                 a proposal that looks at the data (\"guided\"), or a wider observation noise",
                self.layout.each
            );
            return Err(Error::Numerical { step: self.step as u64 - 1, message });
        }
        for (t, _) in self.layout.places.iter().enumerate().filter(|(_, place)| dead[place.island]) {
            self.population.log_weights[self.layout.part(t)].fill(0.0);
        }
        for (island, _) in self.islands.iter_mut().zip(&dead).filter(|(_, dead)| **dead) {
            (island.max, island.settled) = (0.0, f64::NEG_INFINITY);
        }
        self.restore();
        let bits = resampling::bits(self.layout.each as u64);
        let mine: Vec<[u64; 6]> = self
            .layout
            .pieces()
            .iter()
            .map(|p| {
                let mut sums = Sums::default();
                self.tiles[p.tiles()].iter().for_each(|t| sums.add(t));
                sums_to_words(&sums)
            })
            .collect();
        let all = self.layout.gather(&mine, team);
        self.islands.iter_mut().for_each(|i| i.sums = Sums::default());
        for (piece, packed) in self.layout.all.iter().zip(all) {
            self.islands[piece.island].sums.add(&sums_from_words(&packed));
        }
        let n = self.layout.each as f64;
        let constant = f64::from(bits) * std::f64::consts::LN_2 + elementary::ln(n);
        for island in &mut self.islands {
            let increment = island.max + elementary::ln(island.sums.total as f64) - constant;
            island.log_evidence = island.settled + increment;
            island.ess = island.sums.effective();
            island.due = self.options.threshold >= 1.0 || island.ess < self.options.threshold * n;
        }
        Ok(())
    }
}

/// The largest log-weight; NaN where any is NaN.
pub(super) fn largest(level: Level, w: &[f64]) -> f64 {
    use crate::math::simd::scalar::Scalar;
    let mut lanes = [f64::NEG_INFINITY; 8];
    let mut bad = 0u64;
    crate::enter!(level, S => {
        let _ = S::mul_add;
        let chunks = w.chunks_exact(8);
        for w in chunks.remainder() {
            lanes[0] = if *w > lanes[0] { *w } else { lanes[0] };
            bad |= u64::from(w.is_nan());
        }
        for chunk in chunks {
            for l in 0..8 {
                lanes[l] = if chunk[l] > lanes[l] { chunk[l] } else { lanes[l] };
                bad |= u64::from(chunk[l].is_nan());
            }
        }
    });
    if bad != 0 { f64::NAN } else { lanes.into_iter().fold(f64::NEG_INFINITY, f64::max) }
}
