//! [`Engines`]: what the control plane wants of engines and of the servers between which they work. The binary implements
//! it with the functions that its commands call; nothing here knows a driver.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use segcdc_model::Secret;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::connection::Settings;
use crate::pipeline_spec::PipelineSpec;
use crate::report::ErrorReport;
use crate::store::EngineName;

/// Something that is under way.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, ErrorReport>> + Send + 'a>>;

/// One server, and who we are there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is.
    pub settings: Settings,
    /// The password, opened.
    pub password: Option<Secret<String>>,
}

/// One pipeline, with all that it takes to work on it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name: the key of its state in the target.
    pub name: String,
    /// Who runs it.
    pub engine: EngineName,
    /// Where rows come from.
    pub source: Endpoint,
    /// Where they go.
    pub target: Endpoint,
    /// Tables, rules and options.
    pub spec: PipelineSpec,
}

/// What a pipeline would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// All of it, as `segcdc plan -o json` writes it.
    pub document: Value,
    /// What keeps it from starting.
    pub failures: Vec<ErrorReport>,
}

/// How a run ended that was not told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// It has done all that it was for: a copy without following.
    Done,
}

/// Tables of a source that are wanted.
#[derive(Debug, Clone, Default)]
pub struct TableQuery {
    /// Part of the name, whatever its case.
    pub search: String,
    /// Of one schema only.
    pub schema: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Rows that are set aside and wanted.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Patterns; empty means all tables of the pipeline.
    pub tables: Vec<String>,
    /// Of this code only.
    pub code: Option<String>,
    /// The closed ones too.
    pub with_closed: bool,
    /// Those with a higher number; 0 for all.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

/// Which tables are compared, and how much is listed.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Patterns; empty means all tables of the pipeline.
    pub tables: Vec<String>,
    /// Differences that are listed for each table.
    pub limit: usize,
    /// Numbers of rows only.
    pub by_count: bool,
}

/// What is asked of tables of a pipeline.
#[derive(Debug, Clone)]
pub struct TableRequest {
    /// What.
    pub verb: TableVerb,
    /// Patterns; for a copy, empty means the tables that are quarantined.
    pub tables: Vec<String>,
}

/// What can be asked of a table, whether the pipeline runs or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableVerb {
    /// Its changes are not applied any more.
    Pause,
    /// They are again; it is copied again if any were left out meanwhile.
    Resume,
    /// It is copied again, in this way if one is said.
    Resync(Option<CopyBy>),
    /// It becomes one of the pipeline.
    Add,
    /// It is none of the pipeline any more.
    Remove {
        /// Its target table goes too, if the pipeline made it.
        drop_target: bool,
    },
}

/// How the rows of a new copy get into a target table that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyBy {
    /// Rows that differ are changed.
    Merge,
    /// The copy takes the table's place.
    Swap,
}

/// How a run is seen from outside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// Its progress, as `segcdc up -o json` writes it.
    pub progress: Value,
    /// Whether it follows, or copies, so that it is up.
    pub is_up: bool,
    /// Tables that are quarantined.
    pub quarantined: usize,
}

/// What a run shows of itself: written by the engine's side, looked at by whoever wants to know.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Seen>);

/// Engines, and the servers between which they work. All of it can be dropped at any point and repeated.
pub trait Engines: Send + Sync + fmt::Debug {
    /// Connects to a server, and says what answers.
    fn test<'a>(&'a self, endpoint: &'a Endpoint) -> Work<'a, Value>;

    /// The tables of a source.
    fn tables<'a>(&'a self, endpoint: &'a Endpoint, query: &'a TableQuery) -> Work<'a, Value>;

    /// What a pipeline would do. Changes nothing.
    fn plan<'a>(&'a self, job: &'a Job) -> Work<'a, Plan>;

    /// Sets a pipeline up if it is new, and runs it until it is done, told to stop, or a person is needed.
    fn run(&self, job: Job, watch: std::sync::Arc<Watch>, stop: CancellationToken) -> Work<'static, Ended>;

    /// Where a pipeline stands, as both servers tell.
    fn status<'a>(&'a self, job: &'a Job) -> Work<'a, Value>;

    /// The rows that are set aside, without what is in them but their keys, as `segcdc deadletter list -o json`.
    fn dead_letters<'a>(&'a self, job: &'a Job, query: &'a DeadLetterQuery) -> Work<'a, Value>;

    /// One row that is set aside, as `segcdc deadletter show -o json`.
    fn dead_letter<'a>(&'a self, job: &'a Job, number: i64) -> Work<'a, Value>;

    /// Compares source and target. Changes nothing.
    fn verify<'a>(
        &'a self,
        job: &'a Job,
        request: &'a VerifyRequest,
        on_progress: &'a (dyn Fn(Value) + Send + Sync),
    ) -> Work<'a, Value>;

    /// Has tables copied again by the next run. The pipeline must not run meanwhile.
    fn resync<'a>(&'a self, job: &'a Job, tables: &'a [String]) -> Work<'a, Value>;

    /// Asks something of tables, and waits until the process that runs the pipeline has done it; does not wait for one that does not
    /// run. The object of `segcdc table ... -o json`.
    fn ask<'a>(&'a self, job: &'a Job, request: &'a TableRequest) -> Work<'a, Value>;

    /// Removes what was made for a pipeline; a pipeline that nothing was made for is no error.
    fn remove<'a>(&'a self, job: &'a Job) -> Work<'a, Value>;
}

// === impl Watch ===

impl Watch {
    /// Shows something.
    pub fn show(&self, seen: Seen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// What was shown last.
    pub fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
