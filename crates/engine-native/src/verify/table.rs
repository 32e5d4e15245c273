//! The comparison of rows of one table, from beginning to end; `unkeyed_table` has what is special to tables without a key.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;

use segcdc_plan::TablePlan;
use segcdc_sqlserver::Target;

use crate::verify::aside::Aside;
use crate::verify::barrier::Barrier;
use crate::verify::fingerprint::{self, Fingerprinter, RowHash};
use crate::verify::found::{Found, Tally};
use crate::verify::key_range::KeyRange;
use crate::verify::keyed::{KeyedPart, Met};
use crate::verify::passes::{self, Part};
use crate::verify::read::{self, Key, SourceRows, Stop};
use crate::verify::reporter::Reporter;
use crate::verify::shared::{MAX_CANDIDATES, Shared, TableWork};
use crate::verify::window::{Candidate, Rest, RowDifference, SeenRow, Verdict, Window};
use crate::verify::{Difference, DifferenceKind, KeyField, VerifyStage};

/// Windows in which one key is looked at before it is called unstable.
const MAX_WINDOWS: u32 = 12;

/// Keys in one window.
const KEYS_IN_WINDOW: usize = 1_000;

/// Times that a pass is begun anew after trouble that may pass: a deadlock, a lost connection.
const ATTEMPTS: u32 = 4;

/// What is needed to compare rows of one table.
pub(crate) struct Comparison<'a> {
    /// What all comparisons share.
    pub(crate) shared: &'a Shared,
    /// The table.
    pub(crate) work: &'a TableWork,
    /// Which of its rows.
    pub(crate) range: KeyRange,
    /// Positions of both sides.
    pub(crate) barrier: &'a mut Barrier,
    /// Who is told.
    pub(crate) reporter: &'a mut Reporter,
    /// What is known so far.
    pub(crate) found: Found,
}

/// Keys to look at again.
#[derive(Debug, Default)]
struct Candidates {
    keys: BTreeSet<Key>,
    /// How many there may be.
    room: usize,
    /// Those beyond.
    beyond: u64,
}

// === impl Candidates ===

impl Candidates {
    fn add(&mut self, key: Option<Key>) {
        match key {
            Some(key) if self.keys.len() < self.room => {
                self.keys.insert(key);
            }
            Some(key) if self.keys.contains(&key) => {}
            Some(_) | None => self.beyond += 1,
        }
    }
}

// === impl Comparison ===

impl Comparison<'_> {
    /// Compares the rows and returns what was found, with the keys of those that are not the same on both sides.
    ///
    /// # Errors
    /// [`Stop::Table`] and [`Stop::All`].
    pub(crate) async fn run(mut self) -> Result<Found, Stop> {
        let estimated = match self.range {
            KeyRange::WHOLE => self.table().source.estimated_rows,
            // What the statistics say of the table says little of a part.
            _ => 0,
        };
        let mut parts = passes::parts(estimated, self.shared.memory_bytes());
        let mut attempts = 1;
        loop {
            let outcome = if self.table().key_columns().is_empty() {
                self.unkeyed(parts).await
            } else {
                self.keyed(parts).await
            };
            match outcome {
                Ok(()) => return Ok(self.found),
                Err(Stop::TooMany) => parts = parts.saturating_mul(2),
                Err(stop) if stop.may_pass() && attempts < ATTEMPTS => attempts += 1,
                Err(stop) => return Err(stop),
            }
        }
    }

    /// The table, for as long as the work lasts.
    pub(crate) fn table(&self) -> &'_ TablePlan {
        &self.work.plan
    }

    /// Tells that rows of a side are read.
    pub(crate) fn reads(&mut self, stage: VerifyStage, expected: u64) {
        let (done, all) = match self.range {
            KeyRange::WHOLE => (0, expected),
            _ => (self.work.rows_done.load(Ordering::Relaxed), self.work.plan.source.estimated_rows),
        };
        self.reporter.stage_from(stage, done, all);
    }

    /// Which rows of the source are read where the condition of the range is this.
    pub(crate) fn source_rows<'r>(&'r self, condition: &'r Option<String>) -> SourceRows<'r> {
        let pace = self.shared.paces.as_ref().map(|[source, _]| source);
        SourceRows { filter: condition.as_deref(), pace, ..SourceRows::default() }
    }

    async fn keyed(&mut self, parts: u32) -> Result<(), Stop> {
        let mut target = Target::connect(&self.shared.config.target).await?;
        let mut tally = Tally::default();
        let room = self.work.room(self.shared.options.repair);
        let mut candidates = Candidates { room, ..Candidates::default() };
        for part in Part::all(parts) {
            self.keyed_part(&mut target, part, &mut tally, &mut candidates).await?;
        }
        self.found = Found { tally, unchecked: candidates.beyond, ..Found::default() };
        let keys: Vec<Key> = candidates.keys.into_iter().collect();
        // Of a masked key, each look reads all rows: better few of them.
        let in_window = if self.table().has_masked_key() { MAX_CANDIDATES } else { KEYS_IN_WINDOW };
        for keys in keys.chunks(in_window) {
            self.settle(&mut target, keys).await?;
        }
        self.work.looked_at.fetch_add(keys.len(), Ordering::Relaxed);
        self.found.differences.sort();
        Ok(())
    }

    async fn keyed_part(
        &mut self,
        target: &mut Target,
        part: Part,
        tally: &mut Tally,
        candidates: &mut Candidates,
    ) -> Result<(), Stop> {
        let (shared, table) = (self.shared, &self.work.plan);
        let max_rows = passes::max_rows(shared.memory_bytes());
        let mut fingerprinter = Fingerprinter::new(table);
        let mut rows = KeyedPart::default();
        let aside = Aside::read(target, &shared.config.name, table).await?;
        let condition = self.range.condition(table)?;
        self.reads(VerifyStage::Source, table.source.estimated_rows);
        let mut reporter = self.reporter.clone();
        read::source_rows(&shared.config.source, table, self.source_rows(&condition), &mut |row| {
            reporter.row();
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
        self.reads(VerifyStage::Target, tally.source_rows);
        let (mut read_rows, mut read_bytes) = (0, 0);
        read::target_rows(target, table, self.range.selection(), &mut |row| {
            self.reporter.row();
            (read_rows, read_bytes) = (read_rows + 1, read_bytes + row.bytes() as u64);
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
        shared.pace_target(read_rows, read_bytes).await;
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
        let table = &self.work.plan;
        let mut fingerprinter = Fingerprinter::new(table);
        let condition = self.range.condition(table)?;
        self.reads(VerifyStage::Source, table.source.estimated_rows);
        let mut reporter = self.reporter.clone();
        read::source_rows(&self.shared.config.source, table, self.source_rows(&condition), &mut |row| {
            reporter.row();
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
        let (config, table) = (&self.shared.config, &self.work.plan);
        self.reporter.stage(VerifyStage::Window, keys.len() as u64);
        let mut open: Vec<(Key, Candidate<SeenRow>)> =
            keys.iter().map(|key| (key.clone(), Candidate::new(MAX_WINDOWS))).collect();
        while !open.is_empty() {
            let keys: Vec<Key> = open.iter().map(|(key, _)| key.clone()).collect();
            let versions = read::source_versions(self.barrier.source(), table, &keys).await?;
            let mut before = read::source_by_key(&config.source, table, &keys).await?;
            self.barrier.pass().await?;
            let aside = Aside::read(target, &config.name, table).await?;
            let mut seen = read::target_by_key(target, table, &keys).await?;
            let mut after = read::source_by_key(&config.source, table, &keys).await?;
            let versions_after = read::source_versions(self.barrier.source(), table, &keys).await?;
            let mut again = Vec::new();
            for (key, mut candidate) in open {
                if aside.has_key(&key) {
                    self.found.tally.set_aside += 1;
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
                self.found.unstable += 1;
                return;
            }
            Verdict::Differs { source, target } => (source, target),
        };
        self.found.standing.push(key.clone());
        let (kind, columns) = match RowDifference::between(&source, &target) {
            RowDifference::Missing => (DifferenceKind::MissingInTarget, Vec::new()),
            RowDifference::Extra => (DifferenceKind::ExtraInTarget, Vec::new()),
            RowDifference::Columns(columns) => (DifferenceKind::Different, columns),
        };
        match kind {
            DifferenceKind::MissingInTarget => self.found.missing += 1,
            DifferenceKind::ExtraInTarget => self.found.extra += 1,
            DifferenceKind::Different => self.found.different += 1,
        }
        if self.found.differences.len() < self.shared.options.limit {
            let values = key.iter().map(|text| Some(text.clone()));
            let columns = columns.iter().filter_map(|&index| self.column_name(index)).collect();
            let key = self.key_fields(self.table().key_columns(), values);
            self.found.differences.push(Difference { key, kind, columns, rows: 1 });
        }
    }

    fn column_name(&self, index: usize) -> Option<String> {
        self.table().columns.get(index).map(|column| column.source_name.clone())
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
        let mut candidates = Candidates { room: MAX_CANDIDATES, ..Candidates::default() };
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
