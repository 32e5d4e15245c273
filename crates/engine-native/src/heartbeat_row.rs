//! [`HeartbeatRow`]: a row that travels through a pipeline which keeps no checkpoint of ours, and says in the target how
//! far it has come.
//!
//! The row of the source holds a position that is read before its own transaction commits. Whoever carries changes in
//! the order of their commits has carried everything up to that position when the row arrives.

use segcdc_model::{Lsn, QualifiedName};
use segcdc_postgres::{Session, SourceError, catalog, quote};
use segcdc_sqlserver::{Target, TargetError};
use serde::{Deserialize, Serialize};

/// Microseconds since 2000-01-01 UTC, by the source's clock.
pub const NOW_US: &str =
    "(extract(epoch FROM clock_timestamp() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::int8";

/// A table with one row, on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatRow {
    /// At the source.
    pub source: QualifiedName,
    /// At the target.
    pub target: QualifiedName,
}

/// What has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Everything that committed at or below it is in the target.
    pub lsn: Lsn,
    /// When the row was written, microseconds since 2000-01-01 UTC by the source's clock.
    pub at_us: i64,
}

/// Writes the source's present position into all rows, and returns it. Needs to be awaited to its end, not to be
/// repeated.
///
/// # Errors
/// The source's.
pub async fn write(source: &Session, rows: &[HeartbeatRow]) -> Result<Lsn, SourceError> {
    let position = catalog::current_lsn(source).await?;
    for row in rows {
        let table = quote::qualified(&row.source)?;
        // Never back: others write it too.
        let sql = format!(
            "UPDATE {table} SET lsn = GREATEST(lsn, {}), at_us = {NOW_US} WHERE id = 1",
            position.as_u64()
        );
        source.query_text(&sql).await?;
    }
    Ok(position)
}

/// The source's time, microseconds since 2000-01-01 UTC.
///
/// # Errors
/// The source's.
pub async fn now_us(source: &Session) -> Result<i64, SourceError> {
    Ok(number(source, &format!("SELECT {NOW_US}")).await?.unwrap_or_default())
}

/// When the oldest of all rows was written at the source, microseconds since 2000-01-01 UTC by its clock; `None` when one is
/// not there.
///
/// # Errors
/// The source's.
pub async fn written_us(source: &Session, rows: &[HeartbeatRow]) -> Result<Option<i64>, SourceError> {
    let mut oldest: Option<i64> = None;
    for row in rows {
        let table = quote::qualified(&row.source)?;
        let found = number(source, &format!("SELECT at_us FROM {table} WHERE id = 1")).await?;
        let Some(at_us) = found else { return Ok(None) };
        oldest = Some(oldest.map_or(at_us, |least| least.min(at_us)));
    }
    Ok(oldest)
}

/// The number that a query answers.
async fn number(source: &Session, sql: &str) -> Result<Option<i64>, SourceError> {
    let rows = source.query_text(sql).await?;
    let text = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(text.and_then(|text| text.parse().ok()))
}

/// What has arrived in the target of all rows; `None` while one of them has not arrived at all.
///
/// # Errors
/// The target's.
pub async fn read(target: &mut Target, rows: &[HeartbeatRow]) -> Result<Option<Arrived>, TargetError> {
    let mut least: Option<Arrived> = None;
    for row in rows {
        let Some((lsn, at_us)) = target.read_heartbeat(&row.target).await? else { return Ok(None) };
        let least = least.get_or_insert(Arrived { lsn, at_us });
        *least = Arrived { lsn: least.lsn.min(lsn), at_us: least.at_us.min(at_us) };
    }
    Ok(least)
}
