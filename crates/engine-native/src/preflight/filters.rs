//! Whether the source takes the conditions of `--where`, and the application can go on with them.

use std::sync::Arc;

use segcdc_model::{Disposition, Fault, Finding, ReplicaIdentity, Side, SourceTable};
use segcdc_plan::TablePlan;
use segcdc_postgres::row_filter::{self, ReadFilter};
use segcdc_postgres::{Publication, Session, publication, quote};

use crate::config::{EngineConfig, SnapshotMode};
use crate::error::EngineError;
use crate::published;

const CHECK: &str = "engine.row_filters";

/// A finding for each condition that cannot be.
pub(super) async fn check(
    config: &EngineConfig,
    source: &Session,
    plans: &[Arc<TablePlan>],
) -> Result<Vec<Finding>, EngineError> {
    let filtered: Vec<&TablePlan> =
        plans.iter().map(AsRef::as_ref).filter(|plan| plan.filter.is_some()).collect();
    let follows = config.snapshot != SnapshotMode::Only;
    if filtered.is_empty() {
        return Ok(Vec::new());
    }
    if follows && !publication::has_lists_and_filters(source).await? {
        let detail = "the server cannot send a part of the rows of a table, as --where asks: publications have row filters \
                      from PostgreSQL 15 on";
        let hint =
            "leave --where away, or replicate from a newer server; --snapshot only copies by it from any";
        return Ok(vec![failure("ROW_FILTER_UNSUPPORTED", detail.to_owned()).hint(hint)]);
    }
    let given = match &config.publication {
        Some(name) => publication::inspect(source, name).await?,
        None => None,
    };
    let mut findings = Vec::new();
    for plan in filtered {
        findings.extend(check_table(config, source, plan, given.as_ref(), follows).await?);
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, Side::Source, "the source takes the conditions of --where"));
    }
    Ok(findings)
}

/// The same of one table.
async fn check_table(
    config: &EngineConfig,
    source: &Session,
    plan: &TablePlan,
    given: Option<&Publication>,
    follows: bool,
) -> Result<Option<Finding>, EngineError> {
    let table = &plan.source.name;
    let Some(filter) = &plan.filter else { return Ok(None) };
    let tried = match row_filter::read(source, table, filter).await {
        Ok(read) if follows && config.publication.is_none() => {
            let wanted = published::wanted(source, &[plan], &config.rules).await?;
            match wanted.first() {
                Some(wanted) => row_filter::try_out(source, wanted).await.map(|()| read),
                None => Ok(read),
            }
        }
        read => read,
    };
    let read = match tried {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(None),
        Err(error) if error.disposition() == Disposition::Retry => return Err(error.into()),
        Err(error) => {
            let detail = format!(
                "the source refuses the condition of {table}: {}",
                segcdc_model::fault::chain(&error)
            );
            let hint = "a condition compares columns of the table with constants by PostgreSQL's own operators and functions, \
                        as in --where \"public.orders: region = 'EU' AND total > 10\"";
            return Ok(Some(failure("ROW_FILTER_INVALID", detail).hint(hint)));
        }
    };
    if !follows {
        return Ok(None);
    }
    if let Some(column) = not_of_identity(&plan.source, &read) {
        let detail = format!(
            "the condition of {table} reads \"{column}\", which PostgreSQL does not send of old rows: it would refuse the \
             application's UPDATE and DELETE of the table"
        );
        let finding = failure("ROW_FILTER_COLUMNS", detail)
            .hint("let whole old rows be sent, or use columns of the replica identity only");
        let sql = quote::qualified(table).map(|name| format!("ALTER TABLE {name} REPLICA IDENTITY FULL"));
        return Ok(Some(match sql {
            Ok(sql) => finding.fix(sql),
            Err(_) => finding,
        }));
    }
    let published = given.and_then(|given| given.tables.iter().find(|found| found.oid == plan.source.oid));
    let other = published.and_then(|found| found.row_filter.as_ref()).filter(|found| **found != read.printed);
    Ok(other.map(|found| {
        let detail = format!(
            "the publication sends of {table} the rows of {found}, and --where says {}",
            read.printed
        );
        failure("ROW_FILTER_DIFFERS", detail).hint("give both the same condition")
    }))
}

/// A column that a condition reads and that is not sent of old rows.
fn not_of_identity<'a>(table: &SourceTable, filter: &'a ReadFilter) -> Option<&'a String> {
    let identity = match table.replica_identity {
        ReplicaIdentity::Full => return None,
        ReplicaIdentity::Default => &table.primary_key,
        ReplicaIdentity::Index => &table.identity_index,
        ReplicaIdentity::Nothing => return filter.columns.first(),
    };
    let names: Vec<&String> =
        identity.iter().filter_map(|index| Some(&table.columns.get(*index)?.name)).collect();
    filter.columns.iter().find(|column| !names.contains(column))
}

fn failure(code: &str, detail: String) -> Finding {
    Finding::failure(CHECK, Side::Source, code, detail)
}
