//! [`tell`]: what happens, in order.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::Instant;

use crate::Arguments;
use crate::command::{Answer, Commands};
use crate::engine::Engine;
use crate::fill::{self, DATABASE};
use crate::load::{Load, LoadReport};
use crate::measure::Measure;
use crate::narrator::{Narrator, grouped};
use crate::report::Report;
use crate::servers::Servers;
use crate::summary::Summary;

/// How long copying may take.
const COPY_LIMIT: Duration = Duration::from_secs(180);
/// How long the backlog may take after the load has ended.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);
/// Tables of the demo.
const TABLES: usize = 10;
/// How often the position is asked for.
const PAUSE: Duration = Duration::from_millis(200);
/// Differences found, by the exit codes of `segcdc`.
const EXIT_DIFFERENCES: i32 = 5;

/// Runs the demo to its end.
///
/// # Errors
/// Whatever does not go as promised.
pub(crate) async fn tell(arguments: Arguments, narrator: &Narrator) -> Result<()> {
    let servers = start_servers(&arguments, narrator).await?;
    let commands = &servers.commands;

    narrator
        .step("Filling the source: pgbench, every common type with its edges, texts as keys, large values");
    fill::fill(&servers.source, arguments.scale).await?;
    let client = servers.source.connect(DATABASE).await?;
    let rows_at_start = fill::count_rows(&client).await?;
    narrator.tell(&format!("{} rows in 10 tables", grouped(rows_at_start)));

    narrator.step("From two URLs to a running pipeline");
    narrator.command("segcdc up --yes");
    let begun = Instant::now();
    let mut engine = Engine::<Measure>::start(commands)?;
    let copied = engine.wait_until("all tables are copied", COPY_LIMIT, narrator, is_streaming).await?;
    let copy_seconds = begun.elapsed().as_secs_f64();
    for table in &copied.tables {
        narrator.tell(&table.describe());
    }
    narrator.tell(&format!("{} rows copied in {copy_seconds:.1} s; following", grouped(copied.rows_copied)));

    narrator.step(&format!(
        "Changing the source for {} s: pgbench, and transactions of every kind",
        arguments.seconds
    ));
    let load = Load::start(&servers.source, arguments.pace()).await?;
    follow(&mut engine, narrator, arguments.load_time() / 2).await?;

    narrator.step(&format!("kill -9 {}, in mid-stream, and again", engine.id()));
    let (before, peak_before) = engine.kill().await?;
    narrator.tell(&format!("it had applied {} changes", grouped(before.changes_applied)));
    narrator.command("segcdc up --yes");
    let restarted = Instant::now();
    let mut engine = Engine::<Measure>::start(commands)?;
    let load = finish_load(load, &mut engine, narrator).await?;
    let end: String = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?.get(0);
    // A last transaction, which ends above that position.
    client.batch_execute("INSERT INTO transfer (aid, amount) VALUES (0, 0)").await?;
    narrator.step(&format!("The load has ended at {end}; waiting until the target is there"));
    let load_ended = Instant::now();
    wait_until_applied(commands, &mut engine, narrator, &end).await?;
    let recovery_seconds = load_ended.elapsed().as_secs_f64();
    narrator.tell(&format!(
        "there after {recovery_seconds:.1} s, {:.1} s after the restart",
        restarted.elapsed().as_secs_f64()
    ));

    narrator.step("Is everything equal?");
    narrator.command("segcdc verify");
    let verdict = commands.run(&["verify", "--output", "json"]).await?;
    let (rows_verified, differences) = read_verdict(&verdict, TABLES)?;
    narrator.tell(&format!("{} rows compared, {differences} differences", grouped(rows_verified)));
    if differences > 0 {
        narrator.print(&verdict.text);
    }
    let (after, peak_after, _) = engine.stop().await?;

    let summary = Summary {
        before,
        after,
        rows_at_start,
        copy_seconds,
        load,
        recovery_seconds,
        peak_bytes: peak_before.max(peak_after),
        rows_verified,
        differences,
    };
    take_away(commands, &client, narrator).await?;
    crate::summary::conclude(narrator, &summary.render(), differences)
}

/// Starts both servers and says what they are.
async fn start_servers(arguments: &Arguments, narrator: &Narrator) -> Result<Servers> {
    narrator.step("Starting two private servers");
    let servers = Servers::start(arguments.programs.clone()).await?;
    narrator.tell(&format!("source: PostgreSQL, {}", servers.commands.source_url));
    narrator.tell(&format!("target: the sandbox, {}", servers.target_shown));
    for line in crate::servers::EXPLANATION {
        narrator.tell(line);
    }
    Ok(servers)
}

/// Whether the engine follows.
fn is_streaming(measure: &Measure) -> bool {
    measure.phase == "STREAMING"
}

/// Lets the engine work for `time`.
pub(crate) async fn follow<R: Report>(
    engine: &mut Engine<R>,
    narrator: &Narrator,
    time: Duration,
) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        engine.look(narrator)?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Waits for the end of the load while the engine works.
pub(crate) async fn finish_load<R: Report>(
    load: Load,
    engine: &mut Engine<R>,
    narrator: &Narrator,
) -> Result<LoadReport> {
    let mut finish = std::pin::pin!(load.finish());
    loop {
        tokio::select! {
            report = &mut finish => return report,
            () = tokio::time::sleep(PAUSE) => {
                engine.look(narrator)?;
            }
        }
    }
}

/// Waits until `segcdc status` says that everything up to `lsn` is applied.
pub(crate) async fn wait_until_applied<R: Report>(
    commands: &Commands,
    engine: &mut Engine<R>,
    narrator: &Narrator,
    lsn: &str,
) -> Result<()> {
    let wanted = position(lsn)?;
    let deadline = Instant::now() + CATCH_UP_LIMIT;
    loop {
        engine.look(narrator)?;
        let status = commands.run_quietly(&["status", "--output", "json"]).await?.json()?;
        let applied =
            status.get("applied_lsn").and_then(Value::as_str).context("status has no applied_lsn")?;
        if position(applied)? >= wanted {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the target is at {applied} only, {CATCH_UP_LIMIT:?} after the load"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// A WAL position as a number.
fn position(lsn: &str) -> Result<u64> {
    let (high, low) = lsn.split_once('/').with_context(|| format!("\"{lsn}\" is no position"))?;
    Ok((u64::from_str_radix(high, 16)? << 32) + u64::from_str_radix(low, 16)?)
}

/// Rows compared and differences found, of what `segcdc verify` said.
pub(crate) fn read_verdict(verdict: &Answer, expected: usize) -> Result<(u64, u64)> {
    let code = verdict.status.code();
    ensure!(
        verdict.status.success() || code == Some(EXIT_DIFFERENCES),
        "segcdc verify could not compare: {}",
        verdict.status
    );
    let report = verdict.json()?;
    let tables = report.get("tables").and_then(Value::as_array).context("verify has no tables")?;
    ensure!(tables.len() >= expected, "verify compared {} tables only", tables.len());
    let mut rows = 0;
    let mut differences = 0;
    for table in tables {
        let count = |name: &str| {
            table.get(name).and_then(Value::as_u64).with_context(|| format!("a table without {name}"))
        };
        ensure!(table.get("not_compared").is_none(), "a table was not compared: {table}");
        ensure!(count("unstable")? + count("unchecked")? == 0, "rows that nothing is known of: {table}");
        rows += count("source_rows")?;
        differences += count("missing")? + count("extra")? + count("different")?;
    }
    ensure!((differences == 0) == verdict.status.success(), "verify's exit code and its report disagree");
    Ok((rows, differences))
}

/// Removes the pipeline, and looks whether anything is left of it at the source.
async fn take_away(commands: &Commands, client: &tokio_postgres::Client, narrator: &Narrator) -> Result<()> {
    narrator.step("Taking it away");
    removed(commands, narrator).await?;
    let left: i64 = client
        .query_one(
            "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)",
            &[],
        )
        .await?
        .get(0);
    ensure!(left == 0, "{left} slots and publications are left at the source");
    narrator.tell("no slot and no publication is left at the source");
    Ok(())
}

/// Removes the pipeline, and tells what it says that it removed.
pub(crate) async fn removed(commands: &Commands, narrator: &Narrator) -> Result<()> {
    narrator.command("segcdc down --drop --yes");
    let answer = commands.run_quietly(&["down", "--drop", "--yes", "--output", "json"]).await?.json()?;
    let things = |list: &str| answer.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    for thing in things("removed") {
        narrator.tell(&format!("removed: {}", thing.get("what").and_then(Value::as_str).unwrap_or_default()));
    }
    narrator.tell(&format!("left: {} copied tables, which are yours to keep", things("left").len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_compared_as_numbers() {
        assert!(position("1/0").unwrap() > position("0/FFFFFFFF").unwrap());
        assert!(position("A/10").unwrap() > position("9/F0").unwrap());
        assert!(position("nothing").is_err());
    }
}
