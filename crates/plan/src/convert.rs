//! PostgreSQL's text and binary forms to [`Value`], exactly and without allocating.
//!
//! Text forms are those of sessions with pinned settings: `DateStyle` ISO, `TimeZone` UTC (other offsets are understood
//! too), `bytea_output` hex, `extra_float_digits` at its shortest-exact setting, `client_encoding` UTF8. Parsing is
//! strict: what PostgreSQL does not print is refused, so that a setting gone astray is an error and not a wrong value.
//! Sources: PostgreSQL manual, "Data Types"; the `*send` and `*out` functions in `src/backend/utils/adt`.

mod binary;
mod large;
pub(crate) mod money;
mod numeric;
mod temporal;

use segcdc_model::{Disposition, Fault, Field, PgType, Value};

pub(crate) use numeric::{
    NumericExtent, extent as numeric_extent, print as numeric_text, trim_text as trim_numeric_text,
    without_display_scale,
};

/// The form in which a value was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The type's output function.
    Text,
    /// The type's send function.
    Binary,
}

/// Why a field cannot be read. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The stream left the field out (unchanged TOAST) and nothing else holds it.
    #[error("the stream did not send the value, and it is not known from elsewhere")]
    NotSent,
    /// Bytes that PostgreSQL does not send for the type.
    #[error("the source sent bytes that are not the {form} form of {pg_type:?}")]
    Malformed {
        /// The column's type.
        pg_type: PgType,
        /// How it was sent.
        form: Form,
    },
    /// Text that is not UTF-8 (a database with encoding SQL_ASCII), or that holds a NUL.
    #[error("the source sent text that is not UTF-8")]
    NotUtf8,
    /// An array, or JSON for a column of the type `json`, of more text than is kept in memory.
    #[error("more than 1 MiB of text cannot be made JSON of the target")]
    JsonTooLong,
    /// A value is to be hashed, and nobody said with what.
    #[error("the value is to be hashed by --mask, and there is no salt")]
    NoSalt,
    /// What was kept of a large value is not what was received.
    #[error("a large value was damaged where it was kept")]
    Unreadable,
}

// === impl Form ===

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Form::Text => "text",
            Form::Binary => "binary",
        })
    }
}

// === impl ValueError ===

impl Fault for ValueError {
    fn code(&self) -> &'static str {
        match self {
            ValueError::NotSent => "VALUE_NOT_SENT",
            ValueError::Malformed { .. } => "VALUE_MALFORMED",
            ValueError::NotUtf8 => "VALUE_NOT_UTF8",
            ValueError::JsonTooLong => "VALUE_TOO_LONG",
            ValueError::NoSalt => "MASK_SALT_MISSING",
            ValueError::Unreadable => "SPILL_DAMAGED",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            ValueError::NotSent
            | ValueError::Malformed { .. }
            | ValueError::NotUtf8
            | ValueError::JsonTooLong
            | ValueError::NoSalt
            | ValueError::Unreadable => Disposition::HaltTable,
        }
    }

    fn hint(&self) -> String {
        match self {
            ValueError::NotSent => "copy the table again; if it happens again, set REPLICA IDENTITY FULL",
            ValueError::Malformed { .. } => {
                "look for ALTER ROLE or ALTER DATABASE settings of DateStyle, bytea_output or lc_* that a session \
                 cannot override, and for a changed column type; then copy the table again"
            }
            ValueError::NotUtf8 => {
                "correct the row at the source: SQL Server takes Unicode text only, and a database with encoding \
                 SQL_ASCII holds any bytes"
            }
            ValueError::JsonTooLong => {
                "let the column be nvarchar(max), which holds what PostgreSQL prints, or set such rows aside with --on-value"
            }
            ValueError::NoSalt => {
                "give the salt with --mask-salt-file or --mask-salt-env, then copy the table again"
            }
            ValueError::Unreadable => "check the disk of --spill-dir; nothing was changed, try again",
        }
        .to_owned()
    }
}

/// Decodes one field. Called once for each value on its way to the target.
///
/// The result holds the value exactly; whether the target's column can hold it is the encoder's question.
///
/// # Errors
/// [`ValueError::NotSent`] for an unchanged TOAST field, else when the bytes are not those of the type.
#[inline]
pub fn decode<'a>(pg_type: &PgType, field: Field<'a>) -> Result<Value<'a>, ValueError> {
    match field {
        Field::Null => Ok(Value::Null),
        Field::UnchangedToast => Err(ValueError::NotSent),
        Field::Text(bytes) => decode_text(pg_type, bytes),
        Field::Binary(bytes) => binary::decode(pg_type, bytes),
        Field::Large(value) => large::decode(pg_type, value),
    }
}

/// Decodes the output function's form.
fn decode_text<'a>(pg_type: &PgType, bytes: &'a [u8]) -> Result<Value<'a>, ValueError> {
    let value = match pg_type {
        PgType::Bool => match bytes {
            b"t" => Some(Value::Bool(true)),
            b"f" => Some(Value::Bool(false)),
            _ => None,
        },
        PgType::Int2 => integer(bytes, i16::MIN.into(), i16::MAX.into()),
        PgType::Int4 => integer(bytes, i32::MIN.into(), i32::MAX.into()),
        PgType::Int8 => integer(bytes, i64::MIN, i64::MAX),
        PgType::Oid => integer(bytes, 0, u32::MAX.into()),
        PgType::Float4 => float::<f32>(bytes).map(Value::Float4),
        PgType::Float8 => float::<f64>(bytes).map(Value::Float8),
        PgType::Numeric { .. } => numeric::from_text(bytes),
        PgType::Money { fraction_digits } => money::from_text(bytes, *fraction_digits),
        // Refused before it comes to that.
        PgType::MoneyOfUnknownDigits => None,
        PgType::Bit => match bytes {
            b"1" => Some(Value::Bool(true)),
            b"0" => Some(Value::Bool(false)),
            _ => None,
        },
        PgType::Bytea => hex_bytes(bytes).map(Value::HexBytes),
        PgType::Uuid => uuid(bytes).map(Value::Uuid),
        PgType::Date => temporal::date(bytes).map(Value::Date),
        PgType::Time => temporal::time(bytes).map(Value::Time),
        PgType::Timestamp => temporal::timestamp(bytes).map(Value::Timestamp),
        PgType::TimestampTz => temporal::timestamp_tz(bytes).map(Value::TimestampTz),
        PgType::Text
        | PgType::Varchar { .. }
        | PgType::Char { .. }
        | PgType::Name
        | PgType::Json
        | PgType::Jsonb
        | PgType::Enum
        | PgType::Other => return text(bytes).map(Value::Text),
    };
    value.ok_or_else(|| ValueError::Malformed { pg_type: pg_type.clone(), form: Form::Text })
}

/// Checks that bytes are UTF-8 without a NUL, which no text of PostgreSQL holds.
fn text(bytes: &[u8]) -> Result<&str, ValueError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        Ok(_) | Err(_) => Err(ValueError::NotUtf8),
    }
}

/// Parses decimal digits with an optional minus sign.
fn integer(bytes: &[u8], min: i64, max: i64) -> Option<Value<'static>> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 19 digits hold every i64 and cannot overflow a u64.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let magnitude = digits_u64(digits)?;
    let value = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }?;
    (min..=max).contains(&value).then_some(Value::Int(value))
}

/// The number that at most 19 decimal digits spell; `None` when one of them is not a digit.
fn digits_u64(digits: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(number)
}

/// A binary floating-point type that PostgreSQL has.
trait Float: std::str::FromStr + Copy {
    const NAN: Self;
    const INFINITY: Self;
    const NEGATIVE_INFINITY: Self;
    fn is_finite(self) -> bool;
}

impl Float for f32 {
    const NAN: Self = f32::NAN;
    const INFINITY: Self = f32::INFINITY;
    const NEGATIVE_INFINITY: Self = f32::NEG_INFINITY;
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Float for f64 {
    const NAN: Self = f64::NAN;
    const INFINITY: Self = f64::INFINITY;
    const NEGATIVE_INFINITY: Self = f64::NEG_INFINITY;
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

/// Parses the shortest decimal that denotes a float, correctly rounded.
fn float<F: Float>(bytes: &[u8]) -> Option<F> {
    match bytes {
        b"NaN" => return Some(F::NAN),
        b"Infinity" => return Some(F::INFINITY),
        b"-Infinity" => return Some(F::NEGATIVE_INFINITY),
        _ => {}
    }
    let starts_well = matches!(bytes, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
    let known = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e');
    if !starts_well || !bytes.iter().all(known) {
        return None;
    }
    let value: F = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Checks `\x` and an even number of hexadecimal digits; returns the digits.
fn hex_bytes(bytes: &[u8]) -> Option<&str> {
    let digits = bytes.strip_prefix(b"\\x")?;
    let valid = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    if valid { std::str::from_utf8(digits).ok() } else { None }
}

/// Parses 8-4-4-4-12 hexadecimal digits.
fn uuid(bytes: &[u8]) -> Option<[u8; 16]> {
    let bytes: &[u8; 36] = bytes.try_into().ok()?;
    let mut uuid = [0_u8; 16];
    let mut filled = uuid.iter_mut();
    let mut rest: &[u8] = bytes;
    while let [first, after @ ..] = rest {
        if *first == b'-' {
            // Hyphens stand in front of 28, 23, 18 and 13 remaining bytes.
            if !matches!(rest.len(), 28 | 23 | 18 | 13) {
                return None;
            }
            rest = after;
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        *filled.next()? = (hex_digit(*high)? << 4) | hex_digit(*low)?;
        rest = after;
    }
    filled.next().is_none().then_some(uuid)
}

fn hex_digit(byte: u8) -> Option<u8> {
    Some(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
