//! [`Adapter`]: engines and servers as the control plane wants them, by the functions that the commands call.

use std::sync::Arc;

use segcdc_control::engine::{
    CopyBy, DeadLetterQuery, Ended, Endpoint, Engines, Job, Plan, TableQuery, TableRequest, TableVerb,
    VerifyRequest, Watch, Work,
};
use segcdc_control::report::{ErrorReport, Trouble};
use segcdc_control::store::ConnectionKind;
use segcdc_engine_native::verify::VerifyStage;
use segcdc_engine_native::wish::By;
use segcdc_engine_native::{
    Choice, DeadLetterError, EngineConfig, EngineError, Removal, VerifyBy, VerifyEvent, VerifyOptions,
    VerifyProgress, Wish, dead_letters, down, preflight, resync, status, verify,
};
use segcdc_model::{Fault, Severity, SourceTable, TableKind};
use segcdc_postgres::{catalog, session};
use segcdc_sqlserver::{Target, WritePath};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::native;
use super::servers::Servers;
use super::trouble::{report, report_of};
use crate::commands::{plan, table};
use crate::exit::Exit;
use crate::settings;

/// Engines and servers.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    /// How servers are connected to.
    pub(super) servers: Servers,
}

// === impl Engines for Adapter ===

impl Engines for Adapter {
    fn test<'a>(&'a self, endpoint: &'a Endpoint) -> Work<'a, Value> {
        Box::pin(async move {
            match endpoint.settings.kind() {
                ConnectionKind::Postgres => self.test_source(endpoint).await,
                ConnectionKind::SqlServer => self.test_target(endpoint).await,
            }
        })
    }

    fn tables<'a>(&'a self, endpoint: &'a Endpoint, query: &'a TableQuery) -> Work<'a, Value> {
        Box::pin(async move {
            let source = self.servers.source(endpoint).await?;
            let session = session::connect(&source).await.map_err(|error| report(&error))?;
            let found = catalog::tables(&session, &[]).await.map_err(|error| report(&error))?;
            session.close().await;
            let search = query.search.to_lowercase();
            let wanted = |table: &&SourceTable| {
                !matches!(table.kind, TableKind::View | TableKind::MaterializedView)
                    && table.name.to_string().to_lowercase().contains(&search)
                    && query.schema.as_ref().is_none_or(|schema| table.name.schema == *schema)
            };
            let all: Vec<&SourceTable> = found.iter().filter(wanted).collect();
            let items: Vec<Value> = all.iter().take(query.limit).map(|table| shown(table)).collect();
            Ok(json!({"items": items, "total": all.len()}))
        })
    }

    fn plan<'a>(&'a self, job: &'a Job) -> Work<'a, Plan> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            let checked = Box::pin(preflight(&config)).await.map_err(|error| report(&error))?;
            let failed = checked.findings.iter().filter(|finding| finding.severity == Severity::Failure);
            let failures = failed.map(|finding| {
                let trouble =
                    report_of(&crate::error::CliError::usage(&finding.code, &finding.detail, &finding.hint));
                let may_pass = Exit::of_error(&finding.code) == Exit::Unreachable;
                ErrorReport { fix_sql: finding.fix_sql.clone(), may_pass, ..trouble }
            });
            let failures = failures.collect();
            Ok(Plan { document: value(&plan::view(&config, &checked)), failures })
        })
    }

    fn run(&self, job: Job, watch: Arc<Watch>, stop: CancellationToken) -> Work<'static, Ended> {
        Box::pin(native::run(self.servers.clone(), job, watch, stop))
    }

    fn status<'a>(&'a self, job: &'a Job) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            let found = Box::pin(status(&config)).await.map_err(|error| report(&error))?;
            Ok(value(&found))
        })
    }

    fn dead_letters<'a>(&'a self, job: &'a Job, query: &'a DeadLetterQuery) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            let query = dead_letters::DeadLetterQuery {
                patterns: settings::patterns(&query.tables).map_err(|error| report_of(&error))?,
                code: query.code.as_ref().map(|code| code.to_uppercase()),
                with_closed: query.with_closed,
                after: query.after,
                limit: query.limit,
            };
            Ok(value(&dead_letters::list(&config, &query).await.map_err(|error| report(&error))?))
        })
    }

    fn dead_letter<'a>(&'a self, job: &'a Job, number: i64) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            Ok(value(&dead_letters::show(&config, number).await.map_err(|error| match &error {
                DeadLetterError::NotFound { .. } | DeadLetterError::NotOpen { .. } => {
                    ErrorReport { trouble: Trouble::Missing, ..report(&error) }
                }
                DeadLetterError::Engine(_) => report(&error),
            })?))
        })
    }

    fn verify<'a>(
        &'a self,
        job: &'a Job,
        request: &'a VerifyRequest,
        on_progress: &'a (dyn Fn(Value) + Send + Sync),
    ) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            let patterns = settings::patterns(&request.tables).map_err(|error| report_of(&error))?;
            let by = if request.by_count { VerifyBy::Count } else { VerifyBy::Rows };
            let options = VerifyOptions { patterns, limit: request.limit, by, ..VerifyOptions::default() };
            let mut show = |event: VerifyEvent<'_>| {
                if let VerifyEvent::Progress(progress) = event {
                    on_progress(progress_of(progress));
                }
            };
            let found =
                Box::pin(verify(&config, &options, &mut show)).await.map_err(|error| report(&error))?;
            let mut result = value(&found);
            if let Some(fields) = result.as_object_mut() {
                fields.insert("is_equal".to_owned(), found.is_equal().into());
                fields.insert("differences".to_owned(), found.differences().into());
                fields.insert("undecided".to_owned(), found.undecided().into());
            }
            Ok(result)
        })
    }

    fn resync<'a>(&'a self, job: &'a Job, tables: &'a [String]) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            let patterns = settings::patterns(tables).map_err(|error| report_of(&error))?;
            let done = Box::pin(resync(&config, &patterns)).await.map_err(|error| report(&error))?;
            Ok(value(&done))
        })
    }

    fn ask<'a>(&'a self, job: &'a Job, request: &'a TableRequest) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            let patterns = settings::patterns(&request.tables).map_err(|error| report_of(&error))?;
            let wish = wish_of(request.verb);
            let choice = match (wish, patterns.is_empty()) {
                (Wish::Resync { .. }, true) => Choice::Failed,
                (Wish::Pause | Wish::Resume | Wish::Resync { .. } | Wish::Add | Wish::Remove { .. }, _) => {
                    Choice::Matching(&patterns)
                }
            };
            let asked = segcdc_engine_native::ask(&config, wish, choice).await;
            let mut asked = asked.map_err(|error| report(&error))?;
            if asked.running && !asked.tables.is_empty() {
                let waited = segcdc_engine_native::wait(&config, &mut asked, true, table::COPIES).await;
                waited.map_err(|error| report(&error))?;
            }
            match table::refusal(&asked) {
                Some(refused) => Err(report_of(&refused)),
                None => Ok(value(&asked)),
            }
        })
    }

    fn remove<'a>(&'a self, job: &'a Job) -> Work<'a, Value> {
        Box::pin(async move {
            let config = self.servers.pipeline(job).await?;
            match Box::pin(down(&config, Removal::Drop)).await {
                Ok(done) => Ok(value(&done)),
                Err(error) if is_unknown(&error) => Ok(nothing_of(&config)),
                Err(error) => Err(report(&error)),
            }
        })
    }
}

// === impl Adapter ===

impl Adapter {
    /// What a source says it is.
    async fn test_source(&self, endpoint: &Endpoint) -> Result<Value, ErrorReport> {
        let source = self.servers.source(endpoint).await?;
        let session = session::connect(&source).await.map_err(|error| report(&error))?;
        let asked = session.query_text("SELECT current_setting('server_version'), current_user").await;
        let rows = asked.map_err(|error| report(&error))?;
        session.close().await;
        let mut fields = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
        let (version, user) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        Ok(json!({"server": format!("PostgreSQL {version}"), "user": user, "database": source.database}))
    }

    /// What a target says it is, and how rows are written there.
    async fn test_target(&self, endpoint: &Endpoint) -> Result<Value, ErrorReport> {
        let config = self.servers.target(endpoint).await?;
        let target = Target::connect(&config).await.map_err(|error| report(&error))?;
        let write_path = match target.write_path() {
            WritePath::Bulk => "bulk_load",
            WritePath::Insert => "insert",
        };
        Ok(json!({
            "server": target.server_name(), "user": config.user, "database": config.database, "write_path": write_path,
        }))
    }
}

/// What is asked of a table, in the engine's words.
fn wish_of(verb: TableVerb) -> Wish {
    match verb {
        TableVerb::Pause => Wish::Pause,
        TableVerb::Resume => Wish::Resume,
        TableVerb::Resync(by) => Wish::Resync {
            by: by.map(|by| match by {
                CopyBy::Merge => By::Merge,
                CopyBy::Swap => By::Swap,
            }),
        },
        TableVerb::Add => Wish::Add,
        TableVerb::Remove { drop_target } => Wish::Remove { drop_target },
    }
}

/// Whether the target does not know the pipeline, so that nothing was made for it.
fn is_unknown(error: &EngineError) -> bool {
    error.code() == "STATE_MISSING"
}

/// What is removed of a pipeline that nothing was made for.
fn nothing_of(config: &EngineConfig) -> Value {
    json!({"pipeline": config.name, "done": true, "removed": [], "left": []})
}

/// A table of the source, as it is shown to who chooses tables.
fn shown(table: &SourceTable) -> Value {
    json!({
        "schema": table.name.schema, "name": table.name.name, "kind": table.kind, "columns": table.columns.len(),
        "has_primary_key": !table.primary_key.is_empty(), "replica_identity": table.replica_identity,
        "estimated_rows": table.estimated_rows, "size_bytes": table.size_bytes,
    })
}

/// A comparison that is under way.
fn progress_of(progress: &VerifyProgress) -> Value {
    let stage = match progress.stage {
        VerifyStage::Waiting => "waiting",
        VerifyStage::Source => "source",
        VerifyStage::Target => "target",
        VerifyStage::Window => "window",
        VerifyStage::Repair => "repair",
    };
    json!({
        "table": progress.table.as_ref().map(ToString::to_string), "number": progress.number, "tables": progress.tables,
        "stage": stage, "done": progress.rows, "total": progress.expected_rows, "unit": "rows",
    })
}

/// Anything that a command writes as JSON.
fn value(thing: &impl Serialize) -> Value {
    serde_json::to_value(thing).unwrap_or_default()
}
