//! What the catalog says of tables, publications and the server.

use segcdc_model::{PgType, QualifiedName, ReferenceAction, ReplicaIdentity, SourceTable, TableKind};
use segcdc_postgres::{Pattern, catalog, publication, session};

use segcdc_testkit::until;

use crate::fixture::{PATIENCE, Source};

async fn tables(source: &Source, patterns: &[&str]) -> Vec<SourceTable> {
    let patterns: Vec<_> = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
    catalog::tables(&source.session, &patterns).await.unwrap()
}

async fn names(source: &Source, patterns: &[&str]) -> Vec<String> {
    tables(source, patterns).await.iter().map(|table| table.name.to_string()).collect()
}

#[tokio::test]
async fn patterns_find_what_a_user_means() {
    let setup = "CREATE TABLE orders (id int); CREATE TABLE \"Or.ders\" (id int); CREATE VIEW seen AS SELECT 1 AS id; \
         CREATE SCHEMA shop; CREATE TABLE shop.orders (id int) PARTITION BY LIST (id); \
         CREATE TABLE shop.leaf PARTITION OF shop.orders DEFAULT; CREATE UNLOGGED TABLE shop.fleeting (id int); \
         CREATE MATERIALIZED VIEW shop.kept AS SELECT 1 AS id";
    let source = Source::shared("patterns", setup).await;
    let everything =
        ["public.Or.ders", "public.orders", "public.seen", "shop.fleeting", "shop.kept", "shop.orders"];
    assert_eq!(names(&source, &[]).await, everything);
    assert_eq!(names(&source, &["*.*"]).await, everything);
    assert_eq!(names(&source, &["orders"]).await, ["public.orders"]);
    assert_eq!(names(&source, &["*.orders"]).await, ["public.orders", "shop.orders"]);
    assert_eq!(names(&source, &["\"Or.ders\"", "shop.f*"]).await, ["public.Or.ders", "shop.fleeting"]);
    assert_eq!(
        names(&source, &["seen", "shop.leaf"]).await,
        ["public.seen", "shop.leaf"],
        "a partition by its full name"
    );
    source.run("CREATE TEMPORARY TABLE brief (id int PRIMARY KEY)").await;
    let temporary = source.ask("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()").await;
    let brief = format!("{temporary}.brief");
    assert_eq!(names(&source, &["*.brief", "pg_temp*.*"]).await, [""; 0], "by its full name only");
    assert_eq!(names(&source, &[&brief]).await, [brief.as_str()]);
    assert_eq!(tables(&source, &[&brief]).await[0].kind, TableKind::Temporary);
    assert_eq!(names(&source, &["pg_catalog.*", "nothing"]).await, [""; 0]);
    let kinds: Vec<_> =
        tables(&source, &["seen", "shop.*", "shop.leaf"]).await.iter().map(|t| t.kind).collect();
    let expected = [
        TableKind::View,
        TableKind::Unlogged,
        TableKind::MaterializedView,
        TableKind::Partition,
        TableKind::Partitioned,
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn tables_are_described_as_they_are() {
    let setup = "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN code AS varchar(7); \
         CREATE DOMAIN short_code AS code CHECK (length(value) < 5); CREATE ROLE described_owner; \
         CREATE TABLE t (gone int, b varchar(10) NOT NULL, a numeric(10,2), c short_code, d mood, e citext, \
           f int GENERATED ALWAYS AS (1) STORED, g inet[], PRIMARY KEY (a, b) INCLUDE (c)); \
         ALTER TABLE t DROP gone; ALTER TABLE t OWNER TO described_owner; \
         INSERT INTO t (b, a) SELECT i::text, i FROM generate_series(1, 1000) i; ANALYZE t; \
         CREATE TABLE u (x int NOT NULL, y int NOT NULL); CREATE UNIQUE INDEX u_y ON u (y); \
         ALTER TABLE u REPLICA IDENTITY USING INDEX u_y; \
         CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); \
         CREATE TABLE root (id int) PARTITION BY LIST (id); CREATE TABLE leaf PARTITION OF root DEFAULT; \
         INSERT INTO root SELECT i FROM generate_series(1, 5000) i; ANALYZE root";
    let source = Source::shared("described_tables", setup).await;
    let t = source.table("t").await;
    let types: Vec<_> =
        t.columns.iter().map(|c| (c.name.as_str(), c.pg_type.clone(), c.type_name.as_str())).collect();
    let expected = [
        ("b", PgType::Varchar { length: Some(10) }, "character varying(10)"),
        ("a", PgType::Numeric { bounds: Some((10, 2)) }, "numeric(10,2)"),
        ("c", PgType::Varchar { length: Some(7) }, "public.short_code"),
        ("d", PgType::Enum, "public.mood"),
        ("e", PgType::Text, "public.citext"),
        ("f", PgType::Int4, "integer"),
        ("g", PgType::Other, "inet[]"),
    ];
    assert_eq!(types, expected);
    assert_eq!(t.primary_key, [1, 0], "in key order, without what is only included");
    assert_eq!((t.columns[0].attnum, t.columns[0].not_null, t.columns[2].not_null), (2, true, false));
    assert!(t.columns[5].generated && !t.columns[4].generated);
    assert_eq!((t.owner.as_str(), t.estimated_rows), ("described_owner", 1000));
    let pages = source.ask("SELECT pg_relation_size('t') / 8192").await;
    assert_eq!(t.heap_pages.to_string(), pages);
    let u = source.table("u").await;
    assert_eq!(
        (u.replica_identity, u.identity_index, u.primary_key),
        (ReplicaIdentity::Index, vec![1], vec![])
    );
    assert_eq!(source.table("late").await.primary_key, [0; 0], "it cannot be a replica identity");
    let root = source.table("root").await;
    assert_eq!((root.kind, root.heap_pages, root.estimated_rows), (TableKind::Partitioned, 0, 5000));
    assert!(root.size_bytes > 100_000, "{}", root.size_bytes);
    assert_eq!(catalog::table(&source.session, t.oid).await.unwrap(), Some(t.clone()));
    source.run("DROP TABLE t").await;
    assert_eq!(catalog::table(&source.session, t.oid).await.unwrap(), None);
}

#[tokio::test]
async fn publications_are_made_and_described() {
    let setup = "CREATE TABLE \"a\"\"b\" (id int, v text); CREATE TABLE c (id int); CREATE TABLE d () INHERITS (c); \
         CREATE TABLE root (id int) PARTITION BY LIST (id); CREATE TABLE leaf PARTITION OF root DEFAULT; \
         CREATE PUBLICATION partial FOR TABLE \"a\"\"b\" WITH (publish = 'insert, truncate')";
    let source = Source::shared("published", setup).await;
    let name = |name: &str| QualifiedName::new("public", name);
    let made = publication::create(&source.session, "our \"own\"", &[name("a\"b"), name("root"), name("c")])
        .await
        .unwrap();
    let published = |publication: &segcdc_postgres::Publication| {
        publication.tables.iter().map(|table| table.name.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(published(&made), ["a\"b", "c", "root"], "a root for its partitions, no child of a parent");
    assert!(made.insert && made.update && made.delete && made.truncate && made.via_root && !made.all_tables);
    publication::drop_tables(&source.session, "our \"own\"", &[name("c")]).await.unwrap();
    publication::add_tables(&source.session, "our \"own\"", &[name("d")]).await.unwrap();
    let changed = publication::inspect(&source.session, "our \"own\"").await.unwrap().unwrap();
    assert_eq!(
        (changed.oid, published(&changed)),
        (made.oid, vec!["a\"b".into(), "d".into(), "root".into()])
    );
    let partial = publication::inspect(&source.session, "partial").await.unwrap().unwrap();
    assert!(partial.insert && partial.truncate && !partial.update && !partial.delete && !partial.via_root);
    if source.has_column_lists().await {
        let sql = "CREATE PUBLICATION narrow FOR TABLE \"a\"\"b\" (v), c WHERE (id > 1)";
        source.run(sql).await;
        let narrow = publication::inspect(&source.session, "narrow").await.unwrap().unwrap();
        assert_eq!(narrow.tables[0].columns, Some(vec!["v".to_owned()]));
        assert_eq!(narrow.tables[1].row_filter.as_deref(), Some("(id > 1)"));
    }
    publication::drop(&source.session, "our \"own\"").await.unwrap();
    publication::drop(&source.session, "our \"own\"").await.unwrap();
    assert_eq!(publication::inspect(&source.session, "our \"own\"").await.unwrap(), None);
}

#[tokio::test]
async fn identity_is_that_of_the_server() {
    let source = Source::shared("identified", "").await;
    let identity = catalog::identity(&source.session).await.unwrap();
    let mut replication = segcdc_postgres::Replication::connect(&source.config).await.unwrap();
    let system = replication.identify_system().await.unwrap();
    assert_eq!((identity.system_identifier, identity.timeline), (system.system_identifier, system.timeline));
    assert_eq!(system.database.as_deref(), Some("identified"));
    assert_eq!(identity.database_oid.to_string(), {
        source.ask("SELECT oid FROM pg_database WHERE datname = 'identified'").await
    });
    assert_eq!((identity.database.as_str(), identity.user.as_str()), ("identified", "postgres"));
    assert!(identity.server_version_num >= 140_000 && !identity.in_recovery);
    assert!(catalog::current_lsn(&source.session).await.unwrap() >= identity.flush_lsn);
}

#[tokio::test]
async fn columns_are_told_apart_for_good_as_a_snapshot_sees_them() {
    let setup = "CREATE TABLE grown (id int PRIMARY KEY, gone text, kept varchar(5)); INSERT INTO grown VALUES (1);
         ALTER TABLE grown DROP COLUMN gone; ALTER TABLE grown ADD COLUMN n int DEFAULT 7, ADD COLUMN list int[] DEFAULT '{1,NULL}',
           ADD COLUMN word text NOT NULL DEFAULT 'it''s, \"so\"', ADD COLUMN counted int GENERATED ALWAYS AS IDENTITY;
         ALTER TABLE grown ADD COLUMN m date DEFAULT '2024-02-29', ADD COLUMN empty text DEFAULT '';
         ALTER TABLE grown ALTER COLUMN m SET DEFAULT '2025-01-01', ALTER COLUMN kept SET DEFAULT 'k'";
    let source = Source::shared("attributes", setup).await;
    let oid = tables(&source, &["grown"]).await.pop().unwrap().oid;
    let found = catalog::table_in_detail(&source.session, oid, None).await.unwrap().unwrap();
    let seen: Vec<_> = found
        .attributes
        .iter()
        .map(|a| (a.attnum, a.is_dropped, a.type_oid, a.has_default, a.missing.as_deref()))
        .collect();
    let expected = [
        (1, false, 23, false, None),
        (2, true, 0, false, None),
        (3, false, 1043, true, None),
        (4, false, 23, true, None),
        (5, false, 1007, true, None),
        (6, false, 25, true, None),
        // The identity column had all rows written anew, and those before it with them.
        (7, false, 23, true, None),
        (8, false, 1082, true, Some("2024-02-29")),
        (9, false, 25, true, Some("")),
    ];
    assert_eq!(seen, expected);
    assert_eq!((found.last_attnum(), found.table.columns.len()), (9, 8));
    assert_eq!(found.attribute(3).map(|a| a.type_modifier), Some(9));
    let source = Source::shared(
        "attributes_plain",
        "CREATE TABLE grown (id int PRIMARY KEY); INSERT INTO grown VALUES (1);
         ALTER TABLE grown ADD COLUMN list int[] DEFAULT '{1,NULL}', ADD COLUMN word text NOT NULL DEFAULT 'it''s, \"so\"'",
    )
    .await;
    let oid = tables(&source, &["grown"]).await.pop().unwrap().oid;
    let before = catalog::table_in_detail(&source.session, oid, None).await.unwrap().unwrap();
    let missing: Vec<_> = before.attributes.iter().map(|a| a.missing.as_deref()).collect();
    assert_eq!(missing, [None, Some("{1,NULL}"), Some("it's, \"so\"")]);
    // As a snapshot of before sees it.
    let other = session::connect(&source.config).await.unwrap();
    let rows =
        other.query_text("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot()").await.unwrap();
    let snapshot = rows[0][0].clone().unwrap();
    let change = "ALTER TABLE public.grown DROP COLUMN list, ADD COLUMN later int, ALTER COLUMN word DROP NOT NULL; \
                  TRUNCATE public.grown";
    source.session.query_text(change).await.unwrap();
    let then = catalog::table_in_detail(&source.session, oid, Some(&snapshot)).await.unwrap().unwrap();
    assert_eq!((&then.table.columns, &then.attributes), (&before.table.columns, &before.attributes));
    assert_eq!(then.filenode, before.filenode);
    let now = catalog::table_in_detail(&source.session, oid, None).await.unwrap().unwrap();
    assert!(now.attributes[1].is_dropped && now.filenode != before.filenode && now.read_at > before.read_at);
    other.close().await;
    // The server ends the session in its own time.
    let gone = until("the snapshot is gone", PATIENCE, || async {
        catalog::table_in_detail(&source.session, oid, Some(&snapshot)).await.err()
    });
    assert_eq!(segcdc_model::Fault::code(&gone.await.unwrap()), "SNAPSHOT_GONE");
}

#[tokio::test]
async fn what_tables_have_besides_rows_and_keys_is_read() {
    let setup = "CREATE TABLE parent (id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT BY 5) PRIMARY KEY, \
             code text NOT NULL UNIQUE, note text DEFAULT 'it''s', twice int GENERATED ALWAYS AS (1) STORED); \
         INSERT INTO parent (code) VALUES ('a'), ('b'); \
         CREATE TABLE child (id serial PRIMARY KEY, gone int, of bigint, n int CHECK (n > 0), at timestamptz DEFAULT now()); \
         ALTER TABLE child ADD CONSTRAINT of_parent FOREIGN KEY (of) REFERENCES parent \
             ON DELETE CASCADE ON UPDATE SET NULL NOT VALID; \
         ALTER TABLE child DROP gone; \
         CREATE INDEX several ON child (n DESC, of) INCLUDE (at) WHERE of IS NOT NULL; \
         CREATE INDEX expression ON child ((n + 1)); CREATE INDEX hashed ON child USING hash (n)";
    let source = Source::shared("extras", setup).await;
    let found = tables(&source, &["child", "parent"]).await;
    let oids: Vec<u32> = found.iter().map(|table| table.oid).collect();
    let mut extras = catalog::extras(&source.session, &oids).await.unwrap();
    let (child, parent) = (extras.remove(&oids[0]).unwrap(), extras.remove(&oids[1]).unwrap());

    let index = |name: &str| child.indexes.iter().find(|index| index.name == name).unwrap();
    let several = index("several");
    assert_eq!((several.unique, several.nulls_are_equal, several.method.as_str()), (false, false, "btree"));
    assert_eq!((&*several.key, &*several.included), (&[(4, true), (3, false)][..], &[5][..]));
    assert_eq!(several.predicate.as_deref(), Some("(of IS NOT NULL)"));
    assert_eq!(index("expression").key, [(0, false)]);
    assert_eq!(index("hashed").method, "hash");
    assert_eq!(child.indexes.len(), 4, "with the primary key's");
    assert!(parent.indexes[0].unique && parent.indexes[0].key == [(2, false)], "{parent:?}");

    let key = &child.foreign_keys[0];
    assert_eq!((key.name.as_str(), &*key.columns, key.referred), ("of_parent", &[3][..], oids[1]));
    assert_eq!(key.referred_columns, [1]);
    assert_eq!((key.on_delete, key.on_update), (ReferenceAction::Cascade, ReferenceAction::SetNull));
    assert!(!key.validated);

    let defaults: Vec<_> =
        child.defaults.iter().map(|default| (default.attnum, &*default.expression)).collect();
    assert_eq!(defaults, [(1, "nextval('public.child_id_seq'::regclass)"), (5, "now()")]);
    let serial = child.defaults[0].sequence.as_ref().unwrap();
    assert_eq!((serial.name.to_string().as_str(), serial.next), ("public.child_id_seq", Some(1)));
    assert_eq!(child.checks, [("child_n_check".to_owned(), "CHECK ((n > 0))".to_owned())]);
    // What was set and nobody has asked for yet.
    source
        .run("ALTER SEQUENCE child_id_seq RESTART WITH 5000; ALTER SEQUENCE child_id_seq MAXVALUE 5001 CYCLE")
        .await;
    let next = async || {
        let extras = catalog::extras(&source.session, &oids[..1]).await.unwrap();
        extras[&oids[0]].defaults[0].sequence.as_ref().unwrap().next
    };
    assert_eq!(next().await, Some(5000));
    source.run("SELECT nextval('child_id_seq'), nextval('child_id_seq')").await;
    assert_eq!(next().await, Some(1), "it begins again");
    source.run("ALTER SEQUENCE child_id_seq NO CYCLE").await;
    assert_eq!(next().await, Some(5002), "it is used up");
    let identity = parent.defaults[0].sequence.as_ref().unwrap();
    assert_eq!((identity.next, identity.increment, identity.cycles), (Some(11), 5, false));
    assert_eq!(parent.defaults.len(), 2, "a generated column has no default: {:?}", parent.defaults);
}
