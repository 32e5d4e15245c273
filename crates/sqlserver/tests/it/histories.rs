//! Random histories, applied in batches, against a model that takes each change by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use segcdc_model::{Change, PgType};
use segcdc_plan::rules::{DELETED_AT, DELETED_AT_TYPE};
use segcdc_plan::{ColumnPlan, TablePlan, TargetMode};
use segcdc_sqlserver::apply::apply_staged;
use segcdc_sqlserver::{WritePath, apply};

use crate::rig::{Rig, Row, Stream, canonical_rows, plan_one};

/// One change of one of two tables; numbers choose among the rows that are there.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Insert {
        key: (u8, u8),
        note: Option<u8>,
    },
    /// `None` leaves the note unsent, as an unchanged TOAST value.
    Update {
        row: usize,
        note: Option<Option<u8>>,
        n: u8,
    },
    Rekey {
        row: usize,
        key: (u8, u8),
        note: Option<Option<u8>>,
    },
    Delete {
        row: usize,
    },
    Truncate,
    BagInsert {
        value: (Option<u8>, u8),
        copies: usize,
    },
    BagUpdate {
        row: usize,
        value: (Option<u8>, u8),
    },
    BagDelete {
        row: usize,
    },
}

/// A row of the keyed table behind its key.
type KeyedRow = (Option<u8>, u8);

/// What both tables hold. Keys and texts are chosen so that trailing blanks and case matter.
#[derive(Debug, Default)]
pub(crate) struct Model {
    keyed: BTreeMap<(u8, u8), KeyedRow>,
    /// Rows that were deleted and whose keys no row had since, and when.
    deleted: BTreeMap<(u8, u8), (KeyedRow, u64)>,
    /// When the batch is committed that is under way, microseconds since 2000-01-01.
    now_us: u64,
    /// Rows without a key, equal ones among them: texts that differ in a blank, case or length, and 0 beside -0.
    bag: Vec<(Option<u8>, u8)>,
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || (0u8..4, 0u8..3);
    let note = || prop::option::of(0u8..4);
    let row = || 0usize..64;
    let value = || (prop::option::of(0u8..6), 0u8..4);
    let op = prop_oneof![
        6 => (key(), note()).prop_map(|(key, note)| Op::Insert { key, note }),
        4 => (row(), prop::option::of(note()), 0u8..9).prop_map(|(row, note, n)| Op::Update { row, note, n }),
        3 => (row(), key(), prop::option::of(note())).prop_map(|(row, key, note)| Op::Rekey { row, key, note }),
        3 => row().prop_map(|row| Op::Delete { row }),
        1 => Just(Op::Truncate),
        4 => (value(), 1usize..4).prop_map(|(value, copies)| Op::BagInsert { value, copies }),
        4 => (row(), value()).prop_map(|(row, value)| Op::BagUpdate { row, value }),
        8 => row().prop_map(|row| Op::BagDelete { row }),
    ];
    prop::collection::vec(op, 1..60)
}

fn code(key: (u8, u8)) -> String {
    // Different case is another key; a trailing blank would not be, and has a test of its own.
    format!("{}|{}", key.0, ["a", "A", " a"][usize::from(key.1)])
}

fn text(value: Option<u8>) -> String {
    value.map_or("~".to_owned(), |value| ["", "x", "x ", "🦀"][usize::from(value)].to_owned())
}

/// A row of the bag.
fn content((value, number): (Option<u8>, u8)) -> String {
    let long = "y".repeat(9000);
    let text = value.map_or("~", |value| ["", "x", "x ", "X", "🦀", &long][usize::from(value)]);
    format!("{text}|{}", ["0", "-0", "1.5", "~"][usize::from(number)])
}

fn sent(value: Option<Option<u8>>) -> String {
    value.map_or("^".to_owned(), text)
}

impl Model {
    /// Takes an operation; the changes that say it, none when no such row is there.
    pub(crate) fn take(&mut self, op: &Op, keyed: &Stream, bag: &Stream) -> Vec<Change> {
        if let Op::BagInsert { value, copies } = op {
            self.bag.extend((0..*copies).map(|_| *value));
            return (0..*copies).map(|_| bag.insert(&content(*value))).collect();
        }
        self.take_one(op, keyed, bag).into_iter().collect()
    }

    fn take_one(&mut self, op: &Op, keyed: &Stream, bag: &Stream) -> Option<Change> {
        let nth = |row: usize, count: usize| (count > 0).then(|| row % count.max(1));
        Some(match op {
            Op::Insert { key, note } => {
                if self.keyed.contains_key(key) {
                    return None;
                }
                self.keyed.insert(*key, (*note, 0));
                self.deleted.remove(key);
                keyed.insert(&format!("{}|{}|0", code(*key), text(*note)))
            }
            Op::Update { row, note, n } => {
                let key = *self.keyed.keys().nth(nth(*row, self.keyed.len())?)?;
                let (old, count) = self.keyed.get_mut(&key)?;
                *old = note.unwrap_or(*old);
                *count = *n;
                keyed.update(&format!("{}|{}|{n}", code(key), sent(*note)))
            }
            Op::Rekey { row, key, note } => {
                let old_key = *self.keyed.keys().nth(nth(*row, self.keyed.len())?)?;
                if self.keyed.contains_key(key) {
                    return None;
                }
                let (old, count) = self.keyed.remove(&old_key)?;
                self.keyed.insert(*key, (note.unwrap_or(old), count));
                self.deleted.remove(key);
                keyed.rekey(
                    &format!("{}|~|~", code(old_key)),
                    &format!("{}|{}|{count}", code(*key), sent(*note)),
                )
            }
            Op::Delete { row } => {
                let key = *self.keyed.keys().nth(nth(*row, self.keyed.len())?)?;
                let row = self.keyed.remove(&key)?;
                self.deleted.insert(key, (row, self.now_us));
                keyed.delete(&format!("{}|~|~", code(key)))
            }
            Op::Truncate => {
                let now_us = self.now_us;
                let rows = std::mem::take(&mut self.keyed).into_iter();
                self.deleted.extend(rows.map(|(key, row)| (key, (row, now_us))));
                keyed.truncate()
            }
            Op::BagInsert { .. } => return None,
            Op::BagUpdate { row, value } => {
                let index = nth(*row, self.bag.len())?;
                let old = std::mem::replace(self.bag.get_mut(index)?, *value);
                bag.update_full(&content(old), &content(*value))
            }
            Op::BagDelete { row } => {
                let old = self.bag.swap_remove(nth(*row, self.bag.len())?);
                bag.delete_full(&content(old))
            }
        })
    }

    pub(crate) fn rows(&self, keyed: &TablePlan, bag: &TablePlan) -> (Vec<Row>, Vec<Row>) {
        let rows: Vec<String> =
            self.keyed.iter().map(|(key, (note, n))| format!("{}|{}|{n}", code(*key), text(*note))).collect();
        let keyed_rows = canonical_rows(keyed, &rows.iter().map(String::as_str).collect::<Vec<_>>());
        let rows: Vec<String> = self.bag.iter().map(|value| content(*value)).collect();
        (keyed_rows, canonical_rows(bag, &rows.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// The rows of a keyed table in which deleted ones stay, with their marks, as [`with_marks`] reads them.
    fn kept_rows(&self, keyed: &TablePlan) -> Vec<Row> {
        let live = self.keyed.iter().map(|(key, row)| (key, row, "~".to_owned()));
        let deleted = self.deleted.iter();
        let deleted =
            deleted.map(|(key, (row, at_us))| (key, row, format!("2000-01-01 00:00:00.{at_us:06}")));
        let rows = live.chain(deleted);
        let rows: Vec<String> =
            rows.map(|(key, (note, n), at)| format!("{}|{}|{n}|{at}", code(*key), text(*note))).collect();
        canonical_rows(keyed, &rows.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// A table in which deleted rows stay as one that has all of them, and the mark as a column.
fn with_marks(keyed: &TablePlan) -> TablePlan {
    let mut all = TablePlan { mode: TargetMode::Mirror, ..keyed.clone() };
    all.columns.push(ColumnPlan {
        name: DELETED_AT.to_owned(),
        pg_type: PgType::Timestamp,
        mssql_type: DELETED_AT_TYPE,
        ..all.columns[3].clone()
    });
    all
}

/// The two tables, empty: one with a key, and a bag.
pub(crate) async fn tables(rig: &mut Rig) -> (Arc<TablePlan>, Arc<TablePlan>) {
    tables_with(rig, TargetMode::Mirror).await
}

/// The same, the one with a key in this mode.
async fn tables_with(rig: &mut Rig, mode: TargetMode) -> (Arc<TablePlan>, Arc<TablePlan>) {
    let columns = [
        ("id", PgType::Int4, true),
        ("code", PgType::Text, true),
        ("note", PgType::Text, false),
        ("n", PgType::Int4, false),
    ];
    let keyed = rig.table(1, "keyed", 2, &columns);
    let keyed = Arc::new(TablePlan { mode, ..TablePlan::clone(&keyed) });
    let bag = rig.table(2, "bag", 0, &[("t", PgType::Text, false), ("f", PgType::Float8, false)]);
    rig.create(&keyed).await;
    rig.create(&bag).await;
    (keyed, bag)
}

/// Applies a history in batches of `batch` operations by both ways in turn, and compares behind each.
async fn run(path: WritePath, mode: TargetMode, ops: &[Op], batch: usize) -> Result<(), TestCaseError> {
    let mut rig = Rig::with(Some(path)).await;
    let (keyed, bag) = tables_with(&mut rig, mode).await;
    let streams = (Stream::new(&keyed), Stream::new(&bag));
    let mut model = Model::default();
    for (number, ops) in (1..).zip(ops.chunks(batch)) {
        model.now_us = number * 100;
        let changes: Vec<Change> = ops.iter().flat_map(|op| model.take(op, &streams.0, &streams.1)).collect();
        let plan = plan_one(&[&streams.0, &streams.1], number * 100, changes);
        let applied = if number % 2 == 0 {
            apply_staged(&mut rig.target, &plan, &rig.checkpoint).await
        } else {
            apply(&mut rig.target, &plan, &rig.checkpoint).await
        };
        rig.checkpoint = applied.map_err(|error| TestCaseError::fail(format!("batch {number}: {error}")))?;
        let expected = model.rows(&keyed, &bag);
        let found = (rig.rows(&keyed).await, rig.rows(&bag).await);
        prop_assert_eq!(found, expected, "behind batch {}", number);
        if keyed.marker().is_some() {
            let all = with_marks(&keyed);
            prop_assert_eq!(rig.rows(&all).await, model.kept_rows(&all), "deleted, behind batch {}", number);
        }
    }
    prop_assert_eq!(rig.stored().await, rig.checkpoint.clone());
    rig.target.drop_table(&keyed.target).await.unwrap();
    rig.target.drop_table(&bag.target).await.unwrap();
    Ok(())
}

#[test]
fn batches_leave_what_single_changes_would() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 16, max_shrink_iters: 60, ..Config::default() });
    let path = prop_oneof![Just(WritePath::Bulk), Just(WritePath::Insert)];
    let mode = prop_oneof![Just(TargetMode::Mirror), Just(TargetMode::SoftDelete)];
    runner
        .run(&(path, mode, ops(), 1usize..25), |(path, mode, ops, batch)| {
            runtime.block_on(run(path, mode, &ops, batch))
        })
        .unwrap();
}
