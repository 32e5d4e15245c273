//! [`Annex`]: the large fields of a log, one behind the other in one file, in blocks with a checksum each.

use std::io;
use std::sync::Arc;

use segcdc_model::{LargeFacts, LargeStore, LargeValue};

use super::codec::damaged;
use crate::spill::{Blocks, SpillFile, SpillSpace};

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
    blocks: Blocks,
}

/// A field in the file that it shares with others.
#[derive(Debug)]
struct Annexed {
    file: Arc<SpillFile>,
    blocks: Blocks,
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
        let (mut block, mut blocks) = (Vec::new(), Blocks::behind(file));
        for index in 0.. {
            value.store().read_block(index, &mut block)?;
            if block.is_empty() {
                break;
            }
            blocks.append(file, &block)?;
        }
        self.entries.push(Entry { facts: *value.facts(), blocks });
        Ok(place)
    }

    /// The fields by their places.
    pub(super) fn finish(self) -> Box<[LargeValue]> {
        let Some(file) = self.file.map(Arc::new) else { return Box::default() };
        let value = |Entry { facts, blocks }| {
            LargeValue::new(facts, Arc::new(Annexed { file: Arc::clone(&file), blocks }))
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
        self.blocks.read(&self.file, index, out)
    }
}
