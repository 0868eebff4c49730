//! The fast transform against its slow twin, on ranks and threads.

use std::sync::Mutex;

use num_complex::Complex;

use super::*;
use crate::math::real::Real;
use crate::observe::timings::Metered;
use crate::solvers::spectral::domain::{Axis, Basis, Tile};
use crate::team::{Solo, threads};

fn axis(basis: Basis, points: usize, highest: usize) -> Axis {
    let sawtooth = basis == Basis::Fourier && 2 * highest == points;
    Axis { basis, points, highest, sawtooth, ..Axis::trivial() }
}

/// Axes of (points, highest kept mode); the last one is halved for real fields.
fn domain(axes: &[(usize, usize)], complex: bool) -> Domain {
    let last = axes.len() - 1;
    let basis = |a| if a == last && !complex { Basis::HalfFourier } else { Basis::Fourier };
    Domain::new(axes.iter().enumerate().map(|(a, &(n, k))| axis(basis(a), n, k)).collect(), complex)
}

/// A number in (−1, 1) that depends on the place only.
fn noise(i: usize, stream: usize) -> f64 {
    let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (stream as u64) << 56;
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// The part of a whole array of `width` numbers per item that a block holds.
fn part<V: Copy>(whole: &[V], counts: [usize; 3], block: Block, width: usize) -> Vec<V> {
    let mut mine = Vec::with_capacity(block.len() * width);
    for i in 0..block.count[0] {
        for j in 0..block.count[1] {
            let row = (block.start[0] + i) * counts[1] + block.start[1] + j;
            let first = (row * counts[2] + block.start[2]) * width;
            mine.extend_from_slice(&whole[first..first + block.count[2] * width]);
        }
    }
    mine
}

/// The whole array, from what every rank holds.
fn whole<V: Copy + Default>(parts: &[(Block, Vec<V>)], counts: [usize; 3], width: usize) -> Vec<V> {
    let mut all = vec![V::default(); counts.iter().product::<usize>() * width];
    let mut held = 0;
    for (block, mine) in parts {
        held += block.len();
        assert_eq!(mine.len(), block.len() * width);
        for (r, row) in mine.chunks(block.count[2].max(1) * width).enumerate() {
            let (i, j) = (r / block.count[1], r % block.count[1]);
            let row_at = (block.start[0] + i) * counts[1] + block.start[1] + j;
            let first = (row_at * counts[2] + block.start[2]) * width;
            all[first..first + row.len()].copy_from_slice(row);
        }
    }
    assert_eq!(held, counts.iter().product::<usize>(), "every item has one owner");
    all
}

/// Products of two fields: their product and the square of the first; needs nothing but the values at a point.
fn multiply<T: Real>(tile: &Tile, values: &[&[T]], out: &mut [&mut [T]]) {
    assert_eq!(values[0].len() % tile.len(), 0);
    for i in 0..values[0].len() {
        out[0][i] = values[0][i] * values[1][i];
        out[1][i] = values[0][i] * values[0][i];
        out[2][i] = values[1][i] - values[0][i];
    }
}

fn settings(process_grid: Option<ProcessGrid>) -> Settings {
    Settings { process_grid, level: Level::detect(), ranks_per_node: 4, share: false }
}

fn work<T: Real>(
    transform: &mut dyn Transform<T>,
    team: &dyn Team,
    fields: &[Vec<Complex<T>>],
) -> [Vec<Vec<Complex<T>>>; 2]
where
    Complex<T>: Default,
{
    let domain = transform.domain().clone();
    let (modes, points) = (transform.modes(), transform.points());
    let mine: Vec<Vec<Complex<T>>> = fields.iter().map(|f| part(f, domain.modes(), modes, 1)).collect();
    let inputs: Vec<&[Complex<T>]> = mine.iter().map(Vec::as_slice).collect();
    let zero = Complex::new(T::zero(), T::zero());
    let mut values = vec![vec![T::zero(); points.len() * domain.reals()]; 2];
    let mut back = vec![vec![zero; modes.len()]; 2];
    let mut through = vec![vec![zero; modes.len()]; 3];
    // Twice, so that buffers are used again.
    for _ in 0..2 {
        transform.backward(team, &inputs, &mut values.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let given: Vec<&[T]> = values.iter().map(Vec::as_slice).collect();
        transform.forward(team, &given, &mut back.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let mut outputs: Vec<&mut [Complex<T>]> = through.iter_mut().map(Vec::as_mut_slice).collect();
        transform.through(team, &inputs, &|t, v, o| multiply(t, v, o), &mut outputs);
    }
    // Taken as they come, they are the same, each mode once; and so are those of arrays left for the grid meanwhile.
    let asked = if transform.takes_at_once(3, 2) { &[2, 0][..] } else { &[] };
    let mut sent = Inputs::Coefficients(&inputs);
    for &next in asked {
        let taken = Mutex::new(vec![vec![None; modes.len()]; 3]);
        let then = |tile: &Tile, at: Range<usize>, slices: &mut [&mut [Complex<T>]], work: &mut [&mut [Complex<T>]]| {
            let [_, rows, columns] = modes.count;
            let first = [at.start / (rows * columns), at.start / columns % rows, at.start % columns];
            assert_eq!(tile.start, std::array::from_fn(|a| modes.start[a] + first[a]));
            assert_eq!(tile.len(), at.len());
            assert_eq!(tile.columns[0], domain.axes[2].wavenumber(tile.start[2]));
            assert!(work.iter().map(|w| w.len()).eq([at.len()]));
            work[0].fill(Complex::new(T::of(f64::NAN), zero.im));
            let mut taken = taken.lock().unwrap();
            for (all, product) in taken.iter_mut().zip(&*slices) {
                let places = all[at.clone()].iter_mut().zip(&**product);
                places.for_each(|(place, z)| assert!(place.replace(*z).is_none(), "taken twice"));
            }
            for (left, input) in slices[..next].iter_mut().zip(&inputs) {
                left.copy_from_slice(&input[at.clone()]);
            }
        };
        transform.through_then(team, sent, &|t, v, o| multiply(t, v, o), Counts { outputs: 3, next, work: 1 }, &then);
        for (taken, through) in taken.into_inner().unwrap().iter().zip(&through) {
            assert!(taken.iter().zip(through).all(|(t, z)| *t == Some(*z)), "taken and kept differ");
        }
        sent = Inputs::Left(2);
    }
    // Fused is the same as one after the other, to the last bit.
    let scales = Scales::coordinates(&domain, points);
    let mut products = vec![vec![T::zero(); points.len() * domain.reals()]; 3];
    for (tile, at) in scales.tiles(64) {
        let at = at.start * domain.reals()..at.end * domain.reals();
        let ins: Vec<&[T]> = values.iter().map(|v| &v[at.clone()]).collect();
        let mut outs: Vec<&mut [T]> = products.iter_mut().map(|p| &mut p[at.clone()]).collect();
        multiply(&tile, &ins, &mut outs);
    }
    let mut apart = vec![vec![zero; modes.len()]; 3];
    let given: Vec<&[T]> = products.iter().map(Vec::as_slice).collect();
    transform.forward(team, &given, &mut apart.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
    assert!(apart == through, "through and its parts differ");
    let pairs = values.into_iter().map(|v| v.into_iter().map(|x| Complex::new(x, T::zero())).collect()).collect();
    back.extend(through);
    [pairs, back]
}

/// On `ranks` ranks of threads, put together.
fn on_ranks<T: Real>(
    domain: &Domain,
    ranks: usize,
    settings: Settings,
    fields: &[Vec<Complex<T>>],
) -> [Vec<Vec<Complex<T>>>; 2]
where
    Complex<T>: Default,
{
    let all = threads::run(ranks, |team| {
        let mut transform = Distributed::<T>::new(domain, team, settings).unwrap();
        assert_eq!(transform.is_shared(), settings.share && transform.process_grid() != [1, 1]);
        let found = work(&mut transform, team, fields);
        (transform.points(), transform.modes(), found)
    });
    let gather = |which: usize, counts: [usize; 3], width: usize| {
        (0..all[0].2[which].len())
            .map(|f| {
                let parts: Vec<_> = all
                    .iter()
                    .map(|(points, modes, found)| (if which == 0 { *points } else { *modes }, found[which][f].clone()))
                    .collect();
                whole(&parts, counts, width)
            })
            .collect()
    };
    [gather(0, domain.points(), domain.reals()), gather(1, domain.modes(), 1)]
}

fn random_fields<T: Real>(domain: &Domain, fields: usize) -> Vec<Vec<Complex<T>>> {
    let modes = domain.modes().iter().product();
    (0..fields)
        .map(|f| (0..modes).map(|i| Complex::new(T::of(noise(i, 2 * f)), T::of(noise(i, 2 * f + 1)))).collect())
        .collect()
}

fn distance<T: Real>(a: &[Complex<T>], b: &[Complex<T>]) -> f64 {
    let size = |x: f64, y: f64| x * x + y * y;
    let norm: f64 = b.iter().map(|z| size(z.re.to_f64(), z.im.to_f64())).sum();
    let off: f64 = a.iter().zip(b).map(|(a, b)| size((a.re - b.re).to_f64(), (a.im - b.im).to_f64())).sum();
    (off / norm.max(1e-300)).sqrt()
}

/// Equal to the reference to rounding on one rank, and the same bits on all others.
fn everywhere<T: Real>(domain: &Domain, ranks: &[(usize, Option<ProcessGrid>)], bound: f64)
where
    Complex<T>: Default,
{
    let fields = random_fields::<T>(domain, 2);
    let one = on_ranks::<T>(domain, 1, settings(None), &fields);
    let mut reference = Reference::<T>::new(domain);
    let expected = work(&mut reference, &Solo, &fields);
    for (a, b) in one.iter().flatten().zip(expected.iter().flatten()) {
        let off = distance(a, b);
        assert!(off < bound, "{:?}: {off:e} from the reference", domain.points());
    }
    for &(ranks, grid) in ranks {
        for settings in [settings(grid), Settings { share: true, ..settings(grid) }] {
            let same = on_ranks(domain, ranks, settings, &fields) == one;
            assert!(same, "{:?} on {ranks} ranks, {settings:?}", domain.points());
        }
    }
}

#[test]
fn a_grid_of_37_by_53_has_the_same_bits_on_1_to_7_ranks() {
    let ranks: Vec<_> = (2..=7).map(|r| (r, None)).collect();
    everywhere::<f64>(&domain(&[(37, 12), (53, 17)], false), &ranks, 1e-14);
    everywhere::<f32>(&domain(&[(37, 18), (53, 26)], false), &ranks, 1e-5);
    everywhere::<f64>(&domain(&[(37, 18), (53, 20)], true), &ranks, 1e-14);
}

#[test]
fn a_grid_of_96_by_80_by_63_has_the_same_bits_in_slabs_and_pencils() {
    let grids = [(2, None), (3, Some([3, 1])), (4, Some([2, 2])), (5, Some([1, 5])), (6, Some([2, 3])), (7, None)];
    everywhere::<f64>(&domain(&[(96, 31), (80, 26), (63, 20)], false), &grids, 1e-14);
}

#[test]
fn small_awkward_grids_agree_in_both_precisions_real_and_complex() {
    let grids = [(2, Some([1, 2])), (3, Some([3, 1])), (4, Some([2, 2])), (6, Some([3, 2])), (7, None)];
    for axes in
        [[(5, 2), (7, 3), (9, 4)], [(8, 2), (6, 1), (16, 5)], [(3, 1), (12, 3), (10, 0)], [(12, 6), (10, 5), (8, 4)]]
    {
        everywhere::<f64>(&domain(&axes, false), &grids, 1e-14);
        everywhere::<f32>(&domain(&axes, false), &grids, 1e-5);
        everywhere::<f64>(&domain(&axes, true), &grids, 1e-14);
        everywhere::<f32>(&domain(&axes, true), &grids[2..4], 1e-5);
    }
}

#[test]
fn lines_of_any_length_agree_and_lie_on_rank_0() {
    for n in (1..=40).chain([64, 81, 100, 127, 128, 243, 1000]) {
        for highest in [0, (n - 1) / 3, (n - 1) / 2, n / 2] {
            everywhere::<f64>(&domain(&[(n, highest)], false), &[(3, None)], 1e-14);
            everywhere::<f64>(&domain(&[(n, highest)], true), &[(2, None)], 1e-14);
        }
    }
}

#[test]
fn a_line_of_more_than_2_to_the_22_points_is_shared_with_the_bits_of_one_rank() {
    // 4 199 040 = 2⁷ 3⁸ 5; only a few modes, or comparing takes longer than transforming.
    let domain = domain(&[(4_199_040, 2_000)], false);
    let fields = random_fields::<f64>(&domain, 1);
    let run = |ranks: usize| {
        let parts = threads::run(ranks, |team| {
            let mut transform = Distributed::<f64>::new(&domain, team, settings(None)).unwrap();
            assert_eq!(transform.process_grid(), [1, ranks]);
            let mine = part(&fields[0], domain.modes(), transform.modes(), 1);
            let mut values = vec![0.0; transform.points().len()];
            let mut back = vec![Complex::new(0.0, 0.0); mine.len()];
            transform.backward(team, &[&mine], &mut [&mut values]);
            transform.forward(team, &[&values], &mut [&mut back]);
            ((transform.points(), values), (transform.modes(), back))
        });
        let (values, back): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (whole(&values, domain.points(), 1), whole(&back, domain.modes(), 1))
    };
    let (values, back) = run(1);
    let mut real = fields[0].clone();
    real[0].im = 0.0;
    assert!(distance(&back, &real) < 1e-14, "{:e}", distance(&back, &real));
    let sum = |i: usize| -> f64 {
        let angle = |k: usize| std::f64::consts::TAU * (k * i % 4_199_040) as f64 / 4_199_040.0;
        let term = |(k, z): (usize, &Complex<f64>)| {
            if k == 0 { z.re } else { 2.0 * (z * Complex::from_polar(1.0, angle(k))).re }
        };
        real.iter().enumerate().map(term).sum()
    };
    for i in [0, 1, 17, 65_536, 2_099_520, 4_199_039] {
        assert!((values[i] - sum(i)).abs() < 1e-11, "{} and {}", values[i], sum(i));
    }
    for ranks in [2, 5] {
        assert!(run(ranks) == (values.clone(), back.clone()), "{ranks} ranks");
    }
}

#[test]
fn the_number_of_threads_changes_no_bits() {
    for domain in [domain(&[(24, 7), (20, 6), (18, 5)], false), domain(&[(40, 13), (36, 11)], false)] {
        let fields = random_fields::<f64>(&domain, 2);
        let one = on_ranks(&domain, 1, settings(None), &fields);
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| {
                let mut transform = Distributed::<f64>::new(&domain, &Solo, settings(None)).unwrap();
                work(&mut transform, &Solo, &fields)
            });
            assert!(found == one, "{threads} threads");
        }
    }
}

#[test]
fn sums_of_squares_agree_and_a_round_trip_is_exact_to_rounding() {
    for axes in [vec![(64, 31), (48, 23), (32, 15)], vec![(60, 29), (54, 26)], vec![(1000, 499)]] {
        let domain = domain(&axes, false);
        let mut transform = Distributed::<f64>::new(&domain, &Solo, settings(None)).unwrap();
        let n = domain.points().iter().product::<usize>();
        // Without the saw-tooth modes: from random coefficients, made those of a real field by one round trip.
        let mut c = random_fields::<f64>(&domain, 1).remove(0);
        let mut values = vec![0.0; n];
        transform.backward(&Solo, &[&c], &mut [&mut values]);
        transform.forward(&Solo, &[&values], &mut [&mut c]);
        transform.backward(&Solo, &[&c], &mut [&mut values]);
        let mean = values.iter().map(|v| v * v).sum::<f64>() / n as f64;
        let last = domain.modes()[2];
        let weight = |i: usize| if i % last == 0 { 1.0 } else { 2.0 };
        let sum: f64 = c.iter().enumerate().map(|(i, z)| weight(i) * z.norm_sqr()).sum();
        assert!((sum / mean - 1.0).abs() < 1e-13, "{sum} and {mean}");
        let mut again = vec![0.0; n];
        transform.forward(&Solo, &[&values], &mut [&mut c]);
        transform.backward(&Solo, &[&c], &mut [&mut again]);
        let off = values.iter().zip(&again).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
            / values.iter().map(|v| v * v).sum::<f64>();
        assert!(off.sqrt() < 1e-16 * (n as f64).log2(), "{:e}", off.sqrt());
    }
}

#[test]
fn products_of_the_highest_modes_leave_no_image_among_the_kept() {
    // cos² Kx = (1 + cos 2Kx) / 2 with 2K not kept: all but the mean is zero to rounding when 3K < M.
    let domain = domain(&[(32, 10), (48, 15), (24, 7)], false);
    let modes = domain.modes();
    let mut transform = Distributed::<f64>::new(&domain, &Solo, settings(None)).unwrap();
    let zero = Complex::new(0.0, 0.0);
    let mut c = vec![zero; modes.iter().product()];
    let at = |k: [i64; 3]| {
        let i: [usize; 3] = std::array::from_fn(|a| domain.axes[a].index(k[a]).unwrap());
        (i[0] * modes[1] + i[1]) * modes[2] + i[2]
    };
    c[at([10, 15, 7])] = Complex::new(0.5, 0.0);
    let mut out = vec![zero; c.len()];
    let square = |_: &Tile, v: &[&[f64]], o: &mut [&mut [f64]]| o[0].iter_mut().zip(v[0]).for_each(|(o, v)| *o = v * v);
    transform.through(&Solo, &[&c], &square, &mut [&mut out]);
    assert!((out[0].re - 0.5).abs() < 1e-15);
    let rest = out[1..].iter().map(|z| z.norm()).fold(0.0, f64::max);
    assert!(rest < 1e-16, "{rest:e}");
}

#[test]
fn chebyshev_coefficients_are_those_of_the_polynomials_on_ascending_points() {
    for (axes, dimension) in
        [([(17, 16), (8, 3), (10, 4)], 3), ([(1, 0), (12, 9), (10, 4)], 2), ([(20, 12), (6, 2), (9, 3)], 3)]
    {
        let first = 3 - dimension;
        let list: Vec<Axis> = (first..3)
            .map(|a| {
                let basis = match a {
                    2 => Basis::HalfFourier,
                    a if a == first => Basis::Chebyshev,
                    _ => Basis::Fourier,
                };
                Axis { low: 0.5, length: 3.0, ..axis(basis, axes[a].0, axes[a].1) }
            })
            .collect();
        // As the transform takes it: in two dimensions the axis of one point comes first.
        let axes = [vec![Axis::trivial(); first], list].concat().try_into().unwrap();
        let domain = Domain { axes, dimension, complex: false };
        let (m, n) = (domain.modes(), domain.points());
        let mut fields = random_fields::<f64>(&domain, 2);
        // Real fields have real coefficients of the mean along the last axis here: one Fourier axis fewer to think of.
        let mut transform = Distributed::<f64>::new(&domain, &Solo, settings(None)).unwrap();
        let mut values = vec![0.0; n.iter().product()];
        for f in &mut fields {
            transform.backward(&Solo, &[f], &mut [&mut values]);
            transform.forward(&Solo, &[&values], &mut [f]);
        }
        transform.backward(&Solo, &[&fields[0]], &mut [&mut values]);
        // The sum itself, at every point.
        for i in 0..values.len() {
            let point = [i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]];
            let mut sum = 0.0;
            for (j, z) in fields[0].iter().enumerate() {
                let mode = [j / (m[1] * m[2]), j / m[2] % m[1], j % m[2]];
                let mut factor = Complex::new(if mode[2] == 0 { 1.0 } else { 2.0 }, 0.0);
                for a in first..3 {
                    let own = &domain.axes[a];
                    let x = (own.coordinate(point[a]) - own.low) / own.length;
                    factor *= match own.basis {
                        Basis::Chebyshev => {
                            // x_i = −cos θ_i, so T_j(x_i) = cos j(π − θ_i); acos(x_i) itself would lose digits.
                            let angle = std::f64::consts::PI * (1.0 - (point[a] as f64 + 0.5) / own.points as f64);
                            assert!((2.0 * x - 1.0 - angle.cos()).abs() < 1e-15);
                            Complex::new((mode[a] as f64 * angle).cos(), 0.0)
                        }
                        _ => Complex::from_polar(1.0, std::f64::consts::TAU * x * own.number(mode[a]) as f64),
                    };
                }
                sum += (factor * z).re;
            }
            assert!((sum - values[i]).abs() < 1e-12, "{sum} and {} at {point:?}", values[i]);
        }
        // Back to the same coefficients, and the same bits on ranks.
        let mut again = vec![Complex::new(0.0, 0.0); fields[0].len()];
        transform.forward(&Solo, &[&values], &mut [&mut again]);
        assert!(distance(&again, &fields[0]) < 1e-14);
        let one = on_ranks(&domain, 1, settings(None), &fields);
        for ranks in [2, 3, 5, 6] {
            assert!(on_ranks(&domain, ranks, settings(None), &fields) == one, "{ranks} ranks");
        }
    }
}

#[test]
fn what_is_sent_on_1_to_16_ranks_is_what_the_model_says() {
    for domain in [
        domain(&[(20, 6), (18, 5), (15, 4)], false),
        domain(&[(9, 4), (16, 5), (12, 3)], true),
        domain(&[(37, 12), (53, 17)], false),
        domain(&[(50, 10)], false),
    ] {
        for ranks in 1..=16 {
            threads::run(ranks, |team| {
                let metered = Metered::new(team);
                let mut transform = Distributed::<f64>::new(&domain, &metered, settings(None)).unwrap();
                let grid = transform.process_grid();
                let c = vec![Complex::new(1.0, 0.0); transform.modes().len()];
                let mut v = vec![0.0; transform.points().len() * domain.reals()];
                let mut out = c.clone();
                let sent = || Traffic { messages: metered.messages(), bytes: metered.sent().0 };
                let model = |direction| traffic(&domain, grid, team.rank(), direction, 16);
                assert_eq!(sent(), Traffic::default());
                transform.backward(&metered, &[&c], &mut [&mut v]);
                assert_eq!(sent(), model(Direction::Backward), "backward, rank {} of {grid:?}", team.rank());
                transform.forward(&metered, &[&v], &mut [&mut out]);
                let pair = model(Direction::Backward) + model(Direction::Forward);
                assert_eq!(sent(), pair, "forward, rank {} of {grid:?}", team.rank());
            });
        }
    }
}

#[test]
fn more_ranks_than_pencils_are_refused_with_the_limit() {
    let domain = domain(&[(4, 1), (5, 1), (6, 2)], false);
    assert_eq!(pencil_limit(&domain), [4, 5]);
    let network = Network::ordinary(4);
    let words = |ranks, given| process_grid(&domain, ranks, given, &network).unwrap_err().to_string();
    assert!(words(21, None).contains("at most 4 × 5 = 20 ranks"), "{}", words(21, None));
    assert!(words(12, Some([6, 2])).contains("at most 4 × 5 ranks"));
    assert!(words(3, Some([2, 2])).contains("product at most 3"));
    assert_eq!(process_grid(&domain, 20, None, &network).unwrap(), [4, 5]);
    assert_eq!(process_grid(&domain, 6, Some([3, 2]), &network).unwrap(), [3, 2]);
    // Slabs while they are enough; a factor inside the node beyond.
    let cube = self::domain(&[(64, 21), (64, 21), (64, 21)], false);
    assert_eq!(
        process_grid(&cube, 4, None, &network).unwrap()[0] * process_grid(&cube, 4, None, &network).unwrap()[1],
        4
    );
    let [p1, p2] = process_grid(&cube, 128, None, &Network::ordinary(16)).unwrap();
    assert!(p1 * p2 == 128 && p2 <= 16 && 16 % p2 == 0, "{p1} × {p2}");
}
