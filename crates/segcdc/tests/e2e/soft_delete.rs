//! Tables in which deleted rows stay.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::independent;
use super::stage::{DATABASE, PATIENCE, Stage};

/// A table with what the target is to keep of it, told by triggers, one whose rows go, and one that cannot keep any.
const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, note text, big text);
    ALTER TABLE orders ALTER big SET STORAGE EXTERNAL;
    CREATE UNLOGGED TABLE gone (LIKE orders);
    CREATE VIEW orders_kept AS SELECT * FROM orders UNION ALL SELECT * FROM gone;
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'TRUNCATE' THEN INSERT INTO gone SELECT * FROM orders; RETURN NULL; END IF;
      IF TG_OP <> 'DELETE' THEN DELETE FROM gone WHERE id = NEW.id; RETURN NEW; END IF;
      INSERT INTO gone VALUES (OLD.*); RETURN OLD; END $$;
    CREATE TRIGGER keep BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep();
    CREATE TRIGGER keep_all BEFORE TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION keep();
    CREATE TABLE session (id int PRIMARY KEY, note text);
    CREATE TABLE bag (note text); ALTER TABLE bag REPLICA IDENTITY FULL;
    INSERT INTO orders SELECT i, 'copied', repeat(i::text, 4000) FROM generate_series(1, 50) i;
    INSERT INTO session SELECT i, 'copied' FROM generate_series(1, 50) i;";

/// The rules, as an option takes several.
const RULES: [&str; 2] = ["--mode", "soft-delete,public.session=mirror"];

const UP: [&str; 3] = ["up", "--yes", "--until-caught-up"];

/// Changes of all kinds; long values stay unsent where they did not change.
const CHANGES: &str = "
    BEGIN; UPDATE orders SET note = 'last words' WHERE id <= 10; DELETE FROM orders WHERE id <= 5; COMMIT;
    INSERT INTO orders VALUES (1, 'again', 'x'), (100, 'new', 'y');
    BEGIN; INSERT INTO orders VALUES (101, 'passing', 'z'); DELETE FROM orders WHERE id = 101; COMMIT;
    UPDATE orders SET id = 2 WHERE id = 20; UPDATE orders SET id = id + 200 WHERE id BETWEEN 30 AND 34;
    DELETE FROM orders WHERE id IN (230, 2); BEGIN; UPDATE orders SET id = 3, note = 'moved' WHERE id = 21; DELETE FROM orders WHERE id = 3; COMMIT;
    DELETE FROM session WHERE id <= 5;";

/// More than the memory of a batch takes: applied in parts that are committed one by one.
const LARGE: &str = "
    BEGIN; INSERT INTO orders SELECT i, 'large', repeat('x', 2500) FROM generate_series(1000, 4600) i;
    DELETE FROM orders WHERE id % 3 = 0; UPDATE orders SET note = 'changed' WHERE id % 3 = 1;
    INSERT INTO orders SELECT i, 'back', 'b' FROM generate_series(1002, 1100, 3) i; COMMIT;";

/// The table is emptied, and has rows again.
const EMPTIED: &str = "
    BEGIN; UPDATE orders SET note = 'emptied' WHERE id = 40; INSERT INTO orders VALUES (300, 'short', 's');
    TRUNCATE orders; INSERT INTO orders VALUES (41, 'behind', 'b'), (300, 'behind', 'b'), (301, 'behind', 'b'); COMMIT;
    DELETE FROM orders WHERE id = 301; TRUNCATE session;";

/// Compares live and deleted rows, and how many of them are live.
async fn ensure_kept(stage: &Stage) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let pairs = [["public", "orders_kept", schema, "orders"], ["public", "session", schema, "session"]];
    let compared = stage.compare_pairs(&pairs).await?;
    ensure!(
        compared.equal && stage.quarantined().await?.is_empty(),
        "{compared:#?} {:?}",
        stage.quarantined().await?
    );
    let live = stage.source().await?.query_one("SELECT count(*) FROM orders", &[]).await?.get::<_, i64>(0);
    assert_eq!(marked(stage, "IS NULL").await?, live, "live rows");
    Ok(())
}

/// Rows whose mark is like this.
async fn marked(stage: &Stage, condition: &str) -> Result<i64> {
    let orders = stage.target_table("orders");
    stage
        .target_number(&format!("SELECT COUNT(*) FROM {orders} WHERE [_segcdc_deleted_at] {condition}"))
        .await
}

/// The source's clock, as T-SQL.
async fn clock(stage: &Stage) -> Result<String> {
    let sql = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')";
    let now: String = stage.source().await?.query_one(sql, &[]).await?.get(0);
    Ok(format!("CONVERT(datetime2(6), N'{now}', 126)"))
}

/// Rows that somebody else has changed are found, and are marked or live again.
async fn ensure_repaired(stage: &mut Stage) -> Result<()> {
    let verify = stage.product.succeed(&["verify", "-o", "json"]).await?;
    ensure!(serde_json::from_str::<Value>(&verify.stdout)?["equal"] == true, "{verify}");
    let orders = stage.target_table("orders");
    let planted = [
        (format!("INSERT INTO {orders} ([id], [note]) VALUES (900, N'extra')"), 1),
        (format!("UPDATE {orders} SET [_segcdc_deleted_at] = NULL WHERE [id] = 301"), 1),
        (format!("UPDATE {orders} SET [_segcdc_deleted_at] = SYSUTCDATETIME() WHERE [id] = 300"), 1),
    ];
    independent::plant(&stage.target, &planted).await?;
    let verify = stage.product.run(&["verify", "-o", "json"]).await?;
    ensure!(verify.status.code() == Some(5), "{verify}");
    let report: Value = serde_json::from_str(&verify.stdout)?;
    let tables = report["tables"].as_array().context("tables")?;
    let found = tables.iter().find(|known| known["source"]["name"] == "orders").context("the table")?;
    ensure!(found["missing"] == 1 && found["extra"] == 2 && found["different"] == 0, "{report:#}");
    let repaired = stage.product.succeed(&["verify", "--repair", "--yes", "-o", "json"]).await?;
    ensure!(serde_json::from_str::<Value>(&repaired.stdout)?["equal"] == true, "{repaired}");
    // What was never at the source is kept too: it may have been there.
    independent::plant(
        &stage.target,
        &[(format!("DELETE FROM {orders} WHERE [id] = 900 AND [_segcdc_deleted_at] IS NOT NULL"), 1)],
    )
    .await?;
    ensure_kept(stage).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_rows_stay_and_say_when() -> Result<()> {
    let mut stage = Stage::start("soft_delete").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let plan = stage.product.run(&[&["plan", "-o", "json"], &RULES[..]].concat()).await?;
    let report: Value = serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
    let codes: Vec<&Value> =
        report["left_out"].as_array().context("left_out")?.iter().map(|left| &left["code"]).collect();
    ensure!(codes.contains(&&"MODE_IMPOSSIBLE".into()), "{report:#}");
    ensure!(
        report["tables"][0]["mode"] == "soft-delete" && report["rules"]["mode"][0] == "soft-delete",
        "{report:#}"
    );
    stage.product.set("SEGCDC_LARGE_TRANSACTIONS", "chunked");
    let mut running = stage.product.start(&[&["up", "--yes"], &RULES[..]].concat())?;
    stage.live(&mut running).await?;
    ensure_kept(&stage).await?;
    let before = clock(&stage).await?;
    stage.source.execute(DATABASE, CHANGES).await?;
    stage.caught_up(&mut running, "INSERT INTO session VALUES (900)").await?;
    ensure_kept(&stage).await?;
    stage.source.execute(DATABASE, LARGE).await?;
    stage.caught_up(&mut running, "INSERT INTO session VALUES (901)").await?;
    ensure_kept(&stage).await?;
    ensure!(running.log().contains("too large for memory"), "it was applied in parts: {}", running.log());
    // What is merged anew keeps what is deleted.
    let merge = ["table", "resync", "--tables", "public.orders", "--by", "merge", "--wait", "--yes"];
    stage.product.succeed(&merge).await?;
    ensure_kept(&stage).await?;
    let between = clock(&stage).await?;
    running.kill().await?;
    stage.source.execute(DATABASE, EMPTIED).await?;
    stage.product.succeed(&UP).await?;
    ensure_kept(&stage).await?;
    let (early, late) = (format!("< {between}"), format!("> {between}"));
    ensure!(marked(&stage, &format!("< {before}")).await? == 0, "marks are of the source's time");
    ensure!(
        marked(&stage, &early).await? > 1000 && marked(&stage, &late).await? > 2000,
        "marks are of their time"
    );
    ensure_repaired(&mut stage).await?;
    ensure_rules_stay(&mut stage).await?;
    ensure_shapes_follow(&mut stage).await
}

/// Another mode needs another copy, and is kept with the pipeline.
async fn ensure_rules_stay(stage: &mut Stage) -> Result<()> {
    let plan = stage.product.run(&["plan", "-o", "json", "--mode", "mirror"]).await?;
    let report: Value = serde_json::from_str(&plan.stdout)?;
    let effects = report["effects"].as_array().context("effects")?;
    let effect = effects.iter().find(|effect| effect["setting"] == "modes");
    ensure!(effect.is_some_and(|effect| effect["effect"] == "recopy"), "{report:#}");
    let refused = stage.product.run(&[&UP[..], &["--mode", "mirror"]].concat()).await?;
    ensure!(refused.stderr.contains("RULES_CHANGE_SHAPE"), "{refused}");
    let export = stage.product.succeed(&["export"]).await?;
    ensure!(export.stdout.contains("modes:") && export.stdout.contains("default: soft-delete"), "{export}");
    Ok(())
}

/// Columns come to deleted rows too; a column of the mark's name does not.
async fn ensure_shapes_follow(stage: &mut Stage) -> Result<()> {
    let add = "DROP VIEW orders_kept; ALTER TABLE orders ADD more int DEFAULT 7; ALTER TABLE gone ADD more int DEFAULT 7;
        CREATE VIEW orders_kept AS SELECT * FROM orders UNION ALL SELECT * FROM gone; DELETE FROM orders WHERE id = 300";
    stage.source.execute(DATABASE, add).await?;
    stage.product.succeed(&UP).await?;
    ensure_kept(stage).await?;
    let taken =
        "ALTER TABLE orders ADD _segcdc_deleted_at int; INSERT INTO orders VALUES (500, 'x', 'y', 7, 1)";
    stage.source.execute(DATABASE, "DROP TRIGGER keep ON orders").await?;
    stage.source.execute(DATABASE, taken).await?;
    let mut running = stage.product.up()?;
    let expected = [("orders".to_owned(), "SCHEMA_CHANGED".to_owned())];
    running
        .until("the table is halted", PATIENCE, || async {
            (stage.quarantined().await.ok()? == expected).then_some(())
        })
        .await?;
    Ok(())
}
