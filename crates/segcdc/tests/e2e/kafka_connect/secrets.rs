//! What the product writes at its most talkative while a pipeline lives on Kafka Connect: no password and no row's value.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use segcdc_testkit::{ConnectCluster, connect};
use serde_json::Value;

use super::super::stage::{DATABASE, Stage};
use super::{errors_of, start};

/// The source's password. In a URL its `/` is written in another way.
const SOURCE: &str = "c4nary/source";
/// That of the worker's REST interface, which does not ask for it.
const WORKER: &str = "c4nary-worker";
/// One that nobody has.
const WRONG: &str = "c4nary-wrong";
/// What is in rows.
const ROW: &str = "c4nary-row";

/// Everything that must not be seen, in the forms in which it travels.
fn secrets(stage: &Stage, cluster: &ConnectCluster) -> Vec<String> {
    let [user, broker] = cluster.broker_user();
    let mut secrets: Vec<String> =
        [SOURCE, WORKER, WRONG, ROW, broker, stage.target.password.expose()].map(str::to_owned).into();
    secrets.push(SOURCE.replace('/', "%2F"));
    secrets.push(SOURCE.replace('/', "%2f"));
    for text in [format!("admin:{WORKER}"), format!("\0{user}\0{broker}")] {
        secrets.push(BASE64_STANDARD.encode(text));
    }
    // As bytes are shown that are no text.
    let numbers = |text: &str| {
        let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
        numbers.join(", ")
    };
    let shown: Vec<String> = secrets.iter().map(|secret| numbers(secret)).collect();
    secrets.extend(shown);
    secrets
}

/// The first secret that a text holds.
fn held<'a>(text: &str, secrets: &'a [String]) -> Option<&'a String> {
    secrets.iter().find(|secret| text.contains(secret.as_str()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_written_holds_a_password_or_a_row() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = start("silent").await?;
    let secrets = secrets(&stage, &cluster);
    prepare(&mut stage, &cluster).await?;
    refuse_without_secrets(&mut stage, &cluster).await?;
    let mut seen = Vec::new();
    for arguments in [
        &["plan", "-o", "wide"][..],
        &["doctor", "-v"],
        &["up", "--yes", "--until-caught-up"],
        &["status", "-o", "json"],
        &["verify"],
        &["pause"],
        &["resume"],
        &["stop"],
        &["restart"],
        &["up", "--yes", "--until-caught-up", "-o", "json"],
        &["migrate", "--engine", "native", "--dry-run"],
        &["migrate", "--engine", "native", "--yes"],
        &["up", "--engine", "native", "--yes", "--until-caught-up"],
        &["migrate", "--engine", "kafka-connect", "--yes"],
        &["up", "--yes", "--until-caught-up"],
    ] {
        let sql = format!(
            "INSERT INTO item SELECT max(id) + 1, '{ROW} added' FROM item; UPDATE item SET v = v || '.'"
        );
        stage.source.execute(DATABASE, &sql).await?;
        let finished = stage.product.run(arguments).await?;
        let log = cluster.worker_log();
        ensure!(finished.status.success(), "{arguments:?}: {finished}\n{}", errors_of(&log));
        seen.push((format!("{arguments:?}"), finished));
    }
    // What is refused is told of too.
    let (good, [user, _]) = (auth(&cluster), cluster.broker_user());
    stage.product.set("SEGCDC_KAFKA_AUTH", &format!("{user}:{WRONG}"));
    let refused = stage.product.run(&["down", "--drop", "--yes"]).await?;
    ensure!(refused.error_code() == Some("KAFKA_AUTH") && refused.status.code() == Some(4), "{refused}");
    seen.push(("down with another password of the brokers".to_owned(), refused));
    stage.product.set("SEGCDC_KAFKA_AUTH", &good);
    let url = stage.source.url(DATABASE);
    let (_, host) = url.rsplit_once('@').context("a URL with a user")?;
    stage.product.set("SEGCDC_SOURCE_URL", &format!("postgres://cdc:{WRONG}@{host}"));
    let refused = stage.product.run(&["up", "--yes"]).await?;
    ensure!(refused.error_code() == Some("AUTH_FAILED"), "{refused}");
    seen.push(("up with another password of the source".to_owned(), refused));
    stage.product.set("SEGCDC_SOURCE_URL", &source_url(&stage)?);
    let removed = stage.product.run(&["down", "--drop", "--yes"]).await?;
    ensure!(removed.status.success(), "{removed}");
    seen.push(("down".to_owned(), removed));

    let mut all = String::new();
    for (what, finished) in seen {
        for text in [&finished.stdout, &finished.stderr] {
            if let Some(secret) = held(text, &secrets) {
                let line = text.lines().find(|line| line.contains(secret.as_str()));
                anyhow::bail!("{what} shows {secret}: {line:?}");
            }
        }
        all.push_str(&finished.stdout);
        all.push_str(&finished.stderr);
    }
    let lines = all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut told: Vec<String> = lines
        .filter_map(|line| Some(format!("{} {}", line["level"].as_str()?, line["target"].as_str()?)))
        .collect();
    told.sort();
    told.dedup();
    eprintln!("{} bytes were searched; logs are of {told:#?}", all.len());
    // The search would find what is there: the pipeline, what belongs to the secrets, and what the parts of the product say.
    for word in [
        "segcdc_silent_source",
        "${file:",
        "127.0.0.1",
        "by PLAIN",
        "segcdc_engine_kafka_connect",
        "\"DEBUG\"",
    ] {
        ensure!(held(&all, &[word.to_owned()]).is_some(), "{word} is nowhere in {} bytes", all.len());
    }
    Ok(())
}

/// A role with a password, a table, and everything that has a password told to the product, which is to write all it can.
async fn prepare(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    let sql = format!(
        "CREATE ROLE cdc LOGIN SUPERUSER PASSWORD '{SOURCE}'; CREATE TABLE item (id int PRIMARY KEY, v text);
         INSERT INTO item SELECT i, '{ROW} ' || i FROM generate_series(1, 50) i"
    );
    stage.source.execute(DATABASE, &sql).await?;
    super::faults::ask_for_passwords(stage).await?;
    let authority = cluster.broker_certificate().display().to_string();
    for (name, value) in [
        ("SEGCDC_SOURCE_URL", source_url(stage)?),
        ("SEGCDC_CONNECT_AUTH", format!("admin:{WORKER}")),
        ("SEGCDC_KAFKA_BOOTSTRAP", cluster.sasl_tls_bootstrap()),
        ("SEGCDC_KAFKA_AUTH", auth(cluster)),
        ("SEGCDC_KAFKA_SASL", "plain".to_owned()),
        ("SEGCDC_KAFKA_CA_FILE", authority),
        ("SEGCDC_LOG", "trace".to_owned()),
        ("SEGCDC_LOG_FORMAT", "json".to_owned()),
    ] {
        stage.product.set(name, &value);
    }
    Ok(())
}

/// The worker needs the passwords from somewhere; in its own configuration they would be seen by everybody.
async fn refuse_without_secrets(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    stage.product.unset("SEGCDC_CONNECT_SECRETS");
    let refused = stage.product.run(&["plan"]).await?;
    ensure!(refused.error_code() == Some("CONNECT_SECRETS_MISSING"), "{refused}");
    let file = format!("file:{}", super::secrets_file(stage, cluster).display());
    stage.product.set("SEGCDC_CONNECT_SECRETS", &file);
    Ok(())
}

/// User and password of the brokers.
fn auth(cluster: &ConnectCluster) -> String {
    cluster.broker_user().join(":")
}

/// The source as the role with the password.
fn source_url(stage: &Stage) -> Result<String> {
    let url = stage.source.url(DATABASE);
    let (_, host) = url.rsplit_once('@').context("a URL with a user")?;
    Ok(format!("postgres://cdc:{}@{host}", SOURCE.replace('/', "%2F")))
}
