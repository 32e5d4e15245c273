//! What a batch or a copy notes beside the rows: dead letters, and how often a value policy was used.
//!
//! A dead letter is a row of the source that is kept out of its target table, because a value of it has no place there
//! and the user wants such rows set aside. A key has at most one open letter; it is renewed while the row stays as bad,
//! and closed when a version of the row arrives that fits, or the row goes away.
//!
//! ```text
//! INSERT k=1, bad      open      no row in the target, every column behind
//! UPDATE k=1, bad      renew     newest version, code and payload
//! UPDATE k=1, good     close     the row goes in
//!
//! UPDATE k=2, bad      open      the last good version stays in the target, the columns of the UPDATE are behind
//! UPDATE k=2, good     close     if it carries all columns that are behind
//! DELETE k=2           close     the last good version is removed
//! TRUNCATE             close all
//! ```
//!
//! Whoever applies a plan writes these in the target transaction that holds the rows, so that both are there or neither:
//! in the order of the list, each statement touching as many letters as it says.

use std::collections::HashMap;

use segcdc_model::{Lsn, QualifiedName};

use crate::rules::ValuePolicy;

/// Digest of a letter's key: SHA-256 of what tells the key from any other of its table, however long it is.
pub type KeyDigest = [u8; 32];

/// What identifies a dead letter's row at the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LetterKey {
    /// Equal for equal keys; of the whole content for a table without a key.
    pub digest: KeyDigest,
    /// Canonical texts of the key's columns, in key order, each cut after [`MAX_KEY_TEXT`] characters; empty for a table
    /// without a key.
    pub texts: Vec<String>,
}

/// Characters of a key's text that are kept to be shown.
pub const MAX_KEY_TEXT: usize = 200;

/// A row that is kept out of its target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// OID of the source table.
    pub oid: u32,
    /// The source table.
    pub table: QualifiedName,
    /// The row's key.
    pub key: LetterKey,
    /// Commit end of the source transaction that last touched the row; of a copied row the position of the copy.
    pub lsn: Lsn,
    /// Why, as an error's code: `VALUE_UNREPRESENTABLE`, `KEY_TOO_LONG` and so on.
    pub code: String,
    /// The first column whose value has no place.
    pub column: String,
    /// The row as a JSON object of column names and PostgreSQL's texts, as far as it is known: a column that the stream did
    /// not send is missing, and of a long value only its length is kept. The one place of the product that holds a row's
    /// values outside of its target table.
    pub payload: String,
    /// Where the target's table stands.
    pub held: Held,
}

/// What the target's table holds of a row that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// No row.
    Nothing,
    /// The last good version; these columns, by name, are behind the source.
    Behind(Vec<String>),
}

/// Why a letter is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterEnd {
    /// A version of the row arrived that fits.
    Healed,
    /// The row was deleted, or has another key now.
    Deleted,
    /// The table was emptied.
    Truncated,
}

/// What becomes of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterChange {
    /// A new one: one row more.
    Open(DeadLetter),
    /// The open letter of this key takes on everything of this one: changes one row.
    Renew(DeadLetter),
    /// Closes open letters of one key.
    Close {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The key.
        key: LetterKey,
        /// How many: 1, but for a table without a key, where equal rows have a letter each.
        rows: u64,
        /// Commit end of the source transaction that closes them.
        lsn: Lsn,
        /// Why.
        end: LetterEnd,
    },
    /// Closes all open letters of a table as [`LetterEnd::Truncated`], however many there are.
    CloseAll {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// Commit end of the source transaction that closes them.
        lsn: Lsn,
    },
}

/// How often a policy decided what became of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyUse {
    /// OID of the source table.
    pub oid: u32,
    /// The source table.
    pub table: QualifiedName,
    /// The column.
    pub column: String,
    /// The policy: [`ValuePolicy::Null`], [`ValuePolicy::Clamp`] or [`ValuePolicy::SetAside`].
    pub policy: ValuePolicy,
    /// Values that were replaced, or rows that were set aside or stayed so. In what a batch adds, never 0.
    pub count: u64,
}

/// The open letters of one table, as planning needs them: by key digest, what the target's table holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenLetters {
    by_key: HashMap<KeyDigest, Held>,
    /// Letters of a table without a key, which may have several of one digest.
    unkeyed: u64,
}

// === impl Held ===

impl Held {
    /// Whether the target's table has a version of the row.
    pub fn in_target(&self) -> bool {
        matches!(self, Held::Behind(_))
    }
}

// === impl LetterEnd ===

impl LetterEnd {
    /// The word that is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            LetterEnd::Healed => "healed",
            LetterEnd::Deleted => "deleted",
            LetterEnd::Truncated => "truncated",
        }
    }

    /// The end of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [LetterEnd::Healed, LetterEnd::Deleted, LetterEnd::Truncated]
            .into_iter()
            .find(|end| end.word() == word)
    }
}

// === impl LetterChange ===

impl LetterChange {
    /// OID of the source table.
    pub fn oid(&self) -> u32 {
        match self {
            LetterChange::Open(letter) | LetterChange::Renew(letter) => letter.oid,
            LetterChange::Close { oid, .. } | LetterChange::CloseAll { oid, .. } => *oid,
        }
    }
}

// === impl OpenLetters ===

impl OpenLetters {
    /// No letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an open letter of a table with a key.
    pub fn insert(&mut self, key: KeyDigest, held: Held) {
        self.by_key.insert(key, held);
    }

    /// Adds open letters of a table without a key.
    pub fn add_unkeyed(&mut self, letters: u64) {
        self.unkeyed += letters;
    }

    /// What the target's table holds of the row with this key; `None` when it has no open letter.
    pub fn get(&self, key: &KeyDigest) -> Option<&Held> {
        self.by_key.get(key)
    }

    /// Number of letters.
    pub fn len(&self) -> u64 {
        self.by_key.len() as u64 + self.unkeyed
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over what a batch, once committed, did to the letters of this table; `keyed` is whether the table has a key.
    pub fn apply(&mut self, change: &LetterChange, keyed: bool) {
        match change {
            LetterChange::Open(letter) | LetterChange::Renew(letter) if keyed => {
                self.by_key.insert(letter.key.digest, letter.held.clone());
            }
            LetterChange::Open(_) => self.unkeyed += 1,
            LetterChange::Renew(_) => {}
            LetterChange::Close { key, .. } if keyed => {
                self.by_key.remove(&key.digest);
            }
            LetterChange::Close { rows, .. } => self.unkeyed = self.unkeyed.saturating_sub(*rows),
            LetterChange::CloseAll { .. } => *self = OpenLetters::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(key: u8, held: Held) -> DeadLetter {
        DeadLetter {
            oid: 1,
            table: QualifiedName::new("public", "t"),
            key: LetterKey { digest: [key; 32], texts: vec![key.to_string()] },
            lsn: Lsn::new(1),
            code: "VALUE_UNREPRESENTABLE".to_owned(),
            column: "c".to_owned(),
            payload: "{}".to_owned(),
            held,
        }
    }

    #[test]
    fn open_letters_follow_what_batches_do() {
        let close = |key: u8, rows| LetterChange::Close {
            oid: 1,
            table: QualifiedName::new("public", "t"),
            key: LetterKey { digest: [key; 32], texts: Vec::new() },
            rows,
            lsn: Lsn::new(2),
            end: LetterEnd::Deleted,
        };
        let mut keyed = OpenLetters::new();
        keyed.apply(&LetterChange::Open(letter(1, Held::Nothing)), true);
        keyed.apply(&LetterChange::Open(letter(2, Held::Nothing)), true);
        keyed.apply(&LetterChange::Renew(letter(2, Held::Behind(vec!["c".to_owned()]))), true);
        assert_eq!(keyed.get(&[2; 32]), Some(&Held::Behind(vec!["c".to_owned()])));
        keyed.apply(&close(1, 1), true);
        assert_eq!((keyed.get(&[1; 32]), keyed.len()), (None, 1));

        let mut bag = OpenLetters::new();
        for _ in 0..3 {
            bag.apply(&LetterChange::Open(letter(1, Held::Nothing)), false);
        }
        bag.apply(&close(1, 2), false);
        assert_eq!(bag.len(), 1);
        let table = QualifiedName::new("public", "t");
        bag.apply(&LetterChange::CloseAll { oid: 1, table, lsn: Lsn::new(3) }, false);
        assert!(bag.is_empty());
    }

    #[test]
    fn words_of_ends_come_back() {
        for end in [LetterEnd::Healed, LetterEnd::Deleted, LetterEnd::Truncated] {
            assert_eq!(LetterEnd::from_word(end.word()), Some(end));
        }
        assert_eq!(LetterEnd::from_word("lost"), None);
    }
}
