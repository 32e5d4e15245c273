//! [`Found`]: what the comparison of some rows of a table found, which can be added to what that of others did.

use serde::{Deserialize, Serialize};

use crate::verify::fingerprint::Checksum;
use crate::verify::key_range::KeyRange;
use crate::verify::read::Key;
use crate::verify::{Difference, RangeVerdict, RepairReport, TableVerdict};

/// Rows and checksums of both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Rows of the source.
    pub(crate) source_rows: u64,
    /// Rows of the target.
    pub(crate) target_rows: u64,
    /// Checksum of the source.
    pub(crate) source: Checksum,
    /// Checksum of the target.
    pub(crate) target: Checksum,
    /// Values that a policy replaces.
    pub(crate) replaced: u64,
    /// Rows that are set aside.
    pub(crate) set_aside: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Rows and checksums.
    pub(crate) tally: Tally,
    /// Rows of the source that the target lacks.
    pub(crate) missing: u64,
    /// Rows of the target that the source lacks.
    pub(crate) extra: u64,
    /// Rows that are on both sides with different values.
    pub(crate) different: u64,
    /// Rows that changed each time they were looked at.
    pub(crate) unstable: u64,
    /// Rows that were not looked at again.
    pub(crate) unchecked: u64,
    /// The first differences.
    pub(crate) differences: Vec<Difference>,
    /// What was done about them.
    pub(crate) repair: Option<RepairReport>,
    /// What was found range by range, of a table that was divided.
    pub(crate) ranges: Vec<RangeVerdict>,
    /// Keys of the rows that are not the same on both sides; not kept.
    #[serde(skip)]
    pub(crate) standing: Vec<Key>,
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.source_rows += other.source_rows;
        self.target_rows += other.target_rows;
        self.source.add_all(other.source);
        self.target.add_all(other.target);
        self.replaced += other.replaced;
        self.set_aside += other.set_aside;
    }
}

// === impl Found ===

impl Found {
    /// Rows that are not the same on both sides.
    pub(crate) fn differences_found(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    /// Takes in what was found of a range of a table that is divided.
    pub(crate) fn add_range(&mut self, range: KeyRange, found: Found, limit: usize) {
        self.ranges.push(RangeVerdict {
            from: range.from,
            to: range.to,
            source_rows: found.tally.source_rows,
            target_rows: found.tally.target_rows,
            source_checksum: found.tally.source.to_string(),
            target_checksum: found.tally.target.to_string(),
            differences: found.differences_found(),
            undecided: found.unstable + found.unchecked,
        });
        self.add(found, limit);
    }

    /// Takes in what was found of other rows; as many differences stay listed.
    pub(crate) fn add(&mut self, other: Found, limit: usize) {
        self.tally.add(&other.tally);
        self.missing += other.missing;
        self.extra += other.extra;
        self.different += other.different;
        self.unstable += other.unstable;
        self.unchecked += other.unchecked;
        self.differences.extend(other.differences);
        self.differences.truncate(limit);
        match (&mut self.repair, other.repair) {
            (Some(all), Some(repair)) => all.add(repair),
            (all @ None, repair) => *all = repair,
            (Some(_), None) => {}
        }
    }

    /// The verdict on the table.
    pub(crate) fn into_verdict(self, verdict: TableVerdict) -> TableVerdict {
        TableVerdict {
            source_rows: self.tally.source_rows,
            target_rows: self.tally.target_rows,
            source_checksum: self.tally.source.to_string(),
            target_checksum: self.tally.target.to_string(),
            missing: self.missing,
            extra: self.extra,
            different: self.different,
            unstable: self.unstable,
            unchecked: self.unchecked,
            replaced: self.tally.replaced,
            set_aside: self.tally.set_aside,
            differences: self.differences,
            repair: self.repair,
            ranges: self.ranges,
            ..verdict
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fingerprint::RowHash;
    use crate::verify::{DifferenceKind, NotCompared, RepairedRows};

    fn found(rows: u64) -> Found {
        let mut checksum = Checksum::default();
        checksum.add(RowHash(u128::from(rows)));
        let tally = Tally {
            source_rows: rows,
            target_rows: rows + 1,
            source: checksum,
            target: checksum,
            replaced: 1,
            set_aside: 2,
        };
        let difference =
            Difference { key: Vec::new(), kind: DifferenceKind::Different, columns: Vec::new(), rows };
        Found { tally, missing: 1, extra: 2, different: 3, differences: vec![difference], ..Found::default() }
    }

    #[test]
    fn ranges_add_up_to_the_table() {
        let mut all = Found::default();
        let middle = KeyRange { from: None, to: Some(7) };
        all.add_range(middle, found(10), 2);
        all.add_range(KeyRange { from: Some(7), to: None }, Found { unstable: 4, ..found(30) }, 2);
        all.add(found(50), 2);
        assert_eq!((all.missing, all.extra, all.different, all.unstable), (3, 6, 9, 4));
        assert_eq!((all.tally.source_rows, all.tally.target_rows), (90, 93));
        assert_eq!(all.tally.source.to_string(), format!("{:032x}", 90));
        assert_eq!(all.differences.len(), 2, "no more than were asked for");
        let ranges: Vec<_> = all.ranges.iter().map(|range| (range.from, range.to, range.undecided)).collect();
        assert_eq!(ranges, [(None, Some(7), 0), (Some(7), None, 4)]);
    }

    #[test]
    fn repairs_add_up_and_the_first_reason_to_stop_stays() {
        let reason = |code: &str| Some(NotCompared { code: code.to_owned(), detail: String::new() });
        let repair = |inserted, stopped| RepairReport {
            rows: RepairedRows { inserted, ..RepairedRows::default() },
            stopped,
            dry_run: false,
        };
        let mut all = Found::default();
        for (inserted, stopped) in [(1, None), (2, reason("A")), (4, reason("B"))] {
            all.add(Found { repair: Some(repair(inserted, stopped)), ..Found::default() }, 9);
        }
        all.add(Found::default(), 9);
        assert_eq!(all.repair, Some(repair(7, reason("A"))));
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut all = Found::default();
        all.add_range(KeyRange { from: None, to: Some(-7) }, found(10), 2);
        let kept: Found = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
        assert_eq!(kept, all);
    }
}
