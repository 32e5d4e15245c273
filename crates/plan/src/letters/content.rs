//! [`digest`]: what a row without a key is known by, in whichever form its fields were sent, and wherever they are kept.
//!
//! The copy asks for binary forms where the stream may be text: a row that was set aside by the one has to be found by the
//! other. So what is hashed of a field is the text that PostgreSQL prints, also of one that is too large to be held.

use segcdc_model::{Field, LARGE_BLOCK_BYTES, LargeKind, LargeRef, LargeValue, PgType, Value, hex};
use sha2::{Digest, Sha256};

use super::KeyDigest;
use crate::convert::{self, ValueError};
use crate::row_image::RowImage;
use crate::spelling::{self, Spelling};
use crate::table_plan::TablePlan;

/// What stands in front of the digits of bytes.
const HEX_PREFIX: &[u8] = b"\\x";

/// Digest of all columns.
///
/// # Errors
/// The column whose field was not sent, or cannot be read where it is kept.
pub(super) fn digest(table: &TablePlan, image: &RowImage) -> Result<KeyDigest, (usize, ValueError)> {
    let mut hasher = Sha256::new();
    for (index, column) in table.columns.iter().enumerate() {
        add(&mut hasher, &column.pg_type, image.field(index)).map_err(|error| (index, error))?;
    }
    Ok(hasher.finalize().into())
}

/// Adds one field.
fn add(hasher: &mut Sha256, pg_type: &PgType, field: Field<'_>) -> Result<(), ValueError> {
    if let Field::Large(value) = field {
        return match convert::decode(pg_type, field) {
            Ok(Value::Large(large)) => add_large(hasher, large),
            // Not of its type, or no text: the bytes as they are, as of one that is held.
            _ => {
                begin(hasher, b't', value.facts().length);
                add_blocks(hasher, value, 0, |bytes, hasher| hasher.update(bytes))
            }
        };
    }
    match spelling::spell_whole(pg_type, field) {
        Spelling::Null => begin(hasher, b'n', 0),
        Spelling::Unknown | Spelling::Long(_) => return Err(ValueError::NotSent),
        Spelling::Text(text) => {
            begin(hasher, b't', text.len() as u64);
            hasher.update(text.as_bytes());
        }
        Spelling::Bytes(bytes) => {
            begin(hasher, b't', bytes.len() as u64);
            hasher.update(bytes);
        }
    }
    Ok(())
}

/// Adds what tells a field from the next.
fn begin(hasher: &mut Sha256, tag: u8, length: u64) {
    hasher.update([tag]);
    hasher.update(length.to_be_bytes());
}

/// Adds the text of a value that is kept elsewhere.
fn add_large(hasher: &mut Sha256, large: LargeRef<'_>) -> Result<(), ValueError> {
    let (value, skip) = (large.value, usize::from(large.skip));
    let kept = value.facts().length.saturating_sub(skip as u64);
    let (prefix, digits): (&[u8], u64) = match large.kind {
        LargeKind::Text => (b"", 1),
        LargeKind::Bytes => (HEX_PREFIX, 2),
        LargeKind::HexBytes => (HEX_PREFIX, 1),
    };
    begin(hasher, b't', prefix.len() as u64 + digits * kept);
    hasher.update(prefix);
    add_blocks(hasher, value, skip, |bytes, hasher| match large.kind {
        LargeKind::Text => hasher.update(bytes),
        LargeKind::Bytes => hasher.update(hex(bytes)),
        LargeKind::HexBytes => hasher.update(bytes.to_ascii_lowercase()),
    })
}

/// Adds the blocks of a value behind its first `skip` bytes.
fn add_blocks(
    hasher: &mut Sha256,
    value: &LargeValue,
    mut skip: usize,
    update: impl Fn(&[u8], &mut Sha256),
) -> Result<(), ValueError> {
    let mut block = Vec::with_capacity(LARGE_BLOCK_BYTES);
    for index in 0.. {
        value.store().read_block(index, &mut block).map_err(|_| ValueError::Unreadable)?;
        if block.is_empty() {
            break;
        }
        let (skipped, bytes) = block.split_at(skip.min(block.len()));
        skip -= skipped.len();
        update(bytes, hasher);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kept_value::kept;

    fn digest_of(pg_type: &PgType, field: Field<'_>) -> Result<KeyDigest, ValueError> {
        let mut hasher = Sha256::new();
        add(&mut hasher, pg_type, field).map(|()| hasher.finalize().into())
    }

    /// A value has one digest: as text and binary, held and kept elsewhere.
    fn check(pg_type: &PgType, text: &[u8], binary: &[u8]) {
        let expected = digest_of(pg_type, Field::Text(text)).unwrap();
        assert_eq!(digest_of(pg_type, Field::Binary(binary)).unwrap(), expected, "binary");
        assert_eq!(
            digest_of(pg_type, Field::Large(&kept(false, text, true))).unwrap(),
            expected,
            "kept as text"
        );
        assert_eq!(
            digest_of(pg_type, Field::Large(&kept(true, binary, true))).unwrap(),
            expected,
            "kept as binary"
        );
    }

    #[test]
    fn values_that_are_not_spelled_out_have_one_digest() {
        // One form of each is beyond what is spelled out for people.
        for length in [40_000, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
            check(&PgType::Bytea, format!("\\x{}", hex(&bytes)).as_bytes(), &bytes);
        }
        let document = format!("[\"{}\"]", "x".repeat(spelling::MAX_BYTES - 4));
        check(&PgType::Jsonb, document.as_bytes(), format!("\x01{document}").as_bytes());
    }

    #[test]
    fn what_cannot_be_read_or_was_not_sent_has_none() {
        let lost = kept(false, b"abc", false);
        assert_eq!(digest_of(&PgType::Text, Field::Large(&lost)), Err(ValueError::Unreadable));
        assert_eq!(digest_of(&PgType::Text, Field::UnchangedToast), Err(ValueError::NotSent));
    }

    proptest! {
        #[test]
        fn forms_and_places_make_no_difference(
            text in "[a-f\u{E9}\u{20AC}\u{1F980}]{0,40}",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            check(&PgType::Text, text.as_bytes(), text.as_bytes());
            check(&PgType::Bytea, format!("\\x{}", hex(&bytes)).as_bytes(), &bytes);
            check(&PgType::Jsonb, text.as_bytes(), &[&[1], text.as_bytes()].concat());
            // Bytes that are no text, of a database that cannot tell.
            let (held, elsewhere) = (Field::Text(&bytes), kept(false, &bytes, true));
            prop_assert_eq!(digest_of(&PgType::Text, held), digest_of(&PgType::Text, Field::Large(&elsewhere)));
        }
    }
}
