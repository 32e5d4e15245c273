//! [`Observer`]: sees what has changed in the store since it looked last, and tells those who watch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Key;
use crate::ControlError;
use crate::clock::Millis;
use crate::events::Topic;
use crate::id::OperationId;
use crate::lifecycle::{Desired, State};
use crate::service::Control;
use crate::store::{Operation, Pipeline};

/// Time between two looks at what runs show of themselves.
const TICK: Duration = Duration::from_secs(2);

/// How far clocks of servers may be apart, so that what one of them has written is not passed over.
const APART: Duration = Duration::from_secs(10);

/// What of a run's words is told.
const TOLD: [&str; 8] =
    ["phase", "activity", "lag_ms", "lag_bytes", "latency_recent", "applied", "copied", "rates"];

/// What was seen last.
#[derive(Debug)]
pub(super) struct Observer {
    pipelines: HashMap<Key, Seen>,
    operations: HashMap<OperationId, Millis>,
    since: Millis,
    ticked: Instant,
    has_looked: bool,
}

/// What was seen of a pipeline last.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    stands: (Desired, State, i64, Option<String>),
    told: Value,
}

// === impl Observer ===

impl Observer {
    /// Nothing was seen yet; the first look tells nothing.
    pub(super) fn new() -> Self {
        Observer {
            pipelines: HashMap::new(),
            operations: HashMap::new(),
            since: Millis::now(),
            ticked: Instant::now(),
            has_looked: false,
        }
    }

    /// Looks at all pipelines as they were just read, and at operations.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn look(
        &mut self,
        control: &Control,
        all: &[(crate::id::TenantId, Pipeline)],
    ) -> Result<(), ControlError> {
        let ticks = self.ticked.elapsed() >= TICK;
        if ticks {
            self.ticked = Instant::now();
        }
        for (tenant, pipeline) in all {
            self.look_at(control, (*tenant, pipeline.id), pipeline, ticks);
        }
        let gone: Vec<Key> = self
            .pipelines
            .keys()
            .filter(|(tenant, id)| !all.iter().any(|(at, pipeline)| at == tenant && pipeline.id == *id))
            .copied()
            .collect();
        for key in gone {
            self.pipelines.remove(&key);
            let data = json!({"id": key.1, "state": "DELETED"});
            control.events().add(key.0, Topic::Pipeline, Some(key.1), &data);
        }
        self.look_at_operations(control).await?;
        self.has_looked = true;
        Ok(())
    }

    fn look_at(&mut self, control: &Control, key: Key, pipeline: &Pipeline, ticks: bool) {
        let stands = (pipeline.desired, pipeline.state, pipeline.version, pipeline.error.clone());
        let before = self.pipelines.get(&key);
        let mut told = before.map(|seen| seen.told.clone()).unwrap_or_default();
        if self.has_looked && before.is_none_or(|seen| seen.stands != stands) {
            let error: Option<Value> =
                pipeline.error.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let data = json!({
                "id": pipeline.id, "name": pipeline.name, "desired_state": pipeline.desired, "state": pipeline.state,
                "version": pipeline.version, "error": error,
            });
            control.events().add(key.0, Topic::Pipeline, Some(key.1), &data);
        }
        if ticks && pipeline.state.may_be_up() {
            let now = told_of(&control.progress_of(pipeline));
            if now != told && !now.is_null() {
                let mut data = json!({"pipeline_id": pipeline.id});
                if let (Some(fields), Value::Object(more)) = (data.as_object_mut(), now.clone()) {
                    fields.extend(more);
                }
                control.events().add(key.0, Topic::Metric, Some(key.1), &data);
                told = now;
            }
        }
        self.pipelines.insert(key, Seen { stands, told });
    }

    async fn look_at_operations(&mut self, control: &Control) -> Result<(), ControlError> {
        let since = self.since.before(APART);
        for (tenant, operation) in control.store().operations_since(since).await? {
            let known = self.operations.insert(operation.id, operation.updated_at);
            self.since = self.since.max(operation.updated_at);
            if self.has_looked && known != Some(operation.updated_at) {
                let data = told_of_operation(&operation);
                control.events().add(tenant, Topic::Operation, operation.pipeline, &data);
            }
        }
        let oldest = self.since.before(APART);
        self.operations.retain(|_id, at| *at >= oldest);
        Ok(())
    }
}

/// What is told of a run.
fn told_of(progress: &Option<Value>) -> Value {
    let Some(progress) = progress else { return Value::Null };
    let part = |name: &str| Some((name.to_owned(), progress.get(name)?.clone()));
    Value::Object(TOLD.into_iter().filter_map(part).collect())
}

/// What is told of an operation: not what came of it, which can name rows.
fn told_of_operation(operation: &Operation) -> Value {
    let read =
        |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "id": operation.id, "pipeline_id": operation.pipeline, "kind": operation.kind.as_str(),
        "state": operation.state.as_str(), "progress": read(&operation.progress), "error": read(&operation.error),
    })
}
