//! [`run`]: `make bench-peer`, the native engine beside Kafka Connect, in one run.
//!
//! ```text
//! one source, one target, one broker, one worker      for the whole run; idle while the native engine is measured
//! round 1: native, Kafka Connect                      each with a new copy of the same data, into a new database
//! round 2: Kafka Connect, native                      the other way round
//! ...
//!   wide rows: copy                                   narrow rows: copy, backlog, steady rate, verify
//! ```
//!
//! - [`workload`]: the data and its changes; [`leg`]: one engine at work; [`meter`]: CPU time and memory of all processes
//! - [`figures`]: the table
//!
//! What is measured is seen from outside: a session of its own asks the target what is there. Each leg ends with `segcdc
//! verify`, so that nothing is measured that was not carried.

mod figures;
mod leg;
mod meter;
pub(crate) mod workload;

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use segcdc_testkit::connect::{self, ConnectCluster, ConnectOptions, Jvm};
use segcdc_testkit::sandbox::{Sandbox, SandboxOptions};
use segcdc_testkit::{PostgresCluster, PostgresOptions};

use self::figures::{Better, Figures};
use self::leg::{Applied, Copied, Followed, Leg, Place, Route};
use self::meter::{Memory, Usage};
use self::workload::Data;
use crate::machine::{self, Machine};
use crate::narrator::{Narrator, grouped};
use crate::{Arguments, cluster, page, servers};

/// Heaps of broker and worker, MiB: what `kafka-server-start.sh` and `connect-distributed.sh` give them.
const HEAPS: (u32, u32) = (1024, 2048);
/// What the testkit has impatient, as a worker has it by default.
const WORKER: [(&str, &str); 2] = [("offset.flush.interval.ms", "60000"), ("session.timeout.ms", "10000")];

/// How much is done.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct PeerArguments {
    /// With --peer: narrow rows that are copied; a tenth as many wide ones
    #[arg(long, default_value_t = 200_000)]
    pub(crate) rows: u64,
    /// With --peer: transactions of a backlog, of five changes each
    #[arg(long, default_value_t = 20_000)]
    pub(crate) transactions: u64,
    /// With --peer: transactions a second at which latency is taken, of five changes each
    #[arg(long, default_value_t = 20)]
    pub(crate) steady: u32,
    /// With --peer: how often everything is measured, with the other engine first each time
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
}

/// What one leg came to.
struct Results {
    wide: Copied,
    narrow: Copied,
    applied: Applied,
    followed: Followed,
}

/// Measures both engines, prints the table, and writes the page's section if there is a page to write.
pub(crate) async fn run(arguments: Arguments, narrator: &Narrator) -> Result<()> {
    if let Some(reason) = connect::skipped() {
        anyhow::bail!("there is no Kafka Connect here: {reason}");
    }
    let machine = Machine::here();
    let load = machine::load_average();
    narrator.step("Starting two private servers, a Kafka broker and a Kafka Connect worker");
    narrator.tell(&format!("{}; load average before: {load}", machine.hardware));
    let program = servers::program(arguments.programs.clone())?;
    let source =
        PostgresCluster::start(PostgresOptions::default().setting("synchronous_commit", "on")).await?;
    let target = Sandbox::start(SandboxOptions::default()).await?;
    let options = ConnectOptions {
        broker_heap_mib: HEAPS.0,
        worker_heap_mib: HEAPS.1,
        jvm: Jvm::AsShipped,
        worker_settings: WORKER.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..ConnectOptions::default()
    };
    let cluster = ConnectCluster::start(options).await?;
    let versions = versions(&program, &source, &cluster).await?;
    narrator.tell(&versions);

    narrator.step("Filling the source");
    let data = [workload::wide(arguments.amounts.rows / 10), workload::narrow(arguments.amounts.rows)];
    for data in &data {
        data.create(&source).await?;
        narrator.tell(&format!("{}: {} rows of {}", data.name, grouped(data.rows()), data.rows_are));
    }
    let place = Place { program, source: &source, target: &target, cluster: &cluster, narrator };
    let mut figures = Figures::default();
    let mut others = Vec::new();
    for round in 1..=arguments.amounts.rounds {
        let mut order = [Route::Native, Route::KafkaConnect];
        if round.is_multiple_of(2) {
            order.reverse();
        }
        for route in order {
            narrator.step(&format!("Round {round} of {}: {}", arguments.amounts.rounds, route.name()));
            let results = measure(&place, route, round, &data, &arguments).await?;
            others.extend(results.usages().map(|usage| usage.others));
            add(&mut figures, route, &data, &results);
        }
    }
    narrator.step("Results: median (least–greatest)");
    narrator.print(&figures.plain());
    let others = shares(&mut others);
    narrator
        .print(&format!("\n  Programs that have no part in this took {others} of the machine meanwhile."));
    narrator.print(&format!("  {}", servers::DISCLAIMER));
    if let Some(path) = &arguments.page {
        let about = About { machine, load, versions, others };
        page::write(path, "make bench-peer", &section(&about, &arguments, &data, &figures))?;
        narrator.tell(&format!("written to {}", path.display()));
    }
    Ok(())
}

/// One engine, from nothing to nothing.
async fn measure(
    place: &Place<'_>,
    route: Route,
    round: u32,
    data: &[Data; 2],
    arguments: &Arguments,
) -> Result<Results> {
    let [wide_data, narrow_data] = data;
    let mut leg = Leg::begin(place, route, wide_data, round).await?;
    let (running, wide) = leg.copy(wide_data).await?;
    leg.end(running, wide_data).await?;

    let mut leg = Leg::begin(place, route, narrow_data, round).await?;
    let (running, narrow) = leg.copy(narrow_data).await?;
    let transactions = arguments.amounts.transactions;
    let (mut running, applied) = leg.backlog(running, transactions).await?;
    let time = Duration::from_secs(arguments.seconds);
    let followed = leg.steady(&mut running, transactions + 1, arguments.amounts.steady, time).await?;
    leg.end(running, narrow_data).await?;
    Ok(Results { wide, narrow, applied, followed })
}

/// Adds what one leg came to.
#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn add(figures: &mut Figures, route: Route, data: &[Data; 2], results: &Results) {
    let mut add =
        |name: &str, unit, better, value| figures.add(route == Route::Native, name, unit, better, value);
    for (data, copied) in data.iter().zip([&results.wide, &results.narrow]) {
        let (name, rows) = (data.name, data.rows() as f64);
        add(&format!("copy of {name} rows, from the command"), "rows/s", Better::More, rows / copied.seconds);
        add(
            &format!("copy of {name} rows, without the set-up of connectors"),
            "rows/s",
            Better::More,
            rows / copied.copying,
        );
        let per_million = copied.usage.cpu() / rows * 1e6;
        add(&format!("CPU of the pipeline for {name} rows"), "s per million", Better::Less, per_million);
    }
    let Applied { changes, seconds, first, rate, usage } = &results.applied;
    let millions = *changes as f64 / 1e6;
    add("backlog, from the command", "changes/s", Better::More, *changes as f64 / seconds);
    add("backlog, first change visible after", "s", Better::Less, *first);
    if let Some(rate) = rate {
        add("backlog, from the first visible change", "changes/s", Better::More, *rate);
    }
    add("CPU of the pipeline for the backlog", "s per million changes", Better::Less, usage.cpu() / millions);
    add("CPU of the target for it", "s per million changes", Better::Less, usage.target / millions);
    add("CPU of the source for it", "s per million changes", Better::Less, usage.source / millions);
    let Followed { changes, latency, behind, usage } = &results.followed;
    add("latency at a steady rate, p50", "ms", Better::Less, latency.p50);
    add("latency at a steady rate, p95", "ms", Better::Less, latency.p95);
    add("latency at a steady rate, p99", "ms", Better::Less, latency.p99);
    add("the last change visible after the rate's end", "s", Better::Less, *behind);
    let per_million = usage.cpu() / *changes as f64 * 1e6;
    add("CPU of the pipeline at the steady rate", "s per million changes", Better::Less, per_million);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let together = results.usages().fold(Memory::default(), |peak, usage| peak.max(usage.together));
    add("memory of all processes, highest PSS", "MiB", Better::Less, mib(together.proportional));
    add("memory of all processes, highest RSS", "MiB", Better::Less, mib(together.resident));
    for name in ["segcdc", "broker", "worker"] {
        let of = results.usages().flat_map(|usage| &usage.memory).filter(|(of, _)| *of == name);
        let peak = of.fold(Memory::default(), |peak, (_, memory)| peak.max(*memory));
        if peak.proportional > 0 {
            add(&format!("of it {name}, highest PSS"), "MiB", Better::Less, mib(peak.proportional));
        }
    }
}

/// The middle and the ends of shares, in percent.
fn shares(shares: &mut [f64]) -> String {
    shares.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| shares.get(index).map_or(0.0, |share| share * 100.0);
    let last = shares.len().saturating_sub(1);
    format!("{:.0} % ({:.0}–{:.0} %)", at(last / 2), at(0), at(last))
}

/// What runs here.
async fn versions(
    program: &std::path::Path,
    source: &PostgresCluster,
    cluster: &ConnectCluster,
) -> Result<String> {
    let segcdc = machine::said(Command::new(program).arg("version"));
    let postgres = source.psql("postgres", "SHOW server_version")?;
    let java = machine::said(Command::new("java").arg("-version"));
    let connect = cluster::versions(cluster).await?;
    Ok(format!("{segcdc}, PostgreSQL {}, {connect}, {java}", postgres.trim()))
}

/// Where and with what it was measured.
struct About {
    machine: Machine,
    load: String,
    versions: String,
    others: String,
}

/// What was called, so that it can be called again.
fn command(peer: &PeerArguments, seconds: u64) -> String {
    let PeerArguments { rows, transactions, steady, rounds } = peer;
    format!(
        "make bench-peer AMOUNTS='--rows {rows} --transactions {transactions} --steady {steady} --rounds {rounds} --seconds {seconds}'"
    )
}

/// The section of the page.
fn section(about: &About, arguments: &Arguments, data: &[Data; 2], figures: &Figures) -> String {
    let About { machine, load, versions, others } = about;
    let peer = arguments.amounts;
    let rows =
        data.iter().map(|data| format!("{} {} rows ({})", grouped(data.rows()), data.name, data.rows_are));
    format!(
        "## The native engine beside Kafka Connect (`make bench-peer`)

The same rows and the same changes, from one PostgreSQL into new databases of one sandbox, carried by `segcdc up` and by `segcdc up --engine
kafka-connect --full-load debezium`: Debezium's source, Kafka, Debezium's JDBC sink, as [the guide](../guides/kafka-connect.md) sets them up.
They do not promise the same: the native engine applies **exactly once**, whole transactions in their order; the route over Kafka
Connect delivers **at least once**, rows converge by their key, and a reader sees half of a transaction. Every leg ended with `segcdc verify`
and no difference.

{table}
Median (least–greatest) of {rounds} rounds, with the other engine first in every second one. The last column divides the medians.

| | |
|---|---|
| command | `{command}`: {rows}; a backlog of {changes} changes ({transactions} transactions of an INSERT, three UPDATEs and a DELETE) that gathered while nothing ran; then {steady} such transactions a second for {seconds} s, and one more row 20 times a second, whose COMMIT-to-visible time is the latency |
| date | {date} |
| machine | {hardware} |
| load | load average {load} before the run; programs that have no part in it took {others} of the machine while it measured |
| versions | {versions} |

How to read it:

- Where other programs took much of the machine, wall time and latency are mostly waiting for a core, of both engines. CPU time and memory
  hardly are: compare those, and measure again on a machine that is quiet.
- The target is the **sandbox, not SQL Server**. It shares the machine's cores with the source, the engines, and the load; all
  disks are in memory where there is enough. A target that is slower per statement than per row makes the difference larger, a bigger machine
  gives the worker more cores.
- *From the command* is what a person waits for, set-up and start of Java's connectors included. *Without the set-up* leaves out the time until the
  connectors run; of the native engine it leaves out nothing.
- *Pipeline* is segcdc alone for the native engine, and broker, worker and the segcdc that looks after them for Kafka Connect. The time of
  source and target is shown apart: it is the cost of the way rows are read and written.
- CPU time is user and system time of all threads from `/proc`; memory was looked at twice a second, that of segcdc alone twenty times. PSS counts a shared page by its share.
- A rate that is too high for an engine shows as seconds of latency: changes queue up, and *the last change visible after the rate's end* says for
  how long.
- Broker and worker run as Kafka's scripts start them (G1, heaps of 1 and 2 GiB), are started once for the whole run, and are idle while the
  native engine is measured: a worker of the later rounds is warm. Exactly-once source support is on, as the guide recommends it.
- The native engine holds its bound of memory (256 MiB by default) whatever comes; Java takes what its heap allows before it collects.
",
        table = figures.markdown(),
        rounds = peer.rounds,
        command = command(&peer, arguments.seconds),
        rows = rows.collect::<Vec<_>>().join(" and "),
        changes = grouped(peer.transactions * workload::CHANGES),
        transactions = grouped(peer.transactions),
        steady = peer.steady,
        seconds = arguments.seconds,
        date = machine.date,
        hardware = machine.hardware,
    )
}

// === impl Results ===

impl Results {
    fn usages(&self) -> impl Iterator<Item = &Usage> {
        [&self.wide.usage, &self.narrow.usage, &self.applied.usage, &self.followed.usage].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shown_in_percent() {
        assert_eq!(shares(&mut [0.5, 0.1, 0.2]), "20 % (10–50 %)");
        assert_eq!(shares(&mut []), "0 % (0–0 %)");
    }
}
