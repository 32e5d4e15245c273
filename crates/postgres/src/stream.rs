//! [`TransactionStream`]: the committed transactions of a slot.
//!
//! ```text
//!             reader task                      shared                  consumer
//! walsender --> Wire --> Assembler --push--> queue (bytes) --pop--> next() --> apply
//!     ^                                                                          |
//!     +---- status update <--- acknowledged Lsn <---------- acknowledge(lsn) <---+
//! ```
//!
//! The reader task is the only one that touches the connection. While the queue is full it stops reading, and so TCP
//! slows the server down; it goes on sending status updates by the clock, so the server does not take a slow target
//! for a dead consumer.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segcdc_model::{Lsn, Transaction};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::assembler::Assembler;
pub use crate::assembler::OpenSummary;
use crate::error::SourceError;
use crate::replication::FieldForm;
use crate::spill::SpillSpace;
use crate::wire::Wire;

mod reader;

/// Bytes of decoded changes that may wait for the consumer.
const DEFAULT_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Bytes outside of memory that may wait for the consumer.
const DEFAULT_QUEUE_LARGE_BYTES: u64 = 1 << 30;
/// Bytes of changes that may be in memory before their transaction is complete.
pub const DEFAULT_OPEN_BYTES: usize = 8 * 1024 * 1024;

/// How long the server may be silent although it was asked for an answer.
const DEFAULT_SILENCE: Duration = Duration::from_secs(60);

/// How long [`TransactionStream::close`] waits for the server.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// How a stream is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Form of the fields.
    pub fields: FieldForm,
    /// Ask the server to send transactions in progress instead of keeping them on its own disk. They are assembled
    /// here, and handed out at their commit all the same.
    pub streaming: bool,
    /// Bytes of decoded changes that may wait for the consumer.
    pub queue_bytes: usize,
    /// Bytes outside of memory that may wait for the consumer, as with `queue_bytes`.
    pub queue_large_bytes: u64,
    /// Bytes of changes of transactions that are not complete that may be in memory; what is beyond is kept in files.
    pub open_bytes: usize,
    /// How long the server may be silent although it was asked for an answer. Never below `wal_sender_timeout`: a
    /// walsender that works on a large transaction answers nothing for a while.
    pub silence: Duration,
}

/// What the stream says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// A committed transaction.
    Transaction(Transaction),
    /// Everything that committed at or below `wal_end` has been handed out, and no transaction is open.
    Idle {
        /// The position.
        wal_end: Lsn,
    },
    /// A logical message outside of any transaction (`pg_logical_emit_message(false, ...)`).
    Message {
        /// Who it is for.
        prefix: String,
        /// Its position.
        lsn: Lsn,
    },
}

/// Committed transactions of a slot, in commit order. Dropping it cuts the connection.
#[derive(Debug)]
pub struct TransactionStream {
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

/// What reader and consumer share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something was put into the queue, or the stream ended.
    readable: Notify,
    /// The consumer made room, acknowledged, or wants to close.
    attention: Notify,
}

/// The state under the lock, which nobody holds across a wait.
#[derive(Debug)]
struct State {
    queue: VecDeque<StreamEvent>,
    /// Memory of the transactions in the queue.
    queue_bytes: usize,
    /// What the transactions in the queue have outside of memory.
    queue_large_bytes: u64,
    /// Memory of transactions that are not complete.
    open_bytes: usize,
    /// The largest of them that is too large for memory.
    largest: Option<OpenSummary>,
    acknowledged: Lsn,
    server_wal_end: Lsn,
    closing: bool,
    /// The reader has stopped reading because the queue is full.
    reader_waits: bool,
    /// The reader is gone, for whatever reason.
    ended: bool,
    /// Why it is gone; taken by the consumer once the queue is empty.
    end: Option<SourceError>,
}

/// The memory of an event that waits in the queue.
pub(crate) fn event_bytes(event: &StreamEvent) -> usize {
    match event {
        StreamEvent::Transaction(transaction) => transaction.memory_bytes,
        StreamEvent::Message { prefix, .. } => size_of::<StreamEvent>() + prefix.len(),
        // There is one of them at most behind each other event.
        StreamEvent::Idle { .. } => 0,
    }
}

// === impl StreamOptions ===

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            fields: FieldForm::Text,
            streaming: false,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            queue_large_bytes: DEFAULT_QUEUE_LARGE_BYTES,
            open_bytes: DEFAULT_OPEN_BYTES,
            silence: DEFAULT_SILENCE,
        }
    }
}

// === impl TransactionStream ===

impl TransactionStream {
    /// Starts the reader on a connection that has just entered the stream.
    pub(crate) fn new(
        wire: Wire,
        from: Lsn,
        wal_sender_timeout: Option<Duration>,
        options: StreamOptions,
        space: SpillSpace,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            queue_bytes: 0,
            queue_large_bytes: 0,
            open_bytes: 0,
            largest: None,
            acknowledged: from,
            server_wal_end: from,
            closing: false,
            reader_waits: false,
            ended: false,
            end: None,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), readable: Notify::new(), attention: Notify::new() });
        let assembler = Assembler::new(space, options.open_bytes);
        let reader =
            reader::Reader::new(wire, assembler, Arc::clone(&shared), from, wal_sender_timeout, options);
        TransactionStream { shared, reader: tokio::spawn(reader.run()) }
    }

    /// The next event. Cancel-safe: an event is either returned or still there.
    ///
    /// After an error the stream is over; what was received before the error is handed out first.
    pub async fn next(&mut self) -> Result<StreamEvent, SourceError> {
        loop {
            let readable = self.shared.readable.notified();
            {
                let mut state = self.shared.lock();
                if let Some(event) = state.queue.pop_front() {
                    state.queue_bytes = state.queue_bytes.saturating_sub(event_bytes(&event));
                    if let StreamEvent::Transaction(transaction) = &event {
                        state.queue_large_bytes =
                            state.queue_large_bytes.saturating_sub(transaction.large_bytes);
                    }
                    if state.reader_waits {
                        self.shared.attention.notify_one();
                    }
                    return Ok(event);
                }
                if let Some(error) = state.end.take() {
                    return Err(error);
                }
                if state.ended {
                    let cause = io::Error::new(io::ErrorKind::NotConnected, "the stream has ended before");
                    return Err(SourceError::ConnectionLost { cause });
                }
            }
            readable.await;
        }
    }

    /// Tells the server that everything up to `lsn` is durable at the target and need not be sent again.
    ///
    /// `lsn` is what the target's checkpoint holds. The server is told soon, not at once; a position below an earlier
    /// one has no effect.
    pub fn acknowledge(&mut self, lsn: Lsn) {
        let mut state = self.shared.lock();
        if lsn > state.acknowledged {
            state.acknowledged = lsn;
            drop(state);
            self.shared.attention.notify_one();
        }
    }

    /// The highest position that was acknowledged.
    pub fn acknowledged(&self) -> Lsn {
        self.shared.lock().acknowledged
    }

    /// How far the walsender has read, as of its last message.
    pub fn server_wal_end(&self) -> Lsn {
        self.shared.lock().server_wal_end
    }

    /// Memory of the changes that were received and not handed out, bytes.
    pub fn buffered_bytes(&self) -> usize {
        let state = self.shared.lock();
        state.queue_bytes + state.open_bytes
    }

    /// The largest transaction that is being received and is too large for memory.
    pub fn largest_open(&self) -> Option<OpenSummary> {
        self.shared.lock().largest
    }

    /// Ends the stream in an orderly way: the last acknowledgement is sent, and the slot is free on return.
    pub async fn close(mut self) -> Result<(), SourceError> {
        self.shared.lock().closing = true;
        self.shared.attention.notify_one();
        match tokio::time::timeout(CLOSE_PATIENCE, &mut self.reader).await {
            // The reader leaves no error when it ended because it was asked to.
            Ok(_) => self.shared.lock().end.take().map_or(Ok(()), Err),
            Err(_) => Err(SourceError::PeerSilent { after: CLOSE_PATIENCE }),
        }
    }
}

impl Drop for TransactionStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

// === impl State ===

impl State {
    /// Puts an event into the queue, and counts its memory.
    fn queue_event(&mut self, event: StreamEvent) {
        self.queue_bytes += event_bytes(&event);
        self.queue.push_back(event);
    }
}

// === impl Shared ===

impl Shared {
    /// The state. A panic while it was held cannot leave it half-changed, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
