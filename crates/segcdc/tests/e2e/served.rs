//! `segcdc serve`, asked by HTTP only: connections, a plan, a pipeline that copies, follows, is killed with its server, goes on,
//! rests, is compared, and leaves nothing.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use super::product::{COMMAND_LIMIT, Running};
use super::stage::{DATABASE, PATIENCE, Stage};

mod going_on;
mod tables;

/// The guide that users follow.
const GUIDE: &str = include_str!("../../../../docs/guides/serve.md");

/// A server, and somebody who may do everything there.
struct Served {
    running: Running,
    url: String,
    token: String,
}

// === impl Served ===

impl Served {
    /// Starts the server over a folder, and waits until it listens.
    async fn start(stage: &mut Stage, data: &Path) -> Result<(Running, Value)> {
        stage.product.set("SEGCDC_ALLOW_NETWORK", "127.0.0.0/8");
        let folder = data.to_str().context("a path of UTF-8")?;
        let mut running =
            stage.product.start(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "-o", "json"])?;
        let said = running.stdout_file().to_owned();
        let line = || async {
            let text = std::fs::read_to_string(&said).ok()?;
            serde_json::from_str::<Value>(text.lines().next()?).ok()
        };
        let line = running.until("the server listens", PATIENCE, line).await?;
        Ok((running, line))
    }

    /// The first start: its administrator, and a token of hers.
    async fn first(stage: &mut Stage, data: &Path) -> Result<Self> {
        let (running, said) = Self::start(stage, data).await?;
        let url = said["url"].as_str().context("a URL")?.to_owned();
        let cookies = data.join("cookies");
        let cookies = cookies.to_str().context("a path of UTF-8")?;
        let body = json!({"token": said["setup_token"], "user": "ada", "password": "a sentence of her own"});
        let (status, me) =
            curl(&["-c", cookies, &format!("{url}/api/v1/setup")], Some(&body), "POST").await?;
        ensure!(status == 201, "{me}");
        let csrf = format!("X-CSRF-Token: {}", me["csrf_token"].as_str().context("a token")?);
        let body = json!({"name": "test", "role": "admin"});
        let arguments = ["-b", cookies, "-H", &csrf, &format!("{url}/api/v1/tokens")];
        let (status, made) = curl(&arguments, Some(&body), "POST").await?;
        ensure!(status == 201, "{made}");
        let token = made["token"].as_str().context("a token")?.to_owned();
        Ok(Served { running, url, token })
    }

    /// Kills it, and starts another one over the same folder.
    async fn again(self, stage: &mut Stage, data: &Path) -> Result<Self> {
        self.running.kill().await?;
        let (running, said) = Self::start(stage, data).await?;
        ensure!(said["setup_token"].is_null(), "{said}");
        Ok(Served { running, url: said["url"].as_str().context("a URL")?.to_owned(), token: self.token })
    }

    /// The status and the body of an answer.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let bearer = format!("Authorization: Bearer {}", self.token);
        curl(&["-H", &bearer, &format!("{}{path}", self.url)], body, method).await
    }

    /// The body of an answer that must have a status.
    async fn expect(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (found, answer) = self.ask(method, path, body).await?;
        ensure!(found == status, "{method} {path}: {found} {answer:#}");
        Ok(answer)
    }

    /// Waits until a GET has what is looked for.
    async fn until<T>(
        &mut self,
        what: &str,
        path: &str,
        look: impl Fn(u16, &Value) -> Option<T>,
    ) -> Result<T> {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let place = format!("{}{path}", self.url);
        let last = std::cell::RefCell::new(Value::Null);
        let found = self
            .running
            .until(what, PATIENCE, || async {
                let (status, answer) = curl(&["-H", &bearer, &place], None, "GET").await.ok()?;
                let found = look(status, &answer);
                last.replace(answer);
                found
            })
            .await;
        found.with_context(|| format!("{:#}", last.borrow()))
    }

    /// Waits until a pipeline stands where it should.
    async fn until_state(&mut self, path: &str, state: &str) -> Result<Value> {
        self.until(state, path, |_, seen| (seen["state"] == state).then(|| seen.clone())).await
    }

    /// Asks something of a pipeline.
    async fn act(&self, path: &str, action: &str) -> Result<Value> {
        self.expect(202, "POST", &format!("{path}/actions/{action}"), None).await
    }
}

/// Sends a request: the status and the body as JSON.
async fn curl(arguments: &[&str], body: Option<&Value>, method: &str) -> Result<(u16, Value)> {
    let mut command = Command::new("curl");
    command.args(["-sS", "-X", method, "-w", "\n%{http_code}"]).args(arguments).stdin(Stdio::null());
    if let Some(body) = body {
        command.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
    }
    let output = command.output().await.context("curl is missing")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (body, status) = text.rsplit_once('\n').context("a status")?;
    Ok((status.parse()?, serde_json::from_str(body).unwrap_or_default()))
}

/// The connections of a stage, as they are sent.
fn connections(stage: &Stage) -> Result<(Value, Value)> {
    let source = json!({
        "name": "source", "kind": "postgres", "host": "127.0.0.1", "port": stage.source.port(), "database": DATABASE,
        "user": "postgres", "sslmode": "disable", "allow_insecure": true,
    });
    let at = &stage.target;
    let mut target = json!({
        "name": "target", "kind": "sqlserver", "host": at.host, "port": at.port, "database": at.database, "user": at.user,
        "password": at.password.expose(), "schema": at.default_schema,
        "trust_server_certificate": at.trust_server_certificate, "allow_insecure": at.trust_server_certificate,
    });
    if let Some(path) = &at.ca_file {
        target["ca_pem"] = std::fs::read_to_string(path)?.into();
    }
    if let Some(name) = &at.host_name_in_certificate {
        target["host_name_in_certificate"] = name.as_str().into();
    }
    Ok((source, target))
}

/// Slots, publications and state rows of pipelines that are left.
async fn left(stage: &Stage) -> Result<String> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' slots, ' \
               || (SELECT count(*) FROM pg_publication) || ' publications'";
    let tables = "SELECT COUNT(*) FROM sys.tables AS t JOIN sys.schemas AS s ON s.[schema_id] = t.[schema_id] \
                  WHERE s.[name] = N'segcdc'";
    let source = stage.source.psql(DATABASE, sql)?;
    Ok(format!("{}, {} state tables", source.trim(), stage.target_number(tables).await?))
}

/// Connections that are tried, stored and looked into: their ids.
async fn connect(served: &Served, stage: &Stage) -> Result<(Value, Value)> {
    let (source, target) = connections(stage)?;
    let test = "/api/v1/connections/test";
    let said = served.expect(200, "POST", test, Some(&source)).await?;
    ensure!(said["server"].as_str().is_some_and(|text| text.starts_with("PostgreSQL ")), "{said}");
    served.expect(200, "POST", test, Some(&target)).await?;
    let mut wrong = source.clone();
    wrong["port"] = 1.into();
    ensure!(served.expect(502, "POST", test, Some(&wrong)).await?["code"] == "SOURCE_UNREACHABLE");
    wrong["host"] = "192.0.2.7".into();
    ensure!(served.expect(422, "POST", test, Some(&wrong)).await?["code"] == "HOST_NOT_ALLOWED");
    let mut wrong = target.clone();
    wrong["password"] = "wrong".into();
    ensure!(served.expect(422, "POST", test, Some(&wrong)).await?["code"] == "AUTH_FAILED");
    let from = served.expect(201, "POST", "/api/v1/connections", Some(&source)).await?["id"].clone();
    let to = served.expect(201, "POST", "/api/v1/connections", Some(&target)).await?["id"].clone();
    let tables = format!("/api/v1/connections/{}/tables?search=PUBLIC.T", from.as_str().context("an id")?);
    let listed = served.expect(200, "GET", &tables, None).await?;
    assert_eq!(
        (&listed["total"], &listed["items"][0]["has_primary_key"]),
        (&json!(1), &json!(true)),
        "{listed}"
    );
    Ok((from, to))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_lives_by_http_alone() -> Result<()> {
    let mut stage = Stage::start("served").await?;
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text); \
               INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 500) g; CREATE TABLE other (id int PRIMARY KEY)";
    stage.source.execute(DATABASE, sql).await?;
    let folder = tempfile::tempdir()?;
    let mut served = Served::first(&mut stage, folder.path()).await?;

    let (from, to) = connect(&served, &stage).await?;

    // A plan, and the pipeline that it is of.
    let mut wanted = json!({"name": "served", "source_id": from, "target_id": to, "tables": ["public.t"]});
    let plan = served.expect(200, "POST", "/api/v1/plans", Some(&wanted)).await?;
    assert_eq!((&plan["ready"], &plan["plan"]["tables"][0]["source"]["name"]), (&json!(true), &json!("t")));
    ensure!(left(&stage).await? == "0 slots, 0 publications, 0 state tables", "a plan changes nothing");
    wanted["plan_hash"] = plan["hash"].clone();
    wanted["start"] = true.into();
    let made = served.expect(201, "POST", "/api/v1/pipelines", Some(&wanted)).await?;
    let path = format!("/api/v1/pipelines/{}", made["id"].as_str().context("an id")?);
    served.until_state(&path, "RUNNING").await?;
    let streams = |_, seen: &Value| (seen["progress"]["phase"] == "STREAMING").then_some(());
    served.until("it follows", &path, streams).await?;
    assert_eq!(stage.target_count("t").await?, 500);
    stage
        .source
        .execute(DATABASE, "UPDATE t SET v = 'new' WHERE id <= 10; DELETE FROM t WHERE id > 490")
        .await?;
    let status = format!("{path}/status");
    served.running.until("the change has arrived", PATIENCE, || arrived(&stage, 490)).await?;
    assert_eq!(served.expect(200, "GET", &status, None).await?["state"], "RUNNING");

    verify(&mut served, &path).await?;
    look_inside(&served, &path).await?;
    tables::come_rest_and_go(&mut served, &stage, &path).await?;

    // The server is killed; what was committed meanwhile arrives by its successor.
    stage.source.execute(DATABASE, "INSERT INTO t SELECT g, 'k' FROM generate_series(1001, 1100) g").await?;
    let mut served = served.again(&mut stage, folder.path()).await?;
    stage.source.execute(DATABASE, "INSERT INTO t SELECT g, 'l' FROM generate_series(1101, 1200) g").await?;
    served.running.until("all rows have arrived", PATIENCE, || arrived(&stage, 690)).await?;
    served.until_state(&path, "RUNNING").await?;

    // It rests, and goes on.
    served.act(&path, "pause").await?;
    served.until_state(&path, "PAUSED").await?;
    stage.source.execute(DATABASE, "INSERT INTO t VALUES (2000, 'while it rested')").await?;
    served.act(&path, "resume").await?;
    served.running.until("the row has arrived", PATIENCE, || arrived(&stage, 691)).await?;
    verify(&mut served, &path).await?;

    // A server that ends in an orderly way leaves the slot free, and its successor goes on.
    served.running.signal(Signal::TERM)?;
    let token = served.token;
    let ended = served.running.wait(COMMAND_LIMIT).await?;
    ensure!(ended.status.code() == Some(143), "{ended}");
    let (running, said) = Served::start(&mut stage, folder.path()).await?;
    let mut served = Served { running, url: said["url"].as_str().context("a URL")?.to_owned(), token };
    served.until_state(&path, "RUNNING").await?;

    // It is deleted, and leaves nothing but the rows.
    let (_, refused) = served.ask("DELETE", &path, None).await?;
    ensure!(refused["code"] == "INVALID_STATE", "it runs: {refused:#}");
    served.act(&path, "stop").await?;
    served.until_state(&path, "STOPPED").await?;
    served.expect(202, "DELETE", &path, None).await?;
    served.until("it is gone", &path, |status, _| (status == 404).then_some(())).await?;
    assert_eq!(left(&stage).await?, "0 slots, 0 publications, 0 state tables");
    assert_eq!(stage.target_count("t").await?, 691);
    let operations = served.expect(200, "GET", "/api/v1/operations?limit=1", None).await?;
    assert_eq!(operations["items"][0]["state"], "SUCCEEDED", "{operations:#}");
    ensure!(operations["items"][0]["result"]["left"].to_string().contains("DROP TABLE"), "{operations:#}");

    // The password of the target is nowhere but sealed.
    let secret = stage.target.password.expose().clone();
    let log = std::fs::read_to_string(served.running.log_file())?;
    ensure!(!log.contains(&secret), "the password is in the log");
    let audit = served.expect(200, "GET", "/api/v1/audit?limit=500", None).await?.to_string();
    ensure!(!audit.contains(&secret) && audit.contains("pipeline.delete"), "{audit}");
    served.running.kill().await?;
    for entry in std::fs::read_dir(folder.path())? {
        let bytes = std::fs::read(entry?.path()).unwrap_or_default();
        ensure!(
            !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "the password is in the store"
        );
    }
    Ok(())
}

/// The indented lines of the guide's part on pipelines, as a script.
fn script() -> Result<String> {
    let (_before, rest) = GUIDE.split_once("\n## Pipelines\n").context("a part on pipelines")?;
    let (part, _behind) = rest.split_once("\n## ").context("a part behind it")?;
    let lines: Vec<&str> = part.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    ensure!(lines.len() > 20, "{lines:?}");
    Ok(format!("set -euo pipefail\n{}\n", lines.join("\n")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_pipeline_does_what_it_says() -> Result<()> {
    let mut stage = Stage::start("served_guide").await?;
    let sql = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 40)";
    stage.source.execute(DATABASE, sql).await?;
    let folder = tempfile::tempdir()?;
    let mut served = Served::first(&mut stage, folder.path()).await?;
    let (source, target) = connections(&stage)?;
    let mut bash = Command::new("bash");
    bash.args(["-c", &script()?])
        .env("SERVER", &served.url)
        .env("TOKEN", &served.token)
        .env("WORK", folder.path());
    for (name, body) in [("SOURCE", source), ("TARGET", target)] {
        let made = served.expect(201, "POST", "/api/v1/connections", Some(&body)).await?;
        bash.env(name, made["id"].as_str().context("an id")?);
    }
    let ended = tokio::time::timeout(COMMAND_LIMIT, bash.kill_on_drop(true).stdin(Stdio::null()).output());
    let ended = ended.await.with_context(|| served.running.log())??;
    let said = String::from_utf8_lossy(&ended.stdout);
    ensure!(
        ended.status.success(),
        "{said}{}\n{}",
        String::from_utf8_lossy(&ended.stderr),
        served.running.log()
    );
    for expected in [
        "PostgreSQL ",
        "orders\norders -> orders\n",
        "SUCCEEDED, 0 differences\npublic.orders STREAMING\nverify\n0 set aside\nSTOPPED\n",
    ] {
        ensure!(said.contains(expected), "{expected}: {said}");
    }
    let gone = |_, seen: &Value| (seen["items"] == json!([])).then_some(());
    served.until("it is gone", "/api/v1/pipelines", gone).await?;
    assert_eq!(stage.target_count("orders").await?, 40);
    Ok(())
}

/// Whether the table of the target has so many rows.
async fn arrived(stage: &Stage, rows: i64) -> Option<()> {
    (stage.target_count("t").await.ok()? == rows).then_some(())
}

/// Looks at what is inside a pipeline that follows: its tables, what is set aside, and what is measured.
async fn look_inside(served: &Served, path: &str) -> Result<()> {
    let tables = served.expect(200, "GET", &format!("{path}/tables?search=T&phase=STREAMING"), None).await?;
    let one = &tables["items"][0];
    assert_eq!(
        (&one["name"], &one["rows_copied"], &one["error"]),
        (&json!("public.t"), &json!(500), &Value::Null)
    );
    let same = served.expect(200, "GET", &format!("{path}/tables/public.t"), None).await?;
    assert_eq!(&same, one);
    served.expect(404, "GET", &format!("{path}/tables/public.other"), None).await?;
    let letters = served.expect(200, "GET", &format!("{path}/dead-letters?closed=true"), None).await?;
    assert_eq!((&letters["items"], &letters["open"]), (&json!([]), &json!(0)));
    let none = served.expect(404, "GET", &format!("{path}/dead-letters/1"), None).await?;
    assert_eq!(none["code"], "DEAD_LETTER_NOT_FOUND");
    let compared = served.expect(200, "GET", &format!("{path}/verifications"), None).await?;
    let id = compared["items"][0]["id"].as_str().context("an id")?;
    let rows = served.expect(200, "GET", &format!("{path}/verifications/{id}/mismatches"), None).await?;
    assert_eq!(rows["items"], json!([]));
    let bearer = format!("Authorization: Bearer {}", served.token);
    let metrics =
        Command::new("curl").args(["-sSf", "-H", &bearer, &format!("{}/metrics", served.url)]).output();
    let metrics = String::from_utf8(metrics.await?.stdout)?;
    for expected in [
        "segcdc_pipeline_phase{tenant=\"default\",pipeline=\"served\",engine=\"native\",phase=\"STREAMING\"} 1.0",
        "segcdc_snapshot_rows_copied_total{tenant=\"default\",pipeline=\"served\",engine=\"native\"} 500.0",
        "segcdc_replication_lag_seconds{tenant=\"default\",pipeline=\"served\",engine=\"native\"} ",
    ] {
        ensure!(metrics.contains(expected), "{expected}\n{metrics}");
    }
    Ok(())
}

/// Compares both sides, and must find no difference.
async fn verify(served: &mut Served, path: &str) -> Result<()> {
    let begun = served.expect(202, "POST", &format!("{path}/verifications"), Some(&json!({}))).await?;
    let operation = format!("/api/v1/operations/{}", begun["id"].as_str().context("an id")?);
    let over = |_, seen: &Value| (seen["state"] != "RUNNING").then(|| seen.clone());
    let ended = served.until("the comparison has ended", &operation, over).await?;
    assert_eq!(ended["state"], "SUCCEEDED", "{ended:#}");
    let result = &ended["result"];
    assert_eq!((&result["differences"], &result["is_equal"]), (&json!(0), &json!(true)), "{ended:#}");
    Ok(())
}
