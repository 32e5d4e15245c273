//! [`SpillWriter`] and [`StoredValue`]: one value in a file without a name; [`Blocks`]: the blocks of a value in any file.

use std::io;
use std::sync::Arc;

use segcdc_model::{LARGE_BLOCK_BYTES, LargeStore, LargeValue};
use xxhash_rust::xxh3::xxh3_64;

use super::facts::Observer;
use super::space::SpillFile;

/// Where the bytes of a value are in its file: blocks of [`LARGE_BLOCK_BYTES`], the last one shorter, with a checksum each.
#[derive(Debug)]
pub(crate) struct Blocks {
    start: u64,
    length: u64,
    checksums: Vec<u64>,
}

/// Writes one value.
#[derive(Debug)]
pub(super) struct SpillWriter {
    file: SpillFile,
    block: Vec<u8>,
    blocks: Blocks,
    observer: Observer,
}

/// A value that was written.
#[derive(Debug)]
struct StoredValue {
    file: SpillFile,
    blocks: Blocks,
}

// === impl Blocks ===

impl Blocks {
    /// Those of a value that begins where the file ends.
    pub(crate) fn behind(file: &SpillFile) -> Self {
        Blocks { start: file.length(), length: 0, checksums: Vec::new() }
    }

    /// Adds the next block to the file, which nothing else may have been added to.
    pub(crate) fn append(&mut self, file: &mut SpillFile, block: &[u8]) -> io::Result<()> {
        self.checksums.push(xxh3_64(block));
        file.append(block)?;
        self.length += block.len() as u64;
        Ok(())
    }

    /// Replaces the contents of `out` by a block; by nothing behind the last one.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for one that is not what was written.
    pub(crate) fn read(&self, file: &SpillFile, index: u64, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(checksum) = self.checksums.get(place) else { return Ok(()) };
        let skipped = index.saturating_mul(LARGE_BLOCK_BYTES as u64);
        let length = self.length.saturating_sub(skipped).min(LARGE_BLOCK_BYTES as u64);
        file.read(self.start.saturating_add(skipped), length, out)?;
        if out.len() as u64 != length || xxh3_64(out) != *checksum {
            out.clear();
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a block is not what was written"));
        }
        Ok(())
    }
}

// === impl SpillWriter ===

impl SpillWriter {
    /// Writes into an empty file.
    pub(super) fn new(file: SpillFile, binary: bool) -> Self {
        let (block, blocks) = (Vec::with_capacity(LARGE_BLOCK_BYTES), Blocks::behind(&file));
        SpillWriter { file, block, blocks, observer: Observer::new(binary) }
    }

    /// Adds bytes. Writes to the file, which the system's cache takes at the speed of memory, now and then.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.observer.see(bytes);
        while !bytes.is_empty() {
            let room = LARGE_BLOCK_BYTES - self.block.len();
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(piece);
            bytes = rest;
            if self.block.len() == LARGE_BLOCK_BYTES {
                self.write_block()?;
            }
        }
        Ok(())
    }

    /// The value.
    pub(super) fn finish(mut self) -> io::Result<LargeValue> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let facts = self.observer.finish();
        let store = StoredValue { file: self.file, blocks: self.blocks };
        Ok(LargeValue::new(facts, Arc::new(store)))
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.blocks.append(&mut self.file, &self.block)?;
        self.block.clear();
        Ok(())
    }
}

// === impl StoredValue ===

impl LargeStore for StoredValue {
    fn read_block(&self, index: u64, out: &mut Vec<u8>) -> io::Result<()> {
        self.blocks.read(&self.file, index, out)
    }
}

/// A value of these bytes, for tests.
#[cfg(test)]
pub(crate) fn large_value(space: &super::SpillSpace, bytes: &[u8]) -> io::Result<LargeValue> {
    let mut writer = SpillWriter::new(space.file(space.try_claim(0)?)?, true);
    writer.write(bytes)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;
    use crate::spill::SpillSpace;

    fn writer(space: &SpillSpace) -> SpillWriter {
        SpillWriter::new(space.file(space.try_claim(0).unwrap()).unwrap(), true)
    }

    #[test]
    fn blocks_come_back_as_they_were_written() {
        let directory = tempfile::tempdir().unwrap();
        let space = SpillSpace::new(directory.path(), None);
        let bytes: Vec<u8> =
            (0..LARGE_BLOCK_BYTES * 2 + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut writer = writer(&space);
        for piece in bytes.chunks(70_001) {
            writer.write(piece).unwrap();
        }
        let value = writer.finish().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the file has no name");
        assert_eq!(space.used(), bytes.len() as u64);
        let (mut found, mut block) = (Vec::new(), Vec::new());
        for index in 0..4 {
            value.store().read_block(index, &mut block).unwrap();
            found.extend_from_slice(&block);
        }
        assert!(found == bytes && block.is_empty());
        drop(value);
        assert_eq!(space.used(), 0);
    }

    #[test]
    fn changed_block_is_an_error_and_not_a_value() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(&SpillSpace::new(directory.path(), None));
        writer.write(&[7; 1000]).unwrap();
        let mut file = writer.file.handle();
        let value = writer.finish().unwrap();
        file.seek(SeekFrom::Start(500)).unwrap();
        file.write_all(&[8]).unwrap();
        let error = value.store().read_block(0, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
