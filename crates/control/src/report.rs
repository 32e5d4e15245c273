//! [`ErrorReport`]: an error of an engine or of somebody's database, as it is stored and shown.

use std::error::Error;

use segcdc_model::{Disposition, Fault};
use serde::{Deserialize, Serialize};

/// Whose trouble an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// A server cannot be reached, or what answers is not it.
    Unreachable,
    /// A server does not let us in.
    Refused,
    /// What was asked for, or a server, is not fit for it: a person has to mend it.
    Unfit,
    /// There is no such thing there.
    Missing,
    /// Something went wrong while it ran.
    Failed,
}

/// An error as it is stored and shown: code, what, why, what to do, and the SQL that mends it. No secret and no row's value
/// is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Stable `UPPER_SNAKE` code.
    pub code: String,
    /// What failed on which named thing.
    pub message: String,
    /// Why, outermost cause first.
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    pub causes: Box<[String]>,
    /// What to do.
    pub hint: String,
    /// SQL that mends it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix_sql: Vec<String>,
    /// Whose trouble it is.
    pub trouble: Trouble,
    /// Whether it may pass by itself.
    #[serde(default)]
    pub may_pass: bool,
}

// === impl ErrorReport ===

impl ErrorReport {
    /// What a fault says of itself.
    pub fn of(fault: &dyn Fault, trouble: Trouble) -> Self {
        let message = fault.to_string();
        let mut causes: Vec<String> = Vec::new();
        let mut cause = Error::source(fault);
        while let Some(error) = cause {
            let text = error.to_string();
            // A transparent wrapper repeats what it wraps.
            if causes.last().unwrap_or(&message) != &text {
                causes.push(text);
            }
            cause = error.source();
        }
        ErrorReport {
            code: fault.code().to_owned(),
            message,
            causes: causes.into(),
            hint: fault.hint(),
            fix_sql: fault.fix_sql().into_iter().collect(),
            trouble,
            may_pass: fault.disposition() == Disposition::Retry,
        }
    }

    /// What and why, in one line.
    pub fn sentence(&self) -> String {
        let mut text = self.message.clone();
        for cause in &self.causes {
            text.push_str(": ");
            text.push_str(cause);
        }
        text
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
