//! What is encoded is decoded again, by the token decoder, from the metadata that goes in front of it.

use proptest::prelude::*;

use super::*;
use crate::bulk::{BulkColumn, column_metadata};
use crate::datum::Datum;
use crate::token::{Token, decode};
use crate::types::Collation;

/// A nullable column.
fn column(column_type: ColumnType) -> BulkColumn {
    let collation = Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8;
    BulkColumn { name: "c".to_owned(), column_type, nullable: true, collation }
}

/// All rows of an encoder, decoded.
fn decode_rows(columns: &[BulkColumn], encoder: &RowEncoder) -> Vec<Vec<Datum>> {
    let metadata = column_metadata(columns).unwrap();
    let Ok((Token::Columns(wire_columns), _)) = decode(&metadata, &[]) else {
        panic!("metadata not decoded")
    };
    let (mut bytes, mut rows) = (encoder.encoded(), Vec::new());
    while !bytes.is_empty() {
        let (token, length) = decode(bytes, &wire_columns).unwrap();
        let Token::Row(row) = token else { panic!("not a row: {token:?}") };
        rows.push(row);
        bytes = &bytes[length..];
    }
    rows
}

/// The value that one call writes, decoded; or why it was refused.
fn one(
    column_type: ColumnType,
    write: impl Fn(&mut RowEncoder) -> Result<(), EncodeError>,
) -> Result<Datum, EncodeError> {
    let columns = [column(column_type)];
    let mut encoder = RowEncoder::new(&columns);
    encoder.begin_row();
    if let Err(refused) = write(&mut encoder) {
        assert_eq!(encoder.buffer, [0xD1], "a refused value writes nothing");
        encoder.null().unwrap();
        encoder.end_row().unwrap();
        assert_eq!(decode_rows(&columns, &encoder), [[Datum::Null]], "another value can be written instead");
        return Err(refused);
    }
    encoder.end_row().unwrap();
    Ok(decode_rows(&columns, &encoder).remove(0).remove(0))
}

/// Every type that rows can hold.
const ALL: [ColumnType; 29] = [
    ColumnType::Bit,
    ColumnType::TinyInt,
    ColumnType::SmallInt,
    ColumnType::Int,
    ColumnType::BigInt,
    ColumnType::Real,
    ColumnType::Float,
    ColumnType::Decimal { precision: 38, scale: 10 },
    ColumnType::SmallMoney,
    ColumnType::Money,
    ColumnType::NVarChar(Len::Limited(10)),
    ColumnType::NVarChar(Len::Max),
    ColumnType::NChar(10),
    ColumnType::VarChar(Len::Limited(10)),
    ColumnType::VarChar(Len::Max),
    ColumnType::Char(10),
    ColumnType::VarBinary(Len::Limited(10)),
    ColumnType::VarBinary(Len::Max),
    ColumnType::Binary(10),
    ColumnType::Xml,
    ColumnType::Date,
    ColumnType::Time(6),
    ColumnType::Time(2),
    ColumnType::DateTime2(6),
    ColumnType::DateTime2(0),
    ColumnType::DateTimeOffset(6),
    ColumnType::DateTime,
    ColumnType::SmallDateTime,
    ColumnType::UniqueIdentifier,
];

#[test]
fn null_of_every_type_round_trips() {
    let columns = ALL.map(column);
    let mut encoder = RowEncoder::new(&columns);
    encoder.begin_row();
    for _ in ALL {
        encoder.null().unwrap();
    }
    encoder.end_row().unwrap();
    assert_eq!(decode_rows(&columns, &encoder), [vec![Datum::Null; ALL.len()]]);
}

#[test]
fn null_of_a_not_null_column_is_refused() {
    let mut encoder = RowEncoder::new(&[BulkColumn { nullable: false, ..column(ColumnType::Int) }]);
    encoder.begin_row();
    assert_eq!(encoder.null(), Err(EncodeError::NotNullable { column: 0 }));
}

#[test]
fn edges_of_every_range_are_kept_and_passed_edges_refused() {
    let out = Err(EncodeError::OutOfRange { column: 0 });
    let int = |column_type, value| one(column_type, |row| row.int(value));
    for (column_type, low, high) in [
        (ColumnType::TinyInt, 0, 255),
        (ColumnType::SmallInt, -32_768, 32_767),
        (ColumnType::Int, i64::from(i32::MIN), i64::from(i32::MAX)),
    ] {
        assert_eq!(
            (int(column_type, low), int(column_type, high)),
            (Ok(Datum::Int(low)), Ok(Datum::Int(high)))
        );
        assert_eq!((int(column_type, low - 1), int(column_type, high + 1)), (out.clone(), out.clone()));
    }
    let day = |days| one(ColumnType::Date, |row| row.date(days));
    assert_eq!(
        (day(0), day(LAST_DAY), day(LAST_DAY + 1)),
        (Ok(Datum::Date(0)), Ok(Datum::Date(LAST_DAY)), out.clone())
    );
    assert_eq!(one(ColumnType::Time(7), |row| row.time(DAY_US)), out);
    let latest = Datum::DateTime2 { days: LAST_DAY, ticks: DAY_US * 10 - 10, scale: 7 };
    assert_eq!(one(ColumnType::DateTime2(7), |row| row.datetime2(LAST_DAY, DAY_US - 1)), Ok(latest));
    assert_eq!(one(ColumnType::DateTime, |row| row.datetime2(FIRST_DATETIME_DAY - 1, 0)), out);
    assert_eq!(one(ColumnType::SmallDateTime, |row| row.datetime2(693_594, 0)), out);
    let decimal = ColumnType::Decimal { precision: 4, scale: 2 };
    let most = Datum::Decimal { negative: true, magnitude: 9999, precision: 4, scale: 2 };
    assert_eq!(one(decimal, |row| row.decimal(true, 9999, 2)), Ok(most));
    assert_eq!(one(decimal, |row| row.decimal(true, 10_000, 2)), out);
    assert_eq!(one(decimal, |row| row.decimal(false, u128::MAX, 0)), out);
    assert_eq!(one(ColumnType::SmallMoney, |row| row.decimal(false, 2_147_483_648, 4)), out);
    let least = Datum::Decimal { negative: true, magnitude: 1 << 63, precision: 19, scale: 4 };
    assert_eq!(one(ColumnType::Money, |row| row.decimal(true, 1 << 63, 4)), Ok(least));
}

#[test]
fn nothing_is_rounded() {
    let inexact = Err(EncodeError::Inexact { column: 0 });
    assert_eq!(one(ColumnType::Time(3), |row| row.time(1_001)), inexact);
    assert_eq!(one(ColumnType::Time(3), |row| row.time(2_000)), Ok(Datum::Time { ticks: 2, scale: 3 }));
    assert_eq!(one(ColumnType::DateTime, |row| row.datetime2(700_000, 1_000)), inexact);
    let shown = Datum::DateTime2 { days: 700_000, ticks: 997, scale: 3 };
    assert_eq!(one(ColumnType::DateTime, |row| row.datetime2(700_000, 997_000)), Ok(shown));
    let decimal = ColumnType::Decimal { precision: 10, scale: 2 };
    assert_eq!(one(decimal, |row| row.decimal(false, 1_005, 3)), inexact);
    let kept = Datum::Decimal { negative: false, magnitude: 101, precision: 10, scale: 2 };
    assert_eq!(one(decimal, |row| row.decimal(false, 1_010, 3)), Ok(kept));
    assert_eq!(one(decimal, |row| row.decimal(false, 1, 200)), inexact);
}

#[test]
fn minus_zero_is_zero() {
    let zero = Datum::Decimal { negative: false, magnitude: 0, precision: 5, scale: 0 };
    let decimal = ColumnType::Decimal { precision: 5, scale: 0 };
    assert_eq!(one(decimal, |row| row.decimal(true, 0, 39)), Ok(zero));
}

#[test]
fn not_a_number_and_infinity_are_refused() {
    for real in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let value = f64::from(real);
        assert_eq!(one(ColumnType::Float, |row| row.float(value)), Err(EncodeError::NotFinite { column: 0 }));
        assert_eq!(one(ColumnType::Real, |row| row.real(real)), Err(EncodeError::NotFinite { column: 0 }));
    }
}

#[test]
fn lengths_count_utf16_units_and_bytes() {
    let ten = ColumnType::NVarChar(Len::Limited(10));
    let five_pairs = "\u{1F600}".repeat(5);
    assert_eq!(one(ten, |row| row.text(&five_pairs)), Ok(Datum::Text(five_pairs.clone())));
    let longer = format!("{five_pairs}x");
    assert_eq!(
        one(ten, |row| row.text(&longer)),
        Err(EncodeError::TooLong { column: 0, length: 11, limit: 10 })
    );
    assert_eq!(
        one(ten, |row| row.text("elevenchars")),
        Err(EncodeError::TooLong { column: 0, length: 11, limit: 10 })
    );
    let binary = ColumnType::VarBinary(Len::Limited(2));
    assert_eq!(
        one(binary, |row| row.bytes(&[1, 2, 3])),
        Err(EncodeError::TooLong { column: 0, length: 3, limit: 2 })
    );
    assert_eq!(
        one(binary, |row| row.hex_bytes("00FfaB")),
        Err(EncodeError::TooLong { column: 0, length: 3, limit: 2 })
    );
    assert_eq!(one(binary, |row| row.hex_bytes("Fa")), Ok(Datum::Bytes(vec![0xFA])));
}

#[test]
fn malformed_hexadecimal_is_refused() {
    for digits in ["0", "0g", "g0", "\u{E9}", "0x"] {
        let refused = one(ColumnType::VarBinary(Len::Max), |row| row.hex_bytes(digits));
        assert_eq!(refused, Err(EncodeError::WrongKind { column: 0 }), "{digits}");
    }
}

#[test]
fn varchar_of_another_code_page_takes_ascii_only() {
    let collation = Collation::SQL_LATIN1_GENERAL_CP1_CI_AS;
    let column = BulkColumn { collation, ..column(ColumnType::VarChar(Len::Max)) };
    let mut encoder = RowEncoder::new(&[column]);
    encoder.begin_row();
    assert_eq!(encoder.text("\u{E9}"), Err(EncodeError::WrongKind { column: 0 }));
    assert_eq!(encoder.text("e"), Ok(()));
}

#[test]
fn rows_with_missing_or_extra_values_are_refused() {
    let columns = [column(ColumnType::Int), column(ColumnType::Int)];
    let mut encoder = RowEncoder::new(&columns);
    assert_eq!(encoder.int(1), Err(EncodeError::ColumnCount { expected: 2, found: 0 }));
    encoder.begin_row();
    encoder.int(1).unwrap();
    assert_eq!(encoder.end_row(), Err(EncodeError::ColumnCount { expected: 2, found: 1 }));
    assert_eq!((encoder.byte_len(), encoder.row_count()), (0, 0));
    encoder.begin_row();
    encoder.int(1).unwrap();
    encoder.int(2).unwrap();
    assert_eq!(encoder.int(3), Err(EncodeError::ColumnCount { expected: 2, found: 3 }));
    encoder.end_row().unwrap();
    encoder.begin_row();
    encoder.int(9).unwrap();
    encoder.cancel_row();
    assert_eq!(decode_rows(&columns, &encoder), [[Datum::Int(1), Datum::Int(2)]]);
    encoder.clear();
    assert_eq!((encoder.byte_len(), encoder.row_count(), encoder.encoded()), (0, 0, &[][..]));
}

#[test]
fn value_ranges_cover_the_last_row() {
    let columns = [column(ColumnType::Int), column(ColumnType::NVarChar(Len::Limited(3)))];
    let mut encoder = RowEncoder::new(&columns);
    for number in [1, 2] {
        encoder.begin_row();
        encoder.int(number).unwrap();
        encoder.text("x").unwrap();
        encoder.end_row().unwrap();
    }
    let values: Vec<_> = encoder.value_ranges().map(|range| encoder.encoded()[range].to_vec()).collect();
    assert_eq!(values, [vec![4, 2, 0, 0, 0], vec![2, 0, b'x', 0]]);
}

#[test]
fn long_values_travel_in_one_piece() {
    let text = "\u{4E16}x".repeat(100_000);
    assert_eq!(one(ColumnType::NVarChar(Len::Max), |row| row.text(&text)), Ok(Datum::Text(text.clone())));
    assert_eq!(one(ColumnType::NVarChar(Len::Max), |row| row.text("")), Ok(Datum::Text(String::new())));
    assert_eq!(one(ColumnType::VarBinary(Len::Max), |row| row.bytes(&[])), Ok(Datum::Bytes(Vec::new())));
    let bytes = vec![7; 200_000];
    assert_eq!(
        one(ColumnType::VarBinary(Len::Max), |row| row.bytes(&bytes)),
        Ok(Datum::Bytes(bytes.clone()))
    );
}

#[test]
fn wrong_kinds_are_refused() {
    let wrong = Err(EncodeError::WrongKind { column: 0 });
    for column_type in ALL {
        let is_text = column_type.has_collation() || column_type == ColumnType::Xml;
        assert_eq!(one(column_type, |row| row.text("1")).is_err(), !is_text, "{column_type}");
        let is_uuid = column_type == ColumnType::UniqueIdentifier;
        assert_eq!(one(column_type, |row| row.uuid([0; 16])).is_err(), !is_uuid, "{column_type}");
    }
    assert_eq!(one(ColumnType::Int, |row| row.date(1)), wrong);
    assert_eq!(one(ColumnType::Date, |row| row.int(1)), wrong);
    assert_eq!(one(ColumnType::Real, |row| row.float(1.0)), wrong);
}

proptest! {
    #[test]
    fn numbers_round_trip(int in any::<i64>(), float in any::<f64>(), real in any::<f32>(), bit in any::<bool>()) {
        prop_assert_eq!(one(ColumnType::BigInt, |row| row.int(int)), Ok(Datum::Int(int)));
        prop_assert_eq!(one(ColumnType::Bit, |row| row.bit(bit)), Ok(Datum::Bit(bit)));
        if float.is_finite() {
            prop_assert_eq!(one(ColumnType::Float, |row| row.float(float)), Ok(Datum::Float(float)));
        }
        if real.is_finite() {
            prop_assert_eq!(one(ColumnType::Real, |row| row.real(real)), Ok(Datum::Real(real)));
            prop_assert_eq!(one(ColumnType::Float, |row| row.real(real)), Ok(Datum::Float(f64::from(real))));
        }
    }

    #[test]
    fn decimals_round_trip(negative in any::<bool>(), magnitude in 1u128..10u128.pow(20), from in 0u8..=18, more in 0u8..=18) {
        let scale = from + more;
        let decimal = ColumnType::Decimal { precision: 38, scale };
        let expected = match magnitude.checked_mul(10u128.pow(u32::from(more))).filter(|m| *m < 10u128.pow(38)) {
            Some(magnitude) => Ok(Datum::Decimal { negative, magnitude, precision: 38, scale }),
            None => Err(EncodeError::OutOfRange { column: 0 }),
        };
        prop_assert_eq!(one(decimal, |row| row.decimal(negative, magnitude, from)), expected);
    }

    #[test]
    fn texts_and_bytes_round_trip(text in "\\PC{0,30}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for column_type in [ColumnType::NVarChar(Len::Limited(60)), ColumnType::NVarChar(Len::Max), ColumnType::Xml,
            ColumnType::NChar(60), ColumnType::VarChar(Len::Limited(120)), ColumnType::VarChar(Len::Max)] {
            prop_assert_eq!(one(column_type, |row| row.text(&text)), Ok(Datum::Text(text.clone())));
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for column_type in [ColumnType::VarBinary(Len::Limited(60)), ColumnType::VarBinary(Len::Max), ColumnType::Binary(60)] {
            prop_assert_eq!(one(column_type, |row| row.bytes(&bytes)), Ok(Datum::Bytes(bytes.clone())));
            prop_assert_eq!(one(column_type, |row| row.hex_bytes(&hex)), Ok(Datum::Bytes(bytes.clone())));
        }
    }

    #[test]
    fn dates_and_times_round_trip(days in 0..=LAST_DAY, us in 0..DAY_US, uuid in any::<[u8; 16]>()) {
        prop_assert_eq!(one(ColumnType::Date, |row| row.date(days)), Ok(Datum::Date(days)));
        prop_assert_eq!(one(ColumnType::Time(6), |row| row.time(us)), Ok(Datum::Time { ticks: us, scale: 6 }));
        let seven = Datum::DateTime2 { days, ticks: us * 10, scale: 7 };
        prop_assert_eq!(one(ColumnType::DateTime2(7), |row| row.datetime2(days, us)), Ok(seven));
        for (scale, unit) in [(6, 1), (5, 10), (4, 100), (3, 1_000), (2, 10_000), (1, 100_000), (0, 1_000_000)] {
            let value = Datum::DateTimeOffset { days, ticks: us / unit, scale, offset_minutes: 0 };
            let whole = us / unit * unit;
            prop_assert_eq!(one(ColumnType::DateTimeOffset(scale), |row| row.datetimeoffset(days, whole)), Ok(value));
        }
        prop_assert_eq!(one(ColumnType::UniqueIdentifier, |row| row.uuid(uuid)), Ok(Datum::Uuid(uuid)));
    }
}
