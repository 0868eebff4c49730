//! `spanwise completions SHELL`.

use clap::CommandFactory;

use super::args::Arguments;

pub fn text(shell: clap_complete::Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "spanwise", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
