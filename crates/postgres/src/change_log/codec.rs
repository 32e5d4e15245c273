//! Changes as bytes and back: each as pgoutput would say it in a streamed block, with its length in front, and with the
//! place of its table in the log instead of the OID.
//!
//! What the decoder of the stream reads was read by it before, so nothing that arrives can fail to come back.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use segcdc_model::{Change, Field, LargeValue, OldTuple, Relation, Tuple};

use super::{Relations, TaggedChange};
use crate::pgoutput::{Message, decode_with};

/// Bytes of the length in front of a change.
const LENGTH_BYTES: usize = 4;

/// Takes a large field; returns its place among the log's large fields.
pub(super) type Annexed<'a> = dyn FnMut(&LargeValue) -> io::Result<u32> + 'a;

/// Appends a change to `out`.
pub(super) fn encode(
    tagged: &TaggedChange,
    relations: &mut Relations,
    annexed: &mut Annexed<'_>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let start = out.len();
    out.put_u32(0);
    let mut head = |kind: u8, relation: &Arc<Relation>, out: &mut Vec<u8>| {
        out.put_u8(kind);
        out.put_u32(tagged.subxid);
        out.put_u32(relations.place(relation));
    };
    match &tagged.change {
        Change::Insert { relation, new } => {
            head(b'I', relation, out);
            out.put_u8(b'N');
            put_tuple(new, annexed, out)?;
        }
        Change::Update { relation, old, new } => {
            head(b'U', relation, out);
            if let Some(old) = old {
                put_old(old, annexed, out)?;
            }
            out.put_u8(b'N');
            put_tuple(new, annexed, out)?;
        }
        Change::Delete { relation, old } => {
            head(b'D', relation, out);
            put_old(old, annexed, out)?;
        }
        Change::Truncate { relations: emptied } => {
            out.put_u8(b'T');
            out.put_u32(tagged.subxid);
            out.put_u32(length_of(emptied.len())?);
            out.put_u8(0);
            for relation in emptied {
                out.put_u32(relations.place(relation));
            }
        }
    }
    let length = length_of(out.len() - start - LENGTH_BYTES)?;
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// The changes in `bytes` of those subtransactions that are `wanted`. They share the memory of `bytes`.
pub(super) fn decode(
    bytes: &Bytes,
    relations: &[Arc<Relation>],
    large: &[LargeValue],
    wanted: impl Fn(u32) -> bool,
) -> io::Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = rest.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
        let end = length.map(|length| at + LENGTH_BYTES + length).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| damaged("a change in a part of a transaction has no end"))?;
        let message = decode_with(bytes.slice(at + LENGTH_BYTES..end), large, true)
            .map_err(|error| damaged(error.to_string()))?;
        if let Some(change) = change(message, relations, &wanted)? {
            changes.push(change);
        }
        at = end;
    }
    Ok(changes)
}

/// The change that a message of the log says, if it is wanted.
fn change(
    message: Message,
    relations: &[Arc<Relation>],
    wanted: impl Fn(u32) -> bool,
) -> io::Result<Option<Change>> {
    let relation = |place: u32| {
        let known = relations.get(place as usize).cloned();
        known.ok_or_else(|| damaged("a part of a transaction names a table that it does not have"))
    };
    let is_wanted = |xid: Option<u32>| wanted(xid.unwrap_or_default());
    Ok(match message {
        Message::Insert { xid, oid, new } if is_wanted(xid) => {
            Some(Change::Insert { relation: relation(oid)?, new })
        }
        Message::Update { xid, oid, old, new } if is_wanted(xid) => {
            Some(Change::Update { relation: relation(oid)?, old, new })
        }
        Message::Delete { xid, oid, old } if is_wanted(xid) => {
            Some(Change::Delete { relation: relation(oid)?, old })
        }
        Message::Truncate { xid, oids } if is_wanted(xid) => {
            Some(Change::Truncate { relations: oids.into_iter().map(relation).collect::<io::Result<_>>()? })
        }
        Message::Insert { .. }
        | Message::Update { .. }
        | Message::Delete { .. }
        | Message::Truncate { .. } => None,
        _ => return Err(damaged("a part of a transaction holds something else than changes")),
    })
}

fn put_old(old: &OldTuple, annexed: &mut Annexed<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    out.put_u8(match old {
        OldTuple::Key(_) => b'K',
        OldTuple::Full(_) => b'O',
    });
    put_tuple(old.tuple(), annexed, out)
}

fn put_tuple(tuple: &Tuple, annexed: &mut Annexed<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    out.put_u16(u16::try_from(tuple.len()).map_err(|_| damaged("a row has too many fields"))?);
    for field in tuple.fields() {
        match field {
            Field::Null => out.put_u8(b'n'),
            Field::UnchangedToast => out.put_u8(b'u'),
            Field::Text(bytes) => put_bytes(b't', bytes, out)?,
            Field::Binary(bytes) => put_bytes(b'b', bytes, out)?,
            Field::Large(value) => {
                out.put_u8(b'T');
                out.put_u32(annexed(value)?);
            }
        }
    }
    Ok(())
}

fn put_bytes(kind: u8, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.put_u8(kind);
    out.put_u32(length_of(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn length_of(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| damaged("a transaction has a part that is too long"))
}

/// What cannot be, unless the disk or the memory is at fault.
pub(super) fn damaged(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}
