//! A signal in the middle of a step: the step is given up on every rank together, its state is untouched, and the run
//! goes on to the bits of an undisturbed one. (A test file of its own: the flag is the process's.)

mod common;

use std::sync::Mutex;
use std::time::Duration;

use common::{Save, Stored};
use spanwise::error::Error;
use spanwise::interrupt;
use spanwise::solvers::Status;
use spanwise::team::threads;

fn state(solver: &mut dyn spanwise::solvers::Solver) -> Stored {
    let saved = Mutex::new(Stored::new());
    solver.state(&mut Save(&saved)).unwrap();
    saved.into_inner().unwrap()
}

#[test]
fn an_abandoned_step_leaves_no_trace_and_the_run_ends_with_the_same_bits() {
    for (name, text) in common::problems() {
        let disturbed = threads::run(1, |team| {
            let mut solver = common::build(&text, team);
            let (mut step, mut abandoned) = (0, 0);
            while step < 30 {
                let before = state(solver.as_mut());
                // Early in the step or late: both outcomes are right, and both are checked.
                let alarm = std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_micros(20 * (step % 7)));
                    interrupt::request(libc::SIGUSR1);
                });
                let first = solver.step(step, team);
                alarm.join().unwrap();
                interrupt::acknowledge();
                let status = match first {
                    Err(Error::Interrupted) => {
                        abandoned += 1;
                        let after = state(solver.as_mut());
                        // A divergence keeps those of its three problems that had made their step.
                        for (key, value) in before.iter().filter(|_| name != "divergence") {
                            assert!(
                                after.get(key) == Some(value),
                                "{name}: {key} has a trace of the abandoned step {step}"
                            );
                        }
                        solver.step(step, team).unwrap()
                    }
                    other => other.unwrap(),
                };
                step += 1;
                if let Status::Finished(_) = status {
                    break;
                }
            }
            (state(solver.as_mut()), abandoned)
        })
        .remove(0);
        let undisturbed = threads::run(1, |team| {
            let mut solver = common::build(&text, team);
            common::advance(solver.as_mut(), team, 0, 30);
            state(solver.as_mut())
        })
        .remove(0);
        for (key, value) in &undisturbed {
            assert!(disturbed.0.get(key) == Some(value), "{name}: {key} differs after {} abandoned steps", disturbed.1);
        }
    }
}
