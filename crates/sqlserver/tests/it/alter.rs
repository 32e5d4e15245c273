//! Tables that change between two parts of a transaction.

use std::sync::Arc;

use segcdc_model::{Fault, Lsn, PgType};
use segcdc_plan::{
    Action, ChangeKind, KnownTable, Naming, Outcome, SchemaChange, Step, TablePlan, table_plan,
};
use segcdc_sqlserver::{Alteration, PartsApply, WritePath};

use crate::fixture::{self, Column};
use crate::rig::{Rig, Stream, canonical_rows, meddle, plan_one};

const BEFORE: [Column<'static>; 2] = [("id", PgType::Int4, true), ("note", PgType::Text, false)];

/// The change that adds columns to a table of `rig` with these names, each with what rows have in it.
fn adding(rig: &Rig, name: &str, columns: &[(Column<'_>, Option<&str>)]) -> SchemaChange {
    let all: Vec<Column<'_>> =
        BEFORE.into_iter().chain(columns.iter().map(|(column, _)| column.clone())).collect();
    let plan = table_plan(&fixture::source(1, name, 1, &all), &Naming::new(rig.schema.clone())).unwrap();
    let steps = columns.iter().enumerate().map(|(index, (column, existing))| Step {
        kind: ChangeKind::AddColumn,
        outcome: Outcome::Applied,
        what: format!("column \"{}\" was added", column.0),
        actions: vec![Action::AddColumn {
            column: BEFORE.len() + index,
            existing: existing.map(str::to_owned),
        }],
    });
    SchemaChange { known: fixture::known(&plan), steps: steps.collect(), plan }
}

/// A table with rows that the state knows.
async fn table(rig: &mut Rig, name: &str, rows: &[&str]) -> (Arc<TablePlan>, KnownTable) {
    let table = rig.table(1, name, 1, &BEFORE);
    rig.create(&table).await;
    let rows: Vec<_> = rows.iter().map(|row| crate::rig::tuple(row)).collect();
    rig.load(&table, &rows).await.unwrap();
    let known = fixture::known(&table);
    rig.target.set_table(&rig.checkpoint, &crate::state::table(1, name)).await.unwrap();
    rig.target.set_known(&rig.checkpoint, 1, &known).await.unwrap();
    (table, known)
}

/// Alters a table between two parts: rows in the old shape, then rows in the new one.
async fn alter_between_parts(path: WritePath) {
    let mut rig = Rig::with(Some(path)).await;
    let (old, known) = table(&mut rig, "one", &["1|a", "2|b"]).await;
    let columns = [(("n", PgType::Int4, false), Some("5")), (("t", PgType::Text, false), None)];
    let change = adding(&rig, "one", &columns);
    let new = Arc::new(change.plan.clone());
    let (before, after) = (Stream::new(&old), Stream::new(&new));
    let checkpoint = rig.checkpoint.clone();
    let first = plan_one(&[&before], 100, vec![before.update("1|A"), before.insert("3|c")]);
    let second = plan_one(
        &[&after],
        100,
        vec![after.insert("4|d|~|x"), after.update("2|b|6|y"), after.delete("1|~|~|~")],
    );
    let alteration = Alteration { change: &change, shape: "new", end_lsn: Lsn::new(100) };

    // Given up behind it: nothing is left, and the session goes on with what it had.
    let tables = [Arc::clone(&old)];
    let mut apply = PartsApply::begin(&mut rig.target, &checkpoint, &tables).await.unwrap();
    apply.add(&first).await.unwrap();
    apply.alter(alteration).await.unwrap();
    apply.add(&second).await.unwrap();
    apply.roll_back().await;
    assert_eq!(rig.rows(&old).await, canonical_rows(&old, &["1|a", "2|b"]));
    assert_eq!(rig.target.known_tables(&rig.pipeline).await.unwrap()[&1], known);
    assert_eq!(rig.target.schema_changes(&rig.pipeline, 9).await.unwrap(), []);

    let mut apply = PartsApply::begin(&mut rig.target, &checkpoint, &tables).await.unwrap();
    apply.add(&first).await.unwrap();
    apply.alter(alteration).await.unwrap();
    apply.add(&second).await.unwrap();
    let checkpoint = apply.commit(Lsn::new(100), 7).await.unwrap();
    assert_eq!(rig.rows(&new).await, canonical_rows(&new, &["2|b|6|y", "3|c|5|~", "4|d|~|x"]));
    assert_eq!(rig.target.known_tables(&rig.pipeline).await.unwrap()[&1], change.known);
    let state = rig.target.known_state(&rig.pipeline).await.unwrap();
    assert_eq!((state.checkpoint.applied_lsn, state.tables[0].shape.as_str()), (Lsn::new(100), "new"));
    let recorded = rig.target.schema_changes(&rig.pipeline, 9).await.unwrap();
    let seen: Vec<_> =
        recorded.iter().map(|change| (change.lsn, change.number, change.kind.as_str())).collect();
    assert_eq!(seen, [(Lsn::new(100), 1, "add-column"), (Lsn::new(100), 0, "add-column")]);
    let statements = recorded[1].statements.as_deref().unwrap();
    assert!(statements.contains("ADD [n] int NULL;\nUPDATE"), "{statements}");

    // The next batch on the same session has staging of the new shape.
    let rows: Vec<_> = (10..60).map(|id| after.insert(&format!("{id}|z|7|~"))).collect();
    let plan = plan_one(&[&after], 200, rows);
    segcdc_sqlserver::apply(&mut rig.target, &plan, &checkpoint).await.unwrap();
    assert_eq!(rig.rows(&new).await.len(), 53);
}

#[tokio::test]
async fn rows_before_and_behind_a_change_have_its_old_and_its_new_shape() {
    alter_between_parts(WritePath::Bulk).await;
}

#[tokio::test]
async fn changes_are_followed_without_bulk_loads() {
    alter_between_parts(WritePath::Insert).await;
}

#[tokio::test]
async fn rows_get_exactly_the_value_that_the_source_gave_them() {
    let mut rig = Rig::new().await;
    let values = [
        (PgType::Bool, "t"),
        (PgType::Int8, "-9223372036854775808"),
        (PgType::Float8, "1e-300"),
        (PgType::Numeric { bounds: Some((12, 2)) }, "-1234567890.12"),
        (PgType::Text, "it's @P1 \u{1f980} "),
        (PgType::Char { length: 3 }, "a  "),
        (PgType::Bytea, "\\x00ff27"),
        (PgType::Uuid, "0189f7a4-5b6c-7d8e-9f00-112233445566"),
        (PgType::Date, "0001-01-01"),
        (PgType::Time, "23:59:59.999999"),
        (PgType::Timestamp, "9999-12-31 23:59:59.999999"),
        (PgType::TimestampTz, "2024-02-29 12:00:00.000001+00"),
        (PgType::Other, "{1,NULL,3}"),
    ];
    let names: Vec<String> = (0..values.len()).map(|number| format!("c{number}")).collect();
    let columns: Vec<(Column<'_>, Option<&str>)> = names
        .iter()
        .zip(&values)
        .map(|(name, (pg_type, value))| ((name.as_str(), pg_type.clone(), false), Some(*value)))
        .collect();
    let (old, _) = table(&mut rig, "every", &["1|a", "2|~"]).await;
    let change = adding(&rig, "every", &columns);
    let checkpoint = rig.checkpoint.clone();
    let mut apply = PartsApply::begin(&mut rig.target, &checkpoint, &[old]).await.unwrap();
    let alteration = Alteration { change: &change, shape: "new", end_lsn: Lsn::new(100) };
    apply.alter(alteration).await.unwrap();
    apply.commit(Lsn::new(100), 7).await.unwrap();
    let texts: Vec<&str> = values.iter().map(|(_, value)| *value).collect();
    let expected = ["1|a", "2|~"].map(|row| format!("{row}|{}", texts.join("|")));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(rig.rows(&change.plan).await, canonical_rows(&change.plan, &expected));
}

#[tokio::test]
async fn refusal_of_a_change_is_its_tables() {
    let mut rig = Rig::new().await;
    let (old, known) = table(&mut rig, "one", &["1|a"]).await;
    let name = segcdc_sqlserver::quote::qualified(&old.target);
    meddle(&rig.config, &format!("ALTER TABLE {name} ADD [n] int NULL")).await;
    let checkpoint = rig.checkpoint.clone();
    let refused = async |rig: &mut Rig, column: Column<'_>, existing: &str| {
        let change = adding(rig, "one", &[(column, Some(existing))]);
        let mut apply = PartsApply::begin(&mut rig.target, &checkpoint, &[Arc::clone(&old)]).await.unwrap();
        let alteration = Alteration { change: &change, shape: "new", end_lsn: Lsn::new(100) };
        apply.alter(alteration).await.unwrap_err()
    };
    let taken = refused(&mut rig, ("n", PgType::Int4, false), "5").await;
    assert_eq!((taken.number(), taken.table_oid()), (Some(2705), Some(1)), "{taken}");
    let infinite = refused(&mut rig, ("d", PgType::Date, false), "infinity").await;
    assert_eq!((infinite.code(), infinite.table_oid()), ("VALUE_UNREPRESENTABLE", Some(1)), "{infinite}");
    assert_eq!(rig.rows(&old).await, canonical_rows(&old, &["1|a"]));
    assert_eq!(rig.target.known_tables(&rig.pipeline).await.unwrap()[&1], known);
    assert_eq!(rig.stored().await, checkpoint);
}
