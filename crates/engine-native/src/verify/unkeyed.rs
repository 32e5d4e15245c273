//! What is found about a table without a key.
//!
//! Rows cannot be asked for one by one. A first pass takes the multisets of row hashes of both sides; what differs is a
//! candidate. Each further pass is a window: how many rows of the candidates' contents the source has, a barrier, how
//! many the target has, how many the source has now. A difference has to show in several of them in a row.

use std::collections::HashMap;

use crate::verify::fingerprint::RowHash;

/// Windows in which a content is looked at before it is called unstable. Each reads the source twice and the target
/// once.
pub(crate) const MAX_WINDOWS: u32 = 12;

/// How many more rows of each content the source has than the target, of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surplus {
    rows: HashMap<RowHash, i64>,
}

/// How many rows of each of some contents one side has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    rows: HashMap<RowHash, u64>,
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

    /// The contents that one side has more often than the other.
    pub(crate) fn into_candidates(self) -> impl Iterator<Item = RowHash> {
        self.rows.into_iter().filter(|(_, surplus)| *surplus != 0).map(|(row, _)| row)
    }
}

// === impl Counts ===

impl Counts {
    /// None yet of these contents.
    pub(crate) fn of<'a>(contents: impl Iterator<Item = &'a RowHash>) -> Self {
        Counts { rows: contents.map(|row| (*row, 0)).collect() }
    }

    /// Counts a row, if it has one of the contents.
    pub(crate) fn add(&mut self, row: RowHash) {
        if let Some(count) = self.rows.get_mut(&row) {
            *count += 1;
        }
    }

    /// How many rows have a content.
    pub(crate) fn get(&self, row: RowHash) -> u64 {
        self.rows.get(&row).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiset_counts_equal_rows() {
        let mut found = Surplus::default();
        for row in [1, 1, 1, 2, 3] {
            found.add_source(RowHash(row));
        }
        for row in [1, 1, 2, 4] {
            found.add_target(RowHash(row));
        }
        assert_eq!(found.len(), 3);
        let mut candidates: Vec<_> = found.into_candidates().collect();
        candidates.sort();
        assert_eq!(candidates, [RowHash(1), RowHash(3), RowHash(4)]);
    }

    #[test]
    fn a_target_row_before_its_source_row_counts_alike() {
        let mut found = Surplus::default();
        found.add_target(RowHash(1));
        found.add_source(RowHash(1));
        assert_eq!(found.into_candidates().count(), 0);
    }

    #[test]
    fn only_the_contents_in_question_are_counted() {
        let mut counts = Counts::of([RowHash(1), RowHash(2)].iter());
        for row in [1, 1, 3] {
            counts.add(RowHash(row));
        }
        assert_eq!((counts.get(RowHash(1)), counts.get(RowHash(2)), counts.get(RowHash(3))), (2, 0, 0));
    }
}
