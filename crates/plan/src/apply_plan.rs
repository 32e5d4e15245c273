//! [`ApplyPlan`]: the net effect of a batch of transactions on the target.
//!
//! The effects of one table take place in this order, whatever the order of the changes was:
//!
//! ```text
//! 1 truncate         the table is emptied
//! 2 fill             staged inserts take values that the stream did not send from rows that steps 3 to 5 have
//!                    not touched yet: unchanged TOAST values of a row whose key changed
//! 3 deletes          by key, and one matching row for each unkeyed delete
//! 4 updates          by key, one statement for each set of present columns
//! 5 marks            the same, of rows that are deleted and stay
//! 6 all are marked   where the table was emptied and its rows stay
//! 7 room             marked rows go whose keys a row had for a moment
//! 8 inserts          each in the place of a marked row with its key, if there is one
//! ```
//!
//! Steps 5 to 7 are those of tables that keep deleted rows ([`TablePlan::marker`]), and step 1 is none of theirs. Of such a table
//! steps 3, 4 and 6 see rows only that are not marked.
//!
//! Each delete and each update touches exactly one row and each insert adds one; any other count means that the
//! target is not what the checkpoint says it is.

use std::sync::Arc;

use segcdc_model::Lsn;

use crate::letters::{LetterChange, PolicyUse};
use crate::row_image::RowImage;
use crate::table_plan::TablePlan;

/// The net effect of one batch. It takes the target from the state at the checkpoint to the state at `end_lsn`.
#[derive(Debug, Clone)]
pub struct ApplyPlan {
    /// Tables with an effect, in the order in which the batch first touched them.
    pub tables: Vec<TableChanges>,
    /// End of the batch's last transaction: the checkpoint afterwards.
    pub end_lsn: Lsn,
    /// Commit time of the last transaction, microseconds since 2000-01-01 UTC, by the source's clock.
    pub commit_time_us: i64,
    /// Transactions in the batch, those without an effect included.
    pub transactions: u64,
    /// Source changes that the plan stands for: those of live tables behind their sync LSN, before netting.
    pub changes: u64,
    /// What becomes of dead letters, in this order; may be all that the plan does.
    pub letters: Vec<LetterChange>,
    /// How often value policies were used, one item for each table, column and policy.
    pub uses: Vec<PolicyUse>,
}

/// The net effect on one table.
#[derive(Debug, Clone)]
pub struct TableChanges {
    /// The table.
    pub table: Arc<TablePlan>,
    /// Empty the table first.
    pub truncate: bool,
    /// Keys of rows to remove; only the key columns of the images may be read.
    pub deletes: Vec<RowImage>,
    /// Rows to change in place, grouped by which columns are known.
    pub updates: Vec<UpdateGroup>,
    /// Rows that are deleted and stay, of a table that keeps those.
    pub marks: Vec<MarkGroup>,
    /// All other rows are deleted and stay: when, microseconds since 2000-01-01 UTC. Only of a table that keeps those.
    pub all_marked_us: Option<i64>,
    /// Keys whose marked rows go, if there are some: a row took their place and has another key now. Only of a table that keeps
    /// those.
    pub cleared: Vec<RowImage>,
    /// Rows to add.
    pub inserts: Vec<InsertRow>,
    /// Rows of a table without a key: each removes exactly one row that equals it in every column.
    pub unkeyed_deletes: Vec<RowImage>,
}

/// Updates that set the same columns.
#[derive(Debug, Clone)]
pub struct UpdateGroup {
    /// Columns to set: indices into the plan's columns, ascending, none of the key, at least one.
    pub present: Vec<usize>,
    /// The rows; the key columns and the present columns of the images may be read.
    pub rows: Vec<RowImage>,
}

/// Rows that are deleted and stay, of which the same columns are set before.
#[derive(Debug, Clone)]
pub struct MarkGroup {
    /// Columns to set: indices into the plan's columns, ascending, none of the key; may be none.
    pub present: Vec<usize>,
    /// The rows.
    pub rows: Vec<MarkedRow>,
}

/// A row that is deleted and stays.
#[derive(Debug, Clone)]
pub struct MarkedRow {
    /// The row; the key columns and the present columns of its group may be read.
    pub image: RowImage,
    /// When it was deleted, microseconds since 2000-01-01 UTC, by the source's clock.
    pub at_us: i64,
}

/// A row to add.
#[derive(Debug, Clone)]
pub struct InsertRow {
    /// The row; every column may be read, except those that `fill` names.
    pub image: RowImage,
    /// Where the values come from that the stream did not send.
    pub fill: Option<Fill>,
    /// When it was deleted again, of a row that came and went and stays as such; as [`MarkedRow::at_us`].
    pub deleted_at_us: Option<i64>,
}

/// Values to be taken from a row that is in the target before the batch.
#[derive(Debug, Clone)]
pub struct Fill {
    /// Key of that row at the start of the batch; only the key columns may be read.
    pub old_key: RowImage,
    /// The columns to take: indices into the plan's columns, ascending, none of the key, at least one.
    pub columns: Vec<usize>,
}

// === impl ApplyPlan ===

impl ApplyPlan {
    /// Whether only the checkpoint moves.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.letters.is_empty() && self.uses.is_empty()
    }
}

// === impl InsertRow ===

impl InsertRow {
    /// A row of which everything is known.
    pub fn whole(image: RowImage) -> Self {
        InsertRow { image, fill: None, deleted_at_us: None }
    }
}

// === impl TableChanges ===

impl TableChanges {
    /// No effect on `table` yet.
    pub fn new(table: Arc<TablePlan>) -> Self {
        TableChanges {
            table,
            truncate: false,
            deletes: Vec::new(),
            updates: Vec::new(),
            marks: Vec::new(),
            all_marked_us: None,
            cleared: Vec::new(),
            inserts: Vec::new(),
            unkeyed_deletes: Vec::new(),
        }
    }

    /// Whether the table stays as it is.
    pub fn is_empty(&self) -> bool {
        !self.truncate && self.all_marked_us.is_none() && self.row_count() == 0
    }

    /// Rows that are removed, changed or added, a truncation not counted.
    pub fn row_count(&self) -> usize {
        let updated: usize = self.updates.iter().map(|group| group.rows.len()).sum();
        let marked: usize = self.marks.iter().map(|group| group.rows.len()).sum();
        let removed = self.deletes.len() + self.unkeyed_deletes.len() + self.cleared.len();
        removed + updated + marked + self.inserts.len()
    }
}
