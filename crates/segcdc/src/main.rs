//! `segcdc`: a PostgreSQL to SQL Server replication pipeline from two URLs.
//!
//! ```text
//! main --> secret_url (hide passwords) --> arguments --> commands::* --> engine
//!                                             settings --^    |
//!                                                             v
//!           exit <-- error                console, findings, plan_view, progress
//! ```
//!
//! - [`arguments`], [`pipeline_file`], [`settings`], [`network`], [`worker`], [`secret_url`]: what the user wants
//! - [`commands`]: what is done about it, one file a command
//! - [`console`], [`text`], [`paint`], [`phases`], [`screen`], [`findings`], [`plan_view`], [`effects_view`], [`progress`], [`logs`]: what is shown
//! - [`error`], [`exit`], [`signals`]: how it ends

mod arguments;
mod commands;
mod console;
mod copy_view;
mod effects_view;
mod environment;
mod error;
mod exit;
mod findings;
mod large_transaction;
mod link_view;
mod logs;
mod network;
mod paint;
mod phases;
mod pipeline_file;
mod plan_view;
mod post_load_view;
mod progress;
mod report;
mod screen;
mod secret_url;
mod settings;
mod signals;
mod text;
mod worker;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::arguments::Arguments;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::paint::Paint;
use crate::pipeline_file::{Understood, Unread};
use crate::signals::Signals;

/// How long tasks may go on after the command has ended: enough to close a session, not to be noticed.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// What is said when a password was on the command line.
const HIDDEN: &str = "hint: a password on the command line can be read by every user of this machine and stays in the \
                      shell's history; give the URL by SEGCDC_SOURCE_URL or SEGCDC_TARGET_URL, @FILE or - (standard input)";

fn main() -> ExitCode {
    let given: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some(hidden) = secret_url::hide(&given) {
        writeln!(io::stderr(), "{HIDDEN}").ok();
        return fail(&secret_url::execute_again(hidden), None);
    }
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let words: Vec<OsString> = env::args_os().collect();
    let variable = |name: &str| env::var(name).ok();
    let understood = match pipeline_file::understand(&words, &mut io::stdin().lock(), &variable) {
        Ok(understood) => understood,
        Err(Unread::CommandLine(error)) => return not_understood(&error),
        Err(Unread::File(error, global)) => return fail(&error, Some(Console::new(&global, no_color))),
    };
    let Understood { arguments, notes } = understood;
    let console = Console::new(&arguments.global, no_color);
    for note in notes {
        console.talk(&format!("{} {note}", console.paint.dim("note:")));
    }
    for warning in environment::unknown(env::vars_os().map(|(name, _)| name)) {
        console.talk(&format!("{} {warning}", console.paint.yellow("warning:")));
    }
    match execute(arguments, console) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => fail(&error, Some(console)),
    }
}

/// Runs the command on a runtime of its own.
fn execute(arguments: Arguments, console: Console) -> Result<Exit, CliError> {
    logs::start(&arguments.global.log_level, arguments.global.log_format, console.paint == Paint::Colour)?;
    // Fails only when a provider is there already, and then there is one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = Runtime::new()
        .map_err(|error| CliError::runtime("RUNTIME", "no threads could be started", &error))?;
    let outcome = runtime.block_on(async {
        let signals = Signals::listen()
            .map_err(|error| CliError::runtime("RUNTIME", "signals cannot be received", &error))?;
        commands::run(arguments.command, console, signals).await
    });
    runtime.shutdown_timeout(AFTERWARDS);
    outcome
}

/// Shows an error in the form that was asked for.
fn fail(error: &CliError, console: Option<Console>) -> ExitCode {
    match console {
        Some(console) if console.is_json() => console.data(&error.to_json()),
        Some(console) => console.talk(&error.render(console.paint)),
        None => {
            writeln!(io::stderr(), "{}", error.render(Paint::Plain)).ok();
        }
    }
    ExitCode::from(error.exit.code())
}

/// Help and version go to standard output; what is wrong with the command line to standard error, without passwords.
fn not_understood(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let text = secret_url::redact(&error.render().to_string());
        writeln!(io::stderr(), "{}", text.trim_end()).ok();
        return ExitCode::from(Exit::Usage.code());
    }
    error.print().ok();
    ExitCode::from(Exit::Ok.code())
}
