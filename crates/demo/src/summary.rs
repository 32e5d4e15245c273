//! [`Summary`]: the table at the end.

use anyhow::{Result, bail};

use crate::load::LoadReport;
use crate::measure::{Latency, Measure};
use crate::narrator::{Narrator, grouped};
use crate::spread::per_second;

/// What the demo came to.
#[derive(Debug)]
pub(crate) struct Summary {
    /// The run that was killed, as it last spoke of itself.
    pub(crate) before: Measure,
    /// The run that went on.
    pub(crate) after: Measure,
    /// Rows of the source when the first run began.
    pub(crate) rows_at_start: u64,
    /// How long copying took, seconds.
    pub(crate) copy_seconds: f64,
    /// What was done to the source.
    pub(crate) load: LoadReport,
    /// From the end of the load until everything had arrived, seconds.
    pub(crate) recovery_seconds: f64,
    /// Highest resident memory of either run, bytes.
    pub(crate) peak_bytes: u64,
    /// Rows of the source that were compared.
    pub(crate) rows_verified: u64,
    /// What differed.
    pub(crate) differences: u64,
}

/// Prints the table and ends the demo: well only when nothing differs.
pub(crate) fn conclude(narrator: &Narrator, table: &str, differences: u64) -> Result<()> {
    narrator.step("Summary");
    narrator.print(table);
    narrator.print(&format!("\n  {}", crate::servers::DISCLAIMER));
    if differences > 0 {
        bail!("{differences} differences between source and target");
    }
    narrator.succeed(&format!("Done in {} s. differences: 0", narrator.seconds()));
    Ok(())
}

// === impl Summary ===

impl Summary {
    /// The table, one line a fact.
    pub(crate) fn render(&self) -> String {
        let copied = self.before.rows_copied.max(self.rows_at_start);
        let applied = self.before.changes_applied + self.after.changes_applied;
        let transactions = self.before.transactions_applied + self.after.transactions_applied;
        let LoadReport { pgbench_transactions, mixed_transactions } = self.load;
        let rows = [
            (
                "rows copied",
                format!("{} ({} a second)", grouped(copied), per_second(copied, self.copy_seconds)),
            ),
            (
                "transactions committed at the source",
                format!(
                    "{} by pgbench, {} mixed",
                    grouped(pgbench_transactions),
                    grouped(mixed_transactions)
                ),
            ),
            (
                "changes applied",
                format!("at least {} of {} transactions", grouped(applied), grouped(transactions)),
            ),
            ("lag under load", latency(self.before.latency)),
            ("restarts", "1, after SIGKILL in mid-stream".to_owned()),
            ("level with the source", format!("{:.1} s after the load's end", self.recovery_seconds)),
            ("peak memory of segcdc", format!("{} MiB", self.peak_bytes >> 20)),
            ("rows compared", grouped(self.rows_verified)),
            ("differences", self.differences.to_string()),
        ];
        table(&rows)
    }
}

/// Names and values, one line each.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = rows.iter().map(|(name, value)| format!("  {name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Commit to visible, in words.
pub(crate) fn latency(latency: Latency) -> String {
    format!("p50 {:.1} ms, p99 {:.1} ms from commit to visible", latency.p50_ms, latency.p99_ms)
}
