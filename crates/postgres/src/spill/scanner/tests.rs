use super::*;

use bytes::{BufMut, Bytes};
use segcdc_model::{Field, Tuple};

use crate::pgoutput::{Message, decode_with};
use crate::replication::FieldForm;
use crate::snapshot::RowDecoder;

/// What a field of a row is to be: NULL, or so many bytes.
const FIELDS: [Option<usize>; 5] =
    [Some(3), None, Some(LARGE_FIELD_BYTES + 5), Some(0), Some(2 * LARGE_FIELD_BYTES)];

/// The bytes of a field.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from((at * 7 + length) % 26).unwrap()).collect()
}

/// A scanner of a message of this length, and the directory of its files.
fn scanner(grammar: Grammar, length: usize) -> (tempfile::TempDir, Scanner) {
    let directory = tempfile::tempdir().unwrap();
    let space = SpillSpace::new(directory.path(), None);
    let share = space.try_claim(length as u64).unwrap();
    (directory, Scanner::new(&space, share, grammar, length))
}

/// A message in pieces of these sizes, by turns.
fn scanned(grammar: Grammar, message: &[u8], pieces: &[usize]) -> (Bytes, Vec<LargeValue>) {
    let (_directory, mut scanner) = scanner(grammar, message.len());
    let mut rest = message;
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        rest = later;
        let mut inbound = BytesMut::from(now);
        if rest.is_empty() {
            inbound.extend_from_slice(b"next message");
        }
        let complete = scanner.take(&mut inbound).unwrap();
        assert_eq!(complete, rest.is_empty());
        if complete {
            assert_eq!(&inbound[..], b"next message");
            break;
        }
        assert!(inbound.is_empty());
    }
    let (mut kept, large) = scanner.finish();
    assert!(kept.len() < 4096, "large fields are not kept");
    (kept.split_off(5).freeze(), large)
}

/// Checks that a row is [`FIELDS`].
fn check(row: &Tuple) {
    for (index, expected) in FIELDS.iter().enumerate() {
        let found = match row.get(index).unwrap() {
            Field::Null => None,
            Field::Text(bytes) | Field::Binary(bytes) => Some(bytes.to_vec()),
            Field::Large(value) => {
                let (mut all, mut block) = (Vec::new(), Vec::new());
                for index in 0.. {
                    value.store().read_block(index, &mut block).unwrap();
                    if block.is_empty() {
                        break;
                    }
                    all.extend_from_slice(&block);
                }
                Some(all)
            }
            Field::UnchangedToast => panic!("nothing is left out"),
        };
        assert!(found == expected.map(content), "field {index}");
    }
}

const PIECES: [&[usize]; 4] = [&[usize::MAX], &[1 << 18], &[1, 100_003, 2, 3], &[19, 7, 65_536]];

#[test]
fn rows_of_copy_come_back_whatever_the_pieces() {
    let mut message = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for _row in 0..2 {
        message.put_i16(5);
        for field in FIELDS {
            message.put_i32(field.map_or(-1, |length| i32::try_from(length).unwrap()));
            message.extend(field.map(content).unwrap_or_default());
        }
    }
    message.put_i16(-1);
    for pieces in PIECES {
        let (kept, large) = scanned(Grammar::CopyHeader, &message, pieces);
        let mut decoder = RowDecoder::new(vec![FieldForm::Binary; 5]);
        let mut rows: Vec<Tuple> = Vec::new();
        decoder.decode_with(&kept, &large, &mut rows).unwrap();
        assert!(decoder.is_at_end());
        assert_eq!(rows.len(), 2);
        rows.iter().for_each(check);
    }
}

#[test]
fn changes_come_back_whatever_the_pieces() {
    let row = |message: &mut Vec<u8>, part: u8| {
        message.put_u8(part);
        message.put_u16(5);
        for field in FIELDS {
            let Some(length) = field else {
                message.put_u8(b'n');
                continue;
            };
            message.put_u8(b't');
            message.put_u32(u32::try_from(length).unwrap());
            message.extend(content(length));
        }
    };
    for in_stream in [false, true] {
        let mut message = vec![b'w'];
        message.extend_from_slice(&[0; 24]);
        message.put_u8(b'U');
        message.extend_from_slice(if in_stream { &[0, 0, 0, 9][..] } else { &[] });
        message.put_u32(77);
        row(&mut message, b'O');
        row(&mut message, b'N');
        for pieces in PIECES {
            let (kept, large) = scanned(Grammar::Changes { in_stream }, &message, pieces);
            let decoded = decode_with(kept.slice(25..), &large, in_stream).unwrap();
            let Message::Update { oid: 77, old: Some(old), new, .. } = decoded else { panic!("{decoded:?}") };
            check(old.tuple());
            check(&new);
        }
    }
}

#[test]
fn content_of_a_logical_message_is_not_kept() {
    let mut message = vec![b'w'];
    message.extend_from_slice(&[0; 24]);
    message.extend_from_slice(b"M\0");
    message.put_u64(5);
    message.extend_from_slice(b"prefix\0");
    message.put_u32(3 << 20);
    message.extend(content(3 << 20));
    let (kept, large) = scanned(Grammar::Changes { in_stream: false }, &message, &[65_537]);
    let decoded = decode_with(kept.slice(25..), &large, false).unwrap();
    assert!(matches!(decoded, Message::Logical { prefix, .. } if prefix == "prefix"));
}

#[test]
fn many_fields_of_medium_size_are_not_all_kept() {
    let mut message = Vec::new();
    message.put_i16(100);
    for _field in 0..100 {
        message.put_i32(500_000);
        message.extend(vec![b'x'; 500_000]);
    }
    let (_directory, mut scanner) = scanner(Grammar::CopyRow, message.len());
    assert!(scanner.take(&mut BytesMut::from(&message[..])).unwrap());
    let (kept, large) = scanner.finish();
    assert!(kept.len() < KEPT_BYTES + LARGE_FIELD_BYTES);
    assert!(large.len() > 85);
}

#[test]
fn directory_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut message = BytesMut::new();
    message.put_i16(1);
    message.put_i32(2 << 20);
    message.extend_from_slice(&[0; 4096]);
    let space = SpillSpace::new(file.path(), Some(8 << 20));
    let share = space.try_claim(2 << 20).unwrap();
    let mut scanner = Scanner::new(&space, share, Grammar::CopyRow, 6 + (2 << 20));
    let error = crate::wire::lost(scanner.take(&mut message).unwrap_err());
    assert_eq!(segcdc_model::Fault::code(&error), "SPILL_FAILED");
}
