//! Procedure calls ([MS-TDS] 2.2.6.6).

use segcdc_tds::Datum;
use segcdc_tds::reader::{DecodeError, Reader, utf16};

use crate::decode::request::skip_headers;
use crate::decode::type_info::{Declared, Place};
use crate::decode::value::{self, Invalid};

/// Between two calls of one message; TDS 7.2 and later.
const BATCH_FLAG: u8 = 0xFF;

/// Between two calls; the one behind it is not to be run.
const NO_EXEC_FLAG: u8 = 0xFE;

/// Instead of a name: a procedure's number follows.
const BY_NUMBER: u16 = 0xFFFF;

/// Bit of a parameter's status: the caller wants it back.
const BY_REFERENCE: u8 = 0x01;

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Procedure {
    /// By name.
    Name(String),
    /// One of [`segcdc_tds::types::procedure_id`].
    Number(u16),
}

/// A parameter as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcParameter {
    /// `@name`, or empty.
    pub name: String,
    /// Whether the caller wants it back.
    pub output: bool,
    /// Its type.
    pub declared: Declared,
    /// Its value, or that it is none of its type.
    pub value: Result<Datum, Invalid>,
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is called.
    pub procedure: Procedure,
    /// With what.
    pub parameters: Vec<RpcParameter>,
}

/// All calls of a message.
pub fn decode(payload: &[u8]) -> Result<Vec<Call>, DecodeError> {
    let mut reader = Reader::new(payload);
    skip_headers(&mut reader)?;
    let mut calls = Vec::new();
    while !reader.is_empty() {
        calls.push(call(&mut reader)?);
    }
    Ok(calls)
}

/// One call and the flag behind it.
fn call(reader: &mut Reader<'_>) -> Result<Call, DecodeError> {
    let procedure = match reader.u16()? {
        BY_NUMBER => Procedure::Number(reader.u16()?),
        units => Procedure::Name(reader.take(usize::from(units) * 2).map(utf16)?),
    };
    reader.u16()?; // options: recompile, no metadata
    let mut parameters = Vec::new();
    while let Some(first) = reader.rest().first().copied() {
        if matches!(first, BATCH_FLAG | NO_EXEC_FLAG) {
            reader.u8()?;
            break;
        }
        parameters.push(parameter(reader)?);
    }
    Ok(Call { procedure, parameters })
}

/// Name, status, type and value.
fn parameter(reader: &mut Reader<'_>) -> Result<RpcParameter, DecodeError> {
    let name = reader.b_varchar()?;
    let status = reader.u8()?;
    let declared = Declared::decode(reader, Place::Parameter)?;
    let bytes = value::take(declared.framing, reader)?;
    let value = value::decode(&declared, bytes.as_deref());
    Ok(RpcParameter { name, output: status & BY_REFERENCE != 0, declared, value })
}
