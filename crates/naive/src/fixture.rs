//! Tables, relations and changes for tests.

use std::sync::Arc;

use bytes::Bytes;
use segcdc_model::{
    Change, Field, Lsn, OldTuple, PgType, QualifiedName, Relation, RelationColumn, ReplicaIdentity,
    SourceColumn, SourceTable, TableKind, TablePhase, Transaction, Tuple, TupleBuilder,
};
use segcdc_plan::{
    ApplyPlan, Naming, OpenLetters, PlanError, RuleTexts, Rules, TableEntry, TablePlan, TableSet, plan,
    table_plan,
};

/// A field of a test row: a value, NULL, or unchanged TOAST.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cell {
    /// A value's text.
    Text(String),
    /// NULL.
    Null,
    /// Not sent.
    Unchanged,
}

/// A row in a compact spelling: fields separated by `|`, `~` for NULL, `^` for unchanged TOAST.
pub fn cells(row: &str) -> Vec<Cell> {
    row.split('|')
        .map(|field| match field {
            "~" => Cell::Null,
            "^" => Cell::Unchanged,
            text => Cell::Text(text.to_owned()),
        })
        .collect()
}

/// A row as the stream sends it.
pub fn tuple(cells: &[Cell]) -> Tuple {
    let mut buffer = Vec::new();
    for cell in cells {
        if let Cell::Text(text) = cell {
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    let mut builder = TupleBuilder::new(Bytes::from(buffer), cells.len());
    let mut start = 0;
    for cell in cells {
        match cell {
            Cell::Text(text) => {
                builder.text(start, text.len());
                start += text.len();
            }
            Cell::Null => builder.null(),
            Cell::Unchanged => builder.unchanged_toast(),
        }
    }
    builder.build()
}

/// A field of a row as the stream sends it.
pub fn cell(field: Field<'_>) -> Cell {
    match field {
        Field::Null => Cell::Null,
        Field::UnchangedToast => Cell::Unchanged,
        Field::Text(bytes) | Field::Binary(bytes) => Cell::Text(String::from_utf8(bytes.to_vec()).unwrap()),
        Field::Large(_) => unreachable!("tests of rules hold small values"),
    }
}

/// A table of the source and its relation in the stream.
#[derive(Debug, Clone)]
pub struct TestTable {
    /// As the catalog describes it.
    pub source: SourceTable,
    /// A rule for values, as the command line has it.
    pub on_value: Option<&'static str>,
    /// A rule for changes, as the command line has it.
    pub append_only: Option<&'static str>,
    /// A rule for rows, as the command line has it.
    pub filter: Option<&'static str>,
    /// A rule for how rows are kept, as the command line has it.
    pub mode: Option<&'static str>,
}

impl TestTable {
    /// A table with a primary key of its first `key` columns.
    pub fn new(oid: u32, identity: ReplicaIdentity, key: usize, types: &[PgType]) -> Self {
        let columns = (1..).zip(types).map(|(attnum, pg_type)| SourceColumn {
            name: format!("c{attnum}"),
            attnum,
            pg_type: pg_type.clone(),
            type_name: "whatever".to_owned(),
            not_null: usize::try_from(attnum).unwrap() <= key,
            generated: false,
        });
        TestTable {
            source: SourceTable {
                oid,
                name: QualifiedName::new("public", format!("t{oid}")),
                kind: TableKind::Ordinary,
                columns: columns.collect(),
                primary_key: (0..key).collect(),
                replica_identity: identity,
                identity_index: Vec::new(),
                indexes: Vec::new(),
                estimated_rows: 0,
                size_bytes: 0,
                heap_pages: 0,
                row_security: false,
                owner: "owner".to_owned(),
            },
            on_value: None,
            append_only: None,
            filter: None,
            mode: None,
        }
    }

    /// The same with rows that are only added.
    pub fn append_only(self, rule: &'static str) -> Self {
        TestTable { append_only: Some(rule), ..self }
    }

    /// The same with a rule for how rows are kept.
    pub fn mode(self, rule: &'static str) -> Self {
        TestTable { mode: Some(rule), ..self }
    }

    /// The same with a rule for values.
    pub fn on_value(self, rule: &'static str) -> Self {
        TestTable { on_value: Some(rule), ..self }
    }

    /// A table `(c1 integer primary key, c2 text, c3 text)`.
    pub fn keyed(identity: ReplicaIdentity) -> Self {
        Self::new(1, identity, 1, &[PgType::Int4, PgType::Text, PgType::Text])
    }

    /// A table `(c1 integer, c2 text)` without a key.
    pub fn unkeyed(identity: ReplicaIdentity) -> Self {
        Self::new(1, identity, 0, &[PgType::Int4, PgType::Text])
    }

    /// What the planner makes of it.
    pub fn plan(&self) -> Arc<TablePlan> {
        let values = self.on_value.iter().map(|rule| (*rule).to_owned()).collect();
        let append_only = self.append_only.iter().map(|rule| (*rule).to_owned()).collect();
        let filters = self.filter.iter().map(|rule| (*rule).to_owned()).collect();
        let modes = self.mode.iter().map(|rule| (*rule).to_owned()).collect();
        let texts = RuleTexts { values, append_only, filters, modes, ..RuleTexts::default() };
        let rules = Rules::parse(&texts).unwrap();
        Arc::new(table_plan(&self.source, &Naming::new("dbo").with_rules(rules)).unwrap())
    }

    /// As the stream describes it.
    pub fn relation(&self) -> Relation {
        let columns = self.source.columns.iter().enumerate().map(|(index, column)| RelationColumn {
            key: match self.source.replica_identity {
                ReplicaIdentity::Default => self.source.primary_key.contains(&index),
                ReplicaIdentity::Index => self.source.identity_index.contains(&index),
                ReplicaIdentity::Full => true,
                ReplicaIdentity::Nothing => false,
            },
            name: column.name.clone(),
            type_oid: match column.pg_type {
                PgType::Int4 => 23,
                PgType::Text => 25,
                PgType::Numeric { .. } => 1700,
                PgType::Float8 => 701,
                PgType::Char { .. } => 1042,
                _ => 70_000,
            },
            type_modifier: -1,
        });
        Relation {
            oid: self.source.oid,
            name: self.source.name.clone(),
            replica_identity: self.source.replica_identity,
            columns: columns.collect(),
        }
    }

    /// The table, live from the first transaction on.
    pub fn entry(&self) -> TableEntry {
        TableEntry {
            plan: self.plan(),
            sync_lsn: Lsn::ZERO,
            phase: TablePhase::Streaming,
            letters: OpenLetters::new(),
            known: None,
        }
    }
}

/// Spells changes of one table as pgoutput would send them.
pub struct Stream {
    /// The table.
    pub relation: Arc<Relation>,
}

impl Stream {
    /// Changes of this table.
    pub fn new(table: &TestTable) -> Self {
        Stream { relation: Arc::new(table.relation()) }
    }

    /// A new row.
    pub fn insert(&self, new: &str) -> Change {
        Change::Insert { relation: Arc::clone(&self.relation), new: tuple(&cells(new)) }
    }

    /// An update without an old tuple.
    pub fn update(&self, new: &str) -> Change {
        Change::Update { relation: Arc::clone(&self.relation), old: None, new: tuple(&cells(new)) }
    }

    /// An update with the identity columns of the old row.
    pub fn rekey(&self, old: &str, new: &str) -> Change {
        let old = Some(OldTuple::Key(tuple(&cells(old))));
        Change::Update { relation: Arc::clone(&self.relation), old, new: tuple(&cells(new)) }
    }

    /// An update with the whole old row.
    pub fn update_full(&self, old: &str, new: &str) -> Change {
        let old = Some(OldTuple::Full(tuple(&cells(old))));
        Change::Update { relation: Arc::clone(&self.relation), old, new: tuple(&cells(new)) }
    }

    /// A removed row, by its identity columns.
    pub fn delete(&self, old: &str) -> Change {
        Change::Delete { relation: Arc::clone(&self.relation), old: OldTuple::Key(tuple(&cells(old))) }
    }

    /// A removed row, as a whole.
    pub fn delete_full(&self, old: &str) -> Change {
        Change::Delete { relation: Arc::clone(&self.relation), old: OldTuple::Full(tuple(&cells(old))) }
    }

    /// All rows are removed.
    pub fn truncate(&self) -> Change {
        Change::Truncate { relations: vec![Arc::clone(&self.relation)] }
    }
}

/// A transaction that ends at a position.
pub fn transaction(end_lsn: u64, changes: Vec<Change>) -> Transaction {
    Transaction {
        xid: 1,
        commit_lsn: Lsn::new(end_lsn - 1),
        end_lsn: Lsn::new(end_lsn),
        commit_time_us: i64::try_from(end_lsn).unwrap(),
        spilled: None,
        changes,
        memory_bytes: 0,
        large_bytes: 0,
    }
}

/// Plans one transaction on one table.
///
/// # Errors
/// The planner's.
pub fn plan_one(table: &TestTable, changes: Vec<Change>) -> Result<ApplyPlan, PlanError> {
    let set: TableSet = [table.entry()].into_iter().collect();
    plan(&[transaction(10, changes)], &set)
}

/// The plan in the compact spelling, one line an effect.
pub fn spell(plan: &ApplyPlan) -> Vec<String> {
    let mut lines = Vec::new();
    for changes in &plan.tables {
        let all: Vec<usize> = (0..changes.table.columns.len()).collect();
        let row = |image: &segcdc_plan::RowImage, columns: &[usize]| {
            columns
                .iter()
                .map(|column| match cell(image.field(*column)) {
                    Cell::Text(text) => text,
                    Cell::Null => "~".to_owned(),
                    Cell::Unchanged => "^".to_owned(),
                })
                .collect::<Vec<_>>()
                .join("|")
        };
        let key = changes.table.key_columns();
        if changes.truncate {
            lines.push("truncate".to_owned());
        }
        lines.extend(changes.deletes.iter().map(|image| format!("delete {}", row(image, key))));
        lines.extend(changes.unkeyed_deletes.iter().map(|image| format!("delete one {}", row(image, &all))));
        for group in &changes.updates {
            for image in &group.rows {
                lines.push(format!("update {} set {:?}", row(image, &all), group.present));
            }
        }
        for group in &changes.marks {
            for mark in &group.rows {
                let (row, at) = (row(&mark.image, &all), mark.at_us);
                lines.push(format!("mark {row} set {:?} at {at}", group.present));
            }
        }
        lines.extend(changes.all_marked_us.map(|at| format!("mark all at {at}")));
        lines.extend(changes.cleared.iter().map(|image| format!("clear {}", row(image, key))));
        for insert in &changes.inserts {
            let fill = insert.fill.as_ref().map_or(String::new(), |fill| {
                format!(" fill {:?} from {}", fill.columns, row(&fill.old_key, key))
            });
            let deleted = insert.deleted_at_us.map_or(String::new(), |at| format!(" deleted at {at}"));
            lines.push(format!("insert {}{fill}{deleted}", row(&insert.image, &all)));
        }
    }
    lines
}

/// Checks the plan of one transaction on one table.
///
/// # Panics
/// When it is another one.
pub fn check(table: &TestTable, changes: Vec<Change>, expected: &[&str]) {
    let plan = plan_one(table, changes).unwrap();
    assert_eq!(spell(&plan), expected);
}

/// Checks that one transaction on one table is refused with this code.
///
/// # Panics
/// When it is not.
pub fn check_refused(table: &TestTable, changes: Vec<Change>, code: &str) {
    let error = plan_one(table, changes).expect_err("the plan should be refused");
    assert_eq!(segcdc_model::Fault::code(&error), code, "{error}");
    assert_eq!(error.table_oid(), Some(table.source.oid));
}
