//! The arguments, and the manual page that `--help` prints.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const ABOUT: &str = "Solvers that run on one laptop or on many ranks, with the same bits.";

const LONG_ABOUT: &str = "\
Spanwise solves the problem that a TOML input describes, on one core of a laptop or on the ranks of a cluster, and \
ends with one HDF5 file, a table of results with their error bars, and an exit code that scripts can rely on. The \
same input gives the same bits on any number of ranks and threads.";

/// Lines of at most 80 columns: narrower terminals break them, others and files get them as they are.
pub const MANUAL: &str = "\
\x1b[1mEXAMPLES\x1b[0m
  Look at what an input asks before running it, then run it on one rank and on
  four:
      spanwise check inputs/transport/color_transfer.toml --ranks 4
      spanwise run inputs/transport/color_transfer.toml
      mpirun -n 4 spanwise run inputs/transport/color_transfer.toml --force
  Change values without editing the file, stop after 55 minutes, go on later:
      spanwise run a.toml --set method.tolerance=1e-9 --walltime 55m
      spanwise run a.toml --resume
  Learn the keys of an input, complete and check them in an editor, after the
  line '#:schema ./spanwise.schema.json' at the top of the input:
      spanwise list transport
      spanwise schema transport > spanwise.schema.json
  Look at a result:
      spanwise info a.out/output.h5
      spanwise plot a.out -o a.png

\x1b[1mFILES\x1b[0m
  An input INPUT.toml names a solver and holds the sections [comment], [run],
  [output], [checkpoint], [problem] and [method]; paths in it are relative to
  it. A run writes the directory --output (default: the input's name with .out,
  in the working directory):
      output.h5        final state, series, results, inputs, provenance
      checkpoint.h5    what --resume goes on from
      report.json      status, numbers with their error bars, timings, rates
      run.log          what happened, with times
  and files that a solver adds (an image, an XDMF). A finished output is not
  overwritten without --force. One run at a time writes a directory.

\x1b[1mEXIT CODES\x1b[0m
  0  what was asked (tolerance, end time) was reached
  1  failed while running
  2  bad usage or input; nothing was written
  3  valid results, but not all that was asked: a limit of steps or wall time,
     a signal, or no further progress at this precision. output.h5 says which
     in its status, a checkpoint is there, and --resume goes on

\x1b[1mSIGNALS\x1b[0m
  SIGUSR1, SIGUSR2, SIGXCPU, SIGTERM, SIGINT and SIGHUP: all ranks agree, write
  a checkpoint and the output, and end with code 3. A second SIGINT ends at
  once. mpirun forwards SIGUSR1, SIGUSR2 and SIGXCPU; after SIGTERM or SIGINT to
  mpirun itself the ranks are killed soon (Open MPI: odls_base_sigkill_timeout,
  1 s), so job scripts send SIGUSR1 some minutes ahead of their limit.

\x1b[1mENVIRONMENT\x1b[0m
  RAYON_NUM_THREADS       threads per rank, when [run] threads is 0
  NO_COLOR                no colours
  OMPI_COMM_WORLD_SIZE, PMI_SIZE, SLURM_STEP_NUM_TASKS
                          how many ranks the launcher meant; a world of size 1
                          beside it is refused (wrong mpirun)";

#[derive(Debug, Parser)]
#[command(name = "spanwise", version, about = ABOUT, long_about = LONG_ABOUT, max_term_width = 120)]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Options common to all commands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Overwrite a finished output
    #[arg(long, global = true)]
    pub force: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// How progress is shown: a bar on a terminal without launcher, otherwise a line every few seconds
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub progress: ProgressChoice,
    /// When colours are used; auto: on a terminal, without launcher, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressChoice {
    Auto,
    Bar,
    Lines,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an input
    #[command(long_about = "Runs an input until its aim, a limit or a signal; see EXIT CODES and SIGNALS of \
        spanwise --help. Nothing is written before the input has been read and its data distributed.")]
    Run(RunArguments),
    /// Say what an input would take, without working
    #[command(
        long_about = "Reads an input and the headers of the files it names, and prints what was understood, the \
        memory of the largest rank item by item, messages per step, the sizes of the files and, for transport between \
        points, the expected time per step. MPI is started under a launcher only, so this works on a login node."
    )]
    Check(CheckArguments),
    /// List the solvers; with a name: its methods and every key of its input
    List {
        /// Solver to list in full
        solver: Option<String>,
    },
    /// Say what an HDF5 file holds and how it was made, or how this program was built
    Info(InfoArguments),
    /// Draw the figure a user of the solver expects first
    Plot(PlotArguments),
    /// Print the JSON schema of an input, for editors
    #[command(
        long_about = "Prints the JSON schema (draft 2020-12) of an input. Save it and name it in the first line \
        of an input, and editors complete and check keys as you type (VS Code with Even Better TOML, or any editor \
        with taplo):\n\n    spanwise schema transport > spanwise.schema.json\n    #:schema ./spanwise.schema.json"
    )]
    Schema {
        /// Solver; all of them when absent
        solver: Option<String>,
    },
    /// Print completions for a shell
    #[command(long_about = "Prints completions for a shell, for instance\n\n    \
        spanwise completions bash > ~/.local/share/bash-completion/completions/spanwise\n    \
        spanwise completions zsh > ~/.zfunc/_spanwise\n    \
        spanwise completions fish > ~/.config/fish/completions/spanwise.fish")]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// Input file
    #[arg(value_name = "INPUT.toml")]
    pub input: PathBuf,
    /// Directory of the results; default: the input's name with .out, in the working directory
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Go on from the newest good checkpoint in the output directory
    #[arg(long)]
    pub resume: bool,
    /// Change a value of the input; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,
    /// Stop cleanly after this much time since the start, e.g. 55m, 1h30m, 90s; goes before [run] walltime
    #[arg(long, value_name = "TIME")]
    pub walltime: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct CheckArguments {
    /// Input file
    #[arg(value_name = "INPUT.toml")]
    pub input: PathBuf,
    /// Number of ranks; default: those of the launcher, or 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub ranks: Option<u32>,
    /// Change a value of the input; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct InfoArguments {
    /// HDF5 file, or the directory of a run
    #[arg(value_name = "FILE.h5", required_unless_present = "build")]
    pub file: Option<PathBuf>,
    /// Features, library versions and kernels of this program
    #[arg(long, conflicts_with = "file")]
    pub build: bool,
}

#[derive(Debug, Clone, Args)]
pub struct PlotArguments {
    /// output.h5, or the directory of a run
    #[arg(value_name = "FILE.h5|DIR")]
    pub file: PathBuf,
    /// Figure to write, .png or .svg; default: beside the file, with its name
    #[arg(short, long, value_name = "PNG|SVG")]
    pub output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_or_after_the_command() {
        for line in
            [["spanwise", "--quiet", "run", "a.toml", "--force"], ["spanwise", "run", "a.toml", "--force", "--quiet"]]
        {
            let a = Arguments::try_parse_from(line).unwrap();
            assert!(a.common.quiet && a.common.force);
        }
        assert!(Arguments::try_parse_from(["spanwise", "run"]).is_err());
        assert!(Arguments::try_parse_from(["spanwise", "check", "a.toml", "--ranks", "0"]).is_err());
    }

    #[test]
    fn lines_of_the_manual_have_at_most_80_columns() {
        for line in MANUAL.lines() {
            assert!(line.replace("\x1b[1m", "").replace("\x1b[0m", "").chars().count() <= 80, "{line}");
        }
    }
}
