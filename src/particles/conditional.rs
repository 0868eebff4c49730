//! Conditional sequential Monte Carlo [AndrieuDoucetHolenstein2010]: in every island the last slot follows a given
//! trajectory, which resampling never loses; a path drawn at the end is then one step of a chain that leaves the smoothing
//! law invariant, for any number of particles from two on.
//!
//! Multinomial resampling draws the offspring of the other slots, and survivors stay in their slots: so does the trajectory.
//! With ancestor sampling [LindstenJordanSchon2014] the past of the trajectory is drawn anew at each resampling, among all
//! particles by their weights and their transition density to what follows.

use super::filter::{Filter, Options};
use super::history::History;
use super::model::{FeynmanKac, View};
use super::scheme::Scheme;
use crate::error::Result;
use crate::math::simd::Level;
use crate::team::Team;

/// The trajectories that the last slots follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Island × time × coordinate.
    pub states: Vec<f64>,
    pub times: usize,
    pub dimension: usize,
}

impl Reference {
    pub fn at(&self, island: usize, time: usize) -> &[f64] {
        let from = (island * self.times + time) * self.dimension;
        &self.states[from..from + self.dimension]
    }
}

/// One trajectory of every island: given `reference`, drawn by conditional SMC, else by a plain filter. Collective.
///
/// # Errors
/// Those of the filter's steps; ancestor sampling without a transition density.
///
/// # Panics
/// Where the resampling is not multinomial.
pub fn trajectories(
    model: &dyn FeynmanKac,
    options: &Options,
    reference: Option<Reference>,
    ancestor_sampling: bool,
    team: &dyn Team,
) -> Result<Reference> {
    assert_eq!(options.scheme, Scheme::Multinomial, "conditional resampling is multinomial");
    let options = Options { ancestors: true, ..options.clone() };
    let islands = options.islands;
    let mut filter = Filter::new(model, options, team);
    let sampling = ancestor_sampling && reference.is_some();
    filter.reference = reference;
    let mut history = History::new(&filter);
    let (times, dimension) = (model.horizon(), model.dimension());
    for step in 0..times {
        filter.resample(team);
        for island in (0..islands).filter(|_| sampling && step > 0) {
            if filter.islands[island].resampled {
                let mut state = filter.reference.as_ref().expect("conditional").at(island, step).to_vec();
                let slots = history.select(model, &filter, (island, step - 1), &mut state, team)?;
                filter.adopt(island, slots[0], &state);
            }
        }
        filter.weigh_next(model, team)?;
        history.push(&filter);
        history.prune(&filter, team);
    }
    let mut states = Vec::with_capacity(islands * times * dimension);
    for island in 0..islands {
        states.extend(history.trace(&filter, island, 1, team).states);
    }
    Ok(Reference { states, times, dimension })
}

/// Whether `model` can weigh a trajectory that it did not draw.
pub fn can_follow(model: &dyn FeynmanKac) -> bool {
    let state = vec![0.0; model.dimension()];
    let one = View::new(Level::Portable, &state, 1, 1);
    let none = View::new(Level::Portable, &[], 1, 0);
    model.log_ratio(0, none, one, &mut [0.0]) && (model.horizon() < 2 || model.log_ratio(1, one, one, &mut [0.0]))
}

/// log p(x_0) ∏ p(x_k | x_{k−1}) G_k of a path (time × coordinate), with every constant that parameters may change; none
/// where the model has no such density.
pub fn log_complete(model: &dyn FeynmanKac, path: &[f64], level: Level) -> Option<f64> {
    let d = model.dimension();
    let mut value = [0.0];
    for (k, x) in path.chunks_exact(d).enumerate() {
        let before = if k == 0 { &[][..] } else { &path[(k - 1) * d..k * d] };
        let (before, x) = (View::new(level, before, 1, usize::from(k > 0)), View::new(level, x, 1, 1));
        if !model.log_density(k, before, x, &mut value) {
            return None;
        }
        model.log_potential(k, before, x, &mut value);
    }
    Some(value[0])
}

impl Filter {
    /// The last slot of the island takes the particle of `slot`, with `state`, for its past.
    fn adopt(&mut self, island: usize, slot: u64, state: &[f64]) {
        let each = self.layout.each;
        let last = |p: &super::layout::Place| p.island == island && p.first + p.len == each;
        let Some(t) = self.layout.places.iter().position(last) else { return };
        let lane = self.layout.places[t].len - 1;
        for (d, x) in state.iter().enumerate() {
            self.population.put(t, d, lane, *x);
        }
        self.population.ancestors.as_mut().expect("kept")[self.layout.at(t, lane)] = slot;
    }
}
