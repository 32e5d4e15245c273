//! [`SpillSpace`]: the directory for what is too large for memory, and how much of its disk may be used.
//!
//! ```text
//! SpillSpace --try_claim--> Share ----> SpillFile::append     claimed: before anything is written
//!     ^                                     |                 written: what is in the files
//!     +------------- given back <-- dropped-+
//! ```
//!
//! Everything that one process keeps on disk is claimed here first, so the bound is one for all its sessions. Whoever is
//! refused can wait for others of the process to give back what they hold; a need that none of them stands in the way
//! of is an error.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::SpillError;

/// What is left free of a file system when no limit is given: this, or a tenth of a smaller one.
const LEFT_FREE_BYTES: u64 = 1 << 30;

/// A directory for files without names, and how many bytes of them there may be. Clones are the same space.
#[derive(Debug, Clone)]
pub struct SpillSpace {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    limit: Option<u64>,
    counts: Mutex<Counts>,
    /// Something was given back.
    released: Notify,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    /// What may be written.
    claimed: u64,
    /// What of it is written, and so is missing from what is free.
    written: u64,
}

/// Room of the file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Disk {
    /// For processes without privileges.
    free: u64,
    size: u64,
}

/// A part of the space, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    space: SpillSpace,
    bytes: u64,
}

/// A file without a name, whose bytes count. It goes with the process, however that ends.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: Mutex<File>,
    share: Share,
    length: u64,
}

// === impl SpillSpace ===

impl SpillSpace {
    /// A space in `directory`, which is made when it is needed. `limit` is the most that may be in its files at once, bytes;
    /// without one, 1 GiB of the file system is left free for others, or a tenth of one that is smaller than 10 GiB.
    pub fn new(directory: impl Into<PathBuf>, limit: Option<u64>) -> Self {
        let shared =
            Shared { directory: directory.into(), limit, counts: Mutex::default(), released: Notify::new() };
        SpillSpace { shared: Arc::new(shared) }
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// The most that may be in the files at once, bytes, if that was given.
    pub fn limit(&self) -> Option<u64> {
        self.shared.limit
    }

    /// What is in the files now or is about to be, bytes.
    pub fn used(&self) -> u64 {
        self.counts().claimed
    }

    /// What could still be claimed, bytes.
    ///
    /// # Errors
    /// When the directory cannot be made or asked.
    pub fn room(&self) -> io::Result<u64> {
        let disk = self.disk()?;
        Ok(room(self.shared.limit, disk, self.counts()))
    }

    /// Claims bytes that will be written.
    ///
    /// # Errors
    /// A [`SpillError`] inside; see [`is_refusal`] for one that others may pass by giving back.
    pub(crate) fn try_claim(&self, bytes: u64) -> io::Result<Share> {
        let disk = self.disk()?;
        let mut counts = self.lock();
        let room = room(self.shared.limit, disk, *counts);
        if bytes > room {
            drop(counts);
            return Err(self.refusal(bytes, room));
        }
        counts.claimed += bytes;
        Ok(Share { space: self.clone(), bytes })
    }

    /// Waits until others have given so much back that `bytes` can be claimed, or hold nothing any more beside the `own`
    /// bytes of the caller, who learns by [`SpillSpace::try_claim`] which it is. Cancel-safe.
    pub(crate) async fn wait(&self, bytes: u64, own: u64) {
        loop {
            let released = self.shared.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            let others = self.used().saturating_sub(own);
            // An error is the caller's to find.
            if others == 0 || self.room().map_or(true, |room| room >= bytes) {
                return;
            }
            released.await;
        }
    }

    /// A new file, empty, that takes its bytes from `share`.
    pub(crate) fn file(&self, share: Share) -> io::Result<SpillFile> {
        self.make_directory()?;
        let file = tempfile::tempfile_in(self.directory()).map_err(|cause| self.failed(cause))?;
        Ok(SpillFile { file: Mutex::new(file), share, length: 0 })
    }

    /// A new file that claims its bytes as it grows.
    pub(crate) fn empty_file(&self) -> io::Result<SpillFile> {
        self.file(Share { space: self.clone(), bytes: 0 })
    }

    /// The directory is made for its owner alone.
    fn make_directory(&self) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(self.directory()).map_err(|cause| self.failed(cause))
    }

    /// Room of the file system; `None` where a limit counts instead, or the system does not tell.
    fn disk(&self) -> io::Result<Option<Disk>> {
        if self.shared.limit.is_some() {
            return Ok(None);
        }
        self.make_directory()?;
        #[cfg(unix)]
        {
            let found = rustix::fs::statvfs(self.directory()).map_err(|cause| self.failed(cause.into()))?;
            Ok(Some(Disk {
                free: found.f_bavail.saturating_mul(found.f_frsize),
                size: found.f_blocks.saturating_mul(found.f_frsize),
            }))
        }
        #[cfg(not(unix))]
        Ok(None)
    }

    fn refusal(&self, needed: u64, room: u64) -> io::Error {
        match self.shared.limit {
            Some(limit) => {
                io::Error::other(SpillError::Limit { directory: self.directory().to_owned(), limit, needed })
            }
            None => {
                let text =
                    format!("{needed} bytes are needed, and {room} are free beside what is left to others");
                self.failed(io::Error::new(io::ErrorKind::StorageFull, text))
            }
        }
    }

    /// An error of the directory, as the connection carries it.
    fn failed(&self, cause: io::Error) -> io::Error {
        io::Error::other(SpillError::Failed { directory: self.directory().to_owned(), cause })
    }

    fn counts(&self) -> Counts {
        *self.lock()
    }

    /// A panic while it was held cannot leave it half-changed, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same directory with the same limit.
impl PartialEq for SpillSpace {
    fn eq(&self, other: &Self) -> bool {
        (self.directory(), self.limit()) == (other.directory(), other.limit())
    }
}

impl Eq for SpillSpace {}

/// What can still be claimed, bytes.
fn room(limit: Option<u64>, disk: Option<Disk>, counts: Counts) -> u64 {
    match (limit, disk) {
        (Some(limit), _) => limit.saturating_sub(counts.claimed),
        (None, None) => u64::MAX,
        (None, Some(disk)) => {
            let left_free = LEFT_FREE_BYTES.min(disk.size / 10);
            let expected = counts.claimed.saturating_sub(counts.written);
            disk.free.saturating_sub(left_free).saturating_sub(expected)
        }
    }
}

/// Whether an error says that there is no room, which may pass when others give back.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<SpillError>()) {
        Some(SpillError::Limit { .. }) => true,
        Some(SpillError::Failed { cause, .. }) => cause.kind() == io::ErrorKind::StorageFull,
        None => false,
    }
}

// === impl Share ===

impl Share {
    /// A part of it, at most all that is left.
    pub(crate) fn split(&mut self, bytes: u64) -> Share {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Share { space: self.space.clone(), bytes }
    }

    /// Claims more.
    fn grow(&mut self, bytes: u64) -> io::Result<()> {
        let mut more = self.space.try_claim(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut counts = self.space.lock();
            counts.claimed = counts.claimed.saturating_sub(self.bytes);
            drop(counts);
            self.space.shared.released.notify_waiters();
        }
    }
}

// === impl SpillFile ===

impl SpillFile {
    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes, claiming what the share does not cover. They go into the system's cache at the speed of memory.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.length + bytes.len() as u64;
        if length > self.share.bytes {
            self.share.grow(length - self.share.bytes)?;
        }
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        file.write_all(bytes).map_err(|cause| self.share.space.failed(cause))?;
        self.share.space.lock().written += bytes.len() as u64;
        self.length = length;
        Ok(())
    }

    /// Replaces the contents of `out` by so many bytes from `start` on, fewer at the end of the file.
    pub(crate) fn read(&self, start: u64, length: u64, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(length).read_to_end(out)?;
        Ok(())
    }

    /// The file itself, to damage it.
    #[cfg(test)]
    pub(crate) fn handle(&self) -> File {
        self.file.lock().unwrap().try_clone().unwrap()
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        let mut counts = self.share.space.lock();
        counts.written = counts.written.saturating_sub(self.length);
    }
}

#[cfg(test)]
mod tests;
