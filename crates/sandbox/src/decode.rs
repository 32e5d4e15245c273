//! What clients send: TYPE_INFO and values of parameters and of bulk rows. Pure, total, bounded.
//!
//! - [`type_info`]: what a column or parameter holds, and how its values are framed
//! - [`value`]: the values themselves
//! - [`request`]: ALL_HEADERS, SQL batches, transaction requests
//! - [`rpc`]: procedure calls
//! - [`bulk`]: rows of a bulk load, out of the packets in which they come
//! - [`declaration`]: the text `@P1 int, @P2 nvarchar(50) OUTPUT`

pub mod bulk;
pub mod declaration;
pub mod request;
pub mod rpc;
pub mod type_info;
pub mod value;

#[cfg(test)]
mod tests;
