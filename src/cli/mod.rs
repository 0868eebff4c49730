//! The command line: one file per subcommand, no mathematics.

pub mod args;
pub mod check;
pub mod completions;
pub mod info;
pub mod list;
pub mod plot;
pub mod run;
pub mod schema;

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};

use crate::error::{Error, Result, tell};
use crate::input::{Input, did_you_mean, read_text};
use crate::observe::terminal::{Style, colour_on_stderr, colour_on_stdout, under_launcher};
use crate::run::{print, printed};
use crate::solvers::{self, Entry};
use crate::team::{self, Solo, Team, launch};
use args::{Arguments, ColorChoice, Command};

/// Everything `main` does: arguments in, exit code out. When it returns, MPI is finalised.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = command().try_get_matches_from(arguments).and_then(|m| Arguments::from_arg_matches(&m));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(e) if !e.use_stderr() => {
            let told = if speaks() { printed(e.print()) } else { Ok(()) };
            return told.map_or_else(|e| complain(&e, ColorChoice::Auto), |()| 0);
        }
        Err(e) => return refuse(&e),
    };
    let stdout = Style { colour: colour(arguments.common.color, colour_on_stdout) };
    let alone = match &arguments.command {
        Command::Run(_) => None,
        Command::Check(_) if under_launcher() => None,
        Command::Check(a) => Some(check::text(a, &Solo::start(), stdout)),
        other => {
            // For its panic hook: a panic ends with code 1.
            Solo::start();
            Some(alone(other, stdout))
        }
    };
    match alone {
        Some(Ok(text)) => {
            let told = if speaks() { print(&text) } else { Ok(()) };
            told.map_or_else(|e| complain(&e, arguments.common.color), |()| 0)
        }
        Some(Err(error)) if speaks() => complain(&error, arguments.common.color),
        Some(Err(error)) => {
            wait_for_rank_0();
            error.exit_code()
        }
        None => together(&arguments, stdout),
    }
}

/// Commands that never start MPI.
fn alone(command: &Command, style: Style) -> Result<String> {
    match command {
        Command::List { solver } => list::text(solver.as_deref(), style),
        Command::Info(a) => info::text(a),
        Command::Plot(a) => plot::plot(a),
        Command::Schema { solver } => schema::text(solver.as_deref()),
        Command::Completions { shell } => Ok(completions::text(*shell)),
        Command::Run(_) | Command::Check(_) => unreachable!("these two are started with their ranks"),
    }
}

/// Commands of all ranks.
fn together(arguments: &Arguments, style: Style) -> u8 {
    let team = match start_team() {
        Ok(team) => team,
        Err(error) => {
            if speaks() {
                return complain(&error, arguments.common.color);
            }
            wait_for_rank_0();
            return error.exit_code();
        }
    };
    let code = match &arguments.command {
        Command::Check(a) => check::text(a, team.as_ref(), style).and_then(|text| {
            let told = if team.rank() == 0 { print(&text) } else { Ok(()) };
            team.agree(told).map(|()| 0)
        }),
        Command::Run(a) => run::run(a, &arguments.common, team.as_ref(), style).map(|ending| ending.exit_code()),
        _ => unreachable!("only check and run have ranks"),
    };
    match code {
        Ok(code) => code,
        Err(error) => {
            if team.rank() == 0 {
                complain(&error, arguments.common.color);
            }
            if error.exit_code() == 1 {
                team::end_after_failure(team);
            }
            error.exit_code()
        }
    }
    // Dropping the team finalises MPI, which waits for rank 0's words: nobody's exit code cuts them short.
}

/// The ranks; refuses processes that were started together and did not meet.
fn start_team() -> Result<Box<dyn Team>> {
    let team = team::start()?;
    match launch::launcher_mismatch(team.size(), &launch::environment) {
        Some(message) => Err(Error::Usage(message)),
        None => Ok(team),
    }
}

/// Bad usage: one message from rank 0, code 2 from all.
fn refuse(error: &clap::Error) -> u8 {
    // Under a launcher the first process that ends with another code than 0 makes it kill the rest: meeting in MPI
    // lets rank 0 speak first.
    let team = if under_launcher() { team::start().ok() } else { None };
    if speaks() {
        if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // The short help says it better than a message.
            let _ = error.print();
            return 2;
        }
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        tell(format_args!("{} {}", Style { colour: colour_on_stderr() }.bad("spanwise:"), text.trim_end()));
    }
    drop(team);
    2
}

/// Whether this process is the one that prints, before any rank is known.
fn speaks() -> bool {
    launch::launcher_rank(&launch::environment).unwrap_or(0) == 0
}

/// Ranks that did not meet cannot wait for each other; the launcher kills all when the first one ends.
fn wait_for_rank_0() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}

/// One message, on stderr; gives the exit code.
fn complain(error: &Error, choice: ColorChoice) -> u8 {
    let style = Style { colour: colour(choice, colour_on_stderr) };
    // What a user did wrong is as wrong on any rank.
    let message = match error {
        Error::Remote { code: 2, message, .. } => message.clone(),
        other => other.to_string(),
    };
    tell(format_args!("{} {message}", style.bad("spanwise:")));
    error.exit_code()
}

fn colour(choice: ColorChoice, auto: fn() -> bool) -> bool {
    match choice {
        ColorChoice::Auto => auto(),
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    }
}

fn command() -> clap::Command {
    let choice = if under_launcher() { clap::ColorChoice::Never } else { clap::ColorChoice::Auto };
    Arguments::command().color(choice).after_help("spanwise --help is the manual.").after_long_help(args::MANUAL)
}

/// The registry entry of a name given on the command line.
fn solver(name: &str) -> Result<&'static Entry> {
    solvers::find(name).ok_or_else(|| {
        let names = || solvers::registry().iter().map(|e| e.name);
        let list = names().collect::<Vec<_>>().join(", ");
        Error::Usage(format!("unknown solver {name:?}{}; there is {list}", did_you_mean(name, names())))
    })
}

/// An input, read by rank 0 for all.
fn read_input(path: &Path, sets: &[String], team: &dyn Team) -> Result<Input> {
    let text = on_rank_0(team, || read_text(path))?;
    // The same text gives the same error everywhere.
    Input::parse(path, &text, sets)
}

/// A text that rank 0 makes, or its error, on every rank.
fn on_rank_0(team: &dyn Team, make: impl FnOnce() -> Result<String>) -> Result<String> {
    let mine = if team.rank() == 0 { make() } else { Ok(String::new()) };
    let code = [mine.as_ref().map_or_else(Error::exit_code, |_| 0)];
    let text = match &mine {
        Ok(text) => text.clone(),
        Err(error) => error.to_string(),
    };
    let code = team.broadcast(0, &code)[0];
    let text = String::from_utf8_lossy(&team.broadcast(0, text.as_bytes())).into_owned();
    match (mine, code) {
        (_, 0) => Ok(text),
        (Err(error), _) => Err(error),
        (Ok(_), code) => Err(Error::Remote { rank: 0, code, message: text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rank_0_reads_or_fails_to_read_reaches_every_rank() {
        let read = team::threads::run(3, |team| on_rank_0(team, || Ok("text".to_string())));
        assert!(read.iter().all(|r| r.as_deref() == Ok("text")));
        let failed = team::threads::run(3, |team| on_rank_0(team, || read_text(Path::new("/not/there.toml"))));
        for error in failed {
            let error = error.unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("/not/there.toml: no such file"), "{error}");
        }
    }
}
