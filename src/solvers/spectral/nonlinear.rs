//! One evaluation of N: derive, transform, multiply, transform back, assemble.

use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use num_complex::Complex;
use rayon::prelude::*;
use smallvec::SmallVec;

use super::domain::Tile;
use super::equation::Equation;
use super::fields::Fields;
use super::steppers::Nonlinear;
use super::transform::{Scales, Transform};
use crate::error::Result;
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
}

impl<T: Real> Evaluation<T> {
    /// Makes the work space and the coefficients of the forcing; collective.
    pub fn new(equation: Arc<dyn Equation<T>>, transform: &mut dyn Transform<T>, team: &dyn Team) -> Self {
        let scales = Scales::wavenumbers(transform.domain(), transform.modes());
        let modes = transform.modes().len();
        let rounds = equation.rounds();
        let derived = Fields::zeros(rounds.iter().map(|r| r.backward).max().unwrap_or(0), modes);
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
        Evaluation { equation, scales, derived, products, forcing: forced.then_some(forcing) }
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
        let Evaluation { equation, scales, derived, products, forcing } = &mut *self.evaluation;
        let equation = equation.as_ref();
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
        Ok(())
    }
}

/// Views of several arrays, without a heap: no equation known has more.
type Views<V> = SmallVec<[V; 32]>;

fn parts<'a, T>(arrays: &Views<&'a [Complex<T>]>, at: &Range<usize>) -> Views<&'a [Complex<T>]> {
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
    let tiles = scales.tile_count(TILE);
    if tiles < 2 || rayon::current_num_threads() == 1 {
        (0..tiles).for_each(one);
    } else {
        (0..tiles).into_par_iter().for_each(one);
    }
}
