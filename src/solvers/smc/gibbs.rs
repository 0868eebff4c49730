//! Particle Gibbs [AndrieuDoucetHolenstein2010] as a [`Solver`]: one step draws a new trajectory of every chain from
//! conditional sequential Monte Carlo about its last one. At fixed parameters each island of the engine is a chain.
//!
//! Where parameters vary, each chain has its own: an iteration first moves them by Metropolis–Hastings on the density of the
//! path and the data together, then draws a path under them. Chains are then shared out over ranks and threads.

mod links;

use std::path::Path;

use links::Link;

use super::pmmh::{doubt, posterior_mean};
use super::setup::FilterPosed;
use super::smoothing::{SmoothedNames, together};
use super::walk::walk_data;
use crate::error::Result;
use crate::input::Input;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::adaptive::AdaptiveWalk;
use crate::particles::chains::{Mixing, mixing, worst};
use crate::particles::conditional::{self, Reference};
use crate::particles::estimate::Estimated;
use crate::particles::lineage::Moments;
use crate::particles::{Draws, Family, Options, Scheme, predictive};
use crate::solvers::{ErrorBar, Number, Outcome, Outlook, Solver, Status};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::Team;

pub struct Gibbs {
    posed: FilterPosed,
    family: Option<Box<dyn Family>>,
    /// Of each chain where parameters vary; the same on every rank.
    links: Vec<Link>,
    parameters: Vec<Name>,
    parameter_sds: Vec<Name>,
    /// Parameters after the warm-up: draw × chain × parameter.
    pub(super) trace: Vec<f64>,
    options: Options,
    rank: usize,
    iteration: u64,
    /// Chain × time × coordinate; empty before the first draw.
    trajectories: Vec<f64>,
    /// Over the draws after the warm-up: means, and sums of the squares of the deviations from them, which do not cancel
    /// where means are large (Welford): chain × time × coordinate.
    means: Vec<f64>,
    squares: Vec<f64>,
    /// Of each time: states of a chain that a draw changed, after the warm-up.
    changed: Vec<f64>,
    /// Share of states that the last draw changed.
    updated: f64,
    /// Every thin-th trajectories of all chains, one after the other.
    kept: Vec<f64>,
    /// Observations drawn along them, and after the data: draw × chain × time × component.
    pub(super) predicted: Vec<f64>,
    predictive: Vec<Name>,
    smoothed: SmoothedNames,
    names: Vec<Name>,
    found: Vec<Vec<[Estimated; 2]>>,
    remarks: Vec<String>,
}

const fn plain(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &[] }
}

impl Gibbs {
    pub fn new(
        input: &Input,
        posed: FilterPosed,
        family: Option<Box<dyn Family>>,
        level: Level,
        team: &dyn Team,
    ) -> Gibbs {
        let method = &posed.method;
        let options = Options {
            scheme: Scheme::Multinomial,
            threshold: method.ess_threshold,
            ancestors: true,
            ..Options::new(method.particles, method.islands, input.run.seed, level)
        };
        let coordinates = posed.model.coordinates();
        let one = |c: &String| {
            Name::kept(
                &format!("trajectories_{c}"),
                "1",
                &format!("drawn trajectories of {c}"),
                &["chain", "kept_draw", "time"],
            )
        };
        let names = coordinates.iter().map(one).collect();
        let (times, d) = (posed.flow.horizon(), posed.flow.dimension());
        let zeros = vec![0.0; method.islands * times * d];
        let parameters = family.as_ref().map_or(Vec::new(), |f| f.parameters());
        let walk = family.as_ref().map_or_else(|| AdaptiveWalk::new(&[]), |f| AdaptiveWalk::over(f.as_ref()));
        let link = Link { theta: vec![0.0; parameters.len()], walk, accepted: 0.0 };
        let links = if parameters.is_empty() { Vec::new() } else { vec![link; method.islands] };
        let named = |prefix: &str, of: &str, axes: &[&str]| -> Vec<Name> {
            let one = |p: &crate::particles::Parameter| {
                Name::kept(&format!("{prefix}{}", p.name), "1", &format!("{of} {}", p.name), axes)
            };
            parameters.iter().map(one).collect()
        };
        Gibbs {
            parameters: named("", "parameter", &["chain", "draw"]),
            parameter_sds: named("sd_", "posterior standard deviation of", &[]),
            family,
            links,
            trace: Vec::new(),
            smoothed: SmoothedNames::new(&coordinates),
            predicted: Vec::new(),
            predictive: posed
                .free
                .as_ref()
                .map_or(Vec::new(), |free| free.names(&["chain", "kept_draw", "predicted_time"])),
            posed,
            options,
            rank: team.rank(),
            iteration: 0,
            trajectories: Vec::new(),
            means: zeros.clone(),
            squares: zeros,
            changed: vec![0.0; times],
            updated: f64::NAN,
            kept: Vec::new(),
            names,
            found: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Of parameter `p` over all chains; none of too few draws.
    fn summary(&self, p: usize) -> Option<Mixing> {
        let (chains, n) = (self.links.len(), self.parameters.len());
        let one = |c: usize| self.trace.iter().skip(c * n + p).step_by(chains * n).copied().collect();
        mixing(&(0..chains).map(one).collect::<Vec<Vec<f64>>>())
    }

    /// Of all parameters; none of too few draws.
    fn summaries(&self) -> Vec<Mixing> {
        (0..self.parameters.len()).filter_map(|p| self.summary(p)).collect()
    }

    /// Draws after the warm-up.
    fn draws(&self) -> u64 {
        self.iteration.saturating_sub(self.posed.method.warm_up)
    }

    /// The new trajectories take the place of the last ones.
    fn took(&mut self, new: Vec<f64>) -> Result<Status> {
        // Of chains that just began, everything is new.
        if self.trajectories.is_empty() {
            self.trajectories = vec![f64::NAN; new.len()];
        }
        self.note(&new)?;
        self.trajectories = new;
        self.iteration += 1;
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn note(&mut self, new: &[f64]) -> Result<()> {
        let (times, d) = (self.posed.flow.horizon(), self.posed.flow.dimension());
        let warm = self.iteration >= self.posed.method.warm_up;
        let mut count = 0.0;
        for (k, (new, old)) in new.chunks(d).zip(self.trajectories.chunks(d)).enumerate() {
            let one = f64::from(u8::from(new != old));
            count += one;
            self.changed[k % times] += if warm { one } else { 0.0 };
        }
        self.updated = count / (self.options.islands * times) as f64;
        if !warm {
            return Ok(());
        }
        let n = (self.draws() + 1) as f64;
        for (x, (mean, square)) in new.iter().zip(self.means.iter_mut().zip(&mut self.squares)) {
            let before = x - *mean;
            *mean += before / n;
            *square += before * (x - *mean);
        }
        self.trace.extend(self.links.iter().flat_map(|l| &l.theta));
        if (self.draws() + 1).is_multiple_of(self.posed.method.thin) {
            self.kept.extend(new);
            self.predict(new)?;
        }
        Ok(())
    }

    /// Observations drawn along the trajectories `new` of all chains, and after the data.
    fn predict(&mut self, new: &[f64]) -> Result<()> {
        let Some(free) = &self.posed.free else { return Ok(()) };
        let width = new.len() / self.options.islands;
        for (c, path) in new.chunks_exact(width).enumerate() {
            // Where parameters vary, those of the chain.
            let varied = self.links.get(c).zip(free.family.as_ref()).map(|(link, f)| f.at(&link.theta)).transpose()?;
            let flow = varied.as_deref().unwrap_or(free.flow.as_ref());
            // Chains are slots of an iteration's address.
            let seed = Draws::new(self.options.level, self.options.seed, Stream::ParticlesReference, 1);
            let address = (self.options.level, seed.bits(1, self.iteration) as u64, c as u64);
            self.predicted.extend(predictive::along(flow, free.components.len(), address, 0, path));
        }
        Ok(())
    }

    /// Means and variances of each time over the draws, by chain, and over all chains.
    fn moments(&self) -> Vec<Vec<[Estimated; 2]>> {
        let (times, d, chains) = (self.posed.flow.horizon(), self.posed.flow.dimension(), self.options.islands);
        let n = self.draws() as f64;
        let of = |t: usize| {
            let at = |list: &[f64], by: f64| -> Vec<Vec<f64>> {
                (0..d).map(|c| (0..chains).map(|r| list[(r * times + t) * d + c] / by).collect()).collect()
            };
            let (means, variances) = (at(&self.means, 1.0), at(&self.squares, n));
            together(&Moments { means, variances }, &vec![1.0 / chains as f64; chains])
        };
        (0..times).map(of).collect()
    }
}

impl Solver for Gibbs {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        if let Some(family) = self.family.take() {
            let found = self.next_links(family.as_ref(), team);
            self.family = Some(family);
            return found.and_then(|new| self.took(new));
        }
        let flow = self.posed.flow.as_ref();
        let (times, dimension) = (flow.horizon(), flow.dimension());
        let sampling = self.posed.method.ancestor_sampling;
        // A seed of this iteration; its chains are told apart by their addresses.
        let at = Draws::new(self.options.level, self.options.seed, Stream::ParticlesReference, 1);
        let options = |number: u64| Options { seed: at.bits(0, number) as u64, ..self.options.clone() };
        if self.trajectories.is_empty() {
            self.trajectories = conditional::trajectories(flow, &options(0), None, false, team)?.states;
        }
        let options = options(1 + self.iteration);
        let reference = Reference { states: self.trajectories.clone(), times, dimension };
        let new = conditional::trajectories(flow, &options, Some(reference), sampling, team)?.states;
        self.took(new)
    }

    fn reached(&self) -> bool {
        self.iteration >= self.posed.method.iterations + self.posed.method.warm_up
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&plain("iteration", "trajectories drawn by each chain"), (&mut self.iteration).into())?;
        walk.scalar(&plain("updated", "share of states that the last draw changed"), (&mut self.updated).into())?;
        let list = |name, meaning| Name { axes: &["entry"], ..plain(name, meaning) };
        walk.replicated(&list("trajectories", "chain × time × coordinate"), &mut self.trajectories)?;
        let list = |name, meaning| Name { axes: &["moment"], ..plain(name, meaning) };
        walk.replicated(&list("means", "of the states after the warm-up: chain × time × coordinate"), &mut self.means)?;
        walk.replicated(&list("squares", "sums of squares of deviations from the means"), &mut self.squares)?;
        let list = |name, meaning, axes| Name { axes, ..plain(name, meaning) };
        walk.replicated(&list("changed", "states changed after the warm-up, by time", &["time"]), &mut self.changed)?;
        let name = list("kept", "thinned trajectories: draw × chain × time × coordinate", &["kept_entry"]);
        walk.replicated(&name, &mut self.kept)?;
        if self.posed.free.is_some() {
            let name = list("predicted", "drawn observations: draw × chain × time × component", &["predicted_entry"]);
            walk.replicated(&name, &mut self.predicted)?;
        }
        if self.links.is_empty() {
            return Ok(());
        }
        let mut packed = Vec::new();
        self.links.iter().for_each(|link| link.pack(&mut packed));
        let name =
            list("chains", "parameters, walk and proposals accepted of each chain, row by row", &["chain_entry"]);
        walk.replicated(&name, &mut packed)?;
        let width = self.links[0].width();
        self.links.iter_mut().zip(packed.chunks_exact(width)).for_each(|(link, from)| link.unpack(from));
        let name = list("trace", "parameters after the warm-up: draw × chain × parameter", &["trace_entry"]);
        walk.replicated(&name, &mut self.trace)
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk_data(&self.posed.data, self.rank, walk)
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let warming = f64::from(u8::from(self.iteration <= self.posed.method.warm_up));
        let mut record = vec![
            (plain("warming_up", "1 during the warm-up"), warming),
            (plain("updated", "share of states that the last draw changed"), self.updated),
        ];
        // Of the first chain, as a trace to look at.
        let begun = |x: f64| if self.iteration == 0 { f64::NAN } else { x };
        let first = self.links.first().map_or(&[][..], |l| &l.theta);
        record.extend(self.parameters.iter().zip(first).map(|(name, x)| (Name { axes: &[], ..*name }, begun(*x))));
        record
    }

    fn finish(&mut self, _team: &dyn Team) -> Result<()> {
        if self.draws() > 0 {
            self.found = self.moments();
        }
        self.remarks = doubt(&self.summaries()).into_iter().collect();
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.remarks.clone()
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let time = Name { axes: &["time"], ..plain("time", "time of the observation") };
        walk.replicated(&time, &mut self.posed.data.times.clone())?;
        self.smoothed.walk(&self.found, walk)?;
        let trials = self.draws() as f64 * self.options.islands as f64;
        let mut rate: Vec<f64> = self.changed.iter().map(|c| c / trials).collect();
        let name =
            Name { axes: &["time"], ..plain("update_rate", "share of draws that changed the state of this time") };
        walk.replicated(&name, &mut rate)?;
        let (times, d, chains) = (self.changed.len(), self.names.len(), self.options.islands);
        // Every rank has the chains; rank 0 writes.
        let rows = if self.rank == 0 { 0..chains } else { 0..0 };
        let (made, p) = (self.draws() as usize, self.parameters.len());
        for (i, name) in self.parameters.iter().enumerate() {
            let value = |c: usize, k: usize| self.trace[(k * chains + c) * p + i];
            let values: Vec<f64> = rows.clone().flat_map(|c| (0..made).map(move |k| value(c, k))).collect();
            walk.given(name, &[chains, made], &Hyperslab::rows(rows.clone(), &[made]), &values)?;
        }
        let draws = self.kept.len() / (chains * times * d);
        if draws == 0 {
            return Ok(());
        }
        // draw × chain × time × number, one number after the other as chain × draw × time.
        let mut given = |all: &[f64], names: &[Name], times: usize| -> Result<()> {
            let m = names.len();
            for (c, name) in names.iter().enumerate() {
                let mut values = Vec::with_capacity(rows.len() * draws * times);
                for r in rows.clone() {
                    for k in 0..draws {
                        values.extend((0..times).map(|t| all[((k * chains + r) * times + t) * m + c]));
                    }
                }
                walk.given(name, &[chains, draws, times], &Hyperslab::rows(rows.clone(), &[draws, times]), &values)?;
            }
            Ok(())
        };
        given(&self.kept, &self.names, times)?;
        let Some(free) = &self.posed.free else { return Ok(()) };
        given(&self.predicted, &self.predictive, free.times.len())?;
        let name = plain("predicted_time", "times of the data and after");
        walk.replicated(&Name { axes: &["predicted_time"], ..name }, &mut free.times.clone())?;
        Ok(())
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.options.level.name().to_string())]
    }

    fn report(&self) -> Vec<Number> {
        let trials = (self.draws() as f64 * self.options.islands as f64).max(1.0);
        let least = self.changed.iter().copied().fold(f64::INFINITY, f64::min) / trials;
        let meaning = "smallest share over times of draws that changed the state; near 0: more particles";
        let number = |name, meaning, value, error| Number { name, unit: "1", meaning, value, error };
        // All have as many draws: every one has a summary, or none.
        let found = self.summaries();
        let mut report = Vec::new();
        for ((name, sd), found) in self.parameters.iter().zip(&self.parameter_sds).zip(&found) {
            report.push(posterior_mean(name, found));
            report.push(number(sd.name, sd.meaning, found.sd, ErrorBar::None));
        }
        if !found.is_empty() {
            let (least, most) = worst(&found);
            let meaning = "independent draws the worst parameter is worth";
            report.push(number("effective_draws", meaning, least, ErrorBar::None));
            let meaning = "split R̂ of the worst parameter: near 1 where the halves of all chains agree";
            report.push(number("r_hat", meaning, most, ErrorBar::None));
        }
        if !self.links.is_empty() {
            let accepted: f64 = self.links.iter().map(|l| l.accepted).sum();
            let value = accepted / (trials * self.posed.method.parameter_moves as f64);
            let meaning = "share of proposals of the parameters accepted after the warm-up";
            report.push(number("acceptance", meaning, value, ErrorBar::None));
        }
        report.extend([
            Number { name: "smallest_update", unit: "1", meaning, value: least, error: ErrorBar::None },
            Number {
                name: "draws",
                unit: "1",
                meaning: "trajectories of each chain after the warm-up",
                value: self.draws() as f64,
                error: ErrorBar::None,
            },
        ]);
        report
    }

    fn work(&self) -> (f64, &'static str) {
        let particles = (self.options.islands * self.options.particles * self.changed.len()) as f64;
        (particles * self.iteration as f64, "particle-steps")
    }

    fn outlook(&self) -> Outlook {
        Outlook::left((self.posed.method.iterations + self.posed.method.warm_up).saturating_sub(self.iteration))
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::solvers::smc::chains_tests::ended;
    use crate::team::Solo;

    #[test]
    fn trajectories_about_10_000_000_have_the_deviations_and_errors_of_those_about_0() {
        let about = |m: f64| -> Vec<Vec<[Estimated; 2]>> {
            let text = format!(
                r#"
solver = "smc"
[run]
seed = 5
[problem]
observations = {{ values = [{}, {}, {}] }}
[problem.model]
kind = "written"
states = ["x"]
parameters = {{ m = {m:?} }}
noises = {{ n = {{ distribution = "normal" }} }}
initial = {{ x = "m + n" }}
transition = {{ x = "m + 0.9*(x - m) + 0.5*n" }}
observation = {{ y = {{ distribution = "normal", mean = "x", sd = 0.7 }} }}
[method]
name = "particle_gibbs"
particles = 10
iterations = 200
warm_up = 20
islands = 4
"#,
                m + 0.25,
                m - 0.5,
                m + 1.25
            );
            ended(&Input::parse(Path::new("a.toml"), &text, &[]).unwrap(), &Solo).moments()
        };
        // States about 10⁷ have 2e-9 of rounding, their squares about 0 would have 0.01.
        for (far, near) in about(1e7).iter().flatten().zip(about(0.0).iter().flatten()) {
            assert!((far[0].value - 1e7 - near[0].value).abs() < 1e-6, "{far:?} {near:?}");
            assert!((far[1].value / near[1].value - 1.0).abs() < 1e-6, "{far:?} {near:?}");
            assert!((far[1].standard_error / near[1].standard_error - 1.0).abs() < 1e-5, "{far:?} {near:?}");
        }
    }
}
