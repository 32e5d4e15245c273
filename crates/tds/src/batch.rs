//! SQL batches, and ALL_HEADERS, which begins every request ([MS-TDS] 2.2.5.3, 2.2.6.7).

use crate::types::request_header;

/// Bytes of ALL_HEADERS with the one header that is required.
const ALL_HEADERS_LEN: u32 = 22;

/// Bytes of the transaction descriptor header.
const TRANSACTION_HEADER_LEN: u32 = 18;

/// Appends ALL_HEADERS: the transaction (0 for none), and one outstanding request.
pub fn put_all_headers(out: &mut Vec<u8>, transaction: u64) {
    out.extend_from_slice(&ALL_HEADERS_LEN.to_le_bytes());
    out.extend_from_slice(&TRANSACTION_HEADER_LEN.to_le_bytes());
    out.extend_from_slice(&request_header::TRANSACTION_DESCRIPTOR.to_le_bytes());
    out.extend_from_slice(&transaction.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
}

/// The payload of an SQL batch.
pub fn encode(sql: &str, transaction: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(sql.len().saturating_mul(2).saturating_add(ALL_HEADERS_LEN as usize));
    put_all_headers(&mut out, transaction);
    out.extend(sql.encode_utf16().flat_map(u16::to_le_bytes));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_is_headers_and_utf16() {
        let expected = [22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'g', 0, b'o', 0];
        assert_eq!(encode("go", 7), expected);
    }
}
