//! The results of a field whose every number is known: sums of a few waves on a box of awkward lengths.

use std::sync::Arc;
use std::sync::Mutex;

use num_complex::Complex;

use super::super::domain::{Axis, Basis, Block, Domain, Tile};
use super::super::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};
use super::super::fields::Fields;
use super::super::transform::{Pointwise, Reference, Scales, Transform};
use super::asked::Asked;
use super::keys::{OutputKeys, SliceKeys, StatisticsKeys};
use super::output::Output;
use super::probe::Probe;
use super::remap::Remap;
use super::*;
use crate::error::Result;
use crate::math::exact::Exact;
use crate::math::rng;
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::{Partition, Solo, Team, threads};

/// Two fields; mean squares and a product as quadratics; ∂u/∂(last axis) as derived field.
struct Pair {
    names: Vec<FieldName>,
}

impl Equation<f64> for Pair {
    fn fields(&self) -> &[FieldName] {
        &self.names
    }
    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }
    fn linear(&self, _: [f64; 3], entries: &mut [Complex<f64>]) {
        entries.fill(Complex::new(0.0, 0.0));
    }
    fn degree(&self) -> Degree {
        Degree::Polynomial(1)
    }
    fn rounds(&self) -> &[Round] {
        &[]
    }
    fn derive(
        &self,
        _: usize,
        _: f64,
        _: &Tile,
        _: &[&[Complex<f64>]],
        _: &[&[Complex<f64>]],
        _: &mut [&mut [Complex<f64>]],
    ) {
    }
    fn multiply(&self, _: usize, _: f64, _: &Tile, _: &[&[f64]], _: &mut [&mut [f64]]) {}
    fn assemble(&self, _: f64, _: &Tile, _: &[&[Complex<f64>]], _: &[&[Complex<f64>]], _: &mut [&mut [Complex<f64>]]) {}
    fn quadratics(&self) -> Vec<Quadratic> {
        ["energy", "enstrophy"].map(|name| Quadratic { name, units: "1", meaning: "" }).into()
    }
    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], _: &[Complex<f64>], out: &mut [f64]) {
        out[0] = 0.5 * (state[0].norm_sqr() + state[1].norm_sqr());
        out[1] = (k[0] * k[0] + k[1] * k[1] + k[2] * k[2]) * out[0];
    }
    fn derived(&self) -> Vec<FieldName> {
        vec![FieldName::new("slope", "derivative of u along the last axis")]
    }
    fn derive_field(&self, _: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        Complex::new(0.0, k[2]) * state[0]
    }
}

fn pair() -> Arc<Pair> {
    Arc::new(Pair { names: vec![FieldName::new("u", "first"), FieldName::new("v", "second")] })
}

fn output(
    keys: &OutputKeys,
    transform: &dyn Transform<f64>,
    make: impl FnOnce(&Domain) -> Box<dyn Transform<f64>>,
    team: &dyn Team,
) -> Output<f64> {
    let asked = Asked::of(keys, pair().as_ref(), transform.domain()).unwrap();
    Output::new(keys, asked, pair(), transform, make, team)
}

fn axis(name: &'static str, points: usize, length: f64, last: bool) -> Axis {
    let basis = if last { Basis::HalfFourier } else { Basis::Fourier };
    Axis { name, basis, low: 0.25, length, points, highest: points.div_ceil(3) - 1, sawtooth: false }
}

fn box_of(points: &[usize]) -> Domain {
    let last = points.len() - 1;
    let lengths = [3.0, 7.0, 5.0];
    Domain::new((0..=last).map(|a| axis(["x", "y", "z"][a], points[a], lengths[a], a == last)).collect(), false)
}

/// u = 1 + 2 cos(2π·2(x₀)/L₀ + 0.3) sin(2π·3 (x_last)/L) …: few low waves.
fn u(domain: &Domain, x: &[f64]) -> f64 {
    let phase = |a: usize, k: f64| std::f64::consts::TAU * k * (x[a] - 0.25) / domain.own()[a].length;
    let last = x.len() - 1;
    1.0 + 2.0 * (phase(0, 2.0) + 0.3).cos() * (phase(last, 3.0) - 0.1).sin() + 0.5 * phase(last, 1.0).cos()
}

fn v(domain: &Domain, x: &[f64]) -> f64 {
    let phase = |a: usize, k: f64| std::f64::consts::TAU * k * (x[a] - 0.25) / domain.own()[a].length;
    0.25 * (0..x.len()).map(|a| phase(a, 1.0)).sum::<f64>().sin()
}

/// Calls `act(index, coordinates on the user's axes)` for each point of a domain.
fn each_point(domain: &Domain, mut act: impl FnMut(usize, &[f64])) {
    let n = domain.points();
    for i in 0..n.iter().product() {
        let index = [i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]];
        let x: Vec<f64> = (3 - domain.dimension..3).map(|a| domain.axes[a].coordinate(index[a])).collect();
        act(i, &x);
    }
}

fn state(domain: &Domain) -> Fields<f64> {
    let mut grids = vec![vec![0.0; domain.points().iter().product()]; 2];
    each_point(domain, |i, x| (grids[0][i], grids[1][i]) = (u(domain, x), v(domain, x)));
    let mut fields = Fields::zeros(2, domain.modes().iter().product());
    Reference::new(domain).forward(&Solo, &[&grids[0], &grids[1]], &mut fields.views_mut());
    fields
}

/// All modes and points on rank 0, as the slow twin has them; the others hold nothing.
struct OnRoot {
    inner: Reference<f64>,
    root: bool,
}

impl OnRoot {
    fn new(domain: &Domain, team: &dyn Team) -> Self {
        OnRoot { inner: Reference::new(domain), root: team.rank() == 0 }
    }
    fn part(&self, whole: Block) -> Block {
        if self.root { whole } else { Block { start: whole.count, count: [0; 3] } }
    }
}

impl Transform<f64> for OnRoot {
    fn domain(&self) -> &Domain {
        self.inner.domain()
    }
    fn modes(&self) -> Block {
        self.part(self.inner.modes())
    }
    fn points(&self) -> Block {
        self.part(self.inner.points())
    }
    fn backward(&mut self, team: &dyn Team, coefficients: &[&[Complex<f64>]], values: &mut [&mut [f64]]) {
        if self.root {
            self.inner.backward(team, coefficients, values);
        }
    }
    fn forward(&mut self, team: &dyn Team, values: &[&[f64]], coefficients: &mut [&mut [Complex<f64>]]) {
        if self.root {
            self.inner.forward(team, values, coefficients);
        }
    }
    fn through(&mut self, _: &dyn Team, _: &[&[Complex<f64>]], _: &Pointwise<f64>, _: &mut [&mut [Complex<f64>]]) {
        unreachable!("results only go to the grid")
    }
}

/// What was walked: global shape and values of each name, put together from all ranks.
#[derive(Default)]
struct Memory(Mutex<std::collections::BTreeMap<String, (Vec<usize>, Vec<f64>)>>);

impl Memory {
    fn values(&self, name: &str) -> Vec<f64> {
        self.0.lock().unwrap().get(name).unwrap_or_else(|| panic!("{name} was not walked")).1.clone()
    }
    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Walk for &Memory {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let Data::F64(data) = data else { panic!("f64") };
        assert_eq!((mine.len(), name.axes.len()), (data.len(), global.len()), "{name:?}");
        let mut all = self.0.lock().unwrap();
        let total = global.iter().product();
        let entry = all.entry(name.name.into()).or_insert((global.to_vec(), vec![f64::NAN; total]));
        for (i, x) in data.iter().enumerate() {
            let (mut rest, mut place, mut stride) = (i, 0, 1);
            for a in (0..global.len()).rev() {
                place += (mine.start[a] + rest % mine.count[a]) * stride;
                rest /= mine.count[a];
                stride *= global[a];
            }
            entry.1[place] = *x;
        }
        Ok(())
    }
    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let Data::F64(x) = x else { panic!("f64") };
        let known = self.0.lock().unwrap().insert(name.name.into(), (vec![x.len()], x.to_vec()));
        assert!(known.is_none_or(|k| k.1.iter().zip(x.iter()).all(|(a, b)| a.to_bits() == b.to_bits())), "{name:?}");
        Ok(())
    }
    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.replicated(name, values)
    }
    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.scalar(name, values.into())
    }
    fn replicated_f32(&mut self, _: &Name, _: &mut Vec<f32>) -> Result<()> {
        unreachable!()
    }
}

/// Random coefficients by address, so that every cut of the modes holds the same numbers.
fn random(domain: &Domain, block: Block) -> Vec<Complex<f64>> {
    let m = domain.modes();
    let mut values = Vec::new();
    for i in 0..block.count[0] {
        for j in 0..block.count[1] {
            for k in 0..block.count[2] {
                let at = ((block.start[0] + i) * m[1] + block.start[1] + j) * m[2] + block.start[2] + k;
                let [a, b] = rng::uniform_pair(7, rng::Stream::TransportUniform, 0, at as u64, 0);
                values.push(Complex::new(a - 0.5, b - 0.5) * 10f64.powi((at % 40) as i32 - 20));
            }
        }
    }
    values
}

/// Rank's part of the modes, cut in axes 0 and 1 among the ranks of a grid.
fn pencil(count: [usize; 3], team: &dyn Team) -> Block {
    let rows = if team.size() % 2 == 0 { team.size() / 2 } else { team.size() };
    let columns = team.size() / rows;
    let a = Partition::new(count[0], team.rank() / columns, rows).mine();
    let b = Partition::new(count[1], team.rank() % columns, columns).mine();
    Block { start: [a.start, b.start, 0], count: [a.len(), b.len(), count[2]] }
}

#[test]
fn parseval_holds_and_the_shells_add_up_to_it() {
    for points in [vec![30], vec![18, 24], vec![12, 15, 18]] {
        let domain = box_of(&points);
        let state = state(&domain);
        let scales = Scales::wavenumbers(&domain, Block { start: [0; 3], count: domain.modes() });
        let mut mean = 0.0;
        each_point(&domain, |_, x| mean += u(&domain, x).powi(2));
        mean /= domain.points().iter().product::<usize>() as f64;
        let views = state.views();
        let sum = ranks::total(&Solo, &means::mean_squares(&domain, &scales, &views[..1]))[0];
        assert!((sum / mean - 1.0).abs() < 1e-14, "{points:?}: {sum} {mean}");
        let shells = spectra::Shells::new(&domain);
        let by_shell: f64 = ranks::isotropic(&Solo, &domain, &scales, &shells, &views[..1]).iter().sum();
        assert!((by_shell / mean - 1.0).abs() < 1e-14);
        for axis in 3 - domain.dimension..3 {
            let energies = ranks::along(&Solo, &domain, &scales, axis, &views[..1]);
            assert!((energies.iter().sum::<f64>() / mean - 1.0).abs() < 1e-14);
        }
        // v is one wave of amplitude 1/4: mean square 1/32 in shell |k|/Δk, all of it at number 1 of each axis.
        let lengths: Vec<f64> = domain.own().iter().map(|a| a.length).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let shell = lengths.iter().map(|l| (longest / l).powi(2)).sum::<f64>().sqrt().round() as usize;
        let energies = ranks::isotropic(&Solo, &domain, &scales, &shells, &views[1..]);
        assert!((energies[shell] - 1.0 / 32.0).abs() < 1e-15, "{energies:?}");
        let energies = ranks::along(&Solo, &domain, &scales, 2, &views[1..]);
        assert!((energies[1] - 1.0 / 32.0).abs() < 1e-15, "{energies:?}");
    }
}

#[test]
fn quadratics_and_spectra_have_the_same_bits_for_any_cut_in_two_axes() {
    let domain = box_of(&[37, 22, 31]);
    let shells = spectra::Shells::new(&domain);
    let numbers = |team: &dyn Team| {
        let block = pencil(domain.modes(), team);
        let scales = Scales::wavenumbers(&domain, block);
        let a = random(&domain, block);
        let fields = Fields { arrays: vec![a.clone(), a.iter().map(|z| z * 0.3).collect()] };
        let mut numbers = ranks::total(team, &means::quadratics(pair().as_ref(), &domain, &scales, &fields, &fields));
        numbers.extend(ranks::total(team, &spectra::by_shell(&domain, &scales, &shells, &fields.views())));
        let probe = Probe::new(&domain, &scales, &[0.3, 1.1, 4.2]);
        numbers.extend(ranks::total(team, &probe.values(&scales, &fields.views())));
        numbers.into_iter().map(f64::to_bits).collect::<Vec<_>>()
    };
    let one = numbers(&Solo);
    assert!(one.len() > 20 && f64::from_bits(one[0]) > 0.0);
    for ranks in [2, 3, 4, 7, 20] {
        threads::run(ranks, |team| assert_eq!(numbers(team), one, "{ranks} ranks"));
    }
    // And such sums can tell: plain ones of the same numbers, forwards and backwards, differ.
    let a = random(&domain, Block { start: [0; 3], count: domain.modes() });
    let (f, b): (f64, f64) = (a.iter().map(|z| z.re).sum(), a.iter().rev().map(|z| z.re).sum());
    assert_ne!(f.to_bits(), b.to_bits());
}

/// ±κ lie on different ranks for complex fields.
#[test]
fn the_plain_spectrum_of_a_line_has_the_bits_of_exact_sums_for_any_cut() {
    for complex in [false, true] {
        let domain = Domain::new(vec![axis("x", 1001, 3.0, true)], complex);
        let shells = spectra::Shells::new(&domain);
        let spectrum = |team: &dyn Team, exact: bool| {
            let own = Partition::new(domain.modes()[2], team.rank(), team.size()).mine();
            let block = Block { start: [0, 0, own.start], count: [1, 1, own.len()] };
            let scales = Scales::wavenumbers(&domain, block);
            let a = random(&domain, block);
            let b: Vec<_> = a.iter().map(|z| z * 0.3).collect();
            let sums = match exact {
                true => ranks::total(team, &spectra::by_shell(&domain, &scales, &shells, &[&a, &b])),
                false => ranks::isotropic(team, &domain, &scales, &shells, &[&a, &b]),
            };
            sums.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let one = spectrum(&Solo, true);
        assert!(one.len() > 300 && one.iter().all(|&e| f64::from_bits(e) > 0.0));
        assert_eq!(spectrum(&Solo, false), one);
        for ranks in [2, 3, 7] {
            threads::run(ranks, |team| assert_eq!(spectrum(team, false), one, "{ranks} ranks"));
        }
    }
}

/// u = 3/(5 − 4 cos 2πx/L) = Σ 2^−|k| e^{ikx}: a rate of ln 2, and beyond K = 20 an RMS of 2⁻²⁰·√(2/3)/√(5/3).
#[test]
fn the_resolution_of_a_geometric_series_is_its_missing_part() {
    let domain = Domain::new(vec![axis("x", 62, 3.0, true)], false);
    assert_eq!(domain.axes[2].highest, 20);
    let modes: Vec<Complex<f64>> = (0..=20).map(|k| Complex::new(0.5f64.powi(k), 0.0)).collect();
    let scales = Scales::wavenumbers(&domain, Block { start: [0; 3], count: domain.modes() });
    let found = ranks::resolution(&Solo, &domain, &scales, &[&modes]);
    let decay = found[0].unwrap();
    assert!((decay.rate - std::f64::consts::LN_2).abs() < 1e-12, "{decay:?}");
    let missing = 0.5f64.powi(20) * 0.4f64.sqrt();
    assert!((decay.error / missing - 1.0).abs() < 1e-6, "{decay:?}, {missing:e}");
}

#[test]
fn modes_move_to_another_resolution_and_another_cut() {
    let (fine, coarse) = (box_of(&[20, 16, 24]), box_of(&[11, 19, 9]));
    for ranks in [1, 2, 3, 6] {
        threads::run(ranks, |team| {
            for (from, to) in [(&fine, &coarse), (&coarse, &fine)] {
                let (here, there) = (pencil(from.modes(), team), pencil(to.modes(), team));
                let values = random(from, here);
                let mut moved = vec![Complex::new(9.0, 9.0); there.len()];
                Remap::new(team, from, here, to, there).apply(team, &values, &mut moved);
                let all = random(from, Block { start: [0; 3], count: from.modes() });
                let m = from.modes();
                for (i, z) in moved.iter().enumerate() {
                    let c = there.count;
                    let local = [i / (c[1] * c[2]), i / c[2] % c[1], i % c[2]];
                    let k: [i64; 3] = std::array::from_fn(|a| to.axes[a].number(there.start[a] + local[a]));
                    let place = (0..3).try_fold(0, |at, a| Some(at * m[a] + from.axes[a].index(k[a])?));
                    let expected = place.map_or(Complex::new(0.0, 0.0), |p| all[p]);
                    assert_eq!(*z, expected, "{ranks} ranks, wavenumber {k:?}");
                }
            }
        });
    }
}

#[test]
fn kept_fields_slices_and_probes_are_the_function_itself() {
    for points in [vec![30], vec![18, 24], vec![12, 15, 18]] {
        let domain = box_of(&points);
        let d = points.len();
        // Fewer points on one axis, more on the others; the waves fit both.
        let mut grid: Vec<usize> = points.iter().map(|n| n + 5).collect();
        grid[0] = 9;
        let slices = if d > 1 { vec![SliceKeys { axis: "y".into(), at: 3.1 }] } else { vec![] };
        let probe: Vec<f64> = vec![1.234, 0.4, 4.0][..d].to_vec();
        for own in [vec![], if d > 1 { grid } else { vec![11] }] {
            let keys = OutputKeys {
                fields: vec!["slope".into(), "u".into(), "v".into()],
                points: own.clone(),
                slices: slices.clone(),
                probes: vec![probe.clone()],
                ..OutputKeys::default()
            };
            for ranks in [1, 3] {
                let memory = Memory::default();
                let probes = threads::run(ranks, |team| {
                    let mut transform = OnRoot::new(&domain, team);
                    let make = |d: &Domain| Box::new(OnRoot::new(d, team)) as Box<dyn Transform<f64>>;
                    let mut output = output(&keys, &transform, make, team);
                    let fields =
                        if team.rank() == 0 { state(&domain) } else { Fields::zeros(2, transform.modes().len()) };
                    output.walk(&mut &memory, team, &fields, &mut transform).unwrap();
                    assert_eq!(output.probe_names().iter().map(|n| n.name).collect::<Vec<_>>()[1], "u_probe_1");
                    (output.probes(team, &fields), output.domain().clone())
                })
                .remove(0);
                let (probes, grid) = probes;
                let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
                assert!(close(probes[1], u(&domain, &probe)) && close(probes[2], v(&domain, &probe)), "{probes:?}");
                let (kept_u, kept_v) = (memory.values("u"), memory.values("v"));
                each_point(&grid, |i, x| {
                    assert!(close(kept_u[i], u(&domain, x)) && close(kept_v[i], v(&domain, x)), "{own:?} at {x:?}");
                });
                // The slope by central differences of the function, at the probe.
                let h = 1e-5;
                let (mut a, mut b) = (probe.clone(), probe.clone());
                (a[d - 1], b[d - 1]) = (a[d - 1] + h, b[d - 1] - h);
                let slope = (u(&domain, &a) - u(&domain, &b)) / (2.0 * h);
                assert!((probes[0] - slope).abs() < 1e-8, "{} {slope}", probes[0]);
                assert_eq!(memory.values("x").len(), grid.own()[0].points);
                if d > 1 {
                    let (plane, y) = (memory.values("u_slice_1"), &grid.own()[1]);
                    let near = (0..y.points)
                        .min_by(|&i, &j| (y.coordinate(i) - 3.1).abs().total_cmp(&(y.coordinate(j) - 3.1).abs()));
                    let mut next = 0;
                    each_point(&grid, |i, x| {
                        if x[1] == y.coordinate(near.unwrap()) {
                            assert_eq!(plane[next].to_bits(), kept_u[i].to_bits());
                            next += 1;
                        }
                    });
                    assert_eq!(next, plane.len());
                }
                assert!(memory.names().contains(&"v_spectrum".to_string()), "{:?}", memory.names());
            }
        }
    }
}

#[test]
fn statistics_are_time_means_and_go_through_a_restart() {
    let domain = box_of(&[12, 18]);
    for profile in [None, Some("y".to_string())] {
        let statistics = Some(StatisticsKeys { start: 1.0, every: 2, profile: profile.clone() });
        let keys = OutputKeys { fields: vec!["u".into()], statistics, ..OutputKeys::default() };
        let memory = Memory::default();
        let mut transform = Reference::new(&domain);
        let make = |d: &Domain| Box::new(Reference::new(d)) as Box<dyn Transform<f64>>;
        let mut output = output(&keys, &transform, make, &Solo);
        let base = state(&domain);
        // u·s at times 0.5 step: samples at steps 2, 4, 6, 8 (t = 1, 2, 3, 4), the first of which stands for no time.
        let factor = |step: u64| step as f64;
        for step in 1..=9u64 {
            let mut fields = base.clone();
            fields.arrays[0].iter_mut().for_each(|z| *z *= factor(step));
            output.sample(step, 0.5 * step as f64, &Solo, &fields, &mut transform);
        }
        let kept = Memory::default();
        output.state(&mut &kept, &transform).unwrap();
        output.results(&mut &memory, &transform).unwrap();
        // Factors 4, 6, 8: mean 6, mean square 116/3, variance 8/3.
        let (means, variances) = (memory.values("u_mean"), memory.values("u_variance"));
        if profile.is_none() {
            each_point(&domain, |i, x| {
                let u = u(&domain, x);
                assert!((means[i] - 6.0 * u).abs() < 1e-12 && (variances[i] - 8.0 / 3.0 * u * u).abs() < 1e-12);
            });
        } else {
            assert_eq!(means.len(), 18);
            let n = domain.own()[0].points as f64;
            for (j, mean) in means.iter().enumerate() {
                let (mut first, mut second) = (0.0, 0.0);
                each_point(&domain, |_, x| {
                    if x[1] == domain.own()[1].coordinate(j) {
                        first += u(&domain, x) / n;
                        second += u(&domain, x).powi(2) / n;
                    }
                });
                assert!((mean - 6.0 * first).abs() < 1e-12);
                let variance = 116.0 / 3.0 * second - (6.0 * first).powi(2);
                assert!((variances[j] - variance).abs() < 1e-10, "{} {variance}", variances[j]);
            }
        }
        assert_eq!(kept.values("statistics_last"), [4.0]);
        assert_eq!(kept.values("statistics_weight"), [3.0]);
    }
}

/// u = 10⁵ + 10⁻³ s cos x at s = 1, 2, 3, of which the first stands for no time: the mean of s² is 6.5, of cos² ½.
#[test]
fn the_variance_of_a_profile_does_not_cancel_beside_a_large_mean() {
    let domain = box_of(&[12, 18]);
    let statistics = Some(StatisticsKeys { start: 1.0, every: 1, profile: Some("y".into()) });
    let keys = OutputKeys { fields: vec!["u".into()], statistics, ..OutputKeys::default() };
    let mut transform = Reference::new(&domain);
    let make = |d: &Domain| Box::new(Reference::new(d)) as Box<dyn Transform<f64>>;
    let mut output = output(&keys, &transform, make, &Solo);
    for step in 1..=3u64 {
        let mut values = vec![0.0; domain.points().iter().product()];
        each_point(&domain, |i, x| {
            let turn = std::f64::consts::TAU * (x[0] - domain.own()[0].low) / domain.own()[0].length;
            values[i] = 1e5 + 1e-3 * step as f64 * turn.cos();
        });
        let mut fields = Fields::zeros(2, transform.modes().len());
        Reference::new(&domain).forward(&Solo, &[&values, &values], &mut fields.views_mut());
        output.sample(step, step as f64, &Solo, &fields, &mut transform);
    }
    let memory = Memory::default();
    output.results(&mut &memory, &transform).unwrap();
    assert!(memory.values("u_mean").iter().all(|m| (m - 1e5).abs() < 1e-9));
    assert!(
        memory.values("u_variance").iter().all(|v| (v / 3.25e-6 - 1.0).abs() < 1e-4),
        "{:?}",
        memory.values("u_variance")
    );
}

#[test]
fn what_cannot_be_kept_is_said_with_its_key() {
    let domain = box_of(&[12, 18]);
    let fails = |keys: OutputKeys| {
        Asked::of::<f64>(&keys, pair().as_ref(), &domain).err().map(|(key, text)| format!("{key}: {text}")).unwrap()
    };
    let keys = OutputKeys::default;
    assert_eq!(
        fails(OutputKeys { fields: vec!["w".into()], ..keys() }),
        "fields: \"w\" is not a field of this equation: u, v, slope, or \"all\""
    );
    assert!(fails(OutputKeys { fields: vec!["all".into(), "w".into()], ..keys() }).contains("\"w\" is not a field"));
    assert_eq!(fails(OutputKeys { points: vec![8], ..keys() }), "points: needs one number for each of the 2 axes");
    let slices = vec![SliceKeys { axis: "z".into(), at: 0.0 }];
    assert_eq!(fails(OutputKeys { slices, ..keys() }), "slices: \"z\" is not an axis of this box: x, y");
    assert_eq!(
        fails(OutputKeys { probes: vec![vec![1.0]], ..keys() }),
        "probes: probe 1 has 1 coordinates, the box 2 axes"
    );
    assert_eq!(
        fails(OutputKeys { probes: vec![vec![1.0, f64::NAN]], ..keys() }),
        "probes: probe 1: y = NaN is not a finite number"
    );
}

#[test]
fn places_between_walls_are_within_the_layer_to_rounding() {
    let wall = Axis { name: "z", basis: Basis::Chebyshev, low: -0.3, length: 1.0, points: 9, ..Axis::trivial() };
    let axes = vec![Axis { highest: 8, ..wall }, axis("y", 8, 3.0, false), axis("x", 8, 5.0, true)];
    let domain = Domain::new(axes, false);
    let made = |z: f64| {
        let probes = vec![vec![z, 99.0, -99.0]];
        let slices = vec![SliceKeys { axis: "z".into(), at: z }, SliceKeys { axis: "x".into(), at: 99.0 }];
        [OutputKeys { probes, ..OutputKeys::default() }, OutputKeys { slices, ..OutputKeys::default() }]
            .map(|keys| Asked::of::<f64>(&keys, pair().as_ref(), &domain).err())
    };
    for z in [-0.3, 0.0, 0.7, 0.7 + 1e-15] {
        assert_eq!(made(z), [None, None], "{z}");
    }
    for z in [-0.31, 0.71, 5.5, f64::NAN] {
        let [probes, slices] = made(z);
        let words = format!("z = {z} is outside the layer between the walls, -0.3 to 0.7");
        assert_eq!(probes, Some(("probes", format!("probe 1: {words}"))));
        assert_eq!(slices, Some(("slices", words)));
    }
}

/// How long a recorded step's sums take; `cargo test --release quadratics_rate -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn quadratics_rate() {
    for points in [[1, 1, 1024], [1, 512, 512], [128, 128, 128]] {
        let domain = Domain::new((0..3).map(|a| axis("x", points[a], 3.0, a == 2)).collect(), false);
        let block = Block { start: [0; 3], count: domain.modes() };
        let scales = Scales::wavenumbers(&domain, block);
        let a = random(&domain, block);
        let fields = Fields { arrays: vec![a.clone(), a] };
        let modes = block.len() as f64;
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..20 {
            let t = std::time::Instant::now();
            std::hint::black_box(means::quadratics(pair().as_ref(), &domain, &scales, &fields, &fields));
            rates[0].push(t.elapsed().as_secs_f64() / modes * 1e9);
            let t = std::time::Instant::now();
            std::hint::black_box(means::mean_squares(&domain, &scales, &fields.views()));
            rates[1].push(t.elapsed().as_secs_f64() / modes / 2.0 * 1e9);
            let x: Vec<f64> = fields.arrays[0].iter().map(|z| z.re).collect();
            let t = std::time::Instant::now();
            let mut sum = Exact::default();
            sum.add_all(std::hint::black_box(&x));
            std::hint::black_box(sum.value());
            rates[2].push(t.elapsed().as_secs_f64() / modes * 1e9);
        }
        let median = |r: &mut Vec<f64>| {
            r.sort_by(f64::total_cmp);
            r[r.len() / 2]
        };
        let [q, m, e] = rates.each_mut().map(median);
        println!(
            "{points:?}: {modes} modes; two quadratics {q:.2} ns per mode, mean square {m:.2} ns, addition {e:.2} ns"
        );
    }
}
