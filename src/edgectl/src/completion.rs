//! Shell completion, from the same definitions as the command line.
//!
//! In: a shell. Out: its script. Never offers a value for a flag that needs none.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::Arguments;
use crate::error::Failure;

/// Prints the completion script of a shell.
pub fn print(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    clap_complete::generate(shell, &mut Arguments::command(), "edgectl", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
