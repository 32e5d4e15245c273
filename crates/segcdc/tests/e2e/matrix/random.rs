//! Random values of every type: both forms mean the same, what the target can hold arrives, and the rest is set aside.
//!
//! Values come from one seed, which is printed: `SEGCDC_SEED=7` draws the same ones again.

use anyhow::{Context, Result, ensure};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use segcdc_model::{Field, PgType, Value};
use segcdc_plan::{canonical, convert};
use segcdc_postgres::snapshot::{copy, key_filter};
use segcdc_postgres::{CopyRequest, Pattern, SourceConfig, catalog, session};
use segcdc_testkit::values::{Entry, Span, runner};
use segcdc_testkit::{PostgresCluster, PostgresOptions};

use super::super::independent;
use super::super::stage::{DATABASE, Stage};
use super::{cases, ensure_streamed};

/// Rows of random values; every value of every row is one trial of its type's property.
const ROWS: usize = 150;

/// What draws the values of a test, and says how to draw them again.
pub(super) fn drawer(test: &str) -> Result<TestRunner> {
    let given = std::env::var("SEGCDC_SEED").ok();
    let seed = given.map_or_else(|| Ok(rand::random()), |seed| seed.parse())?;
    eprintln!("{test}: SEGCDC_SEED={seed}");
    Ok(runner(seed))
}

/// One random value, with its type.
fn draw(entry: &Entry, span: Span, runner: &mut TestRunner) -> Result<String> {
    let tree = (entry.strategy)(span).new_tree(runner);
    let value = tree.map_err(|reason| anyhow::anyhow!("{}: {reason}", entry.pg_type))?.current();
    Ok(format!("CAST({value} AS {})", entry.pg_type))
}

/// CREATE TABLE with a column for each type.
fn create(table: &str, entries: &[Entry]) -> String {
    let columns = entries.iter().enumerate().map(|(index, entry)| format!("c{index} {}", entry.pg_type));
    format!("CREATE TABLE {table} (id int PRIMARY KEY, {})", columns.collect::<Vec<_>>().join(", "))
}

/// Inserts rows of random values, one by one, so that an expression that PostgreSQL does not take is told.
async fn fill(
    source: &PostgresCluster,
    table: &str,
    entries: &[Entry],
    span: Span,
    first: usize,
    runner: &mut TestRunner,
) -> Result<()> {
    let client = source.connect(DATABASE).await?;
    client.batch_execute("BEGIN").await?;
    for id in first..first + ROWS {
        let mut values = vec![id.to_string()];
        for entry in entries {
            values.push(draw(entry, span, runner)?);
        }
        let sql = format!("INSERT INTO {table} VALUES ({})", values.join(", "));
        client.batch_execute(&sql).await.with_context(|| sql)?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Checks one value in both forms.
fn check(pg_type: &PgType, text: Option<&str>, copied: Field<'_>) -> Result<()> {
    let Some(text) = text else {
        ensure!(copied == Field::Null, "NULL was copied as {copied:?}");
        return Ok(());
    };
    let printed = Field::Text(text.as_bytes());
    if !pg_type.has_exact_binary_form() {
        ensure!(copied == printed, "copied as {copied:?}");
        return Ok(());
    }
    ensure!(matches!(copied, Field::Binary(_)), "not in binary form: {copied:?}");
    let (of_text, of_binary) = (convert::decode(pg_type, printed)?, convert::decode(pg_type, copied)?);
    let same = match (of_text, of_binary) {
        // One is the digits of the other; canonical text tells whether they are the same bytes.
        (Value::HexBytes(_), Value::Bytes(_)) => true,
        (Value::Float4(left), Value::Float4(right)) => left.to_bits() == right.to_bits(),
        (Value::Float8(left), Value::Float8(right)) => left.to_bits() == right.to_bits(),
        (left, right) => left == right,
    };
    ensure!(same, "{of_text:?} is not {of_binary:?}");
    let of_text = canonical::canonical_text(pg_type, printed)?;
    ensure!(of_text == canonical::canonical_text(pg_type, copied)?, "canonical texts differ: {of_text:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_random_values_mean_the_same() -> Result<()> {
    let mut runner = drawer("both forms")?;
    let cluster = PostgresCluster::start(PostgresOptions::default()).await?;
    cluster.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
    let entries = cases::random(&cluster, DATABASE).await?;
    cluster.execute(DATABASE, &create("wild", &entries)).await?;
    fill(&cluster, "wild", &entries, Span::All, 0, &mut runner).await?;
    let config = SourceConfig::parse(&cluster.url(DATABASE))?;
    let session = session::connect(&config).await?;
    let table = catalog::tables(&session, &[Pattern::parse("wild")?]).await?.pop().context("the table")?;
    let printed = session.query_text("SELECT * FROM public.wild ORDER BY id").await?;
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let request = CopyRequest { order_by: &[0], ..CopyRequest::new(&table, &columns) };
    let mut copied = copy(&config, request).await?;
    for texts in &printed {
        let row = copied.next().await?.context("COPY has fewer rows")?;
        for (index, (column, text)) in table.columns.iter().zip(texts).enumerate() {
            let field = row.get(index).context("COPY has fewer fields")?;
            check(&column.pg_type, text.as_deref(), field)
                .with_context(|| format!("{} {:?}", column.type_name, text))?;
        }
    }
    ensure!(printed.len() == ROWS && copied.next().await?.is_none(), "COPY has more rows");
    Ok(())
}

/// Checks that PostgreSQL finds each row by the canonical text of each of its values, as `verify` asks for keys.
async fn check_literals(cluster: &PostgresCluster, name: &str) -> Result<()> {
    let config = SourceConfig::parse(&cluster.url(DATABASE))?;
    let session = session::connect(&config).await?;
    let table = catalog::tables(&session, &[Pattern::parse(name)?]).await?.pop().context("the table")?;
    let printed = session.query_text(&format!("SELECT * FROM public.{name} ORDER BY id")).await?;
    for (index, column) in table.columns.iter().enumerate() {
        // json and point have no equality.
        if !column.pg_type.has_exact_binary_form() || column.pg_type == PgType::Json {
            continue;
        }
        let mut conditions = Vec::new();
        for row in &printed {
            let (id, text) = (&row[0], row[index].as_deref().context("no value is NULL")?);
            let canonical = canonical::canonical_text(&column.pg_type, Field::Text(text.as_bytes()))?;
            let canonical = canonical.context("a canonical text")?;
            let literal = canonical::source_text(&column.pg_type, &canonical).into_owned();
            let filter = key_filter(&table, &[index], &[vec![literal]])?;
            conditions.push(format!("id = {} AND {filter}", id.as_deref().context("the id")?));
        }
        let sql = format!("SELECT count(*) FROM public.{name} WHERE {}", conditions.join(" OR "));
        let found = session.query_text(&sql).await.with_context(|| column.type_name.clone())?;
        ensure!(found == [[Some(printed.len().to_string())]], "{}: {found:?}", column.type_name);
    }
    Ok(())
}

/// Copies a table of random values, and lets others follow by the stream; two clients of others compare.
pub(super) async fn arrive(
    stage: &mut Stage,
    entries: &[Entry],
    runner: &mut TestRunner,
    binary: bool,
) -> Result<()> {
    stage.source.execute(DATABASE, &create("tame", entries)).await?;
    fill(&stage.source, "tame", entries, Span::Representable, 0, runner).await?;
    check_literals(&stage.source, "tame").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&["tame"]).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    fill(&stage.source, "tame", entries, Span::Representable, 1000, runner).await?;
    // Each row of the copy gets the values of one of the stream, some of them of another length.
    let set: Vec<String> = (0..entries.len()).map(|index| format!("c{index} = n.c{index}")).collect();
    let update = format!("UPDATE tame t SET {} FROM tame n WHERE n.id = t.id + 1000", set.join(", "));
    stage.source.execute(DATABASE, &update).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&["tame"]).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    let tables = ["tame"];
    let again = independent::compare_by("pymssql", &stage.source, DATABASE, &stage.target, &tables).await?;
    ensure!(again.equal, "by pymssql: {again:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    ensure_streamed(stage, binary)
}

/// A source whose log shows in which form the stream was asked for.
async fn logged_stage(name: &str) -> Result<Stage> {
    Stage::start_with(name, PostgresOptions::default().setting("log_replication_commands", "on")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_of_every_type_arrive_as_text() -> Result<()> {
    let mut runner = drawer("as text")?;
    let mut stage = logged_stage("random_text").await?;
    let entries = cases::random(&stage.source, DATABASE).await?;
    arrive(&mut stage, &entries, &mut runner, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_of_types_with_a_binary_decoder_arrive_as_binary() -> Result<()> {
    let mut runner = drawer("as binary")?;
    let mut stage = logged_stage("random_binary").await?;
    let entries = cases::random(&stage.source, DATABASE).await?;
    stage.source.execute(DATABASE, &create("probe", &entries)).await?;
    let session = session::connect(&SourceConfig::parse(&stage.source.url(DATABASE))?).await?;
    let probe = catalog::tables(&session, &[Pattern::parse("probe")?]).await?.pop().context("the probe")?;
    stage.source.execute(DATABASE, "DROP TABLE probe").await?;
    let columns = probe.columns.iter().skip(1);
    let binary = entries.iter().zip(columns).filter(|(_, column)| column.pg_type.has_exact_binary_form());
    let entries: Vec<Entry> = binary.map(|(entry, _)| *entry).collect();
    ensure!(entries.len() > 35, "few types have a binary decoder: {}", entries.len());
    arrive(&mut stage, &entries, &mut runner, true).await
}

/// Notes the versions of rows that fit: what the target has of them until others fit.
const KEEP: &str = "
    DELETE FROM expected.kept WHERE id IN (SELECT id FROM expected.fitting);
    INSERT INTO expected.kept SELECT * FROM expected.fitting;";

/// The value of one column of each row of a part is drawn anew, whether the target holds it or not.
async fn redraw(
    source: &PostgresCluster,
    entries: &[Entry],
    rows: std::ops::Range<usize>,
    runner: &mut TestRunner,
) -> Result<()> {
    let mut sql = String::from("BEGIN;");
    for id in rows {
        let column = id % entries.len();
        let value = draw(&entries[column], Span::All, runner)?;
        sql += &format!(
            "INSERT INTO wild (id, c{column}) VALUES ({id}, {value}) ON CONFLICT (id) DO UPDATE SET c{column} = excluded.c{column};"
        );
    }
    source.execute(DATABASE, &(sql + "COMMIT")).await
}

/// Every row is in the target as it is, or is kept in a letter and is there as it was when it fitted last, if it ever did. Which
/// values fit says PostgreSQL.
async fn ensure_accounted(stage: &mut Stage, when: &str) -> Result<i64> {
    stage.source.execute(DATABASE, KEEP).await?;
    let schema = stage.target.default_schema.clone();
    let found = stage.compare_pairs(&[["expected", "kept", &schema, "wild"]]).await?;
    ensure!(found.equal, "{when}: {found:#?}, halted: {:?}", stage.quarantined().await?);
    let count = "SELECT (SELECT count(*) FROM wild) - (SELECT count(*) FROM expected.fitting)";
    let aside: i64 = stage.source().await?.query_one(count, &[]).await?.get(0);
    let letters = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL";
    let letters = stage.target_number(letters).await?;
    ensure!(letters == aside, "{when}: {letters} letters of {aside} rows that do not fit");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{when}: {verify}");
    Ok(aside)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_that_do_not_fit_are_set_aside_and_no_others() -> Result<()> {
    let mut runner = drawer("set aside")?;
    let mut stage = Stage::start("random_aside").await?;
    let mut entries = cases::random(&stage.source, DATABASE).await?;
    entries.retain(|entry| !entry.held.is_empty());
    ensure!(entries.len() > 14, "few types have values that the target does not hold");
    let held = entries.iter().enumerate().map(|(index, entry)| {
        let column = format!("c{index}");
        format!("({column} IS NULL OR {})", entry.held.replace('$', &column))
    });
    let view = format!(
        "CREATE SCHEMA expected; CREATE TABLE expected.kept (LIKE wild); \
         CREATE VIEW expected.fitting AS SELECT * FROM wild WHERE {}",
        held.collect::<Vec<_>>().join(" AND ")
    );
    stage.source.execute(DATABASE, &format!("{}; {view}", create("wild", &entries))).await?;
    redraw(&stage.source, &entries, 0..200, &mut runner).await?;
    let up = ["up", "--yes", "--until-caught-up", "--tables", "wild", "--on-value", "set_aside"];
    stage.product.succeed(&up).await?;
    let mut aside = ensure_accounted(&mut stage, "by the copy").await?;
    // Rows that fit become rows that do not, and the other way round.
    for rows in [100..300, 150..250] {
        redraw(&stage.source, &entries, rows, &mut runner).await?;
        stage.product.succeed(&up[..3]).await?;
        aside = aside.min(ensure_accounted(&mut stage, "by the stream").await?);
    }
    ensure!(aside > 10, "nearly all values fit");
    Ok(())
}
