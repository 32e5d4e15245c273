//! Transactions that come in parts: all of them or none.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use segcdc_model::{Change, Fault, Lsn, PgType};
use segcdc_plan::TablePlan;
use segcdc_sqlserver::{PartialTransaction, PartsApply, WritePath};

use crate::histories::{Model, Op, ops, tables};
use crate::rig::{Rig, Stream, canonical_rows, meddle, plan_one};

const KEYED: [(&str, PgType, bool); 2] = [("id", PgType::Int4, true), ("note", PgType::Text, false)];

/// A table with rows.
async fn table(rig: &mut Rig, oid: u32, name: &str, rows: &[&str]) -> Arc<TablePlan> {
    let table = rig.table(oid, name, 1, &KEYED);
    rig.create(&table).await;
    let rows: Vec<_> = rows.iter().map(|row| crate::rig::tuple(row)).collect();
    rig.load(&table, &rows).await.unwrap();
    table
}

#[tokio::test]
async fn parts_are_seen_together_or_not_at_all() {
    let mut rig = Rig::new().await;
    let one = table(&mut rig, 1, "one", &["1|a", "2|b"]).await;
    let two = table(&mut rig, 2, "two", &["1|x"]).await;
    let (first, second) = (Stream::new(&one), Stream::new(&two));
    let streams = [&first, &second];
    let parts = [
        // A key that comes back, a value that is not sent, and a table that is emptied behind its first part.
        plan_one(&streams, 100, vec![first.rekey("1|~", "9|^"), second.insert("2|y")]),
        plan_one(&streams, 100, vec![first.update("9|c"), second.truncate(), second.insert("1|z")]),
        plan_one(&streams, 100, vec![first.rekey("9|~", "1|^"), first.delete("2|~")]),
    ];
    let before = rig.checkpoint.clone();
    let (old_one, old_two) = (canonical_rows(&one, &["1|a", "2|b"]), canonical_rows(&two, &["1|x"]));

    // Given up.
    let tables = [Arc::clone(&one), Arc::clone(&two)];
    let mut apply = PartsApply::begin(&mut rig.target, &before, &tables).await.unwrap();
    for part in &parts {
        apply.add(part).await.unwrap();
    }
    apply.roll_back().await;
    assert_eq!((rig.rows(&one).await, rig.rows(&two).await), (old_one.clone(), old_two.clone()));

    // Cut off in the middle.
    let mut other = rig.session().await;
    let mut apply = PartsApply::begin(&mut other, &before, &tables).await.unwrap();
    apply.add(&parts[0]).await.unwrap();
    drop(other);
    assert_eq!(rig.target.read_checkpoint_locked(&before.pipeline).await.unwrap(), before);
    assert_eq!((rig.rows(&one).await, rig.rows(&two).await), (old_one.clone(), old_two.clone()));

    // Applied.
    let mut apply = PartsApply::begin(&mut rig.target, &before, &tables).await.unwrap();
    for part in &parts {
        apply.add(part).await.unwrap();
    }
    let behind = apply.commit(Lsn::new(100), 7).await.unwrap();
    assert_eq!((behind.applied_lsn, behind.batch_seq), (Lsn::new(100), before.batch_seq + 1));
    assert_eq!(rig.rows(&one).await, canonical_rows(&one, &["1|c"]));
    assert_eq!(rig.rows(&two).await, canonical_rows(&two, &["1|z"]));
    assert_eq!(rig.stored().await, behind);
    let state = rig.target.known_state(&before.pipeline).await.unwrap();
    assert_eq!((state.transactions_applied, state.changes_applied, state.commit_time_us), (1, 7, Some(7)));

    // Once.
    let again = PartsApply::begin(&mut rig.target, &before, &tables).await.map(|_| ()).unwrap_err();
    assert_eq!(again.code(), "FENCED");
    assert_eq!(rig.rows(&one).await, canonical_rows(&one, &["1|c"]));
}

#[tokio::test]
async fn parts_can_be_committed_one_by_one_with_a_count_in_the_place_of_the_checkpoint() {
    let mut rig = Rig::new().await;
    let one = table(&mut rig, 1, "one", &["1|a", "2|b"]).await;
    let stream = Stream::new(&one);
    let tables = [Arc::clone(&one)];
    let before = rig.checkpoint.clone();
    assert_eq!(rig.target.partial_transaction(&before).await.unwrap(), None);
    rig.target.ensure_partial_transactions().await.unwrap();
    let mut partial = PartialTransaction { xid: 7, end_lsn: Lsn::new(100), changes: 2 };

    let mut apply = PartsApply::begin(&mut rig.target, &before, &tables).await.unwrap();
    apply.add(&plan_one(&[&stream], 100, vec![stream.insert("3|c"), stream.delete("2|~")])).await.unwrap();
    let first = apply.commit_inside(&partial).await.unwrap();
    assert_eq!((first.applied_lsn, first.batch_seq), (before.applied_lsn, before.batch_seq + 1));
    assert_eq!(rig.stored().await, first);
    assert_eq!(rig.target.partial_transaction(&first).await.unwrap(), Some(partial));
    assert_eq!(rig.rows(&one).await, canonical_rows(&one, &["1|a", "3|c"]));

    // Of one that fails neither rows nor count are left.
    partial.changes = 3;
    let mut apply = PartsApply::begin(&mut rig.target, &first, &tables).await.unwrap();
    apply.add(&plan_one(&[&stream], 100, vec![stream.update("1|A")])).await.unwrap();
    assert_eq!(
        apply.add(&plan_one(&[&stream], 100, vec![stream.update("8|?")])).await.unwrap_err().code(),
        "TARGET_DIVERGED"
    );
    drop(apply);
    assert_eq!(rig.target.partial_transaction(&first).await.unwrap().unwrap().changes, 2);
    let mut apply = PartsApply::begin(&mut rig.target, &first, &tables).await.unwrap();
    apply.add(&plan_one(&[&stream], 100, vec![stream.update("1|B")])).await.unwrap();
    let second = apply.commit_inside(&partial).await.unwrap();
    assert_eq!(rig.target.partial_transaction(&second).await.unwrap(), Some(partial));

    // Whoever was taken over counts nothing.
    let again = PartsApply::begin(&mut rig.target, &first, &tables).await.map(|_| ()).unwrap_err();
    assert_eq!(again.code(), "FENCED");
    let apply = PartsApply::begin(&mut rig.target, &second, &[]).await.unwrap();
    let behind = apply.commit(Lsn::new(100), 5).await.unwrap();
    assert_eq!(rig.rows(&one).await, canonical_rows(&one, &["1|B", "3|c"]));
    assert_eq!(rig.target.partial_transaction(&behind).await.unwrap(), None);
    let state = rig.target.known_state(&before.pipeline).await.unwrap();
    assert_eq!((state.transactions_applied, state.changes_applied), (1, 3));
}

#[tokio::test]
async fn part_that_fails_takes_those_before_it_along() {
    let mut rig = Rig::new().await;
    let one = table(&mut rig, 1, "one", &["1|a", "2|b"]).await;
    let stream = Stream::new(&one);
    let before = rig.checkpoint.clone();
    let name = segcdc_sqlserver::quote::qualified(&one.target);
    meddle(&rig.config, &format!("DELETE FROM {name} WHERE [id] = 2")).await;
    let parts = [
        plan_one(&[&stream], 100, vec![stream.insert("3|c")]),
        plan_one(&[&stream], 100, vec![stream.update("2|B")]),
    ];
    let mut apply = PartsApply::begin(&mut rig.target, &before, &[Arc::clone(&one)]).await.unwrap();
    apply.add(&parts[0]).await.unwrap();
    assert_eq!(apply.add(&parts[1]).await.unwrap_err().code(), "TARGET_DIVERGED");
    drop(apply);
    assert_eq!(rig.rows(&one).await, canonical_rows(&one, &["1|a"]));
    assert_eq!(rig.stored().await, before);
}

/// Applies a history of transactions, each in parts of `part` operations.
async fn run(path: WritePath, ops: &[Op], part: usize) -> Result<(), TestCaseError> {
    let mut rig = Rig::with(Some(path)).await;
    let (keyed, bag) = tables(&mut rig).await;
    let streams = (Stream::new(&keyed), Stream::new(&bag));
    let mut model = Model::default();
    for (number, ops) in (1..).zip(ops.chunks(part * 4)) {
        let before = rig.checkpoint.clone();
        let tables = [Arc::clone(&keyed), Arc::clone(&bag)];
        let mut apply = PartsApply::begin(&mut rig.target, &before, &tables).await.unwrap();
        for ops in ops.chunks(part) {
            let changes: Vec<Change> =
                ops.iter().flat_map(|op| model.take(op, &streams.0, &streams.1)).collect();
            let plan = plan_one(&[&streams.0, &streams.1], number * 100, changes);
            let added = apply.add(&plan).await;
            added.map_err(|error| TestCaseError::fail(format!("transaction {number}: {error}")))?;
        }
        let committed = apply.commit(Lsn::new(number * 100), 5).await;
        rig.checkpoint = committed.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let expected = model.rows(&keyed, &bag);
        let found = (rig.rows(&keyed).await, rig.rows(&bag).await);
        prop_assert_eq!(found, expected, "behind transaction {}", number);
    }
    prop_assert_eq!(rig.stored().await, rig.checkpoint.clone());
    rig.target.drop_table(&keyed.target).await.unwrap();
    rig.target.drop_table(&bag.target).await.unwrap();
    Ok(())
}

#[test]
fn parts_leave_what_single_changes_would() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 16, max_shrink_iters: 60, ..Config::default() });
    let path = prop_oneof![Just(WritePath::Bulk), Just(WritePath::Insert)];
    runner
        .run(&(path, ops(), 1usize..8), |(path, ops, part)| runtime.block_on(run(path, &ops, part)))
        .unwrap();
}
