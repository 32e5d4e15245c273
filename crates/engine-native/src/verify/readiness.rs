//! [`not_ready`]: whether a pipeline carries all of its changes, so that a difference is one.
//!
//! A pipeline that connectors carry keeps no checkpoint: its tables are marked as followed when they are made, and
//! heartbeats say what has arrived. Before the first one has, rows are missing that are only on their way. While it is
//! handed to the native engine, heartbeats still arrive, and changes behind the cut do not: nobody carries them yet.

use segcdc_sqlserver::PipelineState;

use crate::engine_kind::{EngineKind, is_leaving};
use crate::verify::NotCompared;

/// Who carries a pipeline, as its state says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carrier {
    /// The engine.
    engine: EngineKind,
    /// The slot that it reads.
    slot: String,
    /// It is being handed to the native engine.
    is_leaving: bool,
}

// === impl Carrier ===

impl Carrier {
    /// Who carries the pipeline of this state.
    pub(super) fn of(state: &PipelineState) -> Self {
        let slot = state.checkpoint.lineage.slot.clone();
        Carrier { engine: EngineKind::of(state), slot, is_leaving: is_leaving(state.spec.as_deref()) }
    }
}

/// Why nothing of a pipeline can be compared; `None` when all of it can. Pure.
///
/// `begun` carried it when the comparison began, `now` does now; `has_arrived` says whether all of its heartbeats have ever
/// arrived, and means nothing for an engine that keeps a checkpoint.
pub(super) fn not_ready(begun: &Carrier, now: &Carrier, has_arrived: bool) -> Option<NotCompared> {
    let reason = |code: &str, detail: &str| NotCompared { code: code.to_owned(), detail: detail.to_owned() };
    if now.is_leaving {
        let detail = "the pipeline is being handed to the native engine: `segcdc migrate --engine native` goes on with it, \
                      then `segcdc up`";
        return Some(reason("MIGRATION_UNFINISHED", detail));
    }
    if (begun.engine, &begun.slot) != (now.engine, &now.slot) {
        let detail = "the pipeline was handed to another engine meanwhile: compare again";
        return Some(reason("HANDED_OVER", detail));
    }
    if now.engine == EngineKind::KafkaConnect && !has_arrived {
        let detail =
            "its copy is not over, or its connectors have not begun: `segcdc status` says how far they are";
        return Some(reason("COPYING", detail));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_compared_when_somebody_carries_all_of_it() {
        let carrier = |engine, slot: &str| Carrier { engine, slot: slot.to_owned(), is_leaving: false };
        let native = carrier(EngineKind::Native, "s");
        let connect = carrier(EngineKind::KafkaConnect, "s");
        let leaving = Carrier { is_leaving: true, ..connect.clone() };
        let code = |begun, now, has_arrived| not_ready(begun, now, has_arrived).map(|reason| reason.code);
        assert_eq!(code(&native, &native, false), None);
        assert_eq!(code(&connect, &connect, true), None);
        assert_eq!(code(&connect, &connect, false).as_deref(), Some("COPYING"));
        assert_eq!(code(&leaving, &leaving, true).as_deref(), Some("MIGRATION_UNFINISHED"));
        assert_eq!(code(&connect, &leaving, true).as_deref(), Some("MIGRATION_UNFINISHED"));
        let later = carrier(EngineKind::Native, "s2");
        assert_eq!(code(&connect, &later, true).as_deref(), Some("HANDED_OVER"));
        assert_eq!(code(&native, &connect, true).as_deref(), Some("HANDED_OVER"));
    }

    #[test]
    fn leaving_is_read_from_the_specification() {
        let spec = r#"{"engine":"kafka-connect","heartbeats":[],"leaving":{"slot":"s2","publication":"p2","cut":null}}"#;
        assert!(is_leaving(Some(spec)));
        assert!(!is_leaving(Some(r#"{"engine":"kafka-connect","heartbeats":[],"start_lsn":"0/5"}"#)));
        assert!(!is_leaving(Some("")) && !is_leaving(None));
    }
}
