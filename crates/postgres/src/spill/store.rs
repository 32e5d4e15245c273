//! [`SpillWriter`] and [`SpillFile`]: one value in a file without a name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use segcdc_model::{LARGE_BLOCK_BYTES, LargeStore, LargeValue};
use xxhash_rust::xxh3::xxh3_64;

use super::SpillError;
use super::facts::Observer;

/// Writes one value.
#[derive(Debug)]
pub(super) struct SpillWriter {
    directory: PathBuf,
    file: File,
    block: Vec<u8>,
    checksums: Vec<u64>,
    observer: Observer,
}

/// A value that was written.
#[derive(Debug)]
struct SpillFile {
    file: Mutex<File>,
    length: u64,
    checksums: Box<[u64]>,
}

// === impl SpillWriter ===

impl SpillWriter {
    /// A new file in `directory`, which is created if need be, for its owner alone.
    pub(super) fn create(directory: &Path, binary: bool) -> io::Result<Self> {
        let failed = |cause| failed(directory, cause);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(failed)?;
        let file = tempfile::tempfile_in(directory).map_err(failed)?;
        Ok(SpillWriter {
            directory: directory.to_owned(),
            file,
            block: Vec::with_capacity(LARGE_BLOCK_BYTES),
            checksums: Vec::new(),
            observer: Observer::new(binary),
        })
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
        let store = SpillFile {
            file: Mutex::new(self.file),
            length: facts.length,
            checksums: self.checksums.into_boxed_slice(),
        };
        Ok(LargeValue::new(facts, Arc::new(store)))
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.checksums.push(xxh3_64(&self.block));
        self.file.write_all(&self.block).map_err(|cause| failed(&self.directory, cause))?;
        self.block.clear();
        Ok(())
    }
}

// === impl SpillFile ===

impl LargeStore for SpillFile {
    fn read_block(&self, index: u64, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let start = index.saturating_mul(LARGE_BLOCK_BYTES as u64);
        let length = self.length.saturating_sub(start).min(LARGE_BLOCK_BYTES as u64);
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(checksum) = self.checksums.get(place) else { return Ok(()) };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(length).read_to_end(out)?;
        if out.len() as u64 != length || xxh3_64(out) != *checksum {
            out.clear();
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a block is not what was written"));
        }
        Ok(())
    }
}

/// An error of the directory, as the connection carries it.
fn failed(directory: &Path, cause: io::Error) -> io::Error {
    io::Error::other(SpillError { directory: directory.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_as_they_were_written() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("a").join("b");
        let bytes: Vec<u8> =
            (0..LARGE_BLOCK_BYTES * 2 + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut writer = SpillWriter::create(&below, true).unwrap();
        for piece in bytes.chunks(70_001) {
            writer.write(piece).unwrap();
        }
        let value = writer.finish().unwrap();
        assert_eq!(std::fs::read_dir(&below).unwrap().count(), 0, "the file has no name");
        let (mut found, mut block) = (Vec::new(), Vec::new());
        for index in 0..4 {
            value.store().read_block(index, &mut block).unwrap();
            found.extend_from_slice(&block);
        }
        assert!(found == bytes && block.is_empty());
    }

    #[test]
    fn changed_block_is_an_error_and_not_a_value() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = SpillWriter::create(directory.path(), true).unwrap();
        writer.write(&[7; 1000]).unwrap();
        let mut file = writer.file.try_clone().unwrap();
        let value = writer.finish().unwrap();
        file.seek(SeekFrom::Start(500)).unwrap();
        file.write_all(&[8]).unwrap();
        let error = value.store().read_block(0, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
