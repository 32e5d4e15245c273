//! [`Wire`]: PostgreSQL's message framing over a [`Transport`].

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{self, ErrorFields};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{Operation, ServerError, SourceError};
use segcdc_model::LargeValue;

use crate::socket::Transport;
use crate::spill::{Grammar, LARGE_MESSAGE_BYTES, Scanner, SpillError, SpillSpace, is_refusal};

/// Size of the read buffer: the walsender writes one message at a time, so a large buffer saves system calls only
/// when it is behind; 256 KiB is where the gain was found to end.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// Largest message that PostgreSQL can send: it allocates at most 1 GiB for one.
const MAX_MESSAGE_BYTES: usize = 1 << 30;

/// Largest message before authentication is complete. Keeps a server that is not PostgreSQL from making us wait for
/// the gigabyte that its first bytes seem to announce.
const MAX_STARTUP_MESSAGE_BYTES: usize = 64 * 1024;

/// How the server was convinced of who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// No password was asked for: the server trusts the address, the socket or the certificate.
    NotAsked,
    /// The password itself.
    Password,
    /// Its MD5 hash.
    Md5,
    /// SCRAM-SHA-256.
    Scram,
    /// SCRAM-SHA-256-PLUS: the proof is bound to the TLS session.
    ScramBound,
}

/// One message as it came: a tag and the bytes behind the length.
#[derive(Debug)]
pub(crate) struct Frame {
    whole: BytesMut,
    /// Fields that were taken out of it.
    large: Vec<LargeValue>,
}

/// A connection that speaks in messages.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    inbound: BytesMut,
    outbound: BytesMut,
    limit: usize,
    /// The process that serves the session, as its start announced it.
    process: Option<i32>,
    /// How the server was convinced of who we are.
    method: Option<Method>,
    /// A request was begun and its end not yet seen; still set when a caller gave up waiting.
    busy: bool,
    /// How large messages are cut; `None` keeps them whole.
    spill: Option<Spill>,
    /// A large message that is being read.
    open: Option<Scanner>,
    /// Bytes that a large message needs, which is not read until they are there.
    wanted: Option<u64>,
}

/// How large CopyData messages are cut.
#[derive(Debug)]
struct Spill {
    space: SpillSpace,
    grammar: Grammar,
    /// Bytes of the space that the reader of this connection holds itself: those it must not wait for.
    held: u64,
}

// === impl Frame ===

impl Frame {
    /// The message type byte.
    pub(crate) fn tag(&self) -> u8 {
        self.whole.first().copied().unwrap_or_default()
    }

    /// The bytes behind tag and length, without a copy.
    pub(crate) fn into_body(mut self) -> Bytes {
        let header = self.whole.len().min(5);
        self.whole.split_off(header).freeze()
    }

    /// As [`Frame::into_body`], with the fields that were taken out.
    pub(crate) fn into_parts(mut self) -> (Bytes, Vec<LargeValue>) {
        let large = std::mem::take(&mut self.large);
        (self.into_body(), large)
    }

    /// The message, decoded by postgres-protocol.
    pub(crate) fn parse(mut self) -> Result<backend::Message, SourceError> {
        match backend::Message::parse(&mut self.whole) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(protocol("a message is shorter than it says")),
            Err(error) => Err(protocol(error.to_string())),
        }
    }
}

// === impl Wire ===

impl Wire {
    /// Frames the given transport. Messages are limited to small ones until [`Wire::lift_limit`].
    pub(crate) fn new(transport: Transport) -> Self {
        Wire {
            transport,
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            limit: MAX_STARTUP_MESSAGE_BYTES,
            process: None,
            method: None,
            busy: false,
            spill: None,
            open: None,
            wanted: None,
        }
    }

    /// The transport, for what authentication wants to know of it.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The process that serves the session, as its start announced it.
    pub(crate) fn process(&self) -> Option<i32> {
        self.process
    }

    /// Remembers the process that serves the session.
    pub(crate) fn set_process(&mut self, process: i32) {
        self.process = Some(process);
    }

    /// Remembers how the server was convinced of who we are.
    pub(crate) fn set_method(&mut self, method: Method) {
        self.method = Some(method);
    }

    /// How the server was convinced of who we are; `None` before it was.
    pub(crate) fn method(&self) -> Option<Method> {
        self.method
    }

    /// Allows messages of any size that PostgreSQL can send. Called once the server has authenticated us.
    pub(crate) fn lift_limit(&mut self) {
        self.limit = MAX_MESSAGE_BYTES;
    }

    /// From now on takes large fields out of large CopyData messages of this grammar, into files of `space`. A message
    /// for which it has no room is not read until others have given enough back.
    pub(crate) fn spill_into(&mut self, space: &SpillSpace, grammar: Grammar) {
        self.spill = Some(Spill { space: space.clone(), grammar, held: 0 });
    }

    /// Tells how many bytes of the space the caller holds, and will not give back before the next message has come.
    pub(crate) fn set_held(&mut self, bytes: u64) {
        if let Some(spill) = &mut self.spill {
            spill.held = bytes;
        }
    }

    /// Whether a message is here that is not read because there is no room for its large fields.
    pub(crate) fn wants_room(&self) -> bool {
        self.wanted.is_some()
    }

    /// Tells what the next message has to be read by.
    pub(crate) fn set_grammar(&mut self, grammar: Grammar) {
        if let Some(spill) = &mut self.spill {
            spill.grammar = grammar;
        }
    }

    /// Adds a message to what the next [`Wire::flush`] sends.
    pub(crate) fn queue(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> io::Result<()> {
        write(&mut self.outbound)
    }

    /// Sends what was queued. Cancel-safe: what was not sent stays queued.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.outbound.is_empty() {
            let sent = self.transport.write_buf(&mut self.outbound).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.transport.flush().await
    }

    /// A message that is already here, without waiting.
    pub(crate) fn take_frame(&mut self) -> io::Result<Option<Frame>> {
        if let Some(mut scanner) = self.open.take() {
            if !scanner.take(&mut self.inbound)? {
                self.open = Some(scanner);
                return Ok(None);
            }
            let (whole, large) = scanner.finish();
            return Ok(Some(Frame { whole, large }));
        }
        let Some(header) = backend::Header::parse(&self.inbound)? else { return Ok(None) };
        let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
        }
        let whole = length + 1;
        if let Some(spill) = &self.spill
            && header.tag() == b'd'
            && length > LARGE_MESSAGE_BYTES
        {
            let needed = length as u64;
            let share = match spill.space.try_claim(needed) {
                Ok(share) => share,
                // Others hold it and will give it back.
                Err(refused) if is_refusal(&refused) && spill.space.used() > spill.held => {
                    self.wanted = Some(needed);
                    return Ok(None);
                }
                Err(refused) => return Err(refused),
            };
            self.wanted = None;
            self.open = Some(Scanner::new(&spill.space, share, spill.grammar, length - 4));
            self.inbound.advance(5);
            return self.take_frame();
        }
        if self.inbound.len() < whole {
            // A value can be far larger than the buffer; room for it is made once, not by doubling.
            self.inbound.reserve(whole - self.inbound.len());
            return Ok(None);
        }
        Ok(Some(Frame { whole: self.inbound.split_to(whole), large: Vec::new() }))
    }

    /// Waits for more bytes, or for room for the large message that is here. Cancel-safe: bytes that have come are in
    /// the buffer.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        if let (Some(wanted), Some(spill)) = (self.wanted, &self.spill) {
            spill.space.wait(wanted, spill.held).await;
            return Ok(());
        }
        if self.inbound.capacity() - self.inbound.len() < READ_BUFFER_BYTES / 16 {
            self.inbound.reserve(READ_BUFFER_BYTES);
        }
        match self.transport.read_buf(&mut self.inbound).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            _ => Ok(()),
        }
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next message that is not asynchronous (notices, settings), decoded; an ErrorResponse is an `Err`.
    pub(crate) async fn next_message(
        &mut self,
        operation: Operation,
    ) -> Result<backend::Message, SourceError> {
        loop {
            let frame = self.receive().await.map_err(lost)?;
            match frame.parse()? {
                backend::Message::NoticeResponse(_)
                | backend::Message::ParameterStatus(_)
                | backend::Message::NotificationResponse(_) => {}
                backend::Message::ErrorResponse(body) => {
                    return Err(SourceError::Server { operation, error: server_error(body.fields())? });
                }
                message => return Ok(message),
            }
        }
    }

    /// Sends a query of the simple protocol and returns the rows of its results as text. After an error of the
    /// server the session is ready again, unless the error was fatal.
    pub(crate) async fn query(
        &mut self,
        operation: Operation,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        self.begin(sql).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.next_message(operation).await {
                Ok(backend::Message::DataRow(body)) => rows.push(text_row(&body)?),
                Ok(backend::Message::ReadyForQuery(_)) => break,
                Ok(
                    backend::Message::RowDescription(_)
                    | backend::Message::CommandComplete(_)
                    | backend::Message::EmptyQueryResponse,
                ) => {}
                Ok(_) => return Err(protocol("the query was answered with something else than rows")),
                Err(SourceError::Server { operation, error }) if !error.fatal => {
                    failure = Some(SourceError::Server { operation, error });
                }
                Err(error) => return Err(error),
            }
        }
        self.busy = false;
        failure.map_or(Ok(rows), Err)
    }

    /// Sends a query of the simple protocol. The answer has to be read to its end, ReadyForQuery.
    pub(crate) async fn begin(&mut self, sql: &str) -> Result<(), SourceError> {
        if self.busy {
            let cause = io::Error::other("an earlier request was abandoned");
            return Err(SourceError::ConnectionLost { cause });
        }
        self.busy = true;
        self.queue(|buffer| frontend::query(sql, buffer)).map_err(lost)?;
        self.flush().await.map_err(lost)
    }

    /// Says goodbye, so that the server's log holds no "unexpected EOF". Errors do not matter any more.
    pub(crate) async fn terminate(mut self) {
        frontend::terminate(&mut self.outbound);
        if self.flush().await.is_ok() {
            // The server has nothing left to say; that the socket is closed under it is what we wanted.
            drop(self.transport.shutdown().await);
        }
    }
}

/// The fields of a row in text form.
fn text_row(body: &backend::DataRowBody) -> Result<Vec<Option<String>>, SourceError> {
    let buffer = body.buffer();
    body.ranges()
        .map(|range| {
            let bytes = range.map(|range| buffer.get(range).unwrap_or_default());
            Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        })
        .collect()
        .map_err(|error: io::Error| protocol(error.to_string()))
}

/// An ErrorResponse by its fields.
pub(crate) fn server_error(mut fields: ErrorFields<'_>) -> Result<ServerError, SourceError> {
    let (mut sqlstate, mut message, mut severity) = (String::new(), String::new(), String::new());
    while let Some(field) = fields.next().map_err(|error| protocol(error.to_string()))? {
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => sqlstate = value(),
            b'M' => message = value(),
            // 'V' is the severity that is never translated.
            b'V' => severity = value(),
            _ => {}
        }
    }
    Ok(ServerError::new(&sqlstate, &message, matches!(severity.as_str(), "FATAL" | "PANIC")))
}

/// A broken connection, or bytes that are no message.
pub(crate) fn lost(cause: io::Error) -> SourceError {
    let cause = match cause.downcast::<SpillError>() {
        Ok(SpillError::Failed { directory, cause }) => return SourceError::Spill { directory, cause },
        Ok(SpillError::Limit { directory, limit, needed }) => {
            return SourceError::SpillLimit { directory, limit, needed };
        }
        Err(cause) => cause,
    };
    if cause.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
        return SourceError::ConnectionLost { cause };
    }
    match cause.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => protocol(cause.to_string()),
        _ => SourceError::ConnectionLost { cause },
    }
}

/// A violation of the protocol.
pub(crate) fn protocol(problem: impl Into<String>) -> SourceError {
    SourceError::Protocol { problem: problem.into() }
}
