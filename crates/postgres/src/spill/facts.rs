//! [`Observer`]: what is noted of a value while its bytes pass.

use segcdc_model::LargeFacts;
use sha2::{Digest, Sha256};

/// Longest code point in UTF-8.
const MAX_UTF8_LEN: usize = 4;

/// Takes note of bytes that come in pieces of any size.
#[derive(Debug)]
pub(super) struct Observer {
    binary: bool,
    length: u64,
    first_byte: u8,
    sha256: Sha256,
    /// UTF-16 units so far; `None` once the bytes are not text.
    units: Option<u64>,
    /// The beginning of a code point whose end has not come.
    carry: Vec<u8>,
    /// Every byte so far belongs to hexadecimal bytes with their prefix.
    hex: bool,
}

// === impl Observer ===

impl Observer {
    /// Has seen nothing.
    pub(super) fn new(binary: bool) -> Self {
        Observer {
            binary,
            length: 0,
            first_byte: 0,
            sha256: Sha256::new(),
            units: Some(0),
            carry: Vec::with_capacity(MAX_UTF8_LEN),
            hex: true,
        }
    }

    /// Sees the next bytes.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        if self.length == 0 {
            self.first_byte = bytes.first().copied().unwrap_or_default();
        }
        self.sha256.update(bytes);
        if self.hex {
            let prefix = usize::try_from(self.length).unwrap_or(2).min(2);
            let wanted = b"\\x".get(prefix..).unwrap_or_default();
            let (head, digits) = bytes.split_at(bytes.len().min(wanted.len()));
            self.hex = wanted.starts_with(head) && digits.iter().all(u8::is_ascii_hexdigit);
        }
        if let Some(units) = self.units {
            self.units = self.text_units(bytes).map(|more| units + more);
        }
        self.length += bytes.len() as u64;
    }

    /// What was noted, when nothing more comes.
    pub(super) fn finish(self) -> LargeFacts {
        LargeFacts {
            binary: self.binary,
            length: self.length,
            first_byte: self.first_byte,
            sha256: self.sha256.finalize().into(),
            utf16_units: self.units.filter(|_| self.carry.is_empty()),
            hex: self.hex && self.length >= 2 && self.length.is_multiple_of(2),
        }
    }

    /// UTF-16 units of the code points that end in `bytes`; `None` when these are no text.
    fn text_units(&mut self, mut bytes: &[u8]) -> Option<u64> {
        let mut units = 0;
        while !self.carry.is_empty() {
            let Some((first, rest)) = bytes.split_first() else { return Some(units) };
            bytes = rest;
            self.carry.push(*first);
            match std::str::from_utf8(&self.carry) {
                Ok(text) => {
                    units += count_units(text.as_bytes());
                    self.carry.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return None,
            }
        }
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return None,
        };
        let (whole, rest) = bytes.split_at(whole);
        self.carry.extend_from_slice(rest);
        (!whole.contains(&0)).then(|| units + count_units(whole))
    }
}

/// UTF-16 units of UTF-8: one for each code point, two for those of four bytes.
fn count_units(utf8: &[u8]) -> u64 {
    utf8.iter().map(|byte| u64::from(byte & 0xC0 != 0x80) + u64::from(*byte >= 0xF0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The facts of bytes that come in pieces that end at `cuts`.
    fn facts(bytes: &[u8], cuts: &[usize]) -> LargeFacts {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut observer, mut from) = (Observer::new(false), 0);
        for end in ends {
            observer.see(bytes.get(from..end).unwrap());
            from = end;
        }
        observer.finish()
    }

    #[test]
    fn facts_tell_text_and_hexadecimal_bytes() {
        let of = |bytes: &[u8]| (facts(bytes, &[]).utf16_units, facts(bytes, &[]).hex);
        assert_eq!(of("a\u{E9}\u{1F980}".as_bytes()), (Some(4), false));
        assert_eq!(of(b"a\0b"), (None, false));
        assert_eq!(of(b"\xF0\x9F\xA6"), (None, false), "a code point without its end");
        assert_eq!(of(b"\\x00ffAB"), (Some(8), true));
        assert_eq!(of(b"\\x00f"), (Some(5), false), "half a byte");
        assert_eq!(of(b"\\y00"), (Some(4), false));
        assert_eq!(of(b""), (Some(0), false));
    }

    proptest! {
        #[test]
        fn facts_do_not_depend_on_the_pieces(
            text in "[a-f\u{E9}\u{20AC}\u{1F980}]{0,40}",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            hex in "(\\\\x)?[0-9a-f]{0,20}",
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            for value in [text.as_bytes(), &bytes, hex.as_bytes()] {
                prop_assert_eq!(facts(value, &cuts), facts(value, &[]));
            }
            prop_assert_eq!(facts(text.as_bytes(), &cuts).utf16_units, Some(text.encode_utf16().count() as u64));
        }
    }
}
