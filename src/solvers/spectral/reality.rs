//! Coefficients of real fields: û(−k) is the conjugate of û(k).
//!
//! One half of the modes stands for all, but where the halved axis has wavenumber 0 both of a pair are kept. On the grid
//! they make a real field whatever rounding has put between them: N never sees the difference, and L alone moves it. A
//! growing mode of L takes it past all bounds, as e^{λt}, while the field itself stays bounded.

use std::ops::Range;

use num_complex::Complex;

use super::domain::{Basis, Block, Domain};
use super::fields::Fields;
use super::nonlinear::Views;
use super::results::ranks;
use super::steppers::Stepper;
use super::transform::layout::Layout;
use super::transform::{ProcessGrid, Traffic};
use crate::math::real::Real;
use crate::team::Team;

/// The mode with the opposite wavenumber on every axis that has a sign.
fn partner(domain: &Domain, index: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|a| {
        let axis = &domain.axes[a];
        let sign = if axis.basis == Basis::Chebyshev { 1 } else { -1 };
        axis.index(sign * axis.number(index[a])).expect("of each wavenumber both signs are kept")
    })
}

/// What the busiest rank sends in one [`Reality::restore`] of so many arrays of complex numbers of `size` bytes; nothing of
/// complex fields.
pub fn exchanged(domain: &Domain, grid: ProcessGrid, arrays: u64, size: u64) -> Traffic {
    let mut busiest = Traffic::default();
    let rows = Layout::new(domain, grid, 0).modes1;
    for own in rows.ranges().filter(|_| !domain.complex) {
        let row_of_partner = |row: usize| partner(domain, [0, row, 0])[1];
        let away: Vec<usize> = own.clone().map(row_of_partner).filter(|row| !own.contains(row)).collect();
        let others = rows.ranges().filter(|other| away.iter().any(|row| other.contains(row))).count() as u64;
        let bytes = away.len() as u64 * domain.modes()[0] as u64 * arrays * size;
        busiest = Traffic { messages: busiest.messages.max(others), bytes: busiest.bytes.max(bytes) };
    }
    busiest
}

/// The modes of this rank that have a partner among the kept ones.
pub struct Reality<T> {
    /// Places of pairs that are both here. A mode may be its own partner, but not between walls: their mean column is L's
    /// alone, which does not make it grow, and holds the mean flow as U + iV.
    here: Vec<[usize; 2]>,
    /// Ranks, and places of modes whose partners are there, in order.
    send: Vec<(usize, Vec<usize>)>,
    /// Ranks, and places of the partners of what comes from there, as it comes.
    receive: Vec<(usize, Vec<usize>)>,
    /// What goes and what comes, made at the first call.
    room: [Vec<Complex<T>>; 2],
}

impl<T: Real> Reality<T> {
    /// For the modes of this rank; none for complex fields. Collective.
    pub fn new(domain: &Domain, modes: Block, team: &dyn Team) -> Option<Self> {
        if domain.complex {
            return None;
        }
        let blocks = ranks::blocks(team, modes);
        let holds = |block: &Block, index: &[usize; 3]| {
            (0..3).all(|a| (block.start[a]..block.start[a] + block.count[a]).contains(&index[a]))
        };
        let place = |index: [usize; 3]| {
            let [i, j, k] = std::array::from_fn(|a| index[a] - modes.start[a]);
            (i * modes.count[1] + j) * modes.count[2] + k
        };
        // Partners, with the places of the modes whose partners they are.
        let mut pairs: Vec<([usize; 3], usize)> = Vec::new();
        if modes.start[2] == 0 && modes.count[2] > 0 {
            let rows = modes.start[1]..modes.start[1] + modes.count[1];
            let planes = modes.start[0]..modes.start[0] + modes.count[0];
            let all = planes.flat_map(|i| rows.clone().map(move |j| [i, j, 0]));
            pairs.extend(all.map(|index| (partner(domain, index), place(index))));
        }
        let both = |(other, at): &([usize; 3], usize)| holds(&modes, other).then(|| [*at, place(*other)]);
        let walls = domain.has_walls();
        let here = pairs.iter().filter_map(both).filter(|[a, b]| a < b || (a == b && !walls)).collect();
        let by_rank = |pairs: &[([usize; 3], usize)]| {
            let of_rank = |(rank, block): (usize, &Block)| {
                let there = pairs.iter().filter(|(other, _)| holds(block, other));
                (rank, there.map(|(_, at)| *at).collect())
            };
            let others = blocks.iter().enumerate().filter(|(rank, _)| *rank != team.rank());
            others.map(of_rank).filter(|(_, places): &(usize, Vec<usize>)| !places.is_empty()).collect()
        };
        let send = by_rank(&pairs);
        // What comes is in the order of the places of who sends it.
        pairs.sort_unstable();
        Some(Reality { here, send, receive: by_rank(&pairs), room: [Vec::new(), Vec::new()] })
    }

    /// [`Reality::restore`] of a state, what the stepper remembers, and `more`.
    pub fn restore_all(
        &mut self,
        team: &dyn Team,
        state: &mut Fields<T>,
        stepper: &mut dyn Stepper<T>,
        more: &mut [Vec<Complex<T>>],
    ) {
        let (history, _) = stepper.history();
        let remembered = history.into_iter().flat_map(|(_, fields)| &mut fields.arrays);
        let all = state.arrays.iter_mut().chain(remembered).chain(more);
        self.restore(team, &mut all.map(Vec::as_mut_slice).collect::<Views<_>>());
    }

    /// Both of each pair become the mean of one and the conjugate of the other. Collective, with as many arrays everywhere.
    pub fn restore(&mut self, team: &dyn Team, arrays: &mut [&mut [Complex<T>]]) {
        let mean = |z: Complex<T>, partner: Complex<T>| (z + partner.conj()) * T::of(0.5);
        for array in arrays.iter_mut() {
            for &[a, b] in &self.here {
                (array[a], array[b]) = (mean(array[a], array[b]), mean(array[b], array[a]));
            }
        }
        if team.size() == 1 {
            return;
        }
        let parts = |of: &[(usize, Vec<usize>)]| -> Vec<(usize, Range<usize>)> {
            let mut end = 0;
            let mut next = |places: &Vec<usize>| {
                let start = end;
                end += places.len() * arrays.len();
                start..end
            };
            of.iter().map(|(rank, places)| (*rank, next(places))).collect()
        };
        let (to, from) = (parts(&self.send), parts(&self.receive));
        let [mut going, mut coming] = std::mem::take(&mut self.room);
        going.clear();
        for (_, places) in &self.send {
            going.extend(arrays.iter().flat_map(|array| places.iter().map(|&at| array[at])));
        }
        coming.resize(from.last().map_or(0, |(_, part)| part.end), Complex::default());
        (going, coming) = team.start_transfer(going, &to, coming, &from).wait();
        for ((_, places), (_, part)) in self.receive.iter().zip(from) {
            for (array, came) in arrays.iter_mut().zip(coming[part].chunks_exact(places.len())) {
                places.iter().zip(came).for_each(|(&at, z)| array[at] = mean(array[at], *z));
            }
        }
        self.room = [going, coming];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::domain::Axis;
    use crate::solvers::spectral::transform::layout::Layout;
    use crate::team::threads;

    #[test]
    fn pairs_are_conjugate_afterwards_and_real_fields_keep_their_bits_on_1_to_6_ranks() {
        let axis = |basis, highest| Axis { basis, points: 2 * highest + 2, highest, ..Axis::trivial() };
        for walls in [Basis::Fourier, Basis::Chebyshev] {
            let all = vec![axis(walls, 3), axis(Basis::Fourier, 4), axis(Basis::HalfFourier, 2)];
            let domain = Domain { axes: all.try_into().unwrap(), dimension: 3, complex: false };
            // Of mode (i, j, 0): conjugate pairs, and a part that is not, which must go but from the mean column between walls.
            let number = |i: usize, j: usize| (domain.axes[0].number(i) as f64, domain.axes[1].number(j) as f64);
            let odd = |a: f64| if walls == Basis::Chebyshev { 0.0 } else { a };
            let kept = |i: usize, j: usize| {
                let (a, b) = number(i, j);
                Complex::new(1.0 + a * a + b * b, odd(a) + 3.0 * b)
            };
            let lost = |i: usize, j: usize| {
                let (a, b) = number(i, j);
                Complex::new(odd(a) + 0.5 * b, 2.0 + b * b)
            };
            let stays = |j: usize| walls == Basis::Chebyshev && number(0, j).1 == 0.0;
            for (grid, ranks) in [([1, 1], 1), ([2, 1], 2), ([3, 1], 4), ([3, 2], 6)] {
                threads::run(ranks, |team| {
                    let modes = Layout::new(&domain, grid, team.rank()).modes(&domain);
                    let mut reality = Reality::new(&domain, modes, team).unwrap();
                    let mut array = vec![Complex::new(7.0, 8.0); modes.len()];
                    let mut exact = array.clone();
                    let mut real = array.clone();
                    // Lines along axis 2 begin with wavenumber 0, on ranks that have it.
                    let has_zero = modes.start[2] == 0 && modes.count[2] > 0;
                    for line in 0..if has_zero { modes.count[0] * modes.count[1] } else { 0 } {
                        let (i, j) = (modes.start[0] + line / modes.count[1], modes.start[1] + line % modes.count[1]);
                        let at = line * modes.count[2];
                        exact[at] = kept(i, j) + if stays(j) { lost(i, j) } else { Complex::default() };
                        real[at] = exact[at];
                        array[at] = kept(i, j) + lost(i, j);
                    }
                    reality.restore(team, &mut [&mut array, &mut real]);
                    assert!(array == exact && real == exact, "{ranks} ranks, {modes:?}");
                });
            }
        }
    }
}
