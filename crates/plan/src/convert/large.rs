//! Values that are kept outside of memory: decided by what was noted when they were received, without reading them.

use segcdc_model::{LargeKind, LargeRef, LargeValue, PgType, Value};

use super::{Form, ValueError};

/// Version that `jsonb_send` puts in front of the text.
const JSONB_VERSION: u8 = 1;

/// Length of `\\x` in front of hexadecimal digits.
const HEX_PREFIX: u8 = 2;

/// Decodes either form.
pub(super) fn decode<'a>(pg_type: &PgType, value: &'a LargeValue) -> Result<Value<'a>, ValueError> {
    let facts = value.facts();
    let form = if facts.binary { Form::Binary } else { Form::Text };
    let malformed = || ValueError::Malformed { pg_type: pg_type.clone(), form };
    let (kind, skip) = match (pg_type, form) {
        (PgType::Bytea, Form::Binary) => (LargeKind::Bytes, 0),
        (PgType::Bytea, Form::Text) if facts.hex => (LargeKind::HexBytes, HEX_PREFIX),
        (PgType::Jsonb, Form::Binary) if facts.first_byte == JSONB_VERSION => (LargeKind::Text, 1),
        (
            PgType::Text
            | PgType::Varchar { .. }
            | PgType::Char { .. }
            | PgType::Name
            | PgType::Json
            | PgType::Enum,
            _,
        )
        | (PgType::Jsonb | PgType::Other, Form::Text) => (LargeKind::Text, 0),
        // Only text and bytes are ever so long.
        _ => return Err(malformed()),
    };
    if kind == LargeKind::Text && facts.utf16_units.is_none() {
        return Err(ValueError::NotUtf8);
    }
    Ok(Value::Large(LargeRef { value, kind, skip }))
}
