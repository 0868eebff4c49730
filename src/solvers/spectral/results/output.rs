//! The door: what a solver calls at a snapshot, at a recorded step and at the end.

use std::sync::Arc;

use num_complex::Complex;

use super::super::domain::{Axis, Basis, Block, Domain};
use super::super::equation::{Equation, FieldName};
use super::super::fields::Fields;
use super::super::problem::MOST_POINTS;
use super::super::transform::{Scales, Transform};
use super::keys::OutputKeys;
use super::probe::Probe;
use super::remap::Remap;
use super::spectra::Shells;
use super::statistics::{Running, profile};
use super::{means, ranks};
use crate::error::Result;
use crate::math::real::Real;
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::Team;

/// Where a kept field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Unknown(usize),
    Derived(usize),
}

/// A kept field: its datasets (two, real and imaginary part, for complex fields).
struct Kept {
    source: Source,
    whole: Vec<Name>,
    /// Per slice.
    slices: Vec<Vec<Name>>,
    spectrum: Name,
    profile: Vec<[Name; 2]>,
    moments: Vec<[Name; 2]>,
}

/// A plane of the output grid.
struct Slice {
    axis: usize,
    index: usize,
}

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

/// The grid that `keys` ask for: the box of `domain`, with as many of its modes as fit.
///
/// # Errors
/// A sentence for the key `points`.
pub fn grid(keys: &OutputKeys, domain: &Domain) -> std::result::Result<Domain, String> {
    let d = domain.dimension;
    if keys.points.is_empty() {
        return Ok(domain.clone());
    }
    if keys.points.len() != d {
        return Err(format!("needs one number for each of the {d} axes"));
    }
    if let Some(n) = keys.points.iter().find(|&&n| n == 0 || n > MOST_POINTS) {
        return Err(format!("{n} points are not possible; 1 to {MOST_POINTS}"));
    }
    let mut out = domain.clone();
    for (axis, &n) in out.axes[3 - d..].iter_mut().zip(&keys.points) {
        let fit = if axis.basis == Basis::Chebyshev { n - 1 } else { (n - 1) / 2 };
        *axis = Axis { points: n, highest: axis.highest.min(fit), sawtooth: false, ..axis.clone() };
    }
    Ok(out)
}

impl<T: Real> Output<T> {
    /// `transform` is the solver's; `make` makes one for another grid, where `keys.points` ask for it. Collective.
    ///
    /// # Errors
    /// (key below `output`, sentence), equal on every rank.
    pub fn new(
        keys: &OutputKeys,
        equation: Arc<dyn Equation<T>>,
        transform: &dyn Transform<T>,
        make: impl FnOnce(&Domain) -> Box<dyn Transform<T>>,
        team: &dyn Team,
    ) -> std::result::Result<Self, (&'static str, String)> {
        let modes = transform.domain().clone();
        let domain = grid(keys, &modes).map_err(|e| ("points", e))?;
        let d = domain.dimension;
        let axes = axis_names(&domain);
        let axis_of = |name: &str| axes.iter().position(|a| *a == name).map(|a| a + 3 - d);
        let unknown = |name: &str| format!("\"{name}\" is not an axis of this box: {}", axes.join(", "));
        let mut slices = Vec::new();
        for slice in &keys.slices {
            let axis = axis_of(&slice.axis).ok_or_else(|| ("slices", unknown(&slice.axis)))?;
            if d == 1 {
                return Err(("slices", "a box of one axis has no slices; probes give values at points".into()));
            }
            if let Some(e) = outside(&domain.axes[axis], slice.at) {
                return Err(("slices", e));
            }
            slices.push(Slice { axis, index: nearest(&domain.axes[axis], slice.at) });
        }
        let chosen = choose(keys, equation.fields(), &equation.derived()).map_err(|e| ("fields", e))?;
        for (n, point) in keys.probes.iter().enumerate() {
            if point.len() != d {
                return Err(("probes", format!("probe {} has {} coordinates, the box {d} axes", n + 1, point.len())));
            }
            if let Some(e) = domain.own().iter().zip(point).find_map(|(axis, &x)| outside(axis, x)) {
                return Err(("probes", format!("probe {}: {e}", n + 1)));
            }
        }
        let moments = match &keys.statistics {
            None => None,
            Some(s) => {
                let axis = match &s.profile {
                    None => None,
                    Some(name) => Some(axis_of(name).ok_or_else(|| ("statistics.profile", unknown(name)))?),
                };
                let weights = axis.and_then(|axis| between_walls(&domain, axis));
                Some(Moments {
                    every: s.every.max(1),
                    start: s.start,
                    axis,
                    weights,
                    fields: Vec::new(),
                    last: s.start.max(0.0),
                })
            }
        };
        let scales = Scales::wavenumbers(&modes, transform.modes());
        let own = (domain != modes).then(|| {
            let own = make(&domain);
            let remap = Remap::new(team, &modes, transform.modes(), &domain, own.modes());
            (own, remap)
        });
        let points = own.as_ref().map_or(transform.points(), |(own, _)| own.points());
        let parts = if domain.complex { 2 } else { 1 };
        let profile_axis = moments.as_ref().and_then(|m| m.axis);
        let kept: Vec<Kept> = chosen.iter().map(|(s, name)| names(*s, name, &domain, &slices, profile_axis)).collect();
        let shells =
            (keys.spectra && modes.own().iter().all(|a| a.basis != Basis::Chebyshev)).then(|| Shells::new(&modes));
        let mut taken: Vec<&str> = ["time", "step", "wavenumber", "member", "seed"].into_iter().chain(axes).collect();
        for kept in &kept {
            let spectrum = shells.iter().map(|_| &kept.spectrum);
            let profile = kept.profile.iter().flatten().filter(|_| profile_axis.is_some());
            let moments = kept.moments.iter().flatten().filter(|_| moments.is_some() && profile_axis.is_none());
            for name in
                kept.whole.iter().chain(kept.slices.iter().flatten()).chain(spectrum).chain(profile).chain(moments)
            {
                if taken.contains(&name.name) {
                    let message =
                        format!("\"{}\" would be written twice: a field or definition needs another name", name.name);
                    return Err(("fields", message));
                }
                taken.push(name.name);
            }
        }
        let mut output = Output {
            probes: keys.probes.iter().map(|p| Probe::new(&modes, &scales, p)).collect(),
            probe_names: probe_names(keys, &chosen, domain.complex),
            coordinates: coordinates(&domain),
            shells,
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
            let each = moments.axis.map_or(points.len() * parts, |a| 2 * output.domain.points()[a] * parts);
            moments.fields = output.kept.iter().map(|_| Running::new(each)).collect();
        }
        Ok(output)
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
                let parts = if self.domain.complex { 2 } else { 1 };
                let sample: Option<Vec<f64>> = axis.map(|axis| {
                    let n = self.domain.points()[axis];
                    let weights = self.moments.as_ref().and_then(|m| m.weights.as_ref());
                    let others = self.domain.points().iter().product::<usize>() as f64 / n as f64;
                    let sums = (0..parts).flat_map(|part| {
                        let values: Vec<T> = self.values.iter().skip(part).step_by(parts).copied().collect();
                        profile(&values, block, self.domain.points(), axis, weights)
                    });
                    ranks::total(team, &sums.collect::<Vec<_>>()).into_iter().map(|s| s / others).collect()
                });
                let running = &mut self.moments.as_mut().expect("there are moments").fields[f];
                match sample {
                    Some(profile) => running.add(weight, profile.into_iter()),
                    None => running.add(weight, self.values.iter().map(|v| Real::to_f64(*v))),
                }
            }
        }
        self.moments.as_mut().expect("there are moments").last = time;
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
            for part in 0..parts {
                let n = running.mean.len() / parts / if moments.axis.is_some() { 2 } else { 1 };
                if moments.axis.is_some() {
                    // Part after part, each the means of u, then those of u².
                    let (means, squares) = running.mean[2 * n * part..][..2 * n].split_at_mut(n);
                    let (mut means, mut squares) = (means.to_vec(), squares.to_vec());
                    if finished {
                        squares.iter_mut().zip(&means).for_each(|(s, m)| *s = (*s - m * m).max(0.0));
                    }
                    if finished && running.weight == 0.0 {
                        means.iter_mut().chain(&mut squares).for_each(|x| *x = f64::NAN);
                    }
                    walk.replicated(&kept.profile[part][0], &mut means)?;
                    walk.replicated(&kept.profile[part][1], &mut squares)?;
                    if !finished {
                        running.mean[2 * n * part..][..2 * n].copy_from_slice(&[means, squares].concat());
                    }
                    continue;
                }
                let share = if finished && running.weight > 0.0 { 1.0 / running.weight } else { 1.0 };
                // Real and imaginary parts lie interleaved.
                let mut means: Vec<f64> = running.mean.iter().skip(part).step_by(parts).copied().collect();
                let mut scatter: Vec<f64> =
                    running.scatter.iter().skip(part).step_by(parts).map(|s| s * share).collect();
                if finished && running.weight == 0.0 {
                    means.iter_mut().chain(&mut scatter).for_each(|x| *x = f64::NAN);
                }
                let (global, slab) = own_axes(block, points, dimension);
                walk.block(&kept.moments[part][0], &global, &slab, (&mut means).into())?;
                walk.block(&kept.moments[part][1], &global, &slab, (&mut scatter).into())?;
                if !finished {
                    running.mean.iter_mut().skip(part).step_by(parts).zip(means).for_each(|(to, x)| *to = x);
                    running.scatter.iter_mut().skip(part).step_by(parts).zip(scatter).for_each(|(to, x)| *to = x);
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

/// Why a coordinate is no place on an axis; none where it is one. Every number is one on a periodic axis; between walls
/// it must be within the layer, to rounding.
fn outside(axis: &Axis, x: f64) -> Option<String> {
    let (low, high) = (axis.low, axis.low + axis.length);
    let slack = 1e-12 * (axis.length + low.abs());
    let within = axis.basis != Basis::Chebyshev || (low - slack..=high + slack).contains(&x);
    (!(x.is_finite() && within)).then(|| match axis.basis {
        Basis::Chebyshev => format!("{} = {x} is outside the layer between the walls, {low} to {high}", axis.name),
        _ => format!("{} = {x} is not a finite number", axis.name),
    })
}

/// The point of an axis nearest to a coordinate; periodic axes wrap around.
fn nearest(axis: &Axis, at: f64) -> usize {
    let distance = |i: usize| {
        let d = axis.coordinate(i) - at;
        if axis.basis == Basis::Chebyshev { d.abs() } else { (d - axis.length * (d / axis.length).round()).abs() }
    };
    (0..axis.points).min_by(|&i, &j| distance(i).total_cmp(&distance(j))).unwrap_or(0)
}

fn choose(
    keys: &OutputKeys,
    unknowns: &[FieldName],
    derived: &[FieldName],
) -> std::result::Result<Vec<(Source, FieldName)>, String> {
    let all = || {
        let u = unknowns.iter().enumerate().map(|(i, f)| (Source::Unknown(i), f.clone()));
        u.chain(derived.iter().enumerate().map(|(i, f)| (Source::Derived(i), f.clone())))
    };
    if keys.fields.is_empty() {
        return Ok(all().take(unknowns.len()).collect());
    }
    if keys.fields.iter().any(|f| f == "all") {
        return Ok(all().collect());
    }
    let mut chosen: Vec<(Source, FieldName)> = Vec::new();
    for name in &keys.fields {
        let found = all().find(|(_, f)| f.name == *name).ok_or_else(|| {
            let names: Vec<String> = all().map(|(_, f)| f.name).collect();
            format!("\"{name}\" is not a field of this equation: {}, or \"all\"", names.join(", "))
        })?;
        if chosen.iter().all(|(s, _)| *s != found.0) {
            chosen.push(found);
        }
    }
    Ok(chosen)
}

/// Suffix of the datasets of a part of a complex field.
fn suffix(complex: bool, part: usize) -> &'static str {
    match (complex, part) {
        (false, _) => "",
        (true, 0) => "_real",
        (true, _) => "_imag",
    }
}

fn names(source: Source, field: &FieldName, domain: &Domain, slices: &[Slice], profile: Option<usize>) -> Kept {
    let own: Vec<&str> = axis_names(domain);
    let letter = |a: usize| own[a + domain.dimension - 3];
    let name = |ending: String, meaning: String, axes: &[&str]| {
        Name::kept(&format!("{}{ending}", field.name), &field.units, &meaning, axes)
    };
    let squared = |ending: String, meaning: String, axes: &[&str]| {
        let units = if field.units == "1" { "1".to_string() } else { format!("({})^2", field.units) };
        Name::kept(&format!("{}{ending}", field.name), &units, &meaning, axes)
    };
    let m = &field.meaning;
    let parts = 0..domain.reals();
    let part = |p: usize| suffix(domain.complex, p);
    let along = profile.map_or("point", letter);
    Kept {
        source,
        whole: parts.clone().map(|p| name(part(p).into(), m.clone(), &own)).collect(),
        slices: slices
            .iter()
            .enumerate()
            .map(|(n, s)| {
                let at = domain.axes[s.axis].coordinate(s.index);
                let rest: Vec<&str> = own.iter().copied().filter(|a| *a != letter(s.axis)).collect();
                let meaning = format!("{m} at {} = {at}", letter(s.axis));
                parts.clone().map(|p| name(format!("{}_slice_{}", part(p), n + 1), meaning.clone(), &rest)).collect()
            })
            .collect(),
        spectrum: squared("_spectrum".into(), format!("{m}: mean square per shell of wavenumbers"), &["wavenumber"]),
        profile: parts
            .clone()
            .map(|p| {
                let whole = "in time and over the other axes";
                [
                    name(format!("{}_mean", part(p)), format!("{m}: mean {whole}"), &[along]),
                    squared(format!("{}_variance", part(p)), format!("{m}: variance {whole}"), &[along]),
                ]
            })
            .collect(),
        moments: parts
            .clone()
            .map(|p| {
                [
                    name(format!("{}_mean", part(p)), format!("{m}: mean in time"), &own),
                    squared(format!("{}_variance", part(p)), format!("{m}: variance in time"), &own),
                ]
            })
            .collect(),
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

fn probe_names(keys: &OutputKeys, chosen: &[(Source, FieldName)], complex: bool) -> Vec<Name> {
    let mut names = Vec::new();
    for (_, field) in chosen {
        for (n, point) in keys.probes.iter().enumerate() {
            for part in 0..if complex { 2 } else { 1 } {
                let name = format!("{}{}_probe_{}", field.name, suffix(complex, part), n + 1);
                names.push(Name::kept(&name, &field.units, &format!("{} at {point:?}", field.meaning), &[]));
            }
        }
    }
    names
}

/// Names of the user's axes.
fn axis_names(domain: &Domain) -> Vec<&'static str> {
    domain.own().iter().map(|a| a.name).collect()
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
