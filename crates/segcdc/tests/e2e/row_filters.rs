//! Rows that are left out by a condition.

use anyhow::{Result, ensure};

use super::stage::{DATABASE, PATIENCE, Stage};

/// Each table with a view of what the target is to have of it.
const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, region text, total int, note text); ALTER TABLE orders REPLICA IDENTITY FULL;
    ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
    CREATE VIEW orders_wanted AS SELECT * FROM orders WHERE region = 'E,U' AND total > 10;
    CREATE TABLE keyed (id int PRIMARY KEY, v text); CREATE VIEW keyed_wanted AS SELECT * FROM keyed WHERE id < 100;
    CREATE TABLE bag (note text); ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE VIEW bag_wanted AS SELECT * FROM bag WHERE note <> 'x';
    CREATE TABLE root (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE root_eu PARTITION OF root FOR VALUES IN ('EU'); CREATE TABLE root_rest PARTITION OF root DEFAULT;
    CREATE VIEW root_wanted AS SELECT * FROM root WHERE region = 'EU';
    CREATE TABLE long (id int PRIMARY KEY, note text); ALTER TABLE long ALTER note SET STORAGE EXTERNAL;
    CREATE VIEW long_wanted AS SELECT * FROM long WHERE id < 100;
    CREATE FUNCTION small(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 5';
    INSERT INTO orders SELECT n, CASE n % 3 WHEN 0 THEN 'E,U' WHEN 1 THEN 'US' END, n, repeat('n', 3000) FROM generate_series(1, 60) n;
    INSERT INTO keyed SELECT n, 'v' FROM generate_series(50, 150) n;
    INSERT INTO bag SELECT CASE n % 3 WHEN 0 THEN 'x' WHEN 1 THEN 'y' END FROM generate_series(1, 60) n;
    INSERT INTO root SELECT n, CASE n % 2 WHEN 0 THEN 'EU' ELSE 'US' END FROM generate_series(1, 60) n;
    INSERT INTO long SELECT n, repeat('n', 3000) FROM generate_series(50, 150) n;";

/// Rows that come to meet their condition, meet it no more, or change on either side of it; long values are not touched.
const CHANGES: &str = "
    UPDATE orders SET region = 'E,U' WHERE id IN (20, 22, 25); UPDATE orders SET region = NULL WHERE id = 30;
    UPDATE orders SET total = 5 WHERE id = 33; UPDATE orders SET total = 1000 WHERE id = 36;
    BEGIN; UPDATE orders SET region = 'US' WHERE id = 39; UPDATE orders SET region = 'E,U', id = 1039 WHERE id = 39; COMMIT;
    DELETE FROM orders WHERE id IN (42, 43); INSERT INTO orders VALUES (100, 'E,U', 11, 'new'), (101, 'E,U', 10, 'no');
    UPDATE keyed SET id = id - 100 WHERE id BETWEEN 110 AND 120; UPDATE keyed SET id = id + 1000 WHERE id BETWEEN 60 AND 70;
    UPDATE keyed SET v = 'w' WHERE id IN (80, 130); DELETE FROM keyed WHERE id IN (81, 131);
    UPDATE bag SET note = 'x' WHERE ctid = (SELECT min(ctid) FROM bag WHERE note = 'y'); UPDATE bag SET note = 'y' WHERE note IS NULL;
    UPDATE bag SET note = 'z' WHERE ctid = (SELECT max(ctid) FROM bag WHERE note = 'x');
    UPDATE root SET region = 'EU' WHERE id IN (1, 3); UPDATE root SET region = 'US' WHERE id IN (2, 4);";

const ALL: [&str; 4] = ["orders", "keyed", "bag", "root"];

/// The conditions, and the tables that they are about.
const UP: [&str; 15] = [
    "up",
    "--yes",
    "--until-caught-up",
    "--exclude",
    "root_*",
    "--where",
    "public.orders: region = 'E,U' AND total > 10",
    "--where",
    "public.keyed: id < 100",
    "--where",
    "public.bag: note <> 'x'",
    "--where",
    "public.root:region = 'EU'",
    "--where",
    "public.long: id < 100",
];

async fn ensure_as_wanted(stage: &Stage, tables: &[&str]) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let names: Vec<(String, &str)> = tables.iter().map(|table| (format!("{table}_wanted"), *table)).collect();
    let pairs: Vec<_> = names.iter().map(|(view, table)| ["public", view.as_str(), schema, table]).collect();
    let compared = stage.compare_pairs(&pairs).await?;
    ensure!(compared.equal, "{compared:#?}");
    Ok(())
}

/// Conditions that the source does not take, or with which the application could not go on.
async fn ensure_refusals(stage: &mut Stage) -> Result<()> {
    for (rule, code) in [
        ("public.keyed: nothing = 1", "ROW_FILTER_INVALID"),
        ("public.keyed: id", "ROW_FILTER_INVALID"),
        ("public.keyed: small(id)", "ROW_FILTER_INVALID"),
        ("public.keyed: v = 'v'", "ROW_FILTER_COLUMNS"),
        ("public.keyed: id < 100); DROP TABLE keyed; --", "RULE_INVALID"),
        ("public.nothing: id < 100", "RULE_UNUSED"),
    ] {
        let plan = stage.product.run(&["plan", "-o", "json", "--where", rule]).await?;
        let said = format!("{}{}", plan.stdout, plan.stderr);
        ensure!(!plan.status.success() && said.contains(code), "{rule}: {plan}");
    }
    let left: i64 = stage.source().await?.query_one("SELECT count(*) FROM pg_publication", &[]).await?.get(0);
    ensure!(left == 0, "a publication was left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_do_not_meet_their_condition_never_arrive() -> Result<()> {
    let mut stage = Stage::start("row_filters").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let version: String = stage.source().await?.query_one("SHOW server_version_num", &[]).await?.get(0);
    if version.parse::<u32>()? < 150_000 {
        let refused = stage.product.run(&UP).await?;
        ensure!(
            !refused.status.success() && refused.to_string().contains("ROW_FILTER_UNSUPPORTED"),
            "{refused}"
        );
        return Ok(());
    }
    ensure_refusals(&mut stage).await?;
    stage.product.succeed(&UP).await?;
    ensure_as_wanted(&stage, &ALL).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, CHANGES).await?;
    stage
        .caught_up(
            &mut running,
            "INSERT INTO keyed VALUES (99, 'mark') ON CONFLICT (id) DO UPDATE SET v = 'mark'",
        )
        .await?;
    ensure_as_wanted(&stage, &ALL).await?;
    ensure!(stage.quarantined().await?.is_empty());

    // A long value that PostgreSQL does not send is not guessed.
    stage.source.execute(DATABASE, "UPDATE long SET id = 7 WHERE id = 140").await?;
    let expected = [("long".to_owned(), "ROW_ENTERS_IN_PART".to_owned())];
    running
        .until("the table is halted", PATIENCE, || async {
            (stage.quarantined().await.ok()? == expected).then_some(())
        })
        .await?;
    let shape = "ALTER TABLE orders RENAME COLUMN region TO area; UPDATE orders SET area = 'E,U', total = 77 WHERE id = 1;
        BEGIN; TRUNCATE bag; INSERT INTO bag VALUES ('x'), ('y'); COMMIT; ALTER TABLE long REPLICA IDENTITY FULL";
    stage.source.execute(DATABASE, shape).await?;
    stage.source.execute(DATABASE, "ALTER VIEW orders_wanted RENAME COLUMN region TO area").await?;
    stage.caught_up(&mut running, "UPDATE keyed SET v = 'mark 2' WHERE id = 99").await?;
    drop(running);
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage
        .source
        .execute(DATABASE, "UPDATE long SET id = 8 WHERE id = 141; UPDATE orders SET total = 78 WHERE id = 2")
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_as_wanted(&stage, &["orders", "keyed", "bag", "root", "long"]).await?;
    ensure!(stage.quarantined().await?.is_empty());
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");

    // Another condition needs another copy, and one that was taken from the publication is missed.
    let rules = ["--where", "public.keyed: id < 1000"];
    let refused = stage.product.run(&[&["up", "--yes", "--until-caught-up"], &rules[..]].concat()).await?;
    ensure!(refused.stderr.contains("RULES_CHANGE_SHAPE"), "{refused}");
    let other = "ALTER PUBLICATION segcdc_row_filters DROP TABLE keyed; \
                 ALTER PUBLICATION segcdc_row_filters ADD TABLE keyed WHERE (id < 90)";
    stage.source.execute(DATABASE, other).await?;
    let halted = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    let expected = [("keyed".to_owned(), "TABLE_PARTLY_PUBLISHED".to_owned())];
    ensure!(stage.quarantined().await? == expected, "{halted}");
    Ok(())
}
