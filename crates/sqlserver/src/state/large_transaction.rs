//! How far a large source transaction is, for `status` of other processes.

use segcdc_model::QualifiedName;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::large_transaction::{CREATE_LARGE_TRANSACTION, TABLE};
use crate::state::{Fields, LargeTransaction};

/// What was said of a large transaction, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidOfLarge {
    /// The epoch of the process that said it.
    pub epoch: i64,
    /// How far it was.
    pub large: LargeTransaction,
    /// How long ago, milliseconds, by the target's clock.
    pub age_ms: u64,
}

// === impl Target ===

impl Target {
    /// What was last said of a large transaction; `None` while the pipeline is at none.
    ///
    /// # Errors
    /// The server's.
    pub async fn large_transaction(&mut self, pipeline: &str) -> Result<Option<SaidOfLarge>, TargetError> {
        let during = "reading how far a large transaction is";
        if self.query(during, &object()).await?.is_empty() {
            return Ok(None);
        }
        let rows = self.query(during, &sql::large_transaction::select(pipeline)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let fields = Fields { pipeline, row };
        let age_us = fields.time_us(10)?.saturating_sub(fields.time_us(9)?);
        Ok(Some(SaidOfLarge {
            epoch: fields.int(0)?,
            large: LargeTransaction {
                xid: fields.u32(1)?,
                is_complete: fields.flag(2)?,
                changes: fields.u64(3)?,
                disk_bytes: fields.u64(4)?,
                applied: fields.u64(5)?,
                part: fields.u64(6)?,
                parts: fields.u64(7)?,
                elapsed_ms: fields.u64(8)?,
            },
            age_ms: u64::try_from(age_us / 1000).unwrap_or(0),
        }))
    }

    /// Creates the table of [`Target::set_large_transaction`] where it is missing, and forgets what a process said that
    /// died. Outside of any transaction.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn begin_large_transactions(&mut self, pipeline: &str, epoch: i64) -> Result<(), TargetError> {
        self.create_once("creating the state schema", &object(), CREATE_LARGE_TRANSACTION).await?;
        self.clear_large_transaction(pipeline, epoch).await
    }

    /// Says how far a large transaction is. Does nothing when another process took over and has said something. Waits for
    /// no other session of the pipeline.
    ///
    /// # Errors
    /// The server's.
    pub async fn set_large_transaction(
        &mut self,
        pipeline: &str,
        epoch: i64,
        large: &LargeTransaction,
    ) -> Result<(), TargetError> {
        let sql = format!(
            "{}; {}",
            sql::large_transaction::update(pipeline, epoch, large),
            sql::large_transaction::insert_where_missing(pipeline, epoch, large)
        );
        self.batch("storing how far a large transaction is", &sql).await.map(drop)
    }

    /// Says that the pipeline is at no large transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn clear_large_transaction(&mut self, pipeline: &str, epoch: i64) -> Result<(), TargetError> {
        let sql = sql::large_transaction::delete(pipeline, epoch);
        self.batch("storing how far a large transaction is", &sql).await.map(drop)
    }
}

/// Looks for the table.
fn object() -> String {
    sql::catalog::object(&QualifiedName::new(sql::state::SCHEMA, TABLE))
}
