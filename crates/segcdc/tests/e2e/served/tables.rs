//! Tables come, rest and go by HTTP while the pipeline follows the others.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::{Served, arrived};

/// Asks something, which has to be done; returns what came of it.
async fn ask(served: &mut Served, path: &str, body: Option<&Value>) -> Result<Value> {
    let ended = settled(served, path, body).await?;
    ensure!(ended["state"] == "SUCCEEDED" && ended["kind"] == "tables", "{ended:#}");
    Ok(ended["result"].clone())
}

/// Asks something, and waits until it has ended.
async fn settled(served: &mut Served, path: &str, body: Option<&Value>) -> Result<Value> {
    let begun = served.expect(202, "POST", path, body).await?;
    let operation = format!("/api/v1/operations/{}", begun["id"].as_str().context("an id")?);
    let over = |_, seen: &Value| (seen["state"] != "RUNNING").then(|| seen.clone());
    served.until("the operation has ended", &operation, over).await
}

/// Of a pipeline of `public.t` with 490 rows, beside which there is `public.other`; leaves it so, with other values.
pub(super) async fn come_rest_and_go(served: &mut Served, stage: &Stage, path: &str) -> Result<()> {
    let phase = async |served: &Served, table: &str| -> Result<Value> {
        Ok(served.expect(200, "GET", &format!("{path}/tables/{table}"), None).await?["phase"].clone())
    };
    stage.source.execute(DATABASE, "INSERT INTO other VALUES (1)").await?;
    let more = json!({"tables": ["public.oth*"]});
    let added = ask(served, &format!("{path}/tables"), Some(&more)).await?;
    ensure!(added["tables"][0]["outcome"] == "DONE" && added["running"] == true, "{added:#}");
    ensure!(phase(served, "public.other").await? == "STREAMING" && stage.target_count("other").await? == 1);
    let refused =
        settled(served, &format!("{path}/tables"), Some(&json!({"tables": ["public.none"]}))).await?;
    ensure!(refused["state"] == "SUCCEEDED" && refused["result"]["tables"] == json!([]), "{refused:#}");

    ask(served, &format!("{path}/tables/public.t/actions/pause"), None).await?;
    ensure!(phase(served, "public.t").await? == "PAUSED", "it rests");
    stage.source.execute(DATABASE, "DELETE FROM t WHERE id = 1; INSERT INTO other VALUES (2)").await?;
    served.running.until("the other table goes on", PATIENCE, || others_are(stage, 2)).await?;
    ensure!(stage.target_count("t").await? == 490, "what rests is as it was");
    ask(served, &format!("{path}/tables/public.t/actions/resume"), None).await?;
    ensure!(phase(served, "public.t").await? == "STREAMING" && stage.target_count("t").await? == 489);
    ask(served, &format!("{path}/tables/public.t/actions/resync?by=swap"), None).await?;
    stage.source.execute(DATABASE, "INSERT INTO t VALUES (1, 'back')").await?;
    served.running.until("it follows again", PATIENCE, || arrived(stage, 490)).await?;

    let count = json!({"by": "count"});
    let counted = settled(served, &format!("{path}/verifications"), Some(&count)).await?;
    ensure!(counted["result"]["by"] == "count" && counted["result"]["is_equal"] == true, "{counted:#}");
    ask(served, &format!("{path}/tables/public.other/actions/remove?drop_target=true"), None).await?;
    served.expect(404, "GET", &format!("{path}/tables/public.other"), None).await?;
    let left = "SELECT COUNT(*) FROM sys.tables WHERE [name] = N'other'";
    ensure!(stage.target_number(left).await? == 0, "its target table was the pipeline's");
    served.expect(404, "POST", &format!("{path}/tables/public.t/actions/split"), None).await?;
    served.expect(400, "POST", &format!("{path}/tables/public.t/actions/resync?by=magic"), None).await?;
    Ok(())
}

/// Whether the table that was added has so many rows.
async fn others_are(stage: &Stage, rows: i64) -> Option<()> {
    (stage.target_count("other").await.ok()? == rows).then_some(())
}
