//! Closed forms for Gaussian chains.

/// Kalman filter and smoother of x_{j+1} = f x_j + o + N(0, q), x_0 ~ N(m, v), with log-likelihood terms −½ a x² + c x + d
/// per time: (log Z, smoothed means and variances).
pub fn smoother(
    f: f64,
    o: f64,
    q: f64,
    m: f64,
    v: f64,
    costs: &[crate::solvers::paths::chain::Quadratic],
) -> (f64, Vec<(f64, f64)>) {
    let (mut m, mut v, mut log_z) = (m, v, 0.0);
    let mut filtered = Vec::new();
    let mut predicted = Vec::new();
    for (j, c) in costs.iter().enumerate() {
        if j > 0 {
            (m, v) = (f * m + o, f * f * v + q);
        }
        predicted.push((m, v));
        // E[exp(−½ a x² + c x + d)] under N(m, v).
        let g = 1.0 / (1.0 + v * c.a);
        log_z += 0.5 * g.ln() + g * (c.c * m - 0.5 * c.a * m * m + 0.5 * v * c.c * c.c) + c.d;
        (m, v) = (g * (m + v * c.c), g * v);
        filtered.push((m, v));
    }
    let mut smoothed = vec![*filtered.last().unwrap()];
    for j in (0..costs.len() - 1).rev() {
        let ((m, v), (pm, pv)) = (filtered[j], predicted[j + 1]);
        let (sm, sv) = smoothed[smoothed.len() - 1];
        let gain = if pv > 0.0 { v * f / pv } else { 0.0 };
        smoothed.push((m + gain * (sm - pm), v + gain * gain * (sv - pv)));
    }
    smoothed.reverse();
    (log_z, smoothed)
}
