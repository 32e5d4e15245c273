//! The type matrix over Kafka Connect: what the page of types says of each type and value is what happens.
//!
//! ```text
//! tests/matrix/types.txt --> carried exactly     by the copy and by the stream, compared by clients that are not ours
//!                            refused             its table is left out, by name
//!                            single values       the table that holds one is left out; written later they become what the
//!                                                page says, or stop their sink with the code that it says
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use segcdc_engine_kafka_connect::carried::{Carried, carried, documented, row};
use segcdc_engine_kafka_connect::exception::{Exception, Outcome};
use segcdc_model::SourceColumn;
use segcdc_postgres::{Pattern, SourceConfig, catalog, session};
use segcdc_tds::Datum;
use segcdc_testkit::connect;
use serde_json::Value;

use super::super::matrix::cases::{self, Case};
use super::super::stage::{DATABASE, PATIENCE, Stage};

/// Values that arrive as others, and as which. Those of years before 1 arrive as well; the target cannot hold what they were.
const ARRIVES_AS: &[(&str, &str, &str)] = &[
    ("real", "'-0'", "0"),
    ("real", "'NaN'", "0"),
    ("real", "'Infinity'", "0"),
    ("real", "'-Infinity'", "0"),
    ("double precision", "'-0'", "0"),
    ("double precision", "'NaN'", "0"),
    ("double precision", "'Infinity'", "0"),
    ("double precision", "'-Infinity'", "0"),
    ("date", "'1582-10-10'", "1582-10-20"),
    ("timestamptz", "'0001-01-01 00:00:00+00'", "0001-01-03 00:00:00.000000 +00:00"),
    ("timestamptz", "'0001-01-01 00:00:00-15:59:59'", "0001-01-03 15:59:59.000000 +00:00"),
    ("timestamptz", "'0001-01-01 00:00:00+14'", "0001-01-02 10:00:00.000000 +00:00"),
    ("timestamptz", "'infinity'", "9999-12-31 23:59:59.000000 +00:00"),
    ("timestamptz", "'-infinity'", "0001-01-03 00:00:00.000000 +00:00"),
];

/// Large values of all types that can have them, and a column to change beside them.
const TOAST: &str = "CREATE TABLE toast (id int PRIMARY KEY, touched int, a text, b varchar, c char(9000), d bytea, e json, \
     f jsonb, g tsvector, h citext); \
     INSERT INTO toast SELECT n, 0, t, t, t, convert_to(t, 'UTF8'), to_json(t), to_jsonb(t), v::tsvector, t FROM generate_series(1, 3) n, \
     LATERAL (SELECT string_agg(md5((n * i)::text), '') t, string_agg(md5((n * i)::text), ' ') v FROM generate_series(1, 250) i) x;";

/// A case with its column, its number, and its values by what becomes of them.
struct Tried<'a> {
    number: usize,
    case: &'a Case,
    column: SourceColumn,
    exact: Vec<String>,
    /// Values that meet the condition of an exception.
    others: Vec<(&'static Exception, String)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_as_the_page_says() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = super::start("zoo").await?;
    let mut cases = cases::prepare(&stage.source, DATABASE).await?;
    unreadable_type_is_refused(&mut stage, &mut cases).await?;
    let tried = sort(&stage, &cases).await?;
    every_row_is_tried(&tried)?;

    stage.source().await?.batch_execute(&setup(&tried)?).await?;
    left_out_by_name(&mut stage, &tried).await?;
    stage.source.execute(DATABASE, &empty(&tried)).await?;
    let up = ["up", "--yes", "--until-caught-up"];
    stage.product.succeed(&up).await.with_context(|| super::errors_of(&cluster.worker_log()))?;
    equal(&stage, &tried, "by the copy").await?;

    stage.source().await?.batch_execute(&changes(&tried)?).await?;
    stage.product.succeed(&up).await.with_context(|| super::errors_of(&cluster.worker_log()))?;
    equal(&stage, &tried, "by the stream").await?;
    arrives_changed_as_stated(&stage, &tried).await?;
    sinks_stop_as_stated(&mut stage, &tried).await
}

/// One type of the database stops Debezium, though no table uses it: `plan` says so, and what it proposes mends it.
async fn unreadable_type_is_refused(stage: &mut Stage, cases: &mut Vec<Case>) -> Result<()> {
    stage.source.execute(DATABASE, TOAST).await?;
    let plan = stage.product.run(&["plan", "-o", "json"]).await?;
    ensure!(plan.status.code() == Some(2), "{plan}");
    let plan = super::json(&plan)?;
    let findings = plan["findings"].as_array().context("findings")?;
    let finding = findings.iter().find(|finding| finding["code"] == "CONNECT_TYPE_UNREADABLE");
    let fix = finding.context("no finding")?["fix_sql"][0].as_str().context("a fix")?.to_owned();
    ensure!(fix == "DROP DOMAIN matrix.feeling", "{fix}");
    stage.source.execute(DATABASE, &fix).await?;
    cases.retain(|case| case.pg_type != "matrix.feeling");
    Ok(())
}

/// Asks the product what it says of each type, and the source which values meet which exception.
async fn sort<'a>(stage: &Stage, cases: &'a [Case]) -> Result<Vec<Tried<'a>>> {
    let client = stage.source().await?;
    let mut create = String::from("CREATE SCHEMA probe;");
    for (number, case) in cases.iter().enumerate() {
        write!(create, "CREATE TABLE probe.p{number:03} (id int PRIMARY KEY, v {});", case.pg_type)?;
        for (id, value) in case.values.iter().chain(&case.refused).enumerate() {
            write!(
                create,
                "INSERT INTO probe.p{number:03} VALUES ({id}, CAST({value} AS {}));",
                case.pg_type
            )?;
        }
    }
    client.batch_execute(&create).await?;
    let session = session::connect(&SourceConfig::parse(&stage.source.url(DATABASE))?).await?;
    let mut tables = catalog::tables(&session, &[Pattern::parse("probe.*")?]).await?;
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    ensure!(tables.len() == cases.len(), "{} tables for {} types", tables.len(), cases.len());
    let mut tried = Vec::new();
    for ((number, case), table) in cases.iter().enumerate().zip(tables) {
        let column = table.columns.get(1).context("the column")?.clone();
        let (mut exact, mut others) = (Vec::new(), Vec::new());
        let exceptions = match carried(&column) {
            Carried::Except(exceptions) => exceptions,
            Carried::Exactly | Carried::Refused(_) => &[],
        };
        for (id, value) in case.values.iter().chain(&case.refused).enumerate() {
            let mut met = Vec::new();
            for exception in exceptions {
                let condition = exception.condition.replace("{}", "v");
                let sql =
                    format!("SELECT coalesce(({condition}), false) FROM probe.p{number:03} WHERE id = {id}");
                if client.query_one(&sql, &[]).await?.get(0) {
                    met.push(exception);
                }
            }
            ensure!(met.len() <= 1, "{value} of {} meets {met:?}", case.pg_type);
            match met.pop() {
                Some(exception) => others.push((exception, value.clone())),
                None => exact.push(value.clone()),
            }
        }
        tried.push(Tried { number, case, column, exact, others });
    }
    client.batch_execute("DROP SCHEMA probe CASCADE").await?;
    Ok(tried)
}

/// Every row of the page has values here, and every exception of it.
fn every_row_is_tried(tried: &[Tried<'_>]) -> Result<()> {
    let rows: BTreeSet<&str> = tried.iter().map(|tried| row(&tried.column)).collect();
    for (documented_row, column) in documented() {
        ensure!(rows.contains(documented_row), "{documented_row} is on the page and is not tried");
        let Carried::Except(exceptions) = carried(&column) else { continue };
        for exception in exceptions {
            let met = tried.iter().any(|tried| {
                row(&tried.column) == documented_row && tried.others.iter().any(|(met, _)| *met == exception)
            });
            ensure!(met, "{documented_row}: no value shows that {exception}");
        }
    }
    Ok(())
}

// === impl Tried ===

impl Tried<'_> {
    /// The table of the values that arrive exactly, or of a type that is refused.
    fn table(&self) -> String {
        format!("t{:03}", self.number)
    }

    fn is_refused(&self) -> bool {
        matches!(carried(&self.column), Carried::Refused(_))
    }

    /// A table for each other value, with its schema: one that stops its sink has a schema of its own, and with it a sink.
    fn others(&self) -> impl Iterator<Item = (String, String, &'static Exception, &str)> {
        self.others.iter().enumerate().map(|(index, (exception, value))| {
            let name = format!("o{:03}_{index}", self.number);
            let schema = if self.stops_alone(index) { format!("s{name}") } else { "public".to_owned() };
            (schema, name, *exception, value.as_str())
        })
    }

    /// Whether the value is the first of its exception, which stops a sink.
    fn stops_alone(&self, index: usize) -> bool {
        let Some((exception, _)) = self.others.get(index) else { return false };
        let first = self.others.iter().position(|(other, _)| other == exception);
        // One type of each row is enough: each costs a sink.
        matches!(exception.outcome, Outcome::Stops(_)) && first == Some(index) && self.is_first_of_row()
    }

    fn is_first_of_row(&self) -> bool {
        ["numeric(12,2)", "date", "time", "timestamp", "timestamptz"].contains(&self.case.pg_type.as_str())
    }
}

/// All tables; those of other values hold them.
fn setup(tried: &[Tried<'_>]) -> Result<String> {
    let mut sql = String::new();
    for tried in tried {
        let (table, pg_type) = (tried.table(), &tried.case.pg_type);
        write!(
            sql,
            "CREATE TABLE {table} (id int PRIMARY KEY, v {pg_type}); INSERT INTO {table} VALUES (999, NULL);"
        )?;
        for (id, value) in tried.exact.iter().enumerate() {
            write!(sql, "INSERT INTO {table} VALUES ({id}, CAST({value} AS {pg_type}));")?;
        }
        for (schema, name, _, value) in tried.others() {
            write!(sql, "CREATE SCHEMA IF NOT EXISTS {schema};")?;
            write!(sql, "CREATE TABLE {schema}.{name} (id int PRIMARY KEY, v {pg_type});")?;
            write!(sql, "INSERT INTO {schema}.{name} VALUES (1, CAST({value} AS {pg_type}));")?;
        }
    }
    Ok(sql)
}

/// Takes the other values out again.
fn empty(tried: &[Tried<'_>]) -> String {
    let others = tried.iter().flat_map(Tried::others);
    others.map(|(schema, name, ..)| format!("DELETE FROM {schema}.{name};")).collect()
}

/// `plan` leaves out the tables of refused types and of other values that do harm, and no others.
async fn left_out_by_name(stage: &mut Stage, tried: &[Tried<'_>]) -> Result<()> {
    let plan = super::json(&stage.product.succeed(&["plan", "-o", "json"]).await?)?;
    let mut found = BTreeMap::new();
    for left_out in plan["left_out"].as_array().context("left_out")? {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let table = format!("{}.{}", text(&left_out["table"]["schema"]), text(&left_out["table"]["name"]));
        if left_out["code"] == "TABLE_NOT_STREAMABLE" {
            ensure!(table == "matrix.ordinary", "the cases have one view: {left_out}");
            continue;
        }
        ensure!(text(&left_out["detail"]).contains("column \"v\""), "{left_out}");
        found.insert(table, text(&left_out["code"]));
    }
    let mut expected = BTreeMap::new();
    for tried in tried {
        if tried.is_refused() {
            expected.insert(format!("public.{}", tried.table()), "CONNECT_TYPE_UNSUPPORTED".to_owned());
        }
        for (schema, name, exception, _) in tried.others() {
            if exception.outcome.does_harm() {
                expected.insert(format!("{schema}.{name}"), "CONNECT_VALUE_UNSUPPORTED".to_owned());
            }
        }
    }
    ensure!(found == expected, "found {found:#?}, expected {expected:#?}");
    let risk = plan["findings"].as_array().context("findings")?.iter();
    ensure!(risk.filter(|finding| finding["code"] == "CONNECT_VALUES_AT_RISK").count() == 1, "no warning");
    Ok(())
}

/// New rows with all values, the old ones under other keys, and the other values that do not stop a sink.
fn changes(tried: &[Tried<'_>]) -> Result<String> {
    let mut sql = String::from("UPDATE toast SET touched = 1; UPDATE toast SET id = 30 WHERE id = 3;");
    for tried in tried.iter().filter(|tried| !tried.is_refused()) {
        let (table, pg_type) = (tried.table(), &tried.case.pg_type);
        write!(sql, "UPDATE {table} SET id = id + 5000 WHERE id < 900;")?;
        for (id, value) in tried.exact.iter().enumerate() {
            write!(sql, "INSERT INTO {table} VALUES ({}, CAST({value} AS {pg_type}));", 1000 + id)?;
        }
        for (schema, name, exception, value) in tried.others() {
            if !matches!(exception.outcome, Outcome::Stops(_)) {
                write!(sql, "INSERT INTO {schema}.{name} VALUES (1, CAST({value} AS {pg_type}));")?;
            }
        }
    }
    Ok(sql)
}

/// What is stated as exact is equal.
async fn equal(stage: &Stage, tried: &[Tried<'_>], when: &str) -> Result<()> {
    let tables: Vec<String> = tried.iter().filter(|tried| !tried.is_refused()).map(Tried::table).collect();
    let mut names: Vec<&str> = tables.iter().map(String::as_str).collect();
    names.push("toast");
    let compared = stage.compare(&names).await?;
    let differing = compared.tables.iter().filter(|table| table.missing + table.extra > 0);
    let differing: Vec<_> = differing.map(|table| (&table.table, &table.columns)).collect();
    ensure!(differing.is_empty(), "{when}: {differing:#?}");
    Ok(())
}

/// What is stated to arrive as something else does so.
async fn arrives_changed_as_stated(stage: &Stage, tried: &[Tried<'_>]) -> Result<()> {
    let mut target = stage.target().await?;
    let mut shown = BTreeSet::new();
    for tried in tried {
        for (_, name, exception, value) in tried.others() {
            if matches!(exception.outcome, Outcome::Stops(_)) {
                continue;
            }
            let sql = format!("SELECT CAST([v] AS nvarchar(60)) FROM {}", stage.target_table(&name));
            let answer = target.batch(&sql).await?;
            let Some([Datum::Text(found)]) = answer.first_row() else {
                anyhow::bail!("{value} of {} did not arrive: {answer:?}", tried.case.pg_type);
            };
            let known = ARRIVES_AS.iter().find(|known| (known.0, known.1) == (&tried.case.pg_type, value));
            match known {
                Some((pg_type, _, expected)) => {
                    ensure!(found == expected, "{value} of {pg_type} arrived as {found}");
                    shown.insert((*pg_type, value));
                }
                None => ensure!(value.contains("BC"), "{value} of {} arrived as {found}", tried.case.pg_type),
            }
        }
    }
    ensure!(shown.len() == ARRIVES_AS.len(), "{shown:?}");
    Ok(())
}

/// What is stated to stop a sink does so, with the stated code, and nothing of it arrives.
async fn sinks_stop_as_stated(stage: &mut Stage, tried: &[Tried<'_>]) -> Result<()> {
    let mut expected = BTreeMap::new();
    for tried in tried {
        for (schema, name, exception, value) in tried.others() {
            let Outcome::Stops(code) = exception.outcome else { continue };
            if schema == "public" {
                continue;
            }
            let sql =
                format!("INSERT INTO {schema}.{name} VALUES (1, CAST({value} AS {}))", tried.case.pg_type);
            stage.source.execute(DATABASE, &sql).await?;
            expected.insert(schema, code.to_owned());
        }
    }
    ensure!(expected.len() == 5, "{expected:?}");
    let end = Instant::now() + PATIENCE;
    loop {
        let status = super::json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
        let connectors = status["connectors"].as_array().context("connectors")?;
        let found = |schema: &str| {
            let ours = connectors
                .iter()
                .find(|connector| connector["name"].as_str().is_some_and(|name| name.contains(schema)));
            ours.map_or(Value::Null, |connector| connector["cause"]["code"].clone())
        };
        let seen: BTreeMap<_, _> = expected.keys().map(|schema| (schema.clone(), found(schema))).collect();
        if expected.iter().all(|(schema, code)| seen.get(schema).is_some_and(|found| found == code.as_str()))
        {
            break;
        }
        ensure!(Instant::now() < end, "expected {expected:#?}, seen {seen:#?}");
    }
    let ended = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(ended.error_code() == Some("CONNECTOR_TASK_FAILED"), "{ended}");
    ensure!(ended.stderr.contains("VALUE_"), "{ended}");
    Ok(())
}
