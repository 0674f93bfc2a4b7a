//! The click(1) command line: `run` runs a Click text alone (or the parts of a cut together), `flatten` prints it flat, `elements` documents the classes.
//!
//! Texts, exit status (0, or 1 on any error) and handler output are those of click(1). This is the one place that reads
//! the clock for a router that runs alone.

mod archive;
mod control;
mod drive;
mod elements;
pub mod example;
mod library;
mod load;
pub mod parts;
mod processes;
pub mod reference;
mod run;
mod run_parts;
mod signals;

pub use elements::ElementsArgs;
pub use run::{FlattenArgs, RunArgs};

/// Runs a router; the exit status of the process.
pub fn run(args: &RunArgs) -> u8 {
    run::main(args)
}

/// Prints a configuration in flat form; the exit status of the process.
pub fn flatten(args: &FlattenArgs) -> u8 {
    run::flatten(args)
}

/// Documents element classes; the exit status of the process.
pub fn elements(args: &ElementsArgs) -> u8 {
    elements::main(args)
}
