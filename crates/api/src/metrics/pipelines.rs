//! What is known of a pipeline as metrics, from the object that its engine shows. What an engine does not tell has no
//! sample: no data is not 0.

use segcdc_control::lifecycle::{Desired, State};
use segcdc_control::service::PipelineView;
use serde_json::Value;

use super::Labels;
use super::samples::Samples;

/// Tables of a pipeline that have series of their own.
const MAX_TABLES: usize = 500;

/// Phases of a pipeline, as engines show them.
const PHASES: [&str; 4] = ["SETUP", "SNAPSHOT", "CATCH_UP", "STREAMING"];

/// Phases of a table.
const TABLE_PHASES: [&str; 5] = ["QUEUED", "COPYING", "STREAMING", "PAUSED", "QUARANTINED"];

/// Adds what is known of a pipeline.
pub(super) fn add(samples: &mut Samples, tenant: &str, view: &PipelineView) {
    let labels: Labels = vec![
        ("tenant", tenant.to_owned()),
        ("pipeline", view.stored.name.to_string()),
        ("engine", view.stored.engine.as_str().to_owned()),
    ];
    let state = view.stored.state;
    let states = State::ALL.map(State::as_str);
    let help = "Where the pipeline stands.";
    samples.word("segcdc_pipeline_state", help, &labels, ("state", &states), Some(state.as_str()));
    let desired = Desired::ALL.map(Desired::as_str);
    let help = "What was asked for last.";
    let wanted = Some(view.stored.desired.as_str());
    samples.word("segcdc_pipeline_desired_state", help, &labels, ("state", &desired), wanted);
    // What an engine said before it ended is not how things are.
    let progress = view.progress.as_ref().filter(|_| state.may_be_up());
    let health = health(state, progress);
    let help = "Whether a person should look.";
    let words = ["OK", "WARN", "ERROR", "UNKNOWN"];
    samples.word("segcdc_pipeline_health", help, &labels, ("status", &words), Some(health));
    if let Some(progress) = progress {
        run(samples, &labels, progress);
        tables(samples, &labels, progress);
    }
}

/// Whether a person should look.
fn health(state: State, progress: Option<&Value>) -> &'static str {
    let waits =
        progress.is_some_and(|seen| seen.pointer("/activity/state").is_some_and(|is| is == "WAITING"));
    let warned = progress
        .and_then(|seen| seen.pointer("/wal/alerts")?.as_array())
        .is_some_and(|alerts| !alerts.is_empty());
    match state {
        State::Failed => "ERROR",
        State::Degraded => "WARN",
        State::Running if waits || warned => "WARN",
        State::Running => "OK",
        _ => "UNKNOWN",
    }
}

/// What a run shows of itself.
fn run(samples: &mut Samples, labels: &Labels, progress: &Value) {
    let number = |pointer: &str| progress.pointer(pointer).and_then(Value::as_f64);
    let phase = progress.get("phase").and_then(Value::as_str);
    samples.word("segcdc_pipeline_phase", "How far the pipeline is.", labels, ("phase", &PHASES), phase);
    for (name, help, pointer, unit) in [
        ("segcdc_replication_lag_seconds", "Age of the oldest change that is not applied.", "/lag_ms", 0.001),
        (
            "segcdc_replication_lag_bytes",
            "WAL between what is applied and the source's end.",
            "/lag_bytes",
            1.0,
        ),
        (
            "segcdc_source_retained_log_bytes",
            "WAL that the source keeps for the pipeline.",
            "/wal/retained_bytes",
            1.0,
        ),
        ("segcdc_source_log_limit_bytes", "WAL that the source may keep at most.", "/wal/limit_bytes", 1.0),
        ("segcdc_source_log_safe_bytes", "What is left of that.", "/wal/left_bytes", 1.0),
    ] {
        if let Some(value) = number(pointer) {
            samples.gauge(name, help, labels.clone(), value * unit);
        }
    }
    for (name, help, pointer) in [
        (
            "segcdc_transactions_applied",
            "Source transactions applied since the engine began.",
            "/applied/transactions",
        ),
        ("segcdc_events_applied", "Source changes applied since the engine began.", "/applied/changes"),
        ("segcdc_apply_batches", "Target transactions since the engine began.", "/applied/batches"),
        ("segcdc_rows_applied", "Rows of the target that they came to.", "/applied/rows"),
        ("segcdc_snapshot_rows_copied", "Rows copied since the engine began.", "/copied/rows"),
        ("segcdc_snapshot_bytes_copied", "Bytes copied since the engine began.", "/copied/bytes"),
        ("segcdc_pipeline_retries", "New attempts after trouble since the engine began.", "/retries"),
    ] {
        if let Some(value) = number(pointer) {
            samples.counter(name, help, labels.clone(), value);
        }
    }
    let help = "Commit at the source to visible in the target, over the last 10 to 20 seconds.";
    for (quantile, pointer) in [
        ("0.5", "/latency_recent/p50_ms"),
        ("0.99", "/latency_recent/p99_ms"),
        ("1", "/latency_recent/max_ms"),
    ] {
        let is_known = number("/latency_recent/count").is_some_and(|count| count > 0.0);
        if let (true, Some(value)) = (is_known, number(pointer)) {
            let labels = with(labels, [("quantile", quantile.to_owned())]);
            samples.gauge("segcdc_end_to_end_latency_seconds", help, labels, value / 1000.0);
        }
    }
}

/// What a run shows of its tables.
fn tables(samples: &mut Samples, labels: &Labels, progress: &Value) {
    let Some(all) = progress.get("tables").and_then(Value::as_array) else { return };
    for phase in TABLE_PHASES {
        let count = all.iter().filter(|table| table.get("phase").is_some_and(|is| is == phase)).count();
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let labels = with(labels, [("state", phase.to_owned())]);
        samples.gauge("segcdc_tables", "Tables in each phase.", labels, count);
    }
    let estimated: f64 = all.iter().filter_map(|table| table.get("estimated_rows")?.as_f64()).sum();
    samples.gauge(
        "segcdc_snapshot_rows_estimated",
        "Rows that the source is thought to have.",
        labels.clone(),
        estimated,
    );
    for table in all.iter().take(MAX_TABLES) {
        let text =
            |pointer: &str| table.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = with(labels, [("schema", text("/source/schema")), ("table", text("/source/name"))]);
        let phase = text("/phase");
        let help = "Where the table stands.";
        samples.word("segcdc_table_state", help, &labels, ("state", &TABLE_PHASES), Some(&phase));
        for (name, help, pointer) in [
            ("segcdc_table_rows_copied", "Rows copied, of an unfinished copy too.", "/rows_copied"),
            ("segcdc_table_events_applied", "Changes applied since the engine began.", "/changes_applied"),
        ] {
            if let Some(value) = table.pointer(pointer).and_then(Value::as_f64) {
                samples.counter(name, help, labels.clone(), value);
            }
        }
    }
}

/// Labels and some more.
fn with<const N: usize>(labels: &Labels, more: [(&'static str, String); N]) -> Labels {
    labels.iter().cloned().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn health_follows_from_state_and_trouble() {
        let waits = json!({"activity": {"state": "WAITING"}});
        let warned = json!({"wal": {"alerts": [{"code": "SLOT_AT_RISK"}]}});
        let well = json!({"activity": {"state": "RUNNING"}, "wal": {"alerts": []}});
        for (state, progress, expected) in [
            (State::Failed, None, "ERROR"),
            (State::Degraded, Some(&well), "WARN"),
            (State::Running, Some(&well), "OK"),
            (State::Running, Some(&waits), "WARN"),
            (State::Running, Some(&warned), "WARN"),
            (State::Stopped, None, "UNKNOWN"),
        ] {
            assert_eq!(health(state, progress), expected, "{state:?} {progress:?}");
        }
    }

    #[test]
    fn what_a_run_shows_is_measured() {
        let progress = json!({
            "phase": "STREAMING", "lag_ms": 1500, "lag_bytes": 7, "wal": {"retained_bytes": 4096, "limit_bytes": null},
            "applied": {"transactions": 3, "changes": 12, "batches": 2, "rows": 11}, "retries": 1,
            "latency_recent": {"count": 2, "p50_ms": 4.0, "p99_ms": 9.0, "max_ms": 9.5},
            "tables": [
                {"source": {"schema": "public", "name": "a\"b\n"}, "phase": "STREAMING", "rows_copied": 5, "estimated_rows": 6},
                {"source": {"schema": "public", "name": "c"}, "phase": "QUARANTINED", "estimated_rows": 1},
            ],
        });
        let mut samples = Samples::default();
        let labels: Labels = vec![("pipeline", "orders".to_owned())];
        run(&mut samples, &labels, &progress);
        tables(&mut samples, &labels, &progress);
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(samples));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for expected in [
            "segcdc_pipeline_phase{pipeline=\"orders\",phase=\"STREAMING\"} 1.0",
            "segcdc_pipeline_phase{pipeline=\"orders\",phase=\"SETUP\"} 0.0",
            "segcdc_replication_lag_seconds{pipeline=\"orders\"} 1.5",
            "segcdc_source_retained_log_bytes{pipeline=\"orders\"} 4096.0",
            "segcdc_events_applied_total{pipeline=\"orders\"} 12.0",
            "segcdc_end_to_end_latency_seconds{pipeline=\"orders\",quantile=\"0.99\"} 0.009",
            "segcdc_tables{pipeline=\"orders\",state=\"QUARANTINED\"} 1.0",
            "segcdc_snapshot_rows_estimated{pipeline=\"orders\"} 7.0",
            "table=\"a\\\"b\\n\",state=\"STREAMING\"} 1.0",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("log_limit") && !text.contains("NaN"), "no data is not 0: {text}");
    }
}
