//! [`Leg`]: one engine carries one copy of the data: copy, backlog, steady rate, proof, removal.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresCluster;
use segcdc_testkit::connect::ConnectCluster;
use segcdc_testkit::sandbox::Sandbox;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::meter::{Meter, Usage, Watched};
use super::workload::{self, CHANGES, Data, Steady};
use crate::cluster;
use crate::command::Commands;
use crate::connect_report::ConnectReport;
use crate::engine::Engine;
use crate::measure::Measure;
use crate::narrator::{Narrator, grouped};
use crate::probe::{self, Percentiles, Probe};
use crate::report::Report;
use crate::story::{follow, read_verdict};
use crate::target::TargetSession;

/// How long a copy or a backlog may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Pause between two looks at the target.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the steady rate is there before it is measured.
const WARM_UP: Duration = Duration::from_secs(5);

/// What all legs share.
pub(super) struct Place<'a> {
    pub(super) program: std::path::PathBuf,
    pub(super) source: &'a PostgresCluster,
    pub(super) target: &'a Sandbox,
    pub(super) cluster: &'a ConnectCluster,
    pub(super) narrator: &'a Narrator,
}

/// Who carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// `segcdc up` itself.
    Native,
    /// Debezium's connectors.
    KafkaConnect,
}

/// One engine, at work in databases of its own.
pub(super) struct Leg<'a> {
    place: &'a Place<'a>,
    route: Route,
    commands: Commands,
    client: Client,
    session: TargetSession,
    database: String,
}

/// A copy that was measured.
#[derive(Debug)]
pub(super) struct Copied {
    /// From the command until all rows were visible, seconds.
    pub(super) seconds: f64,
    /// The same without the set-up; the native engine's is not told apart.
    pub(super) copying: f64,
    pub(super) usage: Usage,
}

/// A backlog that was measured.
#[derive(Debug)]
pub(super) struct Applied {
    /// Changes in it, markers included.
    pub(super) changes: u64,
    /// From the command until the last one was visible, seconds.
    pub(super) seconds: f64,
    /// From the command until the first marker was visible, seconds.
    pub(super) first: f64,
    /// Changes a second between the first marker that was seen and the last one; `None` when that was one.
    pub(super) rate: Option<f64>,
    pub(super) usage: Usage,
}

/// A steady rate that was measured.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) changes: u64,
    pub(super) latency: Percentiles,
    /// From the last commit that was watched until it was visible, seconds: long when the rate was not kept up with.
    pub(super) behind: f64,
    pub(super) usage: Usage,
}

/// What a run of either engine says of itself.
#[derive(Debug, Clone, Default)]
struct Said {
    native: Measure,
    connect: ConnectReport,
}

// === impl Route ===

impl Route {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Route::Native => "native",
            Route::KafkaConnect => "Kafka Connect",
        }
    }
}

// === impl Leg ===

impl<'a> Leg<'a> {
    /// Makes the databases.
    pub(super) async fn begin(place: &'a Place<'a>, route: Route, data: &Data, round: u32) -> Result<Self> {
        let engine = if route == Route::Native { "native" } else { "kafka" };
        let database = format!("{}_{engine}_{round}", data.name);
        data.copy(place.source, &database).await?;
        TargetSession::connect(place.target).await?.execute(&format!("CREATE DATABASE [{database}]")).await?;
        let (password, port) = (place.target.password(), place.target.port());
        let commands = Commands {
            program: place.program.clone(),
            source_url: place.source.url(&database),
            // The same for both: Microsoft's driver does not know the sandbox's authority.
            target_url: format!("sqlserver://sa:{password}@127.0.0.1:{port}/{database}?{}", cluster::TRUST),
            variables: if route == Route::Native { Vec::new() } else { cluster::variables(place.cluster) },
        };
        let client = place.source.connect(&database).await?;
        let session = TargetSession::connect_to(place.target, &database).await?;
        Ok(Leg { place, route, commands, client, session, database })
    }

    /// Sets the pipeline up; measures until all rows are there.
    pub(super) async fn copy(&mut self, data: &Data) -> Result<(Running, Copied)> {
        let begun = Instant::now();
        let mut engine = Engine::<Said>::start(&self.commands)?;
        let meter = self.meter(&engine)?;
        let mut set_up = 0.0;
        if self.route == Route::KafkaConnect {
            let runs = |said: &Said| said.connect.runs();
            engine.wait_until("the connectors run", LIMIT, self.place.narrator, runs).await?;
            set_up = begun.elapsed().as_secs_f64();
        }
        for (table, rows) in &data.tables {
            self.until_there(&mut engine, table, *rows, begun + LIMIT).await?;
        }
        if self.route == Route::Native {
            let follows = |said: &Said| said.native.phase == "STREAMING";
            engine.wait_until("it follows", LIMIT, self.place.narrator, follows).await?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let copied = Copied { seconds, copying: seconds - set_up, usage: meter.end() };
        let rows = grouped(data.rows());
        self.place
            .narrator
            .tell(&format!("{rows} rows copied in {seconds:.1} s, {set_up:.1} s of it for the set-up"));
        Ok((Running(engine), copied))
    }

    /// Has changes gather while nothing runs; measures until the last one is there.
    pub(super) async fn backlog(
        &mut self,
        running: Running,
        transactions: u64,
    ) -> Result<(Running, Applied)> {
        running.0.stop().await?;
        if self.route == Route::KafkaConnect {
            self.commands.run_quietly(&["stop"]).await?;
        }
        let made = workload::backlog(&self.client, transactions).await?;
        let last = i64::try_from(transactions)?;
        let begun = Instant::now();
        let mut engine = Engine::<Said>::start(&self.commands)?;
        let meter = self.meter(&engine)?;
        let mut seen: Vec<(i64, f64)> = Vec::new();
        while seen.last().is_none_or(|(number, _)| *number < last) {
            engine.look(self.place.narrator)?;
            let number = self.session.number(probe::READ).await?.unwrap_or_default();
            if seen.last().map_or(0, |(number, _)| *number) < number {
                seen.push((number, begun.elapsed().as_secs_f64()));
            }
            ensure!(begun.elapsed() < LIMIT, "the backlog was not applied within {LIMIT:?}");
            sleep(PAUSE).await;
        }
        let usage = meter.end();
        let (first, rate) = rate(&seen)?;
        let seconds = seen.last().map_or(0.0, |(_, at)| *at);
        let changes = transactions * CHANGES + markers(transactions);
        self.place.narrator.tell(&format!(
            "{} changes, made in {made:.1} s, applied in {seconds:.1} s; the first ones after {first:.1} s",
            grouped(changes)
        ));
        Ok((Running(engine), Applied { changes, seconds, first, rate, usage }))
    }

    /// Makes changes at a steady rate; measures how long they take to arrive.
    pub(super) async fn steady(
        &mut self,
        running: &mut Running,
        from: u64,
        rate: u32,
        time: Duration,
    ) -> Result<Followed> {
        let narrator = self.place.narrator;
        let load = Steady::start(self.place.source.connect(&self.database).await?, from, rate);
        follow(&mut running.0, narrator, WARM_UP).await?;
        let session = TargetSession::connect_to(self.place.target, &self.database).await?;
        let counted = "SELECT max(id) FROM narrow";
        let before: i64 = self.client.query_one(counted, &[]).await?.get(0);
        let meter = self.meter(&running.0)?;
        let probe = Probe::start(self.place.source.connect(&self.database).await?, session).await?;
        follow(&mut running.0, narrator, time).await?;
        let stopped = Instant::now();
        let (latency, commits) = probe.finish().await?;
        let behind = stopped.elapsed().as_secs_f64();
        let usage = meter.end();
        let after: i64 = self.client.query_one(counted, &[]).await?.get(0);
        load.finish().await?;
        let changes = u64::try_from(after - before)? * CHANGES + u64::try_from(commits)?;
        narrator.tell(&format!(
            "{} changes, {commits} of them watched: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms from COMMIT to the target",
            grouped(changes), latency.p50, latency.p95, latency.p99
        ));
        Ok(Followed { changes, latency, behind, usage })
    }

    /// Proves that both sides are equal, and takes the pipeline away.
    pub(super) async fn end(self, running: Running, data: &Data) -> Result<()> {
        let end: String =
            self.client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?.get(0);
        let mut engine = running.0;
        // A last transaction, which ends above that position.
        let sql = format!("DELETE FROM {} WHERE id = 1", data.tables.first().context("a table")?.0);
        self.client.batch_execute(&sql).await?;
        crate::story::wait_until_applied(&self.commands, &mut engine, self.place.narrator, &end).await?;
        let verdict = self.commands.run(&["verify", "--output", "json"]).await?;
        let (rows, differences) = read_verdict(&verdict, data.tables.len())?;
        ensure!(differences == 0, "{differences} differences after the run: {}", verdict.text);
        self.place.narrator.tell(&format!("{} rows compared, no difference", grouped(rows)));
        engine.stop().await?;
        self.commands.run_quietly(&["down", "--drop", "--yes"]).await?;
        drop(self.client);
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        self.place.source.execute("postgres", &sql).await
    }

    /// Waits until a table of the target has so many rows. Its last row is looked for first: that is cheap.
    async fn until_there(
        &mut self,
        engine: &mut Engine<Said>,
        table: &str,
        rows: u64,
        deadline: Instant,
    ) -> Result<()> {
        let questions = [
            (format!("SELECT COUNT(*) FROM sys.tables WHERE [name] = N'{table}'"), 1),
            (format!("SELECT COUNT(*) FROM [dbo].[{table}] WHERE [id] = {rows}"), 1),
            (format!("SELECT COUNT(*) FROM [dbo].[{table}]"), i64::try_from(rows)?),
        ];
        for (sql, wanted) in questions {
            while self.session.number(&sql).await? != Some(wanted) {
                engine.look(self.place.narrator)?;
                ensure!(Instant::now() < deadline, "{table} was not copied within {LIMIT:?}");
                sleep(PAUSE * 4).await;
            }
        }
        Ok(())
    }

    fn meter(&self, engine: &Engine<Said>) -> Result<Meter> {
        let mut pipeline = vec![("segcdc", engine.id())];
        if self.route == Route::KafkaConnect {
            pipeline.extend(["broker", "worker"].into_iter().zip(self.place.cluster.process_ids()));
        }
        let target = self.place.target.process_id().context("the target runs")?;
        let source = self.place.source.process_id().context("the source runs")?;
        Ok(Meter::begin(Watched { pipeline, target, source }))
    }
}

/// A run of `segcdc up`.
pub(super) struct Running(Engine<Said>);

/// Markers of a backlog: one each hundredth, and one at the end.
fn markers(transactions: u64) -> u64 {
    let every = (transactions / 100).max(1);
    transactions / every + u64::from(!transactions.is_multiple_of(every))
}

/// When the first marker was seen, and changes a second from there to the last one.
#[expect(clippy::cast_precision_loss, reason = "counts, far below 2^52")]
fn rate(seen: &[(i64, f64)]) -> Result<(f64, Option<f64>)> {
    let ((first, from), (last, to)) = (seen.first().context("a marker")?, seen.last().context("a marker")?);
    let changes = (last - first) as f64 * CHANGES as f64;
    Ok((*from, (last > first && to > from).then(|| changes / (to - from))))
}

// === impl Said ===

impl Report for Said {
    fn absorb(&mut self, line: &str) {
        self.native.absorb(line);
        self.connect.absorb(line);
    }

    fn describe(&self) -> Option<String> {
        self.native.describe().or_else(|| self.connect.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_between_the_first_and_the_last_marker() {
        let (first, between) = rate(&[(100, 2.0), (300, 3.0), (600, 4.5)]).unwrap();
        assert!((first - 2.0).abs() < 1e-9 && (between.unwrap() - 1000.0).abs() < 1e-9);
        assert_eq!(rate(&[(600, 2.0)]).unwrap(), (2.0, None));
        assert!(rate(&[]).is_err());
    }

    #[test]
    fn markers_are_counted_as_the_procedure_makes_them() {
        assert_eq!((markers(20_000), markers(250), markers(50)), (100, 125, 50));
        assert_eq!(markers(205), 103);
    }
}
