//! How much of a source transaction is in the target already.

use segcdc_model::{Checkpoint, QualifiedName};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::partial_transaction::{CREATE_PARTIAL_TRANSACTION, TABLE};
use crate::state::{Fields, PartialTransaction};

// === impl Target ===

impl Target {
    /// The transaction behind the checkpoint of which a part is applied; `None` when the checkpoint says all.
    ///
    /// # Errors
    /// The server's.
    pub async fn partial_transaction(
        &mut self,
        checkpoint: &Checkpoint,
    ) -> Result<Option<PartialTransaction>, TargetError> {
        let during = "reading how much of a transaction is applied";
        if self.query(during, &object()).await?.is_empty() {
            return Ok(None);
        }
        let pipeline = &checkpoint.pipeline;
        let rows = self.query(during, &sql::partial_transaction::select(pipeline)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let fields = Fields { pipeline, row };
        let partial =
            PartialTransaction { xid: fields.u32(0)?, end_lsn: fields.lsn(1)?, changes: fields.u64(2)? };
        // Behind its end all of it is applied.
        Ok(Some(partial).filter(|partial| partial.end_lsn > checkpoint.applied_lsn))
    }

    /// Creates the table that counts parts where it is missing. Outside of any transaction.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn ensure_partial_transactions(&mut self) -> Result<(), TargetError> {
        self.create_once("creating the state schema", &object(), CREATE_PARTIAL_TRANSACTION).await
    }
}

/// Looks for the table.
fn object() -> String {
    sql::catalog::object(&QualifiedName::new(sql::state::SCHEMA, TABLE))
}
