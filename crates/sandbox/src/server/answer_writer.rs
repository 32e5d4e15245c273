//! [`AnswerWriter`]: replies of the engine as tokens, tokens as packets.
//!
//! ```text
//! batch:      (COLMETADATA ROW*)? ERROR? DONE        ... the last DONE without MORE
//! procedure:  (COLMETADATA ROW*)? ERROR? DONEINPROC  ... RETURNSTATUS RETURNVALUE* DONEPROC
//! ```
//!
//! A DONE is held back until it is known whether it is the last one. Packets go out as soon as there is enough to fill
//! some, so that an answer of any length needs little memory.

use std::io;

use segcdc_tds::packet::{PacketHeader, PacketType, payload_room, put_packet, status};
use segcdc_tds::types::{done_status, env_change, token_id};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::answer::{EnvChange, OutColumn, Reply, SqlError, command};
use crate::encode::token;

/// Bytes of tokens that are collected before packets go out.
const FLUSH_BYTES: usize = 64 * 1024;

/// What is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// A batch, a transaction request, a bulk load.
    Batch,
    /// A procedure call.
    Call {
        /// Names of its parameters, in order: an output parameter is told by its place.
        parameters: Vec<String>,
        /// Whether another call of the same message follows.
        more: bool,
    },
}

/// See the module.
pub(crate) struct AnswerWriter {
    stream: Box<dyn AsyncWrite + Send + Unpin>,
    spid: u16,
    packet_size: u32,
    packet_id: u8,
    tokens: Vec<u8>,
    wire: Vec<u8>,
    request: Request,
    columns: Vec<OutColumn>,
    held_done: Option<(u16, u16, u64)>,
    failed: bool,
    last_error: i32,
    return_status: Option<i32>,
    return_values: Vec<u8>,
    database: String,
    transaction: u64,
}

// === impl AnswerWriter ===

impl AnswerWriter {
    /// Writes to `stream` from the end of the login on.
    pub(crate) fn new(
        stream: Box<dyn AsyncWrite + Send + Unpin>,
        spid: u16,
        packet_size: u32,
        database: &str,
    ) -> Self {
        AnswerWriter {
            stream,
            spid,
            packet_size,
            packet_id: 1,
            tokens: Vec::new(),
            wire: Vec::new(),
            request: Request::Batch,
            columns: Vec::new(),
            held_done: None,
            failed: false,
            last_error: 0,
            return_status: None,
            return_values: Vec::new(),
            database: database.to_owned(),
            transaction: 0,
        }
    }

    /// Begins the answer to a request, or to the next call of a message.
    pub(crate) fn begin(&mut self, request: Request) {
        self.request = request;
        self.columns.clear();
        self.held_done = None;
        self.failed = false;
        self.last_error = 0;
        self.return_status = None;
        self.return_values.clear();
    }

    /// Takes replies until there are no more.
    pub(crate) async fn pump(&mut self, replies: &mut mpsc::Receiver<Reply>) -> io::Result<()> {
        while let Some(reply) = replies.recv().await {
            self.reply(reply).await?;
        }
        Ok(())
    }

    /// Takes one reply.
    pub(crate) async fn reply(&mut self, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::ReturnStatus(status) => self.return_status = Some(status),
            Reply::ReturnValue { name, column, value } => self.return_value(&name, column, &value),
            Reply::Done { count, command } => {
                self.release_done(true);
                let count = count.filter(|_| !self.failed);
                let status = self.status_bits() | if count.is_some() { done_status::COUNT } else { 0 };
                self.held_done = Some((status, command, count.unwrap_or(0)));
                self.failed = false;
            }
            Reply::Error(error) => self.message(token_id::ERROR, &error),
            Reply::Info(info) => self.message(token_id::INFO, &info),
            Reply::Env(change) => self.environment(change),
            Reply::Columns(columns) => {
                self.release_done(true);
                token::put_columns(&mut self.tokens, &columns);
                self.columns = columns;
            }
            Reply::Rows(rows) => return self.rows(&rows).await,
        }
        self.flush_full_packets().await
    }

    /// The outcome of a request that gives no replies of its own.
    pub(crate) fn outcome(&mut self, outcome: Result<Option<u64>, SqlError>, command: u16) {
        match outcome {
            Ok(count) => {
                let status = self.status_bits() | if count.is_some() { done_status::COUNT } else { 0 };
                self.release_done(true);
                self.held_done = Some((status, command, count.unwrap_or(0)));
            }
            Err(error) => self.message(token_id::ERROR, &error),
        }
    }

    /// The handle of `sp_prepare` and `sp_prepexec`, or any other output parameter that the server itself sets.
    pub(crate) fn return_value(&mut self, name: &str, column: OutColumn, value: &segcdc_tds::Datum) {
        let place = match &self.request {
            Request::Call { parameters, .. } => {
                parameters.iter().position(|parameter| parameter.eq_ignore_ascii_case(name))
            }
            Request::Batch => None,
        };
        let ordinal = u16::try_from(place.unwrap_or(0)).unwrap_or(0);
        let column = OutColumn { name: name.to_owned(), nullable: true, ..column };
        if let Err(mismatch) = token::put_return_value(&mut self.return_values, ordinal, &column, value) {
            self.mismatch(&mismatch);
        }
    }

    /// Ends the answer to a call that is not the message's last, or to the whole message.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        let request = self.request.clone();
        match request {
            Request::Batch if self.held_done.is_some() && !self.failed => self.release_done(false),
            Request::Batch => {
                self.release_done(true);
                let status = self.status_bits();
                token::put_done(&mut self.tokens, token_id::DONE, status, command::OTHER, 0);
            }
            Request::Call { more, .. } => {
                self.release_done(true);
                let status = self.return_status.unwrap_or(self.last_error);
                token::put_return_status(&mut self.tokens, status);
                self.tokens.append(&mut self.return_values);
                let more_bit = if more { done_status::MORE } else { 0 };
                let status = self.status_bits() | more_bit;
                token::put_done(&mut self.tokens, token_id::DONEPROC, status, command::EXECUTE, 0);
                if more {
                    return self.flush_full_packets().await;
                }
            }
        }
        self.end_message().await
    }

    /// Ends the answer with the acknowledgement of an attention.
    pub(crate) async fn acknowledge_attention(&mut self) -> io::Result<()> {
        self.release_done(true);
        let status = done_status::ATTENTION | self.transaction_bit();
        token::put_done(&mut self.tokens, token_id::DONE, status, command::OTHER, 0);
        self.end_message().await
    }

    /// The answer to a request that the client gave up while it sent it.
    pub(crate) async fn answer_ignored(&mut self) -> io::Result<()> {
        let status = done_status::ERROR | self.transaction_bit();
        token::put_done(&mut self.tokens, token_id::DONE, status, command::OTHER, 0);
        self.end_message().await
    }

    /// Says that the session was reset.
    pub(crate) fn acknowledge_reset(&mut self) {
        token::put_env_bytes(&mut self.tokens, env_change::RESET_CONNECTION_ACK, &[], &[]);
    }

    /// Rows, as many packets as they fill.
    async fn rows(&mut self, rows: &[Vec<segcdc_tds::Datum>]) -> io::Result<()> {
        for row in rows {
            if let Err(mismatch) = token::put_row(&mut self.tokens, &self.columns, row) {
                self.mismatch(&mismatch);
                break;
            }
            self.flush_full_packets().await?;
        }
        Ok(())
    }

    /// A value that the engine should not have given: an error of the answer, never a lie.
    fn mismatch(&mut self, mismatch: &crate::encode::value::Mismatch) {
        tracing::error!(%mismatch, "the engine gave a value that its column cannot hold");
        self.message(token_id::ERROR, &SqlError::new(50_001, 16, format!("sandbox: {mismatch}")));
    }

    /// An error or message.
    fn message(&mut self, token: u8, message: &SqlError) {
        self.release_done(true);
        if token == token_id::ERROR {
            self.failed = true;
            self.last_error = message.number;
        }
        token::put_message(&mut self.tokens, token, message);
    }

    /// A change of the session.
    fn environment(&mut self, change: EnvChange) {
        self.release_done(true);
        let old = self.transaction.to_le_bytes();
        match change {
            EnvChange::Database(new) => {
                token::put_env_text(&mut self.tokens, env_change::DATABASE, &new, &self.database);
                self.database = new;
            }
            EnvChange::Begin(descriptor) => {
                self.transaction = descriptor;
                let new = descriptor.to_le_bytes();
                token::put_env_bytes(&mut self.tokens, env_change::BEGIN_TRANSACTION, &new, &[]);
            }
            EnvChange::Commit => {
                self.transaction = 0;
                token::put_env_bytes(&mut self.tokens, env_change::COMMIT_TRANSACTION, &[], &old);
            }
            EnvChange::Rollback => {
                self.transaction = 0;
                token::put_env_bytes(&mut self.tokens, env_change::ROLLBACK_TRANSACTION, &[], &old);
            }
        }
    }

    /// Writes the DONE that is held back.
    fn release_done(&mut self, more: bool) {
        let Some((status, command, count)) = self.held_done.take() else { return };
        let (token, more) = match self.request {
            Request::Batch => (token_id::DONE, more),
            Request::Call { .. } => (token_id::DONEINPROC, true),
        };
        let status = status | if more { done_status::MORE } else { 0 };
        token::put_done(&mut self.tokens, token, status, command, count);
    }

    /// ERROR and IN_TRANSACTION.
    fn status_bits(&self) -> u16 {
        self.transaction_bit() | if self.failed { done_status::ERROR } else { 0 }
    }

    /// IN_TRANSACTION.
    fn transaction_bit(&self) -> u16 {
        if self.transaction == 0 { 0 } else { done_status::IN_TRANSACTION }
    }

    /// Sends whole packets, once there is enough for some. The last bytes stay: the message's last packet is not empty.
    async fn flush_full_packets(&mut self) -> io::Result<()> {
        if self.tokens.len() < FLUSH_BYTES {
            return Ok(());
        }
        let room = payload_room(self.packet_size);
        let packets = (self.tokens.len() - 1) / room;
        for payload in self.tokens.chunks(room).take(packets) {
            put_packet(&mut self.wire, header(self.spid, &mut self.packet_id, status::NORMAL), payload);
        }
        self.tokens.drain(..packets * room);
        self.write_wire().await
    }

    /// Sends all, the last packet marked as such.
    async fn end_message(&mut self) -> io::Result<()> {
        let room = payload_room(self.packet_size);
        let last = self.tokens.len().div_ceil(room).saturating_sub(1);
        for (index, payload) in self.tokens.chunks(room).enumerate() {
            let bits = if index == last { status::END_OF_MESSAGE } else { status::NORMAL };
            put_packet(&mut self.wire, header(self.spid, &mut self.packet_id, bits), payload);
        }
        self.tokens.clear();
        self.packet_id = 1;
        self.write_wire().await?;
        self.stream.flush().await
    }

    /// Writes what has been cut.
    async fn write_wire(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.wire).await?;
        self.wire.clear();
        Ok(())
    }
}

/// The next packet's header.
fn header(spid: u16, packet_id: &mut u8, status: u8) -> PacketHeader {
    let header = PacketHeader {
        packet_type: PacketType::TabularResult,
        status,
        length: 0,
        spid,
        packet_id: *packet_id,
    };
    *packet_id = packet_id.wrapping_add(1);
    header
}

#[cfg(test)]
mod tests;
