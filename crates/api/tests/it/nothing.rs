//! [`Nothing`]: servers of which none answers. What pipelines do is tested with the whole program, in
//! `crates/segcdc/tests/e2e`.

use std::sync::Arc;

use segcdc_control::engine::{
    DeadLetterQuery, Ended, Endpoint, Engines, Job, Plan, TableQuery, TableRequest, VerifyRequest, Watch,
    Work,
};
use segcdc_control::report::{ErrorReport, Trouble};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Servers of which none answers.
#[derive(Debug)]
pub(crate) struct Nothing;

fn unreachable<'a, T: 'a>() -> Work<'a, T> {
    let error = ErrorReport {
        code: "SOURCE_UNREACHABLE".to_owned(),
        message: "the source cannot be reached".to_owned(),
        causes: Box::new(["there is none".to_owned()]),
        hint: "start one".to_owned(),
        fix_sql: Vec::new(),
        trouble: Trouble::Unreachable,
        may_pass: true,
    };
    Box::pin(async { Err(error) })
}

impl Engines for Nothing {
    fn test<'a>(&'a self, _endpoint: &'a Endpoint) -> Work<'a, Value> {
        unreachable()
    }

    fn tables<'a>(&'a self, _endpoint: &'a Endpoint, _query: &'a TableQuery) -> Work<'a, Value> {
        unreachable()
    }

    fn plan<'a>(&'a self, _job: &'a Job) -> Work<'a, Plan> {
        unreachable()
    }

    fn run(&self, _job: Job, _watch: Arc<Watch>, _stop: CancellationToken) -> Work<'static, Ended> {
        unreachable()
    }

    fn status<'a>(&'a self, _job: &'a Job) -> Work<'a, Value> {
        unreachable()
    }

    fn dead_letters<'a>(&'a self, _job: &'a Job, _query: &'a DeadLetterQuery) -> Work<'a, Value> {
        unreachable()
    }

    fn dead_letter<'a>(&'a self, _job: &'a Job, _number: i64) -> Work<'a, Value> {
        unreachable()
    }

    fn verify<'a>(
        &'a self,
        _job: &'a Job,
        _request: &'a VerifyRequest,
        _on_progress: &'a (dyn Fn(Value) + Send + Sync),
    ) -> Work<'a, Value> {
        unreachable()
    }

    fn ask<'a>(&'a self, _job: &'a Job, _request: &'a TableRequest) -> Work<'a, Value> {
        unreachable()
    }

    fn resync<'a>(&'a self, _job: &'a Job, _tables: &'a [String]) -> Work<'a, Value> {
        unreachable()
    }

    fn remove<'a>(&'a self, _job: &'a Job) -> Work<'a, Value> {
        unreachable()
    }
}
