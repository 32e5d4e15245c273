//! Policies for values that SQL Server lacks: by the copy and by the stream, read back by a client that is not ours.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, PATIENCE, Stage};

/// The columns of which the types have such values.
const COLUMNS: [&str; 7] = ["n", "d", "r", "day", "at", "instant", "t"];

/// Two tables and a bag of them, and what they should be in the target: views, which no pipeline carries.
const REPLACED: &str = "
    CREATE TABLE clamped (id int PRIMARY KEY, n numeric, d float8, r float4, day date, at timestamp, instant timestamptz,
        t time);
    CREATE TABLE nulled (LIKE clamped INCLUDING ALL);
    CREATE TABLE bag (n numeric, at timestamp, what text);
    ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE pit (n numeric, t time, what text);
    ALTER TABLE pit REPLICA IDENTITY FULL;
    CREATE TABLE alone (id int PRIMARY KEY, n numeric);
    CREATE SCHEMA expected;
    CREATE VIEW expected.clamped AS SELECT id,
        CASE WHEN n >= 1e20 THEN 99999999999999999999.999999999999999999
             WHEN n <= -1e20 THEN -99999999999999999999.999999999999999999 ELSE n END AS n,
        CASE d WHEN 'Infinity' THEN 1.7976931348623157e308 WHEN '-Infinity' THEN -1.7976931348623157e308 ELSE d END AS d,
        CASE r WHEN 'Infinity' THEN 3.4028235e38::float4 WHEN '-Infinity' THEN -3.4028235e38::float4 ELSE r END AS r,
        CASE WHEN day IS NOT NULL THEN LEAST(GREATEST(day, '0001-01-01'), '9999-12-31') END AS day,
        CASE WHEN at IS NOT NULL THEN LEAST(GREATEST(at, '0001-01-01'), '9999-12-31 23:59:59.999999') END AS at,
        CASE WHEN instant IS NOT NULL
             THEN LEAST(GREATEST(instant, '0001-01-01 00:00:00+00'), '9999-12-31 23:59:59.999999+00') END AS instant,
        CASE t WHEN '24:00:00' THEN '23:59:59.999999' ELSE t END AS t FROM clamped;
    CREATE VIEW expected.nulled AS SELECT id,
        CASE WHEN n < 1e20 AND n > -1e20 AND round(n, 18) = n THEN n END AS n,
        CASE WHEN d > '-Infinity' AND d < 'Infinity' THEN d END AS d,
        CASE WHEN r > '-Infinity' AND r < 'Infinity' THEN r END AS r,
        CASE WHEN day BETWEEN '0001-01-01' AND '9999-12-31' THEN day END AS day,
        CASE WHEN at BETWEEN '0001-01-01' AND '9999-12-31 23:59:59.999999' THEN at END AS at,
        CASE WHEN instant BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN instant END AS instant,
        NULLIF(t, '24:00:00') AS t FROM nulled;
    CREATE VIEW expected.pit AS SELECT NULLIF(n, 'NaN') AS n, NULLIF(t, '24:00:00') AS t, what FROM pit;
    CREATE VIEW expected.bag AS SELECT LEAST(n, 99999999999999999999.999999999999999999) AS n,
        LEAST(at, '9999-12-31 23:59:59.999999') AS at, what FROM bag;";

/// Rows from `first` on; the first four have a neighbour for each value, the last two have none for some.
fn rows(first: u32) -> String {
    let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(|n| first + n);
    let odd = format!(
        "({a}, 'Infinity', 'Infinity', '-Infinity', 'infinity', 'infinity', '-infinity', '24:00:00'),
         ({b}, '-Infinity', '-Infinity', 'Infinity', '-infinity', '-infinity', 'infinity', '24:00:00'),
         ({c}, 12345678901234567890123456789012345678901234567890.5, 1.5, -1.5, '10000-01-01', '10000-01-01 00:00:00',
          '294276-12-31 23:59:59.999999+00', '00:00:00'),
         ({d}, -100000000000000000000, 0, 0, '0001-12-31 BC', '0044-03-15 12:00:00 BC', '4713-01-01 00:00:00+00 BC',
          '12:00:00.5'),
         ({e}, 99999999999999999999.999999999999999999, 1.7976931348623157e308, 3.4028235e38, '9999-12-31',
          '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', '23:59:59.999999'),
         ({f}, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    );
    format!(
        "INSERT INTO clamped VALUES {odd};
         INSERT INTO nulled VALUES {odd},
         ({g}, 'NaN', 'NaN', 'NaN', '2024-02-29', '2024-02-29 12:00:00', '2024-02-29 12:00:00+02', '01:02:03'),
         ({h}, 0.0000000000000000001, 1e-300, 1e-30, '0001-01-01', '0001-01-01 00:00:00', '0001-01-01 00:00:00+00', '0:0');
         INSERT INTO pit VALUES ('NaN', NULL, 'x'), (NULL, '24:00:00', 'x'), (NULL, NULL, 'x'), (1, '1:00', 'y');
         INSERT INTO bag VALUES ('Infinity', 'infinity', 'x'), (1e25, 'infinity', 'x'), (7, '2024-01-01', NULL);"
    )
}

/// Pairs of what should be in the target and what is.
async fn ensure_expected(stage: &Stage, tables: &[&str], when: &str) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let pairs: Vec<[&str; 4]> = tables.iter().map(|table| ["expected", *table, schema, *table]).collect();
    let found = stage.compare_pairs(&pairs).await?;
    ensure!(found.equal, "{when}: {found:#?}");
    Ok(())
}

/// The answer of a command that ends with 0, as JSON.
async fn json(stage: &mut Stage, command: &str) -> Result<Value> {
    let finished = stage.product.succeed(&[command, "-o", "json"]).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// One table of a report.
fn table<'a>(report: &'a Value, name: &str) -> &'a Value {
    let tables = report["tables"].as_array().into_iter().flatten();
    tables.into_iter().find(|table| table["source"]["name"] == name).unwrap_or(&Value::Null)
}

/// Uses of a policy, for each of [`COLUMNS`].
fn uses(report: &Value, name: &str, policy: &str) -> Vec<u64> {
    let uses = table(report, name)["policy_uses"].as_array().cloned().unwrap_or_default();
    let of = |column: &str| {
        uses.iter().find(|used| used["column"] == column && used["policy"] == policy)?["uses"].as_u64()
    };
    COLUMNS.iter().map(|column| of(column).unwrap_or(0)).collect()
}

/// Values that differ between a table of the source and its view, for each of [`COLUMNS`].
async fn differing(stage: &Stage, name: &str) -> Result<Vec<u64>> {
    let mut counts = Vec::new();
    for column in COLUMNS {
        let sql = format!(
            "SELECT count(*) FROM {name} AS s JOIN expected.{name} AS e USING (id) WHERE s.{column} IS DISTINCT FROM e.{column}"
        );
        let count: i64 = stage.source().await?.query_one(&sql, &[]).await?.get(0);
        counts.push(u64::try_from(count)?);
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_become_null_or_the_nearest_one_and_are_counted() -> Result<()> {
    let mut stage = Stage::start("policies_replaced").await?;
    stage.source.execute(DATABASE, &format!("{REPLACED} {}", rows(1))).await?;
    let all = ["clamped", "nulled", "bag", "pit"];
    let rules =
        ["up", "--yes", "--until-caught-up", "--on-value", "clamp,public.nulled=null,public.pit=null"];
    stage.product.succeed(&rules).await?;
    ensure_expected(&stage, &all, "by the copy").await?;
    let status = json(&mut stage, "status").await?;
    for (name, policy) in [("clamped", "clamp"), ("nulled", "null")] {
        let expected = differing(&stage, name).await?;
        ensure!(expected.iter().all(|count| *count >= 2), "{name} proves little: {expected:?}");
        assert_eq!(uses(&status, name, policy), expected, "{name}, by the copy: {status:#}");
    }

    // The rules are the pipeline's: not given again, they hold.
    let changes = format!(
        "{} UPDATE clamped SET d = 1 WHERE id = 1; UPDATE bag SET what = 'y' WHERE n = 1e25;
         DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE n = 'Infinity' LIMIT 1);
         UPDATE pit SET what = 'z' WHERE t = '24:00:00';",
        rows(101)
    );
    stage.source.execute(DATABASE, &format!("BEGIN; {changes} COMMIT")).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &all, "by the stream").await?;
    // In a batch of few rows, which goes another way.
    stage
        .source
        .execute(DATABASE, "DELETE FROM pit WHERE n = 'NaN'; UPDATE pit SET n = 2 WHERE n IS NULL")
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &all, "by the stream, a few").await?;
    let status = json(&mut stage, "status").await?;
    let nulled = differing(&stage, "nulled").await?;
    assert_eq!(uses(&status, "nulled", "null"), nulled, "each value was written once: {status:#}");
    // The row that was changed was written twice, but for the value that was mended.
    let mut clamped = differing(&stage, "clamped").await?;
    for (count, column) in clamped.iter_mut().zip(COLUMNS) {
        *count += 1;
        ensure!(*count > 1, "{column}");
    }
    assert_eq!(uses(&status, "clamped", "clamp"), clamped, "{status:#}");

    let verify = json(&mut stage, "verify").await?;
    ensure!(verify["equal"] == true, "{verify:#}");
    for name in ["clamped", "nulled"] {
        let replaced: u64 = differing(&stage, name).await?.iter().sum();
        ensure!(table(&verify, name)["replaced"] == replaced, "{replaced} of {name}: {verify:#}");
    }
    // What has no nearest value halts its table, and no other.
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, "INSERT INTO alone VALUES (1, 'NaN')").await?;
    let halted = || async { (stage.quarantined().await.ok()?.len() == 1).then_some(()) };
    running.until("the table is halted", PATIENCE, halted).await?;
    assert_eq!(stage.quarantined().await?, [("alone".to_owned(), "VALUE_UNREPRESENTABLE".to_owned())]);
    Ok(())
}

/// Tables with a key, with one of text, without a key, and with a key of numbers.
const ASIDE: &str = "
    CREATE TABLE price (id int PRIMARY KEY, n numeric, note text);
    CREATE TABLE word (k text PRIMARY KEY, v int);
    CREATE TABLE bag (n numeric, note text);
    ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE log (at float8 PRIMARY KEY);
    CREATE SCHEMA expected;
    INSERT INTO price SELECT 3, 3, string_agg(md5(i::text), '') FROM generate_series(1, 400) i;
    INSERT INTO price VALUES (1, 1, 'a'), (4, 4, 'd');
    INSERT INTO word VALUES ('short', 1);
    INSERT INTO bag VALUES (1, 'x');
    INSERT INTO log VALUES (1.5);
    CREATE TABLE expected.price AS TABLE price;
    CREATE TABLE expected.word AS TABLE word;
    CREATE TABLE expected.bag AS TABLE bag;
    CREATE TABLE expected.log AS TABLE log;
    INSERT INTO price VALUES (2, 'NaN', 'b');
    INSERT INTO word VALUES (repeat('x', 451), 2);
    INSERT INTO bag VALUES ('NaN', 'y'), ('NaN', 'y');
    INSERT INTO log VALUES ('Infinity');";

/// The tables of [`ASIDE`].
const ASIDE_TABLES: [&str; 4] = ["price", "word", "bag", "log"];

/// Open letters of each table of [`ASIDE_TABLES`].
fn open(status: &Value) -> Vec<u64> {
    ASIDE_TABLES.iter().map(|name| table(status, name)["set_aside"].as_u64().unwrap_or(999)).collect()
}

/// What the command line shows of the letters of the copy: no value in a list, the row of the one that is asked for.
async fn ensure_letters_are_shown(stage: &mut Stage) -> Result<()> {
    let list = stage.product.succeed(&["deadletter", "list"]).await?.stdout;
    ensure!(list.contains("public.price") && list.contains("5 open, 0 closed"), "{list}");
    ensure!(!list.contains("NaN") && !list.contains("xxx"), "{list}");
    let of_price =
        stage.product.succeed(&["deadletter", "list", "--table", "public.price", "-o", "name"]).await?.stdout;
    let number = of_price.trim();
    ensure!(number.parse::<i64>().is_ok(), "one letter: {of_price}");
    let shown = stage.product.succeed(&["deadletter", "show", number, "-o", "json"]).await?.stdout;
    let shown: Value = serde_json::from_str(&shown)?;
    let row = serde_json::json!({ "id": "2", "n": "NaN", "note": "b" });
    ensure!(shown["personal_data"]["payload"] == row && shown["column"] == "n", "{shown:#}");
    ensure!(shown["personal_data"]["key"] == serde_json::json!(["2"]), "{shown:#}");
    let none = stage.product.succeed(&["deadletter", "list", "--code", "NO_SUCH_CODE", "-o", "name"]).await?;
    ensure!(none.stdout.trim().is_empty(), "{none}");
    let missing = stage.product.run(&["deadletter", "show", "999999999"]).await?;
    ensure!(missing.stderr.contains("DEAD_LETTER_NOT_FOUND"), "{missing}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_set_aside_until_they_fit() -> Result<()> {
    let mut stage = Stage::start("policies_aside").await?;
    stage.source.execute(DATABASE, ASIDE).await?;
    stage.product.set("SEGCDC_ON_VALUE", "set_aside");
    stage.product.set("SEGCDC_TABLES", "public.*");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &ASIDE_TABLES, "by the copy").await?;
    let status = json(&mut stage, "status").await?;
    assert_eq!(open(&status), [1, 1, 2, 1], "{status:#}");
    let notes = status["notes"].to_string();
    ensure!(notes.contains("ROWS_SET_ASIDE") && notes.contains("5 rows"), "{notes}");
    ensure_verified(&mut stage, [1, 1, 2, 1]).await?;
    ensure_letters_are_shown(&mut stage).await?;

    // The last good version stays; an UPDATE that says all that is lacking heals, also across a kill.
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage
        .source
        .execute(
            DATABASE,
            "UPDATE price SET n = 'NaN' WHERE id = 1;
             UPDATE price SET n = 'Infinity' WHERE id = 3;
             UPDATE price SET n = 2 WHERE id = 2; INSERT INTO expected.price VALUES (2, 2, 'b');
             INSERT INTO price VALUES (5, 'NaN', 'e'); DELETE FROM price WHERE id = 5;
             INSERT INTO log VALUES ('NaN'), (2); INSERT INTO expected.log VALUES (2);
             DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE n = 'NaN' LIMIT 1);",
        )
        .await?;
    stage
        .caught_up(&mut running, "UPDATE word SET v = 3 WHERE v = 1; UPDATE expected.word SET v = 3")
        .await?;
    running.kill().await?;
    ensure_expected(&stage, &ASIDE_TABLES, "by the stream").await?;
    let status = json(&mut stage, "status").await?;
    assert_eq!(open(&status), [2, 1, 1, 2], "{status:#}");
    stage
        .source
        .execute(
            DATABASE,
            "BEGIN;
             UPDATE price SET n = 33 WHERE id = 3; UPDATE expected.price SET n = 33 WHERE id = 3;
             UPDATE price SET id = 7, n = 4 WHERE id = 1; DELETE FROM expected.price WHERE id = 1;
             INSERT INTO expected.price VALUES (7, 4, 'a');
             UPDATE bag SET n = 5 WHERE n = 'NaN'; INSERT INTO expected.bag VALUES (5, 'y');
             UPDATE word SET k = 'now short' WHERE v = 2; INSERT INTO expected.word VALUES ('now short', 2);
             COMMIT",
        )
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &ASIDE_TABLES, "healed").await?;
    let status = json(&mut stage, "status").await?;
    assert_eq!(open(&status), [0, 0, 0, 2], "{status:#}");
    ensure_verified(&mut stage, [0, 0, 0, 2]).await?;
    stage.source.execute(DATABASE, "TRUNCATE log; TRUNCATE expected.log").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let status = json(&mut stage, "status").await?;
    assert_eq!(open(&status), [0, 0, 0, 0], "{status:#}");
    let equal = stage.compare(&ASIDE_TABLES).await?;
    ensure!(equal.equal, "all is well again: {equal:#?}");
    let kept = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [payload] IS NOT NULL";
    ensure!(stage.target_number(kept).await? == 0, "closed letters keep no values");
    let listed = stage.product.succeed(&["deadletter", "list", "--closed", "-o", "json"]).await?.stdout;
    let listed: Value = serde_json::from_str(&listed)?;
    let letters = listed["letters"].as_array().cloned().unwrap_or_default();
    ensure!(
        listed["open"] == 0 && letters.len() as u64 == listed["closed"].as_u64().unwrap_or(0),
        "{listed:#}"
    );
    ensure!(letters.iter().all(|letter| letter["personal_data"]["key"].is_null()), "{listed:#}");
    Ok(())
}

/// `verify` finds everything equal but the rows that are set aside, of each table of [`ASIDE_TABLES`].
async fn ensure_verified(stage: &mut Stage, aside: [u64; 4]) -> Result<()> {
    let verify = json(stage, "verify").await?;
    ensure!(verify["equal"] == true, "{verify:#}");
    let found = ASIDE_TABLES.map(|name| table(&verify, name)["set_aside"].as_u64().unwrap_or(999));
    assert_eq!(found, aside, "{verify:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_may_be_set_aside_halt_their_table() -> Result<()> {
    let mut stage = Stage::start("policies_limit").await?;
    let create = "CREATE TABLE copied (id int PRIMARY KEY, n numeric); CREATE TABLE streamed (LIKE copied INCLUDING ALL);
        INSERT INTO copied SELECT i, 'NaN' FROM generate_series(1, 1001) i;
        CREATE TABLE good (id int PRIMARY KEY)";
    stage.source.execute(DATABASE, create).await?;
    stage.product.set("SEGCDC_ON_VALUE", "set_aside");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let limit = |table: &str| (table.to_owned(), "DEAD_LETTER_LIMIT".to_owned());
    assert_eq!(stage.quarantined().await?, [limit("copied")]);
    for from in [1, 501] {
        let insert =
            format!("INSERT INTO streamed SELECT i, 'NaN' FROM generate_series({from}, {from} + 499) i");
        stage.source.execute(DATABASE, &insert).await?;
    }
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    assert_eq!(stage.quarantined().await?, [limit("copied")]);
    stage
        .source
        .execute(DATABASE, "INSERT INTO streamed VALUES (0, 'NaN'); INSERT INTO good VALUES (1)")
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    assert_eq!(stage.quarantined().await?, [limit("copied"), limit("streamed")]);
    ensure!(stage.compare(&["good"]).await?.equal, "the good table went on");

    // Mended, they are copied again; the letters of before are closed.
    stage.source.execute(DATABASE, "UPDATE copied SET n = id; UPDATE streamed SET n = id").await?;
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["copied", "streamed"]).await?.equal, "copied again");
    let status = json(&mut stage, "status").await?;
    ensure!(!status.to_string().contains("ROWS_SET_ASIDE"), "{status:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_letters_trips_the_limit_that_was_asked_for() -> Result<()> {
    let mut stage = Stage::start("policies_burst").await?;
    let create =
        "CREATE TABLE strict (id int PRIMARY KEY, n numeric); CREATE TABLE price (LIKE strict INCLUDING ALL);
        CREATE TABLE good (id int PRIMARY KEY); INSERT INTO price VALUES (1, 1), (2, 'NaN')";
    stage.source.execute(DATABASE, create).await?;
    stage.product.set("SEGCDC_ON_VALUE", "set_aside");
    let up = ["up", "--yes", "--until-caught-up"];
    stage.product.succeed(&[&up[..], &["--dead-letter-limit", "3,public.strict=0"]].concat()).await?;
    ensure!(stage.quarantined().await?.is_empty(), "one row may be set aside");
    let burst = "INSERT INTO price SELECT i, CASE i WHEN 3 THEN 3 ELSE 'NaN'::numeric END FROM generate_series(3, 5) i";
    stage.source.execute(DATABASE, burst).await?;
    // Without it, the limit of before counts.
    stage.product.succeed(&up).await?;
    ensure!(stage.quarantined().await?.is_empty(), "three rows may be set aside");
    let burst = "INSERT INTO price VALUES (6, 6), (7, 'NaN'), (8, 8); INSERT INTO strict VALUES (1, 'NaN');
        INSERT INTO good VALUES (1)";
    stage.source.execute(DATABASE, burst).await?;
    stage.product.succeed(&up).await?;
    let limit = |table: &str| (table.to_owned(), "DEAD_LETTER_LIMIT".to_owned());
    assert_eq!(stage.quarantined().await?, [limit("price"), limit("strict")]);
    ensure!(stage.compare(&["good"]).await?.equal, "the good table went on");
    let status = json(&mut stage, "status").await?.to_string();
    ensure!(status.contains("more than 3 rows of public.price"), "{status}");

    // A higher limit is a setting of the pipeline, and takes nothing away from what came meanwhile.
    stage
        .source
        .execute(DATABASE, "UPDATE price SET n = 10 WHERE id = 1; DELETE FROM price WHERE id = 3")
        .await?;
    let higher = ["--dead-letter-limit", "4"];
    let plan = stage.product.succeed(&[&["plan", "-o", "json"][..], &higher].concat()).await?.stdout;
    let effect = serde_json::json!([{"setting": "dead_letter_limit", "effect": "restart"}]);
    ensure!(serde_json::from_str::<Value>(&plan)?["effects"] == effect, "{plan}");
    let resync = [&["table", "resync", "--yes"][..], &higher].concat();
    stage.product.succeed(&resync).await?;
    stage.product.succeed(&up).await?;
    ensure!(stage.quarantined().await?.is_empty(), "a higher limit lets the tables go on");
    let verify = json(&mut stage, "verify").await?;
    ensure!(verify["equal"] == true, "{verify:#}");
    let aside = ["price", "strict", "good"].map(|name| table(&verify, name)["set_aside"].as_u64());
    assert_eq!(aside, [Some(4), Some(1), Some(0)], "{verify:#}");
    // And the next one trips it again.
    stage.source.execute(DATABASE, "INSERT INTO price VALUES (9, 'NaN')").await?;
    stage.product.succeed(&up).await?;
    assert_eq!(stage.quarantined().await?, [limit("price")]);
    Ok(())
}

/// Tables whose rows come to fit and cease to.
const RESTLESS: &str = "
    CREATE TABLE price (id int PRIMARY KEY, n numeric, at timestamptz, note text);
    CREATE TABLE bag (n numeric, note text);
    ALTER TABLE bag REPLICA IDENTITY FULL;
    INSERT INTO price SELECT i, CASE WHEN i % 9 = 0 THEN 'NaN'::numeric ELSE i END, 'infinity', md5(i::text)
        FROM generate_series(1, 200) i;
    INSERT INTO bag SELECT CASE WHEN i % 9 = 0 THEN 'NaN'::numeric ELSE i % 5 END, 'w' FROM generate_series(1, 90) i;
    CREATE SCHEMA expected;
    CREATE VIEW expected.price AS SELECT id, n, LEAST(at, '9999-12-31 23:59:59.999999+00') AS at, note FROM price;";

/// A transaction that moves rows between fitting and not fitting, adds, removes and renames them; another one for each number.
fn restless(number: u32) -> String {
    let bad_or = |value: u32| if number.is_multiple_of(3) { "'NaN'".to_owned() } else { value.to_string() };
    let insert = format!(
        "INSERT INTO price SELECT coalesce(max(id), 0) + 1, {}, 'infinity', md5('{number}') FROM price;
         INSERT INTO bag VALUES ({}, 'w');",
        bad_or(number),
        bad_or(number % 5)
    );
    let change = match number % 7 {
        0 => format!("UPDATE price SET n = 'NaN' WHERE id % 17 = {}", number % 17),
        1 => format!("UPDATE price SET n = {number} WHERE id % 13 = {}", number % 13),
        2 => format!("DELETE FROM price WHERE id % 29 = {}", number % 29),
        3 => format!(
            "UPDATE price SET id = (SELECT max(id) + 1 FROM price)
             WHERE id = (SELECT min(id) FROM price WHERE id % 5 = {})",
            number % 5
        ),
        4 => "DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE n = 'NaN' LIMIT 2)".to_owned(),
        5 => format!(
            "UPDATE bag SET n = {number} WHERE ctid IN (SELECT ctid FROM bag WHERE n = 'NaN' LIMIT 1)"
        ),
        _ => "UPDATE price SET n = 1 - n, note = note || 'x' WHERE id % 11 = 3".to_owned(),
    };
    let truncate = if number % 211 == 200 { "TRUNCATE price;" } else { "" };
    format!("BEGIN; {truncate} {insert} {change}; COMMIT")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_and_go_aside_under_load_and_kills() -> Result<()> {
    let mut stage = Stage::start("policies_kills").await?;
    stage.source.execute(DATABASE, RESTLESS).await?;
    let rules = ["up", "--yes", "--until-caught-up", "--on-value", "set_aside,public.price.at=clamp"];
    stage.product.succeed(&rules).await?;
    let client = stage.source().await?;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(async move {
        let mut number = 0;
        while !*stopped.borrow_and_update() {
            client.batch_execute(&restless(number)).await?;
            number += 1;
        }
        Ok::<u32, tokio_postgres::Error>(number)
    });
    for _ in 0..4 {
        let mut running = stage.product.up()?;
        let wanted = stage.source_lsn().await?;
        let passed = || async { (stage.state().await.ok()??.applied_lsn > wanted).then_some(()) };
        running.until("it has applied something new", PATIENCE, passed).await?;
        running.kill().await?;
    }
    // While rows come and go, verify may be undecided about some, and finds no difference.
    let mut running = stage.product.up()?;
    let wanted = stage.source_lsn().await?;
    let passed = || async { (stage.state().await.ok()??.applied_lsn > wanted).then_some(()) };
    running.until("it has applied something new", PATIENCE, passed).await?;
    for _ in 0..3 {
        let finished = stage.product.run(&["verify", "-o", "json"]).await?;
        let verify: Value = serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())?;
        ensure!(verify["running"] == true && verify["differences"] == 0, "{verify:#}");
    }
    running.kill().await?;
    stop.send(true)?;
    let transactions = writer.await??;
    ensure!(transactions > 100, "hardly any load: {transactions}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let source = stage.source().await?;
    let (status, verify) = (json(&mut stage, "status").await?, json(&mut stage, "verify").await?);
    ensure!(verify["equal"] == true, "{verify:#}");
    let mut aside = 0;
    for name in ["price", "bag"] {
        let bad: i64 =
            source.query_one(&format!("SELECT count(*) FROM {name} WHERE n = 'NaN'"), &[]).await?.get(0);
        ensure!(table(&status, name)["set_aside"] == bad, "{bad} rows of {name}: {status:#}");
        ensure!(table(&verify, name)["set_aside"] == bad, "{bad} rows of {name}: {verify:#}");
        aside += bad;
    }
    ensure!(aside > 5, "hardly any row is set aside: {aside}");
    source.batch_execute("UPDATE price SET n = 0 WHERE n = 'NaN'; DELETE FROM bag WHERE n = 'NaN'").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &["price"], "healed").await?;
    ensure!(stage.compare(&["bag"]).await?.equal, "the bag is as it should be");
    let open = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL";
    ensure!(stage.target_number(open).await? == 0, "letters are left");
    Ok(())
}
