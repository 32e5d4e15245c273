//! Writing the state.

use segcdc_model::{Checkpoint, Lineage, Lsn, QualifiedName, TablePhase};
use segcdc_plan::KnownTable;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::state::Totals;
use crate::state::{Lag, NewPipeline, Replacement, TableProgress, TableState, check_fence, read, written};

/// How many rows the statements of a fenced write have to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Any number.
    Any,
    /// One each: the row of a table that is known.
    OneRowEach,
}

// === impl Target ===

impl Target {
    /// Creates the schema `segcdc` and its tables where they are missing. Safe to repeat, and for two processes at once.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn ensure_state_schema(&mut self) -> Result<(), TargetError> {
        let during = "creating the state schema";
        self.ensure_schema(sql::state::SCHEMA).await?;
        let [letters, uses] = sql::letters::TABLES;
        for (name, create) in [
            ("pipeline", sql::state::CREATE_PIPELINE),
            ("pipeline_table", sql::state::CREATE_PIPELINE_TABLE),
            letters,
            uses,
            (sql::slot_watch::TABLE, sql::slot_watch::CREATE_SLOT_WATCH),
            (sql::large_transaction::TABLE, sql::large_transaction::CREATE_LARGE_TRANSACTION),
            (sql::partial_transaction::TABLE, sql::partial_transaction::CREATE_PARTIAL_TRANSACTION),
            (sql::skipped_transaction::TABLE, sql::skipped_transaction::CREATE_SKIPPED_TRANSACTION),
            sql::schema_changes::KNOWN_TABLE,
            sql::schema_changes::SCHEMA_CHANGE,
        ] {
            let table = QualifiedName::new(sql::state::SCHEMA, name);
            self.create_once(during, &sql::catalog::object(&table), create).await?;
        }
        Ok(())
    }

    /// Writes the first state of a pipeline, epoch 1, before anything is made at the source.
    ///
    /// # Errors
    /// The server's; 2627 when it exists already.
    pub async fn create_pipeline(&mut self, new: &NewPipeline) -> Result<Checkpoint, TargetError> {
        self.batch("creating the pipeline's state", &sql::state::insert_pipeline(new)).await?;
        Ok(Checkpoint {
            pipeline: new.pipeline.clone(),
            epoch: 1,
            batch_seq: 0,
            applied_lsn: new.start_lsn,
            lineage: new.lineage.clone(),
        })
    }

    /// Takes a pipeline over: raises the epoch, which fences every process that held it before. Waits for the open
    /// batch of such a process.
    ///
    /// # Errors
    /// [`TargetError::StateMissing`].
    pub async fn take_over(&mut self, pipeline: &str, owner: &str) -> Result<Checkpoint, TargetError> {
        let rows = self.query("taking the pipeline over", &sql::state::take_over(pipeline, owner)).await?;
        read::read_checkpoint(pipeline, &rows)
    }

    /// Stores an idle advance: nothing was committed for us up to `lsn`.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn advance(&mut self, checkpoint: &Checkpoint, lsn: Lsn) -> Result<Checkpoint, TargetError> {
        self.advance_by(checkpoint, lsn, &Totals::default()).await
    }

    /// Moves the checkpoint with what a batch without an effect adds to the totals.
    pub(crate) async fn advance_by(
        &mut self,
        checkpoint: &Checkpoint,
        lsn: Lsn,
        totals: &Totals,
    ) -> Result<Checkpoint, TargetError> {
        let sql = sql::state::advance(checkpoint, lsn, totals);
        let advanced = self.batch("advancing the checkpoint", &sql).await;
        let response = advanced.map_err(TargetError::of_commit)?;
        check_fence(checkpoint, &response.row_counts)?;
        Ok(Checkpoint { applied_lsn: lsn, batch_seq: checkpoint.batch_seq + 1, ..checkpoint.clone() })
    }

    /// Stores slot and publication once they exist, and where the pipeline begins.
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

    /// Hands the pipeline to another engine: what is read from now on, from where, and that engine's settings (empty for
    /// none), all or nothing.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn hand_over(
        &mut self,
        checkpoint: &Checkpoint,
        lineage: &Lineage,
        lsn: Lsn,
        spec: &str,
    ) -> Result<Checkpoint, TargetError> {
        let sql = sql::state::hand_over(checkpoint, lineage, lsn, spec);
        let response = self.batch("handing the pipeline over", &sql).await?;
        check_fence(checkpoint, &response.row_counts)?;
        let batch_seq = checkpoint.batch_seq + 1;
        Ok(Checkpoint { applied_lsn: lsn, batch_seq, lineage: lineage.clone(), ..checkpoint.clone() })
    }

    /// Stores which of slot and publication `down --drop` may remove.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn set_ownership(
        &mut self,
        checkpoint: &Checkpoint,
        slot_is_ours: bool,
        publication_is_ours: bool,
    ) -> Result<(), TargetError> {
        let sql = sql::state::set_ownership(checkpoint, slot_is_ours, publication_is_ours);
        let response = self.batch("storing the state", &sql).await?;
        check_fence(checkpoint, &response.row_counts)
    }

    /// Stores the engine's settings.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn set_spec(&mut self, checkpoint: &Checkpoint, spec: &str) -> Result<(), TargetError> {
        let response = self.batch("storing the settings", &sql::state::set_spec(checkpoint, spec)).await?;
        check_fence(checkpoint, &response.row_counts)
    }

    /// Stores how far behind the pipeline is, for `status` of other processes. A sign of life too.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn set_lag(&mut self, checkpoint: &Checkpoint, lag: &Lag) -> Result<(), TargetError> {
        let response = self.batch("storing the lag", &sql::state::set_lag(checkpoint, lag)).await?;
        check_fence(checkpoint, &response.row_counts)
    }

    /// Writes the state of one table, whether it had one or not.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over; then nothing was written.
    pub async fn set_table(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TableState,
    ) -> Result<(), TargetError> {
        self.set_tables(checkpoint, std::slice::from_ref(table)).await
    }

    /// Writes the state of several tables, all or none. What was known of them is forgotten: they are to be copied, or are
    /// taken as they are.
    ///
    /// # Errors
    /// As [`Target::set_table`].
    pub async fn set_tables(
        &mut self,
        checkpoint: &Checkpoint,
        tables: &[TableState],
    ) -> Result<(), TargetError> {
        let pipeline = &checkpoint.pipeline;
        let statements = tables.iter().flat_map(|table| {
            let oid = table.source_oid;
            [
                sql::schema_changes::forget(pipeline, oid),
                sql::state::delete_table(pipeline, oid),
                sql::state::insert_table(pipeline, table),
            ]
        });
        self.write_fenced("storing the state of tables", checkpoint, statements.collect(), Found::Any).await
    }

    /// Puts a table in the place of another one: all or nothing, so that no target table is left that no state knows. The
    /// schema of a table that is made has to be there. (T-SQL manual, "DROP TABLE": it is undone with its transaction.)
    ///
    /// # Errors
    /// As [`Target::set_table`].
    pub async fn replace_table(
        &mut self,
        checkpoint: &Checkpoint,
        replacement: &Replacement<'_>,
    ) -> Result<(), TargetError> {
        let Replacement { before, after, made, dropped } = replacement;
        let pipeline = &checkpoint.pipeline;
        let mut statements: Vec<String> =
            made.iter().map(|plan| sql::create_table::create_table(plan)).collect();
        statements.push(sql::schema_changes::forget(pipeline, *before));
        statements.push(sql::schema_changes::forget(pipeline, after.source_oid));
        statements.push(sql::state::delete_table(pipeline, *before));
        statements.push(sql::state::delete_table(pipeline, after.source_oid));
        statements.push(sql::state::insert_table(pipeline, after));
        // What is asked of a table is asked of the one that was made anew in its place.
        if *before != after.source_oid && self.has_table_wishes().await? {
            statements.push(sql::table_wish::follow(pipeline, *before, after.source_oid));
        }
        statements.extend(dropped.map(sql::create_table::drop_table_if_exists));
        self.write_fenced("replacing a table", checkpoint, statements, Found::Any).await
    }

    /// Removes the state of one table.
    ///
    /// # Errors
    /// As [`Target::set_table`].
    pub async fn remove_table(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
    ) -> Result<(), TargetError> {
        let pipeline = &checkpoint.pipeline;
        let statements = vec![
            sql::schema_changes::forget(pipeline, source_oid),
            sql::state::delete_table(pipeline, source_oid),
        ];
        self.write_fenced("removing the state of a table", checkpoint, statements, Found::Any).await
    }

    /// Moves a table to another phase; `error` is the code and detail that quarantined it.
    ///
    /// # Errors
    /// As [`Target::set_table`]; [`TargetError::StateMissing`] when the table is not known.
    pub async fn set_table_phase(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        phase: TablePhase,
        error: Option<(&str, &str)>,
    ) -> Result<(), TargetError> {
        let statement = sql::state::set_phase(&checkpoint.pipeline, source_oid, phase, error);
        self.write_fenced("storing the phase of a table", checkpoint, vec![statement], Found::OneRowEach)
            .await
    }

    /// Sets a table aside on request, which holds its source as of `lsn`.
    ///
    /// # Errors
    /// As [`Target::set_table_phase`].
    pub async fn pause_table(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        lsn: Lsn,
    ) -> Result<(), TargetError> {
        let statement = sql::state::pause(&checkpoint.pipeline, source_oid, lsn);
        self.write_fenced("pausing a table", checkpoint, vec![statement], Found::OneRowEach).await
    }

    /// Stores how far the copies of tables are.
    ///
    /// # Errors
    /// As [`Target::set_table_phase`].
    pub async fn set_table_progress(
        &mut self,
        checkpoint: &Checkpoint,
        progress: &[TableProgress],
    ) -> Result<(), TargetError> {
        let pipeline = &checkpoint.pipeline;
        let statements =
            progress.iter().map(|progress| sql::state::set_progress(pipeline, progress)).collect();
        self.write_fenced("storing the progress of copies", checkpoint, statements, Found::OneRowEach).await
    }

    /// Makes a copied table live, which was `known` when it was copied: to be called when its rows are committed and its key
    /// is built. From then on changes of transactions that end behind `sync_lsn` are applied to it.
    ///
    /// # Errors
    /// As [`Target::set_table_phase`].
    pub async fn finish_copy(
        &mut self,
        checkpoint: &Checkpoint,
        progress: &TableProgress,
        sync_lsn: Lsn,
        known: &KnownTable,
    ) -> Result<(), TargetError> {
        let pipeline = &checkpoint.pipeline;
        let statements = vec![
            sql::schema_changes::insert_known(pipeline, progress.source_oid, &written(known)?),
            sql::state::finish_copy(pipeline, progress, sync_lsn),
        ];
        self.write_fenced("making a table live", checkpoint, statements, Found::OneRowEach).await
    }

    /// Removes all state of a pipeline. The target's tables stay.
    ///
    /// # Errors
    /// The server's.
    pub async fn remove_pipeline(&mut self, pipeline: &str) -> Result<(), TargetError> {
        let removed = self.batch("removing the pipeline's state", &sql::state::remove(pipeline)).await;
        if removed.is_err() {
            self.roll_back().await;
        }
        removed.map(drop)
    }

    /// Runs statements in a transaction that begins by proving the epoch, however many rows they find.
    pub(crate) async fn write_fenced_any(
        &mut self,
        during: &'static str,
        checkpoint: &Checkpoint,
        statements: Vec<String>,
    ) -> Result<(), TargetError> {
        self.write_fenced(during, checkpoint, statements, Found::Any).await
    }

    /// Runs statements in a transaction that begins by proving the epoch.
    async fn write_fenced(
        &mut self,
        during: &'static str,
        checkpoint: &Checkpoint,
        mut statements: Vec<String>,
        found: Found,
    ) -> Result<(), TargetError> {
        statements.insert(0, sql::state::hold(checkpoint));
        let sql = format!("BEGIN TRANSACTION; {}", statements.join("; "));
        let written = async {
            let response = self.batch(during, &sql).await?;
            check_fence(checkpoint, &response.row_counts)?;
            let all_found =
                response.row_counts.iter().filter(|count| **count == 1).count() == statements.len();
            if found == Found::OneRowEach && !all_found {
                return Err(TargetError::StateMissing { pipeline: checkpoint.pipeline.clone() });
            }
            self.commit().await
        };
        let written = written.await;
        if written.is_err() {
            self.roll_back().await;
        }
        written
    }
}
