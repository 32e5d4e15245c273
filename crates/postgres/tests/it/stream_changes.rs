//! What the stream says of what applications do.

use segcdc_model::{Change, Field, OldTuple, ReplicaIdentity, Transaction, Tuple};
use segcdc_postgres::{FieldForm, Replication, SlotSnapshot, StreamOptions, TransactionStream, session};

use crate::fixture::{Source, next_transaction};

/// A stream of everything that happens in the database from now on, from a temporary slot.
async fn follow(source: &Source, options: StreamOptions) -> TransactionStream {
    source.publish().await;
    let mut replication = Replication::connect(&source.config).await.unwrap();
    let slot = replication.create_slot(&source.name, SlotSnapshot::None, true).await.unwrap();
    let publications = [source.name.as_str()];
    replication.start_with(&source.name, slot.consistent_point, &publications, options).await.unwrap()
}

/// One field for a comparison: `-` for NULL, `=` for unchanged.
fn shown(field: Field<'_>) -> String {
    match field {
        Field::Null => "-".to_owned(),
        Field::UnchangedToast => "=".to_owned(),
        Field::Large(value) => format!("{} bytes", value.facts().length),
        Field::Text(text) if text.len() > 20 => format!("{} bytes", text.len()),
        Field::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        Field::Binary(bytes) => format!("{bytes:?}"),
    }
}

fn row(tuple: &Tuple) -> String {
    tuple.fields().map(shown).collect::<Vec<_>>().join(" ")
}

/// A change in short: `+`, `~`, `x`, `0` and the table; the old row in brackets, `k` or `f` for what it is.
fn short(change: &Change) -> String {
    let old = |old: &OldTuple| match old {
        OldTuple::Key(tuple) => format!("(k {})", row(tuple)),
        OldTuple::Full(tuple) => format!("(f {})", row(tuple)),
    };
    match change {
        Change::Insert { relation, new } => format!("+{} {}", relation.name.name, row(new)),
        Change::Update { relation, old: None, new } => format!("~{} {}", relation.name.name, row(new)),
        Change::Update { relation, old: Some(before), new } => {
            format!("~{} {} {}", relation.name.name, old(before), row(new))
        }
        Change::Delete { relation, old: before } => format!("x{} {}", relation.name.name, old(before)),
        Change::Truncate { relations } => {
            let mut names: Vec<_> = relations.iter().map(|relation| relation.name.name.as_str()).collect();
            names.sort_unstable();
            format!("0{}", names.join(","))
        }
    }
}

fn all(transaction: &Transaction) -> Vec<String> {
    transaction.changes.iter().map(short).collect()
}

#[tokio::test]
async fn changes_come_as_they_were_made() {
    let setup = "CREATE TABLE doc (id int PRIMARY KEY, n int, body text); \
         ALTER TABLE doc ALTER body SET STORAGE EXTERNAL; \
         CREATE TABLE whole (id int, body text); ALTER TABLE whole REPLICA IDENTITY FULL; \
         ALTER TABLE whole ALTER body SET STORAGE EXTERNAL; \
         CREATE TABLE indexed (a int, b int NOT NULL UNIQUE); \
         ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_b_key; \
         CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent); \
         ALTER TABLE child REPLICA IDENTITY FULL";
    let source = Source::shared("changes", setup).await;
    let mut stream = follow(&source, StreamOptions::default()).await;
    let mut check = async |sql: &str, expected: &[&str]| {
        source.run(sql).await;
        let transaction = next_transaction(&mut stream).await;
        assert_eq!(all(&transaction), expected, "{sql}");
        assert!(transaction.commit_lsn < transaction.end_lsn);
    };
    check("INSERT INTO doc VALUES (1, 1, repeat('x', 5000))", &["+doc 1 1 5000 bytes"]).await;
    check("UPDATE doc SET n = 2", &["~doc 1 2 ="]).await;
    check("UPDATE doc SET id = 2", &["~doc (k 1 - -) 2 2 ="]).await;
    check("UPDATE doc SET body = NULL", &["~doc 2 2 -"]).await;
    check("DELETE FROM doc", &["xdoc (k 2 - -)"]).await;
    check("INSERT INTO whole VALUES (1, repeat('y', 5000))", &["+whole 1 5000 bytes"]).await;
    // With the whole old row, PostgreSQL sends the old value and still not the new one.
    check("UPDATE whole SET id = 2", &["~whole (f 1 5000 bytes) 2 ="]).await;
    check("DELETE FROM whole", &["xwhole (f 2 5000 bytes)"]).await;
    check("INSERT INTO indexed VALUES (1, 1)", &["+indexed 1 1"]).await;
    check("UPDATE indexed SET a = 2", &["~indexed 2 1"]).await;
    check("UPDATE indexed SET b = 2", &["~indexed (k - 1) 2 2"]).await;
    check(
        "BEGIN; INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); TRUNCATE parent CASCADE; \
         INSERT INTO parent VALUES (2); COMMIT",
        &["+parent 1", "+child 1", "0child,parent", "+parent 2"],
    )
    .await;
    check(
        "BEGIN; INSERT INTO parent VALUES (3); SAVEPOINT a; INSERT INTO parent VALUES (4); SAVEPOINT b; \
         UPDATE parent SET id = 5 WHERE id = 3; ROLLBACK TO a; INSERT INTO parent VALUES (6); COMMIT",
        &["+parent 3", "+parent 6"],
    )
    .await;
    stream.close().await.unwrap();
}

/// # Fault F11
#[tokio::test]
async fn altered_table_is_described_anew_in_the_middle_of_a_transaction() {
    let source = Source::shared("described", "CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut stream = follow(&source, StreamOptions::default()).await;
    source
        .run(
            "BEGIN; INSERT INTO t VALUES (1); ALTER TABLE t ADD v text; INSERT INTO t VALUES (2, 'x'); \
             ALTER TABLE t RENAME TO u; ALTER TABLE u REPLICA IDENTITY FULL; DELETE FROM u WHERE id = 1; COMMIT",
        )
        .await;
    let transaction = next_transaction(&mut stream).await;
    assert_eq!(all(&transaction), ["+t 1", "+t 2 x", "xu (f 1 -)"]);
    let relations: Vec<_> = transaction
        .changes
        .iter()
        .map(|change| match change {
            Change::Insert { relation, .. } | Change::Delete { relation, .. } => relation,
            _ => panic!("another change"),
        })
        .collect();
    assert!(relations.iter().all(|relation| relation.oid == relations[0].oid));
    assert_eq!(relations[2].replica_identity, ReplicaIdentity::Full);
    assert_eq!(relations[1].columns.iter().map(|column| column.key).collect::<Vec<_>>(), [true, false]);
    stream.close().await.unwrap();
}

#[tokio::test]
async fn binary_fields_come_when_they_are_asked_for() {
    let source = Source::shared("binary_fields", "CREATE TABLE t (id int PRIMARY KEY, b bytea)").await;
    let options = StreamOptions { fields: FieldForm::Binary, ..StreamOptions::default() };
    let mut stream = follow(&source, options).await;
    source.run("INSERT INTO t VALUES (258, '\\x00ff')").await;
    assert_eq!(all(&next_transaction(&mut stream).await), ["+t [0, 0, 1, 2] [0, 255]"]);
    stream.close().await.unwrap();
}

/// Two large transactions at once, parts of them rolled back: streamed in blocks or kept by the server until their
/// commit, they must come out the same.
#[tokio::test]
async fn streamed_transactions_equal_those_that_are_not() {
    let setup = "ALTER DATABASE in_progress SET logical_decoding_work_mem = '64kB'; \
         CREATE TABLE t (id int PRIMARY KEY, v text)";
    let source = Source::shared("in_progress", setup).await;
    let streaming = StreamOptions { streaming: true, ..StreamOptions::default() };
    let mut streamed = follow(&source, streaming).await;
    let mut replication = Replication::connect(&source.config).await.unwrap();
    let slot = replication.create_slot("in_progress_whole", SlotSnapshot::None, true).await.unwrap();
    let mut whole =
        replication.start("in_progress_whole", slot.consistent_point, &["in_progress"]).await.unwrap();
    let sessions =
        [session::connect(&source.config).await.unwrap(), session::connect(&source.config).await.unwrap()];
    for (index, session) in sessions.iter().enumerate() {
        session.query_text("SET search_path = public; BEGIN").await.unwrap();
        session.query_text(&rows(index, 0)).await.unwrap();
    }
    for (index, session) in sessions.iter().enumerate() {
        session.query_text("SAVEPOINT undone").await.unwrap();
        session.query_text(&rows(index, 1)).await.unwrap();
        session.query_text("ROLLBACK TO undone").await.unwrap();
        session.query_text(&rows(index, 2)).await.unwrap();
    }
    sessions[1].query_text("COMMIT").await.unwrap();
    source.run("INSERT INTO t VALUES (-1, 'small')").await;
    sessions[0].query_text("COMMIT").await.unwrap();
    for rows in [2000, 1, 2000] {
        let (one, other) = (next_transaction(&mut streamed).await, next_transaction(&mut whole).await);
        assert_eq!(one.changes.len(), rows);
        assert_eq!(one, other);
    }
    let sent = "SELECT sum(stream_count) > 1 FROM pg_stat_replication_slots WHERE slot_name = 'in_progress'";
    let reported = async || (source.ask(sent).await == "t").then_some(());
    segcdc_testkit::until("the server has streamed", crate::fixture::PATIENCE, reported).await.unwrap();
    streamed.close().await.unwrap();
    whole.close().await.unwrap();
}

/// A thousand rows, 200 KB, of a part of a transaction.
fn rows(transaction: usize, part: usize) -> String {
    let from = transaction * 10_000 + part * 1000;
    let to = from + 999;
    format!("INSERT INTO t SELECT i, repeat(i::text, 40) FROM generate_series({from}, {to}) i")
}
