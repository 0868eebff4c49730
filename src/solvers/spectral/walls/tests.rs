//! Flows between walls against what is known of them.

use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};
use std::sync::Arc;

use num_complex::Complex;

use super::advection::{Advection, Physics};
use super::diagnostics::{Means, column_mean, mean_column, means, wall_slopes};
use super::diffusion::{Diffusion, unknowns};
use super::geometry::{Geometry, domain, zeros};
use crate::error::Result;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::linear::Implicit;
use crate::solvers::spectral::steppers::{LinearPart, Nonlinear, Stepper};
use crate::solvers::spectral::transform::{Reference, Scales, Transform};
use crate::team::Solo;

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

/// A flow with its own reference transform and stepper.
struct Flow {
    geometry: Arc<Geometry>,
    physics: Physics,
    transform: Reference<f64>,
    advection: Advection,
    diffusion: Diffusion,
    stepper: Ars222,
    state: Fields<f64>,
    time: f64,
}

impl Flow {
    fn new(domain: Domain, physics: Physics) -> Flow {
        let transform = Reference::new(&domain);
        let geometry = Arc::new(Geometry::new(&domain, Transform::<f64>::modes(&transform)));
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
        let scales = Scales::coordinates(&self.geometry.domain, Transform::<f64>::points(&self.transform));
        let mut values = vec![0.0; self.geometry.domain.points().iter().product()];
        for (tile, at) in scales.tiles(4096) {
            let part = &mut values[at];
            tile.for_each(|i, x| part[i] = f(x));
        }
        let mut out = zeros(&self.geometry, 1);
        self.transform.forward(&Solo::start(), &[&values], &mut [&mut out.arrays[0]]);
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
        let team = Solo::start();
        let mut nonlinear = self.advection.bind(&mut self.transform, &team, None);
        let mut linear = LinearPart::Implicit(&mut self.diffusion);
        self.stepper.step(&mut nonlinear, &mut linear, self.time, step, &mut self.state).unwrap();
        self.time += step;
    }

    fn theta(&self) -> Option<&[Complex<f64>]> {
        self.physics.diffusivity.map(|_| self.state.arrays.last().unwrap().as_slice())
    }

    fn means(&mut self) -> Means {
        let velocity = self.advection.velocities(&self.state).clone();
        means(&self.geometry, &velocity, self.theta(), &Solo::start())
    }

    /// Nusselt numbers at the lower and the upper wall, for unit height and temperature difference.
    fn nusselt(&self) -> [f64; 2] {
        let mean = mean_column(&self.geometry, self.theta().unwrap(), &Solo::start());
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
        let mean = mean_column(&flow.geometry, &flow.state.arrays[0], &Solo::start());
        assert!((column_mean(&mean).re - bulk).abs() < 1e-13, "{}", column_mean(&mean));
        assert!((mean[0].re - 0.75 * bulk).abs() < 1e-13 && (mean[2].re + 0.75 * bulk).abs() < 1e-13, "{mean:?}");
        let [low, high] = wall_slopes(&flow.geometry, &mean);
        assert!((nu * (low.re - high.re) / 2.0 - force).abs() < 1e-12, "wall shear carries the force");
    }
}

#[test]
fn steady_rolls_at_rayleigh_10000_carry_a_nusselt_number_of_2_652502() {
    let mut flow = rolls(1e4, 0.71, 3.117, [40, 48], 2e-3, 2000);
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
    let team = Solo::start();
    let mut rate = flow.state.clone();
    flow.advection.bind(&mut flow.transform, &team, None).evaluate(0.0, &flow.state, &mut rate).unwrap();
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
