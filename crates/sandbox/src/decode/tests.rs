//! What the client encodes is decoded here, which shares no code with its encoder.

use proptest::prelude::*;
use segcdc_tds::bulk::{BulkColumn, column_metadata};
use segcdc_tds::rpc::{Parameter, encode_execute_sql};
use segcdc_tds::types::{PLP_UNKNOWN_LENGTH, procedure_id, token_id};
use segcdc_tds::{Collation, ColumnType, Datum, Len, RowEncoder};

use super::bulk::{BulkError, Piece, RowDecoder};
use super::rpc::{self, Procedure};
use super::value::Invalid;
use crate::answer::OutColumn;

/// A nullable column in a UTF-8 collation.
fn column(column_type: ColumnType) -> BulkColumn {
    let collation = Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8;
    BulkColumn { name: "c".to_owned(), column_type, nullable: true, collation }
}

/// The types of the stream that [`stream`] makes.
const TYPES: [ColumnType; 15] = [
    ColumnType::Bit,
    ColumnType::TinyInt,
    ColumnType::BigInt,
    ColumnType::Real,
    ColumnType::Float,
    ColumnType::Decimal { precision: 30, scale: 4 },
    ColumnType::NVarChar(Len::Limited(100)),
    ColumnType::NVarChar(Len::Max),
    ColumnType::VarChar(Len::Limited(400)),
    ColumnType::VarBinary(Len::Max),
    ColumnType::Date,
    ColumnType::Time(6),
    ColumnType::DateTime2(3),
    ColumnType::DateTimeOffset(6),
    ColumnType::UniqueIdentifier,
];

/// A row for [`TYPES`].
#[derive(Debug, Clone)]
struct Row {
    int: i64,
    text: String,
    bytes: Vec<u8>,
    days: u32,
    microseconds: u64,
    nulls: bool,
}

/// Some row.
fn row() -> impl Strategy<Value = Row> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    (any::<i64>(), "\\PC{0,50}", bytes, 0u32..3_652_058, 0u64..86_400_000_000, any::<bool>()).prop_map(
        |(int, text, bytes, days, microseconds, nulls)| Row { int, text, bytes, days, microseconds, nulls },
    )
}

/// The bytes that a client sends for rows, and the values that should arrive.
fn stream(rows: &[Row]) -> (Vec<u8>, Vec<Vec<Datum>>) {
    let columns = TYPES.map(column);
    let mut encoder = RowEncoder::new(&columns);
    let mut expected = Vec::new();
    for row in rows {
        encoder.begin_row();
        if row.nulls {
            for _ in TYPES {
                encoder.null().unwrap();
            }
            encoder.end_row().unwrap();
            expected.push(vec![Datum::Null; TYPES.len()]);
            continue;
        }
        let Row { int, text, bytes, days, microseconds, .. } = row;
        let magnitude = u128::from(int.unsigned_abs());
        let tiny = u8::try_from(days % 256).unwrap();
        let uuid = std::array::from_fn(|i| u8::try_from(i).unwrap().wrapping_mul(tiny));
        encoder.bit(int % 2 == 0).unwrap();
        encoder.int(i64::from(tiny)).unwrap();
        encoder.int(*int).unwrap();
        encoder.real(1.5).unwrap();
        encoder.float(-0.25).unwrap();
        encoder.decimal(*int < 0, magnitude, 4).unwrap();
        encoder.text(text).unwrap();
        encoder.text(text).unwrap();
        encoder.text(text).unwrap();
        encoder.bytes(bytes).unwrap();
        encoder.date(*days).unwrap();
        encoder.time(*microseconds).unwrap();
        encoder.datetime2(*days, microseconds / 1000 * 1000).unwrap();
        encoder.datetimeoffset(*days, *microseconds).unwrap();
        encoder.uuid(uuid).unwrap();
        encoder.end_row().unwrap();
        let text = Datum::Text(text.clone());
        expected.push(vec![
            Datum::Bit(int % 2 == 0),
            Datum::Int(i64::from(tiny)),
            Datum::Int(*int),
            Datum::Real(1.5),
            Datum::Float(-0.25),
            Datum::Decimal { negative: *int < 0, magnitude, precision: 30, scale: 4 },
            text.clone(),
            text.clone(),
            text,
            Datum::Bytes(bytes.clone()),
            Datum::Date(*days),
            Datum::Time { ticks: *microseconds, scale: 6 },
            Datum::DateTime2 { days: *days, ticks: microseconds / 1000, scale: 3 },
            Datum::DateTimeOffset { days: *days, ticks: *microseconds, scale: 6, offset_minutes: 0 },
            Datum::Uuid(uuid),
        ]);
    }
    let mut bytes = column_metadata(&columns).unwrap();
    bytes.extend_from_slice(encoder.encoded());
    bytes.extend_from_slice(&[token_id::DONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    (bytes, expected)
}

/// Feeds a stream in pieces of `size` bytes; the columns and the rows.
fn feed(bytes: &[u8], size: usize) -> Result<(Vec<OutColumn>, Vec<Vec<Datum>>), BulkError> {
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    let mut decoder = RowDecoder::default();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        loop {
            match decoder.advance()? {
                Piece::Columns(found) => columns = found,
                Piece::Row(row) => rows.push(row),
                Piece::Incomplete => break,
            }
        }
    }
    assert!(decoder.is_complete());
    Ok((columns, rows))
}

proptest! {
    #[test]
    fn bulk_rows_arrive_however_they_are_cut(
        rows in proptest::collection::vec(row(), 0..6), size in 1usize..700
    ) {
        let (bytes, expected) = stream(&rows);
        let (columns, rows) = feed(&bytes, size).unwrap();
        prop_assert_eq!(columns.iter().map(|column| column.column_type).collect::<Vec<_>>(), TYPES);
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn any_bytes_are_rows_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = RowDecoder::default();
        let mut metadata = column_metadata(&TYPES.map(column)).unwrap();
        metadata.push(token_id::ROW);
        decoder.feed(&metadata);
        decoder.feed(&bytes);
        while let Ok(Piece::Row(_) | Piece::Columns(_)) = decoder.advance() {}
    }

    #[test]
    fn any_bytes_are_calls_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _decoded = rpc::decode(&bytes);
        let _decoded = super::request::decode_transaction(&bytes);
    }

    #[test]
    fn parameters_arrive(number in any::<i64>(), text in "\\PC{0,5000}", bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let parameters = [
            Parameter::BigInt(Some(number)),
            Parameter::NVarChar(Some(&text)),
            Parameter::VarBinary(Some(&bytes)),
            Parameter::Bit(None),
            Parameter::Decimal { value: Some((true, 15)), scale: 1 },
        ];
        let collation = Collation::SQL_LATIN1_GENERAL_CP1_CI_AS;
        let payload = encode_execute_sql("SELECT @P1", &parameters, 9, collation).unwrap();
        let calls = rpc::decode(&payload).unwrap();
        prop_assert_eq!(calls.len(), 1);
        prop_assert_eq!(&calls[0].procedure, &Procedure::Number(procedure_id::EXECUTE_SQL));
        let values: Vec<_> = calls[0].parameters.iter().map(|one| one.value.clone().unwrap()).collect();
        prop_assert_eq!(&values[0], &Datum::Text("SELECT @P1".to_owned()));
        let declared = super::declaration::parse(values[1].as_text().unwrap());
        prop_assert_eq!(declared.len(), 5);
        for (declared, sent) in declared.iter().zip(&calls[0].parameters[2..]) {
            prop_assert_eq!((&declared.name, declared.column_type), (&sent.name, Some(sent.declared.column_type)));
        }
        prop_assert_eq!(&values[2..], &[
            Datum::Int(number),
            Datum::Text(text),
            Datum::Bytes(bytes),
            Datum::Null,
            Datum::Decimal { negative: true, magnitude: 15, precision: 38, scale: 1 },
        ]);
    }
}

/// The error of one value of a type, given its bytes as they travel.
fn refused(column_type: ColumnType, value: &[u8]) -> Invalid {
    let mut bytes = column_metadata(&[column(column_type)]).unwrap();
    bytes.push(token_id::ROW);
    bytes.extend_from_slice(value);
    match feed(&bytes, 1000) {
        Err(BulkError::Value { column: 0, invalid }) => invalid,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn values_that_their_type_does_not_have_are_refused() {
    let nan = f64::NAN.to_le_bytes();
    assert_eq!(refused(ColumnType::Float, &[&[8], &nan[..]].concat()), Invalid::Value);
    assert_eq!(refused(ColumnType::Date, &[3, 0xFF, 0xFF, 0xFF]), Invalid::Value);
    let hundred = [&[17, 1, 100], &[0u8; 15][..]].concat();
    assert_eq!(refused(ColumnType::Decimal { precision: 2, scale: 0 }, &hundred), Invalid::Value);
    assert_eq!(refused(ColumnType::Int, &[2, 0, 0]), Invalid::Length);
    assert_eq!(refused(ColumnType::NVarChar(Len::Limited(1)), &[4, 0, b'a', 0, b'b', 0]), Invalid::Length);
    assert_eq!(refused(ColumnType::NVarChar(Len::Limited(2)), &[1, 0, b'a']), Invalid::Length);
    assert_eq!(refused(ColumnType::Time(0), &[3, 0x80, 0x51, 1]), Invalid::Value, "24:00:00");
}

#[test]
fn rows_with_a_null_bitmap_arrive() {
    let mut bytes = column_metadata(&[column(ColumnType::Int), column(ColumnType::BigInt)]).unwrap();
    bytes.extend_from_slice(&[token_id::NBCROW, 0b10, 4, 7, 0, 0, 0]);
    assert_eq!(feed(&bytes, 3).unwrap().1, [[Datum::Int(7), Datum::Null]]);
}

#[test]
fn long_value_in_many_small_pieces_arrives() {
    let mut bytes = column_metadata(&[column(ColumnType::VarBinary(Len::Max))]).unwrap();
    bytes.push(token_id::ROW);
    bytes.extend_from_slice(&PLP_UNKNOWN_LENGTH.to_le_bytes());
    for _ in 0..50_000 {
        bytes.extend_from_slice(&[3, 0, 0, 0, 1, 2, 3]);
    }
    bytes.extend_from_slice(&[0; 4]);
    let (_, rows) = feed(&bytes, 4088).unwrap();
    assert_eq!(rows, [[Datum::Bytes([1, 2, 3].repeat(50_000))]]);
}

#[test]
fn stream_that_ends_inside_a_row_is_not_complete() {
    let mut decoder = RowDecoder::default();
    decoder.feed(&column_metadata(&[column(ColumnType::Int)]).unwrap());
    assert!(matches!(decoder.advance(), Ok(Piece::Columns(_))));
    assert!(decoder.is_complete());
    decoder.feed(&[token_id::ROW, 4, 0]);
    assert_eq!(decoder.advance(), Ok(Piece::Incomplete));
    assert!(!decoder.is_complete());
}
