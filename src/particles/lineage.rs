//! Smoothing by descent: a particle of an earlier step weighs what its descendants weigh now. Whole numbers are passed
//! from children to parents, so that the weights are exact in any order and on any number of ranks.
//!
//! Over all steps this is the smoother of the genealogy [Kitagawa1996]; over the last few, the smoother of fixed lag
//! [KitagawaSato2001] [OlssonCappeDoucMoulines2008], whose bias falls with the lag and whose variance does not grow with time.

use super::filter::Filter;
use super::history::{History, Record};
use crate::math::resampling::{from_words, to_words};
use crate::team::Team;

/// Smoothing moments of one step: means and variances as [coordinate][island].
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub means: Vec<Vec<f64>>,
    pub variances: Vec<Vec<f64>>,
}

impl History {
    /// Moments of the states of earlier steps given the present weights: of those `from` to `to` steps ago, the latest
    /// first. Collective.
    ///
    /// # Panics
    /// Where a step is asked for that was forgotten.
    pub fn descents(&self, filter: &Filter, from: usize, to: usize, team: &dyn Team) -> Vec<Moments> {
        let last = self.records.len() - 1;
        assert!(to <= last, "{to} steps ago of {}", self.records.len());
        let mut masses = present(filter, &self.records[last]);
        let mut found = Vec::new();
        for back in 0..=to {
            let record = &self.records[last - back];
            if back > 0 {
                masses = descend(filter, &self.records[last - back + 1], &masses, record, team);
            }
            if back >= from {
                found.push(self.moments(filter, record, &masses, team));
            }
        }
        found
    }

    fn moments(&self, filter: &Filter, record: &Record, masses: &[u128], team: &dyn Team) -> Moments {
        let (layout, d) = (&filter.layout, self.dimension);
        // Where the particle of each lane of this rank's storage is in the record.
        const NONE: usize = usize::MAX;
        let mut place = vec![NONE; layout.stored()];
        let mut next = 0;
        for (t, p) in layout.places.iter().enumerate() {
            let first = (p.island * layout.each + p.first) as u64;
            while let Some(i) = record.index.get(next).filter(|i| **i < first + p.len as u64) {
                place[layout.at(t, (i - first) as usize)] = next;
                next += 1;
            }
        }
        // [coordinate][island] of value(coordinate, island, x).
        let means_of = |value: &(dyn Fn(usize, usize, f64) -> f64 + Sync)| -> Vec<Vec<f64>> {
            let roots = (0..d).map(|c| {
                filter.roots(|t, i| match place[layout.at(t, i)] {
                    NONE => 0.0,
                    k if masses[k] == 0 => 0.0,
                    k => masses[k] as f64 * value(c, layout.places[t].island, record.states[k * d + c]),
                })
            });
            filter.means_of_roots(team, &roots.collect::<Vec<_>>())
        };
        let means = means_of(&|_, _, x| x);
        let variances = means_of(&|c, island, x| (x - means[c][island]) * (x - means[c][island]));
        Moments { means, variances }
    }
}

/// The integer weights of the particles of the last record.
fn present(filter: &Filter, record: &Record) -> Vec<u128> {
    let mut masses = Vec::with_capacity(record.index.len());
    for (t, place) in filter.layout.places.iter().enumerate() {
        masses.extend((0..place.len).map(|i| u128::from(filter.mass(t, i))));
    }
    assert_eq!(masses.len(), record.index.len(), "the last step is kept whole");
    masses
}

/// What the particles of `parents` weigh, from what their children do. Collective.
fn descend(filter: &Filter, children: &Record, masses: &[u128], parents: &Record, team: &dyn Team) -> Vec<u128> {
    let rows = filter.layout.rows();
    let owner = team.split(filter.layout.islands * filter.layout.each);
    let whole = parents.index.len() == rows.len();
    let find = |index: u64| {
        if whole {
            return index as usize - rows.start;
        }
        parents.index.binary_search(&index).expect("a particle with descendants is kept")
    };
    let mut found = vec![0u128; parents.index.len()];
    let mut away: Vec<(u64, u128)> = Vec::new();
    for (ancestor, mass) in children.ancestor.iter().zip(masses).filter(|(_, m)| **m > 0) {
        if rows.contains(&(*ancestor as usize)) {
            found[find(*ancestor)] += mass;
        } else {
            away.push((*ancestor, *mass));
        }
    }
    if team.size() == 1 {
        return found;
    }
    away.sort_unstable_by_key(|a| a.0);
    let mut send: Vec<Vec<u64>> = vec![Vec::new(); team.size()];
    for same in away.chunk_by(|a, b| a.0 == b.0) {
        let mass: u128 = same.iter().map(|a| a.1).sum();
        let [low, high] = to_words(mass);
        send[owner.owner(same[0].0 as usize)].extend([same[0].0, low, high]);
    }
    for one in team.exchange(&send).iter().flat_map(|r| r.chunks_exact(3)) {
        found[find(one[0])] += from_words(&one[1..]);
    }
    found
}
