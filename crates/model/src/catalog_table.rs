//! [`CatalogTable`]: a table as the source's catalog describes it at one moment, with what tells its columns apart for good.

use crate::lsn::Lsn;
use crate::source_table::{SourceColumn, SourceTable};

/// Everything that the catalog says of a table, read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// The table, its live columns.
    pub table: SourceTable,
    /// All columns that it ever had, those that were dropped included, by `attnum`.
    pub attributes: Vec<Attribute>,
    /// `pg_relation_filenode`: another one after each rewrite and each TRUNCATE; 0 for a table without a file.
    pub filenode: u32,
    /// A position that the source had not written beyond when the catalog was read.
    pub read_at: Lsn,
    /// The oldest transaction that had not ended when the catalog was read (`pg_snapshot_xmin`, its lower 32 bits).
    pub oldest_xid: u32,
}

/// A row of `pg_attribute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its number, 1 and up: never used again, and the same whatever the column is called.
    pub attnum: i16,
    /// The column was dropped.
    pub is_dropped: bool,
    /// Type OID, as the stream sends it (a domain's own); 0 for a dropped column.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
    /// It has a default, or is an identity column.
    pub has_default: bool,
    /// The value of rows that were there before the column was added and have not been written since, as text; `None` when
    /// they have none of their own (`attmissingval`).
    pub missing: Option<String>,
}

// === impl CatalogTable ===

impl CatalogTable {
    /// The column with this number, if it lives.
    pub fn live(&self, attnum: i16) -> Option<&SourceColumn> {
        self.table.columns.iter().find(|column| column.attnum == attnum)
    }

    /// The column with this number, whether it lives or not.
    pub fn attribute(&self, attnum: i16) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.attnum == attnum)
    }

    /// Whether everything is in it that a transaction did, and all that had been done to the table before that. True only
    /// for transactions that had ended before the oldest one began that had not.
    pub fn shows(&self, xid: u32) -> bool {
        // Transaction ids go round.
        self.oldest_xid.wrapping_sub(xid).wrapping_sub(1) < 1 << 31
    }

    /// The highest number that a column of the table has had.
    pub fn last_attnum(&self) -> i16 {
        self.attributes.iter().map(|attribute| attribute.attnum).max().unwrap_or(0)
    }
}
