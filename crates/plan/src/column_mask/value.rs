//! What becomes of one value.

use hmac::{Hmac, Mac};
use segcdc_model::{Field, LARGE_BLOCK_BYTES, LargeValue, PgType, Value};
use sha2::Sha256;

use crate::canonical;
use crate::convert::{self, ValueError};
use crate::spelling::{self, Spelling};

/// Bytes that a character has at most in UTF-8.
const MOST_CHARACTER_BYTES: usize = 4;

/// The HMAC of a value's canonical text; of the one that all values share which PostgreSQL holds equal.
///
/// # Errors
/// When the value cannot be read.
pub(super) fn hashed(
    pg_type: &PgType,
    field: Field<'_>,
    mut mac: Hmac<Sha256>,
) -> Result<[u8; 32], ValueError> {
    match convert::decode(pg_type, field)? {
        Value::Large(large) => canonical::read_large(&large, &mut |text| mac.update(text))?,
        Value::NumericOutOfRange => match spelling::spell_whole(pg_type, field) {
            Spelling::Text(text) => mac.update(convert::trim_numeric_text(text.as_bytes())),
            _ => return Err(ValueError::Malformed { pg_type: pg_type.clone(), form: convert::Form::Binary }),
        },
        value => {
            let mut text = String::new();
            canonical::write_text(&value, &mut text);
            mac.update(equal_text(pg_type, &text).as_bytes());
        }
    }
    Ok(mac.finalize().into_bytes().into())
}

/// The text that equal values share: both zeros are one number, and blanks at the end of `char(n)` are no part of it.
fn equal_text<'t>(pg_type: &PgType, text: &'t str) -> &'t str {
    match pg_type {
        PgType::Float4 | PgType::Float8 if text == "-0e0" => "0e0",
        PgType::Char { .. } => text.trim_end_matches(' '),
        _ => text,
    }
}

/// Adds the first characters of a text.
///
/// # Errors
/// As [`hashed`].
pub(super) fn truncated(field: Field<'_>, characters: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let text = match field {
        Field::Text(bytes) | Field::Binary(bytes) => first_characters(bytes, characters)?,
        Field::Large(value) => {
            let begin = beginning(value, characters.saturating_mul(MOST_CHARACTER_BYTES))?;
            out.extend_from_slice(first_characters(&begin, characters)?.as_bytes());
            return Ok(());
        }
        Field::Null | Field::UnchangedToast => return Err(ValueError::NotSent),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The first characters of bytes, which may end within a later one.
fn first_characters(bytes: &[u8], characters: usize) -> Result<&str, ValueError> {
    let begin = bytes.get(..characters.saturating_mul(MOST_CHARACTER_BYTES)).unwrap_or(bytes);
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        // What was cut is the end of a character, of which there are enough in front of it.
        Err(error) if error.error_len().is_none() && begin.len() < bytes.len() => {
            let whole = begin.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).map_err(|_| ValueError::NotUtf8)?
        }
        Err(_) => return Err(ValueError::NotUtf8),
    };
    let end = text.char_indices().nth(characters).map_or(text.len(), |(end, _)| end);
    match text.get(..end) {
        Some(text) if !text.contains('\0') => Ok(text),
        _ => Err(ValueError::NotUtf8),
    }
}

/// At least so many bytes of the beginning of a value that is kept outside of memory, or all that it has.
fn beginning(value: &LargeValue, bytes: usize) -> Result<Vec<u8>, ValueError> {
    let mut begin = Vec::new();
    let mut block = Vec::with_capacity(LARGE_BLOCK_BYTES);
    for index in 0.. {
        value.store().read_block(index, &mut block).map_err(|_| ValueError::Unreadable)?;
        // One byte more than is asked for, so that what ends within a character is known to go on.
        if block.is_empty() || begin.len() > bytes {
            break;
        }
        begin.extend_from_slice(&block);
    }
    Ok(begin)
}
