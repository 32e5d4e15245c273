//! A table without a key, from beginning to end.

use std::collections::HashMap;

use segcdc_sqlserver::{Selection, Target};

use crate::verify::aside::Aside;
use crate::verify::fingerprint::{self, Fingerprint, Fingerprinter, RowHash};
use crate::verify::found::{Found, Tally};
use crate::verify::passes::{self, Part};
use crate::verify::read::{self, Stop};
use crate::verify::shared::MAX_CANDIDATES;
use crate::verify::table::Comparison;
use crate::verify::unkeyed::{Counts, MAX_WINDOWS, Surplus};
use crate::verify::window::{Candidate, Rest, Verdict, Window};
use crate::verify::{Difference, DifferenceKind, VerifyStage};

impl Comparison<'_> {
    /// Compares the table in so many parts.
    ///
    /// # Errors
    /// As [`Comparison::run`], and [`Stop::TooMany`] for a part that does not fit into the memory.
    pub(crate) async fn unkeyed(&mut self, parts: u32) -> Result<(), Stop> {
        let mut target = Target::connect(&self.shared.config.target).await?;
        let mut tally = Tally::default();
        self.found = Found::default();
        for part in Part::all(parts) {
            let surplus = self.surplus(&mut target, part, &mut tally).await?;
            let mut candidates: Vec<RowHash> = surplus.into_candidates().collect();
            self.found.unchecked += candidates.len().saturating_sub(MAX_CANDIDATES) as u64;
            candidates.truncate(MAX_CANDIDATES);
            let standing = self.settle_contents(&mut target, candidates).await?;
            self.list_rows(&mut target, &standing).await?;
        }
        self.found.tally = tally;
        self.found.differences.sort();
        Ok(())
    }

    /// The first pass over one part.
    async fn surplus(&mut self, target: &mut Target, part: Part, tally: &mut Tally) -> Result<Surplus, Stop> {
        let (shared, table) = (self.shared, &self.work.plan);
        let max_rows = passes::max_rows(shared.memory_bytes());
        let mut fingerprinter = Fingerprinter::new(table);
        let mut surplus = Surplus::default();
        let aside = Aside::read(target, &shared.config.name, table).await?;
        self.reads(VerifyStage::Source, table.source.estimated_rows);
        let mut reporter = self.reporter.clone();
        read::source_rows(&shared.config.source, table, self.source_rows(&None), &mut |row| {
            reporter.row();
            let Fingerprint { row: hash, .. } = fingerprinter.source(row)?;
            if part.has(hash) {
                tally.source_rows += 1;
                if aside.has_source(row) {
                    tally.set_aside += 1;
                    return Ok(());
                }
                tally.replaced += fingerprinter.replaced();
                tally.source.add(hash);
                surplus.add_source(hash);
            }
            if surplus.len() as u64 > max_rows { Err(Stop::TooMany) } else { Ok(()) }
        })
        .await?;
        self.reads(VerifyStage::Target, tally.source_rows);
        let (mut read_rows, mut read_bytes) = (0, 0);
        read::target_rows(target, table, Selection::All, &mut |row| {
            self.reporter.row();
            (read_rows, read_bytes) = (read_rows + 1, read_bytes + row.bytes() as u64);
            let Fingerprint { row, .. } = fingerprinter.target(row);
            if part.has(row) {
                tally.target_rows += 1;
                tally.target.add(row);
                surplus.add_target(row);
            }
            if surplus.len() as u64 > max_rows { Err(Stop::TooMany) } else { Ok(()) }
        })
        .await?;
        shared.pace_target(read_rows, read_bytes).await;
        Ok(surplus)
    }

    /// Looks at contents again until something can be said of each; returns by how much those that differ do: above
    /// zero when the target lacks rows.
    async fn settle_contents(
        &mut self,
        target: &mut Target,
        contents: Vec<RowHash>,
    ) -> Result<HashMap<RowHash, i64>, Stop> {
        let mut standing = HashMap::new();
        let mut open: Vec<(RowHash, Candidate<u64>)> =
            contents.into_iter().map(|row| (row, Candidate::new(MAX_WINDOWS))).collect();
        while !open.is_empty() {
            let none = Counts::of(open.iter().map(|(row, _)| row));
            let before = self.source_counts(target, none.clone()).await?;
            self.barrier.pass().await?;
            let seen = self.target_counts(target, none.clone()).await?;
            let after = self.source_counts(target, none).await?;
            let mut again = Vec::new();
            for (row, mut candidate) in open {
                let window = Window {
                    source_before: before.get(row),
                    target: seen.get(row),
                    source_after: after.get(row),
                    rest: Rest::Looks,
                };
                match candidate.judge(window) {
                    Verdict::Again => again.push((row, candidate)),
                    Verdict::Equal => {}
                    Verdict::Unstable => self.found.unstable += 1,
                    Verdict::Differs { source, target } => {
                        self.found.missing += source.saturating_sub(target);
                        self.found.extra += target.saturating_sub(source);
                        standing.insert(row, source.cast_signed() - target.cast_signed());
                    }
                }
            }
            open = again;
        }
        Ok(standing)
    }

    async fn source_counts(&mut self, target: &mut Target, mut counts: Counts) -> Result<Counts, Stop> {
        let (shared, table) = (self.shared, &self.work.plan);
        let aside = Aside::read(target, &shared.config.name, table).await?;
        let mut fingerprinter = Fingerprinter::new(table);
        self.reads(VerifyStage::Source, self.found.tally.source_rows);
        let mut reporter = self.reporter.clone();
        read::source_rows(&shared.config.source, table, self.source_rows(&None), &mut |row| {
            reporter.row();
            if !aside.has_source(row) {
                counts.add(fingerprinter.source(row)?.row);
            }
            Ok(())
        })
        .await?;
        Ok(counts)
    }

    async fn target_counts(&mut self, target: &mut Target, mut counts: Counts) -> Result<Counts, Stop> {
        let table = &self.work.plan;
        let mut fingerprinter = Fingerprinter::new(table);
        self.reads(VerifyStage::Target, self.found.tally.target_rows);
        read::target_rows(target, table, Selection::All, &mut |row| {
            self.reporter.row();
            counts.add(fingerprinter.target(row).row);
            Ok(())
        })
        .await?;
        Ok(counts)
    }

    /// Finds the rows of standing differences, to show them.
    async fn list_rows(&mut self, target: &mut Target, standing: &HashMap<RowHash, i64>) -> Result<(), Stop> {
        let room = self.shared.options.limit.saturating_sub(self.found.differences.len());
        if standing.is_empty() || room == 0 {
            return Ok(());
        }
        let (shared, table) = (self.shared, &self.work.plan);
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let surplus = |hash: RowHash| standing.get(&hash).copied().unwrap_or(0);
        let mut fingerprinter = Fingerprinter::new(table);
        let mut found: HashMap<RowHash, Vec<Option<String>>> = HashMap::new();
        read::source_rows(&shared.config.source, table, self.source_rows(&None), &mut |row| {
            let hash = fingerprinter.source(row)?.row;
            if surplus(hash) > 0 && found.len() < room {
                found.insert(hash, fingerprint::source_texts(table, &all, row)?);
            }
            Ok(())
        })
        .await?;
        read::target_rows(target, table, Selection::All, &mut |row| {
            let hash = fingerprinter.target(row).row;
            if surplus(hash) < 0 && found.len() < room {
                found.insert(hash, fingerprint::target_texts(&all, row));
            }
            Ok(())
        })
        .await?;
        for (hash, texts) in found {
            let surplus = surplus(hash);
            let kind =
                if surplus > 0 { DifferenceKind::MissingInTarget } else { DifferenceKind::ExtraInTarget };
            let key = self.key_fields(&all, texts.into_iter());
            let rows = surplus.unsigned_abs();
            self.found.differences.push(Difference { key, kind, columns: Vec::new(), rows });
        }
        Ok(())
    }
}
