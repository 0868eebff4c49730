//! `spanwise run INPUT.toml`: options into the loop.

use std::io::IsTerminal;

use super::args::{Common, ProgressChoice, RunArguments};
use crate::error::{Error, Result};
use crate::input::parse_seconds;
use crate::interrupt;
use crate::observe::progress::Mode;
use crate::observe::report::Ending;
use crate::observe::terminal::{Style, under_launcher};
use crate::run::{self, Options};
use crate::team::{Team, machine};

pub fn run(arguments: &RunArguments, common: &Common, team: &dyn Team, style: Style) -> Result<Ending> {
    interrupt::install();
    let walltime = match &arguments.walltime {
        Some(text) => Some(parse_seconds(text).map_err(|e| Error::Usage(format!("--walltime {text}: {e}")))?),
        None => None,
    };
    if arguments.resume && common.force {
        return Err(Error::Usage("--resume goes on and --force starts over: give one of them".into()));
    }
    let input = super::read_input(&arguments.input, &arguments.sets, team)?;
    let plan = machine::threads_per_rank(input.run.threads, team);
    team.agree(machine::start_threads(&plan))?;
    let progress = match common.progress {
        _ if common.quiet => Mode::Quiet,
        ProgressChoice::Auto if under_launcher() || !std::io::stderr().is_terminal() => Mode::Lines,
        ProgressChoice::Auto | ProgressChoice::Bar => Mode::Bar,
        ProgressChoice::Lines => Mode::Lines,
        ProgressChoice::None => Mode::None,
    };
    let output = arguments.output.clone().unwrap_or_else(|| run::default_output(&arguments.input));
    if output.to_str().is_none() {
        return Err(Error::Usage(format!("output {output:?}: names of HDF5 files must be UTF-8")));
    }
    let options = Options {
        output,
        resume: arguments.resume,
        force: common.force,
        walltime,
        progress,
        style,
        advice: plan.advice,
    };
    run::run(&input, &options, team)
}
