//! Rows of COPY in binary form, in one message or cut into several, from any bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use segcdc_model::Tuple;
use segcdc_postgres::{FieldForm, RowDecoder};

fuzz_target!(|bytes: &[u8]| {
    let Some((&head, bytes)) = bytes.split_first() else { return };
    let columns = usize::from(head % 8);
    let forms = vec![FieldForm::Binary; columns];
    let message = Bytes::copy_from_slice(bytes);
    let mut rows: Vec<Tuple> = Vec::new();
    let whole = RowDecoder::new(forms.clone()).decode(&message, &mut rows);
    for row in &rows {
        assert_eq!(row.len(), columns);
        for field in row.fields() {
            let _ = format!("{field:?}");
        }
    }
    // A second decoder that meets the same bytes after an error of the first must not care.
    if whole.is_err() {
        let mut decoder = RowDecoder::new(forms);
        for piece in bytes.chunks(17) {
            if decoder.decode(&Bytes::copy_from_slice(piece), &mut rows).is_err() {
                break;
            }
        }
    }
});
