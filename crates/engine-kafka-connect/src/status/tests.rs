//! What the parts of a report come to.

use segcdc_engine_native::WalForecast;

use super::*;
use crate::config::tests::state;
use crate::rest::TaskStatus;

fn status(connector: ConnectorWord, tasks: &[(ConnectorWord, Option<&str>)]) -> ConnectorStatus {
    let tasks = tasks.iter().zip(0..).map(|((state, trace), id)| TaskStatus {
        id,
        state: *state,
        trace: trace.map(str::to_owned),
    });
    let json = serde_json::json!({"name": "c", "connector": {"state": connector.as_str()}});
    ConnectorStatus { tasks: tasks.collect(), ..serde_json::from_value(json).unwrap() }
}

fn word_of(sources: &[ConnectorStatus]) -> PipelineStateWord {
    let reports: Vec<_> = sources.iter().map(|status| connector("c", Role::Sink, Some(status))).collect();
    state_word(&reports, false)
}

#[test]
fn a_failed_task_fails_its_connector_whatever_that_says() {
    use ConnectorWord::{Failed, Paused, Running, Stopped, Unassigned};
    let running = status(Running, &[(Running, None)]);
    let check = |other: ConnectorStatus, expected| assert_eq!(word_of(&[running.clone(), other]), expected);
    check(running.clone(), PipelineStateWord::Running);
    check(status(Running, &[(Failed, Some("a.B: c"))]), PipelineStateWord::Failed);
    check(status(Failed, &[]), PipelineStateWord::Failed);
    check(status(Running, &[]), PipelineStateWord::Starting);
    check(status(Running, &[(Unassigned, None)]), PipelineStateWord::Starting);
    check(status(Stopped, &[]), PipelineStateWord::Degraded);
    check(status(Paused, &[(Paused, None)]), PipelineStateWord::Degraded);
    let paused = status(Paused, &[(Paused, None)]);
    assert_eq!(word_of(&[paused.clone(), paused.clone()]), PipelineStateWord::Paused);
    assert_eq!(word_of(&[status(Stopped, &[]), paused]), PipelineStateWord::Stopped);
    let stopped = status(Stopped, &[(Unassigned, None)]);
    assert_eq!(word_of(&[stopped.clone(), stopped]), PipelineStateWord::Stopped);
    assert_eq!(state_word(&[connector("c", Role::Sink, None)], false), PipelineStateWord::Failed);
    assert_eq!(state_word(&[connector("c", Role::Sink, Some(&running))], true), PipelineStateWord::Failed);
}

#[test]
fn a_trace_is_looked_up() {
    use ConnectorWord::{Failed, Running};
    let trace = "x.Y: q\nCaused by: z: FATAL: password authentication failed for user \"u\"";
    let report =
        connector("c", Role::Source, Some(&status(Running, &[(Running, None), (Failed, Some(trace))])));
    assert_eq!(report.cause.map(|cause| cause.code), Some("AUTH_FAILED"));
    assert_eq!(report.tasks, (1, 2));
}

/// What is noted of a pipeline that has applied this much and has connectors that run.
fn notes_of(applied_lsn: Lsn, seen: Seen) -> Vec<String> {
    use ConnectorWord::Running;
    let spec = serde_json::json!({
        "engine": "kafka-connect", "heartbeats": [], "connect_url": "http://worker:8083", "bootstrap": null,
        "secrets": {"kind": "env", "prefix": "SHOP"}, "topic_prefix": "shop", "source_connector": "source",
        "sink_connectors": ["sink"], "topics": [], "snapshot": false
    });
    let mut state = state(&spec.to_string());
    state.checkpoint.applied_lsn = applied_lsn;
    let spec = Spec::of(&state).unwrap();
    let running = status(Running, &[(Running, None)]);
    let connectors = [("sink", Role::Sink), ("source", Role::Source)]
        .map(|(name, role)| connector(name, role, Some(&running)));
    let report = report(&state, &spec, connectors.into(), seen, Vec::new());
    report.notes.into_iter().map(|note| note.code).collect()
}

/// A slot that is there.
fn slot(active_pid: Option<i32>) -> SlotReport {
    SlotReport {
        name: "s".to_owned(),
        ours: true,
        exists: true,
        active_pid,
        confirmed_flush_lsn: None,
        restart_lsn: None,
        wal_status: None,
        invalidation: None,
        retained_bytes: 0,
        safe_wal_bytes: None,
        forecast: WalForecast::default(),
        alerts: Vec::new(),
    }
}

#[test]
fn a_set_up_that_is_not_over_is_noted() {
    assert_eq!(notes_of(Lsn::ZERO, Seen::default()), ["SET_UP"]);
    assert_eq!(notes_of(Lsn::new(1), Seen::default()), [] as [&str; 0]);
}

#[test]
fn a_source_connector_that_runs_and_does_not_read_is_noted() {
    let seen =
        |applied_lsn, active_pid| Seen { applied_lsn, slot: Some(slot(active_pid)), ..Seen::default() };
    let check = |seen, expected: &[&str]| assert_eq!(notes_of(Lsn::new(1), seen), expected);
    check(seen(Some(Lsn::new(1)), None), &["CONNECT_SOURCE_NOT_READING"]);
    check(seen(Some(Lsn::new(1)), Some(7)), &[]);
    // It has not begun.
    check(seen(None, None), &[]);
}
