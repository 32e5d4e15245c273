//! `segcdc version`

use serde::Serialize;

use crate::arguments::Output;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;

/// What this program is.
#[derive(Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// Shows the version.
///
/// # Errors
/// When the output form does not exist.
pub(crate) fn run(console: Console) -> Result<Exit, CliError> {
    console.allow("version", &[Output::Table, Output::Json])?;
    let version = Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    if console.is_json() {
        console.json(&version);
    } else {
        console.data(&format!("{} {}", version.name, version.version));
    }
    Ok(Exit::Ok)
}
