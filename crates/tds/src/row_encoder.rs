//! [`RowEncoder`]: rows as the wire wants them, checked before one byte is sent.
//!
//! ```text
//! 0xD1 | value of column 0 | value of column 1 | ...      (ROW, never NBCROW: not every server takes that in bulk loads)
//! ```
//!
//! One buffer is reused for all rows, and nothing else is allocated: this is the hottest path of a full load. Since
//! rows are complete and checked before the connection sees them, a bad value never poisons a bulk load.

use std::ops::Range;
use std::sync::Arc;

use crate::bulk::BulkColumn;
use crate::datum::swap_uuid;
use crate::error::EncodeError;
use crate::plp::LongValue;
use crate::types::{ColumnType, DECIMAL_LEN, Len, PLP_NULL, time_len, token_id};
use crate::value::{DAYS_TO_1900, LAST_DAY};

mod number;
mod text;

/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;

/// Days from 0001-01-01 to 1753-01-01, the first date of `datetime`.
const FIRST_DATETIME_DAY: u32 = 639_905;

/// Encodes rows into one reused buffer, independent of any connection.
///
/// After [`RowEncoder::begin_row`], one method for each column in order, then [`RowEncoder::end_row`]. A method that
/// refuses a value writes nothing and stays at the column: the caller may write another value, or cancel the row.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    columns: Box<[Column]>,
    /// Finished rows, and the unfinished one behind them.
    buffer: Vec<u8>,
    /// Where the finished rows end.
    finished: usize,
    /// Where each value of the current (or last) row begins.
    starts: Vec<usize>,
    /// Whether a row is unfinished.
    in_row: bool,
    /// Finished rows.
    rows: u64,
    /// Values whose pieces are not in the buffer, and where they belong.
    long_values: Vec<(usize, Arc<dyn LongValue>)>,
}

/// A column as the encoder needs it.
#[derive(Debug, Clone, Copy)]
struct Column {
    column_type: ColumnType,
    nullable: bool,
    /// Whether a varchar is UTF-8; otherwise only ASCII is safe.
    utf8: bool,
}

// === impl RowEncoder ===

impl RowEncoder {
    /// An encoder for rows of these columns.
    pub fn new(columns: &[BulkColumn]) -> Self {
        let columns = columns.iter().map(|column| Column {
            column_type: column.column_type,
            nullable: column.nullable,
            utf8: column.collation.is_utf8(),
        });
        RowEncoder {
            columns: columns.collect(),
            buffer: Vec::new(),
            finished: 0,
            starts: Vec::new(),
            in_row: false,
            rows: 0,
            long_values: Vec::new(),
        }
    }

    /// Starts a row. A row that was not ended is thrown away.
    pub fn begin_row(&mut self) {
        self.cancel_row();
        self.buffer.push(token_id::ROW);
        self.in_row = true;
    }

    /// Ends the row; refused, and the row thrown away, when columns are missing.
    pub fn end_row(&mut self) -> Result<(), EncodeError> {
        if !self.in_row || self.starts.len() != self.columns.len() {
            let refused = self.wrong_count();
            self.cancel_row();
            return Err(refused);
        }
        self.finished = self.buffer.len();
        self.in_row = false;
        self.rows += 1;
        Ok(())
    }

    /// Throws the unfinished row away.
    pub fn cancel_row(&mut self) {
        self.buffer.truncate(self.finished);
        self.long_values.retain(|(at, _)| *at < self.finished);
        self.starts.clear();
        self.in_row = false;
    }

    /// Throws all rows away, keeps the buffer.
    pub fn clear(&mut self) {
        self.finished = 0;
        self.rows = 0;
        self.cancel_row();
    }

    /// Bytes of the finished rows.
    pub fn byte_len(&self) -> usize {
        self.finished
    }

    /// Finished rows since the last [`RowEncoder::clear`].
    pub fn row_count(&self) -> u64 {
        self.rows
    }

    /// Values of the finished rows that are read when they are sent, and where in [`RowEncoder::encoded`] their pieces
    /// belong.
    pub fn long_values(&self) -> &[(usize, Arc<dyn LongValue>)] {
        &self.long_values
    }

    /// The finished rows, each 0xD1 and its values.
    pub fn encoded(&self) -> &[u8] {
        self.buffer.get(..self.finished).unwrap_or_default()
    }

    /// Where the values of the last finished row are in [`RowEncoder::encoded`], for [`crate::Parameter::Encoded`];
    /// nothing while a row is unfinished.
    pub fn value_ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let starts = if self.in_row { &[] } else { self.starts.as_slice() };
        let ends = starts.iter().skip(1).copied().chain([self.finished]);
        starts.iter().copied().zip(ends).map(|(start, end)| start..end)
    }

    /// Number of columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// NULL; refused for a column that is not nullable.
    pub fn null(&mut self) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        if !column.nullable {
            return Err(EncodeError::NotNullable { column: index });
        }
        match column.column_type {
            plp if plp.is_plp() => self.put(PLP_NULL.to_le_bytes()),
            ColumnType::NVarChar(_)
            | ColumnType::NChar(_)
            | ColumnType::VarChar(_)
            | ColumnType::Char(_)
            | ColumnType::VarBinary(_)
            | ColumnType::Binary(_) => self.put([0xFF, 0xFF]),
            ColumnType::Text | ColumnType::NText | ColumnType::Image | ColumnType::SqlVariant => {
                Err(EncodeError::WrongKind { column: index })
            }
            _ => self.put([0]),
        }
    }

    /// `bit`, and 0 or 1 for integers.
    pub fn bit(&mut self, value: bool) -> Result<(), EncodeError> {
        match self.column()?.0.column_type {
            ColumnType::Bit => self.put([1, u8::from(value)]),
            _ => self.int(i64::from(value)),
        }
    }

    /// `varbinary`, `binary`.
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::VarBinary(Len::Max) => self.put_pieces(value, index),
            ColumnType::VarBinary(Len::Limited(limit)) | ColumnType::Binary(limit) => {
                self.put_limited(value, limit, index)
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `date`: days since 0001-01-01.
    pub fn date(&mut self, days: u32) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        let [a, b, c, _] = checked_day(days, index)?.to_le_bytes();
        match column.column_type {
            ColumnType::Date => self.put([3, a, b, c]),
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `time`: microseconds since midnight, below 24 hours.
    pub fn time(&mut self, microseconds: u64) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::Time(scale) => {
                self.put_time(ticks(microseconds, scale, index)?, scale);
                Ok(())
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `time(7)`: microseconds since midnight and half of one.
    pub fn time_and_half(&mut self, microseconds: u64) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::Time(scale @ 7) => {
                self.put_time(ticks(microseconds, scale, index)? + 5, scale);
                Ok(())
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `datetime2`, and what fits of `datetime` and `smalldatetime`: days since 0001-01-01 and microseconds since
    /// midnight.
    pub fn datetime2(&mut self, days: u32, microseconds: u64) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::DateTime2(scale) => {
                let days = checked_day(days, index)?;
                let ticks = ticks(microseconds, scale, index)?;
                self.begin_value();
                let length = time_len(scale);
                self.buffer.push(length + 3);
                self.push_low_bytes(ticks, length);
                self.push_low_bytes(u64::from(days), 3);
                Ok(())
            }
            ColumnType::DateTime => {
                let (days, ticks) = datetime(days, microseconds, index)?;
                let [a, b, c, d] = days.to_le_bytes();
                let [e, f, g, h] = ticks.to_le_bytes();
                self.put([8, a, b, c, d, e, f, g, h])
            }
            ColumnType::SmallDateTime => {
                let (days, minutes) = smalldatetime(days, microseconds, index)?;
                let ([a, b], [c, d]) = (days.to_le_bytes(), minutes.to_le_bytes());
                self.put([4, a, b, c, d])
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `datetimeoffset` at +00:00: days since 0001-01-01 and microseconds since midnight, UTC.
    pub fn datetimeoffset(&mut self, days: u32, microseconds: u64) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::DateTimeOffset(scale) => {
                let days = checked_day(days, index)?;
                let ticks = ticks(microseconds, scale, index)?;
                self.begin_value();
                let length = time_len(scale);
                self.buffer.push(length + 5);
                self.push_low_bytes(ticks, length);
                self.push_low_bytes(u64::from(days), 5); // two zero bytes of offset behind the date
                Ok(())
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `uniqueidentifier`: bytes in printed order.
    pub fn uuid(&mut self, printed: [u8; 16]) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::UniqueIdentifier => {
                let mut value = [16; 17];
                value[1..].copy_from_slice(&swap_uuid(printed));
                self.put(value)
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// Type of the column whose value comes next; `None` outside of a row and behind its last column.
    pub fn next_type(&self) -> Option<ColumnType> {
        self.column().ok().map(|(column, _)| column.column_type)
    }

    /// The current column and its index.
    fn column(&self) -> Result<(Column, usize), EncodeError> {
        let index = self.starts.len();
        match self.columns.get(index) {
            Some(column) if self.in_row => Ok((*column, index)),
            _ => Err(self.wrong_count()),
        }
    }

    /// The error for too many or too few values.
    fn wrong_count(&self) -> EncodeError {
        let found = if self.in_row { self.starts.len() } else { 0 };
        let one_more = usize::from(self.in_row && found == self.columns.len());
        EncodeError::ColumnCount { expected: self.columns.len(), found: found + one_more }
    }

    /// Notes where the current column's value begins, and moves on.
    fn begin_value(&mut self) {
        self.starts.push(self.buffer.len());
    }

    /// Writes a whole value.
    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), EncodeError> {
        self.begin_value();
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// Writes a value behind a 2-byte length.
    fn put_limited(&mut self, value: &[u8], limit: u16, index: usize) -> Result<(), EncodeError> {
        let too_long = EncodeError::TooLong { column: index, length: value.len(), limit: usize::from(limit) };
        let length = u16::try_from(value.len()).ok().filter(|length| *length <= limit).ok_or(too_long)?;
        self.begin_value();
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(value);
        Ok(())
    }

    /// Writes a time of day in ticks of its scale.
    fn put_time(&mut self, ticks: u64, scale: u8) {
        self.begin_value();
        let length = time_len(scale);
        self.buffer.push(length);
        self.push_low_bytes(ticks, length);
    }

    /// Appends the `count` low bytes of a number.
    fn push_low_bytes(&mut self, number: u64, count: u8) {
        let bytes = number.to_le_bytes();
        self.buffer.extend_from_slice(bytes.get(..usize::from(count)).unwrap_or(&bytes));
    }
}

/// A date of 0001 to 9999.
fn checked_day(days: u32, index: usize) -> Result<u32, EncodeError> {
    if days > LAST_DAY { Err(EncodeError::OutOfRange { column: index }) } else { Ok(days) }
}

/// Microseconds as units of 10^-scale seconds, never rounded.
fn ticks(microseconds: u64, scale: u8, index: usize) -> Result<u64, EncodeError> {
    if microseconds >= DAY_US {
        return Err(EncodeError::OutOfRange { column: index });
    }
    let unit = match scale {
        7 => return Ok(microseconds * 10),
        6 => return Ok(microseconds),
        5 => 10,
        4 => 100,
        3 => 1_000,
        2 => 10_000,
        1 => 100_000,
        _ => 1_000_000,
    };
    if microseconds.is_multiple_of(unit) {
        Ok(microseconds / unit)
    } else {
        Err(EncodeError::Inexact { column: index })
    }
}

/// Days since 1900 and 1/300 s: only the milliseconds that `datetime` prints (those ending in 0, 3 and 7).
fn datetime(days: u32, microseconds: u64, index: usize) -> Result<(i32, u32), EncodeError> {
    let out_of_range = EncodeError::OutOfRange { column: index };
    if days < FIRST_DATETIME_DAY || microseconds >= DAY_US {
        return Err(out_of_range);
    }
    let milliseconds = microseconds / 1_000;
    if !microseconds.is_multiple_of(1_000) || !matches!(milliseconds % 10, 0 | 3 | 7) {
        return Err(EncodeError::Inexact { column: index });
    }
    let days = i64::from(checked_day(days, index)?) - DAYS_TO_1900;
    let ticks = (milliseconds * 3 + 5) / 10;
    Ok((i32::try_from(days).map_err(|_| out_of_range)?, u32::try_from(ticks).map_err(|_| out_of_range)?))
}

/// Days since 1900 and minutes.
fn smalldatetime(days: u32, microseconds: u64, index: usize) -> Result<(u16, u16), EncodeError> {
    const MINUTE_US: u64 = 60_000_000;
    let out_of_range = EncodeError::OutOfRange { column: index };
    if microseconds >= DAY_US {
        return Err(out_of_range);
    }
    if !microseconds.is_multiple_of(MINUTE_US) {
        return Err(EncodeError::Inexact { column: index });
    }
    let days = u16::try_from(i64::from(days) - DAYS_TO_1900).map_err(|_| out_of_range)?;
    Ok((days, u16::try_from(microseconds / MINUTE_US).map_err(|_| out_of_range)?))
}

#[cfg(test)]
mod tests;
