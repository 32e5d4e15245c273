//! [`Assembler`]: messages to whole transactions.
//!
//! ```text
//! protocol 1    Begin change* Commit                                   one transaction at a time
//! streaming     StreamStart change* StreamStop  (blocks of several transactions, interleaved)
//!               StreamAbort(xid, subxid)        forget what that subtransaction did
//!               StreamCommit                    the transaction is whole
//! ```
//!
//! What is beyond the memory that is allowed goes to disk, the largest transaction first, see [`crate::change_log`].
//!
//! A table's description inside of a streamed transaction counts only for that transaction until it commits: the
//! server tracks what it has described per transaction in progress, and others still see the old shape.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use segcdc_model::{Change, Field, LargeValue, Lsn, Relation, Transaction, Tuple};

use crate::change_log::{ChangeLog, TaggedChange};
use crate::error::SourceError;
use crate::pgoutput::{Message, Position, decode_with};
use crate::relation_cache::RelationCache;
use crate::spill::SpillSpace;
use crate::wire::{lost, protocol};

/// Large fields that may wait in files of their own before they are moved into one of their transaction's: a process may
/// have a thousand files open, by default.
const MAX_LARGE_FILES: usize = 64;

/// What each message has around it: CopyData and XLogData. All of it stays as long as any part of what was read at once is in use.
const FRAME_BYTES: usize = 30;

/// Memory of a change beside its tuples: its place in the vector, what of its message is no field, and how the places of fields are kept.
const CHANGE_OVERHEAD_BYTES: usize = size_of::<TaggedChange>() + FRAME_BYTES + 34;

/// Memory of a transaction beside its changes: its place in a queue, which doubles as it grows, Begin and Commit. For a backlog of
/// small transactions it is most of what they take.
const TRANSACTION_OVERHEAD_BYTES: usize = 2 * size_of::<Transaction>() + 2 * FRAME_BYTES + 64;

/// What a message completed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assembled {
    /// A committed transaction.
    Transaction(Transaction),
    /// A logical message outside of any transaction.
    Message {
        /// Who it is for.
        prefix: String,
        /// Its position.
        lsn: Lsn,
    },
}

/// A transaction that is not complete yet.
#[derive(Debug, Default)]
struct OpenTransaction {
    /// Its first changes, if they are too many for memory.
    log: Option<ChangeLog>,
    changes: Vec<TaggedChange>,
    relations: RelationCache,
    memory_bytes: usize,
    /// See [`Transaction::large_bytes`].
    large_bytes: u64,
    /// Large fields of `changes`.
    large_files: usize,
}

/// The largest transaction that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSummary {
    /// Its id.
    pub xid: u32,
    /// Changes received, those that were rolled back included.
    pub changes: u64,
    /// Bytes of them on disk.
    pub spilled_bytes: u64,
}

/// Collects changes until their transaction is committed. Counts the bytes in memory, and keeps what is beyond on disk.
#[derive(Debug)]
pub(crate) struct Assembler {
    space: SpillSpace,
    /// Bytes of changes that may be in memory.
    max_memory_bytes: usize,
    relations: RelationCache,
    /// The transaction between Begin and Commit.
    current: Option<(u32, OpenTransaction)>,
    /// Streamed transactions by top transaction id.
    streamed: HashMap<u32, OpenTransaction>,
    /// The streamed transaction whose block is open.
    block: Option<u32>,
    memory_bytes: usize,
    large_bytes: u64,
    /// Large fields of changes in memory.
    large_files: usize,
}

// === impl Assembler ===

impl Assembler {
    /// Nothing received. Holds at most about `max_memory_bytes` of changes in memory, and the others in `space`.
    pub(crate) fn new(space: SpillSpace, max_memory_bytes: usize) -> Self {
        Assembler {
            space,
            max_memory_bytes,
            relations: RelationCache::default(),
            current: None,
            streamed: HashMap::new(),
            block: None,
            memory_bytes: 0,
            large_bytes: 0,
            large_files: 0,
        }
    }

    /// Whether nothing is open: the positions of keepalives can be trusted as "all before is handed out".
    /// Streamed transactions between their blocks do not count: they commit later than any position so far.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none() && self.block.is_none()
    }

    /// Whether a block of a streamed transaction is open.
    pub(crate) fn in_block(&self) -> bool {
        self.block.is_some()
    }

    /// Bytes of changes that are held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Bytes outside of memory that the changes keep alive.
    pub(crate) fn large_bytes(&self) -> u64 {
        self.large_bytes
    }

    /// Bytes on disk that are held until transactions are complete.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let open = self.current.iter().map(|(_, open)| open).chain(self.streamed.values());
        self.large_bytes + open.filter_map(|open| open.log.as_ref()).map(ChangeLog::bytes).sum::<u64>()
    }

    /// The largest of the transactions that are too large for memory and not complete, by what is on disk.
    pub(crate) fn largest(&self) -> Option<OpenSummary> {
        let current = self.current.iter().map(|(xid, open)| (*xid, open));
        let open = current.chain(self.streamed.iter().map(|(xid, open)| (*xid, open)));
        let summary = |(xid, open): (u32, &OpenTransaction)| {
            let log = open.log.as_ref()?;
            let changes = log.changes() + open.changes.len() as u64;
            Some(OpenSummary { xid, changes, spilled_bytes: log.bytes() })
        };
        open.filter_map(summary).max_by_key(|summary| summary.spilled_bytes)
    }

    /// As [`Assembler::push_with`], of a message without large fields.
    #[cfg(test)]
    pub(crate) fn push(&mut self, payload: Bytes) -> Result<Option<Assembled>, SourceError> {
        self.push_with(payload, &[])
    }

    /// Takes the next message of the stream, out of which the fields `large` were taken.
    pub(crate) fn push_with(
        &mut self,
        payload: Bytes,
        large: &[LargeValue],
    ) -> Result<Option<Assembled>, SourceError> {
        let message =
            decode_with(payload, large, self.in_block()).map_err(|error| protocol(error.to_string()))?;
        match message {
            Message::Begin { xid, .. } => {
                if !self.is_idle() {
                    return Err(protocol("a transaction begins inside of another"));
                }
                self.current = Some((xid, OpenTransaction::default()));
            }
            Message::Commit(position) => {
                let (xid, open) = self.current.take().ok_or_else(|| protocol("a commit without a begin"))?;
                return Ok(Some(self.complete(xid, open, position)));
            }
            Message::Relation { relation, .. } => match self.block {
                Some(xid) => self.streamed.entry(xid).or_default().relations.put(relation),
                None => self.relations.put(relation),
            },
            Message::Origin | Message::Type => {}
            Message::Insert { xid, oid, new } => {
                let relation = self.relation(oid)?;
                self.add(xid, Change::Insert { relation, new })?;
            }
            Message::Update { xid, oid, old, new } => {
                let relation = self.relation(oid)?;
                self.add(xid, Change::Update { relation, old, new })?;
            }
            Message::Delete { xid, oid, old } => {
                let relation = self.relation(oid)?;
                self.add(xid, Change::Delete { relation, old })?;
            }
            Message::Truncate { xid, oids } => {
                let relations = oids.iter().map(|&oid| self.relation(oid)).collect::<Result<Vec<_>, _>>()?;
                self.add(xid, Change::Truncate { relations })?;
            }
            Message::Logical { transactional, lsn, prefix, .. } => {
                return Ok((!transactional).then_some(Assembled::Message { prefix, lsn }));
            }
            message => return self.push_streamed(message),
        }
        Ok(None)
    }

    /// The messages of streaming.
    fn push_streamed(&mut self, message: Message) -> Result<Option<Assembled>, SourceError> {
        match message {
            Message::StreamStart { xid, first } => {
                if !self.is_idle() {
                    return Err(protocol("a streamed block begins inside of a transaction"));
                }
                if first == self.streamed.contains_key(&xid) {
                    return Err(protocol("the first block of a streamed transaction is missing or repeated"));
                }
                self.streamed.entry(xid).or_default();
                self.block = Some(xid);
            }
            Message::StreamStop => {
                self.block.take().ok_or_else(|| protocol("a streamed block ends that never began"))?;
            }
            Message::StreamCommit { xid, position } => {
                let open = self.streamed.remove(&xid);
                let mut open = open.ok_or_else(|| protocol("a commit of an unknown streamed transaction"))?;
                self.relations.absorb(std::mem::take(&mut open.relations));
                return Ok(Some(self.complete(xid, open, position)));
            }
            Message::StreamAbort { xid, subxid } => self.abort(xid, subxid),
            _ => return Err(protocol("a message of two-phase commit, which was not asked for")),
        }
        Ok(None)
    }

    /// Forgets what a streamed transaction, or a subtransaction of it, has done.
    fn abort(&mut self, xid: u32, subxid: u32) {
        // The server may report a transaction of which it has streamed nothing.
        let Some(mut open) = self.streamed.remove(&xid) else { return };
        self.memory_bytes -= open.memory_bytes;
        self.large_bytes -= open.large_bytes;
        self.large_files -= open.large_files;
        if xid == subxid {
            return;
        }
        if let Some(log) = &mut open.log {
            log.abort(subxid);
        }
        open.changes.retain(|tagged| tagged.subxid != subxid);
        open.memory_bytes = open.changes.iter().map(|tagged| change_bytes(&tagged.change)).sum();
        open.large_bytes = open.changes.iter().map(|tagged| large_bytes(&tagged.change)).sum();
        open.large_files = open.changes.iter().map(|tagged| large_files(&tagged.change)).sum();
        self.memory_bytes += open.memory_bytes;
        self.large_bytes += open.large_bytes;
        self.large_files += open.large_files;
        self.streamed.insert(xid, open);
    }

    /// The table as the transaction that is being read sees it.
    fn relation(&self, oid: u32) -> Result<Arc<Relation>, SourceError> {
        let own = self.block.and_then(|xid| self.streamed.get(&xid)).and_then(|open| open.relations.get(oid));
        own.map_or_else(|| self.relations.expect(oid), |relation| Ok(Arc::clone(relation)))
    }

    /// Adds a change to the transaction that is being read.
    fn add(&mut self, xid: Option<u32>, change: Change) -> Result<(), SourceError> {
        let open = match (self.block, &mut self.current) {
            (Some(top), _) => self.streamed.get_mut(&top),
            (None, current) => current.as_mut().map(|(_, open)| open),
        };
        let open = open.ok_or_else(|| protocol("a change outside of a transaction"))?;
        let (bytes, large, files) = (change_bytes(&change), large_bytes(&change), large_files(&change));
        open.memory_bytes += bytes;
        open.large_bytes += large;
        open.large_files += files;
        self.memory_bytes += bytes;
        self.large_bytes += large;
        self.large_files += files;
        open.changes.push(TaggedChange { subxid: xid.unwrap_or(0), change });
        while self.memory_bytes > self.max_memory_bytes {
            self.spill(|open| open.memory_bytes)?;
        }
        while self.large_files > MAX_LARGE_FILES {
            self.spill(|open| open.large_files)?;
        }
        Ok(())
    }

    /// Moves the changes that the transaction with the most of something has in memory to disk.
    fn spill(&mut self, measure: impl Fn(&OpenTransaction) -> usize) -> Result<(), SourceError> {
        let open = self.current.iter_mut().map(|(_, open)| open).chain(self.streamed.values_mut());
        let Some(open) = open.max_by_key(|open| measure(open)) else { return Ok(()) };
        let log = match &mut open.log {
            Some(log) => log,
            None => open.log.insert(ChangeLog::create(&self.space).map_err(lost)?),
        };
        log.append(&open.changes).map_err(lost)?;
        open.changes = Vec::new();
        self.memory_bytes -= std::mem::take(&mut open.memory_bytes);
        self.large_bytes -= std::mem::take(&mut open.large_bytes);
        self.large_files -= std::mem::take(&mut open.large_files);
        Ok(())
    }

    /// A transaction that is whole.
    fn complete(&mut self, xid: u32, open: OpenTransaction, position: Position) -> Assembled {
        self.memory_bytes -= open.memory_bytes;
        self.large_bytes -= open.large_bytes;
        self.large_files -= open.large_files;
        let mut changes: Vec<Change> = open.changes.into_iter().map(|tagged| tagged.change).collect();
        // A vector of one has room for four, and most transactions are small.
        changes.shrink_to_fit();
        Assembled::Transaction(Transaction {
            xid,
            commit_lsn: position.lsn,
            end_lsn: position.end_lsn,
            commit_time_us: position.time_us,
            large_bytes: open.large_bytes + open.log.as_ref().map_or(0, ChangeLog::bytes),
            spilled: open.log.map(ChangeLog::finish),
            changes,
            memory_bytes: open.memory_bytes + TRANSACTION_OVERHEAD_BYTES,
        })
    }
}

/// The memory of one change, as it was counted when it was added.
fn change_bytes(change: &Change) -> usize {
    CHANGE_OVERHEAD_BYTES
        + match change {
            Change::Insert { new, .. } => new.memory_bytes(),
            Change::Update { old, new, .. } => {
                new.memory_bytes() + old.as_ref().map_or(0, |old| old.tuple().memory_bytes())
            }
            Change::Delete { old, .. } => old.tuple().memory_bytes(),
            Change::Truncate { relations } => relations.len() * size_of::<usize>(),
        }
}

/// Large fields of one change, each in a file of its own.
fn large_files(change: &Change) -> usize {
    let of = |tuple: &Tuple| tuple.fields().filter(|field| matches!(field, Field::Large(_))).count();
    match change {
        _ if large_bytes(change) == 0 => 0,
        Change::Insert { new, .. } => of(new),
        Change::Update { old, new, .. } => of(new) + old.as_ref().map_or(0, |old| of(old.tuple())),
        Change::Delete { old, .. } => of(old.tuple()),
        Change::Truncate { .. } => 0,
    }
}

/// Bytes of one change that are kept outside of memory.
fn large_bytes(change: &Change) -> u64 {
    match change {
        Change::Insert { new, .. } => new.large_bytes(),
        Change::Update { old, new, .. } => {
            new.large_bytes() + old.as_ref().map_or(0, |old| old.tuple().large_bytes())
        }
        Change::Delete { old, .. } => old.tuple().large_bytes(),
        Change::Truncate { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
