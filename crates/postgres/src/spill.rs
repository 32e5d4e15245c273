//! Values that are too large for memory: cut out of their message while it comes, and kept in files.
//!
//! ```text
//! socket --> Wire --> Scanner --- small parts ---> message without the large fields --> decoder --> Tuple
//!                        |                                                                            |
//!                        +--- a large field ---> SpillWriter --> file without a name <--- LargeValue -+
//! ```
//!
//! A file has no name: it is removed with the process, however that ends, and nobody else can open it. Its bytes are
//! written and read in blocks with a checksum each, kept in memory. How many bytes there may be on disk is [`SpillSpace`]'s to
//! say.

use std::path::PathBuf;

mod facts;
mod scanner;
mod space;
mod store;

pub(crate) use scanner::{Grammar, Scanner};
pub use space::SpillSpace;
pub(crate) use space::{SpillFile, is_refusal};
pub(crate) use store::Blocks;
#[cfg(test)]
pub(crate) use store::large_value;

/// Length from which on a CopyData message is read piece by piece.
pub(crate) const LARGE_MESSAGE_BYTES: usize = 1 << 20;

/// What is too large for memory cannot be kept on disk. Travels inside of an [`std::io::Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpillError {
    /// The operating system refuses, or has no room.
    #[error("cannot keep what is too large for memory")]
    Failed {
        /// Where it was to be.
        directory: PathBuf,
        /// What the operating system said.
        #[source]
        cause: std::io::Error,
    },
    /// The user's limit.
    #[error("what is too large for memory is too large for the limit on disk")]
    Limit {
        /// Where it was to be.
        directory: PathBuf,
        /// Bytes that may be there at once.
        limit: u64,
        /// Bytes that had to be added.
        needed: u64,
    },
}
