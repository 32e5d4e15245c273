//! Tokens other than values: columns, rows, messages, changes of the session, ends.

use segcdc_tds::Datum;
use segcdc_tds::types::{Collation, ColumnType, env_change, feature_id, token_id};

use crate::answer::{OutColumn, SqlError};
use crate::encode::value::{Mismatch, put_type_info, put_value, utf16};

/// The server's name in messages.
pub const SERVER_NAME: &str = "SEGCDC-SANDBOX";

/// UTF-16 units of the longest message: what SQL Server allows, far below what the token's length holds.
const MESSAGE_UNITS: usize = 2_047;

/// Appends COLMETADATA.
pub fn put_columns(out: &mut Vec<u8>, columns: &[OutColumn]) {
    out.push(token_id::COLMETADATA);
    let count = u16::try_from(columns.len()).expect("the engine returns at most 4,096 columns");
    out.extend_from_slice(&count.to_le_bytes());
    for column in columns {
        put_column_head(out, column);
        if matches!(column.column_type, ColumnType::Text | ColumnType::NText | ColumnType::Image) {
            out.push(0); // name of the table: no parts
        }
        put_b_varchar(out, &column.name);
    }
}

/// User type, flags and TYPE_INFO.
fn put_column_head(out: &mut Vec<u8>, column: &OutColumn) {
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&column.flags().to_le_bytes());
    put_type_info(out, column);
}

/// Appends ROW. On error, `out` is as it was.
pub fn put_row(out: &mut Vec<u8>, columns: &[OutColumn], row: &[Datum]) -> Result<(), Mismatch> {
    let start = out.len();
    out.push(token_id::ROW);
    let mut values = row.iter();
    for column in columns {
        let datum = values.next().unwrap_or(&Datum::Null);
        if let Err(mismatch) = put_value(out, column, datum) {
            out.truncate(start);
            return Err(mismatch);
        }
    }
    Ok(())
}

/// Appends DONE, DONEPROC or DONEINPROC (`token`).
pub fn put_done(out: &mut Vec<u8>, token: u8, status: u16, command: u16, count: u64) {
    out.push(token);
    out.extend_from_slice(&status.to_le_bytes());
    out.extend_from_slice(&command.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
}

/// Appends ERROR or INFO (`token`).
pub fn put_message(out: &mut Vec<u8>, token: u8, error: &SqlError) {
    put_with_length(out, token, |out| {
        out.extend_from_slice(&error.number.to_le_bytes());
        out.extend_from_slice(&[error.state, error.class]);
        let units: Vec<u16> = error.message.encode_utf16().take(MESSAGE_UNITS).collect();
        let count = u16::try_from(units.len()).unwrap_or(0);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        put_b_varchar(out, SERVER_NAME);
        put_b_varchar(out, &error.procedure);
        out.extend_from_slice(&error.line.to_le_bytes());
    });
}

/// Appends RETURNSTATUS.
pub fn put_return_status(out: &mut Vec<u8>, status: i32) {
    out.push(token_id::RETURNSTATUS);
    out.extend_from_slice(&status.to_le_bytes());
}

/// Appends RETURNVALUE of parameter `ordinal`.
pub fn put_return_value(
    out: &mut Vec<u8>,
    ordinal: u16,
    column: &OutColumn,
    value: &Datum,
) -> Result<(), Mismatch> {
    let start = out.len();
    out.push(token_id::RETURNVALUE);
    out.extend_from_slice(&ordinal.to_le_bytes());
    put_b_varchar(out, &column.name);
    out.push(1); // an output parameter, not a function's result
    put_column_head(out, column);
    put_value(out, column, value).inspect_err(|_| out.truncate(start))
}

/// Appends an ENVCHANGE of two texts.
pub fn put_env_text(out: &mut Vec<u8>, kind: u8, new: &str, old: &str) {
    put_with_length(out, token_id::ENVCHANGE, |out| {
        out.push(kind);
        put_b_varchar(out, new);
        put_b_varchar(out, old);
    });
}

/// Appends an ENVCHANGE of two byte strings.
pub fn put_env_bytes(out: &mut Vec<u8>, kind: u8, new: &[u8], old: &[u8]) {
    put_with_length(out, token_id::ENVCHANGE, |out| {
        out.push(kind);
        for bytes in [new, old] {
            out.push(u8::try_from(bytes.len()).unwrap_or(0));
            out.extend_from_slice(bytes);
        }
    });
}

/// Appends the ENVCHANGE of a collation.
pub fn put_env_collation(out: &mut Vec<u8>, collation: Collation) {
    put_env_bytes(out, env_change::COLLATION, &collation.0, &[]);
}

/// Appends the ENVCHANGE that sends a login on to another server ([MS-TDS] 2.2.7.9, type 20).
pub fn put_env_routing(out: &mut Vec<u8>, host: &str, port: u16) {
    put_with_length(out, token_id::ENVCHANGE, |out| {
        out.push(env_change::ROUTING);
        let name = utf16(host);
        let mut value = vec![0]; // TCP
        value.extend_from_slice(&port.to_le_bytes());
        value.extend_from_slice(&u16::try_from(name.len() / 2).unwrap_or(0).to_le_bytes());
        value.extend_from_slice(&name);
        out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&value);
        out.extend_from_slice(&[0, 0]); // no old value
    });
}

/// Appends LOGINACK. Versions are big-endian here.
pub fn put_login_ack(out: &mut Vec<u8>, tds_version: u32, program: &str, version: (u8, u8, u16)) {
    put_with_length(out, token_id::LOGINACK, |out| {
        out.push(1); // T-SQL
        out.extend_from_slice(&tds_version.to_be_bytes());
        put_b_varchar(out, program);
        out.extend_from_slice(&[version.0, version.1]);
        out.extend_from_slice(&version.2.to_be_bytes());
    });
}

/// Appends FEATUREEXTACK: UTF-8 is supported.
pub fn put_utf8_acknowledgement(out: &mut Vec<u8>) {
    out.extend_from_slice(&[token_id::FEATUREEXTACK, feature_id::UTF8_SUPPORT, 1, 0, 0, 0, 1]);
    out.push(feature_id::TERMINATOR);
}

/// Appends a token whose body has a 2-byte length.
fn put_with_length(out: &mut Vec<u8>, token: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(token);
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    body(out);
    let length = u16::try_from(out.len() - length_at - 2).expect("messages and names are cut short");
    if let Some(place) = out.get_mut(length_at..length_at + 2) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Appends UTF-16 behind a 1-byte count of units; cut to 255.
fn put_b_varchar(out: &mut Vec<u8>, text: &str) {
    let bytes = utf16(text);
    let units = u8::try_from(bytes.len() / 2).unwrap_or(u8::MAX);
    out.push(units);
    out.extend_from_slice(bytes.get(..usize::from(units) * 2).unwrap_or_default());
}
