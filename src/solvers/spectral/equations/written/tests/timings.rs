//! The pointwise work of a written equation against loops written by hand.

use std::time::Instant;

use super::*;

/// −∇·(uu) + Δu in three dimensions by hand: five products, the trace left to the pressure.
struct ByHand;

impl ByHand {
    fn multiply(values: &[&[f64]], out: &mut [&mut [f64]]) {
        let [u, v, w] = [values[0], values[1], values[2]];
        let n = u.len();
        let [a, b, c, d, e] = out else { unreachable!("five products") };
        for i in 0..n.min(v.len()).min(w.len()) {
            let (x, y, z) = (u[i], v[i], w[i]);
            (a[i], b[i], c[i], d[i], e[i]) = (x * x - z * z, y * y - z * z, x * y, x * z, y * z);
        }
    }

    fn assemble(tile: &Tile, p: &[&[Complex<f64>]], out: &mut [&mut [Complex<f64>]]) {
        let i = Complex::new(0.0, 1.0);
        tile.for_each(|at, [k, l, m]| {
            let [a, b, c, d, e] = [p[0][at], p[1][at], p[2][at], p[3][at], p[4][at]];
            let n = [a * k + c * l + d * m, c * k + b * l + e * m, d * k + e * l];
            let square = k * k + l * l + m * m;
            let pressure = (n[0] * k + n[1] * l + n[2] * m) * if square == 0.0 { 0.0 } else { 1.0 / square };
            for (out, (n, k)) in out.iter_mut().zip(n.into_iter().zip([k, l, m])) {
                out[at] = -i * (n - pressure * k);
            }
        });
    }
}

/// Seconds of the fastest of several calls.
fn fastest(mut act: impl FnMut()) -> f64 {
    let times = (0..15).map(|_| {
        let start = Instant::now();
        act();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Run alone: cargo test --release --lib -- --ignored --nocapture loops_by_hand
#[test]
#[ignore = "timing"]
fn a_written_equation_costs_at_most_half_more_than_loops_by_hand() {
    let domain = domain(&[21, 21, 21], 2, false);
    let equation = input(&flow(UVW, "-dot(u, grad(u)) + nu*lap(u)")).compile::<f64>(&domain).unwrap();
    assert_eq!(Equation::<f64>::rounds(&equation), [Round { backward: 3, forward: 5 }]);
    let count = |n: [usize; 3]| n.iter().product::<usize>();
    let (modes, points) = (count(domain.modes()), count(domain.points()));
    let wave = |i: usize| (i as f64 * 0.7).sin();
    let state: Vec<Vec<Complex<f64>>> =
        (0..5).map(|f| (0..modes).map(|i| Complex::new(wave(i + 3 * f), wave(2 * i + f))).collect()).collect();
    let values: Vec<Vec<f64>> = (0..3).map(|f| (0..points).map(|i| wave(i + f)).collect()).collect();
    let mut grids = vec![vec![0.0; points]; 5];
    let mut sums = vec![vec![Complex::new(0.0, 0.0); modes]; 3];
    let block = |count| crate::solvers::spectral::domain::Block { start: [0; 3], count };
    let waves = Scales::wavenumbers(&domain, block(domain.modes()));
    let places = Scales::coordinates(&domain, block(domain.points()));
    let mut on_grid = |act: &dyn Fn(&Tile, &[&[f64]], &mut [&mut [f64]])| {
        fastest(|| {
            for (tile, at) in places.tiles(2048) {
                let values: Vec<&[f64]> = values.iter().map(|v| &v[at.clone()]).collect();
                let mut out: Vec<&mut [f64]> = grids.iter_mut().map(|g| &mut g[at.clone()]).collect();
                act(&tile, &values, &mut out);
            }
        })
    };
    let written = on_grid(&|tile, values, out| equation.multiply(0, 0.0, tile, values, out));
    let by_hand = on_grid(&|_, values, out| ByHand::multiply(values, out));
    let mut in_waves = |act: &dyn Fn(&Tile, &[&[Complex<f64>]], &mut [&mut [Complex<f64>]])| {
        let time = fastest(|| {
            for (tile, at) in waves.tiles(2048) {
                let state: Vec<&[Complex<f64>]> = state.iter().map(|v| &v[at.clone()]).collect();
                let mut out: Vec<&mut [Complex<f64>]> = sums.iter_mut().map(|g| &mut g[at.clone()]).collect();
                act(&tile, &state, &mut out);
            }
        });
        (time, sums.clone())
    };
    let derive = in_waves(&|tile, state, out| equation.derive(0, 0.0, tile, &state[..3], &[], out)).0;
    let (assemble, found) = in_waves(&|tile, state, out| equation.assemble(0.0, tile, &[], state, out));
    let order = in_waves(&|tile, state, out| ByHand::assemble(tile, state, out));
    let ns = |seconds: f64, n: usize| seconds / n as f64 * 1e9;
    println!("products: {:.2} ns a point, by hand {:.2}", ns(written, points), ns(by_hand, points));
    println!("assembly: {:.2} ns a mode, by hand {:.2}", ns(assemble, modes), ns(order.0, modes));
    println!("arrays for the grid: {:.2} ns a mode", ns(derive, modes));
    println!("all: {:.2} ms, by hand {:.2} ms", (written + assemble) * 1e3, (by_hand + order.0) * 1e3);
    assert!(found.iter().flatten().all(|z| z.norm().is_finite()));
    assert!(written + assemble < 1.5 * (by_hand + order.0));
}
