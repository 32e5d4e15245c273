//! [`History`]: what the application does at the source in one life, and what its tables hold behind each step of it.

use std::sync::Arc;
use std::time::Duration;

use segcdc_model::{Change, Lsn, TablePhase, Transaction};
use segcdc_naive::fixture::TestTable;
use segcdc_naive::interpreter::Row;
use segcdc_naive::source::{Seed, Source, kinds};
use segcdc_plan::{TableEntry, TablePlan, TableSet};
use segcdc_sqlserver::PartialTransaction;

use super::chance::Chance;

/// Rows of both tables, sorted.
pub(super) type Rows = [Vec<Row>; 2];

/// Where the pipeline begins.
pub(super) const START: Lsn = Lsn::new(1000);

/// A life's application.
#[derive(Debug)]
pub(super) struct History {
    tables: [TestTable; 2],
    plans: [Arc<TablePlan>; 2],
    /// As of which position the target's copy of each table is.
    sync: [Lsn; 2],
    /// The transactions that were committed, in order.
    pub(super) commits: Vec<Commit>,
    /// How far WAL is written in the end.
    pub(super) end: Lsn,
}

/// A committed transaction.
#[derive(Debug)]
pub(super) struct Commit {
    /// As it comes when it fits into memory.
    pub(super) transaction: Transaction,
    /// Number of changes behind each statement, and the rows behind it: between two statements it can be divided.
    pub(super) statements: Vec<(usize, Rows)>,
    /// It is too large for memory, most of the time.
    pub(super) is_large: bool,
    /// When it is committed, on the life's clock.
    pub(super) at: Duration,
}

// === impl History ===

impl History {
    /// A random one.
    pub(super) fn new(chance: &mut Chance) -> Self {
        let kinds = kinds();
        let first = chance.place(kinds.len());
        let second = (first + 1 + chance.place(kinds.len() - 1)) % kinds.len();
        let tables = [kinds[first].clone(), kinds[second].clone()];
        let mut sources = [Source::new(&tables[0]), Source::new(&tables[1])];
        let (mut end, mut at, mut commits) = (START.as_u64(), Duration::ZERO, Vec::new());
        for xid in 0..3 + chance.below(12) {
            // One that ran beside others has its commit right behind that of another one.
            let commit_lsn = end + if chance.one_in(2) { 0 } else { 8 * (1 + chance.below(8)) };
            end = commit_lsn + 8 * (1 + chance.below(4));
            at += Duration::from_millis(if chance.one_in(2) { 0 } else { chance.below(40) });
            let is_large = chance.one_in(5);
            let acts = if is_large { 6 + chance.below(14) } else { chance.below(5) };
            let (mut changes, mut statements) = (Vec::new(), Vec::new());
            for _ in 0..acts {
                let seed = statement(chance);
                changes.extend(sources[seed.table].act(&seed));
                statements.push((changes.len(), rows(&sources)));
            }
            if statements.is_empty() {
                statements.push((0, rows(&sources)));
            }
            let transaction = transaction(u32::try_from(700 + xid).unwrap(), (commit_lsn, end), changes);
            commits.push(Commit { transaction, statements, is_large, at });
        }
        let mut sync = [START; 2];
        if chance.one_in(3) {
            // It was copied later than the other one.
            sync[1] = commits[chance.place(commits.len())].transaction.end_lsn;
        }
        let plans = [sources[0].plan.clone(), sources[1].plan.clone()];
        let end = Lsn::new(end + 8 * chance.below(3));
        History { tables, plans, sync, commits, end }
    }

    /// The tables, live.
    pub(super) fn table_set(&self) -> TableSet {
        let entry = |place: usize| {
            let plan = Arc::clone(&self.plans[place]);
            let phase = TablePhase::Streaming;
            TableEntry { sync_lsn: self.sync[place], plan, phase, ..self.tables[place].entry() }
        };
        [entry(0), entry(1)].into_iter().collect()
    }

    /// OIDs of the tables.
    pub(super) fn oids(&self) -> [u32; 2] {
        [self.plans[0].source.oid, self.plans[1].source.oid]
    }

    /// What the target's tables have to hold at a checkpoint. `Err` when no checkpoint can be like that.
    pub(super) fn rows_at(&self, applied: Lsn, partial: Option<&PartialTransaction>) -> Result<Rows, String> {
        let mut found = [self.behind(applied.max(self.sync[0])), self.behind(applied.max(self.sync[1]))];
        if let Some(partial) = partial.filter(|partial| partial.end_lsn > applied) {
            let next = self.commits.iter().find(|commit| commit.transaction.end_lsn > applied);
            let next = next.filter(|commit| commit.transaction.end_lsn == partial.end_lsn);
            let next = next.ok_or("the transaction that is applied in part is not the next one")?;
            let mut statements = next.statements.iter().filter(|(count, _)| *count as u64 == partial.changes);
            let within = match (partial.changes, statements.next()) {
                (0, _) => None,
                (_, Some((_, rows))) => Some(rows),
                (changes, None) => return Err(format!("{changes} changes are no whole statements")),
            };
            for (found, sync) in found.iter_mut().zip(self.sync) {
                if within.is_some() && partial.end_lsn > sync {
                    *found = within;
                }
            }
        }
        let table = |place: usize| found[place].map(|rows| rows[place].clone()).unwrap_or_default();
        Ok([table(0), table(1)])
    }

    /// The rows behind the last transaction that ends at or below a position; `None` before the first.
    fn behind(&self, applied: Lsn) -> Option<&Rows> {
        let last = self.commits.iter().rfind(|commit| commit.transaction.end_lsn <= applied)?;
        last.statements.last().map(|(_, rows)| rows)
    }
}

fn transaction(xid: u32, (commit_lsn, end_lsn): (u64, u64), changes: Vec<Change>) -> Transaction {
    Transaction {
        xid,
        commit_lsn: Lsn::new(commit_lsn),
        end_lsn: Lsn::new(end_lsn),
        commit_time_us: i64::try_from(end_lsn).unwrap(),
        spilled: None,
        changes,
        memory_bytes: 0,
        large_bytes: 0,
    }
}

/// A random statement.
fn statement(chance: &mut Chance) -> Seed {
    let value = |chance: &mut Chance| (!chance.one_in(3)).then(|| chance.small(8));
    Seed {
        table: chance.place(2),
        action: chance.small(100),
        row: chance.place(16),
        values: [value(chance), value(chance), value(chance)],
        toasted: [chance.one_in(2), chance.one_in(2), chance.one_in(2)],
        toasted_key: chance.one_in(10),
        ends_transaction: false,
        ends_batch: false,
    }
}

/// The rows of two tables, sorted.
pub(super) fn rows(sources: &[Source; 2]) -> Rows {
    [sorted(&sources[0].rows), sorted(&sources[1].rows)]
}

/// Rows in an order of their own.
pub(super) fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}
