//! What is no ordinary table, and what an ordinary one may have: each carried as it is, or named with the reason.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, PATIENCE, Stage};

/// One of each kind whose changes are not streamed, beside a table that is.
const KINDS: &str = "
    CREATE TABLE plain (id int PRIMARY KEY, v text);
    INSERT INTO plain VALUES (1, 'a');
    CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
    CREATE VIEW seen AS SELECT * FROM plain;
    CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain;
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE far (id int) SERVER nowhere;";

/// The answer of a command that ends with 0, as JSON.
async fn json(stage: &mut Stage, arguments: &[&str]) -> Result<Value> {
    let finished = stage.product.succeed(&[arguments, &["-o", "json"]].concat()).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// What a plan leaves out: code and detail by name.
fn left_out(plan: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tables = plan["left_out"].as_array().into_iter().flatten();
    tables
        .map(|table| (text(&table["table"]["name"]), (text(&table["code"]), text(&table["detail"]))))
        .collect()
}

/// Details and hints of the findings with a code.
fn found(report: &Value, code: &str) -> Vec<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings
        .filter(|finding| finding["code"] == code)
        .map(|finding| format!("{} {}", finding["detail"], finding["hint"]))
        .collect()
}

/// Compares tables with views that say what should be in the target.
async fn ensure_expected(stage: &Stage, tables: &[&str], when: &str) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let pairs: Vec<[&str; 4]> = tables.iter().map(|table| ["expected", *table, schema, *table]).collect();
    let found = stage.compare_pairs(&pairs).await?;
    ensure!(found.equal, "{when}: {found:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_streamed_is_refused_by_name_and_left_out_of_wildcards() -> Result<()> {
    let mut stage = Stage::start("tablekinds").await?;
    stage.source.execute(DATABASE, KINDS).await?;
    let session = stage.source().await?;
    session.batch_execute("CREATE TEMPORARY TABLE brief (id int PRIMARY KEY)").await?;
    let sql = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'brief'";
    let temporary: String = session.query_one(sql, &[]).await?.get(0);
    let brief = format!("{temporary}.brief");
    let kinds = [
        ("public.fleeting", "is an unlogged table: its changes are not in the WAL"),
        ("public.seen", "is a view: it has no rows of its own"),
        ("public.kept", "is a materialized view: what REFRESH does"),
        ("public.far", "is a foreign table: its changes happen on another server"),
        (brief.as_str(), "is a temporary table: its changes are not in the WAL"),
    ];
    for (name, reason) in kinds {
        let tables = format!("plain,{name}");
        let refused = stage.product.run(&["up", "--yes", "--until-caught-up", "--tables", &tables]).await?;
        ensure!(refused.status.code() == Some(2), "{name}: {refused}");
        ensure!(refused.stderr.contains("[TABLE_NOT_STREAMABLE]"), "{name}: {refused}");
        ensure!(refused.stderr.contains(&format!("{name} {reason}")), "{name}: {refused}");
    }
    ensure!(stage.slots().await?.is_empty(), "something was made all the same");

    // A wildcard leaves them out, and says so.
    for tables in [&["--tables", "public.*"][..], &[]] {
        let plan = json(&mut stage, &[&["plan"], tables].concat()).await?;
        let left = left_out(&plan);
        let names: Vec<&str> = left.keys().map(String::as_str).collect();
        ensure!(names == ["far", "fleeting", "kept", "seen"], "{plan:#}");
        ensure!(left.values().all(|(code, _)| code == "TABLE_NOT_STREAMABLE"), "{plan:#}");
        let doctor = stage.product.succeed(&[&["doctor"], tables].concat()).await?;
        for (name, reason) in kinds.iter().filter(|(name, _)| name.starts_with("public")) {
            ensure!(doctor.stdout.contains(&format!("left out {name}: {name} {reason}")), "{name}: {doctor}");
        }
    }
    let plan = json(&mut stage, &["plan"]).await?;
    let left = plan["left_out"].as_array().context("what is left out")?;
    let mend = left.iter().find_map(|table| table["fix_sql"].as_str()).context("the SQL that mends one")?;
    stage.source.execute(DATABASE, mend).await?;
    for number in 0..7 {
        stage.source.execute(DATABASE, &format!("CREATE VIEW many_{number} AS SELECT 1 AS id")).await?;
    }
    let up = stage.product.succeed(&["up", "--yes", "--until-caught-up", "--tables", "public.*"]).await?;
    ensure!(up.stderr.contains("5 more of the same reason"), "{up}");
    let copied = stage.compare(&["plain", "fleeting"]).await?;
    ensure!(copied.equal, "{copied:#?}");
    drop(session);
    Ok(())
}

/// A parent, a child that is replicated too, and one without a key that is not.
const FAMILY: &str = "
    CREATE TABLE parent (id int PRIMARY KEY, v text);
    CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (parent);
    CREATE TABLE stray (far int) INHERITS (child);
    INSERT INTO parent SELECT i, 'p' FROM generate_series(1, 5) i;
    INSERT INTO child SELECT i, 'c', i FROM generate_series(11, 15) i;
    INSERT INTO stray SELECT i, 's', i, i FROM generate_series(21, 25) i;
    CREATE SCHEMA expected;
    CREATE VIEW expected.parent AS SELECT * FROM ONLY parent;
    CREATE VIEW expected.child AS SELECT * FROM ONLY child;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_inherit_are_tables_of_their_own() -> Result<()> {
    let mut stage = Stage::start("inheritance").await?;
    stage.source.execute(DATABASE, FAMILY).await?;
    stage.product.set("SEGCDC_TABLES", "parent,child");
    let plan = json(&mut stage, &["plan"]).await?;
    let told = found(&plan, "INHERITED_ROWS");
    ensure!(told.len() == 2, "{plan:#}");
    ensure!(told[0].contains("public.child is replicated"), "{told:?}");
    ensure!(told[0].contains("public.stray; not replicated at all: public.stray"), "{told:?}");
    ensure!(told[1].contains("not among them: public.child") && !told[1].contains("at all"), "{told:?}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let tables = ["parent", "child"];
    ensure_expected(&stage, &tables, "by the copy").await?;

    // The one that is not replicated is not published: without a key, PostgreSQL would refuse this UPDATE of it.
    let changes = "UPDATE parent SET v = v || '!' WHERE id % 5 < 3; DELETE FROM parent WHERE id % 5 = 4;
         INSERT INTO child VALUES (16, 'new', 16); UPDATE ONLY parent SET id = 6 WHERE id = 5;";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &tables, "by the stream").await?;
    ensure!(stage.target_count("parent").await? == 4 && stage.target_count("child").await? == 5);
    stage.source.execute(DATABASE, "TRUNCATE ONLY parent; INSERT INTO parent VALUES (7, 'after')").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &tables, "after TRUNCATE ONLY").await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    stage.source.execute(DATABASE, "TRUNCATE parent; INSERT INTO child VALUES (17, 'after', 17)").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &tables, "after TRUNCATE of all").await?;
    ensure!(stage.target_count("parent").await? == 0 && stage.target_count("child").await? == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_computed_is_left_out_and_what_is_numbered_arrives() -> Result<()> {
    let mut stage = Stage::start("generated").await?;
    let setup = "
        CREATE TABLE bill (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, net numeric(10,2), number serial,
            gross numeric(10,2) GENERATED ALWAYS AS (net * 1.19) STORED, note text DEFAULT 'none',
            long text GENERATED ALWAYS AS (repeat(note, 1000)) STORED);
        INSERT INTO bill (net) SELECT i FROM generate_series(1, 20) i;
        CREATE SCHEMA expected;
        CREATE VIEW expected.bill AS SELECT id, net, number, note FROM bill;";
    stage.source.execute(DATABASE, setup).await?;
    stage.product.set("SEGCDC_TABLES", "bill");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &["bill"], "by the copy").await?;
    let changes = "UPDATE bill SET net = net + 1 WHERE id % 2 = 0; UPDATE bill SET note = 'x' WHERE id = 3;
         DELETE FROM bill WHERE id > 18; INSERT INTO bill (net, note) VALUES (NULL, NULL), (7, 'y')";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_expected(&stage, &["bill"], "by the stream").await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_hidden_from_the_role_are_found_before_anything_is_made() -> Result<()> {
    let mut stage = Stage::start("rowsecurity").await?;
    let setup = format!(
        "CREATE TABLE secret (id int PRIMARY KEY, owner text); CREATE TABLE open (id int PRIMARY KEY);
         INSERT INTO secret VALUES (1, 'reader'), (2, 'somebody');
         CREATE ROLE reader LOGIN REPLICATION; GRANT CREATE ON DATABASE {DATABASE} TO reader;
         ALTER TABLE secret OWNER TO reader; ALTER TABLE open OWNER TO reader;
         ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON secret USING (owner = current_user)"
    );
    stage.source.execute(DATABASE, &setup).await?;
    let url = stage.source.url_as("reader", DATABASE);
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(refused.status.code() == Some(2) && refused.stderr.contains("[ROW_SECURITY]"), "{refused}");
    ensure!(refused.stderr.contains("hides rows of public.secret from the role reader"), "{refused}");
    ensure!(!refused.stderr.contains("hides rows of public.open"), "{refused}");
    ensure!(stage.slots().await?.is_empty(), "something was made all the same");
    let report = stage.product.run(&["doctor", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&report.stdout).with_context(|| report.to_string())?;
    let findings = report["findings"].as_array().context("findings")?;
    let fix = findings.iter().find(|finding| finding["code"] == "ROW_SECURITY");
    let fix = fix.and_then(|finding| finding["fix_sql"][0].as_str()).context("the SQL that mends it")?;
    stage.source.execute(DATABASE, fix).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&["secret", "open"]).await?;
    ensure!(copied.equal && stage.target_count("secret").await? == 2, "{copied:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_identity_that_is_taken_away_is_found_while_following() -> Result<()> {
    let mut stage = Stage::start("identitynothing").await?;
    let setup = "CREATE TABLE gone (id int PRIMARY KEY, v int); INSERT INTO gone VALUES (1, 1);
         CREATE TABLE bag (v int); ALTER TABLE bag REPLICA IDENTITY FULL;
         CREATE TABLE other (id int PRIMARY KEY)";
    stage.source.execute(DATABASE, setup).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    // No change of the table says so, and none that could is possible any more.
    stage.source.execute(DATABASE, "ALTER TABLE gone REPLICA IDENTITY NOTHING").await?;
    let halted = || async { (stage.quarantined().await.ok()?.len() == 1).then_some(()) };
    running.until("the table is halted", PATIENCE, halted).await?;
    let expected = [("gone".to_owned(), "REPLICA_IDENTITY_CHANGED".to_owned())];
    ensure!(stage.quarantined().await? == expected, "{:?}", stage.quarantined().await?);
    let status = stage.product.run(&["status"]).await?;
    ensure!(status.stdout.contains("its replica identity is NOTHING"), "{status}");
    let update = stage.source.execute(DATABASE, "UPDATE gone SET v = 2").await;
    ensure!(update.is_err(), "PostgreSQL refuses it, as the reason says");
    stage.caught_up(&mut running, "INSERT INTO other VALUES (1); INSERT INTO bag VALUES (1)").await?;
    running.kill().await?;

    // Set back and copied again, it is like any other.
    stage
        .source
        .execute(DATABASE, "ALTER TABLE gone REPLICA IDENTITY DEFAULT; UPDATE gone SET v = 3")
        .await?;
    stage.product.succeed(&["table", "resync", "--yes", "--tables", "gone"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let all = stage.compare(&["gone", "bag", "other"]).await?;
    ensure!(all.equal && stage.quarantined().await?.is_empty(), "{all:#?}");
    Ok(())
}
