//! [`Console`]: data to standard output, talk to standard error.
//!
//! A reader that goes away (`segcdc status | head -1`) is no error: what it did not want is dropped.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

use crate::arguments::{Global, Output};
use crate::error::CliError;
use crate::findings::Detail;
use crate::paint::Paint;

/// Where a command writes to, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// Form of the data.
    pub(crate) output: Output,
    /// How much of what is well is shown.
    pub(crate) detail: Detail,
    /// Colours of standard error.
    pub(crate) paint: Paint,
    /// Colours of standard output.
    pub(crate) data_paint: Paint,
    /// Whether a person can answer: standard input and standard error are a terminal.
    pub(crate) can_ask: bool,
    /// Whether standard error is a terminal.
    pub(crate) can_draw: bool,
}

// === impl Console ===

impl Console {
    /// For this process.
    pub(crate) fn new(global: &Global, no_color: bool) -> Self {
        let can_draw = io::stderr().is_terminal();
        Console {
            output: global.output,
            detail: if global.verbose { Detail::All } else { Detail::Problems },
            paint: Paint::of(&io::stderr(), no_color),
            data_paint: Paint::of(&io::stdout(), no_color),
            can_ask: can_draw && io::stdin().is_terminal(),
            can_draw,
        }
    }

    /// Writes data.
    pub(crate) fn data(&self, text: &str) {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).ok();
    }

    /// Writes data as one JSON object over several lines.
    pub(crate) fn json(&self, value: &impl Serialize) {
        self.data(&serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// Writes data as one JSON object on one line.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        self.data(&serde_json::to_string(value).unwrap_or_default());
    }

    /// Says something to a person.
    pub(crate) fn talk(&self, text: &str) {
        writeln!(io::stderr().lock(), "{text}").ok();
    }

    /// Shows what goes on unprotected because the URLs say so.
    pub(crate) fn consents(&self, consents: &[String]) {
        for consent in consents {
            self.talk(&format!("{} {consent}", self.paint.yellow("by your consent,")));
        }
    }

    /// Checks that the command has the wanted output form.
    ///
    /// # Errors
    /// `OUTPUT_FORMAT`.
    pub(crate) fn allow(&self, command: &str, allowed: &[Output]) -> Result<(), CliError> {
        if allowed.contains(&self.output) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(|output| output.name()).collect();
        let message = format!("`segcdc {command}` has no output form \"{}\"", self.output.name());
        Err(CliError::usage("OUTPUT_FORMAT", message, format!("it has {}", names.join(", "))))
    }

    /// Whether the data is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Asks a person whether to go on; only a "y" or "yes" is a yes.
    pub(crate) fn ask(&self, question: &str) -> bool {
        let mut err = io::stderr().lock();
        write!(err, "{question} [y/N] ").and_then(|()| err.flush()).ok();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok();
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Checks that there is somebody to ask, or that the answer was given with `--yes`.
    ///
    /// # Errors
    /// `CONFIRMATION_REQUIRED`.
    pub(crate) fn confirmable(&self, yes: bool, command: &str) -> Result<(), CliError> {
        if yes || self.can_ask {
            return Ok(());
        }
        let message =
            format!("`segcdc {command}` asks before it changes anything, and there is no terminal to ask at");
        Err(CliError::usage(
            "CONFIRMATION_REQUIRED",
            message,
            "give --yes; `segcdc plan` shows what would be done",
        ))
    }
}
