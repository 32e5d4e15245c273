//! [`Task`]: one engine at work, or one removal, under supervision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Run, broken};
use crate::engine::{Ended, Watch};
use crate::id::TenantId;
use crate::report::ErrorReport;
use crate::service::Control;
use crate::store::Pipeline;

/// How a task ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A run, well or with an error.
    Run(Result<Ended, ErrorReport>),
    /// A removal: what was removed and what is left.
    Removal(Result<Value, ErrorReport>),
}

/// One engine at work, or one removal.
#[derive(Debug)]
pub(super) struct Task {
    handle: Option<JoinHandle<Outcome>>,
    outcome: Option<Outcome>,
    stop: CancellationToken,
    is_removal: bool,
    /// What it began with, as JSON.
    spec: String,
    watch: Arc<Watch>,
    reported: Option<Instant>,
}

// === impl Task ===

impl Task {
    /// Begins to run a pipeline.
    pub(super) fn run(
        control: Arc<Control>,
        tenant: TenantId,
        pipeline: Pipeline,
        watch: Arc<Watch>,
    ) -> Self {
        let stop = CancellationToken::new();
        let (seen, token) = (Arc::clone(&watch), stop.clone());
        let spec = pipeline.spec.clone();
        let handle = tokio::spawn(async move {
            let outcome = async {
                let job = control.job(tenant, &pipeline).await?;
                control.engines().run(job, seen, token).await
            };
            Outcome::Run(outcome.await)
        });
        Task { handle: Some(handle), outcome: None, stop, is_removal: false, spec, watch, reported: None }
    }

    /// Begins to remove what was made for a pipeline.
    pub(super) fn remove(control: Arc<Control>, tenant: TenantId, pipeline: Pipeline) -> Self {
        let spec = pipeline.spec.clone();
        let handle = tokio::spawn(async move {
            let outcome = async {
                let job = control.job(tenant, &pipeline).await?;
                control.engines().remove(&job).await
            };
            Outcome::Removal(outcome.await)
        });
        let (stop, watch) = (CancellationToken::new(), Arc::new(Watch::default()));
        Task { handle: Some(handle), outcome: None, stop, is_removal: true, spec, watch, reported: None }
    }

    /// Tells it to stop.
    pub(super) fn stop(&mut self) {
        self.stop.cancel();
        // A removal can be repeated from wherever it is cut off.
        if let (true, Some(handle)) = (self.is_removal, &self.handle) {
            handle.abort();
        }
    }

    /// What it is doing, for a pipeline of which this is stored.
    pub(super) async fn observe(&mut self, spec: &str) -> Run {
        if self.handle.as_ref().is_some_and(JoinHandle::is_finished) {
            self.wait().await;
        }
        match &self.outcome {
            Some(Outcome::Run(Ok(Ended::Stopped))) => Run::Ended,
            Some(Outcome::Run(Ok(Ended::Done))) => Run::Done,
            Some(Outcome::Run(Err(_))) => Run::Failed,
            Some(Outcome::Removal(Ok(_))) => Run::Removed,
            Some(Outcome::Removal(Err(_))) => Run::NotRemoved,
            None if self.is_removal => Run::Removing,
            None => {
                let seen = self.watch.seen();
                let (is_live, has_quarantined) = (seen.is_up, seen.quarantined > 0);
                let (is_outdated, is_stopping) = (self.spec != spec, self.stop.is_cancelled());
                Run::Up { is_live, has_quarantined, is_outdated, is_stopping }
            }
        }
    }

    /// Waits for its end. A task that panicked has failed, and takes nobody with it.
    pub(super) async fn wait(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        let outcome = handle.await.unwrap_or_else(|_panic| {
            if self.is_removal { Outcome::Removal(Err(broken())) } else { Outcome::Run(Err(broken())) }
        });
        self.outcome = Some(outcome);
    }

    /// Ends it as the death of the process would.
    #[cfg(test)]
    pub(super) async fn die(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.abort();
            handle.await.ok();
        }
    }

    /// Why it failed.
    pub(super) fn error(&self) -> Option<&ErrorReport> {
        match &self.outcome {
            Some(Outcome::Run(Err(error)) | Outcome::Removal(Err(error))) => Some(error),
            _ => None,
        }
    }

    /// What it removed and left.
    pub(super) fn removed(&self) -> Option<Value> {
        match &self.outcome {
            Some(Outcome::Removal(Ok(report))) => Some(report.clone()),
            _ => None,
        }
    }

    /// What the engine says of itself, if it was not stored for so long.
    pub(super) fn report_due(&mut self, period: Duration) -> Option<String> {
        let is_due = self.reported.is_none_or(|last| last.elapsed() >= period);
        let progress = self.watch.seen().progress;
        if self.is_removal || !is_due || progress.is_null() {
            return None;
        }
        self.reported = Some(Instant::now());
        Some(progress.to_string())
    }
}
