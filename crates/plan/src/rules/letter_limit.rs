//! How many rows of a table may be set aside before the table halts.

/// Where nothing is said: beyond it something else is wrong than a row here and there.
pub const USUAL_LETTER_LIMIT: u64 = 1000;

/// The highest that can be asked for. A copy keeps the letters of what it loads at once in memory, up to 32 KiB each, and
/// following keeps what the target lacks of each row.
pub const MOST_LETTER_LIMIT: u64 = 10_000;
