//! INSERT BULK: rows into a table by PostgreSQL's COPY.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use segcdc_tds::{ColumnType, Datum};
use tokio_postgres::CopyInSink;

use super::binary;
use super::failure::{self, Place};
use super::flow::Frame;
use super::{BulkRows, Session};
use crate::answer::{OutColumn, SqlError, command};
use crate::sql::ast::{BulkInsert, Isolation};
use crate::sql::physical::{self, Family};
use crate::sql::table::{Column, Table};
use crate::sql::translate;

/// Bytes of rows that are sent to PostgreSQL together.
const CHUNK: usize = 256 * 1024;
/// Signature, flags and extension of COPY BINARY.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Where the rows of a bulk load go.
#[derive(Debug, Clone)]
pub(super) struct BulkTarget {
    table: Arc<Table>,
    /// Columns in the order of the rows; `None` for values that are thrown away (identity without KEEP_IDENTITY).
    columns: Vec<Option<Column>>,
    keep_nulls: bool,
}

// === impl BulkTarget ===

impl BulkTarget {
    /// The table.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    fn shown(&self, database: &str) -> String {
        match self.table.name.starts_with('#') {
            true => format!("tempdb.dbo.{}", self.table.name),
            false => format!("{database}.{}", self.table.shown()),
        }
    }
}

// === impl Session ===

impl Session {
    /// What an INSERT BULK prepares (4834: not allowed; 208: no such table; 207: no such column).
    pub(super) async fn bulk_target(&mut self, bulk: &BulkInsert) -> Result<BulkTarget, SqlError> {
        if self.engine.options.refuse_bulk {
            let message = "You do not have permission to use the bulk load statement.";
            return Err(SqlError::new(4834, 16, message));
        }
        let found = self.find_table(&bulk.table).await?;
        let table = found.ok_or_else(|| translate::invalid_object(&bulk.table))?;
        if table.system {
            return Err(SqlError::new(259, 16, "Ad hoc updates to system catalogs are not allowed."));
        }
        let mut columns = Vec::new();
        for (name, ..) in &bulk.columns {
            let column = table.column(name).ok_or_else(|| translate::invalid_column(name))?;
            columns.push(Some(column.clone()).filter(|column| !column.identity || bulk.keep_identity));
        }
        Ok(BulkTarget { table, columns, keep_nulls: bulk.keep_nulls })
    }

    /// Loads the rows: all or none.
    pub(super) async fn load(
        &mut self,
        target: BulkTarget,
        columns: &[OutColumn],
        rows: BulkRows,
    ) -> Result<u64, SqlError> {
        if self.transaction.doomed {
            return Err(super::transaction::doomed());
        }
        check_columns(&target, columns)?;
        let rows = match self.discard(&target, rows).await {
            Ok(count) => return Ok(count),
            Err(rows) => rows,
        };
        let defaults = self.defaults(&target).await?;
        let guard = self.guard(false, false).await?;
        let result = self.copy(&target, &defaults, rows).await;
        let released = self.unguard(guard, result.is_ok()).await;
        let count = result?;
        released?;
        Ok(count)
    }

    /// What NULL becomes in each column, without KEEP_NULLS.
    async fn defaults(&mut self, target: &BulkTarget) -> Result<Vec<Option<Datum>>, SqlError> {
        let mut defaults = Vec::new();
        for column in &target.columns {
            let default =
                column.as_ref().and_then(|column| Some((column.default.as_ref()?, column.column_type)));
            let value = match default.filter(|_| !target.keep_nulls) {
                Some((sql, column_type)) => {
                    let plan = Arc::new(translate::plain_value(sql, column_type));
                    self.run_values(&plan, &Frame::default()).await?.into_iter().next()
                }
                None => None,
            };
            defaults.push(value);
        }
        Ok(defaults)
    }

    async fn copy(
        &mut self,
        target: &BulkTarget,
        defaults: &[Option<Datum>],
        mut rows: BulkRows,
    ) -> Result<u64, SqlError> {
        let names: Vec<&str> =
            target.columns.iter().flatten().map(|column| column.physical.as_str()).collect();
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", target.table.relation, names.join(", "));
        let place = Place {
            database: &self.database.name,
            table: Some(&target.table),
            command: command::INSERT,
            snapshot: self.options.isolation == Isolation::Snapshot,
        };
        let at = |error: &tokio_postgres::Error| failure::from_postgres(error, place);
        let sink: CopyInSink<Bytes> = self.client.copy_in(&sql).await.map_err(|error| at(&error))?;
        let mut sink = Box::pin(sink);
        let writer = RowWriter { target, defaults, shown: target.shown(&self.database.name) };
        let mut buffer = BytesMut::with_capacity(CHUNK * 2);
        buffer.extend_from_slice(&HEADER);
        let mut scratch = Vec::with_capacity(1024);
        while let Some(batch) = rows.recv().await {
            for row in &batch {
                scratch.clear();
                writer.write(row, &mut scratch)?;
                buffer.extend_from_slice(&scratch);
                if buffer.len() >= CHUNK {
                    sink.send(buffer.split().freeze()).await.map_err(|error| at(&error))?;
                }
            }
        }
        buffer.extend_from_slice(&(-1_i16).to_be_bytes());
        sink.send(buffer.freeze()).await.map_err(|error| at(&error))?;
        sink.as_mut().finish().await.map_err(|error| at(&error))
    }
}

/// Writes rows in the format of COPY.
struct RowWriter<'a> {
    target: &'a BulkTarget,
    defaults: &'a [Option<Datum>],
    shown: String,
}

// === impl RowWriter ===

impl RowWriter<'_> {
    fn write(&self, row: &[Datum], out: &mut Vec<u8>) -> Result<(), SqlError> {
        let count = self.target.columns.iter().flatten().count();
        out.extend_from_slice(&i16::try_from(count).unwrap_or(i16::MAX).to_be_bytes());
        for ((column, value), default) in self.target.columns.iter().zip(row).zip(self.defaults) {
            let Some(column) = column else { continue };
            let value = match default {
                Some(default) if value.is_null() => default,
                _ => value,
            };
            let place = out.len();
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            if self.value(column, value, out)? {
                let length = i32::try_from(out.len() - place - 4).unwrap_or(i32::MAX);
                if let Some(bytes) = out.get_mut(place..place + 4) {
                    bytes.copy_from_slice(&length.to_be_bytes());
                }
            }
        }
        Ok(())
    }

    /// One value, fitted to its column.
    fn value(&self, column: &Column, value: &Datum, out: &mut Vec<u8>) -> Result<bool, SqlError> {
        let start = out.len();
        let converted = uuid_of_text(column, value)?;
        let value = converted.as_ref().unwrap_or(value);
        let is_value = binary::encode(value, column.column_type, out)?;
        let (Some(limit), true) = (physical::limit(column.column_type), is_value) else {
            return Ok(is_value);
        };
        let limit = usize::from(limit);
        let length = match value {
            Datum::Text(text) if out.len() - start > limit => text_length(text, column),
            Datum::Text(text) if is_fixed(column.column_type) => text_length(text, column),
            _ => out.len() - start,
        };
        if length > limit {
            return self.too_long(column, value, limit, out, start);
        }
        if is_fixed(column.column_type) {
            let fill = if physical::family(column.column_type) == Family::Text { b' ' } else { 0 };
            out.resize(out.len() + limit - length, fill);
        }
        Ok(true)
    }

    /// Trailing blanks and zero bytes go; anything else is error 2628.
    fn too_long(
        &self,
        column: &Column,
        value: &Datum,
        limit: usize,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<bool, SqlError> {
        let kept = match value {
            Datum::Text(text) => {
                let trimmed = text.trim_end_matches(' ');
                let length = text_length(trimmed, column);
                (length <= limit).then(|| {
                    let mut kept = trimmed.as_bytes().to_vec();
                    kept.resize(kept.len() + limit - length, b' ');
                    kept
                })
            }
            Datum::Bytes(bytes) => {
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                (end <= limit).then(|| bytes.iter().copied().take(limit).collect())
            }
            _ => None,
        };
        if let Some(kept) = kept {
            out.truncate(start);
            out.extend_from_slice(&kept);
            return Ok(true);
        }
        let shown = value.as_text().map_or(String::new(), |text| text.chars().take(limit.min(100)).collect());
        let message = format!(
            "String or binary data would be truncated in table '{}', column '{}'. Truncated value: '{shown}'.",
            self.shown, column.name
        );
        Err(SqlError::new(2628, 16, message))
    }
}

fn is_fixed(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::NChar(_) | ColumnType::Char(_) | ColumnType::Binary(_))
}

/// UTF-16 units of a national text, bytes of another.
fn text_length(text: &str, column: &Column) -> usize {
    if physical::is_national(column.column_type) {
        text.encode_utf16().count()
    } else if column.collation.as_ref().is_some_and(|collate| collate.utf8) {
        text.len()
    } else {
        text.chars().count()
    }
}

/// The uniqueidentifier that a text spells: mssql-jdbc sends them so (8169: none).
fn uuid_of_text(column: &Column, value: &Datum) -> Result<Option<Datum>, SqlError> {
    let (ColumnType::UniqueIdentifier, Datum::Text(text)) = (column.column_type, value) else {
        return Ok(None);
    };
    let trimmed = text.trim_end().trim_matches(['{', '}']);
    match uuid::Uuid::try_parse(trimmed) {
        Ok(uuid) => Ok(Some(Datum::Uuid(uuid.into_bytes()))),
        Err(_) => {
            let message = "Conversion failed when converting from a character string to uniqueidentifier.";
            Err(SqlError::new(8169, 16, message).with_state(2))
        }
    }
}

/// 4816: a column's type is not that of the table; 4819: another number of columns.
fn check_columns(target: &BulkTarget, columns: &[OutColumn]) -> Result<(), SqlError> {
    if columns.len() != target.columns.len() {
        let message = "Cannot bulk load. The bulk data stream was incorrectly specified as sorted or the data violates the number of columns of the INSERT BULK.";
        return Err(SqlError::new(4819, 16, message));
    }
    for ((given, column), number) in columns.iter().zip(&target.columns).zip(1..) {
        let Some(column) = column else { continue };
        let (given, wanted) = (physical::family(given.column_type), physical::family(column.column_type));
        if given != wanted && (given, wanted) != (Family::Text, Family::Uuid) {
            let message = format!("Invalid column type from bcp client for colid {number}.");
            return Err(SqlError::new(4816, 16, message));
        }
    }
    Ok(())
}
