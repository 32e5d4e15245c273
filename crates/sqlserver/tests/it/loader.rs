//! Loads: every type with its edges, by both write paths.

use std::sync::Arc;

use segcdc_model::{Fault, PgType, Tuple};
use segcdc_sqlserver::{ExistingRows, LoadProgress, Loader, WritePath, quote};

use crate::rig::{Cell, Rig, canonical_row, canonical_rows, meddle, tuple, tuple_of};

/// Text forms of PostgreSQL for each type, at the edges of what the target can hold.
fn edges() -> Vec<(PgType, Vec<String>)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let long_texts = || {
        let lengths = [0, 1, 3_999, 4_000, 4_001, 8_000, 8_001, 32_768, 70_000];
        let mut texts: Vec<String> = lengths.iter().map(|length| "ä".repeat(*length)).collect();
        texts.extend([
            "🦀".repeat(2_000),
            "🦀".repeat(2_001),
            " ".to_owned(),
            "a ".to_owned(),
            "\t\r\n".to_owned(),
        ]);
        texts
    };
    let long_bytes = [0, 1, 7_999, 8_000, 8_001, 65_535, 65_536, 200_000];
    let long_bytes = long_bytes.iter().map(|length| format!("\\x{}", "00ff".repeat(*length / 2))).collect();
    let big = "9".repeat(38);
    vec![
        (PgType::Bool, texts(&["t", "f"])),
        (PgType::Int2, texts(&["-32768", "0", "32767"])),
        (PgType::Int4, texts(&["-2147483648", "-1", "2147483647"])),
        (PgType::Int8, texts(&["-9223372036854775808", "0", "9223372036854775807"])),
        (PgType::Oid, texts(&["0", "4294967295"])),
        (PgType::Float4, texts(&["0", "-1.5", "3.4028235e+38", "1e-37"])),
        (PgType::Float8, texts(&["0", "0.1", "-1.7976931348623157e+308", "2.2250738585072014e-308"])),
        (PgType::Numeric { bounds: Some((38, 0)) }, vec![big.clone(), format!("-{big}"), "0".to_owned()]),
        (PgType::Numeric { bounds: Some((38, 38)) }, vec![format!("0.{big}"), "0.1".to_owned()]),
        (PgType::Numeric { bounds: Some((9, 2)) }, texts(&["1234567.89", "-0.01", "0.00"])),
        (
            PgType::Numeric { bounds: None },
            texts(&["99999999999999999999.999999999999999999", "-0.000000000000000001", "5"]),
        ),
        (PgType::Text, long_texts()),
        (PgType::Varchar { length: Some(2_000) }, vec!["🦀".repeat(2_000), String::new(), "x".repeat(2_000)]),
        (PgType::Varchar { length: Some(2_001) }, vec!["🦀".repeat(2_001)]),
        (PgType::Char { length: 5 }, texts(&["a    ", "     ", "abcde"])),
        (PgType::Name, vec!["n".repeat(63)]),
        (PgType::Bytea, long_bytes),
        (
            PgType::Uuid,
            texts(&["00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
        ),
        (PgType::Json, texts(&["{\"a\":  1}", "null"])),
        (PgType::Jsonb, texts(&["{\"a\": \"\\u0001\"}"])),
        (PgType::Date, texts(&["0001-01-01", "1582-10-15", "2000-02-29", "9999-12-31"])),
        (PgType::Time, texts(&["00:00:00", "23:59:59.999999", "12:00:00.5"])),
        (
            PgType::Timestamp,
            texts(&["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1999-12-31 23:59:59"]),
        ),
        (PgType::TimestampTz, texts(&["0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"])),
        (PgType::Enum, texts(&["happy"])),
        (PgType::Other, texts(&["{1,2,NULL}", "[1,5)"])),
    ]
}

#[tokio::test]
async fn every_type_arrives_as_it_was() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let value = format!("v{}alue", rig.bracket().await);
        for (number, (pg_type, texts)) in (1..).zip(edges()) {
            let columns = [
                ("id", PgType::Int4, true),
                (&*value, pg_type.clone(), false),
                ("w", pg_type.clone(), false),
            ];
            let table = rig.table(number, &format!("type {number}"), 1, &columns);
            rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
            let mut rows: Vec<Tuple> = vec![tuple("0|~|~")];
            for (id, text) in (1..).zip(&texts) {
                let value = || Cell::Text(text.clone());
                rows.push(tuple_of(&[Cell::Text(format!("{id}")), value(), Cell::Null]));
                rows.push(tuple_of(&[Cell::Text(format!("-{id}")), Cell::Null, value()]));
            }
            assert_eq!(rig.load(&table, &rows).await.unwrap(), rows.len() as u64);
            rig.target.build_key(&table).await.unwrap();
            let mut expected: Vec<_> = rows.iter().map(|row| canonical_row(&table, row)).collect();
            expected.sort();
            let found = rig.rows(&table).await;
            assert!(found == expected, "{pg_type:?} by {path:?}: {}", first_difference(&found, &expected));
        }
    }
}

/// The first difference, cut to a length that can be read.
fn first_difference(found: &[crate::rig::Row], expected: &[crate::rig::Row]) -> String {
    let short = |row: Option<&crate::rig::Row>| {
        let field = |field: &Option<String>| {
            field.as_ref().map(|text| (text.len(), text.chars().take(60).collect::<String>()))
        };
        row.map(|row| row.iter().map(field).collect::<Vec<_>>())
    };
    let differs =
        (0..found.len().max(expected.len())).find(|index| found.get(*index) != expected.get(*index));
    differs.map_or(String::new(), |index| {
        format!("row {index}: found {:?}, expected {:?}", short(found.get(index)), short(expected.get(index)))
    })
}

#[tokio::test]
async fn refused_value_leaves_nothing_and_a_usable_session() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let columns = [
            ("k", PgType::Text, true),
            ("l", PgType::Int4, true),
            ("f", PgType::Float8, false),
            ("t", PgType::Time, false),
        ];
        let table = rig.table(7, "refused", 2, &columns);
        rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
        // Enough to be sent before the bad row comes.
        let key = "key ".repeat(50);
        let mut good: Vec<Tuple> = (0..2_000).map(|l| tuple(&format!("{key}|{l}|1|12:00:00"))).collect();
        for (row, code, column) in [
            ("a|1|NaN|~", "VALUE_UNREPRESENTABLE", "f"),
            ("a|1|Infinity|~", "VALUE_UNREPRESENTABLE", "f"),
            ("a|1|~|24:00:00", "VALUE_UNREPRESENTABLE", "t"),
            ("a|~|~|~", "VALUE_NULL", "l"),
            (&format!("{}|1|~|~", "k".repeat(449)), "KEY_TOO_LONG", "k"),
        ] {
            let mut rows = good.clone();
            rows.push(tuple(row));
            let error = rig.load(&table, &rows).await.unwrap_err();
            assert_eq!((error.code(), error.table_oid()), (code, Some(7)), "{error}");
            assert!(error.to_string().contains(&format!("public.refused, column \"{column}\"")), "{error}");
            assert_eq!(rig.target.count_rows(&table).await.unwrap(), 0);
        }
        good.truncate(100);
        assert_eq!(rig.load(&table, &good).await.unwrap(), 100);
        assert_eq!(rig.target.count_rows(&table).await.unwrap(), 100);
        assert_eq!(rig.load(&table, &[]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn several_loads_of_one_table_run_at_once() {
    let mut rig = Rig::new().await;
    let table = rig.table(8, "parallel", 1, &[("id", PgType::Int4, true), ("t", PgType::Text, false)]);
    rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    let progress = Arc::new(LoadProgress::default());
    let mut loads = tokio::task::JoinSet::new();
    for part in 0..3 {
        let (mut session, table, progress) = (rig.session().await, Arc::clone(&table), Arc::clone(&progress));
        loads.spawn(async move {
            let mut loader = Loader::begin(&mut session, &table, progress).await.unwrap();
            for id in 0..3_000 {
                let row = tuple(&format!("{}|{}", part * 3_000 + id, "text ".repeat(20)));
                loader.push(&row).await.unwrap();
            }
            loader.finish().await.unwrap()
        });
    }
    let loaded: u64 = loads.join_all().await.into_iter().sum();
    assert_eq!((loaded, progress.rows()), (9_000, 9_000));
    assert!(progress.bytes() > 9_000 * 200);
    rig.target.build_key(&table).await.unwrap();
    assert_eq!(rig.target.count_rows(&table).await.unwrap(), 9_000);
}

#[tokio::test]
async fn load_whose_session_is_dropped_leaves_nothing() {
    let mut rig = Rig::new().await;
    let table = rig.table(9, "dropped", 1, &[("id", PgType::Int4, true), ("t", PgType::Text, false)]);
    rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    let mut session = rig.session().await;
    let progress = Arc::new(LoadProgress::default());
    let mut loader = Loader::begin(&mut session, &table, Arc::clone(&progress)).await.unwrap();
    let mut id = 0;
    while progress.rows() == 0 {
        loader.push(&tuple(&format!("{id}|{}", "x".repeat(1_000)))).await.unwrap();
        id += 1;
    }
    drop(loader);
    assert!(!session.is_usable());
    drop(session);
    assert_eq!(rig.target.count_rows(&table).await.unwrap(), 0);
}

#[tokio::test]
async fn load_into_a_table_with_a_key_and_defaults_keeps_both() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let columns = [("id", PgType::Int4, true), ("a", PgType::Int4, false)];
        let table = rig.table(10, "given", 1, &columns);
        rig.target.ensure_schema(&rig.schema).await.unwrap();
        let name = quote::qualified(&table.target);
        let sql = format!(
            "CREATE TABLE {name} ([id] int NOT NULL, [a] int NULL DEFAULT 5, [b] int NOT NULL DEFAULT 7, \
             CONSTRAINT [{}_given] PRIMARY KEY CLUSTERED ([id]))",
            rig.schema
        );
        meddle(&rig.config, &sql).await;
        let prepared = rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
        assert!(prepared.has_key && !prepared.created);
        rig.load(&table, &[tuple("1|~"), tuple("2|3")]).await.unwrap();
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["1|~", "2|3"]), "{path:?}");
        let error = rig.load(&table, &[tuple("3|1"), tuple("2|9")]).await.unwrap_err();
        assert_eq!((error.code(), error.table_oid()), ("KEY_COLLISION", Some(10)), "{path:?}");
        assert_eq!(rig.target.count_rows(&table).await.unwrap(), 2);
    }
}
