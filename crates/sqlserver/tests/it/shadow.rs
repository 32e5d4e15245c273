//! Tables that are copied beside the one in use, and wishes for tables.

use std::sync::Arc;

use segcdc_model::{Checkpoint, Fault, PgType, QualifiedName};
use segcdc_plan::{TablePlan, TargetMode};
use segcdc_sqlserver::{ExistingRows, TableWish, Target, WishOutcome, quote, sql};

use crate::golden::{bag, hostile, paragraphs};
use crate::rig::{Rig, canonical_rows, meddle, tuple};

fn wish(id: &str) -> TableWish {
    TableWish {
        id: id.to_owned(),
        source_oid: 16_400,
        source: QualifiedName::new("public", "we]ird'"),
        wish: "{\"verb\":\"pause\"}".to_owned(),
        outcome: WishOutcome::Asked,
        detail: String::new(),
        asked_at_us: 0,
    }
}

#[test]
fn rows_and_places_of_tables() {
    let mut statements = sql::shadow::merge(&hostile());
    statements.extend(sql::shadow::merge(&bag()));
    statements.extend(sql::shadow::swap(&hostile(), &hostile().target));
    statements.push(sql::shadow::losses(7));
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn wishes_for_tables() {
    let statements = [
        sql::table_wish::CREATE_TABLE_WISH.to_owned(),
        sql::table_wish::insert("it's", &wish("i'd")),
        sql::table_wish::delete_old("it's"),
        sql::table_wish::select("it's"),
        sql::table_wish::select_open("it's"),
        sql::table_wish::settle("it's", "i'd", WishOutcome::Refused, "it can't"),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[tokio::test]
async fn a_table_gets_the_rows_of_its_shadow_or_its_place() {
    let mut rig = Rig::new().await;
    let columns = [("k", PgType::Text, true), ("n", PgType::Int4, false), ("note", PgType::Text, false)];
    let modes = [(20, 1, TargetMode::Mirror), (21, 0, TargetMode::Mirror), (22, 1, TargetMode::SoftDelete)];
    for (oid, keys, mode) in modes {
        let table = rig.table(oid, &format!("shadowed_{oid}"), keys, &columns);
        let table = Arc::new(TablePlan { mode, ..TablePlan::clone(&table) });
        let old = ["a|1|same", "b|2|old", "gone|3|x"].map(tuple);
        let new = ["a|1|same", "A|1|same", "b|2|new", "c|4|~"].map(tuple);
        rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
        rig.load(&table, &old).await.unwrap();
        rig.target.build_key(&table).await.unwrap();
        let shadow = Arc::new(rig.target.make_shadow(&table).await.unwrap());
        // Whatever a dead process has left.
        rig.load(&shadow, &old).await.unwrap();
        let shadow_again = Arc::new(rig.target.make_shadow(&table).await.unwrap());
        assert_eq!(shadow.target, shadow_again.target);
        rig.load(&shadow, &new).await.unwrap();
        rig.target.build_key(&shadow).await.unwrap();
        let stale = Checkpoint { epoch: rig.checkpoint.epoch - 1, ..rig.checkpoint.clone() };
        for refused in [
            rig.target.merge_shadow(&stale, &table).await,
            rig.target.swap_shadow(&stale, &table, &table.target).await,
        ] {
            assert_eq!(refused.unwrap_err().code(), "FENCED");
        }
        assert_eq!(rig.rows(&table).await.len(), 3, "what was refused has changed nothing");
        rig.target.merge_shadow(&rig.checkpoint, &table).await.unwrap();
        let expected = canonical_rows(&table, &["a|1|same", "A|1|same", "b|2|new", "c|4|~"]);
        assert_eq!(rig.rows(&table).await, expected);
        if table.marker().is_some() {
            let all = TablePlan { mode: TargetMode::Mirror, ..TablePlan::clone(&table) };
            assert_eq!(rig.rows(&all).await.len(), expected.len() + 1, "what is gone is marked");
            // It is there again.
            let shadow = Arc::new(rig.target.make_shadow(&table).await.unwrap());
            rig.load(&shadow, &["gone|4|y"].map(tuple)).await.unwrap();
            rig.target.build_key(&shadow).await.unwrap();
            rig.target.merge_shadow(&rig.checkpoint, &table).await.unwrap();
            assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["gone|4|y"]));
            assert_eq!(rig.rows(&all).await.len(), expected.len() + 1);
        }
        assert_eq!(rig.target.existing_table(&shadow.target).await.unwrap(), None);

        let shadow = Arc::new(rig.target.make_shadow(&table).await.unwrap());
        rig.load(&shadow, &["z|9|only"].map(tuple)).await.unwrap();
        rig.target.build_key(&shadow).await.unwrap();
        rig.target.swap_shadow(&rig.checkpoint, &table, &table.target).await.unwrap();
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["z|9|only"]));
        assert_eq!(rig.target.existing_table(&shadow.target).await.unwrap(), None);
        let existing = rig.target.existing_table(&table.target).await.unwrap().unwrap();
        assert_eq!(existing.key.len(), keys);
    }
}

#[tokio::test]
async fn what_a_swap_would_lose_is_named() {
    let mut rig = Rig::new().await;
    let table = rig.table(30, "has_much", 1, &[("k", PgType::Int4, true), ("n", PgType::Int4, false)]);
    rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    rig.target.build_key(&table).await.unwrap();
    let id = rig.target.existing_table(&table.target).await.unwrap().unwrap().object_id;
    assert_eq!(rig.target.losses_by_swap(id).await.unwrap(), Vec::<String>::new());
    let name = quote::qualified(&table.target);
    let other = quote::qualified(&QualifiedName::new(rig.schema.clone(), "refers"));
    for statement in [
        format!("CREATE INDEX [by n] ON {name} ([n])"),
        format!("ALTER TABLE {name} ADD CONSTRAINT [positive] CHECK ([n] > 0)"),
        format!("CREATE TABLE {other} ([k] int NOT NULL CONSTRAINT [to it] REFERENCES {name} ([k]))"),
    ] {
        meddle(&rig.config, &statement).await;
    }
    let mut losses = rig.target.losses_by_swap(id).await.unwrap();
    losses.sort();
    assert_eq!(losses, ["check constraint positive", "foreign key to it", "index by n"]);
}

#[tokio::test]
async fn wishes_are_read_in_order_and_settled_by_the_owner() {
    let mut rig = Rig::new().await;
    let (pipeline, checkpoint) = (rig.pipeline.clone(), rig.checkpoint.clone());
    rig.target.ensure_table_wishes().await.unwrap();
    rig.target.ensure_table_wishes().await.unwrap();
    let mut other = Target::connect(&rig.config).await.unwrap();
    other.add_table_wishes(&pipeline, &[wish("2")]).await.unwrap();
    other.add_table_wishes(&pipeline, &[wish("1")]).await.unwrap();
    let ids = |wishes: &[TableWish]| wishes.iter().map(|wish| wish.id.clone()).collect::<Vec<_>>();
    let open = rig.target.open_table_wishes(&pipeline).await.unwrap();
    assert_eq!(ids(&open), ["2", "1"]);
    assert_eq!(TableWish { asked_at_us: 0, ..open[0].clone() }, wish("2"));
    let stale = Checkpoint { epoch: checkpoint.epoch - 1, ..checkpoint.clone() };
    let refused = rig.target.settle_wish(&stale, "2", WishOutcome::Done, "").await;
    assert_eq!(refused.unwrap_err().code(), "FENCED");
    rig.target.settle_wish(&checkpoint, "2", WishOutcome::Done, "so it is").await.unwrap();
    rig.target.settle_wish(&checkpoint, "1", WishOutcome::Begun, "").await.unwrap();
    assert_eq!(ids(&rig.target.open_table_wishes(&pipeline).await.unwrap()), ["1"]);
    let all = other.table_wishes(&pipeline).await.unwrap();
    assert_eq!((all[0].outcome, all[0].detail.as_str()), (WishOutcome::Done, "so it is"));
    assert!(all[0].outcome.is_settled() && !all[1].outcome.is_settled());
    assert_eq!(other.table_wishes("another").await.unwrap(), Vec::new());
}
