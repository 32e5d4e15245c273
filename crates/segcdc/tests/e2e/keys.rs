//! Keys: those that differ at the source differ at the target, or their table is halted by name and mended by a resync.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, PATIENCE, Stage};

/// Keys that a collation of SQL Server other than a binary one would hold equal: by case, accent, width, kana, expansion,
/// normal form, ignored characters, and characters without a weight.
const LOOK_ALIKES: &str = "('a'), ('A'), ('á'), (U&'a\\0301'), ('ａ'), ('ぁ'), ('あ'), ('ア'), ('ｱ'), ('ß'), ('ss'), ('SS'), \
     ('æ'), ('ae'), ('ﬁ'), ('fi'), ('I'), ('ı'), ('İ'), ('i'), ('😀'), ('😁'), ('a😀'), (U&'\\+01F600\\+01F600'), (U&'a\\0001'), \
     (U&'a\\200B'), (U&'a\\00AD'), ('co-op'), ('coop'), (''), (E'\\t'), (U&'\\00A0'), (U&'\\FFFD'), (U&'\\FFFF'), \
     (U&'\\+10FFFF'), (' a'), (E'a\\n'), ('a.')";

/// Tables whose keys the target can tell apart, with the changes that every key sees.
const APART: &str = "
    CREATE EXTENSION citext SCHEMA public;
    CREATE COLLATION either (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TYPE mood AS ENUM ('low', 'Low', 'LOW', 'löw');
    CREATE DOMAIN code AS varchar(40) CHECK (VALUE <> 'never');
    CREATE TABLE k_text (k text PRIMARY KEY, n int);
    CREATE TABLE k_varchar (k varchar(60) PRIMARY KEY, n int);
    CREATE TABLE k_domain (k code PRIMARY KEY, n int);
    CREATE TABLE k_char (k char(8) PRIMARY KEY, n int);
    CREATE TABLE k_name (k name PRIMARY KEY, n int);
    CREATE TABLE k_array (k text[] PRIMARY KEY, n int);
    CREATE TABLE k_pair (k text, l int, PRIMARY KEY (l, k), n int);
    CREATE TABLE k_index (id int PRIMARY KEY, k text NOT NULL, n int);
    CREATE UNIQUE INDEX k_index_k ON k_index (k);
    ALTER TABLE k_index REPLICA IDENTITY USING INDEX k_index_k;
    CREATE TABLE k_enum (k mood PRIMARY KEY, n int);
    CREATE TABLE k_bytes (k bytea PRIMARY KEY, n int);
    CREATE TABLE k_citext (k citext PRIMARY KEY, n int, t text);
    CREATE TABLE k_either (k text COLLATE either PRIMARY KEY, n int, t text);
    CREATE TABLE k_number (k numeric(20,4) PRIMARY KEY, n int, t text);
    CREATE TABLE k_free (k numeric PRIMARY KEY, n int, t text);
    CREATE TABLE k_float (k float8 PRIMARY KEY, n int, t text);
    CREATE TABLE k_real (k real PRIMARY KEY, n int, t text);
    CREATE TABLE k_moment (k timestamptz PRIMARY KEY, n int, t text);
    CREATE TABLE k_range (k int4range PRIMARY KEY, n int, t text);
    CREATE TABLE k_inet (k inet PRIMARY KEY, n int, t text);
    CREATE TABLE k_interval (k interval PRIMARY KEY, n int, t text);
    CREATE TABLE k_json (k jsonb PRIMARY KEY, n int, t text);
    INSERT INTO k_text SELECT v, 1 FROM (VALUES $ALIKE) a(v);
    INSERT INTO k_varchar TABLE k_text; INSERT INTO k_domain TABLE k_text; INSERT INTO k_name TABLE k_text;
    INSERT INTO k_char SELECT DISTINCT k::char(8), 1 FROM k_text;
    INSERT INTO k_array SELECT ARRAY[k, 'x'], n FROM k_text;
    INSERT INTO k_pair SELECT k, l, n FROM k_text, generate_series(1, 2) l;
    INSERT INTO k_index SELECT row_number() OVER (), k, n FROM k_text;
    INSERT INTO k_enum SELECT unnest(enum_range(NULL::mood)), 1;
    INSERT INTO k_bytes VALUES ('', 1), ('\\x01', 1), ('\\x0001', 1), ('\\x000001', 1), ('\\xff', 1), ('\\x20', 1), ('\\x2020', 1);
    INSERT INTO k_citext VALUES ('Straße', 1, 'x'), ('b', 1, 'x'); INSERT INTO k_either TABLE k_citext;
    INSERT INTO k_number VALUES (1.0, 1, 'x'), (2, 1, 'x'), (-0.0001, 1, 'x'); INSERT INTO k_free TABLE k_number;
    INSERT INTO k_float VALUES (0, 1, 'x'), (1, 1, 'x'), (5e-324, 1, 'x'); INSERT INTO k_real VALUES (0, 1, 'x'), (1, 1, 'x');
    INSERT INTO k_moment VALUES ('2024-03-31 02:30+01', 1, 'x'), ('2024-03-31 02:30+02', 1, 'x');
    INSERT INTO k_range VALUES ('[1,3)', 1, 'x'), ('empty', 1, 'x');
    INSERT INTO k_inet VALUES ('10.0.0.1', 1, 'x'), ('10.0.0.1/24', 1, 'x');
    INSERT INTO k_interval VALUES ('1 day', 1, 'x'); INSERT INTO k_json VALUES ('{\"a\": 1.0}', 1, 'x');";

/// Other spellings of keys that PostgreSQL holds equal, and rows that are found by them afterwards.
const RESPELL: &str = "
    UPDATE k_citext SET k = 'STRASSE' WHERE k = 'b'; UPDATE k_citext SET k = 'STRAßE' WHERE k = 'straße';
    UPDATE k_citext SET n = n + 1; DELETE FROM k_citext WHERE k = 'strasse'; INSERT INTO k_citext VALUES ('StrAsse', 7, 'y');
    UPDATE k_either SET k = upper(k); UPDATE k_either SET n = n + 1; UPDATE k_either SET k = lower(k) WHERE k = 'B';
    UPDATE k_number SET k = 1.0000 WHERE k = 1; UPDATE k_number SET n = 5 WHERE k = 1.00;
    UPDATE k_free SET k = 1.000000 WHERE k = 1; UPDATE k_free SET n = 5 WHERE k = 1; DELETE FROM k_free WHERE k = 2.0;
    UPDATE k_float SET k = '-0' WHERE k = 0; UPDATE k_float SET n = 5 WHERE k = 0; UPDATE k_float SET n = 6 WHERE k = 5e-324;
    UPDATE k_real SET k = '-0' WHERE k = 0; UPDATE k_real SET n = 5 WHERE k = 0;
    UPDATE k_moment SET n = 5 WHERE k = '2024-03-31 00:30+00'; UPDATE k_moment SET k = k + '1 microsecond';
    UPDATE k_range SET k = '[1,2]' WHERE k = '[1,3)'; UPDATE k_range SET n = 5;
    UPDATE k_inet SET k = '10.0.0.1/32' WHERE k = '10.0.0.1'; UPDATE k_inet SET n = 5;
    UPDATE k_interval SET k = '24 hours'; UPDATE k_interval SET n = 5;
    UPDATE k_json SET k = '{\"a\": 1.00}'; UPDATE k_json SET n = 5;";

/// Tables with a column `k` of look-alikes.
const ALIKE_TABLES: [&str; 10] = [
    "k_text",
    "k_varchar",
    "k_domain",
    "k_char",
    "k_name",
    "k_array",
    "k_pair",
    "k_index",
    "k_enum",
    "k_bytes",
];

/// All tables of [`APART`].
const APART_TABLES: [&str; 21] = [
    "k_text",
    "k_varchar",
    "k_domain",
    "k_char",
    "k_name",
    "k_array",
    "k_pair",
    "k_index",
    "k_enum",
    "k_bytes",
    "k_citext",
    "k_either",
    "k_number",
    "k_free",
    "k_float",
    "k_real",
    "k_moment",
    "k_range",
    "k_inet",
    "k_interval",
    "k_json",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_look_alike_stay_apart() -> Result<()> {
    let mut stage = Stage::start("keys_apart").await?;
    stage.source.execute(DATABASE, &APART.replace("$ALIKE", LOOK_ALIKES)).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&APART_TABLES).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    // One row at a time first, then all keys at once: the way of few rows, and the one of many.
    let mut changes = RESPELL.to_owned();
    for table in ALIKE_TABLES {
        changes.push_str(&format!(
            "UPDATE {table} SET n = 2; CREATE TEMP TABLE kept AS TABLE {table}; DELETE FROM {table}; \
             INSERT INTO {table} TABLE kept; UPDATE {table} SET n = 3; DROP TABLE kept;"
        ));
    }
    stage.source.execute(DATABASE, &format!("BEGIN; {changes} COMMIT")).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&APART_TABLES).await?;
    ensure!(streamed.equal, "by the stream, in bulk: {streamed:#?}");
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let client = stage.source().await?;
    for statement in RESPELL.split(';').filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.with_context(|| statement.to_owned())?;
    }
    for key in ["a", "A", "á", "ａ", "ss", "ß", "😀", "a😀"] {
        client.execute("UPDATE k_text SET n = 4 WHERE k = $1", &[&key]).await?;
        client.execute("DELETE FROM k_index WHERE k = $1", &[&key]).await?;
    }
    stage.caught_up(&mut running, "UPDATE k_pair SET n = 9").await?;
    drop(running);
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&APART_TABLES).await?;
    ensure!(streamed.equal, "by the stream, one by one: {streamed:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    let scan = stage.product.succeed(&["doctor", "--scan-keys", "-o", "json"]).await?;
    ensure!(!scan.stdout.contains("KEY_COLLISION") && !scan.stdout.contains("KEY_TOO_LONG"), "{scan}");
    ensure!(scan.stdout.contains("keys of public.k_bytes fit and are apart"), "{scan}");
    Ok(())
}

/// Tables with keys that the target cannot hold: `c_` by the copy, `s_` after the statement of the same name by the stream.
const ALIKE: [(&str, &str, &str, &str); 12] = [
    ("c_blank", "k text PRIMARY KEY", "('a'), ('a '), ('b')", "KEY_COLLISION"),
    ("c_blanks", "k varchar(9) PRIMARY KEY", "(''), (' '), ('  '), ('b ')", "KEY_COLLISION"),
    ("c_zero", "k bytea PRIMARY KEY", "('\\x01'), ('\\x0100'), ('\\x02')", "KEY_COLLISION"),
    (
        "c_pair",
        "k text, l text, PRIMARY KEY (k, l)",
        "('a ', 'b'), ('a', 'b '), ('a ', 'c')",
        "KEY_COLLISION",
    ),
    ("c_long", "k text PRIMARY KEY", "(repeat('x', 450)), (repeat('x', 451))", "KEY_TOO_LONG"),
    ("c_astral", "k text PRIMARY KEY", "(repeat('😀', 225)), (repeat('😀', 226))", "KEY_TOO_LONG"),
    (
        "c_bytes",
        "k bytea PRIMARY KEY",
        "(decode(repeat('01', 900), 'hex')), (decode(repeat('01', 901), 'hex'))",
        "KEY_TOO_LONG",
    ),
    (
        "c_share",
        "k text, l text, PRIMARY KEY (k, l)",
        "(repeat('x', 225), repeat('y', 225)), ('z', repeat('y', 226))",
        "KEY_TOO_LONG",
    ),
    ("s_blank", "k text PRIMARY KEY", "('a ')", "KEY_COLLISION"),
    ("s_zero", "k bytea PRIMARY KEY", "('\\x0100')", "KEY_COLLISION"),
    ("s_long", "k text PRIMARY KEY", "(repeat('x', 451))", "KEY_TOO_LONG"),
    ("s_pair", "k text, l text, PRIMARY KEY (k, l)", "('a', 'b ')", "KEY_COLLISION"),
];

/// What the tables of the stream hold before.
const BEFORE: &str = "INSERT INTO s_blank VALUES ('a'); INSERT INTO s_zero VALUES ('\\x01'); INSERT INTO s_long VALUES ('x'); \
     INSERT INTO s_pair VALUES ('a', 'b'); CREATE TABLE good (k text PRIMARY KEY); INSERT INTO good VALUES ('a')";

/// Tables of [`ALIKE`] with this prefix, and their codes, ordered by name.
fn expected(prefix: &str) -> Vec<(String, String)> {
    let tables = ALIKE.iter().filter(|(table, ..)| table.starts_with(prefix));
    let mut expected: Vec<_> =
        tables.map(|(table, _, _, code)| ((*table).to_owned(), (*code).to_owned())).collect();
    expected.sort();
    expected
}

/// Runs the statement that a finding gives; the rows that it lists.
fn listed(stage: &Stage, report: &Value, table: &str) -> Result<usize> {
    let findings = report["findings"].as_array().context("findings")?;
    let about = |finding: &&Value| {
        finding["detail"].as_str().is_some_and(|detail| detail.contains(&format!("public.{table} ")))
            && finding["check"] == "pg.key_scan"
    };
    let finding = findings.iter().find(about).with_context(|| format!("{table}: {report:#}"))?;
    let sql = finding["fix_sql"][0].as_str().with_context(|| finding.to_string())?;
    Ok(stage.source.psql(DATABASE, sql)?.lines().filter(|line| !line.is_empty()).count())
}

/// # Fault F49
/// Keys that differ at the source are one to the target's collation.
/// - Happens: preflight looks for them where the key has text; at run time the table is set aside as `KEY_COLLISION`.
/// - Do: give the column a binary collation, or mend the rows, then `segcdc table resync`.
/// - Not run: other collations than the ones that the sandbox knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_one_to_the_target_halt_their_table() -> Result<()> {
    let mut stage = Stage::start("keys_alike").await?;
    for (table, columns, rows, _) in ALIKE {
        stage.source.execute(DATABASE, &format!("CREATE TABLE {table} ({columns})")).await?;
        if table.starts_with("c_") {
            stage.source.execute(DATABASE, &format!("INSERT INTO {table} VALUES {rows}")).await?;
        }
    }
    stage.source.execute(DATABASE, BEFORE).await?;

    let scan = stage.product.run(&["doctor", "--scan-keys", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&scan.stdout).with_context(|| scan.to_string())?;
    let warned = |code: &str| -> Vec<String> {
        let findings = report["findings"].as_array().into_iter().flatten();
        findings
            .filter(|f| f["code"] == code)
            .filter_map(|f| f["detail"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let (alike, long) = (warned("KEY_COLLISION"), warned("KEY_TOO_LONG"));
    ensure!((alike.len(), long.len()) == (4, 4), "{alike:#?} {long:#?}");
    ensure!(
        alike.iter().any(|detail| detail.starts_with("3 rows of public.c_blanks have 1 keys")),
        "{alike:#?}"
    );
    for (table, rows) in
        [("c_blank", 1), ("c_zero", 1), ("c_pair", 1), ("c_astral", 1), ("c_bytes", 1), ("c_share", 1)]
    {
        assert_eq!(listed(&stage, &report, table)?, rows, "{table}");
    }

    let mut running = stage.product.up()?;
    let copied = || async { (stage.quarantined().await.ok()? == expected("c_")).then_some(()) };
    running.until("the copied tables are halted", PATIENCE, copied).await?;
    stage.caught_up(&mut running, "INSERT INTO good VALUES ('b')").await?;
    for (table, _, rows, _) in ALIKE.iter().filter(|(table, ..)| table.starts_with("s_")) {
        stage.source.execute(DATABASE, &format!("INSERT INTO {table} VALUES {rows}")).await?;
    }
    let all = || async { (stage.quarantined().await.ok()?.len() == ALIKE.len()).then_some(()) };
    running.until("the streamed tables are halted", PATIENCE, all).await?;
    assert_eq!(stage.quarantined().await?, [expected("c_"), expected("s_")].concat());
    stage.caught_up(&mut running, "INSERT INTO good VALUES ('c')").await?;
    ensure!(stage.compare(&["good"]).await?.equal, "the good table went on");

    // Mended at the source, they are copied again, and followed.
    let mut mend = String::new();
    for (table, columns, ..) in ALIKE {
        let bytes = columns.contains("bytea");
        let bad = if bytes {
            "k = '\\x0100' OR octet_length(k) > 900"
        } else {
            "k LIKE '% ' OR octet_length(k) > 900 OR length(k) > 450"
        };
        mend.push_str(&format!("DELETE FROM {table} WHERE {bad};"));
    }
    mend.push_str("DELETE FROM c_share WHERE length(l) > 225; DELETE FROM s_pair WHERE l = 'b '; DELETE FROM c_pair WHERE l = 'b ';");
    stage.source.execute(DATABASE, &mend).await?;
    drop(running);
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let tables: Vec<&str> = ALIKE.iter().map(|(table, ..)| *table).collect();
    let mended = stage.compare(&tables).await?;
    ensure!(mended.equal && stage.quarantined().await?.is_empty(), "{mended:#?}");
    Ok(())
}

/// Changes of one transaction that end without two keys which are one to the target, in every order.
const ORDERS: [&str; 8] = [
    "INSERT INTO t VALUES ('b '); DELETE FROM t WHERE k = 'b'",
    "DELETE FROM t WHERE k = 'b '; INSERT INTO t VALUES ('b', 2)",
    "UPDATE t SET k = 'b  ' WHERE k = 'b'",
    "UPDATE t SET k = 'x' WHERE k = 'b  '; INSERT INTO t VALUES ('x ', 1); UPDATE t SET n = 4 WHERE k = 'x '; \
     DELETE FROM t WHERE k = 'x'; UPDATE t SET k = 'b' WHERE k = 'x '",
    "INSERT INTO t VALUES ('a '); UPDATE t SET n = 9 WHERE k = 'a '; DELETE FROM t WHERE k = 'a '; \
     UPDATE t SET n = 8 WHERE k = 'a'",
    "UPDATE t SET k = 'a ' WHERE k = 'a'; UPDATE t SET n = 3 WHERE k = 'a '; UPDATE t SET k = 'a' WHERE k = 'a '",
    "UPDATE t SET k = 'swap' WHERE k = 'a'; UPDATE t SET k = 'a ' WHERE k = 'b'; UPDATE t SET k = 'b ' WHERE k = 'swap'",
    "TRUNCATE t; INSERT INTO t VALUES ('a  ', 1)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailing_blanks_come_and_go_in_every_order() -> Result<()> {
    let mut stage = Stage::start("keys_orders").await?;
    let create = "CREATE TABLE t (k text PRIMARY KEY, n int); CREATE TABLE many (i int PRIMARY KEY)";
    stage.source.execute(DATABASE, create).await?;
    for staged in [false, true] {
        stage.source.execute(DATABASE, "TRUNCATE t; INSERT INTO t VALUES ('a', 1), ('b', 1)").await?;
        for changes in ORDERS {
            // More rows than the way of few rows takes send the batch through staging.
            let more = if staged {
                "INSERT INTO many SELECT (SELECT coalesce(max(i), 0) FROM many) + g FROM generate_series(1, 50) g;"
            } else {
                ""
            };
            stage.source.execute(DATABASE, &format!("BEGIN; {changes}; {more} COMMIT")).await?;
            stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
            let found = stage.compare(&["t"]).await?;
            ensure!(found.equal && stage.quarantined().await?.is_empty(), "{staged} {changes}: {found:#?}");
        }
    }
    Ok(())
}
