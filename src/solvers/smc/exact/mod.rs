//! What is true: evidences and moments by closed forms and by quadrature, against which particles are measured.
//!
//! - [`kalman`]: linear Gaussian models of any dimension, observations missing, times irregular.
//! - [`quadrature`]: models with one real state, on a grid.
//! - [`conjugate`]: posteriors of SMC samplers that have closed forms.
//! - [`laplace`]: evidence of smooth posteriors without one, by importance sampling about the mode.

pub mod conjugate;
pub mod kalman;
pub mod laplace;
pub mod quadrature;

/// x_0 ~ N(0, 1), x' = 0.9x + N(0, 0.25), y = x + N(0, 0.49), and ten observations; log-evidence −13.441513208280.
pub fn walk_of_ten() -> (kalman::LinearGaussian, Vec<f64>) {
    let step = kalman::Transition { matrix: vec![0.9], shift: vec![0.0], covariance: vec![0.25] };
    let model = kalman::LinearGaussian {
        states: 1,
        outputs: 1,
        initial_mean: vec![0.0],
        initial_covariance: vec![1.0],
        transitions: vec![step],
        observation: vec![1.0],
        offset: vec![0.0],
        noise: vec![0.49],
    };
    (model, vec![0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6])
}
