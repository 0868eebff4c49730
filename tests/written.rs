//! A built-in equation and the same one written in the input: the same modes, the same right-hand side, the same step.

#[path = "common/pairs.rs"]
mod pairs;

use std::path::Path;

use num_complex::Complex;
use pairs::PAIRS;
use spanwise::error::Result;
use spanwise::input::Input;
use spanwise::solvers::spectral::fields::Fields;
use spanwise::solvers::spectral::linear::{Fourier, Implicit, Linear};
use spanwise::solvers::spectral::nonlinear::Evaluation;
use spanwise::solvers::spectral::problem::{EquationInput, Periodic, ProblemInput, WrittenKind};
use spanwise::solvers::spectral::steppers::Nonlinear;
use spanwise::solvers::spectral::transform::{Distributed, Level, Scales, Settings, Transform};
use spanwise::solvers::{self, Solver};
use spanwise::state::{Data, Hyperslab, Name, Walk};
use spanwise::team::Solo;

/// Keeps the coefficients of the fields: the blocks of a walked state, in their order.
#[derive(Default)]
struct Blocks(Vec<(String, Vec<f64>)>);

impl Walk for Blocks {
    fn block(&mut self, name: &Name, _global: &[usize], _mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        let Data::F64(values) = data else { panic!("double precision") };
        self.0.push((name.name.to_string(), values.to_vec()));
        Ok(())
    }

    fn scalar(&mut self, _name: &Name, _x: Data<'_>) -> Result<()> {
        Ok(())
    }

    fn series(&mut self, _name: &Name, _values: &mut Vec<f64>) -> Result<()> {
        Ok(())
    }

    fn replicated(&mut self, _name: &Name, _values: &mut Vec<f64>) -> Result<()> {
        Ok(())
    }

    fn replicated_f32(&mut self, _name: &Name, _values: &mut Vec<f32>) -> Result<()> {
        Ok(())
    }
}

fn parsed(text: &str) -> Input {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/spectral/in_memory.toml");
    Input::parse(&path, text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn state(solver: &mut dyn Solver) -> Vec<(String, Vec<f64>)> {
    let mut blocks = Blocks::default();
    solver.state(&mut blocks).unwrap();
    blocks.0
}

/// L u + N(u) of the state `at`, on the modes of the input's equation.
fn right_hand_side(text: &str, at: &[(String, Vec<f64>)]) -> Vec<Vec<Complex<f64>>> {
    let problem: ProblemInput = parsed(text).problem().unwrap();
    let equation = match &problem.equation {
        EquationInput::BuiltIn(built_in) => Periodic::BuiltIn(built_in),
        EquationInput::Written(WrittenKind::Written(written)) => Periodic::Written(written),
        EquationInput::Bounded(_) => panic!("periodic axes"),
    };
    let full = problem.periodic_box(equation.complex()).unwrap();
    let equation = equation.build::<f64>(&full).unwrap();
    let (domain, _) = problem.dealiased(&full, equation.degree(), equation.rounds().is_empty()).unwrap();
    let settings = Settings { process_grid: None, level: Level::detect(), ranks_per_node: 1, share: false };
    let mut transform = Distributed::<f64>::new(&domain, &Solo, settings).unwrap();
    let scales = Scales::wavenumbers(&domain, transform.modes());
    let fields: Vec<&str> = equation.fields().iter().map(|f| f.name.as_str()).collect();
    let arrays = at[..fields.len()].iter().zip(&fields).map(|((name, values), field)| {
        assert_eq!(name, field);
        let modes = values.chunks_exact(2).map(|z| Complex::new(z[0], z[1]));
        modes.collect::<Vec<_>>()
    });
    let u = Fields { arrays: arrays.collect() };
    assert_eq!(u.modes(), transform.modes().len(), "other modes are kept");
    let linear = Fourier::<f64>::new(Linear::of(equation.as_ref(), &scales));
    let (mut out, mut rest) = (Fields::zeros(u.len(), u.modes()), Fields::zeros(u.len(), u.modes()));
    linear.apply(&u, &mut out);
    let mut evaluation = Evaluation::new(equation, &mut transform, &Solo);
    evaluation.bind(&mut transform, &Solo, None).evaluate(0.0, &u, &mut rest).unwrap();
    for (out, rest) in out.arrays.iter_mut().flatten().zip(rest.arrays.iter().flatten()) {
        *out += *rest;
    }
    out.arrays
}

/// Largest difference over the largest value.
fn apart(a: impl Iterator<Item = f64> + Clone, b: impl Iterator<Item = f64>) -> f64 {
    let size = a.clone().map(f64::abs).fold(0.0, f64::max);
    a.zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

#[test]
fn written_and_built_in_equations_agree_to_1e_12_in_right_hand_side_and_step() {
    for pair in PAIRS {
        // Awkward sizes: odd, prime, no multiples of three.
        let points = match pair.what {
            what if what.contains("three") => vec![16, 20, 14],
            what if what.contains("two") => vec![37, 26],
            _ => vec![128],
        };
        let texts = [false, true].map(|written| pair.input(written, &points));
        let mut made = texts.each_ref().map(|text| {
            let input = parsed(text);
            let entry = solvers::find("spectral").expect("a registered solver");
            (entry.build)(&input, &Solo).unwrap_or_else(|e| panic!("{e}\n{text}"))
        });
        let first = [0, 1].map(|i| state(made[i].as_mut()));
        assert_eq!(first[0], first[1], "{}: the first states differ", pair.what);

        let rates = [0, 1].map(|i| right_hand_side(&texts[i], &first[i]));
        let [a, b] = rates.each_ref().map(|r| r.iter().flatten().flat_map(|z| [z.re, z.im]));
        let rate = apart(a, b);
        let after = [0, 1].map(|i| {
            made[i].step(1, &Solo).unwrap();
            state(made[i].as_mut())
        });
        let [a, b] = after.each_ref().map(|s| s.iter().flat_map(|(_, values)| values.iter().copied()));
        let step = apart(a, b);
        println!("{:<55} right-hand side {rate:.1e}, step {step:.1e}", pair.what);
        assert!(rate < 1e-12, "{}: right-hand sides differ by {rate:e}", pair.what);
        assert!(step < 1e-12, "{}: steps differ by {step:e}", pair.what);
        let moved = apart(
            first[0].iter().flat_map(|(_, v)| v.iter().copied()),
            after[0].iter().flat_map(|(_, v)| v.iter().copied()),
        );
        assert!(moved > 1e-5, "{}: the step moved the state by {moved:e} only", pair.what);
    }
}

/// ⟨a²⟩ at t = 1 of da = −rate a dt + dW/2, a = 0 at t = 0, over 1200 modes of one run: standard error √(2/1200) = 4 %.
fn ornstein_uhlenbeck(method: &str, white: bool, rate: f64) -> f64 {
    let text = format!(
        "solver = \"spectral\"\n[problem]\npoints = [2048]\nend_time = 1.0\n\
         equation = {{ kind = \"written\", fields = [\"a\"], rhs = {{ a = \"-{rate}*a\" }}, \
         random = [{{ field = \"a\", amplitude = 0.5, band = [1, 600], white = {white} }}] }}\n\
         initial = {{ kind = \"expressions\", fields = {{ a = \"0\" }} }}\n[method]\n{method}\n"
    );
    let entry = solvers::find("spectral").expect("a registered solver");
    let mut solver = (entry.build)(&parsed(&text), &Solo).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut step = 1;
    while solver.step(step, &Solo).unwrap() == solvers::Status::Running {
        step += 1;
    }
    solver.measure(&Solo).unwrap();
    solver.record().into_iter().find(|(name, _)| name.name == "mean_square_a").expect("a series").1
}

#[test]
fn random_forcing_makes_an_ornstein_uhlenbeck_process_with_every_scheme_and_step() {
    // da = −a dt + s dW: ⟨a²⟩ = s²(1 − e^(−2t))/2; four standard errors.
    // Constant over steps of Δt the forcing adds draws of s Δt instead of s √Δt: Δt times that.
    let run = |method: &str, white: bool| ornstein_uhlenbeck(method, white, 1.0);
    let expected = 0.25 * (1.0 - (-2.0f64).exp()) / 2.0;
    for scheme in spanwise::solvers::spectral::steppers::schemes() {
        for step in [0.05, 0.01] {
            for white in [true, false] {
                let found = run(&format!("scheme = \"{}\"\ntime_step = {step}", scheme.word), white);
                let expected = if white { expected } else { step * expected };
                // Where all of the kick follows the step: of the order of the step besides.
                let allowed = if scheme.steps == 1 { 0.16 } else { 0.16 + step };
                assert!((found / expected - 1.0).abs() < allowed, "{} {step} {white}: {found} {expected}", scheme.word);
            }
        }
    }
    let judged = "scheme = \"if_rk4\"\nstep_control = \"error\"\ntime_step = 0.05\nmax_step = 0.05\ntolerance = 1e-3";
    let found = run(judged, true);
    assert!((found / expected - 1.0).abs() < 0.2, "{found} {expected}");
}

#[test]
fn random_forcing_of_a_mode_that_half_decays_in_a_step_is_of_second_order() {
    // Half of a kick before the step, half after it: the variance that stays is s² Δt/2 (1 + R²)/(1 − R²) with R the factor
    // of a step, for R = e^(−γΔt) and γΔt = 1/2 that is 1.082 times s²/(2γ) (1.58 with all of it after the step).
    let exact = 0.25 / 10.0;
    for scheme in spanwise::solvers::spectral::steppers::schemes().iter().filter(|s| s.steps == 1) {
        let found = ornstein_uhlenbeck(&format!("scheme = \"{}\"\ntime_step = 0.1", scheme.word), true, 5.0) / exact;
        println!("{}: {found}", scheme.word);
        assert!((found / 1.082 - 1.0).abs() < 0.16, "{}: {found}", scheme.word);
    }
}

#[test]
fn products_are_taken_as_written_wherever_they_are_aliased() {
    // −u u_x is −(u²)_x/2 but for aliasing errors, which 7 modes on 16 points have unless two factors are allowed for.
    let after = |problem: &str, equation: &str| {
        let text = format!(
            "solver = \"spectral\"\n[problem]\npoints = [16]\nend_time = 1.0\n{problem}\n\
             initial = {{ kind = \"expressions\", fields = {{ u = \"2*sin(x) + cos(3*x)\" }} }}\n[problem.equation]\n\
             kind = \"written\"\nfields = [\"u\"]\nrhs.u = \"-u*dx(u) + 0.05*lap(u)\"\n{equation}\n\
             [method]\ntime_step = 0.01\n"
        );
        let mut solver = (solvers::find("spectral").unwrap().build)(&parsed(&text), &Solo).unwrap();
        (1..=20).for_each(|step| drop(solver.step(step, &Solo).unwrap()));
        state(solver.as_mut())
    };
    let distance = |a: &[(String, Vec<f64>)], b: &[(String, Vec<f64>)]| {
        assert_eq!(a[0].1.len(), b[0].1.len(), "as many modes");
        a[0].1.iter().zip(&b[0].1).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let none = "dealiasing = \"none\"";
    assert_eq!(after(none, ""), after(none, "as_written = true"));
    assert_eq!(after("product_degree = 1", ""), after("", "degree = 1"));
    assert_eq!(after("product_degree = 1", ""), after("product_degree = 1", "as_written = true"));
    let apart = distance(&after("", ""), &after("", "as_written = true"));
    assert!(apart > 0.0 && apart < 1e-12, "the other form, without aliasing errors: {apart:e}");
}
