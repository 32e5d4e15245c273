//! [`SavedVerify`]: how far a comparison has come, so that another can go on from there.

use segcdc_model::QualifiedName;
use segcdc_plan::TablePlan;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::verify::VerifyBy;
use crate::verify::found::Found;

/// How far a comparison has come. It says what was found at the time when each part was compared, and has keys of rows that
/// differ in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedVerify {
    /// The pipeline.
    pub pipeline: String,
    /// How it is compared.
    pub by: VerifyBy,
    /// Tables of which something was compared.
    tables: Vec<SavedTable>,
}

/// How far the comparison of a table has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedTable {
    source: QualifiedName,
    source_oid: u32,
    /// What was compared of each row, hashed: other columns, or another target, begin anew.
    shape: String,
    done: Done,
    found: Found,
}

/// Rows of a table that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    /// Those whose key begins below this.
    Below(i64),
    /// All.
    All,
}

// === impl SavedVerify ===

impl SavedVerify {
    /// Nothing was compared yet.
    pub fn new(pipeline: impl Into<String>, by: VerifyBy) -> Self {
        SavedVerify { pipeline: pipeline.into(), by, tables: Vec::new() }
    }

    /// Whether nothing was compared.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How far a table has come, and what was found; `None` when it has to be begun.
    pub(crate) fn of(&self, oid: u32, table: &TablePlan) -> Option<(Done, &Found)> {
        let saved = self.tables.iter().find(|saved| saved.source_oid == oid)?;
        (saved.shape == shape(table)).then_some((saved.done, &saved.found))
    }

    /// Takes note of how far a table has come.
    pub(crate) fn set(&mut self, oid: u32, table: &TablePlan, done: Done, found: Found) {
        let source = table.source.name.clone();
        let saved = SavedTable { source, source_oid: oid, shape: shape(table), done, found };
        match self.tables.iter_mut().find(|saved| saved.source_oid == oid) {
            Some(before) => *before = saved,
            None => self.tables.push(saved),
        }
    }

    /// Forgets a table, which has to be begun anew.
    pub(crate) fn forget(&mut self, oid: u32) {
        self.tables.retain(|saved| saved.source_oid != oid);
    }
}

/// What a comparison of the table compares. Of no meaning to another version of the program, which begins anew.
fn shape(table: &TablePlan) -> String {
    let what = format!("{:?}", (&table.target, &table.columns, &table.key, &table.filter));
    format!("{:032x}", xxh3_128(what.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::read::tests::table;

    #[test]
    fn a_table_goes_on_where_it_is_unless_it_has_another_shape() {
        let mut saved = SavedVerify::new("shop", VerifyBy::Rows);
        assert!(saved.is_empty() && saved.of(1, &table()).is_none());
        saved.set(1, &table(), Done::Below(7), Found { missing: 3, ..Found::default() });
        saved.set(1, &table(), Done::Below(9), Found { missing: 4, ..Found::default() });
        let kept: SavedVerify = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
        assert_eq!(kept, saved);
        let (done, found) = kept.of(1, &table()).unwrap();
        assert_eq!((done, found.missing), (Done::Below(9), 4));
        assert!(kept.of(2, &table()).is_none());
        let filtered = TablePlan { filter: Some("a > 1".to_owned()), ..table() };
        assert!(kept.of(1, &filtered).is_none(), "other rows");
        let mut other = table();
        other.columns.remove(0);
        assert!(kept.of(1, &other).is_none(), "other columns");
        saved.forget(1);
        assert!(saved.is_empty());
    }
}
