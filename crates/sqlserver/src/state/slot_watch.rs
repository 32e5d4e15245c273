//! What was last seen of a pipeline's slot.

use segcdc_model::{Checkpoint, QualifiedName};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::slot_watch::{CREATE_SLOT_WATCH, TABLE};
use crate::state::{Fields, SlotWatch};

// === impl Target ===

impl Target {
    /// What was last seen of the slot; `None` for a pipeline that has not followed yet, or whose state is of a version
    /// that did not look.
    ///
    /// # Errors
    /// The server's.
    pub async fn slot_watch(&mut self, pipeline: &str) -> Result<Option<SlotWatch>, TargetError> {
        let during = "reading what was seen of the slot";
        if self.query(during, &object()).await?.is_empty() {
            return Ok(None);
        }
        let rows = self.query(during, &sql::slot_watch::select(pipeline)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let fields = Fields { pipeline, row };
        Ok(Some(SlotWatch {
            slot: fields.text(0)?,
            timeline: fields.u32(1)?,
            restart_lsn: fields.lsn(2)?,
            seen_at_us: fields.int(3)?,
            source_lsn: fields.lsn(4)?,
            retained_bytes: fields.u64(5)?,
            limit_bytes: fields.u64(6).ok(),
        }))
    }

    /// Creates the table of [`Target::set_slot_watch`] where it is missing.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn ensure_slot_watch(&mut self) -> Result<(), TargetError> {
        self.create_once("creating the state schema", &object(), CREATE_SLOT_WATCH).await
    }

    /// Writes what was seen of the slot. Does nothing when another process took over.
    ///
    /// # Errors
    /// The server's.
    pub async fn set_slot_watch(
        &mut self,
        checkpoint: &Checkpoint,
        seen: &SlotWatch,
    ) -> Result<(), TargetError> {
        let (pipeline, epoch) = (&checkpoint.pipeline, checkpoint.epoch);
        let sql = format!(
            "{}; {}",
            sql::slot_watch::update(pipeline, epoch, seen),
            sql::slot_watch::insert_where_missing(pipeline, epoch, seen)
        );
        self.batch("storing what was seen of the slot", &sql).await.map(drop)
    }
}

/// Looks for the table.
fn object() -> String {
    sql::catalog::object(&QualifiedName::new(sql::state::SCHEMA, TABLE))
}
