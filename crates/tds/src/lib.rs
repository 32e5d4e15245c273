//! The SQL Server wire protocol (TDS 7.4 and 8.0), client side, with bulk load.
//!
//! ```text
//! Config --> Connection::connect --- prelogin, tls, login ---> Connection
//!              batch, execute, query_each, query_parts, begin/commit/rollback --> Response
//!              bulk_load <-- RowEncoder (rows are encoded and checked before one byte is sent)
//! ```
//!
//! In reading order:
//! - [`packet`], [`types`]: framing and tables, shared with servers
//! - [`config`], [`error`], [`datum`]: what goes in and what comes out
//! - [`browser`]: ports of named instances
//! - [`prelogin`], [`login`], `tls`, `stream`: how a session begins, and how packets travel
//! - [`reader`], [`type_info`], [`value`], [`token`]: decoding of what a server says; pure, total, bounded
//! - [`row_scanner`]: decoding of rows that are too long to be held
//! - [`batch`], [`rpc`], [`transaction`]: requests
//! - [`row_encoder`], [`plp`], [`bulk`]: bulk load
//! - [`response`]: what a request returns
//! - [`connection`]: all of it together
//!
//! The reference for everything is [MS-TDS], "Tabular Data Stream Protocol".

pub mod batch;
pub mod browser;
pub mod bulk;
pub mod config;
pub mod connection;
pub mod datum;
pub mod error;
pub mod login;
pub mod packet;
pub mod plp;
pub mod prelogin;
pub mod reader;
pub mod response;
pub mod row_encoder;
pub mod row_scanner;
pub mod rpc;
mod stream;
mod tls;
pub mod token;
pub mod transaction;
pub mod type_info;
pub mod types;
pub mod value;

pub use browser::Unresolved;
pub use bulk::{BulkColumn, BulkLoad, BulkOptions, BulkTarget, SortOrder};
pub use config::{Config, Encryption};
pub use connection::{Connection, ServerInfo};
pub use datum::Datum;
pub use error::{EncodeError, Error, ServerErrors, ServerMessage};
pub use plp::{LongValue, LongValueReader};
pub use response::{ColumnInfo, Response, ResultSet};
pub use row_encoder::RowEncoder;
pub use row_scanner::{LongPart, RowHandler};
pub use rpc::Parameter;
pub use tls::TlsInfo;
pub use types::{Collation, ColumnType, Len};
