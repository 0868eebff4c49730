//! The learned part of a twist: Gaussian features on a grid of centres and a constant, fitted backwards in time.

mod fit;

pub use fit::{Fit, accumulate, fit};

use super::chain::{Chain, LANES};
use crate::enter;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;

/// Products over the coordinates of exp(−½ ((x − centre)/width)²), centres on a grid, and a constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    low: Vec<f64>,
    width: Vec<f64>,
    each: usize,
    level: Level,
}

/// Features of all coordinates together, at most.
const MOST: usize = 1024;

impl Features {
    /// `each` centres per coordinate from `low` to `high`, as wide as they are apart.
    ///
    /// # Errors
    /// (key, message).
    pub fn new(
        low: &[f64],
        high: &[f64],
        each: usize,
        chain: &Chain,
    ) -> std::result::Result<Features, (&'static str, String)> {
        let d = chain.dimension;
        for (key, list) in [("low", low), ("high", high)] {
            if list.len() != d {
                return Err((key, format!("has {} coordinates; the start has {d}", list.len())));
            }
        }
        if let Some(i) = (0..d).find(|&i| !(low[i] < high[i])) {
            return Err(("high", format!("must be above low = {}, not {}", low[i], high[i])));
        }
        if each.checked_pow(d as u32).is_none_or(|n| n > MOST) {
            let message = format!("{each} per coordinate make more than {MOST} in {d} coordinates");
            return Err(("features", message));
        }
        let width = low.iter().zip(high).map(|(a, b)| (b - a) / (each - 1) as f64).collect();
        Ok(Features { low: low.to_vec(), width, each, level: chain.level })
    }

    pub fn count(&self) -> usize {
        self.each.pow(self.low.len() as u32) + 1
    }

    /// Numbers of a fit at one time: coefficients, and the least and the largest value that it saw. Where there were no
    /// paths a sum of features may be anything; values beyond those bounds are cut.
    pub fn held(&self) -> usize {
        self.count() + 2
    }

    /// Spacing of the centres per coordinate.
    pub fn widths(&self) -> &[f64] {
        &self.width
    }

    /// out[coordinate][centre][LANES]: factors, and slopes of their logarithms.
    fn factors(&self, x: &[f64], out: &mut [f64], slopes: &mut [f64]) {
        let each = self.each;
        enter!(self.level, S => {
            for (i, x) in x.chunks_exact(LANES).enumerate() {
                let inverse = 1.0 / self.width[i];
                for c in 0..each {
                    let centre = self.low[i] + c as f64 * self.width[i];
                    let at = (i * each + c) * LANES;
                    let (out, slopes) = (&mut out[at..at + LANES], &mut slopes[at..at + LANES]);
                    for l in 0..LANES {
                        let z = (x[l] - centre) * inverse;
                        out[l] = S::exp(-0.5 * z * z);
                        slopes[l] = -z * inverse;
                    }
                }
            }
        })
    }

    /// value += Σ_k fit_k φ_k(x) within its bounds; gradient += its gradient where asked, 0 beyond them. The sum over the
    /// grid is taken one coordinate after the other, the last first: some each^d products, not d·each^d.
    pub fn combine(&self, fit: &[f64], x: &[f64], value: &mut [f64], gradient: Option<&mut [f64]>) {
        let (d, each) = (self.low.len(), self.each);
        let mut factors = vec![0.0; 2 * d * each * LANES];
        let (factors, slopes) = factors.split_at_mut(d * each * LANES);
        self.factors(x, factors, slopes);
        let count = self.count() - 1;
        let (coefficients, constant, bounds) = (&fit[..count], fit[count], &fit[count + 1..]);
        let row = each * LANES;
        // Partial sums: of the value, then of the slope in each coordinate.
        let wanted = if gradient.is_some() { d } else { 0 };
        let size = count / each * LANES;
        let mut parts = vec![0.0; (1 + wanted) * size];
        enter!(self.level, S => {
            for (slope, factor) in slopes.iter_mut().zip(factors.iter()) {
                *slope *= factor;
            }
            let (sum, rest) = parts.split_at_mut(size);
            let last = (d - 1) * row;
            first_sum::<S>(coefficients, &factors[last..], each, sum);
            if wanted > 0 {
                first_sum::<S>(coefficients, &slopes[last..], each, &mut rest[(d - 1) * size..]);
            }
            let mut left = count / each;
            for i in (0..d - 1).rev() {
                left /= each;
                let factor = &factors[i * row..(i + 1) * row];
                if wanted > 0 {
                    for later in rest.chunks_exact_mut(size).skip(i + 1) {
                        next_sum::<S>(later, factor, each, left);
                    }
                    let own = &mut rest[i * size..(i + 1) * size];
                    own.copy_from_slice(sum);
                    next_sum::<S>(own, &slopes[i * row..(i + 1) * row], each, left);
                }
                next_sum::<S>(sum, factor, each, left);
            }
            sum[..LANES].iter_mut().for_each(|s| *s += constant);
            value.iter_mut().zip(sum.iter()).for_each(|(v, s)| *v += within(bounds, *s));
            if let Some(gradient) = gradient {
                for (g, part) in gradient.chunks_exact_mut(LANES).zip(rest.chunks_exact(size)) {
                    for ((g, p), s) in g.iter_mut().zip(part).zip(sum.iter()) {
                        *g += if within(bounds, *s) == *s { *p } else { 0.0 };
                    }
                }
            }
        })
    }

    /// values[node] += Σ_k fit_k φ_k within its bounds at a grid of `n` nodes per coordinate: `at` is
    /// [coordinate][node][LANES], the first coordinate's node runs fastest in `values`.
    fn combine_nodes(&self, fit: &[f64], at: &[f64], n: usize, values: &mut [f64]) {
        let (d, each) = (self.low.len(), self.each);
        let row = each * LANES;
        let (mut factors, mut slopes) = (vec![0.0; n * d * row], vec![0.0; d * row]);
        for node in 0..n {
            let x: Vec<f64> = (0..d).flat_map(|i| at[(i * n + node) * LANES..][..LANES].iter().copied()).collect();
            self.factors(&x, &mut factors[node * d * row..(node + 1) * d * row], &mut slopes);
        }
        let count = self.count() - 1;
        let (coefficients, constant, bounds) = (&fit[..count], fit[count], &fit[count + 1..]);
        let mut size = count / each;
        let mut parts = vec![0.0; n * size * LANES];
        enter!(self.level, S => {
            for (node, part) in parts.chunks_exact_mut(size * LANES).enumerate() {
                first_sum::<S>(coefficients, &factors[(node * d + d - 1) * row..][..row], each, part);
            }
            for i in (0..d - 1).rev() {
                let left = size / each;
                let mut next = vec![0.0; parts.len() / each * n];
                for (k, out) in next.chunks_exact_mut(left * LANES).enumerate() {
                    let (part, node) = (k / n, k % n);
                    let part = &parts[part * size * LANES..(part + 1) * size * LANES];
                    let factor = &factors[(node * d + i) * row..][..row];
                    for (out, part) in out.chunks_exact_mut(LANES).zip(part.chunks_exact(row)) {
                        sum_rows::<S>(part, factor, out);
                    }
                }
                (parts, size) = (next, left);
            }
            values.iter_mut().zip(&parts).for_each(|(v, p)| *v += within(bounds, constant + p));
        })
    }

    /// out[feature][LANES].
    fn evaluate(&self, x: &[f64], out: &mut [f64]) {
        let (d, each) = (self.low.len(), self.each);
        let mut factors = vec![0.0; 2 * d * each * LANES];
        let (factors, slopes) = factors.split_at_mut(d * each * LANES);
        self.factors(x, factors, slopes);
        let count = self.count() - 1;
        out[count * LANES..].fill(1.0);
        for (k, part) in out[..count * LANES].chunks_exact_mut(LANES).enumerate() {
            part.fill(1.0);
            let mut rest = k;
            for i in (0..d).rev() {
                let at = (i * each + rest % each) * LANES;
                rest /= each;
                part.iter_mut().zip(&factors[at..at + LANES]).for_each(|(p, f)| *p *= f);
            }
        }
    }
}

/// A value cut to [least, largest].
#[inline(always)]
fn within(bounds: &[f64], value: f64) -> f64 {
    value.max(bounds[0]).min(bounds[1])
}

/// out[k][l] = Σ_c a[k·each + c] factor[c][l].
#[inline(always)]
fn first_sum<S: Scalar>(a: &[f64], factor: &[f64], each: usize, out: &mut [f64]) {
    for (a, out) in a.chunks_exact(each).zip(out.chunks_exact_mut(LANES)) {
        let mut sum = [0.0; LANES];
        for (a, factor) in a.iter().zip(factor.chunks_exact(LANES)) {
            for l in 0..LANES {
                sum[l] = S::mul_add(*a, factor[l], sum[l]);
            }
        }
        out.copy_from_slice(&sum);
    }
}

/// out[l] = Σ_c part[c][l] factor[c][l].
#[inline(always)]
fn sum_rows<S: Scalar>(part: &[f64], factor: &[f64], out: &mut [f64]) {
    let mut sum = [0.0; LANES];
    for (part, factor) in part.chunks_exact(LANES).zip(factor.chunks_exact(LANES)) {
        for l in 0..LANES {
            sum[l] = S::mul_add(part[l], factor[l], sum[l]);
        }
    }
    out.copy_from_slice(&sum);
}

/// part[k][l] = Σ_c part[k·each + c][l] factor[c][l] for k below `left`, in place.
#[inline(always)]
fn next_sum<S: Scalar>(part: &mut [f64], factor: &[f64], each: usize, left: usize) {
    for k in 0..left {
        let mut sum = [0.0; LANES];
        sum_rows::<S>(&part[k * each * LANES..(k + 1) * each * LANES], factor, &mut sum);
        part[k * LANES..(k + 1) * LANES].copy_from_slice(&sum);
    }
}

/// Nodes and weights of the Gauss–Hermite rule for the standard normal law, by Newton's method on Hermite's recursion.
pub fn gauss_hermite(n: usize) -> (Vec<f64>, Vec<f64>) {
    // Probabilists' polynomials: He_{k+1} = x He_k − k He_{k−1}; weights n!/(n He_{n−1})².
    let value = |x: f64| -> (f64, f64) {
        let (mut before, mut now) = (0.0, 1.0);
        for k in 0..n {
            (before, now) = (now, x * now - k as f64 * before);
        }
        (now, before)
    };
    let factorial: f64 = (1..=n).map(|k| k as f64).product();
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    // Roots are simple and within ±2√n; each lies in an interval of a fine grid where the sign changes.
    let reach = 2.0 * (n as f64).sqrt() + 1.0;
    let cells = 400 * n;
    let at = |c: usize| -reach + 2.0 * reach * (c as f64 + 0.377) / cells as f64;
    for c in 0..cells {
        let (mut a, mut b) = (at(c), at(c + 1));
        let (fa, fb) = (value(a).0, value(b).0);
        if (fa < 0.0) == (fb < 0.0) {
            continue;
        }
        for _ in 0..80 {
            let middle = 0.5 * (a + b);
            if (value(middle).0 < 0.0) == (fa < 0.0) { a = middle } else { b = middle }
        }
        let x = 0.5 * (a + b);
        let slope = n as f64 * value(x).1;
        nodes.push(x);
        weights.push(factorial / (slope * slope));
    }
    (nodes, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_hermite_nodes_integrate_x_to_the_16_as_2027025_and_sum_to_1() {
        let (nodes, weights) = gauss_hermite(9);
        assert_eq!(nodes.len(), 9);
        let moment = |k: i32| nodes.iter().zip(&weights).map(|(x, w)| w * x.powi(k)).sum::<f64>();
        assert!((moment(0) - 1.0).abs() < 1e-12);
        assert!(moment(3).abs() < 1e-10);
        // 15!! = 2027025.
        assert!((moment(16) / 2_027_025.0 - 1.0).abs() < 1e-10, "{}", moment(16));
    }

    #[test]
    fn sums_coordinate_by_coordinate_are_the_sums_over_all_features_to_1e_13_and_their_slopes_differences() {
        for d in 1..=3usize {
            let text = format!(
                r#"{{"prior": {{"kind": "brownian"}}, "start": {:?}, "time_step": 0.1, "steps": 1}}"#,
                vec![0.0; d]
            );
            let chain = crate::solvers::paths::exact::chain(&text);
            let (low, high) = (vec![-1.0; d], vec![1.5; d]);
            let features = Features::new(&low, &high, 4, &chain).unwrap();
            let mut a: Vec<f64> = (0..features.count()).map(|k| ((k * 37 % 101) as f64 / 50.0) - 1.0).collect();
            a.extend([f64::NEG_INFINITY, f64::INFINITY]);
            let count = features.count();
            let x: Vec<f64> = (0..d * LANES).map(|k| (k * 71 % 97) as f64 / 40.0 - 1.2).collect();
            let direct = |x: &[f64]| {
                let mut phi = vec![0.0; features.count() * LANES];
                features.evaluate(x, &mut phi);
                (0..LANES)
                    .map(|l| a[..count].iter().enumerate().map(|(k, a)| a * phi[k * LANES + l]).sum())
                    .collect::<Vec<f64>>()
            };
            let (mut value, mut slope) = (vec![0.0; LANES], vec![0.0; d * LANES]);
            features.combine(&a, &x, &mut value, Some(&mut slope));
            for (v, t) in value.iter().zip(direct(&x)) {
                assert!((v - t).abs() < 1e-13 * a.len() as f64, "{d}: {v} {t}");
            }
            for i in 0..d {
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[i * LANES..(i + 1) * LANES].iter_mut().for_each(|x| *x += by);
                    direct(&x)
                };
                for (l, (up, down)) in moved(1e-5).iter().zip(moved(-1e-5)).enumerate() {
                    assert!(((up - down) / 2e-5 - slope[i * LANES + l]).abs() < 1e-7);
                }
            }
            // Cut in the middle of the values, those beyond have no slope.
            let mut cut = a.clone();
            cut[count - 1] += 0.1;
            let middle = direct(&x).iter().sum::<f64>() / LANES as f64;
            cut[count..].copy_from_slice(&[middle, middle + 0.3]);
            let (mut bounded, mut bounded_slope) = (vec![0.0; LANES], vec![0.0; d * LANES]);
            features.combine(&cut, &x, &mut bounded, Some(&mut bounded_slope));
            for (l, v) in value.iter().map(|v| v + 0.1).enumerate() {
                let inside = (middle..=middle + 0.3).contains(&v);
                assert!((bounded[l] - v.clamp(middle, middle + 0.3)).abs() < 1e-13 * a.len() as f64);
                let slopes = || (0..d).map(|i| (bounded_slope[i * LANES + l], slope[i * LANES + l]));
                assert!(slopes().all(|(cut, whole)| cut == if inside { whole } else { 0.0 }), "{d}, {l}: {v}");
            }
            // Nodes: the grid of two places per coordinate.
            let n = 2;
            let at: Vec<f64> = (0..d * n * LANES).map(|k| (k * 53 % 89) as f64 / 35.0 - 1.3).collect();
            let mut values = vec![0.0; n.pow(d as u32) * LANES];
            features.combine_nodes(&a, &at, n, &mut values);
            for (k, values) in values.chunks_exact(LANES).enumerate() {
                let x: Vec<f64> =
                    (0..d).flat_map(|i| at[(i * n + (k >> i) % n) * LANES..][..LANES].iter().copied()).collect();
                for (v, t) in values.iter().zip(direct(&x)) {
                    assert!((v - t).abs() < 1e-13 * a.len() as f64, "{d}, node {k}: {v} {t}");
                }
            }
        }
    }
}
