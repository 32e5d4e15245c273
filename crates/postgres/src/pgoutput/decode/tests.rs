use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use segcdc_model::{Field, Lsn};

use super::*;
use crate::pgoutput::{Envelope, decode_envelope};

/// A message under construction.
fn message(kind: u8) -> BytesMut {
    BytesMut::from(&[kind][..])
}

fn put_string(buffer: &mut BytesMut, text: &str) {
    buffer.put_slice(text.as_bytes());
    buffer.put_u8(0);
}

/// One field as a test writes it.
#[derive(Debug, Clone)]
enum Part {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

fn put_tuple(buffer: &mut BytesMut, parts: &[Part]) {
    buffer.put_u16(u16::try_from(parts.len()).unwrap());
    for part in parts {
        let (kind, bytes) = match part {
            Part::Null => (b'n', None),
            Part::Unchanged => (b'u', None),
            Part::Text(bytes) => (b't', Some(bytes)),
            Part::Binary(bytes) => (b'b', Some(bytes)),
        };
        buffer.put_u8(kind);
        if let Some(bytes) = bytes {
            buffer.put_u32(u32::try_from(bytes.len()).unwrap());
            buffer.put_slice(bytes);
        }
    }
}

fn assert_tuple(tuple: &Tuple, parts: &[Part]) {
    assert_eq!(tuple.len(), parts.len());
    for (field, part) in tuple.fields().zip(parts) {
        let expected = match part {
            Part::Null => Field::Null,
            Part::Unchanged => Field::UnchangedToast,
            Part::Text(bytes) => Field::Text(bytes),
            Part::Binary(bytes) => Field::Binary(bytes),
        };
        assert_eq!(field, expected);
    }
}

#[test]
fn transaction_frame_is_read() {
    let mut begin = message(b'B');
    begin.put_u64(0x1_0000_0002);
    begin.put_i64(7);
    begin.put_u32(99);
    let expected = Message::Begin { final_lsn: Lsn::new(0x1_0000_0002), commit_time_us: 7, xid: 99 };
    assert_eq!(decode(begin.freeze(), false), Ok(expected));
    let mut commit = message(b'C');
    commit.put_u8(0);
    commit.put_u64(1);
    commit.put_u64(2);
    commit.put_i64(-3);
    let expected = Message::Commit(Position { lsn: Lsn::new(1), end_lsn: Lsn::new(2), time_us: -3 });
    assert_eq!(decode(commit.freeze(), false), Ok(expected));
}

#[test]
fn relation_is_read_with_keys_and_catalog_schema() {
    let mut bytes = message(b'R');
    bytes.put_u32(16384);
    put_string(&mut bytes, "");
    put_string(&mut bytes, "täble");
    bytes.put_u8(b'f');
    bytes.put_u16(2);
    for (flags, name) in [(1, "id"), (0, "a b")] {
        bytes.put_u8(flags);
        put_string(&mut bytes, name);
        bytes.put_u32(23);
        bytes.put_i32(-1);
    }
    let Message::Relation { xid: None, relation } = decode(bytes.freeze(), false).unwrap() else {
        panic!("not a relation")
    };
    assert_eq!(relation.name, QualifiedName::new("pg_catalog", "täble"));
    assert_eq!(relation.replica_identity, ReplicaIdentity::Full);
    assert_eq!(relation.columns.iter().map(|column| column.key).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn truncate_names_all_tables() {
    let mut bytes = message(b'T');
    bytes.put_u32(2);
    bytes.put_u8(1);
    bytes.put_u32(5);
    bytes.put_u32(6);
    assert_eq!(decode(bytes.freeze(), false), Ok(Message::Truncate { xid: None, oids: vec![5, 6] }));
}

#[test]
fn count_that_the_message_cannot_hold_is_refused_without_reserving() {
    let mut truncate = message(b'T');
    truncate.put_u32(u32::MAX);
    truncate.put_u8(0);
    assert!(matches!(decode(truncate.freeze(), false), Err(DecodeError::Truncated { .. })));
    let mut insert = message(b'I');
    insert.put_u32(1);
    insert.put_slice(b"N\xff\xfft\xff\xff\xff\xff");
    assert!(matches!(decode(insert.freeze(), false), Err(DecodeError::Truncated { .. })));
}

#[test]
fn unknown_kinds_and_trailing_bytes_are_refused() {
    let unknown = decode(Bytes::from_static(b"Z"), false);
    assert_eq!(unknown, Err(DecodeError::UnknownMessage { kind: b'Z' }));
    assert_eq!(decode(Bytes::new(), false), Err(DecodeError::Truncated { at: 0 }));
    assert_eq!(decode(Bytes::from_static(b"E\0"), false), Err(DecodeError::Trailing { at: 1 }));
    let mut insert = message(b'I');
    insert.put_u32(1);
    insert.put_slice(b"N\0\x01x");
    assert!(matches!(decode(insert.freeze(), false), Err(DecodeError::UnknownPart { kind: b'x', .. })));
}

#[test]
fn streamed_changes_carry_their_subtransaction() {
    let mut bytes = message(b'I');
    bytes.put_u32(42);
    bytes.put_u32(1);
    bytes.put_u8(b'N');
    put_tuple(&mut bytes, &[Part::Text(b"x".to_vec())]);
    assert!(matches!(decode(bytes.freeze(), true), Ok(Message::Insert { xid: Some(42), oid: 1, .. })));
    // Protocol 4 lengthens the message.
    for extra in [0, 16] {
        let mut bytes = message(b'A');
        bytes.put_u32(42);
        bytes.put_u32(43);
        bytes.put_bytes(0, extra);
        assert_eq!(decode(bytes.freeze(), false), Ok(Message::StreamAbort { xid: 42, subxid: 43 }));
    }
}

#[test]
fn envelopes_are_read() {
    let mut data = message(b'w');
    data.put_u64(1);
    data.put_u64(2);
    data.put_i64(3);
    data.put_slice(b"payload");
    let expected = Envelope::Data { wal_end: Lsn::new(2), payload: Bytes::from_static(b"payload") };
    assert_eq!(decode_envelope(data.freeze()), Ok(expected));
    let mut keepalive = message(b'k');
    keepalive.put_u64(9);
    keepalive.put_i64(3);
    keepalive.put_u8(1);
    let expected = Envelope::Keepalive { wal_end: Lsn::new(9), reply_requested: true };
    assert_eq!(decode_envelope(keepalive.freeze()), Ok(expected));
    assert!(decode_envelope(Bytes::from_static(b"k\0")).is_err());
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part::Null),
        Just(Part::Unchanged),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Part::Text),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Part::Binary),
    ]
}

proptest! {
    #[test]
    fn updates_come_back_as_they_were_written(
        old in proptest::option::of((any::<bool>(), proptest::collection::vec(part(), 0..12))),
        new in proptest::collection::vec(part(), 0..12),
        xid in proptest::option::of(any::<u32>()),
    ) {
        let mut bytes = message(b'U');
        if let Some(xid) = xid {
            bytes.put_u32(xid);
        }
        bytes.put_u32(17);
        if let Some((full, parts)) = &old {
            bytes.put_u8(if *full { b'O' } else { b'K' });
            put_tuple(&mut bytes, parts);
        }
        bytes.put_u8(b'N');
        put_tuple(&mut bytes, &new);
        let whole = bytes.freeze();
        let Ok(Message::Update { xid: found, oid: 17, old: old_found, new: new_found }) =
            decode(whole.clone(), xid.is_some())
        else {
            panic!("not an update")
        };
        prop_assert_eq!(found, xid);
        assert_tuple(&new_found, &new);
        match (old, old_found) {
            (None, None) => {}
            (Some((true, parts)), Some(OldTuple::Full(tuple)))
            | (Some((false, parts)), Some(OldTuple::Key(tuple))) => assert_tuple(&tuple, &parts),
            _ => panic!("the old row is of another kind"),
        }
        // Cut anywhere, it is an error and never a panic or a shorter row.
        for length in 0..whole.len() {
            prop_assert!(decode(whole.slice(..length), xid.is_some()).is_err());
        }
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        kind in proptest::sample::select(&b"BCORYIUDTMSEcAbPKrpwk"[..]),
        in_stream in any::<bool>(),
    ) {
        let mut whole = vec![kind];
        whole.extend(bytes);
        let whole = Bytes::from(whole);
        drop(decode(whole.clone(), in_stream));
        drop(decode_envelope(whole));
    }
}
