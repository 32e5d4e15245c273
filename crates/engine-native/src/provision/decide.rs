//! [`decide`]: what the start of a pipeline has to do, from what is there. Pure.

use segcdc_model::{Lsn, TablePhase};
use segcdc_postgres::{Publication, SlotState};
use segcdc_sqlserver::PipelineState;

use crate::config::{EngineConfig, Recover, SnapshotMode};
use crate::error::EngineError;
use crate::names;
use crate::wal::WalPolicy;

/// What is there before a start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetupFacts<'a> {
    /// The target's state of the pipeline.
    pub(crate) state: Option<&'a PipelineState>,
    /// The slot that the pipeline uses, or would use.
    pub(crate) slot: Option<&'a SlotState>,
    /// The publication that the pipeline uses, or would use.
    pub(crate) publication: Option<&'a Publication>,
}

/// What the start of a pipeline has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetupAction {
    /// The target does not know the pipeline: write its state, then make everything.
    Create,
    /// The set-up was interrupted before the first table was finished: do away with what it made, then make it again.
    BeginAnew {
        /// The slot to make; not that of the last time, so that the two cannot be taken for each other.
        slot: String,
    },
    /// Go on from the checkpoint; tables that are not finished are copied.
    Resume,
}

/// The slot and the publication that a pipeline uses, or would use.
pub(crate) fn slot_and_publication(config: &EngineConfig, state: Option<&PipelineState>) -> (String, String) {
    if let Some(state) = state {
        let lineage = &state.checkpoint.lineage;
        return (lineage.slot.clone(), lineage.publication.clone());
    }
    if config.snapshot == SnapshotMode::Only {
        return (String::new(), String::new());
    }
    let slot = config.slot.clone().unwrap_or_else(|| names::slot(&config.name, 1));
    (slot, config.publication.clone().unwrap_or_else(|| names::publication(&config.name)))
}

/// Whether a pipeline only copies. Such a pipeline has neither slot nor publication.
pub(crate) fn is_copy_only(state: &PipelineState) -> bool {
    state.checkpoint.lineage.slot.is_empty()
}

/// Whether the set-up of a pipeline was interrupted before the first table was finished, so that it is made again. What
/// it had made of its own may be there or not.
pub(crate) fn begins_anew(state: &PipelineState) -> bool {
    let complete = state.checkpoint.applied_lsn > Lsn::ZERO;
    // A quarantined table was finished once, or waits for a person: it is no reason to copy all of them.
    let any_finished = state.tables.iter().any(|table| {
        matches!(table.phase, TablePhase::Streaming | TablePhase::Paused | TablePhase::Quarantined)
    });
    let ours_to_drop = state.slot_is_ours || is_copy_only(state);
    !complete || !any_finished && ours_to_drop
}

/// Whether the slot of a pipeline is gone or lost, or has let go of what the target has not, and the user has said that the
/// tables are to be copied again then.
pub(crate) fn is_given_up(config: &EngineConfig, state: &PipelineState, slot: Option<&SlotState>) -> bool {
    let recovers = config.recover != Recover::Stop;
    let agreed =
        (config.wal.policy == WalPolicy::GiveUp || recovers) && state.slot_is_ours && !is_copy_only(state);
    let is_ahead =
        |slot: &SlotState| slot.confirmed_flush_lsn.is_some_and(|lsn| lsn > state.checkpoint.applied_lsn);
    agreed && slot.is_none_or(|slot| slot.is_lost() || recovers && is_ahead(slot))
}

/// Decides what the start has to do.
///
/// # Errors
/// When what is there cannot be ours, or is not what was asked for. Nothing has been changed then.
pub(crate) fn decide(config: &EngineConfig, facts: SetupFacts<'_>) -> Result<SetupAction, EngineError> {
    refuse_giving_up_what_is_given(config, facts.state)?;
    let Some(state) = facts.state else {
        refuse_what_is_not_ours(config, facts)?;
        return Ok(SetupAction::Create);
    };
    refuse_other_wishes(config, state)?;
    if !begins_anew(state) && !is_given_up(config, state, facts.slot) {
        return Ok(SetupAction::Resume);
    }
    let slot = &state.checkpoint.lineage.slot;
    let slot = if state.slot_is_ours { names::next_slot(&config.name, slot) } else { slot.clone() };
    Ok(SetupAction::BeginAnew { slot })
}

/// A slot that was given is never dropped.
fn refuse_giving_up_what_is_given(
    config: &EngineConfig,
    state: Option<&PipelineState>,
) -> Result<(), EngineError> {
    let known = state.filter(|state| !state.slot_is_ours && !is_copy_only(state));
    let given = known.map(|state| &state.checkpoint.lineage.slot).or(config.slot.as_ref());
    match (given, config.wal.policy) {
        (Some(slot), WalPolicy::GiveUp) => Err(EngineError::SlotNotOurs { slot: slot.clone() }),
        _ => Ok(()),
    }
}

/// A new pipeline takes nothing that is there already, but what it was given.
fn refuse_what_is_not_ours(config: &EngineConfig, facts: SetupFacts<'_>) -> Result<(), EngineError> {
    if config.snapshot == SnapshotMode::Only {
        return Ok(());
    }
    let (slot, publication) = slot_and_publication(config, None);
    match (&config.slot, facts.slot) {
        (None, Some(_)) => return Err(EngineError::SlotExists { slot }),
        (Some(_), None) => return Err(EngineError::SlotMissing { slot }),
        (None, None) | (Some(_), Some(_)) => {}
    }
    match (&config.publication, facts.publication) {
        (None, Some(_)) => Err(EngineError::PublicationExists { publication }),
        (Some(_), None) => Err(EngineError::PublicationMissing { publication }),
        (None, None) | (Some(_), Some(_)) => Ok(()),
    }
}

/// An existing pipeline keeps its slot and publication.
fn refuse_other_wishes(config: &EngineConfig, state: &PipelineState) -> Result<(), EngineError> {
    config.engine.require(state)?;
    let lineage = &state.checkpoint.lineage;
    let conflict = |what, found: &str, wanted: &str| {
        Err(EngineError::PipelineConflict {
            pipeline: config.name.clone(),
            what,
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        })
    };
    match (is_copy_only(state), config.snapshot == SnapshotMode::Only) {
        (true, false) => return conflict("mode", "copy only", "copy and follow"),
        (false, true) => return conflict("mode", "copy and follow", "copy only"),
        (true, true) | (false, false) => {}
    }
    for (what, found, wanted) in
        [("slot", &lineage.slot, &config.slot), ("publication", &lineage.publication, &config.publication)]
    {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            return conflict(what, found, wanted);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
