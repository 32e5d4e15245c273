//! Batches: what they do, and what keeps them from doing it.

use std::sync::Arc;

use segcdc_model::{Fault, Lsn, PgType};
use segcdc_plan::{ApplyPlan, TablePlan};
use segcdc_sqlserver::apply::{MAX_DIRECT_ROWS, apply_direct, apply_staged};
use segcdc_sqlserver::{TargetError, WritePath, apply};

use crate::rig::{Rig, Stream, canonical_rows, meddle, plan_one, tuple};

/// How a batch goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Chosen,
    Staged,
}

/// Both write paths, each with both ways.
const WAYS: [(WritePath, Way); 4] = [
    (WritePath::Bulk, Way::Chosen),
    (WritePath::Bulk, Way::Staged),
    (WritePath::Insert, Way::Chosen),
    (WritePath::Insert, Way::Staged),
];

/// Applies a plan and keeps the checkpoint.
async fn go(rig: &mut Rig, way: Way, plan: &ApplyPlan) -> Result<(), TargetError> {
    let applied = match way {
        Way::Chosen => apply(&mut rig.target, plan, &rig.checkpoint).await,
        Way::Staged => apply_staged(&mut rig.target, plan, &rig.checkpoint).await,
    };
    rig.checkpoint = applied?;
    Ok(())
}

/// `(id integer, code text, note text, n integer)`, keyed by the first two.
async fn keyed(rig: &mut Rig, oid: u32, rows: &[&str]) -> Arc<TablePlan> {
    let code = format!("co{}de", rig.bracket().await);
    let columns = [
        ("id", PgType::Int4, true),
        (&*code, PgType::Text, true),
        ("note", PgType::Text, false),
        ("n", PgType::Int4, false),
    ];
    let table = rig.table(oid, &format!("keyed {oid}"), 2, &columns);
    rig.create(&table).await;
    let rows: Vec<_> = rows.iter().map(|row| tuple(row)).collect();
    rig.load(&table, &rows).await.unwrap();
    table
}

#[tokio::test]
async fn every_kind_of_change_takes_effect() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &["1|a|one|1", "2|a|two|2", "3|a|three|3", "4|a |four|4"]).await;
        let stream = Stream::new(&table);
        let changes = vec![
            stream.insert("5|e|five|~"),
            stream.update("2|a|^|22"),
            stream.update("3|a|~|33"),
            stream.delete("1|a|~|~"),
            stream.rekey("4|a |~|~", "4|A|^|44"),
        ];
        let plan = plan_one(&[&stream], 100, changes);
        go(&mut rig, way, &plan).await.unwrap();
        let expected = canonical_rows(&table, &["2|a|two|22", "3|a|~|33", "4|A|four|44", "5|e|five|~"]);
        assert_eq!(rig.rows(&table).await, expected, "{path:?} {way:?}");
        assert_eq!(rig.stored().await, rig.checkpoint);
        assert_eq!((rig.checkpoint.applied_lsn, rig.checkpoint.batch_seq), (Lsn::new(100), 1));
        let state = rig.target.load_state(&rig.pipeline).await.unwrap().unwrap();
        assert_eq!(
            (state.transactions_applied, state.changes_applied, state.commit_time_us),
            (1, 5, Some(100))
        );
        let plan = plan_one(&[&stream], 200, vec![stream.truncate(), stream.insert("9|z|nine|9")]);
        go(&mut rig, way, &plan).await.unwrap();
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["9|z|nine|9"]));
    }
}

#[tokio::test]
async fn batch_without_effect_moves_the_checkpoint() {
    let mut rig = Rig::new().await;
    let plan = plan_one(&[], 50, Vec::new());
    go(&mut rig, Way::Chosen, &plan).await.unwrap();
    assert_eq!(rig.stored().await, rig.checkpoint);
    assert_eq!(rig.checkpoint.applied_lsn, Lsn::new(50));
    let state = rig.target.load_state(&rig.pipeline).await.unwrap().unwrap();
    assert_eq!((state.transactions_applied, state.changes_applied), (1, 0));
}

#[tokio::test]
async fn equal_rows_without_a_key_are_removed_one_by_one() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let columns = [
            ("a", PgType::Int4, false),
            ("t", PgType::Text, false),
            ("b", PgType::Bytea, false),
            ("f", PgType::Float8, false),
        ];
        let table = rig.table(3, "bag", 0, &columns);
        rig.create(&table).await;
        let rows =
            ["1|x|\\x00|0.5"; 4].into_iter().chain(["1|x |\\x00|0.5", "1|X|\\x00|0.5", "1|x|\\x0000|0.5"]);
        let rows: Vec<_> = rows.chain(["~|~|~|~"; 3]).collect();
        let tuples: Vec<_> = rows.iter().map(|row| tuple(row)).collect();
        rig.load(&table, &tuples).await.unwrap();
        let stream = Stream::new(&table);
        let changes = vec![
            stream.delete_full("1|x|\\x00|0.5"),
            stream.delete_full("1|x|\\x00|0.5"),
            stream.delete_full("~|~|~|~"),
            stream.update_full("~|~|~|~", "2|y|~|~"),
            stream.delete_full("1|x|\\x0000|0.5"),
        ];
        let plan = plan_one(&[&stream], 100, changes);
        go(&mut rig, way, &plan).await.unwrap();
        let left =
            ["1|x|\\x00|0.5", "1|x|\\x00|0.5", "1|x |\\x00|0.5", "1|X|\\x00|0.5", "~|~|~|~", "2|y|~|~"];
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &left), "{path:?} {way:?}");
        let plan = plan_one(&[&stream], 200, vec![stream.delete_full("7|x|~|~")]);
        let error = go(&mut rig, way, &plan).await.unwrap_err();
        assert_eq!((error.code(), error.table_oid()), ("TARGET_DIVERGED", Some(3)));
    }
}

#[tokio::test]
async fn process_that_lost_the_fence_changes_nothing() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &["1|a|one|1"]).await;
        let before = rig.rows(&table).await;
        let stream = Stream::new(&table);
        // The batch would collide if it came as far: the fence has to speak first.
        let plan = plan_one(&[&stream], 100, vec![stream.insert("1|a|two|2")]);
        let mut other = rig.session().await;
        let taken = other.take_over(&rig.pipeline, "other").await.unwrap();
        assert_eq!(go(&mut rig, way, &plan).await.unwrap_err().code(), "FENCED");
        let empty = plan_one(&[], 100, Vec::new());
        assert_eq!(go(&mut rig, way, &empty).await.unwrap_err().code(), "FENCED");
        assert_eq!((rig.rows(&table).await, rig.stored().await), (before, taken.clone()));
        // A checkpoint that somebody moved is no better.
        rig.checkpoint = segcdc_model::Checkpoint { applied_lsn: Lsn::new(7), ..taken };
        assert_eq!(go(&mut rig, way, &plan).await.unwrap_err().code(), "FENCED");
    }
}

#[tokio::test]
async fn rows_that_somebody_else_removed_stop_the_batch() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &["1|a|one|1", "2|a|two|2"]).await;
        let other = keyed(&mut rig, 2, &["1|a|one|1"]).await;
        let name = segcdc_sqlserver::quote::qualified(&table.target);
        meddle(&rig.config, &format!("DELETE FROM {name} WHERE [id] = 2")).await;
        let (stream, second) = (Stream::new(&table), Stream::new(&other));
        let statements = [
            (stream.delete("2|a|~|~"), "DELETE"),
            (stream.update("2|a|two|22"), "UPDATE"),
            (stream.rekey("2|a|~|~", "3|a|^|3"), "fill"),
        ];
        for (change, expected) in statements {
            let changes = vec![second.insert("5|e|five|5"), stream.update("1|a|uno|1"), change];
            let plan = plan_one(&[&stream, &second], 100, changes);
            let error = go(&mut rig, way, &plan).await.unwrap_err();
            let TargetError::Diverged { statement, found, oid, .. } = error else { panic!("{error}") };
            assert_eq!((statement, oid), (expected, 1), "{path:?} {way:?}");
            assert!(found < 2);
        }
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["1|a|one|1"]));
        assert_eq!(rig.rows(&other).await, canonical_rows(&other, &["1|a|one|1"]));
        assert_eq!(rig.stored().await, rig.checkpoint);
        // The session is good for the next batch.
        let plan = plan_one(&[&stream], 100, vec![stream.delete("1|a|~|~")]);
        go(&mut rig, way, &plan).await.unwrap();
    }
}

#[tokio::test]
async fn keys_that_the_target_cannot_tell_apart_name_their_table() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &["1|sekret|one|1"]).await;
        let other = keyed(&mut rig, 2, &[]).await;
        let (stream, second) = (Stream::new(&table), Stream::new(&other));
        // Case differs: another key. A trailing blank: the same key to the server.
        let plan = plan_one(&[&stream], 100, vec![stream.insert("1|Sekret|two|2")]);
        go(&mut rig, way, &plan).await.unwrap();
        let changes = vec![second.insert("1|a|one|1"), stream.insert("1|sekret |two|2")];
        let plan = plan_one(&[&stream, &second], 200, changes);
        let error = go(&mut rig, way, &plan).await.unwrap_err();
        assert_eq!((error.code(), error.table_oid()), ("KEY_COLLISION", Some(1)), "{path:?} {way:?}");
        let text = segcdc_model::fault::chain(&error);
        assert!(text.contains("keyed 1") && !text.contains("sekret"), "{text}");
        assert_eq!(rig.rows(&table).await.len(), 2);
        assert_eq!(rig.rows(&other).await.len(), 0);
        assert_eq!(rig.stored().await, rig.checkpoint);
    }
}

#[tokio::test]
async fn key_with_another_padding_is_another_key() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &["1|a|one|1"]).await;
        let stream = Stream::new(&table);
        // The server holds 'a' and 'a ' equal; the source does not, so this row is not there.
        for change in [
            stream.delete("1|a |~|~"),
            stream.update("1|a |uno|1"),
            stream.rekey("1|a |~|~", "2|a|^|1"),
            stream.rekey("1|A|~|~", "2|a|uno|1"),
        ] {
            let plan = plan_one(&[&stream], 100, vec![change]);
            let error = go(&mut rig, way, &plan).await.unwrap_err();
            assert_eq!(error.code(), "TARGET_DIVERGED", "{path:?} {way:?}: {error}");
        }
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["1|a|one|1"]));
    }
}

#[tokio::test]
async fn value_that_does_not_fit_is_refused_before_anything_is_sent() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let columns = [
            ("k", PgType::Text, true),
            ("price", PgType::Numeric { bounds: Some((4, 2)) }, false),
            ("day", PgType::Date, false),
            ("name", PgType::Varchar { length: Some(2) }, false),
            ("must", PgType::Int4, true),
        ];
        let table = rig.table(4, "strict", 1, &columns);
        rig.create(&table).await;
        let stream = Stream::new(&table);
        let long = "k".repeat(451);
        let cases = [
            ("a|NaN|~|~|1".to_owned(), "VALUE_UNREPRESENTABLE", "price"),
            ("a|123.45|~|~|1".to_owned(), "VALUE_UNREPRESENTABLE", "price"),
            ("a|1.005|~|~|1".to_owned(), "VALUE_UNREPRESENTABLE", "price"),
            ("a|~|infinity|~|1".to_owned(), "VALUE_UNREPRESENTABLE", "day"),
            ("a|~|0044-03-15 BC|~|1".to_owned(), "VALUE_UNREPRESENTABLE", "day"),
            ("a|~|~|abcde|1".to_owned(), "VALUE_TOO_LONG", "name"),
            ("a|~|~|~|~".to_owned(), "VALUE_NULL", "must"),
            ("a|~|~|~|x".to_owned(), "VALUE_MALFORMED", "must"),
            (format!("{long}|~|~|~|1"), "KEY_TOO_LONG", "k"),
        ];
        for (row, code, column) in cases {
            let plan = plan_one(&[&stream], 100, vec![stream.insert("good|~|~|~|1"), stream.insert(&row)]);
            let error = go(&mut rig, way, &plan).await.unwrap_err();
            assert_eq!((error.code(), error.table_oid()), (code, Some(4)), "{error}");
            let text = error.to_string();
            assert!(text.contains("public.strict") && text.contains(&format!("\"{column}\"")), "{text}");
            assert!(!text.contains(&long), "{text}");
        }
        assert_eq!(rig.rows(&table).await.len(), 0);
        assert_eq!(rig.stored().await, rig.checkpoint);
        let plan = plan_one(&[&stream], 100, vec![stream.insert("b|12.5|2024-02-29|🦀🦀|1")]);
        go(&mut rig, way, &plan).await.unwrap();
        assert_eq!(rig.rows(&table).await.len(), 1);
    }
}

#[tokio::test]
async fn refusals_of_the_server_name_the_table() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let (table, other) = (keyed(&mut rig, 1, &[]).await, keyed(&mut rig, 2, &[]).await);
        let (stream, second) = (Stream::new(&table), Stream::new(&other));
        let name = segcdc_sqlserver::quote::qualified(&other.target);
        meddle(&rig.config, &format!("DROP TABLE {name}")).await;
        let plan =
            plan_one(&[&stream, &second], 100, vec![stream.insert("1|a|x|1"), second.insert("1|a|x|1")]);
        let error = go(&mut rig, way, &plan).await.unwrap_err();
        assert_eq!(
            (error.code(), error.table_oid()),
            ("TARGET_SCHEMA_DRIFT", Some(2)),
            "{path:?} {way:?} {error}"
        );
        assert_eq!(rig.rows(&table).await.len(), 0);
        let plan = plan_one(&[&stream], 100, vec![stream.insert("1|a|x|1")]);
        go(&mut rig, way, &plan).await.unwrap();
    }
}

#[tokio::test]
async fn staging_follows_a_table_that_gets_another_shape() {
    let mut rig = Rig::new().await;
    let columns = [("id", PgType::Int4, true), ("a", PgType::Int4, false)];
    let narrow = rig.table(1, "shape", 1, &columns);
    rig.create(&narrow).await;
    let stream = Stream::new(&narrow);
    go(&mut rig, Way::Staged, &plan_one(&[&stream], 100, vec![stream.insert("1|5")])).await.unwrap();
    let name = segcdc_sqlserver::quote::qualified(&narrow.target);
    meddle(&rig.config, &format!("ALTER TABLE {name} ADD [b] nvarchar(max) NULL")).await;
    let columns = [("id", PgType::Int4, true), ("a", PgType::Int4, false), ("b", PgType::Text, false)];
    let wide = rig.table(1, "shape", 1, &columns);
    let stream = Stream::new(&wide);
    go(&mut rig, Way::Staged, &plan_one(&[&stream], 200, vec![stream.insert("2|6|x")])).await.unwrap();
    assert_eq!(rig.rows(&wide).await, canonical_rows(&wide, &["1|5|~", "2|6|x"]));
}

#[tokio::test]
async fn batches_larger_than_one_request_arrive_whole() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &[]).await;
        let bag = rig.table(2, "bag", 0, &[("a", PgType::Int4, false), ("b", PgType::Text, false)]);
        rig.create(&bag).await;
        let (stream, second) = (Stream::new(&table), Stream::new(&bag));
        let rows: Vec<String> = (0..2_500).map(|id| format!("{id}|a|note {id}|{id}")).collect();
        let mut changes: Vec<_> = rows.iter().map(|row| stream.insert(row)).collect();
        changes.extend((0..450).map(|a| second.insert(&format!("{a}|x"))));
        go(&mut rig, Way::Chosen, &plan_one(&[&stream, &second], 100, changes)).await.unwrap();
        assert_eq!(rig.rows(&table).await.len(), 2_500);
        let mut changes: Vec<_> = (0..1_200).map(|id| stream.delete(&format!("{id}|a|~|~"))).collect();
        changes.extend((1_200..2_500).map(|id| stream.update(&format!("{id}|a|^|0"))));
        changes.extend((0..450).map(|a| second.delete_full(&format!("{a}|x"))));
        go(&mut rig, Way::Chosen, &plan_one(&[&stream, &second], 200, changes)).await.unwrap();
        let found = rig.rows(&table).await;
        assert_eq!(found.len(), 1_300);
        assert!(found.iter().all(|row| row[3].as_deref() == Some("0") && row[2].is_some()));
        assert_eq!(rig.rows(&bag).await.len(), 0);
    }
}

#[tokio::test]
async fn one_request_takes_more_rows_than_are_chosen_for_it_or_sends_nothing() {
    let mut rig = Rig::new().await;
    let table = keyed(&mut rig, 1, &[]).await;
    let stream = Stream::new(&table);
    let rows = |from: usize, count: usize| {
        (from..from + count).map(|id| stream.insert(&format!("{id}|a|note|{id}"))).collect::<Vec<_>>()
    };
    let few = plan_one(&[&stream], 100, rows(0, MAX_DIRECT_ROWS + 1));
    let applied = apply_direct(&mut rig.target, &few, &rig.checkpoint).await.unwrap();
    rig.checkpoint = applied.expect("they fit");
    let many = plan_one(&[&stream], 200, rows(1_000, 1_000));
    assert_eq!(apply_direct(&mut rig.target, &many, &rig.checkpoint).await.unwrap(), None);
    let twice = plan_one(&[&stream], 200, vec![stream.delete("7000|a|~|~")]);
    let error = apply_direct(&mut rig.target, &twice, &rig.checkpoint).await.unwrap_err();
    assert!(matches!(error, TargetError::Answer { .. }), "{error}");
    assert_eq!(rig.rows(&table).await.len(), MAX_DIRECT_ROWS + 1);
    assert_eq!(rig.stored().await, rig.checkpoint);
}

#[tokio::test]
async fn tables_as_wide_as_they_can_be_are_applied_to() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let names: Vec<String> = (1..=1_021).map(|number| format!("c{number}")).collect();
        let mut columns: Vec<_> = names.iter().map(|name| (name.as_str(), PgType::Int2, false)).collect();
        columns[0].2 = true;
        let table = rig.table(1, "wide", 1, &columns);
        rig.create(&table).await;
        let stream = Stream::new(&table);
        let row = |key: &str| format!("{key}{}", "|7".repeat(1_020));
        let changes = vec![stream.insert(&row("1")), stream.insert(&row("2"))];
        go(&mut rig, way, &plan_one(&[&stream], 100, changes)).await.unwrap();
        go(&mut rig, way, &plan_one(&[&stream], 200, vec![stream.delete(&row("1"))])).await.unwrap();
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &[&row("2")]), "{path:?} {way:?}");
    }
}

#[tokio::test]
async fn batch_that_is_too_large_to_be_encoded_ahead_arrives_whole() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let table = keyed(&mut rig, 1, &[]).await;
        let stream = Stream::new(&table);
        let note = "0123456789abcdef".repeat(4_096);
        let mut changes: Vec<_> =
            (0..150).map(|id| stream.insert(&format!("{id}|a|{note}{id}|{id}"))).collect();
        go(&mut rig, Way::Chosen, &plan_one(&[&stream], 100, changes.clone())).await.unwrap();
        let found = rig.rows(&table).await;
        assert_eq!(found.len(), 150);
        let whole = |row: &crate::rig::Row| row[2] == row[0].as_ref().map(|id| format!("{note}{id}"));
        assert!(found.iter().all(whole), "{path:?}");
        changes.push(stream.insert("x|a|~|~"));
        let plan = plan_one(&[&stream], 200, vec![stream.truncate()].into_iter().chain(changes).collect());
        assert_eq!(go(&mut rig, Way::Chosen, &plan).await.unwrap_err().code(), "VALUE_MALFORMED");
        assert_eq!(rig.target.count_rows(&table).await.unwrap(), 150);
        assert_eq!(rig.stored().await, rig.checkpoint);
    }
}

#[tokio::test]
async fn keys_that_fill_an_index_to_the_last_byte_fit() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let columns = [("flag", PgType::Bool, true), ("k", PgType::Text, true), ("n", PgType::Int4, true)];
        let table = rig.table(1, "full key", 3, &columns);
        rig.create(&table).await;
        let stream = Stream::new(&table);
        // 900 bytes less 1 and 4: 447 units of text.
        let row = |length: usize| format!("t|{}|1", "k".repeat(length));
        rig.load(&table, &[tuple(&row(447))]).await.unwrap();
        let change = stream.rekey(&row(447), &format!("f|{}|1", "ä".repeat(447)));
        go(&mut rig, way, &plan_one(&[&stream], 100, vec![change])).await.unwrap();
        assert_eq!(rig.rows(&table).await[0][0].as_deref(), Some("false"));
        let plan = plan_one(&[&stream], 200, vec![stream.insert(&row(448))]);
        assert_eq!(go(&mut rig, way, &plan).await.unwrap_err().code(), "KEY_TOO_LONG");
    }
}
