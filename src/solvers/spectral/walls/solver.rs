//! The door of flows between walls: state, steps, series, report.
//!
//! What differs from house to house of the room comes in from outside: the transform, the time stepper, the pace (who
//! chooses the size of steps) and initial fields as functions of a tile.

use std::path::Path;
use std::sync::Arc;

use num_complex::Complex;

use super::advection::{Advection, Physics};
use super::diagnostics::{Means, column_mean, last_eighth, mean_column, means, wall_slopes};
use super::diffusion::{Diffusion, unknowns};
use super::geometry::{Geometry, zeros};
use super::walked::{Names, coordinate_names, kept, walk_coefficients, walk_coordinates, walk_points};
use crate::error::{Error, Result};
use crate::solvers::spectral::domain::{Block, Domain, Tile};
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::initial::told;
use crate::solvers::spectral::linear::Implicit;
use crate::solvers::spectral::reality::Reality;
use crate::solvers::spectral::results::spectra::{k_max_eta, kolmogorov_length};
use crate::solvers::spectral::results::time_error::{self, TimeError};
use crate::solvers::spectral::sampled::{missed, told_of_missed};
use crate::solvers::spectral::steppers::{LinearPart, Nonlinear, Scheme, Stepper, retake, subtract};
use crate::solvers::spectral::transform::Transform;
use crate::solvers::{ErrorBar, Number, Outcome, Solver, Status};
use crate::state::{Name, Walk};
use crate::team::Team;

/// Steps from one [`Reality::restore_all`] to the next: buoyancy makes modes grow, but little in these.
pub const REAL_EVERY: u64 = 8;

/// Values of a function at the points of a tile.
pub type Profile = Box<dyn Fn(&Tile, &mut [f64]) + Send + Sync>;

/// Makes a time stepper for so many fields and modes of this rank; it must treat the linear part implicitly.
pub type MakeStepper<'a> = dyn Fn(usize, usize) -> Box<dyn Stepper<f64>> + 'a;

/// Who chooses the size of steps.
pub trait Pace {
    /// The next step from `time`, and the time after it.
    fn next(&mut self, time: f64) -> (f64, f64);
    /// The step was taken; `frequency` is the largest Σ |u_i| k_i met, in radians per time.
    ///
    /// # Errors
    /// When the step would have to be too small; in words.
    fn taken(&mut self, step: f64, frequency: f64) -> std::result::Result<(), String>;
    /// The size of steps that no output shortens.
    fn regular(&self) -> f64;
    /// Whether `time` is the end.
    fn ended(&self, time: f64) -> bool;
    /// What a restart needs.
    fn numbers(&mut self) -> Vec<(&'static str, &mut f64)>;
    /// A restart gave what it holds.
    fn restored(&mut self) {}
}

/// Steps of one size to an end; the last one is shortened to meet it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fixed {
    pub step: f64,
    pub end: f64,
}

impl Pace for Fixed {
    fn next(&mut self, time: f64) -> (f64, f64) {
        let left = self.end - time;
        if left <= self.step * (1.0 + 1e-9) { (left, self.end) } else { (self.step, time + self.step) }
    }

    fn taken(&mut self, _step: f64, _frequency: f64) -> std::result::Result<(), String> {
        Ok(())
    }

    fn regular(&self) -> f64 {
        self.step
    }

    fn ended(&self, time: f64) -> bool {
        time >= self.end
    }

    fn numbers(&mut self) -> Vec<(&'static str, &mut f64)> {
        Vec::new()
    }
}

/// Coefficients of an unknown of that name in a block of this rank, from an earlier run.
pub type Load = Box<dyn Fn(&str, &Domain, Block) -> Result<Vec<Complex<f64>>>>;

/// Fields at time 0; those that are not given are zero (velocity) or the disturbance (theta, and w in a channel).
#[derive(Default)]
pub struct Start {
    /// Velocity along x, y, z. Only the part without divergence that does not slip is kept.
    pub u: Option<Profile>,
    pub v: Option<Profile>,
    pub w: Option<Profile>,
    /// Deviation of the temperature from the conducting state.
    pub theta: Option<Profile>,
    /// Where none of the above is given: the size of a disturbance of the lowest modes, and the bulk velocity of the
    /// laminar flow below it.
    pub disturbance: f64,
    pub laminar: f64,
    /// The unknowns of an earlier run instead of all these.
    pub load: Option<Load>,
}

/// A flow between walls that is stepped through time.
pub struct WallFlow {
    geometry: Arc<Geometry>,
    physics: Physics,
    transform: Box<dyn Transform<f64>>,
    advection: Advection,
    diffusion: Diffusion,
    stepper: Box<dyn Stepper<f64>>,
    /// None without buoyancy, the only linear term that makes modes grow, and in two dimensions, where the only pair is that
    /// of the mean flow.
    reality: Option<Reality<f64>>,
    pace: Box<dyn Pace>,
    /// Steps between measurements of the series.
    every: u64,
    state: Fields<f64>,
    time: f64,
    last_step: f64,
    frequency: f64,
    steps: u64,
    /// With the scheme of the steps; none where it is not asked for. Norms: of the velocity, and of theta.
    time_error: Option<(TimeError, &'static Scheme)>,
    /// The state before a step that is measured.
    before: Fields<f64>,
    means: Means,
    /// Of the mean temperature and of U at the lower and the upper wall.
    heat_slopes: [f64; 2],
    flow_slopes: [f64; 2],
    bulk: f64,
    /// Share of the last eighth of coefficients, of the velocity or of theta.
    tail: f64,
    names: Names,
    series: Vec<Name>,
    /// Velocities (w, u, v) and theta at the grid points; after `finish`.
    values: Vec<Vec<f64>>,
    value_names: Vec<Name>,
    coordinates: Vec<Name>,
    notes: Vec<String>,
}

const TIME: Name = Name { name: "time", units: "1", meaning: "time of the state", axes: &[] };
const STEP: Name = Name { name: "time_step", units: "1", meaning: "size of the last time step", axes: &[] };
const FREQUENCY: Name =
    Name { name: "frequency", units: "1", meaning: "largest sum over axes of speed and wavenumber", axes: &[] };
const CFL: Name = Name {
    name: "cfl",
    units: "1",
    meaning: "last time step times the largest sum over axes of speed and wavenumber",
    axes: &[],
};

impl WallFlow {
    /// Makes the flow at time 0 and measures it; collective. `transform` is one of a domain of [`super::geometry::domain`].
    pub fn new(
        physics: Physics,
        mut transform: Box<dyn Transform<f64>>,
        make_stepper: &MakeStepper,
        pace: Box<dyn Pace>,
        start: Start,
        every: u64,
        team: &dyn Team,
    ) -> Result<WallFlow> {
        let geometry = Arc::new(Geometry::new(transform.domain(), transform.modes()));
        let unknowns = unknowns(&geometry, &physics);
        let labels: Vec<&str> = unknowns.iter().map(|u| u.name).collect();
        let mut diffusion = Diffusion::new(geometry.clone(), unknowns.clone(), physics.flux);
        let mut notes = Vec::new();
        let state = match &start.load {
            Some(load) => {
                let read = labels.iter().map(|name| load(name, &geometry.domain, geometry.block));
                let arrays = team.agree(read.collect::<Result<_>>())?;
                conditioned(&mut diffusion, Fields { arrays })
            }
            None => {
                let (state, told) = first_state(&geometry, &physics, &mut diffusion, transform.as_mut(), start, team);
                notes = told;
                state
            }
        };
        let modes = state.modes();
        let mut stepper = make_stepper(unknowns.len(), modes);
        let names = Names::new(&geometry.domain, &labels, stepper.as_mut());
        let axes: Vec<&str> = geometry.domain.own().iter().map(|a| a.name).collect();
        let mut value_names = vec![kept("w", "velocity along z", &axes), kept("u", "velocity along x", &axes)];
        if geometry.three_dimensional() {
            value_names.push(kept("v", "velocity along y", &axes));
        }
        if physics.diffusivity.is_some() {
            value_names.push(kept("theta", "temperature, deviation from the conducting state", &axes));
        }
        let coordinates = coordinate_names(&geometry.domain);
        let layout = format!(
            "walls: degree {} between them, {} columns of wavenumbers on rank 0; the mean flow is kept in the mean column \
             of laplacian_w as U + iV",
            geometry.degree,
            geometry.columns()
        );
        notes.insert(0, layout);
        let grows = geometry.three_dimensional() && physics.diffusivity.is_some();
        let reality = if grows { Reality::new(&geometry.domain, geometry.block, team) } else { None };
        let mut flow = WallFlow {
            advection: Advection::new(geometry.clone(), physics),
            geometry,
            transform,
            diffusion,
            stepper,
            reality,
            pace: Box::new(Fixed { step: 0.0, end: 0.0 }),
            every: every.max(1),
            state,
            time: 0.0,
            last_step: 0.0,
            frequency: 0.0,
            steps: 0,
            time_error: None,
            before: Fields::zeros(0, 0),
            means: Means::default(),
            heat_slopes: [0.0; 2],
            flow_slopes: [0.0; 2],
            bulk: 0.0,
            tail: 0.0,
            names,
            series: series(&physics),
            values: Vec::new(),
            value_names,
            coordinates,
            notes,
            physics,
        };
        flow.set_pace(pace);
        let mut rate = zeros(&flow.geometry, unknowns.len());
        let mut nonlinear = flow.advection.bind(flow.transform.as_mut(), team, Some(&mut flow.frequency));
        nonlinear.evaluate(0.0, &flow.state, &mut rate)?;
        flow.frequency = team.max(flow.frequency);
        flow.measure(team);
        Ok(flow)
    }

    /// Steps go by `pace` from now on. Before the first step.
    pub fn set_pace(&mut self, mut pace: Box<dyn Pace>) {
        self.names.name_pace(pace.numbers().iter().map(|number| number.0));
        self.pace = pace;
    }

    /// Adds to what the user is told.
    pub fn tell(&mut self, notes: Vec<String>) {
        self.notes.extend(notes);
    }

    /// Has a few steps taken a second time for an estimate of their error; `scheme` is that of the steps. Before the
    /// first step.
    pub fn measure_time_error(&mut self, scheme: &'static Scheme) {
        self.notes.push(TimeError::note(scheme));
        self.time_error = Some((TimeError::new(2), scheme));
    }

    /// The error of the step of `size` just taken to `after`, by taking it a second time from `before`.
    fn measure_step(&mut self, size: f64, after: f64, team: &dyn Team) -> Result<()> {
        let Some((kept, scheme)) = &mut self.time_error else { return Ok(()) };
        let factor = {
            let mut nonlinear = self.advection.bind(self.transform.as_mut(), team, None);
            let mut linear = LinearPart::Implicit(&mut self.diffusion);
            let lent: Option<&mut dyn Stepper<f64>> =
                if scheme.steps == 1 { Some(self.stepper.as_mut()) } else { None };
            retake(scheme, lent, &mut nonlinear, &mut linear, self.time, size, &mut self.before)?
        };
        subtract(&mut self.before, &self.state);
        let mut norms_of = |fields: &Fields<f64>| {
            let theta = self.physics.diffusivity.and(fields.arrays.last()).map(Vec::as_slice);
            norms(&means(&self.geometry, self.advection.velocities(fields), theta, team))
        };
        let errors = norms_of(&self.before).map(|norm| factor * norm);
        kept.add_step(after, (&errors, &norms_of(&self.state)), size, self.pace.regular(), scheme.order);
        Ok(())
    }

    /// Time of the present state.
    pub fn time(&self) -> f64 {
        self.time
    }

    /// Size of the last step; 0 before the first.
    pub fn last_step(&self) -> f64 {
        self.last_step
    }

    /// Whether all coefficients of this rank are.
    pub fn is_finite(&self) -> bool {
        self.state.finite()
    }

    /// Σ |u_i| k_i at the last evaluation, in radians per time.
    pub fn frequency(&self) -> f64 {
        self.frequency
    }

    /// The state: ∇²w (its mean column holds U + iV), wall-normal vorticity in three dimensions, theta with heat.
    pub fn fields(&self) -> &Fields<f64> {
        &self.state
    }

    /// The modes of this rank.
    pub fn block(&self) -> Block {
        self.geometry.block
    }

    pub fn fields_mut(&mut self) -> &mut Fields<f64> {
        &mut self.state
    }

    /// Coefficients of w, u and in three dimensions v, and of theta: for snapshots.
    pub fn velocities(&mut self) -> (&Fields<f64>, Option<&[Complex<f64>]>) {
        let theta = self.physics.diffusivity.and(self.state.arrays.last()).map(Vec::as_slice);
        (self.advection.velocities(&self.state), theta)
    }

    /// Makes the series of the present state; collective.
    pub fn measure(&mut self, team: &dyn Team) {
        let geometry = &self.geometry;
        let theta = self.physics.diffusivity.and(self.state.arrays.last()).map(Vec::as_slice);
        let velocity = self.advection.velocities(&self.state);
        self.means = means(geometry, velocity, theta, team);
        let flow = mean_column(geometry, &self.state.arrays[0], team);
        self.flow_slopes = wall_slopes(geometry, &flow).map(|s| s.re);
        self.bulk = column_mean(&flow).re;
        if let Some(theta) = theta {
            self.heat_slopes = wall_slopes(geometry, &mean_column(geometry, theta, team)).map(|s| s.re);
        }
    }

    /// Nusselt numbers at the lower and at the upper wall.
    fn nusselt(&self) -> [f64; 2] {
        self.heat_slopes.map(|slope| 1.0 - slope / self.physics.gradient)
    }

    fn values(&self) -> Vec<f64> {
        let Means { energy, gradient, flux, variance, divergence } = self.means;
        let nu = self.physics.viscosity;
        let dissipation = nu * gradient;
        let eta = k_max_eta(&self.geometry.domain, kolmogorov_length(nu, dissipation));
        let mut values = vec![energy, dissipation, divergence, eta];
        if let Some(kappa) = self.physics.diffusivity {
            let [low, high] = self.nusselt();
            let conducted = kappa * self.physics.gradient;
            // The power of buoyancy β⟨wθ⟩ is dissipated in the mean over time.
            let from_dissipation = 1.0 + dissipation / (self.physics.buoyancy * conducted);
            let height = self.geometry.domain.axes[0].length;
            values.extend([low, high, 1.0 + flux / conducted, from_dissipation, variance]);
            values.push((2.0 * energy).sqrt() * height / nu);
        } else {
            let [low, high] = [nu * self.flow_slopes[0], -nu * self.flow_slopes[1]];
            let shear = 0.5 * (low + high);
            let force = self.physics.flux.map_or(self.physics.force, |_| shear * self.geometry.scale);
            values.extend([self.bulk, low, high, shear.abs().sqrt(), force]);
        }
        values
    }

    fn failed(&self, why: &str) -> Error {
        let message = format!("at t = {}: {why}; reduce method.time_step", self.time);
        Error::Numerical { step: self.steps + 1, message }
    }
}

/// Root mean squares of the velocity and of theta.
fn norms(means: &Means) -> [f64; 2] {
    [libm::sqrt(2.0 * means.energy), libm::sqrt(means.variance)]
}

/// Names of the recorded values after the time, in the order of `values`.
fn series(physics: &Physics) -> Vec<Name> {
    let mut list = vec![
        ("kinetic_energy", "mean of |u|²/2"),
        ("dissipation", "mean of ν |∇u|²"),
        ("divergence", "largest coefficient of div u over the largest of its terms"),
        ("k_max_eta", "highest wavenumber along the walls times Kolmogorov's length, of the mean dissipation"),
    ];
    if physics.diffusivity.is_some() {
        list.extend([
            ("nusselt_lower", "heat flux through the lower wall over that of conduction"),
            ("nusselt_upper", "heat flux through the upper wall over that of conduction"),
            ("nusselt_flux", "mean heat flux over the layer, 1 + ⟨wθ⟩ over conduction"),
            ("nusselt_dissipation", "1 + dissipation over buoyancy times conduction; equal to the others when steady"),
            ("theta_variance", "mean of θ²"),
            ("reynolds", "root mean square velocity times height over ν"),
        ]);
    } else {
        list.extend([
            ("bulk_velocity", "mean of u"),
            ("wall_shear_lower", "ν dU/dz at the lower wall"),
            ("wall_shear_upper", "−ν dU/dz at the upper wall"),
            ("friction_velocity", "u_τ: square root of the size of the mean wall shear"),
            ("force", "mean pressure force per mass along x; with constant flux the one that balances the wall shear"),
        ]);
    }
    list.into_iter().map(|(name, meaning)| Name { name, units: "1", meaning, axes: &[] }).collect()
}

/// Coefficients of the initial fields, conditions put right, and what the user is to be told of it; collective.
fn first_state(
    geometry: &Geometry,
    physics: &Physics,
    diffusion: &mut Diffusion,
    transform: &mut dyn Transform<f64>,
    start: Start,
    team: &dyn Team,
) -> (Fields<f64>, Vec<String>) {
    let given = [&start.u, &start.v, &start.w, &start.theta].iter().any(|p| p.is_some());
    let axis = &geometry.domain.axes[0];
    let (low, height) = (axis.low, axis.length);
    // 0 at the walls, 1 in the middle.
    let hump = move |z: f64| 4.0 * (z - low) * (low + height - z) / (height * height);
    let lengths = [1, 2].map(|a| geometry.domain.axes[a].length);
    let highest = [1, 2].map(|a| geometry.domain.axes[a].highest.min(3));
    let size = start.disturbance * if physics.diffusivity.is_some() { 1.0 } else { start.laminar.abs() };
    let disturbance = move |z: f64, y: f64, x: f64| {
        let mut sum = 0.0;
        for ky in 0..=highest[0] {
            for kx in 0..=highest[1] {
                if ky + kx > 0 {
                    // Phases from the golden ratio: no symmetry is kept.
                    let phase = std::f64::consts::TAU * (0.618_033_988_749_894_9 * (7 * ky + kx) as f64).fract();
                    let across = std::f64::consts::TAU * (ky as f64 * y / lengths[0] + kx as f64 * x / lengths[1]);
                    let tilt = 1.0 + 0.5 * (z - low) / height;
                    sum += libm::cos(across + phase) * tilt / (ky + kx) as f64;
                }
            }
        }
        size * sum
    };
    let on_points = move |f: Box<dyn Fn([f64; 3]) -> f64 + Send + Sync>| -> Profile {
        Box::new(move |tile: &Tile, out: &mut [f64]| tile.for_each(|i, x| out[i] = f(x)))
    };
    let mut start = start;
    if !given {
        if physics.diffusivity.is_some() {
            start.theta = Some(on_points(Box::new(move |[z, y, x]| hump(z) * disturbance(z, y, x))));
        } else {
            let laminar = start.laminar;
            start.u = Some(on_points(Box::new(move |[z, _, _]| 1.5 * laminar * hump(z))));
            start.w = Some(on_points(Box::new(move |[z, y, x]| hump(z).powi(2) * disturbance(z, y, x))));
        }
    }
    let mut notes = Vec::new();
    let mut project = |name: &str, profile: &Option<Profile>| -> Vec<Complex<f64>> {
        let mut out = zeros(geometry, 1);
        if let Some(profile) = profile {
            let sample = |tile: &Tile, out: &mut [&mut [f64]]| profile(tile, out[0]);
            transform.through(team, &[], &|tile, _, out| sample(tile, out), &mut [&mut out.arrays[0]]);
            let share = missed(&sample, transform, team, &out.views())[0];
            notes.extend(told_of_missed(&format!("the first state of {name}"), share));
        }
        out.arrays.remove(0)
    };
    let (u, v, w) = (project("u", &start.u), project("v", &start.v), project("w", &start.w));
    let wide = geometry.three_dimensional();
    let mut state = zeros(geometry, 1 + usize::from(wide) + usize::from(physics.diffusivity.is_some()));
    state.arrays[0] = geometry.laplacian(&w);
    let columns = geometry.columns();
    if let Some(q) = geometry.mean {
        for j in 0..geometry.degree - 1 {
            state.arrays[0][j * columns + q] = Complex::new(u[j * columns + q].re, v[j * columns + q].re);
        }
    }
    if wide {
        let i = Complex::new(0.0, 1.0);
        for (at, eta) in state.arrays[1].iter_mut().enumerate() {
            let q = at % columns;
            *eta = i * (v[at] * geometry.kx[q] - u[at] * geometry.ky[q]);
        }
    }
    if physics.diffusivity.is_some() {
        *state.arrays.last_mut().expect("theta is the last") = project("theta", &start.theta);
    }
    let theta = physics.diffusivity.and(state.arrays.last()).cloned();
    let state = conditioned(diffusion, state);
    if !given {
        return (state, Vec::new());
    }
    let asked = Fields { arrays: if wide { vec![w, u, v] } else { vec![w, u] } };
    let mut changed = zeros(geometry, asked.len());
    geometry.velocities(&state.arrays[0], wide.then(|| state.arrays[1].as_slice()), &mut changed.arrays);
    subtract(&mut changed, &asked);
    let [changed, whole] = [changed, asked].map(|velocity| means(geometry, &velocity, None, team).energy);
    notes.extend(told(changed / whole, "the velocity"));
    if let (Some(asked), Some(kept)) = (theta, state.arrays.last()) {
        let changed: Vec<Complex<f64>> = kept.iter().zip(&asked).map(|(kept, asked)| kept - asked).collect();
        let still = zeros(geometry, if wide { 3 } else { 2 });
        let square = |theta: &[Complex<f64>]| means(geometry, &still, Some(theta), team).variance;
        notes.extend(told(square(&changed) / square(&asked), "theta"));
    }
    (state, notes)
}

/// The nearest fields that keep the conditions at the walls.
fn conditioned(diffusion: &mut Diffusion, state: Fields<f64>) -> Fields<f64> {
    let mut rows = state.clone();
    diffusion.prepare(&[0.0]);
    diffusion.mass(&state, &mut rows);
    diffusion.solve(0, &mut rows);
    rows
}

impl Solver for WallFlow {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let (size, after) = self.pace.next(self.time);
        let measured = self.time_error.is_some() && (time_error::due(step) || self.pace.ended(after));
        if measured {
            if self.before.is_empty() {
                self.before = zeros(&self.geometry, self.state.len());
            }
            self.before.copy_from(&self.state);
        }
        let mut frequency = 0.0;
        {
            let mut nonlinear = self.advection.bind(self.transform.as_mut(), team, Some(&mut frequency));
            let mut linear = LinearPart::Implicit(&mut self.diffusion);
            self.stepper.step(&mut nonlinear, &mut linear, self.time, size, &mut self.state)?;
        }
        if let Some(reality) = self.reality.as_mut().filter(|_| step.is_multiple_of(REAL_EVERY)) {
            reality.restore_all(team, &mut self.state, self.stepper.as_mut(), &mut []);
        }
        let frequency = team.max(if self.state.finite() { frequency } else { f64::INFINITY });
        if !frequency.is_finite() {
            let message = format!(
                "diverged at step {step}, between t = {} and {after}: reduce method.time_step (the step was {size})",
                self.time
            );
            return Err(Error::Numerical { step, message });
        }
        if measured {
            self.measure_step(size, after, team)?;
        }
        self.frequency = frequency;
        self.time = after;
        self.last_step = size;
        self.steps += 1;
        self.pace.taken(size, frequency).map_err(|e| self.failed(&e))?;
        let ended = self.pace.ended(self.time);
        if ended || step.is_multiple_of(self.every) {
            self.measure(team);
        }
        Ok(if ended { Status::Finished(Outcome::Reached) } else { Status::Running })
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let (domain, block) = (&self.geometry.domain, self.geometry.block);
        self.names.walk_axes(domain, walk)?;
        for (name, values) in self.names.fields.iter().zip(&mut self.state.arrays) {
            walk_coefficients(walk, name, domain, block, values)?;
        }
        if let Some((time_error, _)) = &mut self.time_error {
            time_error.walk(walk)?;
        }
        let (arrays, numbers) = self.stepper.history();
        let paced = self.pace.numbers();
        let named = [self.names.history.len(), self.names.numbers.len(), self.names.pace.len()];
        assert_eq!(named, [arrays.len(), numbers.len(), paced.len()], "what is walked has names");
        for (names, (_, fields)) in self.names.history.iter().zip(arrays) {
            for (name, values) in names.iter().zip(&mut fields.arrays) {
                walk_coefficients(walk, name, domain, block, values)?;
            }
        }
        for (name, (_, number)) in self.names.numbers.iter().zip(numbers) {
            walk.scalar(name, number.into())?;
        }
        for (name, (_, number)) in self.names.pace.iter().zip(paced) {
            walk.scalar(name, number.into())?;
        }
        walk.scalar(&TIME, (&mut self.time).into())?;
        walk.scalar(&STEP, (&mut self.last_step).into())?;
        walk.scalar(&FREQUENCY, (&mut self.frequency).into())
    }

    fn restored(&mut self) -> Result<()> {
        self.pace.restored();
        Ok(())
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let mut record = vec![(TIME, self.time), (STEP, self.last_step), (CFL, self.frequency * self.last_step)];
        record.extend(self.series.iter().copied().zip(self.values()));
        record
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.measure(team);
        let theta = self.physics.diffusivity.and(self.state.arrays.last()).map(Vec::as_slice);
        let velocity = self.advection.velocities(&self.state);
        let fields: Vec<&[Complex<f64>]> = velocity.arrays.iter().map(Vec::as_slice).chain(theta).collect();
        let (domain, block) = (&self.geometry.domain, self.geometry.block);
        let tail = |components: &[&[Complex<f64>]]| last_eighth(domain, block, components, team);
        self.tail = tail(&fields[..velocity.len()]).max(theta.map_or(0.0, |theta| tail(&[theta])));
        self.values = vec![vec![0.0; self.transform.points().len()]; fields.len()];
        let mut values: Vec<&mut [f64]> = self.values.iter_mut().map(Vec::as_mut_slice).collect();
        self.transform.backward(team, &fields, &mut values);
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let (domain, points) = (&self.geometry.domain, self.transform.points());
        walk_coordinates(walk, &self.coordinates, domain)?;
        for (name, values) in self.value_names.iter().zip(&mut self.values) {
            walk_points(walk, name, domain, points, values)?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, meaning, value| Number { name, unit: "1", meaning, value, error: ErrorBar::None };
        let mut report = vec![number("time", "time reached", self.time)];
        for (name, value) in self.series.iter().zip(self.values()) {
            report.push(number(name.name, name.meaning, value));
        }
        if self.physics.diffusivity.is_some() {
            let [low, high] = self.nusselt();
            let apart = "difference of the heat fluxes through the walls: how far from steady";
            report.push(number("nusselt_difference", apart, (low - high).abs()));
        }
        let tail = "estimate of the space error: the largest coefficient in the last eighth over the largest of all, of \
                    the velocity or of theta";
        report.push(number("last_eighth", tail, self.tail));
        report.extend(self.time_error.as_ref().and_then(|(e, _)| e.number(self.time, &norms(&self.means))));
        report
    }

    fn work(&self) -> (f64, &'static str) {
        let points: f64 = self.geometry.domain.points().iter().map(|&n| n as f64).product();
        (points * self.steps as f64, "points·steps")
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
