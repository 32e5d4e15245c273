//! Values in PostgreSQL's binary and text forms, from any bytes. What decodes has a canonical text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcdc_model::{Field, PgType};
use segcdc_plan::canonical::canonical_text;
use segcdc_plan::convert::decode;

fuzz_target!(|bytes: &[u8]| {
    let Some((&head, bytes)) = bytes.split_first() else { return };
    let types = [
        PgType::Bool,
        PgType::Int2,
        PgType::Int4,
        PgType::Int8,
        PgType::Float4,
        PgType::Float8,
        PgType::Numeric { bounds: None },
        PgType::Numeric { bounds: Some((38, 10)) },
        PgType::Text,
        PgType::Char { length: 5 },
        PgType::Bytea,
        PgType::Uuid,
        PgType::Jsonb,
        PgType::Date,
        PgType::Time,
        PgType::Timestamp,
        PgType::TimestampTz,
        PgType::Oid,
        PgType::Bit,
        PgType::Money { fraction_digits: 2 },
        PgType::Other,
    ];
    let pg_type = &types[usize::from(head) % types.len()];
    for field in [Field::Binary(bytes), Field::Text(bytes)] {
        if decode(pg_type, field).is_ok() {
            assert!(canonical_text(pg_type, field).is_ok(), "what decodes has a canonical text: {pg_type:?}");
        }
    }
});
