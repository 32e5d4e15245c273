//! [`OnRefused`]: what becomes of rows that the target's table refuses.

use std::fmt;

/// What becomes of a row that the target's table refuses: by a constraint, a unique index, a trigger, a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefused {
    /// The table is halted by a named error; the others go on.
    #[default]
    Halt,
    /// The row does not reach the table; it is kept as a dead letter.
    SetAside,
}

// === impl OnRefused ===

impl OnRefused {
    /// What a word of the command line says.
    pub fn from_word(word: &str) -> Option<Self> {
        [OnRefused::Halt, OnRefused::SetAside].into_iter().find(|policy| policy.word() == word)
    }

    /// The word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            OnRefused::Halt => "halt",
            OnRefused::SetAside => "set_aside",
        }
    }
}

impl fmt::Display for OnRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
