//! Text for people: numbers, sizes, times and tables.

use std::time::Duration;

use comfy_table::{CellAlignment, Table};

/// Units of bytes above the byte, ascending.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Which side of its column a cell's text stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table for people: a line of headings, then a line for each row, two blanks between columns.
pub(crate) fn table(columns: &[(&str, Side)], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell)));
    }
    let last = columns.len().saturating_sub(1);
    for (index, (_, side)) in columns.iter().enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding((0, if index == last { 0 } else { 2 }));
        column.set_cell_alignment(match side {
            Side::Left => CellAlignment::Left,
            Side::Right => CellAlignment::Right,
        });
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The text with controls and marks that turn the direction of writing as `\u{…}`: a name of the source must neither break a
/// line nor speak to the terminal.
pub(crate) fn visible(text: &str) -> String {
    let is_hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// A whole number with thin groups of three digits: `12,345,678`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size as people write it: `20GiB`, `500 MiB`, `50GB`, `1048576`. The units are those in which [`bytes`] prints, also
/// without the `i`: they are of 1024 each then too, as in PostgreSQL's settings.
///
/// # Errors
/// A sentence that says what a size is.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.trim().strip_prefix(digits).unwrap_or_default().trim();
    let factor = match unit {
        "" | "B" => Some(1),
        unit => UNITS
            .iter()
            .find(|(name, _)| {
                name.eq_ignore_ascii_case(unit) || name.replace('i', "").eq_ignore_ascii_case(unit)
            })
            .map(|(_, factor)| *factor),
    };
    let size = factor.and_then(|factor| digits.parse::<u64>().ok()?.checked_mul(factor));
    size.filter(|size| *size > 0)
        .ok_or_else(|| "a size is a whole number with a unit: B, KiB, MiB, GiB or TiB, like 20GiB".to_owned())
}

/// Bytes in the largest unit that leaves at least one before the point: `1.5 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut unit = "B";
    let mut divisor = 1_u64;
    for (name, size) in UNITS {
        if bytes >= size {
            (unit, divisor) = (name, size);
        }
    }
    if divisor == 1 {
        return format!("{bytes} B");
    }
    let tenths = bytes % divisor * 10 / divisor;
    format!("{}.{tenths} {unit}", bytes / divisor)
}

/// A duration in at most two units: `2h 05m`, `3m 07s`, `12.4s`, `85ms`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..=59 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `count` things a second over `elapsed`; 0 when no time has passed.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let elapsed_ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / elapsed_ms).unwrap_or(u64::MAX)
}

/// One thing, or several: `1 table`, `2 tables`.
pub(crate) fn plural(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{} {thing}s", count(number as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let check = |number, expected: &str| assert_eq!(count(number), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(12_345_678, "12,345,678");
        assert_eq!(plural(1, "table"), "1 table");
        assert_eq!(plural(2_000, "table"), "2,000 tables");
    }

    #[test]
    fn sizes_and_times_have_units() {
        let check = |size, expected: &str| assert_eq!(bytes(size), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1536, "1.5 KiB");
        check(5 << 30, "5.0 GiB");
        let read = |text| parse_bytes(text).ok();
        assert_eq!(
            [read("7"), read("7B"), read(" 7 kib "), read("7kB"), read("20GiB")],
            [Some(7), Some(7), Some(7168), Some(7168), Some(20 << 30)]
        );
        for text in ["", "GiB", "1.5GiB", "-1", "0", "7 G", "7 GiB or so", "99999999999TiB"] {
            assert_eq!(read(text), None, "{text}");
        }
        let check = |ms, expected: &str| assert_eq!(duration(Duration::from_millis(ms)), expected);
        check(85, "85ms");
        check(12_440, "12.4s");
        check(187_000, "3m 07s");
        check(7_500_000, "2h 05m");
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000);
    }

    #[test]
    fn names_do_not_speak_to_the_terminal() {
        assert_eq!(visible("a\u{1b}[31m\n\u{202e}b"), "a\\u{1b}[31m\\u{a}\\u{202e}b");
        assert_eq!(visible("größe 😀 日本"), "größe 😀 日本");
    }

    #[test]
    fn tables_line_up() {
        let rows =
            vec![vec!["a".to_owned(), "1".to_owned()], vec!["long name".to_owned(), "12,345".to_owned()]];
        let text = table(&[("TABLE", Side::Left), ("ROWS", Side::Right)], rows);
        assert_eq!(text, "TABLE        ROWS\na               1\nlong name  12,345");
    }
}
