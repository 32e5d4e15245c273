//! Target tables: made, found, emptied and removed.

use segcdc_model::{Fault, PgType};
use segcdc_sqlserver::{ExistingRows, Prepared, quote};

use crate::rig::{Rig, canonical_rows, meddle, tuple};

#[tokio::test]
async fn table_is_made_filled_keyed_and_removed() {
    let mut rig = Rig::new().await;
    let bracket = rig.bracket().await;
    let (key, name) = (format!("k{bracket}ey' 🦀"), format!("we{bracket}ird\"; 'table' 🦀"));
    let columns = [(&*key, PgType::Text, true), ("; DROP TABLE x --", PgType::Int4, false)];
    let table = rig.table(1, &name, 1, &columns);
    let prepared = rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    assert_eq!(prepared, Prepared { created: true, has_rows: false, has_key: false });
    let again = rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    assert_eq!(again, Prepared { created: false, has_rows: false, has_key: false });
    rig.load(&table, &[tuple("a|1"), tuple("A|2")]).await.unwrap();
    rig.target.build_key(&table).await.unwrap();
    rig.target.build_key(&table).await.unwrap();
    let error = rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap_err();
    assert_eq!((error.code(), error.table_oid()), ("TARGET_TABLE_NOT_EMPTY", Some(1)));
    let known = rig.target.prepare_table(&table, ExistingRows::Allow).await.unwrap();
    assert_eq!(known, Prepared { created: false, has_rows: true, has_key: true });
    assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["a|1", "A|2"]));
    rig.target.clear_for_copy(&table).await.unwrap();
    rig.target.clear_for_copy(&table).await.unwrap();
    let cleared = rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    assert_eq!(cleared, Prepared { created: false, has_rows: false, has_key: false });
    rig.load(&table, &[tuple("b|1"), tuple("c|2")]).await.unwrap();
    assert_eq!(rig.target.empty_table(&table).await.unwrap(), 2);
    rig.target.drop_table(&table.target).await.unwrap();
    rig.target.drop_table(&table.target).await.unwrap();
    assert_eq!(rig.target.existing_table(&table.target).await.unwrap(), None);
}

#[tokio::test]
async fn keys_that_collide_keep_the_key_from_being_built() {
    let mut rig = Rig::new().await;
    let table = rig.table(2, "collide", 1, &[("k", PgType::Text, true)]);
    rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    rig.load(&table, &[tuple("sekret"), tuple("sekret ")]).await.unwrap();
    let error = rig.target.build_key(&table).await.unwrap_err();
    assert_eq!((error.code(), error.table_oid()), ("KEY_COLLISION", Some(2)));
    assert!(!segcdc_model::fault::chain(&error).contains("sekret"));
}

#[tokio::test]
async fn table_of_another_shape_is_refused() {
    let mut rig = Rig::new().await;
    let columns = [("id", PgType::Int4, true), ("a", PgType::Text, false)];
    let table = rig.table(3, "other", 1, &columns);
    rig.target.ensure_schema(&rig.schema).await.unwrap();
    let name = quote::qualified(&table.target);
    meddle(&rig.config, &format!("CREATE TABLE {name} ([id] bigint NOT NULL, [b] int NOT NULL)")).await;
    let error = rig.target.prepare_table(&table, ExistingRows::Allow).await.unwrap_err();
    assert_eq!((error.code(), error.table_oid()), ("TARGET_TABLE_MISMATCH", Some(3)));
    for part in
        ["\"id\" is bigint and should be int", "\"a\" (nvarchar(max)) is missing", "\"b\" is NOT NULL"]
    {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn every_type_is_found_as_it_was_made() {
    let mut rig = Rig::new().await;
    let columns = [
        ("id", PgType::Uuid, true),
        ("a", PgType::Bool, false),
        ("b", PgType::Int2, false),
        ("c", PgType::Float4, false),
        ("d", PgType::Float8, false),
        ("e", PgType::Numeric { bounds: Some((12, 3)) }, false),
        ("f", PgType::Varchar { length: Some(7) }, false),
        ("g", PgType::Bytea, false),
        ("h", PgType::Date, false),
        ("i", PgType::Time, false),
        ("j", PgType::Timestamp, false),
        ("k", PgType::TimestampTz, false),
        ("l", PgType::Text, true),
        ("m", PgType::Int8, true),
    ];
    let table = rig.table(4, "types", 1, &columns);
    rig.create(&table).await;
    let prepared = rig.target.prepare_table(&table, ExistingRows::Refuse).await.unwrap();
    assert_eq!(prepared, Prepared { created: false, has_rows: false, has_key: true });
}
