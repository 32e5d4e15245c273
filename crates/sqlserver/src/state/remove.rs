//! Removing the state schema behind the last pipeline.

use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

// === impl Target ===

impl Target {
    /// Removes the schema `segcdc`, if no pipeline is left in it; says whether it did. Objects of others keep the schema
    /// itself.
    ///
    /// # Errors
    /// The server's.
    pub async fn remove_state_schema(&mut self) -> Result<bool, TargetError> {
        let removed = self.remove_state_tables_in_tx().await;
        if removed.is_err() {
            self.roll_back().await;
        }
        if !removed? {
            return Ok(false);
        }
        match self.batch("removing the state schema", sql::state::DROP_SCHEMA).await {
            Ok(_) => {}
            // 3729: something of others is in it.
            Err(error) if error.number() == Some(3729) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Drops the tables while a range lock keeps new pipelines out.
    async fn remove_state_tables_in_tx(&mut self) -> Result<bool, TargetError> {
        let during = "removing the state schema";
        self.batch(during, "BEGIN TRANSACTION").await?;
        let rows = self.query(during, sql::state::COUNT_LOCKED).await?;
        let count = rows.first().and_then(|row| row.first()).and_then(Datum::as_int);
        if count != Some(0) {
            self.roll_back().await;
            return Ok(false);
        }
        for drop in sql::state::DROP_TABLES {
            self.batch(during, drop).await?;
        }
        self.commit().await?;
        Ok(true)
    }
}
