//! What people ask of single tables of a pipeline.
//!
//! Whoever asks does not own the pipeline: a wish is written without a fence and changes nothing by itself. The process that
//! owns it carries wishes out, and says in the same row what became of them.

use segcdc_model::{Checkpoint, QualifiedName};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::table_wish::{CREATE_TABLE_WISH, TABLE};
use crate::state::Fields;

/// A wish, as the state holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableWish {
    /// What tells it from others, at most 36 characters.
    pub id: String,
    /// OID of the table in the source.
    pub source_oid: u32,
    /// Its name there when the wish was written.
    pub source: QualifiedName,
    /// What is wished, JSON. What it means is the engine's matter.
    pub wish: String,
    /// What became of it.
    pub outcome: WishOutcome,
    /// The same for people; at most 1000 characters are kept.
    pub detail: String,
    /// When it was written, microseconds since 2000-01-01 UTC, by the target's clock; 0 for one that is yet to be.
    pub asked_at_us: i64,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WishOutcome {
    /// Nobody has seen it.
    Asked,
    /// It takes a while, and has begun. Begins again behind a death.
    Begun,
    /// It is carried out.
    Done,
    /// It is not, and will not be.
    Refused,
}

// === impl WishOutcome ===

impl WishOutcome {
    /// The word of the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            WishOutcome::Asked => "ASKED",
            WishOutcome::Begun => "BEGUN",
            WishOutcome::Done => "DONE",
            WishOutcome::Refused => "REFUSED",
        }
    }

    /// Whether nothing more becomes of it.
    pub const fn is_settled(self) -> bool {
        matches!(self, WishOutcome::Done | WishOutcome::Refused)
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [WishOutcome::Asked, WishOutcome::Begun, WishOutcome::Done, WishOutcome::Refused]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

// === impl Target ===

impl Target {
    /// Creates the table of this module where it is missing.
    ///
    /// # Errors
    /// The server's refusal, usually a missing permission.
    pub async fn ensure_table_wishes(&mut self) -> Result<(), TargetError> {
        self.create_once("creating the state schema", &object(), CREATE_TABLE_WISH).await
    }

    /// Stores wishes, all or none, and lets go of those that are settled and were asked for a day ago. Durable on return.
    ///
    /// # Errors
    /// The server's.
    pub async fn add_table_wishes(
        &mut self,
        pipeline: &str,
        wishes: &[TableWish],
    ) -> Result<(), TargetError> {
        let mut statements = vec![sql::session::BEGIN.to_owned(), sql::table_wish::delete_old(pipeline)];
        statements.extend(wishes.iter().map(|wish| sql::table_wish::insert(pipeline, wish)));
        statements.push(sql::session::COMMIT.to_owned());
        let written = self.batch("storing wishes for tables", &statements.join("; ")).await;
        if written.is_err() {
            self.roll_back().await;
        }
        written.map(drop)
    }

    /// The wishes of a pipeline, in the order in which they were written.
    ///
    /// # Errors
    /// The server's; [`TargetError::StateUnreadable`] for what a newer version has written.
    pub async fn table_wishes(&mut self, pipeline: &str) -> Result<Vec<TableWish>, TargetError> {
        if !self.has_table_wishes().await? {
            return Ok(Vec::new());
        }
        self.read_wishes(pipeline, &sql::table_wish::select(pipeline)).await
    }

    /// Those that are not settled. [`Target::ensure_table_wishes`] has to have been called.
    ///
    /// # Errors
    /// As [`Target::table_wishes`].
    pub async fn open_table_wishes(&mut self, pipeline: &str) -> Result<Vec<TableWish>, TargetError> {
        self.read_wishes(pipeline, &sql::table_wish::select_open(pipeline)).await
    }

    /// Says what became of a wish.
    ///
    /// # Errors
    /// As [`Target::set_table`].
    pub async fn settle_wish(
        &mut self,
        checkpoint: &Checkpoint,
        id: &str,
        outcome: WishOutcome,
        detail: &str,
    ) -> Result<(), TargetError> {
        let statement = sql::table_wish::settle(&checkpoint.pipeline, id, outcome, detail);
        self.write_fenced_any("settling a wish for a table", checkpoint, vec![statement]).await
    }

    /// Whether the state has a table for wishes: that of an older version has none.
    pub(super) async fn has_table_wishes(&mut self) -> Result<bool, TargetError> {
        Ok(!self.query(DURING, &object()).await?.is_empty())
    }

    async fn read_wishes(&mut self, pipeline: &str, sql: &str) -> Result<Vec<TableWish>, TargetError> {
        let rows = self.query(DURING, sql).await?;
        rows.iter()
            .map(|row| {
                let fields = Fields { pipeline, row };
                let outcome = WishOutcome::from_word(&fields.text(5)?);
                Ok(TableWish {
                    id: fields.text(0)?,
                    source_oid: fields.u32(1)?,
                    source: QualifiedName::new(fields.text(2)?, fields.text(3)?),
                    wish: fields.text(4)?,
                    outcome: outcome.ok_or_else(|| fields.unreadable(5))?,
                    detail: fields.text(6).unwrap_or_default(),
                    asked_at_us: fields.time_us(7)?,
                })
            })
            .collect()
    }
}

/// What is being done, for errors.
const DURING: &str = "reading wishes for tables";

/// Looks for the table.
fn object() -> String {
    sql::catalog::object(&QualifiedName::new(sql::state::SCHEMA, TABLE))
}
