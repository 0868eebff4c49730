//! The solver: one step on the grid of half the resolution, which says how far off the other is, and one on the grid itself.
//! Every rank solves the same small problem.

use std::path::Path;
use std::sync::Arc;

use super::Input;
use crate::error::{Error, Result};
use crate::input::Input as Whole;
use crate::interrupt;
use crate::math::simd::Level;
use crate::solvers::paths::priors::Prior;
use crate::solvers::paths::problem::ProblemInput;
use crate::solvers::{ErrorBar, Estimate, Number, Outcome, Solver, Status, program};
use crate::state::{Name, Walk};
use crate::team::Team;

pub struct Committor {
    input: Input,
    prior: Arc<dyn Prior>,
    diffusion: f64,
    start: Vec<f64>,
    /// Grids solved so far: 0, 1, 2.
    stage: u64,
    /// Per grid: rate, rate back, flux, committor at the start, iterations.
    numbers: [[f64; 5]; 2],
    q: Vec<f64>,
    potential: Vec<f64>,
}

/// Reads and checks what is asked.
///
/// # Errors
/// The key at fault.
pub fn read(whole: &Whole, input: &Input, level: Level) -> Result<Committor> {
    let problem: ProblemInput = whole.problem()?;
    let invalid = |(key, message): (String, String)| whole.invalid(&key, message);
    for (key, given) in [
        ("observations", !problem.observations.is_empty()),
        ("balls", !problem.balls.is_empty()),
        ("running", problem.running.is_some()),
        ("start_deviation", problem.start_deviation.is_some()),
        ("known_log_evidence", problem.known_log_evidence.is_some()),
    ] {
        if given {
            let message = "is nothing that a committor depends on; leave it out";
            return Err(invalid((format!("problem.{key}"), message.into())));
        }
    }
    let d = problem.start.len();
    input.check(d).map_err(|(key, message)| invalid((format!("method.{key}"), message)))?;
    let outside = |i: &usize| !(input.low[*i] <= problem.start[*i] && problem.start[*i] <= input.high[*i]);
    if let Some(i) = (0..d).find(outside) {
        let (x, low, high) = (problem.start[i], input.low[i], input.high[i]);
        let message = format!("must lie in the box of the grid: {x} is not between {low} and {high}");
        return Err(invalid(("problem.start".into(), message)));
    }
    let end = problem.steps.unwrap_or(1) as f64 * problem.time_step.unwrap_or(1.0);
    let prior = problem
        .prior
        .build(d, end, level)
        .map_err(|(key, message)| invalid((format!("problem.prior.{key}"), message)))?;
    // The noise may have a constant factor.
    let factor = prior.spread(0.0, 1.0).filter(|_| prior.keeps_spread());
    let (Some(factor), true) = (factor, prior.potential(&problem.start).is_some()) else {
        let message = "the committor needs b = −∇V and constant noise: ornstein_uhlenbeck, double_well, muller_brown, \
                       coupled_double_well, triple_well and written potentials have them";
        return Err(invalid(("problem.prior.kind".into(), message.into())));
    };
    Ok(Committor {
        input: input.clone(),
        prior: Arc::from(prior),
        diffusion: 0.5 * (problem.noise * factor).powi(2),
        start: problem.start,
        stage: 0,
        numbers: [[f64::NAN; 5]; 2],
        q: Vec::new(),
        potential: Vec::new(),
    })
}

/// What `spanwise check` says.
pub fn check(whole: &Whole, input: &Input, ranks: usize) -> Result<Estimate> {
    let asked = read(whole, input, Level::detect())?;
    let points = asked.points() as u64;
    Ok(Estimate {
        problem: vec![
            ("coordinates".into(), asked.start.len().to_string()),
            ("points of the grid".into(), points.to_string()),
            ("diffusion coefficient".into(), format!("{}", asked.diffusion)),
        ],
        size_key: "method.cells".into(),
        memory: vec![program(ranks), ("equations and search directions".into(), 8 * 14 * points)],
        output_bytes: 8 * 2 * points + (1 << 16),
        checkpoint_bytes: 8 * points + (1 << 16),
        ..Estimate::default()
    })
}

impl Committor {
    fn points(&self) -> usize {
        self.input.cells().iter().map(|c| c + 1).product()
    }

    fn axis(&self, i: usize) -> Vec<f64> {
        let (low, high, cells) = (self.input.low[i], self.input.high[i], self.input.cells()[i]);
        (0..=cells).map(|k| low + (high - low) * k as f64 / cells as f64).collect()
    }

    fn potential(&self) -> Vec<f64> {
        let v = |x: &[f64]| self.prior.potential(x).unwrap_or(f64::NAN);
        let x = self.axis(0);
        match self.start.len() {
            1 => x.iter().map(|x| v(&[*x])).collect(),
            _ => self.axis(1).iter().flat_map(|y| x.iter().map(move |x| v(&[*x, *y]))).collect(),
        }
    }
}

impl Solver for Committor {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let fine = self.stage as usize;
        let v = |x: &[f64]| self.prior.potential(x).unwrap_or(f64::NAN);
        // Ranks stop together, after the same iteration or not at all: only a signal that all have seen counts.
        let stop = || team.any(interrupt::requested());
        let Some(solved) = self.input.solve(&v, self.diffusion, 2 >> fine, &stop) else {
            if stop() {
                return Err(Error::Interrupted);
            }
            let message = "the equations of the committor did not converge: is the potential finite on the grid?";
            return Err(Error::Numerical { step, message: message.into() });
        };
        if !(solved.rate.is_finite() && solved.back.is_finite() && solved.flux > 0.0) {
            let message = "the potential is not finite somewhere between the sets, no flux passes, or nearly all of the mass \
                           is before one of the sets, so that a rate is not a number: change method.low, method.high or \
                           the sets, or raise the noise";
            return Err(Error::Numerical { step, message: message.into() });
        }
        let at_start = if fine == 1 { self.input.at(&solved.q, &self.start, &v, self.diffusion) } else { f64::NAN };
        self.numbers[fine] = [solved.rate, solved.back, solved.flux, at_start, solved.iterations as f64];
        self.q = if fine == 1 { solved.q } else { Vec::new() };
        self.stage += 1;
        Ok(if self.reached() { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn reached(&self) -> bool {
        self.stage == 2
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&STAGE, (&mut self.stage).into())?;
        for (name, numbers) in NUMBERS.iter().zip(&mut self.numbers) {
            walk.scalar(name, numbers.as_mut_slice().into())?;
        }
        walk.replicated(&COMMITTOR, &mut self.q)
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        for (i, name) in AXES.iter().enumerate().take(self.start.len()) {
            walk.replicated(name, &mut self.axis(i))?;
        }
        let mut edges = Vec::new();
        for set in [&self.input.a, &self.input.b] {
            let round = matches!(set, super::Set::Ball { .. });
            edges.push(f64::from(u8::from(round)));
            (0..self.start.len()).for_each(|i| edges.extend([set.extent(i).0, set.extent(i).1]));
        }
        walk.replicated(&SETS, &mut edges)
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let last = self.numbers[(self.stage as usize).saturating_sub(1)];
        vec![(RATE, last[0]), (ITERATIONS, last[4])]
    }

    fn finish(&mut self, _team: &dyn Team) -> Result<()> {
        self.potential = self.potential();
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&POTENTIAL, &mut self.potential)
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, unit, meaning, value| Number { name, unit, meaning, value, error: ErrorBar::None };
        let coarse = self.numbers[0];
        // After a first step alone: the coarse grid's.
        let fine = self.numbers[(self.stage as usize).saturating_sub(1)];
        let mut report = vec![
            number("rate", "1/time", "mean rate from A to B; error not bounded, see grid_error", fine[0]),
            number("rate_back", "1/time", "mean rate from B to A", fine[1]),
            number("reactive_flux", "1/time", "transitions from A to B per time of one long trajectory", fine[2]),
            number(
                "grid_error",
                "1",
                "|rate / rate on the grid with half the cells - 1|",
                (fine[0] / coarse[0] - 1.0).abs(),
            ),
            number("committor_at_start", "1", "probability of meeting B before A from problem.start", fine[3]),
        ];
        if let Some(known) = self.input.known_rate {
            report.push(number("off_known", "1", "rate / known rate - 1", fine[0] / known - 1.0));
        }
        report
    }

    fn work(&self) -> (f64, &'static str) {
        let quarter = if self.start.len() == 2 { 0.25 } else { 0.5 };
        let sweeps: f64 =
            [quarter, 1.0].iter().zip(&self.numbers).take(self.stage as usize).map(|(s, n)| s * n[4]).sum();
        (sweeps * self.points() as f64, "points")
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

const STAGE: Name = Name { name: "grids_done", units: "1", meaning: "grids solved: coarse, fine", axes: &[] };
const fn numbers(name: &'static str, meaning: &'static str) -> Name {
    Name { name, units: "1", meaning, axes: &["committor_number"] }
}
const NUMBERS: [Name; 2] = [
    numbers("coarse_numbers", "rate, rate back, flux, committor at the start (NaN), iterations with half the cells"),
    numbers("numbers", "rate, rate back, flux, committor at the start, iterations"),
];
const COMMITTOR: Name = Name {
    name: "committor",
    units: "1",
    meaning: "probability of meeting B before A, rows of the second coordinate",
    axes: &["grid_point"],
};
const AXES: [Name; 2] = [
    Name { name: "grid_x", units: "1", meaning: "first coordinate of the grid", axes: &["grid_x"] },
    Name { name: "grid_y", units: "1", meaning: "second coordinate of the grid", axes: &["grid_y"] },
];
const SETS: Name = Name {
    name: "sets",
    units: "1",
    meaning: "of A, then B: 1 for a ball or 0 for a box, then lowest and highest value of each coordinate",
    axes: &["set_value"],
};
const POTENTIAL: Name =
    Name { name: "potential", units: "1", meaning: "potential at the points of the grid", axes: &["grid_point"] };
const RATE: Name = Name { name: "rate", units: "1/time", meaning: "rate from A to B on the last grid", axes: &[] };
const ITERATIONS: Name =
    Name { name: "iterations", units: "1", meaning: "iterations of conjugate gradients on the last grid", axes: &[] };
