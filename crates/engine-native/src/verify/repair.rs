//! [`repair`]: rows of standing differences written anew, exactly, whether the pipeline runs or not.
//!
//! ```text
//! temporary slot        a stream of what commits behind S
//! exported snapshot     the source's rows as of S, exactly
//! some keys at a time:
//!   read them as of S
//!   hold the fence      the target is as of A, and stays so
//!   touched             the keys that were changed between S and A     left alone: the pipeline is right about them
//!   the others          as of A they are what they were as of S        written, by row counts, and committed
//! ```
//!
//! A is behind S where the pipeline runs, since that is waited for; the stream of the temporary slot says what was changed
//! from S to A. Where it does not run, A is in front of S, and the pipeline's own slot says what was changed from A to S: what
//! was is late and not wrong, and the next run applies it. Nothing is acknowledged but A.
//!
//! Why it is done so: docs/decisions/0055.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{Lsn, TablePhase};
use segcdc_plan::{ApplyPlan, KnownTable, LetterChange, LetterEnd, TablePlan, letters};
use segcdc_postgres::{ExportedSnapshot, Replication, SlotSnapshot, StreamOptions};
use segcdc_sqlserver::{RepairApply, TableState, Target};

use crate::config::EngineConfig;
use crate::names;
use crate::provision::within_patience;
use crate::verify::RepairedRows;
use crate::verify::aside::Aside;
use crate::verify::barrier::Barrier;
use crate::verify::mend;
use crate::verify::one_table::reason_to_leave_out;
use crate::verify::planned::changed_meanwhile;
use crate::verify::read::{self, KEYS_IN_TRANSACTION, Key, SourceRow, Stop};
use crate::verify::readiness::Carrier;
use crate::verify::touched::Touched;

/// Which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Those that are not set aside.
    Repair,
    /// Those that are set aside and fit by now; their letters are closed.
    Replay,
}

/// The table, and how it was when its differences were found.
pub(super) struct Subject<'a> {
    /// Both servers.
    pub(super) config: &'a EngineConfig,
    /// Its plan.
    pub(super) table: &'a TablePlan,
    /// What the state said of it.
    pub(super) state: &'a TableState,
    /// What the pipeline knew of it.
    pub(super) known: Option<&'a KnownTable>,
}

/// Writes the rows with these keys as the source has them. What cannot be said for certain is left alone and counted.
///
/// # Errors
/// [`Stop::Table`] when the table cannot be repaired; [`Stop::All`]. What was committed before is not lost.
pub(super) async fn repair(
    subject: &Subject<'_>,
    barrier: &mut Barrier,
    keys: &[Key],
    purpose: Purpose,
) -> Result<RepairedRows, Stop> {
    let config = subject.config;
    let table = Arc::new(subject.table.clone());
    let lineage = barrier.state().await?.checkpoint.lineage;
    if lineage.slot.is_empty() {
        let detail = "the pipeline only copies: no stream tells what was changed since".to_owned();
        return Err(Stop::table("REPAIR_WITHOUT_STREAM", detail));
    }
    let mut behind_snapshot = Replication::connect(&config.source).await?;
    let [stream_slot, snapshot_slot] = [(); 2].map(|()| {
        // Random, so that two of us at once do not disturb each other.
        names::temporary_slot(&config.name, uuid::Uuid::new_v4().as_fields().0)
    });
    within_patience(config, behind_snapshot.create_slot(&stream_slot, SlotSnapshot::None, true)).await?;
    let snapshot =
        within_patience(config, ExportedSnapshot::create(&config.source, &snapshot_slot, true)).await?;
    let stream = behind_snapshot
        .start_with(&stream_slot, snapshot.lsn(), &[&lineage.publication], StreamOptions::default())
        .await?;
    let mut work = Work {
        subject,
        purpose,
        carrier: barrier.carrier().clone(),
        since_snapshot: Touched::new(&table, stream, snapshot.lsn()),
        before_snapshot: None,
        target: Target::connect(&config.target).await?,
        snapshot,
        publication: lineage.publication,
        table,
    };
    // A pipeline that runs has applied all that the snapshot sees.
    barrier.pass().await?;
    let repaired = work.all(barrier, keys).await;
    work.close().await;
    repaired
}

/// What one repair works with.
struct Work<'a> {
    subject: &'a Subject<'a>,
    purpose: Purpose,
    table: Arc<TablePlan>,
    carrier: Carrier,
    publication: String,
    snapshot: ExportedSnapshot,
    since_snapshot: Touched,
    /// Of the pipeline's own slot, where nobody else reads it.
    before_snapshot: Option<Touched>,
    target: Target,
}

// === impl Work ===

impl Work<'_> {
    async fn all(&mut self, barrier: &Barrier, keys: &[Key]) -> Result<RepairedRows, Stop> {
        let mut repaired = RepairedRows::default();
        for keys in keys.chunks(KEYS_IN_TRANSACTION) {
            repaired.add(&self.some(barrier, keys).await?);
        }
        Ok(repaired)
    }

    /// One target transaction.
    async fn some(&mut self, barrier: &Barrier, keys: &[Key]) -> Result<RepairedRows, Stop> {
        let source =
            read::snapshot_rows(&self.subject.config.source, self.subject.table, self.snapshot.name(), keys)
                .await?;
        let Work { subject, table, target, .. } = self;
        let mut open = RepairApply::begin(target, &subject.config.name, table).await?;
        let facts = Facts { subject, purpose: self.purpose, carrier: &self.carrier, table };
        let checked = facts.check(&mut open).await;
        let applied = open.checkpoint().applied_lsn;
        let touched = match checked {
            Ok(()) if applied >= self.snapshot.lsn() => {
                self.since_snapshot.advance(barrier.source(), applied).await.map(|()| &self.since_snapshot)
            }
            Ok(()) => {
                let before = (&mut self.before_snapshot, self.snapshot.lsn());
                facts.before_snapshot(barrier, before, &self.publication, applied).await
            }
            Err(stop) => Err(stop),
        };
        let written = match touched {
            Ok(touched) => facts.changes(&mut open, touched, keys, &source).await,
            Err(stop) => Err(stop),
        };
        match written {
            Ok((plan, rows)) if plan.is_empty() => {
                open.roll_back().await;
                Ok(rows)
            }
            Ok((plan, rows)) => {
                open.commit(&plan).await?;
                Ok(rows)
            }
            Err(stop) => {
                open.roll_back().await;
                Err(stop)
            }
        }
    }

    /// Ends everything that was opened at the source.
    async fn close(self) {
        self.since_snapshot.close().await;
        if let Some(before) = self.before_snapshot {
            before.close().await;
        }
        self.snapshot.close().await;
    }
}

/// What has to hold, and is known, of the table while the fence is held.
struct Facts<'a> {
    subject: &'a Subject<'a>,
    purpose: Purpose,
    carrier: &'a Carrier,
    table: &'a Arc<TablePlan>,
}

// === impl Facts ===

impl Facts<'_> {
    /// Makes sure that the target's table is that of the plan, as of the checkpoint.
    async fn check(&self, open: &mut RepairApply<'_>) -> Result<(), Stop> {
        let (config, oid) = (self.subject.config, self.subject.state.source_oid);
        let checkpoint = open.checkpoint().clone();
        let session = open.session();
        let state = session.known_state(&config.name).await?;
        if Carrier::of(&state) != *self.carrier {
            let detail = "the pipeline was handed to another engine meanwhile".to_owned();
            return Err(Stop::table("HANDED_OVER", detail));
        }
        let now = state.tables.iter().find(|table| table.source_oid == oid);
        let phase: Option<TablePhase> = now.map(|table| table.phase);
        if let Some(reason) = reason_to_leave_out(phase, self.subject.state) {
            return Err(Stop::Table(reason));
        }
        if now.is_some_and(|table| table.sync_lsn > checkpoint.applied_lsn) {
            let detail = "changes that were made while it was copied are not applied yet".to_owned();
            return Err(Stop::table("COPYING", detail));
        }
        let known = session.known_tables(&config.name).await?.remove(&oid);
        if let Some(reason) = changed_meanwhile(self.subject.known, known.as_ref()) {
            return Err(Stop::Table(reason));
        }
        if session.partial_transaction(&checkpoint).await?.is_some() {
            let detail =
                "a large transaction is applied by half: repair when it is over, or `segcdc up` first"
                    .to_owned();
            return Err(Stop::table("PARTIAL_TRANSACTION", detail));
        }
        Ok(())
    }

    /// What was changed between the checkpoint of a pipeline that does not run and the snapshot.
    async fn before_snapshot<'t>(
        &self,
        barrier: &Barrier,
        (before, snapshot): (&'t mut Option<Touched>, Lsn),
        publication: &str,
        applied: Lsn,
    ) -> Result<&'t Touched, Stop> {
        let touched = match before {
            Some(touched) => touched,
            None => {
                let slot = barrier.slot();
                let replication = Replication::connect(&self.subject.config.source).await?;
                let options = StreamOptions::default();
                let stream = replication.start_with(slot, applied, &[publication], options).await?;
                before.insert(Touched::new(self.table, stream, applied))
            }
        };
        touched.advance(barrier.source(), snapshot).await?;
        Ok(touched)
    }

    /// What is to be written of these keys.
    async fn changes(
        &self,
        open: &mut RepairApply<'_>,
        touched: &Touched,
        keys: &[Key],
        source: &HashMap<Key, SourceRow>,
    ) -> Result<(ApplyPlan, RepairedRows), Stop> {
        let end_lsn = open.checkpoint().applied_lsn;
        let session = open.session();
        let aside = Aside::read(session, &self.subject.config.name, self.subject.table).await?;
        let is_wanted = |key: &&Key| match self.purpose {
            Purpose::Repair => !aside.has_key(key),
            // One that does not fit stays as it is.
            Purpose::Replay => {
                let fits = |row: &SourceRow| !mend::is_set_aside(self.table, &row.tuple);
                aside.has_key(key) && source.get(*key).is_none_or(fits)
            }
        };
        let certain: Vec<Key> =
            keys.iter().filter(|key| !touched.has(key)).filter(is_wanted).cloned().collect();
        let target = read::target_by_key(session, self.subject.table, &certain).await?;
        let now_us = session.now_us().await?;
        let (changes, mut rows) = mend::changes(self.table, certain.iter(), source, &target, now_us);
        rows.left += (keys.len() - certain.len()) as u64;
        let closed = match self.purpose {
            Purpose::Repair => Vec::new(),
            Purpose::Replay => certain.iter().map(|key| self.closed(key, source, end_lsn)).collect(),
        };
        rows.letters = closed.len() as u64;
        Ok((mend::plan(changes, closed, end_lsn), rows))
    }

    /// The end of a letter.
    fn closed(&self, key: &Key, source: &HashMap<Key, SourceRow>, lsn: Lsn) -> LetterChange {
        let TablePlan { source: table, .. } = &**self.table;
        LetterChange::Close {
            oid: table.oid,
            table: table.name.clone(),
            key: letters::key_of_texts(self.table, key.clone()),
            rows: 1,
            lsn,
            end: if source.contains_key(key) { LetterEnd::Replayed } else { LetterEnd::Deleted },
        }
    }
}

/// Whether an error of a repair may pass by itself: another try begins with a new snapshot.
pub(super) fn may_try_again(stop: &Stop, attempt: u32) -> bool {
    const ATTEMPTS: u32 = 4;
    let unknown = matches!(stop, Stop::All(error) if error.is_commit_unknown());
    attempt < ATTEMPTS && (stop.may_pass() || unknown)
}
