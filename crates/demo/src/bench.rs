//! `make bench`: how fast the native engine is, beside what limits it, on this machine.
//!
//! | what | limit, measured beside it in the same round |
//! |---|---|
//! | decode: the engine's stream reader to nowhere | the same changes by `pg_recvlogical` to nowhere |
//! | decode, encode, plan: CPU time of one thread | a hash of the same bytes: a yardstick, not a limit |
//! | copy: `segcdc up` into the null sink | the slower of COPY in binary form to nowhere and a bare bulk load of the same rows |
//! | apply: `segcdc up` into the null sink | `pg_recvlogical` to nowhere |
//! | latency, memory, a crash: `segcdc up` into the sandbox at a steady rate | – |
//!
//! - [`limits`]: the limits; [`inside`], [`planning`]: parts of the engine in this process; [`yardstick`]: what they are compared with
//! - [`pipeline`]: the program into the null sink
//! - [`steady`], [`timeline`]: the steady rate; [`ten`], [`slot`]: what is copied and drained
//! - [`growth`]: how cost grows, the second section
//! - [`ratios`]: rows, targets, and what was lost; [`section`], [`figure`]: what is written

mod figure;
mod growth;
mod inside;
mod limits;
mod pipeline;
mod planning;
mod ratios;
mod section;
mod slot;
mod steady;
mod ten;
mod timeline;
mod yardstick;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresCluster;
use tokio_postgres::Client;

use self::pipeline::{Ran, Sink, catch_up};
use self::planning::Sample;
use self::ratios::{Goal, Limit, Row, Rows};
use self::section::About;
use self::slot::Slots;
use self::steady::{Followed, Wanted};
use self::ten::{EMPTY, TEN};
use crate::Arguments;
use crate::machine::{self, Machine, Others};
use crate::narrator::{Narrator, grouped};
use crate::page;
use crate::peer::workload::{self, CHANGES};
use crate::servers::{self, DISCLAIMER, Servers};

/// Rows of ten columns that are copied.
const COPIED: u64 = 1_000_000;
/// Rows that are encoded: enough for a clock of ten milliseconds.
const ENCODED: u64 = 2_000_000;
/// Rows that the changes of a backlog go to.
const NARROW: u64 = 20_000;
/// Transactions of a backlog.
const BACKLOG: u64 = 40_000;
/// The database with the narrow rows.
const CHANGED: &str = "narrow";
/// Commits, and waits until all that was committed before is in the log, which those COMMITs did not wait for. A message, because a
/// table or view would be one more thing for the pipeline to look at.
const FLUSH: &str = "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'bench', '')";
/// The picture, beside the page.
const PICTURE: &str = "bench-steady.svg";
/// The ratios, beside the page.
const RATIOS: &str = "bench-ratios.json";

/// How much is done.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct BenchArguments {
    /// With --bench: how often everything is measured
    #[arg(long, default_value_t = 3)]
    pub(crate) bench_rounds: u32,
    /// With --bench: transactions a second at which latency is taken, of five changes each
    #[arg(long, default_value_t = 1000)]
    pub(crate) bench_rate: u32,
    /// With --bench: what is measured; a single part of what grows is printed and not written
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) bench_part: Part,
    /// With --bench: rows of the largest single transaction
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) bench_largest: u64,
    /// With --bench: minutes of the longest backlog, 1, 10 or 60
    #[arg(long, default_value_t = 10)]
    pub(crate) bench_minutes: u64,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Everything
    All,
    /// The engine beside its limits
    Limits,
    /// How cost grows
    Growth,
    /// How cost grows with tables
    Tables,
    /// How cost grows with the width of rows
    Widths,
    /// How cost grows with the size of a transaction
    Transactions,
    /// How cost grows with what has gathered while nothing ran
    Backlog,
    /// What mending a small difference costs beside copying everything
    Repairs,
    /// How cost grows with pipelines in one process
    Pipelines,
    /// How cost grows with the size of a batch
    Batches,
}

// === impl Part ===

impl Part {
    /// Whether this is `other` or more.
    fn holds(self, other: Part) -> bool {
        self == other
            || self == Part::All
            || (self == Part::Growth && !matches!(other, Part::All | Part::Limits))
    }

    /// Whether anything of how cost grows is measured.
    fn is_of_growth(self) -> bool {
        self != Part::Limits
    }
}

/// What all parts share.
struct Place<'a> {
    source: &'a PostgresCluster,
    sink: Sink,
    narrator: &'a Narrator,
}

/// What the rounds of the copy came to.
#[derive(Debug, Default)]
struct Copies {
    rates: Vec<f64>,
    to_nowhere: Vec<f64>,
    bare: Vec<f64>,
    set_up: Vec<f64>,
    cpu: Vec<f64>,
    encode: Vec<f64>,
    hashed: Vec<f64>,
    send: Vec<f64>,
}

/// What the rounds of a backlog came to.
#[derive(Debug, Default)]
struct Backlogs {
    decoded: Vec<f64>,
    /// Changes per CPU second: decoded, planned, hashed.
    decoded_alone: Vec<f64>,
    planned: Vec<f64>,
    hashed: Vec<f64>,
    received: Vec<f64>,
    applied: Vec<f64>,
    set_up: Vec<f64>,
    cpu: Vec<f64>,
    peak: Vec<f64>,
}

/// Runs the measurements that are asked for, and writes their sections.
pub(crate) async fn run(arguments: Arguments, narrator: &Narrator) -> Result<()> {
    let (machine, load) = (Machine::here(), machine::load_average());
    let part = arguments.bench.bench_part;
    let program = servers::program(arguments.programs.clone())?;
    narrator.tell(&format!("{}; load average before: {load}", machine.hardware));
    if part.holds(Part::Limits) {
        beside_limits(&arguments, &machine, &load, narrator).await?;
    }
    if part.is_of_growth() {
        let others = Others::begin();
        let grown = growth::measure(program.clone(), part, arguments.bench, narrator).await?;
        let others = others.shown();
        narrator.step("How cost grows");
        narrator.print(&grown.parts());
        narrator.print(&format!(
            "\n  Programs that have no part in this took {others} of the machine meanwhile."
        ));
        if let (Some(page), true) = (&arguments.page, part.holds(Part::Growth)) {
            let about = About { machine, load, others, versions: versions(&program)? };
            grown.draw(folder(Some(page)))?;
            page::write(page, page::GROWTH, &grown.section(&about, arguments.bench))?;
            narrator.tell(&format!("written to {}", page.display()));
        }
    }
    narrator.print(&format!("  {DISCLAIMER}"));
    Ok(())
}

/// Measures the engine beside its limits, and writes that section.
async fn beside_limits(
    arguments: &Arguments,
    machine: &Machine,
    load: &str,
    narrator: &Narrator,
) -> Result<()> {
    let amounts = arguments.bench;
    narrator.step("Starting the source, the sandbox and the null sink");
    let program = servers::program(arguments.programs.clone())?;
    let servers = Servers::start(arguments.programs.clone()).await?;
    let place = Place { source: &servers.source, sink: Sink::start(program.clone()).await?, narrator };
    let versions = versions(&program)?;

    narrator.step("Filling the source");
    for (name, rows) in [(TEN, COPIED), (EMPTY, 0)] {
        servers.source.execute("postgres", &format!("CREATE DATABASE {name}")).await?;
        servers.source.execute(name, &ten::fill(rows)).await?;
        servers.source.execute(name, "VACUUM ANALYZE").await?;
    }
    workload::narrow(NARROW).create(&servers.source).await?;
    narrator.tell(&format!("{} rows of ten columns, {} narrow rows", grouped(COPIED), grouped(NARROW)));

    let others = Others::begin();
    let copies = copies(&place, amounts).await?;
    let backlogs = backlogs(&place, amounts).await?;
    narrator
        .step(&format!("At {} transactions a second, into the sandbox", grouped(amounts.bench_rate.into())));
    let time = Duration::from_secs(arguments.seconds);
    // The numbers of the transactions go on where the backlogs ended.
    let from = BACKLOG * u64::from(amounts.bench_rounds) + 1;
    let wanted = Wanted { rate: amounts.bench_rate, time, from };
    let followed =
        steady::measure(program, &servers.source, &servers.target, CHANGED, wanted, narrator).await?;
    let others = others.shown();

    let rows = rows(copies, backlogs, &followed, amounts);
    narrator.step("Results: median (least–greatest)");
    narrator.print(&rows.plain());
    narrator
        .print(&format!("\n  Programs that have no part in this took {others} of the machine meanwhile."));
    let about = About { machine: machine.clone(), load: load.to_owned(), others, versions };
    let folder = folder(arguments.page.as_deref());
    compare(&folder.join(RATIOS), &rows, &about, narrator)?;
    if let Some(page) = &arguments.page {
        write(page, folder, &about, amounts, &rows, &followed)?;
        narrator.tell(&format!("written to {}", page.display()));
    }
    Ok(())
}

/// Where pictures and ratios are.
fn folder(page: Option<&Path>) -> &Path {
    page.and_then(Path::parent).unwrap_or(Path::new("docs/reference"))
}

/// Copies into the null sink, and encodes, in rounds.
async fn copies(place: &Place<'_>, amounts: BenchArguments) -> Result<Copies> {
    let mut found = Copies::default();
    let rows_per = |count: u64| to_f64(count);
    let mut sample = inside::Rows::read(place.source, TEN, TEN, COPIED).await?;
    let many = inside::Rows::read(place.source, TEN, TEN, ENCODED).await?;
    let bare = place.sink.database("bare").await?;
    let plain = bare.replace("encrypt=true", "encrypt=false");
    for round in 1..=amounts.bench_rounds {
        place.narrator.step(&format!("Copying and encoding, round {round} of {}", amounts.bench_rounds));
        found.to_nowhere.push(limits::copy_to_nowhere(place.source, TEN, TEN, rows_per(COPIED)).await?);
        found.bare.push(limits::bare_bulk_load(&bare, &mut sample).await?);
        let nothing = copy(place, EMPTY).await?;
        let all = copy(place, TEN).await?;
        ensure!(all.last.rows_copied == COPIED, "{} rows were copied", all.last.rows_copied);
        found.set_up.push(nothing.seconds);
        found.rates.push(rows_per(COPIED) / (all.seconds - nothing.seconds).max(0.01));
        found.cpu.push((all.cpu - nothing.cpu).max(0.0) / rows_per(COPIED) * 1e6);
        found.encode.push(many.encode_only()?);
        found.hashed.push(many.hash()?);
        found.send.push(many.encode_and_send(&plain).await?);
        place.narrator.tell(&format!(
            "{} rows copied in {:.1} s, {:.1} s of it without a row",
            grouped(COPIED),
            all.seconds,
            nothing.seconds
        ));
    }
    Ok(found)
}

/// One copy, from nothing to nothing.
async fn copy(place: &Place<'_>, database: &str) -> Result<Ran> {
    let commands = place.sink.pipeline(place.source, database).await?;
    let ran = catch_up(&commands).await?;
    commands.run_quietly(&["down", "--drop", "--yes"]).await?;
    Ok(ran)
}

/// Drains and applies backlogs, in rounds.
async fn backlogs(place: &Place<'_>, amounts: BenchArguments) -> Result<Backlogs> {
    let mut found = Backlogs::default();
    let client = place.source.connect(CHANGED).await?;
    let commands = place.sink.pipeline(place.source, CHANGED).await?;
    catch_up(&commands).await?;
    for round in 1..=amounts.bench_rounds {
        place
            .narrator
            .step(&format!("Decoding and applying a backlog, round {round} of {}", amounts.bench_rounds));
        let set_up = catch_up(&commands).await?;
        let mut slots = Slots::begin(place.source, CHANGED, &client).await?;
        let first = u64::from(round - 1) * BACKLOG + 1;
        make_backlog(&client, first..first + BACKLOG).await?;
        let changes = to_f64(BACKLOG * CHANGES);
        // The other one first each time: what is read for the second time may be in a cache.
        for ours in if round.is_multiple_of(2) { [true, false] } else { [false, true] } {
            let drain = slots.next().await?;
            if ours {
                let read = inside::drain(place.source, CHANGED, &drain).await?;
                ensure!(
                    read.transactions >= BACKLOG && read.changes == BACKLOG * CHANGES,
                    "not all was read: {read:?}"
                );
                found.decoded.push(changes / read.seconds);
                found.decoded_alone.push(changes / read.cpu.max(0.01));
            } else {
                let seconds = limits::receive_to_nowhere(place.source, CHANGED, &drain).await?;
                found.received.push(changes / seconds);
            }
        }
        let sample = Sample::read(place.source, CHANGED, &slots.next().await?).await?;
        found.planned.push(sample.plan()?);
        found.hashed.push(sample.hash()?);
        drop(sample);
        let ran = catch_up(&commands).await?;
        ensure!(
            ran.last.changes_applied == BACKLOG * CHANGES,
            "{} changes were applied",
            ran.last.changes_applied
        );
        slots.end().await?;
        found.set_up.push(set_up.seconds);
        found.applied.push(changes / (ran.seconds - set_up.seconds).max(0.01));
        found.cpu.push((ran.cpu - set_up.cpu).max(0.0) / changes * 1e6);
        found.peak.push(to_f64(ran.peak_bytes) / f64::from(1 << 20));
        place.narrator.tell(&format!(
            "{} changes applied in {:.1} s, {:.1} s of it without a change",
            grouped(BACKLOG * CHANGES),
            ran.seconds,
            set_up.seconds
        ));
    }
    commands.run_quietly(&["down", "--drop", "--yes"]).await?;
    Ok(found)
}

/// Makes transactions that nobody applies yet.
async fn make_backlog(client: &Client, numbers: std::ops::Range<u64>) -> Result<()> {
    let sql = "SET synchronous_commit = off;
         CREATE OR REPLACE PROCEDURE more(first bigint, behind bigint) LANGUAGE plpgsql AS $$ BEGIN
           FOR i IN first .. behind - 1 LOOP PERFORM step(i); COMMIT; END LOOP;
         END $$";
    client.batch_execute(sql).await?;
    client
        .batch_execute(&format!("CALL more({}, {})", numbers.start, numbers.end))
        .await
        .context("could not make a backlog")?;
    Ok(client.batch_execute(FLUSH).await?)
}

/// All rows, with what is wanted.
fn rows(copies: Copies, backlogs: Backlogs, followed: &Followed, amounts: BenchArguments) -> Rows {
    let slower = copies.to_nowhere.iter().zip(&copies.bare).map(|(copy, bare)| copy.min(*bare)).collect();
    let received = || Some(Limit { name: "pg_recvlogical to nowhere", values: backlogs.received.clone() });
    let copied = Some(Limit { name: "the slower of COPY to nowhere and bare bulk load", values: slower });
    let mut rows = Rows::default();
    let mut add = |key, name: &str, unit, values: Vec<f64>, limit, goal| {
        rows.add(Row { key, name: name.to_owned(), unit, values, limit, goal });
    };
    add("decode", "decode, to nowhere", "changes/s", backlogs.decoded, received(), Goal::Share(0.9));
    let hashed =
        |values: &[f64]| Some(Limit { name: "yardstick, a hash of the same bytes", values: values.to_vec() });
    let alone = hashed(&backlogs.hashed);
    add(
        "decode_alone",
        "decode, CPU alone",
        "changes per CPU second",
        backlogs.decoded_alone,
        alone.clone(),
        Goal::None,
    );
    add(
        "plan",
        "plan batches of 20,000 changes",
        "changes per CPU second",
        backlogs.planned,
        alone,
        Goal::None,
    );
    let alone = hashed(&copies.hashed);
    add("encode", "encode ten columns", "rows per CPU second", copies.encode, alone, Goal::AtLeast(2e6));
    add("send", "encode ten columns, with sending", "rows per CPU second", copies.send, None, Goal::None);
    add("copy", "copy ten columns into the null sink", "rows/s", copies.rates, copied, Goal::Share(0.8));
    add(
        "copy_nowhere",
        "of its limit: COPY in binary form to nowhere",
        "rows/s",
        copies.to_nowhere,
        None,
        Goal::None,
    );
    add(
        "copy_bare",
        "of its limit: bare bulk load into the null sink",
        "rows/s",
        copies.bare,
        None,
        Goal::None,
    );
    add("copy_cpu", "CPU of segcdc for it", "s per million rows", copies.cpu, None, Goal::None);
    add(
        "apply",
        "apply a backlog into the null sink",
        "changes/s",
        backlogs.applied,
        received(),
        Goal::Share(0.7),
    );
    add("apply_cpu", "CPU of segcdc for it", "s per million changes", backlogs.cpu, None, Goal::None);
    add("memory", "memory for it, highest (VmHWM)", "MiB", backlogs.peak, None, Goal::AtMost(256.0));
    let set_up = [copies.set_up, backlogs.set_up].concat();
    add("set_up", "`segcdc up` with nothing to do, subtracted above", "s", set_up, None, Goal::None);
    let wanted = f64::from(amounts.bench_rate);
    let offered = Goal::AtLeast(wanted * 0.99);
    add(
        "rate",
        "transactions that the source made at the steady rate",
        "1/s",
        vec![followed.rate],
        None,
        offered,
    );
    let Followed { outside, inside, .. } = followed;
    add("p50", "COMMIT to visible in the sandbox, p50", "ms", vec![outside.p50], None, Goal::None);
    add("p99", "COMMIT to visible in the sandbox, p99", "ms", vec![outside.p99], None, Goal::AtMost(100.0));
    add("engine_p50", "the same as the engine reports it, p50", "ms", vec![inside.p50_ms], None, Goal::None);
    add("engine_p99", "the same as the engine reports it, p99", "ms", vec![inside.p99_ms], None, Goal::None);
    rows
}

/// Says which ratios are worse than the stored ones.
fn compare(path: &Path, rows: &Rows, about: &About, narrator: &Narrator) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(path) else {
        narrator.print(&format!("  There are no stored ratios in {} to compare with.", path.display()));
        return Ok(());
    };
    let value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let losses = ratios::losses(&ratios::from_json(&value), &rows.shares());
    narrator.print(&format!("  {}", section::said_of_losses(&losses)));
    let machine = value.get("machine").and_then(serde_json::Value::as_str).unwrap_or_default();
    if machine != about.machine.hardware {
        narrator.print(&format!("  The stored ratios are of another machine: {machine}."));
    }
    Ok(())
}

/// Writes the section, the picture and the ratios.
fn write(
    page: &Path,
    folder: &Path,
    about: &About,
    amounts: BenchArguments,
    rows: &Rows,
    followed: &Followed,
) -> Result<()> {
    let title = format!("Transactions a second that became visible, {:.0} a second committed", followed.rate);
    let picture = figure::draw(&title, &followed.curves, followed.crash)?;
    std::fs::write(folder.join(PICTURE), picture)?;
    let stored = ratios::to_json(&about.machine.hardware, &about.machine.date, &rows.shares());
    std::fs::write(folder.join(RATIOS), format!("{stored:#}\n"))?;
    page::write(page, "make bench", &section::section(about, amounts, rows, followed, PICTURE))
}

/// What runs here.
fn versions(program: &Path) -> Result<String> {
    let segcdc = machine::said(Command::new(program).arg("version"));
    let server =
        machine::said(Command::new(segcdc_testkit::postgres::bin_dir()?.join("postgres")).arg("--version"));
    Ok(format!("{segcdc}, {}", server.replace("postgres (PostgreSQL)", "PostgreSQL")))
}

#[expect(clippy::cast_precision_loss, reason = "counts, far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
