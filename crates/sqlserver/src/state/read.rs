//! Reading the state.

use segcdc_model::{Checkpoint, Lineage, Lsn, QualifiedName, TablePhase};
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::state::{Lag, PipelineState, TableState};

/// Days from 0001-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 730_119;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

// === impl Target ===

impl Target {
    /// The state of a pipeline, which must be there.
    ///
    /// # Errors
    /// [`TargetError::StateMissing`]; as [`Target::load_state`].
    pub async fn known_state(&mut self, pipeline: &str) -> Result<PipelineState, TargetError> {
        let state = self.load_state(pipeline).await?;
        state.ok_or_else(|| TargetError::StateMissing { pipeline: pipeline.to_owned() })
    }

    /// The target's clock, microseconds since 2000-01-01 UTC.
    ///
    /// # Errors
    /// The server's.
    pub async fn now_us(&mut self) -> Result<i64, TargetError> {
        let during = "reading the clock";
        let rows = self.query(during, "SELECT SYSUTCDATETIME()").await?;
        let now = rows.first().and_then(|row| row.first()).and_then(instant_us);
        now.ok_or_else(|| TargetError::Answer { during, detail: "it is no time".to_owned() })
    }

    /// The state of a pipeline; `None` when the target has none. Changes nothing and takes no lock.
    ///
    /// # Errors
    /// [`TargetError::StateUnreadable`] for state of a newer version.
    pub async fn load_state(&mut self, pipeline: &str) -> Result<Option<PipelineState>, TargetError> {
        let during = "reading the state";
        if !self.has_state_schema().await? {
            return Ok(None);
        }
        let rows = self.query(during, &sql::state::select_pipeline(pipeline)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut state = read_pipeline(pipeline, row)?;
        let rows = self.query(during, &sql::state::select_tables(pipeline)).await?;
        state.tables = rows.iter().map(|row| read_table(pipeline, row)).collect::<Result<_, _>>()?;
        Ok(Some(state))
    }

    /// The checkpoint, read with a lock that waits for a writer's open transaction. Settles an unknown commit.
    ///
    /// # Errors
    /// [`TargetError::StateMissing`] when the row is gone.
    pub async fn read_checkpoint_locked(&mut self, pipeline: &str) -> Result<Checkpoint, TargetError> {
        let sql = sql::state::select_pipeline_locked(pipeline);
        let rows = self.query("reading the checkpoint", &sql).await?;
        read_checkpoint(pipeline, &rows)
    }

    /// Names of all pipelines that the target holds.
    ///
    /// # Errors
    /// The server's.
    pub async fn pipelines(&mut self) -> Result<Vec<String>, TargetError> {
        if !self.has_state_schema().await? {
            return Ok(Vec::new());
        }
        let rows = self.query("listing pipelines", sql::state::SELECT_NAMES).await?;
        Ok(rows.iter().filter_map(|row| row.first()?.as_text().map(str::to_owned)).collect())
    }

    /// Position and time of a heartbeat table's one row; `None` when table or row are not there.
    ///
    /// # Errors
    /// The server's.
    pub async fn read_heartbeat(&mut self, table: &QualifiedName) -> Result<Option<(Lsn, i64)>, TargetError> {
        let during = "reading a heartbeat";
        if self.query(during, &sql::catalog::object(table)).await?.is_empty() {
            return Ok(None);
        }
        let rows = self.query(during, &sql::state::select_heartbeat(table)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let fields = Fields { pipeline: &table.name, row };
        Ok(Some((fields.lsn(0)?, fields.int(1)?)))
    }

    /// Whether the target has state of any pipeline.
    pub(crate) async fn has_state_schema(&mut self) -> Result<bool, TargetError> {
        let table = QualifiedName::new(sql::state::SCHEMA, "pipeline");
        let rows = self.query("looking for the state", &sql::catalog::object(&table)).await?;
        Ok(!rows.is_empty())
    }
}

/// The checkpoint in the only row of a statement.
pub(super) fn read_checkpoint(pipeline: &str, rows: &[Vec<Datum>]) -> Result<Checkpoint, TargetError> {
    let missing = || TargetError::StateMissing { pipeline: pipeline.to_owned() };
    Ok(read_pipeline(pipeline, rows.first().ok_or_else(missing)?)?.checkpoint)
}

/// Reads fields of a row by position, each wrong one an error that names it.
pub(crate) struct Fields<'a> {
    /// Whose state it is.
    pub(crate) pipeline: &'a str,
    /// The row.
    pub(crate) row: &'a [Datum],
}

// === impl Fields ===

impl Fields<'_> {
    pub(crate) fn unreadable(&self, index: usize) -> TargetError {
        let reason = format!("field {index} is missing or of another type");
        TargetError::StateUnreadable { pipeline: self.pipeline.to_owned(), reason }
    }

    pub(crate) fn int(&self, index: usize) -> Result<i64, TargetError> {
        self.row.get(index).and_then(Datum::as_int).ok_or_else(|| self.unreadable(index))
    }

    pub(crate) fn u32(&self, index: usize) -> Result<u32, TargetError> {
        u32::try_from(self.int(index)?).map_err(|_| self.unreadable(index))
    }

    pub(crate) fn u64(&self, index: usize) -> Result<u64, TargetError> {
        u64::try_from(self.int(index)?).map_err(|_| self.unreadable(index))
    }

    pub(crate) fn lsn(&self, index: usize) -> Result<Lsn, TargetError> {
        self.u64(index).map(Lsn::new)
    }

    pub(crate) fn text(&self, index: usize) -> Result<String, TargetError> {
        let text = self.row.get(index).and_then(Datum::as_text);
        text.map(str::to_owned).ok_or_else(|| self.unreadable(index))
    }

    pub(crate) fn flag(&self, index: usize) -> Result<bool, TargetError> {
        Ok(self.int(index)? != 0)
    }

    pub(crate) fn time_us(&self, index: usize) -> Result<i64, TargetError> {
        self.row.get(index).and_then(instant_us).ok_or_else(|| self.unreadable(index))
    }

    pub(crate) fn hash(&self, index: usize) -> Result<[u8; 32], TargetError> {
        let bytes = match self.row.get(index) {
            Some(Datum::Bytes(bytes)) => bytes.as_slice().try_into().ok(),
            _ => None,
        };
        bytes.ok_or_else(|| self.unreadable(index))
    }
}

/// Microseconds since 2000-01-01 of a `datetime2`.
fn instant_us(datum: &Datum) -> Option<i64> {
    let Datum::DateTime2 { days, ticks, scale } = datum else { return None };
    let ticks = i64::try_from(*ticks).ok()?;
    let time_us = match scale {
        0..=6 => ticks.checked_mul(10_i64.pow(u32::from(6 - scale)))?,
        _ => ticks / 10,
    };
    (i64::from(*days) - DAYS_TO_2000).checked_mul(DAY_US)?.checked_add(time_us)
}

fn read_pipeline(pipeline: &str, row: &[Datum]) -> Result<PipelineState, TargetError> {
    let fields = Fields { pipeline, row };
    let version = fields.int(13)?;
    if version > sql::state::SCHEMA_VERSION {
        let reason = format!("it has layout {version}, this version knows {}", sql::state::SCHEMA_VERSION);
        return Err(TargetError::StateUnreadable { pipeline: pipeline.to_owned(), reason });
    }
    let lineage = Lineage {
        system_identifier: fields.text(5)?,
        timeline: fields.u32(6)?,
        database_oid: fields.u32(7)?,
        slot: fields.text(8)?,
        publication: fields.text(10)?,
        publication_oid: fields.u32(11)?,
    };
    let updated_at_us = fields.time_us(19)?;
    Ok(PipelineState {
        checkpoint: Checkpoint {
            pipeline: pipeline.to_owned(),
            epoch: fields.int(0)?,
            batch_seq: fields.int(2)?,
            applied_lsn: fields.lsn(3)?,
            lineage,
        },
        owner: fields.text(1)?,
        commit_time_us: fields.int(4).ok(),
        slot_is_ours: fields.flag(9)?,
        publication_is_ours: fields.flag(12)?,
        transactions_applied: fields.u64(14)?,
        changes_applied: fields.u64(15)?,
        spec: fields.text(16).ok(),
        lag: fields
            .lsn(17)
            .ok()
            .map(|source_lsn| Lag { source_lsn, lag_us: fields.int(18).unwrap_or_default() }),
        updated_at_us,
        // Statements that return the row as they write it have no time of reading: it is that of writing.
        read_at_us: fields.time_us(20).unwrap_or(updated_at_us),
        tables: Vec::new(),
    })
}

fn read_table(pipeline: &str, row: &[Datum]) -> Result<TableState, TargetError> {
    let fields = Fields { pipeline, row };
    let phase = fields.text(6)?;
    let phase = TablePhase::from_word(&phase).ok_or_else(|| fields.unreadable(6))?;
    Ok(TableState {
        source_oid: fields.u32(0)?,
        source: QualifiedName::new(fields.text(1)?, fields.text(2)?),
        target: QualifiedName::new(fields.text(3)?, fields.text(4)?),
        shape: fields.text(5)?,
        phase,
        sync_lsn: fields.lsn(7)?,
        rows_copied: fields.u64(8)?,
        bytes_copied: fields.u64(9)?,
        estimated_rows: fields.u64(10)?,
        table_is_ours: fields.flag(11)?,
        error: fields.text(12).ok().map(|code| (code, fields.text(13).unwrap_or_default())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_2000() {
        let time = |days, ticks, scale| instant_us(&Datum::DateTime2 { days, ticks, scale });
        assert_eq!(time(730_119, 0, 7), Some(0));
        assert_eq!(time(730_120, 10, 7), Some(DAY_US + 1));
        assert_eq!(time(730_118, 86_399_999_999, 6), Some(-1));
        assert_eq!(time(730_119, 1, 0), Some(1_000_000));
        assert_eq!(instant_us(&Datum::Null), None);
    }
}
