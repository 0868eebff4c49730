//! Flows between walls against what is known of them.

use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};
use std::sync::Arc;

use num_complex::Complex;

use super::advection::{Advection, Physics};
use super::diagnostics::{Means, column_mean, mean_column, means, wall_slopes};
use super::diffusion::{Diffusion, unknowns};
use super::geometry::{Geometry, domain, zeros};
use super::input::{ChannelInput, RayleighBenardInput};
use super::solver::{Fixed, Start, WallFlow};
use super::stability::OrrSommerfeld;
use super::upright::{lying, upright};
use crate::error::Result;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::linear::Implicit;
use crate::solvers::spectral::steppers::{LinearPart, Nonlinear, Stepper};
use crate::solvers::spectral::transform::{Distributed, Level, Scales, Settings, Transform};
use crate::solvers::{Solver, Status};
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::{Solo, Team};

/// ARS(2,2,2) (Ascher, Ruuth, Spiteri 1997), written out.
pub struct Ars222 {
    pub work: Vec<Fields<f64>>,
}

impl Ars222 {
    pub fn new(geometry: &Geometry, fields: usize) -> Ars222 {
        Ars222 { work: vec![zeros(geometry, fields); 5] }
    }
}

fn add(to: &mut Fields<f64>, factor: f64, x: &Fields<f64>) {
    for (to, x) in to.arrays.iter_mut().zip(&x.arrays) {
        to.iter_mut().zip(x).for_each(|(to, x)| *to += x * factor);
    }
}

impl Stepper<f64> for Ars222 {
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<f64>,
        linear: &mut LinearPart<f64>,
        time: f64,
        step: f64,
        state: &mut Fields<f64>,
    ) -> Result<()> {
        let LinearPart::Implicit(linear) = linear else { panic!("walls are implicit") };
        let gamma = 1.0 - FRAC_1_SQRT_2;
        let delta = 1.0 - 0.5 / gamma;
        if linear.prepared() != [gamma * step] {
            linear.prepare(&[gamma * step]);
        }
        let [mass, first, second, diffused, stage] = self.work.as_mut_slice() else { unreachable!() };
        linear.mass(state, mass);
        nonlinear.evaluate(time, state, first)?;
        stage.copy_from(mass);
        add(stage, step * gamma, first);
        linear.solve(0, stage);
        nonlinear.evaluate(time + gamma * step, stage, second)?;
        linear.apply(stage, diffused);
        state.copy_from(mass);
        add(state, step * delta, first);
        add(state, step * (1.0 - delta), second);
        add(state, step * (1.0 - gamma), diffused);
        linear.solve(0, state);
        Ok(())
    }

    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<f64>)>, Vec<(&'static str, &mut f64)>) {
        (Vec::new(), Vec::new())
    }
}

/// The transform of the room on the ranks of a team.
pub fn transform(domain: &Domain, team: &dyn Team) -> Box<dyn Transform<f64>> {
    let settings = Settings { process_grid: None, level: Level::detect(), ranks_per_node: team.size(), share: false };
    upright(domain, Box::new(Distributed::new(&lying(domain), team, settings).unwrap()))
}

/// A flow with a stepper of its own.
struct Flow {
    geometry: Arc<Geometry>,
    physics: Physics,
    transform: Box<dyn Transform<f64>>,
    advection: Advection,
    diffusion: Diffusion,
    stepper: Ars222,
    state: Fields<f64>,
    time: f64,
}

impl Flow {
    fn new(domain: Domain, physics: Physics) -> Flow {
        let transform = transform(&domain, &Solo);
        let geometry = Arc::new(Geometry::new(&domain, transform.modes()));
        let unknowns = unknowns(&geometry, &physics);
        let fields = unknowns.len();
        Flow {
            physics,
            advection: Advection::new(geometry.clone(), physics),
            diffusion: Diffusion::new(geometry.clone(), unknowns, physics.flux),
            stepper: Ars222::new(&geometry, fields),
            state: zeros(&geometry, fields),
            time: 0.0,
            transform,
            geometry,
        }
    }

    /// Coefficients of a function of (z, y, x).
    fn project(&mut self, f: impl Fn([f64; 3]) -> f64) -> Vec<Complex<f64>> {
        let scales = Scales::coordinates(&self.geometry.domain, self.transform.points());
        let mut values = vec![0.0; self.geometry.domain.points().iter().product()];
        for (tile, at) in scales.tiles(4096) {
            let part = &mut values[at];
            tile.for_each(|i, x| part[i] = f(x));
        }
        let mut out = zeros(&self.geometry, 1);
        self.transform.forward(&Solo, &[&values], &mut [&mut out.arrays[0]]);
        out.arrays.remove(0)
    }

    /// Adds the motion with this wall-normal velocity, conditions put right.
    fn stir(&mut self, w: impl Fn([f64; 3]) -> f64) {
        let w = self.project(w);
        self.state.arrays[0] = self.geometry.laplacian(&w);
        let mut rows = self.state.clone();
        self.diffusion.prepare(&[0.0]);
        self.diffusion.mass(&self.state, &mut rows);
        self.diffusion.solve(0, &mut rows);
        self.state = rows;
    }

    fn step(&mut self, step: f64) {
        let team = Solo;
        let mut nonlinear = self.advection.bind(self.transform.as_mut(), &team, None);
        let mut linear = LinearPart::Implicit(&mut self.diffusion);
        self.stepper.step(&mut nonlinear, &mut linear, self.time, step, &mut self.state).unwrap();
        self.time += step;
    }

    fn theta(&self) -> Option<&[Complex<f64>]> {
        self.physics.diffusivity.map(|_| self.state.arrays.last().unwrap().as_slice())
    }

    fn means(&mut self) -> Means {
        let velocity = self.advection.velocities(&self.state).clone();
        means(&self.geometry, &velocity, self.theta(), &Solo)
    }

    /// Nusselt numbers at the lower and the upper wall, for unit height and temperature difference.
    fn nusselt(&self) -> [f64; 2] {
        let mean = mean_column(&self.geometry, self.theta().unwrap(), &Solo);
        wall_slopes(&self.geometry, &mean).map(|slope| 1.0 - slope.re)
    }
}

fn convection(rayleigh: f64, prandtl: f64) -> Physics {
    Physics {
        viscosity: prandtl,
        diffusivity: Some(1.0),
        buoyancy: rayleigh * prandtl,
        gradient: 1.0,
        force: 0.0,
        flux: None,
    }
}

fn channel(viscosity: f64, force: f64, flux: Option<f64>) -> Physics {
    Physics { viscosity, diffusivity: None, buoyancy: 0.0, gradient: 0.0, force, flux }
}

/// Steady rolls of wavenumber `k` in a box of one wavelength, from a small roll.
fn rolls(rayleigh: f64, prandtl: f64, k: f64, points: [usize; 2], step: f64, steps: usize) -> Flow {
    let domain = domain(&points, &[1.0, TAU / k], &[0.0, 0.0]);
    let mut flow = Flow::new(domain, convection(rayleigh, prandtl));
    flow.state.arrays[1] = flow.project(|[z, _, x]| 0.2 * (PI * z).sin() * (k * x).cos());
    flow.stir(|[z, _, x]| 20.0 * (z * (1.0 - z)).powi(2) * (k * x).cos());
    (0..steps).for_each(|_| flow.step(step));
    flow
}

#[test]
fn stokes_modes_decay_at_their_rates_and_do_not_slip() {
    // w = cos(a z)/cos(a) − cosh(k z)/cosh(k) with a tan a = −k tanh k decays at ν (a² + k²); the mean flow cos(π z/2)
    // at ν π²/4. One implicit step of size γ divides by 1 + γ rate.
    let (k, nu, gamma) = (2.0f64, 0.3, 0.05);
    let mut a = 2.7f64;
    for _ in 0..60 {
        // a in (π/2, π): a = π − atan(k tanh k / a).
        a = PI - (k * k.tanh() / a).atan();
    }
    let domain = domain(&[40, 8], &[2.0, TAU / k], &[-1.0, 0.0]);
    let mut flow = Flow::new(domain, channel(nu, 0.0, None));
    let exact_w = move |z: f64| (a * z).cos() / a.cos() - (k * z).cosh() / k.cosh();
    flow.state.arrays[0] =
        flow.project(|[z, _, x]| (PI * z / 2.0).cos() - (a * a + k * k) * (a * z).cos() / a.cos() * (k * x).cos());
    let before = flow.state.clone();
    let mut rows = flow.state.clone();
    flow.diffusion.prepare(&[gamma]);
    flow.diffusion.mass(&flow.state, &mut rows);
    flow.diffusion.solve(0, &mut rows);
    let columns = flow.geometry.columns();
    for (q, rate) in [(0, nu * PI * PI / 4.0), (1, nu * (a * a + k * k))] {
        let size = before.arrays[0][q].norm();
        for j in 0..flow.geometry.degree - 1 {
            let want = before.arrays[0][j * columns + q] / (1.0 + gamma * rate);
            let error = (rows.arrays[0][j * columns + q] - want).norm() / size;
            assert!(error < 1e-13, "column {q}, degree {j}: {error:e}");
        }
    }
    let velocity = flow.advection.velocities(&rows).clone();
    let w: Vec<Complex<f64>> = velocity.arrays[0].iter().skip(1).step_by(columns).copied().collect();
    let slope = wall_slopes(&flow.geometry, &w);
    assert!(slope.iter().all(|s| s.norm() < 1e-13), "no slip: {slope:?}");
    let want = flow.project(|[z, _, x]| exact_w(z) * (k * x).cos());
    let shrunk = 1.0 + gamma * nu * (a * a + k * k);
    let error = (0..want.len()).map(|i| (velocity.arrays[0][i] * shrunk - want[i]).norm()).fold(0.0, f64::max);
    assert!(error < 1e-13, "w: {error:e}");
}

#[test]
fn laminar_channels_come_to_the_parabola_with_either_drive() {
    // ν U'' = −G between z = ±1: U = G (1 − z²)/(2ν), bulk velocity G/(3ν).
    let (nu, force) = (0.5, 0.3);
    let bulk = force / (3.0 * nu);
    for physics in [channel(nu, force, None), channel(nu, 0.0, Some(bulk))] {
        let mut flow = Flow::new(domain(&[17, 4], &[2.0, TAU], &[-1.0, 0.0]), physics);
        (0..400).for_each(|_| flow.step(0.1));
        let mean = mean_column(&flow.geometry, &flow.state.arrays[0], &Solo);
        assert!((column_mean(&mean).re - bulk).abs() < 1e-13, "{}", column_mean(&mean));
        assert!((mean[0].re - 0.75 * bulk).abs() < 1e-13 && (mean[2].re + 0.75 * bulk).abs() < 1e-13, "{mean:?}");
        let [low, high] = wall_slopes(&flow.geometry, &mean);
        assert!((nu * (low.re - high.re) / 2.0 - force).abs() < 1e-12, "wall shear carries the force");
    }
}

#[test]
fn steady_rolls_at_rayleigh_10000_carry_a_nusselt_number_of_2_652502() {
    let coarse = rolls(1e4, 0.71, 3.117, [25, 25], 1.5e-3, 1400);
    let mut flow = Flow::new(domain(&[42, 50], &[1.0, TAU / 3.117], &[0.0, 0.0]), convection(1e4, 0.71));
    for (fine, coarse_field) in flow.state.arrays.iter_mut().zip(&coarse.state.arrays) {
        let (to, from) = (flow.geometry.columns(), coarse.geometry.columns());
        for (row, values) in coarse_field.chunks(from).enumerate() {
            fine[row * to..row * to + from].copy_from_slice(values);
        }
    }
    (0..3000).for_each(|_| flow.step(5e-4));
    let [low, high] = flow.nusselt();
    let means = flow.means();
    let identity = 1.0 + means.gradient / 1e4;
    println!("Nu {low:.12} {high:.12}, from dissipation {identity:.12}, from flux {:.12}", 1.0 + means.flux);
    println!("divergence {:e}", means.divergence);
    assert!((low - 2.652502).abs() < 6e-7, "{low}");
    assert!((low - high).abs() < 1e-12 * low, "{low} {high}");
    assert!((identity - low).abs() < 1e-10 && (1.0 + means.flux - low).abs() < 1e-10);
    assert!(means.divergence < 1e-12);
}

#[test]
fn steady_rolls_at_rayleigh_2000_carry_a_nusselt_number_of_1_21051() {
    let flow = rolls(2000.0, 0.71, 3.117, [24, 24], 1e-2, 1500);
    let [low, high] = flow.nusselt();
    println!("Nu {low:.12} {high:.12}");
    assert!((low - 1.21051).abs() < 6e-6, "{low}");
    assert!((low - high).abs() < 1e-12 * low, "{low} {high}");
}

#[test]
fn rolls_along_either_axis_of_three_dimensions_are_the_rolls_of_two() {
    let k = 3.117;
    let mut plane = rolls(1e4, 0.71, k, [24, 16], 2e-3, 60);
    let want = plane.nusselt();
    let energy = plane.means().energy;
    for along_y in [false, true] {
        let lengths = [1.0, TAU / k, TAU / k];
        let points = if along_y { [24, 16, 6] } else { [24, 6, 16] };
        let mut flow = Flow::new(domain(&points, &lengths, &[0.0; 3]), convection(1e4, 0.71));
        let s = move |y: f64, x: f64| if along_y { (k * y).cos() } else { (k * x).cos() };
        flow.state.arrays[2] = flow.project(|[z, y, x]| 0.2 * (PI * z).sin() * s(y, x));
        flow.stir(|[z, y, x]| 20.0 * (z * (1.0 - z)).powi(2) * s(y, x));
        (0..60).for_each(|_| flow.step(2e-3));
        let got = flow.nusselt();
        let means = flow.means();
        assert!((got[0] - want[0]).abs() < 1e-11 && (got[1] - want[1]).abs() < 1e-11, "{got:?} {want:?}");
        assert!((means.energy / energy - 1.0).abs() < 1e-11);
        assert!(means.divergence < 1e-12, "{:e}", means.divergence);
    }
}

#[test]
fn advection_in_three_dimensions_neither_makes_nor_loses_energy() {
    // One explicit Euler step without viscosity: the energy grows by O(Δt²) only, for a flow with all wavenumbers mixed.
    let mut flow = Flow::new(domain(&[40, 16, 16], &[2.0, TAU, TAU], &[-1.0, 0.0, 0.0]), channel(0.0, 0.0, None));
    let wall = |z: f64| (1.0 - z * z).powi(2);
    flow.state.arrays[1] = flow.project(|[z, y, x]| (1.0 - z * z) * ((x + 2.0 * y).sin() + (z + 1.0) * (x - y).cos()));
    flow.stir(|[z, y, x]| wall(z) * ((x + y).cos() + (1.0 + z) * (2.0 * x - y).sin() + y.cos()));
    // A mean flow in both directions: U + iV = (1 − z²)(1 + 0.5 i z).
    let (columns, mean) = (flow.geometry.columns(), flow.geometry.mean.unwrap());
    for (j, c) in [(0, Complex::new(0.5, 0.0)), (1, Complex::new(0.0, 0.125)), (2, Complex::new(-0.5, 0.0))] {
        flow.state.arrays[0][j * columns + mean] = c;
    }
    flow.state.arrays[0][3 * columns + mean] = Complex::new(0.0, -0.125);
    let team = Solo;
    let mut rate = flow.state.clone();
    flow.advection.bind(flow.transform.as_mut(), &team, None).evaluate(0.0, &flow.state, &mut rate).unwrap();
    flow.diffusion.prepare(&[0.0]);
    flow.diffusion.solve(0, &mut rate);
    let energy = flow.means().energy;
    let start = flow.state.clone();
    let gain = [1e-3, -1e-3].map(|step| {
        flow.state.copy_from(&start);
        add(&mut flow.state, step, &rate);
        (flow.means().energy - energy) / energy / step
    });
    // The even part in Δt cancels in the sum: what is left is the rate itself.
    let derivative = 0.5 * (gain[0] + gain[1]);
    println!("energy {energy}, relative rate {derivative:e}, curvature {:e}", gain[0] - gain[1]);
    assert!(derivative.abs() < 1e-9 && (gain[0] - gain[1]).abs() > 1e-6);
}

#[test]
fn a_wave_on_poiseuille_flow_grows_as_its_eigenvalue_says() {
    // Re = 10⁴, α = 1: c = 0.2375264888 + 0.0037396706 i, and the channel is driven to stay laminar.
    let nu = 1e-4;
    let problem = OrrSommerfeld { profile: vec![1.0, 0.0, -1.0], reynolds: 1.0 / nu, wavenumber: 1.0 };
    let mode = problem.leading(97).unwrap();
    let mut flow = Flow::new(domain(&[97, 4], &[2.0, TAU], &[-1.0, 0.0]), channel(nu, 2.0 * nu, None));
    let columns = flow.geometry.columns();
    let mut w = zeros(&flow.geometry, 1).arrays.remove(0);
    let largest = mode.coefficients.iter().map(|c| c.norm()).fold(0.0, f64::max);
    for (j, c) in mode.coefficients.iter().enumerate() {
        w[j * columns + 1] = c * (1e-7 / largest);
    }
    flow.state.arrays[0] = flow.geometry.laplacian(&w);
    flow.state.arrays[0][0] = Complex::new(0.5, 0.0);
    flow.state.arrays[0][2 * columns] = Complex::new(-0.5, 0.0);
    let rate = Complex::new(0.0, -1.0) * mode.value;

    // At once: M⁻¹(N + L φ) = −iαc φ.
    let (mut change, mut diffused) = (flow.state.clone(), flow.state.clone());
    let start = flow.state.clone();
    flow.advection.bind(flow.transform.as_mut(), &Solo, None).evaluate(0.0, &start, &mut change).unwrap();
    flow.diffusion.apply(&start, &mut diffused);
    add(&mut change, 1.0, &diffused);
    flow.diffusion.prepare(&[0.0]);
    flow.diffusion.solve(0, &mut change);
    let velocity = flow.advection.velocities(&change).arrays[0].clone();
    let error = (0..=96).map(|j| (velocity[j * columns + 1] - w[j * columns + 1] * rate).norm()).fold(0.0, f64::max);
    println!("rate of change against the eigenvalue: {:e}", error / 1e-7);
    assert!(error < 1e-9 * 1e-7, "{:e}", error / 1e-7);

    // In time: second order in Δt.
    let mut errors = Vec::new();
    for steps in [50, 100] {
        flow.state.copy_from(&start);
        (0..steps).for_each(|_| flow.step(1.0 / steps as f64));
        let now = flow.advection.velocities(&flow.state).arrays[0].clone();
        let project = |x: &[Complex<f64>]| -> Complex<f64> {
            (0..=96).map(|j| x[j * columns + 1] * w[j * columns + 1].conj()).sum()
        };
        let measured = (project(&now) / project(&w)).ln();
        println!("{steps} steps: {measured}, wanted {rate}");
        errors.push((measured - rate).norm());
    }
    let extrapolated = errors[0] / errors[1];
    assert!(errors[1] < 2e-5 && (3.5..4.5).contains(&extrapolated), "{errors:?}");
}

/// Keeps what is walked, or gives it back.
#[derive(Default)]
struct Memory {
    kept: Vec<(String, Vec<f64>)>,
    at: Option<usize>,
}

impl Memory {
    fn visit(&mut self, name: &Name, data: &mut [f64]) {
        match &mut self.at {
            Some(at) => {
                assert_eq!(self.kept[*at].0, name.name);
                data.copy_from_slice(&self.kept[*at].1);
                *at += 1;
            }
            None => self.kept.push((name.name.into(), data.to_vec())),
        }
    }
}

impl Walk for Memory {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let Data::F64(data) = data else { panic!("walls are in f64") };
        assert_eq!((global.len(), mine.len()), (name.axes.len(), data.len()), "{}", name.name);
        self.visit(name, data);
        Ok(())
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let Data::F64(x) = x else { panic!("walls are in f64") };
        self.visit(name, x);
        Ok(())
    }

    fn series(&mut self, _: &Name, _: &mut Vec<f64>) -> Result<()> {
        Ok(())
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.visit(name, values);
        Ok(())
    }

    fn replicated_f32(&mut self, _: &Name, _: &mut Vec<f32>) -> Result<()> {
        Ok(())
    }
}

/// The door, with the stepper and the transform of these tests.
fn open(input: &str, points: &[usize], lengths: &[f64], steps: f64) -> WallFlow {
    let domain = domain(points, lengths, &vec![0.0; points.len()]);
    let (physics, start) = match toml::from_str::<RayleighBenardInput>(input) {
        Ok(input) => {
            let start = Start { disturbance: input.disturbance, ..Start::default() };
            (input.physics(lengths).unwrap(), start)
        }
        Err(_) => {
            let input: ChannelInput = toml::from_str(input).unwrap();
            let (physics, laminar) = input.physics(lengths[0]).unwrap();
            (physics, Start { disturbance: input.disturbance, laminar, ..Start::default() })
        }
    };
    let transform = transform(&domain, &Solo);
    let geometry = Geometry::new(&domain, transform.modes());
    let make = |fields: usize, _: usize| -> Box<dyn Stepper<f64>> { Box::new(Ars222::new(&geometry, fields)) };
    let pace = Box::new(Fixed { step: 0.01, end: 0.01 * steps });
    WallFlow::new(physics, transform, &make, pace, start, 1, &Solo).unwrap()
}

fn run(flow: &mut WallFlow, from: u64) -> u64 {
    let mut step = from;
    loop {
        step += 1;
        if flow.step(step, &Solo).unwrap() != Status::Running {
            flow.finish(&Solo).unwrap();
            return step;
        }
    }
}

#[test]
fn flows_go_on_from_a_walked_state_with_the_same_bits() {
    let convection = "rayleigh = 5000.0\nprandtl = 0.7\nunits = \"free_fall\"\ndisturbance = 0.1";
    let channel = "viscosity = 0.001\ndrive = { kind = \"flux\", bulk_velocity = 0.7 }\ndisturbance = 0.2";
    for (input, points) in
        [(convection, &[17, 12][..]), (convection, &[13, 6, 8]), (channel, &[17, 8, 8]), (channel, &[17, 8])]
    {
        let lengths = [1.0, 2.0, 3.0];
        let lengths = &lengths[..points.len()];
        let mut whole = open(input, points, lengths, 20.0);
        assert_eq!(run(&mut whole, 0), 20);
        let mut first = open(input, points, lengths, 20.0);
        (1..=8).for_each(|step| assert_eq!(first.step(step, &Solo).unwrap(), Status::Running));
        let mut memory = Memory::default();
        first.state(&mut memory).unwrap();
        let mut second = open(input, points, lengths, 20.0);
        memory.at = Some(0);
        second.state(&mut memory).unwrap();
        assert_eq!(run(&mut second, 8), 20);
        assert!(second.fields() == whole.fields(), "{points:?}: the states differ");
        assert_eq!(second.report(), whole.report());
        let value = |name: &str| whole.report().iter().find(|n| n.name == name).unwrap().value;
        assert!(value("divergence") < 1e-13, "{:e}", value("divergence"));
        assert!(value("kinetic_energy") > 1e-6);
        if input == channel {
            assert!((value("bulk_velocity") - 0.7).abs() < 1e-14, "{}", value("bulk_velocity"));
        }
    }
}

#[test]
fn a_flow_that_diverges_says_so_with_its_step() {
    let input = "rayleigh = 1e9\nprandtl = 1.0\ndisturbance = 10.0";
    let mut flow = open(input, &[17, 16], &[1.0, 2.0], 1000.0);
    let error = (1..).find_map(|step| flow.step(step, &Solo).err()).unwrap().to_string();
    assert!(error.contains("diverged at step") && error.contains("reduce method.time_step"), "{error}");
}
