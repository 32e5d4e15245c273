//! Random values of every type: both forms mean the same, and what the target can hold arrives.

use anyhow::{Context, Result, ensure};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use segcdc_model::{Field, PgType, Value};
use segcdc_plan::{canonical, convert};
use segcdc_postgres::snapshot::{copy, key_filter};
use segcdc_postgres::{CopyRequest, Pattern, SourceConfig, catalog, session};
use segcdc_testkit::values::{Span, TYPES};
use segcdc_testkit::{PostgresCluster, PostgresOptions};

use super::super::stage::{DATABASE, Stage};

/// Rows of random values; every value of every row is one trial of its type's property.
const ROWS: usize = 150;

/// CREATE TABLE with a column for each type.
fn create(table: &str) -> String {
    let columns = TYPES.iter().enumerate().map(|(index, (pg_type, _))| format!("c{index} {pg_type}"));
    format!("CREATE TABLE {table} (id int PRIMARY KEY, {})", columns.collect::<Vec<_>>().join(", "))
}

/// Rows of random values.
fn fill(table: &str, span: Span, first: usize) -> Result<String> {
    let mut runner = TestRunner::default();
    let mut sql = String::new();
    for id in first..first + ROWS {
        let mut values = vec![id.to_string()];
        for (pg_type, strategy) in TYPES {
            let tree = strategy(span).new_tree(&mut runner);
            let value = tree.map_err(|reason| anyhow::anyhow!("{pg_type}: {reason}"))?.current();
            values.push(format!("CAST({value} AS {pg_type})"));
        }
        sql.push_str(&format!("INSERT INTO {table} VALUES ({});\n", values.join(", ")));
    }
    Ok(sql)
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
    let cluster = PostgresCluster::start(PostgresOptions::default()).await?;
    cluster.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
    let client = cluster.connect(DATABASE).await?;
    client.batch_execute(&create("wild")).await?;
    client.batch_execute(&fill("wild", Span::All, 0)?).await?;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_arrive() -> Result<()> {
    let mut stage = Stage::start("matrix_random").await?;
    let client = stage.source().await?;
    client.batch_execute(&create("tame")).await?;
    client.batch_execute(&fill("tame", Span::Representable, 0)?).await?;
    check_literals(&stage.source, "tame").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&["tame"]).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    client.batch_execute(&fill("tame", Span::Representable, 1000)?).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&["tame"]).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}
