//! Making target schemas, tables and keys.

use segcdc_plan::TablePlan;
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::quote;
use crate::session::Target;
use crate::sql;

// === impl Target ===

impl Target {
    /// Creates a schema where it is missing.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn ensure_schema(&mut self, name: &str) -> Result<(), TargetError> {
        let during = "creating a schema";
        if self.query(during, &sql::catalog::schema(name)).await?.is_empty() {
            self.batch(during, &sql::create_table::create_schema(name)).await?;
        }
        Ok(())
    }

    /// Creates the table and its schema where they are missing; says whether the table was missing.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn ensure_table(&mut self, table: &TablePlan) -> Result<bool, TargetError> {
        self.ensure_schema(&table.target.schema).await?;
        let during = "creating a table";
        let missing = self.query(during, &sql::catalog::object(&table.target)).await?.is_empty();
        if missing {
            self.batch(during, &sql::create_table::create_table(table)).await?;
        }
        Ok(missing)
    }

    /// Empties the table before a copy and removes the key that we made for an earlier one.
    ///
    /// # Errors
    /// The server's refusal, such as 4712 for a table that foreign keys refer to.
    pub async fn clear_for_copy(&mut self, table: &TablePlan) -> Result<(), TargetError> {
        let during = "emptying a table before its copy";
        let place = "before the copy";
        let at = |error: TargetError| error.at_table(&table.target, table.source.oid, place);
        self.batch(during, &sql::create_table::truncate(table)).await.map_err(at)?;
        if self.has_our_key(table).await? {
            self.batch(during, &sql::create_table::drop_key(table)).await.map_err(at)?;
        }
        Ok(())
    }

    /// Builds the key behind the load. Safe to repeat.
    ///
    /// # Errors
    /// [`TargetError::KeyCollision`] when two rows have one key for the target.
    pub async fn build_key(&mut self, table: &TablePlan) -> Result<(), TargetError> {
        let Some(sql) = sql::create_table::add_key(table) else { return Ok(()) };
        if self.has_primary_key(table).await? {
            return Ok(());
        }
        let built = self.batch("building the key", &sql).await;
        built.map_err(|error| match error {
            // 1505: CREATE INDEX found a duplicate; 1750 follows it.
            TargetError::Server { number: number @ (1505 | 1750), .. } => TargetError::KeyCollision {
                table: table.target.clone(),
                number,
                place: "snapshot".to_owned(),
                oid: table.source.oid,
            },
            other => other.at_table(&table.target, table.source.oid, "snapshot"),
        })?;
        Ok(())
    }

    /// Rows of a table, counted.
    ///
    /// # Errors
    /// The server's.
    pub async fn count_rows(&mut self, table: &TablePlan) -> Result<u64, TargetError> {
        let sql = format!("SELECT COUNT_BIG(*) FROM {}", quote::qualified(&table.target));
        let rows = self.query("counting rows", &sql).await?;
        let count = rows.first().and_then(|row| row.first()).and_then(Datum::as_int);
        count.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| TargetError::Answer {
            during: "counting rows",
            detail: "the count is missing".to_owned(),
        })
    }

    async fn has_our_key(&mut self, table: &TablePlan) -> Result<bool, TargetError> {
        let Some(existing) = self.existing_table(&table.target).await? else { return Ok(false) };
        let name = sql::create_table::key_name(table);
        let sql = sql::catalog::key_constraint(existing.object_id, &name);
        Ok(!self.query("reading the catalog", &sql).await?.is_empty())
    }

    async fn has_primary_key(&mut self, table: &TablePlan) -> Result<bool, TargetError> {
        let Some(existing) = self.existing_table(&table.target).await? else { return Ok(false) };
        let sql = format!(
            "SELECT [name] FROM [sys].[key_constraints] WHERE [parent_object_id] = {} AND [type] = 'PK'",
            existing.object_id
        );
        Ok(!self.query("reading the catalog", &sql).await?.is_empty())
    }
}
