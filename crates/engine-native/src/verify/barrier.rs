//! [`Barrier`]: waits until the target has applied what the source has.

use std::time::Duration;

use segcdc_model::{Disposition, Fault, Lsn, TablePhase};
use segcdc_plan::{KnownTable, OnChange};
use segcdc_postgres::{Session, catalog, heartbeat, publication, session, slot};
use segcdc_sqlserver::{CountedUse, PipelineState, Target, TargetConfig, WritePath};
use tokio::time::{Instant, sleep};

use crate::config::EngineConfig;
use crate::engine_kind;
use crate::error::EngineError;
use crate::heartbeat_row::{self, HeartbeatRow};
use crate::verify::readiness::Carrier;

/// Pause between two looks at the checkpoint: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// How long nobody may read the slot before the pipeline counts as stopped: a process that reconnects takes less.
const ABSENCE: Duration = Duration::from_secs(3);

/// How long the checkpoint may stand still before the pipeline counts as stopped. The engine moves the checkpoint of an
/// idle pipeline every ten seconds.
const STANDSTILL: Duration = Duration::from_secs(90);

/// Times that the target is asked for the state before its trouble counts: a deadlock, a lock time-out.
const ATTEMPTS: u32 = 4;

/// Compares positions of both sides, on sessions of its own.
#[derive(Debug)]
pub(crate) struct Barrier {
    target_config: TargetConfig,
    source: Session,
    target: Target,
    pipeline: String,
    slot: String,
    publication: String,
    /// Rows that say how far the pipeline has come, for one that another engine runs; empty for one of ours, whose
    /// checkpoint says it.
    heartbeats: Vec<HeartbeatRow>,
    /// Who carried the pipeline when the comparison began.
    carrier: Carrier,
    running: bool,
}

// === impl Barrier ===

impl Barrier {
    /// Connects to both sides and reads the pipeline's state.
    ///
    /// # Errors
    /// `STATE_MISSING` when there is no such pipeline.
    pub(crate) async fn open(config: &EngineConfig) -> Result<(Self, PipelineState), EngineError> {
        let mut target = Target::connect(&config.target).await?;
        let state = target.known_state(&config.name).await?;
        let source = session::connect(&config.source).await?;
        let slot = state.checkpoint.lineage.slot.clone();
        let mut barrier = Barrier {
            target_config: config.target.clone(),
            source,
            target,
            pipeline: config.name.clone(),
            slot,
            publication: state.checkpoint.lineage.publication.clone(),
            heartbeats: engine_kind::heartbeats(&state),
            carrier: Carrier::of(&state),
            running: true,
        };
        barrier.running = barrier.is_read().await?;
        Ok((barrier, state))
    }

    /// How a pipeline's rows get into the target.
    pub(crate) fn write_path(&self) -> WritePath {
        self.target.write_path()
    }

    /// The session with the source, for questions in between.
    pub(crate) fn source(&self) -> &Session {
        &self.source
    }

    /// Who carried the pipeline when the comparison began.
    pub(crate) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// The slot that it reads.
    pub(crate) fn slot(&self) -> &str {
        &self.slot
    }

    /// The condition by which the publication sends rows of a table, if it has one.
    pub(crate) async fn published_filter(&self, oid: u32) -> Result<Option<String>, EngineError> {
        let found = publication::inspect(&self.source, &self.publication).await?;
        let tables = found.map(|found| found.tables).unwrap_or_default();
        Ok(tables.into_iter().find(|table| table.oid == oid).and_then(|table| table.row_filter))
    }

    /// Whether the pipeline has run all the time.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// Returns when the target has applied all that had committed at the source before the call, or when the pipeline
    /// turns out not to run, or to be carried by somebody else; returns that position of the source.
    ///
    /// # Errors
    /// When a server cannot be asked.
    pub(crate) async fn pass(&mut self) -> Result<Lsn, EngineError> {
        let position = self.position().await?;
        let mut pause = PAUSES.0;
        let mut applied = Lsn::ZERO;
        let (mut moved, mut unread) = (Instant::now(), None);
        while self.running {
            let now = self.applied().await?;
            if now >= position {
                break;
            }
            let is_read = self.is_read().await?;
            // Whoever has it now keeps its position elsewhere.
            let is_ours = Carrier::of(&self.state().await?) == self.carrier;
            // Each look decides by what it saw: the looks themselves can take longer than any limit. Absence counts from the
            // first look on that found nobody.
            unread = if is_read { None } else { unread.or_else(|| Some(Instant::now())) };
            let is_absent = unread.is_some_and(|since| since.elapsed() > ABSENCE);
            let stands_still = now <= applied && moved.elapsed() > STANDSTILL;
            if now > applied {
                (applied, moved) = (now, Instant::now());
            }
            if !is_ours || is_absent || stands_still {
                self.running = false;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        Ok(position)
    }

    /// Where a table stands now; `None` when it is no table of the pipeline any more.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn phase(&mut self, source_oid: u32) -> Result<Option<TablePhase>, EngineError> {
        let state = self.state().await?;
        let table = state.tables.iter().find(|table| table.source_oid == source_oid);
        Ok(table.map(|table| table.phase))
    }

    /// Whether changes of a table were left out by a policy.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn has_left_out(&mut self, source_oid: u32) -> Result<bool, EngineError> {
        let uses = self.target.policy_uses(&self.pipeline).await?;
        let is_left_out = |used: &CountedUse| used.policy == OnChange::Ignore.word();
        Ok(uses.iter().any(|used| used.source_oid == source_oid && is_left_out(used)))
    }

    /// A position behind everything that has committed at the source.
    async fn position(&self) -> Result<Lsn, EngineError> {
        if self.running && !self.heartbeats.is_empty() {
            return Ok(heartbeat_row::write(&self.source, &self.heartbeats).await?);
        }
        if self.running {
            // The pipeline stores an idle position when it is asked to; else only every ten seconds.
            match heartbeat::emit_barrier(&self.source).await {
                Ok(position) => return Ok(position),
                Err(error) => {
                    tracing::debug!(error = %error, "no message could be written to the source's WAL")
                }
            }
        }
        Ok(catalog::current_lsn(&self.source).await?)
    }

    /// What the target's checkpoint holds, or what the heartbeats that have arrived say.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn applied(&mut self) -> Result<Lsn, EngineError> {
        if !self.heartbeats.is_empty() {
            let arrived = heartbeat_row::read(&mut self.target, &self.heartbeats).await?;
            return Ok(arrived.map_or(Lsn::ZERO, |arrived| arrived.lsn));
        }
        Ok(self.state().await?.checkpoint.applied_lsn)
    }

    /// Whether all heartbeats have ever arrived; true for a pipeline that has none.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn has_arrived(&mut self) -> Result<bool, EngineError> {
        Ok(self.heartbeats.is_empty()
            || heartbeat_row::read(&mut self.target, &self.heartbeats).await?.is_some())
    }

    /// What the pipeline knows of a table now; `None` when it keeps nothing, as other engines do.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn known_table(&mut self, oid: u32) -> Result<Option<KnownTable>, EngineError> {
        // Reconnects where that is needed.
        self.state().await?;
        Ok(self.target.known_tables(&self.pipeline).await?.remove(&oid))
    }

    /// The pipeline's state as it is now.
    ///
    /// # Errors
    /// `STATE_MISSING` when it was removed; when the target cannot be asked.
    pub(crate) async fn state(&mut self) -> Result<PipelineState, EngineError> {
        for _ in 1..ATTEMPTS {
            match self.target.known_state(&self.pipeline).await {
                Ok(state) => return Ok(state),
                Err(error) if error.disposition() == Disposition::Retry => {
                    self.target = Target::connect(&self.target_config).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.target.known_state(&self.pipeline).await?)
    }

    /// Whether somebody reads the slot.
    async fn is_read(&self) -> Result<bool, EngineError> {
        let slot = slot::inspect(&self.source, &self.slot).await?;
        Ok(slot.is_some_and(|slot| slot.active_pid.is_some()))
    }
}
