//! [`measure`]: the real pipeline into the sandbox, at a steady rate: latency, memory, and how it gets over a crash.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use segcdc_testkit::PostgresCluster;
use segcdc_testkit::sandbox::Sandbox;
use tokio::time::{Instant, sleep};

use super::timeline::{self, Curves, Timeline};
use crate::command::Commands;
use crate::engine::Engine;
use crate::measure::{Latency, Measure};
use crate::narrator::Narrator;
use crate::peer::workload::Steady;
use crate::probe::{Percentiles, Probe};
use crate::story::follow;
use crate::target::TargetSession;

/// How long a start may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the rate is there before it is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the figure shows the rate before the crash.
const BEFORE: Duration = Duration::from_secs(5);
/// How long the engine is away.
const AWAY: Duration = Duration::from_secs(4);
/// How long it is shown afterwards.
const AFTER: Duration = Duration::from_secs(9);

/// What is wanted.
pub(super) struct Wanted {
    /// Transactions a second, of five changes each.
    pub(super) rate: u32,
    /// How long latency is taken.
    pub(super) time: Duration,
    /// The number of the first transaction.
    pub(super) from: u64,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Followed {
    /// Transactions a second that the source made.
    pub(super) rate: f64,
    /// From COMMIT until a session of its own sees the change, of one transaction each 50 ms.
    pub(super) outside: Percentiles,
    /// How many those were.
    pub(super) probes: usize,
    /// The same of all transactions, as the engine says it.
    pub(super) inside: Latency,
    /// Throughput and lag while the engine is killed and started again.
    pub(super) curves: Curves,
    /// Seconds at which it was killed, and started again.
    pub(super) crash: (f64, f64),
}

/// Measures in a database of the source that has the narrow rows.
pub(super) async fn measure(
    program: PathBuf,
    source: &PostgresCluster,
    target: &Sandbox,
    database: &str,
    wanted: Wanted,
    narrator: &Narrator,
) -> Result<Followed> {
    let commands = Commands {
        program,
        source_url: source.url(database),
        target_url: target.url().to_owned(),
        variables: Vec::new(),
    };
    let mut engine = Engine::<Measure>::start(&commands)?;
    engine.wait_until("it follows", LIMIT, narrator, |measure| measure.phase == "STREAMING").await?;
    let load = Steady::start(source.connect(database).await?, wanted.from, wanted.rate);
    follow(&mut engine, narrator, WARM_UP).await?;
    let client = source.connect(database).await?;
    let counted = "SELECT max(id) FROM narrow";
    let before: i64 = client.query_one(counted, &[]).await?.get(0);
    let begun = Instant::now();
    let probe = Probe::start(source.connect(database).await?, TargetSession::connect(target).await?).await?;
    follow(&mut engine, narrator, wanted.time).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let after: i64 = client.query_one(counted, &[]).await?.get(0);
    let (outside, probes) = probe.finish().await?;
    let inside = engine.measure().latency_recent;

    let timeline = Timeline::start(client, TargetSession::connect(target).await?);
    follow(&mut engine, narrator, BEFORE).await?;
    let killed = timeline.now();
    engine.kill().await?;
    sleep(AWAY).await;
    let started = timeline.now();
    let mut engine = Engine::<Measure>::start(&commands)?;
    follow(&mut engine, narrator, AFTER).await?;
    let samples = timeline.finish().await?;
    load.finish().await?;
    engine.stop().await?;
    commands.run_quietly(&["down", "--drop", "--yes"]).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count, far below 2^52")]
    let rate = (after - before) as f64 / seconds;
    let curves = timeline::curves(&samples);
    Ok(Followed { rate, outside, probes, inside, curves, crash: (killed, started) })
}
