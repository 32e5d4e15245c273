//! Dead letters: rows of the source that the target cannot hold, and how often policies decided.
//!
//! A letter is opened in the transaction of the batch, or of the load, that leaves the row out, and closed in the
//! transaction that brings the row back into step. What this module hands out is read without a lock.

mod read;
mod steps;
mod values;
mod write;

pub(crate) use values::{
    Field, columns, counter_columns, is_keyed, key_columns, of_key, of_letter, of_lsn, of_use,
};
pub(crate) use write::{refused, write};

use segcdc_model::{Lsn, QualifiedName};

pub use crate::sql::letters::Filter as LetterFilter;

/// A letter without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What people call it by; unique in the target database.
    pub number: i64,
    /// OID of the table in the source.
    pub source_oid: u32,
    /// Name of the table in the source.
    pub source: QualifiedName,
    /// The commit that last brought a row that does not fit; the position of the copy for one of the copy.
    pub commit_lsn: Lsn,
    /// Code of the error that the row would be.
    pub code: String,
    /// The column that does not fit.
    pub column: Option<String>,
    /// The target holds an older version of the row.
    pub in_target: bool,
    /// The columns whose values in the target are older than the source's; only when it holds the row.
    pub behind: Vec<String>,
    /// When it was opened, microseconds since 2000-01-01 UTC, by the target's clock.
    pub opened_at_us: i64,
    /// When its payload was last replaced, or it was closed, as `opened_at_us`.
    pub updated_at_us: i64,
    /// When it was closed, as `opened_at_us`, and by what; `None` while it is open.
    pub closed: Option<(i64, String)>,
    /// It was discarded: it holds nothing of its row, which is kept out still.
    pub discarded: bool,
    /// The key's values as a JSON array, empty for a row without a key; `None` when the letter is closed.
    pub key: Option<String>,
}

/// Letters of one table and code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterCount {
    /// OID of the table in the source.
    pub source_oid: u32,
    /// Name of the table in the source.
    pub source: QualifiedName,
    /// Code of the error that the rows would be.
    pub code: String,
    /// Those that are open.
    pub open: u64,
    /// Those that are closed.
    pub closed: u64,
    /// Those that were discarded: their rows are kept out still.
    pub discarded: u64,
}

/// How often a policy decided for a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedUse {
    /// OID of the table in the source.
    pub source_oid: u32,
    /// The column's name in the source.
    pub column: String,
    /// The policy, as it is written in a rule.
    pub policy: String,
    /// How often.
    pub uses: u64,
}
