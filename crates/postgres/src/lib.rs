//! The source: everything that SEG CDC asks of a PostgreSQL server.
//!
//! ```text
//! SourceConfig --connect--> Session ---------> catalog, preflight, publication, slot, heartbeat
//!            \--connect--> Replication ------> ExportedSnapshot --copy--> RowStream of Tuples
//!                               \-- start --> TransactionStream of Transactions <-- acknowledge(lsn)
//! ```
//!
//! - [`config`]: where the source is and who we are there
//! - [`session`]: an ordinary session with pinned settings; [`catalog`], [`publication`], [`slot`], [`heartbeat`] and
//!   [`preflight`] are what it is asked
//! - [`replication`]: a replication session; [`stream`] is the transactions that come out of it
//! - [`snapshot`]: copying tables as of the position at which the stream begins
//! - [`pgoutput`]: the messages of the stream, decoded
//! - [`profile`]: what the numbers of a table look like
//! - [`key_scan`]: keys of rows that the target could not tell apart or hold
//! - [`quote`]: the one place that writes identifiers and literals into SQL
//! - [`SpillSpace`]: where what is too large for memory is kept, and how much of it
//! - [`error`]: what can go wrong

pub mod catalog;
pub mod config;
pub mod error;
pub mod heartbeat;
pub mod horizon;
pub mod key_scan;
pub mod pgoutput;
pub mod preflight;
pub mod profile;
pub mod publication;
pub mod quote;
pub mod replication;
pub mod row_filter;
pub mod session;
pub mod slot;
pub mod snapshot;
pub mod stream;

mod assembler;
mod authentication;
mod certificate;
mod change_log;
mod hosts;
mod passfile;
mod relation_cache;
mod socket;
mod spill;
mod sqlstate;
mod startup;
mod tls;
mod wire;

pub use catalog::{Pattern, SourceIdentity};
pub use config::{ConfigError, SourceConfig};
pub use error::{LinkError, Operation, ServerError, SourceError};
pub use key_scan::{KeyForm, KeyScan};
pub use preflight::{PreflightRequest, Purpose};
pub use publication::Publication;
pub use replication::{CreatedSlot, FieldForm, Replication, SlotSnapshot, SystemIdentity};
pub use session::Session;
pub use slot::SlotState;
pub use snapshot::{CopyRange, CopyRequest, ExportedSnapshot, RowDecoder, RowStream};
pub use spill::SpillSpace;
pub use stream::{DEFAULT_OPEN_BYTES, OpenSummary, StreamEvent, StreamOptions, TransactionStream};
