//! The door: arguments → Team → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    spanwise::interrupt::start();
    spanwise::team::machine::return_freed_vectors();
    spanwise::team::machine::keep_lapack_on_one_thread();
    ExitCode::from(spanwise::cli::main(std::env::args_os()))
}
