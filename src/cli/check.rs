//! `spanwise check INPUT.toml`: what a run would take. No work is done.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::args::CheckArguments;
use crate::error::Result;
use crate::input::format_seconds;
use crate::observe::numbers::{bytes, with_prefix};
use crate::observe::terminal::Style;
use crate::run::default_output;
use crate::solvers::Estimate;
use crate::team::{Team, machine};

/// Names, attributes and small datasets of a file.
const HEADINGS: u64 = 24 << 10;

/// The page; equal on every rank of a launcher.
pub fn text(arguments: &CheckArguments, team: &dyn Team, style: Style) -> Result<String> {
    let input = super::read_input(&arguments.input, &arguments.sets, team)?;
    let entry = super::solver(&input.solver)?;
    let ranks = arguments.ranks.map_or(team.size(), |n| n as usize);
    let plan = machine::threads_per_rank(input.run.threads, team);
    machine::start_threads(&plan)?;
    // One rank looks; the others wait for its answer, so that files are opened once.
    super::on_rank_0(team, || {
        let estimate = (entry.check)(&input, ranks, plan.threads)?;
        let (output, node) = (default_output(&input.path), machine::node_memory());
        Ok(page(&estimate, entry.name, [ranks, plan.threads], input.run.max_steps, &output, node, style))
    })
}

fn page(
    e: &Estimate,
    solver: &str,
    [ranks, threads]: [usize; 2],
    max_steps: u64,
    output: &Path,
    node: u64,
    style: Style,
) -> String {
    let mut out = format!("{}\n", style.heading(&format!("{solver}, understood as")));
    out += &columns(&e.problem);

    let heading = |what: &str| format!("\n{}\n", style.heading(what));
    out += &heading("memory of the largest rank");
    let total = e.total();
    let mut memory: Vec<(String, String)> = e.memory.iter().map(|(what, n)| (what.clone(), megabytes(*n))).collect();
    memory.push(("total".into(), megabytes(total)));
    if ranks > 1 {
        memory.push((format!("on {ranks} ranks, at most"), megabytes(e.own().saturating_mul(ranks as u64))));
    }
    out += &right_aligned(&memory);
    if let Some(words) = e.lacks_memory(node) {
        out += &style.bad(&format!("  {words}\n"));
    }

    out += &heading("each step, each rank");
    let mut step = vec![
        ("ranks × threads".to_string(), format!("{ranks} × {threads}")),
        ("sent".to_string(), format!("{} in {} messages", bytes(e.bytes_per_step), e.messages_per_step)),
    ];
    if e.messages_per_record > 0 {
        let more = format!("{} in {} messages more", bytes(e.bytes_per_record), e.messages_per_record);
        step.push(("for a record of /series".into(), more));
    }
    match e.seconds_per_step {
        Some(seconds) => {
            step.push(("time".into(), format!("{}s (from the rate of this machine now)", short_seconds(seconds))));
            let most = seconds * max_steps as f64;
            step.push((format!("at most {max_steps} steps"), format_seconds(most)));
        }
        None => step.push(("time".into(), "not known before a step is made".into())),
    }
    out += &columns(&step);

    out += &heading("files");
    // How many records there will be is not known of every run.
    let and_series = |size: u64| format!("{}, and 8 bytes for each number of /series", bytes(size));
    let [result, checkpoint] = [e.output_bytes, e.checkpoint_bytes].map(|size| size.saturating_add(HEADINGS));
    let mut files = vec![
        ("output.h5".to_string(), format!("{}, before compression", and_series(result))),
        ("checkpoint.h5".to_string(), and_series(checkpoint)),
    ];
    let free = free_bytes(output);
    if let Some(free) = free {
        files.push(("free on the disk".into(), bytes(free)));
    }
    out += &columns(&files);
    // Two checkpoints and a new one beside them, the output and its temporary name.
    let need = result.saturating_mul(2).saturating_add(checkpoint.saturating_mul(3));
    if free.is_some_and(|free| free < need) {
        out += &style.bad(&format!("  a run may need {} there: the disk is too full\n", bytes(need)));
    }
    out
}

fn columns(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("  {name:width$}  {value}\n")).collect()
}

fn right_aligned(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(_, value)| value.chars().count()).max().unwrap_or(0);
    let rows: Vec<_> = rows.iter().map(|(name, value)| (name.clone(), format!("{value:>width$}"))).collect();
    columns(&rows)
}

fn megabytes(n: u64) -> String {
    format!("{:.1} MB", n as f64 / 1e6)
}

fn short_seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => with_prefix(s, ""),
        s if s >= 1e-3 => format!("{:.3} m", s * 1e3),
        s => format!("{:.3} µ", s * 1e6),
    }
}

/// Free bytes where `path`, or the nearest directory above it that exists, lies.
fn free_bytes(path: &Path) -> Option<u64> {
    let mut directory = std::path::absolute(path).ok()?;
    while !directory.is_dir() {
        directory = directory.parent()?.to_path_buf();
    }
    let name = CString::new(directory.as_os_str().as_bytes()).ok()?;
    // SAFETY: a zero-terminated name, and a plain struct that the call fills.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut stat) == 0).then_some(stat)?
    };
    Some(stat.f_bavail as u64 * stat.f_frsize as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_adds_memory_up_and_warns_of_a_full_disk() {
        let e = Estimate {
            problem: vec![("points".into(), "1000 to 1000 in ℝ³".into())],
            size_key: "problem.size".into(),
            memory: vec![("points".into(), 48_000_000), ("potentials".into(), 16_000_000)],
            bytes_per_step: 16_000,
            messages_per_step: 4,
            bytes_per_record: 800,
            messages_per_record: 2,
            seconds_per_step: Some(0.002),
            output_bytes: u64::MAX / 4,
            checkpoint_bytes: 1,
        };
        let text = page(&e, "toy", [3, 2], 1000, Path::new("a.out"), 63_000_000, Style::default());
        assert!(text.contains("total                 64.0 MB"), "{text}");
        assert!(text.contains("on 3 ranks, at most  192.0 MB"), "{text}");
        assert!(text.contains("most of it for \"points\" (0.0 GB)"), "{text}");
        assert!(text.contains("16.0 kB in 4 messages") && text.contains("2.000 ms"), "{text}");
        assert!(text.contains("800 B in 2 messages more"), "{text}");
        assert!(text.contains("the disk is too full"), "{text}");
    }

    #[test]
    fn the_working_directory_has_free_bytes() {
        assert!(free_bytes(Path::new("not/there/yet.out")).unwrap() > 0);
    }
}
