//! Inputs with one mistake each.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Ended, listing, rank_counts, spanwise};

/// A line of a good input (from 1) replaced, and what the message must contain besides the file.
pub struct Case(pub usize, pub &'static str, pub &'static [&'static str]);

/// What a refused run must look like: exit code 2, one message of at most so many lines; the complaint, or nothing.
pub fn complaint(ended: &Ended, most_lines: usize, fragments: &[&str]) -> Option<String> {
    let messages = ended.messages();
    let said = |what: &str| Some(format!("{what}\n  stderr: {}", ended.stderr.trim()));
    if ended.codes.iter().any(|c| *c != 2) {
        return said(&format!("exit codes {:?}", ended.codes));
    }
    if messages.len() != 1 || ended.stderr.lines().filter(|l| !l.trim().is_empty()).count() > most_lines {
        return said(&format!("not exactly one message of at most {most_lines} lines"));
    }
    if ended.stderr.contains("panicked") || ended.stderr.contains("internal error") {
        return said("a panic");
    }
    match fragments.iter().find(|f| !ended.stderr.contains(**f)) {
        Some(missing) => said(&format!("the message does not say {missing:?}")),
        None => None,
    }
}

/// `check` refuses what [`refused_alike`] has written into `directory` too, with the same words, but for cases that say one of
/// `only_run`: these are found from values that a check does not compute.
pub fn check_refuses(directory: &Path, cases: &[Case], most_lines: usize, only_run: &[&str]) {
    let mut failures = Vec::new();
    for (k, Case(_, text, fragments)) in cases.iter().enumerate() {
        if fragments.iter().any(|f| only_run.iter().any(|o| f.contains(o))) {
            continue;
        }
        let checked = spanwise(1, &["check", &format!("case{k}.toml")], directory);
        failures.extend(complaint(&checked, most_lines, fragments).map(|what| format!("{text}: {what}")));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Every case is refused on 1 and on 3 ranks with exit code 2 and one message that says its fragments and its place,
/// and nothing is written. `place` makes the words for the place of a case in a file. Returns how the good input ends.
pub fn refused_alike(
    directory: &Path,
    good: &[&str],
    cases: &[Case],
    most_lines: usize,
    place: impl Fn(&str, &Case) -> String + Sync,
) -> i32 {
    for (k, Case(line, text, _)) in cases.iter().enumerate() {
        let mut lines = good.to_vec();
        lines[line - 1] = text;
        fs::write(directory.join(format!("case{k}.toml")), lines.join("\n") + "\n").unwrap();
    }
    fs::write(directory.join("good.toml"), good.join("\n") + "\n").unwrap();
    let before = listing(directory);
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || loop {
        let k = next.fetch_add(1, Ordering::Relaxed);
        let Some(case) = cases.get(k) else { return };
        let file = format!("case{k}.toml");
        let place = place(&file, case);
        let said: Vec<&str> = std::iter::once(place.as_str()).chain(case.2.iter().copied()).collect();
        for ranks in rank_counts() {
            let ended = spanwise(*ranks, &["run", &file, "--progress", "none"], directory);
            if let Some(what) = complaint(&ended, most_lines, &said) {
                failures.lock().unwrap().push(format!("{} on {ranks} ranks: {what}", case.1));
            }
        }
    };
    std::thread::scope(|s| (0..3).for_each(|_| drop(s.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(before, listing(directory), "something was written");
    spanwise(1, &["run", "good.toml"], directory).code()
}
