//! [`ValuePolicy`]: what becomes of a value that the target's column cannot hold.

use std::fmt;

/// What becomes of a value that the target's column cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValuePolicy {
    /// The table is halted by a named error; the others go on.
    #[default]
    Halt,
    /// The column is text in the target and holds PostgreSQL's text of every value.
    Text,
    /// NULL takes its place, counted.
    Null,
    /// The nearest value that the column can hold takes its place, counted; what has none halts the table.
    Clamp,
    /// The row does not reach the table; it is kept as a dead letter.
    SetAside,
}

// === impl ValuePolicy ===

impl ValuePolicy {
    /// The policy of a word of the command line.
    pub fn from_word(word: &str) -> Option<Self> {
        [ValuePolicy::Halt, ValuePolicy::Text, ValuePolicy::Null, ValuePolicy::Clamp, ValuePolicy::SetAside]
            .into_iter()
            .find(|policy| policy.word() == word)
    }

    /// The word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            ValuePolicy::Halt => "halt",
            ValuePolicy::Text => "text",
            ValuePolicy::Null => "null",
            ValuePolicy::Clamp => "clamp",
            ValuePolicy::SetAside => "set_aside",
        }
    }
}

impl fmt::Display for ValuePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
