//! One evaluation of N: derive, transform, multiply, transform back, assemble.

use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use num_complex::Complex;
use smallvec::SmallVec;

use super::domain::Tile;
use super::equation::{Drive, Equation};
use super::fields::Fields;
use super::results::{means, ranks};
use super::steppers::Nonlinear;
use super::transform::{Scales, Transform};
use crate::crew::each;
use crate::error::{Error, Result};
use crate::math::exact::Exact;
use crate::math::real::Real;
use crate::team::Team;

/// Values of a spectral tile: a few arrays of it stay in the second-level cache.
const TILE: usize = 2048;

/// An equation on a grid, with its work space.
pub struct Evaluation<T: Real> {
    pub(super) equation: Arc<dyn Equation<T>>,
    pub(super) scales: Scales,
    /// Arrays that go to the grid; the longest round's.
    derived: Fields<T>,
    /// Products of all rounds.
    products: Fields<T>,
    /// Coefficients of the forcing that does not depend on time.
    pub(super) forcing: Option<Fields<T>>,
    pub(super) band: Option<Band>,
}

/// The modes of this rank that a [`Drive`] acts on.
pub(super) struct Band {
    power: f64,
    places: Vec<usize>,
    /// How often each counts in a sum over both signs.
    weights: Vec<f64>,
}

impl Band {
    fn new(drive: Drive, scales: &Scales, transform_domain: &super::domain::Domain) -> Band {
        let mut band = Band { power: drive.power, places: Vec::new(), weights: Vec::new() };
        let columns = means::columns(scales);
        for (tile, at) in scales.tiles(TILE) {
            tile.for_each(|i, k| {
                let kk = k[0] * k[0] + k[1] * k[1] + k[2] * k[2];
                if kk > 0.0 && kk <= drive.limit {
                    band.places.push(at.start + i);
                    band.weights.push(means::weight(transform_domain, columns.start + i % columns.len()));
                }
            });
        }
        band
    }

    /// Re Σ û* v̂ over the band, all fields together; collective.
    pub(super) fn inner<T: Real>(&self, a: &[Vec<Complex<T>>], b: &[Vec<Complex<T>>], team: &dyn Team) -> f64 {
        let mut sum = Exact::default();
        for (a, b) in a.iter().zip(b) {
            for (&i, w) in self.places.iter().zip(&self.weights) {
                let (a, b) = (means::wide(a[i]), means::wide(b[i]));
                sum.add(w * (a.re * b.re + a.im * b.im));
            }
        }
        ranks::total(team, &[sum])[0]
    }

    /// g of this state, and Σ|û|²; collective.
    ///
    /// # Errors
    /// When nothing moves in the band: no force along it does any work.
    pub(super) fn gain<T: Real>(&self, state: &[Vec<Complex<T>>], team: &dyn Team) -> Result<(f64, f64)> {
        let square = self.inner(state, state, team);
        if square > 0.0 {
            return Ok((self.power / square, square));
        }
        let message = "a drive of constant power needs a first state that moves in the band of wavenumbers it acts on";
        Err(Error::Numerical { step: 0, message: message.into() })
    }

    /// out += factor · u on the band.
    pub(super) fn add<T: Real>(&self, factor: f64, u: &[Vec<Complex<T>>], out: &mut [Vec<Complex<T>>]) {
        let factor = T::of(factor);
        for (out, u) in out.iter_mut().zip(u) {
            self.places.iter().for_each(|&i| out[i] += u[i] * factor);
        }
    }
}

impl<T: Real> Evaluation<T> {
    /// Makes the work space and the coefficients of the forcing; collective.
    pub fn new(equation: Arc<dyn Equation<T>>, transform: &mut dyn Transform<T>, team: &dyn Team) -> Self {
        let scales = Scales::wavenumbers(transform.domain(), transform.modes());
        let modes = transform.modes().len();
        let rounds = equation.rounds();
        let backward = rounds.iter().map(|r| r.backward).max().unwrap_or(0);
        let derived = Fields::zeros(backward.max(equation.pointwise_arrays()), modes);
        let products = Fields::zeros(rounds.iter().map(|r| r.forward).sum(), modes);
        let mut forcing = Fields::zeros(equation.fields().len(), modes);
        let forced = AtomicBool::new(false);
        let force = |tile: &Tile, _: &[&[T]], out: &mut [&mut [T]]| {
            out.iter_mut().for_each(|o| o.fill(T::zero()));
            if equation.forcing(tile, out) {
                forced.store(true, Ordering::Relaxed);
            }
        };
        transform.through(team, &[], &force, &mut forcing.views_mut());
        let forced = team.any(forced.into_inner());
        // The rest of the right-hand side keeps the constraints; so must this.
        over_tiles(&scales, &mut forcing.arrays, |tile, _, out| equation.constrain(tile, out));
        let band = equation.drive().map(|drive| Band::new(drive, &scales, transform.domain()));
        Evaluation { equation, scales, derived, products, forcing: forced.then_some(forcing), band }
    }

    /// Adds a force that does not depend on time, given by its coefficients, to that of the equation.
    pub fn force(&mut self, mut force: Fields<T>) {
        over_tiles(&self.scales, &mut force.arrays, |tile, _, out| self.equation.constrain(tile, out));
        match &mut self.forcing {
            Some(own) => {
                let pairs = own.arrays.iter_mut().flatten().zip(force.arrays.iter().flatten());
                pairs.for_each(|(own, more)| *own += *more);
            }
            None => self.forcing = Some(force),
        }
    }

    /// Means over the grid of the equation's pointwise densities ([`Equation::pointwise`]), with the same bits on any
    /// number of ranks; collective.
    pub fn pointwise(&mut self, transform: &mut dyn Transform<T>, team: &dyn Team, state: &Fields<T>) -> Vec<f64> {
        let Evaluation { equation, scales, derived, .. } = self;
        let (equation, count) = (equation.as_ref(), equation.pointwise().len());
        if count == 0 {
            return Vec::new();
        }
        let state: Views<&[Complex<T>]> = state.arrays.iter().map(Vec::as_slice).collect();
        let arrays = &mut derived.arrays[..equation.pointwise_arrays()];
        over_tiles(scales, arrays, |tile, at, out| equation.derive_pointwise(tile, &parts(&state, &at), out));
        let inputs: Vec<&[Complex<T>]> = arrays.iter().map(Vec::as_slice).collect();
        let sums = Mutex::new(vec![Exact::default(); count]);
        let measure = |tile: &Tile, values: &[&[T]], _: &mut [&mut [T]]| {
            let mut terms = vec![0.0; count * tile.len()];
            let mut densities: Views<&mut [f64]> = terms.chunks_exact_mut(tile.len()).collect();
            equation.pointwise_densities(tile, values, &mut densities);
            let mut here = vec![Exact::default(); count];
            here.iter_mut().zip(&densities).for_each(|(sum, terms)| sum.add_all(terms));
            let mut all = sums.lock().expect("no thread panicked");
            all.iter_mut().zip(&here).for_each(|(all, here)| all.merge(here));
        };
        transform.through(team, &inputs, &measure, &mut []);
        let points: f64 = transform.domain().points().iter().map(|&n| n as f64).product();
        let sums = sums.into_inner().expect("no thread panicked");
        ranks::total(team, &sums).into_iter().map(|sum| sum / points).collect()
    }

    /// Ready to evaluate with this transform and team; `fastest` is raised to the speeds met in the first round.
    pub fn bind<'a>(
        &'a mut self,
        transform: &'a mut dyn Transform<T>,
        team: &'a dyn Team,
        fastest: Option<&'a mut [f64; 3]>,
    ) -> Bound<'a, T> {
        Bound { evaluation: self, transform, team, fastest }
    }
}

/// An [`Evaluation`] with its transform and ranks.
pub struct Bound<'a, T: Real> {
    evaluation: &'a mut Evaluation<T>,
    transform: &'a mut dyn Transform<T>,
    team: &'a dyn Team,
    fastest: Option<&'a mut [f64; 3]>,
}

impl<T: Real> Nonlinear<T> for Bound<'_, T> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()> {
        let Evaluation { equation, scales, derived, products, forcing, band } = &mut *self.evaluation;
        let equation = equation.as_ref();
        let arrays_of_state = &state.arrays;
        let state: Views<&[Complex<T>]> = state.arrays.iter().map(Vec::as_slice).collect();
        let mut done = 0;
        for (r, round) in equation.rounds().iter().enumerate() {
            let (earlier, mine) = products.arrays.split_at_mut(done);
            let earlier: Views<&[Complex<T>]> = earlier.iter().map(Vec::as_slice).collect();
            let arrays = &mut derived.arrays[..round.backward];
            over_tiles(scales, arrays, |tile, at, out| {
                equation.derive(r, time, tile, &parts(&state, &at), &parts(&earlier, &at), out);
            });
            let inputs: Views<&[Complex<T>]> = arrays.iter().map(Vec::as_slice).collect();
            let mut outputs: Views<&mut [Complex<T>]> =
                mine[..round.forward].iter_mut().map(Vec::as_mut_slice).collect();
            let fastest = Mutex::new([0.0f64; 3]);
            let watch = r == 0 && self.fastest.is_some();
            let multiply = |tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]| {
                if watch {
                    let mut here = [0.0; 3];
                    equation.speeds_at(time, tile, values, &mut here);
                    let mut all = fastest.lock().expect("no thread panicked");
                    (0..3).for_each(|a| all[a] = all[a].max(here[a]));
                }
                equation.multiply(r, time, tile, values, products);
            };
            self.transform.through(self.team, &inputs, &multiply, &mut outputs);
            if watch && let Some(speeds) = self.fastest.take() {
                let mine = fastest.into_inner().expect("no thread panicked");
                *speeds = self.team.max_each(mine);
            }
            done += round.forward;
        }
        let products: Views<&[Complex<T>]> = products.arrays.iter().map(Vec::as_slice).collect();
        over_tiles(scales, &mut out.arrays, |tile, at, out| {
            equation.assemble(time, tile, &parts(&state, &at), &parts(&products, &at), out);
            if let Some(forcing) = forcing.as_ref() {
                for (o, f) in out.iter_mut().zip(&forcing.arrays) {
                    o.iter_mut().zip(&f[at.clone()]).for_each(|(o, f)| *o += *f);
                }
            }
        });
        if let Some(band) = band {
            let (gain, _) = band.gain(arrays_of_state, self.team)?;
            band.add(gain, arrays_of_state, &mut out.arrays);
        }
        Ok(())
    }
}

/// Views of several arrays, without a heap: no equation known has more.
pub(super) type Views<V> = SmallVec<[V; 32]>;

pub(super) fn parts<'a, T>(arrays: &Views<&'a [Complex<T>]>, at: &Range<usize>) -> Views<&'a [Complex<T>]> {
    arrays.iter().map(|a| &a[at.clone()]).collect()
}

/// A pointer that threads share; each touches its own tile only.
struct Shared<T>(*mut Complex<T>);

// SAFETY: made in `over_tiles` from slices borrowed for writing; tiles do not overlap.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

/// Calls `act(tile, range, parts)` for every tile with the parts of `arrays` that belong to it, over threads.
pub(super) fn over_tiles<T: Real>(
    scales: &Scales,
    arrays: &mut [Vec<Complex<T>>],
    act: impl Fn(&Tile, Range<usize>, &mut [&mut [Complex<T>]]) + Sync,
) {
    let modes = scales.block().len();
    assert!(arrays.iter().all(|a| a.len() == modes));
    let pointers: Views<Shared<T>> = arrays.iter_mut().map(|a| Shared(a.as_mut_ptr())).collect();
    let one = |i: usize| {
        let (tile, at) = scales.nth_tile(i, TILE);
        // SAFETY: every array has `modes` values, of which tiles are disjoint ranges, each visited once.
        let part = |p: &Shared<T>| unsafe { std::slice::from_raw_parts_mut(p.0.add(at.start), at.len()) };
        let mut parts: Views<&mut [Complex<T>]> = pointers.iter().map(part).collect();
        act(&tile, at.clone(), &mut parts);
    };
    each(scales.tile_count(TILE), one);
}
