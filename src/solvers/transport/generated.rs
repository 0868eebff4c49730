//! Measures made by formula: quadrature grids, samples by addressed random numbers, shapes. Serial and pure: each
//! function gives point `i` alone, so that a rank makes only its own rows.

use std::f64::consts::TAU;

use super::problem::Shape;
use crate::math::rng::{Stream, normal_pair, uniform_pair};

/// `points` cell centres of [low, high].
pub fn cell_centres(points: usize, low: f64, high: f64) -> Vec<f64> {
    let width = (high - low) / points as f64;
    (0..points).map(|i| low + (i as f64 + 0.5) * width).collect()
}

/// Weights of the Gaussian N(mean, sd²) at `axis`, summing to 1: the midpoint rule, spectrally accurate once the
/// interval covers the tails.
pub fn gaussian_weights(axis: &[f64], mean: f64, standard_deviation: f64) -> Vec<f64> {
    let density = |x: f64| {
        let z = (x - mean) / standard_deviation;
        libm::exp(-0.5 * z * z)
    };
    let weights: Vec<f64> = axis.iter().map(|&x| density(x)).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Point `i` of the product of `axes`, last axis fastest.
pub fn grid_point(axes: &[Vec<f64>], i: usize, out: &mut [f64]) {
    let mut rest = i;
    for k in (0..axes.len()).rev() {
        out[k] = axes[k][rest % axes[k].len()];
        rest /= axes[k].len();
    }
}

/// Sample `i` of the mixture Σ_c proportion_c N(mean_c, sd_c² I). `stream_item` separates the two measures of a problem.
pub fn mixture_sample(
    seed: u64,
    measure: u32,
    i: usize,
    means: &[Vec<f64>],
    standard_deviations: &[f64],
    cumulative: &[f64],
    out: &mut [f64],
) {
    let [u, _] = uniform_pair(seed, Stream::TransportComponent, measure, i as u64, 0);
    let u = u * cumulative[cumulative.len() - 1];
    let component = cumulative.partition_point(|&c| c <= u).min(means.len() - 1);
    for (draw, pair) in out.chunks_mut(2).enumerate() {
        let z = normal_pair(seed, Stream::TransportGaussian, measure, i as u64, draw as u32);
        for (k, x) in pair.iter_mut().enumerate() {
            *x = means[component][2 * draw + k] + standard_deviations[component] * z[k];
        }
    }
}

/// Sample `i` of the uniform measure on [0,1]^d.
pub fn uniform_sample(seed: u64, measure: u32, i: usize, out: &mut [f64]) {
    for (draw, pair) in out.chunks_mut(2).enumerate() {
        let u = uniform_pair(seed, Stream::TransportUniform, measure, i as u64, draw as u32);
        pair.copy_from_slice(&u[..pair.len()]);
    }
}

/// Point `i` of `n` on a shape of outer radius 1 about the origin.
///
/// Parameters come from the rank-1 lattice of the golden ratio (and the plastic number where three are needed), mapped
/// so that equal parameter areas are equal surface areas on sphere and torus.
pub fn shape_point(shape: Shape, i: usize, n: usize) -> [f64; 3] {
    let u = (i as f64 + 0.5) / n as f64;
    let v = fraction(i as f64 * 0.618_033_988_749_894_8);
    match shape {
        Shape::Sphere => {
            let z = 1.0 - 2.0 * u;
            let r = libm::sqrt(1.0 - z * z);
            let (sin, cos) = libm::sincos(TAU * v);
            [r * cos, r * sin, z]
        }
        Shape::Torus => {
            // Tube radius 1/3 about a circle of radius 2/3; area ∝ R + r cos θ, inverted by Newton's method.
            let (big, small) = (2.0 / 3.0, 1.0 / 3.0);
            let mut theta = TAU * v;
            for _ in 0..30 {
                let (sin, cos) = libm::sincos(theta);
                theta -= (theta + small / big * sin - TAU * v) / (1.0 + small / big * cos);
            }
            let (sin_theta, cos_theta) = libm::sincos(theta);
            let (sin_phi, cos_phi) = libm::sincos(TAU * u);
            let r = big + small * cos_theta;
            [r * cos_phi, r * sin_phi, small * sin_theta]
        }
        Shape::TrefoilKnot => {
            // A tube of radius 0.12 about the trefoil (sin t + 2 sin 2t, cos t − 2 cos 2t, −sin 3t)/3.2.
            let curve = |t: f64| {
                let ((s1, c1), (s2, c2)) = (libm::sincos(t), libm::sincos(2.0 * t));
                [(s1 + 2.0 * s2) / 3.2, (c1 - 2.0 * c2) / 3.2, -libm::sin(3.0 * t) / 3.2]
            };
            let t = TAU * u;
            let tangent = |t: f64| {
                let ((s1, c1), (s2, c2)) = (libm::sincos(t), libm::sincos(2.0 * t));
                unit([c1 + 4.0 * c2, -s1 + 4.0 * s2, -3.0 * libm::cos(3.0 * t)])
            };
            let centre = curve(t);
            let along = tangent(t);
            let radial = unit(cross(along, [0.0, 0.0, 1.0]));
            let other = cross(along, radial);
            let (sin, cos) = libm::sincos(TAU * v);
            std::array::from_fn(|k| centre[k] + 0.12 * (cos * radial[k] + sin * other[k]))
        }
        Shape::SwissRoll => {
            let t = 1.5 * std::f64::consts::PI * (1.0 + 2.0 * libm::sqrt(u * 0.75 + 0.25) - 1.0);
            let r = t / (3.0 * std::f64::consts::PI);
            let (sin, cos) = libm::sincos(t);
            [r * cos, 2.0 * v - 1.0, r * sin]
        }
    }
}

fn fraction(x: f64) -> f64 {
    x - x.floor()
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: [f64; 3]) -> [f64; 3] {
    let norm = libm::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
    a.map(|x| x / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaussian_weights_have_mean_and_variance_of_the_gaussian_to_1e_12() {
        let axis = cell_centres(801, -8.0, 8.0);
        let w = gaussian_weights(&axis, 0.5, 0.8);
        let mean: f64 = axis.iter().zip(&w).map(|(x, w)| x * w).sum();
        let var: f64 = axis.iter().zip(&w).map(|(x, w)| (x - mean) * (x - mean) * w).sum();
        assert!((mean - 0.5).abs() < 1e-12 && (var - 0.64).abs() < 1e-12, "{mean} {var}");
    }

    #[test]
    fn points_of_a_sphere_are_on_it_and_centred_to_1_over_n() {
        let n = 5000;
        let mut sum = [0.0; 3];
        for i in 0..n {
            let p = shape_point(Shape::Sphere, i, n);
            assert!((p.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12);
            (0..3).for_each(|k| sum[k] += p[k]);
        }
        assert!(sum.iter().all(|s| s.abs() / (n as f64) < 2.0 / n as f64), "{sum:?}");
    }

    #[test]
    fn points_of_a_torus_satisfy_its_equation_and_are_uniform_in_area() {
        let n = 6000;
        let mut mean_rho = 0.0;
        for i in 0..n {
            let [x, y, z] = shape_point(Shape::Torus, i, n);
            let rho = libm::sqrt(x * x + y * y);
            assert!(((rho - 2.0 / 3.0).powi(2) + z * z - 1.0 / 9.0).abs() < 1e-12);
            mean_rho += rho / n as f64;
        }
        // E[R + r cos θ] under the density ∝ R + r cos θ is R + r²/(2R).
        assert!((mean_rho - (2.0 / 3.0 + (1.0 / 9.0) / (4.0 / 3.0))).abs() < 1e-3, "{mean_rho}");
    }

    #[test]
    fn grid_points_run_with_the_last_axis_fastest() {
        let axes = vec![vec![0.0, 1.0], vec![10.0, 20.0, 30.0]];
        let mut p = [0.0; 2];
        grid_point(&axes, 4, &mut p);
        assert_eq!(p, [1.0, 20.0]);
    }
}
