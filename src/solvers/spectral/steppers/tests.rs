//! What every scheme must do: order, stability limits, restarts; on systems with a known answer.

use num_complex::Complex;

use super::super::fields::Fields;
use super::super::linear::{Fourier, Linear};
use super::*;

type Z = Complex<f64>;

fn z(re: f64, im: f64) -> Z {
    Complex::new(re, im)
}

/// N as a function of time and the values of all fields of a mode.
struct Pointwise<F>(F);

impl<T: Real, F: FnMut(f64, usize, &[Z]) -> Vec<Z>> Nonlinear<T> for Pointwise<F> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()> {
        for i in 0..state.modes() {
            let here: Vec<Z> = state.arrays.iter().map(|a| z(a[i].re.to_f64(), a[i].im.to_f64())).collect();
            for (o, new) in out.arrays.iter_mut().zip((self.0)(time, i, &here)) {
                o[i] = T::complex(new);
            }
        }
        Ok(())
    }
}

/// Calls `act` with the linear part as the scheme wants it.
fn with_part<T: Real>(scheme: &Scheme, linear: &Linear, act: impl FnOnce(&mut LinearPart<T>)) {
    match scheme.kind {
        Kind::Exponential => act(&mut LinearPart::Exponential(linear)),
        Kind::Imex => act(&mut LinearPart::Implicit(&mut Fourier::new(linear.clone()))),
    }
}

/// The exact solution of the test systems: smooth, different for each field and mode.
fn exact(time: f64, mode: usize, field: usize) -> Z {
    let (m, f) = (mode as f64, field as f64);
    z((time + m).cos() + 0.3 * f, 0.5 * (2.0 * time - f).sin())
}

fn exact_rate(time: f64, mode: usize, field: usize) -> Z {
    let (m, f) = (mode as f64, field as f64);
    z(-(time + m).sin(), (2.0 * time - f).cos())
}

/// L at a mode as an F × F matrix.
fn entry(linear: &Linear, fields: usize, mode: usize, row: usize, column: usize) -> Z {
    match linear {
        Linear::RealDiagonal(l) if row == column => z(l[row][mode], 0.0),
        Linear::Diagonal(l) if row == column => l[row][mode],
        Linear::Block { entries, .. } => entries[(mode * fields + row) * fields + column],
        _ => z(0.0, 0.0),
    }
}

/// u' = L u + N with N = u²/2 of the next field + what makes [`exact`] the solution.
fn system(linear: &Linear, fields: usize) -> impl Nonlinear<f64> {
    let square = move |u: &[Z], f: usize| u[(f + 1) % fields] * u[(f + 1) % fields] * 0.5;
    Pointwise(move |time: f64, i: usize, u: &[Z]| {
        let truth: Vec<Z> = (0..fields).map(|f| exact(time, i, f)).collect();
        (0..fields)
            .map(|f| {
                let linear: Z = (0..fields).map(|g| entry(linear, fields, i, f, g) * truth[g]).sum();
                square(u, f) - square(&truth, f) + exact_rate(time, i, f) - linear
            })
            .collect()
    })
}

/// The exact solution at a time.
fn start_at(time: f64, state: &mut Fields<f64>) {
    for (f, a) in state.arrays.iter_mut().enumerate() {
        a.iter_mut().enumerate().for_each(|(i, u)| *u = exact(time, i, f));
    }
}

/// The error of [`system`] after steps of the given sizes from time 0.
fn error_with_steps(scheme: &Scheme, linear: &Linear, fields: usize, modes: usize, steps: &[f64]) -> f64 {
    let mut rate = system(linear, fields);
    let mut stepper = stepper::<f64>(scheme.word, fields, modes).unwrap();
    let mut state = Fields::zeros(fields, modes);
    start_at(0.0, &mut state);
    let mut time = 0.0;
    with_part(scheme, linear, |part| {
        for &step in steps {
            stepper.step(&mut rate, part, time, step, &mut state).unwrap();
            time += step;
        }
    });
    let mut right = state.clone();
    start_at(time, &mut right);
    let pairs = state.arrays.iter().flatten().zip(right.arrays.iter().flatten());
    pairs.map(|(a, b)| (a - b).norm()).fold(0.0, f64::max)
}

fn uniform(n: usize) -> Vec<f64> {
    vec![1.0 / n as f64; n]
}

/// Steps that alternate between h and 0.6 h.
fn uneven(n: usize) -> Vec<f64> {
    (0..n).map(|i| if i % 2 == 0 { 1.25 / n as f64 } else { 0.75 / n as f64 }).collect()
}

/// Linear parts of moderate stiffness, one of each kind, for two fields and three modes.
fn parts() -> Vec<Linear> {
    let real = vec![vec![-0.5, -3.0, -10.0], vec![-0.5, -3.0, -10.0]];
    let complex = vec![vec![z(-0.5, 3.0), z(0.0, 8.0), z(-6.0, 2.0)], vec![z(-1.0, -2.0), z(0.0, 0.0), z(-3.0, 0.0)]];
    let block = [
        [z(-2.0, 1.0), z(3.0, 0.0), z(0.0, -1.0), z(-4.0, 0.0)],
        [z(-1.0, 0.0), z(1.0, 0.0), z(0.0, 0.0), z(-1.0, 0.0)],
    ];
    let block: Vec<Z> = [block[0], block[1], [z(0.0, 4.0), z(1.0, 1.0), z(-1.0, 0.0), z(-2.0, -4.0)]].concat();
    vec![Linear::RealDiagonal(real), Linear::Diagonal(complex), Linear::Block { fields: 2, entries: block }]
}

fn observed_order(coarse: f64, fine: f64) -> f64 {
    (coarse / fine).log2()
}

#[test]
fn every_scheme_has_its_order_for_diagonal_and_block_linear_parts() {
    for scheme in schemes() {
        for linear in parts() {
            for shape in [uniform, uneven] {
                let n = if scheme.order == 4 { 64 } else { 256 };
                let errors = [n, 2 * n].map(|n| error_with_steps(scheme, &linear, 2, 3, &shape(n)));
                let order = observed_order(errors[0], errors[1]);
                let expected = f64::from(scheme.order);
                assert!(
                    order > expected - 0.15 && order < expected + 0.7,
                    "{} {linear:?}: order {order:.2} from errors {errors:?}",
                    scheme.word
                );
            }
        }
    }
}

#[test]
fn stiffness_of_a_million_does_not_blow_up_any_scheme() {
    let linear = Linear::RealDiagonal(vec![vec![-1e6, -1e4, -1.0]]);
    for scheme in schemes() {
        let error = error_with_steps(scheme, &linear, 1, 3, &uniform(64));
        // An integrating factor keeps the forcing of a damped mode within Δt of its balance only.
        let allowed = if scheme.word == "if_rk4" { 1e4 } else { 2e-2 };
        assert!(error < allowed, "{}: {error:e}", scheme.word);
    }
}

/// The fields of three modes after 128 steps to time 1 of u' = L u + (what makes [`exact`] the solution).
fn walk<T: Real>(scheme: &Scheme, entries: [f64; 3]) -> Vec<Z> {
    let linear = Linear::RealDiagonal(vec![entries.to_vec()]);
    let mut rate =
        Pointwise(|time: f64, i: usize, _: &[Z]| vec![exact_rate(time, i, 0) - exact(time, i, 0) * entries[i]]);
    let mut stepper = stepper::<T>(scheme.word, 1, 3).unwrap();
    let mut state = Fields::<T>::zeros(1, 3);
    state.arrays[0].iter_mut().enumerate().for_each(|(i, u)| *u = T::complex(exact(0.0, i, 0)));
    with_part(scheme, &linear, |part| {
        (0..128).for_each(|i| stepper.step(&mut rate, part, f64::from(i) / 128.0, 1.0 / 128.0, &mut state).unwrap());
    });
    state.arrays[0].iter().map(|u| z(u.re.to_f64(), u.im.to_f64())).collect()
}

#[test]
fn in_single_precision_steps_end_within_its_rounding() {
    for scheme in schemes() {
        let entries = [-0.5, -3.0, -10.0];
        for (a, b) in walk::<f64>(scheme, entries).iter().zip(walk::<f32>(scheme, entries)) {
            // 128 steps, each rounded a few times at 6·10⁻⁸, of values near 1; backward differences add to that.
            assert!((a - b).norm() < 2e-5, "{}: {a} against {b}", scheme.word);
            assert_ne!(*a, b);
        }
    }
}

/// |u| after `n` steps of u' = λ u from 1, L = 0, Δt = 1.
fn growth(scheme: &Scheme, lambda: Z, n: usize) -> f64 {
    let linear = Linear::RealDiagonal(vec![vec![0.0]]);
    let mut stepper = stepper::<f64>(scheme.word, 1, 1).unwrap();
    let mut state = Fields::zeros(1, 1);
    state.arrays[0][0] = z(1.0, 0.0);
    let mut rate = Pointwise(|_: f64, _: usize, u: &[Z]| vec![u[0] * lambda]);
    with_part(scheme, &linear, |part| {
        (0..n).for_each(|i| stepper.step(&mut rate, part, i as f64, 1.0, &mut state).unwrap());
    });
    state.arrays[0][0].norm()
}

/// The y at which |u| over `n` steps on the ray `direction · y` stops to be bounded, to 0.001.
fn limit(scheme: &Scheme, direction: Z, n: usize) -> f64 {
    let stable = |y: f64| growth(scheme, direction * y, n) < 1.5;
    let coarse = (1..100).map(|i| 0.04 * f64::from(i)).find(|&y| !stable(y)).unwrap();
    (1..=40).map(|i| coarse - 0.04 + 1e-3 * f64::from(i)).find(|&y| !stable(y)).unwrap() - 1e-3
}

#[test]
fn the_cfl_constants_are_the_limits_on_the_imaginary_axis() {
    for scheme in schemes() {
        let found = limit(scheme, z(0.0, 1.0), 4000);
        if scheme.cfl > 0.0 {
            assert!((found - scheme.cfl).abs() < 4e-3, "{}: {found}", scheme.word);
        } else {
            assert!(found < 0.25, "{} is not stable on the imaginary axis, yet {found}", scheme.word);
            let amplified = growth(scheme, z(0.0, 0.5), 400);
            assert!(amplified > 1.5, "{}: {amplified}", scheme.word);
        }
    }
}

#[test]
fn the_limits_on_the_real_axis_are_those_of_the_notes() {
    // §4.4; for SBDF and AB from their characteristic polynomials at −1: 4/3, 20/21, 1.
    let expected = [
        ("etdrk4", 2.785),
        ("if_rk4", 2.785),
        ("ars222", 2.0),
        ("ars443", 2.14),
        ("smr_rk3", 2.51),
        ("sbdf2", 4.0 / 3.0),
        ("sbdf3", 20.0 / 21.0),
        ("cnab2", 1.0),
    ];
    for (word, value) in expected {
        let scheme = schemes().iter().find(|s| s.word == word).unwrap();
        let found = limit(scheme, z(-1.0, 0.0), 2000);
        assert!((found - value).abs() < 6e-3, "{word}: {found} against {value}");
    }
}

#[test]
fn the_tableaus_satisfy_the_order_conditions() {
    // Ascher, Ruuth & Spiteri 1997; with the stages shifted so that both parts share the abscissae.
    for (tableau, order) in [(ars::ars222(), 2), (ars::ars443(), 3)] {
        let s = tableau.stages + 1;
        let (a, h) = (tableau.explicit, tableau.implicit);
        let (b, d) = (a[s - 1], h[s - 1]);
        let c: Vec<f64> = (0..s).map(|i| tableau.abscissa(i)).collect();
        for i in 0..s {
            assert!((h[i].iter().sum::<f64>() - c[i]).abs() < 1e-15, "row {i}");
        }
        let sum = |f: &dyn Fn(usize) -> f64| (0..s).map(f).sum::<f64>();
        for w in [b, d] {
            assert!((sum(&|i| w[i]) - 1.0).abs() < 1e-15);
            assert!((sum(&|i| w[i] * c[i]) - 0.5).abs() < 1e-15);
            if order == 3 {
                assert!((sum(&|i| w[i] * c[i] * c[i]) - 1.0 / 3.0).abs() < 1e-15);
                for table in [&a, &h] {
                    let third = sum(&|i| w[i] * sum(&|j| table[i][j] * c[j]));
                    assert!((third - 1.0 / 6.0).abs() < 1e-15, "{third}");
                }
            }
        }
    }
    // Spalart, Moser & Rogers: both parts advance each stage by the same time; explicit order 3 from the product of its
    // stability polynomial: 1 + z + z²/2 + z³/6.
    for i in 0..3 {
        assert!((smr::ALPHA[i] + smr::BETA[i] - smr::GAMMA[i] - smr::ZETA[i]).abs() < 1e-15);
    }
    assert!((smr::GAMMA.iter().product::<f64>() - 1.0 / 6.0).abs() < 1e-15);
}

#[test]
fn variable_step_weights_of_sbdf2_are_the_closed_ones() {
    // §4.4 with w = Δt/Δt before: a = ((1+2w)/(1+w), −(1+w), w²/(1+w)), c = (1+w, −w).
    for w in [0.5, 1.0, 1.7] {
        let back = [-1.0, -1.0 - 1.0 / w];
        let (own, others) = sbdf::derivative(back);
        let c = sbdf::extrapolation(back);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
        close(own, (1.0 + 2.0 * w) / (1.0 + w));
        close(others[0], -(1.0 + w));
        close(others[1], w * w / (1.0 + w));
        close(c[0], 1.0 + w);
        close(c[1], -w);
    }
    let (own, others) = sbdf::derivative([-1.0, -2.0, -3.0]);
    for (a, b) in [own, others[0], others[1], others[2]].iter().zip([11.0 / 6.0, -3.0, 1.5, -1.0 / 3.0]) {
        assert!((a - b).abs() < 1e-14, "{a} {b}");
    }
}

/// A nonlinear system without known answer, to compare runs bit by bit.
fn bits(_: f64, i: usize, u: &[Z]) -> Vec<Z> {
    vec![u[1] * u[1] * 0.3 - u[0] * i as f64 * 0.1, u[0] * u[1] * -0.7]
}

#[test]
fn a_restart_from_the_history_has_the_same_bits() {
    for scheme in schemes() {
        for linear in parts() {
            let size = |i: usize| [0.01, 0.012, 0.01][i % 3];
            let (mut time, mut state) = (0.0, Fields::<f64>::zeros(2, 3));
            state
                .arrays
                .iter_mut()
                .flatten()
                .enumerate()
                .for_each(|(i, u)| *u = z(0.2 * i as f64, 1.0 - 0.1 * i as f64));
            let mut whole = stepper::<f64>(scheme.word, 2, 3).unwrap();
            let mut saved = None;
            for stop in [1, 2, 5] {
                let (mut state, mut time) = (state.clone(), time);
                let mut first = stepper::<f64>(scheme.word, 2, 3).unwrap();
                first.estimate(true);
                with_part(scheme, &linear, |part| {
                    for i in 0..stop {
                        first.step(&mut Pointwise(bits), part, time, size(i), &mut state).unwrap();
                        time += size(i);
                    }
                });
                let (arrays, numbers) = first.history();
                let kept: (Vec<_>, Vec<_>) = (
                    arrays.into_iter().map(|(n, a)| (n, a.clone())).collect(),
                    numbers.into_iter().map(|(n, x)| (n, *x)).collect(),
                );
                let mut second = stepper::<f64>(scheme.word, 2, 3).unwrap();
                second.estimate(true);
                let (arrays, numbers) = second.history();
                for ((name, to), (from_name, from)) in arrays.into_iter().zip(&kept.0) {
                    assert_eq!(name, *from_name);
                    to.copy_from(from);
                }
                for ((name, to), (from_name, from)) in numbers.into_iter().zip(&kept.1) {
                    assert_eq!(name, *from_name);
                    *to = *from;
                }
                with_part(scheme, &linear, |part| {
                    for i in stop..8 {
                        second.step(&mut Pointwise(bits), part, time, size(i), &mut state).unwrap();
                        time += size(i);
                    }
                });
                let seen = saved.get_or_insert(state.clone());
                assert_eq!(*seen, state, "{} stopped after {stop}", scheme.word);
            }
            whole.estimate(true);
            with_part(scheme, &linear, |part| {
                for i in 0..8 {
                    whole.step(&mut Pointwise(bits), part, time, size(i), &mut state).unwrap();
                    time += size(i);
                }
            });
            assert_eq!(saved.unwrap(), state, "{}", scheme.word);
        }
    }
}

#[test]
fn a_rejected_step_leaves_no_trace() {
    let scheme = &schemes()[1];
    let linear = &parts()[2];
    let start = || {
        let mut state = Fields::<f64>::zeros(2, 3);
        state.arrays.iter_mut().flatten().enumerate().for_each(|(i, u)| *u = z(0.2 * i as f64, 1.0 - 0.1 * i as f64));
        let mut stepper = stepper::<f64>(scheme.word, 2, 3).unwrap();
        assert!(stepper.estimate(true));
        (stepper, state)
    };
    let ((mut straight, mut a), (mut wavering, mut b)) = (start(), start());
    with_part(scheme, linear, |part| {
        for i in 0..4 {
            let time = 0.01 * f64::from(i);
            straight.step(&mut Pointwise(bits), part, time, 0.01, &mut a).unwrap();
            let before = b.clone();
            wavering.step(&mut Pointwise(bits), part, time, 0.5, &mut b).unwrap();
            assert_ne!(before, b);
            wavering.reject(&mut b);
            assert_eq!(before, b);
            wavering.step(&mut Pointwise(bits), part, time, 0.01, &mut b).unwrap();
        }
    });
    assert_eq!(a, b);
}

#[test]
fn the_embedded_error_falls_as_the_fourth_power_of_the_step() {
    let scheme = &schemes()[1];
    for linear in parts() {
        let norm = |step: f64| {
            let mut stepper = stepper::<f64>(scheme.word, 2, 3).unwrap();
            stepper.estimate(true);
            let mut state = Fields::<f64>::zeros(2, 3);
            state.arrays.iter_mut().flatten().for_each(|u| *u = z(1.0, 0.5));
            with_part(scheme, &linear, |part| stepper.step(&mut Pointwise(bits), part, 0.0, step, &mut state).unwrap());
            let error = stepper.embedded_error().unwrap();
            error.arrays.iter().flatten().map(|e| e.norm()).fold(0.0, f64::max)
        };
        let order = observed_order(norm(0.01), norm(0.005));
        assert!((order - 4.0).abs() < 0.2, "{order}");
    }
}

#[test]
fn a_step_that_fails_leaves_the_state_as_it_was() {
    /// Fails at the `at`-th evaluation.
    struct Failing {
        left: usize,
    }
    impl Nonlinear<f64> for Failing {
        fn evaluate(&mut self, time: f64, state: &Fields<f64>, out: &mut Fields<f64>) -> Result<()> {
            self.left = self.left.checked_sub(1).ok_or(crate::error::Error::Interrupted)?;
            Pointwise(bits).evaluate(time, state, out)
        }
    }
    for scheme in schemes() {
        for fail in [0, 1, 2, 3, 4, 6, 8] {
            let linear = &parts()[0];
            let start = || {
                let mut state = Fields::<f64>::zeros(2, 3);
                state.arrays.iter_mut().flatten().for_each(|u| *u = z(1.0, 0.5));
                (stepper::<f64>(scheme.word, 2, 3).unwrap(), state)
            };
            let ((mut plain, mut a), (mut tried, mut b)) = (start(), start());
            let mut good = Failing { left: usize::MAX };
            let mut bad = Failing { left: fail };
            with_part(scheme, linear, |part| {
                let mut time = 0.0;
                for _ in 0..6 {
                    plain.step(&mut good, part, time, 0.01, &mut a).unwrap();
                    let before = b.clone();
                    if tried.step(&mut bad, part, time, 0.01, &mut b).is_err() {
                        assert_eq!(before, b, "{}", scheme.word);
                        bad.left = usize::MAX;
                        tried.step(&mut bad, part, time, 0.01, &mut b).unwrap();
                    }
                    time += 0.01;
                }
            });
            assert_eq!(a, b, "{} after a failure at evaluation {fail}", scheme.word);
        }
    }
}

/// `copies` copies of two fields, all different.
fn many(copies: usize, modes: usize) -> Fields<f64> {
    let mut state = Fields::zeros(2 * copies, modes);
    for (f, array) in state.arrays.iter_mut().enumerate() {
        array.iter_mut().enumerate().for_each(|(i, u)| *u = z((0.1 * (f * i) as f64).sin(), 1.0 / (1 + f + i) as f64));
    }
    state
}

#[test]
fn many_modes_on_many_threads_have_the_bits_of_each_mode_alone() {
    // 10 000 modes are ten tasks; 22 arrays are more than one group, and the copies of the two fields share factors.
    let (copies, modes) = (11, 10_000);
    let part = |modes: std::ops::Range<usize>| {
        let entries = |i: usize| [z(-0.01 * i as f64, 0.3), z(0.2, 0.0), z(0.0, -0.1), z(-0.02 * i as f64, 0.1)];
        vec![
            Linear::RealDiagonal(vec![modes.clone().map(|i| entries(i)[0].re).collect(); 2]),
            Linear::Diagonal((0..2).map(|f| modes.clone().map(|i| entries(i)[3 * f]).collect()).collect()),
            Linear::Block { fields: 2, entries: modes.clone().flat_map(entries).collect() },
        ]
    };
    let rate = |_: f64, _: usize, u: &[Z]| -> Vec<Z> { u.iter().map(|u| u * u * 0.2).collect() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for scheme in schemes() {
        for (kind, linear) in part(0..modes).iter().enumerate() {
            let mut all = many(copies, modes);
            let run = |linear: &Linear, state: &mut Fields<f64>| {
                let mut stepper = stepper::<f64>(scheme.word, state.len(), state.modes()).unwrap();
                with_part(scheme, linear, |part| {
                    (0..3).for_each(|i| stepper.step(&mut Pointwise(rate), part, f64::from(i), 0.1, state).unwrap());
                });
            };
            pool.install(|| run(linear, &mut all));
            for mode in [0, 1023, 1024, 5000, 9999] {
                let mut one = Fields::zeros(2 * copies, 1);
                let start = many(copies, modes);
                (0..2 * copies).for_each(|f| one.arrays[f][0] = start.arrays[f][mode]);
                run(&part(mode..mode + 1)[kind], &mut one);
                for f in 0..2 * copies {
                    assert_eq!(one.arrays[f][0], all.arrays[f][mode], "{} {kind} field {f} mode {mode}", scheme.word);
                }
            }
        }
    }
}

#[test]
fn a_step_taken_again_finds_the_error_of_every_scheme() {
    // u' = L u + u²/2 + g against its known answer: the error of the first step, and the estimate of it; for a multistep
    // scheme, whose first steps are another's, the error of forty steps against the estimates of all of them.
    for scheme in schemes() {
        for linear in parts() {
            let step = if scheme.order == 4 { 1.0 / 40.0 } else { 1.0 / 300.0 };
            let window = if scheme.steps == 1 { 1 } else { 40 };
            let error = error_with_steps(scheme, &linear, 2, 3, &vec![step; window]);
            let mut state = Fields::zeros(2, 3);
            start_at(0.0, &mut state);
            let mut rate = system(&linear, 2);
            let largest = |d: &Fields<f64>| d.arrays.iter().flatten().map(|z| z.norm()).fold(0.0, f64::max);
            let mut stepper = stepper::<f64>(scheme.word, 2, 3).unwrap();
            let mut found = 0.0;
            with_part(scheme, &linear, |part| {
                for i in 0..window {
                    let (time, mut again) = (i as f64 * step, state.clone());
                    stepper.step(&mut rate, part, time, step, &mut state).unwrap();
                    let before = state.clone();
                    // Lent where it has no history.
                    let lends = scheme.steps == 1 && scheme.word != "if_rk4";
                    let lent: Option<&mut dyn Stepper<f64>> = if lends { Some(stepper.as_mut()) } else { None };
                    let factor = retake(scheme, lent, &mut rate, part, time, step, &mut again).unwrap();
                    assert_eq!(state, before);
                    subtract(&mut again, &state);
                    found += factor * largest(&again);
                }
            });
            let ratio = found / error;
            println!("{} {ratio:.3}", scheme.word);
            // One step: up to the next order. Forty: errors decay with L or turn with it, sums of their sizes do not.
            let (low, high) = if window == 1 { (0.8, 1.25) } else { (0.5, 4.0) };
            assert!(ratio > low && ratio < high, "{}: {ratio}", scheme.word);
        }
    }
}
