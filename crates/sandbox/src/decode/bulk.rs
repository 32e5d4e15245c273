//! The stream of a bulk load: COLMETADATA, then ROW and NBCROW tokens, then DONE ([MS-TDS] 2.2.6.1).
//!
//! [`RowDecoder`] is fed packet by packet and gives whole rows. It remembers how far into a row it has walked, so that
//! a value of 2 GB that comes in half a million packets is walked over once. A value that is wrong is an error of its
//! row; a stream that is wrong is an error of the load.

use segcdc_tds::Datum;
use segcdc_tds::reader::{DecodeError, Reader};
use segcdc_tds::types::{PLP_NULL, column_flag, token_id};

use crate::answer::{OutColumn, SqlError};
use crate::decode::type_info::{Declared, Framing, Place, malformed};
use crate::decode::value::{self, Invalid, size};

/// Most columns of a table.
const MAX_COLUMNS: u16 = 4_096;

/// Bytes that are kept at the front of the buffer before they are cut off.
const COMPACT_BYTES: usize = 1 << 20;

/// What could be made of the stream so far.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Columns of the rows that follow.
    Columns(Vec<OutColumn>),
    /// A row.
    Row(Vec<Datum>),
    /// More bytes are needed.
    Incomplete,
}

/// Why a load fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// The stream cannot be read on.
    #[error("the bulk load's stream cannot be read: {0}")]
    Stream(#[from] DecodeError),
    /// A value is wrong; the column counts from 0.
    #[error("column {column} of a bulk load holds an invalid value")]
    Value {
        /// Column.
        column: usize,
        /// What is wrong.
        invalid: Invalid,
    },
}

/// How far into the current row the walk has come.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    /// Bytes behind the row's token.
    position: usize,
    /// Columns walked over.
    column: usize,
    /// Inside a value in pieces.
    in_pieces: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct RowDecoder {
    /// How many of a row's first columns are decoded; `None` for all.
    kept: Option<usize>,
    buffer: Vec<u8>,
    consumed: usize,
    columns: Option<Vec<Declared>>,
    walk: Walk,
}

// === impl RowDecoder ===

impl RowDecoder {
    /// Appends what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.consumed >= COMPACT_BYTES {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Decodes only the first `count` columns of each row, and walks over the others.
    pub fn keep_columns(&mut self, count: usize) {
        self.kept = Some(count);
    }

    /// Takes the next piece. DONE, and whatever a client sends behind it, counts as incomplete: the message's end is
    /// the load's end.
    pub fn advance(&mut self) -> Result<Piece, BulkError> {
        let rest = self.buffer.get(self.consumed..).unwrap_or_default();
        let Some(token) = rest.first().copied() else {
            self.buffer.clear();
            self.consumed = 0;
            return Ok(Piece::Incomplete);
        };
        match token {
            token_id::COLMETADATA => {
                let mut reader = Reader::new(rest);
                match column_metadata(&mut reader) {
                    Ok((declared, columns)) => {
                        self.consumed = self.buffer.len() - reader.remaining();
                        self.columns = Some(declared);
                        Ok(Piece::Columns(columns))
                    }
                    Err(DecodeError::Incomplete) => Ok(Piece::Incomplete),
                    Err(error) => Err(error.into()),
                }
            }
            token_id::ROW | token_id::NBCROW => self.row(token),
            token_id::DONE => Ok(Piece::Incomplete),
            other => Ok(malformed(format!("unexpected token 0x{other:02X}"))?),
        }
    }

    /// Whether the stream may end here: between two rows.
    pub fn is_complete(&self) -> bool {
        matches!(self.buffer.get(self.consumed), None | Some(&token_id::DONE))
    }

    /// A row, once all of it is there.
    fn row(&mut self, token: u8) -> Result<Piece, BulkError> {
        let Some(columns) = &self.columns else { return Ok(malformed("rows in front of their columns")?) };
        let rest = self.buffer.get(self.consumed + 1..).unwrap_or_default();
        let bitmap_len = if token == token_id::NBCROW { columns.len().div_ceil(8) } else { 0 };
        let Some((bitmap, values)) = rest.split_at_checked(bitmap_len) else { return Ok(Piece::Incomplete) };
        if !walk_row(columns, bitmap, values, &mut self.walk)? {
            return Ok(Piece::Incomplete);
        }
        let length = self.walk.position;
        self.walk = Walk::default();
        let row = decode_row(columns.iter().take(self.kept.unwrap_or(usize::MAX)), bitmap, values)?;
        self.consumed += 1 + bitmap_len + length;
        Ok(Piece::Row(row))
    }
}

/// Walks on over the values of a row; whether all of it is there.
fn walk_row(
    columns: &[Declared],
    bitmap: &[u8],
    values: &[u8],
    walk: &mut Walk,
) -> Result<bool, DecodeError> {
    while let Some(column) = columns.get(walk.column) {
        let mut reader = Reader::new(values.get(walk.position..).unwrap_or_default());
        let before = reader.remaining();
        let step = if is_null(bitmap, walk.column) {
            Ok(true)
        } else if column.framing == Framing::Pieces {
            walk_pieces(&mut reader, &mut walk.in_pieces)
        } else {
            value::take(column.framing, &mut reader).map(|_| true)
        };
        match step {
            Ok(ended) => {
                walk.position += before - reader.remaining();
                if ended {
                    walk.column += 1;
                }
            }
            Err(DecodeError::Incomplete) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Walks over the front of a value in pieces, or over one piece; whether the value ends there.
fn walk_pieces(reader: &mut Reader<'_>, in_pieces: &mut bool) -> Result<bool, DecodeError> {
    if !*in_pieces {
        let total = reader.u64()?;
        *in_pieces = total != PLP_NULL;
        return Ok(total == PLP_NULL);
    }
    let length = reader.u32()?;
    reader.take(size(length)?)?;
    *in_pieces = length != 0;
    Ok(length == 0)
}

/// The values of a row that is there in full.
fn decode_row<'c>(
    columns: impl ExactSizeIterator<Item = &'c Declared>,
    bitmap: &[u8],
    values: &[u8],
) -> Result<Vec<Datum>, BulkError> {
    let mut reader = Reader::new(values);
    let mut row = Vec::with_capacity(columns.len());
    for (index, column) in columns.enumerate() {
        let bytes = if is_null(bitmap, index) { None } else { value::take(column.framing, &mut reader)? };
        let datum = value::decode(column, bytes.as_deref());
        row.push(datum.map_err(|invalid| BulkError::Value { column: index, invalid })?);
    }
    Ok(row)
}

/// Whether the bitmap of an NBCROW marks a column.
fn is_null(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}

/// COLMETADATA, its token included.
fn column_metadata(reader: &mut Reader<'_>) -> Result<(Vec<Declared>, Vec<OutColumn>), DecodeError> {
    reader.u8()?;
    let count = reader.u16()?;
    if count > MAX_COLUMNS {
        return malformed(format!("a bulk load of {count} columns"));
    }
    let (mut declared, mut columns) = (Vec::new(), Vec::new());
    for _ in 0..count {
        reader.u32()?;
        let flags = reader.u16()?;
        let info = Declared::decode(reader, Place::Row)?;
        if info.framing == Framing::Pointer {
            // The table's name, in parts in TDS 7.2 and later.
            for _ in 0..reader.u8()? {
                reader.us_varchar()?;
            }
        }
        let mut column = OutColumn::new(reader.b_varchar()?, info.column_type);
        column.collation = info.collation;
        column.nullable = flags & column_flag::NULLABLE != 0;
        column.identity = flags & column_flag::IDENTITY != 0;
        declared.push(info);
        columns.push(column);
    }
    Ok((declared, columns))
}

// === impl BulkError ===

impl BulkError {
    /// The error as SQL Server reports it.
    pub fn to_sql_error(&self) -> SqlError {
        match self {
            BulkError::Stream(error) => SqlError::new(
                4804,
                16,
                format!(
                    "While reading current row from host, a premature end-of-message was encountered--an incoming data stream was interrupted when the server expected to see more data. ({error})"
                ),
            ),
            BulkError::Value { column, invalid: Invalid::Length } => SqlError::new(
                4815,
                16,
                format!("Received an invalid column length from the bcp client for colid {}.", column + 1),
            ),
            BulkError::Value { column, invalid: Invalid::Value } => SqlError::new(
                7339,
                16,
                format!(
                    "OLE DB provider 'STREAM' for linked server '(null)' returned invalid data for column '[!BulkInsert].colid {}'.",
                    column + 1
                ),
            ),
        }
    }
}
