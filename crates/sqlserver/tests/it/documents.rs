//! Columns of the type `json`: written by way of staging, read back by their value.

use std::sync::Arc;

use segcdc_model::{Fault, PgType};
use segcdc_plan::{Naming, RuleTexts, Rules, TablePlan, table_plan};
use segcdc_sqlserver::apply::apply_staged;
use segcdc_sqlserver::{ExistingRows, LoadProgress, Loader, WritePath, apply, quote};

use crate::fixture;
use crate::rig::{Rig, Row, Stream, meddle, plan_one, tuple};

/// `(id int, d]oc json, text varchar(40))`, keyed by its first `key` columns.
pub(crate) fn plan(naming: &Naming, oid: u32, name: &str, key: usize) -> Arc<TablePlan> {
    let columns = [
        ("id", PgType::Int4, key > 0),
        ("d]oc", PgType::Jsonb, false),
        ("text", PgType::Varchar { length: Some(10) }, false),
    ];
    let rules = RuleTexts {
        types: vec!["jsonb=json".to_owned(), format!("public.\"{name}\".text=varchar(40)")],
        values: vec!["halt".to_owned()],
        ..RuleTexts::default()
    };
    let naming = naming.clone().with_rules(Rules::parse(&rules).unwrap());
    Arc::new(table_plan(&fixture::source(oid, name, key, &columns), &naming).unwrap())
}

/// A table with rows, and with its key.
async fn table(rig: &mut Rig, oid: u32, name: &str, key: usize, rows: &[&str]) -> Arc<TablePlan> {
    let table = plan(&Naming::new(rig.schema.clone()), oid, name, key);
    rig.create(&table).await;
    let rows: Vec<_> = rows.iter().map(|row| tuple(row)).collect();
    assert_eq!(rig.load(&table, &rows).await.unwrap(), rows.len() as u64);
    table
}

/// Rows as they are read back, sorted.
fn rows(rows: &[[&str; 3]]) -> Vec<Row> {
    let field = |field: &&str| (*field != "~").then(|| (*field).to_owned());
    let mut rows: Vec<Row> = rows.iter().map(|row| row.iter().map(field).collect()).collect();
    rows.sort();
    rows
}

const WAYS: [(WritePath, bool); 4] = [
    (WritePath::Bulk, false),
    (WritePath::Bulk, true),
    (WritePath::Insert, false),
    (WritePath::Insert, true),
];

#[tokio::test]
async fn documents_go_every_way() {
    for (path, staged) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let initial = [
            r#"1|{"b": 1.50, "a": "é"}|one"#,
            r#"2|[1e2, {"x": []}]|twö"#,
            "3|~|~",
            r#"4|{"kept": true}|four"#,
            "5|{}|five",
        ];
        let keyed = table(&mut rig, 1, "keyed", 1, &initial).await;
        let same = r#"~|{"v": 1.0}|A"#;
        let bag_rows = [same, same, r#"~|{"v": 1}|a"#, "~|[]|A", "1|~|~", r#"~|{"w": 1}|A"#];
        let bag = table(&mut rig, 2, "bag", 0, &bag_rows).await;
        let (keyed, bag) = (Stream::new(&keyed), Stream::new(&bag));
        let changes = vec![
            keyed.update(r#"1|{"a": "é", "b": 2}|^"#),
            keyed.update("2|~|two"),
            keyed.update("3|[null]|~"),
            keyed.rekey("4|~|~", "40|^|forty"),
            keyed.delete("5|~|~"),
            keyed.insert(r#"6|{"six": 6}|~"#),
            // Four contents, so that rows are numbered where the server can.
            bag.delete_full(same),
            bag.delete_full("~|[]|A"),
            bag.delete_full("1|~|~"),
            bag.update_full(r#"~|{"w": 1}|A"#, r#"~|{"w": 2}|A"#),
        ];
        let plan = plan_one(&[&keyed, &bag], 100, changes);
        let applied = match staged {
            true => apply_staged(&mut rig.target, &plan, &rig.checkpoint).await,
            false => apply(&mut rig.target, &plan, &rig.checkpoint).await,
        };
        rig.checkpoint = applied.unwrap();
        let expected = [
            ["1", r#"{"a":"é","b":2}"#, "one"],
            ["2", "~", "two"],
            ["3", "[null]", "~"],
            ["40", r#"{"kept":true}"#, "forty"],
            ["6", r#"{"six":6}"#, "~"],
        ];
        assert_eq!(rig.rows(&keyed.table).await, rows(&expected), "{path:?} {staged}");
        let left = [["~", r#"{"v":1}"#, "A"], ["~", r#"{"v":1}"#, "a"], ["~", r#"{"w":2}"#, "A"]];
        assert_eq!(rig.rows(&bag.table).await, rows(&left), "{path:?} {staged}");
        // One content at a time; and of one that is not there.
        let plan = plan_one(&[&bag], 200, vec![bag.delete_full(r#"~|{"v": 1.00}|a"#)]);
        rig.checkpoint = apply(&mut rig.target, &plan, &rig.checkpoint).await.unwrap();
        assert_eq!(rig.rows(&bag.table).await, rows(&[left[0], left[2]]));
        let plan = plan_one(&[&bag], 300, vec![bag.delete_full(r#"~|{"v": 3}|A"#)]);
        let error = apply(&mut rig.target, &plan, &rig.checkpoint).await.unwrap_err();
        assert_eq!((error.code(), error.table_oid()), ("TARGET_DIVERGED", Some(2)));
    }
}

#[tokio::test]
async fn what_a_server_spells_otherwise_is_the_same_value() {
    let mut rig = Rig::new().await;
    let table = table(&mut rig, 3, "spelled", 1, &[r#"1|{"b": 1.50, "a": "é"}|x"#, "2|[]|y"]).await;
    let name = quote::qualified(&table.target);
    let same = format!(
        "UPDATE {name} SET [d]]oc] = CAST(N'{{ \"a\" : \"\\u00E9\", \"b\" : 1.5000 }}' AS json) WHERE [id] = 1"
    );
    meddle(&rig.config, &same).await;
    let expected = [["1", r#"{"a":"é","b":1.5}"#, "x"], ["2", "[]", "y"]];
    assert_eq!(rig.rows(&table).await, rows(&expected));
    // What is not of ours, and what has another value, is not.
    let long = format!(
        "UPDATE {name} SET [d]]oc] = CAST(N'[\"' + REPLICATE(CAST(N'é' AS nvarchar(max)), 700000) + N'\"]' AS json), [text] = 'z'"
    );
    meddle(&rig.config, &long).await;
    let found = rig.rows(&table).await;
    assert!(
        found
            .iter()
            .all(|row| row[1].as_ref().is_some_and(|text| text.len() > 1_400_000 || text.contains("long")))
    );
    assert_ne!(found, rows(&expected));
}

#[tokio::test]
async fn a_load_is_all_or_nothing_and_the_session_goes_on() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let table = plan(&Naming::new(rig.schema.clone()), 4, "loads", 1);
        rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
        let good = [r#"1|{"a": 1}|x"#, "2|~|~"].map(tuple);
        for (bad, code) in [
            (r#"3|"scalar"|x"#, "VALUE_UNREPRESENTABLE"),
            ("3|[1e99]|x", "VALUE_UNREPRESENTABLE"),
            ("~|[]|x", "VALUE_NULL"),
            ("3|[]|ééééééééééééééééééééé", "VALUE_TOO_LONG"),
        ] {
            let refused = rig.load(&table, &[&good[..], &[tuple(bad)]].concat()).await.unwrap_err();
            assert_eq!((refused.code(), refused.table_oid()), (code, Some(4)), "{bad}");
            assert_eq!(rig.target.count_rows(&table).await.unwrap(), 0);
        }
        // Several loads of a table run at once, and each leaves its rows.
        let mut other = rig.session().await;
        let mut first = Loader::begin(&mut other, &table, Arc::new(LoadProgress::default())).await.unwrap();
        first.push(&tuple("7|[7]|seven")).await.unwrap();
        assert_eq!(rig.load(&table, &good).await.unwrap(), 2);
        assert_eq!(first.finish().await.unwrap(), 1);
        assert_eq!(rig.load(&table, &[]).await.unwrap(), 0);
        let expected = [["1", r#"{"a":1}"#, "x"], ["2", "~", "~"], ["7", "[7]", "seven"]];
        assert_eq!(rig.rows(&table).await, rows(&expected), "{path:?}");
    }
}
