//! Large values of the source as long values of the target: read in blocks, turned into UTF-16 or bytes, sent in pieces.

use std::io;
use std::sync::Arc;

use segcdc_model::{LargeKind, LargeRef, LargeStore};
use segcdc_tds::{LongValue, LongValueReader};

/// A large value on its way.
#[derive(Debug)]
pub(crate) struct LargeParts {
    store: Arc<dyn LargeStore>,
    kind: LargeKind,
    skip: usize,
    byte_len: u64,
}

/// Reads one.
struct Reader {
    store: Arc<dyn LargeStore>,
    next_block: u64,
    block: Vec<u8>,
    conversion: Conversion,
}

/// Turns the source's bytes, which come in pieces of any size, into the target's.
#[derive(Debug)]
struct Conversion {
    kind: LargeKind,
    /// Bytes in front that do not belong to the value.
    skip: usize,
    /// The beginning of a code point, or of a pair of digits, whose end has not come.
    carry: Vec<u8>,
}

// === impl LargeParts ===

impl LargeParts {
    /// What is sent for a value.
    pub(crate) fn new(large: LargeRef<'_>) -> Self {
        LargeParts {
            store: Arc::clone(large.value.store()),
            kind: large.kind,
            skip: usize::from(large.skip),
            byte_len: large.target_bytes(),
        }
    }

    /// All of it, for what cannot take pieces. The caller bounds its length.
    pub(crate) fn read_whole(&self) -> io::Result<Vec<u8>> {
        let (mut reader, mut whole) = (self.read(), Vec::new());
        loop {
            let before = whole.len();
            reader.read_piece(&mut whole)?;
            if whole.len() == before {
                return Ok(whole);
            }
        }
    }
}

impl LongValue for LargeParts {
    fn is_text(&self) -> bool {
        self.kind == LargeKind::Text
    }

    fn byte_len(&self) -> u64 {
        self.byte_len
    }

    fn read(&self) -> Box<dyn LongValueReader> {
        Box::new(Reader {
            store: Arc::clone(&self.store),
            next_block: 0,
            block: Vec::new(),
            conversion: Conversion::new(self.kind, self.skip),
        })
    }
}

// === impl Reader ===

impl LongValueReader for Reader {
    fn read_piece(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let before = out.len();
        while out.len() == before {
            self.store.read_block(self.next_block, &mut self.block)?;
            if self.block.is_empty() {
                return self.conversion.finish();
            }
            self.next_block += 1;
            self.conversion.push(&self.block, out)?;
        }
        Ok(())
    }
}

// === impl Conversion ===

impl Conversion {
    fn new(kind: LargeKind, skip: usize) -> Self {
        Conversion { kind, skip, carry: Vec::new() }
    }

    /// Converts the next bytes.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let bytes = bytes.get(skipped..).unwrap_or_default();
        match self.kind {
            LargeKind::Bytes => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            LargeKind::HexBytes => self.push_hex(bytes, out),
            LargeKind::Text => self.push_text(bytes, out),
        }
    }

    /// Checks that nothing is left.
    fn finish(&self) -> io::Result<()> {
        if self.carry.is_empty() { Ok(()) } else { Err(invalid()) }
    }

    fn push_hex(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if let (Some(high), Some((low, rest))) = (self.carry.first(), bytes.split_first()) {
            out.push(byte_of(*high, *low)?);
            self.carry.clear();
            bytes = rest;
        }
        let (pairs, odd) = bytes.as_chunks::<2>();
        out.reserve(pairs.len());
        for [high, low] in pairs {
            out.push(byte_of(*high, *low)?);
        }
        self.carry.extend_from_slice(odd);
        Ok(())
    }

    fn push_text(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while !self.carry.is_empty() {
            let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.carry.push(*first);
            match std::str::from_utf8(&self.carry) {
                Ok(text) => {
                    push_utf16(text, out);
                    self.carry.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(invalid()),
            }
        }
        let whole = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                let (whole, rest) = bytes.split_at(error.valid_up_to());
                self.carry.extend_from_slice(rest);
                std::str::from_utf8(whole).map_err(|_| invalid())?
            }
            Err(_) => return Err(invalid()),
        };
        push_utf16(whole, out);
        Ok(())
    }
}

/// Appends little-endian UTF-16.
fn push_utf16(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() * 2);
    if text.is_ascii() {
        out.extend(text.bytes().flat_map(|byte| [byte, 0]));
    } else {
        out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    }
}

/// The byte that two hexadecimal digits spell.
fn byte_of(high: u8, low: u8) -> io::Result<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(invalid()),
    }
}

/// The bytes are not what was noted of them when they came.
fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a large value is not what was received")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What bytes become that come in pieces that end at `cuts`.
    fn converted(kind: LargeKind, skip: usize, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut conversion, mut out, mut from) = (Conversion::new(kind, skip), Vec::new(), 0);
        for end in ends {
            conversion.push(bytes.get(from..end).unwrap(), &mut out).unwrap();
            from = end;
        }
        conversion.finish().unwrap();
        out
    }

    #[test]
    fn what_ends_in_the_middle_is_refused() {
        for (kind, bytes) in [(LargeKind::Text, &b"a\xF0\x9F"[..]), (LargeKind::HexBytes, b"abc")] {
            let mut conversion = Conversion::new(kind, 0);
            conversion.push(bytes, &mut Vec::new()).unwrap();
            assert!(conversion.finish().is_err());
        }
    }

    proptest! {
        #[test]
        fn pieces_anywhere_give_the_same_bytes(
            text in "[a-f\u{E9}\u{20AC}\u{1F980}]{0,40}",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            skip in 0_usize..3,
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let prefixed = |content: &[u8]| [&b"\\x"[..skip], content].concat();
            prop_assert_eq!(converted(LargeKind::Text, skip, &prefixed(text.as_bytes()), &cuts), utf16);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(&converted(LargeKind::HexBytes, skip, &prefixed(hex.as_bytes()), &cuts), &bytes);
            prop_assert_eq!(&converted(LargeKind::Bytes, skip, &prefixed(&bytes), &cuts), &bytes);
        }
    }
}
