//! Coefficients from one set of kept modes to another, both shared out among ranks in their own way: for output on
//! fewer points, and for going on at another resolution. Modes that only one side keeps are dropped, or zero.

use num_complex::Complex;

use super::super::domain::{Block, Domain};
use super::ranks;
use crate::math::real::Real;
use crate::team::Team;

/// Which values go where.
#[derive(Debug, Clone)]
pub struct Remap {
    /// Per rank: local indices on each axis of what it gets from here.
    send: Vec<[Vec<usize>; 3]>,
    /// Per rank: local indices on each axis of where its values go.
    receive: Vec<[Vec<usize>; 3]>,
    from: [usize; 3],
    to: [usize; 3],
}

impl Remap {
    /// From this rank's `from` of the modes of `source` to its `to` of those of `target`. Collective.
    pub fn new(team: &dyn Team, source: &Domain, from: Block, target: &Domain, to: Block) -> Remap {
        let (sources, targets) = (ranks::blocks(team, from), ranks::blocks(team, to));
        // Along one axis: (local index in `f`, local index in `t`) of the modes that both blocks hold.
        let common = |f: Block, t: Block, a: usize| -> Vec<(usize, usize)> {
            (0..t.count[a])
                .filter_map(|i| {
                    let k = target.axes[a].number(t.start[a] + i);
                    let j = source.axes[a].index(k)?.checked_sub(f.start[a])?;
                    (j < f.count[a]).then_some((j, i))
                })
                .collect()
        };
        let send = targets.iter().map(|&t| std::array::from_fn(|a| firsts(common(from, t, a)))).collect();
        let receive = sources.iter().map(|&f| std::array::from_fn(|a| seconds(common(f, to, a)))).collect();
        Remap { send, receive, from: from.count, to: to.count }
    }

    /// `to` from `from`; modes that `from` does not keep become zero. Collective.
    pub fn apply<T: Real>(&self, team: &dyn Team, from: &[Complex<T>], to: &mut [Complex<T>]) {
        let pack = |index: &[Vec<usize>; 3]| {
            let mut values = Vec::with_capacity(index.iter().map(Vec::len).product());
            for_each(index, self.from, |at| values.push(from[at]));
            values
        };
        let send: Vec<Vec<Complex<T>>> = self.send.iter().map(pack).collect();
        let counts: Vec<usize> = self.receive.iter().map(|r| r.iter().map(Vec::len).product()).collect();
        let received = team.exchange_counted(&send, &counts);
        to.fill(Complex::new(T::zero(), T::zero()));
        for (index, values) in self.receive.iter().zip(received) {
            let mut values = values.into_iter();
            for_each(index, self.to, |at| to[at] = values.next().expect("as many as are expected"));
        }
    }
}

fn firsts(pairs: Vec<(usize, usize)>) -> Vec<usize> {
    pairs.into_iter().map(|p| p.0).collect()
}

fn seconds(pairs: Vec<(usize, usize)>) -> Vec<usize> {
    pairs.into_iter().map(|p| p.1).collect()
}

/// The places of a product of index lists in an array of shape `shape`, in order.
fn for_each(index: &[Vec<usize>; 3], shape: [usize; 3], mut act: impl FnMut(usize)) {
    for &i in &index[0] {
        for &j in &index[1] {
            let row = (i * shape[1] + j) * shape[2];
            index[2].iter().for_each(|&k| act(row + k));
        }
    }
}
