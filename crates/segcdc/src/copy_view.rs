//! What copying would be, in words.

use std::time::Duration;

use segcdc_engine_native::{CopyEstimate, XminAge};

use crate::text;

/// Some lines about it.
pub(crate) fn words(copy: &CopyEstimate) -> String {
    let CopyEstimate { readers, tables, ranges, rows, bytes, .. } = *copy;
    let time = text::duration(Duration::from_secs(copy.seconds));
    let (tables, ranges) = (text::plural(tables, "table"), text::plural(ranges, "piece"));
    let pace = match copy.bytes_per_second {
        None => "as --throttle allows".to_owned(),
        Some(pace) if copy.is_assumed => {
            format!("at {}/s, which is an assumption: `up` shows the real pace", text::bytes(pace))
        }
        Some(pace) => format!("at the {}/s of --throttle", text::bytes(pace)),
    };
    let mut lines = vec![
        format!(
            "Copying   {tables}, {} in about {} rows, {ranges} by {}",
            text::bytes(bytes),
            text::count(rows),
            text::plural(readers, "reader")
        ),
        format!("time      about {time} {pace}; keys of the target's tables are built behind that"),
    ];
    lines.extend(copy.xmin.as_ref().map(vacuum));
    lines.join("\n")
}

/// What the copy's snapshot does to vacuum.
fn vacuum(xmin: &XminAge) -> String {
    let XminAge { now, per_second, at_end, freeze_max_age } = *xmin;
    let (now, per_second, end) = (text::count(now), text::count(per_second), text::count(at_end));
    let freeze = if at_end >= freeze_max_age {
        format!(
            ", beyond autovacuum_freeze_max_age ({}): copy fewer tables at a time",
            text::count(freeze_max_age)
        )
    } else {
        String::new()
    };
    format!(
        "vacuum    waits at the source meanwhile: for a snapshot that is {end} transactions old at the end, at {per_second} a \
         second{freeze}; the oldest one now is {now} old"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate() -> CopyEstimate {
        CopyEstimate {
            readers: 4,
            tables: 2,
            ranges: 101,
            rows: 800_000_001,
            bytes: 100 << 30,
            bytes_per_second: Some(40 << 20),
            is_assumed: true,
            seconds: 2560,
            xmin: Some(XminAge { now: 1234, per_second: 200, at_end: 512_000, freeze_max_age: 200_000_000 }),
        }
    }

    #[test]
    fn a_copy_can_be_read() {
        let assumed = words(&estimate());
        let bounded = CopyEstimate {
            bytes_per_second: Some(5 << 20),
            is_assumed: false,
            seconds: 20_480,
            ..estimate()
        };
        let rows = CopyEstimate {
            bytes_per_second: None,
            is_assumed: false,
            seconds: 8000,
            xmin: None,
            ..estimate()
        };
        let xmin = XminAge { now: 0, per_second: 100_000, at_end: 256_000_000, freeze_max_age: 200_000_000 };
        let long = CopyEstimate { xmin: Some(xmin), ..estimate() };
        insta::assert_snapshot!(
            "copy_words",
            [assumed, words(&bounded), words(&rows), words(&long)].join("\n\n")
        );
    }
}
