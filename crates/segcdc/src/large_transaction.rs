//! How far a source transaction is that is too large for memory, in words.

use std::time::Duration;

use segcdc_engine_native::LargeReport;

use crate::text;

/// One line about it, behind what it is called.
pub(crate) fn words(large: &LargeReport) -> String {
    let (changes, disk) = (text::count(large.changes), text::bytes(large.disk_bytes));
    let (xid, elapsed) = (large.xid, text::duration(Duration::from_millis(large.elapsed_ms)));
    if large.is_complete {
        let (applied, part, parts) = (text::count(large.applied), large.part, large.parts);
        let committed = match large.committed {
            Some(committed) => format!("{} committed", text::count(committed)),
            None => "not committed yet".to_owned(),
        };
        format!(
            "{xid}: applying part {part} of {parts}, {applied} of {changes} changes, {disk} on disk, for {elapsed}, {committed}"
        )
    } else {
        format!("{xid}: receiving, {changes} changes so far, {disk} on disk, for {elapsed}")
    }
}
