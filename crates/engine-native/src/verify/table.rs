//! One table's comparison, from beginning to end; `unkeyed_table` has what is special to tables without a key.

use std::collections::{BTreeSet, HashSet};

use segcdc_plan::TablePlan;
use segcdc_sqlserver::Target;

use crate::config::EngineConfig;
use crate::verify::aside::Aside;
use crate::verify::barrier::Barrier;
use crate::verify::fingerprint::{self, Checksum, Fingerprinter, RowHash};
use crate::verify::keyed::{KeyedPart, Met};
use crate::verify::passes::{self, Part};
use crate::verify::read::{self, Key, Stop};
use crate::verify::reporter::Reporter;
use crate::verify::window::{Candidate, Rest, RowDifference, SeenRow, Verdict, Window};
use crate::verify::{Difference, DifferenceKind, KeyField, TableVerdict, VerifyOptions, VerifyStage};

/// Keys that are looked at again at most. A table with more differences is beyond mending row by row.
pub(crate) const MAX_CANDIDATES: usize = 20_000;

/// Windows in which one key is looked at before it is called unstable.
const MAX_WINDOWS: u32 = 12;

/// Keys in one window.
const KEYS_IN_WINDOW: usize = 1_000;

/// Times that a pass is begun anew after trouble that may pass: a deadlock, a lost connection.
const ATTEMPTS: u32 = 4;

/// What is needed to compare one table.
pub(crate) struct Comparison<'a, 'p> {
    /// Both servers.
    pub(crate) config: &'a EngineConfig,
    /// What the user wants.
    pub(crate) options: &'a VerifyOptions,
    /// The table.
    pub(crate) table: &'a TablePlan,
    /// Positions of both sides.
    pub(crate) barrier: &'a mut Barrier,
    /// Who is told.
    pub(crate) reporter: &'a mut Reporter<'p>,
    /// What is known so far.
    pub(crate) verdict: TableVerdict,
    /// Keys of the rows that are not the same on both sides.
    pub(crate) standing: Vec<Key>,
}

/// Rows and checksums of both sides.
#[derive(Debug, Clone, Copy, Default)]
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

/// Keys to look at again.
#[derive(Debug, Default)]
struct Candidates {
    keys: BTreeSet<Key>,
    /// Those beyond [`MAX_CANDIDATES`].
    beyond: u64,
}

// === impl Candidates ===

impl Candidates {
    fn add(&mut self, key: Option<Key>) {
        match key {
            Some(key) if self.keys.len() < MAX_CANDIDATES => {
                self.keys.insert(key);
            }
            Some(key) if self.keys.contains(&key) => {}
            Some(_) | None => self.beyond += 1,
        }
    }
}

// === impl Comparison ===

impl Comparison<'_, '_> {
    /// Compares the table and returns what was found, with the keys of the rows that are not the same on both sides.
    ///
    /// # Errors
    /// [`Stop::Table`] and [`Stop::All`].
    pub(crate) async fn run(mut self) -> Result<(TableVerdict, Vec<Key>), Stop> {
        let mut parts = passes::parts(self.table.source.estimated_rows, self.options.memory_bytes);
        let mut attempts = 1;
        loop {
            let outcome = if self.table.key_columns().is_empty() {
                self.unkeyed(parts).await
            } else {
                self.keyed(parts).await
            };
            match outcome {
                Ok(()) => return Ok((self.verdict, self.standing)),
                Err(Stop::TooMany) => parts = parts.saturating_mul(2),
                Err(stop) if stop.may_pass() && attempts < ATTEMPTS => attempts += 1,
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Keeps rows and checksums.
    pub(crate) fn store(&mut self, tally: Tally) {
        self.verdict.source_rows = tally.source_rows;
        self.verdict.target_rows = tally.target_rows;
        self.verdict.source_checksum = tally.source.to_string();
        self.verdict.target_checksum = tally.target.to_string();
        self.verdict.replaced = tally.replaced;
        self.verdict.set_aside = tally.set_aside;
    }

    async fn keyed(&mut self, parts: u32) -> Result<(), Stop> {
        let mut target = Target::connect(&self.config.target).await?;
        let mut tally = Tally::default();
        let mut candidates = Candidates::default();
        for part in Part::all(parts) {
            self.keyed_part(&mut target, part, &mut tally, &mut candidates).await?;
        }
        self.store(tally);
        self.clear_differences();
        self.verdict.unchecked = candidates.beyond;
        let keys: Vec<Key> = candidates.keys.into_iter().collect();
        // Of a masked key, each look reads all rows: better few of them.
        let in_window = if self.table.has_masked_key() { MAX_CANDIDATES } else { KEYS_IN_WINDOW };
        for keys in keys.chunks(in_window) {
            self.settle(&mut target, keys).await?;
        }
        self.verdict.differences.sort();
        Ok(())
    }

    async fn keyed_part(
        &mut self,
        target: &mut Target,
        part: Part,
        tally: &mut Tally,
        candidates: &mut Candidates,
    ) -> Result<(), Stop> {
        let table = self.table;
        let max_rows = passes::max_rows(self.options.memory_bytes);
        let mut fingerprinter = Fingerprinter::new(table);
        let mut rows = KeyedPart::default();
        let aside = Aside::read(target, &self.config.name, table).await?;
        self.reporter.stage(VerifyStage::Source, table.source.estimated_rows);
        read::source_rows(&self.config.source, table, None, &mut |row| {
            self.reporter.row();
            let found = fingerprinter.source(row)?;
            if part.has(found.key) {
                tally.source_rows += 1;
                if aside.has_source(row) {
                    tally.set_aside += 1;
                    return Ok(());
                }
                tally.replaced += fingerprinter.replaced();
                tally.source.add(found.row);
                rows.add_source(found);
            }
            if rows.len() as u64 > max_rows { Err(Stop::TooMany) } else { Ok(()) }
        })
        .await?;
        self.reporter.stage(VerifyStage::Target, tally.source_rows);
        read::target_rows(target, table, &mut |row| {
            self.reporter.row();
            let found = fingerprinter.target(row);
            if part.has(found.key) {
                tally.target_rows += 1;
                if aside.has_target(row) {
                    return Ok(());
                }
                tally.target.add(found.row);
                if rows.meet_target(found) == Met::Candidate {
                    candidates.add(read::complete(fingerprint::target_texts(table.key_columns(), row)));
                }
            }
            Ok(())
        })
        .await?;
        let missing: HashSet<RowHash> = rows.into_missing().collect();
        self.name_missing(&missing, candidates).await
    }

    /// Reads the source once more, for the keys of rows of which only the hash is known.
    async fn name_missing(
        &mut self,
        missing: &HashSet<RowHash>,
        candidates: &mut Candidates,
    ) -> Result<(), Stop> {
        if missing.is_empty() {
            return Ok(());
        }
        let table = self.table;
        let mut fingerprinter = Fingerprinter::new(table);
        self.reporter.stage(VerifyStage::Source, table.source.estimated_rows);
        read::source_rows(&self.config.source, table, None, &mut |row| {
            self.reporter.row();
            if missing.contains(&fingerprinter.source(row)?.key) {
                if fingerprinter.has_bad_key() {
                    // It was set aside while the pass went on; nothing can be asked by it.
                    candidates.beyond += 1;
                    return Ok(());
                }
                let key = fingerprint::source_texts(table, table.key_columns(), row)?;
                candidates.add(read::complete(key));
            }
            Ok(())
        })
        .await
    }

    /// Looks at keys again until something can be said of each.
    async fn settle(&mut self, target: &mut Target, keys: &[Key]) -> Result<(), Stop> {
        self.reporter.stage(VerifyStage::Window, keys.len() as u64);
        let mut open: Vec<(Key, Candidate<SeenRow>)> =
            keys.iter().map(|key| (key.clone(), Candidate::new(MAX_WINDOWS))).collect();
        while !open.is_empty() {
            let keys: Vec<Key> = open.iter().map(|(key, _)| key.clone()).collect();
            let versions = read::source_versions(self.barrier.source(), self.table, &keys).await?;
            let mut before = read::source_by_key(&self.config.source, self.table, &keys).await?;
            self.barrier.pass().await?;
            let aside = Aside::read(target, &self.config.name, self.table).await?;
            let mut seen = read::target_by_key(target, self.table, &keys).await?;
            let mut after = read::source_by_key(&self.config.source, self.table, &keys).await?;
            let versions_after = read::source_versions(self.barrier.source(), self.table, &keys).await?;
            let mut again = Vec::new();
            for (key, mut candidate) in open {
                if aside.has_key(&key) {
                    self.verdict.set_aside += 1;
                    continue;
                }
                let window = Window {
                    source_before: before.remove(&key),
                    target: seen.remove(&key),
                    source_after: after.remove(&key),
                    rest: rest(versions.get(&key), versions_after.get(&key)),
                };
                match candidate.judge(window) {
                    Verdict::Again => again.push((key, candidate)),
                    verdict => self.note(&key, verdict),
                }
            }
            open = again;
        }
        Ok(())
    }

    /// Counts what was found of a key, and lists it while there is room.
    fn note(&mut self, key: &Key, verdict: Verdict<SeenRow>) {
        self.reporter.row();
        let (source, target) = match verdict {
            Verdict::Equal | Verdict::Again => return,
            Verdict::Unstable => {
                self.verdict.unstable += 1;
                return;
            }
            Verdict::Differs { source, target } => (source, target),
        };
        self.standing.push(key.clone());
        let (kind, columns) = match RowDifference::between(&source, &target) {
            RowDifference::Missing => (DifferenceKind::MissingInTarget, Vec::new()),
            RowDifference::Extra => (DifferenceKind::ExtraInTarget, Vec::new()),
            RowDifference::Columns(columns) => (DifferenceKind::Different, columns),
        };
        match kind {
            DifferenceKind::MissingInTarget => self.verdict.missing += 1,
            DifferenceKind::ExtraInTarget => self.verdict.extra += 1,
            DifferenceKind::Different => self.verdict.different += 1,
        }
        if self.verdict.differences.len() < self.options.limit {
            let values = key.iter().map(|text| Some(text.clone()));
            let columns = columns.iter().filter_map(|&index| self.column_name(index)).collect();
            let key = self.key_fields(self.table.key_columns(), values);
            self.verdict.differences.push(Difference { key, kind, columns, rows: 1 });
        }
    }

    /// Forgets what an attempt before found.
    pub(crate) fn clear_differences(&mut self) {
        let verdict = &mut self.verdict;
        (verdict.missing, verdict.extra, verdict.different) = (0, 0, 0);
        (verdict.unstable, verdict.unchecked) = (0, 0);
        verdict.differences.clear();
        self.standing.clear();
    }

    fn column_name(&self, index: usize) -> Option<String> {
        self.table.columns.get(index).map(|column| column.source_name.clone())
    }

    /// Columns with their values.
    pub(crate) fn key_fields(
        &self,
        columns: &[usize],
        values: impl Iterator<Item = Option<String>>,
    ) -> Vec<KeyField> {
        let names = columns.iter().map(|&index| self.column_name(index).unwrap_or_default());
        names.zip(values).map(|(column, value)| KeyField { column, value }).collect()
    }
}

/// What the versions around a window say: one that is there twice was there all along.
fn rest(before: Option<&String>, after: Option<&String>) -> Rest {
    match (before, after) {
        (Some(before), Some(after)) if before == after => Rest::Proven,
        (None, None) => Rest::Looks,
        (Some(_) | None, Some(_) | None) => Rest::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_there_twice_was_there_all_along() {
        let check = |before: Option<&str>, after: Option<&str>, expected| {
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            assert_eq!(rest(before.as_ref(), after.as_ref()), expected, "{before:?} {after:?}");
        };
        check(Some("1 700 (0,1)"), Some("1 700 (0,1)"), Rest::Proven);
        check(Some("1 700 (0,1)"), Some("1 701 (0,2)"), Rest::None);
        check(Some("1 700 (0,1)"), None, Rest::None);
        check(None, Some("1 700 (0,1)"), Rest::None);
        check(None, None, Rest::Looks);
    }

    #[test]
    fn candidates_are_bounded_and_counted() {
        let key = |number: usize| Some(vec![number.to_string()]);
        let mut candidates = Candidates::default();
        for number in 0..MAX_CANDIDATES {
            candidates.add(key(number));
        }
        candidates.add(key(7));
        assert_eq!(
            (candidates.keys.len(), candidates.beyond),
            (MAX_CANDIDATES, 0),
            "one key is one candidate"
        );
        candidates.add(key(MAX_CANDIDATES));
        candidates.add(None);
        assert_eq!((candidates.keys.len(), candidates.beyond), (MAX_CANDIDATES, 2));
    }
}
