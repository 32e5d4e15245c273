//! How a table that is larger than the memory is compared: in several passes, each over the rows whose key hash falls
//! into its part.

use crate::verify::fingerprint::RowHash;

/// Bytes that one row's entry takes at worst: two hashes and a control byte, in a table that has just doubled.
const BYTES_PER_ROW: u64 = 80;

/// Rows that the statistics may be behind: a table that was never analysed shows 0.
const SPARE_ROWS: u64 = 10_000;

/// One of several parts of a table, by key hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which, from 0.
    pub(crate) number: u32,
    /// Of how many.
    pub(crate) of: u32,
}

// === impl Part ===

impl Part {
    /// All parts of a table in `of` parts.
    pub(crate) fn all(of: u32) -> impl Iterator<Item = Part> {
        (0..of).map(move |number| Part { number, of })
    }

    /// Whether a row belongs to the part.
    pub(crate) fn has(self, key: RowHash) -> bool {
        key.0 % u128::from(self.of.max(1)) == u128::from(self.number)
    }
}

/// In how many parts a table of about so many rows is compared.
pub(crate) fn parts(estimated_rows: u64, memory_bytes: usize) -> u32 {
    let rows = max_rows(memory_bytes);
    let needed = estimated_rows.saturating_add(SPARE_ROWS).div_ceil(rows);
    u32::try_from(needed).unwrap_or(u32::MAX).max(1)
}

/// Rows whose entries the memory holds. The parts are begun anew, twice as many, when a part has more.
pub(crate) fn max_rows(memory_bytes: usize) -> u64 {
    (memory_bytes as u64 / BYTES_PER_ROW).max(SPARE_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_take_one_pass() {
        let check = |rows, memory, expected| assert_eq!(parts(rows, memory), expected, "{rows} {memory}");
        check(0, 128 << 20, 1);
        check(1_000_000, 128 << 20, 1);
        check(10_000_000, 128 << 20, 6);
        check(1_000_000_000, 128 << 20, 597);
        check(100_000, 0, 11);
        check(u64::MAX, 1, u32::MAX);
    }

    #[test]
    fn each_row_is_in_one_part() {
        for key in [0_u128, 1, 2, 99, u128::MAX] {
            for of in [1, 2, 7] {
                assert_eq!(Part::all(of).filter(|part| part.has(RowHash(key))).count(), 1, "{key} {of}");
            }
        }
    }
}
