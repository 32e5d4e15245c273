//! Values that are too large for memory: cut out of their message while it comes, and kept in files.
//!
//! ```text
//! socket --> Wire --> Scanner --- small parts ---> message without the large fields --> decoder --> Tuple
//!                        |                                                                            |
//!                        +--- a large field ---> SpillWriter --> file without a name <--- LargeValue -+
//! ```
//!
//! A file has no name: it is removed with the process, however that ends, and nobody else can open it. Its bytes are
//! written and read in blocks with a checksum each, kept in memory.

use std::path::PathBuf;

mod facts;
mod scanner;
mod store;

pub(crate) use scanner::{Grammar, Scanner};

/// Length from which on a CopyData message is read piece by piece.
pub(crate) const LARGE_MESSAGE_BYTES: usize = 1 << 20;

/// A file of large values cannot be written. Travels inside of an [`std::io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("cannot keep a large value")]
pub(crate) struct SpillError {
    /// Where it was to be.
    pub(crate) directory: PathBuf,
    /// What the operating system said.
    #[source]
    pub(crate) cause: std::io::Error,
}
