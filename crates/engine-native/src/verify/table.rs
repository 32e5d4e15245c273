//! One table's comparison, from beginning to end.

use std::collections::{BTreeSet, HashMap, HashSet};

use segcdc_plan::TablePlan;
use segcdc_sqlserver::Target;

use crate::config::EngineConfig;
use crate::verify::barrier::Barrier;
use crate::verify::fingerprint::{self, Checksum, Fingerprint, Fingerprinter, RowHash};
use crate::verify::keyed::{KeyedPart, Met};
use crate::verify::passes::{self, Part};
use crate::verify::read::{self, Key, Stop};
use crate::verify::reporter::Reporter;
use crate::verify::unkeyed::{PASSES, Surplus};
use crate::verify::window::{Candidate, Verdict, Window};
use crate::verify::{Difference, DifferenceKind, KeyField, TableVerdict, VerifyOptions, VerifyStage};

/// Keys that are looked at again at most. A table with more differences is beyond mending row by row.
const MAX_CANDIDATES: usize = 20_000;

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
}

/// Rows and checksums of both sides.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    source_rows: u64,
    target_rows: u64,
    source: Checksum,
    target: Checksum,
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
    /// Compares the table and returns what was found.
    ///
    /// # Errors
    /// [`Stop::Table`] and [`Stop::All`].
    pub(crate) async fn run(mut self) -> Result<TableVerdict, Stop> {
        let mut parts = passes::parts(self.table.source.estimated_rows, self.options.memory_bytes);
        let mut attempts = 1;
        loop {
            let outcome = if self.table.key_columns().is_empty() {
                self.unkeyed(parts).await
            } else {
                self.keyed(parts).await
            };
            match outcome {
                Ok(()) => return Ok(self.verdict),
                Err(Stop::TooMany) => parts = parts.saturating_mul(2),
                Err(stop) if stop.may_pass() && attempts < ATTEMPTS => attempts += 1,
                Err(stop) => return Err(stop),
            }
        }
    }

    fn store(&mut self, tally: Tally) {
        self.verdict.source_rows = tally.source_rows;
        self.verdict.target_rows = tally.target_rows;
        self.verdict.source_checksum = tally.source.to_string();
        self.verdict.target_checksum = tally.target.to_string();
    }

    // --- with a key ---

    async fn keyed(&mut self, parts: u32) -> Result<(), Stop> {
        let mut target = Target::connect(&self.config.target).await?;
        let mut tally = Tally::default();
        let mut candidates = Candidates::default();
        for part in Part::all(parts) {
            self.keyed_part(&mut target, part, &mut tally, &mut candidates).await?;
        }
        self.store(tally);
        self.verdict.unchecked = candidates.beyond;
        let keys: Vec<Key> = candidates.keys.into_iter().collect();
        self.clear_differences();
        for keys in keys.chunks(KEYS_IN_WINDOW) {
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
        self.reporter.stage(VerifyStage::Source, table.source.estimated_rows);
        read::source_rows(&self.config.source, table, None, &mut |row| {
            self.reporter.row();
            let row = fingerprinter.source(row)?;
            if part.has(row.key) {
                tally.source_rows += 1;
                tally.source.add(row.row);
                rows.add_source(row);
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
        let mut open: Vec<(Key, Candidate)> =
            keys.iter().map(|key| (key.clone(), Candidate::default())).collect();
        while !open.is_empty() {
            let keys: Vec<Key> = open.iter().map(|(key, _)| key.clone()).collect();
            let mut before = read::source_by_key(&self.config.source, self.table, &keys).await?;
            self.barrier.pass().await?;
            let mut seen = read::target_by_key(target, self.table, &keys).await?;
            let mut after = read::source_by_key(&self.config.source, self.table, &keys).await?;
            let mut again = Vec::new();
            for (key, mut candidate) in open {
                let window = Window {
                    source_before: before.remove(&key),
                    target: seen.remove(&key),
                    source_after: after.remove(&key),
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
    fn note(&mut self, key: &Key, verdict: Verdict) {
        self.reporter.row();
        let (kind, columns) = match verdict {
            Verdict::Equal | Verdict::Again => return,
            Verdict::Unstable => {
                self.verdict.unstable += 1;
                return;
            }
            Verdict::Missing => (DifferenceKind::MissingInTarget, Vec::new()),
            Verdict::Extra => (DifferenceKind::ExtraInTarget, Vec::new()),
            Verdict::Different(columns) => (DifferenceKind::Different, columns),
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

    fn clear_differences(&mut self) {
        let verdict = &mut self.verdict;
        (verdict.missing, verdict.extra, verdict.different, verdict.unstable) = (0, 0, 0, 0);
        verdict.differences.clear();
    }

    fn column_name(&self, index: usize) -> Option<String> {
        self.table.columns.get(index).map(|column| column.name.clone())
    }

    fn key_fields(&self, columns: &[usize], values: impl Iterator<Item = Option<String>>) -> Vec<KeyField> {
        let names = columns.iter().map(|&index| self.column_name(index).unwrap_or_default());
        names.zip(values).map(|(column, value)| KeyField { column, value }).collect()
    }

    // --- without a key ---

    async fn unkeyed(&mut self, parts: u32) -> Result<(), Stop> {
        let mut target = Target::connect(&self.config.target).await?;
        let mut tally = Tally::default();
        self.verdict.unchecked = 0;
        self.clear_differences();
        for part in Part::all(parts) {
            let mut standing = self.surplus(&mut target, part, &mut tally).await?;
            for _ in 1..PASSES {
                if standing.is_empty() {
                    break;
                }
                self.barrier.pass().await?;
                let again = self.surplus(&mut target, part, &mut Tally::default()).await?;
                standing = standing.confirmed_by(&again);
            }
            let (missing, extra) = standing.totals();
            self.verdict.missing += missing;
            self.verdict.extra += extra;
            if !standing.is_empty() {
                self.list_rows(&mut target, part, &standing).await?;
            }
        }
        self.store(tally);
        self.verdict.differences.sort();
        Ok(())
    }

    /// One pass over one part.
    async fn surplus(&mut self, target: &mut Target, part: Part, tally: &mut Tally) -> Result<Surplus, Stop> {
        let table = self.table;
        let max_rows = passes::max_rows(self.options.memory_bytes);
        let mut fingerprinter = Fingerprinter::new(table);
        let mut surplus = Surplus::default();
        self.reporter.stage(VerifyStage::Source, table.source.estimated_rows);
        read::source_rows(&self.config.source, table, None, &mut |row| {
            self.reporter.row();
            let Fingerprint { row, .. } = fingerprinter.source(row)?;
            if part.has(row) {
                tally.source_rows += 1;
                tally.source.add(row);
                surplus.add_source(row);
            }
            if surplus.len() as u64 > max_rows { Err(Stop::TooMany) } else { Ok(()) }
        })
        .await?;
        self.reporter.stage(VerifyStage::Target, tally.source_rows);
        read::target_rows(target, table, &mut |row| {
            self.reporter.row();
            let Fingerprint { row, .. } = fingerprinter.target(row);
            if part.has(row) {
                tally.target_rows += 1;
                tally.target.add(row);
                surplus.add_target(row);
            }
            if surplus.len() as u64 > max_rows { Err(Stop::TooMany) } else { Ok(()) }
        })
        .await?;
        Ok(surplus)
    }

    /// Finds the rows of standing differences, to show them.
    async fn list_rows(&mut self, target: &mut Target, part: Part, standing: &Surplus) -> Result<(), Stop> {
        let table = self.table;
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let room = self.options.limit.saturating_sub(self.verdict.differences.len());
        let mut fingerprinter = Fingerprinter::new(table);
        let mut found: HashMap<RowHash, Vec<Option<String>>> = HashMap::new();
        read::source_rows(&self.config.source, table, None, &mut |row| {
            let hash = fingerprinter.source(row)?.row;
            if part.has(hash) && standing.of(hash) > 0 && found.len() < room {
                found.insert(hash, fingerprint::source_texts(table, &all, row)?);
            }
            Ok(())
        })
        .await?;
        read::target_rows(target, table, &mut |row| {
            let hash = fingerprinter.target(row).row;
            if part.has(hash) && standing.of(hash) < 0 && found.len() < room {
                found.insert(hash, fingerprint::target_texts(&all, row));
            }
            Ok(())
        })
        .await?;
        for (hash, texts) in found {
            let surplus = standing.of(hash);
            let kind =
                if surplus > 0 { DifferenceKind::MissingInTarget } else { DifferenceKind::ExtraInTarget };
            let key = self.key_fields(&all, texts.into_iter());
            let rows = surplus.unsigned_abs();
            self.verdict.differences.push(Difference { key, kind, columns: Vec::new(), rows });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
