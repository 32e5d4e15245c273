//! A development-only TDS server that runs a closed subset of T-SQL on a private PostgreSQL; not SQL Server.
//!
//! ```text
//! client <== TDS ==> server: packets, TLS, login, requests --> Session: T-SQL --> PostgreSQL
//!                    encode  <------------- Reply ------------ (bounded channel)
//! ```
//!
//! - [`answer`]: what the engine says and the server encodes; the seam between the two
//! - [`engine`]: runs T-SQL on PostgreSQL; `sql` parses and translates it
//! - [`server`]: packets, TLS, login, requests
//! - [`decode`], [`encode`]: what clients send, what they are told; [`code_page`]: text of varchar
//!
//! It shares packet framing and type tables with the client (`segcdc-tds`), never an encoder with a decoder.

pub mod answer;
pub mod code_page;
pub mod decode;
pub mod encode;
pub mod engine;
pub mod server;
mod sql;
