//! Hashes of canonical texts, of values of any length: XXH3, 128 bits.

use segcdc_model::{LARGE_BLOCK_BYTES, LargeKind, LargeRef, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::write_text;
use crate::convert::ValueError;

/// What NULL counts as. Any number that no text is likely to have does.
pub const NULL_HASH: u128 = 0x4e55_4c4c_0000_0000_0000_0000_4e55_4c4c;

/// Hexadecimal digits of each byte that are written at once.
const DIGITS_AT_ONCE: usize = 1024;

/// Hashes a canonical text that comes in pieces.
#[derive(Default)]
pub struct TextHasher {
    hasher: Box<Xxh3>,
}

/// Hash of a canonical text.
pub fn hash_text(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// Hash of a value's canonical text; `scratch` is overwritten. One that is kept outside of memory is read block by block.
///
/// # Errors
/// [`ValueError::Unreadable`] when it cannot be read.
pub fn hash(value: &Value<'_>, scratch: &mut String) -> Result<u128, ValueError> {
    match value {
        Value::Null => Ok(NULL_HASH),
        Value::Large(value) => large(value),
        value => {
            scratch.clear();
            write_text(value, scratch);
            Ok(hash_text(scratch))
        }
    }
}

/// What stands for a long value where people read.
pub fn shown(hash: u128) -> String {
    format!("(long value, XXH3 {hash:032x})")
}

/// Hash of the canonical text of a value that is kept outside of memory.
pub(super) fn large(large: &LargeRef<'_>) -> Result<u128, ValueError> {
    let mut hasher = TextHasher::new();
    read_large(large, &mut |text| hasher.utf8(text))?;
    Ok(hasher.finish())
}

/// Hands on the canonical text of a value that is kept outside of memory, in pieces.
///
/// # Errors
/// [`ValueError::Unreadable`] when it cannot be read.
pub(crate) fn read_large(large: &LargeRef<'_>, on_text: &mut dyn FnMut(&[u8])) -> Result<(), ValueError> {
    let mut block = Vec::with_capacity(LARGE_BLOCK_BYTES);
    let mut skip = usize::from(large.skip);
    for index in 0.. {
        large.value.store().read_block(index, &mut block).map_err(|_| ValueError::Unreadable)?;
        if block.is_empty() {
            break;
        }
        let (_, bytes) = block.split_at(skip.min(block.len()));
        skip -= skip.min(block.len());
        match large.kind {
            LargeKind::Text => on_text(bytes),
            LargeKind::Bytes => digits(bytes, on_text),
            LargeKind::HexBytes => on_text(&bytes.to_ascii_lowercase()),
        }
    }
    Ok(())
}

/// Hands on the hexadecimal digits of bytes, in pieces.
fn digits(bytes: &[u8], on_text: &mut dyn FnMut(&[u8])) {
    let digit = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    let mut digits = Vec::with_capacity(2 * DIGITS_AT_ONCE);
    for bytes in bytes.chunks(DIGITS_AT_ONCE) {
        digits.clear();
        digits.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        on_text(&digits);
    }
}

// === impl TextHasher ===

impl TextHasher {
    /// Of nothing yet.
    pub fn new() -> Self {
        TextHasher::default()
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) {
        self.utf8(text.as_bytes());
    }

    /// Adds bytes, which are spelled in hexadecimal digits.
    pub fn bytes(&mut self, bytes: &[u8]) {
        digits(bytes, &mut |text| self.utf8(text));
    }

    /// The hash, the same as [`hash_text`] of all of it.
    pub fn finish(&self) -> u128 {
        self.hasher.digest128()
    }

    fn utf8(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }
}

impl std::fmt::Debug for TextHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use segcdc_model::{Field, PgType};

    use super::*;
    use crate::convert::decode;
    use crate::kept_value::kept;

    /// A value has the same hash wherever it is kept.
    fn check(pg_type: &PgType, binary: bool, bytes: &[u8]) {
        let large = kept(binary, bytes, true);
        let field = if binary { Field::Binary(bytes) } else { Field::Text(bytes) };
        let of = |field| hash(&decode(pg_type, field).unwrap(), &mut String::new()).unwrap();
        assert_eq!(of(Field::Large(&large)), of(field), "{pg_type:?} {bytes:?}");
    }

    #[test]
    fn damaged_value_is_an_error_and_not_a_hash() {
        let large = kept(false, b"abc", false);
        let value = decode(&PgType::Text, Field::Large(&large)).unwrap();
        assert_eq!(hash(&value, &mut String::new()), Err(ValueError::Unreadable));
    }

    #[test]
    fn null_is_not_the_empty_text() {
        let of = |value| hash(&value, &mut String::new());
        assert_ne!(of(Value::Null), of(Value::Text("")));
    }

    proptest! {
        #[test]
        fn large_values_have_the_hash_of_their_text(
            text in "[a-f\u{E9}\u{20AC}\u{1F980}]{0,40}",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            check(&PgType::Text, false, text.as_bytes());
            check(&PgType::Bytea, true, &bytes);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            check(&PgType::Bytea, false, format!("\\x{hex}").as_bytes());
            check(&PgType::Jsonb, true, &[&[1], text.as_bytes()].concat());
        }
    }
}
