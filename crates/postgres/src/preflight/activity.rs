//! Transactions that a new slot has to wait for.
//!
//! The consistent point of a slot lies behind the end of every transaction that had a transaction id when its creation
//! began (PostgreSQL source, `snapbuild.c`). Transactions that only read have none.

use segcdc_model::{Finding, Side};

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;

/// Age from which an open transaction is not one of those that come and go, seconds.
const LONG_SECONDS: i64 = 5;

/// The same in transactions that have begun since, where the server does not show us the age.
const LONG_TRANSACTIONS: i64 = 1000;

/// Age from which a prepared transaction looks forgotten, seconds.
const FORGOTTEN_SECONDS: i64 = 60;

/// What is open.
#[derive(Debug, Clone, Default)]
pub(super) struct ActivityFacts {
    prepared: Vec<Prepared>,
    writers: Vec<Writer>,
}

/// A prepared transaction.
#[derive(Debug, Clone)]
struct Prepared {
    gid: String,
    database: String,
    age_seconds: i64,
}

/// A session with a transaction that has written something.
#[derive(Debug, Clone)]
struct Writer {
    pid: i32,
    /// `None` where the server does not show it to us.
    age_seconds: Option<i64>,
    application: String,
}

/// Asks. The locks that transactions hold on their own ids are shown to everybody, the ids themselves are not.
pub(super) async fn read(session: &Session) -> Result<ActivityFacts, SourceError> {
    let prepared = "SELECT gid, database, extract(epoch FROM now() - prepared)::int8 FROM pg_prepared_xacts \
         ORDER BY prepared";
    let writers = format!(
        "SELECT l.pid, extract(epoch FROM now() - a.xact_start)::int8, coalesce(a.application_name, '') \
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted \
         AND l.pid <> pg_backend_pid() AND (a.xact_start < now() - interval '{LONG_SECONDS} seconds' \
           OR a.xact_start IS NULL AND age(l.transactionid) > {LONG_TRANSACTIONS}) ORDER BY a.xact_start, l.pid"
    );
    let mut facts = ActivityFacts::default();
    for mut row in session.rows(Operation::Query, prepared).await? {
        let (gid, database, age_seconds) = (row.text()?, row.text()?, row.value()?);
        facts.prepared.push(Prepared { gid, database, age_seconds });
    }
    for mut row in session.rows(Operation::Query, &writers).await? {
        let (pid, age_seconds, application) = (row.value()?, row.optional_value()?, row.text()?);
        facts.writers.push(Writer { pid, age_seconds, application });
    }
    Ok(facts)
}

/// What it means.
pub(super) fn judge(facts: &ActivityFacts) -> Result<Vec<Finding>, SourceError> {
    Ok(vec![prepared(facts)?, writers(facts)])
}

fn prepared(facts: &ActivityFacts) -> Result<Finding, SourceError> {
    const CHECK: &str = "pg.prepared_transactions";
    const CODE: &str = "PREPARED_TRANSACTIONS";
    let count = facts.prepared.len();
    let Some(oldest) = facts.prepared.first() else {
        return Ok(Finding::ok(CHECK, Side::Source, "no transaction is prepared"));
    };
    let (seconds, database) = (oldest.age_seconds, &oldest.database);
    let detail = format!(
        "{count} prepared transactions are pending, the oldest for {seconds} s in the database {database}: \
         a slot cannot be made before they have ended"
    );
    let mut finding = if seconds >= FORGOTTEN_SECONDS {
        Finding::failure(CHECK, Side::Source, CODE, detail)
    } else {
        Finding::warning(CHECK, Side::Source, CODE, detail)
    };
    for prepared in &facts.prepared {
        finding = finding.fix(format!("ROLLBACK PREPARED {}", quote::literal(&prepared.gid)?));
    }
    Ok(finding.hint(
        "let the transaction manager that prepared them end them; if they are forgotten, COMMIT PREPARED or \
         ROLLBACK PREPARED each, in its database",
    ))
}

fn writers(facts: &ActivityFacts) -> Finding {
    const CHECK: &str = "pg.long_transactions";
    if facts.writers.is_empty() {
        return Finding::ok(CHECK, Side::Source, "no transaction that writes has been open for long");
    }
    let described = facts.writers.iter().map(|writer| {
        let age = writer.age_seconds.map_or(String::new(), |seconds| format!(" for {seconds} s"));
        let application =
            if writer.application.is_empty() { String::new() } else { format!(" ({})", writer.application) };
        format!("{}{application}{age}", writer.pid)
    });
    let detail = format!(
        "transactions of these processes have written and are still open: {}; \
         making the slot waits until they have ended",
        described.collect::<Vec<_>>().join(", ")
    );
    let mut finding = Finding::warning(CHECK, Side::Source, "SLOT_CREATION_DELAYED", detail)
        .hint("let them end, or end sessions that were forgotten");
    for writer in &facts.writers {
        finding = finding.fix(format!("SELECT pg_terminate_backend({})", writer.pid));
    }
    finding
}

#[cfg(test)]
mod tests {
    use segcdc_model::Severity;

    use super::*;

    #[test]
    fn young_prepared_transactions_are_no_failure() {
        let severity = |age_seconds| {
            let prepared = vec![Prepared { gid: "it's".to_owned(), database: "d".to_owned(), age_seconds }];
            let finding = prepared_finding(ActivityFacts { prepared, ..ActivityFacts::default() });
            assert_eq!(finding.fix_sql, ["ROLLBACK PREPARED 'it''s'"]);
            finding.severity
        };
        assert_eq!(severity(1), Severity::Warning);
        assert_eq!(severity(FORGOTTEN_SECONDS), Severity::Failure);
    }

    fn prepared_finding(facts: ActivityFacts) -> Finding {
        prepared(&facts).unwrap()
    }

    #[test]
    fn writers_are_named_even_where_little_is_shown() {
        let writers = vec![
            Writer { pid: 11, age_seconds: Some(99), application: "batch".to_owned() },
            Writer { pid: 12, age_seconds: None, application: String::new() },
        ];
        let finding = super::writers(&ActivityFacts { writers, ..ActivityFacts::default() });
        assert!(finding.detail.contains("11 (batch) for 99 s, 12;"), "{}", finding.detail);
        assert_eq!(finding.fix_sql.len(), 2);
    }
}
