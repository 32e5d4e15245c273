//! Which changes reach which table, and what a batch is.

use std::io;
use std::sync::Arc;

use segcdc_model::{
    Change, ChangeStore, Fault, Lsn, PgType, QualifiedName, Relation, ReplicaIdentity, SpilledChanges,
    TablePhase,
};
use segcdc_plan::{Naming, TableSet, plan, table_plan};

use crate::fixture::{Stream, TestTable, spell, transaction};

fn table(oid: u32) -> TestTable {
    TestTable::new(oid, ReplicaIdentity::Default, 1, &[PgType::Int4, PgType::Text])
}

#[test]
fn tables_are_planned_apart_in_order_of_first_change() {
    let (one, two) = (table(1), table(2));
    let (s1, s2) = (Stream::new(&one), Stream::new(&two));
    let set: TableSet = [one.entry(), two.entry()].into_iter().collect();
    let batch = [
        transaction(10, vec![s2.insert("1|a"), s1.insert("1|b")]),
        transaction(20, vec![s2.update("1|c"), s1.insert("2|d")]),
        transaction(30, vec![]),
    ];
    let plan = plan(&batch, &set).unwrap();
    assert_eq!(spell(&plan), ["insert 1|c", "insert 1|b", "insert 2|d"]);
    assert_eq!(plan.tables.iter().map(|t| t.table.source.oid).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((plan.end_lsn, plan.commit_time_us), (Lsn::new(30), 30));
    assert_eq!((plan.transactions, plan.changes), (3, 4));
}

/// # Fault F23
/// TRUNCATE at the source, of several tables or with CASCADE, between other changes of a transaction.
/// - Happens: the tables are emptied in the target, in the same transaction and in order with the other changes.
/// - Do: nothing.
#[test]
fn truncate_empties_all_its_tables() {
    let (one, two) = (table(1), table(2));
    let set: TableSet = [one.entry(), two.entry()].into_iter().collect();
    let relations = vec![Stream::new(&one).relation, Stream::new(&two).relation];
    let plan = plan(&[transaction(10, vec![Change::Truncate { relations }])], &set).unwrap();
    assert_eq!(spell(&plan), ["truncate", "truncate"]);
    assert_eq!(plan.changes, 2);
}

#[test]
fn changes_that_the_copy_holds_are_left_out() {
    let one = table(1);
    let s = Stream::new(&one);
    let mut entry = one.entry();
    entry.sync_lsn = Lsn::new(20);
    let set: TableSet = [entry].into_iter().collect();
    let mut old_shape = (*s.relation).clone();
    old_shape.columns.pop();
    let old_shape = Stream { relation: Arc::new(old_shape) };
    let batch = [
        // An older shape of the table does not matter either: the copy is newer.
        transaction(10, vec![old_shape.insert("1")]),
        transaction(20, vec![s.insert("2|a")]),
        transaction(21, vec![s.insert("3|a")]),
    ];
    let plan = plan(&batch, &set).unwrap();
    assert_eq!(spell(&plan), ["insert 3|a"]);
    assert_eq!((plan.changes, plan.end_lsn), (1, Lsn::new(21)));
}

#[test]
fn only_live_tables_are_planned() {
    let one = table(1);
    let s = Stream::new(&one);
    for phase in [TablePhase::Queued, TablePhase::Copying, TablePhase::Quarantined] {
        let mut set: TableSet = [one.entry()].into_iter().collect();
        assert!(set.set_phase(1, phase));
        let plan = plan(&[transaction(10, vec![s.insert("1|a"), s.insert("1|a")])], &set).unwrap();
        assert!(plan.is_empty());
        assert_eq!(plan.changes, 0);
    }
}

#[test]
fn tables_of_others_are_ignored() {
    let (one, other) = (table(1), table(2));
    let set: TableSet = [one.entry()].into_iter().collect();
    let s = Stream::new(&other);
    let plan = plan(&[transaction(10, vec![s.insert("1|a"), s.truncate()])], &set).unwrap();
    assert!(plan.is_empty());
}

/// # Fault F16
/// A table is dropped and made again under the same name.
/// - Happens: its OID tells it. The table is set aside as `TABLE_RECREATED`; no row of the new one is written as if it were one of
///   the old.
/// - Do: `segcdc table resync`, or `--on-schema-change recreate-table=apply`, which copies the new table in its place.
#[test]
fn table_made_again_is_not_overlooked() {
    let (one, mut again) = (table(1), table(2));
    again.source.name = one.source.name.clone();
    let mut set: TableSet = [one.entry()].into_iter().collect();
    let s = Stream::new(&again);
    let batch = [transaction(10, vec![s.insert("1|a")])];
    let error = plan(&batch, &set).unwrap_err();
    assert_eq!((error.code(), error.table_oid()), ("TABLE_RECREATED", Some(1)));
    set.set_phase(1, TablePhase::Quarantined);
    assert!(plan(&batch, &set).unwrap().is_empty());
}

/// # Fault F15
/// A table is renamed, or moved to another schema.
/// - Happens: it is the same table by its OID; the target's table is renamed too, or goes on under its old name, as
///   `--on-schema-change` says.
/// - Do: nothing.
#[test]
fn renamed_table_is_still_the_table() {
    let one = table(1);
    let set: TableSet = [one.entry()].into_iter().collect();
    let mut relation = one.relation();
    relation.name = QualifiedName::new("elsewhere", "renamed");
    let s = Stream { relation: Arc::new(relation) };
    assert_eq!(spell(&plan(&[transaction(10, vec![s.insert("1|a")])], &set).unwrap()), ["insert 1|a"]);
}

#[test]
fn changed_shape_is_refused() {
    let one = table(1);
    let set: TableSet = [one.entry()].into_iter().collect();
    let refuse = |change: &dyn Fn(&mut Relation)| {
        let mut relation = one.relation();
        change(&mut relation);
        let s = Stream { relation: Arc::new(relation) };
        let error = plan(&[transaction(10, vec![s.insert("1|a")])], &set).unwrap_err();
        assert_eq!((error.code(), error.table_oid()), ("SCHEMA_CHANGED", Some(1)), "{error}");
    };
    refuse(&|relation| drop(relation.columns.pop()));
    refuse(&|relation| relation.columns[1].name = "renamed".to_owned());
    refuse(&|relation| relation.columns[1].type_oid = 20);
    refuse(&|relation| relation.columns[0].type_oid = 1700);
    refuse(&|relation| {
        let mut added = relation.columns[1].clone();
        added.name = "added".to_owned();
        relation.columns.push(added);
    });
}

#[test]
fn reordered_columns_are_read_by_name() {
    let one = table(1);
    let set: TableSet = [one.entry()].into_iter().collect();
    let mut relation = one.relation();
    relation.columns.reverse();
    let s = Stream { relation: Arc::new(relation) };
    assert_eq!(spell(&plan(&[transaction(10, vec![s.insert("a|1")])], &set).unwrap()), ["insert 1|a"]);
}

#[test]
fn generated_columns_are_neither_planned_nor_missed() {
    let mut one = table(1);
    one.source.columns[1].generated = true;
    assert_eq!(one.plan().columns.len(), 1);
    let set: TableSet = [one.entry()].into_iter().collect();
    let s = Stream::new(&one);
    assert_eq!(spell(&plan(&[transaction(10, vec![s.insert("1|a")])], &set).unwrap()), ["insert 1"]);
}

#[test]
fn batches_are_not_empty_and_in_order() {
    let set = TableSet::new();
    assert_eq!(plan(&[], &set).unwrap_err().code(), "BATCH_EMPTY");
    for next in [9, 10] {
        let batch = [transaction(10, vec![]), transaction(next, vec![])];
        assert_eq!(plan(&batch, &set).unwrap_err().code(), "STREAM_OUT_OF_ORDER");
    }
}

/// # Fault F26
/// A table has more columns than SQL Server takes.
/// - Happens: preflight refuses the table as `TOO_MANY_COLUMNS`, with the number that fits.
/// - Do: leave the table out, or split it at the source.
#[test]
fn tables_with_more_columns_than_the_target_takes_are_refused() {
    let with = |columns: usize| {
        let types = vec![PgType::Int4; columns];
        let table = TestTable::new(1, ReplicaIdentity::Default, 1, &types);
        table_plan(&table.source, &Naming::new("dbo")).map_err(|error| (error.code(), error.to_string()))
    };
    // One column of SQL Server's 1,024 numbers the rows of the staging table, one holds the key as it was before.
    let most = (1..=1_024).rev().find(|columns| with(*columns).is_ok()).unwrap();
    assert!((1_015..1_024).contains(&most), "{most}");
    let (code, text) = with(most + 1).unwrap_err();
    assert_eq!(code, "TOO_MANY_COLUMNS");
    assert!(text.contains(&most.to_string()) && text.contains(&(most + 1).to_string()), "{text}");
    assert_eq!(with(1_600).unwrap_err().0, "TOO_MANY_COLUMNS");
}

/// Changes that are kept elsewhere; there are none.
#[derive(Debug)]
struct Nowhere;

impl ChangeStore for Nowhere {
    fn parts(&self) -> usize {
        0
    }

    fn read_part(&self, _index: usize) -> io::Result<Vec<Change>> {
        Ok(Vec::new())
    }

    fn relations(&self) -> &[Arc<Relation>] {
        &[]
    }

    fn changes(&self) -> u64 {
        0
    }

    fn bytes(&self) -> u64 {
        0
    }
}

#[test]
fn transaction_that_is_not_in_memory_is_no_part_of_a_batch() {
    let set: TableSet = [table(1).entry()].into_iter().collect();
    let mut large = transaction(10, Vec::new());
    large.spilled = Some(SpilledChanges::new(Arc::new(Nowhere)));
    assert_eq!(plan(&[large], &set).unwrap_err().code(), "BATCH_NOT_IN_MEMORY");
}

#[test]
fn tables_that_sql_server_cannot_have_are_refused() {
    let refused = |table: &TestTable| table_plan(&table.source, &Naming::new("dbo")).unwrap_err().code();
    let without = TestTable::new(1, ReplicaIdentity::Full, 0, &[]);
    assert_eq!(refused(&without), "TABLE_WITHOUT_COLUMNS");
    let many =
        TestTable::new(1, ReplicaIdentity::Default, 33, &std::array::from_fn::<_, 33, _>(|_| PgType::Int2));
    assert_eq!(refused(&many), "KEY_TOO_WIDE");
}
