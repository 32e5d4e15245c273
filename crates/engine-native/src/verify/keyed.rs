//! What one pass finds about a table with a key.
//!
//! The source is read first: what was inserted since then shows as extra in the target, with its key at hand. What
//! is left over at the end is missing in the target; of these only the hash of the key is known.

use std::collections::HashMap;

use crate::verify::fingerprint::{Fingerprint, RowHash};

/// The source's rows of one part, by key.
#[derive(Debug, Default)]
pub(crate) struct KeyedPart {
    rows: HashMap<RowHash, RowHash, already_hashed::Identity>,
}

/// What is to be thought of a row of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// The source had the same row.
    Equal,
    /// The source had another row of this key, or none, or had it matched already: look again.
    Candidate,
}

// === impl KeyedPart ===

impl KeyedPart {
    /// Rows that are held.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row of the source.
    pub(crate) fn add_source(&mut self, row: Fingerprint) {
        self.rows.insert(row.key, row.row);
    }

    /// Meets a row of the target.
    pub(crate) fn meet_target(&mut self, row: Fingerprint) -> Met {
        match self.rows.remove(&row.key) {
            Some(source) if source == row.row => Met::Equal,
            Some(_) | None => Met::Candidate,
        }
    }

    /// Hashes of the keys that the target did not show.
    pub(crate) fn into_missing(self) -> impl Iterator<Item = RowHash> {
        self.rows.into_keys()
    }
}

/// A hasher for what is a hash already.
mod already_hashed {
    use std::hash::{BuildHasher, Hasher};

    /// Builds [`Last`].
    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct Identity;

    /// Takes the low half of the last number that it was given.
    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct Last(u64);

    impl BuildHasher for Identity {
        type Hasher = Last;

        fn build_hasher(&self) -> Last {
            Last(0)
        }
    }

    impl Hasher for Last {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
            }
        }

        fn write_u128(&mut self, number: u128) {
            // Passes divide by the remainder of the whole number, so the high half is as even as the low one.
            self.0 = u64::try_from(number >> 64).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u128, row: u128) -> Fingerprint {
        Fingerprint { key: RowHash(key), row: RowHash(row) }
    }

    #[test]
    fn rows_are_classified_by_what_the_other_side_had() {
        let mut part = KeyedPart::default();
        for source in [row(1, 10), row(2, 20), row(3, 30)] {
            part.add_source(source);
        }
        assert_eq!(part.len(), 3);
        let check = |part: &mut KeyedPart, target, expected| assert_eq!(part.meet_target(target), expected);
        check(&mut part, row(1, 10), Met::Equal);
        check(&mut part, row(2, 21), Met::Candidate);
        check(&mut part, row(4, 40), Met::Candidate);
        check(&mut part, row(1, 10), Met::Candidate);
        assert_eq!(part.into_missing().collect::<Vec<_>>(), [RowHash(3)]);
    }
}
