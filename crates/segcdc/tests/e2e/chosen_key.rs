//! Tables without a primary key whose rows a unique index identifies, because somebody chose it.

use anyhow::{Context, Result, ensure};

use super::stage::{DATABASE, Stage};

/// Tables with indexes of every kind; what becomes of each as a key is in [`WISHES`].
const INDEXED: &str = "
    CREATE TABLE log (site int NOT NULL, number int NOT NULL, note text, maybe int,
        twice int GENERATED ALWAYS AS (number * 2) STORED NOT NULL, CONSTRAINT log_later UNIQUE (number) DEFERRABLE);
    CREATE UNIQUE INDEX log_key ON log (site, number); CREATE UNIQUE INDEX log_maybe ON log (maybe);
    CREATE UNIQUE INDEX log_part ON log (site, number) WHERE site > 0; CREATE UNIQUE INDEX log_sum ON log ((site + number));
    CREATE INDEX log_plain ON log (site); CREATE UNIQUE INDEX log_twice ON log (twice);
    CREATE TABLE made (a int, key int GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY);
    INSERT INTO log SELECT i % 3, i, 'n', i FROM generate_series(1, 90) i;";

/// A choice, and what its refusal says.
const WISHES: [(&str, &str); 9] = [
    ("log_maybe", "is not declared NOT NULL"),
    ("log_part", "holds some of the rows only"),
    ("log_sum", "is of an expression"),
    ("log_later", "is deferrable"),
    ("log_plain", "is not unique"),
    ("log_twice", "has a generated column"),
    ("log_nothing", "is no index of the table"),
    ("(number, note)", "have no unique index"),
    ("log_key", "is not what PostgreSQL names old rows by"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_index_is_a_key_when_it_is_chosen() -> Result<()> {
    let mut stage = Stage::start("chosen_key").await?;
    stage.source.execute(DATABASE, INDEXED).await?;
    for (wish, reason) in WISHES {
        let plan = stage.product.run(&["plan", "-o", "json", "--key", &format!("public.log={wish}")]).await?;
        let report: serde_json::Value =
            serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
        let left_out = report["left_out"].as_array().context("what is left out")?;
        let codes: Vec<&str> = left_out.iter().filter_map(|table| table["code"].as_str()).collect();
        ensure!(codes == ["KEY_UNUSABLE", "KEY_UNUSABLE"], "{wish}: {report:#}");
        let left_out = &left_out[0];
        let detail = left_out["detail"].as_str().context("detail")?;
        ensure!(detail.contains(reason), "{wish}: {detail}");
        if wish == "log_key" {
            stage
                .source
                .execute(DATABASE, left_out["fix_sql"].as_str().context("the SQL that mends it")?)
                .await?;
        }
    }
    let key = "public.log=(number, site)";
    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--key", key]).await?;
    let changes = "UPDATE log SET note = 'x' WHERE number < 30; UPDATE log SET number = number + 1000 WHERE site = 1; DELETE FROM log WHERE site = 2";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    if super::versions::has(&stage, 180_000, "refusal of generated columns in a replica identity").await? {
        // As an administrator has to, before whole rows with a generated column can be an identity.
        let publish = "ALTER PUBLICATION segcdc_chosen_key SET (publish_generated_columns = stored)";
        stage.source.execute(DATABASE, publish).await?;
    }
    // With whole rows in the stream the key is still the chosen one, after a restart too.
    stage
        .source
        .execute(
            DATABASE,
            "ALTER TABLE log REPLICA IDENTITY FULL; UPDATE log SET number = number + 1000, note = NULL",
        )
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&["log"]).await?;
    ensure!(streamed.equal && stage.quarantined().await?.is_empty(), "{streamed:#?}");
    let sql = format!(
        "SELECT COUNT(*) FROM sys.indexes WHERE object_id = OBJECT_ID(N'{}') AND is_primary_key = 1",
        stage.target_table("log")
    );
    assert_eq!(stage.target_number(&sql).await?, 1);
    Ok(())
}
