//! Values of every kind arrive as they are, by the copy and by the stream.

use anyhow::{Result, ensure};

use super::stage::{DATABASE, Stage};

/// A column of each kind, a text key, a key of two columns, no key.
const TABLES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE DOMAIN price AS numeric(12,2);
    CREATE TABLE every_type (
        id bigint PRIMARY KEY, flag boolean, small smallint, whole integer, large bigint, ratio real,
        exact double precision, amount numeric(20,5), free numeric, cost price, letter char(5), short varchar(20),
        long text, label name, bytes bytea, token uuid, day date, moment time, stamp timestamp, instant timestamptz,
        feeling mood, document json, tree jsonb, numbers integer[], span interval, address inet, object oid);
    CREATE TABLE named (name text PRIMARY KEY, value text);
    CREATE TABLE pair (a integer, b varchar(10), note text, PRIMARY KEY (a, b));
    CREATE TABLE no_key (a integer, note text);
    ALTER TABLE no_key REPLICA IDENTITY FULL;";

/// All of them.
const NAMES: [&str; 4] = ["every_type", "named", "pair", "no_key"];

/// Rows with usual and with extreme values, from `first` on.
fn rows(first: i32) -> String {
    let (second, third) = (first + 1, first + 2);
    format!(
        r#"INSERT INTO every_type VALUES
        ({first}, true, -32768, -2147483648, -9223372036854775808, 1.17549435e-38, 2.2250738585072014e-308,
         -123456789012345.12345, 0.000000000000000001, -9999999999.99, 'ab', 'x ', E'a\n\t''"\\ \U0001F980 ', 'n',
         '\x0001ff00', '00112233-4455-6677-8899-aabbccddeeff', '0001-01-01', '00:00:00', '0001-01-01 00:00:00',
         '0001-01-02 00:00:00+00', 'sad', '{{"b": 1,  "a": [1, null]}}', '{{"b": 1, "a": "ü"}}', '{{1,NULL,3}}',
         '1 year 2 mons -3 days 04:05:06.789', '192.168.0.1/24', 0),
        ({second}, false, 32767, 2147483647, 9223372036854775807, 3.4028235e+38, 1.7976931348623157e+308,
         999999999999999.99999, 99999999999999999999.999999999999999999, 9999999999.99, 'abcde', '', '', '',
         '\x', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '9999-12-31', '23:59:59.999999',
         '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', 'happy', 'null', '[]', '{{}}', '0', '::1',
         4294967295),
        ({third}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
        INSERT INTO named VALUES ('Key {first}', repeat('long text ', 20000)), ('key {first}', 'other case'),
          (E'\u00e9 {first}', NULL), (E'e\u0301 {first}', 'decomposed');
        INSERT INTO pair SELECT i, 'k' || i, md5(i::text) FROM generate_series({first}, {first} + 500) i;
        INSERT INTO no_key SELECT i % 3, 'note ' || i % 3 FROM generate_series({first}, {first} + 20) i;"#
    )
}

/// Inserts, updates with and without the key, unchanged TOAST, deletes, in one transaction.
const CHANGES: &str = "
    UPDATE every_type SET whole = whole - 1, long = 'new' WHERE id = 2;
    UPDATE every_type SET id = 500 WHERE id = 3;
    UPDATE named SET name = 'renamed' WHERE name = 'Key 1';
    UPDATE pair SET note = 'changed' WHERE a % 7 = 0;
    DELETE FROM pair WHERE a % 11 = 0;
    DELETE FROM no_key WHERE ctid IN (SELECT ctid FROM no_key WHERE a = 1 LIMIT 2);
    UPDATE no_key SET note = 'x' WHERE ctid IN (SELECT ctid FROM no_key WHERE a = 2 LIMIT 3);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_arrive_as_they_are() -> Result<()> {
    let mut stage = Stage::start("values").await?;
    stage.source.execute(DATABASE, &format!("{TABLES} {}", rows(1))).await?;
    let up = stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(up.stdout.contains("caught up"), "{up}");
    let copied = stage.compare(&NAMES).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    stage.source.execute(DATABASE, &format!("BEGIN; {} {CHANGES} COMMIT", rows(1000))).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&NAMES).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}
