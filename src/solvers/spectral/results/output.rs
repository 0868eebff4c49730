//! The door: what a solver calls at a snapshot, at a recorded step and at the end.

use std::sync::Arc;

use num_complex::Complex;

use super::super::domain::{Basis, Block, Domain};
use super::super::equation::Equation;
use super::super::fields::Fields;
use super::super::transform::{Scales, Transform};
use super::asked::{Asked, Kept, Slice, Source};
use super::keys::OutputKeys;
use super::probe::Probe;
use super::remap::Remap;
use super::spectra::Shells;
use super::statistics::{Running, profile};
use super::{means, ranks};
use crate::error::Result;
use crate::math::real::Real;
use crate::solvers::WARNING;
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::Team;

/// Samples in time of one field: its points here, or its profile.
struct Moments {
    every: u64,
    start: f64,
    axis: Option<usize>,
    /// Of profiles: see [`between_walls`].
    weights: Option<(usize, Vec<f64>)>,
    fields: Vec<Running>,
    /// Time of the last sample; before the first, the start.
    last: f64,
}

/// Everything that a run keeps of its fields.
pub struct Output<T: Real> {
    equation: Arc<dyn Equation<T>>,
    /// The grid of the kept fields.
    domain: Domain,
    /// Wavenumbers of this rank's part of the solver's modes, and their domain.
    scales: Scales,
    modes: Domain,
    /// Transform to another grid than the solver's, and the way of the modes there.
    own: Option<(Box<dyn Transform<T>>, Remap)>,
    kept: Vec<Kept>,
    whole: bool,
    slices: Vec<Slice>,
    shells: Option<Shells>,
    coordinates: Vec<(Name, Vec<f64>)>,
    probes: Vec<Probe>,
    probe_names: Vec<Name>,
    moments: Option<Moments>,
    coefficients: Vec<Complex<T>>,
    values: Vec<T>,
}

const WAVENUMBER: Name = Name { name: "wavenumber", units: "1", meaning: "middle of the shell", axes: &["wavenumber"] };
const WEIGHT: Name = Name { name: "statistics_weight", units: "1", meaning: "time that the samples cover", axes: &[] };
const SAMPLED: Name = Name { name: "statistics_last", units: "1", meaning: "time of the last sample", axes: &[] };

impl<T: Real> Output<T> {
    /// `asked` is what `keys` ask for of `equation` on the modes of `transform`, the solver's; `make` makes one for another
    /// grid, where it wants one. Collective.
    pub fn new(
        keys: &OutputKeys,
        asked: Asked,
        equation: Arc<dyn Equation<T>>,
        transform: &dyn Transform<T>,
        make: impl FnOnce(&Domain) -> Box<dyn Transform<T>>,
        team: &dyn Team,
    ) -> Self {
        let modes = transform.domain().clone();
        let Asked { domain, kept, slices, profile, spectra, probes } = asked;
        let moments = keys.statistics.as_ref().map(|s| Moments {
            every: s.every.max(1),
            start: s.start,
            axis: profile,
            weights: profile.and_then(|axis| between_walls(&domain, axis)),
            fields: Vec::new(),
            last: s.start.max(0.0),
        });
        let scales = Scales::wavenumbers(&modes, transform.modes());
        let own = (domain != modes).then(|| {
            let own = make(&domain);
            let remap = Remap::new(team, &modes, transform.modes(), &domain, own.modes());
            (own, remap)
        });
        let points = own.as_ref().map_or(transform.points(), |(own, _)| own.points());
        let parts = if domain.complex { 2 } else { 1 };
        let mut output = Output {
            probes: keys.probes.iter().map(|p| Probe::new(&modes, &scales, p)).collect(),
            probe_names: probes,
            coordinates: coordinates(&domain),
            shells: spectra.then(|| Shells::new(&modes)),
            values: vec![T::zero(); points.len() * parts],
            coefficients: vec![Complex::new(T::zero(), T::zero()); transform.modes().len()],
            whole: keys.whole,
            equation,
            domain,
            scales,
            modes,
            own,
            kept,
            slices,
            moments,
        };
        if let Some(moments) = &mut output.moments {
            let each = parts * moments.axis.map_or(points.len(), |a| output.domain.points()[a]);
            moments.fields = output.kept.iter().map(|_| Running::new(each)).collect();
        }
        output
    }

    /// The grid of the kept fields.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Walks the kept fields of `state`: whole ones, slices, spectra. For `Solver::snapshot`; collective.
    pub fn walk(
        &mut self,
        walk: &mut dyn Walk,
        team: &dyn Team,
        state: &Fields<T>,
        transform: &mut dyn Transform<T>,
    ) -> Result<()> {
        for (name, values) in &mut self.coordinates {
            walk.replicated(name, values)?;
        }
        if let Some(shells) = &self.shells {
            walk.replicated(&WAVENUMBER, &mut shells.wavenumbers())?;
        }
        for f in 0..self.kept.len() {
            self.make(f, state);
            if let Some(shells) = &self.shells {
                let mut spectrum = ranks::isotropic(team, &self.modes, &self.scales, shells, &[&self.coefficients]);
                walk.scalar(&self.kept[f].spectrum, (&mut spectrum).into())?;
            }
            if !self.whole && self.slices.is_empty() {
                continue;
            }
            let block = self.to_grid(team, transform);
            let parts = if self.domain.complex { 2 } else { 1 };
            for part in 0..parts {
                let mut values: Vec<T>;
                let here = if parts == 1 {
                    &mut self.values
                } else {
                    values = self.values.iter().skip(part).step_by(2).copied().collect();
                    &mut values
                };
                for (s, slice) in self.slices.iter().enumerate() {
                    let (global, slab, mut plane) =
                        cut(here, block, self.domain.points(), self.domain.dimension, slice);
                    walk.block(&self.kept[f].slices[s][part], &global, &slab, data(&mut plane))?;
                }
                if self.whole {
                    let (global, slab) = own_axes(block, self.domain.points(), self.domain.dimension);
                    walk.block(&self.kept[f].whole[part], &global, &slab, data(here))?;
                }
            }
        }
        Ok(())
    }

    /// Names of the values at probes, in the order of [`probes`](Output::probes).
    pub fn probe_names(&self) -> &[Name] {
        &self.probe_names
    }

    /// Values of the kept fields at the probes, for the record of a step; equal on every rank. Collective.
    pub fn probes(&mut self, team: &dyn Team, state: &Fields<T>) -> Vec<f64> {
        if self.probes.is_empty() {
            return Vec::new();
        }
        let mut sums = Vec::new();
        for f in 0..self.kept.len() {
            self.make(f, state);
            sums.extend(self.probes.iter().flat_map(|p| p.values(&self.scales, &[&self.coefficients])));
        }
        ranks::total(team, &sums)
    }

    /// Whether statistics are kept.
    pub fn has_statistics(&self) -> bool {
        self.moments.is_some()
    }

    /// What is to be said of statistics at the end of a run that took no sample.
    pub fn note(&self) -> Option<String> {
        let none = |m: &Moments| m.fields.iter().all(|running| running.weight == 0.0);
        let start = self.moments.as_ref().filter(|m| none(m))?.start;
        Some(format!(
            "{WARNING}the statistics are not numbers: no sample was taken from time {start} on before the run ended"
        ))
    }

    /// Whether [`sample`](Output::sample) would take a sample.
    pub fn samples(&self, step: u64, time: f64) -> bool {
        self.moments.as_ref().is_some_and(|m| step.is_multiple_of(m.every) && time >= m.start)
    }

    /// Samples the running statistics when they are due after step `step`, which ended at `time`. Collective.
    pub fn sample(
        &mut self,
        step: u64,
        time: f64,
        team: &dyn Team,
        state: &Fields<T>,
        transform: &mut dyn Transform<T>,
    ) {
        let Some(moments) = &self.moments else { return };
        if !step.is_multiple_of(moments.every) || time < moments.start {
            return;
        }
        let (axis, weight) = (moments.axis, time - moments.last);
        // Each counts as much as the time before it, the first as that since the start.
        if weight > 0.0 {
            for f in 0..self.kept.len() {
                self.make(f, state);
                let block = self.to_grid(team, transform);
                let sample = axis.map(|axis| self.profile(f, axis, block, team));
                let running = &mut self.moments.as_mut().expect("there are moments").fields[f];
                match sample {
                    Some(profile) => running.add_spread(weight, profile.into_iter()),
                    None => running.add(weight, self.values.iter().map(|v| Real::to_f64(*v))),
                }
            }
        }
        self.moments.as_mut().expect("there are moments").last = time;
    }

    /// Means and variances of the values of field `f` over all axes but one, part after part. Distances are taken to
    /// the running mean, for the first sample to its own, so that no large mean cancels.
    fn profile(&self, f: usize, axis: usize, block: Block, team: &dyn Team) -> Vec<(f64, f64)> {
        let moments = self.moments.as_ref().expect("there are moments");
        let (points, parts) = (self.domain.points(), self.domain.reals());
        let n = points[axis];
        let others = points.iter().product::<usize>() as f64 / n as f64;
        let about = |centres: &[f64]| -> Vec<f64> {
            let sums = (0..parts).flat_map(|part| {
                let values: Vec<T> = self.values.iter().skip(part).step_by(parts).copied().collect();
                profile(&values, block, points, axis, moments.weights.as_ref(), &centres[part * n..(part + 1) * n])
            });
            ranks::total(team, &sums.collect::<Vec<_>>()).into_iter().map(|s| s / others).collect()
        };
        // Of each part first the means, then the mean squares.
        let own = |sums: &[f64], i: usize| [sums[i / n * 2 * n + i % n], sums[i / n * 2 * n + n + i % n]];
        let centres = match &moments.fields[f] {
            running if running.weight > 0.0 => running.mean.clone(),
            nothing => {
                let sums = about(&nothing.mean);
                (0..parts * n).map(|i| own(&sums, i)[0]).collect()
            }
        };
        let sums = about(&centres);
        let moment = |(i, centre): (usize, &f64)| {
            let [off, square] = own(&sums, i);
            (centre + off, (square - off * off).max(0.0))
        };
        centres.iter().enumerate().map(moment).collect()
    }

    /// Walks what a restart needs: the sums of the statistics. For `Solver::state`; collective.
    pub fn state(&mut self, walk: &mut dyn Walk, transform: &dyn Transform<T>) -> Result<()> {
        self.walk_moments(walk, transform, false)
    }

    /// Walks the finished statistics: means and variances in time. For `Solver::results`; collective.
    pub fn results(&mut self, walk: &mut dyn Walk, transform: &dyn Transform<T>) -> Result<()> {
        if self.moments.as_ref().is_some_and(|m| m.axis.is_none()) {
            for (name, values) in &mut self.coordinates {
                walk.replicated(name, values)?;
            }
        } else if let Some(axis) = self.moments.as_ref().and_then(|m| m.axis) {
            let own = axis + self.domain.dimension - 3;
            let (name, values) = &mut self.coordinates[own];
            walk.replicated(name, values)?;
        }
        self.walk_moments(walk, transform, true)
    }

    fn walk_moments(&mut self, walk: &mut dyn Walk, transform: &dyn Transform<T>, finished: bool) -> Result<()> {
        let block = self.own.as_ref().map_or(transform.points(), |(own, _)| own.points());
        let (points, dimension, parts) = (self.domain.points(), self.domain.dimension, self.domain.reals());
        let Some(moments) = &mut self.moments else { return Ok(()) };
        for (kept, running) in self.kept.iter().zip(&mut moments.fields) {
            let n = running.mean.len() / parts;
            for part in 0..parts {
                let share = if finished && running.weight > 0.0 { 1.0 / running.weight } else { 1.0 };
                // Parts of profiles lie one after the other, those of points interleaved.
                let (skip, step) = if moments.axis.is_some() { (part * n, 1) } else { (part, parts) };
                let own =
                    |list: &[f64]| -> Vec<f64> { list.iter().skip(skip).step_by(step).take(n).copied().collect() };
                let (mut means, mut scatter) = (own(&running.mean), own(&running.scatter));
                scatter.iter_mut().for_each(|s| *s *= share);
                if finished && running.weight == 0.0 {
                    means.iter_mut().chain(&mut scatter).for_each(|x| *x = f64::NAN);
                }
                if moments.axis.is_some() {
                    walk.replicated(&kept.profile[part][0], &mut means)?;
                    walk.replicated(&kept.profile[part][1], &mut scatter)?;
                } else {
                    let (global, slab) = own_axes(block, points, dimension);
                    walk.block(&kept.moments[part][0], &global, &slab, (&mut means).into())?;
                    walk.block(&kept.moments[part][1], &global, &slab, (&mut scatter).into())?;
                }
                if !finished {
                    let put = |list: &mut [f64], from: Vec<f64>| {
                        list.iter_mut().skip(skip).step_by(step).zip(from).for_each(|(to, x)| *to = x);
                    };
                    put(&mut running.mean, means);
                    put(&mut running.scatter, scatter);
                }
            }
        }
        let mut weight = moments.fields.first().map_or(0.0, |r| r.weight);
        walk.scalar(&WEIGHT, (&mut weight).into())?;
        moments.fields.iter_mut().for_each(|r| r.weight = weight);
        walk.scalar(&SAMPLED, (&mut moments.last).into())
    }

    /// Coefficients of kept field `f`.
    fn make(&mut self, f: usize, state: &Fields<T>) {
        match self.kept[f].source {
            Source::Unknown(i) => self.coefficients.copy_from_slice(&state.arrays[i]),
            Source::Derived(i) => derive(self.equation.as_ref(), i, &self.scales, state, &mut self.coefficients),
        }
    }

    /// Grid values of the coefficients; returns this rank's points.
    fn to_grid(&mut self, team: &dyn Team, transform: &mut dyn Transform<T>) -> Block {
        match &mut self.own {
            None => {
                transform.backward(team, &[&self.coefficients], &mut [&mut self.values]);
                transform.points()
            }
            Some((own, remap)) => {
                let mut there = vec![Complex::new(T::zero(), T::zero()); own.modes().len()];
                remap.apply(team, &self.coefficients, &mut there);
                own.backward(team, &[&there], &mut [&mut self.values]);
                own.points()
            }
        }
    }
}

/// Coefficients of derived field `index` of an equation on this rank's modes.
pub fn derive<T: Real>(
    equation: &dyn Equation<T>,
    index: usize,
    scales: &Scales,
    state: &Fields<T>,
    out: &mut [Complex<T>],
) {
    let mut here = vec![Complex::new(0.0, 0.0); state.len()];
    for (tile, at) in scales.tiles(means::TILE) {
        tile.for_each(|i, k| {
            here.iter_mut().zip(&state.arrays).for_each(|(h, a)| *h = means::wide(a[at.start + i]));
            out[at.start + i] = T::complex(equation.derive_field(index, k, &here));
        });
    }
}

/// Of a profile along a periodic axis between walls: the axis between them, and what each of its points, which lie closer
/// near the walls, counts in a mean, in units of what it would count if all did alike. Fejér's first rule.
fn between_walls(domain: &Domain, profile: usize) -> Option<(usize, Vec<f64>)> {
    let walls = domain.axes.iter().position(|a| a.basis == Basis::Chebyshev).filter(|&walls| walls != profile)?;
    let n = domain.axes[walls].points;
    let weight = |j: usize| {
        let angle = (2 * j + 1) as f64 * std::f64::consts::PI / (2 * n) as f64;
        let term = |k: usize| 2.0 * libm::cos((2 * k) as f64 * angle) / (4 * k * k - 1) as f64;
        1.0 - (1..=(n - 1) / 2).map(term).sum::<f64>()
    };
    Some((walls, (0..n).map(weight).collect()))
}

/// Coordinates of the user's axes.
fn coordinates(domain: &Domain) -> Vec<(Name, Vec<f64>)> {
    domain
        .own()
        .iter()
        .map(|axis| {
            let name = axis.name;
            let name = Name::kept(name, "1", &format!("coordinate {name}"), &[name]);
            (name, (0..axis.points).map(|i| axis.coordinate(i)).collect())
        })
        .collect()
}

/// Shape on the user's axes, and this rank's part.
fn own_axes(block: Block, points: [usize; 3], dimension: usize) -> (Vec<usize>, Hyperslab) {
    let own = 3 - dimension..3;
    let mut slab = Hyperslab { start: block.start[own.clone()].to_vec(), count: block.count[own.clone()].to_vec() };
    if block.is_empty() {
        slab.count.fill(0);
    }
    (points[own].to_vec(), slab)
}

/// A plane of a block: its shape, this rank's part and its values.
fn cut<T: Real>(
    values: &[T],
    block: Block,
    points: [usize; 3],
    dimension: usize,
    slice: &Slice,
) -> (Vec<usize>, Hyperslab, Vec<T>) {
    let (mut global, mut slab) = own_axes(block, points, dimension);
    let own = slice.axis + dimension - 3;
    global.remove(own);
    slab.start.remove(own);
    slab.count.remove(own);
    let here = slice.index.checked_sub(block.start[slice.axis]).filter(|&i| i < block.count[slice.axis]);
    let Some(index) = here.filter(|_| !block.is_empty()) else {
        slab.count.fill(0);
        return (global, slab, Vec::new());
    };
    let inner: usize = block.count[slice.axis + 1..].iter().product();
    let outer: usize = block.count[..slice.axis].iter().product();
    let first = |o: usize| (o * block.count[slice.axis] + index) * inner;
    let plane = (0..outer).flat_map(|o| values[first(o)..first(o) + inner].iter().copied()).collect();
    (global, slab, plane)
}

/// Values of either precision for a walk.
fn data<T: Real>(values: &mut [T]) -> Data<'_> {
    if size_of::<T>() == 4 {
        Data::F32(bytemuck::cast_slice_mut(values))
    } else {
        Data::F64(bytemuck::cast_slice_mut(values))
    }
}
