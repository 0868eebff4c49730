//! THE LOOP: build, step, look, finish, write. It knows no solver by name.

use std::path::{Path, PathBuf};
use std::time::Instant;

#[cfg(test)]
pub mod toy;

use crate::error::{Error, Result, tell};
use crate::input::Input;
use crate::interrupt;
use crate::io::{self, Checkpoint, Header, Intent, Lock, Sections, Segments, Storage};
use crate::observe::limits::{self, Limit, Schedule};
use crate::observe::log::Log;
use crate::observe::progress::{Look, Mode, Pace, Progress};
use crate::observe::report::{self, Ending, Report};
use crate::observe::series::Series;
use crate::observe::snapshots::Snapshots;
use crate::observe::terminal::Style;
use crate::observe::timings::{Metered, Timings, over_ranks};
use crate::solvers::{self, Entry, Left, Outcome, Solver, Status};
use crate::state::Name;
use crate::team::{Team, machine};

/// How an input is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the results.
    pub output: PathBuf,
    pub resume: bool,
    pub force: bool,
    /// Seconds since the start of the process; goes before the input's.
    pub walltime: Option<f64>,
    /// What rank 0 shows.
    pub progress: Mode,
    pub style: Style,
    /// What the log says about threads and cores.
    pub advice: Option<String>,
}

const STEPS: Name = Name { name: "steps", units: "1", meaning: "steps done", axes: &[] };

/// Runs an input to its end; collective. Prints the table of results and, where the aim was not reached, one line that
/// says why; errors are the caller's to print.
///
/// # Errors
/// Those with exit code 2 leave no trace on disk; after any other the newest checkpoint is still good.
pub fn run(input: &Input, options: &Options, team: &dyn Team) -> Result<Ending> {
    let started = Instant::now();
    let entry = solvers::find(&input.solver).ok_or_else(|| input.invalid("solver", "is not in this build"))?;
    let walltime = match (&options.walltime, &input.run.walltime) {
        (Some(seconds), _) => Some(*seconds),
        (None, Some(time)) => Some(time.seconds().map_err(|e| input.invalid("run.walltime", e))?),
        (None, None) => None,
    };
    interrupt::set_deadline(walltime);
    let team = &Metered::new(team);

    let early = claim(options, team, Claim::IfThere)?;
    fits_into_memory(input, entry, team)?;
    let solver = (entry.build)(input, team as &dyn Team);
    let solver = team_of(team).agree(solver)?;
    let lock = match early {
        Some(lock) => lock,
        None => claim(options, team, Claim::Now)?.expect("a claim made now is made"),
    };
    let log = open_log(options, team)?;
    let mut provenance = provenance(input, team);
    provenance.push(("run".into(), name_of_run(team)));
    provenance.extend(solver.provenance().into_iter().map(|(k, v)| (k.to_string(), v)));
    let mut run = Run {
        input,
        entry,
        options,
        team,
        series: Series::new(&solver.record()),
        snapshots: Snapshots::new(Segments::none(&options.output), &solver.record()),
        solver,
        step: 0,
        resumed_from: None,
        log,
        progress: Progress::new(if team.rank() == 0 { options.progress } else { Mode::None }),
        timings: Timings { build: started.elapsed().as_secs_f64(), ..Timings::default() },
        provenance,
        saved_at: None,
        work_before: 0.0,
        stepped: (0.0, 0.0),
        walltime,
        pace: Pace::default(),
        noted: 0,
    };
    let ended = run.go_to_the_end();
    run.progress.end();
    match &ended {
        Ok(ending) => run.log.line(&format!("end: {} {}", ending.status(), ending.reason())),
        Err(e) => run.log.line(&format!("error: {e}")),
    }
    drop(lock);
    ended
}

/// Refuses a run of which one rank alone needs more than a node has, before it is built.
fn fits_into_memory(input: &Input, entry: &Entry, team: &Metered) -> Result<()> {
    let team = team_of(team);
    let node = team.min(machine::node_memory() as f64) as u64;
    let fits = || {
        // What is wrong with the input is said where it is built.
        let Ok(estimate) = (entry.check)(input, team.size(), rayon::current_num_threads()) else { return Ok(()) };
        match estimate.lacks_memory(node) {
            Some(words) => Err(input.invalid(&estimate.size_key, words)),
            None => Ok(()),
        }
    };
    team.agree(if team.rank() == 0 { fits() } else { Ok(()) })
}

/// `dyn Team` has the typed methods.
fn team_of<'a>(team: &'a Metered<'_>) -> &'a (dyn Team + 'a) {
    team
}

#[derive(Clone, Copy, PartialEq)]
enum Claim {
    /// Take the lock of a directory that an earlier run made, so that a refusal comes before the work of building.
    IfThere,
    Now,
}

/// Takes the output directory; refuses one in use, and a finished output without `--force` or `--resume`.
fn claim(options: &Options, team: &Metered, when: Claim) -> Result<Option<Lock>> {
    let team = team_of(team);
    let there = team.rank() == 0 && options.output.join(".lock").exists();
    if when == Claim::IfThere && !team.any(there) {
        // Also refuses what is there without a lock file: a plain file, an output copied from elsewhere.
        let refused = if team.rank() == 0 { refuse(options) } else { Ok(()) };
        team.agree(refused)?;
        return Ok(None);
    }
    let intent = match (options.resume, options.force) {
        (true, _) => Intent::Resume,
        (false, true) => Intent::Overwrite,
        (false, false) => Intent::Fresh,
    };
    Lock::take(&options.output, intent, team).map(Some)
}

fn refuse(options: &Options) -> Result<()> {
    let shown = options.output.display();
    if options.output.exists() && !options.output.is_dir() {
        return Err(Error::Usage(format!("output directory {shown}: is a file")));
    }
    if options.resume && !io::checkpoint::present(&options.output) {
        return Err(Error::Usage(format!("--resume: there is no checkpoint in {shown}")));
    }
    if !options.resume && !options.force && options.output.join("output.h5").exists() {
        return Err(Error::Usage(format!(
            "output directory {shown} holds a finished output: --force overwrites it, --resume goes on, --output \
             DIR writes elsewhere"
        )));
    }
    Ok(())
}

fn open_log(options: &Options, team: &Metered) -> Result<Log> {
    let log = match team.rank() {
        0 => Log::open(&options.output.join("run.log"), options.resume),
        _ => Ok(Log::default()),
    };
    team_of(team).agree(log)
}

/// What may differ between runs with equal results.
fn provenance(input: &Input, team: &Metered) -> Vec<(String, String)> {
    let hosts = machine::hosts(team_of(team));
    let items = [
        ("ranks", team.size().to_string()),
        ("threads_per_rank", rayon::current_num_threads().to_string()),
        ("hosts", hosts.to_string()),
        ("kernels", format!("{:?}", input.run.kernels).to_lowercase()),
        ("processor", crate::build_info::processor_level().to_string()),
        (
            "mpi",
            crate::team::mpi_library_version().unwrap_or_else(|| "none".into()).lines().next().unwrap_or("").into(),
        ),
        ("input_file", input.path.display().to_string()),
    ];
    items.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
}

/// A name that no other run has, the same on every rank: when it began and the process of rank 0.
fn name_of_run(team: &Metered) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let mine = [since as u64, u64::from(std::process::id())];
    let root = team_of(team).broadcast(0, &mine);
    format!("{:x}-{:x}", root[0], root[1])
}

struct Run<'r> {
    input: &'r Input,
    entry: &'static Entry,
    options: &'r Options,
    team: &'r Metered<'r>,
    solver: Box<dyn Solver>,
    step: u64,
    resumed_from: Option<u64>,
    series: Series,
    snapshots: Snapshots,
    log: Log,
    progress: Progress,
    timings: Timings,
    provenance: Vec<(String, String)>,
    /// Step of the newest checkpoint.
    saved_at: Option<u64>,
    /// `work()` of the steps of earlier processes.
    work_before: f64,
    /// `work()` and seconds of this process's steps, once they are over.
    stepped: (f64, f64),
    walltime: Option<f64>,
    pace: Pace,
    /// The solver's notes that the log has.
    noted: usize,
}

impl Run<'_> {
    fn go_to_the_end(&mut self) -> Result<Ending> {
        self.log_header();
        if self.options.resume {
            self.resume()?;
        } else {
            self.snapshots.segments = Segments::start(&self.options.output, self.team)?;
        }
        self.work_before = self.solver.work().0;
        let ending = self.steps()?;
        // The checkpoint comes first: after a signal to mpirun there may be a second left. It is without the last record, which
        // a run that went on would not have where none is due.
        if self.saved_at != Some(self.step) {
            self.checkpoint()?;
        }
        if self.step > 0 {
            self.work(|solver, _, team| solver.measure(team))?;
            self.series.record(self.step, &self.solver.record());
        }
        interrupt::acknowledge();
        let finished = self.finish()?;
        let ending = match ending {
            ending if finished => confirmed(ending, self.solver.verdict()),
            Ending::Limit(why) => Ending::Limit(why),
            _ => Ending::Limit("a signal while its results were made".into()),
        };
        self.log_notes();
        self.write_output(&ending, finished)?;
        let report = self.report(&ending, finished)?;
        if self.team.rank() == 0 {
            self.progress.end();
            let table = report.table(&self.options.output, self.options.style);
            self.log.line(&report.table(&self.options.output, Style::default()));
            if let Err(e) = print(&table) {
                // The results are in their files.
                warn(self.team, &mut self.log, &self.progress, &e.to_string());
            }
            if ending != Ending::Converged {
                tell(format_args!("spanwise: {}", report::stopped_short(&report, &self.options.output)));
            }
        }
        Ok(ending)
    }

    /// Steps until the solver has finished or a limit is reached.
    fn steps(&mut self) -> Result<Ending> {
        if self.solver.reached() {
            return Ok(Ending::Converged);
        }
        let mut schedule = Schedule::new(&self.input.checkpoint.every);
        if self.step == 0 {
            let record = self.solver.record();
            // What runs in time has a state to show at its start; an iteration has none, nor has a filter before its first
            // observation.
            if record.iter().any(|(name, time)| name.name == "time" && !time.is_nan()) {
                self.series.record(0, &record);
            }
            self.snapshot()?;
        }
        while self.step < self.input.run.max_steps {
            let outcome = self.work(|solver, step, team| solver.step(step + 1, team));
            let failed = matches!(&outcome, Err(e) if *e != Error::Interrupted);
            let done = self.step + u64::from(outcome.is_ok());
            let verdict = limits::agree(self.team, failed, done, &schedule);
            if verdict.failed {
                return Err(match team_of(self.team).agree(outcome) {
                    Err(e) => e,
                    Ok(_) => unreachable!("the ranks agreed that a step failed"),
                });
            }
            let finished = match outcome {
                Ok(Status::Finished(outcome)) => Some(outcome),
                Ok(Status::Running) => None,
                // The state is untouched; without a request to stop that all ranks see there is none to obey.
                Err(_) => match verdict.stop {
                    Some(limit) => return Ok(Ending::Limit(limit.words())),
                    None => continue,
                },
            };
            self.step = done;
            self.look()?;
            self.snapshot()?;
            match finished {
                Some(Outcome::Reached) => return Ok(Ending::Converged),
                Some(Outcome::Stalled(why)) => return Ok(Ending::Stalled(why)),
                None => {}
            }
            if let Some(limit) = verdict.stop {
                return Ok(Ending::Limit(limit.words()));
            }
            if verdict.checkpoint {
                self.checkpoint()?;
                schedule.done();
            }
        }
        Ok(Ending::Limit(Limit::Steps.words()))
    }

    /// Calls into the solver, on the clock.
    fn work<R>(&mut self, call: impl FnOnce(&mut dyn Solver, u64, &dyn Team) -> R) -> R {
        let (start, waited) = (Instant::now(), self.team.seconds());
        let result = call(self.solver.as_mut(), self.step, self.team);
        let waited = self.team.seconds() - waited;
        self.timings.communication += waited;
        self.timings.compute += start.elapsed().as_secs_f64() - waited;
        result
    }

    fn look(&mut self) -> Result<()> {
        let due = self.step.is_multiple_of(self.input.output.every);
        if due {
            self.work(|solver, _, team| solver.measure(team))?;
        }
        let record = self.solver.record();
        if due {
            self.series.record(self.step, &record);
        }
        if self.team.rank() > 0 {
            return Ok(());
        }
        let (work, unit) = self.solver.work();
        let seconds = self.timings.compute + self.timings.communication;
        let outlook = self.solver.outlook();
        let most = self.input.run.max_steps;
        let (last, latest) = match outlook.left {
            Left::Steps(left) => {
                let last = Some(most.min(self.step + left));
                (last, last)
            }
            Left::Limit => (None, Some(most)),
            Left::Unknown => (None, None),
        };
        let for_steps = self.pace.seconds_left(outlook.stage, self.step, seconds, latest);
        let for_walltime = self.walltime.map(|w| w - interrupt::start().elapsed().as_secs_f64());
        let at_most = for_steps.into_iter().chain(for_walltime).reduce(f64::min).map(|s| s.max(0.0));
        let work = (work - self.work_before, unit);
        let look = Look { step: self.step, record: &record, work, seconds, last, at_most };
        self.progress.look(&look);
        if self.step.is_power_of_two() || self.step.is_multiple_of(1000) {
            self.log.line(&format!("step {}  {}", self.step, crate::observe::progress::words(&look)));
        }
        Ok(())
    }

    /// Keeps the state for `/fields` if the solver says that it is one to keep.
    fn snapshot(&mut self) -> Result<()> {
        let Some(time) = self.solver.snapshot_due() else { return Ok(()) };
        let start = Instant::now();
        let header = self.header("running");
        self.snapshots.take(self.step, time, self.solver.as_mut(), &header, self.team)?;
        self.timings.io += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn header(&self, status: &str) -> Header {
        Header {
            solver: self.entry.name.to_string(),
            input: self.input.text.clone(),
            seed: self.input.run.seed,
            status: status.to_string(),
            provenance: self.provenance.clone(),
        }
    }

    fn checkpoint(&mut self) -> Result<()> {
        let start = Instant::now();
        // First the records, so that none that the checkpoint's step is past is only in memory.
        self.snapshots.flush(&self.header("running"), self.team)?;
        let header = self.header("checkpoint");
        let (solver, series, step) = (&mut self.solver, &mut self.series, &mut self.step);
        let mut fill = |file: &mut dyn Sections| walk_checkpoint(file, solver.as_mut(), series, step);
        io::checkpoint::save(&self.options.output, self.input.checkpoint.keep, &header, self.team, &mut fill)?;
        let seconds = start.elapsed().as_secs_f64();
        self.timings.io += seconds;
        self.saved_at = Some(self.step);
        self.log.line(&format!("checkpoint at step {}, {seconds:.3} s", self.step));
        Ok(())
    }

    fn resume(&mut self) -> Result<()> {
        let start = Instant::now();
        let directory = &self.options.output;
        let none = || Error::Usage(format!("--resume: there is no checkpoint in {}", directory.display()));
        let checkpoint = Checkpoint::newest(directory, self.team)?.ok_or_else(none)?;
        for warning in &checkpoint.warnings {
            warn(self.team, &mut self.log, &self.progress, warning);
        }
        let changed = self.compare(&checkpoint)?;
        let (solver, series, step) = (&mut self.solver, &mut self.series, &mut self.step);
        let mut fill = |file: &mut dyn Sections| walk_checkpoint(file, solver.as_mut(), series, step);
        checkpoint.load(self.team, &mut fill).map_err(|e| match (&changed[..], e) {
            ([_, ..], Error::File { .. }) => Error::Usage(format!(
                "--resume: {} was written with another [method] ({} {}), and holds no state for this one; go on with \
                 that, or run without --resume",
                checkpoint.path.display(),
                changed.join(", "),
                if changed.len() == 1 { "differs" } else { "differ" }
            )),
            (_, e) => e,
        })?;
        self.solver.restored()?;
        let run = checkpoint.header("provenance/run").unwrap_or_default().to_string();
        self.snapshots.segments = Segments::resume(directory, &run, self.step, self.team)?;
        self.provenance.iter_mut().filter(|(key, _)| key == "run").for_each(|(_, value)| value.clone_from(&run));
        self.resumed_from = Some(self.step);
        self.pace = Pace::from(self.solver.outlook().stage, self.step);
        self.saved_at = Some(self.step);
        self.timings.io += start.elapsed().as_secs_f64();
        self.log.line(&format!("resumed at step {} from {}", self.step, checkpoint.path.display()));
        Ok(())
    }

    /// A checkpoint belongs to one problem and, by name, one method; a change of limits, and of the method's other keys where
    /// the state allows it, is the user's right. Returns the keys of the method that differ.
    fn compare(&mut self, checkpoint: &Checkpoint) -> Result<Vec<String>> {
        let differs = |what: &str| {
            let path = checkpoint.path.display();
            Err(Error::Usage(format!("--resume: {path} was written for another {what}; run without --resume")))
        };
        if checkpoint.header("solver") != Some(self.entry.name) {
            return differs("solver");
        }
        let table = |text: &str| text.parse::<toml::Table>().ok();
        let (old, new) = (checkpoint.header("input").and_then(table), table(&self.input.text));
        let changed = |name: &str| {
            let section = |t: &Option<toml::Table>| t.as_ref().and_then(|t| t.get(name)?.as_table().cloned());
            different(&section(&old).unwrap_or_default(), &section(&new).unwrap_or_default())
        };
        // What changes neither the state nor what is kept of it is free.
        let in_problem = changed("problem");
        if let Some(key) = in_problem.iter().find(|key| !self.entry.free.contains(&key.as_str())) {
            return differs(&format!("[problem] ({key} differs)"));
        }
        let in_method = changed("method");
        let may = |key: &str| self.entry.free_in_method.map_or(key != "name", |free| free.contains(&key));
        if let Some(key) = in_method.iter().find(|key| !may(key)) {
            return differs(&format!("[method] ({key} differs)"));
        }
        if checkpoint.header("seed").is_some_and(|s| s != self.input.run.seed.to_string()) {
            return differs("[run] seed");
        }
        for key in ["kernels", "kernel_level"] {
            let was = checkpoint.header(&format!("provenance/{key}"));
            let is = self.provenance.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
            if was.is_some() && was != is {
                let text = format!(
                    "the checkpoint was written with {key} {}, this run has {}: last digits may differ from those of \
                     an uninterrupted run",
                    was.unwrap_or(""),
                    is.unwrap_or("")
                );
                warn(self.team, &mut self.log, &self.progress, &text);
            }
        }
        Ok(in_method)
    }

    /// Certificates and derived results; a second signal gives them up.
    fn finish(&mut self) -> Result<bool> {
        self.stepped = (self.solver.work().0 - self.work_before, self.timings.compute + self.timings.communication);
        let finished = self.work(|solver, _, team| solver.finish(team));
        match team_of(self.team).agree(finished) {
            Ok(()) => Ok(true),
            Err(Error::Interrupted) => {
                let text = "interrupted while results were made: output.h5 has no /results; --resume makes them";
                warn(self.team, &mut self.log, &self.progress, text);
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    fn write_output(&mut self, ending: &Ending, finished: bool) -> Result<()> {
        let start = Instant::now();
        self.snapshots.flush(&self.header("running"), self.team)?;
        let mut header = self.header(ending.status());
        header.provenance.push(("reason".into(), ending.reason().into()));
        header.provenance.push(("wall_seconds".into(), format!("{:.3}", interrupt::start().elapsed().as_secs_f64())));
        header.provenance.push(("compute_seconds".into(), format!("{:.3}", self.timings.compute)));
        let (solver, series, step) = (&mut self.solver, &mut self.series, &mut self.step);
        let mut fill = |file: &mut dyn Sections| {
            file.section("state").scalar(&STEPS, std::slice::from_mut(step).into())?;
            solver.state(file.section("state"))?;
            series.walk(file.section("series"))?;
            solver.inputs(file.section("inputs"))?;
            if finished {
                solver.results(file.section("results"))?;
            }
            Ok(())
        };
        let storage = Storage::output(self.input.output.compression);
        let (path, segments) = (self.options.output.join("output.h5"), &self.snapshots.segments);
        io::save_joined(&path, &header, storage, self.team, &mut fill, Some(segments))?;
        self.snapshots.segments.published(self.team)?;
        self.timings.io += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn report(&mut self, ending: &Ending, finished: bool) -> Result<Report> {
        let start = Instant::now();
        let extras = match finished {
            true => self.solver.extras(&self.options.output, self.team),
            false => Ok(Vec::new()),
        };
        let extras = team_of(self.team).agree(extras)?;
        self.timings.io += start.elapsed().as_secs_f64();
        self.timings.total = interrupt::start().elapsed().as_secs_f64();
        let (_, unit) = self.solver.work();
        let (work, step_seconds) = self.stepped;
        let report = Report {
            solver: self.entry.name,
            input: self.input.path.display().to_string(),
            ending: ending.clone(),
            steps: self.step,
            resumed_from: self.resumed_from,
            numbers: if finished { self.solver.report() } else { Vec::new() },
            warnings: self.solver.notes().iter().filter_map(|n| Some(solvers::warning(n)?.to_string())).collect(),
            timings: over_ranks(self.team, self.timings, self.team.sent()),
            work,
            unit,
            step_seconds,
            finish_seconds: self.timings.compute + self.timings.communication - step_seconds,
            ranks: self.team.size(),
            threads: rayon::current_num_threads(),
            hosts: machine::hosts(self.team),
            files: ["output.h5", "report.json"].into_iter().map(String::from).chain(extras).collect(),
        };
        let saved = if self.team.rank() == 0 { report.save(&self.options.output) } else { Ok(()) };
        team_of(self.team).agree(saved)?;
        Ok(report)
    }

    /// Those of the solver's notes that the log has not yet: at first what was decided on the user's behalf, at the end what
    /// its results lack.
    fn log_notes(&mut self) {
        let notes = self.solver.notes();
        for note in notes.iter().skip(self.noted) {
            match solvers::warning(note) {
                Some(text) => warn(self.team, &mut self.log, &self.progress, text),
                None => self.log.line(&format!("note: {note}")),
            }
        }
        self.noted = notes.len();
    }

    fn log_header(&mut self) {
        let built = crate::build_info::one_line();
        self.log.line(&format!("{built}\nsolver {}, input {}", self.entry.name, self.input.path.display()));
        if let Some(advice) = &self.options.advice {
            self.log.line(&format!("advice: {advice}"));
        }
        for (key, value) in &self.provenance {
            self.log.line(&format!("{key}: {value}"));
        }
        self.log_notes();
        self.log.line(&format!("built in {:.3} s; input as run:\n{}", self.timings.build, self.input.text.trim_end()));
    }
}

/// How a run ended, by what its steps and what its results say: results that meet the aim do so at a limit too, and none
/// that miss it are called converged.
fn confirmed(ending: Ending, verdict: Option<Outcome>) -> Ending {
    match (verdict, ending) {
        (Some(Outcome::Reached), _) => Ending::Converged,
        (Some(Outcome::Stalled(why)), Ending::Converged | Ending::Stalled(_)) => Ending::Stalled(why),
        (_, ending) => ending,
    }
}

/// What a restart needs: the solver's own state, the count of steps, the series so far.
fn walk_checkpoint(
    file: &mut dyn Sections,
    solver: &mut dyn Solver,
    series: &mut Series,
    step: &mut u64,
) -> Result<()> {
    file.section("state").scalar(&STEPS, std::slice::from_mut(step).into())?;
    solver.state(file.section("state"))?;
    series.walk(file.section("series"))
}

fn warn(team: &Metered, log: &mut Log, progress: &Progress, text: &str) {
    if team.rank() == 0 {
        progress.say(&format!("spanwise: warning: {text}"));
        log.line(&format!("warning: {text}"));
    }
}

/// To stdout.
///
/// # Errors
/// [`Error::File`] as of [`printed`].
pub fn print(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// How writing to stdout went; a reader that has gone away (`spanwise … | head`) is no error, a full disk is.
pub fn printed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::file("standard output", e)),
        _ => Ok(()),
    }
}

/// The directory of results of an input: its stem with `.out`, in the working directory.
pub fn default_output(input: &Path) -> PathBuf {
    let mut name = input.file_stem().unwrap_or(std::ffi::OsStr::new("spanwise")).to_os_string();
    name.push(".out");
    PathBuf::from(name)
}

/// The keys whose values differ, or that one table lacks.
fn different(one: &toml::Table, other: &toml::Table) -> Vec<String> {
    let differ = |key: &&String| match (one.get(*key), other.get(*key)) {
        (Some(one), Some(other)) => !equal(one, other),
        _ => true,
    };
    let all = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
    all.filter(differ).cloned().collect()
}

/// Whether two values say the same, in whatever order keys stand: NaN is NaN, 1 is 1.0.
fn equal(one: &toml::Value, other: &toml::Value) -> bool {
    use toml::Value::{Array, Float, Integer, Table};
    match (one, other) {
        (Table(one), Table(other)) => different(one, other).is_empty(),
        (Array(one), Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Float(one), Float(other)) => one == other || (one.is_nan() && other.is_nan()),
        (Integer(whole), Float(x)) | (Float(x), Integer(whole)) => *whole as f64 == *x,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests;
