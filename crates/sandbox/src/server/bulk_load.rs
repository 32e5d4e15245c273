//! The rows of a bulk load: from packets into the engine, with bounded memory.
//!
//! ```text
//! packets -> RowDecoder -> rows (bounded channel) -> Session::bulk
//! ```
//!
//! Whatever goes wrong, the client's message is read to its end first: a client that is still sending does not listen.

use anyhow::{Result, bail};
use segcdc_tds::Datum;
use segcdc_tds::packet::{PacketType, status};
use tokio::sync::mpsc;

use crate::answer::{OutColumn, SqlError, command};
use crate::decode::bulk::{BulkError, Piece, RowDecoder};
use crate::engine::Session;
use crate::server::answer_writer::{AnswerWriter, Request};
use crate::server::connection::{ClientGone, Connection, Driven, Work, drive, poll_some};
use crate::server::packets::Packet;

/// Rows that travel together to the engine.
const GROUP_ROWS: usize = 500;

/// Bytes of packets after which rows travel, however few they are.
const GROUP_BYTES: usize = 256 * 1024;

/// Groups between decoder and engine.
const GROUPS: usize = 4;

/// Replies between engine and writer.
const REPLIES: usize = 8;

/// How the client's message ended.
#[derive(Debug)]
enum MessageEnd {
    /// With its last row.
    Complete,
    /// With something that cannot be loaded.
    Invalid(BulkError),
    /// The client took it back.
    Ignored,
}

/// How a load ended.
struct Loaded {
    /// The client's part.
    end: MessageEnd,
    /// The engine's part.
    driven: Driven<Result<u64, SqlError>>,
}

/// A message that is being decoded.
struct Feed<'a> {
    packets: &'a mut mpsc::Receiver<Packet>,
    decoder: RowDecoder,
    /// The last packet that was read.
    last: Packet,
    group: Vec<Vec<Datum>>,
    group_bytes: usize,
    failure: Option<BulkError>,
}

// === impl Connection ===

impl Connection {
    /// A bulk load, from its first packet to its answer.
    pub(super) async fn bulk_load(&mut self, first: Packet) -> Result<()> {
        self.writer.begin(Request::Batch);
        let loaded = load(&mut self.session, &mut self.packets, &mut self.writer, first).await;
        let (end, driven) = match loaded {
            Ok(Loaded { end, driven }) => (end, driven),
            Err(error) => {
                self.interrupt().await?;
                return Err(error);
            }
        };
        if driven.attention {
            return self.finish(Ok(driven)).await;
        }
        if driven.result.is_none() {
            self.interrupt().await?;
        }
        let outcome = match (end, driven.result) {
            (MessageEnd::Ignored, _) => return Ok(self.writer.answer_ignored().await?),
            (MessageEnd::Invalid(error), _) => Err(error.to_sql_error()),
            (MessageEnd::Complete, Some(result)) => result.map(Some),
            (MessageEnd::Complete, None) => {
                Err(SqlError::new(4022, 16, "Bulk load data was expected but not sent."))
            }
        };
        self.writer.outcome(outcome, command::BULK);
        Ok(self.writer.finish().await?)
    }
}

/// Reads the client's message and loads its rows. An engine without a result has been dropped and must be told.
async fn load(
    session: &mut Session,
    packets: &mut mpsc::Receiver<Packet>,
    writer: &mut AnswerWriter,
    first: Packet,
) -> Result<Loaded> {
    let mut feed = Feed::new(packets, first);
    let Some(columns) = feed.columns().await? else {
        let end = feed.drain().await?;
        return Ok(Loaded { end, driven: Driven { result: None, attention: false } });
    };
    feed.decoder.keep_columns(session.kept_columns());
    let (sender, rows) = mpsc::channel(GROUPS);
    let (reply_sender, mut replies) = mpsc::channel(REPLIES);
    let mut work = Some(start(session, columns, rows, reply_sender));
    let mut result = None;
    let end = {
        let mut feeding = Box::pin(feed.run(&sender));
        loop {
            tokio::select! {
                biased;
                done = poll_some(&mut work) => {
                    result = Some(done);
                    work = None;
                }
                end = &mut feeding => break end?,
            }
        }
    };
    if !matches!(end, MessageEnd::Complete) {
        // The engine must not take the end of the rows for the end of the load.
        drop(work);
        drop(sender);
        return Ok(Loaded { end, driven: Driven { result: None, attention: false } });
    }
    drop(sender);
    let driven = match work {
        Some(work) => drive(work, replies, feed.packets, writer).await?,
        None => {
            writer.pump(&mut replies).await?;
            Driven { result, attention: false }
        }
    };
    Ok(Loaded { end, driven })
}

/// Starts the engine's part; it owns the sender of its replies.
fn start<'s>(
    session: &'s mut Session,
    columns: Vec<OutColumn>,
    rows: mpsc::Receiver<Vec<Vec<Datum>>>,
    replies: mpsc::Sender<crate::answer::Reply>,
) -> Work<'s, Result<u64, SqlError>> {
    Box::pin(async move {
        let outcome = session.bulk(&columns, rows, &replies).await;
        drop(replies);
        outcome
    })
}

// === impl Feed ===

impl<'a> Feed<'a> {
    /// A message whose first packet has been read.
    fn new(packets: &'a mut mpsc::Receiver<Packet>, first: Packet) -> Self {
        let mut decoder = RowDecoder::default();
        decoder.feed(&first.payload);
        Feed { packets, decoder, last: first, group: Vec::new(), group_bytes: 0, failure: None }
    }

    /// Reads up to the columns; `None` when there are none.
    async fn columns(&mut self) -> Result<Option<Vec<OutColumn>>> {
        loop {
            match self.decoder.advance() {
                Ok(Piece::Columns(columns)) => return Ok(Some(columns)),
                Ok(Piece::Row(_)) => return Ok(None),
                Ok(Piece::Incomplete) if self.last.header.is_last() => return Ok(None),
                Ok(Piece::Incomplete) => self.read().await?,
                Err(error) => {
                    self.failure = Some(error);
                    return Ok(None);
                }
            }
        }
    }

    /// Decodes rows and passes them on, up to the message's end.
    async fn run(&mut self, sender: &mpsc::Sender<Vec<Vec<Datum>>>) -> Result<MessageEnd> {
        loop {
            match self.decoder.advance() {
                Ok(Piece::Row(row)) => {
                    self.group.push(row);
                    if self.group.len() >= GROUP_ROWS {
                        self.pass_on(sender).await;
                    }
                }
                Ok(Piece::Columns(_)) => {
                    self.failure = Some(BulkError::Stream(segcdc_tds::reader::DecodeError::Malformed(
                        "columns behind rows".to_owned(),
                    )));
                    return self.drain().await;
                }
                Ok(Piece::Incomplete) => {
                    if self.group_bytes >= GROUP_BYTES {
                        self.pass_on(sender).await;
                    }
                    if self.last.header.is_last() {
                        break;
                    }
                    self.read().await?;
                }
                Err(error) => {
                    self.failure = Some(error);
                    return self.drain().await;
                }
            }
        }
        if self.last.header.status & status::IGNORE == 0 && !self.decoder.is_complete() {
            self.failure = Some(BulkError::Stream(segcdc_tds::reader::DecodeError::Incomplete));
        }
        let end = self.drain().await?;
        if matches!(end, MessageEnd::Complete) {
            self.pass_on(sender).await;
        }
        Ok(end)
    }

    /// Reads to the message's end without looking at it.
    async fn drain(&mut self) -> Result<MessageEnd> {
        while !self.last.header.is_last() {
            self.last = self.receive().await?;
        }
        if self.last.header.status & status::IGNORE != 0 {
            return Ok(MessageEnd::Ignored);
        }
        Ok(self.failure.take().map_or(MessageEnd::Complete, MessageEnd::Invalid))
    }

    /// Passes the group on. An engine that has given up no longer listens: then the rows are dropped.
    async fn pass_on(&mut self, sender: &mpsc::Sender<Vec<Vec<Datum>>>) {
        self.group_bytes = 0;
        if !self.group.is_empty() {
            sender.send(std::mem::take(&mut self.group)).await.ok();
        }
    }

    /// Feeds the next packet to the decoder.
    async fn read(&mut self) -> Result<()> {
        self.last = self.receive().await?;
        self.group_bytes += self.last.payload.len();
        self.decoder.feed(&self.last.payload);
        Ok(())
    }

    /// The next packet of the message.
    async fn receive(&mut self) -> Result<Packet> {
        let packet = self.packets.recv().await.ok_or(ClientGone)?;
        if packet.header.packet_type != PacketType::BulkLoad {
            bail!("a {:?} packet inside of a bulk load", packet.header.packet_type);
        }
        Ok(packet)
    }
}
