//! The Kafka protocol's primitive types, in the forms without tagged fields.

/// Writes a request.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

// === impl Writer ===

impl Writer {
    /// A request with its header.
    pub(super) fn request(key: i16, version: i16) -> Self {
        let mut writer = Writer { bytes: Vec::new() };
        writer.bytes.extend(key.to_be_bytes());
        writer.bytes.extend(version.to_be_bytes());
        // The number of the request; a connection carries one.
        writer.int32(1);
        writer.string("segcdc");
        writer
    }

    pub(super) fn int32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn int64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn string(&mut self, text: &str) {
        // Topic names have at most 249 characters; what is longer is cut and refused by the broker.
        let text = text.get(..text.len().min(1_000)).unwrap_or_default();
        self.bytes.extend(i16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        self.bytes.extend(text.as_bytes());
    }

    /// Bytes behind their number.
    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.int32(i32::try_from(bytes.len()).unwrap_or_default());
        self.bytes.extend(bytes);
    }

    pub(super) fn array<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.int32(i32::try_from(items.len()).unwrap_or_default());
        for item in items {
            write(self, item);
        }
    }

    /// The whole request with its length.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut framed = i32::try_from(self.bytes.len()).unwrap_or_default().to_be_bytes().to_vec();
        framed.extend(self.bytes);
        framed
    }
}

/// Reads an answer; `None` when it ends too early or is none.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

// === impl Reader ===

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub(super) fn int8(&mut self) -> Option<i8> {
        self.take().map(i8::from_be_bytes)
    }

    pub(super) fn int16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn int64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Length of an array; an item has at least two bytes, so there cannot be more items than that.
    pub(super) fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.int32()?).ok()?;
        (length <= self.rest.len()).then_some(length)
    }

    pub(super) fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    /// Bytes behind their number; none at all for null.
    pub(super) fn blob(&mut self) -> Option<Vec<u8>> {
        let length = self.int32()?;
        if length == -1 {
            return Some(Vec::new());
        }
        let (head, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(head.to_vec())
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says that the answer is broken, the inner one null"
    )]
    pub(super) fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = self.int16()?;
        if length == -1 {
            return Some(None);
        }
        let length = usize::try_from(length).ok()?;
        let (head, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(String::from_utf8(head.to_vec()).ok()?))
    }
}
