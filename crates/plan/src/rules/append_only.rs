//! [`OnChange`]: what becomes of changes of rows that are there already, in a table that only grows.

use std::fmt;

/// What becomes of changes of rows that are there already, in a table that only grows in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    /// UPDATE and DELETE halt the table by a named error; TRUNCATE empties it. Both sides hold the same rows.
    #[default]
    Halt,
    /// UPDATE, DELETE and TRUNCATE are left out, counted: the target keeps every row as it was inserted.
    Ignore,
}

// === impl OnChange ===

impl OnChange {
    /// What a word of the command line says.
    pub fn from_word(word: &str) -> Option<Self> {
        [OnChange::Halt, OnChange::Ignore].into_iter().find(|policy| policy.word() == word)
    }

    /// The word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            OnChange::Halt => "halt",
            OnChange::Ignore => "ignore",
        }
    }
}

impl fmt::Display for OnChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
