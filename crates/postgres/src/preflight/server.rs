//! What the server is.

use segcdc_model::{Finding, Side};

use crate::error::{Operation, SourceError};
use crate::replication::FIRST_SUPPORTED_VERSION;
use crate::session::Session;

/// First version with logical slots on standbys.
const STANDBY_VERSION: u32 = 160_000;

/// Encodings whose bytes the server does not turn into UTF-8: what a text means is anybody's guess.
const WITHOUT_MEANING: [&str; 2] = ["SQL_ASCII", "MULE_INTERNAL"];

/// What the server says of itself.
#[derive(Debug, Clone)]
pub(super) struct ServerFacts {
    /// `server_version_num`
    pub(super) version: u32,
    /// The database.
    pub(super) database: String,
    /// Whether it is a standby.
    pub(super) in_recovery: bool,
    /// `hot_standby_feedback`
    pub(super) standby_feedback: bool,
    /// `server_encoding`
    pub(super) encoding: String,
    /// `wal_level`
    pub(super) wal_level: String,
    /// The process that answered two questions, and the one that the session's start announced.
    pub(super) processes: [Option<i32>; 3],
}

// === impl ServerFacts ===

impl ServerFacts {
    /// Whether the version is one that everything else is written for.
    pub(super) fn is_supported(&self) -> bool {
        self.version >= FIRST_SUPPORTED_VERSION
    }
}

/// Asks.
pub(super) async fn read(session: &Session) -> Result<ServerFacts, SourceError> {
    let sql = "SELECT current_setting('server_version_num'), current_database(), pg_is_in_recovery(), \
         current_setting('server_encoding'), current_setting('wal_level'), pg_backend_pid(), \
         current_setting('hot_standby_feedback')::bool";
    let mut row = session.row(Operation::Query, sql).await?;
    let (version, database, in_recovery) = (row.value()?, row.text()?, row.flag()?);
    let (encoding, wal_level, first) = (row.text()?, row.text()?, row.value()?);
    let standby_feedback = row.flag()?;
    // Two statements: a pooler may give each to another process.
    let second = session.row(Operation::Query, "SELECT pg_backend_pid()").await?.value()?;
    let announced = session.announced_process().await;
    let processes = [Some(first), Some(second), announced];
    Ok(ServerFacts { version, database, in_recovery, standby_feedback, encoding, wal_level, processes })
}

/// What it means.
pub(super) fn judge(facts: &ServerFacts) -> Vec<Finding> {
    if !facts.is_supported() {
        return vec![version(facts)];
    }
    let mut findings = vec![version(facts), primary(facts), encoding(facts), wal_level(facts), pooler(facts)];
    findings.extend(faulty(facts.version));
    findings
}

/// Known faults of minor versions that concern logical decoding, by the release notes of the versions that mend them.
fn faulty(version: u32) -> Option<Finding> {
    /// First versions without the fault.
    const LOSES_CHANGES: [u32; 4] = [140_018, 150_013, 160_009, 170_005];
    /// Versions with the fault, which the mending of the other one brought.
    const TAKES_MEMORY: [u32; 4] = [140_018, 150_013, 160_009, 170_005];
    let mended = |first: &&u32| **first / 10_000 == version / 10_000;
    let found = readable(version);
    let (what, mended) = if TAKES_MEMORY.contains(&version) {
        (
            "may fail with \"invalid memory alloc request size\" when tables are altered while it decodes",
            version + 1,
        )
    } else {
        let first = *LOSES_CHANGES.iter().find(mended)?;
        if version >= first {
            return None;
        }
        ("may leave out changes of a table that is written while it is added to a publication", first + 1)
    };
    let detail = format!("PostgreSQL {found} {what}");
    let version = readable(mended);
    Some(
        Finding::warning("pg.version_faults", Side::Source, "SOURCE_VERSION_FAULTY", detail)
            .hint(format!("install {version} or later, which has it mended; nothing has to be copied again")),
    )
}

fn version(facts: &ServerFacts) -> Finding {
    let (check, found) = ("pg.version", readable(facts.version));
    if facts.is_supported() {
        Finding::ok(check, Side::Source, format!("PostgreSQL {found}"))
    } else {
        let detail = format!("the server is PostgreSQL {found}, needed is 14 or later");
        Finding::failure(check, Side::Source, "SOURCE_VERSION_UNSUPPORTED", detail)
            .hint("upgrade PostgreSQL to 14 or later")
    }
}

fn primary(facts: &ServerFacts) -> Finding {
    const CHECK: &str = "pg.primary";
    if !facts.in_recovery {
        return Finding::ok(CHECK, Side::Source, "the server is a primary");
    }
    if facts.version < STANDBY_VERSION {
        let detail = "the server is a standby, and PostgreSQL before 16 has no logical slots there";
        return Finding::failure(CHECK, Side::Source, "SOURCE_IS_STANDBY", detail)
            .hint("give the URL of the primary");
    }
    if facts.standby_feedback {
        return Finding::ok(
            CHECK,
            Side::Source,
            "the server is a standby, which keeps its primary from removing rows",
        );
    }
    let detail = "the server is a standby without hot_standby_feedback: its primary may remove rows of the catalog that a \
         slot here needs, and the slot is lost then (rows_removed)";
    Finding::warning(CHECK, Side::Source, "STANDBY_FEEDBACK_OFF", detail)
        .hint("turn it on at the standby, and give the standby a physical slot of the primary (primary_slot_name)")
        .fix("ALTER SYSTEM SET hot_standby_feedback = on")
        .fix("SELECT pg_reload_conf()")
}

fn encoding(facts: &ServerFacts) -> Finding {
    let detail = format!("the database has the encoding {}", facts.encoding);
    if WITHOUT_MEANING.contains(&facts.encoding.as_str()) {
        Finding::failure("pg.encoding", Side::Source, "SOURCE_ENCODING", detail).hint(
            "its bytes have no defined meaning as text, so none could arrive unchanged; \
             dump the database and restore it into one with ENCODING 'UTF8'",
        )
    } else {
        Finding::ok("pg.encoding", Side::Source, detail)
    }
}

fn wal_level(facts: &ServerFacts) -> Finding {
    let detail = format!("wal_level is {}", facts.wal_level);
    if facts.wal_level == "logical" {
        return Finding::ok("pg.wal_level", Side::Source, detail);
    }
    Finding::failure("pg.wal_level", Side::Source, "WAL_LEVEL", format!("{detail}, needed is logical"))
        .hint(
            "set it as superuser and restart the server; managed services have a parameter of their own: \
             rds.logical_replication = 1, cloudsql.logical_decoding = on, or wal_level on Azure",
        )
        .fix("ALTER SYSTEM SET wal_level = 'logical'")
}

fn pooler(facts: &ServerFacts) -> Finding {
    let [first, second, announced] = facts.processes;
    let hint = "connect to PostgreSQL itself: a pooler keeps no snapshot and seldom lets replication through";
    if first != second {
        let detail = "two statements of one session were run by different processes: \
             there is a pooler in between that shares connections";
        Finding::failure("pg.pooler", Side::Source, "POOLER", detail).hint(hint)
    } else if announced.is_some() && announced != first {
        let detail = "the session is run by another process than was announced: \
             something in between speaks PostgreSQL's protocol itself";
        Finding::warning("pg.pooler", Side::Source, "POOLER", detail).hint(hint)
    } else {
        Finding::ok("pg.pooler", Side::Source, "the connection goes to PostgreSQL itself")
    }
}

/// `15.18` of 150018.
fn readable(version: u32) -> String {
    format!("{}.{}", version / 10_000, version % 10_000)
}

#[cfg(test)]
mod tests {
    use segcdc_model::Severity;

    use super::*;

    fn facts() -> ServerFacts {
        ServerFacts {
            version: 150_018,
            database: "app".to_owned(),
            in_recovery: false,
            standby_feedback: false,
            encoding: "UTF8".to_owned(),
            wal_level: "logical".to_owned(),
            processes: [Some(7), Some(7), Some(7)],
        }
    }

    fn problems(facts: &ServerFacts) -> Vec<(Severity, String)> {
        let bad = judge(facts).into_iter().filter(|finding| finding.severity != Severity::Ok);
        bad.map(|finding| (finding.severity, finding.code)).collect()
    }

    /// # Fault F19
    /// The source's minor version may leave out changes of a table that is written while it is added to a publication.
    /// - Happens: preflight warns of each such version (`SOURCE_VERSION_FAULTY`).
    /// - Do: install the version that is named.
    #[test]
    fn only_versions_with_a_fault_are_warned_of() {
        for version in [140_019, 150_014, 150_018, 160_010, 170_006, 180_000, 180_006] {
            assert_eq!(faulty(version), None, "{version}");
        }
        let lossy = faulty(160_008).unwrap();
        assert!(lossy.hint.contains("16.10"), "not the version with the other fault: {lossy:?}");
    }

    #[test]
    fn each_shortcoming_is_named() {
        let check = |facts: ServerFacts, severity, code: &str| {
            assert_eq!(problems(&facts), [(severity, code.to_owned())]);
        };
        assert_eq!(problems(&facts()), []);
        check(ServerFacts { version: 130_014, ..facts() }, Severity::Failure, "SOURCE_VERSION_UNSUPPORTED");
        check(ServerFacts { version: 150_012, ..facts() }, Severity::Warning, "SOURCE_VERSION_FAULTY");
        check(ServerFacts { version: 170_005, ..facts() }, Severity::Warning, "SOURCE_VERSION_FAULTY");
        let standby = ServerFacts { in_recovery: true, ..facts() };
        check(standby.clone(), Severity::Failure, "SOURCE_IS_STANDBY");
        let standby = ServerFacts { version: 160_010, ..standby };
        check(standby.clone(), Severity::Warning, "STANDBY_FEEDBACK_OFF");
        assert_eq!(problems(&ServerFacts { standby_feedback: true, ..standby }), []);
        let encoding = "SQL_ASCII".to_owned();
        check(ServerFacts { encoding, ..facts() }, Severity::Failure, "SOURCE_ENCODING");
        let wal_level = "replica".to_owned();
        check(ServerFacts { wal_level, ..facts() }, Severity::Failure, "WAL_LEVEL");
        check(ServerFacts { processes: [Some(7), Some(8), Some(7)], ..facts() }, Severity::Failure, "POOLER");
        check(ServerFacts { processes: [Some(7), Some(7), Some(9)], ..facts() }, Severity::Warning, "POOLER");
        assert_eq!(problems(&ServerFacts { processes: [Some(7), Some(7), None], ..facts() }), []);
    }
}
