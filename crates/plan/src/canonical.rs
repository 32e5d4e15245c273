//! One text for each value, the same whichever server it was read from, to compare source and target.
//!
//! The source's fields are decoded by [`crate::convert`]; the target's are turned into the same [`Value`] variants by
//! whoever reads them. Two values have the same canonical text if and only if the pipeline would have carried the one
//! as the other: trailing zeros of a decimal do not count, trailing blanks of a text do.
//!
//! A value that is too large for memory has a canonical text as well, which is hashed piece by piece and never held.

use std::borrow::Cow;
use std::fmt::Write;

use segcdc_model::{Field, PgType, Value};

use crate::convert::{self, ValueError};
use crate::json_array;
use crate::json_document;

/// Microseconds of a day.
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// Days from 0000-03-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 730_425;

mod hash;

pub(crate) use hash::read_large;
pub use hash::{NULL_HASH, TextHasher, hash, hash_text, shown};

/// The canonical text of a source field; `None` for NULL. Of a value that is kept outside of memory, [`shown`].
///
/// # Errors
/// As [`convert::decode`]; [`ValueError::Unreadable`] for a value that is kept outside of memory and was damaged there.
pub fn canonical_text(pg_type: &PgType, field: Field<'_>) -> Result<Option<String>, ValueError> {
    let mut text = String::new();
    match convert::decode(pg_type, field)? {
        Value::Null => return Ok(None),
        Value::Large(large) => text = shown(hash::large(&large)?),
        value => write_text(&value, &mut text),
    }
    Ok(Some(text))
}

/// Appends the canonical text of a value; nothing for NULL, which the caller must tell from the empty text, and nothing
/// for a value that is kept outside of memory, whose text can only be hashed.
pub fn write_text(value: &Value<'_>, out: &mut String) {
    // Writing to a String cannot fail.
    let _infallible = match value {
        Value::Null | Value::Large(_) => Ok(()),
        Value::Bool(value) => out.write_str(if *value { "true" } else { "false" }),
        Value::Int(value) => write!(out, "{value}"),
        Value::Float4(value) => write!(out, "{value:e}"),
        Value::Float8(value) => write!(out, "{value:e}"),
        Value::Decimal { negative, magnitude, scale } => write_decimal(*negative, *magnitude, *scale, out),
        Value::NumericOutOfRange => out.write_str("(out of range)"),
        Value::Text(text) => out.write_str(text),
        Value::Array { text, element } => {
            let before = out.len();
            // No column of the target holds such a text, which is no JSON.
            json_array::write(text, *element, out).or_else(|_| {
                out.truncate(before);
                out.write_str("(no JSON array)")
            })
        }
        Value::Document { text, array } => json_document::write_printed(text, *array, out)
            // No column of the target holds such a text, which is no JSON.
            .or_else(|_| out.write_str("(no JSON document)")),
        Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        Value::HexBytes(digits) => {
            digits.bytes().try_for_each(|byte| out.write_char(char::from(byte.to_ascii_lowercase())))
        }
        Value::Uuid(bytes) => write_uuid(bytes, out),
        Value::Date(i32::MAX) | Value::Timestamp(i64::MAX) | Value::TimestampTz(i64::MAX) => {
            out.write_str("infinity")
        }
        Value::Date(i32::MIN) | Value::Timestamp(i64::MIN) | Value::TimestampTz(i64::MIN) => {
            out.write_str("-infinity")
        }
        Value::Date(days) => write_date(i64::from(*days), out),
        Value::Time(time) => write_time(*time, out),
        Value::Timestamp(timestamp) => write_timestamp(*timestamp, out),
        Value::TimestampTz(instant) => write_timestamp(*instant, out).and_then(|()| out.write_char('Z')),
    };
}

/// The text that PostgreSQL prints, and reads, under the pinned settings for the value with this canonical text.
pub fn source_text<'t>(pg_type: &PgType, canonical: &'t str) -> Cow<'t, str> {
    match pg_type {
        PgType::Bool => Cow::Borrowed(if canonical == "true" { "t" } else { "f" }),
        PgType::Bit => Cow::Borrowed(if canonical == "true" { "1" } else { "0" }),
        PgType::Money { fraction_digits } => {
            convert::money::print(canonical, *fraction_digits).map_or(Cow::Borrowed(canonical), Cow::Owned)
        }
        PgType::Bytea => Cow::Owned(format!("\\x{canonical}")),
        PgType::Time => Cow::Borrowed(without_zeros(canonical)),
        PgType::Timestamp => Cow::Owned(without_zeros(canonical).replacen('T', " ", 1)),
        PgType::TimestampTz if canonical.ends_with("infinity") => Cow::Borrowed(canonical),
        PgType::TimestampTz => {
            let instant = canonical.strip_suffix('Z').unwrap_or(canonical);
            Cow::Owned(format!("{}+00", without_zeros(instant).replacen('T', " ", 1)))
        }
        _ => Cow::Borrowed(canonical),
    }
}

/// A time without zeros at the end of its fraction, which canonical texts always have.
fn without_zeros(time: &str) -> &str {
    if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time }
}

/// Digits without zeros at the end of the fraction.
fn write_decimal(negative: bool, mut magnitude: u128, mut scale: u8, out: &mut String) -> std::fmt::Result {
    while scale > 0 && magnitude.is_multiple_of(10) {
        magnitude /= 10;
        scale -= 1;
    }
    if negative && magnitude != 0 {
        out.write_char('-')?;
    }
    let Some(unit) = 10_u128.checked_pow(u32::from(scale)).filter(|unit| *unit > 1) else {
        return write!(out, "{magnitude}");
    };
    write!(out, "{}.{:0width$}", magnitude / unit, magnitude % unit, width = usize::from(scale))
}

fn write_uuid(bytes: &[u8; 16], out: &mut String) -> std::fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.write_char('-')?;
        }
        write!(out, "{byte:02x}")?;
    }
    Ok(())
}

/// `YYYY-MM-DD` in astronomical years: 1 BC is 0000, 2 BC is -0001.
fn write_date(days_since_2000: i64, out: &mut String) -> std::fmt::Result {
    let days = days_since_2000 + DAYS_TO_2000;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096).div_euclid(365);
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + carry;
    let sign = if year < 0 { "-" } else { "" };
    write!(out, "{sign}{:04}-{month:02}-{day:02}", year.abs())
}

fn write_time(time_us: i64, out: &mut String) -> std::fmt::Result {
    let (seconds, fraction) = (time_us / 1_000_000, time_us % 1_000_000);
    write!(out, "{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn write_timestamp(timestamp_us: i64, out: &mut String) -> std::fmt::Result {
    write_date(timestamp_us.div_euclid(MICROSECONDS_PER_DAY), out)?;
    out.write_char('T')?;
    write_time(timestamp_us.rem_euclid(MICROSECONDS_PER_DAY), out)
}
