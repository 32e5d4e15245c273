//! A server's answer, token by token, from any bytes; also its PRELOGIN.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcdc_tds::token::{Column, Token, decode};

fuzz_target!(|bytes: &[u8]| {
    let _ = segcdc_tds::prelogin::decode(bytes);
    let mut columns: Vec<Column> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Ok((token, length)) = decode(rest, &columns) else { break };
        assert!(length > 0 && length <= rest.len(), "a token has a length, and ends within the bytes");
        // What is cut must be asked for, and never be taken for something else.
        if let Some(cut) = rest.get(..length - 1) {
            assert!(decode(cut, &columns).is_err(), "a cut token is no token");
        }
        if let Token::Columns(found) = &token {
            columns = found.to_vec();
        }
        rest = &rest[length..];
    }
});
