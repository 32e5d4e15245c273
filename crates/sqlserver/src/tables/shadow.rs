//! A table that is copied beside the one in use, and takes its rows' place or its own in one transaction.

use segcdc_model::{Checkpoint, QualifiedName};
use segcdc_plan::TablePlan;
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::state::check_fence;

// === impl Target ===

impl Target {
    /// Makes the shadow of a table anew, empty and without a key. Returns its plan.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn make_shadow(&mut self, table: &TablePlan) -> Result<TablePlan, TargetError> {
        let shadow = TablePlan { target: sql::shadow::name(table), ..table.clone() };
        self.ensure_schema(&shadow.target.schema).await?;
        self.drop_table(&shadow.target).await?;
        let made = self.batch("creating a table", &sql::create_table::create_table(&shadow)).await;
        made.map_err(|error| error.at_table(table, "before the copy"))?;
        Ok(shadow)
    }

    /// Gives a table the rows of its shadow in one transaction, which proves the epoch last, and drops the shadow.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over; the server's, such as 547 for a row that foreign keys refer to.
    /// The table is what it was then.
    pub async fn merge_shadow(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TablePlan,
    ) -> Result<(), TargetError> {
        self.replace_by(checkpoint, table, sql::shadow::merge(table)).await?;
        self.drop_table(&sql::shadow::name(table)).await
    }

    /// Puts the shadow in the place of the table that is named `replaced`, in one transaction, which proves the epoch last.
    ///
    /// # Errors
    /// As [`Target::merge_shadow`].
    pub async fn swap_shadow(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TablePlan,
        replaced: &QualifiedName,
    ) -> Result<(), TargetError> {
        self.replace_by(checkpoint, table, sql::shadow::swap(table, replaced)).await
    }

    /// What the table with this id would lose if another one took its place, for people.
    ///
    /// # Errors
    /// The server's.
    pub async fn losses_by_swap(&mut self, object_id: i64) -> Result<Vec<String>, TargetError> {
        let rows = self.query("reading the catalog", &sql::shadow::losses(object_id)).await?;
        let text = |row: &Vec<Datum>| row.first().and_then(Datum::as_text).map(str::to_owned);
        Ok(rows.iter().filter_map(text).collect())
    }

    /// Each statement is a batch of its own, since it is compiled against the tables as they are before it.
    async fn replace_by(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TablePlan,
        statements: Vec<String>,
    ) -> Result<(), TargetError> {
        let during = "replacing the rows of a table";
        let at = |error: TargetError| error.at_table(table, "behind its copy");
        let replaced = async {
            self.batch(during, sql::session::BEGIN).await?;
            for statement in &statements {
                self.batch(during, statement).await.map_err(at)?;
            }
            let response = self.batch(during, &sql::state::hold(checkpoint)).await?;
            check_fence(checkpoint, &response.row_counts)?;
            self.commit().await
        };
        let replaced = replaced.await;
        if replaced.is_err() {
            self.roll_back().await;
        }
        replaced
    }
}
