//! The send functions' forms: big-endian, the same on every server.

use segcdc_model::{PgType, Value};

use super::{Form, ValueError, money, numeric, text};
use crate::convert::temporal::MICROSECONDS_PER_DAY;

/// Version that `jsonb_send` puts in front of the text.
const JSONB_VERSION: u8 = 1;

/// Decodes the send function's form.
#[inline]
pub(super) fn decode<'a>(pg_type: &PgType, bytes: &'a [u8]) -> Result<Value<'a>, ValueError> {
    let value = match pg_type {
        PgType::Bool => match bytes {
            [0] => Some(Value::Bool(false)),
            [1] => Some(Value::Bool(true)),
            _ => None,
        },
        PgType::Int2 => array(bytes).map(|b| Value::Int(i16::from_be_bytes(b).into())),
        PgType::Int4 => array(bytes).map(|b| Value::Int(i32::from_be_bytes(b).into())),
        PgType::Int8 => array(bytes).map(|b| Value::Int(i64::from_be_bytes(b))),
        PgType::Oid => array(bytes).map(|b| Value::Int(u32::from_be_bytes(b).into())),
        PgType::Float4 => array(bytes).map(|b| Value::Float4(f32::from_be_bytes(b))),
        PgType::Float8 => array(bytes).map(|b| Value::Float8(f64::from_be_bytes(b))),
        PgType::Numeric { .. } => numeric::from_binary(bytes),
        PgType::Money { fraction_digits } => {
            array(bytes).map(|b| money::of_units(i64::from_be_bytes(b), *fraction_digits))
        }
        // The number of bits, then the bits from the highest down.
        PgType::Bit => match bytes {
            [0, 0, 0, 1, 0x80] => Some(Value::Bool(true)),
            [0, 0, 0, 1, 0x00] => Some(Value::Bool(false)),
            _ => None,
        },
        PgType::Bytea => Some(Value::Bytes(bytes)),
        PgType::Uuid => array(bytes).map(Value::Uuid),
        PgType::Date => array(bytes).map(|b| Value::Date(i32::from_be_bytes(b))),
        PgType::Time => array(bytes)
            .map(i64::from_be_bytes)
            .filter(|us| (0..=MICROSECONDS_PER_DAY).contains(us))
            .map(Value::Time),
        PgType::Timestamp => array(bytes).map(|b| Value::Timestamp(i64::from_be_bytes(b))),
        PgType::TimestampTz => array(bytes).map(|b| Value::TimestampTz(i64::from_be_bytes(b))),
        PgType::Jsonb => match bytes {
            [JSONB_VERSION, json @ ..] => return text(json).map(Value::Text),
            _ => None,
        },
        PgType::Text
        | PgType::Varchar { .. }
        | PgType::Char { .. }
        | PgType::Name
        | PgType::Json
        | PgType::Enum => return text(bytes).map(Value::Text),
        // What other types' binary forms mean is not known here; the source casts them to text.
        PgType::MoneyOfUnknownDigits | PgType::Other => None,
    };
    value.ok_or_else(|| ValueError::Malformed { pg_type: pg_type.clone(), form: Form::Binary })
}

/// All the bytes as an array of exactly that length.
fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}
