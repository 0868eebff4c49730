//! Random initial fields: the same at any resolution, of the given spectrum, real and without divergence.

use super::run::{CIRCLE, Run, input, padded};
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::initial::{Random, Spectrum, directions, random};
use crate::solvers::spectral::transform::Transform;

const FLOW: &str = "kind = 'navier_stokes_3d'\nviscosity = 0.1";
const PEAK: Spectrum = Spectrum::ExponentialPeak { peak: 4.0, exponent: 4.0 };

fn flow(highest: usize, seed: u64) -> Run<f64> {
    fill(FLOW, &padded(&[highest; 3], &[CIRCLE; 3], 2, false), PEAK, seed)
}

fn fill(text: &str, domain: &Domain, spectrum: Spectrum, seed: u64) -> Run<f64> {
    let mut run = Run::<f64>::new(&input(text), domain);
    let fields = run.state.len();
    let (chosen, means) = (vec![true; fields], vec![0.0; fields]);
    let recipe = Random { spectrum, amplitude: 2.0, chosen: &chosen, means: &means, seed };
    let Run { equation, transform, state, .. } = &mut run;
    random(&recipe, equation.as_ref(), transform, state);
    run
}

#[test]
fn a_mode_has_the_same_bits_at_any_resolution_and_other_bits_under_another_seed() {
    let (coarse, fine, other) = (flow(5, 1), flow(9, 1), flow(5, 2));
    let axes = |run: &Run<f64>| run.transform.domain().axes.clone();
    let (few, many) = (axes(&coarse), axes(&fine));
    let [_, n1, n2] = coarse.transform.domain().modes();
    let [_, m1, m2] = fine.transform.domain().modes();
    let mut different = 0;
    for i in 0..coarse.state.modes() {
        let index = [i / (n1 * n2), i / n2 % n1, i % n2];
        let there: Vec<usize> = (0..3).map(|a| many[a].index(few[a].number(index[a])).unwrap()).collect();
        let j = (there[0] * m1 + there[1]) * m2 + there[2];
        for f in 0..3 {
            assert_eq!(coarse.state.arrays[f][i], fine.state.arrays[f][j], "field {f}, mode {index:?}");
            different += usize::from(coarse.state.arrays[f][i] != other.state.arrays[f][i]);
        }
    }
    // A component is zero, whatever the seed, along its own axis.
    assert!(different > 2 * coarse.state.modes());
}

#[test]
fn random_fields_are_real_so_that_going_to_the_grid_and_back_changes_nothing() {
    let mut run = flow(6, 3);
    let grids = run.values();
    let before = run.state.clone();
    let team = crate::team::Solo;
    let views: Vec<&[f64]> = grids.iter().map(Vec::as_slice).collect();
    run.transform.forward(&team, &views, &mut run.state.views_mut());
    for (a, b) in before.arrays.iter().flatten().zip(run.state.arrays.iter().flatten()) {
        assert!((a - b).norm() < 1e-15, "{a} {b}");
    }
}

#[test]
fn random_flow_has_no_divergence_and_the_asked_energy() {
    let run = flow(16, 4);
    let mut shells = vec![0.0; 17];
    let mut divergence = 0.0f64;
    run.each_mode(|i, k, weight, _| {
        let u: Vec<_> = (0..3).map(|f| run.state.arrays[f][i]).collect();
        divergence = divergence.max((u[0] * k[0] + u[1] * k[1] + u[2] * k[2]).norm());
        let shell = (k[0] * k[0] + k[1] * k[1] + k[2] * k[2]).sqrt().round() as usize;
        if shell < shells.len() {
            shells[shell] += weight * u.iter().map(|u| u.norm_sqr()).sum::<f64>();
        }
    });
    assert!(divergence < 1e-15, "{divergence:e}");
    // Shells of a lattice hold a few per cent more or less modes than 4πκ².
    let total: f64 = shells.iter().sum();
    assert!((total / 4.0 - 1.0).abs() < 0.02, "mean square {total} for an amplitude of 2");
    for (kappa, energy) in shells.iter().enumerate().take(9).skip(3) {
        let expected = 4.0 * PEAK.density(kappa as f64);
        assert!((energy / expected - 1.0).abs() < 0.2, "shell {kappa}: {energy} for {expected}");
    }
}

#[test]
fn every_spectrum_integrates_to_one_and_has_its_peak_where_it_says() {
    let spectra = [
        Spectrum::PowerLaw { exponent: 5.0 / 3.0, lowest: 1.0, highest: 30.0 },
        Spectrum::PowerLaw { exponent: 1.0, lowest: 0.5, highest: 30.0 },
        PEAK,
        Spectrum::ExponentialPeak { peak: 2.0, exponent: 1.5 },
        // Parts of the formula overflow, or underflow.
        Spectrum::ExponentialPeak { peak: 2.0, exponent: 290.0 },
        Spectrum::ExponentialPeak { peak: 2.0, exponent: 500.0 },
        Spectrum::VonKarman { peak: 3.0 },
    ];
    for spectrum in spectra {
        // The midpoint rule in ln κ; the power law's jumps cost it a step.
        let n = 400_000;
        let (low, high) = (1e-4f64.ln(), 1e7f64.ln());
        let width = (high - low) / n as f64;
        let kappa = |i: usize| (low + width * (i as f64 + 0.5)).exp();
        let total: f64 = (0..n).map(|i| kappa(i) * spectrum.density(kappa(i)) * width).sum();
        assert!((total - 1.0).abs() < 2e-4, "{spectrum:?}: {total}");
        if let Spectrum::ExponentialPeak { peak, .. } | Spectrum::VonKarman { peak } = spectrum {
            for off in [0.97, 1.03] {
                assert!(spectrum.density(peak) > spectrum.density(peak * off), "{spectrum:?}");
            }
        }
    }
}

#[test]
fn random_complex_fields_need_no_symmetry_and_have_the_asked_mean_square() {
    let text = "kind = 'nonlinear_schroedinger'";
    let domain = padded(&[64], &[CIRCLE], 1, true);
    let run = fill(text, &domain, Spectrum::PowerLaw { exponent: 0.0, lowest: 0.5, highest: 40.5 }, 7);
    let axis = &run.transform.domain().axes[2];
    let at = |k: i64| run.state.arrays[0][axis.index(k).unwrap()];
    assert!((at(3) - at(-3).conj()).norm() > 1e-3);
    let total: f64 = run.state.arrays[0].iter().map(|z| z.norm_sqr()).sum();
    assert!((total - 4.0).abs() < 1e-12, "{total}");
}

#[test]
fn axes_of_one_point_do_not_change_the_size_of_a_random_field() {
    let spectrum = Spectrum::ExponentialPeak { peak: 1.0, exponent: 4.0 };
    let size = |highest: &[usize], lengths: &[f64]| {
        let run = fill("kind = 'fisher_kpp'", &padded(highest, lengths, 2, false), spectrum, 3);
        let mut total = 0.0;
        run.each_mode(|i, _, weight, _| total += weight * run.state.arrays[0][i].norm_sqr());
        total
    };
    let boxes: [(&[usize], &[f64]); 6] = [
        (&[170], &[50.0]),
        (&[0, 170], &[200.0, 50.0]),
        (&[0, 170], &[0.1, 50.0]),
        (&[170, 0], &[50.0, 200.0]),
        (&[0, 0, 170], &[3.0, 200.0, 50.0]),
        (&[0, 170, 0], &[3.0, 50.0, 200.0]),
    ];
    for (highest, lengths) in boxes {
        let total = size(highest, lengths);
        assert!((total - 4.0).abs() < 1e-6, "{lengths:?}: mean square {total} for an amplitude of 2");
    }
    // In two dimensions that vary, whatever the third.
    let flat = size(&[24, 24], &[30.0, 30.0]);
    for (highest, lengths) in [([0, 24, 24], [7.0, 30.0, 30.0]), ([24, 24, 0], [30.0, 30.0, 7.0])] {
        let total = size(&highest, &lengths);
        assert!((total - flat).abs() < 1e-12, "{lengths:?}: {total}, {flat}");
    }
}

#[test]
fn a_spectrum_fits_a_box_where_some_kept_mode_has_a_part_in_it() {
    let boxes: [(&[usize], &[f64]); 5] = [
        (&[9], &[5.0]),
        (&[6, 4], &[CIRCLE, 5.0]),
        (&[0, 7], &[3.0, 5.0]),
        (&[7, 0], &[5.0, 3.0]),
        (&[3, 2, 4], &[4.0, 9.0, 5.0]),
    ];
    let (mut good, mut bad) = (0, 0);
    for (highest, lengths) in boxes {
        let domain = padded(highest, lengths, 2, false);
        let bands = (1..400).map(|n| 0.03 * f64::from(n)).map(|lowest| {
            let highest = lowest * 1.02;
            Spectrum::PowerLaw { exponent: 1.0, lowest, highest }
        });
        let peaks = (-30..30).map(|n| Spectrum::ExponentialPeak { peak: 1.4f64.powi(n), exponent: 40.0 });
        for spectrum in bands.chain(peaks) {
            let run = fill("kind = 'fisher_kpp'", &domain, spectrum, 3);
            let kept = run.state.arrays[0].iter().any(|z| z.norm() > 0.0);
            // Densities so small that their roots are told from zero by nothing else are left alone.
            let mut most = 0.0f64;
            run.each_mode(|_, k, _, _| {
                let size = libm::sqrt(k.iter().map(|k| k * k).sum());
                most = most.max(if size > 0.0 { spectrum.density(size) } else { 0.0 });
            });
            if most > 0.0 && most < 1e-290 {
                continue;
            }
            assert_eq!(spectrum.fits(&domain).is_ok(), kept, "{spectrum:?} in {lengths:?}");
            if kept { good += 1 } else { bad += 1 }
        }
    }
    assert!(good > 100 && bad > 100, "{good} {bad}");
    // Where nothing varies only the mean is kept.
    assert!(PEAK.fits(&padded(&[0, 0], &[1.0, 1.0], 1, false)).is_err());
}

#[test]
fn directions_do_not_depend_on_the_length_of_an_axis_of_one_point() {
    let of = |lengths: [f64; 2]| {
        let run = Run::<f64>::new(&input("kind = 'fisher_kpp'"), &padded(&[0, 12], &lengths, 2, false));
        directions(5, 2, run.equation.as_ref(), &run.transform)
    };
    assert_eq!(of([1.0, 10.0]), of([500.0, 10.0]));
}

#[test]
fn the_ends_of_a_power_law_hold_the_wavenumbers_there_whatever_their_rounding() {
    // 2π/(2π/25) is 24.999999999999996.
    let k = CIRCLE / (CIRCLE / 25.0);
    for (lowest, highest) in [(25.0, 26.0), (24.0, 25.0), (k, 26.0), (24.0, k)] {
        assert!(Spectrum::PowerLaw { exponent: 1.0, lowest, highest }.density(k) > 0.0, "{lowest} to {highest}");
    }
    assert_eq!(Spectrum::PowerLaw { exponent: 1.0, lowest: 25.0001, highest: 26.0 }.density(k), 0.0);
}

#[test]
fn every_periodic_input_builds_its_equation_and_finds_its_initial_condition() {
    use crate::solvers::spectral::equations::EquationInput;
    use crate::solvers::spectral::initial::InitialInput;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/spectral");
    let mut kinds = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(input) = toml::from_str::<toml::Table>(&text) else { panic!("{path:?} is not TOML") };
        let problem = input["problem"].as_table().unwrap();
        // Written equations and those between walls are not ours.
        let Ok(equation) = problem["equation"].clone().try_into::<EquationInput>() else { continue };
        kinds.insert(equation.about().word);
        let dimension = problem["points"].as_array().unwrap().len();
        let domain = padded(&vec![3; dimension], &vec![20.0; dimension], 3, equation.about().complex);
        equation.build::<f64>(&domain).err().map(|e| panic!("{path:?}: {e:?}"));
        match problem["initial"].clone().try_into::<InitialInput>() {
            Ok(InitialInput::Named { name, parameters }) => {
                equation.initial(name.as_deref(), &parameters, &domain).err().map(|e| panic!("{path:?}: {e:?}"));
            }
            Ok(InitialInput::Random { spectrum, .. }) => spectrum.check().unwrap(),
            Ok(InitialInput::Expressions { .. } | InitialInput::File { .. } | InitialInput::Grid(_)) | Err(_) => {}
        }
    }
    let all: Vec<&str> = crate::solvers::spectral::equations::ALL.iter().map(|a| a.word).collect();
    for word in &all {
        assert!(kinds.contains(word), "no input shows {word}");
    }
}
