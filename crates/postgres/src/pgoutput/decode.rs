//! Bytes to [`Message`].

use bytes::Bytes;
use segcdc_model::{
    LargeValue, OldTuple, QualifiedName, Relation, RelationColumn, ReplicaIdentity, Tuple, TupleBuilder,
};

use super::message::{Message, Position};
use super::reader::Reader;

/// Most columns of a table (`MaxHeapAttributeNumber` is 1600, but a message can say more); bounds what is reserved
/// before the columns themselves were seen.
const EXPECTED_COLUMNS: usize = 1664;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message ends too early.
    #[error("the message ends at byte {at} in the middle of a field")]
    Truncated {
        /// Where the field begins.
        at: usize,
    },
    /// Something follows the end of the message.
    #[error("the message goes on behind its end at byte {at}")]
    Trailing {
        /// Where it should end.
        at: usize,
    },
    /// A name is not UTF-8.
    #[error("the name at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where the name begins.
        at: usize,
    },
    /// A message type that is not known.
    #[error("the message type {kind:#04x} is unknown")]
    UnknownMessage {
        /// The type byte.
        kind: u8,
    },
    /// A part of a message of a type that is not known or not allowed there.
    #[error("the part {kind:#04x} of a message at byte {at} is not allowed there")]
    UnknownPart {
        /// The type byte.
        kind: u8,
        /// Where it is.
        at: usize,
    },
}

/// Decodes one message of pgoutput. `in_stream` says whether it came between StreamStart and StreamStop, where
/// changes carry the id of their subtransaction. Every message is read to its last byte; StreamAbort may be followed
/// by what parallel streaming adds to it.
pub fn decode(bytes: Bytes, in_stream: bool) -> Result<Message, DecodeError> {
    decode_with(bytes, &[], in_stream)
}

/// As [`decode`], of a message out of which large fields were taken: such a field has the type `T` or `B` and, instead
/// of length and bytes, its place in `large`.
pub(crate) fn decode_with(
    bytes: Bytes,
    large: &[LargeValue],
    in_stream: bool,
) -> Result<Message, DecodeError> {
    let mut reader = Reader::with_large(bytes, large);
    let kind = reader.u8()?;
    let message = match kind {
        b'B' => {
            Message::Begin { final_lsn: reader.lsn()?, commit_time_us: reader.i64()?, xid: reader.u32()? }
        }
        b'C' => Message::Commit(commit_position(&mut reader)?),
        b'O' => {
            reader.lsn()?;
            reader.string()?;
            Message::Origin
        }
        b'R' => Message::Relation {
            xid: subtransaction(&mut reader, in_stream)?,
            relation: relation(&mut reader)?,
        },
        b'Y' => {
            subtransaction(&mut reader, in_stream)?;
            reader.u32()?;
            reader.string()?;
            reader.string()?;
            Message::Type
        }
        b'I' => {
            let (xid, oid) = (subtransaction(&mut reader, in_stream)?, reader.u32()?);
            part(&mut reader, b'N')?;
            Message::Insert { xid, oid, new: tuple(&mut reader)? }
        }
        b'U' => update(&mut reader, in_stream)?,
        b'D' => {
            let (xid, oid) = (subtransaction(&mut reader, in_stream)?, reader.u32()?);
            let at = reader.position();
            let kind = reader.u8()?;
            Message::Delete { xid, oid, old: old_tuple(&mut reader, kind, at)? }
        }
        b'T' => truncate(&mut reader, in_stream)?,
        b'M' => logical(&mut reader, in_stream)?,
        b'S' => Message::StreamStart { xid: reader.u32()?, first: reader.u8()? != 0 },
        b'E' => Message::StreamStop,
        b'c' => Message::StreamCommit { xid: reader.u32()?, position: commit_position(&mut reader)? },
        b'A' => {
            let (xid, subxid) = (reader.u32()?, reader.u32()?);
            // Protocol 4 adds LSN and time of the abort.
            reader.skip(reader.remaining().min(16))?;
            Message::StreamAbort { xid, subxid }
        }
        b'b' | b'P' | b'K' | b'r' | b'p' => {
            reader.skip(reader.remaining())?;
            Message::TwoPhase { kind }
        }
        kind => return Err(DecodeError::UnknownMessage { kind }),
    };
    reader.finish()?;
    Ok(message)
}

/// Flags and position of a commit.
fn commit_position(reader: &mut Reader<'_>) -> Result<Position, DecodeError> {
    let _unused_flags = reader.u8()?;
    Ok(Position { lsn: reader.lsn()?, end_lsn: reader.lsn()?, time_us: reader.i64()? })
}

/// The id of the subtransaction, which only streamed changes carry.
fn subtransaction(reader: &mut Reader<'_>, in_stream: bool) -> Result<Option<u32>, DecodeError> {
    if in_stream { reader.u32().map(Some) } else { Ok(None) }
}

/// The type byte of a part that must be of one type.
fn part(reader: &mut Reader<'_>, expected: u8) -> Result<(), DecodeError> {
    let at = reader.position();
    let kind = reader.u8()?;
    if kind == expected { Ok(()) } else { Err(DecodeError::UnknownPart { kind, at }) }
}

/// A Relation message.
fn relation(reader: &mut Reader<'_>) -> Result<Relation, DecodeError> {
    let oid = reader.u32()?;
    let (schema, name) = (reader.string()?, reader.string()?);
    // An empty schema stands for pg_catalog.
    let schema = if schema.is_empty() { "pg_catalog".to_owned() } else { schema };
    let at = reader.position();
    let replica_identity = match reader.u8()? {
        b'd' => ReplicaIdentity::Default,
        b'i' => ReplicaIdentity::Index,
        b'f' => ReplicaIdentity::Full,
        b'n' => ReplicaIdentity::Nothing,
        kind => return Err(DecodeError::UnknownPart { kind, at }),
    };
    let count = usize::from(reader.u16()?);
    let mut columns = Vec::with_capacity(count.min(EXPECTED_COLUMNS));
    for _ in 0..count {
        columns.push(RelationColumn {
            key: reader.u8()? & 1 != 0,
            name: reader.string()?,
            type_oid: reader.u32()?,
            type_modifier: reader.i32()?,
        });
    }
    Ok(Relation { oid, name: QualifiedName::new(schema, name), replica_identity, columns })
}

/// An Update message.
fn update(reader: &mut Reader<'_>, in_stream: bool) -> Result<Message, DecodeError> {
    let (xid, oid) = (subtransaction(reader, in_stream)?, reader.u32()?);
    let at = reader.position();
    let old = match reader.u8()? {
        b'N' => None,
        kind => {
            let old = old_tuple(reader, kind, at)?;
            part(reader, b'N')?;
            Some(old)
        }
    };
    Ok(Message::Update { xid, oid, old, new: tuple(reader)? })
}

/// The row before a change; `kind` was read at `at`.
fn old_tuple(reader: &mut Reader<'_>, kind: u8, at: usize) -> Result<OldTuple, DecodeError> {
    match kind {
        b'K' => Ok(OldTuple::Key(tuple(reader)?)),
        b'O' => Ok(OldTuple::Full(tuple(reader)?)),
        kind => Err(DecodeError::UnknownPart { kind, at }),
    }
}

/// TupleData: fields that share the message's memory.
fn tuple(reader: &mut Reader<'_>) -> Result<Tuple, DecodeError> {
    let count = usize::from(reader.u16()?);
    // Offsets are counted from the first field, so that an old and a new row of one message are accounted once each.
    let base = reader.position();
    let mut builder = TupleBuilder::new(reader.bytes().slice(base..tuple_end(reader, count)?), count);
    for _ in 0..count {
        match reader.u8()? {
            b'n' => builder.null(),
            b'u' => builder.unchanged_toast(),
            b'T' | b'B' => builder.large(reader.large()?),
            kind => {
                let length = reader.u32()? as usize;
                let start = reader.position() - base;
                reader.skip(length)?;
                if kind == b't' { builder.text(start, length) } else { builder.binary(start, length) }
            }
        }
    }
    Ok(builder.build())
}

/// Where the row that begins at the reader's position ends; checks its parts.
fn tuple_end(reader: &Reader<'_>, count: usize) -> Result<usize, DecodeError> {
    let mut ahead = Reader::new(reader.bytes().clone());
    ahead.skip(reader.position())?;
    for _ in 0..count {
        let at = ahead.position();
        match ahead.u8()? {
            b'n' | b'u' => {}
            b'T' | b'B' if reader.has_large() => ahead.skip(4)?,
            b't' | b'b' => {
                let length = ahead.u32()? as usize;
                ahead.skip(length)?;
            }
            kind => return Err(DecodeError::UnknownPart { kind, at }),
        }
    }
    Ok(ahead.position())
}

/// A Truncate message.
fn truncate(reader: &mut Reader<'_>, in_stream: bool) -> Result<Message, DecodeError> {
    let xid = subtransaction(reader, in_stream)?;
    let count = reader.u32()? as usize;
    // Options: 1 for CASCADE, 2 for RESTART IDENTITY. The server has already named every table that is emptied.
    let _options = reader.u8()?;
    // Four bytes an OID: a count that the message cannot hold reserves nothing.
    let mut oids = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        oids.push(reader.u32()?);
    }
    Ok(Message::Truncate { xid, oids })
}

/// A Message message.
fn logical(reader: &mut Reader<'_>, in_stream: bool) -> Result<Message, DecodeError> {
    let xid = subtransaction(reader, in_stream)?;
    let flags = reader.u8()?;
    let (lsn, prefix) = (reader.lsn()?, reader.string()?);
    let length = reader.u32()? as usize;
    Ok(Message::Logical { xid, transactional: flags & 1 != 0, lsn, prefix, content: reader.slice(length)? })
}

#[cfg(test)]
mod tests;
