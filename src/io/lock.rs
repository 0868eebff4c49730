//! One run per output directory, and no finished output overwritten by mistake.

use std::fs;
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::{checkpoint, h5, read::Reader};
use crate::error::{Error, Result};
use crate::team::Team;

/// What a run means to do with its output directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Start; refuse if an earlier run left something.
    Fresh,
    /// Start over: `--force`.
    Overwrite,
    /// Go on: `--resume`.
    Resume,
}

/// Held while a run writes its directory; given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    /// On rank 0 only.
    _file: Option<fs::File>,
}

impl Lock {
    /// Makes `directory` if need be and takes its lock; collective.
    ///
    /// # Errors
    /// [`Error::Usage`] when another run holds it, or when it holds results and `intent` is [`Intent::Fresh`].
    /// File systems that know no locks are used without.
    pub fn take(directory: &Path, intent: Intent, team: &dyn Team) -> Result<Self> {
        h5::start();
        let mut file = None;
        let taken = match team.rank() {
            0 => take(directory, intent).map(|f| file = Some(f)),
            _ => Ok(()),
        };
        team.agree(taken)?;
        Ok(Lock { _file: file })
    }
}

fn take(directory: &Path, intent: Intent) -> Result<fs::File> {
    let usage = |e: std::io::Error| Error::Usage(format!("output directory {}: {e}", directory.display()));
    fs::create_dir_all(directory).map_err(usage)?;
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(directory.join(".lock")).map_err(usage)?;
    // SAFETY: an open descriptor.
    let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if locked != 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock {
        let mut holder = String::new();
        // The name of the holder is a courtesy.
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.is_empty() { "another run" } else { holder.trim() };
        return Err(Error::Usage(format!("output directory {} is in use by {holder}", directory.display())));
    }
    refuse_results(directory, intent)?;
    let holder = format!("process {} on {}", std::process::id(), host());
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes())).map_err(usage)?;
    Ok(file)
}

fn refuse_results(directory: &Path, intent: Intent) -> Result<()> {
    let output = directory.join("output.h5");
    match intent {
        Intent::Resume => Ok(()),
        // Checkpoints of the run that is started over must not be taken for those of the new one.
        Intent::Overwrite => checkpoint::remove_all(directory),
        Intent::Fresh if output.exists() => {
            let status = Reader::open(&output).ok().and_then(|r| r.attribute("/", "status"));
            let status = status.map_or(String::new(), |s| format!(" (status: {s})"));
            let output = output.display();
            Err(Error::Usage(format!("{output} is there{status}: --force overwrites it, --resume goes on from it")))
        }
        Intent::Fresh if checkpoint::present(directory) => Err(Error::Usage(format!(
            "{} holds checkpoints of an unfinished run: --resume goes on from them, --force starts over",
            directory.display()
        ))),
        Intent::Fresh => Ok(()),
    }
}

fn host() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is as long as said; its last byte stays zero.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let end = name.iter().position(|&b| b == 0).unwrap_or(0);
    String::from_utf8_lossy(&name[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Header, Storage, save};
    use crate::team::{Solo, threads};

    #[test]
    fn a_directory_in_use_is_refused_and_names_who_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.out");
        let held = Lock::take(&path, Intent::Fresh, &Solo::start()).unwrap();
        for intent in [Intent::Fresh, Intent::Overwrite, Intent::Resume] {
            for error in threads::run(3, |team| Lock::take(&path, intent, team).unwrap_err()) {
                assert_eq!(error.exit_code(), 2);
                let who = format!("is in use by process {} on ", std::process::id());
                assert!(error.to_string().contains(&who), "{error}");
            }
        }
        drop(held);
        Lock::take(&path, Intent::Fresh, &Solo::start()).unwrap();
    }

    #[test]
    fn results_are_overwritten_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let team = Solo::start();
        let header = Header { status: "converged".into(), ..Default::default() };
        checkpoint::save(dir.path(), 2, &header, &team, &mut |_| Ok(())).unwrap();
        let error = Lock::take(dir.path(), Intent::Fresh, &team).unwrap_err().to_string();
        assert!(error.contains("checkpoints of an unfinished run: --resume"), "{error}");
        save(&dir.path().join("output.h5"), &header, Storage::output(0), &team, &mut |_| Ok(())).unwrap();
        let error = Lock::take(dir.path(), Intent::Fresh, &team).unwrap_err().to_string();
        assert!(error.contains("output.h5 is there (status: converged): --force"), "{error}");
        drop(Lock::take(dir.path(), Intent::Resume, &team).unwrap());
        assert!(checkpoint::present(dir.path()));
        drop(Lock::take(dir.path(), Intent::Overwrite, &team).unwrap());
        assert!(!checkpoint::present(dir.path()));
    }
}
