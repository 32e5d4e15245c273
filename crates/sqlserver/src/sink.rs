//! [`RowSink`]: encoded rows into a table, by bulk load or by parameterised INSERT.
//!
//! Both ways take the same [`RowBuffer`], so that which of them a server allows changes nothing of what arrives.

use std::ops::Range;

use segcdc_model::{LargeRef, Value};
use segcdc_tds::{
    BulkColumn, BulkLoad, BulkOptions, BulkTarget, ColumnType, Error as TdsError, Len, LongValue, Parameter,
    RowEncoder,
};

use crate::encode;
use crate::error::RefusedValue;
use crate::large::LargeParts;
use crate::session::{MAX_PARAMETER_BYTES, Target, WritePath};
use crate::sql;

/// Parameters of one request: the server's 2100, less the two of `sp_executesql` itself (error 8003).
pub(crate) const MAX_PARAMETERS: usize = 2_098;

/// Rows of one VALUES list (error 10738).
const MAX_VALUES_ROWS: usize = 1_000;

/// Rows on their way into a table.
#[derive(Debug)]
pub(crate) struct RowBuffer {
    columns: Vec<BulkColumn>,
    encoder: RowEncoder,
    /// Where each value of each finished row is; only for [`WritePath::Insert`].
    values: Option<Vec<Range<usize>>>,
    /// Bytes of UTF-8 that columns hold which are sent as another type.
    limits: Vec<Option<u16>>,
    /// The column of the next value.
    next: usize,
}

/// A table that rows are being written to.
#[derive(Debug)]
pub(crate) enum RowSink<'t> {
    /// One stream; nothing is in the table before its end.
    Bulk(BulkLoad<'t>),
    /// One request for as many rows as it can take.
    Insert {
        /// The session.
        target: &'t mut Target,
        /// The table, quoted.
        table: String,
        /// Rows sent.
        rows: u64,
    },
}

// === impl RowBuffer ===

impl RowBuffer {
    /// An empty buffer for rows of these columns.
    pub(crate) fn new(mut columns: Vec<BulkColumn>, write_path: WritePath) -> Self {
        let mut limits = vec![None; columns.len()];
        if write_path == WritePath::Insert {
            // A parameter of varchar has the collation of the database, which may have another code page than UTF-8.
            for (column, limit) in columns.iter_mut().zip(&mut limits) {
                if let ColumnType::VarChar(length) = column.column_type {
                    column.column_type = ColumnType::NVarChar(Len::Max);
                    *limit = match length {
                        Len::Limited(bytes) => Some(bytes),
                        Len::Max => None,
                    };
                }
            }
        }
        let encoder = RowEncoder::new(&columns);
        let values = (write_path == WritePath::Insert).then(Vec::new);
        RowBuffer { columns, encoder, values, limits, next: 0 }
    }

    /// Begins a row.
    pub(crate) fn begin_row(&mut self) {
        self.next = 0;
        self.encoder.begin_row();
    }

    /// Adds the value of the next column.
    #[inline]
    pub(crate) fn value(&mut self, value: &Value<'_>) -> Result<(), RefusedValue> {
        let limit = self.limits.get(self.next).copied().flatten();
        self.next += 1;
        if let (Value::Text(text), Some(limit)) = (*value, limit.map(usize::from))
            && text.len() > limit
        {
            return Err(RefusedValue::TooLong { length: text.len(), limit });
        }
        if let (Value::Large(large), true) = (*value, self.values.is_some()) {
            return self.value_in_memory(large);
        }
        encode::write(&mut self.encoder, value)
    }

    /// Adds a large value as a parameter needs it: as a whole.
    fn value_in_memory(&mut self, large: LargeRef<'_>) -> Result<(), RefusedValue> {
        let parts = LargeParts::new(large);
        if parts.byte_len() > MAX_PARAMETER_BYTES {
            let (length, limit) = (parts.byte_len(), MAX_PARAMETER_BYTES);
            return Err(RefusedValue::TooLargeForInsert { length, limit });
        }
        let whole =
            parts.read_whole().map_err(|_| RefusedValue::Unrepresentable("a value that was damaged"))?;
        if parts.is_text() {
            let (units, _) = whole.as_chunks::<2>();
            let text: String = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            Ok(self.encoder.text(&text)?)
        } else {
            Ok(self.encoder.bytes(&whole)?)
        }
    }

    /// Ends the row.
    pub(crate) fn end_row(&mut self) -> Result<(), RefusedValue> {
        self.encoder.end_row()?;
        if let Some(values) = &mut self.values {
            values.extend(self.encoder.value_ranges());
        }
        Ok(())
    }

    /// Throws an unfinished row away.
    pub(crate) fn cancel_row(&mut self) {
        self.encoder.cancel_row();
    }

    /// Bytes of the finished rows that are kept elsewhere until they are sent.
    pub(crate) fn large_bytes(&self) -> u64 {
        self.encoder.long_values().iter().map(|(_, value)| value.byte_len()).sum()
    }

    /// Bytes of the finished rows.
    pub(crate) fn byte_len(&self) -> usize {
        self.encoder.byte_len()
    }

    /// The finished rows, for tests.
    #[cfg(test)]
    pub(crate) fn encoded(&self) -> &[u8] {
        self.encoder.encoded()
    }

    /// Throws all rows away.
    pub(crate) fn clear(&mut self) {
        self.encoder.clear();
        if let Some(values) = &mut self.values {
            values.clear();
        }
    }

    /// The columns.
    pub(crate) fn columns(&self) -> &[BulkColumn] {
        &self.columns
    }
}

// === impl RowSink ===

impl<'t> RowSink<'t> {
    /// Begins to write to `table`, which is quoted already.
    pub(crate) async fn begin(
        target: &'t mut Target,
        table: &str,
        columns: &[BulkColumn],
        options: &BulkOptions,
    ) -> Result<Self, TdsError> {
        match target.write_path() {
            WritePath::Bulk => {
                let bulk = BulkTarget { table, columns, options };
                Ok(RowSink::Bulk(target.connection().bulk_load(&bulk).await?))
            }
            WritePath::Insert => Ok(RowSink::Insert { target, table: table.to_owned(), rows: 0 }),
        }
    }

    /// Sends the finished rows and clears the buffer.
    pub(crate) async fn send(&mut self, buffer: &mut RowBuffer) -> Result<(), TdsError> {
        match self {
            RowSink::Bulk(load) => load.send(&mut buffer.encoder).await?,
            RowSink::Insert { target, table, rows } => {
                *rows += insert(target, table, buffer).await?;
            }
        }
        buffer.clear();
        Ok(())
    }

    /// Ends the writing; returns how many rows the server took.
    pub(crate) async fn finish(self) -> Result<u64, TdsError> {
        match self {
            RowSink::Bulk(load) => load.finish().await,
            RowSink::Insert { rows, .. } => Ok(rows),
        }
    }

    /// Gives the writing up. The session can be used afterwards; what was written by INSERT is the transaction's matter.
    pub(crate) async fn abort(self) -> Result<(), TdsError> {
        match self {
            RowSink::Bulk(load) => load.abort().await,
            RowSink::Insert { .. } => Ok(()),
        }
    }
}

/// Sends the rows of a buffer by INSERT; returns how many the server counted.
async fn insert(target: &mut Target, table: &str, buffer: &RowBuffer) -> Result<u64, TdsError> {
    let columns = buffer.columns.len().max(1);
    let rows_per_request = (MAX_PARAMETERS / columns).clamp(1, MAX_VALUES_ROWS);
    let names: Vec<String> = buffer.columns.iter().map(|column| column.name.clone()).collect();
    let encoded = buffer.encoder.encoded();
    let mut full_statement = None;
    let mut inserted = 0;
    for rows in buffer.values.as_deref().unwrap_or_default().chunks(rows_per_request * columns) {
        let parameters: Vec<Parameter<'_>> = rows
            .iter()
            .zip(buffer.columns.iter().cycle())
            .map(|(range, column)| Parameter::Encoded {
                column_type: &column.column_type,
                collation: column.collation,
                value: encoded.get(range.clone()).unwrap_or_default(),
            })
            .collect();
        let count = rows.len() / columns;
        let statement = |count| sql::staging::insert_values(table, &names, count);
        let response = if count == rows_per_request {
            let sql = full_statement.get_or_insert_with(|| statement(count));
            target.connection().execute(sql, &parameters).await?
        } else {
            target.connection().execute(&statement(count), &parameters).await?
        };
        inserted += response.total_row_count();
    }
    Ok(inserted)
}
