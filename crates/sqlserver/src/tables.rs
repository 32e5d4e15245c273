//! Making target schemas, tables and keys. Everything is safe to repeat after a crash.
//!
//! ```text
//! prepare_table --> (loads into the heap) --> build_key --> finish_copy (state)
//!      ^                                          |
//!      +------ clear_for_copy <--- interrupted ---+
//! ```

mod compare;
mod shadow;

use std::collections::BTreeSet;

use segcdc_model::QualifiedName;
use segcdc_plan::TablePlan;
use segcdc_tds::Datum;

use crate::catalog::ExistingTable;
use crate::error::TargetError;
use crate::quote;
use crate::session::Target;
use crate::sql;

pub use compare::{Difference, differences};

/// Whether a table that is there already may hold rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExistingRows {
    /// No: a copy would add to them.
    #[default]
    Refuse,
    /// Yes: they are known, or are to be replaced.
    Allow,
}

/// A table that is ready to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// It was made just now, and so is ours.
    pub created: bool,
    /// It holds rows.
    pub has_rows: bool,
    /// It has a primary key, on the wanted columns.
    pub has_key: bool,
}

// === impl Target ===

impl Target {
    /// Creates a schema where it is missing.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn ensure_schema(&mut self, name: &str) -> Result<(), TargetError> {
        let create = sql::create_table::create_schema(name);
        self.create_once("creating a schema", &sql::catalog::schema(name), &create).await
    }

    /// Runs `create` unless `question` finds the object. Another process may be doing the same: a refusal counts only if
    /// the object is still missing.
    pub(crate) async fn create_once(
        &mut self,
        during: &'static str,
        question: &str,
        create: &str,
    ) -> Result<(), TargetError> {
        if !self.query(during, question).await?.is_empty() {
            return Ok(());
        }
        let Err(refused) = self.batch(during, create).await else { return Ok(()) };
        if self.is_usable() && !self.query(during, question).await?.is_empty() {
            return Ok(());
        }
        Err(refused)
    }

    /// Creates the table and its schema where they are missing; the key comes behind the load, by
    /// [`Target::build_key`]. A table that is there is used when it has the wanted shape.
    ///
    /// # Errors
    /// [`TargetError::TableMismatch`], [`TargetError::TableNotEmpty`], and the server's refusal.
    pub async fn prepare_table(
        &mut self,
        table: &TablePlan,
        rows: ExistingRows,
    ) -> Result<Prepared, TargetError> {
        self.ensure_schema(&table.target.schema).await?;
        let existing = self.existing_table(&table.target).await?;
        self.prepare(table, rows, existing.as_ref()).await
    }

    /// The same for many tables. Those that are there are looked at before the first one is made.
    ///
    /// # Errors
    /// As [`Target::prepare_table`].
    pub async fn prepare_tables(&mut self, tables: &[(&TablePlan, ExistingRows)]) -> Result<(), TargetError> {
        let mut schemas = BTreeSet::new();
        for (table, _) in tables {
            if schemas.insert(&table.target.schema) {
                self.ensure_schema(&table.target.schema).await?;
            }
        }
        let names: Vec<&QualifiedName> = tables.iter().map(|(table, _)| &table.target).collect();
        let existing = self.existing_tables(&names).await?;
        for ((table, rows), existing) in tables.iter().zip(&existing) {
            if let Some(existing) = existing {
                check_existing(table, *rows, existing)?;
            }
        }
        for ((table, rows), existing) in tables.iter().zip(&existing) {
            self.prepare(table, *rows, existing.as_ref()).await?;
        }
        Ok(())
    }

    async fn prepare(
        &mut self,
        table: &TablePlan,
        rows: ExistingRows,
        existing: Option<&ExistingTable>,
    ) -> Result<Prepared, TargetError> {
        let Some(existing) = existing else {
            let created = self.batch("creating a table", &sql::create_table::create_table(table)).await;
            created.map_err(|error| error.at_table(table, "before the copy"))?;
            return Ok(Prepared { created: true, has_rows: false, has_key: false });
        };
        check_existing(table, rows, existing)?;
        Ok(Prepared { created: false, has_rows: existing.has_rows, has_key: !existing.key.is_empty() })
    }

    /// Empties the table before a copy and removes the key that we made for an earlier one.
    ///
    /// # Errors
    /// The server's refusal, such as 4712 for a table that foreign keys refer to.
    pub async fn clear_for_copy(&mut self, table: &TablePlan) -> Result<(), TargetError> {
        let during = "emptying a table before its copy";
        let at = |error: TargetError| error.at_table(table, "before the copy");
        self.batch(during, &sql::create_table::truncate(table)).await.map_err(at)?;
        let existing = self.existing_table(&table.target).await?;
        let key = existing.and_then(|existing| existing.key_name);
        if key.is_some_and(|name| name == sql::create_table::key_name(table)) {
            self.batch(during, &sql::create_table::drop_key(table)).await.map_err(at)?;
        }
        Ok(())
    }

    /// Empties the table with DELETE, which works where foreign keys refer to it, and counts the rows.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn empty_table(&mut self, table: &TablePlan) -> Result<u64, TargetError> {
        let deleted = self.batch("emptying a table", &sql::create_table::empty(&table.target)).await;
        let at = |error: TargetError| error.at_table(table, "on request");
        Ok(deleted.map_err(at)?.total_row_count())
    }

    /// The same for a table of which only the name is known.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn empty_named(&mut self, table: &QualifiedName) -> Result<(), TargetError> {
        self.batch("emptying a table", &sql::create_table::empty(table)).await.map(drop)
    }

    /// Removes the table where it is there.
    ///
    /// # Errors
    /// The server's refusal, such as 3726 for a table that foreign keys refer to.
    pub async fn drop_table(&mut self, table: &QualifiedName) -> Result<(), TargetError> {
        if self.query("looking for a table", &sql::catalog::object(table)).await?.is_empty() {
            return Ok(());
        }
        self.batch("dropping a table", &sql::create_table::drop_table(table)).await.map(drop)
    }

    /// Builds the key behind the load. Safe to repeat.
    ///
    /// # Errors
    /// [`TargetError::KeyCollision`] when two rows have one key for the target.
    pub async fn build_key(&mut self, table: &TablePlan) -> Result<(), TargetError> {
        let Some(sql) = sql::create_table::add_key(table) else { return Ok(()) };
        let existing = self.existing_table(&table.target).await?;
        if existing.is_some_and(|existing| !existing.key.is_empty()) {
            return Ok(());
        }
        let built = self.batch("building the key", &sql).await;
        built.map(drop).map_err(|error| match error {
            // 1505: CREATE INDEX found a duplicate; 1750 follows it.
            TargetError::Server { number: number @ (1505 | 1750), .. } => TargetError::KeyCollision {
                table: Box::new(table.target.clone()),
                number,
                place: "snapshot".to_owned(),
                oid: table.source.oid,
            },
            other => other.at_table(table, "snapshot"),
        })
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
}

/// Whether a table that is there can be used.
fn check_existing(
    table: &TablePlan,
    rows: ExistingRows,
    existing: &ExistingTable,
) -> Result<(), TargetError> {
    let differences = differences(existing, table);
    if !differences.is_empty() {
        let texts: Vec<String> = differences.iter().map(Difference::to_string).collect();
        return Err(TargetError::TableMismatch {
            table: Box::new(table.target.clone()),
            source_table: Box::new(table.source.name.clone()),
            difference: texts.join("; "),
            oid: table.source.oid,
        });
    }
    if existing.has_rows && rows == ExistingRows::Refuse {
        return Err(TargetError::TableNotEmpty {
            table: Box::new(table.target.clone()),
            oid: table.source.oid,
        });
    }
    Ok(())
}
