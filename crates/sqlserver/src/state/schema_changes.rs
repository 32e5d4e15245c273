//! What the state knows of source tables, and what it records of their changes.

use std::collections::HashMap;

use segcdc_model::{Checkpoint, Lsn, QualifiedName};
use segcdc_plan::{KnownTable, known_table};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::schema_changes::{KNOWN_TABLE, Recorded, SCHEMA_CHANGE};
use crate::state::Fields;

/// A change of a source table, as the state has recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    /// OID of the source table.
    pub source_oid: u32,
    /// Its name then.
    pub source: QualifiedName,
    /// Commit end of the transaction in whose place it was made.
    pub lsn: Lsn,
    /// Its number within that transaction.
    pub number: u32,
    /// What kind of change it is.
    pub kind: String,
    /// What became of it.
    pub outcome: String,
    /// What was changed, for people.
    pub what: String,
    /// The T-SQL that followed it.
    pub statements: Option<String>,
    /// When, microseconds since 2000-01-01 UTC, by the target's clock.
    pub made_at_us: i64,
}

// === impl Target ===

impl Target {
    /// Creates the tables of this module where they are missing: pipelines of older versions have none.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn ensure_schema_changes(&mut self) -> Result<(), TargetError> {
        for (name, create) in [KNOWN_TABLE, SCHEMA_CHANGE] {
            self.create_once("creating the state schema", &object(name), create).await?;
        }
        Ok(())
    }

    /// What is known of a pipeline's tables, by source OID.
    ///
    /// # Errors
    /// [`TargetError::StateUnreadable`] for what a newer version has written; the server's.
    pub async fn known_tables(&mut self, pipeline: &str) -> Result<HashMap<u32, KnownTable>, TargetError> {
        let during = "reading what is known of tables";
        if self.query(during, &object(KNOWN_TABLE.0)).await?.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.query(during, &sql::schema_changes::select_known(pipeline)).await?;
        rows.iter()
            .map(|row| {
                let fields = Fields { pipeline, row };
                Ok((fields.u32(0)?, read_known(pipeline, &fields.text(1)?)?))
            })
            .collect()
    }

    /// Writes what is known of a table of which nothing was known.
    ///
    /// # Errors
    /// As [`Target::set_table`].
    pub async fn set_known(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        known: &KnownTable,
    ) -> Result<(), TargetError> {
        let pipeline = &checkpoint.pipeline;
        let statements = vec![
            sql::schema_changes::forget(pipeline, source_oid),
            sql::schema_changes::insert_known(pipeline, source_oid, &written(known)?),
        ];
        self.write_fenced_any("storing what is known of a table", checkpoint, statements).await
    }

    /// Records a change that no transaction of the stream shows. Durable on return.
    ///
    /// # Errors
    /// As [`Target::set_table`].
    pub async fn record_change(
        &mut self,
        checkpoint: &Checkpoint,
        record: &Recorded<'_>,
    ) -> Result<(), TargetError> {
        let statements = vec![sql::schema_changes::record(&checkpoint.pipeline, record)];
        self.write_fenced_any("recording a change of a table", checkpoint, statements).await
    }

    /// What was last recorded of each table of these kinds, by source OID: kind, outcome and what was said.
    ///
    /// # Errors
    /// The server's.
    pub async fn last_records(
        &mut self,
        pipeline: &str,
        kinds: &[&str],
    ) -> Result<HashMap<u32, [String; 3]>, TargetError> {
        let during = "reading recorded changes";
        let rows = self.query(during, &sql::schema_changes::select_records(pipeline, kinds)).await?;
        rows.iter()
            .map(|row| {
                let fields = Fields { pipeline, row };
                Ok((fields.u32(0)?, [fields.text(1)?, fields.text(2)?, fields.text(3)?]))
            })
            .collect()
    }

    /// The last `limit` changes of a pipeline's tables, newest first.
    ///
    /// # Errors
    /// The server's.
    pub async fn schema_changes(
        &mut self,
        pipeline: &str,
        limit: u32,
    ) -> Result<Vec<RecordedChange>, TargetError> {
        let during = "reading recorded changes";
        if self.query(during, &object(SCHEMA_CHANGE.0)).await?.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.query(during, &sql::schema_changes::select_changes(pipeline, limit)).await?;
        rows.iter()
            .map(|row| {
                let fields = Fields { pipeline, row };
                Ok(RecordedChange {
                    source_oid: fields.u32(0)?,
                    source: QualifiedName::new(fields.text(1)?, fields.text(2)?),
                    lsn: fields.lsn(3)?,
                    number: fields.u32(4)?,
                    kind: fields.text(5)?,
                    outcome: fields.text(6)?,
                    what: fields.text(7)?,
                    statements: fields.text(8).ok(),
                    made_at_us: fields.time_us(9)?,
                })
            })
            .collect()
    }
}

/// As it is stored.
pub(crate) fn written(known: &KnownTable) -> Result<String, TargetError> {
    serde_json::to_string(known).map_err(|error| TargetError::Answer {
        during: "storing what is known of a table",
        detail: error.to_string(),
    })
}

/// As it was stored.
fn read_known(pipeline: &str, text: &str) -> Result<KnownTable, TargetError> {
    let unreadable = |reason: String| TargetError::StateUnreadable { pipeline: pipeline.to_owned(), reason };
    let known: KnownTable = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if known.version > known_table::VERSION {
        return Err(unreadable(format!("what it knows of tables has version {}", known.version)));
    }
    Ok(known)
}

/// Looks for a table of the state.
fn object(name: &str) -> String {
    sql::catalog::object(&QualifiedName::new(sql::state::SCHEMA, name))
}
