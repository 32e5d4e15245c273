//! [`kept`]: a large value for tests, in memory and in blocks of a few bytes.

use std::io;
use std::sync::Arc;

use segcdc_model::{LargeFacts, LargeStore, LargeValue};

/// Keeps a value in memory; blocks of a few bytes. Without bytes it cannot be read.
#[derive(Debug)]
struct Kept(Option<Vec<u8>>);

impl LargeStore for Kept {
    fn read_block(&self, index: u64, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let bytes = self.0.as_ref().ok_or(io::ErrorKind::InvalidData)?;
        out.extend(bytes.chunks(7).nth(usize::try_from(index).unwrap()).unwrap_or_default());
        Ok(())
    }
}

/// A value of these bytes, which can be read or not.
pub(crate) fn kept(binary: bool, bytes: &[u8], readable: bool) -> LargeValue {
    let facts = LargeFacts {
        binary,
        length: bytes.len() as u64,
        first_byte: bytes.first().copied().unwrap_or_default(),
        sha256: [0; 32],
        utf16_units: std::str::from_utf8(bytes).ok().map(|text| text.encode_utf16().count() as u64),
        hex: bytes.starts_with(b"\\x"),
    };
    LargeValue::new(facts, Arc::new(Kept(readable.then(|| bytes.to_vec()))))
}
