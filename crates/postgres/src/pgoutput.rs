//! The messages of PostgreSQL's output plugin `pgoutput` (manual, "Logical Replication Message Formats").
//!
//! Versions 1 to 4 of its protocol: whole transactions, streams of transactions in progress, two-phase commit,
//! parallel streams. Decoding takes untrusted bytes, never panics, and copies no field of a row.

pub(crate) use crate::pgoutput::decode::decode_with;
pub use crate::pgoutput::decode::{DecodeError, decode};
pub use crate::pgoutput::envelope::{Envelope, decode_envelope};
pub use crate::pgoutput::message::{Message, Position};

mod decode;
mod envelope;
mod message;
mod reader;
