//! Text of varchar columns: UTF-8 in `_UTF8` collations, code page 1252 in all others.

use std::borrow::Cow;

use segcdc_tds::Collation;

/// What bytes 0x80 to 0x9F of code page 1252 mean; the five that mean nothing are C1 controls, as Windows has it.
const UPPER: [char; 32] = [
    '\u{20AC}', '\u{81}', '\u{201A}', '\u{192}', '\u{201E}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2C6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8D}', '\u{17D}', '\u{8F}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201C}', '\u{201D}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2DC}', '\u{2122}', '\u{161}',
    '\u{203A}', '\u{153}', '\u{9D}', '\u{17E}', '\u{178}',
];

/// Bytes of a text. What the code page lacks becomes `?`, as SQL Server does.
pub fn encode(collation: Collation, text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() || collation.is_utf8() {
        return text.as_bytes().into();
    }
    text.chars().map(byte_of).collect::<Vec<u8>>().into()
}

/// Text of bytes.
pub fn decode(collation: Collation, bytes: &[u8]) -> String {
    if bytes.is_ascii() || collation.is_utf8() {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    bytes.iter().map(|byte| char_of(*byte)).collect()
}

/// A character's byte.
fn byte_of(character: char) -> u8 {
    match u8::try_from(u32::from(character)) {
        Ok(byte @ (0..=0x7F | 0xA0..=0xFF)) => byte,
        _ => (0x80..=0x9F).find(|byte| char_of(*byte) == character).unwrap_or(b'?'),
    }
}

/// A byte's character.
fn char_of(byte: u8) -> char {
    UPPER.get(usize::from(byte.wrapping_sub(0x80))).copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_code_page_1252_round_trips() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let collation = Collation::SQL_LATIN1_GENERAL_CP1_CI_AS;
        assert_eq!(*encode(collation, &decode(collation, &bytes)), bytes);
        assert_eq!(*encode(collation, "\u{20AC}\u{3B1}"), [0x80, b'?']);
    }

    #[test]
    fn utf8_collations_keep_all_characters() {
        let collation = Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8;
        assert_eq!(decode(collation, &encode(collation, "\u{3B1}\u{1F600}")), "\u{3B1}\u{1F600}");
    }
}
