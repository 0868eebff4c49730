//! What is recorded while a run goes on: one value per name and recorded step.

use crate::error::Result;
use crate::state::{Name, Walk};

const STEP: Name = Name { name: "step", units: "1", meaning: "step of the method", axes: &["step"] };

#[derive(Debug, Default)]
pub struct Series {
    step: Vec<f64>,
    columns: Vec<(Name, Vec<f64>)>,
}

impl Series {
    /// An empty series of these names.
    pub fn new(record: &[(Name, f64)]) -> Self {
        let column = |(name, _): &(Name, f64)| (Name { axes: &["step"], ..*name }, Vec::new());
        Series { step: Vec::new(), columns: record.iter().map(column).collect() }
    }

    /// Adds the values of a step; a step already recorded is not recorded twice.
    pub fn record(&mut self, step: u64, record: &[(Name, f64)]) {
        if self.step.last() == Some(&(step as f64)) {
            return;
        }
        assert_eq!(record.len(), self.columns.len(), "a solver records the same names at every step");
        self.step.push(step as f64);
        for ((name, values), (given, value)) in self.columns.iter_mut().zip(record) {
            assert_eq!(name.name, given.name, "a solver records the same names at every step");
            values.push(*value);
        }
    }

    pub fn walk(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.series(&STEP, &mut self.step)?;
        for (name, values) in &mut self.columns {
            walk.series(name, values)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Data, Hyperslab};

    struct Lengths(Vec<(String, Vec<f64>)>);

    impl Walk for Lengths {
        fn block(&mut self, _: &Name, _: &[usize], _: &Hyperslab, _: Data<'_>) -> Result<()> {
            panic!("a series holds no blocks")
        }
        fn scalar(&mut self, _: &Name, _: Data<'_>) -> Result<()> {
            panic!("a series holds no scalars")
        }
        fn replicated(&mut self, _: &Name, _: &mut Vec<f64>) -> Result<()> {
            panic!("a series holds no state")
        }
        fn replicated_f32(&mut self, _: &Name, _: &mut Vec<f32>) -> Result<()> {
            panic!("a series holds no replicated lists")
        }
        fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
            self.0.push((name.name.to_string(), values.clone()));
            Ok(())
        }
    }

    #[test]
    fn a_step_is_recorded_once() {
        const ERROR: Name = Name { name: "error", units: "1", meaning: "", axes: &[] };
        let mut series = Series::new(&[(ERROR, 0.0)]);
        for step in [1, 2, 2, 5] {
            series.record(step, &[(ERROR, 1.0 / step as f64)]);
        }
        let mut seen = Lengths(vec![]);
        series.walk(&mut seen).unwrap();
        assert_eq!(seen.0, [("step".into(), vec![1.0, 2.0, 5.0]), ("error".into(), vec![1.0, 0.5, 0.2])]);
    }
}
