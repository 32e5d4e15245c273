//! [`CopyRange`]: the parts in which a table is copied.

use segcdc_model::{SourceTable, TableKind};

/// Ranges a reader, so that one that is done early finds another range instead of waiting for the last.
const RANGES_PER_READER: usize = 4;

/// Pages below which a range is not worth a session of its own: 8 MiB.
const MIN_RANGE_PAGES: u32 = 1024;

/// Pages above which a range is too much to lose when its reader fails: 1 GiB.
const MAX_RANGE_PAGES: u32 = 128 * 1024;

/// A part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyRange {
    /// All of it.
    Whole,
    /// Heap pages `from..to`; `to` of `None` means to the end, whatever has been added.
    Pages {
        /// First page.
        from: u32,
        /// Page behind the last one.
        to: Option<u32>,
    },
}

/// The ranges in which `readers` sessions copy a table side by side: together all of it, each row in one range, the
/// last one without an end. A partition root, and whatever has few pages or none, is copied whole.
pub fn split(table: &SourceTable, readers: usize) -> Vec<CopyRange> {
    let has_pages = matches!(table.kind, TableKind::Ordinary | TableKind::Partition | TableKind::Unlogged);
    let pages = if has_pages { table.heap_pages } else { 0 };
    let wanted = u32::try_from(readers.saturating_mul(RANGES_PER_READER)).unwrap_or(u32::MAX);
    let ranges = (pages / MIN_RANGE_PAGES).min(wanted).max(pages.div_ceil(MAX_RANGE_PAGES));
    if ranges <= 1 || readers <= 1 && pages <= MAX_RANGE_PAGES {
        return vec![CopyRange::Whole];
    }
    let step = pages.div_ceil(ranges);
    let starts = (0..ranges).map(|index| index.saturating_mul(step)).take_while(|start| *start < pages);
    let starts: Vec<u32> = starts.collect();
    let ends = starts.iter().skip(1).copied().map(Some).chain([None]);
    starts.iter().zip(ends).map(|(&from, to)| CopyRange::Pages { from, to }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use segcdc_model::{QualifiedName, ReplicaIdentity};

    use super::*;

    fn table(kind: TableKind, heap_pages: u32) -> SourceTable {
        SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind,
            columns: Vec::new(),
            primary_key: Vec::new(),
            replica_identity: ReplicaIdentity::Default,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages,
            row_security: false,
            owner: String::new(),
        }
    }

    #[test]
    fn tables_without_pages_are_copied_whole() {
        for (kind, pages) in
            [(TableKind::Ordinary, 0), (TableKind::Ordinary, 1500), (TableKind::Partitioned, 1 << 20)]
        {
            assert_eq!(split(&table(kind, pages), 4), [CopyRange::Whole]);
        }
    }

    #[test]
    fn each_reader_gets_several_ranges() {
        let ranges = split(&table(TableKind::Ordinary, 16 * MIN_RANGE_PAGES), 2);
        assert_eq!(ranges.len(), 8);
        assert_eq!(ranges.first(), Some(&CopyRange::Pages { from: 0, to: Some(2 * MIN_RANGE_PAGES) }));
        assert_eq!(ranges.last(), Some(&CopyRange::Pages { from: 14 * MIN_RANGE_PAGES, to: None }));
    }

    proptest! {
        #[test]
        fn ranges_cover_every_page_once(pages in any::<u32>(), readers in 0_usize..100) {
            let ranges = split(&table(TableKind::Ordinary, pages), readers);
            let mut next = Some(0);
            for range in &ranges {
                match *range {
                    CopyRange::Whole => {
                        prop_assert_eq!(ranges.len(), 1);
                        next = None;
                    }
                    CopyRange::Pages { from, to } => {
                        prop_assert_eq!(Some(from), next);
                        prop_assert!(to.is_none_or(|to| to > from));
                        next = to;
                    }
                }
            }
            prop_assert_eq!(next, None);
        }
    }
}
