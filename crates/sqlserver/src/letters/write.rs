//! Writing letters and counts in a transaction that is open.

use segcdc_model::{Checkpoint, Lsn, QualifiedName, Value};
use segcdc_plan::{LetterChange, PolicyUse};
use segcdc_tds::{BulkOptions, ColumnType};

use super::steps::{Statement, Steps, values};
use super::values::{column, columns};
use crate::error::{RefusedValue, TargetError};
use crate::session::Target;
use crate::sink::{RowBuffer, RowSink};
use crate::sql;
use crate::state::check_fence;

/// What is being done, for errors.
const DURING: &str = "writing dead letters";

/// Encoded bytes that are sent at a time.
const SEND_BYTES: usize = 1 << 20;

/// Statements of one request.
const STATEMENTS_PER_REQUEST: usize = 100;

// === impl Target ===

impl Target {
    /// Writes letters and counts in a fenced transaction of their own.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over, and [`TargetError::Diverged`] when letters are not what
    /// they were; then nothing was written.
    pub async fn write_letters(
        &mut self,
        checkpoint: &Checkpoint,
        changes: &[LetterChange],
        uses: &[PolicyUse],
    ) -> Result<(), TargetError> {
        self.batch(DURING, sql::session::BEGIN).await?;
        self.end_with_letters(DURING, checkpoint, changes, uses).await
    }

    /// As [`Target::commit_load`], with the letters of rows that the load has left out and what its policies decided.
    ///
    /// # Errors
    /// As [`Target::write_letters`].
    pub async fn commit_load_with(
        &mut self,
        checkpoint: &Checkpoint,
        changes: &[LetterChange],
        uses: &[PolicyUse],
    ) -> Result<(), TargetError> {
        self.end_with_letters("ending a load", checkpoint, changes, uses).await
    }

    /// Before a table is copied anew: closes its open letters and forgets its counts. Does nothing where there are none.
    ///
    /// # Errors
    /// As [`Target::write_letters`].
    pub async fn clear_letters(
        &mut self,
        checkpoint: &Checkpoint,
        table: &QualifiedName,
        oid: u32,
    ) -> Result<(), TargetError> {
        if !self.has_letters().await? {
            return Ok(());
        }
        self.batch(DURING, sql::session::BEGIN).await?;
        let forget = sql::letter_changes::forget_counters(&checkpoint.pipeline, oid);
        let all = LetterChange::CloseAll { oid, table: table.clone(), lsn: checkpoint.applied_lsn };
        let forgotten = self.batch(DURING, &forget).await;
        if let Err(error) = forgotten {
            self.roll_back().await;
            return Err(error);
        }
        self.end_with_letters(DURING, checkpoint, &[all], &[]).await
    }

    /// Proves the epoch, writes letters and counts, and commits the open transaction, or rolls it back.
    async fn end_with_letters(
        &mut self,
        during: &'static str,
        checkpoint: &Checkpoint,
        changes: &[LetterChange],
        uses: &[PolicyUse],
    ) -> Result<(), TargetError> {
        let ended = async {
            let response = self.batch(during, &sql::state::hold(checkpoint)).await?;
            check_fence(checkpoint, &response.row_counts)?;
            write(self, &checkpoint.pipeline, changes, uses, checkpoint.applied_lsn).await?;
            self.commit().await
        };
        let ended = ended.await;
        if ended.is_err() {
            self.roll_back().await;
        }
        ended
    }
}

/// Writes letters and counts in the open transaction, behind the fence. The caller rolls back after an error.
pub(crate) async fn write(
    target: &mut Target,
    pipeline: &str,
    changes: &[LetterChange],
    uses: &[PolicyUse],
    end_lsn: Lsn,
) -> Result<(), TargetError> {
    let steps = Steps::new(pipeline, changes, uses);
    let stages = !steps.staged.is_empty();
    if stages {
        target.batch(DURING, &sql::letter_changes::create_staging()).await?;
        load(target, &steps.staged).await?;
    }
    for statements in steps.statements.chunks(STATEMENTS_PER_REQUEST) {
        let texts: Vec<&str> = statements.iter().map(|statement| statement.sql.as_str()).collect();
        let response = target.batch(DURING, &texts.join(";\n")).await?;
        check_counts(&response.row_counts, statements, end_lsn)?;
    }
    if stages {
        target.batch(DURING, sql::letter_changes::DROP_STAGING).await?;
    }
    Ok(())
}

/// Loads rows into the staging table.
async fn load(target: &mut Target, staged: &[(usize, &LetterChange)]) -> Result<(), TargetError> {
    let mut all = vec![column("grp", ColumnType::Int)];
    all.extend(columns());
    let mut buffer = RowBuffer::new(all.clone(), target.write_path());
    let options = BulkOptions { keep_nulls: true, ..BulkOptions::default() };
    let server = |error| TargetError::from_tds(DURING, error);
    let mut sink =
        RowSink::begin(target, sql::letter_changes::STAGING, &all, &options).await.map_err(server)?;
    for (group, change) in staged {
        if let Err(error) = encode(&mut buffer, *group, change) {
            let _given_up = sink.abort().await;
            return Err(error);
        }
        if buffer.byte_len() >= SEND_BYTES {
            sink.send(&mut buffer).await.map_err(server)?;
        }
    }
    sink.send(&mut buffer).await.map_err(server)?;
    let taken = sink.finish().await.map_err(server)?;
    if taken == staged.len() as u64 {
        return Ok(());
    }
    let detail = format!("the server took {taken} rows of {}", staged.len());
    Err(TargetError::Answer { during: DURING, detail })
}

fn encode(buffer: &mut RowBuffer, group: usize, change: &LetterChange) -> Result<(), TargetError> {
    let encoded = (|| {
        buffer.begin_row();
        buffer.value(&Value::Int(i64::try_from(group).unwrap_or(i64::MAX)))?;
        for field in values(change) {
            buffer.value(&field.value())?;
        }
        buffer.end_row()
    })();
    encoded.map_err(refused)
}

/// A value of ours that is refused: none of a row, for those are in texts without a limit.
pub(crate) fn refused(refused: RefusedValue) -> TargetError {
    TargetError::Answer { during: DURING, detail: refused.to_string() }
}

fn check_counts(counts: &[u64], statements: &[Statement], end_lsn: Lsn) -> Result<(), TargetError> {
    if counts.len() != statements.len() {
        let detail = format!("{} row counts came for {} statements", counts.len(), statements.len());
        return Err(TargetError::Answer { during: DURING, detail });
    }
    let wrong = counts.iter().zip(statements).find_map(|(found, statement)| match statement.rows {
        Some(rows) if rows != *found => Some((statement, rows, *found)),
        _ => None,
    });
    let Some((statement, expected, found)) = wrong else { return Ok(()) };
    let [letters, _] = sql::letters::TABLES;
    Err(TargetError::Diverged {
        table: Box::new(QualifiedName::new(sql::state::SCHEMA, letters.0)),
        statement: statement.what,
        expected,
        found,
        lsn: end_lsn,
        oid: statement.oid,
    })
}
