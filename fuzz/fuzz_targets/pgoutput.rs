//! Messages of the logical stream, and the envelopes they come in, from any bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use segcdc_postgres::pgoutput::{decode, decode_envelope};

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let plain = decode(bytes.clone(), false);
    let again = decode(bytes.clone(), false);
    assert_eq!(format!("{plain:?}"), format!("{again:?}"), "decoding depends on nothing but the bytes");
    let _ = decode(bytes.clone(), true);
    let _ = decode_envelope(bytes);
});
