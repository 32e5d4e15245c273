//! What a client sends, from any bytes: PRELOGIN, LOGIN7, SQL batches, procedure calls, transaction requests, rows of a bulk load.
//! The first byte says which. The sandbox reads it, and every test of the target depends on that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcdc_sandbox::decode::bulk::{Piece, RowDecoder};
use segcdc_sandbox::decode::{declaration, request, rpc};
use segcdc_sandbox::server::{login, prelogin};

/// Pieces of a bulk load, until it has no more, or is wrong.
fn rows(decoder: &mut RowDecoder) -> Option<u64> {
    let mut rows = 0;
    loop {
        match decoder.advance() {
            Ok(Piece::Incomplete) => return Some(rows),
            Ok(Piece::Row(_)) => rows += 1,
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&head, bytes)) = bytes.split_first() else { return };
    match head % 6 {
        0 => {
            let _ = prelogin::decode(bytes);
        }
        1 => {
            if let Ok(login) = login::decode(bytes, 51) {
                let _ = login::refuse(&login);
            }
        }
        2 => {
            if let Ok(sql) = request::decode_batch(bytes) {
                let _ = declaration::parse(&sql);
            }
        }
        3 => {
            let _ = request::decode_transaction(bytes);
        }
        4 => {
            if let Ok(calls) = rpc::decode(bytes) {
                let _ = format!("{calls:?}");
            }
        }
        _ => {
            // However it is cut, a load means the same.
            let mut whole = RowDecoder::default();
            whole.feed(bytes);
            let at_once = rows(&mut whole);
            let mut cut = RowDecoder::default();
            let mut found = Some(0);
            for piece in bytes.chunks(7) {
                cut.feed(piece);
                found = found.and_then(|before| rows(&mut cut).map(|more| before + more));
            }
            assert_eq!(at_once, found, "cut into pieces, it is another load");
        }
    }
});
