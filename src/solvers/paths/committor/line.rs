//! One coordinate: the committor is an integral, q(x) = ∫_a^x e^{V/D} / ∫_a^b e^{V/D} between the sets' edges a and b.

use super::Solved;
use crate::math::elementary::exp;

/// Nodes and weights of Gauss's rule of five points on [0, 1].
const GAUSS: [(f64, f64); 5] = [
    (0.046910077030668, 0.118463442528094545),
    (0.230765344947158454, 0.239314335249683234),
    (0.5, 0.284444444444444444),
    (0.769234655052841546, 0.239314335249683234),
    (0.953089922969332, 0.118463442528094545),
];

fn integral(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    GAUSS.iter().map(|(x, w)| w * f(from + x * (to - from))).sum::<f64>() * (to - from)
}

/// On `cells` cells from `low` to `high`: q at their ends, and the rates. `a` and `b` are the edges of the sets that face
/// each other, `v` the potential, `d` the diffusion coefficient.
pub fn solve(v: &dyn Fn(f64) -> f64, d: f64, (a, b): (f64, f64), (low, high): (f64, f64), cells: usize) -> Solved {
    let at = |i: usize| low + (high - low) * i as f64 / cells as f64;
    let levels: Vec<f64> = (0..=cells).map(|i| v(at(i))).collect();
    let deepest = levels.iter().copied().fold(f64::INFINITY, f64::min);
    let (left, right) = (a.min(b), a.max(b));
    let inside = |x: f64| x.clamp(left, right);
    let highest = (0..=cells).map(|i| v(inside(at(i)))).fold(f64::NEG_INFINITY, f64::max);
    let up = |x: f64| exp((v(x) - highest) / d);
    let down = |x: f64| exp((deepest - v(x)) / d);
    // ∫ e^{V/D} from the left edge to the ends of the cells.
    let mut sums = vec![0.0; cells + 1];
    for i in 0..cells {
        sums[i + 1] = sums[i] + integral(inside(at(i)), inside(at(i + 1)), up);
    }
    let barrier = sums[cells];
    let share = |s: f64| if a < b { s / barrier } else { 1.0 - s / barrier };
    let (mut mass, mut before) = (0.0, 0.0);
    for i in 0..cells {
        // The density has no kink, q has one at the edges: cells are cut there.
        let mut ends = vec![at(i), at(i + 1)];
        ends.extend([left, right].into_iter().filter(|e| at(i) < *e && *e < at(i + 1)));
        ends.sort_by(f64::total_cmp);
        for pair in ends.windows(2) {
            mass += integral(pair[0], pair[1], down);
            before += integral(pair[0], pair[1], |x| {
                let q = share(sums[i] + integral(inside(at(i)), inside(x), up));
                down(x) * (1.0 - q)
            });
        }
    }
    let flux = d * exp((deepest - highest) / d) / (mass * barrier);
    Solved {
        q: sums.into_iter().map(share).collect(),
        flux,
        rate: flux * mass / before,
        back: flux * mass / (mass - before),
        iterations: 1,
    }
}
