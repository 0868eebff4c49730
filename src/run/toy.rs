//! A small solver for the tests of the loop: x_i ← (x_i + i) / 2, whose fixed point is x_i = i.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::input::Input;
use crate::solvers::{Entry, ErrorBar, Estimate, Number, Outcome, Solver, Status};
use crate::state::{Hyperslab, Name, Walk};
use crate::team::{Partition, Team};

pub const ENTRY: Entry = Entry {
    name: "toy",
    summary: "halves its distance to 0, 1, 2, …",
    build,
    check,
    problem_schema: || schemars::schema_for!(Problem),
    method_schema: || schemars::schema_for!(Method),
    free: &[],
    free_in_method: None,
    methods: || vec![("halve", "x ← (x + i) / 2")],
    initials: Vec::new,
    plot: |output, _| Err(Error::file(output, "the toy has no figure")),
};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Problem {
    /// Length of x.
    #[schemars(range(min = 1))]
    size: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Method {
    /// Largest distance at the end.
    #[schemars(extend("exclusiveMinimum" = 0))]
    tolerance: f64,
    /// Step at which rank 1 (or the only one) fails; 0: never.
    fail_at: u64,
    /// Distance below which the method stalls.
    floor: f64,
    /// Step whose first attempt is interrupted; 0: none.
    interrupt_at: u64,
    /// Milliseconds that a step takes.
    pause: u64,
    /// Whether making the results is interrupted.
    interrupt_results: bool,
    /// Steps between snapshots, with a time of half a unit per step; 0: none, and no time.
    snapshots: u64,
}

impl Default for Method {
    fn default() -> Self {
        Method {
            tolerance: 1e-6,
            fail_at: 0,
            floor: 0.0,
            interrupt_at: 0,
            pause: 0,
            interrupt_results: false,
            snapshots: 0,
        }
    }
}

const X: Name = Name { name: "x", units: "m", meaning: "iterate", axes: &["item"] };
const INDEX: Name = Name { name: "index", units: "1", meaning: "what x tends to", axes: &["item"] };
const DISTANCE: Name = Name { name: "distance", units: "m", meaning: "largest distance", axes: &[] };
const DONE: Name = Name { name: "done", units: "1", meaning: "steps of the toy", axes: &[] };
const TIME: Name = Name { name: "time", units: "s", meaning: "half a second per step", axes: &[] };
const ITEM: Name = Name { name: "item", units: "m", meaning: "place of the item", axes: &["item"] };
const POWERS: Name = Name { name: "powers", units: "1", meaning: "x, x squared, x cubed", axes: &["item", "power"] };
const ENDS: Name = Name { name: "ends", units: "m", meaning: "step and distance", axes: &["end"] };
const TOTAL: Name = Name { name: "total", units: "m", meaning: "sum of x", axes: &[] };

struct Toy {
    method: Method,
    rows: Partition,
    x: Vec<f64>,
    distance: f64,
    total: f64,
    steps: f64,
    interrupted: bool,
}

fn build(input: &Input, team: &dyn Team) -> Result<Box<dyn Solver>> {
    let problem: Problem = input.problem()?;
    if problem.size > 1_000_000 {
        return Err(input.invalid("problem.size", "must be at most a million"));
    }
    let rows = team.split(problem.size);
    Ok(Box::new(Toy {
        method: input.method()?,
        x: vec![0.0; rows.mine().len()],
        rows,
        distance: f64::INFINITY,
        total: 0.0,
        steps: 0.0,
        interrupted: false,
    }))
}

fn check(input: &Input, ranks: usize, _threads: usize) -> Result<Estimate> {
    let problem: Problem = input.problem()?;
    let mine = 8 * problem.size.div_ceil(ranks) as u64;
    Ok(Estimate {
        problem: vec![("size".into(), problem.size.to_string())],
        size_key: "problem.size".into(),
        memory: vec![("x".into(), mine)],
        output_bytes: 8 * problem.size as u64,
        checkpoint_bytes: 8 * problem.size as u64,
        ..Estimate::default()
    })
}

impl Toy {
    fn slab(&self) -> Hyperslab {
        Hyperslab::rows(self.rows.mine(), &[])
    }
}

impl Solver for Toy {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        std::thread::sleep(std::time::Duration::from_millis(self.method.pause));
        let fails = step == self.method.fail_at && team.rank() == 1 % team.size();
        let message = "the toy was told to fail".to_string();
        team.agree(if fails { Err(Error::Numerical { step, message }) } else { Ok(()) })?;
        if step == self.method.interrupt_at && !self.interrupted {
            self.interrupted = true;
            return Err(Error::Interrupted);
        }
        let first = self.rows.mine().start;
        let mut distance: f64 = 0.0;
        for (k, x) in self.x.iter_mut().enumerate() {
            let i = (first + k) as f64;
            *x = (*x + i) / 2.0;
            distance = distance.max((*x - i).abs());
        }
        self.distance = team.max(distance);
        self.steps += 1.0;
        Ok(match self.distance {
            d if d <= self.method.tolerance => Status::Finished(Outcome::Reached),
            d if d <= self.method.floor => Status::Finished(Outcome::Stalled(format!("distance {d:e}"))),
            _ => Status::Running,
        })
    }

    fn reached(&self) -> bool {
        self.distance <= self.method.tolerance
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let slab = self.slab();
        walk.block(&X, &[self.rows.n], &slab, (&mut self.x).into())?;
        walk.scalar(&DISTANCE, (&mut self.distance).into())?;
        walk.scalar(&DONE, (&mut self.steps).into())
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut index: Vec<f64> = self.rows.mine().map(|i| i as f64).collect();
        walk.block(&INDEX, &[self.rows.n], &self.slab(), (&mut index).into())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let time = (self.method.snapshots > 0).then_some((TIME, 0.5 * self.steps));
        time.into_iter().chain([(DISTANCE, self.distance)]).collect()
    }

    fn snapshot_due(&self) -> Option<f64> {
        let every = self.method.snapshots;
        (every > 0 && (self.steps as u64).is_multiple_of(every)).then_some(0.5 * self.steps)
    }

    fn snapshot(&mut self, walk: &mut dyn Walk, _team: &dyn Team) -> Result<()> {
        let (n, slab) = (self.rows.n, self.slab());
        walk.replicated(&ITEM, &mut (0..n).map(|i| i as f64 / 7.0).collect())?;
        walk.block(&X, &[n], &slab, (&mut self.x).into())?;
        let mut powers: Vec<f32> = self.x.iter().flat_map(|&x| [x, x * x, x * x * x].map(|v| v as f32)).collect();
        walk.block(&POWERS, &[n, 3], &Hyperslab::rows(self.rows.mine(), &[3]), (&mut powers).into())?;
        walk.scalar(&DISTANCE, (&mut self.distance).into())?;
        walk.scalar(&ENDS, (&mut [self.steps, self.distance][..]).into())
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        if self.method.interrupt_results {
            return Err(Error::Interrupted);
        }
        let first = self.rows.mine().start;
        self.total = team.sum(self.rows, |i| self.x[i - first]);
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.scalar(&TOTAL, (&mut self.total).into())
    }

    fn report(&self) -> Vec<Number> {
        let n = self.rows.n as f64;
        let error = ErrorBar::Interval(self.total, self.total + n * self.distance);
        vec![Number { name: "total", unit: "m", meaning: "sum of x", value: self.total, error }]
    }

    fn work(&self) -> (f64, &'static str) {
        (self.steps * self.rows.n as f64, "items")
    }

    fn extras(&mut self, dir: &Path, team: &dyn Team) -> Result<Vec<String>> {
        if team.rank() == 0 {
            std::fs::write(dir.join("toy.txt"), "toy\n").map_err(|e| Error::file(dir, e))?;
        }
        Ok(vec!["toy.txt".into()])
    }
}
