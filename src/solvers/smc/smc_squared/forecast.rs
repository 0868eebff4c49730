//! What particles of parameters and their filters say of observations before they are seen: of each one given those before it,
//! and of the times after the data, parameters and paths integrated out.

use super::filters::Running;
use super::{Purpose, Squared};
use crate::crew;
use crate::error::Result;
use crate::particles::estimate::{Estimated, island_weights};
use crate::particles::lineage::Moments;
use crate::particles::{FeynmanKac, Filter, predictive};
use crate::solvers::smc::prediction::{Free, Said};
use crate::solvers::smc::smoothing::together;
use crate::solvers::{ErrorBar, Number};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::{Solo, Team};

/// Numbers that a filter says of a component: mean, variance and probability of less than what was seen.
const TOLD: usize = 3;

/// The law of the observations after the data.
pub struct Forecast {
    /// Of each component: draws, and mean, its error, deviation, its error.
    drawn: Vec<Name>,
    moments: Vec<[Name; 4]>,
    times: Vec<f64>,
    /// Island × draw × time × component; empty before the end of the data.
    pub draws: Vec<f64>,
    /// [time][component]: mean and standard deviation.
    pub found: Vec<Vec<[Estimated; 2]>>,
}

impl Forecast {
    /// None where no times after the data are asked for.
    pub fn new(free: &Free) -> Option<Forecast> {
        let times = free.times[free.seen..].to_vec();
        let one = |c: &String| {
            let of = format!("of {c} given the data, parameters integrated out");
            [
                ("mean", "mean"),
                ("mean_error", "standard error (between islands) of the mean"),
                ("sd", "standard deviation"),
                ("sd_error", "standard error (between islands) of the standard deviation"),
            ]
            .map(|(name, what)| {
                Name::kept(&format!("forecast_{name}_{c}"), "1", &format!("{what} {of}"), &["forecast"])
            })
        };
        (!times.is_empty()).then(|| Forecast {
            drawn: free.names(&["island", "draw", "forecast"]),
            moments: free.components.iter().map(one).collect(),
            times,
            draws: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Writes what was found. Collective.
    pub fn walk(&self, squared: &Squared, walk: &mut dyn Walk) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let name = Name { name: "forecast", units: "1", meaning: "times after the data", axes: &["forecast"] };
        walk.replicated(&name, &mut self.times.clone())?;
        for (c, names) in self.moments.iter().enumerate() {
            let of: [fn(&[Estimated; 2]) -> f64; 4] =
                [|f| f[0].value, |f| f[0].standard_error, |f| f[1].value, |f| f[1].standard_error];
            for (name, of) in names.iter().zip(of) {
                walk.replicated(name, &mut self.found.iter().map(|found| of(&found[c])).collect())?;
            }
        }
        let (h, m) = (self.times.len(), self.drawn.len());
        let (islands, n) = (squared.evidences.len(), squared.each());
        // Every rank has the draws; rank 0 writes.
        let rows = if squared.rank == 0 { 0..islands } else { 0..0 };
        let mine = Hyperslab::rows(rows.clone(), &[n, h]);
        let part = &self.draws[rows.start * n * h * m..rows.end * n * h * m];
        for (c, name) in self.drawn.iter().enumerate() {
            let values: Vec<f64> = part.iter().skip(c).step_by(m).copied().collect();
            walk.given(name, &[islands, n, h], &mine, &values)?;
        }
        Ok(())
    }

    /// Of the last time: means and standard deviations of the first components.
    pub fn report(&self) -> Vec<Number> {
        let last = self.found.last().into_iter().flatten();
        let one = |(names, found): (&[Name; 4], &[Estimated; 2])| {
            [(names[0], found[0]), (names[2], found[1])].map(|(Name { name, meaning, .. }, e)| {
                let error = ErrorBar::of(e.standard_error);
                Number { name, unit: "1", meaning, value: e.value, error }
            })
        };
        self.moments.iter().zip(last).take(8).flat_map(one).collect()
    }
}

impl Running {
    /// What this filter says of each component of the next observation before it sees `seen`; `free` is its model without data.
    fn ahead(&mut self, free: &dyn FeynmanKac, seeds: &[(usize, u64)], seen: &[f64]) -> Result<Vec<f64>> {
        self.seed(seeds);
        let Running { flow, filter } = self;
        let look = |filter: &Filter| -> Result<Vec<f64>> {
            Ok(told(&Said::of(&filter.observed_next(free, seen.len(), &Solo)?, seen, &Solo)))
        };
        if flow.is_twisted() && (1..flow.horizon()).contains(&filter.step) {
            filter.untwisted(flow.as_ref(), &Solo, look)
        } else {
            look(filter)
        }
    }

    /// What this filter says of each of `times` after the data, where it goes on without observations.
    fn beyond(
        &mut self,
        free: &dyn FeynmanKac,
        seeds: &[(usize, u64)],
        (times, components): (usize, usize),
    ) -> Result<Vec<f64>> {
        let nothing = vec![f64::NAN; components];
        let mut all = self.ahead(free, seeds, &nothing)?;
        for _ in 1..times {
            self.filter.step(free, &Solo)?;
            all.extend(self.ahead(free, seeds, &nothing)?);
        }
        Ok(all)
    }
}

/// What one filter said, in a row.
fn told(said: &Said) -> Vec<f64> {
    let Moments { means, variances } = &said.moments;
    let lists = means.iter().zip(variances).zip(&said.pit);
    lists.flat_map(|((mean, variance), pit)| [mean[0], variance[0], pit[0]]).collect()
}

impl Free {
    /// The model without data at the parameters `theta`.
    fn at(&self, theta: &[f64]) -> Result<Box<dyn FeynmanKac>> {
        self.family.as_ref().expect("the family of the parameters").at(theta)
    }
}

impl Squared {
    /// What islands say, from what the filter of every particle told of `components`.
    fn said(&self, all: &[f64], components: usize) -> Said {
        let islands = self.evidences.len();
        let weights: Vec<Vec<f64>> = (0..islands).map(|i| self.weights(i)).collect();
        let of = |i: usize, term: &dyn Fn(&[f64]) -> f64| -> f64 {
            let rows = all.chunks_exact(components * TOLD).skip(i * self.each());
            // A particle without weight has said nothing.
            rows.zip(&weights[i]).filter(|(_, w)| **w > 0.0).map(|(row, w)| w * term(row)).sum()
        };
        let mut said =
            Said { moments: Moments { means: Vec::new(), variances: Vec::new() }, pit: Vec::with_capacity(components) };
        for c in (0..components).map(|c| c * TOLD) {
            let means: Vec<f64> = (0..islands).map(|i| of(i, &|row| row[c])).collect();
            let about = |i: usize| of(i, &|row| row[c + 1] + (row[c] - means[i]) * (row[c] - means[i]));
            said.moments.variances.push((0..islands).map(about).collect());
            said.moments.means.push(means);
            said.pit.push((0..islands).map(|i| of(i, &|row| row[c + 2])).collect());
        }
        said
    }

    /// Takes note of the law of the next observation, where asked for. Collective.
    pub(super) fn look_ahead(&mut self, team: &dyn Team) -> Result<()> {
        let Some((free, mut ahead)) = self.posed.free.as_ref().zip(self.ahead.take()) else { return Ok(()) };
        let first = team.split(self.particles.len()).mine().start;
        let seen = self.posed.data.at(self.time);
        let mut filters = std::mem::take(&mut self.filters);
        let one = |i: usize, held: &mut Option<Running>| -> Result<Vec<f64>> {
            let particle = &self.particles[first + i];
            match self.held(particle, held)? {
                Some(running) => running.ahead(free.at(&particle.theta)?.as_ref(), &particle.seeds, seen),
                None => Ok(vec![f64::NAN; TOLD * seen.len()]),
            }
        };
        let done: Result<Vec<Vec<f64>>> = crew::map(filters.iter_mut(), one).into_iter().collect();
        let all = team.agree(done).map(|mine| team.gather(&mine.concat()));
        if let Ok(all) = &all {
            ahead.note(&self.said(all, seen.len()), &island_weights(&self.evidences));
        }
        (self.filters, self.ahead) = (filters, Some(ahead));
        all.map(|_| ())
    }

    /// The law of the observations after the data, where asked for and where the data have ended. Collective.
    pub(super) fn look_beyond(&mut self, team: &dyn Team) -> Result<()> {
        let Some((free, mut forecast)) = self.posed.free.as_ref().zip(self.forecast.take()) else { return Ok(()) };
        if self.time < self.posed.times {
            self.notes.push("no forecast: the run ended before the last observation".into());
            self.forecast = Some(forecast);
            return Ok(());
        }
        let first = team.split(self.particles.len()).mine().start;
        let (times, m) = (forecast.times.len(), free.components.len());
        let counts: Vec<u64> = (0..self.evidences.len()).flat_map(|i| self.offspring(i, 1)).collect();
        // The number of each particle's first draw.
        let numbers: Vec<u64> = counts.iter().scan(0, |next, c| Some(std::mem::replace(next, *next + c))).collect();
        let mut filters = std::mem::take(&mut self.filters);
        let one = |i: usize, held: &mut Option<Running>| -> Result<(Vec<f64>, Vec<f64>)> {
            let particle = &self.particles[first + i];
            let Some(running) = self.held(particle, held)? else {
                return Ok((Vec::new(), vec![f64::NAN; times * m * TOLD]));
            };
            let flow = free.at(&particle.theta)?;
            let drawn = self.drawn(running, flow.as_ref(), m, (numbers[first + i], counts[first + i]));
            Ok((drawn, running.beyond(flow.as_ref(), &particle.seeds, (times, m))?))
        };
        let done: Result<Vec<(Vec<f64>, Vec<f64>)>> = crew::map(filters.iter_mut(), one).into_iter().collect();
        let done = team.agree(done);
        // Filters have gone on beyond the data: whoever needs them makes them again.
        self.filters = filters.iter().map(|_| None).collect();
        let (drawn, all): (Vec<Vec<f64>>, Vec<Vec<f64>>) = done?.into_iter().unzip();
        // Draws are numbered in the order of the particles, and so are ranks.
        forecast.draws = team.gather(&drawn.concat());
        let all = team.gather(&all.concat());
        let weights = island_weights(&self.evidences);
        let of = |t: usize| {
            let rows = all.chunks_exact(m * TOLD).skip(t).step_by(times);
            together(&self.said(&rows.flatten().copied().collect::<Vec<f64>>(), m).moments, &weights)
        };
        forecast.found = (0..times).map(of).collect();
        self.forecast = Some(forecast);
        Ok(())
    }

    /// Draws `number` … of the `m` components after the data: a state of the last time by its weight, and what follows from it.
    fn drawn(&self, running: &Running, free: &dyn FeynmanKac, m: usize, (number, count): (u64, u64)) -> Vec<f64> {
        let mut drawn = Vec::new();
        if count == 0 {
            return drawn;
        }
        let states = running.filter.states(0, count as usize, &Solo);
        for (k, state) in states.chunks_exact(free.dimension()).enumerate() {
            let seed = self.number(Purpose::Forecast, self.time, number as usize + k);
            let seen = predictive::along(free, m, (self.options.level, seed, 0), self.time - 1, state);
            drawn.extend(&seen[m..]);
        }
        drawn
    }
}
