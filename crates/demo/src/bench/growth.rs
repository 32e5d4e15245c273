//! How cost grows: with tables, with the width of rows, with the size of transactions and batches, with pipelines in one process.
//!
//! - [`tables`], [`widths`]: each `segcdc up` from nothing to nothing, by [`trip`]; [`transactions`]: under a running engine;
//!   [`backlog`]: after hours without one
//! - [`repairs`]: small differences mended
//! - [`pipelines`]: `segcdc serve`, asked by [`http`]
//! - [`batches`]: both ways of applying, in this process, near the server and behind a [`distance`]
//! - [`markdown`], [`mod@chart`]: what is written

mod backlog;
mod batches;
mod chart;
mod distance;
mod http;
mod markdown;
mod pipelines;
mod repairs;
mod tables;
mod transactions;
mod trip;
mod widths;

use std::path::{Path, PathBuf};

use anyhow::Result;
use segcdc_testkit::sandbox::{Sandbox, SandboxOptions};
use segcdc_testkit::{PostgresCluster, PostgresOptions};

use self::backlog::Backlog;
use self::batches::Batches;
use self::pipelines::Pipelines;
use self::repairs::Repairs;
use self::tables::Tables;
use self::transactions::Transactions;
use self::widths::Widths;
use super::pipeline::{COMMIT_DELAY, Sink};
use super::section::{About, about_table};
use super::{BenchArguments, Part};
use crate::narrator::Narrator;

/// The pictures, beside the page.
const WIDTHS_PICTURE: &str = "bench-widths.svg";
const BATCHES_PICTURE: &str = "bench-batches.svg";

/// The servers of all measurements.
struct Ground<'a> {
    program: PathBuf,
    source: PostgresCluster,
    sink: Sink,
    sandbox: Sandbox,
    narrator: &'a Narrator,
}

/// What was measured; `None` for what was not asked for.
#[derive(Debug, Default)]
pub(super) struct Growth {
    tables: Option<Tables>,
    widths: Option<Widths>,
    transactions: Option<Transactions>,
    backlog: Option<Backlog>,
    repairs: Option<Repairs>,
    pipelines: Option<Pipelines>,
    batches: Option<Batches>,
}

/// Measures what `part` asks for, on servers of its own.
pub(super) async fn measure(
    program: PathBuf,
    part: Part,
    amounts: BenchArguments,
    narrator: &Narrator,
) -> Result<Growth> {
    narrator.step("Starting servers for what grows");
    // A slot, its sender and sessions for each pipeline.
    let options = PostgresOptions::default()
        .setting("synchronous_commit", "on")
        .setting("max_replication_slots", "120")
        .setting("max_wal_senders", "120")
        .setting("max_connections", "600")
        .setting("max_wal_size", "4GB");
    let ground = Ground {
        program: program.clone(),
        source: PostgresCluster::start(options).await?,
        sink: Sink::start(program).await?,
        sandbox: Sandbox::start(SandboxOptions::default()).await?,
        narrator,
    };
    let rounds = amounts.bench_rounds;
    let mut growth = Growth::default();
    if part.holds(Part::Tables) {
        growth.tables = Some(tables::measure(&ground, rounds).await?);
    }
    if part.holds(Part::Widths) {
        growth.widths = Some(widths::measure(&ground, rounds).await?);
    }
    if part.holds(Part::Transactions) {
        growth.transactions = Some(transactions::measure(&ground, rounds, amounts.bench_largest).await?);
    }
    if part.holds(Part::Backlog) {
        growth.backlog = Some(backlog::measure(&ground, amounts.bench_minutes).await?);
    }
    if part.holds(Part::Repairs) {
        growth.repairs = Some(repairs::measure(&ground, rounds).await?);
    }
    if part.holds(Part::Pipelines) {
        growth.pipelines = Some(pipelines::measure(&ground).await?);
    }
    if part.holds(Part::Batches) {
        growth.batches = Some(batches::measure(&ground, rounds).await?);
    }
    Ok(growth)
}

// === impl Growth ===

impl Growth {
    /// The parts of the section that were measured.
    pub(super) fn parts(&self) -> String {
        let parts = [
            self.tables.as_ref().map(Tables::section),
            self.widths.as_ref().map(|widths| widths.section(WIDTHS_PICTURE)),
            self.transactions.as_ref().map(Transactions::section),
            self.backlog.as_ref().map(Backlog::section),
            self.repairs.as_ref().map(Repairs::section),
            self.pipelines.as_ref().map(Pipelines::section),
            self.batches.as_ref().map(|batches| batches.section(BATCHES_PICTURE)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    /// The whole section.
    pub(super) fn section(&self, about: &About, amounts: BenchArguments) -> String {
        format!(
            "## How cost grows (`make bench`)

What one more table, byte, row of a transaction, minute of standstill or pipeline costs. Numbers are medians (least–greatest) of {rounds} rounds, or of one where there is one number only.
The target is the null sink of the section above, a COMMIT of {delay} ms included, unless it says otherwise; source, engine and target share this machine's {cores} cores.

{parts}
{about}",
            rounds = amounts.bench_rounds,
            delay = COMMIT_DELAY.as_millis(),
            cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            parts = self.parts(),
            about = about_table(about, "`make bench`; this section alone: `make bench AMOUNTS='--bench-part growth'`"),
        )
    }

    /// Draws the pictures into a folder.
    pub(super) fn draw(&self, folder: &Path) -> Result<()> {
        if let Some(widths) = &self.widths {
            std::fs::write(folder.join(WIDTHS_PICTURE), widths.picture()?)?;
        }
        if let Some(batches) = &self.batches {
            std::fs::write(folder.join(BATCHES_PICTURE), batches.picture()?)?;
        }
        Ok(())
    }
}
