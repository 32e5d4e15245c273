//! [`ChangeLog`]: changes of one transaction in a file without a name, until it commits and has been applied.
//!
//! ```text
//! Assembler --- changes beyond the memory that is allowed ---> ChangeLog: part, part, part      (one checksum a part)
//!                    Stream Abort of a subtransaction   --->   its id is remembered
//! commit   ------------------------------------------------->  SpilledChanges, read part by part
//! ```
//!
//! A part holds what was in memory when it was written, so that it fits there again. What was rolled back is left out
//! when a part is read; nothing is rewritten. Large fields, which had a file each, are moved into one file for all of them
//! ([`annex`]): a process may not have a file open for every row.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{Change, ChangeStore, LargeValue, Relation, SpilledChanges};
use xxhash_rust::xxh3::xxh3_64;

use crate::spill::{SpillFile, SpillSpace};
use annex::Annex;

mod annex;
mod codec;

/// A change and the subtransaction that made it (0 when not streamed).
#[derive(Debug)]
pub(crate) struct TaggedChange {
    pub(crate) subxid: u32,
    pub(crate) change: Change,
}

/// Writes the changes of one transaction.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    space: SpillSpace,
    file: SpillFile,
    changes: u64,
    parts: Vec<Part>,
    relations: Relations,
    annex: Annex,
    /// Subtransactions that were rolled back, of those that parts may hold changes of.
    aborted: HashSet<u32>,
}

/// The tables of a log, by their place in it.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    list: Vec<Arc<Relation>>,
    /// By address: the list keeps them alive.
    places: HashMap<usize, u32>,
}

/// One part of the file.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: u64,
    length: usize,
    checksum: u64,
    lowest_subxid: u32,
    highest_subxid: u32,
}

/// A log that is complete.
#[derive(Debug)]
struct SpilledLog {
    file: SpillFile,
    changes: u64,
    parts: Box<[Part]>,
    relations: Box<[Arc<Relation>]>,
    large: Box<[LargeValue]>,
    aborted: HashSet<u32>,
}

// === impl ChangeLog ===

impl ChangeLog {
    /// An empty log in a new file in `space`.
    pub(crate) fn create(space: &SpillSpace) -> io::Result<Self> {
        Ok(ChangeLog {
            space: space.clone(),
            file: space.empty_file()?,
            changes: 0,
            parts: Vec::new(),
            relations: Relations::default(),
            annex: Annex::default(),
            aborted: HashSet::new(),
        })
    }

    /// Number of changes, those that were rolled back included.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.length() + self.annex.bytes()
    }

    /// Adds a part. It goes into the system's cache at the speed of memory.
    pub(crate) fn append(&mut self, changes: &[TaggedChange]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for tagged in changes {
            let mut annexed = |value: &LargeValue| self.annex.put(value, &self.space);
            codec::encode(tagged, &mut self.relations, &mut annexed, &mut bytes)?;
        }
        let subxids = || changes.iter().map(|tagged| tagged.subxid);
        let part = Part {
            start: self.file.length(),
            length: bytes.len(),
            checksum: xxh3_64(&bytes),
            lowest_subxid: subxids().min().unwrap_or_default(),
            highest_subxid: subxids().max().unwrap_or_default(),
        };
        self.file.append(&bytes)?;
        self.changes += changes.len() as u64;
        self.parts.push(part);
        Ok(())
    }

    /// A subtransaction is rolled back: its changes are left out from now on. It makes no others.
    pub(crate) fn abort(&mut self, subxid: u32) {
        if self.parts.iter().any(|part| part.may_hold(subxid)) {
            self.aborted.insert(subxid);
        }
    }

    /// The changes.
    pub(crate) fn finish(self) -> SpilledChanges {
        SpilledChanges::new(Arc::new(SpilledLog {
            file: self.file,
            changes: self.changes,
            parts: self.parts.into(),
            relations: self.relations.list.into(),
            large: self.annex.finish(),
            aborted: self.aborted,
        }))
    }
}

// === impl Relations ===

impl Relations {
    /// The place of a table, which it gets when it is new.
    fn place(&mut self, relation: &Arc<Relation>) -> u32 {
        *self.places.entry(Arc::as_ptr(relation).addr()).or_insert_with(|| {
            self.list.push(Arc::clone(relation));
            u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

// === impl Part ===

impl Part {
    /// Whether a change of the subtransaction may be among its changes. Ids wrap around: then the range is wider than
    /// need be, never narrower.
    fn may_hold(&self, subxid: u32) -> bool {
        (self.lowest_subxid..=self.highest_subxid).contains(&subxid)
    }
}

// === impl SpilledLog ===

impl SpilledLog {
    /// The bytes of a part.
    fn read(&self, part: &Part) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(part.length);
        self.file.read(part.start, part.length as u64, &mut bytes)?;
        let is_whole = xxh3_64(&bytes) == part.checksum || is_planted(Mutant::NoSpillChecksum);
        if bytes.len() != part.length || !is_whole {
            return Err(codec::damaged("a part of a transaction is not what was written"));
        }
        Ok(bytes)
    }
}

impl ChangeStore for SpilledLog {
    fn parts(&self) -> usize {
        self.parts.len()
    }

    fn read_part(&self, index: usize) -> io::Result<Vec<Change>> {
        let Some(part) = self.parts.get(index) else { return Ok(Vec::new()) };
        let bytes = Bytes::from(self.read(part)?);
        codec::decode(&bytes, &self.relations, &self.large, |subxid| !self.aborted.contains(&subxid))
    }

    fn relations(&self) -> &[Arc<Relation>] {
        &self.relations
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn bytes(&self) -> u64 {
        self.file.length() + self.large.iter().map(|value| value.facts().length).sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
