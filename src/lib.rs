//! Spanwise: solvers that run on one laptop or on many ranks, with the same bits.
//!
//! The map, in reading order:
//!
//! 1. [`team`]: ranks. [`state`]: the one list that names a solver's state. [`error`]: what can go wrong.
//! 2. [`input`]: `input.toml` as a value. [`run`]: the only loop. [`interrupt`]: the flag that asks it to stop.
//! 3. [`solvers`]: one room per solver, behind one trait and one registry.
//! 4. [`particles`]: the engine of the rooms that move populations of particles.
//! 5. [`io`]: HDF5 and the files of inputs. [`observe`]: progress, log, output, checkpoint, limits.
//! 6. [`plot`]: figures. [`cli`]: one file per subcommand. [`build_info`]: how the program was built. [`math`]: serial mathematics shared by rooms.

pub mod build_info;
pub mod cli;
pub mod crew;
pub mod error;
pub mod input;
pub mod interrupt;
pub mod io;
pub mod math;
pub mod observe;
pub mod particles;
pub mod plot;
pub mod run;
pub mod solvers;
pub mod state;
pub mod team;
