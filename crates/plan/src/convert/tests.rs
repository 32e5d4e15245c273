use super::*;
use proptest::prelude::*;

const NUMERIC: PgType = PgType::Numeric { bounds: None };

const TYPES: [PgType; 24] = [
    PgType::Bool,
    PgType::Int2,
    PgType::Int4,
    PgType::Int8,
    PgType::Float4,
    PgType::Float8,
    NUMERIC,
    PgType::Text,
    PgType::Varchar { length: Some(5) },
    PgType::Char { length: 5 },
    PgType::Name,
    PgType::Bytea,
    PgType::Uuid,
    PgType::Json,
    PgType::Jsonb,
    PgType::Date,
    PgType::Time,
    PgType::Timestamp,
    PgType::TimestampTz,
    PgType::Oid,
    PgType::Bit,
    PgType::Money { fraction_digits: 2 },
    PgType::Enum,
    PgType::Other,
];

fn text_of<'a>(pg_type: &PgType, text: &'a str) -> Option<Value<'a>> {
    decode(pg_type, Field::Text(text.as_bytes())).ok()
}

fn binary_of<'a>(pg_type: &PgType, bytes: &'a [u8]) -> Option<Value<'a>> {
    decode(pg_type, Field::Binary(bytes)).ok()
}

fn dec(negative: bool, magnitude: u128, scale: u8) -> Option<Value<'static>> {
    Some(Value::Decimal { negative, magnitude, scale })
}

fn check_all(pg_type: &PgType, cases: &[(&str, Option<Value<'_>>)]) {
    for (input, expected) in cases {
        assert_eq!(text_of(pg_type, input), *expected, "{pg_type:?} {input:?}");
    }
}

#[test]
fn numeric_text_is_exact_up_to_38_digits() {
    let nines = "9".repeat(38);
    let max = 10_u128.pow(38) - 1;
    let out = Some(Value::NumericOutOfRange);
    check_all(
        &NUMERIC,
        &[
            ("0", dec(false, 0, 0)),
            ("0.00", dec(false, 0, 2)),
            ("-0.00", dec(false, 0, 2)),
            ("-1.50", dec(true, 150, 2)),
            ("12345678901234567.89", dec(false, 1_234_567_890_123_456_789, 2)),
            ("123456789012345678.90", dec(false, 12_345_678_901_234_567_890, 2)),
            (&nines, dec(false, max, 0)),
            (&format!("-{nines}"), dec(true, max, 0)),
            (&format!("{nines}.00"), dec(false, max, 0)),
            (&format!("{nines}.01"), out),
            (&format!("1{nines}"), out),
            (&format!("0.{nines}"), dec(false, max, 38)),
            (&format!("0.{nines}0"), dec(false, max, 38)),
            (&format!("0.{nines}1"), out),
            (&format!("1.{nines}"), out),
            (&format!("1.5{}", "0".repeat(60)), dec(false, 15 * 10_u128.pow(36), 37)),
            (&format!("0.{}1", "0".repeat(37)), dec(false, 1, 38)),
            (&format!("0.{}1", "0".repeat(38)), out),
            ("NaN", out),
            ("Infinity", out),
            ("-Infinity", out),
            ("", None),
            ("-", None),
            (".5", None),
            ("5.", None),
            ("1e5", None),
            ("+1", None),
            ("1.2.3", None),
            (" 1", None),
            ("nan", None),
            (&format!("x{nines}0"), None),
            (&format!("{nines}.0x1"), None),
        ],
    );
}

#[test]
fn numeric_binary_refuses_what_postgres_does_not_send() {
    let cases: [(&[u16], Option<Value<'_>>); 14] = [
        (&[0, 0, 0, 0], dec(false, 0, 0)),
        (&[0, 0, 0, 50], dec(false, 0, 38)),
        (&[1, 0, 0x4000, 0, 5], dec(true, 5, 0)),
        (&[2, 0, 0, 1, 1, 5000], dec(false, 15, 1)),
        (&[1, 1, 0, 0, 3], dec(false, 30_000, 0)),
        (&[1, 0xFFFF, 0, 4, 1], dec(false, 1, 4)),
        (&[0, 0, 0xC000, 0], Some(Value::NumericOutOfRange)),
        (&[0, 0, 0xD000, 0], Some(Value::NumericOutOfRange)),
        (&[1, 0x7FFF, 0, 0, 1], Some(Value::NumericOutOfRange)),
        (&[2, 0, 0, 1, 1, 5001], None),
        (&[1, 0, 0, 0, 10_000], None),
        (&[2, 0, 0, 0, 1], None),
        (&[0, 0, 0x1234, 0], None),
        (&[0, 0, 0], None),
    ];
    for (words, expected) in cases {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(binary_of(&NUMERIC, &bytes), expected, "{words:?}");
    }
}

#[test]
fn integers_are_checked_against_their_type() {
    let int = |value| Some(Value::Int(value));
    check_all(
        &PgType::Int2,
        &[("-32768", int(-32_768)), ("32767", int(32_767)), ("32768", None), ("-32769", None)],
    );
    check_all(
        &PgType::Int8,
        &[
            ("-9223372036854775808", int(i64::MIN)),
            ("9223372036854775807", int(i64::MAX)),
            ("9223372036854775808", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("1 ", None),
        ],
    );
    check_all(&PgType::Oid, &[("4294967295", int(4_294_967_295)), ("4294967296", None), ("-1", None)]);
    assert_eq!(binary_of(&PgType::Int4, &[0xFF, 0xFF, 0xFF, 0xFE]), int(-2));
    assert_eq!(binary_of(&PgType::Oid, &[0xFF, 0xFF, 0xFF, 0xFE]), int(4_294_967_294));
    assert_eq!(binary_of(&PgType::Int4, &[1]), None);
}

#[test]
fn dates_and_times_cover_the_whole_range() {
    let date = |days| Some(Value::Date(days));
    check_all(
        &PgType::Date,
        &[
            ("2000-01-01", date(0)),
            ("1999-12-31", date(-1)),
            ("2024-02-29", date(8825)),
            ("0001-01-01", date(-730_119)),
            ("0001-12-31 BC", date(-730_120)),
            ("4714-11-24 BC", date(-2_451_545)),
            ("5874897-12-31", date(2_145_031_948)),
            ("infinity", date(i32::MAX)),
            ("-infinity", date(i32::MIN)),
            ("2023-02-29", None),
            ("1900-02-29", None),
            ("0000-01-01", None),
            ("2024-13-01", None),
            ("2024-00-01", None),
            ("2024-01-00", None),
            ("2024-01-1", None),
            ("24-01-01", None),
            ("2024-01-01 AD", None),
            ("01/02/2024", None),
            ("99999999-01-01", None),
        ],
    );
    let time = |us| Some(Value::Time(us));
    check_all(
        &PgType::Time,
        &[
            ("00:00:00", time(0)),
            ("23:59:59.999999", time(86_399_999_999)),
            ("24:00:00", time(86_400_000_000)),
            ("12:00:00.5", time(43_200_500_000)),
            ("24:00:00.000001", None),
            ("24:00:01", None),
            ("23:60:00", None),
            ("23:59:60", None),
            ("1:00:00", None),
            ("12:00:00.", None),
            ("12:00:00.1234567", None),
        ],
    );
    let timestamp = |us| Some(Value::Timestamp(us));
    check_all(
        &PgType::Timestamp,
        &[
            ("2000-01-01 00:00:00", timestamp(0)),
            ("1999-12-31 23:59:59.999999", timestamp(-1)),
            ("294276-12-31 23:59:59.999999", timestamp(9_223_371_331_199_999_999)),
            ("4714-11-24 00:00:00 BC", timestamp(-211_813_488_000_000_000)),
            ("infinity", timestamp(i64::MAX)),
            ("-infinity", timestamp(i64::MIN)),
            ("5874897-12-31 00:00:00", None),
            ("2000-01-01 24:00:00", None),
            ("2000-01-01T00:00:00", None),
            ("2000-01-01 00:00:00+00", None),
        ],
    );
    let instant = |us| Some(Value::TimestampTz(us));
    check_all(
        &PgType::TimestampTz,
        &[
            ("2000-01-01 00:00:00+00", instant(0)),
            ("2000-01-01 01:00:00+01", instant(0)),
            ("1999-12-31 18:30:00-05:30", instant(0)),
            ("2000-01-01 00:19:32+00:19:32", instant(0)),
            ("0001-01-01 00:00:00+00 BC", instant(-63_113_904_000_000_000)),
            ("2000-01-01 00:00:00", None),
            ("2000-01-01 00:00:00+0", None),
            ("2000-01-01 00:00:00 UTC", None),
        ],
    );
    assert_eq!(binary_of(&PgType::Time, &86_400_000_001_i64.to_be_bytes()), None);
    assert_eq!(binary_of(&PgType::Time, &(-1_i64).to_be_bytes()), None);
}

#[test]
fn texts_keep_every_byte() {
    check_all(
        &PgType::Char { length: 4 },
        &[("a   ", Some(Value::Text("a   "))), ("", Some(Value::Text("")))],
    );
    check_all(&PgType::Jsonb, &[("{\"a\": 1}", Some(Value::Text("{\"a\": 1}")))]);
    assert_eq!(binary_of(&PgType::Jsonb, b"\x01{}"), Some(Value::Text("{}")));
    assert_eq!(binary_of(&PgType::Jsonb, b"\x02{}"), None);
    assert_eq!(binary_of(&PgType::Jsonb, b""), None);
    for bad in [&b"a\xff"[..], b"a\0b", b"\xed\xa0\x80"] {
        assert_eq!(decode(&PgType::Text, Field::Text(bad)), Err(ValueError::NotUtf8));
    }
    assert_eq!(decode(&PgType::Text, Field::Null), Ok(Value::Null));
    assert_eq!(decode(&PgType::Text, Field::UnchangedToast), Err(ValueError::NotSent));
    assert_eq!(binary_of(&PgType::Other, b"1"), None);
}

#[test]
fn small_forms_are_strict() {
    check_all(
        &PgType::Bool,
        &[("t", Some(Value::Bool(true))), ("f", Some(Value::Bool(false))), ("true", None), ("", None)],
    );
    check_all(
        &PgType::Bytea,
        &[
            ("\\x", Some(Value::HexBytes(""))),
            ("\\x00fF", Some(Value::HexBytes("00fF"))),
            ("\\x0", None),
            ("\\xzz", None),
            ("abc", None),
            ("", None),
        ],
    );
    check_all(
        &PgType::Uuid,
        &[
            (
                "00112233-4455-6677-8899-aabbccddeeff",
                Some(Value::Uuid([
                    0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE,
                    0xFF,
                ])),
            ),
            ("0011223-34455-6677-8899-aabbccddeeff", None),
            ("00112233445566778899aabbccddeeff", None),
            ("00112233-4455-6677-8899-aabbccddeefg", None),
            ("------------------------------------", None),
            ("001122330-455-6677-8899-aabbccddeeff", None),
        ],
    );
    check_all(
        &PgType::Float8,
        &[
            ("1e+308", Some(Value::Float8(1e308))),
            ("5e-324", Some(Value::Float8(5e-324))),
            ("Infinity", Some(Value::Float8(f64::INFINITY))),
            ("-Infinity", Some(Value::Float8(f64::NEG_INFINITY))),
            ("1e309", None),
            ("inf", None),
            ("nan", None),
            (".5", None),
            ("0x10", None),
            ("", None),
            ("-", None),
        ],
    );
    assert!(matches!(text_of(&PgType::Float4, "NaN"), Some(Value::Float4(value)) if value.is_nan()));
    assert!(matches!(text_of(&PgType::Float8, "-0"), Some(Value::Float8(value)) if value.is_sign_negative()));
}

#[test]
fn errors_never_hold_the_value() {
    let error = decode(&PgType::Int4, Field::Text(b"4711x")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("4711"));
    assert_eq!(error.code(), "VALUE_MALFORMED");
}

#[test]
fn canonical_texts_are_spelled_as_postgresql_prints_them() {
    let money = PgType::Money { fraction_digits: 3 };
    for (pg_type, text) in [
        (&PgType::Bool, "t"),
        (&PgType::Bit, "0"),
        (&money, "-$1,234,567.80"),
        (&PgType::Bytea, "\\x00ff"),
        (&PgType::Time, "12:00:00.5"),
        (&PgType::Time, "24:00:00"),
        (&PgType::Timestamp, "2024-02-29 10:00:00"),
        (&PgType::Timestamp, "-infinity"),
        (&PgType::TimestampTz, "2024-02-29 10:00:00.000001+00"),
        (&PgType::TimestampTz, "infinity"),
        (&PgType::Date, "infinity"),
        (&PgType::Text, "a "),
    ] {
        let canonical = crate::canonical::canonical_text(pg_type, Field::Text(text.as_bytes())).unwrap();
        assert_eq!(crate::canonical::source_text(pg_type, &canonical.unwrap()), text, "{pg_type:?}");
    }
}

/// `date2j` of PostgreSQL's `datetime.c`: the Julian day of a date, by other arithmetic than the decoder's.
fn julian_day(year: i64, month: i64, day: i64) -> i64 {
    let (month, year) = if month > 2 { (month + 1, year + 4800) } else { (month + 13, year + 4799) };
    let century = year / 100;
    year * 365 - 32_167 + year / 4 - century + century / 4 + 7834 * month / 256 + day
}

/// `j2date` of PostgreSQL's `datetime.c`.
fn date_of_julian_day(julian_day: i64) -> (i64, i64, i64) {
    let mut julian = julian_day + 32_044;
    let mut quad = julian / 146_097;
    let extra = (julian - quad * 146_097) * 4 + 3;
    julian += 60 + quad * 3 + extra / 146_097;
    quad = julian / 1461;
    julian -= quad * 1461;
    let mut y = julian * 4 / 1461;
    julian = if y != 0 { (julian + 305) % 365 } else { (julian + 306) % 366 } + 123;
    y += quad * 4;
    let quad = julian * 2141 / 65_536;
    (y - 4800, (quad + 10) % 12 + 1, julian - 7834 * quad / 256)
}

/// Julian day of 2000-01-01.
const JULIAN_2000: i64 = 2_451_545;

fn split_year(year: i64) -> (String, &'static str) {
    if year > 0 { (format!("{year:04}"), "") } else { (format!("{:04}", 1 - year), " BC") }
}

fn print_timestamp(us: i64, zone: &str) -> String {
    let (year, month, day) = date_of_julian_day(us.div_euclid(86_400_000_000) + JULIAN_2000);
    let (year, era) = split_year(year);
    format!("{year}-{month:02}-{day:02} {}{zone}{era}", print_time(us.rem_euclid(86_400_000_000)))
}

fn print_time(us: i64) -> String {
    let seconds = us / 1_000_000;
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match us % 1_000_000 {
        0 => text,
        fraction => format!("{text}.{fraction:06}").trim_end_matches('0').to_owned(),
    }
}

/// `numeric_send` of a number given by its digits: groups of four around the point.
fn send_numeric(negative: bool, whole: &str, fraction: &str) -> Vec<u8> {
    let whole = whole.trim_start_matches('0');
    let padded_whole = format!("{}{whole}", "0".repeat(whole.len().next_multiple_of(4) - whole.len()));
    let padded_fraction =
        format!("{fraction}{}", "0".repeat(fraction.len().next_multiple_of(4) - fraction.len()));
    let digits = format!("{padded_whole}{padded_fraction}");
    let mut weight = i16::try_from(padded_whole.len() / 4).unwrap() - 1;
    let mut groups: Vec<u16> =
        digits.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap().parse().unwrap()).collect();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    let (weight, sign) = if groups.is_empty() { (0, 0) } else { (weight, if negative { 0x4000 } else { 0 }) };
    let mut bytes = u16::try_from(groups.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(weight.to_be_bytes());
    bytes.extend(u16::to_be_bytes(sign));
    bytes.extend(u16::try_from(fraction.len()).unwrap().to_be_bytes());
    bytes.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
    bytes
}

/// Both forms decode to the same value.
fn check_forms(
    pg_type: &PgType,
    text: &str,
    binary: &[u8],
    expected: Value<'_>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(text_of(pg_type, text), Some(expected), "{}", text);
    prop_assert_eq!(binary_of(pg_type, binary), Some(expected), "{}", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn numeric_text_and_binary_agree(
        negative in any::<bool>(),
        whole in "0|[1-9][0-9]{0,11}|[1-9][0-9]{0,41}|[1-9]0{0,40}",
        fraction in "[0-9]{0,9}|[0-9]{0,45}|0{0,45}|0{0,40}[0-9]{0,5}",
    ) {
        let point = if fraction.is_empty() { "" } else { "." };
        let zero = whole.bytes().chain(fraction.bytes()).all(|b| b == b'0');
        let sign = if negative && !zero { "-" } else { "" };
        let text = format!("{sign}{whole}{point}{fraction}");
        let bytes = send_numeric(negative, &whole, &fraction);
        let value = text_of(&NUMERIC, &text);
        prop_assert!(value.is_some(), "{}", text);
        prop_assert_eq!(value, binary_of(&NUMERIC, &bytes), "{}", text);
        // An independent reading of the digits: what the value says is what the text says.
        let needed = fraction.trim_end_matches('0').len();
        let whole_digits = whole.trim_start_matches('0').len();
        if whole_digits + needed > 38 {
            prop_assert_eq!(value, Some(Value::NumericOutOfRange));
        } else {
            let scale = fraction.len().min(38 - whole_digits);
            let digits = format!("{whole}{}", fraction.get(..scale).unwrap());
            prop_assert_eq!(value, dec(negative && !zero, digits.parse().unwrap(), u8::try_from(scale).unwrap()));
        }
    }

    #[test]
    fn date_text_and_binary_agree(days in -2_451_545_i32..=2_145_031_948) {
        let (year, month, day) = date_of_julian_day(i64::from(days) + JULIAN_2000);
        prop_assert_eq!(julian_day(year, month, day), i64::from(days) + JULIAN_2000);
        let (year, era) = split_year(year);
        let text = format!("{year}-{month:02}-{day:02}{era}");
        check_forms(&PgType::Date, &text, &days.to_be_bytes(), Value::Date(days))?;
    }

    #[test]
    fn timestamp_text_and_binary_agree(
        us in prop_oneof![
            -211_813_488_000_000_000_i64..=9_223_371_331_199_999_999,
            -1_000_000_000_000_i64..=1_000_000_000_000_000,
        ],
    ) {
        let bytes = us.to_be_bytes();
        check_forms(&PgType::Timestamp, &print_timestamp(us, ""), &bytes, Value::Timestamp(us))?;
        check_forms(&PgType::TimestampTz, &print_timestamp(us, "+00"), &bytes, Value::TimestampTz(us))?;
    }

    #[test]
    fn time_text_and_binary_agree(us in 0_i64..=86_400_000_000) {
        check_forms(&PgType::Time, &print_time(us), &us.to_be_bytes(), Value::Time(us))?;
    }

    #[test]
    fn integers_agree(int in any::<i64>(), small in any::<i16>()) {
        check_forms(&PgType::Int8, &int.to_string(), &int.to_be_bytes(), Value::Int(int))?;
        check_forms(&PgType::Int2, &small.to_string(), &small.to_be_bytes(), Value::Int(small.into()))?;
    }

    #[test]
    fn floats_agree(double in any::<f64>(), single in any::<f32>()) {
        prop_assume!(double.is_finite() && single.is_finite());
        for text in [format!("{double}"), format!("{double:e}")] {
            check_forms(&PgType::Float8, &text, &double.to_be_bytes(), Value::Float8(double))?;
        }
        check_forms(&PgType::Float4, &format!("{single:e}"), &single.to_be_bytes(), Value::Float4(single))?;
    }

    #[test]
    fn uuid_and_bytes_agree(bytes in any::<[u8; 16]>(), data in proptest::collection::vec(any::<u8>(), 0..40)) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let groups = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
        let text = groups.map(hex).join("-");
        check_forms(&PgType::Uuid, &text, &bytes, Value::Uuid(bytes))?;
        let text = format!("\\x{}", hex(&data));
        prop_assert_eq!(text_of(&PgType::Bytea, &text), Some(Value::HexBytes(&hex(&data))));
        prop_assert_eq!(binary_of(&PgType::Bytea, &data), Some(Value::Bytes(&data)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for pg_type in &TYPES {
            let _read = decode(pg_type, Field::Text(&bytes));
            let _read = decode(pg_type, Field::Binary(&bytes));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+0-9:. eBCNaInfty\\\\x]{0,60}") {
        for pg_type in &TYPES {
            let _read = decode(pg_type, Field::Text(text.as_bytes()));
        }
    }
}
