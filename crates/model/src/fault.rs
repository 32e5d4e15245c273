//! [`Fault`]: what every error of the product can say about itself.

use std::error::Error;

/// What is to be done about an error. An error that nobody has classified halts; it is never skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It may pass by itself: reconnect, read the checkpoint, go on, with back-off.
    Retry,
    /// It concerns one table: halt that table, keep the others going.
    HaltTable,
    /// Nothing more may be written until a person has acted.
    Halt,
}

/// An error with a stable code, a disposition and a hint.
///
/// `Display` says what failed on which named thing, lower case, without a full stop, and never repeats its source.
/// No secret and no row value appears in any of the texts.
pub trait Fault: Error + Send + Sync + 'static {
    /// Stable `UPPER_SNAKE` code: documented, never changed, never reused.
    fn code(&self) -> &'static str;

    /// What is to be done.
    fn disposition(&self) -> Disposition;

    /// What a person can do, in one or two sentences.
    fn hint(&self) -> String;

    /// The SQL that mends it, where there is some.
    fn fix_sql(&self) -> Option<String> {
        None
    }
}

/// The error and all its causes in one line, outermost first.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
