//! The flow of a written model: tiles of particles through its programs.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Compiled, Part};
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

pub(super) struct Flow {
    pub model: Arc<Compiled>,
    pub data: Arc<Observations>,
    /// The parameters that vary.
    pub theta: SmallVec<[f64; 8]>,
}

/// Slices of a tile: few enough to stay off the heap.
type Slices<'a> = SmallVec<[&'a [f64]; 16]>;

/// Room for the noises of a tile; on the heap only for more than four.
type Room = SmallVec<[[f64; TILE]; 4]>;

impl Flow {
    /// t, dt and parameters of a step, with room for what is needed besides.
    fn numbers(&self, step: usize) -> SmallVec<[f64; 16]> {
        let interval = if step == 0 { 0.0 } else { self.data.interval(step) };
        let mut numbers = SmallVec::from_slice(&[self.data.times[step], interval]);
        numbers.extend_from_slice(&self.theta);
        numbers
    }

    /// Draws the noises of `part` and runs it into the coordinates of `x`.
    fn run(&self, part: &Part, step: usize, at: &Draws, previous: Option<View<'_>>, x: &mut Tile<'_>) {
        let n = x.len();
        let states = self.model.states.len();
        let mut room: Room = SmallVec::new();
        for &j in &part.noises {
            room.push([0.0; TILE]);
            if let Some(last) = room.last_mut() {
                self.model.noises[j].draw(at, j as u32, &mut last[..n]);
            }
        }
        let mut inputs: Slices = SmallVec::new();
        for d in 0..states {
            inputs.push(previous.map_or(&[][..], |p| p.coordinate(d)));
        }
        for j in 0..self.model.noises.len() {
            inputs.push(part.noises.iter().position(|&k| k == j).map_or(&[][..], |k| &room[k][..n]));
        }
        let mut outputs: SmallVec<[&mut [f64]; 16]> = x.coordinates_mut().collect();
        part.program.run(at.level, &self.numbers(step), &inputs, &mut outputs);
    }

    /// Where nothing is random at the first time: a state is what the formulas say, or impossible.
    fn first_is(&self, x: View<'_>, value: &mut [f64]) -> bool {
        let at = Draws::new(x.level(), 0, crate::math::rng::Stream::ParticlesInitial, 0);
        let mut room = vec![0.0; self.model.states.len()];
        self.run(&self.model.initial, 0, &at, None, &mut Tile::new(x.level(), &mut room, 1, 1));
        for (i, v) in value.iter_mut().enumerate() {
            if room.iter().enumerate().any(|(d, r)| x.coordinate(d)[i].to_bits() != r.to_bits()) {
                *v = f64::NEG_INFINITY;
            }
        }
        true
    }

    fn inputs<'a>(&self, x: View<'a>) -> Slices<'a> {
        let none = (0..self.model.noises.len()).map(|_| &[][..]);
        (0..self.model.states.len()).map(|d| x.coordinate(d)).chain(none).collect()
    }
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        self.model.states.len()
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        self.run(&self.model.initial, 0, at, None, x);
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        self.run(&self.model.transition, step, at, Some(previous), x);
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let y = self.data.at(step);
        let mut numbers = self.numbers(step);
        let inputs = self.inputs(x);
        if y.iter().all(|y| !y.is_nan()) {
            numbers.extend_from_slice(y);
            self.model.together.run(x.level(), &numbers, &inputs, &mut [log_weight]);
            return;
        }
        let besides = numbers.len();
        for (component, y) in self.model.components.iter().zip(y).filter(|(_, y)| !y.is_nan()) {
            numbers.truncate(besides);
            numbers.push(*y);
            component.density.run(x.level(), &numbers, &inputs, &mut [&mut *log_weight]);
        }
    }

    fn has_transition(&self) -> bool {
        self.model.density.is_some()
    }

    fn log_transition(&self, step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        if let Some(density) = &self.model.density {
            let mut numbers = self.numbers(step);
            numbers.extend_from_slice(x);
            density.run(previous.level(), &numbers, &self.inputs(previous), &mut [value]);
        }
    }

    fn log_density(&self, step: usize, previous: View<'_>, x: View<'_>, value: &mut [f64]) -> bool {
        let states = self.model.states.len();
        let (program, level) = match step {
            0 if self.model.initial.noises.is_empty() => return self.first_is(x, value),
            0 => (&self.model.initial_density, x.level()),
            _ => (&self.model.density, x.level()),
        };
        let Some(program) = program else { return false };
        for i in 0..x.len() {
            let mut numbers = self.numbers(step);
            numbers.extend((0..states).map(|d| x.coordinate(d)[i]));
            let before = |d| if step == 0 { &[][..] } else { &previous.coordinate(d)[i..i + 1] };
            let none = (0..self.model.noises.len()).map(|_| &[][..]);
            let inputs: Slices<'_> = (0..states).map(before).chain(none).collect();
            program.run(level, &numbers, &inputs, &mut [&mut value[i..i + 1]]);
        }
        true
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        true
    }

    fn observe(&self, step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        let n = y.len();
        let numbers = self.numbers(step);
        let inputs = self.inputs(x);
        for (i, component) in self.model.components.iter().enumerate() {
            let mut room = [[0.0; TILE]; 3];
            let mut slices: SmallVec<[&mut [f64]; 3]> = room.iter_mut().map(|r| &mut r[..n]).collect();
            slices.truncate(component.distribution.parameters().len());
            component.parameters.run(x.level(), &numbers, &inputs, &mut slices);
            let slices: SmallVec<[&[f64]; 3]> = slices.into_iter().map(|s| &*s).collect();
            // Each component has draws of its own: 2048 leave room for tries.
            component.distribution.draw(at, 512 * i as u32, &slices, y.coordinate_mut(i));
        }
        true
    }
}
