//! One evaluation of N: derive, transform, multiply, transform back, assemble.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use num_complex::Complex;
use smallvec::{SmallVec, smallvec};

use super::domain::Tile;
use super::equation::{Drive, Equation, Round};
use super::fields::Fields;
use super::results::{means, ranks};
use super::steppers::{Nonlinear, Stage};
use super::transform::{Counts, Inputs, Scales, Then, Transform};
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
    /// Arrays that are made to go to the grid; the longest round's.
    derived: Fields<T>,
    /// Products of all rounds; not of the last if they are taken at once.
    products: Fields<T>,
    /// The last products are assembled tile by tile as they come.
    at_once: bool,
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
        // A state that is not finite is found after the step, as one that has diverged.
        if square > 0.0 || square.is_nan() {
            return Ok((self.power / square, square));
        }
        let message = "a drive of constant power needs motion in the band of wavenumbers it acts on";
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
        let derived = Fields::zeros(equation.derived_arrays(), modes);
        let at_once = rounds.last().is_some_and(|last| transform.takes_at_once(last.forward, following(rounds)));
        // Ranks meet elsewhere where it is not, and those of a pencil differ in their columns.
        let at_once = !team.any(!at_once);
        let kept = &rounds[..rounds.len() - usize::from(at_once)];
        let products = Fields::zeros(kept.iter().map(|r| r.forward).sum(), modes);
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
        Evaluation { equation, scales, derived, products, at_once, forcing: forced.then_some(forcing), band }
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

    /// Ready to evaluate with this transform and team; `fastest` becomes the speeds met on the way.
    pub fn bind<'a>(
        &'a mut self,
        transform: &'a mut dyn Transform<T>,
        team: &'a dyn Team,
        fastest: Option<&'a mut [f64; 3]>,
    ) -> Bound<'a, T> {
        Bound { evaluation: self, transform, team, fastest, left: None }
    }
}

/// An [`Evaluation`] with its transform and ranks.
pub struct Bound<'a, T: Real> {
    evaluation: &'a mut Evaluation<T>,
    transform: &'a mut dyn Transform<T>,
    team: &'a dyn Team,
    fastest: Option<&'a mut [f64; 3]>,
    left: Option<Left<T>>,
}

/// The largest speeds that an evaluation meets, from all threads.
pub(super) struct Speeds(Mutex<SmallVec<[f64; 16]>>);

impl Speeds {
    pub fn of<T: Real>(equation: &dyn Equation<T>) -> Speeds {
        Speeds(Mutex::new(smallvec![0.0; equation.measured_speeds()]))
    }

    pub fn meet<T: Real>(&self, equation: &dyn Equation<T>, round: usize, time: f64, tile: &Tile, values: &[&[T]]) {
        let mut here: SmallVec<[f64; 16]> = smallvec![0.0; equation.measured_speeds()];
        equation.speeds_at(round, time, tile, values, &mut here);
        let mut all = self.0.lock().expect("no thread panicked");
        all.iter_mut().zip(here).for_each(|(all, here)| *all = all.max(here));
    }

    /// Of all ranks.
    pub fn fastest<T: Real>(self, equation: &dyn Equation<T>, team: &dyn Team) -> [f64; 3] {
        let mut largest = self.0.into_inner().expect("no thread panicked");
        team.max_each(&mut largest);
        equation.fastest(&largest)
    }
}

/// A state whose arrays have left for the grid.
struct Left<T> {
    time: f64,
    place: *const Complex<T>,
    /// Whether the state itself is at its place.
    kept: bool,
}

/// Arrays of the next evaluation that can leave for the grid while N is made: where it has one round.
pub(super) fn following(rounds: &[Round]) -> usize {
    if let [only] = rounds { only.backward } else { 0 }
}

/// Whether an evaluation needs no more of a state than what has left for the grid.
pub(super) fn goes_on_at_once<T: Real>(equation: &dyn Equation<T>) -> bool {
    equation.rounds().len() == 1 && !equation.reads_state()
}

/// Who gets N.
enum Taker<'a, T: Real> {
    Arrays(Parts<'a, T>),
    Stage(&'a Stage<'a, T>),
}

impl<T: Real> Nonlinear<T> for Bound<'_, T> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()> {
        let views: Views<&[Complex<T>]> = state.arrays.iter().map(Vec::as_slice).collect();
        self.run(time, &views, &Taker::Arrays(Parts::new(&mut out.arrays)));
        if let Some(band) = &self.evaluation.band {
            let (gain, _) = band.gain(&state.arrays, self.team)?;
            band.add(gain, &state.arrays, &mut out.arrays);
        }
        Ok(())
    }

    fn comes_in_parts(&self) -> bool {
        self.evaluation.at_once && self.evaluation.band.is_none()
    }

    fn goes_on_at_once(&self) -> bool {
        goes_on_at_once(self.evaluation.equation.as_ref())
    }

    fn evaluate_in_parts(&mut self, time: f64, stage: &Stage<T>) {
        // SAFETY: whole arrays of it are read before products come, with which the stage is taken.
        let state = unsafe { stage.state() };
        self.run(time, &state, &Taker::Stage(stage));
    }
}

impl<T: Real> Bound<'_, T> {
    /// N without the drive.
    fn run(&mut self, time: f64, state: &[&[Complex<T>]], taker: &Taker<T>) {
        let Evaluation { equation, scales, derived, products, at_once, forcing, .. } = &mut *self.evaluation;
        let (equation, rounds, reads) = (equation.as_ref(), equation.rounds(), equation.reads_state());
        let left = self.left.take().is_some_and(|left| {
            let same = left.time == time && left.place == state[0].as_ptr();
            assert!(same || left.kept, "N is evaluated elsewhere than where the last stage went on to");
            same
        });
        let assemble =
            |tile: &Tile, at: &Range<usize>, state: &Cut<T>, products: &Cut<T>, out: &mut [&mut [Complex<T>]]| {
                let state = if reads { state } else { &[] };
                equation.assemble(time, tile, state, products, out);
                if let Some(forcing) = forcing.as_ref() {
                    for (o, f) in out.iter_mut().zip(&forcing.arrays) {
                        o.iter_mut().zip(&f[at.clone()]).for_each(|(o, f)| *o += *f);
                    }
                }
            };
        let speeds = (self.fastest.is_some() && equation.carries()).then(|| Speeds::of(equation));
        let mut done = 0;
        for (r, round) in rounds.iter().enumerate() {
            let (earlier, mine) = products.arrays.split_at_mut(done);
            let earlier: Views<&[Complex<T>]> = earlier.iter().map(Vec::as_slice).collect();
            let inputs: Views<&[Complex<T>]> = if left {
                SmallVec::new()
            } else if equation.derives(r) {
                let arrays = &mut derived.arrays[..round.backward];
                over_tiles(scales, arrays, |tile, at, out| {
                    equation.derive(r, time, tile, &parts(state, &at), &parts(&earlier, &at), out);
                });
                arrays.iter().map(Vec::as_slice).collect()
            } else {
                state[..round.backward].into()
            };
            let multiply = |tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]| {
                if let Some(speeds) = &speeds {
                    speeds.meet(equation, r, time, tile, values);
                }
                equation.multiply(r, time, tile, values, products);
            };
            if *at_once && r + 1 == rounds.len() {
                let (next, work) = match taker {
                    Taker::Arrays(_) => (None, 0),
                    Taker::Stage(stage) => (stage.next().filter(|_| rounds.len() == 1), stage.work()),
                };
                let next_time = next.map(|(time, _)| time);
                let counts = Counts { outputs: round.forward, next: next.map_or(0, |_| following(rounds)), work };
                // Places go on in the next plane.
                let [_, rows, columns] = scales.block().count;
                let ahead = rows * columns;
                let then: &Then<T> = &|tile, at, last, work| match taker {
                    Taker::Arrays(out) => {
                        // SAFETY: every mode comes once, here and below.
                        let out = &mut unsafe { out.at(&at) };
                        assemble(tile, &at, &parts(state, &at), &joined(&earlier, &at, &last[..round.forward]), out);
                    }
                    Taker::Stage(stage) => {
                        let next = unsafe {
                            stage.take(&at, ahead, work, |u, rate| {
                                assemble(tile, &at, u, &joined(&earlier, &at, &last[..round.forward]), rate)
                            })
                        };
                        if let Some(time) = next_time {
                            equation.derive(0, time, tile, &next, &[], &mut last[..counts.next]);
                        }
                    }
                };
                let inputs = if left { Inputs::Left(round.backward) } else { Inputs::Coefficients(&inputs) };
                self.transform.through_then(self.team, inputs, &multiply, counts, then);
                self.left = next.map(|(time, place)| {
                    let kept = matches!(taker, Taker::Stage(stage) if stage.keeps());
                    Left { time, place, kept }
                });
            } else {
                let mut outputs: Views<_> = mine[..round.forward].iter_mut().map(Vec::as_mut_slice).collect();
                self.transform.through(self.team, &inputs, &multiply, &mut outputs);
            }
            done += round.forward;
        }
        if let (Some(speeds), Some(fastest)) = (speeds, self.fastest.take()) {
            *fastest = speeds.fastest(equation, self.team);
        }
        if let (false, Taker::Arrays(out)) = (*at_once, taker) {
            let products: Views<&[Complex<T>]> = products.arrays.iter().map(Vec::as_slice).collect();
            out.over_tiles(scales, |tile, at, out| {
                assemble(tile, &at, &parts(state, &at), &parts(&products, &at), out)
            });
        }
    }
}

/// Views of several arrays, without a heap: no equation known has more.
pub(super) type Views<V> = SmallVec<[V; 32]>;

/// The slices of some arrays at one tile.
type Cut<'a, T> = [&'a [Complex<T>]];

pub(super) fn parts<'a, T>(arrays: &Cut<'a, T>, at: &Range<usize>) -> Views<&'a [Complex<T>]> {
    arrays.iter().map(|a| &a[at.clone()]).collect()
}

/// The slices at one tile of some arrays, and others that are those of a tile.
fn joined<'a, T>(arrays: &Cut<'a, T>, at: &Range<usize>, of_tile: &'a [&mut [Complex<T>]]) -> Views<&'a [Complex<T>]> {
    arrays.iter().map(|a| &a[at.clone()]).chain(of_tile.iter().map(|of_tile| &**of_tile)).collect()
}

/// Arrays of one length, of which threads write to different parts.
struct Parts<'a, T> {
    starts: Views<*mut Complex<T>>,
    length: usize,
    borrowed: PhantomData<&'a mut [Complex<T>]>,
}

// SAFETY: made of slices borrowed for writing; who calls `at` sees to it that parts do not overlap.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T: Real> Parts<'a, T> {
    fn new(arrays: &'a mut [Vec<Complex<T>>]) -> Self {
        // Of no arrays every tile has its no parts.
        let length = arrays.first().map_or(usize::MAX, Vec::len);
        assert!(arrays.iter().all(|a| a.len() == length));
        Parts { starts: arrays.iter_mut().map(|a| a.as_mut_ptr()).collect(), length, borrowed: PhantomData }
    }

    /// # Safety
    /// No two ranges that are in use overlap.
    unsafe fn at(&self, range: &Range<usize>) -> Views<&'a mut [Complex<T>]> {
        assert!(range.start <= range.end && range.end <= self.length, "{range:?} of {}", self.length);
        // SAFETY: within the arrays, which are borrowed for as long.
        self.starts.iter().map(|p| unsafe { std::slice::from_raw_parts_mut(p.add(range.start), range.len()) }).collect()
    }

    /// Calls `act(tile, range, parts)` for every tile with the parts that belong to it, over threads.
    fn over_tiles(&self, scales: &Scales, act: impl Fn(&Tile, Range<usize>, &mut [&mut [Complex<T>]]) + Sync) {
        each(scales.tile_count(TILE), |i| {
            let (tile, at) = scales.nth_tile(i, TILE);
            // SAFETY: tiles do not overlap, and each is visited once.
            act(&tile, at.clone(), &mut unsafe { self.at(&at) });
        });
    }
}

/// [`Parts::over_tiles`] of arrays.
pub(super) fn over_tiles<T: Real>(
    scales: &Scales,
    arrays: &mut [Vec<Complex<T>>],
    act: impl Fn(&Tile, Range<usize>, &mut [&mut [Complex<T>]]) + Sync,
) {
    Parts::new(arrays).over_tiles(scales, act);
}
