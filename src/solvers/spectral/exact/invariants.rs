//! What does not change, or changes by a law.

use super::run::{CIRCLE, Run, input, padded};

#[test]
fn each_mode_of_kuramoto_sivashinsky_grows_at_k2_minus_k4() {
    // To first order in an amplitude of 1e-9.
    let equation = input("kind = 'kuramoto_sivashinsky'");
    for (dimension, mode) in [(1, 1.0), (1, 3.0), (1, 5.0), (2, 2.0)] {
        let domain = padded(&vec![8; dimension], &vec![22.0; dimension], 2, false);
        let (mut run, _) = Run::<f64>::named(&equation, &domain, "mode", &[("mode", mode), ("amplitude", 1e-9)]);
        let size = |run: &mut Run<f64>| run.values()[0][0];
        let before = size(&mut run);
        run.advance(2.0, 20);
        let k = CIRCLE / 22.0 * mode;
        let rate = (size(&mut run) / before).ln() / 2.0;
        assert!((rate - (k * k - k.powi(4))).abs() < 1e-8, "{dimension}-D, mode {mode}: {rate}");
    }
}
