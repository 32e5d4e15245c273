//! Requests to the transaction manager ([MS-TDS] 2.2.6.9).

use crate::batch::put_all_headers;
use crate::types::transaction_request;

/// Begins a transaction at the session's isolation level, without a name.
pub fn encode_begin(transaction: u64) -> Vec<u8> {
    encode(transaction, transaction_request::BEGIN)
}

/// Commits it, and begins no other.
pub fn encode_commit(transaction: u64) -> Vec<u8> {
    encode(transaction, transaction_request::COMMIT)
}

/// Rolls all of it back, and begins no other.
pub fn encode_rollback(transaction: u64) -> Vec<u8> {
    encode(transaction, transaction_request::ROLLBACK)
}

/// A request and its two bytes: isolation level (0: as it is) and name length for begin, name length and flags for the
/// others.
fn encode(transaction: u64, request: u16) -> Vec<u8> {
    let mut out = Vec::new();
    put_all_headers(&mut out, transaction);
    out.extend_from_slice(&request.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_the_descriptor() {
        assert_eq!(encode_begin(0)[22..], [5, 0, 0, 0]);
        let commit = encode_commit(0x0102);
        assert_eq!((&commit[10..12], &commit[22..]), (&[2u8, 1][..], &[7u8, 0, 0, 0][..]));
        assert_eq!(encode_rollback(9)[22..], [8, 0, 0, 0]);
    }
}
