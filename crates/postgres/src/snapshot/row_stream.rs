//! [`RowStream`]: the rows of a COPY as they come.

use std::collections::VecDeque;

use postgres_protocol::message::backend::Message;
use segcdc_model::Tuple;

use super::range::CopyRange;
use super::request::CopyRequest;
use super::rewrite::refuse_rewritten;
use super::row_decoder::RowDecoder;
use crate::config::SourceConfig;
use crate::error::{Operation, SourceError};
use crate::quote;
use crate::spill::{Grammar, SpillSpace};
use crate::startup::{self, SessionKind};
use crate::wire::{Frame, Wire, lost, protocol, server_error};

/// Rows of a table, from a session of their own. Dropping it cuts the connection.
#[derive(Debug)]
pub struct RowStream {
    /// `None` once the COPY is over.
    wire: Option<Wire>,
    decoder: RowDecoder,
    /// Rows that were received and not handed out: at most what the read buffer held.
    ready: VecDeque<Tuple>,
    /// Rows that were received in all.
    received: u64,
    /// What the server says it has sent.
    sent: Option<u64>,
}

/// A session that is ready to copy. Who makes it before the snapshot loses no time behind it, in which the table could be
/// rewritten.
#[derive(Debug)]
pub struct Reader {
    wire: Wire,
    spill: SpillSpace,
}

/// Begins to copy the rows that the request describes, in a new session.
///
/// # Errors
/// As [`Reader::copy`], and what keeps the session from being made.
pub async fn copy(config: &SourceConfig, request: CopyRequest<'_>) -> Result<RowStream, SourceError> {
    Reader::connect(config).await?.copy(request).await
}

// === impl Reader ===

impl Reader {
    /// Connects.
    ///
    /// # Errors
    /// What keeps the session from being made.
    pub async fn connect(config: &SourceConfig) -> Result<Self, SourceError> {
        let wire = startup::connect(config, SessionKind::Ordinary).await?;
        Ok(Reader { wire, spill: config.spill.clone() })
    }

    /// Begins to copy the rows that the request describes, in one repeatable-read transaction.
    ///
    /// # Errors
    /// With the code `SNAPSHOT_GONE` when the session that exported the snapshot has ended, `TABLE_NOT_FOUND` when the
    /// table was dropped, renamed or lost a column since the request's `table` was read, `TABLE_REWRITTEN` when the
    /// snapshot cannot see its rows any more.
    pub async fn copy(self, request: CopyRequest<'_>) -> Result<RowStream, SourceError> {
        let (sql, forms) = (request.copy_sql()?, request.forms()?);
        let Reader { mut wire, spill } = self;
        begin(&mut wire, request).await?;
        wire.spill_into(&spill, Grammar::CopyHeader);
        wire.begin(&sql).await?;
        match wire.next_message(Operation::Copy).await? {
            Message::CopyOutResponse(_) => {}
            _ => return Err(protocol("COPY was not answered with data")),
        }
        let ready = VecDeque::new();
        Ok(RowStream { wire: Some(wire), decoder: RowDecoder::new(forms), ready, received: 0, sent: None })
    }
}

/// Begins the transaction of a copy: it sees the snapshot, and the table is what that says.
async fn begin(wire: &mut Wire, request: CopyRequest<'_>) -> Result<(), SourceError> {
    let mut begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned();
    if let Some(snapshot) = request.snapshot {
        begin.push_str("; SET TRANSACTION SNAPSHOT ");
        begin.push_str(&quote::literal(snapshot)?);
    }
    wire.query(Operation::ImportSnapshot, &begin).await?;
    refuse_rewritten(wire, request.table, request.snapshot.is_some()).await?;
    if matches!(request.range, CopyRange::Pages { .. }) {
        // Whatever the statistics say: a range is read by its pages, never by reading the whole table.
        wire.query(Operation::Copy, "SET LOCAL enable_seqscan = off").await?;
    }
    Ok(())
}

// === impl RowStream ===

impl RowStream {
    /// The next row, `None` behind the last one. Cancel-safe. After an error the stream is over.
    pub async fn next(&mut self) -> Result<Option<Tuple>, SourceError> {
        if let Some(row) = self.ready.pop_front() {
            return Ok(Some(row));
        }
        self.receive().await?;
        Ok(self.ready.pop_front())
    }

    /// The rows that are there, after waiting for at least one; empty behind the last one. They are what the read
    /// buffer held: about 256 KiB at most, or one larger row. Cancel-safe.
    pub async fn next_batch(&mut self) -> Result<Vec<Tuple>, SourceError> {
        if self.ready.is_empty() {
            self.receive().await?;
        }
        Ok(std::mem::take(&mut self.ready).into())
    }

    /// Waits until at least one row is ready or the COPY has ended.
    async fn receive(&mut self) -> Result<(), SourceError> {
        while let Some(mut wire) = self.wire.take() {
            let ended = self.take_frames(&mut wire).inspect_err(|_| self.ready.clear())?;
            if ended {
                wire.terminate().await;
                break;
            }
            let wire = self.wire.insert(wire);
            if !self.ready.is_empty() {
                return Ok(());
            }
            wire.fill().await.map_err(lost)?;
        }
        // Also when it is asked for more after an error: what is incomplete never looks like the end.
        self.check_end()
    }

    /// Handles the messages that are here; whether the last one was among them.
    fn take_frames(&mut self, wire: &mut Wire) -> Result<bool, SourceError> {
        while let Some(frame) = wire.take_frame().map_err(lost)? {
            if frame.tag() == b'd' {
                wire.set_grammar(Grammar::CopyRow);
            }
            if self.take_frame(frame)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Handles one message; whether it was the last one.
    fn take_frame(&mut self, frame: Frame) -> Result<bool, SourceError> {
        match frame.tag() {
            b'd' => {
                let before = self.ready.len();
                let (body, large) = frame.into_parts();
                let decoded = self.decoder.decode_with(&body, &large, &mut self.ready);
                decoded.map_err(|error| protocol(error.to_string()))?;
                self.received += (self.ready.len() - before) as u64;
                Ok(false)
            }
            b'C' => {
                let Message::CommandComplete(body) = frame.parse()? else {
                    return Err(protocol("the end of a command without its tag"));
                };
                let tag = body.tag().map_err(|error| protocol(error.to_string()))?;
                self.sent = tag.rsplit(' ').next().and_then(|rows| rows.parse().ok());
                Ok(false)
            }
            b'E' => {
                let Message::ErrorResponse(body) = frame.parse()? else {
                    return Err(protocol("an error without contents"));
                };
                Err(SourceError::Server { operation: Operation::Copy, error: server_error(body.fields())? })
            }
            b'Z' => Ok(true),
            // CopyDone, notices and settings.
            b'c' | b'N' | b'S' | b'A' => Ok(false),
            tag => Err(protocol(format!("a message {tag:#04x} that does not belong to a COPY"))),
        }
    }

    /// Makes sure that everything has come.
    fn check_end(&self) -> Result<(), SourceError> {
        if self.decoder.is_at_end() && self.sent == Some(self.received) {
            Ok(())
        } else {
            Err(protocol("COPY has ended before all of its rows have come"))
        }
    }
}
