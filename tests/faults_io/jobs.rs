//! Small jobs under mpirun or alone, and how they end.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use spanwise::error::{Result, tell};
use spanwise::io::{self, Sections, Storage, checkpoint};
use spanwise::team::{self, Team};

use super::toy::*;

fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
}

/// One rank of a job; the exit code is the suite's.
fn program(which: &str, dir: &Path, team: &dyn Team) -> Result<()> {
    let output = dir.join("output.h5");
    match which {
        "save" => save(&output, team, 0, 0.0),
        "save_compressed" => save(&output, team, 4, 0.0),
        "fields" => save_fields(dir, team),
        "checkpoint" => save_checkpoint(dir, team, 1.0).and_then(|()| save_checkpoint(dir, team, 2.0)),
        "load" => {
            let (offset, warnings) = load_checkpoint(dir, team)?;
            if team.rank() == 0 {
                println!("offset {offset}, {} warnings: {warnings:?}", warnings.len());
            }
            Ok(())
        }
        // The disk is full: for all, or (as a quota or a failing mount may look) for one rank only.
        "full" | "full_compressed" | "full_on_root" | "full_on_last" | "full_checkpoint" => {
            let hit = match which {
                "full_on_root" => team.rank() == 0,
                "full_on_last" => team.rank() + 1 == team.size(),
                _ => true,
            };
            if hit {
                limit_file_size(1 << 20);
            }
            match which {
                "full_checkpoint" => save_checkpoint(dir, team, 3.0),
                "full_compressed" => save(&output, team, 9, 3.0),
                _ => save(&output, team, 0, 3.0),
            }
        }
        // The disk fills up after the reservation: before the blocks are written, or when what HDF5 keeps in memory is
        // all that is left to write.
        "full_late" | "full_late_on_last" | "full_late_checkpoint" | "full_at_flush" => {
            let mut toy = Toy::new(team, 3.0);
            let mut pass = 0;
            let hit = which != "full_late_on_last" || team.rank() + 1 == team.size();
            let mut fill = |s: &mut dyn Sections| {
                pass += 1;
                if pass == 2 && hit && which != "full_at_flush" {
                    limit_file_size(1 << 16);
                }
                toy.walk(s)?;
                if pass == 2 && which == "full_at_flush" {
                    limit_file_size(1 << 12);
                }
                Ok(())
            };
            match which {
                "full_late_checkpoint" | "full_at_flush" => {
                    checkpoint::save(dir, 2, &header(team), team, &mut fill).map(drop)
                }
                _ => io::save(&output, &header(team), Storage::output(0), team, &mut fill),
            }
        }
        // The last rank dies between the blocks of the second pass.
        "killed" => {
            let mut toy = Toy::new(team, 3.0);
            let mut pass = 0;
            io::save(&output, &header(team), Storage::output(0), team, &mut |s| {
                toy.walk(s)?;
                pass += 1;
                if pass == 2 && team.rank() + 1 == team.size() {
                    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                }
                Ok(())
            })
        }
        other => panic!("no program {other}"),
    }
}

pub fn run_as_rank(which: &str, dir: &Path) -> ! {
    let team = team::start().unwrap();
    let outcome = program(which, dir, &*team);
    let code = outcome.as_ref().map_or_else(|e| e.exit_code(), |()| 0);
    if let (Err(error), 0) = (&outcome, team.rank()) {
        tell(error);
    }
    if code == 1 {
        team::end_after_failure(team);
    }
    drop(team);
    std::process::exit(code.into())
}

pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a program on `ranks` MPI ranks, or in one process without MPI for 0; fails after 30 s.
pub fn job(ranks: usize, which: &str, dir: &Path) -> Ended {
    let me = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(if ranks > 0 { Path::new("mpirun") } else { &me });
    if ranks > 0 {
        command.args(["-n", &ranks.to_string()]).arg(&me);
        for (key, value) in [
            ("ALLOW_RUN_AS_ROOT", "1"),
            ("ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("MCA_rmaps_base_oversubscribe", "1"),
            ("MCA_hwloc_base_binding_policy", "none"),
            ("MCA_mpi_yield_when_idle", "1"),
            ("MCA_pml", "ob1"),
            ("MCA_btl", "self,vader"),
        ] {
            command.env(format!("OMPI_{key}"), value);
        }
    }
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    command.args(["--program", which]).arg(dir);
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut child = command.spawn().expect("mpirun can be started");
    let start = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("{which} on {ranks} ranks hangs; stderr: {}", fs::read_to_string(&err).unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ended { code, out: fs::read_to_string(out).unwrap(), err: fs::read_to_string(err).unwrap() }
}

/// Rank counts under mpirun; 0 is the plain process.
pub fn launches() -> &'static [usize] {
    if cfg!(feature = "mpi") { &[0, 1, 2, 3] } else { &[0] }
}

/// Runs `test` for each launch at the same time: a job that fails spends its time in mpirun's patience.
pub fn at_once(launches: &[usize], test: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for &ranks in launches {
            let test = &test;
            scope.spawn(move || test(ranks));
        }
    });
}

/// mpirun adds its own words when a rank fails: between two lines of dashes, before ours or after, and how often it
/// left them out. Open MPI's MPI-IO adds a line before.
pub fn our_words(err: &str) -> Vec<&str> {
    let mut theirs = false;
    let ours = |line: &&str| {
        let dashes = line.starts_with("-----");
        theirs ^= dashes;
        !theirs && !dashes && !line.trim().is_empty() && !line.starts_with("mca_fbtl") && !line.starts_with('[')
    };
    err.lines().filter(ours).collect()
}
