//! The checks that the compiler and clippy cannot make. `cargo xtask ci` runs everything that `make check` promises.
//!
//! - `layers`: which crate and which module may know which other, and who may do what
//! - `size`: the wall of 500 lines a file
//! - `words`: words that have no place in the product
//! - `codes`: that each code of the register is named by a test, and that the product says no other
//! - `reference`: the generated pages of `docs/reference`
//! - `ci`: all of them, with formatter, clippy, licences and documentation

mod ci;
mod codes;
mod layers;
mod reference;
mod size;
mod source;
mod words;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::source::Workspace;

/// Repository checks of SEG CDC.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// The checks.
#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Check that crates and modules know only what they may.
    Layers,
    /// Check that no file is over 500 lines.
    Size,
    /// Check that no file says what has no place in the product.
    Words,
    /// Check that each code of the register is named by a test, and that the product says no other.
    Codes,
    /// Check that the generated pages of docs/reference are current.
    Reference {
        /// Write them instead.
        #[arg(long)]
        write: bool,
    },
    /// Run every check, the external ones too.
    Ci,
}

/// One thing that is not as it should be: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    /// A path relative to the workspace, with a line where that helps, or a crate.
    place: String,
    /// What is wrong and what to do.
    problem: String,
}

impl Complaint {
    /// A complaint about `place`.
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Complaint { place: place.into(), problem: problem.into() }
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.place, self.problem)
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is this program's only output")]
fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(complaints) if complaints.is_empty() => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Ok(complaints) => {
            for complaint in &complaints {
                eprintln!("{complaint}");
            }
            eprintln!("{} found", complaints.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command and returns its complaints.
fn run(command: Command) -> Result<Vec<Complaint>> {
    let workspace = Workspace::open(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    match command {
        Command::Layers => layers::check(&workspace),
        Command::Size => size::check(&workspace),
        Command::Words => words::check(&workspace),
        Command::Codes => codes::check(&workspace),
        Command::Reference { write: true } => reference::write(&workspace).map(|()| Vec::new()),
        Command::Reference { write: false } => reference::check(&workspace),
        Command::Ci => ci::run(&workspace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a check on this repository.
    fn complaints_of(command: Command) -> Vec<Complaint> {
        run(command).expect("the repository can be read")
    }

    #[test]
    fn crates_and_modules_know_only_what_they_may() {
        assert_eq!(complaints_of(Command::Layers), []);
    }

    #[test]
    fn no_file_is_over_the_wall() {
        assert_eq!(complaints_of(Command::Size), []);
    }

    #[test]
    fn no_file_says_what_has_no_place() {
        assert_eq!(complaints_of(Command::Words), []);
    }
}
