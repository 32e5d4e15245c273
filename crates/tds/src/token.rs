//! [`Token`]: the pieces of a server's answer ([MS-TDS] 2.2.7), decoded from the bytes that have arrived so far.

use std::sync::Arc;

use crate::datum::Datum;
use crate::error::ServerMessage;
use crate::reader::{DecodeError, Reader};
use crate::type_info::{Layout, TypeInfo};
use crate::types::{Collation, ColumnType, column_flag, env_change, feature_id, token_id};
use crate::value::{self, Frame};

/// Bytes of the smallest column in COLMETADATA: user type, flags, type, name length.
const MIN_COLUMN_BYTES: usize = 8;

/// Most columns that a SELECT of SQL Server returns.
const MAX_COLUMNS: usize = 4_096;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name; empty for an expression without an alias.
    pub name: String,
    /// Type and framing.
    pub info: TypeInfo,
    /// Bits of [`column_flag`].
    pub flags: u16,
}

/// DONE, DONEPROC or DONEINPROC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Bits of [`crate::types::done_status`].
    pub status: u16,
    /// The statement's kind.
    pub command: u16,
    /// Rows; means something with [`crate::types::done_status::COUNT`] only.
    pub row_count: u64,
}

/// A change of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvChange {
    /// The current database.
    Database(String),
    /// The packet size from the next message on.
    PacketSize(u32),
    /// The current database's collation.
    Collation(Collation),
    /// A transaction began.
    TransactionBegun(u64),
    /// The transaction is over, by commit, roll-back or error.
    TransactionEnded,
    /// Log in there instead.
    Routing {
        /// Host.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Of no concern.
    Other(u8),
}

/// The answer to LOGIN7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAck {
    /// TDS version, as in [`crate::types::tds_version`].
    pub tds_version: u32,
    /// `Microsoft SQL Server`
    pub program_name: String,
    /// Major, minor, build.
    pub version: (u8, u8, u16),
}

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// Columns of the rows that follow; shared with the decoder of those rows.
    Columns(Arc<[Column]>),
    /// A row.
    Row(Vec<Datum>),
    /// An error.
    Error(ServerMessage),
    /// A message.
    Info(ServerMessage),
    /// A change of the session.
    EnvChange(EnvChange),
    /// The login succeeded.
    LoginAck(LoginAck),
    /// Features that the server acknowledged.
    Features(Vec<u8>),
    /// RETURN of a procedure.
    ReturnStatus(i32),
    /// An output parameter.
    ReturnValue {
        /// `@name`
        name: String,
        /// Its value.
        value: Datum,
    },
    /// End of a statement.
    Done(Done),
    /// End of a procedure.
    DoneProc(Done),
    /// End of a statement in a procedure.
    DoneInProc(Done),
    /// Of no concern (ORDER, TABNAME, COLINFO, SESSIONSTATE).
    Skipped,
}

/// Takes one token off the front of `bytes`; `columns` are those of the last [`Token::Columns`].
///
/// Returns the token and its length. [`DecodeError::Incomplete`] asks for more bytes. Never reads past `bytes`, and
/// never allocates more than a small multiple of what it has read.
pub fn decode(bytes: &[u8], columns: &[Column]) -> Result<(Token, usize), DecodeError> {
    let mut reader = Reader::new(bytes);
    let token = match reader.u8()? {
        token_id::ROW => Token::Row(row(&mut reader, columns)?),
        token_id::NBCROW => Token::Row(null_bitmap_row(&mut reader, columns)?),
        token_id::COLMETADATA => match column_metadata(&mut reader)? {
            Some(columns) => Token::Columns(columns.into()),
            None => Token::Skipped,
        },
        token_id::DONE => Token::Done(done(&mut reader)?),
        token_id::DONEPROC => Token::DoneProc(done(&mut reader)?),
        token_id::DONEINPROC => Token::DoneInProc(done(&mut reader)?),
        token_id::ERROR => Token::Error(closed(reader.us_bytes()?, server_message)?),
        token_id::INFO => Token::Info(closed(reader.us_bytes()?, server_message)?),
        token_id::ENVCHANGE => Token::EnvChange(closed(reader.us_bytes()?, environment)?),
        token_id::LOGINACK => Token::LoginAck(closed(reader.us_bytes()?, login_ack)?),
        token_id::FEATUREEXTACK => Token::Features(features(&mut reader)?),
        token_id::RETURNSTATUS => Token::ReturnStatus(reader.i32()?),
        token_id::RETURNVALUE => return_value(&mut reader)?,
        token_id::ORDER | token_id::TABNAME | token_id::COLINFO | token_id::SSPI => {
            reader.us_bytes()?;
            Token::Skipped
        }
        token_id::SESSIONSTATE | token_id::FEDAUTHINFO => {
            reader.long_bytes()?;
            Token::Skipped
        }
        other => return Err(DecodeError::malformed(format!("unknown token 0x{other:02X}"))),
    };
    Ok((token, bytes.len().saturating_sub(reader.remaining())))
}

/// Decodes something whose length was given: running out of bytes in it is malformed.
fn closed<T>(
    bytes: &[u8],
    decode: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    decode(&mut Reader::new(bytes)).map_err(|error| match error {
        DecodeError::Incomplete => DecodeError::malformed("a token that is longer than its length"),
        malformed @ DecodeError::Malformed(_) => malformed,
    })
}

/// ROW. Framed as a whole before the first value is decoded.
fn row(reader: &mut Reader<'_>, columns: &[Column]) -> Result<Vec<Datum>, DecodeError> {
    let mut walk = *reader;
    for column in columns {
        value::frame(column.info.layout, &mut walk)?;
    }
    columns
        .iter()
        .map(|column| value::decode(&column.info, value::frame(column.info.layout, reader)?))
        .collect()
}

/// NBCROW: one bit for each column, set for NULL; then the values that are not.
fn null_bitmap_row(reader: &mut Reader<'_>, columns: &[Column]) -> Result<Vec<Datum>, DecodeError> {
    let bitmap = reader.take(columns.len().div_ceil(8))?;
    let is_null = |index: usize| bitmap.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0);
    let mut walk = *reader;
    for (index, column) in columns.iter().enumerate() {
        if !is_null(index) {
            value::frame(column.info.layout, &mut walk)?;
        }
    }
    let mut row = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let frame = if is_null(index) { Frame::Null } else { value::frame(column.info.layout, reader)? };
        row.push(value::decode(&column.info, frame)?);
    }
    Ok(row)
}

/// COLMETADATA. The count 0xFFFF means that there is none.
fn column_metadata(reader: &mut Reader<'_>) -> Result<Option<Vec<Column>>, DecodeError> {
    let count = match reader.u16()? {
        u16::MAX => return Ok(None),
        count if usize::from(count) > MAX_COLUMNS => {
            return Err(DecodeError::malformed(format!("a result of {count} columns")));
        }
        count => usize::from(count),
    };
    let mut columns = Vec::with_capacity(count.min(reader.remaining() / MIN_COLUMN_BYTES));
    for _ in 0..count {
        reader.u32()?;
        let flags = reader.u16()?;
        let info = TypeInfo::decode(reader)?;
        if info.layout == Layout::TextPointer {
            for _ in 0..reader.u8()? {
                reader.us_varchar()?;
            }
        }
        columns.push(Column { name: reader.b_varchar()?, info, flags });
    }
    Ok(Some(columns))
}

/// The body of DONE and its like.
fn done(reader: &mut Reader<'_>) -> Result<Done, DecodeError> {
    Ok(Done { status: reader.u16()?, command: reader.u16()?, row_count: reader.u64()? })
}

/// The body of ERROR and INFO.
fn server_message(reader: &mut Reader<'_>) -> Result<ServerMessage, DecodeError> {
    Ok(ServerMessage {
        number: reader.i32()?,
        state: reader.u8()?,
        class: reader.u8()?,
        message: reader.us_varchar()?,
        server: reader.b_varchar()?,
        procedure: reader.b_varchar()?,
        line: reader.i32()?,
    })
}

/// The body of ENVCHANGE.
fn environment(reader: &mut Reader<'_>) -> Result<EnvChange, DecodeError> {
    Ok(match reader.u8()? {
        env_change::DATABASE => EnvChange::Database(reader.b_varchar()?),
        env_change::PACKET_SIZE => {
            let text = reader.b_varchar()?;
            let size =
                text.parse().map_err(|_| DecodeError::malformed("a packet size that is not a number"))?;
            EnvChange::PacketSize(size)
        }
        env_change::COLLATION => match *reader.b_bytes()? {
            [a, b, c, d, e] => EnvChange::Collation(Collation([a, b, c, d, e])),
            _ => EnvChange::Other(env_change::COLLATION),
        },
        env_change::BEGIN_TRANSACTION => match reader.b_bytes()?.try_into() {
            Ok(descriptor) => EnvChange::TransactionBegun(u64::from_le_bytes(descriptor)),
            Err(_) => return Err(DecodeError::malformed("a transaction descriptor that is not 8 bytes")),
        },
        env_change::COMMIT_TRANSACTION | env_change::ROLLBACK_TRANSACTION | env_change::TRANSACTION_ENDED => {
            EnvChange::TransactionEnded
        }
        env_change::ROUTING => {
            reader.u16()?;
            reader.u8()?;
            EnvChange::Routing { port: reader.u16()?, host: reader.us_varchar()? }
        }
        other => EnvChange::Other(other),
    })
}

/// The body of LOGINACK. Versions are big-endian here.
fn login_ack(reader: &mut Reader<'_>) -> Result<LoginAck, DecodeError> {
    reader.u8()?;
    let tds_version = u32::from_be_bytes(reader.array()?);
    let program_name = reader.b_varchar()?.trim_end_matches('\0').to_owned();
    let [major, minor, build_high, build_low] = reader.array()?;
    Ok(LoginAck {
        tds_version,
        program_name,
        version: (major, minor, u16::from_be_bytes([build_high, build_low])),
    })
}

/// FEATUREEXTACK: ids and data up to the terminator.
fn features(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut acknowledged = Vec::new();
    loop {
        match reader.u8()? {
            feature_id::TERMINATOR => return Ok(acknowledged),
            id => {
                reader.long_bytes()?;
                acknowledged.push(id);
            }
        }
    }
}

/// RETURNVALUE.
fn return_value(reader: &mut Reader<'_>) -> Result<Token, DecodeError> {
    reader.u16()?;
    let name = reader.b_varchar()?;
    reader.u8()?;
    reader.u32()?;
    reader.u16()?;
    let info = TypeInfo::decode(reader)?;
    let frame = value::frame(info.layout, reader)?;
    Ok(Token::ReturnValue { name, value: value::decode(&info, frame)? })
}

// === impl Column ===

impl Column {
    /// Whether it may be NULL, as far as the server says.
    pub fn nullable(&self) -> bool {
        self.flags & (column_flag::NULLABLE | column_flag::NULLABLE_UNKNOWN) != 0
    }

    /// What it holds.
    pub fn column_type(&self) -> ColumnType {
        self.info.column_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Len;
    use proptest::prelude::*;

    /// COLMETADATA of an int not null, an nvarchar(5) and an nvarchar(max).
    fn three_columns() -> Vec<u8> {
        let mut bytes = vec![token_id::COLMETADATA, 3, 0];
        bytes.extend_from_slice(&[0, 0, 0, 0, 8, 0, 0x38, 1, b'a', 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0xE7, 10, 0, 9, 4, 0xD0, 0, 0x34, 1, b'b', 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0xE7, 0xFF, 0xFF, 9, 4, 0xD0, 0, 0x34, 0]);
        bytes
    }

    fn columns() -> Arc<[Column]> {
        match decode(&three_columns(), &[]) {
            Ok((Token::Columns(columns), _)) => columns,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn column_metadata_is_read() {
        let columns = columns();
        let seen: Vec<_> = columns
            .iter()
            .map(|column| (column.name.as_str(), column.column_type(), column.nullable()))
            .collect();
        let expected = [
            ("a", ColumnType::Int, false),
            ("b", ColumnType::NVarChar(Len::Limited(5)), true),
            ("", ColumnType::NVarChar(Len::Max), true),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn both_kinds_of_rows_are_read() {
        let row = [
            0xD1, 7, 0, 0, 0, 0xFF, 0xFF, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'x', 0, 2, 0, 0, 0, b'y', 0,
            0, 0, 0, 0,
        ];
        let expected = vec![Datum::Int(7), Datum::Null, Datum::Text("xy".to_owned())];
        assert_eq!(decode(&row, &columns()), Ok((Token::Row(expected), row.len())));
        let row = [0xD2, 0b110, 7, 0, 0, 0, 99];
        assert_eq!(
            decode(&row, &columns()),
            Ok((Token::Row(vec![Datum::Int(7), Datum::Null, Datum::Null]), 6))
        );
    }

    #[test]
    fn every_prefix_of_a_token_is_incomplete() {
        let metadata = three_columns();
        for length in 0..metadata.len() {
            assert_eq!(decode(&metadata[..length], &[]), Err(DecodeError::Incomplete), "{length}");
        }
        let row = [
            0xD1, 7, 0, 0, 0, 2, 0, b'z', 0, 254, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 9, 0, 0, 0,
            0,
        ];
        for length in 0..row.len() {
            assert_eq!(decode(&row[..length], &columns()), Err(DecodeError::Incomplete), "{length}");
        }
        assert!(decode(&row, &columns()).is_ok());
    }

    #[test]
    fn token_longer_than_its_length_is_malformed() {
        let error = [token_id::ERROR, 3, 0, 1, 2, 3, 4, 5];
        assert!(matches!(decode(&error, &[]), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn routing_is_read() {
        let bytes = [token_id::ENVCHANGE, 12, 0, 20, 7, 0, 0, 0x99, 5, 1, 0, b'h', 0, 0, 0];
        let expected = EnvChange::Routing { host: "h".to_owned(), port: 1433 };
        assert_eq!(decode(&bytes, &[]), Ok((Token::EnvChange(expected), bytes.len())));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(id in any::<u8>(), mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let ids = [0x81, 0xD1, 0xD2, 0xFD, 0xAA, 0xE3, 0xAD, 0xAE, 0xAC, 0x79, id];
            bytes.insert(0, ids[usize::from(id) % ids.len()]);
            if let Ok((_, length)) = decode(&bytes, &columns()) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn any_columns_and_rows_decode_or_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            bytes.splice(0..0, [token_id::COLMETADATA, 2, 0]);
            if let Ok((Token::Columns(columns), length)) = decode(&bytes, &[]) {
                let mut row = vec![token_id::ROW];
                row.extend_from_slice(&bytes[length..]);
                let _decoded = decode(&row, &columns);
            }
        }
    }
}
