//! Random histories: the plan of any batching of a history gives the rows that its changes give one by one.

use std::collections::HashMap;

use proptest::prelude::*;
use segcdc_model::{Change, Transaction};
use segcdc_naive::fixture::transaction;
use segcdc_naive::interpreter::{DeletedRow, Row, Target};
use segcdc_naive::source::{Source, kinds, seed};
use segcdc_plan::{TableSet, plan, plan_part};

fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

fn in_order(mut rows: Vec<DeletedRow>) -> Vec<DeletedRow> {
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_batching_gives_the_rows_of_the_history(
        first in 0_usize..11,
        second in 0_usize..11,
        seeds in proptest::collection::vec(seed(), 1..60),
    ) {
        let kinds = kinds();
        let second = if second == first { (second + 1) % kinds.len() } else { second };
        let tables = [&kinds[first], &kinds[second]];
        let set: TableSet = tables.iter().map(|table| table.entry()).collect();
        let mut sources = tables.map(Source::new);
        let mut target = Target::default();
        // The same history in batches of one transaction each.
        let mut target_single = Target::default();
        // And each transaction in parts, as one that is too large for memory.
        let mut target_parts = Target::default();
        let mut parts: Vec<Vec<Change>> = vec![Vec::new()];
        let mut changes = Vec::new();
        let mut batch: Vec<Transaction> = Vec::new();
        let mut lsn = 0_u32;
        let last = seeds.len() - 1;
        for (index, seed) in seeds.iter().enumerate() {
            // A swap has to be whole within its transaction, so transactions end between seeds only.
            sources[seed.table].now_us = i64::from(lsn + 10);
            let made = sources[seed.table].act(seed);
            if seed.row % 2 == 0 {
                parts.push(Vec::new());
            }
            parts.last_mut().unwrap().extend(made.iter().cloned());
            changes.extend(made);
            if seed.ends_transaction || index == last {
                lsn += 10;
                let whole = transaction(u64::from(lsn), std::mem::take(&mut changes));
                for part in std::mem::replace(&mut parts, vec![Vec::new()]) {
                    let planned = plan_part(&part, &whole, &set);
                    let planned = planned.map_err(|error| TestCaseError::fail(error.to_string()))?;
                    prop_assert_eq!((planned.transactions, planned.changes), (0, part.len() as u64));
                    target_parts.apply(&planned).map_err(TestCaseError::fail)?;
                }
                batch.push(whole);
            }
            if !batch.is_empty() && changes.is_empty() && (seed.ends_batch || index == last) {
                let batch = std::mem::take(&mut batch);
                let planned = plan(&batch, &set).map_err(|error| TestCaseError::fail(error.to_string()))?;
                let count: usize = batch.iter().map(|transaction| transaction.changes.len()).sum();
                prop_assert_eq!(planned.changes, count as u64);
                target.apply(&planned).map_err(TestCaseError::fail)?;
                for transaction in &batch {
                    let planned = plan(std::slice::from_ref(transaction), &set);
                    let planned = planned.map_err(|error| TestCaseError::fail(error.to_string()))?;
                    target_single.apply(&planned).map_err(TestCaseError::fail)?;
                }
                for source in &sources {
                    let oid = source.plan.source.oid;
                    let rows = |tables: &HashMap<u32, Vec<Row>>| sorted(tables.get(&oid).map_or(&[], Vec::as_slice));
                    prop_assert_eq!(rows(&target.tables), sorted(&source.rows), "table {}", oid);
                    prop_assert_eq!(rows(&target_single.tables), sorted(&source.rows), "table {}", oid);
                    prop_assert_eq!(rows(&target_parts.tables), sorted(&source.rows), "table {}", oid);
                    for target in [&target, &target_single, &target_parts] {
                        let deleted = target.deleted.get(&oid).cloned().unwrap_or_default();
                        prop_assert_eq!(in_order(deleted), in_order(source.deleted.clone()), "table {}", oid);
                    }
                }
            }
        }
    }

    #[test]
    fn same_input_gives_the_same_plan(first in 0_usize..11, seeds in proptest::collection::vec(seed(), 1..40)) {
        let table = &kinds()[first];
        let set: TableSet = [table.entry()].into_iter().collect();
        let mut source = Source::new(table);
        let changes: Vec<Change> = seeds.iter().flat_map(|seed| source.act(seed)).collect();
        let batch = [transaction(10, changes)];
        let once = plan(&batch, &set).map(|plan| crate::fixture::spell(&plan));
        let twice = plan(&batch, &set).map(|plan| crate::fixture::spell(&plan));
        prop_assert_eq!(once, twice);
    }
}
