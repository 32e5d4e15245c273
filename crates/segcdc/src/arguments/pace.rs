//! How fast something may go, as people write it.

use segcdc_engine_native::Throttle;

use crate::text::parse_bytes;

/// What is expected.
const EXPECTED: &str = "a pace is rows or bytes in a second, like 5000rows/s or 20MiB/s";

/// Reads a pace: `5000rows/s`, `20MiB/s`.
///
/// # Errors
/// What is expected.
pub(super) fn parse(text: &str) -> Result<Throttle, String> {
    let amount = text.trim().strip_suffix("/s").ok_or(EXPECTED)?.trim_end();
    match amount.strip_suffix("rows").or_else(|| amount.strip_suffix("row")) {
        Some(rows) => {
            let rows = rows.trim_end().parse::<u64>().ok().filter(|rows| *rows > 0);
            rows.map(Throttle::RowsPerSecond).ok_or_else(|| EXPECTED.to_owned())
        }
        None if amount.ends_with(|character: char| character.is_ascii_digit()) => Err(EXPECTED.to_owned()),
        None => parse_bytes(amount).map(Throttle::BytesPerSecond).map_err(|_| EXPECTED.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_have_a_unit_and_a_second() {
        for (text, expected) in [
            ("5000rows/s", Ok(Throttle::RowsPerSecond(5000))),
            (" 5000 rows/s ", Ok(Throttle::RowsPerSecond(5000))),
            ("1row/s", Ok(Throttle::RowsPerSecond(1))),
            ("20MiB/s", Ok(Throttle::BytesPerSecond(20 << 20))),
            ("20MB/s", Ok(Throttle::BytesPerSecond(20 << 20))),
            ("512 KiB/s", Ok(Throttle::BytesPerSecond(512 << 10))),
            ("20", Err(())),
            ("20/s", Err(())),
            ("20MiB", Err(())),
            ("0rows/s", Err(())),
            ("0MiB/s", Err(())),
            ("-1rows/s", Err(())),
            ("1.5MiB/s", Err(())),
            ("rows/s", Err(())),
            ("99999999999999999999rows/s", Err(())),
        ] {
            assert_eq!(parse(text).map_err(drop), expected, "{text}");
        }
    }
}
