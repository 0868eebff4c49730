//! Discrete problems with known answers.

/// Torus: uniform weights, C_ij = h((i − j) mod N): the potentials are constant and
/// OT_ε = −ε log (1/N) Σ_k e^{−h(k)/ε}. `h`: one row of the cost.
pub fn circulant(h: &[f64], epsilon: f64) -> f64 {
    let low = h.iter().copied().fold(f64::INFINITY, f64::min);
    let sum: f64 = h.iter().map(|h| (-(h - low) / epsilon).exp()).sum();
    low - epsilon * (sum / h.len() as f64).ln()
}

/// C = [[0, 1], [1, 0]], uniform weights: (P_00, OT_ε) with P_00 = ½/(1 + e^{−1/ε}).
pub fn two_by_two(epsilon: f64) -> (f64, f64) {
    let k = (-1.0 / epsilon).exp();
    (0.5 / (1.0 + k), -epsilon * (0.5 * (1.0 + k)).ln())
}

/// Unregularised transport on the line for a convex function of x − y: sorted matching of quantiles.
pub fn sorted(x: &[f64], a: &[f64], y: &[f64], b: &[f64], cost: impl Fn(f64, f64) -> f64) -> f64 {
    let order = |x: &[f64]| {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|i, j| x[*i].total_cmp(&x[*j]));
        order
    };
    let (rows, cols) = (order(x), order(y));
    let (mut i, mut j, mut value) = (0, 0, 0.0);
    let (mut left, mut right) = (a[rows[0]], b[cols[0]]);
    loop {
        let moved = left.min(right);
        value += moved * cost(x[rows[i]], y[cols[j]]);
        left -= moved;
        right -= moved;
        if left <= right {
            i += 1;
            if i == rows.len() {
                return value;
            }
            left = a[rows[i]];
        } else {
            j += 1;
            if j == cols.len() {
                return value;
            }
            right = b[cols[j]];
        }
    }
}

/// The cheapest assignment of n rows to n columns, `column[i]` for row i, by shortest augmenting paths with potentials,
/// O(n³) [JonkerVolgenant1987].
pub fn assignment(cost: &[f64], n: usize) -> Vec<usize> {
    assert_eq!(cost.len(), n * n);
    // Column n is a dummy at which each augmentation starts.
    let (mut u, mut v) = (vec![0.0; n], vec![0.0; n + 1]);
    let mut row_of = vec![usize::MAX; n + 1];
    for start in 0..n {
        let mut column = n;
        row_of[n] = start;
        let (mut slack, mut from, mut done) = (vec![f64::INFINITY; n], vec![n; n], vec![false; n + 1]);
        while row_of[column] != usize::MAX {
            done[column] = true;
            let i = row_of[column];
            let (mut delta, mut next) = (f64::INFINITY, n);
            for j in (0..n).filter(|j| !done[*j]) {
                let reduced = cost[i * n + j] - u[i] - v[j];
                if reduced < slack[j] {
                    slack[j] = reduced;
                    from[j] = column;
                }
                if slack[j] < delta {
                    delta = slack[j];
                    next = j;
                }
            }
            for j in 0..=n {
                if done[j] {
                    u[row_of[j]] += delta;
                    v[j] -= delta;
                } else if j < n {
                    slack[j] -= delta;
                }
            }
            column = next;
        }
        while column != n {
            row_of[column] = row_of[from[column]];
            column = from[column];
        }
        row_of[n] = usize::MAX;
    }
    let mut columns = vec![0; n];
    for j in 0..n {
        columns[row_of[j]] = j;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignment_equals_brute_force_on_all_permutations_of_six() {
        for seed in 0..20u64 {
            let n = 6;
            let cost: Vec<f64> = (0..n * n)
                .map(|k| ((k as u64 + 1) * 2654435761 ^ (seed * 40503 + 7)).wrapping_mul(0x9E3779B97F4A7C15) as f64)
                .map(|x| x / u64::MAX as f64)
                .collect();
            let mut best = f64::INFINITY;
            let mut permutation: Vec<usize> = (0..n).collect();
            each_permutation(&mut permutation, 0, &mut |p| {
                best = f64::min(best, p.iter().enumerate().map(|(i, j)| cost[i * n + j]).sum());
            });
            let value: f64 = assignment(&cost, n).iter().enumerate().map(|(i, j)| cost[i * n + j]).sum();
            assert!((value - best).abs() < 1e-12, "seed {seed}: {value} against {best}");
        }
    }

    fn each_permutation(p: &mut Vec<usize>, k: usize, visit: &mut dyn FnMut(&[usize])) {
        if k == p.len() {
            return visit(p);
        }
        for i in k..p.len() {
            p.swap(k, i);
            each_permutation(p, k + 1, visit);
            p.swap(k, i);
        }
    }

    #[test]
    fn sorted_matching_equals_the_assignment_on_the_line() {
        let x = [0.9, 0.1, 0.45, 0.3, 0.77];
        let y = [0.2, 0.65, 0.05, 0.99, 0.5];
        let w = [0.2; 5];
        let cost: Vec<f64> = x.iter().flat_map(|x| y.iter().map(move |y| (x - y) * (x - y))).collect();
        let value: f64 = assignment(&cost, 5).iter().enumerate().map(|(i, j)| 0.2 * cost[i * 5 + j]).sum();
        let sorted = sorted(&x, &w, &y, &w, |x, y| (x - y) * (x - y));
        assert!((value - sorted).abs() < 1e-15, "{value} {sorted}");
    }
}
