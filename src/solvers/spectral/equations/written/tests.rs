//! Written equations against exact derivatives, closed forms and counts of transforms.

mod refusals;
mod timings;

use std::f64::consts::TAU;
use std::sync::Arc;

use super::*;
use crate::solvers::spectral::domain::{Axis, Basis, next_smooth};
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::nonlinear::Evaluation;
use crate::solvers::spectral::steppers::Nonlinear;
use crate::solvers::spectral::transform::{Reference, Scales, Transform};
use crate::team::Solo;

/// A box [0, 2π)^d with modes up to `highest` and room for products of `degree` fields.
fn domain(highest: &[usize], degree: usize, complex: bool) -> Domain {
    let last = highest.len() - 1;
    let axes = highest.iter().zip(["x", "y", "z"]).enumerate().map(|(a, (&highest, name))| Axis {
        name,
        basis: if a == last && !complex { Basis::HalfFourier } else { Basis::Fourier },
        low: 0.0,
        length: TAU,
        points: next_smooth((degree + 1) * highest + 1),
        highest,
        sawtooth: false,
    });
    Domain::new(axes.collect(), complex)
}

fn input(toml: &str) -> WrittenInput {
    toml::from_str(toml).unwrap_or_else(|e| panic!("{e}"))
}

/// An equation on its grid.
struct Bench {
    equation: Arc<Written<f64>>,
    transform: Reference<f64>,
    evaluation: Evaluation<f64>,
}

impl Bench {
    fn new(toml: &str, domain: &Domain) -> Bench {
        let equation = Arc::new(input(toml).compile::<f64>(domain).unwrap_or_else(|e| panic!("{e}")));
        let mut transform = Reference::new(domain);
        let evaluation = Evaluation::new(equation.clone(), &mut transform, &Solo);
        Bench { equation, transform, evaluation }
    }

    /// (backward, forward) transforms of each round.
    fn counts(&self) -> Vec<(usize, usize)> {
        self.equation.rounds().iter().map(|r| (r.backward, r.forward)).collect()
    }

    /// Coefficients of fields given as functions of the place (pairs for complex fields).
    fn fields(&mut self, functions: &[&dyn Fn([f64; 3]) -> Complex<f64>]) -> Fields<f64> {
        let domain = self.transform.domain().clone();
        let mut fields = Fields::zeros(functions.len(), self.transform.modes().len());
        let values: Vec<Vec<f64>> = functions.iter().map(|f| grid(&domain, *f)).collect();
        let views: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
        self.transform.forward(&Solo, &views, &mut fields.views_mut());
        fields
    }

    /// L u + N(u) + f.
    fn rate(&mut self, time: f64, state: &Fields<f64>) -> Fields<f64> {
        let mut out = self.nonlinear(time, state);
        let domain = self.transform.domain().clone();
        let count = state.len();
        let block = self.equation.coupling() == Coupling::Block;
        let mut entries = vec![Complex::new(0.0, 0.0); if block { count * count } else { count }];
        for (tile, at) in Scales::wavenumbers(&domain, self.transform.modes()).tiles(64) {
            tile.for_each(|i, k| {
                let i = at.start + i;
                self.equation.linear(k, &mut entries);
                for f in 0..count {
                    for g in 0..count {
                        let entry = match block {
                            true => entries[f * count + g],
                            false if f == g => entries[f],
                            false => continue,
                        };
                        out.arrays[f][i] += entry * state.arrays[g][i];
                    }
                }
            });
        }
        out
    }

    fn nonlinear(&mut self, time: f64, state: &Fields<f64>) -> Fields<f64> {
        let mut out = Fields::zeros(state.len(), state.modes());
        self.evaluation.bind(&mut self.transform, &Solo, None).evaluate(time, state, &mut out).unwrap();
        out
    }

    fn speeds(&mut self, state: &Fields<f64>) -> [f64; 3] {
        let mut fastest = [0.0; 3];
        let mut out = Fields::zeros(state.len(), state.modes());
        let mut bound = self.evaluation.bind(&mut self.transform, &Solo, Some(&mut fastest));
        bound.evaluate(0.0, state, &mut out).unwrap();
        fastest
    }
}

/// Values on the grid of a domain; the place is given as (x, y, z) of the user.
fn grid(domain: &Domain, f: &dyn Fn([f64; 3]) -> Complex<f64>) -> Vec<f64> {
    let points = domain.points();
    let first = 3 - domain.dimension;
    (0..points.iter().product())
        .flat_map(|i: usize| {
            let at = [i / (points[1] * points[2]), i / points[2] % points[1], i % points[2]];
            let mut place = [0.0; 3];
            for a in 0..domain.dimension {
                place[a] = domain.axes[first + a].coordinate(at[first + a]);
            }
            let z = f(place);
            if domain.complex { vec![z.re, z.im] } else { vec![z.re] }
        })
        .collect()
}

fn distance(a: &Fields<f64>, b: &Fields<f64>) -> f64 {
    let pairs = a.arrays.iter().flatten().zip(b.arrays.iter().flatten());
    pairs.map(|(a, b)| (a - b).norm()).fold(0.0, f64::max)
}

fn real(f: impl Fn([f64; 3]) -> f64) -> impl Fn([f64; 3]) -> Complex<f64> {
    move |p| Complex::new(f(p), 0.0)
}

/// Band-limited fields with known derivatives: u = sin(x) cos(2y) + cos(z), v = cos(x + y − z) + 1/2.
mod known {
    pub fn u([x, y, z]: [f64; 3]) -> f64 {
        x.sin() * (2.0 * y).cos() + z.cos()
    }
    pub fn v([x, y, z]: [f64; 3]) -> f64 {
        (x + y - z).cos() + 0.5
    }
    pub fn grad_u([x, y, z]: [f64; 3]) -> [f64; 3] {
        [x.cos() * (2.0 * y).cos(), -2.0 * x.sin() * (2.0 * y).sin(), -z.sin()]
    }
    pub fn grad_v([x, y, z]: [f64; 3]) -> [f64; 3] {
        let s = (x + y - z).sin();
        [-s, -s, s]
    }
    pub fn lap_u([x, y, z]: [f64; 3]) -> f64 {
        -5.0 * x.sin() * (2.0 * y).cos() - z.cos()
    }
    pub fn lap_v(p: [f64; 3]) -> f64 {
        -3.0 * (v(p) - 0.5)
    }
}

#[test]
fn every_operator_is_its_exact_derivative() {
    use known::*;
    let domain = domain(&[6, 6, 6], 3, false);
    type Exact = Box<dyn Fn([f64; 3]) -> f64>;
    let cases: Vec<(&str, Exact)> = vec![
        ("u + dx(v)", Box::new(|p| u(p) + grad_v(p)[0])),
        ("u*dy(u)", Box::new(|p| u(p) * grad_u(p)[1])),
        ("dz(u*v)", Box::new(|p| grad_u(p)[2] * v(p) + u(p) * grad_v(p)[2])),
        ("lap(u) + 3*v", Box::new(|p| lap_u(p) + 3.0 * v(p))),
        ("v*lap(u)", Box::new(|p| v(p) * lap_u(p))),
        (
            "lap(u*v)",
            Box::new(|p| {
                let (a, b) = (grad_u(p), grad_v(p));
                v(p) * lap_u(p) + u(p) * lap_v(p) + 2.0 * (a[0] * b[0] + a[1] * b[1] + a[2] * b[2])
            }),
        ),
        ("inv_lap(v)*u", Box::new(|p| -(v(p) - 0.5) / 3.0 * u(p))),
        ("lap(inv_lap(u)) - u + mean(v)*v", Box::new(|p| 0.5 * v(p))),
        ("mean(v) - 0.25", Box::new(|_| 0.25)),
        ("dot(grad(u), grad(v))", Box::new(|p| (0..3).map(|a| grad_u(p)[a] * grad_v(p)[a]).sum())),
        ("div(grad(u)) - lap(u) + div([u, v, 0])", Box::new(|p| grad_u(p)[0] + grad_v(p)[1])),
        ("div(u*grad(v))", Box::new(|p| u(p) * lap_v(p) + (0..3).map(|a| grad_u(p)[a] * grad_v(p)[a]).sum::<f64>())),
        (
            "dot(curl([u, v, u]), [1, 2, 3])",
            Box::new(|p| {
                let (a, b) = (grad_u(p), grad_v(p));
                (a[1] - b[2]) + 2.0 * (a[2] - a[0]) + 3.0 * (b[0] - a[1])
            }),
        ),
        ("dot(cross([u, v, 1], [v, 0, u]), [1, 1, 1])", Box::new(|p| v(p) * u(p) + (v(p) - u(p) * u(p)) - v(p) * v(p))),
        (
            "dot([1, 0, 2], div(outer([u, v, 0], [v, u, u])))",
            Box::new(|p| {
                let (a, b) = (grad_u(p), grad_v(p));
                let uv = |i: usize| a[i] * v(p) + b[i] * u(p);
                uv(0) + 2.0 * v(p) * b[1] + 2.0 * (2.0 * u(p) * a[0] + uv(1))
            }),
        ),
        (
            "dot([1, 1, 0], dot([u, v, 1], grad([v, u, 0])))",
            Box::new(|p| {
                let (a, b) = (grad_u(p), grad_v(p));
                u(p) * (a[0] + b[0]) + v(p) * (a[1] + b[1]) + a[2] + b[2]
            }),
        ),
        ("2*(u - 1)^2*v + u^2 - t", Box::new(|p| 2.0 * (u(p) - 1.0).powi(2) * v(p) + u(p) * u(p) - 0.7)),
        ("cos(x)*sin(2*y)*u + dy(sin(y))*t", Box::new(|p| p[0].cos() * (2.0 * p[1]).sin() * u(p) + 0.7 * p[1].cos())),
        (
            "dx(u*dx(u*v))",
            Box::new(|p| {
                let (a, b) = (grad_u(p), grad_v(p));
                let first = a[0] * v(p) + u(p) * b[0];
                let (uxx, vxx) = (-p[0].sin() * (2.0 * p[1]).cos(), -(v(p) - 0.5));
                a[0] * first + u(p) * (uxx * v(p) + 2.0 * a[0] * b[0] + u(p) * vxx)
            }),
        ),
    ];
    for (text, exact) in &cases {
        let toml = format!("fields = [\"u\", \"v\"]\nrhs.u = \"{text}\"\nrhs.v = \"0\"");
        for extra in ["", "\nas_written = true", "\ndiagonal = true"] {
            let mut bench = Bench::new(&format!("{toml}{extra}"), &domain);
            let state = bench.fields(&[&real(u), &real(v)]);
            let expected = bench.fields(&[&real(exact), &real(|_| 0.0)]);
            let error = distance(&bench.rate(0.7, &state), &expected);
            assert!(error < 1e-13, "{text}: {error:e}");
        }
    }
}

const KURAMOTO: &str = "fields = [\"u\"]\nrhs.u = \"-u*dx(u) - lap(u) - lap(lap(u))\"";

fn flow(components: &str, rhs: &str) -> String {
    format!("vectors = {{ u = {components} }}\nrhs.u = \"{rhs}\"\nconstraint = \"div(u) = 0\"\nparameters.nu = 0.1")
}

const UV: &str = "[\"ux\", \"uy\"]";
const UVW: &str = "[\"ux\", \"uy\", \"uz\"]";

#[test]
fn the_linear_part_of_kuramoto_sivashinsky_is_k2_minus_k4() {
    let domain = domain(&[10], 2, false);
    let mut bench = Bench::new(KURAMOTO, &domain);
    assert_eq!(bench.equation.coupling(), Coupling::RealDiagonal);
    assert_eq!(Equation::<f64>::degree(&*bench.equation), Degree::Polynomial(2));
    for k in [0.0, 0.5, 1.0, 3.0, 10.0f64] {
        let mut entry = [Complex::new(0.0, 0.0)];
        bench.equation.linear([0.0, 0.0, k], &mut entry);
        assert!((entry[0].re - (k.powi(2) - k.powi(4))).abs() <= 1e-12 * k.powi(4) && entry[0].im == 0.0, "{k}");
    }
    // Conservative and as written are the same function without aliasing.
    let mut written = Bench::new(&format!("{KURAMOTO}\nas_written = true"), &domain);
    assert_eq!((bench.counts(), written.counts()), (vec![(1, 1)], vec![(2, 1)]));
    let state = bench.fields(&[&real(|[x, ..]| x.sin() + (3.0 * x).cos() + 0.3 * (7.0 * x + 1.0).sin())]);
    let (a, b) = (bench.nonlinear(0.0, &state), written.nonlinear(0.0, &state));
    assert!(distance(&a, &b) < 1e-14, "{:e}", distance(&a, &b));
}

#[test]
fn evaluations_take_the_fewest_transforms() {
    let two_rounds = "fields = [\"u\"]\nrhs.u = \"dx(u*dx(u*u))\"";
    let swift = "fields = [\"u\"]\nparameters.r = 0.3\nrhs.u = \"r*u - u - 2*lap(u) - lap(lap(u)) + u^2 - u^3\"";
    let gray = "fields = [\"u\", \"v\"]\nparameters = { a = 0.04, b = 0.06 }\n\
                rhs.u = \"2e-5*lap(u) - u*v^2 + a*(1 - u)\"\nrhs.v = \"1e-5*lap(v) + u*v^2 - (a + b)*v\"";
    let vorticity = "fields = [\"w\"]\ndefine = { psi = \"-inv_lap(w)\", u = \"curl(psi)\" }\n\
                     rhs.w = \"-dot(u, grad(w)) + 0.01*lap(w)\"";
    let nls = "fields = [\"psi\"]\ncomplex = true\nrhs.psi = \"i*(0.5*lap(psi) + abs(psi)^2*psi)\"";
    let wave = "fields = [\"u\", \"v\"]\nrhs.u = \"v\"\nrhs.v = \"lap(u)\"";
    let sum = "fields = [\"u\", \"v\"]\nrhs.u = \"(u + v)*(u - v)*dx(u + v)\"\nrhs.v = \"u*v\"";
    let as_written = |t: String| t + "\nas_written = true";
    let cases: Vec<(String, usize, Vec<(usize, usize)>)> = vec![
        ("fields = [\"u\"]\nrhs.u = \"-0.5*dx(u^2) + 0.1*lap(u)\"".into(), 1, vec![(1, 1)]),
        ("fields = [\"u\"]\nrhs.u = \"-6*u*dx(u) - dx(dx(dx(u)))\"".into(), 1, vec![(1, 1)]),
        ("fields = [\"u\"]\nrhs.u = \"u - u^3 + 0.1*lap(u)\"".into(), 2, vec![(1, 1)]),
        ("fields = [\"u\"]\nrhs.u = \"lap(u^3 - u - 0.01*lap(u))\"".into(), 2, vec![(1, 1)]),
        (swift.into(), 2, vec![(1, 1)]),
        (gray.into(), 2, vec![(2, 1)]),
        (vorticity.into(), 2, vec![(4, 1)]),
        (nls.into(), 2, vec![(1, 1)]),
        (wave.into(), 2, vec![]),
        (sum.into(), 1, vec![(3, 2)]),
        (two_rounds.into(), 1, vec![(1, 1), (2, 1)]),
        // Two components and, but for its trace, the symmetric tensor.
        (flow(UV, "-dot(u, grad(u)) + nu*lap(u)"), 2, vec![(2, 2)]),
        (flow(UV, "-div(outer(u, u)) + nu*lap(u)"), 2, vec![(2, 2)]),
        (flow(UVW, "-dot(u, grad(u)) + nu*lap(u)"), 3, vec![(3, 5)]),
        (flow(UVW, "-div(outer(u, u)) + nu*lap(u)"), 3, vec![(3, 5)]),
        (flow(UVW, "cross(u, curl(u)) + nu*lap(u)"), 3, vec![(6, 3)]),
        // The gradient of a solenoidal vector has eight independent entries.
        (as_written(flow(UVW, "-dot(u, grad(u)) + nu*lap(u)")), 3, vec![(11, 3)]),
    ];
    for (toml, dimension, counts) in cases {
        let complex = toml.contains("complex");
        let domain = domain(&vec![2; dimension], 3, complex);
        assert_eq!(Bench::new(&toml, &domain).counts(), counts, "{toml}");
    }
}

/// A solenoidal field with all of its first modes.
fn stirred(bench: &mut Bench) -> Fields<f64> {
    let a = real(|[x, y, z]| (x + 2.0 * y - z).sin() + (y - z).cos() + (3.0 * z + x).sin() + 0.4);
    let b = real(|[x, y, z]| (2.0 * x - y + z).cos() + 0.7 * (x + y + z + 1.0).sin());
    let c = real(|[x, y, z]| (y + 2.0 * x).cos() * (z - 0.3).sin() - (3.0 * x).sin());
    let all: [&dyn Fn([f64; 3]) -> Complex<f64>; 3] = [&a, &b, &c];
    let mut state = bench.fields(&all[..bench.equation.fields().len()]);
    constrain(bench, &mut state);
    state
}

fn constrain(bench: &Bench, state: &mut Fields<f64>) {
    let domain = bench.transform.domain().clone();
    for (tile, at) in Scales::wavenumbers(&domain, bench.transform.modes()).tiles(100) {
        let mut parts: Vec<&mut [Complex<f64>]> = state.arrays.iter_mut().map(|a| &mut a[at.clone()]).collect();
        bench.equation.constrain(&tile, &mut parts);
    }
}

/// Calls `act(mode, wavenumber, weight)` for each kept mode; the weight counts its conjugate.
fn modes(bench: &Bench, mut act: impl FnMut(usize, [f64; 3], f64)) {
    let domain = bench.transform.domain();
    for (tile, at) in Scales::wavenumbers(domain, bench.transform.modes()).tiles(100) {
        tile.for_each(|i, k| act(at.start + i, k, if !domain.complex && k[2] > 0.0 { 2.0 } else { 1.0 }));
    }
}

fn divergence(bench: &Bench, u: &Fields<f64>) -> f64 {
    let mut largest = 0.0f64;
    let skip = 3 - bench.transform.domain().dimension;
    modes(bench, |i, k, _| {
        let sum: Complex<f64> = u.arrays.iter().zip(&k[skip..]).map(|(u, &k)| u[i] * k).sum();
        largest = largest.max(sum.norm());
    });
    largest
}

#[test]
fn all_forms_of_navier_stokes_agree_conserve_energy_and_stay_solenoidal() {
    for (parts, dimension) in [(UV, 2), (UVW, 3)] {
        let domain = domain(&vec![5; dimension], 2, false);
        let mut first: Option<Fields<f64>> = None;
        let forms =
            ["-dot(u, grad(u))", "-div(outer(u, u))", "-cross(curl(u), u)", "-dot(u, grad(u)) + grad(cos(x)*ux)"];
        for form in forms {
            for extra in ["", "\nas_written = true"] {
                let mut bench = Bench::new(&(flow(parts, &format!("{form} + nu*lap(u)")) + extra), &domain);
                let state = stirred(&mut bench);
                assert!(divergence(&bench, &state) < 1e-14);
                let rate = bench.nonlinear(0.0, &state);
                assert!(divergence(&bench, &rate) < 1e-13, "{form}: {:e}", divergence(&bench, &rate));
                // Galerkin truncation conserves Σ|û|²/2: Re Σ û*·N = 0.
                let mut power = 0.0;
                modes(&bench, |i, _, w| {
                    let here: Complex<f64> =
                        state.arrays.iter().zip(&rate.arrays).map(|(u, n)| u[i].conj() * n[i]).sum();
                    power += w * here.re;
                });
                assert!(power.abs() < 1e-13, "{form}: {power:e}");
                let first = first.get_or_insert_with(|| rate.clone());
                assert!(distance(first, &rate) < 1e-13, "{form}{extra}: {:e}", distance(first, &rate));
            }
        }
    }
}

#[test]
fn the_taylor_green_vortex_decays_at_2_nu() {
    let domain = domain(&[6, 7], 2, false);
    let mut bench = Bench::new(&flow(UV, "-dot(u, grad(u)) + nu*lap(u)"), &domain);
    let u = |[x, y, _]: [f64; 3]| x.sin() * y.cos();
    let v = |[x, y, _]: [f64; 3]| -x.cos() * y.sin();
    let state = bench.fields(&[&real(u), &real(v)]);
    let expected = bench.fields(&[&real(|p| -0.2 * u(p)), &real(|p| -0.2 * v(p))]);
    let error = distance(&bench.rate(0.0, &state), &expected);
    assert!(error < 1e-15, "{error:e}");
    // |u| ≤ 1 along each axis, taken on the grid.
    let fastest = bench.speeds(&state);
    assert!(fastest[0] == 0.0 && (fastest[1] - 1.0).abs() < 0.05 && (fastest[2] - 1.0).abs() < 0.05, "{fastest:?}");
}

#[test]
fn a_steady_forcing_is_projected_and_one_of_time_is_followed() {
    let domain = domain(&[6, 6], 2, false);
    // grad(sin x sin y) is all pressure; [sin y, 0] is solenoidal.
    let text = "-dot(u, grad(u)) + nu*lap(u) + grad(sin(x)*sin(y)) + [sin(y), 0] + cos(t)*[0, cos(2*x)] + [0, 0.25]";
    let mut bench = Bench::new(&flow(UV, text), &domain);
    let state = bench.fields(&[&real(|_| 0.0), &real(|_| 0.0)]);
    for time in [0.0f64, 0.4] {
        let expected =
            bench.fields(&[&real(|[_, y, _]| y.sin()), &real(|[x, ..]| time.cos() * (2.0 * x).cos() + 0.25)]);
        let error = distance(&bench.rate(time, &state), &expected);
        assert!(error < 1e-15, "{error:e}");
    }
}

#[test]
fn a_plane_wave_of_schroedinger_turns_at_its_frequency() {
    let domain = domain(&[8], 3, true);
    let toml = "fields = [\"psi\"]\ncomplex = true\nrhs.psi = \"i*(0.5*lap(psi) + abs(psi)^2*psi)\"";
    let mut bench = Bench::new(toml, &domain);
    assert_eq!(bench.equation.coupling(), Coupling::Diagonal);
    assert_eq!(Equation::<f64>::degree(&*bench.equation), Degree::Polynomial(3));
    // ψ = A e^{i q x}: ψ_t = i(|A|² − q²/2) ψ, A = 1.2 + 0.5 i, q = −3.
    let wave = |[x, ..]: [f64; 3]| Complex::new(1.2, 0.5) * Complex::from_polar(1.0, -3.0 * x);
    let state = bench.fields(&[&wave]);
    let expected = bench.fields(&[&|p| Complex::new(0.0, 1.69 - 4.5) * wave(p)]);
    let error = distance(&bench.rate(0.0, &state), &expected);
    assert!(error < 1e-14, "{error:e}");
    // Other complex functions: the derivative form, with conjugates.
    let toml = "fields = [\"psi\"]\ncomplex = true\nrhs.psi = \"conj(psi)*dx(psi)*re(psi) + (2 - i)*exp(i*x)*im(psi)\"";
    let mut bench = Bench::new(toml, &domain);
    let sum = |[x, ..]: [f64; 3]| Complex::from_polar(1.0, x) + Complex::new(0.0, 0.5);
    let slope = |[x, ..]: [f64; 3]| Complex::new(0.0, 1.0) * Complex::from_polar(1.0, x);
    let state = bench.fields(&[&sum]);
    let expected = bench.fields(&[&|p: [f64; 3]| {
        sum(p).conj() * slope(p) * sum(p).re + Complex::new(2.0, -1.0) * Complex::from_polar(1.0, p[0]) * sum(p).im
    }]);
    let error = distance(&bench.rate(0.0, &state), &expected);
    assert!(error < 1e-14, "{error:e}");
}

#[test]
fn the_wave_equation_is_a_block_and_may_be_kept_out_of_it() {
    let toml = "fields = [\"u\", \"v\"]\nrhs.u = \"v\"\nrhs.v = \"4*lap(u) - 0.1*v\"";
    let domain = domain(&[5, 5], 1, false);
    let mut bench = Bench::new(toml, &domain);
    assert_eq!((bench.equation.coupling(), bench.counts()), (Coupling::Block, vec![]));
    let mut entries = [Complex::new(9.0, 9.0); 4];
    bench.equation.linear([0.0, 1.0, 2.0], &mut entries);
    assert_eq!(entries.map(|e| (e.re, e.im)), [(0.0, 0.0), (1.0, 0.0), (-20.0, 0.0), (-0.1, 0.0)]);
    let functions: [&dyn Fn([f64; 3]) -> Complex<f64>; 2] =
        [&real(|[x, y, _]| (x + y).cos()), &real(|[x, ..]| x.sin() + 1.0)];
    let state = bench.fields(&functions);
    let mut diagonal = Bench::new(&format!("{toml}\ndiagonal = true"), &domain);
    assert_eq!(diagonal.equation.coupling(), Coupling::RealDiagonal);
    let expected = bench
        .fields(&[&real(|[x, ..]| x.sin() + 1.0), &real(|[x, y, _]| -8.0 * (x + y).cos() - 0.1 * (x.sin() + 1.0))]);
    for bench in [&mut bench, &mut diagonal] {
        let error = distance(&bench.rate(0.0, &state), &expected);
        // 4k² ≤ 200 magnifies the rounding of the state.
        assert!(error < 1e-13, "{error:e}");
    }
}

#[test]
fn buoyancy_in_the_linear_block_keeps_the_flow_solenoidal() {
    let toml = "fields = [\"b\"]\nvectors = { u = [\"ux\", \"uy\", \"uz\"] }\nconstraint = \"div(u) = 0\"\n\
                rhs.u = \"-dot(u, grad(u)) + 0.1*lap(u) + [0, 0, b] + cross([0, 0, 2], u)\"\n\
                rhs.b = \"-dot(u, grad(b)) - 3*uz + 0.2*lap(b)\"\ndefine.omega = \"curl(u)\"";
    let domain = domain(&[3, 4, 3], 2, false);
    let mut rates = Vec::new();
    for extra in ["", "\ndiagonal = true", "\nas_written = true"] {
        let mut bench = Bench::new(&format!("{toml}{extra}"), &domain);
        assert_eq!(bench.equation.coupling() == Coupling::Block, !extra.contains("diagonal"));
        let (s, c) = (real(|[x, y, z]| (x - y + z).sin()), real(|[x, y, z]| (x + 2.0 * y).cos() * z.sin()));
        let mut state = bench.fields(&[&s, &c, &s, &c]);
        constrain(&bench, &mut state);
        let rate = bench.rate(0.0, &state);
        let velocity = Fields { arrays: rate.arrays[1..].to_vec() };
        assert!(divergence(&bench, &velocity) < 1e-14, "{extra}");
        rates.push(rate);
        // Vorticity is written out: ω_z = ∂x u_y − ∂y u_x.
        let names: Vec<String> = bench.equation.derived().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["omega_x", "omega_y", "omega_z"]);
        let u = [0.0, 1.0, 2.0, 3.0].map(|x| Complex::new(x, 0.0));
        let omega = bench.equation.derive_field(2, [5.0, 7.0, 11.0], &u);
        assert!((omega - Complex::new(0.0, 5.0 * 2.0 - 7.0 * 1.0)).norm() < 1e-15);
    }
    assert!(distance(&rates[0], &rates[1]) < 1e-14 && distance(&rates[0], &rates[2]) < 1e-14);
}

#[test]
fn functions_without_a_degree_are_told_and_computed() {
    let domain = domain(&[40], 2, false);
    let mut bench = Bench::new("fields = [\"u\"]\nrhs.u = \"lap(u) - sin(u) + u/(2 + u^2)\"", &domain);
    assert_eq!(Equation::<f64>::degree(&*bench.equation), Degree::Other);
    let state = bench.fields(&[&real(|[x, ..]| x.sin())]);
    let expected = bench.fields(&[&real(|[x, ..]| {
        let u = x.sin();
        -u - u.sin() + u / (2.0 + u * u)
    })]);
    // k² ≤ 1600 magnifies the rounding of the state.
    let error = distance(&bench.rate(0.0, &state), &expected);
    assert!(error < 1e-12, "{error:e}");
    let chosen = Bench::new("fields = [\"u\"]\nrhs.u = \"lap(u) - sin(u)\"\ndegree = 4", &domain);
    assert_eq!(Equation::<f64>::degree(&*chosen.equation), Degree::Polynomial(4));
    // Below the degree of its products forms differ, so none is exchanged.
    let low = Bench::new(&format!("{KURAMOTO}\ndegree = 1"), &domain);
    assert_eq!(low.counts(), [(2, 1)]);
}

#[test]
fn speeds_are_those_of_the_factors_of_first_derivatives() {
    let line = domain(&[16], 2, false);
    let wave = real(|[x, ..]| 0.5 + 2.0 * x.sin());
    for text in ["-u*dx(u)", "-0.5*dx(u^2)"] {
        for extra in ["", "\nas_written = true"] {
            let mut bench = Bench::new(&format!("fields = [\"u\"]\nrhs.u = \"{text}\"{extra}"), &line);
            let state = bench.fields(&[&wave]);
            let fastest = bench.speeds(&state)[2];
            assert!((fastest - 2.5).abs() < 0.02, "{text}: {fastest}");
        }
    }
    // Shallow water: |u| + √(g h), here 1 + √(9 · 4).
    let toml = "fields = [\"h\", \"u\"]\nrhs.h = \"-dx(h*u)\"\nrhs.u = \"-u*dx(u) - 9*dx(h)*h/4\"\nas_written = true";
    let mut bench = Bench::new(toml, &line);
    let state = bench.fields(&[&real(|_| 4.0), &real(|_| 1.0)]);
    let fastest = bench.speeds(&state)[2];
    assert!((fastest - 7.0).abs() < 1e-12, "{fastest}");
    // The same with ten times the gravity, written so that its term is linear and explicit: 1 + √(10 · 3.6).
    let toml = "fields = [\"h\", \"u\"]\nrhs.h = \"-dx(h*u)\"\nrhs.u = \"-u*dx(u) - 10*dx(h)\"\ndiagonal = true";
    let mut bench = Bench::new(toml, &line);
    let state = bench.fields(&[&real(|_| 3.6), &real(|_| 1.0)]);
    let fastest = bench.speeds(&state)[2];
    assert!((fastest - 7.0).abs() < 1e-12, "{fastest}");
    // A speed that depends on the place and on time.
    let plane = domain(&[4, 16], 2, false);
    let mut bench = Bench::new("fields = [\"u\"]\nrhs.u = \"-3*sin(y)*cos(t)*dx(u)\"", &plane);
    let state = bench.fields(&[&real(|[x, ..]| x.cos())]);
    let fastest = bench.speeds(&state);
    assert!((fastest[1] - 3.0).abs() < 0.02 && fastest[2] == 0.0, "{fastest:?}");
}

/// Of u = 0.5 + 2 sin x: the mean of u² is 2.25, the largest |u| 2.5.
#[test]
fn speeds_made_in_later_rounds_count() {
    let line = domain(&[16], 2, false);
    let wave = real(|[x, ..]| 0.5 + 2.0 * x.sin());
    for (text, rounds, expected) in [
        ("-10*mean(u^2)*dx(u) - u*dx(u)", 2, 22.5 + 2.5),
        ("-u*dx(u^2)", 2, 2.0 * 2.5 * 2.5),
        ("-u*mean(dx(u)^2) + 0.1*u", 2, 0.0),
    ] {
        let mut bench = Bench::new(&format!("fields = [\"u\"]\nrhs.u = \"{text}\"\nas_written = true"), &line);
        let state = bench.fields(&[&wave]);
        let fastest = bench.speeds(&state)[2];
        assert_eq!(bench.counts().len(), rounds, "{text}");
        assert!((fastest - expected).abs() <= 0.01 * expected, "{text}: {fastest} for {expected}");
        assert_eq!(bench.equation.carries(), expected > 0.0, "{text}");
    }
    // Linear, but explicit: there is no round.
    let toml = "fields = [\"h\", \"u\"]\nrhs.h = \"-2*dx(u)\"\nrhs.u = \"-8*dx(h)\"\ndiagonal = true";
    let mut bench = Bench::new(toml, &line);
    let state = bench.fields(&[&wave, &wave]);
    assert!(bench.counts().is_empty());
    assert_eq!(bench.speeds(&state), [0.0, 0.0, 4.0]);
}

#[test]
fn random_forcing_has_its_mean_square_and_does_not_depend_on_resolution() {
    let toml = flow(UV, "-dot(u, grad(u)) + nu*lap(u)")
        + "\n[[random]]\nfield = \"u\"\namplitude = 0.3\nband = [3, 5]\nwhite = false";
    let draw = |highest: usize, toml: &str, step: u64, span: f64| {
        let domain = domain(&[highest, highest], 2, false);
        let bench = Bench::new(toml, &domain);
        let mut out = Fields::zeros(2, bench.transform.modes().len());
        // What a step adds, over its length: the forcing itself.
        for (tile, at) in Scales::wavenumbers(&domain, bench.transform.modes()).tiles(100) {
            let mut parts: Vec<&mut [Complex<f64>]> = out.arrays.iter_mut().map(|a| &mut a[at.clone()]).collect();
            bench.equation.stir(Kick { seed: 7, step, after: false, span }, &domain, &tile, &mut parts);
        }
        out.arrays.iter_mut().flatten().for_each(|z| *z /= span);
        (bench, out)
    };
    let (bench, out) = draw(8, &toml, 3, 0.1);
    assert!(divergence(&bench, &out) < 1e-15);
    let mut largest = 0.0f64;
    modes(&bench, |i, k, _| {
        let size = k.iter().map(|k| k * k).sum::<f64>().sqrt();
        if !(3.0..=5.0).contains(&size) {
            largest = largest.max(out.arrays[0][i].norm());
        }
    });
    assert_eq!(largest, 0.0);
    // Real on the grid: coefficients with k_y = 0 are conjugates in pairs.
    let axis = &bench.transform.domain().axes[1];
    for k in 3..=5 {
        let at = |k: i64| axis.index(k).unwrap() * 9;
        assert_eq!(out.arrays[1][at(k)], out.arrays[1][at(-k)].conj());
    }
    // The projection leaves one of two components: the mean square of both is 0.3² on average over steps.
    let mut mean = 0.0;
    const STEPS: u64 = 200;
    for step in 0..STEPS {
        let (bench, out) = draw(8, &toml, step, 0.1);
        modes(&bench, |i, _, w| mean += w * (out.arrays[0][i].norm_sqr() + out.arrays[1][i].norm_sqr()));
    }
    mean /= STEPS as f64;
    // 48 modes of 200 steps: standard error 0.09 √(2/(48 · 200)) = 0.0013.
    assert!((mean - 0.09).abs() < 0.005, "{mean}");
    // White noise of a step of 0.01 is ten times as strong as over a unit of time.
    let white = toml.replace("white = false", "white = true");
    let (_, strong) = draw(8, &white, 3, 0.01);
    let (fine, finer) = draw(12, &toml, 3, 0.1);
    let place = |bench: &Bench, k: [i64; 2]| {
        let axes = &bench.transform.domain().axes;
        axes[1].index(k[0]).unwrap() * axes[2].modes() + axes[2].index(k[1]).unwrap()
    };
    for k in [[3, 0], [-2, 3], [4, 3], [0, 5]] {
        let (a, b) = (out.arrays[0][place(&bench, k)], finer.arrays[0][place(&fine, k)]);
        assert!((a - b).norm() < 1e-16, "{a} {b}");
        assert!((strong.arrays[0][place(&bench, k)] - a * 10.0).norm() < 1e-15);
    }
}

#[test]
fn two_equal_random_forcings_are_two_noises_and_bring_twice_the_mean_square_of_one() {
    const STEPS: u64 = 200;
    let entry = "\n[[random]]\nfield = \"u\"\namplitude = 0.3\nband = [3, 5]\n";
    for equation in [flow(UV, "-dot(u, grad(u)) + nu*lap(u)"), "fields = [\"u\"]\nrhs.u = \"lap(u)\"".to_string()] {
        let plane = domain(&[8, 8], 2, false);
        let [one, two] = [1, 2].map(|n| Bench::new(&(equation.clone() + &entry.repeat(n)), &plane));
        let draw = |bench: &Bench, step: u64| {
            let mut out =
                Fields::zeros(Equation::<f64>::fields(bench.equation.as_ref()).len(), bench.transform.modes().len());
            for (tile, at) in Scales::wavenumbers(&plane, bench.transform.modes()).tiles(100) {
                let mut parts: Vec<&mut [Complex<f64>]> = out.arrays.iter_mut().map(|a| &mut a[at.clone()]).collect();
                bench.equation.stir(Kick { seed: 7, step, after: true, span: 1.0 }, &plane, &tile, &mut parts);
            }
            out
        };
        // Mean squares of the sum of both, of the first and of the second, and the mean product of the two.
        let mut means = [0.0; 4];
        for step in 0..STEPS {
            let (first, both) = (draw(&one, step), draw(&two, step));
            modes(&one, |i, _, w| {
                for (a, both) in first.arrays.iter().zip(&both.arrays) {
                    let b = both[i] - a[i];
                    let squares = [both[i].norm_sqr(), a[i].norm_sqr(), b.norm_sqr(), (a[i].conj() * b).re];
                    means.iter_mut().zip(squares).for_each(|(mean, x)| *mean += w * x / STEPS as f64);
                }
            });
        }
        // 48 modes of 200 steps: standard errors of 0.014 of a mean square and of 0.010 of the product.
        let [sum, first, second, product] = means.map(|mean| mean / 0.09);
        assert!((sum - 2.0).abs() < 0.12, "{sum}");
        assert!((first - 1.0).abs() < 0.06 && (second - 1.0).abs() < 0.06, "{first} {second}");
        assert!(product.abs() < 0.05, "{product}");
    }
}

#[test]
fn single_precision_agrees_to_its_rounding() {
    let domain = domain(&[8, 8], 2, false);
    let toml = flow(UV, "-dot(u, grad(u)) + nu*lap(u)");
    let mut bench = Bench::new(&toml, &domain);
    let state = stirred(&mut bench);
    let rate = bench.nonlinear(0.0, &state);
    let equation: Arc<Written<f32>> = Arc::new(input(&toml).compile(&domain).unwrap());
    let mut transform = Reference::<f32>::new(&domain);
    let mut evaluation = Evaluation::new(equation, &mut transform, &Solo);
    let small = |f: &Fields<f64>| Fields {
        arrays: f.arrays.iter().map(|a| a.iter().map(|z| Complex::new(z.re as f32, z.im as f32)).collect()).collect(),
    };
    let mut out = small(&state);
    evaluation.bind(&mut transform, &Solo, None).evaluate(0.0, &small(&state), &mut out).unwrap();
    let error = out.arrays.iter().flatten().zip(rate.arrays.iter().flatten());
    let error = error.map(|(a, b)| (a.re as f64 - b.re).abs().max((a.im as f64 - b.im).abs())).fold(0.0, f64::max);
    assert!(error < 1e-6 && error > 0.0, "{error:e}");
}
