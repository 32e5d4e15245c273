//! [`cut`]: the stream of a publication ends at a position, for all of its tables at once.
//!
//! ```text
//! LOCK the tables IN SHARE MODE       waits for the transactions that write them, and lets none begin to
//! P = end of the WAL                  whoever wrote has committed before P, whoever writes next commits behind it
//! ALTER PUBLICATION ... DROP          the walsender reads the catalog as it was at each change: from here on it passes
//!                                     over changes of these tables, whoever reads the slot and however often
//! COMMENT ON PUBLICATION ... P        P cannot be lost: it is part of the same transaction
//! ```
//!
//! The lock is held for the time of three statements. It is given up after half of what PostgreSQL waits before it looks for
//! a deadlock, and asked for again a moment later, so that no transaction of the application is ever chosen as the victim
//! of one.

use std::time::Duration;

use segcdc_model::{Lsn, QualifiedName};
use segcdc_postgres::{Session, SourceConfig, SourceError, publication, quote, session};
use tokio::time::{Instant, sleep};

use crate::error::ConnectError;

/// How long a moment without a writer is looked for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Pause between two attempts; a third of it is added with each, up to eight times as much, so that writers get on.
const PAUSE: Duration = Duration::from_millis(150);

/// SQLSTATEs of an attempt that came at the wrong moment: query_canceled (statement_timeout), lock_not_available,
/// deadlock_detected.
const BUSY: [&str; 3] = ["57014", "55P03", "40P01"];

/// What the comment of a publication begins with whose stream ends.
fn mark(successor: &str) -> String {
    format!("segcdc: goes on in slot {successor} from ")
}

/// Ends the stream of `publication` for these tables; says where. `successor` names the slot that goes on there. Safe to
/// repeat: a stream that ended already is not ended again.
///
/// # Errors
/// `MIGRATE_TABLES_BUSY`; the source's.
pub(super) async fn cut(
    config: &SourceConfig,
    pipeline: &str,
    publication: &str,
    tables: &[QualifiedName],
    successor: &str,
) -> Result<Lsn, ConnectError> {
    let end = Instant::now() + PATIENCE;
    cut_before(config, pipeline, publication, (tables, successor), end).await
}

/// [`cut`], given up with the first attempt that fails behind `end`.
async fn cut_before(
    config: &SourceConfig,
    pipeline: &str,
    publication: &str,
    (tables, successor): (&[QualifiedName], &str),
    end: Instant,
) -> Result<Lsn, ConnectError> {
    let started = Instant::now();
    for attempt in 0_u32.. {
        // A session for each attempt: nothing of one that failed is left.
        let source = session::connect(config).await?;
        if let Some(at) = find(&source, publication, successor).await? {
            source.close().await;
            return Ok(at);
        }
        limit(&source).await?;
        let outcome = source.query_text(&cut_sql(publication, tables, successor)?).await;
        match outcome {
            Ok(_) => continue,
            Err(SourceError::Server { error, .. }) if BUSY.contains(&error.sqlstate.as_str()) => {
                tracing::debug!(attempt, sqlstate = error.sqlstate, "somebody writes the tables");
            }
            Err(error) => return Err(error.into()),
        }
        source.close().await;
        if Instant::now() > end {
            break;
        }
        sleep(PAUSE + PAUSE / 3 * attempt.min(21)).await;
    }
    Err(ConnectError::TablesBusy { pipeline: pipeline.to_owned(), after_s: started.elapsed().as_secs() })
}

/// Where the stream ended already.
async fn find(source: &Session, publication: &str, successor: &str) -> Result<Option<Lsn>, ConnectError> {
    let name = quote::literal(publication)?;
    let sql =
        format!("SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = {name}");
    let rows = source.query_text(&sql).await?;
    let comment = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(comment.and_then(|comment| comment.strip_prefix(&mark(successor))?.parse().ok()))
}

/// Limits the time of an attempt.
async fn limit(source: &Session) -> Result<(), ConnectError> {
    let settings = "SELECT (SELECT setting FROM pg_settings WHERE name = 'deadlock_timeout'), \
                    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)";
    let row = source.query_text(settings).await?.into_iter().next().unwrap_or_default();
    let text = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
    source.query_text(&limit_sql(text(0).parse().unwrap_or(1000), text(1) == "t")).await?;
    Ok(())
}

/// A superuser can look for deadlocks sooner than the application does, which also has an automatic VACUUM make way.
fn limit_sql(deadlock_ms: u64, superuser: bool) -> String {
    let limit = (deadlock_ms / 2).max(10);
    let sooner =
        if superuser { format!("; SET deadlock_timeout = {}", (limit / 4).max(5)) } else { String::new() };
    format!("SET statement_timeout = {limit}; SET lock_timeout = 0{sooner}")
}

/// The transaction.
fn cut_sql(publication: &str, tables: &[QualifiedName], successor: &str) -> Result<String, SourceError> {
    let locked = quote::qualified_list(tables)?;
    let comment = quote::literal(&mark(successor))?;
    let drop = publication::drop_tables_sql(publication, tables)?;
    let on = quote::literal(&format!("COMMENT ON PUBLICATION {} IS ", quote::identifier(publication)?))?;
    Ok(format!(
        "DO $segcdc_cut$ DECLARE at pg_lsn; BEGIN \
         LOCK TABLE {locked} IN SHARE MODE; \
         at := pg_current_wal_insert_lsn(); \
         {drop}; \
         EXECUTE {on} || quote_literal({comment} || at); \
         END $segcdc_cut$"
    ))
}

#[cfg(test)]
mod tests {
    use segcdc_model::Fault;
    use segcdc_testkit::{PostgresCluster, PostgresOptions};

    use super::*;

    #[tokio::test]
    async fn tables_that_are_written_all_the_time_are_not_cut() {
        let source = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
        let sql = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); \
                   CREATE PUBLICATION p FOR TABLE t, u";
        source.execute("postgres", sql).await.unwrap();
        let config = SourceConfig::parse(&source.url("postgres")).unwrap();
        let tables = ["t", "u"].map(|name| QualifiedName::new("public", name));
        let mut writer = source.connect("postgres").await.unwrap();
        let writing = writer.transaction().await.unwrap();
        writing.batch_execute("INSERT INTO u VALUES (1)").await.unwrap();
        let now = Instant::now();
        let busy = cut_before(&config, "shop", "p", (&tables, "next"), now).await.unwrap_err();
        assert_eq!(busy.code(), "MIGRATE_TABLES_BUSY");
        let published = || source.psql("postgres", "SELECT count(*) FROM pg_publication_tables").unwrap();
        assert_eq!(published().trim(), "2", "nothing of an attempt stays");

        // Between two transactions it finds its moment, and the same call says the same afterwards.
        writing.commit().await.unwrap();
        let at = cut(&config, "shop", "p", &tables, "next").await.unwrap();
        assert_eq!(published().trim(), "0");
        assert_eq!(cut(&config, "shop", "p", &tables, "next").await.unwrap(), at);
    }

    #[test]
    fn the_cut_is_one_transaction_with_a_limit() {
        let tables = [QualifiedName::new("public", "orders"), QualifiedName::new("sales", "Items")];
        let sql = cut_sql("segcdc_shop", &tables, "segcdc_shop_g2").unwrap();
        insta::assert_snapshot!("cut", sql.replace("; ", ";\n"));
        assert_eq!(limit_sql(1000, false), "SET statement_timeout = 500; SET lock_timeout = 0");
        assert_eq!(
            limit_sql(1000, true),
            "SET statement_timeout = 500; SET lock_timeout = 0; SET deadlock_timeout = 125"
        );
    }
}
