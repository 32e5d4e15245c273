//! [`Probe`]: how long a commit at the source takes to be visible in the target, seen from outside of any pipeline.
//!
//! A writer updates one row again and again and notes when each COMMIT was answered; a reader asks the target all the time
//! for that row. The row travels with all others, so it says how long they take.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use crate::target::TargetSession;

/// The probe's table at the source; it has to be there before a pipeline is made.
pub(crate) const TABLE: &str =
    "CREATE TABLE probe (id integer PRIMARY KEY, n bigint NOT NULL); INSERT INTO probe VALUES (1, 0)";
/// The probe in the target.
pub(crate) const READ: &str = "SELECT [n] FROM [dbo].[probe] WHERE [id] = 1";
/// Pause between two commits.
const WRITE_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two looks.
const READ_PAUSE: Duration = Duration::from_millis(1);
/// How long the last commit may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// Commit at the source to visible in the target, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Percentiles {
    /// Half of the commits took at most this.
    pub(crate) p50: f64,
    /// 95 of 100 took at most this.
    pub(crate) p95: f64,
    /// 99 of 100 took at most this.
    pub(crate) p99: f64,
}

/// Commits that were not seen yet: number, and when COMMIT was answered.
type Pending = Arc<Mutex<VecDeque<(i64, Instant)>>>;

/// A probe at work.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Result<()>>,
    reader: JoinHandle<Result<Vec<Duration>>>,
}

// === impl Probe ===

impl Probe {
    /// Begins; the pipeline must follow already.
    pub(crate) async fn start(client: Client, mut session: TargetSession) -> Result<Self> {
        let row = client.query_one("SELECT n FROM probe WHERE id = 1", &[]).await?;
        let from: i64 = row.get(0);
        let stop = Arc::new(AtomicBool::new(false));
        let pending = Pending::default();
        let writer = tokio::spawn(write(client, from, stop.clone(), pending.clone()));
        let stopped = stop.clone();
        let reader = tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let n = session.number(READ).await?.unwrap_or_default();
                let now = Instant::now();
                let done = {
                    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                    while let Some((_, committed)) = pending.pop_front_if(|(number, _)| *number <= n) {
                        seen.push(now.saturating_duration_since(committed));
                    }
                    pending.is_empty() && stopped.load(Ordering::Acquire)
                };
                if done {
                    return Ok(seen);
                }
                sleep(READ_PAUSE).await;
            }
        });
        Ok(Probe { stop, writer, reader })
    }

    /// Ends; returns when the last commit was seen, with what was measured.
    pub(crate) async fn finish(self) -> Result<(Percentiles, usize)> {
        self.stop.store(true, Ordering::Release);
        self.writer.await??;
        let seen = timeout(PATIENCE, self.reader).await.context("the last commit did not arrive")???;
        ensure!(!seen.is_empty(), "the probe has seen nothing");
        Ok((summary(&seen), seen.len()))
    }
}

/// Commits until it is told to stop.
async fn write(client: Client, from: i64, stop: Arc<AtomicBool>, pending: Pending) -> Result<()> {
    for number in from + 1.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        client.execute("UPDATE probe SET n = $1 WHERE id = 1", &[&number]).await?;
        pending.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, Instant::now()));
        sleep(WRITE_PAUSE).await;
    }
    Ok(())
}

/// Percentiles by the nearest rank.
fn summary(seen: &[Duration]) -> Percentiles {
    let mut sorted = seen.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    Percentiles { p50: at(50), p95: at(95), p99: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(summary(&times), Percentiles { p50: 100.0, p95: 190.0, p99: 198.0 });
        assert_eq!(summary(&[Duration::from_millis(7)]), Percentiles { p50: 7.0, p95: 7.0, p99: 7.0 });
    }
}
