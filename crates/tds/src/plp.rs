//! Values that are sent in pieces, without being in memory as a whole.

use std::fmt;
use std::io;

/// A value of a `max` type that is kept elsewhere, and read when it is sent.
pub trait LongValue: fmt::Debug + Send + Sync {
    /// Whether it is text: UTF-16, for `nvarchar(max)`. Otherwise bytes, for `varbinary(max)`.
    fn is_text(&self) -> bool;

    /// Bytes as they are sent.
    fn byte_len(&self) -> u64;

    /// Begins to read it.
    fn read(&self) -> Box<dyn LongValueReader>;
}

/// Reads a [`LongValue`] from its beginning.
pub trait LongValueReader: Send {
    /// Appends the next piece, of any size below 2 GiB; nothing at the end.
    ///
    /// # Errors
    /// When the value cannot be read. The load that it is part of cannot go on.
    fn read_piece(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}
