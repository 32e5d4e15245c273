//! SQL batches and requests to the transaction manager ([MS-TDS] 2.2.6.7, 2.2.6.9).

use segcdc_tds::reader::{DecodeError, Reader, utf16};
use segcdc_tds::types::transaction_request;

use crate::decode::type_info::malformed;

/// A request to the transaction manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionRequest {
    /// Begin.
    Begin(Begin),
    /// Commit, and then perhaps begin another.
    Commit(Option<Begin>),
    /// Roll back all, or to the savepoint, and then perhaps begin another.
    Rollback {
        /// Savepoint; empty for all.
        name: String,
        /// What to begin.
        next: Option<Begin>,
    },
    /// Set a savepoint.
    Save {
        /// Its name.
        name: String,
    },
    /// Something with the distributed transaction coordinator.
    Distributed(u16),
}

/// How a transaction is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// 0 as it is, 1 read uncommitted, 2 read committed, 3 repeatable read, 4 serializable, 5 snapshot.
    pub isolation: u8,
    /// Name, mostly empty.
    pub name: String,
}

/// Skips ALL_HEADERS.
pub fn skip_headers(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let total = reader.u32()?;
    let length = usize::try_from(total).ok().and_then(|total| total.checked_sub(4));
    match length {
        Some(length) => reader.take(length).map(drop),
        None => malformed("ALL_HEADERS is shorter than its length"),
    }
}

/// The text of an SQL batch.
pub fn decode_batch(payload: &[u8]) -> Result<String, DecodeError> {
    let mut reader = Reader::new(payload);
    skip_headers(&mut reader)?;
    Ok(utf16(reader.rest()))
}

/// A request to the transaction manager.
pub fn decode_transaction(payload: &[u8]) -> Result<TransactionRequest, DecodeError> {
    let mut reader = Reader::new(payload);
    skip_headers(&mut reader)?;
    Ok(match reader.u16()? {
        transaction_request::BEGIN => TransactionRequest::Begin(begin(&mut reader)?),
        transaction_request::COMMIT => {
            name(&mut reader)?;
            TransactionRequest::Commit(next(&mut reader)?)
        }
        transaction_request::ROLLBACK => {
            let name = name(&mut reader)?;
            TransactionRequest::Rollback { name, next: next(&mut reader)? }
        }
        transaction_request::SAVE => TransactionRequest::Save { name: name(&mut reader)? },
        other @ (transaction_request::GET_DTC_ADDRESS
        | transaction_request::PROPAGATE
        | transaction_request::PROMOTE) => TransactionRequest::Distributed(other),
        other => return malformed(format!("unknown transaction request {other}")),
    })
}

/// Isolation level and name.
fn begin(reader: &mut Reader<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin { isolation: reader.u8()?, name: name(reader)? })
}

/// The flag that asks for another transaction, and that.
fn next(reader: &mut Reader<'_>) -> Result<Option<Begin>, DecodeError> {
    if reader.is_empty() || reader.u8()? & 1 == 0 { Ok(None) } else { begin(reader).map(Some) }
}

/// A name behind a 1-byte length in bytes.
fn name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.b_bytes().map(utf16)
}
