//! [`TargetMode`]: how the rows of a target table are kept.

use std::fmt;

use segcdc_model::MssqlType;
use serde::{Deserialize, Serialize};

/// The column of a target table that says when a row was deleted; NULL for rows that the source has.
pub const DELETED_AT: &str = "_segcdc_deleted_at";

/// Its type: the source's commit time has microseconds.
pub const DELETED_AT_TYPE: MssqlType = MssqlType::DateTime2 { scale: 6 };

/// How the rows of a target table are kept. Stored with what is known of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetMode {
    /// The target has the rows that the source has.
    #[default]
    Mirror,
    /// The same; and rows that were deleted stay, with the time of that in [`DELETED_AT`].
    SoftDelete,
}

// === impl TargetMode ===

impl TargetMode {
    /// What a word of the command line says.
    pub fn from_word(word: &str) -> Option<Self> {
        [TargetMode::Mirror, TargetMode::SoftDelete].into_iter().find(|mode| mode.word() == word)
    }

    /// The word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            TargetMode::Mirror => "mirror",
            TargetMode::SoftDelete => "soft-delete",
        }
    }

    /// The column that the mode adds to the target table.
    pub const fn marker(self) -> Option<&'static str> {
        match self {
            TargetMode::Mirror => None,
            TargetMode::SoftDelete => Some(DELETED_AT),
        }
    }

    /// Whether it is what is usual, and need not be stored.
    pub(crate) fn is_usual(&self) -> bool {
        *self == TargetMode::default()
    }
}

impl fmt::Display for TargetMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
