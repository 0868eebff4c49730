//! The door: arguments → Team → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    spanwise::interrupt::start();
    spanwise::team::machine::return_freed_vectors();
    ExitCode::from(spanwise::cli::main(std::env::args_os()))
}
