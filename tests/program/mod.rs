//! Runs the real program, alone or under mpirun, with a limit of time.

#![allow(dead_code)] // each test binary uses its share

pub mod malformed;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// One exit code per rank.
    pub codes: Vec<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn code(&self) -> i32 {
        assert!(self.codes.windows(2).all(|w| w[0] == w[1]), "the ranks disagree: {self:?}");
        self.codes[0]
    }

    /// The messages of spanwise on stderr; what mpirun adds is not ours.
    pub fn messages(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("spanwise:")).collect()
    }
}

/// What Open MPI needs on a small or shared machine, and as root. A rank that ends with a code other than 0 does not
/// make mpirun kill the others here: every rank's own code is asked for.
const MPI: [(&str, &str); 9] = [
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
    ("OMPI_MCA_pml", "ob1"),
    ("OMPI_MCA_btl", "self,vader"),
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("OMPI_MCA_hwloc_base_binding_policy", "none"),
    ("OMPI_MCA_mpi_yield_when_idle", "1"),
    ("OMPI_MCA_orte_abort_on_non_zero_status", "0"),
    ("RAYON_NUM_THREADS", "1"),
];

pub const SPANWISE: &str = env!("CARGO_BIN_EXE_spanwise");

/// `spanwise ARGUMENTS`, or under `mpirun -n RANKS` when there are several.
pub fn command(ranks: usize, arguments: &[&str], directory: &Path) -> Command {
    let mut command = if ranks == 1 {
        Command::new(SPANWISE)
    } else {
        let mut command = Command::new("mpirun");
        // The shell keeps each rank's exit code, of which mpirun would tell one.
        command.args(["-n", &ranks.to_string(), "sh", "-c", "\"$0\" \"$@\"; echo $? > \"$CODES/code.$$\"", SPANWISE]);
        command
    };
    command.args(arguments).current_dir(directory).envs(MPI).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// `mpirun -n RANKS spanwise ARGUMENTS` as users start it: signals reach the ranks, and its own exit code counts.
pub fn mpirun(ranks: usize, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string(), SPANWISE]).args(arguments).current_dir(directory).envs(MPI);
    command.env_remove("OMPI_MCA_orte_abort_on_non_zero_status").stdin(Stdio::null());
    command
}

/// Runs to the end, at most 20 seconds.
pub fn spanwise(ranks: usize, arguments: &[&str], directory: &Path) -> Ended {
    finish(command(ranks, arguments, directory), ranks, Duration::from_secs(20))
}

pub fn finish(command: Command, ranks: usize, limit: Duration) -> Ended {
    start(command, ranks).wait(limit)
}

/// A program under way; its words go to files, so that no pipe fills up.
pub struct Running {
    pub child: Child,
    ranks: usize,
    words: tempfile::TempDir,
    what: String,
}

pub fn start(mut command: Command, ranks: usize) -> Running {
    let words = tempfile::tempdir().unwrap();
    let file = |name: &str| File::create(words.path().join(name)).unwrap();
    let what = format!("{command:?}");
    command.stdout(file("stdout")).stderr(file("stderr")).env("CODES", words.path());
    let child = command.spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
    Running { child, ranks, words, what }
}

impl Running {
    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that is not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn wait(mut self, limit: Duration) -> Ended {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > limit => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    panic!("{} hangs after {limit:?}\n{}", self.what, self.read("stderr"));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let (stdout, stderr) = (self.read("stdout"), self.read("stderr"));
        if self.ranks == 1 {
            return Ended { codes: vec![status.code().unwrap_or(-1)], stdout, stderr };
        }
        let entries = std::fs::read_dir(self.words.path()).unwrap().map(|e| e.unwrap().file_name());
        let names = entries.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("code."));
        let codes: Vec<i32> = names.map(|name| self.read(&name).trim().parse().unwrap()).collect();
        assert_eq!(codes.len(), self.ranks, "{}\n{stderr}", self.what);
        Ended { codes, stdout, stderr }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.words.path().join(name)).unwrap()).into_owned()
    }
}

/// 1 and 3 ranks; 1 where there is no MPI.
pub fn rank_counts() -> &'static [usize] {
    if cfg!(feature = "mpi") { &[1, 3] } else { &[1] }
}

/// An array of f64 as `.npy`, format 1.0.
pub fn npy(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let list: String = shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({list}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

/// Everything in a directory, by name, for "nothing written".
pub fn listing(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(listing(&path).into_iter().map(|n| format!("{}/{n}", path.display())));
        }
        names.push(path.display().to_string());
    }
    names.sort();
    names
}
