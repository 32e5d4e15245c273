//! [`status`]: where a pipeline stands, as the two servers tell. Disturbs nothing.

use std::time::Instant;

use segcdc_model::{Lsn, Phase, QualifiedName, TablePhase};
use segcdc_postgres::{Session, catalog, publication, session, slot as slots};
use segcdc_sqlserver::{
    CountedUse, LetterCount, PartialTransaction, PipelineState, RecordedChange, SaidOfLarge, SlotWatch,
    TableState, Target,
};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::note::StatusNote;
use crate::progress::ProgressSnapshot;
use crate::source_clock::SourceClock;
use crate::status::derive::{Seen, derive};
use crate::wal;

mod derive;
mod drift;
mod slot_report;

use slot_report::slot_report;
pub use slot_report::{SlotReport, slot};

/// Where a pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// The pipeline.
    pub pipeline: String,
    /// Whether it runs.
    pub state: PipelineStateWord,
    /// How far it has come.
    pub phase: Phase,
    /// Whether a person should look.
    pub health: Health,
    /// The process that runs it or last ran it.
    pub owner: String,
    /// When the process last gave a sign of life, milliseconds ago, by the target's clock.
    pub last_sign_ms: u64,
    /// How often it was taken over.
    pub epoch: i64,
    /// Batches applied in all.
    pub batch_seq: i64,
    /// Everything that committed at or below it is in the target.
    pub applied_lsn: Lsn,
    /// How far the source has written; `None` when it cannot be asked.
    pub source_lsn: Option<Lsn>,
    /// WAL between the two, bytes. Most of it may belong to other databases or tables.
    pub lag_bytes: Option<u64>,
    /// Age of the oldest change that was not applied when the process last said so, milliseconds; for a process that
    /// does not run, the age of the last applied transaction by the source's clock. `None` when neither is known.
    pub lag_ms: Option<u64>,
    /// Source transactions applied since the pipeline was made.
    pub transactions_applied: u64,
    /// Source changes applied since the pipeline was made.
    pub changes_applied: u64,
    /// The transaction that is too large for memory and is being received or applied, as the process last said.
    pub large_transaction: Option<LargeReport>,
    /// The slot; `None` when the source cannot be asked.
    pub slot: Option<SlotReport>,
    /// The publication.
    pub publication: String,
    /// The tables, ordered by source name.
    pub tables: Vec<TableReport>,
    /// The last changes of tables of the source, newest first.
    pub schema_changes: Vec<SchemaChangeReport>,
    /// What a person should know, worst first.
    pub notes: Vec<StatusNote>,
}

/// A change of a table of the source, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaChangeReport {
    /// The table's name in the source then.
    pub source: QualifiedName,
    /// Commit end of the transaction in whose place it was made.
    pub lsn: Lsn,
    /// What kind of change it is, as it is written in a rule.
    pub kind: String,
    /// What became of it.
    pub outcome: String,
    /// What was changed, for people.
    pub what: String,
    /// The T-SQL that followed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements: Option<String>,
    /// How long ago it was made, milliseconds, by the target's clock.
    pub age_ms: u64,
}

/// Whether a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PipelineStateWord {
    /// Something reads its slot, and all tables are well.
    Running,
    /// Something reads its slot, or copies, but a table is quarantined; or connectors say that they run, and one does nothing
    /// or no heartbeat comes through.
    Degraded,
    /// Tables are being set up or copied, and the process gives signs of life.
    Starting,
    /// Its tasks wait until they are told to go on; only an engine whose tasks run elsewhere has this.
    Paused,
    /// Nothing reads its slot, and nothing gives signs of life.
    Stopped,
    /// It cannot go on: the slot is gone or lost, or the publication is gone.
    Failed,
}

/// Whether a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Health {
    /// No.
    Ok,
    /// The source cannot be asked.
    Unknown,
    /// Soon.
    Warn,
    /// Now.
    Error,
}

/// Where one table stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Where it stands.
    pub phase: TablePhase,
    /// Rows copied so far, or in all.
    pub rows_copied: u64,
    /// Rows that the source was thought to have when the copy began.
    pub estimated_rows: u64,
    /// Changes at or below it are in the copy.
    pub sync_lsn: Lsn,
    /// Code and words, when it is quarantined.
    pub error: Option<StatusNote>,
    /// Rows of the source that are set aside now, as dead letters.
    pub set_aside: u64,
    /// How often policies decided what became of a value, since the table was copied last.
    pub policy_uses: Vec<PolicyUseReport>,
}

/// How often a policy decided what became of a column's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyUseReport {
    /// The column.
    pub column: String,
    /// The policy, as it is written in a rule.
    pub policy: String,
    /// How often: values that were written as another one, or rows that were set aside or stayed so.
    pub uses: u64,
}

/// How far a source transaction is that is too large for memory. Nothing of it can be seen in the target's tables but what
/// is `committed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LargeReport {
    /// Source transaction id.
    pub xid: u32,
    /// All of it has come, and it is being applied; else it is still being received.
    pub is_complete: bool,
    /// Changes that have come.
    pub changes: u64,
    /// Bytes of it on disk.
    pub disk_bytes: u64,
    /// Changes in the open target transaction.
    pub applied: u64,
    /// The part that is being applied, from 1; 0 while it is being received.
    pub part: u64,
    /// Parts in all; 0 while it is being received.
    pub parts: u64,
    /// Since its first change has come, milliseconds.
    pub elapsed_ms: u64,
    /// How long ago the process said so, milliseconds; it does so every second.
    pub age_ms: u64,
    /// Its first changes that are committed, where the parts are applied in target transactions of their own.
    pub committed: Option<u64>,
}

/// What the target keeps beside the state.
struct Notes {
    letters: Vec<LetterCount>,
    uses: Vec<CountedUse>,
    large: Option<SaidOfLarge>,
    partial: Option<PartialTransaction>,
    changes: Vec<RecordedChange>,
}

/// Changes of tables that are shown.
const SHOWN_CHANGES: u32 = 10;

// === impl LargeReport ===

impl LargeReport {
    /// Of the transaction that a run of this process is at, if it is at one.
    pub fn of_run(snapshot: &ProgressSnapshot) -> Option<Self> {
        let large = snapshot.large?;
        Some(Self::of(&large.said(snapshot.elapsed_ms), 0, large.committed))
    }

    /// Of what was said of a transaction, so many milliseconds ago.
    fn of(large: &segcdc_sqlserver::LargeTransaction, age_ms: u64, committed: Option<u64>) -> Self {
        LargeReport {
            xid: large.xid,
            is_complete: large.is_complete,
            changes: large.changes,
            disk_bytes: large.disk_bytes,
            applied: large.applied,
            part: large.part,
            parts: large.parts,
            elapsed_ms: large.elapsed_ms.saturating_add(age_ms),
            age_ms,
            committed,
        }
    }
}

/// Where the pipeline stands, as the two servers tell.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline, `ENGINE_MISMATCH` for one that another engine runs, and what
/// keeps the target from being asked. A source that cannot be asked is a note, not an error.
pub async fn status(config: &EngineConfig) -> Result<StatusReport, EngineError> {
    let mut target = Target::connect_to_look(&config.target).await?;
    let state = load(config, &mut target).await?;
    EngineKind::Native.require(&state)?;
    let notes = Notes {
        letters: target.letter_counts(&config.name).await?,
        uses: target.policy_uses(&config.name).await?,
        large: target.large_transaction(&config.name).await?,
        partial: target.partial_transaction(&state.checkpoint).await?,
        changes: target.schema_changes(&config.name, SHOWN_CHANGES).await?,
    };
    let watch = target.slot_watch(&config.name).await?;
    let source = match look_at_source(config, &state, watch.as_ref()).await {
        Ok(seen) => Ok(seen),
        Err(error) => Err(StatusNote::of(&error)),
    };
    let mut report = report(&state, &notes, source);
    if let Some(drifted) = drift::drifted(config, &mut target, &state).await {
        report.notes.push(drifted);
        report.health = report.health.max(Health::Warn);
    }
    Ok(report)
}

/// The state of the pipeline, which must be there.
async fn load(config: &EngineConfig, target: &mut Target) -> Result<PipelineState, EngineError> {
    Ok(target.known_state(&config.name).await?)
}

/// What the source says of the pipeline.
struct SourceView {
    source_lsn: Lsn,
    clock: SourceClock,
    slot: SlotReport,
    has_publication: bool,
}

/// Asks the source.
async fn look_at_source(
    config: &EngineConfig,
    state: &PipelineState,
    watch: Option<&SlotWatch>,
) -> Result<SourceView, EngineError> {
    let source = session::connect(&config.source).await?;
    let lineage = &state.checkpoint.lineage;
    let clock = SourceClock::read(&source).await?;
    let view = SourceView {
        source_lsn: source_position(&source).await?,
        clock,
        slot: slot_report(state, slots::inspect(&source, &lineage.slot).await?, clock, watch),
        has_publication: publication::inspect(&source, &lineage.publication).await?.is_some(),
    };
    source.close().await;
    Ok(view)
}

/// How far the source has written, on a standby too.
async fn source_position(source: &Session) -> Result<Lsn, EngineError> {
    let identity = catalog::identity(source).await?;
    Ok(if identity.in_recovery { identity.flush_lsn } else { catalog::current_lsn(source).await? })
}

/// Puts together what both servers say.
fn report(state: &PipelineState, kept: &Notes, source: Result<SourceView, StatusNote>) -> StatusReport {
    let checkpoint = &state.checkpoint;
    let age_us = state.read_at_us.saturating_sub(state.updated_at_us);
    let said = kept.large.as_ref().filter(|said| said.epoch == checkpoint.epoch);
    let said_ms = said.map_or(u64::MAX, |said| said.age_ms);
    let last_sign_ms = u64::try_from(age_us / 1000).unwrap_or(0).min(said_ms);
    let view = source.as_ref().ok();
    let copy_only = crate::provision::decide::is_copy_only(state);
    let derived = derive(&Seen {
        phases: state.tables.iter().map(|table| table.phase).collect(),
        is_set_up: checkpoint.applied_lsn > Lsn::ZERO,
        copy_only,
        given_up: given_up(state),
        set_aside: kept.letters.iter().map(|count| count.open).sum(),
        partial: kept.partial,
        last_sign_ms,
        slot: view.map(|view| &view.slot),
        has_publication: view.map(|view| view.has_publication),
    });
    let mut notes: Vec<StatusNote> = derived.notes;
    let lag_bytes = view.map(|view| view.source_lsn.bytes_since(checkpoint.applied_lsn));
    let told = state.lag.filter(|_| derived.alive).and_then(|lag| u64::try_from(lag.lag_us / 1000).ok());
    let old =
        view.zip(state.commit_time_us).map(|(view, time)| view.clock.since(time, Instant::now()) / 1000);
    let lag_ms = told.or_else(|| if lag_bytes == Some(0) { Some(0) } else { old });
    let source_lsn = view.map(|view| view.source_lsn);
    let slot = match source {
        Ok(view) => (!copy_only).then_some(view.slot),
        Err(note) => {
            notes.push(note);
            None
        }
    };
    StatusReport {
        pipeline: checkpoint.pipeline.clone(),
        state: derived.state,
        phase: derived.phase,
        health: derived.health,
        owner: state.owner.clone(),
        last_sign_ms,
        epoch: checkpoint.epoch,
        batch_seq: checkpoint.batch_seq,
        applied_lsn: checkpoint.applied_lsn,
        source_lsn,
        lag_bytes,
        lag_ms,
        transactions_applied: state.transactions_applied,
        changes_applied: state.changes_applied,
        large_transaction: said.filter(|said| derived.alive && derive::is_recent(said.age_ms)).map(|said| {
            let committed = kept.partial.filter(|partial| partial.xid == said.large.xid);
            LargeReport::of(&said.large, said.age_ms, committed.map(|partial| partial.changes))
        }),
        slot,
        publication: checkpoint.lineage.publication.clone(),
        tables: state.tables.iter().map(|table| table_report(table, kept)).collect(),
        schema_changes: kept.changes.iter().map(|change| change_report(change, state)).collect(),
        notes,
    }
}

/// Why the slot was given up, when the tables wait to be copied again for it.
fn given_up(state: &PipelineState) -> Option<&str> {
    let waiting = state.tables.iter().filter(|table| table.phase == TablePhase::Queued);
    let mut errors = waiting.filter_map(|table| table.error.as_ref());
    errors.find(|(code, _)| code == wal::REACHED).map(|(_, why)| why.as_str())
}

/// One change of a table.
fn change_report(change: &RecordedChange, state: &PipelineState) -> SchemaChangeReport {
    let age_us = state.read_at_us.saturating_sub(change.made_at_us);
    SchemaChangeReport {
        source: change.source.clone(),
        lsn: change.lsn,
        kind: change.kind.clone(),
        outcome: change.outcome.clone(),
        what: change.what.clone(),
        statements: change.statements.clone(),
        age_ms: u64::try_from(age_us / 1000).unwrap_or(0),
    }
}

/// One table.
fn table_report(table: &TableState, kept: &Notes) -> TableReport {
    let oid = table.source_oid;
    let open = kept.letters.iter().filter(|count| count.source_oid == oid).map(|count| count.open);
    let uses = kept.uses.iter().filter(|used| used.source_oid == oid).map(|used| PolicyUseReport {
        column: used.column.clone(),
        policy: used.policy.clone(),
        uses: used.uses,
    });
    let error = table.error.as_ref().map(|(code, detail)| StatusNote {
        code: code.clone(),
        detail: detail.clone(),
        hint: "mend the cause, stop the pipeline, then run `segcdc table resync` and `segcdc up`".to_owned(),
    });
    TableReport {
        source: table.source.clone(),
        target: table.target.clone(),
        phase: table.phase,
        rows_copied: table.rows_copied,
        estimated_rows: table.estimated_rows,
        sync_lsn: table.sync_lsn,
        error,
        set_aside: open.sum(),
        policy_uses: uses.collect(),
    }
}
