//! [`check`]: whether the source holds values that this route changes or stops at, before anything is made.
//!
//! Looks at the rows of the columns that can hold such values, at a bounded cost, and at the database's types, all of which
//! Debezium reads when it starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use segcdc_engine_native::{LeftOut, Preflight};
use segcdc_model::{Finding, Lsn, Side};
use segcdc_plan::TablePlan;
use segcdc_postgres::profile::{self, Matches};
use segcdc_postgres::{Session, SourceError};

use crate::carried::{Carried, carried};
use crate::exception::Exception;
use crate::layout::Layout;
use crate::source_connector::needs_reselect;

/// Name of the check.
const CHECK: &str = "connect.values";

/// How long all tables together are looked at. People wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Columns that are named of those that can hold such values.
const MAX_NAMED: usize = 3;

/// Types of which Debezium expects labels and finds none: an enum without any, and a domain over an enum. It reads all
/// types of the database, so that one that no table uses stops it too.
const UNREADABLE_TYPES: &str = "SELECT t.typtype::text, format('%I.%I', n.nspname, t.typname) FROM pg_catalog.pg_type t \
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typcategory = 'E' AND n.nspname <> 'pg_toast' \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) ORDER BY 2 LIMIT 20";

/// What was found about values.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Tables that hold values which would be changed, or stop the pipeline.
    pub(crate) left_out: Vec<LeftOut>,
    /// What a person should know.
    pub(crate) findings: Vec<Finding>,
}

/// A column and what can happen to its values.
type Doubt<'a> = (usize, &'a Exception);

/// Looks at the values of the tables.
///
/// # Errors
/// When the source cannot be asked.
pub(crate) async fn check(source: &Session, plans: &[Arc<TablePlan>]) -> Result<Found, SourceError> {
    let mut found = Found::default();
    let end = Instant::now() + PATIENCE;
    let mut unseen = Vec::new();
    for plan in plans {
        let doubts = doubts(plan);
        if doubts.is_empty() {
            continue;
        }
        let conditions: Vec<(usize, &str)> =
            doubts.iter().map(|(index, exception)| (*index, exception.condition)).collect();
        let left = end.saturating_duration_since(Instant::now());
        let matches = match left {
            Duration::ZERO => None,
            left => profile::matches(source, &plan.source, &conditions, left).await?,
        };
        match matches {
            None => unseen.push(plan.source.name.to_string()),
            Some(matches) => found.left_out.extend(judge(plan, &doubts, &matches)),
        }
    }
    if !unseen.is_empty() {
        let detail = format!(
            "the values of {} were not looked at: the role may not, or it takes more than {} s",
            unseen.join(", "),
            PATIENCE.as_secs()
        );
        found.findings.push(
            Finding::warning(CHECK, Side::Source, "VALUES_UNSEEN", detail)
                .hint("docs/reference/types-kafka-connect.md lists the values that this route changes"),
        );
    }
    found.findings.extend(unreadable_types(source).await?);
    Ok(found)
}

/// What can happen to the values of a table: harm only.
fn doubts(plan: &TablePlan) -> Vec<Doubt<'_>> {
    let mut doubts = Vec::new();
    for column in &plan.columns {
        let Some(source) = plan.source.columns.get(column.source_index) else { continue };
        if let Carried::Except(exceptions) = carried(source) {
            let harmful = exceptions.iter().filter(|exception| exception.outcome.does_harm());
            doubts.extend(harmful.map(|exception| (column.source_index, exception)));
        }
    }
    doubts
}

/// Whether a table holds such values; the first kind is named.
fn judge(plan: &TablePlan, doubts: &[Doubt<'_>], matches: &Matches) -> Option<LeftOut> {
    let ((index, exception), rows) = doubts.iter().zip(&matches.rows).find(|(_, rows)| **rows > 0)?;
    let column = &plan.source.columns.get(*index)?.name;
    let sample = if matches.share_ppm < 1_000_000 { " of a sample" } else { "" };
    Some(LeftOut {
        table: plan.source.name.clone(),
        code: "CONNECT_VALUE_UNSUPPORTED".to_owned(),
        detail: format!(
            "column \"{column}\" holds values in {rows} rows{sample} that this route does not carry: {exception}"
        ),
        hint: "change or delete these values at the source, or use the native engine for this table; \
               docs/reference/types-kafka-connect.md lists all of them"
            .to_owned(),
        fix_sql: None,
    })
}

/// What a person should know about values that are written later.
pub(crate) fn warning(plans: &[Arc<TablePlan>]) -> Option<Finding> {
    let mut columns = Vec::new();
    for plan in plans {
        for column in &plan.columns {
            let Some(source) = plan.source.columns.get(column.source_index) else { continue };
            if let Carried::Except(exceptions) = carried(source)
                && let Some(exception) = exceptions.iter().find(|exception| exception.outcome.does_harm())
            {
                columns.push(format!("{}.{} ({})", plan.source.name, column.name, exception.values));
            }
        }
    }
    let count = columns.len();
    if count == 0 {
        return None;
    }
    let more = if count > MAX_NAMED { format!(" and {} more", count - MAX_NAMED) } else { String::new() };
    columns.truncate(MAX_NAMED);
    let detail = format!(
        "single values of {count} columns would arrive changed, or stop a sink, if they were written: {}{more}",
        columns.join(", ")
    );
    Some(Finding::warning(CHECK, Side::Source, "CONNECT_VALUES_AT_RISK", detail).hint(
        "a CHECK constraint at the source keeps them out, and `segcdc verify` finds them; \
         docs/reference/types-kafka-connect.md lists them",
    ))
}

/// A failure when Debezium could not read the database's types.
async fn unreadable_types(source: &Session) -> Result<Option<Finding>, SourceError> {
    let rows = source.query_text(UNREADABLE_TYPES).await?;
    let types: Vec<(String, String)> = rows
        .into_iter()
        .filter_map(|row| {
            let mut fields = row.into_iter();
            Some((fields.next()??, fields.next()??))
        })
        .collect();
    Ok(judge_types(&types))
}

/// What types without labels come to; each with its kind, `d` for a domain.
fn judge_types(types: &[(String, String)]) -> Option<Finding> {
    if types.is_empty() {
        return None;
    }
    let names: Vec<&str> = types.iter().map(|(_, name)| name.as_str()).collect();
    let detail = format!(
        "Debezium cannot start in this database: it does not read domains over enums, nor enums without labels: {}",
        names.join(", ")
    );
    let mut finding = Finding::failure("connect.types", Side::Source, "CONNECT_TYPE_UNREADABLE", detail).hint(
        "it reads all types of the database, whether a table uses them or not: drop them, give enums a label, or use the \
         native engine",
    );
    for (kind, name) in types {
        finding = finding.fix(match kind.as_str() {
            "d" => format!("DROP DOMAIN {name}"),
            _ => format!("ALTER TYPE {name} ADD VALUE '...'"),
        });
    }
    Some(finding)
}

/// Leaves out the tables that hold values which this route does not carry. One that takes part already stays: to take it
/// out would not undo what happened, and a person is told.
pub(crate) fn leave_out(found: &mut Preflight, values: Found) {
    let takes_part = |oid: u32| {
        let complete = found.existing.as_ref().filter(|state| state.checkpoint.applied_lsn > Lsn::ZERO);
        complete.is_some_and(|state| state.tables.iter().any(|table| table.source_oid == oid))
    };
    let mut findings = values.findings;
    for left_out in values.left_out {
        let plan = found.plans.iter().position(|plan| plan.source.name == left_out.table);
        let Some((index, plan)) = plan.and_then(|index| Some((index, found.plans.get(index)?))) else {
            continue;
        };
        if takes_part(plan.source.oid) {
            let detail = format!("{}: {}", left_out.table, left_out.detail);
            findings.push(
                Finding::warning("connect.values", Side::Source, "CONNECT_VALUES_CHANGED", detail).hint(
                    "run `segcdc verify`, which finds the rows that arrived changed, and change the values",
                ),
            );
            continue;
        }
        found.plans.remove(index);
        found.left_out.push(left_out);
    }
    found.findings.extend(findings);
}

/// What a person should know about large values.
pub(crate) fn toast_finding(layout: &Layout) -> Option<Finding> {
    let tables: Vec<String> = layout
        .tables()
        .filter(|plan| needs_reselect(plan))
        .map(|plan| plan.source.name.to_string())
        .collect();
    let first = tables.first()?;
    let others = if tables.len() > 1 { format!(" and {} more", tables.len() - 1) } else { String::new() };
    let detail = format!(
        "large values that an UPDATE does not touch are read again from the source, for {first}{others}: one query for each \
         such change, and the value of that moment instead of the one of the change"
    );
    Some(
        Finding::warning("connect.toast", Side::Source, "CONNECT_RESELECT", detail).hint(
            "nothing has to be done: a later change follows. ALTER TABLE ... REPLICA IDENTITY FULL avoids the query, and \
             makes UPDATE and DELETE write more WAL",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::plan;
    use segcdc_engine_native::PlannedSql;
    use segcdc_model::PgType;
    use segcdc_plan::Rules;
    use segcdc_postgres::{SourceConfig, session};
    use segcdc_testkit::{PostgresCluster, PostgresOptions};

    #[test]
    fn a_table_with_such_a_value_is_left_out_by_name() {
        let plan = plan("public", "t", &[("ratio", PgType::Float8), ("day", PgType::Date)]);
        let doubts = doubts(&plan);
        // -0 does no harm and is not looked for.
        assert_eq!(doubts.len(), 4);
        let of = |rows: &[u64], share_ppm| judge(&plan, &doubts, &Matches { share_ppm, rows: rows.to_vec() });
        assert!(of(&[0, 0, 0, 0], 1_000_000).is_none());
        let left_out = of(&[0, 0, 0, 7], 1_000).unwrap();
        assert_eq!(left_out.code, "CONNECT_VALUE_UNSUPPORTED");
        assert_eq!(
            left_out.detail,
            "column \"day\" holds values in 7 rows of a sample that this route does not carry: infinities and years above \
             9999 stop the sink (VALUE_OUT_OF_RANGE)"
        );
    }

    #[tokio::test]
    async fn values_that_the_role_may_not_see_are_told_of() {
        let server = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
        server
            .execute("postgres", "CREATE TABLE t (id int, day date); CREATE ROLE blind LOGIN")
            .await
            .unwrap();
        let mut config = SourceConfig::parse(&server.url("postgres")).unwrap();
        let plans = [plan("public", "t", &[("day", PgType::Date)])];
        let codes = async |config: &SourceConfig| {
            let found = check(&session::connect(config).await.unwrap(), &plans).await.unwrap();
            found.findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(&config).await, [] as [&str; 0]);
        config.user = "blind".to_owned();
        assert_eq!(codes(&config).await, ["VALUES_UNSEEN"]);
    }

    #[test]
    fn a_table_that_takes_part_stays_and_is_told_of() {
        let plans =
            [plan("public", "t", &[("day", PgType::Date)]), plan("public", "u", &[("day", PgType::Date)])];
        let mut existing = crate::config::tests::state("{}");
        // Both plans are of one OID; the name tells them apart.
        existing.tables = vec![segcdc_engine_native::table_state(&plans[0], true)];
        let found = |existing| Preflight {
            findings: Vec::new(),
            plans: plans.to_vec(),
            left_out: Vec::new(),
            sql: PlannedSql::default(),
            existing,
            rules: Rules::default(),
        };
        let values = || Found {
            left_out: vec![LeftOut {
                table: plans[0].source.name.clone(),
                code: "CONNECT_VALUE_UNSUPPORTED".to_owned(),
                detail: "an infinity".to_owned(),
                hint: String::new(),
                fix_sql: None,
            }],
            findings: Vec::new(),
        };
        let mut new = found(None);
        leave_out(&mut new, values());
        assert_eq!((new.plans.len(), new.left_out.len(), new.findings.len()), (1, 1, 0));
        let mut running = found(Some(existing));
        leave_out(&mut running, values());
        assert_eq!((running.plans.len(), running.left_out.len()), (2, 0), "what happened is not undone");
        assert_eq!(running.findings[0].code, "CONNECT_VALUES_CHANGED");
        assert!(running.findings[0].detail.contains("public.t: an infinity"), "{:?}", running.findings);
    }

    #[test]
    fn columns_at_risk_are_named_once() {
        let plans = [plan("public", "t", &[("ratio", PgType::Float8), ("note", PgType::Text)])];
        let finding = warning(&plans).unwrap();
        assert_eq!(finding.code, "CONNECT_VALUES_AT_RISK");
        assert!(finding.detail.contains("public.t.ratio (NaN and infinities)"), "{finding:?}");
        assert!(!finding.detail.contains("note"), "{finding:?}");
        assert!(warning(&[plan("public", "t", &[("note", PgType::Text)])]).is_none());
    }

    #[test]
    fn types_that_debezium_cannot_read_are_named() {
        assert!(judge_types(&[]).is_none());
        let types = [("d", "public.feeling"), ("e", "public.empty")];
        let types = types.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        let finding = judge_types(&types).unwrap();
        assert_eq!(finding.code, "CONNECT_TYPE_UNREADABLE");
        assert_eq!(
            finding.fix_sql,
            ["DROP DOMAIN public.feeling", "ALTER TYPE public.empty ADD VALUE '...'"]
        );
    }

    #[test]
    fn large_values_are_told_about_once() {
        let layout = |columns: &[(&str, PgType)]| Layout::new("p", "s", "p", &[plan("public", "t", columns)]);
        assert!(toast_finding(&layout(&[("n", PgType::Int8)])).is_none());
        assert_eq!(toast_finding(&layout(&[("n", PgType::Text)])).unwrap().code, "CONNECT_RESELECT");
    }
}
