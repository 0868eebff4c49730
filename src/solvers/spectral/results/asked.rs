//! What `[problem.output]` asks for, every name and place found in the box: what cannot be kept is refused before a run.

use super::super::domain::{Axis, Basis, Domain};
use super::super::equation::{Equation, FieldName};
use super::super::problem::MOST_POINTS;
use super::keys::OutputKeys;
use super::spectra::Shells;
use crate::math::real::Real;
use crate::state::Name;

/// Where a kept field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Unknown(usize),
    Derived(usize),
}

/// A kept field: its datasets (two, real and imaginary part, for complex fields).
pub(super) struct Kept {
    pub source: Source,
    pub whole: Vec<Name>,
    /// Per slice.
    pub slices: Vec<Vec<Name>>,
    pub spectrum: Name,
    pub profile: Vec<[Name; 2]>,
    pub moments: Vec<[Name; 2]>,
}

/// A plane of the output grid.
pub(super) struct Slice {
    pub axis: usize,
    pub index: usize,
}

/// What is kept of the fields of an equation.
pub struct Asked {
    /// The grid of the kept fields.
    pub domain: Domain,
    pub(super) kept: Vec<Kept>,
    pub(super) slices: Vec<Slice>,
    /// The axis along which statistics are kept.
    pub(super) profile: Option<usize>,
    /// Whether spectra go with snapshots.
    pub(super) spectra: bool,
    /// Of the values at probes.
    pub(super) probes: Vec<Name>,
}

impl Asked {
    /// `modes` is the box in which `equation` is solved.
    ///
    /// # Errors
    /// (key below `output`, sentence).
    pub fn of<T: Real>(
        keys: &OutputKeys,
        equation: &dyn Equation<T>,
        modes: &Domain,
    ) -> std::result::Result<Asked, (&'static str, String)> {
        let domain = grid(keys, modes).map_err(|e| ("points", e))?;
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
        let profile = match keys.statistics.as_ref().and_then(|s| s.profile.as_ref()) {
            None => None,
            Some(name) => Some(axis_of(name).ok_or_else(|| ("statistics.profile", unknown(name)))?),
        };
        let spectra = keys.spectra && modes.own().iter().all(|a| a.basis != Basis::Chebyshev);
        if !(keys.whole || spectra) && slices.is_empty() && (keys.every.is_some() || !keys.times.is_empty()) {
            let message = "leaves nothing for the snapshots that are asked for: there are no slices and no spectra";
            return Err(("whole", message.into()));
        }
        let kept: Vec<Kept> = chosen.iter().map(|(s, name)| names(*s, name, &domain, &slices, profile)).collect();
        let probes = probe_names(keys, &chosen, domain.complex);
        let asked = Asked { domain, kept, slices, profile, spectra, probes };
        let mut names: Vec<&str> = ["time", "step", "wavenumber", "member", "seed"].into_iter().chain(axes).collect();
        names.extend(asked.in_snapshots());
        let of_statistics = asked.kept.iter().filter(|_| keys.statistics.is_some()).flat_map(|kept| match profile {
            Some(_) => kept.profile.iter().flatten(),
            None => kept.moments.iter().flatten(),
        });
        names.extend(of_statistics.map(|name| name.name));
        match twice(names) {
            Some(message) => Err(("fields", message)),
            None => Ok(asked),
        }
    }

    /// Names of fields, slices and spectra.
    fn in_snapshots(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().flat_map(|kept| {
            let spectrum = self.spectra.then_some(&kept.spectrum);
            kept.whole.iter().chain(kept.slices.iter().flatten()).chain(spectrum).map(|name| name.name)
        })
    }

    /// Bytes of values of `size` bytes each in files: of a snapshot, and of the statistics. `modes` as for [`Asked::of`].
    pub fn bytes(&self, keys: &OutputKeys, modes: &Domain, size: u64) -> [u64; 2] {
        let points = self.domain.points().map(|n| n as u64);
        let all: u64 = points.iter().product();
        let values = if keys.whole { all } else { 0 } + self.slices.iter().map(|s| all / points[s.axis]).sum::<u64>();
        let spectrum = if self.spectra { 8 * Shells::new(modes).len() as u64 } else { 0 };
        let (fields, parts) = (self.kept.len() as u64, self.domain.reals() as u64);
        let sampled = keys.statistics.as_ref().map_or(0, |_| self.profile.map_or(all, |axis| points[axis]));
        [fields * (parts * size * values + spectrum), fields * parts * 16 * sampled]
    }

    /// Whether all that a run records, sums and exponents (`recorded`) and values at probes, has names of its own; of an
    /// ensemble's, which have a spread each and are in its snapshots too, as well.
    ///
    /// # Errors
    /// A sentence.
    pub fn record_apart(&self, recorded: &[&str], ensemble: bool) -> std::result::Result<(), String> {
        let own: Vec<&str> = recorded.iter().copied().chain(self.probes.iter().map(|p| p.name)).collect();
        let spreads: Vec<String> = own.iter().filter(|_| ensemble).map(|name| format!("{name}_spread")).collect();
        let series = ["time", "time_step", "cfl"].into_iter().chain(own.iter().copied());
        let mut clash = twice(series.chain(spreads.iter().map(String::as_str)).collect());
        if ensemble {
            clash = clash.or_else(|| twice(self.in_snapshots().chain(own.iter().copied()).collect()));
        }
        clash.map_or(Ok(()), Err)
    }
}

/// What is wrong where one of these names comes twice.
fn twice(mut names: Vec<&str>) -> Option<String> {
    names.sort_unstable();
    let name = names.windows(2).find(|pair| pair[0] == pair[1])?[0];
    Some(format!("\"{name}\" would be written twice: a field or definition needs another name"))
}

/// The grid that `keys` ask for: the box of `domain`, with as many of its modes as fit.
///
/// # Errors
/// A sentence for the key `points`.
fn grid(keys: &OutputKeys, domain: &Domain) -> std::result::Result<Domain, String> {
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
    let mut chosen: Vec<(Source, FieldName)> = Vec::new();
    for name in keys.fields.iter().filter(|f| *f != "all") {
        let found = all().find(|(_, f)| f.name == *name).ok_or_else(|| {
            let names: Vec<String> = all().map(|(_, f)| f.name).collect();
            format!("\"{name}\" is not a field of this equation: {}, or \"all\"", names.join(", "))
        })?;
        if chosen.iter().all(|(s, _)| *s != found.0) {
            chosen.push(found);
        }
    }
    Ok(if keys.fields.iter().any(|f| f == "all") { all().collect() } else { chosen })
}

/// Suffix of the datasets of a part of a complex field.
fn suffix(complex: bool, part: usize) -> &'static str {
    match (complex, part) {
        (false, _) => "",
        (true, 0) => "_real",
        (true, _) => "_imag",
    }
}

/// The square of units such as length/time.
fn squared_units(units: &str) -> String {
    let plain = units.split('/').all(|word| word == "1" || word.chars().all(char::is_alphabetic));
    let square = |word: &str| if word == "1" { word.to_string() } else { format!("{word}²") };
    if plain { units.split('/').map(square).collect::<Vec<_>>().join("/") } else { format!("({units})²") }
}

fn names(source: Source, field: &FieldName, domain: &Domain, slices: &[Slice], profile: Option<usize>) -> Kept {
    let own: Vec<&str> = axis_names(domain);
    let letter = |a: usize| own[a + domain.dimension - 3];
    let name = |ending: String, meaning: String, axes: &[&str]| {
        Name::kept(&format!("{}{ending}", field.name), &field.units, &meaning, axes)
    };
    let squared = |ending: String, meaning: String, axes: &[&str]| {
        Name::kept(&format!("{}{ending}", field.name), &squared_units(&field.units), &meaning, axes)
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
pub(super) fn axis_names(domain: &Domain) -> Vec<&'static str> {
    domain.own().iter().map(|a| a.name).collect()
}
