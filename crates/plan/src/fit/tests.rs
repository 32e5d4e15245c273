use std::sync::Arc;

use proptest::prelude::*;
use segcdc_model::{
    ArrayElement, Field, LargeFacts, LargeStore, LargeValue, Length, MssqlType, PgType, Value,
};

use super::{Fitted, Misfit, fit, is_plain};
use crate::canonical;
use crate::convert::ValueError;
use crate::rules::ValuePolicy;
use crate::table_plan::ColumnPlan;
use crate::type_map::{self, can_clamp};

const NUMERIC: PgType = PgType::Numeric { bounds: None };

fn column(pg_type: PgType, mssql_type: MssqlType, policy: ValuePolicy) -> ColumnPlan {
    ColumnPlan {
        source_index: 0,
        source_name: "c".to_owned(),
        name: "c".to_owned(),
        pg_type,
        mssql_type,
        nullable: true,
        policy,
        as_text: false,
        array: None,
        mask: None,
        constant: None,
        most_large_bytes: None,
    }
}

fn decimal(precision: u8, scale: u8) -> MssqlType {
    MssqlType::Decimal { precision, scale }
}

/// What becomes of a text: the canonical text of the value, with a mark for a replaced one, or the misfit.
fn fitted(column: &ColumnPlan, text: &str) -> String {
    let canonical = |value: Value<'_>| {
        let mut text = String::new();
        canonical::write_text(&value, &mut text);
        if value == Value::Null { "NULL".to_owned() } else { text }
    };
    match fit(column, Field::Text(text.as_bytes())) {
        Ok(Fitted::Exact(value)) => canonical(value),
        Ok(Fitted::Replaced(value)) => format!("replaced by {}", canonical(value)),
        Ok(Fitted::Aside(misfit)) => format!("{misfit:?}"),
        Err(error) => format!("{error:?}"),
    }
}

/// Who asks [`is_plain`] first gets the same.
#[test]
fn plain_columns_take_what_is_decoded() {
    let types = [
        (PgType::Int4, MssqlType::Int, "7", true),
        (NUMERIC, MssqlType::Int, "7", false),
        (PgType::Timestamp, MssqlType::DATETIME2, "2001-02-03 04:05:06", true),
        (PgType::TimestampTz, MssqlType::DATETIME2, "2001-02-03 04:05:06+00", false),
        (PgType::Date, MssqlType::DATETIME2, "2001-02-03", false),
        (PgType::TimestampTz, MssqlType::DATETIMEOFFSET, "2001-02-03 04:05:06+00", true),
        (PgType::Float4, MssqlType::Float, "0.5", false),
        (PgType::Float8, MssqlType::Float, "0.5", true),
        (NUMERIC, decimal(38, 18), "1.50", true),
        (PgType::Text, MssqlType::Json, "{}", false),
        (PgType::Uuid, MssqlType::UniqueIdentifier, "00112233-4455-6677-8899-aabbccddeeff", true),
    ];
    for (pg_type, mssql_type, text, plain) in types {
        let halting = column(pg_type.clone(), mssql_type, ValuePolicy::Halt);
        assert_eq!(is_plain(&halting), plain, "{pg_type:?} as {mssql_type:?}");
        assert!(!is_plain(&column(pg_type.clone(), mssql_type, ValuePolicy::Clamp)));
        let field = Field::Text(text.as_bytes());
        let (by_rules, decoded) =
            (super::fit_by_rules(&halting, field), crate::convert::decode(&pg_type, field));
        // Of the others some values are the same, none of these.
        assert_eq!(by_rules == decoded.map(Fitted::Exact), plain, "{pg_type:?} as {mssql_type:?}");
    }
    let array = ColumnPlan {
        array: Some(ArrayElement::Text),
        ..column(PgType::Other, decimal(9, 0), ValuePolicy::Halt)
    };
    assert!(!is_plain(&array));
}

#[test]
fn each_policy_does_what_it_says() {
    let far = "9999-12-31T23:59:59.999999";
    let near = "0001-01-01T00:00:00.000000";
    let float = "1.7976931348623157e308";
    let nines = "9".repeat(20) + "." + &"9".repeat(18);
    for (pg_type, mssql_type, text, clamped, misfit) in [
        (PgType::Timestamp, MssqlType::DATETIME2, "infinity", far, "Above"),
        (PgType::Timestamp, MssqlType::DATETIME2, "-infinity", near, "Below"),
        (PgType::Timestamp, MssqlType::DATETIME2, "0044-03-15 12:00:00 BC", near, "Below"),
        (PgType::Timestamp, MssqlType::DATETIME2, "10000-01-01 00:00:00", far, "Above"),
        (PgType::TimestampTz, MssqlType::DATETIMEOFFSET, "infinity", &format!("{far}Z"), "Above"),
        (
            PgType::TimestampTz,
            MssqlType::DATETIMEOFFSET,
            "0001-12-31 23:59:59+00 BC",
            &format!("{near}Z"),
            "Below",
        ),
        (PgType::Date, MssqlType::Date, "infinity", "9999-12-31", "Above"),
        (PgType::Date, MssqlType::Date, "0001-12-31 BC", "0001-01-01", "Below"),
        (PgType::Time, MssqlType::TIME, "24:00:00", "23:59:59.999999", "Above"),
        (PgType::Float8, MssqlType::Float, "Infinity", float, "Above"),
        (PgType::Float8, MssqlType::Float, "-Infinity", &format!("-{float}"), "Below"),
        (PgType::Float4, MssqlType::Real, "Infinity", "3.4028235e38", "Above"),
        (NUMERIC, decimal(38, 18), "Infinity", &nines, "Above"),
        (NUMERIC, decimal(38, 18), "-Infinity", &format!("-{nines}"), "Below"),
        (NUMERIC, decimal(38, 18), "100000000000000000000", &nines, "Above"),
        (NUMERIC, decimal(38, 18), &format!("-{}.5", "7".repeat(50)), &format!("-{nines}"), "Below"),
        (NUMERIC, decimal(38, 18), &format!("{}.{}", "7".repeat(25), "3".repeat(30)), &nines, "Above"),
        (PgType::Int4, MssqlType::SmallInt, "-32769", "-32768", "Below"),
        (PgType::Int8, decimal(3, 0), "1000", "999", "Above"),
    ] {
        let with = |policy| fitted(&column(pg_type.clone(), mssql_type, policy), text);
        assert_eq!(with(ValuePolicy::Null), "replaced by NULL", "{text}");
        assert_eq!(with(ValuePolicy::Clamp), format!("replaced by {clamped}"), "{text}");
        assert_eq!(with(ValuePolicy::SetAside), misfit, "{text}");
        let halted = with(ValuePolicy::Halt);
        assert!(!halted.starts_with("replaced") && halted != misfit, "{text}: {halted}");
        assert!(can_clamp(&pg_type));
    }
}

#[test]
fn what_has_no_nearest_value_is_handed_on_under_clamp() {
    for (pg_type, mssql_type, text, misfit) in [
        (NUMERIC, decimal(38, 18), "NaN", "NotANumber"),
        (NUMERIC, decimal(38, 18), "0.0000000000000000001", "TooPrecise"),
        (NUMERIC, decimal(38, 18), &format!("0.{}1", "0".repeat(60)), "TooPrecise"),
        (PgType::Float8, MssqlType::Float, "NaN", "NotANumber"),
        (
            PgType::Text,
            MssqlType::NVarChar { length: Length::Limited(2), binary_collation: true },
            "abc",
            "KeyTooLong",
        ),
    ] {
        let with = |policy| fitted(&column(pg_type.clone(), mssql_type, policy), text);
        assert!(!with(ValuePolicy::Clamp).starts_with("replaced"), "{text}");
        assert_eq!(with(ValuePolicy::Null), "replaced by NULL");
        assert_eq!(with(ValuePolicy::SetAside), misfit, "{text}");
    }
}

#[test]
fn what_the_source_should_not_send_is_no_matter_of_policy() {
    for policy in [ValuePolicy::Null, ValuePolicy::Clamp, ValuePolicy::SetAside] {
        let date = column(PgType::Date, MssqlType::Date, policy);
        assert!(matches!(fit(&date, Field::Text(b"15/03/2024")), Err(ValueError::Malformed { .. })));
        assert_eq!(fit(&date, Field::UnchangedToast), Err(ValueError::NotSent));
        assert_eq!(fit(&date, Field::Null), Ok(Fitted::Exact(Value::Null)));
    }
}

#[test]
fn bytes_that_are_no_text_have_policies_too() {
    let text = MssqlType::NVarChar { length: Length::Max, binary_collation: false };
    let with = |policy| {
        fit(&column(PgType::Text, text, policy), Field::Text(b"\xff")).map(|fitted| match fitted {
            Fitted::Exact(_) => "exact",
            Fitted::Replaced(Value::Null) => "null",
            Fitted::Replaced(_) => "replaced",
            Fitted::Aside(misfit) => misfit.code(),
        })
    };
    assert_eq!(with(ValuePolicy::Halt), Err(ValueError::NotUtf8));
    assert_eq!(with(ValuePolicy::Clamp), Err(ValueError::NotUtf8));
    assert_eq!(with(ValuePolicy::Null), Ok("null"));
    assert_eq!(with(ValuePolicy::SetAside), Ok("VALUE_NOT_UTF8"));
}

#[test]
fn null_is_set_aside_where_the_target_does_not_take_it() {
    let must = |policy| ColumnPlan { nullable: false, ..column(PgType::Date, MssqlType::Date, policy) };
    assert_eq!(fit(&must(ValuePolicy::SetAside), Field::Null), Ok(Fitted::Aside(Misfit::Null)));
    assert_eq!(fit(&must(ValuePolicy::Clamp), Field::Null), Ok(Fitted::Exact(Value::Null)));
    assert_eq!(fitted(&must(ValuePolicy::Null), "infinity"), "infinity");
}

/// The binary form of a numeric, from its text, as numeric_send makes it.
fn binary_numeric(text: &str) -> Vec<u8> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let weight = i16::try_from(whole.len() / 4).unwrap() - 1;
    let padded = format!("{whole}{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let groups: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|group| std::str::from_utf8(group).unwrap().parse().unwrap())
        .collect();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u16::try_from(groups.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&weight.to_be_bytes());
    bytes.extend_from_slice(&(if negative { 0x4000_u16 } else { 0 }).to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(fraction.len()).unwrap().to_be_bytes());
    groups.iter().for_each(|group| bytes.extend_from_slice(&group.to_be_bytes()));
    bytes
}

/// What a decimal does to a number, told from its text alone.
fn naive_decimal(text: &str, precision: u8, scale: u8) -> Option<String> {
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let room = usize::from(precision - scale);
    if whole.len() > room {
        let mut bound = if room == 0 { "0".to_owned() } else { "9".repeat(room) };
        if scale > 0 {
            bound = format!("{bound}.{}", "9".repeat(usize::from(scale)));
        }
        return Some(format!("replaced by {}{bound}", if text.starts_with('-') { "-" } else { "" }));
    }
    (fraction.len() <= usize::from(scale)).then(|| {
        let whole = if whole.is_empty() { "0" } else { whole };
        let text_sign =
            if text.starts_with('-') && (whole != "0" || !fraction.is_empty()) { "-" } else { "" };
        if fraction.is_empty() {
            format!("{text_sign}{whole}")
        } else {
            format!("{text_sign}{whole}.{fraction}")
        }
    })
}

/// A value of which only the facts count.
#[derive(Debug)]
struct NoBytes;

impl LargeStore for NoBytes {
    fn read_block(&self, _index: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.clear();
        Ok(())
    }
}

#[test]
fn large_values_are_bounded_where_they_go_as_a_whole() {
    let large = |pg_type: &PgType, length: u64| {
        let binary = *pg_type == PgType::Bytea;
        let facts = LargeFacts {
            binary,
            length,
            first_byte: b'x',
            sha256: [0; 32],
            utf16_units: (!binary).then_some(length),
            hex: false,
        };
        LargeValue::new(facts, Arc::new(NoBytes))
    };
    let text = MssqlType::NVarChar { length: Length::Max, binary_collation: false };
    let bytes = MssqlType::VarBinary { length: Length::Max };
    for (pg_type, mssql_type, fits) in [
        (PgType::Text, text, 50),
        (PgType::Text, MssqlType::VarChar { length: Length::Max }, 50),
        (PgType::Bytea, bytes, 100),
    ] {
        for (bound, length, expected) in
            [(Some(100), fits, None), (Some(100), fits + 1, Some(Misfit::TooLarge)), (None, fits + 1, None)]
        {
            let value = large(&pg_type, length);
            let of = |policy| ColumnPlan {
                mask: None,
                constant: None,
                most_large_bytes: bound,
                ..column(pg_type.clone(), mssql_type, policy)
            };
            let found = fit(&of(ValuePolicy::SetAside), Field::Large(&value)).unwrap();
            match (found, expected) {
                (Fitted::Exact(Value::Large(_)), None) => {}
                (Fitted::Aside(misfit), Some(expected)) => assert_eq!(misfit, expected),
                other => panic!("{pg_type:?} of {length}: {other:?}"),
            }
            let nulled = fit(&of(ValuePolicy::Null), Field::Large(&value)).unwrap();
            assert_eq!(
                nulled == Fitted::Replaced(Value::Null),
                expected.is_some(),
                "{pg_type:?} of {length}"
            );
            let halted = fit(&of(ValuePolicy::Halt), Field::Large(&value)).unwrap();
            assert!(matches!(halted, Fitted::Exact(Value::Large(_))), "whoever writes it refuses it");
        }
    }
    assert_eq!(Misfit::TooLarge.code(), "VALUE_TOO_LARGE");
}

proptest! {
    #[test]
    fn decimals_agree_with_a_model_of_their_text(
        whole in "0|[1-9][0-9]{0,44}",
        fraction in "[0-9]{0,25}|0{0,45}|[0-9]{0,4}0{0,40}[0-9]?",
        negative: bool,
        (precision, scale) in (1_u8..=38).prop_flat_map(|precision| (Just(precision), 0..=precision)),
    ) {
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" });
        let clamp = column(NUMERIC, decimal(precision, scale), ValuePolicy::Clamp);
        let found = fitted(&clamp, &text);
        match naive_decimal(&text, precision, scale) {
            Some(expected) => prop_assert_eq!(&found, &expected, "{}", text),
            None => prop_assert!(!found.starts_with("replaced"), "{}: {}", text, found),
        }
        // Both forms become the same.
        let aside = column(NUMERIC, decimal(precision, scale), ValuePolicy::SetAside);
        let binary = binary_numeric(&text);
        let from_binary = fit(&aside, Field::Binary(&binary));
        match (fit(&aside, Field::Text(text.as_bytes())), from_binary) {
            (Ok(Fitted::Aside(one)), Ok(Fitted::Aside(other))) => prop_assert_eq!(one, other, "{}", text),
            (Ok(one), Ok(other)) => prop_assert_eq!(one.is_use(), other.is_use(), "{}", text),
            (one, other) => prop_assert!(false, "{}: {:?} {:?}", text, one, other),
        }
    }

    #[test]
    fn dates_fit_by_their_year(year in -4_713_i32..=294_276, month in 1_u8..=12, day in 1_u8..=28, time: bool) {
        // PostgreSQL has no year 0; -1 is 1 BC here.
        prop_assume!(year != 0);
        let era = if year < 0 { " BC" } else { "" };
        let clock = if time { " 12:34:56.789" } else { "" };
        let text = format!("{:04}-{month:02}-{day:02}{clock}{era}", year.abs());
        let (pg_type, mssql_type) = match time {
            true => (PgType::Timestamp, MssqlType::DATETIME2),
            false => (PgType::Date, MssqlType::Date),
        };
        let found = fitted(&column(pg_type, mssql_type, ValuePolicy::Clamp), &text);
        match year {
            1..=9999 => prop_assert!(found.starts_with(&format!("{year:04}-{month:02}-{day:02}")), "{text}: {found}"),
            10_000.. => prop_assert!(found.starts_with("replaced by 9999-12-31"), "{text}: {found}"),
            _ => prop_assert!(found.starts_with("replaced by 0001-01-01"), "{text}: {found}"),
        }
    }

    /// A value that the column holds is never touched, and what replaces another one is held by it.
    #[test]
    fn what_fits_is_never_touched(us: i64, days: i32, number: f64, units: i64) {
        let numeric = units.to_string();
        for policy in [ValuePolicy::Null, ValuePolicy::Clamp] {
            for (pg_type, bytes) in [
                (PgType::Timestamp, us.to_be_bytes().to_vec()),
                (PgType::TimestampTz, us.to_be_bytes().to_vec()),
                (PgType::Date, days.to_be_bytes().to_vec()),
                (PgType::Float8, number.to_be_bytes().to_vec()),
                (PgType::Int8, units.to_be_bytes().to_vec()),
                (NUMERIC, binary_numeric(&numeric)),
            ] {
                let source = segcdc_model::SourceColumn {
                    name: "c".to_owned(), attnum: 1, pg_type: pg_type.clone(), type_name: String::new(),
                    not_null: false, generated: false,
                };
                let kind = type_map::map(&source, false);
                let plain = fit(&column(pg_type.clone(), kind, ValuePolicy::Halt), Field::Binary(&bytes));
                let with = column(pg_type, kind, policy);
                match fit(&with, Field::Binary(&bytes)) {
                    Ok(Fitted::Replaced(value)) => {
                        prop_assert_eq!(super::misfit(&with, value, Field::Null), None);
                    }
                    other => prop_assert_eq!(format!("{other:?}"), format!("{plain:?}")),
                }
            }
        }
    }
}
