//! [`Connection`]: a session with a server, one request at a time.
//!
//! ```text
//!           request                      answer read to its end
//!   Idle ------------> Busy -----------------------------------> Idle
//!                       |  future dropped: stays Busy; cancel() sends an attention, reads up to its acknowledgement
//!                       +-- I/O or protocol error, error of class 20 and up -----> Broken
//! ```

use std::sync::Arc;

use crate::batch;
use crate::bulk::{self, BulkLoad, BulkTarget};
use crate::config::Config;
use crate::datum::Datum;
use crate::error::Error;
use crate::packet::PacketType;
use crate::reader::DecodeError;
use crate::response::{Collector, OnRow, Progress, Response};
use crate::row_scanner::{RowHandler, RowScanner};
use crate::rpc::{self, Parameter};
use crate::stream::PacketStream;
use crate::tls::TlsInfo;
use crate::token::{self, Column, EnvChange, LoginAck, Token};
use crate::transaction;
use crate::types::Collation;

mod dial;
mod establish;

/// Class from which on an error ends the connection.
const FATAL_CLASS: u8 = 20;

/// Bytes of decoded payload that are kept before they are moved out of the way.
const COMPACT_BYTES: usize = 64 * 1024;

/// Bytes of a row from which on it is read in parts, if these are wanted.
const LONG_ROW_BYTES: usize = 1 << 20;

/// What a server said about itself at login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// `Microsoft SQL Server`, of LOGINACK.
    pub program_name: String,
    /// Major, minor, build.
    pub version: (u8, u8, u16),
    /// TDS version agreed on, as in [`crate::types::tds_version`].
    pub tds_version: u32,
    /// Negotiated packet size, in bytes.
    pub packet_size: u32,
    /// Current database.
    pub database: String,
    /// Its collation.
    pub collation: Collation,
    /// Whether everything is encrypted, not only the login.
    pub encrypted: bool,
    /// What TLS agreed on, for the login or for everything; `None` where nothing was encrypted.
    pub tls: Option<TlsInfo>,
}

/// Whether a request can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Yes.
    Idle,
    /// A request is under way, or was abandoned half-way.
    Busy,
    /// Never again.
    Broken,
}

/// What a busy connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// The answer to a request.
    Answer,
    /// The acknowledgement of an attention.
    Acknowledgement,
    /// The answer to a message that the server was told to ignore.
    Ignored,
}

/// What a login leaves behind, beside the session itself.
#[derive(Debug, Default)]
struct LoginOutcome {
    ack: Option<LoginAck>,
    routing: Option<(String, u16)>,
}

/// A session with a server. One request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: PacketStream,
    server: ServerInfo,
    state: State,
    /// Descriptor of the open transaction, 0 for none.
    transaction: u64,
    /// Payload of the answer, as far as it has arrived.
    payload: Vec<u8>,
    /// Bytes of `payload` that have been decoded.
    decoded: usize,
    /// Whether the last packet of the current answer has arrived.
    last_packet: bool,
    /// What the current request waits for.
    pending: Pending,
    /// Columns of the rows that are being read; kept here so that a cancel can read on.
    columns: Arc<[Column]>,
    /// A row of which a part has been read; kept here for the same reason.
    row: Option<RowScanner>,
    /// Filled during login.
    login: LoginOutcome,
}

// === impl Connection ===

impl Connection {
    /// Connects and logs in; follows routings to other servers, as Azure SQL sends them.
    ///
    /// Everything together takes at most `connect_timeout`. Errors: `Connect`, `Instance`, `Routing`, `Tls`, `CaFile`,
    /// `StrictRefused`, `EncryptionRefused`, `Login`, `Timeout`, `Io`, `Protocol`.
    pub async fn connect(config: &Config) -> Result<Connection, Error> {
        establish::connect(config).await
    }

    /// What the server said about itself.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// Whether the next request can be sent: false after an I/O error, a protocol error, a fatal server error (class
    /// 20 and up), or a request whose future was dropped.
    pub fn is_usable(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether a transaction is open, as the server told.
    pub fn in_transaction(&self) -> bool {
        self.transaction != 0
    }

    /// Runs a batch of SQL text.
    pub async fn batch(&mut self, sql: &str) -> Result<Response, Error> {
        let payload = batch::encode(sql, self.transaction);
        self.request(PacketType::SqlBatch, &payload, None).await
    }

    /// Runs one statement with parameters `@P1` to `@Pn` by `sp_executesql`.
    pub async fn execute(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Response, Error> {
        let payload = rpc::encode_execute_sql(sql, parameters, self.transaction, self.server.collation)?;
        self.request(PacketType::Rpc, &payload, None).await
    }

    /// As [`Connection::execute`] (or [`Connection::batch`] without parameters), but rows go to `on_row` one by one and
    /// are not kept; the sets of the response have no rows.
    pub async fn query_each(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
        on_row: &mut (dyn FnMut(&[Datum]) + Send),
    ) -> Result<Response, Error> {
        self.query(sql, parameters, OnRow::Whole(on_row)).await
    }

    /// As [`Connection::query_each`], but of a row of more than 1 MiB, values of `nvarchar(max)` and `varbinary(max)` come
    /// in parts, so that a value takes no memory whatever its length.
    pub async fn query_parts(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
        handler: &mut dyn RowHandler,
    ) -> Result<Response, Error> {
        self.query(sql, parameters, OnRow::Parts(handler)).await
    }

    async fn query(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
        on_row: OnRow<'_>,
    ) -> Result<Response, Error> {
        if parameters.is_empty() {
            let payload = batch::encode(sql, self.transaction);
            return self.request(PacketType::SqlBatch, &payload, Some(on_row)).await;
        }
        let payload = rpc::encode_execute_sql(sql, parameters, self.transaction, self.server.collation)?;
        self.request(PacketType::Rpc, &payload, Some(on_row)).await
    }

    /// Begins a transaction, at the session's isolation level.
    pub async fn begin(&mut self) -> Result<(), Error> {
        let payload = transaction::encode_begin(self.transaction);
        self.request(PacketType::TransactionManager, &payload, None).await?;
        if self.transaction == 0 {
            return Err(
                self.broken(Error::protocol("the server began a transaction without telling its descriptor"))
            );
        }
        Ok(())
    }

    /// Commits it. An `Io` error here means that the outcome is unknown.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let payload = transaction::encode_commit(self.transaction);
        self.request(PacketType::TransactionManager, &payload, None).await.map(drop)
    }

    /// Rolls it back; nothing is sent when the server already did, as it does under XACT_ABORT.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        if !self.is_usable() {
            return Err(Error::Closed);
        }
        if !self.in_transaction() {
            return Ok(());
        }
        let payload = transaction::encode_rollback(self.transaction);
        self.request(PacketType::TransactionManager, &payload, None).await.map(drop)
    }

    /// Starts a bulk load: the statement, and once the server has agreed to it, the column metadata.
    pub async fn bulk_load<'c>(&'c mut self, target: &BulkTarget<'_>) -> Result<BulkLoad<'c>, Error> {
        let metadata = bulk::column_metadata(target.columns)?;
        self.batch(&bulk::statement(target)).await?;
        self.begin_request()?;
        self.stream.begin_message(PacketType::BulkLoad);
        self.bulk_send(&metadata).await?;
        Ok(BulkLoad::new(self, target.columns.len()))
    }

    /// Cancels a request whose future was dropped, or a bulk load, and makes the connection usable again. An open
    /// transaction stays open unless the server ends it. Waits for the server without limit: the caller sets one.
    pub async fn cancel(&mut self) -> Result<(), Error> {
        match self.state {
            State::Idle => return Ok(()),
            State::Broken => return Err(Error::Closed),
            State::Busy => {}
        }
        match self.cancel_inner().await {
            Ok(()) if self.is_usable() => Ok(()),
            Ok(()) => Err(Error::Closed),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Sends what is needed and reads up to the end of the answer.
    async fn cancel_inner(&mut self) -> Result<(), Error> {
        if self.stream.is_in_message() {
            // Half a message has gone out: the server throws it away, answers with an error and no acknowledgement.
            self.pending = Pending::Ignored;
            self.stream.ignore_message();
        } else if self.pending == Pending::Answer {
            self.pending = Pending::Acknowledgement;
            self.stream.attention();
        }
        self.stream.flush().await?;
        let mut collector = Collector::new(None);
        loop {
            let token = self.next_token(&mut collector).await?;
            let progress = collector.take(token);
            if progress == Progress::Cancelled || (self.pending == Pending::Ignored && self.at_message_end())
            {
                self.finish_message().await?;
                self.finish_request(&mut collector);
                return Ok(());
            }
        }
    }

    /// One request and its whole answer.
    async fn request(
        &mut self,
        packet_type: PacketType,
        payload: &[u8],
        on_row: Option<OnRow<'_>>,
    ) -> Result<Response, Error> {
        self.begin_request()?;
        if let Err(error) = self.stream.send(packet_type, payload).await {
            return Err(self.broken(error));
        }
        self.answer(on_row).await
    }

    /// Makes the connection busy.
    fn begin_request(&mut self) -> Result<(), Error> {
        if self.state != State::Idle {
            return Err(Error::Closed);
        }
        self.state = State::Busy;
        self.pending = Pending::Answer;
        Ok(())
    }

    /// Makes the connection idle, unless the server has ended it.
    fn finish_request(&mut self, collector: &mut Collector<'_>) {
        let fatal = collector.errors.iter().any(|error| error.class >= FATAL_CLASS);
        self.state = if fatal { State::Broken } else { State::Idle };
        self.columns = Arc::new([]);
    }

    /// Makes the connection unusable.
    fn broken(&mut self, error: Error) -> Error {
        self.state = State::Broken;
        error
    }

    /// Reads an answer to its end.
    async fn answer(&mut self, on_row: Option<OnRow<'_>>) -> Result<Response, Error> {
        let mut collector = Collector::new(on_row);
        let outcome = self.collect(&mut collector).await;
        match (outcome, collector.take_errors()) {
            (Ok(()), None) => Ok(collector.response),
            (Ok(()), Some(errors)) => Err(Error::Server(errors)),
            // The server explained itself before it hung up: that says more than the broken connection.
            (Err(Error::Io { .. }), Some(errors)) => Err(self.broken(Error::Server(errors))),
            (Err(error), _) => Err(self.broken(error)),
        }
    }

    /// Takes in tokens up to the end of the message.
    async fn collect(&mut self, collector: &mut Collector<'_>) -> Result<(), Error> {
        let mut finished = false;
        loop {
            let token = self.next_token(collector).await?;
            finished |= collector.take(token) != Progress::More;
            if finished {
                self.finish_message().await?;
            }
            if self.at_message_end() {
                if !finished {
                    return Err(Error::protocol("an answer ends without its final DONE"));
                }
                self.finish_request(collector);
                return Ok(());
            }
        }
    }

    /// The next token, with its effects on the session. Parts of a long row go to the collector.
    async fn next_token(&mut self, collector: &mut Collector<'_>) -> Result<Token, Error> {
        loop {
            if let Some(row) = self.scan_row(collector)? {
                return Ok(row);
            }
            if self.row.is_some() {
                if self.last_packet {
                    return Err(Error::protocol("a message ends inside a row"));
                }
                self.read_packet().await?;
                continue;
            }
            if self.at_message_end() {
                self.last_packet = false; // the message that follows
            }
            if self.decoded == self.payload.len() {
                self.payload.clear();
                self.decoded = 0;
                self.read_packet().await?;
                continue;
            }
            match token::decode(self.payload.get(self.decoded..).unwrap_or_default(), &self.columns) {
                Ok((token, length)) => {
                    self.decoded += length;
                    self.note(&token);
                    return Ok(token);
                }
                Err(DecodeError::Incomplete) if self.begin_long_row(collector) => {}
                Err(DecodeError::Incomplete) if !self.last_packet => self.read_packet().await?,
                Err(DecodeError::Incomplete) => return Err(Error::protocol("a message ends inside a token")),
                Err(DecodeError::Malformed(detail)) => return Err(Error::Protocol { detail }),
            }
        }
    }

    /// Begins to read the row that has not arrived in full in parts, if it is long and parts are wanted.
    fn begin_long_row(&mut self, collector: &Collector<'_>) -> bool {
        if !collector.takes_parts() || self.payload.len() - self.decoded < LONG_ROW_BYTES {
            return false;
        }
        let token = self.payload.get(self.decoded).copied().unwrap_or_default();
        self.row = RowScanner::new(token, &self.columns);
        let begun = self.row.is_some();
        self.decoded += usize::from(begun);
        begun
    }

    /// Reads on in the row that is being read in parts; returns it when it is complete.
    fn scan_row(&mut self, collector: &mut Collector<'_>) -> Result<Option<Token>, Error> {
        let Some(scanner) = &mut self.row else { return Ok(None) };
        let arrived = self.payload.get(self.decoded..).unwrap_or_default();
        let scanned = scanner.take(arrived, &mut |column, part| collector.part(column, part));
        let (taken, row) = scanned.map_err(|error| Error::protocol(error.to_string()))?;
        self.decoded += taken;
        if row.is_some() {
            self.row = None;
        }
        Ok(row.map(Token::Row))
    }

    /// Whether all of the current message has been read and decoded.
    fn at_message_end(&self) -> bool {
        self.last_packet && self.decoded == self.payload.len()
    }

    /// Reads what is left of the message's packets, once its last token has been seen or is on its way.
    async fn finish_message(&mut self) -> Result<(), Error> {
        while !self.last_packet {
            self.read_packet().await?;
        }
        Ok(())
    }

    /// Reads one packet behind what has not been decoded.
    async fn read_packet(&mut self) -> Result<(), Error> {
        if self.decoded >= COMPACT_BYTES {
            self.payload.drain(..self.decoded);
            self.decoded = 0;
        }
        self.last_packet = self.stream.read_packet(&mut self.payload).await?;
        Ok(())
    }

    /// What a token changes of the session.
    fn note(&mut self, token: &Token) {
        match token {
            Token::Columns(columns) => self.columns = Arc::clone(columns),
            Token::EnvChange(change) => self.note_change(change),
            Token::LoginAck(ack) => self.login.ack = Some(ack.clone()),
            _ => {}
        }
    }

    /// What an ENVCHANGE changes.
    fn note_change(&mut self, change: &EnvChange) {
        match change {
            EnvChange::Database(name) => self.server.database.clone_from(name),
            EnvChange::PacketSize(bytes) => {
                self.stream.set_packet_size(*bytes);
                self.server.packet_size = self.stream.packet_size();
            }
            EnvChange::Collation(collation) => self.server.collation = *collation,
            EnvChange::TransactionBegun(descriptor) => self.transaction = *descriptor,
            EnvChange::TransactionEnded => self.transaction = 0,
            EnvChange::Routing { host, port } => self.login.routing = Some((host.clone(), *port)),
            EnvChange::Other(_) => {}
        }
    }

    /// Appends to the bulk load's message.
    pub(crate) async fn bulk_send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.state != State::Busy {
            return Err(Error::Closed);
        }
        match self.stream.put(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explained(error).await),
        }
    }

    /// Ends the bulk load and returns the server's row count.
    pub(crate) async fn bulk_finish(&mut self) -> Result<u64, Error> {
        self.bulk_send(&bulk::DONE).await?;
        if let Err(error) = self.stream.end_message().await {
            return Err(self.explained(error).await);
        }
        let response = self.answer(None).await?;
        Ok(response.total_row_count())
    }

    /// What the server said before a send failed, if it said something; else the failure.
    async fn explained(&mut self, error: Error) -> Error {
        let mut collector = Collector::new(None);
        // Sending failed, so the server's side is closed or reset: reading ends at once, with or without an answer.
        let _end = self.collect(&mut collector).await;
        self.state = State::Broken;
        collector.take_errors().map_or(error, Error::Server)
    }
}
