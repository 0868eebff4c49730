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

/// The share of what q gains in a cell from `low` to `high` that it has gained at `x`; `a` and `b` as in [`solve`].
pub fn share(v: &dyn Fn(f64) -> f64, d: f64, (a, b): (f64, f64), (low, high): (f64, f64), x: f64) -> f64 {
    let inside = |x: f64| x.clamp(a.min(b), a.max(b));
    let (low, high, x) = (inside(low), inside(high), inside(x));
    let highest = [low, x, high].map(v).into_iter().fold(f64::NEG_INFINITY, f64::max);
    let up = |x: f64| exp((v(x) - highest) / d);
    let whole = integral(low, high, up);
    if whole > 0.0 && whole.is_finite() { integral(low, x, up) / whole } else { 0.0 }
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
    // ∫ e^{V/D} from the left edge to the ends of the cells, and from there to the right edge: 1 − q would lose its digits
    // in a well near B, which may hold nearly all of the mass.
    let (mut sums, mut rest) = (vec![0.0; cells + 1], vec![0.0; cells + 1]);
    let each: Vec<f64> = (0..cells).map(|i| integral(inside(at(i)), inside(at(i + 1)), up)).collect();
    for i in 0..cells {
        sums[i + 1] = sums[i] + each[i];
    }
    for i in (0..cells).rev() {
        rest[i] = rest[i + 1] + each[i];
    }
    let barrier = sums[cells];
    let share = |s: f64| if a < b { s / barrier } else { 1.0 - s / barrier };
    let (mut mass, mut left_mass, mut right_mass) = (0.0, 0.0, 0.0);
    for i in 0..cells {
        // The density has no kink, q has one at the edges: cells are cut there.
        let mut ends = vec![at(i), at(i + 1)];
        ends.extend([left, right].into_iter().filter(|e| at(i) < *e && *e < at(i + 1)));
        ends.sort_by(f64::total_cmp);
        for pair in ends.windows(2) {
            mass += integral(pair[0], pair[1], down);
            let from_left = |x: f64| (sums[i] + integral(inside(at(i)), inside(x), up)) / barrier;
            let from_right = |x: f64| (rest[i + 1] + integral(inside(x), inside(at(i + 1)), up)) / barrier;
            left_mass += integral(pair[0], pair[1], |x| down(x) * from_right(x));
            right_mass += integral(pair[0], pair[1], |x| down(x) * from_left(x));
        }
    }
    let (before, after) = if a < b { (left_mass, right_mass) } else { (right_mass, left_mass) };
    let flux = d * exp((deepest - highest) / d) / (mass * barrier);
    Solved {
        q: sums.into_iter().map(share).collect(),
        flux,
        rate: flux * mass / before,
        back: flux * mass / after,
        iterations: 1,
    }
}
