//! Rows that are set aside: they are on the one side only, or older there, and that is known.

use std::sync::Arc;

use segcdc_model::Tuple;
use segcdc_plan::{Binding, OpenLetters, RowImage, TablePlan, letters};
use segcdc_sqlserver::{CanonicalRow, Target};

use crate::verify::fingerprint;
use crate::verify::read::{self, Key, Stop};

/// The open letters of a table when they were read.
pub(crate) struct Aside<'a> {
    table: &'a TablePlan,
    binding: Arc<Binding>,
    open: OpenLetters,
}

// === impl Aside ===

impl<'a> Aside<'a> {
    /// Reads the open letters.
    ///
    /// # Errors
    /// The target's.
    pub(crate) async fn read(
        target: &mut Target,
        pipeline: &str,
        table: &'a TablePlan,
    ) -> Result<Self, Stop> {
        let open = target.open_letters(pipeline, table).await?;
        Ok(Aside { table, binding: Arc::new(Binding::in_order(&Arc::new(table.clone()))), open })
    }

    /// Whether a row of the source is set aside.
    pub(crate) fn has_source(&self, row: &Tuple) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let image = RowImage::new(Arc::clone(&self.binding), row.clone());
        letters::key_of(self.table, &image).is_ok_and(|key| self.open.count(&key.digest) > 0)
    }

    /// Whether a row of the target is the last good version of one that is set aside.
    pub(crate) fn has_target(&self, row: &CanonicalRow) -> bool {
        if self.open.is_empty() || self.table.key_columns().is_empty() {
            return false;
        }
        let key = read::complete(fingerprint::target_texts(self.table.key_columns(), row));
        key.is_some_and(|key| self.has_key(&key))
    }

    /// Whether the row with this key is set aside.
    pub(crate) fn has_key(&self, key: &Key) -> bool {
        !self.open.is_empty() && self.open.count(&letters::key_of_texts(self.table, key.clone()).digest) > 0
    }
}
