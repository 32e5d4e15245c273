//! [`Reader`]: the task that owns the connection of a stream.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use segcdc_model::Lsn;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Shared, StreamEvent, StreamOptions};
use crate::assembler::{Assembled, Assembler};
use crate::error::{Operation, SourceError};
use crate::pgoutput::{Envelope, decode_envelope};
use crate::spill::Grammar;
use crate::wire::{Frame, Wire, lost, protocol, server_error};

/// Longest time between two status updates: what `pg_receivewal` uses.
const MAX_STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Shortest time between two status updates that nobody asked for. Each may make the server write its slot to disk.
const MIN_STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// Seconds from the Unix epoch to 2000-01-01, where PostgreSQL's clock begins.
const POSTGRES_EPOCH_SECONDS: u64 = 946_684_800;

/// Reads the stream until it ends.
pub(super) struct Reader {
    wire: Wire,
    shared: Arc<Shared>,
    assembler: Assembler,
    options: StreamOptions,
    /// A status update goes out at least this often: a third of the time after which the server gives us up.
    status_interval: Duration,
    /// After this time without a byte the server is given up.
    silence: Duration,
    /// The position to report as written: received, though not yet durable anywhere.
    received: Lsn,
    /// Highest position of which the consumer was told.
    told: Lsn,
    /// What the last status update acknowledged.
    reported: Lsn,
    last_status: Instant,
    last_heard: Instant,
    /// The server asked for a status update.
    reply_requested: bool,
    /// The server said that it will send no more.
    server_done: bool,
}

/// What the consumer has left room for, and what it wants.
struct Sight {
    has_room: bool,
    closing: bool,
}

/// Tells the consumer that the reader is gone, even if the reader panics.
struct End(Arc<Shared>);

// === impl Reader ===

impl Reader {
    /// A reader of a connection that has just entered the stream.
    pub(super) fn new(
        wire: Wire,
        assembler: Assembler,
        shared: Arc<Shared>,
        from: Lsn,
        wal_sender_timeout: Option<Duration>,
        options: StreamOptions,
    ) -> Self {
        let third = wal_sender_timeout.map_or(MAX_STATUS_INTERVAL, |timeout| timeout / 3);
        let now = Instant::now();
        Reader {
            wire,
            shared,
            assembler,
            status_interval: third.clamp(MIN_STATUS_INTERVAL, MAX_STATUS_INTERVAL),
            silence: options.silence.max(wal_sender_timeout.unwrap_or_default()),
            options,
            received: from,
            told: from,
            reported: Lsn::ZERO,
            last_status: now,
            last_heard: now,
            reply_requested: true,
            server_done: false,
        }
    }

    /// Reads until the connection ends, the server misbehaves, or the consumer wants to close.
    pub(super) async fn run(mut self) {
        let end = End(Arc::clone(&self.shared));
        if let Err(error) = self.read().await {
            end.0.lock().end = Some(error);
        } else {
            self.wire.terminate().await;
        }
    }

    /// The loop. `Ok` when the consumer wanted to close and the server has agreed.
    async fn read(&mut self) -> Result<(), SourceError> {
        loop {
            if self.look_around().has_room {
                self.take_frames()?;
            }
            let Sight { has_room, closing } = self.look_around();
            if closing {
                return self.finish().await;
            }
            self.send_status_if_due().await?;
            let next_status = self.next_status();
            let attention = self.shared.attention.notified();
            tokio::select! {
                biased;
                filled = self.wire.fill(), if has_room => {
                    filled.map_err(lost)?;
                    self.last_heard = Instant::now();
                }
                () = attention => {}
                () = sleep_until(next_status) => {}
            }
            if !has_room || self.wire.wants_room() {
                // Whoever does not listen cannot call the other silent.
                self.last_heard = Instant::now();
            } else if self.last_heard.elapsed() > self.silence {
                return Err(SourceError::PeerSilent { after: self.silence });
            }
        }
    }

    /// What the consumer has left room for, and what it wants.
    fn look_around(&self) -> Sight {
        let mut state = self.shared.lock();
        state.open_bytes = self.assembler.memory_bytes();
        state.largest = self.assembler.largest();
        // An empty queue always has room: what is open has to be completed somewhere.
        let large_bytes = state.queue_large_bytes + self.assembler.large_bytes();
        let has_room = state.queue.is_empty()
            || (state.queue_bytes + state.open_bytes < self.options.queue_bytes
                && large_bytes < self.options.queue_large_bytes);
        state.reader_waits = !has_room;
        Sight { has_room, closing: state.closing }
    }

    /// Handles the messages that are here, as long as the queue has room for what they hold.
    fn take_frames(&mut self) -> Result<(), SourceError> {
        loop {
            self.wire.set_grammar(Grammar::Changes { in_stream: self.assembler.in_block() });
            self.wire.set_held(self.assembler.disk_bytes());
            let Some(frame) = self.wire.take_frame().map_err(lost)? else { return Ok(()) };
            if self.take_frame(frame)? && !self.look_around().has_room {
                return Ok(());
            }
        }
    }

    /// Handles one message; whether it put something into the queue.
    fn take_frame(&mut self, frame: Frame) -> Result<bool, SourceError> {
        match frame.tag() {
            b'd' => {
                let (body, large) = frame.into_parts();
                match decode_envelope(body).map_err(|error| protocol(error.to_string()))? {
                    Envelope::Data { wal_end, payload } => {
                        self.received = self.received.max(wal_end);
                        let assembled = self.assembler.push_with(payload, &large)?;
                        Ok(assembled.map(|assembled| self.hand_out(assembled)).is_some())
                    }
                    Envelope::Keepalive { wal_end, reply_requested } => {
                        self.reply_requested |= reply_requested;
                        self.received = self.received.max(wal_end);
                        self.tell_idle(wal_end);
                        Ok(false)
                    }
                }
            }
            b'E' => {
                let Message::ErrorResponse(body) = frame.parse()? else {
                    return Err(protocol("an error without contents"));
                };
                Err(SourceError::Server { operation: Operation::Stream, error: server_error(body.fields())? })
            }
            // Notices and settings.
            b'N' | b'S' | b'A' => Ok(false),
            // The server ends the stream when it shuts down.
            b'c' | b'C' => {
                self.server_done = true;
                Ok(false)
            }
            b'Z' if self.server_done => Err(SourceError::ConnectionLost {
                cause: io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the stream"),
            }),
            tag => Err(protocol(format!("a message {tag:#04x} that does not belong to a stream"))),
        }
    }

    /// Puts what is complete into the queue.
    fn hand_out(&mut self, assembled: Assembled) {
        let mut state = self.shared.lock();
        match assembled {
            Assembled::Transaction(transaction) => {
                self.told = self.told.max(transaction.end_lsn);
                state.queue_large_bytes += transaction.large_bytes;
                state.queue_event(StreamEvent::Transaction(transaction));
            }
            Assembled::Message { prefix, lsn } => state.queue_event(StreamEvent::Message { prefix, lsn }),
        }
        state.server_wal_end = self.received;
        drop(state);
        self.shared.readable.notify_one();
    }

    /// Tells the consumer a position up to which it has been handed everything, if there is news.
    fn tell_idle(&mut self, wal_end: Lsn) {
        let mut state = self.shared.lock();
        state.server_wal_end = self.received;
        if !self.assembler.is_idle() || wal_end <= self.told {
            return;
        }
        self.told = wal_end;
        // A consumer that stands still finds one such event, however many keepalives came.
        if let Some(StreamEvent::Idle { wal_end: last }) = state.queue.back_mut() {
            *last = wal_end;
        } else {
            state.queue.push_back(StreamEvent::Idle { wal_end });
        }
        drop(state);
        self.shared.readable.notify_one();
    }

    /// When the next status update has to go out, if nothing happens before.
    fn next_status(&self) -> Instant {
        let news = self.shared.lock().acknowledged > self.reported;
        self.last_status + if news { MIN_STATUS_INTERVAL } else { self.status_interval }
    }

    /// Sends a status update if one was asked for, is due by the clock, or has news.
    async fn send_status_if_due(&mut self) -> Result<(), SourceError> {
        if self.reply_requested || Instant::now() >= self.next_status() {
            self.send_status().await?;
        }
        Ok(())
    }

    /// Sends a status update. Asks for an answer if the server has been silent since about the last one.
    async fn send_status(&mut self) -> Result<(), SourceError> {
        let flushed = self.shared.lock().acknowledged;
        let written = self.received.max(flushed);
        let ask = self.last_heard.elapsed() >= self.status_interval;
        let mut body = BytesMut::with_capacity(34);
        body.put_u8(b'r');
        body.put_u64(written.as_u64());
        body.put_u64(flushed.as_u64());
        body.put_u64(flushed.as_u64());
        body.put_i64(postgres_time_us(SystemTime::now()));
        body.put_u8(u8::from(ask));
        self.wire
            .queue(|buffer| frontend::CopyData::new(body).map(|message| message.write(buffer)))
            .map_err(lost)?;
        self.flush().await?;
        self.reported = flushed;
        self.reply_requested = false;
        self.last_status = Instant::now();
        Ok(())
    }

    /// Sends what is queued. A server that takes nothing for so long is gone.
    async fn flush(&mut self) -> Result<(), SourceError> {
        match timeout(self.silence, self.wire.flush()).await {
            Ok(result) => result.map_err(lost),
            Err(_) => Err(SourceError::PeerSilent { after: self.silence }),
        }
    }

    /// Reports the last acknowledgement, ends the stream and waits until the server has let go of the slot.
    async fn finish(&mut self) -> Result<(), SourceError> {
        self.send_status().await?;
        self.wire
            .queue(|buffer| {
                frontend::copy_done(buffer);
                Ok(())
            })
            .map_err(lost)?;
        self.flush().await?;
        loop {
            let frame = self.wire.receive().await.map_err(lost)?;
            match frame.tag() {
                b'Z' => return Ok(()),
                b'E' => {
                    self.take_frame(frame)?;
                }
                // What the server sent before it heard of the end.
                _ => {}
            }
        }
    }
}

// === impl End ===

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.readable.notify_one();
    }
}

/// Microseconds since 2000-01-01, for the status update; the server only displays it.
fn postgres_time_us(now: SystemTime) -> i64 {
    let epoch = UNIX_EPOCH + Duration::from_secs(POSTGRES_EPOCH_SECONDS);
    now.duration_since(epoch).ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}
