//! The state of pipelines: checkpoint, fence and phases of tables.
//!
//! Every write is a compare-and-set on the checkpoint that this process holds. When it changes no row, somebody else
//! has taken the pipeline over, and nothing more is written.

use segcdc_model::{Checkpoint, Lineage, Lsn, QualifiedName, TablePhase};
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::quote;
use crate::session::Target;
use crate::sql;

/// Longest name of a pipeline, in characters.
pub const MAX_PIPELINE_NAME: usize = 100;

/// Everything that the target knows of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineState {
    /// Position, fence and lineage.
    pub checkpoint: Checkpoint,
    /// Who runs or last ran it.
    pub owner: String,
    /// Commit time of the last applied transaction, microseconds since 2000-01-01 UTC, by the source's clock.
    pub commit_time_us: Option<i64>,
    /// The slot was made by us, so that `down --drop` removes it.
    pub slot_is_ours: bool,
    /// The publication was made by us.
    pub publication_is_ours: bool,
    /// Its tables, by source OID.
    pub tables: Vec<TableState>,
}

/// What the target knows of one table of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// OID in the source.
    pub source_oid: u32,
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Fingerprint of the columns and key that the table was made for.
    pub shape: String,
    /// Where it stands.
    pub phase: TablePhase,
    /// Changes at or below it are in the copy.
    pub sync_lsn: Lsn,
    /// Rows of the copy.
    pub rows_copied: u64,
    /// The target table was made by us.
    pub table_is_ours: bool,
    /// Why it is quarantined.
    pub error: Option<(String, String)>,
}

/// What a new pipeline begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPipeline {
    /// Its name.
    pub pipeline: String,
    /// Who creates it.
    pub owner: String,
    /// Identity of the source.
    pub lineage: Lineage,
    /// The slot is to be made, or was made, by us.
    pub slot_is_ours: bool,
    /// The publication is to be made, or was made, by us.
    pub publication_is_ours: bool,
    /// Everything at or below it is in the copy.
    pub start_lsn: Lsn,
}

// === impl Target ===

impl Target {
    /// Creates the schema `segcdc` and its tables where they are missing. Safe to repeat.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn ensure_state_schema(&mut self) -> Result<(), TargetError> {
        let during = "creating the state schema";
        self.ensure_schema(sql::state::SCHEMA).await?;
        for (name, create) in
            [("pipeline", sql::state::CREATE_PIPELINE), ("pipeline_table", sql::state::CREATE_PIPELINE_TABLE)]
        {
            let table = QualifiedName::new(sql::state::SCHEMA, name);
            if self.query(during, &sql::catalog::object(&table)).await?.is_empty() {
                self.batch(during, create).await?;
            }
        }
        Ok(())
    }

    /// The state of a pipeline; `None` when the target has none. Changes nothing.
    ///
    /// # Errors
    /// [`TargetError::StateUnreadable`] for state of a newer version.
    pub async fn load_state(&mut self, pipeline: &str) -> Result<Option<PipelineState>, TargetError> {
        let during = "reading the state";
        let table = QualifiedName::new(sql::state::SCHEMA, "pipeline");
        if self.query(during, &sql::catalog::object(&table)).await?.is_empty() {
            return Ok(None);
        }
        let rows = self.query(during, &sql::state::select_pipeline(pipeline)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut state = read_pipeline(pipeline, row)?;
        state.tables = self.load_tables(pipeline).await?;
        Ok(Some(state))
    }

    /// The checkpoint, read with a lock that waits for a writer's open transaction. Settles an unknown commit.
    ///
    /// # Errors
    /// [`TargetError::StateMissing`] when the row is gone.
    pub async fn read_checkpoint_locked(&mut self, pipeline: &str) -> Result<Checkpoint, TargetError> {
        let sql = sql::state::select_pipeline_locked(pipeline);
        let rows = self.query("reading the checkpoint", &sql).await?;
        let row = rows.first().ok_or_else(|| TargetError::StateMissing { pipeline: pipeline.to_owned() })?;
        Ok(read_pipeline(pipeline, row)?.checkpoint)
    }

    /// Writes the first state of a pipeline, epoch 1.
    ///
    /// # Errors
    /// The server's; 2627 when it exists already.
    pub async fn create_pipeline(&mut self, new: &NewPipeline) -> Result<Checkpoint, TargetError> {
        let lineage = &new.lineage;
        let sql = format!(
            "INSERT INTO [segcdc].[pipeline] ([pipeline], [epoch], [owner], [batch_seq], [applied_lsn], \
             [system_identifier], [timeline], [database_oid], [slot], [slot_is_ours], [publication], \
             [publication_oid], [publication_is_ours], [schema_version], [updated_at]) \
             VALUES ({}, 1, {}, 0, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, SYSUTCDATETIME())",
            quote::text(&new.pipeline),
            quote::text(&new.owner),
            new.start_lsn.as_u64(),
            quote::text(&lineage.system_identifier),
            lineage.timeline,
            lineage.database_oid,
            quote::text(&lineage.slot),
            u8::from(new.slot_is_ours),
            quote::text(&lineage.publication),
            lineage.publication_oid,
            u8::from(new.publication_is_ours),
            sql::state::SCHEMA_VERSION,
        );
        self.batch("creating the pipeline's state", &sql).await?;
        Ok(Checkpoint {
            pipeline: new.pipeline.clone(),
            epoch: 1,
            batch_seq: 0,
            applied_lsn: new.start_lsn,
            lineage: lineage.clone(),
        })
    }

    /// Takes a pipeline over: raises the epoch, which fences every process that held it before.
    ///
    /// # Errors
    /// [`TargetError::StateMissing`].
    pub async fn take_over(&mut self, pipeline: &str, owner: &str) -> Result<Checkpoint, TargetError> {
        let rows = self.query("taking the pipeline over", &sql::state::take_over(pipeline, owner)).await?;
        let row = rows.first().ok_or_else(|| TargetError::StateMissing { pipeline: pipeline.to_owned() })?;
        Ok(read_pipeline(pipeline, row)?.checkpoint)
    }

    /// Stores an idle advance: nothing was committed for us up to `lsn`.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn advance(&mut self, checkpoint: &Checkpoint, lsn: Lsn) -> Result<Checkpoint, TargetError> {
        let sql = sql::state::advance(checkpoint, lsn, None);
        let response = self.batch("advancing the checkpoint", &sql).await?;
        check_fence(checkpoint, &response.row_counts)?;
        Ok(Checkpoint { applied_lsn: lsn, batch_seq: checkpoint.batch_seq + 1, ..checkpoint.clone() })
    }

    /// Points the pipeline at another slot (after its first one was made again during set-up).
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn set_lineage(
        &mut self,
        checkpoint: &Checkpoint,
        lineage: &Lineage,
        lsn: Lsn,
    ) -> Result<Checkpoint, TargetError> {
        let sql = sql::state::set_lineage(checkpoint, lineage, lsn);
        let response = self.batch("storing the slot", &sql).await?;
        check_fence(checkpoint, &response.row_counts)?;
        let batch_seq = checkpoint.batch_seq + 1;
        Ok(Checkpoint { applied_lsn: lsn, batch_seq, lineage: lineage.clone(), ..checkpoint.clone() })
    }

    /// Writes the state of one table, fenced by `checkpoint`.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over; then nothing was written.
    pub async fn set_table(&mut self, checkpoint: &Checkpoint, table: &TableState) -> Result<(), TargetError> {
        let result = self.set_table_in_tx(checkpoint, table).await;
        if result.is_err() {
            self.roll_back().await;
        }
        result
    }

    async fn set_table_in_tx(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TableState,
    ) -> Result<(), TargetError> {
        let during = "storing the state of a table";
        let pipeline = quote::text(&checkpoint.pipeline);
        let fence = format!("BEGIN TRANSACTION; {}", sql::state::fence(checkpoint));
        let response = self.batch(during, &fence).await?;
        check_fence(checkpoint, &response.row_counts)?;
        let text = |value: Option<&String>| value.map_or("NULL".to_owned(), |value| quote::text(value));
        let detail = table.error.as_ref().map(|(_, detail)| detail.chars().take(2000).collect::<String>());
        let sql = format!(
            "DELETE FROM [segcdc].[pipeline_table] WHERE [pipeline] = {pipeline} AND [source_oid] = {oid}; \
             INSERT INTO [segcdc].[pipeline_table] ([pipeline], [source_oid], [source_schema], [source_name], \
             [target_schema], [target_name], [shape], [phase], [sync_lsn], [rows_copied], [table_is_ours], \
             [error_code], [error_detail], [updated_at]) \
             VALUES ({pipeline}, {oid}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, SYSUTCDATETIME())",
            quote::text(&table.source.schema),
            quote::text(&table.source.name),
            quote::text(&table.target.schema),
            quote::text(&table.target.name),
            quote::text(&table.shape),
            quote::text(table.phase.as_str()),
            table.sync_lsn.as_u64(),
            table.rows_copied,
            u8::from(table.table_is_ours),
            text(table.error.as_ref().map(|(code, _)| code)),
            text(detail.as_ref()),
            oid = table.source_oid,
        );
        self.batch(during, &sql).await?;
        self.commit().await
    }

    /// Removes all state of a pipeline. The target's tables stay.
    ///
    /// # Errors
    /// The server's.
    pub async fn remove_pipeline(&mut self, pipeline: &str) -> Result<(), TargetError> {
        let name = quote::text(pipeline);
        let sql = format!(
            "BEGIN TRANSACTION; DELETE FROM [segcdc].[pipeline_table] WHERE [pipeline] = {name}; \
             DELETE FROM [segcdc].[pipeline] WHERE [pipeline] = {name}; COMMIT TRANSACTION"
        );
        self.batch("removing the pipeline's state", &sql).await?;
        Ok(())
    }

    /// Names of all pipelines that the target holds.
    ///
    /// # Errors
    /// The server's.
    pub async fn pipelines(&mut self) -> Result<Vec<String>, TargetError> {
        let during = "listing pipelines";
        let table = QualifiedName::new(sql::state::SCHEMA, "pipeline");
        if self.query(during, &sql::catalog::object(&table)).await?.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.query(during, "SELECT [pipeline] FROM [segcdc].[pipeline] ORDER BY [pipeline]").await?;
        Ok(rows.iter().filter_map(|row| row.first()?.as_text().map(str::to_owned)).collect())
    }

    async fn load_tables(&mut self, pipeline: &str) -> Result<Vec<TableState>, TargetError> {
        let sql = format!(
            "SELECT [source_oid], [source_schema], [source_name], [target_schema], [target_name], [shape], [phase], \
             [sync_lsn], [rows_copied], [table_is_ours], [error_code], [error_detail] \
             FROM [segcdc].[pipeline_table] WHERE [pipeline] = {} ORDER BY [source_schema], [source_name]",
            quote::text(pipeline)
        );
        let rows = self.query("reading the state", &sql).await?;
        rows.iter().map(|row| read_table(pipeline, row)).collect()
    }
}

/// The first count of a fenced batch must be one row.
pub(crate) fn check_fence(checkpoint: &Checkpoint, counts: &[u64]) -> Result<(), TargetError> {
    if counts.first() == Some(&1) {
        return Ok(());
    }
    Err(TargetError::Fenced { pipeline: checkpoint.pipeline.clone(), epoch: checkpoint.epoch })
}

/// Reads fields of a row by position, each wrong one an error that names it.
struct Fields<'a> {
    pipeline: &'a str,
    row: &'a [Datum],
}

impl Fields<'_> {
    fn unreadable(&self, index: usize) -> TargetError {
        let reason = format!("field {index} is missing or of another type");
        TargetError::StateUnreadable { pipeline: self.pipeline.to_owned(), reason }
    }

    fn int(&self, index: usize) -> Result<i64, TargetError> {
        self.row.get(index).and_then(Datum::as_int).ok_or_else(|| self.unreadable(index))
    }

    fn u32(&self, index: usize) -> Result<u32, TargetError> {
        u32::try_from(self.int(index)?).map_err(|_| self.unreadable(index))
    }

    fn lsn(&self, index: usize) -> Result<Lsn, TargetError> {
        u64::try_from(self.int(index)?).map(Lsn::new).map_err(|_| self.unreadable(index))
    }

    fn text(&self, index: usize) -> Result<String, TargetError> {
        let text = self.row.get(index).and_then(Datum::as_text);
        text.map(str::to_owned).ok_or_else(|| self.unreadable(index))
    }

    fn flag(&self, index: usize) -> Result<bool, TargetError> {
        Ok(self.int(index)? != 0)
    }
}

fn read_pipeline(pipeline: &str, row: &[Datum]) -> Result<PipelineState, TargetError> {
    let fields = Fields { pipeline, row };
    let version = fields.int(13)?;
    if version > sql::state::SCHEMA_VERSION {
        let reason = format!("it has layout {version}, this version knows {}", sql::state::SCHEMA_VERSION);
        return Err(TargetError::StateUnreadable { pipeline: pipeline.to_owned(), reason });
    }
    let lineage = Lineage {
        system_identifier: fields.text(5)?,
        timeline: fields.u32(6)?,
        database_oid: fields.u32(7)?,
        slot: fields.text(8)?,
        publication: fields.text(10)?,
        publication_oid: fields.u32(11)?,
    };
    Ok(PipelineState {
        checkpoint: Checkpoint {
            pipeline: pipeline.to_owned(),
            epoch: fields.int(0)?,
            batch_seq: fields.int(2)?,
            applied_lsn: fields.lsn(3)?,
            lineage,
        },
        owner: fields.text(1)?,
        commit_time_us: fields.int(4).ok(),
        slot_is_ours: fields.flag(9)?,
        publication_is_ours: fields.flag(12)?,
        tables: Vec::new(),
    })
}

fn read_table(pipeline: &str, row: &[Datum]) -> Result<TableState, TargetError> {
    let fields = Fields { pipeline, row };
    let phase = fields.text(6)?;
    let phase = TablePhase::from_word(&phase).ok_or_else(|| fields.unreadable(6))?;
    Ok(TableState {
        source_oid: fields.u32(0)?,
        source: QualifiedName::new(fields.text(1)?, fields.text(2)?),
        target: QualifiedName::new(fields.text(3)?, fields.text(4)?),
        shape: fields.text(5)?,
        phase,
        sync_lsn: fields.lsn(7)?,
        rows_copied: u64::try_from(fields.int(8)?).map_err(|_| fields.unreadable(8))?,
        table_is_ours: fields.flag(9)?,
        error: fields.text(10).ok().map(|code| (code, fields.text(11).unwrap_or_default())),
    })
}
