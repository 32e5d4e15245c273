//! `segcdc completion`

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;

/// Prints a completion script.
///
/// # Errors
/// None; it has the type of the other commands.
pub(crate) fn run(shell: Shell, console: Console) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "segcdc", &mut script);
    console.data(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Ok)
}
