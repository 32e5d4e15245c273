//! What is encoded here is decoded again by the client, which shares no code with the encoder.

use proptest::prelude::*;
use segcdc_tds::token::{Token, decode};
use segcdc_tds::types::{column_flag, done_status, token_id};
use segcdc_tds::{Collation, ColumnType, Datum, Len};

use super::token::{put_columns, put_done, put_message, put_return_value, put_row};
use crate::answer::{OutColumn, SqlError};

/// A type and a value of it, as the client gives it back.
fn typed_value() -> impl Strategy<Value = (ColumnType, Datum)> {
    prop_oneof![numbers(), times(), texts()]
}

/// Numbers, bits and GUIDs.
fn numbers() -> impl Strategy<Value = (ColumnType, Datum)> {
    let decimal = (1u8..=38).prop_flat_map(|precision| {
        (Just(precision), 0..=precision, any::<bool>(), 0..10u128.pow(u32::from(precision)))
    });
    prop_oneof![
        any::<bool>().prop_map(|v| (ColumnType::Bit, Datum::Bit(v))),
        any::<u8>().prop_map(|v| (ColumnType::TinyInt, Datum::Int(i64::from(v)))),
        any::<i16>().prop_map(|v| (ColumnType::SmallInt, Datum::Int(i64::from(v)))),
        any::<i32>().prop_map(|v| (ColumnType::Int, Datum::Int(i64::from(v)))),
        any::<i64>().prop_map(|v| (ColumnType::BigInt, Datum::Int(v))),
        any::<f32>().prop_map(|v| (ColumnType::Real, Datum::Real(v))),
        any::<f64>().prop_map(|v| (ColumnType::Float, Datum::Float(v))),
        any::<[u8; 16]>().prop_map(|v| (ColumnType::UniqueIdentifier, Datum::Uuid(v))),
        any::<i64>().prop_map(|v| (ColumnType::Money, money(v, 19))),
        any::<i32>().prop_map(|v| (ColumnType::SmallMoney, money(i64::from(v), 10))),
        decimal.prop_map(|(precision, scale, negative, magnitude)| {
            let negative = negative && magnitude != 0;
            let datum = Datum::Decimal { negative, magnitude, precision, scale };
            (ColumnType::Decimal { precision, scale }, datum)
        }),
    ]
}

/// An amount.
fn money(amount: i64, precision: u8) -> Datum {
    let magnitude = u128::from(amount.unsigned_abs());
    Datum::Decimal { negative: amount < 0, magnitude, precision, scale: 4 }
}

/// Dates and times.
fn times() -> impl Strategy<Value = (ColumnType, Datum)> {
    let days = 0u32..=3_652_058;
    let ticks = (0u8..=7).prop_flat_map(|scale| (Just(scale), 0..86_400 * 10u64.pow(u32::from(scale))));
    let offset = -840i16..=840;
    prop_oneof![
        days.clone().prop_map(|days| (ColumnType::Date, Datum::Date(days))),
        ticks.clone().prop_map(|(scale, ticks)| (ColumnType::Time(scale), Datum::Time { ticks, scale })),
        (days.clone(), ticks.clone()).prop_map(|(days, (scale, ticks))| {
            (ColumnType::DateTime2(scale), Datum::DateTime2 { days, ticks, scale })
        }),
        (days, ticks, offset).prop_map(|(days, (scale, ticks), offset_minutes)| {
            let datum = Datum::DateTimeOffset { days, ticks, scale, offset_minutes };
            (ColumnType::DateTimeOffset(scale), datum)
        }),
        (639_905u32..3_652_058, 0u64..25_920_000).prop_map(|(days, third)| {
            (ColumnType::DateTime, Datum::DateTime2 { days, ticks: (third * 10 + 1) / 3, scale: 3 })
        }),
        (693_595u32..759_130, 0u64..1440).prop_map(|(days, minutes)| {
            (ColumnType::SmallDateTime, Datum::DateTime2 { days, ticks: minutes * 60, scale: 0 })
        }),
    ]
}

/// Texts and bytes.
fn texts() -> impl Strategy<Value = (ColumnType, Datum)> {
    let text = "\\PC{0,40}";
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        text.prop_map(|v| (ColumnType::NVarChar(Len::Limited(200)), Datum::Text(v))),
        (text, 1usize..3_000)
            .prop_map(|(v, times)| (ColumnType::NVarChar(Len::Max), Datum::Text(v.repeat(times)))),
        text.prop_map(|v| (ColumnType::NChar(200), Datum::Text(v))),
        text.prop_map(|v| (ColumnType::VarChar(Len::Limited(800)), Datum::Text(v))),
        text.prop_map(|v| (ColumnType::VarChar(Len::Max), Datum::Text(v))),
        text.prop_map(|v| (ColumnType::Xml, Datum::Text(v.replace('\u{FEFF}', "")))),
        text.prop_map(|v| (ColumnType::NText, Datum::Text(v))),
        bytes.clone().prop_map(|v| (ColumnType::VarBinary(Len::Limited(40)), Datum::Bytes(v))),
        (bytes.clone(), 1usize..3_000)
            .prop_map(|(v, times)| (ColumnType::VarBinary(Len::Max), Datum::Bytes(v.repeat(times)))),
        bytes.clone().prop_map(|v| (ColumnType::Binary(40), Datum::Bytes(v))),
        bytes.prop_map(|v| (ColumnType::Image, Datum::Bytes(v))),
    ]
}

/// A column in a UTF-8 collation, so that each text survives.
fn column(column_type: ColumnType, nullable: bool) -> OutColumn {
    let collation = Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8;
    OutColumn { collation, nullable, ..OutColumn::new("c", column_type) }
}

/// Columns and a row, through the client.
fn round_trip(columns: &[OutColumn], row: &[Datum]) -> Vec<Datum> {
    let mut bytes = Vec::new();
    put_columns(&mut bytes, columns);
    let Ok((Token::Columns(wire), length)) = decode(&bytes, &[]) else { panic!("columns not decoded") };
    assert_eq!(length, bytes.len());
    for (ours, theirs) in columns.iter().zip(wire.iter()) {
        assert_eq!((ours.column_type, ours.nullable), (theirs.column_type(), theirs.nullable()));
    }
    bytes.clear();
    put_row(&mut bytes, columns, row).unwrap();
    match decode(&bytes, &wire) {
        Ok((Token::Row(row), length)) if length == bytes.len() => row,
        other => panic!("row not decoded: {other:?}"),
    }
}

/// Whether two values are the same, NaN included.
fn same(left: &Datum, right: &Datum) -> bool {
    match (left, right) {
        (Datum::Real(left), Datum::Real(right)) => left.to_bits() == right.to_bits(),
        (Datum::Float(left), Datum::Float(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    }
}

proptest! {
    #[test]
    fn rows_of_all_types_reach_the_client(
        cells in proptest::collection::vec((typed_value(), any::<bool>(), any::<bool>()), 1..8)
    ) {
        let columns: Vec<_> = cells.iter().map(|((kind, _), nullable, _)| column(*kind, *nullable)).collect();
        let row: Vec<_> = cells.iter().map(|((_, value), nullable, null)| {
            if *nullable && *null { Datum::Null } else { value.clone() }
        }).collect();
        let back = round_trip(&columns, &row);
        for (sent, received) in row.iter().zip(&back) {
            prop_assert!(same(sent, received), "{sent:?} became {received:?}");
        }
    }

    #[test]
    fn variants_reach_the_client((column_type, value) in numbers()) {
        if !matches!(column_type, ColumnType::Money | ColumnType::SmallMoney) {
            let back = round_trip(&[column(ColumnType::SqlVariant, true)], std::slice::from_ref(&value));
            prop_assert!(same(&value, &back[0]), "{value:?} became {back:?}");
        }
    }

    #[test]
    fn output_parameters_reach_the_client((column_type, value) in typed_value()) {
        // A client gets text, ntext and image in rows only.
        if !matches!(column_type, ColumnType::NText | ColumnType::Image) {
            let mut bytes = Vec::new();
            let column = OutColumn { name: "@p".to_owned(), ..column(column_type, true) };
            put_return_value(&mut bytes, 3, &column, &value).unwrap();
            match decode(&bytes, &[]) {
                Ok((Token::ReturnValue { name, value: back }, length)) => {
                    prop_assert_eq!((name.as_str(), length), ("@p", bytes.len()));
                    prop_assert!(same(&value, &back));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn messages_reach_the_client(number in any::<i32>(), text in "\\PC{0,3000}", line in any::<i32>()) {
        let mut bytes = Vec::new();
        put_message(&mut bytes, token_id::ERROR, &SqlError::new(number, 16, text.clone()).at_line(line));
        let Ok((Token::Error(error), length)) = decode(&bytes, &[]) else { panic!("not decoded") };
        prop_assert_eq!((error.number, error.class, error.line, length), (number, 16, line, bytes.len()));
        let received = error.message.trim_end_matches(char::REPLACEMENT_CHARACTER);
        prop_assert!(text.starts_with(received));
    }
}

#[test]
fn value_that_does_not_fit_leaves_no_trace() {
    let columns = [column(ColumnType::Int, true), column(ColumnType::TinyInt, false)];
    let mut bytes = vec![7];
    for row in [
        [Datum::Int(1), Datum::Int(256)],
        [Datum::Int(1), Datum::Null],
        [Datum::Uuid([0; 16]), Datum::Int(1)],
    ] {
        put_row(&mut bytes, &columns, &row).unwrap_err();
        assert_eq!(bytes, [7]);
    }
}

#[test]
fn never_null_columns_are_sent_in_the_fixed_form() {
    let mut bytes = Vec::new();
    put_columns(&mut bytes, &[column(ColumnType::Int, false), column(ColumnType::Int, true)]);
    assert_eq!(bytes[3..], [0, 0, 0, 0, 8, 0, 0x38, 1, b'c', 0, 0, 0, 0, 0, 9, 0, 0x26, 4, 1, b'c', 0]);
    assert_eq!(
        column(ColumnType::Int, true).flags(),
        column_flag::NULLABLE | column_flag::UPDATEABLE_UNKNOWN
    );
}

#[test]
fn done_carries_counts_beyond_32_bits() {
    let mut bytes = Vec::new();
    put_done(&mut bytes, token_id::DONE, done_status::COUNT, 0xC1, 5_000_000_000);
    let Ok((Token::Done(done), 13)) = decode(&bytes, &[]) else { panic!("not decoded") };
    assert_eq!((done.status, done.command, done.row_count), (done_status::COUNT, 0xC1, 5_000_000_000));
}
