//! [`Annex`]: the large fields of a log, one behind the other in one file, in blocks with a checksum each.

use std::io;
use std::sync::Arc;

use segcdc_model::{LARGE_BLOCK_BYTES, LargeFacts, LargeStore, LargeValue};
use xxhash_rust::xxh3::xxh3_64;

use super::codec::damaged;
use crate::spill::{SpillFile, SpillSpace};

/// Takes large fields.
#[derive(Debug, Default)]
pub(super) struct Annex {
    file: Option<SpillFile>,
    entries: Vec<Entry>,
}

/// One field.
#[derive(Debug)]
struct Entry {
    facts: LargeFacts,
    start: u64,
    checksums: Box<[u64]>,
}

/// A field in the file that it shares with others.
#[derive(Debug)]
struct Annexed {
    file: Arc<SpillFile>,
    start: u64,
    length: u64,
    checksums: Box<[u64]>,
}

// === impl Annex ===

impl Annex {
    /// Bytes of all fields.
    pub(super) fn bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, SpillFile::length)
    }

    /// Copies a field into the file, which is made in `space` for the first one. Returns its place.
    pub(super) fn put(&mut self, value: &LargeValue, space: &SpillSpace) -> io::Result<u32> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(space.empty_file()?),
        };
        let place =
            u32::try_from(self.entries.len()).map_err(|_| damaged("a transaction has too many fields"))?;
        let start = file.length();
        let (mut block, mut checksums) = (Vec::new(), Vec::new());
        loop {
            value.store().read_block(checksums.len() as u64, &mut block)?;
            if block.is_empty() {
                break;
            }
            checksums.push(xxh3_64(&block));
            file.append(&block)?;
        }
        self.entries.push(Entry { facts: *value.facts(), start, checksums: checksums.into() });
        Ok(place)
    }

    /// The fields by their places.
    pub(super) fn finish(self) -> Box<[LargeValue]> {
        let Some(file) = self.file.map(Arc::new) else { return Box::default() };
        let value = |entry: Entry| {
            let length = entry.facts.length;
            let Entry { facts, start, checksums } = entry;
            LargeValue::new(facts, Arc::new(Annexed { file: Arc::clone(&file), start, length, checksums }))
        };
        self.entries.into_iter().map(value).collect()
    }

    /// The file itself, to damage it.
    #[cfg(test)]
    pub(super) fn handle(&self) -> std::fs::File {
        self.file.as_ref().unwrap().handle()
    }
}

// === impl Annexed ===

impl LargeStore for Annexed {
    fn read_block(&self, index: u64, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let skipped = index.saturating_mul(LARGE_BLOCK_BYTES as u64);
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(checksum) = self.checksums.get(place) else { return Ok(()) };
        let length = self.length.saturating_sub(skipped).min(LARGE_BLOCK_BYTES as u64);
        self.file.read(self.start.saturating_add(skipped), length, out)?;
        if out.len() as u64 != length || xxh3_64(out) != *checksum {
            out.clear();
            return Err(damaged("a block is not what was written"));
        }
        Ok(())
    }
}
