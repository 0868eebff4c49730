//! The doors of problems that are solved in one step: steady ones and those of linear stability.

use std::path::Path;

use num_complex::Complex;

use super::diagnostics::last_eighth;
use super::geometry::Geometry;
use super::input::Refusal;
use super::solver::Profile;
use super::stability::{Mode, Onset, OrrSommerfeld};
use super::steady::{Condition, Operator, solve_periodic, solve_walls};
use super::walked::{coordinate_names, kept, walk_coefficients, walk_coordinates, walk_points};
use crate::error::{Error, Result};
use crate::solvers::spectral::domain::Tile;
use crate::solvers::spectral::results::{ranks, xdmf};
use crate::solvers::spectral::sampled::{missed, told_of_missed};
use crate::solvers::spectral::transform::Transform;
use crate::solvers::{ErrorBar, Number, Outcome, Solver, Status};
use crate::state::{Name, Walk};
use crate::team::Team;

type C = Complex<f64>;

fn number(name: &'static str, meaning: &'static str, value: f64) -> Number {
    Number { name, unit: "1", meaning, value, error: ErrorBar::None }
}

const SIZE: Name = Name { name: "largest", units: "1", meaning: "largest |u| at a grid point", axes: &[] };
const TAIL: Name = Name {
    name: "last_eighth",
    units: "1",
    meaning: "estimate of the space error: the largest coefficient in the last eighth over the largest of all",
    axes: &[],
};

/// A condition at a wall: order of the derivative, upper wall or not, what it is there.
pub type WallData = (usize, bool, Profile);

/// A steady linear problem.
pub struct Steady {
    operator: Operator,
    conditions: Vec<Condition>,
    transform: Box<dyn Transform<f64>>,
    /// The right-hand side, then the solution.
    u: Vec<C>,
    size: f64,
    tail: f64,
    solved: bool,
    /// At the grid points; after `finish`.
    values: Vec<f64>,
    notes: Vec<String>,
    /// Of the coefficients and of the values.
    names: [Name; 2],
    coordinates: Vec<Name>,
}

impl Steady {
    /// Takes the right-hand side and the data at the walls to coefficients; collective. Between walls (`conditions` is
    /// not empty) axis 0 of the transform's domain is Chebyshev.
    ///
    /// # Errors
    /// When there is no solution: the key at fault, on the ranks that find it.
    pub fn new(
        operator: Operator,
        right_hand_side: &Profile,
        conditions: &[WallData],
        mut transform: Box<dyn Transform<f64>>,
        team: &dyn Team,
    ) -> std::result::Result<Steady, Refusal> {
        let modes = transform.modes();
        let walls = transform.domain().axes[0].clone();
        let mut notes = Vec::new();
        let mut project = |what: &str, profile: &Profile, wall: Option<f64>| {
            let mut out = vec![C::new(0.0, 0.0); modes.len()];
            let sample = |tile: &Tile, out: &mut [&mut [f64]]| {
                let tile = Tile { plane: wall.unwrap_or(tile.plane), ..*tile };
                profile(&tile, out[0]);
            };
            transform.through(team, &[], &|tile, _, out| sample(tile, out), &mut [&mut out]);
            let share = missed(&sample, transform.as_mut(), team, &[&out])[0];
            notes.extend(told_of_missed(what, share));
            out
        };
        let infinite = |key: &str, values: &[C]| match team.any(!values.iter().all(|z| z.norm_sqr().is_finite())) {
            true => Err((key.to_string(), "is not finite everywhere, or its square is not".to_string())),
            false => Ok(()),
        };
        let u = project("the right-hand side", right_hand_side, None);
        infinite("right_hand_side", &u)?;
        let columns = modes.count[1] * modes.count[2];
        let mut data_at_walls = Vec::with_capacity(conditions.len());
        for (derivative, upper, profile) in conditions {
            // Data are extended along z, so that they are the coefficients of degree 0.
            let wall = if *upper { walls.low + walls.length } else { walls.low };
            let what = if *upper { "a condition at the upper wall" } else { "a condition at the lower wall" };
            let mut data = project(what, profile, Some(wall));
            infinite(if *upper { "upper" } else { "lower" }, &data)?;
            data.truncate(columns);
            data_at_walls.push(Condition { derivative: *derivative, upper: *upper, data });
        }
        let domain = transform.domain();
        let names: Vec<&str> = domain.own().iter().map(|a| a.name).collect();
        let waves: Vec<String> = names.iter().map(|n| format!("k{n}")).collect();
        let axes: Vec<&str> = waves.iter().map(String::as_str).chain(["part"]).collect();
        let steady = Steady {
            operator,
            conditions: data_at_walls,
            u,
            size: 0.0,
            tail: 0.0,
            solved: false,
            values: Vec::new(),
            notes,
            names: [
                kept("u_coefficients", "coefficients of the solution (of f before it), (real, imaginary)", &axes),
                kept("u", "the solution at the grid points", &names),
            ],
            coordinates: coordinate_names(domain),
            transform,
        };
        // Whether there is a solution is known when it is found: that costs less than to write it, and what is asked in
        // vain is refused before the run.
        steady.solve(&mut steady.u.clone(), team)?;
        Ok(steady)
    }

    /// Right-hand side in, solution out; collective.
    ///
    /// # Errors
    /// When there is none: the key at fault, on the ranks that find it.
    fn solve(&self, u: &mut [C], team: &dyn Team) -> std::result::Result<(), Refusal> {
        let (domain, block) = (self.transform.domain(), self.transform.modes());
        let over_all = |x: f64| team.max(x);
        if self.conditions.is_empty() {
            return solve_periodic(domain, block, self.operator, u, &over_all);
        }
        let geometry = Geometry::new(domain, block);
        solve_walls(&geometry, self.operator, &self.conditions, u, &over_all)
    }

    /// Coefficients of the solution.
    pub fn solution(&self) -> &[C] {
        &self.u
    }

    fn grid(&mut self, team: &dyn Team) -> Vec<f64> {
        let mut values = vec![0.0; self.transform.points().len()];
        self.transform.backward(team, &[&self.u], &mut [&mut values]);
        values
    }
}

impl Solver for Steady {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let mut u = std::mem::take(&mut self.u);
        let solved = self.solve(&mut u, team);
        self.u = u;
        team.agree(solved.map_err(|(_, message)| Error::Numerical { step, message }))?;
        self.size = team.max(self.grid(team).iter().fold(0.0, |m: f64, x| m.max(x.abs())));
        self.tail = last_eighth(self.transform.domain(), self.transform.modes(), &[&self.u], team);
        self.solved = true;
        Ok(Status::Finished(Outcome::Reached))
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let (domain, block) = (self.transform.domain().clone(), self.transform.modes());
        walk_coefficients(walk, &self.names[0], &domain, block, &mut self.u)?;
        walk.scalar(&SIZE, (&mut self.size).into())?;
        walk.scalar(&TAIL, (&mut self.tail).into())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        vec![(SIZE, self.size)]
    }

    fn snapshot_due(&self) -> Option<f64> {
        self.solved.then_some(0.0)
    }

    fn snapshot(&mut self, walk: &mut dyn Walk, team: &dyn Team) -> Result<()> {
        let mut values = self.grid(team);
        let domain = self.transform.domain();
        walk_coordinates(walk, &self.coordinates, domain)?;
        walk_points(walk, &self.names[1], domain, self.transform.points(), &mut values)
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.values = self.grid(team);
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let domain = self.transform.domain();
        walk_coordinates(walk, &self.coordinates, domain)?;
        walk_points(walk, &self.names[1], domain, self.transform.points(), &mut self.values)
    }

    fn report(&self) -> Vec<Number> {
        vec![number(SIZE.name, SIZE.meaning, self.size), number(TAIL.name, TAIL.meaning, self.tail)]
    }

    fn work(&self) -> (f64, &'static str) {
        let points: f64 = self.transform.domain().points().iter().map(|&n| n as f64).product();
        (if self.solved { points } else { 0.0 }, "points")
    }

    fn extras(&mut self, dir: &Path, team: &dyn Team) -> Result<Vec<String>> {
        ranks::from_first(team, || xdmf::write(dir))
    }
}

/// A problem of linear stability.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Waves on a parallel flow; `critical`: also the smallest Reynolds number with a neutral one.
    OrrSommerfeld { problem: OrrSommerfeld, critical: bool },
    /// Onset of convection, at one wavenumber or at the first that is neutral.
    Onset { problem: Onset, wavenumber: Option<f64> },
}

/// Answers a [`Question`] on n Chebyshev coefficients and on ¾ n, whose difference is the error estimate. Rank 0 asks
/// LAPACK, the others are told.
pub struct Stability {
    question: Question,
    coefficients: usize,
    /// What is reported, in the order of `numbers`.
    values: Vec<f64>,
    /// All eigenvalues, fastest growing first.
    real: Vec<f64>,
    imaginary: Vec<f64>,
    /// The leading mode at `heights`: real and imaginary part of w, and θ.
    mode: [Vec<f64>; 3],
}

/// Points at which the mode is given.
const HEIGHTS: usize = 201;

impl Stability {
    pub fn new(question: Question, coefficients: usize) -> Stability {
        let (real, imaginary) = (Vec::new(), Vec::new());
        let mut made =
            Stability { question, coefficients, values: Vec::new(), real, imaginary, mode: Default::default() };
        made.values = vec![0.0; made.names().len()];
        made
    }

    /// Where the mode is given, in the units of the problem.
    fn heights(&self, walk: &mut dyn Walk) -> Result<()> {
        let (name, low, length) = match &self.question {
            Question::OrrSommerfeld { .. } => (HALF_HEIGHT, -1.0, 2.0),
            Question::Onset { .. } => (HEIGHT, 0.0, 1.0),
        };
        walk.replicated(&name, &mut (0..HEIGHTS).map(|i| low + length * i as f64 / (HEIGHTS - 1) as f64).collect())
    }

    fn names(&self) -> Vec<(&'static str, &'static str)> {
        match &self.question {
            Question::OrrSommerfeld { critical, .. } => {
                let mut names = vec![
                    ("phase_velocity", "Re c of the fastest growing wave"),
                    ("growth", "Im c of the fastest growing wave; it grows at the rate α Im c"),
                    ("error_estimate", "|difference of c to the nearest one on three quarters of the coefficients|"),
                ];
                if *critical {
                    names.push(("critical_reynolds", "smallest Reynolds number with a neutral wave"));
                    names.push(("critical_wavenumber", "its wavenumber"));
                    names.push((
                        "critical_error_estimate",
                        "difference of the critical Reynolds number to three quarters of the coefficients",
                    ));
                }
                names
            }
            Question::Onset { .. } => vec![
                ("rayleigh", "Rayleigh number of the neutral mode"),
                ("wavenumber", "its wavenumber"),
                ("error_estimate", "difference of the Rayleigh number to three quarters of the coefficients"),
            ],
        }
    }

    /// Everything, on this rank: values, eigenvalues, mode.
    fn answer(&self) -> std::result::Result<Vec<Vec<f64>>, String> {
        let (n, fewer) = (self.coefficients, 3 * self.coefficients / 4);
        let heights = |coefficients: &[C]| -> Vec<C> {
            let series = ndarray::Array1::from_vec(coefficients.to_vec());
            let xi = |i: usize| 2.0 * i as f64 / (HEIGHTS - 1) as f64 - 1.0;
            let values: Vec<C> = (0..HEIGHTS).map(|i| super::ultraspherical::evaluate(&series, xi(i))).collect();
            // Scaled and turned so that the largest value is 1.
            let largest = values.iter().copied().fold(C::new(0.0, 0.0), |m, z| if z.norm() > m.norm() { z } else { m });
            values.iter().map(|z| z / largest).collect()
        };
        match &self.question {
            Question::OrrSommerfeld { problem, critical } => {
                let modes = problem.modes(n)?;
                let leading = modes.first().ok_or("no finite eigenvalue")?;
                // The same mode, not the fastest: where U is odd, waves come in pairs ±Re c that grow alike.
                let distance = |m: &Mode| (leading.value - m.value).norm();
                let error = problem.modes(fewer)?.iter().map(distance).min_by(f64::total_cmp);
                let error = error.ok_or("no finite eigenvalue")?;
                let mut values = vec![leading.value.re, leading.value.im, error];
                if *critical {
                    let (best, rough) = (problem.critical(n)?, problem.critical(fewer)?);
                    values.extend([best.reynolds, best.wavenumber, (best.reynolds - rough.reynolds).abs()]);
                }
                let mode = heights(&leading.coefficients);
                let part = |of: fn(&C) -> f64| -> Vec<f64> { mode.iter().map(of).collect() };
                let real = modes.iter().map(|m| m.value.re).collect();
                let imaginary = modes.iter().map(|m| m.value.im).collect();
                Ok(vec![values, real, imaginary, part(|z| z.re), part(|z| z.im), Vec::new()])
            }
            Question::Onset { problem, wavenumber } => {
                let solve = |n: usize| wavenumber.map_or_else(|| problem.critical(n), |k| problem.neutral(k, n));
                let (best, rough) = (solve(n)?, solve(fewer)?);
                let values = vec![best.rayleigh, best.wavenumber, (best.rayleigh - rough.rayleigh).abs()];
                let real = |list: &[f64]| -> Vec<f64> {
                    heights(&list.iter().map(|&x| C::new(x, 0.0)).collect::<Vec<_>>()).iter().map(|z| z.re).collect()
                };
                let none = Vec::new;
                Ok(vec![values, none(), none(), real(&best.w), none(), real(&best.theta)])
            }
        }
    }
}

const DONE: Name =
    Name { name: "values", units: "1", meaning: "what the report says, in its order", axes: &["number"] };
const REAL: Name = Name {
    name: "eigenvalue_real",
    units: "1",
    meaning: "Re c of all eigenvalues, fastest growing first",
    axes: &["eigenvalue"],
};
const IMAGINARY: Name =
    Name { name: "eigenvalue_imag", units: "1", meaning: "Im c of all eigenvalues", axes: &["eigenvalue"] };
const MODE: [Name; 3] = [
    Name {
        name: "mode_w_real",
        units: "1",
        meaning: "real part of w of the leading mode, largest value 1",
        axes: &["z"],
    },
    Name { name: "mode_w_imag", units: "1", meaning: "imaginary part of w of the leading mode", axes: &["z"] },
    Name { name: "mode_theta", units: "1", meaning: "temperature of the neutral mode, largest value 1", axes: &["z"] },
];
const HEIGHT: Name =
    Name { name: "z", units: "1", meaning: "distance from the lower wall over the height", axes: &["z"] };
const HALF_HEIGHT: Name =
    Name { name: "z", units: "1", meaning: "distance from the middle over half the height", axes: &["z"] };

impl Solver for Stability {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let mine = if team.rank() == 0 { self.answer() } else { Ok(Vec::new()) };
        let answer = team.agree(mine.map_err(|message| Error::Numerical { step, message }))?;
        let lengths: Vec<u64> = answer.iter().map(|list| list.len() as u64).collect();
        let lengths = team.broadcast(0, &lengths);
        let flat = team.broadcast(0, &answer.concat());
        let mut rest = flat.as_slice();
        let [first, second, third] = &mut self.mode;
        let lists = [&mut self.values, &mut self.real, &mut self.imaginary, first, second, third];
        for (list, n) in lists.into_iter().zip(lengths) {
            let (part, after) = rest.split_at(n as usize);
            *list = part.to_vec();
            rest = after;
        }
        Ok(Status::Finished(Outcome::Reached))
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&DONE, &mut self.values)?;
        walk.replicated(&REAL, &mut self.real)?;
        walk.replicated(&IMAGINARY, &mut self.imaginary)?;
        for (name, list) in MODE.iter().zip(&mut self.mode) {
            walk.replicated(name, list)?;
        }
        Ok(())
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let name = |(name, meaning)| Name { name, units: "1", meaning, axes: &[] };
        self.names().into_iter().map(name).zip(self.values.iter().copied()).collect()
    }

    fn snapshot_due(&self) -> Option<f64> {
        (!self.mode[0].is_empty()).then_some(0.0)
    }

    /// The leading mode over the height, for figures.
    fn snapshot(&mut self, walk: &mut dyn Walk, _team: &dyn Team) -> Result<()> {
        self.heights(walk)?;
        for (name, list) in MODE.iter().zip(&mut self.mode).filter(|(_, list)| list.len() == HEIGHTS) {
            walk.scalar(name, list.into())?;
        }
        Ok(())
    }

    fn finish(&mut self, _team: &dyn Team) -> Result<()> {
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.heights(walk)
    }

    fn report(&self) -> Vec<Number> {
        self.names().iter().zip(&self.values).map(|(&(name, meaning), &value)| number(name, meaning, value)).collect()
    }

    fn work(&self) -> (f64, &'static str) {
        (if self.mode[0].is_empty() { 0.0 } else { self.coefficients as f64 }, "coefficients")
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::spectral::transform::Reference;
    use crate::solvers::spectral::walls::geometry::domain;
    use crate::solvers::spectral::walls::stability::Wall;
    use crate::team::{Solo, threads};

    #[test]
    fn a_steady_problem_is_solved_in_one_step_with_data_at_the_walls() {
        // u = sinh(z) cos(x): harmonic, given at the lower wall, its slope at the upper one.
        let domain = domain(&[24, 8], &[1.0, std::f64::consts::TAU], &[0.5, 0.0]);
        let at = |f: fn(f64, f64) -> f64| -> Profile {
            Box::new(move |tile: &Tile, out: &mut [f64]| tile.for_each(|i, [z, _, x]| out[i] = f(z, x)))
        };
        let walls = [(0, false, at(|z, x| z.sinh() * x.cos())), (1, true, at(|z, x| z.cosh() * x.cos()))];
        let mut steady =
            Steady::new(Operator::Poisson, &at(|_, _| 0.0), &walls, Box::new(Reference::new(&domain)), &Solo).unwrap();
        assert_eq!(steady.work().0, 0.0, "nothing is solved yet");
        assert_eq!(steady.step(1, &Solo).unwrap(), Status::Finished(Outcome::Reached));
        assert_eq!(steady.work().0, 360.0, "36 × 10 points of the padded grid");
        steady.finish(&Solo).unwrap();
        let values = &steady.values;
        let [planes, _, columns] = domain.points();
        for i in 0..planes * columns {
            let (z, x) = (domain.axes[0].coordinate(i / columns), domain.axes[2].coordinate(i % columns));
            assert!((values[i] - z.sinh() * x.cos()).abs() < 1e-14, "{z} {x}");
        }
        assert!(steady.tail < 1e-13);
    }

    #[test]
    fn stability_is_answered_alike_on_every_rank_with_an_error_estimate() {
        let problem = Onset { lower: Wall::Rigid, upper: Wall::Rigid };
        let reports = threads::run(3, |team| {
            let mut solver = Stability::new(Question::Onset { problem, wavenumber: None }, 32);
            assert_eq!(solver.work().0, 0.0);
            solver.step(1, team).unwrap();
            assert_eq!(solver.work().0, 32.0);
            (solver.report(), solver.mode.clone())
        });
        let (report, mode) = &reports[0];
        assert!(reports.iter().all(|r| r == &reports[0]));
        let error = report[2].value;
        assert!((report[0].value - 1707.76177710).abs() < 1e-7 && error < 1e-6, "{report:?}");
        assert_eq!(mode[0].iter().copied().fold(0.0, f64::max), 1.0);
        assert!(mode[0][0].abs() < 1e-12 && mode[2][HEIGHTS - 1].abs() < 1e-12, "the mode vanishes at the walls");

        let problem = OrrSommerfeld { profile: vec![1.0, 0.0, -1.0], reynolds: 1e4, wavenumber: 1.0 };
        let mut solver = Stability::new(Question::OrrSommerfeld { problem, critical: false }, 120);
        solver.step(1, &Solo).unwrap();
        let report = solver.report();
        assert!((report[1].value - 0.0037396706).abs() < 2e-10 && report[2].value < 1e-9, "{report:?}");
    }

    #[test]
    fn the_error_estimate_compares_a_mode_with_itself_where_two_grow_alike() {
        // Couette flow is odd: waves ±Re c of one growth, of which either may come first.
        let problem = OrrSommerfeld { profile: vec![0.0, 1.0], reynolds: 500.0, wavenumber: 1.5 };
        for coefficients in [64, 80, 96] {
            let question = Question::OrrSommerfeld { problem: problem.clone(), critical: false };
            let mut solver = Stability::new(question, coefficients);
            solver.step(1, &Solo).unwrap();
            let [speed, growth, error] = [0, 1, 2].map(|i| solver.report()[i].value);
            assert!(
                (speed.abs() - 0.577390869).abs() < 1e-8 && (growth + 0.139892221).abs() < 1e-8,
                "{speed} {growth}"
            );
            assert!(error < 1e-7, "{coefficients} coefficients: {error:e}");
        }
    }
}
