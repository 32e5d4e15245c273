//! What three passes find about a table without a key.
//!
//! Rows cannot be asked for again one by one, so the multisets of row hashes are taken three times, each time behind a
//! barrier of its own. A row that is only late or early differs in one pass, not in all of them.

use std::collections::HashMap;

use crate::verify::fingerprint::RowHash;

/// Passes that a difference has to survive.
pub(crate) const PASSES: u32 = 3;

/// How many more rows of each content the source has than the target, of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surplus {
    rows: HashMap<RowHash, i64>,
}

// === impl Surplus ===

impl Surplus {
    /// Contents that are held.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row of the source.
    pub(crate) fn add_source(&mut self, row: RowHash) {
        *self.rows.entry(row).or_insert(0) += 1;
    }

    /// Adds a row of the target.
    pub(crate) fn add_target(&mut self, row: RowHash) {
        match self.rows.get_mut(&row) {
            // A content that both sides have as often needs no entry any more.
            Some(1) => {
                self.rows.remove(&row);
            }
            Some(surplus) => *surplus -= 1,
            None => {
                self.rows.insert(row, -1);
            }
        }
    }

    /// What stands after another pass: contents that differed in the same direction in both, by the smaller number.
    pub(crate) fn confirmed_by(mut self, other: &Surplus) -> Surplus {
        self.rows.retain(|row, surplus| {
            let again = other.rows.get(row).copied().unwrap_or(0);
            *surplus = match (*surplus).signum() == again.signum() {
                true if again.abs() < surplus.abs() => again,
                true => *surplus,
                false => 0,
            };
            *surplus != 0
        });
        self
    }

    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// By how much a content differs: above zero when the target lacks rows, below when it has too many.
    pub(crate) fn of(&self, row: RowHash) -> i64 {
        self.rows.get(&row).copied().unwrap_or(0)
    }

    /// Rows that the target lacks, and rows that it has too many.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.rows.values().fold((0, 0), |(missing, extra), surplus| {
            if *surplus > 0 {
                (missing + surplus.unsigned_abs(), extra)
            } else {
                (missing, extra + surplus.unsigned_abs())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surplus(rows: &[(u128, i64)]) -> Surplus {
        let rows = rows.iter().filter(|(_, n)| *n != 0).map(|(row, n)| (RowHash(*row), *n)).collect();
        Surplus { rows }
    }

    #[test]
    fn a_multiset_counts_equal_rows() {
        let mut found = Surplus::default();
        for row in [1, 1, 1, 2, 3] {
            found.add_source(RowHash(row));
        }
        for row in [1, 1, 2, 4] {
            found.add_target(RowHash(row));
        }
        assert_eq!(found, surplus(&[(1, 1), (3, 1), (4, -1)]));
        assert_eq!(found.totals(), (2, 1));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_target_row_before_its_source_row_counts_alike() {
        let mut found = Surplus::default();
        found.add_target(RowHash(1));
        found.add_source(RowHash(1));
        assert_eq!(found.of(RowHash(1)), 0);
    }

    #[test]
    fn a_difference_has_to_come_again() {
        let check = |first: &[(u128, i64)], second: &[(u128, i64)], expected: &[(u128, i64)]| {
            assert_eq!(surplus(first).confirmed_by(&surplus(second)), surplus(expected));
        };
        check(&[(1, 2)], &[(1, 2)], &[(1, 2)]);
        check(&[(1, 3)], &[(1, 1)], &[(1, 1)]);
        check(&[(1, -1)], &[(1, -4)], &[(1, -1)]);
        check(&[(1, 1)], &[(1, -1)], &[]);
        check(&[(1, 1)], &[], &[]);
        check(&[], &[(1, 1)], &[]);
        check(&[(1, 1), (2, -1)], &[(2, -1)], &[(2, -1)]);
        assert!(surplus(&[(1, 1)]).confirmed_by(&surplus(&[])).is_empty());
    }
}
