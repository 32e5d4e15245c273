//! [`CliError`]: the one error object, for people and for programs.

use std::error::Error;
use std::fmt::Write;
use std::ops::{Deref, DerefMut};

use segcdc_model::Fault;
use serde::Serialize;

use crate::exit::Exit;
use crate::paint::Paint;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError(Box<Problem>);

/// An error as it is shown: code, what, why, what to do, and the SQL that mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Stable `UPPER_SNAKE` code.
    pub(crate) code: String,
    /// What failed on which named thing.
    pub(crate) message: String,
    /// Why, outermost cause first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) hint: String,
    /// SQL that mends it.
    pub(crate) fix_sql: Vec<String>,
    /// What the process ends with.
    #[serde(skip)]
    pub(crate) exit: Exit,
}

/// The envelope of an error in JSON.
#[derive(Debug, Serialize)]
struct Envelope<'a> {
    error: &'a Problem,
}

// === impl CliError ===

impl CliError {
    /// An error of the command line itself.
    pub(crate) fn usage(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        CliError(Box::new(Problem {
            code: code.to_owned(),
            message: message.into(),
            causes: Vec::new(),
            hint: hint.into(),
            fix_sql: Vec::new(),
            exit: Exit::Usage,
        }))
    }

    /// The same with a cause.
    pub(crate) fn because(mut self, cause: &dyn Error) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// The same for a failure of the machine that we run on.
    pub(crate) fn runtime(code: &str, message: impl Into<String>, cause: &dyn Error) -> Self {
        let mut error = CliError::usage(code, message, "").because(cause);
        error.exit = Exit::Runtime;
        error
    }

    /// For people: several lines, without a line end behind the last.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut text = format!("{} {}", paint.red("error:"), paint.bold(&self.message));
        // Writing to a String cannot fail.
        let _infallible = write!(text, " {}", paint.dim(&format!("[{}]", self.code)));
        for cause in &self.causes {
            let _infallible = write!(text, "\n  {}   {cause}", paint.dim("why"));
        }
        if !self.hint.is_empty() {
            let _infallible = write!(text, "\n  {}  {}", paint.dim("hint"), self.hint);
        }
        for statement in &self.fix_sql {
            let _infallible = write!(text, "\n  {}   {statement}", paint.dim("fix"));
        }
        text
    }

    /// For programs: one line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&Envelope { error: &self.0 }).unwrap_or_default()
    }
}

impl Deref for CliError {
    type Target = Problem;

    fn deref(&self) -> &Problem {
        &self.0
    }
}

impl DerefMut for CliError {
    fn deref_mut(&mut self) -> &mut Problem {
        &mut self.0
    }
}

impl<F: Fault> From<F> for CliError {
    fn from(fault: F) -> Self {
        let mut causes = Vec::new();
        let mut cause = fault.source();
        let message = fault.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            // A transparent wrapper repeats what it wraps.
            if causes.last().unwrap_or(&message) != &text {
                causes.push(text);
            }
            cause = error.source();
        }
        CliError(Box::new(Problem {
            code: fault.code().to_owned(),
            message,
            causes,
            hint: fault.hint(),
            fix_sql: fault.fix_sql().into_iter().collect(),
            exit: Exit::of_error(fault.code()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_postgres::{Operation, ServerError, SourceError};

    fn wrong_password() -> CliError {
        let error = ServerError {
            sqlstate: "28P01".to_owned(),
            message: "password authentication failed for user \"app\"".to_owned(),
            fatal: true,
        };
        CliError::from(SourceError::Server { operation: Operation::Connect, error })
    }

    #[test]
    fn an_error_shows_code_what_why_and_what_to_do() {
        let mut error = wrong_password();
        error.fix_sql.push("ALTER ROLE app LOGIN;".to_owned());
        insta::assert_snapshot!("error_text", error.render(Paint::Plain));
    }

    #[test]
    fn the_same_object_is_in_json() {
        insta::assert_snapshot!("error_json", wrong_password().to_json());
    }

    #[test]
    fn a_fault_keeps_its_exit() {
        assert_eq!(wrong_password().exit, Exit::Authentication);
        assert_eq!(CliError::usage("X", "x", "").exit, Exit::Usage);
    }
}
