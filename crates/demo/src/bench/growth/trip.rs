//! [`Trips`]: tables that are set up empty, filled by changes that are applied, and copied, each by `segcdc up` into the null sink.
//!
//! ```text
//! empty tables --up--> set up --up--> nothing to do --rows are made--> backlog --up--> applied
//!                                                     the same rows into another database --up--> copied
//! ```

use anyhow::{Context, Result, ensure};

use super::super::FLUSH;
use super::super::pipeline::{Ran, catch_up};
use super::Ground;

/// The part of a command's time that has to be left for a rate to be told.
const LEAST_SHARE: f64 = 0.1;

/// What is taken on the trip.
pub(super) struct Load<'a> {
    /// Name of its database, like no other's.
    pub(super) name: &'a str,
    /// Makes the tables, without a row, and a procedure `fill` that inserts the rows, and commits between them.
    pub(super) tables: &'a str,
    /// Rows that this makes.
    pub(super) rows: u64,
}

/// What the rounds came to.
#[derive(Debug, Default)]
pub(super) struct Trips {
    /// Rows of one round.
    rows: f64,
    /// Seconds of the first `up`, which makes all tables, without a row.
    pub(super) first: Vec<f64>,
    /// Seconds of `up` with nothing to do.
    pub(super) again: Vec<f64>,
    /// Seconds of `up` with all changes.
    pub(super) apply: Vec<f64>,
    /// Seconds of the first `up` with all rows.
    pub(super) copy: Vec<f64>,
    /// Highest memory while changes are applied, and while rows are copied, MiB.
    pub(super) apply_peak: Vec<f64>,
    pub(super) copy_peak: Vec<f64>,
}

// === impl Trips ===

impl Trips {
    /// Makes one more round.
    pub(super) async fn add(&mut self, ground: &Ground<'_>, load: &Load<'_>) -> Result<()> {
        let Load { name, tables, rows } = load;
        let source = &ground.source;
        source.execute("postgres", &format!("CREATE DATABASE {name}")).await?;
        let client = source.connect(name).await?;
        client.batch_execute(tables).await.context("could not make the tables")?;
        let commands = ground.sink.pipeline_into(source, name, name).await?;
        let first = catch_up(&commands).await?;
        let again = catch_up(&commands).await?;
        client.batch_execute("SET synchronous_commit = off").await?;
        client.batch_execute("CALL fill()").await.context("could not make the changes")?;
        client.batch_execute(FLUSH).await?;
        let apply = catch_up(&commands).await?;
        let found = apply.last.changes_applied;
        ensure!(found == *rows, "{found} changes of {rows} were applied");
        commands.run_quietly(&["down", "--drop", "--yes"]).await?;
        client.batch_execute("VACUUM ANALYZE").await?;
        let commands = ground.sink.pipeline_into(source, name, &format!("{name}_copy")).await?;
        let copy = catch_up(&commands).await?;
        ensure!(copy.last.rows_copied == *rows, "{} rows of {rows} were copied", copy.last.rows_copied);
        commands.run_quietly(&["down", "--drop", "--yes"]).await?;
        drop(client);
        source.execute("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        self.note(*rows, &first, &again, &apply, &copy);
        Ok(())
    }

    fn note(&mut self, rows: u64, first: &Ran, again: &Ran, apply: &Ran, copy: &Ran) {
        self.rows = super::super::to_f64(rows);
        self.first.push(first.seconds);
        self.again.push(again.seconds);
        self.apply.push(apply.seconds);
        self.copy.push(copy.seconds);
        let mebibytes = |ran: &Ran| super::super::to_f64(ran.peak_bytes) / f64::from(1 << 20);
        self.apply_peak.push(mebibytes(apply));
        self.copy_peak.push(mebibytes(copy));
    }

    /// Changes a second, without the time of `up` with nothing to do.
    pub(super) fn applied(&self) -> Vec<f64> {
        self.rates(&self.apply, &self.again)
    }

    /// Rows a second, without the time of the first `up` without a row.
    pub(super) fn copied(&self) -> Vec<f64> {
        self.rates(&self.copy, &self.first)
    }

    fn rates(&self, whole: &[f64], without: &[f64]) -> Vec<f64> {
        let rounds = whole.iter().zip(without);
        rounds.filter_map(|(whole, without)| rate(self.rows, *whole, *without)).collect()
    }
}

/// Rows a second of what a command took beyond the time that it takes without them; `None` where that is too small a part
/// of the whole to be told from chance.
fn rate(rows: f64, whole: f64, without: f64) -> Option<f64> {
    let left = whole - without;
    (left >= whole * LEAST_SHARE).then(|| rows / left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_only_where_enough_time_is_left() {
        assert_eq!(rate(100.0, 3.0, 1.0), Some(50.0));
        assert_eq!(rate(100.0, 80.0, 79.0), None);
        // The command with rows was the faster one by chance.
        assert_eq!(rate(100.0, 73.3, 79.2), None);
    }
}
