//! Source transactions that a person wants not to be applied.
//!
//! Whoever asks does not own the pipeline: asking is written without a fence and changes nothing by itself. The process that owns
//! it records in the target transaction that moves the checkpoint over the transaction that it was left out, so that neither is
//! true without the other.

use segcdc_model::{Checkpoint, Lsn, QualifiedName};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::skipped_transaction::{CREATE_SKIPPED_TRANSACTION, TABLE};
use crate::sql::state::Totals;
use crate::state::{Fields, WishOutcome, check_fence};

/// A source transaction that is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedTransaction {
    /// Position behind its COMMIT record.
    pub end_lsn: Lsn,
    /// Source transaction id.
    pub xid: u32,
    /// When it was committed, microseconds since 2000-01-01 UTC, by the source's clock.
    pub commit_time_us: i64,
    /// Its changes.
    pub changes: u64,
    /// The tables of the source that they are of, as `schema.table`, each once.
    pub tables: Vec<String>,
}

/// That a source transaction is not to be applied, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipWish {
    /// Position behind its COMMIT record.
    pub end_lsn: Lsn,
    /// `Asked`, `Done` or `Refused`.
    pub outcome: WishOutcome,
    /// Why it was applied after all; empty otherwise.
    pub detail: String,
    /// When it was asked for, microseconds since 2000-01-01 UTC, by the target's clock.
    pub asked_at_us: i64,
    /// The transaction, once it has come and was left out.
    pub skipped: Option<SkippedTransaction>,
}

// === impl Target ===

impl Target {
    /// Stores that a transaction is not to be applied. Durable on return. Does nothing if that is stored or done already.
    ///
    /// # Errors
    /// The server's.
    pub async fn ask_to_skip(&mut self, pipeline: &str, end_lsn: Lsn) -> Result<(), TargetError> {
        self.create_once("creating the state schema", &object(), CREATE_SKIPPED_TRANSACTION).await?;
        let [forget, ask] = sql::skipped_transaction::ask(pipeline, end_lsn);
        let sql = [sql::session::BEGIN, &forget, &ask, sql::session::COMMIT].join("; ");
        let written = self.batch("storing that a transaction is to be skipped", &sql).await;
        if written.is_err() {
            self.roll_back().await;
        }
        written.map(drop)
    }

    /// Takes that back. Whether it was stored and not done.
    ///
    /// # Errors
    /// The server's.
    pub async fn withdraw_skip(&mut self, pipeline: &str, end_lsn: Lsn) -> Result<bool, TargetError> {
        if !self.has_skipped_transactions().await? {
            return Ok(false);
        }
        let sql = sql::skipped_transaction::withdraw(pipeline, end_lsn);
        let response = self.batch("withdrawing that a transaction is to be skipped", &sql).await?;
        Ok(response.row_counts.first() == Some(&1))
    }

    /// What is asked and what was done, by position.
    ///
    /// # Errors
    /// The server's; [`TargetError::StateUnreadable`] for what a newer version has written.
    pub async fn skips(&mut self, pipeline: &str) -> Result<Vec<SkipWish>, TargetError> {
        if !self.has_skipped_transactions().await? {
            return Ok(Vec::new());
        }
        let rows = self.query(DURING, &sql::skipped_transaction::select(pipeline)).await?;
        rows.iter().map(|row| read(&Fields { pipeline, row })).collect()
    }

    /// Says that a transaction is applied after all, and why.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over.
    pub async fn refuse_skip(
        &mut self,
        checkpoint: &Checkpoint,
        end_lsn: Lsn,
        why: &str,
    ) -> Result<(), TargetError> {
        let statement = sql::skipped_transaction::refuse(&checkpoint.pipeline, end_lsn, why);
        self.write_fenced_any("refusing to skip a transaction", checkpoint, vec![statement]).await
    }

    /// Moves the checkpoint over a transaction and records that it was left out: both or neither. `None`, and nothing has
    /// changed, when nobody asks for it any more.
    ///
    /// # Errors
    /// As [`crate::apply()`].
    pub async fn skip_transaction(
        &mut self,
        expected: &Checkpoint,
        skipped: &SkippedTransaction,
    ) -> Result<Option<Checkpoint>, TargetError> {
        let done = Box::pin(self.try_skip(expected, skipped)).await;
        if !matches!(done, Ok(Some(_))) {
            self.roll_back().await;
        }
        done
    }

    async fn try_skip(
        &mut self,
        expected: &Checkpoint,
        skipped: &SkippedTransaction,
    ) -> Result<Option<Checkpoint>, TargetError> {
        let during = "skipping a transaction";
        let totals = Totals { commit_time_us: Some(skipped.commit_time_us), ..Totals::default() };
        let sql = [
            sql::session::BEGIN.to_owned(),
            sql::state::fence(expected),
            sql::skipped_transaction::record(&expected.pipeline, skipped),
            sql::state::finish(expected, skipped.end_lsn, &totals),
        ];
        let counts = self.batch(during, &sql.join("; ")).await?.row_counts;
        check_fence(expected, &counts)?;
        match counts.get(1..) {
            Some([1, 1]) => {}
            Some([0, 1]) => return Ok(None),
            _ => {
                let detail = format!("{} row counts came for 3 statements", counts.len());
                return Err(TargetError::Answer { during, detail });
            }
        }
        self.commit().await?;
        let batch_seq = expected.batch_seq + 1;
        Ok(Some(Checkpoint { applied_lsn: skipped.end_lsn, batch_seq, ..expected.clone() }))
    }

    async fn has_skipped_transactions(&mut self) -> Result<bool, TargetError> {
        Ok(!self.query(DURING, &object()).await?.is_empty())
    }
}

/// What is being done, for errors.
const DURING: &str = "reading which transactions are skipped";

fn read(fields: &Fields<'_>) -> Result<SkipWish, TargetError> {
    let outcome = WishOutcome::from_word(&fields.text(1)?).ok_or_else(|| fields.unreadable(1))?;
    let end_lsn = fields.lsn(0)?;
    let skipped = match outcome {
        WishOutcome::Done => Some(SkippedTransaction {
            end_lsn,
            xid: fields.u32(4)?,
            commit_time_us: fields.int(5)?,
            changes: fields.u64(6)?,
            tables: serde_json::from_str(&fields.text(7)?).map_err(|_| fields.unreadable(7))?,
        }),
        _ => None,
    };
    let detail = fields.text(2).unwrap_or_default();
    Ok(SkipWish { end_lsn, outcome, detail, asked_at_us: fields.time_us(3)?, skipped })
}

/// Looks for the table.
fn object() -> String {
    sql::catalog::object(&QualifiedName::new(sql::state::SCHEMA, TABLE))
}
