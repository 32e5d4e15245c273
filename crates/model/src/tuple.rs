//! [`Tuple`]: one row as the source sent it, undecoded, in one allocation.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::large::LargeValue;

/// One datum of a [`Tuple`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the UPDATE did not touch: pgoutput does not send it.
    UnchangedToast,
    /// The type's text output, in UTF-8 (sessions pin `client_encoding`).
    Text(&'a [u8]),
    /// The type's binary output (`typsend`).
    Binary(&'a [u8]),
    /// Either output, kept outside of memory.
    Large(&'a LargeValue),
}

/// Fields of most rows: where those lie is collected without an allocation.
const USUAL_FIELDS: usize = 24;

/// A row: a shared buffer and where each field lies in it. A clone shares both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuple {
    buffer: Bytes,
    spans: Arc<[Span]>,
    /// Fields outside of the buffer; `None` for nearly every row.
    large: Option<Arc<[LargeValue]>>,
}

/// Collects the fields of one [`Tuple`] over a buffer that the caller has already received.
#[derive(Debug)]
pub struct TupleBuilder {
    buffer: Bytes,
    spans: SmallVec<[Span; USUAL_FIELDS]>,
    large: Vec<LargeValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    Null,
    UnchangedToast,
    Text {
        start: u32,
        length: u32,
    },
    Binary {
        start: u32,
        length: u32,
    },
    /// Place in `large`.
    Large(u32),
}

// === impl Tuple ===

impl Tuple {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the row has no fields (a table without columns).
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The field at `index`, `None` past the end.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Field<'_>> {
        Some(match *self.spans.get(index)? {
            Span::Null => Field::Null,
            Span::UnchangedToast => Field::UnchangedToast,
            Span::Text { start, length } => Field::Text(self.slice(start, length)),
            Span::Binary { start, length } => Field::Binary(self.slice(start, length)),
            Span::Large(place) => {
                let large = self.large.as_deref().and_then(|large| large.get(place as usize));
                large.map_or(Field::UnchangedToast, Field::Large)
            }
        })
    }

    /// The fields in column order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        (0..self.spans.len()).map(|index| self.get(index).unwrap_or(Field::Null))
    }

    /// Bytes that this row keeps alive, for memory accounting.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.len() + self.spans.len() * size_of::<Span>()
    }

    /// Bytes of its fields that are kept outside of memory.
    pub fn large_bytes(&self) -> u64 {
        self.large.iter().flat_map(|large| large.iter()).map(|value| value.facts().length).sum()
    }

    /// A row of text fields, `None` for NULL. For tests and tools.
    pub fn from_texts<'a>(fields: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        let buffer: Vec<u8> = fields.iter().flatten().flat_map(|text| text.bytes()).collect();
        let mut builder = TupleBuilder::new(Bytes::from(buffer), fields.len());
        let mut start = 0;
        for field in fields {
            match field {
                None => builder.null(),
                Some(text) => {
                    builder.text(start, text.len());
                    start += text.len();
                }
            }
        }
        builder.build()
    }

    #[inline]
    fn slice(&self, start: u32, length: u32) -> &[u8] {
        // Builders check every span against the buffer, so the range always holds.
        let start = start as usize;
        self.buffer.get(start..start + length as usize).unwrap_or_default()
    }
}

// === impl TupleBuilder ===

impl TupleBuilder {
    /// Starts a row of about `fields` fields over `buffer`.
    pub fn new(buffer: Bytes, fields: usize) -> Self {
        TupleBuilder { buffer, spans: SmallVec::with_capacity(fields), large: Vec::new() }
    }

    /// Adds a NULL.
    pub fn null(&mut self) {
        self.spans.push(Span::Null);
    }

    /// Adds a TOASTed value that was not sent.
    pub fn unchanged_toast(&mut self) {
        self.spans.push(Span::UnchangedToast);
    }

    /// Adds the text at `start..start + length` of the buffer. A range outside of it is clipped.
    pub fn text(&mut self, start: usize, length: usize) {
        let (start, length) = self.clip(start, length);
        self.spans.push(Span::Text { start, length });
    }

    /// Adds the binary value at `start..start + length` of the buffer. A range outside of it is clipped.
    pub fn binary(&mut self, start: usize, length: usize) {
        let (start, length) = self.clip(start, length);
        self.spans.push(Span::Binary { start, length });
    }

    /// Adds a value that is kept outside of the buffer.
    pub fn large(&mut self, value: LargeValue) {
        self.spans.push(Span::Large(u32::try_from(self.large.len()).unwrap_or(u32::MAX)));
        self.large.push(value);
    }

    /// The row.
    pub fn build(self) -> Tuple {
        let large = (!self.large.is_empty()).then(|| self.large.into());
        Tuple { buffer: self.buffer, spans: Arc::from(self.spans.as_slice()), large }
    }

    // PostgreSQL's messages are below 1 GiB and so fit 32 bits; a clipped span can only come from a caller's bug
    // and shows as a short value, never as a read outside the buffer.
    fn clip(&self, start: usize, length: usize) -> (u32, u32) {
        let start = start.min(self.buffer.len());
        let length = length.min(self.buffer.len() - start);
        (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(length).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_added() {
        let mut builder = TupleBuilder::new(Bytes::from_static(b"abcdef"), 4);
        builder.text(0, 3);
        builder.null();
        builder.unchanged_toast();
        builder.binary(3, 3);
        let tuple = builder.build();
        let fields: Vec<_> = tuple.fields().collect();
        assert_eq!(fields, [Field::Text(b"abc"), Field::Null, Field::UnchangedToast, Field::Binary(b"def")]);
        assert_eq!(tuple.get(4), None);
    }
}
