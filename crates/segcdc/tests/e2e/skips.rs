//! Transactions that a person has left out, by the position at which they end.

use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, Stage};

const UP: [&str; 3] = ["up", "--yes", "--until-caught-up"];

/// The signal of `abort`.
const ABORTED: i32 = 6;

const TABLES: &str =
    "CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE u (id int PRIMARY KEY, note text);
    INSERT INTO t VALUES (1, 1), (2, 2)";

/// One that is applied, two that are not, of which one does not fit into memory, and one that is applied.
const CHANGES: [&str; 4] = [
    "INSERT INTO t VALUES (3, 3)",
    "BEGIN; DELETE FROM t; INSERT INTO u VALUES (1, 'left out'); COMMIT",
    "INSERT INTO u SELECT i, repeat('x', 700) FROM generate_series(10, 15000) i",
    "INSERT INTO t VALUES (4, 4)",
];

/// Where the transactions end that are still to be sent, by the messages of the slot.
async fn ends(stage: &Stage, slot: &str) -> Result<Vec<u64>> {
    let source = stage.source().await?;
    let publication: String =
        source.query_one("SELECT pubname::text FROM pg_publication", &[]).await?.try_get(0)?;
    // Protocol: Commit is 'C', flags, its LSN, its end LSN, its time.
    let sql = "SELECT encode(substr(data, 11, 8), 'hex') \
               FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2) \
               WHERE get_byte(data, 0) = 67";
    let rows = source.query(sql, &[&slot, &format!("\"{publication}\"")]).await?;
    rows.iter().map(|row| Ok(u64::from_str_radix(row.try_get(0)?, 16)?)).collect()
}

fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

/// What is asked for and done.
async fn list(stage: &mut Stage) -> Result<Vec<Value>> {
    let finished = stage.product.succeed(&["transaction", "list", "-o", "json"]).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

async fn skip(stage: &mut Stage, position: u64) -> Result<()> {
    stage.product.succeed(&["transaction", "skip", &lsn(position), "--yes"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_left_out_once_and_recorded() -> Result<()> {
    let mut stage = Stage::start("skips").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    stage.product.succeed(&UP).await?;
    ensure!(list(&mut stage).await?.is_empty());
    for change in CHANGES {
        stage.source.execute(DATABASE, change).await?;
    }
    let before = stage.state().await?.context("state")?;
    let ends = ends(&stage, &before.slot).await?;
    let [first, second, third, fourth] = ends[..] else { anyhow::bail!("{ends:?}") };

    // What cannot come is refused at once, with nothing stored.
    for wrong in [before.applied_lsn, fourth + (1 << 32)] {
        let refused = stage.product.run(&["transaction", "skip", &lsn(wrong), "--yes"]).await?;
        ensure!(
            refused.status.code() == Some(2) && refused.error_code() == Some("LSN_MISMATCH"),
            "{refused}"
        );
    }
    let wrong = stage.product.run(&["transaction", "skip", "16/B374D84Z", "--yes"]).await?;
    ensure!(wrong.status.code() == Some(2), "{wrong}");
    let unasked = stage.product.run(&["transaction", "skip", &lsn(second)]).await?;
    ensure!(
        unasked.status.code() == Some(2) && unasked.error_code() == Some("CONFIRMATION_REQUIRED"),
        "{unasked}"
    );
    ensure!(list(&mut stage).await?.is_empty());
    skip(&mut stage, first).await?;
    for position in [second - 1, second, third] {
        skip(&mut stage, position).await?;
    }
    // One is taken back.
    stage.product.succeed(&["transaction", "keep", &lsn(first)]).await?;
    let twice = stage.product.run(&["transaction", "keep", &lsn(first)]).await?;
    ensure!(twice.error_code() == Some("LSN_MISMATCH"), "{twice}");

    // Whenever the process dies, it is left out once, or not yet.
    for point in ["before_apply:2", "before_apply:2", "after_commit_before_ack"] {
        stage.product.set("SEGCDC_FAILPOINT", point);
        let died = stage.product.run(&UP).await?;
        ensure!(died.status.signal() == Some(ABORTED), "{point}: {died}");
    }
    stage.product.unset("SEGCDC_FAILPOINT");
    stage.product.succeed(&UP).await?;
    assert_eq!((stage.target_count("t").await?, stage.target_count("u").await?), (4, 0));

    let listed = list(&mut stage).await?;
    let outcomes: Vec<_> = listed.iter().map(|one| (&one["end_lsn"], &one["outcome"])).collect();
    let expected = [(second - 1, "REFUSED"), (second, "DONE"), (third, "DONE")]
        .map(|(position, outcome)| (Value::from(lsn(position)), Value::from(outcome)));
    assert_eq!(outcomes, expected.each_ref().map(|(position, outcome)| (position, outcome)));
    let why = listed[0]["detail"].as_str().unwrap_or_default();
    ensure!(why.contains(&format!("the next one behind it ends at {}", lsn(second))), "{why}");
    let [small, large] = [&listed[1]["transaction"], &listed[2]["transaction"]];
    ensure!(small["changes"] == 4 && large["changes"] == 14_991, "{listed:#?}");
    assert_eq!(small["tables"], serde_json::json!(["public.t", "public.u"]));
    assert_eq!(large["tables"], serde_json::json!(["public.u"]));
    // It cannot be done twice.
    let again = stage.product.succeed(&["transaction", "skip", &lsn(second), "--yes"]).await?;
    ensure!(again.stdout.contains("was left out already"), "{again}");

    // Both sides differ by just that, which repair mends.
    let verify = stage.product.run(&["verify"]).await?;
    ensure!(verify.status.code() == Some(5), "{verify}");
    stage.product.succeed(&["verify", "--repair", "--yes"]).await?;
    ensure!(stage.compare(&["t", "u"]).await?.equal);
    stage
        .source
        .execute(DATABASE, "INSERT INTO t VALUES (9, 9); UPDATE u SET note = 'y' WHERE id = 1")
        .await?;
    stage.product.succeed(&UP).await?;
    ensure!(stage.compare(&["t", "u"]).await?.equal);
    stage.remove().await
}
