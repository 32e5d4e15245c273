//! The source's tables and their first rows.

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresCluster;
use tokio::process::Command;
use tokio_postgres::Client;

/// The source's database.
pub(crate) const DATABASE: &str = "shop";

/// Tables beside pgbench's own: all common types with their edges, a composite text key, large values, and one that is
/// truncated now and then.
const TABLES: &str = r"
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE type_samples (
  id bigint PRIMARY KEY, small smallint, whole integer, big bigint, exact numeric(20, 4), widest numeric(38, 10),
  flag boolean, single real, twice double precision, words text, short varchar(40), fixed char(5), bytes bytea,
  token uuid, day date, clock time, at timestamp, at_zone timestamptz, facts json, more jsonb, numbers integer[],
  span interval, address inet, feeling mood);
CREATE TABLE price (
  region text, article varchar(80), cents bigint NOT NULL, note text, PRIMARY KEY (region, article));
CREATE TABLE document (id integer PRIMARY KEY, revision integer NOT NULL, title text, body text);
ALTER TABLE document ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE seat (place integer PRIMARY KEY, guest text NOT NULL);
CREATE TABLE scratch (id integer PRIMARY KEY, v integer);
CREATE TABLE transfer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, aid integer, amount numeric(12, 2));
ALTER TABLE pgbench_history REPLICA IDENTITY FULL;
";

/// A few thousand ordinary rows.
const ROWS: &str = r"
INSERT INTO type_samples
  SELECT i, i % 32767, i * 37, i * 1000000007::bigint, i * 1.2345, i * 123456789.0123456789, i % 3 = 0, i * 0.5, i / 7.0,
    'row ' || i || ' – Ťext 🦀', 'v' || i, 'f' || i % 1000, decode(md5(i::text), 'hex'), md5('u' || i)::uuid,
    date '2000-01-01' + i, time '00:00' + i * interval '7 seconds', timestamp '2001-02-03' + i * interval '1 minute',
    timestamptz '2001-02-03 00:00+02' + i * interval '1 hour', json_build_object('i', i),
    jsonb_build_object('i', i, 'list', jsonb_build_array(i, null)), ARRAY[i, NULL, -i], i * interval '1 minute',
    ('10.0.' || i % 256 || '.1')::inet, (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood
  FROM generate_series(1, 5000) i;
INSERT INTO price SELECT r, a || ' ' || i, i * 100, 'in ' || r
  FROM unnest(ARRAY['Zürich', 'zürich', 'Zurich', 'ZURICH', 'Łódź', 'İzmir', 'ısı', '東京', '🦀', 'e' || chr(769)]) r,
       unnest(ARRAY['straße', 'STRASSE', 'résumé', 'resume', '👩‍👩‍👧']) a, generate_series(1, 60) i;
INSERT INTO document SELECT i, 0, 'title ' || i, repeat(md5(i::text), 300) FROM generate_series(1, 200) i;
INSERT INTO seat SELECT i, 'guest ' || i FROM generate_series(1, 100) i;
INSERT INTO scratch SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO transfer (aid, amount) SELECT i, i FROM generate_series(1, 100) i;
";

/// Rows at the edges: nothing at all, least and greatest values, empty and blank texts, single bytes.
const EDGES: &str = r#"
INSERT INTO type_samples (id) VALUES (-1);
INSERT INTO type_samples VALUES
  (-9223372036854775808, -32768, -2147483648, -9223372036854775808, -9999999999999999.9999,
   -9999999999999999999999999999.9999999999, false, '-3.4028235e38', '-1.7976931348623157e308', '', '', '', '\x',
   '00000000-0000-0000-0000-000000000000', '0001-01-01', '00:00', '0001-01-01 00:00', '0001-01-02 00:00+00', '{}',
   '[]', '{}', '0', '::', 'sad'),
  (9223372036854775807, 32767, 2147483647, 9223372036854775807, 9999999999999999.9999,
   9999999999999999999999999999.9999999999, true, '1.1754944e-38', '2.2250738585072014e-308', E' trailing blanks  ', E'tab\tnewline\n', 'x',
   '\x00ff00', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '9999-12-31', '23:59:59.999999',
   '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', '{ "spaces": 1 }', '{"a":1e10}',
   '{1,NULL}', '1 year 2 mons 3 days 04:05:06.789', '255.255.255.255/8', 'happy');
"#;

/// Creates and fills everything. pgbench makes its own tables.
pub(crate) async fn fill(cluster: &PostgresCluster, scale: u32) -> Result<()> {
    cluster.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
    let output = Command::new(cluster.client_program("pgbench"))
        .args(["--initialize", "--quiet", "--scale", &scale.to_string()])
        .args([
            "--host",
            "127.0.0.1",
            "--port",
            &cluster.port().to_string(),
            "--username",
            "postgres",
            DATABASE,
        ])
        .kill_on_drop(true)
        .output()
        .await
        .context("could not run pgbench; it comes with Debian's postgresql package")?;
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let client = cluster.connect(DATABASE).await?;
    for sql in [TABLES, ROWS, EDGES] {
        client.batch_execute(sql).await.context("could not fill the source")?;
    }
    client.batch_execute("ANALYZE").await?;
    Ok(())
}

/// Rows of all tables, as the source counts them.
pub(crate) async fn count_rows(client: &Client) -> Result<u64> {
    let tables = client
        .query("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", &[])
        .await?;
    let mut rows = 0;
    for table in tables {
        let name: String = table.get(0);
        let count: i64 = client.query_one(&format!("SELECT count(*) FROM {name}"), &[]).await?.get(0);
        rows += u64::try_from(count)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use segcdc_testkit::PostgresOptions;

    use super::*;
    use crate::load::{Load, Pace};

    #[tokio::test]
    async fn the_source_can_be_filled_and_changed() {
        let cluster = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
        fill(&cluster, 1).await.unwrap();
        let client = cluster.connect(DATABASE).await.unwrap();
        let before = count_rows(&client).await.unwrap();
        assert!(before > 100_000);
        let pace = Pace { time: Duration::from_secs(2), rate: 100, pause: Duration::from_millis(30) };
        let load = Load::start(&cluster, pace).await.unwrap();
        let report = load.finish().await.unwrap();
        assert!(report.pgbench_transactions > 0 && report.mixed_transactions > 0, "{report:?}");
        assert_ne!(count_rows(&client).await.unwrap(), before);
    }
}
