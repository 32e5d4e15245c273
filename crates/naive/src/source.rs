//! A source database in two hundred lines: its rows, and the changes that the stream reports of them.

use std::sync::Arc;

use proptest::prelude::*;
use segcdc_model::{Change, OldTuple, PgType, Relation, ReplicaIdentity};
use segcdc_plan::{TableKey, TablePlan, ValuePolicy};

use crate::fixture::{Cell, TestTable, tuple};
use crate::interpreter::{DeletedRow, Row, compared};

/// Raw material of one change; what it means depends on the rows that there are.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Which table.
    pub table: usize,
    /// What is done, below 100.
    pub action: u8,
    /// Which existing row.
    pub row: usize,
    /// New values of the columns, below 8; `None` to leave one as it is.
    pub values: [Option<u8>; 3],
    /// Whether an unchanged value that is not in the key is left out of the tuple.
    pub toasted: [bool; 3],
    /// Whether the old key is sent, and the new one left out, although the key has not changed (a TOASTed key).
    pub toasted_key: bool,
    /// Whether the transaction ends behind it.
    pub ends_transaction: bool,
    /// Whether the batch ends behind it.
    pub ends_batch: bool,
}

/// Random seeds of changes, of two tables.
pub fn seed() -> impl Strategy<Value = Seed> {
    let value = || proptest::option::weighted(0.6, 0_u8..8);
    (
        0_usize..2,
        0_u8..100,
        0_usize..16,
        [value(), value(), value()],
        any::<[bool; 3]>(),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.5),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(table, action, row, values, toasted, toasted_key, ends_transaction, ends_batch)| {
            Seed { table, action, row, values, toasted, toasted_key, ends_transaction, ends_batch }
        })
}

/// Kinds of tables, each with three columns.
pub fn kinds() -> Vec<TestTable> {
    let columns = [PgType::Int4, PgType::Text, PgType::Text];
    let numeric = [PgType::Numeric { bounds: None }, PgType::Text, PgType::Text];
    let mut by_index = TestTable::new(6, ReplicaIdentity::Index, 1, &columns);
    by_index.source.identity_index = vec![2, 1];
    vec![
        TestTable::new(1, ReplicaIdentity::Default, 1, &columns),
        TestTable::new(2, ReplicaIdentity::Full, 1, &columns),
        TestTable::new(3, ReplicaIdentity::Default, 2, &columns),
        TestTable::new(4, ReplicaIdentity::Full, 0, &columns),
        TestTable::new(5, ReplicaIdentity::Default, 1, &numeric),
        by_index,
        TestTable::new(7, ReplicaIdentity::Default, 0, &columns),
        TestTable::new(8, ReplicaIdentity::Full, 1, &numeric),
        TestTable::new(9, ReplicaIdentity::Default, 1, &columns).mode("soft-delete"),
        TestTable::new(10, ReplicaIdentity::Full, 1, &numeric).mode("soft-delete"),
        TestTable::new(11, ReplicaIdentity::Default, 2, &columns).mode("soft-delete"),
    ]
}

/// A table of the naive source: its rows, and the changes that the stream reports.
pub struct Source {
    /// What the planner makes of it.
    pub plan: Arc<TablePlan>,
    relation: Arc<Relation>,
    /// Its rows, in no particular order.
    pub rows: Vec<Row>,
    /// The rows that were deleted and whose keys no row had since, as a target has them in which they stay.
    pub deleted: Vec<DeletedRow>,
    /// When the transaction is committed that is under way, microseconds since 2000-01-01 UTC.
    pub now_us: i64,
}

impl Source {
    /// An empty table.
    pub fn new(table: &TestTable) -> Self {
        let (plan, relation) = (table.plan(), Arc::new(table.relation()));
        Source { plan, relation, rows: Vec::new(), deleted: Vec::new(), now_us: 0 }
    }

    fn is_key(&self, column: usize) -> bool {
        self.plan.is_key(column)
    }

    /// The value that a number stands for; keys are never NULL, and numeric keys come in two spellings.
    fn value(&self, column: usize, number: u8) -> Cell {
        match (&self.plan.columns[column].pg_type, self.is_key(column)) {
            (PgType::Numeric { .. }, _)
                if number == 7 && self.plan.columns[column].policy != ValuePolicy::Halt =>
            {
                Cell::Text("NaN".to_owned())
            }
            (PgType::Numeric { .. }, _) => {
                Cell::Text(format!("{}{}", number / 2, if number.is_multiple_of(2) { "" } else { ".00" }))
            }
            (_, false) if number == 0 => Cell::Null,
            (PgType::Int4, _) => Cell::Text(number.to_string()),
            (_, _) => Cell::Text(format!("v{number}")),
        }
    }

    fn key(&self, row: &Row) -> Vec<Cell> {
        let column = |column: &usize| compared(&row[*column], &self.plan.columns[*column].pg_type);
        self.plan.key_columns().iter().map(column).collect()
    }

    fn key_is_free(&self, row: &Row, except: Option<usize>) -> bool {
        let others = self.rows.iter().enumerate().filter(|(index, _)| Some(*index) != except);
        self.plan.key_columns().is_empty()
            || others.map(|(_, other)| self.key(other)).all(|key| key != self.key(row))
    }

    /// Whether the stream sends whole old rows.
    pub fn is_full(&self) -> bool {
        self.relation.replica_identity == ReplicaIdentity::Full
    }

    fn old(&self, row: &Row) -> OldTuple {
        if self.is_full() {
            return OldTuple::Full(tuple(row));
        }
        let key =
            |(index, value): (usize, &Cell)| if self.is_key(index) { value.clone() } else { Cell::Null };
        OldTuple::Key(tuple(&row.iter().enumerate().map(key).collect::<Vec<_>>()))
    }

    /// Carries out what the seed means here, if it is possible; returns what the stream says about it.
    pub fn act(&mut self, seed: &Seed) -> Vec<Change> {
        let can_change = self.plan.key != TableKey::Unidentified && !self.rows.is_empty();
        let position = seed.row % self.rows.len().max(1);
        match seed.action {
            0..30 => self.insert(seed).into_iter().collect(),
            30..75 if can_change => self.update(seed, position).into_iter().collect(),
            75..90 if can_change => {
                let row = self.rows.remove(position);
                self.remember(row.clone());
                vec![Change::Delete { relation: Arc::clone(&self.relation), old: self.old(&row) }]
            }
            90..96 if can_change && self.is_full() => self.swap(seed, position),
            96..98 => {
                for row in std::mem::take(&mut self.rows) {
                    self.remember(row);
                }
                vec![Change::Truncate { relations: vec![Arc::clone(&self.relation)] }]
            }
            _ => Vec::new(),
        }
    }

    fn insert(&mut self, seed: &Seed) -> Option<Change> {
        let row: Row = (0..3).map(|column| self.value(column, seed.values[column].unwrap_or(1))).collect();
        if !self.key_is_free(&row, None) {
            return None;
        }
        let change = Change::Insert { relation: Arc::clone(&self.relation), new: tuple(&row) };
        self.forget(&row);
        self.rows.push(row);
        Some(change)
    }

    fn update(&mut self, seed: &Seed, position: usize) -> Option<Change> {
        let old = self.rows[position].clone();
        let mut new = old.clone();
        for (column, value) in new.iter_mut().enumerate() {
            // Key changes are rarer than changes of other values.
            if let Some(number) = seed.values[column].filter(|_| !self.is_key(column) || seed.action < 45) {
                *value = self.value(column, number);
            }
        }
        if !self.key_is_free(&new, Some(position)) {
            return None;
        }
        let change = self.updated(&old, &new, seed);
        self.forget(&new);
        self.rows[position] = new;
        Some(change)
    }

    /// A row was deleted.
    fn remember(&mut self, row: Row) {
        if self.plan.marker().is_some() {
            self.forget(&row);
            self.deleted.push((row, self.now_us));
        }
    }

    /// A row has the key now that one had which was deleted.
    fn forget(&mut self, row: &Row) {
        let key = self.key(row);
        let mut deleted = std::mem::take(&mut self.deleted);
        deleted.retain(|(other, _)| self.key(other) != key);
        self.deleted = deleted;
    }

    /// What pgoutput says of an update.
    fn updated(&self, old: &Row, new: &Row, seed: &Seed) -> Change {
        let spelled = |row: &Row| self.plan.key_columns().iter().map(|c| row[*c].clone()).collect::<Vec<_>>();
        let same_key = spelled(old) == spelled(new);
        let mut sent = new.clone();
        for (column, value) in sent.iter_mut().enumerate() {
            let left_out =
                if self.is_key(column) { same_key && seed.toasted_key } else { seed.toasted[column] };
            if left_out && old[column] == new[column] && *value != Cell::Null {
                *value = Cell::Unchanged;
            }
        }
        let says_old = self.is_full() || !same_key || seed.toasted_key;
        Change::Update {
            relation: Arc::clone(&self.relation),
            old: says_old.then(|| self.old(old)),
            new: tuple(&sent),
        }
    }

    /// Swaps the keys of two rows one after the other, as a deferrable key allows.
    fn swap(&mut self, seed: &Seed, one: usize) -> Vec<Change> {
        let other = (one + 1) % self.rows.len();
        if one == other {
            return Vec::new();
        }
        let (old_one, old_other) = (self.rows[one].clone(), self.rows[other].clone());
        let (mut new_one, mut new_other) = (old_one.clone(), old_other.clone());
        for column in self.plan.key_columns() {
            new_one[*column] = old_other[*column].clone();
            new_other[*column] = old_one[*column].clone();
        }
        let changes =
            vec![self.updated(&old_one, &new_one, seed), self.updated(&old_other, &new_other, seed)];
        self.rows[one] = new_one;
        self.rows[other] = new_other;
        changes
    }
}
