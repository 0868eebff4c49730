//! When a run ends that has not reached its aim, and when a checkpoint is due: decided once per step, by all ranks.

use std::time::Instant;

use crate::input::{Cadence, parse_seconds};
use crate::interrupt;
use crate::team::Team;

/// Why a run stopped short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Steps,
    Walltime,
    Signal(i32),
}

impl Limit {
    pub fn words(self) -> String {
        match self {
            Limit::Steps => "the limit of steps".to_string(),
            Limit::Walltime => "the limit of wall time".to_string(),
            Limit::Signal(s) => format!("signal {}", interrupt::name(s)),
        }
    }
}

/// When checkpoints are due.
#[derive(Debug, Clone)]
pub struct Schedule {
    every: Every,
    last: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Every {
    Steps(u64),
    Seconds(f64),
}

impl Schedule {
    pub fn new(every: &Cadence) -> Self {
        let every = match every {
            Cadence::Steps(n) => Every::Steps(*n),
            // Input::parse has read it before; a day is what no one would notice.
            Cadence::Time(text) => Every::Seconds(parse_seconds(text).unwrap_or(86400.0)),
        };
        Schedule { every, last: Instant::now() }
    }

    fn due(&self, step: u64) -> bool {
        match self.every {
            Every::Steps(n) => step.is_multiple_of(n),
            Every::Seconds(s) => self.last.elapsed().as_secs_f64() >= s,
        }
    }

    pub fn done(&mut self) {
        self.last = Instant::now();
    }
}

/// What all ranks know after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Some rank's step failed; `team.agree` says how.
    pub failed: bool,
    /// A signal or the wall time asks to stop.
    pub stop: Option<Limit>,
    /// Rank 0's clock or the step count asks for a checkpoint.
    pub checkpoint: bool,
}

const FAILED: u8 = 1;
const WALLTIME: u8 = 2;
const CHECKPOINT: u8 = 4;

/// One small gather per step: the same decisions on every rank.
pub fn agree(team: &dyn Team, failed: bool, step: u64, schedule: &Schedule) -> Verdict {
    let mut flags = 0;
    if failed {
        flags |= FAILED;
    }
    if interrupt::past_deadline() {
        flags |= WALLTIME;
    }
    if team.rank() == 0 && schedule.due(step) {
        flags |= CHECKPOINT;
    }
    let mine = [flags, interrupt::signal().unwrap_or(0) as u8];
    let mut all = vec![0; 2 * team.size()];
    team.gather_bytes_into(&mine, &vec![2; team.size()], &mut all);
    let any = |bit: u8| all.chunks_exact(2).any(|c| c[0] & bit != 0);
    let signal = all.chunks_exact(2).map(|c| c[1]).max().filter(|s| *s != 0);
    let stop = match signal {
        Some(s) => Some(Limit::Signal(i32::from(s))),
        None if any(WALLTIME) => Some(Limit::Walltime),
        None => None,
    };
    Verdict { failed: any(FAILED), stop, checkpoint: any(CHECKPOINT) }
}
