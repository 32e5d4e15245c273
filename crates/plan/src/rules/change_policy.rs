//! [`ChangePolicy`]: what becomes of changes of source tables, each kind of them by itself.

use std::fmt;

/// A kind of change of a source table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A column was added.
    AddColumn,
    /// A column was dropped.
    DropColumn,
    /// A column has another name.
    RenameColumn,
    /// A column has another type, and no row was written anew for it.
    ChangeType,
    /// A column was added or has another type, and the source wrote all rows anew, which no stream shows.
    RewriteColumn,
    /// A column takes no NULL any more.
    SetNotNull,
    /// A column takes NULL now.
    DropNotNull,
    /// The table has another name.
    RenameTable,
    /// The table is in another schema.
    SetSchema,
    /// Rows are identified by other columns.
    ChangeKey,
    /// PostgreSQL sends something else of old rows: another replica identity.
    ChangeIdentity,
    /// PostgreSQL sends nothing of old rows any more, and refuses UPDATE and DELETE of them.
    DropIdentity,
    /// The table was dropped.
    DropTable,
    /// The table was dropped, and another one has its name.
    RecreateTable,
}

/// What becomes of a change of a source table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangePolicy {
    /// The target table follows.
    Apply,
    /// The target table stays as it is, and the rows go on.
    Ignore,
    /// The table is set aside, and the others go on.
    Halt,
    /// The pipeline stops in front of it.
    HaltAll,
}

/// What a rule says of changes: of one kind, or of all of which nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRule {
    /// The kind; `None` for all.
    pub kind: Option<ChangeKind>,
    /// What becomes of them.
    pub policy: ChangePolicy,
}

// === impl ChangeKind ===

impl ChangeKind {
    /// All kinds.
    pub const ALL: [ChangeKind; 14] = [
        ChangeKind::AddColumn,
        ChangeKind::DropColumn,
        ChangeKind::RenameColumn,
        ChangeKind::ChangeType,
        ChangeKind::RewriteColumn,
        ChangeKind::SetNotNull,
        ChangeKind::DropNotNull,
        ChangeKind::RenameTable,
        ChangeKind::SetSchema,
        ChangeKind::ChangeKey,
        ChangeKind::ChangeIdentity,
        ChangeKind::DropIdentity,
        ChangeKind::DropTable,
        ChangeKind::RecreateTable,
    ];

    /// What a word of the command line says.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The word of the command line, of `status` and of the state.
    pub const fn word(self) -> &'static str {
        match self {
            ChangeKind::AddColumn => "add-column",
            ChangeKind::DropColumn => "drop-column",
            ChangeKind::RenameColumn => "rename-column",
            ChangeKind::ChangeType => "change-type",
            ChangeKind::RewriteColumn => "rewrite-column",
            ChangeKind::SetNotNull => "set-not-null",
            ChangeKind::DropNotNull => "drop-not-null",
            ChangeKind::RenameTable => "rename-table",
            ChangeKind::SetSchema => "set-schema",
            ChangeKind::ChangeKey => "change-key",
            ChangeKind::ChangeIdentity => "change-identity",
            ChangeKind::DropIdentity => "drop-identity",
            ChangeKind::DropTable => "drop-table",
            ChangeKind::RecreateTable => "recreate-table",
        }
    }

    /// What becomes of it where nothing is said: nothing that loses what the target has, or that nobody can be certain of.
    pub const fn usual(self) -> ChangePolicy {
        match self {
            ChangeKind::AddColumn
            | ChangeKind::RenameColumn
            | ChangeKind::ChangeType
            | ChangeKind::DropNotNull
            | ChangeKind::RenameTable
            | ChangeKind::SetSchema
            | ChangeKind::ChangeKey
            | ChangeKind::ChangeIdentity => ChangePolicy::Apply,
            ChangeKind::DropColumn | ChangeKind::SetNotNull => ChangePolicy::Ignore,
            ChangeKind::RewriteColumn
            | ChangeKind::DropIdentity
            | ChangeKind::DropTable
            | ChangeKind::RecreateTable => ChangePolicy::Halt,
        }
    }
}

// === impl ChangePolicy ===

impl ChangePolicy {
    /// All policies.
    pub const ALL: [ChangePolicy; 4] =
        [ChangePolicy::Apply, ChangePolicy::Ignore, ChangePolicy::Halt, ChangePolicy::HaltAll];

    /// What a word of the command line says.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.word() == word)
    }

    /// The word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            ChangePolicy::Apply => "apply",
            ChangePolicy::Ignore => "ignore",
            ChangePolicy::Halt => "halt",
            ChangePolicy::HaltAll => "halt-all",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for ChangePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
