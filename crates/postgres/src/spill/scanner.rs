//! [`Scanner`]: one large CopyData message, read piece by piece.
//!
//! It knows no more of a message than where its fields are. What it keeps is decoded by the decoders of whole messages,
//! for which a field that was taken out has a spelling that no server uses: a negative length below -1 in COPY, an upper
//! case type in pgoutput. Whatever is not as it should be is kept as it is, for them to refuse.

use std::io;

use bytes::{Buf, BytesMut};
use segcdc_model::LargeValue;

use super::space::{Share, SpillSpace};
use super::store::SpillWriter;

/// Fields above this length are taken out.
const LARGE_FIELD_BYTES: usize = 1 << 20;

/// Once this much of a message was kept, fields above [`LESS_LARGE_FIELD_BYTES`] are taken out too: a row can have 1600
/// fields of just less than a large one.
const KEPT_BYTES: usize = 4 << 20;

/// See [`KEPT_BYTES`].
const LESS_LARGE_FIELD_BYTES: usize = 64 * 1024;

/// Most that is kept of one message: 1664 fields of [`LESS_LARGE_FIELD_BYTES`].
const MAX_KEPT_BYTES: usize = KEPT_BYTES + 1664 * LESS_LARGE_FIELD_BYTES;

/// What a message is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// The first message of a binary COPY.
    CopyHeader,
    /// Rows of a binary COPY.
    CopyRow,
    /// XLogData of pgoutput, in a block of a streamed transaction or not.
    Changes {
        /// In a block.
        in_stream: bool,
    },
}

/// Reads one message.
#[derive(Debug)]
pub(crate) struct Scanner {
    space: SpillSpace,
    /// What the message may take of the space.
    share: Share,
    grammar: Grammar,
    /// Bytes of the message that have not been seen.
    remaining: usize,
    /// Tag, length (meaningless) and what was kept.
    kept: BytesMut,
    large: Vec<LargeValue>,
    state: State,
    /// Bytes of a part that is not complete.
    head: Vec<u8>,
    /// Fields of the row that are still to come.
    fields: u16,
    /// Type of the message in pgoutput.
    kind: u8,
    /// Type of the part in pgoutput: K, O, N.
    part: u8,
    /// Type of the field in pgoutput.
    field: u8,
}

/// What comes next.
#[derive(Debug)]
enum State {
    /// Bytes with a meaning.
    Part(Part),
    /// The bytes of a small field.
    Keep(usize),
    /// The bytes of a large one.
    Spill(usize, Box<SpillWriter>),
    /// The rest, which holds no fields.
    Rest,
    /// The rest, which is of no interest.
    Drop,
}

/// Bytes with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Signature, flags and length of the extension.
    CopyHeader,
    /// Number of fields of a row.
    CopyCount,
    /// Length of a field.
    CopyLength,
    /// Header of XLogData, and type of the message.
    Kind,
    /// Up to and with the type of the first row.
    Change,
    /// Type of the second row of an update.
    SecondRow,
    /// Number of fields of a row.
    Count,
    /// Type of a field.
    Field,
    /// Length of a field.
    Length,
    /// Flags and position of a logical message.
    LogicalHead,
    /// A byte of its prefix.
    LogicalPrefix,
    /// Length of its content.
    LogicalLength,
}

// === impl Scanner ===

impl Scanner {
    /// A scanner of a message with `length` bytes behind tag and length, whose large fields take their place from `share`.
    pub(crate) fn new(space: &SpillSpace, share: Share, grammar: Grammar, length: usize) -> Self {
        let part = match grammar {
            Grammar::CopyHeader => Part::CopyHeader,
            Grammar::CopyRow => Part::CopyCount,
            Grammar::Changes { .. } => Part::Kind,
        };
        Scanner {
            space: space.clone(),
            share,
            grammar,
            remaining: length,
            kept: BytesMut::from(&b"d\0\0\0\0"[..]),
            large: Vec::new(),
            state: State::Part(part),
            head: Vec::new(),
            fields: 0,
            kind: 0,
            part: 0,
            field: 0,
        }
    }

    /// Takes what is there of the message; whether that was the last of it.
    ///
    /// # Errors
    /// A [`super::SpillError`] inside, and `InvalidData` for a message that would have to be kept and is too large.
    pub(crate) fn take(&mut self, inbound: &mut BytesMut) -> io::Result<bool> {
        while self.remaining > 0 && !inbound.is_empty() {
            let here = inbound.len().min(self.remaining);
            let taken = match &mut self.state {
                State::Part(part) => {
                    let part = *part;
                    let wanted = self.part_len(part) - self.head.len();
                    let taken = wanted.min(here);
                    self.head.extend_from_slice(inbound.get(..taken).unwrap_or_default());
                    self.remaining -= taken;
                    if taken == wanted {
                        self.complete(part)?;
                    }
                    inbound.advance(taken);
                    continue;
                }
                State::Keep(left) => {
                    let taken = here.min(*left);
                    *left -= taken;
                    self.kept.extend_from_slice(inbound.get(..taken).unwrap_or_default());
                    taken
                }
                State::Spill(left, writer) => {
                    let taken = here.min(*left);
                    *left -= taken;
                    writer.write(inbound.get(..taken).unwrap_or_default())?;
                    taken
                }
                State::Rest => {
                    self.kept.extend_from_slice(inbound.get(..here).unwrap_or_default());
                    here
                }
                State::Drop => here,
            };
            if self.kept.len() > MAX_KEPT_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
            }
            inbound.advance(taken);
            self.remaining -= taken;
            self.end_field()?;
        }
        Ok(self.remaining == 0)
    }

    /// What was kept, as a whole message, and the fields that were taken out.
    pub(crate) fn finish(mut self) -> (BytesMut, Vec<LargeValue>) {
        // A message that ends in the middle is for the decoder to refuse.
        self.kept.extend_from_slice(&self.head);
        (self.kept, self.large)
    }

    /// Goes on behind a field, if its last byte was seen.
    fn end_field(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Rest) {
            State::Keep(0) => self.next_field(),
            State::Spill(0, writer) => {
                self.large.push(writer.finish()?);
                self.next_field();
            }
            unfinished => self.state = unfinished,
        }
        Ok(())
    }

    fn part_len(&self, part: Part) -> usize {
        let xid = if self.grammar == (Grammar::Changes { in_stream: true }) { 4 } else { 0 };
        match part {
            Part::CopyHeader => 19,
            Part::CopyCount | Part::Count => 2,
            Part::CopyLength | Part::Length | Part::LogicalLength => 4,
            Part::Kind => 26,
            Part::Change => xid + 5,
            Part::SecondRow | Part::Field | Part::LogicalPrefix => 1,
            Part::LogicalHead => xid + 9,
        }
    }

    /// A part is in `head`.
    fn complete(&mut self, part: Part) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        let last = head.last().copied().unwrap_or_default();
        let number = head.last_chunk::<4>().map_or(0, |bytes| i32::from_be_bytes(*bytes));
        if let Part::CopyLength | Part::Length = part {
            return self.begin_field(number);
        }
        match part {
            Part::Field if matches!(last, b't' | b'b') => {}
            // The content is not handed on.
            Part::LogicalLength => self.kept.extend_from_slice(&[0; 4]),
            _ => self.kept.extend_from_slice(&head),
        }
        self.state = match part {
            Part::CopyHeader if number == 0 => State::Part(Part::CopyCount),
            Part::CopyCount | Part::Count => {
                let count = head.last_chunk::<2>().map_or(0, |bytes| i16::from_be_bytes(*bytes));
                let Ok(count) = u16::try_from(count) else { return Ok(()) };
                self.fields = count;
                self.next_field();
                return Ok(());
            }
            Part::Kind => {
                self.kind = last;
                match (head.first(), last) {
                    (Some(b'w'), b'I' | b'U' | b'D') => State::Part(Part::Change),
                    (Some(b'w'), b'M') => State::Part(Part::LogicalHead),
                    _ => State::Rest,
                }
            }
            Part::Change | Part::SecondRow => {
                self.part = last;
                State::Part(Part::Count)
            }
            Part::Field => match last {
                b't' | b'b' => {
                    self.field = last;
                    State::Part(Part::Length)
                }
                b'n' | b'u' => {
                    self.fields -= 1;
                    self.next_field();
                    return Ok(());
                }
                _ => State::Rest,
            },
            Part::LogicalHead => State::Part(Part::LogicalPrefix),
            Part::LogicalPrefix if last == 0 => State::Part(Part::LogicalLength),
            Part::LogicalPrefix => State::Part(Part::LogicalPrefix),
            Part::LogicalLength => State::Drop,
            Part::CopyHeader | Part::CopyLength | Part::Length => State::Rest,
        };
        Ok(())
    }

    /// A field of `length` bytes comes; negative for NULL.
    fn begin_field(&mut self, length: i32) -> io::Result<()> {
        self.fields = self.fields.saturating_sub(1);
        let copy = !matches!(self.grammar, Grammar::Changes { .. });
        let Ok(bytes) = usize::try_from(length) else {
            self.kept.extend_from_slice(&length.to_be_bytes());
            if length < -1 {
                // No server sends it, and it must not be taken for a field that was taken out.
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a field with a negative length"));
            }
            self.next_field();
            return Ok(());
        };
        if bytes > self.remaining {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a field is longer than its message"));
        }
        let full = self.kept.len() > KEPT_BYTES;
        if bytes <= LARGE_FIELD_BYTES && !(full && bytes > LESS_LARGE_FIELD_BYTES) {
            if !copy {
                self.kept.extend_from_slice(&[self.field]);
            }
            self.kept.extend_from_slice(&length.to_be_bytes());
            if bytes == 0 {
                self.next_field();
            } else {
                self.state = State::Keep(bytes);
            }
            return Ok(());
        }
        let place = i32::try_from(self.large.len()).unwrap_or(i32::MAX - 2);
        if copy {
            self.kept.extend_from_slice(&(-2 - place).to_be_bytes());
        } else {
            self.kept.extend_from_slice(&[self.field.to_ascii_uppercase()]);
            self.kept.extend_from_slice(&place.to_be_bytes());
        }
        let file = self.space.file(self.share.split(bytes as u64))?;
        let writer = SpillWriter::new(file, copy || self.field == b'b');
        self.state = State::Spill(bytes, Box::new(writer));
        Ok(())
    }

    /// Goes on with the next field, or behind the row.
    fn next_field(&mut self) {
        let copy = !matches!(self.grammar, Grammar::Changes { .. });
        self.state = match (self.fields, copy) {
            (0, true) => State::Part(Part::CopyCount),
            (0, false) if self.kind == b'U' && self.part != b'N' => State::Part(Part::SecondRow),
            (0, false) => State::Rest,
            (_, true) => State::Part(Part::CopyLength),
            (_, false) => State::Part(Part::Field),
        };
    }
}

#[cfg(test)]
mod tests;
