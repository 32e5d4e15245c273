//! [`preflight`]: whether a pipeline can start, and what it would do.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{Fault, Finding, Lsn, QualifiedName, Severity, Side, SourceTable, TableKind};
use segcdc_plan::table_plan::{self, table_plan};
use segcdc_plan::{KnownTable, Naming, PlanError, Rules, TableKey, TablePlan};
use segcdc_postgres::{Pattern, Publication, Session, catalog, publication, quote, session, slot};
use segcdc_sqlserver::{ExistingRows, PipelineState, Target};
use serde::Serialize;

use crate::config::{EngineConfig, Recover, SnapshotMode};
use crate::context::naming;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::known::{current_plan, tables_now};
use crate::provision;
use crate::provision::decide::{begins_anew, is_copy_only, is_given_up};
use crate::rules_in_force;
use crate::startup::decide::{check_history, check_identity};
use crate::startup::read_history;
use crate::wal;

mod excluded;
mod filters;
mod numbers;
mod source;

/// The code of a partition of a table that is replicated itself.
const PARTITION_OF_ROOT: &str = "PARTITION_OF_ROOT";

/// Whether a pipeline can start, and what it would do.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// What the checks found, of both servers.
    pub findings: Vec<Finding>,
    /// The tables that will be replicated, ordered by source name.
    pub plans: Vec<Arc<TablePlan>>,
    /// Tables that match the patterns and will not be replicated.
    pub left_out: Vec<LeftOut>,
    /// The statements that change something, in the order in which they will run.
    pub sql: PlannedSql,
    /// The pipeline's state, when it exists: then its own tables are what counts.
    pub existing: Option<PipelineState>,
    /// The rules that count.
    pub rules: Rules,
}

/// A table that will not be replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The source table.
    pub table: QualifiedName,
    /// Stable code.
    pub code: String,
    /// Why.
    pub detail: String,
    /// What a person can do.
    pub hint: String,
    /// SQL that mends it, at the source.
    pub fix_sql: Option<String>,
}

/// The statements that change something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PlannedSql {
    /// At PostgreSQL.
    pub source: Vec<String>,
    /// At SQL Server.
    pub target: Vec<String>,
}

/// The tables of a pipeline that is to be made.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Those that can be replicated.
    pub(crate) plans: Vec<Arc<TablePlan>>,
    /// Those that cannot.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Checks both servers and plans the tables. Changes nothing.
///
/// # Errors
/// When a server cannot be asked at all. What keeps the pipeline from starting is a finding, not an error.
pub async fn preflight(config: &EngineConfig) -> Result<Preflight, EngineError> {
    provision::check_name(&config.name)?;
    let source = session::connect(&config.source).await?;
    let mut target = Target::connect(&config.target).await?;
    let existing = target.load_state(&config.name).await?;
    if let Some(state) = &existing {
        config.engine.require(state)?;
    }
    let config = &rules_in_force::with_rules(config, existing.as_ref())?;
    let keeps = |state: &PipelineState| config.patterns.is_empty() && !state.tables.is_empty();
    let anew = is_made_anew(config, &source, existing.as_ref()).await?;
    let known = existing.as_ref().filter(|state| !anew || keeps(state));
    let Selection { plans, left_out } = match known {
        Some(state) => {
            let followed = target.known_tables(&config.name).await?;
            select_known(&source, state, &naming(config), &followed).await?
        }
        None => select(config, &source).await?,
    };
    let mut findings = check_tables(&plans);
    if known.is_none() {
        findings.extend(named_in_vain(&config.patterns, &left_out));
        let names = plans.iter().map(|plan| &plan.source.name);
        let names: Vec<_> = names.chain(left_out.iter().map(|left| &left.table)).collect();
        findings.extend(config.patterns.iter().filter_map(|pattern| check_pattern(pattern, &names)));
        findings.extend(excluded::check(config, &source).await?);
        findings.extend(filters::check(config, &source, &plans).await?);
    }
    findings.extend(check_rules(&config.rules, &plans, &left_out));
    match check_lineage(config, &source, &mut target, existing.as_ref(), anew).await? {
        Ok(()) => {
            let request = source::request(config, &source, existing.as_ref(), anew, &plans).await?;
            findings.extend(existing.as_ref().and_then(|state| check_copied_again(config, state, anew)));
            let found = segcdc_postgres::preflight::check(&source, &request).await?;
            findings = with_source(findings, found);
            findings.push(segcdc_postgres::preflight::check_replication(&config.source).await);
            if let Some(state) = known {
                findings.extend(check_shapes(&source, state, config).await?);
            }
            if known.is_none() && config.snapshot != SnapshotMode::None {
                findings.extend(numbers::check(&source, &plans).await?);
            }
        }
        // Whatever else is wrong with another server would only mislead.
        Err(error) => findings = vec![failure("engine.source", &error)],
    }
    let rows = match config.snapshot {
        SnapshotMode::Initial | SnapshotMode::Only => ExistingRows::Refuse,
        SnapshotMode::None => ExistingRows::Allow,
    };
    let request =
        segcdc_sqlserver::PreflightRequest { tables: plans.clone(), existing: existing.clone(), rows };
    findings.extend(segcdc_sqlserver::preflight::check(&mut target, &request).await?);
    let sql = match &existing {
        Some(_) => PlannedSql::default(),
        None => PlannedSql {
            source: source::statements(config, &source, &plans).await?,
            target: segcdc_sqlserver::preflight::statements(&request),
        },
    };
    source.close().await;
    Ok(Preflight { findings, plans, left_out, sql, existing, rules: config.rules.clone() })
}

/// Whether everything of a pipeline that exists will be made again: its set-up was interrupted, or its slot was given up.
async fn is_made_anew(
    config: &EngineConfig,
    source: &Session,
    existing: Option<&PipelineState>,
) -> Result<bool, EngineError> {
    let Some(state) = existing else { return Ok(false) };
    if begins_anew(state) {
        return Ok(true);
    }
    let slot = slot::inspect(source, &state.checkpoint.lineage.slot).await?;
    Ok(is_given_up(config, state, slot.as_ref()))
}

/// A finding when tables that were live once will be copied again.
fn check_copied_again(config: &EngineConfig, state: &PipelineState, anew: bool) -> Option<Finding> {
    let told = state.tables.iter().filter_map(|table| table.error.as_ref());
    let why = match told.into_iter().find(|(code, _)| code == wal::REACHED) {
        Some((_, why)) => why.clone(),
        None if state.checkpoint.applied_lsn > Lsn::ZERO => {
            format!(
                "the slot \"{}\" is gone or lost, or has let go of what the target has not",
                state.checkpoint.lineage.slot
            )
        }
        None => return None,
    };
    let (what, hint) = match config.recover {
        Recover::Repair => ("compared with the source", "what differs is written"),
        Recover::Stop | Recover::Copy => ("copied again", "the target tables are emptied first"),
    };
    let detail = format!("{why}; all tables are {what}");
    let finding = Finding::warning("engine.slot", Side::Source, "COPIED_AGAIN", detail);
    anew.then(|| finding.hint(hint))
}

/// Whether the source is the one that a pipeline which exists was made with, and has all that was applied of it.
async fn check_lineage(
    config: &EngineConfig,
    source: &Session,
    target: &mut Target,
    existing: Option<&PipelineState>,
    anew: bool,
) -> Result<Result<(), EngineError>, EngineError> {
    let Some(state) = existing else { return Ok(Ok(())) };
    let identity = catalog::identity(source).await?;
    if let Err(error) = check_identity(&state.checkpoint, &identity) {
        return Ok(Err(error));
    }
    if config.engine != EngineKind::Native || anew || is_copy_only(state) {
        return Ok(Ok(()));
    }
    let watch = target.slot_watch(&config.name).await?;
    match read_history(&config.source, source, &state.checkpoint.lineage).await {
        Ok(history) => Ok(check_history(&state.checkpoint, watch.as_ref(), &history)),
        // That no replication session can be opened is a finding of its own.
        Err(_) => Ok(Ok(())),
    }
}

/// The tables that a new pipeline replicates.
pub(crate) async fn select(config: &EngineConfig, source: &Session) -> Result<Selection, EngineError> {
    let mut found = catalog::tables(source, &config.patterns).await?;
    found.retain(|table| !config.excludes(&table.name));
    let published = match &config.publication {
        Some(name) => publication::inspect(source, name).await?,
        None => None,
    };
    let mut selection = Selection { plans: Vec::new(), left_out: Vec::new() };
    for table in found {
        match judge(&table, &naming(config), published.as_ref()) {
            Ok(plan) => selection.plans.push(Arc::new(plan)),
            Err(left_out) => selection.left_out.push(*left_out),
        }
    }
    leave_out_partitions(source, &mut selection).await?;
    Ok(selection)
}

/// Leaves out the partitions of tables that are replicated themselves: their changes come as those of the table that they
/// belong to, and a target table of their own would stay as it was copied.
async fn leave_out_partitions(source: &Session, selection: &mut Selection) -> Result<(), EngineError> {
    let oids: Vec<u32> = selection.plans.iter().map(|plan| plan.source.oid).collect();
    let ancestors = catalog::ancestors(source, &oids).await?;
    let names: HashMap<u32, QualifiedName> =
        selection.plans.iter().map(|plan| (plan.source.oid, plan.source.name.clone())).collect();
    let root_of = |plan: &TablePlan| {
        ancestors.get(&plan.source.oid).into_iter().flatten().find_map(|ancestor| names.get(ancestor))
    };
    for plan in std::mem::take(&mut selection.plans) {
        match root_of(&plan) {
            None => selection.plans.push(plan),
            Some(root) => selection.left_out.push(LeftOut {
                table: plan.source.name.clone(),
                code: PARTITION_OF_ROOT.to_owned(),
                detail: format!("it is a partition of {root}, whose rows and changes hold its own"),
                hint: "name either the partitioned table or its partitions in --tables".to_owned(),
                fix_sql: None,
            }),
        }
    }
    Ok(())
}

/// The tables of a pipeline that exists: those that are live as they were `followed`, the others as they are now.
pub(crate) async fn select_known(
    source: &Session,
    state: &PipelineState,
    naming: &Naming,
    followed: &HashMap<u32, KnownTable>,
) -> Result<Selection, EngineError> {
    let mut selection = Selection { plans: Vec::new(), left_out: Vec::new() };
    let tables = tables_now(source, &state.tables).await?;
    for known in &state.tables {
        let Some(table) = tables.get(&known.source_oid) else {
            let error = EngineError::TableDropped { oid: known.source_oid, table: known.source.clone() };
            selection.left_out.push(left_out(&known.source, &error));
            continue;
        };
        match current_plan(known, table, followed.get(&known.source_oid), naming) {
            Ok(plan) => selection.plans.push(Arc::new(plan)),
            Err(error) => selection.left_out.push(left_out(&known.source, &error)),
        }
    }
    Ok(selection)
}

/// The plan of a table, or why it is left out.
pub(crate) fn judge(
    table: &SourceTable,
    naming: &Naming,
    published: Option<&Publication>,
) -> Result<TablePlan, Box<LeftOut>> {
    let plan = table_plan(table, naming).map_err(|error| {
        let mut left_out = left_out(&table.name, &error);
        match &error {
            PlanError::KeyUnusable { identity: Some(index), .. } => {
                left_out.fix_sql = identity_sql(&table.name, index);
            }
            PlanError::NotStreamable { kind: TableKind::Unlogged, .. } => {
                left_out.fix_sql =
                    quote::qualified(&table.name).map(|name| format!("ALTER TABLE {name} SET LOGGED")).ok();
            }
            _ => {}
        }
        Box::new(left_out)
    })?;
    if let Some(publication) = published
        && !publication.tables.iter().any(|published| published.oid == table.oid)
    {
        let error = EngineError::TableUnpublished {
            oid: table.oid,
            table: table.name.clone(),
            publication: publication.name.clone(),
        };
        return Err(Box::new(left_out(&table.name, &error)));
    }
    match plan.key {
        TableKey::Columns(_) | TableKey::WholeRow | TableKey::AppendOnly(_) => Ok(plan),
        // Publishing it would make the application's own UPDATE and DELETE fail.
        TableKey::Unidentified => Err(Box::new(LeftOut {
            table: table.name.clone(),
            code: "NO_REPLICA_IDENTITY".to_owned(),
            detail: "it has no primary key and no other replica identity: once published, PostgreSQL would refuse \
                     UPDATE and DELETE of it"
                .to_owned(),
            hint: "add a primary key, or set REPLICA IDENTITY FULL, which makes its UPDATE and DELETE slower and costs an \
                   INSERT nothing"
                .to_owned(),
            fix_sql: quote::qualified(&table.name)
                .map(|name| format!("ALTER TABLE {name} REPLICA IDENTITY FULL"))
                .ok(),
        })),
    }
}

/// The statement that makes an index the replica identity of its table.
fn identity_sql(table: &QualifiedName, index: &str) -> Option<String> {
    let (table, index) = (quote::qualified(table).ok()?, quote::identifier(index).ok()?);
    Some(format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {index}"))
}

/// A finding for each rule that means nothing: a failure for one that names a table or column, since it is missed.
fn check_rules(rules: &Rules, plans: &[Arc<TablePlan>], left_out: &[LeftOut]) -> Vec<Finding> {
    let (check, side) = ("engine.rules", Side::Source);
    let tables: Vec<&SourceTable> = plans.iter().map(|plan| &plan.source).collect();
    let others: Vec<&QualifiedName> = left_out.iter().map(|left| &left.table).collect();
    let unused = rules.unused(&tables, &others).into_iter().map(|(rule, is_literal)| {
        let detail = format!("the rule {rule} means no table or column of the pipeline");
        let finding = match is_literal {
            true => Finding::failure(check, side, "RULE_UNUSED", detail),
            false => Finding::warning(check, side, "RULE_UNUSED", detail),
        };
        finding.hint("check the spelling; tables are schema.table, columns schema.table.column, and one name is a type")
    });
    unused.collect()
}

/// A finding when new rules would change target tables that are in use.
async fn check_shapes(
    source: &Session,
    state: &PipelineState,
    config: &EngineConfig,
) -> Result<Option<Finding>, EngineError> {
    match rules_in_force::check_shapes(source, state, config, &rules_in_force::is_in_use).await {
        Ok(()) => Ok(None),
        Err(EngineError::Rules(error)) => Ok(Some(failure("engine.rules", &error))),
        Err(error) => Err(error),
    }
}

/// Adds what the source's own check has found. That no table is left says nothing where the tables that were named are findings
/// themselves.
fn with_source(mut findings: Vec<Finding>, found: Vec<Finding>) -> Vec<Finding> {
    let is_explained = findings.iter().any(|finding| finding.severity == Severity::Failure);
    findings
        .extend(found.into_iter().filter(|finding| !(is_explained && finding.code == "NO_TABLES_MATCHED")));
    findings
}

/// Findings of the tables together.
fn check_tables(plans: &[Arc<TablePlan>]) -> Vec<Finding> {
    const CHECK: &str = "engine.tables";
    if plans.is_empty() {
        // The source's own check says so.
        return Vec::new();
    }
    match table_plan::check_targets(plans.iter().map(AsRef::as_ref)) {
        Ok(()) => {
            let count = plans.len();
            vec![Finding::ok(CHECK, Side::Source, format!("{count} tables can be replicated"))]
        }
        Err(error) => vec![failure(CHECK, &error)],
    }
}

/// An error of the source as a finding.
fn failure(check: &'static str, error: &dyn Fault) -> Finding {
    Finding::failure(check, Side::Source, error.code(), error.to_string()).hint(error.hint())
}

/// A failure for each table that was named and cannot be replicated as it is: whoever names it misses it. What a wildcard means
/// is only left out, and so are partitions, which come with their table.
fn named_in_vain(patterns: &[Pattern], left_out: &[LeftOut]) -> Vec<Finding> {
    let is_named = |left: &&LeftOut| {
        left.code != PARTITION_OF_ROOT && patterns.iter().any(|it| it.literal().as_ref() == Some(&left.table))
    };
    let findings = left_out.iter().filter(is_named).map(|left| {
        let finding = Finding::failure("engine.tables", Side::Source, &left.code, left.detail.clone());
        let finding = finding.hint(left.hint.clone());
        left.fix_sql.iter().fold(finding, |finding, sql| finding.fix(sql.clone()))
    });
    findings.collect()
}

/// A finding when a pattern means no table: a failure for a table that was named, since it is missed.
fn check_pattern(pattern: &Pattern, names: &[&QualifiedName]) -> Option<Finding> {
    if names.iter().any(|name| pattern.matches(name)) {
        return None;
    }
    let (check, side) = ("engine.patterns", Side::Source);
    let finding = match pattern.literal() {
        Some(name) => Finding::failure(check, side, "TABLE_NOT_FOUND", format!("there is no table {name}")),
        None => {
            Finding::warning(check, side, "PATTERN_EMPTY", format!("the pattern {pattern} means no table"))
        }
    };
    Some(
        finding.hint(
            "check the spelling; names are compared as PostgreSQL keeps them, upper and lower case apart",
        ),
    )
}

/// A table that an error leaves out.
fn left_out(table: &QualifiedName, error: &dyn Fault) -> LeftOut {
    LeftOut {
        table: table.clone(),
        code: error.code().to_owned(),
        detail: error.to_string(),
        hint: error.hint(),
        fix_sql: error.fix_sql(),
    }
}

// === impl Preflight ===

impl Preflight {
    /// The findings that keep the pipeline from starting.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_no_table_is_left_is_said_where_nothing_else_says_why() {
        let finding = |code| Finding::failure("c", Side::Source, code, "d");
        let codes = |before: Vec<Finding>| {
            let found = vec![finding("NO_TABLES_MATCHED"), finding("WAL_LEVEL")];
            with_source(before, found).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(check_tables(&[])), ["NO_TABLES_MATCHED", "WAL_LEVEL"]);
        assert_eq!(codes(vec![Finding::warning("c", Side::Source, "PATTERN_EMPTY", "d")]).len(), 3);
        assert_eq!(codes(vec![finding("TABLE_NOT_FOUND")]), ["TABLE_NOT_FOUND", "WAL_LEVEL"]);
    }

    #[test]
    fn a_table_that_was_named_and_cannot_be_replicated_is_a_failure() {
        let left = |name: &str, code: &str| LeftOut {
            table: QualifiedName::new("public", name),
            code: code.to_owned(),
            detail: "d".to_owned(),
            hint: String::new(),
            fix_sql: None,
        };
        let all = [left("a", "TYPE_NARROWS"), left("b", "NO_REPLICA_IDENTITY"), left("p", PARTITION_OF_ROOT)];
        let codes = |patterns: &[&str]| {
            let patterns: Vec<Pattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            named_in_vain(&patterns, &all).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(&["public.*"]), [""; 0]);
        assert_eq!(codes(&["a", "public.p"]), ["TYPE_NARROWS"]);
        assert_eq!(codes(&["public.*", "b"]), ["NO_REPLICA_IDENTITY"]);
    }

    #[test]
    fn a_pattern_without_a_table_is_found() {
        let (orders, items) = (QualifiedName::new("public", "orders"), QualifiedName::new("shop", "items"));
        let names = [&orders, &items];
        let check = |pattern: &str, expected: Option<(Severity, &str)>| {
            let finding = check_pattern(&pattern.parse().unwrap(), &names);
            let found = finding.as_ref().map(|finding| (finding.severity, finding.code.as_str()));
            assert_eq!(found, expected, "{pattern}");
        };
        check("orders", None);
        check("shop.*", None);
        check("order", Some((Severity::Failure, "TABLE_NOT_FOUND")));
        check("Orders", Some((Severity::Failure, "TABLE_NOT_FOUND")));
        check("shop.x*", Some((Severity::Warning, "PATTERN_EMPTY")));
    }
}
