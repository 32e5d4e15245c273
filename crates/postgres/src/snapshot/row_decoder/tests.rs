use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use segcdc_model::Field;

use super::*;

const FORMS: [FieldForm; 3] = [FieldForm::Binary, FieldForm::Text, FieldForm::Binary];

type Fields = [Option<Vec<u8>>; 3];

fn put_header(buffer: &mut BytesMut, extension: &[u8]) {
    buffer.put_slice(SIGNATURE);
    buffer.put_u32(0);
    buffer.put_u32(u32::try_from(extension.len()).unwrap());
    buffer.put_slice(extension);
}

fn put_row(buffer: &mut BytesMut, fields: &Fields) {
    buffer.put_i16(3);
    for field in fields {
        match field {
            None => buffer.put_i32(-1),
            Some(bytes) => {
                buffer.put_i32(i32::try_from(bytes.len()).unwrap());
                buffer.put_slice(bytes);
            }
        }
    }
}

fn assert_row(row: &Tuple, fields: &Fields) {
    for ((found, expected), form) in row.fields().zip(fields).zip(FORMS) {
        let expected = match (expected, form) {
            (None, _) => Field::Null,
            (Some(bytes), FieldForm::Text) => Field::Text(bytes),
            (Some(bytes), FieldForm::Binary) => Field::Binary(bytes),
        };
        assert_eq!(found, expected);
    }
    assert_eq!(row.len(), fields.len());
}

fn decode(message: impl Into<Bytes>) -> Result<Vec<Tuple>, CopyDecodeError> {
    let mut rows = Vec::new();
    RowDecoder::new(FORMS).decode(&message.into(), &mut rows)?;
    Ok(rows)
}

#[test]
fn what_is_not_the_binary_format_is_refused() {
    assert_eq!(decode("1\ttext\t\\N\n and more"), Err(CopyDecodeError::Header));
    let mut with_oids = BytesMut::from(&SIGNATURE[..]);
    with_oids.put_u32(1 << 16);
    with_oids.put_u32(0);
    assert_eq!(decode(with_oids), Err(CopyDecodeError::Header));
    assert_eq!(decode(""), Err(CopyDecodeError::Truncated { at: 0 }));
}

#[test]
fn rows_of_another_shape_are_refused() {
    let check = |tail: &[u8], expected| {
        let mut message = BytesMut::new();
        put_header(&mut message, b"");
        message.put_slice(tail);
        assert_eq!(decode(message), Err(expected));
    };
    check(b"\0\x02", CopyDecodeError::FieldCount { found: 2, expected: 3 });
    check(b"\xff\xfe", CopyDecodeError::FieldCount { found: -2, expected: 3 });
    check(b"\0\x03\xff\xff\xff\xfe", CopyDecodeError::FieldLength { at: 21, length: -2 });
    check(b"\0\x03\x7f\xff\xff\xff", CopyDecodeError::Truncated { at: 25 });
    check(b"\xff\xff\0", CopyDecodeError::BehindEnd);
}

#[test]
fn nothing_may_follow_the_trailer() {
    let mut message = BytesMut::new();
    put_header(&mut message, b"");
    message.put_i16(-1);
    let mut decoder = RowDecoder::new(FORMS);
    let mut rows: Vec<Tuple> = Vec::new();
    decoder.decode(&message.freeze(), &mut rows).unwrap();
    assert!(decoder.is_at_end());
    assert_eq!(decoder.decode(&Bytes::from_static(b"\0\x03"), &mut rows), Err(CopyDecodeError::BehindEnd));
}

fn fields() -> impl Strategy<Value = Fields> {
    let field = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30));
    (field(), field(), field()).prop_map(|(first, second, third)| [first, second, third])
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were_written(
        rows in proptest::collection::vec(fields(), 0..10),
        extension in proptest::collection::vec(any::<u8>(), 0..10),
        together in any::<bool>(),
    ) {
        let mut messages = Vec::new();
        let mut message = BytesMut::new();
        put_header(&mut message, &extension);
        for row in &rows {
            put_row(&mut message, row);
            if !together {
                messages.push(message.split().freeze());
            }
        }
        message.put_i16(-1);
        messages.push(message.freeze());
        let mut decoder = RowDecoder::new(FORMS);
        let mut found: Vec<Tuple> = Vec::new();
        for message in &messages {
            prop_assert!(!decoder.is_at_end());
            decoder.decode(message, &mut found).unwrap();
        }
        prop_assert!(decoder.is_at_end());
        prop_assert_eq!(found.len(), rows.len());
        for (found, row) in found.iter().zip(&rows) {
            assert_row(found, row);
        }
    }

    #[test]
    fn row_that_is_cut_is_refused(row in fields(), cut in any::<proptest::sample::Index>()) {
        let mut message = BytesMut::new();
        put_header(&mut message, b"");
        let header = message.len();
        put_row(&mut message, &row);
        let length = header + 1 + cut.index(message.len() - header - 1);
        let is_cut = matches!(decode(message.freeze().slice(..length)), Err(CopyDecodeError::Truncated { .. }));
        prop_assert!(is_cut);
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        with_header in any::<bool>(),
        with_count in any::<bool>(),
    ) {
        let mut message = BytesMut::new();
        if with_header {
            put_header(&mut message, b"");
        }
        if with_count {
            message.put_i16(3);
        }
        message.put_slice(&bytes);
        drop(decode(message));
    }
}
