//! A pipeline from a file alone: made, compared, changed in the file, planned, brought to what the file says.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::stage::{DATABASE, Stage};

/// What all versions of the file have.
const HEAD: &str = "name: filed\nsource: {url: '${SHOP_SOURCE}'}\ntarget: {url: '${SHOP_TARGET}'}\n";

/// What `plan` says of changes, and what is wrong.
async fn planned(stage: &mut Stage, file: &str) -> Result<(Value, String)> {
    let finished = stage.product.run(&["plan", "-f", file, "-o", "json"]).await?;
    let plan: Value = serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())?;
    Ok((plan["effects"].clone(), finished.stdout))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_lives_by_its_file() -> Result<()> {
    let mut stage = Stage::start("filed").await?;
    let create =
        "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders VALUES (1, 'a'), (2, 'b');
        CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (7)";
    stage.source.execute(DATABASE, create).await?;
    for variable in ["SEGCDC_NAME", "SEGCDC_SOURCE_URL", "SEGCDC_TARGET_URL"] {
        stage.product.unset(variable);
    }
    let (source, target) = (stage.source.url(DATABASE), stage.target_url.clone());
    stage.product.set("SHOP_SOURCE", &source);
    stage.product.set("SHOP_TARGET", &target);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pipeline.yaml");
    let file = path.to_str().context("a path")?.to_owned();

    fs::write(
        &path,
        format!("{HEAD}tables: {{include: [public.orders]}}\non_value: {{default: set_aside}}\n"),
    )?;
    stage.product.succeed(&["up", "-f", &file, "--yes", "--until-caught-up"]).await?;
    stage.product.succeed(&["verify", "-f", &file]).await?;
    stage.product.succeed(&["status", "-f", &file]).await?;
    ensure!(stage.compare(&["orders"]).await?.equal);
    let (effects, plan) = planned(&mut stage, &file).await?;
    ensure!(effects.is_null(), "nothing was changed: {plan}");

    let changed = "tables: {include: [public.orders, public.items]}\non_value: {default: halt}\nrename: {public.orders.note: Remark}\n";
    fs::write(&path, format!("{HEAD}{changed}"))?;
    let (effects, plan) = planned(&mut stage, &file).await?;
    let about = |table: &str| json!([{"schema": "public", "name": table}]);
    let found: Vec<(&str, &str)> = effects
        .as_array()
        .context("effects")?
        .iter()
        .filter_map(|effect| Some((effect["setting"].as_str()?, effect["effect"].as_str()?)))
        .collect();
    let expected = [("tables.include", "add"), ("rename", "recopy"), ("on_value", "restart")];
    ensure!(found == expected, "{plan}");
    let orders = effects[1]["tables"].clone();
    ensure!(orders == about("orders"), "{orders}");
    ensure!(plan.contains("RULES_CHANGE_SHAPE"), "{plan}");
    let text = stage.product.run(&["plan", "-f", &file]).await?;
    ensure!(text.stdout.contains(&format!("segcdc table resync -f {file} --tables public.orders")), "{text}");
    let refused = stage.product.run(&["up", "-f", &file, "--yes", "--until-caught-up"]).await?;
    ensure!(!refused.status.success() && refused.stderr.contains("RULES_CHANGE_SHAPE"), "{refused}");

    // What the plan says.
    stage.product.succeed(&["table", "resync", "-f", &file, "--tables", "public.orders", "--yes"]).await?;
    stage.product.succeed(&["table", "add", "-f", &file, "--tables", "public.items"]).await?;
    stage.product.succeed(&["up", "-f", &file, "--yes", "--until-caught-up"]).await?;
    let (effects, plan) = planned(&mut stage, &file).await?;
    ensure!(effects.is_null(), "the pipeline is what the file says: {plan}");
    stage.product.succeed(&["verify", "-f", &file]).await?;
    let renamed = format!("SELECT COUNT(*) FROM {} WHERE [Remark] = N'b'", stage.target_table("orders"));
    ensure!(stage.target_number(&renamed).await? == 1);
    ensure!(stage.target_count("items").await? == 1);

    // Written by the pipeline itself, from its name and its servers alone.
    fs::write(&path, HEAD)?;
    let exported = stage.product.succeed(&["export", "-f", &file]).await?;
    let behind = target.split_once("://sa:").context("a password")?.1;
    let password = behind.split_once('@').context("a server")?.0;
    ensure!(!exported.stdout.contains(password) && exported.stderr.contains("TARGET_PASSWORD"), "{exported}");
    let rules = "rename:\n  public.orders.note: Remark\n";
    ensure!(exported.stdout.contains(rules) && exported.stdout.contains("- public.items\n"), "{exported}");
    fs::write(&path, &exported.stdout)?;
    stage.product.set("TARGET_PASSWORD", password);
    let (effects, plan) = planned(&mut stage, &file).await?;
    ensure!(effects.is_null(), "the file says what the pipeline is: {plan}");
    stage.product.succeed(&["up", "-f", &file, "--yes", "--until-caught-up"]).await?;
    Ok(())
}
