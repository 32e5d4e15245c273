//! [`Reconciler`]: makes true what is desired of pipelines: observe, decide, execute, and again.
//!
//! Each pipeline's run is a task of its own; one that panics is a pipeline that failed, and nobody else notices. Nothing that
//! matters is in memory: a reconciler that starts anew finds states, sees that nothing runs, and goes on.

mod decide;
mod observer;
mod task;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ControlError;
use crate::engine::Watch;
use crate::id::{PipelineId, TenantId};
use crate::lifecycle::{Desired, Event, State, next};
use crate::report::ErrorReport;
use crate::service::{Control, Watched};
use crate::store::{Pipeline, StoreError};

pub use decide::{Run, Step, decide};
use observer::Observer;
use task::Task;

/// Time between two rounds when nothing is asked.
const PERIOD: Duration = Duration::from_millis(500);

/// Time between two stored reports of one pipeline.
const REPORT: Duration = Duration::from_secs(5);

/// Pause before what could not be removed is tried again.
const REST: Duration = Duration::from_secs(15);

/// How long runs may take to end when the server ends: what an engine promises, and a second.
const END: Duration = Duration::from_secs(11);

/// Makes true what is desired of pipelines.
#[derive(Debug)]
pub struct Reconciler {
    control: Arc<Control>,
    tasks: HashMap<Key, Task>,
    /// When pipelines could not be removed.
    resting: HashMap<Key, Instant>,
    /// How long runs may take to end when the server ends.
    patience: Duration,
    observer: Observer,
    /// Steps between which the process still lives, for tests.
    #[cfg(test)]
    lives: Option<usize>,
}

/// Which pipeline.
type Key = (TenantId, PipelineId);

// === impl Reconciler ===

impl Reconciler {
    /// For a control plane.
    pub fn new(control: Arc<Control>) -> Self {
        Reconciler {
            control,
            tasks: HashMap::new(),
            resting: HashMap::new(),
            patience: END,
            observer: Observer::new(),
            #[cfg(test)]
            lives: None,
        }
    }

    /// Works until the token is cancelled, then ends all runs in an orderly way. What is desired stays, so that the next
    /// server goes on.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.round().await {
                tracing::error!(error = %segcdc_model::fault::chain(&error), "a round of the reconciler failed");
            }
            let control = Arc::clone(&self.control);
            tokio::select! {
                () = control.woken() => {}
                () = tokio::time::sleep(PERIOD) => {}
                () = shutdown.cancelled() => break,
            }
        }
        self.control.events().over().cancel();
        self.end().await;
    }

    /// Looks at every pipeline once, and does for each what is to be done next.
    ///
    /// # Errors
    /// The store's; trouble with one pipeline is that pipeline's.
    async fn round(&mut self) -> Result<(), ControlError> {
        let all = self.control.store().all_pipelines().await?;
        self.observer.look(&self.control, &all).await?;
        for (tenant, pipeline) in all {
            let id = pipeline.id;
            if let Err(error) = Box::pin(self.look_after(tenant, pipeline)).await {
                // Somebody asked for something else meanwhile: the next round sees it.
                if !matches!(error, ControlError::Store(StoreError::Changed { .. } | StoreError::NotFound)) {
                    tracing::error!(pipeline = %id, error = %segcdc_model::fault::chain(&error), "a pipeline could not be looked after");
                }
            }
        }
        Ok(())
    }

    /// Steps until nothing is to be done about one pipeline now.
    async fn look_after(&mut self, tenant: TenantId, mut pipeline: Pipeline) -> Result<(), ControlError> {
        let key = (tenant, pipeline.id);
        loop {
            let run = self.observe(key, &pipeline.spec).await;
            let step = decide(pipeline.state, run);
            if step == Step::Wait {
                return self.report(key, &pipeline).await;
            }
            self.between()?;
            self.execute(key, &pipeline, step).await?;
            self.between()?;
            if step == Step::Forget {
                return Ok(());
            }
            pipeline = self.control.store().tenant(tenant).pipeline(pipeline.id).await?;
        }
    }

    /// What the run of a pipeline is doing.
    async fn observe(&mut self, key: Key, spec: &str) -> Run {
        let Some(task) = self.tasks.get_mut(&key) else {
            let rests = self.resting.get(&key).is_some_and(|since| since.elapsed() < REST);
            return if rests { Run::Resting } else { Run::None };
        };
        task.observe(spec).await
    }

    async fn execute(&mut self, key: Key, pipeline: &Pipeline, step: Step) -> Result<(), ControlError> {
        let (tenant, id) = key;
        match step {
            Step::Wait => {}
            Step::Start => {
                self.shift(tenant, pipeline, Event::Assigned, None).await?;
                self.between()?;
                let watch = Arc::new(Watch::default());
                self.control.watch(id, Some(Watched::of(pipeline, Arc::clone(&watch))));
                self.tasks.insert(key, Task::run(Arc::clone(&self.control), tenant, pipeline.clone(), watch));
            }
            Step::Stop => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    task.stop();
                }
            }
            Step::Move(event) => {
                let error = self.tasks.get(&key).and_then(Task::error).map(ErrorReport::to_json);
                let is_over = matches!(event, Event::Ended | Event::Failed);
                match self.shift(tenant, pipeline, event, error.as_deref()).await {
                    // A run that ended where nothing ran by the state: there is nothing to move.
                    Err(ControlError::State(_)) if is_over => {}
                    other => other?,
                }
                if is_over {
                    self.between()?;
                    self.forget_task(key);
                }
            }
            Step::Finish => {
                let from = (pipeline.desired, pipeline.state);
                let store = self.control.store().tenant(tenant);
                store.move_pipeline(id, from, (Desired::Stopped, State::Stopped), None).await?;
                self.between()?;
                self.forget_task(key);
            }
            Step::Remove => {
                self.resting.remove(&key);
                self.tasks.insert(key, Task::remove(Arc::clone(&self.control), tenant, pipeline.clone()));
            }
            Step::Forget => {
                let result = self.tasks.get(&key).and_then(Task::removed).unwrap_or_default();
                self.control.pipeline_is_gone(tenant, id, &result).await?;
                self.between()?;
                self.forget_task(key);
            }
            Step::NoteRemoval => {
                let error = self.tasks.get(&key).and_then(Task::error).map(ErrorReport::to_json);
                self.control.store().tenant(tenant).note_error(id, error.as_deref()).await?;
                self.resting.insert(key, Instant::now());
                self.forget_task(key);
            }
        }
        Ok(())
    }

    /// Stands between two effects: a process can die here, and the next one goes on.
    fn between(&mut self) -> Result<(), ControlError> {
        #[cfg(test)]
        if let Some(lives) = &mut self.lives {
            *lives = lives.checked_sub(1).ok_or(ControlError::Restarted)?;
        }
        Ok(())
    }

    /// Moves a pipeline's state.
    async fn shift(
        &self,
        tenant: TenantId,
        pipeline: &Pipeline,
        event: Event,
        error: Option<&str>,
    ) -> Result<(), ControlError> {
        let after = next(pipeline.state, event)?;
        let store = self.control.store().tenant(tenant);
        // An error stays to be read until the pipeline is well again.
        let kept = if matches!(event, Event::Live | Event::Ended) { None } else { pipeline.error.as_deref() };
        let error = error.or(kept);
        let (from, to) = ((pipeline.desired, pipeline.state), (pipeline.desired, after));
        store.move_pipeline(pipeline.id, from, to, error).await?;
        tracing::info!(pipeline = %pipeline.name, from = pipeline.state.as_str(), to = after.as_str(), "a pipeline moved");
        Ok(())
    }

    /// Stores what the engine says of itself, now and then: for when this process is gone.
    async fn report(&mut self, key: Key, pipeline: &Pipeline) -> Result<(), ControlError> {
        let Some(task) = self.tasks.get_mut(&key) else { return Ok(()) };
        if let Some(progress) = task.report_due(REPORT) {
            self.control.store().tenant(key.0).note_report(pipeline.id, &progress).await?;
        }
        Ok(())
    }

    fn forget_task(&mut self, key: Key) {
        self.control.watch(key.1, None);
        self.tasks.remove(&key);
    }

    /// Ends all runs at once, and waits for them.
    async fn end(self) {
        let (patience, mut ends) = (self.patience, JoinSet::new());
        for (_key, mut task) in self.tasks {
            task.stop();
            ends.spawn(async move {
                if tokio::time::timeout(patience, task.wait()).await.is_err() {
                    tracing::warn!("an engine did not end in time and was cut off");
                }
            });
        }
        while ends.join_next().await.is_some() {}
    }
}

/// Why a task ended that should not have: it panicked.
fn broken() -> ErrorReport {
    ErrorReport::of(&ControlError::TaskBroken, crate::report::Trouble::Failed)
}

#[cfg(test)]
pub(crate) mod tests;
