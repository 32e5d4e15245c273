//! [`LargeValue`]: a field that is too large for memory, and is kept elsewhere.
//!
//! What keeps it is not this crate's matter: [`LargeStore`] gives its bytes back in blocks, each checked. All that is
//! needed to decide about the value without reading it is known from when it was received.

use std::io;
use std::sync::Arc;

/// Bytes of a block; the last one of a value may be shorter.
pub const LARGE_BLOCK_BYTES: usize = 256 * 1024;

/// Keeps the bytes of one value until it is dropped.
pub trait LargeStore: std::fmt::Debug + Send + Sync {
    /// Replaces the contents of `out` by block `index`; empty behind the last one.
    ///
    /// # Errors
    /// When the block cannot be read, and `InvalidData` when it is not what was written.
    fn read_block(&self, index: u64, out: &mut Vec<u8>) -> io::Result<()>;
}

/// What is known of a value from when it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeFacts {
    /// In the type's binary form, else in its text form.
    pub binary: bool,
    /// Bytes.
    pub length: u64,
    /// The first byte, 0 for an empty value.
    pub first_byte: u8,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Length in UTF-16 code units, if the bytes are UTF-8 without a NUL.
    pub utf16_units: Option<u64>,
    /// The bytes are `\x` and an even number of hexadecimal digits.
    pub hex: bool,
}

/// A field that is kept outside of memory. Clones share the bytes. Equal if the bytes are, by length and SHA-256.
#[derive(Debug, Clone)]
pub struct LargeValue {
    facts: LargeFacts,
    store: Arc<dyn LargeStore>,
}

/// What the bytes of a [`LargeRef`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LargeKind {
    /// UTF-8 without a NUL.
    Text,
    /// Bytes as they are.
    Bytes,
    /// Pairs of hexadecimal digits.
    HexBytes,
}

/// A decoded large value: the bytes of `value` behind the first `skip` ones. Checked to be of `kind`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LargeRef<'a> {
    /// The field.
    pub value: &'a LargeValue,
    /// What its bytes are.
    pub kind: LargeKind,
    /// Bytes in front that do not belong to the value.
    pub skip: u8,
}

// === impl LargeValue ===

impl LargeValue {
    /// A value in a store.
    pub fn new(facts: LargeFacts, store: Arc<dyn LargeStore>) -> Self {
        LargeValue { facts, store }
    }

    /// What is known of it.
    pub fn facts(&self) -> &LargeFacts {
        &self.facts
    }

    /// The same bytes, of the type's text form.
    #[must_use]
    pub fn in_text_form(mut self) -> Self {
        self.facts.binary = false;
        self
    }

    /// Where its bytes are.
    pub fn store(&self) -> &Arc<dyn LargeStore> {
        &self.store
    }
}

impl PartialEq for LargeValue {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}

impl Eq for LargeValue {}

// === impl LargeRef ===

impl LargeRef<'_> {
    /// Length at the target: bytes, or UTF-16 code units of text.
    pub fn target_length(&self) -> u64 {
        let facts = self.value.facts();
        let skip = u64::from(self.skip);
        match self.kind {
            LargeKind::Text => facts.utf16_units.unwrap_or_default().saturating_sub(skip),
            LargeKind::Bytes => facts.length.saturating_sub(skip),
            LargeKind::HexBytes => facts.length.saturating_sub(skip) / 2,
        }
    }

    /// Bytes at the target, whose text is UTF-16.
    pub fn target_bytes(&self) -> u64 {
        let unit = if self.kind == LargeKind::Text { 2 } else { 1 };
        self.target_length().saturating_mul(unit)
    }
}
