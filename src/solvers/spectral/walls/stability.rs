//! Linear stability between walls: eigenvalues of dense ultraspherical pencils (LAPACK's generalised eigenproblem).
//!
//! Boundary conditions are kept by a recombined basis, rows are in C^(4) or C^(2), and the matrices are scaled row by
//! row, so that the highest derivative is of order one. Only the trial space is truncated; the difference to a smaller
//! resolution is the error estimate.

use ndarray::{Array1, Array2, Axis, s};
use ndarray_linalg::{Eig, EigGeneralized, GeneralizedEigenvalue, Inverse};
use num_complex::Complex;

use super::ultraspherical::{conversion, derivative, polynomial, recombination};

type C = Complex<f64>;

/// An eigenvalue with the Chebyshev coefficients of its eigenfunction.
#[derive(Debug, Clone, PartialEq)]
pub struct Mode {
    pub value: C,
    pub coefficients: Vec<C>,
}

/// The Orr–Sommerfeld problem of a base flow U(z) = Σ c_i z^i between z = ±1:
///
///     (U − c)(D² − α²) w − U'' w = (D² − α²)² w/(i α Re),   w = w' = 0 at z = ±1,
///
/// for disturbances w(z) e^{iα(x − ct)} (W. Orr 1907, A. Sommerfeld 1908).
#[derive(Debug, Clone, PartialEq)]
pub struct OrrSommerfeld {
    pub profile: Vec<f64>,
    pub reynolds: f64,
    pub wavenumber: f64,
}

impl OrrSommerfeld {
    /// All eigenvalues c on n Chebyshev coefficients, the fastest growing (largest Im c) first.
    ///
    /// # Errors
    /// LAPACK's, in words.
    pub fn modes(&self, n: usize) -> Result<Vec<Mode>, String> {
        let alpha = self.wavenumber;
        let real = |m: Array2<f64>| m.mapv(|x| C::new(x, 0.0));
        let up = conversion(0, 4, n);
        let second = conversion(2, 4, n).dot(&derivative(2, n));
        let fourth = derivative(4, n);
        let laplace = &second - &(&up * (alpha * alpha));
        let biharmonic = &fourth - &(&second * (2.0 * alpha * alpha)) + &(&up * alpha.powi(4));
        let curvature: Vec<f64> =
            self.profile.iter().enumerate().skip(2).map(|(i, c)| (i * (i - 1)) as f64 * c).collect();
        let advection = polynomial(&self.profile, 4, n).dot(&laplace) - polynomial(&curvature, 4, n).dot(&up);
        let clamped = recombination(&[(0, false), (1, false), (0, true), (1, true)], n);
        let rows = |m: Array2<f64>| m.slice(s![..n - 4, ..]).dot(&clamped);
        // −1/(iαRe) = i/(αRe).
        let left =
            real(rows(advection)) + real(rows(biharmonic)).mapv(|x| x * C::new(0.0, 1.0 / (alpha * self.reynolds)));
        let right = real(rows(laplace));
        let mut modes = pencil(left, right, &clamped)?;
        modes.sort_by(|a, b| b.value.im.total_cmp(&a.value.im));
        Ok(modes)
    }

    /// The fastest growing mode.
    ///
    /// # Errors
    /// As for [`OrrSommerfeld::modes`].
    pub fn leading(&self, n: usize) -> Result<Mode, String> {
        self.modes(n)?.into_iter().next().ok_or_else(|| "no finite eigenvalue".to_string())
    }

    /// The same flow at another wavenumber and Reynolds number.
    fn at(&self, wavenumber: f64, reynolds: f64) -> OrrSommerfeld {
        OrrSommerfeld { profile: self.profile.clone(), reynolds, wavenumber }
    }

    /// The smallest Reynolds number at which a wavenumber is neutral, and that wavenumber: from the values given, and if
    /// the search fails there from the smallest Reynolds number of a coarse table at which a wave grows.
    ///
    /// # Errors
    /// As for [`OrrSommerfeld::modes`]; when neither search converges.
    pub fn critical(&self, n: usize) -> Result<OrrSommerfeld, String> {
        self.neutral(n).or_else(|message| match self.unstable(n)? {
            Some(near) => near.neutral(n),
            None => Err(message),
        })
    }

    /// A wave that grows, at the smallest Reynolds number at which one of a table does.
    fn unstable(&self, n: usize) -> Result<Option<OrrSommerfeld>, String> {
        for reynolds in [1e2, 3e2, 1e3, 3e3, 1e4, 3e4] {
            for alpha in [1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 1.3, 1.7, 2.2, 3.0] {
                let near = self.at(alpha, reynolds);
                if near.leading(n)?.value.im > 0.0 {
                    return Ok(Some(near));
                }
            }
        }
        Ok(None)
    }

    /// Newton's method for Im c = 0 and ∂ Im c/∂α = 0 from the values given.
    fn neutral(&self, n: usize) -> Result<OrrSommerfeld, String> {
        let growth = |alpha: f64, reynolds: f64| self.at(alpha, reynolds).leading(n).map(|m| m.value.im);
        let (mut alpha, mut reynolds) = (self.wavenumber, self.reynolds);
        for _ in 0..100 {
            // Fourth-order differences in α and in Re.
            let h = 2e-3;
            let g: [f64; 5] = five(|i| growth(alpha + (i as f64 - 2.0) * h, reynolds))?;
            let slope = (g[0] - 8.0 * g[1] + 8.0 * g[3] - g[4]) / (12.0 * h);
            let bend = (-g[0] + 16.0 * g[1] - 30.0 * g[2] + 16.0 * g[3] - g[4]) / (12.0 * h * h);
            let k = 2e-3 * reynolds;
            let r: [f64; 5] = five(|i| growth(alpha, reynolds + (i as f64 - 2.0) * k))?;
            let speed = (r[0] - 8.0 * r[1] + 8.0 * r[3] - r[4]) / (12.0 * k);
            let da = (-slope / bend).clamp(-0.1 * alpha, 0.1 * alpha);
            let dr = (-g[2] / speed).clamp(-0.3 * reynolds, 0.3 * reynolds);
            alpha += da;
            reynolds += dr;
            if da.abs() < 1e-9 * alpha && dr.abs() < 1e-9 * reynolds {
                return Ok(self.at(alpha, reynolds));
            }
            if !(reynolds < FARTHEST) {
                break;
            }
        }
        Err(format!(
            "the neutral point was not found, the search ended at alpha = {alpha}, Re = {reynolds}: begin nearer to it, where \
             a wave grows or nearly does (in some flows none ever grows)"
        ))
    }
}

/// No search for a neutral point goes to larger Reynolds numbers.
const FARTHEST: f64 = 1e8;

fn five(value: impl Fn(usize) -> Result<f64, String>) -> Result<[f64; 5], String> {
    let mut out = [0.0; 5];
    for (i, out) in out.iter_mut().enumerate() {
        *out = value(i)?;
    }
    Ok(out)
}

/// Finite eigenvalues of left x = c right x, with x in the columns of `basis`.
fn pencil(mut left: Array2<C>, mut right: Array2<C>, basis: &Array2<f64>) -> Result<Vec<Mode>, String> {
    for (mut l, mut r) in left.axis_iter_mut(Axis(0)).zip(right.axis_iter_mut(Axis(0))) {
        let largest = l.iter().chain(r.iter()).map(|z| z.norm()).fold(0.0, f64::max);
        l.iter_mut().chain(r.iter_mut()).for_each(|z| *z /= largest);
    }
    let (values, vectors) = (left, right).eig_generalized(None).map_err(|e| format!("zggev: {e}"))?;
    let basis = basis.mapv(|x| C::new(x, 0.0));
    let mut modes = Vec::new();
    for (value, vector) in values.iter().zip(vectors.axis_iter(Axis(1))) {
        if let GeneralizedEigenvalue::Finite(value, _) = value
            && value.is_finite()
        {
            modes.push(Mode { value: *value, coefficients: basis.dot(&vector).to_vec() });
        }
    }
    Ok(modes)
}

/// What holds at a wall for the velocity of the onset problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// No slip: w = w' = 0.
    Rigid,
    /// No stress: w = w'' = 0.
    Free,
}

/// Onset of convection between horizontal walls of given temperature (Lord Rayleigh 1916; A. Pellew and
/// R. V. Southwell 1940), neutral modes w(z) e^{ikx} in units of the height:
///
///     (D² − k²)² w = Ra k² θ,   (D² − k²) θ = −w,   θ = 0 at z = 0, 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Onset {
    pub lower: Wall,
    pub upper: Wall,
}

/// A neutral mode: its Rayleigh number, wavenumber, and w and θ as Chebyshev coefficients.
#[derive(Debug, Clone, PartialEq)]
pub struct Neutral {
    pub rayleigh: f64,
    pub wavenumber: f64,
    pub w: Vec<f64>,
    pub theta: Vec<f64>,
}

impl Onset {
    /// The lowest Rayleigh number at which wavenumber `k` is neutral, on n Chebyshev coefficients.
    ///
    /// # Errors
    /// LAPACK's, in words.
    pub fn neutral(&self, k: f64, n: usize) -> Result<Neutral, String> {
        // d/dz = 2 d/dξ; everything is divided by 4² and 4.
        let square = k * k / 4.0;
        let slope = |wall: Wall| if wall == Wall::Rigid { 1 } else { 2 };
        let velocity =
            recombination(&[(0, false), (slope(self.lower), false), (0, true), (slope(self.upper), true)], n);
        let heat = recombination(&[(0, false), (0, true)], n);
        let (second, fourth) = (derivative(2, n), derivative(4, n));
        let middle = conversion(2, 4, n).dot(&second);
        let biharmonic = &fourth - &(&middle * (2.0 * square)) + &(conversion(0, 4, n) * (square * square));
        let laplace = &second - &(conversion(0, 2, n) * square);
        let a = scaled(
            biharmonic.slice(s![..n - 4, ..]).dot(&velocity),
            conversion(0, 4, n).slice(s![..n - 4, ..]).dot(&heat),
        );
        let b = scaled(
            laplace.slice(s![..n - 2, ..]).dot(&heat),
            conversion(0, 2, n).slice(s![..n - 2, ..]).dot(&velocity),
        );
        // θ = −(1/4) Laplace⁻¹ w, w = Ra k²/16 Biharmonic⁻¹ θ: eigenvalues 1/Ra of the product.
        let inverse = |m: &Array2<f64>| m.inv().map_err(|e| format!("dgetri: {e}"));
        let to_heat = inverse(&b.0)?.dot(&b.1) * -0.25;
        let to_velocity = inverse(&a.0)?.dot(&a.1) * (k * k / 16.0);
        let (values, vectors) = to_velocity.dot(&to_heat).eig().map_err(|e| format!("dgeev: {e}"))?;
        let (at, value) = values
            .iter()
            .enumerate()
            .filter(|(_, v)| v.im.abs() < 1e-9 * v.norm())
            .max_by(|a, b| a.1.re.total_cmp(&b.1.re))
            .ok_or_else(|| "no real eigenvalue".to_string())?;
        let vector: Array1<f64> = vectors.column(at).mapv(|z| z.re);
        let theta = heat.dot(&to_heat.dot(&vector));
        Ok(Neutral {
            rayleigh: 1.0 / value.re,
            wavenumber: k,
            w: velocity.dot(&vector).to_vec(),
            theta: theta.to_vec(),
        })
    }

    /// The smallest neutral Rayleigh number over all wavenumbers, by the secant method on its derivative (fourth-order
    /// differences).
    ///
    /// # Errors
    /// As for [`Onset::neutral`]; when the iteration does not converge.
    pub fn critical(&self, n: usize) -> Result<Neutral, String> {
        let h = 5e-3;
        let slope = |k: f64| -> Result<f64, String> {
            let at = |d: f64| self.neutral(k + d * h, n).map(|m| m.rayleigh);
            Ok((at(-2.0)? - 8.0 * at(-1.0)? + 8.0 * at(1.0)? - at(2.0)?) / (12.0 * h))
        };
        let (mut before, mut k) = (2.5, 2.7);
        let mut slope_before = slope(before)?;
        for _ in 0..40 {
            let here = slope(k)?;
            let next = k - (here * (k - before) / (here - slope_before)).clamp(-0.5, 0.5);
            (before, slope_before, k) = (k, here, next);
            if (k - before).abs() < 1e-9 {
                return self.neutral(k, n);
            }
        }
        Err(format!("the critical wavenumber was not found: at k = {k} after 40 steps"))
    }
}

/// Divides each row of both matrices by the largest entry of the first.
fn scaled(mut left: Array2<f64>, mut right: Array2<f64>) -> (Array2<f64>, Array2<f64>) {
    for (mut l, mut r) in left.axis_iter_mut(Axis(0)).zip(right.axis_iter_mut(Axis(0))) {
        let largest = l.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        l.mapv_inplace(|x| x / largest);
        r.mapv_inplace(|x| x / largest);
    }
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poiseuille(reynolds: f64, wavenumber: f64) -> OrrSommerfeld {
        OrrSommerfeld { profile: vec![1.0, 0.0, -1.0], reynolds, wavenumber }
    }

    #[test]
    fn poiseuille_flow_at_reynolds_10000_grows_as_orszag_found() {
        // S. A. Orszag, J. Fluid Mech. 50 (1971) 689: c = 0.23752649 + 0.00373967 i; more digits from our own notes.
        for n in [80, 128] {
            let c = poiseuille(1e4, 1.0).leading(n).unwrap().value;
            println!("{n}: {c}");
            assert!((c - C::new(0.2375264888, 0.0037396706)).norm() < 2e-10, "{n}: {c}");
        }
    }

    #[test]
    fn poiseuille_flow_loses_stability_at_reynolds_5772_2217() {
        // The wavenumber of the notes, 1.0205453, was found where the growth is flat and is good to 3e-6.
        let critical = poiseuille(5800.0, 1.02).critical(96).unwrap();
        println!("{critical:?}");
        assert!((critical.reynolds - 5772.2217).abs() < 2e-4, "{}", critical.reynolds);
        assert!((critical.wavenumber - 1.0205453).abs() < 3e-6, "{}", critical.wavenumber);
        // From far away, too.
        for (reynolds, wavenumber) in [(6000.0, 0.3), (2e5, 1.0), (50.0, 4.0)] {
            let far = poiseuille(reynolds, wavenumber).critical(96).unwrap();
            assert!((far.reynolds - 5772.2217).abs() < 2e-4 && (far.wavenumber - 1.0205453).abs() < 3e-6, "{far:?}");
        }
        let c = critical.leading(112).unwrap().value;
        assert!((c.re - 0.2640000).abs() < 1e-6 && c.im.abs() < 1e-9, "{c}");
    }

    #[test]
    fn couette_flow_is_stable() {
        let flow = OrrSommerfeld { profile: vec![0.0, 1.0], reynolds: 1000.0, wavenumber: 1.0 };
        assert!(flow.leading(64).unwrap().value.im < 0.0);
        assert!(flow.critical(64).unwrap_err().contains("not found"));
    }

    #[test]
    fn convection_sets_in_at_the_rayleigh_numbers_of_the_books() {
        // 27π⁴/4 at π/√2 between free walls; 1707.7618 at 3.116322 between rigid ones; 1100.650 at 2.682 between one of
        // each (S. Chandrasekhar, Hydrodynamic and Hydromagnetic Stability, 1961).
        use std::f64::consts::PI;
        let onset = |lower, upper| Onset { lower, upper }.critical(32).unwrap();
        let free = onset(Wall::Free, Wall::Free);
        assert!((free.rayleigh / (27.0 * PI.powi(4) / 4.0) - 1.0).abs() < 1e-11, "{}", free.rayleigh);
        assert!((free.wavenumber - PI / 2f64.sqrt()).abs() < 1e-8, "{}", free.wavenumber);
        let rigid = onset(Wall::Rigid, Wall::Rigid);
        println!("{} {}", rigid.rayleigh, rigid.wavenumber);
        // More digits: 1707.76177710 at 3.11632355 (A. Pellew and R. V. Southwell; many since).
        assert!((rigid.rayleigh - 1707.7617771).abs() < 1e-7 && (rigid.wavenumber - 3.11632355).abs() < 1e-8);
        let mixed = onset(Wall::Rigid, Wall::Free);
        assert!((mixed.rayleigh - 1100.650).abs() < 5e-4 && (mixed.wavenumber - 2.682).abs() < 5e-4);
    }
}
