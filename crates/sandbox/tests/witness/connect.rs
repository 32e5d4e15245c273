//! The whole of Debezium's route as a witness: PostgreSQL, Debezium's source, Kafka, Debezium's JDBC sink with Hibernate
//! and mssql-jdbc, sandbox. None of it was written or changed by us; only the two configurations are ours.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Result, ensure};
use segcdc_testkit::{
    ConnectCluster, ConnectOptions, PostgresCluster, PostgresOptions, Sandbox, SandboxOptions, connect, until,
};
use serde_json::{Value, json};

use crate::clients;

/// How long changes may take through everything.
const ARRIVAL: Duration = Duration::from_secs(60);

/// The source; `orders` has a bit of everything, `words` has a key of text, and another column order.
const SOURCE: &str = r#"
CREATE TABLE orders (id bigint PRIMARY KEY, name text, amount numeric(18,4), paid boolean, weight double precision,
    small smallint, at timestamptz, local timestamp, day date, hour time, tag uuid, doc jsonb, raw bytea);
CREATE TABLE words (n int NOT NULL, "Word" varchar(40) PRIMARY KEY);
ALTER TABLE orders REPLICA IDENTITY FULL;
INSERT INTO orders SELECT i, 'row ' || i || ' ä 你 😀', i * 1.0001, i % 2 = 0, i / 3.0, i, TIMESTAMPTZ '2026-01-02 03:04:05.123456+00'
    + i * interval '1 hour', TIMESTAMP '2026-01-02 03:04:05.654321' + i * interval '1 day', DATE '2026-01-01' + i, '23:59:59.999999',
    ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, jsonb_build_object('i', i, 't', 'é'),
    decode(lpad(to_hex(i), 8, '0'), 'hex') FROM generate_series(1, 500) i;
INSERT INTO orders (id) VALUES (0);
INSERT INTO orders (id, amount, raw, name) VALUES (-9223372036854775808, -99999999999999.9999, '', '');
INSERT INTO words SELECT i, 'word ' || i FROM generate_series(1, 50) i;
CREATE PUBLICATION route FOR TABLE orders, words;
"#;

/// What happens while it streams.
const CHANGES: &[&str] = &[
    "INSERT INTO orders SELECT 1000 + i, 'new ' || i, -i, NULL, 0, -1, '1970-01-01 00:00:00.000001+00', '1969-12-31 23:59:59.999999', \
     '0001-01-01', '00:00:00', NULL, '[]', '\\x00' FROM generate_series(1, 200) i",
    "UPDATE orders SET name = upper(name), amount = amount + 0.0001, paid = NOT paid WHERE id % 5 = 0",
    "DELETE FROM orders WHERE id % 7 = 0 AND id > 0",
    "BEGIN; DELETE FROM orders WHERE id = 3; INSERT INTO orders (id, name) VALUES (3, 'again'); COMMIT",
    "UPDATE words SET \"Word\" = 'moved ' || n WHERE n <= 5",
    "UPDATE orders SET id = 9000 WHERE id = 4",
];

/// The target's tables; the sink finds columns by name.
const TARGET: &str = "CREATE TABLE [dbo].[orders] ([id] bigint NOT NULL, [name] nvarchar(max) NULL, [amount] decimal(18,4) NULL, \
     [paid] bit NULL, [weight] float NULL, [small] smallint NULL, [at] datetimeoffset(6) NULL, [local] datetime2(6) NULL, \
     [day] date NULL, [hour] time(6) NULL, [tag] uniqueidentifier NULL, [doc] nvarchar(max) NULL, [raw] varbinary(max) NULL, \
     CONSTRAINT [pk_orders] PRIMARY KEY ([id])); \
     CREATE TABLE [dbo].[words] ([n] int NOT NULL, [Word] nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL, \
     CONSTRAINT [pk_words] PRIMARY KEY ([Word]))";

/// Rows of the source in the spelling of the JDBC driver.
const SOURCE_ROWS: &str = "SELECT concat_ws('|', id, coalesce(name, 'null'), coalesce(amount::text, 'null'), \
     coalesce(paid::int::text, 'null'), coalesce(round(weight::numeric, 9)::text, 'null'), coalesce(small::text, 'null'), \
     coalesce(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || ' +00:00', 'null'), \
     coalesce(to_char(local, 'YYYY-MM-DD HH24:MI:SS.US'), 'null'), coalesce(day::text, 'null'), \
     coalesce(to_char(hour, 'HH24:MI:SS.US'), 'null'), coalesce(upper(tag::text), 'null'), coalesce(doc::text, 'null'), \
     coalesce(upper(encode(raw, 'hex')), 'null')) FROM orders ORDER BY id";

/// The same of the target.
const TARGET_ROWS: &str = "SELECT [id], [name], [amount], CAST([paid] AS int), CONVERT(varchar(40), CAST([weight] AS decimal(28,9))), [small], \
     CONVERT(varchar(40), [at]), CONVERT(varchar(40), [local]), [day], CONVERT(varchar(40), [hour]), [tag], [doc], [raw] \
     FROM [dbo].[orders] ORDER BY [id]";

fn source(postgres: &PostgresCluster) -> Value {
    json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "plugin.name": "pgoutput",
        "slot.name": "route",
        "publication.name": "route",
        "publication.autocreate.mode": "disabled",
        "database.hostname": "127.0.0.1",
        "database.port": postgres.port().to_string(),
        "database.dbname": "postgres",
        "database.user": "postgres",
        "database.password": "none",
        "topic.prefix": "route",
        "table.include.list": "public\\.orders,public\\.words",
        "snapshot.mode": "initial",
        "decimal.handling.mode": "precise",
        "time.precision.mode": "adaptive_time_microseconds",
        "tombstones.on.delete": "false",
        "skipped.operations": "none",
        "poll.interval.ms": "50",
        "extended.headers.enabled": "false",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
        "exactly.once.support": "required",
    })
}

fn sink(sandbox: &Sandbox, password: &str) -> Value {
    json!({
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": "route.public.orders,route.public.words",
        "connection.url":
            format!("jdbc:sqlserver://127.0.0.1:{};databaseName=sandbox;encrypt=false", sandbox.port()),
        "connection.username": "sa",
        "connection.password": password,
        "connection.pool.min_size": "1",
        "connection.pool.max_size": "2",
        "connection.restart.on.errors": "true",
        "insert.mode": "upsert",
        "primary.key.mode": "record_key",
        "delete.enabled": "true",
        "truncate.enabled": "true",
        "schema.evolution": "none",
        "quote.identifiers": "true",
        "collection.name.format": "dbo.${source.table}",
        "use.time.zone": "UTC",
        "use.reduction.buffer": "true",
        "consumer.override.isolation.level": "read_committed",
    })
}

async fn deploy(cluster: &ConnectCluster, name: &str, config: &Value) -> Result<()> {
    let answer = cluster.rest().put(&format!("/connectors/{name}/config"), Some(config)).await?;
    ensure!(answer.status == 201, "{name}: {} {}", answer.status, answer.body);
    cluster.until_running(name, 1, ARRIVAL).await
}

/// Waits until both sides have the same rows; else shows the first that differs.
async fn until_same(postgres: &PostgresCluster, sandbox: &Sandbox, cluster: &ConnectCluster) -> Result<()> {
    let expected = postgres.psql("postgres", SOURCE_ROWS)?;
    let words = postgres.psql("postgres", "SELECT n || '|' || \"Word\" FROM words ORDER BY n")?;
    let seen = RefCell::new((String::new(), String::new()));
    let arrived = until("the target has the rows of the source", ARRIVAL, || async {
        let found = clients::rows(sandbox, TARGET_ROWS).ok()?;
        let found_words =
            clients::rows(sandbox, "SELECT [n], [Word] FROM [dbo].[words] ORDER BY [n]").ok()?;
        let same = found == expected && found_words == words;
        seen.replace((found, found_words));
        // A task that has failed brings nothing any more.
        let gone = cluster.until_running("sink", 1, Duration::from_secs(5)).await.err();
        (same || gone.is_some()).then_some(gone)
    })
    .await;
    if let Ok(Some(gone)) = arrived {
        return Err(gone);
    }
    let (found, found_words) = seen.into_inner();
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    ensure!(
        arrived.is_ok(),
        "{} rows at the source, {} at the target, first difference {differs:#?}; words {}",
        expected.lines().count(),
        found.lines().count(),
        found_words == words
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debeziums_sink_is_content() {
    if clients::skipped("Debezium") || connect::skipped().is_some() {
        return;
    }
    let postgres = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let cluster = ConnectCluster::start(ConnectOptions::default()).await.unwrap();
    postgres.execute("postgres", SOURCE).await.unwrap();
    clients::rows(&sandbox, TARGET).unwrap();
    let secrets = cluster.secrets_dir().join("sink.properties");
    std::fs::write(&secrets, format!("password={}\n", sandbox.password())).unwrap();
    let password = format!("${{file:{}:password}}", secrets.display());
    deploy(&cluster, "sink", &sink(&sandbox, &password)).await.unwrap();
    deploy(&cluster, "source", &source(&postgres)).await.unwrap();
    until_same(&postgres, &sandbox, &cluster).await.unwrap();

    for change in CHANGES {
        postgres.psql("postgres", change).unwrap();
    }
    until_same(&postgres, &sandbox, &cluster).await.unwrap();

    let (broker, worker) = cluster.resident_bytes();
    println!("resident: broker {} MB, worker {} MB", broker / 1_000_000, worker / 1_000_000);
}
