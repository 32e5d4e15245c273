//! Reading letters and counts back.

use segcdc_model::QualifiedName;
use segcdc_tds::Datum;

use segcdc_plan::{Held, OpenLetters, TablePlan};

use super::values::read_texts;
use super::{CountedUse, Letter, LetterCount, LetterFilter};
use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::state::Fields;

/// Open keys of one request.
const PAGE: u32 = 5_000;

// === impl Target ===

impl Target {
    /// The first `limit` letters of a pipeline that the filter lets through, by number.
    ///
    /// # Errors
    /// The server's.
    pub async fn letters(
        &mut self,
        pipeline: &str,
        filter: &LetterFilter,
        limit: u32,
    ) -> Result<Vec<Letter>, TargetError> {
        if !self.has_letters().await? {
            return Ok(Vec::new());
        }
        let sql = sql::letters::select_letters(pipeline, filter, limit);
        let rows = self.query("listing dead letters", &sql).await?;
        rows.iter().map(|row| read_letter(pipeline, row)).collect()
    }

    /// One letter of a pipeline with its payload, JSON of the row; `None` when there is none of that number. The payload
    /// of a closed letter is `None`.
    ///
    /// # Errors
    /// The server's.
    pub async fn letter(
        &mut self,
        pipeline: &str,
        number: i64,
    ) -> Result<Option<(Letter, Option<String>)>, TargetError> {
        if !self.has_letters().await? {
            return Ok(None);
        }
        let rows =
            self.query("reading a dead letter", &sql::letters::select_letter(pipeline, number)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let payload = Fields { pipeline, row }.text(14).ok();
        Ok(Some((read_letter(pipeline, row)?, payload)))
    }

    /// Discards an open letter; false when there is none of that number.
    ///
    /// # Errors
    /// The server's.
    pub async fn discard_letter(&mut self, pipeline: &str, number: i64) -> Result<bool, TargetError> {
        if !self.has_letters().await? {
            return Ok(false);
        }
        let sql = sql::letter_changes::discard(pipeline, number);
        Ok(self.batch("discarding a dead letter", &sql).await?.row_counts == [1])
    }

    /// How many letters a pipeline has, by table and code.
    ///
    /// # Errors
    /// The server's.
    pub async fn letter_counts(&mut self, pipeline: &str) -> Result<Vec<LetterCount>, TargetError> {
        if !self.has_letters().await? {
            return Ok(Vec::new());
        }
        let rows = self.query("counting dead letters", &sql::letters::count_letters(pipeline)).await?;
        rows.iter().map(|row| read_count(pipeline, row)).collect()
    }

    /// The open letters of a table, as planning needs them.
    ///
    /// # Errors
    /// The server's.
    pub async fn open_letters(
        &mut self,
        pipeline: &str,
        table: &TablePlan,
    ) -> Result<OpenLetters, TargetError> {
        let mut open = OpenLetters::new();
        if !self.has_letters().await? {
            return Ok(open);
        }
        let keyed = !table.key_columns().is_empty();
        let mut after = 0;
        loop {
            let sql = sql::letters::select_open_keys(pipeline, table.source.oid, after, PAGE);
            let rows = self.query("reading open dead letters", &sql).await?;
            for row in &rows {
                let fields = Fields { pipeline, row };
                after = fields.int(0)?;
                if keyed {
                    open.insert(fields.hash(1)?, held(&fields, 2)?);
                } else {
                    open.add_unkeyed(fields.hash(1)?);
                }
            }
            if (rows.len() as u64) < u64::from(PAGE) {
                return Ok(open);
            }
        }
    }

    /// How often policies decided, by column.
    ///
    /// # Errors
    /// The server's.
    pub async fn policy_uses(&mut self, pipeline: &str) -> Result<Vec<CountedUse>, TargetError> {
        if !self.has_letters().await? {
            return Ok(Vec::new());
        }
        let sql = sql::letters::select_policy_uses(pipeline);
        let rows = self.query("reading the uses of policies", &sql).await?;
        rows.iter().map(|row| read_use(pipeline, row)).collect()
    }

    /// Whether the state has tables for letters: that of older versions has none.
    pub(super) async fn has_letters(&mut self) -> Result<bool, TargetError> {
        let [_, (last_made, _)] = sql::letters::TABLES;
        let table = QualifiedName::new(sql::state::SCHEMA, last_made);
        let found = self.query("looking for dead letters", &sql::catalog::object(&table)).await?;
        Ok(!found.is_empty())
    }
}

fn read_letter(pipeline: &str, row: &[Datum]) -> Result<Letter, TargetError> {
    let fields = Fields { pipeline, row };
    Ok(Letter {
        number: fields.int(0)?,
        source_oid: fields.u32(1)?,
        source: QualifiedName::new(fields.text(2)?, fields.text(3)?),
        commit_lsn: fields.lsn(4)?,
        code: fields.text(5)?,
        column: fields.text(6).ok(),
        in_target: fields.flag(7)?,
        behind: match held(&fields, 7)? {
            Held::Nothing => Vec::new(),
            Held::Behind(columns) => columns,
        },
        opened_at_us: fields.time_us(9)?,
        updated_at_us: fields.time_us(10)?,
        closed: fields.time_us(11).ok().map(|time| (time, fields.text(12).unwrap_or_default())),
        discarded: fields.time_us(11).is_err() && fields.text(12).is_ok(),
        key: fields.text(13).ok(),
    })
}

/// What the target holds of a row: a flag, and behind it the columns that are behind.
fn held(fields: &Fields<'_>, index: usize) -> Result<Held, TargetError> {
    if !fields.flag(index)? {
        return Ok(Held::Nothing);
    }
    let Ok(behind) = fields.text(index + 1) else { return Ok(Held::Behind(Vec::new())) };
    let columns = read_texts(&behind).ok_or_else(|| fields.unreadable(index + 1))?;
    Ok(Held::Behind(columns))
}

fn read_count(pipeline: &str, row: &[Datum]) -> Result<LetterCount, TargetError> {
    let fields = Fields { pipeline, row };
    let (open, discarded) = (fields.u64(4)?, fields.u64(6)?);
    Ok(LetterCount {
        source_oid: fields.u32(0)?,
        source: QualifiedName::new(fields.text(1)?, fields.text(2)?),
        code: fields.text(3)?,
        open,
        closed: fields.u64(5)?.saturating_sub(open + discarded),
        discarded,
    })
}

fn read_use(pipeline: &str, row: &[Datum]) -> Result<CountedUse, TargetError> {
    let fields = Fields { pipeline, row };
    Ok(CountedUse {
        source_oid: fields.u32(0)?,
        column: fields.text(1)?,
        policy: fields.text(2)?,
        uses: fields.u64(3)?,
    })
}
