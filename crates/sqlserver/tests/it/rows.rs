//! Rows read back by range and by key.

use segcdc_model::{Fault, PgType};
use segcdc_sqlserver::{Selection, rows};

use crate::rig::{Rig, canonical_rows, tuple};

#[tokio::test]
async fn integer_keys_are_selected_by_range() {
    let mut rig = Rig::new().await;
    let table = rig.table(1, "t", 1, &[("id", PgType::Int8, true), ("a", PgType::Text, false)]);
    rig.create(&table).await;
    let all = ["-5|a", "0|~", "1|", "7|x", "9223372036854775807|max"];
    let tuples: Vec<_> = all.iter().map(|row| tuple(row)).collect();
    rig.load(&table, &tuples).await.unwrap();
    let range = |from, to| Selection::KeyRange { from, to };
    for (selection, expected) in [
        (Selection::All, &all[..]),
        (range(None, None), &all[..]),
        (range(Some(0), Some(7)), &all[1..3]),
        (range(Some(7), None), &all[3..]),
        (range(None, Some(0)), &all[..1]),
        (range(Some(2), Some(7)), &[]),
    ] {
        let found = rig.select(&table, selection).await.unwrap();
        assert_eq!(found, canonical_rows(&table, expected), "{selection:?}");
        let counted = rows::count(&mut rig.target, &table, selection).await.unwrap();
        assert_eq!(counted, expected.len() as u64);
    }
}

#[tokio::test]
async fn keys_of_every_type_find_their_rows() {
    let mut rig = Rig::new().await;
    let cases = [
        (PgType::Bool, "t", "f"),
        (PgType::Int4, "-5", "6"),
        (PgType::Float8, "0.1", "1e+100"),
        (PgType::Numeric { bounds: Some((10, 4)) }, "1.5000", "-2.0001"),
        (PgType::Text, "it's ", "it's"),
        (PgType::Bytea, "\\x00ff", "\\x00ff00"),
        (PgType::Uuid, "00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeefe"),
        (PgType::Date, "2024-02-29", "0001-01-01"),
        (PgType::Time, "10:20:30", "10:20:30.5"),
        (PgType::Timestamp, "2024-02-29 10:20:30.123456", "2024-02-29 00:00:00"),
        (PgType::TimestampTz, "2024-02-29 10:20:30.12+00", "2024-02-29 10:20:30+00"),
    ];
    for (oid, (pg_type, wanted, other)) in (1..).zip(cases) {
        let columns = [("k", pg_type.clone(), true), ("l", PgType::Text, true)];
        let table = rig.table(oid, &format!("key {oid}"), 2, &columns);
        rig.target.prepare_table(&table, segcdc_sqlserver::ExistingRows::Refuse).await.unwrap();
        let row = |key: &str| format!("{key}|x");
        rig.load(&table, &[tuple(&row(wanted)), tuple(&row(other))]).await.unwrap();
        let expected = canonical_rows(&table, &[&row(wanted)]);
        let key: Vec<String> = expected[0].iter().flatten().cloned().collect();
        let absent = vec![key[0].clone(), "y".to_owned()];
        let found = rig.select(&table, Selection::Keys(&[key, absent])).await.unwrap();
        assert_eq!(found, expected, "{pg_type:?}");
    }
}

#[tokio::test]
async fn long_lists_of_keys_are_read_in_parts() {
    let mut rig = Rig::new().await;
    let table = rig.table(1, "many", 1, &[("id", PgType::Int4, true)]);
    rig.create(&table).await;
    let tuples: Vec<_> = (0..500).map(|id| tuple(&id.to_string())).collect();
    rig.load(&table, &tuples).await.unwrap();
    let keys: Vec<Vec<String>> = (250..750).map(|id: i32| vec![id.to_string()]).collect();
    let counted = rows::count(&mut rig.target, &table, Selection::Keys(&keys)).await.unwrap();
    assert_eq!(counted, 250);
}

#[tokio::test]
async fn selections_that_do_not_fit_the_key_are_refused() {
    let mut rig = Rig::new().await;
    let table = rig.table(1, "text", 1, &[("k", PgType::Text, true)]);
    rig.create(&table).await;
    let range = Selection::KeyRange { from: Some(1), to: None };
    assert_eq!(rig.select(&table, range).await.unwrap_err().code(), "TARGET_ANSWER");
    let two = [vec!["a".to_owned(), "b".to_owned()]];
    assert_eq!(rig.select(&table, Selection::Keys(&two)).await.unwrap_err().code(), "TARGET_ANSWER");
    let bag = rig.table(2, "bag", 0, &[("k", PgType::Text, false)]);
    let key = [vec!["a".to_owned()]];
    assert_eq!(rig.select(&bag, Selection::Keys(&key)).await.unwrap_err().code(), "TARGET_ANSWER");
}
