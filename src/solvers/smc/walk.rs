//! The walk over the particles and islands of a filter: what restarts it on any number of ranks.

use super::data::Observations;
use crate::error::Result;
use crate::particles::Filter;
use crate::particles::estimate::{self, IslandNumbers};
use crate::state::{Hyperslab, Name, Walk};

/// Walks times and observations, which every rank holds. Collective.
pub fn walk_data(data: &Observations, rank: usize, walk: &mut dyn Walk) -> Result<()> {
    let (n, m) = (data.len(), data.components);
    let name = |name, meaning, axes| Name { name, units: "1", meaning, axes };
    walk.replicated(&name("time", "time of the observation", &["time"]), &mut data.times.clone())?;
    let rows = if rank == 0 { 0..n } else { 0..0 };
    let values = data.values[rows.start * m..rows.end * m].to_vec();
    let observations = name("observations", "what was observed; NaN where missing", &["time", "component"]);
    walk.given(&observations, &[n, m], &Hyperslab::rows(rows, &[m]), &values)
}

/// Walks particles (`names` of their coordinates), log-weights, islands and the step. Collective.
pub fn walk_filter(filter: &mut Filter, names: &[Name], walk: &mut dyn Walk) -> Result<()> {
    let Filter { layout, population, islands, step, .. } = filter;
    let (n, d) = (layout.islands * layout.each, population.dimension);
    let rows = Hyperslab::rows(layout.rows(), &[]);
    let mut values = vec![0.0; layout.len()];
    for c in 0..=d {
        // Coordinate c of the particles, island after island; then the log-weights.
        let name = match names.get(c) {
            Some(name) => *name,
            None => Name {
                name: "log_weights",
                units: "1",
                meaning: "log-weight of every particle, not normalised",
                axes: &["particle"],
            },
        };
        let mut at = 0;
        for (t, tile) in layout.places.iter().enumerate() {
            for (i, value) in values[at..at + tile.len].iter_mut().enumerate() {
                *value = if c < d { population.at(t, c, i) } else { population.log_weights[layout.at(t, i)] };
            }
            at += tile.len;
        }
        walk.block(&name, &[n], &rows, (&mut values).into())?;
        at = 0;
        for (t, tile) in layout.places.iter().enumerate() {
            for (i, value) in values[at..at + tile.len].iter().enumerate() {
                if c < d {
                    population.put(t, c, i, *value);
                } else {
                    population.log_weights[layout.at(t, i)] = *value;
                }
            }
            at += tile.len;
        }
    }
    if let Some(eves) = &mut population.eves {
        let mut list: Vec<u64> = Vec::with_capacity(layout.len());
        (0..layout.places.len()).for_each(|t| list.extend(&eves[layout.part(t)]));
        let name = Name {
            name: "eves",
            units: "1",
            meaning: "slot in its island of every particle's ancestor at the first time",
            axes: &["particle"],
        };
        walk.block(&name, &[n], &rows, (&mut list).into())?;
        let mut rest = &list[..];
        for (t, p) in layout.places.iter().enumerate() {
            let (head, tail) = rest.split_at(p.len);
            eves[layout.part(t)].copy_from_slice(head);
            rest = tail;
        }
    }
    let number = |name, meaning| Name { name, units: "1", meaning, axes: &["island"] };
    let mut numbers = |name, meaning, get: fn(&mut IslandNumbers) -> &mut f64| -> Result<()> {
        let mut all: Vec<IslandNumbers> = islands.iter().map(IslandNumbers::of).collect();
        let mut list: Vec<f64> = all.iter_mut().map(|i| *get(i)).collect();
        walk.scalar(&number(name, meaning), (&mut list).into())?;
        for ((island, all), x) in islands.iter_mut().zip(&mut all).zip(list) {
            *get(all) = x;
            all.put(island);
        }
        Ok(())
    };
    numbers("island_log_evidence", "log-evidence of each island", |i| &mut i.log_evidence)?;
    numbers("island_settled", "its value when the weights were last set to one", |i| &mut i.settled)?;
    numbers("island_ess", "effective sample size of each island", |i| &mut i.ess)?;
    numbers("island_max", "largest log-weight of each island", |i| &mut i.max)?;
    numbers("island_flags", "1: resamples next, 2: resampled last", |i| &mut i.flags)?;
    let mut sums: Vec<u64> = islands.iter().flat_map(|i| estimate::sums_to_words(&i.sums)).collect();
    let name = Name {
        name: "island_sums",
        units: "1",
        meaning: "exact sums of the integer weights of each island, in words",
        axes: &["word"],
    };
    walk.scalar(&name, (&mut sums).into())?;
    for (island, words) in islands.iter_mut().zip(sums.chunks(6)) {
        island.sums = estimate::sums_from_words(words);
    }
    let mut made = *step as u64;
    let name = Name { name: "step", units: "1", meaning: "steps taken", axes: &[] };
    walk.scalar(&name, (&mut made).into())?;
    *step = made as usize;
    filter.restore();
    Ok(())
}
