//! A particle filter as a [`Solver`]: one step is one time of the data.

use std::path::Path;

use super::alone::{Alone, ERROR_ALONE, EVES};
use super::prediction::Ahead;
use super::setup::FilterPosed;
use super::smoothing::{SmoothedNames, Smoother, together};
use super::walk::{walk_data, walk_filter};
use crate::error::Result;
use crate::input::Input;
use crate::math::simd::Level;
use crate::particles::alone;
use crate::particles::estimate::{Estimated, evidence, island_weights};
use crate::particles::lineage::Moments;
use crate::particles::migrate::Traffic;
use crate::particles::{Filter, Options};
use crate::solvers::{ErrorBar, Number, Outcome, Outlook, Solver, Status};
use crate::state::{Name, Walk};
use crate::team::Team;

pub struct Filtering {
    posed: FilterPosed,
    filter: Filter,
    smoother: Option<Smoother>,
    names: Names,
    notes: Vec<String>,
    /// What was measured last, by coordinate.
    means: Vec<Estimated>,
    deviations: Vec<f64>,
    /// [coordinate][level].
    quantiles: Vec<Vec<f64>>,
    /// Smallest effective sample size over a fraction of the particles so far, and resamplings of islands.
    smallest: f64,
    resamplings: u64,
    copies: u64,
    crossing: u64,
    previous: f64,
    /// A step, and the islands' log-evidence of its data where the filter's weights look ahead.
    plain: Option<(usize, Vec<f64>)>,
    alone: Alone,
    /// What was said of the last observation before it was seen, where asked for.
    ahead: Option<Ahead>,
}

struct Names {
    alone: Vec<Name>,
    particles: Vec<Name>,
    means: Vec<Name>,
    errors: Vec<Name>,
    deviations: Vec<Name>,
    quantiles: Vec<Vec<Name>>,
    smoothed: SmoothedNames,
}

const TIME: Name = Name { name: "time", units: "1", meaning: "time of the observation", axes: &[] };
const ESS: Name =
    Name { name: "ess", units: "1", meaning: "effective sample size over the particles, mean over islands", axes: &[] };
const LOG_EVIDENCE: Name = Name {
    name: "log_evidence",
    units: "1",
    meaning: "log of the mean over islands of the evidence of the data so far",
    axes: &[],
};
const INCREMENT: Name = Name {
    name: "log_evidence_increment",
    units: "1",
    meaning: "what this observation added to log_evidence",
    axes: &[],
};
const SPREAD: Name = Name {
    name: "evidence_spread",
    units: "1",
    meaning: "standard deviation of the islands' evidence over its mean",
    axes: &[],
};
const RESAMPLED: Name =
    Name { name: "resampled", units: "1", meaning: "share of islands that resampled before this step", axes: &[] };

impl Filtering {
    pub fn new(input: &Input, posed: FilterPosed, level: Level, team: &dyn Team) -> Filtering {
        let method = &posed.method;
        let options = Options {
            scheme: method.resampling,
            threshold: method.ess_threshold,
            ancestors: method.smoothing.is_some(),
            eves: method.lee_whiteley || method.chan_lai,
            precision: method.precision,
            sort: posed.sort,
            ..Options::new(method.particles, method.islands, input.run.seed, level)
        };
        let filter = Filter::new(posed.flow.as_ref(), options, team);
        let smoother = method.smoothing.map(|kind| Smoother::new(kind, &filter));
        let names = Names::new(&posed.model.coordinates(), &posed.problem.quantiles);
        let notes = vec![format!(
            "{} islands of {} particles, {:?} resampling when the effective sample size is below {} of them",
            method.islands, method.particles, method.resampling, method.ess_threshold
        )];
        let ahead = posed.free.as_ref().map(|free| Ahead::new(free, &posed.problem.quantiles));
        Filtering {
            posed,
            filter,
            smoother,
            names,
            notes,
            means: Vec::new(),
            deviations: Vec::new(),
            quantiles: Vec::new(),
            smallest: 1.0,
            resamplings: 0,
            copies: 0,
            crossing: 0,
            previous: 0.0,
            plain: None,
            alone: Alone::default(),
            ahead,
        }
    }

    fn log_evidences(&self) -> Vec<f64> {
        match &self.plain {
            Some((step, found)) if *step == self.filter.step => found.clone(),
            _ => self.filter.islands.iter().map(|i| i.log_evidence).collect(),
        }
    }

    /// What `look` sees of the particles with weights of the data so far, and of the islands' weights; takes note of their
    /// evidence where those of the filter look ahead. Collective.
    fn look_back<R>(&mut self, team: &dyn Team, look: impl FnOnce(&Filter, &[f64]) -> Result<R>) -> Result<R> {
        let (flow, step) = (self.posed.flow.as_ref(), self.filter.step);
        let logs = |filter: &Filter| filter.islands.iter().map(|i| i.log_evidence).collect::<Vec<f64>>();
        if !flow.is_twisted() || step == 0 || step == flow.horizon() {
            return look(&self.filter, &island_weights(&logs(&self.filter)));
        }
        let (found, made) = self.filter.untwisted(flow, team, |plain| {
            let found = logs(plain);
            let made = look(plain, &island_weights(&found))?;
            Ok((found, made))
        })?;
        self.plain = Some((step, found));
        Ok(made)
    }

    /// The law of the next observation, where asked for, and the evidence so far. Collective.
    fn look_ahead(&mut self, team: &dyn Team) -> Result<()> {
        let Some(mut ahead) = self.ahead.take() else {
            if self.plain.as_ref().is_none_or(|(step, _)| *step != self.filter.step) {
                self.look_back(team, |_, _| Ok(()))?;
            }
            return Ok(());
        };
        let free = self.posed.free.take().expect("what is free, where predicted");
        let data = self.posed.data.clone();
        let (levels, seen) = (self.posed.problem.quantiles.clone(), data.at(self.filter.step));
        let done = self.look_back(team, |filter, weights| ahead.look(&free, filter, weights, (&levels, seen), team));
        (self.ahead, self.posed.free) = (Some(ahead), Some(free));
        done
    }

    fn log_evidence(&self) -> f64 {
        evidence(&self.log_evidences()).log
    }

    /// The past of the particles is not kept in files: after a restart the steps are made again from the first one, whose
    /// particles have the same addresses and hence the same bits. Collective.
    fn remember(&mut self, team: &dyn Team) -> Result<()> {
        let Some(smoother) = self.smoother.as_mut().filter(|s| s.steps() < self.filter.step) else { return Ok(()) };
        let kind = self.posed.method.smoothing.expect("there is a smoother");
        let flow = self.posed.flow.as_ref();
        let mut again = Filter::new(flow, self.filter.options.clone(), team);
        *smoother = Smoother::new(kind, &again);
        while again.step < self.filter.step {
            again.step(flow, team)?;
            smoother.push(&again, team);
        }
        Ok(())
    }

    /// The last step made; none before the first.
    fn last(&self) -> Option<usize> {
        self.filter.step.checked_sub(1)
    }
}

impl Names {
    fn new(coordinates: &[String], levels: &[f64]) -> Names {
        let one = |prefix: &str, of: &str| -> Vec<Name> {
            coordinates
                .iter()
                .map(|c| Name::kept(&format!("{prefix}_{c}"), "1", &format!("{of} of {c}"), &[]))
                .collect()
        };
        let quantile = |c: &String| -> Vec<Name> {
            let one = |l: &f64| {
                let meaning = format!("filtering quantile of level {l} of {c}");
                Name::kept(&format!("quantile_{l}_{c}"), "1", &meaning, &[])
            };
            levels.iter().map(one).collect()
        };
        let particles = |c: &String| {
            Name::kept(
                &format!("particles_{c}"),
                "1",
                &format!("{c} of every particle, island after island"),
                &["particle"],
            )
        };
        Names {
            alone: one(
                "mean_error_alone",
                "standard error, from each island alone (Chan and Lai), of the filtering mean",
            ),
            particles: coordinates.iter().map(particles).collect(),
            means: one("mean", "filtering mean"),
            errors: one("mean_error", "standard error (between islands) of the filtering mean"),
            deviations: one("sd", "filtering standard deviation"),
            quantiles: coordinates.iter().map(quantile).collect(),
            smoothed: SmoothedNames::new(coordinates),
        }
    }
}

impl Solver for Filtering {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        self.look_ahead(team)?;
        self.previous = if self.filter.step == 0 { 0.0 } else { self.log_evidence() };
        self.remember(team)?;
        self.filter.step(self.posed.flow.as_ref(), team)?;
        if let Some(smoother) = &mut self.smoother {
            smoother.push(&self.filter, team);
        }
        let n = self.filter.layout.each as f64;
        for island in &self.filter.islands {
            self.smallest = self.smallest.min(island.ess / n);
            self.resamplings += u64::from(island.resampled);
        }
        let Traffic { copies, crossing, .. } = self.filter.traffic;
        self.copies += copies;
        self.crossing += crossing;
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        self.filter.step == self.posed.flow.horizon()
    }

    fn measure(&mut self, team: &dyn Team) -> Result<()> {
        if self.filter.step == 0 {
            return Ok(());
        }
        let levels = self.posed.problem.quantiles.clone();
        let method = self.posed.method.clone();
        let (found, alone, quantiles) = self.look_back(team, |filter, weights| {
            let (means, variances) = filter.moments(team);
            let alone = Alone::of(&method, filter, &means, weights, team);
            let found = together(&Moments { means, variances }, weights);
            let of = |d| filter.quantiles(d, &levels, weights, team);
            let quantiles = if levels.is_empty() { Vec::new() } else { (0..found.len()).map(of).collect() };
            Ok((found, alone, quantiles))
        })?;
        (self.alone, self.quantiles) = (alone, quantiles);
        self.means = found.iter().map(|[mean, _]| *mean).collect();
        self.deviations = found.iter().map(|[_, deviation]| deviation.value).collect();
        Ok(())
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk_filter(&mut self.filter, &self.names.particles, walk)?;
        let count = |name, meaning| Name { name, units: "1", meaning, axes: &[] };
        walk.scalar(&count("resamplings", "resamplings of islands so far"), (&mut self.resamplings).into())?;
        walk.scalar(&count("copies", "particles copied so far"), (&mut self.copies).into())?;
        walk.scalar(&count("smallest_ess", "smallest ess so far"), (&mut self.smallest).into())?;
        walk.scalar(&count("previous_log_evidence", "log_evidence one step ago"), (&mut self.previous).into())?;
        self.ahead.as_mut().map_or(Ok(()), |ahead| ahead.walk(walk))
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk_data(&self.posed.data, self.filter.layout.rank, walk)
    }

    fn record(&self) -> Vec<(Name, f64)> {
        // The same names at every step: before the first one nothing has a value.
        let time = self.last().map_or(f64::NAN, |last| self.posed.data.times[last]);
        let found = evidence(&self.log_evidences());
        let (n, r) = (self.filter.layout.each as f64, self.filter.islands.len() as f64);
        let resampled = self.filter.islands.iter().filter(|i| i.resampled).count() as f64;
        let mut record = vec![
            (TIME, time),
            (ESS, self.filter.islands.iter().map(|i| i.ess / n).sum::<f64>() / r),
            (LOG_EVIDENCE, found.log),
            (INCREMENT, found.log - self.previous),
            (SPREAD, found.spread),
            (RESAMPLED, resampled / r),
        ];
        let method = &self.posed.method;
        if method.lee_whiteley {
            record.push((ERROR_ALONE, self.alone.evidence.unwrap_or(f64::NAN)));
        }
        if method.lee_whiteley || method.chan_lai {
            record.push((EVES, self.alone.eves as f64));
        }
        for (d, mean) in self.names.means.iter().enumerate() {
            record.push((*mean, self.means.get(d).map_or(f64::NAN, |m| m.value)));
            record.push((self.names.errors[d], self.means.get(d).map_or(f64::NAN, |m| m.standard_error)));
            if method.chan_lai {
                record.push((self.names.alone[d], self.alone.means.get(d).copied().unwrap_or(f64::NAN)));
            }
            record.push((self.names.deviations[d], self.deviations.get(d).copied().unwrap_or(f64::NAN)));
            for (i, name) in self.names.quantiles.get(d).into_iter().flatten().enumerate() {
                record.push((*name, self.quantiles.get(d).map_or(f64::NAN, |q| q[i])));
            }
        }
        record.extend(self.ahead.iter().flat_map(Ahead::record));
        record
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.measure(team)?;
        if self.reached() {
            self.remember(team)?;
            if let Some(smoother) = &mut self.smoother {
                smoother.finish(self.posed.flow.as_ref(), &self.filter, team)?;
            }
        } else if self.smoother.is_some() {
            self.notes.push("no smoothing: the run ended before the last observation".into());
        }
        if !self.reached() {
            let (done, all) = (self.filter.step, self.posed.data.len());
            self.notes.push(format!("all numbers are of the first {done} of {all} times"));
        }
        let logs = self.log_evidences();
        let dead = logs.iter().filter(|l| **l == f64::NEG_INFINITY).count();
        if dead > 0 {
            let all = logs.len();
            self.notes
                .push(format!("{dead} of {all} islands lost all their particles: they count, with an evidence of 0"));
        }
        let found = evidence(&logs);
        if self.filter.step > 0 {
            self.notes.extend(self.alone.notes(&self.posed.method));
        }
        let alone = self.alone.evidence.and_then(|error| alone::interval(found.log, error));
        if found.interval.is_none() && alone.is_none() && self.filter.step > 0 {
            self.notes.push(match self.filter.islands.len() {
                1 => "no interval for the evidence: one island says nothing of its error (method.islands = 16)".into(),
                _ => format!("no interval for the evidence: {}; use more particles or islands", found.refusal()),
            });
        }
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        if let Some(smoother) = self.smoother.as_ref().filter(|_| self.reached()) {
            walk.replicated(&Name { axes: &["time"], ..TIME }, &mut self.posed.data.times.clone())?;
            self.names.smoothed.walk(smoother.found(), walk)?;
        }
        let Some(exact) = self.posed.model.exact(&self.posed.data).filter(|_| self.reached()) else { return Ok(()) };
        let name = |name, meaning, axes| Name { name, units: "1", meaning, axes };
        let mut log = exact.log_evidence;
        walk.scalar(&name("exact_log_evidence", "log-evidence of the data, exact", &[]), (&mut log).into())?;
        let (mut means, variances) = (exact.means, exact.variances);
        if means.len() == self.posed.data.len() {
            walk.replicated(&name("exact_mean", "filtering mean, exact", &["time"]), &mut means)?;
            let mut sd: Vec<f64> = variances.iter().map(|v| v.sqrt()).collect();
            walk.replicated(&name("exact_sd", "filtering standard deviation, exact", &["time"]), &mut sd)?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![
            ("kernel_level", self.filter.options.level.name().to_string()),
            ("copies_between_ranks", self.crossing.to_string()),
        ]
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, meaning, value, error| Number { name, unit: "1", meaning, value, error };
        let found = evidence(&self.log_evidences());
        let bar =
            |interval: Option<(f64, f64)>| interval.map_or(ErrorBar::None, |(low, high)| ErrorBar::Interval(low, high));
        // Between islands where there are several: that needs no more than their independence.
        let alone = self.alone.evidence.and_then(|error| alone::interval(found.log, error));
        let (meaning, interval) = match (found.interval, alone) {
            (None, Some(_)) => ("log-evidence of the data; 95 % interval of Lee and Whiteley", alone),
            (Some(_), _) => ("log-evidence of the data; 95 % interval from the islands", found.interval),
            (None, None) => ("log-evidence of the data; no interval", None),
        };
        let mut report = vec![number("log_evidence", meaning, found.log, bar(interval))];
        if let Some(exact) = self.posed.model.exact(&self.posed.data).filter(|_| self.reached()) {
            let meaning = "the same, exact";
            report.push(number("exact_log_evidence", meaning, exact.log_evidence, ErrorBar::None));
        }
        report.push(number(
            "evidence_spread",
            "spread of the islands' evidence over its mean",
            found.spread,
            ErrorBar::None,
        ));
        if let Some(error) = self.alone.evidence {
            report.push(number(ERROR_ALONE.name, ERROR_ALONE.meaning, error, ErrorBar::None));
        }
        if self.posed.method.lee_whiteley || self.posed.method.chan_lai {
            report.push(number(EVES.name, EVES.meaning, self.alone.eves as f64, ErrorBar::None));
        }
        for (d, (name, mean)) in self.names.means.iter().zip(&self.means).enumerate().take(8) {
            let error = match self.alone.means.get(d) {
                _ if !mean.standard_error.is_nan() => ErrorBar::StdErr(mean.standard_error),
                Some(alone) => ErrorBar::StdErr(*alone),
                None => ErrorBar::None,
            };
            report.push(number(name.name, name.meaning, mean.value, error));
        }
        report.extend(self.ahead.iter().flat_map(Ahead::report));
        report.push(number(
            "smallest_ess",
            "smallest effective sample size over the particles",
            self.smallest,
            ErrorBar::None,
        ));
        report.push(number("resamplings", "resamplings of islands", self.resamplings as f64, ErrorBar::None));
        report
    }

    fn work(&self) -> (f64, &'static str) {
        let layout = &self.filter.layout;
        ((layout.islands * layout.each) as f64 * self.filter.step as f64, "particle-steps")
    }

    fn outlook(&self) -> Outlook {
        Outlook::left((self.posed.flow.horizon() - self.filter.step) as u64)
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
